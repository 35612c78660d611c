/*
 * dyn_region.c
 *	  Frozen regions and boundaries as arguments, and writing into a region.
 *
 * Rows in a frozen region are their users' to correct or delete.  Whoever may
 * write the table may change rows that lie in it before and after the change;
 * a check like that of a constraint refuses all others.  It hangs on the
 * statement, as a trigger that the catalog does not have, so that refreshes
 * pay nothing for it.  Tables above learn of it by being initialised anew.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <access/xact.h>
#include <catalog/pg_class.h>
#include <catalog/pg_trigger.h>
#include <catalog/pg_type.h>
#include <commands/trigger.h>
#include <executor/executor.h>
#include <executor/spi.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <parser/parse_func.h>
#include <parser/parsetree.h>
#include <utils/acl.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "command/dyn_region.h"
#include "query/dyn_frozen.h"
#include "query/dyn_query.h"
#include "refresh/dyn_frozen_rows.h"
#include "refresh/dyn_refresh.h"
#include "refresh/dyn_target.h"

PG_FUNCTION_INFO_V1(dyntable_check_frozen);

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------
 */

/* An index of ours on a key whose rows could be frozen in part must not find, nor refuse, rows any more. */
static void
drop_useless_index(Oid relid, Node *predicate)
{
	Relation	rel = table_open(relid, NoLock);
	List	   *names = dyn_frozen_names(relid, predicate);
	List	   *indexes = list_copy(RelationGetIndexList(rel));
	bool		useless = false;
	ListCell   *lc;
	ListCell   *ln;

	table_close(rel, NoLock);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		foreach(ln, dyn_sink_is_ours(lfirst_oid(lc)) && index->rd_index->indisunique ? names : NIL)
		{
			bool		member = false;

			for (int i = 0; i < index->rd_index->indnkeyatts; i++)
				member |= index->rd_index->indkey.values[i] == get_attnum(relid, strVal(lfirst(ln)));
			useless |= !member;
		}
		index_close(index, AccessShareLock);
	}
	if (!useless)
		return;
	dyn_lock_against_readers(relid, "Its rows get another identity on account of frozen_where.");
	dyn_sink_drop_indexes(relid);
}

void
dyn_region_set(DynTable *table, Query *query, const char *text, bool installed)
{
	Node	   *before = table->frozen_where ? dyn_frozen_analyse(table->relid, table->frozen_where) : NULL;
	Node	   *after = *text ? dyn_frozen_analyse(table->relid, text) : NULL;
	DynIdentity identity;

	if (after != NULL)
		dyn_frozen_check(table->relid, after, query);
	dyn_become_owner(table, &identity);
	table->frozen_where = after ? dyn_frozen_text(table->relid, after) : NULL;
	dyn_become_caller(&identity);
	if (!installed)
		return;
	if (before != NULL && after == NULL)
		dyn_position_set_reinit(table->relid, "frozen_where was taken back");
	else if (before != NULL && !dyn_frozen_within(before, after))
		dyn_position_set_reinit(table->relid, "frozen_where was changed");
	if (after != NULL)
		drop_useless_index(table->relid, after);
}

List *
dyn_boundary_tables(Oid boundary)
{
	List	   *tables = NIL;
	Query	   *query;
	ListCell   *lc;

	if (get_rel_relkind(boundary) != RELKIND_VIEW)
		return dyn_is_dynamic_table(boundary) ? list_make1_oid(boundary) : NIL;
	query = dyn_query_from_text(psprintf("SELECT * FROM %s", dyn_relation_name(boundary)));
	foreach(lc, dyn_query_sources(query))
		if (((DynEdge *) lfirst(lc))->kind == DYN_EDGE_DYNAMIC)
			tables = lappend_oid(tables, ((DynEdge *) lfirst(lc))->source);
	return tables;
}

void
dyn_boundary_set(Oid relid, FunctionCallInfo fcinfo, int argno)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
	List	   *sources = NIL;
	List	   *read = NIL;
	ListCell   *lc;

	if (PG_ARGISNULL(argno))
		return;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT,
					  &values, &nulls, &count);
	foreach(lc, dyn_edges_of(relid))
		if (((DynEdge *) lfirst(lc))->kind == DYN_EDGE_DYNAMIC)
			read = lappend_oid(read, ((DynEdge *) lfirst(lc))->source);
	for (int i = 0; i < count; i++)
	{
		Oid			boundary = nulls[i] ? InvalidOid : DatumGetObjectId(values[i]);
		char	   *name = OidIsValid(boundary) ? get_rel_name(boundary) : NULL;
		List	   *others = name ? list_difference_oid(read, dyn_boundary_tables(boundary)) : read;
		List	   *found = list_difference_oid(read, others);

		if (found == NIL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" cannot be a boundary of dynamic table \"%s\"", name ? name : "null",
							get_rel_name(relid)),
					 errdetail("A boundary is a dynamic table that its query reads, or a view over such tables.")));
		sources = list_concat_unique_oid(sources, found);
	}
	dyn_edges_set_boundary(relid, sources);
	dyn_version_note(relid);
}

/* The columns must fit in order, as for INSERT ... SELECT. */
void
dyn_backfill(Oid relid, Oid source, const char *frozen_where)
{
	StringInfoData columns;
	Relation	rel = table_open(relid, NoLock);
	AclResult	result = pg_class_aclcheck(source, GetUserId(), ACL_SELECT);
	char		kind = get_rel_relkind(source);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(source));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(source)),
				 errdetail("Rows to begin with come from a table.")));

	/* by the names of the new table, for the condition */
	initStringInfo(&columns);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			appendStringInfo(&columns, "%s%s", columns.len ? ", " : "",
							 quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname)));
	table_close(rel, NoLock);
	SPI_connect();
	SPI_execute(psprintf("INSERT INTO %s (%s) SELECT * FROM (SELECT * FROM %s) AS s (%s)%s", dyn_relation_name(relid),
						 columns.data, dyn_relation_name(source), columns.data,
						 frozen_where ? psprintf(" WHERE (%s)", frozen_where) : ""),
				false, 0);
	SPI_finish();
	CommandCounterIncrement();
}

/* ------------------------------------------------------------------------
 * Statements of users
 * ------------------------------------------------------------------------
 */
bool
dyn_region_writable(Oid relid)
{
	DynTable   *table = dyn_table_get(relid, true);
	ListCell   *lc;
	ListCell   *le;

	if (table == NULL || table->frozen_where == NULL)
		return false;
	foreach(lc, dyn_readers_of(relid))
		foreach(le, dyn_edges_of(lfirst_oid(lc)))
			if (((DynEdge *) lfirst(le))->source == relid)
				dyn_position_set_reinit(lfirst_oid(lc), "frozen rows of an upstream table were changed by hand");
	return true;
}

/* The triggers that a relation has, and one before each row. */
static TriggerDesc *
with_check(const TriggerDesc *present, Oid function)
{
	int			n = present ? present->numtriggers : 0;
	TriggerDesc *triggers = palloc0(sizeof(TriggerDesc));
	Trigger    *check;

	if (present)
		*triggers = *present;
	triggers->triggers = palloc0(sizeof(Trigger) * (n + 1));
	if (n)
		memcpy(triggers->triggers, present->triggers, sizeof(Trigger) * n);
	check = &triggers->triggers[n];
	check->tgname = "dyntable_check_frozen";
	check->tgfoid = function;
	check->tgtype = TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
		TRIGGER_TYPE_DELETE;
	check->tgenabled = TRIGGER_FIRES_ALWAYS;
	check->tgisinternal = true;
	triggers->numtriggers = n + 1;
	triggers->trig_insert_before_row = triggers->trig_update_before_row = triggers->trig_delete_before_row = true;
	return triggers;
}

void
dyn_region_guard(QueryDesc *desc)
{
	MemoryContext caller = MemoryContextSwitchTo(desc->estate->es_query_cxt);
	ListCell   *lc;

	foreach(lc, desc->plannedstmt->resultRelations)
	{
		Index		index = lfirst_int(lc);
		ResultRelInfo *relation = desc->estate->es_result_relations ? desc->estate->es_result_relations[index - 1] : NULL;
		Oid			function;

		if (relation == NULL || !dyn_is_dynamic_table(rt_fetch(index, desc->plannedstmt->rtable)->relid))
			continue;
		function = LookupFuncName(list_make2(makeString("dyntable"), makeString("check_frozen")), 0, NULL, false);
		relation->ri_TrigDesc = with_check(relation->ri_TrigDesc, function);
		relation->ri_TrigFunctions = palloc0(sizeof(FmgrInfo) * relation->ri_TrigDesc->numtriggers);
		relation->ri_TrigWhenExprs = palloc0(sizeof(ExprState *) * relation->ri_TrigDesc->numtriggers);
		if (desc->estate->es_instrument)
			relation->ri_TrigInstrument = InstrAlloc(relation->ri_TrigDesc->numtriggers, desc->estate->es_instrument, false);
	}
	MemoryContextSwitchTo(caller);
}

Datum
dyntable_check_frozen(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	DynFrozenCheck *check = fcinfo->flinfo->fn_extra;
	Oid			relid;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by trigger manager")));
	relid = RelationGetRelid(trigger->tg_relation);
	if (check == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		fcinfo->flinfo->fn_extra = check = dyn_frozen_check_begin(relid);
		MemoryContextSwitchTo(caller);
	}
	if (check == NULL || !dyn_frozen_check_row(check, trigger->tg_trigslot) ||
		(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && !dyn_frozen_check_row(check, trigger->tg_newslot)))
		ereport(ERROR,
				(errcode(ERRCODE_WITH_CHECK_OPTION_VIOLATION),
				 errmsg("cannot change dynamic table \"%s\" outside its frozen region", get_rel_name(relid)),
				 errdetail("Other rows are those of its query."),
				 errhint("Rows can be changed for which dyntable.is_frozen() is true before and after the change.")));
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple);
}
