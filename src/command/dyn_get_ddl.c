/*
 * dyn_get_ddl.c
 *	  The query of a dynamic table as it can be given again: for dyntable_get_ddl,
 *	  whose other parts are in statement.sql.
 *
 * It is the text that the table's owner gave, where that means today, and to
 * whoever asks, what it meant then.  Where a name in it has come to mean something
 * else, or nothing, it is the query with every name qualified.
 */
#include <postgres.h>

#include <catalog/pg_authid.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "command/dyn_definition.h"
#include "compat/dyn_compat.h"
#include "query/dyn_query.h"
#include "refresh/dyn_target.h"

PG_FUNCTION_INFO_V1(dyntable_query_literal);

/* Whether the owner's text, read now, is the definition; not where it cannot be read. */
static bool
text_is_definition(const DynTable *table)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool same = false;

	PG_TRY();
	{
		same = dyn_definition_is_text(table, table->query);
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		/* Whoever cancels the statement or wants the session to end is obeyed. */
		if (code == ERRCODE_QUERY_CANCELED || ERRCODE_TO_CATEGORY(code) == ERRCODE_OPERATOR_INTERVENTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return same;
}

/* In dollar quotes that do not occur in it. */
static char *
dollar_quote(const char *text)
{
	for (int i = 0;; i++)
	{
		char	   *open = i == 0 ? pstrdup("$") : i == 1 ? pstrdup("$query") : psprintf("$query%d", i);

		if (strstr(text, open) == NULL)
			return psprintf("%s$%s%s$", open, text, open);
	}
}

Datum
dyntable_query_literal(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	DynTable   *table = dyn_table_get(relid, false);
	bool		retyped;
	const char *text = table->query;

	if (!dyn_owns_relation(relid, GetUserId()) &&
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	if (!text_is_definition(table))
		text = dyn_query_text(dyn_stored_query(table, &retyped));
	text += strspn(text, " ");
	PG_RETURN_TEXT_P(cstring_to_text(dollar_quote(text)));
}
