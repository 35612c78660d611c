-- 09: the alerts of 08 on pg_cron, each rule on its schedule.
--
--     psql -f 09_alerts_on_pg_cron.sql       in the database that cron.database_name names
--
-- postgresql.conf: shared_preload_libraries = 'pg_cron,dyntable', cron.database_name, and
-- cron.use_background_workers = on (or a pg_hba.conf that lets pg_cron in).  pg_cron
-- looks at the clock once a minute.  After a change of a schedule call
-- monitoring.schedule_alerts() again.
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS pg_cron;

CREATE OR REPLACE FUNCTION monitoring.schedule_alerts() RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    scheduled integer := 0;
    r         record;
BEGIN
    PERFORM cron.unschedule(jobname) FROM cron.job
    WHERE starts_with(jobname, 'alert ') AND database = current_database()
      AND NOT EXISTS (SELECT FROM monitoring.alert_rule a WHERE jobname = 'alert ' || a.name AND a.enabled);
    FOR r IN SELECT * FROM monitoring.alert_rule WHERE enabled ORDER BY name LOOP
        PERFORM cron.schedule('alert ' || r.name, r.schedule, format('SELECT monitoring.evaluate_alert(%L)', r.name));
        scheduled := scheduled + 1;
    END LOOP;
    RETURN scheduled;
END
$$;
COMMENT ON FUNCTION monitoring.schedule_alerts() IS 'give each enabled rule its job in pg_cron, and take away those of others';

SELECT monitoring.schedule_alerts() AS rules_scheduled;

-- What is kept does not grow for ever.
SELECT cron.schedule('monitoring: forget', '30 3 * * *', $$
    DELETE FROM monitoring.alert_firing WHERE cleared_at < now() - interval '90 days';
    DELETE FROM monitoring.data_quality_history h WHERE recorded_at < now() - interval '90 days'
        AND EXISTS (SELECT FROM monitoring.data_quality_history l WHERE l.table_name = h.table_name AND l.recorded_at > h.recorded_at);
    DELETE FROM cron.job_run_details WHERE end_time < now() - interval '7 days'$$) AS job;
