/*
 * dyn_window.c
 *	  Window functions kept up to date: the touched partitions are computed
 *	  again, and what is stored of them goes.
 *
 * Where all functions look back only, that is done from the first touched row
 * on.  Of both only the rows that differ are left, so that what is above sees,
 * and the state table gets, no more than that.
 */
#include <postgres.h>

#include <utils/builtins.h>

#include "query/dyn_sql.h"
#include "refresh/dyn_evaluate.h"

static DynRows *first_touched(DynEvaluation *evaluation, DynNode *node, DynSuffix *suffix);

DynRows *
dyn_window_delta(DynEvaluation *evaluation, DynNode *node)
{
	DynSql	   *sql = &evaluation->sql;
	DynExecution *execution = &evaluation->execution;
	DynNode    *input = dyn_input(node, 1);
	char	   *stored = dyn_sql_content(sql, node);
	char	   *now;
	DynSuffix	suffix;
	DynRows    *touched;
	DynCounts	counts = {0};
	DynRows    *delta;
	DynSigned  *rows;

	if (dyn_sql_suffix(node, &suffix) && (touched = first_touched(evaluation, node, &suffix)) != NULL)
	{
		stored = dyn_sql_suffix_rows(node, &suffix, stored, node->ncolumns, touched->name);
		now = dyn_sql_suffix_window(sql, node, &suffix, touched->name);
	}
	else
	{
		char	   *content = dyn_sql_content(sql, input);

		if (node->partition != NIL)
		{
			touched = dyn_partition_keys(evaluation, node, psprintf("d%d", input->no), psprintf("k%d", node->no));
			stored = dyn_partition_rows(node, stored, node->ncolumns, touched);
			content = dyn_partition_rows(node, content, input->ncolumns, touched);
		}
		now = dyn_sql_window(sql, node, content);
	}
	delta = dyn_rows_begin(psprintf("d%d", node->no), dyn_delta_desc(node->ncolumns, node->columns),
						   dyn_delta_identity(node->ncolumns, node->columns));
	rows = dyn_rows_signed(delta);
	rows->weight = -1;
	dyn_execute(execution, stored, dyn_rows_signed_sink, rows);
	rows->weight = 1;
	dyn_execute(execution, now, dyn_rows_signed_sink, rows);
	dyn_rows_consolidate(delta);
	dyn_rows_register(delta, execution->env);
	dyn_apply(execution, evaluation->states[node->no], delta, &counts);
	return delta;
}

/*
 * The touched partitions, and in each the first touched value of the order's
 * first column.  NULL where a partition is that of the NULLs, which no index
 * finds by a comparison.
 */
static DynRows *
first_touched(DynEvaluation *evaluation, DynNode *node, DynSuffix *suffix)
{
	DynRows    *in = evaluation->deltas[dyn_input(node, 1)->no];
	DynColumn	last = node->columns[suffix->column - 1];
	List	   *columns = NIL;
	TupleDesc	desc;
	ListCell   *lc;

	foreach(lc, node->partition)
	{
		if (in->has_null[lfirst_int(lc)])
			return NULL;
		columns = lappend(columns, &node->columns[lfirst_int(lc) - 1]);
	}
	desc = dyn_columns_desc("k", lappend(columns, &last));
	namestrcpy(&TupleDescAttr(desc, desc->natts - 1)->attname, "m");
	return dyn_execute_rows(&evaluation->execution, psprintf("k%d", node->no),
							dyn_sql_suffix_keys(node, suffix, in->name), desc, NULL);
}

DynRows *
dyn_partition_keys(DynEvaluation *evaluation, DynNode *node, const char *rows, const char *name)
{
	List	   *columns = NIL;
	StringInfoData list;
	ListCell   *lc;

	initStringInfo(&list);
	foreach(lc, node->partition)
	{
		columns = lappend(columns, &node->columns[lfirst_int(lc) - 1]);
		appendStringInfo(&list, "%si1.c%d AS k%d", list.len ? ", " : "", lfirst_int(lc),
						 foreach_current_index(lc) + 1);
	}
	return dyn_execute_rows(&evaluation->execution, name,
							psprintf("SELECT DISTINCT %s FROM %s i1", list.data, rows),
							dyn_columns_desc("k", columns), NULL);
}

char *
dyn_partition_rows(DynNode *node, const char *content, int ncolumns, DynRows *keys)
{
	bool		nulls = false;

	for (int i = 0; i < keys->desc->natts; i++)
		nulls |= keys->has_null[i];
	return dyn_sql_restrict(content, ncolumns, dyn_sql_names("c", node->partition),
							dyn_sql_types(node, node->partition), keys->name, nulls);
}
