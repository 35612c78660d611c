/*
 * dyn_progress.h
 *	  What each backend that refreshes is doing, and which ones listen.
 */
#ifndef DYN_PROGRESS_H
#define DYN_PROGRESS_H

#include <datatype/timestamp.h>
#include <nodes/pg_list.h>

/* Tables of a run that are shown by name; a run of the whole database may have more. */
#define DYN_PROGRESS_TABLES 64

/* phase before there is one of DynPhase (refresh/dyn_phases.h) */
#define DYN_PROGRESS_LOCKS (-1)

/*
 * One backend's.  Only that backend writes: what makes up one state between two
 * steps of version, which is odd meanwhile; phase and the rows at any time.
 */
typedef struct DynProgress
{
	uint32		version;
	int			pid;			/* 0: no run is under way */
	Oid			database;
	int			trigger;		/* DynTrigger */
	TimestampTz due;			/* when the run was to start; 0: nobody planned it */
	TimestampTz run_started;
	volatile uint64 run;		/* its transaction; 0: none yet */
	int			ntables;
	int			current;		/* index of the table that is being refreshed; -1: none yet */
	TimestampTz started;		/* on that one */
	Oid			tables[DYN_PROGRESS_TABLES];	/* upstream first */

	volatile int phase;
	volatile int64 rows_done;	/* by the statement that runs */
	volatile int64 rows_expected;	/* as the planner thinks */

	Oid			listens;		/* the database whose notifications it hears; InvalidOid: none */
} DynProgress;

/* For dyn_shmem. */
extern Size dyn_progress_size(void);
extern void dyn_progress_init(void);

/* The current backend's while it runs, else NULL. */
extern DynProgress *dyn_progress;

extern void dyn_progress_begin(int trigger, TimestampTz due, const List *tables);
extern void dyn_progress_table(Oid relid);
extern void dyn_progress_end(void);

#define dyn_progress_phase(value) \
	do { if (dyn_progress) dyn_progress->phase = (value); } while (0)

/* A statement begins, of which so many rows are expected; one of them is there. */
#define dyn_progress_expect(rows) \
	do { if (dyn_progress) { dyn_progress->rows_done = 0; dyn_progress->rows_expected = (rows); } } while (0)
#define dyn_progress_row() \
	do { if (dyn_progress) dyn_progress->rows_done++; } while (0)

/* What runs in this database, as of one moment each: copies, in the caller's memory. */
extern List *dyn_progress_all(void);

/* This backend begins or ceases to listen; whether any of this database does. */
extern void dyn_progress_listen(bool listens);
extern bool dyn_progress_heard(void);

#endif							/* DYN_PROGRESS_H */
