/*
 * dyn_parse.c
 *	  Reading a command of dyntable_exec: the words, and which statement it is.
 *
 * The grammar is read by descent, a statement at a time, each up to its
 * semicolon.  What is the server's own language (queries, conditions, types) is
 * cut out of the text and left to the functions that take it.
 */
#include <postgres.h>

#include <lib/stringinfo.h>
#include <mb/pg_wchar.h>
#include <utils/builtins.h>
#include <utils/formatting.h>

#include "command/dyn_parse.h"

char *
dyn_upper(const char *words)
{
	return asc_toupper(words, strlen(words));
}

static const DynWord *
word_at(const DynParser *parser, int i)
{
	return &parser->words->words[Min(i, parser->words->count)];
}

bool
dyn_see_end(const DynParser *parser)
{
	return parser->next >= parser->words->count || dyn_word_is(parser->words, parser->next, ";");
}

/* How many words there are of these; 0: they do not come next. */
static int
see_words(const DynParser *parser, const char *words)
{
	char		word[64];
	int			count = 0;

	while (*words)
	{
		size_t		length = strcspn(words, " ");

		strlcpy(word, words, length + 1);
		if (parser->next + count >= parser->words->count ||
			!dyn_word_is(parser->words, parser->next + count, word))
			return 0;
		count++;
		words += length + (words[length] == ' ');
	}
	return count;
}

bool
dyn_see(const DynParser *parser, const char *words)
{
	return see_words(parser, words) > 0;
}

bool
dyn_take(DynParser *parser, const char *words)
{
	int			count = see_words(parser, words);

	parser->next += count;
	return count > 0;
}

void
dyn_need(DynParser *parser, const char *words)
{
	char	   *expected;

	if (dyn_take(parser, words))
		return;
	expected = dyn_upper(words);
	dyn_unexpected(parser, expected, NULL);
}

int
dyn_byte_position(const DynParser *parser, int byte)
{
	internalerrposition(pg_mbstrlen_with_len(parser->words->text, byte) + 1);
	return internalerrquery(parser->words->text);
}

int
dyn_word_position(const DynParser *parser, int word)
{
	return dyn_byte_position(parser, word_at(parser, word)->start);
}

void
dyn_unexpected(const DynParser *parser, const char *expected, const char *hint)
{
	const DynWord *word = word_at(parser, parser->next);

	if (word->type == DYN_WORD_END)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("syntax error at end of command"),
				 errdetail("Expected %s.", expected),
				 hint ? errhint("%s", hint) : 0,
				 dyn_word_position(parser, parser->next)));
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("syntax error at or near \"%s\"",
					dyn_words_slice(parser->words, word->start, word->end)),
			 errdetail("Expected %s.", expected),
			 hint ? errhint("%s", hint) : 0,
			 dyn_word_position(parser, parser->next)));
}

void
dyn_blame_last(DynParser *parser)
{
	parser->blame = word_at(parser, parser->next - 1)->start;
}

char *
dyn_take_name(DynParser *parser, const char *expected)
{
	const DynWord *word = word_at(parser, parser->next);

	if (word->type == DYN_WORD_UNICODE_NAME)
		dyn_unexpected(parser, expected, "Write the characters themselves instead of U& escapes.");
	if (word->type != DYN_WORD_NAME)
		dyn_unexpected(parser, expected,
					   word->value ? "Names are written without quotes, or in double quotes." : NULL);

	/* The scanner cuts off what is too long, with a notice. */
	if (word->end - word->start - 2 * word->quoted >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name \"%s\" is too long",
						dyn_words_slice(parser->words, word->start, word->end)),
				 errdetail("A name can have at most %d bytes.", NAMEDATALEN - 1),
				 dyn_word_position(parser, parser->next)));
	parser->next++;
	return word->value;
}

DynName *
dyn_take_table_name(DynParser *parser)
{
	DynName    *name = palloc(sizeof(DynName));
	StringInfoData text;

	name->at = word_at(parser, parser->next)->start;
	initStringInfo(&text);
	if (dyn_see(parser, "identifier ("))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("IDENTIFIER() is not supported"),
				 errhint("Write the name itself; to compute it, build the command with format('... %%I ...', name)."),
				 dyn_word_position(parser, parser->next)));
	do
	{
		if (text.len > 0)
			appendStringInfoChar(&text, '.');
		appendStringInfoString(&text, quote_identifier(dyn_take_name(parser, "a name")));
	} while (dyn_take(parser, "."));
	name->text = text.data;
	return name;
}

DynName *
dyn_take_warehouse_name(DynParser *parser)
{
	DynName    *name = palloc(sizeof(DynName));

	name->at = word_at(parser, parser->next)->start;
	name->text = dyn_take_word_or_string(parser, "the name of a warehouse");
	return name;
}

char *
dyn_take_string(DynParser *parser, const char *expected)
{
	const DynWord *word = word_at(parser, parser->next);

	if (word->type == DYN_WORD_UNICODE_STRING)
		dyn_unexpected(parser, expected, "Write the characters themselves instead of U& escapes.");
	if (word->type != DYN_WORD_STRING)
		dyn_unexpected(parser, expected, "Strings are written in single quotes.");
	parser->next++;
	return word->value;
}

char *
dyn_take_word_or_string(DynParser *parser, const char *expected)
{
	if (word_at(parser, parser->next)->type == DYN_WORD_STRING)
		return dyn_take_string(parser, expected);
	return dyn_take_name(parser, expected);
}

char *
dyn_take_integer(DynParser *parser, const char *expected)
{
	const DynWord *word = word_at(parser, parser->next);

	if (word->type != DYN_WORD_INTEGER)
		dyn_unexpected(parser, expected, NULL);
	parser->next++;
	return dyn_words_slice(parser->words, word->start, word->end);
}

bool
dyn_take_boolean(DynParser *parser)
{
	const DynWord *word = word_at(parser, parser->next);
	bool		result;

	if (word->value == NULL || !parse_bool(word->value, &result))
		dyn_unexpected(parser, "TRUE or FALSE", NULL);
	parser->next++;
	return result;
}

char *
dyn_take_parenthesised(DynParser *parser, int *at)
{
	int			depth = 0;
	int			open = parser->next;

	dyn_need(parser, "(");
	*at = word_at(parser, parser->next)->start;
	for (;;)
	{
		if (parser->next >= parser->words->count)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("parenthesis is not closed"),
					 dyn_word_position(parser, open)));
		if (dyn_see(parser, "("))
			depth++;
		else if (dyn_see(parser, ")") && depth-- == 0)
			break;
		parser->next++;
	}
	if (parser->next == open + 1)
		dyn_unexpected(parser, "an expression", NULL);
	parser->next++;
	return dyn_words_slice(parser->words, *at, word_at(parser, parser->next - 2)->end);
}

List *
dyn_take_elements(DynParser *parser)
{
	List	   *elements = NIL;

	dyn_need(parser, "(");
	do
	{
		int			first = parser->next;
		int			depth = 0;
		char	   *text;

		while (!dyn_see_end(parser) &&
			   (depth > 0 || !(dyn_see(parser, ",") || dyn_see(parser, ")"))))
		{
			depth += dyn_see(parser, "(") - dyn_see(parser, ")");
			parser->next++;
		}
		if (parser->next == first)
			dyn_unexpected(parser, "an expression", NULL);
		text = dyn_words_slice(parser->words, word_at(parser, first)->start,
							   word_at(parser, parser->next - 1)->end);
		elements = lappend(elements, parser->next == first + 1 ? text : psprintf("(%s)", text));
	} while (dyn_take(parser, ","));
	dyn_need(parser, ")");
	return elements;
}

void
dyn_skip_value(DynParser *parser)
{
	int			at;

	if (dyn_see_end(parser))
		dyn_unexpected(parser, "a value", NULL);
	if (dyn_see(parser, "("))
		(void) dyn_take_parenthesised(parser, &at);
	else if (dyn_take(parser, "-"))
		parser->next++;
	else
		do
			parser->next++;
		while (dyn_take(parser, "."));
}

DynArgument *
dyn_find_argument(const DynStatement *statement, const char *name)
{
	ListCell   *cell;

	foreach(cell, statement->arguments)
	{
		DynArgument *argument = lfirst(cell);

		if (strcmp(argument->name, name) == 0)
			return argument;
	}
	return NULL;
}

void
dyn_add_argument(DynParser *parser, DynStatement *statement, const char *name, char *value, int word)
{
	DynArgument *argument = palloc(sizeof(DynArgument));

	if (dyn_find_argument(statement, name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("conflicting or redundant parameters"),
				 errdetail("%s is given more than once.", dyn_upper(name)),
				 dyn_word_position(parser, word)));
	argument->name = name;
	argument->value = value;
	argument->at = word_at(parser, word)->start;
	statement->arguments = lappend(statement->arguments, argument);
}

/* OR REPLACE, OR ALTER, then what is to be created. */
static void
parse_create(DynParser *parser, DynStatement *statement)
{
	int			first = parser->next;

	dyn_need(parser, "create");
	statement->or_replace = dyn_take(parser, "or replace");
	statement->or_alter = !statement->or_replace && dyn_take(parser, "or alter");
	if (dyn_see(parser, "transient dynamic") || dyn_see(parser, "dynamic"))
		dyn_parse_create_table(parser, statement);
	else if (dyn_take(parser, "warehouse"))
		dyn_parse_create_warehouse(parser, statement);
	else
	{
		parser->next = first;
		dyn_refuse_statement(parser);
	}
}

DynStatement *
dyn_parse_statement(DynParser *parser)
{
	DynStatement *statement = palloc0(sizeof(DynStatement));

	while (dyn_take(parser, ";"))
		;
	if (dyn_see_end(parser))
		return NULL;
	if (dyn_see(parser, "create"))
		parse_create(parser, statement);
	else if (dyn_take(parser, "alter dynamic table"))
		dyn_parse_alter_table(parser, statement);
	else if (dyn_take(parser, "drop dynamic table"))
		dyn_parse_drop_table(parser, statement);
	else if (dyn_take(parser, "alter warehouse"))
		dyn_parse_alter_warehouse(parser, statement);
	else if (dyn_take(parser, "drop warehouse"))
		dyn_parse_drop_warehouse(parser, statement);
	else if (dyn_see(parser, "show dynamic tables") || dyn_see(parser, "show terse dynamic tables") ||
			 dyn_see(parser, "show warehouses"))
		dyn_parse_show(parser, statement);
	else if (dyn_see(parser, "describe dynamic table") || dyn_see(parser, "desc dynamic table") ||
			 dyn_see(parser, "describe warehouse") || dyn_see(parser, "desc warehouse"))
		dyn_parse_describe(parser, statement);
	else
		dyn_refuse_statement(parser);
	if (!dyn_see_end(parser))
		dyn_unexpected(parser, "the end of the statement", NULL);
	return statement;
}
