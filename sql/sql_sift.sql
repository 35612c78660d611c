--
-- Changes of rows that a query's conditions leave out are left out when they are
-- read (dyn_sift.c), and nobody may notice.
--
CREATE SCHEMA sql_sift;
SET search_path = sql_sift, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE DOMAIN small AS int CHECK (VALUE < 1000);
CREATE TABLE item (id int PRIMARY KEY, g int, v int, day date, q numeric(8,2), name text, code char(6), at timestamptz, mood mood, size small, tags int[], other int);
CREATE INDEX ON item (g);
CREATE TABLE label (g int PRIMARY KEY, name text NOT NULL, kind int);
INSERT INTO item SELECT i, nullif(i % 7, 6), nullif(i % 11, 10), date '2024-01-01' + i, nullif(i % 9, 8) / 4.0, 'name ' || i % 5, 'c' || i % 4,
    timestamptz '2024-01-01 00:00+00' + make_interval(hours => i), CASE i % 3 WHEN 1 THEN 'low' WHEN 2 THEN 'high' END::mood, i % 20, ARRAY[i % 3, i % 2], 0
FROM generate_series(1, 100) i;
INSERT INTO label SELECT i, 'label ' || i, i % 2 FROM generate_series(0, 5) i;
CREATE VIEW barrier WITH (security_barrier) AS SELECT id, g, v FROM item WHERE v > 2;
INSERT INTO definition (name, query) VALUES
    ('range',    $$SELECT id, v FROM item WHERE day >= date '2024-02-01' AND day < date '2024-01-01' + interval '2 months'$$),
    ('instants', $$SELECT count(*) AS n FROM item WHERE at >= '2024-01-02 00:00+00' AND day > timestamptz '2024-01-20 00:00+00'$$),
    ('numbers',  'SELECT sum(v) AS s, count(*) AS n FROM item WHERE q BETWEEN 0.5 AND 1.5'),
    ('listed',   $$SELECT g, count(*) AS n FROM item WHERE code IN ('c1', 'c3') AND name <> ALL ('{name 1,name 2}') GROUP BY g$$),
    ('either',   $$SELECT id, name FROM item WHERE v IS NULL OR v > 7 OR NOT (name < 'name 3')$$),
    ('columns',  'SELECT id FROM item WHERE v < g AND other = 0 AND - v < 0'),
    ('moods',    $$SELECT id, v FROM item WHERE mood = 'high' AND size < 10 AND tags > ARRAY[1] AND v < 8$$),
    ('failing',  'SELECT id, v FROM item WHERE 100 / (v + 1) > 20 AND q > 0'),
    ('joined',   'SELECT i.id, l.name FROM item i JOIN label l ON l.g = i.g AND l.kind = 1 AND i.v > 4'),
    ('twice',    'SELECT a.id AS a, b.id AS b FROM item a JOIN item b ON b.g = a.g AND a.v = 3 AND b.v = 4'),
    ('outer_on', 'SELECT l.g, i.id FROM label l LEFT JOIN item i ON i.g = l.g AND i.v > 8'),
    ('outer_by', 'SELECT l.g, i.id FROM label l LEFT JOIN item i ON i.g = l.g WHERE i.v IS NULL'),
    ('some',     'SELECT g FROM label l WHERE EXISTS (SELECT FROM item i WHERE i.g = l.g AND i.v = 9)'),
    ('none',     'SELECT g FROM label l WHERE NOT EXISTS (SELECT FROM item i WHERE i.g = l.g AND i.v = 9)'),
    ('groups',   'SELECT g, min(v) AS least, max(q) AS most FROM item WHERE v >= 3 GROUP BY g'),
    ('above',    'SELECT g, total FROM (SELECT g, sum(v) AS total FROM item WHERE v > 5 GROUP BY g) s WHERE total > 20'),
    ('both',     'SELECT id, 1 AS part FROM item WHERE v = 1 UNION ALL SELECT id, 2 FROM item WHERE v = 2'),
    ('ranks',    'SELECT id, rank() OVER (PARTITION BY g ORDER BY v, id) AS place FROM item WHERE v > 4'),
    ('barred',   'SELECT id FROM barrier WHERE g = 3'),
    ('linked',   'WITH RECURSIVE r AS (SELECT id, g FROM item WHERE v = 1 UNION SELECT i.id, i.g FROM r JOIN item i ON i.id = r.id + r.g AND i.v > 2) SELECT * FROM r');
CALL create_all();
CALL change('out of all conditions', $$INSERT INTO item (id, other) SELECT 1000 + i, 1 FROM generate_series(1, 3) i$$);
CALL change('into them', $$UPDATE item SET g = id % 7, v = id % 11, day = '2024-02-10', q = 1, name = 'name 3', code = 'c1', at = '2024-02-01 00:00+00',
    mood = 'high', size = 5, tags = '{2}', other = 0 WHERE id > 1000 OR id % 10 = 1$$);
CALL change('from one side to the other', $$UPDATE item SET v = 11 - v, day = day + 20, q = q + 0.5 WHERE id % 3 = 0$$);
CALL change('and back', $$UPDATE item SET v = 11 - v, day = day - 20, q = q - 0.5 WHERE id % 3 = 0$$);
CALL change('columns that are not read', 'UPDATE item SET other = other WHERE id % 2 = 0; UPDATE label SET name = name');
CALL change('NULLs', 'UPDATE item SET v = NULL, q = NULL, day = NULL WHERE id % 7 = 0');
-- rows come and go, some of which no condition can be tested for
CALL change('nothing remains', $$
    INSERT INTO item SELECT 2000 + i, i % 5, -1, 'infinity', 'NaN', NULL, 'c1', '-infinity', NULL, 0, '{}', 0 FROM generate_series(1, 50) i;
    UPDATE item SET v = id % 5 WHERE id > 2000;
    DELETE FROM item WHERE id > 2000$$);
CALL change('some remain', $$
    INSERT INTO item SELECT 2000 + i, i % 5, -1, 'infinity', 'NaN', NULL, 'c1', '-infinity', NULL, 0, '{}', 0 FROM generate_series(1, 50) i;
    UPDATE item SET v = id % 12, q = 1, day = '2024-02-02' WHERE id > 2000;
    DELETE FROM item WHERE id > 2040;
    DELETE FROM item WHERE id < 30$$);
CALL change('both sides of a join', $$UPDATE item SET g = (g + 1) % 6, v = v + 1 WHERE id % 4 = 0; UPDATE label SET kind = 1 - kind WHERE g < 4$$);
CALL change('all go', 'DELETE FROM item WHERE g < 5');
-- what is told of the changes counts all of them
UPDATE item SET v = 100, other = 1 WHERE id = 41;
INSERT INTO item (id) VALUES (3000), (3001);
SELECT action, rows_inserted, rows_updated, rows_deleted FROM dyntable_refresh('numbers');
SELECT refresh_action, s ->> 'name' AS source, s -> 'statistics' AS statistics
FROM dyntable.refresh_history, jsonb_array_elements(inputs_with_changed_data::jsonb) s WHERE name = 'numbers' ORDER BY id DESC LIMIT 1;
DROP SCHEMA sql_sift CASCADE;
