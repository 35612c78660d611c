/*
 * dyn_startup.h
 *	  Shared by the files of the start-up room only.
 */
#ifndef DYN_STARTUP_H
#define DYN_STARTUP_H

/* dyn_launcher.c */
extern void dyn_launcher_register(void);

/* dyn_database.c: commands on whole databases, and our workers in them */
extern void dyn_database_init(void);

#endif							/* DYN_STARTUP_H */
