/*
 * dyn_guard.c
 *	  Keeps dynamic tables as their query says: nobody but a refresh writes
 *	  them, nobody reads them before the first fill, nobody changes their
 *	  columns; and notices when one is dropped.
 *
 * Whatever way a table goes (DROP TABLE, DROP SCHEMA CASCADE, DROP OWNED, drop
 * of a source with CASCADE), the server reports it to the object access hook,
 * which is where the catalog learns of it.
 *
 * What a refresh writes itself is told from what others write by the statement:
 * dyn_execute.c knows its own.  A function of a user that is called while a
 * refresh works (from the query, by a trigger, an index or a constraint) may
 * write no dynamic table either, be it of the same owner.
 *
 * Statements that a parallel worker runs were checked by its leader.
 */
#include <postgres.h>

#include <access/parallel.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <catalog/namespace.h>
#include <catalog/objectaccess.h>
#include <catalog/pg_class.h>
#include <catalog/pg_trigger.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <parser/parsetree.h>
#include <tcop/pquery.h>
#include <tcop/utility.h>
#include <utils/lsyscache.h>

#include "base/dyn_notify.h"
#include "capture/dyn_capture.h"
#include "catalog/dyn_catalog.h"
#include "command/dyn_command.h"
#include "command/dyn_cycle.h"
#include "command/dyn_names.h"
#include "command/dyn_owned.h"
#include "command/dyn_region.h"
#include "command/dyn_transaction.h"
#include "compat/dyn_compat.h"
#include "refresh/dyn_refresh.h"

static ExecutorStart_hook_type previous_executor_start = NULL;
static ProcessUtility_hook_type previous_utility = NULL;
static object_access_hook_type previous_object_access = NULL;

static void
refuse_write(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot change dynamic table \"%s\"", get_rel_name(relid)),
			 errdetail("Its rows are those of its query."),
			 errhint("Change the tables that the query reads; a refresh brings the changes.")));
}

/* Target relations of a statement and of those in its WITH; whether there are any with a frozen region. */
static bool
check_writes(PlannedStmt *plan)
{
	bool		region = false;
	ListCell   *cell;

	foreach(cell, plan->resultRelations)
	{
		Oid			relid = rt_fetch(lfirst_int(cell), plan->rtable)->relid;

		if (!dyn_is_dynamic_table(relid))
			continue;
		if (!dyn_region_writable(relid))
			refuse_write(relid);
		region = true;
	}
	return region;
}

/* pg_dump with --inserts reads by a cursor of this name, and must not fail. */
static bool
is_dump(void)
{
	return ActivePortal != NULL && ActivePortal->name != NULL &&
		strcmp(ActivePortal->name, "_pg_dump_cursor") == 0;
}

static void
check_reads(PlannedStmt *plan, Snapshot snapshot)
{
	ListCell   *cell;

	foreach(cell, plan->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

		if (rte->rtekind != RTE_RELATION || !dyn_is_dynamic_table(rte->relid))
			continue;
		if (dyn_is_before_reshape(rte->relid, snapshot))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access: dynamic table \"%s\" got other columns after this transaction's snapshot",
							get_rel_name(rte->relid)),
					 errhint("The transaction might succeed if retried.")));
		if (!dyn_is_populated(rte->relid) && !is_dump())
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("dynamic table \"%s\" has not been populated",
							get_rel_name(rte->relid)),
					 errhint("Wait for its first scheduled refresh, or call dyntable_refresh().")));
	}
}

static void
guard_executor_start(QueryDesc *desc, int eflags)
{
	bool		region = false;

	if (!IsParallelWorker() && !dyn_refresh_statement(desc) && OidIsValid(MyDatabaseId))
	{
		if (desc->plannedstmt->resultRelations != NIL)
		{
			dyn_origin_unmark();
			region = check_writes(desc->plannedstmt);
		}
		if ((eflags & (EXEC_FLAG_EXPLAIN_ONLY | EXEC_FLAG_WITH_NO_DATA)) == 0)
			check_reads(desc->plannedstmt, desc->snapshot);
	}
	if (previous_executor_start)
		previous_executor_start(desc, eflags);
	else
		standard_ExecutorStart(desc, eflags);
	if (region)
		dyn_region_guard(desc);
}

/* The dynamic table that a statement names, or InvalidOid. */
static Oid
named_dynamic_table(RangeVar *name)
{
	Oid			relid = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;

	return OidIsValid(relid) && dyn_is_dynamic_table(relid) ? relid : InvalidOid;
}

static void
refuse_alter(Oid relid, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot alter dynamic table \"%s\" in this way", get_rel_name(relid)),
			 errdetail_internal("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

/* What of ALTER TABLE would make the table differ from its query, or unwritable for a refresh. */
static void
check_alter_command(Oid relid, AlterTableCmd *command)
{
	switch (command->subtype)
	{
		case AT_AddColumn:
		case AT_DropColumn:
		case AT_AlterColumnType:
		case AT_ColumnDefault:
		case AT_AddIdentity:
			refuse_alter(relid, "Its columns are those of its query.",
						 "Change the query with dyntable_alter().");
			break;
		case AT_SetUnLogged:
			refuse_alter(relid, "A dynamic table must survive a crash.", NULL);
			break;
		case AT_AddInherit:
		case AT_AddOf:
		case AT_AttachPartition:
			refuse_alter(relid, "A dynamic table cannot be part of another table.", NULL);
			break;
		default:
			break;
	}
}

static void
check_alter_table(AlterTableStmt *statement)
{
	Oid			relid = named_dynamic_table(statement->relation);
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);
		Oid			other = InvalidOid;

		if (OidIsValid(relid))
			check_alter_command(relid, command);
		if (command->subtype == AT_AttachPartition)
			other = named_dynamic_table(((PartitionCmd *) command->def)->name);
		else if (command->subtype == AT_AddInherit)
			other = named_dynamic_table((RangeVar *) command->def);
		if (OidIsValid(other))
			refuse_alter(other, "A dynamic table cannot be part of another table.", NULL);
	}
}

static void
check_inheritance(CreateStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->inhRelations)
	{
		Oid			relid = named_dynamic_table(lfirst_node(RangeVar, cell));

		if (OidIsValid(relid))
			refuse_alter(relid, "Its rows are those of its query, so that no table can inherit from it.",
						 NULL);
	}
}

static void
collect_doomed(Oid relid, bool cascade, List **doomed)
{
	ListCell   *cell;

	if (list_member_oid(*doomed, relid))
		return;
	if (dyn_is_dynamic_table(relid))
		*doomed = lappend_oid(*doomed, relid);
	if (!cascade)
		return;
	foreach(cell, dyn_readers_of(relid))
		collect_doomed(lfirst_oid(cell), true, doomed);
}

/*
 * DROP TABLE locks in the order in which tables are named and depend on each
 * other, a run in its own: they would meet in a deadlock.  Only owners get to
 * wait here, or anybody could hold up refreshes.
 */
void
dyn_lock_doomed(DropStmt *statement)
{
	List	   *doomed = NIL;
	ListCell   *cell;

	if (statement->removeType != OBJECT_TABLE || RecoveryInProgress() ||
		!OidIsValid(dyn_extension_oid()))
		return;
	foreach(cell, statement->objects)
	{
		RangeVar   *name = makeRangeVarFromNameList(lfirst_node(List, cell));
		Oid			relid = RangeVarGetRelid(name, NoLock, true);

		if (OidIsValid(relid) && dyn_owns_relation(relid, GetUserId()))
			collect_doomed(relid, statement->behavior == DROP_CASCADE, &doomed);
	}
	dyn_run_claim(doomed);
}

static void
check_utility(Node *statement)
{
	Oid			relid;

	switch (nodeTag(statement))
	{
		case T_CopyStmt:
			if (((CopyStmt *) statement)->is_from &&
				OidIsValid(relid = named_dynamic_table(((CopyStmt *) statement)->relation)))
				refuse_write(relid);
			break;
		case T_AlterTableStmt:
			if (((AlterTableStmt *) statement)->objtype == OBJECT_TABLE)
				check_alter_table((AlterTableStmt *) statement);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_COLUMN &&
				OidIsValid(relid = named_dynamic_table(((RenameStmt *) statement)->relation)))
				refuse_alter(relid, "Its columns are named by its query.",
							 "Rename the column in the query with dyntable_create(or_replace => true), or in a view over the table.");
			break;
		case T_CreateTrigStmt:
			if (((CreateTrigStmt *) statement)->timing == TRIGGER_TYPE_BEFORE &&
				((CreateTrigStmt *) statement)->row &&
				OidIsValid(relid = named_dynamic_table(((CreateTrigStmt *) statement)->relation)))
				refuse_alter(relid, "A trigger that fires before a row is written could change or drop it.",
							 "Use an AFTER trigger.");
			break;
		case T_RuleStmt:
			if (OidIsValid(relid = named_dynamic_table(((RuleStmt *) statement)->relation)))
				refuse_alter(relid, "A dynamic table cannot have rules.", NULL);
			break;
		case T_DropStmt:
			dyn_lock_doomed((DropStmt *) statement);
			break;
		case T_CreateStmt:
			check_inheritance((CreateStmt *) statement);
			break;
		default:
			break;
	}
}

static void
guard_process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
					  ProcessUtilityContext context, ParamListInfo params,
					  QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *statement = pstmt->utilityStmt;
	Oid			renamed;
	List	   *owned;

	dyn_origin_unmark();
	dyn_notify_watch(statement);
	check_utility(statement);
	renamed = dyn_relation_to_rename(statement);
	owned = dyn_owned_before(statement);
	previous_utility(pstmt, query_string, read_only_tree, context, params, query_env, dest, qc);

	dyn_stages_left_drop();
	dyn_owned_after(statement, owned);

	/* What the view reads now is known only afterwards. */
	if (IsA(statement, ViewStmt) && ((ViewStmt *) statement)->replace)
		dyn_check_view_cycle(((ViewStmt *) statement)->view);
	dyn_warn_of_name(statement, renamed);
}

/* Only DROP EXTENSION drops it, and still can read it at that moment. */
static bool
is_identity_table(Oid relid)
{
	return OidIsValid(dyn_schema_oid()) &&
		relid == get_relname_relid("identity", dyn_schema_oid());
}

static void
guard_object_access(ObjectAccessType access, Oid classid, Oid objectid, int subid, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, classid, objectid, subid, arg);
	if (classid != RelationRelationId || subid != 0)
		return;
	if (access == OAT_DROP && is_identity_table(objectid))
		dyn_identities_give_back();
	if (!dyn_is_dynamic_table(objectid))
		return;
	if (access == OAT_TRUNCATE)
		refuse_write(objectid);
	if (access == OAT_DROP)
	{
		dyn_table_delete(objectid);
		dyn_wake_at_end();
	}
}

void
dyn_command_init(void)
{
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = guard_executor_start;
	previous_utility = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = guard_process_utility;
	previous_object_access = object_access_hook;
	object_access_hook = guard_object_access;
}
