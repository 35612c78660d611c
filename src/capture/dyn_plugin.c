/*
 * dyn_plugin.c
 *	  The output plugin: changes of tracked sources become rows of the batch.
 *
 * It writes nothing and makes no text.  Callbacks run inside a read-only
 * transaction of the decoder with a historic snapshot, so they may look at
 * catalogs as they were but can neither take an xid nor leave anything in the
 * transaction's memory: rows go to tuplestores that belong to no transaction
 * (and spill to disk when a source transaction is large).  dyn_worker.c writes
 * them when the callbacks have returned.
 *
 * No change may make a callback fail: the decoder would meet it again after
 * every restart.  What cannot be turned into a row becomes an event (weight 0),
 * which makes every reader initialise again.
 *
 * Which relation belongs to which sources (itself, and the partitioned tables
 * above it), and where the tracked columns stand in it, is kept in a hash
 * table; relcache invalidations, which the decoder replays at their place in
 * the WAL, make entries stale.
 */
#include <postgres.h>

#include <access/detoast.h>
#include <access/htup_details.h>
#include <access/relation.h>
#include <access/transam.h>
#include <catalog/partition.h>
#include <miscadmin.h>
#include <replication/output_plugin.h>
#include <utils/datum.h>
#include <utils/hsearch.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/relcache.h>
#include <utils/resowner.h>

#include "capture/dyn_capture_internal.h"
#include "compat/dyn_compat.h"

/* Memory of one tuplestore before it spills. */
#define BATCH_MEMORY_KB 8192

/* Instead of an attribute number: cannot be had; or dropped, so that nobody reads it any more. */
#define COLUMN_MISSING	0
#define COLUMN_DROPPED	(-1)

/* A source that a relation's changes belong to. */
typedef struct DynTarget
{
	DynTracked *tracked;
	AttrNumber *columns;		/* per tracked column: where it stands in the relation, or: */
	bool		complete;		/* no column is missing */
} DynTarget;

typedef struct DynMapping
{
	Oid			relid;			/* hash key */
	bool		stale;
	MemoryContext context;		/* NULL when there are no targets */
	int			ntargets;
	DynTarget  *targets;
} DynMapping;

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *cb);

bool		dyn_capture_worker = false;
RepOriginId dyn_capture_origin = InvalidRepOriginId;
int64		dyn_capture_decoding = 0;
bool		dyn_batch_reshaped = false;

static MemoryContext sources_context = NULL;
static MemoryContext batch_context = NULL;	/* until the batch is written */
static MemoryContext change_context = NULL; /* one change */
static List *sources = NIL;		/* of DynTracked *, ordered by OID */
static List *changed = NIL;		/* those that have rows in the batch; in batch_context */
static HTAB *mappings = NULL;
static uint64 current_xid = 0;	/* of the transaction that is being decoded; 0: not yet asked for */
static int64 batch_rows = 0;

/* Work space for one change, as wide as the widest relation met. */
static int	change_width = 0;
static Datum *old_values;
static Datum *new_values;
static bool *old_nulls;
static bool *new_nulls;

/* ---- the batch ---- */

int64
dyn_batch_rows(void)
{
	return batch_rows;
}

List *
dyn_batch_sources(void)
{
	return sources;
}

List *
dyn_batch_changed(void)
{
	return changed;
}

void
dyn_batch_clear(void)
{
	ListCell   *lc;

	foreach(lc, changed)
	{
		DynTracked *tracked = lfirst(lc);

		if (tracked->rows)
			tuplestore_end(tracked->rows);
		tracked->rows = NULL;
		tracked->nrows = 0;
		tracked->event_xid = tracked->column_event_xid = 0;
		tracked->column_events = NULL;
	}
	batch_rows = 0;
	changed = NIL;
	MemoryContextReset(batch_context);
}

/*
 * A tuplestore that outlives the decoder's transaction must not be owned by
 * its resource owner.
 */
static void
batch_open(DynTracked *tracked)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext caller = MemoryContextSwitchTo(batch_context);

	changed = lappend(changed, tracked);
	CurrentResourceOwner = NULL;
	tracked->rows = tuplestore_begin_heap(false, true, BATCH_MEMORY_KB);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(caller);
}

/* Put tracked->values into the batch. */
static void
batch_add(DynTracked *tracked, uint64 xid, int weight)
{
	if (tracked->rows == NULL)
		batch_open(tracked);
	tracked->values[DYN_LOG_XID - 1] = UInt64GetDatum(xid);
	tracked->values[DYN_LOG_WEIGHT - 1] = Int16GetDatum(weight);
	tracked->nulls[DYN_LOG_XID - 1] = tracked->nulls[DYN_LOG_WEIGHT - 1] = false;
	tuplestore_putvalues(tracked->rows, tracked->log_desc, tracked->values, tracked->nulls);
	tracked->nrows++;
	batch_rows++;
}

/* One event a transaction says it all. */
static void
batch_add_event(DynTracked *tracked, uint64 xid)
{
	if (tracked->event_xid == xid)
		return;
	memset(tracked->nulls, true, tracked->log_desc->natts);
	batch_add(tracked, xid, 0);
	tracked->event_xid = xid;
}

/* The same for a single column. */
static void
batch_add_column_event(DynTracked *tracked, uint64 xid, AttrNumber column)
{
	MemoryContext caller;

	if (tracked->column_event_xid != xid)
		tracked->column_events = NULL;
	tracked->column_event_xid = xid;
	if (tracked->event_xid == xid || bms_is_member(column, tracked->column_events))
		return;
	memset(tracked->nulls, true, tracked->log_desc->natts);
	batch_add(tracked, xid, DYN_LOG_COLUMN_EVENT(column));
	caller = MemoryContextSwitchTo(batch_context);
	tracked->column_events = bms_add_member(tracked->column_events, column);
	MemoryContextSwitchTo(caller);
}

/* ---- sources ---- */

static DynTracked *
find_source(Oid relid)
{
	int			low = 0;
	int			high = list_length(sources) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		DynTracked *tracked = list_nth(sources, middle);

		if (tracked->relid == relid)
			return tracked;
		if (tracked->relid < relid)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

static void
forget_mappings(Oid relid)
{
	HASH_SEQ_STATUS scan;
	DynMapping *mapping;

	if (mappings == NULL)
		return;
	if (OidIsValid(relid) && find_source(relid) == NULL)
	{
		mapping = hash_search(mappings, &relid, HASH_FIND, NULL);
		if (mapping)
			mapping->stale = true;
		return;
	}
	/* a source itself changed, or everything: its partitions map differently */
	hash_seq_init(&scan, mappings);
	while ((mapping = hash_seq_search(&scan)) != NULL)
		mapping->stale = true;
}

static void
relcache_changed(Datum arg, Oid relid)
{
	forget_mappings(relid);
}

void
dyn_batch_init(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(DynMapping)};

	sources_context = AllocSetContextCreate(TopMemoryContext, "dyntable sources",
											ALLOCSET_DEFAULT_SIZES);
	batch_context = AllocSetContextCreate(TopMemoryContext, "dyntable batch",
										  ALLOCSET_DEFAULT_SIZES);
	change_context = AllocSetContextCreate(TopMemoryContext, "dyntable change",
										   ALLOCSET_DEFAULT_SIZES);
	control.hcxt = TopMemoryContext;
	mappings = hash_create("dyntable mappings", 256, &control,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(relcache_changed, (Datum) 0);
}

/* The source as described by its row and its log; NULL when the log is gone. */
static DynTracked *
tracked_from_row(DynSource *source)
{
	Relation	log = try_relation_open(source->log, AccessShareLock);
	MemoryContext context;
	MemoryContext caller;
	DynTracked *tracked;
	ListCell   *lc;

	if (log == NULL)
		return NULL;
	context = AllocSetContextCreate(sources_context, "dyntable source", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	tracked = palloc0(sizeof(DynTracked));
	tracked->context = context;
	tracked->relid = source->relid;
	tracked->version = source->version;
	tracked->logs[0] = source->log;
	tracked->logs[1] = source->other_log;
	tracked->registered_lsn = source->registered_lsn;
	tracked->log_desc = CreateTupleDescCopy(RelationGetDescr(log));
	tracked->values = palloc0(sizeof(Datum) * tracked->log_desc->natts);
	tracked->nulls = palloc0(sizeof(bool) * tracked->log_desc->natts);
	tracked->columns = palloc0(sizeof(AttrNumber) * list_length(source->columns));
	tracked->log_columns = palloc0(sizeof(AttrNumber) * list_length(source->columns));
	foreach(lc, source->columns)
	{
		char		name[NAMEDATALEN];
		int			i = tracked->ncolumns++;

		tracked->columns[i] = lfirst_int(lc);
		dyn_changelog_column_name(lfirst_int(lc), name);
		for (int a = 0; a < tracked->log_desc->natts; a++)
		{
			Form_pg_attribute att = TupleDescAttr(tracked->log_desc, a);

			if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
				tracked->log_columns[i] = att->attnum;
		}
	}
	MemoryContextSwitchTo(caller);
	relation_close(log, AccessShareLock);
	return tracked;
}

/* Read which sources are under capture; those whose row is as it was stay as they are. */
void
dyn_batch_reload(void)
{
	HASH_SEQ_STATUS scan;
	DynMapping *mapping;
	List	   *now = NIL;
	ListCell   *lc;

	Assert(batch_rows == 0);
	hash_seq_init(&scan, mappings);
	while ((mapping = hash_seq_search(&scan)) != NULL)
	{
		if (mapping->context)
			MemoryContextDelete(mapping->context);
		hash_search(mappings, &mapping->relid, HASH_REMOVE, NULL);
	}
	foreach(lc, dyn_source_all())
	{
		DynSource  *row = lfirst(lc);
		DynTracked *tracked = find_source(row->relid);
		MemoryContext caller;

		if (tracked && tracked->version == row->version)
			sources = list_delete_ptr(sources, tracked);
		else if ((tracked = tracked_from_row(row)) == NULL)
			continue;
		else
			dyn_changelog_measure(tracked);
		caller = MemoryContextSwitchTo(sources_context);
		now = lappend(now, tracked);
		MemoryContextSwitchTo(caller);
	}
	foreach(lc, sources)
		MemoryContextDelete(((DynTracked *) lfirst(lc))->context);
	list_free(sources);
	sources = now;
}

/* ---- relations and the sources they belong to ---- */

/* Where the tracked columns of a partitioned table stand in one of its partitions. */
static void
map_columns(DynTracked *tracked, Relation root, Relation relation, AttrNumber *columns)
{
	TupleDesc	from = RelationGetDescr(root);
	TupleDesc	to = RelationGetDescr(relation);

	for (int i = 0; i < tracked->ncolumns; i++)
	{
		AttrNumber	wanted = tracked->columns[i];
		AttrNumber	logged = tracked->log_columns[i];
		Form_pg_attribute from_att;

		columns[i] = COLUMN_MISSING;
		if (wanted > from->natts)
			continue;
		from_att = TupleDescAttr(from, wanted - 1);
		if (from_att->attisdropped)
		{
			columns[i] = COLUMN_DROPPED;
			continue;
		}
		if (logged == 0)
			continue;
		for (int a = 0; a < to->natts; a++)
		{
			Form_pg_attribute to_att = TupleDescAttr(to, a);

			/* a table maps to itself by number, a partition by name */
			if (root == relation ? a != wanted - 1 :
				to_att->attisdropped || strcmp(NameStr(to_att->attname), NameStr(from_att->attname)) != 0)
				continue;
			if (getBaseType(to_att->atttypid) == TupleDescAttr(tracked->log_desc, logged - 1)->atttypid)
				columns[i] = to_att->attnum;
			break;
		}
	}
}

static void
mapping_add(DynMapping *mapping, DynTracked *tracked, Relation relation)
{
	MemoryContext caller;
	DynTarget  *target;
	Relation	root = relation;

	if (tracked == NULL)
		return;
	if (tracked->relid != RelationGetRelid(relation))
		root = RelationIdGetRelation(tracked->relid);
	if (!RelationIsValid(root))
		return;
	if (mapping->context == NULL)
		mapping->context = AllocSetContextCreate(TopMemoryContext, "dyntable mapping",
												 ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(mapping->context);
	if (mapping->targets == NULL)
		mapping->targets = palloc(sizeof(DynTarget));
	else
		mapping->targets = repalloc(mapping->targets,
									sizeof(DynTarget) * (mapping->ntargets + 1));
	target = &mapping->targets[mapping->ntargets++];
	target->tracked = tracked;
	target->columns = palloc0(sizeof(AttrNumber) * Max(tracked->ncolumns, 1));
	MemoryContextSwitchTo(caller);
	map_columns(tracked, root, relation, target->columns);
	target->complete = true;
	for (int i = 0; i < tracked->ncolumns; i++)
		target->complete &= target->columns[i] != COLUMN_MISSING;
	if (root != relation)
		RelationClose(root);
}

static DynMapping *
find_mapping(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	bool		found;
	DynMapping *mapping = hash_search(mappings, &relid, HASH_FIND, NULL);

	if (mapping && !mapping->stale)
		return mapping;
	mapping = hash_search(mappings, &relid, HASH_ENTER, &found);
	if (found && mapping->context)
		MemoryContextDelete(mapping->context);
	mapping->context = NULL;
	mapping->ntargets = 0;
	mapping->targets = NULL;
	mapping->stale = false;

	mapping_add(mapping, find_source(relid), relation);
	if (relation->rd_rel->relispartition)
	{
		ListCell   *lc;

		foreach(lc, get_partition_ancestors(relid))
			mapping_add(mapping, find_source(lfirst_oid(lc)), relation);
	}
	return mapping;
}

/* ---- changes ---- */

/* With its epoch, for which a lock is taken that writers take, too: once a transaction. */
static uint64
full_xid(const ReorderBufferTXN *txn)
{
	if (current_xid == 0)
	{
		FullTransactionId next = ReadNextFullTransactionId();
		uint64		epoch = EpochFromFullTransactionId(next);

		if (txn->xid > XidFromFullTransactionId(next))
			epoch--;
		current_xid = (epoch << 32) | txn->xid;
	}
	return current_xid;
}

static bool
is_external(TupleDesc desc, int column, Datum value, bool isnull, bool ondisk)
{
	struct varlena *data = (struct varlena *) DatumGetPointer(value);

	if (isnull || TupleDescAttr(desc, column - 1)->attlen != -1)
		return false;
	return ondisk ? VARATT_IS_EXTERNAL_ONDISK(data) : VARATT_IS_EXTERNAL(data);
}

/*
 * Copy the tracked columns of one version of a row into the log's row.  A
 * value left in TOAST by an UPDATE comes from the old version, which carries
 * it in line.  False when it does not.
 */
static bool
fill_values(DynTarget *target, TupleDesc desc, Datum *values, bool *nulls, bool has_old)
{
	DynTracked *tracked = target->tracked;

	memset(tracked->nulls, true, tracked->log_desc->natts);
	for (int i = 0; i < tracked->ncolumns; i++)
	{
		AttrNumber	from = target->columns[i];
		AttrNumber	to = tracked->log_columns[i];
		Datum		value;

		if (from <= 0 || nulls[from - 1])
			continue;
		value = values[from - 1];
		if (is_external(desc, from, value, false, true))
		{
			if (!has_old || old_nulls[from - 1] ||
				is_external(desc, from, old_values[from - 1], false, true))
				return false;
			value = old_values[from - 1];
		}
		if (is_external(desc, from, value, false, false))
			value = PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(value)));
		tracked->values[to - 1] = value;
		tracked->nulls[to - 1] = false;
	}
	return true;
}

/* Whether an UPDATE left all tracked columns as they were. */
static bool
same_image(DynTarget *target, TupleDesc desc)
{
	for (int i = 0; i < target->tracked->ncolumns; i++)
	{
		AttrNumber	column = target->columns[i];
		Form_pg_attribute att;

		if (column == COLUMN_MISSING)
			return false;
		if (column == COLUMN_DROPPED)
			continue;
		att = TupleDescAttr(desc, column - 1);
		if (old_nulls[column - 1] != new_nulls[column - 1])
			return false;
		if (new_nulls[column - 1] ||
			is_external(desc, column, new_values[column - 1], false, true))
			continue;
		if (!datum_image_eq(old_values[column - 1], new_values[column - 1],
							att->attbyval, att->attlen))
			return false;
	}
	return true;
}

/* The log cannot hold these columns (any more): that concerns only those who read them. */
static void
report_missing(DynTarget *target, uint64 xid)
{
	DynTracked *tracked = target->tracked;

	for (int i = 0; i < tracked->ncolumns; i++)
		if (target->columns[i] == COLUMN_MISSING)
			batch_add_column_event(tracked, xid, tracked->columns[i]);
}

static void
undecodable(DynTracked *tracked, Relation relation, uint64 xid)
{
	if (!tracked->complained)
		ereport(LOG,
				(errmsg("change of table \"%s\" in transaction " UINT64_FORMAT " cannot be captured",
						RelationGetRelationName(relation), xid),
				 errdetail("Its replica identity is not FULL."),
				 errhint("The dynamic tables that read it will be initialised again.")));
	tracked->complained = true;
	batch_add_event(tracked, xid);
}

static void
add_change(DynTarget *target, Relation relation, uint64 xid, bool has_old, bool has_new)
{
	DynTracked *tracked = target->tracked;
	TupleDesc	desc = RelationGetDescr(relation);

	if (has_old && has_new && same_image(target, desc))
		return;
	if (!target->complete)
		report_missing(target, xid);
	if (has_old)
	{
		if (!fill_values(target, desc, old_values, old_nulls, false))
		{
			undecodable(tracked, relation, xid);
			return;
		}
		batch_add(tracked, xid, -1);
	}
	if (has_new)
	{
		if (!fill_values(target, desc, new_values, new_nulls, has_old))
		{
			undecodable(tracked, relation, xid);
			return;
		}
		batch_add(tracked, xid, 1);
	}
}

static void
reserve_width(int natts)
{
	if (natts <= change_width)
		return;
	change_width = Max(natts, 64);
	old_values = MemoryContextAlloc(TopMemoryContext, sizeof(Datum) * change_width);
	new_values = MemoryContextAlloc(TopMemoryContext, sizeof(Datum) * change_width);
	old_nulls = MemoryContextAlloc(TopMemoryContext, sizeof(bool) * change_width);
	new_nulls = MemoryContextAlloc(TopMemoryContext, sizeof(bool) * change_width);
}

static void
change_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
		  Relation relation, ReorderBufferChange *change)
{
	MemoryContext caller = MemoryContextSwitchTo(change_context);
	DynMapping *mapping = find_mapping(relation);
	TupleDesc	desc = RelationGetDescr(relation);
	bool		needs_old = change->action != REORDER_BUFFER_CHANGE_INSERT;
	bool		needs_new = change->action != REORDER_BUFFER_CHANGE_DELETE;
	HeapTuple	old_tuple = dyn_change_tuple(change->data.tp.oldtuple);
	HeapTuple	new_tuple = dyn_change_tuple(change->data.tp.newtuple);
	uint64		xid;
	bool		whole;

	if (mapping->ntargets == 0)
	{
		MemoryContextSwitchTo(caller);
		return;
	}
	xid = full_xid(txn);

	/* without FULL the old version is missing, or holds the key alone */
	whole = (!needs_old || (old_tuple && relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL)) &&
		(!needs_new || new_tuple);
	if (whole)
	{
		reserve_width(desc->natts);
		if (needs_old)
			heap_deform_tuple(old_tuple, desc, old_values, old_nulls);
		if (needs_new)
			heap_deform_tuple(new_tuple, desc, new_values, new_nulls);
	}
	for (int i = 0; i < mapping->ntargets; i++)
	{
		DynTracked *tracked = mapping->targets[i].tracked;

		/* committed before the registrar had its lock: in every reader's snapshot */
		if (txn->end_lsn <= tracked->registered_lsn)
			continue;
		if (whole)
			add_change(&mapping->targets[i], relation, xid, needs_old, needs_new);
		else
			undecodable(tracked, relation, xid);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(change_context);
}

static void
truncate_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
			int nrelations, Relation relations[], ReorderBufferChange *change)
{
	for (int r = 0; r < nrelations; r++)
	{
		DynMapping *mapping = find_mapping(relations[r]);

		for (int i = 0; i < mapping->ntargets; i++)
			if (txn->end_lsn > mapping->targets[i].tracked->registered_lsn)
				batch_add_event(mapping->targets[i].tracked, full_xid(txn));
	}
}

/* DDL that changed a source's rows, see dyn_changelog_event. */
static void
message_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr message_lsn,
		   bool transactional, const char *prefix, Size size, const char *message)
{
	DynEventMessage event;
	DynTracked *tracked;

	if (!transactional || size != sizeof(event) || strcmp(prefix, DYN_EVENT_PREFIX) != 0)
		return;
	memcpy(&event, message, sizeof(event));
	if (event.generation != dyn_capture_decoding)
		return;
	tracked = find_source(event.relid);
	if (tracked == NULL || txn->end_lsn <= tracked->registered_lsn)
		return;
	dyn_batch_reshaped = true;
	if (event.column == InvalidAttrNumber)
		batch_add_event(tracked, full_xid(txn));
	else if (event.column != DYN_EVENT_NO_ROWS)
		batch_add_column_event(tracked, full_xid(txn), event.column);
}

/* ---- the plugin ---- */

static void
startup_cb(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = false;
}

static void
begin_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	current_xid = 0;
}

static void
commit_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
}

/* What the worker writes itself, and refreshes (dyn_origin.c), need not be decoded. */
static bool
filter_by_origin_cb(LogicalDecodingContext *ctx, RepOriginId origin_id)
{
	return origin_id != InvalidRepOriginId && origin_id == dyn_capture_origin;
}

/*
 * Change logs hold rows of tables that a user with the REPLICATION attribute
 * may not read, and a second reader could not be served anyway.
 */
void
_PG_output_plugin_init(OutputPluginCallbacks *cb)
{
	if (!dyn_capture_worker)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("output plugin \"dyntable\" is reserved for change capture of dyntable"),
				 errhint("Use another output plugin, for example pgoutput.")));
	cb->startup_cb = startup_cb;
	cb->begin_cb = begin_cb;
	cb->change_cb = change_cb;
	cb->truncate_cb = truncate_cb;
	cb->commit_cb = commit_cb;
	cb->message_cb = message_cb;
	cb->filter_by_origin_cb = filter_by_origin_cb;
}
