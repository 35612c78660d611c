/*
 * dyn_adopt.c
 *	  Taking over tables that were restored from a dump.
 *
 * A restored table is an ordinary one, beside which dyntable.restored keeps
 * its definition.  Taken over, it is what dyntable_create would have made of
 * it, but for its rows: they are whatever the restore, or anybody else, has put
 * there, so the next refresh compares all of them with the query's.
 *
 * What a definition reads is taken over first: or a restored table would come
 * under capture as an ordinary one.
 *
 * Locks: SHARE ROW EXCLUSIVE on the table, so that nobody is writing it who
 * could still commit rows afterwards, and only then the look at the row of
 * dyntable.restored that counts.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/pg_class.h>
#include <catalog/namespace.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/varlena.h>

#include "base/dyn_settings.h"
#include "capture/dyn_capture.h"
#include "command/dyn_adopt.h"
#include "command/dyn_alter.h"
#include "command/dyn_transaction.h"
#include "compat/dyn_compat.h"
#include "query/dyn_query.h"
#include "refresh/dyn_execute.h"
#include "refresh/dyn_feed.h"
#include "refresh/dyn_refresh.h"

#define REINIT_REASON "restored from a dump"

static void adopt(DynRestored *restored, List *path);

typedef struct Reading
{
	const char *definition;
	List	   *sources;		/* of DynEdge */
} Reading;

static void
find_sources(void *arg)
{
	Reading    *reading = arg;

	reading->sources = dyn_query_sources(dyn_query_from_text(reading->definition));
}

/* Restored tables that the definition reads. */
static void
adopt_sources(const DynRestored *restored, List *path)
{
	Reading		reading = {restored->table.definition};
	ListCell   *cell;

	dyn_undone(find_sources, &reading);
	foreach(cell, reading.sources)
	{
		Oid			source = ((DynEdge *) lfirst(cell))->source;
		DynRestored *upstream = dyn_is_dynamic_table(source) ? NULL : dyn_restored_get(source);

		if (list_member_oid(path, source))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("dynamic table \"%s\" would read itself", restored->name)));
		if (upstream != NULL)
			adopt(upstream, path);
	}
}

/* Those who followed it read it again: its refreshes are counted anew. */
static void
adopt_feed(Oid relid, const Interval *keep)
{
	DynPosition *position = dyn_position_get(relid);

	dyn_feed_keep(relid, keep);
	dyn_feed_create(relid, position->refresh_no, position->data_timestamp);
}

static void
check_table(Oid relid)
{
	Relation	relation = table_open(relid, ShareRowExclusiveLock);
	Form_pg_class form = relation->rd_rel;

	if (!dyn_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(relation));
	if (form->relpersistence != RELPERSISTENCE_PERMANENT || form->relispartition || form->relhassubclass)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" cannot become a dynamic table", RelationGetRelationName(relation)),
				 errdetail("A dynamic table is permanent, and neither has partitions or children nor is one.")));
	table_close(relation, NoLock);
}

static void
check_columns(Oid relid, const DynDefinition *definition)
{
	char	   *mismatch;
	List	   *added = dyn_columns_to_add(relid, definition->columns, &mismatch);

	if (mismatch == NULL && added == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("table \"%s\" does not have the columns of its query", get_rel_name(relid)),
			 errdetail("The first that differs is \"%s\".",
					   mismatch ? mismatch : linitial_node(ColumnDef, added)->colname),
			 errhint("Drop the table and create it with dyntable_create().")));
}

/* Of the names in a dump those that are read still. */
static void
adopt_boundary(Oid relid, List *names)
{
	List	   *sources = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(lfirst(lc))));
		Oid			source = RangeVarGetRelid(name, NoLock, true);

		if (OidIsValid(source))
			sources = lappend_oid(sources, source);
	}
	if (sources != NIL)
		dyn_edges_set_boundary(relid, sources);
}

static void
adopt(DynRestored *restored, List *path)
{
	DynDefinition definition = {0};
	DynTable	table;
	Oid			relid = restored->table.relid;

	check_table(relid);
	restored = dyn_restored_get(relid);
	if (restored == NULL || dyn_is_dynamic_table(relid))
		return;
	adopt_sources(restored, lappend_oid(list_copy(path), relid));

	table = restored->table;
	definition.stored = &table;
	definition.owner = dyn_table_owner(relid);
	definition.name = restored->name;
	definition.mode = table.mode;
	definition.restored = true;
	dyn_definition_find(&definition);
	check_columns(relid, &definition);

	if (dyn_warehouse_get(table.warehouse) == NULL)
	{
		ereport(WARNING,
				(errmsg("warehouse \"%s\" of dynamic table \"%s\" does not exist", table.warehouse,
						restored->name),
				 errdetail("The table will use the warehouse \"default\".")));
		table.warehouse = NULL;
	}
	if (table.initial_warehouse != NULL && dyn_warehouse_get(table.initial_warehouse) == NULL)
		table.initial_warehouse = NULL;
	dyn_definition_to_table(&definition, &table);
	dyn_definition_install(&definition, &table);
	dyn_position_set_reinit(relid, REINIT_REASON);
	adopt_boundary(relid, restored->boundary);
	if (restored->populated && !dyn_relation_is_empty(relid))
		dyn_position_set_populated(relid);
	if (restored->changes_kept != NULL)
		adopt_feed(relid, restored->changes_kept);
	dyn_restored_identities(restored);
	(void) dyn_restored_forget(restored->schema, restored->name);
	dyn_forbid_prepare();
	dyn_wake_at_end();
}

bool
dyn_adopt(Oid relid)
{
	DynRestored *restored = dyn_is_dynamic_table(relid) ? NULL : dyn_restored_get(relid);

	if (restored == NULL)
		return false;
	dyn_restored_tracked();
	adopt(restored, NIL);
	return true;
}

static void
adopt_alone(void *arg)
{
	adopt(arg, NIL);
}

/* What goes wrong with one table shall not keep the others from being taken over. */
static void
try_adopt(DynRestored *restored)
{
	ErrorData  *error = dyn_try(adopt_alone, restored, true);

	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("restored dynamic table \"%s\" could not be taken over: %s", restored->name,
					error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0));
}

void
dyn_adopt_all(void)
{
	ListCell   *cell;

	if (!dyn_restored_any())
		return;

	/* before we have an xid, for which the making of a slot would wait */
	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		(void) dyn_capture_generation(dyn_capture_timeout, NULL);
	dyn_restored_tracked();
	foreach(cell, dyn_restored_all())
	{
		DynRestored *restored = lfirst(cell);

		if (!OidIsValid(restored->table.relid))
			ereport(WARNING,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table \"%s.%s\" of a restored definition does not exist", restored->schema,
							restored->name),
					 errhint("Restore the table, or forget the definition with dyntable_drop().")));
		else if (!dyn_owns_relation(restored->table.relid, GetUserId()))
			ereport(WARNING,
					(errmsg("skipping \"%s\" --- only its owner can take it over", restored->name)));
		else
			try_adopt(restored);
	}
}
