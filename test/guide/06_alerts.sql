-- The guide, "Alerting Setup": five rules, each made to fire and to clear

--# 6.1 The rules, their severities and schedules
SELECT name, severity, schedule, threshold FROM monitoring.alert_rule WHERE name !~ 'guide' ORDER BY name;
--= data_quality|WARNING|0 * * * *|70
--= failed_refresh|WARNING|*/10 * * * *|
--= slow_refresh|WARNING|0 6 * * *|2
--= stale_data|WARNING|*/15 * * * *|3600
--= unhealthy_table|CRITICAL|*/5 * * * *|

--# 6.2 Each has its job in pg_cron
SELECT count(*) FROM cron.job WHERE jobname LIKE 'alert %' AND command LIKE 'SELECT monitoring.evaluate_alert(%';
--= 5

--# 6.3 Nothing fires on a healthy system, once what was before has been told
SELECT count(*) FROM monitoring.evaluate_alerts();
SELECT sum(fired), sum(still_open), count(error) FROM monitoring.evaluate_alerts() WHERE rule !~ 'guide';
--= 6
--= 0|0|0

--# 6.4 Who is told: a listener that writes to a file, one that calls a web hook, and functions for page, Slack and mail
\! ALERT_PERIOD=0.2 timeout 300 examples/staging/alert_listener file "$GUIDE_DIR/alerts" </dev/null >/dev/null 2>"$GUIDE_DIR/file.err" & echo $! >"$GUIDE_DIR/file.pid"
\! timeout 300 perl test/guide/web_hook "$GUIDE_DIR/hook" </dev/null >/dev/null 2>&1 & echo $! >"$GUIDE_DIR/server.pid"; for i in $(seq 300); do [ -s "$GUIDE_DIR/hook.port" ] && break; sleep 0.1; done
-- the command is curl's, as alert_listener shows it; where there is no curl, perl's
\! url="http://127.0.0.1:$(cat "$GUIDE_DIR/hook.port")/alerts"; set -- curl -fsS -H 'Content-Type: application/json' --data-binary @- "$url"; command -v curl >/dev/null || set -- perl -MHTTP::Tiny -0777 -e 'exit !HTTP::Tiny->new->post(shift, {headers => {"Content-Type" => "application/json"}, content => scalar <STDIN>})->{success}' "$url"; ALERT_PERIOD=0.2 timeout 300 examples/staging/alert_listener command "$@" </dev/null >/dev/null 2>"$GUIDE_DIR/hook.err" & echo $! >"$GUIDE_DIR/hook.pid"
SELECT max(id) AS before_listening FROM monitoring.alert_firing \gset
CREATE TABLE guide.told (alert jsonb);
CREATE FUNCTION guide.page(alert jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO guide.told VALUES (alert)';
CREATE FUNCTION guide.broken(alert jsonb) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'nobody answers'; END$$;
UPDATE monitoring.alert_rule SET action = 'guide.page' WHERE name <> 'stale_data';
UPDATE monitoring.alert_rule SET action = 'guide.broken' WHERE name = 'stale_data';
\! for who in file hook; do for i in $(seq 300); do grep -q listening "$GUIDE_DIR/$who.err" && break; sleep 0.1; done; cat "$GUIDE_DIR/$who.err"; done
--= alert_listener: listening on dyntable_alerts
--= alert_listener: listening on dyntable_alerts

--# 6.5 Unhealthy table (critical): a table that fails
--: SELECT * FROM monitoring.vw_dynamic_table_health WHERE health_status = 'UNHEALTHY';
CREATE TABLE guide.orders (id int PRIMARY KEY, price text);
INSERT INTO guide.orders VALUES (1, '10.00');
SELECT dyntable_create('guide.dt_orders', 'SELECT id, price::numeric AS price FROM guide.orders', '1 second');
INSERT INTO guide.orders VALUES (2, 'ten');
CALL guide.wait_for($$SELECT health_status = 'UNHEALTHY' FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_orders'$$);
SELECT fired, cleared, still_open, error FROM monitoring.evaluate_alert('unhealthy_table');
SELECT severity, subject, details ->> 'code' FROM monitoring.vw_open_alerts WHERE rule = 'unhealthy_table';
--= guide.dt_orders
--= 1|0|1|
--= CRITICAL|guide.dt_orders|22P02

--# 6.6 De-duplication: it fires once
SELECT fired, still_open FROM monitoring.evaluate_alert('unhealthy_table');
SELECT count(*), max(times_seen) FROM monitoring.alert_firing WHERE rule = 'unhealthy_table';
SELECT count(*) FROM guide.told WHERE alert ->> 'rule' = 'unhealthy_table';
--= 0|1
--= 1|2
--= 1

--# 6.7 Failed refresh: since the last evaluation
SELECT fired, still_open FROM monitoring.evaluate_alert('failed_refresh');
SELECT subject, (details ->> 'failures')::int >= 1, details ->> 'code' FROM monitoring.vw_open_alerts WHERE rule = 'failed_refresh';
--= 1|1
--= guide.dt_orders|t|22P02

--# 6.8 Both are over when the data are mended
UPDATE guide.orders SET price = '10.00' WHERE id = 2;
CALL guide.wait_for($$SELECT health_status = 'HEALTHY' FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_orders'$$);
SELECT cleared, still_open FROM monitoring.evaluate_alert('unhealthy_table');
-- what failed between the evaluations is still news, and then no more
SELECT still_open IN (0, 1) FROM monitoring.evaluate_alert('failed_refresh');
SELECT still_open FROM monitoring.evaluate_alert('failed_refresh');
SELECT alert ->> 'rule', alert ->> 'event' FROM guide.told WHERE alert ->> 'rule' = 'unhealthy_table';
SELECT cleared_at > fired_at FROM monitoring.alert_firing WHERE rule = 'unhealthy_table';
--= 1|0
--= t
--= 0
--= unhealthy_table|fired
--= unhealthy_table|cleared
--= t

--# 6.9 Stale data (warning): workers that are stopped
--: WHERE freshness_status = 'STALE' AND data_age_seconds > 3600
UPDATE monitoring.alert_rule SET threshold = 1 WHERE name = 'stale_data';
SELECT dyntable_warehouse('guide_wh', auto_resume => false);
SELECT dyntable_alter('guide.dt_orders', warehouse => 'guide_wh');
SELECT dyntable_warehouse('guide_wh', suspended => true);
INSERT INTO guide.orders VALUES (3, '1');
CALL guide.wait_for($$SELECT freshness_status = 'STALE' FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_orders'$$);
SELECT fired, still_open FROM monitoring.evaluate_alert('stale_data');
SELECT subject, (details ->> 'data_age_seconds')::numeric > 1 FROM monitoring.vw_open_alerts WHERE rule = 'stale_data';
--=
--=
--=
--= 1|1
--= guide.dt_orders|t

--# 6.10 A function that fails is noted, and NOTIFY is sent all the same
SELECT delivery_error, told_at IS NOT NULL FROM monitoring.vw_open_alerts WHERE rule = 'stale_data';
--= nobody answers (P0001)|t

--# 6.11 Stale data is over when the workers go on
SELECT dyntable_warehouse('guide_wh', suspended => false);
CALL guide.wait_for($$SELECT count(*) = 3 FROM guide.dt_orders$$);
UPDATE monitoring.alert_rule SET threshold = 3600 WHERE name = 'stale_data';
SELECT cleared, still_open FROM monitoring.evaluate_alert('stale_data');
--=
--= 1|0

--# 6.12 Data quality (warning): below 70
--: SELECT * FROM STAGING.dt_vw_staging_dq_summary WHERE avg_dq_score < 70;
BEGIN;
CREATE TABLE guide.facilities_before AS SELECT * FROM ods_raw.ods_facilities_source;
COMMIT;
UPDATE ods_raw.ods_facilities_source SET facility_name = NULL, state = NULL, city = NULL, phone = NULL;
SELECT count(*) FROM dyntable_refresh('staging.dt_vw_staging_dq_summary');
SELECT table_name, avg_dq_score < 70 FROM STAGING.dt_vw_staging_dq_summary WHERE avg_dq_score < 70;
SELECT fired, still_open FROM monitoring.evaluate_alert('data_quality');
SELECT subject, (details ->> 'avg_dq_score')::numeric < 70, (details ->> 'change')::numeric < -10 FROM monitoring.vw_open_alerts WHERE rule = 'data_quality';
--= 7
--= dt_stg_facilities|t
--= 1|1
--= dt_stg_facilities|t|t

--# 6.13 Data quality: or 10 below the previous state, and over when mended
UPDATE monitoring.alert_rule SET threshold = 0 WHERE name = 'data_quality';
SELECT still_open FROM monitoring.evaluate_alert('data_quality');
UPDATE ods_raw.ods_facilities_source s SET facility_name = b.facility_name, state = b.state, city = b.city, phone = b.phone
FROM guide.facilities_before b
WHERE (b.source_system, b.source_record_id, b.ingestion_timestamp) = (s.source_system, s.source_record_id, s.ingestion_timestamp);
DROP TABLE guide.facilities_before;
SELECT count(*) FROM dyntable_refresh('staging.dt_vw_staging_dq_summary');
UPDATE monitoring.alert_rule SET threshold = 70 WHERE name = 'data_quality';
SELECT cleared, still_open FROM monitoring.evaluate_alert('data_quality');
--= 1
--= 7
--= 1|0

--# 6.14 Slow refresh: over twice its mean
CREATE FUNCTION guide.slowly(price numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF price > 1000 THEN
        PERFORM pg_sleep(1.1);
    END IF;
    RETURN price;
END
$$;
CREATE TABLE guide.bids (id int PRIMARY KEY, price numeric);
INSERT INTO guide.bids VALUES (1, 1);
SELECT dyntable_create('guide.dt_bids', 'SELECT id, guide.slowly(price) AS price FROM guide.bids', 'downstream', refresh_mode => 'incremental');
INSERT INTO guide.bids VALUES (2, 2);
SELECT action FROM dyntable_refresh('guide.dt_bids');
SELECT still_open >= 0 FROM monitoring.evaluate_alert('slow_refresh');
SELECT count(*) FROM monitoring.vw_open_alerts WHERE rule = 'slow_refresh' AND subject = 'guide.dt_bids';
INSERT INTO guide.bids VALUES (3, 2000);
SELECT action FROM dyntable_refresh('guide.dt_bids');
SELECT fired >= 1 FROM monitoring.evaluate_alert('slow_refresh');
SELECT subject, (details ->> 'duration_seconds')::numeric > 1 FROM monitoring.vw_open_alerts WHERE rule = 'slow_refresh' AND subject = 'guide.dt_bids';
--= guide.dt_bids
--= INCREMENTAL
--= t
--= 0
--= INCREMENTAL
--= t
--= guide.dt_bids|t

--# 6.15 Slow refresh is over when the next ones are not
INSERT INTO guide.bids VALUES (4, 4);
SELECT action FROM dyntable_refresh('guide.dt_bids');
SELECT cleared >= 1 FROM monitoring.evaluate_alert('slow_refresh');
SELECT count(*) FROM monitoring.vw_open_alerts WHERE rule = 'slow_refresh' AND subject = 'guide.dt_bids';
DROP TABLE guide.dt_bids, guide.bids;
DROP FUNCTION guide.slowly;
--= INCREMENTAL
--= t
--= 0

--# 6.16 Silence: recorded and not told; told afterwards if it still fires
SELECT monitoring.silence_alert('unhealthy_table', now() + interval '1 hour');
INSERT INTO guide.orders VALUES (4, 'four');
CALL guide.wait_for($$SELECT health_status = 'UNHEALTHY' FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_orders'$$);
SELECT count(*) AS before FROM guide.told \gset
SELECT fired, still_open FROM monitoring.evaluate_alert('unhealthy_table');
SELECT told_at IS NULL FROM monitoring.vw_open_alerts WHERE rule = 'unhealthy_table';
SELECT count(*) - :before FROM guide.told;
SELECT monitoring.silence_alert('unhealthy_table', NULL);
SELECT fired, still_open FROM monitoring.evaluate_alert('unhealthy_table');
SELECT count(*) - :before FROM guide.told;
--=
--= 1|1
--= t
--= 0
--=
--= 0|1
--= 1

--# 6.17 A condition that cannot be evaluated says so, and clears nothing
UPDATE monitoring.alert_rule SET condition = replace(condition, 'vw_dynamic_table_health', 'vw_gone') WHERE name = 'unhealthy_table';
SELECT cleared, still_open, error FROM monitoring.evaluate_alert('unhealthy_table');
\! psql -XAtq -c 'SET client_min_messages = warning' -f examples/staging/08_alerts.sql
SELECT last_error FROM monitoring.alert_rule WHERE name = 'unhealthy_table';
DELETE FROM guide.orders WHERE id = 4;
CALL guide.wait_for($$SELECT health_status = 'HEALTHY' FROM monitoring.vw_dynamic_table_health WHERE table_name = 'dt_orders'$$);
SELECT cleared, still_open, error FROM monitoring.evaluate_alert('unhealthy_table');
--= 0|1|relation "monitoring.vw_gone" does not exist (42P01)
--= relation "monitoring.vw_gone" does not exist (42P01)
--= 1|0|

--# 6.18 Told to the file and to the web hook: the same, a JSON object a line
SELECT count(*) AS told FROM monitoring.alert_firing WHERE id > :before_listening AND cleared_at IS NOT NULL AND told_at IS NOT NULL \gset
\setenv TOLD :told
\! for who in alerts hook; do for i in $(seq 300); do [ "$(grep -c '"event": "cleared"' "$GUIDE_DIR/$who")" -ge "$TOLD" ] && break; sleep 0.1; done; grep -E '"subject": "(guide.dt_|dt_stg_facilities)' "$GUIDE_DIR/$who" | grep -o '"rule": "[a-z_]*", "event": "[a-z]*"' | sort | uniq -c | tr -s ' '; done
\! kill $(cat "$GUIDE_DIR/file.pid" "$GUIDE_DIR/hook.pid" "$GUIDE_DIR/server.pid"); cat "$GUIDE_DIR/hook.err"
DROP TABLE guide.dt_orders, guide.orders, guide.told;
UPDATE monitoring.alert_rule SET action = NULL;
--=  1 "rule": "data_quality", "event": "cleared"
--=  1 "rule": "data_quality", "event": "fired"
--=  1 "rule": "failed_refresh", "event": "cleared"
--=  1 "rule": "failed_refresh", "event": "fired"
--=  1 "rule": "slow_refresh", "event": "cleared"
--=  1 "rule": "slow_refresh", "event": "fired"
--=  1 "rule": "stale_data", "event": "cleared"
--=  1 "rule": "stale_data", "event": "fired"
--=  2 "rule": "unhealthy_table", "event": "cleared"
--=  2 "rule": "unhealthy_table", "event": "fired"
--=  1 "rule": "data_quality", "event": "cleared"
--=  1 "rule": "data_quality", "event": "fired"
--=  1 "rule": "failed_refresh", "event": "cleared"
--=  1 "rule": "failed_refresh", "event": "fired"
--=  1 "rule": "slow_refresh", "event": "cleared"
--=  1 "rule": "slow_refresh", "event": "fired"
--=  1 "rule": "stale_data", "event": "cleared"
--=  1 "rule": "stale_data", "event": "fired"
--=  2 "rule": "unhealthy_table", "event": "cleared"
--=  2 "rule": "unhealthy_table", "event": "fired"
--= alert_listener: listening on dyntable_alerts

--# 6.19 Action: page, Slack, mail: to each rule its function and its channel, with all that is known
--: Page on-call engineer / Slack notification / Email data team
CREATE TABLE guide.sent (way text, alert jsonb);
CREATE FUNCTION guide.page_on_call(alert jsonb) RETURNS void LANGUAGE sql AS $$INSERT INTO guide.sent VALUES ('page', alert)$$;
CREATE FUNCTION guide.mail_data_team(alert jsonb) RETURNS void LANGUAGE sql AS $$INSERT INTO guide.sent VALUES ('mail', alert)$$;
INSERT INTO monitoring.alert_rule (name, severity, schedule, condition, description, channel, action) VALUES
    ('guide_page', 'CRITICAL', '*/5 * * * *', $$SELECT 'on call', '{"n": 1}'::jsonb$$, 'pages', 'dyntable_alerts', 'guide.page_on_call'),
    ('guide_slack', 'WARNING', '*/15 * * * *', $$SELECT 'the channel', '{}'::jsonb$$, 'goes by NOTIFY alone', 'guide_slack', NULL),
    ('guide_mail', 'WARNING', '0 * * * *', $$SELECT 'the data team', '{}'::jsonb$$, 'mails', 'guide_slack', 'guide.mail_data_team');
LISTEN guide_slack;
SELECT rule, fired FROM monitoring.evaluate_alerts() WHERE rule IN ('guide_page', 'guide_slack', 'guide_mail') ORDER BY 1;
SELECT way, alert ->> 'event', alert ->> 'rule', alert ->> 'severity', alert ->> 'subject', alert -> 'details' FROM guide.sent ORDER BY 1;
UNLISTEN *;
DELETE FROM monitoring.alert_rule WHERE name LIKE 'guide\_%' AND name <> 'guide_by_cron';
DROP FUNCTION guide.page_on_call, guide.mail_data_team;
DROP TABLE guide.sent;
--= guide_mail|1
--= guide_page|1
--= guide_slack|1
--~ ^Asynchronous notification "guide_slack" with payload "\{.*"rule": "guide_mail".*\}" received
--~ ^Asynchronous notification "guide_slack" with payload "\{.*"rule": "guide_slack".*\}" received
--= mail|fired|guide_mail|WARNING|the data team|{}
--= page|fired|guide_page|CRITICAL|on call|{"n": 1}

--# 6.20 A line that reaches the listener in parts, with its time to read over in between, is told once and whole
\! mkdir -p "$GUIDE_DIR/parts" && ln -sf "$PWD/test/guide/psql_in_parts" "$GUIDE_DIR/parts/psql"
\! PATH="$GUIDE_DIR/parts:$PATH" ALERT_PERIOD=0.05 timeout 120 examples/staging/alert_listener file "$GUIDE_DIR/in_parts" </dev/null >/dev/null 2>&1 & pid=$!; for i in $(seq 600); do grep -qs '"id": 2' "$GUIDE_DIR/in_parts" && break; sleep 0.1; done; kill $pid; cat "$GUIDE_DIR/in_parts"
--= {"id": 1, "subject": "a  b\c"}
--= {"id": 2, "subject": "a  b\c"}

--# 6.21 A command that fails is named, and the next alert is handed on all the same
\! PATH="$GUIDE_DIR/parts:$PATH" ALERT_PERIOD=0.05 timeout 120 examples/staging/alert_listener command sh -c 'read -r alert; case $alert in *": 1,"*) exit 3 ;; esac; printf "got %s\n" "$alert" >>"$1"' hook "$GUIDE_DIR/after" </dev/null >/dev/null 2>"$GUIDE_DIR/after.err" & pid=$!; for i in $(seq 600); do grep -qs '"id": 2' "$GUIDE_DIR/after" && break; sleep 0.1; done; kill $pid; cat "$GUIDE_DIR/after" "$GUIDE_DIR/after.err"
--= got {"id": 2, "subject": "a  b\c"}
--= alert_listener: listening on dyntable_alerts
--= alert_listener: sh failed for {"id": 1, "subject": "a  b\c"}
