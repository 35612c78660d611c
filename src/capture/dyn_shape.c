/*
 * dyn_shape.c
 *	  DDL on sources that changes their rows without a trace in the decoded WAL.
 *
 * A column's new type, partitions attached, detached or dropped, inheritance,
 * UNLOGGED: nothing of it reaches the output plugin.  So the command itself has
 * an event logged for the source, with its own xid: every reader whose snapshot
 * sees the command initialises again, and nobody else.
 * New partitions get the replica identity FULL at once, so that no change of
 * theirs is ever met without its old row.
 *
 * What concerns no source costs a look into shared memory and at most one
 * query.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/namespace.h>
#include <catalog/objectaccess.h>
#include <catalog/partition.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <miscadmin.h>
#include <nodes/parsenodes.h>
#include <storage/bufmgr.h>
#include <tcop/utility.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/syscache.h>

#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

static ProcessUtility_hook_type previous_utility = NULL;
static object_access_hook_type previous_object_access = NULL;

/* Whether this database has anything under capture, as far as can be told for nothing. */
static bool
concerned(void)
{
	DynDatabase *db;
	bool		confirmed;

	if (dyn_shmem == NULL || !OidIsValid(MyDatabaseId) || !IsTransactionState())
		return false;
	LWLockAcquire(dyn_shmem->lock, LW_SHARED);
	db = dyn_shmem_database(MyDatabaseId);
	confirmed = db && db->confirmed;
	LWLockRelease(dyn_shmem->lock);
	return confirmed && OidIsValid(dyn_schema_oid()) && OidIsValid(dyn_extension_oid());
}

/* The sources that a relation's rows belong to.  List of DynSource *. */
static List *
sources_of(Oid relid)
{
	List	   *relids = list_make1_oid(relid);
	List	   *sources = NIL;
	ListCell   *lc;

	if (get_rel_relispartition(relid))
		relids = list_concat(relids, get_partition_ancestors(relid));
	foreach(lc, relids)
	{
		DynSource  *source = dyn_source_get(lfirst_oid(lc));

		if (source)
			sources = lappend(sources, source);
	}
	return sources;
}

/* Have an event logged for the sources that a relation's rows belong to. */
static void
leave_event(Oid relid, AttrNumber column)
{
	ListCell   *lc;

	foreach(lc, sources_of(relid))
		dyn_changelog_event(((DynSource *) lfirst(lc))->relid, column);
}

/* The same for a column of a relation, by name, if it is one that is read. */
static void
leave_column_event(Oid relid, const char *name)
{
	DynSource  *source = dyn_source_get(relid);
	AttrNumber	column = source ? get_attnum(relid, name) : InvalidAttrNumber;

	if (column != InvalidAttrNumber && list_member_int(source->columns, column))
		dyn_changelog_event(relid, column);
}

/* The type that a table was made OF, or InvalidOid. */
static Oid
type_of_table(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			type = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		type = ((Form_pg_class) GETSTRUCT(tuple))->reloftype;
		ReleaseSysCache(tuple);
	}
	return type;
}

/*
 * A column of a table has other values: of all tables that have it from this one, too,
 * by inheritance, as partitions, or as tables of this type.
 */
static void
leave_column_events(Oid relid, const char *name)
{
	ListCell   *lc;

	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
	{
		foreach(lc, dyn_source_all())
		{
			Oid			source = ((DynSource *) lfirst(lc))->relid;

			if (type_of_table(source) == get_rel_type_id(relid))
				leave_column_event(source, name);
		}
		return;
	}
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		leave_column_event(lfirst_oid(lc), name);
}

/* Whether a table, held in ACCESS EXCLUSIVE mode, or one of its partitions has a page. */
static bool
has_pages(Oid relid)
{
	ListCell   *lc;
	bool		found = false;

	foreach(lc, dyn_source_relations(relid, NoLock))
	{
		Relation	relation = relation_open(lfirst_oid(lc), NoLock);

		found |= relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE &&
			(!RELKIND_HAS_STORAGE(relation->rd_rel->relkind) || RelationGetNumberOfBlocks(relation) > 0);
		relation_close(relation, NoLock);
	}
	return found;
}

/* A new partition: the command holds it in ACCESS EXCLUSIVE mode.  Whether it brings rows. */
static bool
adopt_partition(const RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(relid) || !get_rel_relispartition(relid) || sources_of(relid) == NIL)
		return false;
	(void) dyn_identity_require(relid);
	return has_pages(relid);
}

static bool
changes_rows(AlterTableType type)
{
	switch (type)
	{
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
		case AT_SetLogged:
		case AT_SetUnLogged:
			return true;
		default:
			return false;
	}
}

/*
 * DETACH ... CONCURRENTLY commits in its middle, and from then on the
 * partition's rows are gone: the event must be in that transaction.
 */
static void
before_alter_table(AlterTableStmt *statement, Oid relid)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, lc);

		if (command->subtype == AT_DetachPartition && ((PartitionCmd *) command->def)->concurrent)
			leave_event(relid, InvalidAttrNumber);
	}
}

/* Inheritance is named at the child, but what changes is the parent. */
static void
after_alter_table(AlterTableStmt *statement, Oid relid)
{
	bool		event = false;
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, lc);

		if (command->subtype == AT_AlterColumnType || dyn_sets_expression(command->subtype))
			leave_column_events(relid, command->name);
		else if (command->subtype == AT_ReplicaIdentity)
			leave_event(relid, DYN_EVENT_NO_ROWS);
		else if (command->subtype == AT_AddInherit || command->subtype == AT_DropInherit)
			leave_event(RangeVarGetRelid((RangeVar *) command->def, NoLock, true), InvalidAttrNumber);
		else if (command->subtype == AT_AttachPartition)
			event |= adopt_partition(((PartitionCmd *) command->def)->name);
		else
			event |= changes_rows(command->subtype);
	}
	if (event)
		leave_event(relid, InvalidAttrNumber);
}

static void
shape_utility(PlannedStmt *statement, const char *query, bool read_only,
			  ProcessUtilityContext context, ParamListInfo params,
			  QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	Node	   *node = statement->utilityStmt;
	Oid			relid = InvalidOid;

	if (IsA(node, AlterTableStmt) && concerned())
		relid = RangeVarGetRelid(((AlterTableStmt *) node)->relation, NoLock, true);
	if (OidIsValid(relid))
		before_alter_table((AlterTableStmt *) node, relid);
	previous_utility(statement, query, read_only, context, params, environment, dest, completion);

	/* DETACH ... CONCURRENTLY goes through several transactions; the last one counts */
	if (OidIsValid(relid) && IsTransactionState() && get_rel_relkind(relid) != '\0')
		after_alter_table((AlterTableStmt *) node, relid);
	if (IsA(node, CreateStmt) && ((CreateStmt *) node)->partbound && concerned())
		(void) adopt_partition(((CreateStmt *) node)->relation);
}

/* A partition that is dropped takes its rows along. */
static void
shape_object_access(ObjectAccessType access, Oid class, Oid object, int subobject, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, class, object, subobject, arg);
	if (access != OAT_DROP || class != RelationRelationId || subobject != 0 ||
		!get_rel_relispartition(object) || get_rel_relkind(object) == RELKIND_INDEX ||
		get_rel_relkind(object) == RELKIND_PARTITIONED_INDEX || !concerned() ||
		!has_pages(object))
		return;
	leave_event(object, InvalidAttrNumber);
}

void
dyn_shape_init(void)
{
	previous_utility = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = shape_utility;
	previous_object_access = object_access_hook;
	object_access_hook = shape_object_access;
}
