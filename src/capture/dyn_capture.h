/*
 * dyn_capture.h
 *	  What the rest of dyntable asks of change capture.
 */
#ifndef DYN_CAPTURE_H
#define DYN_CAPTURE_H

#include <access/xlogdefs.h>
#include <executor/tuptable.h>
#include <nodes/pg_list.h>

#include "catalog/dyn_catalog.h"

/*
 * Generation of this database's slot, or 0 when capture is not ready.  When 0
 * and reason is not NULL, *reason tells why ("wal_level is not logical", ...).
 * Waits up to timeout_ms for a worker that is starting; must then not be
 * called by a transaction that has an xid (slot creation would wait for us).
 */
extern int64 dyn_capture_generation(int timeout_ms, char **reason);

/*
 * Whether changes of these columns of a relation can be captured at all: of a
 * permanent ordinary or partitioned table, and not more than its log can have.
 * If not, *code and *detail say why
 * (UNLOGGED_SOURCE, FOREIGN_TABLE, MATERIALIZED_VIEW, INHERITANCE, ...).
 */
extern bool dyn_capture_possible(Oid relid, List *columns, const char **code, char **detail);

/* Whether a partition of it is in the middle of DETACH ... CONCURRENTLY: no delta can be had. */
extern bool dyn_capture_detaching(Oid relid);

/*
 * Put a base table under capture with (at least) these columns, by way of a
 * registrar process, and hold its log for the current transaction's xid.
 * Returns at once when it is already so (but for the hold).  Raises an error
 * that names who is in the way after bounded retries.
 */
extern void dyn_capture_register(Oid relid, List *columns);

/*
 * Whether the current transaction may itself have written the table (or made
 * it): it holds ROW EXCLUSIVE or more on it or on a partition.  Registering
 * would then wait for ourselves; dyn_capture_register returns without doing
 * anything and the source comes under capture soon after the commit.  Until
 * dyn_source_get() finds it, runs reinitialise.
 */
extern bool dyn_capture_caller_wrote(Oid relid);

/*
 * Keep the log of a source, whatever its readers' positions say, until the
 * current transaction ends.  To be called before the snapshot of a fill;
 * dyn_capture_register does it too.  Assigns an xid.
 */
extern void dyn_capture_hold(Oid relid);

/*
 * Whether logs may lack changes that a snapshot, taken before its transaction
 * held them or knew the generation, does not see: they were cut in between, or
 * the slot is younger.
 */
extern bool dyn_capture_outran(const DynSnapshot *snapshot);

/*
 * Raise a serialization failure where a source, locked by the caller, was
 * rewritten since the snapshot of a REPEATABLE READ transaction was taken: its
 * rows are not to be had under that snapshot.
 */
extern void dyn_source_check_snapshot(Oid relid, Snapshot snapshot);

/*
 * To be read before a snapshot is taken: if that counts as many transactions as
 * ended (snapXactCompletionCount; 0 is none), capture has logged whatever it sees.
 */
extern uint64 dyn_capture_complete(void);

/* The capture worker's process in this database, which counts what it logs; 0: there is none. */
extern int	dyn_capture_process(void);

/* Raise an error when the slot is not of the generation that dyn_capture_generation last returned in this backend. */
extern void dyn_capture_check_generation(void);

/* The position up to which capture must have come for a snapshot just taken; WAL is flushed to it. */
extern XLogRecPtr dyn_capture_target(void);

/*
 * Wait, bounded and interruptible, until capture has passed lsn; error on
 * timeout, when capture stops, or when the slot is no longer of the generation
 * that dyn_capture_generation last returned in this backend.
 */
extern void dyn_capture_wait(XLogRecPtr lsn);

/*
 * Call emit for every logged change of source whose xid is visible in upto
 * and not in since.  The slot has the log table's descriptor; columns are
 * found there by dyn_changelog_attnum.  weight is +1 or -1, or 0 for an event
 * (TRUNCATE, gap) that makes the delta incomputable: reinitialise; one above 1 is
 * such an event for those who read column weight - 1 alone.  read is how much
 * of the log has been read with this change, from the first one on: above 0, at most 1.
 * Raises an error when the slot's generation changed since
 * dyn_capture_generation was asked: the log is then not complete.  False when
 * there are changes that are not visible in upto.
 */
typedef void (*DynChangeEmit) (TupleTableSlot *slot, int weight, double read, void *arg);
extern bool dyn_changelog_scan(const DynSource *source, const DynSnapshot *since,
							   const DynSnapshot *upto, DynChangeEmit emit, void *arg);

/* Whether the log is there; where it is not, capture makes another when woken. */
extern bool dyn_changelog_exists(const DynSource *source);

/* Attribute number in the log table of a source's column. */
extern AttrNumber dyn_changelog_attnum(const DynSource *source, AttrNumber column);

/*
 * Whether a publication takes the updates and deletes of a relation, which
 * then fail where it has no replica identity; and give it FULL where it has none.
 */
extern bool dyn_identity_published(Oid relid);
extern void dyn_identity_supply(Oid relid);

/*
 * Wake the capture worker when this transaction has ended, so that it takes in
 * sources that are missing and lets go of those that are no longer read.
 */
extern void dyn_capture_wake_at_end(void);

/*
 * By the launcher, now and then: give up slots that hold back more WAL than
 * dyntable.max_retained_wal while no worker is there to do it.  Whether to look
 * again within seconds.
 */
extern bool dyn_slots_guard(void);

/* While the extension is dropped: give all tables the replica identity back that they had before capture. */
extern void dyn_identities_give_back(void);

/*
 * Have capture not decode what this process writes from here on: a single
 * statement of a refresh, which fires no trigger.  The mark must not outlive
 * the statement, nor hold for another that starts within it.
 */
extern void dyn_origin_mark(void);
extern void dyn_origin_unmark(void);

/* Hooks that leave an event in the log where DDL changes a source's rows; by _PG_init. */
extern void dyn_shape_init(void);

#endif							/* DYN_CAPTURE_H */
