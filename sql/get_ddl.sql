--
-- dyntable_get_ddl: what it returns creates the same table again.
--
SET client_min_messages = warning;
CREATE SCHEMA ddl;
CREATE SCHEMA ddl_other;
SET search_path = ddl, public;
CREATE TABLE src (id int PRIMARY KEY, k text, v int);
INSERT INTO src SELECT i, 'k' || i % 3, i FROM generate_series(1, 9) i;
SELECT dyntable_create('plain', 'SELECT id, k FROM src');
SELECT dyntable_create('"All of it"', 'SELECT k, count(*) AS "n ''s", ''$x$'' AS "it''s"
FROM src WHERE k <> ''a\b'' GROUP BY k', target_lag => '90 seconds', refresh_mode => 'full', initialize => 'on_schedule', comment => 'it''s all \ of it');
COMMENT ON COLUMN "All of it"."n 's" IS 'how many';
SELECT dyntable_create('follows', 'SELECT id FROM src', target_lag => 'downstream', refresh_mode => 'incremental');
SELECT dyntable_create('cron', 'SELECT id FROM src', schedule => '0 2 * * *');
SELECT dyntable_create('fast', 'SELECT ''$query$'' || id AS id FROM src', target_lag => '250 milliseconds');
\pset format unaligned
\pset tuples_only on
SELECT dyntable_get_ddl(relid) FROM dyntable.dynamic_tables WHERE schema_name = 'ddl' ORDER BY name;
\pset tuples_only off
\pset format aligned

-- Dropped and made again by it, each has the same DDL
CREATE TABLE before AS SELECT name, dyntable_get_ddl(relid) AS ddl FROM dyntable.dynamic_tables WHERE schema_name = 'ddl';
SELECT name, dyntable_drop(format('ddl.%I', name)) FROM before ORDER BY name;
SELECT format(E'%s', ddl) FROM before ORDER BY name \gexec
SELECT b.name, dyntable_get_ddl(d.relid) = b.ddl AS same FROM before b LEFT JOIN dyntable.dynamic_tables d ON d.name = b.name AND d.schema_name = 'ddl' ORDER BY b.name;

-- Names are qualified where the query would mean something else to who asks, or nothing
SET search_path = ddl_other, public;
SELECT dyntable_get_ddl('ddl.plain');
CREATE TABLE ddl_other.src (id int, k text);
SELECT dyntable_get_ddl('ddl.plain');
SET search_path = ddl, public;
ALTER TABLE ddl.src RENAME TO renamed;
SELECT dyntable_get_ddl('plain');
SELECT dyntable_drop('plain');
SELECT dyntable_create('ddl.plain', ' SELECT id,
    k
   FROM ddl.renamed');

-- Not everybody's
SELECT dyntable_get_ddl('ddl.renamed');
SELECT dyntable_get_ddl(NULL);
CREATE ROLE regress_dyn_ddl;
GRANT USAGE ON SCHEMA ddl TO regress_dyn_ddl;
GRANT SELECT ON ALL TABLES IN SCHEMA ddl TO regress_dyn_ddl;
SET ROLE regress_dyn_ddl;
SELECT dyntable_get_ddl('ddl.plain');
RESET ROLE;
GRANT pg_read_all_stats TO regress_dyn_ddl;
SET ROLE regress_dyn_ddl;
SELECT dyntable_get_ddl('ddl.plain') IS NOT NULL AS shown;
RESET ROLE;
DROP SCHEMA ddl, ddl_other CASCADE;
DROP ROLE regress_dyn_ddl;
