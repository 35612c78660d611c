# Commands on whole databases and on the extension itself, with everything at
# work; and the settings, changed while the server runs.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = DynTest::configured_node('databases', 'autovacuum = off', 'fsync = off');
$node->start;

my $setup = <<'SQL';
CREATE TABLE src (id int PRIMARY KEY, g int, v int);
INSERT INTO src SELECT i, i % 10, i FROM generate_series(1, 200) i;
CREATE TABLE bag (a int, b text);
INSERT INTO bag SELECT i % 7, 'b' FROM generate_series(1, 50) i;
CREATE TABLE indexed (i int NOT NULL UNIQUE);
ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_i_key;
INSERT INTO indexed VALUES (1), (2);
SQL
my $create = <<'SQL';
SELECT dyntable_create('groups', 'SELECT g, sum(v) AS s, count(*) AS n FROM src GROUP BY g', '1 day');
SELECT dyntable_create('copy', 'SELECT a, b FROM bag', '1 day');
SELECT dyntable_create('ones', 'SELECT i FROM indexed', '1 day');
SQL
my @all = qw(groups copy ones);
my $row = 1000;

sub run { my ($sql, $db) = @_; return $node->safe_psql($db // 'one', $sql); }

sub errors
{
	my ($sql, $db) = @_;
	my ($status, $out, $err) = $node->psql($db // 'one', $sql);
	return $err;
}

sub until_true
{
	my ($sql, $what, $db) = @_;
	ok($node->poll_query_until($db // 'one', $sql), $what);
	return;
}

# Change every source and refresh all: one kind of action, and no row differs.
sub is_refreshed
{
	my ($actions, $what, $db) = @_;
	$row++;
	run("INSERT INTO src VALUES ($row, 3, $row); UPDATE bag SET b = b || 'x' WHERE a = 3; INSERT INTO bag VALUES ($row); DELETE FROM bag WHERE a = $row - 1; INSERT INTO indexed VALUES ($row)", $db);
	is(run("SELECT string_agg(DISTINCT action || coalesce(': ' || reason, ''), ', ') FROM dyntable_refresh()", $db), $actions, "$what: $actions");
	is(run(join(' UNION ALL ', map { "SELECT * FROM dyntable_verify('$_')" } @all), $db), join("\n", ('0|0') x @all), "$what: no row differs");
	is(run("SELECT count(*) FROM copy WHERE a = $row", $db), '1', "$what: and the changes are there");
	return;
}

# What the server has on account of a database: slot, origin, processes.
sub oid_of { return run("SELECT oid FROM pg_database WHERE datname = '$_[0]'", 'postgres'); }

sub is_gone
{
	my ($oid, $what) = @_;
	until_true(qq{SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'dyntable_$oid') +
		(SELECT count(*) FROM pg_stat_activity WHERE datid = $oid AND backend_type LIKE 'dyntable%') = 0}, "$what: slot and processes go", 'postgres');
	return;
}

sub has_no_origin
{
	my ($oid, $what) = @_;
	until_true("SELECT count(*) = 0 FROM pg_replication_origin WHERE roname = 'dyntable_$oid'", "$what: the origin goes", 'postgres');
	return;
}

# ---- databases
run('CREATE DATABASE one', 'postgres');
run("CREATE EXTENSION dyntable; $setup");
run($create);
is_refreshed('INCREMENTAL', 'before all');
run('CREATE DATABASE two TEMPLATE one', 'postgres');
my $anew = 'REINITIALIZE: change capture was started anew';
like(run('SELECT string_agg(DISTINCT action || reason, $$, $$) FROM dyntable_refresh()', 'two'), qr/^REINITIALIZEchange capture was started anew[^,]*$/, 'a copied database: computed anew');
is_refreshed('INCREMENTAL', 'a copied database, then', 'two');
is_refreshed('INCREMENTAL', 'the database that was copied');
run('ALTER DATABASE two RENAME TO three', 'postgres');
is_refreshed('INCREMENTAL', 'RENAME', 'three');
my $space = PostgreSQL::Test::Utils::tempdir_short();
run("CREATE TABLESPACE space LOCATION '$space'", 'postgres');
run('ALTER DATABASE three SET TABLESPACE space', 'postgres');
is_refreshed("$anew: the database was moved to another tablespace", 'SET TABLESPACE', 'three');
is_refreshed('INCREMENTAL', 'SET TABLESPACE, then', 'three');
my $oid = oid_of('three');
# while a scheduler is about to connect, which waits to read the settings of the database
my ($holder, $looker, $dropper) = map { DynSession->new($node) } 1 .. 3;
sub session_until
{
	my ($sql, $what) = @_;
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	select(undef, undef, undef, 0.01) until $looker->do($sql) eq 't' || time > $limit;
	is($looker->do($sql), 't', $what);
	return;
}
session_until("SELECT count(*) = 1 FROM pg_stat_activity WHERE datid = $oid AND backend_type = 'dyntable scheduler'", 'a scheduler is at work');
$holder->do('BEGIN; LOCK TABLE pg_db_role_setting IN ACCESS EXCLUSIVE MODE');
$looker->do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datid = $oid AND backend_type = 'dyntable scheduler'");
session_until(q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'pg_db_role_setting'::regclass AND NOT granted}, 'the next one is about to be');
$dropper->send('DROP DATABASE three');
session_until("SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'object' AND objid = $oid AND mode = 'AccessExclusiveLock' AND granted", 'when the database is to be dropped');
$holder->do('ROLLBACK');
is($dropper->result, '', 'which the scheduler finds, and leaves');
$_->end foreach $holder, $looker, $dropper;
is_gone($oid, 'DROP DATABASE');
run('CREATE DATABASE four TEMPLATE one', 'postgres');
run('SELECT * FROM dyntable_refresh()', 'four');
has_no_origin($oid, 'DROP DATABASE, and another slot made');
$oid = oid_of('four');
my $session = $node->background_psql('four', on_error_stop => 0);
$session->query_until(qr/ready/, "\\echo ready\n");
run('DROP DATABASE four (FORCE)', 'postgres');
is_gone($oid, 'DROP DATABASE (FORCE)');
eval { $session->quit };
is_refreshed('INCREMENTAL', 'meanwhile the other database');

# ---- the extension
$oid = oid_of('one');
like(errors('DROP EXTENSION dyntable'), qr/cannot drop extension dyntable.*\n.*table groups depends on extension dyntable\n.*table copy/, 'DROP EXTENSION is refused and names the tables');
like(errors('DROP SCHEMA dyntable CASCADE'), qr/cannot drop schema dyntable because extension dyntable requires it/, 'so is DROP SCHEMA');
my $state = run("SELECT stage::regclass FROM dyntable.stage WHERE relid = 'groups'::regclass LIMIT 1");
like(errors("DROP TABLE $state"), qr/because extension dyntable requires it/, 'and DROP TABLE of a state table');
run('BEGIN; DROP EXTENSION dyntable CASCADE; ROLLBACK');
is_refreshed('INCREMENTAL', 'DROP EXTENSION rolled back');
run('BEGIN; DROP TABLE groups; ROLLBACK');
is_refreshed('INCREMENTAL', 'DROP TABLE rolled back');
run('DROP TABLE groups');
is(run("SELECT to_regclass('$state') IS NULL, (SELECT count(*) FROM dyntable.stage)"), 't|0', 'the state goes with its table');

my $identities = q{SELECT string_agg(relname || ':' || relreplident::text, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('src', 'bag', 'indexed')};
like(run($identities), qr/bag:f indexed:f/, 'tables under capture have replica identity FULL');
run('DROP EXTENSION dyntable CASCADE');
is(run($identities), 'bag:d indexed:i src:d', 'DROP EXTENSION CASCADE gives them their own back');
is(run("SELECT to_regclass('copy') IS NULL AND to_regnamespace('dyntable') IS NULL"), 't', 'and drops what is ours');
is_gone($oid, 'DROP EXTENSION');
has_no_origin($oid, 'DROP EXTENSION');

run('BEGIN; CREATE EXTENSION dyntable; ROLLBACK');
run('BEGIN; CREATE EXTENSION dyntable; DROP EXTENSION dyntable; CREATE EXTENSION dyntable; COMMIT');
run($create);
is_refreshed('INCREMENTAL', 'the extension made again');
run('BEGIN; DROP EXTENSION dyntable CASCADE; CREATE EXTENSION dyntable; COMMIT');
run($create);
is_refreshed('INCREMENTAL', 'the extension dropped and made in one transaction');
is(run('SELECT count(*) FROM pg_replication_slots'), '1', 'there is one slot');
run('SELECT dyntable_refresh()');
my $locker = $node->background_psql('one');
$locker->query_safe('BEGIN; LOCK TABLE indexed IN EXCLUSIVE MODE');
like(errors('DROP EXTENSION dyntable CASCADE'), qr/WARNING: .*1 table keeps the replica identity FULL(?:.*\n)*.*ALTER TABLE public.indexed REPLICA IDENTITY USING INDEX indexed_i_key;/,
	'what is locked keeps FULL, and the command that changes it is named');
$locker->quit;
is(run($identities), 'bag:d indexed:f src:d', 'the others do not');
run('ALTER TABLE public.indexed REPLICA IDENTITY USING INDEX indexed_i_key');

# ---- publications
run('CREATE EXTENSION dyntable');
run($create);
run('CREATE PUBLICATION everything FOR ALL TABLES');
is_refreshed('INCREMENTAL', 'with all tables published');
is(run(q{SELECT string_agg(DISTINCT relreplident::text, '') FROM pg_class WHERE oid IN ('groups'::regclass, 'copy'::regclass) OR oid IN (SELECT stage FROM dyntable.stage)}), 'f', 'for want of a key they are published by FULL');
run('DROP PUBLICATION everything');

# ---- settings
sub set { run("ALTER SYSTEM SET dyntable.$_[0] = '$_[1]'"); run('SELECT pg_reload_conf()'); return; }
sub reset_all { run('ALTER SYSTEM RESET ALL'); run('SELECT pg_reload_conf()'); return; }

foreach my $bad ('capture = perhaps', 'max_workers = 0', "min_target_lag = '1 ms'", 'max_consecutive_failures = 0', 'history_retention = 0',
	'max_retained_wal = -2', 'max_change_log = -2', 'capture_timeout = 0')
{
	like(errors("ALTER SYSTEM SET dyntable.$bad"), qr/ERROR: .*(?:outside the valid range|requires a Boolean value)/, "$bad is refused");
}
like(errors('ALTER SYSTEM SET dyntable.unknown = 1'), qr/ERROR: .*dyntable\.unknown/, 'an unknown setting is refused');
like(errors('SET dyntable.max_workers = 2'), qr/cannot be changed now/, 'what is the server\'s is no session\'s');

set('min_target_lag', '10s');
until_true("SELECT setting = '10000' FROM pg_settings WHERE name = 'dyntable.min_target_lag'", 'min_target_lag arrives');
like(errors(q{SELECT dyntable_create('hasty', 'SELECT i FROM indexed', '5 seconds')}), qr/target lag "5 seconds" is too short/, 'min_target_lag takes effect');
reset_all();

run("UPDATE dyntable.history SET started = started - interval '3 hours', ended = ended - interval '3 hours'; SELECT * FROM dyntable_refresh('copy')");
set('history_retention', '1h');
until_true("SELECT count(*) = 0 FROM dyntable.history h WHERE ended < now() - interval '1 hour' AND EXISTS (SELECT FROM dyntable.history n WHERE n.relid = h.relid AND n.id > h.id)", 'history_retention takes effect');
reset_all();

set('max_consecutive_failures', '1');
run(q{SELECT dyntable_create('failing', 'SELECT 1 / i AS x FROM indexed', '1 second'); INSERT INTO indexed VALUES (0)});
until_true(q{SELECT scheduling_state_reason = 'SUSPENDED_DUE_TO_ERRORS' AND consecutive_failures = 1 FROM dyntable.dynamic_tables WHERE name = 'failing'}, 'max_consecutive_failures takes effect');
reset_all();
run('DROP TABLE failing; DELETE FROM indexed WHERE i = 0');

# Two tables that take their time: together with four workers, one after the other with one.
run(q{SELECT dyntable_create(n, 'SELECT 1 AS one FROM pg_sleep(0.2)', '300 ms', 'full') FROM unnest('{slow_a,slow_b}'::text[]) n});
my $overlaps = q{SELECT count(*) FROM dyntable.history a JOIN dyntable.history b ON a.relid < b.relid AND a.started < b.ended AND b.started < a.ended
	WHERE a.relid = 'slow_a'::regclass AND b.relid = 'slow_b'::regclass AND a.trigger = 'SCHEDULED' AND b.trigger = 'SCHEDULED'};
until_true("SELECT (SELECT max(repeats) FROM dyntable.history WHERE relid = 'slow_a'::regclass) IS NOT NULL AND EXISTS ($overlaps)", 'four workers work at once');
set('max_workers', '1');
my $last = run('SELECT max(id) FROM dyntable.history');
until_true("SELECT count(*) >= 10 FROM dyntable.history WHERE id > $last AND relid IN ('slow_a'::regclass, 'slow_b'::regclass)", 'with one worker refreshes go on');
is(run("$overlaps AND a.id > $last + 4 AND b.id > $last + 4"), '0', 'but not two at once');
reset_all();
run('DROP TABLE slow_a, slow_b');
is_refreshed('INCREMENTAL', 'after all that');
$node->stop;
done_testing();
