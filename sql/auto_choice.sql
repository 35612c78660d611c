--
-- In mode auto: the delta, or all of the query.
--
-- The figures by which it is chosen are set, so that no time decides: what the
-- query takes (full_ms), and what deltas take (delta_ms, element i is of less
-- than 4^i changed rows).
--
CREATE SCHEMA auto_choice;
SET search_path = auto_choice, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

-- two rows a page: enough blocks for a choice, few rows
CREATE TABLE item (id int PRIMARY KEY, customer int, amount int, note text);
ALTER TABLE item ALTER note SET STORAGE PLAIN;
CREATE INDEX ON item (customer);
INSERT INTO item SELECT i, i % 40, i % 100, repeat('x', 3500) FROM generate_series(1, 1100) i;
CREATE TABLE small (id int PRIMARY KEY, amount int);
INSERT INTO small SELECT i, i FROM generate_series(1, 50) i;
VACUUM ANALYZE item, small;

INSERT INTO definition (name, query, mode) VALUES
    ('c_auto', 'SELECT customer, count(*) AS n, sum(amount) AS total, max(amount) AS largest FROM item GROUP BY customer', 'auto'),
    ('c_window', 'SELECT id, amount, lag(amount) OVER (PARTITION BY customer ORDER BY id) AS before FROM item', 'auto'),
    ('c_incremental', 'SELECT customer, count(*) AS n, sum(amount) AS total FROM item GROUP BY customer', 'incremental'),
    ('c_full', 'SELECT customer, count(*) AS n FROM item GROUP BY customer', 'full'),
    ('c_small', 'SELECT count(*) AS n, sum(amount) AS total FROM small', 'auto'),
    ('c_above', 'SELECT n, count(*) AS customers, sum(total) AS total FROM c_auto GROUP BY n', 'auto');
CALL create_all();

-- the first fill was measured
SELECT relid::regclass AS name, full_ms > 0 AND full_cost > 0 AS measured, array_remove(delta_ms, NULL) AS deltas
FROM dyntable.position WHERE relid IN ('c_auto'::regclass, 'c_window'::regclass, 'c_small'::regclass) ORDER BY 1;

CREATE PROCEDURE set_costs(delta float8, query float8) LANGUAGE sql AS $$
    UPDATE dyntable.position SET full_ms = query, full_cost = NULL, delta_ms = array_fill(delta, ARRAY[16])
    WHERE relid IN (SELECT to_regclass(name)::oid FROM auto_choice.definition)
$$;
CALL set_costs(NULL, 1000);

-- a delta is what is done by default, and is measured by the number of changed rows
CALL change('few rows', $$UPDATE item SET amount = amount + 1 WHERE id % 100 = 0; UPDATE small SET amount = 0 WHERE id = 3$$);
SELECT array_positions(array_remove(ARRAY(SELECT d IS NOT NULL FROM unnest(delta_ms) d), NULL), true) AS measured
FROM dyntable.position WHERE relid = 'c_auto'::regclass;

-- the delta of 22 changed rows took a day, the query nothing: mode auto takes the query where there is enough data, and says why
CREATE VIEW last_reasons AS
    SELECT DISTINCT ON (relid) name, refresh_action, regexp_replace(reason, '[0-9]+( ms)', 'N\1', 'g') AS reason
    FROM dyntable.refresh_history WHERE schema_name = 'auto_choice' ORDER BY relid, id DESC;
CALL set_costs(86400000, 0);
CALL change('few rows again', $$UPDATE item SET amount = amount + 1 WHERE id % 100 = 1; DELETE FROM small WHERE id = 7$$);
SELECT * FROM last_reasons ORDER BY name;

-- deltas go on from the state that the query has left, above it as well
CALL set_costs(0, 1000);
CALL change('new groups, none', $$INSERT INTO item VALUES (2000, 100, 1, NULL), (2001, NULL, NULL, NULL); DELETE FROM item WHERE customer = 7; UPDATE item SET amount = 500 WHERE id = 40$$);
CALL set_costs(86400000, 0);
CALL change('by the query once more', $$UPDATE item SET customer = 100 WHERE customer = 8; DELETE FROM item WHERE id = 2001$$);
CALL set_costs(0, 1000);
CALL change('and on', $$UPDATE item SET amount = amount - 1 WHERE customer = 100; INSERT INTO item VALUES (2002, 8, 8, '')$$);

-- all goes and comes back
CALL set_costs(86400000, 0);
CALL change('to none', $$DELETE FROM item$$);
CALL set_costs(0, 1000);
CALL change('from none', $$INSERT INTO item SELECT i, i % 40, i % 100, repeat('x', 3500) FROM generate_series(1, 1100) i$$);

-- one bad day is not for ever: what was not tried is believed to get cheaper, until it is tried
CALL set_costs(NULL, 1000);
UPDATE dyntable.position SET delta_ms[3] = 86400000 WHERE relid = 'c_auto'::regclass;
CREATE PROCEDURE refreshes_until_tried() LANGUAGE plpgsql AS $$
DECLARE
    done text;
    n    int := 0;
BEGIN
    WHILE n < 200 LOOP
        UPDATE item SET amount = amount + 1 WHERE id BETWEEN 1 AND 15;
        COMMIT;
        SELECT action INTO done FROM dyntable_refresh('c_auto');
        EXIT WHEN done = 'INCREMENTAL';
        n := n + 1;
        UPDATE dyntable.position SET full_ms = 1000, full_cost = NULL WHERE relid = 'c_auto'::regclass;
        COMMIT;
    END LOOP;
    -- what had been believed counts for half in the first measurement
    UPDATE item SET amount = amount + 1 WHERE id BETWEEN 1 AND 15;
    COMMIT;
    PERFORM dyntable_refresh('c_auto');
    RAISE INFO 'by the query at first: %, then by delta: %, which has been measured: %', n > 1, n < 200,
        (SELECT delta_ms[3] < 1000 FROM dyntable.position WHERE relid = 'c_auto'::regclass);
END $$;
CALL refreshes_until_tried();
CALL change('afterwards', $$UPDATE item SET amount = amount + 1 WHERE id = 5$$);

-- without a history a delta is tried, whatever the planner makes of it
INSERT INTO definition (name, query, mode) VALUES
    ('c_alike', 'SELECT a.customer, count(*) AS n, sum(c.amount) AS total FROM item a JOIN item b ON a.customer = b.customer AND a.amount = b.amount
                 JOIN item c ON b.customer = c.customer AND b.amount = c.amount GROUP BY a.customer', 'auto');
VACUUM ANALYZE item;
CALL create_all();
CREATE TABLE cost_of_alike AS SELECT full_cost AS cost FROM dyntable.position WHERE relid = 'c_alike'::regclass;
CALL set_costs(0, 1000);
UPDATE dyntable.position SET full_ms = 1000000, full_cost = cost, delta_ms = '{}' FROM cost_of_alike WHERE relid = 'c_alike'::regclass;
CALL change('all rows', $$UPDATE item SET amount = amount + 1$$);
SELECT * FROM last_reasons WHERE name = 'c_alike';
SELECT 4 ^ i > 2200 AND 4 ^ (i - 1) <= 2200 AS of_all_rows
FROM dyntable.position, unnest(delta_ms) WITH ORDINALITY d (ms, i) WHERE relid = 'c_alike'::regclass AND ms IS NOT NULL;

-- a statement of a delta that takes much longer than the query is cancelled: here the first call of a function does
CREATE SEQUENCE calls START 2;
CREATE FUNCTION hard(int) RETURNS int LANGUAGE plpgsql IMMUTABLE COST 10000 AS $$
BEGIN
    IF nextval('auto_choice.calls') = 1 THEN PERFORM pg_sleep(600); END IF;
    RETURN $1 * 2;
END $$;
INSERT INTO definition (name, query, mode) VALUES ('c_hard', 'SELECT id, hard(amount) AS twice FROM item', 'auto');
CALL create_all();
CALL set_costs(0.001, 0);
UPDATE dyntable.position SET full_ms = 1000, full_cost = NULL WHERE relid IN ('c_auto'::regclass, 'c_window'::regclass, 'c_alike'::regclass);
CALL change('some rows of which one takes its time', $$SELECT setval('calls', 1, false); UPDATE item SET amount = 1000 WHERE id % 28 = 0$$);
SELECT name, refresh_action, regexp_replace(reason, '[0-9]+( ms)', 'N\1', 'g') AS reason, duration < interval '1 minute' AS in_time
FROM dyntable.refresh_history WHERE name = 'c_hard' ORDER BY id DESC LIMIT 1;
CALL set_costs(0, 1000000);
CALL change('and then none', $$UPDATE item SET amount = 999 WHERE id = 1000$$);

-- how many changes there will be is known before all are read, also where a slow reader holds a part of the log that was read
CREATE TABLE many AS SELECT i AS id, i % 100 AS v FROM generate_series(1, 90000) i;
ANALYZE many;
SELECT dyntable_create(name, 'SELECT id, v FROM many', '1 day', 'auto') FROM unnest('{c_many, c_slow}'::text[]) name;
CREATE PROCEDURE change_many(share int, query float8, deltas float8[]) LANGUAGE plpgsql AS $$
DECLARE
    done text;
    why  text;
    n    int;
BEGIN
    UPDATE dyntable.position SET full_ms = query, full_cost = NULL, delta_ms = deltas WHERE relid = 'c_many'::regclass;
    UPDATE many SET v = v + 1 WHERE id % 100 < share;
    GET DIAGNOSTICS n = ROW_COUNT;
    COMMIT;
    SELECT action, reason INTO done, why FROM dyntable_refresh('c_many');
    RAISE INFO '% for "%", right within a tenth: %', done, regexp_replace(why, '[0-9]+', 'N', 'g'), abs(substring(why, '[0-9]+')::int - 2 * n) < n / 5;
    COMMIT;
END $$;
CALL change_many(35, 0, array_fill(0, ARRAY[7]) || array_fill(86400000, ARRAY[9]));
CALL change_many(35, 0, array_fill(0, ARRAY[7]) || array_fill(86400000, ARRAY[9]));
-- more of them than there are rows are not tried, whatever history has to say
VACUUM ANALYZE many;
CALL change_many(35, 1000000, '{}');
VACUUM ANALYZE many;
CALL change_many(100, 1000000, '{}');
VACUUM ANALYZE many;
CALL change_many(100, 1000000, array_fill(1, ARRAY[16]));
SELECT * FROM dyntable_verify('c_many');
DROP TABLE c_many, c_slow, many;

-- the query itself becomes incremental, without being asked to: its sources are captured, then it begins anew
CREATE FUNCTION tax(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1 / 5';
INSERT INTO definition (name, query, mode) VALUES
    ('c_tax', 'SELECT tax(amount) AS tax, count(*) AS n FROM small GROUP BY tax(amount)', 'auto');
CALL create_all();
CALL set_costs(0, 1000);
CALL change('in full', $$INSERT INTO small VALUES (101, 400)$$);
ALTER FUNCTION tax(int) IMMUTABLE;
SET client_min_messages = notice;
CALL change('still', $$INSERT INTO small VALUES (102, 400), (103, 900)$$);
SET client_min_messages = warning;
SELECT * FROM last_reasons WHERE name = 'c_tax';
CALL change('anew', $$INSERT INTO small VALUES (104, 400)$$);
SELECT * FROM last_reasons WHERE name = 'c_tax';
CALL change('by delta', $$DELETE FROM small WHERE id IN (101, 103)$$);
SELECT * FROM last_reasons WHERE name = 'c_tax';
SELECT refresh_mode, refresh_mode_reason_code FROM dyntable.dynamic_tables WHERE name = 'c_tax';

-- state tables stay no longer than what they are the state of
CREATE VIEW states AS
    SELECT relid::regclass::text AS name, count(*) FILTER (WHERE no > 0) AS states, count(*) FILTER (WHERE no = 0) AS logs
    FROM dyntable.stage JOIN pg_class c ON c.oid = stage WHERE relid IN (SELECT to_regclass(d.name)::oid FROM definition d) GROUP BY relid;
SELECT * FROM states ORDER BY name COLLATE "C";
SELECT dyntable_alter('c_window', query => 'SELECT id, amount, customer AS before FROM item');
SELECT dyntable_alter('c_auto', refresh_mode => 'full');
SELECT dyntable_alter('c_incremental', refresh_mode => 'full');
SELECT dyntable_create('c_tax', 'SELECT amount AS tax, 1::bigint AS n FROM small', '1 day', or_replace => true);
UPDATE definition SET query = 'SELECT id, amount, customer AS before FROM item' WHERE name = 'c_window';
UPDATE definition SET query = 'SELECT amount AS tax, 1::bigint AS n FROM small' WHERE name = 'c_tax';
CALL change('other definitions', $$UPDATE item SET amount = amount + 2 WHERE id < 9$$);
SELECT * FROM states ORDER BY name COLLATE "C";
SELECT array_agg(stage) AS all_states FROM dyntable.stage WHERE relid IN (SELECT to_regclass(name)::oid FROM definition) \gset
DROP TABLE c_above, c_alike;
SELECT * FROM states ORDER BY name COLLATE "C";
DROP SCHEMA auto_choice CASCADE;
SELECT count(*) AS left_over FROM pg_class WHERE oid = ANY (:'all_states'::oid[]);
SELECT count(*) AS left_over FROM dyntable.stage WHERE stage = ANY (:'all_states'::oid[]);
