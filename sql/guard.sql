--
-- A refresh writes its own tables and nobody else's do: what functions of users
-- may not do while one works, though they run as the tables' owner.
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE TABLE src (id int PRIMARY KEY, v int);
INSERT INTO src VALUES (1, 1), (2, 2);
SELECT dyntable_create('victim', 'SELECT id, v FROM src', '1 day');
BEGIN;
SELECT dyntable_create('unfilled', 'SELECT id FROM src', '1 day', initialize => 'on_schedule');
SELECT dyntable_suspend('unfilled');
COMMIT;

-- each statement from a function that the query of another table calls
CREATE TABLE todo (command text);
CREATE FUNCTION run_todo() RETURNS int LANGUAGE plpgsql SET search_path = public AS $$
DECLARE command text;
BEGIN
    FOR command IN SELECT t.command FROM todo t LOOP
        EXECUTE command;
    END LOOP;
    RETURN 1;
END $$;
SELECT dyntable_create('attacker', 'SELECT run_todo() AS n, v FROM src', '1 day', 'full');
CREATE FUNCTION try_todo(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM todo;
    INSERT INTO todo VALUES (command);
    PERFORM dyntable_refresh('attacker');
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;
SELECT c AS command, try_todo(c) AS result FROM (VALUES
    (1, 'INSERT INTO victim VALUES (3, 3)'),
    (2, 'UPDATE victim SET v = 0'),
    (3, 'DELETE FROM victim'),
    (4, 'WITH d AS (DELETE FROM victim RETURNING *) SELECT * FROM d'),
    (5, 'MERGE INTO victim USING src ON src.id = victim.id WHEN MATCHED THEN DELETE'),
    (6, 'TRUNCATE victim'),
    (7, 'COPY victim FROM ''/dev/null'''),
    (8, 'UPDATE attacker SET v = 0'),
    (9, 'SELECT * FROM unfilled'),
    (10, 'SELECT * FROM dyntable_refresh(''victim'')'),
    (11, 'SELECT * FROM dyntable_refresh(''attacker'')'),
    (12, 'SELECT * FROM dyntable_verify(''victim'')'),
    (13, 'SELECT * FROM dyntable_explain(''victim'')'),
    (14, 'SELECT dyntable_create(''another'', ''SELECT v FROM src'')'),
    (15, 'SELECT dyntable_alter(''victim'', refresh_mode => ''full'')'),
    (16, 'SELECT dyntable_suspend(''victim'')'),
    (17, 'SELECT count(*) FROM victim')) x (n, c) ORDER BY n;
SELECT * FROM dyntable_verify('victim');

-- from a trigger and a foreign key of a table that is being refreshed
SELECT dyntable_create('other', 'SELECT id, v FROM src', '1 day');
CREATE FUNCTION write_victim() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN DELETE FROM victim; RETURN NULL; END $$;
CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION write_victim();
INSERT INTO src VALUES (3, 3);
SELECT * FROM dyntable_refresh('other');
DROP TRIGGER t ON other;
SELECT name, action, rows_inserted FROM dyntable_refresh('victim');
ALTER TABLE other ADD UNIQUE (id);
SELECT name, action FROM dyntable_refresh('other');
ALTER TABLE victim ADD FOREIGN KEY (id) REFERENCES other (id) ON DELETE CASCADE;
DELETE FROM src WHERE id = 3;
SELECT * FROM dyntable_refresh('other');
ALTER TABLE victim DROP CONSTRAINT victim_id_fkey;
SELECT name, action, rows_deleted FROM dyntable_refresh('other');
SELECT * FROM dyntable_verify('other');

SELECT * FROM dyntable_verify('victim');

-- in what others run for the table's owner: an index on an expression
CREATE TABLE indexed (id int);
INSERT INTO indexed VALUES (1);
CREATE FUNCTION refreshing(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM public.dyntable_refresh('public.victim'); RETURN $1; END $$;
CREATE INDEX ON indexed (refreshing(id));

-- an error that is caught takes back no more than it should
DO $$
BEGIN
    INSERT INTO src VALUES (50, 50);
    BEGIN
        INSERT INTO src VALUES (51, 51);
        SET LOCAL transaction_read_only = on;
        PERFORM dyntable_explain('victim');
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING '%', sqlerrm;
    END;
    INSERT INTO src VALUES (52, 52);
END $$;
SELECT id FROM src WHERE id >= 50 ORDER BY id;
DROP TABLE src, todo, indexed CASCADE;
DROP FUNCTION try_todo(text), write_victim(), refreshing(int);
