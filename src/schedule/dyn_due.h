/*
 * dyn_due.h
 *	  When which dynamic table is to be refreshed, and with which others.
 */
#ifndef DYN_DUE_H
#define DYN_DUE_H

#include "base/dyn_queue.h"
#include "schedule/dyn_graph.h"

/* One run: the tables to ask for; dyn_run adds their upstream. */
typedef struct DynPlannedRun
{
	int			nroots;
	int			roots[DYN_TASK_TABLES]; /* indexes into the graph, upstream first */
	int			pool;			/* the warehouse it uses, by index into the graph's */
	TimestampTz ready;			/* since when it has waited for a worker */
	TimestampTz deadline;		/* when the lag of its most urgent table ends */
} DynPlannedRun;

/* When a table on its own is due: DT_NOBEGIN at once, DT_NOEND never. */
extern TimestampTz dyn_due_at(DynNode *node);

/* How long before the end of its lag a run has to start, in microseconds. */
extern int64 dyn_due_slack(const DynNode *node);

/* A run took this long from dispatch to commit: have the next ones planned with it. */
extern void dyn_due_measured(DynNode *node, int64 duration);

/*
 * How long a table that failed waits before it is tried again: its lag,
 * doubled with each of its failures in a row but the first.  Microseconds.
 */
extern int64 dyn_due_backoff(int64 lag, int failures);

/*
 * The runs to start now, in the order in which they are to get workers, list
 * of DynPlannedRun *.  Sets due and ready of each node, and *wake to the
 * moment when the next table that is not busy falls due.
 */
extern List *dyn_due_plan(DynGraph *graph, TimestampTz now, TimestampTz *wake);

#endif							/* DYN_DUE_H */
