/*
 * dyn_schedule_rows.c
 *	  What the scheduler reads and writes of dyntable's tables.
 *
 * Definitions are read all at once and rarely; positions of a few tables
 * before and after each run.  Failure accounting changes only the columns it
 * is about, so that it does not undo what a refresh committed meanwhile.
 */
#include <postgres.h>

#include <catalog/pg_extension.h>
#include <catalog/pg_type.h>
#include <storage/lmgr.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/timestamp.h>

#include "base/dyn_notify.h"
#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

/*
 * A table is still when the same sources always give the same result, however
 * late it is: maintained incrementally from captured sources, and nothing in
 * its query looks at the clock.  1299, 2647, 2648 and 2649 are now(),
 * transaction_timestamp(), statement_timestamp() and clock_timestamp().  What
 * views hide is not looked at: a query over views is not still, nor is one over a
 * dynamic table that is read as it stands.
 */
#define IS_STILL \
	"t.incremental AND t.tree !~ ':funcid (1299|2647|2648|2649) |SQLVALUEFUNCTION|:relkind v'" \
	" AND NOT EXISTS (SELECT FROM dyntable.edge e WHERE e.relid = t.relid AND e.kind = 'f')" \
	" AND NOT EXISTS (SELECT FROM dyntable.edge e WHERE e.relid = t.relid AND e.kind = 'd'" \
	" AND NOT EXISTS (SELECT FROM dyntable.pull p WHERE p.relid = e.relid AND p.source = e.source))"

/* The longest of the last few real refreshes, in microseconds. */
#define EXPECTED_DURATION \
	"(SELECT (extract(epoch FROM max(h.ended - h.started)) * 1000000)::int8" \
	" FROM (SELECT h.started, h.ended FROM dyntable.history h" \
	" WHERE h.relid = t.relid AND h.state = 'SUCCEEDED' AND h.action <> 'NO_DATA'" \
	" ORDER BY h.id DESC LIMIT 5) h)"

/*
 * DROP EXTENSION locks the extension before anything else, so that to hold a
 * lock on it cannot deadlock with it, and our tables do not go one by one
 * while we read them.
 */
bool
dyn_extension_hold(void)
{
	Oid			extension = dyn_extension_oid();

	if (!OidIsValid(extension))
		return false;
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	return dyn_extension_oid() == extension;
}

/* Refresh workers run as this role. */
Oid
dyn_extension_owner(void)
{
	static DynStatement select = {
		"SELECT extowner FROM pg_catalog.pg_extension WHERE extname = 'dyntable'", 0
	};
	DynCall		call;
	Oid			owner;

	dyn_spi_begin(&call, &select, NULL, NULL);
	owner = call.nrows > 0 ? dyn_spi_oid(0, 1) : InvalidOid;
	dyn_spi_end(&call);
	return owner;
}

List *
dyn_schedule_rows(void)
{
	static DynStatement select = {
		"SELECT t.relid::oid, coalesce((extract(epoch FROM t.target_lag) * 1000000)::int8, 0),"
		" t.schedule, t.warehouse, w.suspended AND NOT w.auto_resume, t.initialization_warehouse,"
		" coalesce(i.suspended AND NOT i.auto_resume, false), t.state = 'SUSPENDED', " IS_STILL ","
		" p.populated, p.data_timestamp, p.reinit_reason IS NOT NULL, p.failures, p.retry_at,"
		" coalesce(" EXPECTED_DURATION ", 0), t.xmin::text::int8"
		" FROM dyntable.dynamic_table t JOIN dyntable.position p ON p.relid = t.relid"
		" JOIN dyntable.warehouse w ON w.name = t.warehouse"
		" LEFT JOIN dyntable.warehouse i ON i.name = t.initialization_warehouse"
		" ORDER BY 1", 0
	};
	DynCall		call;
	List	   *rows = NIL;

	dyn_spi_begin(&call, &select, NULL, NULL);
	for (uint64 i = 0; i < call.nrows; i++)
	{
		DynScheduleRow *row = palloc0(sizeof(DynScheduleRow));

		row->relid = dyn_spi_oid(i, 1);
		row->lag = dyn_spi_int8(i, 2);
		row->schedule = dyn_spi_text(i, 3);
		row->warehouse = dyn_spi_text(i, 4);
		row->held = dyn_spi_bool(i, 5);
		row->initial_warehouse = dyn_spi_text(i, 6);
		row->initial_held = dyn_spi_bool(i, 7);
		row->suspended = dyn_spi_bool(i, 8);
		row->still = dyn_spi_bool(i, 9);
		row->populated = dyn_spi_bool(i, 10);
		row->data_timestamp = dyn_spi_timestamp(i, 11);
		row->reinitialise = dyn_spi_bool(i, 12);
		row->failures = dyn_spi_int4(i, 13);
		row->retry_at = dyn_spi_timestamp(i, 14);
		row->duration = dyn_spi_int8(i, 15);
		row->version = dyn_spi_int8(i, 16);
		rows = lappend(rows, row);
	}
	dyn_spi_end(&call);
	return rows;
}

static Datum
oid_array_value(const List *relids)
{
	Datum	   *elements = palloc(sizeof(Datum) * (list_length(relids) + 1));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, relids)
		elements[count++] = ObjectIdGetDatum(lfirst_oid(cell));
	return PointerGetDatum(construct_array(elements, count, OIDOID, sizeof(Oid), true,
										   TYPALIGN_INT));
}

/* As dyn_schedule_rows, but only what a refresh moves. */
List *
dyn_schedule_positions(const List *relids)
{
	static DynStatement select = {
		"SELECT relid, populated, data_timestamp, reinit_reason IS NOT NULL, failures, retry_at"
		" FROM dyntable.position WHERE relid = ANY ($1)", 1, {OIDARRAYOID}
	};
	Datum		values[] = {oid_array_value(relids)};
	DynCall		call;
	List	   *rows = NIL;

	dyn_spi_begin(&call, &select, values, NULL);
	for (uint64 i = 0; i < call.nrows; i++)
	{
		DynScheduleRow *row = palloc0(sizeof(DynScheduleRow));

		row->relid = dyn_spi_oid(i, 1);
		row->populated = dyn_spi_bool(i, 2);
		row->data_timestamp = dyn_spi_timestamp(i, 3);
		row->reinitialise = dyn_spi_bool(i, 4);
		row->failures = dyn_spi_int4(i, 5);
		row->retry_at = dyn_spi_timestamp(i, 6);
		rows = lappend(rows, row);
	}
	dyn_spi_end(&call);
	return rows;
}

/* Under the active snapshot; DT_NOBEGIN before the first fill and for no dynamic table. */
TimestampTz
dyn_position_data_timestamp(Oid relid)
{
	List	   *rows = dyn_schedule_positions(list_make1_oid(relid));

	return rows == NIL ? DT_NOBEGIN : ((DynScheduleRow *) linitial(rows))->data_timestamp;
}

List *
dyn_schedule_edges(void)
{
	static DynStatement select = {
		"SELECT e.relid, e.source, e.kind = 'd', p.relid IS NOT NULL FROM dyntable.edge e"
		" LEFT JOIN dyntable.pull p USING (relid, source) ORDER BY 1, 2", 0
	};
	DynCall		call;
	List	   *edges = NIL;

	dyn_spi_begin(&call, &select, NULL, NULL);
	for (uint64 i = 0; i < call.nrows; i++)
	{
		DynScheduleEdge *edge = palloc0(sizeof(DynScheduleEdge));

		edge->relid = dyn_spi_oid(i, 1);
		edge->source = dyn_spi_oid(i, 2);
		edge->dynamic = dyn_spi_bool(i, 3);
		edge->pulls = dyn_spi_bool(i, 4);
		edges = lappend(edges, edge);
	}
	dyn_spi_end(&call);
	return edges;
}

/* DT_NOBEGIN: at any time. */
TimestampTz
dyn_position_retry_at(Oid relid)
{
	List	   *rows = dyn_schedule_positions(list_make1_oid(relid));

	return rows == NIL ? DT_NOBEGIN : ((DynScheduleRow *) linitial(rows))->retry_at;
}

int
dyn_position_failed(Oid relid, bool counted)
{
	static DynStatement update = {
		"UPDATE dyntable.position SET failures = failures + $2::int"
		" WHERE relid = $1 RETURNING failures", 2, {OIDOID, BOOLOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), BoolGetDatum(counted)};
	DynCall		call;
	int			failures = 0;

	dyn_spi_begin(&call, &update, values, NULL);
	if (call.nrows > 0)
		failures = dyn_spi_int4(0, 1);
	dyn_spi_end(&call);
	return failures;
}

void
dyn_position_retry(Oid relid, TimestampTz retry_at)
{
	static DynStatement update = {
		"UPDATE dyntable.position SET retry_at = $2 WHERE relid = $1", 2, {OIDOID, TIMESTAMPTZOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), TimestampTzGetDatum(retry_at)};

	dyn_spi_run(&update, values, NULL);
}

/* Suspend a table and all active ones downstream of it because of its failures. */
void
dyn_table_suspend_failed(Oid relid)
{
	static DynStatement update = {
		"WITH RECURSIVE down (relid) AS ("
		" SELECT $1 UNION SELECT e.relid FROM dyntable.pull e JOIN down d ON e.source = d.relid)"
		" UPDATE dyntable.dynamic_table t SET state = 'SUSPENDED', state_code ="
		" CASE WHEN t.relid = $1 THEN 'SUSPENDED_DUE_TO_ERRORS'"
		" ELSE 'UPSTREAM_SUSPENDED_DUE_TO_ERRORS' END, state_by = NULL, suspended_on = clock_timestamp()"
		" FROM down d WHERE t.relid = d.relid AND t.state = 'ACTIVE' RETURNING t.relid::oid", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	ListCell   *cell;

	foreach(cell, dyn_spi_oids(&update, values))
	{
		dyn_version_note(lfirst_oid(cell));
		dyn_notify("suspended", lfirst_oid(cell),
				   psprintf(", \"code\": \"%sSUSPENDED_DUE_TO_ERRORS\"",
							lfirst_oid(cell) == relid ? "" : "UPSTREAM_"));
	}
}

/* Forget a bounded number of refreshes that ended before; the last one of each table stays. */
uint64
dyn_history_purge(TimestampTz before)
{
	static DynStatement delete = {
		"DELETE FROM dyntable.history WHERE id IN ("
		" SELECT h.id FROM dyntable.history h WHERE h.ended < $1 AND EXISTS ("
		" SELECT FROM dyntable.history n WHERE n.relid = h.relid AND n.id > h.id)"
		" ORDER BY h.ended LIMIT 10000)", 1, {TIMESTAMPTZOID}
	};
	Datum		values[] = {TimestampTzGetDatum(before)};

	return dyn_spi_run(&delete, values, NULL);
}
