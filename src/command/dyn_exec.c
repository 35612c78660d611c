/*
 * dyn_exec.c
 *	  dyntable_exec: commands in the words that people know from elsewhere.
 *
 * Each statement becomes a call of the function that does the same, with named
 * arguments, so that this is another way to say it and nothing else: rights,
 * defaults and checks are the function's.  Several statements are read and done
 * one after the other, in the caller's transaction: if one fails, none is done.
 *
 * Errors point into the command.  Those of the words do so by themselves; those of
 * the defining query are moved to where it stands in the command; any other error
 * is about the name or the value that parser.blame says.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/namespace.h>
#include <commands/extension.h>
#include <executor/spi.h>
#include <fmgr.h>
#include <funcapi.h>
#include <mb/pg_wchar.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "command/dyn_exec.h"
#include "command/dyn_options.h"
#include "command/dyn_parse.h"
#include "query/dyn_dialect.h"

PG_FUNCTION_INFO_V1(dyntable_exec);

char *
dyn_exec_call(const DynExec *exec, const char *function, const char *first, const List *arguments)
{
	StringInfoData call;
	ListCell   *cell;

	initStringInfo(&call);
	appendStringInfo(&call, "%s.%s(%s", exec->schema, function, first);
	foreach(cell, arguments)
	{
		DynArgument *argument = lfirst(cell);

		appendStringInfo(&call, "%s => %s, ", quote_identifier(argument->name),
						 argument->value ? quote_literal_cstr(argument->value) : "NULL");
	}
	if (call.len > 2 && strcmp(call.data + call.len - 2, ", ") == 0)
		call.len -= 2;
	call.data[call.len] = '\0';
	appendStringInfoChar(&call, ')');
	return call.data;
}

static void
put_rows(DynExec *exec, SPITupleTable *table)
{
	for (uint64 i = 0; i < table->numvals; i++)
	{
		Datum		values[2];
		bool		nulls[2];

		for (int column = 0; column < 2; column++)
			values[column] = SPI_getbinval(table->vals[i], table->tupdesc, column + 1, &nulls[column]);
		tuplestore_putvalues(exec->result->setResult, exec->result->setDesc, values, nulls);
	}
}

void
dyn_exec_run(DynExec *exec, const char *sql)
{
	exec->call = sql;
	SPI_connect();
	if (SPI_execute(sql, false, 0) == SPI_OK_SELECT && SPI_tuptable->tupdesc->natts == 2)
		put_rows(exec, SPI_tuptable);
	SPI_finish();
	exec->call = NULL;
}

void
dyn_exec_say(DynExec *exec, Oid relid, const char *what)
{
	dyn_exec_run(exec, psprintf("SELECT %s, dyntable.table_detail(%u)",
								quote_literal_cstr(psprintf("Dynamic table %s %s",
															get_rel_name(relid), what)),
								relid));
}

/* A row of the result that has nothing to add. */
static void
say(DynExec *exec, const char *status)
{
	Datum		values[2] = {CStringGetTextDatum(status), 0};
	bool		nulls[2] = {false, true};

	tuplestore_putvalues(exec->result->setResult, exec->result->setDesc, values, nulls);
}

Oid
dyn_exec_table(DynExec *exec, const DynName *name, bool missing_ok)
{
	RangeVar   *range;
	Oid			relid;

	exec->parser.blame = name->at;
	range = dyn_option_name(name->text);
	relid = RangeVarGetRelid(range, NoLock, missing_ok);
	if (!OidIsValid(relid))
		ereport(NOTICE,
				(errmsg("dynamic table \"%s\" does not exist, skipping", range->relname)));
	return relid;
}

/* SUSPEND and RESUME of each name */
static void
exec_each(DynExec *exec, DynStatement *statement, const char *function, const char *what)
{
	ListCell   *cell;

	foreach(cell, statement->names)
	{
		Oid			relid = dyn_exec_table(exec, lfirst(cell), statement->if_exists);

		if (!OidIsValid(relid))
			continue;
		dyn_exec_run(exec, psprintf("SELECT %s.%s(%u)", exec->schema, function, relid));
		dyn_exec_say(exec, relid, what);
	}
}

/* All names in one run, at one data timestamp: one row for each table that was refreshed. */
static void
exec_refresh(DynExec *exec, DynStatement *statement)
{
	List	   *relids = NIL;
	StringInfoData list;
	ListCell   *cell;

	initStringInfo(&list);
	foreach(cell, statement->names)
	{
		DynName    *name = lfirst(cell);
		Oid			relid = dyn_exec_table(exec, name, statement->if_exists);

		if (!OidIsValid(relid))
			continue;
		if (list_member_oid(relids, relid))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("dynamic table \"%s\" is named more than once", get_rel_name(relid)),
					 errhint("Name each table once.")));
		relids = lappend_oid(relids, relid);
		appendStringInfo(&list, "%s%u", list.len ? "," : "", relid);
	}
	if (relids == NIL)
		return;
	dyn_exec_run(exec, psprintf("SELECT pg_catalog.format('Dynamic table %%s refreshed: %%s.', c.relname, r.action),"
								" pg_catalog.to_jsonb(r) OPERATOR(pg_catalog.-) 'ordinality'"
								" FROM %s.dyntable_refresh(VARIADIC '{%s}') WITH ORDINALITY r"
								" JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.name ORDER BY r.ordinality",
								exec->schema, list.data));
}

static void
exec_drop(DynExec *exec, DynStatement *statement)
{
	ListCell   *cell;

	foreach(cell, statement->names)
	{
		DynName    *name = lfirst(cell);

		if (statement->if_exists && !OidIsValid(dyn_exec_table(exec, name, true)))
			continue;
		exec->parser.blame = name->at;
		dyn_exec_run(exec, psprintf("SELECT %s.dyntable_drop(%s, cascade => %s)", exec->schema,
									quote_literal_cstr(name->text), statement->cascade ? "true" : "false"));
		say(exec, psprintf("Dynamic table %s successfully dropped.", dyn_option_name(name->text)->relname));
	}
}

static void
exec_swap(DynExec *exec, DynStatement *statement)
{
	Oid			relid = dyn_exec_table(exec, linitial(statement->names), statement->if_exists);
	Oid			other;

	if (!OidIsValid(relid))
		return;
	other = dyn_exec_table(exec, statement->other, false);
	dyn_exec_run(exec, psprintf("SELECT %s.dyntable_swap(%u, %u)", exec->schema, relid, other));
	dyn_exec_say(exec, other, psprintf("successfully swapped with %s.", get_rel_name(relid)));
}

static char *
literal_or_null(const char *value)
{
	return value ? quote_literal_cstr(value) : "NULL";
}

static void
exec_show(DynExec *exec, DynStatement *statement)
{
	if (statement->kind == DYN_SHOW_TABLES)
		dyn_exec_run(exec, psprintf("SELECT s.status, s.detail FROM dyntable.show_tables(%s, %s, %s, %s, %s) s",
									literal_or_null(statement->like),
									statement->in_schema && *statement->in_schema == '\0' ?
									"pg_catalog.current_schema()" : literal_or_null(statement->in_schema),
									literal_or_null(statement->starts_with),
									literal_or_null(statement->limit), literal_or_null(statement->from)));
	else
		dyn_exec_run(exec, psprintf("SELECT s.status, s.detail FROM dyntable.show_warehouses(%s, %s, %s, %s) s",
									literal_or_null(statement->like), literal_or_null(statement->starts_with),
									literal_or_null(statement->limit), literal_or_null(statement->from)));
}

static void
exec_describe_table(DynExec *exec, DynStatement *statement)
{
	Oid			relid = dyn_exec_table(exec, linitial(statement->names), false);

	dyn_table_get(relid, false);
	dyn_exec_run(exec, psprintf("SELECT s.status, s.detail FROM dyntable.describe_table(%u) s", relid));
}

/* Whether there is a warehouse of this name; where that matters, with a notice. */
static bool
warehouse_exists(DynExec *exec, DynStatement *statement)
{
	DynName    *name = linitial(statement->names);
	bool		exists = dyn_warehouse_get(name->text) != NULL;

	exec->parser.blame = name->at;
	if (exists && statement->if_not_exists)
		ereport(NOTICE, (errmsg("warehouse \"%s\" already exists, skipping", name->text)));
	else if (exists && statement->kind == DYN_CREATE_WAREHOUSE && !statement->or_replace && !statement->or_alter)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("warehouse \"%s\" already exists", name->text),
				 errhint("Write CREATE WAREHOUSE IF NOT EXISTS, CREATE OR ALTER WAREHOUSE, or ALTER WAREHOUSE.")));
	else if (!exists && statement->if_exists)
		ereport(NOTICE, (errmsg("warehouse \"%s\" does not exist, skipping", name->text)));
	else if (!exists && statement->kind != DYN_CREATE_WAREHOUSE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("warehouse \"%s\" does not exist", name->text),
				 errhint("dyntable.warehouses shows those that exist.")));
	return exists;
}

/* Settings are added to those that there are: take these away. */
static void
clear_settings(DynExec *exec, const char *name)
{
	dyn_exec_run(exec, psprintf("SELECT %s.dyntable_warehouse(w.name, settings => (SELECT pg_catalog.jsonb_object_agg(k, NULL)"
								" FROM pg_catalog.jsonb_object_keys(w.settings) k)) FROM dyntable.warehouses w"
								" WHERE w.name OPERATOR(pg_catalog.=) %s", exec->schema, quote_literal_cstr(name)));
}

/* CREATE OR REPLACE and OR ALTER: what is not given is as if it had never been. */
static void
add_warehouse_defaults(DynStatement *statement)
{
	static const char *const defaults[][2] = {
		{"max_workers", "0"}, {"statement_timeout", "0"}, {"auto_suspend", "1 minute"},
		{"auto_resume", "true"}, {"comment", ""},
	};

	for (int i = 0; i < lengthof(defaults); i++)
		if (dyn_find_argument(statement, defaults[i][0]) == NULL)
		{
			DynArgument *argument = palloc0(sizeof(DynArgument));

			argument->name = defaults[i][0];
			argument->value = unconstify(char *, defaults[i][1]);
			statement->arguments = lappend(statement->arguments, argument);
		}
	statement->clear_settings = true;
}

static void
exec_warehouse(DynExec *exec, DynStatement *statement)
{
	DynName    *name = linitial(statement->names);
	bool		exists = warehouse_exists(exec, statement);
	const char *done = exists ? "altered" : "created";

	if (exists && statement->if_not_exists)
		done = NULL;
	else if (!exists && statement->kind == DYN_ALTER_WAREHOUSE)
		return;
	if (exists && (statement->or_replace || statement->or_alter))
		add_warehouse_defaults(statement);
	if (exists && statement->clear_settings)
		clear_settings(exec, name->text);
	if (done != NULL)
		dyn_exec_run(exec, psprintf("SELECT %s", dyn_exec_call(exec, "dyntable_warehouse",
															   psprintf("%s, ", quote_literal_cstr(name->text)),
															   statement->arguments)));
	say(exec, done ? psprintf("Warehouse %s successfully %s.", name->text, done) :
		psprintf("Warehouse %s already exists, statement succeeded.", name->text));
}

static void
exec_drop_warehouse(DynExec *exec, DynStatement *statement)
{
	DynName    *name = linitial(statement->names);

	if (!warehouse_exists(exec, statement))
		return;
	dyn_exec_run(exec, psprintf("SELECT %s.dyntable_drop_warehouse(%s)", exec->schema,
								quote_literal_cstr(name->text)));
	say(exec, psprintf("Warehouse %s successfully dropped.", name->text));
}

static void
exec_describe_warehouse(DynExec *exec, DynStatement *statement)
{
	DynName    *name = linitial(statement->names);

	(void) warehouse_exists(exec, statement);
	dyn_exec_run(exec, psprintf("SELECT s.status, s.detail FROM dyntable.show_warehouses(NULL, NULL, NULL, NULL) s"
								" WHERE s.status OPERATOR(pg_catalog.=) %s", quote_literal_cstr(name->text)));
}

void
dyn_exec_statement(DynExec *exec, DynStatement *statement)
{
	exec->parser.blame = -1;
	exec->arguments = statement->arguments;
	switch (statement->kind)
	{
		case DYN_CREATE_TABLE:
			dyn_exec_create(exec, statement);
			break;
		case DYN_CLONE_TABLE:
			dyn_exec_clone(exec, statement);
			break;
		case DYN_ALTER_SUSPEND:
			exec_each(exec, statement, "dyntable_suspend", "successfully suspended.");
			break;
		case DYN_ALTER_RESUME:
			exec_each(exec, statement, "dyntable_resume", "successfully resumed.");
			break;
		case DYN_ALTER_REFRESH:
			exec_refresh(exec, statement);
			break;
		case DYN_ALTER_SET:
			dyn_exec_set(exec, statement);
			break;
		case DYN_ALTER_RENAME:
			dyn_exec_rename(exec, statement);
			break;
		case DYN_ALTER_SWAP:
			exec_swap(exec, statement);
			break;
		case DYN_ALTER_NOTHING:
			{
				Oid			relid = dyn_exec_table(exec, linitial(statement->names), statement->if_exists);

				if (OidIsValid(relid))
					dyn_exec_say(exec, relid, "unchanged.");
				break;
			}
		case DYN_DROP_TABLE:
			exec_drop(exec, statement);
			break;
		case DYN_SHOW_TABLES:
		case DYN_SHOW_WAREHOUSES:
			exec_show(exec, statement);
			break;
		case DYN_DESCRIBE_TABLE:
			exec_describe_table(exec, statement);
			break;
		case DYN_CREATE_WAREHOUSE:
		case DYN_ALTER_WAREHOUSE:
			exec_warehouse(exec, statement);
			break;
		case DYN_DROP_WAREHOUSE:
			exec_drop_warehouse(exec, statement);
			break;
		case DYN_DESCRIBE_WAREHOUSE:
			exec_describe_warehouse(exec, statement);
			break;
	}
	exec->parser.blame = -1;
}

/* Leave out of an error's context the call that we have made of the command. */
static void
forget_call(ErrorData *error, const char *call)
{
	char	   *found = call && error->context ? strstr(error->context, call) : NULL;
	char	   *from;
	char	   *to;

	if (found == NULL)
		return;
	for (from = found; from > error->context && from[-1] != '\n'; from--)
		;
	to = strchr(found + strlen(call), '\n');
	if (to != NULL)
		memmove(from, to + 1, strlen(to + 1) + 1);
	else
		*(from > error->context ? from - 1 : from) = '\0';
	if (*error->context == '\0')
		error->context = NULL;
}

/* Where in the command the error's place in the text of an argument is, or what it is about; -1: it is about none. */
static int
place_in_argument(const DynExec *exec, const ErrorData *error)
{
	ListCell   *cell;

	foreach(cell, exec->arguments)
	{
		DynArgument *argument = lfirst(cell);
		size_t		length = strlen(argument->name);

		if (argument->value != NULL && error->internalpos > 0 && error->internalquery != NULL &&
			strcmp(error->internalquery, argument->value) == 0)
			return argument->at + pg_mbcharcliplen(argument->value, strlen(argument->value), error->internalpos - 1);
		if (strncmp(error->message, argument->name, length) == 0 && error->message[length] == ' ' && argument->at > 0)
			return argument->at;
	}
	return -1;
}

/* Where in the command the error's place in the query is; -1: it is not in the user's query. */
static int
place_in_query(const DynExec *exec, const ErrorData *error)
{
	const DynStatement *statement = exec->statement;
	int			byte;

	if (statement == NULL || error->internalpos <= 0 || error->internalquery == NULL ||
		strcmp(error->internalquery, exec->query) != 0)
		return -1;
	byte = pg_mbcharcliplen(exec->query, strlen(exec->query), error->internalpos - 1) - exec->query_shift;
	if (byte < 0 || byte > strlen(statement->query))
		return -1;
	return statement->query_at + byte;
}

/* An error of the scanner, a function or a query becomes one about a place in the command. */
static void
rethrow_in_command(DynExec *exec, const char *command, MemoryContext context)
{
	ErrorData  *error;
	int			byte;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	forget_call(error, exec->call);
	byte = place_in_query(exec, error);
	if (byte < 0)
		byte = place_in_argument(exec, error);
	if (byte < 0 && (error->internalquery == NULL || strcmp(error->internalquery, command) != 0))
		byte = exec->parser.blame;
	if (error->internalquery == NULL && error->cursorpos > 0)
		error->internalpos = error->cursorpos;
	else if (byte >= 0)
		error->internalpos = pg_mbstrlen_with_len(command, byte) + 1;
	if (byte >= 0 || error->cursorpos > 0)
		error->internalquery = pstrdup(command);
	error->cursorpos = 0;

	/* The type of a column stands there, without a query around it. */
	if (error->hint == NULL && exec->parser.blame >= 0 && error->sqlerrcode == ERRCODE_UNDEFINED_OBJECT)
	{
		const char *hint = dyn_dialect_hint(psprintf(":: %s", command + exec->parser.blame), 3,
											error->sqlerrcode);

		error->hint = hint ? pstrdup(hint) : NULL;
	}
	ReThrowError(error);
}

Datum
dyntable_exec(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	DynExec		exec = {.parser.blame = -1};
	char	   *command = dyn_argument_text(fcinfo, 0);

	if (command == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("command must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	exec.result = (ReturnSetInfo *) fcinfo->resultinfo;
	exec.schema = quote_identifier(get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid)));
	PG_TRY();
	{
		DynStatement *statement;
		int			count = 0;

		exec.parser.words = dyn_words_read(command);
		while ((statement = dyn_parse_statement(&exec.parser)) != NULL)
		{
			/* Each sees what those before it have done. */
			if (count++ > 0)
				CommandCounterIncrement();
			dyn_exec_statement(&exec, statement);
			exec.arguments = NIL;
		}
		if (count == 0)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("command must not be empty"),
					 errhint("Give a statement, as in CREATE DYNAMIC TABLE name TARGET_LAG = '5 minutes' AS query.")));
	}
	PG_CATCH();
	{
		rethrow_in_command(&exec, command, context);
	}
	PG_END_TRY();
	PG_RETURN_NULL();
}
