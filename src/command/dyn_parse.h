/*
 * dyn_parse.h
 *	  Reading a command of dyntable_exec word by word; for dyn_parse*.c only.
 *
 * Words are given in lower case, several with a blank between.  All errors
 * point at a word of the command.
 */
#ifndef DYN_PARSE_H
#define DYN_PARSE_H

#include "command/dyn_statement.h"
#include "compat/dyn_compat.h"

/* Whether these words come next; take: go behind them if so; need: an error if not. */
extern bool dyn_see(const DynParser *parser, const char *words);
extern bool dyn_take(DynParser *parser, const char *words);
extern void dyn_need(DynParser *parser, const char *words);
extern bool dyn_see_end(const DynParser *parser);	/* of the statement */

/* As people write them in messages. */
extern char *dyn_upper(const char *words);

/* In ereport: the error is about this word. */
extern int	dyn_word_position(const DynParser *parser, int word);
extern int	dyn_byte_position(const DynParser *parser, int byte);

/* At the next word, something else was expected; hint may be NULL. */
dyn_noreturn extern void dyn_unexpected(const DynParser *parser, const char *expected, const char *hint);

/* Let an error that comes from elsewhere be about the word taken last. */
extern void dyn_blame_last(DynParser *parser);

extern char *dyn_take_name(DynParser *parser, const char *expected);
extern DynName *dyn_take_table_name(DynParser *parser); /* optionally with schema, and database */
extern DynName *dyn_take_warehouse_name(DynParser *parser);
extern char *dyn_take_string(DynParser *parser, const char *expected);
extern char *dyn_take_word_or_string(DynParser *parser, const char *expected);
extern char *dyn_take_integer(DynParser *parser, const char *expected);
extern bool dyn_take_boolean(DynParser *parser);

/* "( ... )": the text between, its first byte in *at. */
extern char *dyn_take_parenthesised(DynParser *parser, int *at);

/* "( a, f(b), ... )": the text of each element; of what is no single word in parentheses. */
extern List *dyn_take_elements(DynParser *parser);

/* Go behind a value that has no meaning: a word, a string, a number or parentheses. */
extern void dyn_skip_value(DynParser *parser);

/* An argument for the function; error where it is there already. */
extern void dyn_add_argument(DynParser *parser, DynStatement *statement, const char *name,
							 char *value, int word);
extern DynArgument *dyn_find_argument(const DynStatement *statement, const char *name);

/* dyn_parse_table.c, dyn_parse_warehouse.c, dyn_parse_show.c: behind CREATE, ALTER and so on */
extern void dyn_parse_create_table(DynParser *parser, DynStatement *statement);
extern void dyn_parse_alter_table(DynParser *parser, DynStatement *statement);
extern void dyn_parse_drop_table(DynParser *parser, DynStatement *statement);
extern void dyn_parse_create_warehouse(DynParser *parser, DynStatement *statement);
extern void dyn_parse_alter_warehouse(DynParser *parser, DynStatement *statement);
extern void dyn_parse_drop_warehouse(DynParser *parser, DynStatement *statement);
extern void dyn_parse_show(DynParser *parser, DynStatement *statement);
extern void dyn_parse_describe(DynParser *parser, DynStatement *statement);

/* dyn_parse_parameter.c */
typedef enum DynParameterPlace
{
	DYN_IN_CREATE = 1,
	DYN_IN_SET = 2,
	DYN_IN_UNSET = 4,
} DynParameterPlace;

/* Take a parameter of a dynamic table if one comes next. */
extern bool dyn_take_parameter(DynParser *parser, DynStatement *statement, DynParameterPlace place);

/* An error at the next word, which is none. */
dyn_noreturn extern void dyn_unknown_parameter(const DynParser *parser, DynParameterPlace place);

/* dyn_parse_foreign.c: an error for a statement that is none of ours, with what to write instead */
dyn_noreturn extern void dyn_refuse_statement(const DynParser *parser);

#endif							/* DYN_PARSE_H */
