/*
 * dyn_logmarks.c
 *	  Marks in change logs, in shared memory: see dyn_logmarks.h.
 *
 * One entry a log table, in a fixed hash table under one lock.  An entry that
 * is full gives up every second of its marks: those that stay are as good,
 * only further apart.  When all entries are taken a log goes without.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <storage/lwlock.h>
#include <storage/shmem.h>
#include <utils/hsearch.h>

#include "base/dyn_logmarks.h"

#define MARKS		32
#define ENTRIES		2048

typedef struct LogKey
{
	Oid			database;
	Oid			log;
} LogKey;

typedef struct LogMarks
{
	LogKey		key;
	Oid			storage;
	int			n;
	BlockNumber blocks[MARKS];	/* both ascending */
	uint64		xids[MARKS];
} LogMarks;

static HTAB *marks = NULL;
static LWLock *lock = NULL;

Size
dyn_logmarks_size(void)
{
	return add_size(hash_estimate_size(ENTRIES, sizeof(LogMarks)), sizeof(LWLock) + MAXIMUM_ALIGNOF);
}

void
dyn_logmarks_init(void)
{
	HASHCTL		control = {.keysize = sizeof(LogKey), .entrysize = sizeof(LogMarks)};
	bool		found;

	lock = ShmemInitStruct("dyntable log marks lock", sizeof(LWLock), &found);
	if (!found)
		LWLockInitialize(lock, LWLockNewTrancheId());
	LWLockRegisterTranche(lock->tranche, "dyntable log marks");
	marks = ShmemInitHash("dyntable log marks", ENTRIES, ENTRIES, &control, HASH_ELEM | HASH_BLOBS);
}

static LogMarks *
find(Oid log, HASHACTION action)
{
	LogKey		key = {.database = MyDatabaseId, .log = log};
	bool		found;
	LogMarks   *entry = hash_search(marks, &key, action, &found);

	if (entry && !found && action == HASH_ENTER_NULL)
	{
		entry->storage = InvalidOid;
		entry->n = 0;
	}
	return entry;
}

void
dyn_logmark_set(Oid log, Oid storage, BlockNumber block, uint64 xid)
{
	LogMarks   *entry;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	/* a first mark at the first block spares nobody anything */
	entry = find(log, block == 0 ? HASH_FIND : HASH_ENTER_NULL);
	if (entry)
	{
		if (entry->storage != storage)
			entry->n = 0;
		entry->storage = storage;
		if (entry->n == MARKS)
		{
			for (int i = 0; i < MARKS / 2; i++)
			{
				entry->blocks[i] = entry->blocks[2 * i + 1];
				entry->xids[i] = entry->xids[2 * i + 1];
			}
			entry->n = MARKS / 2;
		}

		/* nothing is gained by a second mark at the same block */
		if (entry->n == 0 || entry->blocks[entry->n - 1] < block)
		{
			entry->blocks[entry->n] = block;
			entry->xids[entry->n++] = xid;
		}
	}
	LWLockRelease(lock);
}

void
dyn_logmark_forget(Oid log)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	(void) find(log, HASH_REMOVE);
	LWLockRelease(lock);
}

BlockNumber
dyn_logmark_start(Oid log, Oid storage, uint64 xmin)
{
	BlockNumber start = 0;
	LogMarks   *entry;

	LWLockAcquire(lock, LW_SHARED);
	entry = find(log, HASH_FIND);
	if (entry && entry->storage == storage)
		for (int i = 0; i < entry->n && entry->xids[i] <= xmin; i++)
			start = entry->blocks[i];
	LWLockRelease(lock);
	return start;
}
