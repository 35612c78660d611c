# Oracle.pm: the randomised oracle.
#
# Works in passes.  A pass makes six base tables, one of them partitioned, with
# random rows, views (one of them a security barrier at times) and two dynamic tables over them, and random definitions over all
# of these.  Each definition becomes a dynamic table dt_<i>, in mode incremental unless it is of
# a construct that may be refused; over every third one stands another one, dn_<i>, and
# half of those below are in mode auto.  Then
# batches of changes come, and after each batch every table is refreshed and
# compared with its query: EXCEPT ALL both ways, in the same REPEATABLE READ
# transaction, or under READ COMMITTED with nobody writing (and with
# dyntable_verify, where conditions on now() have moved on since).
#
# A definition that fails is reported with everything needed to run it again
# (Failures.pm), reduced to a few lines (Shrink.pm), and left out of the rest of its pass.
package Oracle;

use strict;
use warnings;
use Changes;
use Dice;
use DynScript;
use DynTest;
use Failures;
use Generator;

our @ISA = qw(Failures);

sub new
{
	my ($class, $node, $seed, %options) = @_;
	return bless {
		node => $node,
		database => $options{database} // 'postgres',
		session => DynScript->new($node, $options{database}),
		seed => $seed,
		refreshes => $options{refreshes},
		report => $options{report},
		count => { map { $_ => 0 } qw(definitions checks nonempty possible changed refused full refreshes dropped outgrown) },
		actions => {},
		constructs => {},
		codes => {},
		given_up => 0,
		failures => [] }, $class;
}

sub script
{
	my ($self, $sql, $name) = @_;
	my $output = $self->{session}->run($sql, $name);
	if ($output =~ /because of crash of another server process|database system is (?:shutting down|in recovery mode|starting up)/)
	{
		# what the other job does has taken this pass with it
		$self->wait_for_server;
		die "CRASH ELSEWHERE\n";
	}
	return $output;
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

# What depends on the rows, and may happen to a query that is right.
my $DATA_ERROR = qr/statement timeout|out of range|more than one row returned|division by zero|cannot call \w+ on an? \w+/;

# Definitions that the server can run and that have some rows, not too many.
# Each learns why it is not incremental, if it is not.
sub accepted
{
	my ($self, $kind, $wanted, $depth, $leaves) = @_;
	my @result;
	my $next = 1;
	while (@result < $wanted)
	{
		my @candidates;
		my $sql = "SET statement_timeout = '5s';\nSET client_min_messages = error;\n";
		foreach (1 .. 2 + int(1.7 * ($wanted - @result)))
		{
			my $dice = Dice->new($self->{seed}, $self->{pass}, $kind, $next++);
			my $generator = Generator->new($dice, @$leaves);
			my $d = $generator->definition(ref $depth ? $dice->pick(@$depth) : $depth);
			$sql .= "\\echo \@ " . @candidates . "\nSELECT count(*) FROM ($d->{sql}) q;\n";
			push @candidates, $d;
		}
		my %output = $self->sections($self->script($sql, 'candidates'));
		my @good;
		foreach my $at (sort { $a <=> $b } keys %output)
		{
			if ($output{$at} =~ /^(\d+)$/m)
			{
				push @good, $candidates[$at] if $1 >= 1 && $1 <= 600;
			}
			elsif ($output{$at} =~ /ERROR:/ && $output{$at} !~ $DATA_ERROR)
			{
				die "the generator made a query that is wrong: $output{$at}\n$candidates[$at]{sql}\n";
			}
		}
		push @result, @good;
		die "no definition of kind $kind is accepted\n" if $next > 50 + 20 * $wanted;
	}
	@result = splice(@result, 0, $wanted);
	$self->explain(@result);
	return @result;
}

# Ask for the reason codes.
sub explain
{
	my ($self, @definitions) = @_;
	my $sql = "SET client_min_messages = error;\n";
	my $n = 0;
	$sql .= "\\echo \@ " . $n++ . "\nSELECT * FROM dyntable_explain_query(\$query\$$_->{sql}\$query\$);\n" foreach @definitions;
	my %output = $self->sections($self->script($sql, 'explain'));
	foreach my $i (0 .. $#definitions)
	{
		$definitions[$i]{code} = ($output{$i} // '') =~ /^reason: (\w+)/m ? $1 : undef;
	}
	return;
}

sub leaf
{
	my ($name, $kind, $d) = @_;
	return { name => $name, kind => $kind, moving => $kind eq 'view' && $d->{moving}, uses => $kind eq 'view' ? $d->{constructs} : [], cols => [ map { { %$_, lin => $kind eq 'dynamic' ? 1 : $_->{lin} } } @{ $d->{cols} } ] };
}

sub mode
{
	my ($d) = @_;
	return defined $d->{code} && !$d->{must} ? 'auto' : 'incremental';
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

# dyntable_verify() for these and for the last of them.
sub verified_sql
{
	my (@sets) = @_;
	return join('', map { verify_sql($_->[0]) } grep { $_->[1]{moving} || $_ == $sets[-1] } @sets);
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
		my $barrier = $n++ && $pass % 3 == 0 ? ' WITH (security_barrier)' : '';
		$common .= "CREATE VIEW $s.v$n$barrier AS $d->{sql};\n";
		push @leaves, { %{ leaf("$s.v$n", 'view', $d) }, barrier => $barrier ne '' };
	}
	$self->must($common, 'views');
	foreach my $i (1, 2)
	{
		# the second one may read the first
		my ($d) = grep { $_->{must} && !$_->{moving} || $i == 2 } $self->accepted("upstream$i", 3, 1, \@leaves);
		next if !$d;
		my $name = "$s.u$i";
		my $create = create_sql($name, $d, mode($d));
		my $output = $self->script("SET client_min_messages = error;\n$create");
		if ($output =~ /ERROR:/)
		{
			$self->failure($name, $d, 'create', $output, $setup . $common . $create);
			next;
		}
		$common .= $create;
		push @leaves, leaf($name, 'dynamic', $d);
	}
	my @definitions = $self->accepted('definition', $wanted, [ 1, 2, 2, 2, 3, 3, 4 ], \@leaves);
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

# A pass has died.  The others can do without it.
sub gave_up
{
	my ($self, $why) = @_;
	return if $why eq "CRASH ELSEWHERE\n";
	$self->{given_up}++;
	push @{ $self->{failures} }, "seed $self->{seed}, pass $self->{pass}: $why";
	$self->{report}->("FAILED $self->{failures}[-1]");
	$self->script("ROLLBACK;\nSELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database() \\gexec\nDROP SCHEMA p$self->{pass} CASCADE;\n");
	return;
}

sub create_all
{
	my ($self, $s, @definitions) = @_;
	my $sql = "SET client_min_messages = error;\nSET statement_timeout = '60s';\n";
	my @tables;
	my @over = $self->downstream($s, \@definitions, grep { $_ % 3 == 0 } 0 .. $#definitions);
	foreach my $i (0 .. $#definitions)
	{
		my ($d, $over, $n) = ($definitions[$i], $over[$i], $i + 1);
		next if $ENV{DYNTABLE_DEFINITION} && $ENV{DYNTABLE_DEFINITION} != $n;
		my @sets = ([ "$s.dt_$n", $d ], $over ? [ "$s.dn_$n", $over ] : ());
		foreach my $set (@sets)
		{
			$self->{count}{definitions}++;
			$self->{constructs}{$_}++ foreach @{ $set->[1]{constructs} };
		}
		$self->{codes}{ $d->{code} }++ if defined $d->{code};
		my $create = create_sql("$s.dt_$n", $d, $i % 6 == 0 ? 'auto' : mode($d));
		$create .= create_sql("$s.dn_$n", $over, mode($over)) if $over;
		push @tables, { n => $n, d => $d, sets => \@sets, create => $create };
		$sql .= "\\echo \@ $n\n$create";
	}
	$self->{tables} = \@tables;
	my %output = $self->sections($self->script($sql, 'create'));
	foreach my $t (@tables)
	{
		my $text = $output{ $t->{n} } // 'no output: connection lost';
		$self->{count}{full}++ if defined $t->{d}{code} && !$t->{d}{must};
		next if $text !~ /ERROR:|connection/;
		next if $self->data_error($t, $text);
		$self->{count}{refused}++;
		$self->failure("$s.dt_$t->{n}", $t, 'create', $text);
	}
	return;
}

# A definition over each dt_<n> wanted, chosen while the query stands for the table.
sub downstream
{
	my ($self, $s, $definitions, @wanted) = @_;
	my @over;
	my $try = 0;
	while (my @open = grep { !$over[$_] } @wanted)
	{
		$try++;
		my @candidates;
		my $sql = "SET statement_timeout = '5s';\n";
		foreach my $i (@open)
		{
			my $d = $definitions->[$i];
			my $name = "$s.dt_" . ($i + 1);
			my $generator = Generator->new(Dice->new($self->{seed}, $self->{pass}, 'downstream', $i, $try), leaf($name, 'dynamic', $d));
			$candidates[$i] = $generator->definition(1);
			$candidates[$i]{standin} = $candidates[$i]{sql} =~ s/\Q$name\E\b/($d->{sql})/gr;
			$sql .= "\\echo \@ $i\nSELECT count(*) FROM ($candidates[$i]{standin}) q;\n";
		}
		my %output = $self->sections($self->script($sql, 'downstream'));
		foreach my $i (sort keys %output)
		{
			die "the generator made a query that is wrong: $output{$i}$candidates[$i]{sql}\n"
			  if $output{$i} =~ /ERROR:/ && $output{$i} !~ $DATA_ERROR;
			$over[$i] = $candidates[$i] if $output{$i} =~ /^(\d+)$/m && $1 <= 600 && ($1 > 0 || $try > 5);
			if ($try > 15) { @wanted = grep { $_ != $i } @wanted; }
		}
	}

	# what it is refused for cannot be asked before the table is there
	$_->{code} = 'UNKNOWN' foreach grep { $_ } @over;
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

# --- rounds --------------------------------------------------------------

my $BEGIN = 'BEGIN ISOLATION LEVEL REPEATABLE READ';
my $PREPARE = "SET client_min_messages = warning;\nSET statement_timeout = '20s';\n";

# Each definition alone, with the one over it.
sub alone_sql
{
	my ($t) = @_;
	return "$BEGIN;\n" . refresh_sql(run_names($t)) . join('', map { check_sql(@$_) } @{ $t->{sets} }) . "COMMIT;\n";
}

# The names that a run of all tables is given: what they read comes along.
sub run_names
{
	return map { $_->{sets}[-1][0] } @_;
}

sub round
{
	my ($self, $round, $batch) = @_;
	my @tables = grep { !$_->{failed} } @{ $self->{tables} };
	my $mode = (qw(together alone committed together verify whole))[ $round % 6 ];
	push @{ $self->{transcript} }, $batch;
	my $sql = $PREPARE;
	if ($mode eq 'together')
	{
		$sql .= "\\echo \@ 0\n$BEGIN;\n" . refresh_sql(run_names(@tables));
		$sql .= "\\echo \@ $_->{n}\n" . join('', map { check_sql(@$_) } @{ $_->{sets} }) foreach @tables;
		$sql .= "COMMIT;\n";
	}
	elsif ($mode eq 'alone')
	{
		$sql .= "\\echo \@ $_->{n}\n" . alone_sql($_) foreach @tables;
	}
	elsif ($mode eq 'verify')
	{
		# each is compared before the next refresh, which brings what both
		# read to a later time
		foreach my $t (@tables)
		{
			$sql .= "\\echo \@ $t->{n}\n" . refresh_sql(run_names($t)) . compared_sql(@{ $t->{sets} }) . verified_sql(@{ $t->{sets} });
		}
	}
	else
	{
		$sql .= "\\echo \@ 0\n" . ($mode eq 'whole' ? refresh_sql() : refresh_sql(run_names(@tables)));
		$sql .= "\\echo \@ $_->{n}\n" . compared_sql(@{ $_->{sets} }) foreach @tables;

		# last, for they refresh what others read
		$sql .= "\\echo \@ $_->{n}\n" . join('', map { verify_sql($_->[0]) } grep { $_->[1]{moving} } @{ $_->{sets} }) foreach @tables;
	}
	my %output = $self->sections($self->script($sql, 'round'));
	my ($spoilt) = grep { defined && /ERROR:|connection/ } @output{ 0, $mode eq 'together' ? map { $_->{n} } @tables : () };
	if (defined $spoilt)
	{
		# one of them spoils the run, or the transaction in which all are compared: each alone tells which
		$self->round_alone($round, "$mode: $spoilt");
		return;
	}
	$self->actions($output{0}) if exists $output{0};
	$self->judge($round, $mode, $_, $output{ $_->{n} }) foreach @tables;
	return;
}

# After a run of all has failed.  It is a failure of its own only when no table alone
# shows it, but for the time that all of them took together.
sub round_alone
{
	my ($self, $round, $why) = @_;
	my @tables = grep { !$_->{failed} } @{ $self->{tables} };
	my $found = 0;
	$self->wait_for_server;
	foreach my $t (@tables)
	{
		# one script each: a crash takes the others of a script with it
		my %output = $self->sections($self->script("$PREPARE\\echo \@ $t->{n}\n" . alone_sql($t), 'round'));
		$self->judge($round, 'alone', $t, $output{ $t->{n} });
		$found++ if $t->{failed};
	}
	return if $found || $why =~ /statement timeout/;
	my $text = "seed $self->{seed}, pass $self->{pass}, round $round ($why)";
	push @{ $self->{failures} }, $text;
	$self->{report}->("FAILED run of all: $text");
	return;
}

sub actions
{
	my ($self, $output) = @_;
	while ($output =~ /^R\|(\S+)\|(\w+)\|(\d*)$/mg)
	{
		my ($name, $action) = ($1, $2);
		next if $name !~ /\bd[tn]_\d+$/;
		$self->{count}{refreshes}++;
		$self->{actions}{$action}++ if $self->{changing};
	}
	return;
}

# Whether the query itself fails for what stands in the tables now, or there have
# become too many rows of it on their way: no fault of the refresh.  The definition
# is left out from here on.
sub data_error
{
	my ($self, $t, $output) = @_;
	return 0 if $output !~ $DATA_ERROR;
	my $outgrown = $output =~ /statement timeout/;
	return 0 if !$outgrown && !grep { $self->fails_itself($_->[1]) } @{ $t->{sets} };
	$self->{report}->("left out, for it took too long: seed $self->{seed}, pass $self->{pass}, $t->{sets}[0][0]") if $outgrown;
	$self->leave_out($t);
	$self->{count}{ $outgrown ? 'outgrown' : 'dropped' } += @{ $t->{sets} };
	return 1;
}

sub fails_itself
{
	my ($self, $d) = @_;
	my $query = $d->{standin} // $d->{sql};
	return $self->script("SET statement_timeout = '10s';\nSELECT count(*) FROM ($query) q;\n", 'alone') =~ /ERROR:.*$DATA_ERROR/;
}

# No table of this definition any more, or it would disturb runs of all.
sub leave_out
{
	my ($self, $t) = @_;
	$t->{failed} = 1;
	$self->script(join('', map { "SELECT dyntable_drop('$_->[0]', true, true);\n" } reverse @{ $t->{sets} // [] }), 'drop');
	return;
}

sub judge
{
	my ($self, $round, $mode, $t, $output) = @_;
	if (!defined $output || $output =~ /ERROR:|WARNING:|connection/)
	{
		return if defined $output && $self->data_error($t, $output);
		$self->failure($t->{sets}[0][0], $t, "round $round ($mode)", $output // 'no output: connection lost');
		return;
	}
	$self->actions($output);
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
	$self->failure($t->{sets}[0][0], $t, "round $round ($mode)", "not every table was compared:\n$output") if $checks < @{ $t->{sets} };
	return;
}

1;
