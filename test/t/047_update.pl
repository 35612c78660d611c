# ALTER EXTENSION UPDATE as of a next version: cut short at every way a server
# can end in the middle of its script, and done while the workers are at work.
# The library is the newer one all the while, as after an upgrade of the
# package and a restart.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynFaults;
use PostgreSQL::Test::Utils;
use Test::More;

# A copy of the server whose extension has a version before, 0.9: that of today
# under another number.  The script between them does what such scripts do: it
# alters tables of ours, fills them, replaces views, functions and types' users.
# It stops at the brake in the middle.
my $bin = (grep { -x "$_/postgres" } split /:/, $ENV{PATH})[0];
my ($tree, $version) = $bin =~ m{^(.*)/usr/lib/postgresql/(\d+)/bin$} or plan skip_all => 'the server is not a private copy';
my $copy = PostgreSQL::Test::Utils::tempdir();
system('cp', '-a', "$tree/usr", $copy) == 0 or die 'cp failed';
$ENV{PATH} = "$copy/usr/lib/postgresql/$version/bin:$ENV{PATH}";
my $extension = "$copy/usr/share/postgresql/$version/extension";
PostgreSQL::Test::Utils::append_to_file("$extension/dyntable--1.0--0.9.sql", "ALTER TABLE dyntable.history DROP COLUMN IF EXISTS news;\n");
PostgreSQL::Test::Utils::append_to_file("$extension/dyntable--0.9--1.0.sql", <<'SQL');
ALTER TABLE dyntable.history ADD COLUMN news text;
UPDATE dyntable.history SET news = 'before the update';
ALTER TABLE dyntable.position ALTER refresh_no SET STATISTICS 10;
UPDATE dyntable.position SET failures = failures;
CREATE FUNCTION dyntable.news() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT pg_catalog.pg_advisory_xact_lock(77);
CREATE TABLE dyntable.more (i int);
INSERT INTO dyntable.more SELECT pg_catalog.generate_series(1, 10);
ALTER TABLE dyntable.source ALTER columns SET STATISTICS 10;
ALTER TABLE dyntable.edge ALTER refresh_no SET STATISTICS 10;
DROP FUNCTION dyntable.news();
DROP TABLE dyntable.more;
SQL

my $node = DynTest::new_node('update', 'restart_after_crash = on', 'autovacuum = off', 'log_statement = none');
my $step = 0;

sub run { return $node->safe_psql('postgres', $_[0]); }

sub change
{
	$step++;
	run("UPDATE src SET v = v + $step WHERE id % 5 = $step % 5; INSERT INTO src VALUES (1000 + $step, $step); DELETE FROM src WHERE id = $step");
	return;
}

# Whether the version is this one, with all or nothing of its script.
sub is_version
{
	my ($expected, $what) = @_;
	is(run(q{SELECT extversion, (SELECT count(*) FROM pg_attribute WHERE attrelid = 'dyntable.history'::regclass AND attname = 'news'),
		to_regclass('dyntable.more'), (SELECT count(*) FROM pg_proc WHERE proname = 'news') FROM pg_extension WHERE extname = 'dyntable'}),
		$expected eq '1.0' ? '1.0|1||0' : '0.9|0||0', $what);
	return;
}

# Everything is as it should be, and by deltas.
sub is_well
{
	my ($what) = @_;
	change();
	is(run(q{SELECT string_agg(name || ' ' || action, ', ' ORDER BY name::text) FROM dyntable_refresh('top')}),
		'grouped INCREMENTAL, top INCREMENTAL', "$what: refreshes by deltas");
	run(q{SELECT dyntable_wait('soon')});
	is(run("SELECT * FROM dyntable_verify('$_')"), '0|0', "$what: no row of $_ differs") foreach qw(grouped top kept soon);
	is(run(q{SELECT string_agg(DISTINCT scheduling_state, ' ') FROM dyntable.dynamic_tables}), 'ACTIVE', "$what: nobody is suspended");
	return;
}

run(<<'SQL');
CREATE TABLE src (id int PRIMARY KEY, v int);
INSERT INTO src SELECT i, i % 100 FROM generate_series(1, 800) i;
SELECT dyntable_create('grouped', 'SELECT v % 10 AS k, count(*) AS n, sum(v) AS total FROM src GROUP BY 1', '1 day', 'incremental');
SELECT dyntable_create('top', 'SELECT n % 3 AS m, count(*) AS c, max(total) AS t FROM grouped GROUP BY 1', '1 day', 'incremental');
SELECT dyntable_create('kept', 'SELECT id, v FROM src WHERE v > 20', '1 day', 'incremental');
SELECT dyntable_create('soon', 'SELECT v, count(*) AS n FROM src GROUP BY v', '1 second', 'incremental');
SQL
is_well('before all');
my $generation = run('SELECT generation FROM dyntable.capture');

# ---- a library newer than what is installed ----
run(q{ALTER EXTENSION dyntable UPDATE TO '0.9'});
is_version('0.9', 'a version before');
my ($status, $out, $error) = $node->psql('postgres', q{SELECT dyntable_refresh('kept')});
like($error, qr/^psql:<stdin>:1: ERROR:  dyntable is loaded in version 1.0, but installed in this database in version 0.9\nHINT:  Run ALTER EXTENSION dyntable UPDATE/, 'a refresh says in one line what to do');
change();
ok($node->poll_query_until('postgres', q{SELECT count(*) > 1 FROM dyntable.history WHERE relid = 'soon'::regclass AND state = 'FAILED' AND code = '55000'}),
	'those of the scheduler as well');
is(run(q{SELECT count(*) FROM soon}) > 0, 1, 'tables can be read');

# ---- cut short in the middle of the script ----
# Start the update, and come to the brake.
sub update
{
	my ($lead) = @_;
	DynFaults::session($node, q{SET application_name = 'brake'; SELECT pg_advisory_lock(77); SELECT pg_sleep(600)});
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted}) or die 'no brake';
	my ($output, $session) = DynFaults::session($node, ($lead // '') . 'ALTER EXTENSION dyntable UPDATE;');
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) or die 'the update did not come to the brake';
	return ($output, $session, run(q{SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}));
}

sub brake_off
{
	run(q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'brake'});
	return;
}

foreach my $case (
	[ 'kill -9 of the server', sub { DynTest::kill_server($node); $node->start; } ],
	[ 'kill -9 of the postmaster alone', sub { DynFaults::kill_postmaster($node); $node->start; } ],
	[ 'kill -9 of the session', sub { DynFaults::crash($node, $_[0]); } ],
	[ 'an immediate shutdown', sub { $node->stop('immediate'); $node->start; } ],
	[ 'kill -9 of the capture worker', sub { DynFaults::crash($node, DynFaults::worker($node, 'capture')); } ],
	[ 'the session told to end', sub { run("SELECT pg_terminate_backend($_[0], 10000)"); } ],
	[ 'the statement cancelled', sub { run("SELECT pg_cancel_backend($_[0])"); } ])
{
	my ($what, $fault) = @$case;
	my ($output, $session, $pid) = update();
	# writers write while our tables are held by the update
	change();
	$fault->($pid);
	eval { $session->finish };
	brake_off();
	is_version('0.9', "$what: nothing of the script is left");
}

# ---- and after it: the update is done, everything works ----
change();
run('ALTER EXTENSION dyntable UPDATE');
is_version('1.0', 'the update goes through');
is_well('after the update');
is(run('SELECT generation FROM dyntable.capture'), $generation, 'it is the slot of the beginning');
is(run(q{SELECT count(*) FROM dyntable.history WHERE action = 'REINITIALIZE' AND trigger <> 'CREATION'}), '0', 'nothing was computed anew');

# ---- a crash right after the commit ----
run(q{ALTER EXTENSION dyntable UPDATE TO '0.9'});
change();
run('ALTER EXTENSION dyntable UPDATE');
DynTest::kill_server($node);
$node->start;
is_version('1.0', 'a crash after the update: it is done');
is_well('a crash after the update');

# ---- while the workers are at work ----
# Refreshes of the scheduler, capture under load, and sessions that refresh and
# create wait for the update or fail; then they go on.
run(q{SELECT dyntable_alter('kept', target_lag => '1 second')});
foreach my $end (qw(COMMIT ROLLBACK))
{
	run(q{ALTER EXTENSION dyntable UPDATE TO '0.9'});
	my $writers = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', 300, '-f', writer(), $node->connstr('postgres') ], '>', '/dev/null', '2>', \my $complaints);
	my ($output, $session) = update($end eq 'COMMIT' ? '' : 'BEGIN; ');
	my @sessions = map { [ DynFaults::session($node, $_) ] }
		q{SELECT dyntable_refresh('top')}, q{SELECT dyntable_create('during', 'SELECT id FROM src', '1 day', 'incremental')}, q{SELECT dyntable_refresh()};
	my $written = run('SELECT sum(v) FROM src');
	ok($node->poll_query_until('postgres', "SELECT sum(v) > $written FROM src"), "$end: writers write while the update is under way");
	brake_off();
	if ($end eq 'COMMIT') { $session->finish; }
	else { run(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE '%ALTER EXTENSION dyntable UPDATE%' AND pid <> pg_backend_pid()}); eval { $session->finish }; }
	eval { $_->[1]->finish } foreach @sessions;
	$writers->kill_kill;
	is(join('', map { grep { !/dyntable is loaded in version 1.0|HINT/ } grep { /ERROR|FATAL|PANIC/ } split /\n/, ${ $_->[0] } } @sessions), '',
		"$end: sessions meanwhile work, or say what they lack");
	is_version($end eq 'COMMIT' ? '1.0' : '0.9', "$end of an update while all are at work");
	run('ALTER EXTENSION dyntable UPDATE') if $end ne 'COMMIT';
	is_well("after its $end");
	run(q{SELECT dyntable_drop('during', if_exists => true)});
}

sub writer
{
	my $script = "$ENV{TESTDIR}/writer.sql";
	open(my $handle, '>', $script) or die $!;
	print $handle "\\set id random(1, 700)\nUPDATE src SET v = v + 1 WHERE id = :id;\n";
	close $handle;
	return $script;
}

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (?!9)|fault of dyntable/, 'nothing crashed by itself');
$node->stop;
done_testing();
