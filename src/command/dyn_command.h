/*
 * dyn_command.h
 *	  What the start-up room needs of the commands.
 */
#ifndef DYN_COMMAND_H
#define DYN_COMMAND_H

/* Install the hooks that protect dynamic tables and notice that one is dropped. */
extern void dyn_command_init(void);

#endif							/* DYN_COMMAND_H */
