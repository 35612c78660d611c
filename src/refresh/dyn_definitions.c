/*
 * dyn_definitions.c
 *	  What was found out of definitions, kept from one refresh to the next.
 *
 * To read a stored tree and to hash an expanded one takes longer than to compare
 * them with those of the refresh before.  As only what is the same is used again,
 * nothing needs to be told of changes.
 */
#include <postgres.h>

#include <common/hashfn.h>
#include <utils/memutils.h>

#include "query/dyn_plan.h"
#include "refresh/dyn_definitions.h"

/* Of how many tables it is kept: those whose OIDs fall on the same place take it from each other. */
#define KEPT			256

/* A definition of more than this is not kept. */
#define LONGEST_TREE	(128 * 1024)

/*
 * How state is kept for a definition.  A library that keeps another one for the
 * same definition raises it: tables are computed anew with their next refresh.
 */
#define STATE_VERSION	3

typedef struct Tree
{
	MemoryContext context;
	Oid			relid;			/* InvalidOid: nothing is kept */
	char	   *text;
	Query	   *query;
} Tree;

typedef struct Hashed
{
	MemoryContext context;
	Oid			relid;
	Query	   *expanded;
	uint64		rows;			/* of dyn_query_row_types */
	int64		hash;
} Hashed;

static Tree trees[KEPT];
static Hashed hashes[KEPT];

static MemoryContext
emptied(MemoryContext *context)
{
	if (*context)
		MemoryContextReset(*context);
	else
		*context = AllocSetContextCreate(CacheMemoryContext, "dyntable definition", ALLOCSET_SMALL_SIZES);
	return *context;
}

Query *
dyn_definition_tree(const DynTable *table)
{
	Tree	   *tree = &trees[murmurhash32(table->relid) % KEPT];
	Query	   *query;
	MemoryContext old;

	if (tree->relid == table->relid && strcmp(tree->text, table->tree) == 0)
		return copyObject(tree->query);
	query = castNode(Query, stringToNode(table->tree));
	if (strlen(table->tree) > LONGEST_TREE)
		return query;
	tree->relid = InvalidOid;
	old = MemoryContextSwitchTo(emptied(&tree->context));
	tree->text = pstrdup(table->tree);
	tree->query = copyObject(query);
	MemoryContextSwitchTo(old);
	tree->relid = table->relid;
	return query;
}

int64
dyn_definition_hash(Oid relid, Query *expanded)
{
	Hashed	   *hashed = &hashes[murmurhash32(relid) % KEPT];
	uint64		rows = dyn_query_row_types(expanded);
	MemoryContext old;

	if (hashed->relid == relid && hashed->rows == rows && equal(hashed->expanded, expanded))
		return hashed->hash;
	hashed->relid = InvalidOid;
	hashed->rows = rows;
	hashed->hash = (int64) hash_combine64(dyn_query_hash(expanded, rows), STATE_VERSION);
	old = MemoryContextSwitchTo(emptied(&hashed->context));
	hashed->expanded = copyObject(expanded);
	MemoryContextSwitchTo(old);
	hashed->relid = relid;
	return hashed->hash;
}
