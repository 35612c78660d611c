--
-- dyntable_exec: what is refused, and that errors point at the offending word.
--
SET client_min_messages = warning;
CREATE SCHEMA exec_bad;
SET search_path = exec_bad, public;
CREATE TABLE src (id int PRIMARY KEY, k text, v int);
SELECT dyntable_create('dt', 'SELECT id, k, v FROM src', '1 day');
SELECT dyntable_create('below', 'SELECT k, count(*) AS n FROM dt GROUP BY k', '1 day');

-- SQLSTATE, the command cut at the place that the error points at, message, detail and hint
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text;
    message text;
    detail text;
    hint text;
BEGIN
    PERFORM dyntable_exec(command);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || message || coalesce(E'\n    ' || nullif(detail, ''), '') || coalesce(E'\n    ' || nullif(hint, ''), '');
END
$$;
\pset format unaligned
\pset tuples_only on
SELECT command || E'\n    ' || attempt(command) FROM (VALUES
    -- words
    (''), (' ; -- nothing'), ('CREATE'), ('CREATE DYNAMIC'), ('CREATE DYNAMIC TABLE'), ('DYNAMIC TABLE dt'), ('nonsense'),
    ('CREATE DYNAMIC TABLE x TARGET_LAG'), ('CREATE DYNAMIC TABLE x TARGET_LAG ='), ('CREATE DYNAMIC TABLE x TARGET_LAG = 5'),
    ('CREATE DYNAMIC TABLE x TARGET_LAG = ''1 day'''), ('CREATE DYNAMIC TABLE x TARGET_LAG = ''1 day'' AS'), ('CREATE DYNAMIC TABLE x AS ; SELECT 1'),
    ('CREATE DYNAMIC TABLE ''x'' AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE a.b.c.d AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE IDENTIFIER($x) AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE ' || repeat('x', 70) || ' AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x COMMENT = "y" AS SELECT 1 AS a'),
    ('CREATE OR REPLACE DYNAMIC TABLE IF NOT EXISTS x AS SELECT 1 AS a'), ('CREATE OR ALTER DYNAMIC TABLE IF NOT EXISTS x AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x COMMENT = ''unclosed AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x FROZEN WHERE (a > 1 AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x FROZEN WHERE () AS SELECT 1 AS a'), ('ALTER DYNAMIC TABLE dt SUSPEND now'), ('ALTER DYNAMIC TABLE dt'), ('ALTER DYNAMIC TABLE dt SET'),
    -- parameters
    ('CREATE DYNAMIC TABLE x TARGET_LAGG = ''1 day'' AS SELECT 1 AS a'), ('ALTER DYNAMIC TABLE dt SET TARGETLAG = ''1 day'''), ('ALTER DYNAMIC TABLE dt UNSET NONSENSE'),
    ('CREATE DYNAMIC TABLE x TARGET_LAG = ''1 day'' COMMENT = ''a'' TARGET_LAG = ''2 days'' AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x TARGET_LAG = ''50 milliseconds'' AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x TARGET_LAG = ''soon'' AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x TARGET_LAG = ''2 months'' AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x TARGET_LAG = NEVER AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x TARGET_LAG = ''1 day'' WAREHOUSE = nowhere AS SELECT 1 AS a'), ('ALTER DYNAMIC TABLE dt SET WAREHOUSE = nowhere'),
    ('CREATE DYNAMIC TABLE x SCHEDULE = ''61 * * * *'' AS SELECT 1 AS a'), ('ALTER DYNAMIC TABLE dt SET SCHEDULE = ''often'''),
    ('CREATE DYNAMIC TABLE x TARGET_LAG = ''1 day'' SCHEDULE = ''* * * * *'' AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x SCHEDULE = ''* * * * *'' TARGET_LAG = ''1 day'' AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x TARGET_LAG = ''1 day'' SCHEDULER = DISABLE AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x SCHEDULER = MAYBE AS SELECT 1 AS a'), ('ALTER DYNAMIC TABLE dt SET SCHEDULER = ENABLE'),
    ('CREATE DYNAMIC TABLE x REFRESH_MODE = QUICK AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x INITIALIZE = LATER AS SELECT 1 AS a'), ('ALTER DYNAMIC TABLE dt SET INITIALIZE = ON_CREATE'),
    ('CREATE DYNAMIC TABLE x ROW_TIMESTAMP = TRUE AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x ROW_TIMESTAMP = PERHAPS AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x REFRESH_MODE = CUSTOM_INCREMENTAL AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x (a int) REFRESH USING (MERGE INTO SELF USING src ON true WHEN MATCHED THEN DELETE)'),
    ('CREATE DYNAMIC TABLE x EXECUTE AS USER bob AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x REQUIRE USER AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x START AT (TIMESTAMP => now()) AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x ROW ACCESS POLICY p ON (a) AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x STORAGE LIFECYCLE POLICY p ON (a) AS SELECT 1 AS a'), ('CREATE DYNAMIC ICEBERG TABLE x AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x FROM BACKUP SET b'),
    ('CREATE OR ALTER DYNAMIC TABLE dt BACKFILL FROM src AS SELECT id, k, v FROM src'),
    -- the list of columns
    ('CREATE DYNAMIC TABLE x (a, b) AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x (a number(10)) AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x (a text NOT NULL) AS SELECT 1 AS a'),
    ('CREATE DYNAMIC TABLE x (a int MASKING POLICY m) AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x (a, a) AS SELECT 1, 2'), ('CREATE DYNAMIC TABLE x (a,) AS SELECT 1, 2'), ('CREATE DYNAMIC TABLE x () AS SELECT 1, 2'),
    ('ALTER DYNAMIC TABLE dt ALTER COLUMN nope COMMENT ''x'''), ('ALTER DYNAMIC TABLE dt ALTER COLUMN id'), ('CREATE DYNAMIC TABLE x CLUSTER BY (nope) AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE x CLUSTER BY () AS SELECT 1 AS a'),
    -- what exists, what does not, what is no dynamic table
    ('CREATE DYNAMIC TABLE dt AS SELECT 1 AS a'), ('CREATE OR REPLACE DYNAMIC TABLE src AS SELECT 1 AS a'), ('CREATE OR ALTER DYNAMIC TABLE src AS SELECT 1 AS a'), ('CREATE DYNAMIC TABLE nowhere.x AS SELECT 1 AS a'),
    ('ALTER DYNAMIC TABLE nowhere REFRESH'), ('ALTER DYNAMIC TABLE src REFRESH'), ('ALTER DYNAMIC TABLE src SUSPEND'), ('ALTER DYNAMIC TABLE src SET COMMENT = ''x'''), ('ALTER DYNAMIC TABLE src RENAME TO x'),
    ('ALTER DYNAMIC TABLE dt RENAME TO below'), ('ALTER DYNAMIC TABLE dt RENAME TO nowhere.dt'), ('DROP DYNAMIC TABLE nowhere'), ('DROP DYNAMIC TABLE src'), ('DROP DYNAMIC TABLE dt'),
    ('DESCRIBE DYNAMIC TABLE src'), ('DESC DYNAMIC TABLE nowhere'), ('SHOW DYNAMIC TABLES IN DATABASE elsewhere'), ('SHOW DYNAMIC TABLES LIKE dt'), ('SHOW DYNAMIC TABLES LIMIT many'),
    ('CREATE DYNAMIC TABLE x CLONE nowhere'), ('CREATE DYNAMIC TABLE x CLONE src'), ('CREATE DYNAMIC TABLE below CLONE dt'), ('CREATE OR REPLACE DYNAMIC TABLE dt CLONE dt'), ('CREATE OR ALTER DYNAMIC TABLE x CLONE dt'),
    ('CREATE DYNAMIC TABLE x CLONE dt AT (OFFSET => -60)'), ('CREATE DYNAMIC TABLE x CLONE dt AS SELECT 1 AS a'),
    ('ALTER DYNAMIC TABLE dt SWAP WITH dt'), ('ALTER DYNAMIC TABLE dt SWAP WITH src'), ('ALTER DYNAMIC TABLE dt SWAP WITH nowhere'), ('ALTER DYNAMIC TABLE dt SWAP below'),
    -- names given twice, several names
    ('ALTER DYNAMIC TABLE dt, exec_bad.dt REFRESH'), ('ALTER DYNAMIC TABLE dt, below SET COMMENT = ''x'''), ('ALTER DYNAMIC TABLE dt, below RENAME TO x'),
    -- what is altered otherwise
    ('ALTER DYNAMIC TABLE dt AS SELECT 1 AS a'), ('ALTER DYNAMIC TABLE dt OWNER TO bob'), ('ALTER DYNAMIC TABLE dt ADD CONSTRAINT c PRIMARY KEY (id)'), ('ALTER DYNAMIC TABLE dt ADD COLUMN c int'),
    ('ALTER DYNAMIC TABLE dt ADD ROW ACCESS POLICY p ON (id)'), ('ALTER DYNAMIC TABLE dt FLY'), ('ALTER DYNAMIC TABLE dt SET CLUSTER BY (k)'), ('UNDROP DYNAMIC TABLE dt'),
    -- statements of others
    ('USE ROLE sysadmin'), ('USE WAREHOUSE compute_wh'), ('USE DATABASE IDENTIFIER($dw_database)'), ('USE SCHEMA staging'), ('SET dw_database = (SELECT get_dw_database())'), ('UNSET x'),
    ('CREATE TASK t SCHEDULE = ''5 minutes'' AS SELECT 1'), ('CREATE OR REPLACE TASK t AS SELECT 1'), ('CREATE STREAM s ON TABLE t'), ('CREATE ALERT a'), ('CREATE TABLE t (a int)'), ('CREATE OR REPLACE TABLE t AS SELECT 1'),
    ('SHOW TABLES'), ('DESC TABLE t'), ('ALTER TABLE t ADD a int'), ('GRANT SELECT ON DYNAMIC TABLE dt TO ROLE r'), ('EXPLAIN CHANGES ALTER DYNAMIC TABLE dt REFRESH'), ('SELECT 1'), ('INSERT INTO dt VALUES (1)')
) v (command);
SELECT attempt(NULL);
\pset tuples_only off
\pset format aligned

-- The place in the command, also in the query, in a long list and behind other characters
SELECT dyntable_exec('CREATE DYNAMIC TABLE x
    TARGET_LAG = ''1 day'' COMMENT = ''größer''
    WAREHOUSE = nowhere
AS SELECT id FROM src');
SELECT dyntable_exec('CREATE DYNAMIC TABLE x COMMENT = ''größer'' AS
SELECT id, NVL(v, 0) AS v
FROM src');
SELECT dyntable_exec('CREATE DYNAMIC TABLE x COMMENT = ''größer'' AS
SELECT id FROM src QUALIFY row_number() OVER () = 1');
SELECT dyntable_exec('CREATE DYNAMIC TABLE x (a, b text) COMMENT = ''größer'' AS
SELECT id, nope FROM src');
SELECT dyntable_exec('CREATE DYNAMIC TABLE x (a, b boolean[]) AS
SELECT id, v FROM src');
SELECT dyntable_exec('ALTER DYNAMIC TABLE dt REFRESH;
ALTER DYNAMIC TABLE below SUSPENDED;');
SELECT dyntable_exec('CREATE OR ALTER DYNAMIC TABLE dt TARGET_LAG = ''1 day'' AS SELECT id, k, nope FROM src');

-- Resume below a suspended table
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE dt SUSPEND');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE below RESUME');

-- Nothing has changed
SELECT name, target_lag, comment FROM dyntable.dynamic_tables WHERE schema_name = 'exec_bad' ORDER BY name;
DROP SCHEMA exec_bad CASCADE;
