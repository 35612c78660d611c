# sqlsmith as a second generator of definitions: no crash, no internal error, no
# difference (random/Sqlsmith.pm).
#
#   DYNTABLE_SEED      default 20261122
#   DYNTABLE_SQLSMITH  default 40: definitions, each refreshed 5 times
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl", "$FindBin::RealBin/../random";
use DynTest;
use Sqlsmith;
use Test::More;

my $seed = $ENV{DYNTABLE_SEED} || 20261122;
my $wanted = $ENV{DYNTABLE_SQLSMITH} || 40;
plan skip_all => 'sqlsmith is not installed (Debian has a package of that name)' if system('command -v sqlsmith >/dev/null') != 0;
my $node = DynTest::new_node('sqlsmith', 'fsync = off', 'jit = off', 'restart_after_crash = on');
DynTest::wait_capture($node);
my $smith = Sqlsmith->new($node, $seed);
$smith->run($wanted, 5, sub { diag $_[0] });
my $count = $smith->{count};
DynTest::summary("sqlsmith: seed $seed, " . join(', ', map { "$count->{$_} $_" } qw(queries accepted incremental refreshed compared nonempty changed))
	  . '; full for ' . join(', ', map { "$_ $smith->{codes}{$_}" } sort keys %{ $smith->{codes} }));
is(scalar @{ $smith->{wrong} }, 0, 'no crash, no internal error, no difference');
cmp_ok($count->{accepted}, '>=', $wanted * 0.5, 'enough queries are accepted');
cmp_ok($count->{incremental}, '>=', $wanted * 0.2, 'enough of them are incremental');
cmp_ok($count->{compared}, '>=', $wanted, 'enough results were compared');
cmp_ok($count->{nonempty}, '>=', $count->{compared} * 0.5, 'enough of them were not empty');
cmp_ok($count->{changed}, '>=', $wanted * 0.5, 'enough refreshes changed something');
$node->stop;
done_testing();
1;
