/*
 * dyn_settings.c
 *	  Definition of dyntable's settings.
 *
 * What bounds the whole server is set in postgresql.conf and taken over by a
 * reload; how long a session waits for capture, and at which data timestamp its
 * tests refresh, is the session's own.
 */
#include <postgres.h>

#include <limits.h>

#include <access/xact.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/timestamp.h>

#include "base/dyn_settings.h"

bool		dyn_capture_enabled = true;
int			dyn_max_workers = 4;
int			dyn_min_target_lag = 100;
int			dyn_max_consecutive_failures = 5;
int			dyn_history_retention = 7 * 24 * 60;
int			dyn_max_retained_wal = 16 * 1024;
int			dyn_max_change_log = 16 * 1024;
int			dyn_capture_timeout = 60 * 1000;
char	   *dyn_data_timestamp = NULL;

/* What is no timestamp is refused by SET already; a role's or database's setting can be read only later. */
static bool
check_data_timestamp(char **value, void **extra, GucSource source)
{
	if (*value && (*value)[0] && IsTransactionState())
		(void) DirectFunctionCall3(timestamptz_in, CStringGetDatum(*value), ObjectIdGetDatum(InvalidOid),
								   Int32GetDatum(-1));
	return true;
}

void
dyn_settings_define(void)
{
	DefineCustomBoolVariable("dyntable.capture",
							 "Captures changes of the tables that dynamic tables read.",
							 "Off, the replication slots are dropped, and every refresh of an incremental "
							 "dynamic table computes it in full.",
							 &dyn_capture_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dyntable.max_workers",
							"Sets the maximum number of refresh workers of the server.",
							"They are taken from max_worker_processes.",
							&dyn_max_workers, 4, 1, 1024,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dyntable.min_target_lag",
							"Sets the least target lag that a dynamic table may ask for.",
							NULL,
							&dyn_min_target_lag, 100, 100, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dyntable.max_consecutive_failures",
							"Sets after how many failed scheduled refreshes in a row a dynamic table is suspended.",
							NULL,
							&dyn_max_consecutive_failures, 5, 1, 1000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dyntable.history_retention",
							"Sets how long the refresh history is kept.",
							NULL,
							&dyn_history_retention, 7 * 24 * 60, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("dyntable.max_retained_wal",
							"Sets how much WAL the replication slot of a database may retain.",
							"Beyond it the slot is given up and made anew, and every incremental "
							"dynamic table of the database is initialised again. -1 means no bound.",
							&dyn_max_retained_wal, 16 * 1024, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("dyntable.max_change_log",
							"Sets how large the change log of a source may grow.",
							"Beyond it the dynamic tables that hold it back are left to be "
							"initialised again. -1 means no bound.",
							&dyn_max_change_log, 16 * 1024, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("dyntable.capture_timeout",
							"Sets how long a refresh waits for change capture.",
							NULL,
							&dyn_capture_timeout, 60 * 1000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("dyntable.data_timestamp",
							   "Sets the data timestamp of refreshes by hand, for tests.",
							   "A transaction that has refreshed at it can only be rolled back. "
							   "Empty means the time of the refresh.",
							   &dyn_data_timestamp, "",
							   PGC_USERSET, GUC_DISALLOW_IN_FILE | GUC_NOT_IN_SAMPLE,
							   check_data_timestamp, NULL, NULL);
	MarkGUCPrefixReserved("dyntable");
}

void
dyn_settings_of_process(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"statement_timeout", "0"},
		{"transaction_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
	};

	/* transaction_timeout came in 17 */
	for (int i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}
