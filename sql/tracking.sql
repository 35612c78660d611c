--
-- dyntable_track: a source's owner lets others build on it.
--
CREATE SCHEMA tracking;
SET search_path = tracking, public;
CREATE ROLE regress_dyn_owner;
CREATE ROLE regress_dyn_builder;
CREATE ROLE regress_dyn_other;
GRANT USAGE, CREATE ON SCHEMA tracking TO regress_dyn_owner, regress_dyn_builder, regress_dyn_other;
CREATE TABLE source (id int PRIMARY KEY, v int);
INSERT INTO source SELECT i, i FROM generate_series(1, 5) i;
ALTER TABLE source OWNER TO regress_dyn_owner;
GRANT SELECT ON source TO regress_dyn_builder, regress_dyn_other;
-- Waits until a source is out of capture.
CREATE PROCEDURE wait_released(source regclass) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..600 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM dyntable.source s WHERE s.relid = wait_released.source);
        PERFORM pg_sleep(0.05);
        COMMIT;
    END LOOP;
END $$;

SET ROLE regress_dyn_builder;
SELECT dyntable_create('built', 'SELECT id, v FROM source WHERE v > 1', target_lag => '1 day');
SELECT dyntable_track('source');
RESET ROLE;
SET ROLE regress_dyn_owner;
SELECT dyntable_track('source', 'regress_dyn_builder');
RESET ROLE;
SELECT relreplident FROM pg_class WHERE oid = 'source'::regclass;
SET ROLE regress_dyn_other;
SELECT dyntable_create('not_built', 'SELECT id, v FROM source', target_lag => '1 day', refresh_mode => 'incremental');
SET ROLE regress_dyn_builder;
SELECT dyntable_create('built', 'SELECT id, v FROM source WHERE v > 1', target_lag => '1 day', refresh_mode => 'incremental');
RESET ROLE;
UPDATE source SET v = v + 10 WHERE id = 1;
SELECT action, rows_inserted FROM dyntable_refresh('built');
SELECT * FROM dyntable_verify('built');
-- It stays under capture when nobody reads it
SELECT dyntable_drop('built');
SET ROLE regress_dyn_builder;
SELECT dyntable_create('built', 'SELECT id, v FROM source', target_lag => '1 day', refresh_mode => 'incremental');
RESET ROLE;
-- It is not let go while somebody does
SET ROLE regress_dyn_owner;
SELECT dyntable_untrack('source');
RESET ROLE;
SELECT dyntable_drop('built');
SET ROLE regress_dyn_builder;
SELECT dyntable_untrack('source');
RESET ROLE;
SET ROLE regress_dyn_owner;
SELECT dyntable_untrack('source');
SELECT dyntable_untrack('source');
RESET ROLE;
CALL wait_released('source');
SELECT relreplident FROM pg_class WHERE oid = 'source'::regclass;
-- For all who may read it
SET ROLE regress_dyn_owner;
SELECT dyntable_track('source');
SELECT dyntable_track('source');
RESET ROLE;
SET ROLE regress_dyn_other;
SELECT dyntable_create('built', 'SELECT id, v FROM source', target_lag => '1 day', refresh_mode => 'incremental');
RESET ROLE;
DELETE FROM source WHERE id = 5;
SELECT action, rows_deleted FROM dyntable_refresh('built');
SELECT * FROM dyntable_verify('built');
-- Made and tracked in one transaction: from its commit on
BEGIN;
CREATE TABLE fresh AS SELECT 1 AS a;
SELECT dyntable_track('fresh');
COMMIT;
SELECT dyntable_create('on_fresh', 'SELECT a FROM fresh', target_lag => '1 day');
INSERT INTO fresh VALUES (2);
SELECT count(*) FROM dyntable_refresh('on_fresh');
SELECT * FROM dyntable_verify('on_fresh');
-- Not everything can be tracked
CREATE VIEW seen AS SELECT 1 AS a;
SELECT dyntable_track('seen');
CREATE UNLOGGED TABLE unlogged (a int);
SELECT dyntable_track('unlogged');
SELECT dyntable_track('built');
SELECT dyntable_track(NULL);
SELECT dyntable_untrack('fresh');
SELECT dyntable_drop('on_fresh'), dyntable_drop('built');
DROP TABLE fresh, source;
SET client_min_messages = warning;
DROP SCHEMA tracking CASCADE;
DROP ROLE regress_dyn_owner, regress_dyn_builder, regress_dyn_other;
