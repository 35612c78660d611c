/*
 * dyn_blame.h
 *	  Which row of a source, and which expression, made a refresh fail.
 */
#ifndef DYN_BLAME_H
#define DYN_BLAME_H

#include "refresh/dyn_target.h"

/*
 * A line for an error that rows cannot be blamed for says NULL.  Otherwise it
 * names the dynamic table, and as far as they are found the expression, its
 * tables and the keys of the rows.  Called after the refresh's subtransaction
 * has ended; raises nothing but that the statement was cancelled.
 */
extern char *dyn_blame(DynRun *run, Oid relid, const ErrorData *error);

#endif							/* DYN_BLAME_H */
