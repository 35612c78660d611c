/*
 * dyn_position.c
 *	  dyntable.position: how far each dynamic table has come.
 *
 * The row is the lock of a run: dyn_position_claim locks it, for the update at
 * the end of the refresh, before anything else happens, so that of two runs in
 * REPEATABLE READ the second fails with a serialization error instead of applying
 * the same delta twice.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

void
dyn_position_insert(Oid relid)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.position (relid) VALUES ($1)", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	dyn_spi_run(&insert, values, NULL);
}

/* Raise what a run is told whose table went away before it had the row. */
static void
position_missing(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("dynamic table with OID %u does not exist", relid),
			 errdetail("It may have been dropped concurrently.")));
}

DynPosition *
dyn_position_get(Oid relid)
{
	static DynLookup select = {
		"position_pkey",
		{"generation", "snapshot", "data_timestamp", "refresh_no", "populated", "plan_hash",
		"reinit_reason", "failures", "basis", "full_ms", "full_cost", "delta_ms"}
	};
	DynCall		call;
	DynPosition *position = palloc0(sizeof(DynPosition));
	char	   *snapshot;

	dyn_lookup_begin(&call, &select, relid);
	if (call.nrows == 0)
		position_missing(relid);
	position->relid = relid;
	position->generation = dyn_spi_int8(0, 1);
	snapshot = dyn_spi_snapshot(0, 2);
	position->snapshot = snapshot ? dyn_snapshot_from_text(snapshot) : NULL;
	position->data_timestamp = dyn_spi_timestamp(0, 3);
	position->refresh_no = dyn_spi_int8(0, 4);
	position->populated = dyn_spi_bool(0, 5);
	position->plan_hash = dyn_spi_int8(0, 6);
	position->reinit_reason = dyn_spi_text(0, 7);
	position->failures = dyn_spi_int4(0, 8);
	position->basis = dyn_spi_text_list(0, 9);
	position->full_ms = dyn_spi_float8(0, 10);
	position->full_cost = dyn_spi_float8(0, 11);
	dyn_spi_float8_array(0, 12, position->delta_ms, DYN_COST_STEPS);
	dyn_lookup_version(0, &position->version);
	dyn_lookup_end(&call);
	return position;
}

int64
dyn_position_refresh_no(Oid relid)
{
	static DynLookup select = {"position_pkey", {"refresh_no"}};
	DynCall		call;
	int64		refresh_no;

	dyn_lookup_begin(&call, &select, relid);
	if (call.nrows == 0)
		position_missing(relid);
	refresh_no = dyn_spi_int8(0, 1);
	dyn_lookup_end(&call);
	return refresh_no;
}

List *
dyn_position_bases(void)
{
	static DynStatement select = {
		"SELECT relid, basis FROM dyntable.position WHERE basis <> '{}'", 0
	};
	DynCall		call;
	List	   *positions = NIL;

	dyn_spi_begin(&call, &select, NULL, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
	{
		DynPosition *position = palloc0(sizeof(DynPosition));

		position->relid = dyn_spi_oid(row, 1);
		position->basis = dyn_spi_text_list(row, 2);
		positions = lappend(positions, position);
	}
	dyn_spi_end(&call);
	return positions;
}

void
dyn_position_claim(Oid relid)
{
	static DynLookup claim = {"position_pkey", {"relid"}};
	DynRow		row;

	if (!dyn_row_begin(&row, &claim, relid))
		position_missing(relid);
	dyn_row_end(&row);
}

void
dyn_position_store(DynPosition *position)
{
	static DynLookup update = {
		"position_pkey",
		{"generation", "snapshot", "data_timestamp", "refresh_no", "populated", "plan_hash",
		"reinit_reason", "failures", "basis", "full_ms", "full_cost", "delta_ms", "retry_at"}
	};
	Datum		values[13];
	char		nulls[13];
	DynRow		row;

	if (!dyn_row_begin(&row, &update, position->relid))
		position_missing(position->relid);
	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(position->generation);
	values[1] = dyn_snapshot_value(position->snapshot, &nulls[1]);
	values[2] = dyn_timestamp_value(position->data_timestamp, &nulls[2]);
	values[3] = Int64GetDatum(position->refresh_no);
	values[4] = BoolGetDatum(position->populated);
	values[5] = Int64GetDatum(position->plan_hash);
	values[6] = dyn_text_value(position->reinit_reason, &nulls[6]);
	values[7] = Int32GetDatum(position->failures);
	values[8] = dyn_text_array_value(position->basis);
	values[9] = dyn_float8_value(position->full_ms, &nulls[9]);
	values[10] = dyn_float8_value(position->full_cost, &nulls[10]);
	values[11] = dyn_float8_array_value(position->delta_ms, DYN_COST_STEPS);
	nulls[12] = 'n';
	/* when to try again stays where it has still failed */
	dyn_row_update(&row, values, nulls, position->failures == 0 ? 13 : 12);
	position->version = row.updated;
}

void
dyn_position_copy(Oid from, Oid to)
{
	static DynStatement update = {
		"UPDATE dyntable.position p SET generation = s.generation, snapshot = s.snapshot,"
		" data_timestamp = s.data_timestamp, refresh_no = s.refresh_no, populated = s.populated,"
		" plan_hash = s.plan_hash, basis = s.basis, reinit_reason = s.reinit_reason,"
		" full_ms = s.full_ms, full_cost = s.full_cost, delta_ms = s.delta_ms"
		" FROM dyntable.position s WHERE p.relid = $2 AND s.relid = $1", 2, {OIDOID, OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(from), ObjectIdGetDatum(to)};

	dyn_spi_run(&update, values, NULL);
}

void
dyn_position_set_populated(Oid relid)
{
	static DynStatement update = {
		"UPDATE dyntable.position SET populated = true WHERE relid = $1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	dyn_spi_run(&update, values, NULL);
}

/* The first reason stays: it is the one to look into. */
void
dyn_position_set_reinit(Oid relid, const char *reason)
{
	static DynStatement update = {
		"UPDATE dyntable.position SET reinit_reason = $2"
		" WHERE relid = $1 AND reinit_reason IS NULL", 2, {OIDOID, TEXTOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), CStringGetTextDatum(reason)};

	dyn_spi_run(&update, values, NULL);
}
