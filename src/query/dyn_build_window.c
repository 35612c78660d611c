/*
 * dyn_build_window.c
 *	  Window functions: a WINDOW node for each of a level's windows, and in the
 *	  end one for neighbours that partition alike.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <optimizer/tlist.h>
#include <utils/fmgroids.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"
#include "query/dyn_sql.h"
#include "query/dyn_vars.h"

static List *sorting_items(WindowClause *clause);
static List *by_partition(List *clauses, List *tlist);
static bool joinable(DynNode *node, DynNode *input);
static void join_with_input(DynNode *node, DynNode *input);
static bool windowfuncs_walker(Node *node, void *context);

bool
dyn_build_windows(DynUpper *upper)
{
	List	   *functions = NIL;
	List	   *targets = NIL;
	DynExprColumns columns = {NIL};
	DynNode    *node;
	ListCell   *lc;
	ListCell   *lf;

	windowfuncs_walker((Node *) upper->tlist, &functions);
	foreach(lc, dyn_vars_of((Node *) upper->tlist))
		dyn_column_for(&targets, lfirst(lc));
	foreach(lc, upper->query->windowClause)
	{
		WindowClause *clause = lfirst_node(WindowClause, lc);
		List	   *exprs = get_sortgrouplist_exprs(sorting_items(clause), upper->tlist);

		foreach(lf, functions)
			if (lfirst_node(WindowFunc, lf)->winref == clause->winref)
				exprs = lappend(exprs, lfirst(lf));
		exprs = lappend(lappend(exprs, clause->startOffset), clause->endOffset);
		if (dyn_reads_table(clause->startOffset) || dyn_reads_table(clause->endOffset))
			return dyn_refuse(upper->ctx, "SUBQUERY_EXPRESSION", "a subquery stands in the frame of a window") != NULL;
		if (dyn_expr_has_now((Node *) exprs))
			return dyn_refuse(upper->ctx, "NOW_IN_WINDOW",
							  "now() stands in a window function or its window") != NULL;
		if (!dyn_check_written_at(upper->ctx, (Node *) exprs, upper->inputs))
			return false;
		foreach(lf, clause->partitionClause)
			dyn_column_for(&targets, get_sortgroupclause_expr(lfirst(lf), upper->tlist));
	}

	node = dyn_make_select(upper->ctx, upper->inputs, upper->quals, targets);
	if (node == NULL)
		return false;
	columns.exprs = targets;
	upper->tlist = (List *) dyn_as_columns((Node *) upper->tlist, &columns);
	functions = (List *) dyn_as_columns((Node *) functions, &columns);
	columns.exprs = NIL;
	for (int i = 0; i < list_length(targets); i++)
		columns.exprs = lappend(columns.exprs, NULL);

	foreach(lc, by_partition(upper->query->windowClause, upper->tlist))
	{
		List	   *mine = NIL;

		foreach(lf, functions)
			if (lfirst_node(WindowFunc, lf)->winref == lfirst_node(WindowClause, lc)->winref)
				mine = lappend(mine, lfirst(lf));
		if (mine == NIL)
			continue;
		node = dyn_build_window(upper->ctx, node, lfirst(lc), mine, upper->tlist);
		columns.exprs = list_concat(columns.exprs, mine);
	}
	upper->inputs = list_make1(node);
	upper->quals = NIL;
	upper->tlist = (List *) dyn_as_columns((Node *) upper->tlist, &columns);
	return true;
}

/* The windows, those that partition alike side by side. */
static List *
by_partition(List *clauses, List *tlist)
{
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lr;

	foreach(lc, clauses)
	{
		List	   *mine = get_sortgrouplist_exprs(lfirst_node(WindowClause, lc)->partitionClause, tlist);
		int			place = list_length(result);

		foreach(lr, result)
		{
			List	   *its = get_sortgrouplist_exprs(lfirst_node(WindowClause, lr)->partitionClause, tlist);

			if (list_difference(mine, its) == NIL && list_difference(its, mine) == NIL)
				place = foreach_current_index(lr) + 1;
		}
		result = list_insert_nth(result, place, lfirst(lc));
	}
	return result;
}

DynNode *
dyn_build_window(DynContext *ctx, DynNode *input, WindowClause *clause, List *functions, List *tlist)
{
	DynNode    *node = dyn_node_new(DYN_NODE_WINDOW, input->ncolumns + list_length(functions));
	ListCell   *lc;
	int			i = input->ncolumns;

	node->inputs = list_make1(input);
	memcpy(node->columns, input->columns, sizeof(DynColumn) * input->ncolumns);
	foreach(lc, functions)
	{
		WindowFunc *function = lfirst_node(WindowFunc, lc);

		node->columns[i++] = (DynColumn) {
			.type = function->wintype, .typmod = -1, .collation = function->wincollid,
			.nullable = function->winfnoid != F_ROW_NUMBER
		};
	}
	node->functions = functions;
	node->window_tlist = dyn_sorting_tlist(tlist);
	clause = copyObject(clause);

	/* it stands alone, whatever other window it was defined by */
	clause->name = NULL;
	clause->refname = NULL;
	clause->copiedOrder = false;
	node->window_clauses = list_make1(clause);
	foreach(lc, clause->partitionClause)
		node->partition = list_append_unique_int(node->partition,
												 castNode(Var, get_sortgroupclause_expr(lfirst(lc), tlist))->varattno);
	return node;
}

static bool
windowfuncs_walker(Node *node, void *context)
{
	List	  **functions = context;

	if (node == NULL)
		return false;
	if (IsA(node, WindowFunc))
	{
		*functions = list_append_unique(*functions, node);
		return false;
	}
	return expression_tree_walker(node, windowfuncs_walker, context);
}

/*
 * Neighbours of the same partitions become one, as their rows are computed
 * again together: one state table, and each row is written once.  Where both
 * begin at the first touched row they stay apart, as they may differ in it.
 */
void
dyn_join_windows(DynNode *top)
{
	ListCell   *lc;

	foreach(lc, dyn_nodes_below(top))
	{
		DynNode    *node = lfirst(lc);

		while (node->kind == DYN_NODE_WINDOW && joinable(node, dyn_input(node, 1)))
			join_with_input(node, dyn_input(node, 1));
	}
}

/* The items by which a window partitions and sorts. */
static List *
sorting_items(WindowClause *clause)
{
	return list_concat_copy(clause->partitionClause, clause->orderClause);
}

static bool
joinable(DynNode *node, DynNode *input)
{
	DynSuffix	suffix;
	List	   *exprs = list_copy(node->functions);
	ListCell   *lc;

	if (input->kind != DYN_NODE_WINDOW || input->shared ||
		list_difference_int(node->partition, input->partition) != NIL ||
		list_difference_int(input->partition, node->partition) != NIL ||
		(dyn_sql_suffix(node, &suffix) && dyn_sql_suffix(input, &suffix)))
		return false;
	foreach(lc, node->window_clauses)
		exprs = list_concat(exprs, get_sortgrouplist_exprs(sorting_items(lfirst(lc)), node->window_tlist));
	foreach(lc, dyn_vars_of((Node *) exprs))
		if (lfirst_node(Var, lc)->varattno > dyn_input(input, 1)->ncolumns)
			return false;
	return true;
}

/*
 * The node computes the functions of its input too, before its own, which is
 * where its columns have them.  The numbers by which its clauses know what they
 * sort and which functions are theirs go on behind those of the input.
 */
static void
join_with_input(DynNode *node, DynNode *input)
{
	List	   *clauses = list_copy(input->window_clauses);
	List	   *functions = list_copy(input->functions);
	List	   *tlist = list_copy(input->window_tlist);
	Index		ref = 0;
	Index		winref = 0;
	ListCell   *lc;
	ListCell   *ls;

	foreach(lc, tlist)
		ref = Max(ref, lfirst_node(TargetEntry, lc)->ressortgroupref);
	foreach(lc, clauses)
		winref = Max(winref, lfirst_node(WindowClause, lc)->winref);
	foreach(lc, node->window_clauses)
	{
		WindowClause *clause = copyObject(lfirst_node(WindowClause, lc));

		clause->winref += winref;
		foreach(ls, sorting_items(clause))
		{
			SortGroupClause *item = lfirst(ls);
			Expr	   *expr = (Expr *) get_sortgroupclause_expr(item, node->window_tlist);
			TargetEntry *entry = makeTargetEntry(expr, list_length(tlist) + 1, NULL, true);

			entry->ressortgroupref = item->tleSortGroupRef = ++ref;
			tlist = lappend(tlist, entry);
		}
		clauses = lappend(clauses, clause);
	}
	foreach(lc, node->functions)
	{
		WindowFunc *function = copyObject(lfirst_node(WindowFunc, lc));

		function->winref += winref;
		functions = lappend(functions, function);
	}
	node->inputs = input->inputs;
	node->window_clauses = clauses;
	node->window_tlist = tlist;
	node->functions = functions;
}
