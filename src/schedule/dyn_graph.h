/*
 * dyn_graph.h
 *	  The dynamic tables of a database and which of them read which.
 */
#ifndef DYN_GRAPH_H
#define DYN_GRAPH_H

#include <datatype/timestamp.h>
#include <nodes/bitmapset.h>
#include <nodes/pg_list.h>

#include "base/dyn_cron.h"

typedef struct DynNode
{
	Oid			relid;

	/* definition */
	int64		lag;			/* microseconds; 0: cron, manual or downstream */
	int64		effective_lag;	/* its own, or the least of those that bring it along; 0: none */
	bool		has_cron;
	DynCron		cron;
	int			pool;			/* index of its warehouse */
	bool		held;			/* this warehouse is suspended, and no refresh resumes it */
	int			initial_pool;	/* where it is filled and computed anew; -1: the same */
	bool		initial_held;
	bool		suspended;
	bool		still;			/* it and all upstream depend on captured sources alone */
	Bitmapset  *closure;		/* it and all upstream, by index */
	int64		version;		/* another one when its definition changed */
	Oid		   *sources;		/* base tables that it and all upstream read */
	int			nsources;

	/* where it stands */
	bool		populated;
	TimestampTz data_timestamp; /* DT_NOBEGIN: none */
	bool		reinitialise;	/* the next run is to compute it anew */
	int			failures;
	TimestampTz retry_at;		/* DT_NOBEGIN: none */
	bool		busy;			/* in the closure of a run that is under way */
	TimestampTz last_run;		/* dispatch of the last run seen; 0: none */

	/*
	 * settled: the last run saw all that capture had counted of its sources
	 * when it was dispatched, that is, changes.  While nothing more is
	 * counted its data timestamp advances without runs.
	 */
	bool		settled;
	int64		generation;		/* of capture's slot, and its process, then */
	int			capture_pid;
	uint64		changes;
	TimestampTz dispatched;		/* the last run given away under this definition; 0: none */
	uint64		changes_dispatched; /* counted then */
	bool		altered;		/* perhaps, since the last dispatch: dyn_altered.c */

	/* how long a run takes from dispatch to commit, in microseconds */
	int64		duration;
	bool		measured;		/* by a run, not taken from history */

	/* dyn_due_plan's */
	TimestampTz due;
	TimestampTz due_shown;		/* as in shared memory */
	TimestampTz ready;			/* since when it could run, were there a worker; DT_NOEND: it could not */
	TimestampTz cron_after;		/* of this moment cron_next is the next one */
	TimestampTz cron_next;
} DynNode;

/* A warehouse. */
typedef struct DynPool
{
	char	   *name;
	int			working;		/* runs under way in it */
} DynPool;

/* Nodes stand in topological order: upstream first. */
typedef struct DynGraph
{
	MemoryContext context;		/* holds all of it */
	int			nnodes;
	DynNode    *nodes;
	int		   *by_relid;		/* indexes, ordered by OID */
	int			npools;
	DynPool    *pools;			/* the warehouses that tables name */
} DynGraph;

/* From dyn_schedule_rows() and dyn_schedule_edges(), into a context of its own below parent. */
extern DynGraph *dyn_graph_build(const List *rows, const List *edges, MemoryContext parent);

/* Whether the next run of a table is to be one of its own: a first fill, or one in another warehouse. */
extern bool dyn_node_apart(const DynNode *node);

/* The warehouse that the next run of a table belongs to, and whether that is held. */
extern int	dyn_node_pool(const DynNode *node);
extern bool dyn_node_held(const DynNode *node);

/* -1 when missing. */
extern int	dyn_graph_pool(const DynGraph *graph, const char *name);

/* NULL when missing. */
extern DynNode *dyn_graph_find(const DynGraph *graph, Oid relid);

/* The closure of some tables, as bitmapset of indexes or as list of Oid. */
extern Bitmapset *dyn_graph_closure(const DynGraph *graph, const Oid *relids, int nrelids);
extern List *dyn_graph_relids(const DynGraph *graph, const Bitmapset *set);

#endif							/* DYN_GRAPH_H */
