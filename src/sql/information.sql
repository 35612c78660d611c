/*
 * information.sql: the same in the words that people know: functions with the
 * arguments and columns of Snowflake's INFORMATION_SCHEMA, lower case.
 *
 * They run with the caller's rights, over the views, and show what these show.
 * Row types are named, for an argument and a column have the same name.  JIT is off:
 * the planner fears these queries, and compiling them takes longer than they do.
 */
CREATE TYPE dyntable.dynamic_tables_row AS (
    name text, schema_name text, database_name text, qualified_name text,
    target_lag_sec double precision, target_lag_type text, scheduler text, scheduling_state jsonb,
    mean_lag_sec double precision, maximum_lag_sec double precision,
    time_above_target_lag_sec double precision, time_within_target_lag_ratio double precision,
    latest_data_timestamp timestamptz,
    last_completed_refresh_state text, last_completed_refresh_state_code text,
    last_completed_refresh_state_message text,
    executing_refresh_query_id text, recommendations jsonb,
    target_lag text, refresh_mode text, refresh_mode_reason text, warehouse_name text, data_timestamp timestamptz,
    last_refresh_start_time timestamptz, last_refresh_end_time timestamptz, next_refresh_time timestamptz,
    standstill text);
COMMENT ON TYPE dyntable.dynamic_tables_row IS 'row of dyntable.dynamic_tables()';

CREATE TYPE dyntable.refresh_history_row AS (
    name text, schema_name text, database_name text, qualified_name text,
    state text, state_code text, state_message text, query_id text,
    data_timestamp timestamptz, refresh_start_time timestamptz, refresh_end_time timestamptz,
    completion_target timestamptz, last_completed_dependency jsonb, statistics jsonb,
    refresh_action text, reinit_reason text, refresh_trigger text, target_lag_sec double precision,
    graph_history_valid_from timestamptz, inputs_with_changed_data jsonb, warehouse text,
    repeats integer, cpu_ms double precision, wal_bytes bigint,
    blocks_hit bigint, blocks_read bigint, blocks_dirtied bigint);
COMMENT ON TYPE dyntable.refresh_history_row IS 'row of dyntable.dynamic_table_refresh_history()';

CREATE TYPE dyntable.graph_history_row AS (
    name text, schema_name text, database_name text, qualified_name text,
    inputs jsonb, target_lag_type text, target_lag_sec double precision, scheduler text, query_text text,
    valid_from timestamptz, valid_to timestamptz, scheduling_state jsonb, alter_trigger text[], warehouse text);
COMMENT ON TYPE dyntable.graph_history_row IS 'row of dyntable.dynamic_table_graph_history()';

CREATE FUNCTION dyntable.scheduling_state(state text, reason_code text, reason_message text, suspended_on timestamptz,
                                          resumed_on timestamptz) RETURNS jsonb
    LANGUAGE SQL STABLE
    SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT jsonb_strip_nulls(jsonb_build_object('state', state, 'reason_code', reason_code,
        'reason_message', reason_message, 'suspended_on', suspended_on, 'resumed_on', resumed_on));
END;
COMMENT ON FUNCTION dyntable.scheduling_state(text, text, text, timestamptz, timestamptz) IS 'a scheduling state as an object';

CREATE FUNCTION dyntable.check_argument(wrong boolean, message text, detail text DEFAULT '') RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog
AS $argument$
BEGIN
    IF wrong THEN
        RAISE EXCEPTION USING MESSAGE = message, ERRCODE = 'invalid_parameter_value', DETAIL = detail;
    END IF;
END
$argument$;
COMMENT ON FUNCTION dyntable.check_argument(boolean, text, text) IS 'raises an error about an argument that is wrong';

CREATE FUNCTION dyntable.check_limit(result_limit integer) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog
AS $limit$
BEGIN
    PERFORM dyntable.check_argument(result_limit NOT BETWEEN 1 AND 10000, 'result_limit must be between 1 and 10000',
                                    format('It is %s.', result_limit));
    RETURN coalesce(result_limit, 100);
END
$limit$;
COMMENT ON FUNCTION dyntable.check_limit(integer) IS 'a limit of rows, 100 where none is given';

-- Age of what readers saw, over the time from a moment on.  A tooth that the
-- moment cuts counts in part: exactly, or, where it is many small ones, in proportion.
CREATE FUNCTION dyntable.lag_measured(
    relid oid, since timestamptz,
    OUT seconds double precision, OUT lag_sum double precision, OUT lag_max double precision,
    OUT lag_above double precision)
    LANGUAGE SQL VOLATILE
    SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT sum(t.seconds),
           sum(CASE WHEN t.steps = 1 THEN t.seconds * (2 * t.peak - t.seconds) / 2 ELSE t.lag_sum * t.part END),
           max(t.peak),
           sum(CASE WHEN t.target IS NULL THEN NULL
                    WHEN t.steps = 1 THEN least(t.seconds, greatest(t.peak - t.target, 0))
                    ELSE t.above * t.part END)
    FROM (SELECT c.seconds, h.steps, h.maximum_lag_sec AS peak, h.lag_sum, h.above_target_lag_sec AS above,
                 h.target_lag_sec AS target, coalesce(c.seconds / nullif(c.whole, 0), 1) AS part
          FROM dyntable.lag_history h
          CROSS JOIN LATERAL (
              SELECT extract(epoch FROM h.until - greatest(h.since, lag_measured.since))::double precision AS seconds,
                     extract(epoch FROM h.until - h.since)::double precision AS whole) c
          WHERE h.relid = lag_measured.relid AND h.until > lag_measured.since) t;
END;
COMMENT ON FUNCTION dyntable.lag_measured(oid, timestamptz)
    IS 'how old the data of a table was from a moment on: seconds, their sum with the lag, its maximum, seconds above target';

-- The tables that are upstream or downstream of one, and itself.
CREATE FUNCTION dyntable.connected(relid oid) RETURNS SETOF oid
    LANGUAGE SQL STABLE
    SET search_path = pg_catalog
BEGIN ATOMIC
    WITH RECURSIVE up (relid) AS (
        SELECT connected.relid
        UNION
        SELECT d.source_relid FROM up JOIN dyntable.dependencies d ON d.relid = up.relid
    ), down (relid) AS (
        SELECT connected.relid
        UNION
        SELECT d.relid FROM down JOIN dyntable.dependencies d ON d.source_relid = down.relid)
    SELECT u.relid FROM up u UNION SELECT d.relid FROM down d;
END;
COMMENT ON FUNCTION dyntable.connected(oid) IS 'a table, what it reads and what reads it, also by way of others';

CREATE FUNCTION dyntable.dynamic_tables(
    name text DEFAULT NULL,
    refresh_data_timestamp_start timestamptz DEFAULT NULL,
    result_limit integer DEFAULT NULL,
    include_connected boolean DEFAULT false)
RETURNS SETOF dyntable.dynamic_tables_row
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog
    SET jit = off
AS $tables$
#variable_conflict use_column
DECLARE
    most integer := dyntable.check_limit(dynamic_tables.result_limit);
    since timestamptz := coalesce(dynamic_tables.refresh_data_timestamp_start, '-infinity');
    chosen oid[];
BEGIN
    PERFORM dyntable.check_argument(include_connected AND (dynamic_tables.name IS NULL OR dynamic_tables.result_limit IS NOT NULL),
                                    'include_connected needs a name and takes no result_limit');
    chosen := ARRAY(
        SELECT t.relid::oid FROM dyntable.dynamic_tables t
        WHERE dynamic_tables.name IS NULL OR t.name = dynamic_tables.name OR
              dyntable.qualified(t.relid) = dynamic_tables.name
        ORDER BY array_position(ARRAY['FAILED', 'UPSTREAM_FAILED', 'SUCCEEDED', 'CANCELLED'], t.last_refresh_state),
                 t.schema_name, t.name);
    IF include_connected THEN
        chosen := ARRAY(SELECT DISTINCT c FROM unnest(chosen) k CROSS JOIN LATERAL dyntable.connected(k) c);
    ELSIF cardinality(chosen) > most THEN
        RAISE NOTICE '% of % dynamic tables are shown', most, cardinality(chosen)
            USING HINT = 'Ask for more with result_limit.';
        chosen := chosen[1:most];
    END IF;
    RETURN QUERY
    SELECT t.name::text, t.schema_name::text, t.database_name::text, dyntable.qualified(t.relid),
           l.target_sec,
           CASE WHEN t.target_lag = 'downstream' THEN 'DOWNSTREAM' ELSE 'USER_DEFINED' END,
           CASE WHEN t.schedule = 'manual' THEN 'DISABLE' ELSE 'ENABLE' END,
           dyntable.scheduling_state(CASE t.scheduling_state WHEN 'ACTIVE' THEN 'RUNNING' ELSE t.scheduling_state END,
               t.scheduling_state_reason, CASE WHEN t.scheduling_state <> 'ACTIVE' THEN t.standstill END,
               t.suspended_on, t.resumed_on),
           m.lag_sum / nullif(m.seconds, 0), m.lag_max,
           a.lag_above, 1 - a.lag_above / nullif(a.seconds, 0),
           t.data_timestamp,
           t.last_refresh_state, t.last_refresh_code, t.last_refresh_message,
           (SELECT p.run::text FROM dyntable.progress p WHERE p.relid = t.relid LIMIT 1),
           CASE WHEN t.requested_refresh_mode = 'AUTO' AND t.refresh_mode = 'FULL'
                THEN jsonb_build_object('AUTO_RESOLVED_TO_FULL_REFRESH', t.refresh_mode_reason) END,
           coalesce(t.target_lag, t.schedule), t.refresh_mode, t.refresh_mode_reason, t.warehouse_name, t.data_timestamp,
           t.last_refresh_start_time, t.last_refresh_end_time, t.next_refresh_time, t.standstill
    FROM unnest(chosen) WITH ORDINALITY AS k (relid, place)
    JOIN dyntable.dynamic_tables t ON t.relid = k.relid
    CROSS JOIN LATERAL (
        SELECT CASE WHEN t.target_lag <> 'downstream'
                    THEN extract(epoch FROM t.target_lag::interval)::double precision END AS target_sec) l
    CROSS JOIN LATERAL dyntable.lag_measured(t.relid, since) m
    -- measured against the lag that is asked for now
    CROSS JOIN LATERAL dyntable.lag_measured(t.relid, greatest(since, (
        SELECT max(v.valid_from) FROM dyntable.versions v
        WHERE v.relid = t.relid AND v.alter_trigger && '{CREATE_DYNAMIC_TABLE,ALTER_TARGET_LAG}'))) a
    ORDER BY k.place;
END
$tables$;
COMMENT ON FUNCTION dyntable.dynamic_tables(text, timestamptz, integer, boolean)
    IS 'dynamic tables with their lag over a time: mean, maximum, above the target; those in trouble first';

CREATE FUNCTION dyntable.dynamic_table_refresh_history(
    data_timestamp_start timestamptz DEFAULT NULL,
    data_timestamp_end timestamptz DEFAULT NULL,
    result_limit integer DEFAULT NULL,
    name text DEFAULT NULL,
    name_prefix text DEFAULT NULL,
    error_only boolean DEFAULT false,
    date_range_start timestamptz DEFAULT NULL)
RETURNS SETOF dyntable.refresh_history_row
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog
    SET jit = off
AS $history$
#variable_conflict use_column
DECLARE
    most integer := dyntable.check_limit(dynamic_table_refresh_history.result_limit);
    upto timestamptz := coalesce(data_timestamp_end, clock_timestamp());
    since timestamptz := coalesce(data_timestamp_start, date_range_start, upto - interval '1 day');
    wanted text := dynamic_table_refresh_history.name;
    chosen oid[];
    older boolean;
    shown bigint;
BEGIN
    PERFORM dyntable.check_argument(since > upto, 'data_timestamp_start must not be later than data_timestamp_end');
    -- those that are there; a dropped table has only its old name
    chosen := ARRAY(
        SELECT t.relid::oid FROM dyntable.dynamic_tables t
        WHERE (wanted IS NULL OR t.name = wanted OR dyntable.qualified(t.relid) = wanted) AND
              (name_prefix IS NULL OR starts_with(t.name, name_prefix) OR
               starts_with(dyntable.qualified(t.relid), name_prefix)));
    RETURN QUERY
    WITH recorded AS (
        SELECT h.name::text, h.schema_name::text, h.database_name::text,
               coalesce(dyntable.qualified(h.relid), quote_ident(h.schema_name) || '.' || quote_ident(h.name)) AS qualified_name,
               h.state, h.state_code, h.state_message, h.run::text AS query_id, h.data_timestamp,
               h.refresh_start_time, h.refresh_end_time, h.completion_target,
               CASE WHEN h.last_completed_dependency IS NOT NULL THEN
                   jsonb_build_object('qualified_name', h.last_completed_dependency, 'data_timestamp', h.data_timestamp) END AS dependency,
               jsonb_strip_nulls(CASE WHEN h.state = 'SUCCEEDED' THEN jsonb_build_object(
                   'numInsertedRows', h.rows_inserted, 'numUpdatedRows', h.rows_updated, 'numDeletedRows', h.rows_deleted,
                   'numCopiedRows', 0, 'numAddedPartitions', 0, 'numRemovedPartitions', 0)
                   ELSE '{}' END || jsonb_build_object(
                   'queuedTimeMs', round(h.queued_ms),
                   'compilationTimeMs', (h.phases ->> 'plan')::double precision,
                   'executionTimeMs', extract(epoch FROM h.duration)::double precision * 1000 -
                                      coalesce((h.phases ->> 'plan')::double precision, 0))) AS statistics,
               h.refresh_action, h.reinit_reason, h.refresh_trigger, h.target_lag_sec,
               h.graph_history_valid_from, h.inputs_with_changed_data, h.warehouse_name,
               h.repeats, h.cpu_ms, h.wal_bytes, h.blocks_hit, h.blocks_read, h.blocks_dirtied
        FROM dyntable.refresh_history h
        WHERE coalesce(h.data_timestamp, h.refresh_end_time) BETWEEN since AND upto
          AND (NOT error_only OR h.state IN ('FAILED', 'UPSTREAM_FAILED', 'CANCELLED'))
          AND (wanted IS NULL OR h.relid = ANY (chosen) OR h.name = wanted)
          AND (name_prefix IS NULL OR h.relid = ANY (chosen) OR starts_with(h.name, name_prefix))
        ORDER BY h.refresh_end_time DESC, h.id DESC
        LIMIT most + 1
    ), running AS (
        -- What a run has done is seen by others when all of it is done.
        SELECT k.relid, CASE WHEN k.place <= r.number THEN 'EXECUTING' ELSE 'SCHEDULED' END AS state,
               r.refresh_trigger, r.run::text AS query_id,
               CASE WHEN k.place = r.number THEN r.started WHEN k.place < r.number THEN r.run_started END AS started
        FROM dyntable.running() r CROSS JOIN LATERAL unnest(r.tables) WITH ORDINALITY AS k (relid, place)
    ), planned AS (
        SELECT t.*, coalesce(r.state, 'SCHEDULED') AS state, coalesce(r.refresh_trigger, 'SCHEDULED') AS refresh_trigger,
               r.query_id, r.started
        FROM dyntable.dynamic_tables t LEFT JOIN running r ON r.relid = t.relid
        WHERE NOT error_only AND t.relid = ANY (chosen) AND data_timestamp_end IS NULL
          AND (r.relid IS NOT NULL OR t.next_refresh_time <= now())
    )
    SELECT * FROM (
        SELECT p.name::text, p.schema_name::text, p.database_name::text, dyntable.qualified(p.relid), p.state,
               NULL::text, NULL::text, p.query_id, NULL::timestamptz, p.started AS begun, NULL::timestamptz AS ended,
               p.data_timestamp + p.target_lag_interval, NULL::jsonb, NULL::jsonb, NULL::text, NULL::text, p.refresh_trigger,
               extract(epoch FROM p.target_lag_interval)::double precision, NULL::timestamptz, NULL::jsonb, p.warehouse_name,
               NULL::integer, NULL::double precision, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
        FROM (SELECT *, nullif(target_lag, 'downstream')::interval AS target_lag_interval FROM planned) p
        UNION ALL
        SELECT * FROM recorded) u
    ORDER BY u.ended DESC NULLS FIRST, u.begun NULLS LAST
    LIMIT most;
    GET DIAGNOSTICS shown = ROW_COUNT;
    IF shown = most THEN
        RAISE NOTICE 'only the last % refreshes are shown', most
            USING HINT = 'Ask for more with result_limit, or for a shorter time.';
    ELSIF data_timestamp_start IS NULL AND date_range_start IS NULL THEN
        SELECT EXISTS (
            SELECT FROM dyntable.refresh_history h
            WHERE coalesce(h.data_timestamp, h.refresh_end_time) < since
              AND (wanted IS NULL OR h.relid = ANY (chosen)) AND (name_prefix IS NULL OR h.relid = ANY (chosen))
              AND (NOT error_only OR h.state <> 'SUCCEEDED')) INTO older;
        IF older THEN
            RAISE NOTICE 'refreshes of the last day are shown, and there are older ones'
                USING HINT = 'Ask for them with data_timestamp_start.';
        END IF;
    END IF;
END
$history$;
COMMENT ON FUNCTION dyntable.dynamic_table_refresh_history(timestamptz, timestamptz, integer, text, text, boolean, timestamptz)
    IS 'refreshes that were, that are under way and that wait, the newest first';

CREATE FUNCTION dyntable.dynamic_table_graph_history(
    as_of timestamptz DEFAULT NULL,
    history_start timestamptz DEFAULT NULL,
    history_end timestamptz DEFAULT NULL)
RETURNS SETOF dyntable.graph_history_row
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog
    SET jit = off
AS $graph$
#variable_conflict use_column
BEGIN
    PERFORM dyntable.check_argument(as_of IS NOT NULL AND (history_start IS NOT NULL OR history_end IS NOT NULL),
                                    'as_of and history_start cannot be given together');
    PERFORM dyntable.check_argument(history_end IS NOT NULL AND (history_start IS NULL OR history_start > history_end),
                                    'history_end needs a history_start that is not later');
    RETURN QUERY
    SELECT v.name, v.schema_name, current_database()::text, quote_ident(v.schema_name) || '.' || quote_ident(v.name),
           v.inputs,
           CASE WHEN v.target_lag IS NULL AND v.schedule IS NULL THEN 'DOWNSTREAM' ELSE 'USER_DEFINED' END,
           extract(epoch FROM v.target_lag)::double precision,
           CASE WHEN v.schedule = 'manual' THEN 'DISABLE' ELSE 'ENABLE' END, v.query_text, v.valid_from, v.valid_to,
           dyntable.scheduling_state(v.state, v.state_code, NULL, v.suspended_on, v.resumed_on), v.alter_trigger, v.warehouse
    FROM dyntable.versions v
    WHERE CASE WHEN as_of IS NOT NULL THEN v.valid_from <= as_of AND (v.valid_to IS NULL OR v.valid_to > as_of)
               WHEN history_start IS NULL THEN v.valid_to IS NULL
               ELSE v.valid_from <= coalesce(history_end, 'infinity') AND
                    (v.valid_to IS NULL OR v.valid_to >= history_start) END
    ORDER BY v.schema_name, v.name, v.valid_from;
END
$graph$;
COMMENT ON FUNCTION dyntable.dynamic_table_graph_history(timestamptz, timestamptz, timestamptz)
    IS 'what dynamic tables are, were at a moment, or were over a time: one row for each version';
