# Dice.pm: the random numbers of the randomised oracle.
#
# One stream per purpose ("definition 17 of pass 3", "batch 4 of pass 3"), so
# that a definition or a batch can be made again without those before it.  Not
# perl's rand(): its sequence is shared by everything in the process.
package Dice;

use strict;
use warnings;
use Digest::MD5 qw(md5);

sub new
{
	my ($class, @purpose) = @_;
	my $state = unpack('Q', md5(join('/', @purpose))) || 1;
	return bless { state => $state }, $class;
}

# xorshift64
sub fraction
{
	my ($self) = @_;
	my $x = $self->{state};
	$x ^= $x << 13;
	$x ^= $x >> 7;
	$x ^= $x << 17;
	$self->{state} = $x;
	return ($x >> 11) / 9007199254740992;
}

# an integer from $low to $high, both included
sub range
{
	my ($self, $low, $high) = @_;
	return $low + int($self->fraction * ($high - $low + 1));
}

sub chance
{
	my ($self, $probability) = @_;
	return $self->fraction < $probability;
}

sub pick
{
	my ($self, @list) = @_;
	return $list[ $self->range(0, $#list) ];
}

# pick from (value => weight, ...), in the order given
sub weighted
{
	my ($self, @pairs) = @_;
	my $sum = 0;
	for (my $i = 1; $i < @pairs; $i += 2) { $sum += $pairs[$i]; }
	my $at = $self->fraction * $sum;
	for (my $i = 0; $i < @pairs; $i += 2)
	{
		$at -= $pairs[ $i + 1 ];
		return $pairs[$i] if $at < 0;
	}
	return $pairs[-2];
}

sub shuffle
{
	my ($self, @list) = @_;
	for (my $i = $#list; $i > 0; $i--)
	{
		my $j = $self->range(0, $i);
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

1;
