/*
 * dyn_sql_order.c
 *	  In which order the inputs of an inner join are joined, step by step.
 *
 * It begins with the largest input and follows equalities, first those that
 * find at most one row.  So a delta on its way through the steps hardly
 * becomes larger.  Of the inputs that could be next the one comes first that
 * takes away most rows for what looking them up costs, by conditions on itself
 * or on what hangs on it, which then has to be looked up as well.
 */
#include <postgres.h>

#include <math.h>

#include <access/htup_details.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <catalog/pg_statistic.h>
#include <utils/syscache.h>

#include "query/dyn_expr.h"
#include "query/dyn_sql_internal.h"
#include "query/dyn_vars.h"

/* Rows of a table without statistics. */
#define UNKNOWN_ROWS 1000.0

/* The shares of rows that conditions leave of which there are no statistics. */
#define SHARE_OF_EQUALITY 0.05
#define SHARE_OF_OTHERS 0.33

static int	next_input(DynNode *node, Bitmapset *joined);
static double share_behind(DynNode *node, Bitmapset *joined, int input, double *cost);
static double share_of(DynNode *node, int input);
static double share_of_condition(DynNode *node, Node *qual);
static int	closeness(DynNode *node, Bitmapset *joined, int input);
static double relation_rows(Oid relid);
static double input_rows(DynNode *node);

/* The numbers of a SELECT's inputs, in that order. */
List *
dyn_sql_join_order(DynNode *node)
{
	List	   *order = NIL;
	Bitmapset  *joined = NULL;

	for (int n = list_length(node->inputs); n > 0; n--)
	{
		int			input = next_input(node, joined);

		order = lappend_int(order, input);
		joined = bms_add_member(joined, input);
	}
	return order;
}

bool
dyn_sql_join_at_most_one(DynNode *node, Bitmapset *joined, int input)
{
	return closeness(node, joined, input) == 2;
}

/* Of the inputs not joined yet the closest, of these the one that gains most, of these the largest. */
static int
next_input(DynNode *node, Bitmapset *joined)
{
	int			best = 0;
	int			best_closeness = -1;
	double		best_gain = 0;
	double		best_rows = -1;

	for (int i = 1; i <= list_length(node->inputs); i++)
	{
		int			close;
		double		rows;
		double		gain = 0;

		if (bms_is_member(i, joined))
			continue;
		close = closeness(node, joined, i);
		if (close < best_closeness)
			continue;
		rows = input_rows(dyn_input(node, i));
		if (close == 2)
		{
			double		cost = 0;
			double		share = share_behind(node, joined, i, &cost);

			gain = (1 - share) / cost;
		}
		if (close > best_closeness || gain > best_gain || (gain == best_gain && rows > best_rows))
		{
			best = i;
			best_closeness = close;
			best_gain = gain;
			best_rows = rows;
		}
	}
	return best;
}

/*
 * Which share of the rows joined so far is left when an input is joined that
 * has at most one row for each, and with it all that has at most one for that.
 * What looking these up costs is added to *cost.
 */
static double
share_behind(DynNode *node, Bitmapset *joined, int input, double *cost)
{
	double		share = share_of(node, input);
	Bitmapset  *with = bms_add_member(bms_copy(joined), input);

	*cost += log2(input_rows(dyn_input(node, input)) + 2);

	for (int i = 1; i <= list_length(node->inputs); i++)
		if (!bms_is_member(i, with) && closeness(node, with, i) == 2 && closeness(node, joined, i) < 2)
		{
			double		behind = 0;
			double		its_share = share_behind(node, with, i, &behind);

			/* for nothing but its conditions */
			if (its_share < 1)
			{
				share *= its_share;
				*cost += behind;
			}
		}
	return share;
}

/* Which share of its rows an input's own conditions leave, about. */
static double
share_of(DynNode *node, int input)
{
	double		share = 1;
	ListCell   *lc;

	foreach(lc, node->quals)
	{
		int			only;

		if (bms_get_singleton_member(dyn_expr_relations(lfirst(lc)), &only) && only == input)
			share *= share_of_condition(dyn_input(node, input), lfirst(lc));
	}
	return share;
}

/* A column equal to a constant: as its number of values says.  Of all else nothing is known. */
static double
share_of_condition(DynNode *node, Node *qual)
{
	OpExpr	   *op = dyn_expr_equality(qual);
	HeapTuple	tuple;
	double		values = 0;

	for (int i = 0; op && i < 2; i++)
	{
		Var		   *column = dyn_expr_column(list_nth(op->args, i));

		if (column == NULL || !bms_is_empty(dyn_expr_relations(list_nth(op->args, 1 - i))))
			continue;
		if (node->kind != DYN_NODE_SCAN)
			return SHARE_OF_EQUALITY;
		tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(node->relid),
								Int16GetDatum(list_nth_int(node->attnums, column->varattno - 1)),
								BoolGetDatum(node->inherits && has_subclass(node->relid)));
		if (!HeapTupleIsValid(tuple))
			return SHARE_OF_EQUALITY;
		values = ((Form_pg_statistic) GETSTRUCT(tuple))->stadistinct;
		ReleaseSysCache(tuple);
		return 1 / Max(values < 0 ? -values * relation_rows(node->relid) : values, 1);
	}
	return SHARE_OF_OTHERS;
}

/*
 * How an input hangs together with those joined already: 0 not at all, 1 by an
 * equality, 2 by equalities that find at most one row of it.
 */
static int
closeness(DynNode *node, Bitmapset *joined, int input)
{
	List	   *found = NIL;	/* its columns that are compared as they are */
	bool		any = false;
	ListCell   *lc;

	foreach(lc, node->quals)
	{
		OpExpr	   *op = dyn_expr_equality(lfirst(lc));

		if (op == NULL)
			continue;
		for (int side = 0; side < 2; side++)
		{
			Node	   *mine = list_nth(op->args, side);
			Relids		mine_reads = dyn_expr_relations(mine);
			Relids		other_reads = dyn_expr_relations(list_nth(op->args, 1 - side));

			if (!bms_equal(mine_reads, bms_make_singleton(input)) ||
				bms_is_empty(other_reads) || !bms_is_subset(other_reads, joined))
				continue;
			any = true;
			if (dyn_expr_column(mine))
				found = lappend_int(found, dyn_expr_column(mine)->varattno);
		}
	}
	if (any && dyn_input(node, input)->has_key &&
		list_difference_int(dyn_input(node, input)->key, found) == NIL)
		return 2;
	return any ? 1 : 0;
}

/* About how many rows a relation has. */
static double
relation_rows(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows = 0;

	if (HeapTupleIsValid(tuple))
	{
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	return rows > 0 ? rows : UNKNOWN_ROWS;
}

static double
largest_relation(DynNode *node, List **seen)
{
	double		rows = 0;
	ListCell   *lc;

	/* of what has several parents there may be as many ways down as 2 to the depth */
	if (list_member_ptr(*seen, node))
		return 0;
	*seen = lappend(*seen, node);
	if (node->kind == DYN_NODE_SCAN)
		return relation_rows(node->relid);
	foreach(lc, node->inputs)
		rows = Max(rows, largest_relation(lfirst(lc), seen));
	return rows;
}

/* About how many rows an input has: as many as the largest table behind it. */
static double
input_rows(DynNode *node)
{
	List	   *seen = NIL;

	return largest_relation(node, &seen);
}
