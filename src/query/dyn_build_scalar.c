/*
 * dyn_build_scalar.c
 *	  A query of aggregates without GROUP BY whose select list does more than
 *	  compute with them, as one over a query of the aggregates alone.
 *
 * SELECT max(v) + (SELECT …), … FROM t WHERE … OFFSET 1 becomes
 * SELECT x.c1 + (SELECT …), … FROM (SELECT max(v) AS c1 FROM t WHERE …) x OFFSET 1.
 * So what stands for the aggregates where there are no rows (dyn_build_dependent.c)
 * need not be known of the rest.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <rewrite/rewriteManip.h>

#include "query/dyn_build.h"

static bool other_walker(Node *node, void *context);
static bool level_walker(Node *node, void *context);
static Node *aggregate_mutator(Node *node, void *context);

bool
dyn_does_more_than_aggregate(Query *query)
{
	return query->hasWindowFuncs || query->hasTargetSRFs || query->limitCount || query->limitOffset ||
		other_walker((Node *) query->targetList, NULL) || other_walker(query->havingQual, NULL);
}

static bool
other_walker(Node *node, void *context)
{
	if (node == NULL || IsA(node, Aggref))
		return false;
	if (IsA(node, SubLink))
		return true;
	return expression_tree_walker(node, other_walker, context);
}

/* An aggregate of this level inside of a subquery (levels down, in *context) */
static bool
level_walker(Node *node, void *context)
{
	Index		level = *(Index *) context;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == level && level > 0)
		return true;
	if (IsA(node, Query))
	{
		level++;
		return query_tree_walker((Query *) node, level_walker, &level, 0);
	}
	return expression_tree_walker(node, level_walker, context);
}

Query *
dyn_aggregates_below(Query *query)
{
	Query	   *inner = copyObject(query);
	Query	   *outer;
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	List	   *aggregates = NIL;
	List	   *names = NIL;
	Index		level = 0;
	ListCell   *lc;

	if (!dyn_does_more_than_aggregate(query) || query->cteList != NIL || level_walker((Node *) query->targetList, &level) ||
		level_walker(query->havingQual, &level))
		return query;
	inner->targetList = NIL;
	inner->havingQual = inner->limitCount = inner->limitOffset = NULL;
	inner->windowClause = inner->sortClause = inner->distinctClause = NIL;
	inner->hasWindowFuncs = inner->hasTargetSRFs = inner->hasDistinctOn = false;

	/* the rest reads their columns */
	outer = copyObject(query);
	outer->targetList = (List *) aggregate_mutator((Node *) outer->targetList, &aggregates);
	outer->windowClause = (List *) aggregate_mutator((Node *) outer->windowClause, &aggregates);
	outer->jointree = makeFromExpr(list_make1(ref), aggregate_mutator(outer->havingQual, &aggregates));
	outer->havingQual = NULL;
	outer->hasAggs = false;
	foreach(lc, aggregates)
	{
		int			no = foreach_current_index(lc) + 1;
		char	   *name = psprintf("c%d", no);

		inner->targetList = lappend(inner->targetList, makeTargetEntry(lfirst(lc), no, name, false));
		names = lappend(names, makeString(name));
	}
	IncrementVarSublevelsUp((Node *) inner, 1, 1);
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = inner;
	rte->eref = makeAlias("aggregates", names);
	rte->inFromCl = true;
	ref->rtindex = 1;
	outer->rtable = list_make1(rte);
	return outer;
}

/* Columns in place of aggregates, which are added to the list in *context. */
static Node *
aggregate_mutator(Node *node, void *context)
{
	List	  **aggregates = context;
	ListCell   *lc;
	int			no = 0;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Aggref))
		return expression_tree_mutator(node, aggregate_mutator, context);
	foreach(lc, *aggregates)
		if (equal(lfirst(lc), node))
			no = foreach_current_index(lc) + 1;
	if (no == 0)
	{
		*aggregates = lappend(*aggregates, copyObject(node));
		no = list_length(*aggregates);
	}
	return (Node *) makeVar(1, no, exprType(node), exprTypmod(node), exprCollation(node), 0);
}
