/*
 * dyn_history.c
 *	  dyntable.history: one row for each refresh that did something.
 *
 * Refreshes in a row that found nothing share one row, whose repeats, ended,
 * phases and data_timestamp move, and whose cost and lag add up: a thousand idle
 * tables must not fill a disk with the news that nothing happened.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

/* Parameters of both statements, from 1 on. */
enum
{
	RELID, STATE, ACTION, TRIGGER, CODE, MESSAGE, DATA_TIMESTAMP, STARTED, ENDED,
	INSERTED, UPDATED, DELETED, REASON, PHASES, COMPLETION_TARGET, TARGET_LAG, WAREHOUSE, QUEUED,
	INPUTS, LAST_INPUT, CPU, WAL, HIT, READ, DIRTIED, LAG_SINCE, LAG_SUM, LAG_MAX, LAG_ABOVE, LAG_STEPS,
	NVALUES
};

#define TYPES \
	{OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, \
	INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INTERVALOID, TEXTOID, FLOAT8OID, \
	TEXTOID, OIDOID, FLOAT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, FLOAT8OID, FLOAT8OID, \
	FLOAT8OID, INT4OID}

static void
to_values(const DynHistory *entry, Datum *values, char *nulls)
{
	const DynLag *lag = &entry->lag;

	memset(nulls, ' ', NVALUES);
	values[RELID] = ObjectIdGetDatum(entry->relid);
	values[STATE] = dyn_text_value(entry->state, &nulls[STATE]);
	values[ACTION] = dyn_text_value(entry->action, &nulls[ACTION]);
	values[TRIGGER] = dyn_text_value(entry->trigger, &nulls[TRIGGER]);
	values[CODE] = dyn_text_value(entry->code, &nulls[CODE]);
	values[MESSAGE] = dyn_text_value(entry->message, &nulls[MESSAGE]);
	values[DATA_TIMESTAMP] = dyn_timestamp_value(entry->data_timestamp, &nulls[DATA_TIMESTAMP]);
	values[STARTED] = TimestampTzGetDatum(entry->started);
	values[ENDED] = TimestampTzGetDatum(entry->ended);
	values[INSERTED] = Int64GetDatum(entry->rows_inserted);
	values[UPDATED] = Int64GetDatum(entry->rows_updated);
	values[DELETED] = Int64GetDatum(entry->rows_deleted);
	values[REASON] = dyn_text_value(entry->reason, &nulls[REASON]);
	values[PHASES] = dyn_text_value(entry->phases, &nulls[PHASES]);
	values[COMPLETION_TARGET] = dyn_timestamp_value(entry->completion_target, &nulls[COMPLETION_TARGET]);
	values[TARGET_LAG] = PointerGetDatum(entry->target_lag);
	if (entry->target_lag == NULL)
		nulls[TARGET_LAG] = 'n';
	values[WAREHOUSE] = dyn_text_value(entry->warehouse, &nulls[WAREHOUSE]);
	values[QUEUED] = dyn_float8_value(entry->queued_ms, &nulls[QUEUED]);
	values[INPUTS] = dyn_text_value(entry->inputs, &nulls[INPUTS]);
	values[LAST_INPUT] = ObjectIdGetDatum(entry->last_input);
	if (!OidIsValid(entry->last_input))
		nulls[LAST_INPUT] = 'n';
	values[CPU] = Float8GetDatum(entry->cpu_ms);
	values[WAL] = Int64GetDatum(entry->wal_bytes);
	values[HIT] = Int64GetDatum(entry->blocks_hit);
	values[READ] = Int64GetDatum(entry->blocks_read);
	values[DIRTIED] = Int64GetDatum(entry->blocks_dirtied);
	if (!entry->measured)
		memset(&nulls[CPU], 'n', DIRTIED - CPU + 1);
	values[LAG_SINCE] = TimestampTzGetDatum(lag->since);
	values[LAG_SUM] = Float8GetDatum(lag->sum);
	values[LAG_MAX] = Float8GetDatum(lag->most);
	values[LAG_ABOVE] = dyn_float8_value(lag->above, &nulls[LAG_ABOVE]);
	values[LAG_STEPS] = Int32GetDatum(lag->steps);
	if (lag->base == 0)
		memset(&nulls[LAG_SINCE], 'n', LAG_STEPS - LAG_SINCE + 1);
}

/* Onto the last row of the table, if that one, too, says that nothing was found. */
static bool
history_repeat(Datum *values, const char *nulls)
{
	static DynStatement update = {
		"UPDATE dyntable.history SET repeats = repeats + 1, ended = $9, data_timestamp = $7,"
		" phases = $14::jsonb, cpu_ms = cpu_ms + $21, wal_bytes = wal_bytes + $22,"
		" blocks_hit = blocks_hit + $23, blocks_read = blocks_read + $24, blocks_dirtied = blocks_dirtied + $25,"
		" lag_since = coalesce(lag_since, $26), lag_sum = coalesce(lag_sum, 0) + $27,"
		" lag_max = greatest(lag_max, $28), lag_above = CASE WHEN lag_since IS NULL THEN $29 ELSE lag_above + $29 END,"
		" lag_steps = coalesce(lag_steps, 0) + $30"
		" WHERE id = (SELECT max(id) FROM dyntable.history WHERE relid = $1)"
		" AND action = 'NO_DATA' AND state = 'SUCCEEDED' AND trigger = $4",
		NVALUES, TYPES
	};

	return dyn_spi_run(&update, values, nulls) > 0;
}

void
dyn_history_insert(const DynHistory *entry)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.history (relid, state, action, trigger, code, message,"
		" data_timestamp, started, ended, rows_inserted, rows_updated, rows_deleted, reason,"
		" phases, completion_target, target_lag, warehouse, queued_ms, inputs, last_input,"
		" cpu_ms, wal_bytes, blocks_hit, blocks_read, blocks_dirtied,"
		" lag_since, lag_sum, lag_max, lag_above, lag_steps)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::jsonb, $15, $16, $17, $18,"
		" $19::jsonb, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)",
		NVALUES, TYPES
	};
	Datum		values[NVALUES];
	char		nulls[NVALUES];

	to_values(entry, values, nulls);
	if (entry->action && strcmp(entry->action, "NO_DATA") == 0 &&
		strcmp(entry->state, "SUCCEEDED") == 0 && history_repeat(values, nulls))
		return;
	dyn_spi_run(&insert, values, nulls);
}

TimestampTz
dyn_history_last_end(Oid relid)
{
	static DynStatement select = {
		"SELECT ended FROM dyntable.history WHERE relid = $1 AND state = 'SUCCEEDED' ORDER BY id DESC LIMIT 1",
		1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	DynCall		call;
	TimestampTz ended = DT_NOBEGIN;

	dyn_spi_begin(&call, &select, values, NULL);
	if (call.nrows > 0)
		ended = dyn_spi_timestamp(0, 1);
	dyn_spi_end(&call);
	return ended;
}
