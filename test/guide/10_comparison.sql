-- The guide, "Appendix: Comparison Table": each row, dynamic tables' side, and "Changelog", "Resources", "Support"

--# 10.1 Orchestration: automatic
SELECT count(*) > 0 FROM dyntable.refresh_history WHERE refresh_trigger = 'SCHEDULED' AND state = 'SUCCEEDED';
--= t

--# 10.2 Refresh trigger: source data change
CREATE TABLE guide.src (id int PRIMARY KEY, k int, v numeric(10, 2), at timestamptz DEFAULT now());
INSERT INTO guide.src SELECT i, i % 7, i FROM generate_series(1, 100) i;
-- under capture from item to item, also while no dynamic table reads it
DO $$ BEGIN PERFORM dyntable_track('guide.src'); END $$;
SELECT dyntable_create('guide.dt', 'SELECT k, sum(v) AS v FROM guide.src GROUP BY k', '500 milliseconds');
INSERT INTO guide.src VALUES (101, 3, 1000);
SELECT dyntable_wait('guide.dt');
SELECT v > 1000 FROM guide.dt WHERE k = 3;
--= guide.dt
--=
--= t

--# 10.3 Dependencies: automatic
SELECT source_name FROM dyntable.dependencies WHERE name = 'dt';
--= src

--# 10.4 Incremental logic: built in
UPDATE guide.src SET v = 0 WHERE id = 1;
SELECT count(*) FROM dyntable_refresh('guide.dt');
SELECT refresh_action, rows_updated FROM dyntable.refresh_history
WHERE relid = 'guide.dt'::regclass AND refresh_action <> 'NO_DATA' ORDER BY id DESC LIMIT 1;
DROP TABLE guide.dt;
--= 1
--= INCREMENTAL|1

--# 10.5 Batch tracking: by timestamp
BEGIN;
INSERT INTO ods_raw.ods_facilities_source (source_system, source_record_id, batch_id, ingestion_timestamp, facility_id)
VALUES ('OMS', 'GUIDE-IN', 'BATCH_GUIDE', clock_timestamp(), 'GUIDE-IN');
SELECT data_timestamp < now() FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
SELECT count(*) FROM staging.dt_stg_facilities WHERE batch_id = 'BATCH_GUIDE';
COMMIT;
SELECT dyntable_refresh('staging.dt_stg_facilities') \g /dev/null
SELECT t.data_timestamp > o.ingestion_timestamp, s.batch_id FROM dyntable.dynamic_tables t, ods_raw.ods_facilities_source o, staging.dt_stg_facilities s
WHERE t.name = 'dt_stg_facilities' AND o.facility_id = 'GUIDE-IN' AND s.facility_id = o.facility_id;
DELETE FROM ods_raw.ods_facilities_source WHERE facility_id = 'GUIDE-IN';
SELECT dyntable_refresh('staging.dt_stg_facilities') \g /dev/null
--= t
--= 0
--= t|BATCH_GUIDE

--# 10.6 Complex joins
SELECT dyntable_create('guide.dt', 'SELECT a.id, b.id AS other FROM guide.src a FULL JOIN guide.src b ON b.k = a.k AND b.id > a.id LEFT JOIN guide.src c ON c.id = b.id + 1', 'downstream', refresh_mode => 'incremental');
UPDATE guide.src SET k = 6 WHERE id = 50;
SELECT action FROM dyntable_refresh('guide.dt');
SELECT missing + unexpected FROM dyntable_verify('guide.dt');
DROP TABLE guide.dt;
--= guide.dt
--= INCREMENTAL
--= 0

--# 10.7 Window functions
SELECT dyntable_create('guide.dt', 'SELECT id, k, rank() OVER (PARTITION BY k ORDER BY v DESC, id) AS place FROM guide.src', 'downstream', refresh_mode => 'incremental');
UPDATE guide.src SET v = 5000 WHERE id = 2;
SELECT action FROM dyntable_refresh('guide.dt');
SELECT missing + unexpected FROM dyntable_verify('guide.dt');
DROP TABLE guide.dt;
--= guide.dt
--= INCREMENTAL
--= 0

--# 10.8 UNION: incremental, not UNION ALL only
SELECT dyntable_create('guide.dt', 'SELECT k FROM guide.src WHERE id < 50 UNION SELECT k FROM guide.src WHERE id > 60', 'downstream', refresh_mode => 'incremental');
UPDATE guide.src SET k = 77 WHERE id = 3;
SELECT action, rows_inserted FROM dyntable_refresh('guide.dt');
DROP TABLE guide.dt;
--= guide.dt
--= INCREMENTAL|1

--# 10.9 UDFs: IMMUTABLE ones are incremental
CREATE FUNCTION guide.double(v numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 2 * v; END';
SELECT dyntable_create('guide.dt', 'SELECT id, guide.double(v) AS v FROM guide.src', 'downstream', refresh_mode => 'incremental');
UPDATE guide.src SET v = 21 WHERE id = 4;
SELECT action FROM dyntable_refresh('guide.dt');
SELECT v FROM guide.dt WHERE id = 4;
DROP TABLE guide.dt;
--= guide.dt
--= INCREMENTAL
--= 42.00

--# 10.10 Non-deterministic functions: now() is incremental, what is random is refreshed in full or refused
SELECT dyntable_create('guide.dt', 'SELECT id, now() AS written FROM guide.src WHERE at > now() - interval ''1 day''', 'downstream', refresh_mode => 'incremental');
SELECT dyntable_create('guide.dt2', 'SELECT id, random() AS r FROM guide.src', 'downstream', refresh_mode => 'incremental');
DROP TABLE guide.dt;
--= guide.dt
--~ ^ERROR:

--# 10.11 Audit logging: direct, by an AFTER trigger
SELECT count(*) AS audited FROM audit.facility_change \gset
UPDATE ods_raw.ods_facilities_source SET county = 'Audited again' WHERE facility_id = (SELECT min(master_facility_id) FROM staging.dt_stg_facilities);
SELECT rows_updated FROM dyntable_refresh('staging.dt_stg_facilities') WHERE name = 'staging.dt_stg_facilities'::regclass;
SELECT count(*) - :audited FROM audit.facility_change;
SELECT action, after ->> 'county' FROM audit.facility_change ORDER BY id DESC LIMIT 1;
--= 1
--= 1
--= UPDATE|Audited again

--# 10.12 Error handling: TRY/CATCH is plpgsql's around a refresh by hand, and a failed refresh leaves the rows
SELECT dyntable_create('guide.dt', 'SELECT id, 1 / (v - 99) AS x FROM guide.src WHERE v <> 99', 'downstream');
SELECT dyntable_alter('guide.dt', query => 'SELECT id, 1 / (v - 99) AS x FROM guide.src');
DO $$
BEGIN
    PERFORM dyntable_refresh('guide.dt');
EXCEPTION WHEN division_by_zero THEN
    RAISE WARNING 'caught %', SQLSTATE;
END
$$;
SELECT count(*) > 90 FROM guide.dt;
DROP TABLE guide.dt;
--= guide.dt
--=
--= WARNING:  caught 22012
--= t

--# 10.13 Debugging: the statements of a refresh, their rows and plans
SELECT dyntable_create('guide.dt', 'SELECT k, count(*) AS n FROM guide.src GROUP BY k', 'downstream');
DELETE FROM guide.src WHERE id = 5;
SELECT count(*) > 0 FROM dyntable_explain('guide.dt') line WHERE line ~ '^ +\d+: ';
--= guide.dt
--= t

--# 10.14 Testing: with specific data, in BEGIN ... ROLLBACK
BEGIN;
INSERT INTO guide.src VALUES (1001, 555, 1);
SELECT count(*) FROM dyntable_refresh('guide.dt');
SELECT n FROM guide.dt WHERE k = 555;
ROLLBACK;
SELECT count(*) FROM guide.dt WHERE k = 555;
--= 1
--= 1
--= 0

--# 10.15 Rollback: change the definition in place, as often as needed
SELECT dyntable_alter('guide.dt', query => 'SELECT k, count(*) AS n FROM guide.src WHERE k < 3 GROUP BY k');
SELECT dyntable_alter('guide.dt', query => 'SELECT k, count(*) AS n FROM guide.src GROUP BY k');
SELECT missing + unexpected FROM dyntable_verify('guide.dt');
--=
--=
--= 0

--# 10.16 Code maintenance: declarative SQL
SELECT query FROM dyntable.dynamic_tables WHERE name = 'dt';
DROP TABLE guide.dt;
--= SELECT k, count(*) AS n FROM guide.src GROUP BY k

--# 10.17 Real-time support: below 5 min, down to a tenth of a second
SELECT dyntable_create('guide.dt', 'SELECT count(*) AS n FROM guide.src', '100 milliseconds');
SELECT target_lag FROM dyntable.dynamic_tables WHERE name = 'dt';
SELECT n AS before FROM guide.dt \gset
INSERT INTO guide.src (id) VALUES (2001);
CALL guide.wait_for(format('SELECT n = %s + 1 FROM guide.dt', :before), 60);
SELECT n - :before FROM guide.dt;
DROP TABLE guide.dt, guide.src;
--= guide.dt
--= 100 milliseconds
--= 1

--# 10.18 Compute cost: by what changes, not by how often
SELECT dyntable_refresh('staging.dt_stg_fact_appointment_events') \g /dev/null
SELECT generator.feed_event() IS NOT NULL;
SELECT dyntable_refresh('staging.dt_stg_fact_appointment_events') \g /dev/null
-- one event against the first fill
WITH h AS (SELECT * FROM dyntable.refresh_history WHERE relid = 'staging.dt_stg_fact_appointment_events'::regclass AND state = 'SUCCEEDED')
SELECT last.refresh_action, last.wal_bytes * 5 < first.wal_bytes
FROM (SELECT * FROM h WHERE refresh_action <> 'NO_DATA' ORDER BY id DESC LIMIT 1) last, (SELECT * FROM h ORDER BY id LIMIT 1) first;
--= t
--= INCREMENTAL|t

--# 10.19 Resources: documentation: of every function, view, setting and reason code, and every link leads somewhere
\! for name in $(psql -XAtc "SELECT DISTINCT proname FROM pg_proc WHERE proname LIKE 'dyntable\_%' UNION ALL SELECT 'dyntable.' || relname FROM pg_class WHERE relnamespace = 'dyntable'::regnamespace AND relkind = 'v' AND has_table_privilege('public', oid, 'SELECT')"); do grep -qF "$name" docs/functions.md || echo "functions.md lacks $name"; done
\! for name in $(psql -XAtc "SELECT name FROM pg_settings WHERE name LIKE 'dyntable.%'"); do grep -qF "$name" docs/operations.md || echo "operations.md lacks $name"; done
\! for page in README.md docs/*.md examples/*/README.md src/README.md test/README.md; do grep -oE '\]\([^)#]+' "$page" | cut -c3- | grep -v '^https\{0,1\}:' | while read -r to; do [ -e "$(dirname "$page")/$to" ] || echo "$page: no $to"; done; done; echo documented
--= documented

--# 10.20 Changelog: versions of the guide
--! the history of this repository is the changelog

--# 10.21 Support: Slack, e-mail, on-call
--! addresses of the guide's own organisation; an alert rule names the function that reaches them (6.19)
