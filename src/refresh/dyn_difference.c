/*
 * dyn_difference.c
 *	  The difference between what is stored and what should be.
 *
 * A table of the stored rows, by their keys or images, in which each row of the
 * new content looks for its like.  What finds an equal row changes nothing; of
 * the others each stored row is told with its place in the table, so that
 * nobody has to look for it again.  Both are put into parts by a hash, so that
 * the table of a part stays within hash_mem.
 */
#include <postgres.h>

#include <access/tupdesc.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <executor/nodeHash.h>
#include <miscadmin.h>
#include <utils/datum.h>
#include <utils/memutils.h>

#include "refresh/dyn_difference.h"
#include "refresh/dyn_evaluate.h"

#define MAX_PARTS	128

/* A stored row. */
typedef struct Stored
{
	MinimalTuple tuple;
	uint64		hash;
	bool		taken;			/* a row of the content has found it */
	bool		same;			/* and is equal */
	struct Stored *next;		/* in the bucket */
	struct Stored *like;		/* of the same key or image */
	struct Stored *later;		/* in order of arrival */
} Stored;

struct DynDifference
{
	TupleDesc	desc;			/* w, the columns, place */
	bool	   *identity;		/* of all but w */
	bool	   *paired;			/* the columns that pair rows, in the same way */
	bool		by_key;
	int			nparts;
	DynRows   **stored;			/* w: the hash */
	DynRows   **content;
	DynRows    *result;
	Datum	   *values;
	bool	   *isnull;
	MemoryContext context;		/* a sink runs in the statement's */
	TupleTableSlot *slot;
	TupleTableSlot *other;
	const DynPass *pass;
	Stored	  **buckets;
	Stored	   *first;
	Stored	   *last;
};

static void compare_pass(DynDifference *difference, DynRows *stored, DynRows *content);
static void enter(DynDifference *difference);
static void look_up(DynDifference *difference);
static bool same(DynDifference *difference, const bool *columns);
static void put(DynDifference *difference, TupleTableSlot *slot, int64 weight, TupleTableSlot *place);

DynDifference *
dyn_difference_begin(TupleDesc columns, const bool *identity, List *key, uint64 bytes)
{
	DynDifference *difference = palloc0(sizeof(DynDifference));
	int			n = columns->natts;
	ListCell   *lc;

	difference->desc = dyn_placed_desc(columns);
	difference->identity = palloc0(sizeof(bool) * n);
	memcpy(difference->identity, identity, sizeof(bool) * (n - 1));
	difference->by_key = key != NIL;
	difference->paired = difference->identity;
	if (key != NIL)
	{
		difference->paired = palloc0(sizeof(bool) * n);
		foreach(lc, key)
			difference->paired[lfirst_int(lc) - 1] = true;
	}

	/* a small row takes about twice as much in a table of rows as on a page */
	difference->nparts = Min(1 + bytes * 2 / get_hash_memory_limit(), MAX_PARTS);
	difference->stored = palloc(sizeof(DynRows *) * difference->nparts);
	difference->content = palloc(sizeof(DynRows *) * difference->nparts);
	for (int i = 0; i < difference->nparts; i++)
	{
		int			kilobytes = Max(64, work_mem / 2 / difference->nparts);

		difference->stored[i] = dyn_rows_begin_part("stored", difference->desc, kilobytes);
		difference->content[i] = dyn_rows_begin_part("content", difference->desc, kilobytes);
	}
	difference->values = palloc0(sizeof(Datum) * (n + 1));
	difference->isnull = palloc0(sizeof(bool) * (n + 1));
	difference->context = CurrentMemoryContext;
	return difference;
}

/* Put a row, which is in values, into its part, with its hash in the place of a weight. */
static void
put_in_part(DynDifference *difference, DynRows **parts)
{
	TupleDesc	desc = difference->desc;
	uint64		hash = 0;

	for (int i = 1; i < desc->natts - 1; i++)
		if (difference->paired[i - 1])
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			hash = hash * UINT64CONST(0x9e3779b97f4a7c15) +
				dyn_image_hash(difference->values[i], difference->isnull[i], att->attbyval, att->attlen);
		}
	difference->values[0] = Int64GetDatum((int64) hash);
	dyn_rows_put_values(parts[((hash >> 32) & 0xffff) % difference->nparts], difference->values, difference->isnull);
}

void
dyn_difference_stored(TupleTableSlot *slot, void *arg)
{
	DynDifference *difference = arg;
	int			n = difference->desc->natts - 2;

	slot_getallattrs(slot);
	memcpy(difference->values + 1, slot->tts_values + 1, sizeof(Datum) * n);
	memcpy(difference->isnull + 1, slot->tts_isnull + 1, sizeof(bool) * n);
	difference->values[n + 1] = slot->tts_values[0];
	difference->isnull[n + 1] = false;
	put_in_part(difference, difference->stored);
}

void
dyn_difference_content(TupleTableSlot *slot, void *arg)
{
	DynDifference *difference = arg;
	int			n = difference->desc->natts - 2;

	slot_getallattrs(slot);
	memcpy(difference->values + 1, slot->tts_values, sizeof(Datum) * n);
	memcpy(difference->isnull + 1, slot->tts_isnull, sizeof(bool) * n);
	difference->isnull[n + 1] = true;
	put_in_part(difference, difference->content);
}

DynRows *
dyn_difference_end(DynDifference *difference, const char *name)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "dyntable difference", ALLOCSET_DEFAULT_SIZES);

	difference->result = dyn_rows_begin(name, difference->desc, difference->identity);
	difference->result->placed = true;
	difference->slot = dyn_rows_slot(difference->result);
	difference->other = dyn_rows_slot(difference->result);
	for (int i = 0; i < difference->nparts; i++)
	{
		DynPass		pass = dyn_rows_first_pass(difference->stored[i], difference->stored[i]->count);

		difference->pass = &pass;
		for (; pass.no < pass.npasses; pass.no++)
		{
			MemoryContext old = MemoryContextSwitchTo(work);

			compare_pass(difference, difference->stored[i], difference->content[i]);
			MemoryContextSwitchTo(old);
			MemoryContextReset(work);
		}
		dyn_rows_end(difference->stored[i]);
		dyn_rows_end(difference->content[i]);
	}
	ExecDropSingleTupleTableSlot(difference->slot);
	ExecDropSingleTupleTableSlot(difference->other);
	MemoryContextDelete(work);
	return difference->result;
}

/* Rows go in the order of the table, as far as the parts allow: who takes them away goes through it once. */
static void
compare_pass(DynDifference *difference, DynRows *stored, DynRows *content)
{
	difference->buckets = palloc0(sizeof(Stored *) * difference->pass->nbuckets);
	difference->first = difference->last = NULL;
	dyn_rows_rewind(stored);
	while (dyn_rows_next(stored, difference->slot))
		if (dyn_rows_in_pass(difference->pass, (uint64) DatumGetInt64(difference->slot->tts_values[0])))
			enter(difference);
	dyn_rows_rewind(content);
	while (dyn_rows_next(content, difference->slot))
		if (dyn_rows_in_pass(difference->pass, (uint64) DatumGetInt64(difference->slot->tts_values[0])))
			look_up(difference);
	for (Stored *entry = difference->first; entry; entry = entry->later)
		if (!entry->same)
		{
			ExecStoreMinimalTuple(entry->tuple, difference->other, false);
			slot_getallattrs(difference->other);
			put(difference, difference->other, -1, difference->other);
		}
	ExecClearTuple(difference->slot);
	ExecClearTuple(difference->other);
}

/* The first entry of the key or image of the row in slot, or NULL. */
static Stored *
find(DynDifference *difference, uint64 hash)
{
	Stored	   *entry = difference->buckets[hash & (difference->pass->nbuckets - 1)];

	for (; entry; entry = entry->next)
	{
		if (entry->hash != hash)
			continue;
		ExecStoreMinimalTuple(entry->tuple, difference->other, false);
		slot_getallattrs(difference->other);
		if (same(difference, difference->paired))
			break;
	}
	return entry;
}

/* Enter the stored row in slot. */
static void
enter(DynDifference *difference)
{
	uint64		hash = (uint64) DatumGetInt64(difference->slot->tts_values[0]);
	Stored	   *head = find(difference, hash);
	Stored	   *entry = palloc0(sizeof(Stored));

	entry->hash = hash;
	entry->tuple = ExecCopySlotMinimalTuple(difference->slot);
	if (head)
	{
		entry->like = head->like;
		head->like = entry;
	}
	else
	{
		Stored	  **bucket = &difference->buckets[hash & (difference->pass->nbuckets - 1)];

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
	if (!entry->same)
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
