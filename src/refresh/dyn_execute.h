/*
 * dyn_execute.h
 *	  Running the statements of a refresh.
 */
#ifndef DYN_EXECUTE_H
#define DYN_EXECUTE_H

#include <executor/tuptable.h>
#include <nodes/parsenodes.h>
#include <utils/queryenvironment.h>
#include <utils/snapshot.h>

#include "refresh/dyn_rows.h"

typedef struct DynExecution
{
	Snapshot	snapshot;		/* registered; all statements read under it */
	QueryEnvironment *env;
	List	   *explain;		/* of char *: the statements, when explaining */
	bool		explaining;
} DynExecution;

typedef void (*DynRowSink) (TupleTableSlot *slot, void *arg);

/*
 * Run one generated statement: what earlier ones wrote is seen, permissions
 * are not checked (they have been, for the original query).  Returns the
 * number of rows; each goes to sink, unless that is NULL.
 */
extern int64 dyn_execute(DynExecution *execution, const char *statement, DynRowSink sink, void *arg);

/* The same for an analysed and rewritten query, with its permissions checked by the executor. */
extern int64 dyn_execute_query(DynExecution *execution, Query *query, DynRowSink sink, void *arg);

/* Run a SELECT into new rows and register them; a delta is consolidated first. */
extern DynRows *dyn_execute_rows(DynExecution *execution, const char *name, const char *statement,
								 TupleDesc desc, const bool *identity);

#endif							/* DYN_EXECUTE_H */
