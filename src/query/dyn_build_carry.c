/*
 * dyn_build_carry.c
 *	  Columns that a query carries: it stands once for each of their values.
 *
 * They are the last columns of its select list and, wherever it groups,
 * partitions or removes duplicates, part of what it does that by.  LIMIT counts
 * within them (DynLevel.ncarried).
 */
#include <postgres.h>

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parse_clause.h>
#include <parser/parse_oper.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

static void carry_one(Query *query, Expr *expr);
static List *join_given(Query *query, int given, List *outer, Index depth);
static bool strict_in(Node *expr, Var *var);
static void place_given(Query *query, int rti);
static bool names_in_condition(Node *item, int rti);
static JoinExpr *inner_join(Node *left, Node *right);
static void carry_in_arms(Query *query, int given, List *outer, Index depth);
static void extend_setop(SetOperationStmt *setop, Query *query, List *outer, int given, Index depth,
						 int *first);

/*
 * The rows given (number of DynContext.given) join the query, its Vars of
 * the level outside become columns of them, and are carried.  Returns the
 * numbers (from 0) of those in outer that no row comes of where they are NULL.
 */
List *
dyn_carry_given(Query *query, int given, List *outer)
{
	if (query->setOperations == NULL)
		return join_given(query, given, outer, 1);
	carry_in_arms(query, given, outer, 1);
	return NIL;
}

void
dyn_carry(Query *query, List *exprs)
{
	ListCell   *lc;

	foreach(lc, exprs)
		carry_one(query, copyObject(lfirst(lc)));
}

SortGroupClause *
dyn_group_clause(TargetEntry *entry, List *tlist)
{
	SortGroupClause *clause = makeNode(SortGroupClause);

	clause->tleSortGroupRef = assignSortGroupRef(entry, tlist);
	get_sort_group_operators(exprType((Node *) entry->expr), false, true, false,
							 &clause->sortop, &clause->eqop, NULL, &clause->hashable);
	return clause;
}

static void
carry_one(Query *query, Expr *expr)
{
	TargetEntry *entry = makeTargetEntry(expr, list_length(query->targetList) + 1, NULL, false);
	SortGroupClause *clause;
	bool		grouped = query->hasAggs || query->groupClause || query->groupingSets || query->havingQual;
	ListCell   *lc;

	query->targetList = lappend(query->targetList, entry);
	if (!grouped && query->windowClause == NIL && query->distinctClause == NIL)
		return;
	clause = dyn_group_clause(entry, query->targetList);
	if (grouped)
		query->groupClause = lappend(query->groupClause, clause);

	/* sets multiply: one more for all of them */
	if (query->groupingSets)
		query->groupingSets = lappend(query->groupingSets,
									  makeGroupingSet(GROUPING_SET_SIMPLE,
													  list_make1_int(clause->tleSortGroupRef), -1));
	foreach(lc, query->windowClause)
		lfirst_node(WindowClause, lc)->partitionClause =
			lappend(lfirst_node(WindowClause, lc)->partitionClause, copyObject(clause));
	if (query->distinctClause)
		query->distinctClause = lappend(query->distinctClause, clause);
}

typedef struct Given
{
	List	   *outer;			/* of Var, as seen from the level that joins the values */
	int			rti;			/* ... as a range-table entry of which */
} Given;

static Node *
given_var(Var *var, void *arg)
{
	Given	   *given = arg;
	ListCell   *lc;

	foreach(lc, given->outer)
	{
		Var		   *other = lfirst_node(Var, lc);

		if (var->varno == other->varno && var->varattno == other->varattno &&
			var->varlevelsup == other->varlevelsup)
			return (Node *) makeVar(given->rti, foreach_current_index(lc) + 1, var->vartype,
									var->vartypmod, var->varcollid, 0);
	}
	return (Node *) var;
}

/* The values from outside, which stand that many levels up, join FROM and are carried; those that a NULL keeps from any row. */
static List *
join_given(Query *query, int given, List *outer, Index depth)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Given		mapping = {NIL, list_length(query->rtable) + 1};
	List	   *vars = NIL;
	List	   *strict = NIL;
	Query	   *mapped;
	ListCell   *lc;

	rte->rtekind = RTE_NAMEDTUPLESTORE;
	rte->enrname = psprintf("%d", given);
	rte->eref = makeAlias("given", NIL);
	rte->inFromCl = true;
	foreach(lc, outer)
	{
		Var		   *var = copyObject(lfirst_node(Var, lc));

		rte->eref->colnames = lappend(rte->eref->colnames,
									  makeString(psprintf("v%d", foreach_current_index(lc) + 1)));
		rte->coltypes = lappend_oid(rte->coltypes, var->vartype);
		rte->coltypmods = lappend_int(rte->coltypmods, var->vartypmod);
		rte->colcollations = lappend_oid(rte->colcollations, var->varcollid);
		vars = lappend(vars, makeVar(mapping.rti, foreach_current_index(lc) + 1, var->vartype,
									 var->vartypmod, var->varcollid, 0));
		var->varlevelsup = depth;
		mapping.outer = lappend(mapping.outer, var);
	}
	mapped = (Query *) dyn_vars_map_outer((Node *) query, given_var, &mapping);
	*query = *mapped;
	query->rtable = lappend(query->rtable, rte);
	place_given(query, mapping.rti);

	/* subqueries and functions in FROM now depend on it */
	foreach(lc, query->rtable)
	{
		RangeTblEntry *other = lfirst_node(RangeTblEntry, lc);

		if (other->rtekind == RTE_SUBQUERY && dyn_vars_outer((Node *) other->subquery) != NIL)
			other->lateral = true;
		else if (other->rtekind != RTE_RELATION && other->rtekind != RTE_JOIN &&
				 (dyn_vars_of((Node *) other->functions) != NIL ||
				  dyn_vars_of((Node *) other->values_lists) != NIL ||
				  dyn_vars_of((Node *) other->tablefunc) != NIL))
			other->lateral = true;
	}
	foreach(lc, vars)
		if (dyn_strict_in_any(dyn_expr_conjuncts(query->jointree->quals), lfirst(lc)))
			strict = lappend_int(strict, foreach_current_index(lc));
	dyn_carry(query, vars);
	return strict;
}

/* Is the expression NULL wherever the Var is? */
static bool
strict_in(Node *expr, Var *var)
{
	List	   *args = NIL;

	if (equal(expr, var))
		return true;
	if (IsA(expr, RelabelType))
		return strict_in((Node *) castNode(RelabelType, expr)->arg, var);
	if (IsA(expr, OpExpr) && op_strict(castNode(OpExpr, expr)->opno))
		args = castNode(OpExpr, expr)->args;
	else if (IsA(expr, FuncExpr) && func_strict(castNode(FuncExpr, expr)->funcid))
		args = castNode(FuncExpr, expr)->args;
	return dyn_strict_in_any(args, var);
}

bool
dyn_strict_in_any(List *exprs, Var *var)
{
	ListCell   *lc;

	foreach(lc, exprs)
		if (strict_in(lfirst(lc), var))
			return true;
	return false;
}

/*
 * Into FROM, as its first item.  Where the condition of an outer join names
 * the values, they join the side of which all rows stay.
 */
static void
place_given(Query *query, int rti)
{
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell   *lc;

	ref->rtindex = rti;
	foreach(lc, query->jointree->fromlist)
	{
		Node	  **item = (Node **) &lfirst(lc);

		if (!names_in_condition(*item, rti))
			continue;
		while (IsA(*item, JoinExpr) && names_in_condition(*item, rti))
			item = castNode(JoinExpr, *item)->jointype == JOIN_RIGHT ?
				&castNode(JoinExpr, *item)->rarg : &castNode(JoinExpr, *item)->larg;
		*item = (Node *) inner_join((Node *) ref, *item);
		return;
	}
	query->jointree->fromlist = lcons(ref, query->jointree->fromlist);
}

/* Does a condition of this join, or of one below it, name a column of the relation? */
static bool
names_in_condition(Node *item, int rti)
{
	JoinExpr   *join = (JoinExpr *) item;

	return IsA(item, JoinExpr) &&
		(bms_is_member(rti, dyn_expr_relations(join->quals)) ||
		 names_in_condition(join->larg, rti) || names_in_condition(join->rarg, rti));
}

static JoinExpr *
inner_join(Node *left, Node *right)
{
	JoinExpr   *join = makeNode(JoinExpr);

	join->jointype = JOIN_INNER;
	join->larg = left;
	join->rarg = right;
	return join;
}

/* Each arm of a set operation joins the values and carries them. */
static void
carry_in_arms(Query *query, int given, List *outer, Index depth)
{
	int			first = -1;
	int			nvisible = dyn_visible_columns(query);
	ListCell   *lc;

	extend_setop((SetOperationStmt *) query->setOperations, query, outer, given, depth, &first);
	foreach(lc, outer)
	{
		Var		   *var = lfirst_node(Var, lc);

		carry_one(query, (Expr *) makeVar(first, nvisible + foreach_current_index(lc) + 1,
										  var->vartype, var->vartypmod, var->varcollid, 0));
	}
}

static void
extend_setop(SetOperationStmt *setop, Query *query, List *outer, int given, Index depth,
			 int *first)
{
	Node	   *arms[] = {setop->larg, setop->rarg};
	ListCell   *lc;

	foreach(lc, outer)
	{
		Var		   *var = lfirst_node(Var, lc);
		SortGroupClause *clause = makeNode(SortGroupClause);

		setop->colTypes = lappend_oid(setop->colTypes, var->vartype);
		setop->colTypmods = lappend_int(setop->colTypmods, var->vartypmod);
		setop->colCollations = lappend_oid(setop->colCollations, var->varcollid);
		if (setop->groupClauses == NIL)
			continue;
		get_sort_group_operators(var->vartype, false, true, false,
								 &clause->sortop, &clause->eqop, NULL, &clause->hashable);
		setop->groupClauses = lappend(setop->groupClauses, clause);
	}
	for (int i = 0; i < lengthof(arms); i++)
	{
		RangeTblEntry *rte;

		if (IsA(arms[i], SetOperationStmt))
		{
			extend_setop((SetOperationStmt *) arms[i], query, outer, given, depth, first);
			continue;
		}
		if (*first < 0)
			*first = castNode(RangeTblRef, arms[i])->rtindex;
		rte = rt_fetch(castNode(RangeTblRef, arms[i])->rtindex, query->rtable);

		/* its one row is there for values that have no rows, which a group would not be; and a LIMIT counts within the values */
		if (dyn_query_scalar(rte->subquery) || rte->subquery->limitCount || rte->subquery->limitOffset)
			rte->subquery = dyn_query_wrap(rte->subquery);
		if (rte->subquery->setOperations)
			carry_in_arms(rte->subquery, given, outer, depth + 1);
		else
			(void) join_given(rte->subquery, given, outer, depth + 1);
	}
}
