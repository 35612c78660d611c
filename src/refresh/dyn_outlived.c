/*
 * dyn_outlived.c
 *	  Indexes of ours on dynamic tables that have outlived the identity they
 *	  were made for.
 *
 * To drop an index takes a lock that readers feel, and a refresh that computes
 * the whole query may take long.  So within a run they stay, and go at the very
 * end of its transaction if the lock is to be had at that moment (dyn_readers.c);
 * otherwise a later refresh tries again.
 *
 * One that stands in the way (what was a key may be none any more, or a value
 * may be too long for it) is made dead instead, as DROP INDEX CONCURRENTLY
 * does it: the server no longer puts rows into it.  Others learn of that by the
 * commit, and who has planned with the index before must not read on without
 * the rows it lacks.  So then the lock must be had before the commit, which is
 * all that readers may have to wait for.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <access/xact.h>
#include <catalog/dependency.h>
#include <catalog/index.h>
#include <catalog/indexing.h>
#include <catalog/pg_class.h>
#include <catalog/pg_depend.h>
#include <storage/lmgr.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>

#include "refresh/dyn_outlived.h"
#include "refresh/dyn_refresh.h"

typedef struct Outlived
{
	Oid			table;
	Oid			index;
	bool		dead;
	SubTransactionId subid;		/* noted in it */
} Outlived;

/* Of the current transaction; in TopTransactionContext. */
static List *noted = NIL;

static bool
has_dependents(Oid index)
{
	Relation	catalog = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(index));
	scan = systable_beginscan(catalog, DependReferenceIndexId, true, NULL, lengthof(keys), keys);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

static int
compare_tables(const ListCell *a, const ListCell *b)
{
	Oid			left = ((Outlived *) lfirst(a))->table;
	Oid			right = ((Outlived *) lfirst(b))->table;

	return left < right ? -1 : left > right;
}

/* Drop one of them; one that is not dead stays where that would not go at once. */
static void
drop(const Outlived *outlived)
{
	ObjectAddress address;

	if (outlived->dead)
		dyn_lock_against_readers(outlived->table, "The key of its query has changed, and the table's index has to go.");
	else if (!dyn_lock_if_unread(outlived->table))
		return;
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(outlived->index)) ||
		has_dependents(outlived->index))
		return;
	ObjectAddressSet(address, RelationRelationId, outlived->index);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event != XACT_EVENT_PRE_COMMIT)
		noted = NIL;
	if (noted == NIL)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	list_sort(noted, compare_tables);
	foreach(lc, noted)
		drop(lfirst(lc));
	PopActiveSnapshot();
	noted = NIL;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	foreach(lc, noted)
	{
		Outlived   *outlived = lfirst(lc);

		if (outlived->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			outlived->subid = parent;
		else
			noted = foreach_delete_current(noted, lc);
	}
}

static void
note(Oid table, Oid index, bool dead)
{
	static bool registered = false;
	MemoryContext caller;
	Outlived   *outlived;
	ListCell   *lc;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	foreach(lc, noted)
		if (((Outlived *) lfirst(lc))->index == index && !dead)
			return;
	caller = MemoryContextSwitchTo(TopTransactionContext);
	outlived = palloc(sizeof(Outlived));
	outlived->table = table;
	outlived->index = index;
	outlived->dead = dead;
	outlived->subid = GetCurrentSubTransactionId();
	noted = lappend(noted, outlived);
	MemoryContextSwitchTo(caller);
}

void
dyn_outlived_note(Oid table, List *indexes)
{
	ListCell   *lc;

	foreach(lc, indexes)
		note(table, lfirst_oid(lc), false);
}

void
dyn_outlived_disable(Oid table, List *indexes)
{
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Oid			index = lfirst_oid(lc);

		if (has_dependents(index))
			ereport(ERROR,
					errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					errmsg("the rows of dynamic table \"%s\" have another key now, but other objects depend on its index \"%s\"",
						   get_rel_name(table), get_rel_name(index)),
					errhint("Drop the foreign keys that reference the dynamic table by its former key."));
		LockRelationOid(table, ShareUpdateExclusiveLock);
		index_set_state_flags(index, INDEX_DROP_CLEAR_VALID);
		CommandCounterIncrement();
		index_concurrently_set_dead(table, index);
		CommandCounterIncrement();
		note(table, index, true);
	}
}
