/*
 * dyn_frozen.c
 *	  The predicate of a frozen region: what may stand in it.
 *
 * Rows that satisfy it are never computed again.  So whether a row does must
 * be for the row alone to say, and once it does it must go on to: now() may move the
 * bound of the region, but only so that the region grows.
 */
#include <postgres.h>

#include <access/stratnum.h>
#include <access/sysattr.h>
#include <access/table.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parse_clause.h>
#include <parser/parse_collate.h>
#include <parser/parse_relation.h>
#include <parser/parser.h>
#include <parser/parsetree.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/ruleutils.h>
#include <utils/timestamp.h>

#include "compat/dyn_compat.h"
#include "query/dyn_expr.h"
#include "query/dyn_frozen.h"

static const char *column_refusal(Query *query, Node *expr);

/* ------------------------------------------------------------------------
 * Text and tree
 * ------------------------------------------------------------------------
 */

/* The text must be one expression and nothing behind it. */
static Node *
parse(const char *text)
{
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(text, RAW_PARSE_PLPGSQL_EXPR));
	SelectStmt *select = castNode(SelectStmt, raw->stmt);

	if (list_length(select->targetList) != 1 || select->fromClause || select->whereClause ||
		select->groupClause || select->havingClause || select->windowClause || select->sortClause ||
		select->limitCount || select->limitOffset || select->distinctClause || select->lockingClause ||
		select->op != SETOP_NONE || linitial_node(ResTarget, select->targetList)->name != NULL)
		ereport(ERROR,
				errcode(ERRCODE_SYNTAX_ERROR),
				errmsg("frozen_where must be one condition"));
	return linitial_node(ResTarget, select->targetList)->val;
}

/* Errors of the parser point into the predicate, which the client does not know as a statement. */
static void
predicate_context(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
	errcontext("frozen_where of a dynamic table");
}

Node *
dyn_frozen_analyse(Oid relid, const char *text)
{
	ParseState *state = make_parsestate(NULL);
	Relation	rel = table_open(relid, NoLock);
	ParseNamespaceItem *item;
	Node	   *predicate;
	ErrorContextCallback callback = {
		.callback = predicate_context, .arg = (void *) text, .previous = error_context_stack
	};

	error_context_stack = &callback;
	state->p_sourcetext = text;
	item = addRangeTableEntryForRelation(state, rel, AccessShareLock, NULL, false, true);
	addNSItemToQuery(state, item, true, true, true);
	predicate = transformWhereClause(state, parse(text), EXPR_KIND_WHERE, "frozen_where");
	assign_expr_collations(state, predicate);
	if (state->p_hasSubLinks)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("frozen_where cannot contain a subquery"),
				errdetail("Whether a row is frozen must be for the row alone to say."));
	free_parsestate(state);
	error_context_stack = callback.previous;
	table_close(rel, NoLock);
	return predicate;
}

char *
dyn_frozen_text(Oid relid, Node *predicate)
{
	return deparse_expression(predicate, deparse_context_for(get_rel_name(relid), relid), false, false);
}

List *
dyn_frozen_columns(Oid relid, Node *predicate)
{
	Relation	rel = table_open(relid, NoLock);
	Bitmapset  *used = NULL;
	List	   *columns = NIL;
	int			place = 0;

	pull_varattnos(predicate, 1, &used);
	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
	{
		if (TupleDescAttr(RelationGetDescr(rel), i - 1)->attisdropped)
			continue;
		place++;

		/* the row as a whole is all of its columns */
		if (bms_is_member(i - FirstLowInvalidHeapAttributeNumber, used) ||
			bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used))
			columns = lappend_int(columns, place);
	}
	table_close(rel, NoLock);
	return columns;
}

List *
dyn_frozen_names(Oid relid, Node *predicate)
{
	Relation	rel = table_open(relid, NoLock);
	List	   *places = dyn_frozen_columns(relid, predicate);
	List	   *names = NIL;
	int			place = 0;

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped && list_member_int(places, ++place))
			names = lappend(names, makeString(pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname))));
	table_close(rel, NoLock);
	return names;
}

bool
dyn_frozen_within(Node *predicate, Node *other)
{
	TimestampTz now = GetCurrentTimestamp();
	Node	   *one = eval_const_expressions(NULL, dyn_expr_at(predicate, now));
	Node	   *two = eval_const_expressions(NULL, dyn_expr_at(other, now));

	return equal(predicate, other) ||
		predicate_implied_by(make_ands_implicit((Expr *) two), make_ands_implicit((Expr *) one), false);
}

/* ------------------------------------------------------------------------
 * The clock
 * ------------------------------------------------------------------------
 */
#define UNKNOWN 2

static int
sum_of(int left, int right)
{
	if (left == UNKNOWN || right == UNKNOWN || left * right < 0)
		return UNKNOWN;
	return left ? left : right;
}

/* How a value moves with now(): 0 not, 1 up, -1 down, or UNKNOWN. */
static int
direction(Node *node)
{
	if (!dyn_expr_has_now(node))
		return 0;
	if (dyn_expr_is_now(node))
		return 1;
	if (IsA(node, RelabelType))
		return direction((Node *) castNode(RelabelType, node)->arg);
	if (IsA(node, FuncExpr))
	{
		FuncExpr   *func = castNode(FuncExpr, node);

		/* a cast of time; date_trunc(unit, …), also with a time zone */
		if (func->funcid < FirstNormalObjectId && list_length(func->args) == 1 &&
			func->funcformat != COERCE_EXPLICIT_CALL)
			return direction(linitial(func->args));
		if ((func->funcid == F_DATE_TRUNC_TEXT_TIMESTAMPTZ || func->funcid == F_DATE_TRUNC_TEXT_TIMESTAMP ||
			 func->funcid == F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT) &&
			IsA(linitial(func->args), Const))
			return direction(lsecond(func->args));
	}
	if (IsA(node, OpExpr) && list_length(castNode(OpExpr, node)->args) == 2 &&
		castNode(OpExpr, node)->opno < FirstNormalObjectId)
	{
		OpExpr	   *op = castNode(OpExpr, node);
		char	   *name = get_opname(op->opno);
		int			left = direction(linitial(op->args));
		int			right = direction(lsecond(op->args));

		if (strcmp(name, "+") == 0)
			return sum_of(left, right);
		if (strcmp(name, "-") == 0)
			return sum_of(left, right == UNKNOWN ? UNKNOWN : -right);
	}
	return UNKNOWN;
}

/* Does a comparison, once true, stay so while now() advances? */
static bool
comparison_grows(OpExpr *op)
{
	ListCell   *lc;
	int			left;
	int			right;

	if (list_length(op->args) != 2)
		return false;
	left = direction(linitial(op->args));
	right = direction(lsecond(op->args));
	if (left == UNKNOWN || right == UNKNOWN)
		return false;
	foreach(lc, dyn_comparisons(op->opno))
	{
		int			strategy = dyn_comparison_strategy((DynComparison *) lfirst(lc));

		if (strategy == BTLessStrategyNumber || strategy == BTLessEqualStrategyNumber)
			return left <= 0 && right >= 0;
		if (strategy == BTGreaterStrategyNumber || strategy == BTGreaterEqualStrategyNumber)
			return left >= 0 && right <= 0;
	}
	return false;
}

static bool
grows(Node *node)
{
	ListCell   *lc;

	if (!dyn_expr_has_now(node))
		return true;
	if (IsA(node, OpExpr))
		return comparison_grows(castNode(OpExpr, node));
	if (!IsA(node, BoolExpr) || castNode(BoolExpr, node)->boolop == NOT_EXPR)
		return false;
	foreach(lc, castNode(BoolExpr, node)->args)
		if (!grows(lfirst(lc)))
			return false;
	return true;
}

/* ------------------------------------------------------------------------
 * What the columns are
 * ------------------------------------------------------------------------
 */
typedef struct Origin
{
	Query	   *query;
	const char *refusal;
} Origin;

static const char *
column_of_query(Query *query, int resno)
{
	TargetEntry *entry = get_tle_by_resno(query->targetList, resno);
	const char *refusal;
	ListCell   *lc;

	if (query->setOperations)
	{
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

			if (rte->rtekind == RTE_SUBQUERY && (refusal = column_of_query(rte->subquery, resno)) != NULL)
				return refusal;
		}
		return NULL;
	}
	return entry ? column_refusal(query, (Node *) entry->expr) : NULL;
}

static const char *
variable_refusal(Query *query, Var *var)
{
	RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);
	ListCell   *lc;

	if (rte->rtekind == RTE_SUBQUERY)
		return column_of_query(rte->subquery, var->varattno);
	if (rte->rtekind == RTE_JOIN && var->varattno > 0)
		return column_refusal(query, list_nth(rte->joinaliasvars, var->varattno - 1));
	if (rte->rtekind == RTE_CTE && rte->ctelevelsup == 0 && !rte->self_reference)
		foreach(lc, query->cteList)
		{
			CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);

			if (strcmp(cte->ctename, rte->ctename) == 0 && !cte->cterecursive)
				return column_of_query(castNode(Query, cte->ctequery), var->varattno);
		}
	return NULL;
}

static bool
origin_walker(Node *node, void *context)
{
	Origin	   *origin = context;

	if (node == NULL || origin->refusal)
		return origin->refusal != NULL;
	if (IsA(node, Aggref) || IsA(node, GroupingFunc))
		origin->refusal = "an aggregate";
	else if (IsA(node, WindowFunc))
		origin->refusal = "a window function";
	else if (IsA(node, SubLink))
		origin->refusal = "a subquery";
	else if (dyn_expr_is_now(node))
		origin->refusal = "the time at which the row was written";
	else if (IsA(node, Var) && castNode(Var, node)->varlevelsup == 0)
		origin->refusal = variable_refusal(origin->query, castNode(Var, node));
	if (origin->refusal)
		return true;
	return expression_tree_walker(node, origin_walker, context);
}

/* What of an output column is not a property of single rows, in words, or NULL. */
static const char *
column_refusal(Query *query, Node *expr)
{
	Origin		origin = {query, NULL};

	if (contain_volatile_functions(expr))
		return "a volatile function";
	(void) origin_walker(expr, &origin);
	return origin.refusal;
}

static void
check_columns(Oid relid, Node *predicate, Query *query)
{
	List	   *names = dyn_frozen_names(relid, predicate);
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		const char *refusal;

		if (entry->resjunk || !list_member(names, makeString(entry->resname)))
			continue;
		refusal = column_of_query(query, entry->resno);
		if (refusal != NULL)
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("frozen_where cannot use column \"%s\"", entry->resname),
					errdetail("Its value is that of %s, which may change while the row's other columns stay.", refusal),
					errhint("Use columns of the sources, or keys of GROUP BY and PARTITION BY."));
	}
}

void
dyn_frozen_check(Oid relid, Node *predicate, Query *query)
{
	Query	   *holder = makeNode(Query);
	const char *code;
	char	   *refusal;

	holder->commandType = CMD_SELECT;
	holder->jointree = makeNode(FromExpr);
	holder->jointree->quals = dyn_expr_at(predicate, GetCurrentTimestamp());
	refusal = dyn_expr_refusal(holder, &code);
	if (refusal != NULL || contain_volatile_functions(holder->jointree->quals))
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("frozen_where cannot contain functions whose value changes, other than now() and its kin"),
				refusal ? errdetail_internal("%s.", refusal) : 0);
	if (!grows(predicate))
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("frozen_where must describe a region that only grows as time passes"),
				errhint("Compare as in at < now() - interval '7 days'."));
	check_columns(relid, predicate, query);
}
