--
-- Downstream of a table that is refreshed in full, and without any source.
--
CREATE UNLOGGED TABLE full_source (id int PRIMARY KEY, v int);
CREATE TABLE full_base (id int PRIMARY KEY, w int);
INSERT INTO full_source VALUES (1, 1), (2, 1);
INSERT INTO full_base VALUES (1, 10), (3, 30);
SELECT dyntable_create('full_up', 'SELECT id, v FROM full_source', target_lag => '1 day');
SELECT dyntable_create('full_down', 'SELECT v, count(*) AS n FROM full_up GROUP BY v', target_lag => '1 day');
SELECT dyntable_create('full_mixed', 'SELECT id, v, w FROM full_up JOIN full_base USING (id)', target_lag => '1 day');
SELECT dyntable_create('full_constant', 'SELECT g AS id FROM generate_series(1, 3) g', target_lag => '1 day');

-- The difference that the full refresh applied is what downstream reads
INSERT INTO full_source VALUES (3, 1);
UPDATE full_source SET v = 2 WHERE id = 1;
SELECT name, action
FROM dyntable_refresh('full_down', 'full_mixed', 'full_constant') WITH ORDINALITY r ORDER BY name::text;
SELECT * FROM full_down ORDER BY v;
SELECT * FROM full_mixed ORDER BY id;
SELECT name, action
FROM dyntable_refresh('full_down', 'full_mixed', 'full_constant') WITH ORDINALITY r ORDER BY name::text;
SELECT * FROM dyntable_verify('full_down');
SELECT * FROM dyntable_verify('full_mixed');
SELECT * FROM dyntable_verify('full_constant');

DROP TABLE full_source, full_base CASCADE;
DROP TABLE full_constant;
