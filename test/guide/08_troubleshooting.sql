-- The guide, "Troubleshooting", and recipes for what it leaves open

--# 8.1 Issue 1, not refreshing: diagnosis
--: SELECT name, scheduling_state, last_refresh_start_time, next_refresh_time FROM TABLE(INFORMATION_SCHEMA.DYNAMIC_TABLES()) WHERE name = 'dt_stg_facilities';
SELECT
    name,
    scheduling_state ->> 'state',
    last_refresh_start_time IS NOT NULL,
    next_refresh_time > now()
FROM dyntable.dynamic_tables()
WHERE name = 'dt_stg_facilities';
--= dt_stg_facilities|RUNNING|t|t

--# 8.2 Issue 1: why, in words, and what it waits for
SELECT dyntable_suspend('reference.dt_crosswalk_facilities');
SELECT waiting_for, standstill FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
--=
--~ ^RESUME\|.*suspended

--# 8.3 Issue 1, solution: check if suspended, resume
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE REFERENCE.dt_crosswalk_facilities RESUME;');
SELECT count(*) FROM dyntable.dynamic_tables WHERE scheduling_state <> 'ACTIVE';
--~ dt_crosswalk_facilities
--= 0

--# 8.4 Issue 1, solution: errors in the refresh history
--: SELECT * FROM TABLE(INFORMATION_SCHEMA.DYNAMIC_TABLE_REFRESH_HISTORY()) WHERE name = ... ORDER BY refresh_start_time DESC LIMIT 5;
CREATE TABLE guide.visits (id int PRIMARY KEY, minutes text);
INSERT INTO guide.visits VALUES (1, '30');
SELECT dyntable_create('guide.dt_visits', 'SELECT id, minutes::integer AS minutes FROM guide.visits', '1 second');
SELECT dyntable_create('guide.dt_total', 'SELECT sum(minutes) AS total FROM guide.dt_visits', '1 second');
INSERT INTO guide.visits VALUES (2, 'half an hour');
CALL guide.wait_for($$SELECT count(*) = 2 FROM dyntable.dynamic_tables WHERE name IN ('dt_visits', 'dt_total') AND last_refresh_state LIKE '%FAILED'$$);
SELECT state, state_code, state_message FROM dyntable.dynamic_table_refresh_history(name => 'dt_visits')
WHERE state = 'FAILED'
ORDER BY refresh_start_time DESC
LIMIT 1;
--= guide.dt_visits
--= guide.dt_total
--~ ^FAILED\|22P02\|invalid input syntax for type integer: "half an hour": expression 

--# 8.5 Issue 1, solution: force a refresh
--: ALTER DYNAMIC TABLE STAGING.dt_stg_facilities REFRESH;
SELECT count(*) FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_facilities REFRESH;');
--= 2

--# 8.6 Issue 2, slow: the trend of refresh times
SELECT
    refresh_date = current_date,
    AVG(avg_duration_seconds) > 0 as avg_seconds,
    MAX(avg_duration_seconds) >= AVG(avg_duration_seconds) as max_seconds
FROM monitoring.vw_dynamic_table_performance_trends
WHERE table_name = 'dt_stg_facilities'
  AND refresh_date >= CURRENT_DATE - 30
GROUP BY refresh_date
ORDER BY refresh_date DESC LIMIT 1;
--= t|t|t

--# 8.7 Issue 2, solution: FULL or INCREMENTAL?
SELECT refresh_action IS NOT NULL, COUNT(*) > 0
FROM monitoring.vw_dynamic_table_refresh_history
WHERE table_name = 'dt_stg_facilities' AND refresh_action = 'INCREMENTAL'
GROUP BY refresh_action;
--= t|t

--# 8.8 Issue 2, solution: indexes on join keys, which the advisor names
CREATE TABLE guide.big (id int PRIMARY KEY, k int, note text);
CREATE TABLE guide.small (id int PRIMARY KEY, k int);
INSERT INTO guide.big SELECT i, i, repeat('x', 100) FROM generate_series(1, 20000) i;
INSERT INTO guide.small SELECT i, i FROM generate_series(1, 5000) i;
ANALYZE guide.big, guide.small;
SELECT line FROM dyntable_explain_query('SELECT b.id, s.id AS sid FROM guide.big b JOIN guide.small s ON s.k = b.k') line WHERE line LIKE '%CREATE INDEX ON guide.big%';
DROP TABLE guide.big, guide.small;
--~ CREATE INDEX ON guide.big .*\(k\)

--# 8.9 Issue 2, solution: a smaller window, and back
SELECT count(*) AS whole_window FROM staging.dt_stg_fact_appointment_events \gset
\! psql -XAtq -v days=3 -c 'SET client_min_messages = warning' -f examples/staging/20_change_window.sql | grep 'dt_stg_fact_appointment_events|' | cut -d'|' -f1,2
SELECT count(*) < :whole_window, count(*) > 0, missing + unexpected
FROM staging.dt_stg_fact_appointment_events, dyntable_verify('staging.dt_stg_fact_appointment_events') GROUP BY missing, unexpected;
\! psql -XAtq -v days=7 -c 'SET client_min_messages = warning' -f examples/staging/20_change_window.sql >/dev/null
SELECT count(*) - :whole_window BETWEEN -50 AND 0 FROM staging.dt_stg_fact_appointment_events;
--~ ^staging.dt_stg_fact_appointment_events\|(INCREMENTAL|REINITIALIZE)$
--= t|t|0
--= t

--# 8.10 Issue 2, solution: QUALIFY, which PostgreSQL does not have, has a hint
--: Add QUALIFY clause for deduplication
\set VERBOSITY default
SELECT dyntable_create('guide.q', 'SELECT id FROM guide.visits QUALIFY row_number() OVER (ORDER BY id) = 1');
\set VERBOSITY terse
SELECT line FROM dyntable_explain_query('SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM guide.visits) v WHERE n = 1') line WHERE line LIKE 'mode%';
--~ ^ERROR:
--~ ^LINE
--~ \^
--~ ^HINT:  .*row_number
--~ ^QUERY:
--~ ^CONTEXT:
--= mode: INCREMENTAL

--# 8.11 Issue 2, solution: scale up the warehouse
--: ALTER DYNAMIC TABLE STAGING.dt_stg_facilities SET WAREHOUSE = medium_warehouse;
SELECT dyntable_warehouse('medium_warehouse', max_workers => 2, settings => '{"work_mem": "128MB"}');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_facilities
    SET WAREHOUSE = medium_warehouse;');
SELECT warehouse_name FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT dyntable_alter('staging.dt_stg_facilities', warehouse => 'default');
--=
--~ dt_stg_facilities
--= medium_warehouse
--=

--# 8.12 Issue 3, failed: diagnosis
SELECT
    name,
    state,
    refresh_start_time IS NOT NULL,
    refresh_end_time >= refresh_start_time
FROM dyntable.dynamic_table_refresh_history()
WHERE name = 'dt_visits'
  AND state = 'FAILED'
ORDER BY refresh_start_time DESC LIMIT 1;
--= dt_visits|FAILED|t|t

--# 8.13 Issue 3, cause: source data (NULL keys, type mismatches): SQLSTATE class 22, and CONTEXT names expression, row and table
SELECT last_refresh_code, last_refresh_message FROM dyntable.dynamic_tables WHERE name = 'dt_visits';
\set VERBOSITY default
SELECT dyntable_refresh('guide.dt_visits');
\set VERBOSITY terse
--= 22P02|invalid input syntax for type integer: "half an hour": expression (visits.minutes)::integer for row (id)=(2) of table guide.visits, in the refresh of dynamic table guide.dt_visits
--= ERROR:  invalid input syntax for type integer: "half an hour"
--= CONTEXT:  expression (visits.minutes)::integer for row (id)=(2) of table guide.visits, in the refresh of dynamic table guide.dt_visits
--~ ^refresh statement "SELECT 

--# 8.14 Issue 3, cause: dependency failure
SELECT last_refresh_state, last_refresh_code, last_refresh_message ~ 'dt_visits' FROM dyntable.dynamic_tables WHERE name = 'dt_total';
--= UPSTREAM_FAILED|UPSTREAM_FAILED|t

--# 8.15 Issue 3, solution: check and mend the source data, by a safe cast
\! psql -XAtq -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -f examples/staging/23_bad_data.sql
SELECT id, minutes FROM guide.visits WHERE minutes IS NOT NULL AND safe.to_integer(minutes) IS NULL;
SELECT dyntable_alter('guide.dt_visits', query => 'SELECT id, safe.to_integer(minutes) AS minutes FROM guide.visits');
-- or the scheduler has been faster
SELECT count(*) FROM dyntable_refresh('guide.dt_total');
SELECT DISTINCT ON (name) name, refresh_action FROM dyntable.refresh_history
WHERE name IN ('dt_visits', 'dt_total') AND state = 'SUCCEEDED' AND refresh_action <> 'NO_DATA' ORDER BY name, id DESC;
SELECT * FROM guide.dt_visits ORDER BY id;
SELECT refresh_mode FROM dyntable.dynamic_tables WHERE name = 'dt_visits';
--= 2|half an hour
--=
--= 2
--= dt_total|INCREMENTAL
--= dt_visits|REINITIALIZE
--= 1|30
--= 2|
--= INCREMENTAL

--# 8.16 Issue 3, solution: rows of the last hour in the source
SELECT count(*) AS before FROM ods_raw.ods_facilities_source WHERE ingestion_timestamp >= now() - interval '1 hour' \gset
BEGIN;
INSERT INTO ods_raw.ods_facilities_source (source_system, source_record_id, batch_id, ingestion_timestamp, facility_id)
VALUES ('OMS', 'GUIDE-NOW', 'BATCH_GUIDE', now(), 'GUIDE-NOW'), ('OMS', 'GUIDE-THEN', 'BATCH_GUIDE', now() - interval '2 hours', 'GUIDE-THEN');
SELECT COUNT(*) - :before FROM ODS_RAW.ods_facilities_source
WHERE ingestion_timestamp >= now() - interval '1 hour';
ROLLBACK;
--= 1

--# 8.17 Issue 3, solution: is the upstream crosswalk healthy?
SELECT health_status FROM monitoring.vw_dynamic_table_health
WHERE table_name = 'dt_crosswalk_facilities';
--= HEALTHY

--# 8.18 Issue 3, solution: retry
SELECT count(*) FROM dyntable_exec('ALTER DYNAMIC TABLE guide.dt_total REFRESH;');
SELECT last_refresh_state FROM dyntable.dynamic_tables WHERE name = 'dt_total';
--= 2
--= SUCCEEDED

--# 8.19 Issue 3, cause: warehouse suspended
SELECT dyntable_warehouse('guide_closed', auto_resume => false);
SELECT dyntable_alter('guide.dt_visits', warehouse => 'guide_closed');
SELECT dyntable_warehouse('guide_closed', suspended => true);
SELECT waiting_for FROM dyntable.dynamic_tables WHERE name = 'dt_visits';
SELECT dyntable_alter('guide.dt_visits', warehouse => 'default');
--=
--=
--=
--= WAREHOUSE
--=

--# 8.20 Issue 3, cause: lost permission: 42501
CREATE ROLE guide_owner;
GRANT USAGE, CREATE ON SCHEMA guide TO guide_owner;
CREATE TABLE guide.secret (id int PRIMARY KEY);
SELECT dyntable_track('guide.secret', 'guide_owner');
GRANT SELECT ON guide.secret TO guide_owner;
SET ROLE guide_owner;
SELECT dyntable_create('guide.dt_secret', 'SELECT id FROM guide.secret', '1 second');
RESET ROLE;
REVOKE SELECT ON guide.secret FROM guide_owner;
INSERT INTO guide.secret VALUES (1);
CALL guide.wait_for($$SELECT last_refresh_state = 'FAILED' FROM dyntable.dynamic_tables WHERE name = 'dt_secret'$$);
SELECT last_refresh_code FROM dyntable.dynamic_tables WHERE name = 'dt_secret';
DROP TABLE guide.dt_secret;
SELECT dyntable_untrack('guide.secret');
DROP TABLE guide.secret;
DROP OWNED BY guide_owner;
DROP ROLE guide_owner;
--=
--= guide.dt_secret
--= 42501
--=

--# 8.21 Issue 4, high costs: diagnosis
SELECT count(*) FROM monitoring.vw_dynamic_table_performance_trends
WHERE table_name = 'dt_stg_facilities'
  AND refresh_date >= CURRENT_DATE - 7;
--~ ^[12]$

--# 8.22 Issue 4, solution: increase the target lag
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE STAGING.dt_stg_facilities
    SET TARGET_LAG = '1 hour';$$);
SELECT target_lag FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT dyntable_alter('staging.dt_stg_facilities', target_lag => '30 minutes');
--~ dt_stg_facilities
--= 1 hour
--=

--# 8.23 Issue 4, blockers: CURRENT_TIMESTAMP() in the select list is none
SELECT dyntable_create('guide.stamped', 'SELECT id, minutes, current_timestamp AS processed FROM guide.visits', 'downstream', refresh_mode => 'incremental');
SELECT processed AS before FROM guide.stamped WHERE id = 1 \gset
UPDATE guide.visits SET minutes = '31' WHERE id = 2;
SELECT action, rows_updated FROM dyntable_refresh('guide.stamped');
SELECT id, processed > :'before' FROM guide.stamped ORDER BY id;
DROP TABLE guide.stamped;
--= guide.stamped
--= INCREMENTAL|1
--= 1|f
--= 2|t

--# 8.24 Issue 4, blockers: functions of users that are IMMUTABLE are none
--: Remove UDFs if possible
CREATE FUNCTION guide.hours(minutes text) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN round(safe.to_numeric(minutes) / 60, 2);
SELECT dyntable_create('guide.udf', 'SELECT id, guide.hours(minutes) AS hours FROM guide.visits', 'downstream', refresh_mode => 'incremental');
INSERT INTO guide.visits VALUES (3, '90');
SELECT action, rows_inserted FROM dyntable_refresh('guide.udf');
DROP TABLE guide.udf;
DROP FUNCTION guide.hours;
DROP TABLE guide.dt_total, guide.dt_visits, guide.visits;
--= guide.udf
--= INCREMENTAL|1

--# 8.25 Recipe: the four issues in one script
\! psql -Xq -v ON_ERROR_STOP=1 -v table=staging.dt_stg_facilities -f examples/staging/21_why.sql >"$GUIDE_DIR/why" && grep -cE '^([1-4]\.|What)' "$GUIDE_DIR/why" && grep -c 'next refresh: ' "$GUIDE_DIR/why" && awk 'length > 200' "$GUIDE_DIR/why" | wc -l
--= 5
--= 1
--= 0

--# 8.26 Recipe: audit of changes, by a trigger and by the change feed
\! psql -XAtq -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -f examples/staging/24_audit.sql | grep -cE '^[0-9]+$'
SELECT coalesce(max(refresh_no), 0) AS seen FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities' \gset
UPDATE ods_raw.ods_facilities_source SET county = 'Audited' WHERE facility_id = (SELECT max(master_facility_id) FROM staging.dt_stg_facilities);
SELECT rows_updated FROM dyntable_refresh('staging.dt_stg_facilities') WHERE name = 'staging.dt_stg_facilities'::regclass;
SELECT c.action, c.after ->> 'county', c.before ->> 'county' <> 'Audited', c.data_timestamp BETWEEN now() - interval '10 minutes' AND now()
FROM audit.facility_change c;
SELECT action, is_update, data ->> 'county' = 'Audited' FROM dyntable_changes('staging.dt_stg_facilities', since => :seen);
--= 1
--= 1
--= UPDATE|Audited|t|t
--= delete|t|f
--= insert|t|t

--# 8.27 Recipe: debugging, what the next refresh would do, without doing it
UPDATE ods_raw.ods_facilities_source SET county = 'Debugged' WHERE facility_id = (SELECT max(master_facility_id) FROM staging.dt_stg_facilities);
SELECT line FROM dyntable_explain('staging.dt_stg_facilities') line WHERE line LIKE 'next refresh%';
SELECT count(*) FROM staging.dt_stg_facilities WHERE county = 'Debugged';
--= next refresh: INCREMENTAL, 0 rows inserted, 1 updated, 0 deleted
--= 0

--# 8.28 Recipe: testing in isolation, at data timestamps of the test's choice
\! psql -XAtq -c 'CREATE EXTENSION IF NOT EXISTS pgtap' 2>/dev/null; psql -XAt -f examples/staging/25_test_in_isolation.sql | grep -c '^ok'
SELECT count(*) FROM ods_raw.ods_facilities_source WHERE batch_id = 'TEST_1';
--= 9
--= 0

--# 8.29 Recipe: which batch is in
SELECT split_part(generator.feed_batch(10), ':', 1) AS fed \gset
SELECT dyntable_alter(relid, target_lag => '1 second') FROM dyntable.dynamic_tables WHERE schema_name IN ('staging', 'warehouse') ORDER BY name \g /dev/null
\setenv FED :fed
\! psql -XAtq -v batch="$FED" -f examples/staging/22_which_batch.sql | grep '|' | sed -E 's/[1-9][0-9]*/n/g'
--= facilities|n|n
--= appointment events|n|n
--= QA events|n|n
\! psql -XAtq -v batch=NEVER_LOADED -f examples/staging/22_which_batch.sql | grep 'facilities'
--= facilities|0|0

--# 8.30 Recipe: deployment from version control puts back what was changed, and then changes nothing
\! examples/staging/deploy -At; examples/staging/deploy -At
SELECT target_lag FROM dyntable.dynamic_tables WHERE name = 'dt_vw_staging_dq_summary';
--~ ^staging\..*staging\.dt_vw_staging_dq_summary.*\|nothing$
--= nothing|nothing
--= 10 minutes

--# 8.31 Recipe: dependency diagram with downstream views and roles
CREATE ROLE guide_reader;
GRANT SELECT ON staging.vw_latest_facilities TO guide_reader;
SELECT monitoring.dependency_diagram() ~ '^graph LR', monitoring.dependency_diagram() ~ 'vw_latest_facilities', monitoring.dependency_diagram() ~ 'guide_reader';
SELECT table_name, depth FROM monitoring.vw_downstream_consumers WHERE 'guide_reader' = ANY (roles);
REVOKE ALL ON staging.vw_latest_facilities FROM guide_reader;
DROP ROLE guide_reader;
--= t|t|t
--= staging.dt_stg_facilities|1
