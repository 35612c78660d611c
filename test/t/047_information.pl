# What can be seen of refreshes while they run, wait and fail: progress, history,
# why a table stands still, notifications; and how old the data of an idle
# table is, which nobody writes down.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynSession;
use Test::More;

my $node = DynTest::new_node('information', 'dyntable.max_consecutive_failures = 2', 'dyntable.max_workers = 1');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub becomes
{
	my ($query, $title) = @_;
	ok($node->poll_query_until('postgres', $query), $title)
	  or diag(sql('SELECT name, state, state_code, state_message, refresh_action FROM dyntable.refresh_history ORDER BY id DESC LIMIT 20'));
	return;
}

sql(q{
CREATE TABLE src (id int PRIMARY KEY, v int);
INSERT INTO src SELECT i, i FROM generate_series(1, 1000) i;
-- Stops at row 500 while somebody holds the lock.
CREATE FUNCTION brake(id int) RETURNS int LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF id = 500 THEN PERFORM pg_advisory_xact_lock_shared(47); END IF;
    RETURN id;
END $$;
SELECT dyntable_create('low', 'SELECT id, brake(id) AS b, v FROM src', '1 day', refresh_mode => 'full');
SELECT dyntable_create('high', 'SELECT count(*) AS n FROM low', '1 day');
});

# ---- a run under way ----
my $gate = DynSession->new($node);
my $session = DynSession->new($node);
$gate->do('SELECT pg_advisory_lock(47)');
$session->send(q{SELECT name, action FROM dyntable_refresh('high')});
becomes(q{SELECT count(*) = 1 FROM dyntable.progress WHERE name = 'low' AND rows_done = 499}, 'progress shows the rows that are there');
is(sql(q{SELECT schema_name, refresh_trigger, phase, rows_expected > 0, number, tables, run_tables, started >= run_started, run IS NOT NULL,
	pid IN (SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory') FROM dyntable.progress}),
	'public|MANUAL|execute|t|1|2|{public.low,public.high}|t|t|t', 'and table, phase, run');
is(sql(q{SELECT name, state, refresh_trigger, query_id = (SELECT run::text FROM dyntable.progress), refresh_start_time IS NOT NULL
	FROM dyntable.dynamic_table_refresh_history() WHERE state IN ('EXECUTING', 'SCHEDULED') ORDER BY name}),
	"high|SCHEDULED|MANUAL|t|f\nlow|EXECUTING|MANUAL|t|t", 'the history shows what runs and what comes after it');
is(sql(q{SELECT executing_refresh_query_id = (SELECT run::text FROM dyntable.progress) FROM dyntable.dynamic_tables(name => 'low')}), 't', 'and so do the tables');
sql(q{CREATE ROLE nobody; CREATE ROLE reader; GRANT SELECT ON low TO reader});
is(sql(q{SET ROLE nobody; SELECT count(*) FROM dyntable.progress}), '0', 'not to those who may not read it');
is(sql(q{SET ROLE reader; SELECT name, run_tables FROM dyntable.progress}), 'low|{public.low}', 'to those who may, of what they may read');
$gate->do('SELECT pg_advisory_unlock(47)');
like($session->result, qr/low\|FULL\nhigh\|/, 'the run ends');
is(sql('SELECT count(*) FROM dyntable.progress'), '0', 'and is no longer shown');

# A session that is cancelled, or ends, in the middle.
foreach my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	my $victim = DynSession->new($node);
	$gate->do('SELECT pg_advisory_lock(47)');
	$victim->send(q{SELECT name, action FROM dyntable_refresh('high')});
	becomes(q{SELECT count(*) = 1 FROM dyntable.progress WHERE name = 'low' AND rows_done = 499}, "a run, $how");
	sql("SELECT $how($victim->{pid})");
	becomes('SELECT count(*) = 0 FROM dyntable.progress', 'nothing of it is left');
	$gate->do('SELECT pg_advisory_unlock(47)');
	$victim->{run}->kill_kill;
}

# A worker says in pg_stat_activity what it does, and of how many.
$gate->do('SELECT pg_advisory_lock(47)');
sql(q{SELECT dyntable_alter('high', target_lag => '1 second')});
becomes(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dyntable refresh worker' AND query = 'dyntable: refresh low, 1 of 2'},
	'pg_stat_activity has the table');
becomes(q{SELECT refresh_trigger = 'SCHEDULED' AND rows_done = 499 FROM dyntable.progress}, 'a worker shows its progress');
$gate->do('SELECT pg_advisory_unlock(47)');
becomes(q{SELECT count(*) > 0 FROM dyntable.refresh_history WHERE name = 'high' AND refresh_trigger = 'SCHEDULED' AND queued_ms >= 0}, 'it is done, and how long it was queued is known');

# ---- notifications ----
my $listener = DynSession->new($node);
sub heard
{
	my $text = $listener->do('SELECT 1');
	return [ map { /payload "(.*)" received/ ? $1 : () } split /\n/, $text ];
}
sub heard_until
{
	my ($pattern, $title) = @_;
	my @all;
	for (1 .. 600)
	{
		push @all, @{ heard() };
		last if grep { /$pattern/ } @all;
		select(undef, undef, undef, 0.1);
	}
	ok(scalar(grep { /$pattern/ } @all), $title) or diag(join "\n", @all);
	return @all;
}
sql(q{SELECT dyntable_alter('high', target_lag => '1 day'); SELECT dyntable_suspend('low');
	CREATE TABLE plain (id int PRIMARY KEY, d int); INSERT INTO plain VALUES (1, 1);
	SELECT dyntable_create('quotient', 'SELECT id, 10 / d AS q FROM plain', '1 day')});
$listener->do('LISTEN dyntable');
is_deeply(heard(), [], 'nothing is heard of what was before');
sql(q{INSERT INTO plain VALUES (2, 2), (3, 5); UPDATE plain SET d = 2 WHERE id = 1; SELECT * FROM dyntable_refresh('quotient')});
my @refreshed = heard_until('refreshed', 'a refresh is heard of');
like($refreshed[0], qr/^\{"event": "refreshed", "schema": "public", "table": "quotient", "action": "INCREMENTAL", "data_timestamp": "\d{4}-[^"]+", "inserted": 2, "updated": 1, "deleted": 0\}$/, 'with its counts');
is(sql("SELECT ('$refreshed[0]'::jsonb ->> 'data_timestamp')::timestamptz = data_timestamp FROM dyntable.dynamic_tables WHERE name = 'quotient'"), 't', 'and its data timestamp');
sql(q{SELECT * FROM dyntable_refresh('quotient')});
is_deeply(heard(), [], 'a refresh that found nothing is not');
sql(q{TRUNCATE plain; SELECT * FROM dyntable_refresh('quotient')});
heard_until('"event": "reinitialised", .*"deleted": 3', 'a reinitialisation is');
sql(q{SELECT dyntable_suspend('quotient')});
heard_until('\{"event": "suspended", "schema": "public", "table": "quotient", "code": "USER_SUSPENDED"\}', 'a suspension is');
sql(q{SELECT dyntable_resume('quotient')});
heard_until('"event": "resumed"', 'and its end');
sql(q{SELECT dyntable_create('above', 'SELECT count(*) AS n, max(q) AS most FROM quotient', '1 second')});
sql(q{SELECT dyntable_alter('quotient', target_lag => '1 second'); INSERT INTO plain VALUES (9, 0)});
my @failed = heard_until('"event": "suspended", .*"table": "above", "code": "UPSTREAM_SUSPENDED_DUE_TO_ERRORS"', 'failures and what comes of them are');
is(scalar(grep { /^\{"event": "failed", "schema": "public", "table": "quotient", "code": "22012", "failures": [12]\}$/ } @failed), 2, 'each failure, with its code and no text');
is(scalar(grep { /division/ } @failed), 0, 'and nothing of the data');
$listener->do('UNLISTEN *');
$_->end foreach $gate, $session, $listener;

# ---- failures in history and why a table stands still ----
my $where = 'expression (10 / plain.d) for row (id)=(9) of table public.plain, in the refresh of dynamic table public.quotient';
is(sql(q{SELECT DISTINCT name, state, state_code, state_message FROM dyntable.dynamic_table_refresh_history(error_only => true) WHERE name IN ('quotient', 'above') ORDER BY 1}),
	"above|UPSTREAM_FAILED|UPSTREAM_FAILED|could not be refreshed: public.quotient\nquotient|FAILED|22012|division by zero: $where", 'acceptance 5: UPSTREAM_FAILED is a state of its own, and names the input that failed');
is(sql(q{SELECT statistics ?& '{queuedTimeMs,compilationTimeMs,executionTimeMs}' AND NOT statistics ? 'numInsertedRows' AND data_timestamp IS NOT NULL
	FROM dyntable.dynamic_table_refresh_history(name => 'quotient', error_only => true) LIMIT 1}), 't', 'a failed refresh has its times alone');
is(sql(q{SELECT name, standstill FROM dyntable.dynamic_tables WHERE name IN ('quotient', 'above') ORDER BY 1}),
	"above|suspended because of failures of public.quotient\nquotient|suspended after 2 failures in a row: division by zero: $where", 'both stand still, and why');
is(sql(q{SELECT scheduling_state - 'suspended_on' FROM dyntable.dynamic_tables(name => 'above')}),
	'{"state": "SUSPENDED", "reason_code": "UPSTREAM_SUSPENDED_DUE_TO_ERRORS", "reason_message": "suspended because of failures of public.quotient"}', 'as an object, too');
sql(q{DELETE FROM plain WHERE d = 0; SELECT dyntable_resume('quotient')});
becomes(q{SELECT bool_and(standstill IS NULL) FROM dyntable.dynamic_tables WHERE name IN ('quotient', 'above')}, 'repaired and resumed, nothing is wrong');
$node->append_conf('postgresql.conf', 'dyntable.capture = off');
$node->reload;
becomes(q{SELECT standstill = 'waits for change capture: dyntable.capture is off' FROM dyntable.dynamic_tables WHERE name = 'quotient'}, 'capture that is off is the reason');
$node->append_conf('postgresql.conf', 'dyntable.capture = on');
$node->reload;
sql(q{SELECT dyntable_create('leaf', 'SELECT id FROM plain', 'downstream'), dyntable_create('empty', 'SELECT id FROM plain', 'downstream', initialize => 'on_schedule')});
like(sql(q{SELECT standstill FROM dyntable.dynamic_tables WHERE name = 'leaf'}), qr/^its target lag is downstream/, 'nobody needs a leaf that is downstream');

# ---- the lag of an idle table, whose data timestamp moves in shared memory ----
becomes(q{SELECT steps > 5 FROM dyntable.lag_history WHERE name = 'above' ORDER BY until DESC LIMIT 1}, 'the data timestamp of an idle table moves');
is(sql(q{SELECT maximum_lag_sec BETWEEN 0.2 AND 30, mean_lag_sec < maximum_lag_sec, until - since > interval '2 seconds'
	FROM dyntable.lag_history WHERE name = 'above' ORDER BY until DESC LIMIT 1}), 't|t|t', 'its lag is measured without a refresh');
is(sql(q{SELECT count(*) FROM dyntable.lag_history a JOIN dyntable.lag_history b ON a.relid = b.relid AND a.since < b.since AND a.until > b.since}), '0', 'no time counts twice');
sql(q{INSERT INTO plain VALUES (50, 5)});
becomes(q{SELECT count(*) > 0 FROM dyntable.history WHERE relid = 'above'::regclass AND lag_steps > 5}, 'the next refresh writes it down');

# ---- retention ----
sql(q{SELECT dyntable_alter('leaf', target_lag => '1 hour');
	UPDATE dyntable.version SET valid_from = now() - interval '9 days', valid_to = now() - interval '8 days' WHERE relid = 'leaf'::regclass AND valid_to IS NOT NULL});
is(sql(q{SELECT count(*) FROM dyntable.version WHERE relid = 'leaf'::regclass}), '2', 'two versions of a table, one of them long ago');
$node->reload;
becomes(q{SELECT count(*) = 1 FROM dyntable.version WHERE relid = 'leaf'::regclass}, 'old versions are dropped, as old history is');

$node->stop;
done_testing();
