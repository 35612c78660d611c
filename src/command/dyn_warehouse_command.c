/*
 * dyn_warehouse_command.c
 *	  dyntable_warehouse and dyntable_drop_warehouse.
 *
 * A warehouse is a pool of refresh workers with settings of its own.  They
 * apply to queries of the owners of dynamic tables, with their rights: only
 * what any session may set for itself and what moves cost, not meaning, is
 * accepted.  What the queries of a table mean is pinned at its creation.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/pg_authid.h>
#include <catalog/pg_database.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/jsonb.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>

#include "command/dyn_options.h"
#include "compat/dyn_compat.h"

PG_FUNCTION_INFO_V1(dyntable_warehouse);
PG_FUNCTION_INFO_V1(dyntable_drop_warehouse);

/* What a warehouse may set; a name that ends in '*' stands for all that begin so. */
static const char *const allowed_settings[] = {
	"backend_flush_after", "constraint_exclusion", "cpu_*", "cursor_tuple_fraction",
	"default_statistics_target", "dyntable.capture_timeout", "effective_*", "enable_*",
	"from_collapse_limit", "geqo*", "hash_mem_multiplier", "jit*", "join_collapse_limit",
	"lock_timeout", "maintenance_*", "max_parallel_*", "min_parallel_*", "parallel_*",
	"plan_cache_mode", "random_page_cost", "recursive_worktable_factor", "seq_page_cost",
	"synchronous_commit", "temp_buffers", "temp_tablespaces", "work_mem",
};

static bool
setting_allowed(const char *name)
{
	for (int i = 0; i < lengthof(allowed_settings); i++)
	{
		const char *allowed = allowed_settings[i];
		size_t		length = strlen(allowed);

		if (allowed[length - 1] == '*' ? pg_strncasecmp(name, allowed, length - 1) == 0 :
			pg_strcasecmp(name, allowed) == 0)
			return true;
	}
	return false;
}

/* A JSON value as the server reads a setting; NULL where it takes the setting away. */
static char *
setting_value(const char *name, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return value->val.boolean ? "on" : "off";
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("setting \"%s\" of a warehouse must be a string, a number or a boolean", name)));
			return NULL;
	}
}

/* The server knows which settings there are and which values they take. */
static void
check_setting(const char *name, const char *value)
{
	if (pg_strcasecmp(name, "statement_timeout") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" cannot be among the settings of a warehouse", name),
				 errhint("Use the argument statement_timeout.")));
	if (!setting_allowed(name) && GetConfigOption(name, true, false) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" cannot be among the settings of a warehouse", name),
				 errdetail("A warehouse sets what queries may spend and how they are planned, not what they mean or who runs them.")));

	/* A prefix above also lets through what is not there, or not everybody's. */
	(void) GetConfigOption(name, false, false);
	if (value != NULL)
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, false,
								 ERROR, false);
}

static void
check_settings(Jsonb *settings)
{
	JsonbIterator *iterator = JsonbIteratorInit(&settings->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	if (!JB_ROOT_IS_OBJECT(settings))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("settings of a warehouse must be a JSON object"),
				 errhint("As in '{\"work_mem\": \"64MB\"}'.")));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = setting_value("", &value);
		else if (token == WJB_VALUE)
			check_setting(name, setting_value(name, &value));
	}
}

static void
check_interval(const char *argument, const Interval *interval)
{
	Interval	zero = {0};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(interval),
										 IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a warehouse must not be negative", argument),
				 errhint("0 means none.")));
}

static char *
warehouse_name(FunctionCallInfo fcinfo, int argno)
{
	char	   *name = dyn_argument_text(fcinfo, argno);

	if (name == NULL || *name == '\0')
		ereport(ERROR,
				(errcode(name ? ERRCODE_INVALID_NAME : ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of a warehouse must not be %s", name ? "empty" : "null")));
	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name \"%s\" is too long", name),
				 errdetail("A name can have at most %d bytes.", NAMEDATALEN - 1)));
	return name;
}

static Oid
role_or_public(const char *name)
{
	return strcmp(name, "public") == 0 ? ACL_ID_PUBLIC : get_role_oid(name, false);
}

static void
require_owner(const DynWarehouse *warehouse)
{
	if (!has_privs_of_role(GetUserId(), warehouse->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of warehouse \"%s\"", warehouse->name)));
}

static bool
is_default(const char *name)
{
	return strcmp(name, DYN_DEFAULT_WAREHOUSE) == 0;
}

/* Arguments 1 to 6 and 10 go into columns as they are, once they are found to be good. */
static void
plain_changes(FunctionCallInfo fcinfo, DynWarehouseChange *change)
{
	static const struct
	{
		int			argno;
		DynWarehouseColumn column;
	}			plain[] = {
		{1, DYN_WAREHOUSE_MAX_WORKERS}, {2, DYN_WAREHOUSE_SETTINGS},
		{3, DYN_WAREHOUSE_STATEMENT_TIMEOUT}, {4, DYN_WAREHOUSE_AUTO_SUSPEND},
		{5, DYN_WAREHOUSE_AUTO_RESUME}, {6, DYN_WAREHOUSE_SUSPENDED}, {10, DYN_WAREHOUSE_COMMENT},
	};

	if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_workers of a warehouse must not be negative"),
				 errhint("0 means no bound but dyntable.max_workers.")));
	if (!PG_ARGISNULL(2))
		check_settings(PG_GETARG_JSONB_P(2));
	if (!PG_ARGISNULL(3))
		check_interval("statement_timeout", PG_GETARG_INTERVAL_P(3));
	if (!PG_ARGISNULL(4))
		check_interval("auto_suspend", PG_GETARG_INTERVAL_P(4));
	for (int i = 0; i < lengthof(plain); i++)
	{
		change->given[plain[i].column] = !PG_ARGISNULL(plain[i].argno);
		change->values[plain[i].column] = PG_GETARG_DATUM(plain[i].argno);
	}
}

static void
set_change(DynWarehouseChange *change, DynWarehouseColumn column, Datum value)
{
	change->given[column] = true;
	change->values[column] = value;
}

/* Arguments 7 to 9 name roles, 11 is a new name. */
static void
named_changes(FunctionCallInfo fcinfo, const char *name, DynWarehouseChange *change)
{
	char	   *owner = dyn_argument_text(fcinfo, 7);
	char	   *grant_to = dyn_argument_text(fcinfo, 8);
	char	   *revoke_from = dyn_argument_text(fcinfo, 9);

	if (owner != NULL)
	{
		Oid			role = get_role_oid(owner, false);

		dyn_check_can_set_role(GetUserId(), role);
		set_change(change, DYN_WAREHOUSE_OWNER, ObjectIdGetDatum(role));
	}
	if (grant_to != NULL)
		set_change(change, DYN_WAREHOUSE_GRANT_TO, ObjectIdGetDatum(role_or_public(grant_to)));
	if (revoke_from != NULL)
		set_change(change, DYN_WAREHOUSE_REVOKE_FROM, ObjectIdGetDatum(role_or_public(revoke_from)));
	if (!PG_ARGISNULL(11))
	{
		char	   *new_name = warehouse_name(fcinfo, 11);

		if (is_default(name))
			ereport(ERROR,
					(errcode(ERRCODE_RESERVED_NAME),
					 errmsg("warehouse \"default\" cannot be renamed")));
		if (strcmp(new_name, name) != 0 && dyn_warehouse_get(new_name) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("warehouse \"%s\" already exists", new_name)));
		set_change(change, DYN_WAREHOUSE_NEW_NAME, CStringGetTextDatum(new_name));
	}
}

/* Whoever may create schemas here may create a warehouse. */
static void
create_warehouse(const char *name)
{
	AclResult	aclresult = dyn_database_aclcheck(MyDatabaseId, GetUserId(), ACL_CREATE);

	if (aclresult != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to create warehouse \"%s\"", name),
				 errdetail("It takes the privilege CREATE on the database.")));
	(void) dyn_warehouse_insert(name, GetUserId());
}

Datum
dyntable_warehouse(PG_FUNCTION_ARGS)
{
	DynWarehouseChange change = {0};
	DynWarehouse *warehouse;
	char	   *name;

	dyn_command_check("dyntable_warehouse()");
	name = warehouse_name(fcinfo, 0);
	warehouse = dyn_warehouse_get(name);
	if (warehouse != NULL)
		require_owner(warehouse);
	plain_changes(fcinfo, &change);
	named_changes(fcinfo, name, &change);
	if (warehouse == NULL)
		create_warehouse(name);
	dyn_warehouse_change(name, &change);

	warehouse = dyn_warehouse_get(change.given[DYN_WAREHOUSE_NEW_NAME] ?
								  TextDatumGetCString(change.values[DYN_WAREHOUSE_NEW_NAME]) : name);
	if (warehouse != NULL && warehouse->suspended && warehouse->auto_resume &&
		change.given[DYN_WAREHOUSE_SUSPENDED])
		ereport(NOTICE,
				(errmsg("warehouse \"%s\" resumes with the next refresh that is due", warehouse->name),
				 errhint("With auto_resume => false it stays suspended.")));
	PG_RETURN_VOID();
}

/* Some of the tables that use it, as a list for people. */
static char *
users_text(const List *relids)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	foreach(cell, relids)
	{
		char	   *name = get_rel_name(lfirst_oid(cell));

		if (foreach_current_index(cell) == 10)
		{
			appendStringInfo(&text, " and %d more", list_length(relids) - 10);
			break;
		}
		appendStringInfo(&text, "%s\"%s\"", text.len > 0 ? ", " : "", name ? name : "?");
	}
	return text.data;
}

void
dyn_warehouse_drop(const char *name)
{
	List	   *users = dyn_warehouse_tables(name);

	if (users != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop warehouse \"%s\" because dynamic tables use it", name),
				 errdetail("They are %s.", users_text(users)),
				 errhint("Give them another one with dyntable_alter().")));
	dyn_warehouse_delete(name);
}

Datum
dyntable_drop_warehouse(PG_FUNCTION_ARGS)
{
	bool		if_exists = dyn_argument_bool(fcinfo, 1, false);
	DynWarehouse *warehouse;
	char	   *name;

	dyn_command_check("dyntable_drop_warehouse()");
	name = warehouse_name(fcinfo, 0);
	warehouse = dyn_warehouse_get(name);
	if (warehouse == NULL)
	{
		ereport(if_exists ? NOTICE : ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 if_exists ? errmsg("warehouse \"%s\" does not exist, skipping", name) :
				 errmsg("warehouse \"%s\" does not exist", name)));
		PG_RETURN_VOID();
	}
	require_owner(warehouse);
	if (is_default(name))
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("warehouse \"default\" cannot be dropped"),
				 errhint("Tables that name no warehouse use it.")));
	dyn_warehouse_drop(name);
	PG_RETURN_VOID();
}
