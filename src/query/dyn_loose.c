/*
 * dyn_loose.c
 *	  Which deltas need not be consolidated.
 *
 * Where a row came and went since the refresh before, its delta has it twice,
 * with weights that add up to nothing.  To find such rows takes longer than to
 * sum the weights, so that it is left to the operator that cannot do without: one that looks
 * rows up for each row of a delta, keeps extrema, or is the last.
 */
#include <postgres.h>

#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>

#include "query/dyn_node.h"

static bool minds(DynNode *parent);
static bool is_faithful(DynNode *node);
static bool inlines(DynPlan *plan, DynNode *node);

void
dyn_plan_loosen(DynPlan *plan)
{
	ListCell   *lc;
	ListCell   *li;

	foreach(lc, plan->nodes)
	{
		DynNode    *node = lfirst(lc);

		node->loose = node != plan->top && node->recursion == NULL;
	}
	foreach(lc, plan->nodes)
		if (minds(lfirst(lc)))
			foreach(li, ((DynNode *) lfirst(lc))->inputs)
				((DynNode *) lfirst(li))->loose = false;
	foreach(lc, plan->nodes)
	{
		DynNode    *node = lfirst(lc);

		node->faithful = is_faithful(node);
		node->inlined = inlines(plan, node);
	}
}

static bool
is_faithful(DynNode *node)
{
	Bitmapset  *columns = NULL;
	ListCell   *lc;

	if (node->kind != DYN_NODE_SELECT || list_length(node->inputs) != 1 ||
		expression_returns_set((Node *) node->targets))
		return false;
	foreach(lc, node->targets)
		if (IsA(lfirst(lc), Var))
			columns = bms_add_member(columns, lfirst_node(Var, lc)->varattno);
	switch (dyn_input(node, 1)->kind)
	{
		case DYN_NODE_AGGREGATE:
		case DYN_NODE_WINDOW:
		case DYN_NODE_TOP:
			return bms_num_members(columns) == dyn_input(node, 1)->ncolumns;
		default:
			return false;
	}
}

/*
 * An expression must not be computed for a row that nobody has seen: it might
 * fail.  What the server calls leakproof does not.
 */
static bool
minds(DynNode *parent)
{
	switch (parent->kind)
	{
		case DYN_NODE_AGGREGATE:
			return !dyn_node_only_sums(parent);
		case DYN_NODE_SELECT:
			return list_length(parent->inputs) != 1 || expression_returns_set((Node *) parent->targets) ||
				contain_leaked_vars((Node *) parent->targets) || contain_leaked_vars((Node *) parent->quals);
		case DYN_NODE_UNION:
			return false;
		default:
			return true;
	}
}

/* A minus alone makes other aggregates read a group again, whether the row was there or not. */
bool
dyn_node_only_sums(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);

		if (agg->kind == DYN_AGG_EXTREMUM || agg->kind == DYN_AGG_REREAD || agg->minus_rereads)
			return false;
	}
	return true;
}

/* Keys that may be NULL are columns of the input, of whose delta it is known whether one is. */
static bool
inlines(DynPlan *plan, DynNode *node)
{
	DynNode    *aggregate = NULL;
	ListCell   *lc;

	if (!node->loose || node->kind != DYN_NODE_SELECT || list_length(node->inputs) != 1)
		return false;
	foreach(lc, plan->nodes)
	{
		DynNode    *parent = lfirst(lc);

		if (!list_member_ptr(parent->inputs, node))
			continue;
		if (aggregate || parent->kind != DYN_NODE_AGGREGATE)
			return false;
		aggregate = parent;
	}
	for (int i = 0; i < aggregate->nkeys; i++)
		if (node->columns[i].nullable && !IsA(list_nth(node->targets, i), Var))
			return false;
	return true;
}
