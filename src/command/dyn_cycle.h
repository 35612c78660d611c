/*
 * dyn_cycle.h
 *	  No dynamic table may read itself, directly or by way of others.
 */
#ifndef DYN_CYCLE_H
#define DYN_CYCLE_H

#include <nodes/primnodes.h>

/* Raise an error if a dynamic table with these DynEdges would read itself. */
extern void dyn_check_cycle(Oid relid, const char *name, List *edges);

/* The same for the dynamic tables that a view reads, the view having just been replaced. */
extern void dyn_check_view_cycle(RangeVar *view);

#endif							/* DYN_CYCLE_H */
