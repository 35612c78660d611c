/*
 * dyn_sql_internal.h
 *	  Shared by the files that write the SQL of nodes (dyn_sql*.c), and by no other.
 */
#ifndef DYN_SQL_INTERNAL_H
#define DYN_SQL_INTERNAL_H

#include "query/dyn_sql.h"

/* A delta of more rows is not to be read through again and again. */
#define DYN_SQL_LARGE_DELTA 200

/*
 * The content before the delta, R' − ΔR, as statements SELECT w, c1, … whose
 * sum it is: one, or where that is dear two (split_large: also where the delta is
 * a large one).
 */
extern List *dyn_sql_old_parts(DynSql *sql, DynNode *node, bool split_large);

/* An expression over a node's inputs, which stand in FROM as i1 .. in, at the moment t. */
extern char *dyn_sql_expr(DynNode *node, Node *expr, TimestampTz t);

/* The node's conditions over i1 .. in, or true. */
extern char *dyn_sql_quals(DynSql *sql, DynNode *node);

/* OPERATOR(schema.op) */
extern char *dyn_sql_operator(Oid operator);

/* Append a statement to a UNION ALL of such. */
extern void dyn_sql_add_term(StringInfo buf, char *term);

/* dyn_sql_join.c */
extern char *dyn_sql_join_content(DynSql *sql, DynNode *node);
extern char *dyn_sql_join_delta(DynSql *sql, DynNode *node);

#endif							/* DYN_SQL_INTERNAL_H */
