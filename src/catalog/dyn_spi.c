/*
 * dyn_spi.c
 *	  The one way in which this room runs SQL.
 *
 * dyntable's own tables belong to no user, so their statements run with the
 * rights of the bootstrap superuser, under a search_path that nobody else can
 * put objects into.  Both are set back at the end of a call, and by the
 * (sub)transaction when it fails.  Statements are never read-only to SPI:
 * a run must see what it wrote itself a moment ago.
 *
 * Plans are kept for the life of the backend.  They name their tables, so the
 * plan cache analyses them anew after DROP and CREATE EXTENSION.
 */
#include <postgres.h>

#include <catalog/pg_authid.h>
#include <catalog/pg_type.h>
#include <miscadmin.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/timestamp.h>

#include "catalog/dyn_spi.h"

void
dyn_spi_begin(DynCall *call, DynStatement *statement, Datum *values, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	dyn_lookup_close();
	GetUserIdAndSecContext(&call->userid, &call->sec_context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   call->sec_context | SECURITY_LOCAL_USERID_CHANGE);
	call->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, statement->nargs, statement->argtypes);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
				 SPI_result_code_string(SPI_result));
		statement->plan = plan;
	}
	result = SPI_execute_plan(statement->plan, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(result));
	call->nrows = SPI_processed;
	MemoryContextSwitchTo(caller);
}

void
dyn_spi_end(DynCall *call)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not disconnect from SPI");
	AtEOXact_GUC(true, call->guc_level);
	SetUserIdAndSecContext(call->userid, call->sec_context);
}

uint64
dyn_spi_run(DynStatement *statement, Datum *values, const char *nulls)
{
	DynCall		call;

	dyn_spi_begin(&call, statement, values, nulls);
	dyn_spi_end(&call);
	return call.nrows;
}

List *
dyn_spi_oids(DynStatement *statement, Datum *values)
{
	DynCall		call;
	List	   *oids = NIL;

	dyn_spi_begin(&call, statement, values, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
		oids = lappend_oid(oids, dyn_spi_oid(row, 1));
	dyn_spi_end(&call);
	return oids;
}

Datum
dyn_spi_datum(uint64 row, int column, bool *isnull)
{
	if (dyn_lookup_open())
		return dyn_lookup_datum(row, column, isnull);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
dyn_spi_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = dyn_spi_datum(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

char *
dyn_spi_snapshot(uint64 row, int column)
{
	bool		isnull;
	Datum		value = dyn_spi_datum(row, column, &isnull);

	return isnull ? NULL : DatumGetCString(DirectFunctionCall1(pg_snapshot_out, value));
}

/* A column that is never null. */
static Datum
not_null(uint64 row, int column)
{
	bool		isnull;
	Datum		value = dyn_spi_datum(row, column, &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column %d of a dyntable catalog", column);
	return value;
}

Oid
dyn_spi_oid(uint64 row, int column)
{
	return DatumGetObjectId(not_null(row, column));
}

int32
dyn_spi_int4(uint64 row, int column)
{
	return DatumGetInt32(not_null(row, column));
}

int64
dyn_spi_int8(uint64 row, int column)
{
	return DatumGetInt64(not_null(row, column));
}

bool
dyn_spi_bool(uint64 row, int column)
{
	return DatumGetBool(not_null(row, column));
}

Interval *
dyn_spi_interval(uint64 row, int column)
{
	bool		isnull;
	Datum		value = dyn_spi_datum(row, column, &isnull);
	Interval   *interval = NULL;

	if (!isnull)
	{
		interval = palloc(sizeof(Interval));
		*interval = *DatumGetIntervalP(value);
	}
	return interval;
}

TimestampTz
dyn_spi_timestamp(uint64 row, int column)
{
	bool		isnull;
	Datum		value = dyn_spi_datum(row, column, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

double
dyn_spi_float8(uint64 row, int column)
{
	bool		isnull;
	Datum		value = dyn_spi_datum(row, column, &isnull);

	return isnull ? -1 : DatumGetFloat8(value);
}

void
dyn_spi_float8_array(uint64 row, int column, double *values, int count)
{
	ArrayType  *array = DatumGetArrayTypeP(not_null(row, column));
	Datum	   *elements;
	bool	   *nulls;
	int			there;

	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, &there);
	for (int i = 0; i < count; i++)
		values[i] = i < there && !nulls[i] ? DatumGetFloat8(elements[i]) : -1;
}

List *
dyn_spi_int2_list(uint64 row, int column)
{
	ArrayType  *array = DatumGetArrayTypeP(not_null(row, column));
	Datum	   *elements;
	int			count;
	List	   *list = NIL;

	deconstruct_array(array, INT2OID, sizeof(int16), true, TYPALIGN_SHORT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		list = lappend_int(list, DatumGetInt16(elements[i]));
	return list;
}

List *
dyn_spi_text_list(uint64 row, int column)
{
	ArrayType  *array = DatumGetArrayTypeP(not_null(row, column));
	Datum	   *elements;
	int			count;
	List	   *list = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		list = lappend(list, TextDatumGetCString(elements[i]));
	return list;
}

Datum
dyn_text_value(const char *string, char *null)
{
	*null = string ? ' ' : 'n';
	return string ? CStringGetTextDatum(string) : (Datum) 0;
}

Datum
dyn_snapshot_value(const DynSnapshot *snapshot, char *null)
{
	*null = snapshot ? ' ' : 'n';
	return snapshot ? DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(dyn_snapshot_to_text(snapshot))) : (Datum) 0;
}

Datum
dyn_timestamp_value(TimestampTz timestamp, char *null)
{
	*null = TIMESTAMP_IS_NOBEGIN(timestamp) ? 'n' : ' ';
	return TimestampTzGetDatum(timestamp);
}

Datum
dyn_float8_value(double value, char *null)
{
	*null = value < 0 ? 'n' : ' ';
	return Float8GetDatum(value);
}

Datum
dyn_float8_array_value(const double *values, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc(sizeof(bool) * count);
	int			bounds[] = {1};

	for (int i = 0; i < count; i++)
	{
		nulls[i] = values[i] < 0;
		elements[i] = Float8GetDatum(values[i]);
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &count, bounds, FLOAT8OID,
											  sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
dyn_int2_array_value(const List *list)
{
	Datum	   *elements = palloc(sizeof(Datum) * (list_length(list) + 1));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, list)
		elements[count++] = Int16GetDatum((int16) lfirst_int(cell));
	return PointerGetDatum(construct_array(elements, count, INT2OID, sizeof(int16), true,
										   TYPALIGN_SHORT));
}

Datum
dyn_text_array_value(const List *list)
{
	Datum	   *elements = palloc(sizeof(Datum) * (list_length(list) + 1));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, list)
		elements[count++] = CStringGetTextDatum((const char *) lfirst(cell));
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}
