-- landing: what two systems delivered of visits and, few, of facilities, in several
-- extractions over eight days; some leave the window of seven days soon.

-- @tables
CREATE TABLE facility (id int PRIMARY KEY, system text NOT NULL, key int NOT NULL, at timestamptz NOT NULL, name text NOT NULL, state text);
CREATE TABLE visit (id int PRIMARY KEY, system text NOT NULL, key int NOT NULL, at timestamptz NOT NULL, appointment int NOT NULL, event_at timestamptz NOT NULL,
    facility int NOT NULL, kind text NOT NULL, minutes int);
INSERT INTO facility SELECT i, CASE i % 2 WHEN 0 THEN 'OMS' ELSE 'VEMS' END, i % (:small / 4 + 1), now() - i % 190 * interval '1 hour',
    'Facility ' || i % 97, CASE WHEN i % 11 > 0 THEN 'state ' || i % 50 END
FROM generate_series(1, :small) i;
INSERT INTO visit SELECT i, CASE i % 10 WHEN 0 THEN 'OMS' ELSE 'VEMS' END, i % (:rows / 2), now() - CASE i % 50 WHEN 1 THEN interval '7 days' - (i % 1200) * interval '1 second'
        ELSE (i * 7919::bigint) % 691200 * interval '1 second' END,
    i % (:rows / 8), '2026-01-01'::timestamptz + i * interval '1 minute', i % (:small / 4 + 1), 'kind ' || i % 7, i % 90
FROM generate_series(1, :rows) i;
CREATE INDEX ON facility (key);
CREATE INDEX ON facility (at);
CREATE INDEX ON visit (key);
CREATE INDEX ON visit (at);
CREATE INDEX ON visit (appointment);
CREATE INDEX ON visit (facility);

-- @mixed
UPDATE visit SET minutes = minutes + 1, kind = 'kind ' || (id + :batch) % 7 WHERE id IN (SELECT bench.pick(:batch, :rows, 1, :updates));
DELETE FROM visit WHERE id IN (SELECT bench.pick(:batch, :rows, :updates + 1, :updates + :deletes));
INSERT INTO visit SELECT :next + i, 'VEMS', (i * 17 + :batch) % (:rows / 2), now() - i % 60 * interval '1 minute', i % (:rows / 8),
    '2026-11-01'::timestamptz + i * interval '1 minute', i % (:small / 4 + 1), 'kind ' || i % 7, i % 90
FROM generate_series(1, :inserts) i;
UPDATE facility SET name = name || '!' WHERE id IN (SELECT bench.pick(:batch, :small, 1, :few));
DELETE FROM facility WHERE id IN (SELECT bench.pick(:batch, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO facility SELECT :next_small + i, 'VEMS', (i * 13 + :batch) % (:small / 4 + 1), now(), 'New facility ' || i, 'state ' || i FROM generate_series(1, (:few > 0)::int) i;

-- @inserts
INSERT INTO visit SELECT :next + i, 'VEMS', (i * 17 + :batch) % (:rows / 2), now() - i % 60 * interval '1 minute', i % (:rows / 8),
    '2026-11-01'::timestamptz + i * interval '1 minute', i % (:small / 4 + 1), 'kind ' || i % 7, i % 90
FROM generate_series(1, :inserts) i;
