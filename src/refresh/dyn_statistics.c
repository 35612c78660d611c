/*
 * dyn_statistics.c
 *	  What the planner is told of rows on their way: of each column it asks for,
 *	  how many are NULL and how many values there are.
 *
 * It knows their number only, and would take any column to have 200 values: a
 * join of a delta with a delta would be expected to be many times larger than
 * it is, and so would a join of a table with the result.  They are counted when
 * they are asked for, once for a column, in so many rows that it takes a fraction
 * of what planning takes.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/table.h>
#include <catalog/pg_statistic.h>
#include <executor/executor.h>
#include <utils/rel.h>

#include "refresh/dyn_rows.h"

/* So many rows are looked at. */
#define SAMPLE_ROWS 1000

typedef struct Sample
{
	int			rows;
	int			values;			/* that are not NULL */
	int			distinct;
	int			once;			/* values that came once */
} Sample;

static Sample take_sample(DynRows *rows, int column);
static int	count_hashes(uint64 *hashes, int n, int *once);
static double distinct_values(const DynRows *rows, const Sample *sample);

HeapTuple
dyn_rows_statistics(DynRows *rows, int column)
{
	Sample		sample;
	Relation	catalog;
	Datum		values[Natts_pg_statistic] = {0};
	bool		isnull[Natts_pg_statistic];
	MemoryContext old;

	if (rows->count == 0)
		return NULL;
	if (rows->statistics == NULL)
		rows->statistics = MemoryContextAllocZero(rows->context, sizeof(HeapTuple) * rows->desc->natts);
	if (rows->statistics[column])
		return rows->statistics[column];
	sample = take_sample(rows, column);

	/* a row of the catalog, but for what is unknown */
	for (int i = 0; i < Natts_pg_statistic; i++)
		isnull[i] = i + 1 >= Anum_pg_statistic_stanumbers1;
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(column + 1);
	values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(1 - (float4) sample.values / sample.rows);
	values[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum((float4) distinct_values(rows, &sample));
	catalog = table_open(StatisticRelationId, AccessShareLock);
	old = MemoryContextSwitchTo(rows->context);
	rows->statistics[column] = heap_form_tuple(RelationGetDescr(catalog), values, isnull);
	MemoryContextSwitchTo(old);
	table_close(catalog, AccessShareLock);
	return rows->statistics[column];
}

static Sample
take_sample(DynRows *rows, int column)
{
	Sample		sample = {0};
	Form_pg_attribute att = TupleDescAttr(rows->desc, column);
	uint64	   *hashes = palloc(sizeof(uint64) * SAMPLE_ROWS);
	TupleTableSlot *slot = dyn_rows_slot(rows);

	dyn_rows_rewind(rows);
	while (sample.rows < SAMPLE_ROWS && dyn_rows_next(rows, slot))
	{
		sample.rows++;
		if (!slot->tts_isnull[column])
			hashes[sample.values++] = dyn_image_hash(slot->tts_values[column], false, att->attbyval, att->attlen);
	}
	ExecDropSingleTupleTableSlot(slot);
	sample.distinct = count_hashes(hashes, sample.values, &sample.once);
	pfree(hashes);
	return sample;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

static int
count_hashes(uint64 *hashes, int n, int *once)
{
	int			distinct = 0;

	qsort(hashes, n, sizeof(uint64), compare_hashes);
	for (int i = 0, next; i < n; i = next)
	{
		for (next = i + 1; next < n && hashes[next] == hashes[i]; next++)
			;
		distinct++;
		*once += next == i + 1;
	}
	return distinct;
}

/* From the sample to all: the estimator of Haas and Stokes, as ANALYZE has it. */
static double
distinct_values(const DynRows *rows, const Sample *sample)
{
	double		n = sample->values;
	double		all = n * rows->count / sample->rows;

	if (n == 0)
		return 0;
	return n * sample->distinct / ((n - sample->once) + sample->once * n / Max(all, n));
}
