--
-- security_barrier views: nothing leaks through a dynamic table.
--
CREATE SCHEMA sql_barrier;
SET search_path = sql_barrier, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE secret (id int PRIMARY KEY, grp int, word text, hidden boolean);
CREATE TABLE other (id int PRIMARY KEY, word text);
INSERT INTO secret SELECT i, i % 3, 'word ' || i, i % 4 = 0 FROM generate_series(1, 12) i;
INSERT INTO other SELECT i, 'word ' || i FROM generate_series(1, 6) i;
CREATE VIEW shown WITH (security_barrier) AS SELECT id, grp, word FROM secret WHERE NOT hidden;
CREATE VIEW counted WITH (security_barrier) AS SELECT grp, count(*) AS n, max(word) AS word FROM secret WHERE NOT hidden GROUP BY grp;

-- tells what it sees, and costs less than the view's condition
CREATE FUNCTION told(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0000001 AS
$$ BEGIN IF $1 IN ('word 4', 'word 8', 'word 12', 'word 16') THEN RAISE WARNING 'saw %', $1; END IF; RETURN true; END $$;

INSERT INTO definition (name, query) VALUES
    ('d_shown', 'SELECT id, word FROM shown WHERE sql_barrier.told(word)'),
    ('d_join', 'SELECT s.id, o.id AS other FROM shown s JOIN other o ON s.word = o.word AND sql_barrier.told(s.word)'),
    ('d_left', 'SELECT o.id, s.grp FROM other o LEFT JOIN shown s ON s.word = o.word AND sql_barrier.told(s.word)'),
    ('d_exists', 'SELECT id FROM other o WHERE EXISTS (SELECT FROM shown s WHERE s.word = o.word AND sql_barrier.told(s.word))'),
    ('d_counted', 'SELECT o.id, c.n FROM counted c, other o WHERE c.grp = o.id % 3 AND sql_barrier.told(c.word)'),
    ('d_top', 'SELECT id FROM shown WHERE sql_barrier.told(word) ORDER BY word DESC, id LIMIT 4'),
    ('d_leakproof', 'SELECT s.id, o.word FROM shown s JOIN other o ON s.id = o.id WHERE s.grp > 0');
CALL create_all();
CALL change('rows hidden and not', $$INSERT INTO secret VALUES (16, 1, 'word 16', true), (17, 1, 'word 17', false); UPDATE secret SET grp = grp + 1 WHERE id IN (4, 5)$$);
CALL change('the other side', $$INSERT INTO other VALUES (8, 'word 8'), (9, 'word 9'), (17, 'word 17'); DELETE FROM other WHERE id = 2$$);
CALL change('both', $$DELETE FROM secret WHERE id IN (3, 8, 16); UPDATE other SET word = 'word 7' WHERE id IN (4, 5)$$);


-- what it would have told
SELECT count(*) FROM secret WHERE told(word);

DROP SCHEMA sql_barrier CASCADE;
