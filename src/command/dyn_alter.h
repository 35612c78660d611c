/*
 * dyn_alter.h
 *	  Changing a dynamic table that exists.
 */
#ifndef DYN_ALTER_H
#define DYN_ALTER_H

#include "command/dyn_definition.h"

/* Options of a dynamic table that are not part of its definition. */
typedef struct DynTableOptions
{
	Interval   *lag;			/* NULL: downstream, or schedule */
	char	   *schedule;
	char	   *frozen_where;	/* NULL: not given */
	Oid			backfill_from;
	bool		on_schedule;
	char	   *warehouse;
	char	   *initial_warehouse;	/* NULL: the same */
	bool		unchanged;		/* out: the definition was the same already */
} DynTableOptions;

/*
 * CREATE OR REPLACE: give an existing dynamic table this definition and these
 * options.  Its columns follow with the next refresh.
 */
extern void dyn_replace(Oid relid, DynDefinition *definition, DynTableOptions *options);

/*
 * Compare a table's columns with those of a query.  Returns the columns to be
 * added at the end; *mismatch is the name of the first column that differs,
 * or NULL.
 */
extern List *dyn_columns_to_add(Oid relid, List *columns, char **mismatch);

extern Oid	dyn_table_owner(Oid relid);

#endif							/* DYN_ALTER_H */
