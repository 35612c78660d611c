--
-- A key that rests on a constraint goes with the constraint.
--
SET client_min_messages = warning;
CREATE TABLE ck_source (id int PRIMARY KEY, grp int, v int);
INSERT INTO ck_source SELECT i, i % 3, i FROM generate_series(1, 9) i;
SELECT dyntable_create('ck_rows', 'SELECT id, v FROM ck_source WHERE v > 0', '1 day', 'incremental');
SELECT dyntable_create('ck_ranked', 'SELECT id, row_number() OVER (PARTITION BY grp ORDER BY v, id) AS nth FROM ck_source', '1 day', 'incremental');
SELECT indexdef FROM pg_indexes WHERE tablename = 'ck_rows';

-- an index of the user's on another column stays, and is not in the way
CREATE UNIQUE INDEX ck_v ON ck_rows (v);
UPDATE ck_source SET v = 19 - v;
SELECT name, action FROM dyntable_refresh('ck_rows', 'ck_ranked');
SELECT * FROM dyntable_verify('ck_rows');
UPDATE ck_source SET v = CASE WHEN v % 2 = 0 THEN v + 1 ELSE v - 1 END;
SELECT name, action FROM dyntable_refresh('ck_rows', 'ck_ranked');
SELECT * FROM dyntable_verify('ck_rows');
DROP INDEX ck_v;

-- without the primary key a row may come twice
ALTER TABLE ck_source DROP CONSTRAINT ck_source_pkey;
INSERT INTO ck_source VALUES (1, 1, 18), (1, 1, 18), (2, 0, 5);
SELECT name, action, reason FROM dyntable_refresh('ck_rows', 'ck_ranked');
SELECT * FROM dyntable_verify('ck_rows');
SELECT * FROM dyntable_verify('ck_ranked');
SELECT indexdef FROM pg_indexes WHERE tablename = 'ck_rows';
DELETE FROM ck_source WHERE ctid IN (SELECT ctid FROM ck_source WHERE id = 1 LIMIT 1);
SELECT name, action FROM dyntable_refresh('ck_rows', 'ck_ranked');
SELECT * FROM dyntable_verify('ck_rows');
SELECT count(*) FROM ck_rows WHERE id = 1;

-- and with it again, it has its key again
DELETE FROM ck_source WHERE id = 1;
INSERT INTO ck_source VALUES (1, 1, 1);
DELETE FROM ck_source WHERE id = 2;
INSERT INTO ck_source VALUES (2, 1, 2);
ALTER TABLE ck_source ADD PRIMARY KEY (id);
SELECT name, action, reason FROM dyntable_refresh('ck_rows', 'ck_ranked');
UPDATE ck_source SET v = v + 1 WHERE id = 1;
SELECT name, action, rows_updated FROM dyntable_refresh('ck_rows');
SELECT * FROM dyntable_verify('ck_ranked');
DROP TABLE ck_source CASCADE;

-- an index that tells apart what "=" of the column does not, is no key
CREATE COLLATION ck_loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE TABLE ck_words (word text COLLATE ck_loose NOT NULL, v int);
CREATE UNIQUE INDEX ON ck_words (word COLLATE "C");
INSERT INTO ck_words VALUES ('role', 1), ('Role', 2), ('rôle', 3);
SELECT dyntable_create('ck_spelled', 'SELECT word, v FROM ck_words', '1 day', 'incremental');
DELETE FROM ck_words WHERE v = 2;
UPDATE ck_words SET v = 5 WHERE v = 3;
SELECT name, action, reason FROM dyntable_refresh('ck_spelled');
SELECT * FROM dyntable_verify('ck_spelled');
SELECT word, v FROM ck_spelled ORDER BY v;
DROP TABLE ck_words CASCADE;
