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

void
dyn_check_cycle(Oid relid, const char *name, List *edges)
{
	List	   *pending = list_copy(edges);
	List	   *seen = NIL;

	while (pending != NIL)
	{
		DynEdge    *edge = linitial(pending);

		pending = list_delete_first(pending);
		if (edge->source == relid)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("dynamic table \"%s\" would read itself", name),
					 errdetail("Its query reads it, directly or through other dynamic tables or views.")));
		if (edge->kind != DYN_EDGE_DYNAMIC || list_member_oid(seen, edge->source))
			continue;
		seen = lappend_oid(seen, edge->source);
		pending = list_concat(pending, present_edges(edge->source));
	}
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
