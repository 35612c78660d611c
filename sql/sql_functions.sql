--
-- Functions, operators and types that are not PostgreSQL's own.
--
CREATE SCHEMA sql_functions;
CREATE SCHEMA sql_types;
SET search_path = sql_functions, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle
CREATE EXTENSION citext SCHEMA sql_types;
CREATE EXTENSION hstore SCHEMA sql_types;
SET search_path = sql_functions, public, sql_types;

-- a type with operators of its own: modulo 10
CREATE TYPE sql_types.digit AS (v int);
CREATE FUNCTION sql_types.digit_cmp(a sql_types.digit, b sql_types.digit) RETURNS int LANGUAGE sql IMMUTABLE RETURN (a).v % 10 - (b).v % 10;
CREATE FUNCTION sql_types.digit_eq(a sql_types.digit, b sql_types.digit) RETURNS bool LANGUAGE sql IMMUTABLE RETURN (a).v % 10 = (b).v % 10;
CREATE FUNCTION sql_types.digit_lt(a sql_types.digit, b sql_types.digit) RETURNS bool LANGUAGE sql IMMUTABLE RETURN (a).v % 10 < (b).v % 10;
CREATE FUNCTION sql_types.digit_le(a sql_types.digit, b sql_types.digit) RETURNS bool LANGUAGE sql IMMUTABLE RETURN (a).v % 10 <= (b).v % 10;
CREATE FUNCTION sql_types.digit_gt(a sql_types.digit, b sql_types.digit) RETURNS bool LANGUAGE sql IMMUTABLE RETURN (a).v % 10 > (b).v % 10;
CREATE FUNCTION sql_types.digit_ge(a sql_types.digit, b sql_types.digit) RETURNS bool LANGUAGE sql IMMUTABLE RETURN (a).v % 10 >= (b).v % 10;
CREATE FUNCTION sql_types.digit_add(a sql_types.digit, b int) RETURNS sql_types.digit LANGUAGE sql IMMUTABLE RETURN row((a).v + b)::sql_types.digit;
CREATE OPERATOR sql_types.= (LEFTARG = sql_types.digit, RIGHTARG = sql_types.digit, FUNCTION = sql_types.digit_eq, COMMUTATOR = OPERATOR(sql_types.=), RESTRICT = eqsel, JOIN = eqjoinsel, MERGES);
CREATE OPERATOR sql_types.< (LEFTARG = sql_types.digit, RIGHTARG = sql_types.digit, FUNCTION = sql_types.digit_lt, COMMUTATOR = OPERATOR(sql_types.>), NEGATOR = OPERATOR(sql_types.>=));
CREATE OPERATOR sql_types.<= (LEFTARG = sql_types.digit, RIGHTARG = sql_types.digit, FUNCTION = sql_types.digit_le, COMMUTATOR = OPERATOR(sql_types.>=), NEGATOR = OPERATOR(sql_types.>));
CREATE OPERATOR sql_types.> (LEFTARG = sql_types.digit, RIGHTARG = sql_types.digit, FUNCTION = sql_types.digit_gt);
CREATE OPERATOR sql_types.>= (LEFTARG = sql_types.digit, RIGHTARG = sql_types.digit, FUNCTION = sql_types.digit_ge);
CREATE OPERATOR sql_types.+ (LEFTARG = sql_types.digit, RIGHTARG = int, FUNCTION = sql_types.digit_add);
CREATE OPERATOR CLASS sql_types.digit_ops DEFAULT FOR TYPE sql_types.digit USING btree AS
    OPERATOR 1 sql_types.<, OPERATOR 2 sql_types.<=, OPERATOR 3 sql_types.=, OPERATOR 4 sql_types.>=, OPERATOR 5 sql_types.>, FUNCTION 1 sql_types.digit_cmp(sql_types.digit, sql_types.digit);

CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION net(amount numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN round(amount / 1.2, 2); END $$;
CREATE FUNCTION running(state int, x int) RETURNS int LANGUAGE sql IMMUTABLE RETURN coalesce(state, 0) * 3 % 1000 + coalesce(x, 0);
CREATE AGGREGATE mixed(int) (SFUNC = running, STYPE = int);

CREATE TABLE l (id int PRIMARY KEY, c citext, h hstore, d digit, n text COLLATE any_case, p positive, m numeric(10,2), z text COLLATE "C");
CREATE TABLE r (c citext, d digit, n text COLLATE any_case, x text);
INSERT INTO l SELECT i, (ARRAY['Anna', 'anna', 'BOB', 'bob', NULL])[i % 5 + 1], hstore('k' || i % 3, 'v' || i), row(i)::digit,
    (ARRAY['Ab', 'aB', 'cd', NULL])[i % 4 + 1], i % 7 + 1, i * 1.5, chr(97 + i % 4) FROM generate_series(1, 24) i;
INSERT INTO r VALUES ('ANNA', row(13), 'AB', 'one'), ('bob', row(2), 'CD', 'two'), (NULL, NULL, NULL, 'none'), ('Bob', row(102), 'zz', 'three'), ('bob', row(2), 'CD', 'two');

INSERT INTO definition (name, query) VALUES
    ('citext_filter', 'SELECT id, c FROM l WHERE c = ''ANNA'' OR c > ''b'''),
    ('citext_join', 'SELECT l.id, r.x FROM l JOIN r ON r.c = l.c'),
    ('citext_left', 'SELECT l.id, r.x FROM l LEFT JOIN r ON r.c = l.c'),
    ('citext_full', 'SELECT l.id, r.x FROM l FULL JOIN r ON r.c = l.c'),
    ('citext_group', 'SELECT lower(c::text) AS c, n FROM (SELECT c, count(*) AS n FROM l GROUP BY c) g'),
    ('citext_distinct', 'SELECT count(*) AS n FROM (SELECT DISTINCT c FROM l) d'),
    ('citext_in', 'SELECT id FROM l WHERE c IN (SELECT c FROM r WHERE x <> ''two'')'),
    ('citext_not_in', 'SELECT id FROM l WHERE c NOT IN (SELECT c FROM r WHERE c IS NOT NULL AND x <> ''one'')'),
    ('citext_any', 'SELECT id FROM l WHERE c = ANY (ARRAY[''anna'', ''x'']::citext[])'),
    ('citext_in_rows', 'SELECT id, c NOT IN (SELECT u::citext FROM unnest(ARRAY[''X'', l.z, ''anna'']) u) AS n FROM l WHERE c IN (SELECT u::citext FROM unnest(ARRAY[''ANNA'', ''BOB'', l.z]) u)'),
    ('citext_min', 'SELECT id % 2 AS g, lower(max(c)::text) AS m FROM l GROUP BY 1'),
    ('citext_window', 'SELECT id, rank() OVER (PARTITION BY c ORDER BY id) AS k FROM l'),
    ('citext_first', 'SELECT DISTINCT ON (c) c, id FROM l ORDER BY c, id DESC'),
    ('citext_except', 'SELECT lower(c::text) AS c FROM (SELECT c FROM l EXCEPT SELECT c FROM r) e'),
    ('citext_case', 'SELECT id, CASE c WHEN ''anna'' THEN 1 WHEN ''bob'' THEN 2 END AS w, c IS DISTINCT FROM ''bob'' AS d, nullif(c, ''ANNA'') AS nn FROM l'),
    ('citext_using', 'SELECT id, c, r.x FROM l JOIN r USING (c)'),
    ('citext_full_using', 'SELECT id, c, u.c AS both, u.d, x FROM l FULL JOIN r USING (c, d) AS u WHERE c IS DISTINCT FROM ''nobody'''),
    ('citext_natural', 'SELECT lower(j.k::text) AS k, j.y, count(*) AS n FROM (l NATURAL LEFT JOIN (SELECT c, x FROM r) s) AS j(k, i1, h1, d1, n1, p1, m1, z1, y) GROUP BY j.k, j.y'),
    ('citext_rows', 'SELECT id, (id % 4, c) > (1, ''bob'') AS later FROM l WHERE (c, id) <= (''CARL''::citext, 20) AND (z, c, id) >= (''a'', ''anna'', 3)'),
    ('citext_in_two', 'SELECT id FROM l WHERE (c, id % 2) IN (SELECT c, length(x) % 2 FROM r)'),
    ('citext_not_in_two', 'SELECT id, (c, id % 2) <> ALL (SELECT c, length(x) % 2 FROM r WHERE r.d = l.d) AS none FROM l WHERE (c, id % 2) NOT IN (SELECT c, 1 FROM r WHERE x = ''one'')'),
    ('citext_row_of', 'SELECT id, (c, id % 2) < (SELECT max(c), 1 FROM r WHERE r.d = l.d) AS less FROM l'),
    ('hstore_get', 'SELECT id, h -> ''k1'' AS v, h ? ''k2'' AS has, h || ''a=>1'' AS more FROM l WHERE h ? ''k1'' OR h @> ''k2=>v2'''),
    ('hstore_each', 'SELECT l.id, e.key, e.value FROM l, each(l.h) e'),
    ('hstore_group', 'SELECT h, count(*) AS n FROM l GROUP BY h'),
    ('digit_join', 'SELECT l.id, r.x FROM l JOIN r ON r.d = l.d WHERE l.d + 1 > row(3)::digit'),
    ('digit_left', 'SELECT l.id, r.x FROM l LEFT JOIN r ON r.d = l.d'),
    ('digit_group', 'SELECT (d).v % 10 AS v, n, s FROM (SELECT d, count(*) AS n, sum(id) AS s FROM l GROUP BY d) g'),
    ('digit_exists', 'SELECT id FROM l WHERE NOT EXISTS (SELECT FROM r WHERE r.d = l.d)'),
    ('digit_window', 'SELECT id, count(*) OVER (PARTITION BY d) AS n FROM l'),
    ('digit_top', 'SELECT id FROM l ORDER BY d DESC, id LIMIT 3'),
    ('collated_join', 'SELECT l.id, r.x FROM l JOIN r ON r.n = l.n'),
    ('collated_left', 'SELECT l.id, r.x FROM l LEFT JOIN r ON r.n = l.n'),
    ('collated_group', 'SELECT lower(n COLLATE "C") AS n, c FROM (SELECT n, count(*) AS c FROM l GROUP BY n) g'),
    ('collated_distinct', 'SELECT lower(n COLLATE "C") AS n FROM (SELECT DISTINCT n FROM l) d'),
    ('collated_in', 'SELECT id FROM l WHERE n IN (SELECT n FROM r)'),
    ('collated_other', 'SELECT id FROM l WHERE n COLLATE "C" = ''Ab'' OR z COLLATE any_case = ''B'''),
    ('domains', 'SELECT id, p, (p + 1)::positive AS q FROM l WHERE p > 3'),
    ('domain_group', 'SELECT p, count(*) AS n, max(p) AS m FROM l GROUP BY p'),
    ('domain_array', 'SELECT id % 2 AS g, sum(DISTINCT id % 5) AS s, array_agg(p ORDER BY p) AS a, ARRAY[max(p)] AS m FROM l GROUP BY 1'),
    ('domain_outer', 'SELECT r.x, l.p FROM r LEFT JOIN l ON l.c = r.c AND l.p > 5'),
    ('own_function', 'SELECT id, net(m) AS net FROM l WHERE net(m) > 5'),
    ('own_function_key', 'SELECT net(m) AS net, count(*) AS n FROM l GROUP BY net(m)'),
    ('own_aggregate', 'SELECT z, mixed(id ORDER BY id) AS x FROM l GROUP BY z'),
    ('settings', 'SELECT id, to_char(timestamptz ''2026-03-29 00:30+00'' + id * interval ''1 hour'', ''HH24:MI TZ'') AS t, (m::text || '' €'') AS e FROM l');
CALL create_all();

-- The text of a definition, which dumps have, means the same where the types' schema is not in search_path.
CREATE PROCEDURE check_texts() LANGUAGE plpgsql AS $$
DECLARE
    d definition;
    c record;
    texts int := 0;
BEGIN
    FOR d IN SELECT * FROM definition ORDER BY no
    LOOP
        d.query := dyntable.query_text(d.name::regclass);
        SET LOCAL search_path = pg_catalog;
        BEGIN
            EXECUTE format('CREATE TEMP VIEW told AS %s', d.query);
        EXCEPTION WHEN OTHERS THEN
            RAISE INFO '%: % in %', d.name, SQLERRM, d.query;
            CONTINUE;
        END;
        SET LOCAL search_path = sql_functions, public, sql_types;
        d.query := 'TABLE told';
        c := compare(d);
        texts := texts + (c.rows > 0)::int;
        IF c.difference IS NOT NULL THEN
            PERFORM told(d.name, 'text', c.rows, NULL, c.difference);
        END IF;
        DROP VIEW told;
    END LOOP;
    RAISE INFO '% texts compared', texts;
END $$;
CALL check_texts();
CALL change('insert', $$INSERT INTO l SELECT i, (ARRAY['ANNA', 'Carl', 'bOb'])[i % 3 + 1], hstore('k' || i % 4, 'w' || i), row(i)::digit, (ARRAY['AB', 'Cd'])[i % 2 + 1], i % 7 + 1, i * 1.5, chr(97 + i % 4) FROM generate_series(25, 33) i;
    INSERT INTO r VALUES ('anna', row(3), 'ab', 'four'), ('carl', row(5), 'cd', 'five')$$);
CALL change('one side', $$INSERT INTO r VALUES ('aNNa', row(4), 'Ab', 'six'), (NULL, NULL, NULL, 'none')$$);
CALL change('values that are equal otherwise', $$UPDATE l SET c = upper(c::text)::citext, n = lower(n), d = row((d).v + 10)::digit WHERE id % 2 = 0; UPDATE r SET c = 'annA', n = 'aB' WHERE x = 'one'$$);
CALL change('update', $$UPDATE l SET c = 'dora', d = d + 1, n = 'CD', h = h || 'k1=>z', p = p + 1, m = m + 1 WHERE id % 5 = 0; UPDATE r SET c = 'dora', d = row(7), n = 'ab' WHERE x = 'two'$$);
CALL change('NULLs', $$UPDATE l SET c = NULL, d = NULL, n = NULL, h = NULL, p = NULL, m = NULL WHERE id % 6 = 0; UPDATE r SET c = NULL, d = NULL, n = NULL WHERE x = 'five'$$);
CALL change('delete', $$DELETE FROM l WHERE id % 4 = 1; DELETE FROM r WHERE x IN ('one', 'six')$$);
CALL change('to nothing', $$DELETE FROM l; DELETE FROM r$$);
CALL change('from nothing', $$INSERT INTO l VALUES (1, 'Anna', 'k1=>a', row(3), 'Ab', 2, 9, 'b'), (2, 'ANNA', 'k1=>a', row(13), 'aB', 6, 12, 'b'); INSERT INTO r VALUES ('anna', row(23), 'AB', 'x')$$);

-- a function, and what an operator stands for, replaced
DELETE FROM definition WHERE name NOT LIKE 'own%' AND name <> 'digit_join';
CALL change('another function', $$CREATE OR REPLACE FUNCTION net(amount numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN round(amount / 1.1, 2); END'$$);
CALL change('another step of an aggregate', $$CREATE OR REPLACE FUNCTION running(state int, x int) RETURNS int LANGUAGE sql IMMUTABLE RETURN coalesce(state, 7) + x$$);
CALL change('another operator', $$CREATE OR REPLACE FUNCTION sql_types.digit_add(a sql_types.digit, b int) RETURNS sql_types.digit LANGUAGE sql IMMUTABLE RETURN row((a).v + 5 * b)::sql_types.digit$$);
CALL change('update after that', $$UPDATE l SET m = m + 7$$);

-- whose results may change while nothing that is read does
CREATE FUNCTION looks_around() RETURNS int LANGUAGE sql STABLE RETURN 1;
SELECT code, line FROM unnest(ARRAY['looks_around() = 1', 'random() < 2', 'current_user = c', 'pg_typeof(h)::text = ''hstore''']) code, dyntable_explain_query('SELECT id FROM l WHERE ' || code) line WHERE line ~ 'mode';

DROP SCHEMA sql_functions, sql_types CASCADE;
