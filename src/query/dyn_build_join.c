/*
 * dyn_build_join.c
 *	  Joins that are not inner: outer joins, and those that ask only whether
 *	  there is a partner.
 *
 * A condition on the right side alone is a condition on that input, unless
 * unmatched right rows stay.  What remains of the condition is taken apart
 * into equalities between the sides, by which the deltas look rows up, and
 * the rest.
 */
#include <postgres.h>

#include <catalog/pg_operator.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <optimizer/optimizer.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

/* No range table is so long. */
#define SINGLED_OUT 100000

/* An equality between the sides of a join. */
typedef struct Equality
{
	Oid			operator;
	Oid			collation;
	Node	   *keys[2];		/* left, right */
} Equality;

static bool build_sides(DynLevel *level, JoinExpr *join, DynBlock *sides);
static bool leaves_unmatched(DynLevel *level, JoinExpr *join, Relids rels, DynNode *right);
static bool rejects_null(Node *quals, Var *var);
static DynNode *add_nulls(DynContext *ctx, DynNode *anti);
static List *take_conditions(List **conjuncts, Relids rels, bool all);
static void name_columns(DynNode *node);
static void classify(DynNode *node);
static bool equality_between_sides(Node *qual, Equality *equality);
static bool tells_the_same_apart(OpExpr *op, Equality *equality);
static bool condition_on_one_side(Node *qual, Equality *equality);

/* Move the relations of a block behind ninputs others. */
static void
shift_places(DynLevel *level, Relids rels, int ninputs)
{
	int			rti = -1;

	while ((rti = bms_next_member(rels, rti)) >= 0)
		level->places[rti].input += ninputs;
}

/* ------------------------------------------------------------------------
 * Outer joins
 *
 * As the server does (reduce_outer_joins), an outer join whose added NULLs
 * would be rejected above is made an inner one, or a FULL one a LEFT one; and
 * one that leaves nothing but rows without a partner is an ANTI join.
 * ------------------------------------------------------------------------
 */

/* Note what a condition says about the rows below it. */
void
dyn_note_conditions(DynAbove *above, Node *quals)
{
	ListCell   *lc;

	above->absent = list_copy(above->absent);
	foreach(lc, dyn_expr_conjuncts(quals))
	{
		Var		   *absent = find_forced_null_var(lfirst(lc));

		if (absent)
			above->absent = lappend(above->absent, absent);
		above->rejected = bms_union(above->rejected, find_nonnullable_rels(lfirst(lc)));
	}
}

/* The relations that a part of FROM joins. */
static Relids
relations_of(Node *item)
{
	Relids		rels = NULL;
	ListCell   *lc;

	if (IsA(item, RangeTblRef))
		return bms_make_singleton(castNode(RangeTblRef, item)->rtindex);
	if (IsA(item, JoinExpr))
		return bms_union(relations_of(castNode(JoinExpr, item)->larg),
						 relations_of(castNode(JoinExpr, item)->rarg));
	foreach(lc, castNode(FromExpr, item)->fromlist)
		rels = bms_join(rels, relations_of(lfirst(lc)));
	return rels;
}

/* Change an outer join's type where conditions above reject rows that it adds NULLs to. */
void
dyn_reduce_join(DynLevel *level, JoinExpr *join)
{
	bool		left = bms_overlap(level->above.rejected, relations_of(join->larg));
	bool		right = bms_overlap(level->above.rejected, relations_of(join->rarg));

	if (join->jointype == JOIN_FULL && (left || right))
		join->jointype = !right ? JOIN_LEFT : !left ? JOIN_RIGHT : JOIN_INNER;
	if ((join->jointype == JOIN_LEFT && right) || (join->jointype == JOIN_RIGHT && left))
		join->jointype = JOIN_INNER;
}

/*
 * LEFT, RIGHT and FULL joins: the two sides become one node each, and the
 * relations on either side columns of the join.
 */
bool
dyn_build_outer(DynLevel *level, JoinExpr *join, DynBlock *block)
{
	DynBlock	sides[2] = {{0}};
	DynNode    *inputs[2];
	DynNode    *node;
	List	   *conjuncts = dyn_expr_conjuncts(join->quals);
	DynJoin		kind = join->jointype == JOIN_FULL ? DYN_JOIN_FULL : DYN_JOIN_LEFT;
	Relids		rels;
	int			rti = -1;

	if (!build_sides(level, join, sides))
		return false;
	if (kind != DYN_JOIN_FULL)
		sides[1].quals = list_concat(sides[1].quals, take_conditions(&conjuncts, sides[1].rels, true));
	for (int i = 0; i < 2; i++)
		if ((inputs[i] = dyn_block_node(level, &sides[i])) == NULL)
			return false;
	if (dyn_has_sublinks((Node *) conjuncts))
	{
		dyn_refuse(level->ctx, "SUBQUERY_EXPRESSION",
				   "ON of an outer join asks a subquery about rows that stay without a partner");
		return false;
	}

	/* each side's relations are input 1; make the right one's input 2 for ON */
	shift_places(level, sides[1].rels, 1);
	if (kind == DYN_JOIN_LEFT && leaves_unmatched(level, join, sides[1].rels, inputs[1]))
		kind = DYN_JOIN_ANTI;
	node = dyn_make_join(level->ctx, kind, inputs[0], inputs[1],
						 (List *) dyn_relocate(level, (Node *) conjuncts));
	if (node && kind == DYN_JOIN_ANTI)
		node = add_nulls(level->ctx, node);
	if (node == NULL)
		return false;

	/* and from above, columns of the join, which is one input of the block */
	block->inputs = lappend(block->inputs, node);
	while ((rti = bms_next_member(sides[1].rels, rti)) >= 0)
		level->places[rti].offset += inputs[0]->ncolumns;
	rels = bms_union(sides[0].rels, sides[1].rels);
	block->rels = bms_union(block->rels, rels);
	rti = -1;
	while ((rti = bms_next_member(rels, rti)) >= 0)
		level->places[rti].input = list_length(block->inputs);
	return true;
}

/*
 * The sides of an outer join, first the one whose rows all stay.  Conditions
 * above hold for that one, and ON for the other one.
 */
static bool
build_sides(DynLevel *level, JoinExpr *join, DynBlock *sides)
{
	DynAbove	above = level->above;
	bool		right = join->jointype == JOIN_RIGHT;
	bool		built;

	if (join->jointype == JOIN_FULL)
		level->above = (DynAbove) {NULL};
	built = dyn_build_from(level, right ? join->rarg : join->larg, &sides[0]);
	level->above = (DynAbove) {NULL};
	if (join->jointype != JOIN_FULL)
		dyn_note_conditions(&level->above, join->quals);
	built = built && dyn_build_from(level, right ? join->larg : join->rarg, &sides[1]);
	level->above = above;
	return built;
}

/*
 * Do conditions above leave only rows that have no partner?  They do when a
 * column of the right side must be NULL that no partner can have NULL: because
 * it is not, or because ON would not be true.  A NULL of a domain cannot be
 * written where the domain refuses it, but come from an outer join.
 */
static bool
leaves_unmatched(DynLevel *level, JoinExpr *join, Relids rels, DynNode *right)
{
	ListCell   *lc;

	for (int i = 0; i < right->ncolumns; i++)
		if (get_typtype(right->columns[i].type) == TYPTYPE_DOMAIN)
			return false;
	foreach(lc, level->above.absent)
	{
		Var		   *var = lfirst_node(Var, lc);
		Node	   *column;

		if (!bms_is_member(var->varno, rels))
			continue;
		column = dyn_relocate(level, (Node *) var);
		if (level->ctx->refusal->code)
			return false;
		if (!right->columns[castNode(Var, column)->varattno - 1].nullable ||
			rejects_null(join->quals, var))
			return true;
	}
	return false;
}

/* The Var as if it were a relation of its own, which find_nonnullable_rels can then tell. */
static Node *
single_out(Var *var, void *arg)
{
	Var		   *wanted = arg;

	if (var->varno == wanted->varno && var->varattno == wanted->varattno)
		var->varno = SINGLED_OUT;
	return (Node *) var;
}

/* Is a condition not true where the Var is NULL? */
static bool
rejects_null(Node *quals, Var *var)
{
	ListCell   *lc;

	foreach(lc, dyn_expr_conjuncts(quals))
		if (bms_is_member(SINGLED_OUT, find_nonnullable_rels(dyn_vars_map(lfirst(lc), single_out, var))))
			return true;
	return false;
}

/* The right side's columns, NULL in every row. */
static DynNode *
add_nulls(DynContext *ctx, DynNode *anti)
{
	DynNode    *right = dyn_input(anti, 2);
	List	   *targets = dyn_column_vars(anti, 1);

	for (int i = 0; i < right->ncolumns; i++)
		targets = lappend(targets, makeNullConst(right->columns[i].type, right->columns[i].typmod,
												 right->columns[i].collation));
	return dyn_make_select(ctx, list_make1(anti), NIL, targets);
}

/* ------------------------------------------------------------------------
 * Nodes
 * ------------------------------------------------------------------------
 */

/*
 * dyn_make_existence makes the node of a join that asks whether there is a
 * partner: DYN_JOIN_SEMI, ANTI or MARK.  quals, over Vars of left (1) and
 * right (2), all have to be true of a partner; without any, every row of
 * right is one.
 */
DynNode *
dyn_make_existence(DynContext *ctx, DynJoin join, DynNode *left, DynNode *right, List *quals)
{
	List	   *below;

	if (left == NULL || right == NULL)
		return NULL;
	below = take_conditions(&quals, bms_make_singleton(2), true);
	if (below != NIL)
		right = dyn_make_select(ctx, list_make1(right),
								(List *) dyn_renumber_input((Node *) below, 2, 1),
								dyn_column_vars(right, 1));

	/* a left row without it has no partner, and does not stay */
	if (join == DYN_JOIN_SEMI)
		below = take_conditions(&quals, bms_make_singleton(1), false);
	if (join == DYN_JOIN_SEMI && below != NIL)
		left = dyn_make_select(ctx, list_make1(left), below, dyn_column_vars(left, 1));
	if (left == NULL || right == NULL)
		return NULL;
	return dyn_make_join(ctx, join, left, right, quals);
}

/* Take the conditions out that read only these relations; all: those that read none, too. */
static List *
take_conditions(List **conjuncts, Relids rels, bool all)
{
	List	   *taken = NIL;
	List	   *rest = NIL;
	ListCell   *lc;

	foreach(lc, *conjuncts)
	{
		Node	   *qual = lfirst(lc);
		Relids		read = dyn_expr_relations(qual);

		if (IsA(qual, Const) && !castNode(Const, qual)->constisnull &&
			DatumGetBool(castNode(Const, qual)->constvalue))
			continue;
		if (bms_is_subset(read, rels) && (all || !bms_is_empty(read)))
			taken = lappend(taken, qual);
		else
			rest = lappend(rest, qual);
	}
	*conjuncts = rest;
	return taken;
}

/* quals: over Vars of left (1) and right (2). */
DynNode *
dyn_make_join(DynContext *ctx, DynJoin join, DynNode *left, DynNode *right, List *quals)
{
	int			ncolumns = left->ncolumns;
	DynNode    *node;

	if (ctx->refusal->code)
		return NULL;
	if (!dyn_check_written_at(ctx, (Node *) quals, list_make2(left, right)))
		return NULL;
	if (dyn_expr_has_now((Node *) quals))
		return dyn_make_moving_join(ctx, join, left, right, quals);
	if (dyn_join_is_outer(join))
		ncolumns += right->ncolumns;
	else if (join == DYN_JOIN_MARK)
		ncolumns++;
	node = dyn_node_new(DYN_NODE_JOIN, ncolumns);
	node->join = join;
	node->inputs = list_make2(left, right);
	node->quals = quals;
	name_columns(node);
	classify(node);
	return node;
}

static void
name_columns(DynNode *node)
{
	DynNode    *left = dyn_input(node, 1);
	DynNode    *right = dyn_input(node, 2);

	memcpy(node->columns, left->columns, sizeof(DynColumn) * left->ncolumns);
	if (node->join == DYN_JOIN_MARK)
		node->columns[left->ncolumns] = (DynColumn) {
			.type = BOOLOID, .typmod = -1
		};
	if (!dyn_join_is_outer(node->join))
		return;
	memcpy(node->columns + left->ncolumns, right->columns, sizeof(DynColumn) * right->ncolumns);
	for (int i = 0; i < node->ncolumns; i++)
		if (node->join == DYN_JOIN_FULL || i >= left->ncolumns)
			node->columns[i].nullable = true;
}

/* Find the equalities between the sides in the condition. */
static void
classify(DynNode *node)
{
	ListCell   *lc;

	node->keys_only = true;
	foreach(lc, node->quals)
	{
		Equality	equality = {InvalidOid};

		if (!equality_between_sides(lfirst(lc), &equality) &&
			!condition_on_one_side(lfirst(lc), &equality))
		{
			node->keys_only = false;
			continue;
		}
		node->key_operators = lappend_oid(node->key_operators, equality.operator);
		node->key_collations = lappend_oid(node->key_collations, equality.collation);
		node->left_keys = lappend(node->left_keys, equality.keys[0]);
		node->right_keys = lappend(node->right_keys, dyn_renumber_input(equality.keys[1], 2, 1));
	}
}

static bool
equality_between_sides(Node *qual, Equality *equality)
{
	OpExpr	   *op = (OpExpr *) qual;
	int			sides[2];

	if (!IsA(qual, OpExpr) || list_length(op->args) != 2)
		return false;
	if (!op_mergejoinable(op->opno, exprType(linitial(op->args))) &&
		!op_hashjoinable(op->opno, exprType(linitial(op->args))))
		return false;
	for (int i = 0; i < 2; i++)
		if (!bms_get_singleton_member(dyn_expr_relations(list_nth(op->args, i)), &sides[i]))
			return false;
	if (sides[0] == sides[1])
		return false;
	equality->operator = sides[0] == 1 ? op->opno : get_commutator(op->opno);
	if (!OidIsValid(equality->operator))
		return false;
	equality->collation = op->inputcollid;
	for (int i = 0; i < 2; i++)
		equality->keys[sides[i] - 1] = list_nth(op->args, i);
	return tells_the_same_apart(op, equality);
}

/*
 * Does the operator tell apart what the keys' own "=" does, on both sides?
 * It may be of another family, or compare by another collation.
 */
static bool
tells_the_same_apart(OpExpr *op, Equality *equality)
{
	for (int i = 0; i < 2; i++)
	{
		Oid			type = exprType(equality->keys[i]);
		Oid			collation = exprCollation(equality->keys[i]);
		Oid			own = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;

		if (!OidIsValid(own) || !equality_ops_are_compatible(op->opno, own))
			return false;
		if (OidIsValid(collation) && collation != op->inputcollid &&
			!(get_collation_isdeterministic(collation) &&
			  get_collation_isdeterministic(op->inputcollid)))
			return false;
	}
	return true;
}

/* A condition on one side alone: equal to true on the other. */
static bool
condition_on_one_side(Node *qual, Equality *equality)
{
	int			side;
	Relids		rels = dyn_expr_relations(qual);

	if (bms_is_empty(rels))
		side = 1;
	else if (!bms_get_singleton_member(rels, &side))
		return false;
	equality->operator = BooleanEqualOperator;
	equality->keys[side - 1] = qual;
	equality->keys[2 - side] = makeBoolConst(true, false);
	return true;
}
