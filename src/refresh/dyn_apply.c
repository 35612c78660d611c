/*
 * dyn_apply.c
 *	  Applying a delta to a table.
 *
 * With a key, a retraction and an insertion of the same key are an UPDATE;
 * what is left over are DELETEs and INSERTs.  Deletes go first, so that a
 * right delta never trips over a unique index; for the same reason a change
 * of a column that stands in another unique index is a delete and an insert.
 * Without a key the row's image finds the rows, by an index on its hash, and
 * a weight of −n removes n of those that are equal.
 *
 * The statements are ordinary DML: indexes, constraints and a user's triggers
 * see them as any other.  Where nobody but its indexes has to see them, and many
 * of a table's rows change or it is known where they are, it is written without
 * statements (dyn_bulk.c): what would be an UPDATE counts as one still.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <storage/bufmgr.h>
#include <utils/builtins.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>

#include "query/dyn_sql.h"
#include "refresh/dyn_apply.h"
#include "refresh/dyn_feed.h"
#include "refresh/dyn_phases.h"
#include "refresh/dyn_target.h"

/* A table is written without statements when so many rows change, and so many for each of its pages. */
#define BULK_ROWS			1000
#define BULK_ROWS_PER_PAGE	4

/* A retraction that waits for an insertion of the same key. */
typedef struct Retraction
{
	MinimalTuple tuple;
	uint64		hash;
	bool		paired;
	struct Retraction *next;
} Retraction;

/* What is written in bulk. */
typedef struct Written
{
	DynSink    *sink;
	DynRows    *rows;			/* a delta that knows its places */
	struct Split *split;		/* or the parts of one with a key, of which these know theirs */
	DynRows    *deletes;
	DynRows    *updates;
	DynCounts  *counts;
	Oid			key_index;
	bool		dense;			/* most rows of the table change */
} Written;

/* The parts of a delta with a key. */
typedef struct Split
{
	DynRows    *deletes;
	DynRows    *updates;
	DynRows    *inserts;
} Split;

static void split_delta(DynSink *sink, DynRows *delta, Split *split);
static void split_pass(DynSink *sink, DynRows *part, Split *split, const DynPass *pass,
					   TupleTableSlot *slot, TupleTableSlot *other);
static bool same_columns(DynRows *rows, List *columns, TupleTableSlot *a, TupleTableSlot *b);
static uint64 key_hash(DynRows *rows, TupleTableSlot *slot, void *arg);
static void apply_by_key(DynExecution *execution, DynSink *sink, DynRows *delta, DynCounts *counts);
static void apply_by_image(DynExecution *execution, DynSink *sink, DynRows *delta, DynCounts *counts);
static int64 execute_keyed(DynExecution *execution, DynSink *sink, DynRows *rows,
						   const char *before, const char *from, DynRowSink receive, void *arg);
static void apply_densely(DynExecution *execution, DynSink *sink, DynRows *delta, DynCounts *counts);
static bool is_dense(DynSink *sink, DynRows *delta);
static int64 dense_rows(DynSink *sink);
static void rethrow(MemoryContext caller, const char *name, const char *index);
static void write_placed(DynBulk *bulk, void *arg);
static void write_split(DynBulk *bulk, void *arg);
static DynRows *find_places(DynExecution *execution, DynSink *sink, DynRows *rows);
static int64 insert_rows(DynExecution *execution, DynSink *sink, DynRows *rows);
static char *matching_ctids(DynSink *sink, const char *rows);
static void check_count(DynExecution *execution, DynSink *sink, DynRows *rows, const char *what,
						int64 done, int64 expected);
static char *missing_row(DynExecution *execution, DynSink *sink, DynRows *rows);
static List *key_names(DynSink *sink, bool of_delta);
static List *key_types(DynSink *sink);
static bool key_has_null(DynSink *sink, DynRows *rows);

void
dyn_apply(DynExecution *execution, DynSink *sink, DynRows *delta, DynCounts *counts)
{
	if (delta->count == 0)
		return;
	if (delta->brief || (delta->placed && dyn_apply_by_place(sink, delta->desc)))
	{
		Written		written = {sink, delta, .counts = counts, .key_index = dyn_apply_key_index(sink), .dense = is_dense(sink, delta)};

		dyn_apply_in_bulk(execution, sink->relid, sink->name, sink->index, write_placed, &written);
		return;
	}
	if (delta->placed && sink->key == NIL)
		dyn_rows_unite(delta);

	/* without a key, equal retractions must not find the same row */
	if (sink->key == NIL && delta->minus > 0 && delta->plus == 0)
		dyn_rows_unite(delta);
	if (sink->key)
		apply_by_key(execution, sink, delta, counts);
	else
		apply_by_image(execution, sink, delta, counts);
}

/* ------------------------------------------------------------------------
 * By key
 * ------------------------------------------------------------------------
 */
static void
end_split(Split *split)
{
	dyn_rows_end(split->deletes);
	dyn_rows_end(split->updates);
	dyn_rows_end(split->inserts);
}

static void
apply_by_key(DynExecution *execution, DynSink *sink, DynRows *delta, DynCounts *counts)
{
	Split		split;
	StringInfoData set;
	ListCell   *lc;

	if (delta->repeated)
		ereport(ERROR,
				errcode(ERRCODE_DYN_STATE_DIVERGED),
				errmsg("a refresh of %s would store a key twice", sink->name));
	if (is_dense(sink, delta) && dyn_apply_by_place(sink, delta->desc))
	{
		apply_densely(execution, sink, delta, counts);
		return;
	}
	split_delta(sink, delta, &split);
	if (split.deletes->count > 0)
	{
		dyn_rows_register(split.deletes, execution->env);
		check_count(execution, sink, split.deletes, "delete",
					execute_keyed(execution, sink, split.deletes, "DELETE FROM", "USING", NULL, NULL),
					split.deletes->count);
		counts->deleted += split.deletes->count;
	}
	if (split.updates->count > 0)
	{
		initStringInfo(&set);
		foreach(lc, sink->names)
		{
			int			i = foreach_current_index(lc) + 1;

			if (!list_member_int(sink->key, i))
				appendStringInfo(&set, "%s%s = d.c%d", set.len ? ", " : "", (char *) lfirst(lc), i);
		}
		dyn_rows_register(split.updates, execution->env);
		check_count(execution, sink, split.updates, "update",
					execute_keyed(execution, sink, split.updates, "UPDATE",
								  psprintf("SET %s FROM", set.data), NULL, NULL),
					split.updates->count);
		counts->updated += split.updates->count;
	}
	if (split.inserts->count > 0)
	{
		dyn_rows_register(split.inserts, execution->env);
		counts->inserted += insert_rows(execution, sink, split.inserts);
	}
	end_split(&split);
}

/*
 * DELETE, UPDATE or SELECT by key.  NULLs in keys need a comparison that no index
 * serves, so rows that have one go by a statement of their own.
 */
static int64
execute_keyed(DynExecution *execution, DynSink *sink, DynRows *rows, const char *before, const char *from,
			  DynRowSink receive, void *arg)
{
	List	   *mine = key_names(sink, false);
	List	   *theirs = key_names(sink, true);
	List	   *types = key_types(sink);
	char	   *not_null = dyn_sql_not_null("d", theirs, types);
	bool		nulls = key_has_null(sink, rows);
	int64		done;

	done = dyn_execute(execution,
					   psprintf("%s %s t %s %s d WHERE %s%s%s", before, sink->name, from, rows->name,
								dyn_sql_match("t", mine, "d", theirs, types, false),
								nulls ? " AND " : "", nulls ? not_null : ""),
					   receive, arg);
	if (nulls)
		done += dyn_execute(execution,
							psprintf("%s %s t %s %s d WHERE %s AND NOT %s", before, sink->name, from,
									 rows->name,
									 dyn_sql_match("t", mine, "d", theirs, types, true), not_null),
							receive, arg);
	return done;
}

static void
split_delta(DynSink *sink, DynRows *delta, Split *split)
{
	TupleTableSlot *slot = dyn_rows_slot(delta);
	TupleTableSlot *other = dyn_rows_slot(delta);
	List	   *parts = dyn_rows_scatter(delta, delta->minus, key_hash, sink);
	ListCell   *lc;

	split->deletes = dyn_rows_begin("x_delete", delta->desc, delta->identity);
	split->updates = dyn_rows_begin("x_update", delta->desc, delta->identity);
	split->inserts = dyn_rows_begin("x_insert", delta->desc, delta->identity);
	foreach(lc, parts)
	{
		DynRows    *part = lfirst(lc);
		DynPass		pass = dyn_rows_first_pass(part, part->minus);

		for (; pass.no < pass.npasses; pass.no++)
			split_pass(sink, part, split, &pass, slot, other);
		if (part != delta)
			dyn_rows_end(part);
	}
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(other);
}

static void
split_pass(DynSink *sink, DynRows *part, Split *split, const DynPass *pass,
		   TupleTableSlot *slot, TupleTableSlot *other)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "dyntable split",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint32		nbuckets = pass->nbuckets;
	Retraction **buckets = palloc0(sizeof(Retraction *) * nbuckets);

	dyn_rows_rewind(part);
	while (part->minus > 0 && dyn_rows_next(part, slot))
	{
		uint64		hash = key_hash(part, slot, sink);
		Retraction *entry;

		if (DatumGetInt64(slot->tts_values[0]) > 0 || !dyn_rows_in_pass(pass, hash))
			continue;
		entry = palloc(sizeof(Retraction));
		entry->hash = hash;
		entry->paired = false;
		entry->tuple = ExecCopySlotMinimalTuple(slot);
		entry->next = buckets[hash & (nbuckets - 1)];
		buckets[hash & (nbuckets - 1)] = entry;
	}

	dyn_rows_rewind(part);
	while (part->plus > 0 && dyn_rows_next(part, slot))
	{
		uint64		hash = key_hash(part, slot, sink);
		Retraction *entry;

		if (DatumGetInt64(slot->tts_values[0]) < 0 || !dyn_rows_in_pass(pass, hash))
			continue;
		for (entry = buckets[hash & (nbuckets - 1)]; entry; entry = entry->next)
		{
			if (entry->hash != hash || entry->paired)
				continue;
			ExecStoreMinimalTuple(entry->tuple, other, false);
			slot_getallattrs(other);
			if (same_columns(part, sink->key, other, slot) &&
				same_columns(part, sink->unique, other, slot))
				break;
		}
		if (entry)
			entry->paired = true;
		dyn_rows_put(entry ? split->updates : split->inserts, slot);
	}

	for (uint32 i = 0; i < nbuckets; i++)
		for (Retraction *entry = buckets[i]; entry; entry = entry->next)
			if (!entry->paired)
			{
				ExecStoreMinimalTuple(entry->tuple, other, false);
				dyn_rows_put(split->deletes, other);
			}
	ExecClearTuple(other);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* arg: the sink */
static uint64
key_hash(DynRows *rows, TupleTableSlot *slot, void *arg)
{
	DynSink    *sink = arg;
	uint64		hash = 0;
	ListCell   *lc;

	foreach(lc, sink->key)
	{
		int			i = lfirst_int(lc);
		Form_pg_attribute att = TupleDescAttr(rows->desc, i);

		hash = hash * UINT64CONST(0x9e3779b97f4a7c15) +
			dyn_image_hash(slot->tts_values[i], slot->tts_isnull[i], att->attbyval, att->attlen);
	}
	return hash;
}

/* Are the columns (from 1, behind w) the same in both, by image? */
static bool
same_columns(DynRows *rows, List *columns, TupleTableSlot *a, TupleTableSlot *b)
{
	ListCell   *lc;

	foreach(lc, columns)
	{
		int			i = lfirst_int(lc);

		if (!dyn_image_same(a->tts_values[i], a->tts_isnull[i], b->tts_values[i], b->tts_isnull[i],
							TupleDescAttr(rows->desc, i)))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * By image
 * ------------------------------------------------------------------------
 */
static int64
total_weight(DynRows *delta, int sign)
{
	TupleTableSlot *slot;
	int64		total = 0;

	if (!delta->repeated)
		return sign > 0 ? delta->plus : delta->minus;
	slot = dyn_rows_slot(delta);
	dyn_rows_rewind(delta);
	while (dyn_rows_next(delta, slot))
		total += Max(sign * DatumGetInt64(slot->tts_values[0]), 0);
	ExecDropSingleTupleTableSlot(slot);
	return total;
}

static void
apply_by_image(DynExecution *execution, DynSink *sink, DynRows *delta, DynCounts *counts)
{
	dyn_rows_register(delta, execution->env);
	if (delta->minus > 0)
	{
		int64		expected = total_weight(delta, -1);

		check_count(execution, sink, delta, "delete",
					dyn_execute(execution,
								psprintf("DELETE FROM %s t USING (%s) z WHERE t.ctid = z.ctid",
										 sink->name, matching_ctids(sink, delta->name)),
								NULL, NULL),
					expected);
		counts->deleted += expected;
	}
	if (delta->plus > 0)
		counts->inserted += insert_rows(execution, sink, delta);
}

/* SELECT ctid of as many rows as the minus rows of an ephemeral relation retract. */
static char *
matching_ctids(DynSink *sink, const char *rows)
{
	char	   *mine = dyn_identity_stored(sink, "x");
	char	   *theirs = dyn_identity_row(sink, "d");

	return psprintf("SELECT y.ctid FROM (SELECT x.ctid, d.w, row_number() OVER (PARTITION BY d.n) AS rn"
					" FROM (SELECT d.*, %s(%s) AS h, row_number() OVER () AS n FROM %s d WHERE d.w < 0) d"
					" JOIN %s x ON %s(%s) = d.h AND pg_catalog.record_image_eq(%s, %s)) y WHERE y.rn <= -y.w",
					sink->hash, theirs, rows, sink->name, sink->hash, mine, mine, theirs);
}

/* ------------------------------------------------------------------------
 * In bulk
 * ------------------------------------------------------------------------
 */
bool
dyn_apply_by_place(DynSink *sink, TupleDesc desc)
{
	Relation	rel;
	bool		can;

	/* state tables have room in their pages for what is updated */
	if (sink->index == NULL || sink->outlived != NIL)
		return false;
	rel = table_open(sink->relid, NoLock);
	can = dyn_bulk_can(rel) && dyn_bulk_fits(rel, desc, 1);
	table_close(rel, NoLock);
	return can;
}

/* Values of a user's unique index may change hands, so that all that goes has to go first. */
bool
dyn_apply_brief(DynSink *sink, TupleDesc desc)
{
	return sink->unique == NIL && !OidIsValid(dyn_stage_get(sink->relid, 0)) &&
		!OidIsValid(dyn_stage_get(sink->relid, DYN_FEED_STAGE)) && dyn_apply_by_place(sink, desc);
}

static bool
is_dense(DynSink *sink, DynRows *delta)
{
	int64		count = delta->count + (delta->brief ? delta->plus : 0);

	return count >= BULK_ROWS && count >= dense_rows(sink);
}

static int64
dense_rows(DynSink *sink)
{
	Relation	rel = table_open(sink->relid, NoLock);
	int64		rows = (int64) RelationGetNumberOfBlocks(rel) * BULK_ROWS_PER_PAGE;

	table_close(rel, NoLock);
	return rows;
}

int64
dyn_apply_many(DynSink *sink)
{
	return Max(dense_rows(sink), BULK_ROWS) / 2 + 1;
}

/* By key, where most rows of the table change.  Up to where it writes it does what a comparison of all rows does, and counts as that. */
static void
apply_densely(DynExecution *execution, DynSink *sink, DynRows *delta, DynCounts *counts)
{
	DynPhase	phase = dyn_phase_enter(DYN_PHASE_EXECUTE);
	Split		split;
	Written		written = {sink, .split = &split, .counts = counts, .key_index = dyn_apply_key_index(sink), .dense = true};

	split_delta(sink, delta, &split);
	written.deletes = find_places(execution, sink, split.deletes);
	check_count(execution, sink, split.deletes, "delete", written.deletes->count, split.deletes->count);
	written.updates = find_places(execution, sink, split.updates);
	check_count(execution, sink, split.updates, "update", written.updates->count, split.updates->count);
	(void) dyn_phase_enter(phase);

	dyn_apply_in_bulk(execution, sink->relid, sink->name, sink->index, write_split, &written);
	dyn_rows_end(written.deletes);
	dyn_rows_end(written.updates);
	end_split(&split);
}

/* The rows of a delta with the places of the stored rows that have their keys. */
static DynRows *
find_places(DynExecution *execution, DynSink *sink, DynRows *rows)
{
	DynRows    *placed = dyn_rows_begin("x_placed", dyn_placed_desc(rows->desc), rows->identity);
	char	   *select = psprintf("SELECT d.w, %s, t.ctid FROM", dyn_sql_columns("d", list_length(sink->names)));

	if (rows->count == 0)
		return placed;
	dyn_rows_register(rows, execution->env);
	(void) execute_keyed(execution, sink, rows, select, "CROSS JOIN", dyn_rows_sink, placed);
	return placed;
}

Oid
dyn_apply_key_index(DynSink *sink)
{
	Relation	rel = table_open(sink->relid, NoLock);
	Oid			result = InvalidOid;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
		if (*sink->index && strcmp(sink->index, dyn_relation_name(lfirst_oid(lc))) == 0)
			result = lfirst_oid(lc);
	table_close(rel, NoLock);
	return result;
}

void
dyn_apply_in_bulk(DynExecution *execution, Oid relid, const char *name, const char *index,
				  void (*work) (DynBulk *bulk, void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	Relation	rel = table_open(relid, RowExclusiveLock);

	CommandCounterIncrement();
	PushCopiedSnapshot(execution->snapshot);
	UpdateActiveSnapshotCommandId();
	PG_TRY();
	{
		DynBulk    *bulk = dyn_bulk_begin(rel, true);

		work(bulk, arg);
		dyn_bulk_end(bulk);
	}
	PG_CATCH();
	{
		rethrow(caller, name, index);
	}
	PG_END_TRY();
	PopActiveSnapshot();
	table_close(rel, NoLock);
}

/* Rows in place of others of their key. */
static int64
update_placed(DynBulk *bulk, Written *written, DynRows *rows, TupleTableSlot *slot)
{
	int			place = rows->desc->natts - 1;
	int64		updated = 0;

	dyn_rows_rewind(rows);
	while (rows->plus > 0 && dyn_rows_next(rows, slot))
	{
		ItemPointer at = (ItemPointer) DatumGetPointer(slot->tts_values[place]);

		if (DatumGetInt64(slot->tts_values[0]) < 0 || slot->tts_isnull[place])
			continue;
		updated++;
		(written->dense ? dyn_bulk_replace : dyn_bulk_update) (bulk, at, slot->tts_values + 1, slot->tts_isnull + 1,
															   written->key_index);
	}
	dyn_bulk_flush(bulk);
	return updated;
}

/*
 * Of an updated row the key is that of a row that has just been taken away.
 * Where the user holds other columns unique too, all that goes goes first.
 */
static void
write_placed(DynBulk *bulk, void *arg)
{
	Written    *written = arg;
	DynRows    *rows = written->rows;
	TupleTableSlot *slot = dyn_rows_slot(rows);
	int			place = rows->desc->natts - 1;
	bool		in_place = written->sink->unique == NIL;
	int64		updated = in_place ? update_placed(bulk, written, rows, slot) : 0;
	int64		done = updated;
	int64		replaced;

	dyn_rows_rewind(rows);
	while (rows->minus > (rows->brief ? 0 : done) && dyn_rows_next(rows, slot))
		if (DatumGetInt64(slot->tts_values[0]) < 0)
			(void) dyn_bulk_delete(bulk, (ItemPointer) DatumGetPointer(slot->tts_values[place]));
	dyn_rows_rewind(rows);
	while (rows->plus > done && dyn_rows_next(rows, slot))
	{
		bool		update = !slot->tts_isnull[place];

		if (DatumGetInt64(slot->tts_values[0]) < 0 || (update && in_place))
			continue;
		dyn_bulk_insert(bulk, slot->tts_values + 1, slot->tts_isnull + 1, update ? written->key_index : InvalidOid);
		updated += update;
	}
	ExecDropSingleTupleTableSlot(slot);
	replaced = rows->brief ? 0 : updated;
	written->counts->updated += updated;
	written->counts->deleted += rows->minus - replaced;
	written->counts->inserted += rows->plus - updated;
}

static void
write_split(DynBulk *bulk, void *arg)
{
	Written    *written = arg;
	Split	   *split = written->split;
	TupleTableSlot *placed = dyn_rows_slot(written->deletes);
	TupleTableSlot *slot = dyn_rows_slot(split->inserts);
	int			place = written->deletes->desc->natts - 1;
	int64		deleted = 0;

	dyn_rows_rewind(written->deletes);
	while (dyn_rows_next(written->deletes, placed))
		deleted += dyn_bulk_delete(bulk, (ItemPointer) DatumGetPointer(placed->tts_values[place]));
	if (deleted != split->deletes->count)
		ereport(ERROR,
				errcode(ERRCODE_DYN_STATE_DIVERGED),
				errmsg("a refresh of %s would take a row away twice", written->sink->name));
	written->counts->deleted += deleted;
	written->counts->updated += update_placed(bulk, written, written->updates, placed);
	dyn_rows_rewind(split->inserts);
	while (dyn_rows_next(split->inserts, slot))
		dyn_bulk_insert(bulk, slot->tts_values + 1, slot->tts_isnull + 1, InvalidOid);
	written->counts->inserted += split->inserts->count;
	ExecDropSingleTupleTableSlot(placed);
	ExecDropSingleTupleTableSlot(slot);
}

/* ------------------------------------------------------------------------
 * Both
 * ------------------------------------------------------------------------
 */
static int64
insert_rows(DynExecution *execution, DynSink *sink, DynRows *rows)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *statement = psprintf("INSERT INTO %s (%s) SELECT %s FROM %s d%s%s", sink->name, dyn_sink_columns(sink),
									 dyn_sql_columns("d", list_length(sink->names)), rows->name,
									 rows->repeated ? ", LATERAL pg_catalog.generate_series(1, d.w)" : "",
									 rows->minus ? " WHERE d.w > 0" : "");
	volatile int64 inserted = 0;

	PG_TRY();
	{
		inserted = dyn_execute(execution, statement, NULL, NULL);
	}
	PG_CATCH();
	{
		rethrow(caller, sink->name, sink->index);
	}
	PG_END_TRY();
	return inserted;
}

/*
 * Raise what was caught.  A violation of the index that holds the key unique
 * means that the rows stored do not fit the changes; one of any other index is
 * its owner's affair.
 */
static void
rethrow(MemoryContext caller, const char *name, const char *index)
{
	ErrorData  *error;

	MemoryContextSwitchTo(caller);
	error = CopyErrorData();
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || error->constraint_name == NULL ||
		(index && strcmp(index, quote_qualified_identifier(error->schema_name,
														   error->constraint_name)) != 0))
		PG_RE_THROW();
	FlushErrorState();
	ereport(ERROR,
			errcode(ERRCODE_DYN_STATE_DIVERGED),
			errmsg("a refresh of %s would store a key twice", name),
			error->detail ? errdetail_internal("%s", error->detail) : 0);
}

DynRows *
dyn_apply_stored(DynExecution *execution, DynSink *sink, DynRows *delta)
{
	StringInfoData columns;
	ListCell   *lc;
	char	   *statement;

	if (sink->key == NIL && delta->plus == 0)
		dyn_rows_unite(delta);
	initStringInfo(&columns);
	foreach(lc, sink->names)
		appendStringInfo(&columns, ", t.%s", (char *) lfirst(lc));
	dyn_rows_register(delta, execution->env);
	if (sink->key)
		statement = psprintf("SELECT (-1)::bigint AS w%s FROM %s t JOIN %s d ON %s WHERE d.w < 0",
							 columns.data, sink->name, delta->name,
							 dyn_sql_match("t", key_names(sink, false), "d", key_names(sink, true),
										   key_types(sink), key_has_null(sink, delta)));
	else
		statement = psprintf("SELECT (-1)::bigint AS w%s FROM %s t JOIN (%s) z ON t.ctid = z.ctid",
							 columns.data, sink->name, matching_ctids(sink, delta->name));
	return dyn_execute_rows(execution, "x_stored", statement, delta->desc, delta->identity);
}

static void
check_count(DynExecution *execution, DynSink *sink, DynRows *rows, const char *what,
			int64 done, int64 expected)
{
	char	   *row;

	if (done == expected)
		return;
	row = missing_row(execution, sink, rows);
	ereport(ERROR,
			errcode(ERRCODE_DYN_STATE_DIVERGED),
			errmsg("a refresh of %s would %s rows that are not there", sink->name, what),
			row ? errdetail_internal("%s", row) :
			errdetail("%lld rows were found, %lld were expected.",
					  (long long) done, (long long) expected));
}

static char *
listed(List *names)
{
	StringInfoData list;
	ListCell   *lc;

	initStringInfo(&list);
	foreach(lc, names)
		appendStringInfo(&list, "%s%s", list.len ? ", " : "", (char *) lfirst(lc));
	return list.data;
}

static void
put_text(TupleTableSlot *slot, void *arg)
{
	slot_getallattrs(slot);
	if (!slot->tts_isnull[0])
		appendStringInfoString((StringInfo) arg, TextDatumGetCString(slot->tts_values[0]));
}

/* In words, the first row of those to be changed that was not there before the statement. */
static char *
missing_row(DynExecution *execution, DynSink *sink, DynRows *rows)
{
	List	   *mine = key_names(sink, false);
	List	   *theirs = key_names(sink, true);
	StringInfoData values;

	/* in our memory: the statement's goes with it */
	initStringInfo(&values);
	if (sink->key == NIL)
	{
		dyn_execute_before(execution,
						   psprintf("SELECT left((%s)::text, 1000) FROM %s d WHERE d.w < 0 AND -d.w > ("
									"SELECT count(*) FROM %s x WHERE %s(%s) = %s(%s)) LIMIT 1",
									dyn_identity_row(sink, "d"), rows->name, sink->name,
									sink->hash, dyn_identity_stored(sink, "x"),
									sink->hash, dyn_identity_row(sink, "d")),
						   put_text, &values);
		return values.len ? psprintf("Row %s is not there as often as it would go.", values.data) : NULL;
	}
	dyn_execute_before(execution,
					   psprintf("SELECT left(ROW(%s)::text, 1000) FROM %s d WHERE NOT EXISTS (SELECT FROM %s t WHERE %s) LIMIT 1",
								listed(theirs), rows->name, sink->name,
								dyn_sql_match("t", mine, "d", theirs, key_types(sink), true)),
					   put_text, &values);
	return values.len ? psprintf("Key (%s)=%s is not there.", listed(mine), values.data) : NULL;
}

static List *
key_names(DynSink *sink, bool of_delta)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, sink->key)
		names = lappend(names, of_delta ? psprintf("c%d", lfirst_int(lc)) :
						(char *) list_nth(sink->names, lfirst_int(lc) - 1));
	return names;
}

static List *
key_types(DynSink *sink)
{
	List	   *types = NIL;
	ListCell   *lc;

	foreach(lc, sink->key)
		types = lappend_oid(types, list_nth_oid(sink->types, lfirst_int(lc) - 1));
	return types;
}

static bool
key_has_null(DynSink *sink, DynRows *rows)
{
	ListCell   *lc;

	foreach(lc, sink->key)
		if (rows->has_null[lfirst_int(lc)])
			return true;
	return false;
}
