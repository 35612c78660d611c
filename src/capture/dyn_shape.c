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
#include <miscadmin.h>
#include <nodes/parsenodes.h>
#include <tcop/utility.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>

#include "capture/dyn_capture_internal.h"

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

/* Have an event logged for the sources that a relation belongs to. */
static void
leave_event(Oid relid)
{
	ListCell   *lc;

	foreach(lc, sources_of(relid))
		dyn_changelog_event(((DynSource *) lfirst(lc))->relid);
}

/* A new partition: the command holds it in ACCESS EXCLUSIVE mode. */
static void
adopt_partition(const RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	if (OidIsValid(relid) && get_rel_relispartition(relid) &&
		list_length(sources_of(relid)) > 0)
		(void) dyn_identity_require(relid);
}

static bool
changes_rows(AlterTableType type)
{
	switch (type)
	{
		case AT_AlterColumnType:
		case AT_AttachPartition:
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
		case AT_AddInherit:
		case AT_DropInherit:
		case AT_SetLogged:
		case AT_SetUnLogged:
			return true;
		default:
			return false;
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

		if (!changes_rows(command->subtype))
			continue;
		event = true;
		if (command->subtype == AT_AttachPartition)
			adopt_partition(((PartitionCmd *) command->def)->name);
		if (command->subtype == AT_AddInherit || command->subtype == AT_DropInherit)
			leave_event(RangeVarGetRelid((RangeVar *) command->def, NoLock, true));
	}
	if (event)
		leave_event(relid);
}

static void
call_utility(PlannedStmt *statement, const char *query, bool read_only,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (previous_utility)
		previous_utility(statement, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(statement, query, read_only, context, params,
								environment, dest, completion);
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
	call_utility(statement, query, read_only, context, params, environment, dest, completion);

	/* DETACH ... CONCURRENTLY goes through several transactions; the last one counts */
	if (OidIsValid(relid) && IsTransactionState() && get_rel_relkind(relid) != '\0')
		after_alter_table((AlterTableStmt *) node, relid);
	if (IsA(node, CreateStmt) && ((CreateStmt *) node)->partbound && concerned())
		adopt_partition(((CreateStmt *) node)->relation);
}

/* A partition that is dropped takes its rows along. */
static void
shape_object_access(ObjectAccessType access, Oid class, Oid object, int subobject, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, class, object, subobject, arg);
	if (access != OAT_DROP || class != RelationRelationId || subobject != 0 ||
		!get_rel_relispartition(object) || get_rel_relkind(object) == RELKIND_INDEX ||
		get_rel_relkind(object) == RELKIND_PARTITIONED_INDEX || !concerned())
		return;
	leave_event(object);
}

void
dyn_shape_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = shape_utility;
	previous_object_access = object_access_hook;
	object_access_hook = shape_object_access;
}
