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
 * has them (dyn_sql_order.c); with the one after which it has them, where they have
 * at most one row for each of its own and so can only make it smaller.
 *
 * A single row, as of an aggregate over all rows, changes from one to another:
 * Δ = +new −old.  Where it stands in conditions only, its term is
 *	 P' × ([conditions with new] − [conditions with old]),
 * so that P' is read once and only rows come out that are on one side now and
 * were on the other.  Where a condition compares a column with it, they lie
 * between the two: an index may find them, and where there is none two
 * comparisons with constants leave few rows for all that costs more.
 */
#include <postgres.h>

#include <access/stratnum.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_expr.h"
#include "query/dyn_sql_internal.h"
#include "query/dyn_vars.h"

static DynStep *delta_alone(DynNode *node, int input);
static void finish_step(DynNode *node, DynStep *step, bool last);
static char *step_term(DynSql *sql, DynNode *node, DynStep *step, bool of_before, bool of_delta);
static List *crossing_quals(DynSql *sql, DynNode *node, DynStep *step, List *quals);
static char *crossing_text(DynSql *sql, DynNode *node, DynStep *step, DynStep *before, List *quals, bool old);
static char *crossing_term(DynSql *sql, DynNode *node, DynStep *step, DynStep *before, List *quals, const char *term);
static char *changed_from(DynNode *node, DynStep *step);
static bool is_bounded(DynStep *step, Node *qual, Node **column, Node **bound, Oid *above, Oid *below);
static char *step_expr(DynSql *sql, DynNode *node, DynStep *step, DynStep *before, Node *expr);

/* Behind the inputs stand the rows of the step before, and the row that a single one was. */
#define alias_before(node) (list_length((node)->inputs) + 1)
#define alias_old(node) (list_length((node)->inputs) + 2)

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
	List	   *order = dyn_sql_join_order(node);
	Bitmapset  *joined = NULL;	/* of the order so far */
	int			left = 0;
	ListCell   *lc;

	foreach(lc, order)
		if (sql->changed[dyn_input(node, lfirst_int(lc))->no])
			left++;
	foreach(lc, order)
	{
		int			input = lfirst_int(lc);
		bool		at_most_one = dyn_sql_join_at_most_one(node, joined, input);
		DynStep    *before;

		joined = bms_add_member(joined, input);
		if (!sql->changed[dyn_input(node, input)->no])
		{
			if (step && (left == 0 || (steps != NIL && added == NIL && at_most_one)))
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
	DynStep    *before = of_before ? step->before : NULL;
	List	   *quals = of_before ? step->new_quals : step->quals;
	List	   *crossing = of_delta ? crossing_quals(sql, node, step, quals) : NIL;
	char	   *delta = psprintf("d%d", dyn_input(node, step->changed)->no);
	StringInfoData buf;
	StringInfoData weight;
	ListCell   *lc;
	int			input = -1;

	initStringInfo(&weight);
	if (of_before)
		appendStringInfo(&weight, "%si%d.w", of_delta ? "- " : "", alias_before(node));
	if (crossing)
		appendStringInfo(&weight, "%s(%s::int - %s::int)::bigint", of_before ? " * " : "",
						 crossing_text(sql, node, step, before, crossing, false),
						 crossing_text(sql, node, step, before, crossing, true));
	else if (of_delta)
		appendStringInfo(&weight, "%si%d.w", of_before ? " * " : "", step->changed);

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s AS w", weight.data);
	foreach(lc, step->columns)
		appendStringInfo(&buf, ", %s AS c%d", step_expr(sql, node, step, before, lfirst(lc)),
						 foreach_current_index(lc) + 1);
	appendStringInfoString(&buf, " FROM ");
	if (of_before)
		appendStringInfo(&buf, "%s i%d, ", before->name, alias_before(node));
	while ((input = bms_next_member(step->joined, input)) >= 0)
	{
		if (of_before && input != step->changed && !list_member_int(step->added, input))
			continue;
		if (input != step->changed || !of_delta)
			appendStringInfo(&buf, "(%s) i%d, ", dyn_sql_content(sql, dyn_input(node, input)), input);
		else if (crossing)
			appendStringInfo(&buf, "%s, ", changed_from(node, step));
		else
			appendStringInfo(&buf, "%s i%d, ", delta, input);
	}
	buf.len -= strlen(", ");
	appendStringInfoString(&buf, " WHERE true");
	foreach(lc, list_difference_ptr(quals, crossing))
		appendStringInfo(&buf, " AND (%s)", step_expr(sql, node, step, before, lfirst(lc)));
	return crossing ? crossing_term(sql, node, step, before, crossing, buf.data) : buf.data;
}

/* ------------------------------------------------------------------------
 * What crosses a condition when a single row changes
 * ------------------------------------------------------------------------
 */

/* Has the node one row, or at times none? */
static bool
is_single(DynNode *node)
{
	ListCell   *lc;

	if (node->kind == DYN_NODE_AGGREGATE)
		return node->nkeys == 0;
	if (node->kind != DYN_NODE_SELECT || node->inputs == NIL || expression_returns_set((Node *) node->targets))
		return false;
	foreach(lc, node->inputs)
		if (!is_single(lfirst(lc)))
			return false;
	return true;
}

/* The conditions on the changed input, if it is a row that became another and serves for nothing else. */
static List *
crossing_quals(DynSql *sql, DynNode *node, DynStep *step, List *quals)
{
	DynNode    *changed = dyn_input(node, step->changed);
	List	   *result = NIL;
	ListCell   *lc;

	if (sql->changed[changed->no] != 2 || !is_single(changed) ||
		bms_is_member(step->changed, dyn_expr_relations((Node *) step->columns)))
		return NIL;
	foreach(lc, quals)
		if (bms_is_member(step->changed, dyn_expr_relations(lfirst(lc))))
			result = lappend(result, lfirst(lc));
	return result;
}

/* Are these true with the changed input's new row, or its old one? */
static char *
crossing_text(DynSql *sql, DynNode *node, DynStep *step, DynStep *before, List *quals, bool old)
{
	Node	   *all = (Node *) make_ands_explicit(quals);

	if (old)
		all = dyn_renumber_input(all, step->changed, alias_old(node));
	return psprintf("((%s) IS TRUE)", step_expr(sql, node, step, before, all));
}

/*
 * The term so far, and that the conditions are true with one of the two rows only.
 * Where a column is compared, it lies between what it is compared with, unless one of
 * these is NULL: two terms then.  The bounds are subqueries, so that a scan tests them.
 */
static char *
crossing_term(DynSql *sql, DynNode *node, DynStep *step, DynStep *before, List *quals, const char *term)
{
	char	   *crossed = psprintf("%s AND %s <> %s", term, crossing_text(sql, node, step, before, quals, false),
								   crossing_text(sql, node, step, before, quals, true));
	Node	   *column;
	Node	   *bound;
	Oid			above;
	Oid			below;
	char	   *text;
	char	   *now;
	char	   *was;
	char	   *from;

	if (before || list_length(quals) != 1 || !is_bounded(step, linitial(quals), &column, &bound, &above, &below))
		return crossed;
	text = step_expr(sql, node, step, before, column);
	now = step_expr(sql, node, step, before, bound);
	was = step_expr(sql, node, step, before, dyn_renumber_input(bound, step->changed, alias_old(node)));
	from = changed_from(node, step);
	return psprintf("%s AND (%s) %s (SELECT least(%s, %s) FROM %s) AND (%s) %s (SELECT greatest(%s, %s) FROM %s)"
					" AND (%s) IS NOT NULL AND (%s) IS NOT NULL UNION ALL %s AND ((%s) IS NULL OR (%s) IS NULL)",
					crossed, text, dyn_sql_operator(above), now, was, from,
					text, dyn_sql_operator(below), now, was, from, now, was,
					crossed, now, was);
}

/* The changed input's row as it is now and as it was. */
static char *
changed_from(DynNode *node, DynStep *step)
{
	int			no = dyn_input(node, step->changed)->no;

	return psprintf("(SELECT * FROM d%d WHERE w > 0) i%d, (SELECT * FROM d%d WHERE w < 0) i%d",
					no, step->changed, no, alias_old(node));
}

/* Does the condition compare a column with something of the changed input, by the type's own order? */
static bool
is_bounded(DynStep *step, Node *qual, Node **column, Node **bound, Oid *above, Oid *below)
{
	OpExpr	   *op = (OpExpr *) qual;
	Oid			opno;
	Oid			opfamily;
	Oid			left;
	Oid			right;

	if (!IsA(op, OpExpr) || list_length(op->args) != 2 || OidIsValid(op->inputcollid))
		return false;
	for (int i = 0; i < 2; i++)
	{
		*column = list_nth(op->args, i);
		*bound = list_nth(op->args, 1 - i);
		opno = i == 0 ? op->opno : get_commutator(op->opno);
		if (!OidIsValid(opno) || !IsA(*column, Var) || castNode(Var, *column)->varno == step->changed ||
			!bms_equal(dyn_expr_relations(*bound), bms_make_singleton(step->changed)))
			continue;
		opfamily = lookup_type_cache(exprType(*bound), TYPECACHE_BTREE_OPFAMILY)->btree_opf;
		if (!OidIsValid(opfamily) || get_op_opfamily_strategy(opno, opfamily) == 0)
			return false;
		op_input_types(opno, &left, &right);
		*above = get_opfamily_member(opfamily, left, right, BTGreaterEqualStrategyNumber);
		*below = get_opfamily_member(opfamily, left, right, BTLessEqualStrategyNumber);
		return OidIsValid(*above) && OidIsValid(*below);
	}
	return false;
}

/* ------------------------------------------------------------------------
 * Expressions of a step
 * ------------------------------------------------------------------------
 */
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
step_expr(DynSql *sql, DynNode *node, DynStep *step, DynStep *before, Node *expr)
{
	int			n = list_length(node->inputs);
	int		   *ncolumns = palloc(sizeof(int) * (n + 2));

	for (int i = 0; i < n; i++)
		ncolumns[i] = dyn_input(node, i + 1)->ncolumns;
	ncolumns[n] = before ? list_length(before->columns) : 0;
	ncolumns[n + 1] = dyn_input(node, step->changed)->ncolumns;
	if (before)
		expr = dyn_vars_map(expr, column_before, &(BeforeMap) {before->columns, alias_before(node)});
	return dyn_expr_text(dyn_expr_at(expr, sql->upto), "i", n + 2, ncolumns, NIL, NIL);
}
