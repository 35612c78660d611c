-- The guide, "Implementation Steps"

--# 3.1 Prerequisite: edition
--: Dynamic Tables require Enterprise Edition or higher
SELECT default_version FROM pg_available_extensions WHERE name = 'dyntable';
--= 1.0

--# 3.2 Prerequisite: a warehouse
SELECT name FROM dyntable.warehouses WHERE name = 'default';
--= default

--# 3.3 Prerequisite: the right to create
--: CREATE DYNAMIC TABLE privilege on the schema
CREATE ROLE guide_builder;
SET ROLE guide_builder;
SELECT dyntable_create('guide.built', 'SELECT 1 AS one', 'downstream');
RESET ROLE;
GRANT USAGE, CREATE ON SCHEMA guide TO guide_builder;
SET ROLE guide_builder;
SELECT dyntable_create('guide.built', 'SELECT 1 AS one', 'downstream');
DROP TABLE guide.built;
RESET ROLE;
REVOKE ALL ON SCHEMA guide FROM guide_builder;
DROP ROLE guide_builder;
--= ERROR:  permission denied for schema guide
--= guide.built

--# 3.4 Step 1: variables for the two databases
--: SET dw_database = (SELECT get_dw_database());
--: SET ods_database = (SELECT get_ods_database());
-- Two databases are schemas of one database here; psql has variables for a name that varies.
\set ods_schema ods_raw
SELECT count(*) > 0 FROM :"ods_schema".ods_facilities_source;
--= t

--# 3.5 Step 1: USE DATABASE IDENTIFIER($dw_database)
SELECT status FROM dyntable_exec('USE DATABASE IDENTIFIER($dw_database);');
SET search_path = staging, public;
SELECT count(*) > 0 FROM dt_stg_facilities;
RESET search_path;
--~ ^ERROR:
--= t

--# 3.6 Step 2: create a dedicated warehouse
--: CREATE WAREHOUSE IF NOT EXISTS dt_compute_wh WAREHOUSE_SIZE = 'X-SMALL' AUTO_SUSPEND = 60 ...
SELECT status FROM dyntable_exec($$
CREATE WAREHOUSE IF NOT EXISTS dt_compute_wh
    WAREHOUSE_SIZE = 'X-SMALL'
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE
    COMMENT = 'Dedicated warehouse for Dynamic Tables refresh operations';
$$);
SELECT auto_suspend, auto_resume, state, comment FROM dyntable.warehouses WHERE name = 'dt_compute_wh';
--~ dt_compute_wh
--= 00:01:00|t|SUSPENDED|Dedicated warehouse for Dynamic Tables refresh operations

--# 3.7 Step 3: deploy the tables
--: snowsql -f snowflake/staging/03_dynamic_tables_staging_layer.sql
\! psql -XAtq -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -o /dev/null -f examples/staging/03_dynamic_tables.sql && echo deployed
--= deployed

--# 3.8 Step 3: create the monitoring views
--: snowsql -f snowflake/monitoring/dynamic_tables_monitoring.sql
\! psql -XAtq -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -o /dev/null -f examples/staging/06_monitoring.sql && echo deployed
--= deployed

--# 3.9 Step 3: USE ROLE sysadmin
SELECT status FROM dyntable_exec('USE ROLE sysadmin;');
SET ROLE pg_read_all_stats;
SELECT current_user;
RESET ROLE;
--~ ^ERROR:
--= pg_read_all_stats

--# 3.10 Step 3: USE WAREHOUSE compute_wh
-- A session has no warehouse: each table has.
SELECT status FROM dyntable_exec('USE WAREHOUSE compute_wh;');
SELECT dyntable_alter('reference.dt_crosswalk_veterans', warehouse => 'dt_compute_wh');
SELECT warehouse_name FROM dyntable.dynamic_tables WHERE name = 'dt_crosswalk_veterans';
SELECT dyntable_alter('reference.dt_crosswalk_veterans', warehouse => 'default');
--~ ^ERROR:
--=
--= dt_compute_wh
--=

--# 3.11 Step 3: USE DATABASE <your_dw_database>
\connect -
SELECT current_database();
SET client_min_messages = warning;
--= postgres

--# 3.12 Step 4: verify the deployment
--: SELECT name, schema_name, target_lag, refresh_mode, scheduling_state FROM TABLE(INFORMATION_SCHEMA.DYNAMIC_TABLES())
--: WHERE database_name = CURRENT_DATABASE() ORDER BY schema_name, name;
SELECT name, schema_name, target_lag, refresh_mode, scheduling_state ->> 'state'
FROM dyntable.dynamic_tables()
WHERE database_name = CURRENT_DATABASE() AND schema_name IN ('reference', 'staging')
ORDER BY schema_name, name;
--= dt_crosswalk_evaluators|reference|15 minutes|INCREMENTAL|RUNNING
--= dt_crosswalk_facilities|reference|15 minutes|INCREMENTAL|RUNNING
--= dt_crosswalk_veterans|reference|15 minutes|INCREMENTAL|RUNNING
--= dt_stg_facilities|staging|30 minutes|INCREMENTAL|RUNNING
--= dt_stg_fact_appointment_events|staging|20 minutes|INCREMENTAL|RUNNING
--= dt_stg_fact_qa_events|staging|30 minutes|INCREMENTAL|RUNNING
--= dt_vw_staging_dq_summary|staging|10 minutes|INCREMENTAL|RUNNING

--# 3.13 Step 5, option 1: wait for the automatic refresh
SELECT generator.feed_event() IS NOT NULL;
SELECT dyntable_alter('staging.dt_stg_fact_appointment_events', target_lag => '1 second');
SELECT dyntable_wait('staging.dt_stg_fact_appointment_events');
SELECT refresh_trigger, refresh_action FROM dyntable.refresh_history WHERE name = 'dt_stg_fact_appointment_events' AND refresh_action <> 'NO_DATA' ORDER BY refresh_end_time DESC LIMIT 1;
SELECT dyntable_alter('staging.dt_stg_fact_appointment_events', target_lag => '20 minutes');
--= t
--=
--=
--= SCHEDULED|INCREMENTAL
--=

--# 3.14 Step 5, option 2: refresh the crosswalk now
--: ALTER DYNAMIC TABLE REFERENCE.dt_crosswalk_facilities REFRESH;
SELECT count(*) FROM dyntable_exec('ALTER DYNAMIC TABLE REFERENCE.dt_crosswalk_facilities REFRESH;');
--= 1

--# 3.15 Step 5, option 2: dt_stg_facilities
SELECT count(*) FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_facilities REFRESH;');
--= 2

--# 3.16 Step 5, option 2: dt_stg_fact_appointment_events
SELECT count(*) FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_fact_appointment_events REFRESH;');
--= 4

--# 3.17 Step 5, option 2: dt_stg_fact_qa_events
SELECT count(*) FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_fact_qa_events REFRESH;');
--= 2

--# 3.18 Step 5, option 2: dt_vw_staging_dq_summary, with all that it reads
SELECT count(*) FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_vw_staging_dq_summary REFRESH;');
--= 7

--# 3.19 Step 6: record counts
SELECT 'dt_crosswalk_facilities' as table_name, COUNT(*) > 0 as record_count FROM REFERENCE.dt_crosswalk_facilities
UNION ALL SELECT 'dt_stg_facilities', COUNT(*) > 0 FROM STAGING.dt_stg_facilities
UNION ALL SELECT 'dt_stg_fact_appointment_events', COUNT(*) > 0 FROM STAGING.dt_stg_fact_appointment_events
UNION ALL SELECT 'dt_stg_fact_qa_events', COUNT(*) > 0 FROM STAGING.dt_stg_fact_qa_events;
--= dt_crosswalk_facilities|t
--= dt_stg_facilities|t
--= dt_stg_fact_appointment_events|t
--= dt_stg_fact_qa_events|t

--# 3.20 Step 6: data quality
--: SELECT * FROM STAGING.dt_vw_staging_dq_summary;
SELECT table_name, total_records = excellent_records + good_records + acceptable_records + poor_records,
       health_status IN ('EXCELLENT', 'GOOD', 'ACCEPTABLE', 'NEEDS_ATTENTION')
FROM STAGING.dt_vw_staging_dq_summary ORDER BY 1;
--= dt_stg_facilities|t|t
--= dt_stg_fact_appointment_events|t|t
--= dt_stg_fact_qa_events|t|t

--# 3.21 Step 6: health_status EXCELLENT, GOOD, ACCEPTABLE, NEEDS_ATTENTION: by the mean score
BEGIN;
SELECT health_status FROM staging.dt_vw_staging_dq_summary WHERE table_name = 'dt_stg_facilities' AND avg_dq_score >= 90;
UPDATE ods_raw.ods_facilities_source SET phone = NULL, capacity = NULL;
SELECT dyntable_refresh('staging.dt_vw_staging_dq_summary') \g /dev/null
SELECT health_status FROM staging.dt_vw_staging_dq_summary WHERE table_name = 'dt_stg_facilities' AND avg_dq_score BETWEEN 80 AND 89.99;
UPDATE ods_raw.ods_facilities_source SET city = NULL;
SELECT dyntable_refresh('staging.dt_vw_staging_dq_summary') \g /dev/null
SELECT health_status FROM staging.dt_vw_staging_dq_summary WHERE table_name = 'dt_stg_facilities' AND avg_dq_score BETWEEN 70 AND 79.99;
UPDATE ods_raw.ods_facilities_source SET state = NULL;
SELECT dyntable_refresh('staging.dt_vw_staging_dq_summary') \g /dev/null
SELECT health_status FROM staging.dt_vw_staging_dq_summary WHERE table_name = 'dt_stg_facilities' AND avg_dq_score < 70;
ROLLBACK;
--= EXCELLENT
--= GOOD
--= ACCEPTABLE
--= NEEDS_ATTENTION

--# 3.22 Step 6: and more than counts: every table against its query
SELECT (SELECT missing + unexpected FROM dyntable_verify(format('%I.%I', schema_name, name)::regclass))
FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'staging', 'warehouse') GROUP BY 1;
--= 0
