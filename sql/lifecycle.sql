--
-- The life of a dynamic table: what may be done to it and what not.
--
CREATE TABLE life_source (id int PRIMARY KEY, k int, v int);
INSERT INTO life_source SELECT i, i % 3, i FROM generate_series(1, 9) i;
SELECT dyntable_create('life_a', 'SELECT id, k, v FROM life_source WHERE v > 2',
                       target_lag => '1 day', comment => 'first');
SELECT dyntable_create('life_b', 'SELECT k, count(*) AS n, sum(v) AS total FROM life_a GROUP BY k',
                       target_lag => 'downstream');
SELECT dyntable_create('life_c', 'SELECT k, n FROM life_b WHERE n > 1', target_lag => '1 day');
SELECT * FROM life_b ORDER BY k;
SELECT obj_description('life_a'::regclass);

-- It is written by nobody
INSERT INTO life_a VALUES (1, 2, 3);
UPDATE life_a SET v = 0;
DELETE FROM life_a;
MERGE INTO life_a a USING life_source s ON a.id = s.id WHEN MATCHED THEN DELETE;
WITH w AS (DELETE FROM life_a RETURNING id) SELECT * FROM w;
TRUNCATE life_a;
COPY life_a FROM '/dev/null';
CREATE VIEW life_view AS SELECT * FROM life_a;
DELETE FROM life_view;
DROP VIEW life_view;

-- Its columns are those of its query
ALTER TABLE life_a ADD COLUMN x int;
ALTER TABLE life_a DROP COLUMN v;
ALTER TABLE life_a ALTER COLUMN v TYPE bigint;
ALTER TABLE life_a ALTER COLUMN v SET DEFAULT 1;
ALTER TABLE life_a RENAME COLUMN v TO w;
ALTER TABLE life_a SET UNLOGGED;
CREATE TABLE life_child () INHERITS (life_a);
CREATE RULE life_rule AS ON DELETE TO life_a DO INSTEAD NOTHING;

-- In all else it is a table like any other
ALTER TABLE life_a ADD PRIMARY KEY (id);
CREATE INDEX life_a_k ON life_a (k);
ALTER TABLE life_a SET (fillfactor = 90);
COMMENT ON TABLE life_a IS 'commented';
ANALYZE life_a;
CLUSTER life_a USING life_a_pkey;
UPDATE life_source SET v = v + 10 WHERE id <= 5;
SELECT name, action <> 'NO_DATA' AS changed, data_timestamp IS NOT NULL AS dated
FROM dyntable_refresh('life_c') WITH ORDINALITY r ORDER BY ordinality;
SELECT count(*) FROM life_a;
SELECT name, action FROM dyntable_refresh('life_c', 'life_b') WITH ORDINALITY r ORDER BY ordinality;
-- where the time of each went
SELECT string_agg(DISTINCT phase, ', ' ORDER BY phase) AS phases, bool_and(ms::numeric >= 0) AS timed,
       bool_and(ms::numeric > 0) FILTER (WHERE phase IN ('plan', 'bookkeeping')) AS worked
FROM dyntable.refresh_history, jsonb_each_text(phases) p(phase, ms)
WHERE name LIKE 'life%' AND state = 'SUCCEEDED';
SELECT count(*) AS untimed FROM dyntable.refresh_history WHERE name LIKE 'life%' AND state = 'SUCCEEDED' AND phases IS NULL;
SELECT * FROM dyntable_verify('life_c');

-- Renamed, moved, given to another
CREATE SCHEMA life_schema;
CREATE ROLE regress_dyn_life;
GRANT USAGE, CREATE ON SCHEMA life_schema TO regress_dyn_life;
ALTER TABLE life_a RENAME TO life_renamed;
ALTER TABLE life_renamed SET SCHEMA life_schema;
INSERT INTO life_source VALUES (20, 1, 20);
SELECT name, rows_inserted FROM dyntable_refresh('life_schema.life_renamed');
ALTER TABLE life_schema.life_renamed OWNER TO regress_dyn_life;
INSERT INTO life_source VALUES (21, 1, 21);
-- its owner may not read the source
SELECT name FROM dyntable_refresh('life_schema.life_renamed');
GRANT SELECT ON life_source TO regress_dyn_life;
SELECT name, rows_inserted FROM dyntable_refresh('life_schema.life_renamed');
SET ROLE regress_dyn_life;
SELECT name, action FROM dyntable_refresh('life_schema.life_renamed');
RESET ROLE;
ALTER TABLE life_schema.life_renamed OWNER TO CURRENT_USER;
ALTER TABLE life_schema.life_renamed SET SCHEMA public;
ALTER TABLE life_renamed RENAME TO life_a;
REVOKE SELECT ON life_source FROM regress_dyn_life;

-- Suspend and resume cascade; what the user suspended himself stays so
CREATE VIEW life_states AS
    SELECT relid, state, state_code FROM dyntable.dynamic_table WHERE relid::text LIKE 'life%';
SELECT dyntable_suspend('life_b', cascade => false);
SELECT * FROM life_states ORDER BY relid::text;
SELECT dyntable_resume('life_b');
SELECT dyntable_suspend('life_c');
SELECT dyntable_suspend('life_a');
SELECT * FROM life_states ORDER BY relid::text;
SELECT dyntable_resume('life_b');
SELECT dyntable_resume('life_a');
SELECT * FROM life_states ORDER BY relid::text;
SELECT dyntable_resume('life_c');
SELECT * FROM life_states ORDER BY relid::text;
SELECT dyntable_suspend('life_a');
SELECT count(*) > 0 AS refreshed FROM dyntable_refresh('life_c');
SELECT dyntable_resume('life_a');

-- Options
SELECT dyntable_alter('life_a', target_lag => '1 hour');
SELECT dyntable_alter('life_b', schedule => '*/5 * * * *');
SELECT dyntable_alter('life_c', refresh_mode => 'full', comment => 'last');
SELECT relid, target_lag, schedule, refresh_mode, incremental, reason_code
FROM dyntable.dynamic_table WHERE relid::text LIKE 'life%' ORDER BY relid::text;
SELECT obj_description('life_c'::regclass);
SELECT dyntable_alter('life_c', refresh_mode => 'auto', target_lag => 'downstream');
SELECT relid, target_lag, schedule, refresh_mode, incremental, reason_code
FROM dyntable.dynamic_table WHERE relid = 'life_c'::regclass;
SELECT * FROM dyntable_verify('life_c');

-- A changed query is applied by the next refresh
SELECT dyntable_alter('life_c', query => 'SELECT k, n, total FROM life_b WHERE n > 0');
SELECT * FROM dyntable_verify('life_c');
SELECT * FROM life_c ORDER BY k;

-- Creating again
SELECT dyntable_create('life_c', 'SELECT 1 AS other', if_not_exists => true);
SELECT dyntable_create('life_c', 'SELECT 1 AS other');
SELECT 'life_c'::regclass::oid AS before \gset
SELECT dyntable_create('life_c', 'SELECT k, n, total FROM life_b WHERE n > 0', or_replace => true,
                       target_lag => '2 days');
SELECT dyntable_create('life_c', 'SELECT k, n, total FROM life_b WHERE n > 1', or_replace => true);
SELECT 'life_c'::regclass::oid = :before AS kept;
SELECT * FROM dyntable_verify('life_c');
SELECT dyntable_create('life_c', 'SELECT k FROM life_b', or_replace => true);
SELECT 'life_c'::regclass::oid = :before AS kept;
SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'life_c'::regclass AND attnum > 0 AND NOT attisdropped;

-- Read only after the first fill
SELECT dyntable_create('life_later', 'SELECT count(*) AS n FROM life_source', initialize => 'on_schedule',
                       target_lag => 'downstream');
SELECT * FROM life_later;
EXPLAIN (COSTS OFF) SELECT * FROM life_later;
SELECT name, rows_inserted FROM dyntable_refresh('life_later');
SELECT * FROM life_later;

-- In a transaction: seen at once, gone with it
BEGIN;
INSERT INTO life_source VALUES (30, 0, 30);
SELECT dyntable_create('life_fixture', 'SELECT id, v FROM life_source WHERE id >= 30');
SELECT * FROM life_fixture;
UPDATE life_source SET v = 31 WHERE id = 30;
SELECT count(*) FROM dyntable_refresh('life_fixture');
SELECT * FROM life_fixture;
ROLLBACK;
SELECT to_regclass('life_fixture');
BEGIN;
SELECT count(*) > 0 AS refreshed FROM dyntable_refresh('life_c');
PREPARE TRANSACTION 'life';

-- Dropped by whatever way, nothing of it remains
DROP TABLE life_source;
DROP EXTENSION dyntable;
SELECT dyntable_drop('life_later');
SELECT dyntable_drop('life_b');
SELECT dyntable_drop('life_b', cascade => true);
CREATE TABLE life_owned_source (id int PRIMARY KEY);
ALTER TABLE life_owned_source OWNER TO regress_dyn_life;
GRANT USAGE ON SCHEMA public TO regress_dyn_life;
SET ROLE regress_dyn_life;
SELECT dyntable_create('life_schema.life_owned', 'SELECT id FROM public.life_owned_source');
RESET ROLE;
SELECT dyntable_create('life_schema.life_schemed', 'SELECT id FROM life_owned_source');
DROP OWNED BY regress_dyn_life CASCADE;
SELECT relid FROM dyntable.dynamic_table WHERE relid::text LIKE 'life%';
SELECT dyntable_create('life_schema.life_schemed', 'SELECT id FROM life_source');
DROP SCHEMA life_schema CASCADE;
DROP TABLE life_source CASCADE;
SELECT relid FROM dyntable.dynamic_table WHERE relid::text LIKE 'life%';
SELECT 'position', relid FROM dyntable.position WHERE relid NOT IN (SELECT relid FROM dyntable.dynamic_table)
UNION ALL
SELECT 'edge', relid FROM dyntable.edge WHERE relid NOT IN (SELECT relid FROM dyntable.dynamic_table)
UNION ALL
SELECT 'stage', relid FROM dyntable.stage WHERE relid NOT IN (SELECT relid FROM dyntable.dynamic_table)
UNION ALL
SELECT relname, oid FROM pg_class WHERE relnamespace = 'dyntable'::regnamespace AND relkind = 'r'
    AND relname LIKE 'stage\_%' AND oid NOT IN (SELECT stage FROM dyntable.stage);
DROP VIEW life_states;
DROP ROLE regress_dyn_life;
