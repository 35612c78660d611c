--
-- Cloning, swapping and detaching: dynamic tables that change places.
--
CREATE SCHEMA clone;
SET search_path = clone, public;
CREATE TABLE item (id int PRIMARY KEY, k int, v numeric, t text);
INSERT INTO item SELECT i, i % 4, i * 1.5, 'item ' || i FROM generate_series(1, 20) i;

-- Tells of a table whether it is what its query says, in one transaction with its refresh.
CREATE FUNCTION oracle(name regclass, OUT action text, OUT reason text, OUT rows bigint, OUT missing bigint, OUT unexpected bigint)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT r.action, r.reason INTO oracle.action, oracle.reason FROM dyntable_refresh(oracle.name) r WHERE r.name = oracle.name;
    SELECT v.missing, v.unexpected INTO oracle.missing, oracle.unexpected FROM dyntable_verify(oracle.name) v;
    EXECUTE format('SELECT count(*) FROM %s', name) INTO rows;
END $$;

SELECT dyntable_create('plain', 'SELECT id, k, v, t FROM item WHERE v > 3', target_lag => '1 day', comment => 'all items');
SELECT dyntable_create('summed', 'SELECT k, count(*) AS n, sum(v) AS total, max(v) AS highest FROM plain GROUP BY k', target_lag => '1 day');
SELECT dyntable_create('bag', 'SELECT k, t FROM item UNION ALL SELECT k, t FROM item', target_lag => '1 day');
SELECT dyntable_create('newest', 'SELECT DISTINCT ON (k) k, id, v FROM item ORDER BY k, id DESC', target_lag => '1 day');
ALTER TABLE plain ADD CONSTRAINT plain_positive CHECK (v > 0), ALTER id SET NOT NULL;
CREATE INDEX plain_k ON plain (k) WHERE v > 5;
CREATE INDEX plain_lower ON plain (lower(t) text_pattern_ops, (plain.*));
ALTER TABLE plain ADD PRIMARY KEY (id);
COMMENT ON COLUMN plain.t IS 'its title';
SELECT count(*) FROM dyntable_refresh('summed');

-- The source has changes that its table has not read yet
UPDATE item SET v = v + 100, k = (k + 1) % 4 WHERE id % 3 = 0;
SELECT dyntable_clone('plain', 'plain_copy');
SELECT dyntable_clone('summed', 'summed_copy');
SELECT dyntable_clone('bag', 'bag_copy');
SELECT dyntable_clone('newest', 'newest_copy');
SELECT (SELECT count(*) FROM plain) AS rows, (SELECT count(*) FROM (TABLE plain EXCEPT ALL TABLE plain_copy) x) AS missing,
       (SELECT count(*) FROM (TABLE plain_copy EXCEPT ALL TABLE plain) x) AS unexpected;
SELECT d.name, d.target_lag, d.scheduling_state, t.state_code
FROM dyntable.dynamic_tables d JOIN dyntable.dynamic_table t USING (relid) WHERE d.name LIKE '%copy' ORDER BY d.name;
\d plain_copy
SELECT obj_description('plain_copy'::regclass), col_description('plain_copy'::regclass, 4);
-- They go on from where the source stood, by deltas alone
SELECT * FROM oracle('plain_copy');
SELECT * FROM oracle('summed_copy');
SELECT * FROM oracle('bag_copy');
SELECT * FROM oracle('newest_copy');
-- and so does the source
DELETE FROM item WHERE id IN (1, 5, 20);
INSERT INTO item VALUES (30, 1, 7, 'late'), (31, NULL, 8, 'later');
SELECT name, (oracle(name::regclass)).* FROM unnest('{plain,plain_copy,summed,summed_copy,bag,bag_copy,newest,newest_copy}'::text[]) name;
-- A clone is a table of its own
SELECT dyntable_resume('plain_copy');
SELECT dyntable_alter('plain_copy', query => 'SELECT id, k, v, t FROM item WHERE v > 30');
SELECT * FROM oracle('plain_copy');
SELECT * FROM oracle('plain');
SELECT dyntable_drop('plain_copy');
SELECT * FROM oracle('plain');
-- One that was never filled
SELECT dyntable_create('later', 'SELECT k FROM item', initialize => 'on_schedule', target_lag => 'downstream');
SELECT dyntable_clone('later', 'later_copy');
TABLE later_copy;
SELECT * FROM oracle('later_copy');
-- One that is refreshed in full
SELECT dyntable_create('full_one', 'SELECT k, t FROM item', target_lag => '1 day', refresh_mode => 'full');
SELECT dyntable_clone('full_one', 'full_copy');
DELETE FROM item WHERE id = 2;
SELECT * FROM oracle('full_copy');
-- In a transaction with others
BEGIN;
SELECT dyntable_clone('bag', 'undone');
ROLLBACK;
SELECT to_regclass('undone'), count(*) AS left_over FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE nspname = 'dyntable' AND relname ~ '^stage_' AND relkind = 'r' AND NOT EXISTS (SELECT FROM dyntable.stage s WHERE s.stage = c.oid);
BEGIN;
SELECT dyntable_clone('bag', 'done_twice');
SELECT action FROM dyntable_refresh('done_twice');
COMMIT;
SELECT * FROM oracle('done_twice');
-- Refused
SELECT dyntable_clone('item', 'no');
SELECT dyntable_clone('bag', 'item');
SELECT dyntable_clone('bag', 'pg_catalog.bag');
SELECT dyntable_clone(NULL, 'no');
SELECT dyntable_clone('bag', NULL);
SELECT dyntable_clone('bag', 'pg_temp.no');
CREATE ROLE regress_dyn_clone;
GRANT USAGE, CREATE ON SCHEMA clone TO regress_dyn_clone;
SET ROLE regress_dyn_clone;
SELECT dyntable_clone('bag', 'theirs');
RESET ROLE;
GRANT SELECT ON bag TO regress_dyn_clone;
SET ROLE regress_dyn_clone;
SELECT dyntable_clone('bag', 'theirs');
RESET ROLE;
GRANT SELECT ON item TO regress_dyn_clone;
SET ROLE regress_dyn_clone;
SELECT dyntable_clone('bag', 'theirs');
RESET ROLE;
SELECT relowner::regrole FROM pg_class WHERE oid = 'theirs'::regclass;
INSERT INTO item VALUES (40, 0, 1, 'for them');
SELECT * FROM oracle('theirs');
ALTER TABLE bag ENABLE ROW LEVEL SECURITY;
SET ROLE regress_dyn_clone;
SELECT dyntable_clone('bag', 'hidden');
RESET ROLE;
ALTER TABLE bag DISABLE ROW LEVEL SECURITY;
SELECT dyntable_drop('theirs');

-- Swapping: whoever reads by name finds the other, whoever reads a table follows it
SELECT dyntable_create('blue', 'SELECT k, count(*) AS n FROM item GROUP BY k', target_lag => '1 day');
SELECT dyntable_create('green', 'SELECT k, count(*) * 10 AS n FROM item GROUP BY k', target_lag => '2 days');
SELECT dyntable_create('above_blue', 'SELECT sum(n) AS n FROM blue', target_lag => '1 day');
CREATE VIEW view_blue AS SELECT sum(n) AS n FROM blue;
GRANT SELECT ON blue TO regress_dyn_clone;
SELECT sum(n) FROM blue;
SELECT dyntable_swap('blue', 'green');
SELECT sum(n) FROM blue;
SELECT sum(n) FROM green;
SELECT n AS followed, (SELECT n FROM view_blue) AS viewed FROM above_blue;
SELECT name, target_lag FROM dyntable.dynamic_tables WHERE name IN ('blue', 'green') ORDER BY name;
SELECT has_table_privilege('regress_dyn_clone', 'blue', 'SELECT') AS blue, has_table_privilege('regress_dyn_clone', 'green', 'SELECT') AS green;
UPDATE item SET k = 0 WHERE id < 10;
SELECT name, (oracle(name::regclass)).* FROM unnest('{blue,green,above_blue}'::text[]) name;
BEGIN;
SELECT dyntable_swap('blue', 'green');
SELECT sum(n) < 100 AS back FROM blue;
ROLLBACK;
SELECT sum(n) < 100 AS back FROM blue;
-- across schemas, under different names
CREATE SCHEMA clone_other;
SELECT dyntable_create('clone_other.spare', 'SELECT k, -count(*) AS n FROM item GROUP BY k', target_lag => '1 day');
SELECT dyntable_swap('clone_other.spare', 'blue');
SELECT sum(n) < 0 AS exchanged FROM blue;
SELECT (oracle(name::regclass)).* FROM unnest('{clone_other.spare,blue}'::text[]) name;
-- refused
SELECT dyntable_swap('blue', 'blue');
SELECT dyntable_swap('blue', 'item');
SELECT dyntable_swap('blue', NULL);
SET ROLE regress_dyn_clone;
SELECT dyntable_swap('blue', 'green');
RESET ROLE;

-- Detaching: the table stays as it is, and nothing of ours with it
SELECT dyntable_detach('green');
SELECT dyntable_detach('plain');
SELECT dyntable_detach('summed_copy');
SELECT dyntable_drop('summed');
CREATE TABLE before AS TABLE plain;
SELECT dyntable_detach('plain');
SELECT count(*) AS rows, (SELECT count(*) FROM (TABLE plain EXCEPT ALL TABLE before) x) AS other FROM plain;
\d plain
INSERT INTO plain VALUES (99, 9, 9, 'by hand');
SELECT dyntable_refresh('plain');
SELECT count(*) FROM dyntable.dynamic_table WHERE relid = 'plain'::regclass;
SELECT count(*) AS depends FROM pg_depend d WHERE d.objid = 'plain'::regclass AND d.refclassid IN ('pg_class'::regclass, 'pg_extension'::regclass);
SELECT count(*) AS states FROM pg_class WHERE relname ~ ('^stage_' || 'plain'::regclass::oid || '_');
-- It can be read by dynamic tables like any other
SELECT dyntable_create('on_detached', 'SELECT k, count(*) AS n FROM plain GROUP BY k', target_lag => '1 day');
DELETE FROM plain WHERE id = 99;
SELECT * FROM oracle('on_detached');
SELECT dyntable_detach('item');
BEGIN;
SELECT dyntable_detach('bag');
ROLLBACK;
UPDATE item SET t = 'again' WHERE id = 3;
SELECT * FROM oracle('bag');
SET client_min_messages = warning;
DROP SCHEMA clone, clone_other CASCADE;
DROP ROLE regress_dyn_clone;
