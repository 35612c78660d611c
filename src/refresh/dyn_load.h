/*
 * dyn_load.h
 *	  Filling a table that is empty with the rows of a query.
 */
#ifndef DYN_LOAD_H
#define DYN_LOAD_H

#include "refresh/dyn_execute.h"

/* Of tables that we make: room in a page for the new version of a row that a refresh updates, which then needs no index entry. */
#define DYN_FILLFACTOR 90

typedef struct DynLoad DynLoad;

/*
 * Begin to fill a table, which nobody else can see the rows of until the
 * transaction ends; emptied: which was emptied by this transaction, so that its
 * indexes may be built anew.
 */
extern DynLoad *dyn_load_begin(DynExecution *execution, Oid relid, bool emptied);

/* A sink of dyn_execute for the query's rows; arg: the DynLoad. */
extern void dyn_load_sink(TupleTableSlot *slot, void *arg);

/* The end of it; returns the number of rows. */
extern int64 dyn_load_end(DynLoad *load);

#endif							/* DYN_LOAD_H */
