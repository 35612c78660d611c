/*
 * dyn_target.h
 *	  Refreshing one dynamic table within a run.
 */
#ifndef DYN_TARGET_H
#define DYN_TARGET_H

#include <utils/snapshot.h>

#include "catalog/dyn_catalog.h"
#include "refresh/dyn_evaluate.h"
#include "refresh/dyn_refresh.h"

/* What the tables of one run have in common. */
typedef struct DynRun
{
	Snapshot	snapshot;		/* registered */
	DynSnapshot *position;		/* the same, storable */
	TimestampTz upto;			/* data timestamp; 0: not yet known */
	TimestampTz asked;			/* what the session asked for it to be; DT_NOEND: nothing */
	int64		generation;		/* of the slot; 0: capture is not ready */
	char	   *no_capture;		/* why not */
	bool		captured;		/* capture has come to where the snapshot was taken */
	double		waited_us;		/* for capture */
	double		queued_ms;		/* from when it was due to its start; -1: nobody planned it */
	List	   *order;			/* of Oid: its tables, upstream first */
	List	   *edges;			/* of each, in the same order, a List of DynEdge, as found under the locks */
	List	   *held;			/* of Oid: tables that were seen to need a fill, logs held for them since before the snapshot */
	DynTrigger	trigger;
	DynGivenUp	given_up;		/* of the table whose refresh failed with ERRCODE_DYN_DEARER */
} DynRun;

/* What a table of the run reads: a List of DynEdge. */
extern List *dyn_run_edges(const DynRun *run, Oid relid);

/* Does a stored position keep the logs that the run reads, so that nothing else has to hold them? */
extern bool dyn_position_holds(const DynRun *run, const DynPosition *position);

/* What the first attempt at a refresh found, for the second one, which computes in full. */
typedef struct DynRetry
{
	char	   *reason;
	bool		by_image;		/* some value is too long for the index on the key */
	const DynGivenUp *given_up; /* not NULL: the delta was given up, and nothing is wrong */
	TimestampTz started;		/* the first attempt */
} DynRetry;

/*
 * Refresh one table; its locks are held, its upstream has been refreshed.
 * Raises what goes wrong.  retry: NULL at the first attempt.
 */
extern void dyn_target_refresh(DynRun *run, Oid relid, const DynRetry *retry, DynResult *result);

/* dyn_run, whose snapshot stays registered for the caller to look at what it gave. */
extern List *dyn_run_keeping(List *relids, const DynRunOptions *options, Snapshot *snapshot);

/* Switch to the owner of a dynamic table, restricted, with its pinned settings; and back. */
typedef struct DynIdentity
{
	Oid			userid;
	int			context;
	int			guc_level;
} DynIdentity;

extern void dyn_become_owner(const DynTable *table, DynIdentity *identity);
extern void dyn_become_caller(const DynIdentity *identity);

/* The stored definition as a Query; raises an error where a column in use is gone. */
extern Query *dyn_stored_query(const DynTable *table, bool *retyped);

/*
 * How deltas are applied to the dynamic table itself; columns: of its
 * definition, which the table's may not have followed yet (retyped).
 */
extern DynSink *dyn_target_sink(Oid relid, int ncolumns, const DynColumn *columns, List *key, bool retyped);

/* Make the index by which the sink's rows are found, unless there is one. */
extern void dyn_sink_ensure_index(DynSink *sink);
extern bool dyn_sink_has_index(DynSink *sink);
extern void dyn_sink_drop_indexes(Oid relid);	/* all of ours */
extern bool dyn_sink_is_ours(Oid index);

/* Columns of the table whose types are no longer those of its query, and what follows from that (dyn_columns.c). */
extern List *dyn_retyped_columns(Oid relid, int ncolumns, const DynColumn *columns);
extern char *dyn_retyped_values(DynSink *sink, List *retyped);	/* the sink's columns in the types of the query */
extern void dyn_retyping_begin(ErrorContextCallback *callback, Oid *relid);	/* errors then say what failed */
extern void dyn_retyping_end(const ErrorContextCallback *callback);
extern void dyn_follow_types(Oid relid, List *retyped);
extern bool dyn_sink_key_fits(DynSink *sink, List *key);

/*
 * Another table of the same definition gets this one's indexes and constraints
 * with one; and its state tables.
 */
extern void dyn_copy_indexes(Oid from, Oid to);
extern void dyn_copy_states(Oid from, Oid to);

/* The columns of a definition that is not incremental. */
extern DynColumn *dyn_query_result_columns(Query *query, int *ncolumns);

/* schema-qualified row_hash, and a relation's qualified name */
extern char *dyn_hash_name(void);
extern char *dyn_relation_name(Oid relid);

#endif							/* DYN_TARGET_H */
