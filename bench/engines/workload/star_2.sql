-- star_2: a star of 2 tables.
-- ideal: the rows of all items that changed, or whose dimension did, anew by key.
-- @source star
-- @query star_2 key id
SELECT i.id, i.amount, d1.name AS name1 FROM item i JOIN dim1 d1 ON d1.id = i.dim1

-- @ideal tables
CREATE TABLE star_2 AS :query;
ALTER TABLE star_2 ADD PRIMARY KEY (id);

-- @ideal refresh
BEGIN
    MERGE INTO star_2 r
    USING (SELECT k.id, i.amount, d1.name AS name1, d1.id IS NOT NULL AS present
        FROM (SELECT id FROM delta.item
              UNION SELECT i.id FROM delta.dim1 d JOIN item i ON i.dim1 = d.id) k
        LEFT JOIN item i ON i.id = k.id LEFT JOIN dim1 d1 ON d1.id = i.dim1) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.amount, r.name1) IS DISTINCT FROM (d.amount, d.name1) THEN
        UPDATE SET amount = d.amount, name1 = d.name1
    WHEN NOT MATCHED AND d.present THEN INSERT VALUES (d.id, d.amount, d.name1);
END
