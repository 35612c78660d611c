# Processes killed, ended and cancelled at chosen moments: inside a refresh, a
# create, an alter and a drop, between the commit of a batch and the
# confirmation of the slot.  Nothing is half done, nothing is lost or doubled,
# nothing is computed anew without need.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynFaults;
use Test::More;

my $node = DynTest::new_node('faults', 'restart_after_crash = on', 'log_statement = none', 'autovacuum = off');
my $step = 0;

sub run { return $node->safe_psql('postgres', $_[0]); }

sub generation { return run('SELECT coalesce(generation, 0) FROM dyntable.capture'); }

# Change what the table reads, refresh: what was done, and whether it then
# holds what its query gives.
sub is_refreshed
{
	my ($what, $action, $name) = @_;
	$name //= 'grouped';
	$step++;
	run("UPDATE src SET v = v + $step WHERE id % 5 = $step % 5; INSERT INTO src VALUES (1000 + $step, $step); DELETE FROM src WHERE id = $step");
	is(run("SELECT action FROM dyntable_refresh('$name') WHERE name = '$name'::regclass"), $action, "$what: $action");
	is(run("SELECT * FROM dyntable_verify('$name')"), '0|0', "$what: no row differs");
	return;
}

# A transaction that stops every use of brake(), until it is ended.
sub brake_on
{
	DynFaults::session($node, "SET application_name = 'brake'; SELECT pg_advisory_lock(77); SELECT pg_sleep(600)");
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted}) or die 'no brake';
	return;
}

sub brake_off
{
	run(q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'brake'});
	return;
}

# The process that stands before the brake.
sub braked
{
	my $waits = q{FROM pg_locks WHERE locktype = 'advisory' AND NOT granted};
	$node->poll_query_until('postgres', "SELECT count(*) > 0 $waits") or die 'nobody came to the brake';
	return run("SELECT min(pid) $waits");
}

run(<<'SQL');
CREATE TABLE src (id int PRIMARY KEY, v int);
CREATE TABLE slow (id int PRIMARY KEY, v int);
INSERT INTO src SELECT i, i % 100 FROM generate_series(1, 800) i;
INSERT INTO slow SELECT i, i FROM generate_series(1, 5) i;
CREATE FUNCTION brake(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN i; END';
SELECT dyntable_create('grouped', 'SELECT v % 10 AS k, count(*) AS n, sum(v) AS total FROM src GROUP BY 1', '1 day', 'incremental');
SELECT dyntable_create('top', 'SELECT n % 3 AS m, count(*) AS c, max(total) AS t FROM grouped GROUP BY 1', '1 day', 'incremental');
SELECT dyntable_create('soon', 'SELECT v, count(*) AS n FROM src GROUP BY v', '1 second', 'incremental');
SELECT dyntable_create('braked', 'SELECT id, brake(v) AS v FROM slow', '1 day', 'incremental');
SQL
is_refreshed('before all', 'INCREMENTAL', 'top');
my $first = generation();

# ---- between the commit of a batch and the confirmation of the slot ----
# The worker confirms about once a second.  Stopped in the gap it shows that
# the log is ahead of the slot; then it dies.
sub stop_in_the_gap
{
	my $worker = DynFaults::worker($node, 'capture');
	my $gap = q{SELECT pg_replication_origin_progress(slot_name, false) > confirmed_flush_lsn FROM pg_replication_slots};
	for my $n (1 .. 300)
	{
		run("INSERT INTO src VALUES (5000 + $step * 1000 + $n, $n)");
		next if run($gap) ne 't';
		kill 'STOP', $worker;
		return $worker if run($gap) eq 't';
		kill 'CONT', $worker;
	}
	die 'the worker was never seen between commit and confirmation';
}

my $worker = stop_in_the_gap();
DynFaults::crash($node, $worker);
is_refreshed('the capture worker killed between commit and confirmation', 'INCREMENTAL', 'top');
$worker = stop_in_the_gap();
DynTest::kill_server($node);
$node->start;
is_refreshed('all killed between commit and confirmation', 'INCREMENTAL', 'top');
$worker = stop_in_the_gap();
$node->stop('immediate');
$node->start;
is_refreshed('an immediate shutdown in between', 'INCREMENTAL', 'top');
DynFaults::kill_postmaster($node);
$node->start;
is_refreshed('the postmaster alone killed', 'INCREMENTAL', 'top');

# ---- told to end ----
foreach my $kind ('capture', 'scheduler', 'launcher')
{
	my $pid = DynFaults::worker($node, $kind);
	is(run("SELECT pg_terminate_backend($pid, 10000)"), 't', "$kind ends when told to");
	is_refreshed("$kind told to end", 'INCREMENTAL');
	isnt(DynFaults::worker($node, $kind), $pid, "$kind runs again");
}
run(q{UPDATE src SET v = v + 1 WHERE id = 700});
run(q{SELECT dyntable_wait('soon')});
is(run(q{SELECT * FROM dyntable_verify('soon')}), '0|0', 'the scheduler refreshes as before');

# ---- a refresh worker in a refresh ----
foreach my $signal ('TERM', 'INT', 'KILL')
{
	brake_on();
	run(q{SELECT dyntable_alter('braked', target_lag => '1 second'); UPDATE slow SET v = v + 1});
	my $pid = braked();
	is(run("SELECT backend_type FROM pg_stat_activity WHERE pid = $pid"), 'dyntable refresh worker', 'a refresh worker is at work');
	if ($signal eq 'KILL') { DynFaults::crash($node, $pid); }
	else { kill $signal, $pid; }
	brake_off();
	run(q{SELECT dyntable_wait('braked')});
	is(run(q{SELECT * FROM dyntable_verify('braked')}), '0|0', "refresh worker, SIG$signal: the next one does it");
	run(q{SELECT dyntable_alter('braked', target_lag => '1 day')});
}
is(run(q{SELECT string_agg(code, ' ' ORDER BY id) FROM dyntable.history WHERE state IN ('FAILED', 'CANCELLED') AND relid = 'braked'::regclass}),
	'57P01 57014 57P02', 'history tells of each');
is(run(q{SELECT scheduling_state FROM dyntable.dynamic_tables WHERE name = 'braked'}), 'ACTIVE', 'and nobody is suspended for that');

# ---- a session in create, refresh, alter and drop ----
# A change that only a refresh brings; what stands at the brake; what must be as before.
my %commands = (
	create => q{SELECT dyntable_create('made', 'SELECT id, brake(v) AS v FROM slow WHERE id > 1')},
	refresh => q{SELECT * FROM dyntable_refresh('braked')},
	alter => q{BEGIN; SELECT dyntable_alter('braked', query => 'SELECT id, brake(v + 1) AS v FROM slow'); SELECT brake(v) FROM slow; COMMIT},
	drop => q{BEGIN; SELECT dyntable_drop('braked'); SELECT brake(v) FROM slow; COMMIT},
	# the new rows have no key: the index of the former one is dead, and not yet dropped
	rekey => q{BEGIN; SELECT dyntable_alter('braked', query => 'SELECT id % 2 AS id, v FROM slow'); SELECT dyntable_refresh('braked'); SELECT brake(v) FROM slow; COMMIT});
my %ways = (
	'statement_timeout' => [ q{SET statement_timeout = 200;}, qr/canceling statement due to statement timeout/ ],
	'lock_timeout' => [ q{SET lock_timeout = 100;}, qr/canceling statement due to lock timeout/ ],
	'pg_cancel_backend' => [ '', qr/canceling statement due to user request/, 'SELECT pg_cancel_backend(%d)' ],
	'pg_terminate_backend' => [ '', qr/terminating connection due to administrator command/, 'SELECT pg_terminate_backend(%d)' ],
	'kill -9' => [ '', qr/server closed the connection unexpectedly|terminating connection/ ]);
sub interrupted
{
	my ($command, $way) = @_;
	my ($setting, $message, $call) = @{ $ways{$way} };
	my $sql = $commands{$command};
	my $definition = run(q{SELECT query FROM dyntable.dynamic_tables WHERE name = 'braked'});
	run('UPDATE slow SET v = v + 1');
	brake_on();
	my ($output, $session) = DynFaults::session($node, "$setting $sql;");
	if ($setting eq '')
	{
		my $pid = braked();
		if ($call) { run(sprintf($call, $pid)); }
		else { DynFaults::crash($node, $pid); }
	}
	eval { $session->finish };
	brake_off();
	like($$output, $message, "$command, $way: says so");
	is(run(q{SELECT query FROM dyntable.dynamic_tables WHERE name IN ('braked', 'made')}), $definition, "$command, $way: nothing is half done");
	is(run(q{SELECT action FROM dyntable_refresh('braked')}), 'INCREMENTAL', "$command, $way: and nothing lost");
	is(run(q{SELECT indisunique AND indisvalid AND indisready AND indislive FROM pg_index WHERE indrelid = 'braked'::regclass}), 't', "$command, $way: its index is what it was");
	is(run(q{SELECT * FROM dyntable_verify('braked')}), '0|0', "$command, $way: no row differs");
	return;
}
foreach my $command (sort keys %commands)
{
	interrupted($command, $_) foreach sort grep { $_ ne 'kill -9' } keys %ways;
}
interrupted($_, 'kill -9') foreach sort keys %commands;
run("$commands{create}; SELECT dyntable_drop('made')");
my ($status, $out, $error) = $node->psql('postgres', q{SET idle_in_transaction_session_timeout = 100; BEGIN; UPDATE slow SET v = v + 1;
	SELECT dyntable_refresh('grouped'); SELECT dyntable_create('idle', 'SELECT id FROM slow'); \! sleep 0.5
	SELECT 1}, on_error_die => 0);
is(run(q{SELECT count(*) FROM dyntable.dynamic_tables WHERE name = 'idle'}), 0, 'idle in transaction: nothing is left');
is_refreshed('idle in transaction', 'INCREMENTAL');

# ---- a registrar ----
run(q{CREATE TABLE busy (id int PRIMARY KEY, v int); INSERT INTO busy SELECT i, i FROM generate_series(1, 50) i});
foreach my $signal ('TERM', 'KILL')
{
	run(q{BEGIN; UPDATE busy SET v = v + 1 WHERE id = 1; PREPARE TRANSACTION 'busy'});
	my ($output, $session) = DynFaults::session($node, q{SELECT dyntable_create('of_busy', 'SELECT id, v FROM busy')});
	my $pid = DynFaults::worker($node, 'registrar');
	if ($signal eq 'KILL') { DynFaults::crash($node, $pid); }
	else { kill $signal, $pid; }
	eval { $session->finish };
	like($$output, $signal eq 'KILL' ? qr/server closed|terminating connection/ : qr/could not put the source under change capture/, "registrar, SIG$signal: the create fails");
	run(q{COMMIT PREPARED 'busy'});
	is(run(q{SELECT count(*) FROM pg_class WHERE relname = 'of_busy'}), 0, 'and leaves nothing');
}
run(q{SELECT dyntable_create('of_busy', 'SELECT id, v FROM busy'); UPDATE busy SET v = v + 1; SELECT dyntable_refresh('of_busy')});
is(run(q{SELECT * FROM dyntable_verify('of_busy')}), '0|0', 'then it works');

# ---- crash right after a drop ----
run(q{SELECT dyntable_drop('of_busy')});
DynTest::kill_server($node);
$node->start;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM dyntable.source WHERE relid = 'busy'::regclass}), 'a source that nobody reads leaves capture, crash or not');
is(run(q{SELECT relreplident FROM pg_class WHERE relname = 'busy'}), 'd', 'its replica identity is what it was');

# ---- the end ----
is_refreshed('after all', 'INCREMENTAL', 'top');
is(generation(), $first, 'it is the slot of the beginning');
is(run(q{SELECT string_agg(DISTINCT reason, ', ') FROM dyntable.history WHERE action = 'REINITIALIZE' AND trigger <> 'CREATION'}), '', 'nothing was ever computed anew');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|terminated by signal (?!9)|fault of dyntable/, 'nothing crashed by itself');
my $lines = () = $log =~ /\n/g;
note "$lines lines of log";
cmp_ok($lines, '<', 1500, 'and the log was not flooded');
$node->stop;
done_testing();
