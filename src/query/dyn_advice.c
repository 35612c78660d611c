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
#include "query/dyn_expr.h"
#include "query/dyn_vars.h"

static void describe(DynNode *node, int depth, List **lines);
static void describe_top(DynNode *node, StringInfo buf);
static void add_lookups(DynNode *node, List **lookups);
static void add_expr(DynNode *node, Node *expr, List **lookups);
static void add_column(DynNode *node, int column, List **lookups);
static bool follow_column(DynNode **from, int *number);
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
		"scan of", "constant rows", "rows computed from each row", "select", "moving filter", "join", "union all",
		"aggregate", "window", "top", "recursive query", "rows of the round before",
	};
	static const char *const joins[] = {
		"left join", "full join", "semi join", "anti join", "mark join",
	};
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%*s%s %s", depth * 2 + 2, "", depth ? "->" : "  ",
					 node->kind == DYN_NODE_JOIN ? joins[node->join] : kinds[node->kind]);
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
	if (node->kind == DYN_NODE_TOP)
		describe_top(node, &buf);
	if (node->kind == DYN_NODE_RECURSIVE)
		appendStringInfo(&buf, ", %s", node->whole ? "computed anew when what it reads changes" : "round by round");
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

static void
describe_top(DynNode *node, StringInfo buf)
{
	static const char *const ranks[] = {"", " by rank", " by dense rank"};
	int64		first = Max(node->first, node->skip + 1);

	if (first == 1)
		appendStringInfo(buf, " " INT64_FORMAT, node->last);
	else
		appendStringInfo(buf, " " INT64_FORMAT " to " INT64_FORMAT, first, node->last);
	appendStringInfo(buf, "%s%s", ranks[node->rank], node->partition ? " per partition" : "");
}

/*
 * dyn_plan_lookups finds by which columns of relations and of state tables
 * small deltas look rows up: list of DynLookup, each once.
 */
List *
dyn_plan_lookups(DynPlan *plan)
{
	List	   *lookups = NIL;
	ListCell   *ln;

	foreach(ln, plan->nodes)
		add_lookups(lfirst(ln), &lookups);
	return lookups;
}

static void
add_lookups(DynNode *node, List **lookups)
{
	bool		reads = false;
	ListCell   *lc;

	if (node->kind == DYN_NODE_JOIN)
	{
		foreach(lc, node->left_keys)
			add_expr(node, lfirst(lc), lookups);
		foreach(lc, node->right_keys)
			add_expr(node, dyn_renumber_input(lfirst(lc), 1, 2), lookups);
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
			add_expr(node, linitial(op->args), lookups);
			add_expr(node, lsecond(op->args), lookups);
		}

	/* rows that are gone are looked for where they came from, by the first column that a table has */
	if (node->kind == DYN_NODE_RECURSIVE && node->distinct)
		foreach(lc, node->inputs)
			for (int i = 1; i <= node->ncolumns; i++)
			{
				DynNode    *source = lfirst(lc);
				int			column = i;

				if (!follow_column(&source, &column) || source->kind != DYN_NODE_SCAN)
					continue;
				add_column(source, column, lookups);
				break;
			}

	/* groups and partitions that are read again */
	foreach(lc, node->aggs)
		reads |= ((DynAgg *) lfirst(lc))->kind >= DYN_AGG_EXTREMUM ||
			((DynAgg *) lfirst(lc))->minus_rereads;
	if (node->kind == DYN_NODE_AGGREGATE && reads && node->nkeys > 0)
		add_column(dyn_input(node, 1), 1, lookups);
	foreach(lc, node->partition)
		add_column(dyn_input(node, 1), lfirst_int(lc), lookups);

	/* the first rows of all are found by what orders them */
	if (node->kind == DYN_NODE_TOP && node->partition == NIL)
		foreach(lc, linitial_node(WindowClause, node->window_clauses)->orderClause)
			if (foreach_current_index(lc) == 0)
				add_expr(node, get_sortgroupclause_expr(lfirst(lc), node->window_tlist), lookups);
}

static void
add_expr(DynNode *node, Node *expr, List **lookups)
{
	if (IsA(expr, RelabelType))
		expr = (Node *) ((RelabelType *) expr)->arg;
	if (IsA(expr, Var))
		add_column(dyn_input(node, ((Var *) expr)->varno), ((Var *) expr)->varattno, lookups);
}

/* Follow a column down to the relation or the state table it comes from; false when it is computed. */
static bool
follow_column(DynNode **from, int *number)
{
	DynNode    *node = *from;
	int			column = *number;

	while (node->kind != DYN_NODE_SCAN && !dyn_node_staged(node))
	{
		if (node->kind == DYN_NODE_WORKING)
			node = node->recursion;
		else if (node->kind == DYN_NODE_MOVING ||
				 (node->kind == DYN_NODE_APPLY && column <= dyn_input(node, 1)->ncolumns))
			node = dyn_input(node, 1);
		else if (node->kind == DYN_NODE_SELECT && IsA(list_nth(node->targets, column - 1), Var))
		{
			Var		   *var = list_nth(node->targets, column - 1);

			node = dyn_input(node, var->varno);
			column = var->varattno;
		}
		else if (node->kind == DYN_NODE_JOIN)
		{
			int			nleft = dyn_input(node, 1)->ncolumns;

			if (column > nleft && !dyn_join_is_outer(node->join))
				return false;
			node = dyn_input(node, column <= nleft ? 1 : 2);
			column -= column <= nleft ? 0 : nleft;
		}
		else
			return false;
	}
	*from = node;
	*number = column;
	return true;
}

static void
add_column(DynNode *node, int column, List **lookups)
{
	DynLookup  *lookup;
	ListCell   *lc;

	if (!follow_column(&node, &column))
		return;
	foreach(lc, *lookups)
		if (((DynLookup *) lfirst(lc))->node == node && ((DynLookup *) lfirst(lc))->column == column)
			return;
	lookup = palloc(sizeof(DynLookup));
	lookup->node = node;
	lookup->column = column;
	*lookups = lappend(*lookups, lookup);
}

List *
dyn_plan_missing_indexes(DynPlan *plan)
{
	List	   *commands = NIL;
	ListCell   *lc;

	foreach(lc, dyn_plan_lookups(plan))
	{
		DynLookup  *lookup = lfirst(lc);
		Oid			relid = lookup->node->relid;
		AttrNumber	attnum;

		if (lookup->node->kind != DYN_NODE_SCAN)
			continue;
		attnum = list_nth_int(lookup->node->attnums, lookup->column - 1);
		if (!has_index(relid, attnum))
			commands = lappend(commands,
							   psprintf("CREATE INDEX ON %s (%s);",
										quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
																   get_rel_name(relid)),
										quote_identifier(get_attname(relid, attnum, false))));
	}
	return commands;
}

bool
dyn_node_indexed(DynNode *node, int input, List *exprs)
{
	List	   *lookups = NIL;
	ListCell   *lc;

	foreach(lc, exprs)
		add_expr(node, dyn_renumber_input(lfirst(lc), 1, input), &lookups);
	foreach(lc, lookups)
	{
		DynLookup  *lookup = lfirst(lc);
		DynNode    *found = lookup->node;

		/* state tables have one for each lookup */
		if (found->kind != DYN_NODE_SCAN ||
			has_index(found->relid, list_nth_int(found->attnums, lookup->column - 1)))
			return true;
	}
	return false;
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
