/*
 * dyn_build_narrow.c
 *	  Groups that stand for a correlated subquery, narrowed to those that rows
 *	  outside ask for.
 *
 * SELECT … FROM part p WHERE p.brand = 'x' AND … (SELECT avg(quantity) FROM line l WHERE
 * l.part = p.id) has, as one relation for all rows outside, a group for each
 * part (dyn_build_dependent.c).  Where conditions leave few of the rows outside, few of the
 * groups are ever looked at, but all would be kept up to date.  So the rows
 * that are grouped are joined with the rows outside first:
 *	 FROM line l, part p WHERE l.part = p.id AND p.brand = 'x'.
 * Each must have at most one partner there, by a key of the table outside, or it
 * would be counted several times.  A row that comes to be among those outside then
 * looks up the rows of its group, which the server also does for each row outside
 * when it runs such a subquery.
 *
 * What is decided here rests on the query and on keys alone, for the groups are
 * kept: statistics may say something else tomorrow.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"
#include "query/dyn_vars.h"

static DynNode *groups_of(DynNode *node, List **columns);
static DynNode *few_outside(DynNode *outside, List **exprs, List **quals);
static bool is_of(List *expr, int input, int ncolumns);
static List *conditions_of(List *quals, int input, int ncolumns);
static bool leave_few(List *quals);
static bool leaves_few(Node *qual);
static bool is_key(DynNode *node, List *pairs, List *exprs);
static bool is_recursive(DynNode *node);

/*
 * dyn_narrow_groups does so where it can.  carried: the first of the columns of
 * node that the pairs' inner sides are; pairs: list of DynPair * with operators.
 */
void
dyn_narrow_groups(DynContext *ctx, DynNode *outside, DynNode *node, int carried, List *pairs)
{
	List	   *columns = NIL;
	List	   *exprs = NIL;
	List	   *quals = NIL;
	List	   *conditions = NIL;
	DynNode    *groups;
	DynNode    *few;
	DynNode    *input;
	ListCell   *lc;

	foreach(lc, pairs)
	{
		columns = lappend_int(columns, carried + foreach_current_index(lc));
		exprs = lappend(exprs, ((DynPair *) lfirst(lc))->outside);
	}
	groups = groups_of(node, &columns);
	few = groups ? few_outside(outside, &exprs, &quals) : NULL;
	if (few == NULL || !is_key(few, pairs, exprs) || is_recursive(few))
		return;
	input = dyn_input(groups, 1);
	foreach(lc, pairs)
	{
		DynPair    *pair = lfirst(lc);
		int			i = list_nth_int(columns, foreach_current_index(lc));
		DynColumn  *column = &input->columns[i - 1];
		Node	   *expr = dyn_renumber_input(list_nth(exprs, foreach_current_index(lc)), 1, 2);

		if (column->type != exprType((Node *) pair->inside))
			return;
		conditions = lappend(conditions,
							 make_opclause(pair->operator, BOOLOID, false, (Expr *) expr,
										   (Expr *) makeVar(1, i, column->type, column->typmod, column->collation, 0),
										   InvalidOid, pair->collation));
	}
	few->shared = true;
	input = dyn_make_select(ctx, list_make2(input, few),
							list_concat(conditions, (List *) dyn_renumber_input((Node *) quals, 1, 2)),
							dyn_column_vars(input, 1));
	if (input != NULL)
		groups->inputs = list_make1(input);
}

/* The groups of which the node is made, row by row; the columns (list of int) are then theirs.  NULL: there are none. */
static DynNode *
groups_of(DynNode *node, List **columns)
{
	ListCell   *lc;

	while (node->kind == DYN_NODE_SELECT && !node->shared && list_length(node->inputs) == 1)
	{
		List	   *below = NIL;

		foreach(lc, *columns)
		{
			Var		   *var = list_nth(node->targets, lfirst_int(lc) - 1);

			if (!IsA(var, Var))
				return NULL;
			below = lappend_int(below, var->varattno);
		}
		*columns = below;
		node = dyn_input(node, 1);
	}
	if (node->kind != DYN_NODE_AGGREGATE || node->shared)
		return NULL;
	foreach(lc, *columns)
		if (lfirst_int(lc) > node->nkeys)
			return NULL;
	return node;
}

static Node *
target_var(Var *var, void *arg)
{
	return copyObject(list_nth((List *) arg, var->varattno - 1));
}

/*
 * Step down to the rows from which all of the expressions come, as long as
 * their number can only become smaller on the way up: to a table of which few
 * rows are left by conditions (*quals), or to rows each of which must have a
 * partner.  The expressions are then over it.  NULL: there is none.
 */
static DynNode *
few_outside(DynNode *outside, List **exprs, List **quals)
{
	*quals = NIL;
	for (;;)
	{
		int			input = 1;
		int			ncolumns;

		if (outside->kind == DYN_NODE_SCAN)
			return leave_few(*quals) ? outside : NULL;
		if (outside->kind == DYN_NODE_JOIN && outside->join == DYN_JOIN_SEMI)
			return outside;
		if (outside->kind == DYN_NODE_JOIN && outside->join == DYN_JOIN_FULL)
			return NULL;
		/* what is behind a barrier may be seen by its own conditions only */
		if ((outside->kind != DYN_NODE_SELECT && outside->kind != DYN_NODE_JOIN) || outside->barrier)
			return NULL;
		if (outside->kind == DYN_NODE_SELECT)
		{
			*exprs = (List *) dyn_vars_map((Node *) *exprs, target_var, outside->targets);
			*quals = list_concat((List *) dyn_vars_map((Node *) *quals, target_var, outside->targets),
								 copyObject(outside->quals));
		}
		if (expression_returns_set((Node *) *exprs) || expression_returns_set((Node *) *quals) ||
			!bms_get_singleton_member(dyn_expr_relations((Node *) *exprs), &input))
			return NULL;
		ncolumns = dyn_input(outside, input)->ncolumns;
		if (!is_of(*exprs, input, ncolumns))
			return NULL;
		*exprs = (List *) dyn_renumber_input((Node *) *exprs, input, 1);
		*quals = conditions_of(*quals, input, ncolumns);
		outside = dyn_input(outside, input);
	}
}

/* Is the expression over the first so many columns of an input, and nothing else? */
static bool
is_of(List *expr, int input, int ncolumns)
{
	ListCell   *lc;

	foreach(lc, dyn_vars_of((Node *) expr))
		if (lfirst_node(Var, lc)->varno != input || lfirst_node(Var, lc)->varattno > ncolumns)
			return false;
	return true;
}

/* Those conditions that are, over input 1. */
static List *
conditions_of(List *quals, int input, int ncolumns)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, quals)
		if (is_of(list_make1(lfirst(lc)), input, ncolumns))
			result = lappend(result, dyn_renumber_input(lfirst(lc), input, 1));
	return result;
}

static bool
leave_few(List *quals)
{
	ListCell   *lc;

	foreach(lc, quals)
		if (leaves_few(lfirst(lc)))
			return true;
	return false;
}

/* Equal to a constant, or to one of a few, or like a pattern. */
static bool
leaves_few(Node *qual)
{
	List	   *args = NIL;
	Oid			estimator = InvalidOid;

	if (IsA(qual, OpExpr))
	{
		args = ((OpExpr *) qual)->args;
		estimator = get_oprrest(((OpExpr *) qual)->opno);
	}
	else if (IsA(qual, ScalarArrayOpExpr) && ((ScalarArrayOpExpr *) qual)->useOr)
	{
		args = ((ScalarArrayOpExpr *) qual)->args;
		estimator = get_oprrest(((ScalarArrayOpExpr *) qual)->opno);
	}
	if (list_length(args) != 2 || dyn_expr_relations(lsecond(args)) != NULL)
		return false;
	return estimator == F_EQSEL || estimator == F_LIKESEL || estimator == F_ICLIKESEL ||
		estimator == F_REGEXEQSEL || estimator == F_ICREGEXEQSEL || estimator == F_PREFIXSEL;
}

/*
 * Are the expressions columns, which raise no error in rows that another
 * condition leaves out, and is there at most one row of the node for their values?
 */
static bool
is_key(DynNode *node, List *pairs, List *exprs)
{
	List	   *fixed = NIL;
	ListCell   *lc;

	foreach(lc, exprs)
	{
		Var		   *var = lfirst(lc);
		DynPair    *pair = list_nth(pairs, foreach_current_index(lc));

		if (!IsA(var, Var))
			return false;
		if (var->varcollid == pair->collation)
			fixed = lappend_int(fixed, var->varattno);
	}
	dyn_derive_keys(node);
	return node->has_key && list_difference_int(node->key, fixed) == NIL;
}

/* Does the node depend on the rounds of a recursive query, which have no state? */
static bool
is_recursive(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->inputs)
		if (is_recursive(lfirst(lc)))
			return true;
	return node->kind == DYN_NODE_WORKING;
}
