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
\i examples/staging/08_alerts.sql
\i examples/staging/09_alerts_on_pg_cron.sql

CREATE SCHEMA guide;
-- Wait until a query says true, at most so many seconds.
CREATE PROCEDURE guide.wait_for(condition text, seconds integer DEFAULT 60)
    LANGUAGE plpgsql AS $$
DECLARE
    reached boolean;
BEGIN
    FOR i IN 1 .. seconds * 20 LOOP
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

-- pg_cron is to find something by itself while the items run, and to leave the rules alone that they evaluate.
SELECT cron.alter_job(jobid, active => false) FROM cron.job;
INSERT INTO monitoring.alert_rule (name, severity, schedule, condition, description)
VALUES ('guide_by_cron', 'INFO', '* * * * *', $$SELECT 'pg_cron', jsonb_build_object('at', now())$$, 'found by pg_cron alone');
SELECT cron.schedule('guide_by_cron', '* * * * *', $$SELECT monitoring.evaluate_alert('guide_by_cron')$$);
\o
\set ON_ERROR_STOP off
