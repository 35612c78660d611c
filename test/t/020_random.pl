# The randomised oracle: random definitions, random data, random changes; after
# every refresh each dynamic table must hold what its query returns.
#
#   DYNTABLE_SEED         default 20261122
#   DYNTABLE_DEFINITIONS  default 300, each refreshed
#   DYNTABLE_REFRESHES    default 10 times with changes before
#   DYNTABLE_HOURS        run for so long instead, with new passes
#   DYNTABLE_PASS         run this pass only (a failure tells its number)
#   DYNTABLE_FAILURES     directory for the scripts that repeat a failure
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl", "$FindBin::RealBin/../random";
use DynTest;
use Oracle;
use Test::More;

my $seed = $ENV{DYNTABLE_SEED} || 20261122;
my $definitions = $ENV{DYNTABLE_DEFINITIONS} || 300;
my $refreshes = $ENV{DYNTABLE_REFRESHES} || 10;
my $end = $ENV{DYNTABLE_HOURS} ? time + 3600 * $ENV{DYNTABLE_HOURS} : undef;
my $per_pass = 25;

diag "random oracle: seed $seed";
my $node = DynTest::new_node('random', 'fsync = off');
DynTest::wait_capture($node);
my $oracle = Oracle->new($node, $seed, refreshes => $refreshes, report => sub { diag $_[0] });
my $count = $oracle->{count};

my $pass = $ENV{DYNTABLE_PASS} || 1;
while ($end ? time < $end : $count->{definitions} < $definitions)
{
	my $left = $definitions - $count->{definitions};
	$oracle->run_pass($pass++, $end || $left > $per_pass ? $per_pass : $left);
	note "pass $pass: $count->{definitions} definitions, " . @{ $oracle->{failures} } . ' failures';
	last if $ENV{DYNTABLE_PASS};
}

my $share = sub { my ($part, $whole) = @_; return $whole ? 100 * $part / $whole : 0 };
my $actions = $oracle->{actions};
my $refreshed = 0;
$refreshed += $actions->{$_} foreach keys %$actions;
my $nonempty = $share->($count->{nonempty}, $count->{checks});
my $changed = $share->($count->{changed}, $count->{possible});
my $incremental = $share->(($actions->{INCREMENTAL} // 0) + ($actions->{NO_DATA} // 0), $refreshed);
DynTest::summary(sprintf('random oracle: seed %d, %d definitions, %d refused, %d refreshes with changes of %s; %d comparisons, %.1f %% of results non-empty, %.1f %% changed',
	$seed, $count->{definitions}, $count->{refused}, $refreshed, join(', ', map { "$_ $actions->{$_}" } sort keys %$actions),
	$count->{checks}, $nonempty, $changed));
note 'constructs: ' . join(', ', map { "$_ $oracle->{constructs}{$_}" } sort keys %{ $oracle->{constructs} });

is(scalar @{ $oracle->{failures} }, 0, 'every dynamic table holds what its query returns');
is($count->{refused}, 0, 'every definition is incremental');
cmp_ok($refreshed, '>=', $definitions * $refreshes * 0.99, 'enough refreshes') if !$ENV{DYNTABLE_PASS} && !$end;
cmp_ok($nonempty, '>=', 80, 'enough results are not empty');
cmp_ok($changed, '>=', 60, 'enough results have changed');
cmp_ok($incremental, '>=', 80, 'enough refreshes were incremental');
if ($count->{definitions} >= 300)
{
	foreach my $construct (qw(filter join2 join3 join4 self_join union_all group_by global_aggregate having agg_filter agg_expression
		distinct subquery cte1 cte2 view dynamic keyed keyless left_join right_join full_join latest window moving written_at))
	{
		cmp_ok($oracle->{constructs}{$construct} // 0, '>=', 3, "construct $construct was tried");
	}
}
$node->stop;
done_testing();
