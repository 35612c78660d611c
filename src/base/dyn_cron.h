/*
 * dyn_cron.h
 *	  Five-field cron expressions.
 */
#ifndef DYN_CRON_H
#define DYN_CRON_H

#include <datatype/timestamp.h>

/* The minutes, hours, ... at which an expression fires, one bit each. */
typedef struct DynCron
{
	uint64		minutes;		/* 0-59 */
	uint32		hours;			/* 0-23 */
	uint32		days;			/* of the month, 1-31 */
	uint32		months;			/* 1-12 */
	uint32		weekdays;		/* 0-6, Sunday is 0 */
	bool		any_day;		/* day of the month is "*" */
	bool		any_weekday;	/* day of the week is "*" */
} DynCron;

/*
 * Read an expression: minute hour day-of-month month day-of-week; each "*", or
 * a list of numbers, ranges and names (jan, mon), with steps ("0-30/10").
 * On failure returns false and points *detail at a sentence that says why.
 */
extern bool dyn_cron_parse(const char *expression, DynCron *cron, const char **detail);

/*
 * The first moment after `after` at which it fires, in the session's time
 * zone; DT_NOEND when there is none (30 February).  As in cron, a day matches
 * when day of month or day of week does, if both are restricted.
 */
extern TimestampTz dyn_cron_next(const DynCron *cron, TimestampTz after);

#endif							/* DYN_CRON_H */
