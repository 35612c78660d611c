/*
 * dyn_lockers.c
 *	  Who holds the locks that are in our way, told from pg_locks.
 *
 * Not for every refresh: looking at all locks stops the lock manager for a
 * moment.  It is asked when a wait was in vain.
 */
#include <postgres.h>

#include <catalog/pg_type.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

/*
 * What is in the way of SHARE ROW EXCLUSIVE on a table or a partition of it; or,
 * when no table is given, of ACCESS SHARE on anything: there those count too
 * who wait, since readers queue behind them.
 */
#define IN_THE_WAY \
	"(SELECT DISTINCT l.pid, l.virtualtransaction FROM pg_locks l" \
	" WHERE l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid()" \
	" AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())" \
	" AND CASE WHEN $1 = 0 THEN l.mode = 'AccessExclusiveLock'" \
	" ELSE l.granted AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND" \
	" (l.relation = $1 OR l.relation IN (SELECT relid FROM pg_partition_tree($1::regclass))) END)"

char *
dyn_lock_holders(Oid relid, Oid role)
{
	static DynStatement select = {
		"SELECT string_agg(CASE WHEN l.pid IS NULL THEN concat_ws(' ', 'prepared transaction', quote_literal(p.gid))"
		" ELSE format('process %s (%s)', l.pid, concat_ws(', ', coalesce(a.usename, a.backend_type),"
		" CASE WHEN pg_has_role($2, a.usesysid, 'USAGE') OR pg_has_role($2, 'pg_read_all_stats', 'USAGE')"
		" THEN concat_ws(': ', a.state, left(regexp_replace(a.query, '\\s+', ' ', 'g'), 80)) END)) END, '; ')"
		" FROM " IN_THE_WAY " l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
		" LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'"
		" AND x.virtualtransaction = l.virtualtransaction"
		" LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid",
		2, {OIDOID, OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), ObjectIdGetDatum(role)};
	DynCall		call;
	char	   *names;

	dyn_spi_begin(&call, &select, values, NULL);
	names = dyn_spi_text(0, 1);
	dyn_spi_end(&call);
	return names;
}

bool
dyn_lock_waits_for(Oid relid, int pid)
{
	static DynStatement select = {
		"WITH RECURSIVE waiting(pid) AS (SELECT l.pid FROM " IN_THE_WAY " l"
		" UNION SELECT b.pid FROM waiting w, unnest(pg_blocking_pids(w.pid)) b(pid))"
		" SELECT EXISTS (SELECT FROM waiting w WHERE w.pid = $2)",
		2, {OIDOID, INT4OID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), Int32GetDatum(pid)};
	DynCall		call;
	bool		waits;

	if (pid == 0)
		return false;
	dyn_spi_begin(&call, &select, values, NULL);
	waits = dyn_spi_bool(0, 1);
	dyn_spi_end(&call);
	return waits;
}
