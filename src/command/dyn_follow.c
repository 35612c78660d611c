/*
 * dyn_follow.c
 *	  dyntable_follow and dyntable_changes: the change feed of a dynamic table.
 *
 * To have changes kept costs disk, so it is the owner's to say; to read them
 * takes what reading the table takes.
 */
#include <postgres.h>

#include <access/xact.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/lsyscache.h>
#include <utils/rls.h>
#include <utils/timestamp.h>

#include "command/dyn_options.h"
#include "command/dyn_transaction.h"
#include "refresh/dyn_feed.h"
#include "refresh/dyn_refresh.h"

PG_FUNCTION_INFO_V1(dyntable_follow);
PG_FUNCTION_INFO_V1(dyntable_changes);

static void
check_keep(const Interval *keep)
{
	if (keep->month < 0 || keep->day < 0 || keep->time < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("changes cannot be kept for a negative time")));
}

/* follow(name, keep): the number of the last refresh, behind which the changes are kept from now on. */
Datum
dyntable_follow(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Oid			feed;
	DynPosition *position;

	dyn_command_check("dyntable_follow()");
	relid = dyn_argument_owned(fcinfo, 0);
	if (!PG_ARGISNULL(1))
		check_keep(PG_GETARG_INTERVAL_P(1));

	/* between two refreshes */
	dyn_run_claim(list_make1_oid(relid));
	position = dyn_position_get(relid);
	feed = dyn_stage_get(relid, DYN_FEED_STAGE);
	dyn_feed_keep(relid, PG_ARGISNULL(1) ? NULL : PG_GETARG_INTERVAL_P(1));
	if (PG_ARGISNULL(1) && OidIsValid(feed))
		dyn_stage_drop(relid, feed);
	else if (!PG_ARGISNULL(1) && !OidIsValid(feed))
		dyn_feed_create(relid, position->refresh_no, position->data_timestamp);
	dyn_forbid_prepare();
	PG_RETURN_INT64(position->refresh_no);
}

/* Who may read all of the table may read what became of it. */
static void
check_readable(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("changes of dynamic table \"%s\" cannot be read where its row-level security applies", name),
				 errdetail("Policies are about rows of the table, not about those that left it.")));
}

static void
refuse_gap(Oid relid, int64 oldest, TimestampTz oldest_time)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("changes of dynamic table \"%s\" are not kept from so long ago", get_rel_name(relid)),
			 TIMESTAMP_IS_NOBEGIN(oldest_time) ? errdetail("They are kept since refresh %lld.", (long long) oldest) :
			 errdetail("They are kept since refresh %lld with data timestamp %s.", (long long) oldest,
					   timestamptz_to_str(oldest_time)),
			 errhint("Read the table again, together with its refresh_no in dyntable.dynamic_tables, and go on from there. dyntable_follow() says how long changes are kept.")));
}

/* changes(name, since, since_time) */
Datum
dyntable_changes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		since = PG_ARGISNULL(1) ? PG_INT64_MIN : PG_GETARG_INT64(1);
	TimestampTz since_time = PG_ARGISNULL(2) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(2);
	Oid			relid;
	Oid			feed;
	int64		oldest;
	TimestampTz oldest_time;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the dynamic table must not be null")));
	relid = PG_GETARG_OID(0);
	dyn_table_get(relid, false);
	check_readable(relid);
	feed = dyn_stage_get(relid, DYN_FEED_STAGE);
	if (!OidIsValid(feed))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("changes of dynamic table \"%s\" are not kept", get_rel_name(relid)),
				 errhint("Its owner can have them kept with dyntable_follow().")));
	InitMaterializedSRF(fcinfo, 0);
	if (!dyn_feed_oldest(feed, &oldest, &oldest_time))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("changes of dynamic table \"%s\" are kept anew since this transaction's snapshot", get_rel_name(relid)),
				 errhint("The transaction might succeed if retried.")));
	if ((!PG_ARGISNULL(1) && since < oldest) ||
		(!PG_ARGISNULL(2) && !TIMESTAMP_IS_NOBEGIN(oldest_time) && since_time < oldest_time))
		refuse_gap(relid, oldest, oldest_time);
	if (!PG_ARGISNULL(1) && since > dyn_position_get(relid)->refresh_no)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dynamic table \"%s\" has had no refresh %lld", get_rel_name(relid), (long long) since),
				 errhint("It may be another table of that name: read it again.")));
	dyn_feed_read(feed, since, since_time, result->setResult, result->setDesc);
	return (Datum) 0;
}
