# Oracle.pm: the randomised oracle.
#
# Works in passes.  A pass makes six base tables, one of them partitioned, with random rows, two views
# and two dynamic tables over them, and random definitions over all of these.
# Each definition becomes a dynamic table dt_<i> (mode incremental), and a
# second one, cp_<i> (mode auto), with a dynamic table dn_<i> over it.  Then
# batches of changes come, and after each batch every table is refreshed and
# compared with its query: EXCEPT ALL both ways, in the same REPEATABLE READ
# transaction, or under READ COMMITTED with nobody writing (and with
# dyntable_verify, where conditions on now() have moved on since).
#
# A definition that fails is reported with everything needed to run it again
# and left out of the rest of its pass.
package Oracle;

use strict;
use warnings;
use Changes;
use Dice;
use DynTest;
use Generator;

sub new
{
	my ($class, $node, $seed, %options) = @_;
	return bless {
		node => $node,
		seed => $seed,
		refreshes => $options{refreshes},
		report => $options{report},
		count => { definitions => 0, checks => 0, nonempty => 0, possible => 0, changed => 0, refused => 0, refreshes => 0 },
		actions => {},
		constructs => {},
		failures => [] }, $class;
}

sub script
{
	my ($self, $sql, $name) = @_;
	return DynTest::run_script($self->{node}, $sql, $name);
}

# SQL that must not fail
sub must
{
	my ($self, $sql, $what) = @_;
	my $output = $self->script("SET client_min_messages = error;\n$sql", 'must');
	die "seed $self->{seed}, pass $self->{pass}: $what failed:\n" . join("\n", grep { /ERROR|FATAL|DETAIL|LINE|connection/ } split(/\n/, $output)) . "\n"
	  if $output =~ /ERROR:|FATAL:|connection to server/;
	return $output;
}

# Definitions that the server can run and that have some rows, not too many.
sub accepted
{
	my ($self, $kind, $wanted, $depth, $leaves) = @_;
	my (@result, $next);
	$next = 1;
	while (@result < $wanted)
	{
		my @candidates;
		my $sql = "SET statement_timeout = '3s';\n";
		foreach (1 .. 2 + int(1.7 * ($wanted - @result)))
		{
			my $dice = Dice->new($self->{seed}, $self->{pass}, $kind, $next++);
			my $generator = Generator->new($dice, @$leaves);
			my $d = $generator->definition(ref $depth ? $dice->pick(@$depth) : $depth);
			$sql .= "\\echo \@ " . @candidates . "\nSELECT count(*) FROM ($d->{sql}) q;\n";
			push @candidates, $d;
		}
		my $output = $self->script($sql, 'candidates');
		my $at;
		foreach my $line (split(/\n/, $output))
		{
			if ($line =~ /^@ (\d+)$/) { $at = $1; }
			elsif ($line =~ /^(\d+)$/ && $1 >= 1 && $1 <= 1500) { push @result, $candidates[$at]; }
			elsif ($line =~ /ERROR:/ && $line !~ /statement timeout/)
			{
				die "the generator made a query that is wrong: $line\n$candidates[$at]{sql}\n";
			}
		}
		die "no definition of kind $kind is accepted\n" if $next > 50 + 20 * $wanted;
	}
	return splice(@result, 0, $wanted);
}

sub leaf
{
	my ($name, $kind, $d) = @_;
	return { name => $name, kind => $kind, moving => $kind eq 'view' && $d->{moving}, cols => [ map { { %$_, lin => $kind eq 'dynamic' ? 1 : $_->{lin} } } @{ $d->{cols} } ] };
}

sub create_sql
{
	my ($name, $d, $mode) = @_;
	return "SELECT dyntable_create('$name', \$query\$$d->{sql}\$query\$, 'downstream', '$mode');\n";
}

# One row: C|table|rows|hash|missing|unexpected
sub check_sql
{
	my ($name, $d) = @_;
	my $columns = join(', ', @{ $d->{compare} });
	return "WITH asked AS MATERIALIZED (SELECT $columns FROM ($d->{sql}) q), held AS MATERIALIZED (SELECT $columns FROM $name) "
	  . "SELECT 'C', '$name', (SELECT count(*) FROM held), (SELECT coalesce(sum(hashtextextended(held::text, 0)), 0) FROM held), "
	  . '(SELECT count(*) FROM (TABLE asked EXCEPT ALL TABLE held) x), (SELECT count(*) FROM (TABLE held EXCEPT ALL TABLE asked) x);' . "\n";
}

sub sample_sql
{
	my ($name, $d) = @_;
	my $columns = join(', ', @{ $d->{compare} });
	return "(SELECT 'missing', * FROM (SELECT $columns FROM ($d->{sql}) q EXCEPT ALL SELECT $columns FROM $name) x LIMIT 5) UNION ALL "
	  . "(SELECT 'unexpected', * FROM (SELECT $columns FROM $name EXCEPT ALL SELECT $columns FROM ($d->{sql}) q) x LIMIT 5);\n";
}

sub refresh_sql
{
	my (@names) = @_;
	return "SELECT 'R', name, action, rows_inserted + rows_updated + rows_deleted FROM dyntable_refresh(" . join(', ', map { "'$_'" } @names) . ");\n";
}

sub verify_sql
{
	my ($name) = @_;
	return "SELECT 'V', '$name', missing, unexpected FROM dyntable_verify('$name');\n";
}

# Without a transaction around, a condition on now() has moved on since the refresh.
sub compared_sql
{
	return join('', map { check_sql(@$_) } grep { !$_->[1]{moving} } @_);
}

sub verified_sql
{
	my ($all, @sets) = @_;
	return join('', map { verify_sql($_->[0]) } grep { $all || $_->[1]{moving} } @sets);
}

# --- one pass ------------------------------------------------------------

sub run_pass
{
	my ($self, $pass, $wanted) = @_;
	my $s = "p$pass";
	$self->{pass} = $pass;
	$self->{content} = {};
	my $changes = Changes->new($s, Dice->new($self->{seed}, $pass, 'data'));
	my $setup = $changes->setup;
	$self->must($setup, 'setup');
	my @leaves = $changes->leaves;
	my $common = '';
	my $n = 0;
	foreach my $d ($self->accepted('view', 2, 1, \@leaves))
	{
		my $name = "$s.v" . ++$n;
		$common .= "CREATE VIEW $name AS $d->{sql};\n";
		push @leaves, leaf($name, 'view', $d);
	}
	$self->must($common, 'views');
	foreach my $i (1, 2)
	{
		# the second one may read the first
		my ($d) = $self->accepted("upstream$i", 1, 1, \@leaves);
		my $name = "$s.u$i";
		my $create = create_sql($name, $d, 'incremental');
		my $output = $self->script("SET client_min_messages = error;\n$create");
		if ($output =~ /ERROR:/)
		{
			$self->failure($name, $d, 'create', $output, $setup . $common . $create);
			next;
		}
		$common .= $create;
		push @leaves, leaf($name, 'dynamic', $d);
	}
	my @definitions = $self->accepted('definition', $wanted, [ 1, 2, 2, 3 ], \@leaves);
	$self->{transcript} = [ $setup, $common ];
	$self->create_all($s, @definitions);

	# one round before any change, and one after the last: time alone has moved
	foreach my $round (0 .. $self->{refreshes} + 1)
	{
		my $batch = '';
		if ($round > 0 && $round <= $self->{refreshes})
		{
			$batch = $changes->batch;
			$self->must($batch, "batch $round");
		}
		$self->{changing} = $batch ne '';
		$self->round($round, $batch);
	}
	$self->must($changes->finish . "SET client_min_messages = warning;\nDROP SCHEMA $s CASCADE;\n", 'clean-up');
	return;
}

sub create_all
{
	my ($self, $s, @definitions) = @_;
	my $sql = "SET client_min_messages = error;\nSET statement_timeout = '60s';\n";
	my @tables;
	my @over = $self->downstream($s, @definitions);
	my $n = 0;
	foreach my $d (@definitions)
	{
		$n++;
		$self->{count}{definitions}++;
		$self->{constructs}{$_}++ foreach @{ $d->{constructs} };
		my $over = $over[ $n - 1 ];
		push @tables,
		  {
			n => $n,
			d => $d,
			over => $over,
			sets => [ [ "$s.dt_$n", $d ], [ "$s.cp_$n", $d ], [ "$s.dn_$n", $over ] ],
			create => create_sql("$s.dt_$n", $d, 'incremental') . create_sql("$s.cp_$n", $d, 'auto') . create_sql("$s.dn_$n", $over, 'incremental') };
		$sql .= "\\echo \@ $n\n$tables[-1]{create}";
	}
	$self->{tables} = \@tables;
	my %output = $self->sections($self->script($sql, 'create'));
	foreach my $t (@tables)
	{
		my $text = $output{ $t->{n} } // 'no output: connection lost';
		next if $text !~ /ERROR:|connection/;
		$self->{count}{refused}++;
		$self->failure("$s.dt_$t->{n}", $t, 'create', $text);
	}
	return;
}

# A definition over each cp_<n>, chosen while the query stands for the table.
sub downstream
{
	my ($self, $s, @definitions) = @_;
	my @over;
	my $try = 0;
	while (grep { !$over[$_] } 0 .. $#definitions)
	{
		$try++;
		my @candidates;
		my $sql = "SET statement_timeout = '2s';\n";
		foreach my $i (grep { !$over[$_] } 0 .. $#definitions)
		{
			my $d = $definitions[$i];
			my $name = "$s.cp_" . ($i + 1);
			my $generator = Generator->new(Dice->new($self->{seed}, $self->{pass}, 'downstream', $i, $try), leaf($name, 'dynamic', $d));
			$candidates[$i] = $generator->definition(1);
			(my $query = $candidates[$i]{sql}) =~ s/\Q$name\E\b/($d->{sql})/g;
			$sql .= "\\echo \@ $i\nSELECT count(*) FROM ($query) q;\n";
		}
		my %output = $self->sections($self->script($sql, 'downstream'));
		foreach my $i (sort keys %output)
		{
			die "the generator made a query that is wrong: $output{$i}$candidates[$i]{sql}\n"
			  if $output{$i} =~ /ERROR:/ && $output{$i} !~ /statement timeout/;
			$over[$i] = $candidates[$i] if $output{$i} =~ /^(\d+)$/m && $1 <= 1500 && ($1 > 0 || $try > 5);
		}
	}
	return @over;
}

# The output of a script by its "@ n" lines.
sub sections
{
	my ($self, $output) = @_;
	my %section;
	my $at = 0;
	foreach my $line (split(/\n/, $output))
	{
		if ($line =~ /^@ (\d+)$/) { $at = $1; $section{$at} //= ''; next; }
		$section{$at} .= "$line\n";
	}
	return %section;
}

sub round
{
	my ($self, $round, $batch) = @_;
	my @tables = grep { !$_->{failed} } @{ $self->{tables} };
	my $mode = (qw(repeatable committed together verify whole))[ $round % 5 ];
	my $rr = 'BEGIN ISOLATION LEVEL REPEATABLE READ';
	push @{ $self->{transcript} }, $batch;
	my $sql = "SET client_min_messages = warning;\nSET statement_timeout = '60s';\n";
	if ($mode eq 'together')
	{
		$sql .= "\\echo \@ 0\n$rr;\n" . refresh_sql(map { ("p$self->{pass}.dt_$_->{n}", "p$self->{pass}.dn_$_->{n}") } @tables);
	}
	$sql .= "\\echo \@ 0\n" . refresh_sql() if $mode eq 'whole';
	foreach my $t (@tables)
	{
		my ($dt, $cp, $dn) = @{ $t->{sets} };
		$sql .= "\\echo \@ $t->{n}\n";
		if ($mode eq 'repeatable')
		{
			$sql .= "$rr;\n" . refresh_sql($dt->[0]) . check_sql(@$dt) . "COMMIT;\n";
			$sql .= "$rr;\n" . refresh_sql($dn->[0]) . check_sql(@$cp) . check_sql(@$dn) . "COMMIT;\n";
		}
		elsif ($mode eq 'together')
		{
			$sql .= check_sql(@$_) foreach $dt, $cp, $dn;
		}
		elsif ($mode eq 'whole')
		{
			$sql .= compared_sql($dt, $cp, $dn);
		}
		else
		{
			# each is compared before the next refresh, which brings what both
			# read to a later time
			my $all = $mode eq 'verify';
			$sql .= refresh_sql($dt->[0]) . compared_sql($dt) . verified_sql($all, $dt);
			$sql .= refresh_sql($dn->[0]) . compared_sql($cp, $dn) . verified_sql($all, $cp, $dn);
		}
	}
	if ($mode eq 'whole')
	{
		# last, for they refresh what others read
		$sql .= "\\echo \@ $_->{n}\n" . verified_sql(0, @{ $_->{sets} }) foreach @tables;
	}
	$sql .= "COMMIT;\n" if $mode eq 'together';
	my %output = $self->sections($self->script($sql, 'round'));
	$self->judge_run($round, $mode, $output{0}) if exists $output{0};
	if (exists $output{0} && $output{0} =~ /ERROR:/)
	{
		# one of them spoils the run: each alone tells which
		$self->round_alone($round);
		return;
	}
	$self->judge($round, $mode, $_, $output{ $_->{n} }) foreach @tables;
	return;
}

sub round_alone
{
	my ($self, $round) = @_;
	my $rr = 'BEGIN ISOLATION LEVEL REPEATABLE READ';
	my @tables = grep { !$_->{failed} } @{ $self->{tables} };
	my $sql = "SET client_min_messages = warning;\nSET statement_timeout = '60s';\n";
	foreach my $t (@tables)
	{
		my ($dt, $cp, $dn) = @{ $t->{sets} };
		$sql .= "\\echo \@ $t->{n}\n$rr;\n" . refresh_sql($dt->[0]) . check_sql(@$dt) . "COMMIT;\n";
		$sql .= "$rr;\n" . refresh_sql($dn->[0]) . check_sql(@$cp) . check_sql(@$dn) . "COMMIT;\n";
	}
	my %output = $self->sections($self->script($sql, 'round'));
	$self->judge($round, 'alone', $_, $output{ $_->{n} }) foreach @tables;
	return;
}

sub judge_run
{
	my ($self, $round, $mode, $output) = @_;
	$self->actions($round, $output);
	return if $output !~ /ERROR:|connection/;

	# a failure of its own only when no table alone shows it
	$self->{run_failure} = "seed $self->{seed}, pass $self->{pass}, round $round ($mode): $output";
	push @{ $self->{failures} }, $self->{run_failure};
	$self->{report}->("FAILED run of all: $self->{run_failure}");
	return;
}

sub actions
{
	my ($self, $round, $output) = @_;
	while ($output =~ /^R\|(\S+)\|(\w+)\|(\d*)$/mg)
	{
		my ($name, $action) = ($1, $2);
		next if $name !~ /\bdt_\d+$/;
		$self->{count}{refreshes}++;
		$self->{actions}{$action}++ if $self->{changing};
	}
	return;
}

sub judge
{
	my ($self, $round, $mode, $t, $output) = @_;
	if (!defined $output || $output =~ /ERROR:|WARNING:|connection/)
	{
		$self->failure($t->{sets}[0][0], $t, "round $round ($mode)", $output // 'no output: connection lost');
		return;
	}
	$self->actions($round, $output);
	my $checks = 0;
	while ($output =~ /^C\|(\S+)\|(\d+)\|(-?\d+)\|(\d+)\|(\d+)$/mg)
	{
		my ($name, $rows, $hash, $missing, $unexpected) = ($1, $2, $3, $4, $5);
		$checks++;
		$self->{count}{checks}++;
		$self->{count}{nonempty}++ if $rows > 0;
		if ($self->{changing} && exists $self->{content}{$name})
		{
			$self->{count}{possible}++;
			$self->{count}{changed}++ if $self->{content}{$name} ne $hash;
		}
		$self->{content}{$name} = $hash;
		if ($missing || $unexpected)
		{
			$self->failure($name, $t, "round $round ($mode)", "$missing missing, $unexpected unexpected of $rows rows");
			return;
		}
	}
	while ($output =~ /^V\|(\S+)\|(\d+)\|(\d+)$/mg)
	{
		$checks++;
		if ($2 || $3)
		{
			$self->failure($1, $t, "round $round ($mode)", "dyntable_verify: $2 missing, $3 unexpected");
			return;
		}
	}
	$self->failure($t->{sets}[0][0], $t, "round $round ($mode)", "not every table was compared:\n$output") if $checks < 3;
	return;
}

# Report a failure, with a script that runs it again.
sub failure
{
	my ($self, $name, $t, $where, $what, $script) = @_;
	$t->{failed} = 1;
	my ($set) = grep { $_->[0] eq $name } @{ $t->{sets} // [ [ $name, $t ] ] };
	my $d = $set->[1];
	my $sample = '';
	if (!defined $script)
	{
		$script = $self->{transcript}[0] . $self->{transcript}[1] . $t->{create};
		foreach my $batch (@{ $self->{transcript} }[ 2 .. $#{ $self->{transcript} } ])
		{
			$script .= "-- batch\n$batch" . "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . refresh_sql($t->{sets}[0][0], $t->{sets}[2][0]);
			$script .= check_sql(@$_) foreach @{ $t->{sets} };
			$script .= "COMMIT;\n";
		}
		$script .= sample_sql(@$set);
		$sample = $self->script(sample_sql(@$set), 'sample') if $where =~ /^round/ && $what =~ /missing/;
	}
	(my $plain = $name) =~ s/\W/_/g;
	my $directory = $ENV{DYNTABLE_FAILURES} // $ENV{TESTDIR};
	my $file = "$directory/random_$self->{seed}_$plain.sql";
	open(my $handle, '>:raw', $file) or die "$file: $!";
	my $comment = "$name, $where: $what\nconstructs: @{ $d->{constructs} }";
	print $handle join('', map { "-- $_\n" } split(/\n/, $comment)), $script;
	close $handle;
	my $text = "seed $self->{seed}, pass $self->{pass}, $name, $where: $what\n  definition: $d->{sql}\n  " . ($sample ? "difference:\n$sample  " : '') . "script: $file";
	push @{ $self->{failures} }, $text;
	$self->{report}->("FAILED $text");
	return;
}

1;
