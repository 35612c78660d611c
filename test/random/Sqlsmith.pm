# Sqlsmith.pm: definitions that sqlsmith makes over the tables of the randomised
# oracle.
#
# It makes queries that nobody would write: casts of NULL to every type, functions
# of all kinds with such arguments, LATERAL and subqueries anywhere.  What the
# server accepts of them becomes dynamic tables in mode auto.  Batches of changes
# follow, each with a refresh.  Nothing may crash or say that there is an
# internal error (XX000), a refresh may fail only where the query does, and a
# result that is determined must be that of the query.
package Sqlsmith;

use strict;
use warnings;
use Changes;
use Dice;
use DynTest;
use Failures;
use Oracle;

our @ISA = qw(Failures);

# What leaves a result open, besides what the reason codes tell.
my $OPEN = qr/\bover \(|_agg\(|\b(?:avg|sum|var|stddev|corr|regr_\w+|covar_\w+)\(|float|::real|\bcurrent_|\blocaltime|\bnow\b|timestamp|random|txid|_xact_|\bpg_(?!catalog\.)|inet_(?:client|server)|xml|version\(/i;

my $INDEFINITE = 'VOLATILE_FUNCTION|TABLESAMPLE|LIMIT_WITHOUT_ORDER|SESSION_FUNCTION|STABLE_FUNCTION';

sub new
{
	my ($class, $node, $seed) = @_;
	return bless { node => $node, seed => $seed, count => { map { $_ => 0 } qw(queries accepted incremental refreshed compared changed nonempty) }, codes => {}, wrong => [] }, $class;
}

sub script
{
	my ($self, $sql, $database) = @_;
	return DynTest::run_script($self->{node}, "\\set VERBOSITY verbose\nSET client_min_messages = error;\n$sql", 'smith', $database);
}

# The queries, from a database that has the tables and no dyntable: it would be read as well.
sub queries
{
	my ($self, $setup, $n) = @_;
	my $node = $self->{node};
	$node->safe_psql('postgres', 'CREATE DATABASE shape');
	$self->script("CREATE EXTENSION citext;\n$setup", 'shape');
	my $connection = $node->connstr('shape');
	my $output = `sqlsmith --target="$connection" --exclude-catalog --dry-run --seed=$self->{seed} --max-queries=$n 2>/dev/null`;
	my @queries = grep { /^\s*(?:select|with)\b/i && length $_ < 8000 } split(/;\s*\n/, $output);
	$self->{count}{queries} = @queries;
	return map { determined($_) } @queries;
}

# Without samples, and limits only where one row is wanted, which then is the first one by its value.
sub determined
{
	my ($sql) = @_;
	$sql =~ s/\btablesample \w+ \([\d.]+\)//g;
	$sql =~ s/\blimit 1 offset (\d+)/order by 1 fetch first row only offset $1/g;
	$sql =~ s/\blimit \d+//g;
	$sql =~ s/fetch first row only offset (\d+)/limit 1 offset $1/g;
	return $sql;
}

# Up to so many that run, have rows, and can be a table.
sub accepted
{
	my ($self, $wanted, @queries) = @_;
	my @result;
	my $open = 0;
	while (@queries && @result < $wanted)
	{
		my @some = splice(@queries, 0, 200);
		my $sql = "SET statement_timeout = '500ms';\n";
		foreach my $i (0 .. $#some)
		{
			# many read no table at all
			next if $some[$i] !~ /\bp1\./;
			$sql .= "\\echo \@ $i\nSELECT count(*) FROM (SELECT DISTINCT q::text FROM ($some[$i]) q) q;\n"
			  . "\\echo \@ @{[1000 + $i]}\nSELECT * FROM dyntable_explain_query(\$query\$$some[$i]\$query\$) LIMIT 2;\n";
		}
		my %output = Oracle::sections(undef, $self->script($sql));
		foreach my $i (grep { $_ < 1000 } sort { $a <=> $b } keys %output)
		{
			next if $output{$i} !~ /^(\d+)$/m || $1 < 1 || $1 > 400;
			my $explained = $output{ 1000 + $i } // 'connection lost';
			if ($explained =~ /XX\d\d\d:|connection/)
			{
				$self->wait_for_server;
				$self->wrong({ sql => $some[$i], n => "explain_$i" }, "explain: $explained");
			}

			# of those whose result is open, a few
			push @result, $some[$i] if $explained !~ /^reason: (?:$INDEFINITE)/m || $open++ % 8 == 0;
		}
	}
	splice(@result, $wanted) if @result > $wanted;
	$self->{count}{accepted} = @result;
	return map { { sql => $_ } } @result;
}

sub wrong
{
	my ($self, $t, $what) = @_;
	$t->{failed} = 1;
	push @{ $self->{wrong} }, $what;
	my $file = ($ENV{DYNTABLE_FAILURES} // $ENV{TESTDIR}) . "/sqlsmith_$self->{seed}_$t->{n}.sql";
	Failures::write_file($file, $what, $self->{setup} . "SELECT dyntable_create('p1.s_$t->{n}', \$query\$$t->{sql}\$query\$, 'downstream');\n" . join('', map { "$_\nSELECT * FROM dyntable_refresh('p1.s_$t->{n}');\n" } @{ $self->{batches} }));
	$self->{report}->("sqlsmith, seed $self->{seed}, definition $t->{n}: $what\n$t->{sql}\nscript: $file");
	return;
}

sub run
{
	my ($self, $wanted, $rounds, $report) = @_;
	$self->{report} = $report;
	$self->{batches} = [];
	my $changes = Changes->new('p1', Dice->new($self->{seed}, 'smith'));
	$self->{setup} = $changes->setup;
	my @queries = $self->queries($self->{setup}, $wanted * 40);
	$self->script("CREATE EXTENSION citext;\n$self->{setup}");
	my @tables = $self->accepted($wanted, @queries);
	$tables[$_]{n} = $_ foreach 0 .. $#tables;
	$self->create(@tables);
	foreach my $round (1 .. $rounds)
	{
		push @{ $self->{batches} }, $changes->batch;
		$self->script($self->{batches}[-1]);
		$self->round($round, grep { !$_->{failed} } @tables);
	}
	return;
}

sub create
{
	my ($self, @tables) = @_;
	my $sql = "SET statement_timeout = '30s';\n";
	$sql .= "\\echo \@ $_->{n}\nSELECT dyntable_create('p1.s_$_->{n}', \$query\$$_->{sql}\$query\$, 'downstream');\n"
	  . "SELECT 'M', incremental, reason_code FROM dyntable.dynamic_table WHERE relid = to_regclass('p1.s_$_->{n}');\n"
	  . "SELECT 'E', count(*) FROM (TABLE p1.s_$_->{n} INTERSECT TABLE p1.s_$_->{n}) x;\n" foreach @tables;
	my %output = Oracle::sections(undef, $self->script($sql));
	foreach my $t (@tables)
	{
		my $output = $output{ $t->{n} };
		if (!defined $output || $output =~ /XX\d\d\d:|connection/)
		{
			# what comes after a crash is not to blame
			$self->wait_for_server;
			$self->wrong($t, 'create: ' . ($output // 'connection lost'));
			last if !defined $output || $output =~ /connection/;
		}
		elsif ($output =~ /^M\|(\w)\|(\w*)$/m)
		{
			$self->{count}{incremental}++ if $1 eq 't';
			$self->{codes}{$2}++ if $2 ne '';
			$t->{open} = $2 =~ /^(?:$INDEFINITE)$/ || $t->{sql} =~ $OPEN || $output !~ /^E\|/m;
		}
		else
		{
			# a type that no table can hold, and the like
			$t->{failed} = 1;
		}
	}
	return;
}

sub round
{
	my ($self, $round, @tables) = @_;
	my $sql = "SET statement_timeout = '30s';\n";
	foreach my $t (@tables)
	{
		my $name = "p1.s_$t->{n}";
		$sql .= "\\echo \@ $t->{n}\nBEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 'R', action, rows_inserted + rows_updated + rows_deleted FROM dyntable_refresh('$name');\n";
		$sql .= "WITH asked AS MATERIALIZED ($t->{sql}), held AS MATERIALIZED (TABLE $name) SELECT 'C', (SELECT count(*) FROM held), "
		  . "(SELECT count(*) FROM (TABLE asked EXCEPT ALL TABLE held) x), (SELECT count(*) FROM (TABLE held EXCEPT ALL TABLE asked) x);\n"
		  if !$t->{open};
		$sql .= "COMMIT;\n";
	}
	my %output = Oracle::sections(undef, $self->script($sql));
	foreach my $t (@tables)
	{
		my $output = $output{ $t->{n} };
		if (!defined $output || $output =~ /connection/)
		{
			$self->wait_for_server;
			$self->wrong($t, "round $round: " . ($output // 'connection lost'));
			last;
		}
		if ($output =~ /ERROR:\s+(\w+):/)
		{
			# the query may fail for what its tables hold now
			my $alone = $self->script("SET statement_timeout = '30s';\nSELECT count(q::text) FROM ($t->{sql}) q;\n");
			if ($1 =~ /^XX/ || $alone !~ /ERROR:/) { $self->wrong($t, "round $round: $output"); }
			else { $t->{failed} = 1; }
			next;
		}
		$self->{count}{refreshed}++;
		$self->{count}{changed}++ if $output =~ /^R\|\w+\|[1-9]/m;
		next if $t->{open};
		$output =~ /^C\|(\d+)\|(\d+)\|(\d+)$/m or $self->wrong($t, "round $round: not compared: $output"), next;
		$self->{count}{compared}++;
		$self->{count}{nonempty}++ if $1;
		$self->wrong($t, "round $round: $2 missing, $3 unexpected of $1 rows") if $2 || $3;
	}
	return;
}

1;
