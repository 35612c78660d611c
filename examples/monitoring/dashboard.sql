-- dashboard: what there is to see, as one JSON object within a page.
--
--     psql -XAtq -v template="$(cat dashboard.html)" -f dashboard.sql >page.html
--
-- (make dashboard does that.)  Reads dyntable's views; data quality and alerts where the schema
-- monitoring of examples/staging is there.  Nothing in the page comes from the network.
\set ON_ERROR_STOP on
\if :{?hours}
\else
    \set hours 24
\endif
SET jit = off;
SET TimeZone = 'UTC';
-- What is there, and for this role to read.
SELECT count(*) FILTER (WHERE c.relname = 'vw_data_quality_trends') > 0 AS has_quality,
       count(*) FILTER (WHERE c.relname = 'alert_firing') > 0 AS has_alerts,
       pg_has_role('pg_read_all_stats', 'USAGE') AS sees_capture
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'monitoring' AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \gset
\set quality 'NULL::json'
\if :has_quality
    \set quality '(SELECT json_agg(q) FROM (SELECT table_name, recorded_at, avg_dq_score, poor_records, total_records FROM (SELECT *, row_number() OVER (PARTITION BY table_name ORDER BY recorded_at DESC) AS n FROM monitoring.vw_data_quality_trends) r WHERE n <= 200 ORDER BY table_name, recorded_at) q)'
\endif
\set alerts 'NULL::json'
\if :has_alerts
    \set alerts '(SELECT coalesce(json_agg(f), ''[]'') FROM (SELECT rule, severity, subject, fired_at, cleared_at, times_seen, told_at FROM monitoring.alert_firing ORDER BY cleared_at IS NOT NULL, fired_at DESC LIMIT 50) f)'
\endif
\set capture 'NULL::json'
\if :sees_capture
    \set capture '(SELECT row_to_json(c) FROM dyntable.capture c)'
\endif

WITH since AS (SELECT clock_timestamp() - make_interval(hours => :hours) AS moment),
page AS (
    SELECT json_build_object(
        'database', current_database(), 'made', clock_timestamp(), 'hours', :hours, 'server', current_setting('server_version'),
        'tables', (SELECT json_agg(t) FROM (
            SELECT relid::oid::text AS id, schema_name, name, coalesce(target_lag, schedule) AS target_lag, refresh_mode, refresh_mode_reason_code,
                   scheduling_state, scheduling_state_reason, last_refresh_state, last_refresh_action, last_refresh_code, standstill,
                   round(extract(epoch FROM age)::numeric, 3) AS age, rows, bytes, warehouse_name, consecutive_failures, data_timestamp,
                   round(extract(epoch FROM CASE WHEN target_lag = 'downstream' THEN effective_target_lag ELSE target_lag END::interval)::numeric, 3) AS lag,
                   round(extract(epoch FROM last_refresh_end_time - last_refresh_start_time)::numeric * 1000, 1) AS last_ms
            FROM dyntable.dynamic_tables ORDER BY schema_name, name) t),
        'edges', (SELECT json_agg(e) FROM (
            SELECT relid::oid::text AS id, source_relid::oid::text AS source, format('%s.%s', source_schema_name, source_name) AS source_name, source_kind
            FROM dyntable.dependencies ORDER BY 1, 3) e),
        'lags', (SELECT json_agg(l) FROM (
            SELECT relid::oid::text AS id, since, until, round(maximum_lag_sec::numeric, 3) AS peak, target_lag_sec AS target, steps FROM (
                SELECT *, row_number() OVER (PARTITION BY relid ORDER BY until DESC) AS n FROM dyntable.lag_history
                WHERE until > (SELECT moment FROM since)) r WHERE n <= 300 ORDER BY relid, until) l),
        'refreshes', (SELECT json_agg(h) FROM (
            SELECT relid::oid::text AS id, refresh_end_time AS ended, refresh_action AS action, state, state_code AS code, reinit_reason IS NOT DISTINCT FROM 'first fill' AS first,
                   round(extract(epoch FROM duration)::numeric * 1000, 2) AS ms, rows_inserted + rows_updated + rows_deleted AS rows
            FROM dyntable.refresh_history
            WHERE refresh_end_time > (SELECT moment FROM since) AND refresh_action IS DISTINCT FROM 'NO_DATA' AND name IS NOT NULL
            ORDER BY id DESC LIMIT 3000) h),
        'sources', (SELECT json_agg(s) FROM (SELECT schema_name, name, pending_changes, log_bytes, held_by::text FROM dyntable.sources ORDER BY 1, 2) s),
        'capture', :capture, 'quality', :quality, 'alerts', :alerts)::text AS data)
-- A name may hold "</script>": within the page "<" is written as an escape.
SELECT replace(:'template', '"DATA"', replace(data, '<', '\u003c')) FROM page;
