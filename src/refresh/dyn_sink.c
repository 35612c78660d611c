/*
 * dyn_sink.c
 *	  How deltas are applied to a dynamic table: its columns, the identity of
 *	  its rows, and the index by which they are found.
 *
 * The index is made at the first fill, and another one at a reinitialisation
 * when the identity has become another one (dyn_outlived.c has the old one
 * dropped).  Its comment tells it from a user's index; a user's own unique index
 * on the key serves as well.
 *
 * A key that no btree can hold, for its type has no order or a value is longer
 * than a page takes, is of no use: the image identifies the rows then.  Values
 * come and go, so which it is, is seen by the index that is there.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <catalog/pg_class.h>
#include <commands/comment.h>
#include <commands/defrem.h>
#include <nodes/nodeFuncs.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "refresh/dyn_target.h"

#define IDENTITY_COMMENT "identity of the rows of a dynamic table, kept by dyntable"

static bool find_index(DynSink *sink);
static bool index_serves_image(Relation index, DynSink *sink);
static bool index_serves_key(Relation index, List *key, List *attnums);
static bool create_index(DynSink *sink, const char *format);
static void choose_identity(DynSink *sink, Relation rel, List *key, List *attnums);

DynSink *
dyn_target_sink(Oid relid, int ncolumns, const DynColumn *columns, List *key, bool retyped)
{
	DynSink    *sink = palloc0(sizeof(DynSink));
	Relation	rel = table_open(relid, NoLock);
	List	   *attnums = NIL;
	ListCell   *lc;
	bool		same;

	sink->relid = relid;
	sink->name = dyn_relation_name(relid);
	sink->hash = dyn_hash_name();
	sink->identity = dyn_delta_identity(ncolumns, columns);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped)
			continue;
		sink->names = lappend(sink->names, pstrdup(quote_identifier(NameStr(att->attname))));
		sink->types = lappend_oid(sink->types, retyped && list_length(attnums) < ncolumns ?
								  columns[list_length(attnums)].type : att->atttypid);
		attnums = lappend_int(attnums, att->attnum);
	}
	same = list_length(attnums) == ncolumns;
	for (int i = 0; same && i < ncolumns; i++)
		same = list_nth_oid(sink->types, i) == columns[i].type;
	if (!same)
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("the columns of dynamic table \"%s\" are no longer those of its query",
					   RelationGetRelationName(rel)),
				errhint("Give it its query anew with dyntable_alter(name, query => ...)."));
	choose_identity(sink, rel, key, attnums);

	/* the index that keeps the key unique, and the columns that stand in others, which are the user's */
	sink->index = "";
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index_serves_key(index, sink->key, attnums))
			sink->index = dyn_relation_name(RelationGetRelid(index));
		else if (index->rd_index->indisunique)
			for (int i = 0; i < ncolumns; i++)
				for (int k = 0; k < index->rd_index->indnatts; k++)
					if (index->rd_index->indkey.values[k] == 0 ||
						index->rd_index->indkey.values[k] == list_nth_int(attnums, i))
						sink->unique = list_append_unique_int(sink->unique, i + 1);
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	(void) find_index(sink);
	return sink;
}

/* The key, if it can serve and the table is not one whose values were too long for it. */
static void
choose_identity(DynSink *sink, Relation rel, List *key, List *attnums)
{
	bool		by_key = false;
	bool		by_image = false;
	ListCell   *lc;

	if (key == NIL || !dyn_sink_key_fits(sink, key))
		return;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		by_key |= index_serves_key(index, key, attnums);
		by_image |= index_serves_image(index, sink);
		index_close(index, AccessShareLock);
	}
	if (by_key || !by_image)
		sink->key = key;
}

/* Can these columns be the columns of a btree? */
bool
dyn_sink_key_fits(DynSink *sink, List *key)
{
	List	   *types = NIL;
	ListCell   *lc;

	foreach(lc, key)
		types = lappend_oid(types, list_nth_oid(sink->types, lfirst_int(lc) - 1));
	return list_length(key) <= INDEX_MAX_KEYS && dyn_state_has_order(types);
}

char *
dyn_sink_columns(DynSink *sink)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, sink->names)
		appendStringInfo(&names, "%s%s", names.len ? ", " : "", (char *) lfirst(lc));
	return names.data;
}

char *
dyn_identity_row(DynSink *sink, const char *alias)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(sink->types); i++)
		if (sink->identity[i])
			appendStringInfo(&buf, "%s%s.c%d", buf.len ? ", " : "", alias, i + 1);
	/* the cast keeps the parser from comparing two of these column by column */
	return psprintf("ROW(%s)::record", buf.data);
}

char *
dyn_identity_stored(DynSink *sink, const char *alias)
{
	StringInfoData buf;
	ListCell   *lc;

	/* of a thousand columns, each named, an index expression would not fit its catalog row */
	if (memchr(sink->identity, false, list_length(sink->types)) == NULL)
		return psprintf("%s.*", alias);
	initStringInfo(&buf);
	foreach(lc, sink->names)
		if (sink->identity[foreach_current_index(lc)])
			appendStringInfo(&buf, "%s%s.%s", buf.len ? ", " : "", alias, (char *) lfirst(lc));
	return psprintf("ROW(%s)::record", buf.data);
}

/* ------------------------------------------------------------------------
 * The index by which rows are found
 * ------------------------------------------------------------------------
 */
bool
dyn_sink_has_index(DynSink *sink)
{
	return find_index(sink);
}

/* Is there an index by which the rows are found?  Also finds those of ours that were for another identity. */
static bool
find_index(DynSink *sink)
{
	Relation	rel = table_open(sink->relid, NoLock);
	List	   *attnums = NIL;
	bool		found = false;
	ListCell   *lc;

	sink->outlived = NIL;
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			attnums = lappend_int(attnums, i + 1);
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (sink->key ? index_serves_key(index, sink->key, attnums) : index_serves_image(index, sink))
			found = true;
		else if (dyn_sink_is_ours(lfirst_oid(lc)))
			sink->outlived = lappend_oid(sink->outlived, lfirst_oid(lc));
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return found;
}

void
dyn_sink_drop_indexes(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	List	   *indexes = list_copy(RelationGetIndexList(rel));
	ListCell   *lc;

	table_close(rel, NoLock);
	foreach(lc, indexes)
		if (dyn_sink_is_ours(lfirst_oid(lc)))
			dyn_state_ddl(psprintf("DROP INDEX %s", dyn_relation_name(lfirst_oid(lc))));
}

void
dyn_sink_ensure_index(DynSink *sink)
{
	ListCell   *lc;
	StringInfoData names;

	if (find_index(sink) || list_length(sink->names) == 0)
		return;
	initStringInfo(&names);
	foreach(lc, sink->key)
		appendStringInfo(&names, "%s%s", names.len ? ", " : "",
						 (char *) list_nth(sink->names, lfirst_int(lc) - 1));
	if (sink->key != NIL &&
		create_index(sink, psprintf("CREATE UNIQUE INDEX %%s ON %s (%s) NULLS NOT DISTINCT",
									sink->name, names.data)))
		return;

	/* a value is too long for the key: once more, by image */
	if (sink->key != NIL)
	{
		sink->key = NIL;
		dyn_sink_ensure_index(sink);
		return;
	}
	(void) create_index(sink, psprintf("CREATE INDEX %%s ON %s (%s(%s))", sink->name, sink->hash,
									   dyn_identity_stored(sink, quote_identifier(get_rel_name(sink->relid)))));
}

/* Create the index under a free name, and mark it as ours; false when a value is too long for it. */
static bool
create_index(DynSink *sink, const char *format)
{
	Oid			namespace = get_rel_namespace(sink->relid);
	char	   *name = ChooseRelationName(get_rel_name(sink->relid), NULL, "identity", namespace, false);
	char	   *qualified = quote_qualified_identifier(get_namespace_name(namespace), name);
	const char *place = strstr(format, "%s");

	if (!dyn_state_try_ddl(psprintf("%.*s%s%s", (int) (place - format), format, quote_identifier(name),
									place + strlen("%s"))))
		return false;
	dyn_state_ddl(psprintf("COMMENT ON INDEX %s IS %s", qualified, quote_literal_cstr(IDENTITY_COMMENT)));
	return true;
}

bool
dyn_sink_is_ours(Oid index)
{
	char	   *comment = GetComment(index, RelationRelationId, 0);

	return comment && strcmp(comment, IDENTITY_COMMENT) == 0;
}

/* row_hash of the row as a whole, or of as many columns as make the identity. */
static bool
index_serves_image(Relation index, DynSink *sink)
{
	Form_pg_index form = index->rd_index;
	FuncExpr   *expr;
	int			counted = 0;

	if (!form->indisvalid || RelationGetIndexPredicate(index) != NIL ||
		form->indnatts != 1 || form->indkey.values[0] != 0)
		return false;
	expr = linitial(RelationGetIndexExpressions(index));
	if (!IsA(expr, FuncExpr) || strcmp(get_func_name(expr->funcid), "row_hash") != 0)
		return false;
	for (int i = 0; i < list_length(sink->types); i++)
		counted += sink->identity[i];
	if (IsA(linitial(expr->args), RowExpr))
		return list_length(((RowExpr *) linitial(expr->args))->args) == counted;
	return counted == list_length(sink->types);
}

static bool
index_serves_key(Relation index, List *key, List *attnums)
{
	Form_pg_index form = index->rd_index;
	ListCell   *lc;

	if (key == NIL || !form->indisvalid || RelationGetIndexPredicate(index) != NIL ||
		!form->indisunique || form->indnkeyatts != list_length(key))
		return false;
	foreach(lc, key)
	{
		bool		member = false;

		for (int k = 0; k < form->indnkeyatts; k++)
			member |= form->indkey.values[k] == list_nth_int(attnums, lfirst_int(lc) - 1);
		if (!member)
			return false;
	}
	return true;
}
