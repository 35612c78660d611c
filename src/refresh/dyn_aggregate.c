/*
 * dyn_aggregate.c
 *	  Groups kept up to date.
 *
 * The state of a group is a row of the node's state table: the output columns
 * c1 .. cn, n = number of input rows, and per sum or average j the number of
 * values m<j> that are not NULL, their sum s<j> and perhaps how many t<j> have as
 * many decimal places as any can have, and per min or max whose
 * equal values are alike how many rows x<j> hold it, at least.  One refresh is
 *	 g: the delta summed per group (what changed),
 *	 u: g joined with the state (old output, new state, and whether the group
 *		must be read again),
 *	 r: the groups to be read again, from the input's content,
 *	 f: the final state (u, where none is read again),
 * of which the delta is -old +new, and the state table takes f.  What is
 * touched is the delta, whatever the size of the groups.
 *
 * A group is read again where a signed sum cannot tell: min or max lost the last
 * row known to hold it, a numeric sum lost the last value known to set its scale, NaN or an
 * infinity left, or the aggregate has no such state at all (floating point
 * among them: nothing may drift).
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <utils/builtins.h>
#include <utils/datum.h>
#include <utils/lsyscache.h>

#include "query/dyn_expr.h"
#include "refresh/dyn_evaluate.h"

typedef struct Groups
{
	DynEvaluation *evaluation;
	DynNode    *node;
	List	   *names;			/* c1 .. of the keys */
	List	   *types;
	bool		nulls;			/* some key of this delta is NULL */
	bool		minus;			/* some row of this delta goes */
	DynRows    *rows;			/* where sinks put */
	int64		reread;
	int64		made;
	int64		kept;
	int64		gone;
} Groups;

static char *group_statement(Groups *groups);
static char *group_source(Groups *groups);
static char *reread_statement(Groups *groups, const char *content);
static bool any_holders(DynNode *node);
static char *has_scale(DynAgg *agg, const char *input);
static bool keeps(DynAgg *agg, char column);
static void add_lost(StringInfo buf, DynAgg *agg, int j, int c, Oid type);
static char *update_statement(Groups *groups);
static char *final_statement(Groups *groups);
static void put_update(TupleTableSlot *slot, void *arg);
static void store_state(Groups *groups, const char *final);
static void check_group(Groups *groups, TupleTableSlot *slot);
static DynRows *make_delta(Groups *groups, DynRows *final);
static bool outputs_changed(Groups *groups, TupleTableSlot *slot);
static void put_output(Groups *groups, DynRows *delta, int64 weight, TupleTableSlot *slot, char which);
static char *joined(Groups *groups, const char *select, const char *left, const char *right,
					const char *kind);
static bool exact_integer(DynNode *node, DynAgg *agg);
static char *sum_type(DynNode *node, DynAgg *agg);
static char *output_text(DynAgg *agg, const char *rows, const char *values, const char *sum);
static char *aggregate_text(DynEvaluation *evaluation, DynNode *node, DynAgg *agg);
static TupleDesc update_desc(DynNode *node, bool final);
static void add_column(TupleDesc desc, int *i, const char *name, Oid type, int32 typmod, Oid collation);

#define output_column(node, j) (&(node)->columns[(node)->nkeys + (j) - 1])
#define keeps_sum(agg) ((agg)->kind == DYN_AGG_SUM || (agg)->kind == DYN_AGG_AVG)
#define better(agg) ((agg)->is_max ? "OPERATOR(pg_catalog.>)" : "OPERATOR(pg_catalog.<)")
#define keeps_holders(agg) ((agg)->kind == DYN_AGG_EXTREMUM && (agg)->alike)
#define keeps_count(agg) (keeps_sum(agg) || ((agg)->kind == DYN_AGG_COUNT && (agg)->arg > 0))
#define keeps_scale(agg) (keeps_sum(agg) && (agg)->counts_scale)

/* The columns of state that an aggregate may have, in their order. */
#define STATE_COLUMNS "mstx"

DynRows *
dyn_aggregate_delta(DynEvaluation *evaluation, DynNode *node)
{
	DynExecution *execution = &evaluation->execution;
	Groups		groups = {.evaluation = evaluation, .node = node};
	DynRows    *in = evaluation->deltas[dyn_input(node, 1)->no];
	DynRows    *final;
	DynRows    *delta;

	groups.names = dyn_sql_names("c", node->key);
	groups.types = dyn_sql_types(node, node->key);
	groups.minus = in->minus > 0;
	for (int i = 1; i <= node->nkeys; i++)
		groups.nulls |= in->has_null[i];

	final = groups.rows = dyn_rows_begin(psprintf("u%d", node->no), update_desc(node, false), NULL);
	dyn_execute(execution, update_statement(&groups), put_update, &groups);
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
						 reread_statement(&groups, content), update_desc(node, true), NULL);
		final = dyn_execute_rows(execution, psprintf("f%d", node->no), final_statement(&groups),
								 update_desc(node, false), NULL);
	}
	delta = make_delta(&groups, final);
	store_state(&groups, final->name);
	dyn_rows_register(delta, execution->env);
	return delta;
}

/* SELECT keys, n, minus, m<j>, s<j>, p<j>, q<j> … GROUP BY keys: what changed per group. */
static char *
group_statement(Groups *groups)
{
	DynNode    *node = groups->node;
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s%ssum(w)::bigint AS n, bool_or(w < 0) AS minus",
					 dyn_sql_columns(NULL, node->nkeys), node->nkeys ? ", " : "");
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		if (keeps_count(agg))
			appendStringInfo(&buf, ", coalesce(sum(w) FILTER (WHERE c%d %s), 0)::bigint AS m%d", agg->arg,
							 dyn_sql_null_test(dyn_input(node, 1)->columns[agg->arg - 1].type, false), j);
		if (keeps_sum(agg))
			appendStringInfo(&buf, ", coalesce(sum(w * c%d%s), 0)::%s AS s%d", agg->arg,
							 exact_integer(node, agg) ? "" : "::pg_catalog.numeric", sum_type(node, agg), j);
		if (keeps_scale(agg))
			appendStringInfo(&buf, ", coalesce(sum(w) FILTER (WHERE %s), 0)::bigint AS t%d",
							 has_scale(agg, ""), j);
		if (agg->kind == DYN_AGG_EXTREMUM)
		{
			const char *name = agg->is_max ? "max" : "min";

			appendStringInfo(&buf, ", %s(c%d) FILTER (WHERE w > 0) AS p%d, %s(c%d) FILTER (WHERE w < 0) AS q%d",
							 name, agg->arg, j, name, agg->arg, j);
		}
		if (keeps_holders(agg) && groups->minus)
			appendStringInfo(&buf, ", coalesce(sum(w) FILTER (WHERE c%d OPERATOR(pg_catalog.=) e%d), 0)::bigint AS y%d",
							 agg->arg, j, j);
		else if (keeps_holders(agg))
			appendStringInfo(&buf, ", 0::bigint AS y%d", j);
	}
	appendStringInfo(&buf, " FROM %s d", group_source(groups));
	if (node->nkeys > 0)
		appendStringInfo(&buf, " GROUP BY %s", dyn_sql_columns(NULL, node->nkeys));
	return buf.data;
}

/*
 * The delta, with the present extrema e<j> where their holders are counted.
 * Where rows only come the count may stay behind: it is a lower bound.
 */
static char *
group_source(Groups *groups)
{
	DynNode    *node = groups->node;
	char	   *delta = psprintf("d%d", dyn_input(node, 1)->no);
	StringInfoData select;
	ListCell   *lc;

	if (!groups->minus || !any_holders(node))
		return delta;
	initStringInfo(&select);
	appendStringInfoString(&select, "g.*");
	foreach(lc, node->aggs)
	{
		int			j = foreach_current_index(lc) + 1;

		if (keeps_holders((DynAgg *) lfirst(lc)))
			appendStringInfo(&select, ", s.c%d AS e%d", node->nkeys + j, j);
	}
	return psprintf("(%s)", joined(groups, select.data, delta,
								   groups->evaluation->sql.stages[node->no], "LEFT JOIN"));
}

static char *
has_scale(DynAgg *agg, const char *input)
{
	return psprintf("pg_catalog.scale(%sc%d) OPERATOR(pg_catalog.=) %d", input, agg->arg, agg->scale);
}

static bool
keeps(DynAgg *agg, char column)
{
	switch (column)
	{
		case 'm':
			return keeps_count(agg);
		case 's':
			return keeps_sum(agg);
		case 't':
			return keeps_scale(agg);
		default:
			return keeps_holders(agg);
	}
}

static bool
any_holders(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->aggs)
		if (keeps_holders((DynAgg *) lfirst(lc)))
			return true;
	return false;
}

/* SELECT keys, had, n, m<j>, s<j>, o<j> (old output), v<j> (new output), reread */
static char *
update_statement(Groups *groups)
{
	DynNode    *node = groups->node;
	StringInfoData select;
	StringInfoData reread;
	ListCell   *lc;

	initStringInfo(&select);
	initStringInfo(&reread);
	appendStringInfoString(&reread, "false");
	for (int i = 1; i <= node->nkeys; i++)
		appendStringInfo(&select, "coalesce(s.c%d, g.c%d) AS c%d, ", i, i, i);
	appendStringInfoString(&select, "s.n IS NOT NULL AS had, coalesce(s.n, 0) + g.n AS n");
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = STATE_COLUMNS; *column != 'x'; column++)
			if (keeps(agg, *column))
				appendStringInfo(&select, ", coalesce(s.%c%d, 0) + g.%c%d AS %c%d",
								 *column, j, *column, j, *column, j);
		if (keeps_holders(agg))
			appendStringInfo(&select, ", CASE WHEN g.p%d %s s.c%d OR s.c%d %s THEN 1 ELSE s.x%d + g.y%d END AS x%d",
							 j, better(agg), node->nkeys + j, node->nkeys + j,
							 dyn_sql_null_test(output_column(node, j)->type, true), j, j, j);
	}
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;
		int			c = node->nkeys + j;

		appendStringInfo(&select, ", s.c%d AS o%d", c, j);
		if (agg->kind == DYN_AGG_EXTREMUM)
		{
			appendStringInfo(&select, ", %s(s.c%d, g.p%d) AS v%d",
							 agg->is_max ? "greatest" : "least", c, j, j);
			add_lost(&reread, agg, j, c, output_column(node, j)->type);
		}
		else if (agg->kind == DYN_AGG_REREAD)
		{
			appendStringInfo(&select, ", s.c%d AS v%d", c, j);
			appendStringInfoString(&reread, " OR true");
		}
		else
			appendStringInfo(&select, ", %s AS v%d",
							 output_text(agg, "(coalesce(s.n, 0) + g.n)",
										 psprintf("(coalesce(s.m%d, 0) + g.m%d)", j, j),
										 psprintf("(coalesce(s.s%d, 0) + g.s%d)", j, j)), j);
		if (keeps_sum(agg) && agg->minus_rereads)
			appendStringInfoString(&reread, " OR g.minus");
		else if (keeps_sum(agg) && strcmp(sum_type(node, agg), "pg_catalog.numeric") == 0)
			appendStringInfo(&reread, " OR (g.minus AND s.s%d IN ('NaN', 'Infinity', '-Infinity'))", j);
		if (keeps_scale(agg))
			appendStringInfo(&reread, " OR (g.minus AND s.t%d + g.t%d < 1 AND s.m%d + g.m%d > 0)", j, j, j, j);
	}
	appendStringInfo(&select, ", (%s) AS reread", reread.data);
	return joined(groups, select.data, psprintf("(%s)", group_statement(groups)),
				  groups->evaluation->sql.stages[node->no], "LEFT JOIN");
}

/*
 * OR the group's extremum may be lost: a row that held it goes and, where the
 * holders are counted, none is left; unless what comes is better anyway.
 */
static void
add_lost(StringInfo buf, DynAgg *agg, int j, int c, Oid type)
{
	const char *operator = better(agg);

	appendStringInfo(buf, " OR (s.n IS NOT NULL AND g.q%d %s AND (s.c%d %s OR g.q%d %s s.c%d",
					 j, dyn_sql_null_test(type, false), c, dyn_sql_null_test(type, true), j, operator, c);
	if (keeps_holders(agg))
		appendStringInfo(buf, " OR (g.q%d OPERATOR(pg_catalog.=) s.c%d AND s.x%d + g.y%d < 1 AND (g.p%d %s s.c%d) IS NOT TRUE)))",
						 j, c, j, j, j, operator, c);
	else
		appendStringInfo(buf, " OR g.q%d OPERATOR(pg_catalog.=) s.c%d))", j, c);
}

/*
 * The same columns with those of groups read again in place of the summed
 * ones.  Where a group was read, its rows must be as many as were counted.
 */
static char *
final_statement(Groups *groups)
{
	DynNode    *node = groups->node;
	StringInfoData select;
	ListCell   *lc;

	initStringInfo(&select);
	for (int i = 1; i <= node->nkeys; i++)
		appendStringInfo(&select, "g.c%d, ", i);
	appendStringInfoString(&select, "g.had, CASE WHEN g.reread AND g.n <> coalesce(s.n, 0) THEN -1 ELSE g.n END AS n");
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = STATE_COLUMNS; *column; column++)
			if (keeps(agg, *column))
				appendStringInfo(&select, ", CASE WHEN g.reread THEN coalesce(s.%c%d, 0) ELSE g.%c%d END AS %c%d",
								 *column, j, *column, j, *column, j);
	}
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;
		bool		kept = agg->kind == DYN_AGG_EXTREMUM || agg->kind == DYN_AGG_REREAD;

		appendStringInfo(&select, ", g.o%d, CASE WHEN g.reread THEN %s ELSE g.v%d END AS v%d", j,
						 kept ? psprintf("s.c%d", node->nkeys + j) :
						 output_text(agg, "s.n", psprintf("s.m%d", j), psprintf("s.s%d", j)), j, j);
	}
	appendStringInfoString(&select, ", g.reread");
	return joined(groups, select.data, psprintf("u%d", node->no), psprintf("r%d", node->no), "LEFT JOIN");
}

/*
 * SELECT … FROM left g JOIN right s on the group's key.  Keys that hold NULLs
 * go by a branch of their own, as no index or hash serves their comparison.
 */
static char *
joined(Groups *groups, const char *select, const char *left, const char *right, const char *kind)
{
	char	   *not_null = dyn_sql_not_null("g", groups->names, groups->types);
	char	   *plain = psprintf("SELECT %s FROM (SELECT * FROM %s g%s%s) g %s %s s ON %s",
								 select, left, groups->nulls ? " WHERE " : "",
								 groups->nulls ? not_null : "", kind, right,
								 dyn_sql_match("g", groups->names, "s", groups->names, groups->types, false));

	if (!groups->nulls)
		return plain;
	return psprintf("%s UNION ALL SELECT %s FROM (SELECT * FROM %s g WHERE NOT %s) g %s %s s ON %s",
					plain, select, left, not_null, kind, right,
					dyn_sql_match("g", groups->names, "s", groups->names, groups->types, true));
}

static void
put_update(TupleTableSlot *slot, void *arg)
{
	Groups	   *groups = arg;

	slot_getallattrs(slot);
	if (DatumGetBool(slot->tts_values[groups->rows->desc->natts - 1]))
		groups->reread++;
	dyn_rows_put(groups->rows, slot);
}

static void
group_contradicts(Groups *groups, TupleTableSlot *slot)
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
	ereport(ERROR,
			errcode(ERRCODE_DYN_STATE_DIVERGED),
			errmsg("a group of dynamic table \"%s\" does not have the rows that its changes tell of",
				   get_rel_name(groups->evaluation->relid)),
			groups->node->nkeys > 0 ? errdetail("The group is (%s).", key.data) : 0);
}

/*
 * No group has less than no rows (final_statement: nor another number than
 * was read), and none has more values than rows.
 */
static void
check_group(Groups *groups, TupleTableSlot *slot)
{
	int			column = groups->node->nkeys + 1;
	int64		n = DatumGetInt64(slot->tts_values[column++]);
	ListCell   *lc;

	if (n < 0)
		group_contradicts(groups, slot);
	foreach(lc, groups->node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);

		if (keeps_count(agg))
		{
			int64		values = DatumGetInt64(slot->tts_values[column++]);

			if (values < 0 || values > n)
				group_contradicts(groups, slot);
		}
		column += keeps_sum(agg) + keeps_scale(agg) + keeps_holders(agg);
	}
}

/*
 * The delta, −old +new for each group whose output changed, and how the state
 * table changes.  No two of its rows are the same, as no two groups are.
 */
static DynRows *
make_delta(Groups *groups, DynRows *final)
{
	DynNode    *node = groups->node;
	DynRows    *delta = dyn_rows_begin(psprintf("d%d", node->no), dyn_delta_desc(node->ncolumns, node->columns),
									   dyn_delta_identity(node->ncolumns, node->columns));
	TupleTableSlot *slot = dyn_rows_slot(final);

	while (dyn_rows_next(final, slot))
	{
		bool		had = DatumGetBool(slot->tts_values[node->nkeys]);
		int64		n = DatumGetInt64(slot->tts_values[node->nkeys + 1]);
		bool		has = n > 0 || (had && node->nkeys == 0);

		check_group(groups, slot);
		if (had && has)
			groups->kept++;
		else if (had)
			groups->gone++;
		else if (has)
			groups->made++;
		if (had && has && !outputs_changed(groups, slot))
			continue;
		if (had)
			put_output(groups, delta, -1, slot, 'o');
		if (has)
			put_output(groups, delta, 1, slot, 'v');
	}
	ExecDropSingleTupleTableSlot(slot);
	return delta;
}

/* In u and f the old and the new output of an aggregate stand side by side, before the last column. */
static int
output_at(Groups *groups, TupleTableSlot *slot, int j, char which)
{
	int			naggs = list_length(groups->node->aggs);

	return slot->tts_tupleDescriptor->natts - 1 - 2 * (naggs - j) - (which == 'o' ? 2 : 1);
}

static bool
outputs_changed(Groups *groups, TupleTableSlot *slot)
{
	for (int j = 1; j <= list_length(groups->node->aggs); j++)
	{
		int			old = output_at(groups, slot, j, 'o');
		int			new = output_at(groups, slot, j, 'v');
		Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, new);

		if (slot->tts_isnull[old] != slot->tts_isnull[new] ||
			(!slot->tts_isnull[old] &&
			 !datum_image_eq(slot->tts_values[old], slot->tts_values[new], att->attbyval, att->attlen)))
			return true;
	}
	return false;
}

/* The row of a group as it was (o) or is (v). */
static void
put_output(Groups *groups, DynRows *delta, int64 weight, TupleTableSlot *slot, char which)
{
	DynNode    *node = groups->node;
	Datum	   *values = palloc(sizeof(Datum) * delta->desc->natts);
	bool	   *isnull = palloc(sizeof(bool) * delta->desc->natts);

	values[0] = Int64GetDatum(weight);
	isnull[0] = false;
	for (int i = 1; i <= node->ncolumns; i++)
	{
		int			from = i <= node->nkeys ? i - 1 : output_at(groups, slot, i - node->nkeys, which);

		values[i] = slot->tts_values[from];
		isnull[i] = slot->tts_isnull[from];
	}
	dyn_rows_put_values(delta, values, isnull);
	pfree(values);
	pfree(isnull);
}

/* Bring the state table up to date with f. */
static void
store_state(Groups *groups, const char *final)
{
	DynNode    *node = groups->node;
	DynExecution *execution = &groups->evaluation->execution;
	char	   *state = groups->evaluation->sql.stages[node->no];
	char	   *not_null = dyn_sql_not_null("g", groups->names, groups->types);
	StringInfoData set;
	StringInfoData names;
	StringInfoData values;
	ListCell   *lc;

	initStringInfo(&set);
	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 1; i <= node->nkeys; i++)
	{
		appendStringInfo(&names, "c%d, ", i);
		appendStringInfo(&values, "g.c%d, ", i);
	}
	appendStringInfoString(&set, "n = g.n");
	appendStringInfoString(&names, "n");
	appendStringInfoString(&values, "g.n");
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		appendStringInfo(&set, ", c%d = g.v%d", node->nkeys + j, j);
		appendStringInfo(&names, ", c%d", node->nkeys + j);
		appendStringInfo(&values, ", g.v%d", j);
		for (const char *column = STATE_COLUMNS; *column; column++)
			if (keeps(agg, *column))
			{
				appendStringInfo(&set, ", %c%d = g.%c%d", *column, j, *column, j);
				appendStringInfo(&names, ", %c%d", *column, j);
				appendStringInfo(&values, ", g.%c%d", *column, j);
			}
	}
	for (int nulls = 0; nulls <= (groups->nulls ? 1 : 0); nulls++)
	{
		char	   *match = psprintf("%s%s%s", dyn_sql_match("s", groups->names, "g", groups->names,
															 groups->types, nulls),
									 !groups->nulls ? "" : nulls ? " AND NOT " : " AND ",
									 groups->nulls ? not_null : "");

		if (groups->gone > 0)
			dyn_execute(execution, psprintf("DELETE FROM %s s USING %s g WHERE %s AND g.had AND g.n = 0",
											state, final, match), NULL, NULL);
		if (groups->kept > 0)
			dyn_execute(execution, psprintf("UPDATE %s s SET %s FROM %s g WHERE %s AND g.had%s",
											state, set.data, final, match,
											node->nkeys ? " AND g.n > 0" : ""), NULL, NULL);
	}
	if (groups->made > 0)
		dyn_apply_insert(execution, psprintf("INSERT INTO %s (%s) SELECT %s FROM %s g WHERE NOT g.had AND g.n > 0",
											 state, names.data, values.data, final), state, NULL);
}

/* ------------------------------------------------------------------------
 * State
 * ------------------------------------------------------------------------
 */

/* SELECT c1 .. cn, n, m<j>, s<j>: state and output of the groups of the rows that source yields. */
char *
dyn_aggregate_fill(DynEvaluation *evaluation, DynNode *node, const char *source)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s%s", dyn_sql_columns("i1", node->nkeys), node->nkeys ? ", " : "");
	foreach(lc, node->aggs)
		appendStringInfo(&buf, "%s AS c%d, ", aggregate_text(evaluation, node, lfirst(lc)),
						 node->nkeys + foreach_current_index(lc) + 1);
	appendStringInfoString(&buf, "count(*) AS n");
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		if (keeps_count(agg))
			appendStringInfo(&buf, ", count(i1.c%d) AS m%d", agg->arg, j);
		if (keeps_sum(agg))
			appendStringInfo(&buf, ", coalesce(sum(i1.c%d), 0)::%s AS s%d", agg->arg, sum_type(node, agg), j);
		if (keeps_scale(agg))
			appendStringInfo(&buf, ", count(*) FILTER (WHERE %s) AS t%d", has_scale(agg, "i1."), j);
		/* at least one; the first time that this does not do they are counted */
		if (keeps_holders(agg))
			appendStringInfo(&buf, ", 1::bigint AS x%d", j);
	}
	appendStringInfo(&buf, " FROM (%s) i1", source);
	if (node->nkeys > 0)
		appendStringInfo(&buf, " GROUP BY %s", dyn_sql_columns("i1", node->nkeys));
	return buf.data;
}

/* The same for groups that are read again, with the holders of each extremum counted. */
static char *
reread_statement(Groups *groups, const char *content)
{
	DynNode    *node = groups->node;
	char	   *fill = dyn_aggregate_fill(groups->evaluation, node, content);
	StringInfoData columns;
	StringInfoData held;
	StringInfoData counts;
	ListCell   *lc;

	if (!any_holders(node))
		return fill;
	initStringInfo(&columns);
	initStringInfo(&held);
	initStringInfo(&counts);
	appendStringInfo(&columns, "%s, g.n", dyn_sql_columns("g", node->ncolumns));
	appendStringInfo(&held, "%s", dyn_sql_columns("s", node->nkeys));
	appendStringInfo(&counts, "%s", dyn_sql_columns(NULL, node->nkeys));
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = STATE_COLUMNS; *column != 'x'; column++)
			if (keeps(agg, *column))
				appendStringInfo(&columns, ", g.%c%d", *column, j);
		if (!keeps_holders(agg))
			continue;
		appendStringInfo(&columns, ", s.x%d", j);
		appendStringInfo(&held, "%sg.c%d OPERATOR(pg_catalog.=) s.c%d AS h%d", held.len ? ", " : "",
						 agg->arg, node->nkeys + j, j);
		appendStringInfo(&counts, "%scount(*) FILTER (WHERE h%d) AS x%d", counts.len ? ", " : "", j, j);
	}
	return psprintf("WITH filled AS MATERIALIZED (%s), counted AS (SELECT %s FROM (%s) h%s%s) %s",
					fill, counts.data,
					joined(groups, held.data, psprintf("(%s)", content), "filled", "JOIN"),
					node->nkeys ? " GROUP BY " : "", node->nkeys ? dyn_sql_columns(NULL, node->nkeys) : "",
					joined(groups, columns.data, "filled", "counted", "JOIN"));
}

List *
dyn_aggregate_state_columns(DynNode *node)
{
	List	   *columns = list_make1("n pg_catalog.int8");
	ListCell   *lc;

	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = STATE_COLUMNS; *column; column++)
			if (keeps(agg, *column))
				columns = lappend(columns, psprintf("%c%d %s", *column, j, *column == 's' ?
													sum_type(node, agg) : "pg_catalog.int8"));
	}
	return columns;
}

/* The aggregate over the rows of input i1. */
static char *
aggregate_text(DynEvaluation *evaluation, DynNode *node, DynAgg *agg)
{
	int			ninput = dyn_input(node, 1)->ncolumns;
	static const char *const names[] = {"count", "sum", "avg", NULL};

	if (agg->kind == DYN_AGG_REREAD)
	{
		char	   *text = dyn_expr_text((Node *) agg->ref, "i", 1, &ninput, NIL, NIL);

		/* A domain's values stand as its base type's beside NULLs of other branches, and an array knows its elements' type. */
		if (get_typtype(get_element_type(agg->ref->aggtype)) == TYPTYPE_DOMAIN)
			text = psprintf("(%s)::%s", text, format_type_extended(agg->ref->aggtype, -1, FORMAT_TYPE_FORCE_QUALIFY));
		return text;
	}
	if (agg->arg == 0)
		return pstrdup("count(*)");
	return psprintf("%s(i1.c%d)", agg->kind == DYN_AGG_EXTREMUM ? (agg->is_max ? "max" : "min") :
					names[agg->kind], agg->arg);
}

/* The value of an aggregate that is counted or summed, from its state. */
static char *
output_text(DynAgg *agg, const char *rows, const char *values, const char *sum)
{
	if (agg->kind == DYN_AGG_COUNT)
		return pstrdup(agg->arg ? values : rows);
	if (agg->kind == DYN_AGG_SUM)
		return psprintf("CASE WHEN %s > 0 THEN %s END", values, sum);
	return psprintf("CASE WHEN %s > 0 THEN %s::pg_catalog.numeric / %s END", values, sum, values);
}

/* Does the sum of the argument fit a bigint, as the server's own sum of it does? */
static bool
exact_integer(DynNode *node, DynAgg *agg)
{
	Oid			type = dyn_input(node, 1)->columns[agg->arg - 1].type;

	return type == INT2OID || type == INT4OID;
}

static char *
sum_type(DynNode *node, DynAgg *agg)
{
	return exact_integer(node, agg) ? "pg_catalog.int8" : "pg_catalog.numeric";
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
	int			natts = node->nkeys + 1;
	int			i = 0;
	ListCell   *lc;

	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);

		natts++;
		for (const char *column = STATE_COLUMNS; *column; column++)
			natts += keeps(agg, *column);
		if (!fill)
			natts++;
	}
	desc = CreateTemplateTupleDesc(natts + (fill ? 0 : 2));
	for (int k = 0; k < (fill ? node->ncolumns : node->nkeys); k++)
		add_column(desc, &i, psprintf("c%d", k + 1), node->columns[k].type, node->columns[k].typmod,
				   node->columns[k].collation);
	if (!fill)
		add_column(desc, &i, "had", BOOLOID, -1, InvalidOid);
	add_column(desc, &i, "n", INT8OID, -1, InvalidOid);
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = STATE_COLUMNS; *column; column++)
			if (keeps(agg, *column))
				add_column(desc, &i, psprintf("%c%d", *column, j), *column == 's' &&
						   !exact_integer(node, agg) ? NUMERICOID : INT8OID, -1, InvalidOid);
	}
	if (fill)
		return desc;
	foreach(lc, node->aggs)
	{
		int			j = foreach_current_index(lc) + 1;
		DynColumn  *column = output_column(node, j);

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
