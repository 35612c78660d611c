/*
 * dyn_build_branch.c
 *	  Groups whose aggregates do not all read the same rows.
 *
 * count(DISTINCT x) counts the rows of a DISTINCT over the group's key and x,
 * and an aggregate whose FILTER has a condition on now() reads what a moving
 * filter lets through.  The rows of all aggregates of a SELECT are therefore a
 * UNION ALL of branches over the same input:
 *
 *	 key, arguments, true, NULL, NULL		every row (the main branch)
 *	 key, NULL ...,  NULL, x,	 true		distinct (key, x)
 *
 * and each aggregate reads columns that are NULL outside of its branch.  The
 * last column of a branch is its mark: aggregates that do not ignore NULL,
 * count(*) among them, heed the rows that have it.  The rows of a branch are
 * of groups that the main branch has too, so that a group of the union
 * exists when the query's does.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"
#include "query/dyn_make.h"

typedef struct Branch
{
	List	   *distinct;		/* expressions: its rows are the distinct ones of key and these */
	Node	   *filter;			/* its rows are those for which this is true */
	int			start;			/* of its columns in the union, from 0 */
	List	   *exprs;			/* its columns, over the branches' input */
} Branch;

static Branch branch_of(Aggref *ref);
static List *distinct_values(Aggref *ref);
static bool counts_distinct(Aggref *ref);
static List *find_branches(List *refs);
static bool same_branch(const Branch *a, const Branch *b);
static Aggref *within_branch(Aggref *ref);
static DynNode *union_of_branches(DynContext *ctx, List *inputs, List *keys, List *refs,
								  List *branches, List **aggs);
static DynNode *branch_rows(DynContext *ctx, Branch *branch, List *inputs, List *keys, List *columns);

bool
dyn_needs_branches(List *refs)
{
	return find_branches(refs) != NIL;
}

/*
 * dyn_build_groups makes the AGGREGATE of the inputs' rows by keys: its
 * columns are keys, then refs.  Where branches are needed the input is one,
 * shared and without conditions.
 */
DynNode *
dyn_build_groups(DynContext *ctx, List *inputs, List *quals, List *keys, List *refs)
{
	List	   *branches = find_branches(refs);
	List	   *aggs = NIL;
	DynNode    *input;
	DynNode    *node;
	ListCell   *lr;
	ListCell   *la;

	if (branches == NIL)
	{
		List	   *targets = list_copy(keys);

		foreach(lr, refs)
			aggs = lappend(aggs, dyn_build_agg(lfirst(lr), &targets, false));
		input = dyn_make_select(ctx, inputs, quals, targets);
	}
	else
		input = union_of_branches(ctx, inputs, keys, refs, branches, &aggs);
	if (input == NULL || (node = dyn_make_groups(ctx, input, list_length(keys))) == NULL)
		return NULL;
	forboth(lr, refs, la, aggs)
	{
		Aggref	   *ref = lfirst_node(Aggref, lr);

		dyn_add_aggregate(node, lfirst(la), (DynColumn) {
			.type = ref->aggtype, .typmod = -1, .collation = ref->aggcollid,
			.nullable = ref->aggfnoid != F_COUNT_ && ref->aggfnoid != F_COUNT_ANY
		});
	}
	return node;
}

/* What an aggregate reads. */
static Branch
branch_of(Aggref *ref)
{
	Branch		branch = {NIL};

	if (counts_distinct(ref))
	{
		branch.distinct = distinct_values(ref);
		branch.filter = (Node *) ref->aggfilter;
	}
	else if (dyn_expr_has_now((Node *) ref->aggfilter))
		branch.filter = (Node *) ref->aggfilter;
	return branch;
}

/* What tells an argument's values apart: of a row its fields, whose types a table can hold. */
static List *
distinct_values(Aggref *ref)
{
	Node	   *arg = (Node *) linitial_node(TargetEntry, ref->args)->expr;
	List	   *values = NIL;
	ListCell   *lc;

	foreach(lc, IsA(arg, RowExpr) ? castNode(RowExpr, arg)->args : list_make1(arg))
		if (!IsA(lfirst(lc), Const))
			values = lappend(values, lfirst(lc));
	return values;
}

/* count, sum or avg of distinct values, told apart by the "=" of their type */
static bool
counts_distinct(Aggref *ref)
{
	Aggref		plain = *ref;
	SortGroupClause *clause;
	Node	   *arg;

	if (ref->aggdistinct == NIL || list_length(ref->args) != 1 || distinct_values(ref) == NIL)
		return false;
	plain.aggdistinct = plain.aggorder = NIL;
	clause = linitial_node(SortGroupClause, ref->aggdistinct);
	arg = (Node *) linitial_node(TargetEntry, ref->args)->expr;
	if (IsA(arg, RowExpr))
		return ref->aggfnoid == F_COUNT_ANY;
	return dyn_agg_kind(&plain) <= DYN_AGG_AVG && exprType(arg) != RECORDOID &&
		clause->eqop == lookup_type_cache(exprType(arg), TYPECACHE_EQ_OPR)->eq_opr;
}

static bool
same_branch(const Branch *a, const Branch *b)
{
	return equal(a->distinct, b->distinct) && equal(a->filter, b->filter);
}

/*
 * The branches that aggregates read, NIL when all read all rows.  A branch of
 * all rows is there in any case, unless the distinct rows of another one,
 * which are of all groups, will do.
 */
static List *
find_branches(List *refs)
{
	List	   *branches = NIL;
	bool		main_read = false;
	bool		main_needed = true;
	ListCell   *lr;
	ListCell   *lb;

	foreach(lr, refs)
	{
		Branch		wanted = branch_of(lfirst_node(Aggref, lr));
		bool		found = false;

		if (wanted.distinct == NIL && wanted.filter == NULL)
		{
			main_read = true;
			continue;
		}
		main_needed &= wanted.filter != NULL;
		foreach(lb, branches)
			found |= same_branch(lfirst(lb), &wanted);
		if (!found)
		{
			Branch	   *branch = palloc(sizeof(Branch));

			*branch = wanted;
			branches = lappend(branches, branch);
		}
	}
	if (branches != NIL && (main_read || main_needed))
		branches = lcons(palloc0(sizeof(Branch)), branches);
	return branches;
}

static DynNode *
union_of_branches(DynContext *ctx, List *inputs, List *keys, List *refs,
				  List *branches, List **aggs)
{
	List	   *columns = list_copy(keys);
	List	   *targets = NIL;
	List	   *rows = NIL;
	DynAgg	  **built = palloc0(sizeof(DynAgg *) * list_length(refs));
	DynNode    *node;
	ListCell   *lb;
	ListCell   *lc;

	foreach(lb, branches)
	{
		Branch	   *branch = lfirst(lb);

		/* columns of the key and of other branches are not this one's */
		targets = NIL;
		foreach(lc, columns)
			targets = lappend(targets, NULL);
		branch->start = list_length(columns);
		foreach(lc, refs)
		{
			Branch		wanted = branch_of(lfirst_node(Aggref, lc));

			if (same_branch(branch, &wanted))
				built[foreach_current_index(lc)] = dyn_build_agg(within_branch(lfirst(lc)), &targets, true);
		}
		branch->exprs = list_copy_tail(targets, branch->start);
		columns = list_concat(columns, branch->exprs);
	}
	for (int i = 0; i < list_length(refs); i++)
		*aggs = lappend(*aggs, built[i]);
	foreach(lb, branches)
		rows = lappend(rows, branch_rows(ctx, lfirst(lb), inputs, keys, columns));
	if (ctx->refusal->code)
		return NULL;
	if (list_length(rows) == 1)
		return linitial(rows);
	node = dyn_make_union(rows);
	dyn_columns_like(node, columns);
	return node;
}

/* The aggregate as it reads the rows of its branch. */
static Aggref *
within_branch(Aggref *ref)
{
	bool		distinct = counts_distinct(ref);

	if (!distinct && !dyn_expr_has_now((Node *) ref->aggfilter))
		return ref;
	ref = copyObject(ref);
	ref->aggfilter = NULL;
	if (distinct)
	{
		/* a row is never NULL as a whole */
		if (IsA(linitial_node(TargetEntry, ref->args)->expr, RowExpr))
			ref->args = NIL;
		ref->aggdistinct = ref->aggorder = NIL;
	}
	return ref;
}

/* The rows of a branch with all columns of the union. */
static DynNode *
branch_rows(DynContext *ctx, Branch *branch, List *inputs, List *keys, List *columns)
{
	List	   *quals = dyn_expr_conjuncts(branch->filter);
	List	   *targets = NIL;
	DynNode    *node = NULL;
	ListCell   *lc;

	foreach(lc, columns)
	{
		int			i = foreach_current_index(lc);
		bool		own = i < list_length(keys) ||
			(i >= branch->start && i < branch->start + list_length(branch->exprs));

		targets = lappend(targets, own ? copyObject(lfirst(lc)) : dyn_make_null_of(lfirst(lc)));
	}
	if (branch->distinct)
	{
		DynExprColumns distinct = {.exprs = list_concat_copy(keys, branch->distinct)};

		node = dyn_build_distinct(ctx, dyn_make_select(ctx, inputs, copyObject(quals),
													   copyObject(distinct.exprs)));
		if (node == NULL)
			return NULL;
		targets = (List *) dyn_as_columns((Node *) targets, &distinct);
		return dyn_make_select(ctx, list_make1(node), NIL, targets);
	}
	return dyn_make_select(ctx, inputs, copyObject(quals), targets);
}
