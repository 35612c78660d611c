-- The guide, "What Are Dynamic Tables?"

--# 1.1 Definition: refresh when source data changes
INSERT INTO ods_raw.ods_qa_events_source (source_system, source_record_id, batch_id, qa_event_id, event_type, event_timestamp)
VALUES ('OMS', 'GUIDE-1', 'BATCH_GUIDE', 'GUIDE-1', 'APPROVED', now());
SELECT dyntable_alter('staging.dt_stg_fact_qa_events', target_lag => '1 second');
SELECT dyntable_wait('staging.dt_stg_fact_qa_events');
SELECT dyntable_alter('staging.dt_stg_fact_qa_events', target_lag => '30 minutes');
SELECT qa_event_id, event_type FROM staging.dt_stg_fact_qa_events WHERE qa_event_id = 'GUIDE-1';
--=
--=
--=
--= GUIDE-1|APPROVED

--# 1.2 Definition: incrementally or in full, by the SQL
SELECT dyntable_create('guide.in_full', 'SELECT random() AS r', 'downstream');
SELECT refresh_mode, refresh_mode_reason_code FROM dyntable.dynamic_tables WHERE name = 'in_full';
SELECT refresh_mode, count(*) FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'staging', 'warehouse') GROUP BY 1;
DROP TABLE guide.in_full;
--~ ^WARNING:
--= guide.in_full
--= FULL|VOLATILE_FUNCTION
--= INCREMENTAL|11

--# 1.3 Definition: dependencies through a directed acyclic graph
SELECT source_schema_name || '.' || source_name FROM dyntable.dependencies WHERE name = 'dt_stg_facilities' ORDER BY 1;
SELECT dyntable_create('guide.a', 'SELECT 1 AS x', 'downstream');
SELECT dyntable_create('guide.b', 'SELECT x FROM guide.a', 'downstream');
SELECT dyntable_create('guide.a', 'SELECT x FROM guide.b', 'downstream', or_replace => true);
SELECT dyntable_drop('guide.a', cascade => true);
--= ods_raw.ods_facilities_source
--= reference.dt_crosswalk_facilities
--= guide.a
--= guide.b
--~ ^ERROR:
--=

--# 1.4 Definition: meet the freshness asked for by TARGET_LAG
CALL guide.wait_for($$SELECT count(*) = 11 FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'staging', 'warehouse')
                     AND age <= effective_target_lag::interval$$);
SELECT count(*) FROM dyntable.dynamic_tables
WHERE schema_name IN ('reference', 'staging', 'warehouse') AND age <= effective_target_lag::interval;
--= 11

--# 1.5 Key benefit: declarative SQL
--: No procedural code (stored procedures) to maintain
SELECT count(*) FROM pg_proc WHERE pronamespace IN ('ods_raw'::regnamespace, 'reference'::regnamespace, 'staging'::regnamespace);
--= 0

--# 1.6 Key benefit: automatic refresh
--: No manual orchestration or scheduling needed
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dyntable scheduler';
--= 1

--# 1.7 Key benefit: built-in change capture
--: Automatic incremental processing without merge logic
SELECT state, sources, slot_active FROM dyntable.capture;
SELECT count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'ods_raw.%' AND NOT tgisinternal;
--= running|5|t
--= 0

--# 1.8 Key benefit: the refresh order is managed
SELECT name FROM dyntable_refresh('warehouse.dim_facility') WITH ORDINALITY AS r ORDER BY ordinality;
--= reference.dt_crosswalk_facilities
--= staging.dt_stg_facilities
--= warehouse.dim_facility

--# 1.9 Key benefit: target lag
SELECT target_lag FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
--= 30 minutes

--# 1.10 Key benefit: incremental mode reduces compute
SELECT generator.feed_event() IS NOT NULL;
SELECT action, rows_inserted + rows_updated + rows_deleted BETWEEN 1 AND 4
FROM dyntable_refresh('staging.dt_stg_fact_appointment_events') WHERE name = 'staging.dt_stg_fact_appointment_events'::regclass;
--= t
--= INCREMENTAL|t

--# 1.11 Use for: simple to moderate transformations, facts with plain extraction
SELECT line FROM dyntable_explain_query('SELECT event_id, upper(event_type) AS type FROM ods_raw.ods_appointment_events_source') line LIMIT 1;
--= mode: INCREMENTAL

--# 1.12 Use for: reference data (codes, lookups, facilities)
SELECT count(*) > 0, count(*) = count(DISTINCT master_facility_id) FROM reference.dt_crosswalk_facilities;
--= t|t

--# 1.13 Use for: lags below 30 minutes, also of less than a second
SELECT dyntable_create('guide.fast', 'SELECT count(*) AS n FROM ods_raw.ods_facilities_source', target_lag => '200 milliseconds');
SELECT target_lag FROM dyntable.dynamic_tables WHERE name = 'fast';
DROP TABLE guide.fast;
--= guide.fast
--= 200 milliseconds

--# 1.14 Use for: new pipelines from scratch
SELECT dyntable_get_ddl('warehouse.dim_facility') AS from_scratch \gset
BEGIN;
SELECT dyntable_drop('warehouse.dim_facility', cascade => true);
:from_scratch
SELECT count(*) > 0, missing + unexpected FROM warehouse.dim_facility, dyntable_verify('warehouse.dim_facility') GROUP BY missing, unexpected;
ROLLBACK;
--=
--= warehouse.dim_facility
--= t|0

--# 1.15 Keep procedures for: several steps with branching
SELECT dyntable_create('guide.branching', $$SELECT facility_id, CASE WHEN capacity > 100 THEN 'LARGE' WHEN capacity > 20 THEN 'MEDIUM' ELSE 'SMALL' END AS size
    FROM ods_raw.ods_facilities_source$$, 'downstream', refresh_mode => 'incremental');
SELECT count(DISTINCT size) FROM guide.branching;
DROP TABLE guide.branching;
--= guide.branching
--= 3

--# 1.16 Keep procedures for: audit into tables of its own; an AFTER trigger writes them
CREATE TABLE guide.audited (id int PRIMARY KEY, v int);
CREATE TABLE guide.audit (op text, id int);
INSERT INTO guide.audited VALUES (1, 1), (2, 2);
SELECT dyntable_create('guide.dt_audited', 'SELECT id, v FROM guide.audited', 'downstream');
CREATE FUNCTION guide.audit() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO guide.audit VALUES (TG_OP, coalesce(NEW.id, OLD.id)); RETURN NULL; END$$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON guide.dt_audited FOR EACH ROW EXECUTE FUNCTION guide.audit();
INSERT INTO guide.audited VALUES (3, 3);
UPDATE guide.audited SET v = 20 WHERE id = 2;
DELETE FROM guide.audited WHERE id = 1;
SELECT dyntable_refresh('guide.dt_audited') \g /dev/null
SELECT * FROM guide.audit ORDER BY id;
DROP TABLE guide.dt_audited, guide.audited, guide.audit;
DROP FUNCTION guide.audit;
--= guide.dt_audited
--= DELETE|1
--= UPDATE|2
--= INSERT|3

--# 1.17 Keep procedures for: explicit error handling; what cannot be read becomes a row of its own
CREATE TABLE guide.readings (id int PRIMARY KEY, said text);
INSERT INTO guide.readings VALUES (1, '12'), (2, 'twelve');
SELECT dyntable_create('guide.dt_read', $$SELECT id, CASE WHEN said ~ '^[0-9]{1,9}$' THEN said::int END AS n,
    CASE WHEN said !~ '^[0-9]{1,9}$' THEN 'not a number: ' || said END AS error FROM guide.readings$$, 'downstream');
SELECT * FROM guide.dt_read ORDER BY id;
DROP TABLE guide.dt_read, guide.readings;
--= guide.dt_read
--= 1|12|
--= 2||not a number: twelve

--# 1.18 Keep procedures for: processing by batch_id; it is a column, by which rows are told
SELECT count(DISTINCT batch_id) > 1, count(*) = count(batch_id), bool_and(EXISTS (SELECT FROM ods_raw.ods_facilities_source o WHERE o.batch_id = f.batch_id))
FROM staging.dt_stg_facilities f;
--= t|t|t
