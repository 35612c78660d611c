/*
 * dyn_build_window.c
 *	  Window functions: a WINDOW node for each of a level's windows.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <optimizer/tlist.h>
#include <utils/fmgroids.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

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
		List	   *exprs = NIL;

		foreach(lf, list_concat_copy(clause->partitionClause, clause->orderClause))
			exprs = lappend(exprs, get_sortgroupclause_expr(lfirst(lf), upper->tlist));
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

	foreach(lc, upper->query->windowClause)
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
