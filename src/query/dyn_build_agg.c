/*
 * dyn_build_agg.c
 *	  Aggregates: how each is kept up to date, and those that say what others
 *	  say that can be kept better.
 *
 * bool_and and bool_or are counts of true and false, and variances of what is
 * added exactly are made of sums.  A condition on now() in
 * sum(CASE WHEN … THEN x END) is a FILTER, for which there is a rule.
 */
#include <postgres.h>

#include <access/nbtree.h>
#include <access/transam.h>
#include <catalog/pg_aggregate.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parse_coerce.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"
#include "query/dyn_make.h"

static bool is_extremum(Aggref *ref);
static void build_reread(DynAgg *agg, Aggref *ref, List **targets, int mark);
static void spread_variadic(Aggref *ref);
static Node *guarded_argument(Aggref *ref);
static Node *rewrite(Aggref *ref);
static Node *bool_from_counts(Aggref *ref, bool is_and);
static Node *variance_from_sums(Aggref *ref, bool sample);
static Node *filter_from_case(Aggref *ref);
static Node *sum_with_zero(Aggref *all, Aggref *met, Node *zero);
static Node *as_numeric(Node *expr);
static Node *numeric_call(Oid function, Node *left, Node *right);
static Node *and_also(Node *filter, Node *condition);
static bool is_zero(Node *expr);

#define make_aggregate(function, type, arg, filter) \
	((Node *) dyn_make_aggregate(function, type, copyObject((Node *) (arg)), copyObject((Node *) (filter))))
#define make_count(arg, filter) make_aggregate(F_COUNT_ANY, INT8OID, arg, filter)

/* ------------------------------------------------------------------------
 * How an aggregate is kept
 * ------------------------------------------------------------------------
 */

/*
 * dyn_build_agg decides how an aggregate is kept, and adds what it reads to
 * the targets of the input.  marked: only the rows count for which a column
 * of the constant true is not NULL, and other targets are NULL where it is.
 */
DynAgg *
dyn_build_agg(Aggref *ref, List **targets, bool marked)
{
	DynAgg	   *agg = palloc0(sizeof(DynAgg));
	Node	   *mark = marked ? makeBoolConst(true, false) : NULL;
	Node	   *arg;

	agg->kind = dyn_agg_kind(ref);
	if (agg->kind == DYN_AGG_REREAD)
	{
		build_reread(agg, ref, targets, mark ? dyn_column_for(targets, mark) : 0);
		return agg;
	}
	agg->ref = ref;
	arg = guarded_argument(ref);
	if (arg == NULL)
		arg = mark;
	if (arg)
		agg->arg = dyn_column_for(targets, arg);
	if (agg->kind == DYN_AGG_EXTREMUM)
	{
		agg->is_max = strcmp(get_func_name(ref->aggfnoid), "max") == 0;
		agg->alike = dyn_equal_is_alike(exprType(arg), -1, ref->inputcollid);
	}
	return agg;
}

DynAggKind
dyn_agg_kind(Aggref *ref)
{
	if (ref->aggkind != AGGKIND_NORMAL || ref->aggdistinct || ref->aggorder)
		return DYN_AGG_REREAD;
	switch (ref->aggfnoid)
	{
		case F_COUNT_:
		case F_COUNT_ANY:
			return DYN_AGG_COUNT;
		case F_SUM_INT2:
		case F_SUM_INT4:
		case F_SUM_INT8:
		case F_SUM_NUMERIC:
			return DYN_AGG_SUM;
		case F_AVG_INT2:
		case F_AVG_INT4:
		case F_AVG_INT8:
		case F_AVG_NUMERIC:
			return DYN_AGG_AVG;
	}
	return is_extremum(ref) ? DYN_AGG_EXTREMUM : DYN_AGG_REREAD;
}

static bool
is_extremum(Aggref *ref)
{
	char	   *name = get_func_name(ref->aggfnoid);

	return ref->aggfnoid < FirstUnpinnedObjectId &&
		(strcmp(name, "min") == 0 || strcmp(name, "max") == 0);
}

bool
dyn_equal_is_alike(Oid type, int32 typmod, Oid collation)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY);
	Oid			proc;

	/* rounded to so many places, or padded to such a length */
	if (typmod >= 0 && (type == NUMERICOID || (type == BPCHAROID && get_collation_isdeterministic(collation))))
		return true;
	if (!OidIsValid(entry->btree_opf))
		return false;
	proc = get_opfamily_proc(entry->btree_opf, entry->btree_opintype, entry->btree_opintype,
							 BTEQUALIMAGE_PROC);
	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, collation, ObjectIdGetDatum(entry->btree_opintype)));
}

/* The aggregate as it stands, over columns; mark: the column of the rows that count, or 0. */
static void
build_reread(DynAgg *agg, Aggref *ref, List **targets, int mark)
{
	DynExprColumns columns = {NIL};
	ListCell   *lc;

	foreach(lc, dyn_vars_of((Node *) ref))
		dyn_column_for(targets, lfirst(lc));
	columns.exprs = *targets;
	agg->ref = (Aggref *) dyn_as_columns(copyObject((Node *) ref), &columns);
	if (ref->aggvariadic && ref->aggdistinct)
		spread_variadic(agg->ref);
	if (mark > 0)
		agg->ref->aggfilter = (Expr *) and_also((Node *) agg->ref->aggfilter,
												(Node *) makeVar(1, mark, BOOLOID, -1, InvalidOid, 0));
}

/* The grammar has no DISTINCT with VARIADIC: name the elements of the array that the parser made of them. */
static void
spread_variadic(Aggref *ref)
{
	int			narray = list_length(ref->aggargtypes) - 1;
	TargetEntry *entry = list_nth_node(TargetEntry, ref->args, narray);
	ListCell   *lc;

	ref->args = list_truncate(ref->args, narray);
	ref->aggargtypes = list_truncate(ref->aggargtypes, narray);
	foreach(lc, castNode(ArrayExpr, entry->expr)->elements)
	{
		TargetEntry *element = makeTargetEntry(lfirst(lc), list_length(ref->args) + 1, NULL, false);

		element->ressortgroupref = foreach_current_index(lc) == 0 ? entry->ressortgroupref : 0;
		ref->args = lappend(ref->args, element);
		ref->aggargtypes = lappend_oid(ref->aggargtypes, exprType(lfirst(lc)));
	}
	ref->aggvariadic = false;
}

/* The aggregate's argument, NULL where its FILTER is not true; NULL for a plain count(*). */
static Node *
guarded_argument(Aggref *ref)
{
	Node	   *arg = ref->args ? (Node *) linitial_node(TargetEntry, ref->args)->expr : NULL;

	if (ref->aggfilter == NULL)
		return arg;
	if (arg == NULL)
		arg = makeBoolConst(true, false);
	return dyn_make_case(copyObject(ref->aggfilter), copyObject(arg),
					 (Node *) makeNullConst(exprType(arg), exprTypmod(arg), exprCollation(arg)));
}

/* ------------------------------------------------------------------------
 * Aggregates in terms of others
 * ------------------------------------------------------------------------
 */
Node *
dyn_rewrite_aggregates(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
		return rewrite(copyObject((Aggref *) node));
	return expression_tree_mutator(node, dyn_rewrite_aggregates, context);
}

static Node *
rewrite(Aggref *ref)
{
	if (ref->aggfnoid == F_BOOL_AND || ref->aggfnoid == F_EVERY)
		return bool_from_counts(ref, true);
	if (ref->aggfnoid == F_BOOL_OR)
		return bool_from_counts(ref, false);
	switch (ref->aggfnoid)
	{
		case F_VAR_POP_INT2:
		case F_VAR_POP_INT4:
		case F_VAR_POP_INT8:
		case F_VAR_POP_NUMERIC:
			return variance_from_sums(ref, false);
		case F_VAR_SAMP_INT2:
		case F_VAR_SAMP_INT4:
		case F_VAR_SAMP_INT8:
		case F_VAR_SAMP_NUMERIC:
		case F_VARIANCE_INT2:
		case F_VARIANCE_INT4:
		case F_VARIANCE_INT8:
		case F_VARIANCE_NUMERIC:
			return variance_from_sums(ref, true);
	}
	if (is_extremum(ref))
	{
		/* neither equal values nor their order change an extremum */
		ref->aggdistinct = ref->aggorder = NIL;
		ref->args = list_truncate(ref->args, list_length(ref->aggargtypes));
	}
	return filter_from_case(ref);
}

/* CASE WHEN there are values THEN none is false (is_and), or some is true, END */
static Node *
bool_from_counts(Aggref *ref, bool is_and)
{
	Node	   *arg = (Node *) linitial_node(TargetEntry, ref->args)->expr;
	Node	   *filter = (Node *) ref->aggfilter;
	Node	   *wanted = is_and ? (Node *) makeBoolExpr(NOT_EXPR, list_make1(arg), -1) : arg;
	Expr	   *some = dyn_int8_less(dyn_int8(0), make_count(arg, and_also(filter, wanted)));

	return dyn_make_case(dyn_int8_less(dyn_int8(0), make_count(arg, filter)),
					 (Node *) (is_and ? makeBoolExpr(NOT_EXPR, list_make1(some), -1) : some),
					 (Node *) makeNullConst(BOOLOID, -1, InvalidOid));
}

/*
 * (n Σx² − (Σx)²) / (n (n − 1)), or / n², as the server computes it: over
 * integers and numeric of a fixed scale the sums are exact, and the division
 * is its own.
 */
static Node *
variance_from_sums(Aggref *ref, bool sample)
{
	Node	   *x = as_numeric((Node *) linitial_node(TargetEntry, ref->args)->expr);
	Node	   *filter = (Node *) ref->aggfilter;
	Node	   *zero = as_numeric(dyn_int8(0));
	Node	   *count;
	Node	   *n;
	Node	   *sum;
	Node	   *squares;
	Node	   *above;
	Node	   *below;

	if (ref->aggdistinct || dyn_expr_fixed_scale(x) < 0)
		return (Node *) ref;
	count = make_count(x, filter);
	n = as_numeric(count);
	sum = make_aggregate(F_SUM_NUMERIC, NUMERICOID, x, filter);
	squares = make_aggregate(F_SUM_NUMERIC, NUMERICOID, numeric_call(F_NUMERIC_MUL, x, x), filter);
	above = numeric_call(F_NUMERIC_SUB, numeric_call(F_NUMERIC_MUL, n, squares),
						 numeric_call(F_NUMERIC_MUL, sum, sum));
	below = numeric_call(F_NUMERIC_MUL, n,
						 sample ? numeric_call(F_NUMERIC_SUB, n, as_numeric(dyn_int8(1))) : n);
	return dyn_make_case(dyn_int8_less(dyn_int8(sample ? 1 : 0), count),
					 dyn_make_case((Expr *) makeFuncExpr(F_NUMERIC_GT, BOOLOID, list_make2(above, zero),
													 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
							   numeric_call(F_NUMERIC_DIV, above, below), zero),
					 (Node *) makeNullConst(NUMERICOID, -1, InvalidOid));
}

/*
 * agg(CASE WHEN condition on now() THEN x END), of one of the aggregates that
 * ignore NULL, is agg(x) FILTER (WHERE condition); with ELSE 0, a sum of it
 * and zeros.
 */
static Node *
filter_from_case(Aggref *ref)
{
	CaseExpr   *expr;
	CaseWhen   *when;
	Aggref	   *met;
	Node	   *otherwise;
	char	   *name = get_func_name(ref->aggfnoid);

	if (ref->aggfnoid >= FirstUnpinnedObjectId || list_length(ref->args) != 1 ||
		(strcmp(name, "sum") != 0 && strcmp(name, "avg") != 0 && strcmp(name, "count") != 0 &&
		 !is_extremum(ref)))
		return (Node *) ref;
	expr = (CaseExpr *) linitial_node(TargetEntry, ref->args)->expr;
	if (!IsA(expr, CaseExpr) || expr->arg != NULL || list_length(expr->args) != 1)
		return (Node *) ref;
	when = linitial_node(CaseWhen, expr->args);
	if (!dyn_expr_has_now((Node *) when->expr))
		return (Node *) ref;
	met = copyObject(ref);
	linitial_node(TargetEntry, met->args)->expr = when->result;
	met->aggfilter = (Expr *) and_also((Node *) ref->aggfilter, (Node *) when->expr);
	otherwise = expr->defresult ? eval_const_expressions(NULL, copyObject((Node *) expr->defresult)) : NULL;
	if (otherwise == NULL || (IsA(otherwise, Const) && castNode(Const, otherwise)->constisnull))
		return (Node *) met;
	if (strcmp(name, "sum") == 0 && ref->aggdistinct == NIL && is_zero(otherwise))
		return sum_with_zero(ref, met, otherwise);
	return (Node *) ref;
}

/* Where some rows do not meet the condition: the sum of those that do, and a zero. */
static Node *
sum_with_zero(Aggref *all, Aggref *met, Node *zero)
{
	Node	   *one = makeBoolConst(true, false);
	CoalesceExpr *sum = makeNode(CoalesceExpr);
	Oid			add;

	switch (all->aggtype)
	{
		case INT8OID:
			add = F_INT8PL;
			break;
		case NUMERICOID:
			add = F_NUMERIC_ADD;
			break;
		case FLOAT4OID:
			add = F_FLOAT4PL;
			break;
		case FLOAT8OID:
			add = F_FLOAT8PL;
			break;
		default:
			return (Node *) all;
	}
	zero = coerce_to_target_type(NULL, zero, exprType(zero), all->aggtype, -1,
								 COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
	sum->coalescetype = all->aggtype;
	sum->args = list_make2(makeFuncExpr(add, all->aggtype, list_make2(copyObject(met), zero),
										InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL), zero);
	sum->location = -1;
	return dyn_make_case(dyn_int8_less(make_count(one, (Node *) met->aggfilter),
								   make_count(one, (Node *) all->aggfilter)),
					 (Node *) sum, (Node *) met);
}

static bool
is_zero(Node *expr)
{
	Const	   *value = (Const *) expr;
	Oid			output;
	bool		varlena;
	char	   *text;

	if (!IsA(expr, Const) || value->constisnull || TypeCategory(value->consttype) != TYPCATEGORY_NUMERIC)
		return false;
	getTypeOutputInfo(value->consttype, &output, &varlena);
	text = OidOutputFunctionCall(output, value->constvalue);
	return text[strspn(text, "0.")] == '\0';
}

/* ------------------------------------------------------------------------
 * Parts
 * ------------------------------------------------------------------------
 */
static Node *
as_numeric(Node *expr)
{
	if (exprType(expr) == NUMERICOID)
		return expr;
	return coerce_to_target_type(NULL, expr, exprType(expr), NUMERICOID, -1,
								 COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
}

static Node *
numeric_call(Oid function, Node *left, Node *right)
{
	return (Node *) makeFuncExpr(function, NUMERICOID, list_make2(copyObject(left), copyObject(right)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Node *
and_also(Node *filter, Node *condition)
{
	return filter ? make_and_qual(copyObject(filter), copyObject(condition)) : copyObject(condition);
}

Node *
dyn_int8(int64 value)
{
	return (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(value),
							  false, FLOAT8PASSBYVAL);
}

Expr *
dyn_int8_less(Node *left, Node *right)
{
	Expr	   *test = make_opclause(Int8LessOperator, BOOLOID, false, (Expr *) left, (Expr *) right,
									 InvalidOid, InvalidOid);

	set_opfuncid((OpExpr *) test);
	return test;
}
