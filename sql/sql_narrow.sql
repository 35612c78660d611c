--
-- Correlated subqueries over rows outside of which conditions leave few: only
-- their groups are kept.
--
CREATE SCHEMA sql_narrow;
SET search_path = sql_narrow, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE part (id int PRIMARY KEY, brand text, size int, name text NOT NULL);	-- rows outside, by a key
CREATE TABLE offer (part int, shop int, stock int, PRIMARY KEY (part, shop));		-- by a key of two columns
CREATE TABLE line (part bigint, shop int, n int, price numeric(8,2), word text);	-- what is grouped; no key
CREATE TABLE loose (id int, brand text);											-- no key: several rows alike
CREATE INDEX ON line (part, shop);
CREATE INDEX ON line (word);
CREATE UNIQUE INDEX ON part (name);
CREATE VIEW guarded WITH (security_barrier) AS SELECT * FROM part WHERE size > 1;
INSERT INTO part SELECT i, (ARRAY['x', 'y', 'z', NULL])[i % 4 + 1], i % 3, 'p' || i FROM generate_series(1, 12) i;
INSERT INTO offer SELECT i % 12 + 1, i % 3, i % 7 FROM generate_series(1, 24) i ON CONFLICT DO NOTHING;
INSERT INTO line SELECT nullif(i % 14, 13), nullif(i % 4, 3), i % 9, i, 'p' || i % 5 FROM generate_series(1, 60) i;
INSERT INTO loose VALUES (1, 'x'), (1, 'x'), (2, 'x'), (NULL, 'x'), (3, 'y');

INSERT INTO definition (name, query) VALUES
    ('n_where', 'SELECT p.id, l.n, l.price FROM line l, part p WHERE p.id = l.part AND p.brand = ''x'' AND l.n < (SELECT 0.9 * avg(i.n) FROM line i WHERE i.part = p.id)'),
    ('n_column', 'SELECT id, (SELECT sum(price) FROM line l WHERE l.part = p.id) AS s FROM part p WHERE brand IN (''x'', ''y'')'),
    ('n_count', 'SELECT id, name, (SELECT count(*) FROM line l WHERE l.part = p.id AND n > 3) AS c FROM part p WHERE name LIKE ''p1%'''),
    ('n_max', 'SELECT id, price FROM line l JOIN part p ON p.id = l.part WHERE brand = ''x'' AND price = (SELECT max(price) FROM line i WHERE p.id = i.part)'),
    ('n_list', 'SELECT id, (SELECT string_agg(n::text, '','' ORDER BY n, price) FROM line l WHERE l.part = p.id) AS s FROM part p WHERE size = 1 AND brand <> ''y'''),
    ('n_two', 'SELECT id, (SELECT sum(n) FROM line l WHERE l.part = p.id) AS n, (SELECT min(price) FROM line l WHERE l.part = p.id AND shop = 1) AS m FROM part p WHERE brand = ''x'''),
    ('n_semi', 'SELECT part, shop FROM offer o WHERE part IN (SELECT id FROM part WHERE brand = ''x'') AND stock > (SELECT 0.1 * sum(n) FROM line l WHERE l.part = o.part AND l.shop = o.shop)'),
    ('n_text', 'SELECT id, (SELECT count(*) FROM line l WHERE l.word = p.name) AS c FROM part p WHERE brand = ''y'''),
    ('n_lateral', 'SELECT p.id, x.shop, x.c FROM part p, LATERAL (SELECT shop, count(*) AS c FROM line l WHERE l.part = p.id GROUP BY shop) x WHERE p.brand = ''x'''),
    ('n_outer', 'SELECT p.id, o.stock, (SELECT sum(n) FROM line l WHERE l.part = p.id) AS s FROM part p LEFT JOIN offer o ON o.part = p.id AND o.shop = 1 WHERE p.brand = ''x'''),
    ('n_nested', 'SELECT id, (SELECT sum(price) FROM line l WHERE l.part = p.id AND l.n > (SELECT avg(n) FROM line i WHERE i.part = l.part)) AS s FROM part p WHERE brand = ''x'''),
    ('n_barrier', 'SELECT id, (SELECT sum(n) FROM line l WHERE l.part = g.id) AS s FROM guarded g WHERE brand = ''x'''),
    ('n_no_key', 'SELECT id, (SELECT count(*) FROM line l WHERE l.part = o.id) AS c FROM loose o WHERE brand = ''x'''),
    ('n_most', 'SELECT id, (SELECT sum(n) FROM line l WHERE l.part = p.id) AS s FROM part p WHERE size >= 0'),
    ('n_exists', 'SELECT id FROM part p WHERE brand = ''x'' AND EXISTS (SELECT FROM line l WHERE l.part = p.id GROUP BY shop HAVING count(*) > 1)'),
    ('n_recursive', 'WITH RECURSIVE r AS (SELECT id, 1 AS d FROM part WHERE brand = ''x'' UNION SELECT p.id, r.d + 1 FROM r JOIN part p ON p.id = r.id + 1 AND p.brand = ''y'' WHERE r.d < 4 AND p.size <= (SELECT max(n) FROM line l WHERE l.part = p.id)) SELECT * FROM r');
CALL create_all();

-- which of them keep but few groups
SELECT d.name, count(*) FILTER (WHERE e.line ~ 'aggregate: 1[0-9] rows') AS all_kept, count(*) FILTER (WHERE e.line ~ 'aggregate: [0-9] rows') AS few_kept
FROM definition d, LATERAL dyntable_explain(d.name::regclass) e(line) WHERE e.line ~ 'aggregate: ' GROUP BY d.name ORDER BY d.name;

CALL change('insert lines', $$INSERT INTO line SELECT i % 14, i % 3, i % 11, i + 0.5, 'p' || i % 6 FROM generate_series(1, 20) i$$);
CALL change('delete and update lines', $$DELETE FROM line WHERE n IN (2, 5); UPDATE line SET n = n + 3 WHERE n < 3; UPDATE line SET part = part + 1 WHERE shop = 1$$);
CALL change('NULLs', $$UPDATE line SET part = NULL WHERE n = 4; UPDATE line SET n = NULL, price = NULL WHERE shop = 2; UPDATE part SET brand = NULL WHERE id = 4$$);
CALL change('rows outside come and go', $$UPDATE part SET brand = 'x' WHERE id IN (1, 2, 3); UPDATE part SET brand = 'y' WHERE id IN (8, 12); DELETE FROM part WHERE id = 5; INSERT INTO part VALUES (13, 'x', 2, 'p13'), (14, 'x', 1, 'p14')$$);
CALL change('both at once', $$UPDATE part SET brand = 'x' WHERE id = 6; UPDATE part SET brand = 'z' WHERE id = 1; INSERT INTO line VALUES (6, 1, 8, 1, 'p6'), (6, 2, 1, 2, 'p6'), (1, 1, 1, 1, 'p1'); DELETE FROM line WHERE part = 2; UPDATE offer SET stock = stock + 2 WHERE part < 4$$);
CALL change('keys change', $$UPDATE part SET id = id + 20, name = name || 'n' WHERE id IN (3, 7); UPDATE part SET id = 3, name = 'p3' WHERE id = 10; INSERT INTO line VALUES (23, 1, 5, 7, 'p3n')$$);
CALL change('equal rows', $$INSERT INTO line SELECT * FROM line; INSERT INTO loose SELECT * FROM loose; DELETE FROM loose WHERE id = 2$$);
CALL change('to none', $$DELETE FROM line; UPDATE part SET brand = 'z'$$);
CALL change('from none', $$UPDATE part SET brand = CASE WHEN id < 8 THEN 'x' ELSE 'y' END WHERE id < 12; UPDATE offer SET stock = 9; INSERT INTO line SELECT i % 12, (i + 2) % 3, i % 7, i, 'p' || i % 9 FROM generate_series(1, 40) i$$);
-- without its key several rows outside could ask for one group
CALL change('key gone', $$ALTER TABLE part DROP CONSTRAINT part_pkey; INSERT INTO part SELECT id, brand, size, name || 'again' FROM part WHERE id < 5; INSERT INTO line VALUES (1, 1, 1, 1, 'p1')$$);
CALL change('after that', $$DELETE FROM part WHERE name LIKE '%again' AND id = 2; UPDATE line SET n = n + 1 WHERE part < 5$$);
DROP SCHEMA sql_narrow CASCADE;
