-- top_n: the first 1,000 of all.
-- ideal: nothing unless a change lies before the last of them; then anew by index.
-- @source sales
-- @indexes
CREATE INDEX ON item (amount DESC, id);
-- @query top_n key id
SELECT id, customer, amount FROM item ORDER BY amount DESC, id LIMIT 1000

-- @ideal tables
CREATE TABLE top_n AS :query;
ALTER TABLE top_n ADD PRIMARY KEY (id);
CREATE INDEX ON top_n (amount, id DESC);

-- @ideal refresh
DECLARE
    last top_n;
BEGIN
    SELECT * INTO last FROM top_n ORDER BY amount, id DESC LIMIT 1;
    IF NOT EXISTS (SELECT FROM delta.item d WHERE d.amount > last.amount OR d.amount = last.amount AND d.id <= last.id) THEN
        RETURN;
    END IF;
    MERGE INTO top_n r
    USING (SELECT coalesce(n.id, o.id) AS id, n.customer, n.amount, n.id IS NOT NULL AS present
        FROM (SELECT id, customer, amount FROM item ORDER BY amount DESC, id LIMIT 1000) n FULL JOIN top_n o ON o.id = n.id) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.customer, r.amount) IS DISTINCT FROM (d.customer, d.amount) THEN UPDATE SET customer = d.customer, amount = d.amount
    WHEN NOT MATCHED THEN INSERT VALUES (d.id, d.customer, d.amount);
END
