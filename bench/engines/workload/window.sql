-- window: a running sum and a rank in partitions of a hundred rows.
-- ideal: partitions that changed anew, and only rows that differ written.
-- @source sales
-- @query windows key id
SELECT id, customer, amount, sum(amount) OVER (PARTITION BY customer ORDER BY id) AS running, rank() OVER (PARTITION BY customer ORDER BY amount DESC) AS place FROM item

-- @ideal tables
CREATE TABLE windows AS :query;
ALTER TABLE windows ADD PRIMARY KEY (id);

-- @ideal refresh
BEGIN
    MERGE INTO windows r
    USING (SELECT id, customer, amount, sum(amount) OVER (PARTITION BY customer ORDER BY id) AS running,
            rank() OVER (PARTITION BY customer ORDER BY amount DESC) AS place, true AS present
        FROM item WHERE customer IN (SELECT customer FROM delta.item)
        UNION ALL
        SELECT DISTINCT id, 0, 0, 0::bigint, 0::bigint, false FROM delta.item d WHERE weight < 0 AND NOT EXISTS (SELECT FROM item i WHERE i.id = d.id)) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.customer, r.amount, r.running, r.place) IS DISTINCT FROM (d.customer, d.amount, d.running, d.place) THEN
        UPDATE SET customer = d.customer, amount = d.amount, running = d.running, place = d.place
    WHEN NOT MATCHED AND d.present THEN INSERT VALUES (d.id, d.customer, d.amount, d.running, d.place);
END
