/*
 * dyn_advice.h
 *	  A plan in words, and the indexes worth having for it.
 */
#ifndef DYN_ADVICE_H
#define DYN_ADVICE_H

#include "query/dyn_node.h"

/* List of char *: the operators, top first, indented. */
extern List *dyn_plan_describe(DynPlan *plan);

/* A column by which small deltas look up rows of a relation or of a state table. */
typedef struct DynLookup
{
	DynNode    *node;			/* a scan, or a node with state */
	int			column;
} DynLookup;

extern List *dyn_plan_lookups(DynPlan *plan);

/* Has what stands behind one of these expressions over an input (as varno 1) an index on it? */
extern bool dyn_node_indexed(DynNode *node, int input, List *exprs);

/* List of char *: commands that create the indexes a small delta would use. */
extern List *dyn_plan_missing_indexes(DynPlan *plan);

#endif							/* DYN_ADVICE_H */
