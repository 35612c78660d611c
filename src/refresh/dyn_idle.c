/*
 * dyn_idle.c
 *	  Refreshes of tables to which nothing happened.
 *
 * A refresh that finds nothing has told that the definition means what it
 * meant, that its owner may run it, that the state is complete and that no
 * change was logged.  The session remembers, and the next one asks only
 * whether anything of that can have changed: the rows of dyntable's own tables
 * by their versions, the catalogs by what the server tells, the sources by the
 * counts of capture.  If not, it writes nothing, has no xid and leaves no WAL:
 * the data timestamp advances in shared memory, and the refresh is counted
 * there behind the row of history that tells of the one before, from which
 * both come to the catalog with the next refresh that is written (which
 * every tenth minute is).
 *
 * That goes for refreshes by hand, under READ COMMITTED, of definitions in which
 * the clock has no part.  The scheduler does the same for its own
 * (schedule/dyn_settled.c).
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <lib/ilist.h>
#include <optimizer/optimizer.h>
#include <storage/lmgr.h>
#include <utils/hsearch.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>

#include "base/dyn_freshness.h"
#include "base/dyn_queue.h"
#include "capture/dyn_capture.h"
#include "query/dyn_expr.h"
#include "refresh/dyn_idle.h"
#include "refresh/dyn_own_log.h"
#include "refresh/dyn_phases.h"

/* With more tables than this all are forgotten, and it begins anew. */
#define MOST_TABLES		4096

/* So long after its position was stored a table is refreshed in writing. */
#define WRITE_INTERVAL	(600 * USECS_PER_SEC)

/* A captured source, and the row that says how it is captured. */
typedef struct Source
{
	Oid			relid;
	int64		version;
} Source;

typedef struct Remembered
{
	Oid			relid;			/* key */
	bool		valid;
	dlist_node	among_valid;
	uint64		objects;		/* objects_changed, then */
	DynRowVersion table;
	DynRowVersion position;
	List	   *relations;		/* of Oid: what the query names, and what we keep for the table */
	int			nsources;
	Source	   *sources;
	uint64		changes;		/* counted of them before the delta was read */
	int			capture_pid;	/* by this process: one that fails may not have counted its last batch */
	int64		lag;			/* target lag, microseconds; 0: none */
	MemoryContext context;		/* of what it points to */
} Remembered;

/* What becomes of one table of a run. */
typedef struct Idle
{
	const Remembered *known;
	TimestampTz stored;			/* data timestamp in the catalog */
	int64		history;		/* the row that this refresh is counted behind */
	int			repeats;
} Idle;

static MemoryContext context = NULL;	/* of all of it */
static HTAB *remembered = NULL;
static dlist_head valid_tables = DLIST_STATIC_INIT(valid_tables);	/* a change of a relation looks at these alone */

/* How often the server told of changes to relations, and to other objects. */
static uint64 relations_changed = 0;
static uint64 objects_changed = 0;
static bool listening = false;

static void
set_valid(Remembered *known, bool valid)
{
	if (known->valid == valid)
		return;
	known->valid = valid;
	if (valid)
		dlist_push_head(&valid_tables, &known->among_valid);
	else
		dlist_delete(&known->among_valid);
}

static void
relation_changed(Datum arg, Oid relid)
{
	dlist_mutable_iter iter;

	relations_changed++;
	dlist_foreach_modify(iter, &valid_tables)
	{
		Remembered *known = dlist_container(Remembered, among_valid, iter.cur);

		if (!OidIsValid(relid) || list_member_oid(known->relations, relid))
			set_valid(known, false);
	}
}

static void
object_changed(Datum arg, int cacheid, uint32 hash)
{
	objects_changed++;
}

static void
listen(void)
{
	static const int caches[] = {
		PROCOID, TYPEOID, NAMESPACEOID, OPEROID, AMOPOPID, CASTSOURCETARGET, COLLOID, AUTHOID, AUTHMEMROLEMEM
	};

	if (listening)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], object_changed, (Datum) 0);
	listening = true;
}

static Remembered *
find(Oid relid)
{
	return remembered ? hash_search(remembered, &relid, HASH_FIND, NULL) : NULL;
}

/* The table's entry, with nothing in it. */
static Remembered *
enter(Oid relid)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(Remembered)};
	Remembered *known;
	bool		found;

	if (remembered && hash_get_num_entries(remembered) >= MOST_TABLES)
	{
		remembered = NULL;
		dlist_init(&valid_tables);
		MemoryContextReset(context);
	}
	if (remembered == NULL)
	{
		if (context == NULL)
			context = AllocSetContextCreate(CacheMemoryContext, "dyntable idle tables", ALLOCSET_SMALL_SIZES);
		control.hcxt = context;
		remembered = hash_create("dyntable idle tables", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	known = hash_search(remembered, &relid, HASH_ENTER, &found);
	if (!found)
		known->valid = false;
	set_valid(known, false);
	known->relations = NIL;
	if (found && known->context)
		MemoryContextReset(known->context);
	else
	{
		known->context = NULL;
		known->context = AllocSetContextCreate(context, "dyntable idle table", ALLOCSET_SMALL_SIZES);
	}
	return known;
}

/* ------------------------------------------------------------------------
 * Remembering
 * ------------------------------------------------------------------------
 */
void
dyn_idle_begin(DynTarget *target)
{
	listen();
	target->relations_changed = relations_changed;
	target->objects_changed = objects_changed;
}

static uint64
counted(int nsources, const Source *sources)
{
	Oid		   *relids = palloc(sizeof(Oid) * (nsources + 1));

	for (int i = 0; i < nsources; i++)
		relids[i] = sources[i].relid;
	return dyn_changes_sum(relids, nsources);
}

static Source *
captured_sources(const List *edges, int *nsources)
{
	Source	   *sources = palloc(sizeof(Source) * (list_length(edges) + 1));
	ListCell   *lc;

	*nsources = 0;
	foreach(lc, edges)
		if (((DynEdge *) lfirst(lc))->kind == DYN_EDGE_BASE)
			sources[(*nsources)++].relid = ((DynEdge *) lfirst(lc))->source;
	return sources;
}

/* What is counted now is in the logs, where the delta is going to be read. */
void
dyn_idle_reading(DynTarget *target)
{
	int			nsources;
	Source	   *sources = captured_sources(target->evaluation.edges, &nsources);

	target->capture_pid = dyn_capture_process();
	target->changes = counted(nsources, sources);
}

/* Whether all that this refresh found out is to be told by what is looked at. */
static bool
can_rest(const DynTarget *target)
{
	ListCell   *lc;

	foreach(lc, target->evaluation.edges)
		if (((DynEdge *) lfirst(lc))->kind == DYN_EDGE_FULL)
			return false;
	return target->run->trigger == DYN_TRIGGER_MANUAL && target->result->exhausted && !target->frozen && !target->next_reinit && !target->retyped &&
		!target->upgraded && !target->returned && !target->followers && !target->shape &&
		target->sink->outlived == NIL && relations_changed == target->relations_changed &&
		objects_changed == target->objects_changed && !dyn_expr_has_now((Node *) target->query);
}

/* What the query names, the logs it is refreshed from, the table and its state. */
static List *
relations_of(const DynTarget *target)
{
	List	   *relations = NIL;
	List	   *items = NIL;
	bool		row_security;
	ListCell   *lc;

	extract_query_dependencies((Node *) target->query, &relations, &items, &row_security);
	relations = list_append_unique_oid(relations, target->table->relid);
	foreach(lc, target->evaluation.edges)
	{
		const DynEdge *edge = lfirst(lc);
		DynSource  *source = edge->kind == DYN_EDGE_BASE ? dyn_source_get(edge->source) : NULL;

		if (edge->kind == DYN_EDGE_DYNAMIC)
			relations = lappend_oid(relations, dyn_stage_get(edge->source, 0));
		if (source)
			relations = lappend_oid(lappend_oid(relations, source->log), source->other_log);
		if (get_rel_relkind(edge->source) == RELKIND_PARTITIONED_TABLE)
			relations = list_concat_unique_oid(relations, find_all_inheritors(edge->source, NoLock, NULL));
	}
	return list_concat_unique_oid(relations, dyn_stages_of(target->table->relid));
}

void
dyn_idle_remember(DynTarget *target)
{
	Remembered *known;
	MemoryContext old;

	if (!can_rest(target))
		return;
	known = enter(target->table->relid);
	old = MemoryContextSwitchTo(known->context);
	known->relations = relations_of(target);
	known->sources = captured_sources(target->evaluation.edges, &known->nsources);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < known->nsources; i++)
	{
		DynSource  *source = dyn_source_get(known->sources[i].relid);

		if (source == NULL)
			return;
		known->sources[i].version = source->version;
	}
	known->table = target->table->version;
	known->position = target->position->version;
	known->changes = target->changes;
	known->capture_pid = target->capture_pid;
	known->lag = dyn_lag_microseconds(target->table);
	known->objects = target->objects_changed;
	set_valid(known, relations_changed == target->relations_changed && objects_changed == target->objects_changed);
}

/* ------------------------------------------------------------------------
 * Resting on it
 * ------------------------------------------------------------------------
 */
static bool
is_known(Oid relid)
{
	const Remembered *known = find(relid);

	return known != NULL && known->valid && known->objects == objects_changed;
}

bool
dyn_idle_possible(const DynRun *run)
{
	ListCell   *lc;

	/* one that is traced, or at a moment of the session's choice, is going to be taken back */
	if (run->trigger != DYN_TRIGGER_MANUAL || run->asked != DT_NOEND || dyn_execute_traces != NULL ||
		IsolationUsesXactSnapshot() || TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	foreach(lc, run->order)
		if (!is_known(lfirst_oid(lc)))
			return false;
	return true;
}

/* Whether what a table reads stands where the table's position says. */
static bool
inputs_unchanged(const DynRun *run, const Remembered *known)
{
	ListCell   *lc;

	foreach(lc, dyn_run_edges(run, known->relid))
	{
		const DynEdge *edge = lfirst(lc);

		if (edge->kind == DYN_EDGE_DYNAMIC && dyn_position_refresh_no(edge->source) != edge->refresh_no)
			return false;
	}
	for (int i = 0; i < known->nsources; i++)
	{
		const DynSource *source = dyn_source_get(known->sources[i].relid);

		if (source == NULL || source->version != known->sources[i].version)
			return false;
	}
	return known->nsources == 0 ||
		(run->generation != 0 && known->capture_pid != 0 && known->capture_pid == dyn_capture_process() &&
		 known->changes == counted(known->nsources, known->sources));
}

/* Whether nothing happened to one table; locks its query's relations, for which somebody may be changing them. */
static bool
look_at(const DynRun *run, Oid relid, Idle *idle)
{
	const Remembered *known = find(relid);
	DynPosition *position = dyn_position_get(relid);
	ListCell   *lc;

	foreach(lc, known->relations)
		LockRelationOid(lfirst_oid(lc), AccessShareLock);
	if (!is_known(relid) || !dyn_same_version(known->position, position->version) ||
		!dyn_position_holds(run, position) || !dyn_table_is(relid, &known->table) ||
		run->upto - position->data_timestamp > WRITE_INTERVAL || !inputs_unchanged(run, known))
		return false;
	idle->known = known;
	idle->stored = position->data_timestamp;
	idle->history = dyn_history_idle(relid, dyn_trigger_name(run->trigger), &idle->repeats);
	return idle->history != 0;
}

/* The cost of a run is that of its tables, each of which has its part of it. */
static bool
count(const DynRun *run, const Idle *idle, TimestampTz started, int ntables)
{
	DynCost		cost = dyn_phases_cost();
	DynRepeats	one = {
		.id = idle->history,
		.stored = idle->repeats,
		.count = 1,
		.started = started,
		.ended = GetCurrentTimestamp(),
		.data_timestamp = run->upto,
		.cpu_ms = cost.cpu_ms / ntables,
		.blocks_hit = cost.blocks_hit / ntables,
		.blocks_read = cost.blocks_read / ntables,
	};

	return dyn_repeats_add(idle->known->relid, &one, idle->stored, idle->known->lag);
}

List *
dyn_idle_refresh(DynRun *run)
{
	int			ntables = list_length(run->order);
	Idle	   *idle = palloc0(sizeof(Idle) * ntables);
	TimestampTz started = GetCurrentTimestamp();
	List	   *results = NIL;
	ListCell   *lc;

	dyn_phases_begin(run->waited_us);
	AcceptInvalidationMessages();
	foreach(lc, run->order)
		if (!look_at(run, lfirst_oid(lc), &idle[foreach_current_index(lc)]))
			return NIL;
	/* locks that were waited for, and statements, may have brought news of those before */
	if (!dyn_idle_possible(run))
		return NIL;
	for (int i = 0; i < ntables; i++)
	{
		DynResult  *result = palloc0(sizeof(DynResult));

		/* one that there is no room for makes all of them write, though some are counted by now */
		if (!count(run, &idle[i], started, ntables))
			return NIL;
		result->relid = idle[i].known->relid;
		result->action = DYN_ACTION_NO_DATA;
		result->data_timestamp = run->upto;
		result->started = started;
		result->ended = GetCurrentTimestamp();
		result->exhausted = result->idle = true;
		results = lappend(results, result);
	}
	dyn_queue_announce_progress();
	return results;
}
