-- pair: what two systems know of the same keys, in several versions each.

-- @tables
CREATE TABLE crm (id int PRIMARY KEY, key int NOT NULL, version int NOT NULL, name text NOT NULL);
CREATE TABLE erp (id int PRIMARY KEY, key int NOT NULL, version int NOT NULL, name text NOT NULL, price numeric(12,2));
INSERT INTO crm SELECT i, i % (:rows / 3 + 1), i * 7919::bigint % 1000, 'name ' || i % 50021 FROM generate_series(1, :rows) i;
INSERT INTO erp SELECT i, i % (:rows / 3 + 1) + :rows / 20, i * 7919::bigint % 1000, 'name ' || i % 49999, i / 4.0 FROM generate_series(1, :rows / 2) i;
CREATE INDEX ON crm (key, version DESC, id DESC);
CREATE INDEX ON erp (key, version DESC, id DESC);

-- @mixed
UPDATE crm SET version = version + id % 3, name = name || '.' WHERE id IN (SELECT bench.pick(:batch, :rows, 1, :updates));
DELETE FROM crm WHERE id IN (SELECT bench.pick(:batch, :rows, :updates + 1, :updates + :deletes));
INSERT INTO crm SELECT :next + i, (i * 17 + :batch) % (:rows / 3 + 1), i % 1200, 'new name ' || i FROM generate_series(1, :inserts) i;
UPDATE erp SET version = version + id % 3, price = price + 1 WHERE id IN (SELECT bench.pick(:batch, :rows / 2, 1, :few));
DELETE FROM erp WHERE id IN (SELECT bench.pick(:batch, :rows / 2, :few + 1, 2 * :few));
INSERT INTO erp SELECT :next_small + :next + i, (i * 19 + :batch) % (:rows / 3 + 1), i % 1200, 'new name ' || i, i FROM generate_series(1, :few) i;

-- @inserts
INSERT INTO crm SELECT :next + i, (i * 17 + :batch) % (:rows / 3 + 1), i % 1200, 'new name ' || i FROM generate_series(1, :inserts) i;
