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

SELECT 'facilities' AS rows_of, count(*) AS newest_in_batch FROM staging.vw_latest_facilities WHERE batch_id = :'batch'
UNION ALL
SELECT 'appointment events', count(*) FROM staging.vw_latest_appointment_events WHERE batch_id = :'batch'
UNION ALL
SELECT 'QA events', count(*) FROM staging.vw_latest_qa_events WHERE batch_id = :'batch';
