/*
 * dyn_build_top.c
 *	  The rows that come first: LIMIT, DISTINCT ON, and conditions on ranks.
 *
 * All of them become TOP.  LIMIT n is row_number() <= n over all rows, WITH
 * TIES rank() <= n; DISTINCT ON is row_number() = 1 in each partition.
 */
#include <postgres.h>

#include <access/stratnum.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_opfamily.h>
#include <catalog/pg_type.h>
#include <common/int.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <optimizer/tlist.h>
#include <parser/parse_oper.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>

#include "query/dyn_build.h"
#include "query/dyn_make.h"

/* What conditions say about a rank: a column of a chain of WINDOW nodes, one over the other. */
typedef struct RankRange
{
	int			input;			/* of the SELECT that has the conditions */
	int			column;			/* of that input */
	int64		first;
	int64		last;
} RankRange;

/* Columns of an input that have moved; 0: not there any more. */
typedef struct ColumnMap
{
	int			input;
	int		   *to;				/* by column, from 1 */
	bool		lost;			/* one was asked for that is not there */
} ColumnMap;

static bool limit_value(Node *expr, int64 none, int64 *value);
static DynNode *make_top(DynContext *ctx, DynNode *input, WindowClause *clause, List *tlist,
						 DynRank rank, int64 first, int64 last);
static DynNode *skip_rows(DynContext *ctx, DynNode *input, WindowClause *clause, List *tlist, int64 offset);
static List *partition_clause(List *tlist, int ncarried);
static bool rank_test(Node *qual, List *inputs, RankRange *range);
static bool find_rank(List *inputs, RankRange *range);
static bool pull_rank(RankRange *range, List **inputs, List **quals, List **targets);

/* ------------------------------------------------------------------------
 * LIMIT and DISTINCT ON
 * ------------------------------------------------------------------------
 */

/* OFFSET 0, which keeps subqueries apart, limits nothing. */
bool
dyn_limits(Query *query)
{
	int64		count;
	int64		offset;

	return !limit_value(query->limitCount, PG_INT64_MAX, &count) || count < PG_INT64_MAX ||
		!limit_value(query->limitOffset, 0, &offset) || offset > 0;
}

bool
dyn_check_limit(DynLevel *level)
{
	Query	   *query = level->query;
	int64		count;
	int64		offset;

	if (!dyn_limits(query))
		return true;
	if (!limit_value(query->limitCount, PG_INT64_MAX, &count) ||
		!limit_value(query->limitOffset, 0, &offset) ||
		(query->limitOption == LIMIT_OPTION_WITH_TIES && count == PG_INT64_MAX))
		dyn_refuse(level->ctx, "LIMIT_EXPRESSION", "LIMIT or OFFSET is not a constant");
	else if (count > 0 && query->sortClause == NIL)
		dyn_refuse(level->ctx, "LIMIT_WITHOUT_ORDER",
				   "LIMIT or OFFSET stands without ORDER BY, so that the result is not determined");
	return level->ctx->refusal->code == NULL;
}

/* False when the expression is no constant, or one that the server refuses. */
static bool
limit_value(Node *expr, int64 none, int64 *value)
{
	Const	   *constant;

	*value = none;
	if (expr == NULL)
		return true;
	constant = (Const *) eval_const_expressions(NULL, copyObject(expr));
	if (!IsA(constant, Const))
		return false;
	if (!constant->constisnull)
		*value = DatumGetInt64(constant->constvalue);
	return *value >= 0;
}

DynNode *
dyn_build_limit(DynLevel *level, DynNode *node, List *tlist)
{
	Query	   *query = level->query;
	WindowClause *clause = makeNode(WindowClause);
	bool		ties = query->limitOption == LIMIT_OPTION_WITH_TIES;
	int64		count;
	int64		offset;
	int64		last;
	DynNode    *top;

	if (node == NULL || !dyn_limits(query))
		return node;
	(void) limit_value(query->limitCount, PG_INT64_MAX, &count);
	(void) limit_value(query->limitOffset, 0, &offset);
	if (count == 0)
		return dyn_make_select(level->ctx, list_make1(node), list_make1(makeBoolConst(false, false)),
							   dyn_column_vars(node, 1));
	tlist = copyObject(tlist);
	clause->partitionClause = partition_clause(tlist, level->ncarried);
	clause->orderClause = query->sortClause;
	if (list_length(clause->partitionClause) < level->ncarried)
		return dyn_refuse(level->ctx, "LIMIT",
						  "LIMIT counts rows for each value of a column whose type has no order");
	if (pg_add_s64_overflow(offset, count, &last) || last == PG_INT64_MAX)
		return skip_rows(level->ctx, node, clause, tlist, offset);
	top = make_top(level->ctx, node, clause, tlist, ties ? DYN_RANK_RANK : DYN_RANK_NUMBER,
				   ties ? 1 : offset + 1, last);
	if (top && ties)
		top->skip = offset;
	return top;
}

DynNode *
dyn_build_distinct_on(DynContext *ctx, DynNode *node, Query *query, List *tlist)
{
	WindowClause *clause = makeNode(WindowClause);

	clause->partitionClause = query->distinctClause;
	clause->orderClause = query->sortClause;
	return make_top(ctx, node, clause, tlist, DYN_RANK_NUMBER, 1, 1);
}

/* A TOP over a node whose columns are those of a target list. */
static DynNode *
make_top(DynContext *ctx, DynNode *input, WindowClause *clause, List *tlist,
		 DynRank rank, int64 first, int64 last)
{
	List	   *columns = NIL;
	DynNode    *node;
	ListCell   *lc;

	foreach(lc, dyn_column_vars(input, 1))
	{
		TargetEntry *entry = flatCopyTargetEntry(list_nth(tlist, foreach_current_index(lc)));

		if (input->columns[foreach_current_index(lc)].written_at &&
			(get_sortgroupref_clause_noerr(entry->ressortgroupref, clause->orderClause) ||
			 get_sortgroupref_clause_noerr(entry->ressortgroupref, clause->partitionClause)))
			return dyn_refuse(ctx, "NOW_IN_WINDOW", "now() stands in DISTINCT ON, or in the ORDER BY of it or of LIMIT");
		entry->expr = lfirst(lc);
		columns = lappend(columns, entry);
	}
	clause->frameOptions = FRAMEOPTION_DEFAULTS;
	clause->winref = 1;
	node = dyn_build_window(ctx, input, clause, NIL, columns);
	node->kind = DYN_NODE_TOP;
	node->rank = rank;
	node->first = first;
	node->last = last;
	return node;
}

/* OFFSET without LIMIT: all rows are numbered. */
static DynNode *
skip_rows(DynContext *ctx, DynNode *input, WindowClause *clause, List *tlist, int64 offset)
{
	DynNode    *node = make_top(ctx, input, clause, tlist, DYN_RANK_NUMBER, 1, 1);
	Var		   *var = makeVar(1, input->ncolumns + 1, INT8OID, -1, InvalidOid, 0);
	Const	   *bound = makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(offset), false, FLOAT8PASSBYVAL);

	if (node == NULL)
		return NULL;
	node = dyn_build_window(ctx, input, linitial(node->window_clauses),
							list_make1(dyn_make_row_number()), node->window_tlist);
	return dyn_make_select(ctx, list_make1(node),
						   list_make1(make_opclause(Int8LessOperator, BOOLOID, false, (Expr *) bound, (Expr *) var,
													InvalidOid, InvalidOid)),
						   dyn_column_vars(input, 1));
}

/* PARTITION BY the last columns that are printed; those whose type has no order are left out. */
static List *
partition_clause(List *tlist, int ncarried)
{
	List	   *clause = NIL;
	Index		ref = 0;
	int			skipped = -ncarried;
	ListCell   *lc;

	foreach(lc, tlist)
	{
		ref = Max(ref, lfirst_node(TargetEntry, lc)->ressortgroupref);
		skipped += !lfirst_node(TargetEntry, lc)->resjunk;
	}
	foreach(lc, tlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		SortGroupClause *item = makeNode(SortGroupClause);

		if (entry->resjunk || skipped-- > 0)
			continue;
		get_sort_group_operators(exprType((Node *) entry->expr), false, true, false,
								 &item->sortop, &item->eqop, NULL, &item->hashable);
		if (!OidIsValid(item->sortop))
			continue;
		if (entry->ressortgroupref == 0)
			entry->ressortgroupref = ++ref;
		item->tleSortGroupRef = entry->ressortgroupref;
		clause = lappend(clause, item);
	}
	return clause;
}

/* ------------------------------------------------------------------------
 * Conditions on ranks
 *
 * The WINDOW node that computes the rank need not keep the rows that the
 * conditions leave out.  Other functions of the same rows, which may look at
 * any of them, stay in WINDOW nodes below.
 * ------------------------------------------------------------------------
 */
void
dyn_recognise_top(List **inputs, List **quals, List **targets)
{
	ListCell   *lc;
	ListCell   *lq;

	foreach(lc, *quals)
	{
		RankRange	range = {0};
		List	   *rest = NIL;

		if (!rank_test(lfirst(lc), *inputs, &range) || range.last == PG_INT64_MAX)
			continue;
		range.first = 1;
		range.last = PG_INT64_MAX;
		foreach(lq, *quals)
		{
			RankRange	other = {0};

			if (rank_test(lfirst(lq), *inputs, &other) &&
				other.input == range.input && other.column == range.column)
			{
				range.first = Max(range.first, other.first);
				range.last = Min(range.last, other.last);
			}
			else
				rest = lappend(rest, lfirst(lq));
		}
		if (range.first > range.last || !pull_rank(&range, inputs, &rest, targets))
			continue;
		*quals = rest;

		/* the conditions have other columns now: once more, for ranks of other inputs */
		dyn_recognise_top(inputs, quals, targets);
		return;
	}
}

/* Is it a rank compared with a constant?  Then the range in which the rank may lie. */
static bool
rank_test(Node *qual, List *inputs, RankRange *range)
{
	OpExpr	   *op = (OpExpr *) qual;
	Node	   *left;
	Const	   *bound;
	int64		value;
	int			strategy;

	if (!IsA(qual, OpExpr) || list_length(op->args) != 2)
		return false;
	strategy = get_op_opfamily_strategy(op->opno, INTEGER_BTREE_FAM_OID);
	left = linitial(op->args);
	bound = (Const *) lsecond(op->args);
	if (!IsA(left, Var))
	{
		bound = (Const *) left;
		left = lsecond(op->args);
		strategy = strategy ? BTMaxStrategyNumber + 1 - strategy : 0;
	}
	if (strategy == 0 || !IsA(left, Var) || dyn_vars_of((Node *) bound) != NIL)
		return false;
	range->input = ((Var *) left)->varno;
	range->column = ((Var *) left)->varattno;
	if (!find_rank(inputs, range))
		return false;
	bound = (Const *) eval_const_expressions(NULL, copyObject((Node *) bound));
	if (!IsA(bound, Const) || bound->constisnull)
		return false;
	value = bound->consttype == INT2OID ? DatumGetInt16(bound->constvalue) :
		bound->consttype == INT4OID ? DatumGetInt32(bound->constvalue) : DatumGetInt64(bound->constvalue);
	if (value <= 0 || value >= PG_INT64_MAX)
		return false;
	range->first = strategy == BTEqualStrategyNumber || strategy == BTGreaterEqualStrategyNumber ? value :
		strategy == BTGreaterStrategyNumber ? value + 1 : 1;
	range->last = strategy == BTEqualStrategyNumber || strategy == BTLessEqualStrategyNumber ? value :
		strategy == BTLessStrategyNumber ? value - 1 : PG_INT64_MAX;
	return range->last > 0;
}

/* ------------------------------------------------------------------------
 * Moving a rank to the top of its windows
 * ------------------------------------------------------------------------
 */

/* The node of a chain of WINDOW nodes that computes a column; NULL when another kind of node does. */
static DynNode *
window_of(DynNode *node, int column)
{
	while (node->kind == DYN_NODE_WINDOW && !node->shared)
	{
		DynNode    *input = dyn_input(node, 1);

		if (column > input->ncolumns)
			return node;
		node = input;
	}
	return NULL;
}

static bool
is_rank(WindowFunc *function)
{
	return function->winfnoid == F_ROW_NUMBER || function->winfnoid == F_RANK_ ||
		function->winfnoid == F_DENSE_RANK_;
}

static bool
find_rank(List *inputs, RankRange *range)
{
	DynNode    *node = window_of(list_nth(inputs, range->input - 1), range->column);

	return node && dyn_input(node, 1)->ncolumns > 0 &&
		is_rank(list_nth(node->functions, range->column - dyn_input(node, 1)->ncolumns - 1));
}

static Node *
map_column(Var *var, void *arg)
{
	ColumnMap  *map = arg;

	if (var->varno != map->input)
		return (Node *) var;
	var->varattno = var->varattnosyn = map->to[var->varattno];
	map->lost |= var->varattno == 0;
	return (Node *) var;
}

/* Is the column of the input used in the expression? */
static bool
uses_column(Node *expr, int input, int column)
{
	ListCell   *lc;

	foreach(lc, dyn_vars_of(expr))
		if (lfirst_node(Var, lc)->varno == input && lfirst_node(Var, lc)->varattno == column)
			return true;
	return false;
}

/*
 * The chain from node down to window, without the functions of window that are
 * ranks.  map, which is filled in, tells where the columns have gone; lost is
 * set in it where a function in between needs one of the ranks.
 */
static DynNode *
without_ranks(DynNode *node, DynNode *window, ColumnMap *map)
{
	DynNode    *input = dyn_input(node, 1);
	DynNode    *result = palloc(sizeof(DynNode));
	List	   *kept = NIL;
	ListCell   *lc;

	*result = *node;
	if (node == window)
		for (int i = 1; i <= input->ncolumns; i++)
			map->to[i] = i;
	else
	{
		input = without_ranks(input, window, map);
		result->functions = (List *) dyn_vars_map((Node *) node->functions, map_column, map);
		result->window_tlist = (List *) dyn_vars_map((Node *) node->window_tlist, map_column, map);
		result->partition = NIL;
		foreach(lc, node->partition)
		{
			result->partition = lappend_int(result->partition, map->to[lfirst_int(lc)]);
			map->lost |= llast_int(result->partition) == 0;
		}
	}
	result->inputs = list_make1(input);
	result->columns = palloc0(sizeof(DynColumn) * node->ncolumns);
	memcpy(result->columns, input->columns, sizeof(DynColumn) * input->ncolumns);
	foreach(lc, result->functions)
	{
		int			old = dyn_input(node, 1)->ncolumns + foreach_current_index(lc) + 1;

		map->to[old] = 0;
		if (node == window && is_rank(lfirst(lc)))
			continue;
		result->columns[input->ncolumns + list_length(kept)] = node->columns[old - 1];
		kept = lappend(kept, lfirst(lc));
		map->to[old] = input->ncolumns + list_length(kept);
	}
	if (kept == NIL)
		return input;
	result->functions = kept;
	result->ncolumns = input->ncolumns + list_length(kept);
	return result;
}

/*
 * Put a TOP on the chain of windows that are an input of a SELECT, for the
 * ranks of the window whose rank lies in the range.  False, and nothing is
 * done, when another window of the chain needs these ranks.
 */
static bool
pull_rank(RankRange *range, List **inputs, List **quals, List **targets)
{
	DynNode    *chain = list_nth(*inputs, range->input - 1);
	DynNode    *window = window_of(chain, range->column);
	int			nbelow = dyn_input(window, 1)->ncolumns;
	WindowFunc *function = list_nth(window->functions, range->column - nbelow - 1);
	ColumnMap	map = {.input = 1, .to = palloc0(sizeof(int) * (chain->ncolumns + 1))};
	DynNode    *below = without_ranks(chain, window, &map);
	List	   *used = list_make2(*quals, *targets);
	DynNode    *top;
	ListCell   *lc;

	if (map.lost)
		return false;
	top = dyn_node_new(DYN_NODE_TOP, below->ncolumns + list_length(window->functions));
	top->inputs = list_make1(below);
	top->ncolumns = below->ncolumns;
	memcpy(top->columns, below->columns, sizeof(DynColumn) * below->ncolumns);
	foreach(lc, window->functions)
	{
		int			column = nbelow + foreach_current_index(lc) + 1;

		if (!is_rank(lfirst(lc)) || !uses_column((Node *) used, range->input, column))
			continue;
		top->functions = lappend(top->functions, lfirst(lc));
		top->columns[top->ncolumns++] = window->columns[column - 1];
		map.to[column] = top->ncolumns;
	}
	top->partition = window->partition;
	top->window_tlist = window->window_tlist;
	top->window_clauses = window->window_clauses;
	top->rank = function->winfnoid == F_ROW_NUMBER ? DYN_RANK_NUMBER :
		function->winfnoid == F_RANK_ || range->last == 1 ? DYN_RANK_RANK : DYN_RANK_DENSE;
	top->first = range->first;
	top->last = range->last;

	map.input = range->input;
	*quals = (List *) dyn_vars_map((Node *) *quals, map_column, &map);
	*targets = (List *) dyn_vars_map((Node *) *targets, map_column, &map);
	*inputs = list_copy(*inputs);
	lfirst(list_nth_cell(*inputs, range->input - 1)) = top;
	return true;
}
