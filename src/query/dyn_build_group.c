/*
 * dyn_build_group.c
 *	  GROUP BY, GROUPING SETS, CUBE and ROLLUP.
 *
 * Each grouping set is an AGGREGATE of its own over one input; a SELECT above
 * it gives NULL for the columns that are not in the set and a constant for
 * each GROUPING(), and the sets are a UNION ALL, over which HAVING stands.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parse_agg.h>
#include <rewrite/rewriteManip.h>
#include <utils/builtins.h>
#include <utils/typcache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"
#include "query/dyn_make.h"

/* A plan and its state tables grow with the number of grouping sets. */
#define MAX_SETS	64

typedef struct Grouping
{
	List	   *keys;			/* expressions of GROUP BY */
	List	   *refs;			/* of int: what clauses and GROUPING() call them */
	List	   *dependent;		/* Vars that a grouped primary key decides */
	List	   *aggs;			/* of Aggref * */
	List	   *masks;			/* of GroupingFunc * */
	Index		depth;			/* of the subquery that is looked into */
} Grouping;

static void find_grouping(DynUpper *upper, Grouping *grouping);
static bool ungrouped_vars_walker(Node *node, void *context);
static bool aggregates_walker(Node *node, void *context);
static bool grouping_refused(DynUpper *upper, Grouping *grouping);
static bool share_input(DynUpper *upper, Grouping *grouping);
static DynNode *build_sets(DynUpper *upper, Grouping *grouping);
static DynNode *build_set(DynUpper *upper, Grouping *grouping, List *set);
static int	mask_of(GroupingFunc *function, List *set);
static void refer_to_keys(DynUpper *upper, Grouping *grouping);

bool
dyn_build_aggregate(DynUpper *upper)
{
	Grouping	grouping = {NIL};
	DynExprColumns columns = {NIL};
	DynNode    *node;

	upper->tlist = (List *) dyn_rewrite_aggregates((Node *) upper->tlist, NULL);
	upper->having = (List *) dyn_rewrite_aggregates((Node *) upper->having, NULL);
	find_grouping(upper, &grouping);
	if (grouping_refused(upper, &grouping))
		return false;
	if (upper->query->groupingSets || dyn_needs_branches(grouping.aggs))
	{
		if (!share_input(upper, &grouping))
			return false;
		grouping = (Grouping) {NIL};
		find_grouping(upper, &grouping);
	}
	if (upper->query->groupingSets || grouping.masks)
		node = build_sets(upper, &grouping);
	else
		node = dyn_build_groups(upper->ctx, upper->inputs, upper->quals,
								list_concat_copy(grouping.keys, grouping.dependent), grouping.aggs);
	if (node == NULL)
		return false;

	columns.exprs = list_concat(list_concat_copy(grouping.keys, grouping.dependent),
								list_concat_copy(grouping.aggs, grouping.masks));
	upper->inputs = list_make1(node);
	upper->tlist = (List *) dyn_as_columns((Node *) upper->tlist, &columns);
	if (upper->query->groupingSets)
		refer_to_keys(upper, &grouping);
	upper->quals = (List *) dyn_as_columns((Node *) upper->having, &columns);
	upper->having = NIL;
	return true;
}

static void
find_grouping(DynUpper *upper, Grouping *grouping)
{
	ListCell   *lc;

	foreach(lc, upper->query->groupClause)
	{
		Node	   *key = get_sortgroupclause_expr(lfirst(lc), upper->tlist);

		/* in grouping sets, one may be in a set without the other */
		if (upper->query->groupingSets == NIL && list_member(grouping->keys, key))
			continue;
		grouping->keys = lappend(grouping->keys, key);
		grouping->refs = lappend_int(grouping->refs, lfirst_node(SortGroupClause, lc)->tleSortGroupRef);
	}

	/* columns that depend on a grouped primary key group the same way */
	ungrouped_vars_walker((Node *) upper->tlist, grouping);
	ungrouped_vars_walker((Node *) upper->having, grouping);
	aggregates_walker((Node *) upper->tlist, grouping);
	aggregates_walker((Node *) upper->having, grouping);
}

/* Something of this level as it stands outside of the subqueries in which it was found. */
static void *
at_own_level(void *node, Index depth)
{
	node = copyObject(node);
	IncrementVarSublevelsUp(node, -(int) depth, 0);
	return node;
}

/* Collect Vars outside aggregates and grouping expressions. */
static bool
ungrouped_vars_walker(Node *node, void *context)
{
	Grouping   *grouping = context;

	if (node == NULL || list_member(grouping->keys, node) ||
		(IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == grouping->depth) ||
		(IsA(node, GroupingFunc) && ((GroupingFunc *) node)->agglevelsup == grouping->depth))
		return false;
	if (IsA(node, Var))
	{
		if (((Var *) node)->varlevelsup == grouping->depth)
			grouping->dependent = list_append_unique(grouping->dependent,
													 at_own_level(node, grouping->depth));
		return false;
	}
	if (IsA(node, Query))
	{
		Grouping	inner = {.keys = copyObject(grouping->keys), .dependent = grouping->dependent,
		.depth = grouping->depth + 1};

		IncrementVarSublevelsUp((Node *) inner.keys, 1, 0);
		(void) query_tree_walker((Query *) node, ungrouped_vars_walker, &inner, 0);
		grouping->dependent = inner.dependent;
		return false;
	}
	return expression_tree_walker(node, ungrouped_vars_walker, context);
}

static bool
aggregates_walker(Node *node, void *context)
{
	Grouping   *grouping = context;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == grouping->depth)
	{
		grouping->aggs = list_append_unique(grouping->aggs, at_own_level(node, grouping->depth));
		return false;
	}
	if (IsA(node, GroupingFunc) && ((GroupingFunc *) node)->agglevelsup == grouping->depth)
	{
		grouping->masks = list_append_unique(grouping->masks, at_own_level(node, grouping->depth));
		return false;
	}
	if (IsA(node, Query))
	{
		grouping->depth++;
		(void) query_tree_walker((Query *) node, aggregates_walker, context, 0);
		grouping->depth--;
		return false;
	}
	return expression_tree_walker(node, aggregates_walker, context);
}

static bool
grouping_refused(DynUpper *upper, Grouping *grouping)
{
	List	   *read = list_concat_copy(grouping->keys, grouping->dependent);
	bool		now = dyn_expr_has_now((Node *) read);
	ListCell   *lc;

	foreach(lc, grouping->aggs)
	{
		Aggref		argument = *lfirst_node(Aggref, lc);

		argument.aggfilter = NULL;
		now |= dyn_expr_has_now((Node *) &argument);
	}
	if (now)
	{
		dyn_refuse(upper->ctx, "NOW_IN_AGGREGATE",
				   "now() stands in GROUP BY or in an aggregate's argument");
		return true;
	}
	return !dyn_check_written_at(upper->ctx, (Node *) list_concat(read, grouping->aggs), upper->inputs);
}

/*
 * Make one node of the level's rows, which several nodes above may read.  Keys
 * that return sets are columns of it: there are as many rows of a group in a
 * grouping set without such a key as in one with it.
 */
static bool
share_input(DynUpper *upper, Grouping *grouping)
{
	DynExprColumns columns = {NIL};
	DynNode    *node;
	ListCell   *lc;

	foreach(lc, grouping->keys)
		if (expression_returns_set(lfirst(lc)))
			columns.exprs = lappend(columns.exprs, lfirst(lc));
	if (list_length(upper->inputs) == 1 && upper->quals == NIL && columns.exprs == NIL)
	{
		((DynNode *) linitial(upper->inputs))->shared = true;
		return true;
	}
	columns.exprs = list_concat(columns.exprs, dyn_vars_of((Node *) list_make2(upper->tlist, upper->having)));
	node = dyn_make_select(upper->ctx, upper->inputs, upper->quals, copyObject(columns.exprs));
	if (node == NULL)
		return false;
	node->shared = true;
	upper->inputs = list_make1(node);
	upper->quals = NIL;
	upper->tlist = (List *) dyn_as_columns((Node *) upper->tlist, &columns);
	upper->having = (List *) dyn_as_columns((Node *) upper->having, &columns);
	return true;
}

/* ------------------------------------------------------------------------
 * Grouping sets
 * ------------------------------------------------------------------------
 */

/* All sets, with the columns keys, dependent, aggs, masks. */
static DynNode *
build_sets(DynUpper *upper, Grouping *grouping)
{
	Query	   *query = upper->query;
	List	   *everywhere = NIL;
	List	   *sets = list_make1(NIL);
	List	   *inputs = NIL;
	DynNode    *node;
	ListCell   *lc;

	if (query->groupingSets)
		sets = expand_grouping_sets(query->groupingSets, query->groupDistinct, MAX_SETS);
	if (sets == NIL)
		return dyn_refuse(upper->ctx, "GROUPING_SETS", "the query has more than %d grouping sets", MAX_SETS);

	/* what no set names is in all */
	foreach(lc, query->groupClause)
		everywhere = lappend_int(everywhere, lfirst_node(SortGroupClause, lc)->tleSortGroupRef);
	foreach(lc, sets)
		everywhere = list_difference_int(everywhere, lfirst(lc));
	foreach(lc, sets)
	{
		node = build_set(upper, grouping, list_union_int(lfirst(lc), everywhere));
		if (node == NULL)
			return NULL;
		inputs = lappend(inputs, node);
	}
	if (list_length(inputs) == 1)
		return linitial(inputs);
	node = dyn_make_union(inputs);
	dyn_columns_like(node, grouping->keys);
	return node;
}

static DynNode *
build_set(DynUpper *upper, Grouping *grouping, List *set)
{
	List	   *keys = NIL;
	List	   *targets = NIL;
	List	   *columns;
	DynNode    *node;
	ListCell   *lk;
	ListCell   *lr;

	forboth(lk, grouping->keys, lr, grouping->refs)
		if (list_member_int(set, lfirst_int(lr)))
			keys = lappend(keys, lfirst(lk));
	node = dyn_build_groups(upper->ctx, upper->inputs, upper->quals,
							list_concat_copy(keys, grouping->dependent), grouping->aggs);
	if (node == NULL)
		return NULL;
	columns = dyn_column_vars(node, 1);
	forboth(lk, grouping->keys, lr, grouping->refs)
	{
		bool		grouped = list_member_int(set, lfirst_int(lr));

		targets = lappend(targets, grouped ? linitial(columns) : dyn_make_null_of(lfirst(lk)));
		if (grouped)
			columns = list_delete_first(columns);
	}
	targets = list_concat(targets, columns);
	foreach(lk, grouping->masks)
		targets = lappend(targets, makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
											 Int32GetDatum(mask_of(lfirst(lk), set)), false, true));
	return dyn_make_select(upper->ctx, list_make1(node), NIL, targets);
}

/* GROUPING(): a bit for each argument, 1 where the set is without it; the last argument's is the lowest. */
static int
mask_of(GroupingFunc *function, List *set)
{
	int			mask = 0;
	ListCell   *lc;

	foreach(lc, function->refs)
		mask = (mask << 1) | (list_member_int(set, lfirst_int(lc)) ? 0 : 1);
	return mask;
}

/* Entries of the target list that are keys: which one does not show in the expression where two are equal. */
static void
refer_to_keys(DynUpper *upper, Grouping *grouping)
{
	List	   *columns = dyn_column_vars(linitial(upper->inputs), 1);
	ListCell   *lt;
	ListCell   *lr;

	foreach(lt, upper->tlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lt);

		foreach(lr, grouping->refs)
			if (entry->ressortgroupref == lfirst_int(lr))
				entry->expr = list_nth(columns, foreach_current_index(lr));
	}
}
