/*
 * dyn_own_log.h
 *	  The log of a dynamic table's own delta, which those above it read.
 */
#ifndef DYN_OWN_LOG_H
#define DYN_OWN_LOG_H

#include "refresh/dyn_evaluate.h"

/* Make it unless it is there: before the snapshot of the first run that will read it. */
extern void dyn_own_log_ensure(Oid relid);
extern char *dyn_own_log_name(Oid relid);

/* Write a delta under this refresh number, if the table has a log and anybody reads it. */
extern void dyn_own_log_write(DynExecution *execution, DynSink *sink, DynRows *delta, int64 refresh_no);

#endif							/* DYN_OWN_LOG_H */
