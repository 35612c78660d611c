/*
 * dyn_aggregate.c
 *	  Groups kept up to date.
 *
 * The state of a group is a row of the node's state table: the output columns
 * c1 .. cn, n = number of input rows, x0 = how many of these, at least, have the very
 * keys (1.0, not 1.00), where keys may have variants, and per sum or average j the number of
 * values m<j> that are not NULL, their sum s<j> and perhaps how many t<j> have as
 * many decimal places as any can have, and per min or max whose
 * equal values are alike how many rows x<j> hold it, at least.  One refresh is
 *	 g: the delta summed per group (what changed),
 *	 u: g joined with the state (old output, new state, and whether the group
 *		must be read again),
 *	 r: the groups to be read again, from the input's content,
 *	 f: the final state (u, where none is read again),
 * of which the delta is -old +new, and the state table takes f: u tells where
 * the rows are, which are written without statements.  What is touched is the
 * delta, whatever the size of the groups.  Where the groups are the rows of the
 * dynamic table, u tells also where these are, and so does the delta.
 *
 * A group is read again where a signed sum cannot tell: it lost the last row known to have
 * its keys as they are shown (which are z<i> in u and f), min or max lost the last
 * row known to hold it, a numeric sum lost the last value known to set its scale, NaN or an
 * infinity left, or the aggregate has no such state at all (floating point
 * among them: nothing may drift).
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "refresh/dyn_aggregate_internal.h"

/* So many rows of a delta are few. */
#define FEW_ROWS 64

/* Of fewer groups it does not pay to ask whether the delta may be brief. */
#define MANY_GROUPS 200

/* What write_groups works on. */
typedef struct Finish
{
	DynGroups  *groups;
	DynRows    *final;
	DynRows    *delta;
} Finish;

static void take_input(DynGroups *groups);
static void put_update(TupleTableSlot *slot, void *arg);
static bool are_rows(const DynEvaluation *evaluation, const DynNode *node);
static void check_group(DynGroups *groups, TupleTableSlot *slot);
static void check_row(DynGroups *groups, TupleTableSlot *slot, bool had);
static DynRows *begin_delta(DynGroups *groups, int64 ngroups);
static void write_groups(DynBulk *bulk, void *arg);
static void store_state(DynGroups *groups, DynBulk *bulk, TupleTableSlot *slot, bool has, Datum *values, bool *isnull);
static int	output_at(DynGroups *groups, TupleTableSlot *slot, int j, char which);
static bool outputs_changed(DynGroups *groups, TupleTableSlot *slot);
static void take_outputs(DynGroups *groups, TupleTableSlot *slot, char which, Datum *values, bool *isnull);
static void put_output(DynGroups *groups, DynRows *delta, int64 weight, TupleTableSlot *slot, char which,
					   Datum *values, bool *isnull);
static TupleDesc update_desc(DynNode *node, bool final);
static void add_column(TupleDesc desc, int *i, const char *name, Oid type, int32 typmod, Oid collation);

DynRows *
dyn_aggregate_delta(DynEvaluation *evaluation, DynNode *node)
{
	DynExecution *execution = &evaluation->execution;
	DynGroups	groups = {.evaluation = evaluation, .node = node};
	DynRows    *final;
	DynRows    *delta;

	groups.names = dyn_sql_names("c", node->key);
	groups.types = dyn_sql_types(node, node->key);
	groups.placed = are_rows(evaluation, node);
	take_input(&groups);

	final = groups.rows = dyn_rows_begin(psprintf("u%d", node->no), update_desc(node, false), NULL);
	dyn_execute(execution, dyn_groups_update(&groups), put_update, &groups);
	dyn_rows_register(final, execution->env);

	if (groups.reread > 0)
	{
		char	   *keys = psprintf("k%d", node->no);
		List	   *columns = NIL;
		StringInfoData list;
		DynNode    *input = dyn_input(node, 1);
		char	   *content = dyn_sql_content(&evaluation->sql, input);

		initStringInfo(&list);
		for (int i = 1; i <= node->nkeys; i++)
		{
			columns = lappend(columns, &node->columns[i - 1]);
			appendStringInfo(&list, "%sc%d AS k%d", i > 1 ? ", " : "", i, i);
		}
		if (node->nkeys > 0)
		{
			dyn_execute_rows(execution, keys,
							 psprintf("SELECT %s FROM u%d WHERE reread", list.data, node->no),
							 dyn_columns_desc("k", columns), NULL);
			content = dyn_sql_content_of(&evaluation->sql, input, node->key, keys, groups.nulls);
		}
		dyn_execute_rows(execution, psprintf("r%d", node->no),
						 dyn_groups_reread(&groups, content), update_desc(node, true), NULL);
		final = dyn_execute_rows(execution, psprintf("f%d", node->no), dyn_groups_final(&groups),
								 update_desc(node, false), NULL);
	}
	delta = begin_delta(&groups, final->count);
	dyn_apply_in_bulk(execution, dyn_stage_get(evaluation->relid, node->no), evaluation->sql.stages[node->no], NULL,
					  write_groups, &(Finish) {&groups, final, delta});
	dyn_rows_register(delta, execution->env);
	return delta;
}

/* Are the groups the rows of the dynamic table, found by the same key, and may these be written by their places? */
static bool
are_rows(const DynEvaluation *evaluation, const DynNode *node)
{
	return node == evaluation->sql.plan->top && node->nkeys > 0 && evaluation->sink &&
		equal(evaluation->sink->key, node->key);
}

/*
 * What the delta is known to lack makes its sums simpler.  Of a few rows that gains less
 * than to have the plan of one statement at hand, whatever they are.
 * Where the input is inlined, of the rows that it selects from no less is true.
 */
static void
take_input(DynGroups *groups)
{
	DynEvaluation *evaluation = groups->evaluation;
	DynNode    *input = dyn_input(groups->node, 1);
	DynRows    *rows = evaluation->deltas[input->inlined ? dyn_input(input, 1)->no : input->no];
	bool		few = rows->count <= FEW_ROWS;

	groups->plus = few || rows->plus > 0;
	groups->minus = few || rows->minus > 0;
	groups->repeated = few || rows->repeated;
	groups->has_null = palloc(sizeof(bool) * (input->ncolumns + 1));
	for (int i = 1; i <= input->ncolumns; i++)
	{
		Var		   *var = input->inlined ? list_nth(input->targets, i - 1) : NULL;

		groups->has_null[i] = var == NULL ? rows->has_null[i] :
			IsA(var, Var) ? rows->has_null[var->varattno] : input->columns[i - 1].nullable;
	}
	for (int i = 1; i <= groups->node->nkeys; i++)
		groups->nulls |= groups->has_null[i];
	groups->delta = !input->inlined ? rows->name :
		psprintf("(%s)", dyn_sql_step(&evaluation->sql, input, linitial(dyn_sql_steps(&evaluation->sql, input)), false));
}

static void
put_update(TupleTableSlot *slot, void *arg)
{
	DynGroups	   *groups = arg;

	slot_getallattrs(slot);
	if (DatumGetBool(slot->tts_values[groups->rows->desc->natts - 1]))
		groups->reread++;
	dyn_rows_put(groups->rows, slot);
}

/* The key of a group, in words. */
static char *
key_text(DynGroups *groups, TupleTableSlot *slot)
{
	StringInfoData key;

	initStringInfo(&key);
	for (int i = 0; i < groups->node->nkeys; i++)
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(TupleDescAttr(slot->tts_tupleDescriptor, i)->atttypid, &output, &varlena);
		appendStringInfo(&key, "%s%s", i > 0 ? ", " : "",
						 slot->tts_isnull[i] ? "null" :
						 OidOutputFunctionCall(output, slot->tts_values[i]));
	}
	return key.data;
}

static void
group_contradicts(DynGroups *groups, TupleTableSlot *slot)
{
	ereport(ERROR,
			errcode(ERRCODE_DYN_STATE_DIVERGED),
			errmsg("a group of dynamic table \"%s\" does not have the rows that its changes tell of",
				   get_rel_name(groups->evaluation->relid)),
			groups->node->nkeys > 0 ? errdetail("The group is (%s).", key_text(groups, slot)) : 0);
}

/* The dynamic table has a row for each group that there was, and for no other. */
static void
check_row(DynGroups *groups, TupleTableSlot *slot, bool had)
{
	if (had != slot->tts_isnull[dyn_groups_shown(groups->node)])
		return;
	ereport(ERROR,
			errcode(ERRCODE_DYN_STATE_DIVERGED),
			errmsg(had ? "a refresh of %s would update rows that are not there" : "a refresh of %s would store a key twice",
				   groups->evaluation->sink->name),
			errdetail("The group is (%s).", key_text(groups, slot)));
}

/*
 * No group has less than no rows (dyn_groups_final: nor another number than
 * was read), and none has more values than rows.
 */
static void
check_group(DynGroups *groups, TupleTableSlot *slot)
{
	int			column = dyn_groups_n(groups->node);
	int64		n = DatumGetInt64(slot->tts_values[column++]);
	ListCell   *lc;

	if (n < 0)
		group_contradicts(groups, slot);
	column += groups->node->variants != NIL;
	foreach(lc, groups->node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);

		if (dyn_agg_keeps_count(agg))
		{
			int64		values = DatumGetInt64(slot->tts_values[column++]);

			if (values < 0 || values > n)
				group_contradicts(groups, slot);
		}
		column += dyn_agg_keeps_sum(agg) + dyn_agg_keeps_scale(agg) + dyn_agg_keeps_holders(agg);
	}
}

/*
 * For −old +new of each group whose output changes, or +new alone where that says
 * as much.  No two of its rows are the same, as no two groups are.
 */
static DynRows *
begin_delta(DynGroups *groups, int64 ngroups)
{
	DynNode    *node = groups->node;
	TupleDesc	desc = dyn_delta_desc(node->ncolumns, node->columns);
	DynRows    *delta = dyn_rows_begin(psprintf("d%d", node->no), groups->placed ? dyn_placed_desc(desc) : desc,
									   dyn_delta_identity(node->ncolumns, node->columns));

	delta->placed = groups->placed;
	delta->brief = groups->placed && ngroups >= MANY_GROUPS && dyn_apply_brief(groups->evaluation->sink, delta->desc);
	return delta;
}

/* The delta and the state table get what f says. */
static void
write_groups(DynBulk *bulk, void *arg)
{
	DynGroups  *groups = ((Finish *) arg)->groups;
	DynRows    *final = ((Finish *) arg)->final;
	DynRows    *delta = ((Finish *) arg)->delta;
	DynNode    *node = groups->node;
	TupleTableSlot *slot = dyn_rows_slot(final);
	int			natts = final->desc->natts; /* more than a row of the state or of the delta has */
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *isnull = palloc(sizeof(bool) * natts);

	while (dyn_rows_next(final, slot))
	{
		bool		had = !slot->tts_isnull[dyn_groups_place(node)];
		bool		has = DatumGetInt64(slot->tts_values[dyn_groups_n(node)]) > 0 || (had && node->nkeys == 0);

		check_group(groups, slot);
		if (groups->placed)
			check_row(groups, slot, had);
		store_state(groups, bulk, slot, has, values, isnull);
		if (had && has && !outputs_changed(groups, slot))
			continue;
		if (had && !(has && delta->brief))
			put_output(groups, delta, -1, slot, 'o', values, isnull);
		if (has)
			put_output(groups, delta, 1, slot, 'v', values, isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* The columns of the state table: keys, outputs, n and what the aggregates keep. */
static void
store_state(DynGroups *groups, DynBulk *bulk, TupleTableSlot *slot, bool has, Datum *values, bool *isnull)
{
	DynNode    *node = groups->node;
	int			place = dyn_groups_place(node);
	int			n = dyn_groups_n(node);
	int			nkept = output_at(groups, slot, 1, 'o') - n;

	if (!has)
	{
		if (!slot->tts_isnull[place])
			(void) dyn_bulk_delete(bulk, (ItemPointer) DatumGetPointer(slot->tts_values[place]));
		return;
	}
	take_outputs(groups, slot, 'v', values, isnull);
	memcpy(values + node->ncolumns, slot->tts_values + n, sizeof(Datum) * nkept);
	memcpy(isnull + node->ncolumns, slot->tts_isnull + n, sizeof(bool) * nkept);
	if (slot->tts_isnull[place])
		dyn_bulk_insert(bulk, values, isnull, InvalidOid);
	else
		dyn_bulk_update(bulk, (ItemPointer) DatumGetPointer(slot->tts_values[place]), values, isnull, InvalidOid);
}

/* In u and f the old and the new output of an aggregate stand side by side, before the last column. */
static int
output_at(DynGroups *groups, TupleTableSlot *slot, int j, char which)
{
	int			naggs = list_length(groups->node->aggs);

	return slot->tts_tupleDescriptor->natts - 1 - 2 * (naggs - j) - (which == 'o' ? 2 : 1);
}

/* The place in u and f of the key i (from 1) as it was (o) or is (v). */
static int
key_at(DynNode *node, int i, char which)
{
	ListCell   *lc;

	if (which == 'v')
		foreach(lc, node->variants)
			if (lfirst_int(lc) == i)
				return dyn_groups_shown(node) + 1 + foreach_current_index(lc);
	return i - 1;
}

static bool
same(TupleTableSlot *slot, int a, int b)
{
	return dyn_image_same(slot->tts_values[a], slot->tts_isnull[a], slot->tts_values[b], slot->tts_isnull[b],
						  TupleDescAttr(slot->tts_tupleDescriptor, b));
}

static bool
outputs_changed(DynGroups *groups, TupleTableSlot *slot)
{
	ListCell   *lc;

	for (int j = 1; j <= list_length(groups->node->aggs); j++)
		if (!same(slot, output_at(groups, slot, j, 'o'), output_at(groups, slot, j, 'v')))
			return true;
	foreach(lc, groups->node->variants)
		if (!same(slot, lfirst_int(lc) - 1, key_at(groups->node, lfirst_int(lc), 'v')))
			return true;
	return false;
}

/* The columns of a group as it was (o) or is (v). */
static void
take_outputs(DynGroups *groups, TupleTableSlot *slot, char which, Datum *values, bool *isnull)
{
	DynNode    *node = groups->node;

	for (int i = 1; i <= node->ncolumns; i++)
	{
		int			from = i <= node->nkeys ? key_at(node, i, which) : output_at(groups, slot, i - node->nkeys, which);

		values[i - 1] = slot->tts_values[from];
		isnull[i - 1] = slot->tts_isnull[from];
	}
}

/* The same as a row of the delta. */
static void
put_output(DynGroups *groups, DynRows *delta, int64 weight, TupleTableSlot *slot, char which,
		   Datum *values, bool *isnull)
{
	int			place = groups->node->ncolumns + 1;

	values[0] = Int64GetDatum(weight);
	isnull[0] = false;
	take_outputs(groups, slot, which, values + 1, isnull + 1);
	if (groups->placed)
	{
		values[place] = slot->tts_values[dyn_groups_shown(groups->node)];
		isnull[place] = slot->tts_isnull[dyn_groups_shown(groups->node)];
	}
	dyn_rows_put_values(delta, values, isnull);
}

/* ------------------------------------------------------------------------
 * Descriptors
 * ------------------------------------------------------------------------
 */

/* Columns of u and f, or, with fill, of dyn_aggregate_fill. */
static TupleDesc
update_desc(DynNode *node, bool fill)
{
	TupleDesc	desc;
	int			nvariants = list_length(node->variants);
	int			natts = node->nkeys + 1 + (nvariants > 0);	/* with n and x0 */
	int			i = 0;
	ListCell   *lc;

	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);

		natts++;
		for (const char *column = DYN_AGG_COLUMNS; *column; column++)
			natts += dyn_agg_keeps(agg, *column);
		if (!fill)
			natts++;
	}
	desc = CreateTemplateTupleDesc(natts + (fill ? 0 : nvariants + 3));
	for (int k = 0; k < (fill ? node->ncolumns : node->nkeys); k++)
		add_column(desc, &i, psprintf("c%d", k + 1), node->columns[k].type, node->columns[k].typmod,
				   node->columns[k].collation);
	if (!fill)
	{
		add_column(desc, &i, "place", TIDOID, -1, InvalidOid);
		add_column(desc, &i, "shown", TIDOID, -1, InvalidOid);
		foreach(lc, node->variants)
		{
			DynColumn  *column = &node->columns[lfirst_int(lc) - 1];

			add_column(desc, &i, psprintf("z%d", lfirst_int(lc)), column->type, column->typmod, column->collation);
		}
	}
	add_column(desc, &i, "n", INT8OID, -1, InvalidOid);
	if (nvariants > 0)
		add_column(desc, &i, "x0", INT8OID, -1, InvalidOid);
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = DYN_AGG_COLUMNS; *column; column++)
			if (dyn_agg_keeps(agg, *column))
				add_column(desc, &i, psprintf("%c%d", *column, j), *column == 's' &&
						   !dyn_agg_exact(node, agg) ? NUMERICOID : INT8OID, -1, InvalidOid);
	}
	if (fill)
		return desc;
	foreach(lc, node->aggs)
	{
		int			j = foreach_current_index(lc) + 1;
		DynColumn  *column = dyn_group_output(node, j);

		add_column(desc, &i, psprintf("o%d", j), column->type, column->typmod, column->collation);
		add_column(desc, &i, psprintf("v%d", j), column->type, column->typmod, column->collation);
	}
	add_column(desc, &i, "reread", BOOLOID, -1, InvalidOid);
	Assert(i == desc->natts);
	return desc;
}

static void
add_column(TupleDesc desc, int *i, const char *name, Oid type, int32 typmod, Oid collation)
{
	++*i;
	TupleDescInitEntry(desc, *i, name, type, typmod, 0);
	TupleDescInitEntryCollation(desc, *i, collation);
}
