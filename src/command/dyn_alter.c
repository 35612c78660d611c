/*
 * dyn_alter.c
 *	  dyntable_alter, and the replacing half of dyntable_create.
 *
 * A changed definition is not applied here: the next refresh computes the new
 * content and applies the difference, so readers see the old rows until then.
 * Where the columns become others the same holds for them (refresh/dyn_shape.c),
 * and dyntable_alter runs that refresh itself: new columns without their values
 * would be rows of no query.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/table.h>
#include <access/xact.h>
#include <catalog/pg_class.h>
#include <commands/comment.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <storage/lmgr.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>

#include "base/dyn_queue.h"
#include "command/dyn_alter.h"
#include "command/dyn_options.h"
#include "command/dyn_region.h"
#include "command/dyn_rename.h"
#include "command/dyn_transaction.h"
#include "query/dyn_frozen.h"
#include "query/dyn_query.h"
#include "refresh/dyn_refresh.h"
#include "refresh/dyn_shape.h"
#include "refresh/dyn_target.h"

PG_FUNCTION_INFO_V1(dyntable_alter);

/* Beside 0, the lock of a refresh (dyn_run.c), on the same object. */
#define OPTIONS_LOCK 1

List *
dyn_columns_to_add(Oid relid, List *columns, char **mismatch)
{
	Relation	relation = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(relation);
	ListCell   *cell = list_head(columns);
	List	   *added = NIL;

	*mismatch = NULL;
	for (int i = 0; i < desc->natts && *mismatch == NULL; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		ColumnDef  *column;

		if (attribute->attisdropped)
			continue;
		column = cell ? lfirst_node(ColumnDef, cell) : NULL;
		if (column == NULL ||
			strcmp(column->colname, NameStr(attribute->attname)) != 0 ||
			column->typeName->typeOid != attribute->atttypid ||
			column->typeName->typemod != attribute->atttypmod ||
			column->collOid != attribute->attcollation)
			*mismatch = pstrdup(NameStr(attribute->attname));
		else
			cell = lnext(columns, cell);
	}
	for (; cell != NULL; cell = lnext(columns, cell))
		added = lappend(added, lfirst(cell));
	table_close(relation, NoLock);
	return added;
}

/* Put a definition in the place of a table's present one; whether the columns become others. */
static bool
apply_definition(DynTable *table, const DynDefinition *definition)
{
	bool		same_query = definition->text == NULL;
	bool		same_mode = table->incremental == definition->incremental;
	DynShape   *shape = NULL;

	if (!same_query)
	{
		dyn_rename_columns(table, definition->query);
		shape = dyn_shape_find(table->relid, definition->query, true);
	}
	if (shape != NULL)
		dyn_shape_check(shape);
	if (!same_query && table->frozen_where != NULL)
		dyn_frozen_check(table->relid, dyn_frozen_analyse(table->relid, table->frozen_where), definition->query);
	dyn_definition_to_table(definition, table);
	dyn_definition_record(definition, table->relid);
	dyn_table_update(table);
	if (definition->reinit != NULL)
		dyn_position_set_reinit(table->relid, definition->reinit);
	else if (!same_query)
		dyn_position_set_reinit(table->relid, DYN_QUERY_CHANGED);
	else if (!same_mode)
		dyn_position_set_reinit(table->relid, "the refresh mode was changed");
	return shape != NULL;
}

Oid
dyn_table_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Commands that change a table's definition take the locks of a refresh, first
 * of all and in its order, so that neither is half way through when the other
 * begins; changes of other options come one after the other, by a lock that is
 * in nobody else's way (autovacuum, CREATE INDEX CONCURRENTLY).
 */
static void
lock_table(Oid relid, bool definition)
{
	if (definition)
		dyn_run_lock(list_make1_oid(relid));
	else
	{
		LockRelationOid(relid, AccessShareLock);
		LockDatabaseObject(get_relname_relid("dynamic_table", dyn_schema_oid()), relid,
						   OPTIONS_LOCK, ExclusiveLock);
	}
}

/*
 * Another wording of the definition that the table had when `asked` was read.
 * Where somebody has changed that since, nothing is done and false returned.
 */
static bool
reword(DynTable *table, const DynTable *asked, const char *text)
{
	if (table->tree == NULL || strcmp(asked->tree, table->tree) != 0)
		return false;
	table->query = pstrdup(text);
	return true;
}

/* The query that the table has, for what may be said of its columns. */
static Query *
present_query(const DynTable *table)
{
	bool		retyped;

	return dyn_stored_query(table, &retyped);
}

void
dyn_replace(Oid relid, DynDefinition *definition, DynTableOptions *options)
{
	DynTable   *asked = dyn_table_get(relid, false);
	bool		same = dyn_definition_is_text(asked, definition->text);
	DynTable   *table;

	options->unchanged = same && asked->mode == definition->mode;
	lock_table(relid, !options->unchanged);
	table = dyn_table_get(relid, false);
	table->target_lag = options->lag;
	table->schedule = options->schedule;
	table->warehouse = options->warehouse;
	table->initial_warehouse = options->initial_warehouse;
	if (options->frozen_where != NULL)
	{
		dyn_run_lock(list_make1_oid(relid));
		dyn_region_set(table, present_query(table), options->frozen_where, true);
	}
	same = same && reword(table, asked, definition->text);
	if (options->unchanged)
	{
		dyn_table_update(table);
		return;
	}

	if (same)
	{
		definition->text = NULL;
		definition->stored = table;
	}
	definition->relid = relid;
	definition->owner = dyn_table_owner(relid);
	dyn_definition_find(definition);
	(void) apply_definition(table, definition);
}

static void
alter_definition(DynTable *table, char *query, const char *refresh_mode)
{
	DynDefinition definition = {0};

	definition.text = query;
	definition.stored = table;
	definition.relid = table->relid;
	definition.owner = dyn_table_owner(table->relid);
	definition.name = get_rel_name(table->relid);
	definition.mode = refresh_mode ? dyn_option_mode(refresh_mode) : table->mode;
	dyn_definition_find(&definition);
	if (apply_definition(table, &definition) && dyn_position_get(table->relid)->populated)
		dyn_run(list_make1_oid(table->relid), &(DynRunOptions) {.trigger = DYN_TRIGGER_MANUAL});
}

Datum
dyntable_alter(PG_FUNCTION_ARGS)
{
	char	   *query = dyn_argument_text(fcinfo, 1);
	char	   *target_lag = dyn_argument_text(fcinfo, 2);
	char	   *refresh_mode = dyn_argument_text(fcinfo, 3);
	char	   *warehouse = dyn_argument_text(fcinfo, 4);
	char	   *schedule = dyn_argument_text(fcinfo, 5);
	char	   *comment = dyn_argument_text(fcinfo, 6);
	char	   *initial_warehouse = dyn_argument_text(fcinfo, 7);
	char	   *frozen_where = dyn_argument_text(fcinfo, 8);
	char	   *wording = NULL;
	bool		redefine;
	Oid			relid;
	DynTable   *asked;
	DynTable   *table;

	dyn_command_check("dyntable_alter()");
	relid = dyn_argument_owned(fcinfo, 0);
	dyn_option_check_lag_or_schedule(target_lag, schedule);

	asked = dyn_table_get(relid, false);
	if (query != NULL && dyn_definition_is_text(asked, query))
	{
		wording = query;
		query = NULL;
	}
	redefine = query != NULL || (refresh_mode != NULL && dyn_option_mode(refresh_mode) != asked->mode);
	lock_table(relid, redefine || frozen_where != NULL || !PG_ARGISNULL(9));
	table = dyn_table_get(relid, false);
	if (wording != NULL)
		(void) reword(table, asked, wording);
	if (target_lag != NULL)
	{
		table->target_lag = dyn_option_lag(target_lag);
		table->schedule = NULL;
		if (table->target_lag == NULL)
			dyn_option_tell_unread(relid);
	}
	if (schedule != NULL)
	{
		dyn_option_check_schedule(schedule);
		table->target_lag = NULL;
		table->schedule = schedule;
	}
	if (warehouse != NULL)
	{
		dyn_option_check_warehouse(warehouse);
		table->warehouse = warehouse;
	}
	if (initial_warehouse != NULL)
	{
		if (*initial_warehouse != '\0')
			dyn_option_check_warehouse(initial_warehouse);
		table->initial_warehouse = *initial_warehouse ? initial_warehouse : NULL;
	}
	if (frozen_where != NULL)
		dyn_region_set(table, present_query(table), frozen_where, true);
	if (redefine)
	{
		alter_definition(table, query, refresh_mode);
		dyn_forbid_prepare();
	}
	else
		dyn_table_update(table);
	dyn_boundary_set(relid, fcinfo, 9);
	if (comment != NULL)
		CreateComments(relid, RelationRelationId, 0, comment);
	dyn_wake_at_end();
	PG_RETURN_VOID();
}
