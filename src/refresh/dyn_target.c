/*
 * dyn_target.c
 *	  Refreshing one dynamic table.
 *
 * Which way a refresh goes is decided here, in this order:
 *	 first fill or REINITIALIZE   the position does not fit what is there:
 *								  another slot, another definition, a source
 *								  captured only since, a mark left by a failure
 *	 FULL						  the definition has no incremental plan, or the
 *								  delta was given up as too dear (dyn_choice.c)
 *	 INCREMENTAL				  the delta of the sources, through the plan
 *	 NO_DATA					  the delta was empty
 * All but the last two end in the same way: new content against stored rows
 * gives a delta, so that readers and downstream tables see differences only.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <catalog/index.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <pgstat.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/guc_tables.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/timestamp.h>

#include "base/dyn_progress.h"
#include "capture/dyn_capture.h"
#include "compat/dyn_compat.h"
#include "query/dyn_expr.h"
#include "query/dyn_node.h"
#include "query/dyn_query.h"
#include "refresh/dyn_definitions.h"
#include "refresh/dyn_idle.h"
#include "refresh/dyn_outlived.h"
#include "refresh/dyn_own_log.h"
#include "refresh/dyn_phases.h"
#include "refresh/dyn_target_internal.h"

/*
 * The lowest bits of a plan's hash tell its keys, the others the definition: a
 * key that rests on a constraint can go without the definition changing.
 */
#define KEY_HASH_BITS UINT64CONST(0xffff)

/* Why a table is computed anew that was in full mode. */
#define RETURNED "the query can be refreshed incrementally again"

#define given_up(retry) ((retry) != NULL && (retry)->given_up != NULL)

static void show_table(const DynRun *run, Oid relid);
static void learn(DynTarget *target);
static char *setting(const DynTable *table);
static void prepare(DynTarget *target);
static void fall_back(DynTarget *target, DynRefusal *refusal);
static void come_back(DynTarget *target, Query *query);
static void use_definition(DynTarget *target, bool retyped, Query *query);
static char *reinit_reason(DynTarget *target);
static char *source_reason(DynTarget *target, DynEdge *edge);
static bool refresh_incrementally(DynTarget *target);

void
dyn_target_refresh(DynRun *run, Oid relid, const DynRetry *retry, DynResult *result)
{
	DynTarget	target = {.run = run, .retry = retry, .result = result};
	DynIdentity identity;
	char	   *reason;
	ResourceOwner outer_rows;

	result->relid = relid;
	result->started = retry ? retry->started : GetCurrentTimestamp();
	show_table(run, relid);
	dyn_phases_begin(run->waited_us);
	dyn_position_claim(relid);
	dyn_states_publishable(relid);
	target.table = dyn_table_get(relid, false);
	dyn_idle_begin(&target);
	target.position = dyn_position_get(relid);
	target.evaluation.relid = relid;
	target.evaluation.edges = dyn_run_edges(run, relid);

	dyn_become_owner(target.table, &identity);
	outer_rows = dyn_rows_open();
	PG_TRY();
	{
		(void) dyn_phase_enter(DYN_PHASE_PLAN);
		prepare(&target);
		(void) dyn_phase_enter(DYN_PHASE_EXECUTE);
		reason = reinit_reason(&target);
		if (target.plan == NULL)
		{
			result->action = DYN_ACTION_FULL;
			result->reason = target.table->reason ? target.table->reason : target.next_reinit;
			dyn_target_compute(&target);
		}
		else if (reason == NULL && given_up(retry))
		{
			result->action = DYN_ACTION_FULL;
			result->reason = retry->reason;
			dyn_target_compute(&target);
		}
		else if (reason || retry || !refresh_incrementally(&target))
		{
			result->action = DYN_ACTION_REINITIALIZE;
			result->reason = retry && !given_up(retry) ? retry->reason :
				reason ? reason : target.evaluation.reinit_reason;
			dyn_target_compute(&target);
		}
		learn(&target);
		dyn_rows_close();
	}
	PG_FINALLY();
	{
		dyn_rows_restore(outer_rows);
	}
	PG_END_TRY();
	(void) dyn_phase_enter(DYN_PHASE_BOOKKEEPING);
	dyn_become_caller(&identity);
	dyn_target_record(&target);
	dyn_idle_remember(&target);
}

/* Where progress is shown; a session shows its own statement. */
static void
show_table(const DynRun *run, Oid relid)
{
	char	   *name = get_rel_name(relid);
	int			number = 1;
	ListCell   *lc;

	dyn_progress_table(relid);
	if (MyBackendType != B_BG_WORKER || name == NULL)
		return;
	foreach(lc, run->order)
		if (lfirst_oid(lc) == relid)
			number = foreach_current_index(lc) + 1;
	pgstat_report_activity(STATE_RUNNING, list_length(run->order) == 1 ? psprintf("dyntable: refresh %s", name) :
						   psprintf("dyntable: refresh %s, %d of %d", name, number, list_length(run->order)));
}

/* What the next refresh's choice goes by. */
static void
learn(DynTarget *target)
{
	DynChoice  *choice = &target->evaluation.choice;

	if (target->plan == NULL || target->table->mode != DYN_MODE_AUTO)
		return;
	if (target->result->action == DYN_ACTION_INCREMENTAL)
		dyn_choice_learn_delta(choice);
	else if (target->result->action != DYN_ACTION_NO_DATA)
		dyn_choice_learn_full(choice);
	if (given_up(target->retry))
		dyn_choice_learn_given_up(choice->position, target->retry->given_up);
}

/* Under what a statement of the table's refresh means the same, and is planned in the same way. */
static char *
setting(const DynTable *table)
{
	StringInfoData text;
	struct config_generic **planner;
	int			nplanner;
	ListCell   *lc;

	initStringInfo(&text);
	appendStringInfo(&text, "%u", GetUserId());
	foreach(lc, table->settings)
		appendStringInfo(&text, "\n%s", (char *) lfirst(lc));
	planner = get_explain_guc_options(&nplanner);
	for (int i = 0; i < nplanner; i++)
		appendStringInfo(&text, "\n%s=%s", planner[i]->name, GetConfigOption(planner[i]->name, true, false));
	return text.data;
}

/* The definition as it reads today, its permissions, its plan. */
static void
prepare(DynTarget *target)
{
	DynEvaluation *evaluation = &target->evaluation;
	bool		retyped;
	Query	   *query = dyn_stored_query(target->table, &retyped);
	DynRefusal	refusal = {0};
	int			ncolumns;

	use_definition(target, retyped, query);
	dyn_query_check_permissions(query, target->query);
	if (target->table->mode == DYN_MODE_AUTO && !target->table->incremental)
		come_back(target, query);
	if (target->table->incremental && target->next_reinit == NULL)
	{
		target->plan = dyn_plan_build(target->query, evaluation->edges, &refusal);
		if (target->plan == NULL)
			fall_back(target, &refusal);
		else
			target->plan_hash = (target->plan_hash & ~KEY_HASH_BITS) |
				(dyn_plan_key_hash(target->plan) & KEY_HASH_BITS);
	}
	target->columns = dyn_query_result_columns(query, &ncolumns);
	target->ncolumns = ncolumns;
	target->shape = dyn_shape_find(target->table->relid, query, target->position->reinit_reason != NULL &&
								   strcmp(target->position->reinit_reason, DYN_QUERY_CHANGED) == 0);
	if (target->shape == NULL)
	{
		target->followers = dyn_retyped_columns(target->table->relid, ncolumns, target->columns);
		target->retyped |= target->followers != NIL;
	}
	if (target->plan)
	{
		target->ncolumns = target->plan->top->ncolumns;
		target->columns = target->plan->top->columns;
	}
	target->frozen = dyn_frozen_open(target->table, target->run->upto);
	target->thaw = !target->position->populated && dyn_relation_is_empty(target->table->relid);
	if (target->shape == NULL)
		target->sink = dyn_target_make_sink(target);

	evaluation->choice.position = target->position;
	evaluation->choice.query = target->query;
	evaluation->choice.upto = target->run->upto;
	evaluation->choice.snapshot = target->run->snapshot;
	evaluation->choice.edges = evaluation->edges;
	evaluation->execution.snapshot = target->run->snapshot;
	evaluation->execution.env = create_queryEnv();
	evaluation->execution.setting = setting(target->table);
	evaluation->since = target->position->snapshot;
	evaluation->upto = target->run->position;
	evaluation->sql.since = target->position->data_timestamp;
	evaluation->sql.upto = target->run->upto;
	evaluation->sql.hash = dyn_hash_name();
	evaluation->sql.plan = target->plan;
	if (target->plan)
	{
		int			n = list_length(target->plan->nodes) + 1;

		evaluation->sql.stages = palloc0(sizeof(char *) * n);
		evaluation->sql.changed = palloc0(sizeof(int64) * n);
		evaluation->deltas = palloc0(sizeof(DynRows *) * n);
		evaluation->states = palloc0(sizeof(DynSink *) * n);
		dyn_states_open(evaluation);
	}
}

/*
 * The definition means something else than at creation (a view was replaced, a
 * policy added), for which there is no plan: full from now on, or an error
 * where incremental was asked for.
 */
static void
fall_back(DynTarget *target, DynRefusal *refusal)
{
	DynTable   *table = target->table;
	bool		demanded = table->mode == DYN_MODE_INCREMENTAL;

	ereport(demanded ? ERROR : WARNING,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("dynamic table \"%s\" can no longer be refreshed incrementally",
				   get_rel_name(table->relid)),
			errdetail("%s: %s.", refusal->code, refusal->reason),
			demanded ? errhint("Set its refresh mode with dyntable_alter(name, refresh_mode => 'full').") : 0);
	table->incremental = false;
	table->reason_code = pstrdup(refusal->code);
	table->reason = refusal->reason;
	dyn_table_update(table);
}

/* Whether changes of all sources can be captured, as far as that is for the owner to say. */
static bool
sources_serve(List *sources)
{
	ListCell   *lc;

	foreach(lc, sources)
	{
		DynEdge    *edge = lfirst(lc);
		const char *code;
		char	   *detail;

		if (edge->kind == DYN_EDGE_DYNAMIC)
			continue;
		if (edge->kind == DYN_EDGE_FULL || wal_level < WAL_LEVEL_LOGICAL ||
			!dyn_capture_possible(edge->source, edge->columns, &code, &detail) ||
			(dyn_source_get(edge->source) == NULL && !dyn_owns_relation(edge->source, GetUserId())))
			return false;
	}
	return true;
}

/*
 * What kept an auto table from being incremental may be gone: a view was
 * replaced back, row security switched off, the extension has learned more.
 * Where its sources are under capture it is incremental from this refresh on;
 * otherwise they are captured from its end on, and the next one initialises.
 */
static void
come_back(DynTarget *target, Query *query)
{
	DynTable   *table = target->table;
	List	   *sources = dyn_query_sources(query);
	bool		captured = true;
	bool		base = false;
	DynRefusal	refusal;
	ListCell   *lc;

	if (!sources_serve(sources) || dyn_plan_build(target->query, sources, &refusal) == NULL)
		return;
	ereport(NOTICE,
			errmsg("dynamic table \"%s\" is refreshed incrementally from now on", get_rel_name(table->relid)),
			table->reason_code ? errdetail("%s does not apply any more.", table->reason_code) : 0);
	foreach(lc, target->evaluation.edges)
	{
		captured &= ((DynEdge *) lfirst(lc))->kind != DYN_EDGE_FULL;
		base |= ((DynEdge *) lfirst(lc))->kind == DYN_EDGE_BASE;
	}
	table->incremental = true;
	table->reason_code = NULL;
	table->reason = NULL;
	dyn_table_update(table);
	dyn_edges_replace(table->relid, sources);
	target->evaluation.edges = dyn_edges_of(table->relid);
	dyn_capture_wake_at_end();
	if (captured && (!base || target->run->generation != 0))
		target->returned = true;
	else
		target->next_reinit = RETURNED;
}

/*
 * pg_upgrade keeps the OIDs of relations: a name of the stored text that by
 * now is another table's shows, and must not be followed silently.
 */
static void
check_same_sources(DynTarget *target, Query *query)
{
	List	   *sources = dyn_query_sources(query);
	bool		same = list_length(sources) == list_length(target->evaluation.edges);
	ListCell   *a;
	ListCell   *b;

	forboth(a, sources, b, target->evaluation.edges)
		same &= ((DynEdge *) lfirst(a))->source == ((DynEdge *) lfirst(b))->source;
	if (!same)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("names in the query of dynamic table \"%s\" stand for other relations than before the upgrade",
					   get_rel_name(target->table->relid)),
				errhint("Give the dynamic table its query again with dyntable_alter(name, query => ...)."));
}

/*
 * Expand the definition.  Where its meaning is no longer what it was (a view
 * was replaced, a column's type changed), what it reads may have changed too.
 */
static void
use_definition(DynTarget *target, bool retyped, Query *query)
{
	DynTable   *table = target->table;

	target->upgraded = !dyn_tree_readable(table);
	if (target->upgraded)
		check_same_sources(target, query);
	target->query = dyn_query_expand(query);
	target->retyped = retyped;
	target->plan_hash = dyn_definition_hash(table->relid, target->query);
	target->basis = dyn_query_basis(target->query);
	if (retyped)
	{
		table->definition = dyn_query_text(query);
		table->tree = nodeToString(query);
		table->tree_version = dyn_tree_version();
		dyn_table_update(table);
		dyn_depend_record(table->relid, query);
	}
	if (((target->position->plan_hash ^ target->plan_hash) & ~KEY_HASH_BITS) == 0 ||
		!target->position->populated)
		return;
	dyn_edges_replace(table->relid, dyn_query_sources(query));
	target->evaluation.edges = dyn_edges_of(table->relid);
	dyn_capture_wake_at_end();
}

/* Why the stored state cannot be the start of a delta, or NULL. */
static char *
reinit_reason(DynTarget *target)
{
	DynPosition *position = target->position;
	char	   *reason = NULL;
	bool		captured = false;
	ListCell   *lc;

	if (target->plan == NULL)
		return NULL;
	if (target->shape != NULL)
		reason = "the columns of the query changed";

	/* dynamic tables log their changes themselves, constants have none */
	foreach(lc, target->evaluation.edges)
		if (((DynEdge *) lfirst(lc))->kind == DYN_EDGE_BASE)
			captured = true;
	if (reason != NULL)
		;
	else if (captured && target->run->generation == 0 && position->populated)
		reason = psprintf("changes cannot be read: %s", target->run->no_capture);
	else if (position->reinit_reason)
		reason = position->reinit_reason;
	else if (!position->populated)
		reason = "first fill";
	else if (captured && position->generation != target->run->generation)
	{
		char	   *cause = dyn_slot_cause();

		reason = psprintf("change capture was started anew%s%s", cause ? ": " : "", cause ? cause : "");
	}
	else if (target->returned)
		reason = RETURNED;
	else if (target->upgraded)
		reason = "the server was upgraded";
	else if (target->retyped)
		reason = "a column that the query reads changed its type";
	else if (target->run->upto < position->data_timestamp)
		reason = "the data timestamp goes back";
	else if ((reason = dyn_basis_changed(position->basis, target->basis)) != NULL)
		;
	else if (position->plan_hash != target->plan_hash)
		reason = "the meaning of the definition changed";
	else if (!dyn_states_complete(&target->evaluation))
		reason = "stored state is missing";

	/* the log may have been trimmed past the run's snapshot */
	if (captured && target->run->generation != 0 && !dyn_position_holds(target->run, position) &&
		!list_member_oid(target->run->held, target->table->relid))
		target->next_reinit = position->reinit_reason ? position->reinit_reason :
			"the refresh before had a snapshot older than what is left of the changes";
	foreach(lc, target->evaluation.edges)
	{
		char	   *source = source_reason(target, lfirst(lc));

		if (reason == NULL)
			reason = source;
	}
	return reason;
}

/* The same on account of one source; also notes what the next refresh has to know. */
static char *
source_reason(DynTarget *target, DynEdge *edge)
{
	DynSource  *source;
	const char *code;
	char	   *detail;
	ListCell   *lc;

	if (edge->kind == DYN_EDGE_DYNAMIC)
		return OidIsValid(dyn_stage_get(edge->source, 0)) ? NULL :
			"an upstream table kept no record of its changes";

	if (!dyn_capture_possible(edge->source, edge->columns, &code, &detail))
	{
		target->next_reinit = detail;
		return detail;
	}
	if (dyn_capture_detaching(edge->source))
	{
		target->next_reinit = "a partition of a source was being detached at the refresh before";
		return "a partition of a source is being detached";
	}
	if (dyn_capture_caller_wrote(edge->source))
	{
		target->next_reinit = "the refresh before ran in a transaction that had written a source";
		return "this transaction has written a source";
	}
	source = dyn_source_get(edge->source);
	if (source == NULL)
	{
		target->next_reinit = "a source was not yet captured at the refresh before";
		return "a source is not yet captured";
	}
	if (!dyn_changelog_exists(source))
	{
		dyn_capture_wake_at_end();
		target->next_reinit = "the change log of a source was missing at the refresh before";
		return "the change log of a source is missing";
	}
	foreach(lc, edge->columns)
		if (!list_member_int(source->columns, lfirst_int(lc)))
		{
			target->next_reinit = "a source was not yet captured at the refresh before";
			return "a column of a source is not yet captured";
		}
	if (!dyn_snapshot_sees(target->run->position, source->registered_xid))
		target->next_reinit = "a source was not yet captured at the refresh before";
	if (target->position->snapshot &&
		!dyn_snapshot_sees(target->position->snapshot, source->registered_xid))
		return "a source is captured only since after the refresh before";
	return NULL;
}

/* Whether the refresh has seen all that capture has logged of the table's sources. */
static bool
all_exhausted(const DynEvaluation *evaluation)
{
	ListCell   *lc;

	foreach(lc, evaluation->edges)
	{
		const DynEdge *edge = lfirst(lc);

		if (edge->kind == DYN_EDGE_BASE && !list_member_oid(evaluation->exhausted, edge->source))
			return false;
	}
	return true;
}

static bool
left_out_changes(const DynRows *delta)
{
	return delta && delta->useless_plus + delta->useless_minus > 0;
}

/* False, with evaluation.reinit_reason, when the changes have no delta. */
static bool
refresh_incrementally(DynTarget *target)
{
	DynEvaluation *evaluation = &target->evaluation;
	DynNode    *top = target->plan->top;
	bool		changed = false;

	if (target->table->mode == DYN_MODE_AUTO)
	{
		evaluation->choice.given_up = &target->run->given_up;
		evaluation->execution.planned = dyn_choice_planned;
		evaluation->execution.late = dyn_choice_late;
		evaluation->execution.planned_arg = &evaluation->choice;
	}
	/* of a frozen row the delta may tell what is not to be written */
	if (target->frozen == NULL && *target->sink->index &&
		dyn_apply_by_place(target->sink, dyn_delta_desc(target->ncolumns, target->columns)))
		evaluation->sink = target->sink;
	dyn_idle_reading(target);
	dyn_evaluate(evaluation);
	evaluation->execution.planned = NULL;
	if (evaluation->reinit_reason)
		return false;
	for (int i = 1; i <= list_length(target->plan->nodes); i++)
		changed |= evaluation->sql.changed[i] || left_out_changes(evaluation->deltas[i]);
	target->result->action = changed ? DYN_ACTION_INCREMENTAL : DYN_ACTION_NO_DATA;
	target->result->exhausted = all_exhausted(evaluation);
	target->inputs = dyn_target_inputs(target);
	if (evaluation->sql.changed[top->no])
	{
		/* where the region was declared since, its rows need another index */
		if (target->frozen && !dyn_sink_has_index(target->sink))
			dyn_sink_ensure_index(target->sink);
		dyn_target_apply(target, dyn_target_unfrozen(target, evaluation->deltas[top->no]));
	}
	return true;
}
