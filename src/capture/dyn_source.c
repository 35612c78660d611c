/*
 * dyn_source.c
 *	  Base tables as sources: which can be captured, their partitions, their
 *	  replica identity, and whether the current transaction wrote them.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <access/xact.h>
#include <catalog/catalog.h>
#include <catalog/indexing.h>
#include <catalog/objectaccess.h>
#include <catalog/partition.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <catalog/pg_publication.h>
#include <miscadmin.h>
#include <storage/lmgr.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/guc.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/relcache.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>

#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

/* How long DROP EXTENSION waits for tables to set their replica identity. */
#define GIVE_BACK_MS 1000

/* A relation and its partitions.  List of Oid. */
List *
dyn_source_relations(Oid relid, LOCKMODE lockmode)
{
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(relid);
	return find_all_inheritors(relid, lockmode, NULL);
}

/* What is left of the time for locks becomes the lock timeout of this transaction. */
static void
limit_lock_waits(TimestampTz until)
{
	long		rest = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

	(void) set_config_option("lock_timeout", psprintf("%ld", Max(rest, 1)), PGC_SUSET, PGC_S_OVERRIDE,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * While one of them is waited for, writers queue at those before it: hence one
 * time limit for all.
 */
void
dyn_source_lock(Oid relid, int budget_ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), budget_ms);
	List	   *wanted = list_make1_oid(relid);

	for (int i = 0; i < list_length(wanted); i++)
	{
		limit_lock_waits(until);
		LockRelationOid(list_nth_oid(wanted, i), ShareRowExclusiveLock);
		/* a partition that has partitions may have got another one before it was locked */
		if (i == list_length(wanted) - 1)
			wanted = list_concat_unique_oid(wanted, dyn_source_relations(relid, NoLock));
	}
	/* a timeout in the moment in which the last lock was got is one of this wait, not of what comes after */
	CHECK_FOR_INTERRUPTS();
	limit_lock_waits(until);
}

static bool
refuse(const char **code, char **detail, const char *why, char *text)
{
	*code = why;
	*detail = text;
	return false;
}

/* What is the matter with one relation, the root or a partition. */
static bool
relation_possible(Oid relid, const char **code, char **detail)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	FormData_pg_class form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		return refuse(code, detail, "SOURCE_MISSING", psprintf("relation %u does not exist", relid));
	form = *(Form_pg_class) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	name = pstrdup(NameStr(form.relname));

	switch (form.relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			break;
		case RELKIND_FOREIGN_TABLE:
			return refuse(code, detail, "FOREIGN_TABLE", psprintf("\"%s\" is a foreign table", name));
		case RELKIND_MATVIEW:
			return refuse(code, detail, "MATERIALIZED_VIEW", psprintf("\"%s\" is a materialized view", name));
		default:
			return refuse(code, detail, "NOT_A_TABLE", psprintf("\"%s\" is not a table", name));
	}
	if (IsCatalogRelationOid(relid))
		return refuse(code, detail, "SYSTEM_CATALOG", psprintf("\"%s\" is a system catalog", name));
	if (form.relpersistence == RELPERSISTENCE_UNLOGGED)
		return refuse(code, detail, "UNLOGGED_SOURCE",
					  psprintf("\"%s\" is unlogged: its changes leave no trace in the write-ahead log", name));
	if (form.relpersistence == RELPERSISTENCE_TEMP)
		return refuse(code, detail, "TEMPORARY_SOURCE", psprintf("\"%s\" is a temporary table", name));
	if (form.relkind == RELKIND_RELATION && !form.relispartition &&
		(has_subclass(relid) && find_inheritance_children(relid, NoLock) != NIL))
		return refuse(code, detail, "INHERITANCE",
					  psprintf("\"%s\" has inheritance children", name));
	return true;
}

/* Attributes, dropped ones too: they count against the limit of a table. */
static int
attributes_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int			natts = 0;

	if (HeapTupleIsValid(tuple))
	{
		natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
		ReleaseSysCache(tuple);
	}
	return natts;
}

/*
 * Whether a log can have these columns, besides those that it has.  A log is
 * not made anew for the sake of the columns that it lost: readers would miss
 * what was not yet written to it.
 */
static bool
columns_possible(Oid relid, List *columns, const char **code, char **detail)
{
	DynSource  *source;
	int			natts = DYN_LOG_FIXED;
	ListCell   *lc;

	if (attributes_of(relid) + DYN_LOG_FIXED <= MaxHeapAttributeNumber / 2)
		return true;
	source = dyn_source_get(relid);
	if (source)
		natts = attributes_of(source->log);
	foreach(lc, columns)
		if (source == NULL || !dyn_changelog_fits(relid, source->log, list_make1_int(lfirst_int(lc))))
			natts++;
	if (natts <= MaxHeapAttributeNumber)
		return true;
	return refuse(code, detail, "TOO_MANY_COLUMNS",
				  psprintf("the change log of \"%s\" would have %d columns, and a table can have %d",
						   get_rel_name(relid), natts, MaxHeapAttributeNumber));
}

bool
dyn_capture_possible(Oid relid, List *columns, const char **code, char **detail)
{
	ListCell   *lc;

	if (!relation_possible(relid, code, detail) || !columns_possible(relid, columns, code, detail))
		return false;
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return true;
	foreach(lc, dyn_source_relations(relid, NoLock))
		if (!relation_possible(lfirst_oid(lc), code, detail))
			return false;
	return true;
}

/*
 * Between the two transactions of DETACH ... CONCURRENTLY a partition is gone
 * for who comes after the first, while those who came before still write it as a
 * part of the whole.
 */
bool
dyn_capture_detaching(Oid relid)
{
	bool		detaching = false;
	ListCell   *lc;

	foreach(lc, dyn_source_relations(relid, NoLock))
	{
		TransactionId xmin = InvalidTransactionId;

		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_PARTITIONED_TABLE)
			(void) find_inheritance_children_extended(lfirst_oid(lc), true, NoLock,
													  &detaching, &xmin);
	}
	return detaching;
}

/*
 * ROW EXCLUSIVE comes with every write, and is held to the end of the
 * transaction; a table made in this transaction is held by ACCESS EXCLUSIVE.
 * SHARE UPDATE EXCLUSIVE and SHARE count too: the registrar would wait.
 */
bool
dyn_capture_caller_wrote(Oid relid)
{
	ListCell   *lc;

	foreach(lc, dyn_source_relations(relid, NoLock))
	{
		LOCKTAG		tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, lfirst_oid(lc));
		for (LOCKMODE mode = RowExclusiveLock; mode <= AccessExclusiveLock; mode++)
			if (dyn_lock_held(&tag, mode))
				return true;
	}
	return false;
}

/* The file of a relation as a snapshot sees it; InvalidOid where it sees no such relation. */
static Oid
storage_seen(Relation catalog, Oid relid, Snapshot snapshot)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			storage = InvalidOid;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, ClassOidIndexId, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		storage = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
	systable_endscan(scan);
	return storage;
}

/*
 * TRUNCATE and the forms of ALTER TABLE that rewrite a table are the server's
 * exception from MVCC: to a snapshot taken before them the table looks empty.
 * Read committed takes its snapshots under the locks that keep them away.
 */
void
dyn_source_check_snapshot(Oid relid, Snapshot snapshot)
{
	Relation	catalog;
	ListCell   *lc;

	if (dyn_capture_caller_wrote(relid))
		return;
	catalog = table_open(RelationRelationId, AccessShareLock);
	foreach(lc, dyn_source_relations(relid, NoLock))
	{
		Oid			then = storage_seen(catalog, lfirst_oid(lc), snapshot);
		Oid			now = storage_seen(catalog, lfirst_oid(lc), NULL);

		if (OidIsValid(then) && then != now)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access to table \"%s\" due to concurrent rewrite",
							get_rel_name(lfirst_oid(lc))),
					 errdetail("It was rewritten or truncated after the transaction's snapshot was taken."),
					 errhint("The transaction might succeed if retried.")));
	}
	table_close(catalog, AccessShareLock);
}

/*
 * Set pg_class.relreplident.  ALTER TABLE would need ACCESS EXCLUSIVE and thus
 * wait for readers, who do not care; the caller's SHARE ROW EXCLUSIVE keeps
 * out writers and all other DDL on the table, and whoever locks the table
 * later processes the invalidation first.  pg_index.indisreplident is left as
 * it is: it counts only for identity 'i', and going back there finds its index.
 */
static void
identity_set(Oid relid, char identity)
{
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relreplident != identity)
	{
		form->relreplident = identity;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		InvokeObjectPostAlterHook(RelationRelationId, relid, 0);
	}
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

/*
 * Give back the identity that a relation had.  If that was an index that is
 * none any more (dropped, or FULL was asked for since), it keeps FULL: without
 * the index the server would refuse updates of a published table.
 */
void
dyn_identity_give_back(Oid relid, char identity)
{
	Relation	rel = table_open(relid, NoLock);
	bool		usable = identity != REPLICA_IDENTITY_INDEX;
	ListCell   *lc;

	foreach(lc, usable ? NIL : RelationGetIndexList(rel))
		usable |= get_index_isreplident(lfirst_oid(lc));
	table_close(rel, NoLock);
	if (usable)
		identity_set(relid, identity);
}

/* '\0' for a relation that is gone. */
char
dyn_identity_now(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	char		identity = '\0';

	if (HeapTupleIsValid(tuple))
	{
		identity = ((Form_pg_class) GETSTRUCT(tuple))->relreplident;
		ReleaseSysCache(tuple);
	}
	return identity;
}

/*
 * Give a relation and its partitions, all locked by the caller, the identity
 * FULL, and remember what they had.  Whether any had another.
 */
bool
dyn_identity_require(Oid relid)
{
	bool		changed = false;
	ListCell   *lc;

	foreach(lc, dyn_source_relations(relid, NoLock))
	{
		char		identity = dyn_identity_now(lfirst_oid(lc));

		if (identity == REPLICA_IDENTITY_FULL || identity == '\0')
			continue;
		dyn_identity_store(lfirst_oid(lc), identity);
		identity_set(lfirst_oid(lc), REPLICA_IDENTITY_FULL);
		changed = true;
	}
	CommandCounterIncrement();
	return changed;
}

bool
dyn_identity_published(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	PublicationDesc published;

	RelationBuildPublicationDesc(rel, &published);
	table_close(rel, NoLock);
	return published.pubactions.pubupdate || published.pubactions.pubdelete;
}

/*
 * A key of ours may have nulls, so that no index of ours can be the identity.
 * SHARE UPDATE EXCLUSIVE keeps other DDL out; nobody but a refresh writes.
 */
void
dyn_identity_supply(Oid relid)
{
	Relation	rel = table_open(relid, ShareUpdateExclusiveLock);

	if (rel->rd_rel->relreplident == REPLICA_IDENTITY_DEFAULT &&
		!OidIsValid(RelationGetReplicaIndex(rel)))
	{
		identity_set(relid, REPLICA_IDENTITY_FULL);
		CommandCounterIncrement();
	}
	table_close(rel, NoLock);
}

/* Wait for a lock, but not for long: the deadline is for all tables together. */
static bool
lock_until(Oid relid, LOCKMODE lockmode, TimestampTz deadline)
{
	while (!ConditionalLockRelationOid(relid, lockmode))
	{
		if (GetCurrentTimestamp() >= deadline)
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10000L);
	}
	return true;
}

/* What ALTER TABLE calls an identity. */
static char *
identity_words(Oid relid, char identity)
{
	Relation	rel;
	char	   *words = "DEFAULT";
	ListCell   *lc;

	if (identity == REPLICA_IDENTITY_NOTHING)
		return "NOTHING";
	if (identity != REPLICA_IDENTITY_INDEX)
		return words;
	rel = table_open(relid, AccessShareLock);
	foreach(lc, RelationGetIndexList(rel))
		if (get_index_isreplident(lfirst_oid(lc)))
			words = psprintf("USING INDEX %s", quote_identifier(get_rel_name(lfirst_oid(lc))));
	table_close(rel, AccessShareLock);
	return words;
}

void
dyn_identities_give_back(void)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), GIVE_BACK_MS);
	StringInfoData commands;
	int			left = 0;
	ListCell   *lc;

	initStringInfo(&commands);
	foreach(lc, dyn_identities_all())
	{
		Oid			relid = lfirst_oid(lc);
		char		identity = dyn_identity_get(relid);

		/* dropped, or wanted otherwise by somebody since */
		if (dyn_identity_now(relid) != REPLICA_IDENTITY_FULL)
			continue;
		if (lock_until(relid, ShareRowExclusiveLock, deadline))
			dyn_identity_give_back(relid, identity);
		else
			appendStringInfo(&commands, "%sALTER TABLE %s REPLICA IDENTITY %s;", left++ ? "\n" : "",
							 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
														get_rel_name(relid)),
							 identity_words(relid, identity));
	}
	CommandCounterIncrement();
	if (left > 0)
		ereport(WARNING,
				(errmsg_plural("%d table keeps the replica identity FULL, as it is locked by others",
							   "%d tables keep the replica identity FULL, as they are locked by others",
							   left, left),
				 errdetail("It makes updates and deletes write more WAL."),
				 errhint("Set what it was before by:\n%s", commands.data)));
}
