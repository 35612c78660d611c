/*
 * dyn_readers.c
 *	  The lock that readers of a dynamic table feel.
 *
 * Nothing that takes long is done under it.  First it is asked for without
 * being in anybody's way; but where readers come one after the other no moment
 * is free that is not asked for, so then it is waited for, with readers queueing
 * behind for a moment.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <storage/lmgr.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>

#include "refresh/dyn_execute.h"
#include "refresh/dyn_refresh.h"

#define ATTEMPTS			20
#define PAUSE_US			10000L

/* How long readers may queue. */
#define LOCK_TIMEOUT		"100ms"

/* Shorter, so that autovacuum gives way. */
#define DEADLOCK_TIMEOUT	"20ms"

/* What is not urgent makes readers queue no more often in one process. */
#define QUEUE_AGAIN_MS		60000

/* Raises ERRCODE_LOCK_NOT_AVAILABLE. */
static void
queue_for_lock(void *arg)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("deadlock_timeout", DEADLOCK_TIMEOUT, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	LockRelationOid(*(Oid *) arg, AccessExclusiveLock);
	AtEOXact_GUC(false, level);
}

void
dyn_lock_against_readers(Oid relid, const char *why)
{
	for (int i = 0; i < ATTEMPTS; i++)
	{
		if (ConditionalLockRelationOid(relid, AccessExclusiveLock))
			return;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(PAUSE_US);
	}
	PG_TRY();
	{
		queue_for_lock(&relid);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				errmsg("could not obtain lock on dynamic table \"%s\"", get_rel_name(relid)),
				errdetail_internal("%s", why),
				errhint("Try again when nobody reads it for a moment."));
	}
	PG_END_TRY();
}

bool
dyn_lock_if_unread(Oid relid)
{
	static TimestampTz not_before = 0;
	TimestampTz now = GetCurrentTimestamp();
	ErrorData  *error;

	if (ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return true;
	if (now < not_before)
		return false;
	not_before = TimestampTzPlusMilliseconds(now, QUEUE_AGAIN_MS);
	error = dyn_try(queue_for_lock, &relid, true);
	if (error != NULL && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	return error == NULL;
}
