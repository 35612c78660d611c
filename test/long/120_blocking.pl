# Putting a large table under capture and filling from it while eight clients
# write it: how long they wait for locks on our account, and how slow their
# statements get beside a control that runs the same SELECT.  Both are looked at for
# as long, and begin when capture has nothing left to do: what the kernel writes back
# half a minute later, and what capture has yet to decode, falls to whoever caused it.
#
#   DYNTABLE_BLOCKING_ROWS    rows of the table (10,000,000)
#   DYNTABLE_BLOCKING_SECONDS how long the writers are looked at beside each (60)
#   DYNTABLE_BLOCKING_ROUNDS  how often each, in turn (3); the median of the ratios counts
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynSession;
use IPC::Run ();
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(time);

my $rows = $ENV{DYNTABLE_BLOCKING_ROWS} || 10_000_000;
my $rounds = $ENV{DYNTABLE_BLOCKING_ROUNDS} || 3;
my $window = $ENV{DYNTABLE_BLOCKING_SECONDS} || 60;
my $node = DynTest::new_node('large', 'autovacuum = off', 'shared_buffers = 1GB', 'max_wal_size = 16GB', 'checkpoint_timeout = 1h',
	'log_statement = none', 'fsync = on', 'dyntable.capture_timeout = 10min');

sub run { return $node->safe_psql('postgres', $_[0], timeout => 1800); }

run(<<"SQL");
CREATE TABLE src (id bigint PRIMARY KEY, k int, v int, note text) WITH (fillfactor = 80);
INSERT INTO src SELECT i, i % 1000, i % 7, 'note ' || i FROM generate_series(1, $rows) i;
CREATE TABLE keeper (id int PRIMARY KEY);
SELECT dyntable_create('kept', 'SELECT id FROM keeper', '1 day', 'incremental');
VACUUM ANALYZE src;
CREATE TABLE sampling (stop boolean);

-- the longest wait of others for a lock that we hold or wait for, in milliseconds
CREATE FUNCTION sample(ours int, OUT longest numeric, OUT waits int, OUT samples int) LANGUAGE plpgsql AS \$\$
DECLARE
	wait record;
	seen timestamptz[] := '{}';
BEGIN
	longest := 0;
	samples := 0;
	WHILE NOT EXISTS (SELECT FROM sampling) LOOP
		PERFORM pg_stat_clear_snapshot();
		FOR wait IN
			SELECT extract(epoch FROM clock_timestamp() - l.waitstart) * 1000 AS ms, l.waitstart
			FROM pg_locks l WHERE NOT l.granted AND l.waitstart IS NOT NULL AND EXISTS (
				SELECT FROM unnest(pg_blocking_pids(l.pid)) b(pid) JOIN pg_stat_activity a ON a.pid = b.pid
				WHERE a.pid = ours OR a.backend_type LIKE 'dyntable%')
		LOOP
			longest := greatest(longest, wait.ms);
			IF wait.waitstart <> ALL (seen) THEN
				seen := seen || wait.waitstart;
			END IF;
		END LOOP;
		samples := samples + 1;
		PERFORM pg_sleep(0.01);
	END LOOP;
	waits := cardinality(seen);
END \$\$;
SQL

my %script = (
	update => "\\set id random(1, $rows)\nUPDATE src SET v = v + 1 WHERE id = :id;\n",
	insert => "INSERT INTO src (id, k, v) VALUES ((extract(epoch FROM clock_timestamp()) * 1e6)::bigint * 100 + :client_id, :client_id, 1);\n");
foreach my $name (keys %script)
{
	open(my $handle, '>', "$ENV{TESTDIR}/$name.sql") or die $!;
	print $handle $script{$name};
	close $handle;
}

my $session = DynSession->new($node);
my $sampler = DynSession->new($node);

# Run a statement under the writers, and let them go on until so many seconds are over.  Returns the p99.9 of their statements in
# milliseconds, how many there were, the longest wait and the number of waits.
sub under_load
{
	my ($name, $sql, $seconds) = @_;
	my $prefix = "$ENV{TESTDIR}/latency_$name";
	run('CHECKPOINT');
	$node->poll_query_until('postgres', 'SELECT lag_bytes < 100000 FROM dyntable.capture') or die 'capture does not come to its end';
	my $writers = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 8, '-j', 2, '-T', 3600, '-l', "--log-prefix=$prefix", '-f', "$ENV{TESTDIR}/update.sql\@3", '-f', "$ENV{TESTDIR}/insert.sql", $node->connstr('postgres') ],
		'>', '/dev/null', '2>', '/dev/null');
	sleep 3;
	$sampler->send("SELECT longest, waits, samples FROM sample($session->{pid})");
	my $started = time;
	my $output = $session->do($sql);
	my $ended = time;
	die $output if $output =~ /ERROR/;
	my $took = $ended - $started;
	if ($took < $seconds)
	{
		sleep $seconds - $took;
		$ended = time;
	}
	run('INSERT INTO sampling VALUES (true)');
	my ($longest, $waits, $samples) = split /\|/, $sampler->result;
	run('TRUNCATE sampling');
	# the latency logs are written in blocks
	sleep 1;
	$writers->signal('INT');
	eval { $writers->finish };

	my @latencies;
	foreach my $file (glob("$prefix.*"))
	{
		open(my $handle, '<', $file) or die "$file: $!";
		while (my $line = <$handle>)
		{
			my @field = split / /, $line;
			next if @field < 6;
			my $at = $field[4] + $field[5] / 1e6;
			push @latencies, $field[2] / 1000 if $at >= $started && $at - $field[2] / 1e6 <= $ended;
		}
		close $handle;
		unlink $file;
	}
	@latencies = sort { $a <=> $b } @latencies;
	die 'too few statements' if @latencies < 500;
	my %result = (p999 => $latencies[ @latencies * 0.999 ], count => scalar @latencies, max => $latencies[-1], took => $took, seconds => $ended - $started,
		longest => $longest, waits => $waits, samples => $samples);
	DynTest::summary(sprintf '120_blocking: %s: %.1f of %.0f s, %d statements (%.0f/s), p99.9 %.1f ms, longest %.0f ms; waits on our account %d, longest %.0f ms (%d samples)',
		$name, @result{qw(took seconds count)}, $result{count} / $result{seconds}, @result{qw(p999 max waits longest samples)});
	return \%result;
}

my $query = 'SELECT id, k, v FROM src WHERE k < 900';
my @ratios;
my $longest = 0;
foreach my $round (1 .. $rounds)
{
	my $control = under_load("control_$round", "CREATE TABLE control AS $query", $window);
	run('DROP TABLE control');
	my $create = under_load("create_$round", "SELECT dyntable_create('dt', '$query', '1 day', 'incremental')", $window);
	push @ratios, $create->{p999} / $control->{p999};
	my $refresh = under_load("refresh_$round", q{SELECT action FROM dyntable_refresh('dt')}, 0);
	$longest = max($longest, $create->{longest}, $refresh->{longest});
	is(run(q{SELECT * FROM dyntable_verify('dt')}), '0|0', 'no row differs');
	run(q{SELECT dyntable_drop('dt')});
	$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM dyntable.source') or die 'src stays under capture';
}
my @sorted = sort { $a <=> $b } @ratios;
my $ratio = $sorted[ $#sorted / 2 ];
DynTest::summary(sprintf '120_blocking: %d rows: p99.9 beside a create / beside the same SELECT: %.2f (%s); longest wait on our account %.0f ms',
	$rows, $ratio, join(', ', map { sprintf '%.2f', $_ } @ratios), $longest);
cmp_ok($longest, '<=', 200, 'no lock wait on our account is over 200 ms');
cmp_ok($ratio, '<=', 1.5, 'p99.9 beside a create is at most 1.5 times that beside the same SELECT');

# A minute is the bound where lock_timeout sets none.
my $other = DynSession->new($node);
$other->do('BEGIN; UPDATE src SET v = 0 WHERE id = 1');
my $started = time;
my ($status, $out, $error) = $node->psql('postgres', "SELECT dyntable_create('dt', '$query', '1 day', 'incremental')");
like($error, qr/could not lock the source.*In the way: process $other->{pid} /s, 'a create gives up and names who holds the source');
my $waited = time - $started;
ok($waited > 55 && $waited < 75, "after a minute ($waited s)");
$other->do('ROLLBACK');
$_->end foreach $session, $sampler, $other;
$node->stop;
done_testing();
