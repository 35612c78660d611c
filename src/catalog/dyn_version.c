/*
 * dyn_version.c
 *	  dyntable.version: what each dynamic table was, and when.
 *
 * A row for each time that its name, query, inputs, lag, warehouse or state
 * were others, valid from and to.  Whoever changes one of them calls
 * dyn_version_note, which compares; what one transaction does is one version.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

#define COLUMNS(alias) \
	alias ".name, " alias ".schema_name, " alias ".query, " alias ".target_lag, " alias ".schedule, " \
	alias ".warehouse, " alias ".state, " alias ".state_code, " alias ".suspended_on, " \
	alias ".resumed_on, " alias ".inputs"

/* What happened between version o and what is now, n, in the words of alter_trigger. */
#define TRIGGERS \
	"pg_catalog.array_remove(ARRAY[" \
	" CASE WHEN o.relid IS NULL OR o.query <> n.query THEN 'CREATE_DYNAMIC_TABLE' END," \
	" CASE WHEN o.relid IS NOT NULL AND (o.target_lag, o.schedule) IS DISTINCT FROM (n.target_lag, n.schedule)" \
	" THEN 'ALTER_TARGET_LAG' END," \
	" CASE WHEN o.relid IS NOT NULL AND o.warehouse <> n.warehouse THEN 'ALTER_WAREHOUSE' END," \
	" CASE WHEN o.state IS DISTINCT FROM n.state AND n.state = 'SUSPENDED' THEN 'SUSPEND' END," \
	" CASE WHEN o.relid IS NOT NULL AND o.state <> n.state AND n.state = 'ACTIVE' THEN 'RESUME' END], NULL)"

void
dyn_version_note(Oid relid)
{
	static DynStatement merge = {
		"UPDATE dyntable.version o SET (name, schema_name, query, target_lag, schedule, warehouse, state,"
		" state_code, suspended_on, resumed_on, inputs) = (" COLUMNS("n") "),"
		" alter_trigger = o.alter_trigger ||"
		" ARRAY(SELECT t FROM unnest(" TRIGGERS ") t WHERE t <> ALL (o.alter_trigger))"
		" FROM dyntable.described n WHERE o.relid = $1 AND n.relid = $1 AND o.valid_to IS NULL"
		" AND o.run = pg_current_xact_id()", 1, {OIDOID}
	};
	static DynStatement add = {
		"WITH n AS MATERIALIZED (SELECT d.*, clock_timestamp() AS at FROM dyntable.described d WHERE d.relid = $1),"
		" o AS (UPDATE dyntable.version o SET valid_to = n.at FROM n WHERE o.relid = $1 AND o.valid_to IS NULL"
		" AND ROW(" COLUMNS("o") ") IS DISTINCT FROM ROW(" COLUMNS("n") ") RETURNING o.*)"
		" INSERT INTO dyntable.version (relid, name, schema_name, query, target_lag, schedule, warehouse, state,"
		" state_code, suspended_on, resumed_on, inputs, alter_trigger, valid_from)"
		" SELECT n.relid, " COLUMNS("n") ", coalesce(nullif(" TRIGGERS ", '{}'), '{NONE}'), n.at"
		" FROM n LEFT JOIN o ON true WHERE o.relid IS NOT NULL"
		" OR NOT EXISTS (SELECT FROM dyntable.version v WHERE v.relid = $1 AND v.valid_to IS NULL)",
		1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	if (dyn_spi_run(&merge, values, NULL) == 0)
		dyn_spi_run(&add, values, NULL);
}

void
dyn_version_end(Oid relid)
{
	static DynStatement update = {
		"UPDATE dyntable.version SET valid_to = clock_timestamp() WHERE relid = $1 AND valid_to IS NULL",
		1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	dyn_spi_run(&update, values, NULL);
}

uint64
dyn_version_purge(TimestampTz before)
{
	static DynStatement delete = {
		"DELETE FROM dyntable.version WHERE valid_to < $1", 1, {TIMESTAMPTZOID}
	};
	Datum		values[] = {TimestampTzGetDatum(before)};

	return dyn_spi_run(&delete, values, NULL);
}
