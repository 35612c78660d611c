/*
 * dyn_region.h
 *	  Frozen regions and boundaries as arguments, and writing into a region.
 */
#ifndef DYN_REGION_H
#define DYN_REGION_H

#include <executor/execdesc.h>
#include <fmgr.h>

#include "catalog/dyn_catalog.h"

/*
 * Give a dynamic table's row (not yet stored) this frozen_where; '' takes it
 * back.  The table is there and, if it is a dynamic one already, locked
 * against refreshes.  Marks it to be computed anew where the region does not only grow.
 */
extern void dyn_region_set(DynTable *table, Query *query, const char *text, bool installed);

/* The dynamic tables that a boundary of this name is about: itself, or those that a view reads; NIL: it can be none. */
extern List *dyn_boundary_tables(Oid boundary);

/* An argument of type regclass[]: such relations, of which this table reads some; sets its boundaries. */
extern void dyn_boundary_set(Oid relid, FunctionCallInfo fcinfo, int argno);

/* Put the rows of another table of the same columns into a table that is not yet a dynamic one; of them the frozen ones. */
extern void dyn_backfill(Oid relid, Oid source, const char *frozen_where);

/* Before a statement writes a dynamic table: whether it has a region to write into. */
extern bool dyn_region_writable(Oid relid);

/* After the executor has started: have it refuse rows outside. */
extern void dyn_region_guard(QueryDesc *desc);

#endif							/* DYN_REGION_H */
