/*
 * dyn_top_merge.c
 *	  What is kept of partitions and their delta, merged in order.
 *
 * Rows come as dyn_sql_top_merged says, those that are alike one after the
 * other: what is kept of them and their changes add up to how often the row is
 * there now, and counting goes on from row to row.  What a partition's last
 * row that was kept (the mark) is tells only at its end whether the partition is
 * too short, so until then as much of it is held as is kept.
 */
#include <postgres.h>

#include <executor/executor.h>
#include <utils/builtins.h>
#include <utils/datum.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>

#include "refresh/dyn_top_internal.h"

typedef struct Row
{
	int64		weight;
	bool		kept;			/* in the state; otherwise of the delta */
	bool		settled;		/* its like has been found */
	Datum	   *values;			/* the node's columns, shown, more */
	bool	   *isnull;
} Row;

/* Rows of one image. */
typedef struct Image
{
	Row		   *row;			/* one of them */
	List	   *kept;			/* of Row * */
	int64		weight;			/* how often it is there now */
	int64		copies;			/* and is to be kept */
	int64		number;			/* of the first of these */
	int64		rank;
	int64		dense;
} Image;

typedef struct Partition
{
	List	   *images;			/* of Image *, in order */
	List	   *alike;			/* of Row *: the last ones, which tie */
	int64		peers;			/* of these */
	int64		counted_peers;	/* for which rank and dense are */
	int64		number;			/* of rows so far */
	int64		rank;
	int64		dense;
	bool		marked;
	int64		marked_peers;
} Partition;

typedef struct Merge
{
	DynTop	   *top;
	int			ncolumns;		/* of a row */
	MemoryContext context;		/* of a partition */
	Partition	partition;
	int64		alike;
	bool		begun;
} Merge;

static void take_row(TupleTableSlot *slot, void *arg);
static void end_alike(Merge *merge);
static void count_image(Merge *merge, Image *image);
static void end_partition(Merge *merge);
static void settle(Merge *merge, Image *image, bool last);

void
dyn_top_merge(DynTop *top, const char *statement)
{
	Merge		merge = {.top = top, .ncolumns = top->node->ncolumns + DYN_TOP_COLUMNS};

	merge.context = AllocSetContextCreate(CurrentMemoryContext, "dyntable partition", ALLOCSET_DEFAULT_SIZES);
	dyn_execute(&top->evaluation->execution, statement, take_row, &merge);
	if (merge.begun)
		end_partition(&merge);
	MemoryContextDelete(merge.context);
}

static Row *
copy_row(Merge *merge, TupleTableSlot *slot)
{
	Row		   *row = palloc0(sizeof(Row));
	int			n = merge->ncolumns;

	row->weight = DatumGetInt64(slot->tts_values[0]);
	row->kept = !slot->tts_isnull[n];
	row->values = palloc(sizeof(Datum) * n);
	row->isnull = palloc(sizeof(bool) * n);
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(merge->top->changes->desc, i + 1);

		row->isnull[i] = slot->tts_isnull[i + 1];
		row->values[i] = row->isnull[i] ? (Datum) 0 : datumCopy(slot->tts_values[i + 1], att->attbyval, att->attlen);
	}
	return row;
}

static void
take_row(TupleTableSlot *slot, void *arg)
{
	Merge	   *merge = arg;
	Partition  *partition = &merge->partition;
	int			n = merge->ncolumns + 1;
	int64		alike;
	MemoryContext old;

	slot_getallattrs(slot);
	alike = DatumGetInt64(slot->tts_values[n + 1]);
	if (DatumGetInt64(slot->tts_values[n]) == 1)
	{
		if (merge->begun)
			end_partition(merge);
	}
	else if (alike == merge->alike + 1)
		end_alike(merge);
	else if (alike != merge->alike)
		elog(ERROR, "rows of a partition do not come in their order");
	merge->begun = true;
	merge->alike = alike;
	old = MemoryContextSwitchTo(merge->context);
	partition->peers = DatumGetInt64(slot->tts_values[n + 2]);
	partition->alike = lappend(partition->alike, copy_row(merge, slot));
	MemoryContextSwitchTo(old);
}

static bool
same_values(Merge *merge, Row *a, Row *b, int from, int to, bool identity)
{
	for (int i = from; i < to; i++)
	{
		if (identity && merge->top->node->columns[i].written_at)
			continue;
		if (!dyn_image_same(a->values[i], a->isnull[i], b->values[i], b->isnull[i],
							TupleDescAttr(merge->top->changes->desc, i + 1)))
			return false;
	}
	return true;
}

static bool
is_mark(Merge *merge, Row *row)
{
	return row->kept && DatumGetBool(row->values[merge->ncolumns - 1]);
}

static void
contradict(Merge *merge, Row *row)
{
	StringInfoData key;
	ListCell   *lc;

	initStringInfo(&key);
	foreach(lc, merge->top->node->partition)
	{
		int			column = lfirst_int(lc);
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(merge->top->input->columns[column - 1].type, &output, &varlena);
		appendStringInfo(&key, "%s%s", key.len ? ", " : "", row->isnull[column - 1] ? "null" :
						 OidOutputFunctionCall(output, row->values[column - 1]));
	}
	ereport(ERROR,
			errcode(ERRCODE_DYN_STATE_DIVERGED),
			errmsg("a partition of dynamic table \"%s\" does not have the rows that its changes tell of",
				   get_rel_name(merge->top->evaluation->relid)),
			key.len ? errdetail("The partition is (%s).", key.data) : 0);
}

/* The image of a row among those of rows that tie, made where it is new. */
static Image *
image_of(Merge *merge, List **images, Row *row)
{
	Image	   *image;
	ListCell   *lc;

	foreach(lc, *images)
		if (same_values(merge, ((Image *) lfirst(lc))->row, row, 0, merge->top->input->ncolumns, true))
			return lfirst(lc);
	image = palloc0(sizeof(Image));
	image->row = row;
	*images = lappend(*images, image);
	return image;
}

/*
 * The rows that tie are complete.  What comes behind the mark is of no concern.
 * Not all rows that are equal to it by number need be kept: more of them may go
 * than were.
 */
static void
end_alike(Merge *merge)
{
	Partition  *partition = &merge->partition;
	bool		by_number = merge->top->node->rank == DYN_RANK_NUMBER;
	bool		mark = false;
	MemoryContext old = MemoryContextSwitchTo(merge->context);
	List	   *images = NIL;
	ListCell   *lc;

	if (!partition->marked || (!by_number && partition->peers == partition->marked_peers))
		foreach(lc, partition->alike)
		{
			Row		   *row = lfirst(lc);
			Image	   *image = image_of(merge, &images, row);

			image->weight += row->weight;
			if (row->kept)
				image->kept = lappend(image->kept, image->row = row);
			mark |= is_mark(merge, row);
		}
	if (mark)
	{
		partition->marked = true;
		partition->marked_peers = partition->peers;
	}
	foreach(lc, images)
	{
		Image	   *image = lfirst(lc);

		if (image->weight < 0 && !(by_number && mark))
			contradict(merge, image->row);
		count_image(merge, image);
		if (image->copies > 0 || image->kept != NIL)
			partition->images = lappend(partition->images, image);
	}
	partition->alike = NIL;
	MemoryContextSwitchTo(old);
}

static void
count_image(Merge *merge, Image *image)
{
	Partition  *partition = &merge->partition;
	int64		depth = dyn_top_depth(merge->top->node);

	if (image->weight <= 0)
		return;
	if (partition->counted_peers != partition->peers)
	{
		partition->counted_peers = partition->peers;
		partition->rank = partition->number + 1;
		partition->dense++;
	}
	image->number = partition->number + 1;
	image->rank = partition->rank;
	image->dense = partition->dense;
	partition->number += image->weight;
	switch (merge->top->node->rank)
	{
		case DYN_RANK_NUMBER:
			image->copies = Max(Min(image->weight, depth - image->number + 1), 0);
			break;
		case DYN_RANK_RANK:
			image->copies = image->rank <= depth ? image->weight : 0;
			break;
		case DYN_RANK_DENSE:
			image->copies = image->dense <= depth ? image->weight : 0;
			break;
	}
}

/* All that was kept goes; the partition is to be read again. */
static void
drop_partition(Merge *merge)
{
	DynTop	   *top = merge->top;
	DynRows    *in = top->evaluation->deltas[top->input->no];
	ListCell   *lc;
	ListCell   *lk;

	if (top->again == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(top->changes->context);

		top->again = dyn_rows_begin(psprintf("g%d", top->node->no), in->desc, in->identity);
		MemoryContextSwitchTo(old);
	}
	dyn_top_put(top->again, 1, ((Image *) linitial(merge->partition.images))->row->values,
				((Image *) linitial(merge->partition.images))->row->isnull);
	foreach(lc, merge->partition.images)
		foreach(lk, ((Image *) lfirst(lc))->kept)
		{
			Row		   *row = lfirst(lk);

			dyn_top_put(top->changes, -1, row->values, row->isnull);
			if (DatumGetBool(row->values[merge->ncolumns - 2]))
				dyn_top_put(top->delta, -1, row->values, row->isnull);
		}
}

static void
end_partition(Merge *merge)
{
	Partition  *partition = &merge->partition;
	DynNode    *node = merge->top->node;
	MemoryContext old = MemoryContextSwitchTo(merge->context);
	Image	   *last = NULL;
	ListCell   *lc;

	end_alike(merge);
	if (partition->marked && (node->rank == DYN_RANK_DENSE ? partition->dense : partition->number) < node->last)
		drop_partition(merge);
	else
	{
		foreach(lc, partition->images)
			if (((Image *) lfirst(lc))->copies > 0)
				last = lfirst(lc);
		foreach(lc, partition->images)
			settle(merge, lfirst(lc), lfirst(lc) == last);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(merge->context);
	memset(partition, 0, sizeof(Partition));
}

/* The row of a copy as it is kept now. */
static Row *
row_now(Merge *merge, Image *image, int64 number, bool last)
{
	DynNode    *node = merge->top->node;
	Row		   *row = palloc0(sizeof(Row));
	int			n = merge->ncolumns;
	int64		ranks[] = {number, image->rank, image->dense};
	int64		rank = ranks[node->rank];
	ListCell   *lc;

	row->values = palloc(sizeof(Datum) * n);
	row->isnull = palloc0(sizeof(bool) * n);
	memcpy(row->values, image->row->values, sizeof(Datum) * n);
	memcpy(row->isnull, image->row->isnull, sizeof(bool) * merge->top->input->ncolumns);
	foreach(lc, node->functions)
		row->values[merge->top->input->ncolumns + foreach_current_index(lc)] =
			Int64GetDatum(ranks[dyn_top_rank_of(lfirst(lc))]);
	row->values[n - 2] = BoolGetDatum(rank >= node->first && rank <= node->last && number > node->skip);
	row->values[n - 1] = BoolGetDatum(last && (merge->partition.marked ||
											   (node->rank == DYN_RANK_DENSE ? image->dense : number) >= dyn_top_depth(node)));
	return row;
}

/* Of rows that were and rows that are, in their columns up to one, those that are not both go into a delta. */
static void
put_difference(Merge *merge, DynRows *delta, List *were, List *are, bool shown_only)
{
	int			to = delta->desc->natts - 1;
	int			shown = merge->ncolumns - 2;
	ListCell   *lw;
	ListCell   *la;

	foreach(lw, were)
		((Row *) lfirst(lw))->settled = false;
	foreach(la, are)
	{
		Row		   *row = lfirst(la);

		if (shown_only && !DatumGetBool(row->values[shown]))
			continue;
		foreach(lw, were)
		{
			Row		   *before = lfirst(lw);

			if (!before->settled && (!shown_only || DatumGetBool(before->values[shown])) &&
				same_values(merge, before, row, merge->top->input->ncolumns, to, false))
			{
				before->settled = true;
				break;
			}
		}
		if (lw == NULL)
			dyn_top_put(delta, 1, row->values, row->isnull);
	}
	foreach(lw, were)
	{
		Row		   *row = lfirst(lw);

		if (!row->settled && (!shown_only || DatumGetBool(row->values[shown])))
			dyn_top_put(delta, -1, row->values, row->isnull);
	}
}

static void
settle(Merge *merge, Image *image, bool last)
{
	List	   *now = NIL;

	merge->top->repeats |= list_length(image->kept) > 1 || image->copies > 1;
	for (int64 i = 0; i < image->copies; i++)
		now = lappend(now, row_now(merge, image, image->number + i, last && i == image->copies - 1));
	put_difference(merge, merge->top->changes, image->kept, now, false);
	put_difference(merge, merge->top->delta, image->kept, now, true);
}
