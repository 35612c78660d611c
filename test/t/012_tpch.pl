# TPC-H: the 22 queries as dynamic tables, over twenty batches of changes of all
# eight tables.  After each batch one transaction refreshes all and compares
# each with its query; none may ever be empty, and each must have been changed.
#
#   DYNTABLE_TPCH_SF=f       scale factor (0.01)
#   DYNTABLE_TPCH_SHARE=f    share of the rows that a batch changes (0.001)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynScript;
use DynTest;
use Test::More;

my $sf = $ENV{DYNTABLE_TPCH_SF} // 0.01;
my $share = $ENV{DYNTABLE_TPCH_SHARE} // 0.001;
my $batches = 20;
my $dir = "$DynTest::ROOT/test/tpch";

my $node = DynTest::new_node('tpch', 'fsync = off', 'autovacuum = off');
script("-v sf=$sf", 'schema.sql', 'load.sql');
DynTest::wait_capture($node);

# one for all batches, as of a refresh worker: it keeps its plans
my $session = DynScript->new($node);
my %query;
foreach my $file (sort glob("$dir/queries/q*.sql"))
{
	my ($name) = $file =~ /(q\d\d)\.sql$/;
	$query{$name} = PostgreSQL::Test::Utils::slurp_file($file) =~ s/:sf\b/$sf/gr;
	my ($status, $out, $err) = $node->psql('postgres', "SET client_min_messages = error; SELECT dyntable_create('$name', \$q\$$query{$name}\$q\$, 'downstream', 'incremental')");
	is($status, 0, "$name is made") or diag $err;
	delete $query{$name} if $status;
}
my @names = sort keys %query;
is(scalar @names, 22, 'all queries are incremental');
my (%content, %changes, %action);
compare(0);
foreach my $batch (1 .. $batches)
{
	script("-v batch=$batch -v share=$share", 'batch.sql');
	compare($batch);
}
foreach my $name (@names)
{
	cmp_ok($changes{$name} // 0, '>', 0, "$name was changed by the batches");
	is(join(' ', grep { $_ ne 'INCREMENTAL' } sort keys %{ $action{$name} }), '', "$name was refreshed incrementally each time");
}
reads();
done_testing();

# What refreshes read, state tables too, of all rows: each less than a quarter, and half of them
# less than a fiftieth.  (At this size the server may well read a table as a whole to find a hundred rows.)
sub reads
{
	my $counted = 'SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables';
	my $all = join ' + ', map { "(SELECT count(*) FROM $_)" } qw(region nation supplier customer part partsupp orders lineitem);
	my $rows = $node->safe_psql('postgres', "SELECT $all");
	my @reads;

	script('-v batch=' . ($batches + 1) . " -v share=$share", 'batch.sql');
	foreach my $name (@names)
	{
		my $output = $session->run("BEGIN;\n$counted;\n\\o /dev/null\nSELECT dyntable_refresh('$name');\n\\o\n$counted;\nCOMMIT;\n", 'reads');
		push @reads, $output =~ /^(\d+)\n(\d+)\n$/ ? $2 - $1 : die "unexpected: $output";
		cmp_ok($reads[-1], '<', $rows / 4, "$name: rows that its refresh reads");
	}
	cmp_ok((sort { $a <=> $b } @reads)[ @reads / 2 ], '<', $rows / 50, 'the median of the rows that a refresh reads');
	return;
}

# Run files of test/tpch by psql.
sub script
{
	my ($options, @files) = @_;
	my $command = join(' ', 'psql -X -q -v ON_ERROR_STOP=1', "-d '" . $node->connstr('postgres') . "'", $options, map { "-f '$dir/$_'" } @files);
	is(system($command), 0, "@files $options");
	return;
}

# Refresh all, and compare each with its query, in one transaction.
sub compare
{
	my ($batch) = @_;
	my $sql = "BEGIN ISOLATION LEVEL REPEATABLE READ;\n";

	$sql .= "SELECT 'refreshed', name, action FROM dyntable_refresh(" . join(', ', map { "'$_'" } @names) . ");\n" if $batch > 0;
	$sql .= "WITH query AS MATERIALIZED ($query{$_}\n) SELECT 'compared', '$_', (SELECT count(*) FROM (TABLE query EXCEPT ALL TABLE $_) x),"
	  . " (SELECT count(*) FROM (TABLE $_ EXCEPT ALL TABLE query) x), (SELECT count(*) FROM query), (SELECT md5(string_agg(md5(t::text), '' ORDER BY t::text)) FROM $_ t);\n"
	  foreach @names;
	my $output = $session->run("${sql}COMMIT;\n", 'compare');
	my (@wrong, %seen);
	foreach my $line (split /\n/, $output)
	{
		my ($what, $name, @rest) = split /\|/, $line;
		if ($what eq 'refreshed')
		{
			$action{$name}{ $rest[0] }++ if $rest[0] ne 'NO_DATA';
		}
		elsif ($what eq 'compared')
		{
			my ($missing, $unexpected, $rows, $content) = @rest;
			push @wrong, "$name: $missing rows missing, $unexpected unexpected" if $missing || $unexpected;
			push @wrong, "$name: empty" unless $rows;
			$changes{$name}++ if $batch > 0 && $content ne $content{$name};
			$content{$name} = $content;
			$seen{$name} = 1;
		}
		else { push @wrong, $line; }
	}
	push @wrong, "$_: not compared" foreach grep { !$seen{$_} } @names;
	is(join("\n", @wrong), '', "all tables hold what their queries return, after batch $batch");
	return;
}
