# hook.pl FILE: a web hook on 127.0.0.1, for test/guide.  FILE.port gets its port, FILE a line for each
# JSON document that is posted to it.  What is not a POST of JSON is refused.
use strict;
use warnings;
use IO::Socket::INET;

my ($file) = @ARGV;
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "no port: $!";
write_line('>', "$file.port.new", $server->sockport);
rename "$file.port.new", "$file.port" or die "$file.port: $!";
while (my $client = $server->accept)
{
	my $request = <$client> // '';
	my %header;
	while (defined(my $line = <$client>))
	{
		last if $line =~ /^\r?$/;
		$header{ lc $1 } = $2 if $line =~ /^([^:]+):\s*(.*?)\r?$/;
	}
	print $client "HTTP/1.1 100 Continue\r\n\r\n" if ($header{expect} // '') =~ /100-continue/i;
	read($client, my $body, $header{'content-length'} // 0);
	my $good = $request =~ m{^POST /alerts HTTP/1\.1\r?$} && ($header{'content-type'} // '') eq 'application/json';
	$body =~ s/\s+$//;
	write_line('>>', $file, $body) if $good;
	printf $client "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", $good ? '204 No Content' : '400 Bad Request';
	close $client;
}

sub write_line
{
	my ($mode, $name, $line) = @_;
	open(my $handle, $mode, $name) or die "$name: $!";
	print $handle "$line\n";
	close $handle;
}
