--
-- Conditions on now(): rows come and go by the clock alone.
--
-- So that much happens in little time, CLOCK in the definitions is a clock that
-- runs 3,600 times as fast as now(), beginning some hours before daylight
-- saving ends in Vienna.  What is there at which refresh depends on the speed of
-- the machine; told is therefore only whether tables are what their queries
-- return, and that each was changed by the clock while no source was.
--
CREATE SCHEMA sql_time;
SET search_path = sql_time, public;
SET TimeZone = 'Europe/Vienna';
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE event (id int PRIMARY KEY, k int, at timestamptz, till timestamptz);
CREATE TABLE slot (no int PRIMARY KEY, k int, since timestamptz, until timestamptz);
CREATE TABLE loose (k int, at timestamptz);             -- no key, equal rows
CREATE TABLE diary (id int PRIMARY KEY, day date, at timestamptz);
CREATE INDEX ON event (at);
CREATE INDEX ON event (till);
INSERT INTO event SELECT i, i % 4, t + i % 7 * interval '1 minute', t + i % 5 * interval '7 hours'
    FROM generate_series(1, 1600) i, LATERAL (SELECT timestamptz '2026-10-23 12:00 UTC' + i * interval '40 minutes' AS t) x;
INSERT INTO event VALUES (0, 1, NULL, NULL), (-1, 1, '2026-10-23', NULL), (-2, NULL, NULL, '2026-12-23');
INSERT INTO slot SELECT i, i % 3, t, t + i % 3 * interval '9 hours'
    FROM generate_series(1, 200) i, LATERAL (SELECT timestamptz '2026-10-24 12:00 UTC' + i * interval '5 hours' AS t) x;
INSERT INTO slot VALUES (0, 1, NULL, NULL), (-1, NULL, '2026-10-23', '2026-12-23');
INSERT INTO loose SELECT k, date_trunc('day', at) FROM event WHERE id % 3 < 2;
INSERT INTO diary SELECT i, current_date + n, now() + n * interval '1 day'
    FROM unnest(ARRAY[-1000, -10, -3, 3, 10, 1000, NULL]) WITH ORDINALITY d(n, i);

-- over no rows it is 3
CREATE AGGREGATE three_more (int) (SFUNC = int4pl, STYPE = int, INITCOND = 3);
CREATE TABLE timed (no int GENERATED ALWAYS AS IDENTITY, name text, query text);
INSERT INTO timed (name, query) VALUES
    ('opens', 'SELECT id, at FROM event WHERE at <= CLOCK'),
    ('closes', 'SELECT id, at FROM event WHERE at > CLOCK - interval ''1 day'''),
    ('window_of_time', 'SELECT id, at FROM event WHERE at BETWEEN CLOCK - interval ''1 day'' AND CLOCK'),
    ('validity', 'SELECT id FROM event WHERE at <= CLOCK AND (till > CLOCK OR till IS NULL)'),
    ('negated', 'SELECT id FROM event WHERE NOT (at > CLOCK OR till <= CLOCK)'),
    ('negated_and', 'SELECT id FROM event WHERE NOT (at <= CLOCK AND till > CLOCK)'),
    ('either', 'SELECT id, k FROM event WHERE at > CLOCK OR till <= CLOCK AND k > 0 OR k = 3'),
    ('in_case', 'SELECT id FROM event WHERE CASE WHEN k = 1 THEN at < CLOCK WHEN k = 2 THEN at > CLOCK ELSE till > CLOCK END'),
    ('no_range', 'SELECT id FROM event WHERE CLOCK - at < interval ''9 hours'' AND coalesce(till, CLOCK) >= CLOCK'),
    ('local_time', 'SELECT id FROM event WHERE at::timestamp < (CLOCK)::timestamp AND at::timestamp >= (CLOCK)::timestamp - interval ''5 hours'''),
    ('this_day', 'SELECT id FROM event WHERE date_trunc(''day'', at) = date_trunc(''day'', CLOCK + interval ''20 hours'')'),
    ('age', 'SELECT id FROM event WHERE CLOCK - at < interval ''7 hours'''),
    ('ages', 'SELECT id FROM event WHERE CLOCK - at BETWEEN interval ''-1 day'' AND interval ''2 hours'' OR at - CLOCK > interval ''1 month'' AND k = 2'),
    ('later', 'SELECT id FROM event WHERE at + interval ''1 day'' > CLOCK AND NOT interval ''1 month 2 hours'' + at > CLOCK + interval ''1 month'''),
    ('local_later', 'SELECT id FROM event WHERE at::timestamp - interval ''1 day 3 hours'' < (CLOCK)::timestamp'),
    ('truncated', 'SELECT id FROM event WHERE date_trunc(''hour'', at) > CLOCK - interval ''3 hours'' OR date_trunc(''week'', at) + interval ''6 days'' < CLOCK'),
    ('elsewhere', 'SELECT id FROM event WHERE at AT TIME ZONE ''Australia/Lord_Howe'' > (CLOCK) AT TIME ZONE ''America/Sao_Paulo'' + interval ''13 hours'''),
    ('of_day', 'SELECT id FROM event WHERE at::date = (CLOCK - interval ''4 hours'')::date'),
    ('since_days', 'SELECT id FROM event WHERE (CLOCK - interval ''4 hours'')::date - at::date < 1 AND at::date + 3 > (CLOCK - interval ''4 hours'')::date'),
    ('bag', 'SELECT k FROM loose WHERE at <= CLOCK - interval ''4 hours'''),
    ('grouped', 'SELECT k, count(*) AS n, min(at) AS lo, max(id) AS hi FROM event WHERE at <= CLOCK GROUP BY k'),
    ('global', 'SELECT count(*) AS n, sum(id) AS s FROM event WHERE till > CLOCK'),
    ('having', 'SELECT no, max(since) AS last FROM slot GROUP BY no HAVING max(since) - interval ''1 hour'' > CLOCK OR min(until) <= CLOCK'),
    ('distinct_on', 'SELECT DISTINCT ON (k) k, id, at FROM event WHERE at <= CLOCK ORDER BY k, at DESC, id'),
    ('over_window', 'SELECT id, n FROM (SELECT id, at, row_number() OVER (PARTITION BY k ORDER BY at, id) AS n FROM event) e WHERE at <= CLOCK AND n > 10'),
    ('joined', 'SELECT e.id, s.no FROM event e JOIN slot s ON s.k = e.k AND s.since <= CLOCK AND e.till > CLOCK AND e.id % 10 = s.no % 10'),
    ('joined_over_both', 'SELECT e.id, s.no FROM event e JOIN slot s ON e.id % 50 = s.no AND greatest(e.at, s.since) <= CLOCK'),
    ('left_right_side', 'SELECT e.id, s.no FROM event e LEFT JOIN slot s ON e.id % 50 = s.no AND s.since <= CLOCK'),
    ('left_left_side', 'SELECT e.id, e.at, s.no, s.since FROM event e LEFT JOIN slot s ON e.id % 50 = s.no AND e.at <= CLOCK'),
    ('left_both', 'SELECT e.id, s.no FROM event e LEFT JOIN slot s ON s.k = e.k AND CLOCK BETWEEN e.at AND s.until AND s.no = e.id / 8'),
    ('left_alone', 'SELECT e.id, s.no FROM event e LEFT JOIN slot s ON greatest(e.at, s.since) > CLOCK AND e.id % 50 = s.no'),
    ('right_both', 'SELECT e.id, s.no FROM event e RIGHT JOIN slot s ON s.no = e.id / 8 AND CLOCK BETWEEN e.at AND s.until'),
    ('full_both', 'SELECT e.id, s.no FROM event e FULL JOIN slot s ON s.no = e.id / 8 AND CLOCK BETWEEN e.at AND s.until'),
    ('full_grouped', 'SELECT e.k, e.n, s.no FROM (SELECT x.no AS k, count(*) AS n, min(y.at) AS at FROM slot x JOIN event y ON y.id % 50 = x.no GROUP BY x.no) e FULL JOIN slot s ON s.no = e.k + 3 AND greatest(s.since, e.at) <= CLOCK + interval ''2 days'''),
    ('left_of_left', 'SELECT e.id, s.no, t.no AS other FROM event e LEFT JOIN slot s ON s.no = e.id % 50 AND e.till > CLOCK LEFT JOIN slot t ON t.no = s.no + 1 AND t.since <= CLOCK'),
    ('left_twice', 'SELECT a.id, s.no FROM (SELECT e.id, e.at FROM event e LEFT JOIN slot x ON x.no = e.id AND e.at < CLOCK WHERE x.no IS NULL) a LEFT JOIN slot s ON s.no = a.id % 70 AND a.at > CLOCK'),
    ('hours', 'SELECT h, count(e.id) AS n FROM generate_series(CLOCK - interval ''9 hours'', CLOCK + interval ''1 hour'', ''1 hour'') h LEFT JOIN event e ON e.at >= h AND e.at < h + interval ''1 hour'' GROUP BY h'),
    ('values_of_clock', 'SELECT e.id, v.name FROM (VALUES (CLOCK, ''now''), (CLOCK - interval ''6 hours'', ''before'')) v(t, name) JOIN event e ON e.at BETWEEN v.t AND v.t + interval ''2 hours'''),
    ('each_hour', 'SELECT s.no, h FROM slot s, generate_series(s.since, least(s.until, CLOCK), ''1 hour'') h'),
    ('each_hour_left', 'SELECT s.no, x.h FROM slot s LEFT JOIN LATERAL (SELECT max(h) AS h FROM generate_series(s.since, CLOCK, ''3 hours'') h) x ON h > CLOCK - interval ''9 hours'' WHERE s.k < 3'),
    ('each_filtered', 'SELECT s.no, min(x.n) AS n FROM slot s CROSS JOIN LATERAL (SELECT three_more(e.k) FILTER (WHERE e.at <= CLOCK) AS n FROM event e WHERE e.id % 50 = s.no) x GROUP BY s.no'),
    ('opens_and_more', 'SELECT o.k, count(*) AS n FROM (SELECT k FROM loose WHERE at > CLOCK UNION ALL SELECT k FROM event WHERE at <= CLOCK) o GROUP BY o.k'),
    ('from_none', 'SELECT 1 AS one FROM generate_series(1, 2) WHERE extract(hour FROM CLOCK)::int % 2 = 0 UNION ALL SELECT 2 WHERE extract(hour FROM CLOCK)::int % 3 = 0');
SELECT now() AS started \gset
INSERT INTO definition (name, query)
    SELECT name, replace(query, 'CLOCK', format('(timestamptz ''2026-10-24 21:00+00'' + (now() - timestamptz %L) * 3600)', :'started'))
    FROM timed ORDER BY no;

/* Changes and a refresh; told is what is wrong, and of silent changes whom the clock changed is noted. */
CREATE TABLE changed_by_clock (name text PRIMARY KEY);
CREATE PROCEDURE check_all(what text, changes text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    d definition;
    c record;
    actions jsonb;
    compared int := 0;
BEGIN
    IF changes IS NOT NULL THEN
        EXECUTE changes;
    END IF;
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    SELECT jsonb_object_agg(r.name, r.action) INTO actions
    FROM dyntable_refresh(VARIADIC (SELECT array_agg(definition.name::regclass ORDER BY no) FROM definition)) r;
    FOR d IN SELECT * FROM definition ORDER BY no
    LOOP
        c := compare(d);
        compared := compared + 1;
        IF c.difference IS NOT NULL OR actions ->> d.name::regclass::text NOT IN ('INCREMENTAL', 'NO_DATA') THEN
            PERFORM told(d.name, actions ->> d.name::regclass::text, c.rows, NULL, c.difference);
        END IF;
        IF changes IS NULL AND c.content <> d.content THEN
            INSERT INTO changed_by_clock VALUES (d.name) ON CONFLICT DO NOTHING;
        END IF;
        UPDATE definition SET content = c.content WHERE definition.name = d.name;
    END LOOP;
    COMMIT;
    IF what <> '' THEN
        RAISE INFO '%: % tables compared', what, compared;
    END IF;
END $$;

/* Refreshes until time has changed every table and daylight saving has ended, which is 4 seconds after the start. */
CREATE PROCEDURE pass_time(started timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        CALL check_all('');
        EXIT WHEN clock_timestamp() > started + interval '6 seconds' AND
            NOT EXISTS (SELECT FROM definition d WHERE NOT EXISTS (SELECT FROM changed_by_clock c WHERE c.name = d.name));
        EXIT WHEN clock_timestamp() > started + interval '5 minutes';
    END LOOP;
END $$;

SET client_min_messages = error;
DO $$ DECLARE d definition; BEGIN
    FOR d IN SELECT * FROM definition ORDER BY no LOOP PERFORM dyntable_create(d.name, d.query, '1 day', 'incremental'); END LOOP;
    UPDATE definition SET content = 0;
END $$;
SET client_min_messages = warning;
CALL check_all('created', 'SELECT');
CALL pass_time(:'started');
SELECT name AS never_changed FROM definition d WHERE NOT EXISTS (SELECT FROM changed_by_clock c WHERE c.name = d.name);

-- changes and the clock together
CALL check_all('insert', $$INSERT INTO event SELECT id + 2000, k, at + interval '8 days', till + interval '8 days' FROM event WHERE id % 3 = 0;
    INSERT INTO slot SELECT no + 300, k, since + interval '1 hour', until FROM slot WHERE no % 4 = 0 AND no > 0; INSERT INTO loose SELECT * FROM loose WHERE k = 1$$);
CALL check_all('update', $$UPDATE event SET at = at + interval '5 hours', k = coalesce(k, 0) + 1 WHERE id % 4 = 0; UPDATE slot SET until = until + interval '3 hours' WHERE no % 2 = 1$$);
CALL check_all('update of one', $$UPDATE slot SET since = since - interval '1 day', no = no + 1000 WHERE no % 5 = 0$$);
CALL check_all('NULLs', $$UPDATE event SET at = NULL WHERE id % 9 = 0; UPDATE slot SET since = NULL WHERE no % 9 = 0; UPDATE loose SET at = NULL WHERE k = 2$$);
CALL check_all('delete', $$DELETE FROM event WHERE id % 5 = 0; DELETE FROM slot WHERE no % 6 = 0; DELETE FROM loose WHERE k = 1$$);
CALL check_all('to nothing', $$TRUNCATE changed_by_clock; DELETE FROM event; DELETE FROM slot; DELETE FROM loose$$);
CALL check_all('from nothing', $$INSERT INTO event SELECT i, i % 3, timestamptz '2026-10-24' + i * interval '1 hour', timestamptz '2026-10-24' + i * interval '2 hours' FROM generate_series(1, 50) i;
    INSERT INTO slot SELECT i, i % 3, timestamptz '2026-10-24' + i * interval '1 hour', timestamptz '2026-10-24' + i * interval '2 hours' FROM generate_series(1, 50) i$$);
CALL check_all('one more time');

-- the clock of every day: current_date and its kin, far from any bound
DELETE FROM definition;
INSERT INTO definition (name, query) VALUES
    ('since_date', 'SELECT id FROM diary WHERE day >= current_date - 5'),
    ('before_date', 'SELECT id FROM diary WHERE day < current_date OR at > current_timestamp + interval ''500 days'''),
    ('this_week', 'SELECT id, day FROM diary WHERE at BETWEEN localtimestamp - interval ''5 days'' AND localtimestamp + interval ''5 days'''),
    ('same_day', 'SELECT id FROM diary WHERE date_trunc(''day'', at) > date_trunc(''day'', now()) + interval ''5 days'' AND current_time IS NOT NULL'),
    ('no_columns', 'SELECT 1 AS one FROM (SELECT e.at FROM diary d LEFT JOIN event e ON e.id = d.id AND e.k <> 2 WHERE e.id IS NULL) x WHERE (x.at > now()) IS NOT FALSE'),
    ('no_from', 'SELECT 1 AS one WHERE now() > ''epoch'''),
    ('the_clock', 'SELECT t, d FROM (VALUES (now(), current_date)) v(t, d)'),
    ('written', 'SELECT id, at < now() AS old, now() AS seen FROM diary WHERE day > current_date - 100');
UPDATE definition SET ignored = '{old,seen}' WHERE name = 'written';
CALL create_all();
CALL change('insert', $$INSERT INTO diary SELECT id + 10, day, at FROM diary$$);
CALL change('update', $$UPDATE diary SET day = day + 20, at = at - interval '20 days' WHERE id % 2 = 0$$);
CALL change('delete', $$DELETE FROM diary WHERE id > 10 OR day IS NULL$$);
CALL change('nothing but the clock', 'SELECT');

-- what crossed a bound is found by an index, also where the column is not compared as it is
CREATE TABLE visit (id int PRIMARY KEY, at timestamptz, local timestamp, day date);
INSERT INTO visit SELECT i, t, t, t FROM generate_series(1, 40000) i, LATERAL (SELECT now() - i * interval '2 minutes' AS t) x;
CREATE INDEX ON visit (at);
CREATE INDEX ON visit (local);
CREATE INDEX ON visit (day);
ANALYZE visit;
CREATE PROCEDURE work(condition text, most int) LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz;
    before numeric;
    reads numeric;
BEGIN
    PERFORM dyntable_create('visits', 'SELECT id FROM visit WHERE ' || condition, '1 day', 'incremental', or_replace => true);
    COMMIT;
    until := clock_timestamp() + '20 ms';
    WHILE clock_timestamp() < until LOOP END LOOP;
    SELECT sum(seq_tup_read + idx_tup_fetch) INTO before FROM pg_stat_xact_user_tables WHERE relid = 'visit'::regclass;
    PERFORM dyntable_refresh('visits');
    SELECT sum(seq_tup_read + idx_tup_fetch) - before INTO reads FROM pg_stat_xact_user_tables WHERE relid = 'visit'::regclass;
    RAISE INFO '%: %, %', condition, CASE WHEN reads <= most THEN 'at most ' || most || ' rows read' ELSE reads || ' ROWS READ' END,
        (SELECT CASE WHEN missing + unexpected = 0 THEN 'equal' ELSE 'DIFFERENT' END FROM dyntable_verify('visits'));
END $$;
CALL work('at > now() - interval ''7 days''', 10);
CALL work('now() - at < interval ''7 days''', 10);
CALL work('at - now() > interval ''-168:00'' AND now() - at > interval ''1 hour''', 20);
CALL work('at + interval ''100 hours'' > now()', 10);
CALL work('at + interval ''7 days'' > now()', 4000);
CALL work('local + interval ''7 days'' > localtimestamp', 10);
CALL work('localtimestamp - local <= interval ''7 days''', 10);
CALL work('date_trunc(''hour'', at) > now() - interval ''9 days''', 5000);
CALL work('current_date - day < 10', 3000);
CALL work('at::date = current_date - 3', 5000);

-- for the rows that crossed a bound: the indexes that would serve
DROP INDEX event_at_idx, event_till_idx;
INSERT INTO event SELECT i, i % 4, timestamptz '2026-10-24' + i * interval '1 minute', timestamptz '2026-10-24' + i * interval '2 minutes' FROM generate_series(10001, 40000) i;
ANALYZE event;
SELECT substring(line FROM 'CREATE INDEX [^;]*') AS command
FROM dyntable_explain_query('SELECT id FROM event WHERE NOT (at <= now() AND till > now()) OR k = 3') line WHERE line ~ 'CREATE INDEX';
SELECT substring(line FROM 'CREATE INDEX [^;]*') AS command
FROM dyntable_explain_query('SELECT id FROM event WHERE now() - at < interval ''1 day'' AND date_trunc(''day'', till) + interval ''1 day'' > now()') line WHERE line ~ 'CREATE INDEX';

DROP SCHEMA sql_time CASCADE;
