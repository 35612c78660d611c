--
-- Refreshes that change most rows of a table: written without statements.
--
-- Each table has more than a thousand rows, and so many changes for each page
-- that none of them takes the way of statements, unless a trigger or constraint of a
-- user's says so.  In full: what is stored against what the query returns;
-- incrementally: a delta that finds the stored rows by their key.
--
CREATE SCHEMA bulk;
SET search_path = bulk, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE item (id int PRIMARY KEY, customer int, amount numeric, note text);
INSERT INTO item SELECT i, nullif(i % 1500, 7), i % 100, CASE WHEN i % 5 > 0 THEN 'note ' || i % 50 END FROM generate_series(1, 4000) i;
INSERT INTO item SELECT 4000 + i, NULL, i, repeat(md5(i::text), 200) FROM generate_series(1, 3) i;
CREATE INDEX ON item (customer);
CREATE TABLE seat (id int PRIMARY KEY, place int, note text);
ALTER TABLE seat ALTER note SET STORAGE PLAIN;
INSERT INTO seat SELECT i, i, repeat('x', 2000) FROM generate_series(1, 4000) i;
VACUUM ANALYZE item, seat;

INSERT INTO definition (name, query, mode, ignored) VALUES
    ('b_keyed', 'SELECT id, customer, amount * 2 AS doubled, note FROM item WHERE amount >= 0', 'auto', '{}'),
    ('b_bag', 'SELECT amount, note FROM item', 'auto', '{}'),
    ('b_group', 'SELECT customer, count(*) AS n, sum(amount) AS total, max(amount) AS largest FROM item GROUP BY customer', 'auto', '{}'),
    ('b_numeric', 'SELECT amount * 1.0 + id AS k, count(*) AS n, max(note) AS note FROM item GROUP BY 1', 'auto', '{}'),
    ('b_outer', 'SELECT a.id, b.id AS other, a.note FROM item a FULL JOIN item b ON b.id = a.id + 1000', 'auto', '{}'),
    ('b_seen', 'SELECT id, amount, now() AS seen FROM item', 'auto', '{seen}'),
    ('b_unique', 'SELECT id, place FROM seat', 'auto', '{}'),
    ('b_indexed', 'SELECT id, amount, note FROM item', 'auto', '{}'),
    ('b_checked', 'SELECT id, amount FROM item', 'auto', '{}'),
    ('b_trigger', 'SELECT id, amount FROM item', 'auto', '{}'),
    ('b_full', 'SELECT amount, note, customer FROM item', 'full', '{}'),
    ('b_inc', 'SELECT id, customer, amount, note FROM item', 'incremental', '{}'),
    ('b_inc_group', 'SELECT customer, count(*) AS n, sum(amount) AS total FROM item GROUP BY customer', 'incremental', '{}'),
    ('b_above', 'SELECT customer, count(*) AS n, sum(doubled) AS total FROM b_keyed GROUP BY customer', 'incremental', '{}'),
    ('b_above_bag', 'SELECT note, count(*) AS n FROM b_bag GROUP BY note', 'incremental', '{}'),
    ('b_above_inc', 'SELECT id, amount FROM b_inc WHERE amount > 50', 'incremental', '{}');
CALL create_all();

-- indexes of users, of each kind; and what keeps a table from being written so
CREATE INDEX ON b_indexed (amount);
CREATE INDEX ON b_indexed (upper(note)) WHERE amount > 20;
CREATE INDEX ON b_indexed USING hash (note);
CREATE INDEX ON b_indexed USING brin (id);
CREATE UNIQUE INDEX b_unique_place ON b_unique (place, (id > 0));
ALTER TABLE b_checked ADD CHECK (amount > -1000000);
CREATE TABLE fired (operation text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO bulk.fired VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER fire AFTER INSERT OR UPDATE OR DELETE ON b_trigger FOR EACH ROW EXECUTE FUNCTION fire();
SELECT dyntable_follow(name::regclass) IS NOT NULL AS followed FROM definition WHERE name IN ('b_keyed', 'b_bag', 'b_inc');

-- what the feed says, applied to copies
CREATE TABLE b_keyed_copy AS TABLE b_keyed;
CREATE TABLE b_bag_copy AS TABLE b_bag;
CREATE TABLE b_inc_copy AS TABLE b_inc;
CREATE TABLE reached AS SELECT t, (SELECT refresh_no FROM dyntable.dynamic_tables WHERE relid = t) AS no FROM unnest('{b_keyed,b_bag,b_inc}'::regclass[]) t;
CREATE PROCEDURE catch_up(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    differ bigint;
BEGIN
    CREATE TEMP TABLE change ON COMMIT DROP AS SELECT f.* FROM reached r, dyntable_changes(r.t, since => r.no) f WHERE r.t = catch_up.t;
    EXECUTE format('CREATE TEMP TABLE now_there ON COMMIT DROP AS
        SELECT to_jsonb(c) AS data FROM %1$s_copy c
        UNION ALL SELECT data FROM change WHERE action = ''insert''
        EXCEPT ALL SELECT data FROM change WHERE action = ''delete''', t);
    EXECUTE format('SELECT count(*) FROM ((TABLE now_there EXCEPT ALL SELECT to_jsonb(x) FROM %1$s x)
        UNION ALL (SELECT to_jsonb(x) FROM %1$s x EXCEPT ALL TABLE now_there)) y', t) INTO differ;
    RAISE INFO '% by its feed: % changes or more, % rows differ', t, (SELECT count(*) / 1000 * 1000 FROM change), differ;
    EXECUTE format('TRUNCATE %1$s_copy', t);
    EXECUTE format('INSERT INTO %1$s_copy SELECT (jsonb_populate_record(NULL::%1$s, data)).* FROM now_there', t);
    UPDATE reached SET no = (SELECT refresh_no FROM dyntable.dynamic_tables WHERE relid = catch_up.t) WHERE reached.t = catch_up.t;
    COMMIT;
END $$;
CREATE VIEW last AS
    SELECT DISTINCT ON (relid) name, refresh_action AS action, rows_inserted AS ins, rows_updated AS upd, rows_deleted AS del
    FROM dyntable.refresh_history WHERE schema_name = 'bulk' ORDER BY relid, id DESC;

-- from here on mode auto takes the query
CREATE PROCEDURE in_full() LANGUAGE sql AS $$
    UPDATE dyntable.position SET full_ms = 0, full_cost = NULL, delta_ms = array_fill(86400000::float8, ARRAY[16])
    WHERE relid IN (SELECT to_regclass(name)::oid FROM bulk.definition)
$$;
ALTER TABLE item ALTER note SET STORAGE PLAIN;
INSERT INTO item SELECT 100000 + i, 5000, i, repeat('x', 3000) FROM generate_series(1, 1100) i;
CALL in_full();
CALL change('all updated', $$UPDATE item SET amount = amount + 1; UPDATE seat SET place = place + 10000 WHERE id > 2000$$);
SELECT * FROM last ORDER BY name;
CALL catch_up('b_keyed');
CALL catch_up('b_bag');
CALL catch_up('b_inc');
SELECT operation, count(*) FROM fired GROUP BY 1 ORDER BY 1;

-- some of everything, keys that move, NULLs in keys, values written otherwise; in memory that takes in no table
SET maintenance_work_mem = '1MB';
CALL in_full();
CALL change('mixed', $$DELETE FROM item WHERE id % 7 = 0; UPDATE item SET amount = amount + 1.50, customer = nullif(customer + 1, 100) WHERE id % 7 < 5;
    INSERT INTO item SELECT 10000 + i, i % 1700, i % 90, 'new ' || i % 9 FROM generate_series(1, 3000) i;
    UPDATE item SET id = id + 300000 WHERE id % 7 = 6; UPDATE item SET amount = amount::numeric(12,4) WHERE id % 7 = 5$$);
SELECT * FROM last ORDER BY name;
CALL catch_up('b_keyed');
CALL catch_up('b_bag');
CALL catch_up('b_inc');
RESET maintenance_work_mem;

-- values of a unique index of a user's change hands
CALL in_full();
CALL change('places change hands', $$UPDATE seat SET place = 14001 - place$$);

-- a refresh that is undone leaves nothing, and an index finds what a scan finds
CALL in_full();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) AS rows, sum(amount) AS total FROM b_indexed \gset before_
UPDATE item SET amount = amount + 3;
SELECT name, action FROM dyntable_refresh('b_indexed');
ROLLBACK;
SELECT (count(*), sum(amount)) = (:before_rows, :before_total) AS as_before FROM b_indexed;
CALL in_full();
CALL change('again', $$UPDATE item SET amount = amount + 3, note = 'n' || note$$);
SET enable_seqscan = off;
SELECT count(*) FROM b_indexed WHERE amount > 30;
SELECT count(*) FROM b_indexed WHERE upper(note) > 'NN' AND amount > 20;
SELECT count(*) FROM b_indexed WHERE note = 'nnote 7';
SELECT count(*) FROM b_indexed WHERE id BETWEEN 1000 AND 2000;
SET enable_seqscan = on;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM b_indexed WHERE amount > 30;
SELECT count(*) FROM b_indexed WHERE upper(note) > 'NN' AND amount > 20;
SELECT count(*) FROM b_indexed WHERE note = 'nnote 7';
SELECT count(*) FROM b_indexed WHERE id BETWEEN 1000 AND 2000;
RESET enable_seqscan;
RESET enable_indexscan;
RESET enable_bitmapscan;

-- a unique index of a user's that cannot hold: the refresh fails, the rows stay, and it goes on when the index is gone
UPDATE seat SET place = id % 3000;
CALL in_full();
SELECT count(*) AS rows, sum(place) AS total FROM b_unique \gset before_
SELECT name FROM dyntable_refresh('b_unique');
SELECT (count(*), sum(place)) = (:before_rows, :before_total) AS as_before FROM b_unique;
DROP INDEX b_unique_place;
CALL in_full();
CALL change('on again', $$UPDATE item SET amount = amount + 1; UPDATE seat SET place = place + 1$$);

-- stored rows in many parts; changes of one sign first, which have spilled when others come, some of them the same rows
SET maintenance_work_mem = '1MB';
SET work_mem = '64kB';
CALL in_full();
CREATE TABLE gone AS SELECT * FROM item WHERE id % 19 = 0;
DELETE FROM item WHERE id % 19 = 0;
INSERT INTO item SELECT * FROM gone WHERE id % 2 = 0;
UPDATE item SET amount = amount + 1, note = note || '.' WHERE id % 3 > 0;
SELECT name, action, rows_inserted AS ins, rows_updated AS upd, rows_deleted AS del FROM dyntable_refresh('b_keyed', 'b_bag', 'b_indexed', 'b_inc') ORDER BY name;
SELECT name, v.* FROM definition d, dyntable_verify(d.name::regclass) v WHERE name IN ('b_keyed', 'b_bag', 'b_indexed', 'b_inc') ORDER BY name;
RESET maintenance_work_mem;
RESET work_mem;

-- rows that take a place are written while the query runs, but where that runs in parallel
CREATE FUNCTION told(int) RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF current_setting('bulk.last', true) = $1::text THEN RAISE EXCEPTION 'row % is refused', $1; END IF;
    RETURN $1;
END $$;
CREATE TABLE price (k numeric PRIMARY KEY, v int, note text);
ALTER TABLE price ALTER note SET STORAGE PLAIN;
INSERT INTO price SELECT i, i, repeat('x', 3000) FROM generate_series(1, 1500) i;
VACUUM ANALYZE price;
DELETE FROM definition WHERE name NOT IN ('b_keyed', 'b_indexed');
INSERT INTO definition (name, query, mode, ignored) VALUES ('b_told', 'SELECT k, told(v) AS v FROM price', 'auto', '{}');
CALL create_all();
CALL in_full();
CALL change('in place', $$UPDATE price SET v = v + 1000000$$);
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CALL in_full();
CALL change('in parallel', $$UPDATE price SET v = v + 1$$);
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
CALL in_full();
CALL change('keys written otherwise', $$UPDATE price SET k = k::numeric(12, 2), v = v + 1 WHERE k < 300; UPDATE price SET v = v + 1 WHERE k >= 300$$);
UPDATE price SET v = v + 1;
CALL in_full();
SELECT max(v) AS last, sum(v) AS total FROM price \gset
SET bulk.last = :last;
SELECT name FROM dyntable_refresh('b_told');
RESET bulk.last;
SELECT sum(v) = :total - 1500 AS as_before FROM b_told;
CALL in_full();
CALL change('without the error', $$UPDATE price SET v = v + 1; DELETE FROM price WHERE k % 50 = 0; INSERT INTO price SELECT 5000 + i, i FROM generate_series(1, 50) i$$);
SELECT action, ins, upd, del FROM last WHERE name = 'b_told';

-- frozen rows stay, whatever the query says of them
CREATE TABLE kept (id int PRIMARY KEY, day date, v int);
INSERT INTO kept SELECT i, date '2026-01-01' + i % 20, i FROM generate_series(1, 4000) i;
SELECT dyntable_create('b_frozen', 'SELECT id, day, v FROM kept', '1 day', 'auto', frozen_where => $$day < '2026-01-06'$$);
UPDATE kept SET v = v + 1;
DELETE FROM kept WHERE id % 10 = 3;
UPDATE dyntable.position SET full_ms = 0, full_cost = NULL, delta_ms = array_fill(86400000::float8, ARRAY[16]) WHERE relid = 'b_frozen'::regclass;
SELECT action, rows_inserted, rows_updated, rows_deleted FROM dyntable_refresh('b_frozen');
SELECT count(*) FILTER (WHERE v = id) AS kept, count(*) FILTER (WHERE v = id + 1) AS updated, count(*) FILTER (WHERE id % 10 = 3) AS gone FROM b_frozen;
SELECT * FROM dyntable_verify('b_frozen');

-- after all that
SELECT count(*) AS tables, count(*) FILTER (WHERE v.missing + v.unexpected > 0) AS different
FROM dyntable.dynamic_tables d, dyntable_verify(d.relid) v WHERE schema_name = 'bulk';

\set ECHO none
SET client_min_messages = error;
DROP SCHEMA bulk CASCADE;
