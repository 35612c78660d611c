/*
 * dyn_build_from.c
 *	  FROM: its items, WITH queries, and inner joins, which are the inputs and
 *	  conditions of a block.  Outer joins are in dyn_build_join.c.
 */
#include <postgres.h>

#include <parser/parsetree.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static bool build_from_item(DynLevel *level, Node *item, DynBlock *block);
static bool is_left_apply(DynLevel *level, JoinExpr *join);
static DynNode *build_cte(DynLevel *level, RangeTblEntry *rte);

/*
 * dyn_build_from adds what stands in FROM to the block: inputs, and the
 * conditions of WHERE and inner joins over the original Vars.  False when
 * refused.
 */
bool
dyn_build_from(DynLevel *level, Node *item, DynBlock *block)
{
	ListCell   *lc;

	if (item == NULL)
		return true;
	/* conditions come first, so that what is joined early is restricted early */
	if (IsA(item, FromExpr))
	{
		block->quals = list_concat(block->quals,
								   dyn_expr_conjuncts(castNode(FromExpr, item)->quals));
		foreach(lc, castNode(FromExpr, item)->fromlist)
			if (!dyn_build_from(level, lfirst(lc), block))
				return false;
		return true;
	}
	if (IsA(item, RangeTblRef))
		return build_from_item(level, item, block);
	if (castNode(JoinExpr, item)->jointype == JOIN_INNER)
	{
		block->quals = list_concat(block->quals,
								   dyn_expr_conjuncts(castNode(JoinExpr, item)->quals));
		return dyn_build_from(level, castNode(JoinExpr, item)->larg, block) &&
			dyn_build_from(level, castNode(JoinExpr, item)->rarg, block);
	}
	if (is_left_apply(level, castNode(JoinExpr, item)))
		return dyn_build_from(level, castNode(JoinExpr, item)->larg, block) &&
			dyn_build_apply(level, castNode(RangeTblRef, castNode(JoinExpr, item)->rarg)->rtindex,
							block, true, dyn_expr_conjuncts(castNode(JoinExpr, item)->quals));
	return dyn_build_outer(level, castNode(JoinExpr, item), block);
}

/* item LEFT JOIN LATERAL something that is computed from item's rows */
static bool
is_left_apply(DynLevel *level, JoinExpr *join)
{
	return join->jointype == JOIN_LEFT && IsA(join->rarg, RangeTblRef) &&
		dyn_item_is_row_local(rt_fetch(castNode(RangeTblRef, join->rarg)->rtindex,
									   level->query->rtable));
}

static bool
build_from_item(DynLevel *level, Node *item, DynBlock *block)
{
	int			rti = castNode(RangeTblRef, item)->rtindex;
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
	DynNode    *node;

	if (rte->rtekind == RTE_RESULT)
		return true;
	if (dyn_item_is_row_local(rte))
		return dyn_build_apply(level, rti, block, false, NIL);
	node = dyn_build_leaf(level, rti);
	if (node == NULL)
		return false;
	block->inputs = lappend(block->inputs, node);
	block->rels = bms_add_member(block->rels, rti);
	if (rte->rtekind == RTE_RELATION)
		level->places[rti].scan = node;
	level->places[rti].input = list_length(block->inputs);
	level->places[rti].offset = 0;
	return true;
}

DynNode *
dyn_build_leaf(DynLevel *level, int rti)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);

	if (dyn_item_is_lateral(rte))
		return dyn_refuse(level->ctx, "LATERAL", "the query uses LATERAL");
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			return dyn_build_scan(level, rte);
		case RTE_SUBQUERY:
			if (rte->security_barrier)
				return dyn_refuse(level->ctx, "SECURITY_BARRIER_VIEW",
								  "the query reads a security_barrier view, whose conditions must be tested before all others");
			return dyn_build_query(level->ctx, rte->subquery, level, 0);
		case RTE_CTE:
			return build_cte(level, rte);
		case RTE_VALUES:
		case RTE_FUNCTION:
		case RTE_TABLEFUNC:
			return dyn_build_constant(level, rte);
		default:
			elog(ERROR, "unexpected kind %d of item in FROM", rte->rtekind);
	}
}

static DynNode *
build_cte(DynLevel *level, RangeTblEntry *rte)
{
	DynLevel   *owner = level;
	ListCell   *lc;

	if (rte->self_reference)
		return dyn_refuse(level->ctx, "RECURSIVE", "WITH RECURSIVE is computed in full");
	for (Index up = rte->ctelevelsup; up > 0; up--)
		owner = owner->parent;
	foreach(lc, owner->query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);
		DynNode   **built = &owner->ctes[foreach_current_index(lc)];

		if (strcmp(cte->ctename, rte->ctename) != 0)
			continue;
		if (*built == NULL)
			*built = dyn_build_query(level->ctx, castNode(Query, cte->ctequery), owner, 0);
		if (*built && cte->cterefcount > 1)
			(*built)->shared = true;
		return *built;
	}
	elog(ERROR, "could not find WITH query \"%s\"", rte->ctename);
}
