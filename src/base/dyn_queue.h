/*
 * dyn_queue.h
 *	  The shared memory of scheduling: who schedules which database, which
 *	  refresh workers there are and what they are asked to do.
 */
#ifndef DYN_QUEUE_H
#define DYN_QUEUE_H

#include <datatype/timestamp.h>
#include <storage/condition_variable.h>
#include <storage/latch.h>
#include <storage/lwlock.h>

/*
 * Tables of one run.  Each is refreshed in a subtransaction, and more than 64
 * of those make every backend's snapshots slow.
 */
#define DYN_TASK_TABLES 60

/* One run, as the scheduler asks for it. */
typedef struct DynTask
{
	int			ntables;
	Oid			tables[DYN_TASK_TABLES];
	TimestampTz dispatched;
	TimestampTz due;			/* since when it has waited for a worker */

	/*
	 * The worker's answer.  settled: all that capture had counted when the
	 * task was dispatched was visible to the run; of which slot generation
	 * and capture process (one that fails may not have counted its last
	 * batch) that holds.
	 */
	bool		settled;
	int64		generation;
	int			capture_pid;
} DynTask;

/*
 * FREE -> STARTING (registered with the postmaster, task given) -> BUSY ->
 * IDLE (waiting for the next task) -> BUSY ... -> FREE.  A worker that ends
 * in the middle of a task leaves LOST, which the scheduler turns into FREE.
 */
typedef enum DynWorkerState
{
	DYN_WORKER_FREE,
	DYN_WORKER_STARTING,
	DYN_WORKER_BUSY,
	DYN_WORKER_IDLE,
	DYN_WORKER_LOST,
} DynWorkerState;

/* A refresh worker, or room for one.  Everything is under the queue's lock. */
typedef struct DynWorker
{
	DynWorkerState state;
	uint32		generation;		/* moved when the slot is given away anew */
	Oid			database;
	Oid			owner;			/* of the extension: the worker's session user */
	char		warehouse[NAMEDATALEN];
	int			pid;
	Latch	   *latch;
	bool		quit;			/* to end as soon as it is idle */
	bool		finished;		/* task is done and the scheduler has not looked yet */
	TimestampTz idle_since;
	int			patience;		/* it ends when idle for so many milliseconds; 0: never */
	DynTask		task;
} DynWorker;

/* More tables than these: the scheduler reads all. */
#define DYN_MOVED_TABLES 64

/* The scheduler of one database. */
typedef struct DynScheduler
{
	Oid			database;		/* InvalidOid: free */
	int			pid;
	Latch	   *latch;
	bool		changed;		/* definitions are to be read again */
	int			nmoved;			/* only where these tables stand: they were refreshed by hand */
	Oid			moved[DYN_MOVED_TABLES];
	bool		waiting;		/* found no worker: wake it when one ends */
	bool		wanting;		/* as of its last tick the server had no worker for it */
	ConditionVariable progress; /* some table's data timestamp moved */
} DynScheduler;

typedef struct DynQueue
{
	LWLock		lock;
	int			nslots;			/* of workers and of schedulers */
	DynScheduler *schedulers;
	DynWorker  *workers;
} DynQueue;

extern DynQueue *dyn_queue;		/* NULL unless the library is preloaded */

/* For dyn_shmem: size, and set-up within the shared-memory start-up hook. */
extern Size dyn_queue_size(void);
extern void dyn_queue_init(void);

/* Become the scheduler of a database; false if there is one.  Undone at exit. */
extern bool dyn_queue_attach_scheduler(Oid database);

/* The scheduler of a database, or NULL; the caller holds the lock. */
extern DynScheduler *dyn_queue_scheduler(Oid database);

/* Have the refresh worker that is idle for longest, of whatever database, make room. */
extern void dyn_queue_make_room(void);

/* Wake those who wait for some table of this database to become fresher. */
extern void dyn_queue_announce_progress(void);

/* Definitions changed: have the scheduler of a database read them again. */
extern void dyn_schedule_wake(Oid database);

/* The same for this database when the current transaction commits. */
extern void dyn_schedule_wake_at_commit(void);

/* A table was refreshed by hand: have the scheduler look, at commit, where it stands. */
extern void dyn_schedule_moved(Oid relid);

#endif							/* DYN_QUEUE_H */
