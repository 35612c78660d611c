# What capture and refreshes live on is taken away: the slot, its origin, its
# row, the change log, room on disk, memory, places for slots and processes.
# Each time the system says in one line what is the matter, heals when there is
# room again, and computes anew what it must and nothing else.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynFaults;
use Test::More;

my $node = DynTest::configured_node('resources', ['--wal-segsize=1'], 'restart_after_crash = on', 'log_statement = none', 'autovacuum = off');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dyntable');
my $step = 0;

sub run { return $node->safe_psql('postgres', $_[0]); }

sub comes_true { my ($sql, $what) = @_; return ok($node->poll_query_until('postgres', $sql), $what) || diag run('SELECT state, reason, last_error FROM dyntable.capture'); }

sub state { return run('SELECT state FROM dyntable.capture'); }

# Change the source, refresh: the action, its reason, and no row differs.
sub is_refreshed
{
	my ($what, $action, $reason) = @_;
	$step++;
	run("UPDATE src SET v = v + $step WHERE id % 5 = $step % 5; INSERT INTO src VALUES (100000 + $step, $step); DELETE FROM src WHERE id = $step");
	like(run("SELECT action || ' ' || coalesce(reason, '') FROM dyntable_refresh('grouped')"), $reason ? qr/^$action .*$reason/ : qr/^$action $/, "$what: $action");
	is(run("SELECT * FROM dyntable_verify('grouped')"), '0|0', "$what: no row differs");
	return;
}

sub is_running_again { return comes_true(q{SELECT state = 'running' FROM dyntable.capture}, "$_[0]: capture runs"); }

# Computed anew for this reason, and incremental from then on.
sub starts_anew
{
	my ($what, $reason) = @_;
	is_running_again($what);
	is_refreshed($what, 'REINITIALIZE', $reason);
	is_refreshed("$what, afterwards", 'INCREMENTAL');
	return;
}

# What capture says of an error that goes on.
sub says
{
	my ($what, $message) = @_;
	return comes_true(qq{SELECT count(*) = 1 FROM dyntable.capture WHERE state = 'failed' AND reason LIKE '%$message%'}, "$what: says so");
}

run(<<'SQL');
CREATE TABLE src (id int PRIMARY KEY, v int);
INSERT INTO src SELECT i, i % 100 FROM generate_series(1, 3000) i;
CREATE TABLE poison (id int PRIMARY KEY, v int);
SELECT dyntable_create('grouped', 'SELECT v % 10 AS k, count(*) AS n, sum(v) AS total FROM src GROUP BY 1', '1 day', 'incremental');
SELECT dyntable_create('poisoned', 'SELECT id, v FROM poison', '1 day', 'incremental');
SQL
is_refreshed('before all', 'INCREMENTAL');
my $slot = run('SELECT slot_name FROM dyntable.capture');

# ---- the slot, its origin and its row ----
DynFaults::without_worker($node, "SELECT pg_drop_replication_slot('$slot')");
starts_anew('the slot dropped', 'the replication slot was missing');
DynFaults::without_worker($node, "SELECT pg_replication_origin_drop('$slot')");
starts_anew('the origin dropped', 'the replication origin was missing');
DynFaults::without_worker($node, "BEGIN; UPDATE src SET v = v + 1; SELECT pg_replication_origin_drop('$slot'); ROLLBACK");
starts_anew('the origin dropped, and that undone, by which its progress is lost', 'the progress of the replication origin was lost');
DynFaults::without_worker($node, <<"SQL");
BEGIN;
SELECT pg_replication_origin_drop('$slot');
-- until the worker has been started again, and waits or works
DO \$\$ BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_stat_activity a WHERE backend_type = 'dyntable capture' AND datname = current_database()
		AND (EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT granted) OR EXISTS (SELECT FROM pg_replication_slots WHERE active_pid = a.pid)))
	LOOP
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP;
END \$\$;
COMMIT;
SQL
starts_anew('the origin dropped by a transaction that ends when the worker has come', 'the replication origin was missing');
run('DELETE FROM dyntable.slot');
is_refreshed('the row of the slot deleted', 'INCREMENTAL');
run(q{SELECT pg_terminate_backend(pid, 10000) FROM dyntable.capture});
starts_anew('the row of the slot deleted, later', 'change capture was started anew');
run("UPDATE src SET v = v + 1");
DynFaults::without_worker($node, "UPDATE src SET v = v + 1; SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())");
starts_anew('the slot advanced', 'advanced by somebody else');
foreach my $n (1 .. 5)
{
	$node->psql('postgres', "SELECT pg_terminate_backend(pid, 5000) FROM dyntable.capture; SELECT pg_logical_slot_get_changes('$slot', NULL, NULL)");
}
is_running_again('others reached for the slot');
is_refreshed('others reached for the slot', 'INCREMENTAL');
DynFaults::without_worker($node, "SELECT pg_drop_replication_slot('$slot'); SELECT pg_create_physical_replication_slot('$slot')");
says('a slot of others under our name', q{exists and is not dyntable''s: Drop it with});
my ($status, $out, $error) = $node->psql('postgres', q{SET dyntable.capture_timeout = '300ms'; SELECT dyntable_create('more', 'SELECT id FROM src')});
like($error, qr/WARNING.*exists and is not dyntable's: Drop it with/s, 'a create says it too');
run(q{SELECT dyntable_drop('more')});
is(run('SELECT count(*) FROM pg_replication_slots'), 1, 'the slot of others is left alone');
run("SELECT pg_drop_replication_slot('$slot')");
starts_anew('then dropped', 'the replication slot was missing');

# ---- no place for a slot ----
DynFaults::without_worker($node, "SELECT pg_drop_replication_slot('$slot'); SELECT count(pg_create_physical_replication_slot('taken_' || i)) FROM generate_series(1, 10) i");
says('no slot is free', 'all replication slots are in use');
run(q{SELECT pg_drop_replication_slot('taken_1')});
starts_anew('a slot is free', 'change capture was started anew');
run(q{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'taken%'});

# ---- a change that cannot be decoded ----
# The row is inserted while the catalog tells, to this transaction, that the
# table has a column more than it has.
my $poison = run(q{SELECT 'poison'::regclass::oid});
run(qq{SET allow_system_table_mods = on;
	BEGIN;
	WITH x AS (UPDATE pg_class SET relnatts = 3 WHERE oid = $poison RETURNING 1) INSERT INTO poison SELECT 1, 1 FROM x;
	UPDATE pg_class SET relnatts = 2 WHERE oid = $poison;
	COMMIT});
comes_true(q{SELECT count(*) = 1 FROM dyntable.slot WHERE cause LIKE '%could not be decoded%'}, 'a poisoned change is passed over');
starts_anew('a poisoned change', 'could not be decoded');
is(run(q{SELECT action FROM dyntable_refresh('poisoned')}) . run(q{SELECT * FROM dyntable_verify('poisoned')}), 'REINITIALIZE0|0', 'its table too');

# ---- the change log ----
my $log = run(q{SELECT log::regclass FROM dyntable.source WHERE relid = 'src'::regclass});
run("DELETE FROM pg_depend WHERE objid = '$log'::regclass AND deptype = 'e'; DROP TABLE $log");
is_refreshed('the change log dropped', 'REINITIALIZE', 'the change log of a source is missing');
comes_true(q{SELECT count(*) = 1 FROM dyntable.source JOIN pg_class ON pg_class.oid = log WHERE relid = 'src'::regclass}, 'it is made anew');
run(q{SELECT dyntable_refresh('grouped')});
is_refreshed('with another log', 'INCREMENTAL');

# Damaged on disk: its first page, and a reader that needs it.
run('UPDATE src SET v = v + 1');
comes_true(q{SELECT captured_lsn >= pg_current_wal_lsn() FROM dyntable.capture}, 'captured');
$log = run(q{SELECT log::regclass FROM dyntable.source WHERE relid = 'src'::regclass});
my $path = $node->data_dir . '/' . run("SELECT pg_relation_filepath('$log')");
$node->stop;
open(my $file, '+<', $path) or die "$path: $!";
print $file "\xff" x 100;
close $file;
$node->start;
is_refreshed('a damaged log', 'REINITIALIZE', 'invalid page');
run('UPDATE src SET v = v + 1; UPDATE src SET v = v - 1; UPDATE src SET v = v + 2; UPDATE src SET v = v - 1; UPDATE src SET v = v + 2');
run(q{SELECT dyntable_refresh('grouped')});
comes_true(q{SELECT count(*) = 1 FROM dyntable.source JOIN pg_class ON pg_class.oid = log WHERE relid = 'src'::regclass AND pg_relation_filepath(log) <> '} . ($path =~ s{.*pgdata/}{}r) . q{'}, 'a damaged log is made anew');
run(q{SELECT dyntable_refresh('grouped')});
is_refreshed('after a damaged log', 'INCREMENTAL');

# ---- temporary files and memory ----
run(q{ALTER SYSTEM SET temp_file_limit = '64kB'; ALTER SYSTEM SET logical_decoding_work_mem = '64kB'});
run('SELECT pg_reload_conf()');
run('UPDATE src SET v = v + 1; UPDATE src SET v = v + i FROM generate_series(1, 40) i WHERE src.id > i');
is_refreshed('temp_file_limit', 'INCREMENTAL');
($status, $out, $error) = $node->psql('postgres', q{SET work_mem = '64kB'; SELECT dyntable_create('sorted', 'SELECT a.id, b.v FROM src a JOIN src b ON a.v = b.v')});
like($error, qr/temporary file size exceeds/, 'a create over temp_file_limit fails');
is(run(q{SELECT count(*) FROM dyntable.dynamic_tables WHERE name = 'sorted'}), 0, 'and leaves nothing');
run('ALTER SYSTEM RESET temp_file_limit; ALTER SYSTEM RESET logical_decoding_work_mem');
run('SELECT pg_reload_conf()');

# Set a limit of one process of the server, or of all to come; the hard limit stays.
sub limit
{
	my ($what, $value, @pids) = @_;
	foreach my $pid (@pids)
	{
		# a worker may have ended meanwhile; the next one has the postmaster's
		system('prlimit', '--pid', $pid, "--$what=$value:") == 0 || !kill(0, $pid) or die "prlimit: $?";
	}
	return;
}

sub address_space
{
	my ($pid) = @_;
	my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /VmSize:\s+(\d+)/;
	return $kb * 1024;
}

SKIP:
{
	skip 'prlimit is missing', 1 if system('prlimit --version >/dev/null 2>&1') != 0;
	my ($postmaster) = DynTest::processes($node);

	# a wide row, and no memory to decode it
	run(q{CREATE TABLE wide (id int PRIMARY KEY, body text); ALTER TABLE wide ALTER body SET STORAGE EXTERNAL;
		SELECT dyntable_create('wides', 'SELECT id, body FROM wide', '1 day', 'incremental')});
	is_running_again('before the wide row');
	my $worker = DynFaults::worker($node, 'capture');
	kill 'STOP', $worker;
	run(q{INSERT INTO wide SELECT 1, repeat('x', 40000000)});
	limit('as', address_space($worker) + 20000000, $postmaster, $worker);
	kill 'CONT', $worker;
	says('no memory', 'out of memory');
	limit('as', 'unlimited', $postmaster);
	limit('as', 'unlimited', DynFaults::workers($node, 'capture'));
	is_running_again('memory again');
	is(run(q{SELECT action FROM dyntable_refresh('wides')}) . run(q{SELECT * FROM dyntable_verify('wides')}), 'INCREMENTAL0|0', 'memory again: nothing is lost');
	run(q{SELECT dyntable_drop('wides')});

	# no file may grow beyond what a few updates make of the change log
	limit('fsize', 2000000, $postmaster, DynFaults::worker($node, 'capture'));
	$node->psql('postgres', 'UPDATE src SET v = v + 1; VACUUM src;' x 20);
	says('no room for the log', 'could not extend file');
	like(run(q{SELECT last_error FROM dyntable.capture}), qr/could not extend file/, 'and remembers it');
	($status, $out, $error) = $node->psql('postgres', q{SET dyntable.capture_timeout = '300ms'; SELECT dyntable_refresh('grouped')});
	like($error, qr/change capture has not reached.*could not extend file/s, 'a refresh says it too, and waits for it to get better');
	limit('fsize', 'unlimited', $postmaster);
	limit('fsize', 'unlimited', DynFaults::workers($node, 'capture'));
	is_running_again('room again');
	is_refreshed('room again, nothing lost', 'INCREMENTAL');
}

# ---- WAL that the slot needs is removed ----
run(q{ALTER SYSTEM SET max_slot_wal_keep_size = '2MB'; ALTER SYSTEM SET max_wal_size = '2MB'; ALTER SYSTEM SET min_wal_size = '2MB'});
run('SELECT pg_reload_conf()');
run(q{BEGIN; CREATE TABLE held (i int); PREPARE TRANSACTION 'long'});
my ($generation, $before) = split /\|/, run('SELECT generation, pg_current_wal_lsn() FROM dyntable.slot');
run('CREATE TABLE filler (t text)');
run(q{INSERT INTO filler VALUES ('x'); SELECT pg_switch_wal(); CHECKPOINT}) for 1 .. 5;
comes_true("SELECT count(*) = 0 FROM pg_replication_slots WHERE wal_status <> 'lost' AND restart_lsn < '$before'", 'the slot is invalidated');
# the next one shall live, whatever is written
run('ALTER SYSTEM RESET ALL');
run('SELECT pg_reload_conf()');
run(q{ROLLBACK PREPARED 'long'});
comes_true("SELECT generation <> $generation FROM dyntable.slot", 'another slot is made');
starts_anew('an invalidated slot', 'the replication slot was (invalidated|missing)');

# ---- the library of another version ----
run(q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'dyntable'});
($status, $out, $error) = $node->psql('postgres', q{SELECT dyntable_refresh('grouped')});
like($error, qr/loaded in version \S+, but installed in this database in version 0.9.*ALTER EXTENSION dyntable UPDATE/s, 'another version: says so');
run(q{UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'dyntable'});
is_refreshed('the same version again', 'INCREMENTAL');
run('ALTER EXTENSION dyntable UPDATE');
is_refreshed('an update to the version that is there', 'INCREMENTAL');

# ---- no process is free ----
run('ALTER SYSTEM SET max_worker_processes = 4');
$node->restart;
is_running_again('few processes');
comes_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dyntable scheduler'}, 'few processes: the scheduler takes the last');
($status, $out, $error) = $node->psql('postgres', q{CREATE TABLE late (i int); SELECT dyntable_create('of_late', 'SELECT i FROM late')});
like($error, qr/no background worker is free.*Increase max_worker_processes/s, 'no process for a registrar: says so');
is(run(q{SELECT count(*) FROM dyntable.dynamic_tables WHERE name = 'of_late'}), 0, 'and leaves nothing');
is_refreshed('no process is free', 'INCREMENTAL');
run('ALTER SYSTEM RESET max_worker_processes');
$node->restart;
run(q{SELECT dyntable_create('of_late', 'SELECT i FROM late', '1 second'); INSERT INTO late VALUES (1); SELECT dyntable_wait('of_late')});
is(run(q{SELECT * FROM dyntable_verify('of_late')}), '0|0', 'with processes it works');

my $text = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($text, qr/PANIC|TRAP|terminated by signal (?!9)|fault of dyntable/, 'nothing crashed by itself');
my $lines = () = $text =~ /\n/g;
note "$lines lines of log";
cmp_ok($lines, '<', 3000, 'and the log was not flooded');
$node->stop;
done_testing();
