/*
 * dyn_settings.h
 *	  The settings of dyntable (postgresql.conf, SET).
 */
#ifndef DYN_SETTINGS_H
#define DYN_SETTINGS_H

extern bool dyn_capture_enabled;	/* off: no slot, full refreshes */
extern int	dyn_max_workers;		/* refresh workers per server */
extern int	dyn_min_target_lag;		/* milliseconds */
extern int	dyn_max_consecutive_failures;
extern int	dyn_history_retention;	/* minutes */
extern int	dyn_max_retained_wal;	/* megabytes; -1: no bound */
extern int	dyn_max_change_log;		/* megabytes; -1: no bound */
extern int	dyn_capture_timeout;	/* milliseconds a refresh waits for capture */
extern char *dyn_data_timestamp;	/* text; empty: the clock's (dyn_moment.c) */

extern void dyn_settings_define(void);

/* In a process of ours: what postgresql.conf or a database sets for clients must not hit it. */
extern void dyn_settings_of_process(void);

#endif							/* DYN_SETTINGS_H */
