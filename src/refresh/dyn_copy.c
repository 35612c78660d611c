/*
 * dyn_copy.c
 *	  A dynamic table's state and indexes for another table of the same
 *	  definition, as they are.
 *
 * Index definitions are taken as text, since the server's own way of copying them
 * (CREATE TABLE ... LIKE) refuses expressions over whole rows, which ours
 * on the image of a row are.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <access/xact.h>
#include <catalog/index.h>
#include <catalog/pg_class.h>
#include <commands/comment.h>
#include <commands/defrem.h>
#include <catalog/pg_constraint.h>
#include <catalog/dependency.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/ruleutils.h>
#include <utils/snapmgr.h>

#include "refresh/dyn_evaluate.h"
#include "refresh/dyn_feed.h"
#include "refresh/dyn_load.h"
#include "refresh/dyn_target.h"

static void copy_index(Oid index, Oid from, Oid to);
static char *rows_renamed(const char *text, const char *from, const char *to);

/* Names of ours are made anew from the table's; the comment says whose an index is. */
static const char *
index_name(Oid to, bool constraint)
{
	return quote_identifier(ChooseRelationName(get_rel_name(to), NULL, constraint ? "key" : "idx",
											   get_rel_namespace(to), constraint));
}

void
dyn_copy_indexes(Oid from, Oid to)
{
	Relation	rel = table_open(from, AccessShareLock);
	List	   *indexes = list_copy(RelationGetIndexList(rel));
	ListCell   *lc;

	table_close(rel, NoLock);
	foreach(lc, indexes)
		copy_index(lfirst_oid(lc), from, to);
}

static void
copy_index(Oid index, Oid from, Oid to)
{
	Oid			constraint = get_index_constraint(index);
	Relation	rel = index_open(index, AccessShareLock);
	bool		unique = rel->rd_index->indisunique;
	bool		valid = rel->rd_index->indisvalid;
	const char *name = index_name(to, OidIsValid(constraint));
	char	   *comment = GetComment(index, RelationRelationId, 0);

	index_close(rel, AccessShareLock);
	if (!valid)
		return;
	if (OidIsValid(constraint))
		dyn_state_ddl(psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", dyn_relation_name(to), name,
							   TextDatumGetCString(DirectFunctionCall1(pg_get_constraintdef,
																	   ObjectIdGetDatum(constraint)))));
	else
	{
		char	   *definition = pg_get_indexdef_string(index);
		char	   *on = psprintf(" ON %s USING ", dyn_relation_name(from));
		char	   *rest = strstr(definition, on);

		if (rest == NULL)
			elog(ERROR, "unexpected definition of an index: %s", definition);
		dyn_state_ddl(psprintf("CREATE %s INDEX %s ON %s USING %s", unique ? "UNIQUE" : "", name,
							   dyn_relation_name(to),
							   rows_renamed(rest + strlen(on), get_rel_name(from), get_rel_name(to))));
	}
	if (comment != NULL)
		dyn_state_ddl(psprintf("COMMENT ON INDEX %s.%s IS %s",
							   quote_identifier(get_namespace_name(get_rel_namespace(to))), name,
							   quote_literal_cstr(comment)));
}

/* The text with from.*, the row as a whole, replaced by to.*. */
static char *
rows_renamed(const char *text, const char *from, const char *to)
{
	char	   *row = psprintf("%s.*", quote_identifier(from));
	StringInfoData buf;
	const char *at;

	initStringInfo(&buf);
	while ((at = strstr(text, row)) != NULL)
	{
		appendBinaryStringInfo(&buf, text, at - text);
		appendStringInfo(&buf, "%s.*", quote_identifier(to));
		text = at + strlen(row);
	}
	appendStringInfoString(&buf, text);
	return buf.data;
}

void
dyn_copy_states(Oid from, Oid to)
{
	DynExecution execution = {.env = create_queryEnv()};
	ListCell   *lc;

	execution.snapshot = RegisterSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
										  GetLatestSnapshot());
	foreach(lc, dyn_stages_of(from))
	{
		Oid			stage = lfirst_oid(lc);
		Oid			copy;
		Oid			owner;
		int			no;
		DynLoad    *load;
		int64		rows;

		if (sscanf(get_rel_name(stage), "stage_%u_%d", &owner, &no) != 2)
			elog(ERROR, "unexpected name of a state table: %s", get_rel_name(stage));

		/* the log of its changes is for those that read it, and so is its feed */
		if (no == 0 || no == DYN_FEED_STAGE)
			continue;
		dyn_state_ddl(psprintf("CREATE TABLE %s (LIKE %s) WITH (fillfactor = %d)",
							   dyn_state_name(to, no), dyn_relation_name(stage), DYN_FILLFACTOR));
		copy = get_relname_relid(psprintf("stage_%u_%d", to, no), dyn_schema_oid());
		dyn_stage_insert(to, no, copy);
		load = dyn_load_begin(&execution, copy, false);
		dyn_execute(&execution, psprintf("SELECT * FROM %s", dyn_relation_name(stage)), dyn_load_sink, load);
		rows = dyn_load_end(load);
		dyn_copy_indexes(stage, copy);
		dyn_state_analyze(dyn_state_name(to, no), rows);
	}
	UnregisterSnapshot(execution.snapshot);
}
