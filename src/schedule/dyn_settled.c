/*
 * dyn_settled.c
 *	  Tables to which nothing happened.
 *
 * A table's data timestamp becomes t without a run only if no transaction
 * visible at t has changed what the table reads, directly or by way of other
 * dynamic tables, since its position.  A run settles a table when it has seen
 * every change that capture had counted of its sources and of its upstream's
 * when it was given away, and no more was counted until it ended.  Later, at
 * some moment t, the scheduler notes the WAL insert position; when capture has
 * passed it and still counts no more changes, then t is the table's data
 * timestamp; nor was its definition altered, see dyn_altered.c.  That costs a
 * few reads of shared memory for all tables together.  It holds for tables that
 * depend on captured sources alone (DynNode.still); the others are refreshed each
 * time, and find out that nothing happened by a NO_DATA run.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <storage/latch.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_shmem.h"
#include "capture/dyn_capture.h"
#include "schedule/dyn_due.h"
#include "schedule/dyn_settled.h"

#define SECOND INT64CONST(1000000)

/* While waiting for capture to come to the noted position. */
#define PROBE_INTERVAL (10 * INT64CONST(1000))

/* However still a table is, refresh it for real this often. */
#define STILL_LIMIT (600 * SECOND)

static struct
{
	uint64		changes_seen;	/* capture's count at the last look */

	/* the position that capture is to pass */
	bool		probing;
	TimestampTz probe_time;
	XLogRecPtr	probe_lsn;
}			self;

/* What capture has done so far, in the order in which it must be read. */
typedef struct CaptureState
{
	int64		generation;		/* 0: not capturing */
	int			pid;
	XLogRecPtr	captured;
	uint64		changes;
} CaptureState;

static CaptureState
capture_state(bool wake)
{
	CaptureState state = {0};
	DynDatabase *db;

	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	if (db != NULL && db->state == DYN_CAPTURE_RUNNING)
	{
		state.generation = db->generation;
		state.pid = db->capture_pid;
		state.captured = pg_atomic_read_u64(&db->captured_lsn);
		pg_read_barrier();
		state.changes = pg_atomic_read_u64(&db->changes);
		if (wake && db->capture_latch != NULL)
			SetLatch(db->capture_latch);
	}
	LWLockRelease(dyn_shmem->lock);
	return state;
}

void
dyn_settled_count(DynNode *node, TimestampTz dispatched)
{
	node->dispatched = dispatched;
	node->changes_dispatched = dyn_changes_sum(node->sources, node->nsources);
}

/*
 * Whether a run that succeeded settled a table: it saw all that was counted
 * when it was given away, and that is still all.  What was counted while it was
 * under way has to be looked for here, since check_settled may have taken note of it
 * already.  What was counted when it was given away is not known of a table that
 * was redefined since, or when another scheduler gave it away.
 */
bool
dyn_settled_by_run(const DynGraph *graph, const DynNode *node, const DynTask *task)
{
	if (!task->settled || !node->still || node->altered || node->dispatched != task->dispatched ||
		dyn_changes_sum(node->sources, node->nsources) != node->changes_dispatched)
		return false;
	for (int i = -1; (i = bms_next_member(node->closure, i)) >= 0;)
		if (graph->nodes[i].reinitialise || !TIMESTAMP_IS_NOBEGIN(graph->nodes[i].retry_at))
			return false;
	return true;
}

/* When a settled table's data timestamp should move: some time before the table is due. */
static TimestampTz
probe_due(DynNode *node)
{
	TimestampTz due = dyn_due_at(node);

	if (TIMESTAMP_NOT_FINITE(due))
		return DT_NOEND;
	return due - Min(Max(node->lag / 10, 5000), SECOND);
}

/* Who is settled as of this state of capture.  False if nobody is. */
static bool
check_settled(DynGraph *graph, const CaptureState *capture, TimestampTz now)
{
	bool		moved = capture->changes != self.changes_seen;
	bool		any = false;

	for (int i = 0; i < graph->nnodes; i++)
	{
		DynNode    *node = &graph->nodes[i];

		if (!node->settled)
			continue;
		node->settled = capture->generation != 0 &&
			node->generation == capture->generation && node->capture_pid == capture->pid &&
			node->last_run > now - STILL_LIMIT && !node->altered &&
			!(moved && dyn_changes_sum(node->sources, node->nsources) != node->changes);
		any |= node->settled;
	}
	self.changes_seen = capture->changes;
	return any;
}

/* All settled tables are true as of this moment. */
static void
advance_settled(DynGraph *graph, TimestampTz moment)
{
	TimestampTz now = GetCurrentTimestamp();

	dyn_freshness_lock(LW_EXCLUSIVE);
	for (int i = 0; i < graph->nnodes; i++)
	{
		DynNode    *node = &graph->nodes[i];
		DynFreshness *entry;

		if (!node->settled || node->data_timestamp >= moment ||
			(entry = dyn_freshness_enter(node->relid)) == NULL)
			continue;
		/* a session may have let it advance, too */
		if (entry->data_timestamp < moment)
			node->settled = dyn_freshness_advance(entry, node->last_run, Max(node->data_timestamp, entry->data_timestamp),
												  moment, now, node->lag);
		if (node->settled)
			node->data_timestamp = moment;
	}
	dyn_freshness_unlock();
}

static TimestampTz
next_probe(DynGraph *graph)
{
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < graph->nnodes; i++)
	{
		TimestampTz due = graph->nodes[i].settled ?
			probe_due(&graph->nodes[i]) : DT_NOEND;

		next = Min(next, due);
	}
	return next;
}

TimestampTz
dyn_settled_pass_time(DynGraph *graph, TimestampTz now, void (*look_for_altered) (void))
{
	CaptureState capture = capture_state(false);
	TimestampTz next;

	look_for_altered();
	if (!check_settled(graph, &capture, now))
	{
		self.probing = false;
		return DT_NOEND;
	}
	if (self.probing && capture.captured >= self.probe_lsn)
	{
		advance_settled(graph, self.probe_time);
		self.probing = false;
	}
	next = next_probe(graph);
	if (next > now || self.probing)
		return Max(next, now + PROBE_INTERVAL);

	self.probing = true;
	self.probe_time = now;
	self.probe_lsn = dyn_capture_target();
	capture = capture_state(true);
	if (capture.captured >= self.probe_lsn)
	{
		look_for_altered();
		(void) check_settled(graph, &capture, now);
		advance_settled(graph, self.probe_time);
		self.probing = false;
	}
	next = next_probe(graph);
	return Max(next, now + PROBE_INTERVAL);
}
