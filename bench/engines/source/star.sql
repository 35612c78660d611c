-- star: a big table with keys of seven small ones.

-- @tables
CREATE TABLE dim1 (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO dim1 SELECT i, 'dim 1 ' || i FROM generate_series(1, :small) i;
CREATE TABLE dim2 (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO dim2 SELECT i, 'dim 2 ' || i FROM generate_series(1, :small) i;
CREATE TABLE dim3 (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO dim3 SELECT i, 'dim 3 ' || i FROM generate_series(1, :small) i;
CREATE TABLE dim4 (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO dim4 SELECT i, 'dim 4 ' || i FROM generate_series(1, :small) i;
CREATE TABLE dim5 (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO dim5 SELECT i, 'dim 5 ' || i FROM generate_series(1, :small) i;
CREATE TABLE dim6 (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO dim6 SELECT i, 'dim 6 ' || i FROM generate_series(1, :small) i;
CREATE TABLE dim7 (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO dim7 SELECT i, 'dim 7 ' || i FROM generate_series(1, :small) i;
CREATE TABLE item (id int PRIMARY KEY, dim1 int NOT NULL, dim2 int NOT NULL, dim3 int NOT NULL, dim4 int NOT NULL, dim5 int NOT NULL, dim6 int NOT NULL, dim7 int NOT NULL, amount int NOT NULL);
INSERT INTO item SELECT i, 1 + (i * 31) % :small, 1 + (i * 37) % :small, 1 + (i * 41) % :small, 1 + (i * 43) % :small, 1 + (i * 47) % :small, 1 + (i * 53) % :small, 1 + (i * 59) % :small, i % 1000 FROM generate_series(1, :rows) i;
CREATE INDEX ON item (dim1);
CREATE INDEX ON item (dim2);
CREATE INDEX ON item (dim3);
CREATE INDEX ON item (dim4);
CREATE INDEX ON item (dim5);
CREATE INDEX ON item (dim6);
CREATE INDEX ON item (dim7);

-- @mixed
UPDATE item SET dim1 = CASE WHEN id % 3 = 0 THEN 1 + (dim1 + :batch) % :small ELSE dim1 END, amount = amount + 1
WHERE id IN (SELECT bench.pick(:batch, :rows, 1, :updates));
DELETE FROM item WHERE id IN (SELECT bench.pick(:batch, :rows, :updates + 1, :updates + :deletes));
INSERT INTO item SELECT :next + i, 1 + (i * 31 + :batch) % :small, 1 + (i * 37 + :batch) % :small, 1 + (i * 41 + :batch) % :small, 1 + (i * 43 + :batch) % :small, 1 + (i * 47 + :batch) % :small, 1 + (i * 53 + :batch) % :small, 1 + (i * 59 + :batch) % :small, i % 1000 FROM generate_series(1, :inserts) i;
UPDATE dim1 SET name = name || '!' WHERE id IN (SELECT bench.pick(:batch + 1, :small, 1, :few));
DELETE FROM dim1 WHERE id IN (SELECT bench.pick(:batch + 1, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO dim1 SELECT :next_small + i, 'new dim ' || i FROM generate_series(1, (:few > 0)::int) i;
UPDATE dim2 SET name = name || '!' WHERE id IN (SELECT bench.pick(:batch + 2, :small, 1, :few));
DELETE FROM dim2 WHERE id IN (SELECT bench.pick(:batch + 2, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO dim2 SELECT :next_small + i, 'new dim ' || i FROM generate_series(1, (:few > 0)::int) i;
UPDATE dim3 SET name = name || '!' WHERE id IN (SELECT bench.pick(:batch + 3, :small, 1, :few));
DELETE FROM dim3 WHERE id IN (SELECT bench.pick(:batch + 3, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO dim3 SELECT :next_small + i, 'new dim ' || i FROM generate_series(1, (:few > 0)::int) i;
UPDATE dim4 SET name = name || '!' WHERE id IN (SELECT bench.pick(:batch + 4, :small, 1, :few));
DELETE FROM dim4 WHERE id IN (SELECT bench.pick(:batch + 4, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO dim4 SELECT :next_small + i, 'new dim ' || i FROM generate_series(1, (:few > 0)::int) i;
UPDATE dim5 SET name = name || '!' WHERE id IN (SELECT bench.pick(:batch + 5, :small, 1, :few));
DELETE FROM dim5 WHERE id IN (SELECT bench.pick(:batch + 5, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO dim5 SELECT :next_small + i, 'new dim ' || i FROM generate_series(1, (:few > 0)::int) i;
UPDATE dim6 SET name = name || '!' WHERE id IN (SELECT bench.pick(:batch + 6, :small, 1, :few));
DELETE FROM dim6 WHERE id IN (SELECT bench.pick(:batch + 6, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO dim6 SELECT :next_small + i, 'new dim ' || i FROM generate_series(1, (:few > 0)::int) i;
UPDATE dim7 SET name = name || '!' WHERE id IN (SELECT bench.pick(:batch + 7, :small, 1, :few));
DELETE FROM dim7 WHERE id IN (SELECT bench.pick(:batch + 7, :small, :few + 1, :few + (:few > 0)::int));
INSERT INTO dim7 SELECT :next_small + i, 'new dim ' || i FROM generate_series(1, (:few > 0)::int) i;

-- @inserts
INSERT INTO item SELECT :next + i, 1 + (i * 31 + :batch) % :small, 1 + (i * 37 + :batch) % :small, 1 + (i * 41 + :batch) % :small, 1 + (i * 43 + :batch) % :small, 1 + (i * 47 + :batch) % :small, 1 + (i * 53 + :batch) % :small, 1 + (i * 59 + :batch) % :small, i % 1000 FROM generate_series(1, :inserts) i;
