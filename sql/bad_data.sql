--
-- A refresh that fails on data names the expression, the table and the key of
-- the row, whatever way the row took; and goes on when it is mended.
--
CREATE SCHEMA bad_data;
SET search_path = bad_data, public;
SET client_min_messages = warning;
CREATE TABLE raw_orders (source text, no int, customer text, amount text, pieces int, kind text, note text, PRIMARY KEY (source, no));
CREATE TABLE customer (code text PRIMARY KEY, name text, rate numeric, number text);
CREATE TABLE keyless (a text, b int);
INSERT INTO customer SELECT 'c' || i, 'name ' || i, i, i::text FROM generate_series(1, 5) i;
INSERT INTO raw_orders SELECT 'web', i, 'c' || (i % 5 + 1), (i * 10)::text, i, CASE WHEN i % 2 = 0 THEN 'x' ELSE 'y' END, 'note'
    FROM generate_series(1, 50) i;
INSERT INTO keyless SELECT i::text, i FROM generate_series(1, 20) i;
CREATE FUNCTION checked(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF $1 = 'forbidden' THEN
        RAISE EXCEPTION 'note is %', $1;
    END IF;
    RETURN upper($1);
END $$;
CREATE VIEW shown AS SELECT source, no, amount::numeric AS amount FROM raw_orders WHERE kind = 'x';
SELECT dyntable_create('in_select', $$SELECT source, no, round(amount::numeric, 1) AS amount, checked(note) AS note FROM raw_orders$$, 'downstream');
SELECT dyntable_create('in_where', $$SELECT source, no FROM raw_orders WHERE kind = 'x' AND amount::numeric > 5$$, 'downstream');
SELECT dyntable_create('in_group', $$SELECT amount::int / 100 AS hundred, count(*) AS n, sum(100 / pieces) AS each FROM raw_orders GROUP BY 1$$, 'downstream');
SELECT dyntable_create('in_on', $$SELECT o.source, o.no, c.name FROM raw_orders o LEFT JOIN customer c ON c.number::int = o.pieces$$, 'downstream');
SELECT dyntable_create('of_both', $$SELECT o.source, o.no, o.pieces / c.rate AS part FROM raw_orders o JOIN customer c ON c.code = o.customer$$, 'downstream');
SELECT dyntable_create('by_view', $$SELECT source, sum(amount) AS amount FROM shown GROUP BY source$$, 'downstream');
SELECT dyntable_create('by_rank', $$SELECT source, customer, amount::int AS amount FROM
    (SELECT *, row_number() OVER (PARTITION BY source, customer ORDER BY no DESC) AS n FROM raw_orders) o WHERE n = 1$$, 'downstream');
SELECT dyntable_create('by_union', $$SELECT b, v::int AS v FROM (SELECT b, a AS v FROM keyless UNION ALL SELECT pieces, amount FROM raw_orders) u$$, 'downstream');
SELECT dyntable_create('without_key', $$SELECT b, a::int AS a FROM keyless$$, 'downstream');
SELECT dyntable_create('in_full', $$SELECT no, amount::int AS amount FROM raw_orders$$, 'downstream', 'full');
SELECT dyntable_create('without_plan', $$SELECT no, amount::int AS amount, random() > 2 AS r FROM raw_orders$$, 'downstream', 'full');
SELECT dyntable_create('upstream', $$SELECT source, no, note FROM raw_orders$$, 'downstream');
SELECT dyntable_create('above', $$SELECT no, checked(note) AS note FROM upstream$$, 'downstream');
-- What a refresh says after a change, and that it works once the change is undone.
CREATE PROCEDURE try(tables text[], change text, undo text) LANGUAGE plpgsql AS $$
DECLARE
    context text; state text; message text; dt text; missing bigint; unexpected bigint; action text;
BEGIN
    EXECUTE change;
    COMMIT;
    FOREACH dt IN ARRAY tables LOOP
        BEGIN
            PERFORM dyntable_refresh(dt);
            state := 'right'; message := 'no error'; context := '';
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT, state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
        END;
        RAISE WARNING '% %', state, message USING DETAIL = split_part(context, E'\n', 1);
    END LOOP;
    EXECUTE undo;
    COMMIT;
    FOREACH dt IN ARRAY tables LOOP
        SELECT r.action INTO action FROM dyntable_refresh(dt) r WHERE r.name = dt::regclass;
        SELECT v.missing, v.unexpected INTO missing, unexpected FROM dyntable_verify(dt::regclass) v;
        IF missing + unexpected > 0 OR action = 'REINITIALIZE' THEN
            RAISE WARNING '% afterwards: %, % missing, % unexpected', dt, action, missing, unexpected;
        END IF;
    END LOOP;
END $$;
\set VERBOSITY default
\set SHOW_CONTEXT never
-- Casts, wherever they stand; the rows that the query does not ask have the same fault
CALL try('{in_select,in_where,in_group,by_view,by_rank,by_union,in_full,without_plan}',
         $$INSERT INTO raw_orders VALUES ('web', 1001, 'c1', 'abc', 1, 'x', 'note'), ('a "shop"', 1002, 'c2', '17', 1, 'x', 'note')$$,
         $$DELETE FROM raw_orders WHERE no > 1000$$);
-- ... where a condition keeps rows from the expression, they are not blamed
CALL try('{in_where,by_view,in_select}',
         $$INSERT INTO raw_orders VALUES ('web', 1001, 'c1', 'abc', 1, 'y', 'note'), ('web', 1002, 'c1', 'abc', 1, 'y', 'note')$$,
         $$DELETE FROM raw_orders WHERE no > 1000$$);
CALL try('{in_where}',
         $$INSERT INTO raw_orders VALUES ('web', 1001, 'c1', 'abc', 1, 'y', 'note'), ('web', 1002, 'c1', 'abc', 1, 'x', 'note')$$,
         $$DELETE FROM raw_orders WHERE no > 1000$$);
-- Arithmetic: the row, not one that only looks like it
CALL try('{in_group}', $$UPDATE raw_orders SET pieces = 0 WHERE no = 7$$, $$UPDATE raw_orders SET pieces = 7 WHERE no = 7$$);
CALL try('{in_group,by_rank}', $$UPDATE raw_orders SET amount = '99999999999' WHERE no = 48$$, $$UPDATE raw_orders SET amount = '480' WHERE no = 48$$);
-- ON, by the side that changed; an expression over both sides
CALL try('{in_on}', $$UPDATE customer SET number = 'nine' WHERE code = 'c3'$$, $$UPDATE customer SET number = '3' WHERE code = 'c3'$$);
CALL try('{of_both}', $$UPDATE customer SET rate = 0 WHERE code = 'c3'$$, $$UPDATE customer SET rate = 3 WHERE code = 'c3'$$);
CALL try('{of_both}', $$INSERT INTO customer VALUES ('new', 'new', 0, '9'); INSERT INTO raw_orders VALUES ('web', 1001, 'new', '1', 1, 'x', 'note')$$,
         $$DELETE FROM raw_orders WHERE no > 1000; DELETE FROM customer WHERE code = 'new'$$);
-- A user's function that raises; a table without a key; a dynamic table as the source
CALL try('{in_select,above}', $$UPDATE raw_orders SET note = 'forbidden' WHERE no = 9$$, $$UPDATE raw_orders SET note = 'note' WHERE no = 9$$);
CALL try('{without_key,by_union}', $$INSERT INTO keyless VALUES ('x', 3)$$, $$DELETE FROM keyless WHERE a = 'x'$$);
-- A fill, and a table that is computed anew
INSERT INTO raw_orders VALUES ('web', 1001, 'c1', 'abc', 1, 'x', 'note');
DO $$
DECLARE context text;
BEGIN
    PERFORM dyntable_create('fresh', 'SELECT no, amount::int AS amount FROM raw_orders', 'downstream');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
    RAISE WARNING '%', split_part(context, E'\n', 1);
END $$;
DELETE FROM raw_orders WHERE no > 1000;
SELECT action FROM dyntable_refresh('in_select');
CALL try('{in_select}', $$CREATE TEMP TABLE kept AS TABLE raw_orders; TRUNCATE raw_orders; INSERT INTO raw_orders SELECT source, no, customer, 'abc', pieces, kind, note FROM kept WHERE no = 4$$,
         $$TRUNCATE raw_orders; INSERT INTO raw_orders TABLE kept$$);
-- What the scheduler found is in the history
SELECT dyntable_create('scheduled', 'SELECT no, amount::int AS amount FROM raw_orders', '1 second');
CREATE PROCEDURE await(condition text) LANGUAGE plpgsql AS $$
DECLARE
    reached boolean;
BEGIN
    FOR i IN 1 .. 1200 LOOP
        EXECUTE condition INTO reached;
        IF reached THEN
            RETURN;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RAISE EXCEPTION 'waited in vain for %', condition;
END $$;
UPDATE raw_orders SET amount = 'abc' WHERE no = 8;
CALL await($$SELECT EXISTS (SELECT FROM dyntable.refresh_history WHERE name = 'scheduled' AND state = 'FAILED')$$);
SELECT DISTINCT state_code, state_message FROM dyntable.refresh_history WHERE name = 'scheduled' AND state = 'FAILED';
-- A mere reader of the table sees that it failed and the code, but no value of a source
CREATE ROLE bad_data_reader;
GRANT USAGE ON SCHEMA bad_data TO bad_data_reader;
GRANT SELECT ON scheduled TO bad_data_reader;
SET ROLE bad_data_reader;
SELECT DISTINCT state, state_code, state_message FROM dyntable.refresh_history WHERE name = 'scheduled' AND state = 'FAILED';
SELECT last_refresh_code, last_refresh_message, coalesce(standstill ~ 'abc', false) AS told FROM dyntable.dynamic_tables WHERE name = 'scheduled';
SELECT DISTINCT state_message FROM dyntable.dynamic_table_refresh_history(name => 'scheduled', error_only => true);
RESET ROLE;
SELECT dyntable_drop('scheduled');
UPDATE raw_orders SET amount = '80' WHERE no = 8;
-- Who reads a table by way of a view only, or under a policy, is told nothing of its rows, and no function sees them
CREATE ROLE bad_data_owner;
GRANT USAGE, CREATE ON SCHEMA bad_data TO bad_data_owner;
GRANT SELECT ON shown TO bad_data_owner;
SELECT dyntable_track('raw_orders', 'bad_data_owner');
SET ROLE bad_data_owner;
SELECT dyntable_create('bad_data.of_owner', 'SELECT no, amount FROM bad_data.shown', 'downstream');
RESET ROLE;
CALL try('{of_owner}', $$UPDATE raw_orders SET amount = 'abc' WHERE no = 8$$, $$UPDATE raw_orders SET amount = '80' WHERE no = 8$$);
GRANT SELECT ON raw_orders TO bad_data_owner;
CALL try('{of_owner}', $$UPDATE raw_orders SET amount = 'abc' WHERE no = 8$$, $$UPDATE raw_orders SET amount = '80' WHERE no = 8$$);
ALTER TABLE raw_orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON raw_orders TO bad_data_owner USING (no < 5);
CALL try('{of_owner}', $$UPDATE raw_orders SET amount = 'abc' WHERE no = 8$$, $$UPDATE raw_orders SET amount = '80' WHERE no = 8$$);
DROP OWNED BY bad_data_owner, bad_data_reader;
DROP SCHEMA bad_data CASCADE;
DROP ROLE bad_data_owner;
DROP ROLE bad_data_reader;
