/*
 * dyn_build_row.c
 *	  A row of an item of FROM as one value.
 *
 * It becomes a column of the item's node, made where the item is read: above an
 * outer join the row of NULLs of an item is NULL, which its columns alone would
 * not tell from a row that has nothing but NULLs.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "query/dyn_build.h"

typedef struct RowSearch
{
	int			rti;
	Index		depth;			/* of subqueries that have been entered */
	Var		   *found;
} RowSearch;

static bool row_walker(Node *node, void *context);
static RowExpr *row_of_type(DynPlace *place, DynNode *node, Oid type);
static RowExpr *row_of_names(DynNode *node, List *names);

Var *
dyn_whole_row(Query *query, int rti)
{
	RowSearch	search = {.rti = rti};

	(void) query_tree_walker(query, row_walker, &search, QTW_IGNORE_JOINALIASES);
	return search.found;
}

/* The node with one column more, where the level uses the item's row; the item's place knows it then. */
DynNode *
dyn_add_whole_row(DynLevel *level, int rti, DynNode *node)
{
	Var		   *whole = dyn_whole_row(level->query, rti);
	DynPlace   *place = &level->places[rti];
	RowExpr    *row;

	if (whole == NULL)
		return node;
	if (whole->vartype == RECORDOID)
		row = row_of_names(node, rt_fetch(rti, level->query->rtable)->eref->colnames);
	else
		row = row_of_type(place, node, whole->vartype);
	if (row == NULL)
		return dyn_refuse(level->ctx, "WHOLE_ROW", "the type of a row of %s is not known from its columns",
						  rt_fetch(rti, level->query->rtable)->eref->aliasname);
	place->whole = node->ncolumns + 1;
	return dyn_make_select(level->ctx, list_make1(node), NIL, lappend(dyn_column_vars(node, 1), row));
}

static bool
row_walker(Node *node, void *context)
{
	RowSearch  *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varno == search->rti && var->varlevelsup == search->depth && var->varattno == 0)
			search->found = var;
		return search->found != NULL;
	}
	if (IsA(node, Query))
	{
		bool		found;

		search->depth++;
		found = query_tree_walker((Query *) node, row_walker, context, QTW_IGNORE_JOINALIASES);
		search->depth--;
		return found;
	}
	return expression_tree_walker(node, row_walker, context);
}

/* The row of a relation, view or function that has a row type. */
static RowExpr *
row_of_type(DynPlace *place, DynNode *node, Oid type)
{
	RowExpr    *row = makeNode(RowExpr);
	List	   *vars = dyn_column_vars(node, 1);
	TupleDesc	desc;

	if (get_typtype(type) != TYPTYPE_COMPOSITE)
		return NULL;
	desc = lookup_rowtype_tupdesc(type, -1);
	for (int i = 0; i < desc->natts; i++)
	{
		int			column = i;
		ListCell   *lc;

		if (TupleDescAttr(desc, i)->attisdropped)
		{
			row->args = lappend(row->args, makeNullConst(INT4OID, -1, InvalidOid));
			continue;
		}
		if (place->scan)
		{
			column = list_length(vars);
			foreach(lc, place->scan->attnums)
				if (lfirst_int(lc) == i + 1)
					column = foreach_current_index(lc);
		}
		if (column >= list_length(vars))
			break;
		row->args = lappend(row->args, list_nth(vars, column));
	}
	row->row_typeid = type;
	row->row_format = COERCE_EXPLICIT_CAST;
	row->location = -1;
	if (list_length(row->args) < desc->natts)
		row = NULL;
	ReleaseTupleDesc(desc);
	return row;
}

/* The row of a subquery or the like, which is a record with the names of its columns. */
static RowExpr *
row_of_names(DynNode *node, List *names)
{
	RowExpr    *row = makeNode(RowExpr);

	if (list_length(names) > node->ncolumns)
		return NULL;
	row->args = list_truncate(dyn_column_vars(node, 1), list_length(names));
	row->colnames = copyObject(names);
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	return row;
}
