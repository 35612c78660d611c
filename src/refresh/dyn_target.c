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
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <pgstat.h>
#include <storage/bufmgr.h>
#include <utils/builtins.h>
#include <utils/datetime.h>
#include <utils/fmgroids.h>
#include <utils/json.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_notify.h"
#include "base/dyn_progress.h"
#include "capture/dyn_capture.h"
#include "compat/dyn_compat.h"
#include "query/dyn_expr.h"
#include "query/dyn_node.h"
#include "query/dyn_plan.h"
#include "query/dyn_query.h"
#include "refresh/dyn_frozen_rows.h"
#include "refresh/dyn_load.h"
#include "refresh/dyn_outlived.h"
#include "refresh/dyn_feed.h"
#include "refresh/dyn_own_log.h"
#include "refresh/dyn_phases.h"
#include "refresh/dyn_shape.h"
#include "refresh/dyn_target.h"

/* One table's refresh while it goes on. */
typedef struct Target
{
	DynRun	   *run;
	DynTable   *table;
	DynPosition *position;
	Query	   *query;			/* expanded */
	int64		plan_hash;
	List	   *basis;
	DynPlan    *plan;			/* NULL: full mode */
	int			ncolumns;		/* of the result */
	DynColumn  *columns;
	DynEvaluation evaluation;
	DynSink    *sink;
	DynCounts	counts;
	bool		upgraded;		/* the definition was analysed by another server */
	bool		retyped;		/* a column of the query has got another type */
	List	   *followers;		/* columns of the table that have yet to follow (dyn_columns.c) */
	DynFrozen  *frozen;			/* NULL: no region is */
	bool		thaw;			/* the first fill: all rows are computed */
	DynShape   *shape;			/* not NULL: they are others by name, number or order */
	bool		returned;		/* the definition has a plan, and had none before */
	const DynRetry *retry;
	char	   *inputs;			/* what of the sources had changed, as jsonb text, or NULL */
	char	   *next_reinit;	/* why the next refresh will have to reinitialise */
	DynResult  *result;
} Target;

/*
 * The lowest bits of a plan's hash tell its keys, the others the definition: a
 * key that rests on a constraint can go without the definition changing.
 */
#define KEY_HASH_BITS UINT64CONST(0xffff)

/* Why a table is computed anew that was in full mode. */
#define RETURNED "the query can be refreshed incrementally again"

#define given_up(retry) ((retry) != NULL && (retry)->given_up != NULL)

static void show_table(const DynRun *run, Oid relid);
static void learn(Target *target);
static char *setting(const DynTable *table);
static void prepare(Target *target);
static void fall_back(Target *target, DynRefusal *refusal);
static void come_back(Target *target, Query *query);
static void use_definition(Target *target, bool retyped, Query *query);
static char *reinit_reason(Target *target);
static char *source_reason(Target *target, DynEdge *edge);
static bool refresh_incrementally(Target *target);
static void refresh_in_full(Target *target);
static void reshape(Target *target);
static void take_stored(Target *target, DynRows *delta);
static void follow_types(Target *target);
static void apply_in_full(Target *target, DynRows *delta, bool fill);
static DynSink *target_sink(Target *target);
static DynRows *outside(Target *target, DynRows *delta);
static List *plan_key(Target *target);
static void add_content(Target *target, DynRows *delta);
static void apply(Target *target, DynRows *delta);
static void record(Target *target);
static void record_history(Target *target, TimestampTz before);
static char *changed_inputs(Target *target);
static Oid	last_input(Target *target);

void
dyn_target_refresh(DynRun *run, Oid relid, const DynRetry *retry, DynResult *result)
{
	Target		target = {.run = run, .retry = retry, .result = result};
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
	target.position = dyn_position_get(relid);
	target.evaluation.relid = relid;
	target.evaluation.edges = dyn_edges_of(relid);

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
			refresh_in_full(&target);
		}
		else if (reason == NULL && given_up(retry))
		{
			result->action = DYN_ACTION_FULL;
			result->reason = retry->reason;
			refresh_in_full(&target);
		}
		else if (reason || retry || !refresh_incrementally(&target))
		{
			result->action = DYN_ACTION_REINITIALIZE;
			result->reason = retry && !given_up(retry) ? retry->reason :
				reason ? reason : target.evaluation.reinit_reason;
			refresh_in_full(&target);
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
	record(&target);
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
learn(Target *target)
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

/* Under what a statement of the table's refresh means the same. */
static char *
setting(const DynTable *table)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	appendStringInfo(&text, "%u", GetUserId());
	foreach(lc, table->settings)
		appendStringInfo(&text, "\n%s", (char *) lfirst(lc));
	return text.data;
}

/* The definition as it reads today, its permissions, its plan. */
static void
prepare(Target *target)
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
		target->sink = target_sink(target);

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
fall_back(Target *target, DynRefusal *refusal)
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
come_back(Target *target, Query *query)
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
check_same_sources(Target *target, Query *query)
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
use_definition(Target *target, bool retyped, Query *query)
{
	DynTable   *table = target->table;

	target->upgraded = !dyn_tree_readable(table);
	if (target->upgraded)
		check_same_sources(target, query);
	target->query = dyn_query_expand(query);
	target->retyped = retyped;
	target->plan_hash = dyn_query_hash(target->query);
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
reinit_reason(Target *target)
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
source_reason(Target *target, DynEdge *edge)
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

/* False, with evaluation.reinit_reason, when the changes have no delta. */
static bool
refresh_incrementally(Target *target)
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
	dyn_evaluate(evaluation);
	evaluation->execution.planned = NULL;
	if (evaluation->reinit_reason)
		return false;
	for (int i = 1; i <= list_length(target->plan->nodes); i++)
		changed |= evaluation->sql.changed[i];
	target->result->action = changed ? DYN_ACTION_INCREMENTAL : DYN_ACTION_NO_DATA;
	target->result->exhausted = all_exhausted(evaluation);
	target->inputs = changed_inputs(target);
	if (evaluation->sql.changed[top->no])
	{
		/* where the region was declared since, its rows need another index */
		if (target->frozen && !dyn_sink_has_index(target->sink))
			dyn_sink_ensure_index(target->sink);
		apply(target, outside(target, evaluation->deltas[top->no]));
	}
	return true;
}

/* ------------------------------------------------------------------------
 * Full content
 * ------------------------------------------------------------------------
 */
bool
dyn_relation_is_empty(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);

	table_close(rel, NoLock);
	return blocks == 0;
}

/* The rows that are stored, as they will be when the columns have followed the query. */
static void
take_stored(Target *target, DynRows *delta)
{
	DynSigned  *stored = dyn_rows_signed(delta);
	ErrorContextCallback callback;

	stored->weight = -1;
	if (target->followers)
		dyn_retyping_begin(&callback, &target->table->relid);
	dyn_execute(&target->evaluation.execution,
				psprintf("SELECT %s FROM %s%s%s", dyn_retyped_values(target->sink, target->followers),
						 target->sink->name, target->frozen ? " WHERE " : "",
						 target->frozen ? dyn_frozen_outside(target->frozen) : ""),
				dyn_rows_signed_sink, stored);
	if (target->followers)
		dyn_retyping_end(&callback);
}

/*
 * Fill, or bring what is there to what should be.  A restored table has rows
 * that no refresh of ours has put there.
 */
static void
refresh_in_full(Target *target)
{
	bool		fill = !target->position->populated && dyn_relation_is_empty(target->table->relid);
	DynEvaluation *evaluation = &target->evaluation;
	DynRows    *delta;

	if (target->plan == NULL)
		dyn_states_drop(evaluation->relid);
	else
		dyn_states_fill(evaluation, target->result->action == DYN_ACTION_FULL);
	if (target->shape != NULL)
	{
		reshape(target);
		return;
	}
	if (target->plan && fill)
	{
		DynLoad    *load;

		/* nothing to compare with, and nobody reads a log of it yet */
		follow_types(target);
		load = dyn_load_begin(&evaluation->execution, evaluation->relid, false);
		dyn_execute(&evaluation->execution, dyn_sql_content(&evaluation->sql, target->plan->top), dyn_load_sink, load);
		target->counts.inserted = dyn_load_end(load);
		target->position->refresh_no++;
		dyn_feed_restart(target->table->relid, target->position->refresh_no, target->run->upto);
		dyn_sink_ensure_index(target->sink);
		dyn_state_analyze(target->sink->name, target->counts.inserted);
		return;
	}
	delta = dyn_rows_begin("x_full", dyn_delta_desc(target->ncolumns, target->columns),
						   dyn_delta_identity(target->ncolumns, target->columns));
	if (!fill)
		take_stored(target, delta);
	add_content(target, delta);
	dyn_rows_consolidate(delta);
	delta = outside(target, delta);
	dyn_rows_register(delta, evaluation->execution.env);
	follow_types(target);
	apply_in_full(target, delta, fill);
}

/* Fill a table with the new columns, which then takes the place of the old one's rows. */
static void
reshape(Target *target)
{
	DynEvaluation *evaluation = &target->evaluation;
	DynShape   *shape = target->shape;
	Oid			filled = dyn_shape_begin(shape);
	StringInfoData names;
	DynRows    *content = dyn_rows_begin("x_content", dyn_delta_desc(target->ncolumns, target->columns),
										 dyn_delta_identity(target->ncolumns, target->columns));
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, shape->columns)
		appendStringInfo(&names, "%s%s", names.len ? ", " : "",
						 quote_identifier(((DynShapeColumn *) lfirst(lc))->name));
	add_content(target, content);
	content = outside(target, content);
	dyn_rows_register(content, evaluation->execution.env);
	target->counts.inserted =
		dyn_execute(&evaluation->execution,
					psprintf("INSERT INTO %s (%s) SELECT %s FROM %s d", dyn_relation_name(filled), names.data,
							 dyn_sql_columns("d", target->ncolumns), content->name),
					NULL, NULL);
	dyn_rows_end(content);
	if (target->frozen && !target->thaw)
		dyn_shape_keep(shape, filled, &evaluation->execution, dyn_frozen_inside(target->frozen));
	target->position->refresh_no++;
	if (target->position->populated)
		dyn_shape_log(shape, filled, &evaluation->execution, target->position->refresh_no);
	dyn_shape_end(shape, filled);
	dyn_feed_restart(target->table->relid, target->position->refresh_no, target->run->upto);
	target->sink = target_sink(target);
	dyn_sink_ensure_index(target->sink);
	dyn_state_analyze(target->sink->name, target->counts.inserted);
}

/* The columns take the types of the query: readers wait from here to the end of the run. */
static void
follow_types(Target *target)
{
	if (target->followers == NIL)
		return;
	dyn_follow_types(target->table->relid, target->followers);
	target->followers = NIL;
	target->sink = target_sink(target);
}

/*
 * Apply the difference between all that is stored and all that should be.
 * Rows stored under another identity may not have the present key: they are
 * then found by image, and the key's index comes afterwards.
 */
static void
apply_in_full(Target *target, DynRows *delta, bool fill)
{
	DynSink    *sink = target->sink;
	List	   *key = plan_key(target);

	if ((target->retry && target->retry->by_image) || !dyn_sink_key_fits(sink, key))
		key = NIL;
	sink->key = key;
	if (!fill && !dyn_sink_has_index(sink))
		sink->key = NIL;
	if (!fill)
		dyn_sink_ensure_index(sink);
	apply(target, delta);
	sink->key = key;
	dyn_sink_ensure_index(sink);
}

static DynSink *
target_sink(Target *target)
{
	return dyn_target_sink(target->table->relid, target->ncolumns, target->columns,
						   plan_key(target), target->followers != NIL);
}

/* The key that the plan gives the rows, if any. */
static List *
plan_key(Target *target)
{
	List	   *key = target->plan && target->plan->top->has_key ? target->plan->top->key : NIL;

	/* one row of a key could be frozen and another one not */
	if (target->frozen && list_difference_int(dyn_frozen_places(target->frozen), key) != NIL)
		return NIL;
	return key;
}

/* Of a delta what is not frozen. */
static DynRows *
outside(Target *target, DynRows *delta)
{
	List	   *names = NIL;
	ListCell   *lc;

	if (target->frozen == NULL || target->thaw)
		return delta;
	if (target->shape)
		foreach(lc, target->shape->columns)
			names = lappend(names, pstrdup(quote_identifier(((DynShapeColumn *) lfirst(lc))->name)));
	else
		names = target->sink->names;
	return dyn_frozen_drop(target->frozen, names, delta);
}

static void
add_content(Target *target, DynRows *delta)
{
	DynExecution *execution = &target->evaluation.execution;
	DynSigned  *content = dyn_rows_signed(delta);

	content->weight = 1;
	if (target->plan)
		dyn_execute(execution, dyn_sql_content(&target->evaluation.sql, target->plan->top),
					dyn_rows_signed_sink, content);
	else
		dyn_execute_query(execution,
						  (Query *) dyn_expr_at((Node *) target->query, target->run->upto),
						  dyn_rows_signed_sink, content);
}

/* ------------------------------------------------------------------------
 * Applying
 * ------------------------------------------------------------------------
 */
typedef struct Application
{
	Target	   *target;
	DynRows    *delta;
} Application;

static void
write_delta(void *arg)
{
	Application *application = arg;
	Target	   *target = application->target;

	dyn_apply(&target->evaluation.execution, target->sink, application->delta, &target->counts);
}

/* Did an index of ours that no longer counts refuse a row? */
static bool
refused_by_outlived(const DynSink *sink, const ErrorData *error)
{
	ListCell   *lc;

	if (error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		return true;
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || error->constraint_name == NULL)
		return false;
	foreach(lc, sink->outlived)
		if (strcmp(error->constraint_name, get_rel_name(lfirst_oid(lc))) == 0)
			return true;
	return false;
}

static void
apply(Target *target, DynRows *delta)
{
	DynPhase	phase;
	Application application = {target, delta};
	DynSink    *sink = target->sink;
	ErrorData  *error;

	if (delta->count == 0)
		return;
	phase = dyn_phase_enter(DYN_PHASE_APPLY);
	dyn_own_log_write(&target->evaluation.execution, sink, delta, target->position->refresh_no + 1);
	dyn_feed_write(&target->evaluation.execution, sink, delta, target->position->refresh_no + 1, target->run->upto);
	if (sink->outlived == NIL)
		write_delta(&application);
	else if ((error = dyn_try(write_delta, &application)) != NULL)
	{
		if (!refused_by_outlived(sink, error))
			ReThrowError(error);
		memset(&target->counts, 0, sizeof(target->counts));
		dyn_outlived_disable(sink->relid, sink->outlived);
		write_delta(&application);
	}
	target->position->refresh_no++;
	(void) dyn_phase_enter(phase);
}

/* ------------------------------------------------------------------------
 * Where the table stands now
 * ------------------------------------------------------------------------
 */
static void
record(Target *target)
{
	DynPosition *position = target->position;
	DynResult  *result = target->result;
	TimestampTz before = position->data_timestamp;
	char		moment[MAXDATELEN + 1];
	ListCell   *lc;

	dyn_outlived_note(target->sink->relid, target->sink->outlived);
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
			int64		refresh_no = dyn_position_get(edge->source)->refresh_no;

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
record_history(Target *target, TimestampTz before)
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
static char *
changed_inputs(Target *target)
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
		if (node->kind != DYN_NODE_SCAN || delta == NULL || delta->count == 0 ||
			list_member_oid(seen, node->relid))
			continue;
		seen = lappend_oid(seen, node->relid);
		appendStringInfo(&text, "%s{\"relid\": %u, \"kind\": \"%s\", \"registered\": " INT64_FORMAT ", \"unregistered\": " INT64_FORMAT "}",
						 text.len ? ", " : "[", node->relid, node->dynamic ? "DYNAMIC_TABLE" : "TABLE",
						 delta->plus, delta->minus);
	}
	if (text.len == 0)
		return NULL;
	appendStringInfoChar(&text, ']');
	return text.data;
}

/* Of the dynamic tables that it reads, the one that was refreshed last. */
static Oid
last_input(Target *target)
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
