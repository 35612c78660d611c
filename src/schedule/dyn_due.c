/*
 * dyn_due.c
 *	  When which dynamic table is to be refreshed, and with which others.
 *
 * Pure decisions: time and state are arguments, nothing is read or written.
 *
 * Target lag bounds the age of data, which is greatest at the moment before a
 * refresh commits: the new data timestamp is that of the run's snapshot, and
 * until the commit readers see the old one.  So with v the stored data
 * timestamp and d the time from dispatch to commit, a run has to start before
 * v + lag - d; some of the lag is kept in hand for timers and for waiting.
 * What is expected of d rises at once and falls slowly: changes come in
 * batches, and the promise is about the worst moment.
 *
 * A run covers its tables and all that is upstream of them.  Due tables whose
 * upstreams overlap belong into one run, at one data timestamp; those that
 * would fall due soon join in, which keeps the data timestamps of a pipeline
 * aligned and saves work.  Runs whose tables overlap with one under way wait
 * for it.  First fills may take long and go alone, one table each, upstream
 * first, so that what failed or was cancelled is repeated and no more.
 */
#include <postgres.h>

#include <utils/timestamp.h>

#include "schedule/dyn_due.h"

/* The most that is kept in hand of a lag. */
#define MARGIN_LIMIT INT64CONST(1000000)

/* Runs of a table start at least this far apart, whatever its data timestamp says. */
#define SPACING_LIMIT INT64CONST(1000000)

/* A table joins others when it would be due within this part of its lag. */
#define JOIN_PART 4

/* What dyn_due_plan thinks of a node. */
typedef enum Standing
{
	NOT_NOW,
	SOON,
	DUE,
} Standing;

int64
dyn_due_slack(const DynNode *node)
{
	int64		margin = Min(node->lag / 5, MARGIN_LIMIT);

	/* A table slower than its lag must not be refreshed twice as often for that. */
	return margin + Min(node->duration, node->lag / 2);
}

TimestampTz
dyn_due_at(const DynNode *node)
{
	TimestampTz due;

	if (node->suspended || (node->lag == 0 && !node->has_cron))
		return DT_NOEND;
	if (!node->populated || TIMESTAMP_IS_NOBEGIN(node->data_timestamp))
		due = DT_NOBEGIN;
	else if (node->has_cron)
		due = dyn_cron_next(&node->cron, node->data_timestamp);
	else
		due = node->data_timestamp + node->lag - dyn_due_slack(node);
	due = Max(due, node->retry_at);
	if (node->last_run != 0)
		due = Max(due, node->last_run + Min(Max(node->lag / 10, 10000), SPACING_LIMIT));
	return due;
}

void
dyn_due_measured(DynNode *node, int64 duration)
{
	/* What history said of single refreshes is replaced by the first whole run. */
	if (!node->measured || duration > node->duration)
		node->duration = duration;
	else
		node->duration -= (node->duration - duration) / 16;
	node->measured = true;
}

/* A run includes all upstream: it waits for the backoff of any, and never runs over a suspended one. */
static TimestampTz
due_with_upstream(const DynGraph *graph, const DynNode *node)
{
	TimestampTz due = dyn_due_at(node);
	int			i = -1;

	while (due != DT_NOEND && (i = bms_next_member(node->closure, i)) >= 0)
	{
		if (graph->nodes[i].suspended)
			due = DT_NOEND;
		else
			due = Max(due, graph->nodes[i].retry_at);
	}
	return due;
}

static Standing
judge(const DynGraph *graph, DynNode *node, TimestampTz now, TimestampTz *wake)
{
	int			i = -1;

	node->due = due_with_upstream(graph, node);
	while ((i = bms_next_member(node->closure, i)) >= 0)
		if (graph->nodes[i].busy)
			return NOT_NOW;		/* the end of that run will wake us */
	if (node->due <= now)
		return DUE;
	*wake = Min(*wake, node->due);
	if (node->lag > 0 && node->due <= now + node->lag / JOIN_PART)
		return SOON;
	return NOT_NOW;
}

/* The first table in a closure that was never filled, upstream first; -1: none. */
static int
first_unfilled(const DynGraph *graph, const DynNode *node)
{
	int			i = -1;

	while ((i = bms_next_member(node->closure, i)) >= 0)
		if (!graph->nodes[i].populated)
			return i;
	return -1;
}

/* First fills: each alone, as long as they do not overlap. */
static List *
plan_fills(const DynGraph *graph, Standing *standing, Bitmapset **taken)
{
	List	   *runs = NIL;

	for (int i = 0; i < graph->nnodes; i++)
	{
		int			fill;
		DynPlannedRun *run;

		if (standing[i] == NOT_NOW || (fill = first_unfilled(graph, &graph->nodes[i])) < 0)
			continue;
		if (standing[i] == DUE && !bms_overlap(*taken, graph->nodes[fill].closure))
		{
			run = palloc0(sizeof(DynPlannedRun));
			run->roots[run->nroots++] = fill;
			run->payer = fill;
			runs = lappend(runs, run);
			*taken = bms_add_members(*taken, graph->nodes[fill].closure);
		}
		standing[i] = NOT_NOW;
	}
	return runs;
}

/* The tables of one group, in order, as far as a run has room for them and their upstream. */
static DynPlannedRun *
plan_group(const DynGraph *graph, const Standing *standing, const Bitmapset *group)
{
	DynPlannedRun *run = palloc0(sizeof(DynPlannedRun));
	Bitmapset  *closure = NULL;
	int			i = -1;

	run->payer = -1;
	while ((i = bms_next_member(group, i)) >= 0)
	{
		const DynNode *node = &graph->nodes[i];
		Bitmapset  *wider;

		if (standing[i] == NOT_NOW)
			continue;
		wider = bms_union(closure, node->closure);
		if (run->nroots > 0 && bms_num_members(wider) > DYN_TASK_TABLES)
		{
			bms_free(wider);
			continue;
		}
		bms_free(closure);
		closure = wider;
		run->roots[run->nroots++] = i;
		if (standing[i] == DUE &&
			(run->payer < 0 || node->lag < graph->nodes[run->payer].lag))
			run->payer = i;
	}
	if (run->payer < 0)
		run->payer = run->roots[0];
	bms_free(closure);
	return run;
}

static int
find_root(int *parent, int i)
{
	while (parent[i] != i)
		i = parent[i] = parent[parent[i]];
	return i;
}

/* Join tables whose closures overlap into groups; list of Bitmapset * over indexes. */
static List *
find_groups(const DynGraph *graph, const Standing *standing, const Bitmapset *taken)
{
	int		   *parent = palloc(sizeof(int) * (graph->nnodes + 1));
	Bitmapset **sets = palloc0(sizeof(Bitmapset *) * (graph->nnodes + 1));
	List	   *groups = NIL;

	for (int i = 0; i < graph->nnodes; i++)
		parent[i] = i;
	for (int i = 0; i < graph->nnodes; i++)
	{
		if (standing[i] == NOT_NOW || bms_overlap(taken, graph->nodes[i].closure))
			continue;
		for (int j = -1; (j = bms_next_member(graph->nodes[i].closure, j)) >= 0;)
			parent[find_root(parent, j)] = find_root(parent, i);
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		int			root = find_root(parent, i);

		if (standing[i] != NOT_NOW && !bms_overlap(taken, graph->nodes[i].closure))
			sets[root] = bms_add_member(sets[root], i);
	}
	for (int i = 0; i < graph->nnodes; i++)
		if (sets[i] != NULL)
			groups = lappend(groups, sets[i]);
	pfree(parent);
	pfree(sets);
	return groups;
}

/* Whether some table of a group is due, and not only soon. */
static bool
group_is_due(const Standing *standing, const Bitmapset *group)
{
	int			i = -1;

	while ((i = bms_next_member(group, i)) >= 0)
		if (standing[i] == DUE)
			return true;
	return false;
}

/* What has been due for longest goes first. */
static int
compare_runs(const ListCell *a, const ListCell *b)
{
	const DynPlannedRun *left = lfirst(a);
	const DynPlannedRun *right = lfirst(b);

	return left->due < right->due ? -1 : left->due > right->due;
}

/* First fills are due since ever, but must not keep what is filled from being refreshed. */
static TimestampTz
run_due(const DynGraph *graph, const DynPlannedRun *run, TimestampTz now)
{
	const DynNode *payer = &graph->nodes[run->payer];

	return TIMESTAMP_IS_NOBEGIN(payer->due) ? now : payer->due;
}

List *
dyn_due_plan(DynGraph *graph, TimestampTz now, TimestampTz *wake)
{
	Standing   *standing = palloc(sizeof(Standing) * (graph->nnodes + 1));
	Bitmapset  *taken = NULL;
	bool		any = false;
	List	   *runs;
	ListCell   *cell;

	*wake = DT_NOEND;
	for (int i = 0; i < graph->nnodes; i++)
	{
		standing[i] = judge(graph, &graph->nodes[i], now, wake);
		any |= standing[i] == DUE;
	}
	if (!any)
		return NIL;

	runs = plan_fills(graph, standing, &taken);
	foreach(cell, find_groups(graph, standing, taken))
	{
		if (group_is_due(standing, lfirst(cell)))
			runs = lappend(runs, plan_group(graph, standing, lfirst(cell)));
	}
	foreach(cell, runs)
	{
		DynPlannedRun *run = lfirst(cell);

		run->due = run_due(graph, run, now);
	}
	list_sort(runs, compare_runs);
	return runs;
}
