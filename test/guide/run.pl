# The guide of the staging layer's first home, item by item: what it says there, the
# PostgreSQL form, and what comes of it.
#
# Items stand in NN_*.sql beside this file, in order, in one session and one
# database, which setup.sql has prepared:
#
#     --# 3.2 Step 2: create a dedicated warehouse       number and title
#     --: CREATE WAREHOUSE IF NOT EXISTS ...              the guide's form (may have several lines)
#     SELECT ... ;                                        ours
#     --= CREATE WAREHOUSE                                what it prints, line by line
#     --~ ^\d+ rows                                       or a pattern for one line
#     --! why                                             instead of a statement: it has no meaning here
#
# An item passes if its output is exactly what is expected; notices are not output,
# errors are.  One that is neither expected to print anything nor without meaning
# does not count as written: it fails.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;
use Time::HiRes qw(time);

my $root  = $DynTest::ROOT;
my @items = map { read_items($_) } sort glob("$FindBin::RealBin/[0-9]*.sql");
my $node  = DynTest::new_node('guide', "shared_preload_libraries = 'pg_cron,dyntable'",
	# what fails on purpose is not to be suspended, however long it is until the item that mends it
	'dyntable.max_consecutive_failures = 1000', "cron.database_name = 'postgres'", 'cron.use_background_workers = on', "dyntable.history_retention = '35 days'", 'jit = off');
$ENV{PGHOST}     = $node->host;
$ENV{PGPORT}     = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER}     = $node->safe_psql('postgres', 'SELECT current_user');
$ENV{GUIDE_DIR}  = $ENV{TESTDIR};
chdir $root or die "$root: $!";

# One script: what each item prints stands between two marks.
my $script = "\\set VERBOSITY terse\n\\i test/guide/setup.sql\n";
$script .= "\\echo \@\@$_->{no}\n$_->{sql}\n" foreach @items;
my $file = "$ENV{TESTDIR}/guide.sql";
open(my $handle, '>:raw', $file) or die "$file: $!";
print $handle $script, "\\echo \@\@end\n";
close $handle;
my (%printed, %took);
my ($no, $since) = ('setup', time);
open(my $psql, '-|', "stdbuf -oL psql -X -A -t -q -f '$file' 2>&1") or die "psql: $!";
while (my $line = <$psql>)
{
	chomp $line;
	$line =~ s/^psql:\S+:\d+: //;
	if ($line =~ /^\@\@(.+)/)
	{
		$took{$no} = time - $since;
		($no, $since) = ($1, time);
	}
	else { push @{ $printed{$no} }, $line; }
}
close $psql;
my @slow = sort { $took{$b} <=> $took{$a} } keys %took;
note(join("\n", map { sprintf('%s: %.1f s', $_, $took{$_}) } @slow[ 0 .. ($#slow < 14 ? $#slow : 14) ]));
is($no, 'end', 'the session has reached the end');
is(join("\n", @{ $printed{setup} // [] }), '', 'what the items rest on is there');

my ($good, @without) = (0);
foreach my $item (@items)
{
	my @wrong = differences($item, $printed{ $item->{no} } // []);
	$good++ if !@wrong;
	push @without, "$item->{no} $item->{title}: $item->{why}" if defined $item->{why};
	ok(!@wrong, "$item->{no} $item->{title}") or diag(join("\n", @wrong));
}
DynTest::summary("guide: without meaning on PostgreSQL: $_") foreach @without;
DynTest::summary(sprintf('guide: %d of %d', $good, scalar @items));
$node->stop;
done_testing();

# The items of a file.
sub read_items
{
	my ($file) = @_;
	my (@found, $item);
	open(my $handle, '<', $file) or die "$file: $!";
	while (my $line = <$handle>)
	{
		if ($line =~ /^--# (\S+) (.*)/)
		{
			$item = { no => $1, title => $2, sql => '', guide => '', expect => [] };
			push @found, $item;
		}
		elsif ($line =~ /^--: ?(.*)/)  { $item->{guide} .= "$1\n"; }
		elsif ($line =~ /^--= ?(.*)/)  { push @{ $item->{expect} }, $1; }
		elsif ($line =~ /^--~ (.*)/)   { push @{ $item->{expect} }, qr/$1/; }
		elsif ($line =~ /^--! (.*)/)   { $item->{why} = $1; }
		elsif (defined $item)          { $item->{sql} .= $line; }
	}
	close $handle;
	return @found;
}

# What is wrong with what an item printed.
sub differences
{
	my ($item, $lines) = @_;
	my @expected = @{ $item->{expect} };
	if (defined $item->{why})
	{
		return $item->{sql} =~ /\S/ || @expected ? ('an item without meaning has neither statements nor results') : ();
	}
	return ('nothing is expected of it') if !@expected;
	my @wrong;
	foreach my $i (0 .. ($#$lines > $#expected ? $#$lines : $#expected))
	{
		my ($got, $want) = ($lines->[$i], $expected[$i]);
		next if defined $got && defined $want && (ref $want ? $got =~ $want : $got eq $want);
		push @wrong, 'got:      ' . ($got // '(nothing)'), 'expected: ' . ($want // '(nothing)');
	}
	return @wrong;
}
