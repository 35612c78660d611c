/*
 * dyn_aggregate_internal.h
 *	  A refresh of groups while it goes on; for dyn_aggregate*.c only.
 */
#ifndef DYN_AGGREGATE_INTERNAL_H
#define DYN_AGGREGATE_INTERNAL_H

#include "refresh/dyn_evaluate.h"

typedef struct DynGroups
{
	DynEvaluation *evaluation;
	DynNode    *node;
	char	   *delta;			/* of the input: its name, or a sub-select */
	List	   *names;			/* c1 .. of the keys */
	List	   *types;
	bool		nulls;			/* some key of this delta is NULL */
	bool		plus;			/* some row of this delta comes, */
	bool		minus;			/* some goes, */
	bool		repeated;		/* some of them several times */
	bool	   *has_null;		/* by column of the input (from 1) */
	bool		placed;			/* the groups are the rows of the dynamic table, whose places are looked up too */
	DynRows    *rows;			/* where sinks put */
	int64		reread;
} DynGroups;

/*
 * In u and f, behind the keys: where the group's state is, where its row of the dynamic table is, the present values of
 * those keys that have variants (from dyn_groups_shown + 1), how many rows it has.
 */
#define dyn_groups_place(node) ((node)->nkeys)
#define dyn_groups_shown(node) ((node)->nkeys + 1)
#define dyn_groups_n(node) ((node)->nkeys + 2 + list_length((node)->variants))

#define dyn_group_output(node, j) (&(node)->columns[(node)->nkeys + (j) - 1])

/* The columns of state that an aggregate may have, in their order. */
#define DYN_AGG_COLUMNS "mstx"

#define dyn_agg_keeps_sum(agg) ((agg)->kind == DYN_AGG_SUM || (agg)->kind == DYN_AGG_AVG)
#define dyn_agg_keeps_holders(agg) ((agg)->kind == DYN_AGG_EXTREMUM && (agg)->alike)
#define dyn_agg_keeps_count(agg) (dyn_agg_keeps_sum(agg) || ((agg)->kind == DYN_AGG_COUNT && (agg)->arg > 0))
#define dyn_agg_keeps_scale(agg) (dyn_agg_keeps_sum(agg) && (agg)->counts_scale)

extern bool dyn_agg_keeps(DynAgg *agg, char column);

/* Does the sum of the argument fit a bigint, as the server's own sum of it does? */
extern bool dyn_agg_exact(DynNode *node, DynAgg *agg);

/* The statements for u, r (content: the input's rows of these groups) and f; see dyn_aggregate.c. */
extern char *dyn_groups_update(DynGroups *groups);
extern char *dyn_groups_reread(DynGroups *groups, const char *content);
extern char *dyn_groups_final(DynGroups *groups);

#endif							/* DYN_AGGREGATE_INTERNAL_H */
