/*
 * dyn_cycle.c
 *	  No dynamic table may read itself, directly or by way of others.
 *
 * The edges in the catalog are those of the last refresh.  A view that has
 * been replaced since then changes what the tables over it read, so a new
 * query is followed along the definitions themselves.
 */
#include <postgres.h>

#include <access/table.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <miscadmin.h>
#include <rewrite/rewriteHandler.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "catalog/dyn_catalog.h"
#include "command/dyn_cycle.h"
#include "query/dyn_query.h"

/* What a dynamic table reads today. */
static List *
present_edges(Oid relid)
{
	DynTable   *table = dyn_table_get(relid, false);

	/* A tree of another server is analysed anew at the next refresh. */
	if (!dyn_tree_readable(table))
		return dyn_edges_of(relid);
	return dyn_query_sources(castNode(Query, stringToNode(table->tree)));
}

/* The way from a table to what it reads in the end, as "a" -> "b" -> "a". */
static char *
path_text(const char *name, const List *path)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	appendStringInfo(&text, "\"%s\"", name);
	foreach(cell, path)
		appendStringInfo(&text, " -> \"%s\"", get_rel_name(lfirst_oid(cell)));
	appendStringInfo(&text, " -> \"%s\"", name);
	return text.data;
}

/* Follow what is read; path: the dynamic tables that lead here, seen: those that lead nowhere else. */
static void
follow(Oid relid, const char *name, List *edges, List **path, List **seen)
{
	ListCell   *cell;

	check_stack_depth();
	foreach(cell, edges)
	{
		DynEdge    *edge = lfirst(cell);

		if (edge->source == relid)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("dynamic table \"%s\" would read itself: %s", name, path_text(name, *path)),
					 errdetail("Its query reads it, directly or through other dynamic tables or views.")));
		if (edge->kind != DYN_EDGE_DYNAMIC || list_member_oid(*seen, edge->source))
			continue;
		*seen = lappend_oid(*seen, edge->source);
		*path = lappend_oid(*path, edge->source);
		follow(relid, name, present_edges(edge->source), path, seen);
		*path = list_delete_last(*path);
	}
}

void
dyn_check_cycle(Oid relid, const char *name, List *edges)
{
	List	   *path = NIL;
	List	   *seen = NIL;

	follow(relid, name, edges, &path, &seen);
}

void
dyn_check_view_cycle(RangeVar *view)
{
	Oid			relid;
	Relation	relation;
	List	   *edges;
	ListCell   *cell;

	if (!OidIsValid(dyn_extension_oid()))
		return;
	relid = RangeVarGetRelid(view, NoLock, true);
	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_VIEW)
		return;
	relation = table_open(relid, AccessShareLock);
	edges = dyn_query_sources(get_view_query(relation));
	table_close(relation, NoLock);
	foreach(cell, edges)
	{
		DynEdge    *edge = lfirst(cell);

		if (edge->kind == DYN_EDGE_DYNAMIC)
			dyn_check_cycle(edge->source, get_rel_name(edge->source),
							present_edges(edge->source));
	}
}
