/*
 * dyn_trim.c
 *	  Housekeeping of capture: what is consumed leaves the logs, sources that
 *	  nobody reads leave capture, those that edges name and that are not under
 *	  capture come under it.
 *
 * Done by the capture worker, which everybody waits for: locks are taken
 * conditionally or not at all.  A row of a log is consumed when every position
 * that will still read deltas of its source sees its transaction, unless a
 * transaction that is filling a table from the source holds the log.  Positions
 * are read under a snapshot taken before the holds are looked at: a fill whose
 * snapshot comes later sees everything that those positions see, and one with
 * an older snapshot finds the horizon moved (dyn_capture_outran).
 */
#include <postgres.h>

#include <access/heapam.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <catalog/pg_class.h>
#include <catalog/storage.h>
#include <catalog/partition.h>
#include <miscadmin.h>
#include <storage/bufmgr.h>
#include <storage/lmgr.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>

#include "base/dyn_settings.h"
#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

/* How long to leave a source alone that could not be registered. */
#define REGISTER_EVERY_MS	6000

/* ---- which sources ---- */

/* Whether an identity is still needed by a source other than the one that leaves. */
static bool
identity_needed(Oid relid, Oid leaving)
{
	List	   *above = lappend_oid(NIL, relid);
	ListCell   *lc;

	if (get_rel_relispartition(relid))
		above = list_concat(above, get_partition_ancestors(relid));
	foreach(lc, above)
		if (lfirst_oid(lc) != leaving && dyn_source_get(lfirst_oid(lc)) != NULL)
			return true;
	return false;
}

static void
restore_identity(Oid relid, Oid leaving)
{
	char		identity = dyn_identity_get(relid);

	if (identity == '\0' || identity_needed(relid, leaving))
		return;
	dyn_identity_forget(relid);
	/* whoever set it to something else since wanted that */
	if (dyn_identity_now(relid) == REPLICA_IDENTITY_FULL)
		dyn_identity_set(relid, identity);
}

/* Take a source out of capture unless somebody uses it just now. */
static void
release_source(Oid relid)
{
	DynSource  *source = dyn_source_get(relid);
	bool		exists = SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
	bool		logs_exist;
	ListCell   *lc;

	if (source == NULL || dyn_hold_exists(relid))
		return;
	if (exists && !dyn_source_lock(relid, ShareRowExclusiveLock))
		return;
	logs_exist = SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source->log)) &&
		SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source->other_log));
	if (logs_exist &&
		(!ConditionalLockRelationOid(source->log, AccessExclusiveLock) ||
		 !ConditionalLockRelationOid(source->other_log, AccessExclusiveLock)))
		return;
	if (exists)
		foreach(lc, dyn_source_relations(relid, NoLock))
			restore_identity(lfirst_oid(lc), relid);
	else
		dyn_identity_forget(relid);
	dyn_source_forget(relid);
	if (logs_exist)
	{
		dyn_changelog_drop(source->log);
		dyn_changelog_drop(source->other_log);
	}
	dyn_shmem_count_registration_at_commit();
}

/* Partitions that were detached or dropped since. */
static void
restore_left_identities(void)
{
	ListCell   *lc;

	dyn_own_begin();
	foreach(lc, dyn_identities_all())
	{
		Oid			relid = lfirst_oid(lc);

		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
			dyn_identity_forget(relid);
		else if (!identity_needed(relid, InvalidOid) &&
				 ConditionalLockRelationOid(relid, ShareRowExclusiveLock))
			restore_identity(relid, InvalidOid);
	}
	dyn_own_commit();
}

static List *
copy_oids(List *list)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	List	   *copy = list_copy(list);

	MemoryContextSwitchTo(caller);
	return copy;
}

static void
release_unread_sources(void)
{
	List	   *unread;
	ListCell   *lc;

	dyn_own_begin();
	unread = copy_oids(dyn_sources_unread());
	dyn_own_commit();
	foreach(lc, unread)
	{
		dyn_own_begin();
		release_source(lfirst_oid(lc));
		dyn_own_commit();
	}
	list_free(unread);
}

/* Whether the source is under capture, or one who owns it has a dynamic table over it. */
static bool
owner_agrees(Oid source)
{
	ListCell   *lc;

	if (dyn_source_get(source) != NULL)
		return true;
	foreach(lc, dyn_readers_of(source))
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));
		Oid			owner;

		if (!HeapTupleIsValid(tuple))
			continue;
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
		if (dyn_owns_relation(source, owner))
			return true;
	}
	return false;
}

/* Whether a source lost what capture needs of it: its identity, a column's type in the log. */
static bool
registration_decayed(DynSource *source)
{
	ListCell   *lc;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source->relid)))
		return false;
	foreach(lc, dyn_source_relations(source->relid, NoLock))
		if (dyn_identity_now(lfirst_oid(lc)) != REPLICA_IDENTITY_FULL)
			return true;
	return !dyn_changelog_fits(source->relid, source->log, source->columns);
}

/*
 * Sources of tables that were made in the transaction that wrote the source,
 * or were cloned; and those whose registration no longer holds.
 */
static void
register_missing_sources(void)
{
	static TimestampTz not_before = 0;
	TimestampTz now = GetCurrentTimestamp();
	List	   *missing;
	ListCell   *lc;

	if (now < not_before && !dyn_batch_reshaped)
		return;
	dyn_batch_reshaped = false;
	dyn_own_begin();
	missing = dyn_sources_missing();
	foreach(lc, dyn_source_all())
		if (registration_decayed(lfirst(lc)))
			missing = lappend(missing, lfirst(lc));
	foreach(lc, missing)
	{
		DynSource  *source = lfirst(lc);
		const char *code;
		char	   *detail;

		not_before = TimestampTzPlusMilliseconds(now, REGISTER_EVERY_MS);
		if (dyn_capture_possible(source->relid, &code, &detail) &&
			owner_agrees(source->relid))
			(void) dyn_registrar_start(source->relid, source->columns);
	}
	dyn_own_commit();
}

/* ---- logs ---- */

static bool
consumed(List *snapshots, uint64 xid)
{
	ListCell   *lc;

	foreach(lc, snapshots)
		if (!dyn_snapshot_sees(lfirst(lc), xid))
			return false;
	return true;
}

/* Whether all rows of a log from block on are consumed. */
static bool
all_consumed(Relation log, BlockNumber from, BlockNumber blocks, List *snapshots)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(log, NULL);
	TableScanDesc scan = table_beginscan_strat(log, snapshot, 0, NULL, true, false);
	bool		all = true;

	heap_setscanlimits(scan, from, blocks - from);
	while (all && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;

		all = consumed(snapshots, DatumGetUInt64(slot_getattr(slot, DYN_LOG_XID, &isnull)));
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	return all;
}

/*
 * Empty a log table if all its rows are consumed.  The last block says most of
 * the time that it is too early.  Rows come from this process alone, so what
 * was found before the table is locked for cutting holds under that lock.
 */
static void
cut_if_consumed(Oid source, Oid logid, List *snapshots)
{
	Relation	log = try_table_open(logid, AccessShareLock);
	BlockNumber blocks;
	bool		all;

	if (log == NULL)
		return;
	blocks = RelationGetNumberOfBlocks(log);
	all = blocks > 0 &&
		all_consumed(log, blocks - 1, blocks, snapshots) &&
		all_consumed(log, 0, blocks, snapshots);
	table_close(log, AccessShareLock);
	if (!all)
		return;
	/* in this order: who holds the log from now on sees the horizon moved */
	dyn_capture_move_horizon();
	if (!dyn_hold_exists(source))
		dyn_changelog_cut(logid);
}

/*
 * Over the bound, the reader that stands furthest back will initialise again;
 * if that is not enough the next round takes the next one.
 */
static void
let_laggard_go(DynSource *source, List *readers, int64 bytes)
{
	DynReader  *last = NULL;
	ListCell   *lc;

	if (dyn_max_change_log < 0 || bytes <= (int64) dyn_max_change_log * 1024 * 1024)
		return;
	foreach(lc, readers)
	{
		DynReader  *reader = lfirst(lc);

		if (reader->source == source->relid && reader->waits &&
			(last == NULL || reader->snapshot->xmin < last->snapshot->xmin))
			last = reader;
	}
	if (last && dyn_position_let_go(last->relid, "the change log passed dyntable.max_change_log"))
		ereport(LOG,
				(errmsg("dynamic table \"%s\" will be initialised again", get_rel_name(last->relid)),
				 errdetail("It held back the change log of \"%s\", which passed \"dyntable.max_change_log\".",
						   get_rel_name(source->relid))));
}

/* The log of one source, in a transaction of its own.  Returns its size. */
static int64
trim_log(Oid relid, int64 generation)
{
	DynSource  *source = dyn_source_get(relid);
	List	   *readers = dyn_readers_all(generation);
	List	   *snapshots = NIL;
	int64		bytes;
	int64		other_bytes;
	ListCell   *lc;

	if (source == NULL)
		return 0;
	bytes = dyn_changelog_bytes(source->log);
	other_bytes = dyn_changelog_bytes(source->other_log);
	foreach(lc, readers)
	{
		DynReader  *reader = lfirst(lc);

		if (reader->source == relid && reader->waits)
			snapshots = lappend(snapshots, reader->snapshot);
	}
	if (dyn_hold_exists(relid))
		return bytes + other_bytes;
	if (bytes >= DYN_TRUNCATE_BYTES)
		cut_if_consumed(relid, source->log, snapshots);
	if (other_bytes >= DYN_TRUNCATE_BYTES)
		cut_if_consumed(relid, source->other_log, snapshots);
	let_laggard_go(source, readers, bytes + other_bytes);
	return bytes + other_bytes;
}

static int64
trim_logs(int64 generation)
{
	int64		total = 0;
	List	   *sources = NIL;
	ListCell   *lc;

	dyn_own_begin();
	foreach(lc, dyn_source_all())
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

		sources = lappend_oid(sources, ((DynSource *) lfirst(lc))->relid);
		MemoryContextSwitchTo(caller);
	}
	dyn_own_commit();
	foreach(lc, sources)
	{
		dyn_own_begin();
		total += trim_log(lfirst_oid(lc), generation);
		dyn_own_commit();
	}
	list_free(sources);
	return total;
}

void
dyn_trim(int64 generation)
{
	int64		total;
	DynDatabase *db;

	dyn_hold_sweep();
	release_unread_sources();
	restore_left_identities();
	register_missing_sources();
	total = trim_logs(generation);
	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	if (db)
		pg_atomic_write_u64(&db->log_bytes, total);
	LWLockRelease(dyn_shmem->lock);
}
