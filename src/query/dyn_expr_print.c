/*
 * dyn_expr_print.c
 *	  Expressions as the server's deparser can print them.
 *
 * Some constructs have no syntax for all that their nodes say.  CASE x WHEN y,
 * IS DISTINCT FROM, NULLIF and x IN (SELECT ...) compare by an operator "=" that is not written,
 * which under our search_path would be another one than that of an extension's
 * type; and ROW(...) has no names for its columns.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <catalog/pg_namespace.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <rewrite/rewriteManip.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>

#include "query/dyn_expr.h"
#include "query/dyn_make.h"

static Node *print_mutator(Node *node, void *context);
static bool is_foreign(Oid operator);
static Node *searched_case(CaseExpr *expr);
static Node *case_value_mutator(Node *node, void *value);
static Node *distinct_as_case(DistinctExpr *expr);
static Node *nullif_as_case(NullIfExpr *expr);
static Node *in_as_any(SubLink *link);
static bool has_names(RowExpr *row);
static Node *named_row(RowExpr *row);

Node *
dyn_expr_printable(Node *node)
{
	return print_mutator(node, NULL);
}

static Node *
print_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, print_mutator, context, 0);
	node = expression_tree_mutator(node, print_mutator, context);
	if (IsA(node, CaseExpr) && castNode(CaseExpr, node)->arg)
		return searched_case((CaseExpr *) node);
	if (IsA(node, DistinctExpr) && is_foreign(((DistinctExpr *) node)->opno))
		return distinct_as_case((DistinctExpr *) node);
	if (IsA(node, NullIfExpr) && is_foreign(((NullIfExpr *) node)->opno))
		return nullif_as_case((NullIfExpr *) node);
	if (IsA(node, SubLink) && castNode(SubLink, node)->subLinkType == ANY_SUBLINK)
		return in_as_any((SubLink *) node);
	if (IsA(node, RowExpr) && has_names((RowExpr *) node))
		return named_row((RowExpr *) node);
	return node;
}

/* Is the operator not to be found without its schema? */
static bool
is_foreign(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	result = ((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace != PG_CATALOG_NAMESPACE;
	ReleaseSysCache(tuple);
	return result;
}

/* CASE x WHEN y THEN ... as CASE WHEN x = y THEN ..., if one of the operators is foreign. */
static Node *
searched_case(CaseExpr *expr)
{
	bool		foreign = false;
	ListCell   *lc;

	foreach(lc, expr->args)
	{
		OpExpr	   *op = (OpExpr *) lfirst_node(CaseWhen, lc)->expr;

		foreign |= IsA(op, OpExpr) && is_foreign(op->opno);
	}
	if (!foreign)
		return (Node *) expr;
	foreach(lc, expr->args)
	{
		CaseWhen   *when = lfirst_node(CaseWhen, lc);

		when->expr = (Expr *) case_value_mutator((Node *) when->expr, expr->arg);
	}
	expr->arg = NULL;
	return (Node *) expr;
}

/* The value in place of what stands for it; nodes inside that have a value of their own keep it. */
static Node *
case_value_mutator(Node *node, void *value)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
		return (Node *) copyObject((Node *) value);
	if ((IsA(node, CaseExpr) && castNode(CaseExpr, node)->arg) || IsA(node, ArrayCoerceExpr))
		return node;
	return expression_tree_mutator(node, case_value_mutator, value);
}

static Node *
distinct_as_case(DistinctExpr *expr)
{
	Node	   *left = linitial(expr->args);
	Node	   *right = lsecond(expr->args);
	OpExpr	   *equal = (OpExpr *) copyObject(expr);

	equal->xpr.type = T_OpExpr;
	return dyn_make_cases(BOOLOID, InvalidOid,
				   list_make2(dyn_make_when(dyn_make_null_test(copyObject(left), IS_NULL), dyn_make_null_test(copyObject(right), IS_NOT_NULL)),
							  dyn_make_when(dyn_make_null_test(copyObject(right), IS_NULL), (Expr *) makeBoolConst(true, false))),
				   make_notclause((Expr *) equal));
}

static Node *
nullif_as_case(NullIfExpr *expr)
{
	Node	   *value = linitial(expr->args);
	OpExpr	   *equal = (OpExpr *) copyObject(expr);

	equal->xpr.type = T_OpExpr;
	equal->opresulttype = BOOLOID;
	equal->opcollid = InvalidOid;
	return dyn_make_case((Expr *) equal, dyn_make_null_of(value), copyObject(value));
}

/* x IN (SELECT ...) as x = ANY (ARRAY(SELECT ...)), whose operator is written, if it is foreign. */
static Node *
in_as_any(SubLink *link)
{
	OpExpr	   *op = (OpExpr *) link->testexpr;
	ScalarArrayOpExpr *result;

	if (op == NULL || !IsA(op, OpExpr) || !is_foreign(op->opno) || !IsA(lsecond(op->args), Param))
		return (Node *) link;
	link->subLinkType = ARRAY_SUBLINK;
	link->testexpr = NULL;
	link->operName = NIL;
	result = makeNode(ScalarArrayOpExpr);
	result->opno = op->opno;
	result->opfuncid = op->opfuncid;
	result->useOr = true;
	result->inputcollid = op->inputcollid;
	result->args = list_make2(linitial(op->args), link);
	result->location = -1;
	return (Node *) result;
}

/* Has a row names of its columns other than those that ROW(...) gives? */
static bool
has_names(RowExpr *row)
{
	ListCell   *lc;

	if (row->row_typeid != RECORDOID)
		return false;
	foreach(lc, row->colnames)
		if (strcmp(strVal(lfirst(lc)), psprintf("f%d", foreach_current_index(lc) + 1)) != 0)
			return true;
	return false;
}

/* (SELECT x FROM (SELECT value AS name, ...) x) */
static Node *
named_row(RowExpr *row)
{
	SubLink    *result = makeNode(SubLink);
	Query	   *query = makeNode(Query);
	Query	   *values = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	List	   *args = copyObject(row->args);
	ListCell   *lc;

	IncrementVarSublevelsUp((Node *) args, 2, 0);
	foreach(lc, args)
	{
		int			i = foreach_current_index(lc);

		values->targetList = lappend(values->targetList,
									 makeTargetEntry(lfirst(lc), i + 1,
													 pstrdup(strVal(list_nth(row->colnames, i))), false));
	}
	values->commandType = query->commandType = CMD_SELECT;
	values->jointree = makeFromExpr(NIL, NULL);
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = values;
	rte->alias = rte->eref = makeAlias("x", row->colnames);
	rte->inFromCl = true;
	ref->rtindex = 1;
	query->rtable = list_make1(rte);
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	query->targetList = list_make1(makeTargetEntry((Expr *) makeVar(1, 0, RECORDOID, -1, InvalidOid, 0), 1,
												   pstrdup("x"), false));
	result->subLinkType = EXPR_SUBLINK;
	result->subselect = (Node *) query;
	result->location = -1;
	return (Node *) result;
}
