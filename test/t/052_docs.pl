# The documentation against the server: the reference is what the comments say, README
# and tutorial print what they say they print, every reason code is explained.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $root = $DynTest::ROOT;
my $node = DynTest::new_node('docs');

my $made = DynTest::run_script($node, slurp("$root/scripts/reference.sql"), 'reference');
is($made, slurp("$root/docs/reference.md"), 'docs/reference.md is what the comments say (make reference)');
# What has no comment has an empty last column.
unlike($made, qr/^\| `dyntable[^|]*\| [^|]*\| *\|$/m, 'every function has a comment');

# The statements of the README and the tutorial, each block followed by what it prints, if anything.
DynTest::wait_capture($node);
$node->safe_psql('postgres', 'CREATE DATABASE readme');
prints_what_it_says('README.md', $node->connstr('readme'));
prints_what_it_says('docs/tutorial.md', $node->connstr('postgres'));

# Reason codes: what the source refuses with, sql.md explains.
my $sql_md = slurp("$root/docs/sql.md");
my %codes;
SKIP:
{
	skip 'the source is not here', 1 unless -d "$root/src/query";
	foreach my $source (glob("$root/src/*/*.c"))
	{
		my $text = slurp($source);
		$codes{$1} = 1 while $text =~ /dyn_refuse\w*\([^";]*?"([A-Z][A-Z_]+)"/g;
	}
	my @missing = grep { index($sql_md, "`$_`") < 0 } sort keys %codes;
	cmp_ok(scalar(keys %codes), '>', 10, 'reason codes are found in the source');
	is("@missing", '', 'each reason code is in docs/sql.md');
}
$node->stop;
done_testing();

sub prints_what_it_says
{
	my ($page, $connect) = @_;
	my @blocks = slurp("$root/$page") =~ /^```sql\n(.*?)^```\n(?:```\n(.*?)^```\n)?/msg;
	my ($script, @expected) = ("SET client_min_messages = warning;\n");
	while (my ($sql, $output) = splice(@blocks, 0, 2))
	{
		$script .= "\\echo \@\@\n$sql\n";
		push @expected, $output // '';
	}
	my $file = "$ENV{TESTDIR}/page.sql";
	open(my $handle, '>', $file) or die "$file: $!";
	print $handle $script;
	close $handle;
	my (undef, @printed) = split /^\@\@\n/m, `stdbuf -oL psql -Xq -d '$connect' -f '$file' 2>&1`, -1;
	is(scalar @printed, scalar @expected, "$page ran to its end");
	foreach my $i (0 .. $#expected)
	{
		# the README leaves out what the functions before the last statement return
		my ($got, $said) = (trimmed($printed[$i]), trimmed($expected[$i]));
		$got = substr($got, -length $said) if $page eq 'README.md' && length $said && length $got > length $said;
		is($got, $said, 'block ' . ($i + 1) . " of $page prints what it says");
	}
}

sub slurp
{
	my ($name) = @_;
	open(my $in, '<:raw', $name) or die "$name: $!";
	local $/;
	return <$in>;
}

# Without blanks at the ends of lines, which editors eat, and without empty lines at the end.
sub trimmed
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	$text =~ s/\n+\z//;
	return $text;
}
