-- The guide, "Cost Management"

--# 7.1 Compute: what refreshes take is recorded
SELECT count(*) > 0, bool_and(cpu_ms >= 0), sum(wal_bytes) > 0, sum(blocks_hit) > 0
FROM monitoring.vw_dynamic_table_refresh_history WHERE refresh_action = 'INCREMENTAL';
--= t|t|t|t

--# 7.2 Storage: the materialised data
SELECT bool_and(bytes > 0) FROM dyntable.dynamic_tables WHERE schema_name = 'warehouse';
--= t

--# 7.3 Right-size the target lag: 5 minutes, 30 minutes, 1 hour
SELECT dyntable_create('guide.lag', 'SELECT count(*) AS n FROM ods_raw.ods_evaluators_source', '5 minutes');
SELECT dyntable_alter('guide.lag', target_lag => '30 minutes'), dyntable_alter('guide.lag', target_lag => '1 hour');
CALL guide.wait_for($$SELECT next_refresh_time > now() + interval '30 minutes' FROM dyntable.dynamic_tables WHERE name = 'lag'$$);
SELECT target_lag FROM dyntable.dynamic_tables WHERE name = 'lag';
DROP TABLE guide.lag;
--= guide.lag
--= |
--= 1 hour

--# 7.4 Is incremental mode working?
--: SELECT name, refresh_action, COUNT(*) FROM TABLE(INFORMATION_SCHEMA.DYNAMIC_TABLE_REFRESH_HISTORY(
--:     DATE_RANGE_START => DATEADD(day, -7, CURRENT_DATE()))) WHERE database_name = CURRENT_DATABASE() GROUP BY name, refresh_action;
SELECT refresh_action, refresh_count > 0 FROM (
    SELECT
        name,
        refresh_action,
        COUNT(*) as refresh_count
    FROM dyntable.dynamic_table_refresh_history(
        DATE_RANGE_START => CURRENT_DATE - 7, result_limit => 10000
    )
    WHERE database_name = CURRENT_DATABASE()
    GROUP BY name, refresh_action) h WHERE name = 'dt_vw_staging_dq_summary' AND refresh_action = 'INCREMENTAL';
--= INCREMENTAL|t

--# 7.5 Blockers: non-deterministic functions (CURRENT_USER(), RANDOM())
SELECT line FROM dyntable_explain_query('SELECT current_user AS u') line WHERE line ~ '_FUNCTION';
SELECT line FROM dyntable_explain_query('SELECT random() AS r') line WHERE line ~ '_FUNCTION';
--~ SESSION_FUNCTION
--~ VOLATILE_FUNCTION

--# 7.6 Blockers: UNION is none
--: Avoid UNION (use UNION ALL instead)
SELECT dyntable_create('guide.states', 'SELECT state FROM ods_raw.ods_veterans_source UNION SELECT state FROM ods_raw.ods_facilities_source',
    'downstream', refresh_mode => 'incremental');
UPDATE ods_raw.ods_facilities_source SET state = 'ZZ' WHERE facility_id = generator.facility(1);
SELECT action, rows_inserted FROM dyntable_refresh('guide.states');
SELECT * FROM dyntable_verify('guide.states');
DROP TABLE guide.states;
--= guide.states
--= INCREMENTAL|1
--= 0|0

--# 7.7 Blockers: time-based filtering with now() is none
--: Use time-based filtering with static values
SELECT count(*) FROM dyntable.dynamic_tables WHERE query LIKE '%now() - interval%' AND refresh_mode = 'INCREMENTAL';
--= 6

--# 7.8 Optimise the rolling window: 3 days in place of 7
--: WHERE ingestion_timestamp >= DATEADD(day, -3, CURRENT_TIMESTAMP())
SELECT count(*) AS seven_days FROM staging.dt_stg_fact_appointment_events \gset
SELECT 'staging.dt_stg_fact_appointment_events'::regclass::oid AS same \gset
\! psql -XAtq -v days=3 -f examples/staging/20_change_window.sql 2>/dev/null | grep -cE 'INCREMENTAL|REINITIALIZE'
SELECT count(*) BETWEEN 1 AND :seven_days - 1 FROM staging.dt_stg_fact_appointment_events;
SELECT 'staging.dt_stg_fact_appointment_events'::regclass::oid = :same;
SELECT missing + unexpected FROM dyntable_verify('staging.dt_stg_fact_appointment_events');
\! psql -XAtq -v days=7 -f examples/staging/20_change_window.sql >/dev/null 2>&1
SELECT count(*) - :seven_days BETWEEN -50 AND 0 FROM staging.dt_stg_fact_appointment_events;
--~ ^1[01]$
--= t
--= t
--= 0
--= t

--# 7.9 Monthly cost analysis
--: ROUND((SUM(duration_seconds) / 3600.0) * 2.0, 2) as estimated_monthly_cost_usd
SELECT count(*), bool_and(total_compute_hours >= 0), bool_and(estimated_monthly_cost_usd >= 0) FROM (
    SELECT
        table_name,
        SUM(duration_seconds) / 3600.0 as total_compute_hours,
        ROUND((SUM(duration_seconds) / 3600.0) * 2.0, 2) as estimated_monthly_cost_usd
    FROM monitoring.vw_dynamic_table_refresh_history
    WHERE refresh_start_time >= now() - interval '30 days' AND schema_name IN ('reference', 'staging', 'warehouse')
    GROUP BY table_name
    ORDER BY total_compute_hours DESC) c;
--= 11|t|t

--# 7.10 The same with processor time, WAL and blocks, and with the price as a parameter
SELECT bool_and(twice.estimated_cost BETWEEN once.estimated_cost * 2 - 0.0001 AND once.estimated_cost * 2 + 0.0001), sum(once.wal_bytes) > 0, sum(once.cpu_hours) > 0
FROM monitoring.cost_per_table('30 days', 1000) once JOIN monitoring.cost_per_table('30 days', 2000) twice USING (schema_name, table_name, warehouse_name);
--= t|t|t

--# 7.11 By warehouse
SELECT warehouse_name, tables >= 11, estimated_cost > 0 FROM monitoring.cost_per_warehouse('30 days', 1000) WHERE warehouse_name = 'default';
--= default|t|t

--# 7.12 Procedures against dynamic tables, compute: batches, or as the lag asks
SELECT count(*) > 0 FROM dyntable.refresh_history WHERE refresh_trigger = 'SCHEDULED';
--= t

--# 7.13 Procedures against dynamic tables, efficiency: changes only
SELECT generator.feed_event() IS NOT NULL;
SELECT sum(rows_inserted + rows_updated + rows_deleted) BETWEEN 1 AND 19 FROM dyntable_refresh('staging.dt_stg_fact_appointment_events');
--= t
--= t

--# 7.14 Procedures against dynamic tables, storage: a single copy
SELECT count(*) = count(DISTINCT event_id) AND count(*) > 0 FROM staging.dt_stg_fact_appointment_events;
-- the procedures keep one for each batch that brought it
SELECT count(*) = count(DISTINCT (batch_id, event_id)) AND count(*) > count(DISTINCT event_id) FROM staging.stg_fact_appointment_events;
--= t
--= t

--# 7.15 Typical cost: a table that nothing happens to costs no transactions
CREATE TABLE guide.nothing_happens (id int PRIMARY KEY);
SELECT dyntable_create('guide.idle', 'SELECT id FROM guide.nothing_happens', '1 second');
SELECT count(*) AS refreshes FROM dyntable.refresh_history WHERE name = 'idle' \gset
SELECT data_timestamp AS before FROM dyntable.dynamic_tables WHERE name = 'idle' \gset
CALL guide.wait_for(format($$SELECT data_timestamp > %L FROM dyntable.dynamic_tables WHERE name = 'idle'$$, :'before'));
SELECT count(*) - :refreshes <= 1 FROM dyntable.refresh_history WHERE name = 'idle';
DROP TABLE guide.idle, guide.nothing_happens;
--= guide.idle
--= t

--# 7.16 Rule of thumb: fewer than four batches a day, a schedule in place of a lag
--: Batch updates (< 4x daily): Stored procedures may be cheaper
SELECT dyntable_create('guide.daily', 'SELECT count(*) AS n FROM ods_raw.ods_evaluators_source', schedule => '0 0,8,16 * * *');
CALL guide.wait_for($$SELECT next_refresh_time IS NOT NULL FROM dyntable.dynamic_tables WHERE name = 'daily'$$);
SELECT schedule, extract(minute FROM next_refresh_time) FROM dyntable.dynamic_tables WHERE name = 'daily';
DROP TABLE guide.daily;
--= guide.daily
--= 0 0,8,16 * * *|0

--# 7.17 Rule of thumb: near-real-time (every 15 to 30 min)
SELECT count(*) FROM dyntable.dynamic_tables WHERE target_lag IN ('15 minutes', '20 minutes', '30 minutes');
--= 10

--# 7.18 Rule of thumb: real-time (< 5 min)
SELECT setting || unit FROM pg_settings WHERE name = 'dyntable.min_target_lag';
--= 100ms
