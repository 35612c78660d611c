/*
 * dyn_sql_suffix.c
 *	  The SQL of windows whose functions look back only: ranks, lag(), running
 *	  sums, frames of some rows before the current one.
 *
 * Where the order decides between all rows, a change then leaves the rows
 * before it as they are.  Those from the first touched value of the order's
 * first column on are computed again, from what is stored for the row before
 * them (its number, its sums) and from as many rows before them as the frames
 * reach.
 */
#include <postgres.h>

#include <access/stratnum.h>
#include <access/transam.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_expr.h"
#include "query/dyn_sql.h"
#include "query/dyn_sql_internal.h"

/* Rows that a frame may reach back. */
#define MAX_CONTEXT 1000

/* How a function's value follows from that of the row before the suffix. */
typedef enum Continuation
{
	NONE,						/* it does not: all rows are needed */
	CONTEXT,					/* from the rows before */
	NUMBER,						/* rows are counted on */
	COUNT,
	SUM,
	MIN,
	MAX,
} Continuation;

static Oid	operator_beside(DynNode *node, SortGroupClause *item, bool or_equal);
static Continuation continuation_of(DynNode *node, WindowFunc *function, int *context);
static Continuation running(WindowFunc *function);
static bool constant(Node *expr, int *value);
static char *continued(DynNode *node, WindowFunc *function, int j);

bool
dyn_sql_suffix(DynNode *node, DynSuffix *suffix)
{
	DynNode    *input = dyn_input(node, 1);
	WindowClause *clause = linitial_node(WindowClause, node->window_clauses);
	SortGroupClause *first;
	Var		   *var;
	ListCell   *lc;

	if (list_length(node->window_clauses) > 1 || clause->orderClause == NIL || !dyn_node_order_unique(node))
		return false;
	first = linitial_node(SortGroupClause, clause->orderClause);
	var = (Var *) get_sortgroupclause_expr(first, node->window_tlist);
	if (!IsA(var, Var) || input->columns[var->varattno - 1].nullable)
		return false;
	foreach(lc, clause->orderClause)
		if (!OidIsValid(operator_beside(node, lfirst(lc), false)))
			return false;
	suffix->context = 1;
	foreach(lc, node->functions)
	{
		int			context = 0;

		if (continuation_of(node, lfirst(lc), &context) == NONE || context > MAX_CONTEXT)
			return false;
		suffix->context = Max(suffix->context, context);
	}
	suffix->column = var->varattno;
	suffix->before = first->sortop;
	suffix->from = operator_beside(node, first, true);
	return true;
}

/*
 * The operator that orders the other way round, with "or equal" or without; 0
 * where the order is not that of the type itself.
 */
static Oid
operator_beside(DynNode *node, SortGroupClause *item, bool or_equal)
{
	Node	   *expr = get_sortgroupclause_expr(item, node->window_tlist);
	TypeCacheEntry *entry = lookup_type_cache(exprType(expr), TYPECACHE_BTREE_OPFAMILY);
	int			strategy = OidIsValid(entry->btree_opf) ?
		get_op_opfamily_strategy(item->sortop, entry->btree_opf) : 0;

	if (strategy == BTLessStrategyNumber)
		strategy = or_equal ? BTGreaterEqualStrategyNumber : BTGreaterStrategyNumber;
	else if (strategy == BTGreaterStrategyNumber)
		strategy = or_equal ? BTLessEqualStrategyNumber : BTLessStrategyNumber;
	else
		return InvalidOid;
	return get_opfamily_member(entry->btree_opf, entry->btree_opintype, entry->btree_opintype, strategy);
}

List *
dyn_partition_columns(DynNode *node)
{
	DynSuffix	suffix;

	if (node->kind == DYN_NODE_WINDOW && dyn_sql_suffix(node, &suffix))
		return list_append_unique_int(list_copy(node->partition), suffix.column);
	return node->partition;
}

char *
dyn_sql_suffix_keys(DynNode *node, DynSuffix *suffix, const char *rows)
{
	WindowClause *clause = linitial_node(WindowClause, node->window_clauses);
	char	   *order = dyn_sql_order(node, list_make1(linitial(clause->orderClause)));
	StringInfoData list;
	ListCell   *lc;

	if (node->partition == NIL)
		return psprintf("SELECT i1.c%d AS m FROM %s i1 ORDER BY %s LIMIT 1", suffix->column, rows, order);
	initStringInfo(&list);
	foreach(lc, node->partition)
		appendStringInfo(&list, "i1.c%d AS k%d, ", lfirst_int(lc), foreach_current_index(lc) + 1);
	return psprintf("SELECT DISTINCT ON (%s) %si1.c%d AS m FROM %s i1 ORDER BY %s, %s",
					dyn_sql_partition(node), list.data, suffix->column, rows, dyn_sql_partition(node), order);
}

/* i is in the partition of k, and from its first touched value on, or before it. */
static char *
condition(DynNode *node, DynSuffix *suffix, bool before)
{
	List	   *keys = NIL;

	for (int i = 1; i <= list_length(node->partition); i++)
		keys = lappend(keys, psprintf("k%d", i));
	return psprintf("%s AND i.c%d %s k.m",
					dyn_sql_match("i", dyn_sql_names("c", node->partition), "k", keys,
								  dyn_sql_types(node, node->partition), false),
					suffix->column, dyn_sql_operator(before ? suffix->before : suffix->from));
}

char *
dyn_sql_suffix_rows(DynNode *node, DynSuffix *suffix, const char *content, int ncolumns, const char *keys)
{
	return psprintf("SELECT %s FROM %s k JOIN (%s) i ON %s", dyn_sql_columns("i", ncolumns), keys, content,
					condition(node, suffix, false));
}

/* The window's order the other way round. */
static List *
reversed_order(DynNode *node)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, linitial_node(WindowClause, node->window_clauses)->orderClause)
	{
		SortGroupClause *item = copyObject(lfirst_node(SortGroupClause, lc));

		item->sortop = operator_beside(node, item, false);
		item->nulls_first = !item->nulls_first;
		result = lappend(result, item);
	}
	return result;
}

char *
dyn_sql_suffix_window(DynSql *sql, DynNode *node, DynSuffix *suffix, const char *keys)
{
	DynNode    *input = dyn_input(node, 1);
	int			n = input->ncolumns;
	char	   *columns = dyn_sql_columns("i1", n);
	char	   *backward = dyn_sql_order(node, reversed_order(node));
	StringInfoData source;
	StringInfoData buf;
	ListCell   *lc;

	/* the rows from the first touched one on, and those before them with what is stored of the last */
	initStringInfo(&source);
	appendStringInfo(&source, "SELECT %s, false AS c%d, false AS last", columns, n + 1);
	for (int j = n + 1; j <= node->ncolumns; j++)
		appendStringInfo(&source, ", NULL AS b%d", j - n);
	appendStringInfo(&source, " FROM (%s) i1 UNION ALL SELECT %s, true, i1.back = 1",
					 dyn_sql_suffix_rows(node, suffix, dyn_sql_content(sql, input), n, keys), columns);
	for (int j = n + 1; j <= node->ncolumns; j++)
		appendStringInfo(&source, ", i1.c%d", j);
	appendStringInfo(&source, " FROM %s k, LATERAL (SELECT i1.*, row_number() OVER (ORDER BY %s) AS back FROM"
					 " (SELECT i.* FROM (%s) i WHERE %s) i1 ORDER BY %s LIMIT %d) i1",
					 keys, backward, dyn_sql_content(sql, node), condition(node, suffix, true), backward,
					 suffix->context);

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s FROM (SELECT %s, i1.c%d AS context", dyn_sql_columns("i1", node->ncolumns),
					 columns, n + 1);
	foreach(lc, node->functions)
		appendStringInfo(&buf, ", %s AS c%d", continued(node, lfirst(lc), foreach_current_index(lc) + 1),
						 n + foreach_current_index(lc) + 1);
	appendStringInfo(&buf, " FROM (%s) i1) i1 WHERE NOT i1.context", source.data);
	return buf.data;
}

/* ------------------------------------------------------------------------
 * Functions
 * ------------------------------------------------------------------------
 */

/* *context: how many rows before the current one are needed. */
static Continuation
continuation_of(DynNode *node, WindowFunc *function, int *context)
{
	WindowClause *clause = linitial_node(WindowClause, node->window_clauses);
	int			frame = clause->frameOptions;

	switch (function->winfnoid)
	{
			/* no two rows are peers */
		case F_ROW_NUMBER:
		case F_RANK_:
		case F_DENSE_RANK_:
			return NUMBER;
		case F_LAG_ANYELEMENT:
			*context = 1;
			return CONTEXT;
		case F_LAG_ANYELEMENT_INT4:
		case F_LAG_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
			return constant(lsecond(function->args), context) ? CONTEXT : NONE;
	}
	if (!function->winagg || !(frame & FRAMEOPTION_END_CURRENT_ROW) || (frame & FRAMEOPTION_EXCLUSION))
		return NONE;
	if (frame & FRAMEOPTION_START_UNBOUNDED_PRECEDING)
		return running(function);
	if ((frame & FRAMEOPTION_ROWS) && (frame & FRAMEOPTION_START_CURRENT_ROW))
		return CONTEXT;
	if ((frame & FRAMEOPTION_ROWS) && (frame & FRAMEOPTION_START_OFFSET_PRECEDING))
		return constant(clause->startOffset, context) ? CONTEXT : NONE;
	return NONE;
}

/* An aggregate of all rows so far, if it follows exactly, to the byte, from its value for the row before. */
static Continuation
running(WindowFunc *function)
{
	char	   *name;

	switch (function->winfnoid)
	{
		case F_COUNT_:
		case F_COUNT_ANY:
			return COUNT;
		case F_SUM_INT2:
		case F_SUM_INT4:
		case F_SUM_INT8:
		case F_SUM_NUMERIC:
			return SUM;
	}
	if (function->winfnoid >= FirstUnpinnedObjectId || !get_typbyval(function->wintype) ||
		function->wintype == FLOAT4OID || function->wintype == FLOAT8OID)
		return NONE;
	name = get_func_name(function->winfnoid);
	return strcmp(name, "min") == 0 ? MIN : strcmp(name, "max") == 0 ? MAX : NONE;
}

/* A number of rows that is known, and not negative. */
static bool
constant(Node *expr, int *value)
{
	Const	   *found = (Const *) eval_const_expressions(NULL, copyObject(expr));
	int64		number;

	if (!IsA(found, Const) || found->constisnull)
		return false;
	number = found->consttype == INT4OID ? DatumGetInt32(found->constvalue) : DatumGetInt64(found->constvalue);
	*value = (int) Min(number, MAX_CONTEXT + 1);
	return number >= 0;
}

/* The j-th function over the context and the suffix, continued from b<j> of the last row of the context. */
static char *
continued(DynNode *node, WindowFunc *function, int j)
{
	int			ncolumns = dyn_input(node, 1)->ncolumns + 1;
	int			context;
	Continuation how = continuation_of(node, function, &context);
	Var		   *in_context = makeVar(1, ncolumns, BOOLOID, -1, InvalidOid, 0);
	Expr	   *outside = make_notclause((Expr *) in_context);
	char	   *partition = psprintf("%s%s", node->partition ? "PARTITION BY " : "", dyn_sql_partition(node));
	char	   *last = psprintf("first_value(i1.b%d) OVER (%s ORDER BY i1.last DESC)", j, partition);
	char	   *text;

	function = copyObject(function);
	if (how != CONTEXT && how != NUMBER)
		function->aggfilter = (Expr *) make_and_qual((Node *) function->aggfilter, (Node *) outside);
	text = dyn_expr_text((Node *) function, "i", 1, &ncolumns, node->window_clauses, node->window_tlist);
	switch (how)
	{
		case NUMBER:
			return psprintf("%s + coalesce(%s - count(*) FILTER (WHERE i1.c%d) OVER (%s), 0)",
							text, last, ncolumns, partition);
		case COUNT:
			return psprintf("%s + coalesce(%s, 0)", text, last);
		case SUM:
			return psprintf("coalesce(%s + %s, %s, %s)", text, last, text, last);
		case MIN:
			return psprintf("least(%s, %s)", text, last);
		case MAX:
			return psprintf("greatest(%s, %s)", text, last);
		default:
			return text;
	}
}
