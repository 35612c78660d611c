-- latest: the latest row of each key within the last seven days.
-- ideal: keys that changed, and keys whose row crossed the bound, anew by index.
-- @source event
-- @query latest key key
SELECT key, id, at, v FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY at DESC, id DESC) AS place FROM event WHERE at > now() - interval '7 days') e WHERE place = 1

-- @ideal tables
CREATE TABLE latest AS :query;
ALTER TABLE latest ADD PRIMARY KEY (key);
CREATE INDEX ON latest (at);

-- @ideal refresh
BEGIN
    MERGE INTO latest r
    USING (SELECT k.key, e.id, e.at, e.v
        FROM (SELECT key FROM delta.event UNION SELECT key FROM latest WHERE at <= now() - interval '7 days') k
        LEFT JOIN LATERAL (SELECT id, at, v FROM event WHERE key = k.key AND at > now() - interval '7 days' ORDER BY at DESC, id DESC LIMIT 1) e ON true) d
    ON r.key = d.key
    WHEN MATCHED AND d.id IS NULL THEN DELETE
    WHEN MATCHED AND (r.id, r.at, r.v) IS DISTINCT FROM (d.id, d.at, d.v) THEN UPDATE SET id = d.id, at = d.at, v = d.v
    WHEN NOT MATCHED AND d.id IS NOT NULL THEN INSERT VALUES (d.key, d.id, d.at, d.v);
END
