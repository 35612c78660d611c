/*
 * dyn_key.c
 *	  Keys of nodes: columns in which no two rows of the result agree (NULLs
 *	  counted as equal).
 *
 * A key makes a row's identity cheap: the row of a dynamic table that a delta
 * changes is found by it.  Where none can be derived the row's image serves.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/stratnum.h>
#include <access/table.h>
#include <catalog/pg_index.h>
#include <common/hashfn.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parsetree.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/relcache.h>
#include <utils/typcache.h>

#include "query/dyn_expr.h"
#include "query/dyn_plan.h"
#include "query/dyn_vars.h"

static void scan_key(DynNode *node);
static void select_key(DynNode *node);
static bool determined_elsewhere(DynNode *node, int input, Relids dropped);
static int	target_for(DynNode *node, int input, int column);
static int	equated(DynNode *node, int input, int column, int skip, Relids dropped);
static bool never_all_null(DynNode *node);
static void join_key(DynNode *node);
static bool is_right_key(DynNode *node, int column);
static void apply_key(DynNode *node);
static bool is_one_row(Query *query);
static bool item_is_one_row(Query *query, Node *item);
static int	coalesced_key(DynNode *node);
static void top_key(DynNode *node);

/* The columns of a WINDOW or TOP node's input by which one of its windows partitions and orders the rows. */
static List *
order_columns(DynNode *node, WindowClause *clause)
{
	List	   *columns = list_copy(node->partition);
	ListCell   *lc;

	foreach(lc, clause->orderClause)
	{
		Node	   *expr = get_sortgroupclause_expr(lfirst(lc), node->window_tlist);

		if (IsA(expr, Var))
			columns = list_append_unique_int(columns, ((Var *) expr)->varattno);
	}
	return columns;
}

static bool
order_unique(DynNode *node, WindowClause *clause)
{
	DynNode    *input = dyn_input(node, 1);

	return input->has_key && list_difference_int(input->key, order_columns(node, clause)) == NIL;
}

/* Whether every order of a WINDOW or TOP node decides between any two rows of a partition. */
bool
dyn_node_order_unique(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->window_clauses)
		if (!order_unique(node, lfirst(lc)))
			return false;
	return true;
}

/*
 * A function of the order gives what any order would only if rows that tie
 * do not matter: ranks count peers, ROW_NUMBER and its like do not.
 */
static bool
order_matters(DynNode *node, WindowClause *clause)
{
	ListCell   *lc;

	if (node->kind == DYN_NODE_TOP && (node->rank == DYN_RANK_NUMBER || node->skip > 0))
		return true;
	foreach(lc, node->functions)
	{
		WindowFunc *function = lfirst(lc);
		char	   *name = get_func_name(function->winfnoid);

		if (function->winref == clause->winref &&
			strcmp(name, "rank") != 0 && strcmp(name, "dense_rank") != 0 &&
			strcmp(name, "percent_rank") != 0 && strcmp(name, "cume_dist") != 0 &&
			(!function->winagg || (clause->frameOptions & FRAMEOPTION_ROWS)))
			return true;
	}
	return false;
}

/*
 * Whether the orders of a WINDOW or TOP node determine its rows: where one
 * matters, it decides between any two that differ by more than the bytes of
 * equal values.
 */
bool
dyn_node_order_decides(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->window_clauses)
		if (order_matters(node, lfirst(lc)) && !order_unique(node, lfirst(lc)) &&
			list_length(order_columns(node, lfirst(lc))) != dyn_input(node, 1)->ncolumns)
			return false;
	return true;
}

void
dyn_node_derive_key(DynNode *node)
{
	node->has_key = false;
	node->key = NIL;
	switch (node->kind)
	{
		case DYN_NODE_SCAN:
			scan_key(node);
			break;
		case DYN_NODE_SELECT:
			select_key(node);
			break;
		case DYN_NODE_JOIN:
			join_key(node);
			break;
		case DYN_NODE_MOVING:
		case DYN_NODE_WINDOW:
			node->has_key = dyn_input(node, 1)->has_key;
			node->key = dyn_input(node, 1)->key;
			break;
		case DYN_NODE_TOP:
			top_key(node);
			break;
		case DYN_NODE_AGGREGATE:
			node->has_key = true;
			for (int i = 1; i <= node->nkeys; i++)
				node->key = lappend_int(node->key, i);
			break;
		case DYN_NODE_APPLY:
			apply_key(node);
			break;
		case DYN_NODE_RECURSIVE:
			node->has_key = node->distinct;
			for (int i = 1; node->distinct && i <= node->ncolumns; i++)
				node->key = lappend_int(node->key, i);
			break;
		case DYN_NODE_CONSTANT:
		case DYN_NODE_UNION:
		case DYN_NODE_WORKING:
			break;
	}
}

/*
 * Whether what a unique index tells apart differs by the column's "=" too: an
 * operator class or a collation of the index's own may be finer.
 */
static bool
same_equality(Relation index, int i, const DynColumn *column)
{
	Oid			mine = lookup_type_cache(column->type, TYPECACHE_EQ_OPR)->eq_opr;
	Oid			its = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i],
										  index->rd_opcintype[i], BTEqualStrategyNumber);

	return OidIsValid(mine) && mine == its &&
		(!OidIsValid(column->collation) || column->collation == index->rd_indcollation[i] ||
		 get_collation_isdeterministic(column->collation));
}

/* A unique index of the relation, immediate and whole, whose columns are read and not null. */
static void
scan_key(DynNode *node)
{
	Relation	rel = table_open(node->relid, NoLock);
	ListCell   *lc;

	/* the key of an inheritance parent does not bind its children */
	if (rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relhassubclass)
	{
		table_close(rel, NoLock);
		return;
	}
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		List	   *key = NIL;
		bool		usable = form->indisunique && form->indimmediate && form->indisvalid &&
			!form->indisexclusion && RelationGetIndexPredicate(index) == NIL;

		for (int i = 0; usable && i < form->indnkeyatts; i++)
		{
			AttrNumber	attnum = form->indkey.values[i];
			ListCell   *la;
			int			column = 0;

			foreach(la, node->attnums)
				if (lfirst_int(la) == attnum)
					column = foreach_current_index(la) + 1;
			usable = attnum > 0 && column > 0 &&
				(form->indnullsnotdistinct || !node->columns[column - 1].nullable) &&
				same_equality(index, i, &node->columns[column - 1]);
			key = lappend_int(key, column);
		}
		if (usable && (!node->has_key || form->indisprimary))
		{
			node->has_key = true;
			node->key = key;
		}
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
}

/*
 * The keys of all inputs together, without those of inputs whose key the join
 * condition fixes, as far as they are in the select list.
 */
static void
select_key(DynNode *node)
{
	Relids		dropped = NULL;
	List	   *key = NIL;
	int			n = list_length(node->inputs);
	int			column;

	if (expression_returns_set((Node *) node->targets))
		return;
	if (n == 1 && (column = coalesced_key(node)) > 0)
	{
		node->has_key = true;
		node->key = list_make1_int(column);
		return;
	}
	for (int i = n; i >= 1; i--)
	{
		if (!dyn_input(node, i)->has_key)
			return;
		if (determined_elsewhere(node, i, dropped))
			dropped = bms_add_member(dropped, i);
	}
	for (int i = 1; i <= n; i++)
	{
		ListCell   *lc;

		if (bms_is_member(i, dropped))
			continue;
		foreach(lc, dyn_input(node, i)->key)
		{
			column = target_for(node, i, lfirst_int(lc));
			if (column == 0)
				return;
			key = list_append_unique_int(key, column);
		}
	}
	node->has_key = true;
	node->key = key;
}

/* Is every key column of the input equal to a column of an input that stays, or to a constant? */
static bool
determined_elsewhere(DynNode *node, int input, Relids dropped)
{
	ListCell   *lc;

	foreach(lc, dyn_input(node, input)->key)
		if (equated(node, input, lfirst_int(lc), input, dropped) == 0)
			return false;
	return true;
}

/* 1 + the number of a condition that equates the column with one of another input or a constant. */
static int
equated(DynNode *node, int input, int column, int skip, Relids dropped)
{
	ListCell   *lc;

	foreach(lc, node->quals)
	{
		OpExpr	   *op = dyn_expr_equality(lfirst(lc));

		if (op == NULL)
			continue;
		for (int side = 0; side < 2; side++)
		{
			Var		   *mine = list_nth(op->args, side);
			Node	   *other = list_nth(op->args, 1 - side);

			if (!IsA(mine, Var) || mine->varno != input || mine->varattno != column)
				continue;
			if (IsA(other, Const))
				return foreach_current_index(lc) + 1;
			if (IsA(other, Var) && ((Var *) other)->varno != skip &&
				!bms_is_member(((Var *) other)->varno, dropped))
				return foreach_current_index(lc) + 1;
		}
	}
	return 0;
}

/* The target (from 1) that is the input's column, or one the join makes equal to it. */
static int
target_for(DynNode *node, int input, int column)
{
	ListCell   *lt;
	ListCell   *lc;

	foreach(lt, node->targets)
	{
		Var		   *var = lfirst(lt);

		if (!IsA(var, Var))
			continue;
		if (var->varno == input && var->varattno == column)
			return foreach_current_index(lt) + 1;
		foreach(lc, node->quals)
		{
			OpExpr	   *op = dyn_expr_equality(lfirst(lc));

			if (op == NULL)
				continue;
			for (int side = 0; side < 2; side++)
			{
				Var		   *mine = list_nth(op->args, side);
				Var		   *other = list_nth(op->args, 1 - side);

				if (IsA(mine, Var) && IsA(other, Var) && mine->varno == input &&
					mine->varattno == column && other->vartype == mine->vartype &&
					other->varno == var->varno && other->varattno == var->varattno)
					return foreach_current_index(lt) + 1;
			}
		}
	}
	return 0;
}

/* Is some column of the key not NULL in every row? */
static bool
never_all_null(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, node->key)
		if (!node->columns[lfirst_int(lc) - 1].nullable)
			return true;
	return false;
}

/*
 * Where right rows are shown, they have their key as well; it is not needed
 * where the condition fixes it for each left row and unmatched right rows are
 * not kept.
 */
static void
join_key(DynNode *node)
{
	DynNode    *left = dyn_input(node, 1);
	DynNode    *right = dyn_input(node, 2);
	bool		outer = dyn_join_is_outer(node->join);
	ListCell   *lc;

	if (!left->has_key || (outer && !right->has_key))
		return;

	/* an unmatched row of either side could show nothing but NULLs */
	if (node->join == DYN_JOIN_FULL && !never_all_null(left) && !never_all_null(right))
		return;
	node->has_key = true;
	node->key = list_copy(left->key);
	if (!outer)
		return;
	foreach(lc, right->key)
		if (node->join == DYN_JOIN_FULL || !is_right_key(node, lfirst_int(lc)))
			node->key = lappend_int(node->key, left->ncolumns + lfirst_int(lc));
}

/* Does the condition equate the right input's column with something of the left one? */
static bool
is_right_key(DynNode *node, int column)
{
	ListCell   *lc;

	foreach(lc, node->right_keys)
		if (IsA(lfirst(lc), Var) && ((Var *) lfirst(lc))->varattno == column)
			return true;
	return false;
}

/*
 * SELECT coalesce(l.k, r.k) … FROM l FULL JOIN r ON l.k = r.k, k being a key
 * of either side and never NULL there: the merged column is a key.
 */
static int
coalesced_key(DynNode *node)
{
	DynNode    *join = dyn_input(node, 1);
	DynNode    *left;
	DynNode    *right;
	ListCell   *lc;

	if (join->kind != DYN_NODE_JOIN || join->join != DYN_JOIN_FULL || list_length(join->left_keys) != 1 ||
		!join->keys_only)
		return 0;
	left = dyn_input(join, 1);
	right = dyn_input(join, 2);
	if (list_length(left->key) != 1 || list_length(right->key) != 1 ||
		!IsA(linitial(join->left_keys), Var) || !IsA(linitial(join->right_keys), Var) ||
		((Var *) linitial(join->left_keys))->varattno != linitial_int(left->key) ||
		((Var *) linitial(join->right_keys))->varattno != linitial_int(right->key) ||
		left->columns[linitial_int(left->key) - 1].nullable ||
		right->columns[linitial_int(right->key) - 1].nullable)
		return 0;
	foreach(lc, node->targets)
	{
		CoalesceExpr *merged = lfirst(lc);
		Var		   *a;
		Var		   *b;

		if (!IsA(merged, CoalesceExpr) || list_length(merged->args) != 2)
			continue;
		a = linitial(merged->args);
		b = lsecond(merged->args);
		if (IsA(a, Var) && IsA(b, Var) &&
			Min(a->varattno, b->varattno) == linitial_int(left->key) &&
			Max(a->varattno, b->varattno) == left->ncolumns + linitial_int(right->key))
			return foreach_current_index(lc) + 1;
	}
	return 0;
}

/* The input's key, and the ordinality of what it yields unless that is one row. */
static void
apply_key(DynNode *node)
{
	DynNode    *input = dyn_input(node, 1);
	RangeTblEntry *rte = linitial_node(RangeTblEntry, node->source->rtable);

	if (!input->has_key)
		return;
	node->key = list_copy(input->key);
	node->has_key = is_one_row(node->source);
	if (!node->has_key && rte->rtekind == RTE_FUNCTION && rte->funcordinality)
	{
		node->has_key = true;
		node->key = lappend_int(node->key, node->ncolumns);
	}
}

/* Does a query yield no more than one row? */
static bool
is_one_row(Query *query)
{
	ListCell   *lc;

	if (query->setOperations || query->hasTargetSRFs || query->groupingSets)
		return false;
	if (query->hasAggs && query->groupClause == NIL)
		return true;
	if (query->limitOption == LIMIT_OPTION_COUNT && query->limitCount && IsA(query->limitCount, Const) &&
		!castNode(Const, query->limitCount)->constisnull &&
		DatumGetInt64(castNode(Const, query->limitCount)->constvalue) <= 1)
		return true;
	foreach(lc, query->jointree->fromlist)
		if (!item_is_one_row(query, lfirst(lc)))
			return false;
	return true;
}

static bool
item_is_one_row(Query *query, Node *item)
{
	RangeTblEntry *rte;
	ListCell   *lc;

	if (!IsA(item, RangeTblRef))
		return false;
	rte = rt_fetch(castNode(RangeTblRef, item)->rtindex, query->rtable);
	switch (rte->rtekind)
	{
		case RTE_VALUES:
			return list_length(rte->values_lists) == 1;
		case RTE_SUBQUERY:
			return is_one_row(rte->subquery);
		case RTE_FUNCTION:
			foreach(lc, rte->functions)
				if (expression_returns_set(lfirst_node(RangeTblFunction, lc)->funcexpr))
					return false;
			return true;
		default:
			return rte->rtekind == RTE_RESULT;
	}
}

/* Is it one row of each partition at most? */
bool
dyn_top_single(DynNode *node)
{
	return node->rank == DYN_RANK_NUMBER && node->first == node->last;
}

/* A partition has one row, or the row's number tells them apart. */
static void
top_key(DynNode *node)
{
	DynNode    *input = dyn_input(node, 1);
	ListCell   *lc;

	node->has_key = dyn_top_single(node);
	if (node->has_key)
		node->key = node->partition;
	foreach(lc, node->functions)
		if (!node->has_key && lfirst_node(WindowFunc, lc)->winfnoid == F_ROW_NUMBER)
		{
			node->has_key = true;
			node->key = lappend_int(list_copy(node->partition),
									input->ncolumns + foreach_current_index(lc) + 1);
		}
	if (!node->has_key)
	{
		node->has_key = input->has_key;
		node->key = input->key;
	}
}

/* Changes when a key of the plan's nodes does. */
uint64
dyn_plan_key_hash(DynPlan *plan)
{
	uint64		hash = 0;
	ListCell   *ln;
	ListCell   *lc;

	foreach(ln, plan->nodes)
	{
		DynNode    *node = lfirst(ln);

		hash = hash_combine64(hash, node->has_key);
		foreach(lc, node->key)
			hash = hash_combine64(hash, lfirst_int(lc));
	}
	return hash ^ (hash >> 32);
}
