/*
 * dyn_rename.c
 *	  Columns that only get another name.
 *
 * A column of the new query that is, expression for expression, one of the
 * present query is that column under another name: it is renamed, as ALTER TABLE
 * would, so that views, indexes and dynamic tables that use it follow.
 * Whatever else has another name is another column.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/pg_class.h>
#include <commands/tablecmds.h>
#include <nodes/makefuncs.h>
#include <utils/lsyscache.h>

#include "command/dyn_rename.h"
#include "refresh/dyn_refresh.h"

/* Do both read the same, so that equal expressions over it mean the same? */
static bool
same_inputs(Query *a, Query *b)
{
	ListCell   *la;
	ListCell   *lb;

	if (list_length(a->rtable) != list_length(b->rtable) || a->setOperations || b->setOperations)
		return false;
	forboth(la, a->rtable, lb, b->rtable)
	{
		RangeTblEntry *ra = lfirst_node(RangeTblEntry, la);
		RangeTblEntry *rb = lfirst_node(RangeTblEntry, lb);

		if (ra->rtekind != rb->rtekind || ra->relid != rb->relid || !equal(ra->subquery, rb->subquery) ||
			!equal(ra->functions, rb->functions) || !equal(ra->values_lists, rb->values_lists) ||
			ra->jointype != rb->jointype)
			return false;
	}
	return equal(a->cteList, b->cteList);
}

static TargetEntry *
named(Query *query, const char *name)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk && strcmp(lfirst_node(TargetEntry, lc)->resname, name) == 0)
			return lfirst(lc);
	return NULL;
}

/* The present column that an entry of the new query is, or NULL: one whose name is free. */
static TargetEntry *
same_column(Query *present, Query *query, TargetEntry *entry)
{
	ListCell   *lc;

	foreach(lc, present->targetList)
	{
		TargetEntry *candidate = lfirst_node(TargetEntry, lc);

		if (!candidate->resjunk && equal(candidate->expr, entry->expr) &&
			named(query, candidate->resname) == NULL)
			return candidate;
	}
	return NULL;
}

static void
rename_one(Oid relid, const char *from, const char *to)
{
	RenameStmt *statement = makeNode(RenameStmt);

	dyn_lock_against_readers(relid, "A column of its query has got another name.");
	statement->renameType = OBJECT_COLUMN;
	statement->relationType = OBJECT_TABLE;
	statement->relation = makeRangeVar(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid), -1);
	statement->subname = pstrdup(from);
	statement->newname = pstrdup(to);
	statement->behavior = DROP_RESTRICT;
	renameatt(statement);
	CommandCounterIncrement();
}

void
dyn_rename_columns(const DynTable *table, Query *query)
{
	Query	   *present;
	List	   *taken = NIL;
	ListCell   *lc;

	if (!dyn_tree_readable(table))
		return;
	present = castNode(Query, stringToNode(table->tree));

	/* trees of the catalog have no positions in their text */
	query = castNode(Query, stringToNode(nodeToString(query)));
	if (!same_inputs(present, query))
		return;
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		TargetEntry *before;

		if (entry->resjunk || named(present, entry->resname) != NULL)
			continue;
		before = same_column(present, query, entry);
		if (before == NULL || list_member_ptr(taken, before))
			continue;
		taken = lappend(taken, before);
		rename_one(table->relid, before->resname, entry->resname);
	}
}
