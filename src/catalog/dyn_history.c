/*
 * dyn_history.c
 *	  dyntable.history: one row for each refresh that did something.
 *
 * Refreshes in a row that found nothing share one row, which tells of the last of
 * them, but their cost and lag add up: a thousand idle tables must not fill a disk
 * with the news that nothing happened.  Those that wrote nothing either are
 * counted in shared memory (base/dyn_freshness.h), and reach the row with the next
 * that is written.
 */
#include <postgres.h>

#include <access/xact.h>
#include <commands/sequence.h>
#include <utils/builtins.h>
#include <utils/fmgrprotos.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>
#include <utils/xid8.h>

#include "base/dyn_freshness.h"
#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

/* The columns; first those that move where nothing was found again. */
enum
{
	STARTED, ENDED, DATA_TIMESTAMP, PHASES, CPU, WAL, HIT, READ, DIRTIED, LAG_SINCE, LAG_SUM, LAG_MAX, LAG_ABOVE, LAG_STEPS,
	REPEATS, NMOVING,
	RELID = NMOVING, STATE, ACTION, TRIGGER, CODE, MESSAGE, INSERTED, UPDATED, DELETED, REASON,
	COMPLETION_TARGET, TARGET_LAG, WAREHOUSE, QUEUED, INPUTS, LAST_INPUT, ID, RUN, NVALUES
};

/* In this order; the last row of a table is the last in the index. */
static DynLookup history = {
	"history_relid",
	{"started", "ended", "data_timestamp", "phases", "cpu_ms", "wal_bytes", "blocks_hit", "blocks_read", "blocks_dirtied",
		"lag_since", "lag_sum", "lag_max", "lag_above", "lag_steps", "repeats",
		"relid", "state", "action", "trigger", "code", "message", "rows_inserted", "rows_updated",
		"rows_deleted", "reason", "completion_target", "target_lag", "warehouse", "queued_ms", "inputs",
	"last_input", "id", "run"}
};

static Datum
jsonb_value(const char *text, char *null)
{
	*null = text ? ' ' : 'n';
	return text ? DirectFunctionCall1(jsonb_in, CStringGetDatum(text)) : (Datum) 0;
}

static void
lag_to_values(const DynLag *lag, Datum *values, char *nulls)
{
	values[LAG_SINCE] = TimestampTzGetDatum(lag->since);
	values[LAG_SUM] = Float8GetDatum(lag->sum);
	values[LAG_MAX] = Float8GetDatum(lag->most);
	values[LAG_ABOVE] = dyn_float8_value(lag->above, &nulls[LAG_ABOVE]);
	values[LAG_STEPS] = Int32GetDatum(lag->steps);
	if (lag->base == 0)
		memset(&nulls[LAG_SINCE], 'n', LAG_STEPS - LAG_SINCE + 1);
}

static void
to_values(const DynHistory *entry, Datum *values, char *nulls)
{
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
	values[PHASES] = jsonb_value(entry->phases, &nulls[PHASES]);
	values[COMPLETION_TARGET] = dyn_timestamp_value(entry->completion_target, &nulls[COMPLETION_TARGET]);
	values[TARGET_LAG] = PointerGetDatum(entry->target_lag);
	if (entry->target_lag == NULL)
		nulls[TARGET_LAG] = 'n';
	values[WAREHOUSE] = dyn_text_value(entry->warehouse, &nulls[WAREHOUSE]);
	values[QUEUED] = dyn_float8_value(entry->queued_ms, &nulls[QUEUED]);
	values[INPUTS] = jsonb_value(entry->inputs, &nulls[INPUTS]);
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
	lag_to_values(&entry->lag, values, nulls);
	values[REPEATS] = Int32GetDatum(1);
}

static bool
is_text(DynRow *row, int column, const char *word)
{
	bool		isnull;
	Datum		value = dyn_row_datum(row, column + 1, &isnull);

	return !isnull && strcmp(TextDatumGetCString(value), word) == 0;
}

/* A value and that of before; no value if there is none of one of them, where none does not mean 0. */
static void
add_before(DynRow *row, int column, bool none_is_zero, Datum *values, char *nulls)
{
	bool		none;
	Datum		before = dyn_row_datum(row, column + 1, &none);
	Datum	   *value = &values[column];

	if (none && none_is_zero)
		return;
	if (none || nulls[column] == 'n')
		nulls[column] = 'n';
	else if (column == REPEATS || column == LAG_STEPS)
		*value = Int32GetDatum(DatumGetInt32(before) + DatumGetInt32(*value));
	else if (column >= WAL && column <= DIRTIED)
		*value = Int64GetDatum(DatumGetInt64(before) + DatumGetInt64(*value));
	else
		*value = Float8GetDatum(DatumGetFloat8(before) + DatumGetFloat8(*value));
}

static void
add_lag(DynRow *row, Datum *values, char *nulls)
{
	bool		began_now;
	bool		none;
	Datum		since = dyn_row_datum(row, LAG_SINCE + 1, &began_now);
	Datum		most = dyn_row_datum(row, LAG_MAX + 1, &none);

	if (!none && (nulls[LAG_MAX] == 'n' || DatumGetFloat8(most) > DatumGetFloat8(values[LAG_MAX])))
	{
		values[LAG_MAX] = most;
		nulls[LAG_MAX] = ' ';
	}
	if (!began_now)
	{
		values[LAG_SINCE] = since;
		nulls[LAG_SINCE] = ' ';
	}
	add_before(row, LAG_SUM, true, values, nulls);
	add_before(row, LAG_ABOVE, began_now, values, nulls);
	add_before(row, LAG_STEPS, true, values, nulls);
}

/* What is new, onto what the row tells of. */
static void
add_row(DynRow *row, Datum *values, char *nulls)
{
	for (int column = CPU; column <= DIRTIED; column++)
		add_before(row, column, false, values, nulls);
	add_before(row, REPEATS, false, values, nulls);
	add_lag(row, values, nulls);
	dyn_row_update(row, values, nulls, NMOVING);
}

/* Onto the last row of the table, if that one, too, says that nothing was found. */
static bool
history_repeat(const DynHistory *entry, Datum *values, char *nulls)
{
	DynRow		row;

	if (!dyn_row_begin(&row, &history, entry->relid))
		return false;
	if (!is_text(&row, ACTION, "NO_DATA") || !is_text(&row, STATE, "SUCCEEDED") ||
		!is_text(&row, TRIGGER, entry->trigger))
	{
		dyn_row_end(&row);
		return false;
	}
	add_row(&row, values, nulls);
	return true;
}

/* What was only counted since its last row was written goes into that row. */
static void
write_counted(Oid relid)
{
	DynRow		row;
	DynRepeats	counted;
	Datum		values[NMOVING];
	char		nulls[NMOVING];
	bool		isnull;

	if (!dyn_repeats_any(relid) || !dyn_row_begin(&row, &history, relid))
		return;
	if (!dyn_repeats_get(relid, DatumGetInt64(dyn_row_datum(&row, ID + 1, &isnull)),
						 DatumGetInt32(dyn_row_datum(&row, REPEATS + 1, &isnull)), &counted))
	{
		dyn_row_end(&row);
		return;
	}
	memset(nulls, ' ', sizeof(nulls));
	values[STARTED] = TimestampTzGetDatum(counted.started);
	values[ENDED] = TimestampTzGetDatum(counted.ended);
	values[DATA_TIMESTAMP] = TimestampTzGetDatum(counted.data_timestamp);
	values[PHASES] = dyn_row_datum(&row, PHASES + 1, &isnull);
	nulls[PHASES] = isnull ? 'n' : ' ';
	values[CPU] = Float8GetDatum(counted.cpu_ms);
	values[WAL] = values[DIRTIED] = Int64GetDatum(0);
	values[HIT] = Int64GetDatum(counted.blocks_hit);
	values[READ] = Int64GetDatum(counted.blocks_read);
	values[REPEATS] = Int32GetDatum(counted.count);
	lag_to_values(&counted.lag, values, nulls);
	add_row(&row, values, nulls);
}

void
dyn_history_insert(const DynHistory *entry)
{
	Datum		values[NVALUES];
	char		nulls[NVALUES];

	write_counted(entry->relid);
	to_values(entry, values, nulls);
	if (entry->action && strcmp(entry->action, "NO_DATA") == 0 &&
		strcmp(entry->state, "SUCCEEDED") == 0 && history_repeat(entry, values, nulls))
		return;
	values[ID] = Int64GetDatum(nextval_internal(get_relname_relid("history_id_seq", dyn_schema_oid()), false));
	values[RUN] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	dyn_row_insert(&history, values, nulls, NVALUES);
}

int64
dyn_history_idle(Oid relid, const char *trigger, int *repeats)
{
	static DynLookup select = {"history_relid", {"id", "state", "action", "trigger", "repeats"}};
	DynCall		call;
	int64		id = 0;
	char	   *action;

	dyn_lookup_begin_last(&call, &select, relid);
	if (call.nrows > 0 && (action = dyn_spi_text(0, 3)) != NULL && strcmp(action, "NO_DATA") == 0 &&
		strcmp(dyn_spi_text(0, 2), "SUCCEEDED") == 0 && strcmp(dyn_spi_text(0, 4), trigger) == 0)
	{
		id = dyn_spi_int8(0, 1);
		*repeats = dyn_spi_int4(0, 5);
	}
	dyn_lookup_end(&call);
	return id;
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
