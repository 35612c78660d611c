/*
 * dyn_only_row.c
 *	  A scalar subquery as an aggregate: any of its rows, and an error where the
 *	  value is used when there is more than one.
 */
#include <postgres.h>

#include <fmgr.h>

PG_FUNCTION_INFO_V1(dyntable_any_of_step);
PG_FUNCTION_INFO_V1(dyntable_only_row);

/* State and value: the value. */
Datum
dyntable_any_of_step(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(1));
}

/* The value, and how many rows there were. */
Datum
dyntable_only_row(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(1) && PG_GETARG_INT64(1) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("more than one row returned by a subquery used as an expression")));
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}
