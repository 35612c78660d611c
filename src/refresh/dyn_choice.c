/*
 * dyn_choice.c
 *	  In refresh mode auto: the delta, or all of the query.
 *
 * Both ways end in applying the same difference, so what counts is the time
 * until there.  dyntable.position keeps, per table,
 *	 full_ms, full_cost	  what computing in full took at last, and what the
 *						  planner made of the query then: together they tell
 *						  what it would take as the tables are now;
 *	 delta_ms			  what deltas took, by how many rows had changed.
 *
 * Three questions are asked while a delta is computed, each cheap, and the
 * query is planned only when one of the answers is in doubt:
 *	 1. changes being read: does history say that so many as there will be take
 *		longer than the query?  More than the sources have rows always do.
 *	 2. a statement planned: has what came before it taken much longer?
 *	 3. a statement running: has it?  It is cancelled in the middle for that.
 * What the planner expects of a delta is often far too much, so it does not
 * decide whether one is tried, only for how many refreshes it is not tried again.
 * A yes raises ERRCODE_DYN_DEARER.  The table's subtransaction is rolled back
 * and with it what was written to its state; the same run then computes the
 * table in full.  So neither a wrong figure nor a wrong estimate costs more
 * than PATIENCE times the query, once.
 *
 * Figures age, each in the direction of what was not tried: a delta that was not
 * computed is believed to have become cheaper by and by, and so is a query that
 * was not run.  So no single slow refresh decides for long.
 *
 * Where little data is at stake, a delta is taken without asking: times of a
 * few milliseconds tell nothing.
 */
#include <postgres.h>

#include <access/table.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <miscadmin.h>
#include <optimizer/plancat.h>
#include <port/pg_bitutils.h>
#include <storage/bufmgr.h>
#include <tcop/tcopprot.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>

#include "query/dyn_expr.h"
#include "refresh/dyn_choice.h"
#include "refresh/dyn_phases.h"

/* Less time than this, or less data than both of these, is not worth a thought. */
#define WORTH_MS		10.0
#define WORTH_BLOCKS	512
#define WORTH_ROWS		20000

/* How many times what the query takes an estimate is believed to say. */
#define MOST_TIMES		4

/* How often history is asked while changes are read. */
#define ROWS_PER_CHECK	4096

/* How much longer than the query a delta that was begun may take. */
#define PATIENCE		1.5

/*
 * In parts of what the query takes: deltas that took less have served, and what
 * one that was given up among them is taken for.
 */
#define SERVED			0.5
#define EXCEPTION		0.75

/* What is left of a figure after each refresh that went the other way. */
#define DELTA_AGES		0.9
#define FULL_AGES		0.97

/* Of a query that was never measured: milliseconds for the planner's unit, as sequential scans and hash joins take. */
#define MS_PER_COST		0.02

/* Costs below this are mostly what any statement costs. */
#define LEAST_COST		1000.0

static void ask_history(DynChoice *choice, int64 rows);
static double delta_ms(const DynPosition *position, int64 rows);
static void set_delta_ms(DynPosition *position, int64 rows, double ms);
static double of_most_rows(DynChoice *choice);
static void source_size(const DynChoice *choice, int64 *blocks, double *rows);
static bool full_is_cheaper(DynChoice *choice, double ms, double patience);
static void weigh(DynChoice *choice);
static void give_up(DynChoice *choice, double ms);

/* A log has only rows at its end added, and they are much alike: some tell how many there will be. */
void
dyn_choice_row(DynChoice *choice, int64 before, double read)
{
	if (++choice->rows % ROWS_PER_CHECK == 0)
		ask_history(choice, before + (choice->rows - before) / read);
}

void
dyn_choice_loaded(DynChoice *choice)
{
	choice->loaded = true;
	ask_history(choice, choice->rows);
}

/* So many rows are expected to have changed. */
static void
ask_history(DynChoice *choice, int64 rows)
{
	double		expected = delta_ms(choice->position, rows);

	if (choice->given_up == NULL)
		return;
	choice->foreseen = rows;
	expected = Max(expected < 0 ? dyn_phases_work() : expected, of_most_rows(choice));
	if (full_is_cheaper(choice, expected, 1))
		give_up(choice, expected);
}

/*
 * What a delta takes at least that has more rows than its sources: each costs as
 * much as one that the query reads.
 */
static double
of_most_rows(DynChoice *choice)
{
	int64		blocks;

	if (choice->foreseen < WORTH_ROWS)
		return 0;
	if (choice->source_rows == 0)
	{
		source_size(choice, &blocks, &choice->source_rows);
		choice->source_rows = Max(choice->source_rows, 1);
	}
	if (choice->foreseen <= choice->source_rows)
		return 0;
	if (!choice->weighed)
		weigh(choice);
	return choice->position->full_ms * choice->foreseen / choice->source_rows;
}

double
dyn_choice_planned(double cost, void *arg)
{
	DynChoice  *choice = arg;
	const DynPosition *position = choice->position;
	double		spent = dyn_phases_work();
	double		expected = spent + cost * (position->full_ms >= 0 && position->full_cost >= LEAST_COST ?
										   position->full_ms / position->full_cost : MS_PER_COST);

	choice->estimated = Max(choice->estimated, expected);
	if (full_is_cheaper(choice, spent, PATIENCE))
		give_up(choice, spent);
	if (!choice->weighed && expected >= Max(WORTH_MS, position->full_ms / 2))
		weigh(choice);
	return choice->worth ? Max(position->full_ms * PATIENCE - spent, WORTH_MS) : 0;
}

void
dyn_choice_late(void *arg)
{
	give_up(arg, dyn_phases_work());
}

static void
give_up(DynChoice *choice, double ms)
{
	choice->given_up->rows = choice->foreseen;
	choice->given_up->expected_ms = Max(ms, Min(choice->estimated, choice->position->full_ms * MOST_TIMES));
	ereport(ERROR,
			errcode(ERRCODE_DYN_DEARER),
			errmsg_internal("%s%lld changed rows, the delta was expected to take %.0f ms, the query %.0f ms",
							choice->loaded ? "" : "about ", (long long) choice->foreseen, ms,
							choice->position->full_ms));
}

/* ------------------------------------------------------------------------
 * What the query takes
 * ------------------------------------------------------------------------
 */

/* The planner's estimate for the query as the tables are now. */
static double
present_cost(DynChoice *choice)
{
	Query	   *query = (Query *) dyn_expr_at(copyObject((Node *) choice->query), choice->upto);
	double		cost;

	PushCopiedSnapshot(choice->snapshot);
	cost = pg_plan_query(query, "definition of a dynamic table", CURSOR_OPT_PARALLEL_OK, NULL)->planTree->total_cost;
	PopActiveSnapshot();
	return cost;
}

/*
 * Whether so many milliseconds for the delta are more than patience times what
 * the query takes.  What was recorded of the query is good enough for a no;
 * before a yes it is brought to date, for the tables may have grown.
 */
static bool
full_is_cheaper(DynChoice *choice, double ms, double patience)
{
	DynPosition *position = choice->position;

	if (ms < WORTH_MS || (position->full_ms >= 0 && ms <= position->full_ms * patience))
		return false;
	if (!choice->weighed)
		weigh(choice);
	return choice->worth && ms > position->full_ms * patience;
}

/* Of the relations that are read; rows as the planner estimates them. */
static void
source_size(const DynChoice *choice, int64 *blocks, double *rows)
{
	ListCell   *lc;
	ListCell   *lr;

	*blocks = *rows = 0;
	foreach(lc, choice->edges)
		foreach(lr, find_all_inheritors(((DynEdge *) lfirst(lc))->source, AccessShareLock, NULL))
		{
			Relation	rel = table_open(lfirst_oid(lr), NoLock);
			BlockNumber pages = 0;
			double		tuples = 0;
			double		visible;

			if (RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
				estimate_rel_size(rel, NULL, &pages, &tuples, &visible);
			*blocks += pages;
			*rows += tuples;
			table_close(rel, NoLock);
		}
}

/* Are the relations that are read, or the changes, many enough for a choice? */
static bool
is_worth(const DynChoice *choice)
{
	int64		blocks;
	double		rows;

	if (choice->foreseen >= WORTH_ROWS)
		return true;
	source_size(choice, &blocks, &rows);
	return blocks >= WORTH_BLOCKS;
}

/* Bring the figures of the query to date. */
static void
weigh(DynChoice *choice)
{
	DynPosition *position = choice->position;
	double		cost;

	choice->weighed = true;
	choice->worth = is_worth(choice);
	if (!choice->worth)
		return;
	cost = present_cost(choice);
	if (position->full_ms < 0)
		position->full_ms = cost * MS_PER_COST;
	else if (position->full_cost < LEAST_COST)
		position->full_ms += Max(cost - position->full_cost, 0) * MS_PER_COST;
	else
		position->full_ms *= cost / position->full_cost;
	position->full_cost = cost;
}

/* ------------------------------------------------------------------------
 * What deltas take
 *
 * Element i of delta_ms is for at least 4^(i-1) and less than 4^i changed rows
 * (the first also for none), brought to 4^i rows.
 * ------------------------------------------------------------------------
 */
static int
step_of(int64 rows)
{
	return Min(pg_leftmost_one_pos64(Max(rows, 1)) / 2, DYN_COST_STEPS - 1);
}

#define step_rows(step) ((double) (INT64CONST(4) << (2 * (step))))

/*
 * What a delta of so many rows is expected to take, or -1.  The step below tells
 * the least, for much of what a small delta takes comes once; so will, downwards
 * and by the rows, any above.
 */
static double
delta_ms(const DynPosition *position, int64 rows)
{
	int			own = step_of(rows);
	int			step = own;

	if (position->delta_ms[own] < 0 && own > 0 && position->delta_ms[own - 1] >= 0)
		step--;
	while (step < DYN_COST_STEPS && position->delta_ms[step] < 0)
		step++;
	return step < DYN_COST_STEPS ? position->delta_ms[step] * Min(Max(rows, 1) / step_rows(step), 1) : -1;
}

static void
set_delta_ms(DynPosition *position, int64 rows, double ms)
{
	position->delta_ms[step_of(rows)] = ms * step_rows(step_of(rows)) / Max(rows, 1);
}

void
dyn_choice_learn_delta(DynChoice *choice)
{
	DynPosition *position = choice->position;
	double		ms = dyn_phases_work();
	bool		measured = position->delta_ms[step_of(choice->rows)] >= 0;

	set_delta_ms(position, choice->rows,
				 measured ? (ms + delta_ms(position, choice->rows)) / 2 : ms);
	if (ms >= WORTH_MS && position->full_ms >= 0 && ms > position->full_ms / 4)
		position->full_ms *= FULL_AGES;
}

void
dyn_choice_learn_full(DynChoice *choice)
{
	choice->position->full_cost = present_cost(choice);
	choice->position->full_ms = dyn_phases_work();
}

/* Where deltas have served, one that does not may be an exception: the next is tried. */
void
dyn_choice_learn_given_up(DynPosition *position, const DynGivenUp *given_up)
{
	double		known = position->delta_ms[step_of(given_up->rows)] < 0 ? -1 : delta_ms(position, given_up->rows);
	bool		served = known >= 0 && known < position->full_ms * SERVED;

	set_delta_ms(position, given_up->rows,
				 served ? position->full_ms * EXCEPTION : given_up->expected_ms * DELTA_AGES);
}
