/*
 * dyn_worker.c
 *	  The capture worker: decodes the WAL of one database for life.
 *
 * States (shown in dyntable.capture, kept in shared memory):
 *
 *	STARTING -> IDLE      nothing reads a table here: no slot, next to no work
 *	IDLE -> CREATING      somebody needs a slot; waits for running transactions
 *	CREATING -> RUNNING   decoding: read WAL, collect changes, write a batch,
 *	                      move the position, confirm the slot
 *	RUNNING -> IDLE       nothing reads a table any more: slot dropped
 *	RUNNING -> CREATING   the slot held back too much WAL and was given up
 *
 * Decode, then write: a record is processed outside any transaction of ours
 * (dyn_plugin.c collects), then one ordinary transaction inserts the batch and
 * carries, as its replication origin's position, the WAL position up to which
 * the log is now complete.  Its commit need not be flushed for readers: their
 * own commit comes later in the WAL.  It is flushed before the slot is
 * confirmed.  After a crash decoding starts at the slot's restart_lsn and skips
 * what the origin's position says is written.
 *
 * An error ends the process; the launcher starts another, which finds its
 * place again.  The decoding context is opened inside a transaction, see
 * dyn_slot.c; no transaction of this process may write while it is marked as
 * decoding only.
 */
#include <postgres.h>

#include <access/xact.h>
#include <access/xlogutils.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <replication/decode.h>
#include <replication/logical.h>
#include <replication/slot.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <tcop/tcopprot.h>
#include <storage/procarray.h>
#include <storage/standby.h>
#include <utils/inval.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>
#include <utils/wait_event.h>

#include "base/dyn_settings.h"
#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

/* A batch is written when it has this many rows, or the WAL is at its end. */
#define BATCH_ROWS			20000

/*
 * Poll for WAL this often: while there are changes for us in it, while there
 * is any, and when the server has been quiet.  Who waits for capture sets its
 * latch, so this only bounds how much has to be caught up with.
 */
#define BUSY_POLL_MS		20
#define WAL_POLL_MS			200
#define IDLE_POLL_MS		1000
#define NO_SLOT_POLL_MS		60000

/* After statements, so soon whether somebody set the latch meanwhile. */
#define DOUBT_MS			50

/* Quiet is what had nothing for so long. */
#define QUIET_MS			5000

/* Between confirmations and housekeeping, while there is something to do. */
#define CHORE_MS			1000

/* While a log waits to be cut and its readers do not come, at most this. */
#define LONGEST_TRIM_PAUSE_MS	15000

/* All sources are looked at this often without being asked to, and when something was left to do. */
#define LOOK_MS				300000
#define LOOK_AGAIN_MS		2000

/* A look at all sources may take one part of so many of the time. */
#define LOOK_SHARE			10

/* After nothing needed the slot for this long it is dropped. */
#define SLOT_LINGER_MS		30000

extern PGDLLEXPORT void dyntable_capture_main(Datum main_arg);

static DynSlot my_slot;
static LogicalDecodingContext *decoder = NULL;
static ReadLocalXLogPageNoWaitPrivate page_state;
static XLogRecPtr confirmed = InvalidXLogRecPtr;
static XLogRecPtr decoding = InvalidXLogRecPtr; /* the record that is being decoded */
static uint64 known_registrations = 0;
static bool sources_loaded = false;
static bool look_at_extension = false;
static Oid	my_extension = InvalidOid;

/* When all sources are to be looked at, with or without being asked to. */
static bool look_wanted = true;
static TimestampTz look_at = 0;
static TimestampTz look_not_before = 0;

/* ---- the extension ---- */

static void
relcache_changed(Datum arg, Oid relid)
{
	/* DROP EXTENSION drops tables, this among them; so do few other commands */
	look_at_extension = true;
}

static Oid
present_extension(void)
{
	Oid			extension;

	look_at_extension = false;
	dyn_own_begin();
	extension = dyn_extension_oid();
	dyn_own_commit();
	return extension;
}

/*
 * A generation is for those alone who see the same extension.  One may be left
 * from a worker that failed as the extension before went.
 */
static void
serve_extension(Oid extension)
{
	my_extension = extension;
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	if (dyn_captured_database->extension != extension)
		dyn_captured_database->generation = 0;
	dyn_captured_database->extension = extension;
	LWLockRelease(dyn_shmem->lock);
}

/* No extension (any more): leave nothing behind, and have the launcher forget us. */
static void
leave_for_good(void)
{
	dyn_captured_slot(NULL, InvalidXLogRecPtr);
	if (dyn_slot_exists())
		dyn_slot_discard();
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	dyn_captured_database->dropped = true;
	dyn_captured_database->confirmed = false;
	dyn_captured_database->reason[0] = '\0';
	LWLockRelease(dyn_shmem->lock);
	proc_exit(0);
}

/* ---- the decoder ---- */

static void
decoder_open(XLogRecPtr start)
{
	XLogReaderRoutine routine = {
		.page_read = read_local_xlog_page_no_wait,
		.segment_open = wal_segment_open,
		.segment_close = wal_segment_close
	};

	/* in a transaction, and in memory that survives it: see dyn_slot_make */
	StartTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	decoder = CreateDecodingContext(start, NIL, false, &routine, NULL, NULL, NULL);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	decoder->reader->private_data = &page_state;
	page_state.end_of_wal = false;
	XLogBeginRead(decoder->reader, MyReplicationSlot->data.restart_lsn);
	confirmed = MyReplicationSlot->data.confirmed_flush;
	dyn_slot_note_confirmed(confirmed);
	sources_loaded = false;
}

static void
decoder_close(void)
{
	dyn_batch_clear();
	if (decoder)
		FreeDecodingContext(decoder);
	decoder = NULL;
	dyn_captured_slot(NULL, InvalidXLogRecPtr);
	dyn_slot_discard();
}

static bool
slot_given_up(void)
{
	bool		given_up;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	given_up = dyn_captured_database->slot_given_up;
	LWLockRelease(dyn_shmem->lock);
	return given_up;
}

static void
set_slot_given_up(bool given_up)
{
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	dyn_captured_database->slot_given_up = given_up;
	LWLockRelease(dyn_shmem->lock);
}

/* Wait until no transaction that runs now is left, or somebody wants us to end. */
static void
wait_for_old_transactions(void)
{
	TransactionId oldest = ReadNextTransactionId();

	while (TransactionIdPrecedes(GetOldestActiveTransactionId(), oldest))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 CHORE_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (!OidIsValid(present_extension()))
			leave_for_good();
	}
}

/* Open the slot, made anew where it must be, and begin to decode. */
static void
begin_capture(void)
{
	XLogRecPtr	progress;
	bool		hopeless = dyn_slot_hopeless();

	if (hopeless || !dyn_slot_open(&my_slot, &progress))
	{
		dyn_captured_slot(NULL, InvalidXLogRecPtr);
		if (!dyn_slot_room())
		{
			dyn_capture_report(dyn_captured_database, DYN_CAPTURE_FAILED,
							   "all replication slots are in use; increase max_replication_slots");
			look_wanted = false;
			look_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_AGAIN_MS);
			return;
		}
		if (hopeless)
			my_slot.cause = "a transaction could not be decoded";
		if (slot_given_up())
		{
			my_slot.cause = "the replication slot held back more WAL than dyntable.max_retained_wal";
			dyn_capture_report(dyn_captured_database, DYN_CAPTURE_CREATING,
							   "the replication slot held back more WAL than dyntable.max_retained_wal; it will be made anew when the transactions in progress have ended");
			wait_for_old_transactions();
		}
		dyn_capture_report(dyn_captured_database, DYN_CAPTURE_CREATING,
						   "the replication slot is being made, which waits for transactions in progress");
		pgstat_report_activity(STATE_RUNNING, "making the replication slot");
		dyn_slot_make(&my_slot);
		if (!dyn_slot_open(&my_slot, &progress))
			elog(ERROR, "could not open replication slot \"%s\" after making it", my_slot.name);
		set_slot_given_up(false);
	}
	dyn_capture_decoding = my_slot.generation;
	decoder_open(progress);

	/* whoever sees the generation may wait for us, which is in vain in any other state */
	dyn_capture_report(dyn_captured_database, DYN_CAPTURE_RUNNING, NULL);
	dyn_captured_slot(&my_slot, progress);
	pgstat_report_activity(STATE_IDLE, "");
}

/* ---- decoding ---- */

/*
 * Read the sources again when a registrar has committed.  The counter moves
 * while the registrar still has its locks, so it is looked at after a record
 * was read and before it is decoded: the commit of whoever wrote the table
 * after is then decoded with the table known.
 */
static void
follow_registrations(XLogRecPtr upto)
{
	uint64		now = pg_atomic_read_u64(&dyn_captured_database->registrations);

	if (sources_loaded && now == known_registrations)
		return;
	dyn_captured_write(upto);
	pg_memory_barrier();
	dyn_own_begin();
	dyn_batch_reload();
	dyn_own_commit();
	known_registrations = now;
	sources_loaded = true;
}

/*
 * Decode up to the end of the flushed WAL, or for about as long as chores may
 * wait.  True when the end was reached.
 */
static bool
drain(TimestampTz until)
{
	XLogRecPtr	done = decoder->reader->EndRecPtr;

	for (int n = 1;; n++)
	{
		char	   *error = NULL;
		XLogRecord *record;

		page_state.end_of_wal = false;
		record = XLogReadRecord(decoder->reader, &error);
		if (error)
			elog(ERROR, "could not read WAL at %X/%X: %s",
				 LSN_FORMAT_ARGS(decoder->reader->EndRecPtr), error);
		if (record == NULL)
		{
			dyn_captured_publish(done, true);
			return true;
		}
		follow_registrations(done);
		decoding = decoder->reader->ReadRecPtr;
		LogicalDecodingProcessRecord(decoder, decoder->reader);
		decoding = InvalidXLogRecPtr;
		MemoryContextSwitchTo(TopMemoryContext);
		done = decoder->reader->EndRecPtr;
		if (dyn_batch_rows() >= BATCH_ROWS)
			dyn_captured_publish(done, false);
		if (n % 1024 == 0)
		{
			CHECK_FOR_INTERRUPTS();
			if (GetCurrentTimestamp() >= until)
			{
				dyn_captured_publish(done, false);
				return false;
			}
		}
	}
}

/* ---- chores ---- */

/* Let the server remove WAL that the log no longer needs. */
static void
confirm(void)
{
	XLogRecPtr	done = pg_atomic_read_u64(&dyn_captured_database->captured_lsn);

	if (done <= confirmed)
		return;
	dyn_captured_flush();
	dyn_slot_note_confirmed(done);
	LogicalConfirmReceivedLocation(done);
	confirmed = done;
}

/*
 * The WAL that the slot holds back, when it is more than may be.  restart_lsn
 * follows only behind records of running transactions: have one written, and
 * give the decoder a few rounds, before drawing conclusions.
 */
static bool
retains_too_much(bool at_end)
{
	static int	rounds = 0;
	uint64		bound = (uint64) dyn_max_retained_wal * 1024 * 1024;
	XLogRecPtr	restart = MyReplicationSlot->data.restart_lsn;
	XLogRecPtr	now = dyn_wal_position();

	if (dyn_max_retained_wal < 0 || now <= restart || now - restart <= bound)
	{
		rounds = 0;
		return false;
	}
	if (at_end)
		(void) LogStandbySnapshot();
	return ++rounds > 5;
}

/* Give the slot up for the disk's sake; every position of this database is void. */
static void
give_up_slot(void)
{
	ereport(LOG,
			(errmsg("replication slot \"%s\" is given up: it holds back more than %d MB of WAL",
					my_slot.name, dyn_max_retained_wal),
			 errdetail("Incremental dynamic tables of this database will be initialised again."),
			 errhint("Look for long-running or prepared transactions, or increase \"dyntable.max_retained_wal\".")));
	set_slot_given_up(true);
	decoder_close();
	begin_capture();
}

/* ---- what costs statements ---- */

/* When logs are to be trimmed. */
static TimestampTz trim_at = 0;
static int	trim_pause = CHORE_MS;

/* Whether anything needs the slot, now or a moment ago. */
static bool
slot_needed(TimestampTz now)
{
	static TimestampTz last_needed = 0;
	bool		needed;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	needed = dyn_captured_database->slot_wanted;
	dyn_captured_database->slot_wanted = false;
	LWLockRelease(dyn_shmem->lock);
	if (!needed)
	{
		dyn_own_begin();
		needed = dyn_capture_needed();
		dyn_own_commit();
	}
	if (needed)
		last_needed = now;
	else
		look_at = Min(look_at, TimestampTzPlusMilliseconds(now, SLOT_LINGER_MS / 3));
	return last_needed != 0 && !TimestampDifferenceExceeds(last_needed, now, SLOT_LINGER_MS);
}

/*
 * Commands say when they changed who reads what, invalidations when a source
 * was altered; nothing else makes a look worth its statements.
 */
static bool
look_due(TimestampTz now)
{
	look_wanted |= decoder && dyn_trim_touched();
	return now >= look_at || (look_wanted && now >= look_not_before);
}

/* Look at all sources; whether the slot is needed. */
static bool
look(void)
{
	TimestampTz started = GetCurrentTimestamp();
	bool		again = decoder && dyn_trim_sources();
	TimestampTz now = GetCurrentTimestamp();

	look_wanted = false;
	look_at = TimestampTzPlusMilliseconds(now, again ? LOOK_AGAIN_MS : LOOK_MS);
	look_not_before = now + (LOOK_SHARE - 1) * (now - started);
	return slot_needed(now) && dyn_capture_enabled;
}

static void
report_idle(void)
{
	dyn_capture_report(dyn_captured_database, DYN_CAPTURE_IDLE,
					   dyn_capture_enabled ? NULL : "dyntable.capture is off");
}

/* A slot that nobody needs may be left from before a crash or a change of settings. */
static void
begin_or_idle(void)
{
	if (look())
	{
		begin_capture();
		return;
	}
	if (dyn_slot_exists())
		dyn_slot_discard();
	report_idle();
}

/*
 * Logs shrink when their readers have been refreshed, of which nobody tells
 * us: ask as long as a log is worth it, and less and less often while they do
 * not come.
 */
static void
trim(TimestampTz now)
{
	static uint64 changes_seen = 0;
	uint64		changes = pg_atomic_read_u64(&dyn_captured_database->changes);
	uint64		before = pg_atomic_read_u64(&dyn_captured_database->log_bytes);
	int64		after;

	if (changes != changes_seen)
		trim_pause = CHORE_MS;
	changes_seen = changes;
	if (dyn_trim_logs(my_slot.generation, &after))
		trim_pause = after < before ? CHORE_MS : Min(2 * trim_pause, LONGEST_TRIM_PAUSE_MS);
	pg_atomic_write_u64(&dyn_captured_database->log_bytes, after);
	trim_at = TimestampTzPlusMilliseconds(now, trim_pause);
}

static void
chores(bool at_end)
{
	TimestampTz now = GetCurrentTimestamp();

	if (decoder == NULL)
		return;
	confirm();
	if (retains_too_much(at_end))
		give_up_slot();
	if (decoder == NULL)
		return;
	if (now >= trim_at)
		trim(now);
	if (look_due(now) && !look())
	{
		decoder_close();
		report_idle();
	}
}

/* After DROP EXTENSION; where CREATE EXTENSION came with it, the slot is the old one's all the same. */
static void
follow_extension(void)
{
	Oid			extension = present_extension();

	if (extension == my_extension)
		return;
	if (decoder)
	{
		dyn_batch_clear();
		FreeDecodingContext(decoder);
		decoder = NULL;
	}
	if (!OidIsValid(extension))
		leave_for_good();
	serve_extension(extension);
	decoder_close();
	dyn_capture_report(dyn_captured_database, DYN_CAPTURE_IDLE, NULL);
	look_wanted = true;
}

/* ---- the process ---- */

/* Whether somebody changed who reads what, or wants a slot. */
static bool
housekeeping_asked(void)
{
	bool		asked;

	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	asked = dyn_captured_database->housekeeping || (decoder == NULL && dyn_captured_database->slot_wanted);
	dyn_captured_database->housekeeping = false;
	LWLockRelease(dyn_shmem->lock);
	return asked;
}

/* How long to sleep: until WAL is likely, or a look is due. */
static long
poll_interval(TimestampTz last_wal, TimestampTz last_change)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = look_wanted ? Min(look_at, look_not_before) : look_at;
	long		poll = BUSY_POLL_MS;

	if (decoder == NULL)
		poll = NO_SLOT_POLL_MS;
	else if (TimestampDifferenceExceeds(last_wal, now, QUIET_MS))
		poll = IDLE_POLL_MS;
	else if (TimestampDifferenceExceeds(last_change, now, QUIET_MS))
		poll = WAL_POLL_MS;

	/*
	 * A statement may have waited for a lock or for I/O, which resets the latch:
	 * whoever set it meanwhile, as for new settings, would not be heard.
	 */
	if (dyn_own_latch_doubtful)
		poll = Min(poll, DOUBT_MS);
	dyn_own_latch_doubtful = false;
	return Min(poll, TimestampDifferenceMilliseconds(now, next) + 1);
}

/* Decode what there is, and take note when there was something. */
static bool
decode(TimestampTz now, TimestampTz *last_wal, TimestampTz *last_change)
{
	static XLogRecPtr end = InvalidXLogRecPtr;
	static uint64 changes = 0;
	bool		at_end = drain(TimestampTzPlusMilliseconds(now, CHORE_MS));

	if (decoder->reader->EndRecPtr != end)
		*last_wal = now;
	if (pg_atomic_read_u64(&dyn_captured_database->changes) != changes)
		*last_change = now;
	end = decoder->reader->EndRecPtr;
	changes = pg_atomic_read_u64(&dyn_captured_database->changes);
	return at_end;
}

static void
worker_loop(void)
{
	TimestampTz next_chores = 0;
	TimestampTz last_wal = 0;
	TimestampTz last_change = 0;

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		at_end = true;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			look_wanted = true;
			look_not_before = 0;	/* settings hold at once */
		}
		AcceptInvalidationMessages();
		if (look_at_extension)
			follow_extension();
		look_wanted |= housekeeping_asked();
		if (decoder == NULL && look_due(now))
			begin_or_idle();
		if (decoder)
			at_end = decode(now, &last_wal, &last_change);
		if (now >= next_chores || look_due(now))
		{
			chores(at_end);
			next_chores = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CHORE_MS);
		}
		if (at_end)
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 poll_interval(last_wal, last_change), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* An error ends the process; leave word why for those who wait and look. */
static void
worker_loop_reporting(void)
{
	PG_TRY();
	{
		worker_loop();
	}
	PG_CATCH();
	{
		ErrorData  *error;
		char		reason[DYN_REASON_LENGTH];
		size_t		length;

		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		if (!XLogRecPtrIsInvalid(decoding))
			dyn_slot_note_failure(decoding, error->sqlerrcode);
		snprintf(reason, sizeof(reason), "%s%s%s", error->message,
				 error->hint ? ": " : "", error->hint ? error->hint : "");
		/* it becomes part of sentences */
		length = strlen(reason);
		if (length > 0 && reason[length - 1] == '.')
			reason[length - 1] = '\0';
		dyn_capture_report(dyn_captured_database, DYN_CAPTURE_FAILED, reason);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

void
dyntable_capture_main(Datum main_arg)
{
	Oid			dboid = DatumGetObjectId(main_arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!dyn_captured_attach(dboid))
		proc_exit(0);
	dyn_capture_report(dyn_captured_database, DYN_CAPTURE_STARTING, NULL);
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	dyn_settings_of_process();
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	/* shorter than that of commands, which must not be those that give way */
	SetConfigOption("deadlock_timeout", "200ms", PGC_SUSET, PGC_S_OVERRIDE);
	/* a transaction larger than it would end capture again and again */
	SetConfigOption("temp_file_limit", "-1", PGC_SUSET, PGC_S_OVERRIDE);
	dyn_capture_worker = true;
	serve_extension(present_extension());
	if (!OidIsValid(my_extension))
		leave_for_good();
	LWLockAcquire(dyn_shmem->lock, LW_EXCLUSIVE);
	dyn_captured_database->confirmed = true;
	LWLockRelease(dyn_shmem->lock);
	dyn_shmem_wake_launcher();
	if (MyBgworkerEntry->bgw_extra[0])
		proc_exit(0);			/* there is no place for us to stay */
	if (wal_level < WAL_LEVEL_LOGICAL)
	{
		dyn_capture_report(dyn_captured_database, DYN_CAPTURE_UNABLE, "wal_level is not logical");
		proc_exit(0);
	}
	dyn_batch_init();
	CacheRegisterRelcacheCallback(relcache_changed, (Datum) 0);
	worker_loop_reporting();
}
