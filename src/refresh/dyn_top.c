/*
 * dyn_top.c
 *	  The first rows of each partition kept up to date.
 *
 * The state table has more of them than are asked for (dyn_sql_top.c), so that
 * rows may go.  A row of it is shown when it is asked for; the last row of a
 * partition says whether there are more than are kept.  If so, changes behind
 * it are of no concern, and when too few are left the partition is read again;
 * if not, nothing of the partition is ever read.  One refresh is
 *	 k: the partitions that the delta touches,
 *	 o: what is kept of them,
 *	 z: that with the delta,
 *	 g: z without what comes behind the last row,
 *	 l: the partitions that are too short,
 *	 n: what is kept now: the first of g, and of what was read.
 * The delta is n − o as far as it is shown, and the state gets n − o.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <optimizer/optimizer.h>
#include <utils/builtins.h>
#include <utils/datum.h>
#include <utils/lsyscache.h>
#include <utils/sortsupport.h>

#include "query/dyn_sql.h"
#include "refresh/dyn_evaluate.h"

typedef struct Top
{
	DynEvaluation *evaluation;
	DynNode    *node;
	DynNode    *input;
	DynRows    *candidates;		/* g */
	int64		nshort;			/* those of partitions that are to be read again */
} Top;

/* The last row that is kept of all, by the first column of the order. */
typedef struct Border
{
	bool		known;
	int			column;			/* of the input, from 1 */
	SortSupportData order;
	Datum		value;
	bool		isnull;
} Border;

static DynRows *kept_rows(Top *top);
static DynRows *changed_rows(Top *top, DynRows *kept);
static void find_border(Top *top, DynRows *kept, Border *border);
static void find_candidates(Top *top, DynRows *kept, DynRows *changed);
static void put_candidate(TupleTableSlot *slot, void *arg);
static DynRows *first_rows(Top *top, bool repeated);
static DynColumn *state_columns(DynNode *node);
static TupleDesc rows_desc(DynNode *node);
static void add_rows(DynRows *delta, DynRows *rows, int64 weight, int condition);
static DynRows *difference(Top *top, const char *name, DynRows *now, DynRows *before, bool shown_only);

DynRows *
dyn_top_delta(DynEvaluation *evaluation, DynNode *node)
{
	Top			top = {.evaluation = evaluation, .node = node, .input = dyn_input(node, 1)};
	DynCounts	counts = {0};
	DynRows    *kept = kept_rows(&top);
	DynRows    *changed = changed_rows(&top, kept);
	DynRows    *now;

	find_candidates(&top, kept, changed);
	now = first_rows(&top, changed->repeated);
	dyn_apply(&evaluation->execution, evaluation->states[node->no],
			  difference(&top, "x_top", now, kept, false), &counts);
	return difference(&top, psprintf("d%d", node->no), now, kept, true);
}

/* o: what is kept of the partitions that are touched. */
static DynRows *
kept_rows(Top *top)
{
	DynNode    *node = top->node;
	int			n = node->ncolumns;
	DynEvaluation *evaluation = top->evaluation;
	char	   *rows = psprintf("SELECT %s, i1.shown AS c%d, i1.more AS c%d FROM %s i1",
								dyn_sql_columns("i1", n), n + 1, n + 2, evaluation->sql.stages[node->no]);

	if (node->partition != NIL)
		rows = dyn_partition_rows(node, rows, n + DYN_TOP_COLUMNS,
								  dyn_partition_keys(evaluation, node, psprintf("d%d", top->input->no),
													 psprintf("k%d", node->no)));
	return dyn_execute_rows(&evaluation->execution, psprintf("o%d", node->no), rows, rows_desc(node), NULL);
}

/* z: the rows of the input that are kept, and the delta as far as it may matter. */
static DynRows *
changed_rows(Top *top, DynRows *kept)
{
	DynRows    *in = top->evaluation->deltas[top->input->no];
	DynRows    *changed = dyn_rows_begin(psprintf("z%d", top->node->no), in->desc, in->identity);
	TupleTableSlot *slot = dyn_rows_slot(in);
	Border		border = {0};

	add_rows(changed, kept, 1, -1);
	find_border(top, kept, &border);
	dyn_rows_rewind(in);
	while (dyn_rows_next(in, slot))
		if (!border.known ||
			ApplySortComparator(slot->tts_values[border.column], slot->tts_isnull[border.column],
								border.value, border.isnull, &border.order) <= 0)
			dyn_rows_put(changed, slot);
	ExecDropSingleTupleTableSlot(slot);
	dyn_rows_consolidate(changed);
	dyn_rows_register(changed, top->evaluation->execution.env);
	return changed;
}

/*
 * Without partitions most of a large delta comes behind the last row that is
 * kept.  Those rows that the first column of the order tells of need not be
 * sorted with the others.
 */
static void
find_border(Top *top, DynRows *kept, Border *border)
{
	DynNode    *node = top->node;
	List	   *order = linitial_node(WindowClause, node->window_clauses)->orderClause;
	SortGroupClause *first;
	Var		   *var;
	TupleTableSlot *slot;

	if (node->partition != NIL || order == NIL)
		return;
	first = linitial_node(SortGroupClause, order);
	var = (Var *) get_sortgroupclause_expr(first, node->window_tlist);
	if (!IsA(var, Var))
		return;
	border->column = var->varattno;
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

/* g: see dyn_sql_top_candidates. */
static void
find_candidates(Top *top, DynRows *kept, DynRows *changed)
{
	static const char *const flags[] = {"stray", "marked", "short"};
	DynExecution *execution = &top->evaluation->execution;
	int			n = changed->desc->natts;
	TupleDesc	desc = CreateTemplateTupleDesc(n + lengthof(flags));

	for (int i = 1; i <= n; i++)
		TupleDescCopyEntry(desc, i, changed->desc, i);
	for (int i = 0; i < lengthof(flags); i++)
		TupleDescInitEntry(desc, n + i + 1, flags[i], BOOLOID, -1, 0);
	top->candidates = dyn_rows_begin(psprintf("g%d", top->node->no), desc, NULL);
	dyn_execute(execution, dyn_sql_top_candidates(top->node, changed->name, kept->name), put_candidate, top);
	dyn_rows_register(top->candidates, execution->env);
}

static void
partition_contradicts(Top *top, TupleTableSlot *slot)
{
	StringInfoData key;
	ListCell   *lc;

	initStringInfo(&key);
	foreach(lc, top->node->partition)
	{
		int			column = lfirst_int(lc);
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(top->input->columns[column - 1].type, &output, &varlena);
		appendStringInfo(&key, "%s%s", key.len ? ", " : "", slot->tts_isnull[column] ? "null" :
						 OidOutputFunctionCall(output, slot->tts_values[column]));
	}
	ereport(ERROR,
			errcode(ERRCODE_DYN_STATE_DIVERGED),
			errmsg("a partition of dynamic table \"%s\" does not have the rows that its changes tell of",
				   get_rel_name(top->evaluation->relid)),
			key.len ? errdetail("The partition is (%s).", key.data) : 0);
}

static void
put_candidate(TupleTableSlot *slot, void *arg)
{
	Top		   *top = arg;
	int			flags = top->input->ncolumns + 1;

	slot_getallattrs(slot);
	if (DatumGetBool(slot->tts_values[flags]))
		partition_contradicts(top, slot);
	top->nshort += DatumGetBool(slot->tts_values[flags + 2]);
	dyn_rows_put(top->candidates, slot);
}

/* n: what is kept now; repeated: some row of g stands for several. */
static DynRows *
first_rows(Top *top, bool repeated)
{
	DynNode    *node = top->node;
	DynNode    *input = top->input;
	DynExecution *execution = &top->evaluation->execution;
	StringInfoData source;

	initStringInfo(&source);
	appendStringInfo(&source, "SELECT %s, i1.marked FROM g%d i1%s WHERE i1.w > 0 AND NOT i1.short",
					 dyn_sql_columns("i1", input->ncolumns), node->no,
					 repeated ? ", LATERAL pg_catalog.generate_series(1, i1.w)" : "");
	if (top->nshort > 0)
	{
		char	   *content = dyn_sql_content(&top->evaluation->sql, input);

		if (node->partition != NIL)
			content = dyn_partition_rows(node, content, input->ncolumns,
										 dyn_partition_keys(top->evaluation, node,
															psprintf("(SELECT * FROM g%d i1 WHERE i1.short)", node->no),
															psprintf("l%d", node->no)));
		appendStringInfo(&source, " UNION ALL %s", dyn_sql_top_source(node, content));
	}
	return dyn_execute_rows(execution, psprintf("n%d", node->no), dyn_sql_top_rows(node, source.data),
							rows_desc(node), NULL);
}

/* now − before, and registered; shown_only: as far as they are of the node's content. */
static DynRows *
difference(Top *top, const char *name, DynRows *now, DynRows *before, bool shown_only)
{
	DynNode    *node = top->node;
	int			n = node->ncolumns + (shown_only ? 0 : DYN_TOP_COLUMNS);
	DynColumn  *columns = state_columns(node);
	DynRows    *delta = dyn_rows_begin(name, dyn_delta_desc(n, columns), dyn_delta_identity(n, columns));

	add_rows(delta, before, -1, shown_only ? node->ncolumns : -1);
	add_rows(delta, now, 1, shown_only ? node->ncolumns : -1);
	dyn_rows_consolidate(delta);
	dyn_rows_register(delta, top->evaluation->execution.env);
	return delta;
}

/* Add the first columns of rows to a delta: of those for which the column of that number (from 0), if any, is true. */
static void
add_rows(DynRows *delta, DynRows *rows, int64 weight, int condition)
{
	DynSigned  *target = dyn_rows_signed(delta);
	TupleTableSlot *slot = dyn_rows_slot(rows);

	target->weight = weight;
	dyn_rows_rewind(rows);
	while (dyn_rows_next(rows, slot))
		if (condition < 0 || DatumGetBool(slot->tts_values[condition]))
			dyn_rows_signed_sink(slot, target);
	ExecDropSingleTupleTableSlot(slot);
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
