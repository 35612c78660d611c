/*
 * dyn_exec.h
 *	  Doing what a command of dyntable_exec says; for dyn_exec*.c only.
 */
#ifndef DYN_EXEC_H
#define DYN_EXEC_H

#include <nodes/execnodes.h>

#include "command/dyn_statement.h"

typedef struct DynExec
{
	DynParser	parser;
	const char *schema;			/* of the functions, quoted */
	ReturnSetInfo *result;

	/* What runs at the moment, for errors. */
	const char *call;			/* statement given to the server, or NULL */
	const DynStatement *statement;	/* whose query is analysed, or NULL */
	const List *arguments;		/* of the statement, DynArguments */
	const char *query;			/* the query as it was given to the server */
	int			query_shift;	/* where in it the statement's query begins */
} DynExec;

extern void dyn_exec_statement(DynExec *exec, DynStatement *statement);

/* dyn_exec_table.c, the statements about one table that exists or will */
extern void dyn_exec_create(DynExec *exec, DynStatement *statement);
extern void dyn_exec_clone(DynExec *exec, DynStatement *statement);
extern void dyn_exec_set(DynExec *exec, DynStatement *statement);
extern void dyn_exec_rename(DynExec *exec, DynStatement *statement);

/* The table of this name; InvalidOid, with a notice, where there is none and that may be. */
extern Oid	dyn_exec_table(DynExec *exec, const DynName *name, bool missing_ok);

/* "schema.function(argument => 'value', ...)"; first: arguments as text with a comma behind, or "". */
extern char *dyn_exec_call(const DynExec *exec, const char *function, const char *first,
						   const List *arguments);

/*
 * Run a statement as the caller.  Rows of (status text, detail jsonb) become
 * rows of the result.
 */
extern void dyn_exec_run(DynExec *exec, const char *sql);

/* A row of the result about this dynamic table: "Dynamic table <name> <what>". */
extern void dyn_exec_say(DynExec *exec, Oid relid, const char *what);

#endif							/* DYN_EXEC_H */
