/*
 * dyn_suspects.c
 *	  The expressions of a plan, over the columns of the tables that they read.
 *
 * When a refresh fails on data, each of them may have been the one
 * (dyn_blame.c).  Conditions on the way from the table to an expression come
 * along as its filters.  What lies between and decides rows otherwise (ranks,
 * groups, existence) does not, so that a row may be found that the query would
 * have left out: the expression fails on it all the same.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/acl.h>
#include <utils/rls.h>

#include "query/dyn_vars.h"
#include "refresh/dyn_suspects.h"

/* Writing an expression over scans. */
typedef struct Trace
{
	List	   *scans;
	List	   *passed;			/* of DynNode *: what filters rows on the way, from above */
	int			branch;			/* which input of a UNION is followed, from 0 */
	bool		lost;			/* a column is no column of a table */
} Trace;

typedef struct TraceAt
{
	DynNode    *node;
	Trace	   *trace;
} TraceAt;

static void suspect(List **suspects, DynNode *node, Node *expr, int before, int branch);
static Node *trace_column(DynNode *node, int column, Trace *trace);
static Node *trace_expr(DynNode *node, Node *expr, Trace *trace);
static List *trace_filters(DynNode *node, int before, Trace *trace);

static int
most_branches(DynPlan *plan)
{
	int			most = 1;
	ListCell   *lc;

	foreach(lc, plan->nodes)
		if (((DynNode *) lfirst(lc))->kind == DYN_NODE_UNION)
			most = Max(most, list_length(((DynNode *) lfirst(lc))->inputs));
	return most;
}

/* Inputs before what reads them: the first that fails is the one that did. */
List *
dyn_suspects(DynPlan *plan)
{
	List	   *suspects = NIL;
	int			branches = most_branches(plan);
	ListCell   *ln;
	ListCell   *lc;

	foreach(ln, plan->nodes)
	{
		DynNode    *node = lfirst(ln);

		for (int branch = 0; branch < branches; branch++)
		{
			foreach(lc, node->left_keys)
				suspect(&suspects, node, lfirst(lc), 0, branch);
			foreach(lc, node->right_keys)
				suspect(&suspects, node, dyn_renumber_input(lfirst(lc), 1, 2), 0, branch);
			foreach(lc, node->quals)
				suspect(&suspects, node, lfirst(lc), foreach_current_index(lc), branch);
			foreach(lc, node->targets)
				suspect(&suspects, node, lfirst(lc), list_length(node->quals), branch);
		}
	}
	return suspects;
}

/*
 * May the table's owner, as whom all of this runs, read all rows of a scan's
 * table?  One who reads it by way of a view, or under a policy, must neither be
 * told of the others nor see them passed to functions of his own.
 */
static bool
may_try(List *scans)
{
	ListCell   *lc;

	foreach(lc, scans)
	{
		Oid			relid = ((DynNode *) lfirst(lc))->relid;

		if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
			check_enable_rls(relid, GetUserId(), true) == RLS_ENABLED)
			return false;
	}
	return true;
}

/* before: how many of the node's conditions are known to hold */
static void
suspect(List **suspects, DynNode *node, Node *expr, int before, int branch)
{
	Trace		trace = {.branch = branch};
	DynSuspect *found;
	Node	   *traced;
	ListCell   *lc;

	if (IsA(expr, Var) || IsA(expr, Const))
		return;
	traced = trace_expr(node, expr, &trace);
	if (trace.lost || trace.scans == NIL || !may_try(trace.scans))
		return;
	foreach(lc, *suspects)
		if (equal(((DynSuspect *) lfirst(lc))->expr, traced) &&
			linitial(((DynSuspect *) lfirst(lc))->scans) == linitial(trace.scans))
			return;
	found = palloc0(sizeof(DynSuspect));
	found->expr = traced;
	found->scans = trace.scans;
	found->filters = trace_filters(node, before, &trace);
	*suspects = lappend(*suspects, found);
}

static Node *
trace_var(Var *var, void *arg)
{
	TraceAt    *at = arg;
	Node	   *traced = trace_column(dyn_input(at->node, var->varno), var->varattno, at->trace);

	if (traced == NULL)
		at->trace->lost = true;
	return traced ? traced : (Node *) var;
}

static Node *
trace_expr(DynNode *node, Node *expr, Trace *trace)
{
	return dyn_vars_map(expr, trace_var, &(TraceAt) {node, trace});
}

static Node *
trace_scan(DynNode *node, int column, Trace *trace)
{
	const DynColumn *type = &node->columns[column - 1];
	int			number = 1;
	ListCell   *lc;

	foreach(lc, trace->scans)
	{
		if (lfirst(lc) == node)
			break;
		number++;
	}
	if (lc == NULL)
		trace->scans = lappend(trace->scans, node);
	return (Node *) makeVar(number, column, type->type, type->typmod, type->collation, 0);
}

/* A column of a node over the scans, or NULL where it is made of more than one row. */
static Node *
trace_column(DynNode *node, int column, Trace *trace)
{
	DynNode    *input = node->inputs ? dyn_input(node, 1) : NULL;

	switch (node->kind)
	{
		case DYN_NODE_SCAN:
			return trace_scan(node, column, trace);
		case DYN_NODE_SELECT:
			trace->passed = list_append_unique_ptr(trace->passed, node);
			return trace_expr(node, list_nth(node->targets, column - 1), trace);
		case DYN_NODE_UNION:
			if (trace->branch >= list_length(node->inputs))
				return NULL;
			return trace_column(dyn_input(node, trace->branch + 1), column, trace);
		case DYN_NODE_AGGREGATE:
			return column <= node->nkeys ? trace_column(input, column, trace) : NULL;
		case DYN_NODE_JOIN:
			if (column > input->ncolumns && dyn_join_is_outer(node->join))
				return trace_column(dyn_input(node, 2), column - input->ncolumns, trace);
			break;
		case DYN_NODE_MOVING:
			trace->passed = list_append_unique_ptr(trace->passed, node);
			break;
		case DYN_NODE_APPLY:
		case DYN_NODE_WINDOW:
		case DYN_NODE_TOP:
			break;
		default:
			return NULL;
	}
	return column <= input->ncolumns ? trace_column(input, column, trace) : NULL;
}

bool
dyn_suspect_is_plain(Node *filter)
{
	return IsA(filter, OpExpr) && list_length(((OpExpr *) filter)->args) == 2 &&
		IsA(linitial(((OpExpr *) filter)->args), Var) && IsA(lsecond(((OpExpr *) filter)->args), Var);
}

/* The conditions over the trace's scans alone that hold of a row before it comes to the node's expression. */
static List *
trace_filters(DynNode *node, int before, Trace *trace)
{
	List	   *filters = NIL;
	ListCell   *ln;
	ListCell   *lc;

	foreach(ln, lcons(node, list_copy(trace->passed)))
	{
		DynNode    *passed = lfirst(ln);
		List	   *some = NIL;

		foreach(lc, passed->quals)
		{
			Trace		own = {.branch = trace->branch,.scans = list_copy(trace->scans)};
			Node	   *filter = trace_expr(passed, lfirst(lc), &own);

			if (passed == node && foreach_current_index(lc) >= before && !dyn_suspect_is_plain(filter))
				continue;
			if (!own.lost && list_length(own.scans) == list_length(trace->scans))
				some = lappend(some, filter);
		}
		filters = list_concat(some, filters);
	}
	return filters;
}
