# DynNode.pm: a server of PostgreSQL::Test that takes less time to be asked and made.
#
# psql, safe_psql and poll_query_until do what they do there.  But starting a
# process of psql takes longer than most of what it is asked, so one process
# serves all: for each script it makes a connection, which it closes at the end,
# so that a script finds a session of its own and leaves none behind; while
# something is waited for the connection stays.  Not for scripts with
# commands of psql's own, of which it would remember something.
#
# Nothing is imported that could be taken for a method of the server's.
#
# With INITDB_TEMPLATE in the environment the first server of a test is a copy of that
# cluster, also before PostgreSQL 17.  The others are not: no two
# servers that know of each other have the same system identifier.
package DynNode;

use strict;
use warnings;
use Errno ();
use IO::Socket::UNIX ();
use IPC::Open2 qw(open2);
use PostgreSQL::Test::Cluster ();
use PostgreSQL::Test::Utils ();
use Test::More ();
use Time::HiRes qw(usleep);

our @ISA = ('PostgreSQL::Test::Cluster');

my $nodes = 0;
my $clients = 0;
my @asked;

sub init
{
	my ($self, %params) = @_;
	my $template = delete local $ENV{INITDB_TEMPLATE};
	return $self->SUPER::init(%params) if $nodes++ || $params{extra} || !defined $template;
	if ($self->pg_version >= 17)
	{
		local $ENV{INITDB_TEMPLATE} = $template;
		return $self->SUPER::init(%params);
	}
	my $run = \&PostgreSQL::Test::Utils::system_or_bail;
	no warnings 'redefine';
	local *PostgreSQL::Test::Utils::system_or_bail = sub { return $run->($_[0] eq 'initdb' ? ('cp', '-RPp', $template, $self->data_dir) : @_); };
	return $self->SUPER::init(%params);
}

# As PostgreSQL::Test's: the status, and in list context output and errors.
sub psql
{
	my ($self, $dbname, $sql, %params) = @_;
	my %other = %params;
	delete @other{qw(stdout stderr on_error_stop on_error_die)};
	return $self->SUPER::psql($dbname, $sql, %params) if %other || !defined $sql || $sql =~ /\\/ || !$self->connect($dbname);
	my ($status, $out, $error) = $self->ask($sql, $params{on_error_stop} // 1);
	$self->disconnect;
	if (!wantarray)
	{
		# what nobody takes goes where psql's own would have gone
		print $out if !$params{stdout};
		print STDERR $error if !$params{stderr};
	}
	chomp($out, $error);
	${ $params{stdout} } = $out if $params{stdout};
	${ $params{stderr} } = $error if $params{stderr};
	die "error running SQL: '$error'\nwith sql '$sql'" if $params{on_error_die} && $status == 3;
	die "psql returns $status: '$error'\nwith sql '$sql'" if $params{on_error_die} && $status;
	return wantarray ? ($status, $out, $error) : $status;
}

# As PostgreSQL::Test's: ask ten times a second until the answer is as expected,
# also while there is no server to be asked.
sub poll_query_until
{
	my ($self, $dbname, $query, $expected) = @_;
	return $self->SUPER::poll_query_until($dbname, $query, $expected) if !defined $query || $query =~ /\\/;
	$expected //= 't';
	my $connected = 0;
	my ($status, $out, $error) = (0, '', '');
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$connected ||= $self->connect($dbname);
		if ($connected)
		{
			($status, $out, $error) = $self->ask($query, 0);
			chomp($out, $error);
			my $met = $out eq $expected && $error eq '';
			# an error may have left the session in the middle of something
			$connected = !$met && $error eq '' && $status == 0;
			$self->disconnect if !$connected;
			return 1 if $met;
		}
		usleep(100_000);
	}
	$self->disconnect if $connected;
	Test::More::diag "poll_query_until timed out executing this query:\n$query\nexpecting this output:\n$expected\nlast actual query output:\n$out\nwith stderr:\n$error";
	return 0;
}

# Connect the client to a database; false when that fails.
sub connect
{
	my ($self, $dbname) = @_;
	my $connection = $self->connstr($dbname);
	return 0 if $connection =~ /["\\]/;
	my $environment = $self->environment;
	my $client = $self->{client};
	my $connect = "\\set ON_ERROR_STOP 0\n\\c \"$connection\"\n";
	if (!$client || $client->{owner} != $$ || $client->{environment} ne $environment)
	{
		$self->start_client($connection, $environment);
		$connect = '';
	}
	my ($status) = $self->command($connect);
	return $status == 0;
}

# psql cannot be without a connection, it would end: let it go to a server that
# says no more than that it is there.
sub disconnect
{
	my ($self) = @_;
	my $client = $self->{client} or return;
	$self->command("\\c \"host=$client->{waiting_room} port=1\"\n", sub {
		my $peer = uninterrupted(sub { return $client->{listener}->accept });
		uninterrupted(sub { return sysread($peer, my $startup, 10000) });
		my $version = "server_version\0" . $self->pg_version . "\0";
		syswrite($peer, pack('a N N', 'R', 8, 0) . pack('a N a*', 'S', 4 + length $version, $version) . pack('a N a', 'Z', 5, 'I'));
		$client->{peer} = $peer;
	});
	return;
}

# What a call in the waiting room gives, made again when it was interrupted: PostgreSQL::Test
# may have a handler for the end of children.
sub uninterrupted
{
	my ($call) = @_;
	while (1)
	{
		$! = 0;
		my $result = $call->();
		return $result if $result;
		die "waiting room: $!" if !$!{EINTR};
	}
}

# Run a script in the session that there is.
sub ask
{
	my ($self, $sql, $stop) = @_;
	my $file = "$self->{client}{base}.sql";
	DynTest::write_script($file, $sql);
	my ($status, $out, $error) = $self->command("\\set ON_ERROR_STOP $stop\n\\i $file\n");
	$error =~ s/^psql:\Q$file\E:/psql:<stdin>:/mg;
	return ($status, $out, $error);
}

# Give the client commands and do what it waits for: 0, or the status with which
# it ended; what it printed, and its errors.
sub command
{
	my ($self, $commands, $meanwhile) = @_;
	my $client = $self->{client};
	my $end = 'end of command ' . ++$client->{sent};
	my ($in, $out) = @$client{qw(in out)};
	my ($output, $status) = ('', 0);
	local $SIG{PIPE} = 'IGNORE';
	print $in "$commands\\echo $end\n";
	$meanwhile->() if $meanwhile;
	while (1)
	{
		my $line = <$out>;
		if (!defined $line)
		{
			$status = $self->end_client;
			last;
		}
		last if $line eq "$end\n";
		$output .= $line;
	}
	return ($status, $output, $client->{errors}->());
}

# What decides how psql connects.
sub environment
{
	my ($self) = @_;
	my %env = $self->_get_env;
	return join("\n", map { "$_=$env{$_}" } grep { /^PG/ } sort keys %env);
}

# Start psql, which connects at once.  Its errors go to a file: it would wait for
# a second pipe to be read.
sub start_client
{
	my ($self, $connection, $environment) = @_;
	$self->end_client if $self->{client} && $self->{client}{owner} == $$;
	my $name = "client_$$" . '_' . ++$clients;
	my $base = "$ENV{TESTDIR}/$name";
	my $waiting_room = $self->host . "/$name";
	mkdir $waiting_room or die "$waiting_room: $!";
	my $listener = IO::Socket::UNIX->new(Local => "$waiting_room/.s.PGSQL.1", Listen => 1) or die "$waiting_room: $!";
	DynTest::write_script("$base.err", '');
	open(my $errors, '<:raw', "$base.err") or die "$base.err: $!";
	local %ENV = $self->_get_env;
	my $pid = open2(my $out, my $in, 'sh', '-c', 'exec stdbuf -oL "$0" -X -A -t -q -d "$1" 2>>"$2"', $self->installed_command('psql'), $connection, "$base.err");
	binmode $in, ':raw';
	binmode $out, ':raw';
	$in->autoflush(1);
	$self->{client} = {
		pid => $pid,
		in => $in,
		out => $out,
		errors => sub { seek($errors, 0, 1); local $/; return <$errors> // ''; },
		waiting_room => $waiting_room,
		listener => $listener,
		environment => $environment,
		base => $base,
		sent => 0,
		owner => $$ };
	push @asked, $self if !grep { $_ == $self } @asked;
	return;
}

# The status with which the client ends, never 0.
sub end_client
{
	my ($self) = @_;
	my $client = delete $self->{client} or return;
	local ($SIG{PIPE}, $?) = ('IGNORE', 0);
	print { $client->{in} } "\\q\n";
	close $client->{in};
	close $client->{out};
	waitpid($client->{pid}, 0);
	return $? & 127 ? 128 + ($? & 127) : $? >> 8 || 1;
}

# A test that dies in the middle of a command may have left the client waiting.
END
{
	foreach my $node (grep { $_->{client} && $_->{client}{owner} == $$ } @asked)
	{
		kill 'TERM', $node->{client}{pid};
		$node->end_client;
	}
}

1;
