/*
 * dyn_sift.c
 *	  Which changes of a source are of use to nobody.
 *
 * Where a source is read by one SELECT alone, a change of a row that this one's
 * conditions leave out changes nothing.  It is left out when it is read, before
 * anything is done with it.  A row may have come and gone since the refresh before, and the query
 * never have seen it: such conditions only that fail for no value.
 */
#include <postgres.h>

#include <access/transam.h>
#include <catalog/pg_proc.h>
#include <catalog/pg_type.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <optimizer/optimizer.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_node.h"
#include "query/dyn_vars.h"

static List *conditions_above(DynPlan *plan, DynNode *scan);
static bool cannot_fail(Node *node);
static bool none_can_fail(List *nodes);
static bool is_comparison(Oid operator);
static bool is_plain(Oid type);

void
dyn_plan_sift(DynPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->nodes)
	{
		DynNode    *node = lfirst(lc);

		if (node->kind == DYN_NODE_SCAN && !node->dynamic)
			node->sift = conditions_above(plan, node);
	}
}

/* Those of the only SELECT that reads the scan, over the scan's columns alone. */
static List *
conditions_above(DynPlan *plan, DynNode *scan)
{
	DynNode    *select = NULL;
	List	   *result = NIL;
	int			input = 0;
	ListCell   *lc;
	ListCell   *li;

	foreach(lc, plan->nodes)
	{
		DynNode    *parent = lfirst(lc);

		foreach(li, parent->inputs)
		{
			if (lfirst(li) != scan)
				continue;
			if (select || parent->kind != DYN_NODE_SELECT || parent->recursion)
				return NIL;
			select = parent;
			input = foreach_current_index(li) + 1;
		}
	}
	if (select == NULL)
		return NIL;
	foreach(lc, select->quals)
	{
		int			only;

		if (bms_get_singleton_member(dyn_expr_relations(lfirst(lc)), &only) && only == input &&
			cannot_fail(lfirst(lc)))
			result = lappend(result, dyn_renumber_input(lfirst(lc), input, 1));
	}
	return result;
}

/* What reads no column is computed by the planner, for each statement with the condition. */
static bool
cannot_fail(Node *node)
{
	if (bms_is_empty(dyn_expr_relations(node)))
		return !contain_mutable_functions(node) && !contain_subplans(node);
	switch (nodeTag(node))
	{
		case T_Var:
			return castNode(Var, node)->varattno > 0 && is_plain(exprType(node));
		case T_RelabelType:
			return cannot_fail((Node *) castNode(RelabelType, node)->arg);
		case T_NullTest:
			return cannot_fail((Node *) castNode(NullTest, node)->arg);
		case T_BoolExpr:
			return none_can_fail(castNode(BoolExpr, node)->args);
		case T_OpExpr:
			return is_comparison(castNode(OpExpr, node)->opno) && none_can_fail(castNode(OpExpr, node)->args);
		case T_ScalarArrayOpExpr:
			return is_comparison(castNode(ScalarArrayOpExpr, node)->opno) &&
				none_can_fail(castNode(ScalarArrayOpExpr, node)->args);
		default:
			return false;
	}
}

static bool
none_can_fail(List *nodes)
{
	ListCell   *lc;

	foreach(lc, nodes)
		if (!cannot_fail(lfirst(lc)))
			return false;
	return true;
}

/* By an order of the server's own, and whatever the settings are. */
static bool
is_comparison(Oid operator)
{
	Oid			negator = get_negator(operator);
	Oid			left;
	Oid			right;
	Oid			opfamily;

	if (operator >= FirstGenbkiObjectId || op_volatile(operator) != PROVOLATILE_IMMUTABLE)
		return false;
	op_input_types(operator, &left, &right);
	if (!OidIsValid(left))
		return false;
	opfamily = lookup_type_cache(left, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	return OidIsValid(opfamily) &&
		(op_in_opfamily(operator, opfamily) || (OidIsValid(negator) && op_in_opfamily(negator, opfamily)));
}

/* Orders of types made of others are those of the others. */
static bool
is_plain(Oid type)
{
	return type < FirstGenbkiObjectId && get_typtype(type) == TYPTYPE_BASE && !OidIsValid(get_element_type(type));
}
