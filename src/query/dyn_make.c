/*
 * dyn_make.c
 *	  Nodes of expressions that the server has no function to make.
 */
#include <postgres.h>

#include <catalog/pg_aggregate.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_make.h"

Node *
dyn_make_case(Expr *condition, Node *result, Node *otherwise)
{
	return dyn_make_cases(exprType(result), exprCollation(result),
						  list_make1(dyn_make_when(condition, (Expr *) result)), (Expr *) otherwise);
}

Node *
dyn_make_cases(Oid type, Oid collation, List *whens, Expr *otherwise)
{
	CaseExpr   *result = makeNode(CaseExpr);

	result->casetype = type;
	result->casecollid = collation;
	result->args = whens;
	result->defresult = otherwise;
	result->location = -1;
	return (Node *) result;
}

CaseWhen *
dyn_make_when(Expr *condition, Expr *result)
{
	CaseWhen   *when = makeNode(CaseWhen);

	when->expr = condition;
	when->result = result;
	when->location = -1;
	return when;
}

Node *
dyn_make_null_of(Node *expr)
{
	Const	   *null = makeNullConst(exprType(expr), exprTypmod(expr), exprCollation(expr));

	return DomainHasConstraints(null->consttype) ? dyn_make_of_no_row((Expr *) null) : (Node *) null;
}

Node *
dyn_make_of_no_row(Expr *value)
{
	Query	   *query = makeNode(Query);
	SubLink    *link = makeNode(SubLink);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->hasAggs = IsA(value, Aggref);
	query->jointree = makeFromExpr(NIL, makeBoolConst(false, false));
	query->targetList = list_make1(makeTargetEntry(value, 1, pstrdup("v"), false));
	link->subLinkType = EXPR_SUBLINK;
	link->subselect = (Node *) query;
	link->location = -1;
	return (Node *) link;
}

Expr *
dyn_make_null_test(Node *arg, NullTestType type)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = (Expr *) arg;
	test->nulltesttype = type;
	test->location = -1;
	return (Expr *) test;
}

Node *
dyn_make_boolean_test(Node *arg, BoolTestType type)
{
	BooleanTest *test = makeNode(BooleanTest);

	test->arg = (Expr *) arg;
	test->booltesttype = type;
	test->location = -1;
	return (Node *) test;
}

Expr *
dyn_make_negated(Node *comparison)
{
	OpExpr	   *result;
	Oid			negator;

	if (!IsA(comparison, OpExpr))
		return NULL;
	negator = get_negator(castNode(OpExpr, comparison)->opno);
	if (!OidIsValid(negator))
		return NULL;
	result = copyObject(castNode(OpExpr, comparison));
	result->opno = negator;
	result->opfuncid = get_opcode(negator);
	return (Expr *) result;
}

Aggref *
dyn_make_aggregate(Oid function, Oid type, Node *arg, Node *filter)
{
	Aggref	   *ref = makeNode(Aggref);

	ref->aggfnoid = function;
	ref->aggtype = type;
	ref->aggfilter = (Expr *) filter;
	ref->aggkind = AGGKIND_NORMAL;
	ref->aggsplit = AGGSPLIT_SIMPLE;
	ref->aggno = ref->aggtransno = -1;
	ref->location = -1;
	if (arg == NULL)
	{
		ref->aggstar = true;
		return ref;
	}
	ref->args = list_make1(makeTargetEntry((Expr *) arg, 1, NULL, false));
	ref->aggargtypes = list_make1_oid(exprType(arg));
	ref->inputcollid = exprCollation(arg);
	if (type_is_collatable(type))
		ref->aggcollid = ref->inputcollid;
	return ref;
}

WindowFunc *
dyn_make_row_number(void)
{
	WindowFunc *number = makeNode(WindowFunc);

	number->winfnoid = F_ROW_NUMBER;
	number->wintype = INT8OID;
	number->winref = 1;
	number->location = -1;
	return number;
}
