-- 11: the stored procedures and the dynamic tables, side by side.
--
--     psql -f 11_parallel_run.sql          any number of times
--
-- Refreshes the dynamic tables, runs the procedures for every batch of the window, and
-- compares, all under one snapshot, where now() is the same for both.  Of each
-- table it compares the rows whose key both have, without batch_id and the
-- columns that say when a row was written.  Expected: no difference.  Fails
-- where there is one.
\set ON_ERROR_STOP on

CREATE OR REPLACE FUNCTION staging.parallel_run_differences()
    RETURNS TABLE (table_name text, procedure_rows bigint, dynamic_rows bigint, in_common bigint, only_procedure bigint,
                   only_dynamic bigint, differing bigint, first_differing text)
    LANGUAGE plpgsql AS $$
DECLARE
    pair    record;
    columns text;
BEGIN
    FOR pair IN
        SELECT * FROM (VALUES
            ('reference.dt_crosswalk_facilities', 'reference.vw_sp_latest_crosswalk_facilities', 'master_facility_id'),
            ('reference.dt_crosswalk_veterans', 'reference.vw_sp_latest_crosswalk_veterans', 'master_veteran_id'),
            ('reference.dt_crosswalk_evaluators', 'reference.vw_sp_latest_crosswalk_evaluators', 'master_evaluator_id'),
            ('staging.dt_stg_facilities', 'staging.vw_sp_latest_facilities', 'master_facility_id'),
            ('staging.dt_stg_fact_appointment_events', 'staging.vw_sp_latest_appointment_events', 'event_id'),
            ('staging.dt_stg_fact_qa_events', 'staging.vw_sp_latest_qa_events', 'qa_event_id')) p(dynamic, procedure, key)
    LOOP
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute
        WHERE attrelid = pair.dynamic::regclass AND attnum > 0 AND NOT attisdropped
          AND attname NOT IN ('batch_id', 'staging_processed_timestamp', 'crosswalk_created_timestamp');
        RETURN QUERY EXECUTE format($sql$
            SELECT %1$L, count(p.key), count(d.key), count(p.key) FILTER (WHERE d.key IS NOT NULL),
                   count(*) FILTER (WHERE d.key IS NULL), count(*) FILTER (WHERE p.key IS NULL),
                   count(*) FILTER (WHERE p.key = d.key AND p.row IS DISTINCT FROM d.row),
                   min(d.key) FILTER (WHERE p.key = d.key AND p.row IS DISTINCT FROM d.row)
            FROM (SELECT %3$I::text AS key, ROW(%4$s) AS row FROM %2$s) p
            FULL JOIN (SELECT %3$I::text AS key, ROW(%4$s) AS row FROM %1$s) d USING (key)$sql$,
            pair.dynamic, pair.procedure, pair.key, columns);
    END LOOP;
END
$$;
COMMENT ON FUNCTION staging.parallel_run_differences() IS 'rows of the procedures and of the dynamic tables, compared by key';

\ir settle.sql
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) AS refreshed FROM dyntable_refresh(:layer);
DO $$
DECLARE
    batch text;
BEGIN
    FOR batch IN SELECT batch_id FROM staging.vw_batches_in_window ORDER BY 1 LOOP
        CALL staging.sp_staging_layer_master(batch);
    END LOOP;
END
$$;
SELECT * FROM staging.parallel_run_differences();
SELECT sum(differing) + sum(only_dynamic) + sum(only_procedure) > 0 AS differ, sum(in_common) = 0 AS empty
FROM staging.parallel_run_differences() \gset
COMMIT;
\if :differ
    DO $$BEGIN RAISE EXCEPTION 'parallel run: the procedures and the dynamic tables differ'; END$$;
\elif :empty
    DO $$BEGIN RAISE EXCEPTION 'parallel run: there is nothing to compare'; END$$;
\endif
\echo parallel run: no difference
