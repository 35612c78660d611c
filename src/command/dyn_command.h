/*
 * dyn_command.h
 *	  What the start-up room needs of the commands.
 */
#ifndef DYN_COMMAND_H
#define DYN_COMMAND_H

#include <nodes/parsenodes.h>

/* Install the hooks that protect dynamic tables and notice that one is dropped. */
extern void dyn_command_init(void);

/* Before DROP TABLE locks anything: wait for the runs of the dynamic tables that will go. */
extern void dyn_lock_doomed(DropStmt *statement);

#endif							/* DYN_COMMAND_H */
