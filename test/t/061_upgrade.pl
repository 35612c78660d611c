# pg_upgrade: dynamic tables go along, and are initialised anew over there.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $old = DynTest::new_node('old');
$old->safe_psql('postgres', q{
	CREATE TABLE src (id int PRIMARY KEY, v int);
	CREATE FUNCTION kept_from(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN 2;	-- gets another OID
	INSERT INTO src SELECT i, i FROM generate_series(1, 10) i;
	SELECT dyntable_create('kept', 'SELECT id, v FROM src WHERE v > kept_from(v)', 'downstream', 'incremental');
	SELECT dyntable_create('counted', 'SELECT v % 3 AS m, count(*) AS n FROM kept GROUP BY 1', '1 day', 'incremental');
	UPDATE src SET v = v + 1 WHERE id = 3});
$old->stop;

my $new = DynTest::configured_node('new');
chomp(my $bin = `pg_config --bindir`);

sub upgrade
{
	chdir $ENV{TESTDIR};
	return scalar qx{pg_upgrade --no-sync -d ${\ $old->data_dir} -D ${\ $new->data_dir} -b $bin -B $bin -s ${\ $new->host} -p ${\ $old->port} -P ${\ $new->port} $_[0] 2>&1};
}

# From 17 on slots are upgraded too, unless WAL is left for them, as always for ours.
if ($old->pg_version >= 17)
{
	my $output = upgrade('--check');
	like($output, qr/logical replication slots that cannot be upgraded/, 'the slot is in the way, as said in the documentation');
	$old->append_conf('postgresql.conf', 'dyntable.capture = off');
	$old->start;
	$old->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_replication_slots') or die 'the slot stays';
	$old->stop;
}
my $output = upgrade('');
is($?, 0, 'pg_upgrade succeeds') or diag $output;

$new->start;
DynTest::wait_capture($new);
$new->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE id = 4');
is($new->safe_psql('postgres', 'SELECT name, action FROM dyntable_refresh()'), "kept|REINITIALIZE\ncounted|REINITIALIZE", 'the upgraded tables are initialised anew');
is($new->safe_psql('postgres', "SELECT * FROM dyntable_verify('kept') a, dyntable_verify('counted') b"), '0|0|0|0', 'are right');
is($new->safe_psql('postgres', 'SELECT count(*) FROM kept'), 8, 'and not empty');
$new->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE id = 4');
is($new->safe_psql('postgres', 'SELECT name, action FROM dyntable_refresh()'), "kept|INCREMENTAL\ncounted|INCREMENTAL", 'and are incremental again');
is($new->safe_psql('postgres', "SELECT * FROM dyntable_verify('kept') a, dyntable_verify('counted') b"), '0|0|0|0', 'and right');
$new->stop;
done_testing;
