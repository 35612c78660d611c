--
-- Where rows come from besides tables: WITH, views over views, partitioned tables, paths into jsonb.
--
CREATE SCHEMA sql_sources;
SET search_path = sql_sources, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE part (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (4);
CREATE TABLE part_high PARTITION OF part FOR VALUES FROM (4) TO (8) PARTITION BY LIST (id);
CREATE TABLE part_high_odd (v text, gone int, k int NOT NULL, id int NOT NULL);
ALTER TABLE part_high_odd DROP gone;
ALTER TABLE part_high ATTACH PARTITION part_high_odd FOR VALUES IN (1, 3, 5, 7, 9, 11, 13);
CREATE TABLE part_high_rest PARTITION OF part_high DEFAULT;
CREATE TABLE part_rest PARTITION OF part DEFAULT;
CREATE TABLE bag (k int, n int);                        -- no key, equal rows
CREATE TABLE doc (id int PRIMARY KEY, k int, j jsonb);
INSERT INTO part SELECT i, i % 10, 'v' || i % 3 FROM generate_series(1, 14) i;
INSERT INTO bag VALUES (1, 1), (1, 1), (2, 5), (NULL, 3), (4, NULL), (6, 2);
INSERT INTO doc SELECT i, i % 4, jsonb_build_object('a', i, 'l', jsonb_build_array(i, i % 3, NULL), 'o', jsonb_build_object('s', 's' || i % 2)) FROM generate_series(1, 7) i;
INSERT INTO doc VALUES (8, 1, NULL), (9, NULL, '{}');
CREATE VIEW low AS SELECT id, k, v FROM part WHERE k < 6;
CREATE VIEW low_groups AS SELECT k, count(*) AS n, max(v) AS v FROM low GROUP BY k;
CREATE VIEW low_bag WITH (security_barrier) AS SELECT g.k, g.n, b.n AS m FROM low_groups g LEFT JOIN bag b USING (k);

INSERT INTO definition (name, query) VALUES
    ('p_rows', 'SELECT id, k, v FROM part WHERE k > 1'),
    ('p_groups', 'SELECT v, count(*) AS n, sum(k) AS s, min(id) AS i FROM part GROUP BY v'),
    ('p_join', 'SELECT p.id, b.n FROM part p JOIN bag b ON b.k = p.k'),
    ('p_self', 'SELECT p.id, q.id AS other FROM part p LEFT JOIN part q ON q.id = p.id + 4 AND q.k <> p.k'),
    ('p_exists', 'SELECT k, n FROM bag WHERE EXISTS (SELECT FROM part p WHERE p.k = bag.k AND p.v <> ''v0'')'),
    ('p_rank', 'SELECT k, id FROM (SELECT k, id, row_number() OVER (PARTITION BY v ORDER BY id DESC, k) AS r FROM part) s WHERE r <= 2'),
    ('p_one', 'SELECT id, k FROM ONLY part_low WHERE id > 1'),
    ('p_only', 'SELECT id, k FROM ONLY part'),
    ('p_only_joined', 'SELECT p.id, o.id AS own, e.n FROM part p LEFT JOIN ONLY part o ON o.k = p.k LEFT JOIN (SELECT count(*) AS n FROM ONLY part) e ON true'),
    ('v_groups', 'SELECT * FROM low_groups WHERE n > 1'),
    ('v_barrier', 'SELECT k, n, m FROM low_bag WHERE m IS DISTINCT FROM 2'),
    ('v_twice', 'SELECT a.k, b.id FROM low_groups a JOIN low b ON b.v = a.v AND b.k <> a.k'),
    ('w_once', 'WITH w AS (SELECT k, n FROM bag WHERE n > 0) SELECT k, sum(n) AS s FROM w GROUP BY k'),
    ('w_kept', 'WITH w AS MATERIALIZED (SELECT k, count(*) AS c FROM bag GROUP BY k) SELECT p.id, w.c FROM part p LEFT JOIN w USING (k)'),
    ('w_many', 'WITH w AS NOT MATERIALIZED (SELECT k, n FROM bag WHERE n IS NOT NULL), x AS (SELECT k, count(*) AS c FROM w GROUP BY k) SELECT w.k, w.n, x.c, y.n AS m FROM w JOIN x USING (k) LEFT JOIN w y ON y.n = w.n + 1'),
    ('w_nested', 'WITH w AS (WITH w AS (SELECT k FROM bag EXCEPT SELECT k FROM part) SELECT k, 1 AS one FROM w) SELECT * FROM w UNION ALL SELECT k, n FROM bag WHERE k IN (SELECT k FROM w)'),
    ('w_values', 'WITH w(k, name) AS (VALUES (1, ''one''), (2, ''two''), (NULL, ''none'')) SELECT w.name, b.n FROM w LEFT JOIN bag b ON b.k = w.k'),
    ('j_path', 'SELECT d.id, p FROM doc d, jsonb_path_query(d.j, ''$.l[*] ? (@ > 1)'') p'),
    ('j_path_left', 'SELECT d.id, p.p, p.no FROM doc d LEFT JOIN jsonb_path_query(d.j, ''$.l[*]'') WITH ORDINALITY p(p, no) ON p.no <> 2'),
    ('j_tests', 'SELECT id FROM doc WHERE j @? ''$.l[*] ? (@ == 2)'' OR j @@ ''$.a > 5'''),
    ('j_first', 'SELECT k, count(DISTINCT jsonb_path_query_first(j, ''$.o.s'')) AS n, count(*) FILTER (WHERE jsonb_path_exists(j, ''$.o ? (@.s == "s1")'')) AS c FROM doc GROUP BY k'),
    ('j_array', 'SELECT id, jsonb_path_query_array(j, ''$.l[*] ? (@ != null)'') AS a, j -> ''o'' ->> ''s'' AS s FROM doc WHERE jsonb_typeof(j) = ''object''');
CALL create_all();
CALL change('insert', $$INSERT INTO part SELECT i, i % 9, 'v' || i % 4 FROM generate_series(15, 22) i; INSERT INTO bag VALUES (1, 1), (3, 3), (NULL, 3), (5, 2);
    INSERT INTO doc VALUES (10, 2, '{"a": 9, "l": [2, 2, 5], "o": {"s": "s1"}}')$$);
CALL change('rows move between partitions', $$UPDATE part SET k = k + 4 WHERE k IN (1, 3); UPDATE part SET k = 0 WHERE k = 9$$);
CALL change('update', $$UPDATE part SET v = 'v0' WHERE id % 4 = 0; UPDATE bag SET n = n + 1 WHERE k < 3; UPDATE doc SET j = jsonb_set(j, '{l, 1}', '2') WHERE id % 2 = 1; UPDATE doc SET j = j || '{"o": {"s": "s1"}}' WHERE id = 4$$);
CALL change('NULLs', $$UPDATE part SET v = NULL WHERE id < 4; UPDATE bag SET n = NULL WHERE k = 6; UPDATE bag SET k = NULL WHERE k = 2; UPDATE doc SET j = NULL WHERE id = 5; UPDATE doc SET j = 'null' WHERE id = 6; UPDATE doc SET k = NULL WHERE id = 7$$);
CALL change('one partition', $$DELETE FROM part_high_odd WHERE k = 5; INSERT INTO part_low VALUES (50, 2, 'v1'), (51, 2, 'v1')$$);
CALL change('equal rows', $$INSERT INTO bag SELECT * FROM bag; DELETE FROM doc WHERE id % 3 = 0$$);
CALL change('a copy goes', $$DELETE FROM bag WHERE ctid IN (SELECT min(ctid) FROM bag GROUP BY k, n)$$);
CALL change('to nothing', $$DELETE FROM part; DELETE FROM bag; DELETE FROM doc$$);
CALL change('from nothing', $$INSERT INTO part VALUES (1, 1, 'v1'), (2, 2, 'v1'), (2, 5, 'v1'), (6, 9, 'v2'), (5, 2, 'v0'); INSERT INTO bag VALUES (2, 2), (2, 2), (5, 1), (7, 3); INSERT INTO doc VALUES (1, 1, '{"a": 7, "l": [2, 3], "o": {"s": "s0"}}')$$);
DROP SCHEMA sql_sources CASCADE;
