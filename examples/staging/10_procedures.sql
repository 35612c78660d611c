-- 10: stored procedures, as the layer was run before.
--
--     CALL staging.sp_staging_layer_master('BATCH_20251120_001');
--
-- Each takes a batch, deletes what it wrote for that batch before, and writes anew,
-- for each key that the batch touches, what the last seven days say of it.  So the
-- tables hold a row for each batch and key; the views vw_sp_latest_... show of each key that
-- is still in the window the row written last.  They are kept for a parallel run
-- with the dynamic tables (11), as a way back (14), and to be dropped (13).
--
-- What they need and dynamic tables do not: somebody to call them in order, per
-- batch, and again for batches whose rows were corrected.
\set ON_ERROR_STOP on

CREATE INDEX IF NOT EXISTS ods_veterans_source_batch ON ods_raw.ods_veterans_source (batch_id);
CREATE INDEX IF NOT EXISTS ods_evaluators_source_batch ON ods_raw.ods_evaluators_source (batch_id);
CREATE INDEX IF NOT EXISTS ods_facilities_source_batch ON ods_raw.ods_facilities_source (batch_id);
CREATE INDEX IF NOT EXISTS ods_appointment_events_source_batch ON ods_raw.ods_appointment_events_source (batch_id);
CREATE INDEX IF NOT EXISTS ods_qa_events_source_batch ON ods_raw.ods_qa_events_source (batch_id);

---------------------------------------------------------------------------
-- Tables: the columns of the dynamic tables, so that consumers can change over
---------------------------------------------------------------------------
CREATE TABLE reference.ref_entity_crosswalk_facilities (
    LIKE reference.dt_crosswalk_facilities, batch_id text, PRIMARY KEY (master_facility_id, batch_id));
CREATE TABLE reference.ref_entity_crosswalk_veterans (
    LIKE reference.dt_crosswalk_veterans, batch_id text, PRIMARY KEY (master_veteran_id, batch_id));
CREATE TABLE reference.ref_entity_crosswalk_evaluators (
    LIKE reference.dt_crosswalk_evaluators, batch_id text, PRIMARY KEY (master_evaluator_id, batch_id));
CREATE TABLE staging.stg_facilities (
    LIKE staging.dt_stg_facilities, PRIMARY KEY (master_facility_id, batch_id));
CREATE TABLE staging.stg_fact_appointment_events (
    LIKE staging.dt_stg_fact_appointment_events, PRIMARY KEY (event_id, batch_id));
CREATE TABLE staging.stg_fact_qa_events (
    LIKE staging.dt_stg_fact_qa_events, PRIMARY KEY (qa_event_id, batch_id));

CREATE TABLE reference.ref_reconciliation_log (
    log_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id          text        NOT NULL,
    entity_type       text        NOT NULL,
    master_id         text        NOT NULL,
    conflict_type     text        NOT NULL,
    oms_values        jsonb,
    vems_values       jsonb,
    resolution_method text        NOT NULL,
    logged_timestamp  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON reference.ref_reconciliation_log (batch_id);

---------------------------------------------------------------------------
-- What the procedures say now: the row written last of each key in the window
---------------------------------------------------------------------------
CREATE VIEW reference.vw_sp_latest_crosswalk_facilities AS
SELECT DISTINCT ON (master_facility_id)
       master_facility_id, oms_facility_id, vems_facility_id, match_confidence, match_method, facility_name, state,
       source_systems, oms_batch_id, vems_batch_id, last_updated, crosswalk_created_timestamp
FROM reference.ref_entity_crosswalk_facilities x
WHERE EXISTS (SELECT FROM ods_raw.ods_facilities_source s
              WHERE s.facility_id = x.master_facility_id AND s.ingestion_timestamp >= now() - interval '7 days')
ORDER BY master_facility_id, crosswalk_created_timestamp DESC, batch_id DESC;

CREATE VIEW reference.vw_sp_latest_crosswalk_veterans AS
SELECT DISTINCT ON (master_veteran_id)
       master_veteran_id, oms_veteran_id, vems_veteran_id, match_confidence, match_method, first_name, last_name, state,
       source_systems, oms_batch_id, vems_batch_id, last_updated, crosswalk_created_timestamp
FROM reference.ref_entity_crosswalk_veterans x
WHERE EXISTS (SELECT FROM ods_raw.ods_veterans_source s
              WHERE s.veteran_ssn = x.master_veteran_id AND s.ingestion_timestamp >= now() - interval '7 days')
ORDER BY master_veteran_id, crosswalk_created_timestamp DESC, batch_id DESC;

CREATE VIEW reference.vw_sp_latest_crosswalk_evaluators AS
SELECT DISTINCT ON (master_evaluator_id)
       master_evaluator_id, oms_evaluator_id, vems_evaluator_id, match_confidence, match_method, first_name, last_name, state,
       source_systems, oms_batch_id, vems_batch_id, last_updated, crosswalk_created_timestamp
FROM reference.ref_entity_crosswalk_evaluators x
WHERE EXISTS (SELECT FROM ods_raw.ods_evaluators_source s
              WHERE s.evaluator_npi = x.master_evaluator_id AND s.ingestion_timestamp >= now() - interval '7 days')
ORDER BY master_evaluator_id, crosswalk_created_timestamp DESC, batch_id DESC;

CREATE VIEW staging.vw_sp_latest_facilities AS
SELECT DISTINCT ON (f.master_facility_id) f.*
FROM staging.stg_facilities f JOIN reference.vw_sp_latest_crosswalk_facilities x USING (master_facility_id)
ORDER BY f.master_facility_id, f.staging_processed_timestamp DESC, f.batch_id DESC;

CREATE VIEW staging.vw_sp_latest_appointment_events AS
SELECT DISTINCT ON (event_id) e.*
FROM staging.stg_fact_appointment_events e
WHERE EXISTS (SELECT FROM ods_raw.ods_appointment_events_source s
              WHERE s.event_id = e.event_id AND s.source_system = 'VEMS' AND s.ingestion_timestamp >= now() - interval '7 days')
ORDER BY event_id, staging_processed_timestamp DESC, batch_id DESC;

CREATE VIEW staging.vw_sp_latest_qa_events AS
SELECT DISTINCT ON (qa_event_id) e.*
FROM staging.stg_fact_qa_events e
WHERE EXISTS (SELECT FROM ods_raw.ods_qa_events_source s
              WHERE s.qa_event_id = e.qa_event_id AND s.source_system = 'OMS' AND s.ingestion_timestamp >= now() - interval '7 days')
ORDER BY qa_event_id, staging_processed_timestamp DESC, batch_id DESC;

---------------------------------------------------------------------------
-- Crosswalks
---------------------------------------------------------------------------
-- One entity: what the two systems say last of each key that the batch touches, side by side.  merged: columns of
-- which OMS' value counts before VEMS'.
CREATE PROCEDURE reference.build_crosswalk(p_batch_id varchar, source regclass, target regclass, key name, method text, merged name[])
    LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    EXECUTE format('DELETE FROM %s WHERE batch_id = $1', target) USING p_batch_id;
    EXECUTE format($sql$
        INSERT INTO %2$s
        WITH latest AS (
            SELECT DISTINCT ON (source_system, %3$I) *
            FROM %1$s
            WHERE ingestion_timestamp >= now() - interval '7 days' AND %3$I IN (SELECT %3$I FROM %1$s WHERE batch_id = $1)
            ORDER BY source_system, %3$I, ingestion_timestamp DESC, source_record_id DESC)
        SELECT %3$I, o.source_record_id, v.source_record_id,
               CASE WHEN o.source_record_id IS NULL OR v.source_record_id IS NULL THEN 90.00 ELSE 100.00 END,
               CASE WHEN o.source_record_id IS NULL THEN %4$L || '_VEMS_ONLY' WHEN v.source_record_id IS NULL THEN %4$L || '_OMS_ONLY'
                    ELSE %4$L || '_EXACT_MATCH' END,
               %5$s,
               CASE WHEN o.source_record_id IS NULL THEN 'VEMS_ONLY' WHEN v.source_record_id IS NULL THEN 'OMS_ONLY' ELSE 'BOTH' END,
               o.batch_id, v.batch_id, greatest(o.ingestion_timestamp, v.ingestion_timestamp), clock_timestamp(), $1
        FROM (SELECT * FROM latest WHERE source_system = 'OMS') o
        FULL JOIN (SELECT * FROM latest WHERE source_system = 'VEMS') v USING (%3$I)$sql$,
        source, target, key, method,
        (SELECT string_agg(format('coalesce(o.%1$I, v.%1$I)', c), ', ' ORDER BY place) FROM unnest(merged) WITH ORDINALITY m (c, place)))
    USING p_batch_id;
END
$$;

CREATE PROCEDURE reference.sp_build_crosswalk_facilities(p_batch_id varchar)
    LANGUAGE sql AS $$
    CALL reference.build_crosswalk(p_batch_id, 'ods_raw.ods_facilities_source', 'reference.ref_entity_crosswalk_facilities',
                                   'facility_id', 'FACILITY_ID', '{facility_name,state}')
$$;
CREATE PROCEDURE reference.sp_build_crosswalk_veterans(p_batch_id varchar)
    LANGUAGE sql AS $$
    CALL reference.build_crosswalk(p_batch_id, 'ods_raw.ods_veterans_source', 'reference.ref_entity_crosswalk_veterans',
                                   'veteran_ssn', 'SSN', '{first_name,last_name,state}')
$$;
CREATE PROCEDURE reference.sp_build_crosswalk_evaluators(p_batch_id varchar)
    LANGUAGE sql AS $$
    CALL reference.build_crosswalk(p_batch_id, 'ods_raw.ods_evaluators_source', 'reference.ref_entity_crosswalk_evaluators',
                                   'evaluator_npi', 'NPI', '{first_name,last_name,license_state}')
$$;

---------------------------------------------------------------------------
-- Facilities.  Touched by a batch: by facility id, and by either record.
---------------------------------------------------------------------------
CREATE PROCEDURE staging.sp_merge_facilities_to_staging(p_batch_id varchar)
    LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    DELETE FROM staging.stg_facilities WHERE batch_id = p_batch_id;
    DELETE FROM reference.ref_reconciliation_log WHERE batch_id = p_batch_id AND entity_type = 'FACILITY';

    INSERT INTO staging.stg_facilities (
        master_facility_id, facility_id, oms_facility_id, vems_facility_id, facility_name, facility_type, address, address2, city, state,
        zip_code, full_address, county, visn_code, visn_name, parent_facility_id, phone, fax, email, website, active_flag,
        operating_hours, weekend_hours, capacity, source_system, match_confidence, source_record_hash, dq_score, dq_issues,
        conflict_type, oms_values, vems_values, resolution_method, batch_id, last_updated, staging_processed_timestamp)
    WITH merged AS (
        SELECT x.master_facility_id, x.oms_facility_id, x.vems_facility_id, x.match_confidence, x.last_updated,
               coalesce(o.facility_id, v.facility_id) AS facility_id,
               upper(trim(coalesce(o.facility_name, v.facility_name))) AS facility_name,
               coalesce(o.facility_type, v.facility_type) AS facility_type,
               coalesce(o.address, v.address) AS address, coalesce(o.address2, v.address2) AS address2,
               coalesce(o.city, v.city) AS city, coalesce(o.state, v.state) AS state, coalesce(o.zip_code, v.zip_code) AS zip_code,
               coalesce(o.county, v.county) AS county, coalesce(o.visn_code, v.visn_code) AS visn_code,
               coalesce(o.visn_name, v.visn_name) AS visn_name,
               coalesce(o.parent_facility_id, v.parent_facility_id) AS parent_facility_id,
               coalesce(o.phone, v.phone) AS phone, coalesce(o.fax, v.fax) AS fax,
               lower(trim(coalesce(o.email, v.email))) AS email, coalesce(o.website, v.website) AS website,
               coalesce(o.active_flag, v.active_flag) AS active_flag,
               coalesce(o.operating_hours, v.operating_hours) AS operating_hours,
               coalesce(o.weekend_hours, v.weekend_hours) AS weekend_hours, coalesce(o.capacity, v.capacity) AS capacity,
               o.facility_name AS oms_name, v.facility_name AS vems_name, o.state AS oms_state, v.state AS vems_state,
               CASE WHEN upper(trim(o.facility_name)) <> upper(trim(v.facility_name)) THEN 'FACILITY_NAME_MISMATCH'
                    WHEN o.state <> v.state THEN 'STATE_MISMATCH' END AS conflict_type
        FROM reference.vw_sp_latest_crosswalk_facilities x
        LEFT JOIN LATERAL (
            SELECT * FROM ods_raw.ods_facilities_source s
            WHERE s.source_system = 'OMS' AND s.source_record_id = x.oms_facility_id AND s.ingestion_timestamp >= now() - interval '7 days'
            ORDER BY s.ingestion_timestamp DESC LIMIT 1) o ON true
        LEFT JOIN LATERAL (
            SELECT * FROM ods_raw.ods_facilities_source s
            WHERE s.source_system = 'VEMS' AND s.source_record_id = x.vems_facility_id AND s.ingestion_timestamp >= now() - interval '7 days'
            ORDER BY s.ingestion_timestamp DESC LIMIT 1) v ON true
        WHERE EXISTS (SELECT FROM ods_raw.ods_facilities_source b
                      WHERE b.batch_id = p_batch_id
                        AND (b.facility_id = x.master_facility_id OR b.source_record_id IN (x.oms_facility_id, x.vems_facility_id))))
    SELECT master_facility_id, facility_id, oms_facility_id, vems_facility_id, facility_name, facility_type, address, address2, city, state,
           zip_code,
           array_to_string(array_remove(ARRAY[trim(address), trim(address2), trim(city), trim(state), trim(zip_code)], ''), ', '),
           county, visn_code, visn_name, parent_facility_id, phone, fax, email, website, coalesce(active_flag, true),
           operating_hours, weekend_hours, capacity,
           CASE WHEN oms_facility_id IS NULL THEN 'VEMS' WHEN vems_facility_id IS NULL THEN 'OMS' ELSE 'OMS_VEMS_MERGED' END,
           match_confidence,
           md5(concat_ws('|', facility_id, facility_name, facility_type, address, address2, city, state, zip_code, phone, email,
                         active_flag, capacity)),
           30 * (facility_id IS NOT NULL)::int + 20 * (facility_name IS NOT NULL)::int + 15 * (state IS NOT NULL)::int
               + 10 * (city IS NOT NULL)::int + 10 * (phone IS NOT NULL)::int + 5 * (capacity IS NOT NULL)::int
               + 10 * (active_flag IS NOT NULL)::int,
           (SELECT string_agg('MISSING_' || field, '; ' ORDER BY place)
            FROM (VALUES (1, 'FACILITY_ID', facility_id IS NULL), (2, 'FACILITY_NAME', facility_name IS NULL), (3, 'STATE', state IS NULL),
                         (4, 'CITY', city IS NULL), (5, 'PHONE', phone IS NULL), (6, 'CAPACITY', capacity IS NULL),
                         (7, 'ACTIVE_FLAG', active_flag IS NULL)) issue(place, field, missing) WHERE missing),
           conflict_type,
           CASE conflict_type WHEN 'FACILITY_NAME_MISMATCH' THEN jsonb_build_object('facility_name', oms_name, 'state', oms_state) END,
           CASE conflict_type WHEN 'FACILITY_NAME_MISMATCH' THEN jsonb_build_object('facility_name', vems_name, 'state', vems_state) END,
           CASE WHEN conflict_type IS NOT NULL THEN 'PREFER_OMS' END,
           p_batch_id, last_updated, clock_timestamp()
    FROM merged;

    INSERT INTO reference.ref_reconciliation_log (batch_id, entity_type, master_id, conflict_type, oms_values, vems_values, resolution_method)
    SELECT batch_id, 'FACILITY', master_facility_id, conflict_type, oms_values, vems_values, resolution_method
    FROM staging.stg_facilities WHERE batch_id = p_batch_id AND conflict_type IS NOT NULL;
END
$$;

---------------------------------------------------------------------------
-- Facts.  Touched by a batch: its own events, the other events of their
-- appointments (whose numbers change), and events of entities that came with it.
---------------------------------------------------------------------------
CREATE PROCEDURE staging.sp_merge_appointment_events_to_staging(p_batch_id varchar)
    LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    DELETE FROM staging.stg_fact_appointment_events WHERE batch_id = p_batch_id;

    INSERT INTO staging.stg_fact_appointment_events (
        event_id, appointment_id, exam_request_id, master_veteran_id, master_evaluator_id, master_facility_id, event_timestamp, event_date,
        event_type, event_status, event_sequence_number, previous_appointment_id, new_appointment_id, rescheduling_reason,
        cancellation_reason, cancelled_by, no_show_reason, no_show_flag, appointment_location_type, appointment_location, scheduled_date,
        scheduled_time, completed_timestamp, duration_minutes, veteran_notified_flag, veteran_notification_date, veteran_confirmed_flag,
        dq_score, dq_issues, batch_id, staging_processed_timestamp)
    WITH latest AS (
        SELECT DISTINCT ON (event_id) *
        FROM ods_raw.ods_appointment_events_source
        WHERE source_system = 'VEMS' AND event_id IS NOT NULL AND ingestion_timestamp >= now() - interval '7 days'
        ORDER BY event_id, ingestion_timestamp DESC, source_record_id DESC),
    numbered AS (
        SELECT *, row_number() OVER (PARTITION BY appointment_id ORDER BY event_timestamp, event_id) AS number FROM latest),
    of_batch AS (
        SELECT DISTINCT event_id, coalesce(appointment_id, '') AS appointment_id
        FROM ods_raw.ods_appointment_events_source WHERE batch_id = p_batch_id)
    SELECT n.event_id, n.appointment_id, n.exam_request_id, v.master_veteran_id, e.master_evaluator_id, f.master_facility_id,
           n.event_timestamp, n.event_timestamp::date, n.event_type, n.event_status, n.number,
           n.previous_appointment_id, n.new_appointment_id, n.rescheduling_reason, n.cancellation_reason, n.cancelled_by,
           n.no_show_reason, n.event_type IS NOT DISTINCT FROM 'NO_SHOW', n.appointment_location_type, n.appointment_location,
           n.scheduled_date, n.scheduled_time, n.completed_timestamp, n.duration_minutes, n.veteran_notified_flag,
           n.veteran_notification_date, n.veteran_confirmed_flag,
           20 + 20 * (n.appointment_id IS NOT NULL)::int + 20 * (v.master_veteran_id IS NOT NULL)::int
               + 15 * (n.event_type IS NOT NULL)::int + 15 * (n.event_timestamp IS NOT NULL)::int
               + 10 * (n.scheduled_date IS NOT NULL)::int,
           (SELECT string_agg('MISSING_' || field, '; ' ORDER BY place)
            FROM (VALUES (1, 'APPOINTMENT_ID', n.appointment_id IS NULL), (2, 'VETERAN_LINK', v.master_veteran_id IS NULL),
                         (3, 'EVENT_TYPE', n.event_type IS NULL), (4, 'EVENT_TIMESTAMP', n.event_timestamp IS NULL),
                         (5, 'SCHEDULED_DATE', n.scheduled_date IS NULL)) issue(place, field, missing) WHERE missing),
           p_batch_id, clock_timestamp()
    FROM numbered n
    LEFT JOIN reference.vw_sp_latest_crosswalk_veterans v ON v.master_veteran_id = n.veteran_ssn
    LEFT JOIN reference.vw_sp_latest_crosswalk_evaluators e ON e.master_evaluator_id = n.evaluator_npi
    LEFT JOIN reference.vw_sp_latest_crosswalk_facilities f ON f.master_facility_id = n.facility_id
    WHERE n.event_id IN (SELECT event_id FROM of_batch)
       OR coalesce(n.appointment_id, '') IN (SELECT appointment_id FROM of_batch)
       OR n.veteran_ssn IN (SELECT veteran_ssn FROM ods_raw.ods_veterans_source WHERE batch_id = p_batch_id)
       OR n.evaluator_npi IN (SELECT evaluator_npi FROM ods_raw.ods_evaluators_source WHERE batch_id = p_batch_id)
       OR n.facility_id IN (SELECT facility_id FROM ods_raw.ods_facilities_source WHERE batch_id = p_batch_id);
END
$$;

CREATE PROCEDURE staging.sp_merge_qa_events_to_staging(p_batch_id varchar)
    LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    DELETE FROM staging.stg_fact_qa_events WHERE batch_id = p_batch_id;

    INSERT INTO staging.stg_fact_qa_events (
        qa_event_id, evaluation_id, qa_reviewer_id, event_timestamp, event_date, event_type, event_status, qa_cycle_number, review_outcome,
        overall_quality_score, completeness_score, accuracy_score, clarity_score, nexus_quality_score, deficiency_count,
        deficiency_found_flag, deficiency_severity, deficiency_category, deficiency_description, clarification_requested_flag,
        clarification_type, clarification_description, clarification_due_date, approved_flag, approved_timestamp,
        first_pass_approval_flag, review_duration_hours, turnaround_time_hours, days_in_qa_at_event, dq_score, dq_issues, batch_id,
        staging_processed_timestamp)
    WITH latest AS (
        SELECT DISTINCT ON (qa_event_id) *
        FROM ods_raw.ods_qa_events_source
        WHERE source_system = 'OMS' AND qa_event_id IS NOT NULL AND ingestion_timestamp >= now() - interval '7 days'
        ORDER BY qa_event_id, ingestion_timestamp DESC, source_record_id DESC)
    SELECT q.qa_event_id, q.evaluation_id, r.master_evaluator_id, q.event_timestamp, q.event_timestamp::date, q.event_type, q.event_status,
           q.qa_cycle_number, q.review_outcome, q.overall_quality_score, q.completeness_score, q.accuracy_score,
           round((q.completeness_score + q.accuracy_score) / 2, 2), q.nexus_quality_score, q.deficiency_count,
           coalesce(q.deficiency_count, 0) > 0,
           CASE WHEN coalesce(q.deficiency_count, 0) = 0 THEN NULL WHEN q.deficiency_count <= 2 THEN 'MINOR'
                WHEN q.deficiency_count <= 5 THEN 'MODERATE' ELSE 'MAJOR' END,
           q.deficiency_category, q.deficiency_description, q.clarification_requested_flag, q.clarification_type,
           q.clarification_description, q.clarification_due_date, q.approved_flag, q.approved_timestamp,
           coalesce(q.approved_flag AND q.qa_cycle_number = 1, false),
           round(extract(epoch FROM q.event_timestamp - q.review_started_timestamp) / 3600, 2),
           round(extract(epoch FROM q.approved_timestamp - q.evaluation_submitted_timestamp) / 3600, 2),
           q.event_timestamp::date - q.evaluation_submitted_timestamp::date,
           20 + 20 * (q.evaluation_id IS NOT NULL)::int + 15 * (r.master_evaluator_id IS NOT NULL)::int
               + 15 * (q.event_type IS NOT NULL)::int + 15 * (q.event_timestamp IS NOT NULL)::int
               + 15 * (q.overall_quality_score IS NOT NULL)::int,
           (SELECT string_agg('MISSING_' || field, '; ' ORDER BY place)
            FROM (VALUES (1, 'EVALUATION_ID', q.evaluation_id IS NULL), (2, 'REVIEWER_LINK', r.master_evaluator_id IS NULL),
                         (3, 'EVENT_TYPE', q.event_type IS NULL), (4, 'EVENT_TIMESTAMP', q.event_timestamp IS NULL),
                         (5, 'QUALITY_SCORE', q.overall_quality_score IS NULL)) issue(place, field, missing) WHERE missing),
           p_batch_id, clock_timestamp()
    FROM latest q
    LEFT JOIN reference.vw_sp_latest_crosswalk_evaluators r ON r.master_evaluator_id = q.reviewer_npi
    WHERE q.qa_event_id IN (SELECT qa_event_id FROM ods_raw.ods_qa_events_source WHERE batch_id = p_batch_id)
       OR q.reviewer_npi IN (SELECT evaluator_npi FROM ods_raw.ods_evaluators_source WHERE batch_id = p_batch_id);
END
$$;

---------------------------------------------------------------------------
-- All of them in order, for a batch, and for all batches of the window
---------------------------------------------------------------------------
CREATE PROCEDURE staging.sp_staging_layer_master(p_batch_id varchar)
    LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    CALL reference.sp_build_crosswalk_facilities(p_batch_id);
    CALL reference.sp_build_crosswalk_veterans(p_batch_id);
    CALL reference.sp_build_crosswalk_evaluators(p_batch_id);
    CALL staging.sp_merge_facilities_to_staging(p_batch_id);
    CALL staging.sp_merge_appointment_events_to_staging(p_batch_id);
    CALL staging.sp_merge_qa_events_to_staging(p_batch_id);
END
$$;

CREATE VIEW staging.vw_batches_in_window AS
SELECT batch_id FROM ods_raw.ods_facilities_source WHERE ingestion_timestamp >= now() - interval '7 days'
UNION
SELECT batch_id FROM ods_raw.ods_veterans_source WHERE ingestion_timestamp >= now() - interval '7 days'
UNION
SELECT batch_id FROM ods_raw.ods_evaluators_source WHERE ingestion_timestamp >= now() - interval '7 days'
UNION
SELECT batch_id FROM ods_raw.ods_appointment_events_source WHERE ingestion_timestamp >= now() - interval '7 days'
UNION
SELECT batch_id FROM ods_raw.ods_qa_events_source WHERE ingestion_timestamp >= now() - interval '7 days';
COMMENT ON VIEW staging.vw_batches_in_window IS 'batches of which the rolling window holds a row';
