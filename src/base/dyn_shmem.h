/*
 * dyn_shmem.h
 *	  What dyntable's processes tell each other without a table.
 *
 * One DynDatabase for each database that has, or may have, the extension.
 * Its fields are protected by dyn_shmem->lock but for the atomics, which
 * anybody reads at any time and only the process named beside them writes.
 */
#ifndef DYN_SHMEM_H
#define DYN_SHMEM_H

#include <access/xlogdefs.h>
#include <datatype/timestamp.h>
#include <nodes/pg_list.h>
#include <port/atomics.h>
#include <storage/condition_variable.h>
#include <storage/latch.h>
#include <storage/lwlock.h>

#define DYN_REASON_LENGTH	512

/*
 * State of a database's capture worker.
 *
 *	OFF -> STARTING (registered) -> IDLE (nothing to capture, no slot)
 *	-> CREATING (slot is being made: waits for running transactions)
 *	-> RUNNING -> IDLE ...
 *
 * FAILED: it ended with an error (reason says which) and will be started
 * again.  UNABLE: the server is not set up for it (wal_level); it will not.
 */
typedef enum DynCaptureState
{
	DYN_CAPTURE_OFF,
	DYN_CAPTURE_STARTING,
	DYN_CAPTURE_IDLE,
	DYN_CAPTURE_CREATING,
	DYN_CAPTURE_RUNNING,
	DYN_CAPTURE_FAILED,
	DYN_CAPTURE_UNABLE,
} DynCaptureState;

typedef struct DynDatabase
{
	Oid			dboid;			/* InvalidOid: this entry is free */
	bool		confirmed;		/* has the extension; else a worker is to find out */
	bool		dropped;		/* worker found no extension: forget the entry */
	TimestampTz paused_until;	/* somebody copies or drops the database */

	/* capture */
	DynCaptureState state;
	int			capture_pid;	/* 0: none */
	Latch	   *capture_latch;
	Oid			extension;		/* that the capture worker serves */
	int64		generation;		/* of the slot; 0: none */
	RepOriginId origin;			/* of the same */
	bool		slot_wanted;	/* somebody asked for a slot */
	bool		slot_given_up;	/* the last one held back too much WAL */
	XLogRecPtr	confirmed_lsn;	/* up to here we have confirmed the slot; 0: not known */
	XLogRecPtr	failed_lsn;		/* the WAL record that could not be decoded ... */
	int			failures;		/* ... so often in a row */
	TimestampTz slot_overdue;	/* since when nobody does anything about that; 0: not so */
	bool		housekeeping;	/* somebody asked for trimming */
	/* what no log has (any more) may be lacked by snapshots with an xmin and an xmax up to these */
	uint64		lost;			/* the last transaction of which changes were cut */
	uint64		horizon;		/* the next transaction, when they were */
	char		slot_name[NAMEDATALEN];
	char		reason[DYN_REASON_LENGTH];	/* of FAILED, UNABLE, CREATING */
	char		last_error[DYN_REASON_LENGTH];	/* the last of FAILED or UNABLE */
	TimestampTz last_error_time;

	pg_atomic_uint64 captured_lsn;	/* by the capture worker */

	/*
	 * By the capture worker: a number of transactions that had ended on this
	 * server when all of them were in the log, and its own since.  A snapshot
	 * that is taken after reading this, and counts as many, sees no other.
	 */
	pg_atomic_uint64 complete;
	pg_atomic_uint64 changes;	/* by the capture worker: tracked changes logged so far */
	pg_atomic_uint64 registrations; /* by registrars, at their commit */
	pg_atomic_uint64 log_bytes; /* by the capture worker: size of all change logs */

	ConditionVariable progress; /* captured_lsn or state moved */
} DynDatabase;

/*
 * A transaction for whose sake the change log of a source is kept.  Lives as
 * long as that transaction, like the transaction it does not survive a crash;
 * it is void with the slot whose changes the log holds.
 */
typedef struct DynHold
{
	Oid			dboid;			/* InvalidOid: free */
	Oid			source;
	uint64		xid;
	int64		generation;		/* of the slot */
} DynHold;

/* A source to be put under capture, or all that are missing, with the answer. */
#define DYN_MAX_REQUESTS	16
#define DYN_REQUEST_COLUMNS 1600	/* MaxHeapAttributeNumber */

typedef struct DynRequest
{
	uint64		id;				/* 0: free; changes with every use */
	Oid			dboid;
	Oid			relid;			/* InvalidOid: all that are missing */
	int			requester;		/* process that asked */
	Oid			role;			/* on whose behalf */
	int			patience;		/* ms to try for */
	bool		done;
	int			sqlerrcode;		/* 0: registered */
	char		message[DYN_REASON_LENGTH];
	char		detail[DYN_REASON_LENGTH];
	char		hint[DYN_REASON_LENGTH];
	ConditionVariable answered;
	uint8		columns[DYN_REQUEST_COLUMNS / 8 + 1];
} DynRequest;

typedef struct DynShmem
{
	LWLock	   *lock;
	Latch	   *launcher_latch;
	int			launcher_pid;
	uint64		next_request;
	int			ndatabases;
	int			nholds;
	DynRequest	requests[DYN_MAX_REQUESTS];
	DynDatabase *databases;
	DynHold    *holds;
} DynShmem;

/* NULL when the library was not preloaded. */
extern DynShmem *dyn_shmem;

/* Hooks, called by _PG_init while shared_preload_libraries is processed. */
extern void dyn_shmem_install(void);

/* Raises an error that says what to put into postgresql.conf unless preloaded. */
extern void dyn_shmem_require(void);

/* The entry of a database or NULL; the caller holds the lock, or is a worker of that database. */
extern DynDatabase *dyn_shmem_database(Oid dboid);

/* Has somebody asked all of us to leave a database?  The caller holds the lock; or it is taken. */
#define dyn_database_paused(db) ((db)->paused_until > GetCurrentTimestamp())
extern bool dyn_shmem_paused(Oid dboid);

/* The same as dyn_shmem_database, made when missing; the caller holds the lock exclusively.  NULL when all are taken. */
extern DynDatabase *dyn_shmem_database_add(Oid dboid);

/* Have the launcher look after this database: at once, or when this transaction commits. */
extern void dyn_shmem_announce(Oid dboid);
extern void dyn_shmem_announce_at_commit(void);
extern void dyn_shmem_wake_launcher(void);

/* The registration counter of this database moves when the current transaction is visible, its locks still held. */
extern void dyn_shmem_count_registration_at_commit(void);

#endif							/* DYN_SHMEM_H */
