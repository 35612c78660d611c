/*
 * dyn_roles.c
 *	  Roles that dyntable's own tables name: owners and grantees of warehouses,
 *	  and those for whom sources are tracked.
 *
 * To the server they are as roles in the table's ACL, by pg_shdepend: while one is named, in
 * whatever database, DROP ROLE refuses it and says where.  A trigger on these
 * tables keeps that so, whoever changes them.
 */
#include <postgres.h>

#include <catalog/dependency.h>
#include <catalog/pg_class.h>
#include <catalog/pg_type.h>
#include <commands/trigger.h>
#include <fmgr.h>
#include <storage/lmgr.h>
#include <utils/builtins.h>
#include <utils/rel.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

PG_FUNCTION_INFO_V1(dyntable_roles_changed);

/* The OIDs that a statement returns in order, as an array of its own. */
static int
oids(DynStatement *select, Datum *values, Oid **result)
{
	List	   *found = dyn_spi_oids(select, values);
	ListCell   *lc;

	*result = palloc(sizeof(Oid) * (list_length(found) + 1));
	foreach(lc, found)
		(*result)[foreach_current_index(lc)] = lfirst_oid(lc);
	return list_length(found);
}

Datum
dyntable_roles_changed(PG_FUNCTION_ARGS)
{
	static DynStatement recorded = {
		"SELECT refobjid FROM pg_shdepend WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
		" AND classid = 'pg_class'::regclass AND objid = $1 AND objsubid = 0 AND refclassid = 'pg_authid'::regclass"
		" AND deptype = 'a' ORDER BY 1", 1, {OIDOID}
	};
	static DynStatement named = {
		"SELECT a.oid FROM pg_authid a WHERE a.oid IN ("
		"SELECT grantee FROM dyntable.tracked WHERE $1 = 'dyntable.tracked'::regclass UNION ALL"
		" SELECT r FROM dyntable.warehouse w, unnest(w.grantees || w.owner::oid) r"
		" WHERE $1 = 'dyntable.warehouse'::regclass) ORDER BY 1", 1, {OIDOID}
	};
	Oid			relid;
	Datum		values[1];
	Oid		   *before;
	Oid		   *now;
	int			nbefore;
	int			nnow;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "roles_changed")));
	relid = RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation);

	/* What another transaction has changed and not committed is not seen: one after the other. */
	LockDatabaseObject(RelationRelationId, relid, 1, ExclusiveLock);
	values[0] = ObjectIdGetDatum(relid);
	nbefore = oids(&recorded, values, &before);
	nnow = oids(&named, values, &now);
	updateAclDependencies(RelationRelationId, relid, 0, InvalidOid, nbefore, before, nnow, now);
	return PointerGetDatum(NULL);
}

void
dyn_roles_revoke(Oid role)
{
	static DynStatement warehouses = {
		"UPDATE dyntable.warehouse SET grantees = array_remove(grantees, $1) WHERE $1 = ANY (grantees)", 1, {OIDOID}
	};
	static DynStatement tracked = {"DELETE FROM dyntable.tracked WHERE grantee = $1", 1, {OIDOID}};
	Datum		values[] = {ObjectIdGetDatum(role)};

	dyn_spi_run(&warehouses, values, NULL);
	dyn_spi_run(&tracked, values, NULL);
}

List *
dyn_roles_reassign(Oid role, Oid successor)
{
	static DynStatement update = {
		"UPDATE dyntable.warehouse SET owner = $2 WHERE owner = $1 RETURNING name", 2, {OIDOID, OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(role), ObjectIdGetDatum(successor)};
	DynCall		call;
	List	   *names = NIL;

	dyn_spi_begin(&call, &update, values, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
		names = lappend(names, dyn_spi_text(row, 1));
	dyn_spi_end(&call);
	return names;
}
