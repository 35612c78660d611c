/*
 * dyn_moment.c
 *	  A data timestamp that the session asks for, for tests.
 *
 * What a definition says of now() is tested by refreshes at moments of the
 * test's choice.  A table that were left at one would tell everybody that its data
 * are of that moment, and a later refresh, a lag or a consumer would take it at
 * its word: a transaction that has refreshed so can only be rolled back.
 */
#include <postgres.h>

#include <access/xact.h>
#include <utils/builtins.h>
#include <utils/timestamp.h>

#include "base/dyn_settings.h"
#include "refresh/dyn_moment.h"

/* The subtransaction that has refreshed at such a moment. */
static SubTransactionId taken_in = InvalidSubTransactionId;

TimestampTz
dyn_moment_asked(void)
{
	TimestampTz moment;

	if (dyn_data_timestamp == NULL || dyn_data_timestamp[0] == '\0')
		return DT_NOEND;
	moment = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(dyn_data_timestamp),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	if (TIMESTAMP_NOT_FINITE(moment))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("\"dyntable.data_timestamp\" must be a moment, not \"%s\"", dyn_data_timestamp));
	return moment;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT && taken_in != InvalidSubTransactionId)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				errmsg("cannot commit a transaction that has refreshed a dynamic table at a data timestamp of its choice"),
				errhint("\"dyntable.data_timestamp\" is for tests in transactions that are rolled back."));
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		taken_in = InvalidSubTransactionId;
}

/* A subtransaction within another one has a higher number. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && taken_in >= subid)
		taken_in = InvalidSubTransactionId;
	else if (event == SUBXACT_EVENT_COMMIT_SUB && taken_in == subid)
		taken_in = parent;
}

void
dyn_moment_taken(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}

	/* the outermost counts: what is within it goes with it */
	if (taken_in == InvalidSubTransactionId)
		taken_in = GetCurrentSubTransactionId();
}
