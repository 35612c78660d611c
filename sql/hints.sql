--
-- Words of other dialects in a defining query: what PostgreSQL has for them.
--
SET client_min_messages = warning;
CREATE TABLE hint_t (id int PRIMARY KEY, k text, a int, b int, at timestamptz, doc jsonb, tags text[]);
CREATE TABLE hint_u (id int PRIMARY KEY, k text);

-- the word at which the error points, and the hint
CREATE FUNCTION hint_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
BEGIN
    PERFORM dyntable_explain_query(query);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN message || E'\n' || coalesce(nullif(hint, ''), 'NO HINT');
END
$$;
CREATE TABLE hint_case (no int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO hint_case (query) VALUES
    -- clauses
    ('SELECT id, k FROM hint_t QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY at DESC) = 1'),
    ('SELECT id, k FROM hint_t t WHERE a > 1 QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY at DESC) = 1'),
    ('SELECT id FROM hint_t GROUP BY id QUALIFY count(*) OVER () > 1'),
    ('SELECT id FROM hint_t MINUS SELECT id FROM hint_u'),
    ('SELECT id FROM hint_t t MINUS SELECT id FROM hint_u'),
    ('SELECT id FROM hint_t EXCEPT SELECT id FROM hint_u'),
    ('SELECT * EXCLUDE (doc, tags) FROM hint_t'),
    ('SELECT * EXCLUDE doc FROM hint_t'),
    ('SELECT * REPLACE (1 AS a) FROM hint_t'),
    ('SELECT * RENAME (a AS x) FROM hint_t'),
    ('SELECT id FROM hint_t WHERE k ILIKE ANY (''a%'', ''b%'')'),
    ('SELECT id FROM hint_t WHERE k LIKE ANY (''a%'', ''b%'')'),
    ('SELECT id FROM hint_t WHERE k RLIKE ''a.*'''),
    ('SELECT id FROM hint_t WHERE a != 1'),
    ('SELECT k, count(*) AS n FROM hint_t GROUP BY ALL'),
    ('SELECT TOP 10 id FROM hint_t ORDER BY id'),
    ('SELECT id, last_value(a) IGNORE NULLS OVER (ORDER BY id) AS l FROM hint_t'),
    ('SELECT id, last_value(a IGNORE NULLS) OVER (ORDER BY id) AS l FROM hint_t'),
    ('SELECT id, f.value FROM hint_t, LATERAL FLATTEN(input => doc) f'),
    ('SELECT id, f.value FROM hint_t, TABLE(FLATTEN(input => doc)) f'),
    ('SELECT id, f.value FROM hint_t, TABLE(my_function(1)) f'),
    ('SELECT n FROM TABLE(GENERATOR(ROWCOUNT => 10)) g'),
    ('SELECT * FROM hint_t PIVOT (sum(a) FOR k IN (''x'', ''y''))'),
    ('SELECT t.id FROM hint_t t ASOF JOIN hint_u u MATCH_CONDITION (t.id >= u.id)'),
    ('SELECT id FROM hint_t START WITH id = 1 CONNECT BY PRIOR id = a'),
    ('SELECT id FROM hint_t SAMPLE (10)'),
    ('SELECT id FROM hint_t AT (TIMESTAMP => ''2026-01-01''::timestamp)'),
    ('SELECT id FROM hint_t CHANGES (INFORMATION => DEFAULT)'),
    ('SELECT id FROM IDENTIFIER($source)'),
    ('SELECT id FROM IDENTIFIER(''hint_t'')'),
    ('SELECT id FROM hint_t WHERE a > $limit'),
    ('SELECT id FROM DYNAMIC_TABLE_REFRESH_BOUNDARY(hint_u)'),
    ('SELECT id, doc:name AS name FROM hint_t'),
    ('SELECT id, doc:name.first::string AS name FROM hint_t'),
    ('SELECT k, ARRAY_AGG(a) WITHIN GROUP (ORDER BY b) AS l FROM hint_t GROUP BY k'),
    ('SELECT k, LISTAGG(k, '','') WITHIN GROUP (ORDER BY b) AS l FROM hint_t GROUP BY k'),
    ('SELECT 1 AS one FROM DUAL'),
    -- types
    ('SELECT id, k::variant AS v FROM hint_t'),
    ('SELECT id, CAST(k AS VARIANT) AS v FROM hint_t'),
    ('SELECT id, a::number AS v FROM hint_t'),
    ('SELECT id, a::number(10,2) AS v FROM hint_t'),
    ('SELECT id, a::string AS v FROM hint_t'),
    ('SELECT id, at::timestamp_ntz AS v FROM hint_t'),
    ('SELECT id, CAST(at AS TIMESTAMP_LTZ) AS v FROM hint_t'),
    ('SELECT id, a::double AS v FROM hint_t'),
    -- dates and times
    ('SELECT id FROM hint_t WHERE at >= DATEADD(day, -7, CURRENT_TIMESTAMP)'),
    ('SELECT id FROM hint_t WHERE at >= DATEADD(day, -7, CURRENT_TIMESTAMP())'),
    ('SELECT id FROM hint_t WHERE at >= DATEADD(''day'', -7, now())'),
    ('SELECT id, DATEDIFF(hour, at, now()) AS h FROM hint_t'),
    ('SELECT id, DATEDIFF(''hour'', at, at) AS h FROM hint_t'),
    ('SELECT id, DATE_TRUNC(day, at) AS d FROM hint_t'),
    ('SELECT id, DATE_PART(year, at) AS d FROM hint_t'),
    ('SELECT id, TO_DATE(at) AS d FROM hint_t'),
    ('SELECT id, TO_TIMESTAMP_NTZ(k) AS d FROM hint_t'),
    ('SELECT id, CURRENT_TIMESTAMP() AS seen FROM hint_t'),
    ('SELECT id FROM hint_t WHERE at::date = CURRENT_DATE()'),
    ('SELECT id, SYSDATE() AS seen FROM hint_t'),
    ('SELECT id, GETDATE() AS seen FROM hint_t'),
    ('SELECT id, CONVERT_TIMEZONE(''UTC'', at) AS d FROM hint_t'),
    ('SELECT id, YEAR(at) AS y FROM hint_t'),
    ('SELECT id, DAYOFWEEK(at) AS y FROM hint_t'),
    ('SELECT id, LAST_DAY(at) AS y FROM hint_t'),
    -- conditions and NULL
    ('SELECT id, IFF(a > 1, ''x'', ''y'') AS v FROM hint_t'),
    ('SELECT id, NVL(a, 0) AS v FROM hint_t'),
    ('SELECT id, NVL2(a, 1, 0) AS v FROM hint_t'),
    ('SELECT id, IFNULL(a, 0) AS v FROM hint_t'),
    ('SELECT id, ZEROIFNULL(a) AS v FROM hint_t'),
    ('SELECT id, NULLIFZERO(a) AS v FROM hint_t'),
    ('SELECT id, DECODE(k, ''a'', 1, ''b'', 2, 0) AS v FROM hint_t'),
    ('SELECT id FROM hint_t WHERE EQUAL_NULL(a, b)'),
    -- casts
    ('SELECT id, TO_VARCHAR(a) AS v FROM hint_t'),
    ('SELECT id, TO_VARCHAR(at, ''YYYY-MM-DD'') AS v FROM hint_t'),
    ('SELECT id, TO_NUMBER(k) AS v FROM hint_t'),
    ('SELECT id, TRY_CAST(k AS integer) AS v FROM hint_t'),
    ('SELECT id, TRY_TO_NUMBER(k) AS v FROM hint_t'),
    -- objects and arrays
    ('SELECT id, PARSE_JSON(k) AS v FROM hint_t'),
    ('SELECT id, OBJECT_CONSTRUCT(''a'', a) AS v FROM hint_t'),
    ('SELECT k, OBJECT_AGG(k, a) AS v FROM hint_t GROUP BY k'),
    ('SELECT id, ARRAY_CONSTRUCT(a, b) AS v FROM hint_t'),
    ('SELECT id, ARRAY_SIZE(tags) AS v FROM hint_t'),
    ('SELECT id, GET_PATH(doc, ''a.b'') AS v FROM hint_t'),
    -- aggregates and windows
    ('SELECT k, COUNT_IF(a > 1) AS n FROM hint_t GROUP BY k'),
    ('SELECT k, MEDIAN(a) AS n FROM hint_t GROUP BY k'),
    ('SELECT k, MIN_BY(a, b) AS n FROM hint_t GROUP BY k'),
    ('SELECT k, MAX_BY(a, b) AS n FROM hint_t GROUP BY k'),
    ('SELECT k, BOOLOR_AGG(a > 1) AS n FROM hint_t GROUP BY k'),
    ('SELECT k, APPROX_COUNT_DISTINCT(a) AS n FROM hint_t GROUP BY k'),
    ('SELECT id, RATIO_TO_REPORT(a) OVER (PARTITION BY k) AS n FROM hint_t'),
    -- numbers and strings
    ('SELECT id, DIV0(a, b) AS n FROM hint_t'),
    ('SELECT id FROM hint_t WHERE STARTSWITH(k, ''x'')'),
    ('SELECT id FROM hint_t WHERE CONTAINS(k, ''x'')'),
    ('SELECT id, SPLIT(k, '','') AS n FROM hint_t'),
    ('SELECT id, SHA2(k) AS n FROM hint_t');
\pset format unaligned
\pset tuples_only on
SELECT query || E'\n    ' || replace(hint_of(query), E'\n', E'\n    ') FROM hint_case ORDER BY no;

-- No hint where another word is at fault: in comments, strings, quotes, and for functions that exist
SELECT query || E'\n    ' || replace(hint_of(query), E'\n', E'\n    ') FROM (VALUES
    ('SELECT id /* nvl(a, 0) QUALIFY */ FROM hint_t WHER a = 1'),
    ('SELECT ''QUALIFY'' AS q FROM hint_t t t2'),
    ('SELECT id FROM "qualify" q q2'),
    ('SELECT to_char(typo, ''YYYY'') AS y FROM hint_t'),
    ('SELECT date_trunc(''day'', typo) AS y FROM hint_t'),
    ('SELECT date_trunc(a, at) AS y FROM hint_t'),
    ('SELECT my_nvl(a) AS y FROM hint_t'),
    ('SELECT id FROM hint_t WHERE tags[1:2] = 1'),
    ('SELECT id FROM hint_t WHERE')) v (query);
\pset tuples_only off
\pset format aligned

-- The same in every statement that takes a query
\set VERBOSITY default
SELECT dyntable_create('hint_dt', 'SELECT id, NVL(a, 0) AS v FROM hint_t');
SELECT dyntable_create('hint_dt', 'SELECT id, a FROM hint_t', '1 day', initialize => 'on_schedule');
SELECT dyntable_alter('hint_dt', query => 'SELECT id, IFF(a > 1, 1, 0) AS a FROM hint_t');
SELECT dyntable_explain_query('SELECT id
FROM hint_t
QUALIFY row_number() OVER (PARTITION BY k ORDER BY id) = 1');
DROP TABLE hint_t, hint_u CASCADE;
DROP TABLE hint_case;
DROP FUNCTION hint_of(text);
