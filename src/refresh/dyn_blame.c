/*
 * dyn_blame.c
 *	  Which row of a source, and which expression, made a refresh fail.
 *
 * A value that an expression cannot take says nothing of where it came from:
 * the statement that failed is generated, and reads rows that were on their
 * way.  So the expressions of the plan, written over the columns of tables
 * (dyn_suspects.c), are tried one by one on the rows that changed, then on all
 * rows, until one raises the same error.
 *
 * Nothing of this happens before something has failed, and then for a few
 * seconds at most.  Definitions without a plan are not taken apart, and tables
 * that the owner may not read by himself are not looked into.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <catalog/pg_index.h>
#include <executor/executor.h>
#include <mb/pg_wchar.h>
#include <optimizer/optimizer.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/timestamp.h>

#include "capture/dyn_capture.h"
#include "query/dyn_expr.h"
#include "query/dyn_node.h"
#include "query/dyn_plan.h"
#include "query/dyn_query.h"
#include "query/dyn_vars.h"
#include "refresh/dyn_blame.h"
#include "refresh/dyn_suspects.h"

/* How long all of the search may take. */
#define MOST_MS 5000

/* Of a value more bytes are not shown. */
#define MOST_BYTES 64

typedef struct Blame
{
	DynRun	   *run;
	Oid			relid;
	const ErrorData *error;
	MemoryContext context;		/* of what outlives the search */
	TimestampTz deadline;
	DynEvaluation evaluation;
	List	   *suspects;		/* of DynSuspect * */
	char	   *line;
} Blame;

/* One statement whose rows are tried. */
typedef struct Trial
{
	Blame	   *blame;
	List	   *suspects;		/* all over the same scans */
	List	   *scans;
	int			delta;			/* of which of them the delta is read, from 0; -1: of none */
	int		   *offsets;		/* by scan: its first column in a row, from 0 */
	List	  **attnums;		/* by scan: what its columns are in the table */
	ExprContext *econtext;
	ExprState **filters;		/* by suspect */
	ExprState **exprs;
	DynSuspect *current;
	HeapTuple	row;			/* on which current failed */
	TupleDesc	desc;
} Trial;

static void search(void *arg);
static bool try_rows(Blame *blame, List *suspects, int delta);
static void run_trial(void *arg);
static void try_row(TupleTableSlot *slot, void *arg);
static char *trial_statement(Trial *trial);
static char *describe(Trial *trial);

char *
dyn_blame(DynRun *run, Oid relid, const ErrorData *error)
{
	Blame		blame = {.run = run,.relid = relid,.error = error,.context = CurrentMemoryContext};
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	MemoryContext work;
	ResourceOwner rows;
	ErrorData  *failure;

	if (category != ERRCODE_DATA_EXCEPTION && category != ERRCODE_PLPGSQL_ERROR)
		return NULL;
	blame.deadline = GetCurrentTimestamp() + MOST_MS * INT64CONST(1000);
	work = AllocSetContextCreate(CurrentMemoryContext, "dyntable blame", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(work);
	rows = dyn_rows_open();
	failure = dyn_try(search, &blame, false);
	dyn_rows_close();
	dyn_rows_restore(rows);
	MemoryContextSwitchTo(blame.context);
	if (failure && failure->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(failure);
	MemoryContextDelete(work);
	return blame.line ? blame.line : psprintf("refresh of dynamic table %s", dyn_relation_name(relid));
}

/* ------------------------------------------------------------------------
 * The search
 * ------------------------------------------------------------------------
 */
static double
time_left(double cost, void *arg)
{
	const Blame *blame = arg;

	return Max((blame->deadline - GetCurrentTimestamp()) / 1000.0, 1);
}

static void
give_up(void *arg)
{
	ereport(ERROR, errcode(ERRCODE_DYN_DEARER), errmsg("no time left to find the row"));
}

/* Suspects over one and the same table go together, so that its rows are read once. */
static List *
companions(Blame *blame, DynSuspect *first)
{
	List	   *found = NIL;
	ListCell   *lc;

	if (list_length(first->scans) > 1)
		return list_make1(first);
	foreach(lc, blame->suspects)
	{
		DynSuspect *other = lfirst(lc);

		if (list_length(other->scans) == 1 && linitial(other->scans) == linitial(first->scans))
			found = lappend(found, other);
	}
	return linitial(found) == first ? found : NIL;
}

/* Is there a log of the table's changes, which this one has followed? */
static bool
has_log(const DynEvaluation *evaluation, const DynNode *node)
{
	DynSource  *source;
	ListCell   *lc;

	foreach(lc, evaluation->edges)
		if (((DynEdge *) lfirst(lc))->source == node->relid)
			break;
	if (lc == NULL)
		return false;
	if (node->dynamic)
		return OidIsValid(dyn_stage_get(node->relid, 0));
	source = dyn_source_get(node->relid);
	return source != NULL && dyn_changelog_exists(source);
}

static void
load_deltas(Blame *blame, DynPlan *plan, DynPosition *position)
{
	DynEvaluation *evaluation = &blame->evaluation;
	ListCell   *lc;

	if (!dyn_position_holds(blame->run, position) || position->snapshot == NULL)
		return;
	foreach(lc, plan->nodes)
	{
		DynNode    *node = lfirst(lc);

		if (node->kind == DYN_NODE_SCAN && has_log(evaluation, node) && evaluation->reinit_reason == NULL)
			dyn_evaluate_node(evaluation, node);
	}
	if (evaluation->reinit_reason)
		memset(evaluation->sql.changed, 0, sizeof(int64) * (list_length(plan->nodes) + 1));
}

static void
search(void *arg)
{
	Blame	   *blame = arg;
	DynTable   *table = dyn_table_get(blame->relid, false);
	DynPosition *position = dyn_position_get(blame->relid);
	DynEvaluation *evaluation = &blame->evaluation;
	DynIdentity identity;
	DynRefusal	refusal;
	DynPlan    *plan;
	Query	   *query;
	bool		retyped;
	int			n;
	ListCell   *lc;

	dyn_become_owner(table, &identity);
	query = dyn_stored_query(table, &retyped);
	plan = dyn_plan_build(dyn_query_expand(query), dyn_query_sources(query), &refusal);
	if (plan == NULL)
		return;
	n = list_length(plan->nodes) + 1;
	evaluation->relid = blame->relid;
	evaluation->edges = dyn_run_edges(blame->run, blame->relid);
	evaluation->since = position->snapshot;
	evaluation->upto = blame->run->position;
	evaluation->choice.position = position;
	evaluation->deltas = palloc0(sizeof(DynRows *) * n);
	evaluation->sql.plan = plan;
	evaluation->sql.upto = blame->run->upto;
	evaluation->sql.changed = palloc0(sizeof(int64) * n);
	evaluation->execution.snapshot = blame->run->snapshot;
	evaluation->execution.env = create_queryEnv();
	evaluation->execution.planned = time_left;
	evaluation->execution.late = give_up;
	evaluation->execution.planned_arg = blame;
	blame->suspects = dyn_suspects(plan);
	load_deltas(blame, plan, position);
	foreach(lc, blame->suspects)
	{
		List	   *together = companions(blame, lfirst(lc));

		for (int i = 0; together && i < list_length(((DynSuspect *) lfirst(lc))->scans); i++)
			if (try_rows(blame, together, i))
				return;
	}
	foreach(lc, blame->suspects)
	{
		List	   *together = companions(blame, lfirst(lc));

		if (together && try_rows(blame, together, -1))
			return;
	}
}

/* ------------------------------------------------------------------------
 * Trying them on rows
 * ------------------------------------------------------------------------
 */

/* The columns of the table's key that its rows are called by: of the primary key, or another one without NULLs. */
static List *
key_columns(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		List	   *columns = NIL;
		bool		is_key = form->indisunique && form->indisvalid && form->indimmediate &&
			RelationGetIndexPredicate(index) == NIL;

		for (int i = 0; i < form->indnkeyatts && is_key; i++)
		{
			AttrNumber	attnum = form->indkey.values[i];

			is_key = attnum > 0 && TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull;
			columns = lappend_int(columns, attnum);
		}
		if (is_key && (found == NIL || form->indisprimary))
			found = columns;
		index_close(index, AccessShareLock);
	}
	table_close(rel, AccessShareLock);
	return found;
}

/* A scan with more columns of the table behind its own. */
static DynNode *
widen(DynNode *scan, List *attnums)
{
	DynNode    *wide = palloc(sizeof(DynNode));

	*wide = *scan;
	wide->attnums = list_concat_unique_int(list_copy(scan->attnums), attnums);
	wide->ncolumns = list_length(wide->attnums);
	return wide;
}

/* Whether one of the suspects was found guilty.  delta: of which scan the delta is read, -1: none's */
static bool
try_rows(Blame *blame, List *suspects, int delta)
{
	List	   *scans = ((DynSuspect *) linitial(suspects))->scans;
	ErrorData  *error;

	if (delta >= 0 && blame->evaluation.sql.changed[((DynNode *) list_nth(scans, delta))->no] == 0)
		return false;
	for (;;)
	{
		Trial		trial = {.blame = blame,.scans = scans,.delta = delta};
		ListCell   *lc;

		foreach(lc, suspects)
			if (!((DynSuspect *) lfirst(lc))->cleared)
				trial.suspects = lappend(trial.suspects, lfirst(lc));
		if (trial.suspects == NIL || GetCurrentTimestamp() > blame->deadline)
			return false;
		error = dyn_try(run_trial, &trial, false);
		if (error == NULL || trial.current == NULL)
		{
			if (error && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
				ReThrowError(error);
			return false;
		}
		if (error->sqlerrcode == blame->error->sqlerrcode &&
			strcmp(error->message, blame->error->message) == 0)
		{
			blame->line = MemoryContextStrdup(blame->context, describe(&trial));
			return true;
		}
		trial.current->cleared = true;
	}
}

static Node *
place_var(Var *var, void *arg)
{
	var->varattno += ((const Trial *) arg)->offsets[var->varno - 1];
	var->varno = 1;
	return (Node *) var;
}

/* The expression, over the columns of the trial's rows. */
static Expr *
prepare_expr(Trial *trial, Node *expr)
{
	Node	   *placed = dyn_vars_map(expr, place_var, trial);

	return expression_planner((Expr *) dyn_expr_at(placed, trial->blame->run->upto));
}

static void
run_trial(void *arg)
{
	Trial	   *trial = arg;
	int			n = list_length(trial->suspects);
	char	   *statement = trial_statement(trial);
	EState	   *estate = CreateExecutorState();
	ListCell   *lc;
	ListCell   *lf;

	trial->econtext = CreateExprContext(estate);
	trial->filters = palloc0(sizeof(ExprState *) * n);
	trial->exprs = palloc0(sizeof(ExprState *) * n);
	foreach(lc, trial->suspects)
	{
		DynSuspect *one = lfirst(lc);
		int			i = foreach_current_index(lc);
		List	   *filters = NIL;

		foreach(lf, one->filters)
			filters = lappend(filters, prepare_expr(trial, lfirst(lf)));
		trial->filters[i] = ExecInitQual(filters, NULL);
		trial->exprs[i] = ExecInitExpr(prepare_expr(trial, one->expr), NULL);
	}
	(void) dyn_execute(&trial->blame->evaluation.execution, statement, try_row, trial);
}

static void
try_row(TupleTableSlot *slot, void *arg)
{
	Trial	   *trial = arg;
	ListCell   *lc;

	trial->econtext->ecxt_scantuple = slot;
	ResetExprContext(trial->econtext);
	PG_TRY();
	{
		foreach(lc, trial->suspects)
		{
			int			i = foreach_current_index(lc);
			bool		isnull;

			trial->current = lfirst(lc);
			if (ExecQual(trial->filters[i], trial->econtext))
				(void) ExecEvalExprSwitchContext(trial->exprs[i], trial->econtext, &isnull);
		}
		trial->current = NULL;
	}
	PG_CATCH();
	{
		MemoryContext old = MemoryContextSwitchTo(trial->blame->context);

		trial->row = ExecCopySlotHeapTuple(slot);
		trial->desc = CreateTupleDescCopy(slot->tts_tupleDescriptor);
		MemoryContextSwitchTo(old);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* SELECT of the columns of all scans, one behind the other. */
static char *
trial_statement(Trial *trial)
{
	DynSql	   *sql = &trial->blame->evaluation.sql;
	int			n = list_length(trial->scans);
	int		   *ncolumns = palloc(sizeof(int) * n);
	StringInfoData columns;
	StringInfoData from;
	int			width = 0;
	ListCell   *lc;

	initStringInfo(&columns);
	initStringInfo(&from);
	trial->offsets = palloc(sizeof(int) * n);
	trial->attnums = palloc(sizeof(List *) * n);
	foreach(lc, trial->scans)
	{
		DynNode    *scan = lfirst(lc);
		int			i = foreach_current_index(lc);
		bool		delta = i == trial->delta;

		if (!delta)
			scan = widen(scan, key_columns(scan->relid));
		trial->offsets[i] = width;
		trial->attnums[i] = scan->attnums;
		ncolumns[i] = scan->ncolumns;
		width += scan->ncolumns;
		appendStringInfo(&from, "%s%s s%d", i ? ", " : " FROM ",
						 delta ? psprintf("d%d", scan->no) : psprintf("(%s)", dyn_sql_content(sql, scan)), i + 1);
		for (int c = 1; c <= scan->ncolumns; c++)
			appendStringInfo(&columns, "%ss%d.c%d AS c%d", columns.len ? ", " : "", i + 1, c,
							 trial->offsets[i] + c);
	}
	if (n > 1)
	{
		int			found = 0;

		foreach(lc, ((DynSuspect *) linitial(trial->suspects))->filters)
			if (dyn_suspect_is_plain(lfirst(lc)))
				appendStringInfo(&from, " %s %s", found++ ? "AND" : "WHERE",
								 dyn_expr_text(lfirst(lc), "s", n, ncolumns, NIL, NIL));
	}
	return psprintf("SELECT %s%s", columns.data, from.data);
}

/* ------------------------------------------------------------------------
 * Telling
 * ------------------------------------------------------------------------
 */

static char *
value_text(Datum value, bool isnull, Oid type)
{
	Oid			function;
	bool		varlena;
	char	   *text;

	if (isnull)
		return "null";
	getTypeOutputInfo(type, &function, &varlena);
	text = OidOutputFunctionCall(function, value);
	if (strlen(text) > MOST_BYTES)
		text = psprintf("%.*s...", pg_mbcliplen(text, strlen(text), MOST_BYTES), text);
	return text;
}

/* (a, b)=(1, 2) */
static char *
row_text(Oid relid, HeapTuple row, TupleDesc desc, int offset, List *attnums, List *wanted)
{
	StringInfoData names;
	StringInfoData values;
	ListCell   *lw;
	ListCell   *la;

	initStringInfo(&names);
	initStringInfo(&values);
	foreach(lw, wanted)
		foreach(la, attnums)
		{
			int			place = offset + foreach_current_index(la) + 1;
			Datum		value;
			bool		isnull;

			if (lfirst_int(la) != lfirst_int(lw))
				continue;
			value = heap_getattr(row, place, desc, &isnull);
			appendStringInfo(&names, "%s%s", names.len ? ", " : "", get_attname(relid, lfirst_int(lw), false));
			appendStringInfo(&values, "%s%s", values.len ? ", " : "",
							 value_text(value, isnull, TupleDescAttr(desc, place - 1)->atttypid));
		}
	return psprintf("(%s)=(%s)", names.data, values.data);
}

/* A row that is looked up. */
typedef struct Lookup
{
	Blame	   *blame;
	char	   *statement;
	HeapTuple	row;
	TupleDesc	desc;
} Lookup;

static void
take_row(TupleTableSlot *slot, void *arg)
{
	Lookup	   *lookup = arg;

	lookup->row = ExecCopySlotHeapTuple(slot);
	lookup->desc = CreateTupleDescCopy(slot->tts_tupleDescriptor);
}

static void
look_up(void *arg)
{
	Lookup	   *lookup = arg;

	(void) dyn_execute(&lookup->blame->evaluation.execution, lookup->statement, take_row, lookup);
}

/* The key of a row of a delta, in which the log has no more columns than are read; NULL: it is there no more. */
static char *
looked_up_key(Trial *trial, int i, List *key)
{
	DynNode    *scan = list_nth(trial->scans, i);
	DynNode    *wide = widen(scan, key);
	Lookup		lookup = {.blame = trial->blame};
	StringInfoData where;

	initStringInfo(&where);
	for (int c = 1; c <= scan->ncolumns; c++)
	{
		int			place = trial->offsets[i] + c;
		bool		isnull;
		Datum		value = heap_getattr(trial->row, place, trial->desc, &isnull);
		Oid			function;
		bool		varlena;

		getTypeOutputInfo(TupleDescAttr(trial->desc, place - 1)->atttypid, &function, &varlena);
		appendStringInfo(&where, "%s s.c%d::pg_catalog.text %s", c > 1 ? " AND" : " WHERE", c,
						 isnull ? "IS NULL" :
						 psprintf("= %s", quote_literal_cstr(OidOutputFunctionCall(function, value))));
	}
	lookup.statement = psprintf("SELECT s.* FROM (%s) s%s LIMIT 1",
								dyn_sql_content(&trial->blame->evaluation.sql, wide), where.data);
	if (dyn_try(look_up, &lookup, false) != NULL || lookup.row == NULL)
		return NULL;
	return row_text(scan->relid, lookup.row, lookup.desc, 0, wide->attnums, key);
}

/* By what the i-th scan's row is to be found: its key, or what was read of it. */
static char *
row_name(Trial *trial, int i)
{
	DynNode    *scan = list_nth(trial->scans, i);
	List	   *key = key_columns(scan->relid);
	char	   *text = NULL;

	if (key && list_difference_int(key, trial->attnums[i]) != NIL)
		text = looked_up_key(trial, i, key);
	else if (key)
		text = row_text(scan->relid, trial->row, trial->desc, trial->offsets[i], trial->attnums[i], key);
	return text ? text : row_text(scan->relid, trial->row, trial->desc, trial->offsets[i], trial->attnums[i],
								  scan->attnums);
}

static char *
describe(Trial *trial)
{
	int			n = list_length(trial->scans);
	char	  **names = palloc(sizeof(char *) * n);
	List	  **columns = palloc(sizeof(List *) * n);
	StringInfoData rows;
	ListCell   *lc;
	ListCell   *la;

	initStringInfo(&rows);
	foreach(lc, trial->scans)
	{
		DynNode    *scan = lfirst(lc);
		int			i = foreach_current_index(lc);

		names[i] = get_rel_name(scan->relid);
		columns[i] = NIL;
		foreach(la, scan->attnums)
			columns[i] = lappend(columns[i], makeString(get_attname(scan->relid, lfirst_int(la), false)));
		appendStringInfo(&rows, "%s row %s of table %s", i ? " and" : "", row_name(trial, i),
						 dyn_relation_name(scan->relid));
	}
	return psprintf("expression %s for%s, in the refresh of dynamic table %s",
					dyn_expr_text_of(trial->current->expr, n, names, columns), rows.data,
					dyn_relation_name(trial->blame->relid));
}
