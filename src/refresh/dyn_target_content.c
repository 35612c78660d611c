/*
 * dyn_target_content.c
 *	  What a refresh of one table writes into it.
 *
 * A delta is applied, all content is compared with what is stored and the
 * difference applied, an empty table is filled, and a table whose columns are
 * others gets rows and columns together.  Which of these is not decided here
 * (dyn_target.c).
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <storage/bufmgr.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "query/dyn_expr.h"
#include "query/dyn_node.h"
#include "refresh/dyn_difference.h"
#include "refresh/dyn_feed.h"
#include "refresh/dyn_load.h"
#include "refresh/dyn_outlived.h"
#include "refresh/dyn_own_log.h"
#include "refresh/dyn_phases.h"
#include "refresh/dyn_target_internal.h"

static void compare_writing(DynBulk *bulk, void *arg);
static bool write_row(TupleTableSlot *row, ItemPointer place, void *arg);
static void reshape(DynTarget *target);
static void follow_types(DynTarget *target);
static void apply_in_full(DynTarget *target, DynRows *delta, bool fill);
static void add_content(DynTarget *target, DynRowSink sink, void *arg);
static List *full_key(DynTarget *target);
static bool find_rows_by(DynTarget *target, List *key);

bool
dyn_relation_is_empty(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);

	table_close(rel, NoLock);
	return blocks == 0;
}

/* SELECT of the rows that are stored and not frozen. */
static char *
stored_rows(DynTarget *target, const char *values)
{
	return psprintf("SELECT %s FROM %s%s%s", values, target->sink->name, target->frozen ? " WHERE " : "",
					target->frozen ? dyn_frozen_outside(target->frozen) : "");
}

/* Of what is stored with what should be. */
typedef struct Comparison
{
	DynTarget  *target;
	DynDifference *difference;
	DynRows    *result;
	DynPhase	phase;			/* of all but writing */
	DynBulk    *bulk;
	Oid			key_index;
} Comparison;

static DynRows *
compare(DynTarget *target)
{
	DynSink    *sink = target->sink;
	Relation	rel = table_open(target->table->relid, NoLock);
	TupleDesc	desc = dyn_delta_desc(target->ncolumns, target->columns);
	bool		brief = target->frozen == NULL && dyn_apply_brief(sink, desc);
	Comparison	comparison = {.target = target};
	char	   *stored;

	(void) find_rows_by(target, full_key(target));
	comparison.difference = dyn_difference_begin("x_full", rel, desc, sink->identity, sink->key, brief);
	stored = psprintf("ctid%s", dyn_difference_paired(comparison.difference, sink->names));
	dyn_execute(&target->evaluation.execution, stored_rows(target, stored), dyn_difference_stored, comparison.difference);
	if (brief && sink->key != NIL)
	{
		comparison.phase = dyn_phase_enter(DYN_PHASE_APPLY);
		dyn_apply_in_bulk(&target->evaluation.execution, sink->relid, sink->name, sink->index, compare_writing, &comparison);
		(void) dyn_phase_enter(comparison.phase);
	}
	else
	{
		add_content(target, dyn_difference_content, comparison.difference);
		comparison.result = dyn_difference_end(comparison.difference);
	}
	table_close(rel, NoLock);
	return comparison.result;
}

/*
 * Where nobody reads the difference and much of the table changes, rows go to
 * their places as they are found, instead of being put aside.
 */
static void
compare_writing(DynBulk *bulk, void *arg)
{
	Comparison *comparison = arg;
	DynTarget  *target = comparison->target;
	DynPhase	phase = dyn_phase_enter(comparison->phase);

	comparison->bulk = bulk;
	comparison->key_index = dyn_apply_key_index(target->sink);
	dyn_difference_write(comparison->difference, dyn_apply_many(target->sink), write_row, comparison);
	add_content(target, dyn_difference_content, comparison->difference);
	comparison->result = dyn_difference_end(comparison->difference);
	(void) dyn_phase_enter(phase);
}

/* Not while other processes work for the query: the server then lets nobody write. */
static bool
write_row(TupleTableSlot *row, ItemPointer place, void *arg)
{
	Comparison *comparison = arg;

	if (IsInParallelMode())
		return false;
	dyn_bulk_replace(comparison->bulk, place, row->tts_values + 1, row->tts_isnull + 1, comparison->key_index);
	comparison->target->counts.updated++;
	return true;
}

/* The same where the columns have yet to follow the query: rows then get other places, and so do values out of line. */
static DynRows *
compare_retyped(DynTarget *target)
{
	DynRows    *delta = dyn_rows_begin("x_full", dyn_delta_desc(target->ncolumns, target->columns),
									   dyn_delta_identity(target->ncolumns, target->columns));
	DynSigned  *rows = dyn_rows_signed(delta);
	ErrorContextCallback callback;

	rows->weight = -1;
	rows->inlined = true;
	dyn_retyping_begin(&callback, &target->table->relid);
	dyn_execute(&target->evaluation.execution,
				stored_rows(target, dyn_retyped_values(target->sink, target->followers)), dyn_rows_signed_sink, rows);
	dyn_retyping_end(&callback);
	rows->inlined = false;
	rows->weight = 1;
	add_content(target, dyn_rows_signed_sink, rows);
	dyn_rows_consolidate(delta);
	return delta;
}

/* All content, which should be in a table that is empty. */
static DynRows *
take_content(DynTarget *target, const char *name)
{
	DynRows    *delta = dyn_rows_begin(name, dyn_delta_desc(target->ncolumns, target->columns),
									   dyn_delta_identity(target->ncolumns, target->columns));
	DynSigned  *rows = dyn_rows_signed(delta);

	rows->weight = 1;
	add_content(target, dyn_rows_signed_sink, rows);
	return delta;
}

/*
 * Fill, or bring what is there to what should be.  A restored table has rows
 * that no refresh of ours has put there.
 */
void
dyn_target_compute(DynTarget *target)
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
	delta = dyn_target_unfrozen(target, fill ? take_content(target, "x_full") :
								target->followers ? compare_retyped(target) : compare(target));
	dyn_rows_register(delta, evaluation->execution.env);
	follow_types(target);
	apply_in_full(target, delta, fill);
}

/* Fill a table with the new columns, which then takes the place of the old one's rows. */
static void
reshape(DynTarget *target)
{
	DynEvaluation *evaluation = &target->evaluation;
	DynShape   *shape = target->shape;
	Oid			filled = dyn_shape_begin(shape);
	StringInfoData names;
	DynRows    *content;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, shape->columns)
		appendStringInfo(&names, "%s%s", names.len ? ", " : "",
						 quote_identifier(((DynShapeColumn *) lfirst(lc))->name));
	content = dyn_target_unfrozen(target, take_content(target, "x_content"));
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
	target->sink = dyn_target_make_sink(target);
	dyn_sink_ensure_index(target->sink);
	dyn_state_analyze(target->sink->name, target->counts.inserted);
}

/* The columns take the types of the query: readers wait from here to the end of the run. */
static void
follow_types(DynTarget *target)
{
	if (target->followers == NIL)
		return;
	dyn_follow_types(target->table->relid, target->followers);
	target->followers = NIL;
	target->sink = dyn_target_make_sink(target);
}

/* The key by which a table that is computed in full is to be kept, or NIL. */
static List *
full_key(DynTarget *target)
{
	List	   *key = dyn_target_key(target);

	if ((target->retry && target->retry->by_image) || !dyn_sink_key_fits(target->sink, key))
		return NIL;
	return key;
}

/* Whether there is an index for that; an index for another identity is in the way of rows written by their places. */
static bool
find_rows_by(DynTarget *target, List *key)
{
	target->sink->key = key;
	return dyn_sink_has_index(target->sink);
}

/*
 * Apply the difference between all that is stored and all that should be.
 * Rows stored under another identity may not have the present key: they are
 * then found by image, and the key's index comes afterwards.
 */
static void
apply_in_full(DynTarget *target, DynRows *delta, bool fill)
{
	DynSink    *sink = target->sink;
	List	   *key = full_key(target);
	bool		indexed = find_rows_by(target, key);
	bool		find = !fill && !(delta->placed && (delta->brief || dyn_apply_by_place(sink, delta->desc)));

	if (find && !indexed)
		sink->key = NIL;
	if (find)
		dyn_sink_ensure_index(sink);
	dyn_target_apply(target, delta);
	sink->key = key;
	dyn_sink_ensure_index(sink);
}

DynSink *
dyn_target_make_sink(DynTarget *target)
{
	return dyn_target_sink(target->table->relid, target->ncolumns, target->columns,
						   dyn_target_key(target), target->followers != NIL);
}

/* The key that the plan gives the rows, if any. */
List *
dyn_target_key(DynTarget *target)
{
	List	   *key = target->plan && target->plan->top->has_key ? target->plan->top->key : NIL;

	/* one row of a key could be frozen and another one not */
	if (target->frozen && list_difference_int(dyn_frozen_places(target->frozen), key) != NIL)
		return NIL;
	return key;
}

/* Of a delta what is not frozen. */
DynRows *
dyn_target_unfrozen(DynTarget *target, DynRows *delta)
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
add_content(DynTarget *target, DynRowSink sink, void *arg)
{
	DynExecution *execution = &target->evaluation.execution;

	if (target->plan)
		dyn_execute(execution, dyn_sql_content(&target->evaluation.sql, target->plan->top), sink, arg);
	else
		dyn_execute_query(execution, (Query *) dyn_expr_at((Node *) target->query, target->run->upto), sink, arg);
}

/* ------------------------------------------------------------------------
 * Applying
 * ------------------------------------------------------------------------
 */
typedef struct Application
{
	DynTarget  *target;
	DynRows    *delta;
} Application;

static void
write_delta(void *arg)
{
	Application *application = arg;
	DynTarget  *target = application->target;

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

void
dyn_target_apply(DynTarget *target, DynRows *delta)
{
	DynPhase	phase;
	Application application = {target, delta};
	DynSink    *sink = target->sink;
	ErrorData  *error;

	if (delta->count == 0 && target->counts.updated == 0)
		return;
	phase = dyn_phase_enter(DYN_PHASE_APPLY);
	dyn_own_log_write(&target->evaluation.execution, sink, delta, target->position->refresh_no + 1);
	dyn_feed_write(&target->evaluation.execution, sink, delta, target->position->refresh_no + 1, target->run->upto);
	if (sink->outlived == NIL)
		write_delta(&application);
	else if ((error = dyn_try(write_delta, &application, true)) != NULL)
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
