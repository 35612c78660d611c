-- sales: a big table of items and a small one of customers, a hundred items each.

-- @tables
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, region text NOT NULL);
CREATE TABLE item (id int PRIMARY KEY, customer int NOT NULL, kind int NOT NULL, amount int NOT NULL, price numeric(12,2) NOT NULL, note text NOT NULL);
INSERT INTO customer SELECT i, 'customer number ' || i, 'region ' || i % 50 FROM generate_series(1, :small) i;
INSERT INTO item SELECT i, 1 + (i * 31) % :small, i % 20, (hashint4(i) & 2147483647) % 1000, i % 10007 / 4.0, 'note number ' || i FROM generate_series(1, :rows) i;
CREATE INDEX ON item (customer);

-- @mixed
UPDATE item SET customer = CASE WHEN id % 3 = 0 THEN 1 + (customer + :batch) % :small ELSE customer END, kind = (kind + id % 2) % 20,
    amount = (amount + 331) % 1000, price = price + 1.25
WHERE id IN (SELECT bench.pick(:batch, :rows, 1, :updates));
DELETE FROM item WHERE id IN (SELECT bench.pick(:batch, :rows, :updates + 1, :updates + :deletes));
INSERT INTO item SELECT :next + i, 1 + (i * 17 + :batch) % :small, i % 20, (hashint4(i + :next) & 2147483647) % 1000, i % 10007 / 4.0, 'new note ' || i
FROM generate_series(1, :inserts) i;
UPDATE customer SET name = name || '!', region = 'region ' || (id + :batch) % 50 WHERE id IN (SELECT bench.pick(:batch, :small, 1, :few));
DELETE FROM customer WHERE id IN (SELECT bench.pick(:batch, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO customer SELECT :next_small + i, 'new customer ' || i, 'region ' || i % 50 FROM generate_series(1, (:few > 0)::int) i;

-- @inserts
INSERT INTO item SELECT :next + i, 1 + (i * 17 + :batch) % :small, i % 20, (hashint4(i + :next) & 2147483647) % 1000, i % 10007 / 4.0, 'new note ' || i
FROM generate_series(1, :inserts) i;
