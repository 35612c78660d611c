--
-- Duplicates and set operations.
--
CREATE SCHEMA sql_sets;
SET search_path = sql_sets, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TABLE l (a int, b text, n numeric(8,2));
CREATE TABLE r (a bigint, b varchar(9), n int);
INSERT INTO l VALUES (1, 'a', 1), (1, 'a', 1), (2, 'b', 2), (NULL, 'x', 3), (NULL, NULL, NULL);
INSERT INTO r VALUES (1, 'a', 1), (2, 'c', 2), (NULL, 'x', 3);
INSERT INTO definition (name, query) VALUES
    ('d_distinct', 'SELECT DISTINCT a, b FROM l'),
    ('d_union', 'SELECT a, b FROM l UNION SELECT a, b FROM r'),
    ('d_union_all', 'SELECT a, b FROM l UNION ALL SELECT a, b FROM r');
CALL create_all();
CALL change('new rows, equal rows', $$INSERT INTO l VALUES (1, 'a', 1), (3, 'q', 1), (NULL, NULL, 4); INSERT INTO r VALUES (3, 'q', 7)$$);
CALL change('one side', $$DELETE FROM l WHERE a = 1; UPDATE l SET b = 'c' WHERE a = 2$$);
CALL change('nothing', $$UPDATE l SET a = a$$);
CALL change('to none', $$DELETE FROM l; DELETE FROM r$$);
CALL change('from none', $$INSERT INTO r VALUES (1, NULL, 1), (1, NULL, 1)$$);

DROP SCHEMA sql_sets CASCADE;
