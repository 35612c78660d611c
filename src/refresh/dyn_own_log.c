/*
 * dyn_own_log.c
 *	  The log of a dynamic table's own delta.
 *
 * What the dynamic tables above read: the rows of each refresh with their
 * weights, under the refresh's number.  It is made when the first of them
 * appears and goes when a refresh finds none any more.  A row stays until all
 * have read it; when the log has outgrown dyntable.max_change_log, whoever is
 * furthest behind is left to be initialised again.
 *
 * All here runs under the table's object lock, which every run holds that
 * reads the log: nobody reads it meanwhile, and no position of a reader moves.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <storage/bufmgr.h>
#include <storage/lmgr.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "base/dyn_settings.h"
#include "refresh/dyn_own_log.h"

#define LET_GO_REASON "the log of an upstream table passed dyntable.max_change_log"

static void discard_read(DynExecution *execution, Oid relid, int64 refresh_no);
static bool outgrown(Oid log);
static void rewrite(DynExecution *execution, Oid relid, Oid log);

char *
dyn_own_log_name(Oid relid)
{
	return dyn_state_name(relid, 0);
}

void
dyn_own_log_ensure(Oid relid)
{
	Relation	rel;
	List	   *columns = list_make2("refresh_no pg_catalog.int8", "w pg_catalog.int8");

	if (OidIsValid(dyn_stage_get(relid, 0)))
		return;
	/* those above it are computed in full, see build_scan */
	if (get_attname(relid, DYN_OWN_LOG_COLUMNS + 1, true))
		return;
	rel = table_open(relid, AccessShareLock);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		int32		typmod = att->atttypmod;
		Oid			type;

		if (att->attisdropped)
			continue;
		/* as in a change log: old values need not meet a domain's new constraint */
		type = getBaseTypeAndTypmod(att->atttypid, &typmod);
		columns = lappend(columns, dyn_state_column(psprintf("c%d", att->attnum), type, typmod,
													att->attcollation));
	}
	table_close(rel, NoLock);
	dyn_state_create(relid, 0, columns);
	dyn_state_ddl(psprintf("CREATE INDEX ON %s (refresh_no)", dyn_own_log_name(relid)));
}

/*
 * Write the delta that a refresh is about to apply.  A retraction must name
 * the row as it is stored: where the table has columns of the time of writing,
 * the delta does not know them.
 */
void
dyn_own_log_write(DynExecution *execution, DynSink *sink, DynRows *delta, int64 refresh_no)
{
	Oid			log = dyn_stage_get(sink->relid, 0);
	int			ncolumns = list_length(sink->names);
	StringInfoData names;
	char	   *columns = dyn_sql_columns("d", ncolumns);
	bool		exact = delta->placed || memchr(sink->identity, false, ncolumns) == NULL;
	char	   *insert;
	Relation	rel;

	if (!OidIsValid(log))
		return;
	if (dyn_readers_of(sink->relid) == NIL)
	{
		dyn_stage_drop(sink->relid, log);
		return;
	}
	discard_read(execution, sink->relid, refresh_no);
	if (outgrown(log) &&
		dyn_edge_let_go(sink->relid, refresh_no - 1, LET_GO_REASON))
	{
		discard_read(execution, sink->relid, refresh_no);
		rewrite(execution, sink->relid, log);
	}

	initStringInfo(&names);
	rel = table_open(sink->relid, NoLock);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			appendStringInfo(&names, ", c%d", i + 1);
	table_close(rel, NoLock);
	insert = psprintf("INSERT INTO %s (refresh_no, w%s) SELECT $1, d.w, %s FROM",
					  dyn_own_log_name(sink->relid), names.data, columns);
	execution->number = refresh_no;
	dyn_rows_register(delta, execution->env);
	dyn_execute(execution, psprintf("%s %s d%s", insert, delta->name, exact ? "" : " WHERE d.w > 0"),
				NULL, NULL);
	if (!exact && delta->minus > 0)
	{
		DynRows    *stored = dyn_apply_stored(execution, sink, delta);

		dyn_execute(execution, psprintf("%s %s d", insert, stored->name), NULL, NULL);
		dyn_rows_end(stored);
	}
}

/* Rows that everybody has read who will read on from where it stands. */
static void
discard_read(DynExecution *execution, Oid relid, int64 refresh_no)
{
	int			level = NewGUCNestLevel();

	/* a bitmap scan passes what was discarded before each time, and marks none of it as dead in the index */
	(void) set_config_option("enable_bitmapscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	execution->number = dyn_edge_min_refresh_no(relid, refresh_no - 1);
	/* without statistics a range is taken for a small part of the table, an open end for a third */
	dyn_execute(execution,
				psprintf("DELETE FROM %s WHERE refresh_no > 0 AND refresh_no <= $1", dyn_own_log_name(relid)),
				NULL, NULL);
	AtEOXact_GUC(false, level);
}

static bool
outgrown(Oid log)
{
	Relation	rel;
	uint64		bytes;

	if (dyn_max_change_log < 0)
		return false;
	rel = table_open(log, AccessShareLock);
	bytes = (uint64) RelationGetNumberOfBlocks(rel) * BLCKSZ;
	table_close(rel, NoLock);
	return bytes > (uint64) dyn_max_change_log * 1024 * 1024;
}

/*
 * Give back the room of what was discarded, or the log would look outgrown
 * until vacuum has been there.  Somebody who dumps the table now can keep us
 * from it: then the next refresh tries again.
 */
static void
rewrite(DynExecution *execution, Oid relid, Oid log)
{
	Relation	rel;
	DynRows    *kept;
	char	   *name = dyn_own_log_name(relid);

	if (!ConditionalLockRelationOid(log, AccessExclusiveLock))
		return;
	rel = table_open(log, NoLock);
	kept = dyn_execute_rows(execution, "x_log", psprintf("SELECT * FROM %s", name),
							CreateTupleDescCopy(RelationGetDescr(rel)), NULL);
	table_close(rel, NoLock);
	dyn_state_ddl(psprintf("TRUNCATE %s", name));
	dyn_execute(execution, psprintf("INSERT INTO %s SELECT * FROM %s", name, kept->name), NULL, NULL);
	dyn_rows_end(kept);
}
