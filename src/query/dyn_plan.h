/*
 * dyn_plan.h
 *	  What a refresh asks of a definition.
 */
#ifndef DYN_PLAN_H
#define DYN_PLAN_H

#include <nodes/parsenodes.h>

#include "query/dyn_node.h"

/* The analysed query with views expanded (a copy; relations get locked ACCESS SHARE). */
extern Query *dyn_query_expand(Query *query);

/* Changes when the definition's meaning does: a view replaced, a policy added.  rows: of dyn_query_row_types */
extern int64 dyn_query_hash(Query *expanded, uint64 rows);

/* A hash of the columns that rows have today which the query uses as wholes; its tree does not tell. */
extern uint64 dyn_query_row_types(Query *expanded);

/* Changes when a key of the plan's nodes does: a constraint that it rests on was dropped. */
extern uint64 dyn_plan_key_hash(DynPlan *plan);

/*
 * What the meaning of an (expanded) query rests on besides itself, as items of
 * text to be stored, see dyn_basis.c; and what of it was changed since, in words,
 * or NULL.
 */
extern List *dyn_query_basis(Query *expanded);
extern char *dyn_basis_changed(List *stored, List *present);

/* Raise an error unless the current user may run the query, which expands to that; views count as their owners. */
extern void dyn_query_check_permissions(Query *query, Query *expanded);

#endif							/* DYN_PLAN_H */
