/*
 * dyn_frozen.h
 *	  The predicate of a frozen region.
 */
#ifndef DYN_FROZEN_H
#define DYN_FROZEN_H

#include <nodes/parsenodes.h>
#include <nodes/pg_list.h>

/*
 * Analyse the text of a predicate over the columns of a table: its Vars have
 * varno 1 and the columns' numbers.  Raises an error where it is no boolean
 * expression, or contains what a predicate over single rows cannot.
 */
extern Node *dyn_frozen_analyse(Oid relid, const char *text);

/* Raise an error where the region is not one that stays: by its functions, its use of the clock, or what the columns are in the query. */
extern void dyn_frozen_check(Oid relid, Node *predicate, Query *query);

/* The predicate as text, every name qualified (the caller has pinned search_path). */
extern char *dyn_frozen_text(Oid relid, Node *predicate);

/* The columns by their place among the table's, from 1. */
extern List *dyn_frozen_columns(Oid relid, Node *predicate);
extern List *dyn_frozen_names(Oid relid, Node *predicate);	/* of String */

/* Whether, for certain, every row of the one region is in the other. */
extern bool dyn_frozen_within(Node *predicate, Node *other);

#endif							/* DYN_FROZEN_H */
