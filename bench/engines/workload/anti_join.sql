-- anti_join: NOT EXISTS.
-- ideal: customers that changed, or lost or got such an item, anew by key.
-- @source sales
-- @query anti_join key id
SELECT c.id, c.name, c.region FROM customer c WHERE NOT EXISTS (SELECT 1 FROM item i WHERE i.customer = c.id AND i.amount > 980)

-- @ideal tables
CREATE TABLE anti_join AS :query;
ALTER TABLE anti_join ADD PRIMARY KEY (id);

-- @ideal refresh
BEGIN
    MERGE INTO anti_join r
    USING (SELECT k.id, c.name, c.region, c.id IS NOT NULL AS present
        FROM (SELECT id FROM delta.customer UNION SELECT customer FROM delta.item WHERE amount > 980) k
        LEFT JOIN customer c ON c.id = k.id AND NOT EXISTS (SELECT 1 FROM item i WHERE i.customer = c.id AND i.amount > 980)) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.name, r.region) IS DISTINCT FROM (d.name, d.region) THEN UPDATE SET name = d.name, region = d.region
    WHEN NOT MATCHED AND d.present THEN INSERT VALUES (d.id, d.name, d.region);
END
