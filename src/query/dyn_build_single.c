/*
 * dyn_build_single.c
 *	  Subqueries whose value is wanted, as queries that return one row.
 *
 * The queries are rewritten here and not built (dyn_build_sublink.c).
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parse_func.h>
#include <rewrite/rewriteManip.h>
#include <utils/array.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>

#include "compat/dyn_compat_planner.h"
#include "query/dyn_build.h"
#include "query/dyn_make.h"

/* Aggregates without GROUP BY, or LIMIT 1. */
bool
dyn_query_at_most_one(Query *query)
{
	if (query->hasTargetSRFs && query->limitCount == NULL)
		return false;
	if (query->hasAggs && query->groupClause == NIL && query->groupingSets == NIL)
		return true;
	return query->limitOption == LIMIT_OPTION_COUNT &&
		(dyn_constant_limit(query->limitCount) == 0 || dyn_constant_limit(query->limitCount) == 1);
}

static Oid
our_function(const char *name, int nargs, Oid second)
{
	Oid			types[2] = {ANYELEMENTOID, second};

	return LookupFuncName(list_make2(makeString("dyntable"), makeString(pstrdup(name))), nargs, types, false);
}

/* The query as one row: any of its rows, and how many there are. */
Query *
dyn_query_counted(Query *query)
{
	List	   *targets = NIL;
	ListCell   *lc;

	if (!dyn_query_plain(query))
		query = dyn_query_wrap(query);
	query->sortClause = NIL;
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (!entry->resjunk)
			targets = lappend(targets,
							  makeTargetEntry((Expr *) dyn_make_aggregate(our_function("any_of", 1, InvalidOid),
																		  exprType((Node *) entry->expr),
																		  (Node *) entry->expr, NULL),
											  list_length(targets) + 1, NULL, false));
	}
	query->targetList = lappend(targets,
								makeTargetEntry((Expr *) dyn_make_aggregate(F_COUNT_, INT8OID, NULL, NULL),
												list_length(targets) + 1, NULL, false));
	query->hasAggs = true;
	return query;
}

/* The columns of dyn_query_counted, which raise an error when there are several rows. */
List *
dyn_query_only_row(List *columns)
{
	List	   *result = NIL;
	int			n = list_length(columns) - 1;
	ListCell   *lc;

	foreach(lc, columns)
	{
		Node	   *value = lfirst(lc);

		if (foreach_current_index(lc) == n)
			break;
		result = lappend(result,
						 makeFuncExpr(our_function("only_row", 2, INT8OID), exprType(value),
									  list_make2(value, list_nth(columns, n)), exprCollation(value),
									  exprCollation(value), COERCE_EXPLICIT_CALL));
	}
	return result;
}

/* ARRAY(SELECT x ... ORDER BY y): coalesce(array_agg(x ORDER BY y), '{}') */
Query *
dyn_query_as_array(Query *query)
{
	TargetEntry *element;
	Aggref	   *ref;
	CoalesceExpr *value = makeNode(CoalesceExpr);
	Oid			type;
	ListCell   *lc;

	if (!dyn_query_plain(query))
		query = dyn_query_wrap(query);
	element = linitial_node(TargetEntry, query->targetList);
	type = exprType((Node *) element->expr);
	ref = dyn_make_aggregate(OidIsValid(get_element_type(type)) ? F_ARRAY_AGG_ANYARRAY : F_ARRAY_AGG_ANYNONARRAY,
							 get_promoted_array_type(type), (Node *) element->expr, NULL);
	ref->args = copyObject(query->targetList);
	foreach(lc, ref->args)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
	ref->aggorder = query->sortClause;
	value->coalescetype = ref->aggtype;
	value->coalescecollid = ref->aggcollid;
	value->args = list_make2(ref, makeConst(ref->aggtype, -1, ref->aggcollid, -1,
											PointerGetDatum(construct_empty_array(get_element_type(ref->aggtype))),
											false, false));
	value->location = -1;
	query->targetList = list_make1(makeTargetEntry((Expr *) value, 1, pstrdup("array"), false));
	query->sortClause = NIL;
	query->hasAggs = true;
	return query;
}

Query *
dyn_query_wrap(Query *query)
{
	Query	   *outer = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell   *lc;
	int			column = 0;

	query = dyn_flatten_join_aliases(query);
	IncrementVarSublevelsUp((Node *) query, 1, 1);
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->eref = makeAlias("s", NIL);
	rte->inFromCl = true;
	ref->rtindex = 1;
	outer->commandType = CMD_SELECT;
	outer->canSetTag = true;
	outer->rtable = list_make1(rte);
	outer->jointree = makeFromExpr(list_make1(ref), NULL);
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		TargetEntry *above;

		column++;
		above = makeTargetEntry((Expr *) makeVar(1, column, exprType((Node *) entry->expr),
												 exprTypmod((Node *) entry->expr),
												 exprCollation((Node *) entry->expr), 0),
								column, entry->resname, entry->resjunk);
		above->ressortgroupref = entry->ressortgroupref;
		entry->resjunk = false;
		rte->eref->colnames = lappend(rte->eref->colnames, makeString(psprintf("c%d", column)));
		outer->targetList = lappend(outer->targetList, above);
	}
	outer->sortClause = copyObject(query->sortClause);
	return outer;
}
