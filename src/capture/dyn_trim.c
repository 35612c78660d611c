/*
 * dyn_trim.c
 *	  Housekeeping of capture: what is consumed leaves the logs, sources that
 *	  nobody reads leave capture, those that edges name and that are not under
 *	  capture come under it.
 *
 * Done by the capture worker, which everybody waits for: locks are taken
 * conditionally or, where a source leaves capture, waited for a moment, since a
 * table that is always being written is never free.  And nothing is done without a reason, for
 * there may be hundreds of sources: all of them are looked at when a command
 * says that something changed, or an invalidation message does of one of them;
 * otherwise only logs that are large enough to be cut.
 *
 * A row of a log is consumed when every position
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
#include <utils/hsearch.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_settings.h"
#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

/* How long writers may have to wait for a source to leave capture. */
#define RELEASE_LOCK_MS 50

/* Sources and their partitions, as of the last look at all of them. */
static HTAB *watched = NULL;
static bool touched = true;		/* one of them was altered since */

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
		dyn_identity_give_back(relid, identity);
}

static bool
lock_logs(const DynSource *source)
{
	return ConditionalLockRelationOid(source->log, AccessExclusiveLock) &&
		ConditionalLockRelationOid(source->other_log, AccessExclusiveLock);
}

/* Forget a source and its logs, which are locked. */
static void
forget_source(const DynSource *source)
{
	Oid			logs[] = {source->log, source->other_log};

	dyn_source_forget(source->relid);
	for (int i = 0; i < lengthof(logs); i++)
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(logs[i])))
			dyn_changelog_drop(logs[i]);
	dyn_shmem_count_registration_at_commit();
}

/*
 * The log of a source is damaged: have the source registered anew, with
 * another log.  Whoever reads it initialises again.
 */
void
dyn_trim_forget(Oid relid)
{
	DynSource  *source;

	dyn_own_begin();
	source = dyn_source_get(relid);
	if (source && lock_logs(source))
	{
		forget_source(source);
		ereport(LOG,
				(errmsg("the change log of table \"%s\" is damaged and is made anew", get_rel_name(relid)),
				 errdetail("Incremental dynamic tables that read it will be initialised again.")));
	}
	dyn_own_commit();
	/* its readers must not rest as if nothing had happened to it */
	dyn_captured_count(relid, 1);
	touched = true;
}

/* Take a source out of capture; raises ERRCODE_LOCK_NOT_AVAILABLE when it is not to be had. */
static void
release_source(Oid relid)
{
	DynSource  *source = dyn_source_get(relid);
	bool		exists = SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
	ListCell   *lc;

	/* a hold goes when its transaction is visible, and with it a reader */
	if (source == NULL || dyn_hold_exists(relid, 0) ||
		(exists && dyn_source_wanted(relid)))
		return;
	if (exists)
		dyn_source_lock(relid, RELEASE_LOCK_MS);
	if (!lock_logs(source))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the change log of table \"%s\" is in use", get_rel_name(relid))));
	if (exists)
		foreach(lc, dyn_source_relations(relid, NoLock))
			restore_identity(lfirst_oid(lc), relid);
	else
	{
		dyn_identity_forget(relid);
		(void) dyn_tracked_forget(relid);
	}
	forget_source(source);
	dyn_changes_forget(relid);
}

/* Partitions that were detached or dropped since. */
static void
restore_left_identities(void)
{
	ListCell   *lc;

	dyn_own_begin();
	foreach(lc, dyn_identities_left())
	{
		Oid			relid = lfirst_oid(lc);

		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
			dyn_identity_forget(relid);
		else if (ConditionalLockRelationOid(relid, ShareRowExclusiveLock))
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

/* The same in a transaction of its own; false when it has to be tried again. */
static bool
try_release_source(Oid relid)
{
	volatile bool released = true;

	PG_TRY();
	{
		dyn_own_begin();
		release_source(relid);
		dyn_own_commit();
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(TopMemoryContext);
		released = false;
	}
	PG_END_TRY();
	return released;
}

/* True when some are left to be tried again. */
static bool
release_unread_sources(void)
{
	List	   *unread;
	bool		left = false;
	ListCell   *lc;

	dyn_own_begin();
	unread = copy_oids(dyn_sources_unread());
	dyn_own_commit();
	foreach(lc, unread)
		left |= !try_release_source(lfirst_oid(lc));
	list_free(unread);
	return left;
}

/* Whether the source is under capture, or one who owns it wants it to be. */
static bool
owner_agrees(Oid source)
{
	ListCell   *lc;

	if (dyn_source_get(source) != NULL || dyn_tracked_grantees(source) != NIL)
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
	return !dyn_changelog_exists(source) ||
		!dyn_changelog_fits(source->relid, source->log, source->columns);
}

/*
 * Sources of tables that were made in the transaction that wrote the source,
 * or were cloned; and those whose registration no longer holds.  With the
 * columns to capture; those that cannot or may not be captured are left out.
 */
List *
dyn_sources_to_register(void)
{
	List	   *missing = dyn_sources_missing();
	List	   *sources = NIL;
	ListCell   *lc;

	foreach(lc, dyn_source_all())
		if (registration_decayed(lfirst(lc)))
			missing = lappend(missing, lfirst(lc));
	foreach(lc, missing)
	{
		DynSource  *source = lfirst(lc);
		const char *code;
		char	   *detail;

		if (dyn_capture_possible(source->relid, source->columns, &code, &detail) && owner_agrees(source->relid))
			sources = lappend(sources, source);
	}
	return sources;
}

/* Whether there are any; a registrar is then on its way. */
static bool
register_missing_sources(void)
{
	bool		any;

	dyn_own_begin();
	any = dyn_sources_to_register() != NIL;
	dyn_own_commit();
	if (any)
		dyn_registrar_start();
	return any;
}

/* ---- what would be noticed ---- */

static void
source_touched(Datum arg, Oid relid)
{
	touched |= !OidIsValid(relid) || watched == NULL ||
		hash_search(watched, &relid, HASH_FIND, NULL) != NULL;
}

/* Have invalidations of what is under capture now be noticed. */
static void
watch_sources(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid)};
	HTAB	   *relations = hash_create("dyntable watched relations", 256, &control,
									   HASH_ELEM | HASH_BLOBS);
	ListCell   *lc;
	ListCell   *lc2;

	dyn_own_begin();
	foreach(lc, dyn_source_all())
		foreach(lc2, dyn_source_relations(((DynSource *) lfirst(lc))->relid, NoLock))
			(void) hash_search(relations, &lfirst_oid(lc2), HASH_ENTER, NULL);
	dyn_own_commit();
	if (watched)
		hash_destroy(watched);
	watched = relations;
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

/* Whether all rows of a log from block on are consumed; also raises last to their last transaction. */
static bool
all_consumed(Relation log, BlockNumber from, BlockNumber blocks, List *snapshots, uint64 *last)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(log, NULL);
	TableScanDesc scan = table_beginscan_strat(log, snapshot, 0, NULL, true, false);
	bool		all = true;

	heap_setscanlimits(scan, from, blocks - from);
	while (all && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		uint64		xid = DatumGetUInt64(slot_getattr(slot, DYN_LOG_XID, &isnull));

		all = consumed(snapshots, xid);
		*last = Max(*last, xid);
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
cut_if_consumed(Oid source, Oid logid, int64 generation, List *snapshots)
{
	Relation	log = try_table_open(logid, AccessShareLock);
	BlockNumber blocks;
	uint64		last = 0;
	bool		all;

	if (log == NULL)
		return;
	blocks = RelationGetNumberOfBlocks(log);
	all = blocks > 0 &&
		all_consumed(log, blocks - 1, blocks, snapshots, &last) &&
		all_consumed(log, 0, blocks, snapshots, &last);
	table_close(log, AccessShareLock);
	if (!all)
		return;
	/* in this order: who holds the log from now on sees the horizon moved */
	dyn_capture_move_horizon(last);
	if (!dyn_hold_exists(source, generation))
		dyn_changelog_cut(logid);
}

/*
 * Over the bound, readers that have more than half of it before them will
 * initialise again.  The others will do with less before long: what they have
 * read is cut only when its table is full and another one in use.  Where the
 * marks of the log were lost, as after a crash, all seem to need all of it.
 */
static void
let_laggards_go(DynTracked *tracked, List *readers)
{
	int64		bound = (int64) dyn_max_change_log * 1024 * 1024;
	int64		bytes = tracked->bytes[0] + tracked->bytes[1];
	ListCell   *lc;

	if (dyn_max_change_log < 0 || bytes <= bound)
		return;
	foreach(lc, readers)
	{
		DynReader  *reader = lfirst(lc);

		if (reader->waits &&
			(bytes > 2 * bound ||
			 dyn_changelog_unread(tracked->logs[0], reader->snapshot) +
			 dyn_changelog_unread(tracked->logs[1], reader->snapshot) > bound / 2) &&
			dyn_position_let_go(reader->relid, "the change log passed dyntable.max_change_log"))
			ereport(LOG,
					(errmsg("dynamic table \"%s\" will be initialised again", get_rel_name(reader->relid)),
					 errdetail("It held back the change log of \"%s\", which passed \"dyntable.max_change_log\".",
							   get_rel_name(tracked->relid))));
	}
}

/* The log of one source, in a transaction of its own. */
static void
trim_log(DynTracked *tracked, int64 generation)
{
	List	   *readers = dyn_log_readers(tracked->relid, generation);
	List	   *snapshots = NIL;
	ListCell   *lc;

	foreach(lc, readers)
	{
		DynReader  *reader = lfirst(lc);

		if (reader->waits)
			snapshots = lappend(snapshots, reader->snapshot);
	}
	if (!dyn_hold_exists(tracked->relid, generation))
		for (int i = 0; i < 2; i++)
			if (tracked->bytes[i] >= DYN_TRUNCATE_BYTES)
				cut_if_consumed(tracked->relid, tracked->logs[i], generation, snapshots);
	dyn_changelog_measure(tracked);
	let_laggards_go(tracked, readers);
}

static void
try_trim_log(DynTracked *tracked, int64 generation)
{
	volatile bool damaged = false;

	PG_TRY();
	{
		dyn_own_begin();
		trim_log(tracked, generation);
		dyn_own_commit();
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_DATA_CORRUPTED)
			PG_RE_THROW();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(TopMemoryContext);
		damaged = true;
	}
	PG_END_TRY();
	if (damaged)
		dyn_trim_forget(tracked->relid);
}

/* Cut logs that are worth it and consumed, and add up all.  False when no log is worth it. */
bool
dyn_trim_logs(int64 generation, int64 *total)
{
	bool		any = false;
	ListCell   *lc;

	*total = 0;
	foreach(lc, dyn_batch_sources())
	{
		DynTracked *tracked = lfirst(lc);

		if (Max(tracked->bytes[0], tracked->bytes[1]) >= DYN_TRUNCATE_BYTES)
		{
			try_trim_log(tracked, generation);
			any = true;
		}
		*total += tracked->bytes[0] + tracked->bytes[1];
	}
	return any;
}

/* Whether a source was altered since dyn_trim_sources() saw them all. */
bool
dyn_trim_touched(void)
{
	return touched || dyn_batch_reshaped;
}

/* Look at all sources.  True when something is left to do a little later. */
bool
dyn_trim_sources(void)
{
	static bool registered = false;
	bool		left;

	if (!registered)
		CacheRegisterRelcacheCallback(source_touched, (Datum) 0);
	registered = true;
	touched = dyn_batch_reshaped = false;
	dyn_hold_sweep();
	left = release_unread_sources();
	restore_left_identities();
	watch_sources();
	return register_missing_sources() || left;
}
