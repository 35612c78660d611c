/*
 * dyn_parse_warehouse.c
 *	  CREATE, ALTER and DROP WAREHOUSE in dyntable_exec.
 *
 * A warehouse is a pool of refresh workers: it has a number of them and settings,
 * no size and no price.
 */
#include <postgres.h>

#include <common/int.h>
#include <lib/stringinfo.h>
#include <utils/builtins.h>

#include "command/dyn_parse.h"

typedef struct Property
{
	const char *word;
	void		(*take) (DynParser *parser, DynStatement *statement, const struct Property *property);
	const char *argument;		/* of dyntable_warehouse */
	const char *unset;			/* its value for UNSET */
	const char *why;			/* of what has no effect */
	const char *hint;
} Property;

static void
take_count(DynParser *parser, DynStatement *statement, const Property *property)
{
	int			word = parser->next;
	char	   *value = dyn_take_integer(parser, "a number of workers");
	DynArgument *other = dyn_find_argument(statement, "max_workers");
	int32		product;

	/* So many clusters of so many workers each. */
	if (other == NULL)
		dyn_add_argument(parser, statement, "max_workers", value, word);
	else if (pg_mul_s32_overflow(pg_strtoint32(other->value), pg_strtoint32(value), &product))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("too many workers"),
				 dyn_word_position(parser, word)));
	else
		other->value = psprintf("%d", product);
}

/* A number of seconds; NULL for never */
static void
take_seconds(DynParser *parser, DynStatement *statement, const Property *property)
{
	int			word = parser->next;
	char	   *value = "0";

	if (!dyn_take(parser, "null"))
		value = dyn_take_integer(parser, "a number of seconds");
	dyn_add_argument(parser, statement, property->argument, psprintf("%s seconds", value), word);
}

static void
take_boolean(DynParser *parser, DynStatement *statement, const Property *property)
{
	int			word = parser->next;

	dyn_add_argument(parser, statement, property->argument,
					 dyn_take_boolean(parser) ? "true" : "false", word);
}

static void
take_text(DynParser *parser, DynStatement *statement, const Property *property)
{
	int			word = parser->next;

	dyn_add_argument(parser, statement, property->argument, dyn_take_string(parser, "a string"), word);
}

static void
skip(DynParser *parser, DynStatement *statement, const Property *property)
{
	dyn_skip_value(parser);
	ereport(NOTICE,
			(errmsg("%s has no effect", dyn_upper(property->word)),
			 errdetail_internal("%s", property->why),
			 property->hint ? errhint("%s", property->hint) : 0));
}

#define NO_SIZE "Refreshes run on this server; how much of it a refresh may use is a matter of settings."
#define SIZE_HINT "Give SETTINGS = '{\"work_mem\": \"256MB\", \"max_parallel_workers_per_gather\": \"4\"}', and MAX_CONCURRENCY_LEVEL for how many refreshes run at once."
#define NO_PRICE "There is no price, and nothing to account for."

static const Property properties[] = {
	{"max_concurrency_level", take_count, "max_workers", "0"},
	{"max_cluster_count", take_count, "max_workers", "0"},
	{"max_workers", take_count, "max_workers", "0"},
	{"settings", take_text, "settings"},
	{"statement_timeout_in_seconds", take_seconds, "statement_timeout", "0"},
	{"auto_suspend", take_seconds, "auto_suspend", "1 minute"},
	{"auto_resume", take_boolean, "auto_resume", "true"},
	{"initially_suspended", take_boolean, "suspended"},
	{"comment", take_text, "comment", ""},
	{"warehouse_size", skip, NULL, NULL, NO_SIZE, SIZE_HINT},
	{"warehouse_type", skip, NULL, NULL, NO_SIZE, SIZE_HINT},
	{"resource_constraint", skip, NULL, NULL, NO_SIZE, SIZE_HINT},
	{"min_cluster_count", skip, NULL, NULL, "Workers are started when there is something to refresh."},
	{"scaling_policy", skip, NULL, NULL, "Workers are started when there is something to refresh."},
	{"resource_monitor", skip, NULL, NULL, NO_PRICE},
	{"enable_query_acceleration", skip, NULL, NULL, NO_SIZE},
	{"query_acceleration_max_scale_factor", skip, NULL, NULL, NO_SIZE},
	{"statement_queued_timeout_in_seconds", skip, NULL, NULL,
	"A refresh that waits for a worker is not given up.", "The view dyntable.refresh_history has how long refreshes have waited."},
	{"tag", skip, NULL, NULL, "PostgreSQL has no tags."},
};

static const Property *
find_property(DynParser *parser)
{
	StringInfoData list;

	for (int i = 0; i < lengthof(properties); i++)
		if (dyn_take(parser, properties[i].word))
			return &properties[i];
	if (parser->words->words[parser->next].type != DYN_WORD_NAME)
		dyn_unexpected(parser, "a property of the warehouse", NULL);
	initStringInfo(&list);
	for (int i = 0; i < lengthof(properties); i++)
		if (properties[i].take != skip)
			appendStringInfo(&list, "%s%s", list.len ? ", " : "",
							 dyn_upper(properties[i].word));
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("unrecognized property \"%s\" of a warehouse",
					parser->words->words[parser->next].value),
			 errhint("Properties with an effect are %s.", list.data),
			 dyn_word_position(parser, parser->next)));
}

static void
take_properties(DynParser *parser, DynStatement *statement)
{
	bool		seen[lengthof(properties)] = {false};

	while (!dyn_see_end(parser))
	{
		int			word = parser->next;
		const Property *property = find_property(parser);

		if (seen[property - properties])
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("conflicting or redundant parameters"),
					 errdetail("%s is given more than once.", dyn_upper(property->word)),
					 dyn_word_position(parser, word)));
		seen[property - properties] = true;
		(void) dyn_take(parser, "=");
		property->take(parser, statement, property);
		(void) dyn_take(parser, ",");
	}
}

void
dyn_parse_create_warehouse(DynParser *parser, DynStatement *statement)
{
	statement->kind = DYN_CREATE_WAREHOUSE;
	statement->if_not_exists = dyn_take(parser, "if not exists");
	statement->names = list_make1(dyn_take_warehouse_name(parser));
	(void) dyn_take(parser, "with");
	take_properties(parser, statement);
}

void
dyn_parse_alter_warehouse(DynParser *parser, DynStatement *statement)
{
	statement->kind = DYN_ALTER_WAREHOUSE;
	statement->if_exists = dyn_take(parser, "if exists");
	statement->names = list_make1(dyn_take_warehouse_name(parser));
	if (dyn_take(parser, "suspend"))
		dyn_add_argument(parser, statement, "suspended", "true", parser->next - 1);
	else if (dyn_take(parser, "resume"))
	{
		dyn_add_argument(parser, statement, "suspended", "false", parser->next - 1);
		(void) dyn_take(parser, "if suspended");
	}
	else if (dyn_take(parser, "rename to"))
	{
		int			word = parser->next;

		dyn_add_argument(parser, statement, "new_name", dyn_take_warehouse_name(parser)->text, word);
	}
	else if (dyn_take(parser, "set"))
	{
		if (dyn_see_end(parser))
			dyn_unexpected(parser, "a property of the warehouse", NULL);
		take_properties(parser, statement);
	}
	else if (dyn_take(parser, "unset"))
		do
		{
			int			word = parser->next;
			const Property *property = find_property(parser);

			if (strcmp(property->word, "settings") == 0)
				statement->clear_settings = true;
			else if (property->unset != NULL)
				dyn_add_argument(parser, statement, property->argument, pstrdup(property->unset), word);
		} while (dyn_take(parser, ","));
	else if (dyn_see(parser, "abort all queries"))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ABORT ALL QUERIES is not supported"),
				 errhint("Use pg_cancel_backend(pid) on what pg_stat_activity shows of the refresh workers."),
				 dyn_word_position(parser, parser->next)));
	else
		dyn_unexpected(parser, "an action", "Actions are SUSPEND, RESUME, SET, UNSET, RENAME TO.");
}

void
dyn_parse_drop_warehouse(DynParser *parser, DynStatement *statement)
{
	statement->kind = DYN_DROP_WAREHOUSE;
	statement->if_exists = dyn_take(parser, "if exists");
	statement->names = list_make1(dyn_take_warehouse_name(parser));
}
