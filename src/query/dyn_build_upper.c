/*
 * dyn_build_upper.c
 *	  What stands above FROM in one level of SELECT: grouping, window
 *	  functions, the target list and DISTINCT.
 *
 * The level's expressions are carried along: at first over the columns of the
 * FROM inputs, after each node over the columns of that node.
 */
#include <postgres.h>

#include <access/nbtree.h>
#include <access/transam.h>
#include <catalog/pg_aggregate.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <optimizer/tlist.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

/* What a level's expressions are over, and the expressions. */
typedef struct Upper
{
	DynContext *ctx;
	Query	   *query;
	List	   *inputs;
	List	   *quals;
	List	   *tlist;			/* of TargetEntry */
	List	   *having;
} Upper;

/* Expressions that have become columns of a node: each is Var(1, its position). */
typedef struct Columns
{
	List	   *exprs;			/* NULL entries never match */
} Columns;

static bool build_aggregate(Upper *upper);
static bool ungrouped_vars_walker(Node *node, void *context);
static bool aggrefs_walker(Node *node, void *context);
static bool equal_is_alike(Oid type, Oid collation);
static DynAgg *build_agg(Aggref *ref, List **targets);
static DynAggKind classify_aggregate(Aggref *ref);
static Aggref *strip_filter(Aggref *ref, Node **arg);
static bool build_windows(Upper *upper);
static DynNode *build_window(DynContext *ctx, DynNode *input, WindowClause *clause,
							 List *functions, List *tlist);
static bool windowfuncs_walker(Node *node, void *context);
static DynNode *build_distinct_on(Upper *upper);
static int	column_for(List **targets, Node *expr);
static Node *columns_mutator(Node *node, void *context);
static List *sorting_tlist(List *tlist);

DynNode *
dyn_build_select(DynLevel *level)
{
	Query	   *query = level->query;
	DynBlock	block = {0};
	Upper		upper = {0};
	List	   *targets = NIL;
	ListCell   *lc;
	DynNode    *node;

	if (!dyn_build_from(level, (Node *) query->jointree, &block))
		return NULL;
	upper.ctx = level->ctx;
	upper.query = query;
	upper.inputs = block.inputs;
	upper.quals = (List *) dyn_relocate(level, (Node *) block.quals);
	upper.tlist = (List *) dyn_relocate(level, (Node *) query->targetList);
	upper.having = dyn_expr_conjuncts(dyn_relocate(level, query->havingQual));
	if (level->ctx->refusal->code)
		return NULL;

	if ((query->hasAggs || query->groupClause || query->havingQual) && !build_aggregate(&upper))
		return NULL;
	if (query->hasWindowFuncs && !build_windows(&upper))
		return NULL;
	if (query->hasDistinctOn)
		return build_distinct_on(&upper);
	foreach(lc, upper.tlist)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			targets = lappend(targets, lfirst_node(TargetEntry, lc)->expr);
	node = dyn_make_select(upper.ctx, upper.inputs, upper.quals, targets);
	if (node && query->distinctClause)
		node = dyn_build_distinct(upper.ctx, node);
	return node;
}

/* DISTINCT over all columns is a group for each row. */
DynNode *
dyn_build_distinct(DynContext *ctx, DynNode *input)
{
	DynNode    *node;

	if (input == NULL ||
		!dyn_check_written_at(ctx, (Node *) dyn_column_vars(input, 1), list_make1(input)))
		return NULL;
	node = dyn_node_new(DYN_NODE_AGGREGATE, input->ncolumns);
	node->inputs = list_make1(input);
	node->nkeys = input->ncolumns;
	memcpy(node->columns, input->columns, sizeof(DynColumn) * input->ncolumns);
	return node;
}

/* ------------------------------------------------------------------------
 * Grouping
 * ------------------------------------------------------------------------
 */
typedef struct Ungrouped
{
	List	   *keys;
	List	   *vars;
} Ungrouped;

static bool
build_aggregate(Upper *upper)
{
	Ungrouped	ungrouped = {NIL, NIL};
	List	   *refs = NIL;
	List	   *targets;
	Columns		columns = {NIL};
	DynNode    *node;
	DynNode    *input;
	List	   *aggs = NIL;
	ListCell   *lc;
	int			i;

	foreach(lc, upper->query->groupClause)
		ungrouped.keys = list_append_unique(ungrouped.keys,
											get_sortgroupclause_expr(lfirst(lc), upper->tlist));

	/* columns that depend on a grouped primary key group the same way */
	ungrouped_vars_walker((Node *) upper->tlist, &ungrouped);
	ungrouped_vars_walker((Node *) upper->having, &ungrouped);
	targets = list_concat(ungrouped.keys, ungrouped.vars);
	columns.exprs = list_copy(targets);
	aggrefs_walker((Node *) upper->tlist, &refs);
	aggrefs_walker((Node *) upper->having, &refs);
	if (dyn_expr_has_now((Node *) targets) || dyn_expr_has_now((Node *) refs))
		return dyn_refuse(upper->ctx, "NOW_IN_AGGREGATE",
						  "now() stands in GROUP BY or in an aggregate's argument") != NULL;
	if (!dyn_check_written_at(upper->ctx, (Node *) targets, upper->inputs) ||
		!dyn_check_written_at(upper->ctx, (Node *) refs, upper->inputs))
		return false;

	node = dyn_node_new(DYN_NODE_AGGREGATE, list_length(targets) + list_length(refs));
	node->nkeys = list_length(targets);
	foreach(lc, refs)
	{
		aggs = lappend(aggs, build_agg(lfirst(lc), &targets));
		columns.exprs = lappend(columns.exprs, lfirst(lc));
	}
	node->aggs = aggs;

	/* count(*) alone over rows needs no column, but a query wants one */
	input = dyn_make_select(upper->ctx, upper->inputs, upper->quals, targets);
	if (input == NULL)
		return false;
	node->inputs = list_make1(input);
	for (i = 0; i < node->nkeys; i++)
		node->columns[i] = input->columns[i];
	foreach(lc, refs)
	{
		Aggref	   *ref = lfirst_node(Aggref, lc);

		node->columns[i++] = (DynColumn) {
			.type = ref->aggtype, .typmod = -1, .collation = ref->aggcollid,
			.nullable = ref->aggfnoid != F_COUNT_ && ref->aggfnoid != F_COUNT_ANY
		};
	}

	upper->inputs = list_make1(node);
	upper->tlist = (List *) columns_mutator((Node *) upper->tlist, &columns);
	upper->quals = (List *) columns_mutator((Node *) upper->having, &columns);
	upper->having = NIL;
	return true;
}

/* Collect Vars outside aggregates and grouping expressions. */
static bool
ungrouped_vars_walker(Node *node, void *context)
{
	Ungrouped  *ungrouped = context;

	if (node == NULL || IsA(node, Aggref) || list_member(ungrouped->keys, node))
		return false;
	if (IsA(node, Var))
	{
		ungrouped->vars = list_append_unique(ungrouped->vars, node);
		return false;
	}
	return expression_tree_walker(node, ungrouped_vars_walker, context);
}

static bool
aggrefs_walker(Node *node, void *context)
{
	List	  **refs = context;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		*refs = list_append_unique(*refs, node);
		return false;
	}
	return expression_tree_walker(node, aggrefs_walker, context);
}

/* Decide how an aggregate is kept, and add what it reads to the input's targets. */
static DynAgg *
build_agg(Aggref *ref, List **targets)
{
	DynAgg	   *agg = palloc0(sizeof(DynAgg));
	Node	   *arg = NULL;

	agg->kind = classify_aggregate(ref);
	if (agg->kind == DYN_AGG_REREAD)
	{
		Columns		columns = {NIL};
		ListCell   *lc;

		foreach(lc, pull_var_clause((Node *) ref, PVC_RECURSE_AGGREGATES))
			column_for(targets, lfirst(lc));
		columns.exprs = *targets;
		agg->ref = (Aggref *) copyObject(ref);
		agg->ref = (Aggref *) expression_tree_mutator((Node *) agg->ref, columns_mutator, &columns);
		return agg;
	}
	agg->ref = strip_filter(ref, &arg);
	if (arg)
	{
		agg->arg = column_for(targets, arg);
		agg->minus_rereads = agg->kind != DYN_AGG_COUNT && agg->kind != DYN_AGG_EXTREMUM &&
			exprType(arg) == NUMERICOID && dyn_expr_fixed_scale(arg) < 0;
	}
	if (agg->kind == DYN_AGG_EXTREMUM)
	{
		agg->is_max = strcmp(get_func_name(ref->aggfnoid), "max") == 0;
		agg->alike = equal_is_alike(exprType(arg), ref->inputcollid);
	}
	return agg;
}

/* Whether values of a type that are equal are so to the byte (1.0 and 1.00 are not). */
static bool
equal_is_alike(Oid type, Oid collation)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY);
	Oid			proc;

	if (!OidIsValid(entry->btree_opf))
		return false;
	proc = get_opfamily_proc(entry->btree_opf, entry->btree_opintype, entry->btree_opintype,
							 BTEQUALIMAGE_PROC);
	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, collation, ObjectIdGetDatum(entry->btree_opintype)));
}

static DynAggKind
classify_aggregate(Aggref *ref)
{
	char	   *name;

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
	name = get_func_name(ref->aggfnoid);
	if (ref->aggfnoid < FirstUnpinnedObjectId &&
		(strcmp(name, "min") == 0 || strcmp(name, "max") == 0))
		return DYN_AGG_EXTREMUM;
	return DYN_AGG_REREAD;
}

/* The aggregate's argument, NULL where its FILTER is not true; *arg NULL for a plain count(*). */
static Aggref *
strip_filter(Aggref *ref, Node **arg)
{
	CaseExpr   *guard;
	CaseWhen   *when;

	*arg = ref->args ? (Node *) linitial_node(TargetEntry, ref->args)->expr : NULL;
	if (ref->aggfilter == NULL)
		return ref;
	if (*arg == NULL)
		*arg = makeBoolConst(true, false);
	when = makeNode(CaseWhen);
	when->expr = copyObject(ref->aggfilter);
	when->result = (Expr *) copyObject(*arg);
	when->location = -1;
	guard = makeNode(CaseExpr);
	guard->casetype = exprType(*arg);
	guard->casecollid = exprCollation(*arg);
	guard->args = list_make1(when);
	guard->defresult = (Expr *) makeNullConst(exprType(*arg), exprTypmod(*arg), exprCollation(*arg));
	guard->location = -1;
	*arg = (Node *) guard;
	return ref;
}

/* ------------------------------------------------------------------------
 * Window functions
 * ------------------------------------------------------------------------
 */
static bool
build_windows(Upper *upper)
{
	List	   *functions = NIL;
	List	   *targets = NIL;
	Columns		columns = {NIL};
	DynNode    *node;
	ListCell   *lc;
	ListCell   *lf;

	windowfuncs_walker((Node *) upper->tlist, &functions);
	foreach(lc, pull_var_clause((Node *) upper->tlist, PVC_RECURSE_WINDOWFUNCS))
		column_for(&targets, lfirst(lc));
	foreach(lc, upper->query->windowClause)
	{
		WindowClause *clause = lfirst_node(WindowClause, lc);
		List	   *exprs = NIL;

		foreach(lf, list_concat_copy(clause->partitionClause, clause->orderClause))
			exprs = lappend(exprs, get_sortgroupclause_expr(lfirst(lf), upper->tlist));
		foreach(lf, functions)
			if (lfirst_node(WindowFunc, lf)->winref == clause->winref)
				exprs = lappend(exprs, lfirst(lf));
		if (dyn_expr_has_now((Node *) exprs))
			return dyn_refuse(upper->ctx, "NOW_IN_WINDOW",
							  "now() stands in a window function or its window") != NULL;
		if (!dyn_check_written_at(upper->ctx, (Node *) exprs, upper->inputs))
			return false;
		foreach(lf, clause->partitionClause)
			column_for(&targets, get_sortgroupclause_expr(lfirst(lf), upper->tlist));
	}

	node = dyn_make_select(upper->ctx, upper->inputs, upper->quals, targets);
	if (node == NULL)
		return false;
	columns.exprs = targets;
	upper->tlist = (List *) columns_mutator((Node *) upper->tlist, &columns);
	functions = (List *) columns_mutator((Node *) functions, &columns);
	columns.exprs = NIL;
	for (int i = 0; i < list_length(targets); i++)
		columns.exprs = lappend(columns.exprs, NULL);

	foreach(lc, upper->query->windowClause)
	{
		List	   *mine = NIL;

		foreach(lf, functions)
			if (lfirst_node(WindowFunc, lf)->winref == lfirst_node(WindowClause, lc)->winref)
				mine = lappend(mine, lfirst(lf));
		if (mine == NIL)
			continue;
		node = build_window(upper->ctx, node, lfirst(lc), mine, upper->tlist);
		columns.exprs = list_concat(columns.exprs, mine);
	}
	upper->inputs = list_make1(node);
	upper->quals = NIL;
	upper->tlist = (List *) columns_mutator((Node *) upper->tlist, &columns);
	return true;
}

static DynNode *
build_window(DynContext *ctx, DynNode *input, WindowClause *clause, List *functions, List *tlist)
{
	DynNode    *node = dyn_node_new(DYN_NODE_WINDOW, input->ncolumns + list_length(functions));
	ListCell   *lc;
	int			i = input->ncolumns;

	node->inputs = list_make1(input);
	memcpy(node->columns, input->columns, sizeof(DynColumn) * input->ncolumns);
	foreach(lc, functions)
	{
		WindowFunc *function = lfirst_node(WindowFunc, lc);

		node->columns[i++] = (DynColumn) {
			.type = function->wintype, .typmod = -1, .collation = function->wincollid,
			.nullable = function->winfnoid != F_ROW_NUMBER
		};
	}
	node->functions = functions;
	node->window_tlist = sorting_tlist(tlist);
	clause = copyObject(clause);
	clause->name = NULL;
	clause->refname = NULL;
	node->window_clauses = list_make1(clause);
	foreach(lc, clause->partitionClause)
		node->partition = list_append_unique_int(node->partition,
												 castNode(Var, get_sortgroupclause_expr(lfirst(lc), tlist))->varattno);
	return node;
}

static bool
windowfuncs_walker(Node *node, void *context)
{
	List	  **functions = context;

	if (node == NULL)
		return false;
	if (IsA(node, WindowFunc))
	{
		*functions = list_append_unique(*functions, node);
		return false;
	}
	return expression_tree_walker(node, windowfuncs_walker, context);
}

/* DISTINCT ON (…) ORDER BY …: the first row of each partition. */
static DynNode *
build_distinct_on(Upper *upper)
{
	WindowClause *clause = makeNode(WindowClause);
	WindowFunc *number = makeNode(WindowFunc);
	List	   *all = NIL;
	List	   *tlist = NIL;
	List	   *targets = NIL;
	DynNode    *input;
	DynNode    *node;
	ListCell   *lc;

	foreach(lc, upper->tlist)
		all = lappend(all, lfirst_node(TargetEntry, lc)->expr);
	input = dyn_make_select(upper->ctx, upper->inputs, upper->quals, all);
	if (input == NULL)
		return NULL;
	foreach(lc, upper->tlist)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst_node(TargetEntry, lc));
		int			i = foreach_current_index(lc);

		if (entry->ressortgroupref > 0 && input->columns[i].written_at)
			return dyn_refuse(upper->ctx, "NOW_IN_WINDOW", "now() stands in DISTINCT ON or its ORDER BY");
		entry->expr = (Expr *) makeVar(1, i + 1, input->columns[i].type, input->columns[i].typmod,
									   input->columns[i].collation, 0);
		tlist = lappend(tlist, entry);
		if (!entry->resjunk)
			targets = lappend(targets, entry->expr);
	}
	clause->partitionClause = upper->query->distinctClause;
	clause->orderClause = upper->query->sortClause;
	clause->frameOptions = FRAMEOPTION_DEFAULTS;
	clause->winref = 1;
	number->winfnoid = F_ROW_NUMBER;
	number->wintype = INT8OID;
	number->winref = 1;
	number->location = -1;
	node = build_window(upper->ctx, input, clause, list_make1(number), tlist);
	node->kind = DYN_NODE_FIRST;
	return dyn_make_select(upper->ctx, list_make1(node), NIL, targets);
}

/* ------------------------------------------------------------------------
 * Expressions as columns
 * ------------------------------------------------------------------------
 */

/* The column (from 1) that computes expr, added when there is none. */
static int
column_for(List **targets, Node *expr)
{
	ListCell   *lc;

	foreach(lc, *targets)
		if (equal(lfirst(lc), expr))
			return foreach_current_index(lc) + 1;
	*targets = lappend(*targets, expr);
	return list_length(*targets);
}

static Node *
columns_mutator(Node *node, void *context)
{
	Columns    *columns = context;
	ListCell   *lc;

	if (node == NULL)
		return NULL;
	if (IsA(node, GroupingFunc))
		return (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(0), false, true);
	foreach(lc, columns->exprs)
		if (lfirst(lc) && equal(lfirst(lc), node))
			return (Node *) makeVar(1, foreach_current_index(lc) + 1, exprType(node),
									exprTypmod(node), exprCollation(node), 0);
	return expression_tree_mutator(node, columns_mutator, context);
}

/* The entries of a target list that sorting and partitioning refer to, not to be printed. */
static List *
sorting_tlist(List *tlist)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, tlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (entry->ressortgroupref == 0)
			continue;
		entry = flatCopyTargetEntry(entry);
		entry->resjunk = true;
		result = lappend(result, entry);
	}
	return result;
}
