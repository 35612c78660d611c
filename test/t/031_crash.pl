# kill -9 of the whole server under the load of 030_concurrency, several times:
# after recovery no dynamic table may miss a change or have one twice.
#
#   DYNTABLE_CRASHES        default 4
#   DYNTABLE_CRASH_SECONDS  of load before each, default 6
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynLoad;
use Test::More;

my $crashes = $ENV{DYNTABLE_CRASHES} || 4;
my $seconds = $ENV{DYNTABLE_CRASH_SECONDS} || 6;

# fsync on: a killed process loses nothing that was written, but the order of
# flushes is what this test is about
my $node = DynTest::new_node('crash', 'checkpoint_timeout = 30s', 'fsync = on');
my $load = DynLoad->new($node);
foreach my $crash (1 .. $crashes)
{
	$load->start(8);
	my $end = time + $seconds;
	my $rounds = 0;
	while (time < $end || $rounds < 2)
	{
		$load->round;
		$rounds++;
		last if !$load->running;
	}
	ok($load->running, "writers were at work at crash $crash") or diag $load->{output};
	my $killed = DynTest::kill_server($node);
	cmp_ok($killed, '>=', 10, "crash $crash ended $killed processes");
	$load->stop;
	$node->start;

	# first while what was prepared is still undecided
	$load->round;
	my $prepared = $load->decide_prepared;
	note "crash $crash left $prepared prepared transactions";
	$load->round for 1 .. 4;
	is(scalar @{ $load->{wrong} }, 0, "no row differs after crash $crash") or last;
}
DynTest::summary("crash: $crashes times kill -9, " . $load->summary);
diag join("\n", @{ $load->{wrong} }[ 0 .. ($#{ $load->{wrong} } < 9 ? $#{ $load->{wrong} } : 9) ]) if @{ $load->{wrong} };
cmp_ok($load->{changed}, '>=', $crashes * 2, 'rounds saw changes');

# A crash alone must not cost a fill: nothing was lost, so nothing is redone.
my $again = $node->safe_psql('postgres', "SELECT count(*) FROM dyntable.history WHERE action = 'REINITIALIZE' AND trigger <> 'CREATION'");
is($again, 0, 'no table was reinitialised because of a crash');
$node->stop;
done_testing();
