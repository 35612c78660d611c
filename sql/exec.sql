--
-- dyntable_exec: every statement that it takes.  exec_guide has those of the guide.
--
SET client_min_messages = notice;
CREATE SCHEMA exec;
SET search_path = exec, public;
CREATE TABLE src (id int PRIMARY KEY, k text, v int, at timestamptz NOT NULL DEFAULT now());
INSERT INTO src SELECT i, 'k' || i % 3, i FROM generate_series(1, 9) i;
-- what the catalog has of a table
CREATE FUNCTION state(relation regclass) RETURNS TABLE (lag text, cron text, mode text, init text, warehouse text, state text, reason text, comment text)
LANGUAGE sql AS $$
    SELECT target_lag, schedule, requested_refresh_mode, initialize, warehouse_name, scheduling_state, scheduling_state_reason, d.comment
    FROM dyntable.dynamic_tables d WHERE relid = relation
$$;

-- CREATE: parameters in any order, comments, a semicolon
SELECT status, detail - 'database_name' AS detail FROM dyntable_exec($$
    /* the first */ CREATE DYNAMIC TABLE exec.One
        WAREHOUSE = "default"
        COMMENT = 'it''s one'
        INITIALIZE = ON_SCHEDULE
        REFRESH_MODE = INCREMENTAL
        TARGET_LAG = '5 minutes' -- often
    AS SELECT id, k, v FROM src WHERE v > 2;
$$);
SELECT * FROM state('one');
-- names fold as everywhere; values may be words or strings
SELECT status FROM dyntable_exec('create dynamic table "Two" target_lag = downstream refresh_mode = ''AUTO'' initialize = ''on_create'' as select k, count(*) as n from one group by k');
SELECT * FROM state('"Two"');
SELECT status FROM dyntable_exec($$CREATE DYNAMIC TABLE three TARGET_LAG = 'DOWNSTREAM' REFRESH_MODE = ADAPTIVE AS (SELECT id FROM src)$$);
SELECT * FROM state('three');
-- all units of a lag
SELECT u, detail -> 'target_lag' AS lag FROM unnest(ARRAY['seconds', 'minutes', 'hours', 'days']) u, dyntable_exec(format('ALTER DYNAMIC TABLE three SET TARGET_LAG = ''2 %s''', u));
-- a cron expression
SELECT status FROM dyntable_exec($$CREATE OR REPLACE DYNAMIC TABLE three SCHEDULE = '0 2 * * *' AS (SELECT id FROM src)$$);
SELECT * FROM state('three');
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE three SET TARGET_LAG = '1 hour', COMMENT = 'hourly'$$);
SELECT * FROM state('three');
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE three UNSET COMMENT, TARGET_LAG$$);
SELECT * FROM state('three');

-- What has no meaning here is accepted, with a notice
SELECT status FROM dyntable_exec($$CREATE OR REPLACE TRANSIENT DYNAMIC TABLE three
    TARGET_LAG = '1 hour' DATA_RETENTION_TIME_IN_DAYS = 1 MAX_DATA_EXTENSION_TIME_IN_DAYS = 14 CHANGE_TRACKING = TRUE
    COPY GRANTS COPY TAGS WITH TAG (a.cost_center = 'x', b = 'y') LOG_LEVEL = INFO DEFAULT_DDL_COLLATION = 'en-ci' ROW_TIMESTAMP = FALSE
    AS SELECT id FROM src$$);
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE three SET DATA_RETENTION_TIME_IN_DAYS = 0$$);
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE three SET TAG a.cost_center = 'x', b = 'y'$$);
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE three UNSET MAX_DATA_EXTENSION_TIME_IN_DAYS, TAG a, b$$);
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE three SUSPEND RECLUSTER$$);
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE three ADD SEARCH OPTIMIZATION ON EQUALITY(id)$$);

-- IF NOT EXISTS, OR REPLACE, OR ALTER
SELECT status FROM dyntable_exec('CREATE DYNAMIC TABLE IF NOT EXISTS three TARGET_LAG = ''1 day'' AS SELECT 1 AS other');
SELECT 'three'::regclass::oid AS before \gset
GRANT SELECT ON three TO PUBLIC;
SELECT status, detail -> 'rows_inserted' AS inserted, detail -> 'rows_deleted' AS deleted FROM dyntable_exec($$
    CREATE OR ALTER DYNAMIC TABLE three TARGET_LAG = '1 day' AS SELECT id, v FROM src WHERE v < 5;
    ALTER DYNAMIC TABLE three REFRESH$$);
SELECT 'three'::regclass::oid = :before AS kept, * FROM state('three');
SELECT * FROM three ORDER BY id;
SELECT has_table_privilege('public', 'three', 'SELECT');
SELECT status FROM dyntable_exec('CREATE OR ALTER DYNAMIC TABLE four TARGET_LAG = ''1 day'' AS SELECT id FROM src');

-- A list of columns names, casts and comments
SELECT status FROM dyntable_exec($$CREATE DYNAMIC TABLE columns (id COMMENT 'the key', "Key" varchar(10), total numeric(10, 2) COMMENT 'in all')
    TARGET_LAG = '1 day' AS SELECT id, k, v * 1.5 FROM src$$);
SELECT status, detail - 'kind' AS detail FROM dyntable_exec('DESCRIBE DYNAMIC TABLE columns');
SELECT * FROM columns ORDER BY id LIMIT 2;
SELECT query FROM dyntable.dynamic_tables WHERE name = 'columns';
-- one that says what the query says leaves it alone
SELECT status FROM dyntable_exec($$CREATE OR REPLACE DYNAMIC TABLE four (id COMMENT 'key') TARGET_LAG = '1 day' AS SELECT id FROM src$$);
SELECT query, col_description(relid, 1) FROM dyntable.dynamic_tables WHERE name = 'four';
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE columns ALTER COLUMN id COMMENT 'number', COLUMN total COMMENT 'sum'$$);
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE columns MODIFY (COLUMN id UNSET COMMENT, "Key" COMMENT 'word')$$);
SELECT status, detail ->> 'comment' AS comment FROM dyntable_exec('DESC DYNAMIC TABLE exec.columns');
SELECT name, missing, unexpected FROM dyntable_verify('columns'), dyntable.dynamic_tables WHERE name = 'columns';

-- CLUSTER BY is the index that CLUSTER goes by
SELECT status FROM dyntable_exec($$CREATE DYNAMIC TABLE clustered TARGET_LAG = '1 day' CLUSTER BY (k, v % 10) AS SELECT id, k, v FROM src$$);
SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'clustered'::regclass AND indisclustered;
CLUSTER clustered;
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE clustered CLUSTER BY (v)$$);
SELECT detail -> 'cluster_by' AS cluster_by FROM dyntable_exec('SHOW DYNAMIC TABLES LIKE ''clustered''');
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE clustered DROP CLUSTERING KEY$$);
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'clustered'::regclass ORDER BY 1;

-- REFRESH: what it reads first, and several tables at one data timestamp
INSERT INTO src VALUES (20, 'k1', 20);
SELECT status, detail ->> 'name' AS name, detail ->> 'action' AS action FROM dyntable_exec('ALTER DYNAMIC TABLE "Two" REFRESH');
SELECT count(*), count(DISTINCT detail -> 'data_timestamp') FROM dyntable_exec('ALTER DYNAMIC TABLE "Two", three, exec.four REFRESH');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE IF EXISTS nowhere, four REFRESH COPY SESSION');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE IF EXISTS nowhere REFRESH');

-- SUSPEND and RESUME
SELECT status, detail -> 'scheduling_state' AS state FROM dyntable_exec('ALTER DYNAMIC TABLE one SUSPEND');
SELECT state, reason FROM state('"Two"');
SELECT status, detail -> 'scheduling_state' AS state FROM dyntable_exec('ALTER DYNAMIC TABLE one RESUME');
SELECT state, reason FROM state('"Two"');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE three, four SUSPEND');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE IF EXISTS nowhere, three, four RESUME');

-- SHOW
SELECT status, array_agg(key ORDER BY key) AS columns FROM dyntable_exec('SHOW DYNAMIC TABLES LIKE ''one'''), jsonb_object_keys(detail) key GROUP BY status;
SELECT detail ->> 'name' AS name, detail ->> 'target_lag' AS lag, detail ->> 'scheduling_state' AS state, detail ->> 'text' AS text
FROM dyntable_exec('SHOW DYNAMIC TABLES LIKE ''T%'' IN SCHEMA exec');
SELECT status FROM dyntable_exec('SHOW DYNAMIC TABLES IN exec LIMIT 2');
SELECT status FROM dyntable_exec('SHOW TERSE DYNAMIC TABLES IN SCHEMA LIMIT 2 FROM ''columns''');
SELECT status FROM dyntable_exec('SHOW DYNAMIC TABLES IN DATABASE STARTS WITH ''T''');
SELECT status FROM dyntable_exec('SHOW DYNAMIC TABLES IN ACCOUNT STARTS WITH ''thr''');
SELECT status FROM dyntable_exec(format('SHOW DYNAMIC TABLES IN SCHEMA %I.exec STARTS WITH ''on''', current_database()));
SELECT count(*) FROM dyntable_exec('SHOW DYNAMIC TABLES LIKE ''nothing'' IN SCHEMA public');

-- RENAME, also into another schema
SELECT status, detail -> 'name' AS name FROM dyntable_exec('ALTER DYNAMIC TABLE four RENAME TO "Four"');
SELECT status, detail -> 'schema_name' AS schema FROM dyntable_exec('ALTER DYNAMIC TABLE "Four" RENAME TO public.four');
SELECT status, detail -> 'schema_name' AS schema FROM dyntable_exec('ALTER DYNAMIC TABLE IF EXISTS four RENAME TO exec.four');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE IF EXISTS nowhere RENAME TO somewhere');

-- SWAP and CLONE
CREATE VIEW figures AS SELECT 'three' AS name, count(*) FROM three UNION ALL SELECT 'columns', count(*) FROM columns;
SELECT status, detail -> 'target_lag' AS lag FROM dyntable_exec('ALTER DYNAMIC TABLE three SWAP WITH columns');
SELECT 'columns'::regclass::oid = :before AS swapped;
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE columns SWAP WITH exec.three');
SELECT status, detail -> 'scheduling_state' AS state FROM dyntable_exec('CREATE DYNAMIC TABLE copy CLONE three');
SELECT count(*) FROM copy;
SELECT status FROM dyntable_exec($$CREATE DYNAMIC TABLE IF NOT EXISTS copy CLONE three$$);
SELECT status FROM dyntable_exec($$CREATE OR REPLACE DYNAMIC TABLE copy CLONE columns COPY GRANTS TARGET_LAG = '3 hours' WAREHOUSE = "default" COMMENT = 'copied'$$);
SELECT lag, state, reason, comment FROM state('copy');
SELECT count(*) FROM copy;
-- COPY GRANTS, where a table is made anew
GRANT SELECT, REFERENCES ON copy TO PUBLIC;
SELECT status FROM dyntable_exec($$CREATE OR REPLACE DYNAMIC TABLE copy CLONE three COPY GRANTS$$);
SELECT has_table_privilege('public', 'copy', 'SELECT') AS kept;
SELECT status FROM dyntable_exec($$CREATE OR REPLACE DYNAMIC TABLE copy COPY GRANTS TARGET_LAG = '1 day' AS SELECT k::char(3) AS id FROM src$$);
SELECT has_table_privilege('public', 'copy', 'SELECT') AS kept;
SELECT status FROM dyntable_exec($$CREATE OR REPLACE DYNAMIC TABLE copy CLONE columns$$);
SELECT has_table_privilege('public', 'copy', 'SELECT') AS kept;

-- FROZEN WHERE, BACKFILL FROM and boundaries
CREATE TABLE kept AS SELECT id, 'kept' AS k, v FROM src WHERE id < 4;
SELECT status FROM dyntable_exec($$CREATE DYNAMIC TABLE frozen TARGET_LAG = '1 day' FROZEN WHERE (id < 4) BACKFILL FROM exec.kept AS SELECT id, k, v FROM src$$);
SELECT k, count(*) FROM frozen GROUP BY k ORDER BY k;
SELECT detail -> 'immutable_where' AS immutable_where FROM dyntable_exec('SHOW DYNAMIC TABLES LIKE ''frozen''');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE frozen SET IMMUTABLE WHERE (id < 6)');
SELECT dyntable_get_ddl('frozen');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE frozen UNSET FROZEN WHERE');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE frozen SET FROZEN WHERE (id < (SELECT 3))');
SELECT status FROM dyntable_exec('CREATE DYNAMIC TABLE frozen_groups FROZEN WHERE (n > 3) AS SELECT k, count(*) AS n FROM src GROUP BY k');
SELECT status FROM dyntable_exec('CREATE DYNAMIC TABLE frozen_nothing FROZEN WHERE (id < 3 AND nothing = 1) AS SELECT id FROM src');
SELECT status FROM dyntable_exec('CREATE DYNAMIC TABLE frozen_fill BACKFILL FROM nowhere AS SELECT id FROM src');
SELECT status FROM dyntable_exec('CREATE DYNAMIC TABLE frozen_fill BACKFILL FROM src AT (OFFSET => -60) AS SELECT id FROM src');
SELECT status FROM dyntable_exec($$CREATE DYNAMIC TABLE aside TARGET_LAG = '1 day'
    AS SELECT f.id, c.total FROM DYNAMIC_TABLE_REFRESH_BOUNDARY(exec.frozen) f JOIN columns c USING (id)$$);
SELECT source_name, boundary FROM dyntable.dependencies WHERE name = 'aside' ORDER BY source_name;
SELECT dyntable_get_ddl('aside');
CREATE VIEW over_frozen AS SELECT id FROM frozen;
CREATE VIEW over_src AS SELECT id FROM src;
SELECT status FROM dyntable_exec($$CREATE DYNAMIC TABLE aside_view TARGET_LAG = '1 day'
    AS SELECT id FROM DYNAMIC_TABLE_REFRESH_BOUNDARY(over_frozen) JOIN DYNAMIC_TABLE_REFRESH_BOUNDARY(over_src) s USING (id)$$);
SELECT source_name, boundary FROM dyntable.dependencies WHERE name = 'aside_view' ORDER BY source_name;
SELECT detail -> 'name' AS name FROM dyntable_exec('ALTER DYNAMIC TABLE aside REFRESH');

-- Several statements, one after the other, all or none
SELECT status FROM dyntable_exec($$
    CREATE DYNAMIC TABLE five TARGET_LAG = '1 day' AS SELECT 'a;b' AS text, id FROM src;
    ALTER DYNAMIC TABLE five SET COMMENT = 'fifth';;
    ALTER DYNAMIC TABLE five SUSPEND
$$);
SELECT lag, state, comment FROM state('five');
SELECT status FROM dyntable_exec('DROP DYNAMIC TABLE five; DROP DYNAMIC TABLE nowhere');
SELECT 'five'::regclass;

-- DROP
SELECT status FROM dyntable_exec('DROP DYNAMIC TABLE five; DROP DYNAMIC TABLE IF EXISTS exec.five;');
SELECT status FROM dyntable_exec('DROP DYNAMIC TABLE one');
SELECT status FROM dyntable_exec('DROP DYNAMIC TABLE one, three CASCADE');
SELECT name FROM dyntable.dynamic_tables WHERE schema_name = 'exec' ORDER BY name;
SET client_min_messages = warning;
DROP SCHEMA exec CASCADE;
