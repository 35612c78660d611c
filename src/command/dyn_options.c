/*
 * dyn_options.c
 *	  Arguments of the commands, as text from users.
 */
#include <postgres.h>

#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <common/int.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/datetime.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>
#include <utils/varlena.h>

#include "base/dyn_cron.h"
#include "base/dyn_settings.h"
#include "base/dyn_shmem.h"
#include "command/dyn_options.h"
#include "compat/dyn_compat.h"
#include "refresh/dyn_refresh.h"

char *
dyn_argument_text(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argno));
}

bool
dyn_argument_bool(FunctionCallInfo fcinfo, int argno, bool otherwise)
{
	return PG_ARGISNULL(argno) ? otherwise : PG_GETARG_BOOL(argno);
}

Oid
dyn_argument_owned(FunctionCallInfo fcinfo, int argno)
{
	Oid			relid;

	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the dynamic table must not be null")));
	relid = PG_GETARG_OID(argno);
	dyn_table_get(relid, false);
	if (!dyn_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	return relid;
}

/*
 * The server's parser of names cuts a part that is too long without a word.
 * Count the bytes of each part as it would read them.
 */
static void
check_name_length(const char *text)
{
	bool		quoted = false;
	int			length = 0;

	for (const char *p = text; *p; p++)
	{
		if (*p == '"')
		{
			/* A doubled quote within quotes is one character. */
			if (quoted && p[1] == '"')
				p++;
			else
			{
				quoted = !quoted;
				continue;
			}
		}
		else if (!quoted && *p == '.')
		{
			length = 0;
			continue;
		}
		if (++length >= NAMEDATALEN)
			ereport(ERROR,
					(errcode(ERRCODE_NAME_TOO_LONG),
					 errmsg("name \"%s\" is too long", text),
					 errdetail("A name can have at most %d bytes.", NAMEDATALEN - 1)));
	}
}

RangeVar *
dyn_option_name(const char *text)
{
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the dynamic table must not be null")));
	check_name_length(text);
	return makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(text)));
}

/* Microseconds of an interval without months; false when they exceed 64 bits. */
static bool
interval_microseconds(const Interval *interval, int64 *result)
{
	int64		days;

	return !pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &days) &&
		!pg_add_s64_overflow(days, interval->time, result);
}

Interval *
dyn_option_lag(const char *text)
{
	Interval   *lag;
	int64		microseconds;

	if (pg_strcasecmp(text, "downstream") == 0)
		return NULL;
	lag = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(text),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	if (lag->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target lag must not contain months or years"),
				 errdetail("Their length varies."),
				 errhint("Give the lag in days, hours, minutes or seconds.")));
	if (!interval_microseconds(lag, &microseconds))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("target lag \"%s\" is out of range", text)));
	if (microseconds < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target lag must not be negative")));
	if (microseconds < (int64) dyn_min_target_lag * 1000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target lag \"%s\" is too short", text),
				 errdetail("The minimum is %d ms.", dyn_min_target_lag),
				 errhint("The minimum is the setting dyntable.min_target_lag.")));
	return lag;
}

DynRefreshMode
dyn_option_mode(const char *text)
{
	if (pg_strcasecmp(text, "auto") == 0)
		return DYN_MODE_AUTO;
	if (pg_strcasecmp(text, "incremental") == 0)
		return DYN_MODE_INCREMENTAL;
	if (pg_strcasecmp(text, "full") == 0)
		return DYN_MODE_FULL;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized refresh mode \"%s\"", text),
			 errhint("Valid values are \"auto\", \"incremental\" and \"full\".")));
	return DYN_MODE_AUTO;
}

bool
dyn_option_on_schedule(const char *text)
{
	if (pg_strcasecmp(text, "on_schedule") == 0)
		return true;
	if (pg_strcasecmp(text, "on_create") == 0)
		return false;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized value \"%s\" for initialize", text),
			 errhint("Valid values are \"on_create\" and \"on_schedule\".")));
	return false;
}

void
dyn_option_check_schedule(const char *text)
{
	DynCron		cron;
	const char *detail = NULL;

	if (strcmp(text, DYN_MANUAL) != 0 && !dyn_cron_parse(text, &cron, &detail))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid schedule \"%s\"", text),
				 detail ? errdetail_internal("%s", detail) : 0,
				 errhint("Give a cron expression, as in '30 2 * * mon-fri', '30 seconds' or '@daily', or 'manual'.")));
}

void
dyn_option_check_warehouse(const char *text)
{
	if (dyn_warehouse_get(text) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("warehouse \"%s\" does not exist", text),
				 errhint("The warehouse \"default\" always exists.")));
	if (!dyn_warehouse_usable(text, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for warehouse \"%s\"", text),
				 errhint("Its owner can grant its use with dyntable_warehouse('%s', grant_to => '%s').",
						 text, GetUserNameFromId(GetUserId(), false))));
}

void
dyn_option_check_lag_or_schedule(const char *lag, const char *schedule)
{
	if (lag != NULL && schedule != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target lag and schedule cannot be given together"),
				 errhint("Leave out one of target_lag and schedule.")));
}

void
dyn_option_tell_unread(Oid relid)
{
	if (dyn_pullers_of(relid) == NIL)
		ereport(NOTICE,
				(errmsg("dynamic table \"%s\" will be refreshed when one that reads it is, and none does yet",
						get_rel_name(relid)),
				 errhint("Create one over it, or give it a target lag.")));
}

void
dyn_command_check(const char *name)
{
	dyn_run_check(name);
	dyn_shmem_require();
}
