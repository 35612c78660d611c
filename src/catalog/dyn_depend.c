/*
 * dyn_depend.c
 *	  What a dynamic table depends on, for DROP.
 *
 * The server finds what an expression depends on; of that everything is kept
 * that a DROP without CASCADE has to spare: relations, functions, operators,
 * types, collations.  Not kept are dependencies on single columns and on
 * constraints, which would make ALTER TABLE of a source fail: a refresh finds
 * out about those itself.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <access/transam.h>
#include <access/xact.h>
#include <catalog/dependency.h>
#include <catalog/indexing.h>
#include <catalog/pg_am.h>
#include <catalog/pg_class.h>
#include <catalog/pg_collation.h>
#include <catalog/pg_constraint.h>
#include <catalog/pg_depend.h>
#include <catalog/pg_extension.h>
#include <catalog/pg_namespace.h>
#include <catalog/pg_type.h>
#include <nodes/nodeFuncs.h>
#include <utils/fmgroids.h>

#include "catalog/dyn_catalog.h"

/* Relations as a whole, and types of columns. */
static bool
collect_named(Node *node, ObjectAddresses *addresses)
{
	ObjectAddress address;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *cell;

		foreach(cell, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

			if (rte->rtekind != RTE_RELATION)
				continue;
			ObjectAddressSet(address, RelationRelationId, rte->relid);
			add_exact_object_address(&address, addresses);
		}
		return query_tree_walker(query, collect_named, addresses, 0);
	}
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->vartype >= FirstNormalObjectId)
		{
			ObjectAddressSet(address, TypeRelationId, var->vartype);
			add_exact_object_address(&address, addresses);
		}
		if (var->varcollid >= FirstNormalObjectId)
		{
			ObjectAddressSet(address, CollationRelationId, var->varcollid);
			add_exact_object_address(&address, addresses);
		}
	}
	return expression_tree_walker(node, collect_named, addresses);
}

/*
 * Delete dependencies of the table itself, not of its columns: all that a
 * definition gave it, or those that would be in the way of ALTER TABLE.
 */
static void
forget(Oid relid, bool all)
{
	Relation	depend = table_open(DependRelationId, RowExclusiveLock);
	ScanKeyData key[3];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&key[2], Anum_pg_depend_objsubid, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(0));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 3, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->deptype != DEPENDENCY_NORMAL ||
			form->refclassid == NamespaceRelationId ||
			form->refclassid == ExtensionRelationId ||
			form->refclassid == AccessMethodRelationId)
			continue;
		if (all || form->refclassid == RelationRelationId ||
			form->refclassid == ConstraintRelationId)
			CatalogTupleDelete(depend, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(depend, RowExclusiveLock);
	CommandCounterIncrement();
}

void
dyn_depend_forget(Oid relid)
{
	forget(relid, true);
	deleteDependencyRecordsForClass(RelationRelationId, relid, ExtensionRelationId, DEPENDENCY_NORMAL);
	CommandCounterIncrement();
}

void
dyn_depend_record(Oid relid, Query *query)
{
	ObjectAddresses *named = new_object_addresses();
	ObjectAddress table;

	ObjectAddressSet(table, RelationRelationId, relid);
	forget(relid, true);
	recordDependencyOnExpr(&table, (Node *) query, NIL, DEPENDENCY_NORMAL);
	CommandCounterIncrement();
	forget(relid, false);
	collect_named((Node *) query, named);
	record_object_address_dependencies(&table, named, DEPENDENCY_NORMAL);
	free_object_addresses(named);
}
