/*
 * dyn_advice.c
 *	  A plan in words, and the indexes that its deltas would use.
 *
 * A delta that is small probes the other tables by the columns of the join,
 * of the partition or of the moving condition.  Without an index the refresh
 * still works, but reads the table.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/relcache.h>
#include <utils/ruleutils.h>

#include "query/dyn_advice.h"
#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static void describe(DynNode *node, int depth, List **lines);
static void advise_expr(DynNode *node, Node *expr, List **lines);
static void advise_column(DynNode *node, int column, List **lines);
static bool has_index(Oid relid, AttrNumber attnum);

List *
dyn_plan_describe(DynPlan *plan)
{
	List	   *lines = NIL;

	describe(plan->top, 0, &lines);
	return lines;
}

static void
describe(DynNode *node, int depth, List **lines)
{
	static const char *const kinds[] = {
		"scan of", "constant rows", "select", "moving filter", "left join", "union all",
		"aggregate", "window", "first row per partition",
	};
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%*s%s %s", depth * 2 + 2, "", depth ? "->" : "  ",
					 node->kind == DYN_NODE_OUTER && node->full ? "full join" : kinds[node->kind]);
	if (node->kind == DYN_NODE_SCAN)
		appendStringInfo(&buf, " %s%s", get_rel_name(node->relid),
						 node->dynamic ? " (dynamic table)" : "");
	if (node->kind == DYN_NODE_SELECT && list_length(node->inputs) > 1)
		appendStringInfo(&buf, ", inner join of %d inputs", list_length(node->inputs));
	if (node->kind == DYN_NODE_AGGREGATE)
	{
		int			reread = 0;

		foreach(lc, node->aggs)
			reread += ((DynAgg *) lfirst(lc))->kind == DYN_AGG_REREAD;
		appendStringInfo(&buf, ", %d grouping columns", node->nkeys);
		if (reread)
			appendStringInfo(&buf, ", touched groups are read again");
	}
	if (dyn_node_staged(node))
		appendStringInfo(&buf, "  [state table %d]", node->no);
	if (node->has_key && node->key != NIL)
	{
		appendStringInfoString(&buf, "  key (");
		foreach(lc, node->key)
			appendStringInfo(&buf, "%s%d", foreach_current_index(lc) ? ", " : "", lfirst_int(lc));
		appendStringInfoChar(&buf, ')');
	}
	*lines = lappend(*lines, buf.data);
	foreach(lc, node->inputs)
		describe(lfirst(lc), depth + 1, lines);
}

List *
dyn_plan_missing_indexes(DynPlan *plan)
{
	List	   *lines = NIL;
	ListCell   *ln;
	ListCell   *lc;

	foreach(ln, plan->nodes)
	{
		DynNode    *node = lfirst(ln);

		if (node->kind == DYN_NODE_OUTER)
		{
			foreach(lc, node->left_keys)
				advise_expr(node, lfirst(lc), &lines);
			foreach(lc, node->right_keys)
				advise_expr(node, dyn_renumber_input(lfirst(lc), 1, 2), &lines);
		}
		if (node->kind == DYN_NODE_MOVING ||
			(node->kind == DYN_NODE_SELECT && list_length(node->inputs) > 1))
			foreach(lc, node->quals)
			{
				OpExpr	   *op = lfirst(lc);

				if (!IsA(op, OpExpr) || list_length(op->args) != 2)
					continue;
				if (node->kind == DYN_NODE_SELECT &&
					bms_membership(dyn_expr_relations((Node *) op)) != BMS_MULTIPLE)
					continue;
				advise_expr(node, linitial(op->args), &lines);
				advise_expr(node, lsecond(op->args), &lines);
			}
		if (node->kind == DYN_NODE_WINDOW || node->kind == DYN_NODE_FIRST)
			foreach(lc, node->partition)
				advise_column(dyn_input(node, 1), lfirst_int(lc), &lines);
		if (node->kind == DYN_NODE_AGGREGATE)
		{
			bool		reads = false;

			foreach(lc, node->aggs)
				reads |= ((DynAgg *) lfirst(lc))->kind >= DYN_AGG_EXTREMUM ||
					((DynAgg *) lfirst(lc))->minus_rereads;
			if (reads && node->nkeys > 0)
				advise_column(dyn_input(node, 1), 1, &lines);
		}
	}
	return lines;
}

static void
advise_expr(DynNode *node, Node *expr, List **lines)
{
	if (IsA(expr, RelabelType))
		expr = (Node *) ((RelabelType *) expr)->arg;
	if (IsA(expr, Var))
		advise_column(dyn_input(node, ((Var *) expr)->varno), ((Var *) expr)->varattno, lines);
}

/* Follow a column down to the table it comes from; state tables have their indexes. */
static void
advise_column(DynNode *node, int column, List **lines)
{
	while (node->kind != DYN_NODE_SCAN)
	{
		if (node->kind == DYN_NODE_MOVING)
			node = dyn_input(node, 1);
		else if (node->kind == DYN_NODE_SELECT && IsA(list_nth(node->targets, column - 1), Var))
		{
			Var		   *var = list_nth(node->targets, column - 1);

			node = dyn_input(node, var->varno);
			column = var->varattno;
		}
		else if (node->kind == DYN_NODE_OUTER)
		{
			int			nleft = dyn_input(node, 1)->ncolumns;

			node = dyn_input(node, column <= nleft ? 1 : 2);
			column -= column <= nleft ? 0 : nleft;
		}
		else
			return;
	}
	if (!has_index(node->relid, list_nth_int(node->attnums, column - 1)))
		*lines = list_append_unique(*lines,
									makeString(psprintf("CREATE INDEX ON %s (%s);",
														quote_qualified_identifier(get_namespace_name(get_rel_namespace(node->relid)),
																				   get_rel_name(node->relid)),
														quote_identifier(get_attname(node->relid, list_nth_int(node->attnums, column - 1), false)))));
}

static bool
has_index(Oid relid, AttrNumber attnum)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= index->rd_index->indisvalid && index->rd_index->indkey.values[0] == attnum;
		index_close(index, AccessShareLock);
	}
	table_close(rel, AccessShareLock);
	return found;
}
