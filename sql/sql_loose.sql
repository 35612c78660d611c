--
-- Large deltas in which rows cancel each other: those that sum may be left as they
-- are (dyn_loose.c), and nobody may notice.
--
CREATE SCHEMA sql_loose;
SET search_path = sql_loose, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle
CREATE TABLE item (id int PRIMARY KEY, g int, v int, b bigint NOT NULL, p numeric, q numeric(8,2) NOT NULL, other int);
CREATE TABLE label (g int PRIMARY KEY, name text NOT NULL);
INSERT INTO item SELECT i, nullif(i % 7, 6), nullif(i % 11, 10), i * 1000003::bigint, i % 13 / 4.0, i % 9, 0 FROM generate_series(1, 100) i;
INSERT INTO label SELECT i, 'label ' || i FROM generate_series(0, 5) i;
INSERT INTO definition (name, query) VALUES
    ('plain',    'SELECT g, count(*) AS n, count(v) AS c, sum(v) AS s, avg(v) AS a FROM item GROUP BY g'),
    ('long',     'SELECT g, sum(b) AS s, avg(b) AS a, sum(q) AS q FROM item GROUP BY g'),
    ('filtered', 'SELECT v % 3 AS k, count(*) AS n, sum(q) AS s FROM item WHERE other >= 0 GROUP BY v % 3'),
    ('failing',  'SELECT g, sum(100 / (v + 1)) AS s FROM item GROUP BY g'),
    ('picky',    'SELECT sum(v) AS s, count(*) AS n FROM item WHERE 100 / (v + 1) > 10'),
    ('unscaled', 'SELECT g, sum(p) AS s FROM item GROUP BY g'),
    ('scaled',   'SELECT g, sum(CASE WHEN v > 2 THEN q ELSE 0 END) AS s FROM item GROUP BY g'),
    ('extreme',  'SELECT g, min(v) AS least, max(b) AS most, count(*) AS n FROM item GROUP BY g'),
    ('several',  'SELECT g, v, count(*) AS n FROM item GROUP BY ROLLUP (g, v)'),
    ('different','SELECT DISTINCT v, q FROM item'),
    ('all_rows', 'SELECT count(*) AS n, sum(q) AS s FROM item WHERE v < 5'),
    ('both',     'SELECT k, sum(x) AS s FROM (SELECT g AS k, v AS x FROM item UNION ALL SELECT v, g FROM item WHERE q > 1) u GROUP BY k'),
    ('joined',   'SELECT l.name, count(*) AS n, sum(i.v) AS s FROM item i JOIN label l ON l.g = i.g GROUP BY l.name'),
    ('rows',     'SELECT id, v, q FROM item WHERE v > 3');
CALL create_all();
-- a thousand rows come and go, some of which no expression of theirs can be computed for
CALL change('nothing remains', $$
    INSERT INTO item SELECT 1000 + i, i % 5, -1, 9000000000000000, 'NaN', CASE WHEN i % 2 = 0 THEN 'NaN' ELSE 9999.99 END, 0 FROM generate_series(1, 1500) i;
    UPDATE item SET v = NULL, q = 1 WHERE id > 1000;
    DELETE FROM item WHERE id > 1000$$);
CALL change('something remains', $$
    INSERT INTO item SELECT 1000 + i, i % 9, -1, -9000000000000000, 'Infinity', 0.25, 0 FROM generate_series(1, 1500) i;
    UPDATE item SET v = id % 17, p = id % 5 / 8.0 WHERE id > 1000;
    DELETE FROM item WHERE id > 2300;
    UPDATE item SET g = g + 1 WHERE id % 3 = 0$$);
-- groups that stay as they are, by changes that make up for each other
CALL change('exchanged', $$UPDATE item SET v = 17 - v, g = g WHERE id > 1000 AND id <= 2224 AND v BETWEEN 1 AND 16$$);
CALL change('a column of other tables', $$UPDATE item SET other = other + 1$$);
CALL change('a group of NaN', $$INSERT INTO item SELECT 3000 + i, 3, i % 4, i, 'NaN', 1, 0 FROM generate_series(1, 1200) i$$);
CALL change('and no more', $$DELETE FROM item WHERE id > 3000$$);
CALL change('inserts', $$INSERT INTO item SELECT 4000 + i, i % 8, nullif(i % 21, 20), i, i % 3, i % 5, 0 FROM generate_series(1, 1500) i$$);
CALL change('deletes', $$DELETE FROM item WHERE id > 1500 AND id % 10 < 9; DELETE FROM label WHERE g = 2$$);
CALL change('all', $$DELETE FROM item$$);
DROP SCHEMA sql_loose CASCADE;
