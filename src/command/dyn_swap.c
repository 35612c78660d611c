/*
 * dyn_swap.c
 *	  dyntable_swap: two dynamic tables exchange their names.
 *
 * Whoever reads by name finds the other table from the commit on.  What follows
 * a table's identity (definitions that read it, views, grants, history) stays
 * with the table.  A refresh of either is waited for; readers are locked out
 * from the moment the locks are had to the end of the transaction, and never
 * made to queue for them.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/dependency.h>
#include <catalog/pg_class.h>
#include <catalog/pg_namespace.h>
#include <commands/defrem.h>
#include <commands/tablecmds.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "command/dyn_names.h"
#include "command/dyn_options.h"
#include "command/dyn_transaction.h"
#include "compat/dyn_compat.h"
#include "refresh/dyn_refresh.h"

PG_FUNCTION_INFO_V1(dyntable_swap);

static void
lock_both(Oid a, Oid b)
{
	static const char *const why = "It is to exchange its name with another table.";

	dyn_run_claim(list_make2_oid(a, b));
	dyn_lock_against_readers(Min(a, b), why);
	dyn_lock_against_readers(Max(a, b), why);

	/* the wait may have been for somebody who dropped one */
	dyn_table_get(a, false);
	dyn_table_get(b, false);
}

/* As for ALTER TABLE SET SCHEMA. */
static void
check_create_right(Oid namespace)
{
	AclResult	result = dyn_schema_aclcheck(namespace, GetUserId(), ACL_CREATE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(namespace));
}

static void
move(Oid relid, Oid from, Oid to)
{
	Relation	relation = table_open(relid, NoLock);
	ObjectAddresses *moved = new_object_addresses();

	AlterTableNamespaceInternal(relation, from, to, moved);
	free_object_addresses(moved);
	table_close(relation, NoLock);
	CommandCounterIncrement();
}

static void
rename_table(Oid relid, const char *name)
{
	RenameRelationInternal(relid, name, false, false);
	CommandCounterIncrement();
}

/* A name that no relation of a schema has. */
static char *
free_name(Oid relid, Oid namespace)
{
	return ChooseRelationName(get_rel_name(relid), NULL, "swap", namespace, false);
}

static void
exchange(Oid a, Oid b)
{
	char	   *a_name = pstrdup(get_rel_name(a));
	char	   *b_name = pstrdup(get_rel_name(b));
	Oid			a_schema = get_rel_namespace(a);
	Oid			b_schema = get_rel_namespace(b);

	if (a_schema != b_schema)
	{
		check_create_right(a_schema);
		check_create_right(b_schema);
		rename_table(a, free_name(a, b_schema));
		rename_table(b, free_name(b, a_schema));
		move(a, a_schema, b_schema);
		move(b, b_schema, a_schema);
	}
	else
		rename_table(a, free_name(a, a_schema));
	rename_table(b, a_name);
	rename_table(a, b_name);
}

Datum
dyntable_swap(PG_FUNCTION_ARGS)
{
	Oid			a;
	Oid			b;

	dyn_command_check("dyntable_swap()");
	a = dyn_argument_owned(fcinfo, 0);
	b = dyn_argument_owned(fcinfo, 1);
	if (a == b)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot swap dynamic table \"%s\" with itself", get_rel_name(a))));
	lock_both(a, b);
	exchange(a, b);
	dyn_warn_of_name(NULL, a);
	dyn_warn_of_name(NULL, b);
	dyn_wake_at_end();
	PG_RETURN_VOID();
}
