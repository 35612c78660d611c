/*
 * dyn_recursive.c
 *	  WITH RECURSIVE kept up to date.
 *
 * The state table holds R = seed + step(R), all rounds.  The step is linear in
 * R, so what a change brings about is found as the query itself would: a first
 * wave, and then step(wave) until nothing comes any more, each round by the
 * delta of the step's operators with the wave as the delta of WORKING.
 *
 * UNION ALL.  Rows have weights, R is a sum over rounds, and
 *	 ΔR = wave + step'(ΔR),	wave = Δseed + Δstep(R°),
 * where Δstep(R°) is the step's delta with WORKING unchanged.  The equation has
 * this one solution only where no row of R° leads back to itself by the new
 * step.  With additions alone that holds because R' has all of R°, and ends;
 * with retractions alone because the old step had more.  With both, rows that
 * are no longer reached may be on a cycle that an added row has closed, and
 * keep each other: in the sum of the wave the retraction of one and its
 * addition by the cycle cancel.  Such a cycle is found by following what added rows
 * derive from R° by itself, which then does not end.
 *
 * UNION.  Here a row stays while anything derives it, and the number of its
 * derivations is of no use: rows on a cycle derive each other, and would stay
 * although nothing leads to the cycle any more.  So retractions first take
 * too much and then give back (Gupta, Mumick and Subrahmanian 1993, "delete
 * and rederive"):
 *	 1. all rows go that one deleted row of the seed or of a table took part in
 *		deriving, and what these derive, round by round;
 *	 2. of these, the rows come back that the new seed or a step from rows that
 *		are left derives, together with what added rows derive from them, and
 *		what all of these derive, round by round, as far as it is not there.
 * In 1 the deleted rows are joined with the new content of tables and, as they
 * are their own old parts, with each other: which takes in all that was.
 * Without deletions there is no 1, and 2 is semi-naive evaluation.
 *
 * In both, derivations must only be lost by deletions and only be won by
 * additions: the right side of an outer or anti join, and the clock in the
 * step, must not have changed.
 *
 * Where any of this does not hold or would not pay, the recursive query is
 * computed anew, and its difference from the state is the delta: when there are
 * many rounds, as each costs a plan; when half of the state would go; and
 * where the node has no seed and step to begin with (dyn_build_recursive.c).
 */
#include <postgres.h>

#include <access/table.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <optimizer/plancat.h>
#include <utils/memutils.h>
#include <utils/rel.h>

#include "query/dyn_expr.h"
#include "refresh/dyn_evaluate.h"

/* More rounds than this, and the server's own loop is faster: it plans once. */
#define MAX_ROUNDS 200

/* So many rows cost nothing to speak of, whatever the state's size. */
#define FEW_ROWS 1000

typedef struct Recursion Recursion;

/* From the rows that a wave brings, those that go on; applies them where that must be at once. */
typedef DynRows *(*WaveFilter) (Recursion *recursion, DynRows *wave);

struct Recursion
{
	DynEvaluation *evaluation;
	DynNode    *node;
	DynNode    *seed;
	DynNode    *step;
	List	   *outside;		/* of DynNode *: the seed, and what the loop reads that is not in it */
	DynRows    *delta;			/* of the node */
	DynRows    *gone;			/* UNION: what was retracted, to be derived again */
	int			rounds;
	double		stored;			/* rows of the state, about */
};

static void begin(Recursion *recursion, DynEvaluation *evaluation, DynNode *node);
static bool anything_changed(Recursion *recursion);
static bool has_moved(Recursion *recursion);
static bool follow_sum(Recursion *recursion);
static bool follow_set(Recursion *recursion);
static bool is_monotone(Recursion *recursion);
static bool any_of_sign(Recursion *recursion, int sign);
static DynRows *first_wave(Recursion *recursion, int sign);
static DynRows *half_of(DynRows *rows, int sign);
static bool spread(Recursion *recursion, DynRows *wave, WaveFilter filter);
static DynRows *next_wave(Recursion *recursion, DynRows *wave);
static DynRows *run_step(Recursion *recursion);
static void end_loop(Recursion *recursion, DynRows *kept);
static DynRows *take_all(Recursion *recursion, DynRows *wave);
static DynRows *retract(Recursion *recursion, DynRows *wave);
static DynRows *extend(Recursion *recursion, DynRows *wave);
static void rederive(Recursion *recursion, DynRows *wave);
static char *against(Recursion *recursion, DynRows *rows, const char *select, const char *before,
					 const char *source, const char *on, const char *after);
static void compute_anew(Recursion *recursion);
static void append(DynRows *to, DynRows *from, int times);
static double stored_rows(Recursion *recursion);

DynRows *
dyn_recursive_delta(DynEvaluation *evaluation, DynNode *node)
{
	Recursion	recursion = {0};
	DynCounts	counts = {0};

	begin(&recursion, evaluation, node);
	if (!anything_changed(&recursion))
		return NULL;
	if (node->whole)
		compute_anew(&recursion);
	else if (node->distinct)
	{
		if (!follow_set(&recursion))
			compute_anew(&recursion);
	}
	else if (follow_sum(&recursion))
		dyn_apply(&evaluation->execution, evaluation->states[node->no], recursion.delta, &counts);
	else
	{
		dyn_rows_end(recursion.delta);
		begin(&recursion, evaluation, node);
		compute_anew(&recursion);
	}
	dyn_rows_consolidate(recursion.delta);
	dyn_rows_register(recursion.delta, evaluation->execution.env);
	return recursion.delta;
}

static DynRows *
new_delta(Recursion *recursion, const char *prefix)
{
	DynNode    *node = recursion->node;

	return dyn_rows_begin(psprintf("%s%d", prefix, node->no), dyn_delta_desc(node->ncolumns, node->columns),
						  dyn_delta_identity(node->ncolumns, node->columns));
}

static void
begin(Recursion *recursion, DynEvaluation *evaluation, DynNode *node)
{
	ListCell   *ln;
	ListCell   *li;

	memset(recursion, 0, sizeof(Recursion));
	recursion->evaluation = evaluation;
	recursion->node = node;
	recursion->delta = new_delta(recursion, "d");
	if (node->whole)
	{
		recursion->outside = node->inputs;
		return;
	}
	recursion->seed = dyn_input(node, 1);
	recursion->step = dyn_input(node, 2);
	recursion->outside = list_make1(recursion->seed);
	foreach(ln, node->loop)
		foreach(li, ((DynNode *) lfirst(ln))->inputs)
			if (!list_member_ptr(node->loop, lfirst(li)))
				recursion->outside = list_append_unique_ptr(recursion->outside, lfirst(li));
}

static bool
anything_changed(Recursion *recursion)
{
	ListCell   *lc;

	foreach(lc, recursion->outside)
		if (recursion->evaluation->sql.changed[((DynNode *) lfirst(lc))->no])
			return true;
	return has_moved(recursion);
}

/* Does the clock by itself change what the step, or the query as a whole, yields? */
static bool
has_moved(Recursion *recursion)
{
	DynSql	   *sql = &recursion->evaluation->sql;
	ListCell   *lc;

	if (sql->since == sql->upto)
		return false;
	if (recursion->node->whole)
		return dyn_expr_has_now((Node *) recursion->node->whole);
	foreach(lc, recursion->node->loop)
		if (dyn_node_moves(lfirst(lc)))
			return true;
	return false;
}

/* ------------------------------------------------------------------------
 * UNION ALL
 * ------------------------------------------------------------------------
 */

/* False when it has to be computed anew; nothing has been applied. */
static bool
follow_sum(Recursion *recursion)
{
	DynRows    *wave;

	if (!is_monotone(recursion))
		return false;
	wave = first_wave(recursion, 0);
	if (any_of_sign(recursion, 1) && any_of_sign(recursion, -1))
	{
		DynRows    *added = first_wave(recursion, 1);

		append(wave, added, -1);
		dyn_rows_consolidate(wave);
		if (!spread(recursion, added, take_all))
			return false;
	}
	if (!spread(recursion, wave, take_all))
		return false;
	dyn_rows_consolidate(recursion->delta);
	return true;
}

static DynRows *
take_all(Recursion *recursion, DynRows *wave)
{
	if (recursion->delta->count + wave->count > Max(10 * FEW_ROWS, 2 * stored_rows(recursion)))
		return NULL;
	return wave;
}

/* ------------------------------------------------------------------------
 * UNION
 * ------------------------------------------------------------------------
 */

/* False when it has to be computed anew; the delta is what was applied to the state before. */
static bool
follow_set(Recursion *recursion)
{
	DynRows    *wave;

	if (!is_monotone(recursion))
		return false;
	if (any_of_sign(recursion, -1))
	{
		recursion->gone = new_delta(recursion, "g");
		if (!spread(recursion, first_wave(recursion, -1), retract))
			return false;
	}
	wave = first_wave(recursion, 1);
	if (recursion->gone && recursion->gone->count > 0)
		rederive(recursion, wave);
	return spread(recursion, wave, extend);
}

static bool
is_monotone(Recursion *recursion)
{
	ListCell   *lc;

	if (has_moved(recursion))
		return false;
	foreach(lc, recursion->node->loop)
	{
		DynNode    *node = lfirst(lc);

		if (node->kind == DYN_NODE_JOIN && recursion->evaluation->sql.changed[dyn_input(node, 2)->no])
			return false;
	}
	return true;
}

/* Has any of the changes this sign? */
static bool
any_of_sign(Recursion *recursion, int sign)
{
	ListCell   *lc;

	foreach(lc, recursion->outside)
	{
		DynRows    *delta = recursion->evaluation->deltas[((DynNode *) lfirst(lc))->no];

		if (delta && (sign > 0 ? delta->plus : delta->minus) > 0)
			return true;
	}
	return false;
}

/* What a statement yields of the node's columns, with a weight. */
static DynRows *
marked_rows(Recursion *recursion, const char *statement)
{
	DynNode    *node = recursion->node;

	return dyn_execute_rows(&recursion->evaluation->execution, psprintf("x%d", node->no), statement,
							dyn_delta_desc(node->ncolumns, node->columns),
							dyn_delta_identity(node->ncolumns, node->columns));
}

/* The stored rows that the wave names, which are taken out of the state. */
static DynRows *
retract(Recursion *recursion, DynRows *wave)
{
	DynEvaluation *evaluation = recursion->evaluation;
	DynNode    *node = recursion->node;
	DynCounts	counts = {0};
	DynRows    *rows;
	char	   *statement;

	statement = against(recursion, wave,
						dyn_sql_weighted("(-1)::bigint", "s", node->ncolumns),
						"JOIN", evaluation->sql.stages[node->no], "ON", "");
	rows = marked_rows(recursion, statement);
	if (recursion->gone->count + rows->count > Max(FEW_ROWS, stored_rows(recursion) / 2))
		return NULL;
	dyn_apply(&evaluation->execution, evaluation->states[node->no], rows, &counts);
	append(recursion->gone, rows, 1);
	return rows;
}

/* The rows of the wave that the state does not have, which are put into it. */
static DynRows *
extend(Recursion *recursion, DynRows *wave)
{
	DynEvaluation *evaluation = recursion->evaluation;
	DynNode    *node = recursion->node;
	DynCounts	counts = {0};
	DynRows    *rows;
	char	   *statement;

	statement = against(recursion, wave,
						dyn_sql_weighted("1::bigint", "d", node->ncolumns),
						"WHERE NOT EXISTS (SELECT FROM", evaluation->sql.stages[node->no], "WHERE", ")");
	rows = marked_rows(recursion, statement);
	dyn_apply(&evaluation->execution, evaluation->states[node->no], rows, &counts);
	return rows;
}

/* Add to the wave the rows that are gone and that the seed or one step from what is left derives. */
static void
rederive(Recursion *recursion, DynRows *wave)
{
	DynEvaluation *evaluation = recursion->evaluation;
	char	   *select = dyn_sql_weighted("1::bigint", "d", recursion->node->ncolumns);
	ListCell   *lc;

	dyn_rows_register(recursion->gone, evaluation->execution.env);
	foreach(lc, recursion->node->inputs)
		dyn_execute(&evaluation->execution,
					against(recursion, recursion->gone, select, "WHERE EXISTS (SELECT FROM",
							psprintf("(%s)", dyn_sql_content(&evaluation->sql, lfirst(lc))), "WHERE", ")"),
					dyn_rows_sink, wave);
}

/*
 * SELECT … FROM the distinct rows d of an ephemeral relation, set against the
 * rows s of source that equal them.  Rows with NULLs go by a statement of
 * their own, as no index serves their comparison.
 */
static char *
against(Recursion *recursion, DynRows *rows, const char *select, const char *before,
		const char *source, const char *on, const char *after)
{
	DynNode    *node = recursion->node;
	List	   *names = NIL;
	List	   *types = NIL;
	bool		nulls = false;
	char	   *not_null;
	char	   *from = psprintf("SELECT %s FROM (SELECT DISTINCT %s FROM %s d", select,
								dyn_sql_columns("d", node->ncolumns), rows->name);
	char	   *to = psprintf(") d %s %s s %s", before, source, on);

	for (int i = 1; i <= node->ncolumns; i++)
	{
		names = lappend(names, psprintf("c%d", i));
		types = lappend_oid(types, node->columns[i - 1].type);
		nulls |= rows->has_null[i];
	}
	if (!nulls)
		return psprintf("%s%s %s%s", from, to, dyn_sql_match("d", names, "s", names, types, false), after);
	not_null = dyn_sql_not_null("d", names, types);
	return psprintf("%s WHERE %s%s %s%s UNION ALL %s WHERE NOT %s%s %s%s",
					from, not_null, to, dyn_sql_match("d", names, "s", names, types, false), after,
					from, not_null, to, dyn_sql_match("d", names, "s", names, types, true), after);
}

/* ------------------------------------------------------------------------
 * Waves
 * ------------------------------------------------------------------------
 */

/*
 * Δseed + Δstep(R), R being what is stored: of all changes, or of those of
 * one sign.
 */
static DynRows *
first_wave(Recursion *recursion, int sign)
{
	DynEvaluation *evaluation = recursion->evaluation;
	QueryEnvironment *env = evaluation->execution.env;
	int			n = list_length(evaluation->sql.plan->nodes) + 1;
	DynRows   **deltas = evaluation->deltas;
	DynRows    *wave = new_delta(recursion, "v");
	ListCell   *lc;

	if (sign != 0)
	{
		evaluation->execution.env = create_queryEnv();
		evaluation->deltas = palloc0(sizeof(DynRows *) * n);
		foreach(lc, recursion->outside)
		{
			int			no = ((DynNode *) lfirst(lc))->no;
			DynRows    *half;

			if (deltas[no] == NULL)
				continue;
			half = evaluation->deltas[no] = half_of(deltas[no], sign);
			dyn_rows_register(half, evaluation->execution.env);
			evaluation->sql.changed[no] = half->count;
		}
	}
	append(wave, evaluation->deltas[recursion->seed->no], 1);
	append(wave, run_step(recursion), 1);
	dyn_rows_consolidate(wave);
	end_loop(recursion, NULL);
	if (sign != 0)
	{
		foreach(lc, recursion->outside)
		{
			int			no = ((DynNode *) lfirst(lc))->no;

			if (evaluation->deltas[no])
				dyn_rows_end(evaluation->deltas[no]);
			evaluation->sql.changed[no] = deltas[no] ? deltas[no]->count : 0;
		}
		evaluation->deltas = deltas;
		evaluation->execution.env = env;
	}
	return wave;
}

static DynRows *
half_of(DynRows *rows, int sign)
{
	DynRows    *half = dyn_rows_begin(rows->name, rows->desc, rows->identity);
	TupleTableSlot *slot = dyn_rows_slot(rows);

	dyn_rows_rewind(rows);
	while (dyn_rows_next(rows, slot))
		if ((DatumGetInt64(slot->tts_values[0]) > 0) == (sign > 0))
			dyn_rows_put(half, slot);
	ExecDropSingleTupleTableSlot(slot);
	return half;
}

/*
 * Round by round, from a first wave.  What goes on is added to the delta.  A
 * round has its own ephemeral relations and memory; what it yields lives until
 * the next one ends.  False when there were too many, or the filter said so.
 */
static bool
spread(Recursion *recursion, DynRows *wave, WaveFilter filter)
{
	DynExecution *execution = &recursion->evaluation->execution;
	QueryEnvironment *env = execution->env;
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext turns[2];
	bool		ended = wave->count == 0;

	for (int i = 0; i < 2; i++)
		turns[i] = AllocSetContextCreate(outer, "dyntable round of a recursion", ALLOCSET_DEFAULT_SIZES);
	while (!ended && recursion->rounds++ < MAX_ROUNDS)
	{
		DynRows    *kept;
		DynRows    *next = NULL;

		MemoryContextReset(turns[recursion->rounds % 2]);
		MemoryContextSwitchTo(turns[recursion->rounds % 2]);
		execution->env = create_queryEnv();
		dyn_rows_register(wave, execution->env);
		kept = filter(recursion, wave);
		if (kept == NULL)
			break;
		append(recursion->delta, kept, 1);
		ended = kept->count == 0 || (next = next_wave(recursion, kept))->count == 0;
		if (kept != wave)
			dyn_rows_end(kept);
		dyn_rows_end(wave);
		wave = next;
		CHECK_FOR_INTERRUPTS();
	}
	execution->env = env;
	MemoryContextSwitchTo(outer);
	for (int i = 0; i < 2; i++)
		MemoryContextDelete(turns[i]);
	return ended;
}

/* step'(wave): all that the step reads besides is new, and is so at the new moment. */
static DynRows *
next_wave(Recursion *recursion, DynRows *wave)
{
	DynEvaluation *evaluation = recursion->evaluation;
	DynSql	   *sql = &evaluation->sql;
	TimestampTz since = sql->since;
	int			working = recursion->node->working->no;
	DynRows    *rows = palloc(sizeof(DynRows));
	DynRows    *result;
	ListCell   *lc;

	*rows = *wave;
	rows->name = psprintf("d%d", working);
	dyn_rows_register(rows, evaluation->execution.env);
	evaluation->deltas[working] = rows;
	sql->changed[working] = rows->count;
	foreach(lc, recursion->outside)
		sql->changed[((DynNode *) lfirst(lc))->no] = 0;
	sql->since = sql->upto;

	result = run_step(recursion);

	evaluation->deltas[working] = NULL;
	end_loop(recursion, result);
	sql->since = since;
	foreach(lc, recursion->outside)
	{
		int			no = ((DynNode *) lfirst(lc))->no;

		sql->changed[no] = evaluation->deltas[no] ? evaluation->deltas[no]->count : 0;
	}
	if (result == NULL)
		return new_delta(recursion, "v");
	result->name = psprintf("v%d", recursion->node->no);
	return result;
}

/* The delta of the step for the changes that are noted, or NULL. */
static DynRows *
run_step(Recursion *recursion)
{
	ListCell   *lc;

	foreach(lc, recursion->node->loop)
		if (lfirst(lc) != recursion->node->working)
			dyn_evaluate_node(recursion->evaluation, lfirst(lc));
	return recursion->evaluation->deltas[recursion->step->no];
}

/* Give up the deltas of the loop's nodes, but for one. */
static void
end_loop(Recursion *recursion, DynRows *kept)
{
	DynEvaluation *evaluation = recursion->evaluation;
	ListCell   *lc;

	foreach(lc, recursion->node->loop)
	{
		int			no = ((DynNode *) lfirst(lc))->no;

		if (evaluation->deltas[no] && evaluation->deltas[no] != kept)
			dyn_rows_end(evaluation->deltas[no]);
		evaluation->deltas[no] = NULL;
		evaluation->sql.changed[no] = 0;
	}
}

/* Add rows, if any, to others, by so many times their weight. */
static void
append(DynRows *to, DynRows *from, int times)
{
	TupleTableSlot *slot;

	if (from == NULL || from->count == 0)
		return;
	slot = dyn_rows_slot(from);
	dyn_rows_rewind(from);
	while (dyn_rows_next(from, slot))
	{
		slot->tts_values[0] = Int64GetDatum(times * DatumGetInt64(slot->tts_values[0]));
		dyn_rows_put(to, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* The rows of the state, as the planner would estimate them. */
static double
stored_rows(Recursion *recursion)
{
	Relation	rel;
	BlockNumber pages;
	double		visible;

	if (recursion->stored > 0)
		return recursion->stored;
	rel = table_open(dyn_stage_get(recursion->evaluation->relid, recursion->node->no), AccessShareLock);
	estimate_rel_size(rel, NULL, &pages, &recursion->stored, &visible);
	table_close(rel, NoLock);
	recursion->stored = Max(recursion->stored, 1);
	return recursion->stored;
}

/* ------------------------------------------------------------------------
 * Anew
 * ------------------------------------------------------------------------
 */

/* The difference between what is stored by now and what should be. */
static void
compute_anew(Recursion *recursion)
{
	DynEvaluation *evaluation = recursion->evaluation;
	DynNode    *node = recursion->node;
	DynRows    *difference = new_delta(recursion, "n");
	DynSigned  *target = dyn_rows_signed(difference);
	DynCounts	counts = {0};

	target->weight = 1;
	dyn_execute(&evaluation->execution, dyn_recursive_fill(evaluation, node), dyn_rows_signed_sink, target);
	target->weight = -1;
	dyn_execute(&evaluation->execution, dyn_sql_content(&evaluation->sql, node), dyn_rows_signed_sink, target);
	dyn_rows_consolidate(difference);
	dyn_rows_register(difference, evaluation->execution.env);
	dyn_apply(&evaluation->execution, evaluation->states[node->no], difference, &counts);
	append(recursion->delta, difference, 1);
}

char *
dyn_recursive_fill(DynEvaluation *evaluation, DynNode *node)
{
	DynSql	   *sql = &evaluation->sql;
	char	   *columns = dyn_sql_columns(NULL, node->ncolumns);
	char	   *name;
	char	   *statement;

	if (node->whole)
	{
		List	   *described = NIL;
		DynRows    *rows;

		for (int i = 0; i < node->ncolumns; i++)
			described = lappend(described, &node->columns[i]);
		rows = dyn_rows_begin(psprintf("q%d", node->no), dyn_columns_desc("c", described), NULL);
		dyn_execute_query(&evaluation->execution,
						  (Query *) dyn_expr_at(copyObject((Node *) node->whole), sql->upto),
						  dyn_rows_sink, rows);
		dyn_rows_register(rows, evaluation->execution.env);
		return psprintf("SELECT %s FROM %s", columns, rows->name);
	}
	name = psprintf("r%d", node->no);
	sql->stages[node->working->no] = name;
	statement = psprintf("WITH RECURSIVE %s(%s) AS (SELECT %s FROM (%s) i1 UNION %sSELECT %s FROM (%s) i1) SELECT %s FROM %s",
						 name, columns, columns, dyn_sql_content(sql, dyn_input(node, 1)),
						 node->distinct ? "" : "ALL ", columns,
						 dyn_sql_content(sql, dyn_input(node, 2)), columns, name);
	sql->stages[node->working->no] = sql->stages[node->no];
	return statement;
}
