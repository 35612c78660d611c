/*
 * dyn_target_internal.h
 *	  One table's refresh while it goes on; for dyn_target*.c only.
 */
#ifndef DYN_TARGET_INTERNAL_H
#define DYN_TARGET_INTERNAL_H

#include "query/dyn_plan.h"
#include "refresh/dyn_frozen_rows.h"
#include "refresh/dyn_shape.h"
#include "refresh/dyn_target.h"

/* One table's refresh while it goes on. */
typedef struct DynTarget
{
	DynRun	   *run;
	DynTable   *table;
	DynPosition *position;
	Query	   *query;			/* expanded */
	int64		plan_hash;
	List	   *basis;
	DynPlan    *plan;			/* NULL: full mode */
	int			ncolumns;		/* of the result */
	DynColumn  *columns;
	DynEvaluation evaluation;
	DynSink    *sink;
	DynCounts	counts;
	bool		upgraded;		/* the definition was analysed by another server */
	bool		retyped;		/* a column of the query has got another type */
	List	   *followers;		/* columns of the table that have yet to follow (dyn_columns.c) */
	DynFrozen  *frozen;			/* NULL: no region is */
	bool		thaw;			/* the first fill: all rows are computed */
	DynShape   *shape;			/* not NULL: they are others by name, number or order */
	bool		returned;		/* the definition has a plan, and had none before */
	const DynRetry *retry;
	char	   *inputs;			/* what of the sources had changed, as jsonb text, or NULL */
	char	   *next_reinit;	/* why the next refresh will have to reinitialise */

	/* dyn_idle.c: when the refresh began, and when its delta was about to be read */
	uint64		relations_changed;
	uint64		objects_changed;
	uint64		changes;
	int			capture_pid;
	DynResult  *result;
} DynTarget;

/* dyn_target_content.c: all content against what is stored; an empty table is filled */
extern void dyn_target_compute(DynTarget *target);

/* Apply a delta, and write it to the logs of those who follow the table. */
extern void dyn_target_apply(DynTarget *target, DynRows *delta);

/* Of a delta what is not frozen. */
extern DynRows *dyn_target_unfrozen(DynTarget *target, DynRows *delta);
extern DynSink *dyn_target_make_sink(DynTarget *target);

/* The key (of int) that the plan gives the rows; NIL: none. */
extern List *dyn_target_key(DynTarget *target);

/* dyn_target_record.c: position, history, notification */
extern void dyn_target_record(DynTarget *target);

/* What of the sources had changed, as jsonb text; NULL: nothing. */
extern char *dyn_target_inputs(DynTarget *target);

#endif							/* DYN_TARGET_INTERNAL_H */
