/*
 * dyn_build_from.c
 *	  FROM: its items, WITH queries, and inner joins, which are the inputs and
 *	  conditions of a block.  Outer joins are in dyn_build_join.c.
 */
#include <postgres.h>

#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteManip.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static bool build_inner(DynLevel *level, List *items, Node *quals, DynBlock *block);
static bool build_from_item(DynLevel *level, Node *item, DynBlock *block);
static bool is_left_lateral(DynLevel *level, JoinExpr *join);
static bool build_lateral_item(DynLevel *level, int rti, DynBlock *block, bool keeps, List *on);
static DynNode *build_barrier(DynLevel *level, RangeTblEntry *rte);
static DynNode *build_cte(DynLevel *level, int rti);
static bool inline_walker(Node *node, void *context);
static bool reference_walker(Node *node, void *context);

/*
 * dyn_build_from adds what stands in FROM to the block: inputs, and the
 * conditions of WHERE and inner joins over the original Vars.  False when
 * refused.
 */
bool
dyn_build_from(DynLevel *level, Node *item, DynBlock *block)
{
	JoinExpr   *join = (JoinExpr *) item;

	if (item == NULL)
		return true;
	if (IsA(item, RangeTblRef))
		return build_from_item(level, item, block);
	if (IsA(item, FromExpr))
		return build_inner(level, castNode(FromExpr, item)->fromlist,
						   castNode(FromExpr, item)->quals, block);
	dyn_reduce_join(level, join);
	if (join->jointype == JOIN_INNER)
		return build_inner(level, list_make2(join->larg, join->rarg), join->quals, block);
	if (is_left_lateral(level, join))
		return dyn_build_from(level, join->larg, block) &&
			build_lateral_item(level, castNode(RangeTblRef, join->rarg)->rtindex, block, true,
							   dyn_expr_conjuncts(join->quals));
	return dyn_build_outer(level, join, block);
}

/* Conditions come first, so that what is joined early is restricted early. */
static bool
build_inner(DynLevel *level, List *items, Node *quals, DynBlock *block)
{
	DynAbove	above = level->above;
	bool		built = true;
	ListCell   *lc;

	block->quals = list_concat(block->quals, dyn_expr_conjuncts(quals));
	dyn_note_conditions(&level->above, quals);
	foreach(lc, items)
		built = built && dyn_build_from(level, lfirst(lc), block);
	level->above = above;
	return built;
}

/* item LEFT JOIN LATERAL something that is computed for item's rows */
static bool
is_left_lateral(DynLevel *level, JoinExpr *join)
{
	return join->jointype == JOIN_LEFT && IsA(join->rarg, RangeTblRef) &&
		dyn_item_is_lateral(rt_fetch(castNode(RangeTblRef, join->rarg)->rtindex,
									 level->query->rtable));
}

static bool
build_lateral_item(DynLevel *level, int rti, DynBlock *block, bool keeps, List *on)
{
	if (dyn_item_is_row_local(rt_fetch(rti, level->query->rtable)))
		return dyn_build_apply(level, rti, block, keeps, on);
	return dyn_build_lateral(level, rti, block, keeps, on);
}

static bool
build_from_item(DynLevel *level, Node *item, DynBlock *block)
{
	int			rti = castNode(RangeTblRef, item)->rtindex;
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
	DynNode    *node;

	if (rte->rtekind == RTE_RESULT)
		return true;
	if (dyn_item_is_lateral(rte))
		return build_lateral_item(level, rti, block, false, NIL);
	node = dyn_build_leaf(level, rti);
	if (node && rte->rtekind == RTE_RELATION)
		level->places[rti].scan = node->kind == DYN_NODE_SCAN ? node : dyn_input(node, 1);
	if (node)
		node = dyn_add_whole_row(level, rti, node);
	if (node == NULL)
		return false;
	block->inputs = lappend(block->inputs, node);
	block->rels = bms_add_member(block->rels, rti);
	level->places[rti].input = list_length(block->inputs);
	level->places[rti].offset = 0;
	return true;
}

DynNode *
dyn_build_leaf(DynLevel *level, int rti)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);

	switch (rte->rtekind)
	{
		case RTE_RELATION:
			return dyn_build_scan(level, rte);
		case RTE_SUBQUERY:
			return rte->security_barrier ? build_barrier(level, rte) :
				dyn_build_query(level->ctx, rte->subquery, level, 0);
		case RTE_CTE:
			return build_cte(level, rti);
		case RTE_NAMEDTUPLESTORE:
			return list_nth(level->ctx->given, atoi(rte->enrname) - 1);
		case RTE_VALUES:
		case RTE_FUNCTION:
		case RTE_TABLEFUNC:
			return dyn_build_constant(rte);
		default:
			elog(ERROR, "unexpected kind %d of item in FROM", rte->rtekind);
	}
}

/*
 * A security_barrier view: no condition from outside may see a row that the
 * view's own have not let through, unless none of them could tell anything.
 */
static DynNode *
build_barrier(DynLevel *level, RangeTblEntry *rte)
{
	DynNode    *view = dyn_build_query(level->ctx, rte->subquery, level, 0);
	DynNode    *node;

	if (view == NULL || !level->ctx->leaky)
		return view;
	node = dyn_node_new(DYN_NODE_SELECT, view->ncolumns);
	memcpy(node->columns, view->columns, sizeof(DynColumn) * view->ncolumns);
	node->inputs = list_make1(view);
	node->targets = dyn_column_vars(view, 1);
	node->barrier = true;
	return node;
}

/* Is there a condition outside of security_barrier views that tells of the values that it sees? */
bool
dyn_conditions_leak(Node *node, void *context)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, FromExpr) && contain_leaked_vars(castNode(FromExpr, node)->quals))
		return true;
	if (IsA(node, JoinExpr) && contain_leaked_vars(castNode(JoinExpr, node)->quals))
		return true;
	if (!IsA(node, Query))
		return expression_tree_walker(node, dyn_conditions_leak, context);
	if (contain_leaked_vars(castNode(Query, node)->havingQual))
		return true;
	foreach(lc, castNode(Query, node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_SUBQUERY && !rte->security_barrier &&
			dyn_conditions_leak((Node *) rte->subquery, context))
			return true;
	}
	return query_tree_walker((Query *) node, dyn_conditions_leak, context, QTW_IGNORE_RT_SUBQUERIES);
}

static DynNode *
build_cte(DynLevel *level, int rti)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
	DynLevel   *owner = level;
	ListCell   *lc;

	for (Index up = rte->ctelevelsup; up > 0; up--)
		owner = owner->parent;
	foreach(lc, owner->query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);
		DynNode   **built = &owner->ctes[foreach_current_index(lc)];

		if (strcmp(cte->ctename, rte->ctename) != 0)
			continue;
		if (*built == NULL)
			*built = cte->cterecursive ? dyn_build_recursive(owner, cte, built) :
				dyn_build_query(level->ctx, castNode(Query, cte->ctequery), owner, 0);
		if (*built && cte->cterefcount > 1)
			(*built)->shared = true;
		return dyn_check_stored(level, rti, *built) ? *built : NULL;
	}
	elog(ERROR, "could not find WITH query \"%s\"", rte->ctename);
}

/*
 * WITH queries that name columns from outside of the query that has them, as
 * subqueries wherever they are read.  FROM can refer to what is beside it, and
 * WITH cannot, so rows from outside would not reach them there.  A recursive
 * one stays.  The query is a copy of the caller's.
 */
Query *
dyn_inline_dependent(Query *query)
{
	(void) inline_walker((Node *) query, NULL);
	return query;
}

typedef struct Reference
{
	CommonTableExpr *cte;
	int			depth;			/* of the query at hand below the one that has it; -1: above */
} Reference;

static bool
inline_walker(Node *node, void *context)
{
	Query	   *query = (Query *) node;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, inline_walker, context);

	/* each after those that it reads */
	foreach(lc, query->cteList)
	{
		Reference	reference = {lfirst_node(CommonTableExpr, lc), -1};

		if (reference.cte->cterecursive || dyn_vars_outer(reference.cte->ctequery) == NIL)
			continue;
		query->cteList = foreach_delete_current(query->cteList, lc);
		(void) reference_walker(node, &reference);
	}
	return query_tree_walker(query, inline_walker, context, 0);
}

static bool
reference_walker(Node *node, void *context)
{
	Reference  *reference = context;
	RangeTblEntry *rte = (RangeTblEntry *) node;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		reference->depth++;
		(void) query_tree_walker((Query *) node, reference_walker, context, QTW_EXAMINE_RTES_AFTER);
		reference->depth--;
		return false;
	}
	if (!IsA(node, RangeTblEntry))
		return expression_tree_walker(node, reference_walker, context);
	if (rte->rtekind == RTE_CTE && rte->ctelevelsup == reference->depth &&
		strcmp(rte->ctename, reference->cte->ctename) == 0)
	{
		rte->rtekind = RTE_SUBQUERY;
		rte->subquery = castNode(Query, copyObject(reference->cte->ctequery));
		IncrementVarSublevelsUp((Node *) rte->subquery, reference->depth, 1);
		rte->ctename = NULL;
		rte->ctelevelsup = 0;
		rte->coltypes = rte->coltypmods = rte->colcollations = NIL;
	}
	return false;
}
