/*
 * dyn_refresh.h
 *	  Runs: bringing dynamic tables to one new data timestamp.
 */
#ifndef DYN_REFRESH_H
#define DYN_REFRESH_H

#include <datatype/timestamp.h>
#include <executor/execdesc.h>
#include <nodes/pg_list.h>

typedef enum DynAction
{
	DYN_ACTION_NO_DATA,
	DYN_ACTION_INCREMENTAL,
	DYN_ACTION_FULL,
	DYN_ACTION_REINITIALIZE,
} DynAction;

typedef enum DynTrigger
{
	DYN_TRIGGER_SCHEDULED,
	DYN_TRIGGER_MANUAL,
	DYN_TRIGGER_CREATION,
} DynTrigger;

/* Why a table is computed anew whose query was altered: its columns' types are then those of the query. */
#define DYN_QUERY_CHANGED "the query was changed"

typedef struct DynResult
{
	Oid			relid;
	bool		failed;			/* only where errors are caught */
	bool		upstream_failed;
	char	   *sqlstate;
	char	   *message;
	DynAction	action;
	char	   *reason;			/* why FULL or REINITIALIZE, or NULL */
	TimestampTz data_timestamp;
	TimestampTz started;
	TimestampTz ended;
	int64		rows_inserted;
	int64		rows_updated;
	int64		rows_deleted;
	char	   *phases;			/* of a failed one; jsonb text, or NULL */
	double		queued_ms;		/* of a failed one; -1: nobody planned it */
	bool		exhausted;		/* all changes of sources that capture had logged were seen */
	bool		idle;			/* nothing was found, and nothing written: dyn_idle.c */
} DynResult;

/* How a run came about, and what becomes of errors. */
typedef struct DynRunOptions
{
	DynTrigger	trigger;
	bool		catch_errors;
	TimestampTz due;			/* when it was to start; 0: nobody planned it */

	/*
	 * Not 0: one table, which is new, may be filled from what it reads as it
	 * stands, if that is one state and no older than so many microseconds.
	 */
	int64		reuse;
} DynRunOptions;

/*
 * Refresh the tables (list of Oid) and everything upstream of them that they
 * bring along (dyn_pulled_by) in the current transaction, upstream first, under one snapshot.  Returns a list of
 * DynResult * in the order refreshed.  Writes their rows of history.
 *
 * With catch_errors each table runs in a subtransaction: a failure marks its
 * downstream upstream_failed and spares the others, and the failures are in
 * the result but not yet in history's failure counters (the scheduler's
 * business).  Without, the first failure is raised.
 */
extern List *dyn_run(List *relids, const DynRunOptions *options);

/* The tables of dyn_run in order: upstream closure, topologically sorted. */
extern List *dyn_run_order(List *relids);

/*
 * Take the locks that a run of these tables takes, for a command that changes
 * one of them and may run it later in the same transaction.
 */
extern void dyn_run_lock(List *relids);

/*
 * Of these locks only the first for each table, in the same order: whoever is
 * going to drop the tables then meets no run half way.
 */
extern void dyn_run_claim(List *relids);

/*
 * Lock a dynamic table in ACCESS EXCLUSIVE mode: an error when it is not to be
 * had within a moment.  why: a sentence.  The other one is for what is not
 * urgent, and tells whether it has the lock.
 */
extern void dyn_lock_against_readers(Oid relid, const char *why);
extern bool dyn_lock_if_unread(Oid relid);

extern const char *dyn_action_name(DynAction action);
extern const char *dyn_trigger_name(DynTrigger trigger);

/* Raise an error where no command may write: on a standby, in a read-only transaction, in a function that is run for others. */
extern void dyn_run_check(const char *command);

/*
 * Whether a statement that is being started is one of a refresh's own, which
 * may write a dynamic table and read one before its first fill (the write
 * guard asks).
 */
extern bool dyn_refresh_statement(const QueryDesc *desc);

/* Whether a locked table has no blocks, thus no rows for certain. */
extern bool dyn_relation_is_empty(Oid relid);

/* Bring relid to date, then count rows its query has and it lacks, and the reverse. */
extern void dyn_verify(Oid relid, int64 *missing, int64 *unexpected);

#endif							/* DYN_REFRESH_H */
