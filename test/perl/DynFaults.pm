# DynFaults.pm: what befalls a server, done to that of a test and to no other.
package DynFaults;

use strict;
use warnings;
use DynTest;
use IPC::Run ();
use Test::More;

my $sessions = 0;

# Errors that a client may get when processes are killed, cancelled or told to
# end under it, or while change capture is not there.
my $disturbances = join('|', 'server closed the connection', 'connection to server', 'terminating connection', 'could not receive data',
	'the database system is', 'canceling statement', 'crash of another server process', 'has disappeared', 'deadlock detected',
	'could not serialize access', 'change capture has not reached', 'change capture was started anew', 'registrar process ended without');
our $DISTURBANCE = qr/$disturbances/;

# The processes of one kind (capture, scheduler, refresh worker, registrar,
# launcher): their ids.  From /proc, so that a server that accepts nobody can be asked.
sub workers
{
	my ($node, $kind) = @_;
	my @found;
	foreach my $pid (DynTest::processes($node))
	{
		open(my $handle, '<', "/proc/$pid/cmdline") or next;
		my $title = <$handle> // '';
		push @found, $pid if $title =~ /^postgres: (?:\S+: )?dyntable \Q$kind\E/;
	}
	return @found;
}

# One process of a kind, waited for.
sub worker
{
	my ($node, $kind) = @_;
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	my @found;
	until (@found = workers($node, $kind))
	{
		die "no process dyntable $kind" if time > $limit;
		select(undef, undef, undef, 0.01);
	}
	return $found[0];
}

# Start a session that runs SQL up to its first error: where its output goes,
# and the process.  The SQL comes from a file: a server started meanwhile would
# keep the other end of a pipe open, and psql would wait for more.
sub session
{
	my ($node, $sql) = @_;
	my $file = "$ENV{TESTDIR}/session_" . $sessions++ % 100 . '.sql';
	open(my $handle, '>', $file) or die "$file: $!";
	print $handle $sql;
	close $handle;
	my $output = '';
	my $process = IPC::Run::start([ 'psql', '-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ],
		'<', \undef, '>&', \$output);
	return (\$output, $process);
}

# Whether SQL runs without an error; psql() dies where there is no connection.
sub succeeds
{
	my ($node, $sql) = @_;
	my ($status, $out, $error);
	eval { ($status, $out, $error) = $node->psql('postgres', $sql, on_error_stop => 1); };
	return defined $status && $status == 0;
}

sub wait_gone
{
	my @pids = @_;
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	while (grep { !DynTest::is_gone($_) } @pids)
	{
		die 'killed process does not go away' if time > $limit;
		select(undef, undef, undef, 0.01);
	}
	return;
}

# Wait until the server takes connections again after a process of it was killed.
sub wait_up
{
	my ($node) = @_;
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	while (1)
	{
		return if succeeds($node, 'SELECT 1');
		die 'server does not come back' if time > $limit;
		select(undef, undef, undef, 0.05);
	}
}

# Kill a process of the server; the postmaster then ends all others and starts anew.
sub crash
{
	my ($node, $pid) = @_;
	my $launcher = worker($node, 'launcher');
	kill 'KILL', $pid;
	wait_gone($pid, $launcher);
	return wait_up($node);
}

# kill -9 of the postmaster alone: its children have to find out.
sub kill_postmaster
{
	my ($node) = @_;
	my ($postmaster, @children) = DynTest::processes($node);
	kill 'KILL', $postmaster;
	wait_gone($postmaster, @children);
	DynTest::forget_killed($node);
	return;
}

# End whoever holds the slot until the statement got hold of it or its origin.
sub without_worker
{
	my ($node, $sql) = @_;
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	while (1)
	{
		return 1 if succeeds($node, <<"SQL");
SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE backend_type = 'dyntable capture' AND datname = current_database();
$sql
SQL
		die "could not run without the capture worker: $sql" if time > $limit;
	}
}

1;
