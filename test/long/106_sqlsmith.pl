# t/021_sqlsmith.pl with two thousand definitions (DYNTABLE_SQLSMITH).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;    # before the script runs: what it rests on has INIT blocks

$ENV{DYNTABLE_SQLSMITH} ||= 2000;
$ENV{DYNTABLE_SEED} ||= 20261123;
my $script = "$FindBin::RealBin/../t/021_sqlsmith.pl";
do $script or die "$script: " . ($@ || $!);
