/*
 * dyn_refresh_worker.c
 *	  The refresh worker: one run after the other, until it is idle for long.
 *
 * Two transactions a run.  The first is the run itself, in which each table
 * has a subtransaction; the second, only if something failed, accounts for
 * the failures.  Whatever ends the worker between them leaves its slot LOST,
 * and the scheduler accounts for the run instead.
 *
 * States: those of DynWorkerState, here STARTING -> BUSY -> IDLE -> FREE (or
 * LOST).  Locks: the queue's, for moments and never across a transaction.
 */
#include <postgres.h>

#include <access/transam.h>
#include <access/xact.h>
#include <catalog/pg_class.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <storage/ipc.h>
#include <storage/proc.h>
#include <storage/procarray.h>
#include <tcop/tcopprot.h>
#include <utils/acl.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>
#include <utils/timeout.h>
#include <utils/timestamp.h>

#include "base/dyn_queue.h"
#include "base/dyn_settings.h"
#include "base/dyn_shmem.h"
#include "catalog/dyn_catalog.h"
#include "refresh/dyn_refresh.h"
#include "schedule/dyn_failures.h"
#include "schedule/dyn_marks.h"

PGDLLEXPORT void dyntable_refresh_worker_main(Datum arg);

/* How a run ended. */
typedef struct Outcome
{
	List	   *results;		/* of DynResult *, when it committed */
	bool		aborted;
	char		sqlstate[6];
	char	   *message;		/* why it was rolled back as a whole */
	bool		settled;		/* these three are for DynTask */
	int64		generation;
	int			capture_pid;
	TimestampTz deadline;		/* its statement timeout; DT_NOEND: none */
	bool		timed_out;
	int			timeout;		/* which of the warehouse; 0: the server's */
} Outcome;

static DynWorker *my_slot = NULL;
static MemoryContext task_context = NULL;

/* Wake this database's scheduler, and all that wait for a worker. */
static void
wake_schedulers(void)
{
	Assert(LWLockHeldByMe(&dyn_queue->lock));
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		DynScheduler *scheduler = &dyn_queue->schedulers[i];

		if (!OidIsValid(scheduler->database))
			continue;
		if (scheduler->database == MyDatabaseId || scheduler->waiting)
		{
			scheduler->waiting = false;
			SetLatch(scheduler->latch);
		}
	}
}

static void
worker_detach(int code, Datum arg)
{
	LWLockReleaseAll();
	dyn_mark_clear(my_slot - dyn_queue->workers);
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	if (dyn_queue_scheduler(my_slot->database) == NULL ||
		(my_slot->state == DYN_WORKER_IDLE && !my_slot->finished))
		my_slot->state = DYN_WORKER_FREE;
	else
		my_slot->state = DYN_WORKER_LOST;
	my_slot->pid = 0;
	my_slot->latch = NULL;
	wake_schedulers();
	LWLockRelease(&dyn_queue->lock);
}

/* Take the slot that the scheduler has prepared; false if it has thought better of it. */
static bool
worker_attach(int slot, uint32 generation)
{
	bool		attached = false;

	my_slot = &dyn_queue->workers[slot];
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	if (my_slot->state == DYN_WORKER_STARTING && my_slot->generation == generation)
	{
		my_slot->state = DYN_WORKER_BUSY;
		my_slot->pid = MyProcPid;
		my_slot->latch = MyLatch;
		attached = true;
	}
	LWLockRelease(&dyn_queue->lock);
	if (attached)
		before_shmem_exit(worker_detach, (Datum) 0);
	return attached;
}

/* Be the extension's owner, who need not have the right to log in. */
static void
become_owner(void)
{
	bool		super;

	StartTransactionCommand();
	super = superuser_arg(my_slot->owner);
	CommitTransactionCommand();
	SetSessionAuthorization(my_slot->owner, super);
}

/*
 * The settings of a warehouse, until the end of the transaction, with nobody's
 * rights: the queries are those of the tables' owners.  One that the server
 * does not take any more costs nothing but a warning.
 */
static void
apply_warehouse(const DynWarehouse *warehouse)
{
	ListCell   *name;
	ListCell   *value;

	forboth(name, warehouse->setting_names, value, warehouse->setting_values)
		(void) set_config_option(lfirst(name), lfirst(value), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, WARNING, false);
}

/*
 * Every transaction that capture has counted had ended for WAL, but perhaps
 * not yet for snapshots.  If none older than this moment is running, a
 * snapshot taken from now on sees all of them.  With others at work, refresh
 * workers among them, that is rare: then it counts what the run has found in
 * the logs (all_exhausted).
 */
static void
look_at_capture(Outcome *outcome)
{
	DynDatabase *db;
	TransactionId next;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	if (db != NULL)
	{
		outcome->generation = db->generation;
		outcome->capture_pid = db->capture_pid;
	}
	LWLockRelease(dyn_shmem->lock);

	next = XidFromFullTransactionId(ReadNextFullTransactionId());
	outcome->settled = outcome->generation != 0 &&
		TransactionIdFollowsOrEquals(GetLatestSnapshot()->xmin, next);
}

/* Whether every table of the run has seen all that capture had logged when it read the logs. */
static bool
all_exhausted(const List *results)
{
	ListCell   *cell;

	foreach(cell, results)
		if (!((DynResult *) lfirst(cell))->exhausted)
			return false;
	return true;
}

/* Within a transaction: what stands in pg_stat_activity. */
static void
report_activity(const DynTask *task)
{
	char	   *name = get_rel_name(task->tables[0]);
	char		text[NAMEDATALEN + 64];

	if (task->ntables > 1)
		snprintf(text, sizeof(text), "dyntable: refresh %s and %d more",
				 name ? name : "?", task->ntables - 1);
	else
		snprintf(text, sizeof(text), "dyntable: refresh %s", name ? name : "?");
	pgstat_report_activity(STATE_RUNNING, text);
}

/* The tables of a task that still are dynamic tables. */
static List *
task_relids(const DynTask *task)
{
	List	   *relids = NIL;

	for (int i = 0; i < task->ntables; i++)
		if (dyn_is_dynamic_table(task->tables[i]))
			relids = lappend_oid(relids, task->tables[i]);
	return relids;
}

/* Start a transaction; the extension may have gone, and then so do we. */
static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (!dyn_extension_hold())
		proc_exit(0);
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(task_context);
}

static void
commit_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(task_context);
}

/* The first transaction of a task: the run. */
static void
run_task(const DynTask *task, Outcome *outcome)
{
	DynWarehouse *warehouse;
	List	   *relids;
	int			timeout;

	begin_transaction();
	report_activity(task);

	warehouse = dyn_warehouse_get(my_slot->warehouse);
	relids = task_relids(task);
	if (warehouse != NULL && relids != NIL)
	{
		apply_warehouse(warehouse);
		outcome->timeout = warehouse->statement_timeout;
		timeout = outcome->timeout > 0 ? outcome->timeout : StatementTimeout;
		look_at_capture(outcome);
		if (timeout > 0)
		{
			outcome->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
			enable_timeout_after(STATEMENT_TIMEOUT, timeout);
		}
		outcome->results = dyn_run(relids, &(DynRunOptions) {
			.trigger = DYN_TRIGGER_SCHEDULED,.catch_errors = true,.due = task->due
		});
		outcome->timed_out = GetCurrentTimestamp() >= outcome->deadline;
		disable_timeout(STATEMENT_TIMEOUT, false);
		if (outcome->generation != 0 && !outcome->settled)
			outcome->settled = all_exhausted(outcome->results);
	}
	commit_transaction();
	dyn_queue_announce_progress();
}

/* The second: what failed. */
static void
account(const DynTask *task, const Outcome *outcome)
{
	bool		failed = outcome->aborted;
	ListCell   *cell;

	foreach(cell, outcome->results)
	{
		const DynResult *result = lfirst(cell);

		failed = failed || result->failed || result->upstream_failed;
	}
	if (!failed)
		return;
	begin_transaction();
	if (outcome->aborted)
		dyn_failures_record_run(task, outcome->sqlstate, outcome->message, outcome->timed_out);
	else
		dyn_failures_record(outcome->results, outcome->timed_out);
	commit_transaction();
}

/* The run ended with an error that no table was found to have caused. */
static void
run_aborted(Outcome *outcome)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	outcome->timed_out = GetCurrentTimestamp() >= outcome->deadline;
	disable_all_timeouts(false);
	QueryCancelPending = false;
	MemoryContextSwitchTo(task_context);
	error = CopyErrorData();
	EmitErrorReport();
	AbortCurrentTransaction();
	FlushErrorState();
	MemoryContextSwitchTo(task_context);
	outcome->aborted = true;
	outcome->settled = false;
	outcome->results = NIL;
	outcome->message = error->message;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && outcome->timed_out && outcome->timeout > 0)
		outcome->message = psprintf("canceling refresh due to statement timeout of warehouse \"%s\", which is %d ms",
									my_slot->warehouse, outcome->timeout);
	strlcpy(outcome->sqlstate, unpack_sql_state(error->sqlerrcode), sizeof(outcome->sqlstate));
	RESUME_INTERRUPTS();
}

/* One task from beginning to end. */
static void
work(const DynTask *task, Outcome *outcome)
{
	MemoryContextReset(task_context);
	memset(outcome, 0, sizeof(*outcome));
	outcome->deadline = DT_NOEND;
	dyn_mark_set(my_slot - dyn_queue->workers, task);
	PG_TRY();
	{
		run_task(task, outcome);
	}
	PG_CATCH();
	{
		run_aborted(outcome);
	}
	PG_END_TRY();
	account(task, outcome);
	dyn_mark_clear(my_slot - dyn_queue->workers);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Tell the scheduler that the task is done. */
static void
task_done(const Outcome *outcome)
{
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	my_slot->task.settled = outcome->settled;
	my_slot->task.generation = outcome->generation;
	my_slot->task.capture_pid = outcome->capture_pid;
	my_slot->state = DYN_WORKER_IDLE;
	my_slot->finished = true;
	my_slot->idle_since = GetCurrentTimestamp();
	wake_schedulers();
	LWLockRelease(&dyn_queue->lock);
}

/* How long an idle worker will wait on, in milliseconds; -1: for ever. */
static long
patience_left(void)
{
	if (my_slot->patience == 0)
		return -1;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
										   TimestampTzPlusMilliseconds(my_slot->idle_since,
																	   my_slot->patience));
}

/* Wait for a task, for as long as the warehouse says; false: time to go. */
static bool
next_task(DynTask *task)
{
	for (;;)
	{
		long		left;
		DynWorkerState state;
		bool		quit;

		QueryCancelPending = false; /* came too late */
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
		left = patience_left();
		state = my_slot->state;
		quit = my_slot->quit || left == 0;
		if (state == DYN_WORKER_BUSY)
			*task = my_slot->task;
		else if (quit)
			my_slot->quit = true;	/* nothing is given to us from here on */
		LWLockRelease(&dyn_queue->lock);
		if (state == DYN_WORKER_BUSY)
			return true;
		if (quit)
			return false;

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (left > 0 ? WL_TIMEOUT : 0),
						 left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
dyntable_refresh_worker_main(Datum arg)
{
	uint32		generation;
	DynTask		task;
	Outcome		outcome;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	if (dyn_queue == NULL || !worker_attach(DatumGetInt32(arg), generation))
		proc_exit(0);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnectionByOid(my_slot->database, InvalidOid, 0);
	dyn_settings_of_process();
	become_owner();
	pgstat_report_appname("dyntable refresh worker");
	task_context = AllocSetContextCreate(TopMemoryContext, "dyntable task",
										 ALLOCSET_DEFAULT_SIZES);

	task = my_slot->task;
	do
	{
		work(&task, &outcome);
		task_done(&outcome);
	} while (next_task(&task));
	proc_exit(0);
}
