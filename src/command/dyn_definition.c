/*
 * dyn_definition.c
 *	  What a query means for a dynamic table: columns, sources, mode.
 *
 * Putting a source under capture needs a lock on it in another process, and
 * analysing a query locks what it reads.  So the sources are found in a
 * subtransaction that is rolled back, which lets the locks go; then capture
 * is asked for, source by source in the order of their OIDs; then the query is
 * analysed for good.  Whoever changed a source in between is told apart by
 * comparing both results.
 *
 * A source that this transaction has made or written cannot be put under
 * capture by another process.  The table is then filled under the
 * transaction's own view and the run after it reinitialises, which is how
 * fixtures in BEGIN ... ROLLBACK work.
 */
#include <postgres.h>

#include <access/xact.h>
#include <access/xlog.h>
#include <catalog/dependency.h>
#include <catalog/pg_class.h>
#include <catalog/pg_extension.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <rewrite/rewriteHandler.h>
#include <storage/proc.h>
#include <tcop/tcopprot.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/snapmgr.h>

#include "base/dyn_settings.h"
#include "capture/dyn_capture.h"
#include "command/dyn_cycle.h"
#include "command/dyn_definition.h"
#include "command/dyn_transaction.h"
#include "compat/dyn_compat.h"
#include "query/dyn_query.h"
#include "refresh/dyn_definitions.h"
#include "refresh/dyn_execute.h"
#include "refresh/dyn_refresh.h"

/* How long to wait for those who have locked a source exclusively. */
#define LOCK_PATIENCE_MS 60000

/* Analysed, not rewritten, its relations locked. */
static Query *
definition_query(const DynDefinition *definition)
{
	Query	   *query;

	if (definition->text != NULL)
		return dyn_query_analyse(definition->text);
	if (!dyn_tree_readable(definition->stored))
		return dyn_query_from_text(definition->stored->definition);
	query = castNode(Query, stringToNode(definition->stored->tree));
	AcquireRewriteLocks(query, true, false);
	return query;
}

/*
 * Have the executor check the rights of the original query, views as their
 * owners, as it will at every refresh.
 */
static void
check_permissions(Query *query)
{
	Query	   *rewritten = linitial_node(Query, QueryRewrite(copyObject(query)));
	PlannedStmt *plan = pg_plan_query(rewritten, "", 0, NULL);
	QueryDesc  *desc = CreateQueryDesc(plan, "", GetActiveSnapshot(), InvalidSnapshot,
									   None_Receiver, NULL, NULL, 0);

	ExecutorStart(desc, EXEC_FLAG_EXPLAIN_ONLY);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
}

/* Why changes of some source cannot be captured; false when all can be. */
static bool
source_refusal(DynDefinition *definition)
{
	ListCell   *cell;

	foreach(cell, definition->edges)
	{
		DynEdge    *edge = lfirst(cell);

		if (edge->kind == DYN_EDGE_DYNAMIC)
			continue;
		if (!dyn_capture_possible(edge->source, edge->columns, &definition->code, &definition->reason))
			return true;
		if (edge->kind == DYN_EDGE_FULL)
		{
			definition->code = "SOURCE_NOT_CAPTURED";
			definition->reason = psprintf("changes of \"%s\" cannot be captured",
										  get_rel_name(edge->source));
			return true;
		}
	}
	return false;
}

/* The mode as far as the query and its sources decide it. */
static void
decide_mode(DynDefinition *definition)
{
	List	   *notices = NIL;
	List	   *warnings = NIL;
	ListCell   *cell;

	definition->incremental = false;
	if (definition->mode == DYN_MODE_FULL)
	{
		definition->code = "USER_SPECIFIED_FULL_REFRESH";
		definition->reason = pstrdup("refresh_mode is \"full\"");
		return;
	}
	if (source_refusal(definition))
		return;
	definition->incremental = dyn_query_incremental(definition->query, &definition->code,
													&definition->reason, &notices, &warnings);
	foreach(cell, notices)
		ereport(NOTICE, (errmsg_internal("%s", (char *) lfirst(cell))));
	foreach(cell, warnings)
		ereport(WARNING, (errmsg_internal("%s", (char *) lfirst(cell))));
}

/* Whether capture has the source with all columns of the edge. */
static bool
is_captured(const DynEdge *edge)
{
	DynSource  *source = dyn_source_get(edge->source);

	return source != NULL && list_difference_int(edge->columns, source->columns) == NIL;
}

void
dyn_undone(void (*work) (void *arg), void *arg)
{
	ErrorData  *error = dyn_try(work, arg, false);

	if (error != NULL)
		ReThrowError(error);
}

typedef struct Meaning
{
	const char *text;
	Query	   *query;
} Meaning;

static void
find_meaning(void *arg)
{
	Meaning    *meaning = arg;

	meaning->query = dyn_query_analyse(meaning->text);
}

bool
dyn_definition_is_text(const DynTable *table, const char *text)
{
	Meaning		meaning = {text};

	if (!dyn_tree_readable(table))
		return false;

	/* The locks of the analysis must not be in the way of capture. */
	dyn_undone(find_meaning, &meaning);
	return dyn_query_same(meaning.query, dyn_definition_tree(table));
}

/* Find the sources of the query, and whether this transaction writes one that capture lacks. */
static void
probe(void *arg)
{
	DynDefinition *definition = arg;
	Oid			userid;
	int			sec_context;
	ListCell   *cell;

	GetUserIdAndSecContext(&userid, &sec_context);

	/* Another's table: what its query may read is for the owner to say. */
	if (definition->owner != userid)
		SetUserIdAndSecContext(definition->owner,
							   sec_context | SECURITY_RESTRICTED_OPERATION);
	definition->query = definition_query(definition);
	check_permissions(definition->query);
	definition->columns = dyn_query_columns(definition->query);
	definition->edges = dyn_query_sources(definition->query);
	SetUserIdAndSecContext(userid, sec_context);

	decide_mode(definition);
	foreach(cell, definition->edges)
	{
		DynEdge    *edge = lfirst(cell);

		if (definition->incremental && edge->kind == DYN_EDGE_BASE && !is_captured(edge) &&
			dyn_capture_caller_wrote(edge->source))
			definition->reinit = "the transaction of the first fill had written a source";
	}
}

/*
 * Whoever has locked a source exclusively keeps us waiting as any reader, but
 * not for ever.
 */
static void
find_sources(DynDefinition *definition)
{
	MemoryContext context = CurrentMemoryContext;
	int			level = NewGUCNestLevel();

	if (LockTimeout <= 0 || LockTimeout > LOCK_PATIENCE_MS)
		(void) set_config_option("lock_timeout", psprintf("%d", LOCK_PATIENCE_MS), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	PG_TRY();
	{
		dyn_undone(probe, definition);
	}
	PG_CATCH();
	{
		ErrorData  *error;
		char	   *who;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		who = dyn_lock_holders(InvalidOid, GetUserId());
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock the sources of dynamic table \"%s\"", definition->name),
				 errdetail("In the way: %s.", who ? who : "nobody any more"),
				 errhint("End those transactions or try again later.")));
	}
	PG_END_TRY();
	AtEOXact_GUC(false, level);
}

/*
 * A role may build on another's table once its owner has put it under capture:
 * by a dynamic table over it, or by dyntable_track for this role.
 */
static void
check_source_owner(const DynEdge *edge, Oid owner)
{
	char	   *name;

	if (dyn_owns_relation(edge->source, owner) || dyn_tracked_for(edge->source, owner) ||
		(dyn_source_get(edge->source) != NULL &&
		 (dyn_tracked_grantees(edge->source) == NIL || dyn_readers_of(edge->source) != NIL)))
		return;
	name = get_rel_name(edge->source);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("must be owner of table %s to put it under change capture",
					name ? name : "(dropped)"),
			 errdetail("Capture makes updates and deletes of the table write more WAL."),
			 errhint("Ask its owner to call dyntable_track('%s', '%s'), or use refresh_mode \"full\".",
					 name ? quote_qualified_identifier(get_namespace_name(get_rel_namespace(edge->source)), name) : "",
					 quote_identifier(GetUserNameFromId(owner, false)))));
}

/*
 * Make sure that changes of the base tables are logged from now on, or say in
 * the definition why they cannot be yet.
 */
static void
capture_sources(DynDefinition *definition)
{
	bool		any = false;
	char	   *reason = NULL;
	ListCell   *cell;

	foreach(cell, definition->edges)
	{
		DynEdge    *edge = lfirst(cell);

		if (edge->kind != DYN_EDGE_BASE)
			continue;
		any = true;
		check_source_owner(edge, definition->restored ? GetUserId() : definition->owner);
	}
	if (!any)
		return;

	if (wal_level < WAL_LEVEL_LOGICAL)
	{
		definition->incremental = false;
		definition->code = "WAL_LEVEL_NOT_LOGICAL";
		definition->reason = pstrdup("capturing changes needs wal_level = logical");
		return;
	}

	/* A slot is not made before our transaction, if it writes, has ended. */
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
	{
		if (dyn_capture_generation(0, &reason) == 0)
			definition->reinit = "change capture was not ready at the first fill";
	}
	else if (dyn_capture_generation(dyn_capture_timeout, &reason) == 0)
	{
		bool		demanded = definition->mode == DYN_MODE_INCREMENTAL;

		ereport(demanded ? ERROR : WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 demanded ? errmsg("change capture is not ready") :
				 errmsg("dynamic table \"%s\" will be computed anew at each refresh until change capture is ready",
						definition->name),
				 errdetail_internal("%s.", reason),
				 demanded ? errhint("Look at dyntable.capture and try again later, or use refresh_mode \"auto\".") : 0));
		definition->reinit = "change capture was not ready at the first fill";
	}
	if (definition->reinit != NULL)
		return;
	dyn_wake_at_end();
	foreach(cell, definition->edges)
	{
		DynEdge    *edge = lfirst(cell);

		if (edge->kind == DYN_EDGE_BASE)
			dyn_capture_register(edge->source, edge->columns);
	}
}

/* What becomes of a table that cannot be incremental: nothing, an error, or a warning. */
static void
report_mode(const DynDefinition *definition)
{
	if (definition->incremental || definition->mode == DYN_MODE_FULL)
		return;
	if (definition->mode == DYN_MODE_INCREMENTAL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("dynamic table \"%s\" cannot be refreshed incrementally",
						definition->name),
				 errdetail("%s: %s", definition->code, definition->reason),
				 errhint("Change the query, or use refresh_mode \"auto\" or \"full\".")));
	ereport(WARNING,
			(errmsg("dynamic table \"%s\" will be refreshed in full", definition->name),
			 errdetail("%s: %s", definition->code, definition->reason)));
}

static bool
same_edges(List *left, List *right)
{
	ListCell   *a;
	ListCell   *b;

	if (list_length(left) != list_length(right))
		return false;
	forboth(a, left, b, right)
	{
		DynEdge    *one = lfirst(a);
		DynEdge    *other = lfirst(b);

		if (one->source != other->source || one->kind != other->kind ||
			!equal(one->columns, other->columns))
			return false;
	}
	return true;
}

/*
 * No refresh of the table may be under way, nor wait for us while we wait for
 * it: take the locks of a run of what it reads now and will read.
 */
static void
lock_runs(const DynDefinition *definition)
{
	List	   *relids = list_make1_oid(definition->relid);
	ListCell   *cell;

	foreach(cell, definition->edges)
	{
		DynEdge    *edge = lfirst(cell);

		if (edge->kind == DYN_EDGE_DYNAMIC)
			relids = lappend_oid(relids, edge->source);
	}
	dyn_run_lock(relids);
}

void
dyn_definition_find(DynDefinition *definition)
{
	List	   *found;
	ListCell   *cell;

	find_sources(definition);
	if (OidIsValid(definition->relid))
	{
		dyn_check_cycle(definition->relid, definition->name, definition->edges);
		lock_runs(definition);
	}
	if (definition->incremental)
		capture_sources(definition);
	report_mode(definition);

	found = definition->edges;
	definition->query = definition_query(definition);
	definition->columns = dyn_query_columns(definition->query);
	definition->edges = dyn_query_sources(definition->query);
	if (!same_edges(found, definition->edges))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("sources of dynamic table \"%s\" were changed concurrently",
						definition->name),
				 errhint("Try again.")));
	definition->tree = nodeToString(definition->query);

	/* A table that reads no log must not keep one. */
	foreach(cell, definition->edges)
	{
		DynEdge    *edge = lfirst(cell);

		if (!definition->incremental && edge->kind == DYN_EDGE_BASE)
			edge->kind = DYN_EDGE_FULL;
	}
}

List *
dyn_definition_settings(void)
{
	static const char *const names[] = {
		"TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output",
		"lc_monetary", "lc_numeric", "lc_time", "xmlbinary", "xmloption", "array_nulls",
		"default_text_search_config",
	};
	List	   *settings = NIL;

	for (int i = 0; i < lengthof(names); i++)
		settings = lappend(settings, psprintf("%s=%s", names[i],
											  GetConfigOption(names[i], false, false)));

	/* Names are resolved already; functions must not pick up what others put in their way. */
	return lappend(settings, pstrdup("search_path=pg_catalog, pg_temp"));
}

void
dyn_definition_to_table(const DynDefinition *definition, DynTable *table)
{
	table->query = definition->text ? pstrdup(definition->text) : definition->stored->query;
	table->definition = dyn_query_text(definition->query);
	table->tree = definition->tree;
	table->tree_version = dyn_tree_version();
	table->mode = definition->mode;
	table->incremental = definition->incremental;
	table->reason_code = definition->incremental ? NULL : pstrdup(definition->code);
	table->reason = definition->incremental ? NULL : definition->reason;
}

void
dyn_definition_install(const DynDefinition *definition, DynTable *table)
{
	ObjectAddress address;
	ObjectAddress extension;

	/* DROP EXTENSION is refused while it is there. */
	ObjectAddressSet(address, RelationRelationId, table->relid);
	ObjectAddressSet(extension, ExtensionRelationId, dyn_extension_oid());
	recordDependencyOn(&address, &extension, DEPENDENCY_NORMAL);
	dyn_table_insert(table);
	dyn_position_insert(table->relid);
	dyn_definition_record(definition, table->relid);
	CommandCounterIncrement();
}

void
dyn_definition_record(const DynDefinition *definition, Oid relid)
{
	dyn_depend_record(relid, definition->query);
	dyn_edges_replace(relid, definition->edges);
}
