--
-- Why a table stands still: in a word (waiting_for) and in words (standstill), which
-- say the same.  Failures, capture, restored tables, standbys: t/047_information.pl, t/041_dump.pl, t/040_bad_input.pl.
--
CREATE SCHEMA still;
SET search_path = still, public;
SET client_min_messages = warning;
CREATE TABLE src (id int PRIMARY KEY, v int);
INSERT INTO src VALUES (1, 1), (2, 2);
CREATE ROLE regress_still;
GRANT ALL ON SCHEMA still TO regress_still;
CREATE VIEW why AS SELECT name, scheduling_state_reason AS reason, waiting_for, standstill FROM dyntable.dynamic_tables WHERE schema_name = 'still' ORDER BY name;
SELECT dyntable_create('base', 'SELECT id, v FROM src', '1 day'), dyntable_create('middle', 'SELECT id, v FROM base', 'downstream'),
       dyntable_create('above', 'SELECT count(*) AS n FROM middle', '1 day');
-- nothing is wrong
TABLE why;
-- suspended, by whom and with what
ALTER TABLE base OWNER TO regress_still;
GRANT SELECT ON src TO regress_still;
SET ROLE regress_still;
SELECT dyntable_suspend('base');
RESET ROLE;
TABLE why;
SELECT dyntable_resume('base');
-- what it reads alone is: it does not wait for itself
SELECT dyntable_suspend('base', cascade => false);
TABLE why;
SELECT dyntable_resume('base');
-- a warehouse; one of what it reads
SELECT dyntable_warehouse('still_w', suspended => true, auto_resume => false), dyntable_alter('middle', warehouse => 'still_w');
TABLE why;
SELECT dyntable_alter('middle', warehouse => 'default'), dyntable_alter('above', warehouse => 'still_w');
TABLE why;
-- the warehouse of first fills, as long as it waits for one
SELECT dyntable_alter('above', warehouse => 'default', initialization_warehouse => 'still_w');
TABLE why;
SELECT dyntable_create('unfilled', 'SELECT id FROM src', '1 day', initialize => 'on_schedule', initialization_warehouse => 'still_w');
SELECT * FROM why WHERE name = 'unfilled';
DROP TABLE unfilled;
-- by hand; no consumer; one that has a schedule, or is suspended
SELECT dyntable_alter('above', schedule => 'manual');
TABLE why;
SELECT dyntable_alter('above', schedule => '0 3 * * *');
TABLE why;
SELECT dyntable_suspend('above');
TABLE why;
SELECT dyntable_alter('above', target_lag => 'downstream'), dyntable_resume('above');
TABLE why;
-- a clone
SELECT dyntable_clone('base', 'copy');
SELECT * FROM why WHERE name = 'copy';
-- nothing but the scheduler, which does not see it yet: before its first refresh, and when its lag is over
BEGIN;
SELECT dyntable_create('waits', 'SELECT v FROM src', '1 hour', 'full', initialize => 'on_schedule'),
       dyntable_create('slow', 'SELECT v FROM src', '100 ms', 'full');
DO $$ BEGIN
    WHILE (SELECT age < interval '100 ms' FROM dyntable.dynamic_tables WHERE name = 'slow') LOOP PERFORM pg_sleep(0.01); END LOOP;
END $$;
SELECT * FROM why WHERE name IN ('waits', 'slow');
ROLLBACK;
DROP SCHEMA still CASCADE;
SELECT dyntable_drop_warehouse('still_w');
DROP ROLE regress_still;
