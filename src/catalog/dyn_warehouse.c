/*
 * dyn_warehouse.c
 *	  dyntable.warehouse: named pools of refresh workers.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

/* An interval as milliseconds, of which a timer takes an int. */
#define MILLISECONDS(column) \
	"coalesce(least(extract(epoch FROM " column ") * 1000, 2147483647)::int4, 0)"

#define WAREHOUSE_COLUMNS \
	"name, owner::oid, coalesce(max_workers, 0)," \
	" ARRAY(SELECT s.key FROM jsonb_each_text(settings) s ORDER BY 1)," \
	" ARRAY(SELECT s.value FROM jsonb_each_text(settings) s ORDER BY s.key), " \
	MILLISECONDS("statement_timeout") ", " MILLISECONDS("auto_suspend") ", auto_resume, suspended"

static DynWarehouse *
warehouse_from_row(uint64 row)
{
	DynWarehouse *warehouse = palloc0(sizeof(DynWarehouse));

	warehouse->name = dyn_spi_text(row, 1);
	warehouse->owner = dyn_spi_oid(row, 2);
	warehouse->max_workers = dyn_spi_int4(row, 3);
	warehouse->setting_names = dyn_spi_text_list(row, 4);
	warehouse->setting_values = dyn_spi_text_list(row, 5);
	warehouse->statement_timeout = dyn_spi_int4(row, 6);
	warehouse->auto_suspend = dyn_spi_int4(row, 7);
	warehouse->auto_resume = dyn_spi_bool(row, 8);
	warehouse->suspended = dyn_spi_bool(row, 9);
	return warehouse;
}

DynWarehouse *
dyn_warehouse_get(const char *name)
{
	static DynStatement select = {
		"SELECT " WAREHOUSE_COLUMNS " FROM dyntable.warehouse WHERE name = $1", 1, {TEXTOID}
	};
	Datum		values[] = {CStringGetTextDatum(name)};
	DynCall		call;
	DynWarehouse *warehouse;

	dyn_spi_begin(&call, &select, values, NULL);
	warehouse = call.nrows > 0 ? warehouse_from_row(0) : NULL;
	dyn_spi_end(&call);
	return warehouse;
}

List *
dyn_warehouse_all(void)
{
	static DynStatement select = {
		"SELECT " WAREHOUSE_COLUMNS " FROM dyntable.warehouse ORDER BY name", 0
	};
	DynCall		call;
	List	   *all = NIL;

	dyn_spi_begin(&call, &select, NULL, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
		all = lappend(all, warehouse_from_row(row));
	dyn_spi_end(&call);
	return all;
}

bool
dyn_warehouse_usable(const char *name, Oid role)
{
	static DynStatement select = {
		"SELECT 1 FROM dyntable.warehouse w WHERE w.name = $1"
		" AND (pg_has_role($2, w.owner, 'USAGE') OR EXISTS ("
		" SELECT FROM unnest(w.grantees) g WHERE g = 0 OR pg_has_role($2, g, 'USAGE')))",
		2, {TEXTOID, OIDOID}
	};
	Datum		values[] = {CStringGetTextDatum(name), ObjectIdGetDatum(role)};

	return dyn_spi_run(&select, values, NULL) > 0;
}

bool
dyn_warehouse_insert(const char *name, Oid owner)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.warehouse (name, owner) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		2, {TEXTOID, OIDOID}
	};
	Datum		values[] = {CStringGetTextDatum(name), ObjectIdGetDatum(owner)};

	return dyn_spi_run(&insert, values, NULL) > 0;
}

void
dyn_warehouse_change(const char *name, const DynWarehouseChange *change)
{
	static DynStatement update = {
		"UPDATE dyntable.warehouse w SET"
		" max_workers = CASE WHEN $2 IS NULL THEN w.max_workers ELSE nullif($2, 0) END,"
		" settings = CASE WHEN $3 IS NULL THEN w.settings ELSE jsonb_strip_nulls(w.settings || $3) END,"
		" statement_timeout = CASE WHEN $4 IS NULL THEN w.statement_timeout"
		" ELSE nullif($4, interval '0') END,"
		" auto_suspend = CASE WHEN $5 IS NULL THEN w.auto_suspend ELSE nullif($5, interval '0') END,"
		" auto_resume = coalesce($6, w.auto_resume),"
		" suspended = coalesce($7, w.suspended),"
		" owner = coalesce($8, w.owner::oid),"
		" grantees = ARRAY(SELECT g FROM unnest(w.grantees || $9) g"
		" WHERE g IS NOT NULL AND g IS DISTINCT FROM $10 GROUP BY g ORDER BY g),"
		" comment = CASE WHEN $11 IS NULL THEN w.comment ELSE nullif($11, '') END,"
		" name = coalesce($12, w.name)"
		" WHERE w.name = $1",
		12, {TEXTOID, INT4OID, JSONBOID, INTERVALOID, INTERVALOID, BOOLOID, BOOLOID, OIDOID, OIDOID,
		OIDOID, TEXTOID, TEXTOID}
	};
	Datum		values[1 + DYN_WAREHOUSE_CHANGES] = {CStringGetTextDatum(name)};
	char		nulls[1 + DYN_WAREHOUSE_CHANGES] = {' '};

	for (int i = 0; i < DYN_WAREHOUSE_CHANGES; i++)
	{
		values[i + 1] = change->values[i];
		nulls[i + 1] = change->given[i] ? ' ' : 'n';
	}
	dyn_spi_run(&update, values, nulls);
}

void
dyn_warehouse_resume(const char *name)
{
	static DynStatement update = {
		"UPDATE dyntable.warehouse SET suspended = false WHERE name = $1 AND suspended", 1, {TEXTOID}
	};
	Datum		values[] = {CStringGetTextDatum(name)};

	dyn_spi_run(&update, values, NULL);
}

List *
dyn_warehouse_tables(const char *name)
{
	static DynStatement select = {
		"SELECT relid::oid FROM dyntable.dynamic_table"
		" WHERE $1 IN (warehouse, initialization_warehouse) ORDER BY 1", 1, {TEXTOID}
	};
	Datum		values[] = {CStringGetTextDatum(name)};

	return dyn_spi_oids(&select, values);
}

void
dyn_warehouse_delete(const char *name)
{
	static DynStatement delete = {
		"DELETE FROM dyntable.warehouse WHERE name = $1", 1, {TEXTOID}
	};
	Datum		values[] = {CStringGetTextDatum(name)};

	dyn_spi_run(&delete, values, NULL);
}
