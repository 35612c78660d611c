-- 12: consumers read the dynamic tables.
--
--     psql -f 12_cutover.sql
--
-- Nothing of it is done unless the last parallel run (11), repeated here, finds no
-- difference.  The consumers' views keep their names and columns; nobody may call
-- the procedures any more but their owner.  14_rollback.sql is the way back.
\set ON_ERROR_STOP on
\ir 11_parallel_run.sql

BEGIN;
-- What a rollback suspended goes on, with all that reads it.
SELECT dyntable_resume(relid) FROM dyntable.dynamic_tables
WHERE schema_name = 'reference' AND scheduling_state_reason = 'USER_SUSPENDED';

CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_facilities AS SELECT * FROM reference.dt_crosswalk_facilities;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_veterans AS SELECT * FROM reference.dt_crosswalk_veterans;
CREATE OR REPLACE VIEW reference.vw_latest_crosswalk_evaluators AS SELECT * FROM reference.dt_crosswalk_evaluators;
CREATE OR REPLACE VIEW staging.vw_latest_facilities AS SELECT * FROM staging.dt_stg_facilities;
CREATE OR REPLACE VIEW staging.vw_latest_appointment_events AS SELECT * FROM staging.dt_stg_fact_appointment_events;
CREATE OR REPLACE VIEW staging.vw_latest_qa_events AS SELECT * FROM staging.dt_stg_fact_qa_events;

REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA reference, staging FROM PUBLIC;
COMMIT;
\echo cutover: consumers read the dynamic tables
