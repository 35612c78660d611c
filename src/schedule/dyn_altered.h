/*
 * dyn_altered.h
 *	  Definitions that were altered while nothing happened to their rows.
 */
#ifndef DYN_ALTERED_H
#define DYN_ALTERED_H

#include "schedule/dyn_graph.h"

/* From now on this process hears of it. */
extern void dyn_altered_init(void);

/* Whether anything was heard since the last dyn_altered_apply. */
extern bool dyn_altered_any(void);

/* Mark the nodes that it may concern as altered; in a transaction. */
extern void dyn_altered_apply(DynGraph *graph);

#endif							/* DYN_ALTERED_H */
