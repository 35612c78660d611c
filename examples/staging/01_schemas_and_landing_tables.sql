-- 01: schemas and landing tables.
--
-- One row per extraction of a source record, from either of two source systems,
-- OMS and VEMS.  Rows are appended; a record that is extracted again comes as
-- a new row with a later ingestion_timestamp.
\set ON_ERROR_STOP on

CREATE SCHEMA ods_raw;
CREATE SCHEMA reference;
CREATE SCHEMA staging;
COMMENT ON SCHEMA ods_raw IS 'landing tables, one row per extraction of a source record';
COMMENT ON SCHEMA reference IS 'crosswalks, one row per real-world entity';
COMMENT ON SCHEMA staging IS 'merged entities, fact tables, data-quality summary';

CREATE TABLE ods_raw.ods_veterans_source (
    source_system       text        NOT NULL CHECK (source_system IN ('OMS', 'VEMS')),
    source_record_id    text        NOT NULL,
    batch_id            text        NOT NULL,
    ingestion_timestamp timestamptz NOT NULL DEFAULT now(),
    veteran_ssn         text,
    first_name          text,
    last_name           text,
    date_of_birth       date,
    gender              text,
    email               text,
    phone               text,
    address             text,
    city                text,
    state               text,
    zip_code            text,
    disability_rating   integer,
    branch_of_service   text,
    discharge_date      date,
    PRIMARY KEY (source_system, source_record_id, ingestion_timestamp)
);

CREATE TABLE ods_raw.ods_evaluators_source (
    source_system       text        NOT NULL CHECK (source_system IN ('OMS', 'VEMS')),
    source_record_id    text        NOT NULL,
    batch_id            text        NOT NULL,
    ingestion_timestamp timestamptz NOT NULL DEFAULT now(),
    evaluator_npi       text,
    first_name          text,
    last_name           text,
    credential          text,
    specialty_code      text,
    license_number      text,
    license_state       text,
    email               text,
    phone               text,
    active_flag         boolean,
    PRIMARY KEY (source_system, source_record_id, ingestion_timestamp)
);

CREATE TABLE ods_raw.ods_facilities_source (
    source_system       text        NOT NULL CHECK (source_system IN ('OMS', 'VEMS')),
    source_record_id    text        NOT NULL,
    batch_id            text        NOT NULL,
    ingestion_timestamp timestamptz NOT NULL DEFAULT now(),
    facility_id         text,
    facility_name       text,
    facility_type       text,
    address             text,
    address2            text,
    city                text,
    state               text,
    zip_code            text,
    county              text,
    visn_code           text,
    visn_name           text,
    parent_facility_id  text,
    phone               text,
    fax                 text,
    email               text,
    website             text,
    active_flag         boolean,
    operating_hours     text,
    weekend_hours       text,
    capacity            integer,
    PRIMARY KEY (source_system, source_record_id, ingestion_timestamp)
);

CREATE TABLE ods_raw.ods_appointment_events_source (
    source_system             text        NOT NULL CHECK (source_system IN ('OMS', 'VEMS')),
    source_record_id          text        NOT NULL,
    batch_id                  text        NOT NULL,
    ingestion_timestamp       timestamptz NOT NULL DEFAULT now(),
    event_id                  text,
    appointment_id            text,
    exam_request_id           text,
    veteran_ssn               text,
    evaluator_npi             text,
    facility_id               text,
    event_timestamp           timestamptz,
    event_type                text,
    event_status              text,
    previous_appointment_id   text,
    new_appointment_id        text,
    rescheduling_reason       text,
    cancellation_reason       text,
    cancelled_by              text,
    no_show_reason            text,
    appointment_location_type text,
    appointment_location      text,
    scheduled_date            date,
    scheduled_time            time,
    completed_timestamp       timestamptz,
    duration_minutes          integer,
    veteran_notified_flag     boolean,
    veteran_notification_date date,
    veteran_confirmed_flag    boolean,
    PRIMARY KEY (source_system, source_record_id, ingestion_timestamp)
);

CREATE TABLE ods_raw.ods_qa_events_source (
    source_system                  text        NOT NULL CHECK (source_system IN ('OMS', 'VEMS')),
    source_record_id               text        NOT NULL,
    batch_id                       text        NOT NULL,
    ingestion_timestamp            timestamptz NOT NULL DEFAULT now(),
    qa_event_id                    text,
    evaluation_id                  text,
    reviewer_npi                   text,
    event_timestamp                timestamptz,
    event_type                     text,
    event_status                   text,
    qa_cycle_number                integer,
    review_outcome                 text,
    overall_quality_score          numeric(5, 2),
    completeness_score             numeric(5, 2),
    accuracy_score                 numeric(5, 2),
    nexus_quality_score            numeric(5, 2),
    deficiency_count               integer,
    deficiency_category            text,
    deficiency_description         text,
    clarification_requested_flag   boolean,
    clarification_type             text,
    clarification_description      text,
    clarification_due_date         date,
    approved_flag                  boolean,
    approved_timestamp             timestamptz,
    review_started_timestamp       timestamptz,
    evaluation_submitted_timestamp timestamptz,
    PRIMARY KEY (source_system, source_record_id, ingestion_timestamp)
);

-- A refresh looks rows up by the keys that a change touches, and by the
-- ingestion times that the rolling window has passed since the last one.
CREATE INDEX ON ods_raw.ods_veterans_source (veteran_ssn);
CREATE INDEX ON ods_raw.ods_veterans_source (ingestion_timestamp);
CREATE INDEX ON ods_raw.ods_evaluators_source (evaluator_npi);
CREATE INDEX ON ods_raw.ods_evaluators_source (ingestion_timestamp);
CREATE INDEX ON ods_raw.ods_facilities_source (facility_id);
CREATE INDEX ON ods_raw.ods_facilities_source (source_record_id);
CREATE INDEX ON ods_raw.ods_facilities_source (ingestion_timestamp);
CREATE INDEX ON ods_raw.ods_appointment_events_source (event_id);
CREATE INDEX ON ods_raw.ods_appointment_events_source (appointment_id);
CREATE INDEX ON ods_raw.ods_appointment_events_source (ingestion_timestamp);
CREATE INDEX ON ods_raw.ods_qa_events_source (qa_event_id);
CREATE INDEX ON ods_raw.ods_qa_events_source (ingestion_timestamp);
