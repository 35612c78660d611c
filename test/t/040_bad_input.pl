# What a server that is set up otherwise, or a capture that is not there, says:
# one clear error in bounded time, and nothing left behind.  Wrong arguments
# are tested in sql/bad_input.sql.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;
use Time::HiRes qw(time);

my $setup = 'CREATE TABLE src (id int PRIMARY KEY, v int); INSERT INTO src SELECT i, i FROM generate_series(1, 10) i; CREATE UNLOGGED TABLE unlogged (id int)';

# The statement fails once, within the time, with a message of ours.
sub fails
{
	my ($node, $sql, $expected, $title, $seconds) = @_;
	my $begin = time;
	my $output = DynTest::run_script($node, "\\set VERBOSITY verbose\n$sql;\n", 'fails');
	my $took = time - $begin;
	my @errors = $output =~ /^\S*\s*(?:ERROR|FATAL|PANIC):\s+(.*)$/mg;
	is(scalar @errors, 1, "$title: one error") or diag $output;
	like($output, $expected, "$title: says why");
	unlike($errors[0] // '', qr/^XX/, "$title: not an internal error");
	cmp_ok($took, '<', $seconds // 30, "$title: in bounded time");
	return $output;
}

sub nothing_left
{
	my ($node, $title) = @_;
	is($node->safe_psql('postgres', "SELECT to_regclass('dt') IS NULL, (SELECT count(*) FROM dyntable.dynamic_table), (SELECT count(*) FROM dyntable.edge), (SELECT count(*) FROM dyntable.stage)"), 't|0|0|0', "$title: nothing is left behind");
	return;
}

my $create = q{SELECT dyntable_create('dt', 'SELECT id, v FROM src', 'downstream', 'incremental')};
my $create_auto = q{SELECT dyntable_create('dt', 'SELECT id, v FROM src', 'downstream')};

# --- the library is not preloaded
{
	my $node = DynTest::configured_node('unloaded', "shared_preload_libraries = ''");
	$node->start;
	$node->safe_psql('postgres', $setup);
	my ($status, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION dyntable');
	if ($status == 0)
	{
		fails($node, $create, qr/shared_preload_libraries/, 'library not preloaded');
		nothing_left($node, 'library not preloaded');
		fails($node, q{SELECT * FROM dyntable_refresh()}, qr/shared_preload_libraries/, 'refresh without the library preloaded');
		is($node->safe_psql('postgres', 'SELECT count(*) FROM dyntable.dynamic_tables'), '0', 'views work without the library preloaded');
	}
	else
	{
		like($err, qr/shared_preload_libraries/, 'library not preloaded: says why');
	}
	$node->stop;
}

# --- wal_level = replica, unlogged sources
{
	my $node = DynTest::new_node('replica', 'wal_level = replica');
	$node->safe_psql('postgres', $setup);
	fails($node, $create, qr/wal_level/, 'incremental with wal_level = replica');
	nothing_left($node, 'incremental with wal_level = replica');
	my $output = DynTest::run_script($node, "$create_auto;\n", 'auto');
	like($output, qr/WARNING:.*\n?.*(full|wal_level)/i, 'auto with wal_level = replica warns');
	unlike($output, qr/ERROR/, 'auto with wal_level = replica makes a table');
	like($node->safe_psql('postgres', "SELECT incremental, reason_code FROM dyntable.dynamic_table WHERE relid = 'dt'::regclass"), qr/^f\|\w*WAL_LEVEL\w*$/, 'it is in full mode, with the reason code');
	$node->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE id < 5; DELETE FROM src WHERE id = 10');
	like($node->safe_psql('postgres', "SELECT action, rows_inserted, rows_updated, rows_deleted, reason IS NOT NULL FROM dyntable_refresh('dt')"), qr/^FULL\|\d\|\d\|\d\|t$/, 'it is refreshed in full, and says so');
	is($node->safe_psql('postgres', "SELECT * FROM dyntable_verify('dt')"), '0|0', 'and rightly');
	is($node->safe_psql('postgres', "SELECT count(*) FROM dt"), '9', 'and not to nothing');

	# The reason goes away: so does the mode.
	$node->append_conf('postgresql.conf', 'wal_level = logical');
	$node->restart;
	DynTest::wait_capture($node);
	$node->safe_psql('postgres', "SELECT dyntable_alter('dt', refresh_mode => 'incremental')");
	$node->safe_psql('postgres', "SELECT * FROM dyntable_refresh('dt')");
	$node->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE id < 5');
	like($node->safe_psql('postgres', "SELECT action FROM dyntable_refresh('dt')"), qr/^INCREMENTAL$/, 'with wal_level = logical it can become incremental');
	fails($node, q{SELECT dyntable_create('du', 'SELECT id FROM unlogged', 'downstream', 'incremental')}, qr/unlogged/, 'incremental over an unlogged table');
	like(DynTest::run_script($node, q{SELECT dyntable_create('du', 'SELECT id FROM unlogged', 'downstream');}, 'auto'), qr/WARNING/, 'auto over an unlogged table warns');
	like($node->safe_psql('postgres', "SELECT incremental, reason_code FROM dyntable.dynamic_table WHERE relid = 'du'::regclass"), qr/^f\|\w*UNLOGGED\w*$/, 'and makes a table in full mode');
	$node->stop;
}

# --- all replication slots taken
{
	my $node = DynTest::configured_node('slots', 'max_replication_slots = 1', "dyntable.capture_timeout = '5s'");
	$node->start;
	$node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('taken')");
	$node->safe_psql('postgres', 'CREATE EXTENSION dyntable');
	$node->safe_psql('postgres', $setup);
	fails($node, $create, qr/slot/, 'all slots taken');
	nothing_left($node, 'all slots taken');
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('taken')");
	(my $daily = $create) =~ s/'downstream'/'1 day'/;	# without a notice, which polling takes for an error
	$node->poll_query_until('postgres', $daily, 'dt') or fail('a slot became free');
	is($node->safe_psql('postgres', "SELECT * FROM dyntable_verify('dt')"), '0|0', 'a slot became free: the table is made');
	$node->stop;
}

# --- all background workers taken
{
	# one is the server's own launcher for subscriptions, one is ours
	my $node = DynTest::configured_node('workers', 'max_worker_processes = 2', "dyntable.capture_timeout = '5s'");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION dyntable');
	$node->safe_psql('postgres', $setup);
	fails($node, $create, qr/worker/, 'all workers taken');
	nothing_left($node, 'all workers taken');
	$node->stop;
}

# --- a capture worker that ends, hangs, and a standby
{
	my $node = DynTest::new_node('worker', 'restart_after_crash = on');
	$node->safe_psql('postgres', $setup);
	DynTest::wait_capture($node);
	$node->safe_psql('postgres', $create);
	my $pid = sub { $node->safe_psql('postgres', 'SELECT pid FROM dyntable.capture') };

	# ended: another takes over, and nothing is lost
	my $first = $pid->();
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($first); UPDATE src SET v = 100 WHERE id = 1;");
	$node->poll_query_until('postgres', "SELECT pid <> $first AND state = 'running' FROM dyntable.capture") or fail('another worker');
	is($node->safe_psql('postgres', "SELECT action, rows_updated FROM dyntable_refresh('dt')"), 'INCREMENTAL|1', 'a worker that was ended is replaced, and goes on where it was');

	# hanging: the wait is bounded, by our own setting, statement_timeout and cancel
	my $second = $pid->();
	kill 'STOP', $second;
	$node->safe_psql('postgres', 'UPDATE src SET v = 200 WHERE id = 2');
	fails($node, "SET dyntable.capture_timeout = '1s'; SELECT * FROM dyntable_refresh('dt')", qr/capture/, 'a worker that hangs', 20);
	fails($node, "SET statement_timeout = '500ms'; SELECT * FROM dyntable_refresh('dt')", qr/statement timeout/, 'statement_timeout while it hangs', 20);
	my $psql = $node->background_psql('postgres', on_error_stop => 0);
	$psql->query_until(qr/go/, "\\echo go\nSELECT * FROM dyntable_refresh('dt');\n");
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM dyntable_refresh%' AND state = 'active' AND wait_event IS NOT NULL") or fail('waits');
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM dyntable_refresh%' AND pid <> pg_backend_pid()");
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM dyntable_refresh%' AND state = 'active' AND pid <> pg_backend_pid()");
	pass('a waiting refresh can be cancelled');
	$psql->quit;
	is($node->safe_psql('postgres', 'SELECT v FROM dt WHERE id = 2'), '2', 'the table is as it was');
	kill 'CONT', $second;
	is($node->safe_psql('postgres', "SELECT action, rows_updated FROM dyntable_refresh('dt')"), 'INCREMENTAL|1', 'afterwards the refresh has what was missing');

	# killed: the server restarts, and capture with it
	my $third = $pid->();
	$node->safe_psql('postgres', 'UPDATE src SET v = 300 WHERE id = 3');
	kill 'KILL', $third;
	$node->poll_query_until('postgres', "SELECT state = 'running' AND pid <> $third FROM dyntable.capture") or fail('capture comes back');
	is($node->safe_psql('postgres', "SELECT action, rows_updated FROM dyntable_refresh('dt')"), 'INCREMENTAL|1', 'after a crash of the worker too');
	is($node->safe_psql('postgres', "SELECT * FROM dyntable_verify('dt')"), '0|0', 'and nothing differs');

	# two-phase commit would end the transaction without its locks and state
	fails($node, "BEGIN; SELECT * FROM dyntable_refresh('dt'); PREPARE TRANSACTION 'refresh'", qr/PREPARE/i, 'PREPARE TRANSACTION after a refresh');
	fails($node, q{BEGIN; SELECT dyntable_create('d2', 'SELECT id FROM src', 'downstream'); PREPARE TRANSACTION 'create'}, qr/PREPARE/i, 'PREPARE TRANSACTION after a create');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'), '0', 'nothing is prepared');

	$node->backup('base');
	my $standby = DynNode->new('standby');
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby);
	fails($standby, q{SELECT * FROM dyntable_refresh('dt')}, qr/recovery|standby|read-only/, 'refresh on a standby');
	fails($standby, q{SELECT dyntable_create('d3', 'SELECT id FROM src')}, qr/recovery|standby|read-only/, 'create on a standby');
	fails($standby, q{SELECT * FROM dyntable_verify('dt')}, qr/recovery|standby|read-only/, 'verify on a standby');
	is($standby->safe_psql('postgres', 'SELECT count(*) FROM dt'), '10', 'a standby can read the table');
	is($standby->safe_psql('postgres', "SELECT count(*) FROM dyntable.dynamic_tables WHERE name = 'dt'"), '1', 'and the views');
	is($standby->safe_psql('postgres', 'SELECT count(*) FROM dyntable.capture'), '1', 'and the state of capture');
	is($standby->safe_psql('postgres', "SELECT standstill FROM dyntable.dynamic_tables WHERE name = 'dt'"), 'the server is a standby', 'standstill: a table on a standby');

	# promoted, it has no slot: its tables are filled again, then incremental
	$standby->promote;
	DynTest::wait_capture($standby);
	$standby->safe_psql('postgres', 'UPDATE src SET v = 400 WHERE id = 4');
	$standby->poll_query_until('postgres', "SELECT missing = 0 AND unexpected = 0 FROM dyntable_verify('dt')") or fail('promoted');
	is($standby->safe_psql('postgres', "SELECT v FROM dt WHERE id = 4"), '400', 'a promoted standby refreshes');
	$standby->poll_query_until('postgres', "SELECT state = 'running' FROM dyntable.capture") or fail('capture on the new primary');
	$standby->safe_psql('postgres', "SELECT * FROM dyntable_refresh('dt')");
	$standby->safe_psql('postgres', 'UPDATE src SET v = 500 WHERE id = 5');
	is($standby->safe_psql('postgres', "SELECT action, rows_updated FROM dyntable_refresh('dt')"), 'INCREMENTAL|1', 'incrementally again');
	$standby->stop;
	$node->stop;
}
done_testing();
