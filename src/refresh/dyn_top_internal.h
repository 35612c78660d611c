/*
 * dyn_top_internal.h
 *	  A refresh of the first rows while it goes on; for dyn_top*.c only.
 */
#ifndef DYN_TOP_INTERNAL_H
#define DYN_TOP_INTERNAL_H

#include "refresh/dyn_evaluate.h"

typedef struct DynTop
{
	DynEvaluation *evaluation;
	DynNode    *node;
	DynNode    *input;
	DynRows    *changes;		/* of the state */
	DynRows    *delta;			/* the node's */
	bool		repeats;		/* some rows in these may be equal */
	DynRows    *again;			/* a row (w, c1, … of the input) of each partition that is to be read again; NULL: none */
} DynTop;

/*
 * dyn_top_merge.c: run a dyn_sql_top_merged and put into changes and delta what
 * becomes of the partitions; of those that are to be read again, that all that
 * is kept goes.  Raises ERRCODE_DYN_STATE_DIVERGED where a row goes that was not there.
 */
extern void dyn_top_merge(DynTop *top, const char *statement);

/* Put the first columns of a row, as many as it has, into a delta. */
extern void dyn_top_put(DynRows *delta, int64 weight, const Datum *values, const bool *isnull);

#endif							/* DYN_TOP_INTERNAL_H */
