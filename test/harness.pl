# harness.pl COUNTS FILE...: run TAP tests and write "passed failed" to COUNTS.
#
# Perl scripts run by this perl, SQL scripts by psql (pgTAP).  A file that dies,
# breaks its plan, takes longer than TEST_SECONDS or exits with an error without a
# failed assertion counts as one failure.  prove prints no counts that a script could rely on.
use strict;
use warnings;
use File::Basename qw(basename);
use File::Path qw(make_path);
use TAP::Harness;

my ($counts, @files) = @ARGV;

# Told to end, let the running tests end their servers first (the signal went
# to them too), with somebody at the other end of their pipes.
my $interrupted = 0;
$SIG{INT} = $SIG{TERM} = sub { $interrupted = 1; };

my $harness = TAP::Harness->new(
	{
		verbosity => $ENV{VERBOSE} ? 1 : 0,
		failures  => 1,
		timer     => 1,
		jobs      => $ENV{PROVE_JOBS} || 2,
		exec      => sub {
			my ($self, $file) = @_;
			die "interrupted\n" if $interrupted;
			# in the process group of the others, which ends as a whole
			my @limited = (qw(timeout --foreground --kill-after=30), $ENV{TEST_SECONDS});
			return $file =~ /\.sql$/
			  ? [ @limited, qw(psql -X -A -t -q -v ON_ERROR_STOP=1 -P pager=off -f), $file ]
			  : [ own_folders($file), @limited, $^X, $file ];
		},
	});
my $result = $harness->runtests(map { [ $_, name($_) ] } @files);

my $failed = $result->failed;
foreach my $test ($result->descriptions)
{
	my ($parser) = $result->parsers($test);
	my $broken = $parser->parse_errors || $parser->exit || $parser->wait;

	$failed++ if $broken && !$parser->failed;
	show_log($test) if $broken || $parser->failed;
}

open(my $out, '>', $counts) or die "could not write $counts: $!";
print $out scalar($result->passed), " $failed\n";
close($out) or die "could not write $counts: $!";
exit($failed ? 1 : 0);

# A script that starts servers has folders of its own, as scripts run side by side.
sub own_folders
{
	my ($file) = @_;
	my $dir = "$ENV{TESTDIR}/" . basename($file, '.pl');
	make_path($dir);
	return ('env', "TESTDIR=$dir", "TESTDATADIR=$dir/tmp_check", "TESTLOGDIR=$dir/log");
}

# The end of what PostgreSQL::Test wrote of a script that failed: what it died
# of stands nowhere else.
sub show_log
{
	my ($test) = @_;
	my $base = basename($test, '.pl');
	return unless defined $ENV{TESTDIR};
	my ($log) = glob("$ENV{TESTDIR}/$base/*/regress_log_$base $ENV{TESTDIR}/$base/*/*/regress_log_$base");
	return unless defined $log && open(my $in, '<', $log);
	my @lines = <$in>;
	splice(@lines, 0, -25) if @lines > 25;
	print "---- the end of the log of $test\n", @lines;
	return;
}

# The last folder and the file, so that the report is readable.
sub name
{
	my ($file) = @_;
	return $file =~ m{([^/]+/[^/]+)$} ? $1 : $file;
}
