/*
 * dyn_sql_select.c
 *	  The delta of an inner join.
 *
 * Of one changed input it is that input's delta joined with the others.  With
 * several, A1 .. Am in the order in which they are joined, and P_k the join of
 * the first k of them, it is found in steps:
 *	 ΔP_k = ΔP_(k-1) ⋈ A_k'  +  P_(k-1)' ⋈ ΔA_k  −  ΔP_(k-1) ⋈ ΔA_k.
 * ΔP_k is an ephemeral relation, and everything else in a step is a table as it
 * stands now or a delta: the planner knows the size of the one and has
 * statistics of the other.  An old content would be a union of a table and a
 * delta, of which it knows nothing, so that one such union in a join of six makes
 * it expect millions of rows; and the terms for all choices of table or
 * delta double with each input.
 *
 * Inputs that did not change are joined with the step before which the order
 * has them.  The order begins with the largest input and follows equalities,
 * first those that find at most one row.  So a ΔP_k is hardly larger than the
 * deltas it comes from.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <catalog/pg_class.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>

#include "query/dyn_expr.h"
#include "query/dyn_sql_internal.h"
#include "query/dyn_vars.h"

/* Rows of a table without statistics. */
#define UNKNOWN_ROWS 1000.0

static List *join_order(DynNode *node);
static int	next_input(DynNode *node, Bitmapset *joined);
static int	closeness(DynNode *node, Bitmapset *joined, int input);
static double input_rows(DynNode *node);
static DynStep *delta_alone(DynNode *node, int input);
static void finish_step(DynNode *node, DynStep *step, bool last);
static char *step_term(DynSql *sql, DynNode *node, DynStep *step, bool of_before, bool of_delta);
static char *step_expr(DynSql *sql, DynNode *node, DynStep *before, Node *expr);

/*
 * dyn_sql_steps lists the steps (DynStep) by which the delta of a SELECT is
 * computed from those of its inputs; the last one's rows are the delta.
 */
List *
dyn_sql_steps(DynSql *sql, DynNode *node)
{
	List	   *steps = NIL;
	List	   *added = NIL;
	DynStep    *step = NULL;
	List	   *order = join_order(node);
	int			left = 0;
	ListCell   *lc;

	foreach(lc, order)
		if (sql->changed[dyn_input(node, lfirst_int(lc))->no])
			left++;
	foreach(lc, order)
	{
		int			input = lfirst_int(lc);
		DynStep    *before;

		if (!sql->changed[dyn_input(node, input)->no])
		{
			if (step && left == 0)
				step->added = lappend_int(step->added, input);
			else
				added = lappend_int(added, input);
			continue;
		}
		left--;
		if (step == NULL && left > 0)
		{
			step = delta_alone(node, input);
			continue;
		}
		before = step;
		step = palloc0(sizeof(DynStep));
		step->before = before;
		step->changed = input;
		step->added = added;
		step->name = left == 0 ? psprintf("d%d", node->no) :
			psprintf("p%d_%d", node->no, list_length(steps) + 1);
		steps = lappend(steps, step);
		added = NIL;
	}
	foreach(lc, steps)
		finish_step(node, lfirst(lc), lfirst(lc) == llast(steps));
	return steps;
}

/* What the first of several steps builds on: a delta as it is, joined with nothing yet. */
static DynStep *
delta_alone(DynNode *node, int input)
{
	DynNode    *changed = dyn_input(node, input);
	DynStep    *step = palloc0(sizeof(DynStep));

	step->name = psprintf("d%d", changed->no);
	step->joined = bms_make_singleton(input);
	for (int i = 1; i <= changed->ncolumns; i++)
	{
		DynColumn  *column = &changed->columns[i - 1];

		step->columns = lappend(step->columns, makeVar(input, i, column->type, column->typmod,
													   column->collation, 0));
	}
	return step;
}

/* Which conditions are decided by now and were not before, and what later steps read. */
static void
finish_step(DynNode *node, DynStep *step, bool last)
{
	List	   *needed = list_copy(node->targets);
	ListCell   *lc;

	step->joined = bms_make_singleton(step->changed);
	if (step->before)
		step->joined = bms_add_members(step->joined, step->before->joined);
	foreach(lc, step->added)
		step->joined = bms_add_member(step->joined, lfirst_int(lc));
	foreach(lc, node->quals)
	{
		Relids		read = dyn_expr_relations(lfirst(lc));

		if (!bms_is_subset(read, step->joined))
			needed = lappend(needed, lfirst(lc));
		else
		{
			step->quals = lappend(step->quals, lfirst(lc));
			if (!step->before || !list_member_ptr(step->before->quals, lfirst(lc)))
				step->new_quals = lappend(step->new_quals, lfirst(lc));
		}
	}
	if (last)
	{
		step->columns = node->targets;
		return;
	}
	foreach(lc, dyn_vars_of((Node *) needed))
		if (bms_is_member(lfirst_node(Var, lc)->varno, step->joined))
			step->columns = lappend(step->columns, lfirst(lc));
}

/* The statement of a step: SELECT w, c1, …; empty: the step before had no rows. */
char *
dyn_sql_step(DynSql *sql, DynNode *node, DynStep *step, bool empty)
{
	StringInfoData buf;

	initStringInfo(&buf);
	dyn_sql_add_term(&buf, step_term(sql, node, step, false, true));
	if (step->before && !empty)
	{
		dyn_sql_add_term(&buf, step_term(sql, node, step, true, false));
		dyn_sql_add_term(&buf, step_term(sql, node, step, true, true));
	}
	return buf.data;
}

/*
 * A term of a step: what was joined before as the delta of that, or as the
 * inputs are now; the changed input as its delta, or as it is now.
 */
static char *
step_term(DynSql *sql, DynNode *node, DynStep *step, bool of_before, bool of_delta)
{
	int			before_alias = list_length(node->inputs) + 1;
	DynStep    *before = of_before ? step->before : NULL;
	StringInfoData buf;
	StringInfoData from;
	ListCell   *lc;
	int			input = -1;

	initStringInfo(&from);
	if (of_before)
		appendStringInfo(&from, "%s i%d", before->name, before_alias);
	while ((input = bms_next_member(step->joined, input)) >= 0)
	{
		bool		is_delta = of_delta && input == step->changed;

		if (of_before && input != step->changed && !list_member_int(step->added, input))
			continue;
		appendStringInfo(&from, "%s%s i%d", from.len ? ", " : "",
						 is_delta ? psprintf("d%d", dyn_input(node, input)->no) :
						 psprintf("(%s)", dyn_sql_content(sql, dyn_input(node, input))), input);
	}

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	if (of_before && of_delta)
		appendStringInfo(&buf, "- i%d.w * i%d.w AS w", before_alias, step->changed);
	else
		appendStringInfo(&buf, "i%d.w AS w", of_before ? before_alias : step->changed);
	foreach(lc, step->columns)
		appendStringInfo(&buf, ", %s AS c%d", step_expr(sql, node, before, lfirst(lc)),
						 foreach_current_index(lc) + 1);
	appendStringInfo(&buf, " FROM %s", from.data);
	foreach(lc, of_before ? step->new_quals : step->quals)
		appendStringInfo(&buf, "%s(%s)", foreach_current_index(lc) ? " AND " : " WHERE ",
						 step_expr(sql, node, before, lfirst(lc)));
	return buf.data;
}

typedef struct BeforeMap
{
	List	   *columns;
	int			alias;
} BeforeMap;

/* A column of an input that was joined before, as a column of that step's rows. */
static Node *
column_before(Var *var, void *arg)
{
	BeforeMap  *map = arg;
	ListCell   *lc;

	foreach(lc, map->columns)
	{
		Var		   *column = lfirst_node(Var, lc);

		if (column->varno == var->varno && column->varattno == var->varattno)
			return (Node *) makeVar(map->alias, foreach_current_index(lc) + 1, var->vartype,
									var->vartypmod, var->varcollid, 0);
	}
	return (Node *) var;
}

/* An expression over inputs i1 .. in, or, of those joined before, over the rows of that step. */
static char *
step_expr(DynSql *sql, DynNode *node, DynStep *before, Node *expr)
{
	int			n = list_length(node->inputs);
	int		   *ncolumns = palloc(sizeof(int) * (n + 1));

	if (before == NULL)
		return dyn_sql_expr(node, expr, sql->upto);
	for (int i = 0; i < n; i++)
		ncolumns[i] = dyn_input(node, i + 1)->ncolumns;
	ncolumns[n] = list_length(before->columns);
	expr = dyn_vars_map(expr, column_before, &(BeforeMap) {before->columns, n + 1});
	return dyn_expr_text(dyn_expr_at(expr, sql->upto), "i", n + 1, ncolumns, NIL, NIL);
}

/* ------------------------------------------------------------------------
 * The order of inputs
 * ------------------------------------------------------------------------
 */
static List *
join_order(DynNode *node)
{
	List	   *order = NIL;
	Bitmapset  *joined = NULL;

	for (int n = list_length(node->inputs); n > 0; n--)
	{
		int			input = next_input(node, joined);

		order = lappend_int(order, input);
		joined = bms_add_member(joined, input);
	}
	return order;
}

/* Of the inputs not joined yet the closest, and of these the largest. */
static int
next_input(DynNode *node, Bitmapset *joined)
{
	int			best = 0;
	int			best_closeness = -1;
	double		best_rows = -1;

	for (int i = 1; i <= list_length(node->inputs); i++)
	{
		int			close;
		double		rows;

		if (bms_is_member(i, joined))
			continue;
		close = closeness(node, joined, i);
		rows = input_rows(dyn_input(node, i));
		if (close > best_closeness || (close == best_closeness && rows > best_rows))
		{
			best = i;
			best_closeness = close;
			best_rows = rows;
		}
	}
	return best;
}

/*
 * How an input hangs together with those joined already: 0 not at all, 1 by an
 * equality, 2 by equalities that find at most one row of it.
 */
static int
closeness(DynNode *node, Bitmapset *joined, int input)
{
	List	   *found = NIL;	/* its columns that are compared as they are */
	bool		any = false;
	ListCell   *lc;

	foreach(lc, node->quals)
	{
		OpExpr	   *op = dyn_expr_equality(lfirst(lc));

		if (op == NULL)
			continue;
		for (int side = 0; side < 2; side++)
		{
			Node	   *mine = list_nth(op->args, side);
			Relids		mine_reads = dyn_expr_relations(mine);
			Relids		other_reads = dyn_expr_relations(list_nth(op->args, 1 - side));

			if (!bms_equal(mine_reads, bms_make_singleton(input)) ||
				bms_is_empty(other_reads) || !bms_is_subset(other_reads, joined))
				continue;
			any = true;
			if (IsA(mine, RelabelType))
				mine = (Node *) castNode(RelabelType, mine)->arg;
			if (IsA(mine, Var))
				found = lappend_int(found, castNode(Var, mine)->varattno);
		}
	}
	if (any && dyn_input(node, input)->has_key &&
		list_difference_int(dyn_input(node, input)->key, found) == NIL)
		return 2;
	return any ? 1 : 0;
}

/* About how many rows a relation has. */
static double
relation_rows(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows = 0;

	if (HeapTupleIsValid(tuple))
	{
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	return rows > 0 ? rows : UNKNOWN_ROWS;
}

static double
largest_relation(DynNode *node, List **seen)
{
	double		rows = 0;
	ListCell   *lc;

	/* of what has several parents there may be as many ways down as 2 to the depth */
	if (list_member_ptr(*seen, node))
		return 0;
	*seen = lappend(*seen, node);
	if (node->kind == DYN_NODE_SCAN)
		return relation_rows(node->relid);
	foreach(lc, node->inputs)
		rows = Max(rows, largest_relation(lfirst(lc), seen));
	return rows;
}

/* About how many rows an input has: as many as the largest table behind it. */
static double
input_rows(DynNode *node)
{
	List	   *seen = NIL;

	return largest_relation(node, &seen);
}
