-- join_group: a join, then GROUP BY.
-- ideal: changed items with the customers as they are, and the items as they
-- were with changed customers; signed sums.
-- @source sales
-- @query join_group key region, kind
SELECT c.region, i.kind, count(*) AS n, sum(i.amount) AS total FROM item i JOIN customer c ON c.id = i.customer GROUP BY c.region, i.kind

-- @ideal tables
CREATE TABLE join_group (region text, kind int, n bigint, total bigint, PRIMARY KEY (region, kind)) WITH (fillfactor = 70);
INSERT INTO join_group :query;

-- @ideal refresh
BEGIN
    MERGE INTO join_group s
    USING (SELECT region, kind, sum(weight) AS n, sum(weight * amount) AS total
        FROM (SELECT c.region, d.kind, d.weight, d.amount FROM delta.item d JOIN customer c ON c.id = d.customer
            UNION ALL
            SELECT d.region, i.kind, d.weight, i.amount FROM delta.customer d JOIN item i ON i.customer = d.id
            UNION ALL
            SELECT c.region, i.kind, - c.weight * i.weight, i.amount FROM delta.customer c JOIN delta.item i ON i.customer = c.id) x
        GROUP BY region, kind
        HAVING sum(weight) <> 0 OR sum(weight * amount) <> 0) d
    ON s.region = d.region AND s.kind = d.kind
    WHEN MATCHED AND s.n + d.n = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET n = s.n + d.n, total = s.total + d.total
    WHEN NOT MATCHED THEN INSERT VALUES (d.region, d.kind, d.n, d.total);
END
