-- 13: the procedures go, and the dynamic tables take their names.
--
--     psql -f 13_cleanup.sql
--
-- Some weeks after the cutover.  All or nothing; there is no way back but a backup.  Whoever
-- reads the tables by identity (views, dynamic tables above, grants, monitoring,
-- alerts) does not notice the new names, nor does deploy; queries that name dt_... have to be changed.
-- Run again it changes nothing.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
DROP PROCEDURE IF EXISTS staging.sp_staging_layer_master(varchar);
DROP PROCEDURE IF EXISTS staging.sp_merge_facilities_to_staging(varchar);
DROP PROCEDURE IF EXISTS staging.sp_merge_appointment_events_to_staging(varchar);
DROP PROCEDURE IF EXISTS staging.sp_merge_qa_events_to_staging(varchar);
DROP PROCEDURE IF EXISTS reference.sp_build_crosswalk_facilities(varchar);
DROP PROCEDURE IF EXISTS reference.sp_build_crosswalk_veterans(varchar);
DROP PROCEDURE IF EXISTS reference.sp_build_crosswalk_evaluators(varchar);
DROP PROCEDURE IF EXISTS reference.build_crosswalk(varchar, regclass, regclass, name, text, name[]);
DROP FUNCTION IF EXISTS staging.parallel_run_differences();
-- Without CASCADE: if a consumer's view still reads one of these, nothing is done.
DROP VIEW IF EXISTS staging.vw_sp_latest_facilities, staging.vw_sp_latest_appointment_events, staging.vw_sp_latest_qa_events,
    reference.vw_sp_latest_crosswalk_facilities, reference.vw_sp_latest_crosswalk_veterans, reference.vw_sp_latest_crosswalk_evaluators,
    staging.vw_batches_in_window;
DROP TABLE IF EXISTS reference.ref_entity_crosswalk_facilities, reference.ref_entity_crosswalk_veterans,
    reference.ref_entity_crosswalk_evaluators, reference.ref_reconciliation_log;
-- Not where the name is a dynamic table's already.
SELECT format('DROP TABLE %s', old)
FROM unnest('{staging.stg_facilities,staging.stg_fact_appointment_events,staging.stg_fact_qa_events}'::text[]) old
WHERE to_regclass(old) IS NOT NULL AND NOT EXISTS (SELECT FROM dyntable.dynamic_tables WHERE relid = to_regclass(old)) \gexec
DROP INDEX IF EXISTS ods_raw.ods_veterans_source_batch, ods_raw.ods_evaluators_source_batch, ods_raw.ods_facilities_source_batch,
    ods_raw.ods_appointment_events_source_batch, ods_raw.ods_qa_events_source_batch;

-- In the order in which refreshes lock them.
SELECT format('ALTER TABLE %I.%I RENAME TO %I', schema_name, name, substr(name, 4))
FROM dyntable.dynamic_tables
WHERE schema_name IN ('reference', 'staging', 'warehouse') AND starts_with(name, 'dt_')
ORDER BY relid::oid \gexec
-- Their queries in these words; they mean the same, so nothing is computed.
DO $$
DECLARE
    dynamic_table record;
BEGIN
    FOR dynamic_table IN SELECT relid, query FROM dyntable.dynamic_tables
        WHERE schema_name IN ('reference', 'staging', 'warehouse') ORDER BY relid::oid
    LOOP
        PERFORM dyntable_alter(dynamic_table.relid, query => regexp_replace(dynamic_table.query, '\m(reference|staging)\.dt_', '\1.', 'g'));
    END LOOP;
END
$$;
COMMIT;
\echo cleanup: the dynamic tables have the names of the tables that they replace
