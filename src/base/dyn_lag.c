/*
 * dyn_lag.c
 *	  Measuring how old the data of a table was.
 *
 * The lag of a table is a sawtooth: it rises with the clock, and when a
 * refresh ends, or time is let pass for a table to which nothing happened, it
 * falls to the age of the new data timestamp.  So mean, maximum and the time
 * above a target are sums over its teeth, and exact; nothing is sampled.
 */
#include <postgres.h>

#include "base/dyn_lag.h"

#define SECONDS(microseconds) ((microseconds) / 1000000.0)

DynLag
dyn_lag_begin(TimestampTz data_timestamp, TimestampTz ended)
{
	DynLag		lag = {
		.base = data_timestamp,.since = ended,.upto = ended,.stands = data_timestamp
	};

	return lag;
}

void
dyn_lag_pass(DynLag *lag, TimestampTz now, TimestampTz data_timestamp, int64 target)
{
	double		passed = SECONDS(Max(now - lag->upto, 0));
	double		peak = SECONDS(Max(now - lag->stands, 0));
	double		trough = Max(peak - passed, 0);

	lag->sum += passed * (peak + trough) / 2;
	lag->most = Max(lag->most, peak);
	if (target <= 0)
		lag->above = -1;
	else if (lag->above >= 0)
		lag->above += Min(passed, Max(peak - SECONDS(target), 0));
	lag->upto = Max(lag->upto, now);
	lag->stands = data_timestamp;
	lag->steps++;
}

void
dyn_lag_add(DynLag *lag, const DynLag *next)
{
	if (lag->base == 0 || next->base == 0)
	{
		if (next->base != 0)
			*lag = *next;
		return;
	}
	lag->sum += next->sum;
	lag->most = Max(lag->most, next->most);
	lag->above = lag->above < 0 || next->above < 0 ? -1 : lag->above + next->above;
	lag->steps += next->steps;
	lag->upto = next->upto;
	lag->stands = next->stands;
}
