--
-- acceptance 10: what has a table computed anew, and what has not.  And event
-- triggers of others, which see what is done to dynamic tables as to any table.
--
CREATE SCHEMA reinit;
SET search_path = reinit, public;
CREATE TABLE src (id int PRIMARY KEY, g int, v int, unused int);
INSERT INTO src SELECT i, i % 3, i, i FROM generate_series(1, 30) i;
CREATE VIEW seen AS SELECT id, g, v FROM src WHERE v > 2;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 2;
SELECT dyntable_create('dt', 'SELECT id, g, twice(v) AS v FROM seen', 'downstream', frozen_where => 'id < 3');
SELECT dyntable_create('over', 'SELECT g, count(*) AS n, sum(v) AS v FROM dt GROUP BY g', 'downstream');
-- After a command and a change: what a refresh did to both, whose rows it changed, why, and whether they are right.
CREATE PROCEDURE try(command text) LANGUAGE plpgsql AS $$
DECLARE
    dt text; over text; reason text;
BEGIN
    EXECUTE command;
    COMMIT;
    INSERT INTO src SELECT max(id) + 1, 1, 1000 FROM src;
    COMMIT;
    SELECT string_agg(r.action, ' ') FILTER (WHERE r.name = 'dt'::regclass AND r.rows_inserted + r.rows_updated + r.rows_deleted > 0),
           string_agg(r.action, ' ') FILTER (WHERE r.name = 'over'::regclass AND r.rows_updated + r.rows_inserted > 0),
           string_agg(r.reason, ' ') FILTER (WHERE r.name = 'dt'::regclass) INTO dt, over, reason FROM dyntable_refresh('over') r;
    RAISE NOTICE '%, above it %; rows differ: %, %', concat_ws(': ', dt, reason), over, (SELECT v::text FROM dyntable_verify('dt') v), (SELECT v::text FROM dyntable_verify('over') v);
END $$;
-- Not by lags, warehouses, suspensions, columns that are not read, a region that grows
CALL try($$SELECT dyntable_alter('dt', target_lag => '1 day')$$);
CALL try($$SELECT dyntable_warehouse('reinit_w'); SELECT dyntable_alter('dt', warehouse => 'reinit_w')$$);
CALL try($$SELECT dyntable_suspend('dt')$$);
CALL try($$SELECT dyntable_resume('dt')$$);
CALL try('ALTER TABLE src ADD more int DEFAULT 7');
CALL try('ALTER TABLE src DROP unused, DROP more');
CALL try($$SELECT dyntable_alter('dt', frozen_where => 'id < 5')$$);
CALL try('ALTER TABLE src RENAME v TO value');
CALL try('CREATE OR REPLACE VIEW seen AS SELECT id, g, value AS v FROM src WHERE value > 2');
CALL try($$SELECT dyntable_create('dt', 'SELECT id, g, twice(v) AS v FROM seen', target_lag => '1 day', frozen_where => 'id < 5', or_replace => true)$$);
-- By a region that shrinks or goes, another query, a view or a function replaced, TRUNCATE, a mode (or_replace has computed it anew by itself)
CALL try($$SELECT dyntable_alter('dt', frozen_where => 'id < 2')$$);
CALL try($$SELECT dyntable_alter('dt', frozen_where => '')$$);
CALL try($$SELECT dyntable_create('dt', 'SELECT id, g, twice(v) + 1 AS v FROM seen', target_lag => '1 day', or_replace => true)$$);
CALL try($$SELECT dyntable_alter('dt', query => 'SELECT id, g, twice(v) AS v FROM seen')$$);
CALL try('CREATE OR REPLACE VIEW seen AS SELECT id, g, value AS v FROM src WHERE value > 3');
CALL try('CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 + $1 + 1');
CALL try('TRUNCATE src; INSERT INTO src SELECT i, i % 3, i FROM generate_series(1, 20) i');
CALL try($$SELECT dyntable_alter('dt', refresh_mode => 'full')$$);
CALL try($$SELECT dyntable_alter('dt', refresh_mode => 'incremental')$$);
-- A column that is read goes: the refresh fails, rows stay; there is another one: computed anew, by the query given again
SELECT dyntable_alter('dt', query => 'SELECT id, g, value AS v FROM src');
SELECT name, action FROM dyntable_refresh('over');
DROP VIEW seen;
ALTER TABLE src DROP value;
SELECT name, action FROM dyntable_refresh('over');
SELECT count(*) > 0 AS rows_stay FROM dt;
ALTER TABLE src ADD value int DEFAULT 5;
SELECT dyntable_alter('dt', query => 'SELECT id, g, value AS v FROM src');
CALL try('UPDATE src SET value = 6 WHERE id = 1');

-- A column that is not read goes from under a join
CREATE TABLE part (unused int, g int, unused_too int, label text);
INSERT INTO part SELECT i, i, i, 'g' || i FROM generate_series(0, 3) i;
SELECT dyntable_create('joined', 'SELECT src.id, part.label FROM src JOIN part ON part.g = src.g', 'downstream', 'incremental');
SELECT dyntable_create('merged', 'SELECT g, count(src.id) AS n, max(part.label) AS label FROM src FULL JOIN part USING (g) GROUP BY g', 'downstream', 'incremental');
ALTER TABLE part DROP unused, DROP unused_too;
INSERT INTO part VALUES (1, 'again');
SELECT name, action, reason FROM dyntable_refresh('joined', 'merged');
SELECT v.* FROM unnest('{joined,merged}'::regclass[]) n, dyntable_verify(n) v;

-- A column gets another type beside one whose values stand out of line, in rows that change; each table is read by another one
CREATE TABLE wide (id int PRIMARY KEY, n int, kind text, long text);
INSERT INTO wide SELECT i, i, 'k', (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 200) j) FROM generate_series(1, 5) i;
SELECT dyntable_create('wides', 'SELECT id, n, kind, long FROM wide', 'downstream', 'incremental');
SELECT dyntable_create('wides_over', 'SELECT length(long) AS l, count(*) AS c, sum(n) AS n FROM wides GROUP BY 1', 'downstream', 'incremental');
SELECT dyntable_create('wides_keyless', 'SELECT n, kind, long FROM wide', 'downstream', 'incremental');
SELECT dyntable_create('wides_keyless_over', 'SELECT length(long) AS l, count(*) AS c, sum(n) AS n FROM wides_keyless GROUP BY 1', 'downstream', 'incremental');
ALTER TABLE wide ALTER kind TYPE varchar(20);
UPDATE wide SET n = n + 1 WHERE id < 3;
UPDATE wide SET long = long || 'x' WHERE id = 4;
SELECT name, action, rows_inserted, rows_updated, rows_deleted FROM dyntable_refresh('wides_over', 'wides_keyless_over');
SELECT v.* FROM unnest('{wides,wides_over,wides_keyless,wides_keyless_over}'::regclass[]) n, dyntable_verify(n) v;

-- Event triggers: they see commands about the dynamic table, and none about what dyntable keeps beside it
CREATE TABLE event_log (no int GENERATED ALWAYS AS IDENTITY, tag text, object text);
CREATE FUNCTION note_end() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO reinit.event_log (tag, object) SELECT command_tag, object_identity FROM pg_event_trigger_ddl_commands(); END $$;
CREATE FUNCTION note_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO reinit.event_log (tag, object) SELECT 'dropped', object_identity FROM pg_event_trigger_dropped_objects() WHERE object_type IN ('table', 'index'); END $$;
CREATE EVENT TRIGGER reinit_end ON ddl_command_end EXECUTE FUNCTION note_end();
CREATE EVENT TRIGGER reinit_drop ON sql_drop EXECUTE FUNCTION note_drop();
SELECT dyntable_create('watched', 'SELECT g, count(*) AS n, max(id) AS most FROM src GROUP BY g', 'downstream');
CREATE INDEX watched_n ON watched (n);
COMMENT ON TABLE watched IS 'by a tool';
ALTER TABLE watched RENAME TO seen_by;
CREATE SCHEMA reinit_other;
ALTER TABLE seen_by SET SCHEMA reinit_other;
ALTER TABLE reinit_other.seen_by OWNER TO CURRENT_USER;
INSERT INTO src (id, g) VALUES (900, 9);
SELECT name, action, rows_inserted FROM dyntable_refresh('reinit_other.seen_by');
SELECT dyntable_alter('reinit_other.seen_by', query => 'SELECT g, count(*) AS n, max(id) AS most, min(id) AS least FROM src GROUP BY g');
SELECT * FROM dyntable_verify('reinit_other.seen_by');
DROP TABLE reinit_other.seen_by;
SELECT count(*) FROM dyntable.dynamic_tables WHERE name = 'seen_by';
SELECT tag, object FROM event_log ORDER BY no;
DROP EVENT TRIGGER reinit_end;
DROP EVENT TRIGGER reinit_drop;
SET client_min_messages = warning;
DROP SCHEMA reinit CASCADE;
DROP SCHEMA reinit_other;
SELECT dyntable_drop_warehouse('reinit_w');
