/*
 * dyn_freshness.c
 *	  Data timestamps that moved without a write.
 *
 * When nothing happened to what a table reads, its data timestamp advances,
 * and that must not cost a transaction.  So it advances here, in a hash table
 * in shared memory, and reaches the catalog with the next real change.  A
 * crash forgets it, which makes a table look older than it is, never younger.
 * So it is with the number of refreshes that were asked for and found nothing.
 *
 * There is room for a fixed number of tables and sources.  Sources beyond it
 * share one counter; tables beyond it look as old as the catalog says, and are
 * refreshed where nothing happened, too.
 */
#include <postgres.h>

#include <access/xact.h>
#include <miscadmin.h>
#include <nodes/pg_list.h>
#include <storage/shmem.h>
#include <utils/hsearch.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"

#define FRESHNESS_TABLES 32768
#define FRESHNESS_SOURCES 16384

/* How often a source changed. */
typedef struct SourceChanges
{
	DynFreshnessKey key;
	uint64		changes;
} SourceChanges;

/* One lock for both tables, and the counter for sources without an entry. */
typedef struct FreshnessShared
{
	LWLock		lock;
	uint64		other_changes;
} FreshnessShared;

static FreshnessShared *freshness = NULL;
static HTAB *freshness_table = NULL;
static HTAB *changes_table = NULL;

/* Tables that this transaction redefined; in TopTransactionContext. */
static List *redefined = NIL;

Size
dyn_freshness_size(void)
{
	Size		size = MAXALIGN(sizeof(FreshnessShared));

	size = add_size(size, hash_estimate_size(FRESHNESS_TABLES, sizeof(DynFreshness)));
	return add_size(size, hash_estimate_size(FRESHNESS_SOURCES, sizeof(SourceChanges)));
}

void
dyn_freshness_init(void)
{
	HASHCTL		tables = {.keysize = sizeof(DynFreshnessKey),.entrysize = sizeof(DynFreshness)};
	HASHCTL		sources = {.keysize = sizeof(DynFreshnessKey),.entrysize = sizeof(SourceChanges)};
	bool		found;

	freshness = ShmemInitStruct("dyntable freshness", sizeof(FreshnessShared), &found);
	if (!found)
	{
		LWLockInitialize(&freshness->lock, LWLockNewTrancheId());
		freshness->other_changes = 0;
	}
	LWLockRegisterTranche(freshness->lock.tranche, "dyntable freshness");
	freshness_table = ShmemInitHash("dyntable freshness of tables", FRESHNESS_TABLES,
									FRESHNESS_TABLES, &tables,
									HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	changes_table = ShmemInitHash("dyntable changes of sources", FRESHNESS_SOURCES,
								  FRESHNESS_SOURCES, &sources,
								  HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
}

void
dyn_freshness_lock(LWLockMode mode)
{
	if (freshness != NULL)
		LWLockAcquire(&freshness->lock, mode);
}

void
dyn_freshness_unlock(void)
{
	if (freshness != NULL)
		LWLockRelease(&freshness->lock);
}

DynFreshness *
dyn_freshness_find(Oid relid)
{
	DynFreshnessKey key = {MyDatabaseId, relid};

	if (freshness_table == NULL)
		return NULL;
	return hash_search(freshness_table, &key, HASH_FIND, NULL);
}

DynFreshness *
dyn_freshness_enter(Oid relid)
{
	DynFreshnessKey key = {MyDatabaseId, relid};
	DynFreshness *entry;
	bool		found;

	if (freshness_table == NULL)
		return NULL;
	entry = hash_search(freshness_table, &key, HASH_ENTER_NULL, &found);
	if (entry != NULL && !found)
	{
		entry->data_timestamp = entry->redefined = DT_NOBEGIN;
		entry->next_due = DT_NOEND;
		entry->lag.base = entry->before.base = 0;
		entry->repeats.id = 0;
	}
	return entry;
}

void
dyn_freshness_forget(bool (*keep) (Oid relid, void *arg), void *arg)
{
	HASH_SEQ_STATUS scan;
	DynFreshness *entry;

	if (freshness_table == NULL)
		return;
	LWLockAcquire(&freshness->lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, freshness_table);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->key.database == MyDatabaseId &&
			(keep == NULL || !keep(entry->key.relid, arg)))
			hash_search(freshness_table, &entry->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(&freshness->lock);
}

void
dyn_freshness_forget_database(Oid database)
{
	HASH_SEQ_STATUS scan;
	DynFreshness *entry;
	SourceChanges *source;

	LWLockAcquire(&freshness->lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, freshness_table);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->key.database == database)
			hash_search(freshness_table, &entry->key, HASH_REMOVE, NULL);
	hash_seq_init(&scan, changes_table);
	while ((source = hash_seq_search(&scan)) != NULL)
		if (source->key.database == database)
			hash_search(changes_table, &source->key, HASH_REMOVE, NULL);
	LWLockRelease(&freshness->lock);
}

void
dyn_changes_forget(Oid source)
{
	DynFreshnessKey key = {MyDatabaseId, source};

	LWLockAcquire(&freshness->lock, LW_EXCLUSIVE);
	hash_search(changes_table, &key, HASH_REMOVE, NULL);
	LWLockRelease(&freshness->lock);
}

void
dyn_changes_add(Oid source, uint64 changes)
{
	DynFreshnessKey key = {MyDatabaseId, source};
	SourceChanges *entry;
	bool		found;

	if (freshness == NULL)
		return;
	LWLockAcquire(&freshness->lock, LW_EXCLUSIVE);
	entry = hash_search(changes_table, &key, HASH_ENTER_NULL, &found);
	if (entry == NULL)
		freshness->other_changes += changes;
	else
		entry->changes = (found ? entry->changes : 0) + changes;
	LWLockRelease(&freshness->lock);
}

uint64
dyn_changes_sum(const Oid *sources, int nsources)
{
	uint64		sum;

	if (freshness == NULL)
		return 0;
	LWLockAcquire(&freshness->lock, LW_SHARED);
	sum = freshness->other_changes;
	for (int i = 0; i < nsources; i++)
	{
		DynFreshnessKey key = {MyDatabaseId, sources[i]};
		SourceChanges *entry = hash_search(changes_table, &key, HASH_FIND, NULL);

		if (entry != NULL)
			sum += entry->changes;
	}
	LWLockRelease(&freshness->lock);
	return sum;
}

/*
 * Of the two that are known, the one that began with this data timestamp: the
 * refresh after it may have been rolled back.
 */
static DynLag *
lag_since(DynFreshness *entry, TimestampTz stored)
{
	if (entry == NULL || TIMESTAMP_IS_NOBEGIN(stored))
		return NULL;
	return entry->lag.base == stored ? &entry->lag : entry->before.base == stored ? &entry->before : NULL;
}

bool
dyn_freshness_lag(Oid relid, TimestampTz stored, TimestampTz now, int64 target, DynLag *lag)
{
	DynLag	   *known;

	dyn_freshness_lock(LW_SHARED);
	known = lag_since(dyn_freshness_find(relid), stored);
	if (known != NULL)
		*lag = *known;
	dyn_freshness_unlock();
	if (known == NULL)
		return false;
	dyn_lag_pass(lag, now, lag->stands, target);
	return true;
}

void
dyn_freshness_refreshed(Oid relid, TimestampTz stored, TimestampTz data_timestamp, TimestampTz ended)
{
	DynFreshness *entry;
	DynLag	   *known;

	dyn_freshness_lock(LW_EXCLUSIVE);
	entry = dyn_freshness_enter(relid);
	if (entry != NULL)
	{
		known = lag_since(entry, stored);
		if (known != NULL)
			entry->before = *known;
		entry->lag = dyn_lag_begin(data_timestamp, ended);
	}
	dyn_freshness_unlock();
}

bool
dyn_freshness_advance(DynFreshness *entry, TimestampTz known, TimestampTz from, TimestampTz to, TimestampTz now, int64 target)
{
	if (known < entry->redefined)
		return false;
	entry->data_timestamp = to;
	if (entry->lag.base != 0 && entry->lag.stands == from)
		dyn_lag_pass(&entry->lag, now, to, target);
	else if (entry->before.base != 0 && entry->before.stands == from)
		dyn_lag_pass(&entry->before, now, to, target);
	return true;
}

/* The last moment before the commit makes the definition known. */
static void
redefine_at_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event == XACT_EVENT_PRE_COMMIT && redefined != NIL)
	{
		dyn_freshness_lock(LW_EXCLUSIVE);
		foreach(lc, redefined)
		{
			DynFreshness *entry = dyn_freshness_enter(lfirst_oid(lc));

			if (entry == NULL)
				continue;
			entry->data_timestamp = DT_NOBEGIN;
			entry->redefined = GetCurrentTimestamp();
		}
		dyn_freshness_unlock();
	}
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		redefined = NIL;
}

void
dyn_freshness_redefined(Oid relid)
{
	static bool registered = false;
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	if (!registered)
		RegisterXactCallback(redefine_at_end, NULL);
	registered = true;
	redefined = list_append_unique_oid(redefined, relid);
	MemoryContextSwitchTo(old);
}

bool
dyn_repeats_add(Oid relid, const DynRepeats *one, TimestampTz stored, int64 target)
{
	DynFreshness *entry;
	DynRepeats *repeats;
	DynLag	   *known;
	DynLag		lag = {0};

	dyn_freshness_lock(LW_EXCLUSIVE);
	entry = dyn_freshness_enter(relid);
	if (entry == NULL || stored < entry->redefined)
	{
		dyn_freshness_unlock();
		return false;
	}
	entry->data_timestamp = Max(entry->data_timestamp, one->data_timestamp);

	/* the lag up to here is this refresh's to tell; from here on it is another one's */
	known = lag_since(entry, stored);
	if (known != NULL)
	{
		dyn_lag_pass(known, one->ended, one->data_timestamp, target);
		lag = *known;
		*known = dyn_lag_begin(one->data_timestamp, one->ended);
		known->base = stored;
	}
	repeats = &entry->repeats;
	if (repeats->id != one->id || repeats->stored != one->stored)
	{
		*repeats = *one;
		repeats->lag = lag;
	}
	else
	{
		dyn_lag_add(&repeats->lag, &lag);
		repeats->count += one->count;
		repeats->started = Max(repeats->started, one->started);
		repeats->ended = Max(repeats->ended, one->ended);
		repeats->data_timestamp = Max(repeats->data_timestamp, one->data_timestamp);
		repeats->cpu_ms += one->cpu_ms;
		repeats->blocks_hit += one->blocks_hit;
		repeats->blocks_read += one->blocks_read;
	}
	dyn_freshness_unlock();
	return true;
}

bool
dyn_repeats_any(Oid relid)
{
	DynFreshness *entry;
	bool		any;

	dyn_freshness_lock(LW_SHARED);
	entry = dyn_freshness_find(relid);
	any = entry != NULL && entry->repeats.id != 0;
	dyn_freshness_unlock();
	return any;
}

bool
dyn_repeats_get(Oid relid, int64 id, int stored, DynRepeats *repeats)
{
	DynFreshness *entry;
	bool		found;

	dyn_freshness_lock(LW_SHARED);
	entry = dyn_freshness_find(relid);
	found = entry != NULL && entry->repeats.id == id && entry->repeats.stored == stored;
	if (found)
		*repeats = entry->repeats;
	dyn_freshness_unlock();
	return found;
}

TimestampTz
dyn_freshness_data_timestamp(Oid relid, TimestampTz stored)
{
	DynFreshness *entry;

	/* Before the first fill there is nothing that could be fresh. */
	if (TIMESTAMP_IS_NOBEGIN(stored))
		return stored;
	dyn_freshness_lock(LW_SHARED);
	entry = dyn_freshness_find(relid);
	if (entry != NULL && entry->data_timestamp > stored)
		stored = entry->data_timestamp;
	dyn_freshness_unlock();
	return stored;
}
