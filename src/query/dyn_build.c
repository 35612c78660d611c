/*
 * dyn_build.c
 *	  From an analysed and rewritten Query to the algebra of dyn_node.h.
 *
 * One level of SELECT becomes, from below: its FROM items, joined; an
 * AGGREGATE over a SELECT that computes keys and arguments; WINDOW nodes; a
 * SELECT for the target list; an AGGREGATE or FIRST for DISTINCT.  SELECTs on
 * SELECTs are merged, so that what remains are the operators that matter.
 * This file has the levels, FROM and set operations; dyn_build_upper.c what
 * comes above FROM.
 *
 * Nothing is raised for a construct that has no rule: the first refusal is
 * kept and NULL goes up.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/table.h>
#include <catalog/pg_operator.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parse_coerce.h>
#include <parser/parsetree.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "compat/dyn_compat_planner.h"
#include "query/dyn_build.h"
#include "query/dyn_expr.h"

/* Columns of a statement, less some that are added to those of a node. */
#define MAX_TARGETS	(MaxTupleAttributeNumber - 20)

static DynNode *build_from_item(DynLevel *level, Node *item, DynBlock *block);
static DynNode *build_leaf(DynLevel *level, int rti);
static DynNode *build_scan(DynLevel *level, RangeTblEntry *rte);
static DynNode *build_constant(DynLevel *level, RangeTblEntry *rte);
static DynNode *build_cte(DynLevel *level, RangeTblEntry *rte);
static bool build_outer(DynLevel *level, JoinExpr *join, DynBlock *block);
static void classify_on(DynLevel *level, DynNode *node, Relids left, Relids right, List *conjuncts);
static DynNode *build_setop(DynLevel *level, SetOperationStmt *setop);
static void append_union_inputs(DynLevel *level, SetOperationStmt *setop, Node *arg, List **inputs);
static DynNode *coerce_columns(DynContext *ctx, DynNode *node, SetOperationStmt *setop);
static void number_nodes(DynPlan *plan, DynNode *node);
static bool narrow_enough(DynContext *ctx);
static bool level_refused(DynLevel *level);
static bool has_policies(Query *query);

DynNode *
dyn_refuse(DynContext *ctx, const char *code, const char *format,...)
{
	va_list		args;
	char		buffer[1024];

	if (ctx->refusal->code == NULL)
	{
		va_start(args, format);
		vsnprintf(buffer, sizeof(buffer), format, args);
		va_end(args);
		ctx->refusal->code = code;
		ctx->refusal->reason = pstrdup(buffer);
	}
	return NULL;
}

DynPlan *
dyn_plan_build(Query *query, List *sources, DynRefusal *refusal)
{
	DynContext	ctx = {0};
	DynPlan    *plan = palloc0(sizeof(DynPlan));

	ctx.plan = plan;
	ctx.refusal = refusal;
	ctx.sources = sources;
	refusal->code = NULL;
	refusal->reason = dyn_expr_refusal(query, &refusal->code);
	if (refusal->code)
		return NULL;
	plan->top = dyn_build_query(&ctx, query, NULL);
	if (plan->top == NULL)
		return NULL;
	number_nodes(plan, plan->top);
	return narrow_enough(&ctx) ? plan : NULL;
}

/*
 * Whether the state tables and the statements of all nodes stay within the
 * limits of columns.  A group's state has up to three columns for each
 * aggregate, of eight bytes, and they must fit a page as well.
 */
static bool
narrow_enough(DynContext *ctx)
{
	ListCell   *lc;

	foreach(lc, ctx->plan->nodes)
	{
		DynNode    *node = lfirst(lc);
		int			width = node->ncolumns;
		int			limit = dyn_node_staged(node) ? MaxHeapAttributeNumber : MAX_TARGETS;

		if (node->kind == DYN_NODE_AGGREGATE)
		{
			width = node->nkeys + 3 * list_length(node->aggs);
			limit = MaxHeapAttributeNumber * 5 / 8;
		}
		if (width > limit)
		{
			dyn_refuse(ctx, "TOO_MANY_COLUMNS", "a step of the query would need %d columns, and can have %d",
					   width, limit);
			return false;
		}
	}
	return true;
}

/* Number the nodes, inputs before parents, and derive keys on the way. */
static void
number_nodes(DynPlan *plan, DynNode *node)
{
	ListCell   *lc;

	if (node->no > 0)
		return;
	foreach(lc, node->inputs)
		number_nodes(plan, lfirst(lc));
	dyn_node_derive_key(node);
	if ((node->kind == DYN_NODE_WINDOW || node->kind == DYN_NODE_FIRST) &&
		dyn_node_order_matters(node) && !dyn_node_order_total(node))
		plan->warnings = list_append_unique(plan->warnings,
											makeString("the order of a window or of DISTINCT ON does not decide between all rows, so the result is not determined"));
	plan->nodes = lappend(plan->nodes, node);
	node->no = list_length(plan->nodes);
}

DynNode *
dyn_build_query(DynContext *ctx, Query *query, DynLevel *parent)
{
	DynLevel	level = {0};

	level.ctx = ctx;
	level.parent = parent;
	level.query = dyn_flatten_join_aliases(query);
	level.places = palloc0(sizeof(DynPlace) * (list_length(query->rtable) + 1));
	level.ctes = palloc0(sizeof(DynNode *) * (list_length(query->cteList) + 1));
	if (level_refused(&level))
		return NULL;
	if (query->setOperations)
		return build_setop(&level, (SetOperationStmt *) query->setOperations);
	return dyn_build_select(&level);
}

/* Do policies apply?  hasRowSecurity says only that a table has some, and the owner may be above them. */
static bool
has_policies(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
		if (lfirst_node(RangeTblEntry, lc)->securityQuals != NIL)
			return true;
	return false;
}

/* Constructs of one level that have no rule. */
static bool
level_refused(DynLevel *level)
{
	Query	   *query = level->query;
	const struct
	{
		bool		found;
		const char *code;
		const char *reason;
	}			constructs[] = {
		{query->hasRecursive, "RECURSIVE", "WITH RECURSIVE is computed in full"},
		{has_policies(query), "ROW_SECURITY", "row-level security applies to a source for the table's owner"},
		{query->hasSubLinks, "SUBQUERY_EXPRESSION", "a subquery stands in an expression; write it as a join"},
		{query->groupingSets != NIL, "GROUPING_SETS", "the query uses GROUPING SETS, CUBE or ROLLUP"},
		{query->limitCount || query->limitOffset, "LIMIT", "the query uses LIMIT or OFFSET"},
		{query->rowMarks != NIL, "ROW_LOCKING", "the query locks rows (FOR UPDATE or the like)"},
	};

	for (int i = 0; i < lengthof(constructs); i++)
		if (constructs[i].found)
		{
			dyn_refuse(level->ctx, constructs[i].code, "%s", constructs[i].reason);
			return true;
		}
	return false;
}

/* ------------------------------------------------------------------------
 * FROM
 * ------------------------------------------------------------------------
 */

/* Move the relations of a block behind ninputs others, or into one input at an offset. */
static void
shift_places(DynLevel *level, Relids rels, int ninputs)
{
	int			rti = -1;

	while ((rti = bms_next_member(rels, rti)) >= 0)
		level->places[rti].input += ninputs;
}

/*
 * dyn_build_from adds what stands in FROM to the block: inputs, and the
 * conditions of WHERE and inner joins over the original Vars.  False when
 * refused.
 */
bool
dyn_build_from(DynLevel *level, Node *item, DynBlock *block)
{
	ListCell   *lc;

	if (item == NULL)
		return true;
	if (IsA(item, FromExpr))
	{
		foreach(lc, castNode(FromExpr, item)->fromlist)
			if (!dyn_build_from(level, lfirst(lc), block))
				return false;
		block->quals = list_concat(block->quals,
								   dyn_expr_conjuncts(castNode(FromExpr, item)->quals));
		return true;
	}
	if (IsA(item, RangeTblRef))
		return build_from_item(level, item, block) != NULL;
	if (castNode(JoinExpr, item)->jointype == JOIN_INNER)
	{
		if (!dyn_build_from(level, castNode(JoinExpr, item)->larg, block) ||
			!dyn_build_from(level, castNode(JoinExpr, item)->rarg, block))
			return false;
		block->quals = list_concat(block->quals,
								   dyn_expr_conjuncts(castNode(JoinExpr, item)->quals));
		return true;
	}
	return build_outer(level, castNode(JoinExpr, item), block);
}

static DynNode *
build_from_item(DynLevel *level, Node *item, DynBlock *block)
{
	int			rti = castNode(RangeTblRef, item)->rtindex;
	DynNode    *node;

	if (rt_fetch(rti, level->query->rtable)->rtekind == RTE_RESULT)
		return dyn_node_new(DYN_NODE_CONSTANT, 0);
	node = build_leaf(level, rti);
	if (node == NULL)
		return NULL;
	block->inputs = lappend(block->inputs, node);
	block->rels = bms_add_member(block->rels, rti);
	if (rt_fetch(rti, level->query->rtable)->rtekind == RTE_RELATION)
		level->places[rti].scan = node;
	level->places[rti].input = list_length(block->inputs);
	level->places[rti].offset = 0;
	return node;
}

static DynNode *
build_leaf(DynLevel *level, int rti)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);

	if (rte->lateral)
		return dyn_refuse(level->ctx, "LATERAL", "the query uses LATERAL");
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			return build_scan(level, rte);
		case RTE_SUBQUERY:
			if (rte->security_barrier)
				return dyn_refuse(level->ctx, "SECURITY_BARRIER_VIEW",
								  "the query reads a security_barrier view, whose conditions must be tested before all others");
			return dyn_build_query(level->ctx, rte->subquery, level);
		case RTE_CTE:
			return build_cte(level, rte);
		case RTE_VALUES:
		case RTE_FUNCTION:
			return build_constant(level, rte);
		default:
			return dyn_refuse(level->ctx, "ROW_SOURCE",
							  "the query reads %s, for which there is no rule", rte->eref->aliasname);
	}
}

static DynNode *
build_scan(DynLevel *level, RangeTblEntry *rte)
{
	DynContext *ctx = level->ctx;
	DynEdge    *edge = NULL;
	DynNode    *node;
	Relation	rel;
	ListCell   *lc;
	int			i = 0;

	foreach(lc, ctx->scans)
		if (((DynNode *) lfirst(lc))->relid == rte->relid)
			return lfirst(lc);
	foreach(lc, ctx->sources)
		if (((DynEdge *) lfirst(lc))->source == rte->relid)
			edge = lfirst(lc);
	if (edge == NULL)
		elog(ERROR, "relation %u is not among the sources of its query", rte->relid);
	if (edge->kind == DYN_EDGE_FULL)
		return dyn_refuse(ctx, "SOURCE_NOT_CAPTURED", "changes of \"%s\" cannot be captured",
						  get_rel_name(rte->relid));
	if (edge->kind == DYN_EDGE_DYNAMIC && get_attname(rte->relid, DYN_OWN_LOG_COLUMNS + 1, true))
		return dyn_refuse(ctx, "TOO_MANY_COLUMNS", "a log of the changes of \"%s\" can have %d of its columns",
						  get_rel_name(rte->relid), DYN_OWN_LOG_COLUMNS);
	if (rte->tablesample)
		return dyn_refuse(ctx, "TABLESAMPLE", "the query uses TABLESAMPLE, whose result is not determined");

	node = dyn_node_new(DYN_NODE_SCAN, list_length(edge->columns));
	node->relid = rte->relid;
	node->dynamic = edge->kind == DYN_EDGE_DYNAMIC;
	node->inherits = rte->inh;
	node->attnums = edge->columns;
	node->shared = true;
	rel = table_open(rte->relid, NoLock);
	foreach(lc, edge->columns)
	{
		DynColumn  *column = &node->columns[i++];

		get_atttypetypmodcoll(rte->relid, lfirst_int(lc),
							  &column->type, &column->typmod, &column->collation);
		column->nullable = !dyn_compat_not_null(rel, lfirst_int(lc));
	}
	table_close(rel, NoLock);
	ctx->scans = lappend(ctx->scans, node);
	return node;
}

/* VALUES and functions in FROM: rows that depend on no table. */
static DynNode *
build_constant(DynLevel *level, RangeTblEntry *rte)
{
	DynNode    *node;
	List	   *names;
	List	   *vars;
	ListCell   *lc;
	int			i = 0;

	if (dyn_expr_has_now((Node *) rte->functions) || dyn_expr_has_now((Node *) rte->values_lists))
		return dyn_refuse(level->ctx, "NOW_IN_ROW_SOURCE",
						  "now() stands in VALUES or in a function in FROM");
	dyn_expand_rte(rte, 1, &names, &vars);
	node = dyn_node_new(DYN_NODE_CONSTANT, list_length(vars));
	node->rte = rte;
	foreach(lc, vars)
	{
		Var		   *var = lfirst_node(Var, lc);

		node->columns[i++] = (DynColumn) {
			.type = var->vartype, .typmod = var->vartypmod,
			.collation = var->varcollid, .nullable = true
		};
	}
	return node;
}

static DynNode *
build_cte(DynLevel *level, RangeTblEntry *rte)
{
	DynLevel   *owner = level;
	ListCell   *lc;

	if (rte->self_reference)
		return dyn_refuse(level->ctx, "RECURSIVE", "WITH RECURSIVE is computed in full");
	for (Index up = rte->ctelevelsup; up > 0; up--)
		owner = owner->parent;
	foreach(lc, owner->query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);
		DynNode   **built = &owner->ctes[foreach_current_index(lc)];

		if (strcmp(cte->ctename, rte->ctename) != 0)
			continue;
		if (*built == NULL)
			*built = dyn_build_query(level->ctx, castNode(Query, cte->ctequery), owner);
		if (*built && cte->cterefcount > 1)
			(*built)->shared = true;
		return *built;
	}
	elog(ERROR, "could not find WITH query \"%s\"", rte->ctename);
}

/*
 * LEFT, RIGHT and FULL joins: the two sides become one node each, and the
 * relations on either side columns of the join.
 */
static bool
build_outer(DynLevel *level, JoinExpr *join, DynBlock *block)
{
	DynBlock	sides[2] = {{0}};
	DynNode    *inputs[2];
	DynNode    *node;
	List	   *conjuncts = dyn_expr_conjuncts(join->quals);
	bool		right = join->jointype == JOIN_RIGHT;
	int			rti = -1;

	/* the side whose rows all stay is the left one */
	if (!dyn_build_from(level, right ? join->rarg : join->larg, &sides[0]) ||
		!dyn_build_from(level, right ? join->larg : join->rarg, &sides[1]))
		return false;

	/* a condition on the other side alone is a condition on that input */
	if (join->jointype != JOIN_FULL)
	{
		List	   *rest = NIL;
		ListCell   *lc;

		foreach(lc, conjuncts)
			if (bms_is_subset(dyn_expr_relations(lfirst(lc)), sides[1].rels) &&
				!bms_is_empty(dyn_expr_relations(lfirst(lc))))
				sides[1].quals = lappend(sides[1].quals, lfirst(lc));
			else
				rest = lappend(rest, lfirst(lc));
		conjuncts = rest;
	}
	for (int i = 0; i < 2; i++)
		if ((inputs[i] = dyn_block_node(level, &sides[i])) == NULL)
			return false;
	if (dyn_expr_has_now((Node *) conjuncts))
	{
		dyn_refuse(level->ctx, "NOW_IN_OUTER_JOIN", "now() stands in the condition of an outer join");
		return false;
	}

	node = dyn_node_new(DYN_NODE_OUTER, inputs[0]->ncolumns + inputs[1]->ncolumns);
	node->inputs = list_make2(inputs[0], inputs[1]);
	node->full = join->jointype == JOIN_FULL;
	memcpy(node->columns, inputs[0]->columns, sizeof(DynColumn) * inputs[0]->ncolumns);
	memcpy(node->columns + inputs[0]->ncolumns, inputs[1]->columns,
		   sizeof(DynColumn) * inputs[1]->ncolumns);
	for (int i = 0; i < node->ncolumns; i++)
		if (node->full || i >= inputs[0]->ncolumns)
			node->columns[i].nullable = true;

	/* each side's relations are input 1; make the right one's input 2 for ON */
	shift_places(level, sides[1].rels, 1);
	if (!dyn_check_written_at(level->ctx, dyn_relocate(level, (Node *) conjuncts), node->inputs))
		return false;
	classify_on(level, node, sides[0].rels, sides[1].rels, conjuncts);
	node->quals = (List *) dyn_relocate(level, (Node *) conjuncts);

	/* and from above, columns of the join, which is one input of the block */
	block->inputs = lappend(block->inputs, node);
	while ((rti = bms_next_member(sides[1].rels, rti)) >= 0)
		level->places[rti].offset += inputs[0]->ncolumns;
	block->rels = bms_join(block->rels, bms_union(sides[0].rels, sides[1].rels));
	rti = -1;
	while ((rti = bms_next_member(bms_union(sides[0].rels, sides[1].rels), rti)) >= 0)
		level->places[rti].input = list_length(block->inputs);
	return true;
}

/* Find the equalities between the sides in the conjuncts of ON. */
static void
classify_on(DynLevel *level, DynNode *node, Relids left, Relids right, List *conjuncts)
{
	ListCell   *lc;

	node->keys_only = true;
	foreach(lc, conjuncts)
	{
		Node	   *qual = lfirst(lc);
		Relids		rels = dyn_expr_relations(qual);
		Node	   *sides[2] = {NULL, NULL};
		Oid			operator = InvalidOid;

		if (IsA(qual, OpExpr) && list_length(castNode(OpExpr, qual)->args) == 2)
		{
			OpExpr	   *op = (OpExpr *) qual;
			Relids		a = dyn_expr_relations(linitial(op->args));
			Relids		b = dyn_expr_relations(lsecond(op->args));
			bool		straight = bms_is_subset(a, left) && bms_is_subset(b, right);
			bool		crossed = bms_is_subset(a, right) && bms_is_subset(b, left);

			if (!bms_is_empty(a) && !bms_is_empty(b) && (straight || crossed) &&
				(op_mergejoinable(op->opno, exprType(linitial(op->args))) ||
				 op_hashjoinable(op->opno, exprType(linitial(op->args)))) &&
				(straight || OidIsValid(get_commutator(op->opno))))
			{
				operator = straight ? op->opno : get_commutator(op->opno);
				sides[0] = straight ? linitial(op->args) : lsecond(op->args);
				sides[1] = straight ? lsecond(op->args) : linitial(op->args);
			}
		}

		/* a condition on one side alone: equal to true on the other */
		if (!OidIsValid(operator) && (bms_is_subset(rels, left) || bms_is_subset(rels, right)))
		{
			int			side = bms_is_subset(rels, left) ? 0 : 1;

			operator = BooleanEqualOperator;
			sides[side] = qual;
			sides[1 - side] = makeBoolConst(true, false);
		}
		if (!OidIsValid(operator))
		{
			node->keys_only = false;
			continue;
		}
		node->key_operators = lappend_oid(node->key_operators, operator);
		node->left_keys = lappend(node->left_keys,
								  dyn_renumber_input(dyn_relocate(level, sides[0]), 1, 1));
		node->right_keys = lappend(node->right_keys,
								   dyn_renumber_input(dyn_relocate(level, sides[1]), 2, 1));
	}
}

/* ------------------------------------------------------------------------
 * Set operations
 * ------------------------------------------------------------------------
 */
static DynNode *
build_setop(DynLevel *level, SetOperationStmt *setop)
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
		node = build_setop(level, inner);
	}
	else
		node = build_leaf(level, castNode(RangeTblRef, arg)->rtindex);
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
