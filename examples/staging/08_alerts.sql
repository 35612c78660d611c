-- 08: alerts.
--
--     SELECT * FROM monitoring.evaluate_alerts();        all rules, now
--     SELECT * FROM monitoring.evaluate_alert('stale_data');
--
-- A rule is a query whose rows are what is wrong just now: a subject and details.  A
-- subject that was not there before fires, one that is gone is over; in between nothing
-- is said.  Firings are kept.  Both go out by NOTIFY on the rule's channel and to a function
-- of yours.  09_alerts_on_pg_cron.sql evaluates each rule on its schedule; without pg_cron
-- call evaluate_alerts() from whatever you have.
--
-- Rules run with the rights of who evaluates them: let nobody else write monitoring.alert_rule.
\set ON_ERROR_STOP on
CREATE SCHEMA IF NOT EXISTS monitoring;

CREATE TABLE IF NOT EXISTS monitoring.alert_rule (
    name              text PRIMARY KEY,
    severity          text NOT NULL CHECK (severity IN ('CRITICAL', 'WARNING', 'INFO')),
    schedule          text NOT NULL,
    condition         text NOT NULL,
    threshold         numeric,
    description       text NOT NULL,
    channel           text NOT NULL DEFAULT 'dyntable_alerts',
    action            regproc,
    enabled           boolean NOT NULL DEFAULT true,
    silenced_until    timestamptz,
    last_evaluated_at timestamptz,
    last_seen         pg_snapshot,
    last_error        text
);
COMMENT ON TABLE monitoring.alert_rule IS 'what is watched for, how often, and who is told';
COMMENT ON COLUMN monitoring.alert_rule.schedule IS 'for pg_cron';
COMMENT ON COLUMN monitoring.alert_rule.condition
    IS 'a query for (subject text, details jsonb); $1 is the threshold, $2 the snapshot of the last evaluation (null: none)';
COMMENT ON COLUMN monitoring.alert_rule.action IS 'a function (alert jsonb) that is called with what is sent, e.g. to page or to mail; null: none';
COMMENT ON COLUMN monitoring.alert_rule.silenced_until IS 'firings are recorded and not told until then; what still fires then is told';
COMMENT ON COLUMN monitoring.alert_rule.last_error IS 'why the condition could not be evaluated; null: it could';

CREATE TABLE IF NOT EXISTS monitoring.alert_firing (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule           text NOT NULL REFERENCES monitoring.alert_rule ON UPDATE CASCADE ON DELETE CASCADE,
    subject        text NOT NULL,
    severity       text NOT NULL,
    fired_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    times_seen     integer NOT NULL DEFAULT 1,
    details        jsonb,
    told_at        timestamptz,
    cleared_at     timestamptz,
    delivery_error text
);
CREATE UNIQUE INDEX IF NOT EXISTS alert_firing_open ON monitoring.alert_firing (rule, subject) WHERE cleared_at IS NULL;
COMMENT ON TABLE monitoring.alert_firing IS 'what has fired: at most one open firing of a rule for a subject';
COMMENT ON COLUMN monitoring.alert_firing.times_seen IS 'in how many evaluations it was there';
COMMENT ON COLUMN monitoring.alert_firing.told_at IS 'null: the rule was silenced';
COMMENT ON COLUMN monitoring.alert_firing.delivery_error IS 'why the rule''s function failed; NOTIFY was sent all the same';

-- Tell of a firing, or that it is over.  A function that fails must not keep others from being
-- told, nor the firing from being recorded.
CREATE OR REPLACE FUNCTION monitoring.tell(rule monitoring.alert_rule, firing monitoring.alert_firing) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    alert jsonb := jsonb_build_object('event', CASE WHEN firing.cleared_at IS NULL THEN 'fired' ELSE 'cleared' END,
        'rule', rule.name, 'severity', rule.severity, 'subject', firing.subject, 'fired_at', firing.fired_at,
        'cleared_at', firing.cleared_at, 'times_seen', firing.times_seen, 'details', firing.details, 'id', firing.id);
    whole text := alert::text;
BEGIN
    -- what NOTIFY takes is 8000 bytes
    PERFORM pg_notify(rule.channel, CASE WHEN octet_length(whole) < 8000 THEN whole ELSE (alert - 'details')::text END);
    IF rule.action IS NOT NULL THEN
        BEGIN
            EXECUTE format('SELECT %s($1)', rule.action) USING alert;
        EXCEPTION WHEN OTHERS THEN
            RETURN format('%s (%s)', SQLERRM, SQLSTATE);
        END;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION monitoring.tell(monitoring.alert_rule, monitoring.alert_firing) IS 'NOTIFY and the rule''s function; returns why the function failed';

CREATE OR REPLACE FUNCTION monitoring.evaluate_alert(rule_name text, OUT rule text, OUT fired integer, OUT cleared integer,
                                                     OUT still_open integer, OUT error text)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r     monitoring.alert_rule;
    f     monitoring.alert_firing;
    wrong jsonb;
    seen  pg_snapshot := pg_current_snapshot();
BEGIN
    rule := rule_name;
    fired := 0;
    cleared := 0;
    -- One evaluation of a rule at a time.
    SELECT * INTO r FROM monitoring.alert_rule a WHERE a.name = rule_name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert rule "%" does not exist', rule_name USING ERRCODE = 'undefined_object';
    END IF;
    IF r.enabled THEN
        BEGIN
            EXECUTE format('SELECT coalesce(jsonb_object_agg(subject, details), ''{}'') FROM (%s) AS w (subject, details)', r.condition)
            INTO wrong USING r.threshold, r.last_seen;
        EXCEPTION WHEN OTHERS THEN
            -- Nothing is known, so nothing is cleared.
            error := format('%s (%s)', SQLERRM, SQLSTATE);
            wrong := NULL;
        END;
    ELSE
        wrong := '{}';
    END IF;

    IF wrong IS NOT NULL THEN
        fired := (SELECT count(*) FROM jsonb_object_keys(wrong) k
                  WHERE NOT EXISTS (SELECT FROM monitoring.alert_firing o WHERE o.rule = r.name AND o.subject = k AND o.cleared_at IS NULL));
        INSERT INTO monitoring.alert_firing AS o (rule, subject, severity, details)
        SELECT r.name, key, r.severity, value FROM jsonb_each(wrong)
        ON CONFLICT (rule, subject) WHERE cleared_at IS NULL
        DO UPDATE SET last_seen_at = clock_timestamp(), times_seen = o.times_seen + 1, details = excluded.details;

        FOR f IN UPDATE monitoring.alert_firing o SET cleared_at = clock_timestamp()
                 WHERE o.rule = r.name AND o.cleared_at IS NULL AND NOT wrong ? o.subject RETURNING o.* LOOP
            cleared := cleared + 1;
            -- What was never told of need not be called off.
            IF f.told_at IS NOT NULL THEN
                f.delivery_error := monitoring.tell(r, f);
                UPDATE monitoring.alert_firing o SET delivery_error = f.delivery_error WHERE o.id = f.id AND f.delivery_error IS NOT NULL;
            END IF;
        END LOOP;
    END IF;

    IF r.silenced_until IS NULL OR r.silenced_until <= clock_timestamp() THEN
        FOR f IN SELECT * FROM monitoring.alert_firing o
                 WHERE o.rule = r.name AND o.cleared_at IS NULL AND o.told_at IS NULL ORDER BY o.id LOOP
            f.delivery_error := monitoring.tell(r, f);
            UPDATE monitoring.alert_firing o SET told_at = clock_timestamp(), delivery_error = f.delivery_error WHERE o.id = f.id;
        END LOOP;
    END IF;
    still_open := (SELECT count(*) FROM monitoring.alert_firing o WHERE o.rule = r.name AND o.cleared_at IS NULL);
    UPDATE monitoring.alert_rule a
    SET last_evaluated_at = clock_timestamp(), last_error = evaluate_alert.error,
        last_seen = CASE WHEN wrong IS NULL THEN a.last_seen ELSE seen END
    WHERE a.name = r.name;
END
$$;
COMMENT ON FUNCTION monitoring.evaluate_alert(text) IS 'evaluate one rule: record and tell what is new and what is over';

CREATE OR REPLACE FUNCTION monitoring.evaluate_alerts()
    RETURNS TABLE (rule text, fired integer, cleared integer, still_open integer, error text)
    LANGUAGE sql AS $$
    SELECT e.* FROM (SELECT name FROM monitoring.alert_rule ORDER BY name) a CROSS JOIN LATERAL monitoring.evaluate_alert(a.name) e
$$;
COMMENT ON FUNCTION monitoring.evaluate_alerts() IS 'evaluate all rules, whatever their schedules';

CREATE OR REPLACE FUNCTION monitoring.silence_alert(rule_name text, until timestamptz DEFAULT 'infinity') RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE monitoring.alert_rule SET silenced_until = until WHERE name = rule_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert rule "%" does not exist', rule_name USING ERRCODE = 'undefined_object';
    END IF;
END
$$;
COMMENT ON FUNCTION monitoring.silence_alert(text, timestamptz) IS 'tell nothing of a rule until then; null ends that';

CREATE OR REPLACE VIEW monitoring.vw_open_alerts AS
SELECT f.rule, f.severity, f.subject, f.fired_at, f.last_seen_at, f.times_seen, f.details, f.told_at, f.delivery_error, r.silenced_until
FROM monitoring.alert_firing f JOIN monitoring.alert_rule r ON r.name = f.rule
WHERE f.cleared_at IS NULL;
COMMENT ON VIEW monitoring.vw_open_alerts IS 'what fires now';
-- for who watches, postgres_exporter among them
GRANT USAGE ON SCHEMA monitoring TO pg_monitor;
GRANT SELECT ON monitoring.vw_open_alerts TO pg_monitor;

---------------------------------------------------------------------------
-- The five rules.  Run again the script puts back their conditions and leaves
-- what you have set: schedule, threshold, action, silence.
--
-- Two of them are about events, not states: what came after the snapshot of the
-- last evaluation.  Compared by transaction, not by time, none is missed and none
-- is seen twice.
---------------------------------------------------------------------------
INSERT INTO monitoring.alert_rule (name, severity, schedule, threshold, description, condition) VALUES
('unhealthy_table', 'CRITICAL', '*/5 * * * *', NULL, 'a table failed last, or was suspended by failures: page somebody', $$
    SELECT format('%I.%I', schema_name, table_name),
           jsonb_build_object('scheduling_state', scheduling_state, 'code', last_refresh_code, 'data_age_seconds', data_age_seconds)
    FROM monitoring.vw_dynamic_table_health WHERE health_status = 'UNHEALTHY'$$),
('stale_data', 'WARNING', '*/15 * * * *', 3600, 'a table is older than its target lag, and than the threshold in seconds', $$
    SELECT format('%I.%I', schema_name, table_name),
           jsonb_build_object('data_age_seconds', data_age_seconds, 'target_lag', target_lag, 'scheduling_state', scheduling_state)
    FROM monitoring.vw_dynamic_table_health WHERE freshness_status = 'STALE' AND data_age_seconds > $1$$),
('failed_refresh', 'WARNING', '*/10 * * * *', NULL, 'a refresh failed since the last evaluation', $$
    SELECT format('%I.%I', schema_name, table_name),
           jsonb_build_object('failures', count(*), 'code', max(state_code), 'last', max(refresh_end_time))
    FROM monitoring.vw_dynamic_table_refresh_history
    WHERE state = 'FAILED'
      AND CASE WHEN $2 IS NULL THEN refresh_end_time > now() - interval '10 minutes' ELSE NOT pg_visible_in_snapshot(run, $2) END
    GROUP BY schema_name, table_name$$),
('data_quality', 'WARNING', '0 * * * *', 70, 'the mean score of a table is below the threshold, or fell by ten and more', $$
    SELECT table_name, jsonb_build_object('avg_dq_score', avg_dq_score, 'change', dq_score_change, 'poor_records', poor_records)
    FROM (SELECT DISTINCT ON (table_name) * FROM monitoring.vw_data_quality_trends ORDER BY table_name, recorded_at DESC) latest
    WHERE avg_dq_score < $1 OR dq_score_change <= -10$$),
('slow_refresh', 'WARNING', '0 6 * * *', 2, 'a refresh of a second and more took more than so many times the mean of the others of 7 days', $$
    SELECT format('%I.%I', schema_name, table_name),
           jsonb_build_object('duration_seconds', max(duration_seconds), 'mean_seconds', round(max(others), 3), 'slow_refreshes', count(*))
    FROM (SELECT *, (sum(duration_seconds) OVER t - duration_seconds) / nullif(count(*) OVER t - 1, 0) AS others
          FROM monitoring.vw_dynamic_table_refresh_history
          WHERE refresh_action <> 'NO_DATA' AND refresh_start_time >= now() - interval '7 days'
          WINDOW t AS (PARTITION BY schema_name, table_name)) refreshes
    WHERE duration_seconds >= 1 AND duration_seconds > $1 * others
      AND CASE WHEN $2 IS NULL THEN refresh_end_time > now() - interval '1 day' ELSE NOT pg_visible_in_snapshot(run, $2) END
    GROUP BY schema_name, table_name$$)
ON CONFLICT (name) DO UPDATE SET condition = excluded.condition, description = excluded.description;
