/*
 * dyn_planning.c
 *	  Planning the statements of a refresh.
 *
 * The old content of a table stands in them as a union of the table with the
 * rows of its delta (dyn_sql.c).  The planner has no statistics of a union's
 * columns, and would take each lookup in one for half a percent of the table.
 * While it plans a statement of ours, it is told the statistics of the table.
 */
#include <postgres.h>

#include <catalog/pg_statistic.h>
#include <nodes/pathnodes.h>
#include <parser/parsetree.h>
#include <tcop/tcopprot.h>
#include <utils/selfuncs.h>
#include <utils/syscache.h>

#include "refresh/dyn_execute.h"

static bool union_statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
							 VariableStatData *vardata);
static Var *first_column(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum);

static get_relation_stats_hook_type previous_statistics;

PlannedStmt *
dyn_plan_statement(Query *query, const char *text)
{
	PlannedStmt *plan = NULL;

	previous_statistics = get_relation_stats_hook;
	get_relation_stats_hook = union_statistics;
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
union_statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	Var		   *column;
	RangeTblEntry *table;

	if (previous_statistics && previous_statistics(root, rte, attnum, vardata))
		return true;
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
