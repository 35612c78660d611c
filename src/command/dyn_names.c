/*
 * dyn_names.c
 *	  A relation that takes the name of one that dynamic tables read.
 *
 * A definition follows the identity of what it reads.  Whoever replaces a table
 * by renaming (src to src_old, then src_new to src) may expect it to follow the
 * name, so the command that gives the name to another relation says that it does
 * not.  Schemas are not looked through when they are renamed.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <nodes/parsenodes.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "catalog/dyn_catalog.h"
#include "command/dyn_names.h"

static bool
is_relation(ObjectType type)
{
	return type == OBJECT_TABLE || type == OBJECT_VIEW || type == OBJECT_MATVIEW ||
		type == OBJECT_FOREIGN_TABLE;
}

Oid
dyn_relation_to_rename(Node *statement)
{
	RangeVar   *name = NULL;

	if (IsA(statement, RenameStmt) && is_relation(((RenameStmt *) statement)->renameType))
		name = ((RenameStmt *) statement)->relation;
	else if (IsA(statement, AlterObjectSchemaStmt) &&
			 is_relation(((AlterObjectSchemaStmt *) statement)->objectType))
		name = ((AlterObjectSchemaStmt *) statement)->relation;
	if (name == NULL || !OidIsValid(dyn_extension_oid()))
		return InvalidOid;
	return RangeVarGetRelid(name, NoLock, true);
}

static Oid
relation_made(Node *statement)
{
	RangeVar   *name = NULL;

	switch (nodeTag(statement))
	{
		case T_CreateStmt:
			name = ((CreateStmt *) statement)->relation;
			break;
		case T_CreateTableAsStmt:
			name = ((CreateTableAsStmt *) statement)->into->rel;
			break;
		case T_ViewStmt:
			name = ((ViewStmt *) statement)->view;
			break;
		default:
			return InvalidOid;
	}
	if (name->relpersistence == RELPERSISTENCE_TEMP || !OidIsValid(dyn_extension_oid()))
		return InvalidOid;
	return RangeVarGetRelid(name, NoLock, true);
}

void
dyn_warn_of_name(Node *statement, Oid renamed)
{
	Oid			relid = OidIsValid(renamed) ? renamed : relation_made(statement);
	char	   *name;
	ListCell   *lc;

	if (!OidIsValid(relid) || !OidIsValid(dyn_schema_oid()))
		return;
	CommandCounterIncrement();
	name = get_rel_name(relid);
	if (name == NULL || get_rel_namespace(relid) == dyn_schema_oid())
		return;
	if (OidIsValid(renamed) && dyn_is_dynamic_table(renamed))
		dyn_version_note(renamed);
	name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
	foreach(lc, dyn_tables_naming(name, relid))
		ereport(WARNING,
				(errmsg("dynamic table \"%s\" does not read the new \"%s\"",
						get_rel_name(lfirst_oid(lc)), name),
				 errdetail("It was defined when another relation had this name, and goes on reading that one."),
				 errhint("To have it read the new one give it its query again, with dyntable_alter(name, query => ...).")));
}
