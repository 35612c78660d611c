-- 03: the dynamic tables.
--
--     psql -v lag_factor=0.01 -f 03_dynamic_tables.sql
--
-- lag_factor multiplies the target lags (default 1: 10 to 30 minutes).
--
-- "Latest" means everywhere: of the rows that came in within the last 7 days
-- the newest per key; rows without a key take no part.  The window rolls, a
-- row leaves it by the clock alone.
--
-- Run again it changes what has changed, and nothing where nothing has: a
-- definition under version control is deployed by running its script.
--
-- Mode incremental: an error if one of them could not be. In mode auto (the
-- default) a refresh computes all anew where the delta would take longer.
\set ON_ERROR_STOP on
\if :{?lag_factor}
\else
    \set lag_factor 1
\endif

---------------------------------------------------------------------------
-- reference.dt_crosswalk_facilities: facilities of both systems, matched
---------------------------------------------------------------------------
SELECT dyntable_create('reference.dt_crosswalk_facilities', $$
WITH oms AS (
    SELECT * FROM (
        SELECT facility_id, source_record_id, facility_name, state, batch_id, ingestion_timestamp,
               ROW_NUMBER() OVER (
                   PARTITION BY facility_id
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_facilities_source
        WHERE source_system = 'OMS'
          AND facility_id IS NOT NULL
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
),
vems AS (
    SELECT * FROM (
        SELECT facility_id, source_record_id, facility_name, state, batch_id, ingestion_timestamp,
               ROW_NUMBER() OVER (
                   PARTITION BY facility_id
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_facilities_source
        WHERE source_system = 'VEMS'
          AND facility_id IS NOT NULL
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
)
SELECT
    COALESCE(oms.facility_id, vems.facility_id) AS master_facility_id,
    oms.source_record_id AS oms_facility_id,
    vems.source_record_id AS vems_facility_id,
    CASE WHEN oms.facility_id IS NOT NULL AND vems.facility_id IS NOT NULL
         THEN 100.00 ELSE 90.00 END AS match_confidence,
    CASE WHEN vems.facility_id IS NULL THEN 'FACILITY_ID_OMS_ONLY'
         WHEN oms.facility_id IS NULL THEN 'FACILITY_ID_VEMS_ONLY'
         ELSE 'FACILITY_ID_EXACT_MATCH' END AS match_method,
    COALESCE(oms.facility_name, vems.facility_name) AS facility_name,
    COALESCE(oms.state, vems.state) AS state,
    CASE WHEN vems.facility_id IS NULL THEN 'OMS_ONLY'
         WHEN oms.facility_id IS NULL THEN 'VEMS_ONLY'
         ELSE 'BOTH' END AS source_systems,
    oms.batch_id AS oms_batch_id,
    vems.batch_id AS vems_batch_id,
    GREATEST(oms.ingestion_timestamp, vems.ingestion_timestamp) AS last_updated,
    now() AS crosswalk_created_timestamp
FROM oms
FULL OUTER JOIN vems ON oms.facility_id = vems.facility_id
$$, target_lag => (interval '15 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- reference.dt_crosswalk_veterans
---------------------------------------------------------------------------
SELECT dyntable_create('reference.dt_crosswalk_veterans', $$
WITH oms AS (
    SELECT * FROM (
        SELECT veteran_ssn, source_record_id, first_name, last_name, state, batch_id, ingestion_timestamp,
               ROW_NUMBER() OVER (
                   PARTITION BY veteran_ssn
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_veterans_source
        WHERE source_system = 'OMS'
          AND veteran_ssn IS NOT NULL
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
),
vems AS (
    SELECT * FROM (
        SELECT veteran_ssn, source_record_id, first_name, last_name, state, batch_id, ingestion_timestamp,
               ROW_NUMBER() OVER (
                   PARTITION BY veteran_ssn
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_veterans_source
        WHERE source_system = 'VEMS'
          AND veteran_ssn IS NOT NULL
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
)
SELECT
    COALESCE(oms.veteran_ssn, vems.veteran_ssn) AS master_veteran_id,
    oms.source_record_id AS oms_veteran_id,
    vems.source_record_id AS vems_veteran_id,
    CASE WHEN oms.veteran_ssn IS NOT NULL AND vems.veteran_ssn IS NOT NULL
         THEN 100.00 ELSE 90.00 END AS match_confidence,
    CASE WHEN vems.veteran_ssn IS NULL THEN 'SSN_OMS_ONLY'
         WHEN oms.veteran_ssn IS NULL THEN 'SSN_VEMS_ONLY'
         ELSE 'SSN_EXACT_MATCH' END AS match_method,
    COALESCE(oms.first_name, vems.first_name) AS first_name,
    COALESCE(oms.last_name, vems.last_name) AS last_name,
    COALESCE(oms.state, vems.state) AS state,
    CASE WHEN vems.veteran_ssn IS NULL THEN 'OMS_ONLY'
         WHEN oms.veteran_ssn IS NULL THEN 'VEMS_ONLY'
         ELSE 'BOTH' END AS source_systems,
    oms.batch_id AS oms_batch_id,
    vems.batch_id AS vems_batch_id,
    GREATEST(oms.ingestion_timestamp, vems.ingestion_timestamp) AS last_updated,
    now() AS crosswalk_created_timestamp
FROM oms
FULL OUTER JOIN vems ON oms.veteran_ssn = vems.veteran_ssn
$$, target_lag => (interval '15 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- reference.dt_crosswalk_evaluators
---------------------------------------------------------------------------
SELECT dyntable_create('reference.dt_crosswalk_evaluators', $$
WITH oms AS (
    SELECT * FROM (
        SELECT evaluator_npi, source_record_id, first_name, last_name, license_state, batch_id, ingestion_timestamp,
               ROW_NUMBER() OVER (
                   PARTITION BY evaluator_npi
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_evaluators_source
        WHERE source_system = 'OMS'
          AND evaluator_npi IS NOT NULL
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
),
vems AS (
    SELECT * FROM (
        SELECT evaluator_npi, source_record_id, first_name, last_name, license_state, batch_id, ingestion_timestamp,
               ROW_NUMBER() OVER (
                   PARTITION BY evaluator_npi
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_evaluators_source
        WHERE source_system = 'VEMS'
          AND evaluator_npi IS NOT NULL
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
)
SELECT
    COALESCE(oms.evaluator_npi, vems.evaluator_npi) AS master_evaluator_id,
    oms.source_record_id AS oms_evaluator_id,
    vems.source_record_id AS vems_evaluator_id,
    CASE WHEN oms.evaluator_npi IS NOT NULL AND vems.evaluator_npi IS NOT NULL
         THEN 100.00 ELSE 90.00 END AS match_confidence,
    CASE WHEN vems.evaluator_npi IS NULL THEN 'NPI_OMS_ONLY'
         WHEN oms.evaluator_npi IS NULL THEN 'NPI_VEMS_ONLY'
         ELSE 'NPI_EXACT_MATCH' END AS match_method,
    COALESCE(oms.first_name, vems.first_name) AS first_name,
    COALESCE(oms.last_name, vems.last_name) AS last_name,
    COALESCE(oms.license_state, vems.license_state) AS state,
    CASE WHEN vems.evaluator_npi IS NULL THEN 'OMS_ONLY'
         WHEN oms.evaluator_npi IS NULL THEN 'VEMS_ONLY'
         ELSE 'BOTH' END AS source_systems,
    oms.batch_id AS oms_batch_id,
    vems.batch_id AS vems_batch_id,
    GREATEST(oms.ingestion_timestamp, vems.ingestion_timestamp) AS last_updated,
    now() AS crosswalk_created_timestamp
FROM oms
FULL OUTER JOIN vems ON oms.evaluator_npi = vems.evaluator_npi
$$, target_lag => (interval '15 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- staging.dt_stg_facilities: merged facilities, OMS wins, VEMS fills the gaps
---------------------------------------------------------------------------
SELECT dyntable_create('staging.dt_stg_facilities', $$
WITH oms AS (
    SELECT * FROM (
        SELECT f.*,
               ROW_NUMBER() OVER (
                   PARTITION BY source_record_id
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_facilities_source f
        WHERE source_system = 'OMS'
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
),
vems AS (
    SELECT * FROM (
        SELECT f.*,
               ROW_NUMBER() OVER (
                   PARTITION BY source_record_id
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_facilities_source f
        WHERE source_system = 'VEMS'
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
),
merged AS (
    SELECT
        x.master_facility_id,
        x.oms_facility_id,
        x.vems_facility_id,
        x.match_confidence,
        x.last_updated,
        COALESCE(oms.facility_id, vems.facility_id) AS facility_id,
        UPPER(TRIM(COALESCE(oms.facility_name, vems.facility_name))) AS facility_name,
        COALESCE(oms.facility_type, vems.facility_type) AS facility_type,
        COALESCE(oms.address, vems.address) AS address,
        COALESCE(oms.address2, vems.address2) AS address2,
        COALESCE(oms.city, vems.city) AS city,
        COALESCE(oms.state, vems.state) AS state,
        COALESCE(oms.zip_code, vems.zip_code) AS zip_code,
        COALESCE(oms.county, vems.county) AS county,
        COALESCE(oms.visn_code, vems.visn_code) AS visn_code,
        COALESCE(oms.visn_name, vems.visn_name) AS visn_name,
        COALESCE(oms.parent_facility_id, vems.parent_facility_id) AS parent_facility_id,
        COALESCE(oms.phone, vems.phone) AS phone,
        COALESCE(oms.fax, vems.fax) AS fax,
        LOWER(TRIM(COALESCE(oms.email, vems.email))) AS email,
        COALESCE(oms.website, vems.website) AS website,
        COALESCE(oms.active_flag, vems.active_flag) AS source_active_flag,
        COALESCE(oms.operating_hours, vems.operating_hours) AS operating_hours,
        COALESCE(oms.weekend_hours, vems.weekend_hours) AS weekend_hours,
        COALESCE(oms.capacity, vems.capacity) AS capacity,
        COALESCE(oms.batch_id, vems.batch_id) AS batch_id,
        oms.facility_name AS oms_name,
        vems.facility_name AS vems_name,
        oms.state AS oms_state,
        vems.state AS vems_state,
        CASE WHEN UPPER(TRIM(oms.facility_name)) <> UPPER(TRIM(vems.facility_name)) THEN 'FACILITY_NAME_MISMATCH'
             WHEN oms.state <> vems.state THEN 'STATE_MISMATCH' END AS conflict_type
    FROM reference.dt_crosswalk_facilities x
    LEFT JOIN oms ON oms.source_record_id = x.oms_facility_id
    LEFT JOIN vems ON vems.source_record_id = x.vems_facility_id
)
SELECT
    master_facility_id,
    facility_id,
    oms_facility_id,
    vems_facility_id,
    facility_name,
    facility_type,
    address,
    address2,
    city,
    state,
    zip_code,
    CONCAT_WS(', ', NULLIF(TRIM(address), ''), NULLIF(TRIM(address2), ''), NULLIF(TRIM(city), ''),
              NULLIF(TRIM(state), ''), NULLIF(TRIM(zip_code), '')) AS full_address,
    county,
    visn_code,
    visn_name,
    parent_facility_id,
    phone,
    fax,
    email,
    website,
    COALESCE(source_active_flag, true) AS active_flag,
    operating_hours,
    weekend_hours,
    capacity,
    CASE WHEN oms_facility_id IS NOT NULL AND vems_facility_id IS NOT NULL THEN 'OMS_VEMS_MERGED'
         WHEN oms_facility_id IS NOT NULL THEN 'OMS'
         ELSE 'VEMS' END AS source_system,
    match_confidence,
    MD5(CONCAT_WS('|', facility_id, facility_name, facility_type, address, address2, city, state,
                  zip_code, phone, email, source_active_flag, capacity)) AS source_record_hash,
    CASE WHEN facility_id IS NOT NULL THEN 30 ELSE 0 END
      + CASE WHEN facility_name IS NOT NULL THEN 20 ELSE 0 END
      + CASE WHEN state IS NOT NULL THEN 15 ELSE 0 END
      + CASE WHEN city IS NOT NULL THEN 10 ELSE 0 END
      + CASE WHEN phone IS NOT NULL THEN 10 ELSE 0 END
      + CASE WHEN capacity IS NOT NULL THEN 5 ELSE 0 END
      + CASE WHEN source_active_flag IS NOT NULL THEN 10 ELSE 0 END AS dq_score,
    NULLIF(CONCAT_WS('; ',
        CASE WHEN facility_id IS NULL THEN 'MISSING_FACILITY_ID' END,
        CASE WHEN facility_name IS NULL THEN 'MISSING_FACILITY_NAME' END,
        CASE WHEN state IS NULL THEN 'MISSING_STATE' END,
        CASE WHEN city IS NULL THEN 'MISSING_CITY' END,
        CASE WHEN phone IS NULL THEN 'MISSING_PHONE' END,
        CASE WHEN capacity IS NULL THEN 'MISSING_CAPACITY' END,
        CASE WHEN source_active_flag IS NULL THEN 'MISSING_ACTIVE_FLAG' END), '') AS dq_issues,
    conflict_type,
    CASE WHEN conflict_type = 'FACILITY_NAME_MISMATCH'
         THEN jsonb_build_object('facility_name', oms_name, 'state', oms_state) END AS oms_values,
    CASE WHEN conflict_type = 'FACILITY_NAME_MISMATCH'
         THEN jsonb_build_object('facility_name', vems_name, 'state', vems_state) END AS vems_values,
    CASE WHEN conflict_type IS NOT NULL THEN 'PREFER_OMS' END AS resolution_method,
    batch_id,
    last_updated,
    now() AS staging_processed_timestamp
FROM merged
$$, target_lag => (interval '30 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- staging.dt_stg_fact_appointment_events
---------------------------------------------------------------------------
SELECT dyntable_create('staging.dt_stg_fact_appointment_events', $$
WITH latest AS (
    SELECT * FROM (
        SELECT e.*,
               ROW_NUMBER() OVER (
                   PARTITION BY event_id
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_appointment_events_source e
        WHERE source_system = 'VEMS'
          AND event_id IS NOT NULL
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
),
sequenced AS (
    SELECT latest.*,
           ROW_NUMBER() OVER (PARTITION BY appointment_id ORDER BY event_timestamp, event_id)
               AS event_sequence_number
    FROM latest
)
SELECT
    e.event_id,
    e.appointment_id,
    e.exam_request_id,
    v.master_veteran_id,
    ev.master_evaluator_id,
    f.master_facility_id,
    e.event_timestamp,
    e.event_timestamp::date AS event_date,
    e.event_type,
    e.event_status,
    e.event_sequence_number,
    e.previous_appointment_id,
    e.new_appointment_id,
    e.rescheduling_reason,
    e.cancellation_reason,
    e.cancelled_by,
    e.no_show_reason,
    COALESCE(e.event_type = 'NO_SHOW', false) AS no_show_flag,
    e.appointment_location_type,
    e.appointment_location,
    e.scheduled_date,
    e.scheduled_time,
    e.completed_timestamp,
    e.duration_minutes,
    e.veteran_notified_flag,
    e.veteran_notification_date,
    e.veteran_confirmed_flag,
    CASE WHEN e.event_id IS NOT NULL THEN 20 ELSE 0 END
      + CASE WHEN e.appointment_id IS NOT NULL THEN 20 ELSE 0 END
      + CASE WHEN v.master_veteran_id IS NOT NULL THEN 20 ELSE 0 END
      + CASE WHEN e.event_type IS NOT NULL THEN 15 ELSE 0 END
      + CASE WHEN e.event_timestamp IS NOT NULL THEN 15 ELSE 0 END
      + CASE WHEN e.scheduled_date IS NOT NULL THEN 10 ELSE 0 END AS dq_score,
    NULLIF(CONCAT_WS('; ',
        CASE WHEN e.appointment_id IS NULL THEN 'MISSING_APPOINTMENT_ID' END,
        CASE WHEN v.master_veteran_id IS NULL THEN 'MISSING_VETERAN_LINK' END,
        CASE WHEN e.event_type IS NULL THEN 'MISSING_EVENT_TYPE' END,
        CASE WHEN e.event_timestamp IS NULL THEN 'MISSING_EVENT_TIMESTAMP' END,
        CASE WHEN e.scheduled_date IS NULL THEN 'MISSING_SCHEDULED_DATE' END), '') AS dq_issues,
    e.batch_id,
    now() AS staging_processed_timestamp
FROM sequenced e
LEFT JOIN reference.dt_crosswalk_veterans v ON v.master_veteran_id = e.veteran_ssn
LEFT JOIN reference.dt_crosswalk_evaluators ev ON ev.master_evaluator_id = e.evaluator_npi
LEFT JOIN reference.dt_crosswalk_facilities f ON f.master_facility_id = e.facility_id
$$, target_lag => (interval '20 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- staging.dt_stg_fact_qa_events
---------------------------------------------------------------------------
SELECT dyntable_create('staging.dt_stg_fact_qa_events', $$
WITH latest AS (
    SELECT * FROM (
        SELECT q.*,
               ROW_NUMBER() OVER (
                   PARTITION BY qa_event_id
                   ORDER BY ingestion_timestamp DESC, source_record_id DESC, source_system) AS rn
        FROM ods_raw.ods_qa_events_source q
        WHERE source_system = 'OMS'
          AND qa_event_id IS NOT NULL
          AND ingestion_timestamp >= now() - interval '7 days'
    ) ranked
    WHERE rn = 1
)
SELECT
    q.qa_event_id,
    q.evaluation_id,
    r.master_evaluator_id AS qa_reviewer_id,
    q.event_timestamp,
    q.event_timestamp::date AS event_date,
    q.event_type,
    q.event_status,
    q.qa_cycle_number,
    q.review_outcome,
    q.overall_quality_score,
    q.completeness_score,
    q.accuracy_score,
    ROUND((q.completeness_score + q.accuracy_score) / 2, 2) AS clarity_score,
    q.nexus_quality_score,
    q.deficiency_count,
    COALESCE(q.deficiency_count > 0, false) AS deficiency_found_flag,
    CASE WHEN COALESCE(q.deficiency_count, 0) = 0 THEN NULL
         WHEN q.deficiency_count <= 2 THEN 'MINOR'
         WHEN q.deficiency_count <= 5 THEN 'MODERATE'
         ELSE 'MAJOR' END AS deficiency_severity,
    q.deficiency_category,
    q.deficiency_description,
    q.clarification_requested_flag,
    q.clarification_type,
    q.clarification_description,
    q.clarification_due_date,
    q.approved_flag,
    q.approved_timestamp,
    COALESCE(q.qa_cycle_number = 1 AND q.approved_flag, false) AS first_pass_approval_flag,
    ROUND(EXTRACT(EPOCH FROM q.event_timestamp - q.review_started_timestamp) / 3600, 2) AS review_duration_hours,
    ROUND(EXTRACT(EPOCH FROM q.approved_timestamp - q.evaluation_submitted_timestamp) / 3600, 2)
        AS turnaround_time_hours,
    q.event_timestamp::date - q.evaluation_submitted_timestamp::date AS days_in_qa_at_event,
    CASE WHEN q.qa_event_id IS NOT NULL THEN 20 ELSE 0 END
      + CASE WHEN q.evaluation_id IS NOT NULL THEN 20 ELSE 0 END
      + CASE WHEN r.master_evaluator_id IS NOT NULL THEN 15 ELSE 0 END
      + CASE WHEN q.event_type IS NOT NULL THEN 15 ELSE 0 END
      + CASE WHEN q.event_timestamp IS NOT NULL THEN 15 ELSE 0 END
      + CASE WHEN q.overall_quality_score IS NOT NULL THEN 15 ELSE 0 END AS dq_score,
    NULLIF(CONCAT_WS('; ',
        CASE WHEN q.evaluation_id IS NULL THEN 'MISSING_EVALUATION_ID' END,
        CASE WHEN r.master_evaluator_id IS NULL THEN 'MISSING_REVIEWER_LINK' END,
        CASE WHEN q.event_type IS NULL THEN 'MISSING_EVENT_TYPE' END,
        CASE WHEN q.event_timestamp IS NULL THEN 'MISSING_EVENT_TIMESTAMP' END,
        CASE WHEN q.overall_quality_score IS NULL THEN 'MISSING_QUALITY_SCORE' END), '') AS dq_issues,
    q.batch_id,
    now() AS staging_processed_timestamp
FROM latest q
LEFT JOIN reference.dt_crosswalk_evaluators r ON r.master_evaluator_id = q.reviewer_npi
$$, target_lag => (interval '30 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- staging.dt_vw_staging_dq_summary
--
-- Its lag is shorter than that of the tables it reads: they are refreshed
-- with it, as often as it needs.
---------------------------------------------------------------------------
SELECT dyntable_create('staging.dt_vw_staging_dq_summary', $$
WITH summary AS (
    SELECT 'dt_stg_facilities' AS table_name,
           COUNT(*) AS total_records,
           ROUND(AVG(dq_score), 2) AS avg_dq_score,
           MIN(dq_score) AS min_dq_score,
           MAX(dq_score) AS max_dq_score,
           COUNT(*) FILTER (WHERE dq_score >= 90) AS excellent_records,
           COUNT(*) FILTER (WHERE dq_score >= 80 AND dq_score < 90) AS good_records,
           COUNT(*) FILTER (WHERE dq_score >= 70 AND dq_score < 80) AS acceptable_records,
           COUNT(*) FILTER (WHERE dq_score < 70) AS poor_records,
           COUNT(*) FILTER (WHERE conflict_type IS NOT NULL) AS records_with_conflicts,
           MAX(staging_processed_timestamp) AS last_refresh_timestamp
    FROM staging.dt_stg_facilities
    UNION ALL
    SELECT 'dt_stg_fact_appointment_events',
           COUNT(*),
           ROUND(AVG(dq_score), 2),
           MIN(dq_score),
           MAX(dq_score),
           COUNT(*) FILTER (WHERE dq_score >= 90),
           COUNT(*) FILTER (WHERE dq_score >= 80 AND dq_score < 90),
           COUNT(*) FILTER (WHERE dq_score >= 70 AND dq_score < 80),
           COUNT(*) FILTER (WHERE dq_score < 70),
           0,
           MAX(staging_processed_timestamp)
    FROM staging.dt_stg_fact_appointment_events
    UNION ALL
    SELECT 'dt_stg_fact_qa_events',
           COUNT(*),
           ROUND(AVG(dq_score), 2),
           MIN(dq_score),
           MAX(dq_score),
           COUNT(*) FILTER (WHERE dq_score >= 90),
           COUNT(*) FILTER (WHERE dq_score >= 80 AND dq_score < 90),
           COUNT(*) FILTER (WHERE dq_score >= 70 AND dq_score < 80),
           COUNT(*) FILTER (WHERE dq_score < 70),
           0,
           MAX(staging_processed_timestamp)
    FROM staging.dt_stg_fact_qa_events
)
SELECT
    table_name,
    total_records,
    avg_dq_score,
    min_dq_score,
    max_dq_score,
    excellent_records,
    good_records,
    acceptable_records,
    poor_records,
    records_with_conflicts,
    CASE WHEN avg_dq_score >= 90 THEN 'EXCELLENT'
         WHEN avg_dq_score >= 80 THEN 'GOOD'
         WHEN avg_dq_score >= 70 THEN 'ACCEPTABLE'
         ELSE 'NEEDS_ATTENTION' END AS health_status,
    ROUND(100.0 * excellent_records / NULLIF(total_records, 0), 2) AS excellent_pct,
    ROUND(100.0 * good_records / NULLIF(total_records, 0), 2) AS good_pct,
    ROUND(100.0 * acceptable_records / NULLIF(total_records, 0), 2) AS acceptable_pct,
    ROUND(100.0 * poor_records / NULLIF(total_records, 0), 2) AS poor_pct,
    ROUND(100.0 * records_with_conflicts / NULLIF(total_records, 0), 2) AS conflict_pct,
    last_refresh_timestamp
FROM summary
$$, target_lag => (interval '10 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);
