-- event: events of keys over eight days; some cross the bound of seven days soon.

-- @tables
CREATE TABLE event (id int PRIMARY KEY, key int NOT NULL, at timestamptz NOT NULL, v int NOT NULL);
INSERT INTO event SELECT i, 1 + (i * 31) % (:rows / 10), now() - CASE i % 50 WHEN 0 THEN interval '7 days' - (i % 1200) * interval '1 second'
        ELSE (i * 7919::bigint) % 691200 * interval '1 second' END, i % 1000
FROM generate_series(1, :rows) i;
CREATE INDEX ON event (key, at DESC, id DESC);
CREATE INDEX ON event (at);

-- @mixed
UPDATE event SET v = v + 1, at = CASE WHEN id % 4 = 0 THEN at + interval '1 hour' ELSE at END WHERE id IN (SELECT bench.pick(:batch, :rows, 1, :updates));
DELETE FROM event WHERE id IN (SELECT bench.pick(:batch, :rows, :updates + 1, :updates + :deletes));
INSERT INTO event SELECT :next + i, 1 + (i * 17 + :batch) % (:rows / 10), now() - (i % 100) * interval '1 minute', i % 1000 FROM generate_series(1, :inserts) i;

-- @inserts
INSERT INTO event SELECT :next + i, 1 + (i * 17 + :batch) % (:rows / 10), now() - (i % 100) * interval '1 minute', i % 1000 FROM generate_series(1, :inserts) i;
