-- The guide, "Monitoring & Operations"

--# 5.1 Health dashboard
--: SELECT * FROM monitoring.vw_dynamic_table_health;
SELECT health_status, freshness_status, count(*) FROM monitoring.vw_dynamic_table_health GROUP BY 1, 2;
--= HEALTHY|FRESH|11

--# 5.2 The columns of the health view
SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = 'monitoring.vw_dynamic_table_health'::regclass AND attnum BETWEEN 1 AND 16;
--= table_name,schema_name,target_lag,refresh_mode,warehouse_name,scheduling_state,data_timestamp,last_refresh_start_time,last_refresh_end_time,last_refresh_duration_seconds,next_refresh_time,health_status,data_age_seconds,freshness_status,seconds_until_next_refresh,report_timestamp

--# 5.3 health_status HEALTHY
SELECT health_status FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_stg_facilities';
--= HEALTHY

--# 5.4 health_status SUSPENDED: by a user
SELECT dyntable_suspend('warehouse.agg_daily_quality');
SELECT health_status, scheduling_state FROM monitoring.vw_dynamic_table_health WHERE table_name = 'agg_daily_quality';
SELECT dyntable_resume('warehouse.agg_daily_quality');
--=
--= SUSPENDED|SUSPENDED
--=

--# 5.5 health_status UNHEALTHY: it failed
CREATE TABLE guide.invoices (id int PRIMARY KEY, amount numeric, parts int);
INSERT INTO guide.invoices VALUES (1, 10, 2);
SELECT dyntable_create('guide.dt_shares', 'SELECT id, amount / parts AS share FROM guide.invoices', '1 second');
INSERT INTO guide.invoices VALUES (2, 10, 0);
CALL guide.wait_for($$SELECT health_status = 'UNHEALTHY' FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_shares'$$);
SELECT health_status, last_refresh_code, (SELECT count(*) FROM guide.dt_shares) AS rows_kept
FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_shares';
--= guide.dt_shares
--= UNHEALTHY|22012|1

--# 5.6 freshness_status STALE: older than its target lag; and FRESH again
CALL guide.wait_for($$SELECT freshness_status = 'STALE' FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_shares'$$);
SELECT freshness_status, data_age_seconds > 1 FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_shares';
SELECT state FROM dyntable.refresh_history WHERE name = 'dt_shares' ORDER BY id DESC LIMIT 1;
UPDATE guide.invoices SET parts = 1 WHERE id = 2;
SELECT count(*) FROM dyntable_refresh('guide.dt_shares');
SELECT refresh_action FROM dyntable.refresh_history WHERE name = 'dt_shares' AND refresh_action <> 'NO_DATA' ORDER BY id DESC LIMIT 1;
CALL guide.wait_for($$SELECT health_status = 'HEALTHY' AND freshness_status = 'FRESH' FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_shares'$$);
--= STALE|t
--= FAILED
--= 1
--= INCREMENTAL

--# 5.7 Metric data_age_seconds
SELECT data_age_seconds AS before FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_stg_facilities' \gset
SELECT pg_sleep(0.2) \g /dev/null
SELECT data_age_seconds - extract(epoch FROM report_timestamp - data_timestamp) BETWEEN -1 AND 1 FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_stg_facilities';
SELECT dyntable_refresh('staging.dt_stg_facilities') \g /dev/null
SELECT data_age_seconds < :before FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_stg_facilities';
--= t
--= t

--# 5.8 Metric last_refresh_duration_seconds
SELECT last_refresh_duration_seconds > 0, last_refresh_duration_seconds - extract(epoch FROM last_refresh_end_time - last_refresh_start_time) BETWEEN -0.001 AND 0.001
FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_stg_facilities';
--= t|t

--# 5.9 Refresh history of the last 24 hours
--: WHERE refresh_start_time >= DATEADD(hour, -24, CURRENT_TIMESTAMP()) ORDER BY refresh_start_time DESC
SELECT state, performance_class, refresh_succeeded FROM (
    SELECT * FROM monitoring.vw_dynamic_table_refresh_history
    WHERE refresh_start_time >= now() - interval '24 hours' AND table_name = 'dt_shares'
    ORDER BY refresh_start_time DESC) h GROUP BY 1, 2, 3 ORDER BY 1;
--= FAILED|FAST|f
--= SUCCEEDED|FAST|t

--# 5.10 The columns of the history view
SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = 'monitoring.vw_dynamic_table_refresh_history'::regclass AND attnum BETWEEN 1 AND 11;
--= table_name,schema_name,state,refresh_start_time,refresh_end_time,duration_seconds,refresh_action,completion_target,performance_class,refresh_succeeded,report_timestamp

--# 5.11 Trends by day, and their columns
SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = 'monitoring.vw_dynamic_table_performance_trends'::regclass AND attnum BETWEEN 1 AND 12;
SELECT refresh_count >= 3, success_count >= 2, failure_count >= 1, success_rate_pct < 100, incremental_pct > 0
FROM monitoring.vw_dynamic_table_performance_trends WHERE table_name = 'dt_shares';
--= table_name,refresh_date,refresh_count,avg_duration_seconds,min_duration_seconds,max_duration_seconds,success_count,failure_count,success_rate_pct,incremental_count,full_refresh_count,incremental_pct
--= t|t|t|t|t

--# 5.12 Data quality over time: the summary's history is kept
SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = 'monitoring.vw_data_quality_trends'::regclass AND attname ~ 'prev|change';
BEGIN;
UPDATE ods_raw.ods_facilities_source SET phone = NULL, city = NULL, state = NULL, facility_name = NULL WHERE facility_id <= generator.facility(15);
SELECT count(*) FROM dyntable_refresh('staging.dt_vw_staging_dq_summary');
SELECT dq_score_change < 0, poor_records_change > 0, dq_score_change = avg_dq_score - prev_avg_dq_score
FROM monitoring.vw_data_quality_trends WHERE table_name = 'dt_stg_facilities' ORDER BY recorded_at DESC LIMIT 1;
ROLLBACK;
--= prev_avg_dq_score,dq_score_change,prev_poor_records,poor_records_change
--= 7
--= t|t|t

--# 5.13 Ten monitoring queries
\! psql -Xq -v ON_ERROR_STOP=1 -f examples/staging/07_monitoring_queries.sql >"$GUIDE_DIR/ten" && grep -cE '^[0-9]+\. ' "$GUIDE_DIR/ten"
--= 10

--# 5.14 Failed refreshes of 24 hours
SELECT DISTINCT table_name, state, state_code FROM monitoring.vw_failed_refreshes;
--= dt_shares|FAILED|22012

--# 5.15 One day against 7 and 30 days
SELECT avg_1d = avg_7d, against_30d, verdict FROM monitoring.vw_performance_degradation WHERE table_name = 'dt_stg_facilities';
--= t|1.00|STABLE

--# 5.16 Refresh frequency
SELECT refreshes_24h > with_data_24h, with_data_24h > 0, effective_target_lag, seconds_between < 600 FROM monitoring.vw_refresh_frequency WHERE table_name = 'dt_crosswalk_facilities';
--= t|t|10 minutes|t

--# 5.17 Dependency chains with depth and path
SELECT depth, path FROM monitoring.vw_dependency_chains WHERE relid = 'warehouse.dim_facility'::regclass ORDER BY depth;
--= 2|ods_raw.ods_facilities_source > staging.dt_stg_facilities > warehouse.dim_facility
--= 3|ods_raw.ods_facilities_source > reference.dt_crosswalk_facilities > staging.dt_stg_facilities > warehouse.dim_facility

--# 5.18 Conflicts
SELECT conflict_type, bool_and(resolution_method = 'PREFER_OMS'), bool_and(oms_values IS NOT NULL) FROM monitoring.vw_conflicts
WHERE conflict_type = 'FACILITY_NAME_MISMATCH' GROUP BY 1;
--= FACILITY_NAME_MISMATCH|t|t

--# 5.19 Stale data, and why
SELECT dyntable_suspend('guide.dt_shares');
CALL guide.wait_for($$SELECT count(*) = 1 FROM monitoring.vw_stale_data$$);
SELECT table_name, seconds_late > 0, standstill FROM monitoring.vw_stale_data;
SELECT dyntable_resume('guide.dt_shares');
--=
--~ ^dt_shares\|t\|.*suspended
--=

--# 5.20 One summary line
SELECT dynamic_tables, suspended, in_full_mode, failures_24h > 0, avg_dq_score BETWEEN 50 AND 100 FROM monitoring.vw_summary;
DROP TABLE guide.dt_shares, guide.invoices;
--= 12|0|0|t|t

--# 5.21 performance_class FAST, MODERATE, SLOW, and a verdict DEGRADED: in a history made for it
BEGIN;
SELECT dyntable_create('guide.dt_made', 'SELECT 1 AS one', 'downstream');
INSERT INTO dyntable.history (relid, state, action, trigger, started, ended)
SELECT 'guide.dt_made'::regclass, 'SUCCEEDED', 'INCREMENTAL', 'SCHEDULED', at, at + make_interval(secs => took)
FROM (VALUES (now() - interval '4 days', 59.999), (now() - interval '4 days', 60), (now() - interval '6 minutes', 300)) h (at, took)
UNION ALL SELECT 'guide.dt_made'::regclass, 'SUCCEEDED', 'INCREMENTAL', 'SCHEDULED', now() - interval '3 days', now() - interval '3 days' + interval '1 second' FROM generate_series(1, 6);
SELECT duration_seconds, performance_class FROM monitoring.vw_dynamic_table_refresh_history WHERE table_name = 'dt_made' AND duration_seconds > 10 ORDER BY 1;
SELECT verdict, against_7d > 2 FROM monitoring.vw_performance_degradation WHERE table_name = 'dt_made';
ROLLBACK;
--= guide.dt_made
--= 59.999000|FAST
--= 60.000000|MODERATE
--= 300.000000|SLOW
--= DEGRADED|t

--# 5.40 Pause a dynamic table
--: ALTER DYNAMIC TABLE STAGING.dt_stg_facilities SUSPEND;
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_facilities SUSPEND;');
SELECT scheduling_state, scheduling_state_reason FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
--~ dt_stg_facilities
--= SUSPENDED|USER_SUSPENDED

--# 5.41 Resume a dynamic table
--: ALTER DYNAMIC TABLE STAGING.dt_stg_facilities RESUME;
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_facilities RESUME;');
SELECT count(*) FROM dyntable.dynamic_tables WHERE scheduling_state = 'ACTIVE';
--~ dt_stg_facilities
--= 11

--# 5.42 Force a refresh
--: ALTER DYNAMIC TABLE STAGING.dt_stg_facilities REFRESH;
SELECT count(*) FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_facilities REFRESH;');
SELECT last_refresh_state FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
--= 2
--= SUCCEEDED

--# 5.43 Change the target lag
--: ALTER DYNAMIC TABLE STAGING.dt_stg_facilities SET TARGET_LAG = '15 minutes';
SELECT status FROM dyntable_exec($$ALTER DYNAMIC TABLE STAGING.dt_stg_facilities
    SET TARGET_LAG = '15 minutes';$$);
SELECT target_lag FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT dyntable_alter('staging.dt_stg_facilities', target_lag => '30 minutes');
--~ dt_stg_facilities
--= 15 minutes
--=

--# 5.44 Change the warehouse
--: ALTER DYNAMIC TABLE STAGING.dt_stg_facilities SET WAREHOUSE = larger_warehouse;
SELECT dyntable_warehouse('larger_warehouse', max_workers => 2, settings => '{"work_mem": "64MB"}');
SELECT status FROM dyntable_exec('ALTER DYNAMIC TABLE STAGING.dt_stg_facilities
    SET WAREHOUSE = larger_warehouse;');
SELECT warehouse_name FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT dyntable_alter('staging.dt_stg_facilities', warehouse => 'default');
--=
--~ dt_stg_facilities
--= larger_warehouse
--=
