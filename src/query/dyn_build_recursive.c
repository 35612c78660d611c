/*
 * dyn_build_recursive.c
 *	  WITH RECURSIVE.
 *
 * R = seed + step(R) becomes a RECURSIVE node with R as its state.  It is built
 * in one of two ways.
 *
 * From a seed and a step, where the step is made of operators that are linear
 * in the recursive query's own rows (the server sees to it that these are read
 * at one place): its delta is then found round by round (dyn_recursive.c).  In
 * the step the query itself is a WORKING node.
 *
 * As a whole, where the step does anything else with its own rows (groups,
 * windows, LIMIT, a join with themselves by way of another WITH query), or
 * they have a column that no table can store, as those of SEARCH and CYCLE: the
 * query is computed anew when what it reads has changed.  What is above it is
 * incremental in either case.
 */
#include <postgres.h>

#include <catalog/pg_class.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>

#include "query/dyn_build.h"

/* What a recursive query reads, itself and by way of WITH queries beside it. */
typedef struct Reading
{
	List	   *siblings;		/* of CommonTableExpr *: the list that it is in ... */
	List	   *ctes;			/* ... and those of them that it needs, itself first */
	List	   *relations;		/* of RangeTblEntry * */
	bool		beyond;			/* something outside of that list */
	int			depth;			/* queries entered since the list */
} Reading;

static DynNode *build_by_rounds(DynLevel *owner, CommonTableExpr *cte, DynNode **slot);
static bool mark_loop(DynNode *recursion, DynNode *node, bool *depends);
static bool linear_in(DynNode *node, int input);
static DynNode *build_whole(DynLevel *owner, CommonTableExpr *cte);
static bool reading_walker(Node *node, void *context);
static Query *whole_query(CommonTableExpr *cte, List *ctes, DynNode *node);
static DynNode *node_of(DynNodeKind kind, CommonTableExpr *cte);
static bool is_stored(Oid type);
static bool is_written_at(DynNode *node);
static List *columns_used(Query *query, int rti);

DynNode *
dyn_build_recursive(DynLevel *owner, CommonTableExpr *cte, DynNode **slot)
{
	DynContext *ctx = owner->ctx;
	DynNode    *node;

	if (cte->ctecoltypes == NIL)
		return dyn_refuse(ctx, "SET_OPERATION", "WITH RECURSIVE \"%s\" has no columns", cte->ctename);
	node = build_by_rounds(owner, cte, slot);
	*slot = NULL;
	if (node)
		return node;
	ctx->refusal->code = NULL;
	ctx->refusal->reason = NULL;
	return build_whole(owner, cte);
}

/* ------------------------------------------------------------------------
 * Seed and step
 * ------------------------------------------------------------------------
 */

/* NULL, perhaps with a refusal, where it has to be computed as a whole. */
static DynNode *
build_by_rounds(DynLevel *owner, CommonTableExpr *cte, DynNode **slot)
{
	Query	   *query = castNode(Query, cte->ctequery);
	DynNode    *node = node_of(DYN_NODE_RECURSIVE, cte);
	DynLevel	level = {0};
	SetOperationStmt *setop;
	DynNode    *seed;
	DynNode    *step;
	bool		depends;

	if (node->unstored != NIL || dyn_vars_outer((Node *) query) != NIL ||
		!dyn_open_level(&level, owner->ctx, query, owner, 0))
		return NULL;
	setop = castNode(SetOperationStmt, query->setOperations);
	node->distinct = !setop->all;
	node->working = node_of(DYN_NODE_WORKING, cte);
	node->working->recursion = node;
	seed = dyn_build_setop_side(&level, setop, setop->larg);
	if (seed == NULL)
		return NULL;
	*slot = node->working;
	step = dyn_build_setop_side(&level, setop, setop->rarg);
	if (step == NULL || step == node->working || !mark_loop(node, step, &depends))
		return NULL;

	/* what is written when would have to be asked of every round */
	if (is_written_at(seed) || is_written_at(step))
		return NULL;
	Assert(depends);
	node->inputs = list_make2(seed, step);
	return node;
}

/*
 * Find the nodes that depend on the working rows, inputs first; false where
 * one of them is not linear in these, or is reached twice.
 */
static bool
mark_loop(DynNode *recursion, DynNode *node, bool *depends)
{
	int			dependent = 0;
	ListCell   *lc;

	*depends = node == recursion->working;
	if (node->recursion == recursion && list_member_ptr(recursion->loop, node))
		return false;
	foreach(lc, node->inputs)
	{
		bool		input_depends;

		if (!mark_loop(recursion, lfirst(lc), &input_depends))
			return false;
		if (input_depends)
			dependent = foreach_current_index(lc) + 1;
	}
	if (dependent > 0)
	{
		*depends = true;
		if (!linear_in(node, dependent))
			return false;
	}
	if (*depends)
	{
		node->recursion = recursion;
		recursion->loop = lappend(recursion->loop, node);
	}
	return true;
}

static bool
linear_in(DynNode *node, int input)
{
	switch (node->kind)
	{
		case DYN_NODE_SELECT:
		case DYN_NODE_UNION:
		case DYN_NODE_MOVING:
		case DYN_NODE_APPLY:
			return true;
		case DYN_NODE_JOIN:
			return input == 1 && node->join != DYN_JOIN_FULL;
		default:
			return false;
	}
}

/* ------------------------------------------------------------------------
 * As a whole
 * ------------------------------------------------------------------------
 */
static DynNode *
build_whole(DynLevel *owner, CommonTableExpr *cte)
{
	DynNode    *node = node_of(DYN_NODE_RECURSIVE, cte);
	Reading		reading = {.siblings = owner->query->cteList, .ctes = list_make1(cte)};
	List	   *ctes = NIL;
	ListCell   *lc;

	/* the list grows as queries are found that the ones before read */
	for (int i = 0; i < list_length(reading.ctes); i++)
		(void) reading_walker(list_nth_node(CommonTableExpr, reading.ctes, i)->ctequery, &reading);
	if (reading.beyond)
		return dyn_refuse(owner->ctx, "RECURSIVE",
						  "WITH RECURSIVE \"%s\" refers to what is outside of the subquery it stands in",
						  cte->ctename);
	foreach(lc, reading.relations)
	{
		DynNode    *scan = dyn_build_scan(owner, lfirst(lc));

		if (scan == NULL)
			return NULL;
		node->inputs = list_append_unique_ptr(node->inputs, scan);
	}
	/* in the order in which they stand: the server plans one after those that it reads */
	foreach(lc, reading.siblings)
		if (list_member_ptr(reading.ctes, lfirst(lc)))
			ctes = lappend(ctes, lfirst(lc));
	node->whole = whole_query(cte, ctes, node);
	return node;
}

static bool
reading_walker(Node *node, void *context)
{
	Reading    *reading = context;
	ListCell   *lc;
	ListCell   *ls;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		reading->beyond |= ((Var *) node)->varlevelsup >= reading->depth;
		return false;
	}
	if (!IsA(node, Query))
		return expression_tree_walker(node, reading_walker, context);
	reading->depth++;
	foreach(lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW)
			reading->relations = lappend(reading->relations, rte);
		if (rte->rtekind != RTE_CTE || rte->ctelevelsup < reading->depth)
			continue;
		reading->beyond |= rte->ctelevelsup > reading->depth;
		foreach(ls, reading->siblings)
			if (rte->ctelevelsup == reading->depth &&
				strcmp(lfirst_node(CommonTableExpr, ls)->ctename, rte->ctename) == 0)
				reading->ctes = list_append_unique_ptr(reading->ctes, lfirst(ls));
	}
	(void) query_tree_walker((Query *) node, reading_walker, context, QTW_IGNORE_JOINALIASES);
	reading->depth--;
	return false;
}

/* WITH RECURSIVE … SELECT its columns, NULL for those that are not stored. */
static Query *
whole_query(CommonTableExpr *cte, List *ctes, DynNode *node)
{
	Query	   *query = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	FromExpr   *from = makeNode(FromExpr);

	rte->rtekind = RTE_CTE;
	rte->ctename = cte->ctename;
	rte->coltypes = cte->ctecoltypes;
	rte->coltypmods = cte->ctecoltypmods;
	rte->colcollations = cte->ctecolcollations;
	rte->eref = makeAlias(cte->ctename, copyObject(cte->ctecolnames));
	rte->inFromCl = true;
	ref->rtindex = 1;
	from->fromlist = list_make1(ref);
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->hasRecursive = true;
	query->cteList = ctes;
	query->rtable = list_make1(rte);
	query->jointree = from;
	for (int i = 1; i <= node->ncolumns; i++)
	{
		DynColumn  *column = &node->columns[i - 1];
		Node	   *expr = list_member_int(node->unstored, i) ?
			(Node *) makeNullConst(column->type, column->typmod, column->collation) :
			(Node *) makeVar(1, i, column->type, column->typmod, column->collation, 0);

		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *) expr, i, psprintf("c%d", i), false));
	}
	return copyObject(query);
}

/* ------------------------------------------------------------------------
 * Columns
 * ------------------------------------------------------------------------
 */

/* A node with the columns of a WITH query; a NULL boolean for one that is not stored. */
static DynNode *
node_of(DynNodeKind kind, CommonTableExpr *cte)
{
	DynNode    *node = dyn_node_new(kind, list_length(cte->ctecoltypes));

	for (int i = 0; i < node->ncolumns; i++)
	{
		node->columns[i] = (DynColumn) {
			.type = list_nth_oid(cte->ctecoltypes, i),
			.typmod = list_nth_int(cte->ctecoltypmods, i),
			.collation = list_nth_oid(cte->ctecolcollations, i),
			.nullable = true,
		};
		if (!is_stored(node->columns[i].type))
		{
			node->columns[i].type = BOOLOID;
			node->columns[i].typmod = -1;
			node->columns[i].collation = InvalidOid;
			node->unstored = lappend_int(node->unstored, i + 1);
		}
	}
	return node;
}

static bool
is_stored(Oid type)
{
	return get_typtype(type) != TYPTYPE_PSEUDO;
}

static bool
is_written_at(DynNode *node)
{
	for (int i = 0; i < node->ncolumns; i++)
		if (node->columns[i].written_at)
			return true;
	return false;
}

/*
 * Refuse what reads a column that is not stored.  Sorting by it decides
 * nothing about the rows of a query without LIMIT.
 */
bool
dyn_check_stored(DynLevel *level, int rti, DynNode *node)
{
	ListCell   *lc;

	if (node == NULL || node->kind != DYN_NODE_RECURSIVE)
		return node != NULL;
	foreach(lc, columns_used(level->query, rti))
		if (list_member_int(node->unstored, lfirst_int(lc)))
		{
			dyn_refuse(level->ctx, "RECURSIVE_PATH",
					   "the path or the order that SEARCH or CYCLE gives \"%s\" is used outside of it",
					   rt_fetch(rti, level->query->rtable)->ctename);
			return false;
		}
	return true;
}

/* The columns of a range-table entry that its level of query uses, but for sorting. */
static List *
columns_used(Query *query, int rti)
{
	bool		sorted_only = query->limitCount == NULL && query->limitOffset == NULL &&
		!query->hasDistinctOn && query->groupClause == NIL && query->windowClause == NIL;
	List	   *exprs = list_make2(query->jointree, query->havingQual);
	List	   *vars;
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk || !sorted_only)
			exprs = lappend(exprs, lfirst(lc));
	vars = pull_vars_of_level((Node *) exprs, 0);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_SUBQUERY)
			vars = list_concat(vars, pull_vars_of_level((Node *) rte->subquery, 1));
		vars = list_concat(vars, pull_vars_of_level((Node *) rte->functions, 0));
		vars = list_concat(vars, pull_vars_of_level((Node *) rte->values_lists, 0));
		vars = list_concat(vars, pull_vars_of_level((Node *) rte->tablefunc, 0));
	}
	foreach(lc, vars)
		if (lfirst_node(Var, lc)->varno == rti)
			columns = list_append_unique_int(columns, lfirst_node(Var, lc)->varattno);
	return columns;
}
