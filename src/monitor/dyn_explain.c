/*
 * dyn_explain.c
 *	  dyntable_explain and dyntable_explain_query.
 *
 * What the next refresh would do is found by doing it in a subtransaction
 * that is rolled back: the figures are those of a refresh, not estimates.
 */
#include <postgres.h>

#include <access/xact.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <optimizer/planner.h>
#include <tcop/tcopprot.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/resowner.h>
#include <utils/snapmgr.h>
#include <utils/tuplestore.h>

#include "compat/dyn_compat.h"
#include "query/dyn_advice.h"
#include "query/dyn_plan.h"
#include "query/dyn_query.h"
#include "refresh/dyn_target.h"

PG_FUNCTION_INFO_V1(dyntable_explain);
PG_FUNCTION_INFO_V1(dyntable_explain_query);

static void put_line(ReturnSetInfo *result, const char *format,...) pg_attribute_printf(2, 3);
static void put_plan(ReturnSetInfo *result, DynPlan *plan);
static void put_states(ReturnSetInfo *result, Oid relid, DynPlan *plan);
static void put_costs(ReturnSetInfo *result, Oid relid);
static void put_rehearsal(ReturnSetInfo *result, Oid relid, double full_cost);
static List *rehearse(Oid relid, DynTraces *traces);

Datum
dyntable_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_GETARG_OID(0);
	DynTable   *table = dyn_table_get(relid, false);
	DynIdentity identity;
	DynRefusal	refusal;
	DynPlan    *plan = NULL;
	Query	   *stored;
	Query	   *query;
	bool		retyped;
	double		full_cost;

	if (!dyn_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	dyn_become_owner(table, &identity);
	stored = dyn_stored_query(table, &retyped);
	query = dyn_query_expand(stored);
	dyn_query_check_permissions(stored, query);
	if (table->incremental)
		plan = dyn_plan_build(query, dyn_edges_of(relid), &refusal);
	PushActiveSnapshot(GetTransactionSnapshot());
	full_cost = pg_plan_query(copyObject(query), table->query, 0, NULL)->planTree->total_cost;
	PopActiveSnapshot();
	dyn_become_caller(&identity);

	put_line(result, "mode: %s", table->incremental ? "INCREMENTAL" : "FULL");
	if (table->reason_code)
		put_line(result, "reason: %s: %s", table->reason_code, table->reason);
	if (plan)
	{
		put_plan(result, plan);
		put_states(result, relid, plan);
	}
	if (plan && table->mode == DYN_MODE_AUTO)
		put_costs(result, relid);
	put_rehearsal(result, relid, full_cost);
	return (Datum) 0;
}

Datum
dyntable_explain_query(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Query	   *query = dyn_query_analyse(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	DynRefusal	refusal;
	Query	   *expanded;
	DynPlan    *plan;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	(void) dyn_query_columns(query);
	expanded = dyn_query_expand(query);
	dyn_query_check_permissions(query, expanded);
	plan = dyn_plan_build(expanded, dyn_query_sources(query), &refusal);
	put_line(result, "mode: %s", plan ? "INCREMENTAL" : "FULL");
	if (plan)
		put_plan(result, plan);
	else
		put_line(result, "reason: %s: %s", refusal.code, refusal.reason);
	return (Datum) 0;
}

static void
put_plan(ReturnSetInfo *result, DynPlan *plan)
{
	List	   *missing = dyn_plan_missing_indexes(plan);
	ListCell   *lc;

	put_line(result, "operators:");
	foreach(lc, dyn_plan_describe(plan))
		put_line(result, "%s", (char *) lfirst(lc));
	if (missing)
		put_line(result, "indexes worth having:");
	foreach(lc, missing)
		put_line(result, "    %s", (char *) lfirst(lc));
}

/* Rows are counted where that takes no time. */
static void
put_state(ReturnSetInfo *result, const char *what, Oid stage)
{
	bool		counted;
	int64		rows = dyn_stage_rows(stage, &counted);

	put_line(result, "    %s: %s%lld rows, %s, %s", what, counted ? "" : "about ", (long long) rows,
			 text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
																DirectFunctionCall1(pg_total_relation_size,
																					ObjectIdGetDatum(stage))))),
			 dyn_relation_name(stage));
}

/* What the operators keep beside the table, and its log for those that read it. */
static void
put_states(ReturnSetInfo *result, Oid relid, DynPlan *plan)
{
	Oid			log = dyn_stage_get(relid, 0);
	ListCell   *lc;

	if (dyn_stages_of(relid) != NIL)
		put_line(result, "state tables:");
	foreach(lc, plan->nodes)
	{
		DynNode    *node = lfirst(lc);
		Oid			stage = dyn_node_staged(node) ? dyn_stage_get(relid, node->no) : InvalidOid;

		if (OidIsValid(stage))
			put_state(result, psprintf("%d, %s", node->no, dyn_node_kind(node)), stage);
	}
	if (OidIsValid(log))
		put_state(result, "0, changes for the tables that read this one", log);
}

/* What mode auto goes by (dyn_choice.c). */
static void
put_costs(ReturnSetInfo *result, Oid relid)
{
	DynPosition *position = dyn_position_get(relid);
	StringInfoData deltas;

	if (position->full_ms < 0)
		return;
	initStringInfo(&deltas);
	for (int i = 0; i < DYN_COST_STEPS; i++)
		if (position->delta_ms[i] >= 0)
			appendStringInfo(&deltas, "%s%.1f ms for " INT64_FORMAT " changed rows", deltas.len ? ", " : "",
							 position->delta_ms[i], INT64CONST(1) << (2 * (i + 1)));
	put_line(result, "costs: the query %.1f ms; the delta %s", position->full_ms,
			 deltas.len ? deltas.data : "is not known");
}

/* What the next refresh would do. */
static void
put_rehearsal(ReturnSetInfo *result, Oid relid, double full_cost)
{
	DynTraces	traces = {CurrentMemoryContext, NIL};
	DynResult  *last = llast(rehearse(relid, &traces));
	double		cost = 0;
	ListCell   *lc;

	if (last->failed)
	{
		put_line(result, "next refresh: would fail with %s: %s", last->sqlstate, last->message);
		return;
	}
	put_line(result, "next refresh: %s%s%s%s, %lld rows inserted, %lld updated, %lld deleted",
			 dyn_action_name(last->action), last->reason ? " (" : "",
			 last->reason ? last->reason : "", last->reason ? ")" : "",
			 (long long) last->rows_inserted, (long long) last->rows_updated,
			 (long long) last->rows_deleted);
	foreach(lc, traces.traces)
		cost += ((DynTrace *) lfirst(lc))->cost;
	put_line(result, "estimated cost: %.0f, of the query in full: %.0f", cost, full_cost);
	if (traces.traces)
		put_line(result, "statements (rows):");
	foreach(lc, traces.traces)
		put_line(result, "    %lld: %s", (long long) ((DynTrace *) lfirst(lc))->rows,
				 ((DynTrace *) lfirst(lc))->statement);
}

/*
 * Refresh, note what happens, and undo it.  An error leaves after the
 * subtransaction has ended: whoever catches it takes back only what he began.
 */
static List *
rehearse(Oid relid, DynTraces *traces)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	List	   *volatile results = NIL;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	dyn_execute_traces = traces;
	PG_TRY();
	{
		results = dyn_run(list_make1_oid(relid),
						  &(DynRunOptions) {.trigger = DYN_TRIGGER_MANUAL,.catch_errors = true});
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	dyn_execute_traces = NULL;
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (error)
		ReThrowError(error);
	return results;
}

static void
put_line(ReturnSetInfo *result, const char *format,...)
{
	StringInfoData buf;
	Datum		value;
	bool		isnull = false;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&buf, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	value = CStringGetTextDatum(buf.data);
	tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
}
