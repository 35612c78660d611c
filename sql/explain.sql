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
-- no row is looked up by what is compared with a constant
SELECT ex_missing('SELECT s.id, p.name FROM ex_sale s JOIN ex_shop p ON p.id = s.shop WHERE s.amount > 29000 AND s.at >= ''2000-01-01''');
SELECT ex_missing('SELECT s.id, k.n, p.id AS other FROM ex_sale s JOIN ex_stock k ON k.shop = s.shop JOIN ex_sale p ON p.amount = s.amount + k.n AND p.at >= ''2000-01-01'' AND s.product = 5');
-- equal to what is equal: by both columns
SELECT ex_missing('SELECT s.id, k.n, o.at FROM ex_sale s JOIN ex_sale o ON o.product = s.product JOIN ex_stock k ON k.product = s.product AND k.n = o.amount');
-- few values: no index would save much
SELECT ex_missing('SELECT shop, array_agg(amount ORDER BY id) AS amounts FROM ex_sale GROUP BY shop');
-- by one of the columns is not enough here; a partial index is none
CREATE INDEX ON ex_sale (shop);
CREATE INDEX ON ex_sale (shop, product) WHERE amount > 100;
CREATE INDEX ON ex_stock (product, n);
SELECT ex_missing(:'joined');
CREATE INDEX ON ex_sale (product, shop);
SELECT ex_missing(:'joined');

-- one changed row, and what the refreshes of a dozen definitions read of the large tables where the indexes are there:
-- nothing of what did not change but by index, and never the query
CREATE INDEX ON ex_stock (shop, product);
CREATE INDEX ON ex_sale (amount);
CREATE INDEX ON ex_sale (at);
CREATE FUNCTION ex_rows_read() RETURNS numeric LANGUAGE sql AS $$
    SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE relid IN ('ex_sale'::regclass, 'ex_stock'::regclass)
$$;
CREATE PROCEDURE ex_reads(name text, most int, query text) LANGUAGE plpgsql AS $$
DECLARE
    reads numeric;
    changed bigint;
    done text;
    difference bigint;
BEGIN
    PERFORM dyntable_create(name, query, '1 day', 'incremental');
    COMMIT;
    UPDATE ex_sale SET amount = amount + 20000, product = product + 1 WHERE id = 20777;
    COMMIT;
    reads := ex_rows_read();
    SELECT r.action, rows_inserted + rows_updated + rows_deleted INTO done, changed FROM dyntable_refresh(name::regclass) r;
    reads := ex_rows_read() - reads;
    COMMIT;
    SELECT missing + unexpected INTO difference FROM dyntable_verify(name::regclass);
    RAISE INFO '%: %, % rows changed, %, %', name, done, changed, CASE WHEN reads <= most THEN 'at most ' || most || ' read' ELSE reads || ' READ' END,
        CASE WHEN difference = 0 THEN 'equal' ELSE 'DIFFERENT' END;
    PERFORM dyntable_drop(name);
    UPDATE ex_sale SET amount = amount - 20000, product = product - 1 WHERE id = 20777;
    COMMIT;
END $$;
-- so that the tables do not leave capture between two of them
SELECT dyntable_create('ex_keeper', 'SELECT s.id, k.n FROM ex_sale s JOIN ex_stock k ON k.shop = s.shop AND k.product = s.product', '1 day', 'incremental');
CALL ex_reads('ex_filter', 0, 'SELECT id, amount FROM ex_sale WHERE amount % 2 = 1');
CALL ex_reads('ex_inner', 20, :'joined');
CALL ex_reads('ex_left', 40, 'SELECT s.id, k.n FROM ex_sale s LEFT JOIN ex_stock k ON k.shop = s.shop AND k.product = s.product');
CALL ex_reads('ex_full', 80, 'SELECT s.id, k.n FROM ex_sale s FULL JOIN ex_stock k ON k.shop = s.shop AND k.product = s.product');
CALL ex_reads('ex_exists', 20, 'SELECT id FROM ex_sale s WHERE EXISTS (SELECT FROM ex_stock k WHERE k.shop = s.shop AND k.product = s.product)');
CALL ex_reads('ex_without', 80, 'SELECT n FROM ex_stock k WHERE NOT EXISTS (SELECT FROM ex_sale s WHERE k.shop = s.shop AND k.product = s.product)');
CALL ex_reads('ex_groups', 0, 'SELECT shop, count(*) AS n, sum(amount) AS total FROM ex_sale GROUP BY shop');
CALL ex_reads('ex_extremes', 40, 'SELECT product, shop, min(amount) AS lo, max(amount) AS hi FROM ex_sale GROUP BY product, shop');
CALL ex_reads('ex_joined_groups', 40, 'SELECT p.name, sum(s.amount * k.n) AS total FROM ex_sale s JOIN ex_stock k USING (shop, product) JOIN ex_shop p ON p.id = s.shop GROUP BY p.name');
CALL ex_reads('ex_levels', 0, 'SELECT n, count(*) AS groups FROM (SELECT shop, product, count(*) AS n FROM ex_sale GROUP BY 1, 2) x GROUP BY n');
CALL ex_reads('ex_lists', 80, 'SELECT product, shop, array_agg(amount ORDER BY id) AS amounts FROM ex_sale GROUP BY product, shop');
CALL ex_reads('ex_highest', 0, 'SELECT id, amount FROM ex_sale ORDER BY amount DESC, id LIMIT 10');
CALL ex_reads('ex_newest', 40, 'SELECT DISTINCT ON (product, shop) product, shop, id FROM ex_sale ORDER BY product, shop, at DESC, id');
CALL ex_reads('ex_running', 80, 'SELECT id, sum(amount) OVER (PARTITION BY product, shop ORDER BY id) AS total FROM ex_sale');
CALL ex_reads('ex_set', 0, 'SELECT shop, product FROM ex_sale UNION SELECT shop, product FROM ex_stock');
CALL ex_reads('ex_scalar', 80, 'SELECT id, (SELECT sum(n) FROM ex_stock k WHERE k.shop = s.shop AND k.product = s.product) AS n FROM ex_sale s');
CALL ex_reads('ex_recent', 20, 'SELECT id, amount FROM ex_sale WHERE now() - at < interval ''20 days''');

-- of small tables that were never analysed the values are counted: where all are equal a join is dearer
CREATE TABLE ex_alike (v text);
CREATE TABLE ex_unlike (v text);
SELECT dyntable_create('ex_pairs_alike', 'SELECT a.v FROM ex_alike a JOIN ex_alike b ON a.v = b.v', '1 day');
SELECT dyntable_create('ex_pairs_unlike', 'SELECT a.v FROM ex_unlike a JOIN ex_unlike b ON a.v = b.v', '1 day');
INSERT INTO ex_alike SELECT 'x' FROM generate_series(1, 40);
INSERT INTO ex_unlike SELECT 'x' || i FROM generate_series(1, 40) i;
SELECT max(cost) FILTER (WHERE name = 'ex_pairs_alike') > 3 * max(cost) FILTER (WHERE name = 'ex_pairs_unlike') AS dearer
FROM (SELECT name, (regexp_match(line, '^estimated cost: (\d+)'))[1]::int AS cost
      FROM (VALUES ('ex_pairs_alike'), ('ex_pairs_unlike')) t(name), dyntable_explain(name::regclass) e(line)) c;

DROP TABLE ex_alike, ex_unlike CASCADE;

-- of changes it is known between which values they lie
CREATE TABLE ex_event (id int PRIMARY KEY, shop int, at date);
CREATE TABLE ex_place (shop int PRIMARY KEY, name text);
INSERT INTO ex_place SELECT i, 'place ' || i FROM generate_series(1, 2000) i;
ANALYZE ex_place;
SELECT dyntable_create('ex_within', $$SELECT e.id, p.name FROM ex_event e JOIN ex_place p USING (shop) WHERE at >= date '2026-01-01' AND at < date '2026-01-01' + interval '1 month'$$, '1 day');
SELECT dyntable_create('ex_without', $$SELECT e.id, p.name FROM ex_event e JOIN ex_place p USING (shop) WHERE at >= date '2025-01-01' AND at < date '2025-01-01' + interval '1 month'$$, '1 day');
INSERT INTO ex_event SELECT i, i, date '2026-01-01' + i % 30 FROM generate_series(1, 300) i;
SELECT max(cost) FILTER (WHERE name = 'ex_within') > 3 * max(cost) FILTER (WHERE name = 'ex_without') AS dearer
FROM (SELECT name, (regexp_match(line, '^estimated cost: (\d+)'))[1]::int AS cost
      FROM (VALUES ('ex_within'), ('ex_without')) t(name), dyntable_explain(name::regclass) e(line)) c;

DROP TABLE ex_event, ex_place CASCADE;
DROP TABLE ex_order, ex_customer, ex_sale, ex_stock, ex_shop CASCADE;
