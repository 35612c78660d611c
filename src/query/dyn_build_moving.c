/*
 * dyn_build_moving.c
 *	  Conditions on now(): a node of their own over what they read, since rows
 *	  cross them by the clock alone.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/typcache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static bool identifiable(DynNode *node);
static List *key_equalities(DynNode *node, int mine, int other, int offset);
static List *key_vars(DynNode *node, int input);
static List *placed(List *vars, int offset);

/*
 * dyn_split_moving takes the conditions on now() out of quals: those over one
 * input become a MOVING node around it, the others are returned in *moving.
 */
void
dyn_split_moving(DynContext *ctx, List **inputs, List **quals, List **moving)
{
	List	   *rest = NIL;
	ListCell   *lc;

	*moving = NIL;
	foreach(lc, *quals)
	{
		Node	   *qual = lfirst(lc);
		int			input;

		if (!dyn_expr_has_now(qual))
			rest = lappend(rest, qual);
		else if (bms_get_singleton_member(dyn_expr_relations(qual), &input))
		{
			ListCell   *slot;

			*inputs = list_copy(*inputs);
			slot = list_nth_cell(*inputs, input - 1);
			lfirst(slot) = dyn_make_moving(ctx, lfirst(slot), dyn_renumber_input(qual, input, 1));
		}
		else if (*inputs == NIL)
			*inputs = list_make1(dyn_make_moving(ctx, dyn_build_one_row(), qual));
		else
			*moving = lappend(*moving, qual);
	}
	*quals = rest;
}

DynNode *
dyn_make_moving(DynContext *ctx, DynNode *input, Node *qual)
{
	DynNode    *node;

	if (input == NULL)
		return NULL;
	node = dyn_node_new(DYN_NODE_MOVING, input->ncolumns);
	memcpy(node->columns, input->columns, sizeof(DynColumn) * input->ncolumns);
	node->inputs = list_make1(input);
	node->quals = list_make1(qual);
	return node;
}

/*
 * dyn_make_moving_join makes a join that is not inner and has now() in its
 * condition: the pairs that are partners, whom the clock brings together and
 * parts, are an inner join; with whom a row of left is paired there is then a
 * matter of left's key.  In a full join right has to find its pairs again, in
 * the same way.
 */
DynNode *
dyn_make_moving_join(DynContext *ctx, DynJoin join, DynNode *left, DynNode *right, List *quals)
{
	bool		full = join == DYN_JOIN_FULL;
	int			behind;
	List	   *targets;
	DynNode    *node;

	if (!identifiable(left) || (full && !identifiable(right)))
		return dyn_refuse(ctx, "NOW_IN_OUTER_JOIN",
						  "now() stands in the condition of a join that is not inner and whose rows have no key");
	left->shared = right->shared = true;

	/* the pairs: left's key, and its partner or the partner's key */
	targets = list_concat(key_vars(left, 1), full ? key_vars(right, 2) : dyn_column_vars(right, 2));
	node = dyn_make_select(ctx, list_make2(left, right), quals, targets);
	if (node == NULL)
		return NULL;
	node = dyn_make_join(ctx, full ? DYN_JOIN_LEFT : join, left, node, key_equalities(left, 1, 2, 0));
	if (node == NULL || !dyn_join_is_outer(join))
		return node;
	behind = left->ncolumns + list_length(left->key);
	if (full)
	{
		targets = list_concat(dyn_column_vars(left, 1), placed(key_vars(right, 1), behind));
		node = dyn_make_select(ctx, list_make1(node), NIL, targets);
		if (node == NULL)
			return NULL;
		node = dyn_make_join(ctx, DYN_JOIN_FULL, node, right,
							 key_equalities(right, 2, 1, left->ncolumns));
		if (node == NULL)
			return NULL;
		behind = left->ncolumns + list_length(right->key);
	}
	targets = list_concat(dyn_column_vars(left, 1), placed(dyn_column_vars(right, 1), behind));
	return dyn_make_select(ctx, list_make1(node), NIL, targets);
}

/* Has the node a key that is never NULL, so that "=" finds its rows again? */
static bool
identifiable(DynNode *node)
{
	ListCell   *lc;

	dyn_derive_keys(node);
	foreach(lc, node->key)
	{
		DynColumn  *column = &node->columns[lfirst_int(lc) - 1];

		if (column->nullable || !OidIsValid(lookup_type_cache(column->type, TYPECACHE_EQ_OPR)->eq_opr))
			return false;
	}
	return node->has_key;
}

/* The node's key as input mine equals the columns of input other that stand behind offset. */
static List *
key_equalities(DynNode *node, int mine, int other, int offset)
{
	List	   *mine_vars = key_vars(node, mine);
	List	   *other_vars = placed(key_vars(node, other), offset);
	List	   *result = NIL;
	ListCell   *lm;
	ListCell   *lo;

	forboth(lm, mine_vars, lo, other_vars)
	{
		Oid			operator = lookup_type_cache(exprType(lfirst(lm)), TYPECACHE_EQ_OPR)->eq_opr;
		Expr	   *equality = make_opclause(operator, BOOLOID, false, lfirst(lm), lfirst(lo),
											 InvalidOid, exprCollation(lfirst(lm)));

		set_opfuncid((OpExpr *) equality);
		result = lappend(result, equality);
	}
	return result;
}

/* The node's key columns as Vars of an input. */
static List *
key_vars(DynNode *node, int input)
{
	List	   *all = dyn_column_vars(node, input);
	List	   *vars = NIL;
	ListCell   *lc;

	foreach(lc, node->key)
		vars = lappend(vars, list_nth(all, lfirst_int(lc) - 1));
	return vars;
}

/* The Vars where their columns stand one behind the other after an offset. */
static List *
placed(List *vars, int offset)
{
	ListCell   *lc;

	foreach(lc, vars)
	{
		Var		   *var = lfirst_node(Var, lc);

		var->varattno = var->varattnosyn = offset + foreach_current_index(lc) + 1;
	}
	return vars;
}
