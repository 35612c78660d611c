/*
 * dyn_history.c
 *	  dyntable.history: one row for each refresh that did something.
 *
 * Refreshes in a row that found nothing share one row, whose repeats, ended,
 * phases and data_timestamp move: a thousand idle tables must not fill a disk with
 * the news that nothing happened.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

static bool
history_repeat(const DynHistory *entry)
{
	static DynStatement update = {
		"UPDATE dyntable.history SET repeats = repeats + 1, ended = $3, data_timestamp = $4,"
		" phases = $5::jsonb"
		" WHERE id = (SELECT max(id) FROM dyntable.history WHERE relid = $1)"
		" AND action = 'NO_DATA' AND state = 'SUCCEEDED' AND trigger = $2",
		5, {OIDOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID}
	};
	Datum		values[5];
	char		nulls[5];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = ObjectIdGetDatum(entry->relid);
	values[1] = CStringGetTextDatum(entry->trigger);
	values[2] = TimestampTzGetDatum(entry->ended);
	values[3] = dyn_timestamp_value(entry->data_timestamp, &nulls[3]);
	values[4] = dyn_text_value(entry->phases, &nulls[4]);
	return dyn_spi_run(&update, values, nulls) > 0;
}

void
dyn_history_insert(const DynHistory *entry)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.history (relid, state, action, trigger, code, message,"
		" data_timestamp, started, ended, rows_inserted, rows_updated, rows_deleted, reason,"
		" phases, completion_target)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::jsonb,"
		" (SELECT dyntable.freshness($1, h.data_timestamp) + t.target_lag FROM dyntable.history h"
		" JOIN dyntable.dynamic_table t ON t.relid = h.relid"
		" WHERE h.relid = $1 AND h.state = 'SUCCEEDED' ORDER BY h.id DESC LIMIT 1))",
		14, {OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID}
	};
	Datum		values[14];
	char		nulls[14];

	if (entry->action && strcmp(entry->action, "NO_DATA") == 0 &&
		strcmp(entry->state, "SUCCEEDED") == 0 && history_repeat(entry))
		return;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = ObjectIdGetDatum(entry->relid);
	values[1] = dyn_text_value(entry->state, &nulls[1]);
	values[2] = dyn_text_value(entry->action, &nulls[2]);
	values[3] = dyn_text_value(entry->trigger, &nulls[3]);
	values[4] = dyn_text_value(entry->code, &nulls[4]);
	values[5] = dyn_text_value(entry->message, &nulls[5]);
	values[6] = dyn_timestamp_value(entry->data_timestamp, &nulls[6]);
	values[7] = TimestampTzGetDatum(entry->started);
	values[8] = TimestampTzGetDatum(entry->ended);
	values[9] = Int64GetDatum(entry->rows_inserted);
	values[10] = Int64GetDatum(entry->rows_updated);
	values[11] = Int64GetDatum(entry->rows_deleted);
	values[12] = dyn_text_value(entry->reason, &nulls[12]);
	values[13] = dyn_text_value(entry->phases, &nulls[13]);
	dyn_spi_run(&insert, values, nulls);
}
