/*
 * dyn_difference.c
 *	  The difference between what is stored and what should be.
 *
 * A table of the stored rows, by their keys or images, in which each row of the
 * new content looks for its like.  What finds an equal row changes nothing; of
 * the others each stored row is told with its place in the table, so that
 * nobody has to look for it again.  Where the table of rows outgrows
 * maintenance_work_mem, both are put into parts by a hash, so that the table of a
 * part stays within hash_mem.
 */
#include <postgres.h>

#include <access/tupdesc.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <executor/nodeHash.h>
#include <miscadmin.h>
#include <port/pg_bitutils.h>
#include <utils/datum.h>
#include <utils/memutils.h>

#include "refresh/dyn_difference.h"
#include "refresh/dyn_evaluate.h"

#define MAX_PARTS	128

/* How often it is asked whether the table has outgrown its memory. */
#define ROWS_PER_CHECK	1024

/* A stored row. */
typedef struct Stored
{
	MinimalTuple tuple;
	uint64		hash;
	bool		taken;			/* a row of the content has found it */
	bool		same;			/* and is equal */
	struct Stored *next;		/* in the bucket */
	struct Stored *like;		/* of the same image */
	struct Stored *later;		/* in order of arrival */
} Stored;

struct DynDifference
{
	TupleDesc	desc;			/* w, the columns, place */
	bool	   *identity;		/* of all but w */
	bool	   *paired;			/* the columns that pair rows, in the same way */
	bool		by_key;
	bool		brief;			/* an addition stands for the retraction of what it replaces */
	uint64		bytes;
	int64		nstored;
	int			nparts;			/* 0: all stored rows are in the table at once */
	DynRows   **stored;			/* w: the hash */
	DynRows   **content;
	DynRows    *result;
	DynReplace	write;			/* NULL: the result takes all */
	void	   *write_arg;
	int64		many;
	Datum	   *values;
	bool	   *isnull;
	MemoryContext work;			/* of the table */
	TupleTableSlot *slot;		/* the row that is looked at, */
	TupleTableSlot *read;		/* as read from a part or entered, */
	TupleTableSlot *given;		/* or as a statement gives it */
	TupleTableSlot *other;
	Stored	  **buckets;
	uint32		nbuckets;
	Stored	   *first;
	Stored	   *last;
	Stored	   *expected;		/* behind the one that was found at last: both often come in the same order */
};

static uint64 row_hash(DynDifference *difference, Datum *values, bool *isnull);
static void compare_pass(DynDifference *difference, const DynPass *pass, DynRows *stored, DynRows *content);
static void begin_table(DynDifference *difference, uint32 nbuckets);
static void tell_stored(DynDifference *difference);
static void enter(DynDifference *difference, MinimalTuple tuple);
static void look_up(DynDifference *difference);
static bool is_of_key(DynDifference *difference, const Stored *entry, uint64 hash);
static bool same(DynDifference *difference, const bool *columns);
static void replace(DynDifference *difference);
static void put(DynDifference *difference, TupleTableSlot *slot, int64 weight, TupleTableSlot *place);

DynDifference *
dyn_difference_begin(const char *name, TupleDesc columns, const bool *identity, List *key, uint64 bytes, bool brief)
{
	DynDifference *difference = palloc0(sizeof(DynDifference));
	int			n = columns->natts;
	ListCell   *lc;

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

	/* of many small pieces, which go together, another kind would take a quarter more */
	difference->work = GenerationContextCreate(CurrentMemoryContext, "dyntable difference", ALLOCSET_DEFAULT_SIZES);
	difference->result = dyn_rows_begin(name, difference->desc, difference->identity);
	difference->result->placed = true;
	difference->result->brief = brief;
	difference->read = dyn_rows_slot(difference->result);
	difference->other = dyn_rows_slot(difference->result);
	difference->given = MakeSingleTupleTableSlot(difference->desc, &TTSOpsVirtual);

	difference->bytes = bytes;
	begin_table(difference, pg_nextpower2_32(Max(1024, (uint32) Min(bytes, (uint64) maintenance_work_mem * 1024) / 64)));
	return difference;
}

/* Begin parts.  A small row takes about twice as much in a table of rows as on a page. */
static void
begin_parts(DynDifference *difference)
{
	difference->nparts = Min(1 + difference->bytes * 2 / get_hash_memory_limit(), MAX_PARTS);
	difference->stored = palloc(sizeof(DynRows *) * difference->nparts);
	difference->content = palloc(sizeof(DynRows *) * difference->nparts);
	for (int i = 0; i < difference->nparts; i++)
	{
		int			kilobytes = Max(64, work_mem / 2 / difference->nparts);

		difference->stored[i] = dyn_rows_begin_part("stored", difference->desc, kilobytes);
		difference->content[i] = dyn_rows_begin_part("content", difference->desc, kilobytes);
	}
}

/* Of the columns behind w that pair rows. */
static uint64
row_hash(DynDifference *difference, Datum *values, bool *isnull)
{
	TupleDesc	desc = difference->desc;
	uint64		hash = 0;

	for (int i = 1; i < desc->natts - 1; i++)
		if (difference->paired[i - 1])
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			hash = hash * UINT64CONST(0x9e3779b97f4a7c15) +
				dyn_image_hash(values[i], isnull[i], att->attbyval, att->attlen);
		}
	return hash;
}

/* The row that a statement has given, with its hash in the place of a weight; place: its last column, or 0. */
static TupleTableSlot *
take(DynDifference *difference, const Datum *values, const bool *isnull, Datum place)
{
	TupleTableSlot *given = difference->given;
	int			n = difference->desc->natts - 2;

	ExecClearTuple(given);
	memcpy(given->tts_values + 1, values, sizeof(Datum) * n);
	memcpy(given->tts_isnull + 1, isnull, sizeof(bool) * n);
	given->tts_values[0] = Int64GetDatum((int64) row_hash(difference, given->tts_values, given->tts_isnull));
	given->tts_isnull[0] = false;
	given->tts_values[n + 1] = place;
	given->tts_isnull[n + 1] = place == 0;
	return ExecStoreVirtualTuple(given);
}

static void
put_in_part(DynDifference *difference, DynRows **parts, TupleTableSlot *row)
{
	uint64		hash = (uint64) DatumGetInt64(row->tts_values[0]);

	dyn_rows_put_values(parts[((hash >> 32) & 0xffff) % difference->nparts], row->tts_values, row->tts_isnull);
}

/* Put the rows of the table into parts. */
static void
take_apart(DynDifference *difference)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(difference));

	begin_parts(difference);
	for (Stored *entry = difference->first; entry; entry = entry->later)
	{
		ExecStoreMinimalTuple(entry->tuple, difference->read, false);
		slot_getallattrs(difference->read);
		put_in_part(difference, difference->stored, difference->read);
	}
	ExecClearTuple(difference->read);
	ExecClearTuple(difference->other);
	MemoryContextReset(difference->work);
	MemoryContextSwitchTo(old);
}

void
dyn_difference_stored(TupleTableSlot *slot, void *arg)
{
	DynDifference *difference = arg;
	TupleTableSlot *row;
	MemoryContext old;
	MinimalTuple tuple;

	slot_getallattrs(slot);
	row = take(difference, slot->tts_values + 1, slot->tts_isnull + 1, slot->tts_values[0]);
	if (difference->nparts > 0)
	{
		put_in_part(difference, difference->stored, row);
		return;
	}
	old = MemoryContextSwitchTo(difference->work);
	tuple = ExecCopySlotMinimalTuple(row);
	difference->slot = ExecStoreMinimalTuple(tuple, difference->read, false);
	slot_getallattrs(difference->slot);
	enter(difference, tuple);
	MemoryContextSwitchTo(old);
	if (++difference->nstored % ROWS_PER_CHECK == 0 &&
		MemoryContextMemAllocated(difference->work, true) > (Size) maintenance_work_mem * 1024)
		take_apart(difference);
}

void
dyn_difference_content(TupleTableSlot *slot, void *arg)
{
	DynDifference *difference = arg;
	TupleTableSlot *row;

	slot_getallattrs(slot);
	row = take(difference, slot->tts_values, slot->tts_isnull, 0);
	if (difference->nparts > 0)
	{
		put_in_part(difference, difference->content, row);
		return;
	}
	difference->slot = row;
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
	MemoryContextDelete(difference->work);
	return difference->result;
}

static void
begin_table(DynDifference *difference, uint32 nbuckets)
{
	difference->buckets = MemoryContextAllocExtended(difference->work, sizeof(Stored *) * nbuckets,
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	difference->nbuckets = nbuckets;
	difference->first = difference->last = difference->expected = NULL;
}

static void
compare_pass(DynDifference *difference, const DynPass *pass, DynRows *stored, DynRows *content)
{
	TupleTableSlot *slot = difference->slot = difference->read;

	begin_table(difference, pass->nbuckets);
	dyn_rows_rewind(stored);
	while (dyn_rows_next(stored, slot))
		if (dyn_rows_in_pass(pass, (uint64) DatumGetInt64(slot->tts_values[0])))
			enter(difference, ExecCopySlotMinimalTuple(slot));
	dyn_rows_rewind(content);
	while (dyn_rows_next(content, slot))
		if (dyn_rows_in_pass(pass, (uint64) DatumGetInt64(slot->tts_values[0])))
			look_up(difference);
	tell_stored(difference);
}

/*
 * What goes, when all of the content has looked.  Rows go in the order of the
 * table, as far as the parts allow: who takes them away goes through it once.
 */
static void
tell_stored(DynDifference *difference)
{
	for (Stored *entry = difference->first; entry; entry = entry->later)
		if (!entry->same && !(entry->taken && difference->brief))
		{
			ExecStoreMinimalTuple(entry->tuple, difference->other, false);
			slot_getallattrs(difference->other);
			put(difference, difference->other, -1, difference->other);
		}
	ExecClearTuple(difference->read);
	ExecClearTuple(difference->other);
}

/* The first entry of the image, or one of the key that no row has found yet, of the row in slot, or NULL. */
static Stored *
find(DynDifference *difference, uint64 hash)
{
	Stored	   *entry = difference->expected;

	if (entry && is_of_key(difference, entry, hash))
		return entry;
	entry = difference->buckets[hash & (difference->nbuckets - 1)];
	while (entry && !is_of_key(difference, entry, hash))
		entry = entry->next;
	return entry;
}

/* If so, it is in other. */
static bool
is_of_key(DynDifference *difference, const Stored *entry, uint64 hash)
{
	if (entry->hash != hash || (difference->by_key && entry->taken))
		return false;
	ExecStoreMinimalTuple(entry->tuple, difference->other, false);
	slot_getallattrs(difference->other);
	return same(difference, difference->paired);
}

/* Enter the stored row in slot, which tuple is too.  Of a key there are hardly several; of an image there may be any number. */
static void
enter(DynDifference *difference, MinimalTuple tuple)
{
	uint64		hash = (uint64) DatumGetInt64(difference->slot->tts_values[0]);
	Stored	   *head = difference->by_key ? NULL : find(difference, hash);
	Stored	   *entry = palloc0(sizeof(Stored));

	entry->hash = hash;
	entry->tuple = tuple;
	if (head)
	{
		entry->like = head->like;
		head->like = entry;
	}
	else
	{
		Stored	  **bucket = &difference->buckets[hash & (difference->nbuckets - 1)];

		entry->next = *bucket;
		*bucket = entry;
	}
	if (difference->last)
		difference->last->later = entry;
	else
		difference->first = entry;
	difference->last = entry;
}

/* Look for the like of the row of the content in slot, which nobody has found yet. */
static void
look_up(DynDifference *difference)
{
	Stored	   *head = find(difference, (uint64) DatumGetInt64(difference->slot->tts_values[0]));
	Stored	   *entry = head;

	if (head && head->like)
	{
		entry = head->like;
		head->like = entry->like;
		ExecStoreMinimalTuple(entry->tuple, difference->other, false);
		slot_getallattrs(difference->other);
	}
	if (entry == NULL || entry->taken)
	{
		put(difference, difference->slot, 1, NULL);
		return;
	}
	entry->taken = true;
	entry->same = !difference->by_key || same(difference, difference->identity);
	if (difference->by_key)
		difference->expected = entry->later;
	if (!entry->same)
		replace(difference);
}

/* The row in other by that in slot. */
static void
replace(DynDifference *difference)
{
	bool		isnull;

	if (difference->write && difference->result->count > difference->many &&
		difference->write(difference->slot,
						  (ItemPointer) DatumGetPointer(slot_getattr(difference->other, difference->desc->natts, &isnull)),
						  difference->write_arg))
		return;
	put(difference, difference->slot, 1, difference->other);
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
put(DynDifference *difference, TupleTableSlot *slot, int64 weight, TupleTableSlot *place)
{
	int			n = difference->desc->natts - 1;

	memcpy(difference->values, slot->tts_values, sizeof(Datum) * n);
	memcpy(difference->isnull, slot->tts_isnull, sizeof(bool) * n);
	difference->values[0] = Int64GetDatum(weight);
	difference->isnull[n] = place == NULL;
	if (place)
		difference->values[n] = place->tts_values[n];
	dyn_rows_put_values(difference->result, difference->values, difference->isnull);
}
