/*
 * dyn_prune.c
 *	  Leave out the columns of a plan's nodes that nobody above reads.
 *
 * Joins are built with all columns of their inputs, for it is known only at
 * the end which are wanted.  Every delta of a node is a table of its own, so
 * that each column costs.  Selections and joins lose columns, and windows and
 * first rows by what they do not count: where a row has a key that is kept, and its
 * other columns do not decide which of two comes first.  In other operators all
 * columns of the input have a meaning.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>

#include "query/dyn_build.h"

/* Nodes, parents first; while this works a node's no is its place in the list, from 1. */
typedef struct Pruning
{
	List	   *order;			/* of DynNode *, parents before their inputs */
	Bitmapset **needed;			/* by node: its columns */
	int		  **moved;			/* by node and old column, from 0: the new one, from 1, or 0 */
	int		   *width;			/* by node: its old number of columns */
} Pruning;

static void need_inputs(Pruning *pruning, DynNode *node);
static void need_window(Pruning *pruning, DynNode *node);
static void need_all(Pruning *pruning, DynNode *node);
static void need_columns_of(Pruning *pruning, DynNode *node, Node *expr);
static bool passes_columns(DynNode *node);
static bool may_lose_columns(Pruning *pruning, DynNode *node);
static Bitmapset *passed_columns(Pruning *pruning, DynNode *node);
static void rewrite(Pruning *pruning, DynNode *node);
static Node *over_inputs(Pruning *pruning, DynNode *node, Node *expr, int input);

void
dyn_plan_prune(DynNode *top)
{
	Pruning		pruning = {NIL};
	ListCell   *lc;
	int			n;

	foreach(lc, dyn_nodes_below(top))
		pruning.order = lcons(lfirst(lc), pruning.order);
	n = list_length(pruning.order);
	pruning.needed = palloc0(sizeof(Bitmapset *) * (n + 1));
	pruning.moved = palloc0(sizeof(int *) * (n + 1));
	pruning.width = palloc0(sizeof(int) * (n + 1));
	foreach(lc, pruning.order)
		((DynNode *) lfirst(lc))->no = foreach_current_index(lc) + 1;
	need_all(&pruning, top);
	foreach(lc, pruning.order)
		need_inputs(&pruning, lfirst(lc));
	for (int i = n; i > 0; i--)
		rewrite(&pruning, list_nth(pruning.order, i - 1));
	foreach(lc, pruning.order)
		((DynNode *) lfirst(lc))->no = 0;
}

/* Whether columns that the node does not read may be missing in its inputs. */
static bool
passes_columns(DynNode *node)
{
	if (node->recursion)
		return false;
	if (node->kind == DYN_NODE_WINDOW)
		return dyn_input(node, 1)->has_key;
	if (node->kind == DYN_NODE_TOP)
		return dyn_node_order_unique(node);
	return node->kind == DYN_NODE_SELECT || node->kind == DYN_NODE_MOVING || node->kind == DYN_NODE_JOIN;
}

/* A source loses columns to windows alone, which keep its key: joins look for more than what they read. */
static bool
may_lose_columns(Pruning *pruning, DynNode *node)
{
	ListCell   *lc;

	if (node->kind == DYN_NODE_SCAN)
	{
		foreach(lc, pruning->order)
		{
			DynNode    *parent = lfirst(lc);

			if (list_member_ptr(parent->inputs, node) &&
				!((parent->kind == DYN_NODE_WINDOW || parent->kind == DYN_NODE_TOP) && passes_columns(parent)))
				return false;
		}
		return pruning->order != NIL && linitial(pruning->order) != node;
	}
	return passes_columns(node) &&
		!(node->kind == DYN_NODE_SELECT && expression_returns_set((Node *) node->targets));
}

/* What a node reads of its inputs, given what is read of it. */
static void
need_inputs(Pruning *pruning, DynNode *node)
{
	int			column = 0;
	ListCell   *lc;

	if (!may_lose_columns(pruning, node))
		need_all(pruning, node);
	if (!passes_columns(node))
	{
		foreach(lc, node->inputs)
			need_all(pruning, lfirst(lc));
		return;
	}
	switch (node->kind)
	{
		case DYN_NODE_SELECT:
			while ((column = bms_next_member(pruning->needed[node->no], column)) > 0)
				need_columns_of(pruning, node, list_nth(node->targets, column - 1));
			break;
		case DYN_NODE_MOVING:
			pruning->needed[dyn_input(node, 1)->no] =
				bms_add_members(pruning->needed[dyn_input(node, 1)->no], pruning->needed[node->no]);
			break;
		case DYN_NODE_JOIN:
			while ((column = bms_next_member(pruning->needed[node->no], column)) > 0)
			{
				int			nleft = dyn_input(node, 1)->ncolumns;
				DynNode    *side = dyn_input(node, column <= nleft ? 1 : 2);
				int			its = column <= nleft ? column : column - nleft;

				if (column <= nleft || dyn_join_is_outer(node->join))
					pruning->needed[side->no] = bms_add_member(pruning->needed[side->no], its);
			}
			break;
		case DYN_NODE_WINDOW:
		case DYN_NODE_TOP:
			need_window(pruning, node);
			break;
		default:
			break;
	}
	need_columns_of(pruning, node, (Node *) node->quals);
}

/* What is read of a window, its partition and order, what its functions read, and the key. */
static void
need_window(Pruning *pruning, DynNode *node)
{
	DynNode    *input = dyn_input(node, 1);
	Bitmapset **needed = &pruning->needed[input->no];
	int			column = 0;
	ListCell   *lc;

	while ((column = bms_next_member(pruning->needed[node->no], column)) > 0)
		if (column <= input->ncolumns)
			*needed = bms_add_member(*needed, column);
	foreach(lc, node->partition)
		*needed = bms_add_member(*needed, lfirst_int(lc));
	foreach(lc, input->key)
		*needed = bms_add_member(*needed, lfirst_int(lc));
	need_columns_of(pruning, node, (Node *) node->functions);
	need_columns_of(pruning, node, (Node *) node->window_tlist);
}

static void
need_all(Pruning *pruning, DynNode *node)
{
	if (node->ncolumns > 0)
		pruning->needed[node->no] = bms_add_range(pruning->needed[node->no], 1, node->ncolumns);
}

typedef struct Need
{
	Pruning    *pruning;
	DynNode    *node;
} Need;

static bool
need_column(Var *var, Index levelsup, void *arg)
{
	Need	   *need = arg;
	int			input = dyn_input(need->node, var->varno)->no;

	need->pruning->needed[input] = bms_add_member(need->pruning->needed[input], var->varattno);
	return false;
}

/* The columns of a node's inputs in an expression of the node. */
static void
need_columns_of(Pruning *pruning, DynNode *node, Node *expr)
{
	Need		need = {pruning, node};

	(void) dyn_vars_any(expr, need_column, &need);
}

/* The columns that a filter, join or window has: those that are left of its inputs, a mark, functions. */
static Bitmapset *
passed_columns(Pruning *pruning, DynNode *node)
{
	Bitmapset  *columns = NULL;
	int			before = 0;
	ListCell   *lc;

	foreach(lc, node->inputs)
	{
		DynNode    *input = lfirst(lc);
		int			column = 0;

		if (node->kind == DYN_NODE_JOIN && foreach_current_index(lc) > 0 && !dyn_join_is_outer(node->join))
			break;
		while ((column = bms_next_member(pruning->needed[input->no], column)) > 0)
			columns = bms_add_member(columns, before + column);
		before += pruning->width[input->no];
	}
	if (node->kind == DYN_NODE_JOIN && node->join == DYN_JOIN_MARK)
		columns = bms_add_member(columns, node->ncolumns);
	for (int i = 1; i <= list_length(node->functions); i++)
		columns = bms_add_member(columns, before + i);
	return columns;
}

/* Bring a node, whose inputs have lost columns, to what is needed of it. */
static void
rewrite(Pruning *pruning, DynNode *node)
{
	int		   *moved = palloc0(sizeof(int) * Max(node->ncolumns, 1));
	List	   *targets = NIL;
	List	   *attnums = NIL;
	int			n = 0;
	ListCell   *lc;

	pruning->moved[node->no] = moved;
	pruning->width[node->no] = node->ncolumns;
	if (passes_columns(node) && may_lose_columns(pruning, node) && node->kind != DYN_NODE_SELECT)
		pruning->needed[node->no] = passed_columns(pruning, node);
	for (int i = 0; i < node->ncolumns; i++)
	{
		if (!bms_is_member(i + 1, pruning->needed[node->no]))
			continue;
		if (node->targets)
			targets = lappend(targets, list_nth(node->targets, i));
		if (node->attnums)
			attnums = lappend_int(attnums, list_nth_int(node->attnums, i));
		node->columns[n] = node->columns[i];
		moved[i] = ++n;
	}
	if (node->kind == DYN_NODE_SCAN)
	{
		node->ncolumns = n;
		node->attnums = attnums;
	}
	if (!passes_columns(node))
		return;
	node->ncolumns = n;
	node->targets = (List *) over_inputs(pruning, node, (Node *) targets, 0);
	node->quals = (List *) over_inputs(pruning, node, (Node *) node->quals, 0);
	node->left_keys = (List *) over_inputs(pruning, node, (Node *) node->left_keys, 1);
	node->right_keys = (List *) over_inputs(pruning, node, (Node *) node->right_keys, 2);
	node->functions = (List *) over_inputs(pruning, node, (Node *) node->functions, 1);
	node->window_tlist = (List *) over_inputs(pruning, node, (Node *) node->window_tlist, 1);
	foreach(lc, node->partition)
		lfirst_int(lc) = pruning->moved[dyn_input(node, 1)->no][lfirst_int(lc) - 1];
}

typedef struct Moving
{
	Pruning    *pruning;
	DynNode    *node;
	int			input;
} Moving;

static Node *
moved_var(Var *var, void *arg)
{
	Moving	   *moving = arg;
	DynNode    *input = dyn_input(moving->node, moving->input ? moving->input : var->varno);

	var->varattno = var->varattnosyn = moving->pruning->moved[input->no][var->varattno - 1];
	Assert(var->varattno > 0);
	return (Node *) var;
}

/* The expression with the columns where they are now.  input: the one that varno 1 means, or 0. */
static Node *
over_inputs(Pruning *pruning, DynNode *node, Node *expr, int input)
{
	Moving		moving = {pruning, node, input};

	return dyn_vars_map(expr, moved_var, &moving);
}
