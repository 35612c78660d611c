# Shrink.pm: a failure of the randomised oracle reduced to a few lines.
#
# In a database of its own, what failed is run again: tables, batches, the
# definition, refresh, comparison.  Then fewer batches are tried; rows in place of
# random statements; smaller queries (Reduce.pm), many at a time, each a dynamic table of its own over the same
# tables; fewer rows.  What still fails in the same way is kept.  At most
# DYNTABLE_SHRINK_SECONDS (90) are spent on it.
package Shrink;

use strict;
use warnings;
use Changes;
use DynTest;
use Reduce;

sub new
{
	my ($class, $oracle, $set, $t, $what) = @_;
	my ($name, $d) = @$set;
	my ($setup, $common, @batches) = @{ $oracle->{transcript} };
	(my $schema = $name) =~ s/\..*//;
	my %inline;
	$inline{$1} = $2 while $common =~ /^CREATE VIEW (\S+) (?:WITH \(security_barrier\) )?AS (.*);$/mg;
	$inline{$1} = $2 while $common =~ /dyntable_create\('([^']+)', \$query\$(.*?)\$query\$/sg;
	my $below = $name =~ /\.dn_/ ? $t->{sets}[0] : undef;
	$common .= Oracle::create_sql(@$below, 'auto') if $below;
	$inline{ $below->[0] } = $below->[1]{sql} if $below;
	return bless {
		oracle => $oracle,
		database => "shrink_$oracle->{database}",
		schema => $schema,
		query => $d->{sql},
		mode => Oracle::mode($d),
		setup => $setup,
		common => $common,
		upstream => [ $common =~ /dyntable_create\('([^']+)'/g ],
		inline => \%inline,
		batches => [ grep { $_ ne '' } @batches ],
		kind => kind($what),
		end => time + ($ENV{DYNTABLE_SHRINK_SECONDS} || 90) }, $class;
}

# How it failed: what has to be the same in a smaller case.
sub kind
{
	my ($output) = @_;
	return 'crash' if $output =~ /connection lost|server closed the connection/;
	return 'difference' if $output =~ /\d+ missing/;
	return "says: $1" =~ s/\d+/N/gr =~ s/"[^"]*"/"X"/gr if $output =~ /(?:ERROR|WARNING):\s+(.*)/;
	return 'difference';
}

sub script
{
	my ($self, $sql) = @_;
	return DynTest::run_script($self->{oracle}{node}, "SET client_min_messages = warning;\nSET statement_timeout = '20s';\n$sql", "shrink_$self->{database}", $self->{database});
}

sub is_late { return time > $_[0]{end}; }

# The SQL of a case, or undef where it does not fail again.
sub run
{
	my ($self) = @_;
	$self->{oracle}{node}->safe_psql('postgres', "CREATE DATABASE $self->{database}") if !$self->{oracle}{shrinking}++;
	$self->script('CREATE EXTENSION IF NOT EXISTS dyntable; CREATE EXTENSION IF NOT EXISTS citext;');
	my @all = @{ $self->{batches} };
	my $found;
	foreach my $last (1, 2, 5, scalar @all)
	{
		# the definition made before the last few batches
		next if $last > @all && $last > 1;
		my $case = { before => join('', @all[ 0 .. $#all - $last ]), batches => [ @all[ ($last > @all ? 0 : @all - $last) .. $#all ] ] };
		next if !$self->fails($case, $self->{query});
		$found = $case;
		last;
	}
	return undef if !$found;
	$found = $self->with_rows($found);
	my $query = $self->smaller_query($found, $self->{query});
	if ($found->{rows})
	{
		$self->fewer($found, $query, $_) foreach qw(rows changes);
		$query = $self->smaller_query($found, $query);
		$self->fewer($found, $query, $_) foreach qw(rows changes);
	}
	return $self->text($found, $query);
}

# --- trying --------------------------------------------------------------

# The SQL that makes the case up to where the definition is created.
sub prologue
{
	my ($self, $case) = @_;
	my $s = $self->{schema};
	my $sql = "SET client_min_messages = error;\nDROP SCHEMA IF EXISTS $s CASCADE;\n";
	if ($case->{rows})
	{
		my $setup = join('', grep { !/^INSERT INTO/ } map { "$_\n" } split(/\n/, $self->{setup}));
		$sql .= $setup . join('', @{ $case->{rows} }) . $self->{common};
	}
	else
	{
		$sql .= "$self->{setup}$self->{common}$case->{before}";
	}
	return "${sql}SET client_min_messages = warning;\n";
}

sub batches
{
	my ($self, $case) = @_;
	return $case->{rows} ? join('', @{ $case->{changes} }) : @{ $case->{batches} };
}

sub check
{
	my ($name, $query) = @_;
	return "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT action FROM dyntable_refresh('$name') WHERE name = '$name'::regclass;\n"
	  . "SELECT 'C', (SELECT count(*) FROM (SELECT * FROM ($query) q EXCEPT ALL TABLE $name) x), (SELECT count(*) FROM (TABLE $name EXCEPT ALL SELECT * FROM ($query) q) x);\nCOMMIT;\n";
}

# Which of the queries fail in the same way in this case.
sub failing
{
	my ($self, $case, @queries) = @_;
	my $s = $self->{schema};
	my $n = 0;
	my @named = map { [ "$s.s_" . $n++, $_ ] } @queries;
	my $sql = $self->prologue($case);
	$sql .= "\\echo \@ $_\nSELECT dyntable_create('$named[$_][0]', \$query\$$named[$_][1]\$query\$, 'downstream', '$self->{mode}');\n" foreach 0 .. $#named;
	foreach my $batch ('', $self->batches($case))
	{
		next if $batch eq '' && @named > 1 && $self->{kind} eq 'difference';
		$sql .= "\\echo \@ 999999\n$batch";
		$sql .= "\\echo \@ $_\n" . check(@{ $named[$_] }) foreach 0 .. $#named;
	}
	my %output = $self->{oracle}->sections($self->script($sql));
	$self->{oracle}->wait_for_server if $self->{kind} eq 'crash';
	return grep { $self->is_same($output{$_} // 'connection lost') } 0 .. $#named;
}

sub is_same
{
	my ($self, $output) = @_;
	return $output =~ /connection lost|server closed the connection/ if $self->{kind} eq 'crash';
	if ($self->{kind} eq 'difference')
	{
		while ($output =~ /^C\|(\d+)\|(\d+)$/mg) { return 1 if $1 || $2; }
		return 0;
	}
	while ($output =~ /(?:ERROR|WARNING):.*/g) { return 1 if kind($&) eq $self->{kind}; }
	return 0;
}

sub fails
{
	my ($self, $case, $query) = @_;
	return scalar(my @failing = $self->failing($case, $query));
}

# --- smaller -------------------------------------------------------------

# The case with the rows that stand in the tables before and after the last batches, if it
# still fails.
sub with_rows
{
	my ($self, $case) = @_;
	my @names = Changes::names();
	my $sql = $self->prologue($case);
	$sql .= "\\echo \@ $_\n" . Changes::dump_sql($self->{schema}, $names[$_]) . "CREATE TABLE public.was_$names[$_] AS TABLE $self->{schema}.$names[$_];\n" foreach 0 .. $#names;
	$sql .= "\\echo \@ 999999\n" . join('', $self->batches($case));
	$sql .= "\\echo \@ " . (100 + $_) . "\n" . Changes::difference_sql($self->{schema}, $names[$_], "public.was_$names[$_]") . "DROP TABLE public.was_$names[$_];\n" foreach 0 .. $#names;
	my %output = $self->{oracle}->sections($self->script($sql));
	my $lines = sub { return grep { /;$/ } map { "$_\n" } split(/\n/, join('', map { $output{$_} // '' } @_)) };
	my $rows = { rows => [ $lines->(0 .. $#names) ], changes => [ $lines->(map { 100 + $_ } 0 .. $#names) ] };
	return $self->fails($rows, $self->{query}) ? $rows : $case;
}

sub smaller_query
{
	my ($self, $case, $query) = @_;
	my %tried;
	while (!$self->is_late)
	{
		my @next = grep { !$tried{$_}++ } Reduce::candidates($query, %{ $self->{inline} });
		last if !@next;
		@next = $self->valid($case, @next);
		my $better;
		while (@next && !defined $better && !$self->is_late)
		{
			my @some = splice(@next, 0, $self->{kind} eq 'crash' ? 1 : 40);
			my ($first) = $self->failing($case, @some);
			$better = $some[$first] if defined $first;
		}
		last if !defined $better;
		$query = $better;
	}
	return $query;
}

# Those that the server understands.
sub valid
{
	my ($self, $case, @queries) = @_;
	my $sql = $self->prologue($case) . "SET statement_timeout = '1s';\n";
	$sql .= "\\echo \@ $_\nSELECT 'N', count(*) FROM ($queries[$_]) q;\n" foreach 0 .. $#queries;
	my %output = $self->{oracle}->sections($self->script($sql));
	return map { $queries[$_] } grep { ($output{$_} // '') =~ /^N\|(\d+)$/m && $1 < 3000 } 0 .. $#queries;
}

# Leave out lines of the rows or of the changes, halves first, while it fails.
sub fewer
{
	my ($self, $case, $query, $what) = @_;
	my $size = int((@{ $case->{$what} } + 1) / 2);
	while ($size >= 1 && !$self->is_late)
	{
		my $at = 0;
		while ($at < @{ $case->{$what} } && !$self->is_late)
		{
			my @lines = @{ $case->{$what} };
			splice(@lines, $at, $size);
			my $smaller = { %$case, $what => \@lines };
			if ($self->fails($smaller, $query)) { $case->{$what} = \@lines; }
			else { $at += $size; }
		}
		last if $size == 1;
		$size = int(($size + 1) / 2);
	}
	return;
}

# --- what is left --------------------------------------------------------

# As a script for psql, without what the query does not read.
sub text
{
	my ($self, $case, $query) = @_;
	my $name = "$self->{schema}.smaller";
	my $all = $query;
	my %common = map { $_ => 1 } split(/(?<=;)\n/, $self->{common});
	foreach my $statement (reverse split(/(?<=;)\n/, $self->{common}))
	{
		my ($object) = $statement =~ /^(?:CREATE VIEW |SELECT dyntable_create\(')([\w.]+)/;
		if (defined $object && $all =~ /\Q$object\E\b/) { $all .= $statement; }
		else { delete $common{$statement}; }
	}
	my $is_read = sub { my ($line) = @_; return $line !~ /\b\Q$self->{schema}\E\.(b\d|fold|folded|doubled|letters|natural_number|words)\w*/ || $all =~ /\b$self->{schema}\.$1\b/ || $1 eq 'fold' && $all =~ /folded/ || $1 =~ /^(natural_number|words)$/ && $all =~ /\b$self->{schema}\.b6\b/ };
	my @setup = grep { $is_read->($_) } map { "$_\n" } split(/\n/, $self->{setup});
	@setup = grep { !/^(INSERT|ANALYZE)/ } @setup if $case->{rows};
	my $text = "CREATE EXTENSION IF NOT EXISTS dyntable; CREATE EXTENSION IF NOT EXISTS citext;\n" . join('', @setup);
	$text .= join('', grep { $is_read->($_) } @{ $case->{rows} }) if $case->{rows};
	$text .= join("\n", grep { $common{$_} } split(/(?<=;)\n/, $self->{common})) . "\n" if %common;
	$text .= $case->{before} if !$case->{rows};
	$text .= "SELECT dyntable_create('$name', \$query\$$query\$query\$, 'downstream', '$self->{mode}');\n";
	foreach my $batch ($case->{rows} ? join('', grep { $is_read->($_) } @{ $case->{changes} }) : @{ $case->{batches} })
	{
		$text .= $batch . check($name, $query);
	}
	return $text . "TABLE $name;\n$query;\n";
}

1;
