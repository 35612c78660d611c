/*
 * dyn_capture_internal.h
 *	  Shared by the files of the capture room only.
 */
#ifndef DYN_CAPTURE_INTERNAL_H
#define DYN_CAPTURE_INTERNAL_H

#include <access/tupdesc.h>
#include <replication/logical.h>
#include <utils/rel.h>
#include <utils/tuplestore.h>

#include "base/dyn_shmem.h"
#include "capture/dyn_capture.h"
#include "catalog/dyn_capture_rows.h"

/* The first two columns of every log table. */
#define DYN_LOG_XID		1
#define DYN_LOG_WEIGHT	2
#define DYN_LOG_FIXED	2

/* Weight of an event that concerns only those who read this column. */
#define DYN_LOG_COLUMN_EVENT(column) ((column) + 1)

/* The logical message by which a transaction has an event logged for a source. */
#define DYN_EVENT_PREFIX "dyntable"

typedef struct DynEventMessage
{
	int64		generation;
	Oid			relid;
	int32		column;			/* whose values changed; 0: the table's rows; or: */
} DynEventMessage;

/* No rows changed, but what capture needs of the table may be gone. */
#define DYN_EVENT_NO_ROWS	(-1)

/* A source as the capture worker knows it: plain memory, no catalog access. */
typedef struct DynTracked
{
	Oid			relid;
	int64		version;		/* of its row */
	MemoryContext context;
	Oid			logs[2];		/* rows go into the first until that is full and the second empty */
	int64		bytes[2];		/* sizes of both */
	XLogRecPtr	registered_lsn;
	int			ncolumns;
	AttrNumber *columns;		/* in the source */
	AttrNumber *log_columns;	/* where each stands in the log; 0: nowhere */
	TupleDesc	log_desc;
	Datum	   *values;			/* work space for one row of the log */
	bool	   *nulls;

	/* the batch not yet written */
	Tuplestorestate *rows;
	int64		nrows;
	BlockNumber written_to;		/* of the last batch: where its last row went */
	Oid			written_storage;
	uint64		event_xid;		/* transaction that has its event in the log */
	uint64		column_event_xid;	/* transaction that has events of single columns there ... */
	Bitmapset  *column_events;	/* ... of these */
	bool		complained;		/* about an undecodable change */
} DynTracked;

/* dyn_plugin.c: changes of tracked sources gather in the batch */
extern bool dyn_capture_worker; /* this process may load the plugin */
extern RepOriginId dyn_capture_origin;
extern int64 dyn_capture_decoding;	/* generation of the slot that is decoded */

extern void dyn_batch_init(void);
extern void dyn_batch_reload(void);	/* in a transaction, batch empty */
extern int64 dyn_batch_rows(void);
extern List *dyn_batch_sources(void);	/* of DynTracked * */
extern List *dyn_batch_changed(void);	/* those that have rows in the batch */
extern void dyn_batch_clear(void);
extern bool dyn_batch_reshaped; /* a source changed shape: its registration may be out of date */

/* dyn_batch.c */
extern XLogRecPtr dyn_batch_write(XLogRecPtr upto);	/* batch not empty; returns the end of its commit */

/* dyn_changelog.c */
extern void dyn_changelog_create(Relation source, DynSource *row);	/* row: columns given, logs set */
extern void dyn_changelog_extend(Relation source, const DynSource *row);
extern bool dyn_changelog_fits(Oid relid, Oid log, List *columns);
extern void dyn_changelog_append(DynTracked *tracked, bool events_only);
extern void dyn_changelog_mark(DynTracked *tracked);
extern void dyn_changelog_event(Oid relid, AttrNumber column);	/* with the current transaction's xid */
extern int64 dyn_changelog_bytes(Oid log);	/* TOAST included */
extern void dyn_changelog_measure(DynTracked *tracked);
extern int64 dyn_changelog_unread(Oid log, const DynSnapshot *since);	/* the same of what a reader has before it */
extern void dyn_changelog_cut(Oid logid);
extern void dyn_changelog_drop(Oid log);
extern void dyn_changelog_column_name(AttrNumber column, char *name);	/* NAMEDATALEN */

/* dyn_slot.c: the slot, its origin and its generation */
extern bool dyn_slot_open(DynSlot *slot, XLogRecPtr *progress);
extern void dyn_slot_make(DynSlot *slot);
extern void dyn_slot_discard(void);
extern bool dyn_slot_exists(void);
extern bool dyn_slot_room(void);
extern void dyn_slot_note_confirmed(XLogRecPtr lsn);
extern void dyn_slot_note_failure(XLogRecPtr record, int sqlerrcode);
extern bool dyn_slot_hopeless(void);
extern void dyn_slot_name(Oid dboid, char *name);

/* Begin and commit a transaction in one of our processes. */
extern void dyn_own_begin(void);
extern void dyn_own_commit(void);
extern bool dyn_own_latch_doubtful;	/* one has run since this was set to false */

/* dyn_captured.c: what the capture worker tells others */
extern DynDatabase *dyn_captured_database;	/* that this worker serves */

/* Be the worker of a database.  False when it has another one, or nobody shall be that for now. */
extern bool dyn_captured_attach(Oid dboid);

/* The slot that is decoded from now on, and up to where its changes are in the logs; NULL: none. */
extern void dyn_captured_slot(const DynSlot *slot, XLogRecPtr captured);

/* Write what was collected up to a position; also tell those who wait; at_end: no more WAL is flushed. */
extern void dyn_captured_write(XLogRecPtr upto);
extern void dyn_captured_publish(XLogRecPtr upto, bool at_end);
extern void dyn_captured_flush(void);	/* what was written is on disk */

/* A transaction of the worker that wrote something has ended. */
extern void dyn_captured_committed(void);

/* So many changes of a source are in its log, or were lost with it. */
extern void dyn_captured_count(Oid relid, int64 changes);

/* dyn_source.c */
extern List *dyn_source_relations(Oid relid, LOCKMODE lockmode);	/* itself and its partitions */

/*
 * Keep writers out of a source and its partitions until the transaction ends, with so long a
 * wait for all of them; what it locks from then on has to be there within the rest.  Raises
 * ERRCODE_LOCK_NOT_AVAILABLE.
 */
extern void dyn_source_lock(Oid relid, int budget_ms);
extern char dyn_identity_now(Oid relid);
extern void dyn_identity_give_back(Oid relid, char identity);	/* relation locked */
extern bool dyn_identity_require(Oid relid);	/* itself and partitions, locked; whether any was not FULL */

/* dyn_registrar.c */
extern void dyn_registrar_check_owner(Oid relid);
extern void dyn_registrar_request(Oid relid, List *columns);	/* and wait */
extern void dyn_registrar_start(void);	/* for all that is missing; unless one runs */

/* Below this size a consumed log is left alone: reading past it costs next to nothing. */
#define DYN_TRUNCATE_BYTES	(256 * 1024)

/* Beyond this size of one log table of a source its rows go into the other, if that is empty. */
#define DYN_SWITCH_BYTES	(1024 * 1024)

/* dyn_trim.c: housekeeping by the capture worker */
extern bool dyn_trim_touched(void);
extern bool dyn_trim_sources(void);
extern void dyn_trim_forget(Oid relid);
extern bool dyn_trim_logs(int64 generation, int64 *total);
extern List *dyn_sources_to_register(void);	/* of DynSource *, with the columns wanted */

/* dyn_wait.c */
extern XLogRecPtr dyn_wal_position(void);
extern void dyn_capture_report(DynDatabase *db, DynCaptureState state, const char *reason);
extern bool dyn_hold_exists(Oid source, int64 generation);	/* 0: of any */
extern void dyn_capture_move_horizon(uint64 lost);
extern void dyn_hold_sweep(void);

#endif							/* DYN_CAPTURE_INTERNAL_H */
