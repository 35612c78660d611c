/*
 * dyn_sql_rows.c
 *	  The SQL of CONSTANT and APPLY: rows that no table holds, but that a query
 *	  yields by itself or for each row of an input.
 *
 * With S(t) for what the query yields at a moment, and × for APPLY's join of
 * each row with what it yields:
 *	 Δ(R × S) = ΔR × S(t)  +  R' × S(t')  −  R' × S(t),
 * where the last two terms are there only if the query contains now().  A
 * CONSTANT is the same over one row that never changes.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>

#include "query/dyn_expr.h"
#include "query/dyn_sql.h"

static char *rows_statement(DynNode *node, const char *input, const char *weight, TimestampTz t);
static char *rows_text(DynNode *node, TimestampTz t);

bool
dyn_node_moves(DynNode *node)
{
	return node->kind == DYN_NODE_MOVING || dyn_expr_has_now((Node *) node->source);
}

char *
dyn_sql_rows_content(DynSql *sql, DynNode *node)
{
	return rows_statement(node, node->kind == DYN_NODE_CONSTANT ? NULL :
						  psprintf("(%s)", dyn_sql_content(sql, dyn_input(node, 1))),
						  NULL, sql->upto);
}

char *
dyn_sql_rows_delta(DynSql *sql, DynNode *node)
{
	DynNode    *input = node->kind == DYN_NODE_APPLY ? dyn_input(node, 1) : NULL;
	char	   *content = input ? psprintf("(%s)", dyn_sql_content(sql, input)) : NULL;
	StringInfoData buf;

	initStringInfo(&buf);
	if (input && sql->changed[input->no])
		appendStringInfoString(&buf, rows_statement(node, psprintf("d%d", input->no), "i1.w", sql->since));
	if (!dyn_expr_same_at((Node *) node->source, sql->since, sql->upto))
		appendStringInfo(&buf, "%s%s UNION ALL %s", buf.len ? " UNION ALL " : "",
						 rows_statement(node, content, "1::bigint", sql->upto),
						 rows_statement(node, content, "(-1)::bigint", sql->since));
	return buf.len ? buf.data : NULL;
}

/* The rows for each row of the input, which is printed in FROM; there is none for a CONSTANT. */
static char *
rows_statement(DynNode *node, const char *input, const char *weight, TimestampTz t)
{
	int			ninput = input ? dyn_input(node, 1)->ncolumns : 0;
	int			nrows = node->ncolumns - ninput;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s%s", weight ? weight : "", weight ? " AS w" : "");
	for (int i = 1; i <= node->ncolumns; i++)
		appendStringInfo(&buf, "%si%d.c%d AS c%d", weight || i > 1 ? ", " : "",
						 i <= ninput ? 1 : 2, i <= ninput ? i : i - ninput, i);
	appendStringInfoString(&buf, " FROM ");
	if (input)
		appendStringInfo(&buf, "%s i1 %s JOIN LATERAL ", input, node->keeps ? "LEFT" : "CROSS");
	appendStringInfo(&buf, "%s i2", rows_text(node, t));
	if (nrows > 0)
		appendStringInfo(&buf, "(%s)", dyn_sql_columns(NULL, nrows));
	if (node->keeps)
		appendStringInfoString(&buf, " ON true");
	return buf.data;
}

/* The query in parentheses, as the server's deparser prints a subquery over the input i1. */
static char *
rows_text(DynNode *node, TimestampTz t)
{
	SubLink    *subquery = makeNode(SubLink);
	int			ninputs = list_length(node->inputs);
	int			ncolumns = ninputs ? dyn_input(node, 1)->ncolumns : 0;

	subquery->subLinkType = EXPR_SUBLINK;
	subquery->subselect = dyn_expr_at((Node *) node->source, t);
	subquery->location = -1;
	return dyn_expr_text((Node *) subquery, "i", ninputs, &ncolumns, NIL, NIL);
}
