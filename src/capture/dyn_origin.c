/*
 * dyn_origin.c
 *	  What a refresh writes need not be decoded.
 *
 * Nothing that a refresh writes is captured: downstream tables read its own
 * log.  Without a word it would still be queued by the decoder, spilled to disk when
 * it is much, and read again at the commit, while everybody waits for capture:
 * a first fill of ten million rows costs it half a minute.  So those records
 * carry the replication origin of capture, by which the plugin leaves out
 * what the worker writes too (filter_by_origin_cb) before anything is queued.
 *
 * Only single records carry it, never a commit: the origin's progress is the
 * worker's.  That is why the mark must be gone when the statement has ended,
 * in whatever way.  A trigger or function that writes other tables within the
 * statement must be decoded: the caller marks no statement that fires
 * triggers, and whoever starts a statement of its own ends the mark.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <replication/origin.h>
#include <storage/ipc.h>

#include "capture/dyn_capture_internal.h"

static bool marking = false;

static void
unmark_at_exit(int code, Datum arg)
{
	dyn_origin_unmark();
}

void
dyn_origin_mark(void)
{
	static bool registered = false;
	RepOriginId origin = InvalidRepOriginId;
	DynDatabase *db;

	/* an apply worker has one of its own */
	if (dyn_shmem == NULL || replorigin_session_origin != InvalidRepOriginId)
		return;
	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	if (db && db->generation != 0)
		origin = db->origin;
	LWLockRelease(dyn_shmem->lock);
	if (origin == InvalidRepOriginId)
		return;

	/* a terminated process aborts its transaction without unwinding */
	if (!registered)
		before_shmem_exit(unmark_at_exit, (Datum) 0);
	registered = true;
	replorigin_session_origin = origin;
	marking = true;
}

void
dyn_origin_unmark(void)
{
	if (marking)
		replorigin_session_origin = InvalidRepOriginId;
	marking = false;
}
