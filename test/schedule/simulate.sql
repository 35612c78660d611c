-- What the simulation of the schedule reads and writes; see simulate.c.
CREATE TABLE sim_table (id int PRIMARY KEY, lag interval, schedule text, warehouse text, initial text,
    populated boolean NOT NULL DEFAULT true, duration interval NOT NULL DEFAULT '100 milliseconds');
CREATE TABLE sim_edge (reader int, source int);
CREATE TABLE sim_warehouse (name text, max_workers int);
-- down and up (the server); fail, repair, alter, suspend and resume (a table)
CREATE TABLE sim_event (at interval, what text, id int);
CREATE TABLE sim_run (id int, state text, before timestamptz, started timestamptz, ended timestamptz, queued interval);

-- The age of data is greatest at the moment before a refresh commits.
CREATE VIEW sim_lag AS
SELECT t.id, t.lag, count(*) AS refreshes, max(r.ended - r.before) AS most, avg(r.ended - r.before) AS peaks,
       sum(greatest(r.ended - r.before - t.lag, interval '0')) AS above
FROM sim_run r JOIN sim_table t USING (id) WHERE r.state = 'SUCCEEDED' AND r.before IS NOT NULL GROUP BY t.id, t.lag;

CREATE PROCEDURE sim_reset() LANGUAGE sql AS 'TRUNCATE sim_table, sim_edge, sim_warehouse, sim_event, sim_run';
