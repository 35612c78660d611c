-- filter: WHERE and expressions.
-- ideal: the last change of each key decides; the table itself is not read.
-- @source sales
-- @query filter key id
SELECT id, customer, amount * 2 AS doubled, upper(note) AS note FROM item WHERE amount >= 300

-- @ideal tables
CREATE TABLE filter AS :query;
ALTER TABLE filter ADD PRIMARY KEY (id);

-- @ideal refresh
BEGIN
    MERGE INTO filter r
    USING (SELECT DISTINCT ON (id) id, customer, amount * 2 AS doubled, upper(note) AS note, weight > 0 AND amount >= 300 AS present
        FROM delta.item ORDER BY id, seq DESC) d
    ON r.id = d.id
    WHEN MATCHED AND NOT d.present THEN DELETE
    WHEN MATCHED AND (r.customer, r.doubled, r.note) IS DISTINCT FROM (d.customer, d.doubled, d.note) THEN
        UPDATE SET customer = d.customer, doubled = d.doubled, note = d.note
    WHEN NOT MATCHED AND d.present THEN INSERT VALUES (d.id, d.customer, d.doubled, d.note);
END
