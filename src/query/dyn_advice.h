/*
 * dyn_advice.h
 *	  A plan in words, and the indexes worth having for it.
 */
#ifndef DYN_ADVICE_H
#define DYN_ADVICE_H

#include "query/dyn_node.h"

/* List of char *: the operators, top first, indented. */
extern List *dyn_plan_describe(DynPlan *plan);

/* What kind of operator it is, in words. */
extern const char *dyn_node_kind(const DynNode *node);

/* Columns by which small deltas look up rows of a relation or of a state table. */
typedef struct DynLookup
{
	DynNode    *node;			/* a scan, or a node with state */
	List	   *columns;		/* of int: compared together */
	int			probe;			/* one number for what is looked up together, also in other nodes */
	char	   *when;			/* at which refreshes: "that changes …", "" for each */
} DynLookup;

extern List *dyn_plan_lookups(DynPlan *plan);

/* Has what stands behind one of these expressions over an input (as varno 1) an index on it? */
extern bool dyn_node_indexed(DynNode *node, int input, List *exprs);

/* dyn_index.c: does an index serve the lookup in some way?  State tables have one for each. */
extern bool dyn_lookup_indexed(const DynLookup *lookup);

/* List of char *: commands that create the indexes a small delta would use, each with what it would save. */
extern List *dyn_plan_missing_indexes(DynPlan *plan);

#endif							/* DYN_ADVICE_H */
