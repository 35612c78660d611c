/*
 * dyn_graph.c
 *	  The dynamic tables of a database and which of them read which.
 *
 * Pure: made from rows that somebody else has read.  The graph is built anew
 * when a definition changes and patched when a refresh moved a position; what
 * was measured (durations) is carried over by the scheduler.
 */
#include <postgres.h>

#include <utils/memutils.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "schedule/dyn_graph.h"

/* An edge between tables that are refreshed together, by index into the rows as they came. */
typedef struct Arc
{
	int			reader;
	int			source;
} Arc;

static int
row_index(DynScheduleRow **rows, int nrows, Oid relid)
{
	int			low = 0;
	int			high = nrows - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (rows[middle]->relid == relid)
			return middle;
		if (rows[middle]->relid < relid)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

bool
dyn_node_apart(const DynNode *node)
{
	return !node->populated || (node->reinitialise && node->initial_pool >= 0);
}

int
dyn_node_pool(const DynNode *node)
{
	return dyn_node_apart(node) && node->initial_pool >= 0 ? node->initial_pool : node->pool;
}

bool
dyn_node_held(const DynNode *node)
{
	return dyn_node_apart(node) && node->initial_pool >= 0 ? node->initial_held : node->held;
}

int
dyn_graph_pool(const DynGraph *graph, const char *name)
{
	for (int i = 0; i < graph->npools; i++)
		if (strcmp(graph->pools[i].name, name) == 0)
			return i;
	return -1;
}

/* The index of a warehouse, which is added where it is not there yet. */
static int
pool_of(DynGraph *graph, const char *name)
{
	int			pool = dyn_graph_pool(graph, name);

	if (pool >= 0)
		return pool;
	graph->pools = graph->npools == 0 ? palloc(sizeof(DynPool)) :
		repalloc(graph->pools, sizeof(DynPool) * (graph->npools + 1));
	graph->pools[graph->npools].name = pstrdup(name);
	graph->pools[graph->npools].working = 0;
	return graph->npools++;
}

static void
node_from_row(DynGraph *graph, DynNode *node, const DynScheduleRow *row)
{
	const char *detail;

	node->relid = row->relid;
	node->lag = row->lag;
	node->effective_lag = row->lag;
	if (row->schedule != NULL)
		node->has_cron = dyn_cron_parse(row->schedule, &node->cron, &detail);
	node->pool = pool_of(graph, row->warehouse);
	node->held = row->held;
	node->initial_pool = row->initial_warehouse ? pool_of(graph, row->initial_warehouse) : -1;
	node->initial_held = row->initial_held;
	node->suspended = row->suspended;
	node->still = row->still;
	node->version = row->version;
	node->populated = row->populated;
	node->data_timestamp = row->data_timestamp;
	node->reinitialise = row->reinitialise;
	node->failures = row->failures;
	node->retry_at = row->retry_at;
	node->duration = row->duration;
	node->due = node->due_shown = node->ready = node->cron_after = DT_NOEND;
}

static int
compare_arcs(const void *a, const void *b)
{
	const Arc  *left = a;
	const Arc  *right = b;

	if (left->source != right->source)
		return left->source < right->source ? -1 : 1;
	return left->reader < right->reader ? -1 : left->reader > right->reader;
}

/*
 * Put rows into topological order (Kahn).  place[i] is row i's index in the
 * graph; arcs are sorted by source, and first[i] is where those of row i begin.
 * Rows on a cycle, which commands refuse to make, come last; being
 * their own upstream they still get closures that end.
 */
static void
graph_order(int nrows, const Arc *arcs, int narcs, const int *first, int *place)
{
	int		   *pending = palloc0(sizeof(int) * (nrows + 1));
	int		   *queue = palloc(sizeof(int) * (nrows + 1));
	int			placed = 0;
	int			queued = 0;

	for (int i = 0; i < nrows; i++)
		place[i] = -1;
	for (int i = 0; i < narcs; i++)
		pending[arcs[i].reader]++;
	for (int i = 0; i < nrows; i++)
		if (pending[i] == 0)
			queue[queued++] = i;
	while (placed < queued)
	{
		int			row = queue[placed];

		place[row] = placed++;
		for (int j = first[row]; j < first[row + 1]; j++)
			if (--pending[arcs[j].reader] == 0)
				queue[queued++] = arcs[j].reader;
	}
	for (int i = 0; i < nrows; i++)
		if (place[i] < 0)
			place[i] = placed++;
	pfree(pending);
	pfree(queue);
}

/* Closures and stillness flow downstream, lags upstream. */
static void
graph_propagate(DynGraph *graph, const Arc *arcs, const int *first, const int *place)
{
	int		   *row_at = palloc(sizeof(int) * (graph->nnodes + 1));

	for (int i = 0; i < graph->nnodes; i++)
	{
		row_at[place[i]] = i;
		graph->nodes[i].closure = bms_make_singleton(i);
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		DynNode    *node = &graph->nodes[i];

		for (int j = first[row_at[i]]; j < first[row_at[i] + 1]; j++)
		{
			DynNode    *reader = &graph->nodes[place[arcs[j].reader]];

			if (reader <= node)
				continue;
			reader->closure = bms_add_members(reader->closure, node->closure);
			reader->still = reader->still && node->still;
		}
	}
	for (int i = graph->nnodes - 1; i >= 0; i--)
	{
		DynNode    *node = &graph->nodes[i];

		for (int j = first[row_at[i]]; j < first[row_at[i] + 1]; j++)
		{
			DynNode    *reader = &graph->nodes[place[arcs[j].reader]];

			if (reader->effective_lag == 0 || reader->suspended)
				continue;
			if (node->effective_lag == 0 || node->effective_lag > reader->effective_lag)
				node->effective_lag = reader->effective_lag;
		}
	}
	pfree(row_at);
}

/* Until runs are measured: a run takes what history says of the tables in it. */
static void
graph_durations(DynGraph *graph)
{
	for (int i = graph->nnodes - 1; i >= 0; i--)
	{
		DynNode    *node = &graph->nodes[i];
		int64		sum = 0;

		for (int j = -1; (j = bms_next_member(node->closure, j)) >= 0;)
			sum += graph->nodes[j].duration;
		node->duration = sum;
	}
}

/* Which base tables each table depends on, through whatever is upstream of it. */
static void
graph_sources(DynGraph *graph, const List *edges)
{
	List	  **direct = palloc0(sizeof(List *) * (graph->nnodes + 1));
	ListCell   *cell;

	foreach(cell, edges)
	{
		DynScheduleEdge *edge = lfirst(cell);
		DynNode    *node;

		if (edge->dynamic || (node = dyn_graph_find(graph, edge->relid)) == NULL)
			continue;
		direct[node - graph->nodes] = lappend_oid(direct[node - graph->nodes], edge->source);
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		DynNode    *node = &graph->nodes[i];
		List	   *all = NIL;

		for (int j = -1; (j = bms_next_member(node->closure, j)) >= 0;)
			all = list_concat_unique_oid(all, direct[j]);
		node->sources = palloc(sizeof(Oid) * (list_length(all) + 1));
		foreach(cell, all)
			node->sources[node->nsources++] = lfirst_oid(cell);
		list_free(all);
	}
	pfree(direct);
}

DynGraph *
dyn_graph_build(const List *row_list, const List *edges, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "dyntable graph", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	DynGraph   *graph = palloc0(sizeof(DynGraph));
	int			nrows = list_length(row_list);
	DynScheduleRow **rows = palloc(sizeof(DynScheduleRow *) * (nrows + 1));
	int		   *place = palloc(sizeof(int) * (nrows + 1));
	Arc		   *arcs = palloc(sizeof(Arc) * (list_length(edges) + 1));
	int			narcs = 0;
	int		   *first;
	ListCell   *cell;

	foreach(cell, row_list)
		rows[foreach_current_index(cell)] = lfirst(cell);
	foreach(cell, edges)
	{
		DynScheduleEdge *edge = lfirst(cell);
		Arc			arc = {row_index(rows, nrows, edge->relid), -1};

		if (edge->pulls)
			arc.source = row_index(rows, nrows, edge->source);
		if (arc.reader >= 0 && arc.source >= 0)
			arcs[narcs++] = arc;
	}
	qsort(arcs, narcs, sizeof(Arc), compare_arcs);
	first = palloc0(sizeof(int) * (nrows + 2));
	for (int i = 0; i < narcs; i++)
		first[arcs[i].source + 1]++;
	for (int i = 0; i < nrows; i++)
		first[i + 1] += first[i];
	graph_order(nrows, arcs, narcs, first, place);

	graph->context = context;
	graph->nnodes = nrows;
	graph->nodes = palloc0(sizeof(DynNode) * (nrows + 1));
	for (int i = 0; i < nrows; i++)
		node_from_row(graph, &graph->nodes[place[i]], rows[i]);
	graph->by_relid = place;	/* rows come ordered by OID */
	graph_propagate(graph, arcs, first, place);
	graph_durations(graph);
	graph_sources(graph, edges);

	pfree(rows);
	pfree(arcs);
	pfree(first);
	MemoryContextSwitchTo(caller);
	return graph;
}

DynNode *
dyn_graph_find(const DynGraph *graph, Oid relid)
{
	int			low = 0;
	int			high = graph->nnodes - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		DynNode    *node = &graph->nodes[graph->by_relid[middle]];

		if (node->relid == relid)
			return node;
		if (node->relid < relid)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

Bitmapset *
dyn_graph_closure(const DynGraph *graph, const Oid *relids, int nrelids)
{
	Bitmapset  *closure = NULL;

	for (int i = 0; i < nrelids; i++)
	{
		DynNode    *node = dyn_graph_find(graph, relids[i]);

		if (node != NULL)
			closure = bms_add_members(closure, node->closure);
	}
	return closure;
}

List *
dyn_graph_relids(const DynGraph *graph, const Bitmapset *set)
{
	List	   *relids = NIL;
	int			i = -1;

	while ((i = bms_next_member(set, i)) >= 0)
		relids = lappend_oid(relids, graph->nodes[i].relid);
	return relids;
}
