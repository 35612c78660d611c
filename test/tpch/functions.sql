-- functions.sql: what a row of TPC-H looks like, as functions of its key, so
-- that the first load and each later batch make rows of one kind.
--
-- Nothing is random: every value is a hash of the key and of a number that
-- stands for the column.  Most values are spread evenly.  So that none of the 22
-- queries is empty in a small database, a few rows are not:
--   * each 50th part is of a kind that queries 2, 8, 17, 19 and 20 ask for;
--   * of 500 orders one is large (query 18): returned goods of late 1993 (query
--     10), what a BUILDING customer ordered in March 1995 (query
--     3), or all from supplier 7 at the beginning of 1996 (query 15); and one
--     is of small quantities of those parts, by air, between July 1994 and December 1996 (query 8).
CREATE SCHEMA tpch;

-- How many rows the first load makes.
CREATE TABLE tpch.size AS
SELECT round(10000 * :sf)::int AS suppliers, round(150000 * :sf)::int AS customers,
    round(200000 * :sf)::int AS parts, round(1500000 * :sf)::int AS orders;

CREATE FUNCTION tpch.pick(key bigint, column_no bigint, n bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT (hashint8extended(key, column_no) & 9223372036854775807) % n $$;

CREATE FUNCTION tpch.one_of(list text[], key bigint, column_no bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT list[1 + tpch.pick(key, column_no, cardinality(list))] $$;

CREATE FUNCTION tpch.words(key bigint, n int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT string_agg(tpch.one_of(ARRAY['accounts', 'barely', 'careful', 'deposits', 'early', 'final', 'gifts', 'held', 'ideas', 'just', 'known',
    'letters', 'mostly', 'never', 'orders', 'packages', 'quiet', 'regular', 'sleepy', 'theory', 'under', 'vivid', 'wake', 'yet'], key, i), ' ')
FROM generate_series(1001, 1000 + n) i
$$;

CREATE FUNCTION tpch.money(key bigint, column_no bigint, low int, high int) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT (low * 100 + tpch.pick(key, column_no, (high - low) * 100 + 1)) / 100.00 $$;

CREATE FUNCTION tpch.phone(nation int, key bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT concat_ws('-', nation + 10, 100 + tpch.pick(key, 11, 900), 100 + tpch.pick(key, 12, 900), 1000 + tpch.pick(key, 13, 9000))
$$;

CREATE FUNCTION tpch.make_supplier(key int) RETURNS SETOF supplier
LANGUAGE sql STABLE AS
$$
SELECT key, format('Supplier#%s', lpad(key::text, 9, '0')), tpch.words(key, 3), nation, tpch.phone(nation, key),
    tpch.money(key, 21, -999, 9999),
    CASE WHEN key % 40 = 9 THEN 'no Customer Complaints ' WHEN key % 40 = 19 THEN 'Customer has Complaints ' ELSE '' END || tpch.words(key + 1000000, 5)
FROM (SELECT (key * 7 + key / 25) % 25) n (nation)
$$;

-- A third of the customers have never ordered.
CREATE FUNCTION tpch.make_customer(key int) RETURNS SETOF customer
LANGUAGE sql STABLE AS
$$
SELECT key, format('Customer#%s', lpad(key::text, 9, '0')), tpch.words(key + 2000000, 3), nation, tpch.phone(nation, key + 2000000),
    tpch.money(key, 31, -999, 9999), (ARRAY['BUILDING', 'AUTOMOBILE', 'FURNITURE', 'HOUSEHOLD', 'MACHINERY'])[1 + key % 5], tpch.words(key + 3000000, 6)
FROM (SELECT tpch.pick(key, 32, 25)::int) n (nation)
$$;

CREATE FUNCTION tpch.retail_price(part bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT tpch.money(part, 41, 900, 2000) $$;

CREATE FUNCTION tpch.part_name(key bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT string_agg(CASE WHEN i = 1 AND key % 50 = 0 THEN 'forest' ELSE tpch.one_of(ARRAY['amber', 'apricot', 'beige', 'black', 'blue', 'bronze', 'brown', 'buff',
    'carmine', 'cherry', 'cobalt', 'copper', 'cream', 'crimson', 'cyan', 'denim', 'dun', 'ebony', 'fawn', 'flax', 'forest', 'gold', 'green', 'grey',
    'hazel', 'honey', 'indigo', 'iris', 'ivory', 'jade', 'jet', 'khaki', 'lava', 'lemon', 'lilac', 'lime', 'mauve', 'mint', 'navy', 'ochre',
    'olive', 'opal', 'orange', 'pearl', 'pink', 'plum', 'purple', 'red', 'rose', 'ruby', 'rust', 'sand', 'silver', 'slate', 'tan', 'teal',
    'umber', 'violet', 'white', 'yellow'], key, 42 + i) END, ' ')
FROM generate_series(1, 5) i
$$;

CREATE FUNCTION tpch.make_part(key int) RETURNS SETOF part
LANGUAGE sql STABLE AS
$$
SELECT key, tpch.part_name(key), 'Manufacturer#' || maker, 'Brand#' || maker || brand, type, size, container, tpch.retail_price(key), tpch.words(key, 2)
FROM (SELECT 1 + tpch.pick(key, 51, 5), 1 + tpch.pick(key, 52, 5),
        concat_ws(' ', tpch.one_of(ARRAY['STANDARD', 'SMALL', 'MEDIUM', 'LARGE', 'ECONOMY', 'PROMO'], key, 53),
            tpch.one_of(ARRAY['ANODIZED', 'BURNISHED', 'PLATED', 'POLISHED', 'BRUSHED'], key, 54),
            tpch.one_of(ARRAY['TIN', 'NICKEL', 'BRASS', 'STEEL', 'COPPER'], key, 55)),
        1 + tpch.pick(key, 56, 50)::int,
        concat_ws(' ', tpch.one_of(ARRAY['SM', 'LG', 'MED', 'JUMBO', 'WRAP'], key, 57),
            tpch.one_of(ARRAY['CASE', 'BOX', 'BAG', 'JAR', 'PKG', 'PACK', 'CAN', 'DRUM'], key, 58))
    WHERE key % 50 <> 0
    UNION ALL
    SELECT * FROM (VALUES (1, 2, 'PROMO PLATED BRASS', 3, 'SM CASE'), (2, 3, 'ECONOMY ANODIZED STEEL', 7, 'MED BOX'),
        (3, 4, 'LARGE POLISHED BRASS', 15, 'LG PACK'), (2, 3, 'STANDARD BRUSHED BRASS', 15, 'MED BOX'), (4, 4, 'ECONOMY ANODIZED STEEL', 15, 'JUMBO JAR')) v
    WHERE key % 50 = 0
    OFFSET CASE WHEN key % 50 = 0 THEN key / 50 % 5 ELSE 0 END LIMIT 1) k (maker, brand, type, size, container)
$$;

-- The i-th (0 to 3) of a part's suppliers.
CREATE FUNCTION tpch.supplier_of(part int, i int, suppliers int) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT 1 + (part + part / suppliers + i * (suppliers / 4)) % suppliers $$;

CREATE FUNCTION tpch.make_partsupp(part int) RETURNS SETOF partsupp
LANGUAGE sql STABLE AS
$$
SELECT part, tpch.supplier_of(part, i, suppliers), 1 + tpch.pick(key, 61, 9999)::int, tpch.money(key, 62, 1, 1000), tpch.words(key, 8)
FROM tpch.size, generate_series(0, 3) i, LATERAL (SELECT part::bigint * 4 + i) k (key)
$$;

-- Orders have the keys 4, 8, …; between them is place for later ones.
CREATE FUNCTION tpch.is_large(orderkey bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT orderkey / 4 % 500 = 0 $$;

CREATE FUNCTION tpch.is_small(orderkey bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT orderkey / 4 % 500 = 1 $$;

CREATE FUNCTION tpch.order_date(orderkey bigint) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT CASE WHEN tpch.is_small(orderkey) THEN date '1994-07-01' + tpch.pick(orderkey, 71, 900)::int
    WHEN NOT tpch.is_large(orderkey) THEN date '1992-01-01' + tpch.pick(orderkey, 71, 2406)::int
    ELSE (ARRAY[date '1993-10-01', date '1995-02-20', date '1995-12-20'])[1 + orderkey / 2000 % 3] + tpch.pick(orderkey, 71, 23)::int END
$$;

CREATE FUNCTION tpch.make_lines(orderkey bigint) RETURNS SETOF lineitem
LANGUAGE sql STABLE AS
$$
SELECT orderkey, part, supplier, line, quantity, quantity * tpch.retail_price(part),
    CASE WHEN tpch.is_large(orderkey) AND orderkey % 4 > 0 THEN 0 ELSE tpch.pick(key, 81, 11) END / 100.00, tpch.pick(key, 82, 9) / 100.00,
    CASE WHEN received > '1995-06-17' THEN 'N' ELSE tpch.one_of(ARRAY['R', 'A'], key, 83) END,
    CASE WHEN shipped > '1995-06-17' THEN 'O' ELSE 'F' END,
    shipped, ordered + 30 + tpch.pick(key, 84, 61)::int, received,
    CASE WHEN tpch.is_small(orderkey) THEN 'DELIVER IN PERSON'
        ELSE tpch.one_of(ARRAY['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'], key, 85) END,
    CASE WHEN tpch.is_small(orderkey) THEN 'AIR'
        ELSE tpch.one_of(ARRAY['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'], key, 86) END,
    tpch.words(key, 3)
FROM tpch.size,
    LATERAL (SELECT tpch.is_large(orderkey) AND orderkey / 2000 % 3 = 2, tpch.order_date(orderkey)) o (of_seven, ordered),
    LATERAL generate_series(1, CASE WHEN tpch.is_large(orderkey) OR tpch.is_small(orderkey) THEN 7 ELSE 1 + tpch.pick(orderkey, 72, 7)::int END) line,
    LATERAL (SELECT orderkey * 8 + line) k (key),
    LATERAL (SELECT 1 + tpch.pick(key, 87, 19)::int) n (nth),
    LATERAL (SELECT CASE WHEN tpch.is_small(orderkey) THEN 50 * (1 + tpch.pick(key, 88, parts / 50))::int
        WHEN of_seven THEN nth * suppliers + (6 + suppliers - nth) % suppliers
        ELSE 1 + tpch.pick(key, 88, parts)::int END) p (part),
    LATERAL (SELECT tpch.supplier_of(part, CASE WHEN of_seven THEN 0 ELSE tpch.pick(key, 89, 4)::int END, suppliers),
        CASE WHEN tpch.is_large(orderkey) THEN CASE WHEN orderkey % 4 > 0 THEN 50 ELSE 44 + tpch.pick(key, 90, 7) END WHEN tpch.is_small(orderkey) THEN 1 + tpch.pick(key, 90, 12)
            ELSE 1 + tpch.pick(key, 90, 50) END,
        ordered + 1 + tpch.pick(key, 91, 121)::int) s (supplier, quantity, shipped),
    LATERAL (SELECT shipped + 1 + tpch.pick(key, 92, 30)::int) r (received)
$$;

CREATE FUNCTION tpch.make_order(orderkey bigint) RETURNS SETOF orders
LANGUAGE sql STABLE AS
$$
SELECT orderkey,
    CASE WHEN tpch.is_large(orderkey) AND orderkey / 2000 % 3 = 1 THEN 15 * tpch.pick(orderkey, 73, customers / 15)::int + 5
        ELSE 3 * tpch.pick(orderkey, 73, customers / 3)::int + 1 + tpch.pick(orderkey, 74, 2)::int END,
    status, total, tpch.order_date(orderkey), tpch.one_of(ARRAY['1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW'], orderkey, 75),
    'Clerk#' || lpad((1 + tpch.pick(orderkey, 76, 1000))::text, 9, '0'), 0,
    tpch.words(orderkey, 3) || CASE WHEN tpch.pick(orderkey, 77, 90) = 0 THEN ' special kind requests' ELSE '' END
FROM tpch.size, LATERAL (SELECT CASE WHEN min(l_linestatus) <> max(l_linestatus) THEN 'P' ELSE min(l_linestatus) END,
        round(sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), 2)
    FROM tpch.make_lines(orderkey)) l (status, total)
$$;
