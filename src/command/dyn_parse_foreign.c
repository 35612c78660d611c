/*
 * dyn_parse_foreign.c
 *	  Statements that are none of dyntable_exec's, and what to write instead.
 */
#include <postgres.h>

#include "command/dyn_parse.h"

typedef struct Foreign
{
	const char *words;
	const char *hint;
} Foreign;

#define OWN_STATEMENT "Run it by itself: it is a statement of PostgreSQL's own."
#define TASK_HINT "What runs at certain times is a dynamic table with SCHEDULE = '0 2 * * *', or a job of pg_cron: SELECT cron.schedule('name', '0 2 * * *', 'CALL ...')."
#define STREAM_HINT "A dynamic table needs none: changes of its sources are captured. Who wants to follow a dynamic table's changes uses dyntable_follow() and dyntable_changes(), LISTEN dyntable, or a publication on it."
#define ALERT_HINT "Use LISTEN dyntable, whose payload tells of failed and suspended tables, or a job of pg_cron that looks at dyntable.dynamic_tables."

/* The first that fits counts. */
static const Foreign statements[] = {
	{"use role", "Write SET ROLE name."},
	{"use secondary roles", "A role has the rights of those that it is a member of and inherits from; there is nothing to switch on."},
	{"use warehouse", "A dynamic table names its warehouse: WAREHOUSE = name. There is none for the session."},
	{"use database", "Connect to that database: \\connect name in psql."},
	{"use schema", "Write SET search_path = name."},
	{"use", "Write SET search_path = name, or connect to another database."},
	{"set", "Write SELECT set_config('my.name', 'value', false) and current_setting('my.name'), or \\set name value in psql. Settings of the server are set with SET outside of dyntable_exec()."},
	{"unset", "Write RESET my.name, or \\unset name in psql."},
	{"create task", TASK_HINT},
	{"create or replace task", TASK_HINT},
	{"create or alter task", TASK_HINT},
	{"alter task", TASK_HINT},
	{"drop task", TASK_HINT},
	{"execute task", TASK_HINT},
	{"show tasks", "Look at cron.job, the table of pg_cron."},
	{"create stream", STREAM_HINT},
	{"create or replace stream", STREAM_HINT},
	{"drop stream", STREAM_HINT},
	{"show streams", STREAM_HINT},
	{"create alert", ALERT_HINT},
	{"create or replace alert", ALERT_HINT},
	{"alter alert", ALERT_HINT},
	{"drop alert", ALERT_HINT},
	{"execute alert", ALERT_HINT},
	{"create materialized view", "Create a dynamic table instead: it is refreshed by itself."},
	{"create or replace materialized view", "Create a dynamic table instead: it is refreshed by itself."},
	{"explain changes", "Use SELECT * FROM dyntable_explain('name'): it tells what the next refresh would do."},
	{"explain", "Use SELECT * FROM dyntable_explain('name'), or dyntable_explain_query('query')."},
	{"undrop", "What was dropped is gone when the transaction has ended: restore it from a backup."},
	{"grant", "Run it by itself: GRANT SELECT ON name TO role. To build on it takes SELECT; to alter and suspend it, its owner."},
	{"revoke", "Run it by itself: REVOKE SELECT ON name FROM role."},
	{"create resource monitor", "There is no price, and nothing to account for."},
	{"create or replace resource monitor", "There is no price, and nothing to account for."},
	{"create or replace table", "Run DROP TABLE IF EXISTS and CREATE TABLE by themselves; sources that dynamic tables read are better emptied with TRUNCATE."},
	{"alter table", OWN_STATEMENT},
	{"copy into", "Use COPY, or \\copy in psql."},
	{"execute immediate", "Write DO $$ ... $$."},
	{"begin", OWN_STATEMENT},
	{"select", "Run the query by itself. For a dynamic table write CREATE DYNAMIC TABLE name ... AS query."},
	{"with", "Run the query by itself. For a dynamic table write CREATE DYNAMIC TABLE name ... AS query."},
	{"create", "dyntable_exec() creates DYNAMIC TABLE and WAREHOUSE. Run other statements by themselves."},
	{"alter", "dyntable_exec() alters DYNAMIC TABLE and WAREHOUSE. Run other statements by themselves."},
	{"drop", "dyntable_exec() drops DYNAMIC TABLE and WAREHOUSE. Run other statements by themselves."},
	{"show", "dyntable_exec() shows DYNAMIC TABLES and WAREHOUSES; of the rest look at information_schema, or use \\d in psql."},
	{"desc", "dyntable_exec() describes DYNAMIC TABLE and WAREHOUSE; of the rest look at information_schema, or use \\d in psql."},
	{"describe", "dyntable_exec() describes DYNAMIC TABLE and WAREHOUSE; of the rest look at information_schema, or use \\d in psql."},
};

void
dyn_refuse_statement(const DynParser *parser)
{
	const DynWord *word = &parser->words->words[parser->next];
	const char *hint = "dyntable_exec() takes CREATE, ALTER, DROP, SHOW and DESCRIBE of DYNAMIC TABLE and WAREHOUSE. Run other statements by themselves.";

	for (int i = 0; i < lengthof(statements); i++)
		if (dyn_see(parser, statements[i].words))
		{
			hint = statements[i].hint;
			break;
		}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("\"%s\" does not begin a statement of dyntable_exec()",
					dyn_words_slice(parser->words, word->start, word->end)),
			 errhint("%s", hint),
			 dyn_word_position(parser, parser->next)));
}
