/*
 * dyn_catalog.h
 *	  The rows of dyntable's own tables as C structs.
 *
 * The only code that knows the tables of catalog.sql.  All functions run
 * their statements with the rights of the bootstrap superuser and a pinned
 * search_path, through saved plans, in the current transaction; results are
 * allocated in the caller's memory context.
 */
#ifndef DYN_CATALOG_H
#define DYN_CATALOG_H

#include <access/xlogdefs.h>
#include <datatype/timestamp.h>
#include <nodes/parsenodes.h>
#include <nodes/pg_list.h>
#include <storage/itemptr.h>
#include <utils/snapshot.h>
#include <utils/tuplestore.h>

#include "base/dyn_lag.h"

typedef enum DynRefreshMode
{
	DYN_MODE_AUTO,
	DYN_MODE_INCREMENTAL,
	DYN_MODE_FULL,
} DynRefreshMode;

/* A snapshot in the form that is stored: every xid at full width. */
typedef struct DynSnapshot
{
	uint64		xmin;
	uint64		xmax;
	int			nxip;
	uint64	   *xip;			/* sorted */
} DynSnapshot;

/*
 * Which version of a row was read or written.  Two are the same, and have the
 * same values, if their transaction is not the present one.
 */
typedef struct DynRowVersion
{
	ItemPointerData tid;
	TransactionId xmin;
} DynRowVersion;

extern bool dyn_same_version(DynRowVersion a, DynRowVersion b);

/* The schedule of a table that nobody refreshes but by dyntable_refresh. */
#define DYN_MANUAL "manual"

/* The warehouse of tables that name none. */
#define DYN_DEFAULT_WAREHOUSE "default"

/* One row of dyntable.dynamic_table. */
typedef struct DynTable
{
	Oid			relid;
	char	   *query;			/* the user's text */
	char	   *definition;		/* the same with every name qualified, for other servers */
	char	   *tree;			/* nodeToString of the analysed Query */
	char	   *tree_version;	/* of dyn_tree_version */
	List	   *settings;		/* of char *, "name=value", pinned at creation */
	Interval   *target_lag;		/* NULL: downstream, or schedule */
	char	   *schedule;		/* cron expression, DYN_MANUAL or NULL */
	DynRefreshMode mode;		/* as asked for */
	bool		incremental;	/* as it is */
	char	   *reason_code;	/* why not incremental, or NULL */
	char	   *reason;
	bool		on_schedule;	/* initialize => 'on_schedule' */
	char	   *warehouse;
	char	   *initial_warehouse;	/* for first fills and reinitialisations; NULL: the same */
	bool		suspended;
	char	   *state_code;		/* USER_SUSPENDED ... or NULL */
	char	   *frozen_where;	/* rows that satisfy it are not computed again; NULL: none */
	DynRowVersion version;		/* of the row that was read */
} DynTable;

/* Deltas of how many different sizes, each four times the one before, have their cost recorded. */
#define DYN_COST_STEPS 16

/* One row of dyntable.position. */
typedef struct DynPosition
{
	Oid			relid;
	int64		generation;		/* of the slot; 0: none */
	DynSnapshot *snapshot;		/* NULL before the first fill */
	TimestampTz data_timestamp; /* DT_NOBEGIN before the first fill */
	int64		refresh_no;
	bool		populated;
	int64		plan_hash;
	List	   *basis;			/* of char *: functions and types that the rows rest on */
	char	   *reinit_reason;	/* not NULL: next refresh reinitialises */
	int			failures;

	/* What refreshes cost, see dyn_choice.c; less than 0: not known. */
	double		full_ms;
	double		full_cost;
	double		delta_ms[DYN_COST_STEPS];

	DynRowVersion version;		/* of the row that was read, or stored last */
} DynPosition;

/* One row of dyntable.edge. */
typedef struct DynEdge
{
	Oid			relid;
	Oid			source;
	char		kind;			/* DYN_EDGE_* */
	List	   *columns;		/* of int: attribute numbers read */
	int64		refresh_no;
	bool		boundary;		/* a dynamic table that is not refreshed for the reader's sake */
} DynEdge;

#define DYN_EDGE_BASE		'b'
#define DYN_EDGE_DYNAMIC	'd'
#define DYN_EDGE_FULL		'f'

/* Columns that a dynamic table may have for others to read its delta: the log of that has two more. */
#define DYN_OWN_LOG_COLUMNS	(MaxHeapAttributeNumber - 2)

/* One row of dyntable.source. */
typedef struct DynSource
{
	Oid			relid;
	Oid			log;
	Oid			other_log;		/* the same again: see dyn_changelog.c */
	List	   *columns;		/* of int */
	XLogRecPtr	registered_lsn;
	uint64		registered_xid;
	char		old_identity;
	int64		version;		/* another one whenever the row was changed */
} DynSource;

/* One row of dyntable.history, to be written. */
typedef struct DynHistory
{
	Oid			relid;
	const char *state;			/* SUCCEEDED, FAILED, UPSTREAM_FAILED, ... */
	const char *action;			/* NO_DATA, INCREMENTAL, FULL, REINITIALIZE or NULL */
	const char *trigger;		/* SCHEDULED, MANUAL, CREATION */
	const char *code;			/* SQLSTATE or symbolic, NULL when succeeded */
	const char *message;
	TimestampTz data_timestamp; /* DT_NOBEGIN: none */
	TimestampTz started;
	TimestampTz ended;
	int64		rows_inserted;
	int64		rows_updated;
	int64		rows_deleted;
	const char *reason;
	const char *phases;			/* jsonb text or NULL */
	TimestampTz completion_target;	/* DT_NOBEGIN: none */
	const Interval *target_lag; /* NULL: none of its own */
	const char *warehouse;
	double		queued_ms;		/* -1: not known */
	const char *inputs;			/* jsonb text: what had changed; or NULL */
	Oid			last_input;		/* or InvalidOid */
	bool		measured;		/* what follows is known */
	double		cpu_ms;
	int64		wal_bytes;
	int64		blocks_hit;
	int64		blocks_read;
	int64		blocks_dirtied;
	DynLag		lag;			/* up to the end; base 0: not known */
} DynHistory;

/* ALTER TABLE as ours, on a table that may be anybody's; takes ACCESS EXCLUSIVE. */
extern void dyn_alter_table(Oid relid, List *commands);

/* What DROP finds to depend on the table, or refuses: what its (analysed) query names. */
extern void dyn_depend_record(Oid relid, Query *query);

/* What a definition had recorded is gone; the extension can be dropped without the table. */
extern void dyn_depend_forget(Oid relid);

/* the extension itself */
extern void dyn_extension_check_version(void);	/* error where it is not of the library's version */
extern Oid	dyn_extension_oid(void);	/* InvalidOid where it is not installed */
extern Oid	dyn_schema_oid(void);	/* schema dyntable */

/* dynamic_table */
extern DynTable *dyn_table_get(Oid relid, bool missing_ok);
extern bool dyn_table_is(Oid relid, const DynRowVersion *version);	/* whether its row is this one still */
extern List *dyn_table_all(void);	/* of Oid, ordered */
extern void dyn_table_insert(const DynTable *table);
extern void dyn_table_update(const DynTable *table);
extern void dyn_table_delete(Oid relid);	/* with position and edges, stages are left; history kept */
extern char *dyn_tree_version(void);	/* what trees are written by on this server */
extern bool dyn_tree_readable(const DynTable *table);	/* else analyse the definition again */
extern DynRefreshMode dyn_mode_from_name(const char *name);
extern int64 dyn_lag_microseconds(const DynTable *table);	/* its own target lag; 0: none */

/* List of Oid: tables whose definition has this qualified name in it, but which do not depend on this relation. */
extern List *dyn_tables_naming(const char *name, Oid relid);
extern bool dyn_is_dynamic_table(Oid relid);	/* cached per backend; cheap */
extern bool dyn_is_populated(Oid relid);	/* of a dynamic table; cached once it is */

/* Its columns, and the file of its rows, are others from this transaction on. */
extern void dyn_table_set_reshaped(Oid relid);

/* Whether a snapshot is from before that. */
extern bool dyn_is_before_reshape(Oid relid, Snapshot snapshot);
extern char *dyn_relation_names(const List *relids);	/* "a", "b", for messages */

/* Suspend or resume; resuming forgets the failures counted. */
extern void dyn_table_set_state(Oid relid, bool suspended, const char *code);

/* position */
extern void dyn_position_insert(Oid relid);
extern DynPosition *dyn_position_get(Oid relid);
extern int64 dyn_position_refresh_no(Oid relid);

/* Lock it, before anything else that a run does on a table, as an UPDATE would (may raise 40001). */
extern void dyn_position_claim(Oid relid);
extern List *dyn_position_bases(void);	/* of DynPosition *, with nothing but relid and basis, where there is one */
extern void dyn_position_store(DynPosition *position);
extern void dyn_position_copy(Oid from, Oid to);	/* all but failures */
extern void dyn_position_set_reinit(Oid relid, const char *reason);
extern void dyn_position_set_populated(Oid relid);	/* by something other than a refresh */

/* edge */
extern List *dyn_edges_of(Oid relid);	/* of DynEdge *, what relid reads */
extern List *dyn_readers_of(Oid source);	/* of Oid, who reads source */

/*
 * Of Oid: the dynamic tables that a refresh of relid brings along, and those
 * whose refresh brings along relid.  Others are read as they stand.
 */
extern List *dyn_pulled_by(Oid relid);
extern List *dyn_pullers_of(Oid relid);
extern void dyn_edges_replace(Oid relid, List *edges);	/* boundaries stay */
extern void dyn_edges_set_boundary(Oid relid, List *sources);	/* of Oid: these and no others */

/* Up to which all have read a dynamic table's log who will read on in it; otherwise: where there are none. */
extern int64 dyn_edge_min_refresh_no(Oid source, int64 otherwise);

/* Have those of them initialise again that are furthest behind, and behind refresh_no; whether there were any. */
extern bool dyn_edge_let_go(Oid source, int64 refresh_no, const char *reason);
extern void dyn_edge_store_refresh_no(Oid relid, Oid source, int64 refresh_no);

/* slot: why the present one took the place of another, in words; NULL when it did not */
extern char *dyn_slot_cause(void);

/* source, hold */
extern DynSource *dyn_source_get(Oid relid);
extern List *dyn_source_all(void);	/* of DynSource * */

/* tracked: sources under capture for a role (InvalidOid: for all) to build on, read or not */
extern void dyn_tracked_store(Oid source, Oid grantee);
extern bool dyn_tracked_forget(Oid source); /* whether there was anything to forget */
extern List *dyn_tracked_grantees(Oid source);	/* of Oid */
extern bool dyn_tracked_for(Oid source, Oid role);	/* whether the role, or one that it has, is among them */
extern bool dyn_source_wanted(Oid source);	/* tracked, or read by a dynamic table */

/* stage */
extern Oid	dyn_stage_get(Oid relid, int no);	/* InvalidOid when missing */
extern void dyn_stage_insert(Oid relid, int no, Oid stage);	/* from now on dropped with relid */
extern void dyn_member_add(Oid relid);	/* of the extension; drops go past the membership */
extern void dyn_member_drop(Oid relid);
extern List *dyn_stages_of(Oid relid);	/* of Oid */
extern int64 dyn_stage_rows(Oid stage, bool *counted);	/* counted where it is small, else estimated */
extern void dyn_stage_drop(Oid relid, Oid stage);

/*
 * While objects are dropped, state tables whose table goes are only left
 * behind: their columns and indexes may be among what goes, by their types.
 * Whoever has dropped objects then has them dropped.
 */
extern void dyn_stage_leave(Oid stage);
extern void dyn_stages_left_drop(void);

/* restored: definitions that came with a dump and are not yet taken over */
typedef struct DynRestored
{
	char	   *schema;
	char	   *name;
	DynTable	table;			/* relid: InvalidOid where there is no such table; without tree */
	bool		populated;		/* when the dump was made */
	List	   *boundary;		/* of char *: names */
	Interval   *changes_kept;	/* NULL: nobody followed it */
} DynRestored;

/* All definitions that this role may have, as rows of dyntable.dump. */
extern void dyn_definitions(Oid role, Tuplestorestate *rows);
extern void dyn_dumped_warehouses(Oid role, Tuplestorestate *rows); /* of dyntable.dump_warehouse */
extern void dyn_dumped_tracked(Oid role, Tuplestorestate *rows);	/* of dyntable.dump_tracked */
extern bool dyn_restored_any(void);
extern List *dyn_restored_all(void);	/* of DynRestored *, by name */
extern DynRestored *dyn_restored_get(Oid relid);	/* NULL: it is not one */
extern void dyn_restored_identities(const DynRestored *restored);	/* hand to capture what its sources had */
extern void dyn_restored_tracked(void);	/* take over tracked sources */
extern bool dyn_restored_forget(const char *schema, const char *name);

/*
 * feed: what of a followed table's changes is kept (refresh/dyn_feed.c), as long
 * as keep.  NULL: not followed any more.
 */
extern void dyn_feed_keep(Oid relid, const Interval *keep);
extern void dyn_feed_mark(Oid feed, int64 refresh_no, TimestampTz data_timestamp);
extern void dyn_feed_trim(Oid relid, Oid feed, TimestampTz data_timestamp);	/* what is older than is to be kept */

extern void dyn_feed_clear(Oid feed);

/* The oldest mark, under the active snapshot; false: there is none. */
extern bool dyn_feed_oldest(Oid feed, int64 *refresh_no, TimestampTz *data_timestamp);

/*
 * The rows of refreshes later than these, as (refresh_no, data_timestamp, action, is_update, data),
 * under the active snapshot.  since 0, since_time DT_NOBEGIN: of all.
 */
extern void dyn_feed_read(Oid feed, int64 since, TimestampTz since_time, Tuplestorestate *rows,
						  TupleDesc desc);

/* version: to be called whenever something of a table changed that it has a column for; when it is dropped */
extern void dyn_version_note(Oid relid);
extern void dyn_version_end(Oid relid);
extern uint64 dyn_version_purge(TimestampTz before);	/* those that ended before */

/* history */
extern void dyn_history_insert(const DynHistory *entry);

/*
 * The last row of a table, if it says that a refresh by this trigger found
 * nothing: its number, and how many of those it stands for.  0: it does not.
 */
extern int64 dyn_history_idle(Oid relid, const char *trigger, int *repeats);

/* When the last successful refresh ended, DT_NOBEGIN: there is none. */
extern TimestampTz dyn_history_last_end(Oid relid);

/* What the scheduler knows of a dynamic table. */
typedef struct DynScheduleRow
{
	Oid			relid;
	int64		lag;			/* microseconds; 0: schedule, or downstream */
	char	   *schedule;
	char	   *warehouse;
	bool		held;			/* this warehouse is suspended, and no refresh resumes it */
	char	   *initial_warehouse;	/* NULL: the same */
	bool		initial_held;
	bool		suspended;
	bool		still;			/* depends on nothing but captured sources */
	bool		populated;
	TimestampTz data_timestamp; /* DT_NOBEGIN before the first fill */
	bool		reinitialise;
	int			failures;
	TimestampTz retry_at;		/* DT_NOBEGIN: none */
	int64		duration;		/* microseconds that a refresh takes; 0: unknown */
	int64		version;		/* another one when the definition changed */
} DynScheduleRow;

/* What the scheduler knows of an edge. */
typedef struct DynScheduleEdge
{
	Oid			relid;
	Oid			source;
	bool		dynamic;		/* the source is a dynamic table */
	bool		pulls;			/* and a refresh of relid brings it along */
} DynScheduleEdge;

/* schedule */
extern Oid	dyn_extension_owner(void);

/* Keep the extension from being dropped before this transaction ends; false: it is not there. */
extern bool dyn_extension_hold(void);
extern List *dyn_schedule_rows(void);	/* of DynScheduleRow *, all tables */
extern List *dyn_schedule_positions(const List *relids);	/* the same, only what a refresh moves */
extern TimestampTz dyn_position_data_timestamp(Oid relid);
extern List *dyn_schedule_edges(void);	/* of DynScheduleEdge * */

/* Failure accounting: returns the counted failures in a row. */
extern int	dyn_position_failed(Oid relid, bool counted);
extern TimestampTz dyn_position_retry_at(Oid relid);
extern void dyn_position_retry(Oid relid, TimestampTz retry_at);
extern void dyn_table_suspend_failed(Oid relid);
extern uint64 dyn_history_purge(TimestampTz before);

/* One row of dyntable.warehouse. */
typedef struct DynWarehouse
{
	char	   *name;
	Oid			owner;
	int			max_workers;	/* 0: no bound of its own */
	List	   *setting_names;	/* of char * */
	List	   *setting_values;
	int			statement_timeout;	/* milliseconds; 0: none */
	int			auto_suspend;	/* milliseconds that a worker stays idle; 0: for ever */
	bool		auto_resume;	/* the next due refresh ends a suspension */
	bool		suspended;
} DynWarehouse;

/* Columns of a warehouse that a command may change, each where it is given. */
typedef enum DynWarehouseColumn
{
	DYN_WAREHOUSE_MAX_WORKERS,	/* int4; 0 takes the bound away */
	DYN_WAREHOUSE_SETTINGS,		/* jsonb, merged; a null takes a setting away */
	DYN_WAREHOUSE_STATEMENT_TIMEOUT,	/* interval; 0 takes it away */
	DYN_WAREHOUSE_AUTO_SUSPEND, /* interval; 0 takes it away */
	DYN_WAREHOUSE_AUTO_RESUME,	/* bool */
	DYN_WAREHOUSE_SUSPENDED,	/* bool */
	DYN_WAREHOUSE_OWNER,		/* Oid */
	DYN_WAREHOUSE_GRANT_TO,		/* Oid, of one who may use it from now on; 0: PUBLIC */
	DYN_WAREHOUSE_REVOKE_FROM,	/* Oid */
	DYN_WAREHOUSE_COMMENT,		/* text; '' takes it away */
	DYN_WAREHOUSE_NEW_NAME,		/* text */
} DynWarehouseColumn;

#define DYN_WAREHOUSE_CHANGES (DYN_WAREHOUSE_NEW_NAME + 1)

typedef struct DynWarehouseChange
{
	Datum		values[DYN_WAREHOUSE_CHANGES];
	bool		given[DYN_WAREHOUSE_CHANGES];
} DynWarehouseChange;

extern DynWarehouse *dyn_warehouse_get(const char *name);	/* NULL when missing */
extern List *dyn_warehouse_all(void);	/* of DynWarehouse *, by name */
extern bool dyn_warehouse_usable(const char *name, Oid role);	/* by its owner and those it was granted to */
extern bool dyn_warehouse_insert(const char *name, Oid owner);	/* false: there is one */
extern void dyn_warehouse_change(const char *name, const DynWarehouseChange *change);
extern void dyn_warehouse_resume(const char *name);
extern List *dyn_warehouse_tables(const char *name);	/* of Oid, tables that use it */
extern void dyn_warehouse_delete(const char *name);

/* Roles that are named by warehouses and tracked sources. */
extern void dyn_roles_revoke(Oid role); /* what was granted to it */
extern List *dyn_roles_reassign(Oid role, Oid successor);	/* its warehouses; their names */

/* snapshots */
extern DynSnapshot *dyn_snapshot_from_text(const char *text);
extern char *dyn_snapshot_to_text(const DynSnapshot *snapshot);

/* the storable form of a live snapshot, the current transaction's own xid counted as running */
extern DynSnapshot *dyn_snapshot_from_live(Snapshot snapshot);
extern bool dyn_snapshot_sees(const DynSnapshot *snapshot, uint64 xid);

/*
 * Who keeps others from locking a table in SHARE ROW EXCLUSIVE mode, or, for
 * InvalidOid, any table in ACCESS SHARE mode: in words, with what of it the role
 * may see.  NULL when nobody does.
 */
extern char *dyn_lock_holders(Oid relid, Oid role);

/* Whether one of those waits, be it by way of others, for this process. */
extern bool dyn_lock_waits_for(Oid relid, int pid);

#endif							/* DYN_CATALOG_H */
