/*
 * dyn_aggregate_sql.c
 *	  The SQL of groups kept up to date, and of their state.
 *
 * What the statements are for, and in which order, is in dyn_aggregate.c.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "query/dyn_expr.h"
#include "refresh/dyn_aggregate_internal.h"

#define better(agg) ((agg)->is_max ? "OPERATOR(pg_catalog.>)" : "OPERATOR(pg_catalog.<)")

static char *group_statement(DynGroups *groups);
static char *anything_left(DynGroups *groups);
static char *weight_sum(DynGroups *groups, const char *condition);
static char *value_count(DynGroups *groups, DynAgg *agg);
static char *signed_sum(DynGroups *groups, DynAgg *agg);
static char *group_source(DynGroups *groups);
static char *has_scale(DynAgg *agg, const char *input);
static bool any_holders(DynNode *node);
static char *same_keys(DynNode *node, const char *a, const char *b);
static bool minus_counts(DynNode *node);
static void add_lost(StringInfo buf, DynAgg *agg, int j, int c, Oid type);
static char *joined(DynGroups *groups, const char *select, const char *left, const char *right,
					const char *kind, bool placed);
static char *shown_rows(DynGroups *groups, bool nulls);
static char *sum_type(DynNode *node, DynAgg *agg);
static char *output_text(DynAgg *agg, const char *rows, const char *values, const char *sum);
static char *aggregate_text(DynEvaluation *evaluation, DynNode *node, DynAgg *agg);

/* SELECT keys, n, minus, m<j>, s<j>, p<j>, q<j> … GROUP BY keys: what changed per group. */
static char *
group_statement(DynGroups *groups)
{
	DynNode    *node = groups->node;
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s%s%s AS n%s",
					 dyn_sql_columns(NULL, node->nkeys), node->nkeys ? ", " : "", weight_sum(groups, NULL),
					 minus_counts(node) ? ", bool_or(w < 0) AS minus" : "");
	if (node->variants)
		appendStringInfo(&buf, ", %s AS y0", groups->minus ? weight_sum(groups, same_keys(node, "c", "k")) : "0::bigint");
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		if (dyn_agg_keeps_count(agg))
			appendStringInfo(&buf, ", %s AS m%d", value_count(groups, agg), j);
		if (dyn_agg_keeps_sum(agg))
			appendStringInfo(&buf, ", %s AS s%d", signed_sum(groups, agg), j);
		if (dyn_agg_keeps_scale(agg))
			appendStringInfo(&buf, ", %s AS t%d", weight_sum(groups, has_scale(agg, "")), j);
		if (agg->kind == DYN_AGG_EXTREMUM)
		{
			const char *name = agg->is_max ? "max" : "min";

			appendStringInfo(&buf, ", %s(c%d) FILTER (WHERE w > 0) AS p%d, %s(c%d) FILTER (WHERE w < 0) AS q%d",
							 name, agg->arg, j, name, agg->arg, j);
		}
		if (dyn_agg_keeps_holders(agg) && groups->minus)
			appendStringInfo(&buf, ", %s AS y%d",
							 weight_sum(groups, psprintf("c%d OPERATOR(pg_catalog.=) e%d", agg->arg, j)), j);
		else if (dyn_agg_keeps_holders(agg))
			appendStringInfo(&buf, ", 0::bigint AS y%d", j);
	}
	appendStringInfo(&buf, " FROM %s d", group_source(groups));
	if (node->nkeys > 0)
		appendStringInfo(&buf, " GROUP BY %s", dyn_sql_columns(NULL, node->nkeys));
	if (dyn_node_only_sums(node))
		appendStringInfo(&buf, " HAVING %s", anything_left(groups));
	return buf.data;
}

/* Is any of the sums not nothing? */
static char *
anything_left(DynGroups *groups)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s <> 0", weight_sum(groups, NULL));
	if (groups->node->variants && groups->minus)
		appendStringInfo(&buf, " OR %s <> 0", weight_sum(groups, same_keys(groups->node, "c", "k")));
	foreach(lc, groups->node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);

		if (dyn_agg_keeps_count(agg) && groups->has_null[agg->arg])
			appendStringInfo(&buf, " OR %s <> 0", value_count(groups, agg));
		if (dyn_agg_keeps_sum(agg))
			appendStringInfo(&buf, " OR %s <> 0", signed_sum(groups, agg));
		if (dyn_agg_keeps_scale(agg))
			appendStringInfo(&buf, " OR %s <> 0", weight_sum(groups, has_scale(agg, "")));
	}
	return buf.data;
}

/* The weights of the rows for which the condition (NULL: any) is true, added up. */
static char *
weight_sum(DynGroups *groups, const char *condition)
{
	return psprintf("coalesce(sum(w%s)%s%s%s, 0)::pg_catalog.int8",
					/* the server adds int4 without numeric */
					groups->repeated ? "" : "::pg_catalog.int4",
					condition ? " FILTER (WHERE " : "", condition ? condition : "", condition ? ")" : "");
}

/* How many values of an aggregate's argument come, less those that go. */
static char *
value_count(DynGroups *groups, DynAgg *agg)
{
	Oid			type = dyn_input(groups->node, 1)->columns[agg->arg - 1].type;

	if (!groups->has_null[agg->arg])
		return weight_sum(groups, NULL);
	return weight_sum(groups, psprintf("c%d %s", agg->arg, dyn_sql_null_test(type, false)));
}

/* What comes of a sum, less what goes. */
static char *
signed_sum(DynGroups *groups, DynAgg *agg)
{
	const char *type = sum_type(groups->node, agg);
	/* the server adds int8 as numeric by itself */
	bool		integer = dyn_agg_exact(groups->node, agg) ||
		(!groups->repeated && dyn_input(groups->node, 1)->columns[agg->arg - 1].type == INT8OID);
	const char *cast = integer ? "" : "::pg_catalog.numeric";

	if (groups->repeated)
		return psprintf("coalesce(sum(w * c%d%s), 0)::%s", agg->arg, cast, type);
	if (!groups->minus)
		return psprintf("coalesce(sum(c%d%s), 0)::%s", agg->arg, cast, type);
	if (!groups->plus)
		return psprintf("(- coalesce(sum(c%d%s), 0))::%s", agg->arg, cast, type);
	return psprintf("(coalesce(sum(c%d%s) FILTER (WHERE w > 0), 0) - coalesce(sum(c%d%s) FILTER (WHERE w < 0), 0))::%s",
					agg->arg, cast, agg->arg, cast, type);
}

/* The keys that have variants, "a<i>, …". */
static char *
variant_keys(DynNode *node, const char *a)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, node->variants)
		appendStringInfo(&buf, "%s%s%d", buf.len > 0 ? ", " : "", a, lfirst_int(lc));
	return buf.data;
}

/* Are they the same in columns a<i> and b<i>, to the byte? */
static char *
same_keys(DynNode *node, const char *a, const char *b)
{
	return psprintf("pg_catalog.record_image_eq(ROW(%s), ROW(%s))", variant_keys(node, a), variant_keys(node, b));
}

/*
 * The delta, with the present extrema e<j> and keys k<i> where their holders are counted.
 * Where rows only come the count may stay behind: it is a lower bound.
 */
static char *
group_source(DynGroups *groups)
{
	DynNode    *node = groups->node;
	StringInfoData select;
	ListCell   *lc;

	if (!groups->minus || !any_holders(node))
		return groups->delta;
	initStringInfo(&select);
	appendStringInfoString(&select, "g.*");
	foreach(lc, node->variants)
		appendStringInfo(&select, ", s.c%d AS k%d", lfirst_int(lc), lfirst_int(lc));
	foreach(lc, node->aggs)
	{
		int			j = foreach_current_index(lc) + 1;

		if (dyn_agg_keeps_holders((DynAgg *) lfirst(lc)))
			appendStringInfo(&select, ", s.c%d AS e%d", node->nkeys + j, j);
	}
	return psprintf("(%s)", joined(groups, select.data, groups->delta,
								   groups->evaluation->sql.stages[node->no], "LEFT JOIN", false));
}

static char *
has_scale(DynAgg *agg, const char *input)
{
	return psprintf("pg_catalog.scale(%sc%d) OPERATOR(pg_catalog.=) %d", input, agg->arg, agg->scale);
}

bool
dyn_agg_keeps(DynAgg *agg, char column)
{
	switch (column)
	{
		case 'm':
			return dyn_agg_keeps_count(agg);
		case 's':
			return dyn_agg_keeps_sum(agg);
		case 't':
			return dyn_agg_keeps_scale(agg);
		default:
			return dyn_agg_keeps_holders(agg);
	}
}

/* Does a minus alone make a group one that may have to be read again? */
static bool
minus_counts(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->aggs)
		if (dyn_agg_keeps_sum((DynAgg *) lfirst(lc)) && !dyn_agg_exact(node, lfirst(lc)))
			return true;
	return node->variants != NIL;
}

static bool
any_holders(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->aggs)
		if (dyn_agg_keeps_holders((DynAgg *) lfirst(lc)))
			return true;
	return node->variants != NIL;
}

/* SELECT keys, place, shown, n, m<j>, s<j>, o<j> (old output), v<j> (new output), reread */
char *
dyn_groups_update(DynGroups *groups)
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
	appendStringInfo(&select, "s.ctid AS place, %s AS shown, ", groups->placed ? "t.ctid" : "NULL::pg_catalog.tid");
	foreach(lc, node->variants)
		appendStringInfo(&select, "coalesce(s.c%d, g.c%d) AS z%d, ", lfirst_int(lc), lfirst_int(lc), lfirst_int(lc));
	appendStringInfoString(&select, "coalesce(s.n, 0) + g.n AS n");
	if (node->variants)
	{
		appendStringInfoString(&select, ", CASE WHEN s.n IS NULL THEN 1 ELSE s.x0 + g.y0 END AS x0");
		appendStringInfoString(&reread, " OR (g.minus AND coalesce(s.n, 0) + g.n > 0 AND (s.n IS NULL OR s.x0 + g.y0 < 1))");
	}
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = DYN_AGG_COLUMNS; *column != 'x'; column++)
			if (dyn_agg_keeps(agg, *column))
				appendStringInfo(&select, ", coalesce(s.%c%d, 0) + g.%c%d AS %c%d",
								 *column, j, *column, j, *column, j);
		if (dyn_agg_keeps_holders(agg))
			appendStringInfo(&select, ", CASE WHEN g.p%d %s s.c%d OR s.c%d %s THEN 1 ELSE s.x%d + g.y%d END AS x%d",
							 j, better(agg), node->nkeys + j, node->nkeys + j,
							 dyn_sql_null_test(dyn_group_output(node, j)->type, true), j, j, j);
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
			add_lost(&reread, agg, j, c, dyn_group_output(node, j)->type);
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
		if (dyn_agg_keeps_sum(agg) && agg->minus_rereads)
			appendStringInfoString(&reread, " OR g.minus");
		else if (dyn_agg_keeps_sum(agg) && strcmp(sum_type(node, agg), "pg_catalog.numeric") == 0)
			appendStringInfo(&reread, " OR (g.minus AND coalesce(s.s%d, 0) + g.s%d IN ('NaN', 'Infinity', '-Infinity'))", j, j);
		if (dyn_agg_keeps_scale(agg))
			appendStringInfo(&reread, " OR (g.minus AND s.t%d + g.t%d < 1 AND s.m%d + g.m%d > 0)", j, j, j, j);
	}
	appendStringInfo(&select, ", (%s) AS reread", reread.data);
	return joined(groups, select.data, psprintf("(%s)", group_statement(groups)),
				  groups->evaluation->sql.stages[node->no], "LEFT JOIN", groups->placed);
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
	if (dyn_agg_keeps_holders(agg))
		appendStringInfo(buf, " OR (g.q%d OPERATOR(pg_catalog.=) s.c%d AND s.x%d + g.y%d < 1 AND (g.p%d %s s.c%d) IS NOT TRUE)))",
						 j, c, j, j, j, operator, c);
	else
		appendStringInfo(buf, " OR g.q%d OPERATOR(pg_catalog.=) s.c%d))", j, c);
}

/*
 * The same columns with those of groups read again in place of the summed
 * ones.  Where a group was read, its rows must be as many as were counted.
 */
char *
dyn_groups_final(DynGroups *groups)
{
	DynNode    *node = groups->node;
	StringInfoData select;
	ListCell   *lc;

	initStringInfo(&select);
	for (int i = 1; i <= node->nkeys; i++)
		appendStringInfo(&select, "g.c%d, ", i);
	appendStringInfoString(&select, "g.place, g.shown, ");
	foreach(lc, node->variants)
		appendStringInfo(&select, "CASE WHEN g.reread THEN s.c%d ELSE g.z%d END AS z%d, ", lfirst_int(lc), lfirst_int(lc),
						 lfirst_int(lc));
	appendStringInfoString(&select, "CASE WHEN g.reread AND g.n <> coalesce(s.n, 0) THEN -1 ELSE g.n END AS n");
	if (node->variants)
		appendStringInfoString(&select, ", CASE WHEN g.reread THEN coalesce(s.x0, 0) ELSE g.x0 END AS x0");
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = DYN_AGG_COLUMNS; *column; column++)
			if (dyn_agg_keeps(agg, *column))
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
	return joined(groups, select.data, psprintf("u%d", node->no), psprintf("r%d", node->no), "LEFT JOIN", false);
}

/*
 * SELECT … FROM left g JOIN right s on the group's key, placed: LEFT JOIN the
 * dynamic table t.  Keys that hold NULLs go by a branch of their own, as no index
 * or hash serves their comparison.
 */
static char *
joined(DynGroups *groups, const char *select, const char *left, const char *right, const char *kind, bool placed)
{
	char	   *not_null = dyn_sql_not_null("g", groups->names, groups->types);
	char	   *plain = psprintf("SELECT %s FROM (SELECT * FROM %s g%s%s) g %s %s s ON %s%s",
								 select, left, groups->nulls ? " WHERE " : "",
								 groups->nulls ? not_null : "", kind, right,
								 dyn_sql_match("g", groups->names, "s", groups->names, groups->types, false),
								 placed ? shown_rows(groups, false) : "");

	if (!groups->nulls)
		return plain;
	return psprintf("%s UNION ALL SELECT %s FROM (SELECT * FROM %s g WHERE NOT %s) g %s %s s ON %s%s",
					plain, select, left, not_null, kind, right,
					dyn_sql_match("g", groups->names, "s", groups->names, groups->types, true),
					placed ? shown_rows(groups, true) : "");
}

static char *
shown_rows(DynGroups *groups, bool nulls)
{
	DynSink    *sink = groups->evaluation->sink;
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, groups->node->key)
		names = lappend(names, list_nth(sink->names, lfirst_int(lc) - 1));
	return psprintf(" LEFT JOIN %s t ON %s", sink->name,
					dyn_sql_match("g", groups->names, "t", names, groups->types, nulls));
}

/* ------------------------------------------------------------------------
 * State
 * ------------------------------------------------------------------------
 */

/* What dyn_aggregate_fill yields; holders: with, at least, how many rows hold the image of the keys and each extremum. */
static char *
groups_text(DynEvaluation *evaluation, DynNode *node, const char *source, bool holders)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s%s", dyn_sql_columns("i1", node->nkeys), node->nkeys ? ", " : "");
	foreach(lc, node->aggs)
		appendStringInfo(&buf, "%s AS c%d, ", aggregate_text(evaluation, node, lfirst(lc)),
						 node->nkeys + foreach_current_index(lc) + 1);
	appendStringInfoString(&buf, "count(*) AS n");
	if (holders && node->variants)
	{
		char	   *image = psprintf("%s(ROW(%s))", evaluation->sql.hash, variant_keys(node, "i1.c"));

		/* all of them where they are the same, as mostly; or else one, and they are counted when it goes */
		appendStringInfo(&buf, ", CASE WHEN min(%s) OPERATOR(pg_catalog.=) max(%s) THEN count(*) ELSE 1 END AS x0", image, image);
	}
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		if (dyn_agg_keeps_count(agg))
			appendStringInfo(&buf, ", count(i1.c%d) AS m%d", agg->arg, j);
		if (dyn_agg_keeps_sum(agg))
			appendStringInfo(&buf, ", coalesce(sum(i1.c%d), 0)::%s AS s%d", agg->arg, sum_type(node, agg), j);
		if (dyn_agg_keeps_scale(agg))
			appendStringInfo(&buf, ", count(*) FILTER (WHERE %s) AS t%d", has_scale(agg, "i1."), j);
		/* at least one; the first time that this does not do they are counted */
		if (holders && dyn_agg_keeps_holders(agg))
			appendStringInfo(&buf, ", 1::bigint AS x%d", j);
	}
	appendStringInfo(&buf, " FROM (%s) i1", source);
	if (node->nkeys > 0)
		appendStringInfo(&buf, " GROUP BY %s", dyn_sql_columns("i1", node->nkeys));
	return buf.data;
}

/* SELECT c1 .. cn, n, m<j>, s<j>: state and output of the groups of the rows that source yields. */
char *
dyn_aggregate_fill(DynEvaluation *evaluation, DynNode *node, const char *source)
{
	return groups_text(evaluation, node, source, true);
}

/* The same for groups that are read again, with the holders of each extremum counted. */
char *
dyn_groups_reread(DynGroups *groups, const char *content)
{
	DynNode    *node = groups->node;
	char	   *fill = groups_text(groups->evaluation, node, content, false);
	StringInfoData columns;
	StringInfoData held;
	StringInfoData counts;
	ListCell   *lc;

	if (!any_holders(node))
		return fill;
	initStringInfo(&columns);
	initStringInfo(&held);
	initStringInfo(&counts);
	appendStringInfo(&columns, "%s, g.n%s", dyn_sql_columns("g", node->ncolumns), node->variants ? ", s.x0" : "");
	appendStringInfo(&held, "%s", dyn_sql_columns("s", node->nkeys));
	appendStringInfo(&counts, "%s", dyn_sql_columns(NULL, node->nkeys));
	if (node->variants)
	{
		appendStringInfo(&held, ", %s AS h0", same_keys(node, "g.c", "s.c"));
		appendStringInfoString(&counts, ", count(*) FILTER (WHERE h0) AS x0");
	}
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = DYN_AGG_COLUMNS; *column != 'x'; column++)
			if (dyn_agg_keeps(agg, *column))
				appendStringInfo(&columns, ", g.%c%d", *column, j);
		if (!dyn_agg_keeps_holders(agg))
			continue;
		appendStringInfo(&columns, ", s.x%d", j);
		appendStringInfo(&held, "%sg.c%d OPERATOR(pg_catalog.=) s.c%d AS h%d", held.len ? ", " : "",
						 agg->arg, node->nkeys + j, j);
		appendStringInfo(&counts, "%scount(*) FILTER (WHERE h%d) AS x%d", counts.len ? ", " : "", j, j);
	}
	return psprintf("WITH filled AS MATERIALIZED (%s), counted AS (SELECT %s FROM (%s) h%s%s) %s",
					fill, counts.data,
					joined(groups, held.data, psprintf("(%s)", content), "filled", "JOIN", false),
					node->nkeys ? " GROUP BY " : "", node->nkeys ? dyn_sql_columns(NULL, node->nkeys) : "",
					joined(groups, columns.data, "filled", "counted", "JOIN", false));
}

List *
dyn_aggregate_state_columns(DynNode *node)
{
	List	   *columns = list_make1("n pg_catalog.int8");
	ListCell   *lc;

	if (node->variants)
		columns = lappend(columns, "x0 pg_catalog.int8");
	foreach(lc, node->aggs)
	{
		DynAgg	   *agg = lfirst(lc);
		int			j = foreach_current_index(lc) + 1;

		for (const char *column = DYN_AGG_COLUMNS; *column; column++)
			if (dyn_agg_keeps(agg, *column))
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

bool
dyn_agg_exact(DynNode *node, DynAgg *agg)
{
	Oid			type = dyn_input(node, 1)->columns[agg->arg - 1].type;

	return type == INT2OID || type == INT4OID;
}

static char *
sum_type(DynNode *node, DynAgg *agg)
{
	return dyn_agg_exact(node, agg) ? "pg_catalog.int8" : "pg_catalog.numeric";
}
