/*
 * restore.sql: definitions on their way through a dump.
 *
 * pg_dump writes a dynamic table as the ordinary table that it is, with rows,
 * owner, grants, comment and indexes; state tables and change logs belong to
 * the extension and stay behind.  Definitions travel in dyntable.dump, which
 * is always empty: the condition that pg_dump puts behind its query adds what
 * dyntable.definitions() returns at that moment, names as they are today.
 * A restore inserts them again, and a trigger keeps them in dyntable.restored,
 * which nobody can read, until they are taken over.  Warehouses and tracked
 * sources travel in the same way.  Warehouses are there at once, tracked sources
 * when the first table is taken over: before, the restore may not be at its end.
 */
CREATE TABLE dyntable.dump (
    schema_name  text NOT NULL,
    name         text NOT NULL,
    query        text NOT NULL,
    definition   text NOT NULL,
    settings     text[] NOT NULL,
    target_lag   interval,
    schedule     text,
    refresh_mode text NOT NULL,
    initialize   text NOT NULL,
    warehouse    text NOT NULL,
    initialization_warehouse text,
    state        text NOT NULL,
    state_code   text,
    populated    boolean NOT NULL,
    identities   jsonb,
    frozen_where text,
    boundary     text[],
    changes_kept interval
);
COMMENT ON TABLE dyntable.dump IS 'what pg_dump takes the definitions of dynamic tables from, and a restore puts them into';

CREATE TABLE dyntable.restored (
    LIKE dyntable.dump,
    restored_on timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schema_name, name)
);
COMMENT ON TABLE dyntable.restored IS 'definitions that came with a dump and are not yet taken over';

CREATE FUNCTION dyntable.restored_relid(schema_name text, name text) RETURNS oid
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = schema_name AND c.relname = restored_relid.name AND c.relkind = 'r';
END;
COMMENT ON FUNCTION dyntable.restored_relid(text, text) IS 'the table that a restored definition is about; null where there is none';

-- What a table that is a dynamic one here was elsewhere is of no interest.
CREATE FUNCTION dyntable.keep_definition() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $keep$
BEGIN
    DELETE FROM dyntable.restored r WHERE r.schema_name = NEW.schema_name AND r.name = NEW.name;
    IF NOT EXISTS (SELECT FROM dyntable.dynamic_table t
                    WHERE t.relid = dyntable.restored_relid(NEW.schema_name, NEW.name)) THEN
        INSERT INTO dyntable.restored VALUES (NEW.*);
    END IF;
    RETURN NULL;
END
$keep$;
COMMENT ON FUNCTION dyntable.keep_definition() IS 'puts a restored definition aside until it is taken over';
REVOKE ALL ON FUNCTION dyntable.keep_definition() FROM PUBLIC;
CREATE TRIGGER keep_definition BEFORE INSERT ON dyntable.dump
    FOR EACH ROW EXECUTE FUNCTION dyntable.keep_definition();
ALTER TABLE dyntable.dump ENABLE ALWAYS TRIGGER keep_definition;

CREATE FUNCTION dyntable.query_text(relid oid) RETURNS text
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'dyntable_query_text';
COMMENT ON FUNCTION dyntable.query_text(oid)
    IS 'query of a dynamic table with qualified names; null where the stored text is all there is';

-- A dump must not fail on account of one query that cannot be written out.
CREATE FUNCTION dyntable.definition(relid oid, stored text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog
AS $definition$
BEGIN
    RETURN coalesce(dyntable.query_text(relid), stored);
EXCEPTION WHEN OTHERS THEN
    RETURN stored;
END
$definition$;
COMMENT ON FUNCTION dyntable.definition(oid, text) IS 'query_text, or the stored text where that fails';

REVOKE ALL ON FUNCTION dyntable.query_text(oid), dyntable.definition(oid, text) FROM PUBLIC;

-- A function, for pg_dump allows itself no views of users.
CREATE FUNCTION dyntable.definitions() RETURNS SETOF dyntable.dump
    LANGUAGE C STABLE
    AS 'MODULE_PATHNAME', 'dyntable_definitions';
COMMENT ON FUNCTION dyntable.definitions()
    IS 'definitions of dynamic tables as a dump carries them; of others only for members of pg_read_all_data';

-- Roles by name, for those of the same name where it is restored.
CREATE TABLE dyntable.dump_warehouse (
    name              text NOT NULL,
    owner             text NOT NULL,
    grantees          text[] NOT NULL,
    for_public        boolean NOT NULL,
    max_workers       integer,
    settings          jsonb NOT NULL,
    statement_timeout interval,
    auto_suspend      interval,
    auto_resume       boolean NOT NULL,
    suspended         boolean NOT NULL,
    comment           text
);
COMMENT ON TABLE dyntable.dump_warehouse IS 'what pg_dump takes warehouses from, and a restore puts them into';

CREATE FUNCTION dyntable.dumped_warehouses() RETURNS SETOF dyntable.dump_warehouse
    LANGUAGE C STABLE
    AS 'MODULE_PATHNAME', 'dyntable_dumped_warehouses';
COMMENT ON FUNCTION dyntable.dumped_warehouses()
    IS 'warehouses as a dump carries them; those of others only for members of pg_read_all_data';

-- A warehouse that is there stays as it is, but for default as CREATE EXTENSION made it.
CREATE FUNCTION dyntable.keep_warehouse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $keep$
DECLARE
    missing text[] := ARRAY(SELECT DISTINCT g FROM unnest(NEW.grantees || NEW.owner) g WHERE to_regrole(quote_ident(g)) IS NULL ORDER BY g);
BEGIN
    INSERT INTO dyntable.warehouse AS w (name, owner, grantees, max_workers, settings, statement_timeout, auto_suspend, auto_resume, suspended, comment)
    VALUES (NEW.name, coalesce(to_regrole(quote_ident(NEW.owner)), quote_ident(current_user)::regrole),
            ARRAY(SELECT 0::oid WHERE NEW.for_public UNION ALL
                  SELECT to_regrole(quote_ident(g))::oid FROM unnest(NEW.grantees) g WHERE to_regrole(quote_ident(g)) IS NOT NULL ORDER BY 1),
            NEW.max_workers, NEW.settings, NEW.statement_timeout, NEW.auto_suspend, NEW.auto_resume, NEW.suspended, NEW.comment)
    ON CONFLICT (name) DO UPDATE
    SET (owner, grantees, max_workers, settings, statement_timeout, auto_suspend, auto_resume, suspended, comment) =
        (excluded.owner, excluded.grantees, excluded.max_workers, excluded.settings, excluded.statement_timeout,
         excluded.auto_suspend, excluded.auto_resume, excluded.suspended, excluded.comment)
    WHERE w.name = 'default' AND w.grantees = '{0}' AND w.max_workers IS NULL AND w.settings = '{}' AND w.statement_timeout IS NULL
      AND w.auto_suspend = '1 minute' AND w.auto_resume AND NOT w.suspended AND w.comment IS NULL;
    IF FOUND AND missing <> '{}' THEN
        RAISE WARNING 'roles of warehouse "%" do not exist here: %', NEW.name, array_to_string(missing, ', ')
            USING HINT = 'dyntable_warehouse() gives it another owner, and grants it.';
    END IF;
    RETURN NULL;
END
$keep$;
COMMENT ON FUNCTION dyntable.keep_warehouse() IS 'makes a warehouse that came with a dump';
REVOKE ALL ON FUNCTION dyntable.keep_warehouse() FROM PUBLIC;
CREATE TRIGGER keep_warehouse BEFORE INSERT ON dyntable.dump_warehouse
    FOR EACH ROW EXECUTE FUNCTION dyntable.keep_warehouse();
ALTER TABLE dyntable.dump_warehouse ENABLE ALWAYS TRIGGER keep_warehouse;

-- Rows stay here until they are taken over; grantee null: every role.
CREATE TABLE dyntable.dump_tracked (
    schema_name text NOT NULL,
    name        text NOT NULL,
    grantee     text,
    identities  jsonb
);
COMMENT ON TABLE dyntable.dump_tracked IS 'what pg_dump takes tracked sources from, and a restore puts them into';

CREATE FUNCTION dyntable.dumped_tracked() RETURNS SETOF dyntable.dump_tracked
    LANGUAGE C STABLE
    AS 'MODULE_PATHNAME', 'dyntable_dumped_tracked';
COMMENT ON FUNCTION dyntable.dumped_tracked()
    IS 'tracked sources as a dump carries them; those of others only for members of pg_read_all_data';

-- pg_dump locks and reads these, whoever runs it.
GRANT SELECT ON dyntable.dump, dyntable.dump_warehouse, dyntable.dump_tracked TO PUBLIC;
SELECT pg_extension_config_dump('dyntable.dump', 'WHERE true UNION ALL SELECT * FROM dyntable.definitions()');
SELECT pg_extension_config_dump('dyntable.dump_warehouse', 'WHERE true UNION ALL SELECT * FROM dyntable.dumped_warehouses()');
SELECT pg_extension_config_dump('dyntable.dump_tracked', 'WHERE true UNION ALL SELECT * FROM dyntable.dumped_tracked()');
