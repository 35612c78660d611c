# DynScript.pm: a session of psql that stays open and runs one script after the
# other.  It starts faster than a new one, and what the server keeps for a
# session (caches, plans) serves the next script as it does in a refresh worker.
#
#   my $script = DynScript->new($node, $database);
#   my $output = $script->run($sql, $name);      errors in the order in which they happen
#   $script->end;                                the next one starts a new session
package DynScript;

use strict;
use warnings;
use DynTest;
use IPC::Open2 qw(open2);

sub new
{
	my ($class, $node, $database) = @_;
	return bless { node => $node, database => $database // 'postgres', sent => 0 }, $class;
}

# Everything psql says.  When it loses its connection it ends, and says so.
sub run
{
	my ($self, $sql, $name) = @_;
	my $file = "$ENV{TESTDIR}/" . ($name // 'script') . "_$self->{database}.sql";
	DynTest::write_script($file, "RESET ALL;\n$sql");
	$self->start if !$self->{pid};
	my $end = 'end of script ' . ++$self->{sent};
	my ($in, $out) = @$self{qw(in out)};
	my $output = '';
	local $SIG{PIPE} = 'IGNORE';
	print $in "\\i $file\n\\echo $end\n";
	while (defined(my $line = <$out>))
	{
		return $output if $line eq "$end\n";
		$output .= $line;
	}
	$self->end;
	return $output;
}

sub start
{
	my ($self) = @_;
	$self->{pid} = open2(my $out, my $in, 'sh', '-c', 'exec stdbuf -oL psql -X -A -t -q -d "$0" 2>&1', $self->{node}->connstr($self->{database}));
	binmode $in, ':raw';
	binmode $out, ':raw';
	$in->autoflush(1);
	@$self{qw(in out)} = ($in, $out);
	return;
}

sub end
{
	my ($self) = @_;
	return if !$self->{pid};
	local $SIG{PIPE} = 'IGNORE';
	close $self->{in};
	close $self->{out};
	waitpid($self->{pid}, 0);
	delete $self->{pid};
	return;
}

1;
