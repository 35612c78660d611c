/*
 * dyn_evaluate.c
 *	  The deltas of a plan's nodes, from the sources to the top.
 *
 * Each node's delta is computed from its inputs' deltas, consolidated, and
 * kept as an ephemeral relation d<no>; the next statement is then planned with
 * its true size, and not at all when everything it needs is empty.  A node
 * with state brings its state up to date at once, so that "content now" of a
 * staged node is its state table.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/lsyscache.h>

#include "capture/dyn_capture.h"
#include "query/dyn_sql.h"
#include "query/dyn_vars.h"
#include "refresh/dyn_own_log.h"
#include "refresh/dyn_phases.h"

typedef struct LogReading
{
	DynRows    *rows;
	AttrNumber *attnums;		/* by column: attribute of the log */
	TupleDesc	log_desc;		/* of the last row */
	bool		readable;		/* its columns are there, of the types that are read */
	AttrNumber	last;			/* of them the one that stands furthest behind */
	TupleTableSlot *row;		/* the change as a row of the delta */
	ExprState  *sift;			/* NULL: all are of use */
	ExprContext *context;
	uint64		left_out;		/* hashes of what was of none, added up with their weights */
	List	   *columns;		/* of the source, that are read */
	DynChoice  *choice;
	int64		before;			/* changes read of other sources */
	double		read;			/* the part of the log that has been read */
	TupleTableSlot *held;		/* a row that goes, until the one after it is known; NULL: none was yet */
	bool		event;			/* a change that no delta expresses */
} LogReading;

/*
 * Between steps, more rows than this, and more for each changed one, are looked
 * through for equal ones; in a loose delta, fewer.
 */
#define MANY_ROWS		1000
#define MANY_PARTNERS	4

static void read_source(DynEvaluation *evaluation, DynNode *node);
static void finish_source(DynEvaluation *evaluation, DynNode *node);
static DynRows *node_delta(DynEvaluation *evaluation, DynNode *node);
static DynRows *delta_of(DynEvaluation *evaluation, DynNode *node, const char *statement);
static void finish_delta(DynEvaluation *evaluation, DynNode *node, DynRows *delta);
static DynRows *select_delta(DynEvaluation *evaluation, DynNode *node);
static DynRows *rows_between(DynEvaluation *evaluation, DynNode *node, const DynStep *step, const char *statement);
static DynColumn *step_columns(const DynStep *step);
static bool is_source(const DynNode *node);
static DynRows *upstream_delta(DynEvaluation *evaluation, DynNode *node);
static DynRows *source_delta(DynEvaluation *evaluation, DynNode *node);
static void begin_sifting(LogReading *reading, DynNode *node);
static bool is_of_use(LogReading *reading);
static void end_reading(LogReading *reading);
static void read_change(TupleTableSlot *slot, int weight, double read, void *arg);
static void put_change(LogReading *reading, TupleTableSlot *slot, int weight);
static void end_holding(LogReading *reading);

/*
 * How much has changed is known of all sources before anything else is done.
 * A loop is gone through by its RECURSIVE node.
 */
void
dyn_evaluate(DynEvaluation *evaluation)
{
	List	   *nodes = evaluation->sql.plan->nodes;
	ListCell   *lc;

	foreach(lc, nodes)
	{
		if (is_source(lfirst(lc)))
			read_source(evaluation, lfirst(lc));
		if (evaluation->reinit_reason)
			return;
	}
	dyn_choice_loaded(&evaluation->choice);
	foreach(lc, nodes)
		if (is_source(lfirst(lc)))
			finish_source(evaluation, lfirst(lc));
	foreach(lc, nodes)
	{
		DynNode    *node = lfirst(lc);

		if (!is_source(node) && node->recursion == NULL)
			dyn_evaluate_node(evaluation, node);
		if (evaluation->reinit_reason)
			return;
	}
}

void
dyn_evaluate_node(DynEvaluation *evaluation, DynNode *node)
{
	DynRows    *delta;

	if (is_source(node))
	{
		read_source(evaluation, node);
		if (evaluation->reinit_reason == NULL)
			finish_source(evaluation, node);
		return;
	}
	delta = node_delta(evaluation, node);
	evaluation->deltas[node->no] = delta;
	evaluation->sql.changed[node->no] = node->inlined ? evaluation->sql.changed[dyn_input(node, 1)->no] :
		delta ? delta->count : 0;
	CHECK_FOR_INTERRUPTS();
}

static bool
is_source(const DynNode *node)
{
	return node->kind == DYN_NODE_SCAN;
}

/* Its changes, as they were logged. */
static void
read_source(DynEvaluation *evaluation, DynNode *node)
{
	DynPhase	phase = dyn_phase_enter(DYN_PHASE_LOAD);

	evaluation->deltas[node->no] = node->dynamic ? upstream_delta(evaluation, node) : source_delta(evaluation, node);
	(void) dyn_phase_enter(phase);
}

static void
finish_source(DynEvaluation *evaluation, DynNode *node)
{
	DynPhase	phase = dyn_phase_enter(DYN_PHASE_LOAD);
	DynRows    *delta = evaluation->deltas[node->no];

	finish_delta(evaluation, node, delta);
	evaluation->sql.changed[node->no] = delta->count;
	(void) dyn_phase_enter(phase);
	CHECK_FOR_INTERRUPTS();
}

static DynRows *
node_delta(DynEvaluation *evaluation, DynNode *node)
{
	DynSql	   *sql = &evaluation->sql;
	bool		changed = node->inputs == NIL || dyn_node_moves(node);
	char	   *statement;
	ListCell   *lc;

	if (node->kind == DYN_NODE_RECURSIVE)
		return dyn_recursive_delta(evaluation, node);
	foreach(lc, node->inputs)
		changed |= sql->changed[((DynNode *) lfirst(lc))->no];
	if (!changed || node->inlined)
		return NULL;
	switch (node->kind)
	{
		case DYN_NODE_AGGREGATE:
			return dyn_aggregate_delta(evaluation, node);
		case DYN_NODE_WINDOW:
			return dyn_window_delta(evaluation, node);
		case DYN_NODE_TOP:
			return dyn_top_delta(evaluation, node);
		case DYN_NODE_SELECT:
			return select_delta(evaluation, node);
		case DYN_NODE_JOIN:
			return dyn_join_delta(evaluation, node);
		default:
			break;
	}
	statement = dyn_sql_delta(sql, node);
	if (statement == NULL)
		return NULL;
	return delta_of(evaluation, node, statement);
}

static DynRows *
begin_delta(DynNode *node)
{
	return dyn_rows_begin(psprintf("d%d", node->no), dyn_delta_desc(node->ncolumns, node->columns),
						  dyn_delta_identity(node->ncolumns, node->columns));
}

/* The delta that a statement yields, consolidated if need be. */
static DynRows *
delta_of(DynEvaluation *evaluation, DynNode *node, const char *statement)
{
	DynRows    *delta = begin_delta(node);

	dyn_execute(&evaluation->execution, statement, dyn_rows_sink, delta);
	finish_delta(evaluation, node, delta);
	return delta;
}

/* Where it makes no difference, a few rows are consolidated still: so it is known that nothing has changed. */
static void
finish_delta(DynEvaluation *evaluation, DynNode *node, DynRows *delta)
{
	if (!node->faithful && (!node->loose || delta->count < MANY_ROWS))
		dyn_rows_consolidate(delta);
	dyn_rows_register(delta, evaluation->execution.env);
}

/* Step by step; the rows of the last one are the delta. */
static DynRows *
select_delta(DynEvaluation *evaluation, DynNode *node)
{
	DynSql	   *sql = &evaluation->sql;
	List	   *steps = dyn_sql_steps(sql, node);
	DynRows    *rows = NULL;
	ListCell   *lc;

	foreach(lc, steps)
	{
		DynStep    *step = lfirst(lc);
		char	   *statement = dyn_sql_step(sql, node, step, rows && rows->count == 0);

		if (step == llast(steps))
			return delta_of(evaluation, node, statement);
		rows = rows_between(evaluation, node, step, statement);
	}
	return rows;
}

/*
 * The rows of a step before the last one.  Where many of one side have many
 * partners there are far more of them than rows have changed, and of the few
 * columns that are still needed most are equal: once each, with their weights
 * added up, they are less for the steps to come.
 */
static DynRows *
rows_between(DynEvaluation *evaluation, DynNode *node, const DynStep *step, const char *statement)
{
	DynColumn  *columns = step_columns(step);
	int			ncolumns = list_length(step->columns);
	DynRows    *rows = dyn_rows_begin(step->name, dyn_delta_desc(ncolumns, columns), dyn_delta_identity(ncolumns, columns));
	int64		changed = 0;
	int			input = -1;

	while ((input = bms_next_member(step->joined, input)) >= 0)
		changed += evaluation->sql.changed[dyn_input(node, input)->no];
	if (statement)
		dyn_execute(&evaluation->execution, statement, dyn_rows_sink, rows);
	if (rows->count > MANY_ROWS && rows->count > MANY_PARTNERS * changed)
		dyn_rows_unite(rows);
	dyn_rows_register(rows, evaluation->execution.env);
	return rows;
}

static DynColumn *
step_columns(const DynStep *step)
{
	DynColumn  *columns = palloc0(sizeof(DynColumn) * list_length(step->columns));
	ListCell   *lc;

	foreach(lc, step->columns)
		columns[foreach_current_index(lc)] = (DynColumn) {
			.type = exprType(lfirst(lc)), .typmod = exprTypmod(lfirst(lc)), .collation = exprCollation(lfirst(lc))
		};
	return columns;
}

/* ------------------------------------------------------------------------
 * Sources: the change log, or the log of an upstream table's own delta
 * ------------------------------------------------------------------------
 */
static DynRows *
upstream_delta(DynEvaluation *evaluation, DynNode *node)
{
	DynRows    *rows = begin_delta(node);
	DynEdge    *edge = NULL;
	StringInfoData columns;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, node->attnums)
		appendStringInfo(&columns, ", c%d", lfirst_int(lc));
	foreach(lc, evaluation->edges)
		if (((DynEdge *) lfirst(lc))->source == node->relid)
			edge = lfirst(lc);

	/* without statistics a range is taken for a small part of the table, an open end for a third */
	evaluation->execution.number = edge->refresh_no;
	dyn_execute(&evaluation->execution,
				psprintf("SELECT w%s FROM %s WHERE refresh_no > $1 AND refresh_no <= " INT64_FORMAT,
						 columns.data, dyn_own_log_name(node->relid), PG_INT64_MAX),
				dyn_rows_sink, rows);
	evaluation->choice.rows += rows->count;
	return rows;
}

static DynRows *
source_delta(DynEvaluation *evaluation, DynNode *node)
{
	DynSource  *source = dyn_source_get(node->relid);
	LogReading	reading = {0};
	ListCell   *lc;

	reading.rows = begin_delta(node);
	reading.columns = node->attnums;
	reading.choice = &evaluation->choice;
	reading.before = reading.choice->rows;
	reading.attnums = palloc(sizeof(AttrNumber) * node->ncolumns);
	reading.row = MakeSingleTupleTableSlot(reading.rows->desc, &TTSOpsVirtual);
	foreach(lc, node->attnums)
	{
		AttrNumber	attnum = dyn_changelog_attnum(source, lfirst_int(lc));

		reading.attnums[foreach_current_index(lc)] = attnum;
		reading.last = Max(reading.last, attnum);
	}
	begin_sifting(&reading, node);
	if (dyn_changelog_scan(source, evaluation->since, evaluation->upto, read_change, &reading))
		evaluation->exhausted = list_append_unique_oid(evaluation->exhausted, node->relid);
	end_holding(&reading);
	end_reading(&reading);
	if (reading.event)
		evaluation->reinit_reason = psprintf("a source was truncated or changed in a way that leaves no delta");
	return reading.rows;
}

/* The conditions, over rows in which the weight stands first. */
static Node *
behind_weight(Var *var, void *arg)
{
	return (Node *) makeVar(1, var->varattno + 1, var->vartype, var->vartypmod, var->varcollid, 0);
}

static void
begin_sifting(LogReading *reading, DynNode *node)
{
	List	   *conditions = NIL;
	ListCell   *lc;

	if (node->sift == NIL)
		return;
	foreach(lc, node->sift)
		conditions = lappend(conditions, expression_planner((Expr *) dyn_vars_map(lfirst(lc), behind_weight, NULL)));
	reading->sift = ExecInitQual(conditions, NULL);
	reading->context = CreateStandaloneExprContext();
}

static bool
is_of_use(LogReading *reading)
{
	if (reading->sift == NULL)
		return true;
	ResetExprContext(reading->context);
	reading->context->ecxt_scantuple = reading->row;
	return ExecQual(reading->sift, reading->context);
}

/* What came and went meanwhile is no change: then the hashes make up for each other. */
static void
end_reading(LogReading *reading)
{
	DynRows    *rows = reading->rows;

	if (reading->left_out == 0 && rows->useless_plus == rows->useless_minus)
		rows->useless_plus = rows->useless_minus = 0;
	if (reading->context)
		FreeExprContext(reading->context, true);
	ExecDropSingleTupleTableSlot(reading->row);
}

/*
 * Capture gives a column of the log anew when its type changes, perhaps since
 * it was looked up.
 */
static bool
is_readable(const LogReading *reading)
{
	TupleDesc	log = reading->log_desc;
	TupleDesc	wanted = reading->rows->desc;

	for (int i = 1; i < wanted->natts; i++)
	{
		AttrNumber	attnum = reading->attnums[i - 1];

		if (attnum <= 0 || attnum > log->natts || TupleDescAttr(log, attnum - 1)->attisdropped ||
			TupleDescAttr(log, attnum - 1)->atttypid != getBaseType(TupleDescAttr(wanted, i)->atttypid))
			return false;
	}
	return true;
}

/* What is held goes into the delta. */
static void
release_held(LogReading *reading)
{
	if (reading->held == NULL || TTS_EMPTY(reading->held))
		return;
	put_change(reading, reading->held, -1);
	ExecClearTuple(reading->held);
}

static void
hold(LogReading *reading, TupleTableSlot *slot)
{
	if (reading->held == NULL)
		reading->held = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor, slot->tts_ops);
	ExecCopySlot(reading->held, slot);
}

static void
end_holding(LogReading *reading)
{
	release_held(reading);
	if (reading->held)
		ExecDropSingleTupleTableSlot(reading->held);
	reading->held = NULL;
}

/* Is it what is held, in all columns that are read? */
static bool
is_held(const LogReading *reading, TupleTableSlot *slot)
{
	if (reading->held == NULL || TTS_EMPTY(reading->held))
		return false;
	slot_getsomeattrs(reading->held, reading->last);
	for (int i = 1; i < reading->rows->desc->natts; i++)
	{
		int			attribute = reading->attnums[i - 1] - 1;

		if (!dyn_image_same(reading->held->tts_values[attribute], reading->held->tts_isnull[attribute],
							slot->tts_values[attribute], slot->tts_isnull[attribute],
							TupleDescAttr(reading->rows->desc, i)))
			return false;
	}
	return true;
}

/* An update is a row that goes and one that comes: of columns that are not read here it is nothing. */
static void
read_change(TupleTableSlot *slot, int weight, double read, void *arg)
{
	LogReading *reading = arg;

	reading->read = read;
	if (weight == 0 || weight > 1)
	{
		reading->event |= weight == 0 || list_member_int(reading->columns, weight - 1);
		return;
	}
	if (slot->tts_tupleDescriptor != reading->log_desc)
	{
		end_holding(reading);
		reading->log_desc = slot->tts_tupleDescriptor;
		reading->readable = is_readable(reading);
	}
	reading->event |= !reading->readable;
	if (reading->event)
		return;
	slot_getsomeattrs(slot, reading->last);
	if (weight > 0 && is_held(reading, slot))
	{
		ExecClearTuple(reading->held);
		return;
	}
	release_held(reading);
	if (weight < 0)
		hold(reading, slot);
	else
		put_change(reading, slot, 1);
}

static void
put_change(LogReading *reading, TupleTableSlot *slot, int weight)
{
	TupleTableSlot *row = reading->row;

	slot_getsomeattrs(slot, reading->last);
	ExecClearTuple(row);
	row->tts_values[0] = Int64GetDatum(weight);
	row->tts_isnull[0] = false;
	for (int i = 1; i < reading->rows->desc->natts; i++)
	{
		int			attribute = reading->attnums[i - 1] - 1;

		row->tts_values[i] = slot->tts_values[attribute];
		row->tts_isnull[i] = slot->tts_isnull[attribute];
	}
	ExecStoreVirtualTuple(row);
	if (is_of_use(reading))
		dyn_rows_put_values(reading->rows, row->tts_values, row->tts_isnull);
	else
	{
		reading->left_out += weight * dyn_rows_hash(reading->rows, row);
		if (weight > 0)
			reading->rows->useless_plus++;
		else
			reading->rows->useless_minus++;
	}
	dyn_choice_row(reading->choice, reading->before, reading->read);
}

/* ------------------------------------------------------------------------
 * Descriptors
 * ------------------------------------------------------------------------
 */
TupleDesc
dyn_delta_desc(int ncolumns, const DynColumn *columns)
{
	TupleDesc	desc = CreateTemplateTupleDesc(ncolumns + 1);

	TupleDescInitEntry(desc, 1, "w", INT8OID, -1, 0);
	for (int i = 0; i < ncolumns; i++)
	{
		TupleDescInitEntry(desc, i + 2, psprintf("c%d", i + 1), columns[i].type, columns[i].typmod, 0);
		TupleDescInitEntryCollation(desc, i + 2, columns[i].collation);
	}
	return desc;
}

TupleDesc
dyn_placed_desc(TupleDesc delta)
{
	TupleDesc	desc = CreateTemplateTupleDesc(delta->natts + 1);

	for (int i = 1; i <= delta->natts; i++)
		TupleDescCopyEntry(desc, i, delta, i);
	TupleDescInitEntry(desc, delta->natts + 1, "place", TIDOID, -1, 0);
	return desc;
}

bool *
dyn_delta_identity(int ncolumns, const DynColumn *columns)
{
	bool	   *identity = palloc0(sizeof(bool) * (ncolumns + 1));

	for (int i = 0; i < ncolumns; i++)
		identity[i] = !columns[i].written_at;
	return identity;
}

TupleDesc
dyn_columns_desc(const char *prefix, List *columns)
{
	TupleDesc	desc = CreateTemplateTupleDesc(list_length(columns));
	ListCell   *lc;

	foreach(lc, columns)
	{
		DynColumn  *column = lfirst(lc);
		int			i = foreach_current_index(lc) + 1;

		TupleDescInitEntry(desc, i, psprintf("%s%d", prefix, i), column->type, column->typmod, 0);
		TupleDescInitEntryCollation(desc, i, column->collation);
	}
	return desc;
}
