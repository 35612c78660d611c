/*
 * dyn_lookup.c
 *	  Rows of dyntable's own tables by their keys, without a statement.
 *
 * A refresh of one row asks for two dozen of them, and a statement, though its
 * plan be kept, costs as much as ten lookups in an index.  What is found is
 * read as the result of a statement is (dyn_spi.h).
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/sysattr.h>
#include <access/table.h>
#include <access/xact.h>
#include <catalog/index.h>
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

static void
look_up(DynCall *call, DynLookup *lookup, ScanKey keys, int nkeys)
{
	Oid			index_oid = get_relname_relid(lookup->index, dyn_schema_oid());
	Relation	table;
	Relation	index;
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(index_oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation \"dyntable.%s\" does not exist", lookup->index));
	table = table_open(IndexGetRelation(index_oid, false), AccessShareLock);
	index = index_open(index_oid, AccessShareLock);
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());

	find_columns(lookup, table);
	for (int i = 0; i < nkeys; i++)
		keys[i].sk_attno = index->rd_index->indkey.values[i];
	rows = NIL;
	scan = systable_beginscan_ordered(table, index, snapshot, nkeys, keys);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
		rows = lappend(rows, heap_copytuple(tuple));
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
	look_up(call, lookup, keys, 1);
}

void
dyn_lookup_begin_2(DynCall *call, DynLookup *lookup, Oid key, int32 second)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(second));
	look_up(call, lookup, keys, 2);
}

void
dyn_lookup_end(DynCall *call)
{
	dyn_lookup_close();
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

Datum
dyn_lookup_datum(uint64 row, int column, bool *isnull)
{
	return heap_getattr((HeapTuple) list_nth(rows, row), current->attnums[column - 1], row_desc, isnull);
}
