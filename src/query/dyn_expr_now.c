/*
 * dyn_expr_now.c
 *	  now() and its kin in expressions: their values at a moment, and what
 *	  crosses a condition from one moment to another.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <nodes/pathnodes.h>
#include <optimizer/optimizer.h>
#include <parser/parse_coerce.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>

#include "query/dyn_expr.h"
#include "query/dyn_make.h"

typedef struct Moments
{
	TimestampTz t;
	TimestampTz other;
} Moments;

static bool has_now_walker(Node *node, void *context);
static Node *at_mutator(Node *node, void *context);
static Node *value_at(SQLValueFunction *value, TimestampTz t);
static Node *value_of(Node *node);
static bool differs_walker(Node *node, void *context);
static bool open_walker(Node *node, void *context);

bool
dyn_expr_is_now(Node *node)
{
	if (IsA(node, FuncExpr))
	{
		Oid			funcid = castNode(FuncExpr, node)->funcid;

		return funcid == F_NOW || funcid == F_TRANSACTION_TIMESTAMP ||
			funcid == F_STATEMENT_TIMESTAMP;
	}
	if (IsA(node, SQLValueFunction))
		switch (castNode(SQLValueFunction, node)->op)
		{
			case SVFOP_CURRENT_DATE:
			case SVFOP_CURRENT_TIME:
			case SVFOP_CURRENT_TIME_N:
			case SVFOP_CURRENT_TIMESTAMP:
			case SVFOP_CURRENT_TIMESTAMP_N:
			case SVFOP_LOCALTIME:
			case SVFOP_LOCALTIME_N:
			case SVFOP_LOCALTIMESTAMP:
			case SVFOP_LOCALTIMESTAMP_N:
				return true;
			default:
				return false;
		}
	return false;
}

bool
dyn_expr_has_now(Node *node)
{
	return has_now_walker(node, NULL);
}

/*
 * Whether an expression shows now() itself.  In a subquery, an aggregate or a
 * window function now() decides rows, and what the expression says of these is
 * a value like any other.
 */
bool
dyn_expr_shows_now(Node *node)
{
	bool		itself_only = true;

	return has_now_walker(node, &itself_only);
}

/* context: not NULL where only what the expression shows itself counts */
static bool
has_now_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (dyn_expr_is_now(node))
		return true;
	if (context != NULL && (IsA(node, Query) || IsA(node, Aggref) || IsA(node, WindowFunc)))
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_now_walker, context, 0);
	return expression_tree_walker(node, has_now_walker, context);
}

Node *
dyn_expr_at(Node *node, TimestampTz t)
{
	if (node && IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, at_mutator, &t, 0);
	return at_mutator(node, &t);
}

static Node *
at_mutator(Node *node, void *context)
{
	TimestampTz t = *(TimestampTz *) context;

	if (node == NULL)
		return NULL;
	if (dyn_expr_is_now(node))
	{
		if (IsA(node, SQLValueFunction))
			return value_at((SQLValueFunction *) node, t);
		return (Node *) makeConst(TIMESTAMPTZOID, -1, InvalidOid, sizeof(TimestampTz),
								  TimestampTzGetDatum(t), false, FLOAT8PASSBYVAL);
	}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, at_mutator, context, 0);
	return expression_tree_mutator(node, at_mutator, context);
}

/* CURRENT_DATE and the like at a moment: that moment, cast as the server casts it. */
static Node *
value_at(SQLValueFunction *value, TimestampTz t)
{
	Node	   *moment = (Node *) makeConst(TIMESTAMPTZOID, -1, InvalidOid, sizeof(TimestampTz),
											TimestampTzGetDatum(t), false, FLOAT8PASSBYVAL);
	Node	   *cast = coerce_to_target_type(NULL, moment, TIMESTAMPTZOID,
											 value->type, value->typmod,
											 COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);

	if (cast == NULL)
		elog(ERROR, "could not cast a timestamp to type %u", value->type);
	return cast;
}

/*
 * Does the expression or query mean the same at both moments?  What stands
 * around now() without a column, as in date_trunc('day', now()), often has one
 * value at both.
 */
bool
dyn_expr_same_at(Node *node, TimestampTz t, TimestampTz other)
{
	Moments		moments = {t, other};

	if (node && IsA(node, Query))
		return !query_tree_walker((Query *) node, differs_walker, &moments, 0);
	return !differs_walker(node, &moments);
}

static bool
differs_walker(Node *node, void *context)
{
	Moments    *moments = context;

	if (node == NULL || !dyn_expr_has_now(node))
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, differs_walker, context, 0);
	if (!IsA(node, List) && !open_walker(node, NULL))
		return !equal(value_of(dyn_expr_at(node, moments->t)), value_of(dyn_expr_at(node, moments->other)));
	return expression_tree_walker(node, differs_walker, context);
}

/* The value of an expression without columns, stable functions included, as far as the planner finds it. */
static Node *
value_of(Node *node)
{
	PlannerInfo *root = makeNode(PlannerInfo);

	root->glob = makeNode(PlannerGlobal);
	return estimate_expression_value(root, node);
}

Const *
dyn_expr_value_at(Node *node, TimestampTz t)
{
	Const	   *value;

	if (open_walker(node, NULL))
		return NULL;
	value = (Const *) value_of(dyn_expr_at(node, t));
	return IsA(value, Const) && !value->constisnull ? value : NULL;
}

/* Does the node need a row or what stands around it to have a value?  Only plain expressions do not. */
static bool
open_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_NullTest:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_SQLValueFunction:
			return expression_tree_walker(node, open_walker, context);
		default:
			return true;
	}
}

Node *
dyn_expr_not(Node *qual)
{
	OpExpr	   *op = (OpExpr *) qual;

	/*
	 * A row is asked only if the condition was true for it at the other
	 * moment, so a single comparison is not NULL here and its negator (which
	 * an index can serve) says the same as IS NOT TRUE.
	 */
	if (IsA(qual, OpExpr) && op_strict(op->opno) && list_length(op->args) == 2)
	{
		Expr	   *negated = dyn_make_negated(qual);

		if (negated)
			return (Node *) negated;
	}
	return dyn_make_boolean_test(copyObject(qual), IS_NOT_TRUE);
}

/*
 * A condition that is implied by "qual is true at t and not at other", made of
 * comparisons that an index can serve: one of the parts that move has become
 * true.
 */
Node *
dyn_expr_crossed(Node *qual, TimestampTz t, TimestampTz other)
{
	List	   *parts = NIL;
	ListCell   *lc;

	if (is_notclause(qual) && IsA(get_notclausearg(qual), BoolExpr))
		return dyn_expr_crossed(negate_clause((Node *) get_notclausearg(qual)), t, other);
	if (!is_andclause(qual) && !is_orclause(qual))
	{
		Node	   *range = dyn_expr_turning_range(qual, t, other);

		parts = list_make2(dyn_expr_at(qual, t), dyn_expr_at(dyn_expr_not(qual), other));
		return (Node *) make_andclause(range ? lappend(parts, range) : parts);
	}
	foreach(lc, castNode(BoolExpr, qual)->args)
		if (dyn_expr_has_now(lfirst(lc)))
			parts = lappend(parts, dyn_expr_crossed(lfirst(lc), t, other));
	return list_length(parts) == 1 ? linitial(parts) : (Node *) make_orclause(parts);
}
