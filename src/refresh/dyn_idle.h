/*
 * dyn_idle.h
 *	  Refreshes of tables to which nothing happened.
 */
#ifndef DYN_IDLE_H
#define DYN_IDLE_H

#include "refresh/dyn_target_internal.h"

/* A refresh of a table begins: from now on it counts what changes in the catalogs. */
extern void dyn_idle_begin(DynTarget *target);

/* Its delta is about to be read. */
extern void dyn_idle_reading(DynTarget *target);

/* It is done, and its position stored: remember what it found, if the next one can rest on that. */
extern void dyn_idle_remember(DynTarget *target);

/*
 * Whether all tables of a run are remembered, so that it is worth looking.  To
 * be asked before the transaction has an xid.
 */
extern bool dyn_idle_possible(const DynRun *run);

/*
 * If nothing happened to any of them, refresh them without writing anything:
 * a list of DynResult.  NIL: refresh them as ever.  Capture has come to where
 * the run's snapshot was taken.
 */
extern List *dyn_idle_refresh(DynRun *run);

#endif							/* DYN_IDLE_H */
