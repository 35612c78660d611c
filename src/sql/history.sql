/*
 * history.sql: refreshes that were, that are under way, and how old the data was.
 *
 * Rows are shown as in monitor.sql.
 */
CREATE VIEW dyntable.refresh_history WITH (security_barrier) AS
SELECT coalesce(c.relname, (
           SELECT v.name FROM dyntable.version v WHERE v.relid = h.relid AND v.valid_from <= h.ended
           ORDER BY v.valid_from DESC LIMIT 1)) AS name,
       coalesce(n.nspname, (
           SELECT v.schema_name FROM dyntable.version v WHERE v.relid = h.relid AND v.valid_from <= h.ended
           ORDER BY v.valid_from DESC LIMIT 1)) AS schema_name,
       current_database() AS database_name,
       h.relid,
       h.state,
       h.code AS state_code,
       CASE WHEN m.all_rows OR h.state = 'UPSTREAM_FAILED' OR pg_has_role(c.relowner, 'USAGE') THEN h.message END AS state_message,
       h.data_timestamp,
       h.started AS refresh_start_time,
       h.ended AS refresh_end_time,
       h.ended - h.started AS duration,
       h.completion_target,
       h.action AS refresh_action,
       h.trigger AS refresh_trigger,
       h.reason,
       CASE WHEN h.action = 'REINITIALIZE' THEN h.reason END AS reinit_reason,
       h.rows_inserted,
       h.rows_updated,
       h.rows_deleted,
       h.phases,
       h.repeats,
       CASE WHEN h.target_lag IS NOT NULL THEN dyntable.lag_text(h.target_lag)
            WHEN t.relid IS NOT NULL AND t.schedule IS NULL AND t.target_lag IS NULL THEN 'downstream' END AS target_lag,
       h.warehouse AS warehouse_name,
       h.queued_ms,
       h.cpu_ms,
       h.wal_bytes,
       h.blocks_hit,
       h.blocks_read,
       h.blocks_dirtied,
       h.run,
       CASE WHEN h.inputs IS NOT NULL THEN (
           SELECT jsonb_agg(jsonb_build_object(
                      'name', dyntable.qualified((i ->> 'relid')::oid), 'kind', i ->> 'kind',
                      'statistics', jsonb_build_object('numRegisteredRows', i -> 'registered',
                                                       'numUnregisteredRows', i -> 'unregistered')))
           FROM jsonb_array_elements(h.inputs) i) END AS inputs_with_changed_data,
       dyntable.qualified(h.last_input) AS last_completed_dependency,
       (SELECT v.valid_from FROM dyntable.version v WHERE v.relid = h.relid AND v.valid_from <= h.ended
        ORDER BY v.valid_from DESC LIMIT 1) AS graph_history_valid_from,
       extract(epoch FROM h.target_lag)::double precision AS target_lag_sec,
       h.id
FROM dyntable.history_now h
LEFT JOIN pg_class c ON c.oid = h.relid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN dyntable.dynamic_table t ON t.relid = h.relid
CROSS JOIN (SELECT dyntable.sees_all() AS all_rows) m
WHERE m.all_rows OR (t.relid IS NOT NULL AND has_table_privilege(c.oid, 'SELECT'));
COMMENT ON VIEW dyntable.refresh_history
    IS 'refreshes of dynamic tables; refreshes in a row that found nothing are one row with a count, which tells of the last of them and what all have cost';
COMMENT ON COLUMN dyntable.refresh_history.name IS 'as it is now; of a dropped table as it was';
COMMENT ON COLUMN dyntable.refresh_history.state IS 'SUCCEEDED, FAILED, CANCELLED or UPSTREAM_FAILED';
COMMENT ON COLUMN dyntable.refresh_history.completion_target IS 'the previous data timestamp plus target lag: when the refresh had to be complete';
COMMENT ON COLUMN dyntable.refresh_history.phases IS 'milliseconds for the phases of the refresh (the last that was stored); wait_for_capture was before its start';
COMMENT ON COLUMN dyntable.refresh_history.repeats IS 'how many refreshes this row stands for';
COMMENT ON COLUMN dyntable.refresh_history.state_code IS 'SQLSTATE of the failure, or UPSTREAM_FAILED';
COMMENT ON COLUMN dyntable.refresh_history.state_message IS 'text of the failure, null for those who may not see the query; the inputs that failed';
COMMENT ON COLUMN dyntable.refresh_history.data_timestamp IS 'what the table stands at since, or would if the refresh had succeeded';
COMMENT ON COLUMN dyntable.refresh_history.refresh_action IS 'NO_DATA, INCREMENTAL, FULL or REINITIALIZE; null where it failed';
COMMENT ON COLUMN dyntable.refresh_history.refresh_trigger IS 'SCHEDULED, MANUAL or CREATION';
COMMENT ON COLUMN dyntable.refresh_history.reason IS 'why the action was FULL or REINITIALIZE';
COMMENT ON COLUMN dyntable.refresh_history.reinit_reason IS 'reason, where the action was REINITIALIZE';
COMMENT ON COLUMN dyntable.refresh_history.target_lag IS 'that was in force';
COMMENT ON COLUMN dyntable.refresh_history.queued_ms IS 'from when the run was due to when it began; null: nobody planned it';
COMMENT ON COLUMN dyntable.refresh_history.duration IS 'of one refresh, also where the row stands for several';
COMMENT ON COLUMN dyntable.refresh_history.cpu_ms IS 'processor time, without that of parallel workers; like the columns after it of all refreshes that the row stands for';
COMMENT ON COLUMN dyntable.refresh_history.wal_bytes IS 'WAL written by it';
COMMENT ON COLUMN dyntable.refresh_history.blocks_hit IS 'blocks found in shared buffers';
COMMENT ON COLUMN dyntable.refresh_history.blocks_read IS 'blocks read into them';
COMMENT ON COLUMN dyntable.refresh_history.blocks_dirtied IS 'blocks changed for the first time since they were written';
COMMENT ON COLUMN dyntable.refresh_history.run IS 'transaction of the run: all tables that it refreshed have the same; of failures that which took note of them';
COMMENT ON COLUMN dyntable.refresh_history.inputs_with_changed_data IS 'sources and the changes that were read; null where none were, or the delta was not computed';
COMMENT ON COLUMN dyntable.refresh_history.last_completed_dependency IS 'of the dynamic tables that it reads, the one that was refreshed last before it';
COMMENT ON COLUMN dyntable.refresh_history.graph_history_valid_from IS 'valid_from of the table''s version then, see dynamic_table_graph_history()';

CREATE VIEW dyntable.progress WITH (security_barrier) AS
SELECT c.relname AS name,
       n.nspname AS schema_name,
       r.relid,
       r.pid,
       r.refresh_trigger,
       r.phase,
       r.rows_done,
       r.rows_expected,
       r.started,
       r.run_started,
       r.run,
       r.number,
       cardinality(r.tables) AS tables,
       ARRAY(SELECT dyntable.qualified(k.relid) FROM unnest(r.tables) WITH ORDINALITY AS k (relid, place)
             WHERE dyntable.sees_all() OR has_table_privilege(k.relid, 'SELECT') ORDER BY k.place) AS run_tables
FROM dyntable.running() r
LEFT JOIN pg_class c ON c.oid = r.relid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE dyntable.sees_all() OR has_table_privilege(coalesce(r.relid, r.tables[1]), 'SELECT');
COMMENT ON VIEW dyntable.progress IS 'refreshes under way: one row for each run, with the table that it is at';
COMMENT ON COLUMN dyntable.progress.name IS 'the table that is being refreshed; null: the run has not come to one';
COMMENT ON COLUMN dyntable.progress.phase IS 'wait_for_locks, or as in the column phases of dyntable.refresh_history';
COMMENT ON COLUMN dyntable.progress.rows_done IS 'rows that the present statement has computed';
COMMENT ON COLUMN dyntable.progress.rows_expected IS 'how many the planner expects of it';
COMMENT ON COLUMN dyntable.progress.started IS 'when the table''s refresh began';
COMMENT ON COLUMN dyntable.progress.run IS 'transaction of the run';
COMMENT ON COLUMN dyntable.progress.number IS 'which of the run''s tables it is; 0: none yet';
COMMENT ON COLUMN dyntable.progress.tables IS 'how many tables the run has (64: or more)';
COMMENT ON COLUMN dyntable.progress.run_tables IS 'these tables, upstream first';

CREATE VIEW dyntable.lag_history WITH (security_barrier) AS
SELECT c.relname AS name,
       n.nspname AS schema_name,
       i.relid,
       i.since,
       i.until,
       i.lag_max AS maximum_lag_sec,
       i.lag_sum / nullif(extract(epoch FROM i.until - i.since)::double precision, 0) AS mean_lag_sec,
       i.lag_above AS above_target_lag_sec,
       extract(epoch FROM i.target_lag)::double precision AS target_lag_sec,
       i.lag_sum,
       i.lag_steps AS steps
FROM (
    SELECT h.relid, h.lag_since AS since, h.ended AS until, h.lag_sum, h.lag_max, h.lag_above, h.lag_steps, h.target_lag
    FROM dyntable.history_now h WHERE h.lag_since IS NOT NULL
    UNION ALL
    SELECT p.relid, o.since, o.until, o.lag_sum, o.lag_max, o.lag_above, o.lag_steps, t.target_lag
    FROM dyntable.position p
    JOIN dyntable.dynamic_table t ON t.relid = p.relid
    CROSS JOIN LATERAL (
        SELECT h.ended FROM dyntable.history_now h WHERE h.relid = p.relid AND h.state = 'SUCCEEDED'
        ORDER BY h.id DESC LIMIT 1) h
    CROSS JOIN LATERAL dyntable.lag_now(p.relid, p.data_timestamp, h.ended, t.target_lag) o
    WHERE p.data_timestamp IS NOT NULL) i
JOIN pg_class c ON c.oid = i.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE dyntable.sees_all() OR has_table_privilege(c.oid, 'SELECT');
COMMENT ON VIEW dyntable.lag_history
    IS 'how old the data was, from the end of one refresh to that of the next, and since the last';
COMMENT ON COLUMN dyntable.lag_history.maximum_lag_sec IS 'just before the data timestamp moved';
COMMENT ON COLUMN dyntable.lag_history.above_target_lag_sec IS 'how long it was above the target lag; null: there was none';
COMMENT ON COLUMN dyntable.lag_history.steps IS 'how often the data timestamp moved: more than once where nothing had happened to the table';
COMMENT ON COLUMN dyntable.lag_history.lag_sum IS 'the mean times the time: to be summed up';

GRANT SELECT ON dyntable.refresh_history, dyntable.progress, dyntable.lag_history TO PUBLIC;

CREATE VIEW dyntable.versions WITH (security_barrier) AS
SELECT v.relid, v.name::text AS name, v.schema_name::text AS schema_name, v.inputs,
       CASE WHEN m.all_rows OR pg_has_role(c.relowner, 'USAGE') THEN v.query END AS query_text,
       v.target_lag, v.schedule, v.warehouse, v.state, v.state_code, v.suspended_on, v.resumed_on,
       v.alter_trigger, v.valid_from, v.valid_to
FROM dyntable.version v
LEFT JOIN pg_class c ON c.oid = v.relid
CROSS JOIN (SELECT dyntable.sees_all() AS all_rows) m
WHERE m.all_rows OR (EXISTS (SELECT FROM dyntable.dynamic_table t WHERE t.relid = v.relid) AND
                     has_table_privilege(c.oid, 'SELECT'));
COMMENT ON VIEW dyntable.versions IS 'what dynamic tables were and when: behind dynamic_table_graph_history()';
GRANT SELECT ON dyntable.versions TO PUBLIC;
