/*
 * dyn_suspend.c
 *	  dyntable_suspend and dyntable_resume.
 *
 * A suspended table is refreshed by nobody but dyntable_refresh.  Its state
 * has a reason, which decides what a cascade may undo:
 *
 *	USER_SUSPENDED						the user suspended this table
 *	UPSTREAM_USER_SUSPENDED				... a table that it reads
 *	SUSPENDED_DUE_TO_ERRORS				too many failures in a row
 *	UPSTREAM_SUSPENDED_DUE_TO_ERRORS	... of a table that it reads
 *	CLONED_AUTO_SUSPENDED				a clone (dyn_clone.c).  Nothing reads one that was
 *										just made, so there is no cascade of it
 *
 * Suspending cascades to all that bring the table along and are active;
 * resuming to those that were suspended for the sake of an upstream one, once
 * none of theirs is suspended any more.
 */
#include <postgres.h>

#include <access/xact.h>
#include <fmgr.h>
#include <utils/lsyscache.h>

#include "command/dyn_adopt.h"
#include "command/dyn_options.h"
#include "command/dyn_transaction.h"

PG_FUNCTION_INFO_V1(dyntable_suspend);
PG_FUNCTION_INFO_V1(dyntable_resume);

static bool
suspended_for_upstream(const DynTable *table)
{
	return table->suspended && table->state_code != NULL &&
		strncmp(table->state_code, "UPSTREAM_", 9) == 0;
}

/* A dynamic table that relid's refreshes bring along and that is suspended, or InvalidOid. */
static Oid
suspended_upstream(Oid relid)
{
	ListCell   *cell;

	foreach(cell, dyn_pulled_by(relid))
	{
		DynTable   *upstream = dyn_table_get(lfirst_oid(cell), true);

		if (upstream != NULL && upstream->suspended)
			return upstream->relid;
	}
	return InvalidOid;
}

static void
suspend_downstream(Oid relid)
{
	ListCell   *cell;

	foreach(cell, dyn_pullers_of(relid))
	{
		DynTable   *table = dyn_table_get(lfirst_oid(cell), true);

		if (table == NULL || table->suspended)
			continue;
		dyn_table_set_state(table->relid, true, "UPSTREAM_USER_SUSPENDED");
		suspend_downstream(table->relid);
	}
}

static void
resume_downstream(Oid relid)
{
	ListCell   *cell;

	foreach(cell, dyn_pullers_of(relid))
	{
		DynTable   *table = dyn_table_get(lfirst_oid(cell), true);

		if (table == NULL || !suspended_for_upstream(table) ||
			OidIsValid(suspended_upstream(table->relid)))
			continue;
		dyn_table_set_state(table->relid, false, NULL);
		resume_downstream(table->relid);
	}
}

Datum
dyntable_suspend(PG_FUNCTION_ARGS)
{
	Oid			relid;

	dyn_command_check("dyntable_suspend()");
	relid = dyn_argument_owned(fcinfo, 0);
	dyn_table_set_state(relid, true, "USER_SUSPENDED");
	if (dyn_argument_bool(fcinfo, 1, true))
		suspend_downstream(relid);
	dyn_wake_at_end();
	PG_RETURN_VOID();
}

Datum
dyntable_resume(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Oid			upstream;

	dyn_command_check("dyntable_resume()");
	if (!PG_ARGISNULL(0))
		(void) dyn_adopt(PG_GETARG_OID(0));
	relid = dyn_argument_owned(fcinfo, 0);
	upstream = suspended_upstream(relid);
	if (OidIsValid(upstream))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("dynamic table \"%s\" cannot be resumed", get_rel_name(relid)),
				 errdetail("It reads dynamic table \"%s\", which is suspended.",
						   get_rel_name(upstream)),
				 errhint("Resume \"%s\" first.", get_rel_name(upstream))));
	dyn_table_set_state(relid, false, NULL);
	if (dyn_argument_bool(fcinfo, 1, true))
		resume_downstream(relid);
	dyn_wake_at_end();
	PG_RETURN_VOID();
}
