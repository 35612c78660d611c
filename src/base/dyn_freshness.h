/*
 * dyn_freshness.h
 *	  What is known of dynamic tables beyond their rows in the catalog: a data
 *	  timestamp that moved without a write, when the next refresh is due, and
 *	  how often their sources changed.
 */
#ifndef DYN_FRESHNESS_H
#define DYN_FRESHNESS_H

#include <datatype/timestamp.h>
#include <storage/lwlock.h>

#include "base/dyn_lag.h"

typedef struct DynFreshnessKey
{
	Oid			database;
	Oid			relid;
} DynFreshnessKey;

/* Refreshes that found nothing and wrote nothing, behind those that a row of history tells of. */
typedef struct DynRepeats
{
	int64		id;				/* of the row; 0: there are none */
	int			stored;			/* the row's repeats: once it has others, these were written, or are void */
	int			count;
	TimestampTz started;		/* of the last one */
	TimestampTz ended;
	TimestampTz data_timestamp;
	double		cpu_ms;			/* of all together */
	int64		blocks_hit;
	int64		blocks_read;
	DynLag		lag;			/* up to the end of the last; base 0: not known */
} DynRepeats;

typedef struct DynFreshness
{
	DynFreshnessKey key;
	TimestampTz data_timestamp; /* DT_NOBEGIN: see the catalog */
	TimestampTz redefined;		/* what was known before this is about another definition */
	TimestampTz next_due;		/* DT_NOEND: not scheduled */
	DynLag		lag;			/* since the last refresh */
	DynLag		before;			/* as it was before that one, should it be rolled back */
	DynRepeats	repeats;
} DynFreshness;

/* For dyn_shmem. */
extern Size dyn_freshness_size(void);
extern void dyn_freshness_init(void);

/* Entries are used under this lock only; NULL when there is none (or, for enter, no room). */
extern void dyn_freshness_lock(LWLockMode mode);
extern void dyn_freshness_unlock(void);
extern DynFreshness *dyn_freshness_find(Oid relid);
extern DynFreshness *dyn_freshness_enter(Oid relid);

/* Forget the tables of this database for which keep is false; keep NULL: all of them. */
extern void dyn_freshness_forget(bool (*keep) (Oid relid, void *arg), void *arg);

/*
 * How many changes capture has logged of each source since the server started.
 * Sums only grow: while one stays as it is, none of its sources changed.
 */
extern void dyn_changes_add(Oid source, uint64 changes);
extern uint64 dyn_changes_sum(const Oid *sources, int nsources);

/* A source that nobody reads any more; a database with which nobody is concerned any more. */
extern void dyn_changes_forget(Oid source);
extern void dyn_freshness_forget_database(Oid database);

/*
 * The lag of a table that stood at a stored data timestamp, up to now; false when
 * the refresh that brought it there is not known.  target: microseconds, 0: none
 */
extern bool dyn_freshness_lag(Oid relid, TimestampTz stored, TimestampTz now, int64 target,
							  DynLag *lag);

/* A refresh is about to commit: from now on the lag counts from it. */
extern void dyn_freshness_refreshed(Oid relid, TimestampTz stored, TimestampTz data_timestamp,
									TimestampTz ended);

/*
 * One more (one->count refreshes) behind a row of history: the data timestamp
 * moves with it.  stored: the table's in the catalog; target as above.  False,
 * and nothing done, where there is no room or the table was redefined since.
 */
extern bool dyn_repeats_add(Oid relid, const DynRepeats *one, TimestampTz stored, int64 target);

/* Whether there are any; those behind this row with so many repeats. */
extern bool dyn_repeats_any(Oid relid);
extern bool dyn_repeats_get(Oid relid, int64 id, int stored, DynRepeats *repeats);

/*
 * Under the lock: a data timestamp moves now, without a refresh that writes, by
 * what was known at the moment known.  False, and nothing done, where the table
 * was redefined since.
 */
extern bool dyn_freshness_advance(DynFreshness *entry, TimestampTz known, TimestampTz from, TimestampTz to, TimestampTz now, int64 target);

/*
 * This transaction refreshed a table under another definition: once it commits,
 * how far the one before has come says nothing.  Where a savepoint took the refresh
 * back the table looks older than it is, until its next one.
 */
extern void dyn_freshness_redefined(Oid relid);

/* The later of a stored data timestamp and the one known here. */
extern TimestampTz dyn_freshness_data_timestamp(Oid relid, TimestampTz stored);

#endif							/* DYN_FRESHNESS_H */
