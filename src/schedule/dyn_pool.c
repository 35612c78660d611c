/*
 * dyn_pool.c
 *	  Refresh workers as their scheduler sees them.
 *
 * A worker belongs to one database and one warehouse for as long as it lives.
 * It has room for one task; what is not dispatched stays with the scheduler,
 * where it stays due.  So there is no queue that could grow, be lost in a
 * crash or hold a run that makes no sense any more.
 *
 * States are those of DynWorkerState (dyn_queue.h).  All transitions happen
 * under the queue's lock: here FREE -> STARTING, IDLE -> BUSY and LOST ->
 * FREE, in dyn_refresh_worker.c the others.  A worker that dies of a signal takes the
 * server's shared memory with it; one that ends with an error leaves LOST; and
 * one that never came to life is found here by asking the postmaster.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <postmaster/bgworker.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>

#include "base/dyn_settings.h"
#include "schedule/dyn_pool.h"

/* The postmaster's handles of workers that this scheduler started, by slot. */
static BackgroundWorkerHandle **pool_handles = NULL;

/* What one look over all workers finds. */
typedef struct Census
{
	int			total;			/* on this server */
	int			in_warehouse;	/* of this database's warehouse */
	DynWorker  *ready;			/* idle, in this warehouse */
	DynWorker  *free;
} Census;

static Census
pool_census(const char *warehouse)
{
	Census		census = {0};

	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynWorker  *worker = &dyn_queue->workers[i];
		bool		ours;

		if (worker->state == DYN_WORKER_FREE)
		{
			if (census.free == NULL)
				census.free = worker;
			continue;
		}
		census.total++;
		ours = worker->database == MyDatabaseId && strcmp(worker->warehouse, warehouse) == 0;
		if (ours)
			census.in_warehouse++;
		if (ours && worker->state == DYN_WORKER_IDLE && !worker->finished && !worker->quit &&
			census.ready == NULL)
			census.ready = worker;
	}
	return census;
}

static bool
pool_start(DynWorker *worker, uint32 generation)
{
	int			slot = worker - dyn_queue->workers;
	BackgroundWorker bgw;
	MemoryContext caller;
	bool		registered;

	memset(&bgw, 0, sizeof(bgw));
	bgw.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	bgw.bgw_start_time = BgWorkerStart_RecoveryFinished;
	bgw.bgw_restart_time = BGW_NEVER_RESTART;
	bgw.bgw_notify_pid = MyProcPid;
	bgw.bgw_main_arg = Int32GetDatum(slot);
	memcpy(bgw.bgw_extra, &generation, sizeof(generation));
	strlcpy(bgw.bgw_library_name, "dyntable", sizeof(bgw.bgw_library_name));
	strlcpy(bgw.bgw_function_name, "dyntable_refresh_worker_main", sizeof(bgw.bgw_function_name));
	strlcpy(bgw.bgw_type, "dyntable refresh worker", sizeof(bgw.bgw_type));
	snprintf(bgw.bgw_name, sizeof(bgw.bgw_name), "dyntable refresh worker");

	if (pool_handles == NULL)
		pool_handles = MemoryContextAllocZero(TopMemoryContext,
											  sizeof(*pool_handles) * dyn_queue->nslots);
	if (pool_handles[slot] != NULL)
	{
		pfree(pool_handles[slot]);
		pool_handles[slot] = NULL;
	}

	/* The handle must outlive the tick. */
	caller = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&bgw, &pool_handles[slot]);
	MemoryContextSwitchTo(caller);
	return registered;
}

/* This scheduler is to be woken when some worker ends. */
static void
pool_await_worker(void)
{
	DynScheduler *scheduler = dyn_queue_scheduler(MyDatabaseId);

	if (scheduler != NULL)
		scheduler->waiting = true;
}

DynDispatch
dyn_pool_dispatch(const DynTask *task, const DynWarehouse *warehouse, Oid owner)
{
	char		name[NAMEDATALEN];
	Census		census;
	DynWorker  *worker;
	uint32		generation = 0;
	bool		crowded = false;
	DynDispatch result = DYN_DISPATCH_LATER;

	strlcpy(name, warehouse->name, sizeof(name));
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	census = pool_census(name);
	worker = census.ready;
	if (worker != NULL && census.total > dyn_max_workers)
	{
		/* the bound was lowered */
		worker->quit = true;
		SetLatch(worker->latch);
		worker = NULL;
		pool_await_worker();
	}
	else if (worker != NULL)
	{
		worker->task = *task;
		worker->state = DYN_WORKER_BUSY;
		SetLatch(worker->latch);
		result = DYN_DISPATCHED;
	}
	else if (warehouse->max_workers > 0 && census.in_warehouse >= warehouse->max_workers)
		pool_await_worker();
	else if (census.total >= dyn_max_workers || census.free == NULL)
	{
		crowded = true;
		pool_await_worker();
	}
	else
	{
		worker = census.free;
		worker->state = DYN_WORKER_STARTING;
		generation = ++worker->generation;
		worker->database = MyDatabaseId;
		worker->owner = owner;
		strlcpy(worker->warehouse, name, sizeof(worker->warehouse));
		worker->pid = 0;
		worker->latch = NULL;
		worker->quit = worker->finished = false;
		worker->task = *task;
	}
	LWLockRelease(&dyn_queue->lock);

	/* Somebody else's idle worker makes room, if there is one. */
	if (crowded)
		dyn_queue_make_room();
	if (worker == NULL || result == DYN_DISPATCHED)
		return result;

	if (pool_start(worker, generation))
		return DYN_DISPATCHED;
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	worker->state = DYN_WORKER_FREE;
	LWLockRelease(&dyn_queue->lock);
	return DYN_DISPATCH_FAILED;
}

/* Whether the postmaster says that a worker which has not reported is gone. */
static bool
pool_never_started(int slot)
{
	pid_t		pid;

	if (pool_handles == NULL || pool_handles[slot] == NULL)
		return false;
	return GetBackgroundWorkerPid(pool_handles[slot], &pid) == BGWH_STOPPED;
}

bool
dyn_pool_reap(DynTask *task, bool *lost)
{
	bool		found = false;

	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dyn_queue->nslots && !found; i++)
	{
		DynWorker  *worker = &dyn_queue->workers[i];

		if (worker->state == DYN_WORKER_FREE || worker->database != MyDatabaseId)
			continue;
		if (worker->state == DYN_WORKER_STARTING && pool_never_started(i))
			worker->state = DYN_WORKER_LOST;
		if (worker->state == DYN_WORKER_LOST)
		{
			*lost = !worker->finished;
			worker->state = DYN_WORKER_FREE;
			found = true;
		}
		else if (worker->finished)
		{
			*lost = false;
			found = true;
		}
		if (found)
		{
			*task = worker->task;
			worker->finished = false;
		}
	}
	LWLockRelease(&dyn_queue->lock);
	return found;
}

void
dyn_pool_foreach_task(void (*callback) (const DynTask *task, void *arg), void *arg)
{
	LWLockAcquire(&dyn_queue->lock, LW_SHARED);
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynWorker  *worker = &dyn_queue->workers[i];

		if (worker->state == DYN_WORKER_FREE || worker->database != MyDatabaseId)
			continue;
		if (worker->state != DYN_WORKER_IDLE || worker->finished)
			callback(&worker->task, arg);
	}
	LWLockRelease(&dyn_queue->lock);
}

/*
 * Workers that were registered but have not come to life give up when they
 * find their slot taken away.
 */
void
dyn_pool_quit(void)
{
	if (dyn_queue == NULL)
		return;
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynWorker  *worker = &dyn_queue->workers[i];

		if (worker->state == DYN_WORKER_FREE || worker->database != MyDatabaseId)
			continue;
		if (worker->state == DYN_WORKER_STARTING || worker->state == DYN_WORKER_LOST)
			worker->state = DYN_WORKER_FREE;
		else
		{
			worker->quit = true;
			SetLatch(worker->latch);
		}
	}
	LWLockRelease(&dyn_queue->lock);
}
