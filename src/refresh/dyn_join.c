/*
 * dyn_join.c
 *	  The delta of a join that is not inner, in steps.
 *
 * Which rows of a side lose their last partner or get their first one is found
 * out before the delta is written (dyn_sql_join.c): there are few of them and
 * mostly none, and what has no rows costs no term of the delta and no plan.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/builtins.h>

#include "query/dyn_sql.h"
#include "refresh/dyn_evaluate.h"

static bool find_flips(DynEvaluation *evaluation, DynNode *node, int side);
static TupleDesc flips_desc(DynNode *node, int side);

DynRows *
dyn_join_delta(DynEvaluation *evaluation, DynNode *node)
{
	bool		flipped[3] = {false};	/* by side */
	char	   *statement;

	for (int side = 1; side <= 2; side++)
		if (dyn_sql_join_may_flip(&evaluation->sql, node, side))
			flipped[side] = find_flips(evaluation, node, side);
	statement = dyn_sql_join_delta(&evaluation->sql, node, flipped);
	if (statement == NULL)
		return NULL;
	return dyn_execute_rows(&evaluation->execution, psprintf("d%d", node->no), statement,
							dyn_delta_desc(node->ncolumns, node->columns),
							dyn_delta_identity(node->ncolumns, node->columns));
}

/* Make f<no>_<side>; has it any rows? */
static bool
find_flips(DynEvaluation *evaluation, DynNode *node, int side)
{
	DynExecution *execution = &evaluation->execution;
	DynNode    *mine = dyn_input(node, side);
	TupleDesc	desc = dyn_delta_desc(mine->ncolumns, mine->columns);
	bool	   *identity = dyn_delta_identity(mine->ncolumns, mine->columns);
	char	   *candidates = dyn_sql_join_candidates(&evaluation->sql, node, side);

	if (candidates &&
		dyn_execute_rows(execution, psprintf("x%d_%d", node->no, side), candidates, desc, identity)->count == 0)
		return false;
	if (node->keys_only)
	{
		desc = flips_desc(node, side);
		identity = NULL;
	}
	return dyn_execute_rows(execution, psprintf("f%d_%d", node->no, side),
							dyn_sql_join_flips(&evaluation->sql, node, side), desc, identity)->count > 0;
}

/* k1, …, dw */
static TupleDesc
flips_desc(DynNode *node, int side)
{
	DynColumn	change = {.type = INT8OID, .typmod = -1};
	TupleDesc	desc = dyn_columns_desc("k", lappend(dyn_sql_join_keys(node, side), &change));

	namestrcpy(&TupleDescAttr(desc, desc->natts - 1)->attname, "dw");
	return desc;
}
