/*
 * dyn_frozen_rows.h
 *	  The frozen region of a dynamic table, row by row.
 */
#ifndef DYN_FROZEN_ROWS_H
#define DYN_FROZEN_ROWS_H

#include <datatype/timestamp.h>
#include <executor/tuptable.h>

#include "catalog/dyn_catalog.h"
#include "refresh/dyn_rows.h"

typedef struct DynFrozen DynFrozen;

/* The region at a moment; NULL where the table has none.  The caller is the table's owner, its settings pinned. */
extern DynFrozen *dyn_frozen_open(const DynTable *table, TimestampTz at);

/* Its columns, by their place from 1. */
extern List *dyn_frozen_places(const DynFrozen *frozen);

/* The condition as text that rows outside the region satisfy, those inside it; for a statement over the table alone. */
extern char *dyn_frozen_outside(const DynFrozen *frozen);
extern char *dyn_frozen_inside(const DynFrozen *frozen);

/* The rows of a delta that lie outside; names: of char *, quoted, of its columns behind w. */
extern DynRows *dyn_frozen_drop(DynFrozen *frozen, List *names, DynRows *delta);

/* Whether a row of the table, as the table has it, lies inside at the present now(). */
typedef struct DynFrozenCheck DynFrozenCheck;

extern DynFrozenCheck *dyn_frozen_check_begin(Oid relid);	/* NULL: no region; in the current memory context */
extern bool dyn_frozen_check_row(DynFrozenCheck *check, TupleTableSlot *slot);

#endif							/* DYN_FROZEN_ROWS_H */
