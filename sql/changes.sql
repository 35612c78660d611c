--
-- The change feed: who follows a table by its changes has the table.
--
\set VERBOSITY terse
CREATE SCHEMA feed;
SET timezone = 'UTC';
SET search_path = feed, public;
CREATE TABLE src (id int PRIMARY KEY, g text, v numeric, at timestamptz, tags text[]);
INSERT INTO src SELECT i, 'g' || i % 3, i, '2026-01-01'::timestamptz + i * interval '1 hour', ARRAY['a', i::text] FROM generate_series(1, 20) i;
SELECT dyntable_create('keyed', 'SELECT id, g, v, at, tags, now() AS seen FROM src WHERE v > 2', target_lag => '1 day');
SELECT dyntable_create('bag', 'SELECT g, v % 4 AS r FROM src', target_lag => '1 day');
SELECT dyntable_create('sums', 'SELECT g, sum(v) AS total, count(*) AS n FROM src GROUP BY g', target_lag => '1 day');
-- not before the owner says so
SELECT * FROM dyntable_changes('keyed');
SELECT * FROM dyntable_changes('src');
SELECT dyntable_follow('keyed', '-1 day');

-- copies of now, and a procedure that follows
CREATE TABLE keyed_copy AS TABLE keyed;
CREATE TABLE bag_copy AS TABLE bag;
CREATE TABLE sums_copy AS TABLE sums;
CREATE TABLE reached AS SELECT t, dyntable_follow(t) AS no FROM unnest('{keyed,bag,sums}'::regclass[]) t;
SELECT t, no = (SELECT refresh_no FROM dyntable.dynamic_tables WHERE relid = t) AS current FROM reached ORDER BY t;
SELECT name, changes_kept FROM dyntable.dynamic_tables WHERE schema_name = 'feed' ORDER BY 1;
CREATE PROCEDURE catch_up(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    c record;
    removed int;
BEGIN
    FOR c IN SELECT f.* FROM reached r, dyntable_changes(r.t, since => r.no) WITH ORDINALITY f WHERE r.t = catch_up.t ORDER BY f.ordinality LOOP
        IF c.action = 'delete' THEN
            EXECUTE format('DELETE FROM %1$s WHERE ctid = (SELECT ctid FROM %1$s x WHERE to_jsonb(x) = $1 LIMIT 1)', t || '_copy') USING c.data;
            GET DIAGNOSTICS removed = ROW_COUNT;
            IF removed <> 1 THEN RAISE EXCEPTION 'no such row: %', c.data; END IF;
        ELSE
            EXECUTE format('INSERT INTO %1$s SELECT * FROM jsonb_populate_record(NULL::%1$s, $1)', t || '_copy') USING c.data;
        END IF;
        UPDATE reached SET no = c.refresh_no WHERE reached.t = catch_up.t;
    END LOOP;
END $$;
CREATE FUNCTION differs(t regclass) RETURNS TABLE (name text, rows bigint, missing bigint, unexpected bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT %L, (SELECT count(*) FROM %s), (SELECT count(*) FROM (TABLE %2$s EXCEPT ALL TABLE %2$s_copy) a),'
        ' (SELECT count(*) FROM (TABLE %2$s_copy EXCEPT ALL TABLE %2$s) b)', t, t);
END $$;

-- one change of each kind, and what the feed says of it
INSERT INTO src VALUES (21, 'g1', 21, '-infinity', '{}'), (22, NULL, 'NaN', NULL, NULL);
UPDATE src SET v = v + 0.50 WHERE id = 5;
DELETE FROM src WHERE id = 7;
UPDATE src SET id = 1006 WHERE id = 6;
SELECT name, action, rows_inserted, rows_updated, rows_deleted FROM dyntable_refresh('keyed', 'bag', 'sums') ORDER BY 1;
SELECT refresh_no - (SELECT no FROM reached WHERE t = 'keyed'::regclass) AS later, action, is_update, data - 'seen' AS data FROM dyntable_changes('keyed')
ORDER BY refresh_no, data ->> 'id', action;
SELECT action, is_update, data FROM dyntable_changes('sums') ORDER BY data ->> 'g', action;
SELECT action, is_update, data FROM dyntable_changes('bag') ORDER BY data ->> 'g', data ->> 'r', action;
CALL catch_up('keyed'); CALL catch_up('bag'); CALL catch_up('sums');
SELECT d.* FROM reached, differs(t) d ORDER BY 1;

-- more of them, in several refreshes, one in full; the follower comes late
UPDATE src SET g = 'g' || id % 5;
SELECT count(*) FROM dyntable_refresh('keyed', 'bag', 'sums');
INSERT INTO src SELECT i, 'g' || i % 4, i % 7, now(), ARRAY[NULL, 'x"y'] FROM generate_series(100, 200) i;
SELECT count(*) FROM dyntable_refresh('keyed', 'bag', 'sums');
SELECT count(*) FROM dyntable_refresh('keyed', 'bag', 'sums');
TRUNCATE src;
INSERT INTO src SELECT i, 'g' || i % 2, i, now(), NULL FROM generate_series(1, 30) i;
SELECT name, action FROM dyntable_refresh('keyed', 'bag', 'sums') ORDER BY 1;
CALL catch_up('keyed'); CALL catch_up('bag'); CALL catch_up('sums');
SELECT d.* FROM reached, differs(t) d ORDER BY 1;
-- by time
SELECT count(*) > 0 AS later_than_hour FROM dyntable_changes('bag', since_time => (SELECT data_timestamp FROM dyntable_changes('bag') ORDER BY refresh_no LIMIT 1));
SELECT count(*) FROM dyntable_changes('bag', since_time => now());

-- what is older than it is to be kept goes, and whoever needs it is told
SELECT dyntable_follow('bag', '0 seconds') > 0;
INSERT INTO src VALUES (5000, 'late', 1, now(), NULL);
SELECT action FROM dyntable_refresh('bag');
INSERT INTO src VALUES (5001, 'later', 1, now(), NULL);
SELECT action FROM dyntable_refresh('bag');
SELECT action, data ->> 'g' AS g FROM dyntable_changes('bag');
SELECT * FROM reached, dyntable_changes(t, since => 1) WHERE t = 'bag'::regclass;
SELECT * FROM dyntable_changes('bag', since_time => now() - interval '1 hour');
SELECT * FROM dyntable_changes('bag', since => 1000000);
-- no columns of the table are columns of the feed: another query begins it anew, or goes on
SELECT dyntable_alter('sums', query => 'SELECT g, sum(v) AS total, count(*) AS n, max(v) AS most FROM src GROUP BY g');
SELECT action FROM dyntable_refresh('sums');
DELETE FROM src WHERE id = 5001;
SELECT action FROM dyntable_refresh('sums');
SELECT action, is_update, data FROM dyntable_changes('sums', since => (SELECT refresh_no - 1 FROM dyntable.dynamic_tables WHERE name = 'sums'));

-- rights: to read the changes takes what reading the table takes, to have them kept the owner
CREATE ROLE regress_feed_reader;
GRANT USAGE ON SCHEMA feed TO regress_feed_reader;
SET ROLE regress_feed_reader;
SELECT count(*) FROM dyntable_changes('sums');
SELECT dyntable_follow('sums');
RESET ROLE;
GRANT SELECT ON sums TO regress_feed_reader;
SET ROLE regress_feed_reader;
SELECT count(*) > 0 AS some FROM dyntable_changes('sums');
SELECT dyntable_follow('sums', NULL);
RESET ROLE;
ALTER TABLE sums ENABLE ROW LEVEL SECURITY;
SET ROLE regress_feed_reader;
SELECT count(*) FROM dyntable_changes('sums');
RESET ROLE;
-- no more of it
SELECT dyntable_follow('sums', keep => NULL) > 0;
SELECT * FROM dyntable_changes('sums');
DROP TABLE keyed;
SELECT count(*) FROM dyntable.feed WHERE relid NOT IN (SELECT relid FROM dyntable.dynamic_table);
SET client_min_messages = warning;
DROP SCHEMA feed CASCADE;
DROP ROLE regress_feed_reader;
