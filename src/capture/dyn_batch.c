/*
 * dyn_batch.c
 *	  Writing what the output plugin collected into the change logs.
 *
 * One transaction for a whole batch; its commit record carries, as the
 * progress of the replication origin, up to where the logs are now complete.
 * An error that lies in the rows or in a log must not come back after every
 * restart: events stand for the rows then, which make the readers of that
 * source initialise again.  Any other error is the worker's end.
 */
#include <postgres.h>

#include <access/xact.h>
#include <access/xlog.h>
#include <replication/origin.h>
#include <storage/proc.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>
#include <utils/timestamp.h>

#include "capture/dyn_capture_internal.h"

/* One transaction with the whole batch, or with the events that stand for it. */
static void
write_transaction(XLogRecPtr upto, bool events_only)
{
	ListCell   *lc;

	if (MyProc->statusFlags & PROC_IN_LOGICAL_DECODING)
		elog(ERROR, "capture worker must not be marked as decoding only");
	dyn_own_begin();
	foreach(lc, dyn_batch_changed())
		dyn_changelog_append(lfirst(lc), events_only);
	replorigin_session_origin_lsn = upto;
	replorigin_session_origin_timestamp = GetCurrentTimestamp();
	dyn_own_commit();
}

/*
 * Whether an error lies in the rows, such as a row too long for its two
 * columns more: it would come back after every restart.
 */
static bool
lies_in_rows(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION;
}

/*
 * Write what was collected, and clear it; the log is then complete up to upto.
 * Returns the end of the commit's WAL, which need not be flushed yet.
 */
XLogRecPtr
dyn_batch_write(XLogRecPtr upto)
{
	volatile bool failed = false;
	volatile bool damaged = false;
	XLogRecPtr	end;
	ListCell   *lc;

	PG_TRY();
	{
		write_transaction(upto, false);
	}
	PG_CATCH();
	{
		damaged = geterrcode() == ERRCODE_DATA_CORRUPTED;
		if (!damaged && !lies_in_rows(geterrcode()))
			PG_RE_THROW();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(TopMemoryContext);
		failed = true;
	}
	PG_END_TRY();
	if (damaged)
		foreach(lc, dyn_batch_sources())
			if (((DynTracked *) lfirst(lc))->nrows > 0)
				dyn_trim_forget(((DynTracked *) lfirst(lc))->relid);
	if (failed)
		write_transaction(upto, true);
	end = XactLastCommitEnd;
	foreach(lc, dyn_batch_changed())
	{
		DynTracked *tracked = lfirst(lc);

		if (OidIsValid(tracked->written_storage))
			dyn_changelog_mark(tracked);
		dyn_captured_count(tracked->relid, tracked->nrows);
	}
	dyn_batch_clear();
	return end;
}
