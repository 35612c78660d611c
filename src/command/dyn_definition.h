/*
 * dyn_definition.h
 *	  What a query means for a dynamic table: columns, sources, mode.
 */
#ifndef DYN_DEFINITION_H
#define DYN_DEFINITION_H

#include <nodes/parsenodes.h>

#include "catalog/dyn_catalog.h"

typedef struct DynDefinition
{
	/* given */
	const char *text;			/* the query; NULL: stored is given */
	const DynTable *stored;		/* a table whose definition stays */
	Oid			relid;			/* the table, InvalidOid while there is none */
	Oid			owner;
	const char *name;			/* for messages */
	DynRefreshMode mode;
	bool		restored;		/* taken over from a dump: capture was agreed to there */

	/* found */
	Query	   *query;
	char	   *tree;
	List	   *columns;		/* of ColumnDef */
	List	   *edges;			/* of DynEdge */
	bool		incremental;
	const char *code;			/* why not */
	char	   *reason;

	/*
	 * Why the refresh after the first must reinitialise: a source could not
	 * be put under capture in this transaction.  Else NULL.
	 */
	const char *reinit;
} DynDefinition;

/*
 * Fill in a definition and put its sources under capture.  On return the
 * relations named in the query are locked ACCESS SHARE, and a table that
 * exists against refreshes.
 */
extern void dyn_definition_find(DynDefinition *definition);

/* Do something in a subtransaction that is rolled back, so that its locks are let go. */
extern void dyn_undone(void (*work) (void *arg), void *arg);

/* Whether a text, read now by whoever asks, means what the table's definition means, whatever the wording. */
extern bool dyn_definition_is_text(const DynTable *table, const char *text);

/* The definition's part of a catalog row, of pg_depend and of the edges. */
extern void dyn_definition_to_table(const DynDefinition *definition, DynTable *table);
extern void dyn_definition_record(const DynDefinition *definition, Oid relid);

/* Make a table a dynamic table: all its catalog rows and dependencies. */
extern void dyn_definition_install(const DynDefinition *definition, DynTable *table);

/* Settings that change what an expression means, as "name=value", as they are now. */
extern List *dyn_definition_settings(void);

#endif							/* DYN_DEFINITION_H */
