# Joins.pm: joins of the random definitions: inner joins as most people write
# them, outer joins, trees of joins of all kinds, joins of many inputs.  A part
# of Generator.pm.
package Joins;

use strict;
use warnings;

# Pairs of columns on which two inputs can be joined, the best ones only.
sub join_pairs
{
	my ($left, $right) = @_;
	my %class = (int => 'i', big => 'i', n2 => 'n', num => 'n', text => 't', date => 'd', ci => 'c');
	my (@good, @other);
	foreach my $l (@$left)
	{
		foreach my $r (@$right)
		{
			next if !$class{ $l->{t} } || !$class{ $r->{t} } || $class{ $l->{t} } ne $class{ $r->{t} };
			if ($l->{d} ne 'x' && $l->{d} eq $r->{d}) { push @good, [ $l, $r ]; }
			else { push @other, [ $l, $r ]; }
		}
	}
	return @good ? @good : @other;
}

# The condition that links a new input to those before it, or undef.
sub link_condition
{
	my ($self, $left, $right, $extra) = @_;
	my $dice = $self->{dice};
	my @pairs = join_pairs($left, $right);
	return undef if !@pairs;
	my ($l, $r) = @{ $dice->pick(@pairs) };
	my $condition = "$l->{r} = $r->{r}";
	$condition = "$l->{r} + 1 = $r->{r}" if $l->{t} eq 'int' && $dice->chance(0.1);
	$condition = "upper($l->{r}) = upper($r->{r})" if $l->{t} eq 'text' && $dice->chance(0.3);
	if ($dice->chance(0.2))
	{
		my ($l2, $r2) = @{ $dice->pick(@pairs) };
		$condition .= " AND $l2->{r} = $r2->{r}" if $l2->{r} ne $l->{r} && $r2->{r} ne $r->{r};
	}
	if ($dice->chance($extra))
	{
		my @l = Expressions::of_type($left, 'int', 'big');
		my @r = Expressions::of_type($right, 'int', 'big');
		if (@l && @r && $dice->chance(0.5))
		{
			$condition .= ' AND ' . $dice->pick(@l)->{r} . ' ' . $dice->pick('<', '<>', '>=') . ' ' . $dice->pick(@r)->{r};
		}
		else
		{
			$condition .= ' AND ' . $self->predicate($dice->chance(0.5) ? $left : $right, 0);
		}
	}
	return $condition;
}

# A condition that is no equality of columns: ranges, inequalities, equalities of what both
# sides give together, constants.  Narrow ones, for the result is to stay small.
sub loose_condition
{
	my ($self, $left, $right) = @_;
	my $dice = $self->{dice};
	my @l = Expressions::of_type($left, 'int', 'big');
	my @r = Expressions::of_type($right, 'int', 'big');
	return undef if !@l || !@r;
	my ($l, $r) = ($dice->pick(@l)->{r}, $dice->pick(@r)->{r});
	my $form = $dice->range(0, 5);
	return "$l BETWEEN $r AND $r + " . $dice->range(0, 2) if $form == 0;
	return "$l + $r = " . $dice->range(5, 30) if $form == 1;
	return "$l < $r AND $l > $r - 3" if $form == 2;
	return "$l = " . $dice->range(0, 6) . " AND $r <> $l" if $form == 3;
	return "($l = $r OR $l = $r + 1 AND " . $self->predicate($right, 0) . ')' if $form == 4;
	return "$l > $r + " . $dice->range(10, 20);
}

sub make_join
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $inputs = $dice->weighted(2 => 6, 3 => 3, 4 => 1.5);
	my ($from, @cols, @conditions, $first);
	my $comma = $dice->chance(0.3);
	for my $i (1 .. $inputs)
	{
		# a self join now and then: the same thing again
		my $input = $first && $dice->chance(0.25) ? $first : $source->();
		$self->{used}{self_join} = 1 if $first && $input->{from} eq $first->{from};
		$first //= $input;
		my $alias = $self->alias;
		my @new = Generator::references($input, $alias);
		if (!defined $from)
		{
			$from = "$input->{from} AS $alias";
			@cols = @new;
			next;
		}
		my $condition = $self->link_condition(\@cols, \@new, 0.2);
		next if !defined $condition;
		my @shared = grep { my $n = $_; grep { $_->{n} eq $n->{n} && $_->{t} eq $n->{t} && $_->{d} eq $n->{d} && $n->{d} ne 'x' } @cols } @new;
		if ($i == 2 && $inputs == 2 && @shared && $dice->chance(0.25))
		{
			$self->{used}{using} = 1;
			$from .= " JOIN $input->{from} AS $alias USING (" . $dice->pick(@shared)->{n} . ')';
		}
		elsif ($comma)
		{
			$from .= ", $input->{from} AS $alias";
			push @conditions, $condition;
		}
		else
		{
			$condition .= ' AND ' . $self->sublink([ @cols, @new ], 'on') if $self->may_nest(0.04);
			$from .= " JOIN $input->{from} AS $alias ON $condition";
		}
		push @cols, @new;
		$self->{used}{"join$i"} = 1;
	}
	push @conditions, $self->predicate(\@cols) if $dice->chance(0.3);
	push @conditions, $self->sublink(\@cols, 'where') if $self->may_nest(0.06);
	push @conditions, grep { defined } $self->moving_condition(\@cols) if $dice->chance(0.1);
	my $out = $self->output(\@cols, 3, 7);
	$self->written($out, $is_top);
	return {
		sql => "SELECT $out->{list} FROM $from" . (@conditions ? ' WHERE ' . join(' AND ', @conditions) : ''),
		cols => $out->{cols} };
}

sub make_outer
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $inputs = $dice->weighted(2 => 7, 3 => 3);
	my ($from, @cols, @right);
	for my $i (1 .. $inputs)
	{
		my $input = $source->();
		my $alias = $self->alias;
		my @new = Generator::references($input, $alias);
		if (!defined $from)
		{
			$from = "$input->{from} AS $alias";
			@cols = @new;
			next;
		}
		my $kind = $i == 2 ? $dice->weighted(LEFT => 5, RIGHT => 2, FULL => 4) : $dice->weighted(LEFT => 5, FULL => 2, INNER => 2);
		my $condition = $self->link_condition(\@cols, \@new, 0.3);
		next if !defined $condition;
		$from .= " $kind JOIN $input->{from} AS $alias ON $condition";
		push @cols, @new;
		push @right, @new;
		$self->{used}{ lc($kind) . '_join' } = 1;
	}
	my $where = '';
	if (@right && $dice->chance(0.25))
	{
		my $c = $dice->pick(@right);
		$where = ' WHERE ' . $dice->pick("$c->{r} IS NULL", "$c->{r} IS NOT NULL", $self->predicate(\@cols, 0),
			'coalesce(' . $self->predicate(\@right, 0) . ', true)');
	}
	elsif ($self->may_nest(0.08))
	{
		$where = ' WHERE ' . $self->sublink(\@cols, 'where');
	}
	elsif ($dice->chance(0.05))
	{
		my $condition = $self->moving_condition([ Expressions::still(@cols) ]);
		$where = " WHERE $condition" if defined $condition;
	}
	my $out = $self->output([ Expressions::still(@cols) ], 3, 7);
	$self->written($out, $is_top);
	return { sql => "SELECT $out->{list} FROM $from$where", cols => $out->{cols} };
}

# --- trees ---------------------------------------------------------------

# A tree of joins over so many inputs: { from, cols, single }.
sub tree
{
	my ($self, $source, $inputs) = @_;
	my $dice = $self->{dice};
	if ($inputs == 1)
	{
		my $input = $source->();
		my $alias = $self->alias;
		return { from => "$input->{from} AS $alias", cols => [ Generator::references($input, $alias) ] };
	}
	my $at = $dice->range(1, $inputs - 1);
	my $left = $self->tree($source, $at);
	my $right = $self->tree($source, $inputs - $at);
	my @cols = (@{ $left->{cols} }, @{ $right->{cols} });
	my $kind = $dice->weighted(INNER => 4, LEFT => 5, RIGHT => 3, FULL => 3);
	$self->{used}{nested_join} = 1 if $inputs - $at > 1;
	$self->{used}{ lc($kind) . '_join' } = 1;
	my $condition;
	if ($kind ne 'FULL' && $dice->chance(0.2))
	{
		$condition = $self->loose_condition($left->{cols}, $right->{cols});
		$self->{used}{loose_join} = 1 if defined $condition;
		$self->{used}{loose_outer_join} = 1 if defined $condition && $kind ne 'INNER';
	}
	$condition //= $self->link_condition($left->{cols}, $right->{cols}, 0.35);
	$condition //= $kind eq 'FULL' ? '1 = 1' : 'true';
	if ($kind ne 'FULL' && $condition ne 'true' && $dice->chance(0.08))
	{
		my $moving = $self->moving_condition($dice->chance(0.5) ? $left->{cols} : $right->{cols});
		$condition .= " AND $moving" if defined $moving;
		$self->{used}{moving_in_on} = 1 if defined $moving;
	}
	if ($kind ne 'FULL' && $self->may_nest(0.05))
	{
		$self->{used}{subquery_in_outer_on} = 1 if $kind ne 'INNER';
		$condition .= ' AND ' . $self->sublink($dice->chance(0.5) ? $right->{cols} : \@cols, 'on');
	}
	my $word = $kind eq 'INNER' ? $dice->pick('JOIN', 'INNER JOIN') : $dice->chance(0.5) ? "$kind JOIN" : "$kind OUTER JOIN";
	my $open = $inputs - $at > 1 ? '(' : '';
	my $close = $open ? ')' : '';
	my $from = "$left->{from} $word $open$right->{from}$close ON $condition";
	return { from => $from, cols => $kind eq 'INNER' ? \@cols : [ Expressions::still(@cols) ] };
}

sub make_tree
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $tree = $self->tree($source, $dice->weighted(2 => 3, 3 => 5, 4 => 3, 5 => 1));
	my @cols = @{ $tree->{cols} };
	my $out = $self->output(\@cols, 3, 7);
	$self->written($out, $is_top);
	return { sql => "SELECT $out->{list} FROM $tree->{from}" . $self->where(\@cols, 0.3, 0.05), cols => $out->{cols} };
}

# NATURAL and USING with several columns, over subqueries that share the names
# of some columns only; CROSS JOIN with something small.
sub make_natural
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $side = sub {
		my ($suffix) = @_;
		my $input = $source->();
		my $alias = $self->alias;
		my @cols = Generator::references($input, $alias);
		my @keys = grep { $_->{d} =~ /^[kg]$/ && $_->{t} eq 'int' } @cols;
		@keys = Expressions::of_type(\@cols, 'int') if !@keys;
		my $key = @keys ? $dice->pick(@keys) : { r => $self->expression(\@cols, 'int', 1), t => 'int', d => 'x' };
		my $other = $dice->pick(@cols);
		return { from => "(SELECT $key->{r} AS k, $other->{r} AS o$suffix FROM $input->{from} AS $alias" . $self->where(\@cols, 0.3, 0) . ')',
			cols => [ { n => 'k', t => 'int', d => $key->{d} }, { n => "o$suffix", t => $other->{t}, d => $other->{d}, lin => $other->{lin} } ] };
	};
	my ($l, $r) = ($side->(1), $side->(2));
	my ($la, $ra) = ($self->alias, $self->alias);
	my $form = $dice->weighted(natural => 5, using => 4, cross => 2);
	my @cols = (Generator::references($l, $la), Generator::references($r, $ra));
	my ($join, $tail) = ('', '');
	$self->{used}{$form} = 1;
	if ($form eq 'cross')
	{
		$join = 'CROSS JOIN ' . $dice->pick("(SELECT count(*) AS k, max(o2) AS o2 FROM $r->{from} q)", "(SELECT DISTINCT k, NULL::integer AS o2 FROM $r->{from} q WHERE k < 4)") . " AS $ra";
		$join = "CROSS JOIN (SELECT count(*)::integer AS k, count(o2)::integer AS o2 FROM $r->{from} q) AS $ra" if $cols[3]{t} !~ /^int$/;
		$cols[3]{t} = 'int';
		$cols[2]{r} = "$ra.k::integer";
	}
	else
	{
		my $kind = $dice->weighted('' => 4, 'LEFT ' => 3, 'RIGHT ' => 2, 'FULL ' => 3);
		$join = ($form eq 'natural' ? 'NATURAL ' : '') . "${kind}JOIN $r->{from} AS $ra" . ($form eq 'using' ? ' USING (k)' : '');

		# the merged column, which is coalesce of both in a FULL join
		unshift @cols, { n => 'k', t => 'int', d => $cols[0]{d}, r => 'k' };
		splice(@cols, 1, 1);
		splice(@cols, 2, 1);
		@cols = Expressions::still(@cols) if $kind ne '';
	}
	$_->{lin} = 0 foreach @cols[ 1 .. $#cols ];
	my $out = $self->output(\@cols, 2, 5);
	$self->written($out, $is_top);
	return { sql => "SELECT $out->{list} FROM $l->{from} AS $la $join" . $self->where(\@cols, 0.3, 0), cols => $out->{cols} };
}

# Many inputs, each with few rows per key.
sub make_wide
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $inputs = $dice->range(5, 10);
	my @leaves = grep { grep { $_->{d} eq 'k' } @{ $_->{cols} } } @{ $self->{leaves} };
	return $self->make_join($depth, $source, $is_top) if !@leaves;
	$self->{used}{wide_join} = 1;
	my ($from, @cols, @conditions);
	my $comma = $dice->chance(0.25);
	foreach my $i (1 .. $inputs)
	{
		my $leaf = $self->take(@leaves);
		my $alias = $self->alias;
		my ($k) = map { $_->{n} } grep { $_->{d} eq 'k' } @{ $leaf->{cols} };
		my $number = (map { $_->{n} } Expressions::of_type($leaf->{cols}, 'int', 'big'))[0] // $k;
		my $read =
			$i == 1 ? "(SELECT $k AS k, $number AS n FROM $leaf->{name} AS q)"
		  : $dice->chance(0.3) ? "(SELECT DISTINCT $k AS k, 1 AS n FROM $leaf->{name} AS q WHERE $k % 2 = " . $dice->range(0, 1) . ')'
		  : "(SELECT $k AS k, " . $dice->pick('count(*)', "max($number)", "sum($number)") . "::bigint AS n FROM $leaf->{name} AS q GROUP BY $k)";
		my @new = ({ n => 'k', t => 'int', d => 'k', r => "$alias.k" }, { n => 'n', t => 'big', d => 'x', r => "$alias.n" });
		if ($i == 1)
		{
			$from = "$read AS $alias";
		}
		else
		{
			my $to = $dice->pick(grep { $_->{n} eq 'k' } @cols)->{r};
			my $on = $dice->chance(0.15) ? "$alias.k = $to + 1" : "$alias.k = $to";
			if ($comma)
			{
				$from .= ", $read AS $alias";
				push @conditions, $on;
			}
			else
			{
				$from .= ' ' . $dice->weighted(JOIN => 5, 'LEFT JOIN' => 5, 'FULL JOIN' => 0.7, 'RIGHT JOIN' => 0.7) . " $read AS $alias ON $on";
			}
		}
		push @cols, @new;
	}
	push @conditions, $self->predicate(\@cols, 0) if $dice->chance(0.3);
	my $out = $self->output(\@cols, 3, 6);
	$self->written($out, $is_top);
	return { sql => "SELECT $out->{list} FROM $from" . (@conditions ? ' WHERE ' . join(' AND ', @conditions) : ''), cols => $out->{cols} };
}

1;
