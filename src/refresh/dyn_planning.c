/*
 * dyn_planning.c
 *	  Planning the statements of a refresh.
 *
 * The planner has no statistics of the columns of a UNION ALL, and would take
 * each lookup in one for half a percent of its tables.  While it plans a statement of
 * ours, it is told those of the first table, and of rows that no table holds, and
 * of small tables that were not analysed, what is found out by counting
 * (dyn_statistics.c, dyn_small_tables.c).
 */
#include <postgres.h>

#include <catalog/pg_statistic.h>
#include <nodes/pathnodes.h>
#include <parser/parsetree.h>
#include <tcop/tcopprot.h>
#include <utils/selfuncs.h>
#include <utils/syscache.h>

#include "refresh/dyn_execute.h"

static bool statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata);
static bool rows_statistics(RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata);
static bool table_statistics(RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata);
static bool union_statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
							 VariableStatData *vardata);
static Var *first_column(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum);

static get_relation_stats_hook_type previous_statistics;
static QueryEnvironment *environment;	/* of the statement that is planned */

PlannedStmt *
dyn_plan_statement(Query *query, const char *text, QueryEnvironment *env)
{
	PlannedStmt *plan = NULL;

	previous_statistics = get_relation_stats_hook;
	get_relation_stats_hook = statistics;
	environment = env;
	PG_TRY();
	{
		plan = pg_plan_query(query, text,
							 query->commandType == CMD_SELECT ? CURSOR_OPT_PARALLEL_OK : 0, NULL);
	}
	PG_FINALLY();
	{
		get_relation_stats_hook = previous_statistics;
	}
	PG_END_TRY();
	return plan;
}

static bool
statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	if (previous_statistics && previous_statistics(root, rte, attnum, vardata))
		return true;
	if (rte->rtekind == RTE_NAMEDTUPLESTORE)
		return rows_statistics(rte, attnum, vardata);
	if (rte->rtekind == RTE_RELATION)
		return table_statistics(rte, attnum, vardata);
	return union_statistics(root, rte, attnum, vardata);
}

/* The rows keep it. */
static void
free_nothing(HeapTuple tuple)
{
}

static bool
rows_statistics(RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	DynRows    *rows = dyn_rows_registered(environment, rte->enrname);

	if (rows == NULL || attnum <= 0 || attnum > rows->desc->natts)
		return false;
	vardata->statsTuple = dyn_rows_statistics(rows, attnum - 1);
	vardata->freefunc = free_nothing;
	vardata->acl_ok = true;		/* its conditions see these rows anyway */
	return vardata->statsTuple != NULL;
}

static bool
table_statistics(RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	if (rte->inh || attnum <= 0 ||
		SearchSysCacheExists3(STATRELATTINH, ObjectIdGetDatum(rte->relid), Int16GetDatum(attnum), BoolGetDatum(false)))
		return false;
	vardata->statsTuple = dyn_table_statistics(rte->relid, attnum);
	vardata->freefunc = free_nothing;
	vardata->acl_ok = false;
	return vardata->statsTuple != NULL;
}

static bool
union_statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	Var		   *column;
	RangeTblEntry *table;

	if (rte->rtekind != RTE_SUBQUERY || !rte->inh)
		return false;
	column = first_column(root, rte, attnum);
	if (column == NULL || column->varattno <= 0)
		return false;
	table = planner_rt_fetch(column->varno, root);
	if (table->rtekind != RTE_RELATION)
		return false;
	vardata->statsTuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(table->relid),
										  Int16GetDatum(column->varattno), BoolGetDatum(table->inh));
	vardata->freefunc = ReleaseSysCache;
	vardata->acl_ok = false;	/* who may see the values is unknown here: show them to no function that leaks */
	return true;
}

/* The column of the first branch of a union, where it is one of that branch's own. */
static Var *
first_column(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, root->append_rel_list)
	{
		AppendRelInfo *branch = lfirst_node(AppendRelInfo, lc);
		Node	   *column;

		if (planner_rt_fetch(branch->parent_relid, root) != rte)
			continue;
		if (attnum <= 0 || attnum > list_length(branch->translated_vars))
			return NULL;
		column = list_nth(branch->translated_vars, attnum - 1);
		return column && IsA(column, Var) ? (Var *) column : NULL;
	}
	return NULL;
}
