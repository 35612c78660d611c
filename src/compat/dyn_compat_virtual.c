/*
 * dyn_compat_virtual.c
 *	  Columns that are computed when they are read (18: GENERATED ... VIRTUAL).
 *
 * A change in the WAL has no value for them.  The planner puts their
 * expressions in too late for us, so that a table of which such columns are
 * read becomes a subquery that computes them, as if it were a view.
 */
#include <postgres.h>

#include "compat/dyn_compat_planner.h"

#if PG_VERSION_NUM >= 180000

#include <access/table.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <rewrite/rewriteHandler.h>
#include <utils/rel.h>

/* The columns of a range-table entry that a query reads, 0 for the row as a whole. */
typedef struct UsedColumns
{
	Index		varno;
	Index		level;
	Bitmapset  *columns;
	bool		system;			/* a system column, too */
} UsedColumns;

static bool
used_columns_walker(Node *node, UsedColumns *used)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varno == used->varno && var->varlevelsup == used->level)
		{
			if (var->varattno < 0)
				used->system = true;
			else
				used->columns = bms_add_member(used->columns, var->varattno);
		}
		return false;
	}
	if (IsA(node, Query))
	{
		used->level++;
		(void) query_tree_walker((Query *) node, used_columns_walker, used, 0);
		used->level--;
		return false;
	}
	return expression_tree_walker(node, used_columns_walker, used);
}

static bool
is_used(Relation rel, AttrNumber attno, Bitmapset *columns)
{
	return !TupleDescAttr(RelationGetDescr(rel), attno - 1)->attisdropped &&
		(bms_is_member(attno, columns) || bms_is_member(0, columns));
}

static bool
reads_virtual(Relation rel, Bitmapset *columns)
{
	for (AttrNumber attno = 1; attno <= RelationGetNumberOfAttributes(rel); attno++)
		if (is_used(rel, attno, columns) &&
			TupleDescAttr(RelationGetDescr(rel), attno - 1)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
			return true;
	return false;
}

/* What a column's place in the subquery holds; nobody looks at those that are not used. */
static Expr *
column_expression(Relation rel, AttrNumber attno, Bitmapset *columns)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);

	if (!is_used(rel, attno, columns))
		return (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
	if (att->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
		return (Expr *) build_generation_expression(rel, attno);
	return (Expr *) makeVar(1, attno, att->atttypid, att->atttypmod, att->attcollation, 0);
}

/* Take the permissions of an entry out of the query, and number those behind it anew. */
static List *
take_permissions(Query *query, RangeTblEntry *rte)
{
	Index		taken = rte->perminfoindex;
	List	   *result = list_make1(getRTEPermissionInfo(query->rteperminfos, rte));
	ListCell   *lc;

	query->rteperminfos = list_delete_nth_cell(query->rteperminfos, taken - 1);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *other = lfirst_node(RangeTblEntry, lc);

		if (other->perminfoindex > taken)
			other->perminfoindex--;
	}
	return result;
}

static Query *
computing_subquery(Query *query, RangeTblEntry *rte, Relation rel, Bitmapset *columns)
{
	Query	   *subquery = makeNode(Query);
	RangeTblEntry *table = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);

	subquery->rteperminfos = take_permissions(query, rte);
	memcpy(table, rte, sizeof(RangeTblEntry));
	table->perminfoindex = 1;
	ref->rtindex = 1;
	subquery->commandType = CMD_SELECT;
	subquery->canSetTag = true;
	subquery->rtable = list_make1(table);
	subquery->jointree = makeFromExpr(list_make1(ref), NULL);
	for (AttrNumber attno = 1; attno <= RelationGetNumberOfAttributes(rel); attno++)
		subquery->targetList =
			lappend(subquery->targetList,
					makeTargetEntry(column_expression(rel, attno, columns), attno,
									pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)->attname)),
									false));
	return subquery;
}

static void
expand_entry(Query *query, Index varno)
{
	RangeTblEntry *rte = list_nth_node(RangeTblEntry, query->rtable, varno - 1);
	UsedColumns used = {.varno = varno};
	Relation	rel;

	/* Policies are not moved along: with them a query is computed in full. */
	if (rte->rtekind != RTE_RELATION || rte->securityQuals != NIL || rte->perminfoindex == 0)
		return;
	rel = table_open(rte->relid, NoLock);
	(void) query_tree_walker(query, used_columns_walker, &used, 0);
	if (!used.system && reads_virtual(rel, used.columns))	/* with one, such a query is computed in full */
	{
		rte->subquery = computing_subquery(query, rte, rel, used.columns);
		rte->rtekind = RTE_SUBQUERY;
		rte->relid = InvalidOid;
		rte->relkind = 0;
		rte->rellockmode = 0;
		rte->perminfoindex = 0;
		rte->inh = false;
		rte->tablesample = NULL;
	}
	table_close(rel, NoLock);
}

static bool
expand_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		for (Index varno = 1; varno <= list_length(query->rtable); varno++)
			expand_entry(query, varno);
		return query_tree_walker(query, expand_walker, context, 0);
	}
	return expression_tree_walker(node, expand_walker, context);
}

void
dyn_compat_expand_virtual(Query *query)
{
	(void) expand_walker((Node *) query, NULL);
}

#else

void
dyn_compat_expand_virtual(Query *query)
{
}

#endif
