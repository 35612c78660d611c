-- top_per_group: the first three of each customer.
-- ideal: customers that changed, anew by index.
-- @source sales
-- @indexes
CREATE INDEX ON item (customer, amount DESC, id);
-- @query top_per_group key id
SELECT id, customer, amount FROM (SELECT *, row_number() OVER (PARTITION BY customer ORDER BY amount DESC, id) AS place FROM item) i WHERE place <= 3

-- @ideal tables
CREATE TABLE top_per_group AS :query;
ALTER TABLE top_per_group ADD PRIMARY KEY (id);
CREATE INDEX ON top_per_group (customer);

-- @ideal refresh
BEGIN
    MERGE INTO top_per_group r
    USING (SELECT coalesce(n.id, o.id) AS id, n.customer, n.amount, n.id IS NOT NULL AS present
        FROM (SELECT i.* FROM (SELECT DISTINCT customer FROM delta.item) k,
            LATERAL (SELECT id, customer, amount FROM item WHERE customer = k.customer ORDER BY amount DESC, id LIMIT 3) i) n
        FULL JOIN (SELECT id FROM top_per_group WHERE customer IN (SELECT customer FROM delta.item)) o ON o.id = n.id) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.customer, r.amount) IS DISTINCT FROM (d.customer, d.amount) THEN UPDATE SET customer = d.customer, amount = d.amount
    WHEN NOT MATCHED THEN INSERT VALUES (d.id, d.customer, d.amount);
END
