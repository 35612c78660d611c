/*
 * dyn_build_setop.c
 *	  UNION, INTERSECT and EXCEPT.
 *
 * UNION ALL is an operator, and UNION the groups of its rows.  How often a row
 * is in an INTERSECT or EXCEPT is a function of l and r, how often it is in
 * the left and in the right side: both are counted per row of the union of
 * the sides, whose left rows are tagged, and a SELECT keeps the rows that the
 * function keeps.  With ALL it repeats them by a set-returning function.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parse_coerce.h>
#include <utils/fmgroids.h>

#include "query/dyn_build.h"

static void append_union_inputs(DynLevel *level, SetOperationStmt *setop, Node *arg, List **inputs);
static DynNode *coerce_columns(DynContext *ctx, DynNode *node, SetOperationStmt *setop);
static DynNode *union_of(List *inputs, SetOperationStmt *setop);
static DynNode *build_counted(DynLevel *level, SetOperationStmt *setop);
static DynNode *tagged(DynContext *ctx, DynNode *side, bool left);
static DynNode *count_sides(DynContext *ctx, DynNode *rows);
static DynNode *keep_rows(DynContext *ctx, SetOperationStmt *setop, DynNode *counts);
static DynNode *repeat_rows(DynContext *ctx, SetOperationStmt *setop, DynNode *counts);

DynNode *
dyn_build_setop(DynLevel *level, SetOperationStmt *setop)
{
	List	   *inputs = NIL;
	DynNode    *node;

	if (setop->op != SETOP_UNION)
		return build_counted(level, setop);
	if (setop->colTypes == NIL && !setop->all)
		return dyn_refuse(level->ctx, "SET_OPERATION", "the query uses UNION over no columns");
	append_union_inputs(level, setop, setop->larg, &inputs);
	append_union_inputs(level, setop, setop->rarg, &inputs);
	if (level->ctx->refusal->code)
		return NULL;
	node = union_of(inputs, setop);
	return setop->all ? node : dyn_build_distinct(level->ctx, node);
}

/* One side of a set operation as a node, in the operation's types. */
DynNode *
dyn_build_setop_side(DynLevel *level, SetOperationStmt *setop, Node *side)
{
	DynNode    *node = IsA(side, SetOperationStmt) ?
		dyn_build_setop(level, (SetOperationStmt *) side) :
		dyn_build_leaf(level, castNode(RangeTblRef, side)->rtindex);

	return node ? coerce_columns(level->ctx, node, setop) : NULL;
}

static void
append_union_inputs(DynLevel *level, SetOperationStmt *setop, Node *arg, List **inputs)
{
	DynNode    *node;

	if (IsA(arg, SetOperationStmt))
	{
		SetOperationStmt *inner = (SetOperationStmt *) arg;

		/* (a UNION ALL b) UNION ALL c is one union of three, types being the same */
		if (inner->op == SETOP_UNION && (inner->all || !setop->all) &&
			equal(inner->colTypes, setop->colTypes) && equal(inner->colTypmods, setop->colTypmods) &&
			equal(inner->colCollations, setop->colCollations))
		{
			append_union_inputs(level, setop, inner->larg, inputs);
			append_union_inputs(level, setop, inner->rarg, inputs);
			return;
		}
	}
	node = dyn_build_setop_side(level, setop, arg);
	if (node)
		*inputs = lappend(*inputs, node);
}

/* The columns of one side of a set operation in the operation's types and collations. */
static DynNode *
coerce_columns(DynContext *ctx, DynNode *node, SetOperationStmt *setop)
{
	List	   *targets = NIL;
	bool		same = true;

	for (int i = 0; i < node->ncolumns; i++)
	{
		DynColumn  *column = &node->columns[i];
		Oid			type = list_nth_oid(setop->colTypes, i);
		Oid			collation = list_nth_oid(setop->colCollations, i);
		Node	   *expr = (Node *) makeVar(1, i + 1, column->type, column->typmod,
											column->collation, 0);

		if (column->type != type)
		{
			same = false;
			expr = coerce_to_target_type(NULL, expr, column->type, type, -1,
										 COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
			if (expr == NULL)
				elog(ERROR, "could not cast type %u to %u", column->type, type);
		}
		if (OidIsValid(collation) && exprCollation(expr) != collation)
		{
			CollateExpr *collate = makeNode(CollateExpr);

			same = false;
			collate->arg = (Expr *) expr;
			collate->collOid = collation;
			collate->location = -1;
			expr = (Node *) collate;
		}
		targets = lappend(targets, expr);
	}
	return same ? node : dyn_make_select(ctx, list_make1(node), NIL, targets);
}

static DynNode *
union_of(List *inputs, SetOperationStmt *setop)
{
	DynNode    *node = dyn_make_union(inputs);

	for (int i = 0; i < list_length(setop->colTypes); i++)
	{
		node->columns[i].type = list_nth_oid(setop->colTypes, i);
		node->columns[i].typmod = list_nth_int(setop->colTypmods, i);
		node->columns[i].collation = list_nth_oid(setop->colCollations, i);
	}
	return node;
}

/* INTERSECT and EXCEPT, with and without ALL. */
static DynNode *
build_counted(DynLevel *level, SetOperationStmt *setop)
{
	DynContext *ctx = level->ctx;
	DynNode    *left = dyn_build_setop_side(level, setop, setop->larg);
	DynNode    *right = left ? dyn_build_setop_side(level, setop, setop->rarg) : NULL;
	DynNode    *rows;

	if (left == NULL || right == NULL)
		return NULL;
	left = tagged(ctx, left, true);
	right = tagged(ctx, right, false);
	if (left == NULL || right == NULL)
		return NULL;
	rows = count_sides(ctx, union_of(list_make2(left, right), setop));
	if (rows == NULL)
		return NULL;
	return setop->all ? repeat_rows(ctx, setop, rows) : keep_rows(ctx, setop, rows);
}

/* A side and one column more, NULL but for the left side. */
static DynNode *
tagged(DynContext *ctx, DynNode *side, bool left)
{
	Node	   *tag = left ? makeBoolConst(true, false) : (Node *) makeNullConst(BOOLOID, -1, InvalidOid);

	return dyn_make_select(ctx, list_make1(side), NIL, lappend(dyn_column_vars(side, 1), tag));
}

/* The distinct rows of tagged sides, and behind them n = l + r, and l. */
static DynNode *
count_sides(DynContext *ctx, DynNode *rows)
{
	int			tag = rows->ncolumns;
	DynNode    *node = dyn_make_groups(ctx, rows, tag - 1);

	if (node == NULL)
		return NULL;
	for (int i = 0; i < 2; i++)
	{
		DynAgg	   *count = palloc0(sizeof(DynAgg));

		count->kind = DYN_AGG_COUNT;
		count->arg = i == 0 ? 0 : tag;
		dyn_add_aggregate(node, count, (DynColumn) {.type = INT8OID, .typmod = -1});
	}
	return node;
}

/* The rows for which INTERSECT, l > 0 and r > 0, or EXCEPT, l > 0 and r = 0, holds. */
static DynNode *
keep_rows(DynContext *ctx, SetOperationStmt *setop, DynNode *counts)
{
	List	   *columns = dyn_column_vars(counts, 1);
	Node	   *l = llast(columns);
	Node	   *n = list_nth(columns, list_length(columns) - 2);
	Expr	   *in_right = dyn_int8_less(l, n);
	List	   *quals = list_make2(dyn_int8_less(dyn_int8(0), l),
								   setop->op == SETOP_INTERSECT ? in_right :
								   makeBoolExpr(NOT_EXPR, list_make1(in_right), -1));

	return dyn_make_select(ctx, list_make1(counts), quals, list_truncate(columns, list_length(columns) - 2));
}

/* Each row min(l, r) times for INTERSECT ALL, max(l - r, 0) times for EXCEPT ALL. */
static DynNode *
repeat_rows(DynContext *ctx, SetOperationStmt *setop, DynNode *counts)
{
	List	   *columns = dyn_column_vars(counts, 1);
	Node	   *l = llast(columns);
	Node	   *n = list_nth(columns, list_length(columns) - 2);
	Node	   *r = (Node *) makeFuncExpr(F_INT8MI, INT8OID, list_make2(n, l), InvalidOid, InvalidOid,
										  COERCE_EXPLICIT_CALL);
	Node	   *times;
	FuncExpr   *series;
	DynNode    *node;

	if (setop->op == SETOP_INTERSECT)
	{
		MinMaxExpr *least = makeNode(MinMaxExpr);

		least->minmaxtype = INT8OID;
		least->op = IS_LEAST;
		least->args = list_make2(l, r);
		least->location = -1;
		times = (Node *) least;
	}
	else
		times = (Node *) makeFuncExpr(F_INT8MI, INT8OID, list_make2(l, r), InvalidOid, InvalidOid,
									  COERCE_EXPLICIT_CALL);
	series = makeFuncExpr(F_GENERATE_SERIES_INT8_INT8, INT8OID, list_make2(dyn_int8(1), times),
						  InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	series->funcretset = true;
	columns = list_truncate(columns, list_length(columns) - 2);
	node = dyn_make_select(ctx, list_make1(counts), NIL, lappend(list_copy(columns), series));
	return dyn_make_select(ctx, list_make1(node), NIL, columns);
}
