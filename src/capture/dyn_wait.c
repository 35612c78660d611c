/*
 * dyn_wait.c
 *	  What sessions and refresh workers ask of capture: is it ready, how far
 *	  has it come, keep this log, wake up.
 *
 * Nothing here touches the slot; it is all shared memory.  Waits end at a
 * timeout, an interrupt or when nobody is left to wait for.
 */
#include <postgres.h>

#include <access/transam.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <access/xlog_internal.h>
#include <commands/dbcommands.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <storage/proc.h>
#include <storage/procarray.h>
#include <utils/builtins.h>
#include <utils/pg_lsn.h>
#include <utils/timestamp.h>
#include <utils/wait_event.h>

#include "base/dyn_settings.h"
#include "capture/dyn_capture_internal.h"

/* How long a worker that ended may take to come back before waits give up. */
#define RESTART_GRACE_MS	10000

/* For how long an error explains that the worker is not there. */
#define ERROR_GRACE_MS		60000

/* What dyn_capture_generation last returned in this backend. */
static int64 known_generation = 0;

/* ---- state ---- */

static const char *
state_name(DynCaptureState state)
{
	switch (state)
	{
		case DYN_CAPTURE_OFF:
			return "off";
		case DYN_CAPTURE_STARTING:
			return "starting";
		case DYN_CAPTURE_IDLE:
			return "idle";
		case DYN_CAPTURE_CREATING:
			return "creating slot";
		case DYN_CAPTURE_RUNNING:
			return "running";
		case DYN_CAPTURE_FAILED:
			return "failed";
		case DYN_CAPTURE_UNABLE:
			return "unable";
	}
	return "unknown";
}

/* Set a database's state, and why where that needs saying. */
void
dyn_capture_report(DynDatabase *db, DynCaptureState state, const char *reason)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db->state = state;
	strlcpy(db->reason, reason ? reason : "", DYN_REASON_LENGTH);
	if (state == DYN_CAPTURE_FAILED || state == DYN_CAPTURE_UNABLE)
	{
		strlcpy(db->last_error, db->reason, DYN_REASON_LENGTH);
		db->last_error_time = GetCurrentTimestamp();
	}
	LWLockRelease(dyn_shmem->lock);
	ConditionVariableBroadcast(&db->progress);
}

/*
 * Why there is no generation, or capture is behind, in words; the caller holds
 * the lock.  A worker that keeps failing is seen between two attempts as well:
 * then its last error tells more than its state.
 */
static char *
why_not_ready(const DynDatabase *db)
{
	const char *state = "the capture worker is starting";

	if (db == NULL)
		return pstrdup("dyntable is at its limit of databases; increase max_worker_processes");
	switch (db->state)
	{
		case DYN_CAPTURE_FAILED:
		case DYN_CAPTURE_UNABLE:
		case DYN_CAPTURE_CREATING:
			return pstrdup(db->reason);
		case DYN_CAPTURE_OFF:
			if (db->reason[0])
				return pstrdup(db->reason);
			state = "the capture worker has not started";
			break;
		case DYN_CAPTURE_RUNNING:
			state = "capture is behind";
			break;
		default:
			break;
	}
	if (db->last_error[0] &&
		!TimestampDifferenceExceeds(db->last_error_time, GetCurrentTimestamp(), ERROR_GRACE_MS))
		return psprintf("%s, after an error: %s", state, db->last_error);
	return pstrdup(state);
}

/* Whether capture is out of the question on this server as it runs now. */
static char *
server_unable(void)
{
	if (dyn_shmem == NULL)
		return pstrdup("dyntable is not in shared_preload_libraries");
	if (wal_level < WAL_LEVEL_LOGICAL)
		return pstrdup("wal_level is not logical");
	if (!dyn_capture_enabled)
		return pstrdup("dyntable.capture is off");
	if (RecoveryInProgress())
		return pstrdup("the server is a standby");
	return NULL;
}

/* One look; asks for a slot on the way. */
static int64
look_for_generation(char **reason)
{
	DynDatabase *db;
	int64		generation = 0;
	Latch	   *latch = NULL;
	bool		announce;
	Oid			extension = dyn_extension_oid();

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(MyDatabaseId);
	announce = db == NULL || !db->confirmed;
	if (db)
	{
		/* the extension may have been dropped and made again, which the worker has yet to see */
		if (db->extension == extension)
			generation = db->generation;
		if (generation == 0)
		{
			db->slot_wanted = true;
			latch = db->capture_latch;
		}
	}
	if (generation == 0 && reason)
		*reason = why_not_ready(db);
	LWLockRelease(dyn_shmem->lock);
	if (announce)
		dyn_shmem_announce(MyDatabaseId);
	if (latch)
		SetLatch(latch);
	return generation;
}

int64
dyn_capture_generation(int timeout_ms, char **reason)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	char	   *why = server_unable();

	known_generation = 0;
	if (why)
	{
		if (reason)
			*reason = why;
		return 0;
	}
	/* the slot's creation would wait for this transaction */
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		timeout_ms = 0;
	for (;;)
	{
		DynDatabase *db;
		long		rest;

		why = NULL;
		known_generation = look_for_generation(&why);
		rest = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (known_generation != 0 || timeout_ms <= 0 || rest <= 0)
			break;
		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(dyn_shmem->lock, LW_SHARED);
		db = dyn_shmem_database(MyDatabaseId);
		LWLockRelease(dyn_shmem->lock);
		if (db == NULL)
			break;
		ConditionVariableTimedSleep(&db->progress, Min(rest, 100), PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	if (known_generation == 0 && reason)
		*reason = why;
	return known_generation;
}

/* ---- waiting for a position ---- */

/*
 * The end of the WAL as a reader of records will reach it.  At a page boundary
 * the server's insert position stands after the header of a page that nobody
 * has begun: no reader comes there before more is written.
 */
XLogRecPtr
dyn_wal_position(void)
{
	XLogRecPtr	lsn = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(lsn, wal_segment_size) == SizeOfXLogLongPHD)
		return lsn - SizeOfXLogLongPHD;
	if (lsn % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return lsn - SizeOfXLogShortPHD;
	return lsn;
}

uint64
dyn_capture_complete(void)
{
	DynDatabase *db;
	uint64		complete;

	dyn_shmem_require();
	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	complete = db ? pg_atomic_read_u64(&db->complete) : 0;
	LWLockRelease(dyn_shmem->lock);
	return complete;
}

int
dyn_capture_process(void)
{
	DynDatabase *db;
	int			pid;

	if (dyn_shmem == NULL)
		return 0;
	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	pid = db ? db->capture_pid : 0;
	LWLockRelease(dyn_shmem->lock);
	return pid;
}

/*
 * A transaction is visible only after its commit record was inserted, so what
 * a snapshot taken before sees lies below.  Flushing covers commits that did
 * not wait for it themselves: the decoder reads flushed WAL alone.
 */
XLogRecPtr
dyn_capture_target(void)
{
	XLogRecPtr	lsn = dyn_wal_position();

	XLogFlush(lsn);
	return lsn;
}

void
dyn_capture_check_generation(void)
{
	DynDatabase *db;
	int64		generation;

	dyn_shmem_require();
	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	generation = db ? db->generation : 0;
	LWLockRelease(dyn_shmem->lock);
	/* 0: the worker is restarting; it comes back with this generation, or the next check tells */
	if (known_generation != 0 && generation != 0 && generation != known_generation)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("change capture was started anew during the refresh"),
				 errhint("Refresh again; incremental dynamic tables will be initialised.")));
}

static void
raise_not_captured(XLogRecPtr lsn, XLogRecPtr captured, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("change capture has not reached the refresh's position"),
			 errdetail("Wanted %X/%X, captured %X/%X: %s.",
					   LSN_FORMAT_ARGS(lsn), LSN_FORMAT_ARGS(captured), why),
			 errhint("See the view dyntable.capture and the server log; \"dyntable.capture_timeout\" bounds the wait.")));
}

void
dyn_capture_wait(XLogRecPtr lsn)
{
	TimestampTz started = GetCurrentTimestamp();
	TimestampTz dead_since = 0;
	XLogRecPtr	captured = InvalidXLogRecPtr;

	dyn_shmem_require();
	for (;;)
	{
		TimestampTz now;
		DynDatabase *db;
		char	   *why;
		bool		alive;
		bool		gone;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(dyn_shmem->lock, LW_SHARED);
		db = dyn_shmem_database(MyDatabaseId);
		captured = db ? pg_atomic_read_u64(&db->captured_lsn) : InvalidXLogRecPtr;
		alive = db && db->capture_latch;
		if (alive && captured < lsn)
			SetLatch(db->capture_latch);
		gone = db == NULL || db->state == DYN_CAPTURE_CREATING || db->state == DYN_CAPTURE_IDLE ||
			db->state == DYN_CAPTURE_UNABLE;
		why = captured < lsn ? why_not_ready(db) : NULL;
		LWLockRelease(dyn_shmem->lock);
		if (captured >= lsn)
			break;

		now = GetCurrentTimestamp();
		dead_since = alive ? 0 : dead_since ? dead_since : now;
		/* a slot that is being made waits for our transaction */
		if (gone || TimestampDifferenceExceeds(started, now, dyn_capture_timeout))
			raise_not_captured(lsn, captured, why);
		if (dead_since && TimestampDifferenceExceeds(dead_since, now, RESTART_GRACE_MS))
			raise_not_captured(lsn, captured, why);
		ConditionVariableTimedSleep(&db->progress, 100, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	dyn_capture_check_generation();
}

static void
wake_worker(void)
{
	DynDatabase *db;

	if (dyn_shmem == NULL)
		return;
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(MyDatabaseId);
	if (db)
	{
		db->housekeeping = true;
		if (db->capture_latch)
			SetLatch(db->capture_latch);
	}
	LWLockRelease(dyn_shmem->lock);
}

/* ---- holds ---- */

static bool holding = false;	/* this transaction has a hold */
static uint64 holding_xid = 0;
static bool wake_at_end = false;

static void
release_holds(void)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dyn_shmem->nholds; i++)
		if (dyn_shmem->holds[i].xid == holding_xid)
			dyn_shmem->holds[i].dboid = InvalidOid;
	LWLockRelease(dyn_shmem->lock);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (holding)
		release_holds();
	if (wake_at_end)
		wake_worker();
	holding = wake_at_end = false;
}

static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

void
dyn_capture_wake_at_end(void)
{
	register_callback();
	wake_at_end = true;
}

/* Remove the holds of transactions that have ended. */
void
dyn_hold_sweep(void)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dyn_shmem->nholds; i++)
	{
		DynHold    *hold = &dyn_shmem->holds[i];
		FullTransactionId xid = {hold->xid};

		if (OidIsValid(hold->dboid) && !TransactionIdIsInProgress(XidFromFullTransactionId(xid)))
			hold->dboid = InvalidOid;
	}
	LWLockRelease(dyn_shmem->lock);
}

bool
dyn_hold_exists(Oid source, int64 generation)
{
	bool		found = false;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	for (int i = 0; i < dyn_shmem->nholds && !found; i++)
		found = dyn_shmem->holds[i].dboid == MyDatabaseId &&
			dyn_shmem->holds[i].source == source &&
			(generation == 0 || dyn_shmem->holds[i].generation == generation);
	LWLockRelease(dyn_shmem->lock);
	return found;
}

/*
 * Changes of transactions up to the one named are about to leave the logs.  A
 * snapshot with a later xmin sees them all; one with an xmax above the horizon
 * was taken after it was moved.  Nothing else needs to be known of other ones:
 * they belong to transactions that run now, and are few.
 */
void
dyn_capture_move_horizon(uint64 lost)
{
	DynDatabase *db;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	db = dyn_shmem_database(MyDatabaseId);
	if (db)
	{
		db->horizon = U64FromFullTransactionId(ReadNextFullTransactionId());
		db->lost = Max(db->lost, Min(lost, db->horizon));
	}
	LWLockRelease(dyn_shmem->lock);
}

bool
dyn_capture_outran(const DynSnapshot *snapshot)
{
	DynDatabase *db;
	bool		outran;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	outran = db && snapshot->xmin <= db->lost && snapshot->xmax <= db->horizon;
	LWLockRelease(dyn_shmem->lock);
	return outran;
}

void
dyn_capture_hold(Oid relid)
{
	uint64		xid;
	DynHold    *slot = NULL;

	dyn_shmem_require();
	xid = U64FromFullTransactionId(GetTopFullTransactionId());
	register_callback();
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dyn_shmem->nholds; i++)
	{
		DynHold    *hold = &dyn_shmem->holds[i];

		if (!OidIsValid(hold->dboid))
			slot = slot ? slot : hold;
		else if (hold->dboid == MyDatabaseId && hold->source == relid && hold->xid == xid)
		{
			slot = hold;
			break;
		}
	}
	if (slot)
		*slot = (DynHold) {
			.dboid = MyDatabaseId, .source = relid, .xid = xid, .generation = known_generation
		};
	LWLockRelease(dyn_shmem->lock);
	if (slot == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many sources are being read for a first fill"),
				 errhint("Try again when other refreshes have ended, or increase max_connections.")));
	holding = true;
	holding_xid = xid;
}

/* ---- registering ---- */

static bool
has_columns(const DynSource *source, List *columns)
{
	ListCell   *lc;

	foreach(lc, columns)
		if (!list_member_int(source->columns, lfirst_int(lc)))
			return false;
	return dyn_changelog_fits(source->relid, source->log, columns);
}

void
dyn_capture_register(Oid relid, List *columns)
{
	DynSource  *source;

	dyn_shmem_require();
	dyn_capture_hold(relid);
	source = dyn_source_get(relid);
	if (source && has_columns(source, columns))
		return;
	if (source == NULL)
		dyn_registrar_check_owner(relid);
	if (!dyn_capture_caller_wrote(relid))
		dyn_registrar_request(relid, columns);
}

/* ---- SQL: what the view dyntable.capture shows of shared memory ---- */

PG_FUNCTION_INFO_V1(dyntable_capture_state);

Datum
dyntable_capture_state(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[9];
	bool		nulls[9];
	DynDatabase *db;
	XLogRecPtr	captured;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	if (dyn_shmem == NULL)
	{
		values[1] = CStringGetTextDatum("not preloaded");
		nulls[1] = false;
		PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
	}
	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	values[1] = CStringGetTextDatum(state_name(db ? db->state : DYN_CAPTURE_OFF));
	nulls[1] = false;
	if (db)
	{
		captured = pg_atomic_read_u64(&db->captured_lsn);
		values[0] = Int32GetDatum(db->capture_pid);
		nulls[0] = db->capture_pid == 0;
		values[2] = Int64GetDatum(db->generation);
		nulls[2] = db->generation == 0;
		values[3] = LSNGetDatum(captured);
		nulls[3] = XLogRecPtrIsInvalid(captured);
		values[4] = Int64GetDatum(pg_atomic_read_u64(&db->changes));
		values[5] = Int64GetDatum(pg_atomic_read_u64(&db->log_bytes));
		nulls[4] = nulls[5] = false;
		values[6] = CStringGetTextDatum(db->reason);
		nulls[6] = db->reason[0] == '\0';
		values[7] = CStringGetTextDatum(db->last_error);
		values[8] = TimestampTzGetDatum(db->last_error_time);
		nulls[7] = nulls[8] = db->last_error[0] == '\0';
	}
	LWLockRelease(dyn_shmem->lock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

PG_FUNCTION_INFO_V1(dyntable_capture_announce);

/* By the install script: have the launcher look here when this transaction has committed. */
Datum
dyntable_capture_announce(PG_FUNCTION_ARGS)
{
	if (dyn_shmem)
		dyn_shmem_announce_at_commit();
	PG_RETURN_VOID();
}
