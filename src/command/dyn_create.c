/*
 * dyn_create.c
 *	  dyntable_create and dyntable_drop.
 */
#include <postgres.h>

#include <access/reloptions.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <catalog/catalog.h>
#include <catalog/dependency.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <catalog/toasting.h>
#include <commands/comment.h>
#include <commands/tablecmds.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "base/dyn_queue.h"
#include "command/dyn_alter.h"
#include "command/dyn_command.h"
#include "command/dyn_create.h"
#include "command/dyn_definition.h"
#include "command/dyn_options.h"
#include "command/dyn_region.h"
#include "command/dyn_transaction.h"
#include "compat/dyn_compat.h"
#include "refresh/dyn_load.h"
#include "refresh/dyn_refresh.h"

PG_FUNCTION_INFO_V1(dyntable_create);
PG_FUNCTION_INFO_V1(dyntable_drop);

Oid
dyn_check_namespace(RangeVar *name, Oid *existing)
{
	Oid			namespace = RangeVarGetAndCheckCreationNamespace(name, NoLock, existing);

	if (IsCatalogNamespace(namespace) || IsToastNamespace(namespace) ||
		namespace == dyn_schema_oid() ||
		namespace == get_namespace_oid("information_schema", true))
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("dynamic table cannot be created in schema \"%s\"",
						get_namespace_name(namespace)),
				 errdetail("The schema belongs to the system.")));
	if (isTempNamespace(namespace) || name->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("dynamic table cannot be temporary")));
	return namespace;
}

/*
 * DefineRelation, which lets the loser of a race for the name run into a unique
 * index of the catalog.
 */
static Oid
define_table(CreateStmt *statement)
{
	MemoryContext context = CurrentMemoryContext;
	ObjectAddress table;

	PG_TRY();
	{
		table = DefineRelation(statement, RELKIND_RELATION, GetUserId(), NULL, NULL);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_UNIQUE_VIOLATION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", statement->relation->relname),
				 errdetail("It was created at the same time.")));
	}
	PG_END_TRY();
	return table.objectId;
}

/* An ordinary table with exactly the query's columns. */
static Oid
create_table(RangeVar *name, const DynDefinition *definition)
{
	static DynOptionSpace validnsps[] = HEAP_RELOPT_NAMESPACES;
	CreateStmt *statement = makeNode(CreateStmt);
	ObjectAddress table;
	Datum		options;

	statement->relation = name;
	statement->tableElts = definition->columns;
	if (definition->incremental)
		statement->options = list_make1(makeDefElem("fillfactor", (Node *) makeInteger(DYN_FILLFACTOR), -1));
	statement->oncommit = ONCOMMIT_NOOP;
	ObjectAddressSet(table, RelationRelationId, define_table(statement));
	CommandCounterIncrement();
	options = transformRelOptions((Datum) 0, NIL, "toast", validnsps, true, false);
	NewRelationCreateToastTable(table.objectId, options);
	CommandCounterIncrement();
	return table.objectId;
}

/* Table, catalog rows and dependencies of a definition. */
static Oid
create_from(RangeVar *name, DynDefinition *definition, const DynTableOptions *options)
{
	DynTable	table = {0};

	dyn_definition_find(definition);
	table.relid = create_table(name, definition);
	dyn_definition_to_table(definition, &table);
	table.settings = dyn_definition_settings();
	table.target_lag = options->lag;
	table.schedule = options->schedule;
	table.on_schedule = options->on_schedule;
	table.warehouse = options->warehouse;
	table.initial_warehouse = options->initial_warehouse;
	if (options->frozen_where != NULL)
		dyn_region_set(&table, definition->query, options->frozen_where, false);
	if (OidIsValid(options->backfill_from))
		dyn_backfill(table.relid, options->backfill_from, table.frozen_where);
	dyn_definition_install(definition, &table);
	return table.relid;
}

/* The relation that has the name already gets the definition. */
static void
replace_existing(Oid existing, DynDefinition *definition, DynTableOptions *options,
				 bool or_replace)
{
	if (!or_replace)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", definition->name)));
	if (!dyn_is_dynamic_table(existing))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a dynamic table", definition->name),
				 errhint("Only a dynamic table can be replaced.")));
	if (!dyn_owns_relation(existing, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, definition->name);
	if (OidIsValid(options->backfill_from))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("backfill_from applies to a table that is created only"),
				 errdetail("Dynamic table \"%s\" exists and keeps its rows.", definition->name)));
	dyn_replace(existing, definition, options);
}

/* Arguments 2 to 6 and 10: what is not the definition's. */
static void
create_options(FunctionCallInfo fcinfo, DynTableOptions *options)
{
	char	   *target_lag = dyn_argument_text(fcinfo, 2);
	char	   *initialize = dyn_argument_text(fcinfo, 4);

	options->warehouse = dyn_argument_text(fcinfo, 5);
	options->schedule = dyn_argument_text(fcinfo, 6);
	dyn_option_check_lag_or_schedule(target_lag, options->schedule);
	if (options->schedule != NULL)
		dyn_option_check_schedule(options->schedule);
	else
		options->lag = dyn_option_lag(target_lag ? target_lag : DYN_DEFAULT_LAG);
	options->on_schedule = initialize != NULL && dyn_option_on_schedule(initialize);
	if (options->warehouse == NULL)
		options->warehouse = DYN_DEFAULT_WAREHOUSE;
	dyn_option_check_warehouse(options->warehouse);
	options->initial_warehouse = dyn_argument_text(fcinfo, 10);
	options->frozen_where = dyn_argument_text(fcinfo, 11);
	options->backfill_from = PG_ARGISNULL(12) ? InvalidOid : PG_GETARG_OID(12);
	if (options->initial_warehouse != NULL)
		dyn_option_check_warehouse(options->initial_warehouse);
}

/* Arguments 1 and 3: the definition as given. */
static void
create_definition(FunctionCallInfo fcinfo, DynDefinition *definition)
{
	char	   *refresh_mode = dyn_argument_text(fcinfo, 3);

	definition->text = dyn_argument_text(fcinfo, 1);
	if (definition->text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("query of a dynamic table must not be null")));
	definition->mode = refresh_mode ? dyn_option_mode(refresh_mode) : DYN_MODE_AUTO;
	definition->owner = GetUserId();
}

/* The first fill, or that of a replaced definition. */
static void
fill(Oid relid, const DynDefinition *definition)
{
	DynRunOptions options = {.trigger = DYN_TRIGGER_CREATION};
	int64		lag = dyn_lag_microseconds(dyn_table_get(relid, false));

	if (!dyn_is_populated(relid))
		options.reuse = lag > 0 ? lag : USECS_PER_MINUTE;
	dyn_run(list_make1_oid(relid), &options);
	if (definition->reinit != NULL)
		dyn_position_set_reinit(relid, definition->reinit);
}

Datum
dyntable_create(PG_FUNCTION_ARGS)
{
	char	   *comment = dyn_argument_text(fcinfo, 7);
	bool		or_replace = dyn_argument_bool(fcinfo, 8, false);
	bool		if_not_exists = dyn_argument_bool(fcinfo, 9, false);
	DynTableOptions options = {0};
	DynDefinition definition = {0};
	RangeVar   *name;
	Oid			relid;

	dyn_command_check("dyntable_create()");
	name = dyn_option_name(dyn_argument_text(fcinfo, 0));
	if (or_replace && if_not_exists)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("or_replace and if_not_exists cannot be given together")));
	create_definition(fcinfo, &definition);
	create_options(fcinfo, &options);
	definition.name = name->relname;
	(void) dyn_check_namespace(name, &relid);

	if (OidIsValid(relid) && if_not_exists)
	{
		ereport(NOTICE,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists, skipping", definition.name)));
		PG_RETURN_OID(relid);
	}
	if (OidIsValid(relid))
		replace_existing(relid, &definition, &options, or_replace);
	else
		relid = create_from(name, &definition, &options);
	dyn_boundary_set(relid, fcinfo, 13);
	if (comment != NULL)
		CreateComments(relid, RelationRelationId, 0, comment);

	if (options.lag == NULL && options.schedule == NULL)
		dyn_option_tell_unread(relid);
	dyn_forbid_prepare();
	if (!options.on_schedule && !options.unchanged)
		fill(relid, &definition);
	dyn_wake_at_end();
	PG_RETURN_OID(relid);
}

Datum
dyntable_drop(PG_FUNCTION_ARGS)
{
	RangeVar   *name = dyn_option_name(dyn_argument_text(fcinfo, 0));
	bool		if_exists = dyn_argument_bool(fcinfo, 1, false);
	DropStmt   *statement = makeNode(DropStmt);
	DynRestored *restored = NULL;
	Oid			relid;

	PreventCommandDuringRecovery("dyntable_drop()");
	PreventCommandIfReadOnly("dyntable_drop()");
	relid = RangeVarGetRelid(name, NoLock, true);

	/* A definition from a dump may be all that there is. */
	if (!OidIsValid(relid) && name->schemaname != NULL && superuser() &&
		dyn_restored_forget(name->schemaname, name->relname))
		PG_RETURN_VOID();
	if (OidIsValid(relid) && !dyn_is_dynamic_table(relid))
		restored = dyn_restored_get(relid);
	if (OidIsValid(relid) && !dyn_is_dynamic_table(relid) && restored == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a dynamic table", name->relname)));

	/* Checks rights, reports a missing one or skips it, and names what depends on it. */
	statement->removeType = OBJECT_TABLE;
	statement->objects = list_make1(name->schemaname ?
									list_make2(makeString(name->schemaname),
											   makeString(name->relname)) :
									list_make1(makeString(name->relname)));
	statement->missing_ok = if_exists;
	statement->behavior = dyn_argument_bool(fcinfo, 2, false) ? DROP_CASCADE : DROP_RESTRICT;
	dyn_lock_doomed(statement);
	RemoveRelations(statement);
	dyn_stages_left_drop();
	if (restored != NULL)
		(void) dyn_restored_forget(restored->schema, restored->name);
	PG_RETURN_VOID();
}
