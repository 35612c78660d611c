/*
 * dyn_sql_top.c
 *	  The SQL of TOP.
 *
 * Of each partition as many rows are kept as are asked for, and some more.
 * They are always the first ones, in an order in which only equal rows tie:
 * by rank() whole groups of peers are kept, by row_number() the order is
 * completed by the rows' images.  What comes behind the last of them need not
 * be known.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <optimizer/optimizer.h>
#include <utils/fmgroids.h>

#include "query/dyn_expr.h"
#include "query/dyn_make.h"
#include "query/dyn_sql_internal.h"

/* Rows that are kept beyond those that are asked for. */
#define MIN_RESERVE	10
#define MAX_RESERVE	1000

static char *order_items(DynNode *node, bool complete);
static char *over(DynNode *node, const char *order, const char *frame);
static bool counts_by(DynNode *node, DynRank rank);
static bool needs_number(DynNode *node);

/*
 * One row of each of many partitions: another one for each would double the
 * state, and to read a partition costs less.  Peers that count as one may be
 * any number of rows.
 */
int64
dyn_top_depth(DynNode *node)
{
	if (node->last == 1 && node->partition != NIL)
		return 1;
	if (node->rank == DYN_RANK_DENSE)
		return node->last + Min(node->last, MIN_RESERVE);
	return node->last + Min(Max(node->last / 4, MIN_RESERVE), MAX_RESERVE);
}

char *
dyn_sql_top_rows(DynNode *node, const char *source)
{
	int			ninput = dyn_input(node, 1)->ncolumns;
	static const char *const ranks[] = {"n", "r", "d"};
	const char *rank = ranks[node->rank];
	char	   *complete = over(node, order_items(node, needs_number(node)), "");
	char	   *peers = over(node, order_items(node, false), "");
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s", dyn_sql_columns("i1", ninput));
	foreach(lc, node->functions)
		appendStringInfo(&buf, ", i1.%s AS c%d",
						 ranks[dyn_top_rank_of(lfirst(lc))], ninput + foreach_current_index(lc) + 1);
	appendStringInfo(&buf, ", i1.%s >= " INT64_FORMAT " AND i1.%s <= " INT64_FORMAT " AND i1.n > " INT64_FORMAT " AS shown",
					 rank, node->first, rank, node->last, node->skip);
	appendStringInfo(&buf, ", i1.n = max(i1.n) %s AND i1.%s >= " INT64_FORMAT " AS more",
					 over(node, "", ""), node->rank == DYN_RANK_DENSE ? "d" : "n", dyn_top_depth(node));
	appendStringInfo(&buf, " FROM (SELECT i1.*, row_number() %s AS n", complete);
	if (counts_by(node, DYN_RANK_RANK))
		appendStringInfo(&buf, ", rank() %s AS r", peers);
	if (counts_by(node, DYN_RANK_DENSE))
		appendStringInfo(&buf, ", dense_rank() %s AS d", peers);
	appendStringInfo(&buf, " FROM (%s) i1) i1 WHERE i1.%s <= " INT64_FORMAT, source, rank, dyn_top_depth(node));
	return buf.data;
}

char *
dyn_sql_top_source(DynNode *node, const char *content)
{
	char	   *columns = dyn_sql_columns("i1", dyn_input(node, 1)->ncolumns);
	char	   *order = order_items(node, needs_number(node));

	/* without partitions the planner can find the first rows by an index, or sort no others */
	if (node->partition != NIL || node->rank == DYN_RANK_DENSE || *order == '\0')
		return psprintf("SELECT %s FROM (%s) i1", columns, content);
	return psprintf("(SELECT %s FROM (%s) i1 ORDER BY %s FETCH FIRST " INT64_FORMAT " ROWS %s)",
					columns, content, node->rank == DYN_RANK_RANK ? order_items(node, false) : order,
					dyn_top_depth(node), node->rank == DYN_RANK_RANK ? "WITH TIES" : "ONLY");
}

char *
dyn_sql_top_near(DynNode *node, const char *delta, const char *state)
{
	SortGroupClause *first = NULL;
	int			column = dyn_top_first(node, &first);
	List	   *names = dyn_sql_names("c", node->partition);

	if (column == 0 || node->partition == NIL)
		return NULL;
	return psprintf("SELECT i1.* FROM %s i1 LEFT JOIN %s s ON %s AND s.more WHERE (s.c%d %s i1.c%d) IS NOT TRUE",
					delta, state, dyn_sql_match("s", names, "i1", names, dyn_sql_types(node, node->partition), false),
					column, dyn_sql_operator(first->sortop), column);
}

int
dyn_top_first(DynNode *node, SortGroupClause **first)
{
	ListCell   *lc;

	foreach(lc, linitial_node(WindowClause, node->window_clauses)->orderClause)
	{
		Var		   *var = (Var *) get_sortgroupclause_expr(lfirst(lc), node->window_tlist);

		*first = lfirst(lc);
		if (!IsA(var, Var))
			return 0;
		if (!list_member_int(node->partition, var->varattno))
			return var->varattno;
	}
	return 0;
}

char *
dyn_sql_top_merged(DynNode *node, const char *kept, const char *delta)
{
	int			ninput = dyn_input(node, 1)->ncolumns;
	char	   *complete = over(node, order_items(node, true), "");
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT i1.*, row_number() %s AS n, dense_rank() %s AS alike, dense_rank() %s AS peers"
					 " FROM (SELECT 1::bigint AS w, i1.* FROM %s i1 UNION ALL SELECT i1.w, %s",
					 complete, complete, dyn_top_counts_peers(node) ? over(node, order_items(node, false), "") : complete,
					 kept, dyn_sql_columns("i1", ninput));
	for (int i = 0; i < list_length(node->functions); i++)
		appendStringInfoString(&buf, ", NULL::bigint");
	appendStringInfo(&buf, ", NULL::bool, NULL::bool FROM %s i1) i1", delta);
	return buf.data;
}

bool
dyn_top_counts_peers(DynNode *node)
{
	return counts_by(node, DYN_RANK_RANK) || counts_by(node, DYN_RANK_DENSE);
}

/* ------------------------------------------------------------------------
 * Parts
 * ------------------------------------------------------------------------
 */

DynRank
dyn_top_rank_of(WindowFunc *function)
{
	return function->winfnoid == F_ROW_NUMBER ? DYN_RANK_NUMBER :
		function->winfnoid == F_RANK_ ? DYN_RANK_RANK : DYN_RANK_DENSE;
}

/* Are rows counted so, or is it shown? */
static bool
counts_by(DynNode *node, DynRank rank)
{
	ListCell   *lc;

	foreach(lc, node->functions)
		if (dyn_top_rank_of(lfirst(lc)) == rank)
			return true;
	return node->rank == rank;
}

/* Does it count which of two rows that tie comes first? */
static bool
needs_number(DynNode *node)
{
	return counts_by(node, DYN_RANK_NUMBER) || node->skip > 0;
}

/*
 * What stands behind ORDER BY, over input i1; complete: only equal rows tie.
 * Columns that tell when a row was written are no part of it.
 */
static char *
order_items(DynNode *node, bool complete)
{
	DynNode    *input = dyn_input(node, 1);
	char	   *items = dyn_sql_order(node, linitial_node(WindowClause, node->window_clauses)->orderClause);
	StringInfoData buf;

	if (!complete || dyn_node_order_unique(node))
		return items;
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s%sROW(", items, *items ? ", " : "");
	for (int i = 1, n = 0; i <= input->ncolumns; i++)
		if (!input->columns[i - 1].written_at)
			appendStringInfo(&buf, "%si1.c%d", n++ ? ", " : "", i);
	appendStringInfoString(&buf, ")::record USING OPERATOR(pg_catalog.*<)");
	return buf.data;
}

char *
dyn_sql_order(DynNode *node, List *order)
{
	static const char *const begin = "(ORDER BY ";
	WindowClause *clause = makeNode(WindowClause);
	char	   *text;

	if (order == NIL)
		return "";
	clause->orderClause = order;
	clause->frameOptions = FRAMEOPTION_DEFAULTS;
	clause->winref = 1;
	text = strstr(dyn_expr_text((Node *) dyn_make_row_number(), "i", 1, &dyn_input(node, 1)->ncolumns, list_make1(clause),
								node->window_tlist), begin);
	if (text == NULL)
		elog(ERROR, "could not find the order of a window");
	text += strlen(begin);
	*strrchr(text, ')') = '\0';
	return text;
}

char *
dyn_sql_partition(DynNode *node)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, node->partition)
		appendStringInfo(&buf, "%si1.c%d", buf.len ? ", " : "", lfirst_int(lc));
	return buf.data;
}

/* OVER (PARTITION BY the node's partition ORDER BY order frame) */
static char *
over(DynNode *node, const char *order, const char *frame)
{
	return psprintf("OVER (%s%s%s%s%s)", node->partition ? "PARTITION BY " : "", dyn_sql_partition(node),
					*order ? " ORDER BY " : "", order, frame);
}
