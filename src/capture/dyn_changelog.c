/*
 * dyn_changelog.c
 *	  Change logs: their tables, writing batches into them, reading deltas.
 *
 * The log of source 4711 is dyntable.log_4711 (xid xid8, w smallint, a1, a3
 * ...), one column for each tracked column, named by its number, of the same
 * type.  It is an ordinary logged table, a member of the extension (so that no
 * dump carries it and DROP EXTENSION takes it along), without an index: rows
 * are appended in the order of commits and go again in the same order.
 *
 * Locks: tables are made, extended and dropped by our workers only.  Readers
 * give their lock back with the scan, not with the transaction, so that a
 * registrar that adds a column never waits for a long refresh.
 */
#include <postgres.h>

#include <access/heapam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <catalog/dependency.h>
#include <catalog/heap.h>
#include <catalog/namespace.h>
#include <catalog/pg_am.h>
#include <catalog/pg_class.h>
#include <catalog/pg_extension.h>
#include <catalog/pg_namespace.h>
#include <catalog/pg_type.h>
#include <catalog/toasting.h>
#include <commands/tablecmds.h>
#include <executor/tuptable.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <storage/lmgr.h>
#include <tcop/utility.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>

#include "capture/dyn_capture_internal.h"

/* Rows given to heap_multi_insert at once. */
#define INSERT_CHUNK 1000

void
dyn_changelog_column_name(AttrNumber column, char *name)
{
	snprintf(name, NAMEDATALEN, "a%d", column);
}

AttrNumber
dyn_changelog_attnum(const DynSource *source, AttrNumber column)
{
	char		name[NAMEDATALEN];

	dyn_changelog_column_name(column, name);
	return get_attnum(source->log, name);
}

/* ---- the table ---- */

static Oid
extension_owner(void)
{
	Oid			schema = dyn_schema_oid();
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for schema %u", schema);
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Made with the server's internal functions rather than by a statement: no
 * event trigger of the user's fires, and default privileges do not apply.
 */
Oid
dyn_changelog_create(Relation source, List *columns)
{
	TupleDesc	from = RelationGetDescr(source);
	TupleDesc	desc = CreateTemplateTupleDesc(DYN_LOG_FIXED + list_length(columns));
	char		name[NAMEDATALEN];
	AttrNumber	no = DYN_LOG_FIXED;
	ObjectAddress log;
	ObjectAddress extension;
	Oid			leftover;
	ListCell   *lc;

	TupleDescInitEntry(desc, DYN_LOG_XID, "xid", XID8OID, -1, 0);
	TupleDescInitEntry(desc, DYN_LOG_WEIGHT, "w", INT2OID, -1, 0);
	foreach(lc, columns)
	{
		Form_pg_attribute att = TupleDescAttr(from, lfirst_int(lc) - 1);

		dyn_changelog_column_name(att->attnum, name);
		TupleDescInitEntry(desc, ++no, name, att->atttypid, att->atttypmod, att->attndims);
		TupleDescInitEntryCollation(desc, no, att->attcollation);
	}
	snprintf(name, NAMEDATALEN, "log_%u", RelationGetRelid(source));
	leftover = get_relname_relid(name, dyn_schema_oid());
	if (OidIsValid(leftover))
	{
		dyn_changelog_drop(leftover);
		CommandCounterIncrement();
	}
	ObjectAddressSet(log, RelationRelationId,
					 heap_create_with_catalog(name, dyn_schema_oid(), InvalidOid, InvalidOid,
											  InvalidOid, InvalidOid, extension_owner(),
											  HEAP_TABLE_AM_OID, desc, NIL, RELKIND_RELATION,
											  RELPERSISTENCE_PERMANENT, false, false,
											  ONCOMMIT_NOOP, (Datum) 0, false, false, true,
											  InvalidOid, NULL));
	CommandCounterIncrement();
	NewRelationCreateToastTable(log.objectId, (Datum) 0);
	ObjectAddressSet(extension, ExtensionRelationId, dyn_extension_oid());
	recordDependencyOn(&log, &extension, DEPENDENCY_EXTENSION);
	CommandCounterIncrement();
	return log.objectId;
}

/*
 * Whether the log has these columns in the types that the source has today.
 * Columns that the source has dropped do not count.
 */
bool
dyn_changelog_fits(Oid relid, Oid log, List *columns)
{
	DynSource	source = {.log = log};
	ListCell   *lc;

	foreach(lc, columns)
	{
		Oid			type = get_atttype(relid, lfirst_int(lc));
		AttrNumber	column = dyn_changelog_attnum(&source, lfirst_int(lc));

		if (OidIsValid(type) &&
			(column == InvalidAttrNumber || get_atttype(log, column) != type))
			return false;
	}
	return true;
}

/* One ALTER TABLE on a log, without event triggers. */
static void
alter_log(Oid log, List *commands)
{
	AlterTableStmt *statement = makeNode(AlterTableStmt);
	PlannedStmt *wrapper = makeNode(PlannedStmt);
	AlterTableUtilityContext context = {0};
	LOCKMODE	lockmode = AccessExclusiveLock;

	statement->relation = makeRangeVar(get_namespace_name(dyn_schema_oid()),
									   get_rel_name(log), -1);
	statement->cmds = commands;
	statement->objtype = OBJECT_TABLE;
	wrapper->commandType = CMD_UTILITY;
	wrapper->utilityStmt = (Node *) statement;
	wrapper->stmt_location = -1;
	LockRelationOid(log, lockmode);
	context.pstmt = wrapper;
	context.queryString = "";
	context.relid = log;
	AlterTable(statement, lockmode, &context);
	CommandCounterIncrement();
}

/*
 * Give the log the columns it lacks, and those anew whose type changed.  True
 * when a column had to be replaced: what it held is lost, so the caller must
 * log an event.
 */
bool
dyn_changelog_extend(Relation source, Oid log, List *columns)
{
	DynSource	row = {.log = log};
	List	   *drops = NIL;
	List	   *adds = NIL;
	ListCell   *lc;

	foreach(lc, columns)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(source), lfirst_int(lc) - 1);
		AttrNumber	logged = dyn_changelog_attnum(&row, att->attnum);
		AlterTableCmd *command;
		char		name[NAMEDATALEN];

		if (logged != InvalidAttrNumber && get_atttype(log, logged) == att->atttypid)
			continue;
		dyn_changelog_column_name(att->attnum, name);
		if (logged != InvalidAttrNumber)
		{
			command = makeNode(AlterTableCmd);
			command->subtype = AT_DropColumn;
			command->name = pstrdup(name);
			command->behavior = DROP_RESTRICT;
			drops = lappend(drops, command);
		}
		command = makeNode(AlterTableCmd);
		command->subtype = AT_AddColumn;
		command->def = (Node *) makeColumnDef(pstrdup(name), att->atttypid,
											  att->atttypmod, att->attcollation);
		adds = lappend(adds, command);
	}
	if (drops != NIL)
		alter_log(log, drops);
	if (adds != NIL)
		alter_log(log, adds);
	return drops != NIL;
}

void
dyn_changelog_drop(Oid log)
{
	ObjectAddress address;

	ObjectAddressSet(address, RelationRelationId, log);
	performDeletion(&address, DROP_RESTRICT,
					PERFORM_DELETION_INTERNAL | PERFORM_DELETION_SKIP_EXTENSIONS);
}

/* ---- writing ---- */

/*
 * Append the rows that a source has in the batch.  The log may have gained
 * columns since they were formed: what a row lacks at its end reads as null.
 */
void
dyn_changelog_append(DynTracked *tracked)
{
	Relation	log = try_table_open(tracked->log, RowExclusiveLock);
	CommandId	command = GetCurrentCommandId(true);
	MemoryContext chunk_context;
	BulkInsertState bulk;
	TupleTableSlot **slots;
	int			n;

	if (log == NULL)
		return;
	slots = palloc(sizeof(TupleTableSlot *) * INSERT_CHUNK);
	for (int i = 0; i < INSERT_CHUNK; i++)
		slots[i] = i < tracked->nrows ?
			MakeSingleTupleTableSlot(tracked->log_desc, &TTSOpsMinimalTuple) : NULL;
	chunk_context = AllocSetContextCreate(CurrentMemoryContext, "dyntable chunk",
										  ALLOCSET_DEFAULT_SIZES);
	bulk = GetBulkInsertState();
	do
	{
		MemoryContext caller = MemoryContextSwitchTo(chunk_context);

		for (n = 0; n < INSERT_CHUNK && slots[n] != NULL; n++)
			if (!tuplestore_gettupleslot(tracked->rows, true, true, slots[n]))
				break;
		if (n > 0)
			table_multi_insert(log, slots, n, command, 0, bulk);
		MemoryContextSwitchTo(caller);
		for (int i = 0; i < n; i++)
			ExecClearTuple(slots[i]);
		MemoryContextReset(chunk_context);
	} while (n == INSERT_CHUNK);
	FreeBulkInsertState(bulk);
	for (int i = 0; i < INSERT_CHUNK && slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	pfree(slots);
	MemoryContextDelete(chunk_context);
	table_close(log, RowExclusiveLock);
}

/* A single event, written in the current transaction. */
void
dyn_changelog_event(Oid log, uint64 xid)
{
	Relation	rel = table_open(log, RowExclusiveLock);
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	memset(nulls, true, desc->natts);
	values[DYN_LOG_XID - 1] = UInt64GetDatum(xid);
	values[DYN_LOG_WEIGHT - 1] = Int16GetDatum(0);
	nulls[DYN_LOG_XID - 1] = nulls[DYN_LOG_WEIGHT - 1] = false;
	simple_heap_insert(rel, heap_form_tuple(desc, values, nulls));
	table_close(rel, RowExclusiveLock);
}

/* ---- reading ---- */

/*
 * The log is read under the latest snapshot whatever the transaction's own is:
 * its rows were committed by the capture worker after the transactions that
 * they tell of, and the xids in them say what counts.
 */
void
dyn_changelog_scan(const DynSource *source, const DynSnapshot *since,
				   const DynSnapshot *upto, DynChangeEmit emit, void *arg)
{
	Relation	log = table_open(source->log, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(log, NULL);
	TableScanDesc scan = table_beginscan(log, snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		uint64		xid = DatumGetUInt64(slot_getattr(slot, DYN_LOG_XID, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (dyn_snapshot_sees(since, xid) || !dyn_snapshot_sees(upto, xid))
			continue;
		emit(slot, DatumGetInt16(slot_getattr(slot, DYN_LOG_WEIGHT, &isnull)), arg);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(log, AccessShareLock);
	dyn_capture_check_generation();
}
