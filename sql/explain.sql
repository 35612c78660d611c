--
-- What a refresh would do, without doing it.
--
SET client_min_messages = warning;
CREATE TABLE ex_order (id int PRIMARY KEY, customer int, amount int, placed timestamptz);
CREATE TABLE ex_customer (id int PRIMARY KEY, region text);
INSERT INTO ex_customer SELECT i, 'r' || i % 3 FROM generate_series(1, 9) i;
INSERT INTO ex_order SELECT i, i % 9 + 1, i, now() - i * interval '1 minute' FROM generate_series(1, 90) i;

-- the operators, where they keep state, and the indexes that are missing; no costs, sizes and OIDs, which vary
CREATE FUNCTION ex_plan(name regclass) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(regexp_replace(line, '[0-9]+ (kB|bytes)', 'N kB'), 'stage_[0-9]+', 'stage_N'), '(this one: )[0-9]+', '\1N') FROM dyntable_explain(name) line
    WHERE line !~ '^(costs|estimated|statements|    [0-9]+: )'
$$;
SELECT dyntable_create('ex_region', 'SELECT c.region, count(*) AS orders, max(o.amount) AS largest
    FROM ex_order o JOIN ex_customer c ON c.id = o.customer GROUP BY c.region', '1 day');
INSERT INTO ex_order VALUES (100, 1, 1000, now());
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

-- what auto goes by: none known of a delta, then one
SELECT dyntable_create('ex_large', 'SELECT customer, count(*) AS n FROM ex_order WHERE amount > 10 GROUP BY customer', '1 day');
SELECT regexp_replace(line, '[0-9.]+ ms', 'N ms', 'g') AS costs FROM dyntable_explain('ex_large') line WHERE line ~ '^costs';
UPDATE ex_order SET amount = 20 WHERE id IN (30, 31);
SELECT action FROM dyntable_refresh('ex_large');
SELECT regexp_replace(line, '[0-9.]+ ms', 'N ms', 'g') AS costs FROM dyntable_explain('ex_large') line WHERE line ~ '^costs';

-- state tables, and the log for another table
SELECT dyntable_create('ex_top', 'SELECT customer, n, row_number() OVER (ORDER BY n DESC, customer) AS place FROM ex_large', '1 day');
INSERT INTO ex_order VALUES (102, 3, 300, now());
SELECT action FROM dyntable_refresh('ex_top');
SELECT * FROM ex_plan('ex_large');
SELECT * FROM ex_plan('ex_top');

-- what auto would do, and why
ALTER TABLE ex_order ADD note text;
ALTER TABLE ex_order ALTER note SET STORAGE PLAIN;
UPDATE ex_order SET note = repeat('x', 7000);
INSERT INTO ex_order SELECT i, i % 9, i, now(), repeat('x', 7000) FROM generate_series(1000, 1500) i;
SELECT count(*) FROM dyntable_refresh('ex_large');
UPDATE ex_order SET amount = amount + 1 WHERE id % 100 = 5;
UPDATE dyntable.position SET full_ms = 0, full_cost = NULL, delta_ms = array_fill(60000, ARRAY[16]) WHERE relid = 'ex_large'::regclass;
SELECT regexp_replace(line, '[0-9.]+ ms\)', 'N ms)') AS choice FROM dyntable_explain('ex_large') line WHERE line ~ '^next';
SELECT action FROM dyntable_refresh('ex_large');

-- the indexes that are missing: where they would save much, one for columns that are looked up together
CREATE TABLE ex_sale (id int PRIMARY KEY, shop int, product int, at timestamptz, amount int);
CREATE TABLE ex_stock (shop int, product int, n int);
CREATE TABLE ex_shop (id int, name text);
INSERT INTO ex_sale SELECT i, i % 20, i % 333, now() - i * interval '1 minute', i FROM generate_series(1, 30000) i;
INSERT INTO ex_stock SELECT i % 20, i % 333, i FROM generate_series(1, 6660) i;
INSERT INTO ex_shop SELECT i, 'shop ' || i FROM generate_series(0, 19) i;
VACUUM ANALYZE ex_sale, ex_stock, ex_shop;
\set joined 'SELECT s.id, s.amount, k.n, p.name FROM ex_sale s JOIN ex_stock k ON k.shop = s.shop AND k.product = s.product JOIN ex_shop p ON p.id = s.shop'
CREATE FUNCTION ex_missing(query text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT line FROM dyntable_explain_query(query) line WHERE line ~ '^(mode|reason|    CREATE)'
$$;
SELECT ex_missing(:'joined');
-- one index for two lookups, where the columns of one are some of the other's; a primary key serves
SELECT ex_missing('SELECT s.id, k.n, o.at FROM ex_sale s JOIN ex_stock k ON k.shop = s.shop AND k.n = s.id JOIN ex_sale o ON o.amount = k.n');
SELECT ex_missing('SELECT at, max(amount) AS most, array_agg(shop ORDER BY id) AS shops FROM ex_sale GROUP BY at');
SELECT ex_missing('SELECT at, max(amount) AS most FROM ex_sale GROUP BY at');
SELECT ex_missing('SELECT s.id, k.n FROM ex_sale s LEFT JOIN ex_stock k ON k.shop = s.shop AND k.product = s.product');
SELECT ex_missing('SELECT id, shop, product, sum(amount) OVER (PARTITION BY shop, product ORDER BY id) AS total FROM ex_sale WHERE at > now() - interval ''1 hour''');
SELECT ex_missing('SELECT shop, count(*) AS n, sum(amount) AS total FROM ex_sale GROUP BY shop');
SELECT ex_missing('SELECT id, amount FROM ex_sale ORDER BY amount DESC, id LIMIT 10');
-- few values: no index would save much
SELECT ex_missing('SELECT shop, array_agg(amount ORDER BY id) AS amounts FROM ex_sale GROUP BY shop');
-- by one of the columns is not enough here; a partial index is none
CREATE INDEX ON ex_sale (shop);
CREATE INDEX ON ex_sale (shop, product) WHERE amount > 100;
CREATE INDEX ON ex_stock (product, n);
SELECT ex_missing(:'joined');
CREATE INDEX ON ex_sale (product, shop);
SELECT ex_missing(:'joined');

DROP TABLE ex_order, ex_customer, ex_sale, ex_stock, ex_shop CASCADE;
