/*
 * dyn_bulk.h
 *	  Rows of a table taken away, stored and put in place of others, not by statements.
 */
#ifndef DYN_BULK_H
#define DYN_BULK_H

#include <storage/itemptr.h>
#include <utils/rel.h>

typedef struct DynBulk DynBulk;

/* Is storing it, and entering it in indexes, all that would be done with a row? */
extern bool dyn_bulk_can(Relation rel);

/* Are the columns from first on those of the table, as they are stored? */
extern bool dyn_bulk_fits(Relation rel, TupleDesc desc, int first);

/*
 * Begin to write.  indexed: rows are entered in the table's indexes; else the
 * caller sees to them.  An active snapshot is needed until the end.  Rows are written
 * some at a time, in the phase (dyn_phases.h) in which it was begun.
 */
extern DynBulk *dyn_bulk_begin(Relation rel, bool indexed);

/* Take away a row; false: this command has already.  Raises an error where another transaction has. */
extern bool dyn_bulk_delete(DynBulk *bulk, ItemPointer place);

/*
 * Store a row, one value for each column.  key_index: a unique index that is
 * known not to have the row's key, which saves looking; or InvalidOid.
 */
extern void dyn_bulk_insert(DynBulk *bulk, Datum *values, bool *isnull, Oid key_index);

/*
 * Store a row in place of the one that is there, which has the same key.
 * Raises an error where another transaction has changed that.
 */
extern void dyn_bulk_update(DynBulk *bulk, ItemPointer place, Datum *values, bool *isnull, Oid key_index);

/* The same where most rows change: what finds no room on the page of the one it replaces is stored as rows are that replace none. */
extern void dyn_bulk_replace(DynBulk *bulk, ItemPointer place, Datum *values, bool *isnull, Oid key_index);

/* All that was given is written; and that is the end of it. */
extern void dyn_bulk_flush(DynBulk *bulk);
extern void dyn_bulk_end(DynBulk *bulk);

#endif							/* DYN_BULK_H */
