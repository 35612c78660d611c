# Run.pm: passes of the randomised oracle side by side on one server, each
# process in a database of its own, and what they found taken together.
package Run;

use strict;
use warnings;
use DynTest;
use Oracle;
use POSIX ();
use Storable ();

sub new
{
	my ($class, %options) = @_;
	return bless {
		seed => $ENV{DYNTABLE_SEED} || 20261122,
		refreshes => $ENV{DYNTABLE_REFRESHES} || 10,
		jobs => $ENV{DYNTABLE_PASS} ? 1 : $ENV{DYNTABLE_JOBS} || 2,
		end => $ENV{DYNTABLE_HOURS} ? time + 3600 * $ENV{DYNTABLE_HOURS} : undef,
		per_pass => 40,
		%options }, $class;
}

# Whether so many definitions were to be tried as were asked for.
sub is_counted
{
	my ($self) = @_;
	return !$self->{end} && !$ENV{DYNTABLE_PASS};
}

sub run
{
	my ($self) = @_;
	my $node = DynTest::configured_node('random', 'fsync = off', 'jit = off', 'restart_after_crash = on', 'autovacuum_naptime = 60s', 'max_replication_slots = 12', 'shared_buffers = 128MB');
	$node->start;
	my %pid;
	foreach my $job (1 .. $self->{jobs})
	{
		my $database = "random_$job";
		$node->safe_psql('postgres', "CREATE DATABASE $database");
		$node->safe_psql($database, 'CREATE EXTENSION dyntable; CREATE EXTENSION citext');
		my $pid = fork();
		die "fork: $!" if !defined $pid;
		if ($pid == 0)
		{
			my $result = eval { $self->work($node, $job, $database) } // { failures => ["job $job: $@"] };
			Storable::nstore($result, "$ENV{TESTDIR}/job_$job");

			# without the parent's END blocks, which stop the server
			POSIX::_exit(0);
		}
		$pid{$job} = $pid;
	}
	waitpid($_, 0) foreach values %pid;
	$self->{result} = $self->merged;
	$node->stop;
	return $self->{result};
}

# The passes of one job.
sub work
{
	my ($self, $node, $job, $database) = @_;
	my $oracle = Oracle->new($node, $self->{seed}, refreshes => $self->{refreshes}, report => $self->{report}, database => $database);
	my $definitions = int($self->{definitions} / $self->{jobs}) + ($job <= $self->{definitions} % $self->{jobs} ? 1 : 0);
	my $pass = $ENV{DYNTABLE_PASS} || $job + ($ENV{DYNTABLE_FIRST_PASS} || 1) - 1;
	while ($self->{end} ? time < $self->{end} : $oracle->{count}{definitions} < $definitions)
	{
		my $left = $self->{end} || $ENV{DYNTABLE_PASS} ? $self->{per_pass} : $definitions - $oracle->{count}{definitions};
		eval { $oracle->run_pass($pass, $left > $self->{per_pass} ? $self->{per_pass} : int($left * 3 / 4) + 1); 1 } or $oracle->gave_up($@);
		last if $oracle->{given_up} >= 5;

		# The server walks all types that a session has seen whenever a relation changes.
		$oracle->{session}->end;
		$pass += $self->{jobs};
		last if $ENV{DYNTABLE_PASS};
	}
	return { map { $_ => $oracle->{$_} } qw(count actions constructs codes failures) };
}

sub merged
{
	my ($self) = @_;
	my $all = { count => {}, actions => {}, constructs => {}, codes => {}, failures => [] };
	foreach my $job (1 .. $self->{jobs})
	{
		my $one = eval { Storable::retrieve("$ENV{TESTDIR}/job_$job") } // { failures => ["job $job left no result"] };
		push @{ $all->{failures} }, @{ $one->{failures} };
		foreach my $kind (qw(count actions constructs codes))
		{
			$all->{$kind}{$_} += $one->{$kind}{$_} foreach keys %{ $one->{$kind} // {} };
		}
		$self->{report}->($one->{failures}[0]) if !$one->{count};
	}
	$all->{count}{$_} //= 0 foreach qw(definitions checks nonempty possible changed refused full dropped outgrown);
	return $all;
}

sub summary
{
	my ($self) = @_;
	my ($count, $actions, $codes) = @{ $self->{result} }{qw(count actions codes)};
	my $share = sub { my ($part, $whole) = @_; return $whole ? 100 * $part / $whole : 0 };
	return sprintf('random oracle: seed %d, %d definitions (%d may be full%s), %d refused, %d failed themselves, %d grew too large, refreshes with changes of %s; %d comparisons, %.1f %% of results non-empty, %.1f %% changed',
		$self->{seed}, $count->{definitions}, $count->{full}, join('', map { ", $_ $codes->{$_}" } sort keys %$codes), $count->{refused}, $count->{dropped}, $count->{outgrown},
		join(', ', map { "$_ $actions->{$_}" } sort keys %$actions),
		$count->{checks}, $share->($count->{nonempty}, $count->{checks}), $share->($count->{changed}, $count->{possible}));
}

1;
