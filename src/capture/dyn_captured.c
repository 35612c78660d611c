/*
 * dyn_captured.c
 *	  How far capture has come: what the capture worker tells others.
 *
 * It registers in shared memory as the worker of its database, with the slot
 * that it reads; there it says up to where in the WAL, and up to how many
 * transactions, the logs are complete, and counts what it writes into them.
 * Refreshes wait for the first two, the scheduler watches the counts.  The order
 * of writes is what they rely on: rows are committed before they are counted, and
 * counted before the position is said to be passed.
 */
#include <postgres.h>

#include <access/xlog.h>
#include <miscadmin.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/procarray.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_queue.h"
#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

DynDatabase *dyn_captured_database = NULL;

/* Transactions of ours that had an xid. */
static uint64 own_commits = 0;
static XLogRecPtr last_commit_end = InvalidXLogRecPtr;	/* of a batch */

static void
worker_detach(int code, Datum arg)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	if (dyn_captured_database->capture_pid == MyProcPid)
	{
		dyn_captured_database->capture_pid = 0;
		dyn_captured_database->capture_latch = NULL;
		if (dyn_captured_database->state != DYN_CAPTURE_UNABLE && dyn_captured_database->state != DYN_CAPTURE_FAILED)
			dyn_captured_database->state = DYN_CAPTURE_OFF;
		if (code == 0)
			dyn_captured_database->generation = 0;
	}
	LWLockRelease(dyn_shmem->lock);
	ConditionVariableBroadcast(&dyn_captured_database->progress);
	dyn_shmem_wake_launcher();
}

bool
dyn_captured_attach(Oid dboid)
{
	bool		mine;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	dyn_captured_database = dyn_shmem_database_add(dboid);
	mine = dyn_captured_database && dyn_captured_database->capture_pid == 0 &&
		!dyn_database_paused(dyn_captured_database);
	if (mine)
	{
		dyn_captured_database->capture_pid = MyProcPid;
		dyn_captured_database->capture_latch = MyLatch;
	}
	LWLockRelease(dyn_shmem->lock);
	if (mine)
		before_shmem_exit(worker_detach, (Datum) 0);
	return mine;
}

/*
 * The generation is published last: whoever sees it may rely on everything
 * committed from now on being captured.
 */
void
dyn_captured_slot(const DynSlot *slot, XLogRecPtr captured)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	if (slot == NULL)
		dyn_captured_database->generation = 0;
	pg_atomic_write_u64(&dyn_captured_database->captured_lsn, captured);
	pg_atomic_write_u64(&dyn_captured_database->complete, 0);
	dyn_captured_database->origin = dyn_capture_origin;
	dyn_captured_database->generation = slot ? slot->generation : 0;
	strlcpy(dyn_captured_database->slot_name, slot ? slot->name : "", NAMEDATALEN);
	LWLockRelease(dyn_shmem->lock);
	ConditionVariableBroadcast(&dyn_captured_database->progress);
}

static void
wake_scheduler(void)
{
	DynScheduler *scheduler;

	LWLockAcquire(&dyn_queue->lock, LW_SHARED);
	scheduler = dyn_queue_scheduler(MyDatabaseId);
	if (scheduler && scheduler->latch)
		SetLatch(scheduler->latch);
	LWLockRelease(&dyn_queue->lock);
}

void
dyn_captured_write(XLogRecPtr upto)
{
	if (dyn_batch_rows() > 0)
		last_commit_end = dyn_batch_write(upto);
}

/* Whoever finds the count of all moved finds those of the sources moved, too. */
void
dyn_captured_count(Oid relid, int64 changes)
{
	dyn_changes_add(relid, changes);
	pg_atomic_fetch_add_u64(&dyn_captured_database->changes, changes);
}

/*
 * How many transactions have ended on this server, all of which were read when
 * the decoder has come to upto; 0, when one may have ended behind that.  They
 * are counted when their commits are in the WAL.
 */
static uint64
ended_before(XLogRecPtr upto)
{
	uint64		ended;

	LWLockAcquire(ProcArrayLock, LW_SHARED);
	ended = dyn_ended_transactions();
	LWLockRelease(ProcArrayLock);
	return dyn_wal_position() <= upto ? ended : 0;
}

/* Where it stands behind others that were not read, no snapshot counts as many. */
void
dyn_captured_committed(void)
{
	own_commits++;
	if (pg_atomic_read_u64(&dyn_captured_database->complete) != 0)
		pg_atomic_fetch_add_u64(&dyn_captured_database->complete, 1);
}

void
dyn_captured_publish(XLogRecPtr upto, bool at_end)
{
	uint64		before = pg_atomic_read_u64(&dyn_captured_database->captured_lsn);
	bool		wrote = dyn_batch_rows() > 0;
	uint64		own_before = own_commits;
	uint64		ended = at_end ? ended_before(upto) : 0;

	dyn_captured_write(upto);
	if (ended != 0)
		pg_atomic_write_u64(&dyn_captured_database->complete, ended + (own_commits - own_before));
	if (upto > before)
	{
		pg_atomic_write_u64(&dyn_captured_database->captured_lsn, upto);
		ConditionVariableBroadcast(&dyn_captured_database->progress);
	}
	if (wrote)
		wake_scheduler();
}

void
dyn_captured_flush(void)
{
	if (!XLogRecPtrIsInvalid(last_commit_end))
		XLogFlush(last_commit_end);
}
