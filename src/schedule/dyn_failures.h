/*
 * dyn_failures.h
 *	  What becomes of tables whose scheduled refresh failed.
 */
#ifndef DYN_FAILURES_H
#define DYN_FAILURES_H

#include <nodes/pg_list.h>

#include "base/dyn_queue.h"

/*
 * All in the current transaction, which must not be the one that failed.
 * timed_out: the run was cancelled by its own statement timeout.
 */

/* The failed ones among the results (DynResult *) of a run that committed. */
extern void dyn_failures_record(const List *results, bool timed_out);

/* A run that was rolled back as a whole, and why. */
extern void dyn_failures_record_run(const DynTask *task, const char *sqlstate,
									const char *message, bool timed_out);

#endif							/* DYN_FAILURES_H */
