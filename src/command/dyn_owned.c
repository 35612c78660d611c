/*
 * dyn_owned.c
 *	  DROP OWNED and REASSIGN OWNED, as far as they are about what the server
 *	  does not know of: warehouses, and for whom they and tracked sources are.
 *
 * DROP OWNED takes back what was granted to the roles before the server looks
 * for it where it is not.  Warehouses of theirs go when the dynamic tables of theirs
 * have gone, which may be what used them.
 */
#include <postgres.h>

#include <access/xact.h>
#include <commands/user.h>
#include <miscadmin.h>
#include <utils/acl.h>

#include "catalog/dyn_catalog.h"
#include "command/dyn_options.h"
#include "command/dyn_owned.h"

List *
dyn_owned_before(Node *statement)
{
	List	   *warehouses = NIL;
	ListCell   *lc;

	if (!IsA(statement, DropOwnedStmt) || !OidIsValid(dyn_extension_oid()))
		return NIL;
	foreach(lc, roleSpecsToIds(((DropOwnedStmt *) statement)->roles))
	{
		/* the server refuses the whole statement otherwise, and says why */
		if (!has_privs_of_role(GetUserId(), lfirst_oid(lc)))
			return NIL;
		dyn_roles_revoke(lfirst_oid(lc));
		if (lfirst_oid(lc) != dyn_extension_owner())
			warehouses = list_concat(warehouses, dyn_roles_reassign(lfirst_oid(lc), dyn_extension_owner()));
	}
	CommandCounterIncrement();
	return warehouses;
}

void
dyn_owned_after(Node *statement, List *warehouses)
{
	ListCell   *lc;

	/* after others, as COMMIT, perhaps nothing can be looked up any more */
	if ((warehouses == NIL && !IsA(statement, ReassignOwnedStmt)) || !OidIsValid(dyn_extension_oid()))
		return;
	foreach(lc, warehouses)
		if (strcmp(lfirst(lc), DYN_DEFAULT_WAREHOUSE) != 0)
			dyn_warehouse_drop(lfirst(lc));
	if (IsA(statement, ReassignOwnedStmt))
	{
		ReassignOwnedStmt *reassign = (ReassignOwnedStmt *) statement;

		foreach(lc, roleSpecsToIds(reassign->roles))
			(void) dyn_roles_reassign(lfirst_oid(lc), get_rolespec_oid(reassign->newrole, false));
	}
}
