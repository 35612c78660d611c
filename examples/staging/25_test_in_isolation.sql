-- 25: a test of the definitions, in isolation.
--
--     psql -XAt -f 25_test_in_isolation.sql          (needs the extension pgtap)
--
-- Fixtures, refresh and expectations in one transaction that is rolled back: nobody else sees anything of
-- it.  A refresh in a transaction that has itself written a source reads what the
-- transaction has written.  dyntable.data_timestamp is what now() stands for in the definitions: the
-- window is where the test wants it, and moves when the test says so.
\set ON_ERROR_STOP on
\set QUIET on
\ir settle.sql
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL client_min_messages = warning;
SELECT plan(9);
SET LOCAL dyntable.data_timestamp = '2026-01-08 12:00+00';
DELETE FROM ods_raw.ods_facilities_source;
INSERT INTO ods_raw.ods_facilities_source
    (source_system, source_record_id, batch_id, ingestion_timestamp, facility_id, facility_name, state, city, phone, capacity, active_flag) VALUES
    ('OMS',  'O1', 'TEST_1', '2026-01-07 12:00+00',        'F1', ' north clinic ', 'TX', NULL,     '1', 5, true),
    ('VEMS', 'V1', 'TEST_1', '2026-01-06 12:00+00',        'F1', 'North Clinic',   'CO', 'Denver', '2', 9, true),
    ('OMS',  'O2', 'TEST_1', '2026-01-01 12:00+00',        'F2', 'On the edge',    'TX', 'Austin', '3', 5, true),
    ('OMS',  'O3', 'TEST_1', '2026-01-01 11:59:59+00',     'F3', 'Outside',        'TX', 'Austin', '4', 5, true),
    ('VEMS', 'V4', 'TEST_1', '2026-01-08 11:00+00',        NULL, 'No key',         'TX', 'Austin', '5', 5, true);
SELECT ok(count(*) >= 7, 'refreshed in this transaction') FROM dyntable_refresh(:layer);
SELECT set_eq('SELECT master_facility_id FROM staging.vw_latest_facilities', ARRAY['F1', 'F2'],
              'the window holds what is seven days old, and no more; rows without a key take no part');
SELECT results_eq($$SELECT facility_name, state, city, phone FROM staging.vw_latest_facilities WHERE master_facility_id = 'F1'$$,
                  $$VALUES ('NORTH CLINIC', 'TX', 'Denver', '1')$$, 'OMS wins each field, VEMS fills the gaps');
SELECT is((SELECT conflict_type FROM staging.vw_latest_facilities WHERE master_facility_id = 'F1'), 'STATE_MISMATCH', 'a conflict is noted');
SELECT is((SELECT dq_score FROM staging.vw_latest_facilities WHERE master_facility_id = 'F1'), 100, 'nothing is missing');
DELETE FROM ods_raw.ods_facilities_source WHERE source_record_id = 'V1';
SELECT ok(count(*) >= 7, 'and again, after another change') FROM dyntable_refresh(:layer);
SELECT is((SELECT dq_issues FROM staging.vw_latest_facilities WHERE master_facility_id = 'F1'), 'MISSING_CITY', 'without VEMS the city is missing');
SET LOCAL dyntable.data_timestamp = '2026-01-08 12:00:01+00';
SELECT ok(count(*) >= 7, 'and a second later') FROM dyntable_refresh(:layer);
SELECT set_eq('SELECT master_facility_id FROM staging.vw_latest_facilities', ARRAY['F1'],
              'a row has left the window by the clock alone');
SELECT * FROM finish();
ROLLBACK;
