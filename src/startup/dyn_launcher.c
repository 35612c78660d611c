/*
 * dyn_launcher.c
 *	  One process for the server: finds the databases that have the extension
 *	  and keeps a capture worker and a scheduler running in each.
 *
 * Which databases have it only somebody inside them can say.  So every
 * database is probed once after the server's start, and once when it appears:
 * by a capture worker, which goes away when there is no extension.  Later
 * CREATE EXTENSION announces itself through shared memory (at commit), and
 * dyntable's functions do too when they find no worker.  A database without
 * the extension costs nothing after its probe.
 *
 * Workers are registered without restart: the launcher starts them again, at
 * growing intervals while they keep failing, and not while their database is
 * paused (dyn_database.c).
 *
 * There may be more databases than max_worker_processes has room for.  Then as
 * many are served as leaves processes for refreshing them; the first to come
 * keep their place, the others are told of in the log and in
 * dyntable.capture.
 */
#include <postgres.h>

#include <access/heapam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <catalog/pg_database.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <replication/logicallauncher.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <tcop/tcopprot.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/timestamp.h>
#include <utils/wait_event.h>

#include "base/dyn_freshness.h"
#include "base/dyn_queue.h"
#include "base/dyn_settings.h"
#include "base/dyn_shmem.h"
#include "capture/dyn_capture.h"
#include "startup/dyn_startup.h"

#define LIST_EVERY_MS		60000
#define GUARD_EVERY_MS		5000	/* while some slot holds back too much WAL */
#define FIRST_RETRY_MS		1000
#define LAST_RETRY_MS		30000
#define NO_WORKER_RETRY_MS	2000
#define STEADY_MS			60000	/* who ran this long has not failed to start */

/* Processes besides capture and scheduler of each database: one to refresh, one to register sources. */
#define SPARE_WORKERS		2

extern PGDLLEXPORT void dyntable_launcher_main(Datum main_arg);

/* One worker that is to run. */
typedef struct LaunchedWorker
{
	BackgroundWorkerHandle *handle; /* NULL: not running */
	TimestampTz started;
	TimestampTz not_before;
	int			retry_ms;
	uint64		progress;		/* when it last ended */
} LaunchedWorker;

typedef struct LaunchedDatabase
{
	Oid			dboid;
	NameData	name;
	bool		exists;			/* in pg_database */
	bool		probed;			/* a worker has looked inside, or is asked to */
	bool		probing;
	bool		served;			/* has its place among the processes */
	bool		complained;		/* that it has none */
	LaunchedWorker capture;
	LaunchedWorker scheduler;
} LaunchedDatabase;

static MemoryContext launcher_context;
static List *databases = NIL;	/* of LaunchedDatabase * */

void
dyn_launcher_register(void)
{
	BackgroundWorker worker = {0};

	/* pg_upgrade looks at slots that nobody may hold, and wants no new ones. */
	if (IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "dyntable", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dyntable_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "dyntable launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "dyntable launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* ---- the list of databases ---- */

static LaunchedDatabase *
find_database(Oid dboid)
{
	LaunchedDatabase *database;
	MemoryContext caller;
	ListCell   *lc;

	foreach(lc, databases)
		if (((LaunchedDatabase *) lfirst(lc))->dboid == dboid)
			return lfirst(lc);
	caller = MemoryContextSwitchTo(launcher_context);
	database = palloc0(sizeof(LaunchedDatabase));
	database->dboid = dboid;
	database->exists = true;
	databases = lappend(databases, database);
	MemoryContextSwitchTo(caller);
	return database;
}

static void
list_databases(void)
{
	Relation	catalog;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	foreach(lc, databases)
		((LaunchedDatabase *) lfirst(lc))->exists = false;
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	catalog = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(catalog, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn)
		{
			LaunchedDatabase *database = find_database(form->oid);

			database->exists = true;
			database->name = form->datname;
		}
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(launcher_context);
}

/* ---- workers ---- */

/*
 * progress: of the kind of worker's own.  One that made some before it failed
 * is tried again soon: what it fails of is new.
 */
static bool
worker_running(LaunchedWorker *worker, uint64 progress)
{
	pid_t		pid;
	TimestampTz now = GetCurrentTimestamp();

	if (worker->handle == NULL)
		return false;
	switch (GetBackgroundWorkerPid(worker->handle, &pid))
	{
		case BGWH_STARTED:
		case BGWH_NOT_YET_STARTED:
			return true;
		default:
			break;
	}
	pfree(worker->handle);
	worker->handle = NULL;
	if (TimestampDifferenceExceeds(worker->started, now, STEADY_MS))
		worker->retry_ms = 0;
	else if (progress > worker->progress)
		worker->retry_ms = Min(worker->retry_ms, FIRST_RETRY_MS);
	worker->progress = progress;
	worker->not_before = TimestampTzPlusMilliseconds(now, worker->retry_ms);
	worker->retry_ms = Min(Max(worker->retry_ms * 2, FIRST_RETRY_MS), LAST_RETRY_MS);
	return false;
}

/* probe: it is to look whether the extension is there, and not to stay. */
static bool
start_worker(LaunchedWorker *worker, Oid dboid, const char *function, const char *type, bool probe)
{
	BackgroundWorker definition = {0};
	MemoryContext caller = MemoryContextSwitchTo(launcher_context);
	bool		started;

	definition.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	definition.bgw_start_time = BgWorkerStart_RecoveryFinished;
	definition.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(definition.bgw_library_name, "dyntable", BGW_MAXLEN);
	strlcpy(definition.bgw_function_name, function, BGW_MAXLEN);
	snprintf(definition.bgw_name, BGW_MAXLEN, "%s for database %u", type, dboid);
	strlcpy(definition.bgw_type, type, BGW_MAXLEN);
	definition.bgw_main_arg = ObjectIdGetDatum(dboid);
	definition.bgw_notify_pid = MyProcPid;
	definition.bgw_extra[0] = probe;
	worker->started = GetCurrentTimestamp();
	started = RegisterDynamicBackgroundWorker(&definition, &worker->handle);
	MemoryContextSwitchTo(caller);
	if (!started)
	{
		worker->handle = NULL;
		worker->not_before = TimestampTzPlusMilliseconds(worker->started, NO_WORKER_RETRY_MS);
		dyn_queue_make_room();
	}
	return started;
}

/* Have dyntable.capture say why a database has no capture worker. */
static void
report_reason(Oid dboid, const char *reason)
{
	DynDatabase *db;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(dboid);
	if (db && db->capture_pid == 0 && db->state != DYN_CAPTURE_UNABLE)
	{
		db->state = DYN_CAPTURE_OFF;
		db->generation = 0;		/* nobody is to wait for it */
		strlcpy(db->reason, reason, DYN_REASON_LENGTH);
		strlcpy(db->last_error, reason, DYN_REASON_LENGTH);
		db->last_error_time = GetCurrentTimestamp();
	}
	LWLockRelease(dyn_shmem->lock);
}

static void
report_no_worker(const LaunchedDatabase *database)
{
	static TimestampTz last_complaint = 0;
	TimestampTz now = GetCurrentTimestamp();

	report_reason(database->dboid, "no background worker is free; increase max_worker_processes");
	if (last_complaint != 0 && !TimestampDifferenceExceeds(last_complaint, now, 600000))
		return;
	last_complaint = now;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no background worker is free for dyntable in database \"%s\"", NameStr(database->name)),
			 errhint("Increase max_worker_processes.")));
}

/* What shared memory says of a database. */
typedef struct Wish
{
	bool		entry;
	bool		confirmed;
	bool		dropped;
	bool		paused;
	DynCaptureState state;
	uint64		captured;
} Wish;

static Wish
look_up(Oid dboid)
{
	DynDatabase *db;
	Wish		wish = {0};

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(dboid);
	if (db)
	{
		wish.entry = true;
		wish.confirmed = db->confirmed;
		wish.dropped = db->dropped;
		wish.paused = dyn_database_paused(db);
		wish.state = db->state;
		wish.captured = pg_atomic_read_u64(&db->captured_lsn);
	}
	LWLockRelease(dyn_shmem->lock);
	return wish;
}

/* CREATE EXTENSION may just have announced a database that exists. */
static void
forget_entry(Oid dboid, bool exists)
{
	DynDatabase *db;
	bool		gone;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(dboid);
	gone = db && db->capture_pid == 0 && (!db->confirmed || !exists);
	if (gone)
		db->dboid = InvalidOid;
	LWLockRelease(dyn_shmem->lock);
	if (gone)
		dyn_freshness_forget_database(dboid);
}

/* ---- who is served ---- */

/* The server's own launcher of subscriptions and this process take a place each. */
static int
workers_besides(void)
{
	return 1 + (max_logical_replication_workers > 0 ? 1 : 0) + SPARE_WORKERS;
}

static int
places(void)
{
	return Max((max_worker_processes - workers_besides()) / 2, 1);
}

static int
places_taken(void)
{
	int			taken = 0;
	ListCell   *lc;

	foreach(lc, databases)
		taken += ((LaunchedDatabase *) lfirst(lc))->served;
	return taken;
}

/* Whether it is known of every database whether it has the extension. */
static bool
all_probed(void)
{
	ListCell   *lc;

	foreach(lc, databases)
	{
		LaunchedDatabase *database = lfirst(lc);

		if (database->exists && (!database->probed || database->probing))
			return false;
	}
	return true;
}

static void
report_no_place(LaunchedDatabase *database)
{
	char		reason[DYN_REASON_LENGTH];
	int			confirmed = 0;
	ListCell   *lc;

	snprintf(reason, sizeof(reason),
			 "max_worker_processes has room for the workers of %d databases, which others have taken; increase it",
			 places());
	report_reason(database->dboid, reason);
	if (database->complained)
		return;
	database->complained = true;
	foreach(lc, databases)
		confirmed += look_up(((LaunchedDatabase *) lfirst(lc))->dboid).confirmed;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("dynamic tables of database \"%s\" are not refreshed for want of background workers",
					NameStr(database->name)),
			 errdetail("There is room for the workers of %d databases, and %d have the extension dyntable.",
					   places(), confirmed),
			 errhint("Increase max_worker_processes to at least %d.", 2 * confirmed + workers_besides())));
}

/* When all databases are known: which have no place? */
static void
report_unserved(void)
{
	ListCell   *lc;

	if (!all_probed())
		return;
	foreach(lc, databases)
	{
		LaunchedDatabase *database = lfirst(lc);

		if (database->exists && !database->served && look_up(database->dboid).confirmed)
			report_no_place(database);
	}
}

/* Whether a database has its place, or gets one now. */
static bool
has_place(LaunchedDatabase *database)
{
	if (!database->served)
		database->served = places_taken() < places();
	return database->served;
}

static void
unplace(LaunchedDatabase *database)
{
	database->served = database->complained = false;
}

/* One database: whether anything is due, and do it.  *probes: how many probes run. */
static void
tend(LaunchedDatabase *database, int *probes)
{
	TimestampTz now = GetCurrentTimestamp();
	Wish		wish = look_up(database->dboid);
	bool		capture_runs = worker_running(&database->capture, wish.captured);
	bool		scheduler_runs = worker_running(&database->scheduler, 0);

	if (!database->exists || wish.dropped || !wish.confirmed)
	{
		unplace(database);
		if (scheduler_runs && (!database->exists || wish.dropped))
			TerminateBackgroundWorker(database->scheduler.handle);
		if (!capture_runs && wish.entry && (wish.dropped || !database->exists))
		{
			/* who left because there was nothing to do has not failed */
			database->probing = false;
			database->capture.retry_ms = database->scheduler.retry_ms = 0;
			database->capture.not_before = database->scheduler.not_before = 0;
			forget_entry(database->dboid, database->exists);
		}
	}
	if (database->probing && !capture_runs)
	{
		/* one that died without a verdict, or found the database paused, is repeated */
		database->probing = false;
		database->probed = wish.confirmed;
	}
	if (!database->exists || wish.paused)
		return;

	if (!wish.confirmed)
	{
		if (database->probing)
			(*probes)++;
		else if (!database->probed && *probes < 2 && !capture_runs && now >= database->capture.not_before)
		{
			database->probed = database->probing =
				start_worker(&database->capture, database->dboid,
							 "dyntable_capture_main", "dyntable capture",
							 places_taken() >= places());
			(*probes)++;
		}
		return;
	}
	database->probed = true;
	database->probing = false;
	if (!has_place(database))
	{
		if (capture_runs)
			TerminateBackgroundWorker(database->capture.handle);
		return;
	}
	if (!capture_runs && wish.state != DYN_CAPTURE_UNABLE && now >= database->capture.not_before &&
		!start_worker(&database->capture, database->dboid, "dyntable_capture_main", "dyntable capture", false))
		report_no_worker(database);
	if (!scheduler_runs && wish.state >= DYN_CAPTURE_IDLE && now >= database->scheduler.not_before &&
		!start_worker(&database->scheduler, database->dboid, "dyntable_scheduler_main", "dyntable scheduler", false))
		report_no_worker(database);
}

/* Databases that announced themselves may not be in the list yet. */
static void
take_announcements(void)
{
	for (int i = 0; i < dyn_shmem->ndatabases; i++)
	{
		Oid			dboid = dyn_shmem->databases[i].dboid;

		if (OidIsValid(dboid))
			(void) find_database(dboid);
	}
}

static void
forget_gone_databases(void)
{
	ListCell   *lc;

	foreach(lc, databases)
	{
		LaunchedDatabase *database = lfirst(lc);

		if (!database->exists && database->capture.handle == NULL &&
			database->scheduler.handle == NULL && !look_up(database->dboid).entry)
		{
			databases = foreach_delete_current(databases, lc);
			pfree(database);
		}
	}
}

/* When to look again, if nobody wakes us. */
static long
next_look(bool probing)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = TimestampTzPlusMilliseconds(now, LIST_EVERY_MS);
	ListCell   *lc;

	foreach(lc, databases)
	{
		LaunchedDatabase *database = lfirst(lc);
		Wish		wish = look_up(database->dboid);

		if (database->exists && !database->probed)
			next = Min(next, database->capture.not_before);
		if (!database->exists || !wish.confirmed || !database->served)
			continue;
		if (wish.paused)
			next = Min(next, TimestampTzPlusMilliseconds(now, 1000));
		if (database->capture.handle == NULL && wish.state != DYN_CAPTURE_UNABLE)
			next = Min(next, database->capture.not_before);
		if (database->scheduler.handle == NULL)
			next = Min(next, database->scheduler.not_before);
	}
	return Max(TimestampDifferenceMilliseconds(now, next), probing ? 100 : 200);
}

static void
launcher_exit(int code, Datum arg)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	if (dyn_shmem->launcher_pid == MyProcPid)
	{
		dyn_shmem->launcher_pid = 0;
		dyn_shmem->launcher_latch = NULL;
	}
	LWLockRelease(dyn_shmem->lock);
}

/* max_slot_wal_keep_size would be the last thing between a slot that nobody serves and a full disk. */
static void
warn_of_unbounded_wal(void)
{
	if (dyn_max_retained_wal < 0 && max_slot_wal_keep_size_mb < 0)
		ereport(WARNING,
				(errmsg("replication slots of dyntable may retain WAL without bound"),
				 errhint("Set \"dyntable.max_retained_wal\" or \"max_slot_wal_keep_size\".")));
}

void
dyntable_launcher_main(Datum main_arg)
{

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	dyn_shmem->launcher_pid = MyProcPid;
	dyn_shmem->launcher_latch = MyLatch;
	LWLockRelease(dyn_shmem->lock);
	before_shmem_exit(launcher_exit, (Datum) 0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	dyn_settings_of_process();
	launcher_context = AllocSetContextCreate(TopMemoryContext, "dyntable launcher",
											 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(launcher_context);
	warn_of_unbounded_wal();

	for (;;)
	{
		int			probes = 0;
		long		pause;
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		list_databases();
		take_announcements();
		foreach(lc, databases)
			tend(lfirst(lc), &probes);
		report_unserved();
		forget_gone_databases();
		pause = next_look(probes > 0);
		if (dyn_slots_guard())
			pause = Min(pause, GUARD_EVERY_MS);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 pause, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
