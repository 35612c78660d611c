--
-- Rights: every refresh runs with the owner's, as they are today.
--
SET client_min_messages = warning;
CREATE ROLE dyn_owner;
CREATE ROLE dyn_reader;
CREATE SCHEMA rights AUTHORIZATION dyn_owner;
SET search_path = rights, public;

-- a source of another role, put under capture by that role
CREATE TABLE secret (id int PRIMARY KEY, grp int, v int);
INSERT INTO secret SELECT i, i % 3, i FROM generate_series(1, 10) i;
SELECT dyntable_create('rights.by_superuser', 'SELECT id, grp, v FROM secret', '1 day');
GRANT USAGE ON SCHEMA public TO dyn_owner;

-- without SELECT the create fails
SET ROLE dyn_owner;
SELECT dyntable_create('rights.sums', 'SELECT grp, sum(v) AS s FROM secret GROUP BY grp', '1 day');
RESET ROLE;

-- with it, the table is made, refreshed and verified
GRANT SELECT ON secret TO dyn_owner;
SET ROLE dyn_owner;
SELECT dyntable_create('rights.sums', 'SELECT grp, sum(v) AS s FROM secret GROUP BY grp', '1 day', 'incremental');
RESET ROLE;
INSERT INTO secret VALUES (11, 1, 100);
SET ROLE dyn_owner;
SELECT name, action, rows_updated FROM dyntable_refresh('rights.sums');
SELECT * FROM rights.sums ORDER BY grp;
RESET ROLE;

-- after a REVOKE the next refresh fails, rows stay
REVOKE SELECT ON secret FROM dyn_owner;
INSERT INTO secret VALUES (12, 1, 1000);
SET ROLE dyn_owner;
SELECT * FROM dyntable_refresh('rights.sums');
SELECT * FROM rights.sums ORDER BY grp;
RESET ROLE;
SELECT * FROM dyntable_refresh('rights.sums');

-- a table that the owner knows through a view only
CREATE VIEW rights.window_on_secret AS SELECT id, v FROM secret WHERE grp = 1;
GRANT SELECT ON rights.window_on_secret TO dyn_owner;
SET ROLE dyn_owner;
SELECT dyntable_create('rights.through', 'SELECT id, v * 2 AS v2 FROM rights.window_on_secret', '1 day', 'incremental');
RESET ROLE;
INSERT INTO secret VALUES (13, 1, 7), (14, 2, 8);
DELETE FROM secret WHERE id = 1;
SET ROLE dyn_owner;
SELECT name, action, rows_inserted, rows_deleted FROM dyntable_refresh('rights.through');
SELECT * FROM dyntable_verify('rights.through');
SELECT id, v FROM secret;

-- nobody reads what lies beside the tables
SELECT count(*) FROM dyntable.position;
DO $$
BEGIN
    EXECUTE format('SELECT 1 FROM dyntable.log_%s', 'rights.secret'::regclass::oid);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'the change log is closed';
END $$;
RESET ROLE;

-- others may neither refresh nor suspend nor drop
SET ROLE dyn_reader;
SELECT * FROM dyntable_refresh('rights.sums'::regclass);
RESET ROLE;
GRANT USAGE ON SCHEMA rights TO dyn_reader;
SET ROLE dyn_reader;
SELECT * FROM dyntable_refresh('rights.sums');
SELECT dyntable_suspend('rights.sums');
SELECT dyntable_drop('rights.sums');
RESET ROLE;

-- a function of the definition has the owner's rights, whoever refreshes
GRANT SELECT ON secret TO dyn_owner;
SET ROLE dyn_owner;
CREATE FUNCTION rights.spy(v int) RETURNS text LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN RETURN current_user || '' '' || v; END';
SELECT dyntable_create('rights.spied', 'SELECT id, rights.spy(v) AS who FROM secret WHERE id > 12', '1 day');
RESET ROLE;
INSERT INTO secret VALUES (15, 0, 9);
SELECT name, action FROM dyntable_refresh('rights.spied');
SELECT * FROM rights.spied ORDER BY id;

-- policies: an owner above them is not concerned; one below them gets a full refresh of what it may see
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON secret USING (id < 5);
SET client_min_messages = notice;
SELECT name, action, reason FROM dyntable_refresh('rights.by_superuser');
SELECT name, action, rows_deleted FROM dyntable_refresh('rights.spied');
SELECT count(*) FROM rights.spied;
SELECT refresh_mode, refresh_mode_reason FROM dyntable.dynamic_tables WHERE name = 'spied';

SET client_min_messages = warning;
DROP SCHEMA rights CASCADE;
DROP OWNED BY dyn_owner, dyn_reader;
DROP ROLE dyn_owner, dyn_reader;
