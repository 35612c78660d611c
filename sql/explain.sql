--
-- What a refresh would do, without doing it.
--
SET client_min_messages = warning;
CREATE TABLE ex_order (id int PRIMARY KEY, customer int, amount int, placed timestamptz);
CREATE TABLE ex_customer (id int PRIMARY KEY, region text);
INSERT INTO ex_customer SELECT i, 'r' || i % 3 FROM generate_series(1, 9) i;
INSERT INTO ex_order SELECT i, i % 9 + 1, i, now() - i * interval '1 minute' FROM generate_series(1, 90) i;

-- the operators, where they keep state, and the indexes that are missing; no costs, which vary
CREATE FUNCTION ex_plan(name regclass) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT line FROM dyntable_explain(name) line
    WHERE line !~ '^(estimated|statements|    [0-9]+: )'
$$;
SELECT dyntable_create('ex_region', 'SELECT c.region, count(*) AS orders, max(o.amount) AS largest
    FROM ex_order o JOIN ex_customer c ON c.id = o.customer GROUP BY c.region', '1 day');
INSERT INTO ex_order VALUES (100, 1, 1000, now());
SELECT * FROM ex_plan('ex_region');
CREATE INDEX ON ex_order (customer);
CREATE INDEX ON ex_customer (region);
SELECT * FROM ex_plan('ex_region');

-- nothing has been done
SELECT max(largest) FROM ex_region;
SELECT action, rows_updated FROM dyntable_refresh('ex_region');
SELECT * FROM ex_plan('ex_region');
SELECT max(largest) FROM ex_region;

-- a failure is told, not raised
SELECT dyntable_create('ex_share', 'SELECT id, 1000 / amount AS share FROM ex_order', '1 day');
INSERT INTO ex_order VALUES (101, 1, 0, now());
SELECT * FROM ex_plan('ex_share');

-- a query that is no dynamic table yet
SELECT * FROM dyntable_explain_query('SELECT o.id, c.region, row_number() OVER (PARTITION BY customer ORDER BY placed, o.id) AS nth
    FROM ex_order o LEFT JOIN ex_customer c ON c.id = o.customer WHERE placed >= now() - interval ''1 day''');
SELECT * FROM dyntable_explain_query('SELECT id FROM ex_order o WHERE EXISTS (SELECT FROM ex_customer c WHERE c.id = o.customer)');
SELECT * FROM dyntable_explain_query('SELECT id FROM ex_order ORDER BY placed LIMIT 3');
SELECT * FROM dyntable_explain_query('SELECT id, random() AS r FROM ex_order');
SELECT * FROM dyntable_explain_query('SELECT id, current_user AS who FROM ex_order');
SELECT * FROM dyntable_explain_query('SELECT id FROM ex_order EXCEPT SELECT id FROM ex_customer');
SELECT * FROM dyntable_explain_query('SELECT count(*) AS n, max(now()) AS t FROM ex_order');

DROP TABLE ex_order, ex_customer CASCADE;
