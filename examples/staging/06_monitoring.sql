-- 06: monitoring: health, history, trends, cost, data quality, dependencies.
--
-- Views over dyntable's own, in schema monitoring, of all dynamic tables of the
-- database that the reader may see (dyntable shows members of pg_read_all_stats
-- all of them).  Only what is about conflicts and data quality is about this staging layer.
--
-- dyntable.history_retention bounds what they see: for what looks 30 days back set it
-- to more than that (ALTER SYSTEM SET dyntable.history_retention = '35 days').
--
-- Run again it replaces the views and keeps the history.
\set ON_ERROR_STOP on

CREATE SCHEMA IF NOT EXISTS monitoring;
COMMENT ON SCHEMA monitoring IS 'health, history, cost and data quality of dynamic tables; alerts';

---------------------------------------------------------------------------
-- Health: is each table refreshed, and is it fresh?
---------------------------------------------------------------------------
CREATE OR REPLACE VIEW monitoring.vw_dynamic_table_health AS
SELECT t.name AS table_name,
       t.schema_name,
       coalesce(t.target_lag, t.schedule) AS target_lag,
       t.refresh_mode,
       t.warehouse_name,
       t.scheduling_state,
       t.data_timestamp,
       t.last_refresh_start_time,
       t.last_refresh_end_time,
       round(extract(epoch FROM t.last_refresh_end_time - t.last_refresh_start_time), 3) AS last_refresh_duration_seconds,
       t.next_refresh_time,
       CASE WHEN t.scheduling_state_reason IN ('SUSPENDED_DUE_TO_ERRORS', 'UPSTREAM_SUSPENDED_DUE_TO_ERRORS') THEN 'UNHEALTHY'
            WHEN t.scheduling_state = 'SUSPENDED' THEN 'SUSPENDED'
            WHEN t.last_refresh_state IN ('FAILED', 'UPSTREAM_FAILED') THEN 'UNHEALTHY'
            ELSE 'HEALTHY' END AS health_status,
       round(extract(epoch FROM t.age), 3) AS data_age_seconds,
       CASE WHEN NOT t.populated OR t.age > l.lag THEN 'STALE' ELSE 'FRESH' END AS freshness_status,
       round(extract(epoch FROM t.next_refresh_time - clock_timestamp()), 3) AS seconds_until_next_refresh,
       clock_timestamp() AS report_timestamp,
       extract(epoch FROM l.lag) AS target_lag_seconds,
       t.standstill,
       t.last_refresh_code
FROM dyntable.dynamic_tables t
CROSS JOIN LATERAL (SELECT CASE WHEN t.target_lag = 'downstream' THEN t.effective_target_lag ELSE t.target_lag END::interval AS lag) l;
COMMENT ON VIEW monitoring.vw_dynamic_table_health IS 'one row a dynamic table: is it refreshed, is it fresh';
COMMENT ON COLUMN monitoring.vw_dynamic_table_health.health_status
    IS 'UNHEALTHY: it failed last, or was suspended by failures; SUSPENDED: by somebody; else HEALTHY';
COMMENT ON COLUMN monitoring.vw_dynamic_table_health.freshness_status
    IS 'STALE: older than its target lag (that of its consumers, where it is downstream), or never filled; a table with a schedule is FRESH';

---------------------------------------------------------------------------
-- History: every refresh.  Refreshes in a row that found nothing are one row.
---------------------------------------------------------------------------
CREATE OR REPLACE VIEW monitoring.vw_dynamic_table_refresh_history AS
SELECT h.name AS table_name,
       h.schema_name,
       h.state,
       h.refresh_start_time,
       h.refresh_end_time,
       d.seconds AS duration_seconds,
       h.refresh_action,
       h.completion_target,
       CASE WHEN d.seconds < 60 THEN 'FAST' WHEN d.seconds < 300 THEN 'MODERATE' ELSE 'SLOW' END AS performance_class,
       h.state = 'SUCCEEDED' AS refresh_succeeded,
       clock_timestamp() AS report_timestamp,
       h.state_code,
       h.state_message,
       h.refresh_trigger,
       h.repeats,
       h.warehouse_name,
       h.cpu_ms,
       h.wal_bytes,
       h.blocks_hit,
       h.blocks_read,
       h.blocks_dirtied,
       h.run,
       h.id
FROM dyntable.refresh_history h
CROSS JOIN LATERAL (SELECT round(extract(epoch FROM h.duration), 6) AS seconds) d;
COMMENT ON VIEW monitoring.vw_dynamic_table_refresh_history IS 'refreshes, with their durations and what they cost';
COMMENT ON COLUMN monitoring.vw_dynamic_table_refresh_history.performance_class IS 'FAST below a minute, MODERATE below five, SLOW';
COMMENT ON COLUMN monitoring.vw_dynamic_table_refresh_history.repeats
    IS 'how many refreshes that found nothing the row stands for; its duration is that of the last one, its cost that of all';

---------------------------------------------------------------------------
-- Trends by day.  Durations are of refreshes that had something to do.
---------------------------------------------------------------------------
CREATE OR REPLACE VIEW monitoring.vw_dynamic_table_performance_trends AS
SELECT table_name,
       refresh_start_time::date AS refresh_date,
       sum(repeats) AS refresh_count,
       round(avg(duration_seconds) FILTER (WHERE refresh_action <> 'NO_DATA'), 3) AS avg_duration_seconds,
       round(min(duration_seconds) FILTER (WHERE refresh_action <> 'NO_DATA'), 3) AS min_duration_seconds,
       round(max(duration_seconds) FILTER (WHERE refresh_action <> 'NO_DATA'), 3) AS max_duration_seconds,
       coalesce(sum(repeats) FILTER (WHERE refresh_succeeded), 0) AS success_count,
       coalesce(sum(repeats) FILTER (WHERE NOT refresh_succeeded), 0) AS failure_count,
       round(100.0 * coalesce(sum(repeats) FILTER (WHERE refresh_succeeded), 0) / sum(repeats), 2) AS success_rate_pct,
       count(*) FILTER (WHERE refresh_action = 'INCREMENTAL') AS incremental_count,
       count(*) FILTER (WHERE refresh_action IN ('FULL', 'REINITIALIZE')) AS full_refresh_count,
       round(100.0 * count(*) FILTER (WHERE refresh_action = 'INCREMENTAL')
             / nullif(count(*) FILTER (WHERE refresh_action <> 'NO_DATA'), 0), 2) AS incremental_pct,
       schema_name
FROM monitoring.vw_dynamic_table_refresh_history
GROUP BY schema_name, table_name, refresh_start_time::date;
COMMENT ON VIEW monitoring.vw_dynamic_table_performance_trends IS 'refreshes of each table by day';
COMMENT ON COLUMN monitoring.vw_dynamic_table_performance_trends.incremental_pct IS 'of the refreshes that had something to do';

---------------------------------------------------------------------------
-- Data quality: the summary is one row a table and changes in place; its history
-- is kept by a trigger, for triggers fire on refreshes as on other statements.
-- A refresh is one transaction, whose now() is the data timestamp.
---------------------------------------------------------------------------
CREATE TABLE IF NOT EXISTS monitoring.data_quality_history (
    LIKE staging.vw_latest_dq_summary,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, recorded_at)
);
COMMENT ON TABLE monitoring.data_quality_history IS 'each state of the data quality summary, from its data timestamp on';

CREATE OR REPLACE FUNCTION monitoring.note_data_quality() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog
AS $$
BEGIN
    DELETE FROM monitoring.data_quality_history h WHERE h.table_name = NEW.table_name AND h.recorded_at = now();
    INSERT INTO monitoring.data_quality_history SELECT NEW.*, now();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION monitoring.note_data_quality() IS 'keeps a row of the data quality summary in monitoring.data_quality_history';

-- The table behind the consumers' view, whatever its name is by now.
SELECT d.refobjid::regclass AS summary
FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
WHERE r.ev_class = 'staging.vw_latest_dq_summary'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid <> r.ev_class LIMIT 1 \gset
CREATE OR REPLACE TRIGGER note_data_quality AFTER INSERT OR UPDATE ON :summary
    FOR EACH ROW EXECUTE FUNCTION monitoring.note_data_quality();
INSERT INTO monitoring.data_quality_history
SELECT s.*, coalesce(t.data_timestamp, now())
FROM staging.vw_latest_dq_summary s, dyntable.dynamic_tables t
WHERE t.relid = :'summary'::regclass AND NOT EXISTS (SELECT FROM monitoring.data_quality_history);

CREATE OR REPLACE VIEW monitoring.vw_data_quality_trends AS
SELECT h.*,
       lag(avg_dq_score) OVER by_time AS prev_avg_dq_score,
       avg_dq_score - lag(avg_dq_score) OVER by_time AS dq_score_change,
       lag(poor_records) OVER by_time AS prev_poor_records,
       poor_records - lag(poor_records) OVER by_time AS poor_records_change
FROM monitoring.data_quality_history h
WINDOW by_time AS (PARTITION BY table_name ORDER BY recorded_at);
COMMENT ON VIEW monitoring.vw_data_quality_trends IS 'the data quality summary over time, each state beside the one before';

---------------------------------------------------------------------------
-- The questions of every day
---------------------------------------------------------------------------
CREATE OR REPLACE VIEW monitoring.vw_failed_refreshes AS
SELECT table_name, schema_name, state, state_code, state_message, refresh_trigger, refresh_start_time, refresh_end_time
FROM monitoring.vw_dynamic_table_refresh_history
WHERE NOT refresh_succeeded AND refresh_end_time >= clock_timestamp() - interval '24 hours';
COMMENT ON VIEW monitoring.vw_failed_refreshes IS 'refreshes of the last 24 hours that did not succeed';

CREATE OR REPLACE VIEW monitoring.vw_performance_degradation AS
SELECT *,
       round(avg_1d / nullif(avg_7d, 0), 2) AS against_7d,
       round(avg_1d / nullif(avg_30d, 0), 2) AS against_30d,
       CASE WHEN avg_1d > 2 * avg_7d OR avg_1d > 2 * avg_30d THEN 'DEGRADED' ELSE 'STABLE' END AS verdict
FROM (
    SELECT schema_name, table_name,
           round(avg(duration_seconds) FILTER (WHERE refresh_start_time >= now() - interval '1 day'), 3) AS avg_1d,
           round(avg(duration_seconds) FILTER (WHERE refresh_start_time >= now() - interval '7 days'), 3) AS avg_7d,
           round(avg(duration_seconds), 3) AS avg_30d,
           count(*) AS refreshes
    FROM monitoring.vw_dynamic_table_refresh_history
    WHERE refresh_action <> 'NO_DATA' AND refresh_start_time >= now() - interval '30 days'
    GROUP BY schema_name, table_name) means;
COMMENT ON VIEW monitoring.vw_performance_degradation
    IS 'mean duration of refreshes that had something to do: the last day against 7 and 30 days; DEGRADED: more than twice';

CREATE OR REPLACE VIEW monitoring.vw_refresh_frequency AS
SELECT t.schema_name, t.name AS table_name, coalesce(t.target_lag, t.schedule) AS target_lag, t.effective_target_lag,
       coalesce(sum(h.repeats), 0) AS refreshes_24h,
       count(h.id) FILTER (WHERE h.refresh_action <> 'NO_DATA') AS with_data_24h,
       round(extract(epoch FROM least(interval '24 hours', now() - t.created_on)) / nullif(sum(h.repeats), 0)) AS seconds_between
FROM dyntable.dynamic_tables t
LEFT JOIN monitoring.vw_dynamic_table_refresh_history h
       ON h.schema_name = t.schema_name AND h.table_name = t.name AND h.refresh_end_time >= now() - interval '24 hours'
GROUP BY t.schema_name, t.name, t.target_lag, t.schedule, t.effective_target_lag, t.created_on;
COMMENT ON VIEW monitoring.vw_refresh_frequency IS 'how often each table was refreshed within a day, or since it was created, and what its lag asks for';

CREATE OR REPLACE VIEW monitoring.vw_dependency_chains AS
WITH RECURSIVE chain AS (
    SELECT d.relid, format('%I.%I', d.schema_name, d.name) AS table_name, 1 AS depth,
           format('%I.%I', d.source_schema_name, d.source_name) || ' > ' || format('%I.%I', d.schema_name, d.name) AS path
    FROM dyntable.dependencies d WHERE d.source_kind <> 'DYNAMIC TABLE'
    UNION ALL
    SELECT d.relid, format('%I.%I', d.schema_name, d.name), c.depth + 1, c.path || ' > ' || format('%I.%I', d.schema_name, d.name)
    FROM chain c JOIN dyntable.dependencies d ON d.source_relid = c.relid::oid)
SELECT relid, table_name, depth, path FROM chain;
COMMENT ON VIEW monitoring.vw_dependency_chains IS 'every way from a source to a dynamic table; depth 1: it reads the source itself';

CREATE OR REPLACE VIEW monitoring.vw_conflicts AS
SELECT master_facility_id, conflict_type, oms_values, vems_values, resolution_method, last_updated
FROM staging.vw_latest_facilities WHERE conflict_type IS NOT NULL;
COMMENT ON VIEW monitoring.vw_conflicts IS 'facilities about which the two systems disagree';

CREATE OR REPLACE VIEW monitoring.vw_stale_data AS
SELECT schema_name, table_name, target_lag, data_age_seconds, round(data_age_seconds - target_lag_seconds, 3) AS seconds_late, standstill
FROM monitoring.vw_dynamic_table_health WHERE freshness_status = 'STALE';
COMMENT ON VIEW monitoring.vw_stale_data IS 'tables that are older than their target lag, and why';

CREATE OR REPLACE VIEW monitoring.vw_summary AS
SELECT h.*, r.*, (SELECT round(avg(avg_dq_score), 2) FROM staging.vw_latest_dq_summary) AS avg_dq_score,
       (SELECT retained_wal_bytes FROM dyntable.capture) AS retained_wal_bytes, clock_timestamp() AS report_timestamp
FROM (SELECT count(*) AS dynamic_tables,
             count(*) FILTER (WHERE health_status = 'HEALTHY') AS healthy,
             count(*) FILTER (WHERE health_status = 'UNHEALTHY') AS unhealthy,
             count(*) FILTER (WHERE health_status = 'SUSPENDED') AS suspended,
             count(*) FILTER (WHERE freshness_status = 'STALE') AS stale,
             count(*) FILTER (WHERE refresh_mode = 'FULL') AS in_full_mode,
             max(data_age_seconds) AS oldest_data_seconds
      FROM monitoring.vw_dynamic_table_health) h
CROSS JOIN (
    SELECT coalesce(sum(repeats), 0) AS refreshes_24h,
           coalesce(sum(repeats) FILTER (WHERE NOT refresh_succeeded), 0) AS failures_24h,
           round(100.0 * count(*) FILTER (WHERE refresh_action = 'INCREMENTAL')
                 / nullif(count(*) FILTER (WHERE refresh_action <> 'NO_DATA'), 0), 2) AS incremental_pct
    FROM monitoring.vw_dynamic_table_refresh_history WHERE refresh_end_time >= now() - interval '24 hours') r;
COMMENT ON VIEW monitoring.vw_summary IS 'one line about all dynamic tables';

---------------------------------------------------------------------------
-- Cost.  What a refresh took is recorded; what an hour of a worker is worth is
-- for you to say.
---------------------------------------------------------------------------
CREATE OR REPLACE FUNCTION monitoring.cost_per_table(period interval DEFAULT '30 days', price_per_hour numeric DEFAULT 2.0)
    RETURNS TABLE (schema_name name, table_name name, warehouse_name text, refreshes bigint, total_compute_hours numeric, cpu_hours numeric,
                   wal_bytes numeric, blocks_read numeric, blocks_hit numeric, blocks_dirtied numeric, table_bytes bigint, estimated_cost numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT h.schema_name, h.table_name, h.warehouse_name, sum(h.repeats),
           round(sum(h.duration_seconds * h.repeats) / 3600, 6), round((sum(h.cpu_ms) / 3600000)::numeric, 6),
           sum(h.wal_bytes), sum(h.blocks_read), sum(h.blocks_hit), sum(h.blocks_dirtied),
           max((SELECT t.bytes FROM dyntable.dynamic_tables t WHERE t.schema_name = h.schema_name AND t.name = h.table_name)),
           round(sum(h.duration_seconds * h.repeats) / 3600 * price_per_hour, 4)
    FROM monitoring.vw_dynamic_table_refresh_history h
    WHERE h.refresh_end_time >= now() - period
    GROUP BY h.schema_name, h.table_name, h.warehouse_name
    ORDER BY 5 DESC;
END;
COMMENT ON FUNCTION monitoring.cost_per_table(interval, numeric)
    IS 'what refreshes of each table took: hours of a worker and of a processor, WAL, blocks; the price is that of a worker for an hour';

CREATE OR REPLACE FUNCTION monitoring.cost_per_warehouse(period interval DEFAULT '30 days', price_per_hour numeric DEFAULT 2.0)
    RETURNS TABLE (warehouse_name text, tables bigint, refreshes numeric, total_compute_hours numeric, cpu_hours numeric, wal_bytes numeric,
                   blocks_read numeric, estimated_cost numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.warehouse_name, count(*), sum(c.refreshes), sum(c.total_compute_hours), sum(c.cpu_hours), sum(c.wal_bytes), sum(c.blocks_read),
           sum(c.estimated_cost)
    FROM monitoring.cost_per_table(cost_per_warehouse.period, cost_per_warehouse.price_per_hour) c
    GROUP BY c.warehouse_name ORDER BY 4 DESC;
END;
COMMENT ON FUNCTION monitoring.cost_per_warehouse(interval, numeric) IS 'the same summed up by warehouse; refreshes by hand have none';

---------------------------------------------------------------------------
-- Who reads the dynamic tables: views, and roles by their grants
---------------------------------------------------------------------------
CREATE OR REPLACE VIEW monitoring.vw_downstream_consumers AS
WITH RECURSIVE readers AS (
    SELECT t.relid::oid AS relid, t.relid::oid AS reader, 0 AS depth FROM dyntable.dynamic_tables t
    UNION
    SELECT r.relid, w.ev_class, r.depth + 1
    FROM readers r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = r.reader
    JOIN pg_rewrite w ON w.oid = d.objid AND w.ev_class <> r.reader)
SELECT dyntable.qualified(r.relid) AS table_name,
       dyntable.qualified(r.reader) AS read_by,
       CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS kind,
       r.depth,
       ARRAY(SELECT CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END
             FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
             WHERE a.privilege_type = 'SELECT' ORDER BY 1) AS roles
FROM readers r JOIN pg_class c ON c.oid = r.reader;
COMMENT ON VIEW monitoring.vw_downstream_consumers IS 'each dynamic table and the views over it, with the roles that may read them';

CREATE OR REPLACE FUNCTION monitoring.dependency_diagram() RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT E'graph LR\n' || string_agg(line, E'\n' ORDER BY place, line) || E'\n'
    FROM (
        SELECT 1 AS place, format('    %s["%s"] --> %s["%s"]', source_relid, dyntable.qualified(source_relid), relid::oid, dyntable.qualified(relid)) AS line
        FROM dyntable.dependencies
        UNION
        SELECT 2, format('    %s["%s"] --> %s(["%s"])', c.table_name::regclass::oid, c.table_name, c.read_by::regclass::oid, c.read_by)
        FROM monitoring.vw_downstream_consumers c WHERE c.depth = 1
        UNION
        SELECT 3, format('    %s --> role_%s{{"%s"}}', c.read_by::regclass::oid, md5(role), role)
        FROM monitoring.vw_downstream_consumers c CROSS JOIN unnest(c.roles) role
        WHERE c.depth > 0 AND NOT starts_with(c.read_by, 'monitoring.')) lines;
END;
COMMENT ON FUNCTION monitoring.dependency_diagram() IS 'sources, dynamic tables, the views over them and who may read these, as a Mermaid diagram';
