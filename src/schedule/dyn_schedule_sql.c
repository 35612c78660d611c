/*
 * dyn_schedule_sql.c
 *	  What SQL calls of the scheduler: the trigger that wakes it, and waiting
 *	  for a table to become as fresh as is needed.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/pg_class.h>
#include <commands/trigger.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <storage/latch.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_queue.h"
#include "base/dyn_shmem.h"
#include "catalog/dyn_catalog.h"

/* A manual refresh tells nobody, so look at least this often (ms). */
#define WAIT_INTERVAL 200

/* So long we wait for a scheduler that is still to be started, as after CREATE EXTENSION (ms). */
#define SCHEDULER_START 10000

PG_FUNCTION_INFO_V1(dyntable_schedule_changed);
PG_FUNCTION_INFO_V1(dyntable_wait);

/*
 * On dyntable's own tables: whoever changes a definition, by whatever way,
 * has the scheduler read it again.
 */
Datum
dyntable_schedule_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager",
						"schedule_changed")));
	dyn_schedule_wake_at_commit();
	return PointerGetDatum(NULL);
}

/* Refuse to wait for what will not come. */
static void
check_will_be_refreshed(Oid relid)
{
	DynTable   *table = dyn_table_get(relid, false);

	if (table->suspended)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("dynamic table \"%s\" is suspended", get_rel_name(relid)),
				 errdetail("Its data will not become newer before it is resumed."),
				 errhint("Use dyntable_resume or dyntable_refresh.")));
}

/* What the scheduler of this database broadcasts on. */
static ConditionVariable *
scheduler_progress(void)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), SCHEDULER_START);

	for (;;)
	{
		DynScheduler *scheduler;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(&dyn_queue->lock, LW_SHARED);
		scheduler = dyn_queue_scheduler(MyDatabaseId);
		LWLockRelease(&dyn_queue->lock);
		if (scheduler != NULL)
			return &scheduler->progress;
		if (GetCurrentTimestamp() >= deadline)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no scheduler is running in this database"),
					 errhint("See the server log for why it could not be started.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 WAIT_INTERVAL / 4, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* dyntable_wait(name regclass, since timestamptz) */
Datum
dyntable_wait(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	TimestampTz since = PG_GETARG_TIMESTAMPTZ(1);
	ConditionVariable *progress;
	AclResult	aclresult;

	dyn_shmem_require();
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot wait for a dynamic table in this isolation level"),
				 errdetail("The transaction's snapshot would not see the refresh that is waited for."),
				 errhint("Use READ COMMITTED.")));
	if (TIMESTAMP_IS_NOEND(since))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot wait for data as of \"infinity\"")));
	(void) dyn_table_get(relid, false);
	aclresult = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_TABLE, get_rel_name(relid));

	progress = scheduler_progress();
	ConditionVariablePrepareToSleep(progress);
	while (dyn_freshness_data_timestamp(relid, dyn_position_data_timestamp(relid)) < since)
	{
		check_will_be_refreshed(relid);
		(void) ConditionVariableTimedSleep(progress, WAIT_INTERVAL, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	PG_RETURN_VOID();
}
