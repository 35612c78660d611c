/*
 * dyn_suspects.h
 *	  The expressions of a plan, over the columns of the tables that they read.
 */
#ifndef DYN_SUSPECTS_H
#define DYN_SUSPECTS_H

#include "query/dyn_node.h"

/* An expression over the columns of scans: varno n is the n-th of them. */
typedef struct DynSuspect
{
	Node	   *expr;
	List	   *scans;			/* of DynNode * */
	List	   *filters;		/* conditions over these, without which a row does not come so far */
	bool		cleared;		/* it raised something else; for the caller */
} DynSuspect;

/* In the order in which a refresh computes them; the current user is the dynamic table's owner. */
extern List *dyn_suspects(DynPlan *plan);

/* Whether a filter is an equality of two columns, by which rows of two tables come together. */
extern bool dyn_suspect_is_plain(Node *filter);

#endif							/* DYN_SUSPECTS_H */
