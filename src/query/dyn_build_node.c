/*
 * dyn_build_node.c
 *	  Making nodes: SELECTs are merged and simplified here.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>

#include "compat/dyn_compat_planner.h"
#include "query/dyn_build.h"
#include "query/dyn_expr.h"

/* Replacement of Vars: by input number, the expressions of its columns. */
typedef struct Substitution
{
	List	   *inputs;			/* of List of Expr */
} Substitution;

static Node *relocate(Var *var, void *arg);
static Node *substitute(Node *expr, Substitution *substitution);
static List *moved_vars(List *vars, int offset);
static void merge_selects(List **inputs, List **quals, List **targets);
static bool is_identity(List *inputs, List *quals, List *targets);
static DynColumn column_of(Node *expr, List *inputs);
static bool uses_written_at(Node *expr, List *inputs);
static void note_not_null(List *quals, DynNode *node);

DynNode *
dyn_node_new(DynNodeKind kind, int ncolumns)
{
	DynNode    *node = palloc0(sizeof(DynNode));

	node->kind = kind;
	node->ncolumns = ncolumns;
	node->columns = palloc0(sizeof(DynColumn) * Max(ncolumns, 1));
	return node;
}

/* The columns of a node as Vars of the given input number. */
List *
dyn_column_vars(DynNode *node, int input)
{
	List	   *vars = NIL;

	for (int i = 0; i < node->ncolumns; i++)
		vars = lappend(vars, makeVar(input, i + 1, node->columns[i].type,
									 node->columns[i].typmod, node->columns[i].collation, 0));
	return vars;
}

/*
 * dyn_make_select makes the node for SELECT targets FROM inputs WHERE quals,
 * all over the inputs' columns, or a simpler one that says the same.
 */
DynNode *
dyn_make_select(DynContext *ctx, List *inputs, List *quals, List *targets)
{
	List	   *moving = NIL;
	DynNode    *node;
	ListCell   *lc;
	int			i = 0;

	if (ctx->refusal->code)
		return NULL;
	if (!dyn_check_written_at(ctx, (Node *) quals, inputs))
		return NULL;
	merge_selects(&inputs, &quals, &targets);
	dyn_recognise_top(&inputs, &quals, &targets);
	dyn_split_moving(ctx, &inputs, &quals, &moving);

	/* conditions on now() over several inputs stand above their join */
	if (moving != NIL)
	{
		List	   *exprs = list_make2(moving, targets);

		node = dyn_collapse(ctx, inputs, quals, &exprs);
		foreach(lc, (List *) linitial(exprs))
			node = dyn_make_moving(ctx, node, lfirst(lc));
		return dyn_make_select(ctx, list_make1(node), NIL, lsecond(exprs));
	}

	if (is_identity(inputs, quals, targets))
		return linitial(inputs);
	foreach(lc, targets)
		dyn_expr_show_cast(lfirst(lc));
	node = dyn_node_new(DYN_NODE_SELECT, list_length(targets));
	node->inputs = inputs;
	node->quals = quals;
	node->targets = targets;
	foreach(lc, targets)
		node->columns[i++] = column_of(lfirst(lc), inputs);
	note_not_null(quals, node);
	return node;
}

/* Put the inputs of unshared SELECTs in their place. */
static void
merge_selects(List **inputs, List **quals, List **targets)
{
	Substitution substitution = {NIL};
	List	   *merged = NIL;
	List	   *extra = NIL;
	bool		any = false;
	ListCell   *lc;

	foreach(lc, *inputs)
	{
		DynNode    *input = lfirst(lc);
		Substitution shift = {NIL};
		ListCell   *li;

		if (input->kind != DYN_NODE_SELECT || input->shared || input->barrier || input->inputs == NIL ||
			expression_returns_set((Node *) input->targets))
		{
			merged = lappend(merged, input);
			substitution.inputs = lappend(substitution.inputs,
										  dyn_column_vars(input, list_length(merged)));
			continue;
		}
		any = true;
		foreach(li, input->inputs)
		{
			merged = lappend(merged, lfirst(li));
			shift.inputs = lappend(shift.inputs,
								   dyn_column_vars(lfirst(li), list_length(merged)));
		}
		extra = list_concat(extra, (List *) substitute((Node *) input->quals, &shift));
		substitution.inputs = lappend(substitution.inputs,
									  substitute((Node *) input->targets, &shift));
	}
	if (!any)
		return;
	*quals = list_concat(extra, (List *) substitute((Node *) *quals, &substitution));
	*targets = (List *) substitute((Node *) *targets, &substitution);
	*inputs = merged;
}

static Node *
substitute_var(Var *var, void *arg)
{
	Substitution *substitution = arg;

	return copyObject(list_nth(list_nth(substitution->inputs, var->varno - 1), var->varattno - 1));
}

static Node *
substitute(Node *expr, Substitution *substitution)
{
	return dyn_vars_map(expr, substitute_var, substitution);
}

/* UNION ALL of inputs that have the same columns; the first one's types are its own. */
DynNode *
dyn_make_union(List *inputs)
{
	DynNode    *first = linitial(inputs);
	DynNode    *node = dyn_node_new(DYN_NODE_UNION, first->ncolumns);
	ListCell   *lc;

	node->inputs = inputs;
	memcpy(node->columns, first->columns, sizeof(DynColumn) * first->ncolumns);
	foreach(lc, inputs)
		for (int i = 0; i < node->ncolumns; i++)
		{
			DynColumn  *column = &((DynNode *) lfirst(lc))->columns[i];

			node->columns[i].nullable |= column->nullable;
			node->columns[i].written_at |= column->written_at;
		}
	return node;
}

/* Give a node's first columns the types of expressions. */
void
dyn_columns_like(DynNode *node, List *exprs)
{
	ListCell   *lc;

	foreach(lc, exprs)
	{
		DynColumn  *column = &node->columns[foreach_current_index(lc)];

		column->type = exprType(lfirst(lc));
		column->typmod = exprTypmod(lfirst(lc));
		column->collation = exprCollation(lfirst(lc));
	}
}

static void
add_nodes(DynNode *node, List **nodes)
{
	ListCell   *lc;

	if (list_member_ptr(*nodes, node))
		return;
	foreach(lc, node->inputs)
		add_nodes(lfirst(lc), nodes);
	*nodes = lappend(*nodes, node);
}

List *
dyn_nodes_below(DynNode *top)
{
	List	   *nodes = NIL;

	add_nodes(top, &nodes);
	return nodes;
}

/* The groups of the input's rows by its first nkeys columns, without aggregates. */
DynNode *
dyn_make_groups(DynContext *ctx, DynNode *input, int nkeys)
{
	DynNode    *node = dyn_node_new(DYN_NODE_AGGREGATE, nkeys);

	if (!dyn_check_written_at(ctx, (Node *) list_truncate(dyn_column_vars(input, 1), nkeys), list_make1(input)))
		return NULL;
	node->inputs = list_make1(input);
	node->nkeys = nkeys;
	memcpy(node->columns, input->columns, sizeof(DynColumn) * nkeys);
	for (int i = 1; i <= nkeys; i++)
	{
		DynColumn  *column = &node->columns[i - 1];

		if (!dyn_equal_is_alike(column->type, column->typmod, column->collation))
			node->variants = lappend_int(node->variants, i);
	}
	return node;
}

/* An aggregate and its column, behind those that the groups have. */
void
dyn_add_aggregate(DynNode *groups, DynAgg *agg, DynColumn column)
{
	groups->aggs = lappend(groups->aggs, agg);
	groups->columns = repalloc(groups->columns, sizeof(DynColumn) * (groups->ncolumns + 1));
	groups->columns[groups->ncolumns++] = column;
}

/* SELECT of all columns of one input, in order, without a condition. */
static bool
is_identity(List *inputs, List *quals, List *targets)
{
	ListCell   *lc;
	int			i = 0;

	if (list_length(inputs) != 1 || quals != NIL ||
		((DynNode *) linitial(inputs))->ncolumns != list_length(targets))
		return false;
	foreach(lc, targets)
	{
		i++;
		if (!IsA(lfirst(lc), Var) || ((Var *) lfirst(lc))->varattno != i)
			return false;
	}
	return true;
}

static DynColumn
column_of(Node *expr, List *inputs)
{
	DynColumn	column = {
		.type = exprType(expr), .typmod = exprTypmod(expr),
		.collation = exprCollation(expr), .nullable = true
	};

	if (IsA(expr, Var))
		column.nullable = ((DynNode *) list_nth(inputs, ((Var *) expr)->varno - 1))
			->columns[((Var *) expr)->varattno - 1].nullable;
	else if (IsA(expr, Const))
		column.nullable = ((Const *) expr)->constisnull;
	column.written_at = dyn_expr_has_now(expr) || uses_written_at(expr, inputs);
	return column;
}

/* x IS NOT NULL among the conditions. */
static void
note_not_null(List *quals, DynNode *node)
{
	ListCell   *lc;
	ListCell   *lt;

	foreach(lc, quals)
	{
		NullTest   *test = lfirst(lc);

		if (!IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL || !IsA(test->arg, Var))
			continue;
		foreach(lt, node->targets)
			if (equal(lfirst(lt), test->arg))
				node->columns[foreach_current_index(lt)].nullable = false;
	}
}

/*
 * dyn_block_node makes one node of a block, all columns of all its inputs;
 * the places of the block's relations follow.
 */
DynNode *
dyn_block_node(DynLevel *level, DynBlock *block)
{
	List	   *quals = (List *) dyn_relocate(level, (Node *) block->quals);
	List	   *targets = NIL;
	List	   *inputs;
	List	   *follow;
	List	   *none = NIL;
	ListCell   *lc;
	int			rti = -1;

	if (list_length(block->inputs) == 1 && quals == NIL)
		return linitial(block->inputs);
	foreach(lc, block->inputs)
		targets = list_concat(targets, dyn_column_vars(lfirst(lc), foreach_current_index(lc) + 1));
	while ((rti = bms_next_member(block->rels, rti)) >= 0)
	{
		DynPlace   *place = &level->places[rti];

		for (int i = 0; i < place->input - 1; i++)
			place->offset += ((DynNode *) list_nth(block->inputs, i))->ncolumns;
		place->input = 1;
	}
	inputs = block->inputs;
	follow = list_make1(targets);
	if (!dyn_attach_sublinks(level, &inputs, &quals, &none, &follow))
		return NULL;
	return dyn_make_select(level->ctx, inputs, quals, linitial(follow));
}

DynNode *
dyn_collapse(DynContext *ctx, List *inputs, List *quals, List **exprs)
{
	Substitution whole = {NIL};
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, inputs)
	{
		List	   *vars = dyn_column_vars(lfirst(lc), foreach_current_index(lc) + 1);

		whole.inputs = lappend(whole.inputs, moved_vars(vars, list_length(all)));
		all = list_concat(all, vars);
	}
	*exprs = (List *) substitute((Node *) *exprs, &whole);
	return dyn_make_select(ctx, inputs, quals, all);
}

/* The Vars as columns of input 1, behind offset others. */
static List *
moved_vars(List *vars, int offset)
{
	List	   *moved = NIL;
	ListCell   *lc;

	foreach(lc, vars)
	{
		Var		   *var = copyObject(lfirst_node(Var, lc));

		var->varno = var->varnosyn = 1;
		var->varattno = var->varattnosyn = offset + foreach_current_index(lc) + 1;
		moved = lappend(moved, var);
	}
	return moved;
}

/*
 * dyn_block_gather makes one input of those that hold the relations, joined by
 * the conditions on them, which leave the block.
 */
int
dyn_block_gather(DynLevel *level, DynBlock *block, Relids rels)
{
	DynBlock	part = {0};
	DynBlock	rest = {0};
	int		   *numbers = palloc0(sizeof(int) * (list_length(block->inputs) + 1));
	DynNode    *node;
	ListCell   *lc;
	int			rti = -1;

	while ((rti = bms_next_member(rels, rti)) >= 0)
		numbers[level->places[rti].input] = 1;
	foreach(lc, block->inputs)
	{
		int			i = foreach_current_index(lc) + 1;
		DynBlock   *to = numbers[i] ? &part : &rest;

		to->inputs = lappend(to->inputs, lfirst(lc));
		numbers[i] = to == &part ? list_length(to->inputs) : -list_length(to->inputs);
	}
	rti = -1;
	while ((rti = bms_next_member(block->rels, rti)) >= 0)
	{
		int			number = numbers[level->places[rti].input];
		DynBlock   *to = number > 0 ? &part : &rest;

		to->rels = bms_add_member(to->rels, rti);
		level->places[rti].input = abs(number);
	}
	foreach(lc, block->quals)
	{
		Node	   *qual = lfirst(lc);
		Relids		its = dyn_expr_relations(qual);
		DynBlock   *to = !bms_is_empty(its) && bms_is_subset(its, part.rels) &&
			!dyn_reads_table(qual) ? &part : &rest;

		to->quals = lappend(to->quals, qual);
	}
	node = dyn_block_node(level, &part);
	if (node == NULL)
		return 0;
	rest.inputs = lappend(rest.inputs, node);
	rest.rels = bms_union(rest.rels, part.rels);
	rti = -1;
	while ((rti = bms_next_member(part.rels, rti)) >= 0)
		level->places[rti].input = list_length(rest.inputs);
	*block = rest;
	return list_length(rest.inputs);
}

/* ------------------------------------------------------------------------
 * Vars
 * ------------------------------------------------------------------------
 */
Node *
dyn_relocate(DynLevel *level, Node *expr)
{
	return dyn_vars_map(expr, relocate, level);
}

static Node *
relocate(Var *var, void *arg)
{
	DynLevel   *level = arg;
	DynPlace   *place = &level->places[var->varno];
	int			column = var->varattno;

	if (column == 0)
		column = place->whole;
	else if (column > 0 && place->scan)
	{
		ListCell   *lc;

		column = 0;
		foreach(lc, place->scan->attnums)
			if (lfirst_int(lc) == var->varattno)
				column = foreach_current_index(lc) + 1;
	}
	if (column <= 0)
	{
		dyn_refuse(level->ctx, var->varattno == 0 ? "WHOLE_ROW" : "SYSTEM_COLUMN",
				   var->varattno == 0 ? "the query uses a row of a LATERAL item as a whole; name its columns" :
				   "the query uses a system column");
		return (Node *) var;
	}
	return (Node *) makeVar(place->input, place->offset + column, var->vartype,
							var->vartypmod, var->varcollid, 0);
}

/* Does the expression use a column whose value is a row's time of writing? */
static bool
is_written_at(Var *var, Index levelsup, void *inputs)
{
	return ((DynNode *) list_nth((List *) inputs, var->varno - 1))->columns[var->varattno - 1].written_at;
}

static bool
uses_written_at(Node *expr, List *inputs)
{
	return dyn_vars_any(expr, is_written_at, inputs);
}

bool
dyn_check_written_at(DynContext *ctx, Node *expr, List *inputs)
{
	if (!uses_written_at(expr, inputs))
		return true;
	dyn_refuse(ctx, "NOW_COLUMN_IN_CONDITION",
			   "a column computed from now() in a select list is used in a condition, key, window or aggregate");
	return false;
}

/* A copy of the query in which Vars of joins are what they stand for. */
Query *
dyn_flatten_join_aliases(Query *query)
{
	Query	   *result = copyObject(query);
	ListCell   *lc;

	result->targetList = (List *) dyn_compat_flatten_aliases(result, (Node *) result->targetList);
	result->havingQual = dyn_compat_flatten_aliases(result, result->havingQual);
	if (result->jointree)
		result->jointree = (FromExpr *) dyn_compat_flatten_aliases(result, (Node *) result->jointree);
	foreach(lc, result->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (!rte->lateral)
			continue;
		rte->subquery = (Query *) dyn_compat_flatten_aliases(result, (Node *) rte->subquery);
		rte->functions = (List *) dyn_compat_flatten_aliases(result, (Node *) rte->functions);
		rte->values_lists = (List *) dyn_compat_flatten_aliases(result, (Node *) rte->values_lists);
		rte->tablefunc = (TableFunc *) dyn_compat_flatten_aliases(result, (Node *) rte->tablefunc);
	}
	return result;
}
