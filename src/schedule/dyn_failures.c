/*
 * dyn_failures.c
 *	  What becomes of tables whose scheduled refresh failed.
 *
 * Each failure is a row of history.  A failed table is not tried again before
 * its lag has passed, then twice that, and so on: a table that cannot be
 * refreshed must not keep a worker busy.  After several failures in a row it
 * is suspended with all that is downstream.
 *
 * Errors, timeouts and cancellations count towards that, and a crash of the
 * server during the refresh.  What nobody's query is to blame for does not:
 * deadlocked, waiting for a lock or for capture in vain, out of memory or disk,
 * a worker that was ended.  These are tried again for as long as it takes, one
 * lag apart.  Nor does an attempt that was made before its time because something was
 * altered (dyn_altered.c): it leaves all as it was.  A table that did not run because
 * of its upstream has no failure of its own; it waits for the upstream's next
 * attempt.
 */
#include <postgres.h>

#include <utils/lsyscache.h>
#include <utils/timestamp.h>

#include "base/dyn_notify.h"
#include "base/dyn_settings.h"
#include "catalog/dyn_catalog.h"
#include "refresh/dyn_refresh.h"
#include "schedule/dyn_due.h"
#include "schedule/dyn_failures.h"

static bool
failure_counts(const char *sqlstate)
{
	static const char *const excused[] = {
		"08", "40", "53", "58", /* classes: connection, serialization, resources, system */
		"57P01", "57P03", "57P04", "57P05", /* of operator's intervention */
		"55000", "55P03", "F0",
	};

	if (sqlstate == NULL)
		return true;
	for (int i = 0; i < lengthof(excused); i++)
		if (strncmp(sqlstate, excused[i], strlen(excused[i])) == 0)
			return false;
	return true;
}

static void
record_failure(Oid relid, TimestampTz started, const char *sqlstate, const char *message)
{
	DynTable   *table = dyn_table_get(relid, true);
	bool		early;
	int			failures;

	if (table == NULL)
		return;					/* dropped meanwhile */
	ereport(LOG,
			(errmsg("could not refresh dynamic table \"%s\": %s",
					get_rel_name(relid), message ? message : "unknown error")));
	early = dyn_position_retry_at(relid) > started;
	failures = dyn_position_failed(relid, !early && failure_counts(sqlstate));
	if (!early)
		dyn_position_retry(relid, GetCurrentTimestamp() +
						   dyn_due_backoff(dyn_lag_microseconds(table), failures));
	dyn_notify("failed", relid, psprintf(", \"code\": \"%s\", \"failures\": %d",
										 sqlstate ? sqlstate : "XX000", failures));
	if (dyn_max_consecutive_failures > 0 && failures >= dyn_max_consecutive_failures &&
		!table->suspended)
	{
		dyn_table_suspend_failed(relid);
		ereport(LOG,
				(errmsg("suspended dynamic table \"%s\" after %d failures in a row",
						get_rel_name(relid), failures),
				 errdetail("The last one was: %s", message ? message : "unknown")));
	}
}

/* Somebody wanted it to end: a cancel that is no timeout, a worker that was told to end. */
static bool
cancelled(const char *sqlstate, bool timed_out)
{
	return sqlstate != NULL && ((strcmp(sqlstate, "57014") == 0 && !timed_out) ||
								strcmp(sqlstate, "57P01") == 0);
}

static void
record_history(const DynResult *result, bool timed_out)
{
	DynTable   *table = dyn_table_get(result->relid, true);
	DynHistory	entry = {
		.relid = result->relid,.trigger = dyn_trigger_name(DYN_TRIGGER_SCHEDULED),
		.state = result->upstream_failed ? "UPSTREAM_FAILED" :
		cancelled(result->sqlstate, timed_out) ? "CANCELLED" : "FAILED",
		.code = result->sqlstate,.message = result->message,
		.data_timestamp = result->data_timestamp,.completion_target = DT_NOBEGIN,
		.started = result->started,.ended = result->ended,
		.phases = result->phases,.queued_ms = result->queued_ms,
		.target_lag = table ? table->target_lag : NULL,.warehouse = table ? table->warehouse : NULL
	};

	dyn_history_insert(&entry);
}

void
dyn_failures_record(const List *results, bool timed_out)
{
	ListCell   *cell;

	foreach(cell, results)
	{
		const DynResult *result = lfirst(cell);

		if (result->failed)
			record_history(result, timed_out);
		if (result->failed && !result->upstream_failed)
			record_failure(result->relid, result->started, result->sqlstate, result->message);
	}
}

void
dyn_failures_record_run(const DynTask *task, const char *sqlstate, const char *message,
						bool timed_out)
{
	for (int i = 0; i < task->ntables; i++)
	{
		DynResult	result = {
			.relid = task->tables[i],.failed = true,.sqlstate = unconstify(char *, sqlstate),
			.message = unconstify(char *, message),.data_timestamp = DT_NOBEGIN,
			.started = task->dispatched,.ended = GetCurrentTimestamp(),
			.queued_ms = Max(task->dispatched - task->due, 0) / 1000.0
		};

		if (!dyn_is_dynamic_table(task->tables[i]))
			continue;
		record_history(&result, timed_out);
		record_failure(task->tables[i], task->dispatched, sqlstate, message);
	}
}
