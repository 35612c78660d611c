/*
 * dyn_vars.h
 *	  Vars of a level of query, also where they stand in subqueries.
 */
#ifndef DYN_VARS_H
#define DYN_VARS_H

#include <nodes/parsenodes.h>
#include <nodes/pathnodes.h>

/* What replaces a Var; it may be the Var itself, and may be any expression. */
typedef Node *(*DynVarMap) (Var *var, void *arg);

/*
 * A copy of the expression with each Var of its own level replaced by what map
 * returns; map sees the Var with varlevelsup 0, however deep in subqueries it
 * stands, and what it returns is moved there.
 */
extern Node *dyn_vars_map(Node *expr, DynVarMap map, void *arg);

/* The same for Vars of the levels above the expression's (varlevelsup counts from its own). */
extern Node *dyn_vars_map_outer(Node *expr, DynVarMap map, void *arg);

/*
 * Whether visit says true of a Var of the expression's own level, subqueries'
 * included; levelsup is the Var's as seen from there (0).
 */
typedef bool (*DynVarVisit) (Var *var, Index levelsup, void *arg);

extern bool dyn_vars_any(Node *expr, DynVarVisit visit, void *arg);

/* Each Var of the expression's own level once, subqueries' included. */
extern List *dyn_vars_of(Node *expr);

/* Vars of the levels above it, varlevelsup counted from the expression's own level. */
extern List *dyn_vars_outer(Node *expr);

/* Vars of input number from become Vars of input number to (a copy). */
extern Node *dyn_renumber_input(Node *expr, int from, int to);

/* The varnos (of this level) in an expression. */
extern Relids dyn_expr_relations(Node *expr);

#endif							/* DYN_VARS_H */
