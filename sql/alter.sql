--
-- Another query for a dynamic table that stays the table it is.
--
CREATE SCHEMA altering;
SET search_path = altering, public;
CREATE TABLE item (id int PRIMARY KEY, k int, v numeric(10,2), t text);
INSERT INTO item SELECT i, i % 4, i * 1.5, 'item ' || i FROM generate_series(1, 20) i;
CREATE ROLE regress_dyn_alter;

CREATE FUNCTION oracle(name regclass, OUT action text, OUT rows bigint, OUT missing bigint, OUT unexpected bigint)
LANGUAGE plpgsql AS $$
BEGIN
    action := (SELECT r.action FROM dyntable_refresh(oracle.name) r WHERE r.name = oracle.name);
    SELECT v.missing, v.unexpected INTO oracle.missing, oracle.unexpected FROM dyntable_verify(oracle.name) v;
    EXECUTE format('SELECT count(*) FROM %s', name) INTO rows;
END $$;
CREATE FUNCTION columns(name regclass) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = name AND attnum > 0 AND NOT attisdropped $$;

SELECT dyntable_create('a', 'SELECT id, k, v FROM item WHERE v > 3', target_lag => '1 day', comment => 'the table');
SELECT dyntable_create('b', 'SELECT k, count(*) AS n, sum(v) AS total FROM a GROUP BY k', target_lag => '1 day');
SELECT dyntable_create('c', 'SELECT id, v FROM a WHERE id > 10', target_lag => '1 day');
ALTER TABLE a ADD CONSTRAINT a_pk PRIMARY KEY (id), ADD CONSTRAINT a_positive CHECK (v > 0);
CREATE INDEX a_k ON a (k);
CREATE VIEW seen AS SELECT id, v FROM a;
COMMENT ON COLUMN a.v IS 'its value';
GRANT SELECT ON a TO regress_dyn_alter;
GRANT UPDATE (k), REFERENCES (v) ON a TO regress_dyn_alter;
ALTER TABLE a ALTER v SET STATISTICS 77;
CREATE TABLE refers (id int REFERENCES a);
INSERT INTO refers VALUES (3);
SELECT count(*) FROM dyntable_refresh('b', 'c');
CREATE TABLE was AS SELECT 'a'::regclass::oid AS a;

-- The same query changes nothing
SELECT dyntable_alter('a', query => 'SELECT id, k, v FROM item WHERE v > 3');
SELECT * FROM oracle('a');
-- A condition: a difference, by which the tables above go on
SELECT dyntable_alter('a', query => 'SELECT id, k, v FROM item WHERE v > 4');
SELECT count(*) FROM a;
SELECT * FROM oracle('a');
SELECT * FROM oracle('b');
-- A column more at the end is there with its values at once
SELECT dyntable_alter('a', query => 'SELECT id, k, v, upper(t) AS t FROM item WHERE v > 4');
SELECT columns('a');
SELECT * FROM a ORDER BY id LIMIT 2;
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- with other rows, of which the tables above hear
SELECT dyntable_alter('a', query => 'SELECT id, k, v, t, length(t) AS length FROM item WHERE v > 7');
SELECT columns('a');
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
UPDATE item SET v = v + 5 WHERE id % 3 = 0;
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- A column less
SELECT dyntable_alter('a', query => 'SELECT id, k, v, t FROM item WHERE v > 7');
SELECT columns('a');
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- not one that others use
SELECT dyntable_alter('a', query => 'SELECT id, v, t FROM item WHERE v > 7');
SELECT dyntable_alter('c', query => 'SELECT id FROM a WHERE id > 10');
SELECT dyntable_alter('a', query => 'SELECT id, k, t FROM item WHERE v > 7');
DELETE FROM item WHERE id = 20;
SELECT columns('a'), columns('c');
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- Another name for the same
CREATE VIEW seen_k AS SELECT k FROM a;
SELECT dyntable_alter('a', query => 'SELECT id, k AS kind, v, t FROM item WHERE v > 7');
-- with or without the table's name before the column, by version
SELECT columns('a'), replace(pg_get_viewdef('seen_k'), 'a.kind', 'kind') AS seen_k;
SELECT indexdef FROM pg_indexes WHERE indexname = 'a_k';
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- Another type
SELECT dyntable_alter('a', query => 'SELECT id, kind::bigint AS kind, v, t FROM (SELECT id, k AS kind, v, t FROM item) i WHERE v > 7');
DROP VIEW seen_k;
SELECT dyntable_alter('a', query => 'SELECT id, kind::bigint AS kind, v, t FROM (SELECT id, k AS kind, v, t FROM item) i WHERE v > 7');
SELECT columns('a');
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- In another order, between others: what moves takes along what is its own
COMMENT ON COLUMN a.kind IS 'its kind';
GRANT SELECT (t) ON a TO regress_dyn_alter;
SELECT dyntable_alter('a', query => 'SELECT id, v, t, id > 0 AS known, k AS kind FROM item WHERE v > 7');
SELECT columns('a'), columns('b');
SELECT attname, attacl, CASE attstattarget WHEN 77 THEN 77 END AS target, col_description(attrelid, attnum) FROM pg_attribute
WHERE attrelid = 'a'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT indexdef FROM pg_indexes WHERE tablename = 'a' AND indexname IN ('a_k', 'a_pk') ORDER BY 1;
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
INSERT INTO item VALUES (50, 3, 60, 'fifty'), (51, 3, 61, NULL);
UPDATE item SET k = 2 WHERE id = 9;
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- not where a view is in the way
SELECT dyntable_alter('a', query => 'SELECT id, t, v, k AS kind FROM item WHERE v > 7');
SELECT columns('a');
-- Nothing else of the table has changed
SELECT a = 'a'::regclass AS same, obj_description(a), has_table_privilege('regress_dyn_alter', a, 'SELECT') AS granted FROM was;
SELECT count(*) FROM seen;
INSERT INTO refers VALUES (50);
INSERT INTO refers VALUES (4711);
SELECT conname FROM pg_constraint WHERE conrelid = 'a'::regclass AND contype <> 'n' ORDER BY 1;
SELECT count(*) AS left_over FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = 'dyntable' AND relname LIKE 'shape%';

-- Constraints of its user's hold for new columns' rows too
DO $$
DECLARE constraint_name text;
BEGIN
    PERFORM dyntable_alter('a', query => 'SELECT id, -v AS v, t, true AS known, k AS kind, 1 AS one FROM item WHERE v > 7');
EXCEPTION WHEN check_violation THEN
    GET STACKED DIAGNOSTICS constraint_name = CONSTRAINT_NAME;
    RAISE INFO '% %', SQLSTATE, constraint_name;
END $$;
SELECT dyntable_alter('a', query => 'SELECT id % 2 AS id, v, t, true AS known, k AS kind, 1 AS one FROM item WHERE v > 7');
SELECT columns('a');
SELECT * FROM oracle('a');
-- Undone
BEGIN;
SELECT dyntable_alter('a', query => 'SELECT id, v, t, true AS known, k AS kind, 1 AS one FROM item WHERE v > 9');
SELECT columns('a'), count(*), sum(one) FROM a;
ROLLBACK;
SELECT columns('a'), count(*) FROM a;
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- Twice in one transaction, with a refresh of what is above
BEGIN;
SELECT dyntable_alter('a', query => 'SELECT id, v, t, true AS known, k AS kind, 1 AS one FROM item WHERE v > 9');
SELECT action FROM dyntable_refresh('b') WHERE name = 'b'::regclass;
SELECT dyntable_alter('a', query => 'SELECT id, v, t, true AS known, k AS kind FROM item WHERE v > 12');
COMMIT;
SELECT columns('a');
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- A snapshot from before finds another table and says so
CREATE EXTENSION dblink;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM item WHERE id = 50;
SELECT count(*) FROM dblink(format('dbname=%s host=%s port=%s', current_database(), split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port')),
    $$SELECT dyntable_alter('altering.a', query => 'SELECT id, v, t, true AS known, k AS kind, 2 AS two FROM altering.item WHERE v > 12')::text$$) r(x text);
SELECT count(*) FROM a;
ROLLBACK;
SELECT count(*) > 0 AS readable FROM a;

-- In full mode, and from one mode into the other
SELECT dyntable_create('f', 'SELECT id, t FROM item', target_lag => '1 day', refresh_mode => 'full');
SELECT dyntable_create('above_f', 'SELECT id FROM f', target_lag => '1 day');
SELECT dyntable_alter('f', query => 'SELECT id, k, t FROM item WHERE id > 3');
SELECT columns('f');
SELECT name, (oracle(name::regclass)).* FROM unnest('{f,above_f}'::text[]) name;
SELECT dyntable_alter('f', query => 'SELECT k, count(*) AS n, id FROM item WHERE id > 3 GROUP BY k, id', refresh_mode => 'incremental');
SELECT columns('f');
DELETE FROM item WHERE id = 7;
SELECT name, (oracle(name::regclass)).* FROM unnest('{f,above_f}'::text[]) name;
-- All columns others; none
SELECT dyntable_create('z', 'SELECT id, k FROM item', target_lag => '1 day');
SELECT dyntable_alter('z', query => 'SELECT t, v FROM item');
SELECT columns('z');
SELECT * FROM oracle('z');
SELECT dyntable_alter('z', query => 'SELECT FROM item');
SELECT dyntable_alter('z', query => 'SELECT id FROM item');
SELECT * FROM oracle('z');
-- Not filled yet
SELECT dyntable_create('later', 'SELECT id FROM item', target_lag => 'downstream', initialize => 'on_schedule');
SELECT dyntable_alter('later', query => 'SELECT k, id FROM item');
SELECT * FROM oracle('later');
SELECT columns('later');
-- By or_replace
SELECT dyntable_create('a', 'SELECT id, v, k AS kind FROM item WHERE v > 12', target_lag => '2 days', or_replace => true);
SELECT columns('a'), (SELECT a FROM was) = 'a'::regclass AS same;
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
-- when the scheduler comes to it, with its columns until then
SELECT dyntable_create('a', 'SELECT id, v, k AS kind, t FROM item WHERE v > 12', target_lag => 'downstream', initialize => 'on_schedule', or_replace => true);
SELECT columns('a');
SELECT name, (oracle(name::regclass)).* FROM unnest('{a,b,c}'::text[]) name;
SELECT columns('a');
-- Another wording of the same query is stored, and nothing is computed
CREATE TABLE said (id int PRIMARY KEY, k int, v int);
CREATE TABLE more (k int PRIMARY KEY, word text);
INSERT INTO said SELECT i, i % 3, i FROM generate_series(1, 9) i;
INSERT INTO more VALUES (0, 'none'), (1, 'one'), (3, 'three');
CREATE FUNCTION done(name regclass) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s, %s versions', string_agg(refresh_action, ', ' ORDER BY id),
                  (SELECT count(*) FROM dyntable.versions v WHERE v.relid = done.name))
    FROM dyntable.refresh_history h WHERE h.relid = done.name AND refresh_action <> 'NO_DATA' $$;
SELECT dyntable_create('w', 'SELECT said.id, word, k FROM said FULL JOIN more USING (k) WHERE v > 2', target_lag => '1 day');
SELECT dyntable_create('w', E'-- the words\nselect said.id,\n  word, k\nfrom said full outer join more using (k)\nwhere (v > 2)', target_lag => '1 day', or_replace => true);
SELECT done('w'), query FROM dyntable.dynamic_tables WHERE name = 'w';
SELECT dyntable_alter('w', query => 'SELECT said.id, word, k FROM altering.said FULL JOIN more USING (k) WHERE v > 2');
SELECT done('w'), query FROM dyntable.dynamic_tables WHERE name = 'w';
-- so also where a source has got another name, or a column that the query does not read
ALTER TABLE said RENAME TO told;
ALTER TABLE told ADD noise int;
ALTER TABLE told DROP noise, ADD other int;
SELECT dyntable_create('w', 'SELECT told.id, word, k FROM told FULL JOIN more USING (k) WHERE v > 2', target_lag => '1 day', or_replace => true);
SELECT dyntable_create('w', 'SELECT told.id, word, k FROM told FULL JOIN more USING (k) WHERE v > 2', target_lag => '1 day', or_replace => true);
SELECT done('w'), dyntable_get_ddl('w') AS ddl;
UPDATE told SET v = v + 1 WHERE id = 2;
SELECT * FROM oracle('w');
-- nor for another mode that comes to the same
SELECT dyntable_create('w', 'SELECT told.id, word, k  FROM told FULL JOIN more USING (k) WHERE v > 2', target_lag => '1 day', refresh_mode => 'incremental', or_replace => true);
SELECT done('w'), query FROM dyntable.dynamic_tables WHERE name = 'w';
-- not where it means something else
CREATE TABLE said (LIKE told INCLUDING ALL);
SELECT dyntable_create('w', 'SELECT said.id, word, k FROM said FULL JOIN more USING (k) WHERE v > 2', target_lag => '1 day', or_replace => true);
SELECT dyntable_create('w', 'SELECT told.id, word, k FROM told FULL JOIN more USING (k) WHERE v > 2', target_lag => '1 day', or_replace => true);
SELECT dyntable_create('w', 'SELECT told.id, word, k FROM told LEFT JOIN more USING (k) WHERE v > 2', target_lag => '1 day', or_replace => true);
SELECT done('w');
UPDATE told SET v = 1 WHERE id = 9;
SELECT * FROM oracle('w');
SET client_min_messages = warning;
DROP SCHEMA altering CASCADE;
DROP ROLE regress_dyn_alter;
