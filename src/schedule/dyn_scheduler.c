/*
 * dyn_scheduler.c
 *	  The scheduler of one database: decides when which refresh runs.
 *
 * One process per database, started by the launcher.  It refreshes nothing
 * itself.  A tick (scheduler_tick) reads from top to bottom: look at what
 * ended, read what changed, let time pass for tables to which nothing
 * happened, plan, dispatch, say when to wake up next.  In between it sleeps
 * until the next table is due, or until somebody sets its latch: a command
 * that changed a definition (through a trigger on dyntable's own tables), a
 * worker that finished, the postmaster whose worker ended.
 *
 * Memory: the graph lives until the next reload; everything else until the
 * end of the tick.
 */
#include <postgres.h>

#include <access/xact.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <storage/ipc.h>
#include <tcop/tcopprot.h>
#include <utils/guc.h>
#include <utils/inval.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_queue.h"
#include "base/dyn_settings.h"
#include "base/dyn_shmem.h"
#include "catalog/dyn_catalog.h"
#include "schedule/dyn_altered.h"
#include "schedule/dyn_due.h"
#include "schedule/dyn_failures.h"
#include "schedule/dyn_graph.h"
#include "schedule/dyn_marks.h"
#include "schedule/dyn_pool.h"
#include "schedule/dyn_settled.h"

PGDLLEXPORT void dyntable_scheduler_main(Datum arg);

#define SECOND INT64CONST(1000000)

/* See this often whether the extension is still there. */
#define LOOK_INTERVAL (60 * SECOND)

/* After statements, so soon whether somebody set the latch meanwhile. */
#define DOUBT_MS 50

/* Old rows of history are dropped this often. */
#define PURGE_INTERVAL (3600 * SECOND)

/* A finished task whose durations are to be noted when its tables have been read again. */
typedef struct Finished
{
	DynTask		task;
	bool		lost;
	TimestampTz seen;
} Finished;

static struct
{
	MemoryContext tick_context;
	DynGraph   *graph;
	Oid			owner;			/* of the extension */
	TimestampTz wake;			/* when there will be something to do */
	bool		refused;		/* a run found no worker */
	bool		wanting;		/* as dyn_pool_want was told */
	bool		reload;			/* definitions changed */
	TimestampTz reload_at;		/* but are not read again before */
	TimestampTz look_at;		/* whether the extension is still there */
	TimestampTz purge_at;

}			self;

/* Statements ran since the last sleep. */
static bool latch_doubtful = false;

static void
commit_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(self.tick_context);
	latch_doubtful = true;
}

/* Start a transaction; the extension may have gone, and then so do we. */
static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (!dyn_extension_hold())
	{
		CommitTransactionCommand();
		dyn_freshness_forget(NULL, NULL);
		ereport(DEBUG1, (errmsg_internal("dyntable scheduler ends: no extension")));
		proc_exit(0);
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(self.tick_context);
}

/* ---- what ended ---- */

/* Crashed and lost runs are failures of all their tables. */
static void
account_lost(const List *tasks, const char *sqlstate, const char *message)
{
	ListCell   *cell;

	if (tasks == NIL)
		return;
	begin_transaction();
	foreach(cell, tasks)
		dyn_failures_record_run(lfirst(cell), sqlstate, message, false);
	commit_transaction();
}

/* Collect what has finished since the last tick; list of Finished *. */
static List *
reap(void)
{
	List	   *finished = NIL;
	List	   *lost = NIL;
	DynTask		task;
	bool		was_lost;

	while (dyn_pool_reap(&task, &was_lost))
	{
		Finished   *entry = palloc(sizeof(Finished));

		entry->task = task;
		entry->lost = was_lost;
		entry->seen = GetCurrentTimestamp();
		finished = lappend(finished, entry);
		if (was_lost)
			lost = lappend(lost, &entry->task);
	}
	account_lost(lost, "57P01", "the refresh worker ended before the refresh did");
	return finished;
}

static void
mark_busy(const DynWorker *worker, void *arg)
{
	Bitmapset **busy = arg;
	int			pool = dyn_graph_pool(self.graph, worker->warehouse);

	*busy = bms_join(*busy, dyn_graph_closure(self.graph, worker->task.tables,
											  worker->task.ntables));
	if (pool >= 0)
		self.graph->pools[pool].working++;
}

/* Which tables belong to runs that are under way, and how many of these each warehouse has. */
static void
find_busy(void)
{
	Bitmapset  *busy = NULL;

	for (int i = 0; i < self.graph->npools; i++)
		self.graph->pools[i].working = 0;
	dyn_pool_foreach_worker(mark_busy, &busy);
	for (int i = 0; i < self.graph->nnodes; i++)
		self.graph->nodes[i].busy = bms_is_member(i, busy);
}

/* ---- what changed ---- */

/*
 * Whether definitions are to be read again; *moved: the tables (*nmoved) of
 * which is to be read where they stand.  Asking takes the answer away.
 */
static bool
take_news(Oid *moved, int *nmoved)
{
	DynScheduler *scheduler;
	bool		changed = false;

	*nmoved = 0;
	LWLockAcquire(&dyn_queue->lock, LW_EXCLUSIVE);
	scheduler = dyn_queue_scheduler(MyDatabaseId);
	if (scheduler != NULL)
	{
		changed = scheduler->changed;
		*nmoved = scheduler->nmoved;
		memcpy(moved, scheduler->moved, sizeof(Oid) * scheduler->nmoved);
		scheduler->changed = false;
		scheduler->nmoved = 0;
	}
	LWLockRelease(&dyn_queue->lock);
	return changed;
}

static bool
in_graph(Oid relid, void *arg)
{
	return dyn_graph_find(arg, relid) != NULL;
}

/* What the old graph knows that is not in the catalog. */
static void
carry_over(const DynGraph *old)
{
	bool	   *same = palloc0(sizeof(bool) * (self.graph->nnodes + 1));

	for (int i = 0; i < self.graph->nnodes; i++)
	{
		DynNode    *node = &self.graph->nodes[i];
		DynNode    *known = dyn_graph_find(old, node->relid);

		if (known == NULL)
			continue;
		node->duration = known->duration;
		node->measured = known->measured;
		node->last_run = known->last_run;
		node->due_shown = known->due_shown;
		node->ready = known->ready;
		node->altered = known->altered;

		/* A table stays settled if neither it nor any upstream was redefined. */
		same[i] = known->version == node->version && node->populated;
		for (int j = -1; same[i] && (j = bms_next_member(node->closure, j)) >= 0;)
			same[i] = same[j] && !self.graph->nodes[j].reinitialise;
		if (!same[i])
			continue;
		node->data_timestamp = Max(node->data_timestamp, known->data_timestamp);
		node->settled = known->settled && node->still;
		node->generation = known->generation;
		node->capture_pid = known->capture_pid;
		node->changes = known->changes;
		node->dispatched = known->dispatched;
		node->changes_dispatched = known->changes_dispatched;
	}
	pfree(same);
}

/* Read all definitions. */
static void
reload(void)
{
	TimestampTz started = GetCurrentTimestamp();
	DynGraph   *old = self.graph;

	begin_transaction();
	self.owner = dyn_extension_owner();
	self.graph = dyn_graph_build(dyn_schedule_rows(), dyn_schedule_edges(), TopMemoryContext);
	dyn_pool_adjust(dyn_warehouse_all());
	commit_transaction();
	if (old != NULL)
	{
		carry_over(old);
		MemoryContextDelete(old->context);
	}
	dyn_freshness_forget(in_graph, self.graph);
	ereport(DEBUG1, (errmsg_internal("dyntable scheduler reads the definitions of %d tables", self.graph->nnodes)));

	/* Somebody may be creating a thousand tables: take a fifth of the time for it. */
	self.reload = false;
	self.reload_at = GetCurrentTimestamp();
	self.reload_at += Min(4 * (self.reload_at - started), SECOND);
}

/* Read where some tables stand. */
static void
read_positions(const Bitmapset *set)
{
	ListCell   *cell;

	if (bms_is_empty(set))
		return;
	begin_transaction();
	foreach(cell, dyn_schedule_positions(dyn_graph_relids(self.graph, set)))
	{
		DynScheduleRow *row = lfirst(cell);
		DynNode    *node = dyn_graph_find(self.graph, row->relid);

		if (row->populated && node->populated)
			node->data_timestamp = Max(node->data_timestamp, row->data_timestamp);
		else
			node->data_timestamp = row->data_timestamp;
		node->populated = row->populated;
		node->reinitialise = row->reinitialise;
		node->failures = row->failures;
		node->retry_at = row->retry_at;
	}
	commit_transaction();
}

/* What a run that ended says of one of its tables. */
static void
digest_table(DynNode *node, const Finished *entry, bool was_populated)
{
	const DynTask *task = &entry->task;
	bool		succeeded = node->populated && node->data_timestamp >= task->dispatched;

	node->last_run = task->dispatched;
	node->settled = succeeded && dyn_settled_by_run(self.graph, node, task);
	node->generation = task->generation;
	node->capture_pid = task->capture_pid;
	node->changes = node->changes_dispatched;

	/* A first fill and a failure say nothing about the refreshes to come. */
	if (succeeded && was_populated)
		dyn_due_measured(node, entry->seen - task->dispatched);
}

/* Finished runs: where their tables stand now, and how long it took. */
static void
digest(const List *finished)
{
	Bitmapset  *set = NULL;
	Bitmapset  *populated = NULL;
	ListCell   *cell;

	foreach(cell, finished)
	{
		Finished   *entry = lfirst(cell);

		set = bms_join(set, dyn_graph_closure(self.graph, entry->task.tables,
											  entry->task.ntables));
	}
	for (int i = -1; (i = bms_next_member(set, i)) >= 0;)
		if (self.graph->nodes[i].populated)
			populated = bms_add_member(populated, i);
	read_positions(set);

	foreach(cell, finished)
	{
		Finished   *entry = lfirst(cell);
		Bitmapset  *closure = entry->lost ? NULL :
			dyn_graph_closure(self.graph, entry->task.tables, entry->task.ntables);

		for (int i = -1; (i = bms_next_member(closure, i)) >= 0;)
			digest_table(&self.graph->nodes[i], entry, bms_is_member(i, populated));
	}
}

/* What was altered until now is no longer settled. */
static void
look_for_altered(void)
{
	AcceptInvalidationMessages();
	if (!dyn_altered_any())
		return;
	begin_transaction();
	dyn_altered_apply(self.graph);
	commit_transaction();
}

/* ---- what to do ---- */

static void
build_task(const DynPlannedRun *run, TimestampTz now, DynTask *task)
{
	Bitmapset  *closure;

	memset(task, 0, sizeof(*task));
	task->dispatched = now;
	task->due = run->ready;
	for (int i = 0; i < run->nroots; i++)
		task->tables[task->ntables++] = self.graph->nodes[run->roots[i]].relid;

	/* The worker will find out whether the run sees what capture has counted by now. */
	closure = dyn_graph_closure(self.graph, task->tables, task->ntables);
	for (int i = -1; (i = bms_next_member(closure, i)) >= 0;)
		dyn_settled_count(&self.graph->nodes[i], now);
}

/* The run that has been given away will find out what was altered until now. */
static void
task_dispatched(const DynTask *task)
{
	Bitmapset  *closure = dyn_graph_closure(self.graph, task->tables, task->ntables);

	for (int i = -1; (i = bms_next_member(closure, i)) >= 0;)
		self.graph->nodes[i].altered = false;
}

/* Let other databases know whether this one got the workers that it needs. */
static void
want_workers(bool wanting)
{
	if (wanting != self.wanting)
		dyn_pool_want(wanting);
	self.wanting = wanting;
}

/*
 * The warehouse of a run; NULL when nothing can run in it now.  One that is
 * suspended and has tables that are due is one that resumes by itself.
 */
static DynWarehouse *
run_warehouse(const char *name, const List *full)
{
	DynWarehouse *warehouse;
	ListCell   *cell;

	foreach(cell, full)
		if (strcmp(lfirst(cell), name) == 0)
			return NULL;
	warehouse = dyn_warehouse_get(name);
	if (warehouse == NULL || (warehouse->suspended && !warehouse->auto_resume))
		return NULL;
	if (warehouse->suspended)
		dyn_warehouse_resume(name);
	return warehouse;
}

/* Hand planned runs to workers.  Returns when to try again those that found none. */
static TimestampTz
dispatch(const List *runs, TimestampTz now)
{
	List	   *full = NIL;
	bool		crowded = false;
	ListCell   *cell;

	begin_transaction();
	foreach(cell, runs)
	{
		DynPlannedRun *run = lfirst(cell);
		DynWarehouse *warehouse = run_warehouse(self.graph->pools[run->pool].name, full);
		DynTask		task;
		DynDispatch result;

		if (warehouse == NULL)
			continue;
		build_task(run, now, &task);
		result = dyn_pool_dispatch(&task, warehouse, self.owner);
		if (result == DYN_DISPATCHED)
		{
			task_dispatched(&task);
			continue;
		}
		self.refused = true;
		full = lappend(full, warehouse->name);
		if (result == DYN_DISPATCH_FAILED)
			ereport(WARNING,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("could not start a refresh worker"),
					 errhint("Increase max_worker_processes, or lower dyntable.max_workers.")));
		if (result != DYN_DISPATCH_LATER)
		{
			crowded = true;
			break;
		}
	}
	commit_transaction();
	want_workers(crowded);
	find_busy();
	return self.refused ? now + 5 * SECOND : DT_NOEND;
}

/* The tables of planned runs, as many as may find a worker, and all upstream of them. */
static Bitmapset *
runs_closure(const List *runs)
{
	Bitmapset  *closure = NULL;
	ListCell   *cell;

	foreach(cell, runs)
	{
		DynPlannedRun *run = lfirst(cell);

		if (foreach_current_index(cell) >= 2 * dyn_max_workers)
			break;

		for (int i = 0; i < run->nroots; i++)
			closure = bms_add_members(closure, self.graph->nodes[run->roots[i]].closure);
	}
	return closure;
}

/* When to look whether what failed was repaired, rather than wait out its backoff. */
static TimestampTz
next_look_at_failed(TimestampTz now)
{
	for (int i = 0; i < self.graph->nnodes; i++)
		if (self.graph->nodes[i].retry_at > now && !self.graph->nodes[i].suspended)
			return now + SECOND;
	return DT_NOEND;
}

/* Show in dyntable.dynamic_tables when the next refresh is due. */
static void
publish_due(void)
{
	bool		locked = false;

	for (int i = 0; i < self.graph->nnodes; i++)
	{
		DynNode    *node = &self.graph->nodes[i];
		DynFreshness *entry;

		if (node->due == node->due_shown)
			continue;
		if (!locked)
			dyn_freshness_lock(LW_EXCLUSIVE);
		locked = true;
		entry = dyn_freshness_enter(node->relid);
		if (entry != NULL)
			entry->next_due = node->due;
		node->due_shown = node->due;
	}
	if (locked)
		dyn_freshness_unlock();
}

/* What is done rarely. */
static void
keep_house(TimestampTz now)
{
	uint64		purged;

	if (now >= self.look_at)
	{
		begin_transaction();
		commit_transaction();
		self.look_at = now + LOOK_INTERVAL;
	}
	if (now < self.purge_at)
		return;
	begin_transaction();
	purged = dyn_history_purge(now - dyn_history_retention * 60 * SECOND);
	(void) dyn_version_purge(now - dyn_history_retention * 60 * SECOND);
	commit_transaction();
	self.purge_at = now + (purged < 10000 ? PURGE_INTERVAL : SECOND);
}

/* ---- the tick ---- */

/*
 * Do what is due.  Capture wakes us with every batch of changes; what it wrote
 * is of interest only when something is due, so most such ticks end early.
 */
static void
scheduler_tick(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz wake;
	TimestampTz next_due;
	List	   *finished = reap();
	List	   *runs;
	Oid			moved[DYN_MOVED_TABLES];
	int			nmoved;

	self.reload |= take_news(moved, &nmoved);
	if (self.reload)
		self.wake = Min(self.wake, self.reload_at);
	if (finished == NIL && nmoved == 0 && !self.refused && now < self.wake && self.wake <= now + LOOK_INTERVAL)
		return;
	self.refused = false;
	if (self.graph == NULL || (self.reload && now >= self.reload_at))
		reload();
	digest(finished);
	read_positions(dyn_graph_closure(self.graph, moved, nmoved));
	find_busy();
	wake = dyn_settled_pass_time(self.graph, now, look_for_altered);

	runs = dyn_due_plan(self.graph, now, &next_due);
	if (runs != NIL)
	{
		/* Somebody may have refreshed by hand what looks due from here. */
		read_positions(runs_closure(runs));
		dyn_settled_pass_time(self.graph, now, look_for_altered);
		runs = dyn_due_plan(self.graph, now, &next_due);
	}
	if (runs != NIL)
	{
		TimestampTz again = dispatch(runs, now);

		wake = Min(wake, again);
	}
	else
		want_workers(false);
	publish_due();

	keep_house(now);
	self.wake = Min(Min(wake, next_due), Min(self.purge_at, self.look_at));
	self.wake = Min(self.wake, next_look_at_failed(now));
	if (self.reload)
		self.wake = Min(self.wake, self.reload_at);
}

static void
scheduler_sleep(TimestampTz until)
{
	long		timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

	/* Should the clock be set back, this much later we notice. */
	timeout = Min(timeout, LOOK_INTERVAL / 1000);

	/*
	 * A statement may have waited on a condition variable, as for I/O by a
	 * worker from PostgreSQL 18 on, which resets the latch: whoever set it
	 * meanwhile would not be heard.  So look once more soon.
	 */
	if (latch_doubtful)
		timeout = Min(timeout, DOUBT_MS);
	latch_doubtful = false;
	(void) pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	QueryCancelPending = false; /* there is nothing to cancel */
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		self.purge_at = self.wake = 0;	/* the history may be kept for less time now */
	}
	AcceptInvalidationMessages();
}

static void
scheduler_exit(int code, Datum arg)
{
	LWLockReleaseAll();
	dyn_pool_quit();
}

void
dyntable_scheduler_main(Datum arg)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	/* before it connects: who wants the database to himself ends those that he finds, and the others find him */
	if (dyn_queue == NULL || !dyn_queue_attach_scheduler(DatumGetObjectId(arg)) ||
		dyn_shmem_paused(DatumGetObjectId(arg)))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	before_shmem_exit(scheduler_exit, (Datum) 0);

	dyn_settings_of_process();
	pgstat_report_appname("dyntable scheduler");
	self.tick_context = AllocSetContextCreate(TopMemoryContext, "dyntable tick",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(self.tick_context);
	dyn_altered_init();
	account_lost(dyn_marks_take(), "57P02", "the server crashed during the refresh");

	for (;;)
	{
		MemoryContextReset(self.tick_context);
		scheduler_tick();
		Assert(CurrentMemoryContext == self.tick_context);
		scheduler_sleep(self.wake);
	}
}
