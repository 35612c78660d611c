/*
 * dyn_dialect.c
 *	  Words of other SQL dialects in a defining query, and what PostgreSQL has
 *	  for them.
 *
 * Nothing is translated: where the parser has refused a query, its error gets
 * a hint if one of these words is the likely cause.  The parser often stumbles
 * only behind the word (it takes QUALIFY for an alias), so for errors of syntax
 * the words before and the call around the place count as well.
 */
#include <postgres.h>

#include <mb/pg_wchar.h>

#include "query/dyn_dialect.h"
#include "query/dyn_words.h"

/* How many words behind a pattern the parser may stumble over it. */
#define NEAR 2

typedef struct Pattern
{
	const char *words;			/* with blanks between; %unit: a unit of time */
	const char *hint;
	int			code;			/* only for this error; 0: for all */
} Pattern;

#define ADD_HINT "Write t + n * interval '1 unit', as in now() - 7 * interval '1 day'."
#define DIFF_HINT "Subtract: a - b of dates is days, of timestamps an interval; extract(epoch FROM a - b) is seconds."
#define UNIT_HINT "Write the unit as a string, as in date_trunc('day', t)."
#define COALESCE_HINT "Write coalesce(a, b)."
#define TEXT_HINT "Write to_char(x, format), or x::text."
#define STAMP_HINT "Write x::timestamp, x::timestamptz, or to_timestamp(x, format)."
#define DATE_HINT "Write x::date, or to_date(x, format)."
#define NUMBER_HINT "Write x::numeric(p, s), or to_number(x, format)."
#define OBJECT_HINT "Write jsonb_build_object(key, value, ...)."
#define ARRAY_HINT "Write ARRAY[a, b, ...], or jsonb_build_array(a, b, ...)."
#define FLATTEN_HINT "Write CROSS JOIN LATERAL jsonb_array_elements(x) AS f (value), or unnest(x) for an array."
#define VARIANT_HINT "Write jsonb."
#define NOW_HINT "Write now(), which stands for the data timestamp of the refresh."
#define PART_HINT "Write extract(unit FROM t), as in extract(year FROM t)."
#define SAFE_HINT "There is no cast that gives NULL for what it cannot read: test with CASE WHEN x ~ '^[0-9]+$' THEN x::integer END."
#define TRAVEL_HINT "Old states of a table cannot be read: keep its history in a table of its own."
#define FIRST_HINT "Write (array_agg(a ORDER BY b))[1], with b DESC for max_by, or DISTINCT ON."
#define LIST_HINT "Write string_agg(x, ', ' ORDER BY y)."
#define REGEXP_HINT "Write x ~ 'pattern'."
#define QUALIFY_HINT "Write the window function in a subquery and its condition in the WHERE around it: SELECT ... FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY t DESC) AS n FROM s) q WHERE n = 1."

static const Pattern patterns[] = {
	/* clauses */
	{"qualify", QUALIFY_HINT},
	{"minus select", "Write EXCEPT."},
	{"minus (", "Write EXCEPT."},
	{"* exclude", "List the columns: there is no way to leave some out of *."},
	{"* replace", "List the columns: there is no way to replace some in *."},
	{"* rename", "List the columns: there is no way to rename some in *."},
	{"* ilike", "List the columns."},
	{"like any (", "Write x LIKE ANY (ARRAY['a%', 'b%'])."},
	{"ilike any (", "Write x ILIKE ANY (ARRAY['a%', 'b%'])."},
	{"like all (", "Write x LIKE ALL (ARRAY['a%', 'b%'])."},
	{"rlike", REGEXP_HINT},
	{"regexp", REGEXP_HINT},
	{"group by all", "List the columns or expressions to group by."},
	{"order by all", "List the columns or expressions to order by."},
	{"select top", "Write LIMIT n at the end, after an ORDER BY that ends with a key."},
	{"ignore nulls", "Leave the NULLs out by a condition below, or order them last; IGNORE NULLS does not exist."},
	{"respect nulls", "Leave RESPECT NULLS out: it is how window functions work."},
	{"lateral flatten", FLATTEN_HINT},
	{"table ( flatten", FLATTEN_HINT},
	{"table (", "Name the function itself in FROM, without TABLE( )."},
	{"flatten (", FLATTEN_HINT},
	{"split_to_table (", "Write string_to_table(x, ',') or regexp_split_to_table(x, pattern) in FROM."},
	{"pivot (", "Write an aggregate for each column: sum(x) FILTER (WHERE k = 'a') AS a."},
	{"unpivot (", "Write CROSS JOIN LATERAL (VALUES ('a', t.a), ('b', t.b)) AS u (name, value)."},
	{"asof join", "Write JOIN LATERAL (SELECT ... WHERE s.t <= r.t ORDER BY s.t DESC LIMIT 1) ON true."},
	{"match_recognize (", "Write window functions (lag, lead) in subqueries."},
	{"connect by", "Write WITH RECURSIVE."},
	{"start with", "Write WITH RECURSIVE."},
	{"sample (", "Write TABLESAMPLE BERNOULLI (percent), or a condition on a hash of the key."},
	{"sample row (", "Write TABLESAMPLE BERNOULLI (percent), or a condition on a hash of the key."},
	{"at (", TRAVEL_HINT, ERRCODE_SYNTAX_ERROR},
	{"before (", TRAVEL_HINT, ERRCODE_SYNTAX_ERROR},
	{"changes (", "The changes of a source need not be read by the query: a refresh computes the difference."},
	{"dynamic_table_refresh_boundary (", "Name the table alone, and give the function the argument boundary => '{name}'."},
	{"identifier (", "Write the name itself; there are no names in variables."},
	{"$", "Write the value itself: a definition has no session variables (psql puts in its own with :'name')."},
	{":", "Write x -> 'key' for jsonb and x ->> 'key' for text, as in (x #>> '{a,b}')."},
	{"within group", "Write the order inside, as in array_agg(x ORDER BY y).", ERRCODE_SYNTAX_ERROR},
	{"array_agg (", "Write the order inside: array_agg(x ORDER BY y).", ERRCODE_UNDEFINED_FUNCTION},
	{"dual", "Leave FROM out: SELECT 1 AS a.", ERRCODE_UNDEFINED_TABLE},
	{"rownum", "Write LIMIT, or row_number() OVER (ORDER BY ...).", ERRCODE_UNDEFINED_COLUMN},
	{"metadata$action", "The changes of a source need not be read by the query: a refresh computes the difference."},
	{"metadata$isupdate", "The changes of a source need not be read by the query: a refresh computes the difference."},
	{"metadata$row_last_commit_time", "Select now() AS written_at: it keeps the time at which the row was last written."},

	/* types */
	{":: variant", VARIANT_HINT}, {":: object", VARIANT_HINT}, {":: array", "Write jsonb, or an array type such as text[]."},
	{":: string", "Write text."}, {":: number", "Write numeric(p, s), or bigint for whole numbers."},
	{":: double", "Write double precision."}, {":: float4", "Write real."}, {":: byteint", "Write smallint."},
	{":: tinyint", "Write smallint."}, {":: datetime", "Write timestamp."}, {":: timestamp_ntz", "Write timestamp."},
	{":: timestamp_ltz", "Write timestamptz."}, {":: timestamp_tz", "Write timestamptz."},
	{":: binary", "Write bytea."}, {":: varbinary", "Write bytea."},
	{"as variant", VARIANT_HINT}, {"as object", VARIANT_HINT}, {"as string", "Write text."}, {"as number", "Write numeric(p, s), or bigint for whole numbers."},
	{"as timestamp_ntz", "Write timestamp."}, {"as timestamp_ltz", "Write timestamptz."},
	{"as timestamp_tz", "Write timestamptz."}, {"as datetime", "Write timestamp."}, {"as double", "Write double precision."},

	/* dates and times */
	{"dateadd (", ADD_HINT}, {"timeadd (", ADD_HINT}, {"timestampadd (", ADD_HINT},
	{"add_months (", "Write t + n * interval '1 month'."},
	{"datediff (", DIFF_HINT}, {"timediff (", DIFF_HINT}, {"timestampdiff (", DIFF_HINT},
	{"months_between (", "Write extract(year FROM age(a, b)) * 12 + extract(month FROM age(a, b))."},
	{"date_trunc ( %unit", UNIT_HINT}, {"date_part ( %unit", "Write extract(unit FROM t)."},
	{"trunc ( %unit", UNIT_HINT},
	{"to_date (", DATE_HINT, ERRCODE_UNDEFINED_FUNCTION}, {"try_to_date (", SAFE_HINT}, {"date (", DATE_HINT, ERRCODE_UNDEFINED_FUNCTION},
	{"to_timestamp (", STAMP_HINT, ERRCODE_UNDEFINED_FUNCTION}, {"to_timestamp_ntz (", STAMP_HINT}, {"to_timestamp_ltz (", STAMP_HINT},
	{"to_timestamp_tz (", STAMP_HINT}, {"try_to_timestamp (", SAFE_HINT}, {"try_to_timestamp_ntz (", SAFE_HINT},
	{"to_time (", "Write x::time."}, {"convert_timezone (", "Write t AT TIME ZONE 'zone'."},
	{"sysdate (", NOW_HINT}, {"sysdate", NOW_HINT}, {"getdate (", NOW_HINT}, {"systimestamp (", NOW_HINT},
	{"current_timestamp ( )", "Write current_timestamp without parentheses, or now()."},
	{"current_date ( )", "Write current_date without parentheses."},
	{"current_time ( )", "Write current_time without parentheses."},
	{"localtimestamp ( )", "Write localtimestamp without parentheses."},
	{"localtime ( )", "Write localtime without parentheses."},
	{"current_user ( )", "Write current_user without parentheses."},
	{"date_from_parts (", "Write make_date(year, month, day)."},
	{"timestamp_from_parts (", "Write make_timestamp(year, month, day, hour, minute, second)."},
	{"timestamp_ntz_from_parts (", "Write make_timestamp(year, month, day, hour, minute, second)."},
	{"last_day (", "Write (date_trunc('month', t) + interval '1 month' - interval '1 day')::date."},
	{"next_day (", "Write t plus the days until then, by extract(isodow FROM t)."},
	{"time_slice (", "Write date_bin(interval '15 minutes', t, timestamp '2000-01-01')."},
	{"dayname (", "Write to_char(t, 'Dy')."}, {"monthname (", "Write to_char(t, 'Mon')."},
	{"year (", PART_HINT}, {"quarter (", PART_HINT}, {"month (", PART_HINT}, {"week (", PART_HINT},
	{"weekofyear (", "Write extract(week FROM t)."}, {"day (", PART_HINT}, {"dayofmonth (", PART_HINT},
	{"dayofweek (", "Write extract(dow FROM t)."}, {"dayofweekiso (", "Write extract(isodow FROM t)."},
	{"dayofyear (", "Write extract(doy FROM t)."}, {"hour (", PART_HINT}, {"minute (", PART_HINT},
	{"second (", PART_HINT},

	/* conditions and NULL */
	{"iff (", "Write CASE WHEN condition THEN a ELSE b END."},
	{"decode (", "Write CASE x WHEN a THEN b ... ELSE c END.", ERRCODE_UNDEFINED_FUNCTION},
	{"nvl (", COALESCE_HINT}, {"ifnull (", COALESCE_HINT},
	{"nvl2 (", "Write CASE WHEN x IS NOT NULL THEN a ELSE b END."},
	{"zeroifnull (", "Write coalesce(x, 0)."}, {"nullifzero (", "Write nullif(x, 0)."},
	{"equal_null (", "Write a IS NOT DISTINCT FROM b."},
	{"is_null_value (", "Write jsonb_typeof(x) = 'null'."},
	{"booland (", "Write a AND b."}, {"boolor (", "Write a OR b."}, {"boolnot (", "Write NOT a."},
	{"boolxor (", "Write a <> b."},
	{"regr_valx (", "Write CASE WHEN y IS NOT NULL THEN x END."},

	/* casts */
	{"to_varchar (", TEXT_HINT}, {"to_char (", TEXT_HINT, ERRCODE_UNDEFINED_FUNCTION}, {"to_number (", NUMBER_HINT, ERRCODE_UNDEFINED_FUNCTION},
	{"to_decimal (", NUMBER_HINT}, {"to_numeric (", NUMBER_HINT}, {"to_double (", "Write x::double precision."},
	{"to_boolean (", "Write x::boolean."}, {"to_binary (", "Write decode(x, 'hex')."},
	{"try_cast (", SAFE_HINT}, {"try_to_number (", SAFE_HINT}, {"try_to_decimal (", SAFE_HINT},
	{"try_to_numeric (", SAFE_HINT}, {"try_to_double (", SAFE_HINT}, {"try_to_boolean (", SAFE_HINT},
	{"to_variant (", "Write to_jsonb(x)."}, {"to_json (", "Write to_jsonb(x), or x::text.", ERRCODE_UNDEFINED_FUNCTION},
	{"to_object (", "Write x::jsonb."}, {"to_array (", "Write ARRAY[x]."},

	/* objects and arrays */
	{"parse_json (", "Write x::jsonb."}, {"try_parse_json (", SAFE_HINT}, {"check_json (", SAFE_HINT},
	{"object_construct (", OBJECT_HINT}, {"object_construct_keep_null (", OBJECT_HINT},
	{"object_agg (", "Write jsonb_object_agg(key, value)."}, {"object_keys (", "Write jsonb_object_keys(x), in FROM or in the select list."},
	{"object_delete (", "Write x - 'key'."}, {"object_insert (", "Write x || jsonb_build_object(key, value)."},
	{"array_construct (", ARRAY_HINT}, {"array_construct_compact (", ARRAY_HINT},
	{"array_size (", "Write cardinality(x), or jsonb_array_length(x)."},
	{"array_contains (", "Write a = ANY (array), or array @> to_jsonb(a)."},
	{"array_to_string (", "array_to_string() takes an array; of jsonb write (SELECT string_agg(e, ',') FROM jsonb_array_elements_text(x) e).", ERRCODE_UNDEFINED_FUNCTION},
	{"array_unique_agg (", "Write array_agg(DISTINCT x)."}, {"array_distinct (", "Write ARRAY(SELECT DISTINCT unnest(x))."},
	{"array_compact (", "Write array_remove(x, NULL)."}, {"array_slice (", "Write x[from:to], counted from 1."},
	{"arrays_overlap (", "Write a && b."}, {"array_intersection (", "Write ARRAY(SELECT unnest(a) INTERSECT SELECT unnest(b))."},
	{"get (", "Write x -> 'key', or x -> n."}, {"get_path (", "Write x #> '{a,b}'."},
	{"json_extract_path_text (", "Write x::json in it, or x #>> '{a,b}' of jsonb.", ERRCODE_UNDEFINED_FUNCTION},
	{"typeof (", "Write jsonb_typeof(x)."}, {"strip_null_value (", "Write nullif(x, 'null')."},
	{"strtok_to_array (", "Write string_to_array(x, ',')."}, {"split (", "Write string_to_array(x, ',')."},

	/* aggregates and windows */
	{"listagg (", LIST_HINT},
	{"count_if (", "Write count(*) FILTER (WHERE condition)."}, {"countif (", "Write count(*) FILTER (WHERE condition)."},
	{"sum_if (", "Write sum(x) FILTER (WHERE condition)."},
	{"median (", "Write percentile_cont(0.5) WITHIN GROUP (ORDER BY x)."},
	{"min_by (", FIRST_HINT}, {"max_by (", FIRST_HINT}, {"any_value (", "Write min(x).", ERRCODE_UNDEFINED_FUNCTION},
	{"boolor_agg (", "Write bool_or(x)."}, {"booland_agg (", "Write bool_and(x)."},
	{"bitor_agg (", "Write bit_or(x)."}, {"bitand_agg (", "Write bit_and(x)."},
	{"approx_count_distinct (", "Write count(DISTINCT x)."}, {"hll (", "Write count(DISTINCT x)."},
	{"approx_percentile (", "Write percentile_cont(p) WITHIN GROUP (ORDER BY x)."},
	{"ratio_to_report (", "Write x / sum(x) OVER (PARTITION BY k)."},
	{"conditional_true_event (", "Write sum(CASE WHEN condition THEN 1 ELSE 0 END) OVER (ORDER BY t)."},
	{"conditional_change_event (", "Compare with lag(x) OVER (ORDER BY t) in a subquery, and sum what differs."},
	{"hash_agg (", "Write sum(hashtextextended(x, 0))."}, {"kurtosis (", "Write it with sum(x ^ 4) and so on: there is no such aggregate."},

	/* numbers and strings */
	{"div0 (", "Write coalesce(a / nullif(b, 0), 0)."}, {"div0null (", "Write coalesce(a / nullif(b, 0), 0)."},
	{"square (", "Write x * x."}, {"truncate (", "Write trunc(x, n)."}, {"bitand (", "Write a & b."},
	{"bitor (", "Write a | b."}, {"bitxor (", "Write a # b."},
	{"len (", "Write length(x)."}, {"contains (", "Write position(b IN a) > 0."},
	{"startswith (", "Write starts_with(a, b)."}, {"endswith (", "Write a LIKE '%' || b, or right(a, length(b)) = b."},
	{"charindex (", "Write position(a IN b)."}, {"instr (", "Write position(b IN a)."},
	{"strtok (", "Write split_part(x, ',', n)."}, {"space (", "Write repeat(' ', n)."},
	{"editdistance (", "Write levenshtein(a, b), of the extension fuzzystrmatch."},
	{"insert (", "Write overlay(x PLACING y FROM n FOR m)."},
	{"regexp_substr_all (", "Write regexp_matches(x, pattern, 'g')."},
	{"sha1 (", "Write encode(digest(x, 'sha1'), 'hex'), of the extension pgcrypto."},
	{"sha2 (", "Write encode(sha256(x::bytea), 'hex')."}, {"sha2_hex (", "Write encode(sha256(x::bytea), 'hex')."},
	{"md5_hex (", "Write md5(x)."}, {"hash (", "Write hashtextextended(x, 0)."},
	{"base64_encode (", "Write encode(x, 'base64')."}, {"base64_decode_string (", "Write convert_from(decode(x, 'base64'), 'UTF8')."},
	{"uuid_string (", "Write gen_random_uuid(); it is volatile, so that refreshes are full."},
	{"seq4 (", "Write row_number() OVER (ORDER BY key)."}, {"seq8 (", "Write row_number() OVER (ORDER BY key)."},
	{"uniform (", "Write random(); it is volatile, so that refreshes are full."},
	{"generator (", "Write generate_series(1, n) in FROM."},
};

static const char *const units[] = {
	"microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year",
	"seconds", "minutes", "hours", "days", "weeks", "months", "quarters", "years",
	"dow", "dayofweek", "isodow", "doy", "dayofyear", "epoch", "epoch_second",
};

static bool
is_unit(const DynWords *words, int i)
{
	for (int u = 0; u < lengthof(units); u++)
		if (dyn_word_is(words, i, units[u]))
			return true;
	return false;
}

/* How many words of the pattern there are from word i on; 0: it does not stand there. */
static int
match(const DynWords *words, int i, const char *pattern)
{
	char		word[64];
	int			count = 0;

	while (*pattern)
	{
		size_t		length = strcspn(pattern, " ");

		strlcpy(word, pattern, length + 1);
		if (i + count >= words->count)
			return 0;
		if (strcmp(word, "%unit") == 0 ? !is_unit(words, i + count) :
			!dyn_word_is(words, i + count, word))
			return 0;
		count++;
		pattern += length + (pattern[length] == ' ');
	}
	return count;
}

/* Whether word i lies within the parenthesis that word open opens. */
static bool
encloses(const DynWords *words, int open, int i)
{
	int			depth = 0;

	for (int w = open; w < i; w++)
	{
		if (dyn_word_is(words, w, "("))
			depth++;
		else if (dyn_word_is(words, w, ")") && --depth == 0)
			return false;
	}
	return depth > 0;
}

/* Whether a pattern at word i, count words long, may be why the parser has refused word at. */
static bool
explains(const DynWords *words, int i, int count, int at, int code)
{
	int			last = i + count - 1;
	bool		call = count > 1 && dyn_word_is(words, last, "(");
	bool		letters = words->words[i].type == DYN_WORD_NAME || words->words[last].type == DYN_WORD_NAME;

	if (i <= at && at <= last)
		return true;
	if (code == ERRCODE_UNDEFINED_COLUMN || code == ERRCODE_SYNTAX_ERROR)
		if (call && encloses(words, last, at))
			return true;
	return code == ERRCODE_SYNTAX_ERROR && letters && !call && at > last && at <= last + NEAR;
}

static const char *
find_hint(const DynWords *words, int at, int code)
{
	for (int i = Min(at, words->count - 1); i >= 0; i--)
		for (int p = 0; p < lengthof(patterns); p++)
		{
			int			count = match(words, i, patterns[p].words);

			if (count > 0 && (patterns[p].code == 0 || patterns[p].code == code) &&
				explains(words, i, count, at, code))
				return patterns[p].hint;
		}
	return NULL;
}

/* What the scanner cannot read either has no hint. */
static DynWords *
read_quietly(const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	DynWords   *volatile words = NULL;

	PG_TRY();
	{
		words = dyn_words_read(text);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return words;
}

const char *
dyn_dialect_hint(const char *text, int offset, int sqlerrcode)
{
	DynWords   *words;
	int			at = 0;

	switch (sqlerrcode)
	{
		case ERRCODE_SYNTAX_ERROR:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_WRONG_OBJECT_TYPE:
			break;
		default:
			return NULL;
	}
	words = read_quietly(text);
	if (words == NULL)
		return NULL;
	while (at < words->count && words->words[at].end <= offset)
		at++;
	return find_hint(words, at, sqlerrcode);
}
