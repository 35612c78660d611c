/*
 * dyn_freshness.c
 *	  Data timestamps that moved without a write.
 *
 * When nothing happened to what a table reads, its data timestamp advances,
 * and that must not cost a transaction.  So it advances here, in a hash table
 * in shared memory, and reaches the catalog with the next real change.  A
 * crash forgets it, which makes a table look older than it is, never younger.
 *
 * There is room for a fixed number of tables; those beyond it are refreshed
 * for real each time and lose nothing else.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <storage/shmem.h>
#include <utils/hsearch.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"

#define FRESHNESS_TABLES 4096

static LWLock *freshness_lock = NULL;
static HTAB *freshness_table = NULL;

Size
dyn_freshness_size(void)
{
	return add_size(MAXALIGN(sizeof(LWLock)),
					hash_estimate_size(FRESHNESS_TABLES, sizeof(DynFreshness)));
}

void
dyn_freshness_init(void)
{
	HASHCTL		control = {.keysize = sizeof(DynFreshnessKey),.entrysize = sizeof(DynFreshness)};
	bool		found;

	freshness_lock = ShmemInitStruct("dyntable freshness lock", sizeof(LWLock), &found);
	if (!found)
		LWLockInitialize(freshness_lock, LWLockNewTrancheId());
	LWLockRegisterTranche(freshness_lock->tranche, "dyntable freshness");
	freshness_table = ShmemInitHash("dyntable freshness", FRESHNESS_TABLES, FRESHNESS_TABLES,
									&control, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
}

void
dyn_freshness_lock(LWLockMode mode)
{
	if (freshness_lock != NULL)
		LWLockAcquire(freshness_lock, mode);
}

void
dyn_freshness_unlock(void)
{
	if (freshness_lock != NULL)
		LWLockRelease(freshness_lock);
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
		entry->data_timestamp = DT_NOBEGIN;
		entry->next_due = DT_NOEND;
		entry->settled = false;
		entry->generation = 0;
		entry->capture_pid = 0;
		entry->changes = 0;
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
	LWLockAcquire(freshness_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, freshness_table);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->key.database == MyDatabaseId &&
			(keep == NULL || !keep(entry->key.relid, arg)))
			hash_search(freshness_table, &entry->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(freshness_lock);
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
