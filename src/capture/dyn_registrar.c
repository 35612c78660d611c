/*
 * dyn_registrar.c
 *	  Putting a table under capture, by a process and a transaction of its own.
 *
 * A table must be under capture before the snapshot of the fill that reads it,
 * and that must be committed while the filling transaction is still open: so
 * another process does it.  It is not the capture worker, for whom everybody
 * waits, but a background worker that lives for one request: of a table that is
 * being created, for one source, or of the capture worker, for all sources that
 * are missing.
 *
 * It locks the table and its partitions in SHARE ROW EXCLUSIVE mode, even when
 * their replica identity is FULL already: when it has the lock, whoever wrote
 * the table before is visible to the fill's snapshot, and whoever writes it
 * after is decoded with the table known (see dyn_shmem.c on the counter).  All
 * locks of an attempt share one short time, so writers never queue behind it
 * for long, and the deadlock timeout is shorter still, which makes autovacuum
 * give way.  In between nobody queues.
 *
 * The requester waits outside the lock manager, so that the server cannot see a
 * deadlock in which somebody who holds the table waits for the requester's
 * transaction (CREATE INDEX CONCURRENTLY does, for its snapshot).  The
 * registrar looks for that between its attempts.
 *
 * A request lives in shared memory under an id.  The requester frees it when
 * it has the answer or gives up; a registrar whose request has another id by
 * then goes away.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/pg_class.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <tcop/tcopprot.h>
#include <storage/lmgr.h>
#include <storage/proc.h>
#include <utils/acl.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/timestamp.h>
#include <utils/wait_event.h>

#include "base/dyn_queue.h"
#include "base/dyn_settings.h"
#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

#define PATIENCE_MS			60000	/* of a requester */
#define QUIET_PATIENCE_MS	5000	/* when nobody waits */
#define WORKER_PATIENCE_MS	10000	/* until a process is free */
#define LOCK_BUDGET_MS		100		/* for all locks of one attempt */
#define DEADLOCK_TIMEOUT	"20ms"
#define LONGEST_PAUSE_MS	1000

extern PGDLLEXPORT void dyntable_registrar_main(Datum main_arg);

/* ---- requests ---- */

/* NULL when there are too many at this moment. */
static DynRequest *
request_make(Oid relid, List *columns, int patience)
{
	DynRequest *request = NULL;
	ListCell   *lc;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DYN_MAX_REQUESTS && request == NULL; i++)
		if (dyn_shmem->requests[i].id == 0)
			request = &dyn_shmem->requests[i];
	if (request)
	{
		request->id = dyn_shmem->next_request++;
		request->dboid = MyDatabaseId;
		request->relid = relid;
		request->requester = MyProcPid;
		request->role = GetUserId();
		request->patience = patience;
		request->done = false;
		request->sqlerrcode = 0;
		request->message[0] = request->detail[0] = request->hint[0] = '\0';
		memset(request->columns, 0, sizeof(request->columns));
		foreach(lc, columns)
			request->columns[lfirst_int(lc) / 8] |= 1 << (lfirst_int(lc) % 8);
	}
	LWLockRelease(dyn_shmem->lock);
	return request;
}

/* Free a request if it is still the one with this id. */
static void
request_free(DynRequest *request, uint64 id)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	if (request->id == id)
		request->id = 0;
	LWLockRelease(dyn_shmem->lock);
}

static bool
request_launch(DynRequest *request, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "dyntable", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dyntable_registrar_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "dyntable registrar", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "dyntable registrar", BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(request - dyn_shmem->requests);
	memcpy(worker.bgw_extra, &request->id, sizeof(request->id));
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* Wait for the answer and raise it where it is an error. */
static void
request_wait(DynRequest *request, BackgroundWorkerHandle *handle)
{
	int			code;
	char		message[DYN_REASON_LENGTH];
	char		detail[DYN_REASON_LENGTH];
	char		hint[DYN_REASON_LENGTH];

	for (;;)
	{
		bool		done;
		bool		ended;
		pid_t		pid;

		CHECK_FOR_INTERRUPTS();
		/* first whether it ended: then the answer, if any, is there */
		ended = GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
		LWLockAcquire(dyn_shmem->lock, LW_SHARED);
		done = request->done;
		code = request->sqlerrcode;
		strlcpy(message, request->message, DYN_REASON_LENGTH);
		strlcpy(detail, request->detail, DYN_REASON_LENGTH);
		strlcpy(hint, request->hint, DYN_REASON_LENGTH);
		LWLockRelease(dyn_shmem->lock);
		if (done)
			break;
		if (ended)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("could not put the source under change capture"),
					 errdetail("The registrar process ended without an answer."),
					 errhint("The server log may tell why.")));
		ConditionVariableTimedSleep(&request->answered, 100, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	if (code != 0)
		ereport(ERROR,
				(errcode(code), errmsg_internal("%s", message),
				 detail[0] ? errdetail_internal("%s", detail) : 0,
				 hint[0] ? errhint("%s", hint) : 0));
}

/* Writers pay for capture: it takes the owner of the table to agree. */
void
dyn_registrar_check_owner(Oid relid)
{
	if (!dyn_owns_relation(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table \"%s\" to put it under change capture",
						get_rel_name(relid)),
				 errhint("Have its owner create a dynamic table over these columns first, or use refresh_mode \"full\".")));
}

/* A request with its process; waits, bounded, for room. */
static DynRequest *
request_begin(Oid relid, List *columns, BackgroundWorkerHandle **handle)
{
	/* who has set lock_timeout does not want to wait longer for this lock either */
	int			patience = LockTimeout > 0 ? Min(LockTimeout, PATIENCE_MS) : PATIENCE_MS;
	TimestampTz started = GetCurrentTimestamp();

	for (;;)
	{
		DynRequest *request = request_make(relid, columns, patience);

		if (request && request_launch(request, handle))
			return request;
		if (request)
		{
			request_free(request, request->id);
			dyn_queue_make_room();
		}
		if (TimestampDifferenceExceeds(started, GetCurrentTimestamp(), WORKER_PATIENCE_MS))
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no background worker is free to put the source under change capture"),
					 errhint("Increase max_worker_processes.")));
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 50,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
dyn_registrar_request(Oid relid, List *columns)
{
	BackgroundWorkerHandle *handle;
	DynRequest *request = request_begin(relid, columns, &handle);
	uint64		id = request->id;

	PG_TRY();
	{
		request_wait(request, handle);
	}
	PG_CATCH();
	{
		ConditionVariableCancelSleep();
		request_free(request, id);
		TerminateBackgroundWorker(handle);
		PG_RE_THROW();
	}
	PG_END_TRY();
	request_free(request, id);
	pfree(handle);
}

/* By the capture worker, which does not wait.  The registrar frees the request. */
void
dyn_registrar_start(void)
{
	static DynRequest *last = NULL;
	static uint64 last_id = 0;
	BackgroundWorkerHandle *handle;
	bool		runs;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	runs = last && last->id == last_id;
	LWLockRelease(dyn_shmem->lock);
	if (runs || (last = request_make(InvalidOid, NIL, QUIET_PATIENCE_MS)) == NULL)
		return;
	last_id = last->id;
	if (request_launch(last, &handle))
		pfree(handle);
	else
		request_free(last, last_id);
}

/* ---- the registrar ---- */

static DynRequest *my_request = NULL;
static uint64 my_id = 0;
static bool quiet = false;		/* takes in all that is missing; nobody waits for an answer */

static bool
still_wanted(void)
{
	bool		wanted;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	wanted = my_request->id == my_id;
	LWLockRelease(dyn_shmem->lock);
	return wanted;
}

static void
answer(int code, const char *message, const char *detail, const char *hint)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	if (my_request->id == my_id)
	{
		my_request->done = true;
		my_request->sqlerrcode = code;
		strlcpy(my_request->message, message ? message : "", DYN_REASON_LENGTH);
		strlcpy(my_request->detail, detail ? detail : "", DYN_REASON_LENGTH);
		strlcpy(my_request->hint, hint ? hint : "", DYN_REASON_LENGTH);
	}
	LWLockRelease(dyn_shmem->lock);
	ConditionVariableBroadcast(&my_request->answered);
}

static void
registrar_exit(int code, Datum arg)
{
	if (quiet)
		request_free(my_request, my_id);
}

/* What a requester wants; with relid and columns. */
static DynSource *
requested_source(void)
{
	DynSource  *source = palloc0(sizeof(DynSource));

	source->relid = my_request->relid;
	for (int i = 1; i <= DYN_REQUEST_COLUMNS; i++)
		if (my_request->columns[i / 8] & (1 << (i % 8)))
			source->columns = lappend_int(source->columns, i);
	return source;
}

/* All sources that are not under capture as they should be. */
static List *
missing_sources(void)
{
	List	   *sources = NIL;
	ListCell   *lc;

	dyn_own_begin();
	foreach(lc, dyn_sources_to_register())
	{
		DynSource  *found = lfirst(lc);
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
		DynSource  *source = palloc0(sizeof(DynSource));

		source->relid = found->relid;
		source->columns = list_copy(found->columns);
		sources = lappend(sources, source);
		MemoryContextSwitchTo(caller);
	}
	dyn_own_commit();
	return sources;
}

/* Columns that are still there. */
static List *
live_columns(Relation rel, List *columns)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *live = NIL;
	ListCell   *lc;

	foreach(lc, columns)
		if (lfirst_int(lc) <= desc->natts && !TupleDescAttr(desc, lfirst_int(lc) - 1)->attisdropped)
			live = lappend_int(live, lfirst_int(lc));
	return live;
}

/* Everything of one attempt; the transaction's locks last until its commit is visible. */
static void
register_source(Oid relid, List *columns)
{
	Relation	rel;
	DynSource  *source;
	const char *code;
	char	   *detail;
	bool		known = false;

	dyn_source_lock(relid, LOCK_BUDGET_MS);
	rel = try_table_open(relid, NoLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (quiet && !dyn_source_wanted(relid))
	{
		/* its last reader went while the request was on its way */
		table_close(rel, NoLock);
		return;
	}
	if (!dyn_capture_possible(relid, columns, &code, &detail))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("changes of \"%s\" cannot be captured", RelationGetRelationName(rel)),
				 errdetail_internal("%s.", detail)));
	columns = live_columns(rel, columns);
	source = dyn_source_get(relid);
	if (source && !dyn_changelog_exists(source))
	{
		columns = live_columns(rel, list_union_int(source->columns, columns));
		dyn_source_forget(relid);
		source = NULL;
	}
	if (source == NULL)
	{
		source = palloc0(sizeof(DynSource));
		source->relid = relid;
		source->columns = columns;
		source->old_identity = rel->rd_rel->relreplident;
		source->registered_lsn = dyn_wal_position();
		dyn_changelog_create(rel, source);
	}
	else
	{
		source->columns = live_columns(rel, list_union_int(source->columns, columns));
		dyn_changelog_extend(rel, source);
		known = true;
	}
	/* without FULL, changes up to now cannot all have been captured */
	if (dyn_identity_require(relid) && known)
		dyn_changelog_event(relid, InvalidAttrNumber);
	dyn_source_store(source);
	table_close(rel, NoLock);
	dyn_shmem_count_registration_at_commit();
}

/*
 * One attempt.  True when there is an answer; false when the locks were not to
 * be had.
 */
static bool
attempt(Oid relid, List *columns)
{
	volatile bool answered = true;

	PG_TRY();
	{
		dyn_own_begin();
		register_source(relid, columns);
		dyn_own_commit();
		answer(0, NULL, NULL, NULL);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
			error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
			answered = false;
		else
			answer(error->sqlerrcode, error->message, error->detail, error->hint);
	}
	PG_END_TRY();
	return answered;
}

/* One attempt at each.  Returns those whose locks were not to be had. */
static List *
attempt_all(List *sources)
{
	List	   *left = NIL;
	ListCell   *lc;

	foreach(lc, sources)
	{
		DynSource  *source = lfirst(lc);

		if (!still_wanted())
			break;
		if (!attempt(source->relid, source->columns))
			left = lappend(left, source);
	}
	return left;
}

/*
 * When the locks were not to be had: whether to give up, because the time is
 * over or because whoever is in the way waits for the requester itself.
 */
static bool
give_up(Oid relid, bool late)
{
	char	   *who;
	char		detail[DYN_REASON_LENGTH];
	bool		deadlock;

	dyn_own_begin();
	deadlock = dyn_lock_waits_for(relid, my_request->requester);
	if (late || deadlock)
	{
		who = dyn_lock_holders(relid, my_request->role);
		snprintf(detail, sizeof(detail), "In the way: %s.", who ? who : "nobody any more");
	}
	dyn_own_commit();
	if (deadlock)
		answer(ERRCODE_T_R_DEADLOCK_DETECTED,
			   "deadlock detected while putting the source under change capture", detail,
			   "What is in the way waits for this transaction. Try again when it has ended.");
	else if (late)
		answer(ERRCODE_LOCK_NOT_AVAILABLE,
			   "could not lock the source to put it under change capture", detail,
			   "End those transactions or try again later.");
	return late || deadlock;
}

static void
registrar_settings(void)
{
	dyn_settings_of_process();
	SetConfigOption("deadlock_timeout", DEADLOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
}

void
dyntable_registrar_main(Datum main_arg)
{
	TimestampTz started = GetCurrentTimestamp();
	long		pause = 50;
	List	   *sources;
	bool		late;

	my_request = &dyn_shmem->requests[DatumGetInt32(main_arg)];
	memcpy(&my_id, MyBgworkerEntry->bgw_extra, sizeof(my_id));
	quiet = !OidIsValid(my_request->relid);
	before_shmem_exit(registrar_exit, (Datum) 0);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!still_wanted())
		return;
	BackgroundWorkerInitializeConnectionByOid(my_request->dboid, InvalidOid, 0);
	registrar_settings();
	sources = quiet ? missing_sources() : list_make1(requested_source());
	for (;;)
	{
		sources = attempt_all(sources);
		if (sources == NIL || !still_wanted())
			break;
		late = TimestampDifferenceExceeds(started, GetCurrentTimestamp(), my_request->patience);
		if (quiet ? late : give_up(((DynSource *) linitial(sources))->relid, late))
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 pause, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(pause * 2, LONGEST_PAUSE_MS);
	}
}
