--
-- The first rows: LIMIT, OFFSET, WITH TIES, DISTINCT ON, conditions on ranks.
--
CREATE SCHEMA sql_top;
SET search_path = sql_top, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE score (id int PRIMARY KEY, team text, points int, at timestamptz);
CREATE TABLE bag (team text, points int, note json);		-- no key, equal rows, a type without equality
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE TABLE word (w text COLLATE loose, n numeric);		-- values that are equal and not the same
INSERT INTO score SELECT i, nullif('t' || i % 5, 't4'), nullif(i * 7 % 40, 3), '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 60) i;
INSERT INTO bag SELECT nullif('t' || i % 3, 't2'), i % 4, '{"a":1}' FROM generate_series(1, 24) i;
INSERT INTO bag SELECT * FROM bag WHERE points = 1;
INSERT INTO word SELECT (ARRAY['role', 'Role', 'rôle', 'a', 'A', NULL])[1 + i % 6], (ARRAY[1.0, 1.00, 2])[1 + i % 3] FROM generate_series(1, 30) i;

INSERT INTO definition (name, query) VALUES
    -- at the top and in subqueries
    ('t_limit', 'SELECT id, points FROM score ORDER BY points DESC NULLS LAST, id LIMIT 4'),
    ('t_nulls_first', 'SELECT id, points FROM score ORDER BY points DESC, id LIMIT 4'),
    ('t_offset', 'SELECT id, team FROM score ORDER BY points, id OFFSET 3 LIMIT 5'),
    ('t_offset_alone', 'SELECT id, points FROM score ORDER BY points DESC NULLS LAST, id OFFSET 50'),
    ('t_fetch', 'SELECT points FROM score ORDER BY at DESC, id FETCH FIRST ROW ONLY'),
    ('t_ties', 'SELECT id, points FROM score ORDER BY points DESC NULLS LAST FETCH FIRST 3 ROWS WITH TIES'),
    ('t_ties_offset', 'SELECT points FROM score ORDER BY points DESC NULLS LAST OFFSET 2 FETCH FIRST 3 ROWS WITH TIES'),
    ('t_expressions', 'SELECT id FROM score ORDER BY points % 10 NULLS FIRST, id DESC LIMIT 2 * 3 OFFSET 1 + 0'),
    ('t_no_limit', 'SELECT id FROM score WHERE points > 30 ORDER BY points LIMIT NULL OFFSET 0'),
    ('t_many', 'SELECT id, points FROM score ORDER BY id LIMIT 1000'),
    ('t_subquery', 'SELECT s.team, sum(s.points) AS points FROM (SELECT team, points FROM score ORDER BY points DESC NULLS LAST, id LIMIT 6) s GROUP BY s.team'),
    ('t_join', 'SELECT a.id, b.points FROM (SELECT id, team FROM score ORDER BY at, id LIMIT 5) a JOIN score b ON b.team = a.team'),
    ('t_with', 'WITH best AS (SELECT id, team, points FROM score ORDER BY points DESC NULLS LAST, id LIMIT 5) SELECT x.id, y.id AS other FROM best x JOIN best y ON x.team = y.team'),
    ('t_nested', 'SELECT id FROM (SELECT id, points FROM score ORDER BY points DESC NULLS LAST, id LIMIT 9) s ORDER BY id LIMIT 3'),
    ('t_groups', 'SELECT team, sum(points) AS points FROM score GROUP BY team ORDER BY sum(points) DESC NULLS LAST, team LIMIT 2'),
    ('t_distinct', 'SELECT DISTINCT team, points FROM score ORDER BY points DESC NULLS LAST, team LIMIT 5'),
    ('t_union', '(SELECT id, points FROM score ORDER BY points DESC NULLS LAST, id LIMIT 3) UNION ALL (SELECT id, points FROM score ORDER BY id LIMIT 2) ORDER BY points, id LIMIT 4'),
    ('t_bag', 'SELECT team, points FROM bag ORDER BY points DESC, team LIMIT 7'),
    ('t_moving', 'SELECT id, points FROM score WHERE at < now() ORDER BY at DESC, id LIMIT 3'),
    -- per partition
    ('t_first', 'SELECT DISTINCT ON (team) team, id, points FROM score ORDER BY team, points DESC NULLS LAST, id'),
    ('t_first_of_first', 'SELECT DISTINCT ON (team) team, points FROM score ORDER BY team DESC NULLS LAST, points NULLS FIRST, id LIMIT 3'),
    ('t_number', 'SELECT team, id, n FROM (SELECT *, row_number() OVER (PARTITION BY team ORDER BY points DESC NULLS LAST, id) AS n FROM score) s WHERE n <= 3'),
    ('t_number_hidden', 'SELECT team, id, points FROM (SELECT *, row_number() OVER (PARTITION BY team ORDER BY points DESC NULLS LAST, id) AS n FROM score) s WHERE n < 4'),
    ('t_second', 'SELECT team, id, points FROM (SELECT *, row_number() OVER (PARTITION BY team ORDER BY points DESC NULLS LAST, id) AS n FROM score) s WHERE 2 = n'),
    ('t_between', 'SELECT team, id, n * 10 AS n FROM (SELECT *, row_number() OVER (PARTITION BY team ORDER BY points, id) AS n FROM score) s WHERE n BETWEEN 2 AND 3 AND points > 5'),
    ('t_rank', 'SELECT team, id, points, r FROM (SELECT *, rank() OVER (PARTITION BY team ORDER BY points / 10 DESC NULLS LAST) AS r FROM score) s WHERE r <= 2'),
    ('t_rank_one', 'SELECT team, id FROM (SELECT *, rank() OVER (PARTITION BY team ORDER BY points / 10) AS r FROM score) s WHERE r = 1'),
    ('t_dense', 'SELECT team, id, points FROM (SELECT *, dense_rank() OVER (PARTITION BY team ORDER BY points / 5 DESC NULLS LAST) AS d FROM score) s WHERE d <= 2'),
    ('t_dense_all', 'SELECT team, points, d FROM (SELECT *, dense_rank() OVER (ORDER BY points DESC NULLS LAST) AS d FROM bag) s WHERE d BETWEEN 2 AND 3'),
    ('t_bag_rank', 'SELECT team, points, note FROM (SELECT *, rank() OVER (PARTITION BY team ORDER BY points DESC) AS r FROM bag) s WHERE r <= 5'),
    ('t_bag_number', 'SELECT team, points, n FROM (SELECT team, points, row_number() OVER (PARTITION BY team ORDER BY points DESC) AS n FROM bag) s WHERE n <= 5'),
    ('t_all_ranks', 'SELECT id, n, r, d FROM (SELECT id, row_number() OVER w AS n, rank() OVER w AS r, dense_rank() OVER w AS d FROM score WINDOW w AS (PARTITION BY team ORDER BY points, id)) s WHERE r <= 3'),
    ('t_equal', 'SELECT w, n FROM word ORDER BY w, n DESC LIMIT 4'),
    ('t_equal_ties', 'SELECT w, n FROM word ORDER BY w DESC NULLS LAST FETCH FIRST ROW WITH TIES'),
    ('t_equal_number', 'SELECT w, n, r FROM (SELECT *, row_number() OVER (PARTITION BY w ORDER BY n) AS r FROM word) s WHERE r <= 2'),
    ('t_equal_first', 'SELECT DISTINCT ON (w) w, n FROM word ORDER BY w, n DESC'),
    -- for each row outside
    ('t_lateral', 'SELECT t.team, s.id, s.points FROM (SELECT DISTINCT team FROM bag) t, LATERAL (SELECT id, points FROM score WHERE score.team = t.team ORDER BY points DESC NULLS LAST, id LIMIT 2) s'),
    ('t_lateral_ties', 'SELECT DISTINCT b.team, s.points FROM bag b LEFT JOIN LATERAL (SELECT points FROM score WHERE score.team = b.team ORDER BY points / 10 FETCH FIRST 2 ROWS WITH TIES) s ON true'),
    ('t_correlated', 'SELECT a.id, (SELECT b.id FROM score b WHERE b.team = a.team AND b.id > a.id ORDER BY b.id LIMIT 1) AS next FROM score a'),
    -- other functions of the same rows look at all of them
    ('t_share', 'SELECT team, id, points, total FROM (SELECT *, row_number() OVER (PARTITION BY team ORDER BY points DESC NULLS LAST, id) AS n, sum(points) OVER (PARTITION BY team) AS total FROM score) s WHERE n <= 2'),
    ('t_next', 'SELECT team, id, n, after FROM (SELECT *, row_number() OVER w AS n, lead(id) OVER w AS after FROM score WINDOW w AS (PARTITION BY team ORDER BY points DESC NULLS LAST, id)) s WHERE n <= 2'),
    ('t_two_ranks', 'SELECT id, a, b FROM (SELECT id, row_number() OVER (ORDER BY points, id) AS a, rank() OVER (PARTITION BY team ORDER BY at, id) AS b FROM score) s WHERE a <= 9 AND b <= 3'),
    ('t_rank_of_rank', 'SELECT id, n, m FROM (SELECT id, n, max(n) OVER (PARTITION BY id % 3) AS m FROM (SELECT id, row_number() OVER (PARTITION BY team ORDER BY id) AS n FROM score) s) s WHERE n <= 2');
CALL create_all();

-- rows in front, behind, and on the border
CALL change('in front', $$INSERT INTO score VALUES (101, 't1', 99, '2026-02-01'), (102, NULL, 98, '2026-02-02'), (103, 't7', 97, '2026-02-03');
    INSERT INTO bag VALUES ('t1', 9, '{}'), ('t1', 9, '{}'), (NULL, 8, '{"a":1.0}'); INSERT INTO word VALUES ('A', 3), ('b', 1.000)$$);
CALL change('behind', $$INSERT INTO score VALUES (111, 't1', 1, '2025-01-01'), (112, 't9', 0, '2025-01-01'), (113, NULL, NULL, '2025-01-02'); INSERT INTO bag VALUES ('t0', 0, '[]')$$);
CALL change('ties at the border', $$INSERT INTO score SELECT 120 + i, 't' || i % 3, 97, '2026-02-04' FROM generate_series(1, 6) i; INSERT INTO bag SELECT team, points, note FROM bag WHERE points >= 2$$);
CALL change('updates', $$UPDATE score SET points = points + 5 WHERE id % 3 = 0; UPDATE score SET team = 't3' WHERE id IN (101, 102, 15); UPDATE bag SET points = points - 1 WHERE team IS NULL; UPDATE word SET w = upper(w), n = n * 1.0 WHERE w = 'a' OR n = 2$$);
CALL change('one input of several', $$UPDATE bag SET note = '{"a":2}' WHERE points = 3$$);
CALL change('nothing', $$UPDATE score SET points = points; UPDATE bag SET team = team$$);

-- the rows in reserve run out
CALL change('the first ones go', $$DELETE FROM score WHERE id IN (SELECT id FROM score ORDER BY points DESC NULLS LAST, id LIMIT 16); DELETE FROM bag WHERE points >= 3; DELETE FROM word WHERE ctid IN (SELECT ctid FROM word ORDER BY w, n DESC LIMIT 9)$$);
CALL change('more of them', $$DELETE FROM score WHERE id IN (SELECT id FROM score ORDER BY points DESC NULLS LAST, id LIMIT 12)$$);
CALL change('from the other end', $$DELETE FROM score WHERE id IN (SELECT id FROM score ORDER BY points, id LIMIT 20)$$);
CALL change('a partition goes, one comes', $$DELETE FROM score WHERE team = 't1'; UPDATE score SET team = 'new' WHERE id % 2 = 0; DELETE FROM bag WHERE team = 't1'; DELETE FROM word WHERE w = 'role' AND n = 1$$);
CALL change('and others come', $$INSERT INTO score SELECT i, 't' || i % 2, i % 30, '2026-03-01'::timestamptz + i * interval '1 s' FROM generate_series(200, 240) i; INSERT INTO bag SELECT 't' || i % 2, i % 5, '{}' FROM generate_series(1, 40) i$$);
CALL change('to one row', $$DELETE FROM score WHERE id <> 210; DELETE FROM bag WHERE ctid <> (SELECT ctid FROM bag ORDER BY team = (SELECT team FROM score WHERE id = 210) DESC NULLS LAST, bag::text, ctid LIMIT 1); DELETE FROM word WHERE ctid <> (SELECT ctid FROM word ORDER BY word::text DESC, ctid LIMIT 1)$$);
CALL change('to none', $$DELETE FROM score; DELETE FROM bag; DELETE FROM word$$);
CALL change('from none to one', $$INSERT INTO score VALUES (1, 't1', 5, '2026-01-01'); INSERT INTO bag VALUES ('t1', 2, NULL); INSERT INTO word VALUES ('É', 1)$$);
CALL change('to many', $$INSERT INTO score SELECT i, nullif('t' || i % 3, 't2'), i % 20, '2026-01-01'::timestamptz + i * interval '1 s' FROM generate_series(300, 360) i;
    INSERT INTO bag SELECT 't' || i % 2, i % 3, '1' FROM generate_series(1, 30) i; INSERT INTO word SELECT 'e', i / 3.0 FROM generate_series(1, 5) i$$);

-- what has no rule, and what the plans are
SELECT * FROM dyntable_explain_query('SELECT id FROM score LIMIT 3');
SELECT * FROM dyntable_explain_query('SELECT id FROM score OFFSET 3');
SELECT * FROM dyntable_explain_query('SELECT id FROM score ORDER BY id LIMIT (SELECT max(points) FROM score)');
SELECT * FROM dyntable_explain_query('SELECT id FROM score ORDER BY id LIMIT extract(hour FROM now())');
SELECT * FROM dyntable_explain_query('SELECT id FROM score ORDER BY at - now() LIMIT 3');
SELECT * FROM dyntable_explain_query('SELECT id FROM score ORDER BY points LIMIT 3');
SELECT * FROM dyntable_explain_query('SELECT id FROM score ORDER BY id LIMIT 0');
SELECT * FROM dyntable_explain_query('SELECT id FROM score ORDER BY points DESC OFFSET 2 FETCH FIRST 3 ROWS WITH TIES');
SELECT * FROM dyntable_explain_query('SELECT team, id, total FROM (SELECT team, id, sum(points) OVER (PARTITION BY team) AS total,
    row_number() OVER (PARTITION BY team ORDER BY at, id) AS n FROM score) s WHERE n <= 5');

DROP SCHEMA sql_top CASCADE;
