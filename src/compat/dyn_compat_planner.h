/*
 * dyn_compat_planner.h
 *	  Differences between server versions in the parser's and planner's nodes.
 */
#ifndef DYN_COMPAT_PLANNER_H
#define DYN_COMPAT_PLANNER_H

#include <executor/executor.h>
#include <nodes/parsenodes.h>
#include <optimizer/optimizer.h>
#include <parser/parse_relation.h>
#include <utils/rel.h>

/*
 * flatten_join_alias_vars got a root argument in 16 (2489d76c4906), and in 18
 * grouping expressions hide behind a range-table entry of their own
 * (247dea89f761).
 */
static inline Node *
dyn_compat_flatten_aliases(Query *query, Node *node)
{
#if PG_VERSION_NUM >= 180000
	if (query->hasGroupRTE)
		node = flatten_group_exprs(NULL, query, node);
#endif
#if PG_VERSION_NUM >= 160000
	return flatten_join_alias_vars(NULL, query, node);
#else
	return flatten_join_alias_vars(query, node);
#endif
}

/* Permissions moved from range-table entries to a list of their own in 16 (a61b1f74823c). */
static inline void
dyn_compat_clear_permissions(Query *query)
{
#if PG_VERSION_NUM >= 160000
	ListCell   *lc;

	foreach(lc, query->rteperminfos)
		lfirst_node(RTEPermissionInfo, lc)->requiredPerms = 0;
#else
	ListCell   *lc;

	foreach(lc, query->rtable)
		lfirst_node(RangeTblEntry, lc)->requiredPerms = 0;
#endif
}

/* Leave nothing in one level of a query that tells who may read it. */
static inline void
dyn_compat_forget_permissions(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

#if PG_VERSION_NUM >= 160000
		rte->perminfoindex = 0;
#else
		rte->requiredPerms = 0;
		rte->checkAsUser = InvalidOid;
		rte->selectedCols = rte->insertedCols = rte->updatedCols = NULL;
#endif
	}
#if PG_VERSION_NUM >= 160000
	query->rteperminfos = NIL;
#endif
}

/* Raise an error unless the current user may read what one level of a query reads. */
static inline void
dyn_compat_check_permissions(Query *query)
{
#if PG_VERSION_NUM >= 160000
	(void) ExecCheckPermissions(query->rtable, query->rteperminfos, true);
#else
	(void) ExecCheckRTPerms(query->rtable, true);
#endif
}

/* ExecutorRun lost its execute_once argument in 18 (3eea7a0c97e9). */
static inline void
dyn_compat_executor_run(QueryDesc *desc)
{
#if PG_VERSION_NUM >= 180000
	ExecutorRun(desc, ForwardScanDirection, 0);
#else
	ExecutorRun(desc, ForwardScanDirection, 0, true);
#endif
}

/* The columns of a range-table entry, NULL for what was dropped; 18 can name OLD or NEW. */
static inline void
dyn_expand_rte(RangeTblEntry *rte, int rtindex, List **names, List **vars)
{
#if PG_VERSION_NUM >= 180000
	expandRTE(rte, rtindex, 0, VAR_RETURNING_DEFAULT, -1, true, names, vars);
#else
	expandRTE(rte, rtindex, 0, -1, true, names, vars);
#endif
}

/*
 * Whether a column is known to have no NULL.  Since 18 attnotnull tells of a
 * constraint too that has not been validated; the relation's own descriptor
 * knows better.
 */
static inline bool
dyn_compat_not_null(Relation rel, AttrNumber attnum)
{
#if PG_VERSION_NUM >= 180000
	return TupleDescCompactAttr(RelationGetDescr(rel), attnum - 1)->attnullability ==
		ATTNULLABLE_VALID;
#else
	return TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull;
#endif
}

/* In a rewritten query, make tables whose virtual columns are read subqueries that compute them. */
extern void dyn_compat_expand_virtual(Query *query);

#endif							/* DYN_COMPAT_PLANNER_H */
