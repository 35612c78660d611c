--
-- dyntable.data_timestamp: refreshes at moments of a test's choice, in
-- transactions that are rolled back.
--
CREATE SCHEMA moment;
SET search_path = moment, public;
SET client_min_messages = warning;
CREATE TABLE event (id int PRIMARY KEY, at timestamptz);
INSERT INTO event SELECT i, timestamptz '2030-01-01 00:00+00' + i * interval '1 hour' FROM generate_series(0, 99) i;
SELECT dyntable_create('recent', 'SELECT id, at FROM event WHERE at <= now() AND at > now() - interval ''1 day''', 'downstream', 'incremental');
SELECT dyntable_create('per_day', 'SELECT date_trunc(''day'', at, ''UTC'') AS day, count(*) AS n FROM recent GROUP BY 1', 'downstream', 'incremental');
SELECT dyntable_create('upcoming', 'SELECT id, now() AS seen FROM event WHERE at > now()', 'downstream');
SELECT dyntable_create('whole', 'SELECT count(*) AS n, min(at) AS at FROM event WHERE at > now()', 'downstream', 'full');
CREATE VIEW done AS SELECT name, action, data_timestamp AT TIME ZONE 'UTC' AS data_timestamp, rows_inserted AS ins, rows_updated AS upd, rows_deleted AS del, reason FROM dyntable_refresh('per_day', 'upcoming', 'whole');
-- forwards by the delta of the clock, back again all anew, at one data timestamp; verify asks at the same
BEGIN;
SET LOCAL dyntable.data_timestamp = '2030-01-02 00:00+00';
TABLE done;
SELECT count(*), min(id), max(id) FROM recent;
SELECT count(*), bool_and(seen < '2030-01-01') AS written_before FROM upcoming;
SET LOCAL dyntable.data_timestamp = '2030-01-02 06:30+00';
TABLE done;
TABLE per_day ORDER BY 1;
SELECT (dyntable_verify('per_day')).*;
SELECT (dyntable_verify('upcoming')).*;
SELECT (dyntable_verify('whole')).*;
SELECT name, data_timestamp AT TIME ZONE 'UTC' AS data_timestamp FROM dyntable.dynamic_tables WHERE schema_name = 'moment' ORDER BY 1;
-- now() in the view of the test itself is the clock's
SELECT now() < '2030-01-01' AS before FROM recent LIMIT 1;
SET LOCAL dyntable.data_timestamp = '2030-01-01 12:00+00';
TABLE done;
SELECT count(*), min(id), max(id) FROM recent;
SELECT (dyntable_verify('per_day')).*;
ROLLBACK;
SELECT name, data_timestamp BETWEEN now() - interval '1 day' AND now() AS by_the_clock FROM dyntable.dynamic_tables WHERE schema_name = 'moment' ORDER BY 1;
SELECT count(*) FROM recent;
-- with fixtures of the transaction, under REPEATABLE READ, from creation on
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL dyntable.data_timestamp = '2030-01-03 00:00+00';
DELETE FROM event WHERE id % 2 = 0;
INSERT INTO event VALUES (1000, '2030-01-02 23:59:59+00'), (1001, '2030-01-03 00:00:01+00');
SELECT dyntable_create('made', 'SELECT id FROM event WHERE at > now() ORDER BY id LIMIT 3', 'downstream');
TABLE made ORDER BY id;
SELECT dyntable_create('over', 'SELECT max(id) AS last FROM recent', 'downstream');
TABLE over;
SELECT line FROM dyntable_explain('recent') line WHERE line ~ '^next refresh';
SELECT id FROM recent WHERE id >= 1000 ORDER BY 1;
ROLLBACK;
-- it cannot be committed, unless it has been undone
BEGIN;
SET LOCAL dyntable.data_timestamp = '2030-01-02';
SELECT count(*) FROM dyntable_refresh('recent');
COMMIT;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SAVEPOINT a;
SET LOCAL dyntable.data_timestamp = '2030-01-02';
SAVEPOINT b;
SELECT count(*) FROM dyntable_refresh('recent');
RELEASE b;
ROLLBACK TO a;
INSERT INTO event VALUES (2000, 'epoch');
COMMIT;
BEGIN;
SAVEPOINT a;
SET LOCAL dyntable.data_timestamp = '2030-01-02';
SELECT count(*) FROM dyntable_refresh('recent');
RELEASE a;
COMMIT;
SELECT id FROM event WHERE id >= 2000;
SET dyntable.data_timestamp = '2030-01-02';
SELECT count(*) FROM dyntable_refresh('recent');
-- what looks without refreshing may
SELECT line FROM dyntable_explain('per_day') line WHERE line ~ '^next refresh';
RESET dyntable.data_timestamp;
SELECT action FROM dyntable_refresh('recent');
-- what is no moment
SET dyntable.data_timestamp = 'soon';
SET dyntable.data_timestamp = 'infinity';
SELECT count(*) FROM dyntable_refresh('recent');
RESET dyntable.data_timestamp;
ALTER SYSTEM SET dyntable.data_timestamp = '2030-01-02';
DROP SCHEMA moment CASCADE;
