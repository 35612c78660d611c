/*
 * dyn_parse_show.c
 *	  SHOW and DESCRIBE in dyntable_exec.
 */
#include <postgres.h>

#include <commands/dbcommands.h>
#include <miscadmin.h>
#include <utils/builtins.h>

#include "command/dyn_parse.h"

/* A database is the one that one is connected to. */
static void
take_database(DynParser *parser, DynStatement *statement)
{
	char	   *current = get_database_name(MyDatabaseId);
	int			word = parser->next;

	if (parser->words->words[word].type != DYN_WORD_NAME || dyn_see(parser, "starts") || dyn_see(parser, "limit"))
		return;
	statement->in_database = dyn_take_name(parser, "the name of a database");
	if (strcmp(statement->in_database, current) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("dynamic tables of database \"%s\" cannot be shown", statement->in_database),
				 errdetail("This session is connected to database \"%s\".", current),
				 errhint("Connect to that database."),
				 dyn_word_position(parser, word)));
}

static void
take_schema(DynParser *parser, DynStatement *statement)
{
	statement->in_schema = dyn_take_name(parser, "the name of a schema");
	if (dyn_take(parser, "."))
	{
		parser->next -= 2;
		take_database(parser, statement);
		dyn_need(parser, ".");
		statement->in_schema = dyn_take_name(parser, "the name of a schema");
	}
}

/* IN ACCOUNT | DATABASE [name] | SCHEMA [name] | name, the last a schema */
static void
take_in(DynParser *parser, DynStatement *statement)
{
	if (dyn_take(parser, "account"))
		return;
	if (dyn_take(parser, "database"))
		take_database(parser, statement);
	else if (dyn_take(parser, "schema") &&
			 (dyn_see_end(parser) || dyn_see(parser, "starts") || dyn_see(parser, "limit")))
		statement->in_schema = "";	/* the current one */
	else
		take_schema(parser, statement);
}

void
dyn_parse_show(DynParser *parser, DynStatement *statement)
{
	dyn_need(parser, "show");
	if (dyn_take(parser, "warehouses"))
		statement->kind = DYN_SHOW_WAREHOUSES;
	else
	{
		(void) dyn_take(parser, "terse");
		dyn_need(parser, "dynamic tables");
		statement->kind = DYN_SHOW_TABLES;
	}
	if (dyn_take(parser, "like"))
		statement->like = dyn_take_string(parser, "a pattern");
	if (statement->kind == DYN_SHOW_TABLES && dyn_take(parser, "in"))
		take_in(parser, statement);
	if (dyn_take(parser, "starts with"))
		statement->starts_with = dyn_take_string(parser, "the beginning of a name");
	if (dyn_take(parser, "limit"))
	{
		statement->limit = dyn_take_integer(parser, "a number of rows");
		if (dyn_take(parser, "from"))
			statement->from = dyn_take_string(parser, "a name");
	}
}

void
dyn_parse_describe(DynParser *parser, DynStatement *statement)
{
	parser->next++;
	if (dyn_take(parser, "warehouse"))
	{
		statement->kind = DYN_DESCRIBE_WAREHOUSE;
		statement->names = list_make1(dyn_take_warehouse_name(parser));
		return;
	}
	dyn_need(parser, "dynamic table");
	statement->kind = DYN_DESCRIBE_TABLE;
	statement->names = list_make1(dyn_take_table_name(parser));
}
