/*
 * dyn_restored.c
 *	  Definitions that came with a dump: dyntable.restored.
 *
 * They name their table, which may be missing, or be there and still be
 * filled: nobody knows when a restore is over.  So until somebody takes a
 * definition over (command/dyn_adopt.c), the table is an ordinary one.
 *
 * And what else a dump carries: warehouses and tracked sources.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/builtins.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

#define DUMPED_COLUMNS \
	"r.settings, r.target_lag, r.schedule, r.refresh_mode, r.initialize, r.warehouse," \
	" r.initialization_warehouse, r.state, r.state_code"

#define RESTORED_COLUMNS \
	"r.schema_name, r.name, coalesce(dyntable.restored_relid(r.schema_name, r.name), 0), r.query," \
	" r.definition, r.settings, r.target_lag, r.schedule, r.refresh_mode, r.initialize," \
	" r.warehouse, r.initialization_warehouse, r.state, r.state_code, r.populated, r.frozen_where, coalesce(r.boundary, '{}')," \
	" r.changes_kept"

/* Replica identities that capture has changed, of sources and their partitions. */
#define IDENTITIES(sources) \
	"(SELECT jsonb_object_agg(format('%I.%I', sn.nspname, s.relname), i.old_identity::text)" \
	" FROM (" sources ") e(source) CROSS JOIN LATERAL (SELECT e.source UNION" \
	" SELECT l.relid::oid FROM pg_partition_tree(e.source) l) l(relid)" \
	" JOIN dyntable.identity i ON i.relid = l.relid" \
	" JOIN pg_class s ON s.oid = i.relid JOIN pg_namespace sn ON sn.oid = s.relnamespace)"

/* Names of the dynamic tables that r reads as they are. */
#define BOUNDARY \
	"(SELECT array_agg(format('%I.%I', sn.nspname, s.relname) ORDER BY s.oid)" \
	" FROM dyntable.edge e JOIN pg_class s ON s.oid = e.source JOIN pg_namespace sn ON sn.oid = s.relnamespace" \
	" WHERE e.relid = c.oid AND e.boundary)"

#define MAY_HAVE(owner) \
	"(pg_has_role($1, 'pg_read_all_data', 'USAGE') OR pg_has_role($1, " owner ", 'USAGE'))"

static void
dump(DynStatement *select, Oid role, Tuplestorestate *rows)
{
	Datum		values[] = {ObjectIdGetDatum(role)};
	DynCall		call;

	dyn_spi_begin(&call, select, values, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
		tuplestore_puttuple(rows, SPI_tuptable->vals[row]);
	dyn_spi_end(&call);
}

void
dyn_definitions(Oid role, Tuplestorestate *rows)
{
	static DynStatement select = {
		"SELECT n.nspname::text, c.relname::text, r.query, dyntable.definition(c.oid, r.definition),"
		" " DUMPED_COLUMNS ", p.populated, " IDENTITIES("SELECT g.source FROM dyntable.edge g WHERE g.relid = c.oid")
		", r.frozen_where, " BOUNDARY ", (SELECT d.keep FROM dyntable.feed d WHERE d.relid = c.oid)"
		" FROM dyntable.dynamic_table r JOIN dyntable.position p USING (relid)"
		" JOIN pg_class c ON c.oid = r.relid JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE " MAY_HAVE("c.relowner") " UNION ALL"
		" SELECT r.schema_name, r.name, r.query, r.definition, " DUMPED_COLUMNS ","
		" r.populated, r.identities, r.frozen_where, r.boundary, r.changes_kept FROM dyntable.restored r"
		" LEFT JOIN pg_class c ON c.oid = dyntable.restored_relid(r.schema_name, r.name)"
		" WHERE " MAY_HAVE("c.relowner"), 1, {OIDOID}
	};

	dump(&select, role, rows);
}

void
dyn_dumped_warehouses(Oid role, Tuplestorestate *rows)
{
	static DynStatement select = {
		"SELECT w.name, pg_get_userbyid(w.owner)::text,"
		" ARRAY(SELECT a.rolname::text FROM unnest(w.grantees) g JOIN pg_authid a ON a.oid = g ORDER BY 1),"
		" 0 = ANY (w.grantees), w.max_workers, w.settings, w.statement_timeout, w.auto_suspend,"
		" w.auto_resume, w.suspended, w.comment FROM dyntable.warehouse w WHERE " MAY_HAVE("w.owner")
		" ORDER BY w.name", 1, {OIDOID}
	};

	dump(&select, role, rows);
}

void
dyn_dumped_tracked(Oid role, Tuplestorestate *rows)
{
	static DynStatement select = {
		"SELECT n.nspname::text, c.relname::text, a.rolname::text, " IDENTITIES("SELECT t.source")
		" FROM dyntable.tracked t JOIN pg_class c ON c.oid = t.source JOIN pg_namespace n ON n.oid = c.relnamespace"
		" LEFT JOIN pg_authid a ON a.oid = t.grantee"
		" WHERE (t.grantee = 0 OR a.oid IS NOT NULL) AND " MAY_HAVE("c.relowner") " ORDER BY 1, 2, 3", 1, {OIDOID}
	};

	dump(&select, role, rows);
}

static DynRestored *
restored_from_row(uint64 row)
{
	DynRestored *restored = palloc0(sizeof(DynRestored));
	DynTable   *table = &restored->table;

	restored->schema = dyn_spi_text(row, 1);
	restored->name = dyn_spi_text(row, 2);
	table->relid = dyn_spi_oid(row, 3);
	table->query = dyn_spi_text(row, 4);
	table->definition = dyn_spi_text(row, 5);
	table->settings = dyn_spi_text_list(row, 6);
	table->target_lag = dyn_spi_interval(row, 7);
	table->schedule = dyn_spi_text(row, 8);
	table->mode = dyn_mode_from_name(dyn_spi_text(row, 9));
	table->on_schedule = strcmp(dyn_spi_text(row, 10), "on_schedule") == 0;
	table->warehouse = dyn_spi_text(row, 11);
	table->initial_warehouse = dyn_spi_text(row, 12);
	table->suspended = strcmp(dyn_spi_text(row, 13), "SUSPENDED") == 0;
	table->state_code = dyn_spi_text(row, 14);
	restored->populated = dyn_spi_bool(row, 15);
	table->frozen_where = dyn_spi_text(row, 16);
	restored->boundary = dyn_spi_text_list(row, 17);
	restored->changes_kept = dyn_spi_interval(row, 18);
	return restored;
}

bool
dyn_restored_any(void)
{
	static DynStatement select = {
		"SELECT 1 WHERE EXISTS (SELECT FROM dyntable.restored)"
		" OR EXISTS (SELECT FROM dyntable.dump) OR EXISTS (SELECT FROM dyntable.dump_warehouse)"
		" OR EXISTS (SELECT FROM dyntable.dump_tracked)", 0
	};

	return OidIsValid(dyn_extension_oid()) && dyn_spi_run(&select, NULL, NULL) > 0;
}

/*
 * A restore that switches triggers off leaves its rows where it put them: put
 * them there again.
 */
static void
gather(void)
{
	static DynStatement again = {
		"WITH left_over AS (DELETE FROM dyntable.dump RETURNING *)"
		" INSERT INTO dyntable.dump SELECT * FROM left_over", 0
	};

	static DynStatement warehouses = {
		"WITH left_over AS (DELETE FROM dyntable.dump_warehouse RETURNING *)"
		" INSERT INTO dyntable.dump_warehouse SELECT * FROM left_over", 0
	};

	dyn_spi_run(&again, NULL, NULL);
	dyn_spi_run(&warehouses, NULL, NULL);
}

List *
dyn_restored_all(void)
{
	static DynStatement select = {
		"SELECT " RESTORED_COLUMNS " FROM dyntable.restored r ORDER BY 1, 2", 0
	};
	DynCall		call;
	List	   *all = NIL;

	gather();
	dyn_spi_begin(&call, &select, NULL, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
		all = lappend(all, restored_from_row(row));
	dyn_spi_end(&call);
	return all;
}

DynRestored *
dyn_restored_get(Oid relid)
{
	static DynStatement select = {
		"SELECT " RESTORED_COLUMNS " FROM dyntable.restored r"
		" WHERE dyntable.restored_relid(r.schema_name, r.name) = $1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	DynCall		call;
	DynRestored *restored;

	if (!OidIsValid(dyn_extension_oid()))
		return NULL;
	dyn_spi_begin(&call, &select, values, NULL);
	restored = call.nrows > 0 ? restored_from_row(0) : NULL;
	dyn_spi_end(&call);
	return restored;
}

/* What the owners of sources agreed to: for those tables and roles that there are here. */
void
dyn_restored_tracked(void)
{
	static DynStatement identities = {
		"INSERT INTO dyntable.identity (relid, old_identity)"
		" SELECT DISTINCT ON (c.oid) c.oid, i.value::\"char\" FROM dyntable.dump_tracked d"
		" CROSS JOIN LATERAL jsonb_each_text(d.identities) i"
		" JOIN pg_class c ON c.oid = to_regclass(i.key) WHERE c.relreplident = 'f'"
		" ON CONFLICT DO NOTHING", 0
	};
	static DynStatement tracked = {
		"WITH d AS (DELETE FROM dyntable.dump_tracked RETURNING *)"
		" INSERT INTO dyntable.tracked (source, grantee)"
		" SELECT c.oid, coalesce(a.oid, 0) FROM d JOIN pg_namespace n ON n.nspname = d.schema_name"
		" JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = d.name AND c.relkind IN ('r', 'p')"
		" LEFT JOIN pg_authid a ON a.rolname = d.grantee WHERE d.grantee IS NULL OR a.oid IS NOT NULL"
		" ON CONFLICT DO NOTHING", 0
	};

	dyn_spi_run(&identities, NULL, NULL);
	dyn_spi_run(&tracked, NULL, NULL);
}

/* The dump has set replica identities to what capture had made of them: note what they were before. */
void
dyn_restored_identities(const DynRestored *restored)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.identity (relid, old_identity)"
		" SELECT c.oid, i.value::\"char\" FROM dyntable.restored r"
		" CROSS JOIN LATERAL jsonb_each_text(r.identities) i"
		" JOIN pg_class c ON c.oid = to_regclass(i.key)"
		" WHERE r.schema_name = $1 AND r.name = $2 AND c.relreplident = 'f'"
		" ON CONFLICT DO NOTHING", 2, {TEXTOID, TEXTOID}
	};
	Datum		values[] = {
		CStringGetTextDatum(restored->schema), CStringGetTextDatum(restored->name)
	};

	dyn_spi_run(&insert, values, NULL);
}

bool
dyn_restored_forget(const char *schema, const char *name)
{
	static DynStatement delete = {
		"DELETE FROM dyntable.restored WHERE schema_name = $1 AND name = $2", 2, {TEXTOID, TEXTOID}
	};
	Datum		values[] = {CStringGetTextDatum(schema), CStringGetTextDatum(name)};

	return dyn_spi_run(&delete, values, NULL) > 0;
}
