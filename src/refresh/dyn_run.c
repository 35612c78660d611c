/*
 * dyn_run.c
 *	  A run: several dynamic tables brought to one data timestamp.
 *
 * Order of a run, each step for a reason:
 *	 1. the tables asked for and all they bring along, upstream first;
 *	 2. locks, in order of OID: an object lock of our own on each table (one
 *		refresh at a time; autovacuum is not concerned), ROW EXCLUSIVE on the
 *		table, ACCESS SHARE on its sources and their leaves;
 *	 3. only then the snapshot, so that what others committed under those locks
 *		is seen;
 *	 4. the WAL position of now, which the capture worker must have passed:
 *		what the snapshot sees has its commit record before it;
 *	 5. each table in a subtransaction of its own (those of a large run
 *		share them as long as nothing goes wrong), so that one that fails
 *		spares those that do not read it.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <catalog/namespace.h>
#include <catalog/pg_inherits.h>
#include <miscadmin.h>
#include <portability/instr_time.h>
#include <storage/lmgr.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/resowner.h>
#include <utils/snapmgr.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_progress.h"
#include "base/dyn_settings.h"
#include "capture/dyn_capture.h"
#include "refresh/dyn_blame.h"
#include "refresh/dyn_idle.h"
#include "refresh/dyn_moment.h"
#include "refresh/dyn_own_log.h"
#include "refresh/dyn_phases.h"
#include "refresh/dyn_target.h"

/* With more than 64 subtransactions a transaction makes every backend's snapshots slow. */
#define MAX_SUBTRANSACTIONS 60

/* How long a run waits for a capture worker that is starting. */
#define CAPTURE_START_MS 3000

static TimestampTz reusable(Oid relid, int64 most);
static List *fill_as_it_stands(DynRun *run, Oid relid, int64 most, List *order);
static void visit(Oid relid, List *asked, List **order, List **path);
static List *refresh_all(DynRun *run, bool catch_errors);
static void lock_tables(List *order);
static TimestampTz hold_logs(DynRun *run);
static void begin_run(DynRun *run, List *order);
static void reach_snapshot(DynRun *run);
static void begin_writing(DynRun *run);
static void wait_for_capture(DynRun *run);
static bool run_captures(List *order);
static DynResult *refresh_one(DynRun *run, Oid relid, bool catch_errors);
static bool try_refresh(DynRun *run, List *relids, const DynRetry *retry, DynResult *results, ErrorData **error);
static bool refresh_together(DynRun *run, List *relids, List **results);
static DynResult *refresh_in_turn(DynRun *run, Oid relid, List *results, bool catch_errors);
static char *failed_inputs(Oid relid, List *results);

const char *
dyn_action_name(DynAction action)
{
	static const char *const names[] = {"NO_DATA", "INCREMENTAL", "FULL", "REINITIALIZE"};

	return names[action];
}

const char *
dyn_trigger_name(DynTrigger trigger)
{
	static const char *const names[] = {"SCHEDULED", "MANUAL", "CREATION"};

	return names[trigger];
}

List *
dyn_run_order(List *relids)
{
	List	   *order = NIL;
	List	   *path = NIL;
	ListCell   *lc;

	foreach(lc, relids)
		visit(lfirst_oid(lc), relids, &order, &path);
	return order;
}

/* Asked for tables come in their order also where one does not bring the other along. */
static void
visit(Oid relid, List *asked, List **order, List **path)
{
	List	   *pulled;
	ListCell   *lc;

	if (list_member_oid(*order, relid))
		return;
	if (list_member_oid(*path, relid))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("dynamic table \"%s\" reads itself", get_rel_name(relid)),
				errhint("A view in between was replaced; give it back a query that does not read the table."));
	*path = lappend_oid(*path, relid);
	pulled = dyn_pulled_by(relid);
	foreach(lc, list_length(asked) > 1 ? dyn_edges_of(relid) : NIL)
	{
		DynEdge    *edge = lfirst(lc);

		if (edge->kind == DYN_EDGE_DYNAMIC && list_member_oid(asked, edge->source))
			pulled = list_append_unique_oid(pulled, edge->source);
	}
	foreach(lc, pulled)
		visit(lfirst_oid(lc), asked, order, path);
	*path = list_delete_last(*path);
	*order = lappend_oid(*order, relid);
}

/*
 * A function of a user that a refresh, VACUUM, ANALYZE or an index build calls
 * acts for somebody else: it must not bring tables to a state that its caller
 * does not * know of.
 */
void
dyn_run_check(const char *command)
{
	PreventCommandDuringRecovery(command);
	PreventCommandIfReadOnly(command);
	PreventCommandIfParallelMode(command);
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("cannot execute %s within security-restricted operation", command));
	dyn_extension_check_version();
}

List *
dyn_run(List *relids, const DynRunOptions *options)
{
	Snapshot	snapshot;
	List	   *results = dyn_run_keeping(relids, options, &snapshot);

	UnregisterSnapshot(snapshot);
	return results;
}

List *
dyn_run_keeping(List *relids, const DynRunOptions *options, Snapshot *snapshot)
{
	DynRun		run = {.trigger = options->trigger,.queued_ms = -1};
	List	   *order = dyn_run_order(relids);
	List	   *volatile results = NIL;
	TimestampTz asked = DT_NOEND;

	/* a command has checked it itself */
	if (options->trigger == DYN_TRIGGER_SCHEDULED || dyn_execute_traces != NULL)
		dyn_run_check("dyntable_refresh()");
	run.order = order;
	if (options->due != 0)
		run.queued_ms = Max(GetCurrentTimestamp() - options->due, 0) / 1000.0;
	if (run.trigger != DYN_TRIGGER_SCHEDULED)
		asked = dyn_moment_asked();
	if (asked != DT_NOEND)
		dyn_moment_taken();
	else if (options->reuse > 0 && reusable(linitial_oid(relids), options->reuse) != DT_NOEND)
		order = run.order = fill_as_it_stands(&run, linitial_oid(relids), options->reuse, order);
	run.asked = asked;
	dyn_progress_begin(options->trigger, options->due, order);
	PG_TRY();
	{
		results = refresh_all(&run, options->catch_errors);
	}
	PG_FINALLY();
	{
		dyn_progress_end();
	}
	PG_END_TRY();
	*snapshot = run.snapshot;
	return results;
}

static List *
refresh_all(DynRun *run, bool catch_errors)
{
	List	   *order = run->order;
	List	   *results = NIL;
	int			share = (list_length(order) + MAX_SUBTRANSACTIONS - 1) / MAX_SUBTRANSACTIONS;

	begin_run(run, order);
	if (dyn_idle_possible(run))
	{
		reach_snapshot(run);
		if ((results = dyn_idle_refresh(run)) != NIL)
			return results;
	}
	begin_writing(run);
	for (int i = 0; i < list_length(order); i += share)
	{
		List	   *some = list_copy_head(list_copy_tail(order, i), share);
		ListCell   *lc;

		if (share > 1 && refresh_together(run, some, &results))
			continue;
		foreach(lc, some)
			results = lappend(results, refresh_in_turn(run, lfirst_oid(lc), results, catch_errors));
	}
	return results;
}

/*
 * The data timestamp at which a new table can be filled from the dynamic
 * tables that it reads without refreshing them, DT_NOEND where there is none:
 * it must read nothing else, and all of them must have been true as of one
 * moment.  While a chain is made, each table is so refreshed only once.
 */
static TimestampTz
reusable(Oid relid, int64 most)
{
	List	   *edges = dyn_edges_of(relid);
	TimestampTz from = DT_NOBEGIN;
	TimestampTz upto = DT_NOEND;
	ListCell   *lc;

	/* a snapshot of before may not see the refresh that the data timestamp is from */
	if (IsolationUsesXactSnapshot() || edges == NIL)
		return DT_NOEND;
	foreach(lc, edges)
	{
		DynEdge    *edge = lfirst(lc);
		DynPosition *position;

		if (edge->kind != DYN_EDGE_DYNAMIC)
			return DT_NOEND;
		position = dyn_position_get(edge->source);
		if (!position->populated || position->reinit_reason != NULL ||
			TIMESTAMP_IS_NOBEGIN(position->data_timestamp))
			return DT_NOEND;
		from = Max(from, position->data_timestamp);
		upto = Min(upto, dyn_freshness_data_timestamp(edge->source, position->data_timestamp));
	}
	return from <= upto && upto > GetCurrentTimestamp() - most ? upto : DT_NOEND;
}

/* The same for certain, now that nobody refreshes what it reads.  Returns the tables of the run. */
static List *
fill_as_it_stands(DynRun *run, Oid relid, int64 most, List *order)
{
	TimestampTz upto;

	lock_tables(list_make1_oid(relid));
	upto = reusable(relid, most);
	if (upto == DT_NOEND)
		return order;
	run->upto = upto;
	return list_make1_oid(relid);
}

/* Several tables in one subtransaction.  False, and nothing done, if one failed, now or upstream. */
static bool
refresh_together(DynRun *run, List *relids, List **results)
{
	DynResult  *all = palloc0(sizeof(DynResult) * list_length(relids));
	ErrorData  *error = NULL;
	ListCell   *lc;

	foreach(lc, relids)
		if (failed_inputs(lfirst_oid(lc), *results) != NULL)
			return false;
	if (!try_refresh(run, relids, NULL, all, &error))
		return false;
	for (int i = 0; i < list_length(relids); i++)
		*results = lappend(*results, &all[i]);
	return true;
}

/* results: of the tables before it. */
static DynResult *
refresh_in_turn(DynRun *run, Oid relid, List *results, bool catch_errors)
{
	DynResult  *result;

	CHECK_FOR_INTERRUPTS();
	if (failed_inputs(relid, results) == NULL)
		return refresh_one(run, relid, catch_errors);
	result = palloc0(sizeof(DynResult));
	result->relid = relid;
	result->failed = result->upstream_failed = true;
	result->sqlstate = "UPSTREAM_FAILED";
	result->message = psprintf("could not be refreshed: %s", failed_inputs(relid, results));
	result->data_timestamp = run->upto;
	result->queued_ms = run->queued_ms;
	result->started = result->ended = GetCurrentTimestamp();
	return result;
}

/* The tables that this one reads and that failed, by name; NULL: there are none. */
static char *
failed_inputs(Oid relid, List *results)
{
	StringInfoData names;
	ListCell   *le;
	ListCell   *lr;

	names.data = NULL;
	foreach(lr, results)
	{
		const DynResult *result = lfirst(lr);

		if (!result->failed)
			continue;
		foreach(le, dyn_pulled_by(relid))
		{
			if (lfirst_oid(le) != result->relid)
				continue;
			if (names.data == NULL)
				initStringInfo(&names);
			appendStringInfo(&names, "%s%s", names.len ? ", " : "", dyn_relation_name(result->relid));
		}
	}
	return names.data;
}

/* ------------------------------------------------------------------------
 * Locks and snapshot
 * ------------------------------------------------------------------------
 */
static int
compare_oids(const ListCell *a, const ListCell *b)
{
	return lfirst_oid(a) < lfirst_oid(b) ? -1 : lfirst_oid(a) > lfirst_oid(b);
}

/* One refresh of a table at a time; nobody else is concerned. */
static void
claim(Oid relid, LOCKMODE mode)
{
	LockDatabaseObject(get_relname_relid("dynamic_table", dyn_schema_oid()), relid, 0, mode);
}

/*
 * A dynamic table that is read as it stands must stand still until its
 * position has been noted; others may read it so meanwhile.  Only to give it a
 * log takes more.
 */
static void
claim_to_read(Oid relid)
{
	if (dyn_is_dynamic_table(relid))
		claim(relid, OidIsValid(dyn_stage_get(relid, 0)) ? ShareLock : ExclusiveLock);
}

void
dyn_run_claim(List *relids)
{
	List	   *sorted = list_copy(relids);
	ListCell   *lc;

	list_sort(sorted, compare_oids);
	foreach(lc, sorted)
		claim(lfirst_oid(lc), ExclusiveLock);
}

static void
lock_tables(List *order)
{
	List	   *all = NIL;
	ListCell   *lc;
	ListCell   *le;

	foreach(lc, order)
	{
		all = list_append_unique_oid(all, lfirst_oid(lc));
		foreach(le, dyn_edges_of(lfirst_oid(lc)))
			all = list_append_unique_oid(all, ((DynEdge *) lfirst(le))->source);
	}
	list_sort(all, compare_oids);
	foreach(lc, all)
	{
		Oid			relid = lfirst_oid(lc);

		if (list_member_oid(order, relid))
		{
			/* the name while there is one: the lock may wait for DROP TABLE */
			char	   *name = get_rel_name(relid);

			claim(relid, ExclusiveLock);
			LockRelationOid(relid, RowExclusiveLock);
			if (dyn_table_get(relid, true) == NULL || get_rel_name(relid) == NULL)
				ereport(ERROR,
						errcode(ERRCODE_UNDEFINED_TABLE),
						name ? errmsg("dynamic table \"%s\" was dropped", name) :
						errmsg("dynamic table with OID %u was dropped", relid));
			continue;
		}
		claim_to_read(relid);
		LockRelationOid(relid, AccessShareLock);
		if (dyn_is_dynamic_table(relid) && !dyn_is_populated(relid))
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("dynamic table \"%s\" has not been populated", get_rel_name(relid)),
					errdetail("It is read as it stands, and not refreshed for the sake of tables that read it."),
					errhint("Refresh it with dyntable_refresh()."));
		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
			(void) find_all_inheritors(relid, AccessShareLock, NULL);
	}
}

bool
dyn_position_holds(const DynRun *run, const DynPosition *position)
{
	return position->populated && position->generation == run->generation &&
		position->reinit_reason == NULL;
}

/*
 * A table that is going to be filled holds no log by its position.  Until its
 * new position is committed the logs of its sources are kept for this
 * transaction, from before the snapshot on.  Returns the latest data timestamp
 * at which one of the tables stands.
 */
static TimestampTz
hold_logs(DynRun *run)
{
	TimestampTz latest = DT_NOBEGIN;
	ListCell   *lc;
	ListCell   *ll;
	ListCell   *le;

	forboth(lc, run->order, ll, run->edges)
	{
		Oid			relid = lfirst_oid(lc);
		DynPosition *position = dyn_position_get(relid);

		latest = Max(latest, position->data_timestamp);
		if (run->generation == 0 || dyn_position_holds(run, position))
			continue;
		run->held = lappend_oid(run->held, relid);
		foreach(le, lfirst(ll))
			if (((DynEdge *) lfirst(le))->kind == DYN_EDGE_BASE)
				dyn_capture_hold(((DynEdge *) lfirst(le))->source);
	}
	return latest;
}

void
dyn_run_lock(List *relids)
{
	lock_tables(dyn_run_order(relids));
}

/* The snapshot may be older than the locks. */
static void
check_sources(DynRun *run)
{
	ListCell   *ll;
	ListCell   *le;

	foreach(ll, run->edges)
		foreach(le, lfirst(ll))
			if (((DynEdge *) lfirst(le))->kind == DYN_EDGE_BASE)
				dyn_source_check_snapshot(((DynEdge *) lfirst(le))->source, run->snapshot);
}

/* What the tables read, now that nobody else changes it; what downstream tables read is logged from now on. */
static void
read_edges(DynRun *run)
{
	ListCell   *lc;
	ListCell   *le;

	foreach(lc, run->order)
	{
		List	   *edges = dyn_edges_of(lfirst_oid(lc));

		run->edges = lappend(run->edges, edges);
		foreach(le, edges)
			if (((DynEdge *) lfirst(le))->kind == DYN_EDGE_DYNAMIC)
				dyn_own_log_ensure(((DynEdge *) lfirst(le))->source);
	}
}

List *
dyn_run_edges(const DynRun *run, Oid relid)
{
	ListCell   *lc;
	ListCell   *ll;

	forboth(lc, run->order, ll, run->edges)
		if (lfirst_oid(lc) == relid)
			return lfirst(ll);
	elog(ERROR, "table with OID %u is not in the run", relid);
	return NIL;
}

static void
begin_run(DynRun *run, List *order)
{
	bool		captures = run_captures(order);
	uint64		complete = 0;
	uint64		ended = 0;
	TimestampTz latest_data;

	/*
	 * Before we have an xid, which a slot being made would wait for.  A
	 * worker that is just starting, as after a restart of the server, is
	 * waited for: without it every table would be computed anew.
	 */
	if (captures)
		run->generation = dyn_capture_generation(Min(dyn_capture_timeout, CAPTURE_START_MS),
												 &run->no_capture);
	lock_tables(order);

	read_edges(run);
	latest_data = hold_logs(run);

	if (IsolationUsesXactSnapshot())
	{
		run->upto = GetCurrentTransactionStartTimestamp();
		run->snapshot = RegisterSnapshot(GetTransactionSnapshot());
		check_sources(run);
	}
	else
	{
		Snapshot	latest;

		if (run->generation != 0)
			complete = dyn_capture_complete();
		if (run->upto == 0)
			run->upto = GetCurrentTimestamp();
		latest = GetLatestSnapshot();
		ended = latest->snapXactCompletionCount;
		run->snapshot = RegisterSnapshot(latest);
	}
	run->upto = run->asked != DT_NOEND ? run->asked : Max(run->upto, latest_data);
	run->captured = run->generation == 0 || (complete != 0 && complete == ended);
}

/* Have capture come to where the snapshot was taken. */
static void
reach_snapshot(DynRun *run)
{
	if (run->generation != 0 && run->captured)
		dyn_capture_check_generation();
	else if (run->generation != 0)
		wait_for_capture(run);
	run->captured = true;
}

/* From here on the run has an xid, which its position has to know of. */
static void
begin_writing(DynRun *run)
{
	(void) GetTopTransactionId();
	if (dyn_progress)
		dyn_progress->run = U64FromFullTransactionId(GetTopFullTransactionId());
	run->position = dyn_snapshot_from_live(run->snapshot);

	/* a snapshot that is older than the holds gains nothing by them */
	if (run->held && IsolationUsesXactSnapshot() && dyn_capture_outran(run->position))
		run->held = NIL;
	reach_snapshot(run);
}

static void
wait_for_capture(DynRun *run)
{
	instr_time	started;
	instr_time	waited;

	dyn_progress_phase(DYN_PHASE_WAIT);
	INSTR_TIME_SET_CURRENT(started);
	dyn_capture_wait(dyn_capture_target());
	INSTR_TIME_SET_CURRENT(waited);
	INSTR_TIME_SUBTRACT(waited, started);
	run->waited_us = INSTR_TIME_GET_MICROSEC(waited);
}

/* Does any table of the run read the change log, or would it again if it could? */
static bool
run_captures(List *order)
{
	ListCell   *lc;
	ListCell   *le;

	foreach(lc, order)
		if (dyn_table_get(lfirst_oid(lc), false)->mode != DYN_MODE_FULL)
			foreach(le, dyn_edges_of(lfirst_oid(lc)))
				if (((DynEdge *) lfirst(le))->kind == DYN_EDGE_BASE)
					return true;
	return false;
}

/* ------------------------------------------------------------------------
 * One table
 * ------------------------------------------------------------------------
 */
static DynResult *
refresh_one(DynRun *run, Oid relid, bool catch_errors)
{
	DynResult  *result = palloc0(sizeof(DynResult));
	DynRetry	retry = {0};
	ErrorData  *error = NULL;
	char	   *blame;

	if (try_refresh(run, list_make1_oid(relid), NULL, result, &error))
		return result;
	retry.started = result->started;

	/* a delta that is dearer than the query */
	if (error->sqlerrcode == ERRCODE_DYN_DEARER)
	{
		retry.reason = error->message;
		retry.given_up = &run->given_up;
		memset(result, 0, sizeof(DynResult));
		if (try_refresh(run, list_make1_oid(relid), &retry, result, &error))
			return result;
		retry.given_up = NULL;
	}

	/* a row that an index of ours cannot hold is no fault: another index will do */
	if (error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
	{
		retry.reason = "a value is too long for the index on a key";
		retry.by_image = true;
		memset(result, 0, sizeof(DynResult));
		if (try_refresh(run, list_make1_oid(relid), &retry, result, &error))
			return result;
	}

	/* our own state was wrong or cannot be read: say so, and compute everything anew */
	if (error->sqlerrcode == ERRCODE_DYN_STATE_DIVERGED ||
		error->sqlerrcode == ERRCODE_DATA_CORRUPTED || error->sqlerrcode == ERRCODE_INDEX_CORRUPTED)
	{
		bool		diverged = error->sqlerrcode == ERRCODE_DYN_STATE_DIVERGED;

		ereport(WARNING,
				errcode(error->sqlerrcode),
				errmsg("%s", error->message),
				errdetail("%s%sThe run of transaction %llu with data timestamp %s computes the table anew.",
						  error->detail ? error->detail : "", error->detail ? " " : "",
						  (unsigned long long) U64FromFullTransactionId(GetTopFullTransactionId()),
						  timestamptz_to_str(run->upto)),
				diverged ? errhint("This is a fault of dyntable; please report it with the table's definition.") : 0);
		memset(result, 0, sizeof(DynResult));
		retry.reason = psprintf(diverged ? "the stored state did not fit the changes: %s" :
								"what was stored cannot be read: %s", error->message);
		retry.by_image = false;
		if (try_refresh(run, list_make1_oid(relid), &retry, result, &error))
			return result;
	}
	blame = dyn_blame(run, relid, error);
	if (blame)
		error->context = error->context ? psprintf("%s\n%s", blame, error->context) : blame;
	if (!catch_errors)
		ThrowErrorData(error);
	result->relid = relid;
	result->failed = true;
	result->sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
	result->message = psprintf("%s%s%s%s%s", error->message, error->detail ? ": " : "",
							   error->detail ? error->detail : "", blame ? ": " : "", blame ? blame : "");
	result->data_timestamp = run->upto;
	result->phases = dyn_phases_text();
	result->queued_ms = run->queued_ms;
	result->ended = GetCurrentTimestamp();
	return result;
}

/*
 * In a subtransaction; on failure *error (in the caller's memory) tells what
 * went wrong.  results: one for each table.
 */
static bool
try_refresh(DynRun *run, List *relids, const DynRetry *retry, DynResult *results, ErrorData **error)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext work = AllocSetContextCreate(caller, "dyntable refresh", ALLOCSET_DEFAULT_SIZES);
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(work);
	PG_TRY();
	{
		for (int i = 0; i < list_length(relids); i++)
			dyn_target_refresh(run, list_nth_oid(relids, i), retry, &results[i]);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		for (int i = 0; i < list_length(relids); i++)
			if (results[i].reason)
				results[i].reason = pstrdup(results[i].reason);
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
	MemoryContextDelete(work);

	/*
	 * A cancelled statement, or a lost race, is the caller's affair.  The
	 * subtransaction must have ended, or the server would take the error for
	 * its alone.
	 */
	if (!done && ((*error)->sqlerrcode == ERRCODE_QUERY_CANCELED ||
				  (*error)->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
				  (*error)->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED))
		ReThrowError(*error);
	return done;
}
