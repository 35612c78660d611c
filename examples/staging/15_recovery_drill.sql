-- 15: a drill: what goes wrong, and the way out of it, one after another.
--
--     psql -f 15_recovery_drill.sql
--
-- In one transaction that is rolled back, so it can be run on a live system at a quiet
-- hour: it holds locks on the landing tables until it ends (some seconds), for which those who load and
-- scheduled refreshes wait.  Each step says what it has found; the first that is not as it should
-- be ends the drill with an error.
\set ON_ERROR_STOP on
\set QUIET on
\ir settle.sql
-- One snapshot from the first refresh on: so the window does not move while the drill compares.
BEGIN ISOLATION LEVEL REPEATABLE READ;
-- All at once, before anything is read: a refresh that has one of them already would be in the way of what follows.
LOCK TABLE ods_raw.ods_veterans_source, ods_raw.ods_evaluators_source, ods_raw.ods_facilities_source,
    ods_raw.ods_appointment_events_source, ods_raw.ods_qa_events_source IN ACCESS EXCLUSIVE MODE;
SELECT count(*) AS refreshed FROM dyntable_refresh(:layer) \gset
SET LOCAL client_min_messages = warning;
CREATE FUNCTION pg_temp.check(what text, fine boolean) RETURNS text
    LANGUAGE plpgsql AS $$
BEGIN
    IF fine IS NOT TRUE THEN
        RAISE EXCEPTION 'recovery drill: % is not so', what;
    END IF;
    RETURN 'drill: ' || what;
END
$$;
-- Content without the columns that say when a row was written.
CREATE FUNCTION pg_temp.content(t regclass) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    content text;
BEGIN
    EXECUTE format($q$SELECT count(*) || ' ' || coalesce(sum(hashtextextended((to_jsonb(t) - 'staging_processed_timestamp'
        - 'crosswalk_created_timestamp' - 'last_refresh_timestamp')::text, 0)), 0) FROM %s t$q$, t) INTO content;
    RETURN content;
END
$$;
CREATE FUNCTION pg_temp.right_now(t regclass) RETURNS boolean
    LANGUAGE sql RETURN (SELECT missing + unexpected = 0 FROM dyntable_verify(t));

-- The state before, and the definitions: what is to be kept in version control.
CREATE TEMP TABLE before ON COMMIT DROP AS
    SELECT relid, format('%I.%I', schema_name, name) AS name, pg_temp.content(relid) AS content, dyntable_get_ddl(relid) AS ddl
    FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'staging', 'warehouse');

SELECT name AS events FROM before WHERE name ~ '^staging.*appointment_events' \gset
SELECT name AS reviews FROM before WHERE name ~ '^staging.*qa_events' \gset

-- 1. A dynamic table is lost: its definition makes it again.
SELECT ddl, name, content FROM before WHERE name LIKE 'warehouse.agg%' \gset
DROP TABLE :name;
SELECT pg_temp.check('a dropped table is gone', to_regclass(:'name') IS NULL) \g (tuples_only=on)
:ddl
SELECT pg_temp.check('made again from its definition it has the same rows', pg_temp.content(:'name') = :'content') \g (tuples_only=on)

-- 2. A batch was wrong: taken out of the landing table, it is gone everywhere.
SELECT batch_id AS batch FROM ods_raw.ods_appointment_events_source
WHERE source_system = 'VEMS' AND ingestion_timestamp >= now() - interval '6 days' GROUP BY 1 ORDER BY count(*) DESC LIMIT 1 \gset
CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM ods_raw.ods_appointment_events_source WHERE batch_id = :'batch';
DELETE FROM ods_raw.ods_appointment_events_source WHERE batch_id = :'batch';
SELECT count(*) AS refreshed FROM dyntable_refresh(:layer) \gset
SELECT pg_temp.check('a wrong batch is gone from the facts', NOT EXISTS (
    SELECT FROM :events WHERE batch_id = :'batch')) \g (tuples_only=on)

-- 3. Delivered again it is back; no batch has to be reprocessed by name.
INSERT INTO ods_raw.ods_appointment_events_source SELECT * FROM kept;
SELECT count(*) AS refreshed FROM dyntable_refresh(:layer) \gset
SELECT pg_temp.check('delivered again it is back in ' || name, pg_temp.content(name::regclass) = content)
FROM before WHERE name ~ 'appointment_events' ORDER BY name \g (tuples_only=on)

-- 4. A landing table was emptied by mistake and restored.
CREATE TEMP TABLE saved ON COMMIT DROP AS SELECT * FROM ods_raw.ods_qa_events_source;
TRUNCATE ods_raw.ods_qa_events_source;
SELECT count(*) AS refreshed FROM dyntable_refresh(:layer) \gset
SELECT pg_temp.check('an emptied source empties what reads it', (SELECT count(*) = 0 FROM :reviews)) \g (tuples_only=on)
INSERT INTO ods_raw.ods_qa_events_source SELECT * FROM saved;
SELECT count(*) AS refreshed FROM dyntable_refresh(:layer) \gset
SELECT pg_temp.check('restored it fills it again: ' || name, pg_temp.content(name::regclass) = content)
FROM before WHERE name ~ 'qa_events' ORDER BY name \g (tuples_only=on)

-- 5. Bad data make a refresh fail: the rows stay, and go on when it is mended.
ALTER TABLE ods_raw.ods_facilities_source ADD COLUMN rate_text text DEFAULT '1';
SELECT dyntable_create('staging.dt_drill', 'SELECT source_system, source_record_id, ingestion_timestamp, rate_text::numeric AS rate FROM ods_raw.ods_facilities_source',
    'downstream') \g (tuples_only=on)
UPDATE ods_raw.ods_facilities_source SET rate_text = 'n/a' WHERE capacity = (SELECT max(capacity) FROM ods_raw.ods_facilities_source);
SAVEPOINT failing;
\set ON_ERROR_STOP off
SELECT * FROM dyntable_refresh('staging.dt_drill');
\set ON_ERROR_STOP on
\set code :LAST_ERROR_SQLSTATE
ROLLBACK TO failing;
SELECT pg_temp.check('bad data fail the refresh with 22P02', :'code' = '22P02') \g (tuples_only=on)
SELECT pg_temp.check('and the rows are as before', (SELECT count(*) > 0 AND min(rate) = 1 FROM staging.dt_drill)) \g (tuples_only=on)
UPDATE ods_raw.ods_facilities_source SET rate_text = '2' WHERE rate_text = 'n/a';
SELECT pg_temp.check('mended, it is right', pg_temp.right_now('staging.dt_drill')) \g (tuples_only=on)
SELECT pg_temp.check('and has the mended row', max(rate) = 2) FROM staging.dt_drill \g (tuples_only=on)

-- 6. In the end every table is what its query says.
SELECT pg_temp.check(count(*) || ' dynamic tables are what their queries say', bool_and(pg_temp.right_now(relid)))
FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'staging', 'warehouse') \g (tuples_only=on)
ROLLBACK;
\echo drill: all of it was rolled back
