/*
 * dyn_kept.c
 *	  Plans of statements, kept from one refresh to the next.
 *
 * A plan is found by the text of its statement: what a refresh generates says
 * all that it means, and whatever changes about that, as the moments of a
 * moving condition, is another text.  It is used again while
 *	 - nothing it rests on was changed: the server tells, as it tells its own
 *	   plan cache;
 *	 - the deltas that it reads have about the size for which it was made, and
 *	   so have the tables, of which the server tells only when they are analysed;
 *	 - role and settings are those it was made under.
 *
 * Not the server's own plan cache, which analyses a statement anew when it has
 * to, and would then check permissions that have been taken from ours.
 */
#include <postgres.h>

#include <access/table.h>
#include <catalog/pg_class.h>
#include <common/hashfn.h>
#include <lib/ilist.h>
#include <nodes/parsenodes.h>
#include <storage/bufmgr.h>
#include <storage/lmgr.h>
#include <utils/inval.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/syscache.h>

#include "refresh/dyn_kept.h"

/* What all of them may take in a process. */
#define MAX_BYTES		(16 * 1024 * 1024)

#define BUCKETS			512

/* Statements of which is remembered that they were seen. */
#define SEEN			4096

/* Tables of so few pages are all alike. */
#define SMALL_TABLE		16

typedef struct Delta
{
	char	   *name;
	double		rows;			/* for which the plan was made */
	TupleDesc	desc;
} Delta;

typedef struct Table
{
	Oid			relid;
	LOCKMODE	lockmode;
	BlockNumber blocks;
} Table;

typedef struct Entry
{
	DynKept		kept;			/* first */
	dlist_node	by_use;
	struct Entry *next;			/* in the bucket */
	uint64		hash;
	char	   *setting;
	char	   *statement;
	Delta	   *deltas;
	int			ndeltas;
	Table	   *tables;
	int			ntables;
	MemoryContext context;
	Size		bytes;
} Entry;

static MemoryContext kept_context = NULL;
static Entry *buckets[BUCKETS];
static dlist_head by_use = DLIST_STATIC_INIT(by_use);	/* the last used first; then those of statements that came once */
static Size bytes_kept = 0;
static uint64 seen[SEEN];

/* Changes that the server told of, and how many there were when a plan was last looked for. */
static uint64 changes = 0;
static uint64 changes_known = 0;

/* ------------------------------------------------------------------------
 * What a plan rests on
 * ------------------------------------------------------------------------
 */
static void
relation_changed(Datum arg, Oid relid)
{
	dlist_iter	iter;

	changes++;
	dlist_foreach(iter, &by_use)
	{
		Entry	   *entry = dlist_container(Entry, by_use, iter.cur);

		if (!OidIsValid(relid) || list_member_oid(entry->kept.plan->relationOids, relid))
			entry->kept.valid = false;
	}
}

/* A function or a type. */
static void
object_changed(Datum arg, int cacheid, uint32 hash)
{
	dlist_iter	iter;
	ListCell   *lc;

	changes++;
	dlist_foreach(iter, &by_use)
	{
		Entry	   *entry = dlist_container(Entry, by_use, iter.cur);

		foreach(lc, entry->kept.plan->invalItems)
		{
			PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);

			if (item->cacheId == cacheid && (hash == 0 || item->hashValue == hash))
				entry->kept.valid = false;
		}
	}
}

/* Something that changes seldom, and of which plans do not say that they use it. */
static void
anything_changed(Datum arg, int cacheid, uint32 hash)
{
	relation_changed(arg, InvalidOid);
}

static void
begin(void)
{
	static const int caches[] = {NAMESPACEOID, OPEROID, AMOPOPID, CASTSOURCETARGET, COLLOID};

	if (kept_context)
		return;
	kept_context = AllocSetContextCreate(CacheMemoryContext, "dyntable kept plans", ALLOCSET_SMALL_SIZES);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, object_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, object_changed, (Datum) 0);
	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], anything_changed, (Datum) 0);
}

/* Is a plan that was made for so many rows good enough for as many as there are now? */
static bool
is_near(double before, double now)
{
	double		less = Max(Min(before, now), 1);

	/* of small deltas not much is lost by one that is less than the best */
	return Max(before, now) <= less * (less < 1024 ? 4 : 2);
}

static bool
has_blocks(Relation rel)
{
	return RELKIND_HAS_STORAGE(rel->rd_rel->relkind);
}

static BlockNumber
blocks_of(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	BlockNumber blocks = has_blocks(rel) ? RelationGetNumberOfBlocks(rel) : 0;

	table_close(rel, NoLock);
	return blocks;
}

static bool
grown(BlockNumber before, BlockNumber now)
{
	return Max(before, now) > SMALL_TABLE && Max(before, now) / 2 > Min(before, now);
}

static bool
fits(const Entry *entry, QueryEnvironment *env)
{
	for (int i = 0; i < entry->ndeltas; i++)
	{
		EphemeralNamedRelation delta = get_ENR(env, entry->deltas[i].name);

		if (delta == NULL || !is_near(entry->deltas[i].rows, delta->md.enrtuples) ||
			!equalTupleDescs(delta->md.tupdesc, entry->deltas[i].desc))
			return false;
	}
	return true;
}

/* With its tables locked, which may bring news of them. */
static bool
lock(Entry *entry)
{
	for (int i = 0; i < entry->ntables && entry->kept.valid; i++)
		LockRelationOid(entry->tables[i].relid, entry->tables[i].lockmode);
	for (int i = 0; i < entry->ntables && entry->kept.valid; i++)
		if (grown(entry->tables[i].blocks, blocks_of(entry->tables[i].relid)))
			entry->kept.valid = false;
	return entry->kept.valid;
}

/* ------------------------------------------------------------------------
 * Keeping
 * ------------------------------------------------------------------------
 */
static uint64
hash_of(const char *setting, const char *statement)
{
	return hash_combine64(DatumGetUInt64(hash_any_extended((const unsigned char *) setting, strlen(setting), 0)),
						  DatumGetUInt64(hash_any_extended((const unsigned char *) statement, strlen(statement), 0)));
}

static void
forget(Entry *entry)
{
	Entry	  **at = &buckets[entry->hash % BUCKETS];

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	dlist_delete(&entry->by_use);
	bytes_kept -= entry->bytes;
	MemoryContextDelete(entry->context);
}

static void
make_room(void)
{
	dlist_node *node = dlist_is_empty(&by_use) ? NULL : dlist_tail_node(&by_use);

	while (node && bytes_kept > MAX_BYTES)
	{
		Entry	   *entry = dlist_container(Entry, by_use, node);

		node = dlist_has_prev(&by_use, node) ? dlist_prev_node(&by_use, node) : NULL;
		if (entry->kept.pins == 0)
			forget(entry);
	}
}

static void
release(void *arg)
{
	((DynKept *) arg)->pins--;
}

/* A plan that is being run must not go, even where a change makes it invalid. */
static DynKept *
pin(DynKept *kept)
{
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	callback->func = release;
	callback->arg = kept;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	kept->pins++;
	return kept;
}

DynKept *
dyn_kept_find(const char *setting, const char *statement, QueryEnvironment *env)
{
	uint64		hash = hash_of(setting, statement);
	Entry	   *next;

	begin();
	changes_known = changes;
	for (Entry *entry = buckets[hash % BUCKETS]; entry; entry = next)
	{
		next = entry->next;
		if (!entry->kept.valid && entry->kept.pins == 0)
		{
			forget(entry);
			continue;
		}
		if (entry->hash != hash || !entry->kept.valid || strcmp(entry->statement, statement) != 0 ||
			strcmp(entry->setting, setting) != 0 || !fits(entry, env))
			continue;
		if (!lock(entry))
			return NULL;
		dlist_move_head(&by_use, &entry->by_use);
		return pin(&entry->kept);
	}
	return NULL;
}

/* Was it offered before? */
static bool
seen_before(uint64 hash)
{
	uint64	   *place = &seen[hash % SEEN];
	bool		before = *place == hash;

	*place = hash;
	return before;
}

/* The ephemeral relations and the tables of the plan. */
static void
describe(Entry *entry, QueryEnvironment *env)
{
	PlannedStmt *plan = entry->kept.plan;
	ListCell   *lc;

	entry->deltas = palloc(sizeof(Delta) * list_length(plan->rtable));
	entry->tables = palloc(sizeof(Table) * list_length(plan->rtable));
	foreach(lc, plan->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_NAMEDTUPLESTORE)
			entry->deltas[entry->ndeltas++] = (Delta) {
				.name = rte->enrname, .rows = rte->enrtuples,
				.desc = CreateTupleDescCopy(get_ENR(env, rte->enrname)->md.tupdesc)
			};
		else if (rte->rtekind == RTE_RELATION)
			entry->tables[entry->ntables++] = (Table) {
				.relid = rte->relid, .lockmode = rte->rellockmode, .blocks = blocks_of(rte->relid)
			};
	}
}

void
dyn_kept_offer(const char *setting, const char *statement, QueryEnvironment *env,
			   PlannedStmt *plan, bool fires_no_trigger)
{
	uint64		hash = hash_of(setting, statement);
	MemoryContext old;
	MemoryContext context;
	Entry	   *entry;

	/* one that waits for an index to become usable is for this transaction only */
	if (plan->transientPlan || changes != changes_known)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "dyntable kept plan", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	entry = palloc0(sizeof(Entry));
	entry->context = context;
	entry->hash = hash;
	entry->setting = pstrdup(setting);
	entry->statement = pstrdup(statement);
	entry->kept.plan = copyObject(plan);
	entry->kept.fires_no_trigger = fires_no_trigger;
	entry->kept.valid = true;
	describe(entry, env);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, kept_context);

	entry->bytes = MemoryContextMemAllocated(context, true);
	entry->next = buckets[hash % BUCKETS];
	buckets[hash % BUCKETS] = entry;
	if (seen_before(hash))
		dlist_push_head(&by_use, &entry->by_use);
	else
		dlist_push_tail(&by_use, &entry->by_use);
	bytes_kept += entry->bytes;
	make_room();
}
