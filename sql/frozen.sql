--
-- Frozen regions (acceptance 14), rows to begin with, and boundaries.
--
CREATE SCHEMA frozen;
SET search_path = frozen, public;
CREATE TABLE event (id int PRIMARY KEY, day date, k int, v int);
INSERT INTO event SELECT i, date '2026-01-01' + i % 10, i % 3, i FROM generate_series(1, 40) i;

CREATE FUNCTION oracle(name regclass, OUT action text, OUT rows bigint, OUT missing bigint, OUT unexpected bigint)
LANGUAGE plpgsql AS $$
BEGIN
    action := (SELECT r.action FROM dyntable_refresh(oracle.name) r WHERE r.name = oracle.name);
    SELECT v.missing, v.unexpected INTO oracle.missing, oracle.unexpected FROM dyntable_verify(oracle.name) v;
    EXECUTE format('SELECT count(*) FROM %s', name) INTO rows;
END $$;
-- What of a table is not its query's: only frozen rows may be.
CREATE FUNCTION differences(name regclass, query text, condition text, OUT active bigint, OUT frozen bigint)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('WITH q AS (%2$s), d AS ((TABLE q EXCEPT ALL TABLE %1$s) UNION ALL (TABLE %1$s EXCEPT ALL TABLE q))
                    SELECT count(*) FILTER (WHERE (%3$s) IS NOT TRUE), count(*) FILTER (WHERE %3$s) FROM d', name, query, condition)
        INTO active, frozen;
END $$;

SELECT dyntable_create('days', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', target_lag => '1 day', frozen_where => 'day < ''2026-01-04''');
SELECT dyntable_create('rows', 'SELECT id, day, v FROM event', target_lag => '1 day', frozen_where => 'day < date ''2026-01-04''');
SELECT dyntable_create('full_days', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', target_lag => '1 day', refresh_mode => 'full', frozen_where => 'day < ''2026-01-04''');
SELECT dyntable_create('above', 'SELECT sum(n) AS n, sum(total) AS total FROM days', target_lag => '1 day');
-- The first fill computes all
SELECT name, (oracle(name::regclass)).*, d.* FROM (VALUES ('days'), ('full_days')) v(name), differences(name::regclass, 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', 'day < ''2026-01-04''') d;
SELECT dyntable.is_frozen(d) AS frozen, count(*) FROM days d GROUP BY 1 ORDER BY 1;
-- Changes inside stay away, those outside arrive; rows that cross go or come alone
DELETE FROM event WHERE day = '2026-01-02';
UPDATE event SET v = v + 100 WHERE id % 2 = 0;
INSERT INTO event VALUES (100, '2026-01-01', 1, 1), (101, '2026-01-09', 1, 1), (102, '2025-12-01', 1, 1);
UPDATE event SET day = '2026-01-08' WHERE id = 20;
UPDATE event SET day = '2026-01-01' WHERE id = 18;
SELECT name, (oracle(name::regclass)).* FROM (VALUES ('days'), ('full_days'), ('rows'), ('above')) v(name);
SELECT * FROM differences('days', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', 'day < ''2026-01-04''');
SELECT * FROM differences('full_days', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', 'day < ''2026-01-04''');
SELECT * FROM differences('rows', 'SELECT id, day, v FROM event', 'day < ''2026-01-04''');
SELECT sum(n) = (SELECT n FROM above) AS follows FROM days;
TRUNCATE event;
INSERT INTO event SELECT i, date '2026-01-01' + i % 10, i % 3, i * 2 FROM generate_series(1, 30) i;
SELECT name, (oracle(name::regclass)).* FROM (VALUES ('days'), ('full_days'), ('rows'), ('above')) v(name);
SELECT * FROM differences('rows', 'SELECT id, day, v FROM event', 'day < ''2026-01-04''');
-- A larger region: nothing is computed anew
SELECT dyntable_alter('days', frozen_where => 'day < ''2026-01-06''');
SELECT (oracle('days')).*;
DELETE FROM event WHERE day = '2026-01-05' OR day = '2026-01-07';
SELECT (oracle('days')).*, (differences('days', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', 'day < ''2026-01-06''')).*;
-- A smaller one: the rest is; another; none
SELECT dyntable_alter('days', frozen_where => 'day < ''2026-01-02''');
SELECT (oracle('days')).*, (differences('days', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', 'day < ''2026-01-02''')).*;
SELECT dyntable_alter('days', frozen_where => '');
SELECT (oracle('days')).*, (differences('days', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', 'false')).*;
-- Declared later, on rows with a key of other columns
SELECT dyntable_create('late', 'SELECT id, day, v FROM event', target_lag => '1 day');
SELECT dyntable_alter('late', frozen_where => 'day < ''2026-01-03''');
UPDATE event SET v = -v, day = day + 2 WHERE id % 3 = 0;
SELECT (oracle('late')).*, (differences('late', 'SELECT id, day, v FROM event', 'day < ''2026-01-03''')).*;
SELECT frozen_where FROM dyntable.dynamic_table WHERE relid = 'late'::regclass;
-- Bounds that move
SELECT dyntable_create('moving', 'SELECT id, day, v FROM event', target_lag => '1 day', frozen_where => 'day < current_date - 2 AND (v > 0 OR now() - day::timestamptz > interval ''1 day'')');
UPDATE event SET v = v + 1;
INSERT INTO event VALUES (200, current_date + 1, 1, 1);
SELECT action, rows_inserted, rows_updated, rows_deleted FROM dyntable_refresh('moving');
SELECT * FROM dyntable_verify('moving');

-- Rows inside are their users' to change
UPDATE late SET v = 0 WHERE day < '2026-01-03';
DELETE FROM late WHERE id = (SELECT min(id) FROM late WHERE day = '2026-01-02');
INSERT INTO late VALUES (900, '2025-01-01', 9);
SELECT dyntable_create('above_late', 'SELECT count(*) AS n, sum(v) AS v FROM late', target_lag => '1 day');
WITH gone AS (DELETE FROM late WHERE id = 900 RETURNING id) SELECT * FROM gone;
SELECT (oracle('above_late')).*;
\set VERBOSITY terse
UPDATE late SET v = 0 WHERE day > '2026-01-05';
UPDATE late SET day = '2026-01-09' WHERE day = '2026-01-01';
INSERT INTO late VALUES (901, '2026-01-09', 9);
DELETE FROM late;
MERGE INTO late USING event e ON e.id = late.id WHEN MATCHED AND late.day > '2026-01-05' THEN DELETE;
TRUNCATE late;
COPY late FROM '/dev/null';
UPDATE above_late SET n = 0;
\set VERBOSITY default
UPDATE event SET v = v + 1;
SELECT (oracle('late')).*, (differences('late', 'SELECT id, day, v FROM event', 'day < ''2026-01-03''')).active;
-- New columns: null in frozen rows
SELECT dyntable_alter('late', query => 'SELECT id, day, v, k FROM event');
SELECT day < '2026-01-03' AS frozen, bool_and(k IS NULL) AS without FROM late GROUP BY 1 ORDER BY 1;
SELECT (oracle('late')).*;
SELECT dyntable_alter('late', query => 'SELECT id, v, k FROM event');

-- What cannot stand in it
SELECT dyntable_alter('late', frozen_where => 'v > (SELECT 1)');
SELECT dyntable_alter('late', frozen_where => 'count(*) > 1');
SELECT dyntable_alter('late', frozen_where => 'rank() OVER () = 1');
SELECT dyntable_alter('late', frozen_where => 'random() < 0.5');
SELECT dyntable_alter('late', frozen_where => 'clock_timestamp() > now()');
SELECT dyntable_alter('late', frozen_where => 'current_user = ''a''');
SELECT dyntable_alter('late', frozen_where => 'day > current_date - 2');
SELECT dyntable_alter('late', frozen_where => 'NOT day > current_date - 2');
SELECT dyntable_alter('late', frozen_where => 'day = current_date');
SELECT dyntable_alter('late', frozen_where => 'id');
SELECT dyntable_alter('late', frozen_where => 'nothing = 1');
SELECT dyntable_alter('late', frozen_where => 'id = 1; DROP TABLE event');
SELECT dyntable_alter('late', frozen_where => 'id = 1 ORDER BY 1');
SELECT dyntable_alter('days', frozen_where => 'n > 3');
SELECT dyntable_create('ranked', 'SELECT id, r FROM (SELECT id, rank() OVER (ORDER BY v) AS r FROM event) x', target_lag => '1 day', frozen_where => 'r < 3');
SELECT dyntable.is_frozen(e) FROM event e LIMIT 1;

-- Rows to begin with
CREATE TABLE kept (day date, n bigint, total bigint);
INSERT INTO kept VALUES ('2025-06-01', 5, 50), ('2026-01-01', 1, 1), ('2026-01-08', 7, 7);
SELECT dyntable_create('filled', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', target_lag => '1 day', frozen_where => 'day < ''2026-01-03''', backfill_from => 'kept');
SELECT * FROM filled WHERE day < '2026-01-03' ORDER BY day;
SELECT (oracle('filled')).*, (differences('filled', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', 'day < ''2026-01-03''')).active;
SELECT dyntable_create('seeded', 'SELECT id, v FROM event', target_lag => '1 day', backfill_from => 'kept');
CREATE TABLE seeds AS SELECT id, v FROM event WHERE id < 20 UNION ALL SELECT 4711, 1;
SELECT dyntable_create('seeded', 'SELECT id, v FROM event', target_lag => '1 day', backfill_from => 'seeds');
SELECT (oracle('seeded')).*, (differences('seeded', 'SELECT id, v FROM event', 'false')).*;
SELECT refresh_action, rows_inserted < 20 AS few FROM dyntable.refresh_history WHERE relid = 'seeded'::regclass ORDER BY id LIMIT 1;
DELETE FROM event WHERE id = 30;
SELECT (oracle('seeded')).*;

-- A boundary: read as it is
SELECT dyntable_create('base', 'SELECT k, sum(v) AS v FROM event GROUP BY k', target_lag => '1 day');
SELECT dyntable_create('aside', 'SELECT b.k, b.v, count(*) AS n FROM base b JOIN event e USING (k) GROUP BY b.k, b.v', target_lag => '1 minute', boundary => '{base}');
UPDATE event SET v = v + 1;
SELECT name FROM dyntable_refresh('aside');
SELECT * FROM dyntable_verify('aside');
SELECT (SELECT sum(v) FROM aside) = (SELECT sum(v) FROM base) AS as_it_is, (SELECT sum(v) FROM base) = (SELECT sum(v) FROM event) AS current;
SELECT name FROM dyntable_refresh('base');
INSERT INTO event SELECT i, '2026-02-01', 1, 1 FROM generate_series(300, 303) i;
SELECT name, action FROM dyntable_refresh('aside');
SELECT * FROM dyntable_verify('aside');
SELECT (SELECT sum(v) FROM aside) = (SELECT sum(v) FROM base) AS as_it_is, (SELECT sum(v) FROM base) = (SELECT sum(v) FROM event) AS current;
SELECT dyntable_suspend('base');
SELECT scheduling_state FROM dyntable.dynamic_tables WHERE relid = 'aside'::regclass;
SELECT dyntable_alter('aside', boundary => '{}');
SELECT name FROM dyntable_refresh('aside') ORDER BY name::text;
SELECT dyntable_alter('aside', boundary => '{event}');
-- by the name of a view: the dynamic tables that it reads
CREATE VIEW over_base AS SELECT b.k, b.v, h.n FROM base b LEFT JOIN (SELECT k, count(*) AS n FROM "above" a JOIN event ON true GROUP BY k) h USING (k);
SELECT dyntable_create('by_view', 'SELECT k, v FROM over_base JOIN full_days ON v > total', target_lag => '1 minute', boundary => '{over_base}');
SELECT source_name, boundary FROM dyntable.dependencies WHERE name = 'by_view' ORDER BY source_name;
SELECT inputs FROM dyntable.dynamic_table_graph_history() WHERE name = 'by_view';
CREATE VIEW over_event AS TABLE event;
SELECT dyntable_alter('by_view', boundary => '{over_event}');
SELECT dyntable_create('no', 'SELECT id FROM event', boundary => '{base}');
SET client_min_messages = warning;
DROP SCHEMA frozen CASCADE;
