/*
 * dyn_top.c
 *	  The first rows of each partition kept up to date.
 *
 * The state table has more of them than are asked for (dyn_sql_top.c), so that
 * rows may go.  A row of it is shown when it is asked for; the last row of a
 * partition says whether there are more than are kept.  If so, changes behind
 * it are of no concern, and when too few are left the partition is read again;
 * if not, nothing of the partition is ever read.  One refresh is
 *	 z: the delta without what comes behind the last row of its partition,
 *	 k: the partitions that z touches,
 *	 o: what is kept of them,
 *	 a statement that merges o and z in order; dyn_top_merge.c goes through it
 *		and finds what is kept now,
 *	 l: the partitions that are too short,
 *	 n: what is kept of these, having been read.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <utils/builtins.h>
#include <utils/datum.h>
#include <utils/sortsupport.h>

#include "refresh/dyn_top_internal.h"

/* The last row that is kept of all, by the first column of the order. */
typedef struct Border
{
	bool		known;
	int			column;			/* of the input, from 1 */
	SortSupportData order;
	Datum		value;
	bool		isnull;
} Border;

static DynRows *near_rows(DynTop *top);
static DynRows *kept_rows(DynTop *top, DynRows *near);
static DynRows *before_border(DynTop *top, DynRows *kept, DynRows *near);
static void find_border(DynTop *top, DynRows *kept, Border *border);
static DynRows *begin_delta(DynTop *top, const char *name, int ncolumns);
static void read_again(DynTop *top);
static DynColumn *state_columns(DynNode *node);
static TupleDesc rows_desc(DynNode *node);
static void put_read(TupleTableSlot *slot, void *arg);

DynRows *
dyn_top_delta(DynEvaluation *evaluation, DynNode *node)
{
	DynTop		top = {.evaluation = evaluation, .node = node, .input = dyn_input(node, 1)};
	DynExecution *execution = &evaluation->execution;
	DynCounts	counts = {0};
	DynRows    *near = near_rows(&top);

	top.delta = begin_delta(&top, psprintf("d%d", node->no), node->ncolumns);
	if (near->count > 0)
	{
		DynRows    *kept = kept_rows(&top, near);

		near = before_border(&top, kept, near);
		if (near->count > 0)
		{
			top.changes = begin_delta(&top, "x_top", node->ncolumns + DYN_TOP_COLUMNS);
			dyn_top_merge(&top, dyn_sql_top_merged(node, kept->name, near->name));
			read_again(&top);
			if (top.repeats)
			{
				dyn_rows_unite(top.changes);
				dyn_rows_unite(top.delta);
			}
			dyn_rows_register(top.changes, execution->env);
			dyn_apply(execution, evaluation->states[node->no], top.changes, &counts);
		}
	}
	dyn_rows_register(top.delta, execution->env);
	return top.delta;
}

static DynRows *
begin_delta(DynTop *top, const char *name, int ncolumns)
{
	DynColumn  *columns = state_columns(top->node);

	return dyn_rows_begin(name, dyn_delta_desc(ncolumns, columns), dyn_delta_identity(ncolumns, columns));
}

/* z: most of a delta comes behind the last row that is kept. */
static DynRows *
near_rows(DynTop *top)
{
	DynEvaluation *evaluation = top->evaluation;
	DynRows    *in = evaluation->deltas[top->input->no];
	char	   *statement = dyn_sql_top_near(top->node, in->name, evaluation->sql.stages[top->node->no]);
	DynRows    *near;

	if (statement == NULL)
		return in;
	near = dyn_rows_begin(psprintf("z%d", top->node->no), in->desc, in->identity);
	dyn_execute(&evaluation->execution, statement, dyn_rows_sink, near);
	dyn_rows_register(near, evaluation->execution.env);
	return near;
}

/* o: what is kept of the partitions that are touched. */
static DynRows *
kept_rows(DynTop *top, DynRows *near)
{
	DynNode    *node = top->node;
	int			n = node->ncolumns;
	DynEvaluation *evaluation = top->evaluation;
	char	   *rows = psprintf("SELECT %s, i1.shown AS c%d, i1.more AS c%d FROM %s i1",
								dyn_sql_columns("i1", n), n + 1, n + 2, evaluation->sql.stages[node->no]);

	if (node->partition != NIL)
		rows = dyn_partition_rows(node, rows, n + DYN_TOP_COLUMNS,
								  dyn_partition_keys(evaluation, node, near->name, psprintf("k%d", node->no)));
	return dyn_execute_rows(&evaluation->execution, psprintf("o%d", node->no), rows, rows_desc(node), NULL);
}

/* Without partitions what is kept tells which rows are z. */
static DynRows *
before_border(DynTop *top, DynRows *kept, DynRows *near)
{
	Border		border = {0};
	DynRows    *before;
	TupleTableSlot *slot;

	if (top->node->partition == NIL)
		find_border(top, kept, &border);
	if (!border.known)
		return near;
	before = dyn_rows_begin(psprintf("z%d", top->node->no), near->desc, near->identity);
	slot = dyn_rows_slot(near);
	dyn_rows_rewind(near);
	while (dyn_rows_next(near, slot))
		if (ApplySortComparator(slot->tts_values[border.column], slot->tts_isnull[border.column],
								border.value, border.isnull, &border.order) <= 0)
			dyn_rows_put(before, slot);
	ExecDropSingleTupleTableSlot(slot);
	dyn_rows_register(before, top->evaluation->execution.env);
	return before;
}

static void
find_border(DynTop *top, DynRows *kept, Border *border)
{
	DynNode    *node = top->node;
	SortGroupClause *first;
	TupleTableSlot *slot;

	border->column = dyn_top_first(node, &first);
	if (border->column == 0)
		return;
	border->order.ssup_cxt = CurrentMemoryContext;
	border->order.ssup_collation = top->input->columns[border->column - 1].collation;
	border->order.ssup_nulls_first = first->nulls_first;
	PrepareSortSupportFromOrderingOp(first->sortop, &border->order);
	slot = dyn_rows_slot(kept);
	dyn_rows_rewind(kept);
	while (!border->known && dyn_rows_next(kept, slot))
	{
		Form_pg_attribute att = TupleDescAttr(kept->desc, border->column - 1);

		border->known = DatumGetBool(slot->tts_values[node->ncolumns + 1]);
		border->isnull = slot->tts_isnull[border->column - 1];
		if (border->known && !border->isnull)
			border->value = datumCopy(slot->tts_values[border->column - 1], att->attbyval, att->attlen);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* Add what is kept of the partitions that are too short, from the input's content. */
static void
read_again(DynTop *top)
{
	DynNode    *node = top->node;
	DynEvaluation *evaluation = top->evaluation;
	char	   *content;

	if (top->again == NULL)
		return;
	content = dyn_sql_content(&evaluation->sql, top->input);
	dyn_rows_register(top->again, evaluation->execution.env);
	if (node->partition != NIL)
		content = dyn_partition_rows(node, content, top->input->ncolumns,
									 dyn_partition_keys(evaluation, node, top->again->name, psprintf("l%d", node->no)));
	dyn_execute(&evaluation->execution, dyn_sql_top_rows(node, dyn_sql_top_source(node, content)), put_read, top);
	top->repeats = true;
}

static void
put_read(TupleTableSlot *slot, void *arg)
{
	DynTop	   *top = arg;
	int			n = top->node->ncolumns;

	slot_getallattrs(slot);
	dyn_top_put(top->changes, 1, slot->tts_values, slot->tts_isnull);
	if (DatumGetBool(slot->tts_values[n]))
		dyn_top_put(top->delta, 1, slot->tts_values, slot->tts_isnull);
}

void
dyn_top_put(DynRows *delta, int64 weight, const Datum *values, const bool *isnull)
{
	int			n = delta->desc->natts - 1;
	Datum	   *all = palloc(sizeof(Datum) * (n + 1));
	bool	   *null = palloc(sizeof(bool) * (n + 1));

	all[0] = Int64GetDatum(weight);
	null[0] = false;
	memcpy(all + 1, values, sizeof(Datum) * n);
	memcpy(null + 1, isnull, sizeof(bool) * n);
	dyn_rows_put_values(delta, all, null);
	pfree(all);
	pfree(null);
}

/* ------------------------------------------------------------------------
 * State
 * ------------------------------------------------------------------------
 */
char *
dyn_top_fill(DynNode *node, const char *content)
{
	return dyn_sql_top_rows(node, dyn_sql_top_source(node, content));
}

/* What the state has besides the node's columns, and by what its rows are found. */
void
dyn_top_state(DynNode *node, DynSink *sink)
{
	DynNode    *input = dyn_input(node, 1);

	sink->names = lappend(lappend(sink->names, "shown"), "more");
	sink->types = lappend_oid(lappend_oid(sink->types, BOOLOID), BOOLOID);
	sink->identity = dyn_delta_identity(node->ncolumns + DYN_TOP_COLUMNS, state_columns(node));
	if (dyn_top_depth(node) == 1 && node->rank == DYN_RANK_NUMBER)
		sink->key = node->partition;
	else
		sink->key = input->has_key ? input->key : NIL;
}

/* The columns of the state: the node's, shown, more. */
static DynColumn *
state_columns(DynNode *node)
{
	DynColumn  *columns = palloc(sizeof(DynColumn) * (node->ncolumns + DYN_TOP_COLUMNS));

	memcpy(columns, node->columns, sizeof(DynColumn) * node->ncolumns);
	for (int i = 0; i < DYN_TOP_COLUMNS; i++)
		columns[node->ncolumns + i] = (DynColumn) {.type = BOOLOID, .typmod = -1};
	return columns;
}

/* The same as a row type. */
static TupleDesc
rows_desc(DynNode *node)
{
	DynColumn  *columns = state_columns(node);
	List	   *all = NIL;
	TupleDesc	desc;

	for (int i = 0; i < node->ncolumns + DYN_TOP_COLUMNS; i++)
		all = lappend(all, &columns[i]);
	desc = dyn_columns_desc("c", all);
	namestrcpy(&TupleDescAttr(desc, node->ncolumns)->attname, "shown");
	namestrcpy(&TupleDescAttr(desc, node->ncolumns + 1)->attname, "more");
	return desc;
}
