/*
 * dyn_lookup.c
 *	  Rows of dyntable's own tables by their keys, without a statement.
 *
 * A refresh of one row asks for two dozen of them and writes three, and a
 * statement, though its plan be kept, costs as much as ten lookups in an index.
 * What is found is read as the result of a statement is (dyn_spi.h).  What is
 * written waits for others and sees what they did as UPDATE does.  Our tables
 * are heaps, have no triggers, and no constraint of theirs says anything of the
 * columns that are written here but that they are not null.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/sysattr.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <catalog/index.h>
#include <catalog/indexing.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

/* What was looked up last and is still being read. */
static DynLookup *current = NULL;
static List *rows = NIL;		/* of HeapTuple */
static TupleDesc row_desc;

/* Where the columns are that are asked for. */
static void
find_columns(DynLookup *lookup, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);

	if (lookup->relid == RelationGetRelid(table) && lookup->natts == desc->natts)
		return;
	for (int i = 0; i < DYN_MAX_COLUMNS && lookup->columns[i]; i++)
	{
		lookup->attnums[i] = strcmp(lookup->columns[i], "xmin") == 0 ? MinTransactionIdAttributeNumber :
			get_attnum(RelationGetRelid(table), lookup->columns[i]);
		if (lookup->attnums[i] == InvalidAttrNumber)
			elog(ERROR, "column \"%s\" of a dyntable catalog is missing", lookup->columns[i]);
	}
	lookup->relid = RelationGetRelid(table);
	lookup->natts = desc->natts;
}

/* Open table and index, and let the keys be for this index. */
static Relation
open_table(DynLookup *lookup, LOCKMODE mode, ScanKey keys, int nkeys, Relation *index)
{
	Oid			index_oid = get_relname_relid(lookup->index, dyn_schema_oid());
	Relation	table;

	if (!OidIsValid(index_oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation \"dyntable.%s\" does not exist", lookup->index));
	table = table_open(IndexGetRelation(index_oid, false), mode);
	*index = index_open(index_oid, AccessShareLock);
	find_columns(lookup, table);
	for (int i = 0; i < nkeys; i++)
		keys[i].sk_attno = (*index)->rd_index->indkey.values[i];
	return table;
}

/* last: only the last row in the order of the index */
static void
look_up(DynCall *call, DynLookup *lookup, ScanKey keys, int nkeys, bool last)
{
	Relation	index;
	Relation	table = open_table(lookup, AccessShareLock, keys, nkeys, &index);
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;

	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	rows = NIL;
	scan = systable_beginscan_ordered(table, index, snapshot, nkeys, keys);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, last ? BackwardScanDirection : ForwardScanDirection)))
	{
		rows = lappend(rows, heap_copytuple(tuple));
		if (last)
			break;
	}
	systable_endscan_ordered(scan);
	UnregisterSnapshot(snapshot);

	/* the table stays locked, as by a statement, and so does its descriptor */
	current = lookup;
	row_desc = CreateTupleDescCopy(RelationGetDescr(table));
	call->nrows = list_length(rows);
	index_close(index, NoLock);
	table_close(table, NoLock);
}

void
dyn_lookup_begin(DynCall *call, DynLookup *lookup, Oid key)
{
	ScanKeyData keys[1];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
	look_up(call, lookup, keys, 1, false);
}

void
dyn_lookup_begin_last(DynCall *call, DynLookup *lookup, Oid key)
{
	ScanKeyData keys[1];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
	look_up(call, lookup, keys, 1, true);
}

void
dyn_lookup_begin_2(DynCall *call, DynLookup *lookup, Oid key, int32 second)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(second));
	look_up(call, lookup, keys, 2, false);
}

void
dyn_lookup_end(DynCall *call)
{
	dyn_lookup_close();
}

List *
dyn_lookup_oids(DynLookup *lookup, Oid key)
{
	DynCall		call;
	List	   *oids = NIL;

	dyn_lookup_begin(&call, lookup, key);
	for (uint64 row = 0; row < call.nrows; row++)
		oids = lappend_oid(oids, dyn_spi_oid(row, 1));
	dyn_lookup_end(&call);
	return oids;
}

bool
dyn_lookup_open(void)
{
	return current != NULL;
}

void
dyn_lookup_close(void)
{
	current = NULL;
}

void
dyn_lookup_version(uint64 row, DynRowVersion *version)
{
	HeapTuple	tuple = list_nth(rows, row);

	version->tid = tuple->t_self;
	version->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
}

bool
dyn_same_version(DynRowVersion a, DynRowVersion b)
{
	return a.xmin == b.xmin && ItemPointerEquals(&a.tid, &b.tid);
}

Datum
dyn_lookup_datum(uint64 row, int column, bool *isnull)
{
	return heap_getattr((HeapTuple) list_nth(rows, row), current->attnums[column - 1], row_desc, isnull);
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

/* Whether a row is there still; it is then locked, in its latest version. */
static bool
lock_row(DynRow *row, ItemPointer tid, Snapshot snapshot)
{
	bool		latest = !IsolationUsesXactSnapshot();
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(row->table, tid, snapshot, row->slot, GetCurrentCommandId(true),
							  LockTupleNoKeyExclusive, LockWaitBlock,
							  latest ? TUPLE_LOCK_FLAG_FIND_LAST_VERSION : 0, &failure);
	if (result == TM_Ok)
		return true;
	if (!latest && (result == TM_Updated || result == TM_Deleted))
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg(result == TM_Updated ? "could not serialize access due to concurrent update" :
					   "could not serialize access due to concurrent delete"));
	if (result != TM_Deleted)
		elog(ERROR, "unexpected result %d of locking a row of a dyntable catalog", (int) result);
	return false;
}

/* The last of the rows that the keys name, locked; false: there is none, and nothing to end. */
static bool
begin_row(DynRow *row, DynLookup *lookup, ScanKey keys, int nkeys)
{
	Relation	index;
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	dyn_lookup_close();
	row->lookup = lookup;
	row->table = open_table(lookup, RowExclusiveLock, keys, nkeys, &index);
	row->slot = table_slot_create(row->table, NULL);
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	scan = systable_beginscan_ordered(row->table, index, snapshot, nkeys, keys);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	found = HeapTupleIsValid(tuple) && lock_row(row, &tuple->t_self, snapshot);
	systable_endscan_ordered(scan);
	UnregisterSnapshot(snapshot);
	index_close(index, NoLock);
	if (!found)
		dyn_row_end(row);
	return found;
}

bool
dyn_row_begin(DynRow *row, DynLookup *lookup, Oid key)
{
	ScanKeyData keys[1];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
	return begin_row(row, lookup, keys, 1);
}

bool
dyn_row_begin_2(DynRow *row, DynLookup *lookup, Oid key, Oid second)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(second));
	return begin_row(row, lookup, keys, 2);
}

Datum
dyn_row_datum(DynRow *row, int column, bool *isnull)
{
	return slot_getattr(row->slot, row->lookup->attnums[column - 1], isnull);
}

/* Values and nulls in the order of the lookup's columns, brought to that of the table's. */
static void
arrange(const DynLookup *lookup, const Datum *values, const char *nulls, int count,
		Datum *by_attnum, bool *null_by_attnum, bool *given)
{
	for (int i = 0; i < count; i++)
	{
		int			at = lookup->attnums[i] - 1;

		by_attnum[at] = values[i];
		null_by_attnum[at] = nulls != NULL && nulls[i] == 'n';
		given[at] = true;
	}
}

void
dyn_row_update(DynRow *row, const Datum *values, const char *nulls, int count)
{
	TupleDesc	desc = RelationGetDescr(row->table);
	Datum	   *columns = palloc0(sizeof(Datum) * desc->natts);
	bool	   *isnull = palloc0(sizeof(bool) * desc->natts);
	bool	   *given = palloc0(sizeof(bool) * desc->natts);
	bool		free_before;
	HeapTuple	before = ExecFetchSlotHeapTuple(row->slot, false, &free_before);
	HeapTuple	after;

	arrange(row->lookup, values, nulls, count, columns, isnull, given);
	after = heap_modify_tuple(before, desc, columns, isnull, given);
	CatalogTupleUpdate(row->table, &row->slot->tts_tid, after);
	row->updated.tid = after->t_self;
	row->updated.xmin = HeapTupleHeaderGetRawXmin(after->t_data);
	heap_freetuple(after);
	if (free_before)
		heap_freetuple(before);
	dyn_row_end(row);
}

void
dyn_row_end(DynRow *row)
{
	ExecDropSingleTupleTableSlot(row->slot);
	table_close(row->table, NoLock);
	CommandCounterIncrement();
}

void
dyn_row_insert(DynLookup *lookup, const Datum *values, const char *nulls, int count)
{
	Relation	index;
	Relation	table = open_table(lookup, RowExclusiveLock, NULL, 0, &index);
	TupleDesc	desc = RelationGetDescr(table);
	Datum	   *columns = palloc0(sizeof(Datum) * desc->natts);
	bool	   *isnull = palloc(sizeof(bool) * desc->natts);
	bool	   *given = palloc0(sizeof(bool) * desc->natts);
	HeapTuple	tuple;

	dyn_lookup_close();
	index_close(index, NoLock);
	memset(isnull, true, sizeof(bool) * desc->natts);
	arrange(lookup, values, nulls, count, columns, isnull, given);
	tuple = heap_form_tuple(desc, columns, isnull);
	CatalogTupleInsert(table, tuple);
	heap_freetuple(tuple);
	table_close(table, NoLock);
	CommandCounterIncrement();
}
