/*
 * dyn_slot.c
 *	  The replication slot of a database, its origin and its generation.
 *
 * Slot and origin are both called dyntable_<database oid>.  The slot keeps the
 * WAL, the origin's progress (moved by the commit record of each batch) says up
 * to where the log holds it.  The row of dyntable.slot gives this pair a random
 * generation and says to which system, timeline, database and tablespace it belongs; a
 * position is only worth something under the generation it was stored with.
 *
 * The row is committed while the slot is still ephemeral, then the slot is made
 * persistent.  A crash in between leaves a row without a slot; one before
 * leaves neither; so a slot that fits its row has captured everything since the
 * row was written.  Whatever does not fit is discarded and made anew.
 */
#include <postgres.h>

#include <access/heapam.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <access/xlogutils.h>
#include <catalog/pg_replication_origin.h>
#include <commands/dbcommands.h>
#include <miscadmin.h>
#include <replication/logical.h>
#include <replication/origin.h>
#include <replication/slot.h>
#include <storage/lmgr.h>
#include <storage/spin.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>

#include "base/dyn_settings.h"
#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

#define PLUGIN "dyntable"

/* A record that failed to be decoded so often in a row is passed over, with the slot. */
#define MOST_FAILURES	3

/* How long a slot may be over the bound before the launcher takes a hand. */
#define OVERDUE_MS	5000

void
dyn_slot_name(Oid dboid, char *name)
{
	snprintf(name, NAMEDATALEN, "dyntable_%u", dboid);
}

/* Whether there is a slot of ours.  Another's under our name is left alone. */
bool
dyn_slot_exists(void)
{
	char		name[NAMEDATALEN];
	ReplicationSlot *slot;

	dyn_slot_name(MyDatabaseId, name);
	slot = SearchNamedReplicationSlot(name, true);
	return slot != NULL && slot->data.database == MyDatabaseId &&
		strcmp(NameStr(slot->data.plugin), PLUGIN) == 0;
}

static void
check_name_is_free(const char *name)
{
	if (SearchNamedReplicationSlot(name, true) != NULL && !dyn_slot_exists())
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("replication slot \"%s\" exists and is not dyntable's", name),
				 errhint("Drop it with pg_drop_replication_slot(); change capture then begins by itself.")));
}

/* Note how far we have confirmed the slot ourselves; 0: there is none. */
void
dyn_slot_note_confirmed(XLogRecPtr lsn)
{
	DynDatabase *db;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(MyDatabaseId);
	if (db)
		db->confirmed_lsn = lsn;
	LWLockRelease(dyn_shmem->lock);
}

/* Whether the slot stands where we never confirmed it: changes were passed over. */
static bool
moved_by_others(void)
{
	DynDatabase *db;
	bool		moved;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	moved = db && !XLogRecPtrIsInvalid(db->confirmed_lsn) &&
		MyReplicationSlot->data.confirmed_flush > db->confirmed_lsn;
	LWLockRelease(dyn_shmem->lock);
	return moved;
}

/*
 * Late minor releases refuse output plugins that are not listed.  Ours serves
 * this process only, so this process alone allows it.
 */
static void
allow_plugin(void)
{
	if (GetConfigOption("output_plugin_libraries", true, false) != NULL)
		SetConfigOption("output_plugin_libraries", PLUGIN, PGC_SUSET, PGC_S_SESSION);
}

bool		dyn_own_latch_doubtful = false;

/*
 * A transaction of the process's own.  Afterwards the memory context is the
 * one that lives as long as the process, whatever the transaction left.
 */
void
dyn_own_begin(void)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
dyn_own_commit(void)
{
	bool		counts = TransactionIdIsValid(GetTopTransactionIdIfAny());

	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	dyn_own_latch_doubtful = true;
	if (counts && dyn_capture_worker)
		dyn_captured_committed();
}

static int64
new_generation(void)
{
	int64		generation;

	do
	{
		if (!pg_strong_random(&generation, sizeof(generation)))
			elog(ERROR, "could not generate a random number");
		generation &= PG_INT64_MAX;
	} while (generation == 0);
	return generation;
}

/*
 * Take note of a record that could not be decoded, unless for want of memory,
 * disk or the like: the error would come back with it after every restart.
 */
void
dyn_slot_note_failure(XLogRecPtr record, int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);
	DynDatabase *db;

	if (category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_SYSTEM_ERROR)
		return;
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(MyDatabaseId);
	if (db)
	{
		db->failures = db->failed_lsn == record ? db->failures + 1 : 1;
		db->failed_lsn = record;
	}
	LWLockRelease(dyn_shmem->lock);
}

/* Whether the slot is to be given up, since the same record failed again and again. */
bool
dyn_slot_hopeless(void)
{
	DynDatabase *db;
	XLogRecPtr	record = InvalidXLogRecPtr;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(MyDatabaseId);
	if (db && db->failures >= MOST_FAILURES)
	{
		record = db->failed_lsn;
		db->failures = 0;
	}
	LWLockRelease(dyn_shmem->lock);
	if (XLogRecPtrIsInvalid(record))
		return false;
	ereport(LOG,
			(errmsg("the replication slot is given up: the record at %X/%X could not be decoded %d times in a row",
					LSN_FORMAT_ARGS(record), MOST_FAILURES),
			 errdetail("Incremental dynamic tables of database %u will be initialised again.", MyDatabaseId)));
	return true;
}

/* Detach this process from the origin. */
static void
origin_release(void)
{
	if (dyn_capture_origin != InvalidRepOriginId)
		replorigin_session_reset();
	dyn_capture_origin = InvalidRepOriginId;
	replorigin_session_origin = InvalidRepOriginId;
	replorigin_session_origin_lsn = InvalidXLogRecPtr;
}

static void
origin_attach(RepOriginId origin)
{
	dyn_origin_setup(origin);
	dyn_capture_origin = origin;
	replorigin_session_origin = origin;
}

/*
 * Attach this process to the origin of this name; InvalidRepOriginId, when there
 * is none.  Whoever drops it takes its progress away at once, and its row with
 * the end of the transaction: hence the locks, of which one waits for that (the
 * one on the catalog on PostgreSQL 15, the other since).
 */
static RepOriginId
origin_take(const char *name)
{
	RepOriginId origin = replorigin_by_name(unconstify(char *, name), true);

	if (origin == InvalidRepOriginId)
		return origin;
	LockRelationOid(ReplicationOriginRelationId, RowExclusiveLock);
	LockSharedObject(ReplicationOriginRelationId, origin, 0, AccessShareLock);
	if (replorigin_by_name(unconstify(char *, name), true) != origin)
		return InvalidRepOriginId;
	origin_attach(origin);
	return origin;
}

/*
 * Slots go with their database; origins, which are the server's and take a
 * place of max_replication_slots each, do not.
 */
static void
drop_left_origins(void)
{
	Relation	catalog;
	TableScanDesc scan;
	HeapTuple	tuple;
	List	   *left = NIL;
	ListCell   *lc;

	dyn_own_begin();
	catalog = table_open(ReplicationOriginRelationId, AccessShareLock);
	scan = table_beginscan_catalog(catalog, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		char	   *name = TextDatumGetCString(heap_getattr(tuple, Anum_pg_replication_origin_roname,
															RelationGetDescr(catalog), &isnull));
		unsigned int dboid;
		int			length = 0;

		if (sscanf(name, "dyntable_%u%n", &dboid, &length) == 1 && name[length] == '\0' &&
			!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(dboid)))
			left = lappend(left, name);
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	foreach(lc, left)
		replorigin_drop_by_name(lfirst(lc), true, true);
	dyn_own_commit();
}

/* Release the slot, drop it and its origin, and forget its row where there is one. */
void
dyn_slot_discard(void)
{
	char		name[NAMEDATALEN];

	dyn_slot_name(MyDatabaseId, name);
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	if (dyn_slot_exists())
		ReplicationSlotDrop(name, true);
	dyn_slot_note_confirmed(InvalidXLogRecPtr);
	origin_release();
	dyn_own_begin();
	if (OidIsValid(dyn_extension_oid()))
		dyn_slot_forget();
	replorigin_drop_by_name(name, true, false);
	dyn_own_commit();
	drop_left_origins();
}

/* Why a row does not tell of this system and database, or NULL. */
static const char *
row_misfit(const DynSlot *slot, const char *name)
{
	if (slot->systemid != GetSystemIdentifier())
		return "the data come from another server";
	if (slot->dboid != MyDatabaseId || strcmp(slot->name, name) != 0)
		return "the database is a copy";
	if (slot->timeline != GetWALInsertionTimeLine())
		return "the server was promoted or restored";

	/* WAL from before the move names files that no relation of today has */
	if (slot->tablespace != MyDatabaseTableSpace)
		return "the database was moved to another tablespace";
	return NULL;
}

/*
 * Acquire the slot where it, its origin and its row fit.  *progress: up to
 * where the log holds its changes.  False: make a new one, for slot->cause.
 */
bool
dyn_slot_open(DynSlot *slot, XLogRecPtr *progress)
{
	char		name[NAMEDATALEN];
	RepOriginId origin = InvalidRepOriginId;
	bool		known;

	dyn_slot_name(MyDatabaseId, name);
	dyn_own_begin();
	known = dyn_slot_get(slot);
	slot->cause = !known ? NULL : row_misfit(slot, name);
	if (known && slot->cause == NULL)
		origin = origin_take(name);
	dyn_own_commit();

	if (known && slot->cause == NULL && origin == InvalidRepOriginId)
		slot->cause = "the replication origin was missing";
	if (known && slot->cause == NULL && !dyn_slot_exists())
		slot->cause = "the replication slot was missing";
	if (!known || slot->cause)
	{
		origin_release();
		return false;
	}
	allow_plugin();
	dyn_slot_acquire(name);
	if (dyn_slot_invalidated(MyReplicationSlot))
		slot->cause = "the replication slot was invalidated";
	else if (moved_by_others())
		slot->cause = "the replication slot was advanced by somebody else";
	*progress = replorigin_session_get_progress(true);
	if (slot->cause == NULL && XLogRecPtrIsInvalid(*progress))
		slot->cause = "the progress of the replication origin was lost";
	if (slot->cause)
	{
		ereport(LOG,
				(errmsg("replication slot \"%s\" can no longer be used for change capture", name),
				 errdetail_internal("%s.", slot->cause)));
		ReplicationSlotRelease();
		origin_release();
		return false;
	}
	if (*progress < MyReplicationSlot->data.confirmed_flush)
		*progress = MyReplicationSlot->data.confirmed_flush;
	replorigin_session_origin_lsn = *progress;
	return true;
}

/*
 * A transaction whose commit record stands before the slot's starting point
 * may still be invisible to a snapshot taken now (it waits for a synchronous
 * standby, say): neither such a snapshot nor the log would have its changes.
 * It still holds its locks on what it wrote, so wait for those who do.  Nobody
 * queues behind us, for we ask for no lock.
 */
static void
wait_for_writers(void)
{
	List	   *tags = NIL;
	ListCell   *lc;

	dyn_own_begin();
	foreach(lc, dyn_source_all())
	{
		ListCell   *lc2;

		foreach(lc2, dyn_source_relations(((DynSource *) lfirst(lc))->relid, NoLock))
		{
			LOCKTAG    *tag = palloc(sizeof(LOCKTAG));

			SET_LOCKTAG_RELATION(*tag, MyDatabaseId, lfirst_oid(lc2));
			tags = lappend(tags, tag);
		}
	}
	foreach(lc, tags)
		WaitForLockers(*(LOCKTAG *) lfirst(lc), ShareRowExclusiveLock, false);
	dyn_own_commit();
}

/* Whether the server has a slot left for us, who may have one already.  If not, the log says so once. */
bool
dyn_slot_room(void)
{
	static bool complained = false;
	bool		room = dyn_slot_exists();

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !room; i++)
		room = !ReplicationSlotCtl->replication_slots[i].in_use;
	LWLockRelease(ReplicationSlotControlLock);
	if (!room && !complained)
	{
		dyn_own_begin();
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no replication slot is left for change capture in database \"%s\"",
						get_database_name(MyDatabaseId)),
				 errhint("Free one, or increase max_replication_slots.")));
		dyn_own_commit();
	}
	complained = !room;
	return room;
}

/*
 * Make slot, origin and row, and leave the slot released.  Waits for every
 * transaction with an xid that runs now: interruptible, and other processes
 * can see it in pg_stat_activity and in dyntable.capture.
 */
void
dyn_slot_make(DynSlot *slot)
{
	const char *cause = slot->cause;
	char		name[NAMEDATALEN];
	LogicalDecodingContext *ctx;
	RepOriginId origin;
	XLogReaderRoutine routine = {
		.page_read = read_local_xlog_page,
		.segment_open = wal_segment_open,
		.segment_close = wal_segment_close
	};

	dyn_slot_name(MyDatabaseId, name);
	check_name_is_free(name);
	dyn_slot_discard();
	memset(slot, 0, sizeof(DynSlot));
	strlcpy(slot->name, name, NAMEDATALEN);
	slot->generation = new_generation();
	slot->systemid = GetSystemIdentifier();
	slot->timeline = GetWALInsertionTimeLine();
	slot->dboid = MyDatabaseId;
	slot->tablespace = MyDatabaseTableSpace;
	slot->cause = cause;

	allow_plugin();
	dyn_slot_create(slot->name);

	/*
	 * In a transaction, or the process would be marked as one that only
	 * decodes: snapshots of others would then ignore the xids it writes with.
	 */
	StartTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	ctx = CreateInitDecodingContext(PLUGIN, NIL, false, InvalidXLogRecPtr,
									&routine, NULL, NULL, NULL);
	CommitTransactionCommand();
	DecodingContextFindStartpoint(ctx);
	FreeDecodingContext(ctx);
	wait_for_writers();
	dyn_capture_move_horizon(PG_UINT64_MAX);

	dyn_own_begin();
	origin = replorigin_create(slot->name);
	dyn_slot_store(slot);
	ForceSyncCommit();
	dyn_own_commit();

	/*
	 * Progress of origins is limited by max_replication_slots, too: no slot
	 * without it.  It has a beginning, so that one without any is seen to have
	 * been lost.
	 */
	replorigin_advance(origin, MyReplicationSlot->data.confirmed_flush, InvalidXLogRecPtr, true, true);
	XLogFlush(dyn_wal_position());
	ReplicationSlotPersist();
	ReplicationSlotRelease();
	ereport(LOG,
			(errmsg("replication slot \"%s\" was made for change capture", slot->name)));
}

/* ---- by the launcher ---- */

/*
 * A slot over the bound that its worker does nothing about: it keeps failing,
 * or cannot be started, or is making the slot and waits for a transaction.  It
 * gets a while, for it may just be starting.  Whether to look again soon.
 */
static bool
guard_slot(const char *name, Oid dboid, int active_pid)
{
	TimestampTz now = GetCurrentTimestamp();
	DynDatabase *db;
	bool		stop = false;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(dboid);
	if (db && (active_pid == 0 || db->state == DYN_CAPTURE_CREATING))
	{
		if (db->slot_overdue == 0)
			db->slot_overdue = now;
		stop = TimestampDifferenceExceeds(db->slot_overdue, now, OVERDUE_MS);
		db->slot_given_up |= stop;
	}
	LWLockRelease(dyn_shmem->lock);
	if (!stop)
		return true;
	ereport(LOG,
			(errmsg("replication slot \"%s\" is given up: it holds back more than %d MB of WAL",
					name, dyn_max_retained_wal),
			 errdetail("Incremental dynamic tables of database %u will be initialised again.", dboid),
			 errhint("Look into the view dyntable.capture of that database, or increase \"dyntable.max_retained_wal\".")));
	if (active_pid == 0)
		ReplicationSlotDrop(name, true);
	else
		kill(active_pid, SIGTERM);	/* a slot in the making goes with its maker */
	return true;
}

static void
forgive_slot(Oid dboid)
{
	DynDatabase *db;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(dboid);
	if (db)
		db->slot_overdue = 0;
	LWLockRelease(dyn_shmem->lock);
}

bool
dyn_slots_guard(void)
{
	uint64		bound = (uint64) dyn_max_retained_wal * 1024 * 1024;
	XLogRecPtr	now = GetXLogInsertRecPtr();
	bool		soon = false;

	for (int i = 0; i < max_replication_slots && dyn_max_retained_wal >= 0; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		ReplicationSlotPersistentData data;
		int			pid;
		bool		ours;

		LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
		SpinLockAcquire(&slot->mutex);
		data = slot->data;
		pid = slot->active_pid;
		SpinLockRelease(&slot->mutex);
		ours = slot->in_use && data.database != InvalidOid && strcmp(NameStr(data.plugin), PLUGIN) == 0;
		LWLockRelease(ReplicationSlotControlLock);
		if (!ours)
			continue;
		if (!XLogRecPtrIsInvalid(data.restart_lsn) && data.restart_lsn < now && now - data.restart_lsn > bound)
			soon |= guard_slot(NameStr(data.name), data.database, pid);
		else
			forgive_slot(data.database);
	}
	return soon;
}
