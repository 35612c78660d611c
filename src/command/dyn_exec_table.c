/*
 * dyn_exec_table.c
 *	  CREATE, CLONE, SET and RENAME of dynamic tables in dyntable_exec.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <commands/defrem.h>
#include <executor/spi.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "command/dyn_definition.h"
#include "command/dyn_exec.h"
#include "command/dyn_options.h"
#include "command/dyn_parse.h"
#include "command/dyn_region.h"
#include "query/dyn_query.h"

/* Names of a query's columns, NULL for those without one. */
typedef struct QueryColumns
{
	const char *query;
	List	   *names;
} QueryColumns;

static void
find_query_columns(void *arg)
{
	QueryColumns *columns = arg;
	ListCell   *cell;

	foreach(cell, dyn_query_analyse(columns->query)->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (!target->resjunk)
			columns->names = lappend(columns->names, target->resname);
	}
}

/* Whether the list of columns says no more than the query. */
static bool
list_says_the_same(const List *columns, const List *names)
{
	const ListCell *column;
	const ListCell *name;

	forboth(column, columns, name, names)
	{
		DynColumn  *given = lfirst(column);

		if (given->type != NULL || lfirst(name) == NULL || strcmp(given->name, lfirst(name)) != 0)
			return false;
	}
	return true;
}

/* "SELECT CAST(q.a AS type) AS a, ... FROM (query) AS q (a, ...)" */
static void
wrap_query(DynExec *exec, DynStatement *statement)
{
	StringInfoData query;
	const char *separator = "SELECT ";
	ListCell   *cell;

	initStringInfo(&query);
	foreach(cell, statement->columns)
	{
		DynColumn  *column = lfirst(cell);
		const char *name = quote_identifier(column->name);

		if (column->type != NULL)
			appendStringInfo(&query, "%sCAST(q.%s AS %s) AS %s", separator, name, column->type, name);
		else
			appendStringInfo(&query, "%sq.%s", separator, name);
		separator = ", ";
	}
	appendStringInfoString(&query, "\nFROM (");
	exec->query_shift = query.len;
	appendStringInfo(&query, "%s\n) AS q (", statement->query);
	separator = "";
	foreach(cell, statement->columns)
	{
		appendStringInfo(&query, "%s%s", separator, quote_identifier(((DynColumn *) lfirst(cell))->name));
		separator = ", ";
	}
	appendStringInfoChar(&query, ')');
	exec->query = query.data;
}

/* The query with the names and types of the list of columns; errors in it from here on are moved into the command. */
static void
find_query(DynExec *exec, DynStatement *statement)
{
	QueryColumns columns = {statement->query};

	exec->statement = statement;
	exec->query = statement->query;
	exec->query_shift = 0;
	if (statement->columns == NIL)
		return;

	/* The locks of the analysis must not be in the way of capture. */
	dyn_undone(find_query_columns, &columns);
	exec->parser.blame = ((DynColumn *) linitial(statement->columns))->at;
	if (list_length(columns.names) != list_length(statement->columns))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
				 errmsg("list of columns does not fit the query"),
				 errdetail("The list has %d columns, the query %d.",
						   list_length(statement->columns), list_length(columns.names))));
	if (!list_says_the_same(statement->columns, columns.names))
		wrap_query(exec, statement);
}

static void
add(DynStatement *statement, const char *name, char *value)
{
	DynArgument *argument = palloc0(sizeof(DynArgument));

	argument->name = name;
	argument->value = value;
	statement->arguments = lappend(statement->arguments, argument);
}

static void
add_default(DynStatement *statement, const char *name, char *value)
{
	if (dyn_find_argument(statement, name) == NULL)
		add(statement, name, value);
}

/* The function would say that the table is missing, but not where. */
static void
find_backfill(DynExec *exec, DynStatement *statement)
{
	DynArgument *backfill = dyn_find_argument(statement, "backfill_from");

	if (backfill == NULL)
		return;
	exec->parser.blame = backfill->at;
	backfill->value = psprintf("%u", RangeVarGetRelid(dyn_option_name(backfill->value), NoLock, false));
}

/* Whether a common table expression is meant is for the query to say. */
static void
add_boundaries(DynExec *exec, DynStatement *statement)
{
	StringInfoData list;
	ListCell   *cell;

	if (statement->boundaries == NIL)
		return;
	initStringInfo(&list);
	foreach(cell, statement->boundaries)
	{
		DynName    *name = lfirst(cell);
		Oid			relid;

		exec->parser.blame = name->at;
		relid = RangeVarGetRelid(dyn_option_name(name->text), NoLock, true);
		if (OidIsValid(relid) && dyn_boundary_tables(relid) != NIL)
			appendStringInfo(&list, "%s%u", list.len ? "," : "", relid);
		else if (OidIsValid(relid))
			ereport(NOTICE,
					(errmsg("DYNAMIC_TABLE_REFRESH_BOUNDARY(%s) has no effect", name->text),
					 errdetail("It is neither a dynamic table nor a view over one.")));
	}
	if (list.len > 0)
		add(statement, "boundary", psprintf("{%s}", list.data));
}

static void
comment_columns(DynExec *exec, const DynStatement *statement, Oid relid)
{
	ListCell   *cell;

	foreach(cell, statement->columns)
	{
		DynColumn  *column = lfirst(cell);

		exec->parser.blame = column->at;
		if (column->comment != NULL)
			dyn_exec_run(exec, psprintf("COMMENT ON COLUMN %s.%s IS %s",
										quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
																   get_rel_name(relid)),
										quote_identifier(column->name), quote_literal_cstr(column->comment)));
	}
}

/*
 * The server's own notion of a clustering key is the index by which CLUSTER
 * orders a table.  An index that is unique is more than that and stays.
 */
static void
drop_clustering(DynExec *exec, const char *table, Oid relid)
{
	dyn_exec_run(exec, psprintf("DO %s", quote_literal_cstr(psprintf(
		"DECLARE i pg_catalog.regclass; BEGIN"
		" SELECT x.indexrelid INTO i FROM pg_catalog.pg_index x"
		" WHERE x.indrelid OPERATOR(pg_catalog.=) %u AND x.indisclustered;"
		" EXECUTE 'ALTER TABLE %s SET WITHOUT CLUSTER';"
		" IF EXISTS (SELECT FROM pg_catalog.pg_index x"
		" WHERE x.indexrelid OPERATOR(pg_catalog.=) i AND NOT x.indisunique) THEN"
		" EXECUTE pg_catalog.format('DROP INDEX %%s', i); END IF; END",
		relid, table))));
}

static void
set_clustering(DynExec *exec, const DynStatement *statement, Oid relid)
{
	Oid			schema = get_rel_namespace(relid);
	const char *table = quote_qualified_identifier(get_namespace_name(schema), get_rel_name(relid));
	char	   *index;
	StringInfoData keys;
	ListCell   *cell;

	if (statement->clustering == DYN_CLUSTER_KEEP)
		return;
	drop_clustering(exec, table, relid);
	if (statement->clustering == DYN_CLUSTER_DROP)
		return;
	exec->parser.blame = statement->cluster_at;
	index = ChooseRelationName(get_rel_name(relid), "cluster_key", "idx", schema, false);
	initStringInfo(&keys);
	foreach(cell, statement->cluster_keys)
		appendStringInfo(&keys, "%s%s", keys.len ? ", " : "", (char *) lfirst(cell));
	dyn_exec_run(exec, psprintf("CREATE INDEX %s ON %s (%s)", quote_identifier(index), table, keys.data));
	dyn_exec_run(exec, psprintf("ALTER TABLE %s CLUSTER ON %s", table, quote_identifier(index)));
}

/* COPY GRANTS: the statements that grant on the table to come what is granted on this one. */
static char *
grants_to_copy(const DynStatement *statement, Oid relid)
{
	char	   *grants = NULL;

	if (!statement->copy_grants || !OidIsValid(relid))
		return NULL;
	SPI_connect();
	if (SPI_execute(psprintf("SELECT dyntable.grants(%u, %s)", relid,
							 quote_literal_cstr(((DynName *) linitial(statement->names))->text)),
					true, 0) == SPI_OK_SELECT && SPI_processed == 1)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		if (value != NULL)
		{
			grants = SPI_palloc(strlen(value) + 1);
			strcpy(grants, value);
		}
	}
	SPI_finish();
	return grants;
}

/* CREATE OR ALTER of a table that exists: what is not given is as if it had never been. */
static void
alter_to(DynExec *exec, DynStatement *statement, Oid relid)
{
	DynArgument *backfill = dyn_find_argument(statement, "backfill_from");
	DynArgument *initialize = dyn_find_argument(statement, "initialize");

	if (backfill != NULL)
	{
		exec->parser.blame = backfill->at;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("BACKFILL FROM is for a table that is created"),
				 errdetail("Dynamic table \"%s\" exists.", get_rel_name(relid)),
				 errhint("Leave it out.")));
	}
	statement->arguments = list_delete_ptr(statement->arguments, initialize);
	if (dyn_find_argument(statement, "schedule") == NULL)
		add_default(statement, "target_lag", DYN_DEFAULT_LAG);
	add_default(statement, "refresh_mode", "auto");
	add_default(statement, "warehouse", DYN_DEFAULT_WAREHOUSE);
	add_default(statement, "initialization_warehouse", "");
	add_default(statement, "frozen_where", "");
	add_default(statement, "boundary", "{}");
	add_default(statement, "comment", "");
	add(statement, "query", unconstify(char *, exec->query));
	dyn_exec_run(exec, psprintf("SELECT %s", dyn_exec_call(exec, "dyntable_alter", psprintf("%u, ", relid),
														   statement->arguments)));
}

void
dyn_exec_create(DynExec *exec, DynStatement *statement)
{
	DynName    *name = linitial(statement->names);
	Oid			existing;
	Oid			relid;
	char	   *grants;
	const char *done = "successfully created.";

	exec->parser.blame = name->at;
	relid = existing = RangeVarGetRelid(dyn_option_name(name->text), NoLock, true);
	if (OidIsValid(relid) && statement->if_not_exists)
	{
		ereport(NOTICE,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists, skipping", get_rel_name(relid))));
		dyn_exec_say(exec, relid, "already exists, statement succeeded.");
		return;
	}
	find_query(exec, statement);
	find_backfill(exec, statement);
	add_boundaries(exec, statement);
	exec->parser.blame = name->at;
	if (OidIsValid(relid) && statement->or_alter)
	{
		alter_to(exec, statement, relid);
		done = "successfully altered.";
	}
	else
	{
		if (OidIsValid(relid) && statement->or_replace)
			done = "successfully replaced.";
		grants = statement->or_replace ? grants_to_copy(statement, existing) : NULL;
		add(statement, "query", unconstify(char *, exec->query));
		if (statement->or_replace)
			add(statement, "or_replace", "true");
		dyn_exec_run(exec, psprintf("SELECT %s",
									dyn_exec_call(exec, "dyntable_create",
												  psprintf("%s, ", quote_literal_cstr(name->text)),
												  statement->arguments)));

		/* A table that was replaced in place still has its own. */
		if (grants != NULL && RangeVarGetRelid(dyn_option_name(name->text), NoLock, false) != existing)
			dyn_exec_run(exec, grants);
	}
	exec->statement = NULL;
	relid = RangeVarGetRelid(dyn_option_name(name->text), NoLock, false);
	comment_columns(exec, statement, relid);
	set_clustering(exec, statement, relid);
	dyn_exec_say(exec, relid, done);
}

void
dyn_exec_clone(DynExec *exec, DynStatement *statement)
{
	DynName    *name = linitial(statement->names);
	Oid			source = dyn_exec_table(exec, statement->other, false);
	Oid			relid;
	char	   *grants;
	const char *done = "successfully created.";

	exec->parser.blame = name->at;
	relid = RangeVarGetRelid(dyn_option_name(name->text), NoLock, true);
	if (OidIsValid(relid) && statement->if_not_exists)
	{
		ereport(NOTICE,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists, skipping", get_rel_name(relid))));
		dyn_exec_say(exec, relid, "already exists, statement succeeded.");
		return;
	}
	if (OidIsValid(relid) && relid == source)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dynamic table \"%s\" cannot be replaced by a clone of itself", get_rel_name(relid))));
	grants = grants_to_copy(statement, OidIsValid(relid) && statement->or_replace ? relid : source);
	if (OidIsValid(relid) && statement->or_replace)
	{
		dyn_exec_run(exec, psprintf("SELECT %s.dyntable_drop(%s)", exec->schema, quote_literal_cstr(name->text)));
		done = "successfully replaced.";
	}
	dyn_exec_run(exec, psprintf("SELECT %s.dyntable_clone(%u, %s)", exec->schema, source,
								quote_literal_cstr(name->text)));
	relid = RangeVarGetRelid(dyn_option_name(name->text), NoLock, false);
	if (statement->arguments != NIL)
		dyn_exec_run(exec, psprintf("SELECT %s", dyn_exec_call(exec, "dyntable_alter", psprintf("%u, ", relid),
															   statement->arguments)));
	if (grants != NULL)
		dyn_exec_run(exec, grants);
	set_clustering(exec, statement, relid);
	dyn_exec_say(exec, relid, done);
}

void
dyn_exec_set(DynExec *exec, DynStatement *statement)
{
	Oid			relid = dyn_exec_table(exec, linitial(statement->names), statement->if_exists);

	if (!OidIsValid(relid))
		return;
	if (!dyn_is_dynamic_table(relid) || statement->arguments != NIL)
		dyn_exec_run(exec, psprintf("SELECT %s", dyn_exec_call(exec, "dyntable_alter", psprintf("%u, ", relid),
															   statement->arguments)));
	comment_columns(exec, statement, relid);
	set_clustering(exec, statement, relid);
	dyn_exec_say(exec, relid, "successfully altered.");
}

/* To another name, another schema, or both. */
void
dyn_exec_rename(DynExec *exec, DynStatement *statement)
{
	Oid			relid = dyn_exec_table(exec, linitial(statement->names), statement->if_exists);
	char	   *old;
	RangeVar   *new;
	Oid			schema;

	if (!OidIsValid(relid))
		return;
	dyn_table_get(relid, false);
	exec->parser.blame = statement->other->at;
	old = get_rel_name(relid);
	new = dyn_option_name(statement->other->text);
	schema = new->schemaname ? RangeVarGetCreationNamespace(new) : get_rel_namespace(relid);
	if (schema != get_rel_namespace(relid))
	{
		dyn_exec_run(exec, psprintf("ALTER TABLE %s SET SCHEMA %s",
									quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), old),
									quote_identifier(new->schemaname)));
		CommandCounterIncrement();
	}
	if (strcmp(old, new->relname) != 0)
		dyn_exec_run(exec, psprintf("ALTER TABLE %s RENAME TO %s",
									quote_qualified_identifier(get_namespace_name(schema), old),
									quote_identifier(new->relname)));
	dyn_exec_run(exec, psprintf("SELECT %s, dyntable.table_detail(%u)",
								quote_literal_cstr(psprintf("Dynamic table %s successfully renamed to %s.", old, new->relname)),
								relid));
}
