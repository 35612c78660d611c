# 2,000 dynamic tables over 500 sources in one database, and 20 databases: what
# they cost when nothing happens, how fast the server is up with them, and that
# one table among them is refreshed as fast as one among few.
#
# The targets are those of docs/operations.md; the machine may be busy with other
# things, so it takes twice as much to fail.
#
#   DYNTABLE_MANY_SOURCES    default 500, four tables each
#   DYNTABLE_MANY_DATABASES  default 20
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $sources = $ENV{DYNTABLE_MANY_SOURCES} || 500;
my $databases = $ENV{DYNTABLE_MANY_DATABASES} || 20;
my $tables = 4 * $sources;
my $window = 60;
my $noise = 2;

my $node;

sub sql
{
	my ($query, $database) = @_;
	return $node->safe_psql($database // 'postgres', $query);
}

# CPU time and voluntary context switches of dyntable's processes, by pid.
sub usage
{
	my (undef, @pids) = DynTest::processes($node);
	my %usage;
	foreach my $pid (@pids)
	{
		my ($command, $schedule, $status) = map { -e "/proc/$pid/$_" ? slurp_file("/proc/$pid/$_") : '' } qw(cmdline schedstat status);
		next unless $command =~ /dyntable/ && $schedule =~ /^(\d+)/;
		$usage{$pid} = [ $1 / 1e9, $status =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0 ];
	}
	return \%usage;
}

# Per cent of one core, and wake-ups a second, over the window.
sub measure
{
	my $before = usage();
	my $started = time;
	sleep $window;
	my $after = usage();
	my $time = time - $started;
	my @sum = (0, 0);
	foreach my $pid (keys %$after)
	{
		$sum[$_] += $after->{$pid}[$_] - ($before->{$pid} // [ 0, 0 ])->[$_] foreach 0, 1;
	}
	return (100 * $sum[0] / $time, $sum[1] / $time);
}

sub costs_at_most
{
	my ($target, $what) = @_;
	my ($cpu, $wakeups) = measure();
	DynTest::summary(sprintf('many: %s: %.2f %% of a core (target %d %%), %.0f wake-ups a second', $what, $cpu, $target, $wakeups));
	cmp_ok($cpu, '<', $noise * $target, "$what cost little");
	return;
}

# Every table is as fresh as its lag asks for, and nobody is at work.
sub settle
{
	foreach my $database (@_)
	{
		$node->poll_query_until($database, q{SELECT NOT EXISTS (SELECT FROM dyntable.workers() WHERE state <> 'idle')
			AND (SELECT bool_and(age < effective_target_lag::interval AND next_refresh_time IS NOT NULL) FROM dyntable.dynamic_tables)})
		  or die "$database does not settle";
	}
	return;
}

# Time from a server's start until all databases capture and schedule.
sub starts_within
{
	my ($target, @databases) = @_;
	$node->stop;
	my $started = time;
	$node->start;
	foreach my $database (@databases)
	{
		$node->poll_query_until($database, q{SELECT (SELECT state FROM dyntable.capture) = 'running'
			AND NOT EXISTS (SELECT FROM dyntable.dynamic_tables WHERE next_refresh_time IS NULL)}) or die "$database does not start";
	}
	my $time = time - $started;
	DynTest::summary(sprintf('many: start-up with %d databases: %.1f s (target %d s)', scalar @databases, $time, $target));
	cmp_ok($time, '<', $noise * $target, 'the server is up soon');
	return;
}

# The median of several refreshes of one table, each after a change of a row, in ms.
sub refresh_time
{
	my ($source, $table) = @_;
	my @times;
	foreach (1 .. 15)
	{
		sql("UPDATE $source SET v = v + 1 WHERE id = 50");
		my ($action, $time) = split /\|/, sql("SELECT action, extract(epoch FROM duration) * 1000 FROM dyntable_refresh('$table')");
		is($action, 'INCREMENTAL', "$table is refreshed incrementally") unless $action eq 'INCREMENTAL';
		push @times, $time;
	}
	return (sort { $a <=> $b } @times)[7];
}

# ---- many tables ----
sub create_source
{
	my ($i) = @_;
	my $next = $i % $sources + 1;
	my @definitions = (
		[ "a$i", "SELECT id, g, v FROM s$i WHERE v > 10" ],
		[ "b$i", "SELECT g, count(*) AS n, sum(v) AS total FROM s$i GROUP BY g" ],
		[ "c$i", "SELECT x.id, x.v, y.v AS w FROM s$i x JOIN s$next y ON x.id = y.id" ],
		[ "d$i", "SELECT id, v * 2 AS w FROM a$i WHERE g = 1" ]);
	return map { "SELECT dyntable_create('$_->[0]', '$_->[1]', '1 hour');\n" } @definitions;
}

# In four sessions at once.
sub create_tables
{
	my @sources = @_;
	my @runs;
	foreach my $session (0 .. 3)
	{
		my $script = join '', map { create_source($_) } grep { $_ % 4 == $session } @sources;
		push @runs, IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', \$script, '>', '/dev/null');
	}
	foreach my $run (@runs) { $run->finish or die 'a session failed'; }
	return;
}

$node = DynTest::new_node('many', 'log_statement = none');
sql(join '', map { "CREATE TABLE s$_ (id int PRIMARY KEY, g int, v int); INSERT INTO s$_ SELECT i, i % 10, i FROM generate_series(1, 100) i;" } 1 .. $sources);
create_tables(1 .. 3);
my $among_few = refresh_time('s2', 'b2');
my $started = time;
create_tables(4 .. $sources);
DynTest::summary(sprintf('many: %d tables over %d sources created in %.0f s', $tables, $sources, time - $started));
is(sql("SELECT count(*), (SELECT count(*) FROM dyntable.sources) FROM dyntable.dynamic_tables"), "$tables|$sources", 'all are there');
is(sql("SELECT count(*) FROM dyntable.refresh_history WHERE reason <> 'first fill'"), 0, 'none was initialised a second time');
sql('VACUUM ANALYZE');
my $among_many = refresh_time('s2', 'b2');
DynTest::summary(sprintf('many: one row, refresh among 12 tables %.2f ms, among %d %.2f ms', $among_few, $tables, $among_many));
cmp_ok($among_many, '<', 3 * $among_few + 2, 'a refresh costs what its changes do');

settle('postgres');
costs_at_most(1, "$tables tables with lags of an hour");
sql(q{UPDATE dyntable.dynamic_table SET target_lag = '1 minute'});
sleep 65;    # each is refreshed once under its new definition
settle('postgres');
costs_at_most(5, "$tables tables with lags of a minute");
is(sql(q{SELECT max(age) < '1 minute' FROM dyntable.dynamic_tables}), 't', 'and all are as fresh as that');

my $before = sql('SELECT max(id) FROM dyntable.refresh_history');
sql('UPDATE s3 SET v = v + 1 WHERE id = 50');
costs_at_most(5, 'and one changed row');
is(sql("SELECT string_agg(DISTINCT name, ',' ORDER BY name) FROM dyntable.refresh_history WHERE id > $before"), 'a3,b3,c2,c3,d3', 'only what reads it is refreshed');
is(sql(q{SELECT count(*) FROM (SELECT g, count(*), sum(v) FROM s3 GROUP BY g EXCEPT TABLE b3) x}), 0, 'and right');

$started = time;
is(sql(q{SELECT count(*) FROM dyntable_refresh()}), $tables, 'all can be refreshed in one transaction');
DynTest::summary(sprintf('many: refresh of %d tables in one transaction %.1f s', $tables, time - $started));
starts_within(10, 'postgres');

# ---- many databases ----
my @names = map { "db$_" } 1 .. $databases;
$node->stop;
$node = DynTest::configured_node('databases', 'log_statement = none', 'max_worker_processes = ' . (2 * $databases + 12), "max_replication_slots = $databases");
$node->start;
foreach my $name (@names)
{
	sql("CREATE DATABASE $name");
	sql('CREATE EXTENSION dyntable', $name);
	sql(join('', map { "CREATE TABLE s$_ (id int PRIMARY KEY, v int); INSERT INTO s$_ SELECT i, i FROM generate_series(1, 10) i;" } 1 .. 20), $name);
	sql("SELECT dyntable_create('t$_', 'SELECT id, v FROM s$_', '1 hour')", $name) foreach 1 .. 20;
	sql('VACUUM ANALYZE', $name);
}
settle(@names);
my $workers = sql(q{SELECT string_agg(DISTINCT n::text, ',') || ' ' || count(*) FROM (SELECT count(*) AS n FROM pg_stat_activity WHERE backend_type = 'dyntable capture' GROUP BY datname) x});
is($workers, "1 $databases", 'one capture worker a database');
is(sql('SELECT count(*) FROM pg_replication_slots WHERE active'), $databases, 'and one slot');
costs_at_most(1, "$databases databases with lags of an hour");
sql(q{UPDATE dyntable.dynamic_table SET target_lag = '1 minute'}, $_) foreach @names;
sleep 65;
settle(@names);
costs_at_most(5, "$databases databases with lags of a minute");
starts_within(10, @names);

done_testing();
