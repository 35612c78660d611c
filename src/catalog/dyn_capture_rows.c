/*
 * dyn_capture_rows.c
 *	  The rows that change capture alone writes: slot, source, identity; and
 *	  what it asks about edges and positions.
 *
 * Written by the capture worker and by registrars, each in transactions of its
 * own.  No user's transaction ever waits for these rows.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/pg_lsn.h>

#include "catalog/dyn_capture_rows.h"
#include "catalog/dyn_spi.h"

bool
dyn_slot_get(DynSlot *slot)
{
	static DynStatement select = {
		"SELECT name::text, generation, systemid, timeline, dboid, tablespace FROM dyntable.slot", 0, {0}
	};
	DynCall		call;
	bool		found;

	dyn_spi_begin(&call, &select, NULL, NULL);
	found = call.nrows == 1;
	if (found)
	{
		strlcpy(slot->name, dyn_spi_text(0, 1), NAMEDATALEN);
		slot->generation = dyn_spi_int8(0, 2);
		slot->systemid = (uint64) dyn_spi_int8(0, 3);
		slot->timeline = (uint32) dyn_spi_int8(0, 4);
		slot->dboid = dyn_spi_oid(0, 5);
		slot->tablespace = dyn_spi_oid(0, 6);
	}
	dyn_spi_end(&call);
	return found;
}

void
dyn_slot_store(const DynSlot *slot)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.slot (name, generation, systemid, timeline, dboid, cause, "
		"tablespace) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		7, {TEXTOID, INT8OID, INT8OID, INT8OID, OIDOID, TEXTOID, OIDOID}
	};
	char		nulls[7] = {' ', ' ', ' ', ' ', ' ', ' ', ' '};
	Datum		values[] = {
		CStringGetTextDatum(slot->name), Int64GetDatum(slot->generation),
		Int64GetDatum((int64) slot->systemid), Int64GetDatum((int64) slot->timeline),
		ObjectIdGetDatum(slot->dboid), dyn_text_value(slot->cause, &nulls[5]),
		ObjectIdGetDatum(slot->tablespace)
	};

	dyn_slot_forget();
	dyn_spi_run(&insert, values, nulls);
}

char *
dyn_slot_cause(void)
{
	static DynStatement select = {"SELECT cause FROM dyntable.slot", 0, {0}};
	DynCall		call;
	char	   *cause;

	dyn_spi_begin(&call, &select, NULL, NULL);
	cause = call.nrows == 1 ? dyn_spi_text(0, 1) : NULL;
	dyn_spi_end(&call);
	return cause;
}

void
dyn_slot_forget(void)
{
	static DynStatement delete = {"DELETE FROM dyntable.slot", 0, {0}};

	dyn_spi_run(&delete, NULL, NULL);
}

void
dyn_source_store(const DynSource *source)
{
	static DynStatement upsert = {
		"INSERT INTO dyntable.source (relid, log, columns, registered_lsn, old_identity, other_log) "
		"VALUES ($1, $2, $3, $4, $5, $6) "
		"ON CONFLICT (relid) DO UPDATE SET columns = excluded.columns",
		6, {OIDOID, OIDOID, INT2ARRAYOID, PG_LSNOID, CHAROID, OIDOID}
	};
	Datum		values[] = {
		ObjectIdGetDatum(source->relid), ObjectIdGetDatum(source->log),
		dyn_int2_array_value(source->columns), LSNGetDatum(source->registered_lsn),
		CharGetDatum(source->old_identity), ObjectIdGetDatum(source->other_log)
	};

	dyn_spi_run(&upsert, values, NULL);
}

void
dyn_source_forget(Oid relid)
{
	static DynStatement delete = {
		"DELETE FROM dyntable.source WHERE relid = $1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	dyn_spi_run(&delete, values, NULL);
}

void
dyn_identity_store(Oid relid, char identity)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.identity (relid, old_identity) VALUES ($1, $2) "
		"ON CONFLICT (relid) DO UPDATE SET old_identity = excluded.old_identity", 2, {OIDOID, CHAROID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), CharGetDatum(identity)};

	dyn_spi_run(&insert, values, NULL);
}

char
dyn_identity_get(Oid relid)
{
	static DynStatement select = {
		"SELECT old_identity FROM dyntable.identity WHERE relid = $1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	DynCall		call;
	char		identity = '\0';

	dyn_spi_begin(&call, &select, values, NULL);
	if (call.nrows > 0)
	{
		bool		isnull;

		identity = DatumGetChar(dyn_spi_datum(0, 1, &isnull));
	}
	dyn_spi_end(&call);
	return identity;
}

void
dyn_identity_forget(Oid relid)
{
	static DynStatement delete = {
		"DELETE FROM dyntable.identity WHERE relid = $1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	dyn_spi_run(&delete, values, NULL);
}

List *
dyn_identities_all(void)
{
	static DynStatement select = {"SELECT relid FROM dyntable.identity ORDER BY relid", 0, {0}};

	return dyn_spi_oids(&select, NULL);
}

List *
dyn_identities_left(void)
{
	static DynStatement select = {
		"SELECT i.relid FROM dyntable.identity i WHERE NOT EXISTS ("
		"SELECT FROM dyntable.source s WHERE s.relid = i.relid) AND NOT EXISTS ("
		"SELECT FROM pg_partition_ancestors(i.relid) a JOIN dyntable.source s ON s.relid = a.relid) "
		"ORDER BY i.relid", 0, {0}
	};

	return dyn_spi_oids(&select, NULL);
}

bool
dyn_capture_needed(void)
{
	static DynStatement select = {
		"SELECT 1 WHERE EXISTS (SELECT FROM dyntable.edge WHERE kind = 'b') "
		"OR EXISTS (SELECT FROM dyntable.source) OR EXISTS (SELECT FROM dyntable.tracked)", 0, {0}
	};

	return dyn_spi_run(&select, NULL, NULL) > 0;
}

/*
 * Columns of all edges together; a source whose table is gone is no business
 * of capture any more.
 */
List *
dyn_sources_missing(void)
{
	static DynStatement select = {
		"SELECT e.source, coalesce(array_agg(DISTINCT c.no) FILTER (WHERE c.no IS NOT NULL), '{}') "
		"FROM (SELECT source, kind, columns FROM dyntable.edge "
		"UNION ALL SELECT source, 'b', '{}' FROM dyntable.tracked) e JOIN pg_class r ON r.oid = e.source "
		"CROSS JOIN LATERAL (SELECT array(SELECT a.attnum FROM pg_attribute a "
		"WHERE a.attrelid = e.source AND a.attnum = ANY (e.columns) AND NOT a.attisdropped)) l(columns) "
		"LEFT JOIN LATERAL unnest(l.columns) c(no) ON true "
		"WHERE e.kind = 'b' AND NOT EXISTS ("
		"SELECT FROM dyntable.source s WHERE s.relid = e.source AND s.columns @> e.columns) "
		"AND NOT EXISTS ("
		"SELECT FROM dyntable.source s WHERE s.relid = e.source AND s.columns @> l.columns) "
		"GROUP BY e.source ORDER BY e.source", 0, {0}
	};
	DynCall		call;
	List	   *sources = NIL;

	dyn_spi_begin(&call, &select, NULL, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
	{
		DynSource  *source = palloc0(sizeof(DynSource));

		source->relid = dyn_spi_oid(row, 1);
		source->columns = dyn_spi_int2_list(row, 2);
		sources = lappend(sources, source);
	}
	dyn_spi_end(&call);
	return sources;
}

List *
dyn_sources_unread(void)
{
	static DynStatement select = {
		"SELECT s.relid FROM dyntable.source s WHERE NOT EXISTS ("
		"SELECT FROM dyntable.edge e WHERE e.source = s.relid AND e.kind = 'b') AND NOT EXISTS ("
		"SELECT FROM dyntable.tracked t JOIN pg_class c ON c.oid = t.source WHERE t.source = s.relid) "
		"ORDER BY s.relid", 0, {0}
	};

	return dyn_spi_oids(&select, NULL);
}

List *
dyn_log_readers(Oid source, int64 generation)
{
	static DynStatement select = {
		"SELECT e.relid, p.snapshot::text, "
		"p.populated AND p.generation = $2 AND p.reinit_reason IS NULL AND p.snapshot IS NOT NULL "
		"FROM dyntable.edge e JOIN dyntable.position p USING (relid) "
		"WHERE e.source = $1 AND e.kind = 'b' ORDER BY e.relid", 2, {OIDOID, INT8OID}
	};
	Datum		values[] = {ObjectIdGetDatum(source), Int64GetDatum(generation)};
	DynCall		call;
	List	   *readers = NIL;

	dyn_spi_begin(&call, &select, values, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
	{
		DynReader  *reader = palloc0(sizeof(DynReader));
		char	   *snapshot = dyn_spi_text(row, 2);

		reader->relid = dyn_spi_oid(row, 1);
		reader->snapshot = snapshot ? dyn_snapshot_from_text(snapshot) : NULL;
		reader->waits = dyn_spi_bool(row, 3);
		readers = lappend(readers, reader);
	}
	dyn_spi_end(&call);
	return readers;
}

bool
dyn_position_let_go(Oid relid, const char *reason)
{
	static DynStatement update = {
		"UPDATE dyntable.position SET reinit_reason = $2 WHERE relid = ("
		"SELECT relid FROM dyntable.position WHERE relid = $1 FOR UPDATE SKIP LOCKED)",
		2, {OIDOID, TEXTOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), CStringGetTextDatum(reason)};

	return dyn_spi_run(&update, values, NULL) > 0;
}
