# The disk is safe: neither change logs nor WAL grow without bound, whoever
# stands still; what is let go is computed anew, and history says why.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $node = DynTest::new_node('disk', 'autovacuum = off', 'max_wal_size = 1GB');
my $bytes = '(SELECT log_bytes FROM dyntable.sources WHERE name = \'s\')';

sub run { return $node->safe_psql('postgres', $_[0]); }

sub eventually
{
	my ($query, $what) = @_;
	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

# Refresh one table: action and reason, and that it then is right.
sub is_refreshed
{
	my ($name, $action, $reason, $what) = @_;
	like(run("SELECT action || ': ' || coalesce(reason, '') FROM dyntable_refresh('$name') WHERE name = '$name'::regclass"),
		qr/^$action: $reason/, "$what: $action");
	is(run("SELECT * FROM dyntable_verify('$name')"), '0|0', "$what: no row differs");
	return;
}

sub setting
{
	my ($name, $value) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	return;
}

# ---- a change log that a suspended table holds back ----
run(<<'SQL');
CREATE TABLE s (id int PRIMARY KEY, v int, t text);
INSERT INTO s SELECT i, i, repeat('x', 100) FROM generate_series(1, 1000) i;
SELECT dyntable_create('suspended', 'SELECT id, v, t FROM s', '1 day', 'incremental');
SELECT dyntable_create('healthy', 'SELECT id, v + 1 AS v, t FROM s', '1 day', 'incremental');
SELECT dyntable_suspend('suspended');
SQL
run(q{UPDATE s SET v = v + 1; SELECT dyntable_refresh('healthy')});
is(run(q{SELECT held_by FROM dyntable.sources WHERE name = 's'}), 'suspended', 'who holds the log is seen');
setting('dyntable.max_change_log', '4MB');
for (1 .. 20)
{
	run('UPDATE s SET v = v + 1');
	is(run(q{SELECT action FROM dyntable_refresh('healthy')}), 'INCREMENTAL', "the healthy one goes on ($_)") if $_ % 4 == 0;
}
eventually("SELECT reinit_reason LIKE '%max_change_log' FROM dyntable.position WHERE relid = 'suspended'::regclass",
	'the suspended table is let go');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/dynamic table "suspended" will be initialised again/, 'and the server log says so');
for (1 .. 12)
{
	run('UPDATE s SET v = v + 1');
	is_refreshed('healthy', 'INCREMENTAL', '', "the healthy one is not ($_)") if $_ % 4 == 0;
}
eventually("SELECT $bytes < 8 * 1024 * 1024", 'and the log is cut');
is_refreshed('suspended', 'REINITIALIZE', 'the change log passed dyntable.max_change_log', 'the suspended one');
run('UPDATE s SET v = v + 1 WHERE id < 10');
is_refreshed('suspended', 'INCREMENTAL', '', 'the suspended one again');
is(run(q{SELECT reinit_reason FROM dyntable.refresh_history WHERE name = 'suspended' AND refresh_action = 'REINITIALIZE' ORDER BY id DESC LIMIT 1}),
	'the change log passed dyntable.max_change_log', 'history says why');

# ---- the log of a dynamic table that a suspended one above it holds back ----
run(<<'SQL');
SELECT dyntable_create('above', 'SELECT id, v * 2 AS v, t FROM healthy', '1 day', 'incremental');
SELECT dyntable_create('beside', 'SELECT v, count(*) AS n, max(t) AS t FROM healthy GROUP BY v', '1 day', 'incremental');
SELECT dyntable_suspend('above');
SQL
my $own_log = run(q{SELECT stage::regclass FROM dyntable.stage WHERE relid = 'healthy'::regclass AND no = 0});
my $largest = 0;
for (1 .. 24)
{
	run('UPDATE s SET v = v + 1');
	is(run(q{SELECT string_agg(action, ' ') FROM dyntable_refresh('beside')}), 'INCREMENTAL INCREMENTAL', "what reads on is not disturbed ($_)") if $_ % 6 == 0;
	run(q{SELECT dyntable_refresh('beside')}) if $_ % 6 != 0;
	my $size = run("SELECT pg_relation_size('$own_log')");
	$largest = $size if $size > $largest;
}
cmp_ok($largest, '<', 5 * 1024 * 1024, 'the log of a dynamic table is bounded');
is_refreshed('above', 'REINITIALIZE', 'the log of an upstream table passed dyntable.max_change_log', 'the one above');
run('UPDATE s SET v = v + 1 WHERE id < 10');
is_refreshed('above', 'INCREMENTAL', '', 'the one above again');
is_refreshed('beside', 'INCREMENTAL', '', 'the one beside');
run(q{SELECT dyntable_drop(n) FROM unnest(ARRAY['above', 'beside']) n; UPDATE s SET v = 0 WHERE id = 3});
is_refreshed('healthy', 'INCREMENTAL', '', 'with nobody above');
is(run(q{SELECT count(*) FROM dyntable.stage WHERE relid = 'healthy'::regclass AND no = 0}), '0', 'a log that nobody reads goes');

# ---- a change feed that nobody reads ----
my $followed = run(q{SELECT dyntable_refresh('healthy'); SELECT dyntable_follow('healthy', '10 days')}) =~ s/.*\n//sr;
my $feed = run(q{SELECT stage::regclass FROM dyntable.stage WHERE relid = 'healthy'::regclass AND no <> 0});
$largest = 0;
for (1 .. 30)
{
	run(q{UPDATE s SET v = v + 1; SELECT dyntable_refresh('healthy')});
	my $size = run("SELECT pg_relation_size('$feed')");
	$largest = $size if $size > $largest;
}
cmp_ok($largest, '>', 3 * 1024 * 1024, 'a change feed grows');
cmp_ok($largest, '<', 6 * 1024 * 1024, 'up to dyntable.max_change_log');
my ($status, $out, $error) = $node->psql('postgres', "SELECT count(*) FROM dyntable_changes('healthy', $followed)");
like($error, qr/ERROR:  changes of dynamic table "healthy" are not kept from so long ago\nDETAIL:  They are kept since refresh \d+ with data timestamp .*\nHINT:  Read the table again/, 'who had not read so far is told');
my $since = run(q{SELECT refresh_no FROM dyntable.dynamic_tables WHERE name = 'healthy'});
run(q{UPDATE s SET v = -1 WHERE id = 5; SELECT dyntable_refresh('healthy')});
is(run("SELECT action, data ->> 'v' FROM dyntable_changes('healthy', $since) ORDER BY action DESC LIMIT 1"), 'insert|0', 'and goes on from there');
is_refreshed('healthy', 'NO_DATA', '', 'the table itself');
run(q{SELECT dyntable_follow('healthy', NULL)});
is(run(q{SELECT count(*) FROM dyntable.stage WHERE relid = 'healthy'::regclass}), '0', 'a feed that is given up goes');
setting('dyntable.max_change_log', '16GB');

# ---- an idle database ----
run('CREATE DATABASE busy');
my $slot = run('SELECT slot_name FROM dyntable.capture');
$node->safe_psql('busy', 'CREATE TABLE noise (t text)');
$node->safe_psql('busy', q{INSERT INTO noise SELECT repeat(md5(i::text), 20) FROM generate_series(1, 40000) i});
$node->safe_psql('busy', 'CHECKPOINT');
eventually(q{SELECT retained_wal_bytes < 16 * 1024 * 1024 AND lag_bytes < 1024 * 1024 FROM dyntable.capture}, 'the slot of an idle database moves on');

# ---- what pins WAL is seen, in whatever database ----
my $writer = $node->background_psql('busy');
$writer->query_safe(q{BEGIN; INSERT INTO noise VALUES ('open')});
$node->safe_psql('busy', q{BEGIN; INSERT INTO noise VALUES ('prepared'); PREPARE TRANSACTION 'forgotten'});
is(run(q{SELECT a.datname, c.oldest_prepared_gid FROM dyntable.capture c JOIN pg_stat_activity a ON a.pid = c.oldest_transaction_pid}),
	'busy|forgotten', 'transactions that pin WAL are named');
$node->safe_psql('busy', q{ROLLBACK PREPARED 'forgotten'});

# ---- a long transaction of another database ----
setting('dyntable.max_retained_wal', '16MB');
$node->safe_psql('busy', q{INSERT INTO noise SELECT repeat(md5(i::text), 20) FROM generate_series(1, 40000) i});
eventually(q{SELECT state = 'creating slot' AND slot_active IS NULL FROM dyntable.capture}, 'the slot is given up');
run('UPDATE s SET v = v + 1 WHERE id < 10');
is_refreshed('healthy', 'REINITIALIZE', 'changes cannot be read: the replication slot held back more WAL', 'meanwhile');
$writer->query_safe('COMMIT');
$writer->quit;
eventually(q{SELECT state = 'running' FROM dyntable.capture}, 'and made anew when that transaction has ended');
is_refreshed('healthy', 'REINITIALIZE',
	'change capture was started anew: the replication slot held back more WAL than dyntable.max_retained_wal', 'then');
run('UPDATE s SET v = v + 1 WHERE id < 10');
is_refreshed('healthy', 'INCREMENTAL', '', 'then on');

# ---- a slot whose worker cannot run ----
run('ALTER TABLE dyntable.slot RENAME TO slot_elsewhere');
run('SELECT pg_terminate_backend(pid) FROM dyntable.capture');
$node->safe_psql('busy', q{INSERT INTO noise SELECT repeat(md5(i::text), 20) FROM generate_series(1, 40000) i});
eventually("SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '$slot')", 'a slot that no worker serves is given up');
like(run('SELECT state || last_error FROM dyntable.capture'), qr/^(failed|starting|off).*"dyntable.slot" does not exist/, 'and it says what the worker lacks');
run('ALTER TABLE dyntable.slot_elsewhere RENAME TO slot');
eventually(q{SELECT state = 'running' FROM dyntable.capture}, 'capture comes back');
is_refreshed('healthy', 'REINITIALIZE',
	'change capture was started anew: the replication slot held back more WAL than dyntable.max_retained_wal', 'a worker that failed');
run('UPDATE s SET v = v + 1 WHERE id < 10');
is_refreshed('healthy', 'INCREMENTAL', '', 'a worker that failed, later');
$node->stop;
done_testing();
