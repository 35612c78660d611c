# What mode auto chooses does not depend on what else the machine has to do: a
# delta that waits for a processor most of the time is as cheap as before.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the system does not tell how long a process has waited for a processor' if !-r '/proc/self/schedstat';

my $node = DynTest::new_node('busy', 'autovacuum = off');
sub sql { return $node->safe_psql('postgres', $_[0]); }

# a delta of fewer changes than there are rows, that computes for a tenth of a second or so
sql(q{CREATE TABLE item (id int PRIMARY KEY, v int, pad text);
INSERT INTO item SELECT i, i, repeat('x', 300) FROM generate_series(1, 50000) i;
VACUUM ANALYZE item;
CREATE FUNCTION burn(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN IF v > 1000000 THEN FOR i IN 1 .. 100 LOOP v := v + i; END LOOP; END IF; RETURN v; END';
SELECT dyntable_create('burnt', 'SELECT id, burn(v) AS v FROM item', '1 day')});

sub refreshed
{
	my ($ms) = @_;
	sql("UPDATE dyntable.position SET full_ms = $ms, delta_ms = '{}' WHERE relid = 'burnt'::regclass");
	sql('UPDATE item SET v = v + 1000000 WHERE id % 5 < 2; VACUUM item');
	return sql(q{SELECT action FROM dyntable_refresh('burnt')});
}

is(refreshed(1000000), 'INCREMENTAL', 'a delta');
my $ms = sql('SELECT cpu_ms FROM dyntable.refresh_history ORDER BY refresh_start_time DESC LIMIT 1');
cmp_ok($ms, '>', 20, 'that takes its time');

# One processor for it and four others, which end with whom they disturb.
my ($processor) = slurp_file('/proc/self/status') =~ /^Cpus_allowed_list:\s*(\d+)/m;
my ($postmaster) = DynTest::processes($node);
PostgreSQL::Test::Utils::system_or_bail('taskset', '-p', '-c', $processor, $postmaster);
my @busy;
for (1 .. 4)
{
	my $pid = fork // die "fork: $!";
	exec('taskset', '-c', $processor, $^X, '-e', 'my ($n, $parent) = (0, getppid); 1 while $n++ % 1000000 || getppid == $parent') if $pid == 0;
	push @busy, $pid;
}
is(refreshed(1.5 * $ms), 'INCREMENTAL', 'the same delta on a machine that has more to do than it can is not given up');
cmp_ok(sql('SELECT extract(epoch FROM duration) * 1000 FROM dyntable.refresh_history ORDER BY refresh_start_time DESC LIMIT 1'), '>', 2.5 * $ms, 'though it takes longer than it may compute');
cmp_ok(sql(q{SELECT max(d) FROM dyntable.position, unnest(delta_ms) d WHERE relid = 'burnt'::regclass}), '<', 4 * $ms, 'nor is it remembered as dear');
kill 'KILL', @busy;
waitpid($_, 0) foreach @busy;
is(refreshed($ms / 10), 'FULL', 'one that computes too long is');
is(sql(q{SELECT * FROM dyntable_verify('burnt')}), '0|0', 'and the rows are right');
$node->stop;
done_testing();
