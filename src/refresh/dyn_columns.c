/*
 * dyn_columns.c
 *	  A dynamic table's columns follow the types of its query.
 *
 * When a column of a source gets another type, so may columns of the query
 * and then of the table: values of the new type need not fit into the old one.
 * Names, order and number of the columns never change here.
 *
 * That takes the one lock of a refresh which readers feel: ACCESS EXCLUSIVE on
 * the dynamic table, to the end of the run.  So it comes late, when the new
 * rows are known and only the difference has to be written: the server then
 * writes the table anew (unless the types store values alike).  Readers queue
 * behind it for a moment at most: if it is not to be had the refresh fails, and
 * is tried again.
 */
#include <postgres.h>

#include <access/table.h>
#include <catalog/pg_class.h>
#include <nodes/makefuncs.h>
#include <parser/parse_coerce.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "refresh/dyn_target.h"

/* A column of the table whose type is no longer that of its query's column. */
typedef struct Retyped
{
	char	   *name;
	AttrNumber	attnum;
	DynColumn	column;
} Retyped;

static bool
same_type(Form_pg_attribute attribute, const DynColumn *column)
{
	return attribute->atttypid == column->type && attribute->atttypmod == column->typmod &&
		attribute->attcollation == column->collation;
}

static void
check_castable(Oid relid, Form_pg_attribute attribute, const DynColumn *column)
{
	CoercionPathType path;
	Oid			function;
	Oid			from = getBaseType(attribute->atttypid);
	Oid			to = getBaseType(column->type);

	if (from == to)
		return;
	path = find_coercion_pathway(to, from, COERCION_ASSIGNMENT, &function);
	if (path != COERCION_PATH_NONE)
		return;
	ereport(ERROR,
			errcode(ERRCODE_DATATYPE_MISMATCH),
			errmsg("column \"%s\" of dynamic table \"%s\" cannot follow its query from type %s to type %s",
				   NameStr(attribute->attname), get_rel_name(relid),
				   format_type_be(attribute->atttypid), format_type_be(column->type)),
			errdetail("There is no cast between them that applies to assignments."),
			errhint("Make the table anew with dyntable_create(..., or_replace => true), or cast the column in the query with dyntable_alter()."));
}

/* List of Retyped *. */
List *
dyn_retyped_columns(Oid relid, int ncolumns, const DynColumn *columns)
{
	Relation	relation = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(relation);
	List	   *retyped = NIL;
	int			no = 0;

	for (int i = 0; i < desc->natts && no <= ncolumns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Retyped    *entry;

		if (attribute->attisdropped || no++ == ncolumns || same_type(attribute, &columns[no - 1]))
			continue;
		check_castable(relid, attribute, &columns[no - 1]);
		entry = palloc(sizeof(Retyped));
		entry->name = pstrdup(NameStr(attribute->attname));
		entry->attnum = attribute->attnum;
		entry->column = columns[no - 1];
		retyped = lappend(retyped, entry);
	}
	table_close(relation, NoLock);
	return retyped;
}

static void
alter_types(Oid relid, List *retyped, bool own_log)
{
	List	   *commands = NIL;
	ListCell   *lc;

	foreach(lc, retyped)
	{
		Retyped    *entry = lfirst(lc);
		AlterTableCmd *command = makeNode(AlterTableCmd);

		command->subtype = AT_AlterColumnType;
		command->name = own_log ? psprintf("c%d", entry->attnum) : entry->name;
		command->def = (Node *) makeColumnDef(command->name, entry->column.type,
											  entry->column.typmod, entry->column.collation);
		command->behavior = DROP_RESTRICT;
		commands = lappend(commands, command);
	}
	dyn_alter_table(relid, commands);
}

static void
retyping_context(void *arg)
{
	Oid		   *relid = arg;

	errcontext("columns of dynamic table \"%s\" following the types of its query", get_rel_name(*relid));
	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_DATA_EXCEPTION)
		errhint("Rows of the table do not fit the new type. Make it anew with dyntable_create(..., or_replace => true).");
	else if (geterrcode() == ERRCODE_FEATURE_NOT_SUPPORTED)
		errhint("Drop what depends on the column, refresh, and make it again; or cast the column in the query with dyntable_alter().");
}

void
dyn_retyping_begin(ErrorContextCallback *callback, Oid *relid)
{
	callback->callback = retyping_context;
	callback->arg = relid;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

void
dyn_retyping_end(const ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

char *
dyn_retyped_values(DynSink *sink, List *retyped)
{
	StringInfoData buf;
	ListCell   *name;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(name, sink->names)
	{
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", (char *) lfirst(name));
		foreach(lc, retyped)
		{
			Retyped    *entry = lfirst(lc);

			if (strcmp(quote_identifier(entry->name), lfirst(name)) == 0)
				appendStringInfo(&buf, "::%s",
								 format_type_extended(entry->column.type, entry->column.typmod,
													  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		}
	}
	return buf.data;
}

/*
 * The log of the table's own changes has the table's types; what it holds is
 * converted, for readers that do not read the columns in question.  Our index
 * goes: what differs in one type may be equal in the other.
 */
void
dyn_follow_types(Oid relid, List *retyped)
{
	Oid			own_log = dyn_stage_get(relid, 0);
	ErrorContextCallback callback;

	dyn_lock_against_readers(relid, "The type of a column of its query has changed, and the table's column has to follow.");
	dyn_sink_drop_indexes(relid);
	dyn_retyping_begin(&callback, &relid);
	alter_types(relid, retyped, false);
	if (OidIsValid(own_log))
		alter_types(own_log, retyped, true);
	dyn_retyping_end(&callback);
}
