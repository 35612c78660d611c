/*
 * dyn_build_source.c
 *	  Sources of rows: relations.
 */
#include <postgres.h>

#include <access/table.h>
#include <catalog/pg_class.h>
#include <nodes/makefuncs.h>
#include <utils/lsyscache.h>

#include "capture/dyn_capture.h"
#include "compat/dyn_compat_planner.h"
#include "query/dyn_build.h"

static DynNode *scan_of(DynContext *ctx, RangeTblEntry *rte, bool partitioned);

DynNode *
dyn_build_scan(DynLevel *level, RangeTblEntry *rte)
{
	bool		partitioned = get_rel_relkind(rte->relid) == RELKIND_PARTITIONED_TABLE;
	DynNode    *scan = scan_of(level->ctx, rte, partitioned);

	/* it has no rows of its own */
	if (scan && partitioned && !rte->inh)
		return dyn_make_select(level->ctx, list_make1(scan), list_make1(makeBoolConst(false, false)),
							   dyn_column_vars(scan, 1));
	return scan;
}

static DynNode *
scan_of(DynContext *ctx, RangeTblEntry *rte, bool partitioned)
{
	DynEdge    *edge = NULL;
	const char *code;
	char	   *detail;
	DynNode    *node;
	Relation	rel;
	ListCell   *lc;
	int			i = 0;

	foreach(lc, ctx->scans)
		if (((DynNode *) lfirst(lc))->relid == rte->relid)
			return lfirst(lc);
	foreach(lc, ctx->sources)
		if (((DynEdge *) lfirst(lc))->source == rte->relid)
			edge = lfirst(lc);
	if (edge == NULL)
		elog(ERROR, "relation %u is not among the sources of its query", rte->relid);
	if (edge->kind == DYN_EDGE_FULL)
		return dyn_capture_possible(rte->relid, edge->columns, &code, &detail) ?
			dyn_refuse(ctx, "SOURCE_NOT_CAPTURED", "changes of \"%s\" cannot be captured", get_rel_name(rte->relid)) :
			dyn_refuse(ctx, code, "%s", detail);
	if (edge->kind == DYN_EDGE_DYNAMIC && get_attname(rte->relid, DYN_OWN_LOG_COLUMNS + 1, true))
		return dyn_refuse(ctx, "TOO_MANY_COLUMNS", "a log of the changes of \"%s\" can have %d of its columns",
						  get_rel_name(rte->relid), DYN_OWN_LOG_COLUMNS);
	if (rte->tablesample)
		return dyn_refuse(ctx, "TABLESAMPLE", "the query uses TABLESAMPLE, whose result is not determined");

	node = dyn_node_new(DYN_NODE_SCAN, list_length(edge->columns));
	node->relid = rte->relid;
	node->dynamic = edge->kind == DYN_EDGE_DYNAMIC;
	node->inherits = rte->inh || partitioned;
	node->attnums = edge->columns;
	node->shared = true;
	rel = table_open(rte->relid, NoLock);
	foreach(lc, edge->columns)
	{
		DynColumn  *column = &node->columns[i++];

		get_atttypetypmodcoll(rte->relid, lfirst_int(lc),
							  &column->type, &column->typmod, &column->collation);
		column->nullable = !dyn_compat_not_null(rel, lfirst_int(lc));
	}
	table_close(rel, NoLock);
	ctx->scans = lappend(ctx->scans, node);
	return node;
}
