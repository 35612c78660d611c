-- 05: the star schema on top of the staging layer, and the views that
-- consumers read.
--
--     psql -v lag_factor=0.01 -f 05_warehouse.sql
--
-- lag_factor multiplies the target lags (default 1: 30 minutes), as in 03.
--
-- A warehouse table reads staging tables that are refreshed with it: all of
-- them stand at one data timestamp, so a fact never lacks its facility.
\set ON_ERROR_STOP on
\if :{?lag_factor}
\else
    \set lag_factor 1
\endif

CREATE SCHEMA IF NOT EXISTS warehouse;

---------------------------------------------------------------------------
-- warehouse.dim_facility: the facilities in use
---------------------------------------------------------------------------
SELECT dyntable_create('warehouse.dim_facility', $$
SELECT master_facility_id,
       facility_id,
       facility_name,
       facility_type,
       city,
       state,
       visn_code,
       capacity,
       source_system,
       dq_score,
       last_updated
FROM staging.dt_stg_facilities
WHERE active_flag
$$, target_lag => (interval '30 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- warehouse.fact_appointment_events: those at a facility in use
---------------------------------------------------------------------------
SELECT dyntable_create('warehouse.fact_appointment_events', $$
SELECT e.event_id,
       e.appointment_id,
       e.master_veteran_id,
       e.master_evaluator_id,
       e.master_facility_id,
       f.state,
       e.event_date,
       e.event_type,
       e.event_sequence_number,
       e.no_show_flag,
       e.duration_minutes
FROM staging.dt_stg_fact_appointment_events e
JOIN warehouse.dim_facility f ON f.master_facility_id = e.master_facility_id
$$, target_lag => (interval '30 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- warehouse.fact_qa_events
---------------------------------------------------------------------------
SELECT dyntable_create('warehouse.fact_qa_events', $$
SELECT qa_event_id,
       evaluation_id,
       qa_reviewer_id,
       event_date,
       event_type,
       qa_cycle_number,
       overall_quality_score,
       deficiency_severity,
       approved_flag,
       first_pass_approval_flag,
       review_duration_hours
FROM staging.dt_stg_fact_qa_events
$$, target_lag => (interval '30 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- warehouse.agg_daily_quality: appointments and reviews by day; what has no
-- date belongs to no day
---------------------------------------------------------------------------
SELECT dyntable_create('warehouse.agg_daily_quality', $$
WITH appointments AS (
    SELECT event_date,
           COUNT(*) AS appointments,
           COUNT(*) FILTER (WHERE no_show_flag) AS no_shows
    FROM warehouse.fact_appointment_events
    WHERE event_date IS NOT NULL
    GROUP BY event_date
),
reviews AS (
    SELECT event_date,
           COUNT(*) AS qa_events,
           COUNT(*) FILTER (WHERE approved_flag) AS approved,
           COUNT(*) FILTER (WHERE first_pass_approval_flag) AS first_pass_approvals,
           AVG(overall_quality_score) AS avg_quality_score,
           AVG(review_duration_hours) AS avg_review_hours
    FROM warehouse.fact_qa_events
    WHERE event_date IS NOT NULL
    GROUP BY event_date
)
SELECT COALESCE(a.event_date, q.event_date) AS event_date,
       COALESCE(a.appointments, 0) AS appointments,
       COALESCE(a.no_shows, 0) AS no_shows,
       ROUND(a.no_shows::numeric / a.appointments, 4) AS no_show_rate,
       COALESCE(q.qa_events, 0) AS qa_events,
       COALESCE(q.approved, 0) AS approved,
       COALESCE(q.first_pass_approvals, 0) AS first_pass_approvals,
       ROUND(q.avg_quality_score, 2) AS avg_quality_score,
       ROUND(q.avg_review_hours, 2) AS avg_review_hours
FROM appointments a
FULL OUTER JOIN reviews q ON q.event_date = a.event_date
$$, target_lag => (interval '30 minutes' * :lag_factor)::text, refresh_mode => 'incremental', or_replace => true);

---------------------------------------------------------------------------
-- What consumers read: names that stay when the tables behind them change.
-- Rename, replace or swap a table, and repoint its view.
---------------------------------------------------------------------------
CREATE OR REPLACE VIEW staging.vw_latest_facilities AS SELECT * FROM staging.dt_stg_facilities;
CREATE OR REPLACE VIEW staging.vw_latest_appointment_events AS SELECT * FROM staging.dt_stg_fact_appointment_events;
CREATE OR REPLACE VIEW staging.vw_latest_qa_events AS SELECT * FROM staging.dt_stg_fact_qa_events;
CREATE OR REPLACE VIEW staging.vw_latest_dq_summary AS SELECT * FROM staging.dt_vw_staging_dq_summary;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_facilities AS SELECT * FROM reference.dt_crosswalk_facilities;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_veterans AS SELECT * FROM reference.dt_crosswalk_veterans;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_evaluators AS SELECT * FROM reference.dt_crosswalk_evaluators;
