-- semi_join: EXISTS.
-- ideal: customers that changed, or lost or got such an item, anew by key.
-- @source sales
-- @query semi_join key id
SELECT c.id, c.name, c.region FROM customer c WHERE EXISTS (SELECT 1 FROM item i WHERE i.customer = c.id AND i.amount > 980)

-- @ideal tables
CREATE TABLE semi_join AS :query;
ALTER TABLE semi_join ADD PRIMARY KEY (id);

-- @ideal refresh
BEGIN
    MERGE INTO semi_join r
    USING (SELECT k.id, c.name, c.region, c.id IS NOT NULL AS present
        FROM (SELECT id FROM delta.customer UNION SELECT customer FROM delta.item WHERE amount > 980) k
        LEFT JOIN customer c ON c.id = k.id AND EXISTS (SELECT 1 FROM item i WHERE i.customer = c.id AND i.amount > 980)) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.name, r.region) IS DISTINCT FROM (d.name, d.region) THEN UPDATE SET name = d.name, region = d.region
    WHEN NOT MATCHED AND d.present THEN INSERT VALUES (d.id, d.name, d.region);
END
