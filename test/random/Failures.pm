# Failures.pm: what the randomised oracle leaves of a failure: a line that tells
# what and where, the script that repeats it, and its reduced form.  A part of
# Oracle.pm.
package Failures;

use strict;
use warnings;
use Shrink;

sub sample_sql
{
	my ($name, $d) = @_;
	my $columns = join(', ', @{ $d->{compare} });
	return "(SELECT 'missing', * FROM (SELECT $columns FROM ($d->{sql}) q EXCEPT ALL SELECT $columns FROM $name) x LIMIT 5) UNION ALL "
	  . "(SELECT 'unexpected', * FROM (SELECT $columns FROM $name EXCEPT ALL SELECT $columns FROM ($d->{sql}) q) x LIMIT 5);\n";
}

# A crash takes the server down for a moment.
sub wait_for_server
{
	my ($self) = @_;
	$self->{node}->poll_query_until('postgres', 'SELECT true');
	return;
}

# Report a failure, with a script that runs it again.
sub failure
{
	my ($self, $name, $t, $where, $what, $script) = @_;
	$t->{failed} = 1;
	$self->wait_for_server;
	my ($set) = grep { $_->[0] eq $name } @{ $t->{sets} // [ [ $name, $t ] ] };
	my $d = $set->[1];
	my $sample = '';
	my $whole = $script;
	if (!defined $script)
	{
		my @sets = @{ $t->{sets} };
		$script = $self->{transcript}[0] . $self->{transcript}[1] . $t->{create};
		foreach my $batch (@{ $self->{transcript} }[ 2 .. $#{ $self->{transcript} } ])
		{
			$script .= "-- batch\n$batch" . "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . Oracle::refresh_sql($sets[-1][0]);
			$script .= Oracle::check_sql(@$_) foreach @sets;
			$script .= "COMMIT;\n";
		}
		$script .= sample_sql(@$set);
		$sample = $self->script(sample_sql(@$set), 'sample') if $where =~ /^round/ && $what =~ /missing/;
	}
	(my $plain = $name) =~ s/\W/_/g;
	my $directory = $ENV{DYNTABLE_FAILURES} // $ENV{TESTDIR};
	my $file = "$directory/random_$self->{seed}_$plain.sql";
	my $constructs = "constructs: @{ $d->{constructs} }";
	write_file($file, "$name, $where: $what\n$constructs", $script);
	my $text = "seed $self->{seed}, pass $self->{pass}, $name, $where: $what\n  definition: $d->{sql}\n  $constructs\n  " . ($sample ? "difference:\n$sample  " : '') . "script: $file";
	if (!defined $whole && ($self->{shrinks} // 0) < ($ENV{DYNTABLE_SHRINK} // 3))
	{
		$self->{shrinks}++;
		my $short = Shrink->new($self, $set, $t, $what)->run;
		if (defined $short)
		{
			(my $other = $file) =~ s/\.sql$/_short.sql/;
			write_file($other, "$name, $where: $what", $short);
			$text .= "\n  reduced: $other\n$short";
		}
	}
	$self->leave_out($t);
	push @{ $self->{failures} }, $text;
	$self->{report}->("FAILED $text");
	return;
}

sub write_file
{
	my ($file, $comment, $script) = @_;
	open(my $handle, '>:raw', $file) or die "$file: $!";
	print $handle join('', map { "-- $_\n" } split(/\n/, $comment)), $script;
	close $handle;
	return;
}

1;
