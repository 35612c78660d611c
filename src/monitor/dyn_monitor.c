/*
 * dyn_monitor.c
 *	  What the views of monitor.sql read from shared memory, and that of
 *	  restore.sql from the catalog.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/pg_type.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <nodes/nodes.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_queue.h"
#include "catalog/dyn_catalog.h"
#include "query/dyn_query.h"

PG_FUNCTION_INFO_V1(dyntable_freshness);
PG_FUNCTION_INFO_V1(dyntable_next_refresh);
PG_FUNCTION_INFO_V1(dyntable_changes);
PG_FUNCTION_INFO_V1(dyntable_workers);

/* freshness(relid, stored): the data timestamp, as far as it has come since it was stored. */
Datum
dyntable_freshness(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(dyn_freshness_data_timestamp(PG_GETARG_OID(0),
													   PG_GETARG_TIMESTAMPTZ(1)));
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
dyntable_changes(PG_FUNCTION_ARGS)
{
	Oid			source = PG_GETARG_OID(0);

	PG_RETURN_INT64((int64) dyn_changes_sum(&source, 1));
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

static Datum
task_tables(const DynTask *task)
{
	Datum		tables[DYN_TASK_TABLES];

	for (int i = 0; i < task->ntables; i++)
		tables[i] = ObjectIdGetDatum(task->tables[i]);
	return PointerGetDatum(construct_array(tables, task->ntables, OIDOID, sizeof(Oid), true,
										   TYPALIGN_INT));
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
		values[4] = busy ? task_tables(&worker->task) : (Datum) 0;
		nulls[0] = worker->pid == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(dyntable_query_text);
PG_FUNCTION_INFO_V1(dyntable_definitions);

Datum
dyntable_query_text(PG_FUNCTION_ARGS)
{
	DynTable   *table = dyn_table_get(PG_GETARG_OID(0), true);

	if (table == NULL || !dyn_tree_readable(table))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(dyn_query_text(castNode(Query, stringToNode(table->tree)))));
}

/* By pg_dump, whoever runs it. */
Datum
dyntable_definitions(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	dyn_definitions(GetUserId(), ((ReturnSetInfo *) fcinfo->resultinfo)->setResult);
	PG_RETURN_NULL();
}
