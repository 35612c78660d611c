/*
 * dyn_pool.c
 *	  Refresh workers as their scheduler sees them.
 *
 * A worker belongs to one database for as long as it lives, and to the warehouse
 * of its last task.  It has room for one task; what is not dispatched stays with
 * the scheduler, where it stays due.  So there is no queue that could grow, be lost in a
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
	int			ours;			/* of this database */
	int			working;		/* in this database's warehouse */
	DynWorker  *ready;			/* idle, in this warehouse if there is one, else in this database */
	DynWorker  *free;
} Census;

static bool
is_ready(const DynWorker *worker)
{
	return worker->state == DYN_WORKER_IDLE && !worker->finished && !worker->quit;
}

static Census
pool_census(const char *warehouse)
{
	Census		census = {0};
	bool		ready_here = false;

	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynWorker  *worker = &dyn_queue->workers[i];
		bool		here = strcmp(worker->warehouse, warehouse) == 0;

		if (worker->state == DYN_WORKER_FREE)
		{
			if (census.free == NULL)
				census.free = worker;
			continue;
		}
		census.total++;
		if (worker->database != MyDatabaseId)
			continue;
		census.ours++;
		if (worker->state != DYN_WORKER_IDLE && here)
			census.working++;
		if (is_ready(worker) && (census.ready == NULL || (here && !ready_here)))
		{
			census.ready = worker;
			ready_here = here;
		}
	}
	return census;
}

/*
 * Whether another database, which found no worker, has a better claim to one
 * than this one, which has so many: with none at all, or with two less.
 */
static bool
pool_owes(int ours)
{
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynScheduler *scheduler = &dyn_queue->schedulers[i];
		int			theirs = 0;

		if (!OidIsValid(scheduler->database) || scheduler->database == MyDatabaseId ||
			!scheduler->wanting)
			continue;
		for (int j = 0; j < dyn_queue->nslots; j++)
			if (dyn_queue->workers[j].state != DYN_WORKER_FREE &&
				dyn_queue->workers[j].database == scheduler->database)
				theirs++;
		if (theirs == 0 || theirs + 1 < ours)
			return true;
	}
	return false;
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

/* Prepare a free slot for a new worker. */
static uint32
pool_claim(DynWorker *worker, Oid owner)
{
	worker->state = DYN_WORKER_STARTING;
	worker->database = MyDatabaseId;
	worker->owner = owner;
	worker->pid = 0;
	worker->latch = NULL;
	worker->quit = worker->finished = false;
	return ++worker->generation;
}

static void
pool_give(DynWorker *worker, const DynTask *task, const DynWarehouse *warehouse)
{
	strlcpy(worker->warehouse, warehouse->name, sizeof(worker->warehouse));
	worker->patience = warehouse->auto_suspend;
	worker->task = *task;
}

DynDispatch
dyn_pool_dispatch(const DynTask *task, const DynWarehouse *warehouse, Oid owner)
{
	Census		census;
	DynWorker  *worker = NULL;
	uint32		generation = 0;
	DynDispatch result = DYN_DISPATCH_CROWDED;

	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	census = pool_census(warehouse->name);
	if (warehouse->max_workers > 0 && census.working >= warehouse->max_workers)
		result = DYN_DISPATCH_LATER;
	else if (census.ready != NULL &&
			 (census.total > dyn_max_workers ||
			  (census.total == dyn_max_workers && pool_owes(census.ours))))
	{
		/* the bound was lowered, or it is another database's turn */
		census.ready->quit = true;
		SetLatch(census.ready->latch);
	}
	else if (census.ready != NULL &&
			 (strcmp(census.ready->warehouse, warehouse->name) == 0 ||
			  census.total >= dyn_max_workers || census.free == NULL))
	{
		pool_give(census.ready, task, warehouse);
		census.ready->state = DYN_WORKER_BUSY;
		SetLatch(census.ready->latch);
		result = DYN_DISPATCHED;
	}
	else if (census.total < dyn_max_workers && census.free != NULL)
	{
		worker = census.free;
		generation = pool_claim(worker, owner);
		pool_give(worker, task, warehouse);
		result = DYN_DISPATCHED;
	}
	if (result != DYN_DISPATCHED)
		pool_await_worker();
	LWLockRelease(&dyn_queue->lock);

	/* Somebody else's idle worker makes room, if there is one. */
	if (result == DYN_DISPATCH_CROWDED && census.ready == NULL)
		dyn_queue_make_room();
	if (worker == NULL || pool_start(worker, generation))
		return result;
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	worker->state = DYN_WORKER_FREE;
	LWLockRelease(&dyn_queue->lock);
	return DYN_DISPATCH_FAILED;
}

void
dyn_pool_want(bool wanting)
{
	DynScheduler *scheduler;

	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	scheduler = dyn_queue_scheduler(MyDatabaseId);
	if (scheduler != NULL)
		scheduler->wanting = wanting;
	LWLockRelease(&dyn_queue->lock);
}

void
dyn_pool_adjust(const List *warehouses)
{
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynWorker  *worker = &dyn_queue->workers[i];
		const DynWarehouse *warehouse = NULL;
		ListCell   *cell;

		if (worker->state == DYN_WORKER_FREE || worker->database != MyDatabaseId)
			continue;
		foreach(cell, warehouses)
			if (strcmp(((DynWarehouse *) lfirst(cell))->name, worker->warehouse) == 0)
				warehouse = lfirst(cell);
		if (warehouse == NULL || warehouse->suspended)
			worker->quit = true;
		else if (worker->patience == warehouse->auto_suspend)
			continue;
		else
			worker->patience = warehouse->auto_suspend;
		if (worker->latch != NULL)
			SetLatch(worker->latch);
	}
	LWLockRelease(&dyn_queue->lock);
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
dyn_pool_foreach_worker(void (*callback) (const DynWorker *worker, void *arg), void *arg)
{
	LWLockAcquire(&dyn_queue->lock, LW_SHARED);
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynWorker  *worker = &dyn_queue->workers[i];

		if (worker->state == DYN_WORKER_FREE || worker->database != MyDatabaseId)
			continue;
		if (worker->state != DYN_WORKER_IDLE || worker->finished)
			callback(worker, arg);
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
