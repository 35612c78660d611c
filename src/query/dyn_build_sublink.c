/*
 * dyn_build_sublink.c
 *	  Subqueries in expressions.
 *
 * The rows in which the expression is computed become one node; each subquery
 * is joined to it (dyn_build_dependent.c) and what stands in its place are
 * columns of the join:
 *	 - EXISTS, IN, ANY, ALL: as a condition a semi or anti join, elsewhere a
 *	   column that marks whether there is a partner.  IN and its like are unknown
 *	   where no comparison is true but one is unknown: a second mark;
 *	 - a scalar subquery, ARRAY, or a row compared with one: a left join.  One
 *	   that is no aggregate and may have several rows is made one that counts
 *	   them; more than one is an error where the value is used.
 *
 * A subquery that reads no table is an expression like any other.
 */
#include <postgres.h>

#include <access/table.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parse_clause.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteManip.h>
#include <utils/lsyscache.h>

#include "compat/dyn_compat_planner.h"
#include "query/dyn_build.h"
#include "query/dyn_expr.h"
#include "query/dyn_make.h"
#include "query/dyn_vars.h"

/* The rows to which subqueries are joined. */
typedef struct Attachment
{
	DynLevel   *level;
	DynNode    *node;			/* its first columns are those it began with */
	bool		failed;
} Attachment;

static bool find_sublinks(Node *node, void *context);
static bool filtered(List *inputs, List *quals);
static bool attach_below(DynLevel *level, List **inputs, List **asking);
static void reduce_join(Attachment *attachment, DynNode *before, Node *condition);
static Node *attach_mutator(Node *node, void *context);
static bool attach_condition(Attachment *attachment, Node *condition);
static Node *attach_sublink(Attachment *attachment, SubLink *link);
static bool simple_existence(Query *query);
static bool existence(Attachment *attachment, DynJoin join, Query *query);
static void simplify_existence(Query *query);
static void number_matters(Query *query);
static Node *mark(Attachment *attachment, Query *query);
static Node *existence_of_row(Attachment *attachment, Query *query);
static Query *comparing(SubLink *link, bool unknown, bool negated);
static Expr *negation(Expr *condition);
static Node *test_of(SubLink *link, List *targets);
static bool no_unknown(Attachment *attachment, SubLink *link, bool negated);
static Node *any_value(Attachment *attachment, SubLink *link, bool negated);
static Node *scalar_value(Attachment *attachment, SubLink *link);
static bool attach_row(Attachment *attachment, Query *query, List **columns);

bool
dyn_has_sublinks(Node *node)
{
	bool		found = false;

	(void) find_sublinks(node, &found);
	return found;
}

/* Does a subquery in the expression read a table? */
static bool
find_sublinks(Node *node, void *context)
{
	bool	   *found = context;

	if (node == NULL)
		return false;
	if (IsA(node, SubLink) && dyn_reads_table(((SubLink *) node)->subselect))
	{
		*found = true;
		return true;
	}
	return expression_tree_walker(node, find_sublinks, context);
}

/* ------------------------------------------------------------------------
 * Attaching
 * ------------------------------------------------------------------------
 */

bool
dyn_attach_sublinks(DynLevel *level, List **inputs, List **quals, List **exprs, List **others)
{
	Attachment	attachment = {.level = level};
	List	   *plain = NIL;
	List	   *asking = NIL;
	List	   *computed = NIL;
	List	   *above = NIL;
	List	   *follow;
	ListCell   *lc;

	foreach(lc, *quals)
		if (dyn_has_sublinks(lfirst(lc)))
			asking = lappend(asking, lfirst(lc));
		else
			plain = lappend(plain, lfirst(lc));
	if (asking == NIL && !dyn_has_sublinks((Node *) *exprs))
		return true;
	if (!filtered(*inputs, plain) && !attach_below(level, inputs, &asking))
		return false;

	follow = list_make3(asking, *exprs, *others);
	attachment.node = dyn_collapse(level->ctx, *inputs, plain, &follow);
	if (attachment.node == NULL)
		return false;
	*others = lthird(follow);

	/* what only keeps rows comes first: it leaves fewer of them, and conditions on values can stay with the join that has these */
	foreach(lc, (List *) linitial(follow))
		if (!attach_condition(&attachment, lfirst(lc)))
			computed = lappend(computed, lfirst(lc));
	foreach(lc, computed)
	{
		DynNode    *before = attachment.node;

		above = lappend(above, attach_mutator(lfirst(lc), &attachment));
		reduce_join(&attachment, before, llast(above));
	}
	*exprs = (List *) attach_mutator(lsecond(follow), &attachment);
	*inputs = list_make1(attachment.node);
	*quals = above;
	return !attachment.failed && level->ctx->refusal->code == NULL;
}

/* Is there a condition on an input by itself, or one within it? */
static bool
filtered(List *inputs, List *quals)
{
	ListCell   *lc;
	int			input;

	foreach(lc, inputs)
		if (((DynNode *) lfirst(lc))->kind != DYN_NODE_SCAN && !dyn_node_staged((DynNode *) lfirst(lc)))
			return true;
	foreach(lc, quals)
		if (bms_get_singleton_member(dyn_expr_relations(lfirst(lc)), &input))
			return true;
	return false;
}

/*
 * Where nothing else narrows several inputs down, conditions that ask only
 * for rows of a subquery, and read columns of one input, are left to that
 * input: the others are then joined with the few rows that are left of it.
 */
static bool
attach_below(DynLevel *level, List **inputs, List **asking)
{
	List	   *left = NIL;
	ListCell   *lc;

	if (list_length(*inputs) < 2)
		return true;
	*inputs = list_copy(*inputs);
	foreach(lc, *asking)
	{
		Attachment	attachment = {.level = level};
		List	   *vars = dyn_vars_of(lfirst(lc));
		int			input = vars ? linitial_node(Var, vars)->varno : 0;
		bool		one = input > 0;
		ListCell   *lv;

		foreach(lv, vars)
			one &= lfirst_node(Var, lv)->varno == input;
		attachment.node = one ? list_nth(*inputs, input - 1) : NULL;
		if (!one || !attach_condition(&attachment, dyn_renumber_input(lfirst(lc), input, 1)))
			left = lappend(left, lfirst(lc));
		else if (attachment.failed)
			return false;
		else
			lfirst(list_nth_cell(*inputs, input - 1)) = attachment.node;
	}
	*asking = left;
	return true;
}

/*
 * A condition that is not true where its subquery has no row makes the left
 * join that was put on top of before an inner one.
 */
static void
reduce_join(Attachment *attachment, DynNode *before, Node *condition)
{
	DynNode    *join = attachment->node;
	List	   *quals;

	if (attachment->failed || join->kind != DYN_NODE_JOIN || join->join != DYN_JOIN_LEFT ||
		linitial(join->inputs) != before)
		return;
	quals = join->quals;
	for (int i = before->ncolumns; i < join->ncolumns; i++)
	{
		DynColumn  *column = &join->columns[i];

		if (!dyn_strict_in_any(list_make1(condition),
							   makeVar(1, i + 1, column->type, column->typmod, column->collation, 0)))
			continue;
		attachment->node = dyn_make_select(attachment->level->ctx, join->inputs, quals,
										   list_concat(dyn_column_vars(before, 1),
													   dyn_column_vars(dyn_input(join, 2), 2)));
		attachment->failed |= attachment->node == NULL;
		return;
	}
}

static Node *
attach_mutator(Node *node, void *context)
{
	Attachment *attachment = context;

	if (node == NULL || attachment->failed)
		return node;
	if (IsA(node, SubLink) && dyn_has_sublinks(node))
	{
		Node	   *value = attach_sublink(attachment, (SubLink *) node);

		attachment->failed |= value == NULL;
		return value ? value : node;
	}
	if (is_notclause(node) && IsA(get_notclausearg(node), SubLink))
	{
		SubLink    *link = (SubLink *) get_notclausearg(node);

		/* NOT (x = ANY ...) needs no third value less than x = ANY does */
		if (link->subLinkType == ALL_SUBLINK && dyn_has_sublinks((Node *) link))
			return any_value(attachment, link, true);
	}
	return expression_tree_mutator(node, attach_mutator, context);
}

/*
 * A condition that is nothing but EXISTS, IN or the like, or NOT of it, is a
 * semi or anti join.  False when it is something else.
 */
static bool
attach_condition(Attachment *attachment, Node *condition)
{
	bool		not = is_notclause(condition);
	SubLink    *link = (SubLink *) (not ? (Node *) get_notclausearg(condition) : condition);
	bool		found;

	if (!IsA(link, SubLink) || dyn_has_sublinks(link->testexpr) || attachment->failed)
		return false;
	switch (link->subLinkType)
	{
		case EXISTS_SUBLINK:
			if (!simple_existence(castNode(Query, link->subselect)))
				return false;
			found = existence(attachment, not ? DYN_JOIN_ANTI : DYN_JOIN_SEMI,
							  copyObject(castNode(Query, link->subselect)));
			break;
		case ANY_SUBLINK:
		case ALL_SUBLINK:

			/*
			 * x = ANY keeps rows with a partner; NOT (x = ANY) those for which every
			 * comparison is false; x = ALL those for which every one is true.
			 */
			if (not == (link->subLinkType == ALL_SUBLINK))
				found = existence(attachment, DYN_JOIN_SEMI, comparing(link, false, not));
			else
				found = existence(attachment, DYN_JOIN_ANTI, comparing(link, false, !not)) &&
					no_unknown(attachment, link, !not);
			break;
		default:
			return false;
	}
	attachment->failed |= !found;
	return true;
}

static Node *
attach_sublink(Attachment *attachment, SubLink *link)
{
	Query	   *query = castNode(Query, link->subselect);

	link = copyObject(link);
	link->testexpr = attach_mutator(link->testexpr, attachment);
	switch (link->subLinkType)
	{
		case EXISTS_SUBLINK:
			if (simple_existence(query))
				return mark(attachment, copyObject(query));
			return existence_of_row(attachment, query);
		case ANY_SUBLINK:
			return any_value(attachment, link, false);
		case ALL_SUBLINK:
			return (Node *) make_notclause((Expr *) any_value(attachment, link, true));
		case EXPR_SUBLINK:
		case ROWCOMPARE_SUBLINK:
		case ARRAY_SUBLINK:
			return scalar_value(attachment, link);
		default:
			return (Node *) dyn_refuse(attachment->level->ctx, "SUBQUERY_EXPRESSION",
									   "a subquery stands in an expression of a kind for which there is no rule");
	}
}

/* ------------------------------------------------------------------------
 * EXISTS, IN, ANY, ALL
 * ------------------------------------------------------------------------
 */

/* Is there a row for each row outside only if FROM and WHERE have one?  Aggregates alone always have one. */
static bool
simple_existence(Query *query)
{
	return !query->hasAggs || query->groupClause != NIL;
}

/* Join the rows with those of the query that depend on them. */
static bool
existence(Attachment *attachment, DynJoin join, Query *query)
{
	DynDependent dependent = {0};
	DynNode    *node;

	if (attachment->failed || query == NULL)
		return false;
	simplify_existence(query);
	if (!dyn_build_dependent(attachment->level, attachment->node, query, &dependent))
		return false;
	node = dyn_make_existence(attachment->level->ctx, join, attachment->node, dependent.node,
							  dependent.quals);
	if (node == NULL)
		return false;
	attachment->node = node;
	return true;
}

int64
dyn_constant_limit(Node *limit)
{
	Const	   *value = (Const *) eval_const_expressions(NULL, limit);

	return value && IsA(value, Const) && !value->constisnull ? DatumGetInt64(value->constvalue) : -1;
}

/* Leave out what makes no difference to whether there is a row. */
static void
simplify_existence(Query *query)
{
	if (dyn_constant_limit(query->limitCount) > 0)
		query->limitCount = NULL;
	if (query->limitOffset && dyn_constant_limit(query->limitOffset) == 0)
		query->limitOffset = NULL;
	if (query->setOperations || query->hasTargetSRFs)
		return;
	if (query->limitCount || query->limitOffset)
	{
		number_matters(query);
		return;
	}
	query->sortClause = NIL;
	query->distinctClause = NIL;
	query->hasDistinctOn = false;
	if (query->groupClause == NIL && query->groupingSets == NIL && !query->hasAggs)
	{
		query->targetList = NIL;
		query->hasWindowFuncs = false;
		query->windowClause = NIL;
	}
}

/* How many rows there are decides, and not which come first: then all may be the same. */
static void
number_matters(Query *query)
{
	TargetEntry *one = makeTargetEntry((Expr *) makeBoolConst(true, false), 1, pstrdup("one"), false);

	if (query->distinctClause || query->groupClause || query->groupingSets || query->hasAggs)
		return;
	query->hasWindowFuncs = false;
	query->windowClause = NIL;
	query->targetList = list_make1(one);
	query->sortClause = addTargetToSortList(NULL, one, NIL, query->targetList, makeNode(SortBy));
}

/* A column that says whether the query has a row. */
static Node *
mark(Attachment *attachment, Query *query)
{
	int			column = attachment->node->ncolumns + 1;

	if (!existence(attachment, DYN_JOIN_MARK, query))
		return NULL;
	return (Node *) makeVar(1, column, BOOLOID, -1, InvalidOid, 0);
}

/* EXISTS over aggregates that are always one row: whether HAVING keeps it. */
static Node *
existence_of_row(Attachment *attachment, Query *query)
{
	SubLink    *link;
	Node	   *value;

	if (query->havingQual == NULL)
		return makeBoolConst(true, false);
	query = copyObject(query);
	query->targetList = list_make1(makeTargetEntry((Expr *) makeBoolConst(true, false), 1, pstrdup("one"), false));
	query->sortClause = query->distinctClause = NIL;
	link = makeNode(SubLink);
	link->subLinkType = EXPR_SUBLINK;
	link->subselect = (Node *) query;
	value = scalar_value(attachment, link);
	return value ? (Node *) dyn_make_null_test(value, IS_NOT_NULL) : NULL;
}

/*
 * The subquery's rows for which the comparison is true, or unknown.
 * negated: NOT of it.
 */
static Query *
comparing(SubLink *link, bool unknown, bool negated)
{
	Query	   *query = copyObject(castNode(Query, link->subselect));
	List	   *targets = NIL;
	Node	   *condition;
	ListCell   *lc;

	if (!dyn_query_plain(query))
		query = dyn_query_wrap(query);
	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			targets = lappend(targets, lfirst_node(TargetEntry, lc)->expr);
	condition = test_of(link, targets);
	if (unknown)
		condition = dyn_make_boolean_test(condition, IS_UNKNOWN);
	else if (negated)
		condition = (Node *) negation((Expr *) condition);
	query->jointree->quals = (Node *) make_ands_explicit(list_concat(dyn_expr_conjuncts(query->jointree->quals),
																	 dyn_expr_conjuncts(condition)));
	return query;
}

/* NOT of a comparison: by its negator, which an index may serve */
static Expr *
negation(Expr *condition)
{
	Expr	   *negated = dyn_make_negated((Node *) condition);

	return negated ? negated : make_notclause(condition);
}

typedef struct TestColumns
{
	List	   *targets;		/* what stands for the subquery's columns */
} TestColumns;

static Node *
test_mutator(Node *node, void *context)
{
	TestColumns *columns = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK)
		return copyObject(list_nth(columns->targets, ((Param *) node)->paramid - 1));
	return expression_tree_mutator(node, test_mutator, context);
}

/* The comparison as a condition of the subquery, whose select list is targets. */
static Node *
test_of(SubLink *link, List *targets)
{
	TestColumns columns = {targets};
	Node	   *test = copyObject(link->testexpr);

	IncrementVarSublevelsUp(test, 1, 0);
	return test_mutator(test, &columns);
}

static bool
outer_join_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, JoinExpr) && ((JoinExpr *) node)->jointype != JOIN_INNER)
		return true;
	return expression_tree_walker(node, outer_join_walker, context);
}

/* Is the expression a NOT NULL column of a table that no outer join makes NULL? */
static bool
column_not_null(Query *query, Node *expr)
{
	Var		   *var = (Var *) expr;
	RangeTblEntry *rte;
	Relation	rel;
	bool		result;

	if (!IsA(expr, Var) || var->varlevelsup > 0 || var->varattno <= 0 || query->setOperations ||
		query->groupingSets || outer_join_walker((Node *) query->jointree, NULL))
		return false;
	rte = rt_fetch(var->varno, query->rtable);
	if (rte->rtekind != RTE_RELATION)
		return false;
	rel = table_open(rte->relid, NoLock);
	result = dyn_compat_not_null(rel, var->varattno);
	table_close(rel, NoLock);
	return result;
}

/* Can no comparison be unknown?  Then neither side has a NULL, and the operators are strict. */
static bool
never_unknown(Attachment *attachment, SubLink *link)
{
	Query	   *query = castNode(Query, link->subselect);
	List	   *conditions = dyn_expr_conjuncts(link->testexpr);
	ListCell   *lc;

	foreach(lc, conditions)
	{
		OpExpr	   *op = dyn_expr_equality(lfirst(lc));
		Var		   *outside;
		Param	   *column;
		TargetEntry *entry;

		if (op == NULL)
			return false;
		outside = linitial(op->args);
		column = lsecond(op->args);
		if (!IsA(column, Param))
			return false;
		if (!(IsA(outside, Const) && !((Const *) outside)->constisnull) &&
			!(IsA(outside, Var) && !attachment->node->columns[outside->varattno - 1].nullable))
			return false;
		entry = get_tle_by_resno(query->targetList, column->paramid);
		if (!column_not_null(query, (Node *) entry->expr))
			return false;
	}
	return true;
}

/* Of the rows left, those for which some comparison is unknown go. */
static bool
no_unknown(Attachment *attachment, SubLink *link, bool negated)
{
	return never_unknown(attachment, link) ||
		existence(attachment, DYN_JOIN_ANTI, comparing(link, true, negated));
}

/* x = ANY (...), true, false or unknown; negated: of NOT of the comparison. */
static Node *
any_value(Attachment *attachment, SubLink *link, bool negated)
{
	Node	   *is_true = mark(attachment, comparing(link, false, negated));
	Node	   *is_unknown;
	Node	   *value;

	if (is_true == NULL || never_unknown(attachment, link))
		return is_true;
	is_unknown = mark(attachment, comparing(link, true, negated));
	if (is_unknown == NULL)
		return NULL;

	/* true OR unknown: NULL where there is nothing better */
	value = dyn_make_case(make_notclause((Expr *) is_unknown), makeBoolConst(false, false),
						  makeBoolConst(false, true));
	return (Node *) make_orclause(list_make2(is_true, value));
}

/* ------------------------------------------------------------------------
 * Scalar subqueries
 * ------------------------------------------------------------------------
 */
static Node *
scalar_value(Attachment *attachment, SubLink *link)
{
	Query	   *query = copyObject(castNode(Query, link->subselect));
	List	   *columns;
	TestColumns test;

	if (link->subLinkType == ARRAY_SUBLINK)
		query = dyn_query_as_array(query);
	if (!attach_row(attachment, query, &columns))
		return NULL;
	if (link->subLinkType != ROWCOMPARE_SUBLINK)
		return linitial(columns);
	test.targets = columns;
	return test_mutator(link->testexpr, &test);
}

/* Join the rows with the one row that the query has for each; its columns then. */
static bool
attach_row(Attachment *attachment, Query *query, List **columns)
{
	DynContext *ctx = attachment->level->ctx;
	DynDependent dependent = {0};
	bool		counted = false;

	if (dyn_query_plain(query) && query->sortClause == NIL)
	{
		if (!dyn_build_dependent(attachment->level, attachment->node, query, &dependent))
			return false;
		counted = !dyn_dependent_single(&dependent);
	}
	else if (!dyn_query_at_most_one(query))
		counted = true;
	if (counted)
		query = dyn_query_counted(query);
	if (dependent.node == NULL || counted)
	{
		dependent = (DynDependent) {0};
		if (!dyn_build_dependent(attachment->level, attachment->node, query, &dependent))
			return false;
	}
	attachment->node = dyn_join_dependent(ctx, attachment->node, &dependent, columns);
	if (counted)
		*columns = dyn_query_only_row(*columns);
	return attachment->node != NULL;
}
