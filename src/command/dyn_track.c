/*
 * dyn_track.c
 *	  dyntable_track and dyntable_untrack: a source's owner puts it under
 *	  capture for others.
 *
 * Capture makes the updates and deletes of a table write more WAL, so the first
 * to build on a table must be its owner.  By dyntable_track the owner agrees
 * beforehand: the source comes under capture at once, stays there whether or
 * not anybody reads it, and a role (or everybody) may build on it who may read it.
 */
#include <postgres.h>

#include <access/xlog.h>
#include <catalog/pg_class.h>
#include <fmgr.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <storage/lmgr.h>
#include <utils/lsyscache.h>

#include "base/dyn_settings.h"
#include "capture/dyn_capture.h"
#include "command/dyn_alter.h"
#include "command/dyn_options.h"
#include "command/dyn_transaction.h"
#include "compat/dyn_compat.h"

PG_FUNCTION_INFO_V1(dyntable_track);
PG_FUNCTION_INFO_V1(dyntable_untrack);

/* The first argument: a table that the caller owns. */
static Oid
source_argument(FunctionCallInfo fcinfo)
{
	Oid			source;
	char	   *name;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the source must not be null")));
	source = PG_GETARG_OID(0);
	name = get_rel_name(source);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", source)));
	if (!dyn_owns_relation(source, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, name);
	if (dyn_is_dynamic_table(source))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a dynamic table", name),
				 errdetail("A dynamic table records its changes itself; whoever may read it may build on it.")));
	return source;
}

static void
check_possible(Oid source)
{
	const char *code;
	char	   *detail;
	char	   *reason = NULL;

	if (!dyn_capture_possible(source, NIL, &code, &detail))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("changes of \"%s\" cannot be captured", get_rel_name(source)),
				 errdetail_internal("%s.", detail)));
	if (wal_level < WAL_LEVEL_LOGICAL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("capturing changes needs wal_level = logical")));

	/* as when a table is created: a slot is not made before our transaction, if it writes, has ended */
	if (dyn_capture_generation(TransactionIdIsValid(GetTopTransactionIdIfAny()) ? 0 : dyn_capture_timeout,
							   &reason) == 0 &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("change capture is not ready"),
				 errdetail_internal("%s.", reason),
				 errhint("Look at dyntable.capture and try again later.")));
}

Datum
dyntable_track(PG_FUNCTION_ARGS)
{
	Oid			grantee = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
	Oid			source;

	dyn_command_check("dyntable_track()");
	source = source_argument(fcinfo);
	if (OidIsValid(grantee) && GetUserNameFromId(grantee, true) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", grantee)));
	check_possible(source);
	dyn_tracked_store(source, grantee);
	if (dyn_source_get(source) == NULL && dyn_capture_generation(0, NULL) != 0)
		dyn_capture_register(source, NIL);
	dyn_wake_at_end();
	PG_RETURN_VOID();
}

/*
 * Dynamic tables of others, which rest on the owner's word, would have no changes to
 * go by any more.  Those of the owner keep the source under capture themselves.
 */
static void
check_readers(Oid source)
{
	List	   *readers = NIL;
	ListCell   *lc;
	ListCell   *le;

	foreach(lc, dyn_readers_of(source))
		foreach(le, dyn_edges_of(lfirst_oid(lc)))
		{
			DynEdge    *edge = lfirst(le);

			if (edge->source == source && edge->kind == DYN_EDGE_BASE &&
				!dyn_owns_relation(source, dyn_table_owner(edge->relid)))
				readers = lappend_oid(readers, edge->relid);
		}
	if (readers == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot take \"%s\" out of change capture because dynamic tables of others read it",
					get_rel_name(source)),
			 errdetail("They are: %s.", dyn_relation_names(readers)),
			 errhint("Drop or detach them, or have them refreshed in full with dyntable_alter(name, refresh_mode => 'full').")));
}

Datum
dyntable_untrack(PG_FUNCTION_ARGS)
{
	Oid			source;

	dyn_command_check("dyntable_untrack()");
	source = source_argument(fcinfo);
	check_readers(source);
	if (!dyn_tracked_forget(source))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is not tracked", get_rel_name(source)),
				 errhint("A source that dyntable_track() was not called for leaves change capture with the last dynamic table that reads it.")));
	dyn_wake_at_end();
	PG_RETURN_VOID();
}
