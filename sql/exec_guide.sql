--
-- The statements of the guide about dynamic tables and warehouses, as they stand
-- there, within dyntable_exec's quotes.
--
SET client_min_messages = warning;
CREATE SCHEMA ods_raw;
CREATE SCHEMA reference;
CREATE SCHEMA staging;
CREATE TABLE ods_raw.ods_facilities_source (facility_id text, source_system text, facility_name text, ingestion_timestamp timestamptz DEFAULT now(), PRIMARY KEY (facility_id, source_system));
CREATE TABLE ods_raw.ods_events_source (event_id int PRIMARY KEY, facility_id text, kind text, score numeric(5, 2), ingestion_timestamp timestamptz DEFAULT now());
INSERT INTO ods_raw.ods_facilities_source SELECT 'F' || i, s, 'Facility ' || i FROM generate_series(1, 5) i, unnest(ARRAY['OMS', 'VEMS']) s WHERE i > 1 OR s = 'OMS';
INSERT INTO ods_raw.ods_events_source SELECT i, 'F' || i % 5 + 1, CASE WHEN i % 2 = 0 THEN 'APPOINTMENT' ELSE 'QA' END, 60 + i FROM generate_series(1, 20) i;

-- Step 1: variables of the session have no place; the error says what to write
SELECT status FROM dyntable_exec($$
-- Set database context
SET dw_database = (SELECT get_dw_database());
SET ods_database = (SELECT get_ods_database());
USE DATABASE IDENTIFIER($dw_database);
$$);
SELECT status FROM dyntable_exec('USE DATABASE IDENTIFIER($dw_database);');
-- Step 3
SELECT status FROM dyntable_exec('USE ROLE sysadmin;');
SELECT status FROM dyntable_exec('USE WAREHOUSE compute_wh;');
SELECT status FROM dyntable_exec('USE DATABASE <your_dw_database>;');

-- Step 2
SET client_min_messages = notice;
SELECT status FROM dyntable_exec($$
-- Create warehouse for Dynamic Tables
CREATE WAREHOUSE IF NOT EXISTS dt_compute_wh
    WAREHOUSE_SIZE = 'X-SMALL'
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE
    COMMENT = 'Dedicated warehouse for Dynamic Tables refresh operations';
$$);
SELECT name, auto_suspend, auto_resume, state, comment FROM dyntable.warehouses WHERE name = 'dt_compute_wh';
SELECT status FROM dyntable_exec('CREATE WAREHOUSE IF NOT EXISTS dt_compute_wh');
SELECT status FROM dyntable_exec($$
CREATE WAREHOUSE larger_warehouse MAX_CONCURRENCY_LEVEL = 4 SETTINGS = '{"work_mem": "128MB"}';
CREATE WAREHOUSE medium_warehouse WITH WAREHOUSE_SIZE = MEDIUM, MAX_CLUSTER_COUNT = 2;
$$);
SET client_min_messages = warning;

-- The tables: the words that scripts of this kind have, the queries in PostgreSQL's SQL
SELECT status, detail ->> 'refresh_mode' AS mode FROM dyntable_exec($$
CREATE OR REPLACE DYNAMIC TABLE REFERENCE.dt_crosswalk_facilities
    TARGET_LAG = '15 minutes'
    WAREHOUSE = dt_compute_wh
    REFRESH_MODE = AUTO
    INITIALIZE = ON_CREATE
    COMMENT = 'Facility matching between OMS and VEMS'
AS
WITH latest AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY source_system, facility_id ORDER BY ingestion_timestamp DESC) AS n
    FROM ODS_RAW.ods_facilities_source
    WHERE ingestion_timestamp >= now() - interval '7 days')
SELECT COALESCE(o.facility_id, v.facility_id) AS master_facility_id, o.facility_id AS oms_facility_id, v.facility_id AS vems_facility_id,
       COALESCE(o.facility_name, v.facility_name) AS facility_name
FROM (SELECT * FROM latest WHERE source_system = 'OMS' AND n = 1) o
FULL OUTER JOIN (SELECT * FROM latest WHERE source_system = 'VEMS' AND n = 1) v ON v.facility_id = o.facility_id;

CREATE OR REPLACE DYNAMIC TABLE STAGING.dt_stg_facilities
    TARGET_LAG = '30 minutes'
    WAREHOUSE = dt_compute_wh
AS SELECT master_facility_id, facility_name, oms_facility_id IS NOT NULL AND vems_facility_id IS NOT NULL AS in_both FROM REFERENCE.dt_crosswalk_facilities;

CREATE OR REPLACE DYNAMIC TABLE STAGING.dt_stg_fact_appointment_events
    TARGET_LAG = '20 minutes'
    WAREHOUSE = dt_compute_wh
AS SELECT e.event_id, f.master_facility_id, e.score FROM ODS_RAW.ods_events_source e
   LEFT JOIN REFERENCE.dt_crosswalk_facilities f ON f.master_facility_id = e.facility_id WHERE e.kind = 'APPOINTMENT';

CREATE OR REPLACE DYNAMIC TABLE STAGING.dt_stg_fact_qa_events
    TARGET_LAG = '30 minutes'
    WAREHOUSE = dt_compute_wh
AS SELECT event_id, facility_id, score FROM ODS_RAW.ods_events_source WHERE kind = 'QA';

CREATE OR REPLACE DYNAMIC TABLE STAGING.dt_vw_staging_dq_summary
    TARGET_LAG = '10 minutes'
    WAREHOUSE = dt_compute_wh
AS SELECT 'appointments' AS entity, count(*) AS total_records, avg(score) AS avg_dq_score FROM STAGING.dt_stg_fact_appointment_events
   UNION ALL SELECT 'qa', count(*), avg(score) FROM STAGING.dt_stg_fact_qa_events;
$$);

-- Step 5
INSERT INTO ods_raw.ods_events_source VALUES (21, 'F1', 'QA', 10);
SELECT status, (detail ->> 'rows_inserted')::int + (detail ->> 'rows_updated')::int AS changed FROM dyntable_exec($$
ALTER DYNAMIC TABLE REFERENCE.dt_crosswalk_facilities REFRESH;
$$);
SELECT count(*) > 0 AS refreshed FROM dyntable_exec($$
ALTER DYNAMIC TABLE STAGING.dt_stg_facilities REFRESH;
ALTER DYNAMIC TABLE STAGING.dt_stg_fact_appointment_events REFRESH;
ALTER DYNAMIC TABLE STAGING.dt_stg_fact_qa_events REFRESH;
ALTER DYNAMIC TABLE STAGING.dt_vw_staging_dq_summary REFRESH;
$$);
SELECT * FROM staging.dt_vw_staging_dq_summary ORDER BY entity;
SELECT * FROM dyntable_verify('staging.dt_vw_staging_dq_summary');

-- Pause, resume, refresh, another lag, another warehouse
SELECT status FROM dyntable_exec($$
-- Suspend refresh (useful during maintenance)
ALTER DYNAMIC TABLE STAGING.dt_stg_facilities SUSPEND;
$$);
SELECT scheduling_state, scheduling_state_reason FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT status FROM dyntable_exec($$
-- Resume refresh
ALTER DYNAMIC TABLE STAGING.dt_stg_facilities RESUME;
$$);
SELECT scheduling_state, scheduling_state_reason FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT status FROM dyntable_exec($$
-- Trigger immediate refresh (doesn't wait for TARGET_LAG)
ALTER DYNAMIC TABLE STAGING.dt_stg_facilities REFRESH;
$$) WHERE status LIKE '%dt_stg%';
SELECT status FROM dyntable_exec($$
-- Adjust freshness requirement
ALTER DYNAMIC TABLE STAGING.dt_stg_facilities
    SET TARGET_LAG = '15 minutes';
$$);
SELECT status FROM dyntable_exec($$
-- Move to larger warehouse if performance issues
ALTER DYNAMIC TABLE STAGING.dt_stg_facilities
    SET WAREHOUSE = larger_warehouse;
$$);
SELECT target_lag, warehouse_name FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT status FROM dyntable_exec($$
   ALTER DYNAMIC TABLE STAGING.dt_stg_facilities
       SET WAREHOUSE = medium_warehouse;
   ALTER DYNAMIC TABLE STAGING.dt_stg_facilities
       SET TARGET_LAG = '1 hour';  -- Was 30 minutes
$$);
SELECT target_lag, warehouse_name FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';

-- Phase 3: the guide names the table without its schema
SET search_path = staging, public;
SELECT status FROM dyntable_exec($$
   ALTER DYNAMIC TABLE dt_stg_facilities RENAME TO stg_facilities;
$$);
SELECT count(*) FROM stg_facilities;
SELECT status FROM dyntable_exec('SHOW DYNAMIC TABLES IN SCHEMA STAGING');
RESET search_path;
-- procedures and tables are dropped by themselves
SELECT status FROM dyntable_exec('DROP PROCEDURE IF EXISTS sp_merge_facilities_to_staging(VARCHAR);');
SELECT status FROM dyntable_exec('DROP TABLE IF EXISTS STAGING.stg_facilities;');

-- Warehouses
SELECT status FROM dyntable_exec('ALTER WAREHOUSE dt_compute_wh SET AUTO_RESUME = FALSE; ALTER WAREHOUSE dt_compute_wh SUSPEND');
SELECT status, detail ->> 'state' AS state FROM dyntable_exec('DESCRIBE WAREHOUSE dt_compute_wh');
SELECT status FROM dyntable_exec('ALTER WAREHOUSE IF EXISTS dt_compute_wh RESUME IF SUSPENDED');
SELECT status FROM dyntable_exec($$ALTER WAREHOUSE larger_warehouse SET MAX_CLUSTER_COUNT = 2 MAX_CONCURRENCY_LEVEL = 3, STATEMENT_TIMEOUT_IN_SECONDS = 600 AUTO_SUSPEND = NULL COMMENT = 'more'$$);
SELECT name, max_workers, settings, statement_timeout, auto_suspend, comment FROM dyntable.warehouses WHERE name = 'larger_warehouse';
SELECT status FROM dyntable_exec($$ALTER WAREHOUSE larger_warehouse UNSET SETTINGS, MAX_CLUSTER_COUNT, STATEMENT_TIMEOUT_IN_SECONDS$$);
SELECT name, max_workers, settings, statement_timeout, auto_suspend, comment FROM dyntable.warehouses WHERE name = 'larger_warehouse';
SELECT status FROM dyntable_exec($$ALTER WAREHOUSE larger_warehouse SET SETTINGS = '{"work_mem": "64MB"}'; CREATE OR REPLACE WAREHOUSE larger_warehouse SETTINGS = '{"random_page_cost": 1.1}'$$);
SELECT name, max_workers, settings, statement_timeout, auto_suspend, comment FROM dyntable.warehouses WHERE name = 'larger_warehouse';
SELECT status FROM dyntable_exec('CREATE OR ALTER WAREHOUSE another_wh MAX_WORKERS = 1; ALTER WAREHOUSE another_wh RENAME TO "Other"');
SELECT status, detail -> 'is_default' AS is_default FROM dyntable_exec('SHOW WAREHOUSES LIKE ''%warehouse''');
SELECT status FROM dyntable_exec('SHOW WAREHOUSES STARTS WITH ''O'' LIMIT 5');
SELECT status FROM dyntable_exec($$CREATE DYNAMIC TABLE staging.initial TARGET_LAG = '1 day' WAREHOUSE = medium_warehouse INITIALIZATION_WAREHOUSE = larger_warehouse AS SELECT event_id FROM ods_raw.ods_events_source$$);
SELECT warehouse_name, initialization_warehouse_name FROM dyntable.dynamic_tables WHERE name = 'initial';
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE staging.initial UNSET INITIALIZATION_WAREHOUSE$$);
SELECT warehouse_name, initialization_warehouse_name FROM dyntable.dynamic_tables WHERE name = 'initial';
-- by hand only
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE staging.initial SET SCHEDULER = DISABLE$$);
SELECT detail -> 'scheduler' AS scheduler, detail -> 'target_lag' AS lag FROM dyntable_exec('SHOW DYNAMIC TABLES LIKE ''initial''');
SELECT dyntable_get_ddl('staging.initial');
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE staging.initial SET SCHEDULER = ENABLE TARGET_LAG = '2 hours'$$);
SELECT detail -> 'scheduler' AS scheduler, detail -> 'target_lag' AS lag FROM dyntable_exec('SHOW DYNAMIC TABLES LIKE ''initial''');

-- What is wrong with warehouses
SELECT status FROM dyntable_exec('CREATE WAREHOUSE larger_warehouse');
SELECT status FROM dyntable_exec('CREATE WAREHOUSE x WAREHOUSE_SIZ = SMALL');
SELECT status FROM dyntable_exec('CREATE WAREHOUSE x AUTO_SUSPEND = 60 AUTO_SUSPEND = 70');
SELECT status FROM dyntable_exec('CREATE WAREHOUSE x AUTO_SUSPEND = soon');
SELECT status FROM dyntable_exec('CREATE WAREHOUSE x AUTO_RESUME = perhaps');
SELECT status FROM dyntable_exec('CREATE WAREHOUSE x SETTINGS = ''{"role": "postgres"}''');
SELECT status FROM dyntable_exec('ALTER WAREHOUSE nowhere RESUME');
SELECT status FROM dyntable_exec('ALTER WAREHOUSE medium_warehouse ABORT ALL QUERIES');
SELECT status FROM dyntable_exec('ALTER WAREHOUSE medium_warehouse GROW');
SELECT status FROM dyntable_exec('ALTER WAREHOUSE "default" RENAME TO x');
SELECT status FROM dyntable_exec('DROP WAREHOUSE nowhere');
SELECT status FROM dyntable_exec('DROP WAREHOUSE IF EXISTS nowhere');
SELECT status FROM dyntable_exec('DROP WAREHOUSE medium_warehouse');

SELECT count(*) FROM dyntable_exec('DROP DYNAMIC TABLE staging.initial, STAGING.dt_vw_staging_dq_summary, staging.stg_facilities, staging.dt_stg_fact_appointment_events, staging.dt_stg_fact_qa_events, reference.dt_crosswalk_facilities');
SELECT status FROM dyntable_exec('DROP WAREHOUSE medium_warehouse; DROP WAREHOUSE larger_warehouse; DROP WAREHOUSE dt_compute_wh; DROP WAREHOUSE IF EXISTS "Other"');
DROP SCHEMA ods_raw, reference, staging CASCADE;
