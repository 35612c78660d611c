-- distinct: SELECT DISTINCT.
-- ideal: how often each row occurs.
-- @source sales
-- @query distinct_rows key customer, kind
SELECT DISTINCT customer, kind FROM item

-- @ideal tables
CREATE TABLE state (customer int, kind int, n bigint, PRIMARY KEY (customer, kind)) WITH (fillfactor = 70);
INSERT INTO state SELECT customer, kind, count(*) FROM item GROUP BY customer, kind;
CREATE VIEW distinct_rows AS SELECT customer, kind FROM state;

-- @ideal refresh
BEGIN
    MERGE INTO state s
    USING (SELECT customer, kind, sum(weight) AS n FROM delta.item GROUP BY customer, kind HAVING sum(weight) <> 0) d
    ON s.customer = d.customer AND s.kind = d.kind
    WHEN MATCHED AND s.n + d.n = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET n = s.n + d.n
    WHEN NOT MATCHED THEN INSERT VALUES (d.customer, d.kind, d.n);
END
