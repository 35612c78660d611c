-- star_8: a star of 8 tables.
-- ideal: the rows of all items that changed, or whose dimension did, anew by key.
-- @source star
-- @query star_8 key id
SELECT i.id, i.amount, d1.name AS name1, d2.name AS name2, d3.name AS name3, d4.name AS name4, d5.name AS name5, d6.name AS name6, d7.name AS name7 FROM item i JOIN dim1 d1 ON d1.id = i.dim1 JOIN dim2 d2 ON d2.id = i.dim2 JOIN dim3 d3 ON d3.id = i.dim3 JOIN dim4 d4 ON d4.id = i.dim4 JOIN dim5 d5 ON d5.id = i.dim5 JOIN dim6 d6 ON d6.id = i.dim6 JOIN dim7 d7 ON d7.id = i.dim7

-- @ideal tables
CREATE TABLE star_8 AS :query;
ALTER TABLE star_8 ADD PRIMARY KEY (id);

-- @ideal refresh
BEGIN
    SET LOCAL join_collapse_limit = 1;    -- nine tables in every order take longer to plan than to join
    MERGE INTO star_8 r
    USING (SELECT k.id, i.amount, d1.name AS name1, d2.name AS name2, d3.name AS name3, d4.name AS name4, d5.name AS name5, d6.name AS name6, d7.name AS name7, d1.id IS NOT NULL AND d2.id IS NOT NULL AND d3.id IS NOT NULL AND d4.id IS NOT NULL AND d5.id IS NOT NULL AND d6.id IS NOT NULL AND d7.id IS NOT NULL AS present
        FROM (SELECT id FROM delta.item
              UNION SELECT i.id FROM delta.dim1 d JOIN item i ON i.dim1 = d.id
              UNION SELECT i.id FROM delta.dim2 d JOIN item i ON i.dim2 = d.id
              UNION SELECT i.id FROM delta.dim3 d JOIN item i ON i.dim3 = d.id
              UNION SELECT i.id FROM delta.dim4 d JOIN item i ON i.dim4 = d.id
              UNION SELECT i.id FROM delta.dim5 d JOIN item i ON i.dim5 = d.id
              UNION SELECT i.id FROM delta.dim6 d JOIN item i ON i.dim6 = d.id
              UNION SELECT i.id FROM delta.dim7 d JOIN item i ON i.dim7 = d.id) k
        LEFT JOIN item i ON i.id = k.id LEFT JOIN dim1 d1 ON d1.id = i.dim1 LEFT JOIN dim2 d2 ON d2.id = i.dim2 LEFT JOIN dim3 d3 ON d3.id = i.dim3 LEFT JOIN dim4 d4 ON d4.id = i.dim4 LEFT JOIN dim5 d5 ON d5.id = i.dim5 LEFT JOIN dim6 d6 ON d6.id = i.dim6 LEFT JOIN dim7 d7 ON d7.id = i.dim7) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.amount, r.name1, r.name2, r.name3, r.name4, r.name5, r.name6, r.name7) IS DISTINCT FROM (d.amount, d.name1, d.name2, d.name3, d.name4, d.name5, d.name6, d.name7) THEN
        UPDATE SET amount = d.amount, name1 = d.name1, name2 = d.name2, name3 = d.name3, name4 = d.name4, name5 = d.name5, name6 = d.name6, name7 = d.name7
    WHEN NOT MATCHED AND d.present THEN INSERT VALUES (d.id, d.amount, d.name1, d.name2, d.name3, d.name4, d.name5, d.name6, d.name7);
END
