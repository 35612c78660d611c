--
-- What is not incremental: each reason code of docs/sql.md with its construct
-- and its text, and that what docs/sql.md tells to write instead is incremental.
-- The list is complete: codes in the sources, in docs/sql.md, in README.md and here are the same.
--
SET client_min_messages = warning;
CREATE ROLE regress_restricted;
CREATE SCHEMA restrictions;
SET search_path = restrictions, public;
\getenv srcdir PG_ABS_SRCDIR
CREATE TABLE t (id int PRIMARY KEY, k int, v int, at timestamptz, x xid, j json);
CREATE TABLE u (k int, v int, at timestamptz, x xid, name text);
CREATE TABLE family (id int PRIMARY KEY, parent int);
CREATE UNLOGGED TABLE unlogged (id int);
CREATE MATERIALIZED VIEW matview AS SELECT id FROM t;
CREATE TABLE parent (id int);
CREATE TABLE child () INHERITS (parent);
CREATE SEQUENCE counter;
CREATE VIEW locking AS SELECT id FROM t FOR UPDATE;
CREATE VIEW plain AS SELECT id FROM t;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1 * 2';
CREATE FUNCTION thrice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 3';
CREATE TABLE guarded (id int, who text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON guarded USING (who = 'me');

-- a construct, and what to write instead, where there is something
CREATE TABLE restriction (no int GENERATED ALWAYS AS IDENTITY, code text, query text, instead text);
INSERT INTO restriction (code, query, instead) VALUES
    ('SUBQUERY_EXPRESSION', 'SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE u.v = t.v AND u.k < (SELECT count(*) FROM u w WHERE w.name <> t.j::text || u.name AND w.k <> json_array_length(t.j)))',
        'SELECT id FROM (SELECT id, v, j::text AS j FROM t) t WHERE EXISTS (SELECT FROM u WHERE u.v = t.v AND u.name <> t.j)'),
    ('SUBQUERY_EXPRESSION', 'SELECT id, (SELECT sum(n) FROM (SELECT count(*) AS n FROM u WHERE u.k = t.k GROUP BY ROLLUP (v)) x) AS s FROM t',
        'SELECT t.id, s.s FROM t LEFT JOIN (SELECT k, sum(n) AS s FROM (SELECT k, count(*) AS n FROM u GROUP BY GROUPING SETS ((k, v), k)) x GROUP BY k) s ON s.k = t.k'),
    ('SUBQUERY_EXPRESSION', 'SELECT t.id, u.v FROM t LEFT JOIN u ON u.k = t.k AND t.v IN (SELECT id FROM family)',
        'SELECT t.id, u.v FROM (SELECT id, k, v IN (SELECT id FROM family) AS kin FROM t) t LEFT JOIN u ON u.k = t.k AND t.kin'),
    ('SUBQUERY_EXPRESSION', 'SELECT id, sum(v) OVER (ORDER BY id ROWS (SELECT count(*) FROM family) PRECEDING) AS s FROM t',
        'SELECT a.id, (SELECT sum(b.v) FROM t b WHERE b.id BETWEEN a.id - 2 AND a.id) AS s FROM t a'),
    ('SUBQUERY_EXPRESSION', 'SELECT rank((SELECT max(v) FROM u)) WITHIN GROUP (ORDER BY v) AS r FROM t',
        'SELECT rank((SELECT max(v) FROM u)) WITHIN GROUP (ORDER BY v) AS r FROM (SELECT v, 1 AS one FROM t) t GROUP BY one'),
    ('LATERAL', 'SELECT t.id, x.n FROM t LEFT JOIN (u JOIN LATERAL (SELECT count(*) AS n FROM family WHERE parent = t.k) x ON true) ON u.k = t.k',
        'SELECT t.id, x.n FROM t LEFT JOIN LATERAL (SELECT y.n FROM u JOIN LATERAL (SELECT count(*) AS n FROM family WHERE parent = t.k) y ON true WHERE u.k = t.k) x ON true'),
    ('SET_OPERATION', 'SELECT 1 AS one FROM (SELECT FROM t UNION SELECT FROM u) x', NULL),
    ('SET_OPERATION', 'WITH RECURSIVE r AS (SELECT FROM t UNION ALL SELECT FROM r WHERE false) SELECT 1 AS one FROM r', NULL),
    ('GROUPING_SETS', 'SELECT count(*) AS n FROM t GROUP BY CUBE (id, k, v, at, id + 1, k + 1, v + 1)', 'SELECT count(*) AS n FROM t GROUP BY CUBE (id, k, v)'),
    ('LIMIT', 'SELECT t.id, l.v FROM t, LATERAL (SELECT u.v FROM u WHERE u.x = t.x AND u.k < t.k ORDER BY u.v LIMIT 1) l',
        'SELECT t.id, l.v FROM (SELECT id, k, x::text AS x FROM t) t, LATERAL (SELECT u.v FROM u WHERE u.x::text = t.x AND u.k < t.k ORDER BY u.v LIMIT 1) l'),
    ('LIMIT_WITHOUT_ORDER', 'SELECT id FROM t LIMIT 3', 'SELECT id FROM t ORDER BY id LIMIT 3'),
    ('LIMIT_EXPRESSION', 'SELECT id FROM t ORDER BY id LIMIT (SELECT count(*) / 2 FROM u)',
        'SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS no FROM t) t JOIN (SELECT count(*) / 2 AS n FROM u) c ON no <= n'),
    ('RECURSIVE', 'SELECT id, (WITH RECURSIVE r AS (SELECT t.id UNION ALL SELECT f.id FROM family f JOIN r ON f.parent = r.id) SELECT count(*) FROM r) AS below FROM t',
        'WITH RECURSIVE r AS (SELECT id AS top, id FROM t UNION ALL SELECT r.top, f.id FROM family f JOIN r ON f.parent = r.id)
         SELECT t.id, n AS below FROM t JOIN (SELECT top, count(*) AS n FROM r GROUP BY top) b ON b.top = t.id'),
    ('RECURSIVE_PATH', 'WITH RECURSIVE r AS (SELECT id, parent FROM family WHERE parent IS NULL UNION ALL SELECT f.id, f.parent FROM family f JOIN r ON f.parent = r.id)
            CYCLE id SET loops USING path SELECT id, path::text AS path FROM r',
        'WITH RECURSIVE r AS (SELECT id, ARRAY[id] AS path FROM family WHERE parent IS NULL UNION ALL SELECT f.id, r.path || f.id FROM family f JOIN r ON f.parent = r.id AND f.id <> ALL (r.path))
         SELECT id, path FROM r'),
    ('TABLESAMPLE', 'SELECT id FROM t TABLESAMPLE SYSTEM (10)', 'SELECT id FROM t WHERE hashint4(id) % 10 = 0'),
    ('WHOLE_ROW', 'SELECT count(*) AS n FROM (SELECT id, k FROM t) s GROUP BY s', 'SELECT count(*) AS n FROM (SELECT id, k FROM t) s GROUP BY id, k'),
    ('SYSTEM_COLUMN', 'SELECT id, ctid::text AS place FROM t', NULL),
    ('ROW_LOCKING', 'SELECT id FROM locking', 'SELECT id FROM plain'),
    ('VOLATILE_FUNCTION', 'SELECT id, random() AS r FROM t', NULL),
    ('VOLATILE_FUNCTION', 'SELECT id, nextval(''counter'') AS r FROM t', NULL),
    ('STABLE_FUNCTION', 'SELECT id, twice(k) AS k2 FROM t', 'SELECT id, thrice(k) AS k3 FROM t'),
    ('SESSION_FUNCTION', 'SELECT id, current_user AS me FROM t', NULL),
    ('SESSION_FUNCTION', 'SELECT id, age(at) AS age FROM t', 'SELECT id, now() - at AS age FROM t'),
    ('SESSION_FUNCTION', 'SELECT id FROM t WHERE at < (''now''::text)::timestamptz', 'SELECT id FROM t WHERE at < now()'),
    ('NOW_IN_AGGREGATE', 'SELECT k, max(now() - at) AS m FROM t GROUP BY k', 'SELECT k, now() - min(at) AS m FROM t GROUP BY k'),
    ('NOW_IN_WINDOW', 'SELECT id, rank() OVER (ORDER BY now() - at) AS r FROM t', 'SELECT id, rank() OVER (ORDER BY at DESC) AS r FROM t'),
    ('NOW_IN_OUTER_JOIN', 'SELECT u.k, t.id FROM u LEFT JOIN t ON t.k = u.k AND u.at < now() - t.v * interval ''1 day''',
        'SELECT u.id, t.id AS other FROM t u LEFT JOIN t ON t.k = u.k AND u.at < now() - t.v * interval ''1 day'''),
    ('NOW_COLUMN_IN_CONDITION', 'SELECT id FROM (SELECT id, now() - at AS age FROM t) t WHERE age > interval ''1 day''', 'SELECT id FROM t WHERE now() - at > interval ''1 day'''),
    ('UNLOGGED_SOURCE', 'SELECT id FROM unlogged', 'SELECT id FROM t'),
    ('MATERIALIZED_VIEW', 'SELECT id FROM matview', 'SELECT id FROM plain'),
    ('SYSTEM_CATALOG', 'SELECT relname::text AS name FROM pg_catalog.pg_class', NULL),
    ('NOT_A_TABLE', 'SELECT last_value FROM counter', NULL),
    ('INHERITANCE', 'SELECT id FROM parent', 'SELECT id FROM child'),
    ('TOO_MANY_COLUMNS', (SELECT 'SELECT ' || string_agg(format('sum(k + %s) AS s%1$s', i), ', ') || ' FROM t' FROM generate_series(1, 600) i),
        (SELECT 'SELECT ' || string_agg(format('sum(k + %s) AS s%1$s', i), ', ') || ' FROM t' FROM generate_series(1, 100) i));

-- tables and their reasons: the query in mode auto, and the one to write instead in mode incremental
CREATE PROCEDURE make_all() LANGUAGE plpgsql AS $$
DECLARE
    r restriction;
    d dyntable.dynamic_tables;
    instead text;
BEGIN
    FOR r IN SELECT * FROM restriction ORDER BY no
    LOOP
        PERFORM dyntable_create('d_' || r.no, r.query, 'downstream', initialize => 'on_schedule');
        SELECT * INTO d FROM dyntable.dynamic_tables WHERE name = 'd_' || r.no;
        instead := 'nothing instead';
        IF r.instead IS NOT NULL THEN
            PERFORM dyntable_create('i_' || r.no, r.instead, 'downstream', initialize => 'on_schedule');
            SELECT coalesce('NOT INCREMENTAL: ' || refresh_mode_reason, 'incremental instead') INTO instead
            FROM dyntable.dynamic_tables WHERE name = 'i_' || r.no;
        END IF;
        RAISE INFO '%: %; %', d.refresh_mode_reason_code, d.refresh_mode_reason, instead;
        IF d.refresh_mode_reason_code IS DISTINCT FROM r.code THEN
            RAISE INFO 'EXPECTED % of %', r.code, r.query;
        END IF;
        IF NOT EXISTS (SELECT FROM dyntable_explain_query(r.query) line WHERE line LIKE 'reason: ' || r.code || ':%') THEN
            RAISE INFO 'TOLD OTHERWISE BEFOREHAND: %', r.query;
        END IF;
        COMMIT;
    END LOOP;
END $$;
\set VERBOSITY terse
SET client_min_messages = error;
CALL make_all();

-- for other reasons than the query's
SELECT dyntable_create('d_full', 'SELECT id FROM t', 'downstream', 'full', initialize => 'on_schedule');
GRANT USAGE, CREATE ON SCHEMA restrictions TO regress_restricted;
GRANT SELECT ON guarded TO regress_restricted;
SET ROLE regress_restricted;
SELECT dyntable_create('d_guarded', 'SELECT id FROM guarded', 'downstream', initialize => 'on_schedule');
RESET ROLE;
SELECT name, refresh_mode_reason_code, refresh_mode_reason FROM dyntable.dynamic_tables WHERE name IN ('d_full', 'd_guarded') ORDER BY name;

-- Codes that are raised, documented, tested, and why not all of them are everywhere.
CREATE TABLE code (code text PRIMARY KEY, note text);
INSERT INTO code VALUES
    ('FOREIGN_TABLE', 'tested in t/034_shapes.pl'),
    ('WAL_LEVEL_NOT_LOGICAL', 'tested in t/040_bad_input.pl'),
    ('SOURCE_NOT_CAPTURED', 'kept for kinds of relations that are not known today'),
    ('SOURCE_MISSING', 'a source was dropped a moment ago: not documented'),
    ('TEMPORARY_SOURCE', 'refused with an error at creation: not documented');
\set documentation :srcdir '/docs/sql.md'
\set readme :srcdir '/README.md'
CREATE FUNCTION codes_in(file text, pattern text) RETURNS TABLE (code text) LANGUAGE sql AS $$
    SELECT DISTINCT m[1] FROM regexp_split_to_table(pg_read_file(file), E'\n') line, regexp_matches(line, '`([A-Z_]{5,})`', 'g') m WHERE line LIKE pattern
$$;
CREATE TEMP TABLE documented AS SELECT * FROM codes_in(:'documentation', '| `%');
CREATE TEMP TABLE in_readme AS SELECT * FROM codes_in(:'readme', '|%` |');
CREATE TEMP TABLE raised AS
SELECT DISTINCT code
FROM unnest(ARRAY['query', 'capture', 'command', 'refresh']) room, pg_ls_dir(:'srcdir' || '/src/' || room) file,
    regexp_matches(pg_read_file(:'srcdir' || '/src/' || room || '/' || file),
                   'refuse\([^"]*"([A-Z_]+)"|code = "([A-Z_]+)"| : "([A-Z]+_[A-Z_]+)",|^\s*\{[^"{}]*, "([A-Z_]+)", "', 'gn') found,
    unnest(found) AS code
WHERE file LIKE '%.c' AND code IS NOT NULL;
SELECT code, 'not documented' AS what FROM raised WHERE code NOT IN (SELECT code FROM documented UNION SELECT code FROM code WHERE note LIKE '%not documented')
UNION ALL SELECT code, 'not in README.md' FROM documented WHERE code NOT IN (SELECT code FROM in_readme)
UNION ALL SELECT code, 'in README.md alone' FROM in_readme WHERE code NOT IN (SELECT code FROM documented)
UNION ALL SELECT code, 'not raised' FROM documented WHERE code NOT IN (SELECT code FROM raised)
UNION ALL SELECT code, 'not tested' FROM raised WHERE code NOT IN (SELECT refresh_mode_reason_code FROM dyntable.dynamic_tables WHERE refresh_mode_reason_code IS NOT NULL UNION SELECT code FROM code)
ORDER BY code, what;
SELECT (SELECT count(*) FROM raised) >= 30 AS found_raised, (SELECT count(*) FROM documented) >= 30 AS found_documented;

DROP SCHEMA restrictions CASCADE;
DROP ROLE regress_restricted;
