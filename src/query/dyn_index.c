/*
 * dyn_index.c
 *	  The indexes worth having for a plan, and what they would save.
 *
 * Where no index serves a lookup the refresh still works, but reads the table.
 * An index is worth having where that costs several times what it costs to
 * find the rows of one change, by the planner's measures and statistics:
 * neither for a table of a few blocks nor for a column of few values.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <catalog/pg_statistic.h>
#include <optimizer/optimizer.h>
#include <optimizer/plancat.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/relcache.h>
#include <utils/syscache.h>

#include "query/dyn_advice.h"

/* An index is worth having that makes a lookup so many times cheaper. */
#define WORTH_TIMES		4

/* How many rows a column's value has, where there are no statistics. */
#define DEFAULT_ROWS_PER_VALUE 10

/* An index on some of the columns does where it leaves no more rows than this for each that is sought. */
#define FEW_ROWS		16

typedef struct Missing
{
	Oid			relid;
	List	   *attnums;
	double		rows;			/* of the relation */
	List	   *when;			/* of String */
} Missing;

static List *lookup_attnums(const DynLookup *lookup);
static bool is_served(Oid relid, List *attnums, double rows);
static List *usable_prefix(Relation index, List *attnums);
static bool is_worth(Oid relid, List *attnums, double *rows);
static void relation_size(Oid relid, double *blocks, double *rows);
static double rows_per_value(Oid relid, List *attnums, double rows);
static void add_missing(List **all, Missing *missing);
static char *command(const Missing *missing);

List *
dyn_plan_missing_indexes(DynPlan *plan)
{
	List	   *all = NIL;
	List	   *commands = NIL;
	ListCell   *lc;

	foreach(lc, dyn_plan_lookups(plan))
	{
		DynLookup  *lookup = lfirst(lc);
		Missing    *missing;

		if (lookup->node->kind != DYN_NODE_SCAN)
			continue;
		missing = palloc0(sizeof(Missing));
		missing->relid = lookup->node->relid;
		missing->attnums = lookup_attnums(lookup);
		missing->when = list_make1(makeString(lookup->when));
		if (is_worth(missing->relid, missing->attnums, &missing->rows) &&
			!is_served(missing->relid, missing->attnums, missing->rows))
			add_missing(&all, missing);
	}
	foreach(lc, all)
		commands = lappend(commands, command(lfirst(lc)));
	return commands;
}

/* One index for lookups by the same columns, and for a lookup by one of several that come first in it. */
static void
add_missing(List **all, Missing *missing)
{
	ListCell   *lc;

	foreach(lc, *all)
	{
		Missing    *other = lfirst(lc);
		bool		more = list_length(missing->attnums) > list_length(other->attnums);
		List	   *few = more ? other->attnums : missing->attnums;
		List	   *many = more ? missing->attnums : other->attnums;

		if (other->relid != missing->relid || list_difference_int(few, many) != NIL ||
			(list_length(few) > 1 && list_length(few) < list_length(many)))
			continue;
		other->attnums = list_concat_unique_int(list_copy(few), many);
		other->when = list_union(other->when, missing->when);
		return;
	}
	*all = lappend(*all, missing);
}

static char *
command(const Missing *missing)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE INDEX ON %s (",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(missing->relid)),
												get_rel_name(missing->relid)));
	foreach(lc, missing->attnums)
		appendStringInfo(&buf, "%s%s", foreach_current_index(lc) ? ", " : "",
						 quote_identifier(get_attname(missing->relid, lfirst_int(lc), false)));
	appendStringInfo(&buf, "); -- saves reading %.0f rows at each refresh", missing->rows);
	foreach(lc, missing->when)
		appendStringInfo(&buf, "%s%s", foreach_current_index(lc) ? ", or " :
						 *strVal(lfirst(lc)) ? " " : "", strVal(lfirst(lc)));
	return buf.data;
}

static List *
lookup_attnums(const DynLookup *lookup)
{
	List	   *attnums = NIL;
	ListCell   *lc;

	foreach(lc, lookup->columns)
		attnums = list_append_unique_int(attnums, list_nth_int(lookup->node->attnums, lfirst_int(lc) - 1));
	return attnums;
}

/* ------------------------------------------------------------------------
 * Indexes that are there
 * ------------------------------------------------------------------------
 */

/* The first columns of an index, as far as they are among these; NIL: it is of no use for them. */
static List *
usable_prefix(Relation index, List *attnums)
{
	Form_pg_index form = index->rd_index;
	List	   *prefix = NIL;

	if (!form->indisvalid || RelationGetIndexPredicate(index) != NIL)
		return NIL;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (!list_member_int(attnums, form->indkey.values[i]))
			break;
		prefix = lappend_int(prefix, form->indkey.values[i]);
	}
	return prefix;
}

/* rows: of the relation; below 0: an index on any of the columns will do. */
static bool
is_served(Oid relid, List *attnums, double rows)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		served = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		List	   *prefix = usable_prefix(index, attnums);

		served |= prefix != NIL && (rows < 0 || list_length(prefix) == list_length(attnums) ||
									rows_per_value(relid, prefix, rows) <= FEW_ROWS * rows_per_value(relid, attnums, rows));
		index_close(index, AccessShareLock);
	}
	table_close(rel, AccessShareLock);
	return served;
}

bool
dyn_lookup_indexed(const DynLookup *lookup)
{
	return lookup->node->kind != DYN_NODE_SCAN ||
		is_served(lookup->node->relid, lookup_attnums(lookup), -1);
}

/* ------------------------------------------------------------------------
 * What an index would save
 * ------------------------------------------------------------------------
 */
static bool
is_worth(Oid relid, List *attnums, double *rows)
{
	double		blocks;
	double		found;

	relation_size(relid, &blocks, rows);
	found = rows_per_value(relid, attnums, *rows);

	/* two blocks of the index and one for each row, against all of the table */
	return blocks * seq_page_cost + *rows * (cpu_tuple_cost + cpu_operator_cost) >
		WORTH_TIMES * (2 + found) * random_page_cost;
}

/* With its partitions. */
static void
relation_size(Oid relid, double *blocks, double *rows)
{
	ListCell   *lc;

	*blocks = *rows = 0;
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		BlockNumber its_blocks;
		double		its_rows;
		double		visible;

		if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		{
			estimate_rel_size(rel, NULL, &its_blocks, &its_rows, &visible);
			*blocks += its_blocks;
			*rows += its_rows;
		}
		table_close(rel, NoLock);
	}
}

static double
rows_per_value(Oid relid, List *attnums, double rows)
{
	bool		inherits = has_subclass(relid);
	double		values = 1;
	ListCell   *lc;

	foreach(lc, attnums)
	{
		HeapTuple	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
											Int16GetDatum(lfirst_int(lc)), BoolGetDatum(inherits));
		double		distinct = 0;

		if (HeapTupleIsValid(tuple))
		{
			distinct = ((Form_pg_statistic) GETSTRUCT(tuple))->stadistinct;
			ReleaseSysCache(tuple);
		}
		values *= distinct > 0 ? distinct : distinct < 0 ? -distinct * rows : rows / DEFAULT_ROWS_PER_VALUE;
	}
	return rows / Max(Min(values, rows), 1);
}
