/*
 * dyn_statistics.c
 *	  What the planner is told of rows on their way: of each column it asks for,
 *	  how many are NULL, how many values there are, and between which they lie.
 *
 * It knows their number only, and would take any column to have 200 values: a
 * join of a delta with a delta would be expected to be many times larger than
 * it is, and so would a join of a table with the result.  Of a condition as
 * at >= date '1994-01-01' AND at < date '1995-01-01' it would expect one row in two hundred to
 * be left, and compare those with each row of another delta.  They are looked at when
 * they are asked for, once for a column, in so many rows that it takes a fraction
 * of what planning takes.
 */
#include <postgres.h>

#include <math.h>

#include <access/htup_details.h>
#include <access/table.h>
#include <access/transam.h>
#include <catalog/pg_statistic.h>
#include <catalog/pg_type.h>
#include <common/pg_prng.h>
#include <executor/executor.h>
#include <utils/array.h>
#include <utils/datum.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/sortsupport.h>
#include <utils/typcache.h>

#include "refresh/dyn_rows.h"

/* About so many rows are looked at, spread over all. */
#define SAMPLE_ROWS 1000

/* Every so many of them is sorted, and every so many of these is a bound. */
#define SORT_EACH	5
#define BOUND_EACH	4

/* Wider values are not. */
#define WIDEST_BOUND 256

typedef struct Sample
{
	int			rows;
	int			values;			/* that are not NULL */
	int			distinct;
	int			once;			/* values that came once */
	Datum	   *some;			/* values to be sorted */
	int			nsome;
} Sample;

static Sample take_sample(DynRows *rows, int column);
static int	count_hashes(uint64 *hashes, int n, int *once);
static double distinct_values(const DynRows *rows, const Sample *sample);
static void add_bounds(Sample *sample, DynColumnStatistics *statistics);

HeapTuple
dyn_rows_statistics(DynRows *rows, int column)
{
	Sample		sample;
	DynColumnStatistics statistics = {.att = TupleDescAttr(rows->desc, column)};
	MemoryContext work;
	MemoryContext old;

	if (rows->count == 0)
		return NULL;
	if (rows->statistics == NULL)
		rows->statistics = MemoryContextAllocZero(rows->context, sizeof(HeapTuple) * rows->desc->natts);
	if (rows->statistics[column])
		return rows->statistics[column];
	work = AllocSetContextCreate(CurrentMemoryContext, "dyntable sample", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	sample = take_sample(rows, column);

	statistics.null_share = 1 - (float4) sample.values / sample.rows;
	statistics.distinct = distinct_values(rows, &sample);
	add_bounds(&sample, &statistics);
	rows->statistics[column] = dyn_statistics_tuple(&statistics, rows->context);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	return rows->statistics[column];
}

HeapTuple
dyn_statistics_tuple(const DynColumnStatistics *statistics, MemoryContext context)
{
	Form_pg_attribute att = statistics->att;
	Datum		values[Natts_pg_statistic] = {0};
	bool		isnull[Natts_pg_statistic];
	Relation	catalog;
	HeapTuple	tuple;
	MemoryContext old;

	/* all that is unknown are the arrays */
	for (int i = 0; i < Natts_pg_statistic; i++)
		isnull[i] = i + 1 >= Anum_pg_statistic_stanumbers1;
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(att->attnum);
	values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(statistics->null_share);
	values[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum(statistics->distinct);
	if (statistics->nvalues > 0)
	{
		values[Anum_pg_statistic_stakind1 - 1] = Int16GetDatum(statistics->kind);
		values[Anum_pg_statistic_staop1 - 1] = ObjectIdGetDatum(statistics->operator);
		values[Anum_pg_statistic_stacoll1 - 1] = ObjectIdGetDatum(att->attcollation);
		values[Anum_pg_statistic_stavalues1 - 1] =
			PointerGetDatum(construct_array(statistics->values, statistics->nvalues,
											att->atttypid, att->attlen, att->attbyval, att->attalign));
		isnull[Anum_pg_statistic_stavalues1 - 1] = false;
	}
	if (statistics->nvalues > 0 && statistics->shares)
	{
		values[Anum_pg_statistic_stanumbers1 - 1] =
			PointerGetDatum(construct_array(statistics->shares, statistics->nvalues,
											FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
		isnull[Anum_pg_statistic_stanumbers1 - 1] = false;
	}
	catalog = table_open(StatisticRelationId, AccessShareLock);
	old = MemoryContextSwitchTo(context);
	tuple = heap_form_tuple(RelationGetDescr(catalog), values, isnull);
	MemoryContextSwitchTo(old);
	table_close(catalog, AccessShareLock);
	return tuple;
}

/*
 * How many rows to leave out before the next one of those of which each is
 * taken with this probability.  Not every so many: equal values often stand
 * side by side, as those of the lines of one order, and of them one would be seen.
 */
static int64
gap(pg_prng_state *random, double taken)
{
	if (taken >= 1)
		return 0;
	return (int64) (log(1 - pg_prng_double(random)) / log(1 - taken));
}

static Sample
take_sample(DynRows *rows, int column)
{
	Sample		sample = {0};
	Form_pg_attribute att = TupleDescAttr(rows->desc, column);
	const double taken = (double) SAMPLE_ROWS / Max(rows->count, 1);
	pg_prng_state random;
	uint64	   *hashes = palloc(sizeof(uint64) * SAMPLE_ROWS);
	TupleTableSlot *slot = dyn_rows_slot(rows);

	sample.some = palloc(sizeof(Datum) * SAMPLE_ROWS / SORT_EACH);
	/* the same rows each time, or a plan could not be repeated */
	pg_prng_seed(&random, rows->count);
	dyn_rows_rewind(rows);
	while (sample.rows < SAMPLE_ROWS && tuplestore_skiptuples(rows->store, gap(&random, taken), true) &&
		   dyn_rows_next(rows, slot))
	{
		Datum		value = slot->tts_values[column];

		sample.rows++;
		if (!slot->tts_isnull[column])
		{
			hashes[sample.values] = dyn_image_hash(value, false, att->attbyval, att->attlen);
			if (sample.values++ % SORT_EACH == 0 &&
				(att->attbyval || datumGetSize(value, false, att->attlen) <= WIDEST_BOUND))
				sample.some[sample.nsome++] = datumCopy(value, att->attbyval, att->attlen);
		}
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

static int
compare_values(const void *a, const void *b, void *arg)
{
	return ApplySortComparator(*(const Datum *) a, false, *(const Datum *) b, false, arg);
}

/*
 * Bounds between which equally many of the values lie, as the histogram.  Of the
 * server's own simple types: the order of another may be dear, or raise an error.
 */
static void
add_bounds(Sample *sample, DynColumnStatistics *statistics)
{
	Form_pg_attribute att = statistics->att;
	Oid			less = InvalidOid;
	SortSupportData order = {.ssup_cxt = CurrentMemoryContext, .ssup_collation = att->attcollation};
	int			n = 0;

	if (att->atttypid < FirstGenbkiObjectId && get_typtype(att->atttypid) == TYPTYPE_BASE &&
		!OidIsValid(get_element_type(att->atttypid)))
		less = lookup_type_cache(att->atttypid, TYPECACHE_LT_OPR)->lt_opr;

	/* where some are too wide the others are not all */
	if (!OidIsValid(less) || sample->nsome < 2 || sample->nsome < (sample->values - 1) / SORT_EACH)
		return;
	PrepareSortSupportFromOrderingOp(less, &order);
	qsort_arg(sample->some, sample->nsome, sizeof(Datum), compare_values, &order);
	for (int i = 0; i < sample->nsome; i += BOUND_EACH)
		sample->some[n++] = sample->some[i];
	if ((sample->nsome - 1) % BOUND_EACH != 0)
		sample->some[n++] = sample->some[sample->nsome - 1];
	if (n < 2)
		return;
	statistics->kind = STATISTIC_KIND_HISTOGRAM;
	statistics->operator = less;
	statistics->values = sample->some;
	statistics->nvalues = n;
}
