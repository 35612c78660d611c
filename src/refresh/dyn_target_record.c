/*
 * dyn_target_record.c
 *	  What remains of a refresh: where the table stands, and its history.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <lib/stringinfo.h>
#include <utils/datetime.h>
#include <utils/json.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_notify.h"
#include "query/dyn_node.h"
#include "refresh/dyn_outlived.h"
#include "refresh/dyn_phases.h"
#include "refresh/dyn_target_internal.h"

static void record_history(DynTarget *target, TimestampTz before);
static Oid	last_input(DynTarget *target);

void
dyn_target_record(DynTarget *target)
{
	DynPosition *position = target->position;
	DynResult  *result = target->result;
	TimestampTz before = position->data_timestamp;
	char		moment[MAXDATELEN + 1];
	ListCell   *lc;

	dyn_outlived_note(target->sink->relid, target->sink->outlived);
	if (position->populated && position->plan_hash != target->plan_hash)
		dyn_freshness_redefined(result->relid);
	position->generation = target->run->generation;
	position->snapshot = target->run->position;
	position->data_timestamp = target->run->upto;
	position->populated = true;
	position->plan_hash = target->plan_hash;
	position->basis = target->basis;
	position->reinit_reason = target->next_reinit;
	position->failures = 0;
	dyn_position_store(position);
	foreach(lc, target->evaluation.edges)
	{
		DynEdge    *edge = lfirst(lc);

		if (edge->kind == DYN_EDGE_DYNAMIC)
		{
			int64		refresh_no = dyn_position_refresh_no(edge->source);

			if (refresh_no != edge->refresh_no)
				dyn_edge_store_refresh_no(edge->relid, edge->source, refresh_no);
		}
	}

	result->data_timestamp = position->data_timestamp;
	result->rows_inserted = target->counts.inserted;
	result->rows_updated = target->counts.updated;
	result->rows_deleted = target->counts.deleted;
	result->ended = GetCurrentTimestamp();
	record_history(target, before);
	if (result->action == DYN_ACTION_REINITIALIZE ||
		result->rows_inserted + result->rows_updated + result->rows_deleted > 0)
		dyn_notify(result->action == DYN_ACTION_REINITIALIZE ? "reinitialised" : "refreshed", result->relid,
				   psprintf(", \"action\": \"%s\", \"data_timestamp\": \"%s\", \"inserted\": " INT64_FORMAT
							", \"updated\": " INT64_FORMAT ", \"deleted\": " INT64_FORMAT,
							dyn_action_name(result->action), JsonEncodeDateTime(moment, TimestampTzGetDatum(result->data_timestamp), TIMESTAMPTZOID, NULL),
							result->rows_inserted, result->rows_updated, result->rows_deleted));
	dyn_freshness_refreshed(result->relid, before, result->data_timestamp, result->ended);
}

/* before: data timestamp of the refresh before, DT_NOBEGIN: none */
static void
record_history(DynTarget *target, TimestampTz before)
{
	DynResult  *result = target->result;
	DynTable   *table = target->table;
	DynCost		cost = dyn_phases_cost();
	int64		lag = dyn_lag_microseconds(table);
	DynHistory	entry = {
		.relid = result->relid,
		.state = "SUCCEEDED",
		.action = dyn_action_name(result->action),
		.trigger = dyn_trigger_name(target->run->trigger),
		.data_timestamp = result->data_timestamp,
		.started = result->started,
		.ended = result->ended,
		.rows_inserted = result->rows_inserted,
		.rows_updated = result->rows_updated,
		.rows_deleted = result->rows_deleted,
		.reason = result->reason,
		.phases = dyn_phases_text(),
		.completion_target = DT_NOBEGIN,
		.target_lag = table->target_lag,
		.warehouse = table->warehouse,
		.queued_ms = target->run->queued_ms,
		.inputs = target->inputs,
		.last_input = last_input(target),
		.measured = true,
		.cpu_ms = cost.cpu_ms,
		.wal_bytes = cost.wal_bytes,
		.blocks_hit = cost.blocks_hit,
		.blocks_read = cost.blocks_read,
		.blocks_dirtied = cost.blocks_dirtied,
	};

	if (!TIMESTAMP_IS_NOBEGIN(before))
	{
		TimestampTz ended;

		/* after a restart of the server only the history knows when it was */
		if (!dyn_freshness_lag(result->relid, before, result->ended, lag, &entry.lag) &&
			!TIMESTAMP_IS_NOBEGIN(ended = dyn_history_last_end(result->relid)))
		{
			entry.lag = dyn_lag_begin(before, ended);
			dyn_lag_pass(&entry.lag, result->ended, result->data_timestamp, lag);
		}
		if (lag > 0)
			entry.completion_target = dyn_freshness_data_timestamp(result->relid, before) + lag;
	}
	dyn_history_insert(&entry);
}

/* What of the sources had changed, as jsonb text; NULL: nothing. */
char *
dyn_target_inputs(DynTarget *target)
{
	DynEvaluation *evaluation = &target->evaluation;
	StringInfoData text;
	List	   *seen = NIL;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, target->plan->nodes)
	{
		DynNode    *node = lfirst(lc);
		DynRows    *delta = evaluation->deltas[node->no];

		/* a source that is read several times has one change */
		if (node->kind != DYN_NODE_SCAN || delta == NULL || list_member_oid(seen, node->relid) ||
			delta->count + delta->useless_plus + delta->useless_minus == 0)
			continue;
		seen = lappend_oid(seen, node->relid);
		appendStringInfo(&text, "%s{\"relid\": %u, \"kind\": \"%s\", \"registered\": " INT64_FORMAT ", \"unregistered\": " INT64_FORMAT "}",
						 text.len ? ", " : "[", node->relid, node->dynamic ? "DYNAMIC_TABLE" : "TABLE",
						 delta->plus + delta->useless_plus, delta->minus + delta->useless_minus);
	}
	if (text.len == 0)
		return NULL;
	appendStringInfoChar(&text, ']');
	return text.data;
}

/* Of the dynamic tables that it reads, the one that was refreshed last. */
static Oid
last_input(DynTarget *target)
{
	Oid			last = InvalidOid;
	ListCell   *lc;
	ListCell   *le;

	foreach(lc, target->run->order)
		foreach(le, target->evaluation.edges)
			if (((DynEdge *) lfirst(le))->source == lfirst_oid(lc))
				last = lfirst_oid(lc);

	/* or, where they were read as they stand, the newest */
	if (!OidIsValid(last))
	{
		TimestampTz newest = DT_NOBEGIN;

		foreach(le, target->evaluation.edges)
		{
			DynEdge    *edge = lfirst(le);
			TimestampTz stands = edge->kind == DYN_EDGE_DYNAMIC ?
				dyn_position_data_timestamp(edge->source) : DT_NOBEGIN;

			if (stands > newest)
			{
				newest = stands;
				last = edge->source;
			}
		}
	}
	return last;
}
