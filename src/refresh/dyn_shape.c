/*
 * dyn_shape.c
 *	  A dynamic table gets the columns of another query.
 *
 * The rows are computed into a table of ours that is laid out as the dynamic
 * table will be, while everybody reads the old ones.  Then, under ACCESS
 * EXCLUSIVE, columns are dropped and added in the catalog, the two exchange
 * their files, and indexes are built.  So the table, and what depends on it by
 * its OID, stays: grants, indexes, comments, views, foreign keys, dynamic
 * tables above it.
 *
 * The server cannot put a column between others.  As many columns as begin the
 * query's list in the order of the table are kept; those behind them are made
 * anew at the end, and take along what belongs to them.
 *
 * Whoever has a snapshot from before the exchange would find no rows, as after
 * any command that rewrites a table; the write guard (command/dyn_guard.c)
 * makes an error of that.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/heapam.h>
#include <access/multixact.h>
#include <access/table.h>
#include <access/xact.h>
#include <catalog/dependency.h>
#include <catalog/index.h>
#include <catalog/indexing.h>
#include <catalog/pg_attribute.h>
#include <catalog/pg_class.h>
#include <catalog/pg_constraint.h>
#include <commands/cluster.h>
#include <commands/comment.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <storage/lmgr.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/ruleutils.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>

#include "compat/dyn_compat.h"
#include "query/dyn_node.h"
#include "query/dyn_frozen.h"
#include "query/dyn_query.h"
#include "refresh/dyn_evaluate.h"
#include "refresh/dyn_own_log.h"
#include "refresh/dyn_shape.h"
#include "refresh/dyn_target.h"

/* What a column that moves takes along. */
typedef struct Belongings
{
	AttrNumber	attnum;			/* its new number */
	char	   *comment;
	Datum		acl;			/* or 0 */
	Datum		target;			/* of statistics */
	bool		has_target;
} Belongings;

static bool is_moved(const DynShape *shape, AttrNumber attnum);

/* ------------------------------------------------------------------------
 * What changes
 * ------------------------------------------------------------------------
 */
static AttrNumber
number_of(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	return InvalidAttrNumber;
}

static DynShapeColumn *
column_of(const TargetEntry *entry)
{
	DynShapeColumn *column = palloc0(sizeof(DynShapeColumn));

	column->name = pstrdup(entry->resname);
	column->type = exprType((Node *) entry->expr);
	column->typmod = exprTypmod((Node *) entry->expr);
	column->collation = exprCollation((Node *) entry->expr);
	return column;
}

DynShape *
dyn_shape_find(Oid relid, Query *query, bool types)
{
	Relation	rel = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	DynShape   *shape = palloc0(sizeof(DynShape));
	AttrNumber	last = 0;		/* kept so far */
	AttrNumber	next;
	bool		keeping = true;
	bool		retyped = false;
	List	   *kept = NIL;
	ListCell   *lc;

	shape->relid = relid;
	shape->natts = next = desc->natts;
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		DynShapeColumn *column;
		AttrNumber	before;

		if (entry->resjunk)
			continue;
		column = column_of(entry);
		before = number_of(desc, column->name);
		keeping = keeping && before > last;
		if (keeping)
		{
			Form_pg_attribute att = TupleDescAttr(desc, before - 1);

			column->attnum = last = before;
			column->kept = true;
			column->retyped = att->atttypid != column->type || att->atttypmod != column->typmod ||
				att->attcollation != column->collation;
			retyped |= column->retyped;
			kept = lappend_int(kept, before);
		}
		else
		{
			column->attnum = ++next;
			column->moved = before;
		}
		shape->columns = lappend(shape->columns, column);
	}
	for (int i = 1; i <= desc->natts; i++)
		if (!TupleDescAttr(desc, i - 1)->attisdropped && !list_member_int(kept, i))
			shape->gone = lappend_int(shape->gone, i);
	table_close(rel, NoLock);
	return shape->gone == NIL && next == shape->natts && !(types && retyped) ? NULL : shape;
}

static bool
is_moved(const DynShape *shape, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, shape->columns)
		if (((DynShapeColumn *) lfirst(lc))->moved == attnum)
			return true;
	return false;
}

/* Which column that goes for good is among these numbers, or 0. */
static AttrNumber
lost_among(const DynShape *shape, List *attnums)
{
	ListCell   *lc;

	foreach(lc, attnums)
		if (list_member_int(shape->gone, lfirst_int(lc)) && !is_moved(shape, lfirst_int(lc)))
			return lfirst_int(lc);
	return InvalidAttrNumber;
}

static bool
moved_among(const DynShape *shape, List *attnums)
{
	ListCell   *lc;

	foreach(lc, attnums)
		if (is_moved(shape, lfirst_int(lc)))
			return true;
	return false;
}

/* The columns of an index, those in its expressions and its predicate too. */
static List *
index_columns(Relation index)
{
	Bitmapset  *in_expressions = NULL;
	List	   *attnums = NIL;
	int			attno = -1;

	for (int i = 0; i < index->rd_index->indnatts; i++)
		if (index->rd_index->indkey.values[i] != 0)
			attnums = lappend_int(attnums, index->rd_index->indkey.values[i]);
	pull_varattnos((Node *) RelationGetIndexExpressions(index), 1, &in_expressions);
	pull_varattnos((Node *) RelationGetIndexPredicate(index), 1, &in_expressions);
	while ((attno = bms_next_member(in_expressions, attno)) >= 0)
		if (attno + FirstLowInvalidHeapAttributeNumber > 0)
			attnums = lappend_int(attnums, attno + FirstLowInvalidHeapAttributeNumber);
	return attnums;
}

static void
refuse(const DynShape *shape, AttrNumber attnum, const char *dependent)
{
	ereport(ERROR,
			errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			errmsg("cannot drop column \"%s\" of dynamic table \"%s\" because other objects depend on it",
				   get_attname(shape->relid, attnum, false), get_rel_name(shape->relid)),
			errdetail_internal("%s", dependent),
			errhint("Keep the column in the query, or drop or change what depends on it first."));
}

/* The frozen rows' columns of the predicate stay as they are. */
static void
check_frozen(const DynShape *shape)
{
	DynTable   *table = dyn_table_get(shape->relid, false);
	ListCell   *ln;
	ListCell   *lc;

	if (table->frozen_where == NULL)
		return;
	foreach(ln, dyn_frozen_names(shape->relid, dyn_frozen_analyse(shape->relid, table->frozen_where)))
	{
		bool		stays = false;

		foreach(lc, shape->columns)
		{
			DynShapeColumn *column = lfirst(lc);

			stays |= column->kept && !column->retyped && strcmp(column->name, strVal(lfirst(ln))) == 0;
		}
		if (!stays)
			ereport(ERROR,
					errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					errmsg("cannot change column \"%s\" of dynamic table \"%s\" because its frozen_where uses it",
						   strVal(lfirst(ln)), get_rel_name(shape->relid)),
					errhint("Take frozen_where back first, with dyntable_alter(name, frozen_where => '')."));
	}
}

/* What the server itself would drop along with a column, or knows nothing of. */
void
dyn_shape_check(const DynShape *shape)
{
	Relation	rel = table_open(shape->relid, NoLock);
	AttrNumber	lost;
	ListCell   *lc;
	ListCell   *le;

	check_frozen(shape);
	foreach(lc, dyn_readers_of(shape->relid))
		foreach(le, dyn_edges_of(lfirst_oid(lc)))
		{
			DynEdge    *edge = lfirst(le);

			if (edge->source == shape->relid && (lost = lost_among(shape, edge->columns)) != 0)
				refuse(shape, lost, psprintf("Dynamic table \"%s\" reads it.", get_rel_name(edge->relid)));
		}
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (!dyn_sink_is_ours(lfirst_oid(lc)) && (lost = lost_among(shape, index_columns(index))) != 0)
			refuse(shape, lost, psprintf("Index \"%s\" is on it.", RelationGetRelationName(index)));
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
}

/* ------------------------------------------------------------------------
 * The table that is filled
 * ------------------------------------------------------------------------
 */
static char *
filled_name(Oid relid)
{
	return psprintf("dyntable.shape_%u", relid);
}

static DynShapeColumn *
column_at(const DynShape *shape, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, shape->columns)
		if (((DynShapeColumn *) lfirst(lc))->attnum == attnum)
			return lfirst(lc);
	return NULL;
}

/* What is decoded of it is nobody's affair: to the server it is a table being rewritten. */
static void
mark_rewrite(Oid filled, Oid relid)
{
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(filled));

	((Form_pg_class) GETSTRUCT(tuple))->relrewrite = relid;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/* The table's own conditions on rows hold for the new ones too, where their columns stay. */
static void
add_checks(const DynShape *shape, const char *name)
{
	Relation	catalog = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *checks = NIL;
	ListCell   *lc;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(shape->relid));
	scan = systable_beginscan(catalog, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype == CONSTRAINT_CHECK)
			checks = lappend(checks, psprintf("%s %s", quote_identifier(NameStr(form->conname)),
											  TextDatumGetCString(DirectFunctionCall1(pg_get_constraintdef,
																					  ObjectIdGetDatum(form->oid)))));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	foreach(lc, checks)
		dyn_state_ddl(psprintf("ALTER TABLE %s ADD CONSTRAINT %s", name, (char *) lfirst(lc)));
}

Oid
dyn_shape_begin(const DynShape *shape)
{
	char	   *name = filled_name(shape->relid);
	AttrNumber	natts = shape->natts;
	StringInfoData columns;
	StringInfoData drops;
	Relation	rel = table_open(shape->relid, NoLock);
	Oid			filled;
	ListCell   *lc;

	foreach(lc, shape->columns)
		natts = Max(natts, ((DynShapeColumn *) lfirst(lc))->attnum);
	initStringInfo(&columns);
	initStringInfo(&drops);
	for (int i = 1; i <= natts; i++)
	{
		DynShapeColumn *column = column_at(shape, i);

		appendStringInfoString(&columns, i > 1 ? ", " : "");
		if (column)
			appendStringInfo(&columns, "%s%s",
							 dyn_state_column(quote_identifier(column->name), column->type,
											  column->typmod, column->collation),
							 column->kept && TupleDescAttr(RelationGetDescr(rel), i - 1)->attnotnull ?
							 " NOT NULL" : "");
		else
		{
			appendStringInfo(&columns, "\"dyntable dropped %d\" pg_catalog.int4", i);
			appendStringInfo(&drops, "%s DROP COLUMN \"dyntable dropped %d\"", drops.len ? "," : "", i);
		}
	}
	dyn_state_ddl(psprintf("CREATE TABLE %s (%s)", name, columns.data));
	if (drops.len)
		dyn_state_ddl(psprintf("ALTER TABLE %s%s", name, drops.data));
	dyn_state_ddl(psprintf("ALTER TABLE %s OWNER TO %s", name,
						   quote_identifier(GetUserNameFromId(rel->rd_rel->relowner, false))));
	add_checks(shape, name);
	table_close(rel, NoLock);
	filled = get_relname_relid(psprintf("shape_%u", shape->relid), dyn_schema_oid());
	mark_rewrite(filled, shape->relid);
	return filled;
}

void
dyn_shape_keep(const DynShape *shape, Oid filled, DynExecution *execution, const char *condition)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, shape->columns)
		if (((DynShapeColumn *) lfirst(lc))->kept)
			appendStringInfo(&names, "%s%s", names.len ? ", " : "",
							 quote_identifier(((DynShapeColumn *) lfirst(lc))->name));
	dyn_execute(execution, psprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s", dyn_relation_name(filled),
									names.data, names.data, dyn_relation_name(shape->relid), condition),
				NULL, NULL);
}

/* ------------------------------------------------------------------------
 * Those that read the table
 * ------------------------------------------------------------------------
 */

/* By the columns that stay: what those have become is all that anybody has read. */
static void
write_difference(const DynShape *shape, Oid filled, DynExecution *execution, int64 refresh_no)
{
	StringInfoData names;
	StringInfoData logged;
	DynColumn  *columns = palloc0(sizeof(DynColumn) * (list_length(shape->columns) + 1));
	DynRows    *delta;
	DynSigned  *rows;
	int			n = 0;
	ListCell   *lc;

	initStringInfo(&names);
	initStringInfo(&logged);
	foreach(lc, shape->columns)
	{
		DynShapeColumn *column = lfirst(lc);

		if (!column->kept || column->retyped)
			continue;
		appendStringInfo(&names, "%s%s", n ? ", " : "", quote_identifier(column->name));
		appendStringInfo(&logged, ", c%d", column->attnum);
		columns[n++] = (DynColumn) {
			.type = column->type, .typmod = column->typmod, .collation = column->collation, .nullable = true
		};
	}
	delta = dyn_rows_begin("x_shape", dyn_delta_desc(n, columns), dyn_delta_identity(n, columns));
	rows = dyn_rows_signed(delta);
	rows->weight = -1;
	dyn_execute(execution, psprintf("SELECT %s FROM %s", names.data, dyn_relation_name(shape->relid)),
				dyn_rows_signed_sink, rows);
	rows->weight = 1;
	dyn_execute(execution, psprintf("SELECT %s FROM %s", names.data, dyn_relation_name(filled)),
				dyn_rows_signed_sink, rows);
	dyn_rows_consolidate(delta);
	dyn_rows_register(delta, execution->env);
	dyn_execute(execution,
				psprintf("INSERT INTO %s (refresh_no, w%s) SELECT " INT64_FORMAT ", d.w%s%s FROM %s d",
						 dyn_own_log_name(shape->relid), logged.data, refresh_no, n ? ", " : "",
						 n ? dyn_sql_columns("d", n) : "", delta->name),
				NULL, NULL);
	dyn_rows_end(delta);
}

void
dyn_shape_log(const DynShape *shape, Oid filled, DynExecution *execution, int64 refresh_no)
{
	StringInfoData changes;
	ListCell   *lc;

	if (!OidIsValid(dyn_stage_get(shape->relid, 0)))
		return;
	write_difference(shape, filled, execution, refresh_no);
	initStringInfo(&changes);
	foreach(lc, shape->columns)
	{
		DynShapeColumn *column = lfirst(lc);
		int32		typmod = column->typmod;
		Oid			type = getBaseTypeAndTypmod(column->type, &typmod);

		if (column->kept && !column->retyped)
			continue;
		if (column->kept)
			appendStringInfo(&changes, "%s DROP COLUMN c%d", changes.len ? "," : "", column->attnum);
		appendStringInfo(&changes, "%s ADD COLUMN %s", changes.len ? "," : "",
						 dyn_state_column(psprintf("c%d", column->attnum), type, typmod, column->collation));
	}
	if (changes.len)
		dyn_state_ddl(psprintf("ALTER TABLE %s%s", dyn_own_log_name(shape->relid), changes.data));
}

/* Definitions that read a column which moves, as text, with names: pairs of DynTable * and char *. */
static List *
definitions_to_follow(const DynShape *shape)
{
	List	   *pairs = NIL;
	ListCell   *lc;
	ListCell   *le;

	foreach(lc, dyn_readers_of(shape->relid))
		foreach(le, dyn_edges_of(lfirst_oid(lc)))
		{
			DynEdge    *edge = lfirst(le);
			DynTable   *table;
			bool		retyped;

			if (edge->source != shape->relid || !moved_among(shape, edge->columns))
				continue;
			table = dyn_table_get(edge->relid, false);
			pairs = lappend(pairs, list_make2(table, dyn_query_text(dyn_stored_query(table, &retyped))));
		}
	return pairs;
}

static void
follow(List *pairs)
{
	ListCell   *lc;

	foreach(lc, pairs)
	{
		DynTable   *table = linitial(lfirst(lc));
		Query	   *query = dyn_query_from_text(lsecond(lfirst(lc)));

		table->definition = dyn_query_text(query);
		table->tree = nodeToString(query);
		table->tree_version = dyn_tree_version();
		dyn_table_update(table);
		dyn_depend_record(table->relid, query);
		dyn_edges_replace(table->relid, dyn_query_sources(query));
		dyn_position_set_reinit(table->relid, "columns of an upstream table were made anew");
	}
}

/* ------------------------------------------------------------------------
 * The exchange
 * ------------------------------------------------------------------------
 */

/* Commands that make the indexes on columns that move again; the indexes go. */
static List *
take_indexes(const DynShape *shape)
{
	Relation	rel = table_open(shape->relid, NoLock);
	List	   *indexes = list_copy(RelationGetIndexList(rel));
	List	   *commands = NIL;
	List	   *drops = NIL;
	ListCell   *lc;

	table_close(rel, NoLock);
	foreach(lc, indexes)
	{
		Oid			oid = lfirst_oid(lc);
		Relation	index = index_open(oid, AccessShareLock);
		Oid			constraint = get_index_constraint(oid);
		char	   *name = pstrdup(quote_identifier(RelationGetRelationName(index)));
		char	   *comment = GetComment(oid, RelationRelationId, 0);
		bool		moves = moved_among(shape, index_columns(index));

		index_close(index, AccessShareLock);
		if (!moves || dyn_sink_is_ours(oid))
			continue;
		if (OidIsValid(constraint))
		{
			commands = lappend(commands, psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s",
												  dyn_relation_name(shape->relid), name,
												  TextDatumGetCString(DirectFunctionCall1(pg_get_constraintdef,
																						  ObjectIdGetDatum(constraint)))));
			drops = lappend(drops, psprintf("ALTER TABLE %s DROP CONSTRAINT %s", dyn_relation_name(shape->relid), name));
		}
		else
		{
			commands = lappend(commands, pg_get_indexdef_string(oid));
			drops = lappend(drops, psprintf("DROP INDEX %s", dyn_relation_name(oid)));
		}
		if (comment)
			commands = lappend(commands, psprintf("COMMENT ON INDEX %s IS %s", dyn_relation_name(oid),
												  quote_literal_cstr(comment)));
	}
	foreach(lc, drops)
		dyn_state_ddl(lfirst(lc));
	return commands;
}

static List *
take_belongings(const DynShape *shape)
{
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, shape->columns)
	{
		DynShapeColumn *column = lfirst(lc);
		Belongings *one;
		HeapTuple	tuple;
		bool		isnull;

		if (column->moved == 0)
			continue;
		one = palloc0(sizeof(Belongings));
		one->attnum = column->attnum;
		one->comment = GetComment(shape->relid, RelationRelationId, column->moved);
		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(shape->relid), Int16GetDatum(column->moved));
		one->acl = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attacl, &isnull);
		one->acl = isnull ? (Datum) 0 : PointerGetDatum(DatumGetAclPCopy(one->acl));
		one->target = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attstattarget, &isnull);
		one->has_target = !isnull;
		ReleaseSysCache(tuple);
		all = lappend(all, one);
	}
	return all;
}

static void
give_belongings(const DynShape *shape, List *all)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	ListCell   *lc;

	foreach(lc, all)
	{
		Belongings *one = lfirst(lc);
		HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(shape->relid), Int16GetDatum(one->attnum));
		Datum		values[Natts_pg_attribute] = {0};
		bool		nulls[Natts_pg_attribute] = {0};
		bool		replace[Natts_pg_attribute] = {0};

		values[Anum_pg_attribute_attacl - 1] = one->acl;
		replace[Anum_pg_attribute_attacl - 1] = one->acl != 0;
		values[Anum_pg_attribute_attstattarget - 1] = one->target;
		replace[Anum_pg_attribute_attstattarget - 1] = one->has_target;
		tuple = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls, replace);
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		if (one->acl != 0)
		{
			Oid		   *members;
			int			nmembers = aclmembers(DatumGetAclP(one->acl), &members);

			updateAclDependencies(RelationRelationId, shape->relid, one->attnum, GetUserId(),
								  0, NULL, nmembers, members);
		}
		if (one->comment)
			CreateComments(shape->relid, RelationRelationId, one->attnum, one->comment);
	}
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

static Node *
column_definition(const DynShapeColumn *column)
{
	return (Node *) makeColumnDef(column->name, column->type, column->typmod, column->collation);
}

/* The rows that are there go first, so that no command has to look at them. */
static void
alter_columns(const DynShape *shape)
{
	Relation	rel = table_open(shape->relid, NoLock);
	List	   *commands = NIL;
	ListCell   *lc;

	dyn_set_new_storage(rel);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	foreach(lc, shape->gone)
	{
		AlterTableCmd *command = makeNode(AlterTableCmd);

		command->subtype = AT_DropColumn;
		command->name = get_attname(shape->relid, lfirst_int(lc), false);
		command->behavior = DROP_RESTRICT;
		commands = lappend(commands, command);
	}
	foreach(lc, shape->columns)
	{
		DynShapeColumn *column = lfirst(lc);
		AlterTableCmd *command = makeNode(AlterTableCmd);

		if (column->kept && !column->retyped)
			continue;
		command->subtype = column->kept ? AT_AlterColumnType : AT_AddColumn;
		command->name = column->kept ? column->name : NULL;
		command->def = column_definition(column);
		command->behavior = DROP_RESTRICT;
		if (column->kept)
		{
			A_Const    *null = makeNode(A_Const);
			TypeCast   *cast = makeNode(TypeCast);

			/* there is nothing to convert */
			null->isnull = true;
			null->location = cast->location = -1;
			cast->arg = (Node *) null;
			cast->typeName = copyObject(((ColumnDef *) command->def)->typeName);
			((ColumnDef *) command->def)->raw_default = (Node *) cast;
		}
		commands = lappend(commands, command);
	}
	dyn_alter_table(shape->relid, commands);
}

static void
altering_context(void *arg)
{
	const DynShape *shape = arg;

	errcontext("columns of dynamic table \"%s\" becoming those of its new query", get_rel_name(shape->relid));
	if (geterrcode() == ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST)
		errhint("Drop what depends on the column first. A column that stands behind new ones is made anew: put new columns at the end to keep it.");
}

void
dyn_shape_end(const DynShape *shape, Oid filled)
{
	ErrorContextCallback callback = {
		.callback = altering_context, .arg = (void *) shape, .previous = error_context_stack
	};
	List	   *commands;
	List	   *belongings;
	List	   *definitions;
	ListCell   *lc;

	dyn_lock_against_readers(shape->relid, "The columns of its query have changed, and the table's have to follow.");
	dyn_shape_check(shape);
	definitions = definitions_to_follow(shape);
	dyn_sink_drop_indexes(shape->relid);
	commands = take_indexes(shape);
	belongings = take_belongings(shape);
	error_context_stack = &callback;
	alter_columns(shape);
	error_context_stack = callback.previous;
	give_belongings(shape, belongings);
	finish_heap_swap(shape->relid, filled, false, false, true, true, RecentXmin, ReadNextMultiXactId(),
					 RELPERSISTENCE_PERMANENT);
	CommandCounterIncrement();
	foreach(lc, commands)
		dyn_state_ddl(lfirst(lc));
	follow(definitions);
	dyn_table_set_reshaped(shape->relid);
}
