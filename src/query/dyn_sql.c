/*
 * dyn_sql.c
 *	  The SQL of nodes.
 *
 * The formulas are those of differential query evaluation on bags (Griffin
 * and Libkin 1995; outer joins: Larson and Zhou 2007).  R' is content now, ΔR
 * the delta, R° = R' − ΔR content before; a term whose delta is empty is not
 * written at all.
 *
 * Statements are written so that the planner can take them apart: sub-selects
 * without aggregation are pulled up, a UNION ALL over a table keeps its
 * indexes usable, and every delta is an ephemeral relation whose true number
 * of rows the planner knows, so that a small one probes the tables by index.
 */
#include <postgres.h>

#include <catalog/pg_operator.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/ruleutils.h>
#include <utils/syscache.h>
#include <utils/typcache.h>

#include "query/dyn_expr.h"
#include "query/dyn_sql_internal.h"
#include "query/dyn_vars.h"

static char *scan_content(DynNode *node);
static char *select_statement(DynSql *sql, DynNode *node, char **sources);
static char *moving_statement(DynNode *node, const char *source, const char *weight, TimestampTz t);
static char *moving_delta(DynSql *sql, DynNode *node);
static char *union_delta(DynSql *sql, DynNode *node);
static int	over_union(DynNode *node, List *columns, List **below);

char *
dyn_sql_content(DynSql *sql, DynNode *node)
{
	StringInfoData buf;
	ListCell   *lc;

	if (dyn_node_staged(node) || node->kind == DYN_NODE_WORKING)
		return psprintf("SELECT %s FROM %s%s", dyn_sql_columns(NULL, node->ncolumns), sql->stages[node->no],
						node->kind == DYN_NODE_TOP ? " WHERE shown" : "");
	switch (node->kind)
	{
		case DYN_NODE_SCAN:
			return scan_content(node);
		case DYN_NODE_CONSTANT:
		case DYN_NODE_APPLY:
			return dyn_sql_rows_content(sql, node);
		case DYN_NODE_SELECT:
			return select_statement(sql, node, NULL);
		case DYN_NODE_MOVING:
			return moving_statement(node, psprintf("(%s)", dyn_sql_content(sql, dyn_input(node, 1))),
									NULL, sql->upto);
		case DYN_NODE_JOIN:
			return dyn_sql_join_content(sql, node);
		case DYN_NODE_UNION:
			initStringInfo(&buf);
			foreach(lc, node->inputs)
				dyn_sql_add_term(&buf, psprintf("SELECT %s FROM (%s) i1",
										dyn_sql_columns("i1", node->ncolumns),
										dyn_sql_content(sql, lfirst(lc))));
			return buf.data;
		default:
			break;
	}
	elog(ERROR, "node kind %d has no content", node->kind);
}

char *
dyn_sql_delta(DynSql *sql, DynNode *node)
{
	switch (node->kind)
	{
		case DYN_NODE_CONSTANT:
		case DYN_NODE_APPLY:
			return dyn_sql_rows_delta(sql, node);
		case DYN_NODE_MOVING:
			return moving_delta(sql, node);
		case DYN_NODE_UNION:
			return union_delta(sql, node);
		default:
			break;
	}
	elog(ERROR, "node kind %d has no delta statement", node->kind);
}

/* ------------------------------------------------------------------------
 * Sources
 * ------------------------------------------------------------------------
 */
static char *
scan_content(DynNode *node)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	foreach(lc, node->attnums)
		appendStringInfo(&buf, "%s%s AS c%d", foreach_current_index(lc) ? ", " : "",
						 quote_identifier(get_attname(node->relid, lfirst_int(lc), false)),
						 foreach_current_index(lc) + 1);
	appendStringInfo(&buf, " FROM %s%s", node->inherits ? "" : "ONLY ",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(node->relid)),
												get_rel_name(node->relid)));
	return buf.data;
}

/* ------------------------------------------------------------------------
 * SELECT: its content, also with other rows (c1, …) in place of an input's.
 * Its delta is found by steps (dyn_sql_select.c).
 * ------------------------------------------------------------------------
 */
static char *
select_statement(DynSql *sql, DynNode *node, char **sources)
{
	StringInfoData buf;
	StringInfoData from;
	ListCell   *lc;

	initStringInfo(&buf);
	initStringInfo(&from);
	foreach(lc, node->inputs)
	{
		DynNode    *input = lfirst(lc);
		int			i = foreach_current_index(lc) + 1;

		appendStringInfo(&from, "%s%s i%d", i > 1 ? ", " : " FROM ",
						 sources && sources[i] ? sources[i] :
						 psprintf("(%s)", dyn_sql_content(sql, input)), i);
	}
	appendStringInfoString(&buf, "SELECT ");
	foreach(lc, node->targets)
		appendStringInfo(&buf, "%s%s AS c%d", foreach_current_index(lc) ? ", " : "",
						 dyn_sql_expr(node, lfirst(lc), sql->upto), foreach_current_index(lc) + 1);
	appendStringInfoString(&buf, from.data);
	if (node->quals)
		appendStringInfo(&buf, " WHERE %s", dyn_sql_quals(sql, node));

	/* which no condition is moved past */
	if (node->barrier)
		appendStringInfoString(&buf, " OFFSET 0");
	return buf.data;
}

/* ------------------------------------------------------------------------
 * MOVING: σφ(t)(ΔR) + σ(φ(t') ∧ ¬φ(t))(R') − σ(φ(t) ∧ ¬φ(t'))(R')
 * ------------------------------------------------------------------------
 */
static char *
moving_statement(DynNode *node, const char *source, const char *weight, TimestampTz t)
{
	return psprintf("SELECT %s FROM %s i1 WHERE %s",
					weight ? dyn_sql_weighted(weight, "i1", node->ncolumns) : dyn_sql_columns("i1", node->ncolumns),
					source, dyn_sql_expr(node, linitial(node->quals), t));
}

/* The rows for which the condition is true at t and not at other. */
static char *
moved_statement(DynNode *node, const char *source, const char *weight, TimestampTz t, TimestampTz other)
{
	Node	   *qual = linitial(node->quals);
	Node	   *implied = IsA(qual, BoolExpr) ? dyn_expr_crossed(qual, t, other) : dyn_expr_turning_range(qual, t, other);

	return psprintf("%s AND %s%s%s", moving_statement(node, source, weight, t),
					dyn_sql_expr(node, dyn_expr_not(qual), other),
					implied ? " AND " : "", implied ? dyn_sql_expr(node, implied, t) : "");
}

static char *
moving_delta(DynSql *sql, DynNode *node)
{
	DynNode    *input = dyn_input(node, 1);
	StringInfoData buf;

	initStringInfo(&buf);
	if (sql->changed[input->no])
		dyn_sql_add_term(&buf, moving_statement(node, psprintf("d%d", input->no), "i1.w", sql->since));
	if (!dyn_expr_same_at(linitial(node->quals), sql->since, sql->upto))
	{
		char	   *content = psprintf("(%s)", dyn_sql_content(sql, input));

		dyn_sql_add_term(&buf, moved_statement(node, content, "1::bigint", sql->upto, sql->since));
		dyn_sql_add_term(&buf, moved_statement(node, content, "(-1)::bigint", sql->since, sql->upto));
	}
	return buf.len ? buf.data : NULL;
}

/* ------------------------------------------------------------------------
 * UNION ALL
 * ------------------------------------------------------------------------
 */
static char *
union_delta(DynSql *sql, DynNode *node)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, node->inputs)
		if (sql->changed[((DynNode *) lfirst(lc))->no])
			dyn_sql_add_term(&buf, psprintf("SELECT %s FROM d%d i1", dyn_sql_weighted("i1.w", "i1", node->ncolumns),
									((DynNode *) lfirst(lc))->no));
	return buf.len ? buf.data : NULL;
}

/* ------------------------------------------------------------------------
 * WINDOW
 * ------------------------------------------------------------------------
 */
char *
dyn_sql_window(DynSql *sql, DynNode *node, const char *source)
{
	int			ninput = dyn_input(node, 1)->ncolumns;
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s", dyn_sql_columns("i1", ninput));
	foreach(lc, node->functions)
		appendStringInfo(&buf, "%s%s AS c%d", ninput || foreach_current_index(lc) ? ", " : "",
						 dyn_expr_text(lfirst(lc), "i", 1, &ninput,
									   node->window_clauses, node->window_tlist),
						 ninput + foreach_current_index(lc) + 1);
	appendStringInfo(&buf, " FROM (%s) i1", source);
	return buf.data;
}

/* ------------------------------------------------------------------------
 * Parts
 * ------------------------------------------------------------------------
 */

/* An expression over a node's inputs, which stand in FROM as i1 .. in. */
char *
dyn_sql_expr(DynNode *node, Node *expr, TimestampTz t)
{
	int			n = list_length(node->inputs);
	int		   *ncolumns = palloc(sizeof(int) * (n + 1));

	for (int i = 0; i < n; i++)
		ncolumns[i] = dyn_input(node, i + 1)->ncolumns;
	return dyn_expr_text(dyn_expr_at(expr, t), "i", n, ncolumns, NIL, NIL);
}

char *
dyn_sql_quals(DynSql *sql, DynNode *node)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, node->quals)
		appendStringInfo(&buf, "%s(%s)", buf.len ? " AND " : "",
						 dyn_sql_expr(node, lfirst(lc), sql->upto));
	return buf.len ? buf.data : pstrdup("true");
}

char *
dyn_sql_operator(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

char *
dyn_sql_equality(Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);

	if (!OidIsValid(entry->eq_opr))
		elog(ERROR, "type %u has no equality operator", type);
	return dyn_sql_operator(entry->eq_opr);
}

char *
dyn_sql_columns(const char *alias, int ncolumns)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 1; i <= ncolumns; i++)
		appendStringInfo(&buf, "%s%s%sc%d", i > 1 ? ", " : "", alias ? alias : "", alias ? "." : "", i);
	return buf.data;
}

char *
dyn_sql_weighted(const char *weight, const char *alias, int ncolumns)
{
	return psprintf("%s AS w%s%s", weight, ncolumns ? ", " : "", dyn_sql_columns(alias, ncolumns));
}

List *
dyn_sql_names(const char *prefix, List *numbers)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, numbers)
		names = lappend(names, psprintf("%s%d", prefix, lfirst_int(lc)));
	return names;
}

List *
dyn_sql_types(DynNode *node, List *columns)
{
	List	   *types = NIL;
	ListCell   *lc;

	foreach(lc, columns)
		types = lappend_oid(types, node->columns[lfirst_int(lc) - 1].type);
	return types;
}

char *
dyn_sql_match(const char *a, List *a_names, const char *b, List *b_names, List *types, bool nulls)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(types); i++)
	{
		char	   *x = psprintf("%s.%s", a, (char *) list_nth(a_names, i));
		char	   *y = psprintf("%s.%s", b, (char *) list_nth(b_names, i));
		char	   *equality = dyn_sql_equality(list_nth_oid(types, i));

		if (i > 0)
			appendStringInfoString(&buf, " AND ");
		if (nulls)
		{
			const char *null = dyn_sql_null_test(list_nth_oid(types, i), true);

			appendStringInfo(&buf, "(%s %s %s OR (%s %s AND %s %s))", x, equality, y, x, null, y, null);
		}
		else
			appendStringInfo(&buf, "%s %s %s", x, equality, y);
	}
	return buf.len ? buf.data : pstrdup("true");
}

char *
dyn_sql_not_null(const char *alias, List *names, List *types)
{
	StringInfoData buf;
	ListCell   *ln;
	ListCell   *lt;

	initStringInfo(&buf);
	forboth(ln, names, lt, types)
		appendStringInfo(&buf, "%s%s.%s %s", buf.len ? " AND " : "(", alias, (char *) lfirst(ln),
						 dyn_sql_null_test(lfirst_oid(lt), false));
	appendStringInfoString(&buf, buf.len ? ")" : "true");
	return buf.data;
}

const char *
dyn_sql_null_test(Oid type, bool null)
{
	if (type_is_rowtype(type))
		return null ? "IS NOT DISTINCT FROM NULL" : "IS DISTINCT FROM NULL";
	return null ? "IS NULL" : "IS NOT NULL";
}

char *
dyn_sql_content_of(DynSql *sql, DynNode *node, List *columns, const char *keys, bool nulls)
{
	StringInfoData buf;
	char	  **sources;
	List	   *below;
	int			input;
	ListCell   *lc;

	if (node->kind == DYN_NODE_UNION)
	{
		initStringInfo(&buf);
		foreach(lc, node->inputs)
			dyn_sql_add_term(&buf, dyn_sql_content_of(sql, lfirst(lc), columns, keys, nulls));
		return buf.data;
	}
	if (node->kind == DYN_NODE_SELECT && (input = over_union(node, columns, &below)) > 0)
	{
		sources = palloc0(sizeof(char *) * (list_length(node->inputs) + 1));
		sources[input] = psprintf("(%s)", dyn_sql_content_of(sql, dyn_input(node, input), below, keys, nulls));
		return select_statement(sql, node, sources);
	}
	return dyn_sql_restrict(dyn_sql_content(sql, node), node->ncolumns, dyn_sql_names("c", columns),
							dyn_sql_types(node, columns), keys, nulls);
}

/* The UNION among a SELECT's inputs that has all these columns, as *below, or 0. */
static int
over_union(DynNode *node, List *columns, List **below)
{
	int			input = 0;
	ListCell   *lc;

	*below = NIL;
	if (expression_returns_set((Node *) node->targets))
		return 0;
	foreach(lc, columns)
	{
		Var		   *var = list_nth(node->targets, lfirst_int(lc) - 1);

		if (!IsA(var, Var) || var->varlevelsup > 0 || (input > 0 && var->varno != input))
			return 0;
		input = var->varno;
		*below = lappend_int(*below, var->varattno);
	}
	return input > 0 && dyn_input(node, input)->kind == DYN_NODE_UNION ? input : 0;
}

char *
dyn_sql_restrict(const char *content, int ncolumns, List *names, List *types,
				 const char *keys, bool nulls)
{
	List	   *key_names = NIL;
	char	   *columns = dyn_sql_columns("i", ncolumns);
	char	   *plain;

	for (int i = 1; i <= list_length(names); i++)
		key_names = lappend(key_names, psprintf("k%d", i));
	plain = psprintf("SELECT %s FROM %s k JOIN (%s) i ON %s", columns, keys, content,
					 dyn_sql_match("i", names, "k", key_names, types, false));
	if (!nulls)
		return plain;

	/* one column: an index finds its NULLs */
	if (list_length(names) == 1)
		return psprintf("%s UNION ALL SELECT %s FROM (%s) i WHERE i.%s %s",
						plain, columns, content, (char *) linitial(names),
						dyn_sql_null_test(linitial_oid(types), true));
	return psprintf("%s WHERE %s UNION ALL SELECT %s FROM %s k JOIN (%s) i ON %s WHERE NOT %s",
					plain, dyn_sql_not_null("k", key_names, types), columns, keys, content,
					dyn_sql_match("i", names, "k", key_names, types, true),
					dyn_sql_not_null("k", key_names, types));
}

void
dyn_sql_add_term(StringInfo buf, char *term)
{
	if (buf->len)
		appendStringInfoString(buf, " UNION ALL ");
	appendStringInfoString(buf, term);
}
