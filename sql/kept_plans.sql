--
-- Plans of statements are kept from one refresh to the next: refreshes of one
-- session stay right whatever happens between them to what a plan rests on.
--
CREATE SCHEMA kept_plans;
SET search_path = kept_plans, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE item (id int PRIMARY KEY, customer int, amount int, at timestamptz);
CREATE INDEX item_customer ON item (customer);
CREATE TABLE customer (id int PRIMARY KEY, name text, grade int);
INSERT INTO item SELECT i, i % 50, i % 100, now() - make_interval(hours => i) FROM generate_series(1, 2000) i;
INSERT INTO customer SELECT i, 'customer ' || i, i % 3 FROM generate_series(0, 49) i;
ANALYZE item, customer;
CREATE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';

INSERT INTO definition (name, query) VALUES
    ('k_filter', 'SELECT id, customer, amount FROM item WHERE amount < 90'),
    ('k_function', 'SELECT id, doubled(amount) AS twice FROM item'),
    ('k_join', 'SELECT i.id, i.amount, c.name FROM item i JOIN customer c ON c.id = i.customer'),
    ('k_outer', 'SELECT c.id, i.amount FROM customer c LEFT JOIN item i ON i.customer = c.id AND i.amount > 95'),
    ('k_group', 'SELECT customer, count(*) AS n, sum(amount) AS total, max(amount) AS largest FROM item GROUP BY customer'),
    ('k_window', 'SELECT id, amount, rank() OVER (PARTITION BY customer ORDER BY amount, id) AS place FROM item'),
    ('k_moving', $$SELECT id, amount FROM item WHERE at > now() - interval '100 hours'$$),
    ('k_above', 'SELECT n, count(*) AS customers, sum(total) AS total FROM k_group GROUP BY n');
CALL create_all();

-- How many plans this session keeps.
CREATE FUNCTION kept() RETURNS bigint LANGUAGE sql AS
$$SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'dyntable kept plan'$$;

-- statements are kept, and used when they come again: there are no more of them then, but of k_moving, whose has the moment in it (fewer where the server tells of a change meanwhile)
CALL change('one row', 'UPDATE item SET amount = amount + 1 WHERE id = 7');
CALL change('one row again', 'UPDATE item SET amount = amount + 1 WHERE id = 7');
SELECT kept() > 10 AS kept;
CALL change('another row', 'UPDATE item SET amount = amount + 1 WHERE id = 1007');
CALL change('another row again', 'UPDATE item SET amount = amount + 1 WHERE id = 1007');
SELECT kept() AS before \gset
CALL change('and once more', 'UPDATE item SET amount = amount + 1 WHERE id = 1007');
SELECT kept() - :before <= 1 AS no_others;

-- another size, and back
CALL change('many rows', 'UPDATE item SET amount = (amount + 17) % 100');
CALL change('one row', 'UPDATE item SET amount = amount + 1 WHERE id = 7');
CALL change('very many rows', 'INSERT INTO item SELECT i, i % 50, i % 100, now() - interval ''1 year'' FROM generate_series(2001, 40000) i');
CALL change('one row', 'UPDATE item SET amount = amount + 1 WHERE id = 30007');
CALL change('all of them gone', 'DELETE FROM item WHERE id > 2000');
CALL change('one row', 'UPDATE item SET amount = amount + 1 WHERE id = 7');

-- rows leave the moving window
CALL change('the window moves', 'UPDATE item SET at = at - interval ''30 hours'' WHERE id = 90; UPDATE item SET at = now() WHERE id = 1900');

-- what plans rest on
ANALYZE item, customer;
CALL change('after ANALYZE', 'UPDATE item SET amount = amount + 1 WHERE id = 7');
DROP INDEX item_customer;
CALL change('after DROP INDEX', 'UPDATE item SET customer = 3 WHERE id = 7; UPDATE customer SET name = ''renamed'' WHERE id = 5');
ALTER TABLE customer DROP CONSTRAINT customer_pkey;
CALL change('after the key went', 'UPDATE item SET customer = 4 WHERE id = 8; UPDATE customer SET name = ''renamed again'' WHERE id = 5');
ALTER TABLE customer ADD PRIMARY KEY (id);
CREATE INDEX ON item (customer);
ALTER TABLE item RENAME customer TO client;
ALTER TABLE customer RENAME TO client;
UPDATE definition SET query = replace(replace(replace(query, 'customer c', 'client c'), 'i.customer', 'i.client'), 'item GROUP BY customer', 'item GROUP BY client')
WHERE name IN ('k_join', 'k_outer');
UPDATE definition SET query = replace(replace(query, 'PARTITION BY customer', 'PARTITION BY client'), 'SELECT id, customer', 'SELECT id, client AS customer')
WHERE name IN ('k_window', 'k_filter');
UPDATE definition SET query = replace(replace(query, 'SELECT customer', 'SELECT client AS customer'), 'BY customer', 'BY client') WHERE name = 'k_group';
CALL change('after renaming', 'UPDATE item SET client = 5 WHERE id = 9; UPDATE client SET name = ''once more'' WHERE id = 5');
ALTER TABLE client ADD CHECK (grade >= 0), ALTER grade SET NOT NULL;
CALL change('after a constraint', 'UPDATE client SET name = ''checked'' WHERE id = 5; INSERT INTO client VALUES (50, ''new'', 1)');
ALTER TABLE item ALTER amount TYPE bigint;
UPDATE definition SET query = replace(query, 'doubled(amount)', 'doubled(amount::int)') WHERE name = 'k_function';
SELECT dyntable_alter('k_function', query => (SELECT query FROM definition WHERE name = 'k_function'));
CALL change('after another type', 'UPDATE item SET amount = amount + 1 WHERE id = 7');
CALL change('and then', 'UPDATE item SET amount = amount + 1 WHERE id = 7');

-- a function replaced, and its text changed back
CREATE OR REPLACE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 20 * $1';
CALL change('a function replaced', 'UPDATE item SET amount = amount + 1 WHERE id = 7');
CALL change('and then', 'UPDATE item SET amount = amount + 1 WHERE id = 8');
CREATE OR REPLACE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CALL change('and back', 'UPDATE item SET amount = amount + 1 WHERE id = 7');

-- another query
UPDATE definition SET query = 'SELECT id, customer, amount FROM item_view WHERE amount < 80' WHERE name = 'k_filter';
CREATE VIEW item_view AS SELECT id, client AS customer, amount FROM item WHERE id <> 11;
SELECT dyntable_alter('k_filter', query => (SELECT query FROM definition WHERE name = 'k_filter'));
CALL change('another query', 'UPDATE item SET amount = amount + 1 WHERE id IN (7, 11)');
CALL change('and then', 'UPDATE item SET amount = amount + 1 WHERE id IN (7, 11)');
CREATE OR REPLACE VIEW item_view AS SELECT id, client AS customer, amount FROM item WHERE id <> 7;
CALL change('a view replaced', 'UPDATE item SET amount = amount + 1 WHERE id IN (7, 11)');
CALL change('and then', 'UPDATE item SET amount = amount - 5 WHERE id IN (7, 11)');

-- a user's triggers and indexes on the dynamic table
CREATE TABLE noted (id int, amount bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO kept_plans.noted VALUES (new.id, new.amount); RETURN NULL; END$$;
CREATE TRIGGER note AFTER UPDATE ON k_join FOR EACH ROW EXECUTE FUNCTION note();
CALL change('a trigger', 'UPDATE item SET amount = 77 WHERE id = 12');
DROP TRIGGER note ON k_join;
CALL change('no trigger', 'UPDATE item SET amount = 78 WHERE id = 12');
SELECT * FROM noted;

-- settings of the session, and another owner
SET enable_indexscan = off;
SET enable_hashjoin = off;
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
CALL change('other settings', 'UPDATE item SET amount = amount + 1 WHERE id = 7');
RESET enable_indexscan;
RESET enable_hashjoin;
RESET TimeZone;
RESET DateStyle;
CREATE ROLE kept_plans_other;
GRANT USAGE, CREATE ON SCHEMA kept_plans TO kept_plans_other;
GRANT SELECT ON item, client TO kept_plans_other;
ALTER TABLE k_join OWNER TO kept_plans_other;
CALL change('another owner', 'UPDATE item SET amount = amount + 1 WHERE id = 7');
CALL change('and then', 'UPDATE item SET amount = amount + 1 WHERE id = 8');
REVOKE SELECT ON client FROM kept_plans_other;
UPDATE item SET amount = amount + 1 WHERE id = 9;
SELECT count(*) FROM dyntable_refresh('k_join');
GRANT SELECT ON client TO kept_plans_other;
CALL change('allowed again', 'UPDATE item SET amount = amount + 1 WHERE id = 8');

-- what a transaction made and took back
BEGIN;
ALTER TABLE client ALTER name TYPE varchar(100);
DROP INDEX item_customer_idx;
UPDATE item SET amount = amount + 1 WHERE id = 7;
SELECT DISTINCT action FROM dyntable_refresh('k_outer', 'k_join');
ROLLBACK;
CALL change('a rollback', 'UPDATE item SET amount = amount + 1 WHERE id = 7');

SET client_min_messages = error;
DROP SCHEMA kept_plans CASCADE;
DROP ROLE kept_plans_other;
