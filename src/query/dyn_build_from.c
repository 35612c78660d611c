/*
 * dyn_build_from.c
 *	  FROM: its items, WITH queries, and inner joins, which are the inputs and
 *	  conditions of a block.  Outer joins are in dyn_build_join.c.
 */
#include <postgres.h>

#include <parser/parsetree.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static DynNode *build_from_item(DynLevel *level, Node *item, DynBlock *block);
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
	if (IsA(item, FromExpr))
	{
		foreach(lc, castNode(FromExpr, item)->fromlist)
			if (!dyn_build_from(level, lfirst(lc), block))
				return false;
		block->quals = list_concat(block->quals,
								   dyn_expr_conjuncts(castNode(FromExpr, item)->quals));
		return true;
	}
	if (IsA(item, RangeTblRef))
		return build_from_item(level, item, block) != NULL;
	if (castNode(JoinExpr, item)->jointype == JOIN_INNER)
	{
		if (!dyn_build_from(level, castNode(JoinExpr, item)->larg, block) ||
			!dyn_build_from(level, castNode(JoinExpr, item)->rarg, block))
			return false;
		block->quals = list_concat(block->quals,
								   dyn_expr_conjuncts(castNode(JoinExpr, item)->quals));
		return true;
	}
	return dyn_build_outer(level, castNode(JoinExpr, item), block);
}

static DynNode *
build_from_item(DynLevel *level, Node *item, DynBlock *block)
{
	int			rti = castNode(RangeTblRef, item)->rtindex;
	DynNode    *node;

	if (rt_fetch(rti, level->query->rtable)->rtekind == RTE_RESULT)
		return dyn_node_new(DYN_NODE_CONSTANT, 0);
	node = dyn_build_leaf(level, rti);
	if (node == NULL)
		return NULL;
	block->inputs = lappend(block->inputs, node);
	block->rels = bms_add_member(block->rels, rti);
	if (rt_fetch(rti, level->query->rtable)->rtekind == RTE_RELATION)
		level->places[rti].scan = node;
	level->places[rti].input = list_length(block->inputs);
	level->places[rti].offset = 0;
	return node;
}

DynNode *
dyn_build_leaf(DynLevel *level, int rti)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);

	if (rte->lateral)
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
			return dyn_build_constant(level, rte);
		default:
			return dyn_refuse(level->ctx, "ROW_SOURCE",
							  "the query reads %s, for which there is no rule", rte->eref->aliasname);
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
