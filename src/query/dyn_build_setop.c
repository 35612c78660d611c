/*
 * dyn_build_setop.c
 *	  UNION, INTERSECT and EXCEPT.
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parse_coerce.h>

#include "query/dyn_build.h"

static void append_union_inputs(DynLevel *level, SetOperationStmt *setop, Node *arg, List **inputs);
static DynNode *coerce_columns(DynContext *ctx, DynNode *node, SetOperationStmt *setop);

DynNode *
dyn_build_setop(DynLevel *level, SetOperationStmt *setop)
{
	DynNode    *node;
	List	   *inputs = NIL;
	int			i = 0;
	ListCell   *lc;

	if (setop->op != SETOP_UNION)
		return dyn_refuse(level->ctx, "SET_OPERATION", "the query uses INTERSECT or EXCEPT");
	append_union_inputs(level, setop, setop->larg, &inputs);
	append_union_inputs(level, setop, setop->rarg, &inputs);
	if (level->ctx->refusal->code)
		return NULL;
	node = dyn_node_new(DYN_NODE_UNION, list_length(setop->colTypes));
	node->inputs = inputs;
	for (i = 0; i < node->ncolumns; i++)
	{
		DynColumn  *column = &node->columns[i];

		column->type = list_nth_oid(setop->colTypes, i);
		column->typmod = list_nth_int(setop->colTypmods, i);
		column->collation = list_nth_oid(setop->colCollations, i);
		foreach(lc, inputs)
		{
			DynColumn  *from = &((DynNode *) lfirst(lc))->columns[i];

			column->nullable |= from->nullable;
			column->written_at |= from->written_at;
		}
	}
	return setop->all ? node : dyn_build_distinct(level->ctx, node);
}

static void
append_union_inputs(DynLevel *level, SetOperationStmt *setop, Node *arg, List **inputs)
{
	DynNode    *node;

	if (IsA(arg, SetOperationStmt))
	{
		SetOperationStmt *inner = (SetOperationStmt *) arg;

		/* (a UNION ALL b) UNION ALL c is one union of three, types being the same */
		if (inner->op == SETOP_UNION && (inner->all || !setop->all) &&
			equal(inner->colTypes, setop->colTypes) && equal(inner->colTypmods, setop->colTypmods))
		{
			append_union_inputs(level, setop, inner->larg, inputs);
			append_union_inputs(level, setop, inner->rarg, inputs);
			return;
		}
		node = dyn_build_setop(level, inner);
	}
	else
		node = dyn_build_leaf(level, castNode(RangeTblRef, arg)->rtindex);
	if (node)
		*inputs = lappend(*inputs, coerce_columns(level->ctx, node, setop));
}

/* The columns of one side of a set operation in the operation's types. */
static DynNode *
coerce_columns(DynContext *ctx, DynNode *node, SetOperationStmt *setop)
{
	List	   *targets = NIL;
	bool		same = true;

	for (int i = 0; i < node->ncolumns; i++)
	{
		DynColumn  *column = &node->columns[i];
		Oid			type = list_nth_oid(setop->colTypes, i);
		Node	   *expr = (Node *) makeVar(1, i + 1, column->type, column->typmod,
											column->collation, 0);

		if (column->type != type)
		{
			same = false;
			expr = coerce_to_target_type(NULL, expr, column->type, type, -1,
										 COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
			if (expr == NULL)
				elog(ERROR, "could not cast type %u to %u", column->type, type);
		}
		targets = lappend(targets, expr);
	}
	return same ? node : dyn_make_select(ctx, list_make1(node), NIL, targets);
}
