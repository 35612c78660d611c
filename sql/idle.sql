-- Refreshes that find nothing: the first one is written, those after it are
-- counted in shared memory, and nothing that may have changed is missed by them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dyntable;
CREATE SCHEMA idle;
SET search_path = idle, public;
CREATE TABLE item (id int PRIMARY KEY, amount int) WITH (autovacuum_enabled = off);
INSERT INTO item SELECT i, i FROM generate_series(1, 100) i;
ANALYZE item;
CREATE TABLE other (id int PRIMARY KEY);
CREATE FUNCTION scale(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 2;
CREATE VIEW small AS SELECT id, amount FROM item WHERE amount <= 50;
SELECT dyntable_create('low', 'SELECT id, scale(amount) AS amount FROM small', schedule => 'manual', refresh_mode => 'incremental');
SELECT dyntable_create('upper', 'SELECT count(*) AS n, sum(amount) AS total FROM low', schedule => 'manual', refresh_mode => 'incremental');
SELECT dyntable_create('moving', 'SELECT id FROM item WHERE now() > ''2020-01-01''::timestamptz + amount * interval ''1 day''', schedule => 'manual', refresh_mode => 'incremental');

-- statistics would have the next refresh look at all again
ALTER TABLE low SET (autovacuum_enabled = off);
ALTER TABLE upper SET (autovacuum_enabled = off);

-- A refresh, whether it wrote, and what low lacks or has too much.
CREATE FUNCTION refreshed(VARIADIC tables regclass[]) RETURNS TABLE (action text, writes boolean, missing bigint, unexpected bigint)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT string_agg(r.action, ' ' ORDER BY r.name::regclass::oid) INTO action FROM dyntable_refresh(VARIADIC tables) r;
    writes := pg_current_xact_id_if_assigned() IS NOT NULL;
    SELECT (SELECT count(*) FROM (SELECT id, scale(amount) FROM small EXCEPT ALL SELECT * FROM low) m),
           (SELECT count(*) FROM (SELECT * FROM low EXCEPT ALL SELECT id, scale(amount) FROM small) u) INTO missing, unexpected;
    RETURN NEXT;
END $$;
CREATE FUNCTION history(regclass) RETURNS TABLE (action text, repeats int, stored int, trigger text, counts boolean)
LANGUAGE sql AS $$
    SELECT h.refresh_action, h.repeats, s.repeats, h.refresh_trigger, h.refresh_end_time >= h.refresh_start_time
    FROM dyntable.refresh_history h JOIN dyntable.history s USING (id) WHERE h.relid = $1 ORDER BY id
$$;

-- the first that finds nothing is written, the next ones are not
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM history('low') WHERE action = 'NO_DATA';
SELECT * FROM history('upper') WHERE action = 'NO_DATA';

-- they count as refreshes: the data timestamp moves, and what is shown of the last one
SELECT clock_timestamp() AS before \gset
SELECT * FROM refreshed('low', 'upper');
SELECT name, data_timestamp >= :'before', last_refresh_action, last_refresh_end_time >= :'before', last_refresh_end_time >= data_timestamp
FROM dyntable.dynamic_tables WHERE schema_name = 'idle' AND name IN ('low', 'upper') ORDER BY name;
SELECT name, action, data_timestamp >= :'before', rows_inserted, rows_updated, rows_deleted, reason FROM dyntable_refresh('low', 'upper');
SELECT * FROM dyntable_verify('low');

-- where the clock has a part, each is written
SELECT * FROM refreshed('moving');
SELECT * FROM refreshed('moving');
SELECT * FROM refreshed('moving');

-- another table's changes are none
INSERT INTO other VALUES (1);
SELECT * FROM refreshed('low', 'upper');

-- a change is found, and what was counted is in the history then
INSERT INTO item VALUES (101, 7);
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM history('low') WHERE action = 'NO_DATA';
SELECT * FROM upper;

-- so is one that leaves nothing in the table, and one in the same transaction
UPDATE item SET amount = 99 WHERE id = 99;
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
BEGIN;
SELECT * FROM refreshed('low', 'upper');
DELETE FROM item WHERE id = 101;
SELECT * FROM refreshed('low', 'upper');
ROLLBACK;
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');

-- under REPEATABLE READ each is written
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM refreshed('low', 'upper');
COMMIT;
SELECT * FROM refreshed('low', 'upper');

-- a refresh in writing that is taken back leaves the count as it was
SELECT repeats AS counted FROM history('low') ORDER BY repeats DESC LIMIT 1 \gset
BEGIN;
INSERT INTO item VALUES (102, 8);
SELECT * FROM refreshed('low', 'upper');
ROLLBACK;
SELECT max(repeats) - :counted AS more FROM history('low');

-- nor does one at a moment of the session's choice count, which cannot be committed
BEGIN;
SET LOCAL dyntable.data_timestamp = '2001-01-01';
SELECT action FROM dyntable_refresh('low') WHERE name = 'low'::regclass;
ROLLBACK;
SELECT max(repeats) - :counted AS more FROM history('low');

-- EXPLAIN of the next one is not a refresh
SELECT line FROM dyntable_explain('low') line WHERE line LIKE 'next refresh%';
SELECT max(repeats) - :counted AS more FROM history('low');

-- what a definition rests on: each is noticed by the refresh after it, as ever
SELECT * FROM refreshed('low', 'upper');
CREATE OR REPLACE VIEW small AS SELECT id, amount FROM item WHERE amount <= 40;
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
CREATE OR REPLACE FUNCTION scale(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 3;
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT dyntable_alter('upper', query => 'SELECT count(*) AS n, sum(amount) + 1 AS total FROM low');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
TRUNCATE item;
SELECT * FROM refreshed('low', 'upper');
INSERT INTO item SELECT i, i FROM generate_series(1, 50) i;
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
ALTER TABLE item ADD COLUMN more text;
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');
SELECT * FROM refreshed('low', 'upper');

-- rights are asked for
CREATE ROLE dyntable_idle;
GRANT CREATE, USAGE ON SCHEMA idle TO dyntable_idle;
GRANT SELECT ON item TO dyntable_idle;
SET ROLE dyntable_idle;
SELECT dyntable_create('owned', 'SELECT id FROM item WHERE id > 10', schedule => 'manual', refresh_mode => 'incremental');
SELECT action FROM dyntable_refresh('owned');
SELECT action FROM dyntable_refresh('owned');
SELECT action FROM dyntable_refresh('owned');
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing FROM dyntable_refresh('owned');
RESET ROLE;
REVOKE SELECT ON item FROM dyntable_idle;
SET ROLE dyntable_idle;
\set VERBOSITY terse
SELECT action FROM dyntable_refresh('owned');
\set VERBOSITY default
RESET ROLE;
GRANT SELECT ON item TO PUBLIC;
SELECT action FROM dyntable_refresh('owned');
SELECT action FROM dyntable_refresh('owned');
REVOKE USAGE ON SCHEMA idle FROM dyntable_idle;
\set VERBOSITY terse
SELECT action FROM dyntable_refresh('owned');
\set VERBOSITY default

DROP SCHEMA idle CASCADE;
DROP OWNED BY dyntable_idle;
DROP ROLE dyntable_idle;
