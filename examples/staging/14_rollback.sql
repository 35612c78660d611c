-- 14: back to the stored procedures.
--
--     psql -f 14_rollback.sql                                    all batches of the window
--     psql -v batch=BATCH_20251120_001 -f 14_rollback.sql        one batch
--
-- Suspends the dynamic tables (those of the warehouse with them: they read them), has
-- the procedures run again, verifies that they have a row for every key of the window,
-- and repoints the consumers' views.  All or nothing.  12_cutover.sql goes forward again.
\set ON_ERROR_STOP on
\if :{?batch}
\else
    \set batch ''
\endif

BEGIN;
-- All tables read a crosswalk, and are suspended with it.
SELECT dyntable_suspend(relid) FROM dyntable.dynamic_tables WHERE schema_name = 'reference' AND scheduling_state = 'ACTIVE';
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA reference, staging TO PUBLIC;

SELECT format('CALL staging.sp_staging_layer_master(%L)', batch_id)
FROM staging.vw_batches_in_window WHERE :'batch' IN ('', batch_id) ORDER BY 1 \gexec

CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_facilities AS SELECT * FROM reference.vw_sp_latest_crosswalk_facilities;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_veterans AS SELECT * FROM reference.vw_sp_latest_crosswalk_veterans;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_evaluators AS SELECT * FROM reference.vw_sp_latest_crosswalk_evaluators;
CREATE OR REPLACE VIEW staging.vw_latest_facilities AS SELECT * FROM staging.vw_sp_latest_facilities;
CREATE OR REPLACE VIEW staging.vw_latest_appointment_events AS SELECT * FROM staging.vw_sp_latest_appointment_events;
CREATE OR REPLACE VIEW staging.vw_latest_qa_events AS SELECT * FROM staging.vw_sp_latest_qa_events;

-- Against the landing tables: what is in the window must be there.
SELECT v.entity, v.expected, v.found, v.expected = v.found AS complete
FROM (VALUES
    ('facilities', (SELECT count(DISTINCT facility_id) FROM ods_raw.ods_facilities_source WHERE ingestion_timestamp >= now() - interval '7 days'),
                   (SELECT count(*) FROM staging.vw_latest_facilities)),
    ('veterans', (SELECT count(DISTINCT veteran_ssn) FROM ods_raw.ods_veterans_source WHERE ingestion_timestamp >= now() - interval '7 days'),
                 (SELECT count(*) FROM reference.vw_latest_crosswalk_veterans)),
    ('evaluators', (SELECT count(DISTINCT evaluator_npi) FROM ods_raw.ods_evaluators_source WHERE ingestion_timestamp >= now() - interval '7 days'),
                   (SELECT count(*) FROM reference.vw_latest_crosswalk_evaluators)),
    ('appointment events', (SELECT count(DISTINCT event_id) FROM ods_raw.ods_appointment_events_source
                            WHERE source_system = 'VEMS' AND ingestion_timestamp >= now() - interval '7 days'),
                           (SELECT count(*) FROM staging.vw_latest_appointment_events)),
    ('QA events', (SELECT count(DISTINCT qa_event_id) FROM ods_raw.ods_qa_events_source
                   WHERE source_system = 'OMS' AND ingestion_timestamp >= now() - interval '7 days'),
                  (SELECT count(*) FROM staging.vw_latest_qa_events))) v(entity, expected, found);
DO $$
BEGIN
    IF (SELECT count(DISTINCT facility_id) FROM ods_raw.ods_facilities_source WHERE ingestion_timestamp >= now() - interval '7 days')
           <> (SELECT count(*) FROM staging.vw_latest_facilities)
       OR (SELECT count(DISTINCT event_id) FROM ods_raw.ods_appointment_events_source
           WHERE source_system = 'VEMS' AND ingestion_timestamp >= now() - interval '7 days')
           <> (SELECT count(*) FROM staging.vw_latest_appointment_events)
       OR (SELECT count(DISTINCT qa_event_id) FROM ods_raw.ods_qa_events_source
           WHERE source_system = 'OMS' AND ingestion_timestamp >= now() - interval '7 days')
           <> (SELECT count(*) FROM staging.vw_latest_qa_events) THEN
        RAISE EXCEPTION 'rollback: the procedures have not a row for each key of the window'
            USING HINT = 'Run it without a batch, for all batches.';
    END IF;
END
$$;
COMMIT;
\echo rollback: consumers read what the procedures write
