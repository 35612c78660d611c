/*
 * dyn_execute.c
 *	  Running the statements of a refresh.
 *
 * Not SPI, for three reasons: the statement's own permission checks must go
 * (its tables may be known to the owner through a view only), its snapshot is
 * the run's while it must see what the run itself has written, and ephemeral
 * relations come and go with each step.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/pg_class.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <jit/jit.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <nodes/params.h>
#include <parser/analyze.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteHandler.h>
#include <storage/latch.h>
#include <tcop/dest.h>
#include <tcop/tcopprot.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/timeout.h>
#include <utils/timestamp.h>

#include "base/dyn_progress.h"
#include "capture/dyn_capture.h"
#include "compat/dyn_compat_planner.h"
#include "refresh/dyn_execute.h"
#include "refresh/dyn_kept.h"
#include "refresh/dyn_phases.h"
#include "refresh/dyn_refresh.h"

typedef struct SinkReceiver
{
	DestReceiver pub;
	DynRowSink	sink;
	void	   *arg;
} SinkReceiver;

DynTraces  *dyn_execute_traces = NULL;

static int64 execute_at(DynExecution *execution, CommandId command, const char *statement,
						DynRowSink sink, void *arg);
static Query *analyse(DynExecution *execution, const char *statement);
static DynKept *find_plan(DynExecution *execution, const char *statement);
static PlannedStmt *plan_statement(DynExecution *execution, const char *statement, bool *no_trigger);
static int64 run_plan(DynExecution *execution, PlannedStmt *plan, bool no_trigger, const char *text,
					  DynRowSink sink, void *arg);
static ParamListInfo parameters(DynExecution *execution);
static bool reads_delta(PlannedStmt *plan);
static void run_limited(DynExecution *execution, QueryDesc *desc, double ms);
static bool fires_no_trigger(Query *query);
static bool clear_permissions(Node *node, void *context);
static bool receive_row(TupleTableSlot *slot, DestReceiver *self);
static void receiver_startup(DestReceiver *self, int operation, TupleDesc desc);
static void receiver_nothing(DestReceiver *self);
static void trace(const char *statement, double cost, int64 rows);
static void statement_context(void *arg);

int64
dyn_execute(DynExecution *execution, const char *statement, DynRowSink sink, void *arg)
{
	/* each statement sees what those before it wrote */
	CommandCounterIncrement();
	execution->command = GetCurrentCommandId(false);
	return execute_at(execution, execution->command, statement, sink, arg);
}

int64
dyn_execute_before(DynExecution *execution, const char *statement, DynRowSink sink, void *arg)
{
	return execute_at(execution, execution->command, statement, sink, arg);
}

/* Run a statement that sees what commands before this one wrote. */
static int64
execute_at(DynExecution *execution, CommandId command, const char *statement,
		   DynRowSink sink, void *arg)
{
	ErrorContextCallback callback;
	DynKept    *kept;
	int64		result;

	callback.callback = statement_context;
	callback.arg = unconstify(char *, statement);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	PushCopiedSnapshot(execution->snapshot);
	GetActiveSnapshot()->curcid = command;
	kept = find_plan(execution, statement);
	if (kept)
		result = run_plan(execution, kept->plan, kept->fires_no_trigger, statement, sink, arg);
	else
	{
		bool		no_trigger;
		PlannedStmt *plan = plan_statement(execution, statement, &no_trigger);

		result = run_plan(execution, plan, no_trigger, statement, sink, arg);
	}
	PopActiveSnapshot();

	error_context_stack = callback.previous;
	return result;
}

static DynKept *
find_plan(DynExecution *execution, const char *statement)
{
	DynPhase	phase = dyn_phase_enter(DYN_PHASE_PLAN);
	DynKept    *kept = NULL;

	if (execution->setting)
		kept = dyn_kept_find(execution->setting, statement, execution->env);
	(void) dyn_phase_enter(phase);
	return kept;
}

int64
dyn_execute_query(DynExecution *execution, Query *query, DynRowSink sink, void *arg)
{
	const char *text = "definition of a dynamic table";
	DynPhase	phase;
	PlannedStmt *plan;
	int64		result;

	CommandCounterIncrement();
	PushCopiedSnapshot(execution->snapshot);
	UpdateActiveSnapshotCommandId();
	phase = dyn_phase_enter(DYN_PHASE_PLAN);
	plan = dyn_plan_statement(query, text, execution->env);
	(void) dyn_phase_enter(phase);
	result = run_plan(execution, plan, false, text, sink, arg);
	PopActiveSnapshot();
	return result;
}

/*
 * Policies on a dynamic table are for its readers: FORCE ROW LEVEL SECURITY
 * must not keep its own rows from a refresh, which runs as the owner.
 */
static Query *
rewrite_write(Query *query)
{
	Oid			userid;
	int			context;

	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(userid, context | SECURITY_NOFORCE_RLS);
	query = linitial_node(Query, QueryRewrite(query));
	SetUserIdAndSecContext(userid, context);
	return query;
}

static Query *
analyse(DynExecution *execution, const char *statement)
{
	List	   *parsed = pg_parse_query(statement);
	const Oid	number = INT8OID;
	Query	   *query;

	Assert(list_length(parsed) == 1);
	query = parse_analyze_fixedparams(linitial_node(RawStmt, parsed), statement, &number, 1,
									  execution->env);

	/*
	 * A generated SELECT names tables only, no views: there is nothing to
	 * rewrite, and policies have been dealt with in the original query.
	 */
	if (query->commandType != CMD_SELECT)
		query = rewrite_write(query);
	(void) clear_permissions((Node *) query, NULL);
	return query;
}

static PlannedStmt *
plan_statement(DynExecution *execution, const char *statement, bool *no_trigger)
{
	DynPhase	phase = dyn_phase_enter(DYN_PHASE_PLAN);
	Query	   *query = analyse(execution, statement);
	PlannedStmt *plan = dyn_plan_statement(query, statement, execution->env);

	*no_trigger = fires_no_trigger(query);

	/*
	 * Nothing is known of the values in a delta, so joins over it are estimated
	 * high; compiling would take longer than the whole refresh.
	 */
	if (reads_delta(plan))
		plan->jitFlags = PGJIT_NONE;
	if (execution->setting)
		dyn_kept_offer(execution->setting, statement, execution->env, plan, *no_trigger);
	(void) dyn_phase_enter(phase);
	return plan;
}

static int64
run_plan(DynExecution *execution, PlannedStmt *plan, bool no_trigger, const char *text,
		 DynRowSink sink, void *arg)
{
	QueryDesc  *desc;
	SinkReceiver receiver = {{0}};
	const double limit = execution->planned ?
		execution->planned(plan->planTree->total_cost, execution->planned_arg) : 0;
	volatile int64 result = 0;

	receiver.pub.receiveSlot = receive_row;
	receiver.pub.rStartup = receiver_startup;
	receiver.pub.rShutdown = receiver_nothing;
	receiver.pub.rDestroy = receiver_nothing;
	receiver.pub.mydest = DestNone;
	receiver.sink = sink;
	receiver.arg = arg;
	desc = CreateQueryDesc(plan, text, GetActiveSnapshot(), InvalidSnapshot,
						   &receiver.pub, parameters(execution), execution->env, 0);
	if (no_trigger)
		dyn_origin_mark();
	PG_TRY();
	{
		run_limited(execution, desc, limit);
		result = desc->estate->es_processed;
		ExecutorFinish(desc);
		ExecutorEnd(desc);
	}
	PG_FINALLY();
	{
		dyn_origin_unmark();
	}
	PG_END_TRY();
	FreeQueryDesc(desc);
	if (dyn_execute_traces)
		trace(text, plan->planTree->total_cost, result);
	return result;
}

static ParamListInfo
parameters(DynExecution *execution)
{
	ParamListInfo list = makeParamList(1);

	list->params[0].value = Int64GetDatum(execution->number);
	list->params[0].isnull = false;
	list->params[0].pflags = PARAM_FLAG_CONST;
	list->params[0].ptype = INT8OID;
	return list;
}

static bool
reads_delta(PlannedStmt *plan)
{
	ListCell   *lc;

	foreach(lc, plan->rtable)
		if (lfirst_node(RangeTblEntry, lc)->rtekind == RTE_NAMEDTUPLESTORE)
			return true;
	return false;
}

/* ------------------------------------------------------------------------
 * Statements that may take so long and no longer
 * ------------------------------------------------------------------------
 */
static TimeoutId limit_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t limit_passed = false;
static double limit_ms;
static double limit_waited;		/* for a processor, before */
static TimestampTz limit_since;

/* How often it is asked again where most of the time was waited, milliseconds. */
#define LIMIT_INTERVAL 20

/* The statement is cancelled as by statement_timeout, unless it has only waited for a processor. */
static void
pass_limit(void)
{
	if (TimestampDifferenceMilliseconds(limit_since, GetCurrentTimestamp()) - (dyn_phases_waited() - limit_waited) < limit_ms)
		return;
	limit_passed = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
begin_limit(double ms)
{
	if (limit_timeout == MAX_TIMEOUTS)
		limit_timeout = RegisterTimeout(USER_TIMEOUT, pass_limit);
	limit_passed = false;
	limit_ms = ms;
	limit_waited = dyn_phases_waited();
	limit_since = GetCurrentTimestamp();
	enable_timeout_every(limit_timeout, TimestampTzPlusMilliseconds(limit_since, (int64) Min(ms, INT_MAX) + 1), LIMIT_INTERVAL);
}

/* A node of a plan gives a row. */
static TupleTableSlot *
counted_row(PlanState *node)
{
	TupleTableSlot *slot = node->ExecProcNodeReal(node);

	if (!TupIsNull(slot))
		dyn_progress_row();
	return slot;
}

/* Rows that a statement writes pass nobody but the node that writes them. */
static void
start(QueryDesc *desc)
{
	PlanState  *source;

	ExecutorStart(desc, 0);
	if (!IsA(desc->planstate, ModifyTableState))
	{
		dyn_progress_expect(desc->planstate->plan->plan_rows);
		return;
	}
	source = outerPlanState(desc->planstate);
	dyn_progress_expect(source->plan->plan_rows);
	if (source->instrument == NULL)
		source->ExecProcNode = counted_row;
}

/* Whether it was passed; the statement may have ended before it took note. */
static bool
end_limit(void)
{
	disable_timeout(limit_timeout, false);
	if (limit_passed)
		QueryCancelPending = false;
	return limit_passed;
}

/* ms: 0, no limit */
static void
run_limited(DynExecution *execution, QueryDesc *desc, double ms)
{
	MemoryContext caller = CurrentMemoryContext;

	if (ms <= 0)
	{
		start(desc);
		dyn_compat_executor_run(desc);
		return;
	}
	begin_limit(ms);
	PG_TRY();
	{
		start(desc);
		dyn_compat_executor_run(desc);
	}
	PG_CATCH();
	{
		if (!end_limit() || geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		execution->late(execution->planned_arg);
	}
	PG_END_TRY();
	(void) end_limit();
}

/* Whether it writes, and a table without triggers. */
static bool
fires_no_trigger(Query *query)
{
	Relation	rel;
	bool		none;

	if (query->resultRelation == 0)
		return false;
	rel = table_open(rt_fetch(query->resultRelation, query->rtable)->relid, NoLock);
	none = rel->trigdesc == NULL && rel->rd_rel->relkind == RELKIND_RELATION;
	table_close(rel, NoLock);
	return none;
}

/* Every statement of ours, and no other, has a receiver of ours. */
bool
dyn_refresh_statement(const QueryDesc *desc)
{
	return desc->dest && desc->dest->receiveSlot == receive_row;
}

static void
trace(const char *statement, double cost, int64 rows)
{
	MemoryContext old = MemoryContextSwitchTo(dyn_execute_traces->context);
	DynTrace   *entry = palloc(sizeof(DynTrace));

	entry->statement = pstrdup(statement);
	entry->cost = cost;
	entry->rows = rows;
	dyn_execute_traces->traces = lappend(dyn_execute_traces->traces, entry);
	MemoryContextSwitchTo(old);
}

DynRows *
dyn_execute_rows(DynExecution *execution, const char *name, const char *statement,
				 TupleDesc desc, const bool *identity)
{
	DynRows    *rows = dyn_rows_begin(name, desc, identity);

	if (statement)
		dyn_execute(execution, statement, dyn_rows_sink, rows);
	if (identity)
		dyn_rows_consolidate(rows);
	dyn_rows_register(rows, execution->env);
	return rows;
}

/* All levels of a generated statement. */
static bool
clear_permissions(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		dyn_compat_clear_permissions((Query *) node);
		return query_tree_walker((Query *) node, clear_permissions, context, 0);
	}
	return expression_tree_walker(node, clear_permissions, context);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	SinkReceiver *receiver = (SinkReceiver *) self;

	dyn_progress_row();
	if (receiver->sink)
		receiver->sink(slot, receiver->arg);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receiver_nothing(DestReceiver *self)
{
}

static void
statement_context(void *arg)
{
	errcontext("refresh statement \"%s\"", (char *) arg);
}

ErrorData *
dyn_try(void (*work) (void *arg), void *arg, bool keep)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		if (keep)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (!keep || error != NULL)
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}
