-- group_few: GROUP BY with twenty large groups.
-- ideal: signed sums into a table with the sum behind the average.
-- @source sales
-- @query group_few key kind
SELECT kind, count(*) AS n, sum(amount) AS total, avg(price) AS mean FROM item GROUP BY kind

-- @ideal tables
CREATE TABLE state (kind int PRIMARY KEY, n bigint, total bigint, mean numeric, price numeric) WITH (fillfactor = 70);
INSERT INTO state SELECT kind, count(*), sum(amount), avg(price), sum(price) FROM item GROUP BY kind;
CREATE VIEW group_few AS SELECT kind, n, total, mean FROM state;

-- @ideal refresh
BEGIN
    MERGE INTO state s
    USING (SELECT kind, sum(weight) AS n, sum(weight * amount) AS total, sum(weight * price) AS price FROM delta.item GROUP BY kind
        HAVING sum(weight) <> 0 OR sum(weight * amount) <> 0 OR sum(weight * price) <> 0) d
    ON s.kind = d.kind
    WHEN MATCHED AND s.n + d.n = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET n = s.n + d.n, total = s.total + d.total, mean = (s.price + d.price) / (s.n + d.n), price = s.price + d.price
    WHEN NOT MATCHED THEN INSERT VALUES (d.kind, d.n, d.total, d.price / d.n, d.price);
END
