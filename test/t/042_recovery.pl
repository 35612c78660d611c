# Copies of a server: a promoted standby, a base backup brought to a point in
# time, a cold copy with its slot; and wal_level lowered and raised.
# After each, tables say why they are computed anew, once, and are right.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = DynTest::configured_node('primary', 'autovacuum = off', 'fsync = off', 'wal_keep_size = 1GB');
$primary->enable_archiving;
$primary->start;
$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION dyntable;
CREATE TABLE src (id int PRIMARY KEY, g int, v int);
INSERT INTO src SELECT i, i % 10, i FROM generate_series(1, 200) i;
SELECT dyntable_create('groups', 'SELECT g, sum(v) AS s, count(*) AS n FROM src GROUP BY g', 'downstream');
SELECT dyntable_create('above', 'SELECT n, count(*) AS c, sum(s) AS s FROM groups GROUP BY n', '1 day');
SELECT dyntable_create('copy', 'SELECT g, v FROM src WHERE v > 3', '1 day');
SQL
my $row = 1000;

# Change the source, refresh all: the actions, and that no row differs.
sub is_refreshed
{
	my ($node, $actions, $what) = @_;
	$row++;
	$node->safe_psql('postgres', "INSERT INTO src VALUES ($row, 3, $row); UPDATE src SET v = v + 1 WHERE id BETWEEN 10 AND 20; DELETE FROM src WHERE id = 2000 - $row");
	is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT action || coalesce(': ' || reason, ''), ', ') FROM dyntable_refresh()"), $actions, "$what: $actions");
	is($node->safe_psql('postgres', join(' UNION ALL ', map { "SELECT * FROM dyntable_verify('$_')" } qw(groups above copy))), "0|0\n0|0\n0|0", "$what: no row differs");
	is($node->safe_psql('postgres', "SELECT count(*) FROM copy WHERE v = $row"), '1', "$what: and the changes are there");
	return;
}

# Computed anew once, for this reason, and incremental afterwards.
my $anew = 'change capture was started anew';
my $restored = "INCREMENTAL, REINITIALIZE: $anew: the server was promoted or restored";
sub heals
{
	my ($node, $reason, $what) = @_;
	DynTest::wait_capture($node);
	is_refreshed($node, $reason, $what);	# what reads dynamic tables alone has their changes all the same
	is_refreshed($node, 'INCREMENTAL', "then $what");
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM dyntable.refresh_history WHERE reinit_reason LIKE '$anew%'"), '>', 0, "$what: the history says why");
	return;
}

sub copy_of
{
	my ($name, $backup, %params) = @_;
	my $conf = delete $params{conf};
	my $node = DynNode->new($name);
	$node->init_from_backup($primary, $backup, %params);
	$node->append_conf('postgresql.conf', "archive_mode = off\n$conf");
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die "$name stays in recovery" if $params{has_restoring};
	return $node;
}

is_refreshed($primary, 'INCREMENTAL', 'before all');
$primary->backup('base');

# ---- promotion of a standby; the old primary goes on
my $standby = DynNode->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'archive_mode = off');
$standby->start;
is_refreshed($primary, 'INCREMENTAL', 'with a standby');
$primary->wait_for_catchup($standby);
command_like([ 'pg_dump', '-h', $standby->host, '-p', $standby->port, '-d', 'postgres' ], qr/^COPY dyntable\.dump .*\n(?:public\t.*\n){3}/m, 'a standby can be dumped, with definitions');
$primary->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE id = 1');
$primary->wait_for_catchup($standby);
$standby->promote;
heals($standby, $restored, 'a promoted standby');
is_refreshed($primary, 'INCREMENTAL', 'the primary that it left');
$standby->stop;

# ---- a point in time, from the base backup
$primary->safe_psql('postgres', "UPDATE src SET v = 77777 WHERE id = 77; SELECT pg_create_restore_point('here'); UPDATE src SET v = 88888 WHERE id = 77");
is_refreshed($primary, 'INCREMENTAL', 'past the point');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->poll_query_until('postgres', 'SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) FROM pg_stat_archiver') or die 'archiving';
my $earlier = copy_of('earlier', 'base', has_restoring => 1, standby => 0, conf => "recovery_target_name = 'here'\nrecovery_target_action = 'promote'");
is($earlier->safe_psql('postgres', 'SELECT v FROM src WHERE id = 77'), '77777', 'restored to a point in time');
heals($earlier, $restored, 'a point in time');
is($earlier->safe_psql('postgres', 'SELECT count(*) FROM copy WHERE v = 77777'), '1', 'with what was there at that time');
$earlier->stop;

# ---- a copy of all files, the slot among them: alone it goes on, behind a recovery it does not
$primary->stop;
$primary->backup_fs_cold('cold');
$primary->start;
DynTest::wait_capture($primary);
my $twin = copy_of('twin', 'cold', conf => '');
DynTest::wait_capture($twin);
is_refreshed($twin, 'INCREMENTAL', 'a cold copy');
$twin->stop;
my $later = copy_of('later', 'cold', has_restoring => 1, standby => 0, conf => "recovery_target_action = 'promote'");
cmp_ok($later->safe_psql('postgres', 'SELECT timeline_id FROM pg_control_checkpoint()'), '>', 1, 'a cold copy, recovered, is on another timeline');
heals($later, $restored, 'a cold copy on another timeline');
$later->stop;
is_refreshed($primary, 'INCREMENTAL', 'the server that was copied');

# ---- wal_level: with a slot the server does not start
$primary->append_conf('postgresql.conf', "archive_mode = off\nwal_level = replica");
$primary->stop;
is($primary->start(fail_ok => 1), 0, 'with wal_level lowered and a slot left the server does not start');
like(slurp_file($primary->logfile), qr/FATAL: .*logical replication slot "dyntable_\d+" exists/, 'as the server says');
$primary->append_conf('postgresql.conf', 'wal_level = logical');
$primary->start;
DynTest::wait_capture($primary);
is_refreshed($primary, 'INCREMENTAL', 'wal_level raised again');

# so the slot goes first, while the server runs
$primary->safe_psql('postgres', 'ALTER SYSTEM SET dyntable.capture = off');
$primary->reload;
$primary->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name LIKE 'dyntable%'") or die 'the slot stays';
$primary->poll_query_until('postgres', "SELECT state = 'idle' AND reason = 'dyntable.capture is off' FROM dyntable.capture") or die 'capture goes on';
my $unread = 'INCREMENTAL, REINITIALIZE: changes cannot be read';
is_refreshed($primary, "$unread: dyntable.capture is off", 'without capture');
my ($status, $out, $err) = $primary->psql('postgres', q{SELECT dyntable_create('fails', 'SELECT id FROM src', '1 day', 'incremental')});
like($err, qr/change capture is not ready\n.*DETAIL:.*dyntable\.capture is off/, 'nothing is put under capture then');
$primary->append_conf('postgresql.conf', 'wal_level = replica');
$primary->restart;
is_refreshed($primary, "$unread: wal_level is not logical", 'with wal_level lowered');
$primary->append_conf('postgresql.conf', "wal_level = logical\ndyntable.max_retained_wal = -1");
$primary->safe_psql('postgres', 'ALTER SYSTEM RESET dyntable.capture');
my $end = -s $primary->logfile;
$primary->restart;
$primary->poll_query_until('postgres', "SELECT state = 'running' FROM dyntable.capture") or die 'capture does not come back';
is_refreshed($primary, "INCREMENTAL, REINITIALIZE: $anew", 'with wal_level raised');
is_refreshed($primary, 'INCREMENTAL', 'and then');
like(slurp_file($primary->logfile, $end), qr/WARNING: .*may retain WAL without bound/, 'slots without any bound are warned of at the start');

$primary->stop;
done_testing();
