# Graphs, warehouses and suspension on a running server; what each name says is
# numbered as in the list of behaviours that users of dynamic tables expect.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $node = DynTest::new_node('graph', 'max_worker_processes = 20', 'dyntable.max_workers = 3');

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub fails { return ($node->psql('postgres', $_[0]))[2]; }

sub becomes
{
	my ($query, $title) = @_;
	ok($node->poll_query_until('postgres', $query), $title)
	  or diag(sql('SELECT name, state, state_code, state_message, refresh_action FROM dyntable.refresh_history ORDER BY id DESC LIMIT 20'));
	return;
}
sub states { return sql("SELECT string_agg(name || ' ' || coalesce(scheduling_state_reason, scheduling_state), ', ' ORDER BY name) FROM dyntable.dynamic_tables WHERE name ~ '^$_[0]'"); }

sql(q{
CREATE TABLE src (id int PRIMARY KEY, v int);
INSERT INTO src SELECT i, i FROM generate_series(1, 100) i;
});

# ---- acceptance 1: lags ----
foreach my $lag ('100 milliseconds', '90 seconds', '5 minutes', '3 hours', '7 days')
{
	sql("SELECT dyntable_create('lag', 'SELECT id FROM src', '$lag', initialize => 'on_schedule')");
	is(sql("SELECT target_lag::interval = '$lag' FROM dyntable.dynamic_tables WHERE name = 'lag'"), 't', "acceptance 1: a lag of $lag");
	sql('DROP TABLE lag');
}
like(fails("SELECT dyntable_create('lag', 'SELECT id FROM src', '$_')"), qr/ERROR/, "acceptance 1: no lag of '$_'") foreach ('50 ms', '1 month', '-1 minute', 'often');
like(fails("SELECT dyntable_create('down', 'SELECT id, v FROM src', 'downstream')"), qr/NOTICE:  dynamic table "down" will be refreshed when one that reads it is, and none does yet/,
	'acceptance 1: a downstream table that nobody reads says so');
is(sql("SELECT waiting_for FROM dyntable.dynamic_tables WHERE name = 'down'"), 'CONSUMER', 'acceptance 1: and waits for a consumer');
sql("SELECT dyntable_create('over1', 'SELECT id FROM down', '2 hours'); SELECT dyntable_create('over2', 'SELECT v FROM down', '1 hour')");
is(sql("SELECT effective_target_lag, waiting_for IS NULL FROM dyntable.dynamic_tables WHERE name = 'down'"), '1 hour|t', 'acceptance 1: downstream is the least lag of the consumers');
sql("SELECT dyntable_alter('over2', schedule => 'manual')");
is(sql("SELECT effective_target_lag FROM dyntable.dynamic_tables WHERE name = 'down'"), '2 hours', 'acceptance 1: of which one that is refreshed by hand is none');

# ---- acceptance 2: a chain takes the data timestamp that is there ----
my $stamp = sql("SELECT data_timestamp FROM dyntable.dynamic_tables WHERE name = 'down'");
my $history = sql("SELECT max(id) FROM dyntable.refresh_history WHERE name = 'down'");
sql('INSERT INTO src VALUES (101, 101)');
sql("SELECT dyntable_create('later1', 'SELECT id, v FROM down', '1 hour'); SELECT dyntable_create('later2', 'SELECT a.id, b.v FROM later1 a JOIN down b USING (id)', '1 hour')");
is(sql("SELECT count(*), bool_and(data_timestamp = (SELECT p.data_timestamp FROM dyntable.dynamic_tables p WHERE p.name = 'down')) FROM dyntable.dynamic_tables WHERE name LIKE 'later_'"), '2|t',
	'acceptance 2: tables made over one that is within their lag take its data timestamp');
is(sql("SELECT max(id) FROM dyntable.refresh_history WHERE name = 'down'"), $history, 'acceptance 2: which is not refreshed for that');
is(sql('SELECT (SELECT count(*) FROM later1), (SELECT count(*) FROM later2), (SELECT count(*) FROM (SELECT id, v FROM down EXCEPT TABLE later1) x)'), '100|100|0', 'acceptance 2: and have its rows');
sql("SELECT dyntable_create('later3', 'SELECT d.id FROM down d JOIN src s USING (id)', '1 hour')");
is(sql("SELECT count(*) FROM later3"), '101', 'acceptance 2: one that reads a base table as well is filled as of now, with what it reads');
is(sql("SELECT string_agg(v, ',') FROM unnest(ARRAY['later1', 'later2', 'later3']::regclass[]) t, LATERAL (SELECT dyntable_verify(t)::text AS v) x"), '(0,0),(0,0),(0,0)', 'acceptance 2: and all are right afterwards');
sql('DROP TABLE down CASCADE');

# ---- acceptance 3: one data timestamp ----
sql(q{
SELECT dyntable_create('top', 'SELECT id, v FROM src', 'downstream');
SELECT dyntable_create('left_side', 'SELECT id, v + 1 AS v FROM top', 'downstream');
SELECT dyntable_create('right_side', 'SELECT id, v + 2 AS v FROM top', 'downstream');
SELECT dyntable_create('bottom', 'SELECT l.id, l.v - r.v AS d FROM left_side l JOIN right_side r USING (id)', '300 ms');
});
my $consistent = 0;
for my $i (1 .. 20)
{
	sql("UPDATE src SET v = v + 1 WHERE id % 20 = $i % 20");
	$consistent += sql(q{SELECT count(*) FILTER (WHERE d <> -1) = 0 AND (SELECT count(*) FROM top t JOIN left_side l USING (id) WHERE l.v <> t.v + 1) = 0 FROM bottom}) eq 't';
}
is($consistent, 20, 'acceptance 3: a diamond that is read while it is refreshed is consistent each time');
is(sql(q{SELECT count(*) > 0, bool_and(n = 4) FROM (SELECT data_timestamp, count(DISTINCT name) AS n FROM dyntable.refresh_history
WHERE name IN ('top', 'left_side', 'right_side', 'bottom') AND refresh_trigger = 'SCHEDULED' AND refresh_action = 'INCREMENTAL' GROUP BY 1) x}), 't|t', 'acceptance 3: all four have one data timestamp at each scheduled refresh');
is(sql("SELECT count(DISTINCT data_timestamp), count(*) FROM dyntable_refresh('bottom')"), '1|4', 'acceptance 3: and at a manual one');

# ---- cycles ----
like(fails("SELECT dyntable_alter('top', query => 'SELECT id, d AS v FROM bottom')"), qr/ERROR:  dynamic table "top" would read itself: "top" -> "bottom" -> "(left|right)_side" -> "top"/, 'a cycle is refused with its path');

# ---- acceptance 7: suspend and resume ----
sql("SELECT dyntable_suspend('right_side')");
is(states('(bottom|left_side|right_side|top)'), 'bottom UPSTREAM_USER_SUSPENDED, left_side ACTIVE, right_side USER_SUSPENDED, top ACTIVE', 'acceptance 7: suspending cascades downstream, with reason codes');
sql("SELECT dyntable_suspend('left_side')");
like(fails("SELECT dyntable_resume('bottom')"), qr/ERROR:  dynamic table "bottom" cannot be resumed.*HINT:  Resume "left_side" first/s, 'acceptance 7: below a suspended table none is resumed');
sql("SELECT dyntable_resume('right_side')");
is(states('(bottom|left_side)'), 'bottom UPSTREAM_USER_SUSPENDED, left_side USER_SUSPENDED', 'acceptance 7: a table with two suspended upstreams waits for both');
sql("SELECT dyntable_resume('left_side')");
is(states('(bottom|left_side)'), 'bottom ACTIVE, left_side ACTIVE', 'acceptance 7: and is resumed with the last');
sql("SELECT dyntable_suspend('bottom'); SELECT dyntable_suspend('top'); SELECT dyntable_resume('top')");
is(states('(bottom|left_side|right_side|top)'), 'bottom USER_SUSPENDED, left_side ACTIVE, right_side ACTIVE, top ACTIVE', 'acceptance 7: what a user suspended is not resumed by a cascade');

# ---- acceptance 8: refreshes by hand ----
sql('UPDATE src SET v = -1 WHERE id = 1');
is(sql("SELECT string_agg(name::text, ',' ORDER BY name::text) FROM dyntable_refresh('bottom') WHERE action = 'INCREMENTAL'"), 'bottom,left_side,right_side,top', 'acceptance 8: a suspended table is refreshed by hand, with what it reads')
  or diag(sql("SELECT name, refresh_action, rows_updated FROM dyntable.refresh_history ORDER BY id DESC LIMIT 8"));
is(states('bottom'), 'bottom USER_SUSPENDED', 'acceptance 8: and stays suspended');
sql('DROP TABLE top CASCADE');

# ---- acceptance 9: not initialised ----
sql("SELECT dyntable_create('unfilled', 'SELECT id FROM src', schedule => 'manual', initialize => 'on_schedule')");
like(fails('TABLE unfilled'), qr/ERROR:  dynamic table "unfilled" (has not been|is not).*HINT/s, 'acceptance 9: reading before the first fill is an error of its own');
is(sql("SELECT waiting_for FROM dyntable.dynamic_tables WHERE name = 'unfilled'"), 'REFRESH', 'acceptance 9: what it waits for is told');
sql("SELECT dyntable_refresh('unfilled')");
is(sql('SELECT count(*) FROM unfilled'), '101', 'acceptance 9: not after it');

# ---- by hand only: an isolation boundary ----
sql(q{
SELECT dyntable_create('up', 'SELECT id, v FROM src', '1 hour');
SELECT dyntable_create('hand', 'SELECT id, v FROM up', schedule => 'manual');
SELECT dyntable_create('over', 'SELECT id, v FROM hand', '1 hour');
INSERT INTO src VALUES (200, 200);
});
is(sql("SELECT string_agg(name || ' ' || action, ',') FROM dyntable_refresh('hand')"), 'hand NO_DATA', 'a table refreshed by hand only does not refresh what it reads');
is(sql("SELECT count(*) FROM dyntable_refresh('up')"), '1', 'which is refreshed');
is(sql("SELECT string_agg(name || ' ' || action, ',') FROM dyntable_refresh('over')"), 'over NO_DATA', 'nor is it by those that read it');
is(sql("SELECT string_agg(name || ' ' || action, ',') FROM dyntable_refresh('hand')"), 'hand INCREMENTAL', 'by hand it takes what came meanwhile');
is(sql("SELECT string_agg(name || ' ' || action, ',') FROM dyntable_refresh('over')"), 'over INCREMENTAL', 'and they from it');
is(sql('SELECT (SELECT count(*) FROM (TABLE up EXCEPT TABLE over) x), (SELECT max(id) FROM over)'), '0|200', 'rows are right all the way');
sql('INSERT INTO src VALUES (201, 201)');
is(sql("SELECT string_agg(name || ' ' || action, ',' ORDER BY name::text DESC) FROM dyntable_refresh('over', 'hand', 'up')"), 'up INCREMENTAL,over INCREMENTAL,hand INCREMENTAL', 'named together they come in their order');
sql("SELECT dyntable_suspend('up')");
is(states('(hand|over|up)'), 'hand ACTIVE, over ACTIVE, up USER_SUSPENDED', 'a suspension does not go past it');
sql("SELECT dyntable_resume('up')");
sql("SELECT dyntable_alter('hand', target_lag => '1 hour')");
is(sql("SELECT count(*) FROM dyntable_refresh('over')"), '3', 'a lag makes it one of the chain again');
sql('DROP TABLE up CASCADE');

# ---- acceptance 6: failures ----
sql(q{
CREATE TABLE divisor (id int PRIMARY KEY, v int);
INSERT INTO divisor VALUES (1, 1);
SELECT dyntable_create('quotient', 'SELECT id, 10 / v AS q FROM divisor', '300 ms');
UPDATE divisor SET v = 0;
});
becomes("SELECT consecutive_failures >= 1 FROM dyntable.dynamic_tables WHERE name = 'quotient'", 'acceptance 6: a scheduled failure counts');
like(fails("SELECT dyntable_refresh('quotient')"), qr/division by zero/, 'acceptance 6: by hand it fails, too');
becomes("SELECT scheduling_state_reason = 'SUSPENDED_DUE_TO_ERRORS' AND consecutive_failures = 5 FROM dyntable.dynamic_tables WHERE name = 'quotient'", 'acceptance 6: after five in a row it is suspended');
is(sql("SELECT count(*), count(*) FILTER (WHERE refresh_trigger = 'SCHEDULED') FROM dyntable.refresh_history WHERE name = 'quotient' AND state = 'FAILED'"), '5|5', 'acceptance 6: of which those by hand are none');
sql('UPDATE divisor SET v = 5');
is(sql("SELECT action FROM dyntable_refresh('quotient')"), 'INCREMENTAL', 'acceptance 6: a success by hand');
is(sql("SELECT consecutive_failures, scheduling_state FROM dyntable.dynamic_tables WHERE name = 'quotient'"), '0|SUSPENDED', 'acceptance 6: begins the count anew and does not resume');
sql("SELECT dyntable_resume('quotient'); ALTER TABLE divisor RENAME TO d; REVOKE ALL ON d FROM CURRENT_USER");

# ---- what was altered is tried again at once ----
sql(q{
CREATE ROLE owner; GRANT ALL ON SCHEMA public TO owner;
CREATE TABLE granted (id int PRIMARY KEY); INSERT INTO granted VALUES (1); ALTER TABLE granted OWNER TO owner;
SET ROLE owner; SELECT dyntable_create('grants', 'SELECT id FROM granted', '20 s'); RESET ROLE;
ALTER TABLE granted OWNER TO CURRENT_USER;
});
becomes("SELECT waiting_for = 'RETRY' AND next_refresh_time > clock_timestamp() + interval '5 s' FROM dyntable.dynamic_tables WHERE name = 'grants'", 'a table whose owner lost a right fails and waits');
sql('GRANT SELECT ON granted TO owner; INSERT INTO granted VALUES (2)');
my $granted = time;
becomes("SELECT count(*) = 2 FROM grants", 'and goes on when it has it again');
cmp_ok(time - $granted, '<', 15, 'before the backoff is over');
sql('DROP TABLE grants; DROP TABLE quotient');

# ---- warehouses ----
sql(q{
CREATE FUNCTION setting() RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN current_setting(''work_mem''); END';
SELECT dyntable_warehouse('small', settings => '{"work_mem": "1MB"}', auto_suspend => '1 hour');
SELECT dyntable_warehouse('large', settings => '{"work_mem": "123MB"}', auto_suspend => '1 hour');
SELECT dyntable_create('sized', 'SELECT id, setting() AS memory FROM src', '300 ms', initialize => 'on_schedule', warehouse => 'small', initialization_warehouse => 'large');
});
becomes("SELECT DISTINCT memory = '123MB' FROM sized", 'a first fill uses its own warehouse');
sql('INSERT INTO src VALUES (300, 1)');
becomes("SELECT memory = '1MB' FROM sized WHERE id = 300", 'refreshes the other one');
sql(q{SELECT dyntable_warehouse('small', settings => '{"work_mem": "2MB"}'); INSERT INTO src VALUES (301, 1)});
becomes("SELECT memory = '2MB' FROM sized WHERE id = 301", 'whose settings change while it runs');
becomes("SELECT state = 'STARTED' AND workers > 0 AND busy_workers = 0 FROM dyntable.warehouses WHERE name = 'small'", 'an idle worker stays');
sql("SELECT dyntable_warehouse('small', suspended => true, auto_resume => false)");
becomes("SELECT state = 'SUSPENDED' AND workers = 0 FROM dyntable.warehouses WHERE name = 'small'", 'a suspended warehouse has no idle workers');
is(sql("SELECT waiting_for FROM dyntable.dynamic_tables WHERE name = 'sized'"), 'WAREHOUSE', 'its tables wait for it');
becomes("SELECT next_refresh_time IS NULL FROM dyntable.dynamic_tables WHERE name = 'sized'", 'and no refresh of them is due');
sql('INSERT INTO src VALUES (302, 1)');
is(sql("SELECT action FROM dyntable_refresh('sized')"), 'INCREMENTAL', 'by hand they are refreshed');
sql("INSERT INTO src VALUES (303, 1); SELECT dyntable_warehouse('small', suspended => false)");
becomes('SELECT count(*) = 1 FROM sized WHERE id = 303', 'resumed, it goes on');
sql("SELECT dyntable_warehouse('small', suspended => true, auto_resume => true); INSERT INTO src VALUES (304, 1)");
becomes('SELECT count(*) = 1 FROM sized WHERE id = 304', 'with auto_resume the next refresh resumes it');
becomes("SELECT state <> 'SUSPENDED' FROM dyntable.warehouses WHERE name = 'small'", 'which shows');
sql("SELECT dyntable_warehouse('small', auto_suspend => '200 ms')");
sql('UPDATE src SET v = 0 WHERE id = 1');
becomes("SELECT workers = 0 FROM dyntable.warehouses WHERE name = 'small'", 'auto_suspend ends idle workers');
sql('DROP TABLE sized');

# Two workers for everything, one warehouse that never has enough.
sql(q{
CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.3); RETURN $1; END';
CREATE TABLE tiny (id int PRIMARY KEY, v int); INSERT INTO tiny VALUES (1, 1);
ALTER SYSTEM SET dyntable.max_workers = 2; SELECT pg_reload_conf();
SELECT dyntable_warehouse('greedy', max_workers => 2); SELECT dyntable_warehouse('modest');
});
sql("SELECT dyntable_create('greedy$_', 'SELECT slow(id) AS id, v FROM tiny', '100 ms', 'full', warehouse => 'greedy', initialize => 'on_schedule')") foreach 1 .. 8;
sql("SELECT dyntable_create('modest', 'SELECT id, v FROM src', '1 s', warehouse => 'modest')");
becomes('SELECT count(*) = 8 FROM dyntable.dynamic_tables WHERE name LIKE \'greedy%\' AND populated', 'eight tables that two workers cannot keep');
sql('UPDATE src SET v = 4711 WHERE id = 2');
becomes('SELECT v = 4711 FROM modest WHERE id = 2', 'do not starve a table of another warehouse');
becomes("SELECT queued_tables > 0 AND busy_workers <= 2 FROM dyntable.warehouses WHERE name = 'greedy'", 'those that wait are counted');

# ---- a graph of 500 tables ----
sql("DROP TABLE $_") foreach (map { "greedy$_" } 1 .. 8), 'modest';
sql(q{DO $$ BEGIN FOR i IN 1 .. 10 LOOP FOR j IN 1 .. 50 LOOP
	PERFORM dyntable_create(format('g%s_%s', i, j), format('SELECT id, v FROM %s', CASE j WHEN 1 THEN 'src' ELSE format('g%s_%s', i, j - 1) END),
		CASE j WHEN 50 THEN '2 s' ELSE 'downstream' END, initialize => 'on_schedule');
END LOOP; END LOOP; END $$});
becomes(q{SELECT count(*) = 500 FROM dyntable.dynamic_tables WHERE name LIKE 'g%' AND populated}, 'ten chains of fifty are filled');
sql('UPDATE src SET v = 8888 WHERE id = 3');
becomes(q{SELECT count(*) = 10 FROM unnest(ARRAY(SELECT relid FROM dyntable.dynamic_tables WHERE name ~ '^g[0-9]+_50$')) t,
LATERAL (SELECT query_to_xml(format('SELECT 1 FROM %s WHERE v = 8888', t), false, true, '')::text AS x) q WHERE x LIKE '%>1<%'}, 'and a change arrives at the end of each');
is(sql(q{SELECT max(n) FROM (SELECT count(DISTINCT data_timestamp) AS n FROM (SELECT DISTINCT ON (name) name, data_timestamp FROM dyntable.refresh_history
WHERE name LIKE 'g%' AND refresh_action = 'INCREMENTAL' ORDER BY name, id DESC) h GROUP BY split_part(name, '_', 1)) x}), '1', 'at one data timestamp for each chain');

$node->stop;
done_testing();
