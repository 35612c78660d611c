/*
 * dyn_parse_table.c
 *	  CREATE, ALTER and DROP DYNAMIC TABLE in dyntable_exec.
 */
#include <postgres.h>

#include <utils/builtins.h>

#include "command/dyn_parse.h"
#include "compat/dyn_compat.h"

static int
here(const DynParser *parser)
{
	return parser->words->words[parser->next].start;
}

/* At words[next]: not supported, with detail and hint. */
static void
refuse_here(const DynParser *parser, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s is not supported", what),
			 errdetail_internal("%s", detail),
			 errhint("%s", hint),
			 dyn_word_position(parser, parser->next)));
}

/* What may stand behind the type of a column. */
static bool
see_column_clause(const DynParser *parser)
{
	static const char *const words[] = {
		",", ")", "comment", "not null", "null", "with", "masking policy", "projection policy", "tag", "unique",
		"primary key", "constraint", "default", "references", "check", "contact",
	};

	if (dyn_see_end(parser))
		return true;
	for (int i = 0; i < lengthof(words); i++)
		if (dyn_see(parser, words[i]))
			return true;
	return false;
}

static char *
take_type(DynParser *parser)
{
	int			start = here(parser);
	int			end = start;
	int			depth = 0;
	Oid			type;
	int32		typmod;
	char	   *text;

	parser->blame = start;
	while (!dyn_see_end(parser) && (depth > 0 || !see_column_clause(parser)))
	{
		depth += dyn_see(parser, "(") - dyn_see(parser, ")");
		end = parser->words->words[parser->next++].end;
	}
	text = dyn_words_slice(parser->words, start, end);
	dyn_parse_type(text, &type, &typmod);
	parser->blame = -1;
	return text;
}

/* Policies decide who sees what, so they cannot be left out in silence; tags can. */
static void
take_column_clause(DynParser *parser, DynColumn *column)
{
	if (dyn_take(parser, "comment"))
	{
		(void) dyn_take(parser, "=");
		column->comment = dyn_take_string(parser, "a string");
		return;
	}
	(void) dyn_take(parser, "with");
	if (dyn_see(parser, "masking policy") || dyn_see(parser, "projection policy"))
		refuse_here(parser, dyn_see(parser, "masking policy") ? "MASKING POLICY" : "PROJECTION POLICY",
					"It would leave values visible that it should hide.",
					"Create the table without it, and grant SELECT on single columns or on a view.");
	if (dyn_take(parser, "tag") || dyn_take(parser, "contact"))
	{
		dyn_skip_value(parser);
		ereport(NOTICE,
				(errmsg("tags and contacts of columns have no effect"),
				 errdetail("PostgreSQL has no tags.")));
		return;
	}
	if (dyn_see(parser, "not null") || dyn_see(parser, "null") || dyn_see(parser, "unique") ||
		dyn_see(parser, "primary key") || dyn_see(parser, "constraint") || dyn_see(parser, "default") ||
		dyn_see(parser, "references") || dyn_see(parser, "check"))
		refuse_here(parser, "a constraint in the list of columns",
					"The columns are those of the query.",
					"Add constraints afterwards, with ALTER TABLE.");
	dyn_unexpected(parser, "COMMENT, \",\" or \")\"", NULL);
}

static List *
take_columns(DynParser *parser)
{
	List	   *columns = NIL;
	ListCell   *cell;

	dyn_need(parser, "(");
	do
	{
		DynColumn  *column = palloc0(sizeof(DynColumn));

		column->at = here(parser);
		column->name = dyn_take_name(parser, "the name of a column");
		foreach(cell, columns)
			if (strcmp(((DynColumn *) lfirst(cell))->name, column->name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" is named more than once", column->name),
						 dyn_word_position(parser, parser->next - 1)));
		if (!see_column_clause(parser))
			column->type = take_type(parser);
		while (!dyn_see_end(parser) && !dyn_see(parser, ",") && !dyn_see(parser, ")"))
			take_column_clause(parser, column);
		columns = lappend(columns, column);
	} while (dyn_take(parser, ","));
	dyn_need(parser, ")");
	return columns;
}

static void
blank(DynStatement *statement, const DynWord *word)
{
	memset(statement->query + word->start - statement->query_at, ' ', word->end - word->start);
}

/* DYNAMIC_TABLE_REFRESH_BOUNDARY(name) is an argument: blanks around the name, so that places stay. */
static void
take_boundary(DynParser *parser, DynStatement *statement)
{
	const DynWord *words = parser->words->words;
	int			first = parser->next;

	parser->next += 2;
	statement->boundaries = lappend(statement->boundaries, dyn_take_table_name(parser));
	dyn_need(parser, ")");
	blank(statement, &words[first]);
	blank(statement, &words[first + 1]);
	blank(statement, &words[parser->next - 1]);
}

/* Behind AS: all up to the end of the statement. */
static void
take_query(DynParser *parser, DynStatement *statement)
{
	const DynWord *words = parser->words->words;
	int			first = parser->next;

	if (dyn_see_end(parser))
		dyn_unexpected(parser, "a query", NULL);
	statement->query_at = here(parser);
	while (!dyn_see_end(parser))
		parser->next++;
	statement->query = dyn_words_slice(parser->words, statement->query_at, words[parser->next - 1].end);
	parser->next = first;
	while (!dyn_see_end(parser))
		if (dyn_see(parser, "dynamic_table_refresh_boundary ("))
			take_boundary(parser, statement);
		else
			parser->next++;
}

static void
take_clone(DynParser *parser, DynStatement *statement)
{
	statement->kind = DYN_CLONE_TABLE;
	if (statement->or_alter)
		refuse_here(parser, "CREATE OR ALTER with CLONE", "A clone is a table of its own.",
					"Write CREATE OR REPLACE.");
	statement->other = dyn_take_table_name(parser);
	if (dyn_see(parser, "at") || dyn_see(parser, "before"))
		refuse_here(parser, "a clone of an old state", "Old states of a table cannot be read.", "Leave it out.");
	while (!dyn_see_end(parser))
		if (!dyn_take_parameter(parser, statement, DYN_IN_CREATE))
			dyn_unknown_parameter(parser, DYN_IN_CREATE);
}

void
dyn_parse_create_table(DynParser *parser, DynStatement *statement)
{
	statement->kind = DYN_CREATE_TABLE;
	if (dyn_take(parser, "transient"))
		ereport(NOTICE,
				(errmsg("TRANSIENT has no effect"),
				 errdetail("A dynamic table is a logged table, without old states to retain.")));
	dyn_need(parser, "dynamic");
	if (dyn_see(parser, "iceberg"))
		refuse_here(parser, "DYNAMIC ICEBERG TABLE", "Dynamic tables are tables of the server.",
					"Write CREATE DYNAMIC TABLE.");
	dyn_need(parser, "table");
	statement->if_not_exists = dyn_take(parser, "if not exists");
	if (statement->if_not_exists && (statement->or_replace || statement->or_alter))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s and IF NOT EXISTS cannot be given together",
						statement->or_replace ? "OR REPLACE" : "OR ALTER"),
				 dyn_word_position(parser, parser->next - 3)));
	statement->names = list_make1(dyn_take_table_name(parser));
	if (dyn_see(parser, "("))
		statement->columns = take_columns(parser);
	if (dyn_see(parser, "from backup set"))
		refuse_here(parser, "FROM BACKUP SET", "Backups are files of pg_dump or of the whole server.",
					"Restore the dump with pg_restore --table.");
	if (statement->columns == NIL && dyn_take(parser, "clone"))
	{
		take_clone(parser, statement);
		return;
	}
	for (;;)
	{
		/* EXECUTE AS USER is a parameter. */
		if (dyn_take(parser, "as"))
			break;
		if (!dyn_take_parameter(parser, statement, DYN_IN_CREATE))
			dyn_unknown_parameter(parser, DYN_IN_CREATE);
		(void) dyn_take(parser, ",");
	}
	take_query(parser, statement);
}

static void
take_set(DynParser *parser, DynStatement *statement, DynParameterPlace place)
{
	statement->kind = DYN_ALTER_SET;
	do
	{
		if (place == DYN_IN_SET && dyn_see(parser, "cluster by"))
			dyn_unexpected(parser, "a parameter", "Write ALTER DYNAMIC TABLE name CLUSTER BY (...), without SET.");
		if (place == DYN_IN_SET && dyn_see(parser, "scheduler = enable"))
		{
			parser->next += 3;
			if (!dyn_take_parameter(parser, statement, place) ||
				dyn_find_argument(statement, "target_lag") == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_SYNTAX_ERROR),
						 errmsg("SCHEDULER = ENABLE needs a target lag"),
						 errhint("Write SET SCHEDULER = ENABLE TARGET_LAG = '...'."),
						 dyn_word_position(parser, parser->next - 1)));
		}
		else if (!dyn_take_parameter(parser, statement, place))
			dyn_unknown_parameter(parser, place);
		(void) dyn_take(parser, ",");
	} while (!dyn_see_end(parser));
}

/* [COLUMN] name COMMENT '...' | [COLUMN] name UNSET COMMENT */
static void
take_column_comment(DynParser *parser, DynStatement *statement)
{
	DynColumn  *column = palloc0(sizeof(DynColumn));

	(void) dyn_take(parser, "column");
	column->at = here(parser);
	column->name = dyn_take_name(parser, "the name of a column");
	(void) dyn_take(parser, "set");
	if (dyn_see(parser, "masking policy") || dyn_see(parser, "projection policy"))
		take_column_clause(parser, column);
	if (dyn_take(parser, "unset comment"))
		column->comment = "";
	else
	{
		dyn_need(parser, "comment");
		(void) dyn_take(parser, "=");
		column->comment = dyn_take_string(parser, "a string");
	}
	statement->columns = lappend(statement->columns, column);
}

/* ALTER | MODIFY, then (column ..., column ...) or column ... */
static void
take_column_comments(DynParser *parser, DynStatement *statement)
{
	bool		list = dyn_take(parser, "(");

	statement->kind = DYN_ALTER_SET;
	do
		take_column_comment(parser, statement);
	while (dyn_take(parser, ","));
	if (list)
		dyn_need(parser, ")");
}

static void
skip_action(DynParser *parser, DynStatement *statement, const char *what, const char *detail,
			const char *hint)
{
	statement->kind = DYN_ALTER_NOTHING;
	while (!dyn_see_end(parser))
		parser->next++;
	ereport(NOTICE,
			(errmsg("%s has no effect", what),
			 errdetail_internal("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

/* ADD or DROP of what tables have elsewhere */
static void
take_add_or_drop(DynParser *parser, DynStatement *statement)
{
	if (dyn_see(parser, "row access policy") || dyn_see(parser, "aggregation policy") ||
		dyn_see(parser, "all row access policies"))
		refuse_here(parser, "a policy of this kind", "It would leave rows visible that it should hide.",
					"Use ALTER TABLE name ENABLE ROW LEVEL SECURITY and CREATE POLICY.");
	if (dyn_see(parser, "storage lifecycle policy"))
		refuse_here(parser, "STORAGE LIFECYCLE POLICY",
					"Rows leave a dynamic table only when its query does not return them.",
					"Put a condition into the query, as in WHERE at > now() - interval '90 days'.");
	if (dyn_see(parser, "search optimization"))
		skip_action(parser, statement, "SEARCH OPTIMIZATION", "PostgreSQL has indexes.", "Use CREATE INDEX.");
	else if (dyn_see(parser, "constraint") || dyn_see(parser, "primary key") || dyn_see(parser, "unique") ||
			 dyn_see(parser, "foreign key"))
		refuse_here(parser, "a constraint here", "It is an ordinary constraint of an ordinary table.",
					"Use ALTER TABLE.");
	else if (dyn_see(parser, "column"))
		refuse_here(parser, "adding or dropping a column", "The columns are those of the query.",
					"Give the table another query: CREATE OR ALTER DYNAMIC TABLE name ... AS query.");
	else
		dyn_unexpected(parser, "SEARCH OPTIMIZATION", "Constraints and indexes are added with ALTER TABLE and CREATE INDEX.");
}

static void
take_action(DynParser *parser, DynStatement *statement)
{
	if (dyn_take(parser, "suspend recluster") || dyn_take(parser, "resume recluster"))
		skip_action(parser, statement, "RECLUSTER", "Rows are not moved behind the scenes.",
					"CLUSTER name brings the rows into the order of their clustering key.");
	else if (dyn_take(parser, "suspend"))
		statement->kind = DYN_ALTER_SUSPEND;
	else if (dyn_take(parser, "resume"))
		statement->kind = DYN_ALTER_RESUME;
	else if (dyn_take(parser, "refresh"))
	{
		/* Refreshes are the owner's; the session's settings are not. */
		statement->kind = DYN_ALTER_REFRESH;
		if (dyn_take(parser, "copy session"))
			ereport(NOTICE,
					(errmsg("COPY SESSION has no effect"),
					 errdetail("Refreshes run with the rights of the table's owner.")));
	}
	else if (dyn_take(parser, "rename to"))
	{
		statement->kind = DYN_ALTER_RENAME;
		statement->other = dyn_take_table_name(parser);
	}
	else if (dyn_take(parser, "swap with"))
	{
		statement->kind = DYN_ALTER_SWAP;
		statement->other = dyn_take_table_name(parser);
	}
	else if (dyn_take(parser, "set"))
		take_set(parser, statement, DYN_IN_SET);
	else if (dyn_take(parser, "unset"))
		take_set(parser, statement, DYN_IN_UNSET);
	else if (dyn_see(parser, "cluster by"))
	{
		statement->kind = DYN_ALTER_SET;
		(void) dyn_take_parameter(parser, statement, DYN_IN_CREATE);
	}
	else if (dyn_take(parser, "drop clustering key"))
	{
		statement->kind = DYN_ALTER_SET;
		statement->clustering = DYN_CLUSTER_DROP;
	}
	else if (dyn_take(parser, "add") || dyn_take(parser, "drop"))
		take_add_or_drop(parser, statement);
	else if (dyn_take(parser, "alter") || dyn_take(parser, "modify"))
		take_column_comments(parser, statement);
	else if (dyn_see(parser, "as") || dyn_see(parser, "refresh_mode"))
		refuse_here(parser, "another query here", "Parameters are changed by SET.",
					"Write CREATE OR ALTER DYNAMIC TABLE name ... AS query, which keeps the table.");
	else if (dyn_see(parser, "owner to"))
		refuse_here(parser, "OWNER TO here", "It is an ordinary table.", "Use ALTER TABLE name OWNER TO role.");
	else
		dyn_unexpected(parser, "an action",
					   "Actions are SUSPEND, RESUME, REFRESH, SET, UNSET, RENAME TO, SWAP WITH, CLUSTER BY, DROP CLUSTERING KEY, ALTER COLUMN.");
}

void
dyn_parse_alter_table(DynParser *parser, DynStatement *statement)
{
	int			comma = 0;

	statement->if_exists = dyn_take(parser, "if exists");
	statement->names = list_make1(dyn_take_table_name(parser));
	while (dyn_take(parser, ","))
	{
		comma = comma ? comma : parser->next - 1;
		statement->names = lappend(statement->names, dyn_take_table_name(parser));
	}
	take_action(parser, statement);
	if (comma && statement->kind != DYN_ALTER_REFRESH && statement->kind != DYN_ALTER_SUSPEND &&
		statement->kind != DYN_ALTER_RESUME)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("only REFRESH, SUSPEND and RESUME take several names"),
				 dyn_word_position(parser, comma)));
}

void
dyn_parse_drop_table(DynParser *parser, DynStatement *statement)
{
	statement->kind = DYN_DROP_TABLE;
	statement->if_exists = dyn_take(parser, "if exists");
	do
		statement->names = lappend(statement->names, dyn_take_table_name(parser));
	while (dyn_take(parser, ","));
	statement->cascade = dyn_take(parser, "cascade");
	if (!statement->cascade)
		(void) dyn_take(parser, "restrict");
}
