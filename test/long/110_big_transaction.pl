# Transactions of ten million rows, and one that stays open while others commit:
# the capture worker's memory stays bounded (it spills to disk), capture and the
# refresh afterwards are right, and what holds capture up is shown.
#
#   DYNTABLE_BIG_ROWS     default 10000000
#   DYNTABLE_OPEN_SECONDS default 60: how long a transaction stays open
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynSession;
use DynLoad;
use Test::More;
use Time::HiRes qw(time);

# Besides shared memory, which counts in a process as far as it has touched it.
my $BOUND_MB = 300;

my $rows = $ENV{DYNTABLE_BIG_ROWS} || 10_000_000;
my $seconds = $ENV{DYNTABLE_OPEN_SECONDS} || 60;
my $node = DynTest::new_node('big', 'autovacuum = off', 'max_wal_size = 4GB', 'shared_buffers = 256MB', q{dyntable.capture_timeout = '30min'});
my $session;

sub run { return $node->safe_psql('postgres', $_[0]); }

# Memory of a process in MB without shared memory: now, and at its highest.
sub memory
{
	my ($pid) = @_;
	my %kb;
	open(my $handle, '<', "/proc/$pid/status") or return (0, 0);
	while (<$handle>) { $kb{$1} = $2 if /^(\w+):\s+(\d+) kB/; }
	close $handle;
	my $shared = $kb{RssShmem} + $kb{RssFile};
	return (int($kb{RssAnon} / 1024), int(($kb{VmHWM} - $shared) / 1024));
}

sub capture_pid { return run('SELECT pid FROM dyntable.capture'); }

my @NAMES = qw(few sums over);
my %QUERIES = (
	few => 'SELECT id, v FROM big WHERE id % 1000 = 0',
	sums => 'SELECT id % 500 AS grp, count(*) AS n, sum(v) AS v, max(v) AS high FROM big GROUP BY id % 500',
	over => 'SELECT n, count(*) AS groups, sum(v) AS v FROM sums GROUP BY n');

# One refresh of all in a session of its own, timed, with the session's peak.
sub refreshed
{
	my ($what, $action) = @_;
	my $started = time;
	my $lag = run('SELECT lag_bytes FROM dyntable.capture');
	my $capture = run(q{SELECT pg_current_wal_lsn()});
	$node->poll_query_until('postgres', "SELECT captured_lsn >= '$capture' FROM dyntable.capture") or die 'capture does not come';
	my $captured = time - $started;
	$session = DynSession->new($node);
	$started = time;
	my $out = $session->do(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT name, action FROM dyntable_refresh('few', 'over')});
	my $took = time - $started;
	my (undef, $peak) = memory($session->{pid});
	foreach my $name (@NAMES)
	{
		like($out, qr/^$name\|$action$/m, "$what: $name");
		is($session->do("SELECT count(*) FROM (($QUERIES{$name} EXCEPT ALL TABLE $name) UNION ALL (TABLE $name EXCEPT ALL $QUERIES{$name})) x"), '0', "$what: $name is its query");
	}
	$session->do('COMMIT');
	$session->end;
	my ($now, $highest) = memory(capture_pid());
	cmp_ok($highest, '<', $BOUND_MB, "$what: memory of the capture worker");
	cmp_ok($peak, '<', $BOUND_MB, "$what: memory of the refresh");
	DynTest::summary(sprintf('%s: captured %.1f s after the commit, %d MB behind at the commit; refreshed in %.1f s; peaks without shared memory: capture worker %d MB, refreshing backend %d MB',
		$what, $captured, $lag / 1048576, $took, $highest, $peak));
	return;
}

run(<<'SQL');
CREATE TABLE big (id bigint PRIMARY KEY, v int, t text);
INSERT INTO big SELECT i, i % 100 FROM generate_series(-1000, -1) i;
SQL
run("SELECT dyntable_create('$_', '$QUERIES{$_}', 'downstream', 'incremental')") foreach @NAMES;

my $started = time;
run("INSERT INTO big SELECT i, i % 100 FROM generate_series(1, $rows) i");
DynTest::summary(sprintf('%d rows inserted in %.1f s', $rows, time - $started));
refreshed("$rows rows inserted", 'INCREMENTAL');
is(run(q{SELECT spill_bytes > 0 FROM pg_stat_replication_slots}), 't', 'the transaction was spilled') if $rows >= 2_000_000;
is(run('SELECT sum(n) FROM sums'), $rows + 1000, 'all rows are there');
run("UPDATE big SET v = v + 1 WHERE id % 5 = 0");
refreshed('every fifth row updated', 'INCREMENTAL');
run("DO \$\$ BEGIN FOR i IN 0 .. 99 LOOP BEGIN DELETE FROM big WHERE id > i * $rows / 100 AND id <= (i + 1) * $rows / 100 AND id % 3 = 0; IF i % 10 = 9 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END \$\$");
refreshed('every third row deleted, in subtransactions', 'INCREMENTAL');
run("BEGIN; DELETE FROM big; ROLLBACK");
run('INSERT INTO big VALUES (-2000, 5)');
refreshed('all rows deleted and rolled back', 'INCREMENTAL');
ok($node->poll_query_until('postgres', 'SELECT change_log_bytes < 1000000 FROM dyntable.capture'), 'the log is emptied');

# ---- a transaction that stays open ----
run('SELECT pg_terminate_backend(pid) FROM dyntable.capture');
DynTest::wait_capture($node);
my $load = DynLoad->new($node);
my $open = DynSession->new($node);
$open->do("BEGIN; INSERT INTO load.account SELECT i, i % 50, i % 100, i, 'open' FROM generate_series(5000, 5100) i; INSERT INTO big SELECT -5000 - i, 1 FROM generate_series(1, 100000) i");
$load->start(6);
my ($first) = memory(capture_pid());
my ($end, $highest, @waits) = (time + $seconds, 0);
while (time < $end)
{
	my $begun = time;
	$load->round;
	push @waits, time - $begun;
	my ($now) = memory(capture_pid());
	$highest = $now if $now > $highest;
	last if !$load->running || @{ $load->{wrong} };
}
is(run(q{SELECT oldest_transaction < now() - interval '10 seconds' AND retained_wal_bytes > 1000000 FROM dyntable.capture}), 't', 'the open transaction and the WAL that it retains are shown');
my $retained = run('SELECT pg_size_pretty(retained_wal_bytes) FROM dyntable.capture');
my $transactions = run('SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()');
$load->stop;
$load->decide_prepared;
is(scalar @{ $load->{wrong} }, 0, 'no row differed beside it') or diag $load->{wrong}[0];
cmp_ok($highest, '<', $BOUND_MB, 'memory of the capture worker beside it');
$open->do('COMMIT');
$load->round for 1 .. 4;
is(scalar @{ $load->{wrong} }, 0, 'nor after its end') or diag $load->{wrong}[0];
refreshed('rows of the transaction that was open', 'INCREMENTAL');
@waits = sort { $a <=> $b } @waits;
DynTest::summary(sprintf('a transaction open for %d s: about %d transactions of others, %s of WAL retained, memory of the capture worker %d MB at first, at most %d MB; %d rounds of refreshes, median %.2f s, longest %.2f s',
	$seconds, $transactions, $retained, $first, $highest, scalar @waits, $waits[ @waits / 2 ], $waits[-1]));
$open->end;
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|was terminated by signal|given up/, 'no process crashed, and the slot was kept');
$node->stop;
done_testing();
