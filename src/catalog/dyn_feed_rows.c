/*
 * dyn_feed_rows.c
 *	  Which tables are followed (dyntable.feed), and the rows of their feeds.
 *
 * A feed is a table of its own, so statements on it are made for the occasion;
 * what they are about is in refresh/dyn_feed.c.
 */
#include <postgres.h>

#include <catalog/pg_authid.h>
#include <catalog/pg_type.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

#define FETCH 1000

void
dyn_feed_keep(Oid relid, const Interval *keep)
{
	static DynStatement upsert = {
		"INSERT INTO dyntable.feed (relid, keep) VALUES ($1, $2)"
		" ON CONFLICT (relid) DO UPDATE SET keep = excluded.keep", 2, {OIDOID, INTERVALOID}
	};
	static DynStatement delete = {"DELETE FROM dyntable.feed WHERE relid = $1", 1, {OIDOID}};
	Datum		values[] = {ObjectIdGetDatum(relid), PointerGetDatum(keep)};

	dyn_spi_run(keep ? &upsert : &delete, values, NULL);
}

/* A statement, with %s for the feed, that is not kept; its rows are at hand until end(). */
static void
begin(DynCall *call, const char *sql, Oid feed, int nargs, Oid *types, Datum *values, const char *nulls,
	  bool read_only)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *name = quote_qualified_identifier("dyntable", get_rel_name(feed));
	int			result;

	GetUserIdAndSecContext(&call->userid, &call->sec_context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, call->sec_context | SECURITY_LOCAL_USERID_CHANGE);
	call->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	result = SPI_execute_with_args(psprintf(sql, name), nargs, types, values, nulls, read_only, 0);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(result));
	call->nrows = SPI_processed;
	MemoryContextSwitchTo(caller);
}

void
dyn_feed_mark(Oid feed, int64 refresh_no, TimestampTz data_timestamp)
{
	Datum		values[] = {Int64GetDatum(refresh_no), TimestampTzGetDatum(data_timestamp)};
	DynCall		call;

	begin(&call, "INSERT INTO %s (refresh_no, data_timestamp, w) VALUES ($1, $2, 0)", feed, 2,
		  (Oid[]) {INT8OID, TIMESTAMPTZOID}, values, TIMESTAMP_IS_NOBEGIN(data_timestamp) ? " n" : NULL, false);
	dyn_spi_end(&call);
}

void
dyn_feed_trim(Oid relid, Oid feed, TimestampTz data_timestamp)
{
	Datum		values[] = {ObjectIdGetDatum(relid), TimestampTzGetDatum(data_timestamp)};
	DynCall		call;

	/* up to the last mark that is as old as that, which stays as the oldest */
	begin(&call, "WITH k AS MATERIALIZED (SELECT refresh_no FROM %1$s WHERE w = 0 AND data_timestamp <="
		  " $2 - (SELECT keep FROM dyntable.feed WHERE relid = $1) ORDER BY data_timestamp DESC, refresh_no DESC LIMIT 1)"
		  " DELETE FROM %1$s f USING k WHERE f.refresh_no < k.refresh_no OR f.refresh_no = k.refresh_no AND f.w <> 0",
		  feed, 2, (Oid[]) {OIDOID, TIMESTAMPTZOID}, values, NULL, false);
	dyn_spi_end(&call);
}

void
dyn_feed_clear(Oid feed)
{
	DynCall		call;

	begin(&call, "DELETE FROM %s", feed, 0, NULL, NULL, NULL, false);
	dyn_spi_end(&call);
}

bool
dyn_feed_oldest(Oid feed, int64 *refresh_no, TimestampTz *data_timestamp)
{
	DynCall		call;
	bool		found;

	begin(&call, "SELECT refresh_no, data_timestamp FROM %s WHERE w = 0 ORDER BY refresh_no LIMIT 1", feed,
		  0, NULL, NULL, NULL, true);
	found = call.nrows > 0;
	if (found)
	{
		*refresh_no = dyn_spi_int8(0, 1);
		*data_timestamp = dyn_spi_timestamp(0, 2);
	}
	dyn_spi_end(&call);
	return found;
}

void
dyn_feed_read(Oid feed, int64 since, TimestampTz since_time, Tuplestorestate *rows, TupleDesc desc)
{
	Datum		values[] = {Int64GetDatum(since), TimestampTzGetDatum(since_time)};
	MemoryContext caller = CurrentMemoryContext;
	Portal		portal;
	DynCall		call;

	begin(&call, "SELECT 1 FROM %s LIMIT 0", feed, 0, NULL, NULL, NULL, true);
	portal = SPI_cursor_open_with_args(NULL,
									   psprintf("SELECT f.refresh_no, m.data_timestamp,"
												" CASE WHEN f.w > 0 THEN 'insert' ELSE 'delete' END, f.is_update, f.data"
												" FROM dyntable.%1$s m JOIN dyntable.%1$s f ON f.refresh_no = m.refresh_no,"
												" generate_series(1, abs(f.w)) WHERE m.w = 0 AND f.w <> 0"
												" AND m.refresh_no > $1 AND m.data_timestamp > $2"
												" ORDER BY f.refresh_no, sign(f.w)", quote_identifier(get_rel_name(feed))),
									   2, (Oid[]) {INT8OID, TIMESTAMPTZOID}, values, NULL, true, 0);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			Datum		row[5];
			bool		isnull[5];

			for (int c = 0; c < 5; c++)
				row[c] = dyn_spi_datum(i, c + 1, &isnull[c]);
			tuplestore_putvalues(rows, desc, row, isnull);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextSwitchTo(caller);
	dyn_spi_end(&call);
}
