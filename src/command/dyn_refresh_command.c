/*
 * dyn_refresh_command.c
 *	  dyntable_refresh and dyntable_verify: runs asked for by a user.
 */
#include <postgres.h>

#include <catalog/pg_class.h>
#include <catalog/pg_type.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>

#include "base/dyn_queue.h"
#include "command/dyn_adopt.h"
#include "command/dyn_options.h"
#include "command/dyn_transaction.h"
#include "compat/dyn_compat.h"
#include "refresh/dyn_refresh.h"

PG_FUNCTION_INFO_V1(dyntable_refresh);
PG_FUNCTION_INFO_V1(dyntable_verify);

/* The tables named, each once, all of which the caller may refresh. */
static List *
named_tables(ArrayType *names)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	List	   *relids = NIL;

	deconstruct_array(names, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		Oid			relid = DatumGetObjectId(elements[i]);

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("name of a dynamic table must not be null")));
		(void) dyn_adopt(relid);
		dyn_table_get(relid, false);
		if (!dyn_may_refresh(relid, GetUserId()))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
		if (list_member_oid(relids, relid))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("dynamic table \"%s\" is named more than once", get_rel_name(relid))));
		relids = lappend_oid(relids, relid);
	}
	return relids;
}

/* Every dynamic table that the caller may refresh; as VACUUM, skips the others with a warning. */
static List *
all_tables(void)
{
	List	   *relids = NIL;
	ListCell   *cell;

	dyn_adopt_all();
	foreach(cell, dyn_table_all())
	{
		Oid			relid = lfirst_oid(cell);
		char	   *name = get_rel_name(relid);

		if (name == NULL)
			continue;
		if (dyn_may_refresh(relid, GetUserId()))
			relids = lappend_oid(relids, relid);
		else
			ereport(WARNING,
					(errmsg("skipping \"%s\" --- only its owner can refresh it", name)));
	}
	return relids;
}

static void
put_result(ReturnSetInfo *rsinfo, const DynResult *result)
{
	Datum		values[8] = {0};
	bool		nulls[8] = {false};

	values[0] = ObjectIdGetDatum(result->relid);
	values[1] = CStringGetTextDatum(dyn_action_name(result->action));
	values[2] = TimestampTzGetDatum(result->data_timestamp);
	nulls[2] = TIMESTAMP_NOT_FINITE(result->data_timestamp);
	values[3] = Int64GetDatum(result->rows_inserted);
	values[4] = Int64GetDatum(result->rows_updated);
	values[5] = Int64GetDatum(result->rows_deleted);
	values[6] = DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(result->ended),
									TimestampTzGetDatum(result->started));
	nulls[7] = result->reason == NULL;
	if (result->reason != NULL)
		values[7] = CStringGetTextDatum(result->reason);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
dyntable_refresh(PG_FUNCTION_ARGS)
{
	List	   *relids;
	ListCell   *cell;

	dyn_command_check("dyntable_refresh()");
	InitMaterializedSRF(fcinfo, 0);
	relids = PG_ARGISNULL(0) ? all_tables() : named_tables(PG_GETARG_ARRAYTYPE_P(0));
	if (relids == NIL)
		PG_RETURN_NULL();
	dyn_forbid_prepare();
	foreach(cell, dyn_run(relids, &(DynRunOptions) {.trigger = DYN_TRIGGER_MANUAL}))
	{
		DynResult  *result = lfirst(cell);

		put_result((ReturnSetInfo *) fcinfo->resultinfo, result);
		if (!result->idle)
			dyn_schedule_moved(result->relid);
	}
	PG_RETURN_NULL();
}

Datum
dyntable_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid;
	int64		missing;
	int64		unexpected;
	Datum		values[2];
	bool		nulls[2] = {false};

	dyn_command_check("dyntable_verify()");
	relid = dyn_argument_owned(fcinfo, 0);
	InitMaterializedSRF(fcinfo, 0);
	dyn_forbid_prepare();
	dyn_verify(relid, &missing, &unexpected);
	values[0] = Int64GetDatum(missing);
	values[1] = Int64GetDatum(unexpected);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	PG_RETURN_NULL();
}
