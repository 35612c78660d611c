/*
 * dyn_options.h
 *	  Arguments of the commands, as text from users.  Each function returns
 *	  the argument's value or raises an error that says what is accepted.
 */
#ifndef DYN_OPTIONS_H
#define DYN_OPTIONS_H

#include <datatype/timestamp.h>
#include <fmgr.h>
#include <nodes/primnodes.h>

#include "catalog/dyn_catalog.h"

#define DYN_DEFAULT_LAG "1 minute"

/* An argument of type text as a string, NULL when it is null. */
extern char *dyn_argument_text(FunctionCallInfo fcinfo, int argno);
extern bool dyn_argument_bool(FunctionCallInfo fcinfo, int argno, bool otherwise);

/* Raises an error where dynamic tables use it. */
extern void dyn_warehouse_drop(const char *name);

/* An argument of type regclass: a dynamic table, of which the caller is the owner. */
extern Oid	dyn_argument_owned(FunctionCallInfo fcinfo, int argno);

extern RangeVar *dyn_option_name(const char *text);
extern Interval *dyn_option_lag(const char *text);	/* NULL: downstream */
extern DynRefreshMode dyn_option_mode(const char *text);
extern bool dyn_option_on_schedule(const char *text);
extern void dyn_option_check_schedule(const char *text);
extern void dyn_option_check_warehouse(const char *text);
extern void dyn_option_check_lag_or_schedule(const char *lag, const char *schedule);

/* A NOTICE if a table that is only refreshed for the sake of others has none. */
extern void dyn_option_tell_unread(Oid relid);

/* Errors that every command which writes raises where it cannot: those of dyn_run_check, and not preloaded. */
extern void dyn_command_check(const char *name);

#endif							/* DYN_OPTIONS_H */
