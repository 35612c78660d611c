/*
 * dyn_expr.h
 *	  What differentiation asks of expressions: whether they depend on the
 *	  clock or on anything else that can change under us, and their text.
 */
#ifndef DYN_EXPR_H
#define DYN_EXPR_H

#include <datatype/timestamp.h>
#include <nodes/parsenodes.h>

/* dyn_expr_now.c: now() and its kin, whose value is the data timestamp of a refresh. */
extern bool dyn_expr_is_now(Node *node);
extern bool dyn_expr_has_now(Node *node);
extern bool dyn_expr_shows_now(Node *node);

/* The expression or query with now() and its kin replaced by the moment t (a copy). */
extern Node *dyn_expr_at(Node *node, TimestampTz t);

/* Is the value the same at both moments? */
extern bool dyn_expr_same_at(Node *node, TimestampTz t, TimestampTz other);

/* The value at a moment of an expression without columns; NULL if it is NULL or not known before it is run. */
extern Const *dyn_expr_value_at(Node *node, TimestampTz t);

/* The condition's complement among rows for which it was true at another moment. */
extern Node *dyn_expr_not(Node *qual);

/* What holds wherever the condition is true at t and not at other, over columns that an index can serve. */
extern Node *dyn_expr_crossed(Node *qual, TimestampTz t, TimestampTz other);

/* dyn_expr_bound.c: the column of which a comparison with now() compares what is computed, or NULL. */
extern Var *dyn_expr_turning_var(Node *comparison);

/* What holds of that column wherever the comparison differs between two moments, or NULL. */
extern Node *dyn_expr_turning_range(Node *comparison, TimestampTz t, TimestampTz other);

/* dyn_expr.c: the column that an expression is, also as another type with the same image, or NULL */
extern Var *dyn_expr_column(Node *expr);

/* The expression, if it compares two by an equality that has an order, or NULL */
extern OpExpr *dyn_expr_equality(Node *expr);

/* The first function or construct in the query that no delta can follow, or NULL; *code is its reason code. */
extern char *dyn_expr_refusal(Query *query, const char **code);

/*
 * The deparser leaves an implicit cast to whoever reads the text.  Of an
 * expression that stands alone, as a column or a key, the type is ours to say:
 * make the cast an explicit one.
 */
extern void dyn_expr_show_cast(Node *expr);

/* AND flattened into a list. */
extern List *dyn_expr_conjuncts(Node *qual);

/* dyn_expr_print.c: the same expression (a copy) of constructs whose text says all */
extern Node *dyn_expr_printable(Node *node);

/*
 * The text of an expression whose Vars name columns of inputs (dyn_node.h):
 * varno n, varattno m prints as <prefix>n.c<m>.  windows and window_tlist as
 * in a Query, for expressions with window functions.  Every name comes out
 * qualified unless it is in pg_catalog (the caller's search_path is pinned).
 */
extern char *dyn_expr_text(Node *expr, const char *prefix, int ninputs, const int *ncolumns,
						   List *windows, List *window_tlist);

/* The same with names that are given, also of columns (by input, a List of String). */
extern char *dyn_expr_text_of(Node *expr, int ninputs, char **names, List **columns);

#endif							/* DYN_EXPR_H */
