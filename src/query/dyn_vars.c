/*
 * dyn_vars.c
 *	  Vars of a level of query, also where they stand in subqueries.
 *
 * An expression of a level may hold subqueries, whose Vars of that level have
 * a varlevelsup greater than 0.  Here they are treated like the others.
 */
#include <postgres.h>

#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <rewrite/rewriteManip.h>

#include "query/dyn_vars.h"

typedef struct VarMapping
{
	DynVarMap	map;
	void	   *arg;
	bool		outer;			/* Vars of the levels above, instead of the level's own */
	Index		depth;			/* of subqueries that have been entered */
} VarMapping;

static Node *map_mutator(Node *node, void *context);
static Node *collect(Var *var, void *arg);
static Node *renumber(Var *var, void *arg);

Node *
dyn_vars_map(Node *expr, DynVarMap map, void *arg)
{
	VarMapping	mapping = {.map = map, .arg = arg};

	return map_mutator(expr, &mapping);
}

Node *
dyn_vars_map_outer(Node *expr, DynVarMap map, void *arg)
{
	VarMapping	mapping = {.map = map, .arg = arg, .outer = true};

	/* a query is a level of its own: what stands directly in it is of level 0 */
	if (expr && IsA(expr, Query))
		return (Node *) query_tree_mutator((Query *) expr, map_mutator, &mapping, 0);
	return map_mutator(expr, &mapping);
}

static Node *
map_mutator(Node *node, void *context)
{
	VarMapping *mapping = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		Node	   *result;

		if (mapping->outer ? var->varlevelsup <= mapping->depth : var->varlevelsup != mapping->depth)
			return (Node *) copyObject(var);
		var = copyObject(var);
		var->varlevelsup -= mapping->depth;
		result = mapping->map(var, mapping->arg);
		if (mapping->depth > 0)
		{
			result = copyObject(result);
			IncrementVarSublevelsUp(result, mapping->depth, 0);
		}
		return result;
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		mapping->depth++;
		result = (Node *) query_tree_mutator((Query *) node, map_mutator, context, 0);
		mapping->depth--;
		return result;
	}
	return expression_tree_mutator(node, map_mutator, context);
}

static Node *
collect(Var *var, void *arg)
{
	List	  **vars = arg;

	*vars = list_append_unique(*vars, var);
	return (Node *) var;
}

List *
dyn_vars_of(Node *expr)
{
	List	   *vars = NIL;

	(void) dyn_vars_map(expr, collect, &vars);
	return vars;
}

List *
dyn_vars_outer(Node *expr)
{
	List	   *vars = NIL;

	(void) dyn_vars_map_outer(expr, collect, &vars);
	return vars;
}

typedef struct Renumbering
{
	int			from;
	int			to;
} Renumbering;

static Node *
renumber(Var *var, void *arg)
{
	Renumbering *numbers = arg;

	if (var->varno == numbers->from)
		var->varno = var->varnosyn = numbers->to;
	return (Node *) var;
}

Node *
dyn_renumber_input(Node *expr, int from, int to)
{
	Renumbering numbers = {from, to};

	return dyn_vars_map(expr, renumber, &numbers);
}

Relids
dyn_expr_relations(Node *expr)
{
	return pull_varnos(NULL, expr);
}
