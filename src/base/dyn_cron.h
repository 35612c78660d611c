/*
 * dyn_cron.h
 *	  Cron expressions, in the grammar of pg_cron.
 */
#ifndef DYN_CRON_H
#define DYN_CRON_H

#include <datatype/timestamp.h>
#include <pgtime.h>

/* When an expression fires; the minutes, hours, ... one bit each. */
typedef struct DynCron
{
	int			seconds;		/* not 0: every so many, and nothing else counts */
	bool		reboot;			/* when the server starts, and nothing else counts */
	uint64		minutes;		/* 0-59 */
	uint32		hours;			/* 0-23 */
	uint32		days;			/* of the month, 1-31 */
	bool		last_day;		/* the last one of the month */
	uint32		months;			/* 1-12 */
	uint32		weekdays;		/* 0-6, Sunday is 0 */
	bool		any_day;		/* day of the month begins with "*" */
	bool		any_weekday;	/* day of the week begins with "*" */
	pg_tz	   *zone;			/* NULL: the session's */
} DynCron;

/*
 * Read an expression:
 *	minute hour day-of-month month day-of-week [time zone]
 *		each "*", or a list of numbers, ranges and names (jan, mon), with steps
 *		("0-30/10"); day-of-month "$" is the last one
 *	"30 seconds"
 *		of 1 to 59
 *	@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @reboot
 * On failure returns false and points *detail at a sentence that says why.
 */
extern bool dyn_cron_parse(const char *expression, DynCron *cron, const char **detail);

/*
 * The first moment after `after` at which it fires; DT_NOEND when there is
 * none (30 February).  As in cron, a day matches when day of month or day of
 * week does, if both are restricted.
 */
extern TimestampTz dyn_cron_next(const DynCron *cron, TimestampTz after);

#endif							/* DYN_CRON_H */
