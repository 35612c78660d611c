/*
 * dyn_verify.c
 *	  Is a dynamic table what its query says?
 *
 * The table is refreshed, and under the run's own snapshot its rows are held
 * against those of its query as it was written, with now() at the table's data
 * timestamp.  Rows are compared as EXCEPT ALL compares, but by image where a
 * type has no equality.  Columns of the time of writing are left out.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <utils/lsyscache.h>
#include <utils/snapmgr.h>
#include <utils/typcache.h>

#include "query/dyn_expr.h"
#include "query/dyn_plan.h"
#include "query/dyn_query.h"
#include "refresh/dyn_frozen_rows.h"
#include "refresh/dyn_target.h"

static DynColumn *written_columns(DynTable *table, Query *query, int *ncolumns);
static char *unequal_rows(DynSink *sink, int ncolumns);

void
dyn_verify(Oid relid, int64 *missing, int64 *unexpected)
{
	List	   *results;
	DynResult  *result;
	DynTable   *table;
	DynIdentity identity;
	DynExecution execution = {0};
	DynSigned  *compared;
	DynFrozen  *frozen;
	Query	   *query;
	DynSink    *sink;
	DynColumn  *columns;
	int			ncolumns;
	bool		retyped;
	TupleTableSlot *slot;

	execution.env = create_queryEnv();
	results = dyn_run_keeping(list_make1_oid(relid), &(DynRunOptions) {.trigger = DYN_TRIGGER_MANUAL},
							  &execution.snapshot);
	result = llast(results);
	table = dyn_table_get(relid, false);
	dyn_become_owner(table, &identity);

	query = dyn_stored_query(table, &retyped);
	columns = written_columns(table, query, &ncolumns);
	sink = dyn_target_sink(relid, ncolumns, columns, NIL, false);
	query = dyn_query_expand(query);
	compared = dyn_rows_signed(dyn_rows_begin("v", dyn_delta_desc(ncolumns, columns),
											 dyn_delta_identity(ncolumns, columns)));

	compared->weight = 1;
	dyn_execute_query(&execution, (Query *) dyn_expr_at((Node *) query, result->data_timestamp),
					  dyn_rows_signed_sink, compared);
	compared->weight = -1;
	dyn_execute(&execution, psprintf("SELECT %s FROM %s", dyn_sink_columns(sink), sink->name),
				dyn_rows_signed_sink, compared);
	dyn_rows_consolidate(compared->rows);
	frozen = dyn_frozen_open(table, result->data_timestamp);
	if (frozen)
	{
		compared->rows = dyn_frozen_drop(frozen, sink->names, compared->rows);
		compared->rows->name = "v";
	}
	dyn_rows_register(compared->rows, execution.env);

	/* rows that differ by image only may still be equal (1.0 and 1.00) */
	*missing = *unexpected = 0;
	if (compared->rows->count > 0)
	{
		DynColumn	count = {.type = INT8OID, .typmod = -1};
		DynRows    *rest = dyn_execute_rows(&execution, "u", unequal_rows(sink, ncolumns),
											dyn_columns_desc("n", list_make2(&count, &count)), NULL);

		slot = dyn_rows_slot(rest);
		if (dyn_rows_next(rest, slot))
		{
			*missing = DatumGetInt64(slot->tts_values[0]);
			*unexpected = DatumGetInt64(slot->tts_values[1]);
		}
		ExecDropSingleTupleTableSlot(slot);
		dyn_rows_end(rest);
	}
	dyn_rows_end(compared->rows);
	dyn_become_caller(&identity);
	UnregisterSnapshot(execution.snapshot);
}

/* The definition's columns, with those that hold the time of writing marked. */
static DynColumn *
written_columns(DynTable *table, Query *query, int *ncolumns)
{
	DynRefusal	refusal;
	DynPlan    *plan = NULL;

	if (table->incremental)
		plan = dyn_plan_build(dyn_query_expand(query), dyn_query_sources(query), &refusal);
	if (plan == NULL)
		return dyn_query_result_columns(query, ncolumns);
	*ncolumns = plan->top->ncolumns;
	return plan->top->columns;
}

/* SELECT missing, unexpected of the rows in v that no equality brings together. */
static char *
unequal_rows(DynSink *sink, int ncolumns)
{
	StringInfoData columns;
	char	   *side[2];

	initStringInfo(&columns);
	for (int i = 0; i < ncolumns; i++)
	{
		TypeCacheEntry *type = lookup_type_cache(list_nth_oid(sink->types, i), TYPECACHE_EQ_OPR);

		if (sink->identity[i])
			appendStringInfo(&columns, "%sv.c%d%s", columns.len ? ", " : "", i + 1,
							 OidIsValid(type->eq_opr) ? "" : "::pg_catalog.text");
	}
	for (int i = 0; i < 2; i++)
		side[i] = psprintf("SELECT %s FROM v, LATERAL pg_catalog.generate_series(1, %sv.w)",
						   columns.data, i ? "-" : "");
	return psprintf("SELECT (SELECT count(*) FROM (%s EXCEPT ALL %s) x) AS n1,"
					" (SELECT count(*) FROM (%s EXCEPT ALL %s) x) AS n2",
					side[0], side[1], side[1], side[0]);
}
