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

DynWarehouse *
dyn_warehouse_get(const char *name)
{
	static DynStatement select = {
		"SELECT owner::oid, coalesce(max_workers, 0),"
		" ARRAY(SELECT s.key FROM jsonb_each_text(settings) s ORDER BY 1),"
		" ARRAY(SELECT s.value FROM jsonb_each_text(settings) s ORDER BY s.key), "
		MILLISECONDS("statement_timeout") ", " MILLISECONDS("auto_suspend") ", suspended"
		" FROM dyntable.warehouse WHERE name = $1", 1, {TEXTOID}
	};
	Datum		values[] = {CStringGetTextDatum(name)};
	DynCall		call;
	DynWarehouse *warehouse = NULL;

	dyn_spi_begin(&call, &select, values, NULL);
	if (call.nrows > 0)
	{
		warehouse = palloc0(sizeof(DynWarehouse));
		warehouse->name = pstrdup(name);
		warehouse->owner = dyn_spi_oid(0, 1);
		warehouse->max_workers = dyn_spi_int4(0, 2);
		warehouse->setting_names = dyn_spi_text_list(0, 3);
		warehouse->setting_values = dyn_spi_text_list(0, 4);
		warehouse->statement_timeout = dyn_spi_int4(0, 5);
		warehouse->auto_suspend = dyn_spi_int4(0, 6);
		warehouse->suspended = dyn_spi_bool(0, 7);
	}
	dyn_spi_end(&call);
	return warehouse;
}
