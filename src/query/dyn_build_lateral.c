/*
 * dyn_build_lateral.c
 *	  LATERAL subqueries that read tables.
 *
 * The items that such a subquery refers to become one node, to which it is
 * joined like a subquery in an expression (dyn_build_dependent.c), only that
 * all of its rows and columns count.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <parser/parsetree.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static DynNode *join_rows(DynContext *ctx, DynNode *outside, DynDependent *dependent, bool keeps, List *on);
static DynNode *join_one_row(DynContext *ctx, DynNode *outside, DynDependent *dependent, bool keeps, List *on);
static Node *below_join(Var *var, void *arg);

/*
 * dyn_build_lateral replaces the input of the block that the subquery refers
 * to by its join with it.  Under keeps (LEFT JOIN ... ON on) rows without a
 * partner stay.  False when refused.
 */
bool
dyn_build_lateral(DynLevel *level, int rti, DynBlock *block, bool keeps, List *on)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
	DynDependent dependent = {0};
	DynNode    *outside;
	DynNode    *node;
	Query	   *query;
	Relids		rels;
	int			beside = list_length(level->query->rtable) + 1;
	int			i;

	rels = bms_del_member(dyn_expr_relations((Node *) on), rti);
	if (dyn_refers_beyond(rte->subquery, &rels) || !bms_is_subset(rels, block->rels))
		return dyn_refuse(level->ctx, "LATERAL", "%s refers to what is not joined to it directly",
						  rte->eref->aliasname) != NULL;
	i = dyn_block_gather(level, block, rels);
	if (i == 0)
		return false;
	outside = list_nth(block->inputs, i - 1);
	query = (Query *) dyn_renumber_input(dyn_relocate(level, (Node *) rte->subquery), i, 1);
	if (level->ctx->refusal->code || !dyn_check_written_at(level->ctx, (Node *) query, list_make1(outside)) ||
		!dyn_build_dependent(level, outside, query, &dependent))
		return false;

	/* input 2 of the join is the subquery */
	level->places[rti] = (DynPlace) {.input = beside};
	on = (List *) dyn_relocate(level, (Node *) on);
	on = (List *) dyn_renumber_input(dyn_renumber_input((Node *) on, i, 1), beside, 2);
	node = (dependent.empty ? join_one_row : join_rows) (level->ctx, outside, &dependent, keeps, on);
	if (node == NULL)
		return false;
	lfirst(list_nth_cell(block->inputs, i - 1)) = node;
	block->rels = bms_add_member(block->rels, rti);
	level->places[rti] = (DynPlace) {.input = i, .offset = outside->ncolumns};
	return true;
}

static DynNode *
join_rows(DynContext *ctx, DynNode *outside, DynDependent *dependent, bool keeps, List *on)
{
	List	   *quals = list_concat(dependent->quals, on);
	List	   *columns = list_concat(dyn_column_vars(outside, 1),
									  list_truncate(dyn_column_vars(dependent->node, 2), dependent->ncolumns));
	DynNode    *join;

	if (!keeps)
		return dyn_make_select(ctx, list_make2(outside, dependent->node), quals, columns);
	join = dyn_make_existence(ctx, DYN_JOIN_LEFT, outside, dependent->node, quals);
	if (join == NULL)
		return NULL;
	return dyn_make_select(ctx, list_make1(join), NIL,
						   list_truncate(dyn_column_vars(join, 1), outside->ncolumns + dependent->ncolumns));
}

static Node *
below_join(Var *var, void *arg)
{
	List	   *values = arg;	/* of the subquery's columns */

	if (var->varno == 2)
		return copyObject(list_nth(values, var->varattno - 1));
	return (Node *) var;
}

/* Aggregates without GROUP BY are one row for each row outside, unless HAVING or the condition says no. */
static DynNode *
join_one_row(DynContext *ctx, DynNode *outside, DynDependent *dependent, bool keeps, List *on)
{
	List	   *values;
	DynNode    *join = dyn_join_dependent(ctx, outside, dependent, &values);
	List	   *targets = dyn_column_vars(outside, 1);
	ListCell   *lc;

	if (join == NULL)
		return NULL;
	on = (List *) dyn_vars_map((Node *) on, below_join, values);
	if (dependent->kept)
		on = lappend(on, dyn_dependent_kept(outside, dependent));
	if (!keeps)
		return dyn_make_select(ctx, list_make1(join), on, list_concat(targets, values));
	foreach(lc, values)
		targets = lappend(targets, on == NIL ? lfirst(lc) :
						  dyn_when_true((Node *) make_ands_explicit(copyObject(on)), lfirst(lc)));
	return dyn_make_select(ctx, list_make1(join), NIL, targets);
}
