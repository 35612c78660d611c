/*
 * dyn_marks.c
 *	  Which refreshes were under way when the server crashed.
 *
 * A query that crashes the server would do so again and again, as fast as the
 * server comes up, if nobody remembered that it had been started.  Shared
 * memory does not survive such a crash and the transaction of a run leaves
 * nothing; a committed "started" would cost every run a flush of WAL.  So a
 * worker notes its task in a small file, by one write and without fsync: it
 * is the server that must not take the note along, not the machine.
 *
 * Each worker slot has its place in the file.  What is found there with no
 * worker at work on it was cut short.
 */
#include <postgres.h>

#include <fcntl.h>
#include <unistd.h>

#include <miscadmin.h>
#include <pgstat.h>
#include <storage/fd.h>
#include <utils/timestamp.h>

#include "schedule/dyn_marks.h"

#define MARKS_FILE PG_STAT_TMP_DIR "/dyntable.runs"
#define MARKS_MAGIC 0x64796e31

typedef struct Mark
{
	uint32		magic;
	Oid			database;
	DynTask		task;
} Mark;

static int	marks_fd = -1;

static bool
marks_open(void)
{
	if (marks_fd < 0)
		marks_fd = BasicOpenFile(MARKS_FILE, O_RDWR | O_CREAT | PG_BINARY);
	if (marks_fd < 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", MARKS_FILE)));
	return marks_fd >= 0;
}

/* A failure to write costs the memory of one crash, so it is only logged. */
static void
mark_write(int slot, const Mark *mark)
{
	errno = 0;
	if (marks_open() &&
		pg_pwrite(marks_fd, mark, sizeof(Mark), slot * sizeof(Mark)) != sizeof(Mark))
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", MARKS_FILE)));
	}
}

void
dyn_mark_set(int slot, const DynTask *task)
{
	Mark		mark;

	memset(&mark, 0, sizeof(mark));
	mark.magic = MARKS_MAGIC;
	mark.database = MyDatabaseId;
	mark.task = *task;
	mark_write(slot, &mark);
}

void
dyn_mark_clear(int slot)
{
	Mark		mark;

	memset(&mark, 0, sizeof(mark));
	mark_write(slot, &mark);
}

/* Whether a worker is at work in this slot. */
static bool
slot_in_use(int slot)
{
	bool		used = false;

	LWLockAcquire(&dyn_queue->lock, LW_SHARED);
	if (slot < dyn_queue->nslots)
		used = dyn_queue->workers[slot].state == DYN_WORKER_STARTING ||
			dyn_queue->workers[slot].state == DYN_WORKER_BUSY;
	LWLockRelease(&dyn_queue->lock);
	return used;
}

List *
dyn_marks_take(void)
{
	List	   *tasks = NIL;
	Mark		mark;

	if (!marks_open())
		return NIL;
	for (int slot = 0;
		 pg_pread(marks_fd, &mark, sizeof(mark), slot * sizeof(mark)) == sizeof(mark);
		 slot++)
	{
		DynTask    *task;

		if (mark.magic != MARKS_MAGIC || mark.database != MyDatabaseId ||
			mark.task.ntables <= 0 || mark.task.ntables > DYN_TASK_TABLES ||
			slot_in_use(slot))
			continue;
		task = palloc(sizeof(DynTask));
		*task = mark.task;
		tasks = lappend(tasks, task);
		dyn_mark_clear(slot);
	}
	return tasks;
}
