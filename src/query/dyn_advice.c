/*
 * dyn_advice.c
 *	  A plan in words, and by which columns its deltas look rows up.
 *
 * A delta that is small probes the other tables by the columns of the join,
 * of the partition or of the moving condition.
 */
#include <postgres.h>

#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/lsyscache.h>

#include "query/dyn_advice.h"
#include "query/dyn_expr.h"
#include "query/dyn_sql.h"
#include "query/dyn_vars.h"

/* Lookups as they are found; those with one probe number look the same rows up. */
typedef struct Lookups
{
	List	   *list;			/* of DynLookup * */
	int			probe;
	char	   *when;			/* the rows are looked up */
} Lookups;

static void describe(DynNode *node, int depth, List **lines, List **seen);
static void describe_top(DynNode *node, StringInfo buf);
static void add_lookups(DynNode *node, Lookups *lookups);
static void add_quals(DynNode *node, Lookups *lookups);
static void add_moving(DynNode *node, Node *qual, Lookups *lookups);
static bool equates_columns(Node *qual);
static List *equal_columns(DynNode *node);
static void add_equal(DynNode *node, List *equal, int base, Lookups *lookups);
static void add_pair(DynNode *node, Node *expr, int i, int other, int base, Lookups *lookups);
static void add_side(DynNode *node, OpExpr *op, const int *sides, int i, int base, Lookups *lookups);
static void add_columns(DynNode *node, List *columns, Lookups *lookups);
static void add_expr(DynNode *node, Node *expr, Lookups *lookups);
static void add_column(DynNode *node, int column, Lookups *lookups);
static bool follow_column(DynNode **node, int *column);
static char *when_changes(DynNode *node);

List *
dyn_plan_describe(DynPlan *plan)
{
	List	   *lines = NIL;
	List	   *seen = NIL;

	describe(plan->top, 0, &lines, &seen);
	return lines;
}

const char *
dyn_node_kind(const DynNode *node)
{
	static const char *const kinds[] = {
		"scan of", "constant rows", "rows computed from each row", "select", "moving filter", "join", "union all",
		"aggregate", "window", "top", "recursive query", "rows of the round before",
	};
	static const char *const joins[] = {
		"left join", "full join", "semi join", "anti join", "mark join",
	};

	return node->kind == DYN_NODE_JOIN ? joins[node->join] : kinds[node->kind];
}

static void
describe(DynNode *node, int depth, List **lines, List **seen)
{
	StringInfoData buf;
	DynSuffix	suffix;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%*s%s %s", depth * 2 + 2, "", depth ? "->" : "  ",
					 dyn_node_kind(node));
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
	if (node->kind == DYN_NODE_WINDOW && dyn_sql_suffix(node, &suffix))
		appendStringInfoString(&buf, ", from the first touched row on");
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
	if (node->inputs == NIL)
		return;
	if (list_member_ptr(*seen, node))
	{
		appendStringInfoString(&buf, "  (as above)");
		llast(*lines) = buf.data;
		return;
	}
	*seen = lappend(*seen, node);
	foreach(lc, node->inputs)
		describe(lfirst(lc), depth + 1, lines, seen);
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
 * small deltas look rows up: list of DynLookup.
 */
List *
dyn_plan_lookups(DynPlan *plan)
{
	Lookups		lookups = {NIL};
	ListCell   *ln;

	foreach(ln, plan->nodes)
		add_lookups(lfirst(ln), &lookups);
	return lookups.list;
}

/* What is found from here on is looked up together. */
static void
begin_probe(Lookups *lookups, char *when)
{
	lookups->probe++;
	lookups->when = when;
}

static void
add_lookups(DynNode *node, Lookups *lookups)
{
	bool		extremum = false;
	bool		reads = false;
	ListCell   *lc;

	if (node->kind == DYN_NODE_JOIN)
	{
		begin_probe(lookups, when_changes(dyn_input(node, 2)));
		foreach(lc, node->left_keys)
			add_expr(node, lfirst(lc), lookups);
		begin_probe(lookups, when_changes(dyn_input(node, 1)));
		foreach(lc, node->right_keys)
			add_expr(node, dyn_renumber_input(lfirst(lc), 1, 2), lookups);
	}
	if (node->kind == DYN_NODE_MOVING)
		add_moving(node, linitial(node->quals), lookups);
	if (node->kind == DYN_NODE_SELECT && list_length(node->inputs) > 1)
		add_quals(node, lookups);

	/* rows that are gone are looked for where they came from, by the first column that a table has */
	if (node->kind == DYN_NODE_RECURSIVE && node->distinct)
		foreach(lc, node->inputs)
			for (int i = 1; i <= node->ncolumns; i++)
			{
				DynNode    *source = lfirst(lc);
				int			column = i;

				if (!follow_column(&source, &column) || source->kind != DYN_NODE_SCAN)
					continue;
				begin_probe(lookups, when_changes(node));
				add_column(source, column, lookups);
				break;
			}

	/* groups and partitions that are read again */
	foreach(lc, node->aggs)
	{
		extremum |= ((DynAgg *) lfirst(lc))->kind == DYN_AGG_EXTREMUM;
		reads |= ((DynAgg *) lfirst(lc))->kind > DYN_AGG_EXTREMUM ||
			((DynAgg *) lfirst(lc))->minus_rereads;
	}
	if (node->kind == DYN_NODE_AGGREGATE && (reads || extremum))
	{
		List	   *keys = NIL;

		for (int i = 1; i <= node->nkeys; i++)
			keys = lappend_int(keys, i);
		begin_probe(lookups, reads ? when_changes(node) : "that has to read groups again");
		add_columns(node, keys, lookups);
	}
	begin_probe(lookups, node->kind == DYN_NODE_WINDOW ? when_changes(node) :
				"that has to read partitions again");
	add_columns(node, node->partition, lookups);

	/* the first rows of all are found by what orders them */
	if (node->kind == DYN_NODE_TOP && node->partition == NIL)
	{
		begin_probe(lookups, "that has to read the first rows again");
		foreach(lc, linitial_node(WindowClause, node->window_clauses)->orderClause)
			if (foreach_current_index(lc) == 0)
				add_expr(node, get_sortgroupclause_expr(lfirst(lc), node->window_tlist), lookups);
	}
}

/* Columns of a node's input, as far as they come from where the first one does. */
static void
add_columns(DynNode *node, List *columns, Lookups *lookups)
{
	DynNode    *first = NULL;
	ListCell   *lc;

	foreach(lc, columns)
	{
		DynNode    *found = dyn_input(node, 1);
		int			column = lfirst_int(lc);

		if (!follow_column(&found, &column))
			continue;
		if (first == NULL)
			first = found;
		if (found == first)
			add_column(dyn_input(node, 1), lfirst_int(lc), lookups);
	}
}

/*
 * The conditions of an inner join.  All equalities between two inputs, also
 * those that follow from others, make one probe, in either direction; any other
 * comparison is one by itself.  By what is compared with a constant no row is looked up.
 */
static void
add_quals(DynNode *node, Lookups *lookups)
{
	int			ninputs = list_length(node->inputs);
	int			base = lookups->probe;
	ListCell   *lc;

	lookups->probe += (ninputs + 1) * (ninputs + 1);
	foreach(lc, equal_columns(node))
		add_equal(node, lfirst(lc), base, lookups);
	foreach(lc, node->quals)
	{
		OpExpr	   *op = lfirst(lc);
		int			sides[2];
		bool		constant = false;

		if (!IsA(op, OpExpr) || list_length(op->args) != 2 || equates_columns(lfirst(lc)))
			continue;
		for (int i = 0; i < 2; i++)
		{
			Bitmapset  *inputs = dyn_expr_relations(list_nth(op->args, i));

			constant |= bms_is_empty(inputs);
			if (!bms_get_singleton_member(inputs, &sides[i]))
				sides[i] = 0;
		}
		if (constant || sides[0] == sides[1])
			continue;
		for (int i = 0; i < 2; i++)
			add_side(node, op, sides, i, base, lookups);
	}
}

static bool
equates_columns(Node *qual)
{
	OpExpr	   *op = (OpExpr *) qual;

	return IsA(qual, OpExpr) && list_length(op->args) == 2 &&
		dyn_expr_column(linitial(op->args)) && dyn_expr_column(lsecond(op->args)) &&
		op_hashjoinable(op->opno, exprType(linitial(op->args)));
}

/* The columns that are equal by the conditions of an inner join: lists of Var. */
static List *
equal_columns(DynNode *node)
{
	List	   *classes = NIL;
	ListCell   *lc;
	ListCell   *ln;

	foreach(lc, node->quals)
	{
		OpExpr	   *op = lfirst(lc);
		List	   *equal;
		List	   *others = NIL;

		if (!equates_columns(lfirst(lc)))
			continue;
		equal = list_make2(dyn_expr_column(linitial(op->args)), dyn_expr_column(lsecond(op->args)));
		foreach(ln, classes)
		{
			if (list_intersection(lfirst(ln), equal) != NIL)
				equal = list_union(equal, lfirst(ln));
			else
				others = lappend(others, lfirst(ln));
		}
		classes = lappend(others, equal);
	}
	return classes;
}

static void
add_equal(DynNode *node, List *equal, int base, Lookups *lookups)
{
	ListCell   *la;
	ListCell   *lb;

	foreach(la, equal)
		foreach(lb, equal)
		{
			Var		   *a = lfirst(la);
			Var		   *b = lfirst(lb);

			if (a->varno != b->varno)
				add_pair(node, (Node *) a, a->varno, b->varno, base, lookups);
		}
}

/* By expr, of input i, rows are looked up by another one. */
static void
add_pair(DynNode *node, Node *expr, int i, int other, int base, Lookups *lookups)
{
	int			last;

	begin_probe(lookups, when_changes(dyn_input(node, other)));
	last = lookups->probe;
	lookups->probe = base + i * (list_length(node->inputs) + 1) + other;
	add_expr(node, expr, lookups);
	lookups->probe = last;
}

/* sides: the only inputs in the arguments, or 0 for several; those of i are looked up by the others. */
static void
add_side(DynNode *node, OpExpr *op, const int *sides, int i, int base, Lookups *lookups)
{
	int			other = sides[1 - i];

	if (sides[i] == 0)
		return;
	if (other && op_hashjoinable(op->opno, exprType(linitial(op->args))))
	{
		add_pair(node, list_nth(op->args, i), sides[i], other, base, lookups);
		return;
	}
	begin_probe(lookups, when_changes(other ? dyn_input(node, other) : node));
	add_expr(node, list_nth(op->args, i), lookups);
}

/* The comparisons with now() that a moving condition is made of. */
static void
add_moving(DynNode *node, Node *qual, Lookups *lookups)
{
	ListCell   *lc;

	if (IsA(qual, BoolExpr))
		foreach(lc, castNode(BoolExpr, qual)->args)
			add_moving(node, lfirst(lc), lookups);
	if (!IsA(qual, OpExpr) || list_length(castNode(OpExpr, qual)->args) != 2 || !dyn_expr_has_now(qual))
		return;
	begin_probe(lookups, "");
	if (dyn_expr_turning_var(qual))
		add_expr(node, (Node *) dyn_expr_turning_var(qual), lookups);
	foreach(lc, castNode(OpExpr, qual)->args)
		add_expr(node, lfirst(lc), lookups);
}

static void
add_expr(DynNode *node, Node *expr, Lookups *lookups)
{
	Var		   *var = dyn_expr_column(expr);

	if (var)
		add_column(dyn_input(node, var->varno), var->varattno, lookups);
}

static void
add_column(DynNode *node, int column, Lookups *lookups)
{
	DynLookup  *lookup;
	ListCell   *lc;

	if (!follow_column(&node, &column))
		return;
	foreach(lc, lookups->list)
	{
		lookup = lfirst(lc);
		if (lookup->node != node || lookup->probe != lookups->probe)
			continue;
		lookup->columns = list_append_unique_int(lookup->columns, column);
		return;
	}
	lookup = palloc(sizeof(DynLookup));
	lookup->node = node;
	lookup->columns = list_make1_int(column);
	lookup->probe = lookups->probe;
	lookup->when = lookups->when;
	lookups->list = lappend(lookups->list, lookup);
}

/* Follow a column down to the relation or the state table it comes from; false: it is computed. */
static bool
follow_column(DynNode **start, int *start_column)
{
	DynNode    *node = *start;
	int			column = *start_column;

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
	*start = node;
	*start_column = column;
	return true;
}

/* "that changes a, b" of the relations below a node. */
static void
add_names(DynNode *node, List **seen, List **relids, StringInfo names)
{
	ListCell   *lc;

	if (list_member_ptr(*seen, node))
		return;
	*seen = lappend(*seen, node);
	if (node->kind == DYN_NODE_SCAN && !list_member_oid(*relids, node->relid))
	{
		appendStringInfo(names, "%s%s", *relids ? ", " : "", get_rel_name(node->relid));
		*relids = lappend_oid(*relids, node->relid);
	}
	foreach(lc, node->inputs)
		add_names(lfirst(lc), seen, relids, names);
}

static char *
when_changes(DynNode *node)
{
	List	   *seen = NIL;
	List	   *relids = NIL;
	StringInfoData names;

	initStringInfo(&names);
	add_names(node, &seen, &relids, &names);
	return relids ? psprintf("that changes %s", names.data) : "";
}

bool
dyn_node_indexed(DynNode *node, int input, List *exprs)
{
	Lookups		lookups = {NIL};
	ListCell   *lc;

	foreach(lc, exprs)
		add_expr(node, dyn_renumber_input(lfirst(lc), 1, input), &lookups);
	foreach(lc, lookups.list)
		if (dyn_lookup_indexed(lfirst(lc)))
			return true;
	return false;
}
