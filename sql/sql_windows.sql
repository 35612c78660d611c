--
-- Window functions.
--
CREATE SCHEMA sql_windows;
SET search_path = sql_windows, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE m (id int PRIMARY KEY, g text, x int, n numeric, d date);
CREATE TABLE log (id int PRIMARY KEY, g text, at timestamp NOT NULL, x int, n numeric, f float8);	-- an order without NULLs
CREATE TABLE price (g text, rate numeric, since date);
INSERT INTO m SELECT i, nullif('g' || i % 4, 'g3'), nullif(i * 5 % 17, 4), (i % 6) * 1.5, '2026-01-01'::date + i % 20 FROM generate_series(1, 40) i;
INSERT INTO log SELECT i, nullif('g' || i % 4, 'g3'), '2026-01-01'::timestamp + i / 2 * interval '1 minute', nullif(i * 5 % 17, 4), (i % 6) * 1.5, i / 3.0 FROM generate_series(1, 40) i;
INSERT INTO price SELECT 'g' || i % 4, i, '2026-01-01'::date + i FROM generate_series(1, 12) i;
INSERT INTO price SELECT * FROM price WHERE rate > 9;

INSERT INTO definition (name, query) VALUES
    ('w_number', 'SELECT id, row_number() OVER (PARTITION BY g ORDER BY x, id) AS f FROM m'),
    ('w_ranks', 'SELECT id, rank() OVER w AS r, dense_rank() OVER w AS d, percent_rank() OVER w AS p, cume_dist() OVER w AS c FROM m WINDOW w AS (PARTITION BY g ORDER BY x)'),
    ('w_ntile', 'SELECT id, ntile(3) OVER (PARTITION BY g ORDER BY id) AS f FROM m'),
    ('w_lag_lead', 'SELECT id, lag(x) OVER w AS a, lag(x, 2, -1) OVER w AS b, lead(x) OVER w AS c, lead(x, x % 3) OVER w AS d FROM m WINDOW w AS (PARTITION BY g ORDER BY id)'),
    ('w_values', 'SELECT id, first_value(x) OVER w AS a, last_value(x) OVER w AS b, nth_value(x, 2) OVER w AS c FROM m WINDOW w AS (PARTITION BY g ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)'),
    ('w_whole', 'SELECT id, count(*) OVER () AS c, sum(n) OVER () AS s FROM m'),
    ('w_share', 'SELECT id, n / nullif(sum(n) OVER (PARTITION BY g), 0) AS share FROM m'),
    ('w_running', 'SELECT id, sum(x) OVER (PARTITION BY g ORDER BY id) AS s, avg(n) OVER (PARTITION BY g ORDER BY id) AS a, count(x) OVER (PARTITION BY g ORDER BY id) AS c FROM m'),
    ('w_rows', 'SELECT id, sum(x) OVER (PARTITION BY g ORDER BY id ROWS 2 PRECEDING) AS a, max(x) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS b, min(x) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS c FROM m'),
    ('w_range', 'SELECT id, sum(n) OVER (PARTITION BY g ORDER BY x RANGE BETWEEN 3 PRECEDING AND 2 FOLLOWING) AS a, count(*) OVER (PARTITION BY g ORDER BY d RANGE BETWEEN ''2 days'' PRECEDING AND ''1 day'' FOLLOWING) AS b FROM m'),
    ('w_groups', 'SELECT id, count(*) OVER (PARTITION BY g ORDER BY x GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a, sum(n) OVER (PARTITION BY g ORDER BY x DESC NULLS LAST GROUPS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS b FROM m'),
    ('w_exclude', 'SELECT id, sum(n) OVER (w RANGE BETWEEN 4 PRECEDING AND 4 FOLLOWING EXCLUDE CURRENT ROW) AS a, sum(n) OVER (w RANGE BETWEEN 4 PRECEDING AND 4 FOLLOWING EXCLUDE GROUP) AS b, sum(n) OVER (w RANGE BETWEEN 4 PRECEDING AND 4 FOLLOWING EXCLUDE TIES) AS c, sum(n) OVER (w RANGE BETWEEN 4 PRECEDING AND 4 FOLLOWING EXCLUDE NO OTHERS) AS d FROM m WINDOW w AS (PARTITION BY g ORDER BY x)'),
    ('w_filter', 'SELECT id, sum(x) FILTER (WHERE n > 3) OVER (PARTITION BY g) AS a, count(*) FILTER (WHERE x IS NULL) OVER (PARTITION BY g ORDER BY id) AS b FROM m'),
    ('w_several', 'SELECT id, row_number() OVER (ORDER BY id) AS a, sum(x) OVER (PARTITION BY g) AS b, rank() OVER (PARTITION BY d ORDER BY n) AS c, sum(x) OVER (PARTITION BY g, d) AS e FROM m'),
    ('w_named', 'SELECT id, sum(x) OVER v AS a, count(*) OVER (v ROWS 1 PRECEDING) AS b, max(x) OVER w AS c FROM m WINDOW w AS (PARTITION BY g), v AS (w ORDER BY id)'),
    ('w_of_groups', 'SELECT g, sum(x) AS s, rank() OVER (ORDER BY sum(x) DESC NULLS LAST) AS r, sum(sum(x)) OVER () AS t, count(*) - lag(count(*)) OVER (ORDER BY g) AS more FROM m GROUP BY g'),
    ('w_of_join', 'SELECT m.id, p.rate, sum(p.rate) OVER (PARTITION BY m.g ORDER BY m.id, p.rate) AS s FROM m JOIN price p ON p.g = m.g AND p.since <= m.d'),
    ('w_of_windows', 'SELECT id, r, sum(r) OVER (PARTITION BY d) AS s FROM (SELECT id, d, rank() OVER (PARTITION BY g ORDER BY x) AS r FROM m) q'),
    ('w_groups_of_window', 'SELECT r, count(*) AS c, sum(x) AS s FROM (SELECT x, dense_rank() OVER (PARTITION BY g ORDER BY x) AS r FROM m) q GROUP BY r'),
    ('w_join_of_window', 'SELECT q.id, q.s, p.rate FROM (SELECT id, g, d, sum(x) OVER (PARTITION BY g) AS s FROM m) q LEFT JOIN price p ON p.g = q.g AND p.since = q.d'),
    ('w_condition', 'SELECT id, change FROM (SELECT id, x - lag(x) OVER (PARTITION BY g ORDER BY id) AS change FROM m) q WHERE change > 0'),
    ('w_bag', 'SELECT g, rate, sum(rate) OVER w AS s, row_number() OVER w AS f FROM price WINDOW w AS (PARTITION BY g ORDER BY rate, since)'),
    ('w_distinct', 'SELECT DISTINCT g, max(x) OVER (PARTITION BY g) AS m FROM m'),
    ('w_text', 'SELECT id, string_agg(g, ''-'') OVER (ORDER BY id ROWS 3 PRECEDING) AS a, array_agg(x) OVER (PARTITION BY g ORDER BY id) AS b FROM m'),
    ('w_expression', 'SELECT id, CASE WHEN row_number() OVER (PARTITION BY upper(g), x % 2 ORDER BY n + x, id) = 1 THEN ''first'' ELSE g END AS f FROM m'),
    ('w_order_only', 'SELECT id FROM m WHERE x > 3 ORDER BY rank() OVER (ORDER BY x)'),
    -- the rows before the first touched one stay as they are
    ('b_number', 'SELECT id, row_number() OVER w AS n, rank() OVER w AS r, dense_rank() OVER w AS d FROM log WINDOW w AS (PARTITION BY g ORDER BY at, id)'),
    ('b_lag', 'SELECT id, x - lag(x) OVER w AS a, lag(n, 3, 0) OVER w AS b, lag(f, 0) OVER w AS c FROM log WINDOW w AS (PARTITION BY g ORDER BY at DESC, id)'),
    ('b_running', 'SELECT id, count(*) OVER w AS c, count(x) OVER w AS e, sum(x) OVER w AS s, sum(n) OVER w AS t, min(x) OVER w AS lo, max(at) OVER w AS hi FROM log WINDOW w AS (PARTITION BY g ORDER BY at, id)'),
    ('b_filter', 'SELECT id, sum(x) FILTER (WHERE n > 3) OVER w AS s, count(*) FILTER (WHERE x IS NULL) OVER w AS c FROM log WINDOW w AS (PARTITION BY g ORDER BY id DESC)'),
    ('b_rows', 'SELECT id, avg(n) OVER (w ROWS 2 PRECEDING) AS a, sum(f) OVER (w ROWS 1 PRECEDING) AS b, array_agg(x) OVER (w ROWS BETWEEN 1 + 2 PRECEDING AND CURRENT ROW) AS c, lag(x) OVER w AS d FROM log WINDOW w AS (PARTITION BY g ORDER BY at, id)'),
    ('b_all', 'SELECT id, sum(x) OVER (ORDER BY at, id) AS s, row_number() OVER (ORDER BY at, id) AS r FROM log'),
    ('b_above', 'SELECT g, max(s) AS s FROM (SELECT g, sum(x) OVER (PARTITION BY g ORDER BY id) AS s FROM log) q GROUP BY g'),
    -- of equal partitions they are computed together, whichever stands between them and from whichever level they come
    ('p_mixed', 'SELECT id, sum(x) OVER (PARTITION BY g ORDER BY at, id) AS s, rank() OVER (PARTITION BY g ORDER BY x DESC) AS r, count(*) OVER (PARTITION BY x) AS o, max(n) OVER (PARTITION BY g) AS m FROM log'),
    ('p_apart', 'SELECT id, sum(x) OVER (PARTITION BY g ORDER BY at, id) AS s, lag(x) OVER (PARTITION BY g ORDER BY id DESC) AS l FROM log'),
    ('p_apart_and_whole', 'SELECT id, sum(x) OVER (PARTITION BY g ORDER BY at, id) AS s, lag(x) OVER (PARTITION BY g ORDER BY id DESC) AS l, ntile(3) OVER (PARTITION BY g ORDER BY n, id) AS t FROM log'),
    ('p_swapped', 'SELECT id, sum(x) OVER (PARTITION BY g, d ORDER BY x) AS s, min(id) OVER (PARTITION BY d, g) AS lo, array_agg(id) FILTER (WHERE x > 2) OVER (PARTITION BY g, d ORDER BY n DESC, id) AS a FROM m'),
    ('p_levels', 'SELECT q.*, sum(n) OVER (PARTITION BY g ORDER BY x, id) AS s, dense_rank() OVER (PARTITION BY g ORDER BY n) AS e FROM (SELECT *, rank() OVER (PARTITION BY g ORDER BY x) AS r, count(*) OVER (PARTITION BY g, d) AS c, max(x) OVER (PARTITION BY g) AS m FROM m) q'),
    ('p_of_it', 'SELECT q.*, sum(r) OVER (PARTITION BY g ORDER BY r, id) AS s FROM (SELECT *, rank() OVER (PARTITION BY g ORDER BY x) AS r FROM m) q'),
    ('p_in_filter', 'SELECT q.*, count(*) FILTER (WHERE r > 2) OVER (PARTITION BY g) AS s FROM (SELECT *, rank() OVER (PARTITION BY g ORDER BY x) AS r FROM m) q'),
    ('p_shared', 'WITH w AS (SELECT id, g, x, rank() OVER (PARTITION BY g ORDER BY x) AS r FROM m) SELECT a.id, a.r, count(*) OVER (PARTITION BY a.g) AS c, b.r AS br FROM (SELECT *, max(x) OVER (PARTITION BY g) AS top FROM w) a JOIN w b ON b.id = a.id'),
    ('p_ranked', 'SELECT id, g, s, c FROM (SELECT id, g, sum(x) OVER (PARTITION BY g ORDER BY n, id) AS s, count(*) OVER (PARTITION BY g) AS c, row_number() OVER (PARTITION BY g ORDER BY x NULLS LAST, id) AS r FROM m) q WHERE r <= 2'),
    ('p_none', 'SELECT id, sum(x) OVER () AS s, rank() OVER (ORDER BY x) AS r, count(*) OVER (ORDER BY d) AS c FROM m'),
    ('w_moving', 'SELECT id, count(*) OVER (PARTITION BY g) AS c FROM m WHERE d < now()');
CALL create_all();

CALL change('appended', $$INSERT INTO m VALUES (101, 'g1', 50, 7.5, '2026-03-01'), (102, 'g2', NULL, NULL, '2026-03-02'), (103, NULL, 3, 2, NULL);
    INSERT INTO log VALUES (101, 'g1', '2026-02-01', 5, 7.5, 1), (102, 'g2', '2026-02-02', NULL, NULL, NULL), (103, NULL, '2026-02-03', 3, 2, 0.1)$$);
CALL change('in between', $$INSERT INTO m VALUES (0, 'g1', 5, 1.50, '2026-01-05'), (-1, 'new', 7, 3, '2026-01-01'), (-2, NULL, NULL, 0, '2026-01-03');
    INSERT INTO log VALUES (0, 'g1', '2026-01-01 00:10', 5, 1.50, 1), (-1, 'new', '2026-01-01', 7, 3, 2), (-2, 'g2', '2025-01-01', NULL, 0, 3)$$);
CALL change('ties', $$INSERT INTO m SELECT 110 + i, 'g' || i % 2, 5, 1.5, '2026-01-05' FROM generate_series(1, 6) i; INSERT INTO price SELECT * FROM price WHERE g = 'g2'$$);
CALL change('values', $$UPDATE m SET x = coalesce(x, 0) + 1, n = n * 2 WHERE id % 5 = 0; UPDATE log SET x = coalesce(x, 0) + 1, n = n * 2 WHERE id IN (20, 21, 33)$$);
CALL change('partitions', $$UPDATE m SET g = 'g2' WHERE g IS NULL; UPDATE m SET g = NULL WHERE g = 'g0'; UPDATE m SET d = NULL WHERE id % 7 = 0; UPDATE log SET g = 'g2' WHERE id = 19; UPDATE log SET at = at - interval '5 minutes' WHERE id % 9 = 0$$);
CALL change('the other input', $$UPDATE price SET rate = rate + 1 WHERE g = 'g1'; DELETE FROM price WHERE rate > 10$$);
CALL change('both inputs', $$DELETE FROM m WHERE id % 3 = 0; INSERT INTO price VALUES ('g1', 2, '2026-01-01'), ('g2', 2, NULL), (NULL, 5, '2026-01-01'); DELETE FROM log WHERE id % 3 = 0$$);
CALL change('nothing', $$UPDATE m SET x = x; UPDATE price SET g = g$$);
CALL change('a partition goes', $$DELETE FROM m WHERE g = 'g2'; DELETE FROM log WHERE g = 'g2'$$);
CALL change('to one row', $$DELETE FROM m WHERE id <> 1; DELETE FROM price WHERE ctid <> (SELECT ctid FROM price ORDER BY price, ctid LIMIT 1); DELETE FROM log WHERE id <> 1$$);
CALL change('to none', $$DELETE FROM m; DELETE FROM price; DELETE FROM log$$);
CALL change('from none to one', $$INSERT INTO m VALUES (1, 'g1', 5, 1, '2026-01-01'); INSERT INTO price VALUES ('g1', 1, '2026-01-01'); INSERT INTO log VALUES (1, 'g1', '2026-01-01', 1, 1, 1)$$);
CALL change('to many', $$INSERT INTO m SELECT i, 'g' || i % 2, i % 9, i, '2026-01-01'::date + i % 5 FROM generate_series(10, 30) i; INSERT INTO price SELECT 'g' || i % 3, i, '2026-01-01'::date + i % 5 FROM generate_series(1, 9) i;
    INSERT INTO log SELECT i, 'g' || i % 2, '2026-01-01'::timestamp + i % 7 * interval '1 hour', i % 9, i, i FROM generate_series(-5, 0) i$$);

SELECT * FROM dyntable_explain_query('SELECT id, sum(x) OVER (ORDER BY now()) AS s FROM m');
SELECT * FROM dyntable_explain_query('SELECT id, first_value(x) OVER (PARTITION BY g ORDER BY d) AS f FROM m');
SELECT * FROM dyntable_explain_query('SELECT id, sum(x) OVER (PARTITION BY g ORDER BY at, id) AS s FROM log');
SELECT * FROM dyntable_explain_query('SELECT id, sum(f) OVER (PARTITION BY g ORDER BY at, id) AS s FROM log');
SELECT * FROM dyntable_explain_query('SELECT id, lead(x) OVER (PARTITION BY g ORDER BY at, id) AS s FROM log');


-- of two orders one does not decide
SELECT dyntable_create('undecided', 'SELECT id, rank() OVER (PARTITION BY g ORDER BY x) AS r, first_value(x) OVER (PARTITION BY g ORDER BY d) AS f FROM m', 'downstream');
SELECT dyntable_create('decided', 'SELECT id, rank() OVER (PARTITION BY g ORDER BY x) AS r, first_value(x) OVER (PARTITION BY g ORDER BY d, id) AS f FROM m', 'downstream');

-- how many window nodes each has
SELECT d.name, count(*) FROM definition d, dyntable_explain(d.name::regclass) AS e(line) WHERE d.name LIKE 'p\_%' AND line ~ '^ *(-> )?window' GROUP BY d.name ORDER BY d.name;

DROP SCHEMA sql_windows CASCADE;
