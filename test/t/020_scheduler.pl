# The scheduler: lag is kept, idle tables cost nothing, failures back off and
# suspend, and neither restarts nor crashes stop it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $node = DynTest::new_node('scheduler',
	'dyntable.max_consecutive_failures = 3', 'restart_after_crash = on');

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Wait until a query returns true.
sub becomes
{
	my ($query, $title) = @_;
	ok($node->poll_query_until('postgres', $query), $title)
	  or diag(sql('SELECT name, state, state_code, state_message, refresh_action FROM dyntable.refresh_history ORDER BY id DESC LIMIT 20'));
	return;
}

# Whether content equals query, both as they are now.
sub same
{
	my ($table, $query) = @_;
	return "SELECT NOT EXISTS (SELECT * FROM $table EXCEPT ALL ($query)) AND NOT EXISTS (($query) EXCEPT ALL SELECT * FROM $table)";
}

# ---- a database without dynamic tables ----
# How often a process has gone to sleep.
sub sleeps
{
	open(my $handle, '<', "/proc/$_[0]/status") or return -1;
	my ($count) = join('', <$handle>) =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
	close $handle;
	return $count;
}
DynTest::wait_capture($node);
my $capture = sql('SELECT pid FROM dyntable.capture');
my $slept = sleeps($capture);
sql('SELECT pg_sleep(1)');
cmp_ok(sleeps($capture) - $slept, '<', 10, 'capture that has nothing to do sleeps');

sql(q{
CREATE TABLE src (id int PRIMARY KEY, v int);
INSERT INTO src SELECT i, i FROM generate_series(1, 100) i;
SELECT dyntable_create('fast', 'SELECT id, v FROM src', '100 ms');
SELECT dyntable_create('later', 'SELECT v % 10 AS k, count(*) AS c FROM src GROUP BY 1', '1 s', initialize => 'on_schedule');
});

# ---- first fill, lag ----
becomes("SELECT populated FROM dyntable.dynamic_tables WHERE name = 'later'",
	'a table initialised on schedule is filled at once');

my $passes = 0;
for my $round (1 .. 10)
{
	sql("UPDATE src SET v = v + 1 WHERE id <= $round");
	$passes += $node->poll_query_until('postgres', same('fast', 'SELECT id, v FROM src'));
}
is($passes, 10, 'changes reach a table with a lag of 100 ms');
becomes(same('later', 'SELECT v % 10 AS k, count(*) AS c FROM src GROUP BY 1'),
	'changes reach a table with a lag of a second');
is(sql("SELECT count(*) > 0 FROM dyntable.refresh_history WHERE name = 'fast' AND refresh_action = 'INCREMENTAL' AND refresh_trigger = 'SCHEDULED'"),
	't', 'by incremental refreshes');

# dyntable_wait: what was committed before is in the table after.
is(sql("INSERT INTO src VALUES (1000, 1); SELECT dyntable_wait('fast', clock_timestamp()); SELECT count(*) FROM fast WHERE id = 1000"),
	"\n1", 'dyntable_wait returns when the table has what was committed before');

# ---- idle: the data timestamp advances, no refresh happens ----
becomes("SELECT count(*) = 0 FROM dyntable.workers() WHERE state IN ('busy', 'starting')", 'workers become idle');
my $before = sql("SELECT sum(repeats) FROM dyntable.refresh_history WHERE name = 'fast'");
my $stamp = sql("SELECT data_timestamp FROM dyntable.dynamic_tables WHERE name = 'fast'");
becomes("SELECT data_timestamp > '$stamp'::timestamptz + interval '3 seconds' FROM dyntable.dynamic_tables WHERE name = 'fast'",
	'the data timestamp of an idle table advances');
cmp_ok(sql("SELECT sum(repeats) FROM dyntable.refresh_history WHERE name = 'fast'") - $before, '<', 15,
	'with few refreshes, if any, in three seconds of thirty lags');

# ---- downstream, chains ----
sql(q{
SELECT dyntable_create('lonely', 'SELECT id FROM src', 'downstream');
SELECT dyntable_create('c1', 'SELECT id, v FROM src', 'downstream');
});
sql("SELECT dyntable_create('c$_', 'SELECT id, v + 1 AS v FROM c" . ($_ - 1) . "', 'downstream')") for 2 .. 9;
sql("SELECT dyntable_create('c10', 'SELECT id, v + 1 AS v FROM c9', '500 ms')");
sql('INSERT INTO src VALUES (2000, 7)');
becomes('SELECT count(*) = 1 FROM c10 WHERE id = 2000 AND v = 16', 'a change goes through a chain of ten');
is(sql("SELECT count(DISTINCT data_timestamp) FROM (SELECT DISTINCT ON (name) name, data_timestamp FROM dyntable.refresh_history WHERE name ~ '^c[0-9]+\$' AND refresh_action = 'INCREMENTAL' ORDER BY name, id DESC) x"),
	'1', 'all ten at one data timestamp');
is(sql("SELECT effective_target_lag FROM dyntable.dynamic_tables WHERE name = 'c1'"), '500 milliseconds',
	'a downstream table has the least lag of its consumers');
is(sql("SELECT next_refresh_time IS NULL AND effective_target_lag IS NULL FROM dyntable.dynamic_tables WHERE name = 'lonely'"), 't',
	'a downstream table without consumers is not scheduled');
is(sql("SELECT count(*) FROM dyntable.refresh_history WHERE name = 'lonely' AND refresh_trigger = 'SCHEDULED'"), '0', 'nor refreshed');

# ---- cron ----
# Each with the next moment that it names, computed otherwise from the table's data timestamp d.
my %cron = (
	'30 4 * * mon' => "date_trunc('week', d - interval '4.5 hours') + interval '7 days 4.5 hours'",
	'* * * * *' => "date_trunc('minute', d) + interval '1 minute'",
	'*/20 * * * *' => "date_bin('20 minutes', d, date_trunc('day', d)) + interval '20 minutes'",
	'15 0-23/1 * * *' => "date_trunc('hour', d - interval '15 minutes') + interval '75 minutes'",
	'0 0 1 * *' => "date_trunc('month', d) + interval '1 month'",
	'0 12 1 jan *' => "date_trunc('year', d - interval '12 hours') + interval '1 year 12 hours'",
	'0 0 29 2 *' => "(SELECT min(x) FROM generate_series(date_trunc('year', d), d + interval '9 years', interval '1 day') x WHERE to_char(x, 'MM-DD') = '02-29' AND x > d)",
	'0 0 13 * fri' => "(SELECT min(x) FROM generate_series(date_trunc('day', d), d + interval '8 days', interval '1 day') x WHERE (extract(isodow FROM x) = 5 OR extract(day FROM x) = 13) AND x > d)",
);
my $number = 0;
for my $expression (sort keys %cron)
{
	$number++;
	sql("SELECT dyntable_create('cron$number', 'SELECT id FROM src', schedule => '$expression')");
	becomes("SELECT next_refresh_time = $cron{$expression} FROM (SELECT next_refresh_time, data_timestamp AS d FROM dyntable.dynamic_tables WHERE name = 'cron$number') x",
		"cron schedule $expression");
}
like(($node->psql('postgres', "SELECT dyntable_create('cron_bad', 'SELECT id FROM src', schedule => '99 * * * *')"))[2],
	qr/ERROR/, 'a wrong cron expression is refused');

# ---- failures ----
sql(q{
CREATE TABLE divisor (id int PRIMARY KEY, v int);
INSERT INTO divisor VALUES (1, 1);
SELECT dyntable_create('quotient', 'SELECT id, 10 / v AS q FROM divisor', '500 ms');
SELECT dyntable_create('below', 'SELECT id, q FROM quotient', '500 ms');
SELECT dyntable_create('beside', 'SELECT id, v FROM divisor', '500 ms');
UPDATE divisor SET v = 0;
});
becomes("SELECT scheduling_state = 'SUSPENDED' AND scheduling_state_reason = 'SUSPENDED_DUE_TO_ERRORS' AND consecutive_failures = 3 FROM dyntable.dynamic_tables WHERE name = 'quotient'",
	'a table that fails time after time is suspended');
is(sql("SELECT scheduling_state_reason, consecutive_failures FROM dyntable.dynamic_tables WHERE name = 'below'"),
	'UPSTREAM_SUSPENDED_DUE_TO_ERRORS|0', 'and its downstream with it');
is(sql("SELECT DISTINCT state, state_code, state_message FROM dyntable.refresh_history WHERE name = 'quotient' AND state <> 'SUCCEEDED'"),
	'FAILED|22012|division by zero: expression (10 / divisor.v) for row (id)=(1) of table public.divisor, in the refresh of dynamic table public.quotient',
	'history says why, and which row of which table');
is(sql("SELECT DISTINCT state FROM dyntable.refresh_history WHERE name = 'below' AND state <> 'SUCCEEDED'"),
	'UPSTREAM_FAILED', 'downstream failed because of upstream');
is(sql('SELECT q FROM quotient'), '10', 'its rows are still there');
becomes('SELECT v = 0 FROM beside', 'a table beside it goes on');

sql('UPDATE divisor SET v = 2');
sql("SELECT dyntable_resume('quotient')");
becomes('SELECT q = 5 FROM below', 'resumed, both are refreshed again');
becomes("SELECT bool_and(scheduling_state = 'ACTIVE' AND consecutive_failures = 0) FROM dyntable.dynamic_tables WHERE name IN ('quotient', 'below')",
	'and the failures are forgotten');

# ---- suspend ----
sql("SELECT dyntable_suspend('later')");
$stamp = sql("SELECT data_timestamp FROM dyntable.dynamic_tables WHERE name = 'later'");
like(($node->psql('postgres', "SELECT dyntable_wait('later')"))[2], qr/is suspended/,
	'waiting for a suspended table is refused');
is(sql("SELECT next_refresh_time IS NULL FROM dyntable.dynamic_tables WHERE name = 'later'"), 't',
	'a suspended table has no next refresh');

# ---- cancel and statement timeout ----
# It says IMMUTABLE, which is a lie that makes a slow refresh.
sql(q{
CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(60); RETURN $1; END';
SELECT dyntable_warehouse('short', statement_timeout => '300 ms', max_workers => 1, auto_suspend => '100 ms');
CREATE TABLE tiny (id int PRIMARY KEY);
INSERT INTO tiny VALUES (1);
SELECT dyntable_create('timed', 'SELECT slow(id) AS id FROM tiny', '1 s', initialize => 'on_schedule', warehouse => 'short');
});
becomes("SELECT scheduling_state_reason = 'SUSPENDED_DUE_TO_ERRORS' FROM dyntable.dynamic_tables WHERE name = 'timed'",
	"a warehouse's statement timeout counts as a failure");
is(sql("SELECT DISTINCT state_code, state_message FROM dyntable.refresh_history WHERE name = 'timed'"),
	'57014|canceling refresh due to statement timeout of warehouse "short", which is 300 ms', 'with its code and the name of the warehouse');
becomes("SELECT count(*) = 0 FROM dyntable.workers() WHERE warehouse = 'short'", 'idle workers of a warehouse end');
sql('DROP TABLE timed');

sql("SELECT dyntable_create('slow', 'SELECT slow(id) AS id FROM tiny', '1 s', initialize => 'on_schedule')");
my $worker = "SELECT pid FROM pg_stat_activity WHERE query = 'dyntable: refresh slow' AND state = 'active' AND wait_event = 'PgSleep'";
becomes("SELECT count(*) = 1 FROM ($worker) x", 'a slow refresh is under way');
sql("SELECT pg_cancel_backend(pid) FROM ($worker) x");
becomes("SELECT count(*) = 1 FROM dyntable.refresh_history WHERE name = 'slow' AND state = 'CANCELLED' AND state_code = '57014'",
	'a cancelled refresh is noted');
is(sql("SELECT consecutive_failures FROM dyntable.dynamic_tables WHERE name = 'slow'"), '1', 'and counts as a failure');
becomes("SELECT count(*) = 1 FROM ($worker) x", 'it is tried again');
sql("SELECT pg_terminate_backend(pid) FROM ($worker) x");
becomes("SELECT count(*) = 1 FROM dyntable.refresh_history WHERE name = 'slow' AND state = 'CANCELLED' AND state_code = '57P01'",
	'a terminated worker is noted');
is(sql("SELECT consecutive_failures FROM dyntable.dynamic_tables WHERE name = 'slow'"), '1', 'which is not the table\'s fault');
becomes("SELECT count(*) = 1 FROM ($worker) x", 'and replaced');

# ---- the scheduler itself ends while a refresh is under way ----
my $scheduler = sql("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'dyntable scheduler%'");
my $runs = sql("SELECT pid FROM ($worker) x");
sql("SELECT pg_terminate_backend($scheduler)");
becomes("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'dyntable scheduler%' AND pid <> $scheduler",
	'a scheduler that ends is replaced');
sql('UPDATE src SET v = -3 WHERE id = 2');
becomes('SELECT v = -3 FROM fast WHERE id = 2', 'by one that goes on');
is(sql("SELECT pid FROM ($worker) x"), $runs, 'and does not start again what is under way');

# ---- a warehouse's bound ----
sql(q{
SELECT dyntable_warehouse('narrow', max_workers => 1);
SELECT dyntable_create('narrow1', 'SELECT slow(id) AS id FROM tiny', '1 s', initialize => 'on_schedule', warehouse => 'narrow');
SELECT dyntable_create('narrow2', 'SELECT slow(id) AS id FROM tiny', '1 s', initialize => 'on_schedule', warehouse => 'narrow');
});
my $narrow = "FROM dyntable.workers() WHERE warehouse = 'narrow' AND state IN ('starting', 'busy')";
becomes("SELECT (SELECT count(*) $narrow) = 1 AND (SELECT count(*) = 2 FROM dyntable.dynamic_tables WHERE name LIKE 'narrow%' AND next_refresh_time <= now())",
	'of two refreshes that are due a warehouse of one worker runs one');
sql("SELECT dyntable_suspend(relid) FROM dyntable.dynamic_tables WHERE name LIKE 'narrow%'");
sql("SELECT pg_cancel_backend(pid) $narrow");
becomes("SELECT count(*) = 0 $narrow", 'and none any more when they are suspended');
sql('DROP TABLE narrow1, narrow2');

# ---- a crash in the middle of a refresh ----
my $pid = sql("SELECT pid FROM ($worker) x");
kill 'KILL', $pid;
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND query LIKE 'dyntable%'"),
	'the server comes up again after a worker was killed');
becomes("SELECT count(*) = 1 FROM dyntable.refresh_history WHERE name = 'slow' AND state = 'FAILED' AND state_code = '57P02'",
	'the refresh that was under way is noted as crashed');
sql('DROP TABLE slow');
sql('UPDATE src SET v = -1 WHERE id = 1');
becomes('SELECT v = -1 FROM fast WHERE id = 1', 'others go on after the crash');

# ---- restart ----
sql(q{INSERT INTO dyntable.history (id, relid, state, trigger, started, ended) OVERRIDING SYSTEM VALUE
SELECT -1, 'fast'::regclass, 'SUCCEEDED', 'MANUAL', now() - interval '30 days', now() - interval '30 days'});
$node->restart;
becomes('SELECT NOT EXISTS (SELECT FROM dyntable.history WHERE id = -1)', 'old history is purged');
sql('UPDATE src SET v = -2 WHERE id = 1');
becomes('SELECT v = -2 FROM fast WHERE id = 1', 'and after a restart');
is(sql("SELECT scheduling_state, data_timestamp <= '$stamp'::timestamptz FROM dyntable.dynamic_tables WHERE name = 'later'"),
	'SUSPENDED|t', 'a suspended table stays as it was');

# ---- who sees what ----
sql(q{CREATE ROLE reader LOGIN; GRANT SELECT ON fast TO reader});
sub as_reader { return $node->safe_psql('postgres', $_[0], extra_params => [ '-U', 'reader' ]); }
is(as_reader('SELECT name, query IS NULL FROM dyntable.dynamic_tables'), 'fast|t', 'a reader sees the tables it may read, without queries');
is(as_reader('SELECT DISTINCT name FROM dyntable.refresh_history'), 'fast', 'and their history');
is(as_reader('SELECT DISTINCT name FROM dyntable.dependencies'), 'fast', 'and dependencies');
like(($node->psql('postgres', 'SELECT * FROM dyntable.dynamic_table', extra_params => [ '-U', 'reader' ]))[2],
	qr/permission denied/, 'but nothing of what lies below');
sql('GRANT pg_read_all_stats TO reader');
cmp_ok(as_reader('SELECT count(query) FROM dyntable.dynamic_tables'), '>', 10, 'a reader of all statistics sees all');

is(sql("SELECT columns, changes > 0, log_bytes > 0 FROM dyntable.sources WHERE name = 'src'"), '{id,v}|t|t',
	'sources under capture');

# ---- the graph ----
like(sql('SELECT dyntable.graph()'), qr/^public\.below \(.*\)\n    public\.quotient \(.*\)\n        public\.divisor$/m, 'graph as text');
like(sql("SELECT dyntable.graph('dot')"), qr/^digraph.*"public\.c9" -> "public\.c10";.*\}$/s, 'graph for Graphviz');
like(sql("SELECT dyntable.graph('mermaid')"), qr/^flowchart LR\n.*t\d+ --> t\d+/s, 'graph for Mermaid');

# ---- the extension goes ----
sql('DROP EXTENSION dyntable CASCADE');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('dyntable scheduler', 'dyntable refresh worker')"),
	'scheduler and workers end with the extension');

$node->stop;
my @errors = grep { /dyntable scheduler (ERROR|PANIC)|TRAP/ }
  split /\n/, PostgreSQL::Test::Utils::slurp_file($node->logfile);
is("@errors", '', 'the scheduler raised no error in all this');
done_testing();
