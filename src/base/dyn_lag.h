/*
 * dyn_lag.h
 *	  Measuring how old the data of a table was.
 */
#ifndef DYN_LAG_H
#define DYN_LAG_H

#include <datatype/timestamp.h>

/*
 * From the end of one refresh to that of the next: the age of what readers saw.
 * It rises with time and falls when the data timestamp moves, be it without a
 * refresh.  Seconds.
 */
typedef struct DynLag
{
	TimestampTz base;			/* data timestamp of the refresh that it begins with; 0: nothing is known */
	TimestampTz since;			/* when that refresh ended */
	TimestampTz upto;			/* measured up to here */
	TimestampTz stands;			/* data timestamp from then on */
	double		sum;			/* lag times time: divided by time, the mean */
	double		most;
	double		above;			/* how long it was above the target; -1: there was none */
	int			steps;			/* how often it fell */
} DynLag;

/* A refresh to this data timestamp ended. */
extern DynLag dyn_lag_begin(TimestampTz data_timestamp, TimestampTz ended);

/* Time passed up to now, when the data timestamp moved.  target: microseconds, 0: none */
extern void dyn_lag_pass(DynLag *lag, TimestampTz now, TimestampTz data_timestamp, int64 target);

/* What followed it, so that lag tells of both. */
extern void dyn_lag_add(DynLag *lag, const DynLag *next);

#endif							/* DYN_LAG_H */
