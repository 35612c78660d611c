/*
 * dyn_shmem.c
 *	  Setting up and finding entries of dyntable's shared memory.
 *
 * Nothing here survives a restart, and nothing needs to: after a restart the
 * launcher looks into every database once and the workers find their state in
 * slot, origin and tables.
 */
#include <postgres.h>

#include <access/xact.h>
#include <miscadmin.h>
#include <replication/slot.h>
#include <storage/ipc.h>
#include <storage/lwlock.h>
#include <storage/shmem.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_logmarks.h"
#include "base/dyn_progress.h"
#include "base/dyn_queue.h"
#include "base/dyn_shmem.h"

#define TRANCHE "dyntable"

DynShmem   *dyn_shmem = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

/* What the current transaction does at its commit. */
static bool announce_at_commit = false;
static bool count_at_commit = false;

/* A database in use needs a worker; those for which there is none are told why. */
static int
database_limit(void)
{
	return max_worker_processes + 100;
}

static int
hold_limit(void)
{
	return 16 * MaxBackends;
}

static Size
shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(DynShmem));

	size = add_size(size, mul_size(database_limit(), MAXALIGN(sizeof(DynDatabase))));
	return add_size(size, mul_size(hold_limit(), sizeof(DynHold)));
}

static void
shmem_request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(shmem_size());
	RequestAddinShmemSpace(dyn_queue_size());
	RequestAddinShmemSpace(dyn_freshness_size());
	RequestAddinShmemSpace(dyn_logmarks_size());
	RequestAddinShmemSpace(dyn_progress_size());
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
shmem_initialise(void)
{
	memset(dyn_shmem, 0, shmem_size());
	dyn_shmem->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	dyn_shmem->next_request = 1;
	dyn_shmem->ndatabases = database_limit();
	dyn_shmem->nholds = hold_limit();
	dyn_shmem->databases = (DynDatabase *) ((char *) dyn_shmem + MAXALIGN(sizeof(DynShmem)));
	dyn_shmem->holds = (DynHold *) (dyn_shmem->databases + dyn_shmem->ndatabases);
	for (int i = 0; i < DYN_MAX_REQUESTS; i++)
		ConditionVariableInit(&dyn_shmem->requests[i].answered);
	for (int i = 0; i < dyn_shmem->ndatabases; i++)
	{
		DynDatabase *db = &dyn_shmem->databases[i];

		ConditionVariableInit(&db->progress);
		pg_atomic_init_u64(&db->captured_lsn, 0);
		pg_atomic_init_u64(&db->complete, 0);
		pg_atomic_init_u64(&db->changes, 0);
		pg_atomic_init_u64(&db->registrations, 0);
		pg_atomic_init_u64(&db->log_bytes, 0);
	}
}

static void
shmem_startup(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	dyn_shmem = ShmemInitStruct("dyntable", shmem_size(), &found);
	if (!found)
		shmem_initialise();
	dyn_queue_init();
	dyn_freshness_init();
	dyn_logmarks_init();
	dyn_progress_init();
	LWLockRelease(AddinShmemInitLock);
}

/*
 * CallXactCallbacks(XACT_EVENT_COMMIT) runs after the transaction became
 * visible and before its locks are released.  That is what the registration
 * counter needs: whoever waits for the registrar's lock writes WAL only after
 * the counter has moved, and whoever sees it moved finds the row of the source.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT && dyn_shmem != NULL)
	{
		if (count_at_commit)
		{
			DynDatabase *db;

			LWLockAcquire(dyn_shmem->lock, LW_SHARED);
			db = dyn_shmem_database(MyDatabaseId);
			if (db)
				pg_atomic_fetch_add_u64(&db->registrations, 1);
			LWLockRelease(dyn_shmem->lock);
		}
		if (announce_at_commit)
			dyn_shmem_announce(MyDatabaseId);
	}
	announce_at_commit = count_at_commit = false;
}

void
dyn_shmem_install(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
	RegisterXactCallback(at_transaction_end, NULL);
}

void
dyn_shmem_require(void)
{
	if (dyn_shmem == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("dyntable is not loaded at server start"),
				 errhint("Add dyntable to shared_preload_libraries in postgresql.conf and restart the server.")));
}

DynDatabase *
dyn_shmem_database(Oid dboid)
{
	for (int i = 0; i < dyn_shmem->ndatabases; i++)
		if (dyn_shmem->databases[i].dboid == dboid)
			return &dyn_shmem->databases[i];
	return NULL;
}

bool
dyn_shmem_paused(Oid dboid)
{
	DynDatabase *db;
	bool		paused;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(dboid);
	paused = db != NULL && dyn_database_paused(db);
	LWLockRelease(dyn_shmem->lock);
	return paused;
}

DynDatabase *
dyn_shmem_database_add(Oid dboid)
{
	DynDatabase *db = dyn_shmem_database(dboid);

	Assert(LWLockHeldByMeInMode(dyn_shmem->lock, LW_EXCLUSIVE));
	if (db != NULL)
		return db;
	db = dyn_shmem_database(InvalidOid);
	if (db == NULL)
		return NULL;
	db->dboid = dboid;
	db->confirmed = db->dropped = false;
	db->paused_until = 0;
	db->state = DYN_CAPTURE_OFF;
	db->capture_pid = 0;
	db->capture_latch = NULL;
	db->generation = 0;
	db->slot_wanted = db->housekeeping = db->slot_given_up = false;
	db->slot_overdue = 0;
	db->confirmed_lsn = db->failed_lsn = InvalidXLogRecPtr;
	db->failures = 0;
	db->slot_name[0] = db->reason[0] = db->last_error[0] = '\0';
	pg_atomic_write_u64(&db->captured_lsn, 0);
	pg_atomic_write_u64(&db->complete, 0);
	pg_atomic_write_u64(&db->log_bytes, 0);
	return db;
}

void
dyn_shmem_wake_launcher(void)
{
	Latch	   *latch = dyn_shmem->launcher_latch;

	if (latch)
		SetLatch(latch);
}

void
dyn_shmem_announce(Oid dboid)
{
	DynDatabase *db;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database_add(dboid);
	if (db)
	{
		db->confirmed = true;
		db->dropped = false;
	}
	LWLockRelease(dyn_shmem->lock);
	dyn_shmem_wake_launcher();
}

void
dyn_shmem_announce_at_commit(void)
{
	announce_at_commit = true;
}

void
dyn_shmem_count_registration_at_commit(void)
{
	count_at_commit = true;
}
