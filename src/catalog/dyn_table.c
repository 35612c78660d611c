/*
 * dyn_table.c
 *	  dyntable.dynamic_table, and which relations are dynamic tables.
 *
 * Every statement of every user asks whether it writes to a dynamic table, so
 * the answer comes from a set of OIDs in the backend's memory.  It is thrown
 * away when the relation cache is told of a change to dyntable.dynamic_table
 * (whoever inserts or deletes a row sends that message) or of any change to
 * schemas (which covers CREATE and DROP EXTENSION), and read again at the next
 * question.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/relation.h>
#include <access/table.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <catalog/dependency.h>
#include <catalog/namespace.h>
#include <catalog/pg_extension.h>
#include <catalog/pg_namespace.h>
#include <catalog/pg_type.h>
#include <commands/extension.h>
#include <common/hashfn.h>
#include <miscadmin.h>
#include <storage/lock.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/hsearch.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>
#include <utils/xid8.h>

#include "base/dyn_notify.h"
#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"
#include "compat/dyn_compat.h"

/* A dynamic table as this backend knows it. */
typedef struct KnownTable
{
	Oid			relid;
	bool		populated;		/* false: look */
	uint64		reshaped;		/* 0: never */
} KnownTable;

/* The set of dynamic tables as this backend knows it. */
static struct
{
	bool		registered;		/* callbacks */
	bool		valid;
	bool		disturbed;
	Oid			extension;
	Oid			schema;
	Oid			catalog;		/* dyntable.dynamic_table */
	MemoryContext context;
	HTAB	   *relids;
}			known;

static void
known_relation_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == known.catalog)
	{
		known.valid = false;
		known.disturbed = true;
	}
}

static void
known_schema_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	known.valid = false;
	known.disturbed = true;
}

/* Read dyntable.dynamic_table's OIDs into known.relids. */
static void
known_read(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(KnownTable),.hcxt = known.context};
	Relation	catalog = try_relation_open(known.catalog, AccessShareLock);
	AttrNumber	reshaped_column = get_attnum(known.catalog, "reshaped");
	SysScanDesc scan;
	HeapTuple	tuple;

	known.relids = hash_create("dynamic tables", 64, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	/* The extension may be dropped while we wait for the lock. */
	if (catalog == NULL)
		return;
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Oid			relid = DatumGetObjectId(heap_getattr(tuple, 1, RelationGetDescr(catalog),
														  &isnull));

		KnownTable *table = hash_search(known.relids, &relid, HASH_ENTER, NULL);

		table->populated = false;
		table->reshaped = 0;
		if (reshaped_column != InvalidAttrNumber)
		{
			Datum		reshaped = heap_getattr(tuple, reshaped_column, RelationGetDescr(catalog), &isnull);

			if (!isnull)
				table->reshaped = U64FromFullTransactionId(DatumGetFullTransactionId(reshaped));
		}
	}
	systable_endscan(scan);
	relation_close(catalog, AccessShareLock);
}

/* Make `known` true, unless it is. */
static void
known_look(void)
{
	Oid			schema;
	Oid			extension;

	if (known.valid)
		return;
	Assert(IsTransactionState());
	if (!known.registered)
	{
		CacheRegisterRelcacheCallback(known_relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, known_schema_changed, (Datum) 0);
		known.context = AllocSetContextCreate(TopMemoryContext, "dynamic tables known",
											  ALLOCSET_SMALL_SIZES);
		known.registered = true;
	}

	MemoryContextReset(known.context);
	known.relids = NULL;
	known.disturbed = false;
	known.extension = known.schema = known.catalog = InvalidOid;

	/* A schema of this name may be anybody's: the extension must own it. */
	schema = get_namespace_oid("dyntable", true);
	if (OidIsValid(schema) &&
		OidIsValid(extension = get_extension_oid("dyntable", true)) &&
		getExtensionOfObject(NamespaceRelationId, schema) == extension)
	{
		known.extension = extension;
		known.schema = schema;
		known.catalog = get_relname_relid("dynamic_table", schema);

		/* While CREATE EXTENSION is at work, look again next time. */
		if (!OidIsValid(known.catalog))
			return;
		known_read();
	}
	known.valid = !known.disturbed;
}

Oid
dyn_extension_oid(void)
{
	known_look();
	return known.extension;
}

/* Its tables are those of the script that made them, until it is updated. */
void
dyn_extension_check_version(void)
{
	char	   *version = NULL;
	Relation	catalog;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	known_look();
	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(known.extension));
	catalog = table_open(ExtensionRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, ExtensionOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(catalog), &isnull);

		version = isnull ? NULL : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (version && strcmp(version, DYN_VERSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("dyntable is loaded in version %s, but installed in this database in version %s",
						DYN_VERSION, version),
				 errhint("Run ALTER EXTENSION dyntable UPDATE, or restart the server if it runs an older library.")));
}

Oid
dyn_schema_oid(void)
{
	known_look();
	return known.schema;
}

bool
dyn_is_dynamic_table(Oid relid)
{
	known_look();
	return known.relids != NULL && hash_search(known.relids, &relid, HASH_FIND, NULL) != NULL;
}

/*
 * A table that is populated remains so, hence the answer is kept; but not what
 * this transaction may have written itself and may roll back.
 */
bool
dyn_is_populated(Oid relid)
{
	static DynStatement select = {
		"SELECT populated FROM dyntable.position WHERE relid = $1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	DynCall		call;
	KnownTable *table;
	bool		populated;

	known_look();
	table = known.relids ? hash_search(known.relids, &relid, HASH_FIND, NULL) : NULL;
	if (table != NULL && table->populated)
		return true;

	dyn_spi_begin(&call, &select, values, NULL);
	populated = call.nrows > 0 && dyn_spi_bool(0, 1);
	dyn_spi_end(&call);

	/* The statement may have brought an invalidation: look for the entry again. */
	if (populated && !TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		known.valid && (table = hash_search(known.relids, &relid, HASH_FIND, NULL)) != NULL)
		table->populated = true;
	return populated;
}

/*
 * Tell every backend that the set of dynamic tables has changed: the others
 * when this transaction commits, our own at once, by ending a command, and
 * again if that is rolled back.
 */
static void
known_tell(void)
{
	known_look();
	if (OidIsValid(known.catalog))
		CacheInvalidateRelcacheByRelid(known.catalog);
	(void) GetCurrentCommandId(true);
	CommandCounterIncrement();
}

void
dyn_table_set_reshaped(Oid relid)
{
	static DynStatement update = {
		"UPDATE dyntable.dynamic_table SET reshaped = pg_current_xact_id() WHERE relid = $1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	dyn_spi_run(&update, values, NULL);
	known_tell();
}

bool
dyn_is_before_reshape(Oid relid, Snapshot snapshot)
{
	KnownTable *table;

	known_look();
	table = known.relids ? hash_search(known.relids, &relid, HASH_FIND, NULL) : NULL;
	return table != NULL && table->reshaped != 0 && snapshot != NULL &&
		table->reshaped != U64FromFullTransactionId(GetTopFullTransactionIdIfAny()) &&
		!dyn_snapshot_sees(dyn_snapshot_from_live(snapshot), table->reshaped);
}

static const char *
mode_name(DynRefreshMode mode)
{
	switch (mode)
	{
		case DYN_MODE_AUTO:
			return "auto";
		case DYN_MODE_INCREMENTAL:
			return "incremental";
		case DYN_MODE_FULL:
			return "full";
	}
	elog(ERROR, "unexpected refresh mode %d", (int) mode);
	return NULL;
}

DynRefreshMode
dyn_mode_from_name(const char *name)
{
	return strcmp(name, "full") == 0 ? DYN_MODE_FULL :
		strcmp(name, "incremental") == 0 ? DYN_MODE_INCREMENTAL : DYN_MODE_AUTO;
}

int64
dyn_lag_microseconds(const DynTable *table)
{
	const Interval *lag = table->target_lag;

	return lag ? lag->time + lag->day * USECS_PER_DAY : 0;
}

/*
 * A tree names functions and operators by OIDs, which pg_upgrade does not
 * keep: it is worth something on the server that wrote it, or a copy of it.
 */
char *
dyn_tree_version(void)
{
	return psprintf("%d/" UINT64_FORMAT, PG_MAJORVERSION_NUM, GetSystemIdentifier());
}

bool
dyn_tree_readable(const DynTable *table)
{
	return table->tree != NULL && strcmp(table->tree_version, dyn_tree_version()) == 0;
}

static DynTable *
table_from_row(uint64 row)
{
	DynTable   *table = palloc0(sizeof(DynTable));

	table->relid = dyn_spi_oid(row, 1);
	table->query = dyn_spi_text(row, 2);
	table->definition = dyn_spi_text(row, 3);
	table->tree = dyn_spi_text(row, 4);
	table->tree_version = dyn_spi_text(row, 5);
	table->settings = dyn_spi_text_list(row, 6);
	table->target_lag = dyn_spi_interval(row, 7);
	table->schedule = dyn_spi_text(row, 8);
	table->mode = dyn_mode_from_name(dyn_spi_text(row, 9));
	table->incremental = dyn_spi_bool(row, 10);
	table->reason_code = dyn_spi_text(row, 11);
	table->reason = dyn_spi_text(row, 12);
	table->on_schedule = strcmp(dyn_spi_text(row, 13), "on_schedule") == 0;
	table->warehouse = dyn_spi_text(row, 14);
	table->suspended = strcmp(dyn_spi_text(row, 15), "SUSPENDED") == 0;
	table->state_code = dyn_spi_text(row, 16);
	table->initial_warehouse = dyn_spi_text(row, 17);
	table->frozen_where = dyn_spi_text(row, 18);
	return table;
}

/*
 * Rows as they were last read, for the definition of a table is long, is asked
 * for several times in a refresh, and seldom changes.  Whether a row is still
 * the same its version tells.
 */
#define KEPT_TABLES		256

typedef struct KeptTable
{
	DynTable   *table;
	MemoryContext context;
} KeptTable;

static KeptTable kept_tables[KEPT_TABLES];

static char *
copy_text(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

static DynTable *
table_copy(const DynTable *from)
{
	DynTable   *table = palloc(sizeof(DynTable));
	ListCell   *lc;

	*table = *from;
	table->query = copy_text(from->query);
	table->definition = copy_text(from->definition);
	table->tree = copy_text(from->tree);
	table->tree_version = copy_text(from->tree_version);
	table->settings = NIL;
	foreach(lc, from->settings)
		table->settings = lappend(table->settings, pstrdup(lfirst(lc)));
	if (from->target_lag)
	{
		table->target_lag = palloc(sizeof(Interval));
		*table->target_lag = *from->target_lag;
	}
	table->schedule = copy_text(from->schedule);
	table->reason_code = copy_text(from->reason_code);
	table->reason = copy_text(from->reason);
	table->warehouse = copy_text(from->warehouse);
	table->initial_warehouse = copy_text(from->initial_warehouse);
	table->state_code = copy_text(from->state_code);
	table->frozen_where = copy_text(from->frozen_where);
	return table;
}

static void
keep_table(KeptTable *kept, const DynTable *table)
{
	MemoryContext old;

	if (kept->context)
		MemoryContextReset(kept->context);
	else
		kept->context = AllocSetContextCreate(CacheMemoryContext, "dynamic table kept", ALLOCSET_SMALL_SIZES);
	kept->table = NULL;
	old = MemoryContextSwitchTo(kept->context);
	kept->table = table_copy(table);
	MemoryContextSwitchTo(old);
}

/* The row that was looked up. */
static DynTable *
table_read(void)
{
	Oid			relid = dyn_spi_oid(0, 1);
	KeptTable  *kept = &kept_tables[murmurhash32(relid) % KEPT_TABLES];
	DynRowVersion version;
	DynTable   *table;

	dyn_lookup_version(0, &version);
	if (kept->table && kept->table->relid == relid && dyn_same_version(kept->table->version, version))
		return table_copy(kept->table);
	table = table_from_row(0);
	table->version = version;
	if (!TransactionIdIsCurrentTransactionId(version.xmin))
		keep_table(kept, table);
	return table;
}

DynTable *
dyn_table_get(Oid relid, bool missing_ok)
{
	static DynLookup select = {
		"dynamic_table_pkey",
		{"relid", "query", "definition", "tree", "tree_version", "settings", "target_lag", "schedule",
		"refresh_mode", "incremental", "reason_code", "reason", "initialize", "warehouse", "state", "state_code",
		"initialization_warehouse", "frozen_where"}
	};
	DynTable   *table = NULL;

	if (dyn_is_dynamic_table(relid))
	{
		DynCall		call;

		dyn_lookup_begin(&call, &select, relid);
		if (call.nrows > 0)
			table = table_read();
		dyn_lookup_end(&call);
	}
	if (table == NULL && !missing_ok)
	{
		char	   *name = get_rel_name(relid);

		if (name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("dynamic table with OID %u does not exist", relid)));
		if (IsolationUsesXactSnapshot() && dyn_is_dynamic_table(relid))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access: dynamic table \"%s\" was created after this transaction's snapshot", name),
					 errhint("The transaction might succeed if retried.")));
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a dynamic table", name),
				 dyn_restored_get(relid) == NULL ? 0 :
				 errhint("It was restored from a dump; take it over with dyntable_refresh().")));
	}
	return table;
}

bool
dyn_table_is(Oid relid, const DynRowVersion *version)
{
	static DynLookup select = {"dynamic_table_pkey", {"relid"}};
	DynCall		call;
	DynRowVersion now = {0};

	dyn_lookup_begin(&call, &select, relid);
	if (call.nrows > 0)
		dyn_lookup_version(0, &now);
	dyn_lookup_end(&call);
	return dyn_same_version(now, *version);
}

char *
dyn_relation_names(const List *relids)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, relids)
	{
		char	   *name = get_rel_name(lfirst_oid(lc));

		if (name != NULL)
			appendStringInfo(&names, "%s\"%s\"", names.len ? ", " : "", name);
	}
	return names.data;
}

List *
dyn_table_all(void)
{
	static DynStatement select = {
		"SELECT relid::oid FROM dyntable.dynamic_table ORDER BY relid::oid", 0
	};

	if (!OidIsValid(dyn_extension_oid()))
		return NIL;
	return dyn_spi_oids(&select, NULL);
}

#define TABLE_NARGS 18
#define TABLE_ARGTYPES \
	{OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INTERVALOID, TEXTOID, TEXTOID, \
	BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}

static void
table_to_values(const DynTable *table, Datum *values, char *nulls)
{
	memset(nulls, ' ', TABLE_NARGS);
	values[0] = ObjectIdGetDatum(table->relid);
	values[1] = dyn_text_value(table->query, &nulls[1]);
	values[2] = dyn_text_value(table->definition, &nulls[2]);
	values[3] = dyn_text_value(table->tree, &nulls[3]);
	values[4] = dyn_text_value(table->tree_version, &nulls[4]);
	values[5] = dyn_text_array_value(table->settings);
	values[6] = PointerGetDatum(table->target_lag);
	if (table->target_lag == NULL)
		nulls[6] = 'n';
	values[7] = dyn_text_value(table->schedule, &nulls[7]);
	values[8] = dyn_text_value(mode_name(table->mode), &nulls[8]);
	values[9] = BoolGetDatum(table->incremental);
	values[10] = dyn_text_value(table->reason_code, &nulls[10]);
	values[11] = dyn_text_value(table->reason, &nulls[11]);
	values[12] = dyn_text_value(table->on_schedule ? "on_schedule" : "on_create", &nulls[12]);
	values[13] = dyn_text_value(table->warehouse ? table->warehouse : DYN_DEFAULT_WAREHOUSE, &nulls[13]);
	values[14] = dyn_text_value(table->suspended ? "SUSPENDED" : "ACTIVE", &nulls[14]);
	values[15] = dyn_text_value(table->state_code, &nulls[15]);
	values[16] = dyn_text_value(table->initial_warehouse, &nulls[16]);
	values[17] = dyn_text_value(table->frozen_where, &nulls[17]);
}

/* Whether a name stands in a text as a word: not "s.a" in "s.ab" or "t.s.a". */
static bool
names(const char *text, const char *name)
{
	const char *const part = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$\"";
	size_t		length = strlen(name);

	for (const char *at = text; (at = strstr(at, name)) != NULL; at += length)
	{
		bool		begins = at == text || (at[-1] != '.' && strchr(part, at[-1]) == NULL);
		bool		ends = at[length] == '\0' || strchr(part, at[length]) == NULL;

		if (begins && ends && !IS_HIGHBIT_SET(at[length]))
			return true;
	}
	return false;
}

List *
dyn_tables_naming(const char *name, Oid relid)
{
	static DynStatement select = {
		"SELECT t.relid::oid, t.definition FROM dyntable.dynamic_table t"
		" WHERE strpos(t.definition, $1) > 0"
		" AND t.relid::oid <> $2 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d"
		" WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = t.relid::oid"
		" AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = $2)"
		" ORDER BY 1", 2, {TEXTOID, OIDOID}
	};
	Datum		values[] = {CStringGetTextDatum(name), ObjectIdGetDatum(relid)};
	DynCall		call;
	List	   *relids = NIL;

	dyn_spi_begin(&call, &select, values, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
		if (names(dyn_spi_text(row, 2), name))
			relids = lappend_oid(relids, dyn_spi_oid(row, 1));
	dyn_spi_end(&call);
	return relids;
}

void
dyn_table_insert(const DynTable *table)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.dynamic_table (relid, query, definition, tree, tree_version, settings,"
		" target_lag, schedule, refresh_mode, incremental, reason_code, reason, initialize,"
		" warehouse, state, state_code, initialization_warehouse, frozen_where, suspended_on)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
		" CASE WHEN $15 = 'SUSPENDED' THEN clock_timestamp() END)",
		TABLE_NARGS, TABLE_ARGTYPES
	};
	Datum		values[TABLE_NARGS];
	char		nulls[TABLE_NARGS];

	table_to_values(table, values, nulls);
	dyn_spi_run(&insert, values, nulls);
	known_tell();
}

void
dyn_table_update(const DynTable *table)
{
	static DynStatement update = {
		"UPDATE dyntable.dynamic_table SET query = $2, definition = $3, tree = $4,"
		" tree_version = $5, settings = $6, target_lag = $7, schedule = $8, refresh_mode = $9,"
		" incremental = $10, reason_code = $11, reason = $12, initialize = $13, warehouse = $14,"
		" state = $15, state_code = $16, initialization_warehouse = $17, frozen_where = $18"
		" WHERE relid = $1",
		TABLE_NARGS, TABLE_ARGTYPES
	};
	Datum		values[TABLE_NARGS];
	char		nulls[TABLE_NARGS];

	table_to_values(table, values, nulls);
	if (dyn_spi_run(&update, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("dynamic table with OID %u does not exist", table->relid)));
	dyn_version_note(table->relid);
}

void
dyn_table_set_state(Oid relid, bool suspended, const char *code)
{
	static DynStatement update = {
		"UPDATE dyntable.dynamic_table SET state = $2, state_code = $3,"
		" state_by = pg_get_userbyid($4),"
		" suspended_on = CASE WHEN $2 = 'SUSPENDED' THEN clock_timestamp() ELSE suspended_on END,"
		" resumed_on = CASE WHEN $2 = 'ACTIVE' THEN clock_timestamp() ELSE resumed_on END"
		" WHERE relid = $1 AND (state, state_code) IS DISTINCT FROM ($2, $3)",
		4, {OIDOID, TEXTOID, TEXTOID, OIDOID}
	};
	static DynStatement forgive = {
		"UPDATE dyntable.position SET failures = 0, retry_at = NULL"
		" WHERE relid = $1 AND failures > 0", 1, {OIDOID}
	};
	Datum		values[4] = {ObjectIdGetDatum(relid)};
	char		nulls[4] = {' ', ' ', ' ', ' '};

	values[1] = CStringGetTextDatum(suspended ? "SUSPENDED" : "ACTIVE");
	values[2] = dyn_text_value(code, &nulls[2]);
	values[3] = ObjectIdGetDatum(GetUserId());
	if (dyn_spi_run(&update, values, nulls) > 0)
	{
		dyn_version_note(relid);
		if (suspended)
			dyn_notify("suspended", relid, code ? psprintf(", \"code\": \"%s\"", code) : "");
		else
			dyn_notify("resumed", relid, "");
	}
	if (!suspended)
		dyn_spi_run(&forgive, values, NULL);
}

/* DROP EXTENSION holds this lock, and reaches its members itself. */
static bool
extension_being_dropped(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, dyn_extension_oid(), 0);
	return dyn_lock_held(&tag, AccessExclusiveLock);
}

/*
 * Everything about a dynamic table but its history.  Called while the table is
 * dropped, which may be because the extension is: then some of these tables
 * may be gone already.
 */
void
dyn_table_delete(Oid relid)
{
	static const char *const tables[] = {"stage", "edge", "position", "dynamic_table", "feed"};
	static DynStatement deletes[] = {
		{"DELETE FROM dyntable.stage WHERE relid = $1", 1, {OIDOID}},
		{"DELETE FROM dyntable.edge WHERE relid = $1", 1, {OIDOID}},
		{"DELETE FROM dyntable.position WHERE relid = $1", 1, {OIDOID}},
		{"DELETE FROM dyntable.dynamic_table WHERE relid = $1", 1, {OIDOID}},
		{"DELETE FROM dyntable.feed WHERE relid = $1", 1, {OIDOID}},
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	ListCell   *cell;

	if (!extension_being_dropped())
		foreach(cell, dyn_stages_of(relid))
			dyn_stage_leave(lfirst_oid(cell));
	for (int i = 0; i < lengthof(deletes); i++)
		if (OidIsValid(get_relname_relid(tables[i], dyn_schema_oid())))
			dyn_spi_run(&deletes[i], values, NULL);
	if (OidIsValid(get_relname_relid("version", dyn_schema_oid())))
		dyn_version_end(relid);
	known_tell();
}
