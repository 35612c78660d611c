# DynSession.pm: a session of psql that stays open, for tests in which one
# transaction waits for another or looks at what another does.
#
#   my $s = DynSession->new($node);
#   $s->do('BEGIN; ...');          wait for the end, return all output
#   $s->send('UPDATE ...');        do not wait;
#   $s->await_blocked;             it waits for a lock, then
#   $s->result;                    what it has given in the end
#
# Errors are in the output as "ERROR:  SQLSTATE: message".
package DynSession;

use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils ();

sub new
{
	my ($class, $node) = @_;
	my $self = bless { node => $node, in => '', out => '', sent => 0 }, $class;
	$self->{run} = IPC::Run::start(
		[ 'stdbuf', '-oL', 'psql', '-X', '-A', '-t', '-q', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres') ],
		'<', \$self->{in}, '>&', \$self->{out});
	($self->{pid}) = $self->do('SELECT pg_backend_pid()') =~ /(\d+)/;
	return $self;
}

sub send
{
	my ($self, $sql) = @_;
	$self->{sent}++;
	$self->{in} .= "$sql;\n\\echo end of $self->{sent}\n";
	$self->{run}->pump_nb;
	return;
}

sub result
{
	my ($self) = @_;
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	my $end = "end of $self->{sent}\n";
	while (index($self->{out}, $end) < 0)
	{
		die "no answer: $self->{out}" if time > $limit || !$self->{run}->pumpable;
		$self->{run}->pump_nb;
		select(undef, undef, undef, 0.002);
	}
	my $result = substr($self->{out}, 0, index($self->{out}, $end), '');
	$self->{out} = substr($self->{out}, length $end);
	# where an error was reported is of no interest
	$result =~ s/^(?:LOCATION|LINE \d+|QUERY|CONTEXT|DETAIL|HINT|STATEMENT):.*\n//mg;
	chomp $result;
	return $result;
}

sub do
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->result;
}

# Wait until what was sent waits for a lock.
sub await_blocked
{
	my ($self) = @_;
	$self->{run}->pump_nb;
	$self->{node}->poll_query_until('postgres', "SELECT cardinality(pg_blocking_pids($self->{pid})) > 0") or die "not blocked: $self->{out}";
	return;
}

sub end
{
	my ($self) = @_;
	$self->{in} .= "\\q\n";
	$self->{run}->finish;
	return;
}

1;
