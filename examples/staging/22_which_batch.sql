-- 22: which batches are in?
--
--     psql -v batch=BATCH_20251120_001 -f 22_which_batch.sql
--
-- Dynamic tables know no batches, but times: what was committed before a table's data timestamp
-- is in it.  A pipeline that has loaded a batch waits for that, as long as the target lags are (dyntable_refresh()
-- in the place of dyntable_wait() does not wait), and then counts.
\set ON_ERROR_STOP on
SELECT clock_timestamp() AS loaded \gset
SELECT dyntable_wait(relid, :'loaded') FROM dyntable.dynamic_tables
WHERE schema_name IN ('staging', 'warehouse') AND scheduling_state = 'ACTIVE' ORDER BY effective_target_lag::interval;

-- rows that came with the batch, and how many of them are still the newest of their key
SELECT 'facilities' AS rows_of, (SELECT count(*) FROM ods_raw.ods_facilities_source WHERE batch_id = :'batch') AS loaded,
       (SELECT count(*) FROM staging.vw_latest_facilities WHERE batch_id = :'batch') AS newest
UNION ALL
SELECT 'appointment events', (SELECT count(*) FROM ods_raw.ods_appointment_events_source WHERE batch_id = :'batch'),
       (SELECT count(*) FROM staging.vw_latest_appointment_events WHERE batch_id = :'batch')
UNION ALL
SELECT 'QA events', (SELECT count(*) FROM ods_raw.ods_qa_events_source WHERE batch_id = :'batch'),
       (SELECT count(*) FROM staging.vw_latest_qa_events WHERE batch_id = :'batch');
