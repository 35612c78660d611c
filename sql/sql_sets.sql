--
-- Duplicates and set operations.
--
CREATE SCHEMA sql_sets;
SET search_path = sql_sets, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE l (a int, b text, n numeric(8,2));
CREATE TABLE r (a bigint, b varchar(9), n int);
CREATE TABLE word (w text COLLATE loose, x text COLLATE "C");
INSERT INTO l VALUES (1, 'a', 1), (1, 'a', 1), (1, 'a', 2), (2, 'b', 2), (4, 'd', 5), (NULL, 'x', 3), (NULL, NULL, NULL), (NULL, NULL, 1);
INSERT INTO r VALUES (1, 'a', 1), (1, 'a', 1), (2, 'c', 2), (4, 'd', 5), (NULL, 'x', 3), (NULL, NULL, NULL), (9, 'z', 1);
INSERT INTO word VALUES ('a', 'a'), ('A', 'A'), ('b', 'B'), (NULL, NULL);
INSERT INTO definition (name, query) VALUES
    ('d_no_columns', 'SELECT count(*) AS n, (SELECT count(*) FROM (SELECT FROM l EXCEPT ALL SELECT FROM r) y) AS m FROM (SELECT FROM l UNION ALL SELECT FROM r) x'),
    ('d_distinct', 'SELECT DISTINCT a, b FROM l'),
    ('d_union', 'SELECT a, b FROM l UNION SELECT a, b FROM r'),
    ('d_union_all', 'SELECT a, b FROM l UNION ALL SELECT a, b FROM r'),
    ('d_union_collated', 'SELECT b COLLATE "C" AS b FROM l UNION SELECT b FROM r UNION ALL SELECT x FROM word'),
    ('d_intersect', 'SELECT a, b FROM l INTERSECT SELECT a, b FROM r'),
    ('d_intersect_all', 'SELECT a, b FROM l INTERSECT ALL SELECT a, b FROM r'),
    ('d_except', 'SELECT a, b FROM l EXCEPT SELECT a, b FROM r'),
    ('d_except_all', 'SELECT a, b FROM l EXCEPT ALL SELECT a, b FROM r'),
    ('d_types', 'SELECT a, n FROM l INTERSECT SELECT n, a FROM r UNION ALL (SELECT n::int, n FROM l EXCEPT ALL SELECT a, 1.5 FROM r)'),
    ('d_nested', '(SELECT a FROM l EXCEPT ALL SELECT a FROM r) UNION (SELECT a FROM r EXCEPT (SELECT a FROM l INTERSECT SELECT n FROM r))'),
    ('d_nested_all', 'SELECT a FROM l UNION ALL (SELECT a FROM r EXCEPT ALL SELECT n FROM r) INTERSECT ALL (SELECT a FROM l UNION ALL SELECT a FROM l)'),
    ('d_self', 'SELECT a, b FROM l WHERE n > 1 EXCEPT ALL SELECT a, b FROM l WHERE n > 2'),
    ('d_self_none', 'SELECT a FROM l EXCEPT SELECT a FROM l UNION ALL SELECT 7'),
    ('d_loose', 'SELECT lower(w) AS w FROM word INTERSECT SELECT w FROM word EXCEPT SELECT upper(b) COLLATE loose FROM l'),
    ('d_constant', 'VALUES (1, ''a''), (1, ''a''), (5, ''e'') EXCEPT ALL SELECT a, b FROM l INTERSECT ALL VALUES (1, ''a''::text), (NULL, ''x'')'),
    ('d_above', 'SELECT s.b, count(*) AS n, sum(l.n) AS s FROM (SELECT a, b FROM l EXCEPT ALL SELECT a, b FROM r) s LEFT JOIN l USING (a) GROUP BY s.b'),
    ('d_below', 'SELECT a, count(*) AS n FROM l GROUP BY a EXCEPT SELECT a, count(*) FROM r GROUP BY a'),
    ('d_windowed', 'SELECT a, n, rank() OVER (ORDER BY n) AS r FROM (SELECT a, n FROM l INTERSECT ALL SELECT a, n FROM r) x'),
    ('d_distinct_on', 'SELECT DISTINCT ON (a) a, b, n FROM (SELECT a, b, n FROM l EXCEPT SELECT a, b, n FROM r) x ORDER BY a, n DESC, b'),
    ('d_dynamic', 'SELECT a FROM d_intersect_all EXCEPT ALL SELECT a FROM d_intersect'),
    ('d_cte', 'WITH s AS (SELECT a, b FROM l EXCEPT SELECT a, b FROM r) SELECT x.a, y.b FROM s x JOIN s y ON x.a = y.a UNION SELECT a, NULL FROM s'),
    ('d_moving', 'SELECT a FROM l WHERE make_timestamptz(2000, 1, 1, 0, 0, 0) + a * interval ''1 year'' < now() INTERSECT SELECT a FROM r'),
    ('d_none_columns', 'SELECT count(*) AS n FROM (SELECT FROM l EXCEPT ALL SELECT FROM r) x'),
    ('d_none_columns_once', 'SELECT count(*) AS n FROM (SELECT FROM l INTERSECT SELECT FROM r) x');
CALL create_all();
CALL change('new rows, equal rows', $$INSERT INTO l VALUES (1, 'a', 1), (3, 'q', 1), (NULL, NULL, 4), (9, 'z', 2.5); INSERT INTO r VALUES (3, 'q', 7), (4, 'd', 5)$$);
CALL change('one side', $$DELETE FROM l WHERE n = 1; UPDATE l SET b = 'c' WHERE a = 2; INSERT INTO l VALUES (5, 'e', 3)$$);
CALL change('the other side', $$UPDATE r SET b = 'x', n = 2 WHERE b IS NULL; INSERT INTO r SELECT a, b, n FROM r; INSERT INTO r VALUES (5, 'e', 3); INSERT INTO word VALUES ('B', 'b'), ('B', 'b')$$);
CALL change('nothing', $$UPDATE l SET a = a; INSERT INTO r VALUES (7, 'h', 7); DELETE FROM r WHERE a = 7$$);
CALL change('both', $$UPDATE l SET a = coalesce(a, 0) + 1, n = n + 1; UPDATE r SET a = nullif(a, 9) + 1; DELETE FROM word WHERE w = 'a'$$);
CALL change('left to none', $$DELETE FROM l$$);
CALL change('left from none', $$INSERT INTO l SELECT a, b, n FROM r WHERE a IS DISTINCT FROM 2 UNION ALL SELECT 2, 'new', 2$$);
CALL change('right to none', $$DELETE FROM r$$);
CALL change('both to none', $$DELETE FROM l$$);
CALL change('from none', $$INSERT INTO r VALUES (1, NULL, 1), (1, NULL, 1), (2, 'b', 2); INSERT INTO l SELECT a, b, n FROM r; INSERT INTO l VALUES (NULL, 'x', NULL)$$);

SELECT query, r AS refusal FROM unnest(ARRAY[
    'SELECT count(*) AS n FROM (SELECT FROM l UNION SELECT FROM r) x',
    'SELECT a, now() AS t FROM l EXCEPT SELECT a, now() FROM r']) query, dyntable_explain_query(query) r WHERE r ~ 'reason';

DROP SCHEMA sql_sets CASCADE;
