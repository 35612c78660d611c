--
-- Rows of groups, and of tables that are compared with their query, written
-- where they are: by no statement, found by no second look-up.
--
-- What makes a row one that has to go elsewhere: a user's index on what changes, a
-- unique one above all, values that outgrow their page, keys that are written
-- otherwise, NULLs in them; what makes a table one that only statements may write.
--
CREATE SCHEMA in_place;
SET search_path = in_place, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE sale (id int PRIMARY KEY, customer int, kind text NOT NULL, amount int, price numeric(12,2) NOT NULL, note text);
INSERT INTO sale SELECT i, nullif(i % 300, 7), 'kind ' || i % 5, nullif(i % 100, 3), i % 77, CASE WHEN i % 4 > 0 THEN 'note ' || i % 40 END FROM generate_series(1, 3000) i;
INSERT INTO sale SELECT 5000 + i, 400 + i, (SELECT string_agg(md5((i * 1000 + k)::text), '') FROM generate_series(1, 70) k), i, i, NULL FROM generate_series(1, 4) i;
VACUUM ANALYZE sale;

INSERT INTO definition (name, query, mode) VALUES
    ('p_sums', 'SELECT customer, count(*) AS n, sum(amount) AS total, avg(price) AS mean FROM sale GROUP BY customer', 'incremental'),
    ('p_extrema', 'SELECT customer, kind, min(amount) AS least, max(note) AS last, count(note) AS notes FROM sale GROUP BY customer, kind', 'incremental'),
    ('p_reread', 'SELECT customer, string_agg(note, '','' ORDER BY id) AS notes FROM sale GROUP BY customer', 'incremental'),
    ('p_distinct', 'SELECT DISTINCT kind, amount FROM sale', 'incremental'),
    ('p_numeric', 'SELECT price * 1.0 AS k, count(*) AS n FROM sale GROUP BY 1', 'incremental'),
    ('p_written', 'SELECT CASE WHEN id > 8000 THEN price::numeric(12,4) ELSE price END AS k, count(*) AS n FROM sale GROUP BY 1', 'incremental'),
    ('p_long', 'SELECT kind, count(*) AS n, max(note) AS last FROM sale WHERE id > 5000 GROUP BY kind', 'incremental'),
    ('p_unique', 'SELECT customer, sum(price) AS total FROM sale WHERE customer < 3 GROUP BY customer', 'incremental'),
    ('p_indexed', 'SELECT customer, count(*) AS n, sum(amount) AS total FROM sale GROUP BY customer', 'incremental'),
    ('p_trigger', 'SELECT customer, count(*) AS n FROM sale GROUP BY customer', 'incremental'),
    ('p_checked', 'SELECT customer, count(*) AS n FROM sale GROUP BY customer', 'incremental'),
    ('p_having', 'SELECT customer, count(*) AS n FROM sale GROUP BY customer HAVING count(*) > 9', 'incremental'),
    ('p_all', 'SELECT count(*) AS n, sum(amount) AS total FROM sale', 'incremental'),
    ('p_full', 'SELECT id, kind, price FROM sale', 'full'),
    ('p_full_bag', 'SELECT kind, note FROM sale', 'full'),
    ('p_compared', 'SELECT id, kind, price FROM sale', 'incremental'),
    ('p_compared_unique', 'SELECT id, price FROM sale WHERE id < 5', 'incremental'),
    ('p_full_unique', 'SELECT id, price FROM sale WHERE id < 5', 'full'),
    ('p_above', 'SELECT n, count(*) AS customers, sum(total) AS total FROM p_sums GROUP BY n', 'incremental');
CALL create_all();
CREATE UNIQUE INDEX ON p_unique (total);
CREATE UNIQUE INDEX ON p_full_unique (price, (id > 0));
CREATE UNIQUE INDEX ON p_compared_unique (price);
CREATE INDEX ON p_indexed (total);
CREATE INDEX ON p_indexed ((n * 2)) WHERE total > 10;
CREATE INDEX ON p_indexed USING brin (n);
ALTER TABLE p_checked ADD CHECK (n > -1);
CREATE TABLE fired (operation text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO in_place.fired VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER fire AFTER INSERT OR UPDATE OR DELETE ON p_trigger FOR EACH ROW EXECUTE FUNCTION fire();
SELECT dyntable_follow('p_sums') IS NOT NULL AS followed;

-- rows of one table, of a table by what would be written
CREATE VIEW last AS
    SELECT DISTINCT ON (relid) name, rows_inserted AS ins, rows_updated AS upd, rows_deleted AS del
    FROM dyntable.refresh_history WHERE schema_name = 'in_place' AND name <> 'p_written' ORDER BY relid, id DESC;

CALL change('few rows', $$UPDATE sale SET amount = amount + 1, price = price + 1 WHERE id IN (5, 7, 9)$$);
SELECT * FROM last ORDER BY name;
CALL change('groups come and go', $$DELETE FROM sale WHERE customer IN (11, 12); INSERT INTO sale VALUES (9001, 900, 'kind 9', 1, 1, 'x'), (9002, 11, 'kind 1', 2, 2, NULL)$$);
SELECT * FROM last ORDER BY name;
SELECT operation, count(*) FROM fired GROUP BY 1 ORDER BY 1;
CALL change('NULL for a key', $$UPDATE sale SET customer = NULL WHERE id IN (20, 21); UPDATE sale SET amount = 8 WHERE customer IS NULL$$);
CALL change('the last NULL goes', $$DELETE FROM sale WHERE customer IS NULL$$);
SELECT * FROM last WHERE name ~ 'sums|extrema|reread|indexed' ORDER BY name;
CALL change('keys are written otherwise', $$UPDATE sale SET id = id + 8000 WHERE id % 3 = 0 AND id < 1000 AND price < 20; DELETE FROM sale WHERE id % 3 > 0 AND price = 5;
    UPDATE sale SET price = price + 0.50 WHERE id % 9 = 0; UPDATE sale SET price = price - 0.50 WHERE id % 9 = 0 AND id < 1000$$);
CALL change('unique totals change hands', $$UPDATE sale SET customer = 3 - customer WHERE customer IN (1, 2); UPDATE sale SET price = 10 - price WHERE id < 5$$);
SELECT * FROM last WHERE name ~ 'unique' ORDER BY name;
CALL change('long keys', $$UPDATE sale SET note = 'y' WHERE id > 5000; INSERT INTO sale SELECT id + 10, customer, kind, amount, price, repeat('z', 3000) FROM sale WHERE id BETWEEN 5001 AND 5002; DELETE FROM sale WHERE id = 5003$$);
CALL change('most rows', $$UPDATE sale SET amount = amount + 1, price = price + 0.25, note = note || '!' WHERE id % 10 > 0$$);
SELECT * FROM last ORDER BY name;
CALL change('once more', $$UPDATE sale SET amount = amount + 1, price = price + 0.25, note = note || '!' WHERE id % 10 > 1$$);
CALL change('nothing that shows', $$UPDATE sale SET amount = amount + 1 WHERE id = 100; UPDATE sale SET amount = amount - 1 WHERE id = 400$$);

-- an index finds what a scan finds
SET enable_seqscan = off;
SELECT count(*) FROM p_indexed WHERE total > 400;
SELECT count(*) FROM p_indexed WHERE n * 2 > 18 AND total > 10;
SELECT count(*) FROM p_indexed WHERE n = 10;
SELECT count(*) FROM p_sums WHERE customer BETWEEN 100 AND 400;
SET enable_seqscan = on;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM p_indexed WHERE total > 400;
SELECT count(*) FROM p_indexed WHERE n * 2 > 18 AND total > 10;
SELECT count(*) FROM p_indexed WHERE n = 10;
SELECT count(*) FROM p_sums WHERE customer BETWEEN 100 AND 400;
RESET enable_seqscan;
RESET enable_indexscan;
RESET enable_bitmapscan;

-- what is undone leaves nothing
BEGIN;
UPDATE sale SET amount = amount + 5;
SELECT name FROM dyntable_refresh('p_sums');
ROLLBACK;
SELECT * FROM dyntable_verify('p_sums');

-- computed anew: few rows differ, then most, then values of a unique index change hands
CREATE PROCEDURE anew() LANGUAGE sql AS $$
    UPDATE dyntable.position SET reinit_reason = 'a test' WHERE relid IN (SELECT to_regclass(name)::oid FROM in_place.definition)
$$;
CALL anew();
CALL change('few rows, anew', $$UPDATE sale SET price = price + 1, amount = 0 WHERE id IN (5, 107, 209); DELETE FROM sale WHERE id IN (6, 106); INSERT INTO sale VALUES (9003, 901, 'kind 9', 1, 1, 'x')$$);
SELECT * FROM last ORDER BY name;
CALL anew();
CALL change('most rows, anew', $$UPDATE sale SET price = price + 1, amount = amount + 7 WHERE id % 11 > 0$$);
CALL anew();
CALL change('hands change, anew', $$UPDATE sale SET price = 40 - price WHERE id < 5$$);
CALL change('and by a delta again', $$UPDATE sale SET price = 41 - price, amount = 1 WHERE id < 50$$);
SELECT name FROM definition d, dyntable_verify(d.name::regclass) v WHERE v.missing + v.unexpected > 0;

-- what is filled has five percent more of room in its pages than it keeps, and keeps what its owner says
CREATE FUNCTION filled(name text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    percent int;
BEGIN
    EXECUTE format('SELECT max(bytes) * 100 / 8192 FROM (SELECT sum(4 + (pg_column_size(t) + 7) / 8 * 8) AS bytes FROM %s t GROUP BY (ctid::text::point)[0]) page', name) INTO percent;
    RETURN percent;
END $$;
CREATE VIEW room AS
    SELECT regexp_replace(c.relname, '_\d+_\d+', '') AS name, c.reloptions, in_place.filled(c.oid::regclass::text)
    FROM pg_class c WHERE c.relname ~ '^p_room' AND c.relkind = 'r'
        OR c.oid IN (SELECT stage FROM dyntable.stage s WHERE s.relid::regclass::text ~ 'p_room')
    ORDER BY c.relname;
SELECT dyntable_create('p_room', 'SELECT id, count(*) AS n FROM sale GROUP BY id', 'downstream', 'incremental', initialize => 'on_schedule');
SELECT dyntable_create('p_room_own', 'SELECT id, price FROM sale', 'downstream', 'incremental', initialize => 'on_schedule');
SELECT dyntable_create('p_room_none', 'SELECT id, price FROM sale', 'downstream', 'incremental', initialize => 'on_schedule');
ALTER TABLE p_room_own SET (fillfactor = 70);
ALTER TABLE p_room_none RESET (fillfactor);
SELECT r.name FROM unnest(ARRAY['p_room', 'p_room_own', 'p_room_none']) n, dyntable_refresh(n) r;
SELECT * FROM room;

\set ECHO none
SET client_min_messages = error;
DROP SCHEMA in_place CASCADE;
