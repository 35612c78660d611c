/*
 * dyn_rows.c
 *	  Rows on their way, and the identity of rows by image.
 *
 * Two rows are the same when each column has the same bytes after
 * decompression: 1.0 and 1.00 differ, and json, xml and point, which have no
 * equality in SQL, can be compared.  The server's record_image_eq means the
 * same.
 */
#include <postgres.h>

#include <access/detoast.h>
#include <access/htup_details.h>
#include <common/hashfn.h>
#include <executor/executor.h>
#include <executor/nodeHash.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/datum.h>
#include <utils/memutils.h>
#include <utils/typcache.h>

#include "refresh/dyn_rows.h"

PG_FUNCTION_INFO_V1(dyntable_row_hash);

/*
 * The planner takes rows on their way for no fewer than these.  For a single one it
 * would read through a table as readily as look it up, and that plan would serve no
 * larger delta (dyn_kept.c); what it makes for a few serves for one as well.
 */
#define FEW_ROWS 8

/* One of the distinct rows while a delta is consolidated. */
typedef struct Distinct
{
	MinimalTuple tuple;
	uint64		hash;
	int64		weight;
	struct Distinct *next;		/* in the bucket */
	struct Distinct *later;		/* in order of arrival */
} Distinct;

typedef struct Consolidation
{
	DynRows    *rows;			/* the result */
	Distinct  **buckets;
	uint32		nbuckets;
	Distinct   *first;
	Distinct   *last;
	MemoryContext context;		/* lives for one pass over a part */
	TupleTableSlot *probe;
	TupleTableSlot *candidate;
} Consolidation;

static void consolidate_pass(Consolidation *work, DynRows *part, const DynPass *pass);
static Distinct *find_distinct(Consolidation *work, uint64 hash);
static bool same_identity(DynRows *rows, TupleTableSlot *a, TupleTableSlot *b);
static uint64 identity_hash(DynRows *rows, TupleTableSlot *slot, void *arg);
static void fetch_values(DynSigned *target);
static void count_row(DynRows *rows, TupleTableSlot *slot);
static DynRows *begin_rows(const char *name, TupleDesc desc, const bool *identity, int kilobytes);

/*
 * As many parts at most, each with so much memory before it spills: together
 * no more than work_mem by default.
 */
#define MAX_PARTS		128
#define PART_KILOBYTES	64

/*
 * Rows that spill lie in files that belong to a resource owner.  Between
 * dyn_rows_open and dyn_rows_close it is one of their own: rows are many and
 * end together, and at the end of a transaction the server would complain
 * about each file that was left.  An error closes them with the transaction.
 */
static ResourceOwner rows_owner = NULL;

ResourceOwner
dyn_rows_open(void)
{
	ResourceOwner outer = rows_owner;

	rows_owner = ResourceOwnerCreate(CurrentResourceOwner, "dyntable rows");
	return outer;
}

void
dyn_rows_close(void)
{
	ResourceOwnerRelease(rows_owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
	ResourceOwnerRelease(rows_owner, RESOURCE_RELEASE_LOCKS, false, false);
	ResourceOwnerRelease(rows_owner, RESOURCE_RELEASE_AFTER_LOCKS, false, false);
	ResourceOwnerDelete(rows_owner);
	rows_owner = NULL;
}

void
dyn_rows_restore(ResourceOwner outer)
{
	rows_owner = outer;
}

static Tuplestorestate *
begin_store(int kilobytes)
{
	ResourceOwner current = CurrentResourceOwner;
	Tuplestorestate *store;

	if (rows_owner)
		CurrentResourceOwner = rows_owner;
	store = tuplestore_begin_heap(true, false, kilobytes);
	CurrentResourceOwner = current;
	return store;
}

DynRows *
dyn_rows_begin(const char *name, TupleDesc desc, const bool *identity)
{
	return begin_rows(name, desc, identity, work_mem);
}

DynRows *
dyn_rows_begin_part(const char *name, TupleDesc desc, int kilobytes)
{
	return begin_rows(name, desc, NULL, kilobytes);
}

static DynRows *
begin_rows(const char *name, TupleDesc desc, const bool *identity, int kilobytes)
{
	DynRows    *rows = palloc0(sizeof(DynRows));

	rows->name = pstrdup(name);
	rows->desc = desc;
	rows->context = CurrentMemoryContext;
	rows->store = begin_store(kilobytes);
	rows->has_null = palloc0(sizeof(bool) * Max(desc->natts, 1));
	if (identity)
	{
		rows->identity = palloc(sizeof(bool) * desc->natts);
		memcpy(rows->identity, identity, sizeof(bool) * (desc->natts - 1));
	}
	return rows;
}

#ifdef USE_ASSERT_CHECKING
/* Are the columns that a statement yields of types that are stored as those of the rows? */
static bool
stored_alike(TupleDesc given, TupleDesc wanted)
{
	for (int i = 0; i < wanted->natts; i++)
		if (i >= given->natts || TupleDescAttr(given, i)->attlen != TupleDescAttr(wanted, i)->attlen ||
			TupleDescAttr(given, i)->attbyval != TupleDescAttr(wanted, i)->attbyval)
			return false;
	return true;
}
#endif

void
dyn_rows_put(DynRows *rows, TupleTableSlot *slot)
{
	Assert(rows->count > 0 || stored_alike(slot->tts_tupleDescriptor, rows->desc));
	slot_getallattrs(slot);
	if (rows->identity && slot->tts_values[0] == Int64GetDatum(0))
		return;
	count_row(rows, slot);
	tuplestore_putvalues(rows->store, rows->desc, slot->tts_values, slot->tts_isnull);
}

void
dyn_rows_sink(TupleTableSlot *slot, void *arg)
{
	dyn_rows_put(arg, slot);
}

DynSigned *
dyn_rows_signed(DynRows *rows)
{
	DynSigned  *result = palloc0(sizeof(DynSigned));

	result->rows = rows;
	result->values = palloc(sizeof(Datum) * rows->desc->natts);
	result->isnull = palloc(sizeof(bool) * rows->desc->natts);
	return result;
}

void
dyn_rows_signed_sink(TupleTableSlot *slot, void *arg)
{
	DynSigned  *target = arg;
	int			n = target->rows->desc->natts - 1;

	slot_getallattrs(slot);
	target->values[0] = Int64GetDatum(target->weight);
	target->isnull[0] = false;
	memcpy(target->values + 1, slot->tts_values, sizeof(Datum) * n);
	memcpy(target->isnull + 1, slot->tts_isnull, sizeof(bool) * n);
	if (target->inlined)
		fetch_values(target);
	dyn_rows_put_values(target->rows, target->values, target->isnull);
	if (target->inlined)
		for (int i = 1; i <= n; i++)
			if (target->values[i] != slot->tts_values[i - 1])
				pfree(DatumGetPointer(target->values[i]));
}

/* Fetch what is stored out of line. */
static void
fetch_values(DynSigned *target)
{
	TupleDesc	desc = target->rows->desc;

	for (int i = 1; i < desc->natts; i++)
		if (!target->isnull[i] && TupleDescAttr(desc, i)->attlen == -1 &&
			VARATT_IS_EXTERNAL(DatumGetPointer(target->values[i])))
			target->values[i] =
				PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(target->values[i])));
}

void
dyn_rows_put_values(DynRows *rows, Datum *values, bool *isnull)
{
	TupleTableSlot slot = {.tts_values = values, .tts_isnull = isnull};

	count_row(rows, &slot);
	tuplestore_putvalues(rows->store, rows->desc, values, isnull);
}

static void
count_row(DynRows *rows, TupleTableSlot *slot)
{
	rows->count++;
	for (int i = 0; i < rows->desc->natts; i++)
		rows->has_null[i] |= slot->tts_isnull[i];
	if (rows->identity)
	{
		int64		weight = DatumGetInt64(slot->tts_values[0]);

		if (weight > 0)
			rows->plus++;
		else
			rows->minus++;
		rows->repeated |= weight > 1 || weight < -1;
	}
}

/* ------------------------------------------------------------------------
 * Parts
 * ------------------------------------------------------------------------
 */

/* How many tables of rows are needed for so many; about a hundred bytes for a small row and its entry. */
static uint32
tables_needed(const DynRows *rows, int64 count)
{
	return 1 + (uint32) (count * (100 + 8 * rows->desc->natts) / get_hash_memory_limit());
}

List *
dyn_rows_scatter(DynRows *rows, int64 count, DynRowHash hash, void *arg)
{
	uint32		nparts = Min(tables_needed(rows, count), MAX_PARTS);
	TupleTableSlot *slot;
	DynRows   **parts;
	List	   *result = NIL;

	if (nparts == 1)
		return list_make1(rows);
	parts = palloc(sizeof(DynRows *) * nparts);
	for (uint32 i = 0; i < nparts; i++)
		result = lappend(result, parts[i] = begin_rows(rows->name, rows->desc, rows->identity, PART_KILOBYTES));
	slot = dyn_rows_slot(rows);
	dyn_rows_rewind(rows);
	while (dyn_rows_next(rows, slot))
		dyn_rows_put(parts[((hash(rows, slot, arg) >> 32) & 0xffff) % nparts], slot);
	ExecDropSingleTupleTableSlot(slot);
	pfree(parts);
	return result;
}

DynPass
dyn_rows_first_pass(const DynRows *part, int64 count)
{
	DynPass		pass = {0};

	pass.npasses = tables_needed(part, count);
	/* parts are not all of one size: rather a little more memory than another pass */
	if (pass.npasses == 2)
		pass.npasses = 1;
	pass.nbuckets = pg_nextpower2_32(Max(16, (uint32) Min(count / pass.npasses, 1 << 24)));
	return pass;
}

/* By other bits than those of the parts. */
bool
dyn_rows_in_pass(const DynPass *pass, uint64 hash)
{
	return (hash >> 48) % pass->npasses == pass->no;
}

/* ------------------------------------------------------------------------
 * Consolidation, by hashing
 * ------------------------------------------------------------------------
 */
void
dyn_rows_consolidate(DynRows *rows)
{
	if (rows->plus > 0 && rows->minus > 0)
		dyn_rows_unite(rows);
}

void
dyn_rows_unite(DynRows *rows)
{
	Consolidation work = {0};
	DynRows    *source = palloc(sizeof(DynRows));
	List	   *parts;
	ListCell   *lc;

	*source = *rows;
	parts = dyn_rows_scatter(source, source->count, identity_hash, NULL);
	if (list_length(parts) > 1)
		dyn_rows_end(source);
	work.rows = rows;
	work.probe = dyn_rows_slot(rows);
	work.candidate = dyn_rows_slot(rows);
	work.context = AllocSetContextCreate(CurrentMemoryContext, "dyntable consolidation",
										 ALLOCSET_DEFAULT_SIZES);

	rows->store = begin_store(work_mem);
	rows->count = rows->plus = rows->minus = 0;
	rows->repeated = rows->placed = false;
	memset(rows->has_null, 0, sizeof(bool) * rows->desc->natts);
	foreach(lc, parts)
	{
		DynRows    *part = lfirst(lc);
		DynPass		pass = dyn_rows_first_pass(part, part->count);

		for (; pass.no < pass.npasses; pass.no++)
			consolidate_pass(&work, part, &pass);
		dyn_rows_end(part);
	}
	ExecDropSingleTupleTableSlot(work.probe);
	ExecDropSingleTupleTableSlot(work.candidate);
	MemoryContextDelete(work.context);
	list_free(parts);
	pfree(source);
}

static void
consolidate_pass(Consolidation *work, DynRows *part, const DynPass *pass)
{
	DynRows    *rows = work->rows;
	MemoryContext old = MemoryContextSwitchTo(work->context);

	work->nbuckets = pass->nbuckets;
	work->buckets = palloc0(sizeof(Distinct *) * work->nbuckets);
	work->first = work->last = NULL;
	dyn_rows_rewind(part);
	while (dyn_rows_next(part, work->probe))
	{
		uint64		hash = identity_hash(rows, work->probe, NULL);
		Distinct   *entry;
		int64		weight = DatumGetInt64(work->probe->tts_values[0]);

		if (!dyn_rows_in_pass(pass, hash))
			continue;
		entry = find_distinct(work, hash);
		entry->weight += weight;

		/* columns outside the identity come from what is added */
		if (weight > 0 && memchr(rows->identity, false, rows->desc->natts - 1))
			entry->tuple = ExecCopySlotMinimalTuple(work->probe);
	}
	MemoryContextSwitchTo(old);

	for (Distinct *entry = work->first; entry; entry = entry->later)
	{
		if (entry->weight == 0)
			continue;
		ExecStoreMinimalTuple(entry->tuple, work->probe, false);
		slot_getallattrs(work->probe);
		work->probe->tts_values[0] = Int64GetDatum(entry->weight);
		count_row(rows, work->probe);
		tuplestore_putvalues(rows->store, rows->desc, work->probe->tts_values, work->probe->tts_isnull);
		ExecClearTuple(work->probe);
	}
	ExecClearTuple(work->candidate);
	MemoryContextReset(work->context);
}

/* The entry of the row in work->probe, made when there is none. */
static Distinct *
find_distinct(Consolidation *work, uint64 hash)
{
	Distinct  **bucket = &work->buckets[hash & (work->nbuckets - 1)];
	Distinct   *entry;

	for (entry = *bucket; entry; entry = entry->next)
	{
		if (entry->hash != hash)
			continue;
		ExecStoreMinimalTuple(entry->tuple, work->candidate, false);
		slot_getallattrs(work->candidate);
		if (same_identity(work->rows, work->candidate, work->probe))
			return entry;
	}
	entry = palloc0(sizeof(Distinct));
	entry->hash = hash;
	entry->tuple = ExecCopySlotMinimalTuple(work->probe);
	entry->next = *bucket;
	*bucket = entry;
	if (work->last)
		work->last->later = entry;
	else
		work->first = entry;
	work->last = entry;
	return entry;
}

static bool
same_identity(DynRows *rows, TupleTableSlot *a, TupleTableSlot *b)
{
	for (int i = 1; i < rows->desc->natts; i++)
	{
		if (rows->identity[i - 1] &&
			!dyn_image_same(a->tts_values[i], a->tts_isnull[i], b->tts_values[i], b->tts_isnull[i],
							TupleDescAttr(rows->desc, i)))
			return false;
	}
	return true;
}

uint64
dyn_rows_hash(DynRows *rows, TupleTableSlot *slot)
{
	uint64		hash = 0;

	slot_getallattrs(slot);
	for (int i = 1; i < rows->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rows->desc, i);

		if (rows->identity[i - 1])
			hash = hash_combine64(hash, dyn_image_hash(slot->tts_values[i], slot->tts_isnull[i],
													   att->attbyval, att->attlen));
	}
	return hash;
}

static uint64
identity_hash(DynRows *rows, TupleTableSlot *slot, void *arg)
{
	return dyn_rows_hash(rows, slot);
}

uint64
dyn_image_hash(Datum value, bool isnull, bool byval, int16 typlen)
{
	if (isnull)
		return UINT64CONST(0x9e3779b97f4a7c15);
	if (byval)
		return DatumGetUInt64(hash_any_extended((unsigned char *) &value, sizeof(Datum), 0));
	if (typlen == -1)
	{
		struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);
		uint64		hash = DatumGetUInt64(hash_any_extended((unsigned char *) VARDATA_ANY(bytes),
															VARSIZE_ANY_EXHDR(bytes), 0));

		if ((Pointer) bytes != DatumGetPointer(value))
			pfree(bytes);
		return hash;
	}
	if (typlen == -2)
		return DatumGetUInt64(hash_any_extended((unsigned char *) DatumGetCString(value),
												strlen(DatumGetCString(value)), 0));
	return DatumGetUInt64(hash_any_extended((unsigned char *) DatumGetPointer(value), typlen, 0));
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------
 */
TupleTableSlot *
dyn_rows_slot(DynRows *rows)
{
	return MakeSingleTupleTableSlot(rows->desc, &TTSOpsMinimalTuple);
}

void
dyn_rows_rewind(DynRows *rows)
{
	tuplestore_select_read_pointer(rows->store, 0);
	tuplestore_rescan(rows->store);
}

bool
dyn_rows_next(DynRows *rows, TupleTableSlot *slot)
{
	CHECK_FOR_INTERRUPTS();
	tuplestore_select_read_pointer(rows->store, 0);
	if (!tuplestore_gettupleslot(rows->store, true, false, slot))
		return false;
	slot_getallattrs(slot);
	return true;
}

/* All ephemeral relations of a refresh are such. */
typedef struct Registered
{
	EphemeralNamedRelationData relation;	/* first */
	DynRows    *rows;
} Registered;

void
dyn_rows_register(DynRows *rows, QueryEnvironment *env)
{
	Registered *registered = palloc0(sizeof(Registered));
	EphemeralNamedRelation relation = &registered->relation;

	registered->rows = rows;
	rows->statistics = NULL;

	if (get_ENR(env, rows->name))
		unregister_ENR(env, rows->name);
	relation->md.name = rows->name;
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = rows->desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = Max(rows->count, FEW_ROWS);
	relation->reldata = rows->store;
	register_ENR(env, relation);
}

DynRows *
dyn_rows_registered(QueryEnvironment *env, const char *name)
{
	Registered *registered = (Registered *) get_ENR(env, name);

	return registered ? registered->rows : NULL;
}

void
dyn_rows_end(DynRows *rows)
{
	tuplestore_end(rows->store);
	rows->store = NULL;
}

/*
 * dyntable_row_hash(record): hash of a row's image.  Dropped columns do not
 * count; a column that is a composite value counts by its bytes.  NULLs count
 * for nothing, so that an index over whole rows stays right when the table is
 * given a column more.
 */
Datum
dyntable_row_hash(PG_FUNCTION_ARGS)
{
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(0);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple;
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *isnull = palloc(sizeof(bool) * desc->natts);
	uint64		hash = 0;
	int			column = 0;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, isnull);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		column++;
		if (!isnull[i])
			hash = hash_combine64(hash, dyn_image_hash(values[i], false, att->attbyval, att->attlen) + column);
	}
	ReleaseTupleDesc(desc);
	PG_RETURN_INT64((int64) hash);
}
