--
-- Bad input: each gives one clear error and leaves nothing behind.
--
-- A failed statement is shown as its SQLSTATE, message, detail and hint.
CREATE FUNCTION attempt(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    EXECUTE command;
    RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT state || ': ' || message;
    IF detail <> '' THEN RETURN NEXT '  ' || detail; END IF;
    IF hint <> '' THEN RETURN NEXT '  ' || hint; END IF;
END $$;
\pset tuples_only on
\pset format unaligned

CREATE TABLE bad_source (id int PRIMARY KEY, k int, v text);
CREATE TEMP TABLE bad_temp (id int);
CREATE UNLOGGED TABLE bad_unlogged (id int PRIMARY KEY);
CREATE ROLE regress_dyn_bad;
CREATE SCHEMA bad_schema AUTHORIZATION regress_dyn_bad;

-- Names
SELECT attempt($$SELECT dyntable_create(NULL, 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('two words', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('"unclosed', 'SELECT id FROM bad_source')$$);
SELECT attempt(format('SELECT dyntable_create(%L, %L)', repeat('x', 64), 'SELECT 1 AS a'));
SELECT attempt(format('SELECT dyntable_create(%L, %L)', 'public."' || repeat('.', 64) || '"', 'SELECT 1 AS a'));
SELECT attempt($$SELECT dyntable_create('bad_source', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('bad_source', 'SELECT id FROM bad_source', or_replace => true)$$);
SELECT attempt($$SELECT dyntable_create('pg_catalog.bad', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('information_schema.bad', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('pg_toast.bad', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('dyntable.bad', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('pg_temp.bad', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('no_such_schema.bad', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('elsewhere.public.bad', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('a.b.c.d', 'SELECT id FROM bad_source')$$);

-- Queries
SELECT attempt($$SELECT dyntable_create('bad', NULL)$$);
SELECT attempt($$SELECT dyntable_create('bad', '')$$);
SELECT attempt($$SELECT dyntable_create('bad', ' ; -- nothing')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT 1 AS a; SELECT 2 AS a')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'INSERT INTO bad_source VALUES (1)')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'CREATE TABLE bad2 AS SELECT 1 AS a')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'EXPLAIN SELECT 1')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id INTO bad2 FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source WHERE id = $1')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'WITH w AS (DELETE FROM bad_source RETURNING id) SELECT id FROM w')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source FOR UPDATE')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_temp')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM no_such_table')$$);

-- Errors of the parser point into the user's text
SELECT dyntable_create('bad', 'SELECT id
FROM bad_source WHER id = 1');
SELECT dyntable_create('bad', 'SELECT nope FROM bad_source');

-- Columns
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id, k + 1 FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id, k AS id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT ROW(id, k) AS r FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT xmin FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT FROM bad_source')$$);

-- Options
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', target_lag => '1 minute', schedule => '* * * * *')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', schedule => '61 * * * *')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', target_lag => '-5 minutes')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', target_lag => '2 months')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', target_lag => '99 milliseconds')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', target_lag => '0')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', target_lag => 'soon')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', refresh_mode => 'fast')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', initialize => 'later')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', warehouse => 'no_such_warehouse')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_source', or_replace => true, if_not_exists => true)$$);

-- What cannot be incremental is refused, or refreshed in full with a warning
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id, random() AS r FROM bad_source', refresh_mode => 'incremental')$$);
SELECT attempt($$SELECT dyntable_create('bad', 'SELECT id FROM bad_unlogged', refresh_mode => 'incremental')$$);
SELECT dyntable_create('bad_full', 'SELECT id FROM bad_unlogged');
SELECT refresh_mode, incremental, reason_code FROM dyntable.dynamic_table WHERE relid = 'bad_full'::regclass;
SELECT attempt($$SELECT dyntable_refresh('bad_full', 'bad_full')$$);
SELECT dyntable_drop('bad_full');

-- What is no dynamic table
SELECT attempt($$SELECT dyntable_refresh('bad_source')$$);
SELECT attempt($$SELECT dyntable_refresh('no_such_table')$$);
SELECT attempt($$SELECT dyntable_refresh(NULL)$$);
SELECT attempt($$SELECT dyntable_verify('bad_source')$$);
SELECT attempt($$SELECT dyntable_alter('bad_source', target_lag => '1 hour')$$);
SELECT attempt($$SELECT dyntable_suspend('bad_source')$$);
SELECT attempt($$SELECT dyntable_resume(NULL)$$);
SELECT attempt($$SELECT dyntable_drop('bad_source')$$);
SELECT attempt($$SELECT dyntable_drop('no_such_table')$$);
SELECT dyntable_drop('no_such_table', if_exists => true);

-- Transactions that cannot
BEGIN READ ONLY;
SELECT dyntable_create('bad', 'SELECT id FROM bad_source');
ROLLBACK;
BEGIN READ ONLY;
SELECT dyntable_refresh();
ROLLBACK;

-- Cycles
SELECT dyntable_create('bad_one', 'SELECT id, k FROM bad_source', refresh_mode => 'full');
CREATE VIEW bad_view AS SELECT id, k FROM bad_one;
SELECT dyntable_create('bad_two', 'SELECT id, k FROM bad_view', refresh_mode => 'full');
SELECT attempt($$SELECT dyntable_alter('bad_one', query => 'SELECT id, k FROM bad_two')$$);
SELECT attempt($$SELECT dyntable_create('bad_one', 'SELECT id, k FROM bad_view', or_replace => true)$$);
SELECT attempt($$CREATE OR REPLACE VIEW bad_view AS SELECT id, k FROM bad_two$$);

-- Changes that a table's columns do not allow
SELECT attempt($$SELECT dyntable_alter('bad_one', query => 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_alter('bad_one', target_lag => '1 hour', schedule => '* * * * *')$$);

-- Rights
GRANT USAGE ON SCHEMA public TO regress_dyn_bad;
SET ROLE regress_dyn_bad;
SELECT attempt($$SELECT dyntable_create('bad_schema.bad', 'SELECT id FROM bad_source')$$);
SELECT attempt($$SELECT dyntable_create('bad_schema.bad', 'SELECT id FROM bad_source', initialize => 'on_schedule')$$);
SELECT attempt($$SELECT dyntable_create('pg_catalog.bad', 'SELECT 1 AS id')$$);
SELECT attempt($$SELECT dyntable_refresh('bad_one')$$);
SELECT attempt($$SELECT dyntable_verify('bad_one')$$);
SELECT attempt($$SELECT dyntable_alter('bad_one', target_lag => '1 hour')$$);
SELECT attempt($$SELECT dyntable_suspend('bad_one')$$);
SELECT attempt($$SELECT dyntable_drop('bad_one')$$);
RESET ROLE;
GRANT SELECT ON bad_source TO regress_dyn_bad;
SET ROLE regress_dyn_bad;
SELECT attempt($$SELECT dyntable_create('bad_schema.bad', 'SELECT k FROM bad_source')$$);
RESET ROLE;

-- A moment that never comes
SELECT attempt($$SELECT dyntable_wait('bad_one', 'infinity')$$);

-- Nothing is left behind
SELECT relid FROM dyntable.dynamic_table WHERE relid::text LIKE 'bad%' ORDER BY relid::text;
SELECT relname FROM pg_class WHERE relname IN ('bad', 'bad2');
DROP TABLE bad_source, bad_temp, bad_unlogged CASCADE;
SELECT count(*) FROM dyntable.dynamic_table WHERE relid::text LIKE 'bad%';
DROP SCHEMA bad_schema;
REVOKE USAGE ON SCHEMA public FROM regress_dyn_bad;
DROP ROLE regress_dyn_bad;
DROP FUNCTION attempt(text);
