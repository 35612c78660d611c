-- star_4: a star of 4 tables.
-- ideal: the rows of all items that changed, or whose dimension did, anew by key.
-- @source star
-- @query star_4 key id
SELECT i.id, i.amount, d1.name AS name1, d2.name AS name2, d3.name AS name3 FROM item i JOIN dim1 d1 ON d1.id = i.dim1 JOIN dim2 d2 ON d2.id = i.dim2 JOIN dim3 d3 ON d3.id = i.dim3

-- @ideal tables
CREATE TABLE star_4 AS :query;
ALTER TABLE star_4 ADD PRIMARY KEY (id);

-- @ideal refresh
BEGIN
    MERGE INTO star_4 r
    USING (SELECT k.id, i.amount, d1.name AS name1, d2.name AS name2, d3.name AS name3, d1.id IS NOT NULL AND d2.id IS NOT NULL AND d3.id IS NOT NULL AS present
        FROM (SELECT id FROM delta.item
              UNION SELECT i.id FROM delta.dim1 d JOIN item i ON i.dim1 = d.id
              UNION SELECT i.id FROM delta.dim2 d JOIN item i ON i.dim2 = d.id
              UNION SELECT i.id FROM delta.dim3 d JOIN item i ON i.dim3 = d.id) k
        LEFT JOIN item i ON i.id = k.id LEFT JOIN dim1 d1 ON d1.id = i.dim1 LEFT JOIN dim2 d2 ON d2.id = i.dim2 LEFT JOIN dim3 d3 ON d3.id = i.dim3) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.amount, r.name1, r.name2, r.name3) IS DISTINCT FROM (d.amount, d.name1, d.name2, d.name3) THEN
        UPDATE SET amount = d.amount, name1 = d.name1, name2 = d.name2, name3 = d.name3
    WHEN NOT MATCHED AND d.present THEN INSERT VALUES (d.id, d.amount, d.name1, d.name2, d.name3);
END
