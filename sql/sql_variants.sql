--
-- Values that are equal and not the same: 1.0 and 1.00, 0 and -0, '1 mon' and
-- '30 days', 'a' and 'A' where a collation or type does not tell them apart.
-- Which of them a group shows is open as long as it has several: one that no row
-- has any more it does not show, and no row shows another one's.
--
CREATE SCHEMA sql_variants;
SET search_path = sql_variants, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE t (id int PRIMARY KEY, g int, num numeric, name text COLLATE loose, f float8, lasts interval, j jsonb, r numrange, a numeric[]);
CREATE TABLE w (id int, num numeric, name text COLLATE loose, f float8);
-- a row of each kind has values of its own
INSERT INTO t VALUES
    (1, 1, 1, 'a', 0, '1 mon', '1', '[1,2)', '{1}'), (2, 1, 2, 'b', 1, '1 day', '2', '[2,3)', '{2}'), (3, 2, 3, 'c', 2, '2 days', '3', '[3,4)', '{3}'),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO w VALUES (1, 1.000, 'A', '-0'), (2, 5.0, 'q', 7), (3, NULL, NULL, NULL);
INSERT INTO definition (name, query) VALUES
    ('numbers',     'SELECT num::text AS shown, n, m FROM (SELECT num, count(*) AS n, max(id) AS m FROM t GROUP BY num) x'),
    ('names',       'SELECT name COLLATE "C" AS shown, n FROM (SELECT name, count(*) AS n FROM t GROUP BY name) x'),
    ('only',        'SELECT num::text AS shown FROM (SELECT num FROM t GROUP BY num) x'),
    ('itself',      'SELECT num, name, count(*) AS n, sum(id) AS s FROM t GROUP BY num, name'),
    ('floats',      'SELECT f::text AS shown, n FROM (SELECT f, count(*) AS n FROM t GROUP BY f) x'),
    ('intervals',   'SELECT lasts::text AS shown, n FROM (SELECT lasts, count(*) AS n FROM t GROUP BY lasts) x'),
    ('jsons',       'SELECT j::text AS shown, n FROM (SELECT j, count(*) AS n FROM t GROUP BY j) x'),
    ('ranges',      'SELECT r::text AS r, a::text AS a, n FROM (SELECT r, a, count(*) AS n FROM t GROUP BY r, a) x'),
    ('several',     'SELECT num::text AS num, name COLLATE "C" AS name, f::text AS f, m FROM (SELECT g, num, name, f, min(id) AS m FROM t GROUP BY g, num, name, f) x'),
    ('in_group',    'SELECT num::text AS shown, count(*) AS n, string_agg(id::text, '','' ORDER BY id) AS ids FROM t GROUP BY num'),
    ('sets',        'SELECT num::text AS num, f::text AS f, count(*) AS n FROM t GROUP BY GROUPING SETS ((num), (f), ())'),
    ('dist',        'SELECT num::text AS shown FROM (SELECT DISTINCT num FROM t) x'),
    ('either',      'SELECT num::text AS shown FROM (SELECT num FROM t UNION SELECT num FROM w WHERE num > 4) x'),
    ('except_',     'SELECT num::text AS shown FROM (SELECT num FROM t EXCEPT SELECT num FROM w) x'),
    ('sums',        'SELECT g, sum(DISTINCT num)::text AS s, count(DISTINCT name) AS n FROM t GROUP BY g'),
    ('joined',      'SELECT w.id, x.num::text AS shown, n FROM w JOIN (SELECT num, count(*) AS n FROM t GROUP BY num) x USING (num)'),
    ('scalar',      'SELECT id, (SELECT w.num::text || count(*) FROM t WHERE t.num = w.num) AS shown FROM w'),
    ('lateral_',    'SELECT w.id, x.* FROM w, LATERAL (SELECT w.num::text AS shown, max(id) AS m FROM t WHERE t.num = w.num GROUP BY g) x'),
    ('top',         'SELECT w.id, x.* FROM w, LATERAL (SELECT w.num::text AS shown, t.id AS tid FROM t WHERE t.num >= w.num ORDER BY t.id LIMIT 2) x'),
    ('no_partner',  'SELECT t.id, x.* FROM t, LATERAL (SELECT upper(t.name) = t.name COLLATE "C" AS capital, sum(w.id) AS s FROM w WHERE w.name = t.name OR w.id > t.g) x'),
    ('stricter',    'SELECT w.id, (SELECT count(*) FROM t WHERE t.name COLLATE "C" < w.name AND t.id > 0) AS n FROM w'),
    ('nulls',       'SELECT w.id, x.* FROM w LEFT JOIN LATERAL (SELECT w.f::text || ''!'' AS shown, count(*) AS n FROM t WHERE t.f IS NOT DISTINCT FROM w.f) x ON true');
CALL create_all();
CALL change('of all rows', $$UPDATE t SET num = num + 0.0, name = upper(name), f = - f, lasts = justify_days(lasts), j = '1.0' WHERE id = 1$$);
CALL change('a second one', $$INSERT INTO t VALUES (11, 1, 1, 'a', 0, '30 days', '1', '[1.0,2)', '{1.0}'), (12, 2, 2.00, 'B', 1, '24:00', '2.0', '[2,3.0)', '{2.0}')$$);
CALL change('the first one goes', $$DELETE FROM t WHERE id IN (1, 2)$$);
CALL change('a third one, and the second goes', $$INSERT INTO t VALUES (21, 1, 1.000, 'A', '-0', '720:00', '1.000', '[1,2.00)', '{1.00}'); DELETE FROM t WHERE id = 11$$);
CALL change('more of the same', $$INSERT INTO t SELECT 30 + i, 1, 1.000, 'A', '-0', '720:00', '1.000', '[1,2.00)', '{1.00}' FROM generate_series(1, 3) i$$);
CALL change('some of these go', $$DELETE FROM t WHERE id IN (21, 31)$$);
CALL change('the other one comes back', $$UPDATE t SET num = 1, name = 'a', f = 0, lasts = '1 mon', j = '1', r = '[1,2)', a = '{1}' WHERE id IN (32, 33)$$);
CALL change('of rows outside', $$UPDATE w SET num = num * 1.0, name = lower(name), f = - f$$);
CALL change('of rows of one kind', $$INSERT INTO w VALUES (4, 1, 'A', 0), (5, 1.00, 'a', '-0')$$);
CALL change('both', $$UPDATE w SET num = num + 0.00, name = upper(name); UPDATE t SET num = num + 0.00, name = upper(name), f = - f$$);
CALL change('to none', $$DELETE FROM t; DELETE FROM w WHERE id > 1$$);
CALL change('from none', $$INSERT INTO t VALUES (1, 1, 1.0, 'A', '-0', '30 days', '1.0', '[1,2.0)', '{1.0}')$$);

-- a group whose keys are the same to the byte loses a row, and is not read again
CREATE TABLE big (id int PRIMARY KEY, num numeric, code char(3), f float8, v int);
INSERT INTO big SELECT i, i % 4, 'c' || i % 4, i % 4, i FROM generate_series(1, 4000) i;
CREATE PROCEDURE reads(key text) LANGUAGE plpgsql AS $$
DECLARE
    before numeric;
    reads numeric;
BEGIN
    PERFORM dyntable_create('grouped', format('SELECT %s::text AS shown, n, s FROM (SELECT %1$s, count(*) AS n, sum(v) AS s FROM big GROUP BY %1$s) x', key), '1 day', 'incremental', or_replace => true);
    DELETE FROM big WHERE id = (SELECT min(id) FROM big);
    COMMIT;
    SELECT sum(seq_tup_read + idx_tup_fetch) INTO before FROM pg_stat_xact_user_tables WHERE relid = 'big'::regclass;
    PERFORM dyntable_refresh('grouped');
    SELECT sum(seq_tup_read + idx_tup_fetch) - before INTO reads FROM pg_stat_xact_user_tables WHERE relid = 'big'::regclass;
    RAISE INFO '%: % rows read, %, %', key, reads, (SELECT last_refresh_action FROM dyntable.dynamic_tables WHERE name = 'grouped'),
        (SELECT CASE WHEN missing + unexpected = 0 THEN 'equal' ELSE 'DIFFERENT' END FROM dyntable_verify('grouped'));
    COMMIT;
END $$;
CALL reads('num');
CALL reads('code');
CALL reads('f');
DROP SCHEMA sql_variants CASCADE;
