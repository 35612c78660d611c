# Reduce.pm: smaller queries from a query, by its text alone.
#
# Knows as much of SQL's grammar as it takes to find the clauses of a SELECT,
# the items of a list, the inputs of a join and the parts of a condition.  What comes
# out may be wrong (a column that nobody gives any more): the server tells.  ORDER BY is
# dropped only with what depends on it, for the result has to stay determined.
package Reduce;

use strict;
use warnings;

# All queries that are one step smaller, the shortest first, without repetition.
sub candidates
{
	my ($sql, %inline) = @_;
	my @tokens = tokens($sql);
	my %seen = ($sql => 1);
	my @result;
	my $add = sub { my ($text) = @_; push @result, $text if $text =~ /\S/ && !$seen{$text}++; };
	steps([@tokens], sub { $add->(text(@_)) });

	# a part that is a query itself, in the place of all
	each_group([@tokens], sub { my ($group) = @_; $add->(text(@$group)) if is_query(@$group) });

	# a view or a dynamic table replaced by what it says
	foreach my $name (sort keys %inline)
	{
		(my $other = $sql) =~ s/\Q$name\E\b/($inline{$name})/;
		$add->($other) if $other ne $sql;
	}
	return sort { length $a <=> length $b } @result;
}

# Tokens; what stands in parentheses is an array of tokens.
sub tokens
{
	my ($sql) = @_;
	my @stack = ([]);
	while ($sql =~ /\G\s*('(?:[^']|'')*'|"(?:[^"]|"")*"|[\w.\$]+|::|[<>=!~@?&|*%\/+-]+|\S)/g)
	{
		my $token = $1;
		if ($token eq '(')
		{
			push @stack, [];
		}
		elsif ($token eq ')')
		{
			my $group = pop @stack;
			push @{ $stack[-1] }, $group;
		}
		else
		{
			push @{ $stack[-1] }, $token;
		}
	}
	return @{ $stack[0] };
}

sub text
{
	my @parts = map { ref $_ ? '(' . text(@$_) . ')' : $_ } @_;
	my $text = join(' ', @parts);
	$text =~ s/ (?=[,;)\]]|::)//g;
	$text =~ s/(?<=\[|:) //g;
	$text =~ s/ \[/[/g;
	return $text;
}

sub is_query
{
	my ($first) = @_;
	return defined $first && !ref $first && $first =~ /^(SELECT|WITH)$/ || ref $first && is_query(@$first);
}

sub each_group
{
	my ($list, $do) = @_;
	foreach my $token (@$list)
	{
		next if !ref $token;
		$do->($token);
		each_group($token, $do);
	}
	return;
}

# Calls $emit with each smaller form of the list; what is smaller inside a
# parenthesis makes the whole smaller.
sub steps
{
	my ($list, $emit) = @_;
	foreach my $i (0 .. $#$list)
	{
		next if !ref $list->[$i];
		my @rest = @$list;
		my $around = sub { $emit->(@rest[ 0 .. $i - 1 ], [@_], @rest[ $i + 1 .. $#rest ]) };
		steps($list->[$i], $around);
	}
	if (is_query(@$list)) { query_steps($list, $emit); }
	else { expression_steps($list, $emit); }
	return;
}

# Split a list at tokens that match, outside parentheses and CASE.
sub split_at
{
	my ($pattern, @list) = @_;
	my @parts = ([]);
	my ($case, $between) = (0, 0);
	my @at;
	foreach my $token (@list)
	{
		my $word = ref $token ? '' : $token;
		$case++ if $word eq 'CASE';
		$case-- if $word eq 'END';
		$between = 1 if $word eq 'BETWEEN';
		if ($case == 0 && $word =~ /^(?:$pattern)$/ && !($word eq 'AND' && $between))
		{
			push @at, $word;
			push @parts, [];
			next;
		}
		$between = 0 if $word eq 'AND';
		push @{ $parts[-1] }, $token;
	}
	return (\@parts, \@at);
}

my $CLAUSES = 'SELECT|FROM|WHERE|GROUP|HAVING|WINDOW|ORDER|LIMIT|OFFSET|FETCH';

sub query_steps
{
	my ($list, $emit) = @_;

	# branches of a set operation
	my ($branches, $operations) = split_at('UNION|INTERSECT|EXCEPT', @$list);
	if (@$operations)
	{
		foreach my $i (0 .. $#$branches)
		{
			my @branch = @{ $branches->[$i] };
			shift @branch if $i > 0 && @branch && !ref $branch[0] && $branch[0] eq 'ALL';
			$emit->(@branch);
			my $outside = sub {
				my @out;
				foreach my $j (0 .. $#$branches)
				{
					push @out, $operations->[ $j - 1 ] if $j > 0;
					my $all = $j > 0 && $j == $i && $branches->[$j][0] eq 'ALL';
					push @out, $j == $i ? ($all ? 'ALL' : (), @_) : @{ $branches->[$j] };
				}
				$emit->(@out);
			};
			query_steps(\@branch, $outside) if is_query(@branch) && !ref $branch[0];
		}
		return;
	}
	if (!ref $list->[0] && $list->[0] eq 'WITH')
	{
		with_steps($list, $emit);
		return;
	}
	my @clauses;
	foreach my $token (@$list)
	{
		my $word = ref $token ? '' : $token;
		if ($word =~ /^(?:$CLAUSES)$/ && !(@clauses && !ref $clauses[-1][-1] && $clauses[-1][-1] eq 'DISTINCT')) { push @clauses, [$token]; }
		elsif (@clauses) { push @{ $clauses[-1] }, $token; }
	}
	my $with = sub {
		my ($i, @clause) = @_;
		$emit->(map { $_ == $i ? @clause : @{ $clauses[$_] } } 0 .. $#clauses);
	};
	my ($order) = grep { $clauses[$_][0] eq 'ORDER' } 0 .. $#clauses;
	foreach my $i (0 .. $#clauses)
	{
		my ($kind, @body) = @{ $clauses[$i] };
		$with->($i) if $kind =~ /^(WHERE|HAVING|GROUP|WINDOW)$/;
		list_steps($i, $kind, \@body, $with) if $kind eq 'SELECT';
		comma_steps($i, [ 'GROUP', 'BY' ], [ @body[ 1 .. $#body ] ], $with) if $kind eq 'GROUP';
		from_steps($i, \@body, $with) if $kind eq 'FROM';
		condition_steps(\@body, sub { $with->($i, $kind, @_) }) if $kind =~ /^(WHERE|HAVING)$/;
	}

	# the order goes with what it decides
	my @kept = grep { $_->[0] !~ /^(ORDER|LIMIT|OFFSET|FETCH)$/ } @clauses;

	# a query in parentheses has no clauses of its own but these
	return if !@kept;
	my @plain = map { [@$_] } @kept;
	splice(@{ $plain[0] }, 1, 3) if @{ $plain[0] } > 3 && !ref $plain[0][2] && $plain[0][1] eq 'DISTINCT' && $plain[0][2] eq 'ON';
	$emit->(map { @$_ } @plain) if defined $order || @kept < @clauses;
	return;
}

sub with_steps
{
	my ($list, $emit) = @_;
	my @rest = @$list;
	shift @rest;
	return if !ref $rest[0] && $rest[0] eq 'RECURSIVE';
	my $name = shift @rest;
	shift @rest while @rest && !ref $rest[0];
	my $inner = shift @rest;
	if (@rest && !ref $rest[0] && $rest[0] eq ',')
	{
		shift @rest;
		$emit->('WITH', inlined($name, $inner, @rest));
		return;
	}
	$emit->(@rest);
	$emit->(inlined($name, $inner, @rest));
	my @head = @$list[ 0 .. $#$list - @rest ];
	query_steps(\@rest, sub { $emit->(@head, @_) });
	return;
}

sub inlined
{
	my ($name, $inner, @tokens) = @_;
	return map { ref $_ ? [ inlined($name, $inner, @$_) ] : $_ eq $name ? $inner : $_ } @tokens;
}

sub list_steps
{
	my ($i, $kind, $body, $with) = @_;
	my @body = @$body;
	my @head = ($kind);
	if (@body && !ref $body[0] && $body[0] eq 'DISTINCT')
	{
		push @head, shift @body;
		if (@body && !ref $body[0] && $body[0] eq 'ON') { push @head, splice(@body, 0, 2); }
		else { $with->($i, $kind, @body); }
	}
	comma_steps($i, \@head, \@body, $with);
	my ($items) = split_at(',', @body);
	foreach my $n (0 .. $#$items)
	{
		# an expression becomes something plain of the same name
		my @item = @{ $items->[$n] };
		next if @item < 4 || ref $item[-2] || $item[-2] ne 'AS';
		my @columns = column_names(@item[ 0 .. $#item - 2 ]);
		foreach my $plain (@columns[ 0 .. ($#columns > 1 ? 1 : $#columns) ], '1')
		{
			$with->($i, @head, joined(',', map { $_ == $n ? [ $plain, 'AS', $item[-1] ] : $items->[$_] } 0 .. $#$items));
		}
		expression_steps([ @item[ 0 .. $#item - 2 ] ], sub {
			my @smaller = @_;
			$with->($i, @head, joined(',', map { $_ == $n ? [ @smaller, 'AS', $item[-1] ] : $items->[$_] } 0 .. $#$items));
		});
	}
	return;
}

sub column_names
{
	my %seen;
	return grep { /^r\d+\.\w+$/ && !$seen{$_}++ } map { ref $_ ? column_names(@$_) : $_ } @_;
}

sub joined
{
	my ($between, @parts) = @_;
	return map { ($_ ? ($between) : (), @{ $parts[$_] }) } 0 .. $#parts;
}

# A list without each of its items, and without each half.
sub comma_steps
{
	my ($i, $head, $body, $with) = @_;
	my ($items) = split_at(',', @$body);
	return if @$items < 2;
	foreach my $n (0 .. $#$items)
	{
		$with->($i, @$head, joined(',', @$items[ grep { $_ != $n } 0 .. $#$items ]));
	}
	my $half = int(@$items / 2);
	$with->($i, @$head, joined(',', @$items[ 0 .. $half - 1 ]));
	$with->($i, @$head, joined(',', @$items[ $half .. $#$items ]));
	return;
}

# The inputs of FROM: one less, or an outer join that is an inner one.
sub from_steps
{
	my ($i, $body, $with) = @_;
	comma_steps($i, ['FROM'], $body, $with);
	my @body = @$body;
	my (@inputs, $new);
	foreach my $token (@body)
	{
		my $word = ref $token ? '' : $token;
		if ($word =~ /^(NATURAL|LEFT|RIGHT|FULL|INNER|CROSS|JOIN|OUTER)$/ && !$new)
		{
			push @inputs, [];
			$new = 1;
		}
		$new = 0 if $word !~ /^(NATURAL|LEFT|RIGHT|FULL|INNER|CROSS|JOIN|OUTER)$/;
		push @inputs, [] if !@inputs;
		push @{ $inputs[-1] }, $token;
	}
	return if @inputs < 2;
	foreach my $n (0 .. $#inputs)
	{
		my @kept = map { [@$_] } @inputs[ grep { $_ != $n } 0 .. $#inputs ];
		if ($n == 0)
		{
			# the next one is the first: without its JOIN and ON
			shift @{ $kept[0] } while @{ $kept[0] } && !ref $kept[0][0] && $kept[0][0] =~ /^(NATURAL|LEFT|RIGHT|FULL|INNER|CROSS|JOIN|OUTER)$/;
			my ($on) = grep { !ref $kept[0][$_] && $kept[0][$_] =~ /^(ON|USING)$/ } 0 .. $#{ $kept[0] };
			splice(@{ $kept[0] }, $on) if defined $on;
		}
		$with->($i, 'FROM', map { @$_ } @kept);
		my @input = @{ $inputs[$n] };
		my @inner = grep { ref $_ || !/^(LEFT|RIGHT|FULL|OUTER|NATURAL)$/ } @input;
		$with->($i, 'FROM', map { $_ == $n ? @inner : @{ $inputs[$_] } } 0 .. $#inputs) if @inner < @input;
		my ($on) = grep { !ref $input[$_] && $input[$_] eq 'ON' } 0 .. $#input;
		next if !defined $on;
		condition_steps([ @input[ $on + 1 .. $#input ] ], sub {
			my @smaller = @_;
			$with->($i, 'FROM', map { $_ == $n ? (@input[ 0 .. $on ], @smaller) : @{ $inputs[$_] } } 0 .. $#inputs);
		});
	}
	return;
}

# A condition without one of its parts.
sub condition_steps
{
	my ($body, $emit) = @_;
	foreach my $word ('AND', 'OR')
	{
		my ($parts, $at) = split_at($word, @$body);
		next if !@$at;
		foreach my $n (0 .. $#$parts)
		{
			$emit->(joined($word, @$parts[ grep { $_ != $n } 0 .. $#$parts ]));
			condition_steps($parts->[$n], sub {
				my @smaller = @_;
				$emit->(joined($word, map { $_ == $n ? [@smaller] : $parts->[$_] } 0 .. $#$parts));
			});
		}
		return;
	}
	expression_steps($body, $emit);
	return;
}

# What stands alone in parentheses, after NOT, between THEN and END.
sub expression_steps
{
	my ($list, $emit) = @_;
	my @list = @$list;
	if (@list == 1 && ref $list[0] && !is_query(@{ $list[0] }))
	{
		$emit->(@{ $list[0] });
		condition_steps($list[0], sub { $emit->([@_]) });
	}
	if (@list == 2 && !ref $list[0] && ref $list[1] && $list[0] =~ /^(NOT|coalesce|upper|abs|round|greatest|nullif)$/ && !is_query(@{ $list[1] }))
	{
		my ($arguments) = split_at(',', @{ $list[1] });
		$emit->(@{ $arguments->[0] });
	}
	return if !@list || ref $list[0] || $list[0] ne 'CASE' || ref $list[-1] || $list[-1] ne 'END';
	my ($parts) = split_at('WHEN|THEN|ELSE', @list[ 1 .. $#list - 1 ]);
	$emit->(@$_) foreach grep { @$_ } @$parts;
	return;
}

1;
