-- batch.sql: one batch of changes of all tables, as one transaction:
--   psql -v batch=1 -v share=0.001 -f batch.sql
-- Batches are numbered from 1 and told apart by nothing but their number.  Of
-- each table :share (0.001 unless set) of the rows is changed, a third each
-- inserted, deleted and updated, and at least one of each kind; nation and
-- region change in each fifth batch only.
--
-- In a small database so few changes would miss most queries.  Each batch
-- therefore also changes some rows that they look at: one large and one small
-- order (functions.sql), a few lines of such a part, and what belongs to the
-- first supplier of a nation that some query names.
\if :{?share}
\else
    \set share 0.001
\endif
-- compiling would take longer than all the rest
SET jit = off;
BEGIN;

SELECT greatest(1, round(suppliers * :share / 3)) AS n_supplier, greatest(2, round(customers * :share / 3)) AS n_customer,
    greatest(2, round(parts * :share / 3)) AS n_part, greatest(3, round(4 * parts * :share / 3)) AS n_partsupp,
    greatest(3, round(orders * :share / 3)) AS n_orders, suppliers, customers, parts, orders
FROM tpch.size \gset
SELECT (ARRAY[7, 20, 3, 6, 2, 19, 8, 22])[1 + :batch % 8] AS nation \gset
SELECT min(s_suppkey) AS supplier FROM supplier WHERE s_nationkey = :nation \gset

-- Orders with their lines: new ones between the old ones, the first large, the second small.
CREATE TEMP TABLE new_order ON COMMIT DROP AS
SELECT DISTINCT CASE i WHEN 1 THEN 2000 * (1 + tpch.pick(:batch, 201, :orders / 500)) WHEN 2 THEN 2000 * tpch.pick(:batch, 202, :orders / 500) + 4
    ELSE 4 * (1 + tpch.pick(:batch * 100000 + i, 203, :orders)) END + 1 + :batch % 3 AS key
FROM generate_series(1, :n_orders::int) i;
DELETE FROM new_order USING orders WHERE o_orderkey = key;
INSERT INTO lineitem SELECT r.* FROM new_order, tpch.make_lines(key) r;
INSERT INTO orders SELECT r.* FROM new_order, tpch.make_order(key) r;

CREATE TEMP TABLE old_order ON COMMIT DROP AS
SELECT o_orderkey AS key
FROM orders
WHERE o_orderkey IN (SELECT 4 * (1 + tpch.pick(:batch * 100000 + i, 204, :orders)) FROM generate_series(2, :n_orders::int) i)
    OR o_orderkey = 2000 * (1 + tpch.pick(:batch - 4, 201, :orders / 500)) + 1 + (:batch - 4) % 3;
DELETE FROM lineitem WHERE l_orderkey IN (SELECT key FROM old_order);
DELETE FROM orders WHERE o_orderkey IN (SELECT key FROM old_order);

UPDATE orders SET o_orderpriority = CASE o_orderpriority WHEN '1-URGENT' THEN '3-MEDIUM' WHEN '5-LOW' THEN '2-HIGH' ELSE '1-URGENT' END,
    o_comment = CASE WHEN o_comment LIKE '%special%requests%' THEN 'nothing' ELSE 'some special wishes, quiet requests' END
WHERE o_orderkey IN (SELECT 4 * (1 + tpch.pick(:batch * 100000 + i, 205, :orders)) FROM generate_series(1, :n_orders::int, 2) i);
UPDATE orders SET o_custkey = 1 + (o_custkey + :batch) % :customers
WHERE o_orderkey IN (SELECT 4 * (1 + tpch.pick(:batch * 100000 + i, 205, :orders)) FROM generate_series(2, :n_orders::int, 2) i);

-- Lines: amounts, then dates and flags; those of a part of the kind that queries ask for; some of the supplier.
UPDATE lineitem SET l_quantity = 51 - l_quantity, l_extendedprice = round(l_extendedprice / l_quantity * (51 - l_quantity), 2),
    l_discount = (l_discount * 100 + 3)::int % 11 / 100.0
WHERE l_orderkey IN (SELECT 4 * (1 + tpch.pick(:batch * 100000 + i, 206, :orders)) FROM generate_series(1, :n_orders::int) i) AND l_linenumber <= 4 AND l_quantity <= 50;
UPDATE lineitem SET l_receiptdate = l_commitdate + CASE WHEN l_receiptdate > l_commitdate THEN -1 ELSE 3 END,
    l_returnflag = CASE l_returnflag WHEN 'R' THEN 'A' ELSE 'R' END
WHERE l_orderkey IN (SELECT 4 * (1 + tpch.pick(:batch * 100000 + i, 206, :orders)) FROM generate_series(1, :n_orders::int) i) AND l_linenumber > 4;
UPDATE lineitem SET l_quantity = 1 + (l_quantity + 7 * l_linenumber)::int % 12
WHERE (l_orderkey, l_linenumber) IN (SELECT l_orderkey, l_linenumber FROM lineitem
    WHERE l_partkey = 50 * (1 + :batch % (:parts / 50)) ORDER BY l_orderkey, l_linenumber LIMIT 4);
UPDATE lineitem SET l_receiptdate = l_commitdate + CASE WHEN l_receiptdate > l_commitdate THEN -1 ELSE 3 END, l_discount = (l_discount * 100 + 1)::int % 11 / 100.0
WHERE (l_orderkey, l_linenumber) IN (SELECT l_orderkey, l_linenumber FROM lineitem
    WHERE l_suppkey = :supplier AND l_shipdate < '1997-01-01' ORDER BY tpch.pick(l_orderkey * 8 + l_linenumber, 207 + :batch, 1000000) LIMIT 4);

-- Customers: those that go have never ordered.
INSERT INTO customer SELECT r.* FROM generate_series(:customers + :batch * 100000 + 1, :customers + :batch * 100000 + :n_customer) i, tpch.make_customer(i::int) r;
DELETE FROM customer
WHERE c_custkey IN (SELECT 3 * (1 + tpch.pick(:batch * 100000 + i, 211, :customers / 3)) FROM generate_series(1, :n_customer::int) i);
UPDATE customer SET c_acctbal = c_acctbal + 500, c_mktsegment = CASE c_mktsegment WHEN 'BUILDING' THEN 'MACHINERY' ELSE 'BUILDING' END
WHERE c_custkey IN (SELECT 1 + tpch.pick(:batch * 100000 + i, 212, :customers) FROM generate_series(1, :n_customer::int, 2) i);
UPDATE customer SET c_nationkey = :nation, c_phone = tpch.phone(:nation, c_custkey + :batch)
WHERE c_custkey IN (SELECT 1 + tpch.pick(:batch * 100000 + i, 212, :customers) FROM generate_series(2, :n_customer::int, 2) i);

-- Parts with their suppliers: those of three batches ago go, as nobody has ordered them.
INSERT INTO part SELECT r.* FROM generate_series(:parts + :batch * 100000 + 49, :parts + :batch * 100000 + 48 + :n_part) i, tpch.make_part(i::int) r;
INSERT INTO partsupp SELECT r.* FROM generate_series(:parts + :batch * 100000 + 49, :parts + :batch * 100000 + 48 + :n_part) i, tpch.make_partsupp(i::int) r;
DELETE FROM part WHERE p_partkey BETWEEN :parts + (:batch - 3) * 100000 + 49 AND :parts + (:batch - 3) * 100000 + 48 + :n_part;
DELETE FROM partsupp WHERE ps_partkey BETWEEN :parts + (:batch - 3) * 100000 + 49 AND :parts + (:batch - 3) * 100000 + 48 + :n_part;
UPDATE part SET p_size = 1 + (p_size + :batch) % 50, p_retailprice = p_retailprice + 1,
    p_type = CASE WHEN p_type LIKE 'PROMO%' THEN 'SMALL' ELSE 'PROMO' END || substr(p_type, strpos(p_type, ' '))
WHERE p_partkey IN (SELECT 1 + tpch.pick(:batch * 100000 + i, 221, :parts) FROM generate_series(1, :n_part::int, 2) i);
UPDATE part SET p_name = CASE WHEN p_name LIKE 'forest%' THEN 'green' || substr(p_name, 7) ELSE 'forest' || substr(p_name, strpos(p_name, ' ')) END
WHERE p_partkey IN (SELECT 1 + tpch.pick(:batch * 100000 + i, 221, :parts) FROM generate_series(2, :n_part::int, 2) i);

INSERT INTO partsupp SELECT 1 + tpch.pick(:batch * 100000 + i, 231, :parts), :supplier, 100, 10 + i, 'fifth supplier' FROM generate_series(1, :n_partsupp::int) i
ON CONFLICT DO NOTHING;
DELETE FROM partsupp
WHERE (ps_partkey, ps_suppkey) IN (SELECT part, tpch.supplier_of(part, 3, :suppliers)
    FROM (SELECT 1 + tpch.pick(:batch * 100000 + i, 232, :parts) FROM generate_series(1, :n_partsupp::int) i) p (wide), LATERAL (SELECT wide::int) q (part));
UPDATE partsupp SET ps_availqty = 1 + ps_availqty % 9999, ps_supplycost = 1001 - ps_supplycost
WHERE (ps_partkey, ps_suppkey) IN (SELECT part, tpch.supplier_of(part, 0, :suppliers)
    FROM (SELECT 1 + tpch.pick(:batch * 100000 + i, 233, :parts) FROM generate_series(1, :n_partsupp::int) i) p (wide), LATERAL (SELECT wide::int) q (part));
UPDATE partsupp SET ps_availqty = 9999, ps_supplycost = 1000 - :batch
WHERE (ps_partkey, ps_suppkey) IN (SELECT ps_partkey, ps_suppkey FROM partsupp
    WHERE ps_suppkey = :supplier ORDER BY ps_partkey OFFSET 2 * :batch LIMIT 2);
UPDATE partsupp SET ps_availqty = CASE WHEN ps_availqty > 20 THEN 1 ELSE 5000 END WHERE ps_partkey = 50 * (1 + :batch % (:parts / 50));

-- Suppliers: new ones have nothing to sell yet, and go five batches later; one moves to another country for three
-- batches (not to Germany: with one more of ten suppliers there no part would be worth query 11's share).
SELECT CASE :nation WHEN 7 THEN 6 ELSE :nation END AS new_nation \gset
INSERT INTO supplier SELECT r.* FROM generate_series(:suppliers + :batch * 100000 + 1, :suppliers + :batch * 100000 + :n_supplier) i, tpch.make_supplier(i::int) r;
DELETE FROM supplier WHERE s_suppkey BETWEEN :suppliers + (:batch - 5) * 100000 + 1 AND :suppliers + (:batch - 5) * 100000 + :n_supplier;
UPDATE supplier SET s_acctbal = s_acctbal + 100,
    s_comment = CASE WHEN s_comment LIKE '%Customer%Complaints%' THEN 'all is well' ELSE 'Customer: some Complaints' END
WHERE s_suppkey IN (SELECT 1 + tpch.pick(:batch * 100000 + i, 241, :suppliers) FROM generate_series(1, :n_supplier::int) i);
UPDATE supplier SET s_address = 'moved, ' || :batch, s_acctbal = s_acctbal - 1 WHERE s_suppkey = :supplier;
UPDATE supplier SET s_nationkey = :new_nation, s_phone = tpch.phone(:new_nation, s_suppkey) WHERE s_suppkey = 1 + tpch.pick(:batch, 242, :suppliers);
UPDATE supplier SET s_nationkey = r.s_nationkey, s_phone = r.s_phone FROM tpch.make_supplier(1 + tpch.pick(:batch - 3, 242, :suppliers)::int) r(s_suppkey, name, address, s_nationkey, s_phone)
WHERE supplier.s_suppkey = r.s_suppkey AND :batch > 3;

-- Nations and regions, in batches 5, 10, 15 and 20, and so on.
SELECT CASE WHEN :batch % 5 = 0 THEN :batch / 5 % 4 ELSE -1 END AS kind \gset
UPDATE nation SET n_regionkey = CASE n_regionkey WHEN 2 THEN 3 ELSE 2 END WHERE :kind IN (1, 0) AND n_nationkey = 21;
UPDATE nation SET n_name = CASE n_name WHEN 'JAPAN' THEN 'NIPPON' ELSE 'JAPAN' END WHERE :kind = 2 AND n_nationkey = 12;
UPDATE region SET r_name = CASE r_name WHEN 'MIDDLE EAST' THEN 'NEAR EAST' ELSE 'MIDDLE EAST' END, r_comment = 'renamed' WHERE :kind = 2 AND r_regionkey = 4;
INSERT INTO region SELECT 5, 'ANTARCTICA', 'cold' WHERE :kind = 3;
INSERT INTO nation SELECT 25, 'SOUTH POLE', 5, 'dark' WHERE :kind = 3;
DELETE FROM nation WHERE :kind = 0 AND n_nationkey = 25;
DELETE FROM region WHERE :kind = 0 AND r_regionkey = 5;
UPDATE region SET r_comment = 'batch ' || :batch WHERE :kind = 1 AND r_regionkey = 1;
COMMIT;
