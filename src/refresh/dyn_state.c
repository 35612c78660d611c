/*
 * dyn_state.c
 *	  The state tables of a dynamic table.
 *
 * One for each operator of its plan that has state (number = the node's), and
 * number 0, the log of its own delta (dyn_own_log.c), and DYN_FEED_STAGE, its change feed (dyn_feed.c).  They lie in schema dyntable, belong to the extension's owner, are readable
 * by no user, and go with the dynamic table.  They are made anew whenever the
 * table is reinitialised: what is built then is built without indexes, and
 * indexed afterwards.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/namespace.h>
#include <catalog/pg_am.h>
#include <catalog/pg_authid.h>
#include <catalog/pg_type.h>
#include <commands/defrem.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <tcop/dest.h>
#include <tcop/tcopprot.h>
#include <tcop/utility.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/ruleutils.h>
#include <utils/snapmgr.h>
#include <utils/typcache.h>

#include "capture/dyn_capture.h"
#include "query/dyn_advice.h"
#include "refresh/dyn_evaluate.h"
#include "refresh/dyn_feed.h"
#include "refresh/dyn_load.h"

/* Below so many rows a wrong plan costs nothing to speak of. */
#define ANALYZE_ROWS 1000

static void make_index(const char *name, const char *unique, List *columns, DynNode *node);
static char *state_name(Oid relid, int no);
static char *fill_statement(DynEvaluation *evaluation, DynNode *node);
static void create_state(Oid relid, DynNode *node);
static void create_indexes(DynEvaluation *evaluation, DynNode *node);
static List *state_key(DynEvaluation *evaluation, DynNode *node);
static void index_lookups(DynEvaluation *evaluation, DynNode *node);

static char *
state_name(Oid relid, int no)
{
	return psprintf("stage_%u_%d", relid, no);
}

char *
dyn_state_name(Oid relid, int no)
{
	return psprintf("dyntable.%s", state_name(relid, no));
}

void
dyn_run_utility(const char *command)
{
	PlannedStmt *wrapper = makeNode(PlannedStmt);

	wrapper->commandType = CMD_UTILITY;
	wrapper->utilityStmt = linitial_node(RawStmt, pg_parse_query(command))->stmt;
	wrapper->stmt_location = -1;
	PushActiveSnapshot(GetTransactionSnapshot());
	ProcessUtility(wrapper, command, false, PROCESS_UTILITY_SUBCOMMAND, NULL, NULL,
				   None_Receiver, NULL);
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/* Run DDL of ours as the bootstrap superuser. */
void
dyn_state_ddl(const char *command)
{
	Oid			userid;
	int			context;
	int			level;

	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, SECURITY_LOCAL_USERID_CHANGE);
	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("client_min_messages", "warning", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	dyn_run_utility(command);
	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(userid, context);
}

/*
 * A publication of all tables takes in the dynamic table and its state tables,
 * and the server refuses to update and delete published rows without identity.
 */
void
dyn_states_publishable(Oid relid)
{
	ListCell   *lc;

	if (!dyn_identity_published(relid))
		return;
	dyn_identity_supply(relid);
	foreach(lc, dyn_stages_of(relid))
		dyn_identity_supply(lfirst_oid(lc));
}

static void
run_ddl(void *arg)
{
	dyn_state_ddl(arg);
}

/* The same, or nothing and false when a value is too long for what it makes. */
bool
dyn_state_try_ddl(char *command)
{
	ErrorData  *error = dyn_try(run_ddl, command, true);

	if (error != NULL && error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		ReThrowError(error);
	return error == NULL;
}

/* Have all types an order, so that a btree can hold them? */
bool
dyn_state_has_order(List *types)
{
	ListCell   *lc;

	foreach(lc, types)
		if (!OidIsValid(lookup_type_cache(lfirst_oid(lc), TYPECACHE_BTREE_OPFAMILY)->btree_opf))
			return false;
	return true;
}

/* Names of the state tables, and how deltas are applied to them. */
void
dyn_states_open(DynEvaluation *evaluation)
{
	ListCell   *lc;

	foreach(lc, evaluation->sql.plan->nodes)
	{
		DynNode    *node = lfirst(lc);

		if (!dyn_node_staged(node))
			continue;
		evaluation->sql.stages[node->no] = dyn_state_name(evaluation->relid, node->no);
		if (node->kind != DYN_NODE_AGGREGATE)
			evaluation->states[node->no] = dyn_state_sink(evaluation, node);
		if (node->kind == DYN_NODE_TOP)
			dyn_top_state(node, evaluation->states[node->no]);
		if (node->working)
			evaluation->sql.stages[node->working->no] = evaluation->sql.stages[node->no];
	}
}

/* Are all state tables there that the plan needs? */
bool
dyn_states_complete(DynEvaluation *evaluation)
{
	ListCell   *lc;

	foreach(lc, evaluation->sql.plan->nodes)
	{
		DynNode    *node = lfirst(lc);

		if (dyn_node_staged(node) && !OidIsValid(dyn_stage_get(evaluation->relid, node->no)))
			return false;
	}
	return true;
}

DynSink *
dyn_state_sink(DynEvaluation *evaluation, DynNode *node)
{
	DynSink    *sink = palloc0(sizeof(DynSink));

	sink->name = evaluation->sql.stages[node->no];
	sink->relid = evaluation->relid;
	for (int i = 1; i <= node->ncolumns; i++)
	{
		sink->names = lappend(sink->names, psprintf("c%d", i));
		sink->types = lappend_oid(sink->types, node->columns[i - 1].type);
	}
	sink->identity = dyn_delta_identity(node->ncolumns, node->columns);
	sink->key = node->has_key ? node->key : NIL;
	sink->hash = evaluation->sql.hash;
	return sink;
}

/*
 * Compute the content of all state tables from the sources up.  keep: those
 * that are there are of the right shape; otherwise they are made anew.
 */
void
dyn_states_fill(DynEvaluation *evaluation, bool keep)
{
	ListCell   *lc;

	if (!keep)
		dyn_states_drop(evaluation->relid);
	foreach(lc, evaluation->sql.plan->nodes)
	{
		DynNode    *node = lfirst(lc);
		char	   *name = evaluation->sql.stages[node->no];
		DynLoad    *load;
		int64		rows;

		if (!dyn_node_staged(node))
			continue;
		if (keep)
			dyn_state_ddl(psprintf("TRUNCATE %s", name));
		else
			create_state(evaluation->relid, node);
		load = dyn_load_begin(&evaluation->execution, dyn_stage_get(evaluation->relid, node->no), keep);
		dyn_execute(&evaluation->execution, fill_statement(evaluation, node), dyn_load_sink, load);
		rows = dyn_load_end(load);
		if (keep)
			continue;
		create_indexes(evaluation, node);
		dyn_state_analyze(name, rows);
	}
}

static void
create_state(Oid relid, DynNode *node)
{
	List	   *columns = NIL;

	for (int i = 1; i <= node->ncolumns; i++)
		columns = lappend(columns, dyn_state_column(psprintf("c%d", i), node->columns[i - 1].type,
													 node->columns[i - 1].typmod,
													 node->columns[i - 1].collation));
	if (node->kind == DYN_NODE_AGGREGATE)
		columns = list_concat(columns, dyn_aggregate_state_columns(node));
	if (node->kind == DYN_NODE_TOP)
		columns = list_concat(columns, list_make2("shown pg_catalog.bool", "more pg_catalog.bool"));
	dyn_state_create(relid, node->no, columns);
}

/* The content of a node with state, from its inputs', and what else its state holds. */
static char *
fill_statement(DynEvaluation *evaluation, DynNode *node)
{
	char	   *content;

	if (node->kind == DYN_NODE_RECURSIVE)
		return dyn_recursive_fill(evaluation, node);
	content = dyn_sql_content(&evaluation->sql, dyn_input(node, 1));
	if (node->kind == DYN_NODE_AGGREGATE)
		return dyn_aggregate_fill(evaluation, node, content);
	if (node->kind == DYN_NODE_TOP)
		return dyn_top_fill(node, content);
	return dyn_sql_window(&evaluation->sql, node, content);
}

/*
 * Gather statistics on a table that was just filled.  Autovacuum would do it
 * in a minute or so; until then every delta would be planned on guesses, and
 * the guess for an unknown key is half a percent of the table.
 */
void
dyn_state_analyze(const char *name, int64 rows)
{
	if (rows >= ANALYZE_ROWS)
		dyn_state_ddl(psprintf("ANALYZE (SKIP_LOCKED) %s", name));
}

/* All but the log of the table's own delta. */
void
dyn_states_drop(Oid relid)
{
	ListCell   *lc;

	foreach(lc, dyn_stages_of(relid))
		if (lfirst_oid(lc) != dyn_stage_get(relid, 0) && lfirst_oid(lc) != dyn_stage_get(relid, DYN_FEED_STAGE))
			dyn_stage_drop(relid, lfirst_oid(lc));
}

void
dyn_state_create(Oid relid, int no, List *columns)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE TABLE %s (", dyn_state_name(relid, no));
	foreach(lc, columns)
		appendStringInfo(&buf, "%s%s", foreach_current_index(lc) ? ", " : "", (char *) lfirst(lc));
	appendStringInfo(&buf, ") WITH (fillfactor = %d)", DYN_FILLFACTOR);
	dyn_state_ddl(buf.data);
	CommandCounterIncrement();
	dyn_stage_insert(relid, no, get_relname_relid(state_name(relid, no), dyn_schema_oid()));
}

static void
create_indexes(DynEvaluation *evaluation, DynNode *node)
{
	char	   *name = evaluation->sql.stages[node->no];
	List	   *key = state_key(evaluation, node);

	if (key != NIL && list_length(key) <= INDEX_MAX_KEYS)
		make_index(name, "UNIQUE", key, node);
	else if (node->kind != DYN_NODE_AGGREGATE)
		dyn_state_ddl(psprintf("CREATE INDEX ON %s (%s(%s))", name, evaluation->sql.hash,
							   dyn_identity_stored(evaluation->states[node->no],
												   state_name(evaluation->relid, node->no))));
	if (dyn_partition_columns(node) != NIL && !equal(key, dyn_partition_columns(node)))
		make_index(name, "", dyn_partition_columns(node), node);
	index_lookups(evaluation, node);
}

/* The columns by which rows of a state table are found; NIL: their images. */
static List *
state_key(DynEvaluation *evaluation, DynNode *node)
{
	if (node->kind == DYN_NODE_AGGREGATE)
		return node->key;
	return evaluation->states[node->no]->key;
}

/*
 * An index on columns of a state table.  Where a type has no order, or a value
 * is too long for a page of a btree, it is a hash index on one column.
 */
static void
make_index(const char *name, const char *unique, List *columns, DynNode *node)
{
	List	   *types = dyn_sql_types(node, columns);
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, columns)
		appendStringInfo(&buf, "%sc%d", buf.len ? ", " : "", lfirst_int(lc));
	if (list_length(columns) <= INDEX_MAX_KEYS && dyn_state_has_order(types) &&
		dyn_state_try_ddl(psprintf("CREATE %s INDEX ON %s (%s)%s", unique, name, buf.data,
								   *unique ? " NULLS NOT DISTINCT" : "")))
		return;
	foreach(lc, types)
		if (OidIsValid(GetDefaultOpClass(lfirst_oid(lc), HASH_AM_OID)))
		{
			dyn_state_ddl(psprintf("CREATE INDEX ON %s USING hash (c%d)", name,
								   list_nth_int(columns, foreach_current_index(lc))));
			return;
		}
}

/* Indexes on the columns by which the operators above look rows up. */
static void
index_lookups(DynEvaluation *evaluation, DynNode *node)
{
	List	   *done = NIL;
	ListCell   *lc;

	if (state_key(evaluation, node) != NIL)
		done = list_make1_int(linitial_int(state_key(evaluation, node)));
	if (dyn_partition_columns(node) != NIL)
		done = lappend_int(done, linitial_int(dyn_partition_columns(node)));
	foreach(lc, dyn_plan_lookups(evaluation->sql.plan))
	{
		DynLookup  *lookup = lfirst(lc);

		if (lookup->node != node || list_intersection_int(lookup->columns, done) != NIL)
			continue;
		make_index(evaluation->sql.stages[node->no], "", lookup->columns, node);
		done = lappend_int(done, linitial_int(lookup->columns));
	}
}

char *
dyn_state_column(const char *name, Oid type, int32 typmod, Oid collation)
{
	return psprintf("%s %s%s%s", name,
					format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
					OidIsValid(collation) ? " COLLATE " : "",
					OidIsValid(collation) ? generate_collation_name(collation) : "");
}
