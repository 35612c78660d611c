/*
 * dyn_ddl.c
 *	  ALTER TABLE of our own doing.
 */
#include <postgres.h>

#include <access/xact.h>
#include <commands/tablecmds.h>
#include <nodes/makefuncs.h>
#include <storage/lmgr.h>
#include <tcop/utility.h>
#include <utils/lsyscache.h>

#include "catalog/dyn_catalog.h"

/*
 * By the server's internal function rather than by a statement: no event
 * trigger fires, and no hook of ours takes it for a user's.
 */
void
dyn_alter_table(Oid relid, List *commands)
{
	AlterTableStmt *statement = makeNode(AlterTableStmt);
	PlannedStmt *wrapper = makeNode(PlannedStmt);
	AlterTableUtilityContext context = {0};
	LOCKMODE	lockmode = AccessExclusiveLock;

	statement->relation = makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
									   get_rel_name(relid), -1);
	statement->cmds = commands;
	statement->objtype = OBJECT_TABLE;
	wrapper->commandType = CMD_UTILITY;
	wrapper->utilityStmt = (Node *) statement;
	wrapper->stmt_location = -1;
	LockRelationOid(relid, lockmode);
	context.pstmt = wrapper;
	context.queryString = "";
	context.relid = relid;
	AlterTable(statement, lockmode, &context);
	CommandCounterIncrement();
}
