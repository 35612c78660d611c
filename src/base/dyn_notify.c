/*
 * dyn_notify.c
 *	  Telling those who LISTEN on channel dyntable.
 *
 * A commit that notifies takes a lock of the whole server, so that such commits
 * come one after the other, whether anybody listens or not.  So it is known who
 * does: every LISTEN of a session passes by here.  A LISTEN that is rolled
 * back, or one by a program that goes around statements, makes a notification
 * too many or too few, and nothing else.
 */
#include <postgres.h>

#include <commands/async.h>
#include <lib/stringinfo.h>
#include <nodes/parsenodes.h>
#include <utils/json.h>
#include <utils/lsyscache.h>

#include "base/dyn_notify.h"
#include "base/dyn_progress.h"

#define CHANNEL "dyntable"

void
dyn_notify_watch(const Node *statement)
{
	if (IsA(statement, ListenStmt))
	{
		if (strcmp(((const ListenStmt *) statement)->conditionname, CHANNEL) == 0)
			dyn_progress_listen(true);
	}
	else if (IsA(statement, UnlistenStmt))
	{
		const char *name = ((const UnlistenStmt *) statement)->conditionname;

		if (name == NULL || strcmp(name, CHANNEL) == 0)
			dyn_progress_listen(false);
	}
	else if (IsA(statement, DiscardStmt) && ((const DiscardStmt *) statement)->target == DISCARD_ALL)
		dyn_progress_listen(false);
}

void
dyn_notify(const char *event, Oid relid, const char *more)
{
	StringInfoData payload;
	char	   *name;

	if (!dyn_progress_heard() || (name = get_rel_name(relid)) == NULL)
		return;
	initStringInfo(&payload);
	appendStringInfo(&payload, "{\"event\": \"%s\", \"schema\": ", event);
	escape_json(&payload, get_namespace_name(get_rel_namespace(relid)));
	appendStringInfoString(&payload, ", \"table\": ");
	escape_json(&payload, name);
	appendStringInfo(&payload, "%s}", more);
	Async_Notify(CHANNEL, payload.data);
	pfree(payload.data);
}
