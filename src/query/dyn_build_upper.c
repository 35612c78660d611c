/*
 * dyn_build_upper.c
 *	  What stands above FROM in one level of SELECT, and from below: the order
 *	  of grouping, window functions, the target list, DISTINCT and LIMIT.
 *
 * The level's expressions are carried along: at first over the columns of the
 * FROM inputs, after each node over the columns of that node.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <optimizer/tlist.h>
#include <rewrite/rewriteManip.h>
#include <utils/fmgroids.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

/* Expressions, and what takes their place. */
typedef struct Replacement
{
	List	   *from;
	List	   *to;
} Replacement;

static bool attach_below_groups(DynLevel *level, DynUpper *upper);
static bool attach_below(DynLevel *level, DynUpper *upper, List *exprs);
static bool group_by_direct_arguments(DynUpper *upper);
static bool direct_subqueries(Node *node, void *context);
static bool subqueries_of(Node *node, void *context);
static bool asking_aggregates(Node *node, void *context);
static Node *replace_mutator(Node *node, void *context);
static bool orders_by_sets(Query *query);
static bool expands_last(Query *query);
static DynNode *build_ordered(DynLevel *level, DynUpper *upper);
static DynNode *build_distinct_on(DynUpper *upper, List *tlist);

DynNode *
dyn_build_select(DynLevel *level)
{
	Query	   *query = level->query;
	DynBlock	block = {0};
	DynUpper	upper = {0};
	List	   *targets = NIL;
	List	   *none = NIL;
	List	   *printed = NIL;
	ListCell   *lc;
	DynNode    *node;

	if (!dyn_build_from(level, (Node *) query->jointree, &block))
		return NULL;
	upper.ctx = level->ctx;
	upper.query = query;
	upper.inputs = block.inputs;
	upper.quals = (List *) dyn_relocate(level, (Node *) block.quals);
	upper.tlist = (List *) dyn_relocate(level, (Node *) query->targetList);
	upper.having = dyn_expr_conjuncts(dyn_relocate(level, query->havingQual));
	if (level->ctx->refusal->code)
		return NULL;

	if (query->hasAggs || query->groupClause || query->groupingSets || query->havingQual)
	{
		if (!attach_below_groups(level, &upper) || !dyn_build_aggregate(&upper))
			return NULL;
	}
	if (!dyn_attach_sublinks(level, &upper.inputs, &upper.quals, &upper.tlist, &none))
		return NULL;
	if (query->hasWindowFuncs && !dyn_build_windows(&upper))
		return NULL;
	if (query->hasDistinctOn || orders_by_sets(query) || (dyn_limits(query) && query->distinctClause == NIL))
		return build_ordered(level, &upper);
	foreach(lc, upper.tlist)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
		{
			targets = lappend(targets, lfirst_node(TargetEntry, lc)->expr);
			printed = lappend(printed, lfirst(lc));
		}
	node = dyn_make_select(upper.ctx, upper.inputs, upper.quals, targets);
	if (node == NULL || query->distinctClause == NIL)
		return node;
	return dyn_build_limit(level, dyn_build_distinct(upper.ctx, node), printed);
}

/*
 * Subqueries in WHERE, in what is grouped by and in what is aggregated belong
 * to the rows; all others are computed once for each group.
 */
static bool
attach_below_groups(DynLevel *level, DynUpper *upper)
{
	List	   *keys = NIL;
	List	   *aggregates = NIL;
	ListCell   *lc;

	if (!group_by_direct_arguments(upper))
		return false;
	foreach(lc, upper->query->groupClause)
	{
		Node	   *expr = get_sortgroupclause_expr(lfirst(lc), upper->tlist);

		if (dyn_has_sublinks(expr))
			keys = lappend(keys, expr);
	}
	if (!attach_below(level, upper, keys))
		return false;
	(void) asking_aggregates((Node *) upper->tlist, &aggregates);
	(void) asking_aggregates((Node *) upper->having, &aggregates);
	return aggregates == NIL || attach_below(level, upper, aggregates);
}

/* The subqueries of WHERE, and those in these expressions wherever they stand. */
static bool
attach_below(DynLevel *level, DynUpper *upper, List *exprs)
{
	Replacement replacement = {exprs, exprs};
	List	   *others = list_make3(upper->tlist, upper->having, exprs);

	if (!dyn_attach_sublinks(level, &upper->inputs, &upper->quals, &replacement.to, &others))
		return false;
	replacement.from = lthird(others);
	upper->tlist = (List *) replace_mutator(linitial(others), &replacement);
	upper->having = (List *) replace_mutator(lsecond(others), &replacement);
	return true;
}

/*
 * A subquery in a direct argument, as in percentile_cont((SELECT …)), names only what is
 * grouped by: its value may as well be grouped by too.
 */
static bool
group_by_direct_arguments(DynUpper *upper)
{
	List	   *asked = NIL;
	Query	   *query = upper->query;
	ListCell   *lc;

	(void) direct_subqueries((Node *) upper->tlist, &asked);
	(void) direct_subqueries((Node *) upper->having, &asked);
	if (asked != NIL && (query->groupClause == NIL || query->groupingSets))
		return dyn_refuse(upper->ctx, "SUBQUERY_EXPRESSION",
						  "a subquery stands in a direct argument of an aggregate of all rows") != NULL;
	foreach(lc, asked)
	{
		TargetEntry *entry = makeTargetEntry(lfirst(lc), list_length(upper->tlist) + 1, NULL, true);

		upper->tlist = lappend(upper->tlist, entry);
		query->groupClause = lappend(query->groupClause, dyn_group_clause(entry, upper->tlist));
	}
	return true;
}

static bool
direct_subqueries(Node *node, void *context)
{
	if (node == NULL || IsA(node, SubLink))
		return false;
	if (IsA(node, Aggref))
		return subqueries_of((Node *) ((Aggref *) node)->aggdirectargs, context);
	return expression_tree_walker(node, direct_subqueries, context);
}

static bool
subqueries_of(Node *node, void *context)
{
	List	  **found = context;

	if (node == NULL)
		return false;
	if (!IsA(node, SubLink))
		return expression_tree_walker(node, subqueries_of, context);
	*found = list_append_unique(*found, node);
	return false;
}

static bool
asking_aggregates(Node *node, void *context)
{
	List	  **found = context;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		if (dyn_has_sublinks((Node *) ((Aggref *) node)->args) || dyn_has_sublinks((Node *) ((Aggref *) node)->aggfilter))
			*found = lappend(*found, node);
		return false;
	}
	return expression_tree_walker(node, asking_aggregates, context);
}

static Node *
replace_mutator(Node *node, void *context)
{
	Replacement *replacement = context;
	ListCell   *lf;
	ListCell   *lt;

	if (node == NULL)
		return NULL;
	forboth(lf, replacement->from, lt, replacement->to)
		if (equal(lfirst(lf), node))
			return copyObject(lfirst(lt));
	return expression_tree_mutator(node, replace_mutator, context);
}

/* DISTINCT over all columns is a group for each row. */
DynNode *
dyn_build_distinct(DynContext *ctx, DynNode *input)
{
	return input ? dyn_make_groups(ctx, input, input->ncolumns) : NULL;
}

/* Whether ORDER BY has sets that are not in the select list: the rows are as many all the same. */
static bool
orders_by_sets(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
		if (lfirst_node(TargetEntry, lc)->resjunk &&
			expression_returns_set((Node *) lfirst_node(TargetEntry, lc)->expr))
			return true;
	return false;
}

/*
 * DISTINCT ON and LIMIT may order by what is not in the select list: columns
 * of a SELECT below them, which the one above leaves out.
 */
static DynNode *
build_ordered(DynLevel *level, DynUpper *upper)
{
	List	   *all = NIL;
	List	   *tlist = NIL;
	List	   *targets = NIL;
	DynNode    *node;
	ListCell   *lc;

	foreach(lc, upper->tlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (entry->resjunk && !get_sortgroupref_clause_noerr(entry->ressortgroupref, upper->query->sortClause) &&
			!get_sortgroupref_clause_noerr(entry->ressortgroupref, upper->query->distinctClause))
			continue;
		tlist = lappend(tlist, entry);
		all = lappend(all, entry->expr);
	}
	if (upper->query->hasDistinctOn)
		node = build_distinct_on(upper, tlist);
	else
		node = dyn_make_select(upper->ctx, upper->inputs, upper->quals, all);
	if (node == NULL)
		return NULL;
	foreach(lc, dyn_column_vars(node, 1))
		if (!list_nth_node(TargetEntry, tlist, foreach_current_index(lc))->resjunk)
			targets = lappend(targets, lfirst(lc));
	node = dyn_build_limit(level, node, tlist);
	if (node == NULL)
		return NULL;
	return dyn_make_select(upper->ctx, list_make1(node), NIL, targets);
}

/*
 * DISTINCT ON over the columns of a target list.  Sets that are to be expanded
 * after it wait for the SELECT above it, and what they read passes through.
 */
static DynNode *
build_distinct_on(DynUpper *upper, List *tlist)
{
	bool		last = expands_last(upper->query);
	DynExprColumns columns = {NIL};
	List	   *below = NIL;
	List	   *waiting = NIL;
	List	   *targets = NIL;
	DynNode    *node;
	ListCell   *lc;

	foreach(lc, tlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (last && expression_returns_set((Node *) entry->expr))
			waiting = lappend(waiting, entry->expr);
		else
			below = lappend(below, entry);
	}
	foreach(lc, dyn_vars_of((Node *) waiting))
		below = lappend(below, makeTargetEntry(lfirst(lc), list_length(below) + 1, NULL, true));
	foreach(lc, below)
		columns.exprs = lappend(columns.exprs, lfirst_node(TargetEntry, lc)->expr);
	node = dyn_make_select(upper->ctx, upper->inputs, upper->quals, copyObject(columns.exprs));
	if (node)
		node = dyn_build_distinct_on(upper->ctx, node, upper->query, below);
	if (node == NULL || waiting == NIL)
		return node;
	foreach(lc, tlist)
		targets = lappend(targets, dyn_as_columns((Node *) lfirst_node(TargetEntry, lc)->expr, &columns));
	return dyn_make_select(upper->ctx, list_make1(node), NIL, targets);
}

/*
 * The server expands sets after DISTINCT ON where there is an ORDER BY and
 * neither names one of them: see its make_sort_input_target().
 */
static bool
expands_last(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
		if (lfirst_node(TargetEntry, lc)->ressortgroupref != 0 &&
			expression_returns_set((Node *) lfirst_node(TargetEntry, lc)->expr))
			return false;
	return query->sortClause != NIL;
}

/* ------------------------------------------------------------------------
 * Expressions as columns
 * ------------------------------------------------------------------------
 */

/* The column (from 1) that computes expr, added when there is none. */
int
dyn_column_for(List **targets, Node *expr)
{
	ListCell   *lc;

	foreach(lc, *targets)
		if (equal(lfirst(lc), expr))
			return foreach_current_index(lc) + 1;
	*targets = lappend(*targets, expr);
	return list_length(*targets);
}

Node *
dyn_as_columns(Node *node, void *context)
{
	DynExprColumns *columns = context;
	ListCell   *lc;

	if (node == NULL)
		return NULL;
	foreach(lc, columns->exprs)
		if (lfirst(lc) && equal(lfirst(lc), node))
		{
			Var		   *var = makeVar(1, foreach_current_index(lc) + 1, exprType(node),
									  exprTypmod(node), exprCollation(node), columns->depth);

			return (Node *) var;
		}
	if (IsA(node, Query))
	{
		DynExprColumns inner = {.exprs = copyObject(columns->exprs), .depth = columns->depth + 1};

		IncrementVarSublevelsUp((Node *) inner.exprs, 1, 0);
		return (Node *) query_tree_mutator((Query *) node, dyn_as_columns, &inner, 0);
	}
	return expression_tree_mutator(node, dyn_as_columns, context);
}

/* The entries of a target list that sorting and partitioning refer to, not to be printed. */
List *
dyn_sorting_tlist(List *tlist)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, tlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (entry->ressortgroupref == 0)
			continue;
		entry = flatCopyTargetEntry(entry);
		entry->resjunk = true;
		result = lappend(result, entry);
	}
	return result;
}
