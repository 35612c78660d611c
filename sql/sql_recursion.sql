--
-- WITH RECURSIVE.
--
CREATE SCHEMA sql_recursion;
SET search_path = sql_recursion, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE employee (id int PRIMARY KEY, boss int, name text, pay numeric(8,2));
CREATE TABLE part (whole text, part text, quantity int);
CREATE TABLE price (part text PRIMARY KEY, price numeric(8,2));
CREATE TABLE edge (a int, b int, w numeric);
CREATE TABLE start (a int);
CREATE TABLE counter (id int, n int);
INSERT INTO employee VALUES (1, NULL, 'ann', 90), (2, 1, 'bob', 50), (3, 1, 'cy', 60), (4, 2, 'di', 30), (5, 2, NULL, 30), (6, 4, 'ed', 20);
INSERT INTO part VALUES ('car', 'wheel', 4), ('car', 'frame', 1), ('wheel', 'bolt', 5), ('wheel', 'rim', 1), ('frame', 'bolt', 20), ('rim', 'bolt', 2);
INSERT INTO price VALUES ('bolt', 0.10), ('rim', 20), ('frame', 300), ('wheel', 5);
INSERT INTO edge VALUES (1, 2, 1), (2, 3, 1), (3, 1, 1), (3, 4, 1), (4, 5, 1.0), (7, 8, 1), (8, 7, 1), (5, NULL, 1), (NULL, 1, 1), (2, 3, 1);
INSERT INTO start VALUES (1), (1);
INSERT INTO counter VALUES (1, 3), (2, 0), (3, 5);

-- step by step: trees, sums over paths, graphs, counters
INSERT INTO definition (name, query) VALUES
    ('d_reports', 'WITH RECURSIVE r AS (
        SELECT id, boss, name, 1 AS depth, name AS path FROM employee WHERE boss IS NULL
        UNION ALL SELECT e.id, e.boss, e.name, r.depth + 1, r.path || ''/'' || e.name FROM employee e JOIN r ON e.boss = r.id)
        SELECT * FROM r'),
    ('d_below', 'WITH RECURSIVE r(top, id, pay) AS (
        SELECT id, id, pay FROM employee UNION ALL SELECT r.top, e.id, e.pay FROM r, employee e WHERE e.boss = r.id)
        SELECT b.name, r.top, count(*) AS people, sum(r.pay) AS pay, max(r.pay) AS highest
        FROM r JOIN employee b ON b.id = r.top GROUP BY b.name, r.top'),
    ('d_parts', 'WITH RECURSIVE bom AS (
        SELECT whole, part, quantity FROM part
        UNION ALL SELECT bom.whole, p.part, bom.quantity * p.quantity FROM bom JOIN part p ON p.whole = bom.part)
        SELECT whole, part, quantity FROM bom'),
    ('d_cost', 'WITH RECURSIVE bom AS (
        SELECT whole, part, quantity FROM part
        UNION ALL SELECT bom.whole, p.part, bom.quantity * p.quantity FROM bom JOIN part p ON p.whole = bom.part)
        SELECT bom.whole, sum(bom.quantity * price.price) AS cost, count(*) AS n FROM bom LEFT JOIN price USING (part) GROUP BY bom.whole'),
    ('d_reach', 'WITH RECURSIVE r AS (SELECT a AS x FROM start UNION SELECT e.b FROM r JOIN edge e ON e.a = r.x) SELECT x FROM r'),
    ('d_pairs', 'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r, edge e WHERE e.a = r.b) SELECT a, b FROM r'),
    ('d_not_reached', 'WITH RECURSIVE r AS (SELECT a AS x FROM start UNION SELECT e.b FROM r JOIN edge e ON e.a = r.x)
        SELECT DISTINCT e.a FROM edge e LEFT JOIN r ON r.x = e.a WHERE r.x IS NULL'),
    ('d_paths', 'WITH RECURSIVE r AS (SELECT a AS x, ARRAY[a] AS path FROM start UNION ALL
        SELECT e.b, r.path || e.b FROM r JOIN edge e ON e.a = r.x WHERE e.b <> ALL (r.path)) SELECT x, path FROM r'),
    ('d_counter', 'WITH RECURSIVE r AS (SELECT id, 1 AS i, n FROM counter WHERE n > 0 UNION ALL SELECT id, i + 1, n FROM r WHERE i < n)
        SELECT id, i FROM r'),
    ('d_numbers', 'WITH RECURSIVE r(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM r WHERE i < 10)
        SELECT r.i, count(c.id) AS n FROM r LEFT JOIN counter c ON c.n = r.i GROUP BY r.i'),
    -- several, one that reads another, one read twice, ordinary members of the list, nested ones
    ('d_two', 'WITH RECURSIVE big AS (SELECT a, b FROM edge WHERE w >= 1),
        r AS (SELECT a AS x FROM start UNION SELECT big.b FROM r JOIN big ON big.a = r.x),
        s AS (SELECT x, 0 AS n FROM r UNION ALL SELECT x, n + 1 FROM s WHERE n < 2)
        SELECT s.x, s.n, r.x AS y FROM s JOIN r ON r.x = s.x'),
    ('d_twice', 'WITH RECURSIVE r AS (SELECT id, boss FROM employee WHERE boss IS NULL UNION ALL SELECT e.id, e.boss FROM employee e, r WHERE e.boss = r.id)
        SELECT a.id, b.id AS under FROM r a JOIN r b ON b.boss = a.id UNION ALL SELECT id, NULL FROM r'),
    ('d_nested', 'SELECT e.name, x.n FROM employee e JOIN (WITH RECURSIVE r AS (
            SELECT id, id AS top FROM employee UNION ALL SELECT e.id, r.top FROM employee e JOIN r ON e.boss = r.id)
        SELECT top, count(*) AS n FROM r GROUP BY top) x ON x.top = e.id'),
    ('d_in_seed', 'WITH RECURSIVE r AS (
        SELECT n FROM (WITH RECURSIVE c AS (SELECT id, n FROM counter WHERE n > 0 UNION ALL SELECT id, n - 1 FROM c WHERE n > 1) SELECT DISTINCT n FROM c) c
        UNION ALL SELECT r.n * 10 FROM r WHERE r.n < 100) SELECT n FROM r'),
    -- steps of several operators
    ('d_branches', 'WITH RECURSIVE r(x, how) AS (SELECT a, ''start'' FROM start UNION
        (SELECT y, h FROM (SELECT r.x AS x FROM r) r CROSS JOIN LATERAL (SELECT 1) one
            JOIN (SELECT a, b AS y, ''along'' AS h FROM edge UNION ALL SELECT b, a, ''back'' FROM edge WHERE w > 1) e ON e.a = r.x))
        SELECT x, how FROM r'),
    ('d_outer', 'WITH RECURSIVE r(x, n) AS (SELECT a, 1 FROM start UNION
        SELECT e.b, r.n + 1 FROM r LEFT JOIN edge e ON e.a = r.x WHERE r.n < 5) SELECT x, n FROM r'),
    ('d_outer_all', 'WITH RECURSIVE r(x, n) AS (SELECT a, 1 FROM start UNION ALL
        SELECT e.b, r.n + 1 FROM r LEFT JOIN edge e ON e.a = r.x WHERE r.n < 5) SELECT x, n FROM r'),
    ('d_any', 'WITH RECURSIVE r(o, n) AS (SELECT a, a FROM start UNION
        SELECT r.o, e.b FROM r JOIN (SELECT a, b FROM edge WHERE a < ANY (SELECT n FROM counter)) e ON e.a = r.n) SELECT o, n FROM r'),
    ('d_joined', 'WITH RECURSIVE r(x, n) AS (SELECT a, 1 FROM start UNION
        SELECT e.b, r.n + e.m FROM r JOIN (SELECT e.a, e.b, c.n2, c.m FROM edge e LEFT JOIN (SELECT n * 2 AS n2, id, id + n AS m FROM counter) c ON c.id = e.a) e ON e.a = r.x WHERE r.n < 9)
        SELECT x, n FROM r'),
    ('d_totals', 'WITH RECURSIVE t AS (SELECT a, count(*) AS n FROM edge GROUP BY a),
        r AS (SELECT a AS x, 0::bigint AS n FROM start UNION SELECT e.b, t.n FROM r JOIN edge e ON e.a = r.x JOIN t ON t.a = e.a)
        SELECT x, n FROM r'),
    -- anew: SEARCH, CYCLE, the step's own rows grouped, numbered, cut off
    ('d_cycle', 'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION ALL SELECT e.a, e.b FROM r JOIN edge e ON e.a = r.b)
        CYCLE a, b SET is_cycle USING path SELECT a, b, is_cycle FROM r'),
    ('d_depth_first', 'WITH RECURSIVE r AS (SELECT id, boss FROM employee WHERE boss IS NULL UNION ALL SELECT e.id, e.boss FROM r JOIN employee e ON e.boss = r.id)
        SEARCH DEPTH FIRST BY id SET o SELECT id, boss FROM r ORDER BY o'),
    ('d_cycle_beside', 'WITH RECURSIVE g(a, b) AS (SELECT a, b FROM edge WHERE w >= 1), top AS (SELECT max(a) AS a FROM g),
        r AS (SELECT a, b FROM g UNION ALL SELECT g.a, g.b FROM r JOIN g ON g.a = r.b, top WHERE g.a <= top.a)
        CYCLE a, b SET is_cycle USING path SELECT a, b, is_cycle FROM r'),
    ('d_breadth_first', 'WITH RECURSIVE r AS (SELECT id, boss FROM employee WHERE boss IS NULL UNION ALL SELECT e.id, e.boss FROM r JOIN employee e ON e.boss = r.id)
        SEARCH BREADTH FIRST BY id SET o CYCLE id SET c USING p SELECT r.id, r.boss, r.c, b.name FROM r LEFT JOIN employee b ON b.id = r.boss'),
    ('d_first_only', 'WITH RECURSIVE r AS (SELECT a AS x, 1 AS n FROM start UNION ALL
        SELECT x, n FROM (SELECT e.b AS x, r.n + 1 AS n, row_number() OVER (ORDER BY e.b) AS no FROM r JOIN edge e ON e.a = r.x) q
        WHERE no = 1 AND n < 9) SELECT x, n FROM r'),
    ('d_distinct_step', 'WITH RECURSIVE r AS (SELECT a AS x, 1 AS n FROM start UNION ALL
        SELECT DISTINCT e.b, r.n + 1 FROM r JOIN edge e ON e.a = r.x WHERE r.n < 4) SELECT x, n FROM r'),
    ('d_itself', 'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION SELECT a, b FROM r) SELECT a, b FROM r');
CALL create_all();
CALL change('new rows', $$INSERT INTO employee VALUES (7, 3, 'flo', 25), (8, 7, NULL, 5);
    INSERT INTO part VALUES ('rim', 'tape', 3); INSERT INTO edge VALUES (5, 7, 2), (4, 6, 1); INSERT INTO counter VALUES (4, 2)$$);
CALL change('one source', $$INSERT INTO edge VALUES (8, 9, 1)$$);
CALL change('a subtree moves', $$UPDATE employee SET boss = 3 WHERE id = 2; UPDATE part SET whole = 'frame' WHERE part = 'rim'$$);
CALL change('the way into a cycle goes', $$DELETE FROM edge WHERE a = 5 AND b = 7$$);
CALL change('a cycle opens', $$DELETE FROM edge WHERE a = 3 AND b = 1$$);
CALL change('and closes elsewhere', $$INSERT INTO edge VALUES (6, 2, 1), (5, 1, 1)$$);
CALL change('one of two ways goes', $$DELETE FROM edge WHERE ctid = (SELECT ctid FROM edge WHERE a = 2 AND b = 3 LIMIT 1)$$);
CALL change('another way comes as one goes', $$DELETE FROM edge WHERE a = 4 AND b = 5; INSERT INTO edge VALUES (6, 5, 1)$$);
CALL change('quantities', $$UPDATE part SET quantity = quantity + 1 WHERE whole = 'car'; UPDATE price SET price = price * 2 WHERE part = 'bolt'; UPDATE edge SET w = 0.5 WHERE a = 6$$);
CALL change('another start', $$INSERT INTO start VALUES (8), (NULL); DELETE FROM start WHERE a = 1$$);
CALL change('NULLs', $$INSERT INTO edge VALUES (8, NULL, NULL), (NULL, NULL, 1); INSERT INTO employee VALUES (9, NULL, NULL, NULL), (10, 9, 'x', NULL); INSERT INTO part VALUES ('car', NULL, 1), (NULL, 'bolt', NULL)$$);
CALL change('nothing', $$UPDATE edge SET w = w; UPDATE employee SET name = name$$);
CALL change('keys', $$UPDATE employee SET id = 20 WHERE id = 4; UPDATE employee SET boss = 20 WHERE boss = 4; UPDATE counter SET n = n + 1$$);
CALL change('to none', $$DELETE FROM employee; DELETE FROM part; DELETE FROM price; DELETE FROM edge; DELETE FROM start; DELETE FROM counter$$);
CALL change('from none', $$INSERT INTO employee VALUES (1, NULL, 'ann', 1), (2, 1, 'bob', 2); INSERT INTO part VALUES ('a', 'b', 2), ('b', 'c', 3);
    INSERT INTO edge VALUES (1, 2, 1), (2, 1, 1), (2, 3, 1); INSERT INTO start VALUES (1); INSERT INTO counter VALUES (1, 2); INSERT INTO price VALUES ('c', 1)$$);

-- what no delta follows to its end: rows that are no longer reached lead into a cycle that has come
TRUNCATE definition;
CREATE TABLE walk (a int, b int);
CREATE TABLE hop (a int, b int, at timestamptz);
CREATE TABLE tree (id int, parent int, j json, n numeric);
INSERT INTO walk VALUES (0, 1), (1, 2), (2, 3);
INSERT INTO hop VALUES (1, 2, '-infinity'), (4, 5, now());
INSERT INTO tree VALUES (1, NULL, '{"a": 1}', 1.0), (2, 1, '{"a":1}', 1.00), (2, 1, '{"a":1}', 1.00), (3, 2, NULL, NULL);
CREATE RECURSIVE VIEW walked (x) AS SELECT b FROM walk WHERE a = 0 UNION ALL SELECT walk.b FROM walked JOIN walk ON walk.a = walked.x;
INSERT INTO definition (name, query) VALUES
    ('d_walk', 'WITH RECURSIVE r AS (SELECT b AS x FROM walk WHERE a = 0 UNION ALL SELECT walk.b FROM walk JOIN r ON walk.a = r.x) SELECT x FROM r'),
    ('d_view', 'SELECT x, count(*) AS n FROM walked GROUP BY x'),
    ('d_above', 'SELECT sum(x) AS s, count(*) AS n FROM d_walk'),
    ('d_over', 'WITH RECURSIVE r AS (SELECT x FROM d_walk UNION SELECT r.x + d.x FROM r JOIN d_walk d ON r.x < 4) SELECT x FROM r'),
    ('d_json', 'WITH RECURSIVE r AS (SELECT id, j, n FROM tree WHERE parent IS NULL UNION ALL SELECT t.id, t.j, t.n + r.n FROM tree t JOIN r ON t.parent = r.id)
        SELECT id, j, n FROM r'),
    ('d_numeric', 'WITH RECURSIVE r AS (SELECT n FROM tree UNION SELECT r.n + t.n FROM r, tree t WHERE r.n < 3) SELECT n FROM r');
CALL create_all();
CALL change('closed where it is not reached', $$DELETE FROM walk WHERE a = 0; INSERT INTO walk VALUES (3, 1), (0, 7); DELETE FROM tree WHERE id = 1; INSERT INTO tree VALUES (9, NULL, '[]', 2.50)$$);
CALL change('opened and reached', $$DELETE FROM walk WHERE a = 3; INSERT INTO walk VALUES (7, 2); UPDATE tree SET parent = 9, n = 1 WHERE id = 2$$);

-- the clock: in what the step reads, in a condition on its own rows, in a column
TRUNCATE definition;
INSERT INTO definition (name, query) VALUES
    ('d_open', 'WITH RECURSIVE r AS (SELECT 1 AS x UNION SELECT h.b FROM r JOIN hop h ON h.a = r.x AND h.at < now()) SELECT x FROM r'),
    ('d_open_all', 'WITH RECURSIVE r AS (SELECT a AS x, at FROM hop WHERE at < now() UNION ALL SELECT h.b, h.at FROM r JOIN hop h ON h.a = r.x) SELECT x, count(*) AS n FROM r GROUP BY x'),
    ('d_own', 'WITH RECURSIVE r AS (SELECT a AS x, at FROM hop UNION SELECT h.b, h.at FROM r JOIN hop h ON h.a = r.x WHERE r.at > now() - interval ''1 day'') SELECT x, at FROM r'),
    ('d_own_all', 'WITH RECURSIVE r AS (SELECT a AS x, at FROM hop UNION ALL SELECT h.b, h.at FROM r JOIN hop h ON h.a = r.x WHERE r.at > now() - interval ''1 day'') SELECT x, at FROM r'),
    ('d_when', 'WITH RECURSIVE r AS (SELECT a AS x, at < now() AS open FROM hop UNION ALL SELECT h.b, r.open AND h.at < now() FROM r JOIN hop h ON h.a = r.x) SELECT x, open FROM r');
CALL create_all();
/* Hops that open or grow old at a moment: refreshes shortly before and after it. */
CREATE PROCEDURE pass_moment() LANGUAGE plpgsql AS $$
DECLARE
    d definition;
    c record;
    moment text;
    actions text;
    before jsonb := '{}';
    changed text;
BEGIN
    INSERT INTO hop VALUES (2, 3, '2040-01-02 00:00+00'), (3, 4, '2040-01-01 00:00+00');
    COMMIT;
    FOREACH moment IN ARRAY ARRAY['2040-01-01 23:59:59+00', '2040-01-02 00:00:01+00']
    LOOP
        changed := '';
        PERFORM set_config('dyntable.data_timestamp', moment, true);
        SELECT string_agg(DISTINCT action, ' ') INTO actions
            FROM dyntable_refresh(VARIADIC (SELECT array_agg(definition.name::regclass ORDER BY no) FROM definition));
        FOR d IN SELECT * FROM definition ORDER BY no
        LOOP
            d.query := replace(d.query, 'now()', format('timestamptz %L', moment));
            c := compare(d);
            changed := changed || CASE WHEN c.content <> (before ->> d.name)::numeric THEN ' ' || d.name ELSE '' END;
            before := before || jsonb_build_object(d.name, c.content);
            IF c.difference IS NOT NULL THEN
                PERFORM told(d.name, '', c.rows, NULL, c.difference);
            END IF;
        END LOOP;
    END LOOP;
    ROLLBACK;
    RAISE INFO 'changed by the clock:%, by %', changed, actions;
END $$;
CALL pass_moment();
CALL change('after the clock', $$DELETE FROM hop WHERE a = 2; INSERT INTO hop VALUES (5, 1, '-infinity'), (5, 6, now()), (2, 6, '-infinity')$$);

-- what is not incremental
SELECT line FROM unnest(ARRAY[
    'WITH RECURSIVE r AS (SELECT id, boss FROM employee UNION ALL SELECT e.id, e.boss FROM r JOIN employee e ON e.boss = r.id) SEARCH DEPTH FIRST BY id SET o
        SELECT id, row_number() OVER (ORDER BY o) AS no FROM r',
    'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION ALL SELECT e.a, e.b FROM r JOIN edge e ON e.a = r.b) CYCLE a, b SET c USING p SELECT a, p::text AS p FROM r',
    'WITH c AS (SELECT id, boss FROM employee) SELECT id FROM (WITH RECURSIVE r AS (SELECT id, boss FROM c UNION ALL SELECT DISTINCT c.id, c.boss FROM c, r WHERE c.boss = r.id) SELECT id FROM r) x',
    'SELECT id, x.n FROM employee o, LATERAL (WITH RECURSIVE r AS (SELECT o.id UNION ALL SELECT e.id FROM employee e JOIN r ON e.boss = r.id) SELECT count(*) AS n FROM r) x',
    'SELECT id, (WITH RECURSIVE r AS (SELECT o.id UNION ALL SELECT e.id FROM employee e JOIN r ON e.boss = r.id) SELECT count(*) FROM r) AS n FROM employee o'])
    query, dyntable_explain_query(query) line WHERE line ~ '^(mode|reason)';

-- the work follows the change: rows read in a refresh of trees and graphs of 20,000 rows
CREATE TABLE node (id int PRIMARY KEY, parent int, name text);
CREATE TABLE link (a int, b int);
INSERT INTO node SELECT i, nullif(i / 3, 0), 'n' || i FROM generate_series(1, 20000) i;
INSERT INTO link SELECT i / 3, i FROM generate_series(3, 20000) i UNION ALL SELECT i, i - 100 FROM generate_series(1000, 20000, 1000) i;
CREATE INDEX ON node (parent);
CREATE INDEX ON link (a);
ANALYZE node, link;
SELECT dyntable_create('d_tree', 'WITH RECURSIVE r AS (SELECT id, name AS path FROM node WHERE parent IS NULL
    UNION ALL SELECT n.id, r.path || ''/'' || n.name FROM node n JOIN r ON n.parent = r.id) SELECT id, path FROM r', '1 day', 'incremental');
SELECT dyntable_create('d_graph', 'WITH RECURSIVE r AS (SELECT a AS x FROM link WHERE a = 1
    UNION SELECT l.b FROM link l JOIN r ON l.a = r.x) SELECT x FROM r', '1 day', 'incremental');
SELECT regexp_replace(line, ' -- .*', '') AS line FROM dyntable_explain('d_graph') line WHERE line !~ '^(estimated|statements|state tables|    [0-9]+[:,] )';
CREATE INDEX ON link (b);

-- what this session has read and not yet reported to the statistics
CREATE FUNCTION rows_read() RETURNS numeric LANGUAGE sql AS $$
    SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_all_tables
    WHERE relid IN ('node'::regclass, 'link'::regclass, 'd_tree'::regclass, 'd_graph'::regclass) OR relname LIKE 'stage\_%'
$$;
-- at least as many rows as the change has, at most as many as given
CREATE PROCEDURE work(what text, name text, most int, changes text) LANGUAGE plpgsql AS $$
DECLARE
    before numeric;
    rows_read numeric;
    changed bigint;
    difference bigint;
BEGIN
    EXECUTE changes;
    COMMIT;
    before := rows_read();
    SELECT rows_inserted + rows_updated + rows_deleted INTO changed FROM dyntable_refresh(name::regclass);
    rows_read := rows_read() - before;
    COMMIT;
    SELECT missing + unexpected INTO difference FROM dyntable_verify(name::regclass);
    RAISE INFO '%: % rows changed, %, %', what, changed,
        CASE WHEN rows_read BETWEEN changed AND most THEN 'at most ' || most || ' rows read' ELSE rows_read || ' ROWS READ' END,
        CASE WHEN difference = 0 THEN 'equal' ELSE 'DIFFERENT' END;
END $$;
CALL work('a leaf of the tree', 'd_tree', 20, $$INSERT INTO node VALUES (20001, 19999, 'x')$$);
CALL work('a subtree of the tree moves', 'd_tree', 400, $$UPDATE node SET parent = 6000 WHERE id = 600$$);
CALL work('a leaf goes', 'd_tree', 20, $$DELETE FROM node WHERE id = 20001$$);
CALL work('a leaf of the graph', 'd_graph', 20, $$INSERT INTO link VALUES (19999, 20001)$$);
CALL work('a cycle closes', 'd_graph', 20, $$INSERT INTO link VALUES (15000, 5000)$$);
CALL work('a cycle opens', 'd_graph', 600, $$DELETE FROM link WHERE a = 15000 AND b = 5000$$);
CALL work('a subgraph goes', 'd_graph', 600, $$DELETE FROM link WHERE b = 400$$);
CALL work('and comes back', 'd_graph', 600, $$INSERT INTO link VALUES (399, 400)$$);

-- many rounds, and half of the graph: anew
CALL work('all but the root', 'd_graph', 150000, $$DELETE FROM link WHERE a = 1$$);
CALL work('a long way', 'd_tree', 100000, $$INSERT INTO node SELECT i, i - 1, '' FROM generate_series(30001, 30300) i; UPDATE node SET parent = 1 WHERE id = 30001$$);

DROP SCHEMA sql_recursion CASCADE;
