/*
 * dyn_transaction.c
 *	  What commands leave for the end of their transaction.
 *
 * A position counts its own transaction as running until it sees a later
 * snapshot, and holds on change logs live as long as a backend: a transaction
 * that is prepared outlives both.
 */
#include <postgres.h>

#include <access/xact.h>

#include "base/dyn_queue.h"
#include "capture/dyn_capture.h"
#include "command/dyn_transaction.h"

static bool registered = false;
static bool prepare_forbidden = false;

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (prepare_forbidden)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has created or refreshed a dynamic table")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			prepare_forbidden = false;
			break;
		default:
			break;
	}
}

static void
register_callback(void)
{
	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

void
dyn_forbid_prepare(void)
{
	register_callback();
	prepare_forbidden = true;
}

void
dyn_wake_at_end(void)
{
	/* after an abort, too: a source may have been put under capture for a table that will not be */
	dyn_capture_wake_at_end();
	dyn_schedule_wake_at_commit();
}
