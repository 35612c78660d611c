-- 14: back to the stored procedures.
--
--     psql -f 14_rollback.sql                                    all batches of the window
--     psql -v batch=BATCH_20251120_001 -f 14_rollback.sql        one batch
--
-- Suspends the dynamic tables (those of the warehouse with them: they read them), has
-- the procedures run again, verifies that they have a row for every key that was in the window
-- when it began, and repoints the consumers' views.  All or nothing, and beside writers: what comes in
-- meanwhile waits for its batch to be run.  12_cutover.sql goes forward again.
\set ON_ERROR_STOP on
\if :{?batch}
\else
    \set batch ''
\endif

BEGIN;
-- The keys in the window, and those that consumers are to see.
CREATE TEMP VIEW window_keys (place, entity, key) AS
SELECT 1, 'facilities', facility_id FROM ods_raw.ods_facilities_source
WHERE facility_id IS NOT NULL AND ingestion_timestamp >= now() - interval '7 days'
UNION
SELECT 2, 'veterans', veteran_ssn FROM ods_raw.ods_veterans_source
WHERE veteran_ssn IS NOT NULL AND ingestion_timestamp >= now() - interval '7 days'
UNION
SELECT 3, 'evaluators', evaluator_npi FROM ods_raw.ods_evaluators_source
WHERE evaluator_npi IS NOT NULL AND ingestion_timestamp >= now() - interval '7 days'
UNION
SELECT 4, 'appointment events', event_id FROM ods_raw.ods_appointment_events_source
WHERE event_id IS NOT NULL AND source_system = 'VEMS' AND ingestion_timestamp >= now() - interval '7 days'
UNION
SELECT 5, 'QA events', qa_event_id FROM ods_raw.ods_qa_events_source
WHERE qa_event_id IS NOT NULL AND source_system = 'OMS' AND ingestion_timestamp >= now() - interval '7 days';

CREATE TEMP VIEW procedure_keys (place, key) AS
SELECT 1, master_facility_id FROM staging.vw_sp_latest_facilities
UNION ALL
SELECT 2, master_veteran_id FROM reference.vw_sp_latest_crosswalk_veterans
UNION ALL
SELECT 3, master_evaluator_id FROM reference.vw_sp_latest_crosswalk_evaluators
UNION ALL
SELECT 4, event_id FROM staging.vw_sp_latest_appointment_events
UNION ALL
SELECT 5, qa_event_id FROM staging.vw_sp_latest_qa_events;

-- All tables read a crosswalk, and are suspended with it.
SELECT dyntable_suspend(relid) FROM dyntable.dynamic_tables WHERE schema_name = 'reference' AND scheduling_state = 'ACTIVE';
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA reference, staging TO PUBLIC;

CREATE TEMP TABLE keys_before ON COMMIT DROP AS TABLE window_keys;
SELECT format('CALL staging.sp_staging_layer_master(%L)', batch_id)
FROM staging.vw_batches_in_window WHERE :'batch' IN ('', batch_id) ORDER BY 1 \gexec

CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_facilities AS SELECT * FROM reference.vw_sp_latest_crosswalk_facilities;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_veterans AS SELECT * FROM reference.vw_sp_latest_crosswalk_veterans;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_evaluators AS SELECT * FROM reference.vw_sp_latest_crosswalk_evaluators;
CREATE OR REPLACE VIEW staging.vw_latest_facilities AS SELECT * FROM staging.vw_sp_latest_facilities;
CREATE OR REPLACE VIEW staging.vw_latest_appointment_events AS SELECT * FROM staging.vw_sp_latest_appointment_events;
CREATE OR REPLACE VIEW staging.vw_latest_qa_events AS SELECT * FROM staging.vw_sp_latest_qa_events;

-- What was taken back meanwhile is not missed.
CREATE TEMP TABLE verified ON COMMIT DROP AS
SELECT place, entity, count(*) AS expected, count(p.key) AS found
FROM keys_before JOIN window_keys USING (place, entity, key) LEFT JOIN procedure_keys p USING (place, key)
GROUP BY place, entity;
SELECT entity, expected, found, expected = found AS complete FROM verified ORDER BY place;
DO $$
BEGIN
    IF EXISTS (SELECT FROM verified v WHERE v.expected <> v.found) THEN
        RAISE EXCEPTION 'rollback: the procedures have not a row for each key of the window'
            USING HINT = 'Run it without a batch, for all batches.';
    END IF;
END
$$;
DROP VIEW window_keys, procedure_keys;
COMMIT;
\echo rollback: consumers read what the procedures write
