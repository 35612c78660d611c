/*
 * dyn_execute.h
 *	  Running the statements of a refresh.
 */
#ifndef DYN_EXECUTE_H
#define DYN_EXECUTE_H

#include <executor/tuptable.h>
#include <nodes/parsenodes.h>
#include <nodes/plannodes.h>
#include <utils/queryenvironment.h>
#include <utils/snapshot.h>

#include "refresh/dyn_rows.h"

typedef struct DynExecution
{
	Snapshot	snapshot;		/* registered; all statements read under it */
	QueryEnvironment *env;
	CommandId	command;		/* of the last statement */

	/* Unless NULL, plans are kept by it: the role, and settings that change what a statement means. */
	const char *setting;
	int64		number;			/* what $1 stands for in statements, so that a number does not make them others */

	/*
	 * Unless NULL, told the planner's cost of each statement before it is
	 * run.  Returns how many milliseconds the statement may take, 0: any; late
	 * is called when it takes longer, and raises an error.
	 */
	double		(*planned) (double cost, void *arg);
	void		(*late) (void *arg);
	void	   *planned_arg;
} DynExecution;

/* What a statement was, what the planner thought of it, what it gave. */
typedef struct DynTrace
{
	char	   *statement;
	double		cost;			/* the planner's, total */
	int64		rows;
} DynTrace;

/* While not NULL, every statement leaves a DynTrace in it; the list's memory context is its own. */
typedef struct DynTraces
{
	MemoryContext context;
	List	   *traces;
} DynTraces;

extern DynTraces *dyn_execute_traces;

typedef void (*DynRowSink) (TupleTableSlot *slot, void *arg);

/*
 * Run one generated statement: what earlier ones wrote is seen, permissions
 * are not checked (they have been, for the original query).  Returns the
 * number of rows; each goes to sink, unless that is NULL.
 */
extern int64 dyn_execute(DynExecution *execution, const char *statement, DynRowSink sink, void *arg);

/* dyn_planning.c: plan a statement, with what is known of the rows and unions in it; env has the rows. */
extern PlannedStmt *dyn_plan_statement(Query *query, const char *text, QueryEnvironment *env);

/* Run a SELECT as if the statement before had not been. */
extern int64 dyn_execute_before(DynExecution *execution, const char *statement, DynRowSink sink, void *arg);

/* The same for an analysed and rewritten query, with its permissions checked by the executor. */
extern int64 dyn_execute_query(DynExecution *execution, Query *query, DynRowSink sink, void *arg);

/* Run a SELECT into new rows and register them; a delta is consolidated first. */
extern DynRows *dyn_execute_rows(DynExecution *execution, const char *name, const char *statement,
								 TupleDesc desc, const bool *identity);

/*
 * Call work in a subtransaction.  NULL, or what it raised.  Nothing is left of what it did,
 * locks included, if it raised something or is not to be kept.
 */
extern ErrorData *dyn_try(void (*work) (void *arg), void *arg, bool keep);

#endif							/* DYN_EXECUTE_H */
