# DynTest.pm: servers with dyntable for the TAP tests.
#
# Finds the private copy of the server under build/pg (or what is on the PATH,
# where there is none), and the server's own test modules.  initdb refuses to
# run as root: as root the test starts itself again as user postgres.
package DynTest;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp ();

our $ROOT;

BEGIN
{
	$ROOT = dirname(dirname(dirname(abs_path(__FILE__))));
	my ($tree) = glob("$ROOT/build/pg/usr/lib/postgresql/*/bin");
	if (defined $tree && -x "$tree/postgres" && index($ENV{PATH}, $tree) < 0)
	{
		$ENV{PATH} = "$tree:$ENV{PATH}";
	}
	if ($> == 0)
	{
		my $dir = File::Temp::tempdir('dyntable-tap-XXXXXX', TMPDIR => 1);
		my ($uid, $gid) = (getpwnam('postgres'))[ 2, 3 ];
		chown $uid, $gid, $dir;
		my @include = map { ref $_ ? () : '-I' . (abs_path($_) // $_) } @INC;
		chdir '/';
		my $program = $0 =~ m{^/} ? $0 : "$ENV{PWD}/$0";
		system('runuser', '-u', 'postgres', '--', 'env', "TESTDIR=$dir", "HOME=$dir", "PATH=$ENV{PATH}", $^X, @include, $program, @ARGV);
		my $status = $?;
		if ($status == 0 && !$ENV{PG_TEST_NOCLEAN}) { remove_tree($dir); }
		else { print STDERR "# server and logs of this test: $dir\n"; }
		exit($status == 0 ? 0 : ($status >> 8) || 1);
	}
	my $pgxs = `pg_config --pgxs`;
	chomp $pgxs;
	my $src = dirname(dirname($pgxs));
	unshift @INC, "$src/test/perl";
	$ENV{PG_REGRESS} //= "$src/test/regress/pg_regress";
	$ENV{TESTDIR} //= File::Temp::tempdir('dyntable-tap-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	# Newer servers' modules know these and take the current folder without them.
	$ENV{TESTDATADIR} //= "$ENV{TESTDIR}/tmp_check";
	$ENV{TESTLOGDIR} //= "$ENV{TESTDIR}/log";
}

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DynNode;

# A node that is initialised and not started; options for initdb, if any, by
# reference, then extra lines of configuration.
sub configured_node
{
	my ($name, @conf) = @_;
	my $initdb = ref $conf[0] ? shift @conf : [];
	my $node = DynNode->new($name);
	$node->init(allows_streaming => 'logical', @$initdb ? (extra => $initdb) : ());
	$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dyntable'
wal_level = logical
max_replication_slots = 10
max_worker_processes = 24
max_prepared_transactions = 20
max_connections = 60
autovacuum_naptime = 5s
jit = off
log_line_prefix = '%m [%p] %b '
CONF
	# from 18 on origins have a limit of their own, of 10
	my ($slots) = map { /^max_replication_slots = (\d+)$/ ? $1 : () } @conf;
	unshift @conf, "max_active_replication_origins = $slots" if ($slots // 0) > 10 && $node->pg_version >= 18;
	$node->append_conf('postgresql.conf', join("\n", @conf, ''));
	return $node;
}

# A running server with the extension in database postgres.
sub new_node
{
	my ($name, @conf) = @_;
	my $node = configured_node($name, @conf);
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION dyntable');
	return $node;
}

# Wait until the capture worker is there; it makes the slot for the first source.
sub wait_capture
{
	my ($node) = @_;
	$node->poll_query_until('postgres', "SELECT state IN ('idle', 'running') FROM dyntable.capture")
	  or die 'capture did not become ready';
	return;
}

sub write_script
{
	my ($file, $sql) = @_;
	open(my $handle, '>:raw', $file) or die "$file: $!";
	print $handle $sql;
	close $handle;
	return;
}

# Run a file of SQL by psql, errors in the order in which they happen.  psql
# writes to a pipe in blocks, and the errors would overtake the results.
sub run_script
{
	my ($node, $sql, $name, $database) = @_;
	my $file = "$ENV{TESTDIR}/" . ($name // 'script') . '.sql';
	write_script($file, $sql);
	my $connection = $node->connstr($database // 'postgres');
	my $output = `stdbuf -oL psql -X -A -t -q -d "$connection" -f "$file" 2>&1`;
	return $output;
}

# All processes of a server, the postmaster first.
sub processes
{
	my ($node) = @_;
	open(my $handle, '<', $node->data_dir . '/postmaster.pid') or return ();
	my $postmaster = <$handle>;
	close $handle;
	chomp $postmaster;
	my @all = ($postmaster);
	foreach my $stat (glob('/proc/[0-9]*/stat'))
	{
		open(my $h, '<', $stat) or next;
		my $line = <$h> // '';
		close $h;
		push @all, $1 if $line =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $postmaster;
	}
	return @all;
}

# Whether a process is gone, or a zombie that nobody reaps.
sub is_gone
{
	my ($pid) = @_;
	open(my $handle, '<', "/proc/$pid/stat") or return 1;
	my $line = <$handle> // '';
	return $line eq '' || $line =~ /^\d+ \(.*\) [ZX] /;
}

# kill -9 of the postmaster and all its children at once.  Where PID 1 reaps no
# orphans the postmaster stays a zombie that pg_ctl takes for a live server:
# wait for all of them to be gone or zombies, then remove the two lock files.
sub kill_server
{
	my ($node) = @_;
	# a postmaster that is stopped starts no child that we would not know of
	my ($postmaster) = processes($node);
	kill 'STOP', $postmaster;
	my @pids = processes($node);
	kill 'KILL', @pids;
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	while (grep { !is_gone($_) } @pids)
	{
		die 'killed server does not go away' if time > $limit;
		select(undef, undef, undef, 0.02);
	}
	forget_killed($node);
	return scalar @pids;
}

# Remove the lock files of a server of which no process is left.
sub forget_killed
{
	my ($node) = @_;
	unlink $node->data_dir . '/postmaster.pid';
	unlink $node->host . '/.s.PGSQL.' . $node->port, $node->host . '/.s.PGSQL.' . $node->port . '.lock';
	$node->{_pid} = undef;
	return;
}

# What a test has measured: shown, and kept for test/run to show at the end.
sub summary
{
	my ($text) = @_;
	diag $text;
	open(my $handle, '>>', "$ENV{TESTDIR}/summary") or die "summary: $!";
	print $handle "$text\n";
	close $handle;
	return;
}

1;
