/*
 * dyn_bulk.c
 *	  Rows of a table taken away, stored and put in place of others, not by statements.
 *
 * As COPY does it: rows are written a page at a time, and entered in the
 * indexes one by one.  Where most rows of a table change that takes half of
 * what an UPDATE takes, whose new rows find no room beside the old ones; where
 * they find it they are stored there, without entries in indexes.
 * Readers notice as little of it as of statements.
 *
 * A table that would have more done with a row (a user's triggers and
 * constraints) gets its rows by statements.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/heapam.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <catalog/index.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <storage/bufmgr.h>
#include <utils/snapmgr.h>

#include "capture/dyn_capture.h"
#include "compat/dyn_compat.h"
#include "refresh/dyn_bulk.h"
#include "refresh/dyn_phases.h"

/* So many rows, or bytes of them, are written at a time. */
#define BATCH_ROWS	500
#define BATCH_BYTES	65536

struct DynBulk
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *result;
	bool		indexed;
	BulkInsertState state;
	MemoryContext context;		/* of the slots */
	DynPhase	phase;			/* in which a batch is written */

	TupleTableSlot *batch[BATCH_ROWS];
	Oid			key_index[BATCH_ROWS];
	ItemPointerData place[BATCH_ROWS];	/* of the row that it replaces; invalid: of none */
	int			nbatch;
	Size		bytes;
	TupleTableSlot *updated;	/* a row in place of another */
	BlockNumber block;			/* of the one before; */
	Size		room;			/* what is left there */
};

static void lost(void);
static void fill(DynBulk *bulk, TupleTableSlot *slot, Datum *values, bool *isnull);
static void replace(DynBulk *bulk, ItemPointer place, TupleTableSlot *slot, Oid key_index);
static void put(DynBulk *bulk, ItemPointer place, Datum *values, bool *isnull, Oid key_index);
static int	replace_beside(DynBulk *bulk);
static bool take_room(DynBulk *bulk, ItemPointer place, Size size);
static void enter(DynBulk *bulk, TupleTableSlot *slot, Oid key_index, const DynIndexUpdate *update);

bool
dyn_bulk_can(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		can = rel->rd_rel->relkind == RELKIND_RELATION && rel->trigdesc == NULL && rel->rd_att->constr == NULL;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		can &= !index->rd_index->indisexclusion && index->rd_index->indimmediate;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return can;
}

bool
dyn_bulk_fits(Relation rel, TupleDesc desc, int first)
{
	TupleDesc	own = RelationGetDescr(rel);

	for (int i = 0; i < own->natts; i++)
	{
		Form_pg_attribute to = TupleDescAttr(own, i);
		Form_pg_attribute from;

		if (to->attisdropped)
			continue;
		if (first >= desc->natts)
			return false;
		from = TupleDescAttr(desc, first++);
		if (to->atttypid != from->atttypid || (to->atttypmod != -1 && to->atttypmod != from->atttypmod))
			return false;
	}
	return true;
}

DynBulk *
dyn_bulk_begin(Relation rel, bool indexed)
{
	DynBulk    *bulk = palloc0(sizeof(DynBulk));

	bulk->rel = rel;
	bulk->indexed = indexed;
	bulk->block = InvalidBlockNumber;
	bulk->context = CurrentMemoryContext;
	bulk->phase = dyn_phase_running();
	bulk->estate = CreateExecutorState();
	bulk->result = makeNode(ResultRelInfo);
	InitResultRelInfo(bulk->result, rel, 1, NULL, 0);
	if (indexed)
		ExecOpenIndices(bulk->result, false);
	bulk->state = GetBulkInsertState();
	return bulk;
}

/* What a refresh writes is marked for capture, as in dyn_execute.c. */
bool
dyn_bulk_delete(DynBulk *bulk, ItemPointer place)
{
	TM_FailureData failure;
	volatile TM_Result result = TM_Ok;

	CHECK_FOR_INTERRUPTS();
	dyn_origin_mark();
	PG_TRY();
	{
		result = table_tuple_delete(bulk->rel, place, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
									true, &failure, false);
	}
	PG_FINALLY();
	{
		dyn_origin_unmark();
	}
	PG_END_TRY();
	if (result != TM_Ok && result != TM_SelfModified)
		lost();
	return result == TM_Ok;
}

static void
lost(void)
{
	ereport(ERROR,
			errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			errmsg("could not serialize access due to concurrent update"));
}

void
dyn_bulk_update(DynBulk *bulk, ItemPointer place, Datum *values, bool *isnull, Oid key_index)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->context);

	CHECK_FOR_INTERRUPTS();
	if (bulk->updated == NULL)
		bulk->updated = table_slot_create(bulk->rel, NULL);
	fill(bulk, bulk->updated, values, isnull);
	MemoryContextSwitchTo(GetPerTupleMemoryContext(bulk->estate));
	replace(bulk, place, bulk->updated, key_index);
	MemoryContextSwitchTo(old);
	ResetPerTupleExprContext(bulk->estate);
	ExecClearTuple(bulk->updated);
}

static void
replace(DynBulk *bulk, ItemPointer place, TupleTableSlot *slot, Oid key_index)
{
	TM_FailureData failure;
	LockTupleMode lock;
	DynIndexUpdate update;
	volatile TM_Result result = TM_Ok;

	dyn_origin_mark();
	PG_TRY();
	{
		result = table_tuple_update(bulk->rel, place, slot, GetCurrentCommandId(true), GetActiveSnapshot(),
									InvalidSnapshot, true, &failure, &lock, &update);
		if (result == TM_Ok && bulk->indexed)
			enter(bulk, slot, key_index, &update);
	}
	PG_FINALLY();
	{
		dyn_origin_unmark();
	}
	PG_END_TRY();
	if (result != TM_Ok)
		lost();
}

/* Make a row of the values, of its own memory. */
static void
fill(DynBulk *bulk, TupleTableSlot *slot, Datum *values, bool *isnull)
{
	TupleDesc	desc = RelationGetDescr(bulk->rel);
	int			next = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		bool		dropped = TupleDescAttr(desc, i)->attisdropped;

		slot->tts_isnull[i] = dropped || isnull[next];
		slot->tts_values[i] = dropped ? (Datum) 0 : values[next];
		next += !dropped;
	}
	ExecStoreVirtualTuple(slot);
	ExecMaterializeSlot(slot);
}

void
dyn_bulk_insert(DynBulk *bulk, Datum *values, bool *isnull, Oid key_index)
{
	put(bulk, NULL, values, isnull, key_index);
}

void
dyn_bulk_replace(DynBulk *bulk, ItemPointer place, Datum *values, bool *isnull, Oid key_index)
{
	put(bulk, place, values, isnull, key_index);
}

static void
put(DynBulk *bulk, ItemPointer place, Datum *values, bool *isnull, Oid key_index)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->context);
	TupleTableSlot *slot = bulk->batch[bulk->nbatch];

	CHECK_FOR_INTERRUPTS();
	if (slot == NULL)
		slot = bulk->batch[bulk->nbatch] = table_slot_create(bulk->rel, NULL);
	fill(bulk, slot, values, isnull);
	bulk->bytes += ExecFetchSlotHeapTuple(slot, false, NULL)->t_len;
	if (place)
		bulk->place[bulk->nbatch] = *place;
	else
		ItemPointerSetInvalid(&bulk->place[bulk->nbatch]);
	bulk->key_index[bulk->nbatch++] = key_index;
	MemoryContextSwitchTo(old);
	if (bulk->nbatch == BATCH_ROWS || bulk->bytes >= BATCH_BYTES)
		dyn_bulk_flush(bulk);
}

void
dyn_bulk_flush(DynBulk *bulk)
{
	DynPhase	phase = dyn_phase_enter(bulk->phase);
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(bulk->estate));
	int			n = replace_beside(bulk);

	dyn_origin_mark();
	PG_TRY();
	{
		if (n > 0)
			table_multi_insert(bulk->rel, bulk->batch, n, GetCurrentCommandId(true), 0, bulk->state);
		for (int i = 0; bulk->indexed && i < n; i++)
			enter(bulk, bulk->batch[i], bulk->key_index[i], NULL);
	}
	PG_FINALLY();
	{
		dyn_origin_unmark();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	ResetPerTupleExprContext(bulk->estate);
	for (int i = 0; i < bulk->nbatch; i++)
		ExecClearTuple(bulk->batch[i]);
	bulk->nbatch = 0;
	bulk->bytes = 0;
	(void) dyn_phase_enter(phase);
}

/*
 * Of a batch what replaces a row, beside it where its page has room for that.  The
 * others, for which the row they replace is taken away, come to stand first: how
 * many they are.
 */
static int
replace_beside(DynBulk *bulk)
{
	int			n = 0;

	for (int i = 0; i < bulk->nbatch; i++)
	{
		TupleTableSlot *slot = bulk->batch[i];
		ItemPointer place = &bulk->place[i];

		if (ItemPointerIsValid(place))
		{
			if (take_room(bulk, place, ExecFetchSlotHeapTuple(slot, false, NULL)->t_len))
			{
				replace(bulk, place, slot, bulk->key_index[i]);
				continue;
			}
			(void) dyn_bulk_delete(bulk, place);
		}
		bulk->batch[i] = bulk->batch[n];
		bulk->batch[n] = slot;
		bulk->key_index[n++] = bulk->key_index[i];
	}
	return n;
}

/* Is there room for a row of this size on the page?  Where that is wrong an update still finds a place. */
static bool
take_room(DynBulk *bulk, ItemPointer place, Size size)
{
	BlockNumber block = ItemPointerGetBlockNumber(place);

	if (block != bulk->block)
	{
		Buffer		buffer = ReadBuffer(bulk->rel, block);

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		bulk->room = PageGetHeapFreeSpace(BufferGetPage(buffer));
		bulk->block = block;
		UnlockReleaseBuffer(buffer);
	}
	if (MAXALIGN(size) > bulk->room)
		return false;
	bulk->room -= Min(MAXALIGN(size) + sizeof(ItemIdData), bulk->room);
	return true;
}

/* Enter a row in the indexes; update: in those that the change of a row asks for. */
static void
enter(DynBulk *bulk, TupleTableSlot *slot, Oid key_index, const DynIndexUpdate *update)
{
	if (update && !dyn_index_any(*update))
		return;
	GetPerTupleExprContext(bulk->estate)->ecxt_scantuple = slot;
	for (int i = 0; i < bulk->result->ri_NumIndices; i++)
	{
		Relation	index = bulk->result->ri_IndexRelationDescs[i];
		IndexInfo  *info = bulk->result->ri_IndexRelationInfo[i];
		bool		look = index->rd_index->indisunique && RelationGetRelid(index) != key_index;
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		if (!info->ii_ReadyForInserts || (update && !dyn_index_wants(*update, info)))
			continue;
		if (info->ii_Predicate != NIL)
		{
			if (info->ii_PredicateState == NULL)
			{
				MemoryContext old = MemoryContextSwitchTo(bulk->estate->es_query_cxt);

				info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, bulk->estate);
				MemoryContextSwitchTo(old);
			}
			if (!ExecQual(info->ii_PredicateState, GetPerTupleExprContext(bulk->estate)))
				continue;
		}
		FormIndexDatum(info, slot, bulk->estate, values, isnull);
		(void) index_insert(index, values, isnull, &slot->tts_tid, bulk->rel,
							look ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
							update && RelationGetRelid(index) == key_index, info);
	}
}

void
dyn_bulk_end(DynBulk *bulk)
{
	if (bulk->nbatch > 0)
		dyn_bulk_flush(bulk);
	for (int i = 0; i < BATCH_ROWS && bulk->batch[i]; i++)
		ExecDropSingleTupleTableSlot(bulk->batch[i]);
	if (bulk->updated)
		ExecDropSingleTupleTableSlot(bulk->updated);
	FreeBulkInsertState(bulk->state);
	table_finish_bulk_insert(bulk->rel, 0);
	if (bulk->indexed)
		ExecCloseIndices(bulk->result);
	FreeExecutorState(bulk->estate);
	pfree(bulk);
}
