/*
 * dyn_queue.c
 *	  The shared memory of scheduling.
 *
 * Here is only what other rooms need of it as well: its layout, and how a
 * command wakes the scheduler of its database.  What the scheduler and its
 * workers do with it stands in src/schedule.
 *
 * Every scheduler and every refresh worker is a background worker, so
 * max_worker_processes bounds both arrays.  All fields are under one lock,
 * taken a few times for each run; the exceptions are condition variables and
 * latches, which have locks of their own.
 */
#include <postgres.h>

#include <access/xact.h>
#include <miscadmin.h>
#include <postmaster/bgworker.h>
#include <storage/ipc.h>
#include <storage/proc.h>
#include <storage/shmem.h>

#include "base/dyn_queue.h"

DynQueue   *dyn_queue = NULL;

static bool wake_registered = false;

/* What a scheduler is told when the transaction commits. */
static bool wake_at_commit = false;
static int	nmoved = 0;
static Oid	moved[DYN_MOVED_TABLES];

static int
queue_slots(void)
{
	return Max(max_worker_processes, 1);
}

Size
dyn_queue_size(void)
{
	Size		size = MAXALIGN(sizeof(DynQueue));

	size = add_size(size, MAXALIGN(mul_size(queue_slots(), sizeof(DynScheduler))));
	size = add_size(size, MAXALIGN(mul_size(queue_slots(), sizeof(DynWorker))));
	return size;
}

void
dyn_queue_init(void)
{
	bool		found;

	dyn_queue = ShmemInitStruct("dyntable queue", dyn_queue_size(), &found);
	if (!found)
	{
		memset(dyn_queue, 0, dyn_queue_size());
		LWLockInitialize(&dyn_queue->lock, LWLockNewTrancheId());
		dyn_queue->nslots = queue_slots();
		dyn_queue->schedulers = (DynScheduler *)
			((char *) dyn_queue + MAXALIGN(sizeof(DynQueue)));
		dyn_queue->workers = (DynWorker *)
			((char *) dyn_queue->schedulers +
			 MAXALIGN(dyn_queue->nslots * sizeof(DynScheduler)));
		for (int i = 0; i < dyn_queue->nslots; i++)
			ConditionVariableInit(&dyn_queue->schedulers[i].progress);
	}
	LWLockRegisterTranche(dyn_queue->lock.tranche, "dyntable queue");
}

DynScheduler *
dyn_queue_scheduler(Oid database)
{
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		if (dyn_queue->schedulers[i].database == database)
			return &dyn_queue->schedulers[i];
	}
	return NULL;
}

static void
queue_detach_scheduler(int code, Datum arg)
{
	DynScheduler *scheduler;

	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	scheduler = dyn_queue_scheduler(DatumGetObjectId(arg));
	if (scheduler != NULL && scheduler->pid == MyProcPid)
	{
		scheduler->database = InvalidOid;
		scheduler->pid = 0;
		scheduler->latch = NULL;
	}
	LWLockRelease(&dyn_queue->lock);
}

bool
dyn_queue_attach_scheduler(Oid database)
{
	DynScheduler *scheduler;
	bool		attached = false;

	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	if (dyn_queue_scheduler(database) == NULL &&
		(scheduler = dyn_queue_scheduler(InvalidOid)) != NULL)
	{
		scheduler->database = database;
		scheduler->pid = MyProcPid;
		scheduler->latch = MyLatch;
		scheduler->changed = true;
		scheduler->nmoved = 0;
		scheduler->waiting = scheduler->wanting = false;
		attached = true;
	}
	LWLockRelease(&dyn_queue->lock);
	if (attached)
		before_shmem_exit(queue_detach_scheduler, ObjectIdGetDatum(database));
	return attached;
}

void
dyn_queue_make_room(void)
{
	DynWorker  *spare = NULL;

	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynWorker  *worker = &dyn_queue->workers[i];

		if (worker->state == DYN_WORKER_IDLE && !worker->finished && !worker->quit &&
			(spare == NULL || worker->idle_since < spare->idle_since))
			spare = worker;
	}
	if (spare != NULL)
	{
		spare->quit = true;
		SetLatch(spare->latch);
	}
	LWLockRelease(&dyn_queue->lock);
}

void
dyn_queue_announce_progress(void)
{
	DynScheduler *scheduler;

	LWLockAcquire(&dyn_queue->lock, LW_SHARED);
	scheduler = dyn_queue_scheduler(MyDatabaseId);
	LWLockRelease(&dyn_queue->lock);
	if (scheduler != NULL)
		ConditionVariableBroadcast(&scheduler->progress);
}

/* changed: all definitions are to be read again, not only where tables stand that were moved */
static void
tell_scheduler(Oid database, bool changed)
{
	DynScheduler *scheduler;

	if (dyn_queue == NULL)
		return;
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	scheduler = dyn_queue_scheduler(database);
	if (scheduler != NULL)
	{
		scheduler->changed |= changed || scheduler->nmoved + nmoved > DYN_MOVED_TABLES;
		for (int i = 0; i < nmoved && !scheduler->changed; i++)
			scheduler->moved[scheduler->nmoved++] = moved[i];
		SetLatch(scheduler->latch);
	}
	LWLockRelease(&dyn_queue->lock);
}

void
dyn_schedule_wake(Oid database)
{
	tell_scheduler(database, true);
}

static void
wake_end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (wake_at_commit || nmoved > 0)
				tell_scheduler(MyDatabaseId, wake_at_commit);
			/* FALLTHROUGH */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			wake_at_commit = false;
			nmoved = 0;
			break;
		default:
			break;
	}
}

static void
register_callback(void)
{
	if (!wake_registered)
		RegisterXactCallback(wake_end_of_transaction, NULL);
	wake_registered = true;
}

void
dyn_schedule_wake_at_commit(void)
{
	register_callback();
	wake_at_commit = true;
}

void
dyn_schedule_moved(Oid relid)
{
	register_callback();
	if (nmoved < DYN_MOVED_TABLES)
		moved[nmoved++] = relid;
	else
		wake_at_commit = true;
}
