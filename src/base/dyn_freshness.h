/*
 * dyn_freshness.h
 *	  What is known of dynamic tables beyond their rows in the catalog: a data
 *	  timestamp that moved without a write, and when the next refresh is due.
 */
#ifndef DYN_FRESHNESS_H
#define DYN_FRESHNESS_H

#include <datatype/timestamp.h>
#include <storage/lwlock.h>

typedef struct DynFreshnessKey
{
	Oid			database;
	Oid			relid;
} DynFreshnessKey;

typedef struct DynFreshness
{
	DynFreshnessKey key;
	TimestampTz data_timestamp; /* DT_NOBEGIN: see the catalog */
	TimestampTz next_due;		/* DT_NOEND: not scheduled */

	/*
	 * settled: everything that capture had counted as `changes`, in slot
	 * generation `generation` and process `capture_pid` (one that fails may
	 * not have counted its last batch), was visible to the last refresh.  As
	 * long as none of them moves, the table stays true while time goes on.
	 */
	bool		settled;
	int64		generation;
	int			capture_pid;
	uint64		changes;
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

/* The later of a stored data timestamp and the one known here. */
extern TimestampTz dyn_freshness_data_timestamp(Oid relid, TimestampTz stored);

#endif							/* DYN_FRESHNESS_H */
