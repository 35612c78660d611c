/*
 * monitor.sql: what people look at (with history.sql, information.sql and graph.sql).
 *
 * Dyntable's own tables are readable by no user; the views below are, and
 * show the rows of those dynamic tables that the reader may SELECT from, or
 * all to members of pg_read_all_stats.  Query texts are shown to the members
 * of a table's owner and of pg_read_all_stats.
 */
CREATE FUNCTION dyntable.freshness(relid oid, stored timestamptz) RETURNS timestamptz
    LANGUAGE C VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'dyntable_freshness';
COMMENT ON FUNCTION dyntable.freshness(oid, timestamptz)
    IS 'data timestamp of a dynamic table, given the one that is stored';

CREATE FUNCTION dyntable.next_refresh(relid oid) RETURNS timestamptz
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'dyntable_next_refresh';
COMMENT ON FUNCTION dyntable.next_refresh(oid)
    IS 'when the scheduler will refresh a dynamic table; null when it will not';

CREATE FUNCTION dyntable.changes(source oid) RETURNS bigint
    LANGUAGE C VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'dyntable_changes_counted';
COMMENT ON FUNCTION dyntable.changes(oid) IS 'how many changes of a source were logged since the server started';

CREATE FUNCTION dyntable.workers(OUT pid integer, OUT warehouse text, OUT state text,
                                 OUT since timestamptz, OUT tables oid[])
RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'dyntable_workers';
COMMENT ON FUNCTION dyntable.workers() IS 'refresh workers of this database and the tables they refresh';

CREATE FUNCTION dyntable.running(
    OUT pid integer, OUT refresh_trigger text, OUT due timestamptz, OUT run_started timestamptz, OUT tables oid[],
    OUT number integer, OUT relid oid, OUT started timestamptz, OUT phase text, OUT rows_done bigint,
    OUT rows_expected bigint, OUT run xid8)
RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'dyntable_running';
COMMENT ON FUNCTION dyntable.running() IS 'runs that are under way in this database';

CREATE FUNCTION dyntable.capture_problem() RETURNS text
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'dyntable_capture_problem';
COMMENT ON FUNCTION dyntable.capture_problem() IS 'why no changes are captured in this database; null where they are';

CREATE FUNCTION dyntable.counted(
    relid oid, id bigint, repeats integer,
    OUT started timestamptz, OUT ended timestamptz, OUT data_timestamp timestamptz, OUT count integer, OUT cpu_ms double precision,
    OUT blocks_hit bigint, OUT blocks_read bigint,
    OUT lag_since timestamptz, OUT lag_sum double precision, OUT lag_max double precision, OUT lag_above double precision,
    OUT lag_steps integer)
RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT ROWS 1
    AS 'MODULE_PATHNAME', 'dyntable_counted';
COMMENT ON FUNCTION dyntable.counted(oid, bigint, integer)
    IS 'refreshes that found nothing and wrote nothing since this row of dyntable.history was written';

CREATE VIEW dyntable.history_now AS
SELECT h.id, h.relid, h.state, h.action, h.trigger, h.code, h.message,
       coalesce(c.data_timestamp, h.data_timestamp) AS data_timestamp,
       coalesce(c.started, h.started) AS started,
       coalesce(c.ended, h.ended) AS ended,
       h.rows_inserted, h.rows_updated, h.rows_deleted, h.reason, h.phases, h.completion_target,
       h.repeats + coalesce(c.count, 0) AS repeats,
       h.target_lag, h.warehouse, h.queued_ms, h.run, h.inputs, h.last_input,
       h.cpu_ms + coalesce(c.cpu_ms, 0) AS cpu_ms,
       h.wal_bytes,
       h.blocks_hit + coalesce(c.blocks_hit, 0) AS blocks_hit,
       h.blocks_read + coalesce(c.blocks_read, 0) AS blocks_read,
       h.blocks_dirtied,
       coalesce(h.lag_since, c.lag_since) AS lag_since,
       coalesce(h.lag_sum + c.lag_sum, h.lag_sum, c.lag_sum) AS lag_sum,
       greatest(h.lag_max, c.lag_max) AS lag_max,
       coalesce(h.lag_above + c.lag_above, h.lag_above, c.lag_above) AS lag_above,
       coalesce(h.lag_steps + c.lag_steps, h.lag_steps, c.lag_steps) AS lag_steps
FROM dyntable.history h
LEFT JOIN LATERAL dyntable.counted(CASE WHEN h.action = 'NO_DATA' THEN h.relid END, h.id, h.repeats) c ON true;
COMMENT ON VIEW dyntable.history_now IS 'dyntable.history with what has only been counted since';

CREATE FUNCTION dyntable.lag_now(
    relid oid, stored timestamptz, ended timestamptz, target interval,
    OUT since timestamptz, OUT until timestamptz, OUT lag_sum double precision, OUT lag_max double precision,
    OUT lag_above double precision, OUT lag_steps integer)
    LANGUAGE C VOLATILE
    AS 'MODULE_PATHNAME', 'dyntable_lag_now';
COMMENT ON FUNCTION dyntable.lag_now(oid, timestamptz, timestamptz, interval)
    IS 'how old the data of a table was since its last refresh, as in dyntable.history';

CREATE FUNCTION dyntable.qualified(relid oid) RETURNS text
    LANGUAGE SQL STABLE STRICT
    SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = qualified.relid;
END;
COMMENT ON FUNCTION dyntable.qualified(oid) IS 'name of a relation with its schema, quoted where necessary; null: there is none';

CREATE FUNCTION dyntable.lag_text(lag interval) RETURNS text
    LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT CASE
        WHEN u.unit = 'milliseconds' THEN trim_scale(round(u.seconds * 1000, 3)) || ' milliseconds'
        ELSE trim_scale(u.seconds / u.size) ||
             CASE WHEN u.seconds = u.size THEN ' ' || u.unit ELSE ' ' || u.unit || 's' END
    END
    FROM (SELECT s.seconds,
                 CASE WHEN s.seconds < 1 THEN 'milliseconds' WHEN s.seconds % 86400 = 0 THEN 'day'
                      WHEN s.seconds % 3600 = 0 THEN 'hour' WHEN s.seconds % 60 = 0 THEN 'minute'
                      ELSE 'second' END AS unit,
                 CASE WHEN s.seconds % 86400 = 0 THEN 86400 WHEN s.seconds % 3600 = 0 THEN 3600
                      WHEN s.seconds % 60 = 0 THEN 60 ELSE 1 END AS size
          FROM (SELECT extract(epoch FROM lag_text.lag) AS seconds) s) u;
END;
COMMENT ON FUNCTION dyntable.lag_text(interval) IS 'an interval in its largest whole unit, as in ''10 minutes''';

CREATE FUNCTION dyntable.sees_all() RETURNS boolean
    LANGUAGE SQL STABLE
    SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT pg_has_role('pg_read_all_stats', 'USAGE');
END;
COMMENT ON FUNCTION dyntable.sees_all() IS 'whether the current user may see all of dyntable''s views';

-- Functions, for as parts of the view's plan they would make it so dear that
-- every look at it were compiled.  They tell names, which pg_class tells as well, and a lag.
-- Each step of a recursion finds few tables, by index; the planner expects many, and would read all.
CREATE FUNCTION dyntable.stopped_upstream(relid oid) RETURNS text
    LANGUAGE SQL STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog
    SET jit = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
BEGIN ATOMIC
    WITH RECURSIVE up (relid) AS (
        SELECT e.source FROM dyntable.pull e WHERE e.relid = stopped_upstream.relid
        UNION
        SELECT e.source FROM up JOIN dyntable.pull e ON e.relid = up.relid)
    SELECT string_agg(dyntable.qualified(u.relid), ', ' ORDER BY u.relid::oid)
    FROM up JOIN dyntable.dynamic_table u ON u.relid = up.relid JOIN dyntable.warehouse w ON w.name = u.warehouse
    WHERE u.state = 'SUSPENDED' OR (w.suspended AND NOT w.auto_resume);
END;
COMMENT ON FUNCTION dyntable.stopped_upstream(oid) IS 'the tables that keep one from being refreshed which reads them; null: none';

CREATE FUNCTION dyntable.readers(relid oid) RETURNS SETOF oid
    LANGUAGE SQL STABLE STRICT SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog
    SET jit = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
BEGIN ATOMIC
    WITH RECURSIVE down (relid) AS (
        SELECT e.relid FROM dyntable.pull e WHERE e.source = readers.relid
        UNION
        SELECT e.relid FROM down JOIN dyntable.pull e ON e.source = down.relid)
    SELECT down.relid FROM down;
END;
COMMENT ON FUNCTION dyntable.readers(oid) IS 'the dynamic tables that read one, also by way of others';
REVOKE ALL ON FUNCTION dyntable.readers(oid) FROM PUBLIC;

CREATE FUNCTION dyntable.consumed(relid oid) RETURNS boolean
    LANGUAGE SQL STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM dyntable.readers(consumed.relid) AS r (relid) JOIN dyntable.dynamic_table d ON d.relid = r.relid
        WHERE d.state = 'ACTIVE' AND (d.target_lag IS NOT NULL OR d.schedule IS NOT NULL));
END;
COMMENT ON FUNCTION dyntable.consumed(oid) IS 'whether an active table with a lag or a schedule reads one, also by way of others';

CREATE FUNCTION dyntable.effective_lag(relid oid) RETURNS interval
    LANGUAGE SQL STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT least(
        (SELECT d.target_lag FROM dyntable.dynamic_table d WHERE d.relid = effective_lag.relid),
        (SELECT min(d.target_lag)
         FROM dyntable.readers(effective_lag.relid) AS r (relid) JOIN dyntable.dynamic_table d ON d.relid = r.relid
         WHERE d.state = 'ACTIVE'));
END;
COMMENT ON FUNCTION dyntable.effective_lag(oid) IS 'the least lag of a table and of the active ones that read it, also by way of others; null: there is none';

CREATE VIEW dyntable.dynamic_tables WITH (security_barrier) AS
SELECT c.relname AS name,
       n.nspname AS schema_name,
       current_database() AS database_name,
       t.relid,
       pg_get_userbyid(c.relowner) AS owner,
       CASE WHEN m.all_rows OR pg_has_role(c.relowner, 'USAGE') THEN t.query END AS query,
       CASE WHEN t.target_lag IS NOT NULL THEN dyntable.lag_text(t.target_lag)
            WHEN t.schedule IS NULL THEN 'downstream' END AS target_lag,
       dyntable.lag_text(t.effective) AS effective_target_lag,
       t.schedule,
       CASE WHEN t.incremental THEN 'INCREMENTAL' ELSE 'FULL' END AS refresh_mode,
       upper(t.refresh_mode) AS requested_refresh_mode,
       t.reason_code AS refresh_mode_reason_code,
       t.reason AS refresh_mode_reason,
       upper(t.initialize) AS initialize,
       t.warehouse AS warehouse_name,
       t.initialization_warehouse AS initialization_warehouse_name,
       t.state AS scheduling_state,
       t.state_code AS scheduling_state_reason,
       CASE WHEN t.state = 'SUSPENDED' THEN t.suspended_on END AS suspended_on,
       s.waiting_for,
       coalesce(p.populated, false) AS populated,
       f.data_timestamp,
       f.clock - f.data_timestamp AS age,
       coalesce(p.reinit_reason, t.restored) AS reinit_reason,
       h.state AS last_refresh_state,
       h.action AS last_refresh_action,
       h.started AS last_refresh_start_time,
       h.ended AS last_refresh_end_time,
       h.code AS last_refresh_code,
       e.message AS last_refresh_message,
       CASE WHEN t.state = 'ACTIVE' THEN dyntable.next_refresh(t.relid) END AS next_refresh_time,
       p.failures AS consecutive_failures,
       CASE
       WHEN t.restored IS NOT NULL THEN t.restored
       WHEN t.state_code = 'USER_SUSPENDED' THEN 'suspended by ' || coalesce(t.state_by, 'its user')
       WHEN t.state_code = 'UPSTREAM_USER_SUSPENDED' THEN
           'suspended with ' || coalesce(t.suspended_upstream, 'a table that it reads')
       WHEN t.state_code = 'SUSPENDED_DUE_TO_ERRORS' THEN
           format('suspended after %s failures in a row: %s', p.failures, coalesce(e.message, 'SQLSTATE ' || h.code, 'see its history'))
       WHEN t.state_code = 'UPSTREAM_SUSPENDED_DUE_TO_ERRORS' THEN
           format('suspended because of failures of %s', coalesce(t.suspended_upstream, 'a table that it reads'))
       WHEN t.state_code = 'CLONED_AUTO_SUSPENDED' THEN 'a clone, not resumed yet'
       WHEN s.waiting_for = 'RESUME' THEN coalesce(t.state_code, 'suspended')
       WHEN f.standby THEN 'the server is a standby'
       WHEN s.waiting_for = 'REFRESH' THEN 'it is refreshed by dyntable_refresh() alone'
       WHEN s.waiting_for = 'WAREHOUSE' THEN format('warehouse "%s" is suspended', w.name)
       WHEN s.waiting_for = 'UPSTREAM' THEN format('waits for %s, suspended or in a warehouse that is', dyntable.stopped_upstream(t.relid))
       WHEN s.waiting_for = 'CONSUMER' THEN
           'its target lag is downstream, and no table that reads it is refreshed because of a lag or schedule'
       WHEN h.state = 'UPSTREAM_FAILED' THEN 'waits for what it reads, which ' || e.message
       WHEN s.waiting_for = 'RETRY' THEN
           format('failed, and is tried again at %s: %s', p.retry_at, coalesce(e.message, 'SQLSTATE ' || h.code))
       WHEN t.incremental AND dyntable.capture_problem() IS NOT NULL AND
            EXISTS (SELECT FROM dyntable.edge e WHERE e.relid = t.relid AND e.kind = 'b') THEN
           'waits for change capture: ' || dyntable.capture_problem()
       WHEN p.populated IS NOT TRUE THEN 'waits for its first refresh'
       WHEN f.clock - f.data_timestamp > t.effective THEN
           'refreshes take longer than its lag, or wait for a worker'
       END AS standstill,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS rows,
       dyntable.size(c.oid) AS bytes,
       obj_description(c.oid, 'pg_class') AS comment,
       t.created AS created_on,
       t.resumed_on,
       p.refresh_no,
       (SELECT d.keep FROM dyntable.feed d WHERE d.relid = t.relid) AS changes_kept,
       t.frozen_where
FROM (
    -- Computed only where they are asked for.
    SELECT t.*,
           dyntable.effective_lag(t.relid) AS effective,
           (SELECT string_agg(dyntable.qualified(s.relid), ', ' ORDER BY s.relid::oid)
            FROM dyntable.edge e JOIN dyntable.dynamic_table s ON s.relid = e.source
            WHERE e.relid = t.relid AND s.state = 'SUSPENDED') AS suspended_upstream
    FROM (
        SELECT relid, query, target_lag, schedule, incremental, refresh_mode, reason_code, reason,
               initialize, warehouse, initialization_warehouse, state, state_code, state_by, suspended_on, resumed_on, created,
               NULL::text AS restored, frozen_where
        FROM dyntable.dynamic_table
        UNION ALL
        SELECT dyntable.restored_relid(schema_name, name), query, target_lag, schedule, refresh_mode <> 'full',
               refresh_mode, NULL, NULL, initialize, warehouse, initialization_warehouse, 'SUSPENDED', 'RESTORED', NULL, restored_on, NULL, restored_on,
               'restored from a dump: take it over with dyntable_refresh() or dyntable_resume()', frozen_where
        FROM dyntable.restored) t) t
JOIN pg_class c ON c.oid = t.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN dyntable.position p ON p.relid = t.relid
CROSS JOIN LATERAL (SELECT dyntable.freshness(t.relid, p.data_timestamp) AS data_timestamp, clock_timestamp() AS clock, pg_is_in_recovery() AS standby) f
CROSS JOIN (SELECT dyntable.sees_all() AS all_rows) m
LEFT JOIN dyntable.warehouse w ON w.name =
    CASE WHEN p.populated AND p.reinit_reason IS NULL THEN t.warehouse ELSE coalesce(t.initialization_warehouse, t.warehouse) END
-- Nothing volatile here, nor in the dear columns above, or it would be computed for readers of other columns, too.
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.state = 'SUSPENDED' THEN 'RESUME'
                WHEN t.schedule = 'manual' THEN 'REFRESH'
                WHEN w.suspended AND NOT w.auto_resume THEN 'WAREHOUSE'
                WHEN dyntable.stopped_upstream(t.relid) IS NOT NULL THEN 'UPSTREAM'
                WHEN t.target_lag IS NULL AND t.schedule IS NULL AND NOT dyntable.consumed(t.relid) THEN 'CONSUMER'
                WHEN p.retry_at > statement_timestamp() THEN 'RETRY' END AS waiting_for) s
LEFT JOIN LATERAL (
    SELECT * FROM dyntable.history_now l WHERE l.relid = t.relid ORDER BY l.id DESC LIMIT 1) h ON true
-- The text of a failure may hold values of sources; which input failed is no secret.
CROSS JOIN LATERAL (
    SELECT CASE WHEN m.all_rows OR h.state = 'UPSTREAM_FAILED' OR pg_has_role(c.relowner, 'USAGE') THEN h.message END AS message) e
WHERE m.all_rows OR has_table_privilege(c.oid, 'SELECT');
COMMENT ON VIEW dyntable.dynamic_tables
    IS 'dynamic tables: definition, mode, scheduling state, data timestamp, last and next refresh';
COMMENT ON COLUMN dyntable.dynamic_tables.target_lag IS 'greatest age that the data may reach, or downstream; null with a schedule';
COMMENT ON COLUMN dyntable.dynamic_tables.effective_target_lag IS 'the least lag of the table and of those that read it; null: never refreshed because of a lag';
COMMENT ON COLUMN dyntable.dynamic_tables.refresh_mode IS 'INCREMENTAL or FULL, as it is';
COMMENT ON COLUMN dyntable.dynamic_tables.requested_refresh_mode IS 'AUTO, INCREMENTAL or FULL, as asked for';
COMMENT ON COLUMN dyntable.dynamic_tables.data_timestamp IS 'the content is what the query returned at this time; null before the first fill';
COMMENT ON COLUMN dyntable.dynamic_tables.age IS 'how old the data is now';
COMMENT ON COLUMN dyntable.dynamic_tables.reinit_reason IS 'why the next refresh computes the table anew; null: it does not';
COMMENT ON COLUMN dyntable.dynamic_tables.rows IS 'as of the last ANALYZE, an estimate';
COMMENT ON COLUMN dyntable.dynamic_tables.bytes IS 'with indexes and TOAST; null while somebody has locked it exclusively';
COMMENT ON COLUMN dyntable.dynamic_tables.query IS 'as it was given; null for those who may not see it';
COMMENT ON COLUMN dyntable.dynamic_tables.schedule IS 'cron expression, or manual, instead of a lag';
COMMENT ON COLUMN dyntable.dynamic_tables.refresh_mode_reason_code IS 'why the mode is FULL, as a code';
COMMENT ON COLUMN dyntable.dynamic_tables.refresh_mode_reason IS 'why the mode is FULL, in words';
COMMENT ON COLUMN dyntable.dynamic_tables.initialize IS 'ON_CREATE or ON_SCHEDULE';
COMMENT ON COLUMN dyntable.dynamic_tables.warehouse_name IS 'the pool of refresh workers';
COMMENT ON COLUMN dyntable.dynamic_tables.frozen_where IS 'rows that satisfy it are not computed again';
COMMENT ON COLUMN dyntable.dynamic_tables.initialization_warehouse_name IS 'the pool for first fills and when it is computed anew; null: the same';
COMMENT ON COLUMN dyntable.dynamic_tables.waiting_for IS 'why no refresh is due: RESUME (scheduling_state_reason says why), REFRESH (it is refreshed by hand only), WAREHOUSE (it is suspended), UPSTREAM (a table that it reads waits for one of these), CONSUMER (downstream, and none is refreshed), RETRY (after a failure, at next_refresh_time)';
COMMENT ON COLUMN dyntable.dynamic_tables.scheduling_state IS 'ACTIVE or SUSPENDED';
COMMENT ON COLUMN dyntable.dynamic_tables.scheduling_state_reason IS 'who or what suspended the table; RESTORED: it came with a dump';
COMMENT ON COLUMN dyntable.dynamic_tables.suspended_on IS 'since when it is suspended';
COMMENT ON COLUMN dyntable.dynamic_tables.standstill IS 'why it is not as fresh as it should be, in words; null: it is, or is about to be';
COMMENT ON COLUMN dyntable.dynamic_tables.resumed_on IS 'when it was resumed last';
COMMENT ON COLUMN dyntable.dynamic_tables.refresh_no IS 'number of the last refresh that changed rows; see dyntable_changes()';
COMMENT ON COLUMN dyntable.dynamic_tables.changes_kept IS 'for how long dyntable_changes() has its changes; null: it is not followed';
COMMENT ON COLUMN dyntable.dynamic_tables.populated IS 'false before the first fill';
COMMENT ON COLUMN dyntable.dynamic_tables.last_refresh_state IS 'SUCCEEDED, FAILED, CANCELLED or UPSTREAM_FAILED';
COMMENT ON COLUMN dyntable.dynamic_tables.last_refresh_action IS 'NO_DATA, INCREMENTAL, FULL or REINITIALIZE; null where it failed';
COMMENT ON COLUMN dyntable.dynamic_tables.last_refresh_code IS 'SQLSTATE of the failure';
COMMENT ON COLUMN dyntable.dynamic_tables.last_refresh_message IS 'text of the failure; null for those who may not see the query';
COMMENT ON COLUMN dyntable.dynamic_tables.next_refresh_time IS 'when the scheduler will refresh it';
COMMENT ON COLUMN dyntable.dynamic_tables.consecutive_failures IS 'failed scheduled refreshes in a row that count towards suspension';

CREATE VIEW dyntable.dependencies WITH (security_barrier) AS
SELECT c.relname AS name,
       n.nspname AS schema_name,
       e.relid,
       s.relname AS source_name,
       sn.nspname AS source_schema_name,
       e.source AS source_relid,
       CASE WHEN e.kind = 'd' THEN 'DYNAMIC TABLE'
            WHEN s.relkind = 'm' THEN 'MATERIALIZED VIEW'
            WHEN s.relkind = 'f' THEN 'FOREIGN TABLE'
            WHEN s.relkind = 'v' THEN 'VIEW'
            ELSE 'TABLE' END AS source_kind,
       e.kind <> 'f' AS incremental,
       ARRAY(SELECT a.attname FROM unnest(e.columns) WITH ORDINALITY AS k (attnum, place)
             JOIN pg_attribute a ON a.attrelid = e.source AND a.attnum = k.attnum
             ORDER BY k.place) AS columns,
       e.boundary
FROM dyntable.edge e
JOIN pg_class c ON c.oid = e.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class s ON s.oid = e.source
LEFT JOIN pg_namespace sn ON sn.oid = s.relnamespace
WHERE dyntable.sees_all() OR has_table_privilege(c.oid, 'SELECT');
COMMENT ON COLUMN dyntable.dependencies.boundary IS 'a dynamic table that is read as it is, and not refreshed for the sake of this one';
COMMENT ON VIEW dyntable.dependencies IS 'which relations each dynamic table reads, views expanded';
COMMENT ON COLUMN dyntable.dependencies.incremental IS 'whether the changes of the source are known; if not, it is read in full';
COMMENT ON COLUMN dyntable.dependencies.source_kind IS 'TABLE, DYNAMIC TABLE, MATERIALIZED VIEW or FOREIGN TABLE';
COMMENT ON COLUMN dyntable.dependencies.columns IS 'what the query reads of it, and the columns of its primary key';

CREATE VIEW dyntable.sources WITH (security_barrier) AS
SELECT c.relname AS name,
       n.nspname AS schema_name,
       s.relid,
       ARRAY(SELECT a.attname FROM unnest(s.columns) WITH ORDINALITY AS k (attnum, place)
             JOIN pg_attribute a ON a.attrelid = s.relid AND a.attnum = k.attnum
             ORDER BY k.place) AS columns,
       (SELECT count(*) FROM dyntable.edge e WHERE e.source = s.relid) AS dynamic_tables,
       dyntable.changes(s.relid) AS changes,
       pg_stat_get_live_tuples(s.log) + pg_stat_get_live_tuples(s.other_log) AS pending_changes,
       dyntable.size(s.log) + dyntable.size(s.other_log) AS log_bytes,
       l.relid AS held_by,
       l.data_timestamp AS held_since
FROM dyntable.source s
JOIN pg_class c ON c.oid = s.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT p.relid::regclass AS relid, p.data_timestamp
    FROM dyntable.edge e JOIN dyntable.position p ON p.relid = e.relid
    WHERE e.source = s.relid AND p.populated AND p.reinit_reason IS NULL
    ORDER BY pg_snapshot_xmin(p.snapshot), p.data_timestamp LIMIT 1) l ON true
WHERE dyntable.sees_all() OR has_table_privilege(c.oid, 'SELECT');
COMMENT ON VIEW dyntable.sources IS 'base tables under change capture and the size of their change logs';
COMMENT ON COLUMN dyntable.sources.columns IS 'what is captured: the columns that some dynamic table reads';
COMMENT ON COLUMN dyntable.sources.changes IS 'changes logged since the server started; an update counts as two';
COMMENT ON COLUMN dyntable.sources.log_bytes IS 'size of the change log';
COMMENT ON COLUMN dyntable.sources.held_by IS 'the dynamic table that has read least of it, and for which it is kept';
COMMENT ON COLUMN dyntable.sources.held_since IS 'data timestamp of that dynamic table';
COMMENT ON COLUMN dyntable.sources.pending_changes IS 'rows in the change log that are not yet trimmed, an estimate';

CREATE VIEW dyntable.warehouses WITH (security_barrier) AS
SELECT w.name,
       w.owner::text AS owner,
       ARRAY(SELECT CASE g WHEN 0 THEN 'public' ELSE pg_get_userbyid(g) END FROM unnest(w.grantees) g ORDER BY 1) AS granted_to,
       w.max_workers,
       CASE WHEN dyntable.sees_all() OR pg_has_role(w.owner, 'USAGE') THEN w.settings END AS settings,
       w.statement_timeout,
       w.auto_suspend,
       w.auto_resume,
       CASE WHEN w.suspended THEN 'SUSPENDED' WHEN k.workers > 0 THEN 'STARTED' ELSE 'IDLE' END AS state,
       (SELECT count(*) FROM dyntable.dynamic_table t WHERE w.name IN (t.warehouse, t.initialization_warehouse)) AS dynamic_tables,
       k.workers,
       k.busy_workers,
       (SELECT count(*) FROM dyntable.dynamic_table t
        WHERE t.warehouse = w.name AND t.state = 'ACTIVE' AND dyntable.next_refresh(t.relid) <= clock_timestamp()
          AND NOT EXISTS (SELECT FROM dyntable.workers() r WHERE t.relid::oid = ANY (r.tables))) AS queued_tables,
       w.comment,
       w.created AS created_on
FROM dyntable.warehouse w
CROSS JOIN LATERAL (
    SELECT count(*) AS workers, count(*) FILTER (WHERE r.state IN ('busy', 'starting')) AS busy_workers
    FROM dyntable.workers() r WHERE r.warehouse = w.name) k;
COMMENT ON VIEW dyntable.warehouses IS 'pools of refresh workers and what they do';
COMMENT ON COLUMN dyntable.warehouses.granted_to IS 'roles that may use it beside its owner';
COMMENT ON COLUMN dyntable.warehouses.max_workers IS 'how many refreshes run at once; null: as many as dyntable.max_workers';
COMMENT ON COLUMN dyntable.warehouses.settings IS 'settings of its refreshes; null for those who may not see them';
COMMENT ON COLUMN dyntable.warehouses.statement_timeout IS 'a run that takes longer is cancelled; null: that of the server';
COMMENT ON COLUMN dyntable.warehouses.auto_suspend IS 'how long an idle worker stays; null: for ever';
COMMENT ON COLUMN dyntable.warehouses.auto_resume IS 'whether the next due refresh ends a suspension';
COMMENT ON COLUMN dyntable.warehouses.state IS 'SUSPENDED, STARTED (it has workers) or IDLE';
COMMENT ON COLUMN dyntable.warehouses.dynamic_tables IS 'that name it, also for initialization';
COMMENT ON COLUMN dyntable.warehouses.queued_tables IS 'that are due and wait for a worker';

GRANT SELECT ON dyntable.dynamic_tables, dyntable.dependencies, dyntable.sources, dyntable.warehouses TO PUBLIC;
