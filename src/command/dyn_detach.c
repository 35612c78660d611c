/*
 * dyn_detach.c
 *	  dyntable_detach: a dynamic table becomes an ordinary one.
 *
 * It keeps its rows as they are, its columns, indexes, constraints, grants and
 * what depends on it.  What dyntable had made for it goes: the index on
 * the identity of its rows, state tables, log, definition.  Dynamic tables that
 * read it would have to learn of its changes in another way from one moment to
 * the next, so while there are any it is refused.
 */
#include <postgres.h>

#include <access/xact.h>
#include <fmgr.h>
#include <lib/stringinfo.h>
#include <utils/lsyscache.h>

#include "command/dyn_options.h"
#include "command/dyn_transaction.h"
#include "refresh/dyn_refresh.h"
#include "refresh/dyn_target.h"

PG_FUNCTION_INFO_V1(dyntable_detach);

static void
check_readers(Oid relid)
{
	List	   *readers = dyn_readers_of(relid);

	if (readers == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot detach dynamic table \"%s\" because other dynamic tables read it",
					get_rel_name(relid)),
			 errdetail("They are: %s.", dyn_relation_names(readers)),
			 errhint("Detach or drop these first.")));
}

Datum
dyntable_detach(PG_FUNCTION_ARGS)
{
	Oid			relid;

	dyn_command_check("dyntable_detach()");
	relid = dyn_argument_owned(fcinfo, 0);
	dyn_run_claim(list_make1_oid(relid));
	dyn_table_get(relid, false);
	check_readers(relid);
	dyn_lock_against_readers(relid, "It is to become an ordinary table.");
	dyn_sink_drop_indexes(relid);
	dyn_table_delete(relid);
	dyn_depend_forget(relid);
	dyn_stages_left_drop();
	dyn_wake_at_end();
	PG_RETURN_VOID();
}
