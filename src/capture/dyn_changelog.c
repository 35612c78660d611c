/*
 * dyn_changelog.c
 *	  Change logs: their tables, writing batches into them, reading deltas.
 *
 * The log of source 4711 is dyntable.log_4711 (xid xid8, w smallint, a1, a3
 * ...), one column for each tracked column, named by its number, of the same
 * type, but a domain's base type in place of the domain, for the log keeps old
 * values, and a new constraint of the domain would be held against them; and dyntable.log_4711_b, the same again.  They are ordinary logged
 * tables, members of the extension (so that no dump carries them and DROP
 * EXTENSION takes them along), without an index.
 *
 * Rows are only ever appended, and are never deleted one by one: when one table
 * has grown and the other is empty, the worker goes on in the other, and a
 * table whose rows are all consumed is cut to nothing (dyn_trim.c).  So the log
 * neither bloats nor needs vacuum, and a reader can begin behind what its last
 * snapshot saw (dyn_logmarks.h) instead of reading what slower readers hold.
 * That rests on every row going to the end of a table: the worker, who alone
 * inserts, does so without the free space map and without a remembered block.
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
#include <access/transam.h>
#include <access/xact.h>
#include <catalog/heap.h>
#include <catalog/namespace.h>
#include <catalog/pg_am.h>
#include <catalog/pg_class.h>
#include <catalog/pg_namespace.h>
#include <catalog/pg_type.h>
#include <catalog/storage.h>
#include <catalog/toasting.h>
#include <executor/spi.h>
#include <executor/tuptable.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <storage/bufmgr.h>
#include <storage/lmgr.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>

#include "base/dyn_logmarks.h"
#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

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
static Oid
create_table(const char *name, TupleDesc desc)
{
	Oid			log;
	Oid			leftover = get_relname_relid(name, dyn_schema_oid());

	if (OidIsValid(leftover))
	{
		dyn_changelog_drop(leftover);
		CommandCounterIncrement();
	}
	log = heap_create_with_catalog(name, dyn_schema_oid(), InvalidOid, InvalidOid,
								   InvalidOid, InvalidOid, extension_owner(),
								   HEAP_TABLE_AM_OID, desc, NIL, RELKIND_RELATION,
								   RELPERSISTENCE_PERMANENT, false, false,
								   ONCOMMIT_NOOP, (Datum) 0, false, false, true,
								   InvalidOid, NULL);
	CommandCounterIncrement();
	NewRelationCreateToastTable(log, (Datum) 0);
	dyn_member_add(log);
	dyn_logmark_forget(log);
	return log;
}

void
dyn_changelog_create(Relation source, DynSource *row)
{
	TupleDesc	from = RelationGetDescr(source);
	TupleDesc	desc = CreateTemplateTupleDesc(DYN_LOG_FIXED + list_length(row->columns));
	char		name[NAMEDATALEN];
	AttrNumber	no = DYN_LOG_FIXED;
	ListCell   *lc;

	TupleDescInitEntry(desc, DYN_LOG_XID, "xid", XID8OID, -1, 0);
	TupleDescInitEntry(desc, DYN_LOG_WEIGHT, "w", INT2OID, -1, 0);
	foreach(lc, row->columns)
	{
		Form_pg_attribute att = TupleDescAttr(from, lfirst_int(lc) - 1);
		int32		typmod = att->atttypmod;
		Oid			type = getBaseTypeAndTypmod(att->atttypid, &typmod);

		dyn_changelog_column_name(att->attnum, name);
		TupleDescInitEntry(desc, ++no, name, type, typmod, att->attndims);
		TupleDescInitEntryCollation(desc, no, att->attcollation);
	}
	snprintf(name, NAMEDATALEN, "log_%u", row->relid);
	row->log = create_table(name, desc);
	snprintf(name, NAMEDATALEN, "log_%u_b", row->relid);
	row->other_log = create_table(name, desc);
}

/* Whether both of its tables are there: a superuser can drop anything. */
bool
dyn_changelog_exists(const DynSource *source)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source->log)) &&
		SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source->other_log));
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
			(column == InvalidAttrNumber || get_atttype(log, column) != getBaseType(type)))
			return false;
	}
	return true;
}

/*
 * Give the log the columns it lacks, and those anew whose type changed.  What
 * such a column held is lost, and nobody misses it: the change of type left an
 * event for its readers, and so did each change that it could not hold since.
 */
void
dyn_changelog_extend(Relation source, const DynSource *row)
{
	List	   *drops = NIL;
	List	   *adds = NIL;
	ListCell   *lc;

	foreach(lc, row->columns)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(source), lfirst_int(lc) - 1);
		AttrNumber	logged = dyn_changelog_attnum(row, att->attnum);
		int32		typmod = att->atttypmod;
		Oid			type = getBaseTypeAndTypmod(att->atttypid, &typmod);
		AlterTableCmd *command;
		char		name[NAMEDATALEN];

		if (logged != InvalidAttrNumber && get_atttype(row->log, logged) == type)
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
		command->def = (Node *) makeColumnDef(pstrdup(name), type, typmod,
											  att->attcollation);
		adds = lappend(adds, command);
	}
	if (drops != NIL)
	{
		dyn_alter_table(row->log, copyObject(drops));
		dyn_alter_table(row->other_log, copyObject(drops));
	}
	if (adds != NIL)
	{
		dyn_alter_table(row->log, copyObject(adds));
		dyn_alter_table(row->other_log, copyObject(adds));
	}
}

void
dyn_changelog_drop(Oid log)
{
	dyn_member_drop(log);
	dyn_logmark_forget(log);
}

/* ---- size ---- */

/* What is out of line is taken to be spread evenly. */
int64
dyn_changelog_unread(Oid log, const DynSnapshot *since)
{
	Relation	rel = try_table_open(log, AccessShareLock);
	int64		bytes = dyn_changelog_bytes(log);
	int64		blocks;

	if (rel == NULL)
		return 0;
	blocks = RelationGetNumberOfBlocks(rel);
	if (blocks > 0)
		bytes = bytes / blocks * (blocks - Min(blocks, dyn_logmark_start(log, dyn_storage(rel), since->xmin)));
	table_close(rel, AccessShareLock);
	return bytes;
}

int64
dyn_changelog_bytes(Oid log)
{
	Relation	rel = try_table_open(log, AccessShareLock);
	int64		bytes;

	if (rel == NULL)
		return 0;
	bytes = (int64) RelationGetNumberOfBlocks(rel) * BLCKSZ;
	if (OidIsValid(rel->rd_rel->reltoastrelid))
		bytes += dyn_changelog_bytes(rel->rd_rel->reltoastrelid);
	table_close(rel, AccessShareLock);
	return bytes;
}

/* Only the capture worker makes logs grow or shrink, so what it has measured stays true. */
void
dyn_changelog_measure(DynTracked *tracked)
{
	for (int i = 0; i < lengthof(tracked->logs); i++)
		tracked->bytes[i] = dyn_changelog_bytes(tracked->logs[i]);
}

static void
truncate_with_toast(Relation log)
{
	char	   *statement = psprintf("TRUNCATE ONLY %s",
									 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(log)),
																RelationGetRelationName(log)));

	table_close(log, NoLock);
	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute(statement, false, 0) != SPI_OK_UTILITY ||
		SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not run \"%s\"", statement);
}

/*
 * Empty a log table whose rows are all consumed, if it can be locked at once.
 * As VACUUM does it, in place: no catalog row is written and nothing is left
 * for vacuum.  Values in TOAST lie under an index, which cannot be cut like
 * that: then it is an ordinary TRUNCATE.
 */
void
dyn_changelog_cut(Oid logid)
{
	Relation	log;

	if (!ConditionalLockRelationOid(logid, AccessExclusiveLock))
		return;
	log = table_open(logid, NoLock);
	dyn_logmark_forget(logid);
	if (OidIsValid(log->rd_rel->reltoastrelid) &&
		dyn_changelog_bytes(log->rd_rel->reltoastrelid) > 0)
		truncate_with_toast(log);
	else
	{
		RelationTruncate(log, 0);
		table_close(log, NoLock);
	}
}

/* ---- writing ---- */

/* The table to append to. */
static Oid
choose_log(DynTracked *tracked)
{
	if (tracked->bytes[0] >= DYN_SWITCH_BYTES && tracked->bytes[1] == 0)
	{
		Oid			full = tracked->logs[0];

		tracked->logs[0] = tracked->logs[1];
		tracked->logs[1] = full;
		tracked->bytes[1] = tracked->bytes[0];
	}
	return tracked->logs[0];
}

/* Insert all rows of the batch.  Returns the block that the last one went to. */
static BlockNumber
insert_rows(Relation log, DynTracked *tracked)
{
	CommandId	command = GetCurrentCommandId(true);
	MemoryContext chunk_context = AllocSetContextCreate(CurrentMemoryContext, "dyntable chunk",
														ALLOCSET_DEFAULT_SIZES);
	BulkInsertState bulk = GetBulkInsertState();
	TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * INSERT_CHUNK);
	int			nslots = Min(tracked->nrows, INSERT_CHUNK);
	BlockNumber last = 0;
	int			n;

	for (int i = 0; i < nslots; i++)
		slots[i] = MakeSingleTupleTableSlot(tracked->log_desc, &TTSOpsMinimalTuple);
	do
	{
		MemoryContext caller = MemoryContextSwitchTo(chunk_context);

		for (n = 0; n < nslots; n++)
			if (!tuplestore_gettupleslot(tracked->rows, true, true, slots[n]))
				break;
		if (n > 0)
		{
			table_multi_insert(log, slots, n, command, TABLE_INSERT_SKIP_FSM, bulk);
			last = ItemPointerGetBlockNumber(&slots[n - 1]->tts_tid);
		}
		MemoryContextSwitchTo(caller);
		for (int i = 0; i < n; i++)
			ExecClearTuple(slots[i]);
		MemoryContextReset(chunk_context);
	} while (n == nslots);
	FreeBulkInsertState(bulk);
	for (int i = 0; i < nslots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	pfree(slots);
	MemoryContextDelete(chunk_context);
	return last;
}

/* Instead of the rows, one event for each transaction that they are of. */
static BlockNumber
insert_events(Relation log, DynTracked *tracked)
{
	TupleDesc	desc = RelationGetDescr(log);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(tracked->log_desc, &TTSOpsMinimalTuple);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	BlockNumber last = 0;

	memset(nulls, true, desc->natts);
	nulls[DYN_LOG_XID - 1] = nulls[DYN_LOG_WEIGHT - 1] = false;
	values[DYN_LOG_WEIGHT - 1] = Int16GetDatum(0);
	tuplestore_rescan(tracked->rows);
	while (tuplestore_gettupleslot(tracked->rows, true, false, slot))
	{
		bool		isnull;
		Datum		xid = slot_getattr(slot, DYN_LOG_XID, &isnull);
		HeapTuple	tuple;

		if (DatumGetUInt64(xid) == DatumGetUInt64(values[DYN_LOG_XID - 1]))
			continue;
		values[DYN_LOG_XID - 1] = xid;
		tuple = heap_form_tuple(desc, values, nulls);
		heap_insert(log, tuple, GetCurrentCommandId(true), HEAP_INSERT_SKIP_FSM, NULL);
		last = ItemPointerGetBlockNumber(&tuple->t_self);
		heap_freetuple(tuple);
	}
	ExecDropSingleTupleTableSlot(slot);
	return last;
}

/*
 * Append the rows that a source has in the batch.  The log may have gained
 * columns since they were formed: what a row lacks at its end reads as null.
 */
void
dyn_changelog_append(DynTracked *tracked, bool events_only)
{
	Relation	log = try_table_open(choose_log(tracked), RowExclusiveLock);

	if (log == NULL)
		return;
	RelationSetTargetBlock(log, InvalidBlockNumber);
	tracked->written_to = events_only ? insert_events(log, tracked) : insert_rows(log, tracked);
	tracked->written_storage = dyn_storage(log);
	table_close(log, RowExclusiveLock);
	tracked->bytes[0] = dyn_changelog_bytes(tracked->logs[0]);
}

/*
 * When the rows are committed: whatever is in earlier blocks is of transactions
 * that have an xid by now.
 */
void
dyn_changelog_mark(DynTracked *tracked)
{
	dyn_logmark_set(tracked->logs[0], tracked->written_storage, tracked->written_to,
					U64FromFullTransactionId(ReadNextFullTransactionId()));
}

/*
 * Have an event logged for a source under the current transaction's xid.  It
 * goes the way of all changes: a logical message in this transaction's WAL
 * reaches the output plugin with its commit.  So nothing here locks the log,
 * and nobody sees the event before the transaction.  Anybody may emit messages;
 * the generation in it is what only we know.  Without a slot there is nobody to
 * tell: the next one has another generation anyway.
 */
void
dyn_changelog_event(Oid relid, AttrNumber column)
{
	DynDatabase *db;
	DynEventMessage message = {.relid = relid, .column = column};

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	message.generation = db ? db->generation : 0;
	LWLockRelease(dyn_shmem->lock);
	if (message.generation != 0)
		(void) dyn_emit_message(DYN_EVENT_PREFIX, &message, sizeof(message));
}

/* ---- reading ---- */

/*
 * What the server reads under an old snapshot shows some DDL at once (a
 * partition attached or detached), and its event is not in that snapshot.
 */
static void
raise_older_snapshot(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access to a source due to concurrent change of its definition"),
			 errhint("The transaction might succeed if retried.")));
}

/* The two tables of a log, of which one is read after the other. */
typedef struct LogScan
{
	const DynSnapshot *since;
	const DynSnapshot *upto;
	TableScanDesc scan[2];
	BlockNumber start[2];		/* what lies before was read by an earlier refresh */
	double		blocks[2];		/* to be read */
	double		seen;			/* of them the first, without a change that counts; -1: none was found */
} LogScan;

static void
begin_scan(LogScan *log, int i, Oid logid, Snapshot snapshot)
{
	Relation	rel = table_open(logid, AccessShareLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	TableScanDesc scan = table_beginscan_strat(rel, snapshot, 0, NULL, true, false);
	BlockNumber start = dyn_logmark_start(logid, dyn_storage(rel), log->since->xmin);

	if (start > 0 && start < blocks)
		heap_setscanlimits(scan, start, ((HeapScanDesc) scan)->rs_nblocks - start);
	else
		start = 0;
	log->scan[i] = scan;
	log->start[i] = start;
	log->blocks[i] = blocks - start;
}

static bool
scan_log(LogScan *log, int i, DynChangeEmit emit, void *arg)
{
	TableScanDesc scan = log->scan[i];
	TupleTableSlot *slot = table_slot_create(scan->rs_rd, NULL);
	double		before = i == 0 ? 0 : log->blocks[0];
	bool		complete = true;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		uint64		xid = DatumGetUInt64(slot_getattr(slot, DYN_LOG_XID, &isnull));
		double		block;
		int			weight;

		CHECK_FOR_INTERRUPTS();
		if (dyn_snapshot_sees(log->since, xid))
			continue;
		weight = DatumGetInt16(slot_getattr(slot, DYN_LOG_WEIGHT, &isnull));
		block = before + ItemPointerGetBlockNumber(&slot->tts_tid) - log->start[i];
		if (log->seen < 0)
			log->seen = block;
		if (dyn_snapshot_sees(log->upto, xid))
			emit(slot, weight, Min((block + 1 - log->seen) / (log->blocks[0] + log->blocks[1] - log->seen), 1), arg);
		else if (weight == 0 && IsolationUsesXactSnapshot())
			raise_older_snapshot();
		else
			complete = false;
	}
	ExecDropSingleTupleTableSlot(slot);
	return complete;
}

static void
end_scan(LogScan *log, int i)
{
	Relation	rel = log->scan[i]->rs_rd;

	table_endscan(log->scan[i]);
	table_close(rel, AccessShareLock);
}

/*
 * The log is read under the latest snapshot whatever the transaction's own is:
 * its rows were committed by the capture worker after the transactions that
 * they tell of, and the xids in them say what counts.
 */
bool
dyn_changelog_scan(const DynSource *source, const DynSnapshot *since,
				   const DynSnapshot *upto, DynChangeEmit emit, void *arg)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	LogScan		log = {.since = since, .upto = upto, .seen = -1};
	Oid			tables[] = {source->log, source->other_log};
	bool		complete = true;

	for (int i = 0; i < lengthof(tables); i++)
		begin_scan(&log, i, tables[i], snapshot);
	for (int i = 0; i < lengthof(tables); i++)
		complete &= scan_log(&log, i, emit, arg);
	for (int i = 0; i < lengthof(tables); i++)
		end_scan(&log, i);
	UnregisterSnapshot(snapshot);
	dyn_capture_check_generation();
	return complete;
}
