-- What must have time to happen

--# 99.1 Alerts on pg_cron: it has evaluated a rule by itself
CALL guide.wait_for($$SELECT EXISTS (SELECT FROM cron.job_run_details WHERE command LIKE '%guide_by_cron%' AND end_time IS NOT NULL)$$, 90);
SELECT subject, told_at IS NOT NULL FROM monitoring.vw_open_alerts WHERE rule = 'guide_by_cron';
SELECT DISTINCT status FROM cron.job_run_details WHERE command LIKE '%guide_by_cron%' AND end_time IS NOT NULL;
--= pg_cron|t
--= succeeded
