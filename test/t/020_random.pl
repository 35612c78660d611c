# The randomised oracle: random definitions, random data, random changes; after
# every refresh each dynamic table must hold what its query returns.
#
#   DYNTABLE_SEED         default 20261122
#   DYNTABLE_DEFINITIONS  default 1000, each refreshed
#   DYNTABLE_REFRESHES    default 10 times with changes before
#   DYNTABLE_HOURS        run for so long instead, with new passes
#   DYNTABLE_PASS         run this pass only (a failure tells its number)
#   DYNTABLE_DEFINITION   and of this pass only this definition, dt_<n>
#   DYNTABLE_JOBS         default 2: passes side by side, each in its database
#   DYNTABLE_FAILURES     directory for the scripts that repeat a failure
#   DYNTABLE_SHRINK       how many failures are reduced to a few lines, default 3
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl", "$FindBin::RealBin/../random";
use DynTest;
use Generator;
use Run;
use Test::More;

my $definitions = $ENV{DYNTABLE_DEFINITIONS} || 1000;
my $run = Run->new(definitions => $definitions, report => sub { diag $_[0] });
# not by diag: until the next line on its output the harness would start nothing beside it
note "random oracle: seed $run->{seed}";
my $result = $run->run;
my $count = $result->{count};
my $actions = $result->{actions};
my $refreshed = 0;
$refreshed += $actions->{$_} foreach keys %$actions;
my $share = sub { my ($part, $whole) = @_; return $whole ? 100 * $part / $whole : 0 };
my $nonempty = $share->($count->{nonempty}, $count->{checks});
my $changed = $share->($count->{changed}, $count->{possible});
my $incremental = $share->(($actions->{INCREMENTAL} // 0) + ($actions->{NO_DATA} // 0), $refreshed);
DynTest::summary($run->summary);
note 'constructs: ' . join(', ', map { "$_ $result->{constructs}{$_}" } sort keys %{ $result->{constructs} });

is(scalar @{ $result->{failures} }, 0, 'every dynamic table holds what its query returns');
is($count->{refused}, 0, 'every definition is incremental that must be');
cmp_ok($refreshed, '>=', ($definitions - $count->{dropped} - $count->{outgrown}) * $run->{refreshes} * 0.98, 'enough refreshes') if $run->is_counted;

# of one pass these shares say nothing
if (!$ENV{DYNTABLE_PASS})
{
	cmp_ok($count->{dropped}, '<=', $count->{definitions} / 50, 'few queries fail themselves');
	cmp_ok($count->{outgrown}, '<=', $count->{definitions} / 100, 'few grow until they cannot be refreshed in time');
}
cmp_ok($nonempty, '>=', 80, 'enough results are not empty');
cmp_ok($changed, '>=', 60, 'enough results have changed');
cmp_ok($incremental, '>=', 50, 'enough refreshes were incremental');
if ($count->{definitions} >= 1000)
{
	foreach my $construct (@Generator::CONSTRUCTS)
	{
		cmp_ok($result->{constructs}{$construct} // 0, '>=', 3, "construct $construct was tried");
	}
}
done_testing();
1;
