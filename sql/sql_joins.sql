--
-- Joins: inner ones of many inputs, outer ones in any nesting, and what asks
-- only whether there is a partner.
--
CREATE SCHEMA sql_joins;
SET search_path = sql_joins, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN code AS text NOT NULL CHECK (value <> '');
CREATE TABLE a (id int PRIMARY KEY, k int, x int, v text);
CREATE TABLE b (k bigint, x int, v text COLLATE caseless, y numeric);	-- no key, equal rows
CREATE TABLE c (k int, x int, lo int, hi int, v code);					-- no index
CREATE TABLE p (id int PRIMARY KEY, a_id int, v text);
CREATE INDEX ON a (k);
CREATE INDEX ON a (x);
CREATE INDEX ON b (k);
CREATE INDEX ON b (v);
CREATE INDEX ON b ((x % 3));
CREATE INDEX ON p (a_id);
INSERT INTO a SELECT i, nullif(i % 7, 6), nullif(i % 5, 4), chr(96 + i % 4) FROM generate_series(1, 20) i;
INSERT INTO b SELECT nullif(i % 9, 8), nullif(i % 4, 3), CASE i % 3 WHEN 0 THEN 'A' WHEN 1 THEN 'b' END, i % 5 FROM generate_series(1, 16) i;
INSERT INTO b SELECT * FROM b WHERE x = 1;
INSERT INTO c SELECT nullif(i % 6, 5), nullif(i % 4, 3), i % 8, i % 8 + i % 3, 'c' || i % 3 FROM generate_series(1, 14) i;
INSERT INTO c SELECT * FROM c WHERE x = 2;
INSERT INTO p SELECT i, nullif(i % 11, 0), chr(96 + i % 5) FROM generate_series(1, 12) i;

INSERT INTO definition (name, query) VALUES
    -- inner
    ('i_cross', 'SELECT a.id, c.lo FROM a CROSS JOIN c'),
    ('i_using', 'SELECT k, a.id, b.y FROM a JOIN b USING (k)'),
    ('i_natural', 'SELECT k, x, id, y FROM a NATURAL JOIN (SELECT k, x, y FROM b) n'),
    ('i_range', 'SELECT a.id, c.lo, c.hi FROM a JOIN c ON a.x BETWEEN c.lo AND c.hi'),
    ('i_self', 'SELECT l.id, r.id AS other FROM a l JOIN a r ON l.k = r.k AND l.id < r.id'),
    ('i_or', 'SELECT a.id, b.y FROM a JOIN b ON a.k = b.k OR a.x = b.x'),
    ('i_expression', 'SELECT a.id, b.y FROM a JOIN b ON a.k % 3 = b.x % 3 AND coalesce(a.v, ''-'') = b.v'),
    ('i_collation', 'SELECT a.id, b.y FROM a JOIN b ON a.v = b.v'),
    ('i_ten', 'SELECT a1.id, a2.x, b1.y, p5.v FROM a a1, a a2, b b1, c c1, p p1, p p2, p p3, p p4, p p5, a a3
        WHERE a1.id = p1.a_id AND p1.id = p2.a_id AND p2.id = p3.a_id AND p4.id = p3.id AND a2.id = p4.a_id
        AND b1.k = a1.k AND c1.k = b1.k AND p5.id = a2.id AND a3.id = p5.a_id'),
    ('i_groups', 'SELECT a.id, g.n, w.nth FROM a JOIN (SELECT k, count(*) AS n, max(x) AS m FROM b GROUP BY k) g USING (k)
        JOIN (SELECT id, row_number() OVER (PARTITION BY a_id ORDER BY id) AS nth FROM p) w ON w.id = a.id AND w.nth <= g.n'),
    ('i_union', 'SELECT a.id, u.x FROM a JOIN (SELECT k, x FROM b UNION ALL SELECT k, x FROM c) u ON u.k = a.k'),
    ('i_outers', 'SELECT l.id, m.y, n.lo FROM (SELECT a.id, a.k, p.v FROM a LEFT JOIN p ON p.a_id = a.id) l
        JOIN (SELECT b.k, b.y, c.lo FROM b LEFT JOIN c ON c.k = b.k AND c.x = b.x) m ON m.k = l.k
        JOIN (SELECT c.k, c.lo, b.y FROM c LEFT JOIN b ON b.k = c.k AND b.x < c.x) n ON n.k = m.k'),
    ('i_dynamic', 'SELECT u.k, u.id, g.n FROM i_using u JOIN i_groups g USING (id)'),
    -- left, with an index and without
    ('l_index', 'SELECT a.id, b.y FROM a LEFT JOIN b ON b.k = a.k'),
    ('l_count', 'SELECT a.id, c.lo FROM a LEFT JOIN c ON c.k = a.k'),
    ('l_two', 'SELECT a.id, b.y, c.lo FROM a LEFT JOIN b ON b.k = a.k AND b.x = a.x LEFT JOIN c ON c.k = b.k AND c.x = a.x'),
    ('l_mixed_index', 'SELECT a.id, b.y FROM a LEFT JOIN b ON b.k = a.k AND b.x <= a.x'),
    ('l_mixed_count', 'SELECT a.id, c.lo FROM a LEFT JOIN c ON c.k = a.k AND a.x BETWEEN c.lo AND c.hi'),
    ('l_range', 'SELECT a.id, c.lo FROM a LEFT JOIN c ON a.x > c.lo AND a.x < c.hi'),
    ('l_bag', 'SELECT b.x, c.lo FROM b LEFT JOIN c ON c.x < b.x'),
    ('l_one_side', 'SELECT a.id, b.y FROM a LEFT JOIN b ON b.k = a.k AND a.x = 1 AND b.y > 1'),
    ('l_true', 'SELECT a.id, b.y FROM a LEFT JOIN b ON true'),
    ('l_false', 'SELECT a.id, b.y FROM a LEFT JOIN b ON false'),
    ('l_expression', 'SELECT a.id, b.y FROM a LEFT JOIN b ON b.x % 3 = a.x % 3'),
    ('l_domain', 'SELECT a.id, c.v FROM a LEFT JOIN c ON c.v = ''c'' || a.x'),
    ('l_collation', 'SELECT a.id, b.y FROM a LEFT JOIN b ON b.v = a.v'),
    ('l_collation_mixed', 'SELECT p.id, a.id AS a FROM p LEFT JOIN a ON a.v = upper(p.v) COLLATE caseless'),
    -- full and right
    ('f_bag', 'SELECT b.y, c.lo FROM b FULL JOIN c ON c.k = b.k'),
    ('f_using', 'SELECT k, a.id, b.y, c.lo FROM a FULL JOIN b USING (k) FULL JOIN c USING (k)'),
    ('f_conditions', 'SELECT a.id, b.y FROM a FULL JOIN b ON a.k = b.k AND a.x = 1 AND b.y > 1'),
    ('f_true', 'SELECT p.id, g.y FROM (SELECT * FROM p WHERE v = ''a'') p FULL JOIN (SELECT * FROM b WHERE y = 3) g ON true'),
    ('r_middle', 'SELECT a.id, b.y, c.lo FROM a RIGHT JOIN b ON a.k = b.k LEFT JOIN c ON c.k = a.k AND c.x = b.x'),
    -- nested
    ('n_nullable_side', 'SELECT a.id, b.y, c.lo FROM a LEFT JOIN (b LEFT JOIN c ON c.k = b.k AND c.x = b.x) ON b.k = a.k'),
    ('n_inner_inside', 'SELECT a.id, b.y, c.lo FROM a LEFT JOIN (b JOIN c ON c.k = b.k AND c.x = b.x) ON b.k = a.k'),
    ('n_full_inside', 'SELECT a.id, q.y, q.lo FROM a LEFT JOIN (SELECT b.k, b.y, c.lo FROM b FULL JOIN c ON c.k = b.k AND c.x = 1) q ON q.k = a.k'),
    ('n_above', 'SELECT a.id, b.y FROM a LEFT JOIN b ON b.k = a.k WHERE b.y IS NULL OR b.y > a.x'),
    ('n_views', 'SELECT l.id, r.n FROM l_index l LEFT JOIN (SELECT k, count(*) AS n FROM i_using GROUP BY k) r ON r.k = l.id'),
    ('n_groups', 'SELECT a.id, g.n FROM a LEFT JOIN (SELECT k, count(*) AS n FROM c GROUP BY k HAVING count(*) > 1) g ON g.k = a.k'),
    ('n_over', 'SELECT a.k, count(*) AS n, count(b.y) AS m, sum(b.y) AS s FROM a LEFT JOIN b ON b.k = a.k GROUP BY a.k'),
    -- reduced
    ('t_where', 'SELECT a.id, b.y FROM a LEFT JOIN b ON b.k = a.k WHERE b.x = 1'),
    ('t_join', 'SELECT a.id, b.y, c.lo FROM a LEFT JOIN b ON b.k = a.k JOIN c ON c.x = b.x'),
    ('t_inside', 'SELECT a.id, p.v, b.y FROM p LEFT JOIN (a LEFT JOIN b ON b.k = a.k) ON a.id = p.a_id AND b.x < 2'),
    ('t_full_left', 'SELECT a.id, b.y FROM a FULL JOIN b ON b.k = a.k WHERE a.x > 0'),
    ('t_full_right', 'SELECT a.id, b.y FROM a FULL JOIN b ON b.k = a.k WHERE b.x < 2'),
    ('t_full_inner', 'SELECT a.id, b.y FROM a FULL JOIN b ON b.k = a.k WHERE a.x = b.x'),
    ('t_anti', 'SELECT a.id, a.x FROM a LEFT JOIN b ON b.k = a.k WHERE b.k IS NULL'),
    ('t_anti_count', 'SELECT b.x, b.y FROM b LEFT JOIN c ON c.k = b.k AND c.x = 2 WHERE c.k IS NULL'),
    ('t_anti_range', 'SELECT b.x, b.y, a.v FROM b LEFT JOIN a ON a.x > b.x WHERE a.id IS NULL'),
    ('t_anti_right', 'SELECT p.id, p.v, c.v AS c FROM c RIGHT JOIN p ON c.k = p.a_id WHERE c.k IS NULL'),
    ('t_anti_one_side', 'SELECT a.id FROM a LEFT JOIN b ON b.k = a.k AND a.x = 2 WHERE b.k IS NULL'),
    ('t_anti_of_joins', 'SELECT a.id, c.lo FROM a LEFT JOIN (b JOIN c ON c.x = b.x) ON b.k = a.k WHERE b.k IS NULL'),
    ('t_anti_above', 'SELECT a.v, count(*) AS n FROM a LEFT JOIN b ON b.k = a.k LEFT JOIN p ON p.a_id = a.id WHERE b.k IS NULL AND p.id IS NULL GROUP BY a.v'),
    ('t_not_anti', 'SELECT a.id, b.y FROM a LEFT JOIN b ON b.k = a.k WHERE b.y IS NULL'),
    -- existence: of bags, by equality, by other conditions, by both, by none
    ('e_semi', 'SELECT b.x, b.y FROM b WHERE EXISTS (SELECT FROM c WHERE c.k = b.k)'),
    ('e_semi_range', 'SELECT c.lo, c.hi FROM c WHERE EXISTS (SELECT FROM a WHERE a.x BETWEEN c.lo AND c.hi)'),
    ('e_semi_mixed', 'SELECT b.x, b.y FROM b WHERE EXISTS (SELECT FROM a WHERE a.k = b.k AND a.x > b.x)'),
    ('e_anti', 'SELECT c.k, c.lo FROM c WHERE NOT EXISTS (SELECT FROM b WHERE b.k = c.k AND b.x = c.x)'),
    ('e_anti_range', 'SELECT b.x, b.y FROM b WHERE NOT EXISTS (SELECT FROM c WHERE c.hi < b.y)'),
    ('e_anti_mixed', 'SELECT b.x, b.y FROM b WHERE NOT EXISTS (SELECT FROM c WHERE c.k = b.k AND c.lo > b.y AND b.x = 1)'),
    ('e_none', 'SELECT b.x, b.y FROM b WHERE EXISTS (SELECT FROM c WHERE c.lo > 6)'),
    ('e_none_not', 'SELECT b.x, b.y FROM b WHERE NOT EXISTS (SELECT FROM c WHERE c.lo > 6)'),
    ('e_mark', 'SELECT b.x, b.y, EXISTS (SELECT FROM c WHERE c.k = b.k) AS in_c, EXISTS (SELECT FROM a WHERE a.x < b.x AND a.id > 4) AS in_a FROM b'),
    ('e_of_joins', 'SELECT a.id, p.v FROM a LEFT JOIN p ON p.a_id = a.id WHERE EXISTS (SELECT FROM b LEFT JOIN c ON c.k = b.k WHERE b.x = a.x AND c.lo > 1)
        AND NOT EXISTS (SELECT FROM c WHERE c.k = p.a_id)');
CALL create_all();

-- the operators of those that are rewritten
CREATE FUNCTION operators(name text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(substring(line from '((?:left|full|anti|semi) join|inner join of \d+)'), ', ')
    FROM dyntable_explain(name::regclass) line WHERE line ~ '^ +(->)? *(left|full|anti|semi|select)'
$$;
SELECT name, operators(name) FROM definition WHERE name LIKE 't\_%' ORDER BY no;

CALL change('first partners', $$INSERT INTO b VALUES (5, 2, 'a', 1), (8, 1, 'B', 2), (NULL, 1, NULL, 3); INSERT INTO c VALUES (5, 1, 1, 3, 'c4'), (NULL, 1, 2, 5, 'c1')$$);
CALL change('further partners', $$INSERT INTO b VALUES (5, 2, 'A', 1), (5, 2, 'A', 1), (1, 0, 'b', 2); INSERT INTO c VALUES (5, 2, 0, 4, 'c0'), (3, 1, 1, 9, 'c1')$$);
CALL change('some partners go', $$DELETE FROM b WHERE ctid IN (SELECT min(ctid) FROM b GROUP BY k); DELETE FROM c WHERE ctid IN (SELECT min(ctid) FROM c GROUP BY k, x)$$);
CALL change('the last partners go', $$DELETE FROM b WHERE k IN (1, 2, 5) OR v = 'B'; DELETE FROM c WHERE k IN (2, 3) OR x = 2$$);
CALL change('the other side', $$INSERT INTO a VALUES (31, 1, 1, 'a'), (32, NULL, NULL, NULL), (33, 5, 3, 'B'), (34, 2, 0, 'b'); DELETE FROM a WHERE id % 6 = 0; UPDATE a SET v = upper(v) WHERE id % 4 = 1$$);
CALL change('keys move', $$UPDATE a SET k = k + 1 WHERE id % 3 = 0; UPDATE b SET k = k + 2, x = x + 1 WHERE y > 2; UPDATE c SET k = x, x = k, lo = lo + 1; UPDATE p SET a_id = a_id + 1, id = id + 100 WHERE id > 6$$);
CALL change('keys become NULL', $$UPDATE a SET k = NULL, x = NULL WHERE id % 4 = 0; UPDATE b SET k = NULL WHERE k = 3; UPDATE c SET k = NULL WHERE k = 1$$);
CALL change('keys were NULL', $$UPDATE a SET k = 1, x = 1 WHERE k IS NULL; UPDATE b SET k = 1 WHERE k IS NULL; UPDATE c SET k = 4 WHERE k IS NULL$$);
CALL change('one partner for another', $$UPDATE b SET y = y + 1, v = lower(v); UPDATE c SET lo = lo + 1, hi = hi + 1, v = v || 'x'; UPDATE p SET v = v || 'y'$$);
CALL change('nothing', $$UPDATE a SET x = x; UPDATE b SET x = x; UPDATE c SET x = x$$);
CALL change('right to none', $$DELETE FROM b; DELETE FROM c$$);
CALL change('right from none', $$INSERT INTO b SELECT i % 4, i % 3, chr(64 + i % 3), i FROM generate_series(1, 9) i; INSERT INTO c SELECT i % 4, i % 3, i % 5, 6, 'c' || i % 3 FROM generate_series(1, 9) i$$);
CALL change('left to none', $$DELETE FROM a$$);
CALL change('left from none', $$INSERT INTO a SELECT i, i % 5, i % 3, chr(96 + i % 4) FROM generate_series(1, 12) i$$);
CALL change('all to none', $$DELETE FROM a; DELETE FROM b; DELETE FROM c; DELETE FROM p$$);
CALL change('all from none', $$INSERT INTO a SELECT i, i % 3, i % 4, chr(96 + i % 4) FROM generate_series(1, 8) i; INSERT INTO b SELECT i % 3, i % 4, 'A', 2 FROM generate_series(1, 8) i;
    INSERT INTO c SELECT i % 2, i % 4, 1, 3, 'c1' FROM generate_series(1, 8) i; INSERT INTO p SELECT i, 8 - i, 'a' FROM generate_series(1, 8) i$$);

-- what the planner expects of joins of old contents keeps to the size of the delta
CREATE TABLE chain (id int PRIMARY KEY, next int);
INSERT INTO chain SELECT i, i % 20000 + 1 FROM generate_series(1, 20000) i;
ANALYZE chain;
SELECT dyntable_create('d_chain', 'SELECT c.id, d.next FROM chain c LEFT JOIN chain d ON d.id = c.next AND d.next > c.id', '1 day', 'incremental');
CREATE INDEX ON chain (next);
UPDATE chain SET next = next - 1 WHERE id % 5000 = 1;
SELECT substring(line from 'estimated cost: (\d+)')::numeric < 500 AS follows_the_delta
FROM dyntable_explain('d_chain') line WHERE line LIKE 'estimated cost%';
SELECT action, rows_inserted + rows_updated > 3 AS changed FROM dyntable_refresh('d_chain');
SELECT count(*) FROM (SELECT c.id, d.next FROM chain c LEFT JOIN chain d ON d.id = c.next AND d.next > c.id EXCEPT ALL TABLE d_chain) missing;

-- keys and columns that are cast without being told
DELETE FROM definition;
CREATE TABLE wide (id int PRIMARY KEY, s text, n numeric, f float8);
CREATE TABLE narrow (id int PRIMARY KEY, s char(6), n int, f int);
INSERT INTO wide VALUES (1, 'c', 1, 1), (2, 'c', 1, 1), (3, 'd', 2, 2);
INSERT INTO narrow VALUES (1, 'c', 1, 1), (2, 'e', 5, 5);
INSERT INTO definition (name, query) VALUES
    ('d_char_full', 'SELECT w.s, w.id, x.id AS other FROM wide w FULL JOIN narrow x ON w.s = x.s'),
    ('d_char_without', 'SELECT id FROM wide w WHERE NOT EXISTS (SELECT FROM narrow x WHERE x.s = w.s)'),
    ('d_char_union', 'SELECT s, f FROM wide UNION ALL SELECT s, n FROM narrow'),
    ('d_char_distinct', 'SELECT s::text AS s FROM (SELECT s FROM narrow UNION SELECT s FROM wide) u'),
    ('d_numeric_full', 'SELECT w.s, w.id, x.id AS other FROM wide w FULL JOIN narrow x ON w.n = x.n'),
    ('d_float_left', 'SELECT x.s, w.id, x.id AS other FROM narrow x LEFT JOIN wide w ON w.f = x.f'),
    ('d_coalesced', 'SELECT coalesce(w.s, x.s) AS s, coalesce(w.n, x.n) AS n FROM wide w FULL JOIN narrow x USING (id)');
CALL create_all();
CALL change('last partners go', $$DELETE FROM narrow WHERE id = 1$$);
CALL change('first partners come', $$INSERT INTO narrow VALUES (3, 'd', 2, 2); INSERT INTO wide VALUES (4, 'e', 5, 5)$$);
CALL change('both change', $$UPDATE narrow SET s = 'c', n = 1; UPDATE wide SET s = 'd ' WHERE id = 3$$);

-- many partners, and of the columns that are still needed many equal: they are counted once before the next step
DELETE FROM definition;
CREATE TABLE lower (g int, v int);
CREATE TABLE middle (g int, h int);
CREATE TABLE upper (h int, v int);
INSERT INTO lower SELECT i % 5, i FROM generate_series(1, 40) i;
INSERT INTO middle SELECT i % 5, i % 3 FROM generate_series(1, 40) i;
INSERT INTO upper SELECT i % 3, i FROM generate_series(1, 4) i;
INSERT INTO definition (name, query) VALUES
    ('m_three', 'SELECT l.g, r.h FROM lower l JOIN middle m ON m.g >= l.g JOIN upper r ON r.h > m.h'),
    ('m_groups', 'SELECT l.g, count(*) AS n, sum(r.v) AS s FROM lower l JOIN middle m ON m.g >= l.g JOIN upper r ON r.h > m.h GROUP BY l.g');
CALL create_all();
INSERT INTO lower SELECT i % 5, i FROM generate_series(41, 70) i;
INSERT INTO middle SELECT i % 5, i % 3 FROM generate_series(1, 30) i;
INSERT INTO upper VALUES (2, 5);
DELETE FROM lower WHERE v < 6;
SELECT rows[1] > 1000 AS many, rows[2] < 2 * rows[1] AS less
FROM (SELECT array_agg(substring(line from '^ +(\d+): SELECT')::int) AS rows FROM dyntable_explain('m_three') line WHERE line ~ '^ +\d+: SELECT.*UNION ALL') x;
CALL change('after many changes', 'UPDATE upper SET v = v + 1 WHERE h = 2');
CALL change('many at once', $$UPDATE lower SET g = (g + 1) % 5; UPDATE middle SET g = (g + 2) % 5, h = (h + 1) % 3; DELETE FROM upper WHERE h = 1$$);
CALL change('all go', $$DELETE FROM middle; DELETE FROM lower WHERE v > 20$$);

DROP SCHEMA sql_joins CASCADE;
