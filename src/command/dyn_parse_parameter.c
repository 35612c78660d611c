/*
 * dyn_parse_parameter.c
 *	  The parameters of dynamic tables in dyntable_exec: which there are, and
 *	  what becomes of each.
 *
 * Some are arguments of dyntable_create and dyntable_alter.  Some have no meaning
 * in PostgreSQL and change nothing about the rows: a NOTICE says why.  Some would
 * promise what is not kept (who may see which rows, when something runs, what is
 * read): these are refused.
 */
#include <postgres.h>

#include <lib/stringinfo.h>

#include "command/dyn_options.h"
#include "command/dyn_parse.h"

typedef struct Parameter
{
	const char *words;

	/* Take the value, or refuse it; NULL: the parameter is refused or left out, see below. */
	void		(*take) (DynParser *parser, DynStatement *statement, const struct Parameter *parameter);
	const char *argument;		/* of the function, where it is one */
	int			places;			/* where it may stand */
	const char *unset;			/* the argument's value for UNSET */
	const char *why;			/* detail of the notice or of the error */
	const char *hint;
} Parameter;

/* TARGET_LAG = DOWNSTREAM | '...' and such */
static void
take_value(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	int			word;
	char	   *value;

	(void) dyn_take(parser, "=");
	word = parser->next;
	value = dyn_take_word_or_string(parser, "a value");
	dyn_add_argument(parser, statement, parameter->argument, value, word);
}

static void
take_string(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	int			word;

	(void) dyn_take(parser, "=");
	word = parser->next;
	dyn_add_argument(parser, statement, parameter->argument, dyn_take_string(parser, "a string"), word);
}

static void
take_lag(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	DynArgument *schedule;

	take_value(parser, statement, parameter);
	dyn_blame_last(parser);
	(void) dyn_option_lag(((DynArgument *) llast(statement->arguments))->value);
	schedule = dyn_find_argument(statement, "schedule");
	if (schedule != NULL)
		dyn_option_check_lag_or_schedule("", schedule->value);
	parser->blame = -1;
}

static void
take_schedule(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	take_string(parser, statement, parameter);
	dyn_blame_last(parser);
	dyn_option_check_schedule(((DynArgument *) llast(statement->arguments))->value);
	if (dyn_find_argument(statement, "target_lag") != NULL)
		dyn_option_check_lag_or_schedule("", "");
	parser->blame = -1;
}

/* ENABLE is what a target lag means. */
static void
take_scheduler(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	(void) dyn_take(parser, "=");
	if (dyn_take(parser, "disable") || dyn_take(parser, "'DISABLE'"))
	{
		if (dyn_find_argument(statement, "target_lag") != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("SCHEDULER = DISABLE and TARGET_LAG cannot be given together"),
					 errhint("Leave out one of them."),
					 dyn_word_position(parser, parser->next - 1)));
		dyn_add_argument(parser, statement, "schedule", DYN_MANUAL, parser->next - 1);
	}
	else if (!dyn_take(parser, "enable") && !dyn_take(parser, "'ENABLE'"))
		dyn_unexpected(parser, "ENABLE or DISABLE", NULL);
}

static void
take_warehouse(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	take_value(parser, statement, parameter);
	dyn_blame_last(parser);
	dyn_option_check_warehouse(((DynArgument *) llast(statement->arguments))->value);
	parser->blame = -1;
}

static void
take_mode(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	DynArgument *mode;

	take_value(parser, statement, parameter);
	mode = llast(statement->arguments);
	if (pg_strcasecmp(mode->value, "custom_incremental") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("refresh mode CUSTOM_INCREMENTAL is not supported"),
				 errdetail("What a refresh does follows from the query alone."),
				 errhint("Give the query; most constructs are incremental, dyntable_explain_query() tells which."),
				 dyn_word_position(parser, parser->next - 1)));

	/* Choosing at each refresh is what auto does. */
	if (pg_strcasecmp(mode->value, "adaptive") == 0)
		mode->value = "auto";
	dyn_blame_last(parser);
	(void) dyn_option_mode(mode->value);
	parser->blame = -1;
}

static void
take_initialize(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	take_value(parser, statement, parameter);
	dyn_blame_last(parser);
	(void) dyn_option_on_schedule(((DynArgument *) llast(statement->arguments))->value);
	parser->blame = -1;
}

static void
take_condition(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	int			word = parser->next + 1;
	int			at;

	dyn_add_argument(parser, statement, parameter->argument,
					 dyn_take_parenthesised(parser, &at), word);
}

static void
take_backfill(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	int			word = parser->next;

	dyn_add_argument(parser, statement, parameter->argument, dyn_take_table_name(parser)->text, word);
}

static void
take_cluster_by(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	if (statement->clustering != DYN_CLUSTER_KEEP)
		dyn_unexpected(parser, "one CLUSTER BY", NULL);
	(void) dyn_take(parser, "linear");
	statement->cluster_at = parser->words->words[parser->next].start;
	statement->cluster_keys = dyn_take_elements(parser);
	statement->clustering = DYN_CLUSTER_BY;
}

static void
take_copy_grants(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	statement->copy_grants = true;
}

static void
say_no_meaning(const Parameter *parameter)
{
	ereport(NOTICE,
			(errmsg("%s has no effect", dyn_upper(parameter->words)),
			 errdetail_internal("%s", parameter->why),
			 parameter->hint ? errhint("%s", parameter->hint) : 0));
}

/* [=] value, where that has no meaning */
static void
skip_value(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	(void) dyn_take(parser, "=");
	dyn_skip_value(parser);
	say_no_meaning(parameter);
}

/* (name = value, ...) | name = value, ... */
static void
skip_tags(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	bool		group = dyn_see(parser, "(");

	do
	{
		dyn_skip_value(parser);
		if (dyn_take(parser, "="))
			dyn_skip_value(parser);
	} while (!group && dyn_take(parser, ","));
	say_no_meaning(parameter);
}

static void
skip_nothing(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	say_no_meaning(parameter);
}

static void
refuse(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	int			count = 1;

	for (const char *p = parameter->words; *p; p++)
		count += *p == ' ';
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s is not supported", dyn_upper(parameter->words)),
			 errdetail_internal("%s", parameter->why),
			 errhint("%s", parameter->hint),
			 dyn_word_position(parser, parser->next - count)));
}

/* FALSE is how it is. */
static void
take_row_timestamp(DynParser *parser, DynStatement *statement, const Parameter *parameter)
{
	(void) dyn_take(parser, "=");
	if (dyn_take_boolean(parser))
	{
		parser->next -= 1;
		refuse(parser, statement, parameter);
	}
}

#define ALTERABLE (DYN_IN_CREATE | DYN_IN_SET | DYN_IN_UNSET)
#define NO_TRAVEL "Old states of a table cannot be read, so that there is nothing to retain."
#define NO_TAGS "PostgreSQL has no tags."
#define LOGS "What is logged is a matter of the server."
#define LOGS_HINT "Look at log_min_messages, the view dyntable.refresh_history, and LISTEN dyntable."

static const Parameter parameters[] = {
	{"target_lag", take_lag, "target_lag", ALTERABLE, "1 minute"},
	{"schedule", take_schedule, "schedule", DYN_IN_CREATE | DYN_IN_SET},
	{"scheduler", take_scheduler, "schedule", DYN_IN_CREATE | DYN_IN_SET},
	{"warehouse", take_warehouse, "warehouse", ALTERABLE, DYN_DEFAULT_WAREHOUSE},
	{"initialization_warehouse", take_warehouse, "initialization_warehouse", ALTERABLE, ""},
	{"refresh_mode", take_mode, "refresh_mode", ALTERABLE, "auto"},
	{"initialize", take_initialize, "initialize", DYN_IN_CREATE},
	{"comment", take_string, "comment", ALTERABLE, ""},
	{"frozen where", take_condition, "frozen_where", ALTERABLE, ""},
	{"immutable where", take_condition, "frozen_where", ALTERABLE, ""},
	{"backfill from", take_backfill, "backfill_from", DYN_IN_CREATE},
	{"cluster by", take_cluster_by, NULL, DYN_IN_CREATE},
	{"copy grants", take_copy_grants, NULL, DYN_IN_CREATE},

	{"data_retention_time_in_days", skip_value, NULL, ALTERABLE, NULL, NO_TRAVEL},
	{"max_data_extension_time_in_days", skip_value, NULL, ALTERABLE, NULL,
		"Change logs are kept until every dynamic table has read them.",
	"dyntable.max_change_log bounds their size."},
	{"change_tracking", skip_value, NULL, ALTERABLE, NULL,
	"Changes are taken from the write-ahead log where a dynamic table needs them."},
	{"copy tags", skip_nothing, NULL, DYN_IN_CREATE, NULL, NO_TAGS},
	{"tag", skip_tags, NULL, ALTERABLE, NULL, NO_TAGS},
	{"with tag", skip_value, NULL, DYN_IN_CREATE, NULL, NO_TAGS},
	{"contact", skip_value, NULL, ALTERABLE, NULL, "PostgreSQL has no contacts.", "COMMENT can say who is responsible."},
	{"with contact", skip_value, NULL, DYN_IN_CREATE, NULL, "PostgreSQL has no contacts.", "COMMENT can say who is responsible."},
	{"default_ddl_collation", skip_value, NULL, ALTERABLE, NULL,
	"The collation of a column is that of its expression.", "Write COLLATE in the query."},
	{"log_level", skip_value, NULL, ALTERABLE, NULL, LOGS, LOGS_HINT},
	{"log_event_level", skip_value, NULL, ALTERABLE, NULL, LOGS, LOGS_HINT},
	{"trace_level", skip_value, NULL, ALTERABLE, NULL, LOGS, LOGS_HINT},

	{"refresh using", refuse, NULL, DYN_IN_CREATE, NULL,
		"What a refresh does follows from the query alone.",
	"Give the query behind AS; most constructs are incremental, dyntable_explain_query() tells which."},
	{"execute as", refuse, NULL, ALTERABLE, NULL,
		"Refreshes run with the rights of the table's owner.",
	"Give the table to that role: ALTER TABLE name OWNER TO role."},
	{"require user", refuse, NULL, ALTERABLE, NULL,
		"Refreshes run with the rights of the table's owner.",
	"Use INITIALIZE = ON_SCHEDULE and SCHEDULER = DISABLE, and refresh by hand."},
	{"row_timestamp", take_row_timestamp, NULL, ALTERABLE, NULL,
		"A dynamic table has the columns of its query and no others.",
	"Select now() AS written_at: it keeps the time at which the row was last written."},
	{"start at", refuse, NULL, DYN_IN_CREATE, NULL,
	"A table holds what its query returns, from its first refresh on.", "Put a condition on the time into the query."},
	{"at", refuse, NULL, DYN_IN_CREATE, NULL, "Old states of a table cannot be read.", "Leave it out, or copy the rows from a restored backup."},
	{"before", refuse, NULL, DYN_IN_CREATE, NULL, "Old states of a table cannot be read.", "Leave it out, or copy the rows from a restored backup."},
	{"insert only inputs", refuse, NULL, DYN_IN_CREATE, NULL,
	"Deleted rows of a source leave the result.", "Leave it out."},
	{"row access policy", refuse, NULL, ALTERABLE, NULL,
		"It would leave rows visible that it should hide.",
	"Create the table without it, then ALTER TABLE name ENABLE ROW LEVEL SECURITY and CREATE POLICY."},
	{"with row access policy", refuse, NULL, DYN_IN_CREATE, NULL,
		"It would leave rows visible that it should hide.",
	"Create the table without it, then ALTER TABLE name ENABLE ROW LEVEL SECURITY and CREATE POLICY."},
	{"aggregation policy", refuse, NULL, ALTERABLE, NULL,
	"It would leave rows visible that it should hide.", "Grant SELECT on a view that aggregates instead."},
	{"with aggregation policy", refuse, NULL, DYN_IN_CREATE, NULL,
	"It would leave rows visible that it should hide.", "Grant SELECT on a view that aggregates instead."},
	{"storage lifecycle policy", refuse, NULL, ALTERABLE, NULL,
		"Rows leave a dynamic table only when its query does not return them.",
	"Put a condition into the query, as in WHERE at > now() - interval '90 days'."},
	{"with storage lifecycle policy", refuse, NULL, DYN_IN_CREATE, NULL,
		"Rows leave a dynamic table only when its query does not return them.",
	"Put a condition into the query, as in WHERE at > now() - interval '90 days'."},
	{"with data metric function", refuse, NULL, DYN_IN_CREATE, NULL,
	"PostgreSQL has no data metric functions.", "Build a dynamic table over this one that computes the measures."},
	{"external_volume", refuse, NULL, DYN_IN_CREATE, NULL, "Dynamic tables are tables of the server.", "Leave it out."},
	{"catalog", refuse, NULL, DYN_IN_CREATE, NULL, "Dynamic tables are tables of the server.", "Leave it out."},
};

bool
dyn_take_parameter(DynParser *parser, DynStatement *statement, DynParameterPlace place)
{
	for (int i = 0; i < lengthof(parameters); i++)
	{
		const Parameter *parameter = &parameters[i];
		int			first = parser->next;

		if (!(parameter->places & place) || !dyn_take(parser, parameter->words))
			continue;
		if (place != DYN_IN_UNSET)
			parameter->take(parser, statement, parameter);
		else if (parameter->unset != NULL)
			dyn_add_argument(parser, statement, parameter->argument, pstrdup(parameter->unset), first);
		else if (parameter->take != refuse && parameter->take != take_row_timestamp)
		{
			/* UNSET TAG has the names of tags. */
			if (strcmp(parameter->words, "tag") == 0)
				do
					dyn_skip_value(parser);
				while (dyn_take(parser, ","));
			say_no_meaning(parameter);
		}
		return true;
	}
	return false;
}

void
dyn_unknown_parameter(const DynParser *parser, DynParameterPlace place)
{
	const DynWord *word = &parser->words->words[parser->next];
	StringInfoData list;

	/* Where no name stands, something else is missing. */
	if (word->type != DYN_WORD_NAME)
		dyn_unexpected(parser, place == DYN_IN_CREATE ? "a parameter, or AS and a query" : "a parameter", NULL);
	initStringInfo(&list);
	for (int i = 0; i < lengthof(parameters); i++)
		if ((parameters[i].places & place) &&
			(parameters[i].argument != NULL || parameters[i].take == take_cluster_by))
			appendStringInfo(&list, "%s%s", list.len ? ", " : "",
							 dyn_upper(parameters[i].words));
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("unrecognized parameter \"%s\"",
					dyn_words_slice(parser->words, word->start, word->end)),
			 errhint("Parameters with an effect are %s.", list.data),
			 dyn_word_position(parser, parser->next)));
}
