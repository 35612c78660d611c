-- 21: what is the matter with a dynamic table?
--
--     psql -v table=staging.dt_stg_facilities -f 21_why.sql
--
-- Not refreshing, slow, failed, or too dear: the four questions in the order in which they are
-- answered.  The last one runs the next refresh and takes it back.
\set ON_ERROR_STOP on
\echo 1. Is it refreshed?  What it waits for, and why it is not as fresh as it should be
SELECT scheduling_state, scheduling_state_reason, waiting_for, standstill, age, coalesce(target_lag, schedule) AS target_lag,
       last_refresh_start_time, next_refresh_time, consecutive_failures
FROM dyntable.dynamic_tables WHERE relid = :'table'::regclass \gx
SELECT u.name AS reads, u.scheduling_state, u.last_refresh_state, u.waiting_for
FROM dyntable.dependencies d JOIN dyntable.dynamic_tables u ON u.relid::oid = d.source_relid WHERE d.relid = :'table'::regclass;
SELECT name AS warehouse, state, workers, busy_workers, queued_tables, max_workers
FROM dyntable.warehouses WHERE name = (SELECT warehouse_name FROM dyntable.dynamic_tables WHERE relid = :'table'::regclass);
SELECT state AS capture, reason, pg_size_pretty(lag_bytes) AS behind FROM dyntable.capture;

\echo 2. Has it failed?  Bad data have SQLSTATE 22..., a lost right 42501, an upstream failure UPSTREAM_FAILED
SELECT state, state_code, state_message, refresh_trigger, refresh_end_time
FROM dyntable.refresh_history WHERE relid = :'table'::regclass ORDER BY id DESC LIMIT 5;

\echo 3. Is it slow?  Mode, actions, and where the time goes (milliseconds)
SELECT refresh_mode, refresh_mode_reason_code, refresh_mode_reason FROM dyntable.dynamic_tables WHERE relid = :'table'::regclass;
SELECT refresh_action, sum(repeats) AS refreshes, round(avg(extract(epoch FROM duration) * 1000), 1) AS mean_ms,
       round(avg(queued_ms)::numeric, 1) AS queued_ms, round(avg((phases ->> 'wait_for_capture')::numeric), 1) AS wait_for_capture,
       round(avg((phases ->> 'plan')::numeric), 1) AS plan, round(avg((phases ->> 'execute')::numeric), 1) AS execute,
       round(avg((phases ->> 'apply')::numeric), 1) AS apply, max(reason) AS last_reason
FROM dyntable.refresh_history WHERE relid = :'table'::regclass GROUP BY 1 ORDER BY 1;

\echo 4. Is it dear?  By day: refreshes, processor, WAL, blocks
SELECT refresh_start_time::date AS day, sum(repeats) AS refreshes, round(sum(cpu_ms)::numeric) AS cpu_ms, pg_size_pretty(sum(wal_bytes)) AS wal,
       sum(blocks_read) AS blocks_read, sum(rows_inserted + rows_updated + rows_deleted) AS rows_changed
FROM dyntable.refresh_history WHERE relid = :'table'::regclass GROUP BY 1 ORDER BY 1 DESC LIMIT 7;

\echo What the next refresh would do, and indexes worth having
\pset format unaligned
\pset tuples_only on
-- its statements, which may be long, by their beginnings
SELECT CASE WHEN length(line) > 160 THEN left(line, 157) || '...' ELSE line END FROM dyntable_explain(:'table') line;
