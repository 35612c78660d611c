/*
 * dyn_progress.c
 *	  What each backend that refreshes is doing, and which ones listen.
 *
 * One place in shared memory for each backend, like the server's own progress
 * reports, which have no room for commands of extensions.  Nobody locks: the
 * owner writes, and whoever reads tries again when that happened meanwhile.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <port/atomics.h>
#include <storage/ipc.h>
#include <storage/shmem.h>
#include <utils/timestamp.h>

#include "base/dyn_progress.h"
#include "compat/dyn_compat.h"

typedef struct ProgressShared
{
	pg_atomic_uint32 nlisteners;
	DynProgress backends[FLEXIBLE_ARRAY_MEMBER];
} ProgressShared;

DynProgress *dyn_progress = NULL;

static ProgressShared *shared = NULL;
static bool exit_registered = false;

Size
dyn_progress_size(void)
{
	return add_size(offsetof(ProgressShared, backends), mul_size(MaxBackends, sizeof(DynProgress)));
}

void
dyn_progress_init(void)
{
	bool		found;

	shared = ShmemInitStruct("dyntable progress", dyn_progress_size(), &found);
	if (found)
		return;
	memset(shared, 0, dyn_progress_size());
	pg_atomic_init_u32(&shared->nlisteners, 0);
}

static void
at_exit(int code, Datum arg)
{
	dyn_progress_end();
	dyn_progress_listen(false);
}

/* The current backend's place; NULL where the library was not preloaded. */
static DynProgress *
my_place(void)
{
	if (shared == NULL || dyn_backend_number() < 0 || dyn_backend_number() >= MaxBackends)
		return NULL;
	if (!exit_registered)
		before_shmem_exit(at_exit, (Datum) 0);
	exit_registered = true;
	return &shared->backends[dyn_backend_number()];
}

static void
begin_write(DynProgress *place)
{
	place->version++;
	pg_write_barrier();
}

static void
end_write(DynProgress *place)
{
	pg_write_barrier();
	place->version++;
}

void
dyn_progress_begin(int trigger, TimestampTz due, const List *tables)
{
	DynProgress *place = my_place();
	ListCell   *lc;

	if (place == NULL)
		return;
	begin_write(place);
	place->pid = MyProcPid;
	place->database = MyDatabaseId;
	place->trigger = trigger;
	place->due = due;
	place->run_started = GetCurrentTimestamp();
	place->run = 0;
	place->ntables = 0;
	place->current = -1;
	foreach(lc, tables)
	{
		if (place->ntables == DYN_PROGRESS_TABLES)
			break;
		place->tables[place->ntables++] = lfirst_oid(lc);
	}
	place->phase = DYN_PROGRESS_LOCKS;
	place->rows_done = place->rows_expected = 0;
	end_write(place);
	dyn_progress = place;
}

void
dyn_progress_table(Oid relid)
{
	int			i = 0;

	if (dyn_progress == NULL)
		return;
	while (i < dyn_progress->ntables && dyn_progress->tables[i] != relid)
		i++;
	begin_write(dyn_progress);
	if (i == dyn_progress->ntables)
		dyn_progress->tables[--i] = relid;	/* one of those for which there was no room */
	dyn_progress->current = i;
	dyn_progress->started = GetCurrentTimestamp();
	dyn_progress->rows_done = dyn_progress->rows_expected = 0;
	end_write(dyn_progress);
}

void
dyn_progress_end(void)
{
	if (dyn_progress == NULL)
		return;
	begin_write(dyn_progress);
	dyn_progress->pid = 0;
	end_write(dyn_progress);
	dyn_progress = NULL;
}

List *
dyn_progress_all(void)
{
	List	   *all = NIL;

	for (int i = 0; shared != NULL && i < MaxBackends; i++)
	{
		DynProgress *place = &shared->backends[i];
		DynProgress copy;
		uint32		version;

		do
		{
			version = place->version;
			pg_read_barrier();
			copy = *place;
			pg_read_barrier();
		} while ((version & 1) != 0 || place->version != version);
		if (copy.pid != 0 && copy.database == MyDatabaseId)
			all = lappend(all, memcpy(palloc(sizeof(copy)), &copy, sizeof(copy)));
	}
	return all;
}

void
dyn_progress_listen(bool listens)
{
	DynProgress *place = my_place();

	if (place == NULL || listens == OidIsValid(place->listens))
		return;
	place->listens = listens ? MyDatabaseId : InvalidOid;
	pg_atomic_fetch_add_u32(&shared->nlisteners, listens ? 1 : -1);
}

bool
dyn_progress_heard(void)
{
	if (shared == NULL || pg_atomic_read_u32(&shared->nlisteners) == 0)
		return false;
	for (int i = 0; i < MaxBackends; i++)
		if (shared->backends[i].listens == MyDatabaseId)
			return true;
	return false;
}
