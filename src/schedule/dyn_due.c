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
 * Tables that were made together would fall due together for ever, so that
 * each is refreshed a little before that, by a part of its lag that is its own:
 * their periods differ, and they drift apart.
 *
 * A run covers its tables and all that is upstream of them.  Due tables whose
 * upstreams overlap belong into one run, at one data timestamp; those that
 * would fall due soon join in, which keeps the data timestamps of a pipeline
 * aligned and saves work.  Runs whose tables overlap with one under way wait
 * for it.  First fills may take long and go alone, one table each, upstream
 * first, so that what failed or was cancelled is repeated and no more.
 *
 * Where there are more runs than workers, the warehouses take turns: the one
 * with the fewest runs under way is next, with that of its runs whose lag ends
 * first.  Shorter lags end sooner, and a run that waits only comes nearer to
 * the front.
 */
#include <postgres.h>

#include <common/hashfn.h>
#include <utils/timestamp.h>

#include "schedule/dyn_due.h"

/* The most that is kept in hand of a lag. */
#define MARGIN_LIMIT INT64CONST(1000000)

/* Runs of a table start at least this far apart, whatever its data timestamp says. */
#define SPACING_LIMIT INT64CONST(1000000)

/* A table joins others when it would be due within this part of its lag. */
#define JOIN_PART 4

/* By at most this part of its lag a table is refreshed early, to spread load. */
#define SPREAD_PART 10

/* What is waiting and has no lag is as urgent as with this one. */
#define OTHER_LAG INT64CONST(60000000)

/* The least and the most that a table which failed waits. */
#define BACKOFF_LEAST INT64CONST(1000000)
#define BACKOFF_MOST INT64CONST(300000000)

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

/* How much earlier than others of the same lag. */
static int64
spread(const DynNode *node)
{
	return node->lag / SPREAD_PART * (murmurhash32(node->relid) % 1024) / 1024;
}

static TimestampTz
cron_next(DynNode *node)
{
	if (node->cron_after != node->data_timestamp)
	{
		node->cron_after = node->data_timestamp;
		node->cron_next = dyn_cron_next(&node->cron, node->data_timestamp);
	}
	return node->cron_next;
}

/* What was altered may have been repaired. */
static TimestampTz
retry_at(const DynNode *node)
{
	return node->altered ? DT_NOBEGIN : node->retry_at;
}

TimestampTz
dyn_due_at(DynNode *node)
{
	TimestampTz due;

	if (node->suspended || dyn_node_held(node) || (node->lag == 0 && !node->has_cron))
		return DT_NOEND;
	if (!node->populated || TIMESTAMP_IS_NOBEGIN(node->data_timestamp))
		due = DT_NOBEGIN;
	else if (node->has_cron)
		due = cron_next(node);
	else
		due = node->data_timestamp + node->lag - dyn_due_slack(node) - spread(node);
	due = Max(due, retry_at(node));
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

int64
dyn_due_backoff(int64 lag, int failures)
{
	int64		wait = Max(lag, BACKOFF_LEAST);

	for (int i = 1; i < failures && wait < BACKOFF_MOST; i++)
		wait *= 2;
	return Min(wait, BACKOFF_MOST);
}

/* A run includes all upstream: it waits for the backoff of any, and never runs over a suspended one. */
static TimestampTz
due_with_upstream(const DynGraph *graph, DynNode *node)
{
	TimestampTz due = dyn_due_at(node);
	int			i = -1;

	while (due != DT_NOEND && (i = bms_next_member(node->closure, i)) >= 0)
	{
		if (graph->nodes[i].suspended || dyn_node_held(&graph->nodes[i]))
			due = DT_NOEND;
		else
			due = Max(due, retry_at(&graph->nodes[i]));
	}
	return due;
}

static Standing
judge(const DynGraph *graph, DynNode *node, TimestampTz now, TimestampTz *wake)
{
	TimestampTz ready = node->ready;
	int			i = -1;

	node->due = due_with_upstream(graph, node);
	node->ready = DT_NOEND;
	while ((i = bms_next_member(node->closure, i)) >= 0)
		if (graph->nodes[i].busy)
			return NOT_NOW;		/* the end of that run will wake us */
	if (node->due <= now)
	{
		node->ready = Min(ready, now);
		return DUE;
	}
	*wake = Min(*wake, node->due);
	if (node->lag > 0 && node->due <= now + node->lag / JOIN_PART)
		return SOON;
	return NOT_NOW;
}

/* By when a table that is due should have been refreshed. */
static TimestampTz
deadline(const DynNode *node)
{
	TimestampTz since = TIMESTAMP_IS_NOBEGIN(node->data_timestamp) ? node->ready : node->data_timestamp;

	if (node->has_cron && node->populated)
		return node->due;
	return Max(since, node->retry_at) + (node->lag > 0 ? node->lag : OTHER_LAG);
}

/* The first table in a closure whose run is to be one of its own, upstream first; -1: none. */
static int
first_apart(const DynGraph *graph, const DynNode *node)
{
	int			i = -1;

	while ((i = bms_next_member(node->closure, i)) >= 0)
		if (dyn_node_apart(&graph->nodes[i]))
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
		const DynNode *node = &graph->nodes[i];
		DynPlannedRun *run;
		int			fill;

		if (standing[i] == NOT_NOW || (fill = first_apart(graph, node)) < 0)
			continue;
		if (standing[i] == DUE && !bms_overlap(*taken, graph->nodes[fill].closure))
		{
			run = palloc0(sizeof(DynPlannedRun));
			run->roots[run->nroots++] = fill;
			run->pool = dyn_node_pool(&graph->nodes[fill]);
			run->ready = node->ready;
			run->deadline = deadline(node);
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

	run->deadline = run->ready = DT_NOEND;
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
		if (standing[i] != DUE)
			continue;
		run->ready = Min(run->ready, node->ready);

		/* The most urgent one pays for the others. */
		if (run->deadline == DT_NOEND || deadline(node) < run->deadline)
		{
			run->deadline = deadline(node);
			run->pool = dyn_node_pool(node);
		}
	}
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

static int
compare_runs(const ListCell *a, const ListCell *b)
{
	const DynPlannedRun *left = lfirst(a);
	const DynPlannedRun *right = lfirst(b);

	if (left->pool != right->pool)
		return left->pool < right->pool ? -1 : 1;
	return left->deadline < right->deadline ? -1 : left->deadline > right->deadline;
}

/* Put runs into the order in which they should find workers. */
static List *
take_turns(const DynGraph *graph, List *runs)
{
	int		   *working = palloc(sizeof(int) * (graph->npools + 1));
	int		   *next = palloc(sizeof(int) * (graph->npools + 1));
	List	   *ordered = NIL;

	list_sort(runs, compare_runs);
	for (int pool = 0; pool < graph->npools; pool++)
	{
		working[pool] = graph->pools[pool].working;
		next[pool] = -1;
	}
	for (int i = list_length(runs) - 1; i >= 0; i--)
		next[((DynPlannedRun *) list_nth(runs, i))->pool] = i;

	while (list_length(ordered) < list_length(runs))
	{
		DynPlannedRun *best = NULL;

		for (int pool = 0; pool < graph->npools; pool++)
		{
			DynPlannedRun *run = next[pool] >= 0 ? list_nth(runs, next[pool]) : NULL;

			if (run != NULL &&
				(best == NULL || working[pool] < working[best->pool] ||
				 (working[pool] == working[best->pool] && run->deadline < best->deadline)))
				best = run;
		}
		ordered = lappend(ordered, best);
		working[best->pool]++;
		next[best->pool]++;
		if (next[best->pool] == list_length(runs) ||
			((DynPlannedRun *) list_nth(runs, next[best->pool]))->pool != best->pool)
			next[best->pool] = -1;
	}
	return ordered;
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
	return take_turns(graph, runs);
}
