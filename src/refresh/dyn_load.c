/*
 * dyn_load.c
 *	  Filling a table that is empty with the rows of a query.
 *
 * As CREATE TABLE AS does it: the query is run as a SELECT, which may be
 * parallel where INSERT ... SELECT may not, and its rows are written here, many
 * at a time.  Indexes, of which the table is then told to have none, are built
 * afterwards from all rows.  A table that would have more done with a row than
 * to store it (a user's triggers and constraints), or whose types are not the
 * query's, gets its rows by an INSERT.
 */
#include <postgres.h>

#include <access/heapam.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <executor/executor.h>
#include <utils/builtins.h>
#include <utils/rel.h>

#include "capture/dyn_capture.h"
#include "refresh/dyn_evaluate.h"
#include "refresh/dyn_load.h"
#include "refresh/dyn_target.h"

/* So many rows, or bytes of them, are written at a time. */
#define BATCH_ROWS	500
#define BATCH_BYTES	65536

struct DynLoad
{
	DynExecution *execution;
	Relation	rel;
	bool		reindex;
	bool		begun;			/* a row has come */
	bool		direct;			/* rows go to the table at once */
	int64		rows;

	TupleTableSlot *batch[BATCH_ROWS];
	int			nbatch;
	Size		bytes;
	BulkInsertState bulk;

	DynRows    *aside;			/* else they wait here for the INSERT */
	MemoryContext context;		/* of all these: a sink runs in the statement's */
};

static bool stores_only(Relation rel, bool emptied);
static bool same_types(Relation rel, TupleDesc desc);
static void begin(DynLoad *load, TupleDesc desc);
static void put_in_batch(DynLoad *load, TupleTableSlot *slot);
static TupleDesc aside_desc(TupleDesc desc);
static void flush(DynLoad *load);

DynLoad *
dyn_load_begin(DynExecution *execution, Oid relid, bool emptied)
{
	DynLoad    *load = palloc0(sizeof(DynLoad));

	load->execution = execution;
	load->context = CurrentMemoryContext;
	load->rel = table_open(relid, RowExclusiveLock);
	load->direct = stores_only(load->rel, emptied);
	load->reindex = emptied && load->rel->rd_rel->relhasindex;
	return load;
}

/* Is storing it all that would be done with a row? */
static bool
stores_only(Relation rel, bool emptied)
{
	return rel->rd_rel->relkind == RELKIND_RELATION && rel->trigdesc == NULL && rel->rd_att->constr == NULL &&
		(emptied || RelationGetIndexList(rel) == NIL);
}

static bool
same_types(Relation rel, TupleDesc desc)
{
	TupleDesc	own = RelationGetDescr(rel);

	if (own->natts != desc->natts)
		return false;
	for (int i = 0; i < own->natts; i++)
	{
		Form_pg_attribute to = TupleDescAttr(own, i);
		Form_pg_attribute from = TupleDescAttr(desc, i);

		if (to->attisdropped || to->atttypid != from->atttypid ||
			(to->atttypmod != -1 && to->atttypmod != from->atttypmod))
			return false;
	}
	return true;
}

void
dyn_load_sink(TupleTableSlot *slot, void *arg)
{
	DynLoad    *load = arg;
	MemoryContext old = MemoryContextSwitchTo(load->context);

	if (!load->begun)
		begin(load, slot->tts_tupleDescriptor);
	load->rows++;
	if (load->direct)
		put_in_batch(load, slot);
	else
		dyn_rows_put(load->aside, slot);
	MemoryContextSwitchTo(old);
}

/* The first row tells what the rows are. */
static void
begin(DynLoad *load, TupleDesc desc)
{
	load->begun = true;
	load->direct = load->direct && same_types(load->rel, desc);
	if (load->direct)
		load->bulk = GetBulkInsertState();
	else
		load->aside = dyn_rows_begin("x_load", aside_desc(desc), NULL);
}

static void
put_in_batch(DynLoad *load, TupleTableSlot *slot)
{
	TupleTableSlot *own = load->batch[load->nbatch];

	if (own == NULL)
		own = load->batch[load->nbatch] = table_slot_create(load->rel, NULL);
	load->nbatch++;
	slot_getallattrs(slot);
	memcpy(own->tts_values, slot->tts_values, sizeof(Datum) * own->tts_tupleDescriptor->natts);
	memcpy(own->tts_isnull, slot->tts_isnull, sizeof(bool) * own->tts_tupleDescriptor->natts);
	ExecStoreVirtualTuple(own);
	ExecMaterializeSlot(own);
	load->bytes += ExecFetchSlotHeapTuple(own, false, NULL)->t_len;
	if (load->nbatch == BATCH_ROWS || load->bytes >= BATCH_BYTES)
		flush(load);
}

static TupleDesc
aside_desc(TupleDesc desc)
{
	TupleDesc	result = CreateTupleDescCopy(desc);

	for (int i = 0; i < result->natts; i++)
		namestrcpy(&TupleDescAttr(result, i)->attname, psprintf("c%d", i + 1));
	return result;
}

/* What a refresh writes is marked for capture, as in dyn_execute.c. */
static void
flush(DynLoad *load)
{
	dyn_origin_mark();
	PG_TRY();
	{
		table_multi_insert(load->rel, load->batch, load->nbatch, GetCurrentCommandId(true), 0, load->bulk);
	}
	PG_FINALLY();
	{
		dyn_origin_unmark();
	}
	PG_END_TRY();
	for (int i = 0; i < load->nbatch; i++)
		ExecClearTuple(load->batch[i]);
	load->nbatch = 0;
	load->bytes = 0;
}

int64
dyn_load_end(DynLoad *load)
{
	char	   *name = dyn_relation_name(RelationGetRelid(load->rel));

	if (load->nbatch > 0)
		flush(load);
	for (int i = 0; i < BATCH_ROWS && load->batch[i]; i++)
		ExecDropSingleTupleTableSlot(load->batch[i]);
	if (load->bulk)
	{
		FreeBulkInsertState(load->bulk);
		table_finish_bulk_insert(load->rel, 0);
	}
	table_close(load->rel, NoLock);
	if (load->aside)
	{
		dyn_rows_register(load->aside, load->execution->env);
		(void) dyn_execute(load->execution, psprintf("INSERT INTO %s SELECT %s FROM x_load", name,
													 dyn_sql_columns(NULL, load->aside->desc->natts)), NULL, NULL);
		dyn_rows_end(load->aside);
	}
	else if (load->begun && load->reindex)
	{
		CommandCounterIncrement();
		dyn_state_ddl(psprintf("REINDEX TABLE %s", name));
	}
	return load->rows;
}
