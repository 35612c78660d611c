/*
 * dyn_difference.c
 *	  The difference between what is stored and what should be.
 *
 * A table of where the stored rows are, by hashes of their keys or images, in
 * which each row of the new content looks for its like; what it finds is compared
 * as it is stored.  What finds an equal row changes nothing; of the others each
 * stored row is told with its place, so that nobody has to look for it again.
 * Where the table of places outgrows maintenance_work_mem, places and content are
 * put into parts by the hash, so that the table of a part stays within hash_mem:
 * rows then come in no order of the stored ones, nor of an index.
 *
 * Nobody else writes a dynamic table that is being refreshed, and the snapshot that
 * the stored rows were read under holds them: a place goes on being a row's.
 */
#include <postgres.h>

#include <access/tableam.h>
#include <access/tupdesc.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <executor/nodeHash.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <port/pg_bitutils.h>
#include <storage/bufmgr.h>
#include <utils/datum.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>

#include "refresh/dyn_difference.h"
#include "refresh/dyn_evaluate.h"

#define MAX_PARTS	128

/* How often it is asked whether the table has outgrown its memory. */
#define ROWS_PER_CHECK	1024

/* Stored rows are kept by so many. */
#define BLOCK_ROWS 8192

/* A stored row. */
typedef struct Stored
{
	uint64		hash;
	ItemPointerData place;
	bool		taken;			/* a row of the content has found it */
	bool		same;			/* and is equal */
	uint32		next;			/* in the bucket: its number, from 1; 0: none */
} Stored;

struct DynDifference
{
	Relation	rel;
	TupleDesc	desc;			/* w, the columns, place */
	bool	   *identity;		/* of all but w */
	bool	   *paired;			/* the columns that pair rows, in the same way */
	bool		by_key;
	bool		brief;			/* an addition stands for the retraction of what it replaces */
	uint64		bytes;
	int			nparts;			/* 0: all stored rows are in the table at once */
	DynRows   **stored;			/* the hash in place of a weight, place */
	DynRows   **content;		/* as the result, with the hash */
	DynRows    *result;
	DynReplace	write;			/* NULL: the result takes all */
	void	   *write_arg;
	int64		many;
	Datum	   *values;
	bool	   *isnull;
	MemoryContext work;			/* of the table */
	TupleTableSlot *slot;		/* the row that is looked at, */
	TupleTableSlot *read;		/* as read from a part, */
	TupleTableSlot *given;		/* or as a statement gives it */
	TupleTableSlot *row;		/* a stored one, */
	TupleTableSlot *other;		/* and as one of the result */
	Stored	  **blocks;
	uint32		nstored;
	uint32	   *buckets;
	uint32		nbuckets;
	uint32		expected;		/* behind the one that was found at last: both often come in the same order */
};

static uint64 row_hash(DynDifference *difference, const Datum *values, const bool *isnull, bool packed);
static void compare_pass(DynDifference *difference, const DynPass *pass, DynRows *stored, DynRows *content);
static void begin_table(DynDifference *difference, uint32 nbuckets);
static Stored *stored_at(DynDifference *difference, uint32 n);
static void tell_stored(DynDifference *difference);
static void enter(DynDifference *difference, uint64 hash, ItemPointer place);
static void look_up(DynDifference *difference);
static void fetch(DynDifference *difference, const Stored *entry);
static bool is_like(DynDifference *difference, const Stored *entry, uint64 hash);
static bool same(DynDifference *difference, const bool *columns);
static void replace(DynDifference *difference, Stored *entry);
static void put(DynDifference *difference, TupleTableSlot *slot, int64 weight, const ItemPointerData *place);

DynDifference *
dyn_difference_begin(const char *name, Relation rel, TupleDesc columns, const bool *identity, List *key, bool brief)
{
	DynDifference *difference = palloc0(sizeof(DynDifference));
	int			n = columns->natts;
	ListCell   *lc;

	difference->rel = rel;
	difference->desc = dyn_placed_desc(columns);
	difference->identity = palloc0(sizeof(bool) * n);
	memcpy(difference->identity, identity, sizeof(bool) * (n - 1));
	difference->by_key = key != NIL;
	difference->brief = brief;
	difference->paired = difference->identity;
	if (key != NIL)
	{
		difference->paired = palloc0(sizeof(bool) * n);
		foreach(lc, key)
			difference->paired[lfirst_int(lc) - 1] = true;
	}
	difference->values = palloc0(sizeof(Datum) * (n + 1));
	difference->isnull = palloc0(sizeof(bool) * (n + 1));
	difference->work = AllocSetContextCreate(CurrentMemoryContext, "dyntable difference", ALLOCSET_DEFAULT_SIZES);
	difference->result = dyn_rows_begin(name, difference->desc, difference->identity);
	difference->result->placed = true;
	difference->result->brief = brief;
	difference->read = dyn_rows_slot(difference->result);
	difference->given = MakeSingleTupleTableSlot(difference->desc, &TTSOpsVirtual);
	difference->row = table_slot_create(rel, NULL);
	difference->other = MakeSingleTupleTableSlot(difference->desc, &TTSOpsVirtual);

	difference->bytes = (uint64) RelationGetNumberOfBlocks(rel) * BLCKSZ;
	begin_table(difference, pg_nextpower2_32(Max(1024, (uint32) Min(difference->bytes, (uint64) maintenance_work_mem * 1024) / 64)));
	return difference;
}

char *
dyn_difference_paired(const DynDifference *difference, List *names)
{
	StringInfoData paired;
	ListCell   *lc;

	initStringInfo(&paired);
	foreach(lc, names)
		if (difference->paired[foreach_current_index(lc)])
			appendStringInfo(&paired, ", %s", (char *) lfirst(lc));
	return paired.data;
}

/* Begin parts.  A small row's place takes about as much in the table of places as the row on a page. */
static void
begin_parts(DynDifference *difference)
{
	TupleDesc	places = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(places, 1, "w", INT8OID, -1, 0);
	TupleDescInitEntry(places, 2, "place", TIDOID, -1, 0);
	difference->nparts = Min(1 + difference->bytes / get_hash_memory_limit(), MAX_PARTS);
	difference->stored = palloc(sizeof(DynRows *) * difference->nparts);
	difference->content = palloc(sizeof(DynRows *) * difference->nparts);
	for (int i = 0; i < difference->nparts; i++)
	{
		int			kilobytes = Max(64, work_mem / 2 / difference->nparts);

		difference->stored[i] = dyn_rows_begin_part("stored", places, kilobytes);
		difference->content[i] = dyn_rows_begin_part("content", difference->desc, kilobytes);
	}
}

/* Of the columns that pair rows: packed, the values of these alone; else of all columns. */
static uint64
row_hash(DynDifference *difference, const Datum *values, const bool *isnull, bool packed)
{
	TupleDesc	desc = difference->desc;
	uint64		hash = 0;
	int			next = 0;

	for (int i = 1; i < desc->natts - 1; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		int			j = packed ? next : i - 1;

		if (!difference->paired[i - 1])
			continue;
		hash = hash * UINT64CONST(0x9e3779b97f4a7c15) +
			dyn_image_hash(values[j], isnull[j], att->attbyval, att->attlen);
		next++;
	}
	return hash;
}

static DynRows *
part_of(DynDifference *difference, DynRows **parts, uint64 hash)
{
	return parts[((hash >> 32) & 0xffff) % difference->nparts];
}

static void
put_in_part(DynDifference *difference, uint64 hash, ItemPointer place)
{
	Datum		values[] = {Int64GetDatum((int64) hash), PointerGetDatum(place)};
	bool		isnull[] = {false, false};

	dyn_rows_put_values(part_of(difference, difference->stored, hash), values, isnull);
}

/* Put the places in the table into parts. */
static void
take_apart(DynDifference *difference)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(difference));

	begin_parts(difference);
	for (uint32 n = 0; n < difference->nstored; n++)
		put_in_part(difference, stored_at(difference, n)->hash, &stored_at(difference, n)->place);
	MemoryContextReset(difference->work);
	MemoryContextSwitchTo(old);
}

void
dyn_difference_stored(TupleTableSlot *slot, void *arg)
{
	DynDifference *difference = arg;
	ItemPointer place;
	uint64		hash;

	slot_getallattrs(slot);
	place = (ItemPointer) DatumGetPointer(slot->tts_values[0]);
	hash = row_hash(difference, slot->tts_values + 1, slot->tts_isnull + 1, true);
	if (difference->nparts > 0)
	{
		put_in_part(difference, hash, place);
		return;
	}
	enter(difference, hash, place);
	if (difference->nstored % ROWS_PER_CHECK == 0 &&
		(MemoryContextMemAllocated(difference->work, true) > (Size) maintenance_work_mem * 1024 ||
		 difference->nstored > PG_UINT32_MAX / 2))
		take_apart(difference);
}

/* A row with its hash in the place of a weight. */
void
dyn_difference_content(TupleTableSlot *slot, void *arg)
{
	DynDifference *difference = arg;
	TupleTableSlot *given = difference->given;
	int			n = difference->desc->natts - 2;
	uint64		hash;

	slot_getallattrs(slot);
	hash = row_hash(difference, slot->tts_values, slot->tts_isnull, false);
	ExecClearTuple(given);
	memcpy(given->tts_values + 1, slot->tts_values, sizeof(Datum) * n);
	memcpy(given->tts_isnull + 1, slot->tts_isnull, sizeof(bool) * n);
	given->tts_values[0] = Int64GetDatum((int64) hash);
	given->tts_isnull[0] = false;
	given->tts_isnull[n + 1] = true;
	ExecStoreVirtualTuple(given);
	if (difference->nparts > 0)
	{
		dyn_rows_put_values(part_of(difference, difference->content, hash), given->tts_values, given->tts_isnull);
		return;
	}
	difference->slot = given;
	look_up(difference);
}

void
dyn_difference_write(DynDifference *difference, int64 many, DynReplace write, void *arg)
{
	difference->write = write;
	difference->write_arg = arg;
	difference->many = many;
}

DynRows *
dyn_difference_end(DynDifference *difference)
{
	if (difference->nparts == 0)
		tell_stored(difference);
	for (int i = 0; i < difference->nparts; i++)
	{
		DynPass		pass = dyn_rows_first_pass(difference->stored[i], difference->stored[i]->count);

		for (; pass.no < pass.npasses; pass.no++)
		{
			MemoryContext old = MemoryContextSwitchTo(difference->work);

			compare_pass(difference, &pass, difference->stored[i], difference->content[i]);
			MemoryContextSwitchTo(old);
			MemoryContextReset(difference->work);
		}
		dyn_rows_end(difference->stored[i]);
		dyn_rows_end(difference->content[i]);
	}
	ExecDropSingleTupleTableSlot(difference->read);
	ExecDropSingleTupleTableSlot(difference->given);
	ExecDropSingleTupleTableSlot(difference->other);
	ExecDropSingleTupleTableSlot(difference->row);
	MemoryContextDelete(difference->work);
	return difference->result;
}

static void
begin_table(DynDifference *difference, uint32 nbuckets)
{
	difference->buckets = MemoryContextAllocExtended(difference->work, sizeof(uint32) * nbuckets,
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	difference->nbuckets = nbuckets;
	difference->blocks = NULL;
	difference->nstored = difference->expected = 0;
}

static Stored *
stored_at(DynDifference *difference, uint32 n)
{
	return &difference->blocks[n / BLOCK_ROWS][n % BLOCK_ROWS];
}

static void
compare_pass(DynDifference *difference, const DynPass *pass, DynRows *stored, DynRows *content)
{
	TupleTableSlot *place = dyn_rows_slot(stored);
	TupleTableSlot *slot = difference->slot = difference->read;

	begin_table(difference, pass->nbuckets);
	dyn_rows_rewind(stored);
	while (dyn_rows_next(stored, place))
		if (dyn_rows_in_pass(pass, (uint64) DatumGetInt64(place->tts_values[0])))
			enter(difference, (uint64) DatumGetInt64(place->tts_values[0]),
				  (ItemPointer) DatumGetPointer(place->tts_values[1]));
	dyn_rows_rewind(content);
	while (dyn_rows_next(content, slot))
		if (dyn_rows_in_pass(pass, (uint64) DatumGetInt64(slot->tts_values[0])))
			look_up(difference);
	tell_stored(difference);
	ExecDropSingleTupleTableSlot(place);
}

/*
 * What goes, when all of the content has looked.  Rows go in the order of the
 * table, as far as the parts allow: who takes them away goes through it once.
 */
static void
tell_stored(DynDifference *difference)
{
	for (uint32 n = 0; n < difference->nstored; n++)
	{
		Stored	   *entry = stored_at(difference, n);

		CHECK_FOR_INTERRUPTS();
		if (entry->same || (entry->taken && difference->brief))
			continue;
		if (difference->brief)
			ExecStoreAllNullTuple(difference->other);	/* only its place is looked at */
		else
			fetch(difference, entry);
		put(difference, difference->other, -1, &entry->place);
	}
	ExecClearTuple(difference->read);
	ExecClearTuple(difference->other);
	ExecClearTuple(difference->row);
}

static void
enter(DynDifference *difference, uint64 hash, ItemPointer place)
{
	uint32		n = difference->nstored++;
	uint32	   *bucket = &difference->buckets[hash & (difference->nbuckets - 1)];
	Stored	   *entry;

	if (n % BLOCK_ROWS == 0)
	{
		uint32		nblocks = n / BLOCK_ROWS;
		MemoryContext old = MemoryContextSwitchTo(difference->work);

		if (nblocks == 0)
			difference->blocks = palloc(sizeof(Stored *));
		else if ((nblocks & (nblocks - 1)) == 0)
			difference->blocks = repalloc_huge(difference->blocks, sizeof(Stored *) * nblocks * 2);
		difference->blocks[nblocks] = palloc(sizeof(Stored) * BLOCK_ROWS);
		MemoryContextSwitchTo(old);
	}
	entry = stored_at(difference, n);
	entry->hash = hash;
	entry->place = *place;
	entry->taken = entry->same = false;
	entry->next = *bucket;
	*bucket = n + 1;
}

/* The number of a stored row, from 1, that is like the row in slot and that no row has found yet, which is in other then; or 0. */
static uint32
find(DynDifference *difference, uint64 hash)
{
	uint32	   *link = &difference->buckets[hash & (difference->nbuckets - 1)];

	if (difference->expected < difference->nstored &&
		is_like(difference, stored_at(difference, difference->expected), hash))
		return difference->expected + 1;
	while (*link != 0)
	{
		Stored	   *entry = stored_at(difference, *link - 1);

		if (is_like(difference, entry, hash))
			return *link;

		/* of equal rows there may be any number */
		if (entry->taken)
			*link = entry->next;
		else
			link = &entry->next;
	}
	return 0;
}

static bool
is_like(DynDifference *difference, const Stored *entry, uint64 hash)
{
	if (entry->hash != hash || entry->taken)
		return false;
	fetch(difference, entry);
	return same(difference, difference->paired);
}

/* The stored row, into other. */
static void
fetch(DynDifference *difference, const Stored *entry)
{
	TupleTableSlot *row = difference->row;
	TupleTableSlot *other = difference->other;
	TupleDesc	desc = row->tts_tupleDescriptor;
	int			next = 1;

	if (!table_tuple_fetch_row_version(difference->rel, unconstify(ItemPointerData *, &entry->place), SnapshotAny, row))
		elog(ERROR, "row (%u,%u) of \"%s\" is gone", ItemPointerGetBlockNumber(&entry->place),
			 ItemPointerGetOffsetNumber(&entry->place), RelationGetRelationName(difference->rel));
	slot_getallattrs(row);
	ExecClearTuple(other);
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
		{
			other->tts_values[next] = row->tts_values[i];
			other->tts_isnull[next++] = row->tts_isnull[i];
		}
	ExecStoreVirtualTuple(other);
}

/* Look for the like of the row of the content in slot. */
static void
look_up(DynDifference *difference)
{
	uint32		number = find(difference, (uint64) DatumGetInt64(difference->slot->tts_values[0]));
	Stored	   *entry;

	if (number == 0)
	{
		put(difference, difference->slot, 1, NULL);
		return;
	}
	entry = stored_at(difference, number - 1);
	entry->taken = true;
	entry->same = !difference->by_key || same(difference, difference->identity);
	difference->expected = number;
	if (!entry->same)
		replace(difference, entry);
}

/* The row in other by that in slot. */
static void
replace(DynDifference *difference, Stored *entry)
{
	if (difference->write && difference->result->count > difference->many &&
		difference->write(difference->slot, &entry->place, difference->write_arg))
		return;
	put(difference, difference->slot, 1, &entry->place);
}

/* Are these columns the same in slot and other, by image? */
static bool
same(DynDifference *difference, const bool *columns)
{
	TupleDesc	desc = difference->desc;

	for (int i = 1; i < desc->natts - 1; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Datum		a = difference->slot->tts_values[i];
		Datum		b = difference->other->tts_values[i];

		if (!columns[i - 1])
			continue;
		if (difference->slot->tts_isnull[i] != difference->other->tts_isnull[i])
			return false;
		if (!difference->slot->tts_isnull[i] && (att->attbyval ? a != b : !datum_image_eq(a, b, false, att->attlen)))
			return false;
	}
	return true;
}

/* Put a row into the result; place: that whose place it has or takes, or NULL. */
static void
put(DynDifference *difference, TupleTableSlot *slot, int64 weight, const ItemPointerData *place)
{
	int			n = difference->desc->natts - 1;

	memcpy(difference->values, slot->tts_values, sizeof(Datum) * n);
	memcpy(difference->isnull, slot->tts_isnull, sizeof(bool) * n);
	difference->values[0] = Int64GetDatum(weight);
	difference->isnull[0] = false;
	difference->values[n] = PointerGetDatum(place);
	difference->isnull[n] = place == NULL;
	dyn_rows_put_values(difference->result, difference->values, difference->isnull);
}
