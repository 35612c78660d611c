/*
 * dyn_build_from.c
 *	  FROM: its items, WITH queries, and joins.
 *
 * Inner joins are the inputs and conditions of a block; an outer join makes
 * one node of each of its sides.
 */
#include <postgres.h>

#include <catalog/pg_operator.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static DynNode *build_from_item(DynLevel *level, Node *item, DynBlock *block);
static DynNode *build_cte(DynLevel *level, RangeTblEntry *rte);
static bool build_outer(DynLevel *level, JoinExpr *join, DynBlock *block);
static void classify_on(DynLevel *level, DynNode *node, Relids left, Relids right, List *conjuncts);


/* Move the relations of a block behind ninputs others, or into one input at an offset. */
static void
shift_places(DynLevel *level, Relids rels, int ninputs)
{
	int			rti = -1;

	while ((rti = bms_next_member(rels, rti)) >= 0)
		level->places[rti].input += ninputs;
}

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
	return build_outer(level, castNode(JoinExpr, item), block);
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

/*
 * LEFT, RIGHT and FULL joins: the two sides become one node each, and the
 * relations on either side columns of the join.
 */
static bool
build_outer(DynLevel *level, JoinExpr *join, DynBlock *block)
{
	DynBlock	sides[2] = {{0}};
	DynNode    *inputs[2];
	DynNode    *node;
	List	   *conjuncts = dyn_expr_conjuncts(join->quals);
	bool		right = join->jointype == JOIN_RIGHT;
	int			rti = -1;

	/* the side whose rows all stay is the left one */
	if (!dyn_build_from(level, right ? join->rarg : join->larg, &sides[0]) ||
		!dyn_build_from(level, right ? join->larg : join->rarg, &sides[1]))
		return false;

	/* a condition on the other side alone is a condition on that input */
	if (join->jointype != JOIN_FULL)
	{
		List	   *rest = NIL;
		ListCell   *lc;

		foreach(lc, conjuncts)
			if (bms_is_subset(dyn_expr_relations(lfirst(lc)), sides[1].rels) &&
				!bms_is_empty(dyn_expr_relations(lfirst(lc))))
				sides[1].quals = lappend(sides[1].quals, lfirst(lc));
			else
				rest = lappend(rest, lfirst(lc));
		conjuncts = rest;
	}
	for (int i = 0; i < 2; i++)
		if ((inputs[i] = dyn_block_node(level, &sides[i])) == NULL)
			return false;
	if (dyn_expr_has_now((Node *) conjuncts))
	{
		dyn_refuse(level->ctx, "NOW_IN_OUTER_JOIN", "now() stands in the condition of an outer join");
		return false;
	}

	node = dyn_node_new(DYN_NODE_OUTER, inputs[0]->ncolumns + inputs[1]->ncolumns);
	node->inputs = list_make2(inputs[0], inputs[1]);
	node->full = join->jointype == JOIN_FULL;
	memcpy(node->columns, inputs[0]->columns, sizeof(DynColumn) * inputs[0]->ncolumns);
	memcpy(node->columns + inputs[0]->ncolumns, inputs[1]->columns,
		   sizeof(DynColumn) * inputs[1]->ncolumns);
	for (int i = 0; i < node->ncolumns; i++)
		if (node->full || i >= inputs[0]->ncolumns)
			node->columns[i].nullable = true;

	/* each side's relations are input 1; make the right one's input 2 for ON */
	shift_places(level, sides[1].rels, 1);
	if (!dyn_check_written_at(level->ctx, dyn_relocate(level, (Node *) conjuncts), node->inputs))
		return false;
	classify_on(level, node, sides[0].rels, sides[1].rels, conjuncts);
	node->quals = (List *) dyn_relocate(level, (Node *) conjuncts);

	/* and from above, columns of the join, which is one input of the block */
	block->inputs = lappend(block->inputs, node);
	while ((rti = bms_next_member(sides[1].rels, rti)) >= 0)
		level->places[rti].offset += inputs[0]->ncolumns;
	block->rels = bms_join(block->rels, bms_union(sides[0].rels, sides[1].rels));
	rti = -1;
	while ((rti = bms_next_member(bms_union(sides[0].rels, sides[1].rels), rti)) >= 0)
		level->places[rti].input = list_length(block->inputs);
	return true;
}

/* Find the equalities between the sides in the conjuncts of ON. */
static void
classify_on(DynLevel *level, DynNode *node, Relids left, Relids right, List *conjuncts)
{
	ListCell   *lc;

	node->keys_only = true;
	foreach(lc, conjuncts)
	{
		Node	   *qual = lfirst(lc);
		Relids		rels = dyn_expr_relations(qual);
		Node	   *sides[2] = {NULL, NULL};
		Oid			operator = InvalidOid;

		if (IsA(qual, OpExpr) && list_length(castNode(OpExpr, qual)->args) == 2)
		{
			OpExpr	   *op = (OpExpr *) qual;
			Relids		a = dyn_expr_relations(linitial(op->args));
			Relids		b = dyn_expr_relations(lsecond(op->args));
			bool		straight = bms_is_subset(a, left) && bms_is_subset(b, right);
			bool		crossed = bms_is_subset(a, right) && bms_is_subset(b, left);

			if (!bms_is_empty(a) && !bms_is_empty(b) && (straight || crossed) &&
				(op_mergejoinable(op->opno, exprType(linitial(op->args))) ||
				 op_hashjoinable(op->opno, exprType(linitial(op->args)))) &&
				(straight || OidIsValid(get_commutator(op->opno))))
			{
				operator = straight ? op->opno : get_commutator(op->opno);
				sides[0] = straight ? linitial(op->args) : lsecond(op->args);
				sides[1] = straight ? lsecond(op->args) : linitial(op->args);
			}
		}

		/* a condition on one side alone: equal to true on the other */
		if (!OidIsValid(operator) && (bms_is_subset(rels, left) || bms_is_subset(rels, right)))
		{
			int			side = bms_is_subset(rels, left) ? 0 : 1;

			operator = BooleanEqualOperator;
			sides[side] = qual;
			sides[1 - side] = makeBoolConst(true, false);
		}
		if (!OidIsValid(operator))
		{
			node->keys_only = false;
			continue;
		}
		node->key_operators = lappend_oid(node->key_operators, operator);
		node->left_keys = lappend(node->left_keys,
								  dyn_renumber_input(dyn_relocate(level, sides[0]), 1, 1));
		node->right_keys = lappend(node->right_keys,
								   dyn_renumber_input(dyn_relocate(level, sides[1]), 2, 1));
	}
}
