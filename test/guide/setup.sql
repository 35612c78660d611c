-- What the items rest on: the staging layer with a little data, on a schedule that does not disturb them.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\o /dev/null
\set lag_factor 1
\i examples/staging/01_schemas_and_landing_tables.sql
\i examples/staging/02_generator.sql
SELECT * FROM generator.fill(0.1, 7);
\i examples/staging/03_dynamic_tables.sql
\i examples/staging/04_feeder.sql
\i examples/staging/05_warehouse.sql
\i examples/staging/06_monitoring.sql

CREATE SCHEMA guide;
-- Wait until a query says true, at most half a minute.
CREATE PROCEDURE guide.wait_for(condition text)
    LANGUAGE plpgsql AS $$
DECLARE
    reached boolean;
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXECUTE condition INTO reached;
        IF reached THEN
            RETURN;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RAISE EXCEPTION 'waited in vain for %', condition;
END
$$;
\o
\set ON_ERROR_STOP off
