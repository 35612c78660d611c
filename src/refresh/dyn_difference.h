/*
 * dyn_difference.h
 *	  The difference between what is stored and what should be.
 */
#ifndef DYN_DIFFERENCE_H
#define DYN_DIFFERENCE_H

#include <utils/rel.h>

#include "refresh/dyn_rows.h"

typedef struct DynDifference DynDifference;

/*
 * Begin one.  name, columns: the result's, w first (dyn_delta_desc); rel: the table,
 * whose columns these are, open to the end; key: columns (of int, from 1) by which
 * rows are paired, NIL: their images; brief: the result is to be (DynRows).
 */
extern DynDifference *dyn_difference_begin(const char *name, Relation rel, TupleDesc columns, const bool *identity,
										   List *key, bool brief);

/* Of these names of columns (char *) those that pair rows, each behind a comma. */
extern char *dyn_difference_paired(const DynDifference *difference, List *names);

/* Sinks of statements; arg: the DynDifference.  Stored rows come first: their ctid, and the columns that pair rows. */
extern void dyn_difference_stored(TupleTableSlot *slot, void *arg);
extern void dyn_difference_content(TupleTableSlot *slot, void *arg);

/*
 * From here on rows that take a stored row's place are given to write (whose slot has w
 * first) and are no part of the result, once that has more than so many; false: it
 * cannot take one now.
 */
typedef bool (*DynReplace) (TupleTableSlot *row, ItemPointer place, void *arg);
extern void dyn_difference_write(DynDifference *difference, int64 many, DynReplace write, void *arg);

/* The end of it: the delta, whose rows know their places (DynRows). */
extern DynRows *dyn_difference_end(DynDifference *difference);

#endif							/* DYN_DIFFERENCE_H */
