/*
 * dyn_database.c
 *	  Commands on whole databases: have our workers leave, and come back.
 *
 * CREATE DATABASE ... TEMPLATE, DROP DATABASE, ALTER DATABASE ... RENAME and
 * SET TABLESPACE wait some seconds for other sessions to leave the database and
 * then fail.  Nobody sees our workers as sessions, so they make room at once:
 * the entry of the database is paused, its workers are told to end, and the
 * launcher starts none before the command is over.  A pause ends by itself,
 * should the command's backend die.
 */
#include <postgres.h>

#include <signal.h>

#include <access/htup_details.h>
#include <access/xact.h>
#include <catalog/pg_authid.h>
#include <commands/dbcommands.h>
#include <commands/defrem.h>
#include <miscadmin.h>
#include <nodes/parsenodes.h>
#include <replication/slot.h>
#include <tcop/utility.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>

#include "base/dyn_queue.h"
#include "base/dyn_shmem.h"
#include "startup/dyn_startup.h"

#define PAUSE_MS 30000
#define LEAVE_MS 5000

static ProcessUtility_hook_type previous_utility = NULL;

/* The database that a command wants to have for itself, or NULL. */
static const char *
database_wanted(Node *command)
{
	ListCell   *lc;

	switch (nodeTag(command))
	{
		case T_CreatedbStmt:
			foreach(lc, ((CreatedbStmt *) command)->options)
			{
				DefElem    *option = lfirst(lc);

				if (strcmp(option->defname, "template") == 0 && option->arg)
					return defGetString(option);
			}
			return "template1";
		case T_DropdbStmt:
			return ((DropdbStmt *) command)->dbname;
		case T_AlterDatabaseStmt:
			foreach(lc, ((AlterDatabaseStmt *) command)->options)
				if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
					return ((AlterDatabaseStmt *) command)->dbname;
			return NULL;
		case T_RenameStmt:
			if (((RenameStmt *) command)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) command)->subname;
			return NULL;
		default:
			return NULL;
	}
}

/* Commands that fail for lack of rights shall not disturb anybody. */
static bool
may_manage_databases(void)
{
	HeapTuple	tuple;
	bool		may = superuser();

	if (may)
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return may;
}

static void
end_worker(int pid)
{
	if (pid > 0 && pid != MyProcPid)
		(void) kill(pid, SIGTERM);
}

/*
 * Send everybody away.  The entry is made where there is none: somebody may be
 * about to look whether the database has the extension.
 */
static bool
pause_database(Oid dboid)
{
	DynDatabase *db;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database_add(dboid);
	if (db)
	{
		db->paused_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSE_MS);
		end_worker(db->capture_pid);
	}
	LWLockRelease(dyn_shmem->lock);
	if (db == NULL)
		return false;
	LWLockAcquire(&dyn_queue->lock, LW_SHARED);
	for (int i = 0; i < dyn_queue->nslots; i++)
	{
		if (dyn_queue->schedulers[i].database == dboid)
			end_worker(dyn_queue->schedulers[i].pid);
		if (dyn_queue->workers[i].state != DYN_WORKER_FREE &&
			dyn_queue->workers[i].database == dboid)
			end_worker(dyn_queue->workers[i].pid);
	}
	LWLockRelease(&dyn_queue->lock);
	return true;
}

/* The slot of a database may not be in use, and DROP DATABASE does not wait for that. */
static void
wait_for_capture(Oid dboid)
{
	char		name[NAMEDATALEN];
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LEAVE_MS);

	snprintf(name, NAMEDATALEN, "dyntable_%u", dboid);
	while (GetCurrentTimestamp() < deadline)
	{
		ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);

		if (slot == NULL || slot->active_pid == 0)
			break;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(5000L);
	}
}

/* moved: no slot made before will be used again, so nobody shall wait for it */
static void
resume_database(Oid dboid, bool moved)
{
	DynDatabase *db;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(dboid);
	if (db)
		db->paused_until = 0;
	if (db && moved)
		db->generation = 0;
	if (db && !db->confirmed && db->capture_pid == 0)
		db->dboid = InvalidOid;
	LWLockRelease(dyn_shmem->lock);
	dyn_shmem_wake_launcher();
}

static void
database_utility(PlannedStmt *statement, const char *query, bool read_only,
				 ProcessUtilityContext context, ParamListInfo params,
				 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	const char *name = database_wanted(statement->utilityStmt);
	Oid			dboid = InvalidOid;

	if (name && dyn_shmem && IsTransactionState() && !IsInTransactionBlock(context == PROCESS_UTILITY_TOPLEVEL) &&
		may_manage_databases())
		dboid = get_database_oid(name, true);
	if (!OidIsValid(dboid) || !pause_database(dboid))
	{
		previous_utility(statement, query, read_only, context, params, environment, dest, completion);
		if (name && dyn_shmem)
			dyn_shmem_wake_launcher();
		return;
	}
	PG_TRY();
	{
		wait_for_capture(dboid);
		previous_utility(statement, query, read_only, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		resume_database(dboid, IsA(statement->utilityStmt, AlterDatabaseStmt));
	}
	PG_END_TRY();
}

void
dyn_database_init(void)
{
	previous_utility = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = database_utility;
}
