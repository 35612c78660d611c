/*
 * dyn_expr_print.c
 *	  Expressions and queries as the server's deparser can print them.
 *
 * Some constructs have no syntax for all that their nodes say.  CASE x WHEN y,
 * IS DISTINCT FROM, NULLIF and JOIN USING compare by an operator "=" that is not
 * written, and comparisons of rows by operators of which one is written for all columns:
 * under our search_path these would be others than those of an extension's
 * type; and ROW(...) has no names for its columns.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/stratnum.h>
#include <catalog/pg_namespace.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteManip.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"
#include "query/dyn_make.h"

static Node *print_mutator(Node *node, void *context);
static bool is_foreign(Oid operator);
static Node *searched_case(CaseExpr *expr);
static Node *case_value_mutator(Node *node, void *value);
static Node *distinct_as_case(DistinctExpr *expr);
static Node *nullif_as_case(NullIfExpr *expr);
static Node *row_comparison(RowCompareExpr *expr);
static bool foreign_walker(Node *node, void *context);
static Node *comparison_inside(SubLink *link);
static Node *param_mutator(Node *node, void *context);
static Node *select_from(Query *values, List *names, Expr *result);
static Query *without_using(Query *query);
static bool using_walker(Node *node, void *context);
static bool named_walker(Node *node, void *context);
static void plain_join(Query *query, Node *node);
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
		return (Node *) without_using(query_tree_mutator((Query *) node, print_mutator, context, 0));
	node = expression_tree_mutator(node, print_mutator, context);
	if (IsA(node, CaseExpr) && castNode(CaseExpr, node)->arg)
		return searched_case((CaseExpr *) node);
	if (IsA(node, DistinctExpr) && is_foreign(((DistinctExpr *) node)->opno))
		return distinct_as_case((DistinctExpr *) node);
	if (IsA(node, NullIfExpr) && is_foreign(((NullIfExpr *) node)->opno))
		return nullif_as_case((NullIfExpr *) node);
	if (IsA(node, RowCompareExpr) && foreign_walker(node, NULL))
		return row_comparison((RowCompareExpr *) node);
	if (IsA(node, SubLink))
		return comparison_inside((SubLink *) node);
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

/* (a, b) < (c, d) as a < c OR a = c AND b < d */
static Node *
row_comparison(RowCompareExpr *expr)
{
	Node	   *result = NULL;

	for (int i = list_length(expr->largs) - 1; i >= 0; i--)
	{
		Node	   *left = list_nth(expr->largs, i);
		Node	   *right = list_nth(expr->rargs, i);
		Oid			operator = list_nth_oid(expr->opnos, i);
		Oid			family = list_nth_oid(expr->opfamilies, i);
		Oid			collation = list_nth_oid(expr->inputcollids, i);
		Oid			ltype;
		Oid			rtype;
		int			strategy;

		op_input_types(operator, &ltype, &rtype);
		strategy = get_op_opfamily_strategy(operator, family);
		if (result)
		{
			Oid			equal = get_opfamily_member(family, ltype, rtype, BTEqualStrategyNumber);
			Expr	   *same = make_opclause(equal, BOOLOID, false, (Expr *) copyObject(left), (Expr *) copyObject(right),
											 InvalidOid, collation);

			result = (Node *) make_andclause(list_make2(same, result));
			operator = get_opfamily_member(family, ltype, rtype, strategy <= BTLessEqualStrategyNumber ?
										   BTLessStrategyNumber : BTGreaterStrategyNumber);
		}
		left = (Node *) make_opclause(operator, BOOLOID, false, (Expr *) left, (Expr *) right, InvalidOid, collation);
		result = result ? (Node *) make_orclause(list_make2(left, result)) : left;
	}
	return result;
}

/* Is one of the operators that compare foreign? */
static bool
foreign_walker(Node *node, void *context)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, OpExpr) && is_foreign(((OpExpr *) node)->opno))
		return true;
	if (IsA(node, RowCompareExpr))
		foreach(lc, ((RowCompareExpr *) node)->opnos)
			if (is_foreign(lfirst_oid(lc)))
				return true;
	return expression_tree_walker(node, foreign_walker, context);
}

/*
 * A comparison of a row with those of a subquery, if by foreign operators: (a, b) IN (SELECT c, d ...) as
 * true IN (SELECT a = x.c AND b = x.d FROM (SELECT c, d ...) x).
 */
static Node *
comparison_inside(SubLink *link)
{
	Query	   *inner = castNode(Query, link->subselect);
	List	   *names = NIL;
	Node	   *test = link->testexpr;
	ListCell   *lc;

	if (test == NULL || IsA(test, OpExpr) || !foreign_walker(test, NULL))
		return (Node *) link;
	foreach(lc, inner->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			names = lappend(names, makeString(psprintf("c%d", foreach_current_index(lc) + 1)));
	IncrementVarSublevelsUp((Node *) inner, 1, 1);
	IncrementVarSublevelsUp(test, 1, 0);
	link->subselect = select_from(inner, names, (Expr *) param_mutator(test, NULL));
	link->testexpr = NULL;
	link->operName = NIL;
	if (link->subLinkType == ROWCOMPARE_SUBLINK)
		link->subLinkType = EXPR_SUBLINK;
	else
	{
		Param	   *param = makeNode(Param);

		param->paramkind = PARAM_SUBLINK;
		param->paramid = 1;
		param->paramtype = BOOLOID;
		param->paramtypmod = -1;
		param->location = -1;
		link->testexpr = (Node *) make_opclause(BooleanEqualOperator, BOOLOID, false, (Expr *) makeBoolConst(true, false),
												(Expr *) param, InvalidOid, InvalidOid);
		link->operName = list_make1(makeString("="));
	}
	return (Node *) link;
}

/* What stands for a column of the subquery, as one of FROM. */
static Node *
param_mutator(Node *node, void *context)
{
	Param	   *param = (Param *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && param->paramkind == PARAM_SUBLINK)
		return (Node *) makeVar(1, param->paramid, param->paramtype, param->paramtypmod, param->paramcollid, 0);
	return expression_tree_mutator(node, param_mutator, context);
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
	Query	   *values = makeNode(Query);
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
	values->commandType = CMD_SELECT;
	values->jointree = makeFromExpr(NIL, NULL);
	result->subLinkType = EXPR_SUBLINK;
	result->subselect = select_from(values, row->colnames, (Expr *) makeVar(1, 0, RECORDOID, -1, InvalidOid, 0));
	result->location = -1;
	return (Node *) result;
}

/* SELECT result AS x FROM (values) x */
static Node *
select_from(Query *values, List *names, Expr *result)
{
	Query	   *query = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = values;
	rte->alias = rte->eref = makeAlias("x", names);
	rte->inFromCl = true;
	ref->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->rtable = list_make1(rte);
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	query->targetList = list_make1(makeTargetEntry(result, 1, pstrdup("x"), false));
	return (Node *) query;
}

/* The query with ON for USING and without names of joins, if it joins by a foreign operator that is not written. */
static Query *
without_using(Query *query)
{
	Index		level = 0;
	ListCell   *lc;

	if (query->jointree == NULL || !using_walker((Node *) query->jointree, NULL))
		return query;
	query = dyn_flatten_join_aliases(query);
	(void) query_tree_walker(query, named_walker, &level, 0);
	foreach(lc, query->jointree->fromlist)
		plain_join(query, lfirst(lc));
	return query;
}

static bool
using_walker(Node *node, void *context)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, JoinExpr) && castNode(JoinExpr, node)->usingClause != NIL &&
		foreign_walker(castNode(JoinExpr, node)->quals, NULL))
		return true;
	return expression_tree_walker(node, using_walker, context);
}

/* Columns of the level are named by what they are, not by a join. */
static bool
named_walker(Node *node, void *context)
{
	Index	   *level = context;
	Var		   *var = (Var *) node;
	bool		result;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		++*level;
		result = query_tree_walker((Query *) node, named_walker, context, 0);
		--*level;
		return result;
	}
	if (IsA(node, Var) && var->varlevelsup == *level)
	{
		var->varnosyn = var->varno;
		var->varattnosyn = var->varattno;
	}
	return expression_tree_walker(node, named_walker, context);
}

/*
 * Make a join, whose columns nobody names any more, one with ON: it has the
 * columns of its left and then those of its right side.
 */
static void
plain_join(Query *query, Node *node)
{
	JoinExpr   *join = (JoinExpr *) node;
	RangeTblEntry *rte;

	if (!IsA(node, JoinExpr))
		return;
	plain_join(query, join->larg);
	plain_join(query, join->rarg);
	rte = rt_fetch(join->rtindex, query->rtable);
	join->usingClause = NIL;
	join->join_using_alias = rte->join_using_alias = NULL;
	join->alias = rte->alias = NULL;
	rte->joinmergedcols = 0;
	rte->joinaliasvars = rte->joinleftcols = rte->joinrightcols = NIL;
	rte->eref = makeAlias("unnamed_join", NIL);
	for (int side = 0; side < 2; side++)
	{
		Node	   *arg = side == 0 ? join->larg : join->rarg;
		int			rti = IsA(arg, JoinExpr) ? ((JoinExpr *) arg)->rtindex : castNode(RangeTblRef, arg)->rtindex;
		List	  **columns = side == 0 ? &rte->joinleftcols : &rte->joinrightcols;
		ListCell   *lc;

		foreach(lc, rt_fetch(rti, query->rtable)->eref->colnames)
		{
			int			attno = foreach_current_index(lc) + 1;

			/* one that was dropped */
			if (strVal(lfirst(lc))[0] == '\0')
				continue;
			*columns = lappend_int(*columns, attno);

			/* of these the deparser asks only whether they are there */
			rte->joinaliasvars = lappend(rte->joinaliasvars, makeVar(rti, attno, UNKNOWNOID, -1, InvalidOid, 0));
			rte->eref->colnames = lappend(rte->eref->colnames, lfirst(lc));
		}
	}
}
