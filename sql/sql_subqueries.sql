--
-- Subqueries in expressions, and LATERAL subqueries over tables.
--
CREATE SCHEMA sql_subqueries;
SET search_path = sql_subqueries, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE t (id int PRIMARY KEY, k int, v int, name text);		-- rows outside
CREATE TABLE u (k int, v int, w numeric(8,2), name text);			-- no key, equal rows
CREATE TABLE p (id int PRIMARY KEY, label text NOT NULL);			-- looked up by key
CREATE INDEX ON u (k);
CREATE INDEX ON t (k);
INSERT INTO t SELECT i, nullif(i % 6, 5), nullif(i % 4, 3), (ARRAY['a', 'b', NULL])[i % 3 + 1] FROM generate_series(1, 14) i;
INSERT INTO u SELECT nullif(i % 5, 4), nullif(i % 3, 2), i, 'n' || i % 4 FROM generate_series(1, 11) i;
INSERT INTO p SELECT i, 'label ' || i FROM generate_series(0, 3) i;

INSERT INTO definition (name, query) VALUES
    -- EXISTS
    ('d_exists', 'SELECT id, k FROM t WHERE EXISTS (SELECT FROM u WHERE u.k = t.k)'),
    ('d_not_exists', 'SELECT id, k FROM t WHERE NOT EXISTS (SELECT FROM u WHERE u.k = t.k AND u.v = 1)'),
    ('d_exists_more', 'SELECT id, k FROM t WHERE EXISTS (SELECT FROM u WHERE u.k = t.k AND u.v <> t.v)'),
    ('d_exists_less', 'SELECT id, v FROM t WHERE NOT EXISTS (SELECT FROM u WHERE u.v > t.v AND u.w > 2)'),
    ('d_exists_plain', 'SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE w > 10)'),
    ('d_exists_join', 'SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u JOIN p ON p.id = u.k WHERE u.v = t.v AND p.label <> t.name)'),
    ('d_exists_having', 'SELECT id FROM t WHERE EXISTS (SELECT u.v FROM u WHERE u.k = t.k GROUP BY u.v HAVING count(*) > 1)'),
    ('d_exists_count', 'SELECT id FROM t WHERE EXISTS (SELECT count(*) FROM u WHERE u.k = t.k HAVING count(*) < 2)'),
    ('d_exists_or', 'SELECT id FROM t WHERE v = 1 OR EXISTS (SELECT FROM u WHERE u.k = t.k AND u.v = 0)'),
    ('d_exists_column', 'SELECT id, EXISTS (SELECT FROM u WHERE u.k = t.k) AS has, NOT EXISTS (SELECT FROM u WHERE u.v > t.v) AS top FROM t'),
    ('d_exists_deep', 'SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE u.k = t.k AND EXISTS (SELECT FROM p WHERE p.id = u.v AND EXISTS (SELECT FROM u x WHERE x.name = u.name AND x.v = p.id)))'),
    ('d_exists_across', 'SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE u.k = t.k AND EXISTS (SELECT FROM p WHERE p.id = u.v AND p.id < t.id))'),
    -- IN, ANY, ALL
    ('d_in', 'SELECT id, v FROM t WHERE v IN (SELECT v FROM u)'),
    ('d_not_in', 'SELECT id, k FROM t WHERE k NOT IN (SELECT k FROM u WHERE w > 9)'),
    ('d_not_in_key', 'SELECT id FROM t WHERE id NOT IN (SELECT id FROM p)'),
    ('d_in_two', 'SELECT id FROM t WHERE (k, v) IN (SELECT k, v FROM u)'),
    ('d_not_in_two', 'SELECT id FROM t WHERE (k, v) NOT IN (SELECT k, v FROM u WHERE w > 8)'),
    ('d_in_grouped', 'SELECT id FROM t WHERE k IN (SELECT k FROM u GROUP BY k HAVING sum(w) > 12)'),
    ('d_in_column', 'SELECT id, k IN (SELECT k FROM u WHERE w > 3) AS i, k NOT IN (SELECT k FROM u WHERE w > 30) AS n FROM t'),
    ('d_in_correlated', 'SELECT id FROM t WHERE k NOT IN (SELECT u.k FROM u WHERE u.v = t.v)'),
    ('d_any', 'SELECT id FROM t WHERE v > ANY (SELECT v FROM u WHERE u.k = t.k)'),
    ('d_all', 'SELECT id, v FROM t WHERE v >= ALL (SELECT v FROM u WHERE v IS NOT NULL)'),
    ('d_all_column', 'SELECT id, v >= ALL (SELECT v FROM u WHERE u.k = t.k) AS a, v < ANY (SELECT v FROM u WHERE u.k = t.k) AS b FROM t'),
    ('d_in_case', 'SELECT id, CASE WHEN k IN (SELECT k FROM u) THEN ''in'' WHEN k IS NULL THEN ''null'' ELSE ''out'' END AS c FROM t'),
    -- scalar subqueries
    ('d_scalar', 'SELECT id, (SELECT max(w) FROM u) AS m FROM t'),
    ('d_scalar_where', 'SELECT id, v FROM t WHERE v >= (SELECT avg(v) FROM u)'),
    ('d_scalar_range', 'SELECT id, k FROM t WHERE k < (SELECT avg(w) / 8 FROM u) AND id % 2 = (SELECT count(*) % 2 FROM p)'),
    ('d_scalar_between', 'SELECT t.id, p.label FROM t JOIN p ON p.id = t.v WHERE t.id > (SELECT min(k) FROM u) AND EXISTS (SELECT FROM u WHERE u.v = t.v)'),
    ('d_exists_part', 'SELECT t.id, u.w FROM t JOIN u ON u.k = t.k WHERE t.id IN (SELECT v + 2 FROM u) AND NOT EXISTS (SELECT FROM p WHERE p.id = u.v + 3) AND u.w > ALL (SELECT t.v)'),
    ('d_exists_input', 'SELECT t.id, u.w, p.label FROM t JOIN u ON u.k = t.k JOIN p ON p.id = u.v WHERE t.id NOT IN (SELECT v + 2 FROM u WHERE v IS NOT NULL) AND EXISTS (SELECT FROM t x WHERE x.k = u.v)'),
    ('d_exists_used', 'SELECT id, v FROM t WHERE name IS NOT NULL AND id IN (SELECT k + v + 3 FROM u) AND NOT EXISTS (SELECT FROM u WHERE u.w = t.id + 6)'),
    ('d_scalar_key', 'SELECT id, (SELECT label FROM p WHERE p.id = t.k) AS label FROM t'),
    ('d_scalar_count', 'SELECT id, (SELECT count(*) FROM u WHERE u.k = t.k) AS n, (SELECT count(*) + coalesce(sum(w), 7) FROM u WHERE u.k = t.k) AS x FROM t'),
    ('d_scalar_limit', 'SELECT id, (SELECT count(*) FROM u WHERE u.k = t.k LIMIT 1) AS n FROM t'),
    ('d_scalar_less', 'SELECT id, (SELECT count(*) FROM u WHERE u.v < t.v) AS n, (SELECT sum(w) + t.v FROM u WHERE u.v <> t.k) AS s FROM t'),
    ('d_scalar_one', 'SELECT id, (SELECT u.name FROM u WHERE u.w = t.id) AS name FROM t'),
    ('d_scalar_having', 'SELECT id, (SELECT count(*) FROM u WHERE u.k = t.k HAVING count(*) <> 2) AS n FROM t'),
    ('d_scalar_grouped', 'SELECT k, count(*) AS n, (SELECT sum(w) FROM u WHERE u.k = t.k) AS s, (SELECT count(*) FROM u WHERE u.v = max(t.v)) AS m FROM t GROUP BY k'),
    ('d_scalar_in_agg', 'SELECT k, sum((SELECT count(*) FROM u WHERE u.k = t.v)) AS s FROM t GROUP BY k'),
    ('d_scalar_having_outer', 'SELECT k, count(*) AS n FROM t GROUP BY k HAVING count(*) > (SELECT count(*) FROM u WHERE u.k = t.k)'),
    ('d_scalar_group_key', 'SELECT (SELECT label FROM p WHERE p.id = t.k) AS label, count(*) AS n FROM t GROUP BY 1'),
    ('d_scalar_case', 'SELECT id, CASE WHEN v = 1 THEN (SELECT min(w) FROM u WHERE u.k = t.k) ELSE -1 END AS c FROM t'),
    ('d_scalar_nested', 'SELECT id, (SELECT max(x.w) FROM u x WHERE x.k = t.k AND x.w < (SELECT max(y.w) FROM u y WHERE y.k = x.k)) AS second FROM t'),
    ('d_row', 'SELECT id FROM t WHERE (k, v) = (SELECT max(k), max(v) FROM u)'),
    ('d_array', 'SELECT id, ARRAY(SELECT w FROM u WHERE u.k = t.k ORDER BY w DESC) AS a FROM t'),
    ('d_no_from', 'SELECT (SELECT count(*) FROM t) AS t, (SELECT sum(w) FROM u) AS u, EXISTS (SELECT FROM p WHERE id > 2) AS p'),
    ('d_row_local', 'SELECT id, (SELECT string_agg(x::text, ''-'') FROM generate_series(1, t.v) x) AS s FROM t'),
    -- in FROM, joins, set operations, WITH
    ('d_cte', 'WITH c AS (SELECT k, sum(w) AS s FROM u GROUP BY k) SELECT id, (SELECT s FROM c WHERE c.k = t.k) AS s FROM t WHERE EXISTS (SELECT FROM c WHERE c.s > t.v)'),
    ('d_with_outer', 'SELECT id, (WITH c AS (SELECT v, count(*) AS n FROM u WHERE u.k = t.k GROUP BY v) SELECT sum(n) FROM c WHERE n < 3) AS s FROM t'),
    ('d_with_outer_chain', 'SELECT id, (WITH c AS (SELECT v, w FROM u WHERE u.k <= t.k), d AS (SELECT v, count(*) AS n FROM c GROUP BY v) SELECT max(d.n + c.w) FROM d JOIN c USING (v)) AS m FROM t'),
    ('d_with_outer_exists', 'SELECT id FROM t WHERE EXISTS (SELECT FROM (WITH c AS MATERIALIZED (SELECT v FROM u WHERE u.k = t.k) SELECT max(v) AS m FROM c) x WHERE x.m >= t.v)'),
    ('d_with_outer_arms', 'SELECT t.id, x.a FROM t, LATERAL (WITH c AS (SELECT v, w FROM u WHERE u.k = t.k) SELECT p.id AS a FROM p WHERE EXISTS (SELECT FROM c WHERE c.v = p.id) UNION ALL (WITH c AS (SELECT w FROM c WHERE w > t.id) SELECT count(*) FROM c)) x'),
    ('d_with_outer_window', 'SELECT t.id, x.a, x.b FROM t LEFT JOIN LATERAL (WITH c AS (SELECT w, row_number() OVER (ORDER BY w, name) AS rn FROM u WHERE u.v = t.v) SELECT c.w AS a, d.w AS b FROM c JOIN c d ON d.rn = c.rn + 1) x ON true'),
    ('d_on', 'SELECT t.id, p.label FROM t LEFT JOIN p ON p.id = t.k AND p.id IN (SELECT v FROM u)'),
    ('d_union', 'SELECT id, (SELECT count(*) FROM (SELECT w FROM u WHERE u.k = t.k UNION ALL SELECT id FROM p WHERE p.id = t.k) x) AS n FROM t'),
    ('d_window', 'SELECT id, rank() OVER (ORDER BY (SELECT count(*) FROM u WHERE u.k = t.k)) AS r FROM t'),
    -- LATERAL
    ('d_lateral', 'SELECT t.id, x.w FROM t, LATERAL (SELECT w FROM u WHERE u.k = t.k AND u.v >= t.v) x'),
    -- aggregates with a subquery, a window, a set-returning function beside or in them
    ('d_agg_of_subquery', 'SELECT id, (SELECT sum((SELECT count(*) FROM p WHERE p.id = u.v)) FROM u WHERE u.k = t.k) AS s FROM t'),
    ('d_agg_and_subquery', 'SELECT id, (SELECT max(u.w) + (SELECT min(p.id) FROM p WHERE p.id >= t.v) FROM u WHERE u.k < t.k) AS m FROM t'),
    ('d_agg_having', 'SELECT id, x.a, x.b FROM t LEFT JOIN LATERAL (SELECT count(*) AS a, (SELECT count(*) FROM p WHERE p.id < t.k) AS b FROM u WHERE u.k = t.k HAVING count(*) > (SELECT count(*) FROM p WHERE p.id < t.v)) x ON true'),
    ('d_agg_window', 'SELECT id, x.n, x.r FROM t CROSS JOIN LATERAL (SELECT count(*) AS n, sum(count(*)) OVER () AS r FROM u WHERE u.v = t.v) x'),
    ('d_agg_limit', 'SELECT id, (SELECT count(*) FROM u WHERE u.k = t.k ORDER BY 1 LIMIT 0) AS n, (SELECT sum(w) FROM u WHERE u.v = t.v ORDER BY 1 OFFSET 1) AS s FROM t'),
    ('d_agg_series', 'SELECT t.id, x.n, x.i FROM t, LATERAL (SELECT count(*) AS n, generate_series(1, count(*)) AS i FROM u WHERE u.k = t.k) x'),
    ('d_lateral_agg', 'SELECT t.id, x.n, x.s FROM t CROSS JOIN LATERAL (SELECT count(*) AS n, sum(w) AS s FROM u WHERE u.k = t.k) x'),
    ('d_lateral_left', 'SELECT t.id, x.w, x.s FROM t LEFT JOIN LATERAL (SELECT u.w, t.v + u.v AS s FROM u WHERE u.k = t.k AND u.w > 4) x ON x.s > 0'),
    ('d_lateral_group', 'SELECT t.id, x.v, x.n FROM t LEFT JOIN LATERAL (SELECT v, count(*) AS n FROM u WHERE u.k <= t.k GROUP BY v) x ON true'),
    ('d_lateral_chain', 'SELECT t.id, x.m, y.label FROM t, LATERAL (SELECT max(v) AS m FROM u WHERE u.k = t.k) x, LATERAL (SELECT label FROM p WHERE p.id = x.m AND p.id <> t.id) y'),
    ('d_lateral_distinct', 'SELECT t.id, x.name FROM t, LATERAL (SELECT DISTINCT name FROM u WHERE u.v < t.v) x'),
    ('d_lateral_top', 'SELECT t.id, x.w FROM t, LATERAL (SELECT w FROM u WHERE u.k = t.k ORDER BY w DESC LIMIT 2) x'),
    ('d_lateral_top_less', 'SELECT t.id, x.w, x.rn FROM t LEFT JOIN LATERAL (SELECT w, row_number() OVER (ORDER BY w, name) AS rn FROM u WHERE u.v <= t.v ORDER BY w, name LIMIT 2 OFFSET 1) x ON true'),
    ('d_scalar_last', 'SELECT id, (SELECT w FROM u WHERE u.k = t.k ORDER BY w DESC LIMIT 1) AS last, (SELECT name FROM u WHERE u.v < t.v ORDER BY w DESC, name LIMIT 1) AS name FROM t'),
    ('d_lateral_sets', 'SELECT t.id, x.v, x.n FROM t, LATERAL (SELECT v, count(*) AS n FROM u WHERE u.k = t.k GROUP BY GROUPING SETS ((v), (v, name))) x'),
    ('d_lateral_arms', 'SELECT t.id, x.n FROM t, LATERAL (SELECT count(*) AS n FROM u WHERE u.k = t.k UNION ALL SELECT sum(w) FROM u WHERE u.v < t.v) x'),
    ('d_lateral_arms_top', 'SELECT t.id, x.a, x.n FROM t, LATERAL ((SELECT w AS a, v AS n FROM u WHERE u.k = t.k ORDER BY name DESC, w LIMIT 1) UNION (SELECT -1, count(*) FROM p WHERE p.id > t.v)) x'),
    ('d_lateral_arms_offset', 'SELECT t.id, x.a FROM t LEFT JOIN LATERAL (((SELECT w AS a FROM u WHERE u.v < t.v UNION SELECT id FROM p) ORDER BY a DESC OFFSET 1 LIMIT 2) EXCEPT (SELECT w FROM u WHERE u.k = t.k ORDER BY w LIMIT 1)) x ON true'),
    ('d_scalar_arms_top', 'SELECT id, (SELECT sum(a) FROM ((SELECT w AS a FROM u WHERE u.k = t.k ORDER BY w FETCH FIRST 1 ROW WITH TIES) UNION ALL (SELECT max(id) FROM p WHERE p.id < t.v)) x) AS s FROM t'),
    ('d_in_arms_top', 'SELECT id, v IN ((SELECT v FROM u WHERE u.k = t.k ORDER BY w LIMIT 1) UNION (SELECT id FROM p WHERE id = t.k)) AS i FROM t WHERE EXISTS ((SELECT w FROM u WHERE u.k = t.k ORDER BY w LIMIT 1) EXCEPT (SELECT t.id))'),
    ('d_lateral_having', 'SELECT t.id, x.n FROM t LEFT JOIN LATERAL (SELECT count(*) AS n FROM u WHERE u.k = t.k HAVING count(*) <> 1) x ON x.n > t.v'),
    ('d_lateral_except', 'SELECT t.id, x.v FROM t, LATERAL (SELECT v FROM u WHERE u.k = t.k EXCEPT SELECT id FROM p WHERE id < t.id) x'),
    ('d_lateral_function', 'SELECT t.id, x.s, x.n FROM t, LATERAL (SELECT s, count(*) AS n FROM u, generate_series(1, t.v) s WHERE u.k = t.k GROUP BY s) x'),
    ('d_exists_outer', 'SELECT id FROM t WHERE EXISTS (SELECT FROM u LEFT JOIN p ON p.id = u.v AND p.id < t.id WHERE u.k = t.k AND p.id IS NULL)'),
    ('d_exists_limit', 'SELECT id, EXISTS (SELECT FROM u WHERE u.k = t.k OFFSET 2) AS three, EXISTS (SELECT FROM u WHERE u.v = t.v LIMIT 1) AS one FROM t'),
    ('d_in_limit', 'SELECT id FROM t WHERE v IN (SELECT v FROM u WHERE u.k = t.k ORDER BY w LIMIT 1)'),
    ('d_in_union', 'SELECT id FROM t WHERE k IN (SELECT k FROM u WHERE u.v = t.v UNION SELECT id FROM p WHERE id = t.v)'),
    ('d_lateral_union', 'SELECT t.id, x.a FROM t, LATERAL (SELECT w AS a FROM u WHERE u.k = t.k UNION SELECT id FROM p WHERE id = t.v) x');
CALL create_all();
CALL change('rows inside', $$INSERT INTO u VALUES (1, 1, 20, 'n1'), (1, 1, 20, 'n1'), (3, 0, 21, 'x'), (NULL, 0, 22, 'y'), (5, NULL, 23, 'z')$$);
CALL change('rows outside', $$INSERT INTO t VALUES (30, 1, 1, 'a'), (31, NULL, NULL, NULL), (32, 9, 0, 'c'); UPDATE t SET k = 2 WHERE id IN (3, 4)$$);
CALL change('both', $$UPDATE u SET k = coalesce(k, 0) + 1, v = 2 - v WHERE w < 5; UPDATE t SET v = coalesce(v, 0) + 1, name = 'b' WHERE id % 3 = 0; INSERT INTO p VALUES (4, 'four'), (5, 'five')$$);
CALL change('NULLs go', $$DELETE FROM u WHERE k IS NULL OR v IS NULL; UPDATE t SET k = 0 WHERE k IS NULL$$);
CALL change('duplicates go', $$DELETE FROM u WHERE ctid IN (SELECT max(ctid) FROM u GROUP BY k); UPDATE p SET label = label || '!' WHERE id < 2$$);
CALL change('nothing', $$UPDATE u SET k = k; UPDATE t SET v = v$$);
CALL change('none inside', $$DELETE FROM u$$);
CALL change('from none', $$INSERT INTO u VALUES (1, 1, 1, 'n1'), (2, NULL, 2, NULL), (NULL, 3, 3, 'q')$$);
CALL change('none outside', $$DELETE FROM t$$);
CALL change('all anew', $$INSERT INTO t SELECT i, i % 3, i % 2, 'new' FROM generate_series(1, 6) i; DELETE FROM p WHERE id IN (0, 3)$$);

-- more than one row
SELECT dyntable_create('d_many', 'SELECT id, (SELECT w FROM u WHERE u.k = t.k) AS w FROM t', '1 day', 'incremental');
INSERT INTO u VALUES (1, 9, 9, 'second');
SELECT action FROM dyntable_refresh('d_many');
DELETE FROM u WHERE name = 'second';
SELECT * FROM dyntable_verify('d_many');

DROP SCHEMA sql_subqueries CASCADE;
