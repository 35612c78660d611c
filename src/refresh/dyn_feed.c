/*
 * dyn_feed.c
 *	  The change feed of a dynamic table, for those who follow it.
 *
 * A table beside the dynamic table, made by dyntable_follow: the rows of each
 * refresh's delta as jsonb, so that it does not depend on the table's columns,
 * and for each refresh a mark (w = 0) with its data timestamp.  Changes after the oldest mark are all
 * there.  What is older than it is to be kept goes with the next refresh; when
 * the feed has outgrown dyntable.max_change_log it begins anew, and whoever had
 * not read so far finds out by its oldest mark.
 *
 * All here runs under the table's object lock.  Readers look under their own
 * snapshot; one that is older than a TRUNCATE finds no mark at all.
 */
#include <postgres.h>

#include <access/table.h>
#include <storage/bufmgr.h>
#include <storage/lmgr.h>
#include <utils/builtins.h>
#include <utils/rel.h>
#include <utils/timestamp.h>

#include "base/dyn_settings.h"
#include "refresh/dyn_evaluate.h"
#include "refresh/dyn_feed.h"

static char *
feed_name(Oid relid)
{
	return dyn_state_name(relid, DYN_FEED_STAGE);
}

/* Changes after this refresh follow. */
static void
mark(Oid relid, int64 refresh_no, TimestampTz data_timestamp)
{
	dyn_feed_mark(dyn_stage_get(relid, DYN_FEED_STAGE), refresh_no, data_timestamp);
}

void
dyn_feed_create(Oid relid, int64 refresh_no, TimestampTz data_timestamp)
{
	dyn_state_create(relid, DYN_FEED_STAGE,
					 list_make5("refresh_no pg_catalog.int8 NOT NULL", "data_timestamp pg_catalog.timestamptz",
								"w pg_catalog.int8 NOT NULL", "is_update pg_catalog.bool", "data pg_catalog.jsonb"));
	dyn_state_ddl(psprintf("CREATE INDEX ON %s (refresh_no)", feed_name(relid)));
	dyn_state_ddl(psprintf("CREATE INDEX ON %s (data_timestamp) WHERE w = 0", feed_name(relid)));
	mark(relid, refresh_no, data_timestamp);
}

static bool
outgrown(Oid feed)
{
	Relation	rel = table_open(feed, AccessShareLock);
	uint64		bytes = (uint64) RelationGetNumberOfBlocks(rel) * BLCKSZ;

	table_close(rel, NoLock);
	return dyn_max_change_log >= 0 && bytes > (uint64) dyn_max_change_log * 1024 * 1024;
}

/* Empty it, unless somebody is reading: then a later refresh does. */
static bool
empty(Oid relid, Oid feed)
{
	if (!ConditionalLockRelationOid(feed, AccessExclusiveLock))
		return false;
	dyn_state_ddl(psprintf("TRUNCATE %s", feed_name(relid)));
	return true;
}

/* SELECT of the names, each with its column of d, as one object. */
static char *
object(DynSink *sink)
{
	StringInfoData columns;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, sink->names)
		appendStringInfo(&columns, "%sd.c%d AS %s", columns.len ? ", " : "", foreach_current_index(lc) + 1,
						 (char *) lfirst(lc));
	return psprintf("(SELECT pg_catalog.to_jsonb(x) FROM (SELECT %s) x)", columns.data);
}

/* Whether a row stands for one of its key that was there and one that is. */
static char *
is_update(DynSink *sink)
{
	StringInfoData key;
	ListCell   *lc;

	if (sink->key == NIL)
		return "false";
	initStringInfo(&key);
	foreach(lc, sink->key)
		appendStringInfo(&key, "%sd.c%d", key.len ? ", " : "", lfirst_int(lc));
	return psprintf("pg_catalog.count(*) OVER (PARTITION BY %s) > 1", key.data);
}

void
dyn_feed_write(DynExecution *execution, DynSink *sink, DynRows *delta, int64 refresh_no,
			   TimestampTz data_timestamp)
{
	Oid			feed = dyn_stage_get(sink->relid, DYN_FEED_STAGE);
	int			ncolumns = list_length(sink->names);
	bool		exact = delta->placed || memchr(sink->identity, false, ncolumns) == NULL;
	char	   *rows = delta->name;
	DynRows    *stored = NULL;

	if (!OidIsValid(feed))
		return;
	if (outgrown(feed) && empty(sink->relid, feed))
		mark(sink->relid, refresh_no - 1, data_timestamp);
	dyn_feed_trim(sink->relid, feed, data_timestamp);

	/* a column of the time of writing is known to the stored row alone */
	dyn_rows_register(delta, execution->env);
	if (!exact && delta->minus > 0)
	{
		stored = dyn_apply_stored(execution, sink, delta);
		rows = psprintf("(SELECT w, %1$s FROM %2$s d WHERE d.w > 0 UNION ALL SELECT w, %1$s FROM %3$s d)",
						dyn_sql_columns("d", ncolumns), delta->name, stored->name);
	}
	dyn_execute(execution,
				psprintf("INSERT INTO %s (refresh_no, w, is_update, data) SELECT " INT64_FORMAT ", d.w, %s, %s FROM %s d",
						 feed_name(sink->relid), refresh_no, is_update(sink), object(sink), rows),
				NULL, NULL);
	if (stored)
		dyn_rows_end(stored);
	mark(sink->relid, refresh_no, data_timestamp);
}

void
dyn_feed_restart(Oid relid, int64 refresh_no, TimestampTz data_timestamp)
{
	Oid			feed = dyn_stage_get(relid, DYN_FEED_STAGE);

	if (!OidIsValid(feed))
		return;
	dyn_feed_clear(feed);
	mark(relid, refresh_no, data_timestamp);
}
