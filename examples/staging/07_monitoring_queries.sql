-- 07: ten questions to ask of the monitoring schema.
--
--     psql -v price_per_hour=2.0 -f 07_monitoring_queries.sql
\set ON_ERROR_STOP on
\if :{?price_per_hour}
\else
    \set price_per_hour 2.0
\endif

\echo 1. One line about everything
SELECT * FROM monitoring.vw_summary \gx

\echo 2. Health, the worst first
SELECT schema_name, table_name, health_status, freshness_status, data_age_seconds, target_lag, seconds_until_next_refresh
FROM monitoring.vw_dynamic_table_health
ORDER BY array_position(ARRAY['UNHEALTHY', 'SUSPENDED', 'HEALTHY'], health_status), freshness_status DESC, data_age_seconds DESC;

\echo 3. Failed refreshes of the last 24 hours
SELECT table_name, state, state_code, state_message, refresh_end_time FROM monitoring.vw_failed_refreshes ORDER BY refresh_end_time DESC;

\echo 4. Getting slower? The last day against 7 and 30 days
SELECT table_name, avg_1d, avg_7d, avg_30d, against_7d, against_30d, verdict
FROM monitoring.vw_performance_degradation ORDER BY against_7d DESC NULLS LAST;

\echo 5. How often is each table refreshed, and how often did that find something?
SELECT table_name, target_lag, effective_target_lag, refreshes_24h, with_data_24h, seconds_between
FROM monitoring.vw_refresh_frequency ORDER BY refreshes_24h DESC;

\echo 6. Dependency chains, the longest way to each table
SELECT DISTINCT ON (table_name) table_name, depth, path FROM monitoring.vw_dependency_chains ORDER BY table_name, depth DESC, path;

\echo 7. Cost of each table, and of each warehouse, over 30 days
SELECT table_name, warehouse_name, refreshes, total_compute_hours, cpu_hours, pg_size_pretty(wal_bytes) AS wal, blocks_read, estimated_cost
FROM monitoring.cost_per_table('30 days', :price_per_hour);
SELECT * FROM monitoring.cost_per_warehouse('30 days', :price_per_hour);

\echo 8. Conflicts between the two systems
SELECT conflict_type, resolution_method, count(*) FROM monitoring.vw_conflicts GROUP BY 1, 2 ORDER BY 3 DESC;

\echo 9. Data quality, now and before
SELECT DISTINCT ON (table_name) table_name, recorded_at, avg_dq_score, prev_avg_dq_score, dq_score_change, poor_records, poor_records_change, health_status
FROM monitoring.vw_data_quality_trends ORDER BY table_name, recorded_at DESC;

\echo 10. Stale data, and why
SELECT table_name, target_lag, data_age_seconds, seconds_late, standstill FROM monitoring.vw_stale_data ORDER BY seconds_late DESC;
