# Many: tables, sources and databases.  What each of them costs when nothing
# happens to it, that none disturbs another, and what happens at the limits of
# the server.  No times here: test/long/130_many.pl measures.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $SOURCES = 50;
my @OTHERS = qw(two three four five);

my $node = DynTest::new_node('many', 'max_worker_processes = 30', 'max_replication_slots = 6', 'autovacuum = off', 'log_min_messages = debug1');

sub sql
{
	my ($query, $database) = @_;
	return $node->safe_psql($database // 'postgres', $query);
}

sub becomes
{
	my ($query, $title, $database) = @_;
	ok($node->poll_query_until($database // 'postgres', $query), $title);
	return;
}

# What the log says since a position that log_position() gave.
sub log_since { return substr(slurp_file($node->logfile), $_[0]); }
sub log_position { return -s $node->logfile; }

# Rows in which tables and queries differ, in the snapshot of a refresh that has to do just this.
sub is_refreshed
{
	my ($table, $query, $actions, $title, $database) = @_;
	my $result = sql(qq{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT string_agg(DISTINCT action, ',') || ' ' || count(*) FROM dyntable_refresh('$table');
SELECT (SELECT count(*) FROM (($query) EXCEPT ALL TABLE $table) x) + (SELECT count(*) FROM (TABLE $table EXCEPT ALL ($query)) x), count(*) > 0 FROM $table;
COMMIT}, $database);
	is($result, "$actions\n0|t", $title);
	return;
}

# Run scripts in sessions of their own, at once.
sub in_sessions
{
	my (@scripts) = @_;
	my @runs;
	foreach my $script (@scripts)
	{
		my $error = '';
		push @runs, [ IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', \$script, '>', \my $output, '2>', \$error), \$error ];
	}
	foreach my $run (@runs) { $run->[0]->finish or die "session: ${ $run->[1] }"; }
	return;
}

# ---- 200 tables over 50 sources, made by four sessions ----
sql(join ';', map { "CREATE TABLE s$_ (id int PRIMARY KEY, g int, v int); INSERT INTO s$_ SELECT i, i % 5, i FROM generate_series(1, 50) i" } 1 .. $SOURCES);

sub create_tables
{
	my ($i) = @_;
	my $next = $i % $SOURCES + 1;
	return join ";\n", map { "SELECT dyntable_create('$_->[0]', '$_->[1]', '1 hour')" }
	  [ "a$i", "SELECT id, g, v FROM s$i WHERE v > 3" ], [ "b$i", "SELECT g, count(*) AS n, sum(v) AS total FROM s$i GROUP BY g" ],
	  [ "c$i", "SELECT x.id, x.v, y.v AS w FROM s$i x JOIN s$next y ON x.id = y.id" ], [ "d$i", "SELECT id, v * 2 AS w FROM a$i WHERE g = 1" ];
}
sub is_nothing_but_filled
{
	my ($title) = @_;
	is(sql(q{SELECT string_agg(DISTINCT concat_ws(' ', refresh_trigger, state, refresh_action, reason), ', ') FROM dyntable.refresh_history}),
		'CREATION SUCCEEDED REINITIALIZE first fill', $title);
	return;
}
in_sessions(map { my $first = $_; join(";\n", map { create_tables($_) } grep { $_ % 4 == $first } 1 .. $SOURCES) } 0 .. 3);
is(sql('SELECT count(*), (SELECT count(*) FROM dyntable.sources) FROM dyntable.dynamic_tables WHERE populated'), (4 * $SOURCES) . "|$SOURCES", 'all tables are there, all sources under capture');
is_nothing_but_filled('and no table was initialised a second time');

# ---- one table among many ----
my $history = sql('SELECT max(id) FROM dyntable.refresh_history');
sql('UPDATE s7 SET v = v + 1 WHERE id <= 3');
is(sql(q{BEGIN; SELECT count(*) FROM dyntable_refresh('b7');
SELECT string_agg(DISTINCT relation::regclass::text, ',') FROM pg_locks l JOIN dyntable.dynamic_tables t ON t.relid = l.relation WHERE l.pid = pg_backend_pid() AND mode <> 'AccessShareLock'; ROLLBACK}),
	"1\nb7", 'a refresh of one table locks no other');
is_refreshed('b7', 'SELECT g, count(*) AS n, sum(v) AS total FROM s7 GROUP BY g', 'INCREMENTAL 1', 'and refreshes it alone');
is(sql("SELECT string_agg(name, ',') FROM dyntable.refresh_history WHERE id > $history"), 'b7', 'as history says');

# The scheduler hears of it, and does not read all definitions for that.  (It may still be about to, for the last of those that were made.)
like(log_since(0), qr/reads the definitions of 200 tables/, 'the scheduler has read the definitions');
my $hand = log_position();
for (1 .. 3)
{
	my $due = sql("SELECT next_refresh_time FROM dyntable.dynamic_tables WHERE name = 'b7'");
	sql("UPDATE s7 SET v = v + 1 WHERE id = 1; SELECT dyntable_refresh('b7')");
	becomes("SELECT next_refresh_time > '$due' FROM dyntable.dynamic_tables WHERE name = 'b7'", 'the scheduler takes note of a refresh by hand');
}
my $read = () = log_since($hand) =~ /reads the definitions/g;
cmp_ok($read, '<=', 1, 'and not of all tables');

# ---- all of them in one transaction ----
sql('UPDATE s8 SET v = v + 1');
is(sql(q{SELECT string_agg(name::text, ',' ORDER BY name::text) FILTER (WHERE action = 'INCREMENTAL'), count(*), count(*) FILTER (WHERE action = 'NO_DATA') FROM dyntable_refresh()}),
	'a7,a8,b8,c6,c7,c8,d7,d8|200|192', 'a refresh of all applies what changed');
SKIP:
{
	skip 'the server does not show subtransactions', 1 if $node->pg_version < 16;
	is(sql(q{BEGIN; UPDATE s1 SET v = v + 1; SELECT count(*) FROM dyntable_refresh();
SELECT subxact_count <= 60 AND NOT subxact_overflowed FROM pg_stat_get_backend_idset() i, pg_stat_get_backend_subxact(i) WHERE pg_stat_get_backend_pid(i) = pg_backend_pid(); ROLLBACK}),
		"200\nt", 'with subtransactions that every snapshot has room for');
}

# One of those that share a subtransaction is found to be wrong: the others are as if nothing had been.
my ($log) = sql(q{SELECT log::regclass FROM dyntable.source WHERE relid = 's9'::regclass});
sql("INSERT INTO $log (xid, w, a1, a2, a3) VALUES (pg_current_xact_id(), -1, 1000, 1, 9999); UPDATE s9 SET v = v + 1");
my (undef, $all, $warning) = $node->psql('postgres', q{SELECT string_agg(name || ' ' || action, ',' ORDER BY name::text) FILTER (WHERE name::text IN ('a9', 'c8', 'a10')), count(*) FROM dyntable_refresh()});
is($all, 'a10 NO_DATA,a9 REINITIALIZE,c8 INCREMENTAL|200', 'a table whose state contradicts its changes is computed anew, the others are not');
like($warning, qr/WARNING:.*rows that are not there/, 'with a warning');
is(sql("SELECT string_agg(v::text, ',') FROM (SELECT dyntable_verify(n)::text AS v FROM unnest(ARRAY['a9', 'c9', 'c8', 'd9']::regclass[]) n) x"), join(',', ('(0,0)') x 4), 'and all are right');

# ---- a chain of 50 ----
sql('CREATE TABLE links (id int PRIMARY KEY, v int); INSERT INTO links SELECT i, i FROM generate_series(1, 5) i');
sql(join ';', map { sprintf q{SELECT dyntable_create('link%s', 'SELECT id, v + 1 AS v FROM %s', '%s', initialize => 'on_schedule')}, $_, $_ > 1 ? 'link' . ($_ - 1) : 'links', $_ < 50 ? 'downstream' : '1 day' } 1 .. 50);
becomes(q{SELECT count(*) = 50 FROM dyntable.dynamic_tables WHERE name LIKE 'link%' AND populated}, 'a chain of 50 is filled by the scheduler');
sql('INSERT INTO links VALUES (6, 6)');
is_refreshed('link50', 'SELECT id, v + 50 FROM links', 'INCREMENTAL 50', 'and refreshed in one run');
sql(q{UPDATE links SET v = 0 WHERE id = 1; SELECT dyntable_alter('link50', target_lag => '1 s'); SELECT dyntable_wait('link50', clock_timestamp())});
is(sql(q{SELECT count(DISTINCT data_timestamp), string_agg(DISTINCT refresh_action, ',') FROM (
SELECT DISTINCT ON (name) * FROM dyntable.refresh_history WHERE name LIKE 'link%' AND refresh_action <> 'NO_DATA' ORDER BY name, id DESC) h}), '1|INCREMENTAL', 'by the scheduler, too');
is(sql('SELECT count(*) FROM (SELECT id, v + 50 FROM links EXCEPT TABLE link50) x'), '0', 'to the right rows');
sql(q{SELECT dyntable_drop('link1', cascade => true)});

# ---- sources that come under capture after the transaction that made them ----
sql(q{DO $$ BEGIN FOR i IN 1 .. 40 LOOP
	EXECUTE format('CREATE TABLE late%s (id int PRIMARY KEY)', i);
	EXECUTE format('INSERT INTO late%s VALUES (1)', i);
	PERFORM dyntable_create('of_late' || i, format('SELECT id FROM late%s', i), '1 hour');
END LOOP; END $$});
becomes("SELECT count(*) = 40 FROM dyntable.sources WHERE name LIKE 'late%'", 'forty sources made with their tables come under capture');
sql('INSERT INTO late40 VALUES (2)');
is_refreshed('of_late40', 'SELECT id FROM late40', 'REINITIALIZE 1', 'a table over one of them is initialised once more');
sql('INSERT INTO late40 VALUES (3)');
is_refreshed('of_late40', 'SELECT id FROM late40', 'INCREMENTAL 1', 'and is incremental from then on');

# ---- five databases, and others that are none of our business ----
foreach my $database (@OTHERS)
{
	sql("CREATE DATABASE $database");
	sql(q{CREATE EXTENSION dyntable; CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1)}, $database);
	sql(q{SELECT dyntable_create('t', 'SELECT id FROM s', '1 hour')}, $database);
}
sql('CREATE DATABASE without');
sql('CREATE DATABASE refusing');
sql('ALTER DATABASE refusing ALLOW_CONNECTIONS false');
my $five = join(',', map { "'$_'" } 'postgres', @OTHERS);
my $workers = qq{SELECT string_agg(datname || ' ' || n, ', ' ORDER BY datname) FROM (SELECT datname, count(*) FILTER (WHERE backend_type = 'dyntable capture') ||
	count(*) FILTER (WHERE backend_type = 'dyntable scheduler')::text AS n FROM pg_stat_activity WHERE backend_type IN ('dyntable capture', 'dyntable scheduler') GROUP BY datname) w};
my $expected = join(', ', map { "$_ 11" } sort('postgres', @OTHERS));
becomes("SELECT ($workers) = '$expected'", 'each database with the extension has one capture worker and one scheduler, the others have none');
is(sql('SELECT string_agg(database, \',\' ORDER BY database) FROM pg_replication_slots WHERE active'), join(',', sort('postgres', @OTHERS)), 'and one slot');

# ---- nothing to do ----
# At DEBUG5 the server logs every commit.  Lags are of an hour, nobody else is
# there: sooner or later a few seconds pass without one of ours.
sql("ALTER SYSTEM SET log_min_messages = debug5");
sql('SELECT pg_reload_conf()');
my $silent = 0;
for (my $limit = time + 90; !$silent && time < $limit;)
{
	my $position = log_position();
	sql('SELECT 1');
	sleep 2;
	my $log = log_since($position);
	$silent = $log =~ /client backend DEBUG:  CommitTransaction/ && $log !~ /dyntable (?:capture|scheduler|launcher|refresh worker) DEBUG:  CommitTransaction/;
}
ok($silent, 'workers of five databases with nothing to do begin no transaction');
sql('ALTER SYSTEM RESET log_min_messages');
sql('SELECT pg_reload_conf()');

# ---- too few replication slots ----
sql(q{SELECT pg_create_physical_replication_slot('taken'); CREATE DATABASE six});
my $position = log_position();
sql('CREATE EXTENSION dyntable; CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1)', 'six');
my ($status, $output, $error) = $node->psql('six', q{SET dyntable.capture_timeout = 500; SELECT dyntable_create('t', 'SELECT id FROM s', '1 hour')});
like($error, qr/WARNING.*all replication slots are in use; increase max_replication_slots/s, 'a table for which no replication slot is left is created with a warning');
becomes("SELECT state = 'failed' AND reason LIKE '%max_replication_slots' FROM dyntable.capture", 'dyntable.capture says why', 'six');
sql(q{SELECT pg_drop_replication_slot('taken')});
becomes("SELECT c.state = 'running' AND s.name = 's' FROM dyntable.capture c, dyntable.sources s", 'when a slot is free capture begins', 'six');
sql(q{SELECT dyntable_refresh('t'); INSERT INTO s VALUES (2)}, 'six');
is_refreshed('t', 'SELECT id FROM s', 'INCREMENTAL 1', 'and refreshes are incremental', 'six');
is(scalar(() = log_since($position) =~ /no replication slot is left for change capture in database "six"/g), 1, 'the log has told of it once');
sql('DROP DATABASE six');

# ---- too few worker processes: the default ----
my ($served, $unserved) = ('postgres,two', 'three');
sql(q{INSERT INTO s VALUES (2)}, $unserved);
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$position = log_position();
$node->restart;
becomes("SELECT string_agg(DISTINCT datname, ',' ORDER BY datname) = '$served' AND count(*) = 4 FROM pg_stat_activity WHERE backend_type IN ('dyntable capture', 'dyntable scheduler')",
	'with 8 worker processes two databases are served');
becomes("SELECT reason LIKE 'max_worker_processes has room for the workers of 2 databases%' FROM dyntable.capture", 'the others are told in dyntable.capture', $unserved);
$node->wait_for_log(qr/WARNING:  dynamic tables of database "five"/, $position);
$log = log_since($position);
is(join(',', sort $log =~ /WARNING:  dynamic tables of database "(\w+)" are not refreshed for want of background workers/g), 'five,four,three', 'and once in the log');
like($log, qr/There is room for the workers of 2 databases, and 5 have the extension dyntable.*Increase max_worker_processes to at least 14\./s, 'which says what it takes');
sql('INSERT INTO s1 VALUES (51, 1, 51)');
sql(q{SELECT dyntable_alter('a1', target_lag => '1 s'); SELECT dyntable_wait('a1', clock_timestamp())});
is(sql('SELECT count(*) FROM (SELECT id, g, v FROM s1 WHERE v > 3 EXCEPT TABLE a1) x'), '0', 'those that are served are refreshed');
is_refreshed('t', 'SELECT id FROM s', 'REINITIALIZE 1', 'others by hand, in full', $unserved);
$node->append_conf('postgresql.conf', 'max_worker_processes = 14');
$node->restart;
becomes("SELECT ($workers) = '$expected'", 'with more worker processes all are served');
sql('INSERT INTO s VALUES (3)', $_) foreach @OTHERS;
is_refreshed('t', 'SELECT id FROM s', 'INCREMENTAL 1', 'incrementally, as if nothing had been', 'two');
sql("SELECT dyntable_refresh('t'); INSERT INTO s VALUES (4)", $unserved);
is_refreshed('t', 'SELECT id FROM s', 'INCREMENTAL 1', 'and incrementally again where it was in full', $unserved);

done_testing();
