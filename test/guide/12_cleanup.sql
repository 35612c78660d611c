-- The guide, "Migration Strategy", phase 3: last, for it takes the names away that the items above use

--# 12.1 Drop the old stored procedures and tables
--: DROP PROCEDURE IF EXISTS sp_merge_facilities_to_staging(VARCHAR);
--: DROP TABLE IF EXISTS STAGING.stg_facilities;
BEGIN;
DROP PROCEDURE IF EXISTS staging.sp_merge_facilities_to_staging(VARCHAR);
SELECT to_regprocedure('staging.sp_merge_facilities_to_staging(varchar)') IS NULL;
ROLLBACK;
--= t

--# 12.2 Rename without dt_
--: ALTER DYNAMIC TABLE dt_stg_facilities RENAME TO stg_facilities;
\! psql -XAtq -f examples/staging/13_cleanup.sql | tail -n 1
SELECT string_agg(name, ',' ORDER BY name) FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'staging');
SELECT count(*) FROM pg_proc WHERE proname LIKE 'sp\_%';
--= cleanup: the dynamic tables have the names of the tables that they replace
--= crosswalk_evaluators,crosswalk_facilities,crosswalk_veterans,stg_facilities,stg_fact_appointment_events,stg_fact_qa_events,vw_staging_dq_summary
--= 0

--# 12.3 Views go on working
SELECT count(*) > 0, count(*) = (SELECT count(*) FROM staging.stg_facilities) FROM staging.vw_latest_facilities;
--= t|t

--# 12.4 Monitoring goes on working, history under the new names
SELECT healthy, unhealthy FROM monitoring.vw_summary;
SELECT count(*) > 1 FROM monitoring.vw_dynamic_table_refresh_history WHERE table_name = 'stg_facilities';
UPDATE ods_raw.ods_facilities_source SET phone = NULL WHERE facility_id = (SELECT max(master_facility_id) FROM staging.stg_facilities WHERE phone IS NOT NULL);
SELECT count(*) AS states FROM monitoring.data_quality_history \gset
SELECT count(*) FROM dyntable_refresh('staging.vw_staging_dq_summary');
SELECT count(*) > :states FROM monitoring.data_quality_history;
--= 11|0
--= t
--= 7
--= t

--# 12.5 Alerts go on working
SELECT count(error) FROM monitoring.evaluate_alerts();
UPDATE monitoring.alert_rule SET threshold = 100.5 WHERE name = 'data_quality';
SELECT still_open FROM monitoring.evaluate_alert('data_quality');
--= 0
--= 3

--# 12.6 And every table is what its query says
SELECT sum((SELECT missing + unexpected FROM dyntable_verify(relid))) FROM dyntable.dynamic_tables;
--= 0
