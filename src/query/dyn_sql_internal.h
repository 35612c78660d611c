/*
 * dyn_sql_internal.h
 *	  Shared by the files that write the SQL of nodes (dyn_sql*.c), and by no other.
 */
#ifndef DYN_SQL_INTERNAL_H
#define DYN_SQL_INTERNAL_H

#include "query/dyn_sql.h"

/* A delta of more rows is not to be read through again and again. */
#define DYN_SQL_LARGE_DELTA 200

/* An expression over a node's inputs, which stand in FROM as i1 .. in, at the moment t. */
extern char *dyn_sql_expr(DynNode *node, Node *expr, TimestampTz t);

/* The node's conditions over i1 .. in, or true. */
extern char *dyn_sql_quals(DynSql *sql, DynNode *node);

/* OPERATOR(schema.op) */
extern char *dyn_sql_operator(Oid operator);

/* Append a statement to a UNION ALL of such. */
extern void dyn_sql_add_term(StringInfo buf, char *term);

/* dyn_sql_order.c: the inputs (int) of a SELECT in the order in which steps join them */
extern List *dyn_sql_join_order(DynNode *node);

/* Has the input at most one row for each of those joined? */
extern bool dyn_sql_join_at_most_one(DynNode *node, Bitmapset *joined, int input);

/* dyn_sql_join.c */
extern char *dyn_sql_join_content(DynSql *sql, DynNode *node);

#endif							/* DYN_SQL_INTERNAL_H */
