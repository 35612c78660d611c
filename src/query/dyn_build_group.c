/*
 * dyn_build_group.c
 *	  GROUP BY and aggregates.
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
#include <rewrite/rewriteManip.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static bool ungrouped_vars_walker(Node *node, void *context);
static bool aggrefs_walker(Node *node, void *context);
static bool equal_is_alike(Oid type, Oid collation);
static DynAgg *build_agg(Aggref *ref, List **targets);
static DynAggKind classify_aggregate(Aggref *ref);
static Aggref *strip_filter(Aggref *ref, Node **arg);

/* What is looked for in a level's expressions, and in the subqueries in them. */
typedef struct Ungrouped
{
	List	   *keys;
	List	   *vars;			/* found */
	Index		depth;			/* of the subquery */
} Ungrouped;

bool
dyn_build_aggregate(DynUpper *upper)
{
	Ungrouped	ungrouped = {NIL, NIL};
	Ungrouped	aggregates = {NIL, NIL};
	List	   *refs;
	List	   *targets;
	DynExprColumns columns = {NIL};
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
	aggrefs_walker((Node *) upper->tlist, &aggregates);
	aggrefs_walker((Node *) upper->having, &aggregates);
	refs = aggregates.vars;
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
	upper->tlist = (List *) dyn_as_columns((Node *) upper->tlist, &columns);
	upper->quals = (List *) dyn_as_columns((Node *) upper->having, &columns);
	upper->having = NIL;
	return true;
}

/* Something of this level as it stands outside of the subqueries in which it was found. */
static void *
at_own_level(void *node, Index depth)
{
	node = copyObject(node);
	IncrementVarSublevelsUp(node, -(int) depth, 0);
	return node;
}

/* Collect Vars outside aggregates and grouping expressions. */
static bool
ungrouped_vars_walker(Node *node, void *context)
{
	Ungrouped  *ungrouped = context;

	if (node == NULL || (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == ungrouped->depth) ||
		list_member(ungrouped->keys, node))
		return false;
	if (IsA(node, Var))
	{
		if (((Var *) node)->varlevelsup == ungrouped->depth)
			ungrouped->vars = list_append_unique(ungrouped->vars, at_own_level(node, ungrouped->depth));
		return false;
	}
	if (IsA(node, Query))
	{
		Ungrouped	inner = {copyObject(ungrouped->keys), ungrouped->vars, ungrouped->depth + 1};

		IncrementVarSublevelsUp((Node *) inner.keys, 1, 0);
		(void) query_tree_walker((Query *) node, ungrouped_vars_walker, &inner, 0);
		ungrouped->vars = inner.vars;
		return false;
	}
	return expression_tree_walker(node, ungrouped_vars_walker, context);
}

static bool
aggrefs_walker(Node *node, void *context)
{
	Ungrouped  *found = context;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == found->depth)
	{
		found->vars = list_append_unique(found->vars, at_own_level(node, found->depth));
		return false;
	}
	if (IsA(node, Query))
	{
		found->depth++;
		(void) query_tree_walker((Query *) node, aggrefs_walker, context, 0);
		found->depth--;
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
		DynExprColumns columns = {NIL};
		ListCell   *lc;

		foreach(lc, dyn_vars_of((Node *) ref))
			dyn_column_for(targets, lfirst(lc));
		columns.exprs = *targets;
		agg->ref = (Aggref *) copyObject(ref);
		agg->ref = (Aggref *) dyn_as_columns((Node *) agg->ref, &columns);
		return agg;
	}
	agg->ref = strip_filter(ref, &arg);
	if (arg)
	{
		agg->arg = dyn_column_for(targets, arg);
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
