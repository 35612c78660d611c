/*
 * dyn_query.h
 *	  From a defining query to its plan and to what the catalog records of it.
 */
#ifndef DYN_QUERY_H
#define DYN_QUERY_H

#include <nodes/parsenodes.h>
#include <nodes/pg_list.h>

#include "catalog/dyn_catalog.h"

/*
 * Analyse the text of a defining query under the current search_path and
 * user.  Checks that it is one SELECT without parameters, data-modifying WITH,
 * or SELECT INTO; errors carry a position in the user's text.  Returns the
 * analysed, not yet rewritten Query (relations locked ACCESS SHARE).
 */
extern Query *dyn_query_analyse(const char *text);

/*
 * Whether two analysed queries mean the same, whatever the wording: names of
 * tables and columns that they read count as what they stand for.
 */
extern bool dyn_query_same(Query *a, Query *b);

/*
 * A query as text in which every name is qualified and every constant is
 * written so that any server reads it alike; and the way back.
 */
extern char *dyn_query_text(Query *query);
extern Query *dyn_query_from_text(const char *text);

/* The names and types of the query's columns as ColumnDef nodes; refuses unnamed, equal and pseudo-typed ones. */
extern List *dyn_query_columns(Query *query);

/* What the query, its views expanded, reads: list of DynEdge * (relid not set), ordered by OID. */
extern List *dyn_query_sources(Query *query);

/*
 * Whether the query can be maintained incrementally.  If not, *code, *reason
 * say why.  notices: list of char *, to be shown at creation
 * (written-at columns); warnings: undetermined order.
 */
extern bool dyn_query_incremental(Query *query, const char **code, char **reason,
								  List **notices, List **warnings);

#endif							/* DYN_QUERY_H */
