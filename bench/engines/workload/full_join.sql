-- full_join: two sources, of each the last version of each key, in a full outer join.
-- ideal: keys that changed on either side, anew by index.
-- @source pair
-- @query full_join key key
SELECT coalesce(c.key, e.key) AS key, c.id AS crm_id, c.name, e.id AS erp_id, e.price
FROM (SELECT DISTINCT ON (key) key, id, name FROM crm ORDER BY key, version DESC, id DESC) c
FULL JOIN (SELECT DISTINCT ON (key) key, id, price FROM erp ORDER BY key, version DESC, id DESC) e ON e.key = c.key

-- @ideal tables
CREATE TABLE full_join AS :query;
ALTER TABLE full_join ADD PRIMARY KEY (key);

-- @ideal refresh
BEGIN
    MERGE INTO full_join r
    USING (SELECT k.key, c.id AS crm_id, c.name, e.id AS erp_id, e.price
        FROM (SELECT key FROM delta.crm UNION SELECT key FROM delta.erp) k
        LEFT JOIN LATERAL (SELECT id, name FROM crm WHERE key = k.key ORDER BY version DESC, id DESC LIMIT 1) c ON true
        LEFT JOIN LATERAL (SELECT id, price FROM erp WHERE key = k.key ORDER BY version DESC, id DESC LIMIT 1) e ON true) d
    ON r.key = d.key
    WHEN MATCHED AND d.crm_id IS NULL AND d.erp_id IS NULL THEN DELETE
    WHEN MATCHED AND (r.crm_id, r.name, r.erp_id, r.price) IS DISTINCT FROM (d.crm_id, d.name, d.erp_id, d.price) THEN
        UPDATE SET crm_id = d.crm_id, name = d.name, erp_id = d.erp_id, price = d.price
    WHEN NOT MATCHED AND (d.crm_id IS NOT NULL OR d.erp_id IS NOT NULL) THEN INSERT VALUES (d.key, d.crm_id, d.name, d.erp_id, d.price);
END
