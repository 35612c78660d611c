-- union: UNION of two tables.
-- ideal: how often each row occurs in both together.
-- @source pair
-- @query union_rows key key, name
SELECT key, name FROM crm UNION SELECT key, name FROM erp

-- @ideal tables
CREATE TABLE state (key int, name text, n bigint, PRIMARY KEY (key, name));
INSERT INTO state SELECT key, name, count(*) FROM (SELECT key, name FROM crm UNION ALL SELECT key, name FROM erp) x GROUP BY key, name;
CREATE VIEW union_rows AS SELECT key, name FROM state;

-- @ideal refresh
BEGIN
    MERGE INTO state s
    USING (SELECT key, name, sum(weight) AS n
        FROM (SELECT key, name, weight FROM delta.crm UNION ALL SELECT key, name, weight FROM delta.erp) x
        GROUP BY key, name HAVING sum(weight) <> 0) d
    ON s.key = d.key AND s.name = d.name
    WHEN MATCHED AND s.n + d.n = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET n = s.n + d.n
    WHEN NOT MATCHED THEN INSERT VALUES (d.key, d.name, d.n);
END
