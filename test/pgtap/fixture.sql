-- How users test their own dynamic tables: sources, rows and refreshes in one
-- transaction that is rolled back.  Create and refresh in a transaction that
-- has itself written the source see what it has written.
BEGIN;
SELECT plan(30);

CREATE SCHEMA fixture;
SET LOCAL search_path = fixture, public;
SET LOCAL client_min_messages = warning;
CREATE TABLE orders (id int PRIMARY KEY, customer text, amount numeric(10,2), at timestamptz DEFAULT now());
INSERT INTO orders VALUES (1, 'ann', 10.00), (2, 'bob', 5.50), (3, 'ann', 1.25), (4, NULL, 2.00);

SELECT lives_ok($$SELECT dyntable_create('totals', 'SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer', 'downstream')$$, 'create over a table of this transaction');
SELECT lives_ok($$SELECT dyntable_create('large', 'SELECT customer FROM totals WHERE total > 10', 'downstream')$$, 'and another over it');
SELECT results_eq('SELECT * FROM totals ORDER BY customer', $$VALUES ('ann', 2::bigint, 11.25), ('bob', 1, 5.50), (NULL, 1, 2.00)$$, 'filled at creation');
SELECT results_eq('TABLE large', $$VALUES ('ann')$$, 'and what reads it');

-- a table is a plain table with the columns of its query
SELECT columns_are('fixture', 'totals', ARRAY['customer', 'n', 'total']);
SELECT col_type_is('fixture', 'totals', 'n', 'bigint', 'count is a bigint');
SELECT throws_ok($$INSERT INTO totals VALUES ('eve', 1, 1)$$, NULL, NULL, 'it cannot be inserted into');
SELECT throws_ok($$UPDATE totals SET n = 0$$, NULL, NULL, 'nor updated');
SELECT throws_ok($$DELETE FROM totals$$, NULL, NULL, 'nor deleted from');
SELECT throws_ok($$TRUNCATE totals$$, NULL, NULL, 'nor truncated');

-- written in this transaction: refreshed under its own view of the data
INSERT INTO orders VALUES (5, 'bob', 100);
UPDATE orders SET amount = 0 WHERE id = 3;
DELETE FROM orders WHERE customer IS NULL;
SELECT results_eq('SELECT count(*) FROM totals WHERE customer IS NULL', 'VALUES (1::bigint)', 'nothing changes before a refresh');
SELECT results_eq($$SELECT name::text, action <> 'NO_DATA' FROM dyntable_refresh('large')$$, $$VALUES ('totals', true), ('large', true)$$, 'refresh brings both to date, upstream first');
SELECT results_eq('SELECT * FROM totals ORDER BY customer', $$VALUES ('ann', 2::bigint, 10.00), ('bob', 2, 105.50)$$, 'the transaction''s own changes are in it');
SELECT results_eq('TABLE large', $$VALUES ('bob')$$, 'and in what reads it');
SELECT results_eq($$SELECT * FROM dyntable_verify('large')$$, 'VALUES (0::bigint, 0::bigint)', 'verify agrees');

-- a savepoint takes a refresh back with the change
SAVEPOINT before;
TRUNCATE orders;
SELECT isnt_empty($$SELECT * FROM dyntable_refresh('large')$$, 'refresh after TRUNCATE');
SELECT is_empty('TABLE totals', 'nothing is left');
ROLLBACK TO before;
SELECT results_eq('SELECT count(*) FROM totals', 'VALUES (2::bigint)', 'the refresh is undone with it');
SELECT results_eq($$SELECT * FROM dyntable_verify('totals')$$, 'VALUES (0::bigint, 0::bigint)', 'and the next one is right');

-- what a definition says of now() is tested at moments of the test's choice
UPDATE orders SET at = timestamptz '2030-01-01 00:00+00' + id * interval '1 hour';
SET LOCAL dyntable.data_timestamp = '2030-01-01 03:00+00';
SELECT lives_ok($$SELECT dyntable_create('recent', 'SELECT id FROM orders WHERE at > now() - interval ''2 hours'' AND at <= now()', 'downstream')$$, 'create at a moment');
SELECT results_eq('SELECT id FROM recent ORDER BY id', 'VALUES (2), (3)', 'filled as of it');
SET LOCAL dyntable.data_timestamp = '2030-01-01 05:00+00';
SELECT results_eq($$SELECT data_timestamp FROM dyntable_refresh('recent')$$, $$VALUES (timestamptz '2030-01-01 05:00+00')$$, 'refreshed two hours later');
SELECT results_eq('SELECT id FROM recent ORDER BY id', 'VALUES (5)', 'the window has moved by itself');
RESET dyntable.data_timestamp;
SELECT lives_ok($$SELECT dyntable_drop('recent')$$, 'dropped');

-- the views see what this transaction sees
SELECT results_eq($$SELECT source_relid::regclass::text FROM dyntable.dependencies WHERE relid = 'large'::regclass$$, $$VALUES ('totals')$$, 'the dependency is recorded');
SELECT results_eq($$SELECT count(*) FROM dyntable.dynamic_tables WHERE schema_name = 'fixture'$$, 'VALUES (2::bigint)', 'both tables are listed');
SELECT throws_ok('DROP TABLE orders', '2BP01', NULL, 'the source cannot be dropped');
SELECT throws_ok('DROP TABLE totals', '2BP01', NULL, 'nor what others read');
SELECT lives_ok($$SELECT dyntable_drop('totals', cascade => true)$$, 'with cascade it can');
SELECT is_empty($$SELECT FROM dyntable.dynamic_tables WHERE schema_name = 'fixture'$$, 'and both are gone');
SELECT * FROM finish();
ROLLBACK;
