/*
 * dyn_monitor.c
 *	  What the views of monitor.sql read from shared memory, and that of
 *	  restore.sql from the catalog.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/xact.h>
#include <catalog/pg_type.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <nodes/nodes.h>
#include <storage/lmgr.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/fmgrprotos.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>
#include <utils/xid8.h>

#include "base/dyn_freshness.h"
#include "base/dyn_progress.h"
#include "base/dyn_queue.h"
#include "base/dyn_settings.h"
#include "base/dyn_shmem.h"
#include "catalog/dyn_catalog.h"
#include "query/dyn_query.h"
#include "refresh/dyn_phases.h"
#include "refresh/dyn_refresh.h"

PG_FUNCTION_INFO_V1(dyntable_freshness);
PG_FUNCTION_INFO_V1(dyntable_counted);
PG_FUNCTION_INFO_V1(dyntable_next_refresh);
PG_FUNCTION_INFO_V1(dyntable_changes_counted);
PG_FUNCTION_INFO_V1(dyntable_size);
PG_FUNCTION_INFO_V1(dyntable_workers);

/* freshness(relid, stored): the data timestamp, as far as it has come since it was stored. */
Datum
dyntable_freshness(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(dyn_freshness_data_timestamp(PG_GETARG_OID(0),
													   PG_GETARG_TIMESTAMPTZ(1)));
}

/*
 * counted(relid, id, repeats): what refreshes that wrote nothing add to a row of
 * history; no row (the function is strict) where there are none.
 */
Datum
dyntable_counted(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	DynRepeats	counted;
	Datum		values[12];
	bool		nulls[12] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (!dyn_repeats_get(PG_GETARG_OID(0), PG_GETARG_INT64(1), PG_GETARG_INT32(2), &counted))
		PG_RETURN_NULL();
	values[0] = TimestampTzGetDatum(counted.started);
	values[1] = TimestampTzGetDatum(counted.ended);
	values[2] = TimestampTzGetDatum(counted.data_timestamp);
	values[3] = Int32GetDatum(counted.count);
	values[4] = Float8GetDatum(counted.cpu_ms);
	values[5] = Int64GetDatum(counted.blocks_hit);
	values[6] = Int64GetDatum(counted.blocks_read);
	values[7] = TimestampTzGetDatum(counted.lag.since);
	values[8] = Float8GetDatum(counted.lag.sum);
	values[9] = Float8GetDatum(counted.lag.most);
	values[10] = Float8GetDatum(counted.lag.above);
	nulls[10] = counted.lag.above < 0;
	values[11] = Int32GetDatum(counted.lag.steps);
	if (counted.lag.base == 0)
		memset(&nulls[7], true, 5);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	PG_RETURN_NULL();
}

/* next_refresh(relid): null when none is planned; a table that is due shows now(). */
Datum
dyntable_next_refresh(PG_FUNCTION_ARGS)
{
	TimestampTz due = DT_NOEND;
	DynFreshness *entry;

	dyn_freshness_lock(LW_SHARED);
	entry = dyn_freshness_find(PG_GETARG_OID(0));
	if (entry != NULL)
		due = entry->next_due;
	dyn_freshness_unlock();
	if (TIMESTAMP_IS_NOEND(due))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(Max(due, GetCurrentTransactionStartTimestamp()));
}

/* changes(source) */
Datum
dyntable_changes_counted(PG_FUNCTION_ARGS)
{
	Oid			source = PG_GETARG_OID(0);

	PG_RETURN_INT64((int64) dyn_changes_sum(&source, 1));
}

/*
 * size(relid): as pg_total_relation_size, but NULL where that would have to wait:
 * who looks why an alter takes so long is not to be kept waiting by it.
 */
Datum
dyntable_size(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Datum		size;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		PG_RETURN_NULL();
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
	{
		UnlockRelationOid(relid, AccessShareLock);
		PG_RETURN_NULL();
	}
	size = DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(relid));
	UnlockRelationOid(relid, AccessShareLock);
	PG_RETURN_DATUM(size);
}

PG_FUNCTION_INFO_V1(dyntable_lag_now);
PG_FUNCTION_INFO_V1(dyntable_capture_problem);
PG_FUNCTION_INFO_V1(dyntable_running);

/* lag_now(relid, stored, ended, target): the age of the data since the last refresh, up to now. */
Datum
dyntable_lag_now(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	TimestampTz stored = PG_GETARG_TIMESTAMPTZ(1);
	Interval   *target = PG_ARGISNULL(3) ? NULL : PG_GETARG_INTERVAL_P(3);
	int64		microseconds = target ? target->time + target->day * USECS_PER_DAY : 0;
	TimestampTz now = GetCurrentTimestamp();
	TupleDesc	desc;
	DynLag		lag;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (!dyn_freshness_lag(relid, stored, now, microseconds, &lag))
	{
		lag = dyn_lag_begin(stored, PG_GETARG_TIMESTAMPTZ(2));
		dyn_lag_pass(&lag, now, stored, microseconds);
	}
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = TimestampTzGetDatum(lag.since);
	values[1] = TimestampTzGetDatum(now);
	values[2] = Float8GetDatum(lag.sum);
	values[3] = Float8GetDatum(lag.most);
	values[4] = Float8GetDatum(lag.above);
	nulls[4] = lag.above < 0;
	values[5] = Int32GetDatum(lag.steps);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* capture_problem(): why no changes are being captured; null where they are. */
Datum
dyntable_capture_problem(PG_FUNCTION_ARGS)
{
	char	   *problem = "the library is not in shared_preload_libraries";
	DynDatabase *db;

	if (dyn_shmem == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(problem));
	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	if (db != NULL && db->state == DYN_CAPTURE_RUNNING)
		problem = NULL;
	else if (!dyn_capture_enabled)
		problem = "dyntable.capture is off";
	else if (db != NULL && db->reason[0] != '\0')
		problem = pstrdup(db->reason);
	else if (db != NULL && db->state == DYN_CAPTURE_CREATING)
		problem = "its replication slot waits for the transactions that are running";
	else
		problem = "it is starting";
	LWLockRelease(dyn_shmem->lock);
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

static Datum
oid_array(const Oid *oids, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * (count + 1));

	for (int i = 0; i < count; i++)
		elements[i] = ObjectIdGetDatum(oids[i]);
	return PointerGetDatum(construct_array(elements, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

/* running(): a row for each backend that refreshes. */
Datum
dyntable_running(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, dyn_progress_all())
	{
		DynProgress *place = lfirst(lc);
		bool		begun = place->current >= 0;
		Datum		values[12];
		bool		nulls[12] = {false};

		values[0] = Int32GetDatum(place->pid);
		values[1] = CStringGetTextDatum(dyn_trigger_name(place->trigger));
		values[2] = TimestampTzGetDatum(place->due);
		nulls[2] = place->due == 0;
		values[3] = TimestampTzGetDatum(place->run_started);
		values[4] = oid_array(place->tables, place->ntables);
		values[5] = Int32GetDatum(place->current + 1);
		values[6] = begun ? ObjectIdGetDatum(place->tables[place->current]) : (Datum) 0;
		values[7] = TimestampTzGetDatum(place->started);
		nulls[6] = nulls[7] = !begun;
		values[8] = CStringGetTextDatum(place->phase == DYN_PROGRESS_LOCKS ? "wait_for_locks" :
										dyn_phase_name(place->phase));
		values[9] = Int64GetDatum(place->rows_done);
		values[10] = Int64GetDatum(place->rows_expected);
		nulls[9] = nulls[10] = !begun;
		values[11] = FullTransactionIdGetDatum(FullTransactionIdFromU64(place->run));
		nulls[11] = place->run == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static const char *
state_name(DynWorkerState state)
{
	switch (state)
	{
		case DYN_WORKER_STARTING:
			return "starting";
		case DYN_WORKER_BUSY:
			return "busy";
		case DYN_WORKER_IDLE:
			return "idle";
		case DYN_WORKER_LOST:
			return "lost";
		case DYN_WORKER_FREE:
			break;
	}
	return "free";
}

/* workers(): the refresh workers of this database. */
Datum
dyntable_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DynWorker  *workers;
	int			nworkers = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (dyn_queue == NULL)
		return (Datum) 0;

	workers = palloc(sizeof(DynWorker) * dyn_queue->nslots);
	LWLockAcquire(&dyn_queue->lock, LW_SHARED);
	for (int i = 0; i < dyn_queue->nslots; i++)
		if (dyn_queue->workers[i].state != DYN_WORKER_FREE &&
			dyn_queue->workers[i].database == MyDatabaseId)
			workers[nworkers++] = dyn_queue->workers[i];
	LWLockRelease(&dyn_queue->lock);

	for (int i = 0; i < nworkers; i++)
	{
		DynWorker  *worker = &workers[i];
		bool		busy = worker->state == DYN_WORKER_BUSY || worker->state == DYN_WORKER_STARTING;
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = Int32GetDatum(worker->pid);
		values[1] = CStringGetTextDatum(worker->warehouse);
		values[2] = CStringGetTextDatum(state_name(worker->state));
		values[3] = TimestampTzGetDatum(busy ? worker->task.dispatched : worker->idle_since);
		nulls[4] = !busy;
		values[4] = busy ? oid_array(worker->task.tables, worker->task.ntables) : (Datum) 0;
		nulls[0] = worker->pid == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(dyntable_query_text);
PG_FUNCTION_INFO_V1(dyntable_definitions);
PG_FUNCTION_INFO_V1(dyntable_dumped_warehouses);
PG_FUNCTION_INFO_V1(dyntable_dumped_tracked);

Datum
dyntable_query_text(PG_FUNCTION_ARGS)
{
	DynTable   *table = dyn_table_get(PG_GETARG_OID(0), true);

	if (table == NULL || !dyn_tree_readable(table))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(dyn_query_text(castNode(Query, stringToNode(table->tree)))));
}

/* By pg_dump, whoever runs it. */
static Datum
dump(FunctionCallInfo fcinfo, void (*rows_of) (Oid role, Tuplestorestate *rows))
{
	InitMaterializedSRF(fcinfo, 0);
	rows_of(GetUserId(), ((ReturnSetInfo *) fcinfo->resultinfo)->setResult);
	PG_RETURN_NULL();
}

Datum
dyntable_definitions(PG_FUNCTION_ARGS)
{
	return dump(fcinfo, dyn_definitions);
}

Datum
dyntable_dumped_warehouses(PG_FUNCTION_ARGS)
{
	return dump(fcinfo, dyn_dumped_warehouses);
}

Datum
dyntable_dumped_tracked(PG_FUNCTION_ARGS)
{
	return dump(fcinfo, dyn_dumped_tracked);
}
