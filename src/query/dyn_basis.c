/*
 * dyn_basis.c
 *	  What the meaning of a query rests on besides its text and its tables:
 *	  the bodies of functions, the labels of enums, the attributes of
 *	  composite types.
 *
 * They can be replaced while the query stays the same.  So each is summed up
 * in an item of text, "<kind> <oid> <hash>", and the items are stored with the
 * table's position: an item that is stored and is not found any more tells
 * that something is not what it was.  An item that is new says nothing: a label
 * that was added to an enum occurs in no row yet.
 *
 * Functions that functions call are followed where the server knows of them:
 * through aggregates and through SQL functions with a parsed body.  What comes
 * with the server is left out.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/transam.h>
#include <access/tupdesc.h>
#include <catalog/pg_aggregate.h>
#include <catalog/pg_enum.h>
#include <catalog/pg_language.h>
#include <catalog/pg_proc.h>
#include <catalog/pg_type.h>
#include <common/hashfn.h>
#include <nodes/nodeFuncs.h>
#include <utils/builtins.h>
#include <utils/catcache.h>
#include <utils/lsyscache.h>
#include <utils/regproc.h>
#include <utils/syscache.h>
#include <utils/typcache.h>

#include "query/dyn_plan.h"

#define FUNCTION_ITEM	'f'
#define LABEL_ITEM		'l'
#define COMPOSITE_ITEM	'c'

typedef struct Basis
{
	List	   *items;			/* of char * */
	List	   *functions;		/* of Oid: seen */
	List	   *types;
} Basis;

static bool add_function(Oid function, void *context);
static bool basis_walker(Node *node, void *context);

static void
add_item(Basis *basis, char kind, Oid oid, uint64 hash)
{
	basis->items = lappend(basis->items, psprintf("%c %u " UINT64_FORMAT, kind, oid, hash));
}

static uint64
hash_text(uint64 hash, const char *text)
{
	return hash_combine64(hash, hash_bytes_extended((const unsigned char *) text, strlen(text), 0));
}

static uint64
hash_attribute(uint64 hash, int cache, HeapTuple tuple, AttrNumber attribute, bool is_array)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(cache, tuple, attribute, &isnull);

	if (isnull)
		return hash_combine64(hash, 0);
	if (!is_array)
		return hash_text(hash, TextDatumGetCString(value));
	value = PointerGetDatum(PG_DETOAST_DATUM(value));
	return hash_combine64(hash, hash_bytes_extended((unsigned char *) VARDATA_ANY(value),
													VARSIZE_ANY_EXHDR(value), 0));
}

/* An aggregate is what its functions make of it. */
static uint64
hash_aggregate(Basis *basis, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(function));
	FormData_pg_aggregate form;
	uint64		hash = 0;

	if (!HeapTupleIsValid(tuple))
		return 0;
	form = *(Form_pg_aggregate) GETSTRUCT(tuple);
	hash = hash_attribute(hash, AGGFNOID, tuple, Anum_pg_aggregate_agginitval, false);
	hash = hash_attribute(hash, AGGFNOID, tuple, Anum_pg_aggregate_aggminitval, false);
	ReleaseSysCache(tuple);
	hash = hash_combine64(hash, form.aggtransfn);
	hash = hash_combine64(hash, form.aggfinalfn);
	hash = hash_combine64(hash, form.aggcombinefn);
	hash = hash_combine64(hash, form.aggmtransfn);
	hash = hash_combine64(hash, form.aggmfinalfn);
	hash = hash_combine64(hash, form.aggtranstype);
	(void) add_function(form.aggtransfn, basis);
	(void) add_function(form.aggfinalfn, basis);
	(void) add_function(form.aggcombinefn, basis);
	(void) add_function(form.aggmtransfn, basis);
	(void) add_function(form.aggmfinalfn, basis);
	return hash;
}

static bool
add_function(Oid function, void *context)
{
	Basis	   *basis = context;
	HeapTuple	tuple;
	Form_pg_proc form;
	Datum		body;
	bool		no_body;
	uint64		hash;

	if (function < FirstNormalObjectId || list_member_oid(basis->functions, function))
		return false;
	basis->functions = lappend_oid(basis->functions, function);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	hash = hash_combine64(form->prolang, form->provolatile);
	hash = hash_combine64(hash, form->proisstrict);
	hash = hash_combine64(hash, form->prosecdef ? form->proowner : InvalidOid);
	hash = hash_attribute(hash, PROCOID, tuple, Anum_pg_proc_prosrc, false);
	hash = hash_attribute(hash, PROCOID, tuple, Anum_pg_proc_probin, false);
	hash = hash_attribute(hash, PROCOID, tuple, Anum_pg_proc_proconfig, true);
	body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &no_body);
	if (form->prokind == PROKIND_AGGREGATE)
		hash = hash_combine64(hash, hash_aggregate(basis, function));
	if (!no_body)
	{
		char	   *tree = TextDatumGetCString(body);

		hash = hash_text(hash, tree);
		(void) basis_walker(stringToNode(tree), basis);
	}
	add_item(basis, FUNCTION_ITEM, function, hash);
	ReleaseSysCache(tuple);
	return false;
}

static void
add_labels(Basis *basis, Oid type)
{
	CatCList   *list = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(type));

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_enum label = (Form_pg_enum) GETSTRUCT(&list->members[i]->tuple);

		add_item(basis, LABEL_ITEM, type, hash_text(label->oid, NameStr(label->enumlabel)));
	}
	ReleaseCatCacheList(list);
}

static void
add_type(Basis *basis, Oid type)
{
	TupleDesc	desc;
	uint64		hash = 0;
	Oid			element;

	if (type < FirstNormalObjectId || list_member_oid(basis->types, type))
		return;
	basis->types = lappend_oid(basis->types, type);
	if (OidIsValid(element = get_element_type(type)) ||
		OidIsValid(element = get_range_subtype(type)))
		add_type(basis, element);
	switch (get_typtype(type))
	{
		case TYPTYPE_DOMAIN:
			add_type(basis, getBaseType(type));
			break;
		case TYPTYPE_ENUM:
			add_labels(basis, type);
			break;
		case TYPTYPE_COMPOSITE:
			desc = lookup_rowtype_tupdesc(type, -1);
			for (int i = 0; i < desc->natts; i++)
			{
				Form_pg_attribute attribute = TupleDescAttr(desc, i);

				hash = hash_text(hash_combine64(hash, attribute->attisdropped),
								 NameStr(attribute->attname));
				if (!attribute->attisdropped)
					add_type(basis, attribute->atttypid);
			}
			ReleaseTupleDesc(desc);
			add_item(basis, COMPOSITE_ITEM, type, hash);
			break;
		default:
			break;
	}
}

static bool
basis_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, basis_walker, context, 0);
	(void) check_functions_in_node(node, add_function, context);
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_Aggref:
		case T_CoerceViaIO:
		case T_CoerceToDomain:
		case T_RelabelType:
		case T_ArrayExpr:
		case T_RowExpr:
			add_type(context, exprType(node));
			break;
		default:
			break;
	}
	return expression_tree_walker(node, basis_walker, context);
}

List *
dyn_query_basis(Query *expanded)
{
	Basis		basis = {NIL};

	(void) basis_walker((Node *) expanded, &basis);
	return basis.items;
}

char *
dyn_basis_changed(List *stored, List *present)
{
	ListCell   *one;
	ListCell   *other;

	foreach(one, stored)
	{
		char	   *item = lfirst(one);
		Oid			oid = strtoul(item + 2, NULL, 10);

		foreach(other, present)
			if (strcmp(item, lfirst(other)) == 0)
				break;
		if (other != NULL)
			continue;
		if (item[0] == FUNCTION_ITEM)
			return psprintf("function %s was changed", format_procedure(oid));
		return psprintf("type %s was changed", format_type_be(oid));
	}
	return NULL;
}
