/*
 * dyn_scale.c
 *	  How many decimal places values of type numeric have.
 *
 * A sum shows as many as the longest of its values, and a quotient may depend
 * on it.  When a value is taken from a sum again, the sum does not tell how
 * many it should show now.  Where all values have the same number, as those of
 * numeric(15,2), or products of such, there is no question.  Where they have at
 * most some number (CASE WHEN … THEN price ELSE 0 END), it is enough to count
 * those that have it.  Otherwise the values have to be read again.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/nodeFuncs.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/numeric.h>

#include "query/dyn_node.h"

/* As many places as all types and constants together would hardly have. */
#define MOST_PLACES 1000

typedef struct Scale
{
	int			most;			/* no value has more places; or one of these */
	bool		same;			/* all have so many */
} Scale;

#define UNBOUNDED (-1)			/* no bound is known */
#define NO_VALUE (-2)			/* it is always NULL */

static const Scale unbounded = {UNBOUNDED, false};

static Scale column_scale(DynNode *node, int column);
static Scale either(Scale a, Scale b);
static Scale cases_scale(DynNode *node, CaseExpr *expr);
static Scale list_scale(DynNode *node, List *exprs);
static Scale function_scale(DynNode *node, Oid function, List *args);
static Scale expr_scale(DynNode *node, Node *expr);
static Scale of_typmod(int32 typmod);
static Scale of_constant(Const *constant);

/* What the sums of an AGGREGATE need to know of the values that they sum. */
void
dyn_node_derive_scales(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		Scale		scale;

		if ((agg->kind != DYN_AGG_SUM && agg->kind != DYN_AGG_AVG) ||
			dyn_input(node, 1)->columns[agg->arg - 1].type != NUMERICOID)
			continue;
		scale = column_scale(dyn_input(node, 1), agg->arg);
		agg->minus_rereads = scale.most == UNBOUNDED;
		agg->counts_scale = scale.most >= 0 && !scale.same;
		agg->scale = scale.most;
	}
}

int
dyn_expr_fixed_scale(Node *expr)
{
	Scale		scale = expr_scale(NULL, expr);

	return scale.same ? scale.most : -1;
}

static Scale
column_scale(DynNode *node, int column)
{
	int			nfirst = node->inputs == NIL ? 0 : dyn_input(node, 1)->ncolumns;
	Scale		scale = of_typmod(node->columns[column - 1].typmod);
	ListCell   *lc;

	if (node->columns[column - 1].type != NUMERICOID)
		return unbounded;
	if (scale.most >= 0)
		return scale;
	switch (node->kind)
	{
		case DYN_NODE_SELECT:
			return expr_scale(node, list_nth(node->targets, column - 1));
		case DYN_NODE_UNION:
			scale.most = NO_VALUE;
			foreach(lc, node->inputs)
				scale = either(scale, column_scale(lfirst(lc), column));
			return scale;
		case DYN_NODE_AGGREGATE:
			if (column > node->nkeys)
			{
				DynAgg	   *agg = list_nth(node->aggs, column - node->nkeys - 1);

				if (agg->kind != DYN_AGG_SUM && agg->kind != DYN_AGG_EXTREMUM)
					return unbounded;
				column = agg->arg;
			}
			return column_scale(dyn_input(node, 1), column);
		case DYN_NODE_JOIN:
			if (column > nfirst)
				return dyn_join_is_outer(node->join) ?
					column_scale(dyn_input(node, 2), column - nfirst) : unbounded;
			break;
		case DYN_NODE_APPLY:
		case DYN_NODE_MOVING:
		case DYN_NODE_WINDOW:
		case DYN_NODE_TOP:
			break;
		default:
			return unbounded;
	}

	/* these keep the columns of their input, and may add others */
	return column <= nfirst ? column_scale(dyn_input(node, 1), column) : unbounded;
}

/* node: whose inputs the Vars refer to, or NULL. */
static Scale
expr_scale(DynNode *node, Node *expr)
{
	Scale		scale;
	Var		   *var;

	if (exprType(expr) != NUMERICOID)
		return unbounded;
	if (IsA(expr, Const))
		return of_constant(castNode(Const, expr));
	scale = of_typmod(exprTypmod(expr));
	if (scale.most >= 0)
		return scale;
	switch (nodeTag(expr))
	{
		case T_Var:
			var = castNode(Var, expr);
			return node == NULL ? unbounded : column_scale(dyn_input(node, var->varno), var->varattno);
		case T_RelabelType:
			return expr_scale(node, (Node *) castNode(RelabelType, expr)->arg);
		case T_CaseExpr:
			return cases_scale(node, castNode(CaseExpr, expr));
		case T_CoalesceExpr:
			return list_scale(node, castNode(CoalesceExpr, expr)->args);
		case T_MinMaxExpr:
			return list_scale(node, castNode(MinMaxExpr, expr)->args);
		case T_FuncExpr:
			return function_scale(node, castNode(FuncExpr, expr)->funcid, castNode(FuncExpr, expr)->args);
		case T_OpExpr:
			return function_scale(node, get_opcode(castNode(OpExpr, expr)->opno), castNode(OpExpr, expr)->args);
		default:
			return unbounded;
	}
}

static Scale
function_scale(DynNode *node, Oid function, List *args)
{
	Scale		a,
				b;

	switch (function)
	{
		case F_NUMERIC_INT2:
		case F_NUMERIC_INT4:
		case F_NUMERIC_INT8:
			return (Scale) {0, true};
		case F_NUMERIC_UMINUS:
		case F_NUMERIC_UPLUS:
		case F_NUMERIC_ABS:
		case F_ABS_NUMERIC:
			return expr_scale(node, linitial(args));
		case F_NUMERIC_ADD:
		case F_NUMERIC_SUB:
		case F_NUMERIC_MUL:
			a = expr_scale(node, linitial(args));
			b = expr_scale(node, lsecond(args));
			if (a.most < 0 || b.most < 0)
				return (Scale) {Min(a.most, b.most), false};
			if (function == F_NUMERIC_MUL)
				return a.most + b.most > MOST_PLACES ? unbounded :
					(Scale) {a.most + b.most, a.same && b.same};
			return (Scale) {Max(a.most, b.most),
				(a.same && a.most >= b.most) || (b.same && b.most >= a.most)};
		default:
			return unbounded;
	}
}

static Scale
cases_scale(DynNode *node, CaseExpr *expr)
{
	List	   *results = NIL;
	ListCell   *lc;

	foreach(lc, expr->args)
		results = lappend(results, lfirst_node(CaseWhen, lc)->result);
	if (expr->defresult)
		results = lappend(results, expr->defresult);
	return list_scale(node, results);
}

/* A value of one of these. */
static Scale
list_scale(DynNode *node, List *exprs)
{
	Scale		scale = {NO_VALUE, false};
	ListCell   *lc;

	foreach(lc, exprs)
		scale = either(scale, expr_scale(node, lfirst(lc)));
	return scale;
}

static Scale
either(Scale a, Scale b)
{
	if (a.most == NO_VALUE || b.most == NO_VALUE)
		return a.most == NO_VALUE ? b : a;
	if (a.most == UNBOUNDED || b.most == UNBOUNDED)
		return unbounded;
	return (Scale) {Max(a.most, b.most), a.same && b.same && a.most == b.most};
}

/* numeric(p, s) has s places, and none where s is negative. */
static Scale
of_typmod(int32 typmod)
{
	int			scale = (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;

	return typmod < (int32) VARHDRSZ ? unbounded : (Scale) {Max(scale, 0), true};
}

static Scale
of_constant(Const *constant)
{
	if (constant->constisnull)
		return (Scale) {NO_VALUE, false};
	if (numeric_is_nan(DatumGetNumeric(constant->constvalue)) ||
		numeric_is_inf(DatumGetNumeric(constant->constvalue)))
		return unbounded;
	return (Scale) {DatumGetInt32(DirectFunctionCall1(numeric_scale, constant->constvalue)), true};
}
