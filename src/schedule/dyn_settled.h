/*
 * dyn_settled.h
 *	  Tables to which nothing happened.
 */
#ifndef DYN_SETTLED_H
#define DYN_SETTLED_H

#include "base/dyn_queue.h"
#include "schedule/dyn_graph.h"

/* Note what capture has counted of a table's sources, as a run with it is given away. */
extern void dyn_settled_count(DynNode *node, TimestampTz dispatched);

/* Whether a run that has refreshed a table without an error settled it. */
extern bool dyn_settled_by_run(const DynGraph *graph, const DynNode *node, const DynTask *task);

/*
 * Let time pass for settled tables; look_for_altered marks those that were
 * altered until now.  Returns when to do so again; a settled table that is due
 * anyway, because capture has not answered, is refreshed.
 */
extern TimestampTz dyn_settled_pass_time(DynGraph *graph, TimestampTz now, void (*look_for_altered) (void));

#endif							/* DYN_SETTLED_H */
