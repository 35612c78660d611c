/*
 * dyn_build_dependent.c
 *	  A subquery that depends on the rows outside of it, as a node that does
 *	  not.
 *
 * A correlated subquery, in an expression or LATERAL, stands for one result
 * for each row outside.  Here it becomes one relation for all of them, with
 * columns (the carried ones) by which a row outside finds its part:
 *
 *	 - where only conditions of WHERE name columns from outside, and the
 *	   subquery neither groups nor orders anything, these conditions are taken
 *	   out of it and join its rows with those outside;
 *	 - where these conditions are equalities, the inner sides of them are
 *	   carried: the subquery is computed for each of their values (a GROUP BY or
 *	   PARTITION BY more);
 *	 - otherwise for each distinct row D of the values from outside, which
 *	   joins the subquery's FROM and is carried through all it does (Neumann and
 *	   Kemper 2015).
 *
 * The transformations are made on the Query; what comes out is built like any
 * other.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/transam.h>
#include <catalog/pg_aggregate.h>
#include <catalog/pg_collation.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <optimizer/optimizer.h>
#include <parser/parse_coerce.h>
#include <rewrite/rewriteManip.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>
#include <utils/typcache.h>

#include "compat/dyn_compat.h"
#include "query/dyn_build.h"
#include "query/dyn_expr.h"
#include "query/dyn_make.h"

static bool has_empty_set(Query *query);
static bool can_be_empty(GroupingSet *set);
static void hoist_inner_joins(Query *query);
static bool split_conditions(Query *query, List **dependent);
static bool match_equality(Node *condition, DynPair *pair);
static bool build_joined(DynLevel *level, Query *query, List *conditions, DynDependent *result);
static bool build_paired(DynLevel *level, DynNode *outside, Query *query, List *pairs, DynDependent *result);
static bool build_distinct_outside(DynLevel *level, DynNode *outside, Query *query, DynDependent *result);
static List *shown_variants(Query *query);
static bool shown_walker(Node *node, void *context);
static bool is_comparison(Node *node);
static Node *in_letters(Node *value);
static Node *when_null(Node *mark, Node *empty, Node *value);
static Node *null_var(Var *var, void *arg);
static bool is_null(Node *value);
static Node *is_true(Node *condition);
static bool empty_values(DynLevel *level, Query *query, DynDependent *result);
static Node *empty_mutator(Node *node, void *context);
static bool has_sublink(Node *node, void *context);

int
dyn_visible_columns(Query *query)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, query->targetList)
		n += !lfirst_node(TargetEntry, lc)->resjunk;
	return n;
}

bool
dyn_build_dependent(DynLevel *level, DynNode *outside, Query *query, DynDependent *result)
{
	List	   *dependent = NIL;
	List	   *pairs = NIL;
	bool		equalities = true;
	ListCell   *lc;

	query = dyn_flatten_join_aliases(query);
	result->ncolumns = dyn_visible_columns(query);
	result->nvisible = result->ncolumns;
	if (dyn_vars_outer((Node *) query) == NIL)
	{
		result->one_row = dyn_query_scalar(query) && query->havingQual == NULL && !query->hasTargetSRFs &&
			query->limitCount == NULL && query->limitOffset == NULL;
		result->node = dyn_build_query(level->ctx, query, level, 0);
		return result->node != NULL;
	}
	if (has_empty_set(query))
		return dyn_refuse(level->ctx, "SUBQUERY_EXPRESSION",
						  "a correlated subquery has an empty grouping set, as of ROLLUP or CUBE") != NULL;
	if (dyn_query_scalar(query) && query->limitOffset == NULL && dyn_constant_limit(query->limitCount) > 0)
		query->limitCount = NULL;
	if (dyn_query_scalar(query))
		query = dyn_aggregates_below(query);
	if (dyn_query_scalar(query) && !empty_values(level, query, result))
		return false;
	hoist_inner_joins(query);
	if (query->setOperations != NULL || !split_conditions(query, &dependent))
		return build_distinct_outside(level, outside, query, result);
	if (dyn_query_plain(query))
		return build_joined(level, query, dependent, result);
	foreach(lc, dependent)
	{
		DynPair    *pair = palloc0(sizeof(DynPair));

		equalities &= match_equality(lfirst(lc), pair);
		pairs = lappend(pairs, pair);
	}
	if (equalities)
		return build_paired(level, outside, query, pairs, result);
	query->jointree->quals = (Node *) make_ands_explicit(list_concat(make_ands_implicit((Expr *) query->jointree->quals),
																	 dependent));
	return build_distinct_outside(level, outside, query, result);
}

/*
 * Does the query, or an arm of it, have a group of all rows, which is there
 * also when there is no row?  (Without grouping sets: dyn_query_scalar.)
 */
static bool
has_empty_set(Query *query)
{
	bool		empty = query->groupingSets != NIL;
	ListCell   *lc;

	foreach(lc, query->groupingSets)
		empty &= can_be_empty(lfirst_node(GroupingSet, lc));
	if (query->setOperations)
		foreach(lc, query->rtable)
			if (lfirst_node(RangeTblEntry, lc)->rtekind == RTE_SUBQUERY)
				empty |= has_empty_set(lfirst_node(RangeTblEntry, lc)->subquery);
	return empty;
}

static bool
can_be_empty(GroupingSet *set)
{
	ListCell   *lc;

	if (set->kind == GROUPING_SET_SIMPLE)
		return set->content == NIL;
	if (set->kind != GROUPING_SET_SETS)
		return true;
	foreach(lc, set->content)
		if (can_be_empty(lfirst_node(GroupingSet, lc)))
			return true;
	return false;
}

bool
dyn_query_scalar(Query *query)
{
	return query->hasAggs && query->groupClause == NIL && query->groupingSets == NIL;
}

bool
dyn_query_plain(Query *query)
{
	return !query->hasAggs && !query->hasWindowFuncs && !query->hasTargetSRFs &&
		query->groupClause == NIL && query->groupingSets == NIL && query->havingQual == NULL &&
		query->distinctClause == NIL && query->limitCount == NULL && query->limitOffset == NULL &&
		query->setOperations == NULL;
}

/* ------------------------------------------------------------------------
 * Conditions
 * ------------------------------------------------------------------------
 */

/* Make the conditions of inner joins conditions of WHERE. */
static void
hoist_item(Node *item, List **items, List **quals)
{
	JoinExpr   *join = (JoinExpr *) item;

	if (IsA(item, JoinExpr) && join->jointype == JOIN_INNER)
	{
		hoist_item(join->larg, items, quals);
		hoist_item(join->rarg, items, quals);
		*quals = list_concat(*quals, dyn_expr_conjuncts(join->quals));
	}
	else
		*items = lappend(*items, item);
}

static void
hoist_inner_joins(Query *query)
{
	List	   *items = NIL;
	List	   *quals = NIL;
	ListCell   *lc;

	if (query->jointree == NULL)
		return;
	foreach(lc, query->jointree->fromlist)
		hoist_item(lfirst(lc), &items, &quals);
	quals = list_concat(quals, dyn_expr_conjuncts(query->jointree->quals));
	query->jointree = makeFromExpr(items, quals ? (Node *) make_ands_explicit(quals) : NULL);
}

/*
 * Take the conditions that name columns from outside out of WHERE.  False,
 * and nothing done, when something else does so too, or a subquery in such a
 * condition.
 */
static bool
split_conditions(Query *query, List **dependent)
{
	Node	   *quals = query->jointree->quals;
	List	   *own = NIL;
	List	   *rest = NIL;
	ListCell   *lc;

	foreach(lc, dyn_expr_conjuncts(quals))
		if (dyn_vars_outer(lfirst(lc)) != NIL)
			rest = lappend(rest, lfirst(lc));
		else
			own = lappend(own, lfirst(lc));
	query->jointree->quals = own ? (Node *) make_ands_explicit(own) : NULL;
	if (dyn_vars_outer((Node *) query) == NIL && !has_sublink((Node *) rest, NULL))
	{
		*dependent = rest;
		return true;
	}
	query->jointree->quals = quals;
	return false;
}

static bool
has_sublink(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		return true;
	return expression_tree_walker(node, has_sublink, context);
}

/* Vars of the level outside (varlevelsup 1) as the Vars of input 1 that they are. */
static Node *
outside_var(Var *var, void *arg)
{
	var->varlevelsup--;
	return (Node *) var;
}

/* outside = inside, by an operator and a collation that group like the inner side's type does */
static bool
match_equality(Node *condition, DynPair *pair)
{
	OpExpr	   *op = (OpExpr *) condition;

	if (!IsA(condition, OpExpr) || list_length(op->args) != 2)
		return false;
	for (int side = 0; side < 2; side++)
	{
		Node	   *mine = list_nth(op->args, side);
		Node	   *other = list_nth(op->args, 1 - side);
		Oid			operator = side == 0 ? op->opno : get_commutator(op->opno);
		Oid			equality = lookup_type_cache(exprType(other), TYPECACHE_EQ_OPR)->eq_opr;
		Oid			collation = exprCollation(other);

		if (dyn_vars_outer(mine) == NIL || dyn_vars_of(mine) != NIL ||
			dyn_vars_outer(other) != NIL || dyn_vars_of(other) == NIL ||
			!OidIsValid(operator) || !OidIsValid(equality) || !op_strict(operator) ||
			!(op_mergejoinable(operator, exprType(mine)) || op_hashjoinable(operator, exprType(mine))))
			continue;
		if (operator != equality && !equality_ops_are_compatible(operator, equality))
			continue;
		if (OidIsValid(collation) && collation != op->inputcollid &&
			!(get_collation_isdeterministic(collation) && get_collation_isdeterministic(op->inputcollid)))
			continue;
		pair->outside = (Expr *) dyn_vars_map_outer(mine, outside_var, NULL);
		pair->inside = (Expr *) copyObject(other);
		pair->operator = operator;
		pair->collation = op->inputcollid;
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------------
 * The three forms
 * ------------------------------------------------------------------------
 */
typedef struct Inner
{
	List	   *vars;			/* carried, in order */
	int			first;			/* column of the first */
} Inner;

static Node *
inner_var(Var *var, void *arg)
{
	Inner	   *inner = arg;
	ListCell   *lc;

	foreach(lc, inner->vars)
		if (equal(lfirst(lc), var))
			return (Node *) makeVar(2, inner->first + foreach_current_index(lc), var->vartype,
									var->vartypmod, var->varcollid, 0);
	elog(ERROR, "column %d of relation %d of a subquery is not carried", var->varattno, var->varno);
}

/* The conditions join the subquery's rows with those outside. */
static bool
build_joined(DynLevel *level, Query *query, List *conditions, DynDependent *result)
{
	Inner		inner = {dyn_vars_of((Node *) conditions), result->nvisible + 1};
	ListCell   *lc;

	dyn_carry(query, inner.vars);
	result->node = dyn_build_query(level->ctx, query, level, list_length(inner.vars));
	if (result->node == NULL)
		return false;
	foreach(lc, conditions)
		result->quals = lappend(result->quals,
								dyn_vars_map_outer(dyn_vars_map(lfirst(lc), inner_var, &inner),
												   outside_var, NULL));
	return true;
}

/* The condition outside = carried column. */
static Node *
pair_condition(DynPair *pair, Var *column)
{
	RowExpr    *rows[2];

	if (OidIsValid(pair->operator))
		return (Node *) make_opclause(pair->operator, BOOLOID, false, pair->outside,
									  (Expr *) column, InvalidOid, pair->collation);

	/* of records "=" takes NULLs for equal, and can be hashed, as IS NOT DISTINCT FROM cannot */
	for (int i = 0; i < 2; i++)
	{
		rows[i] = makeNode(RowExpr);
		rows[i]->args = list_make1(i == 0 ? pair->outside : (Expr *) column);
		rows[i]->row_typeid = RECORDOID;
		rows[i]->row_format = COERCE_EXPLICIT_CAST;
		rows[i]->location = -1;
	}
	return (Node *) make_opclause(RECORD_EQ_OP, BOOLOID, false, (Expr *) rows[0], (Expr *) rows[1],
								  InvalidOid, InvalidOid);
}

/* The subquery for each value of the inner sides of equalities. */
static bool
build_paired(DynLevel *level, DynNode *outside, Query *query, List *pairs, DynDependent *result)
{
	List	   *exprs = NIL;
	ListCell   *lc;

	foreach(lc, pairs)
		exprs = lappend(exprs, ((DynPair *) lfirst(lc))->inside);
	dyn_carry(query, exprs);
	result->node = dyn_build_query(level->ctx, query, level, list_length(pairs));
	if (result->node == NULL)
		return false;
	dyn_narrow_groups(level->ctx, outside, result->node, result->nvisible + 1, pairs);
	foreach(lc, pairs)
	{
		DynPair    *pair = lfirst(lc);

		result->quals = lappend(result->quals,
								pair_condition(pair,
											   makeVar(2, result->nvisible + foreach_current_index(lc) + 1,
													   exprType((Node *) pair->inside),
													   exprTypmod((Node *) pair->inside),
													   exprCollation((Node *) pair->inside), 0)));
	}
	return true;
}

/* The subquery for each distinct row of the values from outside that it names. */
static bool
build_distinct_outside(DynLevel *level, DynNode *outside, Query *query, DynDependent *result)
{
	DynContext *ctx = level->ctx;
	List	   *outer = dyn_vars_outer((Node *) query);
	List	   *values = NIL;
	List	   *bases = NIL;		/* the numbers (from 0) of what they are made of */
	List	   *variants;
	List	   *quals = NIL;
	List	   *strict;
	DynNode    *given;
	ListCell   *lc;
	int			column = result->nvisible;

	foreach(lc, outer)
	{
		Var		   *var = lfirst_node(Var, lc);
		TypeCacheEntry *type = lookup_type_cache(var->vartype, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR |
												 TYPECACHE_HASH_PROC);

		if (!OidIsValid(type->eq_opr) || (!OidIsValid(type->lt_opr) && !OidIsValid(type->hash_proc)))
			return dyn_refuse(ctx, "SUBQUERY_EXPRESSION",
							  "a subquery depends on an outer column of type %s, which has no equality",
							  format_type_be(var->vartype)) != NULL;
		values = lappend(values, outside_var(copyObject(var), NULL));
		bases = lappend_int(bases, foreach_current_index(lc));
	}

	/* values that are equal and may yet be told apart, 1.0 and 1.00, are two, by their letters */
	variants = shown_variants(query);
	for (int i = 0, n = list_length(values); i < n; i++)
		if (list_member(variants, list_nth(outer, i)))
		{
			outer = lappend(outer, makeVar(0, 1, TEXTOID, -1, C_COLLATION_OID, 1));
			values = lappend(values, in_letters(list_nth(values, i)));
			bases = lappend_int(bases, i);
		}
	outside->shared = true;
	ctx->given = lappend(ctx->given, NULL);
	strict = dyn_carry_given(query, list_length(ctx->given), outer);

	/* rows outside whose NULLs meet nothing need not be asked for */
	foreach(lc, values)
		if (list_member_int(strict, foreach_current_index(lc)) && !type_is_rowtype(exprType(lfirst(lc))))
			quals = lappend(quals, dyn_make_null_test(copyObject(lfirst(lc)), IS_NOT_NULL));
	given = dyn_build_distinct(ctx, dyn_make_select(ctx, list_make1(outside), quals, values));
	if (given == NULL)
		return false;
	given->shared = true;
	lfirst(list_nth_cell(ctx->given, list_length(ctx->given) - 1)) = given;
	result->node = dyn_build_query(ctx, query, level, list_length(values));
	if (result->node == NULL)
		return false;
	foreach(lc, values)
	{
		Node	   *value = lfirst(lc);
		int			base = list_nth_int(bases, foreach_current_index(lc));
		Oid			collation = exprCollation(value);
		DynPair		pair = {.outside = (Expr *) value, .collation = collation};

		if (!given->columns[base].nullable || list_member_int(strict, base))
			pair.operator = lookup_type_cache(exprType(value), TYPECACHE_EQ_OPR)->eq_opr;
		result->quals = lappend(result->quals,
								pair_condition(&pair, makeVar(2, ++column, exprType(value), exprTypmod(value),
															  collation, 0)));
	}
	return true;
}

typedef struct Shown
{
	Index		depth;			/* how many levels up the outside is */
	List	   *vars;			/* as the subquery sees them */
} Shown;

/* The Vars from outside whose values equal ones may differ from, where more is done with them than to compare them. */
static List *
shown_variants(Query *query)
{
	Shown		shown = {1, NIL};

	(void) query_tree_walker(query, shown_walker, &shown, 0);
	return shown.vars;
}

static bool
shown_walker(Node *node, void *context)
{
	Shown	   *shown = context;
	Var		   *var = (Var *) node;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		if (var->varlevelsup != shown->depth || dyn_equal_is_alike(var->vartype, var->vartypmod, var->varcollid))
			return false;
		var = copyObject(var);
		var->varlevelsup = 1;
		shown->vars = list_append_unique(shown->vars, var);
		return false;
	}
	if (IsA(node, Query))
	{
		shown->depth++;
		(void) query_tree_walker((Query *) node, shown_walker, context, 0);
		shown->depth--;
		return false;
	}
	if (is_comparison(node))
	{
		ListCell   *lc;

		foreach(lc, ((OpExpr *) node)->args)
			if (!IsA(lfirst(lc), Var) || lfirst_node(Var, lc)->varcollid != ((OpExpr *) node)->inputcollid)
				(void) shown_walker(lfirst(lc), context);
		return false;
	}
	return expression_tree_walker(node, shown_walker, context);
}

/* Is it an operator that takes equal values for the same? */
static bool
is_comparison(Node *node)
{
	return (IsA(node, OpExpr) || IsA(node, DistinctExpr)) &&
		(op_mergejoinable(((OpExpr *) node)->opno, exprType(linitial(((OpExpr *) node)->args))) ||
		 dyn_comparisons(((OpExpr *) node)->opno) != NIL);
}

static Node *
in_letters(Node *value)
{
	CollateExpr *letters = makeNode(CollateExpr);

	letters->arg = (Expr *) coerce_to_target_type(NULL, copyObject(value), exprType(value), TEXTOID, -1,
												  COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
	letters->collOid = C_COLLATION_OID;
	letters->location = -1;
	return (Node *) letters;
}

/* ------------------------------------------------------------------------
 * Joining one row for each row outside
 * ------------------------------------------------------------------------
 */

bool
dyn_dependent_single(DynDependent *dependent)
{
	List	   *fixed = NIL;
	ListCell   *lc;

	foreach(lc, dependent->quals)
	{
		OpExpr	   *op = dyn_expr_equality(lfirst(lc));

		if (op == NULL)
			continue;
		for (int side = 0; side < 2; side++)
		{
			Var		   *var = list_nth(op->args, side);

			if (IsA(var, Var) && var->varno == 2 && exprCollation((Node *) var) == op->inputcollid &&
				!bms_is_member(2, dyn_expr_relations(list_nth(op->args, 1 - side))))
				fixed = lappend_int(fixed, var->varattno);
		}
	}
	dyn_derive_keys(dependent->node);
	return dependent->node->has_key && list_difference_int(dependent->node->key, fixed) == NIL;
}

DynNode *
dyn_join_dependent(DynContext *ctx, DynNode *outside, DynDependent *dependent, List **values)
{
	DynNode    *node = dependent->node;
	int			noutside = outside->ncolumns;
	Node	   *mark = (Node *) makeVar(1, noutside + dependent->nvisible, BOOLOID, -1, InvalidOid, 0);

	*values = NIL;
	for (int i = 0; i < dependent->ncolumns; i++)
	{
		DynColumn  *column = &node->columns[i];
		Node	   *value = (Node *) makeVar(1, noutside + i + 1, column->type, column->typmod,
											 column->collation, 0);
		Node	   *empty = dependent->empty ? list_nth(dependent->empty, i) : NULL;

		*values = lappend(*values, empty ? when_null(mark, empty, value) : value);
	}
	if (dependent->one_row)
		return dyn_make_select(ctx, list_make2(outside, node), NIL,
							   list_concat(dyn_column_vars(outside, 1), dyn_column_vars(node, 2)));
	return dyn_make_existence(ctx, DYN_JOIN_LEFT, outside, node, dependent->quals);
}

Node *
dyn_dependent_kept(DynNode *outside, DynDependent *dependent)
{
	Node	   *mark = (Node *) makeVar(1, outside->ncolumns + dependent->nvisible, BOOLOID, -1, InvalidOid, 0);

	return when_null(mark, dependent->kept, mark);
}

/* CASE WHEN mark IS NULL THEN empty ELSE value END */
static Node *
when_null(Node *mark, Node *empty, Node *value)
{
	return dyn_make_case(dyn_make_null_test(copyObject(mark), IS_NULL), copyObject(empty), value);
}

/* ------------------------------------------------------------------------
 * Aggregates over no rows
 * ------------------------------------------------------------------------
 */

/*
 * A subquery that is one row of aggregates has that row for each row outside,
 * but its groups are those that have rows.  What stands for a missing group is
 * the select list over no rows.
 */
static bool
empty_values(DynLevel *level, Query *query, DynDependent *result)
{
	Node	   *having = query->havingQual ? empty_mutator(query->havingQual, NULL) : NULL;
	bool		known = false;
	ListCell   *lc;

	if (dyn_does_more_than_aggregate(query))
		return dyn_refuse(level->ctx, "SUBQUERY_EXPRESSION",
						  "a correlated subquery of aggregates and WITH queries has a subquery, a window, a limit or a set-returning function in its select list") != NULL;
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		Node	   *value;

		if (entry->resjunk)
			continue;
		value = empty_mutator((Node *) entry->expr, NULL);
		if (having)
		{
			value = dyn_when_true(having, value);
			entry->expr = (Expr *) dyn_when_true(query->havingQual, (Node *) entry->expr);
		}
		if (is_null(value))
			value = NULL;
		result->empty = lappend(result->empty, value);
		known |= value != NULL;
	}

	/* what tells a row from a missing one, and one that HAVING keeps from one that it does not */
	if (known || having)
	{
		Node	   *kept = having ? is_true(query->havingQual) : makeBoolConst(true, false);

		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *) kept, list_length(query->targetList) + 1, NULL, false));
		result->nvisible++;
		result->kept = having ? is_true(having) : NULL;
	}
	query->havingQual = NULL;
	return true;
}

/* Simplified, COLLATE is a form that the deparser does not print: only to look at. */
static bool
is_null(Node *value)
{
	Const	   *simple = (Const *) eval_const_expressions(NULL, copyObject(value));

	return IsA(simple, Const) && simple->constisnull;
}

Node *
dyn_when_true(Node *condition, Node *value)
{
	return dyn_make_case((Expr *) copyObject(condition), value, dyn_make_null_of(value));
}

static Node *
is_true(Node *condition)
{
	return dyn_make_boolean_test(copyObject(condition), IS_TRUE);
}

/* Of the server's own aggregates all but those that count are NULL where there is no row. */
static bool
is_null_of_none(Aggref *ref)
{
	return ref->aggfnoid < FirstGenbkiObjectId && ref->aggkind != AGGKIND_HYPOTHETICAL &&
		ref->aggfnoid != F_COUNT_ && ref->aggfnoid != F_COUNT_ANY && ref->aggfnoid != F_REGR_COUNT;
}

/* The aggregate's value over no rows: a constant, or a subquery that computes it. */
static Node *
aggregate_of_none(Aggref *ref)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(ref->aggfnoid));
	Oid			final = ((Form_pg_aggregate) GETSTRUCT(tuple))->aggfinalfn;
	Aggref	   *alone;
	bool		null;

	(void) SysCacheGetAttr(AGGFNOID, tuple, Anum_pg_aggregate_agginitval, &null);
	ReleaseSysCache(tuple);
	if (ref->aggfnoid == F_COUNT_ || ref->aggfnoid == F_COUNT_ANY)
		return (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(0), false,
								  FLOAT8PASSBYVAL);
	if ((null && (!OidIsValid(final) || func_strict(final))) || is_null_of_none(ref))
		return (Node *) makeNullConst(ref->aggtype, -1, ref->aggcollid);

	/* there is no row that a condition, which may be one on now(), could be asked about */
	alone = (Aggref *) dyn_vars_map((Node *) ref, null_var, NULL);
	alone->aggfilter = NULL;
	return dyn_make_of_no_row((Expr *) alone);
}

static Node *
null_var(Var *var, void *arg)
{
	return (Node *) makeNullConst(var->vartype, var->vartypmod, var->varcollid);
}

static Node *
empty_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref))
		return aggregate_of_none((Aggref *) node);
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == 1)
		return outside_var(copyObject((Var *) node), NULL);
	return expression_tree_mutator(node, empty_mutator, context);
}
