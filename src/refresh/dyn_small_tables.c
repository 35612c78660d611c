/*
 * dyn_small_tables.c
 *	  What the planner is told of small tables that were never analysed.
 *
 * Autovacuum passes a table by of which few rows change, as most tables of a few
 * dozen rows.  The planner then takes each value of a column for half a percent of the rows,
 * which is less than one row, so that a join of several such tables is expected to have
 * one row in whatever order, and may be begun at its widest place.  All values of
 * such a table are soon counted, once in a transaction for each column that is asked for.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/tableam.h>
#include <catalog/pg_class.h>
#include <catalog/pg_statistic.h>
#include <executor/executor.h>
#include <storage/bufmgr.h>
#include <utils/datum.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/typcache.h>

#include "refresh/dyn_rows.h"

/* What is small. */
#define SMALL_BLOCKS	16
#define SMALL_ROWS		1000

/* So many values are told, each of no more bytes. */
#define MOST_VALUES		100
#define WIDEST_VALUE	256

/* A column, in the transaction in which it was looked at. */
typedef struct TableColumn
{
	Oid			relid;
	AttrNumber	attnum;
	HeapTuple	tuple;			/* as of pg_statistic; NULL: the table is not small, or empty */
} TableColumn;

typedef struct Value
{
	uint64		hash;
	Datum		datum;
	int			count;			/* of those with this hash, in the first of them */
} Value;

typedef struct Values
{
	Form_pg_attribute att;
	Value	   *values;			/* that are not NULL */
	int			nvalues;
	int			rows;
} Values;

static List *columns = NIL;		/* of TableColumn *, in TopTransactionContext */

static HeapTuple count_column(Relation rel, AttrNumber attnum);
static bool read_values(Relation rel, Values *values);
static int	count_values(Values *values);
static void add_values(Values *values, int distinct, DynColumnStatistics *statistics);

static void
forget_columns(void *arg)
{
	columns = NIL;
}

HeapTuple
dyn_table_statistics(Oid relid, AttrNumber attnum)
{
	TableColumn *column;
	MemoryContext old;
	Relation	rel;
	ListCell   *lc;

	foreach(lc, columns)
	{
		column = lfirst(lc);
		if (column->relid == relid && column->attnum == attnum)
			return column->tuple;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	if (columns == NIL)
	{
		MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

		callback->func = forget_columns;
		MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	}
	column = palloc0(sizeof(TableColumn));
	column->relid = relid;
	column->attnum = attnum;
	rel = table_open(relid, NoLock);
	if (rel->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfBlocks(rel) <= SMALL_BLOCKS)
		column->tuple = count_column(rel, attnum);
	table_close(rel, NoLock);
	columns = lappend(columns, column);
	MemoryContextSwitchTo(old);
	return column->tuple;
}

static HeapTuple
count_column(Relation rel, AttrNumber attnum)
{
	MemoryContext result = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(result, "dyntable small table", ALLOCSET_DEFAULT_SIZES);
	Values		values = {.att = TupleDescAttr(RelationGetDescr(rel), attnum - 1)};
	HeapTuple	tuple = NULL;

	MemoryContextSwitchTo(work);
	if (read_values(rel, &values) && values.rows > 0)
	{
		int			distinct = count_values(&values);

		/* a share of the rows: the planner takes a table without statistics for larger than it is */
		DynColumnStatistics statistics = {
			.att = values.att, .null_share = 1 - (float4) values.nvalues / values.rows,
			.distinct = -(float4) distinct / values.rows
		};

		add_values(&values, distinct, &statistics);
		tuple = dyn_statistics_tuple(&statistics, result);
	}
	MemoryContextSwitchTo(result);
	MemoryContextDelete(work);
	return tuple;
}

/* All values of a column; false where there are too many.  Who changed what when does not matter. */
static bool
read_values(Relation rel, Values *values)
{
	Form_pg_attribute att = values->att;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, SnapshotSelf, 0, NULL);

	values->values = palloc(sizeof(Value) * SMALL_ROWS);
	while (values->rows <= SMALL_ROWS && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, att->attnum, &isnull);

		if (++values->rows > SMALL_ROWS || isnull)
			continue;
		if (att->attlen == -1)
			value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
		else
			value = datumCopy(value, att->attbyval, att->attlen);
		values->values[values->nvalues++] = (Value) {
			.hash = dyn_image_hash(value, false, att->attbyval, att->attlen), .datum = value
		};
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return values->rows <= SMALL_ROWS;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64		x = ((const Value *) a)->hash;
	uint64		y = ((const Value *) b)->hash;

	return x < y ? -1 : x > y;
}

static int
compare_counts(const void *a, const void *b)
{
	return ((const Value *) b)->count - ((const Value *) a)->count;
}

/* How many there are; these come first then, the most frequent one before all. */
static int
count_values(Values *values)
{
	int			distinct = 0;

	qsort(values->values, values->nvalues, sizeof(Value), compare_hashes);
	for (int i = 0; i < values->nvalues; i++)
		if (i > 0 && values->values[i].hash == values->values[distinct - 1].hash)
			values->values[distinct - 1].count++;
		else
		{
			values->values[distinct] = values->values[i];
			values->values[distinct++].count = 1;
		}
	qsort(values->values, distinct, sizeof(Value), compare_counts);
	return distinct;
}

/* The values and how many rows have each, as most common ones, where the type can tell them apart. */
static void
add_values(Values *values, int distinct, DynColumnStatistics *statistics)
{
	Form_pg_attribute att = values->att;
	Oid			equality = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR)->eq_opr;
	Datum	   *datums = palloc(sizeof(Datum) * MOST_VALUES);
	Datum	   *shares = palloc(sizeof(Datum) * MOST_VALUES);
	int			n = 0;

	if (!OidIsValid(equality))
		return;
	for (int i = 0; i < distinct && n < MOST_VALUES; i++)
	{
		Value	   *value = &values->values[i];

		if (!att->attbyval && datumGetSize(value->datum, false, att->attlen) > WIDEST_VALUE)
			continue;
		datums[n] = value->datum;
		shares[n++] = Float4GetDatum((float4) value->count / values->rows);
	}
	statistics->kind = STATISTIC_KIND_MCV;
	statistics->operator = equality;
	statistics->values = datums;
	statistics->shares = shares;
	statistics->nvalues = n;
}
