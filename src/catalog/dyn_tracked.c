/*
 * dyn_tracked.c
 *	  dyntable.tracked: sources that their owners keep under capture, whether
 *	  dynamic tables read them or not, and who may build on them.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <utils/acl.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

void
dyn_tracked_store(Oid source, Oid grantee)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.tracked (source, grantee) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		2, {OIDOID, OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(source), ObjectIdGetDatum(grantee)};

	dyn_spi_run(&insert, values, NULL);
}

bool
dyn_tracked_forget(Oid source)
{
	static DynStatement delete = {
		"DELETE FROM dyntable.tracked WHERE source = $1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(source)};

	return dyn_spi_run(&delete, values, NULL) > 0;
}

List *
dyn_tracked_grantees(Oid source)
{
	static DynStatement select = {
		"SELECT grantee FROM dyntable.tracked WHERE source = $1 ORDER BY 1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(source)};

	return dyn_spi_oids(&select, values);
}

bool
dyn_tracked_for(Oid source, Oid role)
{
	ListCell   *lc;

	foreach(lc, dyn_tracked_grantees(source))
		if (!OidIsValid(lfirst_oid(lc)) || has_privs_of_role(role, lfirst_oid(lc)))
			return true;
	return false;
}

bool
dyn_source_wanted(Oid source)
{
	return dyn_readers_of(source) != NIL || dyn_tracked_grantees(source) != NIL;
}
