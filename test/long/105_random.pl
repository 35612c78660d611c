# The randomised oracle of t/020_random.pl over fifty thousand definitions
# (DYNTABLE_DEFINITIONS), with a seed of its own (DYNTABLE_SEED).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;    # before the script runs: what it rests on has INIT blocks

$ENV{DYNTABLE_DEFINITIONS} ||= 50000;
$ENV{DYNTABLE_SEED} ||= 20261123;
my $script = "$FindBin::RealBin/../t/020_random.pl";
do $script or die "$script: " . ($@ || $!);
