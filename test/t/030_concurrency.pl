# Eight writers with savepoints, rollbacks, ON CONFLICT, prepared transactions,
# overflowed snapshots and asynchronous commits, while dynamic tables are
# refreshed and compared in a loop.  A change that is decoded before it is
# visible, or visible before it is decoded, shows here and nowhere else.
#
#   DYNTABLE_LOAD_SECONDS  default 65
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynLoad;
use Test::More;

my $seconds = $ENV{DYNTABLE_LOAD_SECONDS} || 65;
my $node = DynTest::new_node('concurrency');
my $load = DynLoad->new($node);
my $before = $node->safe_psql('postgres', 'SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()');
$load->start(8);
my $end = time + $seconds;
while (time < $end)
{
	$load->round;
	last if !$load->running || @{ $load->{wrong} } > 20;
}
ok($load->running, 'the writers wrote all the time') or diag $load->{output};
$load->stop;
$load->decide_prepared;
$load->round for 1 .. 4;

DynTest::summary('concurrency: ' . $load->summary);
is(scalar @{ $load->{wrong} }, 0, 'no row differed in any round') or diag join("\n", @{ $load->{wrong} }[ 0 .. ($#{ $load->{wrong} } < 9 ? $#{ $load->{wrong} } : 9) ]);
cmp_ok($load->{compared}, '>=', $seconds / 6, 'enough rounds');
cmp_ok($load->{changed}, '>=', 0.8 * ($load->{compared} - 4), 'most rounds saw changes');
is($node->safe_psql('postgres', "SELECT string_agg(state, ',') FROM dyntable.history WHERE state <> 'SUCCEEDED'"), '', 'no refresh failed, the scheduled ones included');
my ($ins, $upd, $del) = split(/\|/, $node->safe_psql('postgres', "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_user_tables WHERE relname IN ('account', 'event')"));
note "writers: $ins inserts, $upd updates, $del deletes";
$node->stop;
done_testing();
