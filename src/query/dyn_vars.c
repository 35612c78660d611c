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

typedef struct VarVisit
{
	DynVarVisit visit;
	void	   *arg;
	bool		outer;
	Index		depth;
} VarVisit;

static bool
visit_walker(Node *node, void *context)
{
	VarVisit   *visit = context;
	bool		found;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Index		up = ((Var *) node)->varlevelsup;

		return (visit->outer ? up > visit->depth : up == visit->depth) &&
			visit->visit((Var *) node, up - visit->depth, visit->arg);
	}
	if (!IsA(node, Query))
		return expression_tree_walker(node, visit_walker, context);
	visit->depth++;
	found = query_tree_walker((Query *) node, visit_walker, context, 0);
	visit->depth--;
	return found;
}

bool
dyn_vars_any(Node *expr, DynVarVisit visit, void *arg)
{
	VarVisit	context = {.visit = visit, .arg = arg};

	return visit_walker(expr, &context);
}

static bool
collect(Var *var, Index levelsup, void *arg)
{
	List	  **vars = arg;

	var = copyObject(var);
	var->varlevelsup = levelsup;
	*vars = list_append_unique(*vars, var);
	return false;
}

List *
dyn_vars_of(Node *expr)
{
	List	   *vars = NIL;

	(void) dyn_vars_any(expr, collect, &vars);
	return vars;
}

List *
dyn_vars_outer(Node *expr)
{
	List	   *vars = NIL;
	VarVisit	context = {.visit = collect, .arg = &vars, .outer = true};

	if (expr && IsA(expr, Query))
		(void) query_tree_walker((Query *) expr, visit_walker, &context, 0);
	else
		(void) visit_walker(expr, &context);
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
