--
-- What dyntable tells of itself: the functions with Snowflake's arguments and
-- columns, history, versions, the graph, why a table stands still.
--
\set VERBOSITY terse
SET client_min_messages = notice;
SET timezone = 'UTC';
-- what other scripts have left in this database is no part of it
DELETE FROM dyntable.history;
CREATE SCHEMA info;
SET search_path = info, public;
CREATE TABLE ods (id int PRIMARY KEY, v int);
INSERT INTO ods SELECT i, i % 3 FROM generate_series(1, 9) i;
SELECT dyntable_create('dt_low', 'SELECT v, count(*) AS n FROM ods GROUP BY v', target_lag => '1 day');
SELECT dyntable_create('dt_high', 'SELECT sum(n) AS total FROM dt_low', target_lag => '30 minutes');
INSERT INTO ods VALUES (10, 1), (11, 7);
DELETE FROM ods WHERE id = 1;
SELECT name, action, rows_inserted, rows_updated, rows_deleted FROM dyntable_refresh('dt_high');

-- acceptance 3, 4: one data timestamp, actions and triggers; statistics and inputs
SELECT name, refresh_action, refresh_trigger, state, statistics - '{queuedTimeMs,compilationTimeMs,executionTimeMs}'::text[] AS counts,
       jsonb_path_query_array(statistics, '$.keyvalue() ? (@.key like_regex "Ms$").key') AS times,
       inputs_with_changed_data, last_completed_dependency ->> 'qualified_name' AS last_dependency,
       warehouse, target_lag_sec, repeats
FROM dyntable.dynamic_table_refresh_history(name_prefix => 'info.')
ORDER BY refresh_end_time, name;
SELECT count(DISTINCT data_timestamp) AS data_timestamps, count(DISTINCT query_id) AS runs
FROM dyntable.dynamic_table_refresh_history(name_prefix => 'dt_') WHERE refresh_action = 'INCREMENTAL';
-- acceptance 12: the previous data timestamp plus the lag; what it cost
SELECT bool_and(completion_target - lag = previous) AS completion_target, bool_and(cpu_ms > 0 AND wal_bytes > 0 AND blocks_hit > 0 AND blocks_read + blocks_dirtied >= 0) AS cost
FROM (SELECT h.*, make_interval(secs => target_lag_sec) AS lag, lag(data_timestamp) OVER (PARTITION BY name ORDER BY refresh_end_time) AS previous
      FROM dyntable.dynamic_table_refresh_history(name_prefix => 'dt_') h) h
WHERE previous IS NOT NULL;
SELECT count(*) FROM dyntable.dynamic_table_refresh_history() h JOIN dyntable.dynamic_table_graph_history(history_start => '-infinity') g
ON g.qualified_name = h.qualified_name AND g.valid_from = h.graph_history_valid_from WHERE h.name = 'dt_low';

-- arguments
SELECT count(*) FROM dyntable.dynamic_table_refresh_history(result_limit => 2);
SELECT count(*) FROM dyntable.dynamic_table_refresh_history(name => 'info.dt_low');
SELECT count(*) FROM dyntable.dynamic_table_refresh_history(name => 'none');
SELECT count(*) FROM dyntable.dynamic_table_refresh_history(data_timestamp_end => now() - interval '1 hour', name => 'dt_low');
SELECT count(*) FROM dyntable.dynamic_table_refresh_history(result_limit => 0);
SELECT count(*) FROM dyntable.dynamic_table_refresh_history(data_timestamp_start => now(), data_timestamp_end => now() - interval '1 day');
SELECT name FROM dyntable.dynamic_tables(result_limit => 1);
SELECT name FROM dyntable.dynamic_tables(name => 'dt_low');
SELECT name FROM dyntable.dynamic_tables(name => 'dt_low', include_connected => true) ORDER BY name;
SELECT name FROM dyntable.dynamic_tables(include_connected => true);
SELECT name FROM dyntable.dynamic_tables(name => 'dt_low', include_connected => true, result_limit => 5);

-- refreshes that found nothing are one row
SELECT count(*) FROM dyntable_refresh('dt_low');
SELECT count(*) FROM dyntable_refresh('dt_low');
SELECT refresh_action, repeats, inputs_with_changed_data, refresh_start_time >= data_timestamp AS tells_of_the_last FROM dyntable.dynamic_table_refresh_history(name => 'dt_low') LIMIT 1;

-- acceptance 11: the lag that was measured is the sawtooth of the moments at which
-- refreshes ended, also of those that found nothing and of one that was rolled back
CREATE TABLE tooth (no int GENERATED ALWAYS AS IDENTITY, ended timestamptz, stands timestamptz);
BEGIN;
SELECT dyntable_create('measured', 'SELECT count(*) AS n FROM ods', target_lag => '300 milliseconds');
SELECT dyntable_suspend('measured');
COMMIT;
INSERT INTO tooth (ended, stands) SELECT ended, data_timestamp FROM dyntable.history_now WHERE relid = 'measured'::regclass ORDER BY id DESC LIMIT 1;
CREATE FUNCTION grow_old(age float8, change boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE clock_timestamp() < (SELECT max(stands) FROM tooth) + make_interval(secs => age) LOOP PERFORM pg_sleep(0.01); END LOOP;
    IF change THEN INSERT INTO ods SELECT max(id) + 1, 0 FROM ods; END IF;
END $$;
SELECT grow_old(0.1, true);
SELECT action FROM dyntable_refresh('measured');
INSERT INTO tooth (ended, stands) SELECT ended, data_timestamp FROM dyntable.history_now WHERE relid = 'measured'::regclass ORDER BY id DESC LIMIT 1;
BEGIN;
SELECT action FROM dyntable_refresh('measured');
ROLLBACK;
SELECT grow_old(0.5, false);
SELECT action FROM dyntable_refresh('measured');
INSERT INTO tooth (ended, stands) SELECT ended, data_timestamp FROM dyntable.history_now WHERE relid = 'measured'::regclass ORDER BY id DESC LIMIT 1;
SELECT grow_old(0.2, false);
SELECT action FROM dyntable_refresh('measured');
INSERT INTO tooth (ended, stands) SELECT ended, data_timestamp FROM dyntable.history_now WHERE relid = 'measured'::regclass ORDER BY id DESC LIMIT 1;
SELECT grow_old(0.4, true);
SELECT action FROM dyntable_refresh('measured');
INSERT INTO tooth (ended, stands) SELECT ended, data_timestamp FROM dyntable.history_now WHERE relid = 'measured'::regclass ORDER BY id DESC LIMIT 1;
WITH teeth AS (
    SELECT extract(epoch FROM ended - lag(ended) OVER w) AS seconds, extract(epoch FROM ended - lag(stands) OVER w) AS peak,
           extract(epoch FROM lag(ended) OVER w - lag(stands) OVER w) AS trough
    FROM tooth WINDOW w AS (ORDER BY no)
), expected AS (
    SELECT sum(seconds) AS seconds, sum(seconds * (peak + trough) / 2) AS lag_sum, max(peak) AS lag_max,
           sum(least(seconds, greatest(peak - 0.3, 0))) AS above
    FROM teeth WHERE seconds IS NOT NULL
), recorded AS (
    SELECT sum(extract(epoch FROM ended - lag_since)) AS seconds, sum(lag_sum) AS lag_sum, max(lag_max) AS lag_max, sum(lag_above) AS above,
           sum(lag_steps) AS steps
    FROM dyntable.history WHERE relid = 'measured'::regclass
)
SELECT r.steps, abs(e.seconds - r.seconds) < 1e-5 AS seconds, abs(e.lag_sum - r.lag_sum) < 1e-5 AS lag_sum,
       abs(e.lag_max - r.lag_max) < 1e-5 AS lag_max, abs(e.above - r.above) < 1e-5 AS above, e.above > 0.2 AS some_above
FROM expected e, recorded r;
-- mean, maximum and ratio of all, with what passed since; and from a moment within the last tooth on
SELECT mean_lag_sec BETWEEN 0.1 AND maximum_lag_sec AS mean, maximum_lag_sec >= 0.5 AS maximum,
       time_above_target_lag_sec > 0.2 AS above, time_within_target_lag_ratio BETWEEN 0 AND 0.9 AS ratio
FROM dyntable.dynamic_tables(name => 'measured');
WITH moment AS (SELECT ended - interval '0.1 seconds' AS at, ended, stands FROM tooth ORDER BY no DESC LIMIT 1),
before AS (SELECT t.stands FROM tooth t ORDER BY no DESC OFFSET 1 LIMIT 1),
early AS MATERIALIZED (SELECT clock_timestamp() AS now FROM moment),
m AS MATERIALIZED (SELECT l.* FROM moment, early, dyntable.lag_measured('measured'::regclass, least(at, early.now)) l),
late AS MATERIALIZED (SELECT clock_timestamp() AS now FROM m),
expected AS (
    SELECT extract(epoch FROM c.now - at) AS seconds,
           0.1 * extract(epoch FROM ended - before.stands - interval '0.05 seconds')
           + extract(epoch FROM c.now - ended) * (extract(epoch FROM c.now - moment.stands) + extract(epoch FROM ended - moment.stands)) / 2 AS lag_sum
    FROM moment, before, (TABLE early UNION ALL TABLE late) c)
SELECT min(m.seconds - e.seconds) < 1e-5 AND max(m.seconds - e.seconds) > -1e-5 AS seconds,
       min(m.lag_sum - e.lag_sum) < 1e-5 AND max(m.lag_sum - e.lag_sum) > -1e-5 AS lag_sum
FROM m, expected e;
-- another target lag: what was above the old one counts no more
SELECT dyntable_alter('measured', target_lag => '1 hour');
SELECT time_above_target_lag_sec, time_within_target_lag_ratio, maximum_lag_sec >= 0.5 AS maximum FROM dyntable.dynamic_tables(name => 'measured');
DROP TABLE measured;

SELECT dyntable_suspend('dt_high');
SELECT target_lag_type, target_lag_sec, scheduler, scheduling_state - '{suspended_on}'::text[] AS scheduling_state, standstill
FROM dyntable.dynamic_tables(name => 'dt_high');
SELECT dyntable_resume('dt_high');

-- graph history (acceptance 13): what happened, each in a transaction of its own
SELECT dyntable_alter('dt_high', target_lag => '1 hour');
SELECT dyntable_alter('dt_high', query => 'SELECT sum(n) AS total FROM dt_low WHERE n > 0');
ALTER TABLE dt_high RENAME TO dt_top;
BEGIN;
SELECT dyntable_suspend('dt_top');
SELECT dyntable_alter('dt_top', target_lag => 'downstream');
COMMIT;
SELECT dyntable_resume('dt_top');
SELECT name, alter_trigger, target_lag_type, target_lag_sec, scheduling_state ->> 'state' AS state, valid_to IS NULL AS valid, inputs,
       valid_from = lag(valid_to) OVER (ORDER BY valid_from) AS continues
FROM dyntable.dynamic_table_graph_history(history_start => now() - interval '1 day') WHERE name IN ('dt_high', 'dt_top') ORDER BY valid_from;
SELECT name, query_text FROM dyntable.dynamic_table_graph_history() WHERE schema_name = 'info' ORDER BY name;
SELECT count(*) FROM dyntable.dynamic_table_graph_history(as_of => now() - interval '1 day');
SELECT count(*) FROM dyntable.dynamic_table_graph_history(as_of => now(), history_start => now());
SELECT count(*) FROM dyntable.dynamic_table_graph_history(history_end => now());
-- a renamed table's history follows it
SELECT count(*), bool_and(refresh_trigger IN ('CREATION', 'MANUAL')) FROM dyntable.dynamic_table_refresh_history(name => 'dt_top');
SELECT standstill FROM dyntable.dynamic_tables WHERE name = 'dt_top';
-- and what was dropped is remembered
SELECT dyntable_create('gone', 'SELECT 1 AS x', target_lag => '1 day', refresh_mode => 'full');
DROP TABLE gone;
SELECT name, valid_to IS NOT NULL AS ended FROM dyntable.dynamic_table_graph_history(history_start => now() - interval '1 day') WHERE name = 'gone';
SELECT name, qualified_name, refresh_action FROM dyntable.dynamic_table_refresh_history(name => 'gone');

-- the guide's monitoring queries, with their FROM and date arithmetic changed
SELECT name, schema_name, target_lag, refresh_mode, scheduling_state ->> 'state' AS scheduling_state
FROM dyntable.dynamic_tables()
WHERE database_name = current_database()
ORDER BY schema_name, name;
SELECT name, refresh_action, COUNT(*) AS refresh_count
FROM dyntable.dynamic_table_refresh_history(date_range_start => current_date - interval '7 days', result_limit => 10000)
WHERE database_name = current_database() AND schema_name = 'info'
GROUP BY name, refresh_action ORDER BY 1, 2;
SELECT name, scheduling_state ->> 'state' AS scheduling_state, last_refresh_start_time IS NOT NULL AS started, next_refresh_time IS NULL AS unplanned
FROM dyntable.dynamic_tables() WHERE name = 'dt_top';
SELECT count(*) FROM (SELECT * FROM dyntable.dynamic_table_refresh_history() WHERE name = 'dt_low'
    ORDER BY refresh_start_time DESC LIMIT 5) h;
SELECT name, state, refresh_start_time, refresh_end_time
FROM dyntable.dynamic_table_refresh_history()
WHERE name = 'dt_low' AND state = 'FAILED'
ORDER BY refresh_start_time DESC;

-- the graph
SELECT regexp_replace(dyntable.graph(), 'lag \d+', 'lag …', 'g');
SELECT split_part(dyntable.graph('text'), ' (', 1) = split_part(dyntable.graph('tree'), ' (', 1) AS same;
SELECT regexp_replace(dyntable.graph('dot'), 'lag \d+', 'lag …', 'g');
SELECT regexp_replace(regexp_replace(dyntable.graph('mermaid'), 'lag \d+', 'lag …', 'g'), '([ts])\d+', '\1…', 'g');
SELECT dyntable.graph('svg');

-- rights: who may not read a table learns nothing of it, who may not see its query sees the rest
CREATE ROLE regress_info_reader;
GRANT USAGE ON SCHEMA info TO regress_info_reader;
SET ROLE regress_info_reader;
SELECT count(*) FROM dyntable.dynamic_tables();
SELECT count(*) FROM dyntable.dynamic_table_refresh_history();
SELECT count(*) FROM dyntable.dynamic_table_graph_history(history_start => '-infinity');
SELECT count(*) FROM dyntable.lag_history;
RESET ROLE;
GRANT SELECT ON dt_low TO regress_info_reader;
SET ROLE regress_info_reader;
SELECT name, target_lag FROM dyntable.dynamic_tables();
SELECT count(*) > 0 AS some, bool_and(name = 'dt_low') AS of_it_alone FROM dyntable.dynamic_table_refresh_history();
SELECT name, query_text IS NULL AS hidden FROM dyntable.dynamic_table_graph_history();
RESET ROLE;
REVOKE SELECT ON dt_low FROM regress_info_reader;
GRANT pg_read_all_stats TO regress_info_reader;
SET ROLE regress_info_reader;
SELECT name, query_text IS NOT NULL AS shown FROM dyntable.dynamic_table_graph_history() WHERE schema_name = 'info' ORDER BY 1;
RESET ROLE;

DROP SCHEMA info CASCADE;
DROP ROLE regress_info_reader;
