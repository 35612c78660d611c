\set ECHO none
--
-- The oracle for scripts of pg_regress: dynamic tables over definitions, and
-- after each change a refresh and a comparison in one transaction.
--
--     CREATE SCHEMA sql_thing;
--     SET search_path = sql_thing, public;
--     \getenv srcdir PG_ABS_SRCDIR
--     \set oracle :srcdir '/sql/include/oracle.sql'
--     \i :oracle
--     CREATE TABLE …                         sources and their first rows
--     INSERT INTO definition (name, query) VALUES …
--     CALL create_all();                     a dynamic table for each
--     CALL change('insert', $$INSERT …$$);   one transaction of changes
--     DROP SCHEMA sql_thing CASCADE;
--
-- change() tells for each table what the refresh did, how many rows it has,
-- whether they are others than before, and how they differ from what the
-- query returns ("missing": what the query returns and the table lacks).
-- Rows are compared by "=", values of types without it as text.
--
SET client_min_messages = warning;
SET jit = off;                                 -- its estimates of functions' rows cost more than they save
CREATE TABLE definition (
    no      int GENERATED ALWAYS AS IDENTITY,
    name    text PRIMARY KEY,
    query   text NOT NULL,
    mode    text NOT NULL DEFAULT 'incremental',
    ignored text[] NOT NULL DEFAULT '{}',      -- columns that are as of the row's last write
    content numeric                            -- a hash of the rows; null: not created
);

-- Compares a dynamic table with its query under the transaction's snapshot.
CREATE FUNCTION compare(definition, OUT rows bigint, OUT content numeric, OUT difference text)
LANGUAGE plpgsql AS $$
DECLARE
    columns text;
    sample  text;
    missing bigint;
    unexpected bigint;
BEGIN
    SELECT string_agg(format(CASE WHEN coalesce(nullif(t.typelem, 0), t.oid)::regtype IN
                          ('json', 'xml', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle')
                          THEN '%I::text AS %1$I' ELSE '%I' END, a.attname), ', ' ORDER BY a.attnum) INTO columns
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1.name::regclass AND a.attnum > 0 AND a.attname <> ALL ($1.ignored);
    EXECUTE format('SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM (SELECT %s FROM %I) t', columns, $1.name)
        INTO rows, content;
    EXECUTE format('WITH asked AS MATERIALIZED (SELECT %1$s FROM (%2$s) q), held AS (SELECT %1$s FROM %3$I),
                    missing AS (TABLE asked EXCEPT ALL TABLE held), unexpected AS (TABLE held EXCEPT ALL TABLE asked)
                    SELECT (SELECT count(*) FROM missing), (SELECT count(*) FROM unexpected),
                           (SELECT string_agg(x::text, '' '') FROM (SELECT ''missing '' || m::text AS x FROM missing m LIMIT 3) x)
                           || (SELECT string_agg(x::text, '' '') FROM (SELECT ''unexpected '' || u::text AS x FROM unexpected u LIMIT 3) x)',
                   columns, $1.query, $1.name) INTO missing, unexpected, sample;
    IF missing + unexpected > 0 THEN
        difference := format('DIFFERENT: %s missing, %s unexpected, %s', missing, unexpected, sample);
    END IF;
END $$;

CREATE FUNCTION told(name text, action text, rows bigint, changed boolean, difference text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE INFO '% % % rows, %', rpad(name, 24), rpad(action, 12), lpad(rows::text, 3),
        coalesce(difference, CASE WHEN changed THEN 'changed' ELSE 'same' END);
END $$;

-- Makes the dynamic tables that are not there yet.
CREATE PROCEDURE create_all() LANGUAGE plpgsql AS $$
DECLARE
    d definition;
    c record;
BEGIN
    FOR d IN SELECT * FROM definition WHERE definition.content IS NULL ORDER BY no
    LOOP
        PERFORM dyntable_create(d.name, d.query, '1 day', d.mode);
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;     -- now() is that of the refresh
        PERFORM dyntable_refresh(d.name::regclass);
        c := compare(d);
        PERFORM told(d.name, 'created', c.rows, NULL, coalesce(c.difference, 'equal'));
        UPDATE definition SET content = c.content WHERE definition.name = d.name;
        COMMIT;
    END LOOP;
END $$;

-- Runs changes in one transaction, then refreshes and compares all tables in another.
CREATE PROCEDURE change(what text, changes text) LANGUAGE plpgsql AS $$
DECLARE
    d definition;
    c record;
    actions jsonb;
BEGIN
    EXECUTE changes;
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    SELECT jsonb_object_agg(r.name, r.action) INTO actions
    FROM dyntable_refresh(VARIADIC (SELECT array_agg(definition.name::regclass ORDER BY no) FROM definition)) r;
    FOR d IN SELECT * FROM definition ORDER BY no
    LOOP
        c := compare(d);
        PERFORM told(d.name, actions ->> d.name::regclass::text, c.rows, c.content <> d.content, c.difference);
        UPDATE definition SET content = c.content WHERE definition.name = d.name;
    END LOOP;
    COMMIT;
END $$;
\set VERBOSITY terse
\set ECHO all
