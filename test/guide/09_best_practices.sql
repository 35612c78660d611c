-- The guide, "Best Practices"

--# 9.1 Start small: low-risk tables first, one after another
SELECT min(created_on) < max(created_on) FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'warehouse');
--= t

--# 9.2 Start small: validate against stored procedures, also after all that has happened since the cutover
\! psql -XAtq -f examples/staging/11_parallel_run.sql | tail -n 1
--= parallel run: no difference

--# 9.3 Monitor: alerts for unhealthy tables, of which there are none
SELECT r.enabled, e.fired, e.still_open, e.error FROM monitoring.alert_rule r, monitoring.evaluate_alert(r.name) e WHERE r.name = 'unhealthy_table';
--= t|0|0|

--# 9.4 Monitor: performance trends weekly
SELECT count(DISTINCT table_name) >= 11 FROM monitoring.vw_performance_degradation;
--= t

--# 9.5 Monitor: costs monthly
SELECT count(*) >= 11 FROM monitoring.cost_per_table('1 month');
--= t

--# 9.6 Optimise for incremental: the reason is recorded where it is not
SELECT count(*) FROM dyntable.dynamic_tables WHERE refresh_mode <> 'INCREMENTAL';
--= 0

--# 9.7 Right-size the lag: different lags for different priorities, and DOWNSTREAM for what is between
SELECT count(DISTINCT target_lag) >= 3 FROM dyntable.dynamic_tables;
SELECT dyntable_create('guide.between', 'SELECT facility_id, capacity FROM ods_raw.ods_facilities_source', 'downstream');
SELECT dyntable_create('guide.top', 'SELECT sum(capacity) AS capacity FROM guide.between', '1 hour');
SELECT name, target_lag, effective_target_lag FROM dyntable.dynamic_tables WHERE name IN ('between', 'top') ORDER BY 1;
SELECT dyntable_drop('guide.between', cascade => true);
--= t
--= guide."between"
--= guide.top
--= between|downstream|1 hour
--= top|1 hour|1 hour
--=

--# 9.8 Document dependencies: a diagram
SELECT dyntable.graph('dot') LIKE 'digraph%', dyntable.graph('mermaid') LIKE 'graph%' OR dyntable.graph('mermaid') LIKE 'flowchart%';
--= t|t

--# 9.9 Document dependencies: upstream and downstream consumers
SELECT count(*) > 6 FROM monitoring.vw_downstream_consumers WHERE kind = 'VIEW';
--= t

--# 9.10 Plan changes: what others read cannot be dropped by accident
DROP TABLE staging.dt_stg_facilities;
ALTER TABLE ods_raw.ods_facilities_source DROP COLUMN visn_name;
SELECT action FROM dyntable_refresh('staging.dt_stg_facilities') WHERE name = 'staging.dt_stg_facilities'::regclass;
ALTER TABLE ods_raw.ods_facilities_source ADD COLUMN visn_name text;
\! examples/staging/deploy -At >/dev/null
SELECT action FROM dyntable_refresh('staging.dt_stg_facilities') WHERE name = 'staging.dt_stg_facilities'::regclass;
--~ ^ERROR:  cannot drop table staging.dt_stg_facilities because other objects depend on it
--~ ^ERROR:  .*visn_name
--~ INCREMENTAL|REINITIALIZE|NO_DATA

--# 9.11 Test before production: a development copy, by clone
SELECT dyntable_clone('staging.dt_stg_facilities', 'guide.dt_stg_facilities');
SELECT action FROM dyntable_refresh('guide.dt_stg_facilities') WHERE name = 'guide.dt_stg_facilities'::regclass;
SELECT missing + unexpected FROM dyntable_verify('guide.dt_stg_facilities');
DROP TABLE guide.dt_stg_facilities;
--= guide.dt_stg_facilities
--~ INCREMENTAL|NO_DATA
--= 0

--# 9.12 Test before production: load with volumes like production's
SELECT count(*) AS facilities FROM staging.dt_stg_facilities \gset
BEGIN;
INSERT INTO ods_raw.ods_facilities_source
SELECT (jsonb_populate_record(s, jsonb_build_object('source_record_id', s.source_record_id || '-' || i, 'facility_id', s.facility_id || '-' || i))).*
FROM ods_raw.ods_facilities_source s, generate_series(1, 50) i;
SELECT action <> 'NO_DATA', rows_inserted = 50 * :facilities FROM dyntable_refresh('staging.dt_stg_facilities') WHERE name = 'staging.dt_stg_facilities'::regclass;
SELECT missing + unexpected FROM dyntable_verify('staging.dt_stg_facilities');
ROLLBACK;
SELECT count(*) = :facilities FROM staging.dt_stg_facilities;
--= t|t
--= 0
--= t

--# 9.13 Disaster recovery: procedures as a backup, a documented rollback, a tested recovery
SELECT max(batch_id) AS batch FROM staging.vw_batches_in_window \gset
BEGIN;
DELETE FROM staging.stg_facilities WHERE batch_id = :'batch';
CALL staging.sp_staging_layer_master(:'batch');
SELECT count(*) = (SELECT count(DISTINCT facility_id) FROM ods_raw.ods_facilities_source WHERE batch_id = :'batch') FROM staging.stg_facilities WHERE batch_id = :'batch';
ROLLBACK;
\! psql -XAtq -v batch="$(psql -XAtc 'SELECT max(batch_id) FROM staging.vw_batches_in_window')" -f examples/staging/14_rollback.sql | tail -n 1; psql -XAtq -f examples/staging/12_cutover.sql | tail -n 1
\! psql -XAtq -f examples/staging/15_recovery_drill.sql 2>/dev/null | grep -c '^drill: '
--= t
--= rollback: consumers read what the procedures write
--= cutover: consumers read the dynamic tables
--= 14

--# 9.14 Version control: the DDL of every table
SELECT count(*) FROM dyntable.dynamic_tables t WHERE dyntable_get_ddl(t.relid) LIKE '%dyntable_create%';
--= 11

--# 9.15 Version control: comments track changes
COMMENT ON TABLE staging.dt_stg_facilities IS '1.1: window of 7 days';
SELECT comment FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT count(*) > 0 FROM dyntable.dynamic_table_graph_history(history_start => now() - interval '1 day') WHERE name = 'dt_stg_facilities';
--= 1.1: window of 7 days
--= t
