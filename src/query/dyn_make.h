/*
 * dyn_make.h
 *	  Nodes of expressions that the server has no function to make.
 *
 * What they are made of becomes part of them, uncopied.
 */
#ifndef DYN_MAKE_H
#define DYN_MAKE_H

#include <nodes/primnodes.h>

/* CASE WHEN condition THEN result ELSE otherwise END, of the result's type */
extern Node *dyn_make_case(Expr *condition, Node *result, Node *otherwise);

/* The same of several WHENs (dyn_make_when) */
extern Node *dyn_make_cases(Oid type, Oid collation, List *whens, Expr *otherwise);
extern CaseWhen *dyn_make_when(Expr *condition, Expr *result);

/* NULL of an expression's type, also of a domain that refuses it */
extern Node *dyn_make_null_of(Node *expr);

/* (SELECT value WHERE false): an aggregate's value over no rows, or NULL, which nobody computes */
extern Node *dyn_make_of_no_row(Expr *value);

extern Expr *dyn_make_null_test(Node *arg, NullTestType type);
extern Node *dyn_make_boolean_test(Node *arg, BoolTestType type);

/* The comparison by the negator of its operator, or NULL when it is no comparison or has none. */
extern Expr *dyn_make_negated(Node *comparison);

/* A plain aggregate of one argument, or of none (count(*)) */
extern Aggref *dyn_make_aggregate(Oid function, Oid type, Node *arg, Node *filter);

/* row_number(), of the window winref 1 */
extern WindowFunc *dyn_make_row_number(void);

#endif							/* DYN_MAKE_H */
