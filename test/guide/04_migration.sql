-- The guide, "Migration Strategy", up to the cutover; the cleanup is in 12_cleanup.sql

--# 4.1 The stored procedures of before
\! psql -XAtq -v ON_ERROR_STOP=1 -f examples/staging/10_procedures.sql && echo installed
SELECT count(*) FROM pg_proc WHERE prokind = 'p' AND proname LIKE 'sp\_%';
--= installed
--= 7

--# 4.2 CALL sp_staging_layer_master(batch): each batch deletes and inserts its rows
SELECT batch_id AS batch FROM ods_raw.ods_facilities_source WHERE ingestion_timestamp > now() - interval '6 days' GROUP BY 1 ORDER BY count(*) DESC LIMIT 1 \gset
CALL staging.sp_staging_layer_master(:'batch');
SELECT count(*) AS first_time FROM staging.stg_facilities WHERE batch_id = :'batch' \gset
CALL staging.sp_staging_layer_master(:'batch');
SELECT count(*) = :first_time, count(*) > 0 FROM staging.stg_facilities WHERE batch_id = :'batch';
--= t|t

--# 4.3 Conflicts go to the reconciliation log
SELECT count(*) = (SELECT count(*) FROM staging.stg_facilities WHERE batch_id = :'batch' AND conflict_type IS NOT NULL)
FROM reference.ref_reconciliation_log WHERE batch_id = :'batch';
--= t

--# 4.4 Phase 1, parallel run: the record counts of a batch
--: WITH sp_facilities AS (SELECT * FROM STAGING.stg_facilities WHERE batch_id = 'BATCH_20251120_001'), dt_facilities AS (...)
-- Each count is that of the distinct facilities in its landing rows: of the batch, and of the window.
WITH sp_facilities AS (
    SELECT * FROM STAGING.stg_facilities
    WHERE batch_id = :'batch'
),
dt_facilities AS (
    SELECT * FROM STAGING.dt_stg_facilities
),
counts AS (
    SELECT
        'Record Count Difference' as metric,
        (SELECT COUNT(*) FROM sp_facilities) as stored_proc_count,
        (SELECT COUNT(*) FROM dt_facilities) as dynamic_table_count,
        ABS((SELECT COUNT(*) FROM sp_facilities) - (SELECT COUNT(*) FROM dt_facilities)) as difference
),
landed AS (
    SELECT COUNT(DISTINCT facility_id) FILTER (WHERE batch_id = :'batch') AS of_batch,
           COUNT(DISTINCT facility_id) FILTER (WHERE ingestion_timestamp >= t.data_timestamp - interval '7 days') AS of_window
    FROM ods_raw.ods_facilities_source, dyntable.dynamic_tables t WHERE t.name = 'dt_stg_facilities'
)
SELECT metric, stored_proc_count = of_batch AND of_batch > 0, dynamic_table_count = of_window AND of_window > 0, difference = of_window - of_batch
FROM counts, landed;
--= Record Count Difference|t|t|t

--# 4.5 Phase 1: more than counts, each table, all columns
\! psql -XAtq -f examples/staging/11_parallel_run.sql | sed -E 's/[1-9][0-9]*/n/g'
--= n
--= reference.dt_crosswalk_facilities|n|n|n|0|0|0|
--= reference.dt_crosswalk_veterans|n|n|n|0|0|0|
--= reference.dt_crosswalk_evaluators|n|n|n|0|0|0|
--= staging.dt_stg_facilities|n|n|n|0|0|0|
--= staging.dt_stg_fact_appointment_events|n|n|n|0|0|0|
--= staging.dt_stg_fact_qa_events|n|n|n|0|0|0|
--= parallel run: no difference

--# 4.6 Phase 1: and it would tell a difference
BEGIN;
UPDATE staging.stg_facilities SET city = 'Nowhere' WHERE master_facility_id = (SELECT max(master_facility_id) FROM staging.vw_sp_latest_facilities);
SELECT table_name, differing FROM staging.parallel_run_differences() WHERE differing > 0;
ROLLBACK;
--= staging.dt_stg_facilities|1

--# 4.7 Phase 1: after more batches, corrections and rows taken back
SELECT generator.feed_batch(20) IS NOT NULL, generator.correct(6) IS NOT NULL, generator.remove(4) IS NOT NULL;
\! psql -XAtq -f examples/staging/11_parallel_run.sql | tail -n 1
--= t|t|t
--= parallel run: no difference

--# 4.8 Phase 2, cutover: the procedures are no longer called
\! psql -XAtq -f examples/staging/14_rollback.sql -v batch= | tail -n 1
\! psql -XAtq -f examples/staging/12_cutover.sql | tail -n 1
CREATE ROLE guide_caller;
SELECT has_function_privilege('guide_caller', 'staging.sp_merge_facilities_to_staging(varchar)', 'EXECUTE');
DROP ROLE guide_caller;
--= rollback: consumers read what the procedures write
--= cutover: consumers read the dynamic tables
--= f

--# 4.9 Phase 2: point downstream consumers to the dynamic tables
--: Old: SELECT * FROM STAGING.stg_facilities WHERE batch_id = ?;   New: SELECT * FROM STAGING.dt_stg_facilities;
PREPARE old(text) AS SELECT count(*) > 0 FROM STAGING.stg_facilities WHERE batch_id = $1;
EXECUTE old(:'batch');
DEALLOCATE old;
SELECT count(*) > 0 FROM STAGING.dt_stg_facilities;
SELECT DISTINCT d.refobjid::regclass FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
WHERE r.ev_class = 'staging.vw_latest_facilities'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class;
--= t
--= t
--= staging.dt_stg_facilities

--# 4.10 Phase 2: monitor closely
SELECT healthy, unhealthy, suspended FROM monitoring.vw_summary;
--= 11|0|0

--# 4.11 Phase 2: the procedures stay as a backup: rollback suspends, repoints, reruns a batch and verifies counts
\! psql -XAtq -v batch="$(psql -XAtc 'SELECT max(batch_id) FROM staging.vw_batches_in_window')" -f examples/staging/14_rollback.sql | grep '[a-z]' | sed -E 's/[0-9]+/n/g'
SELECT DISTINCT d.refobjid::regclass FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
WHERE r.ev_class = 'staging.vw_latest_facilities'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class;
SELECT DISTINCT health_status FROM monitoring.vw_dynamic_table_health WHERE schema_name IN ('reference', 'staging');
--= facilities|n|n|t
--= veterans|n|n|t
--= evaluators|n|n|t
--= appointment events|n|n|t
--= QA events|n|n|t
--= rollback: consumers read what the procedures write
--= staging.vw_sp_latest_facilities
--= SUSPENDED

--# 4.12 Phase 2: and forward again
\! psql -XAtq -f examples/staging/12_cutover.sql | tail -n 1
SELECT healthy, suspended FROM monitoring.vw_summary;
--= cutover: consumers read the dynamic tables
--= 11|0

--# 4.13 Recovery drill
\! psql -XAtq -f examples/staging/15_recovery_drill.sql 2>/dev/null | grep -c '^drill: '
--= 14

--# 4.14 The drill left nothing behind
SELECT count(*) FROM dyntable.dynamic_tables;
--= 11
