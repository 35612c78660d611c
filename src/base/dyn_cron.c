/*
 * dyn_cron.c
 *	  Cron expressions, in the grammar of pg_cron.
 *
 * Pure: no catalog, no clock but the start of the server.  Refresh schedules are evaluated here and not
 * by pg_cron, which need not be installed.  A fire time is searched day by
 * day, so that the rarest expression (29 February on a Monday) costs some
 * thousand steps and not millions of minutes.
 *
 * A local time that a change to daylight saving time skips fires at the
 * moment the clocks jump past it; one that happens twice fires once.
 */
#include <postgres.h>

#include <pgtime.h>
#include <utils/datetime.h>
#include <utils/timestamp.h>

#include "base/dyn_cron.h"

/* 28 years bring every weekday to every date; 40 step over a century without a leap year. */
#define SEARCH_DAYS (40 * 366)

typedef struct CronField
{
	const char *name;
	int			low;
	int			high;
	const char *const *names;	/* of low, low + 1, ... */
	const char *bad;			/* what to tell the user */
} CronField;

static const char *const month_names[] = {
	"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL
};
static const char *const weekday_names[] = {
	"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL
};

static const CronField cron_fields[] = {
	{"minute", 0, 59, NULL, "The minute must be \"*\" or within 0-59."},
	{"hour", 0, 23, NULL, "The hour must be \"*\" or within 0-23."},
	{"day of month", 1, 31, NULL, "The day of the month must be \"*\", within 1-31, or \"$\" for the last one."},
	{"month", 1, 12, month_names, "The month must be \"*\", within 1-12, or a name such as \"jan\"."},
	{"day of week", 0, 7, weekday_names,
	"The day of the week must be \"*\", within 0-7 (0 and 7 are Sunday), or a name such as \"mon\"."},
};

/* Read a number or a name at *p; false if there is none within the field's range. */
static bool
cron_value(const char **p, const CronField *field, int *value)
{
	int			digits = 0;

	if (field->names != NULL)
	{
		for (int i = 0; field->names[i] != NULL; i++)
		{
			if (pg_strncasecmp(*p, field->names[i], 3) == 0)
			{
				*p += 3;
				*value = field->low + i;
				return true;
			}
		}
	}
	*value = 0;
	while (**p >= '0' && **p <= '9' && digits++ < 4)
		*value = *value * 10 + (*(*p)++ - '0');
	return digits > 0 && *value >= field->low && *value <= field->high;
}

/* One item of a list: "*", "5", "1-5", each with an optional "/step". */
static bool
cron_item(const char **p, const CronField *field, uint64 *bits)
{
	int			low = field->low;
	int			high = field->high;
	int			step = 1;
	bool		single = false;

	if (**p == '*')
		(*p)++;
	else
	{
		if (!cron_value(p, field, &low))
			return false;
		high = low;
		single = true;
		if (**p == '-')
		{
			(*p)++;
			single = false;
			if (!cron_value(p, field, &high) || high < low)
				return false;
		}
	}
	if (**p == '/')
	{
		CronField	steps = {.low = 1,.high = 999};

		(*p)++;
		if (!cron_value(p, &steps, &step))
			return false;
		if (single)
			high = field->high;
	}
	for (int value = low; value <= high; value += step)
		*bits |= UINT64CONST(1) << value;
	return true;
}

/* One field, up to the next space. */
static bool
cron_field(const char **p, const CronField *field, uint64 *bits, bool *any)
{
	while (**p == ' ' || **p == '\t')
		(*p)++;
	*any = **p == '*';			/* with a step too, as in pg_cron */
	*bits = 0;
	for (;;)
	{
		if (!cron_item(p, field, bits))
			return false;
		if (**p != ',')
			break;
		(*p)++;
	}
	return **p == ' ' || **p == '\t' || **p == '\0';
}

static const char *
skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* "30 seconds"; *detail stays as it is where the expression is of another kind. */
static bool
cron_seconds(const char *p, DynCron *cron, const char **detail)
{
	long		seconds;
	char	   *end;

	if (*p < '0' || *p > '9')
		return false;
	seconds = strtol(p, &end, 10);
	end = unconstify(char *, skip_blanks(end));
	if (pg_strncasecmp(end, "second", 6) != 0)
		return false;
	end += 6;
	if (*end == 's' || *end == 'S')
		end++;
	if (*skip_blanks(end) != '\0' || seconds < 1 || seconds > 59)
	{
		*detail = "Seconds must be within 1-59, as in \"30 seconds\".";
		return false;
	}
	cron->seconds = (int) seconds;
	return true;
}

/* What an expression that begins with "@" stands for; NULL where it is not known. */
static const char *
cron_nickname(const char *name)
{
	static const char *const nicknames[][2] = {
		{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
		{"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"}, {"@midnight", "0 0 * * *"},
		{"@hourly", "0 * * * *"},
	};

	for (int i = 0; i < lengthof(nicknames); i++)
		if (pg_strcasecmp(name, nicknames[i][0]) == 0)
			return nicknames[i][1];
	return NULL;
}

/* The sixth field, if there is one. */
static bool
cron_zone(const char *p, DynCron *cron, const char **detail)
{
	char		name[TZ_STRLEN_MAX + 1];
	size_t		length;

	p = skip_blanks(p);
	if (*p == '\0')
		return true;
	length = strcspn(p, " \t");
	if (length <= TZ_STRLEN_MAX && *skip_blanks(p + length) == '\0')
	{
		memcpy(name, p, length);
		name[length] = '\0';
		cron->zone = pg_tzset(name);
	}
	if (cron->zone != NULL && pg_tz_acceptable(cron->zone))
		return true;
	*detail = "What follows the five fields must be the name of a time zone, as in \"0 2 * * * Europe/Berlin\".";
	return false;
}

bool
dyn_cron_parse(const char *expression, DynCron *cron, const char **detail)
{
	const char *p = skip_blanks(expression);
	uint64		bits[lengthof(cron_fields)];
	bool		any[lengthof(cron_fields)];

	memset(cron, 0, sizeof(*cron));
	*detail = NULL;
	if (cron_seconds(p, cron, detail))
		return true;
	if (*detail != NULL)
		return false;
	if (*p == '@')
	{
		cron->reboot = pg_strcasecmp(p, "@reboot") == 0 || pg_strcasecmp(p, "@restart") == 0;
		if (cron->reboot)
			return true;
		p = cron_nickname(p);
		if (p == NULL)
		{
			*detail = "Known are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @reboot.";
			return false;
		}
	}
	for (int i = 0; i < lengthof(cron_fields); i++)
	{
		p = skip_blanks(p);
		if (*p == '\0')
		{
			*detail = "It must have five fields: minute, hour, day of month, month, day of week.";
			return false;
		}
		if (i == 2 && p[0] == '$' && (p[1] == ' ' || p[1] == '\t'))
		{
			cron->last_day = true;
			bits[i] = any[i] = 0;
			p++;
		}
		else if (!cron_field(&p, &cron_fields[i], &bits[i], &any[i]))
		{
			*detail = cron_fields[i].bad;
			return false;
		}
	}
	if (!cron_zone(p, cron, detail))
		return false;

	cron->minutes = bits[0];
	cron->hours = (uint32) bits[1];
	cron->days = (uint32) bits[2];
	cron->months = (uint32) bits[3];
	cron->weekdays = (uint32) ((bits[4] | bits[4] >> 7) & 0x7f);
	cron->any_day = any[2];
	cron->any_weekday = any[4];
	return true;
}

static bool
cron_day_matches(const DynCron *cron, int julian)
{
	int			year;
	int			month;
	int			day;
	bool		by_day;
	bool		by_weekday;

	j2date(julian, &year, &month, &day);
	if (!(cron->months & (1U << month)))
		return false;
	by_day = (cron->days & (1U << day)) != 0 ||
		(cron->last_day && day == day_tab[isleap(year)][month - 1]);
	by_weekday = (cron->weekdays & (1U << j2day(julian))) != 0;
	if (!cron->any_day && !cron->any_weekday)
		return by_day || by_weekday;
	return by_day && by_weekday;
}

/* A local minute of a day as a moment. */
static TimestampTz
cron_moment(int julian, int hour, int minute, pg_tz *zone)
{
	struct pg_tm tm;
	TimestampTz result;
	int			tz;

	memset(&tm, 0, sizeof(tm));
	j2date(julian, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tz = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, 0, &tz, &result) != 0)
		return DT_NOEND;
	return result;
}

/* Counted from 2000, so that all that fire every so many seconds do so together. */
static TimestampTz
next_multiple(TimestampTz after, int64 period)
{
	int64		over = after % period;

	return after - (over < 0 ? over + period : over) + period;
}

TimestampTz
dyn_cron_next(const DynCron *cron, TimestampTz after)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	int			today;
	pg_tz	   *zone = cron->zone ? cron->zone : session_timezone;

	if (TIMESTAMP_NOT_FINITE(after))
		return DT_NOEND;
	if (cron->reboot)
		return PgStartTime > after ? PgStartTime : DT_NOEND;
	if (cron->seconds > 0)
		return next_multiple(after, cron->seconds * USECS_PER_SEC);
	if (timestamp2tm(after, &tz, &tm, &fsec, NULL, zone) != 0)
		return DT_NOEND;
	today = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday);

	for (int julian = today; julian < today + SEARCH_DAYS; julian++)
	{
		if (!cron_day_matches(cron, julian))
			continue;
		for (int hour = 0; hour < 24; hour++)
		{
			if (!(cron->hours & (1U << hour)))
				continue;

			/* An hour back, for the night when the clocks go back. */
			if (julian == today && hour < tm.tm_hour - 1)
				continue;
			for (int minute = 0; minute < 60; minute++)
			{
				TimestampTz moment;

				if (!(cron->minutes & (UINT64CONST(1) << minute)))
					continue;
				moment = cron_moment(julian, hour, minute, zone);
				if (moment > after)
					return moment;
			}
		}
	}
	return DT_NOEND;
}
