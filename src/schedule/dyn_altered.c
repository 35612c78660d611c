/*
 * dyn_altered.c
 *	  Definitions that were altered while nothing happened to their rows.
 *
 * A settled table's data timestamp advances without runs.  But what its query
 * gives, or whether its owner may still ask, can change without any row: a
 * function is replaced, row security is switched on, a right is revoked.  All of
 * that reaches every process of the database as an invalidation of a cache,
 * when its transaction has committed.  What may concern a table makes it be
 * refreshed once: that finds out, and does nothing where it was nothing.
 *
 * Which functions and types a table rests on is in its position
 * (query/dyn_basis.c).  Queries over views are never settled.
 *
 * A table that fails may be repaired by more than that: what it had not come to
 * when it failed, a function that a function calls, a view.  So whatever
 * function, type or view was altered, it is tried again, and an attempt in vain
 * is not held against it (dyn_failures.c).
 */
#include <postgres.h>

#include <catalog/pg_class.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>
#include <utils/timestamp.h>

#include "catalog/dyn_catalog.h"
#include "schedule/dyn_altered.h"

#define MAX_HEARD 64

static struct
{
	bool		all;			/* rights, or more than could be kept */
	bool		labels;			/* of some enum */
	int			nrelations;
	Oid			relations[MAX_HEARD];
	int			nfunctions;
	uint32		functions[MAX_HEARD];	/* hash values of syscache PROCOID */
}			heard;

static void
hear_relation(Datum arg, Oid relid)
{
	for (int i = 0; i < heard.nrelations; i++)
		if (heard.relations[i] == relid)
			return;
	if (OidIsValid(relid) && heard.nrelations < MAX_HEARD)
		heard.relations[heard.nrelations++] = relid;
	else
		heard.all = true;
}

static void
hear_function(Datum arg, int cache, uint32 hash)
{
	if (hash != 0 && heard.nfunctions < MAX_HEARD)
		heard.functions[heard.nfunctions++] = hash;
	else
		heard.all = true;
}

static void
hear_label(Datum arg, int cache, uint32 hash)
{
	heard.labels = true;
}

static void
hear_right(Datum arg, int cache, uint32 hash)
{
	heard.all = true;
}

void
dyn_altered_init(void)
{
	CacheRegisterRelcacheCallback(hear_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, hear_function, (Datum) 0);
	CacheRegisterSyscacheCallback(ENUMOID, hear_label, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, hear_right, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, hear_right, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, hear_right, (Datum) 0);
}

bool
dyn_altered_any(void)
{
	return heard.all || heard.labels || heard.nrelations > 0 || heard.nfunctions > 0;
}

static bool
heard_relation(Oid relid)
{
	for (int i = 0; i < heard.nrelations; i++)
		if (heard.relations[i] == relid)
			return true;
	return false;
}

static bool
heard_item(const char *item)
{
	Oid			oid = strtoul(item + 2, NULL, 10);
	uint32		hash;

	switch (item[0])
	{
		case 'l':
			return heard.labels;
		case 'c':
			return heard_relation(get_typ_typrelid(oid));
		default:
			hash = GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(oid));
			for (int i = 0; i < heard.nfunctions; i++)
				if (heard.functions[i] == hash)
					return true;
			return false;
	}
}

/* Tables that rest on functions and types that were heard of. */
static void
apply_bases(DynGraph *graph)
{
	ListCell   *row;
	ListCell   *item;

	foreach(row, dyn_position_bases())
	{
		DynPosition *position = lfirst(row);
		DynNode    *node = dyn_graph_find(graph, position->relid);

		foreach(item, position->basis)
			if (node != NULL && heard_item(lfirst(item)))
				node->altered = true;
	}
}

/* It has failed, or does so perhaps in this moment. */
static bool
may_need_repair(const DynNode *node)
{
	return node->busy || !TIMESTAMP_IS_NOBEGIN(node->retry_at);
}

void
dyn_altered_apply(DynGraph *graph)
{
	bool		bases = heard.labels || heard.nfunctions > 0;
	bool		views = false;

	for (int i = 0; i < heard.nrelations; i++)
	{
		char		kind = get_rel_relkind(heard.relations[i]);

		bases |= kind == RELKIND_COMPOSITE_TYPE;
		views |= kind == RELKIND_VIEW;
	}
	if (bases)
		apply_bases(graph);
	for (int i = 0; i < graph->nnodes; i++)
	{
		DynNode    *node = &graph->nodes[i];

		node->altered |= heard.all || heard_relation(node->relid) ||
			((bases || views) && may_need_repair(node));
		for (int j = 0; j < node->nsources && !node->altered; j++)
			node->altered = heard_relation(node->sources[j]);
		for (int j = -1; !node->altered && (j = bms_next_member(node->closure, j)) >= 0;)
			node->altered = graph->nodes[j].altered;
	}
	heard.all = heard.labels = false;
	heard.nrelations = heard.nfunctions = 0;
}
