-- load.sql: the tables filled, at scale factor :sf (0.01 unless set):
--   psql -v sf=0.1 -f schema.sql -f load.sql
-- Scale factor 1 would be 6 million rows of lineitem.
\if :{?sf}
\else
    \set sf 0.01
\endif
\ir functions.sql

INSERT INTO region
SELECT i - 1, (ARRAY['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'])[i], tpch.words(i, 6) FROM generate_series(1, 5) i;

INSERT INTO nation
SELECT i - 1, name, region, tpch.words(i + 100, 6)
FROM (VALUES (1, 'ALGERIA', 0), (2, 'ARGENTINA', 1), (3, 'BRAZIL', 1), (4, 'CANADA', 1), (5, 'EGYPT', 4), (6, 'ETHIOPIA', 0), (7, 'FRANCE', 3),
    (8, 'GERMANY', 3), (9, 'INDIA', 2), (10, 'INDONESIA', 2), (11, 'IRAN', 4), (12, 'IRAQ', 4), (13, 'JAPAN', 2), (14, 'JORDAN', 4), (15, 'KENYA', 0),
    (16, 'MOROCCO', 0), (17, 'MOZAMBIQUE', 0), (18, 'PERU', 1), (19, 'CHINA', 2), (20, 'ROMANIA', 3), (21, 'SAUDI ARABIA', 4), (22, 'VIETNAM', 2),
    (23, 'RUSSIA', 3), (24, 'UNITED KINGDOM', 3), (25, 'UNITED STATES', 1)) n (i, name, region);

INSERT INTO supplier SELECT r.* FROM tpch.size, generate_series(1, suppliers) i, tpch.make_supplier(i) r;
INSERT INTO customer SELECT r.* FROM tpch.size, generate_series(1, customers) i, tpch.make_customer(i) r;
INSERT INTO part SELECT r.* FROM tpch.size, generate_series(1, parts) i, tpch.make_part(i) r;
INSERT INTO partsupp SELECT r.* FROM tpch.size, generate_series(1, parts) i, tpch.make_partsupp(i) r;
INSERT INTO lineitem SELECT r.* FROM tpch.size, generate_series(1, orders) i, tpch.make_lines(4 * i) r;
INSERT INTO orders SELECT r.* FROM tpch.size, generate_series(1, orders) i, tpch.make_order(4 * i) r;
VACUUM ANALYZE region, nation, supplier, customer, part, partsupp, orders, lineitem;
