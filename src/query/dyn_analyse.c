/*
 * dyn_analyse.c
 *	  A defining query's text: what is accepted, its columns and its sources.
 *
 * Whether and how the query can be maintained is not decided here.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <access/transam.h>
#include <catalog/heap.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <catalog/pg_type.h>
#include <mb/pg_wchar.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/analyze.h>
#include <parser/parse_relation.h>
#include <parser/parsetree.h>
#include <tcop/tcopprot.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/relcache.h>

#include "query/dyn_dialect.h"
#include "query/dyn_plan.h"
#include "query/dyn_query.h"

/*
 * Errors of the parser point into the string that it was given, while the
 * client knows only the statement that called us: say which string is meant.
 */
static void
transpose_position(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
	errcontext("defining query of a dynamic table");
}

static RawStmt *
parse_one_select(const char *text)
{
	List	   *statements = pg_parse_query(text);
	RawStmt    *statement;

	if (statements == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query of a dynamic table must not be empty"),
				 errhint("Give one SELECT statement.")));
	if (list_length(statements) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query of a dynamic table must be a single statement"),
				 errdetail("The text has %d statements.", list_length(statements)),
				 errposition(((RawStmt *) lsecond(statements))->stmt_location + 1)));
	statement = linitial_node(RawStmt, statements);
	if (!IsA(statement->stmt, SelectStmt))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query of a dynamic table must be a SELECT"),
				 errhint("Give the SELECT alone, without CREATE, INSERT or EXPLAIN around it.")));
	return statement;
}

/* Error handling must not begin while an error is reported, so hints come when it has been. */
static void
rethrow_with_hint(const char *text, MemoryContext context)
{
	ErrorData  *error;
	const char *hint = NULL;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (error->internalpos > 0 && error->internalquery != NULL && strcmp(error->internalquery, text) == 0)
		hint = dyn_dialect_hint(text, pg_mbcharcliplen(text, strlen(text), error->internalpos - 1),
								error->sqlerrcode);
	if (hint != NULL)
		error->hint = pstrdup(hint);
	ReThrowError(error);
}

static Query *
analyse(const char *text)
{
	ErrorContextCallback callback;
	Query	   *query;

	callback.callback = transpose_position;
	callback.arg = unconstify(char *, text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	query = parse_analyze_fixedparams(parse_one_select(text), text, NULL, 0, NULL);
	if (query->commandType != CMD_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query of a dynamic table must not contain SELECT INTO")));
	if (query->hasModifyingCTE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("query of a dynamic table must not contain data-modifying statements in WITH")));
	if (query->rowMarks != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("query of a dynamic table must not lock rows"),
				 errhint("Leave out FOR UPDATE or FOR SHARE.")));
	if (isQueryUsingTempRelation(query))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("dynamic table cannot read temporary tables or views"),
				 errdetail("A refresh runs in another session, which does not have them.")));

	error_context_stack = callback.previous;
	return query;
}

Query *
dyn_query_analyse(const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	Query	   *query = NULL;

	PG_TRY();
	{
		query = analyse(text);
	}
	PG_CATCH();
	{
		rethrow_with_hint(text, context);
	}
	PG_END_TRY();
	return query;
}

List *
dyn_query_columns(Query *query)
{
	List	   *columns = NIL;
	ListCell   *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);
		Oid			type = exprType((Node *) target->expr);
		Oid			collation = exprCollation((Node *) target->expr);
		ListCell   *other;

		if (target->resjunk)
			continue;
		if (target->resname == NULL || strcmp(target->resname, "?column?") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
					 errmsg("column %d of the query has no name", target->resno),
					 errhint("Name it with AS.")));
		foreach(other, columns)
			if (strcmp(((ColumnDef *) lfirst(other))->colname, target->resname) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" of the query is specified more than once",
								target->resname),
						 errhint("Give each column a name of its own with AS.")));
		if (SystemAttributeByName(target->resname) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" of the query has the name of a system column",
							target->resname),
					 errhint("Give it another name with AS.")));
		if (get_typtype(type) == TYPTYPE_PSEUDO)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
					 errmsg("column \"%s\" of the query has pseudo-type %s",
							target->resname, format_type_be(type)),
					 errhint("Cast the expression to a type that a table can store.")));
		if (type_is_collatable(type) && !OidIsValid(collation))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_COLLATION),
					 errmsg("no collation was derived for column \"%s\" of the query",
							target->resname),
					 errhint("Use the COLLATE clause to set the collation explicitly.")));
		columns = lappend(columns,
						  makeColumnDef(target->resname, type,
										exprTypmod((Node *) target->expr), collation));
	}
	if (columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("query of a dynamic table must have at least one column")));
	return columns;
}

/* Which columns of which relations a query uses. */
typedef struct SourceWalk
{
	List	   *queries;		/* the Query around the current node first */
	List	   *sources;		/* of Oid ... */
	List	   *columns;		/* ... and of Bitmapset *: attribute numbers, 0 for all */
} SourceWalk;

static bool sources_walker(Node *node, SourceWalk *walk);

static void
use_column(SourceWalk *walk, Oid relid, AttrNumber attno)
{
	int			i = 0;
	ListCell   *cell;

	foreach(cell, walk->sources)
	{
		if (lfirst_oid(cell) == relid)
			break;
		i++;
	}
	if (cell == NULL)
	{
		walk->sources = lappend_oid(walk->sources, relid);
		walk->columns = lappend(walk->columns, NULL);
	}
	if (attno != InvalidAttrNumber)
		lfirst(list_nth_cell(walk->columns, i)) =
			bms_add_member(list_nth(walk->columns, i), attno);
}

/* Every column, which a system column or a whole row stands for. */
static void
use_all_columns(SourceWalk *walk, Oid relid)
{
	Relation	relation = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(relation);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			use_column(walk, relid, i + 1);
	table_close(relation, NoLock);
}

/*
 * A column of a join is one of its inputs', at the query level of the join.
 * Columns of subqueries and grouping steps need nothing here: what stands
 * behind them is walked where it is defined.
 */
static void
use_var(SourceWalk *walk, Var *var)
{
	Query	   *query = list_nth(walk->queries, var->varlevelsup);
	RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);

	if (rte->rtekind == RTE_RELATION && var->varattno > 0)
		use_column(walk, rte->relid, var->varattno);
	else if (rte->rtekind == RTE_RELATION)
		use_all_columns(walk, rte->relid);
	else if (rte->rtekind == RTE_JOIN)
	{
		List	   *queries = walk->queries;
		Node	   *behind = var->varattno > 0 ?
			list_nth(rte->joinaliasvars, var->varattno - 1) : (Node *) rte->joinaliasvars;

		walk->queries = list_copy_tail(queries, var->varlevelsup);
		sources_walker(behind, walk);
		walk->queries = queries;
	}
}

static bool
sources_walker(Node *node, SourceWalk *walk)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		use_var(walk, (Var *) node);
		return false;
	}
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *cell;

		walk->queries = lcons(query, walk->queries);
		foreach(cell, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

			/* Views are expanded; what is left of them are OLD and NEW. */
			if (rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW)
				use_column(walk, rte->relid, InvalidAttrNumber);
		}
		query_tree_walker(query, sources_walker, walk, QTW_IGNORE_JOINALIASES);
		walk->queries = list_delete_first(walk->queries);
		return false;
	}
	return expression_tree_walker(node, sources_walker, walk);
}

static char
source_kind(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	char		relkind = relation->rd_rel->relkind;

	if (dyn_is_dynamic_table(relid))
		return DYN_EDGE_DYNAMIC;
	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		relation->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT ||
		relid < FirstNormalObjectId ||
		RelationGetNamespace(relation) == dyn_schema_oid())
		return DYN_EDGE_FULL;
	if (relkind == RELKIND_RELATION && relation->rd_rel->relhassubclass &&
		find_inheritance_children(relid, NoLock) != NIL)
		return DYN_EDGE_FULL;
	return DYN_EDGE_BASE;
}

/*
 * An edge has the columns used and, since keys are derived from it, those of
 * the primary key; a count(*) over a table without one, its first column.
 */
static DynEdge *
make_edge(Oid relid, Bitmapset *used)
{
	DynEdge    *edge = palloc0(sizeof(DynEdge));
	Relation	relation = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(relation);
	Bitmapset  *key = NULL;
	int			attno;

	if (relation->rd_rel->relhasindex)
		key = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	used = bms_copy(used);
	attno = -1;
	while ((attno = bms_next_member(key, attno)) >= 0)
		used = bms_add_member(used, attno + FirstLowInvalidHeapAttributeNumber);
	for (int i = 0; i < desc->natts && bms_is_empty(used); i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			used = bms_add_member(used, i + 1);

	edge->source = relid;
	edge->kind = source_kind(relation);
	attno = -1;
	while ((attno = bms_next_member(used, attno)) >= 0)
		edge->columns = lappend_int(edge->columns, attno);
	table_close(relation, NoLock);
	return edge;
}

static int
edge_compare(const ListCell *a, const ListCell *b)
{
	Oid			left = ((DynEdge *) lfirst(a))->source;
	Oid			right = ((DynEdge *) lfirst(b))->source;

	return left < right ? -1 : left > right ? 1 : 0;
}

List *
dyn_query_sources(Query *query)
{
	SourceWalk	walk = {NIL};
	List	   *edges = NIL;
	ListCell   *source;
	ListCell   *columns;

	sources_walker((Node *) dyn_query_expand(query), &walk);

	forboth(source, walk.sources, columns, walk.columns)
		edges = lappend(edges, make_edge(lfirst_oid(source), lfirst(columns)));
	list_sort(edges, edge_compare);
	return edges;
}
