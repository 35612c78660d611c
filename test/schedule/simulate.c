/*
 * simulate.c
 *	  The schedule with a clock of its own: days of refreshes in a moment.
 *
 * Linked with the very files that decide in the server (dyn_due.c, dyn_graph.c,
 * dyn_cron.c), and in no other way part of it.  What the scheduler does about
 * their decisions is played: runs take as long as the tables say, a table that
 * is told to fail fails, workers are counted.
 *
 * Reads sim_table, sim_edge, sim_warehouse and sim_event, writes sim_run; see
 * simulate.sql.
 */
#include <postgres.h>

#include <executor/spi.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "schedule/dyn_due.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(simulate);

#define MAX_FAILURES 5

/* A run under way. */
typedef struct Run
{
	Bitmapset  *tables;
	int			pool;
	TimestampTz ready;
	TimestampTz started;
	TimestampTz ends;
} Run;

typedef struct Event
{
	TimestampTz at;
	char	   *what;
	Oid			id;
} Event;

static DynGraph *graph;
static int64 *durations;		/* by index of the node */
static bool *failing;
static bool *by_user;			/* suspended by an event, not by failures */
static int *pool_limits;		/* 0: none */
static int	max_workers;
static bool down;
static TimestampTz clock_now;
static List *running;			/* of Run * */

static int64
int8_at(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static char *
text_at(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static void
query(const char *text)
{
	if (SPI_execute(text, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "simulation could not read its tables");
}

#define MICROSECONDS(column) "(extract(epoch FROM " column ") * 1000000)::int8"

static void
read_tables(TimestampTz begin)
{
	List	   *rows = NIL;
	List	   *edges = NIL;
	uint64		count;

	query("SELECT id::int8, " MICROSECONDS("lag") ", schedule, coalesce(warehouse, 'default'), initial, populated::int::int8, " MICROSECONDS("duration")
		  " FROM sim_table ORDER BY id");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		DynScheduleRow *row = palloc0(sizeof(DynScheduleRow));

		row->relid = (Oid) int8_at(i, 1);
		row->lag = int8_at(i, 2);
		row->schedule = text_at(i, 3);
		row->warehouse = text_at(i, 4);
		row->initial_warehouse = text_at(i, 5);
		row->populated = int8_at(i, 6) != 0;
		row->data_timestamp = row->populated ? begin : DT_NOBEGIN;
		row->retry_at = DT_NOBEGIN;
		row->duration = int8_at(i, 7);
		rows = lappend(rows, row);
	}
	query("SELECT reader::int8, source::int8 FROM sim_edge ORDER BY 1, 2");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		DynScheduleEdge *edge = palloc0(sizeof(DynScheduleEdge));

		edge->relid = (Oid) int8_at(i, 1);
		edge->source = (Oid) int8_at(i, 2);
		edge->dynamic = edge->pulls = true;
		edges = lappend(edges, edge);
	}
	graph = dyn_graph_build(rows, edges, CurrentMemoryContext);
	count = graph->nnodes + 1;
	durations = palloc0(sizeof(int64) * count);
	failing = palloc0(sizeof(bool) * count);
	by_user = palloc0(sizeof(bool) * count);
	pool_limits = palloc0(sizeof(int) * (graph->npools + 1));
	query("SELECT id::int8, " MICROSECONDS("duration") " FROM sim_table");
	for (uint64 i = 0; i < SPI_processed; i++)
		durations[dyn_graph_find(graph, (Oid) int8_at(i, 1)) - graph->nodes] = int8_at(i, 2);
	query("SELECT name, max_workers::int8 FROM sim_warehouse");
	for (uint64 i = 0; i < SPI_processed; i++)
		if (dyn_graph_pool(graph, text_at(i, 1)) >= 0)
			pool_limits[dyn_graph_pool(graph, text_at(i, 1))] = (int) int8_at(i, 2);
}

static List *
read_events(TimestampTz begin)
{
	List	   *events = NIL;

	query("SELECT " MICROSECONDS("at") ", what, coalesce(id, 0)::int8 FROM sim_event ORDER BY at");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Event	   *event = palloc(sizeof(Event));

		event->at = begin + int8_at(i, 1);
		event->what = text_at(i, 2);
		event->id = (Oid) int8_at(i, 3);
		events = lappend(events, event);
	}
	return events;
}

static void
record(const DynNode *node, const Run *run, const char *state, TimestampTz before)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID};
	Datum		values[6];

	if (plan == NULL)
	{
		plan = SPI_prepare("INSERT INTO sim_run VALUES ($1, $2, $3, $4, $5, $6 * interval '1 microsecond')", 6, types);
		SPI_keepplan(plan);
	}
	values[0] = Int64GetDatum(node->relid);
	values[1] = CStringGetTextDatum(state);
	values[2] = TimestampTzGetDatum(before);
	values[3] = TimestampTzGetDatum(run->started);
	values[4] = TimestampTzGetDatum(clock_now);
	values[5] = Int64GetDatum(run->started - run->ready);
	SPI_execute_plan(plan, values, before == DT_NOBEGIN ? "  n   " : NULL, false, 0);
}

/* With all that is downstream, as after failures. */
static void
suspend(int i)
{
	for (int j = 0; j < graph->nnodes; j++)
		if (bms_is_member(i, graph->nodes[j].closure))
			graph->nodes[j].suspended = true;
}

/* A table is resumed with those downstream that have no other suspended upstream. */
static void
resume(int i)
{
	by_user[i] = false;
	for (int j = 0; j < graph->nnodes; j++)
	{
		bool		other = false;

		if (!bms_is_member(i, graph->nodes[j].closure))
			continue;
		for (int k = -1; (k = bms_next_member(graph->nodes[j].closure, k)) >= 0;)
			other |= by_user[k];
		if (!other)
		{
			graph->nodes[j].suspended = false;
			graph->nodes[j].failures = 0;
			graph->nodes[j].retry_at = DT_NOBEGIN;
		}
	}
}

static void
end_run(Run *run)
{
	Bitmapset  *failed = NULL;

	for (int i = -1; (i = bms_next_member(run->tables, i)) >= 0;)
	{
		DynNode    *node = &graph->nodes[i];
		TimestampTz before = node->data_timestamp;
		bool		was_populated = node->populated;

		node->busy = false;
		node->last_run = run->started;
		if (bms_overlap(node->closure, failed))
			record(node, run, "UPSTREAM_FAILED", before);
		else if (failing[i])
		{
			failed = bms_add_member(failed, i);
			node->failures++;
			node->retry_at = clock_now + dyn_due_backoff(node->lag, node->failures);
			record(node, run, "FAILED", before);
			if (node->failures >= MAX_FAILURES)
				suspend(i);
		}
		else
		{
			node->populated = true;
			node->failures = 0;
			node->retry_at = DT_NOBEGIN;
			node->data_timestamp = run->started;
			if (was_populated)
				dyn_due_measured(node, clock_now - run->started);
			record(node, run, "SUCCEEDED", before);
		}
	}
	graph->pools[run->pool].working--;
}

static void
dispatch(List *runs)
{
	ListCell   *cell;

	foreach(cell, runs)
	{
		DynPlannedRun *planned = lfirst(cell);
		int			limit = pool_limits[planned->pool];
		MemoryContext caller;
		Run		   *run;

		if (list_length(running) >= max_workers)
			break;
		if (limit > 0 && graph->pools[planned->pool].working >= limit)
			continue;
		caller = MemoryContextSwitchTo(graph->context);
		run = palloc0(sizeof(Run));
		run->pool = planned->pool;
		run->ready = planned->ready;
		run->started = run->ends = clock_now;
		for (int i = 0; i < planned->nroots; i++)
			run->tables = bms_add_members(run->tables, graph->nodes[planned->roots[i]].closure);
		for (int i = -1; (i = bms_next_member(run->tables, i)) >= 0;)
		{
			run->ends += durations[i];
			graph->nodes[i].busy = true;
			graph->nodes[i].altered = false;
		}
		graph->pools[run->pool].working++;
		running = lappend(running, run);
		MemoryContextSwitchTo(caller);
	}
}

static void
happen(const Event *event)
{
	DynNode    *node = dyn_graph_find(graph, event->id);
	int			i = node ? node - graph->nodes : 0;

	if (strcmp(event->what, "down") == 0)
	{
		down = true;			/* runs under way are lost, and nobody is to blame */
		running = NIL;
		for (int j = 0; j < graph->nnodes; j++)
			graph->nodes[j].busy = false;
		for (int j = 0; j < graph->npools; j++)
			graph->pools[j].working = 0;
	}
	else if (strcmp(event->what, "up") == 0)
		down = false;
	else if (strcmp(event->what, "fail") == 0)
		failing[i] = true;
	else if (strcmp(event->what, "repair") == 0)
		failing[i] = false;
	else if (strcmp(event->what, "alter") == 0)
		node->altered = true;
	else if (strcmp(event->what, "suspend") == 0)
	{
		by_user[i] = true;
		suspend(i);
	}
	else if (strcmp(event->what, "resume") == 0)
		resume(i);
	else
		elog(ERROR, "unknown event %s", event->what);
}

/* simulate(begin timestamptz, length interval, max_workers int): play it. */
Datum
simulate(PG_FUNCTION_ARGS)
{
	TimestampTz begin = PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
															  TimestampTzGetDatum(begin),
															  PG_GETARG_DATUM(1)));
	MemoryContext tick;
	List	   *events;
	int			next_event = 0;

	SPI_connect();
	max_workers = PG_GETARG_INT32(2);
	running = NIL;
	down = false;
	clock_now = begin;
	read_tables(begin);
	events = read_events(begin);
	tick = AllocSetContextCreate(CurrentMemoryContext, "tick", ALLOCSET_DEFAULT_SIZES);
	while (clock_now < end)
	{
		TimestampTz wake = DT_NOEND;
		MemoryContext caller = MemoryContextSwitchTo(tick);
		ListCell   *cell;

		CHECK_FOR_INTERRUPTS();
		while (next_event < list_length(events) &&
			   ((Event *) list_nth(events, next_event))->at <= clock_now)
			happen(list_nth(events, next_event++));
		foreach(cell, running)
			if (((Run *) lfirst(cell))->ends <= clock_now)
			{
				end_run(lfirst(cell));
				running = foreach_delete_current(running, cell);
			}
		if (!down)
			dispatch(dyn_due_plan(graph, clock_now, &wake));
		foreach(cell, running)
			wake = Min(wake, ((Run *) lfirst(cell))->ends);
		if (next_event < list_length(events))
			wake = Min(wake, ((Event *) list_nth(events, next_event))->at);
		clock_now = Max(wake, clock_now + 1000);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(tick);
	}
	MemoryContextDelete(graph->context);
	SPI_finish();
	PG_RETURN_VOID();
}
