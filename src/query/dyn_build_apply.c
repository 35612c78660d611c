/*
 * dyn_build_apply.c
 *	  Items of FROM that are computed from the rows of items before them:
 *	  functions, VALUES, XMLTABLE and the like, and subqueries that read no
 *	  table.
 *
 * Where subqueries that read tables stand among their arguments, the item becomes a
 * subquery in which these are columns of an item before it.
 *
 * What they yield for a row depends on that row alone, so that such an item is
 * an operator on the input that it refers to (APPLY), and linear in it: however
 * it aggregates, sorts or cuts off inside.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteManip.h>

#include "compat/dyn_compat_planner.h"
#include "query/dyn_build.h"

static Query *query_of_item(RangeTblEntry *rte);
static void split_item(RangeTblEntry *rte, Query *query);
static Node *take_subqueries(Node *node, void *context);
static void add_row(Query *query, Var *row);
static Node *lower_var(Var *var, void *arg);
static DynNode *make_rows(Query *source);
static bool reads_table_walker(Node *node, void *context);

/*
 * dyn_build_apply replaces the input of the block that the item refers to by an
 * APPLY over it.  Under keeps (LEFT JOIN ... ON on) rows for which the item
 * yields nothing stay.  False when refused.
 */
bool
dyn_build_apply(DynLevel *level, int rti, DynBlock *block, bool keeps, List *on)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
	Query	   *query = query_of_item(rte);
	Var		   *row = dyn_whole_row(level->query, rti);
	Relids		rels = NULL;
	DynNode    *input;
	DynNode    *rows;
	DynNode    *node;
	int			i;

	if (on != NIL)
		query->jointree->quals = (Node *) make_ands_explicit((List *) dyn_vars_map((Node *) on, lower_var, &rti));
	if (row != NULL)
		add_row(query, row);
	if (dyn_refers_beyond(query, &rels) || !bms_is_subset(rels, block->rels))
		return dyn_refuse(level->ctx, "LATERAL", "%s refers to what is not joined to it directly",
						  rte->eref->aliasname) != NULL;
	i = dyn_block_gather(level, block, rels);
	if (i == 0)
		return false;
	input = list_nth(block->inputs, i - 1);
	query = (Query *) dyn_relocate(level, (Node *) query);

	/* the operator has this one input, whichever of the block's it was */
	if (i != 1)
		ChangeVarNodes((Node *) query, i, 1, 1);
	if (level->ctx->refusal->code ||
		!dyn_check_written_at(level->ctx, (Node *) query, list_make1(input)))
		return false;

	rows = make_rows(query);
	node = dyn_node_new(DYN_NODE_APPLY, input->ncolumns + rows->ncolumns);
	memcpy(node->columns, input->columns, sizeof(DynColumn) * input->ncolumns);
	memcpy(node->columns + input->ncolumns, rows->columns, sizeof(DynColumn) * rows->ncolumns);
	node->inputs = list_make1(input);
	node->source = query;
	node->keeps = keeps;
	lfirst(list_nth_cell(block->inputs, i - 1)) = node;
	block->rels = bms_add_member(block->rels, rti);
	level->places[rti] = (DynPlace) {
		.input = i, .offset = input->ncolumns, .whole = row ? rows->ncolumns : 0
	};
	return true;
}

/* One column more for the row as a whole. */
static void
add_row(Query *query, Var *row)
{
	int			no = list_length(query->targetList) + 1;
	Var		   *var = makeVar(1, 0, row->vartype, row->vartypmod, row->varcollid, 0);

	query->targetList = lappend(query->targetList,
								makeTargetEntry((Expr *) var, no, psprintf("c%d", no), false));
}

/* VALUES and functions in FROM that refer to nothing beside them. */
DynNode *
dyn_build_constant(RangeTblEntry *rte)
{
	Assert(!dyn_reads_table((Node *) query_of_item(rte)));
	return make_rows(query_of_item(rte));
}

/* One row, of one column that nobody reads: what a query without FROM selects from. */
DynNode *
dyn_build_one_row(void)
{
	Query	   *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	query->targetList = list_make1(makeTargetEntry((Expr *) makeBoolConst(true, false), 1,
												   pstrdup("c1"), false));
	return make_rows(query);
}

static DynNode *
make_rows(Query *source)
{
	DynNode    *node = dyn_node_new(DYN_NODE_CONSTANT, list_length(source->targetList));
	ListCell   *lc;
	int			i = 0;

	node->source = source;
	foreach(lc, source->targetList)
	{
		Node	   *expr = (Node *) lfirst_node(TargetEntry, lc)->expr;

		node->columns[i++] = (DynColumn) {
			.type = exprType(expr), .typmod = exprTypmod(expr),
			.collation = exprCollation(expr), .nullable = true
		};
	}
	return node;
}

/* SELECT all columns of an item of FROM; what it refers to beside it is of the level above. */
static Query *
query_of_item(RangeTblEntry *rte)
{
	Query	   *query = makeNode(Query);
	RangeTblRef *ref = makeNode(RangeTblRef);
	List	   *names;
	List	   *columns;
	ListCell   *lc;

	dyn_expand_rte(rte, 1, &names, &columns);
	ref->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make1(copyObject(rte));
	IncrementVarSublevelsUp_rtable(query->rtable, 1, 0);
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	foreach(lc, columns)
	{
		int			i = foreach_current_index(lc) + 1;

		query->targetList = lappend(query->targetList,
									makeTargetEntry(lfirst(lc), i, psprintf("c%d", i), false));
	}
	return query;
}

/* ------------------------------------------------------------------------
 * Subqueries in arguments
 * ------------------------------------------------------------------------
 */

void
dyn_split_items(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if ((rte->rtekind == RTE_FUNCTION || rte->rtekind == RTE_VALUES || rte->rtekind == RTE_TABLEFUNC) &&
			(dyn_reads_table((Node *) rte->functions) || dyn_reads_table((Node *) rte->values_lists) ||
			 dyn_reads_table((Node *) rte->tablefunc)))
			split_item(rte, query_of_item(rte));
	}
}

/* query: of the item.  SELECT its columns FROM (SELECT the subqueries), LATERAL the item over their values. */
static void
split_item(RangeTblEntry *rte, Query *query)
{
	RangeTblEntry *item = linitial_node(RangeTblEntry, query->rtable);
	RangeTblEntry *values = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	Query	   *below = makeNode(Query);

	below->commandType = CMD_SELECT;
	below->canSetTag = true;
	below->hasSubLinks = true;
	below->jointree = makeFromExpr(NIL, NULL);
	values->rtekind = RTE_SUBQUERY;
	values->subquery = below;
	values->eref = makeAlias("arguments", NIL);
	values->lateral = true;
	values->inFromCl = true;
	item->functions = (List *) take_subqueries((Node *) item->functions, values);
	item->values_lists = (List *) take_subqueries((Node *) item->values_lists, values);
	item->tablefunc = (TableFunc *) take_subqueries((Node *) item->tablefunc, values);
	item->lateral = true;
	IncrementVarSublevelsUp((Node *) below->targetList, 1, 0);
	query->rtable = lappend(query->rtable, values);
	ref->rtindex = 2;
	query->jointree->fromlist = lcons(ref, query->jointree->fromlist);

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->functions = NIL;
	rte->funcordinality = false;
	rte->values_lists = NIL;
	rte->tablefunc = NULL;
	rte->coltypes = rte->coltypmods = rte->colcollations = NIL;
}

/* Subqueries that read tables become columns of the item that stands in context, as relation 2. */
static Node *
take_subqueries(Node *node, void *context)
{
	RangeTblEntry *values = context;
	Query	   *below = values->subquery;

	if (node == NULL)
		return NULL;
	if (IsA(node, SubLink) && dyn_reads_table(node))
	{
		int			no = list_length(below->targetList) + 1;
		char	   *name = psprintf("c%d", no);

		below->targetList = lappend(below->targetList, makeTargetEntry((Expr *) node, no, name, false));
		values->eref->colnames = lappend(values->eref->colnames, makeString(name));
		return (Node *) makeVar(2, no, exprType(node), exprTypmod(node), exprCollation(node), 0);
	}
	return expression_tree_mutator(node, take_subqueries, context);
}

/* ------------------------------------------------------------------------
 * What an item refers to
 * ------------------------------------------------------------------------
 */

/* Does the item refer to items beside it or above it? */
bool
dyn_item_is_lateral(RangeTblEntry *rte)
{
	return rte->lateral && dyn_vars_outer((Node *) query_of_item(rte)) != NIL;
}

/* Is the item to be computed from a row of the items beside it, and nothing else? */
bool
dyn_item_is_row_local(RangeTblEntry *rte)
{
	return dyn_item_is_lateral(rte) && !dyn_reads_table((Node *) query_of_item(rte));
}

/* Add the relations of the level above to *rels; true when there are others still further up. */
bool
dyn_refers_beyond(Query *query, Relids *rels)
{
	ListCell   *lc;

	foreach(lc, dyn_vars_outer((Node *) query))
	{
		Var		   *var = lfirst_node(Var, lc);

		if (var->varlevelsup > 1)
			return true;
		*rels = bms_add_member(*rels, var->varno);
	}
	return false;
}

/* A condition's Vars as a query over the item alone sees them. */
static Node *
lower_var(Var *var, void *arg)
{
	if (var->varno == *(int *) arg)
		var->varno = var->varnosyn = 1;
	else
		var->varlevelsup = 1;
	return (Node *) var;
}

/* Does an expression or query read a table, or a WITH query from outside of it? */
bool
dyn_reads_table(Node *node)
{
	Index		depth = 0;

	return reads_table_walker(node, &depth);
}

static bool
reads_table_walker(Node *node, void *context)
{
	Index	   *depth = context;
	bool		found = false;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, reads_table_walker, context);
	(*depth)++;
	foreach(lc, castNode(Query, node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		found |= rte->rtekind == RTE_RELATION || rte->rtekind == RTE_NAMEDTUPLESTORE ||
			(rte->rtekind == RTE_CTE && rte->ctelevelsup >= *depth);
	}
	found = found || query_tree_walker((Query *) node, reads_table_walker, context, 0);
	(*depth)--;
	return found;
}
