# Subqueries.pm: subqueries in expressions and LATERAL ones of the random
# definitions.  A part of Generator.pm.
#
# How many a definition has is bounded ($self->{nest}), not where they stand:
# a subquery's own condition may hold the next one, which may refer to columns
# of any level above it.
package Subqueries;

use strict;
use warnings;

# Whether one more subquery is to be made here.
sub may_nest
{
	my ($self, $probability) = @_;
	return 0 if $self->{nest} <= 0 || !$self->{dice}->chance($probability);
	$self->{nest}--;
	return 1;
}

# Something small to read in a subquery: a leaf, at times a query.
sub inner_source
{
	my ($self) = @_;
	my $input = $self->source($self->{dice}->chance(0.2) ? 1 : 0);
	my $alias = $self->alias;
	return ($input, $alias, [ Generator::references($input, $alias) ]);
}

# The condition by which a subquery depends on the rows around it; '' if it
# does not.
sub correlation
{
	my ($self, $outer, $inner) = @_;
	my $dice = $self->{dice};
	my @pairs = Joins::join_pairs($outer, $inner);
	if (!@pairs || $dice->chance(0.15))
	{
		$self->{used}{uncorrelated} = 1;
		return '';
	}
	my ($o, $i) = @{ $dice->pick(@pairs) };
	if ($o->{t} =~ /^(int|big)$/ && $dice->chance(0.15))
	{
		$self->{used}{correlated_otherwise} = 1;
		return "$i->{r} " . $dice->pick('<', '>=', '<>', 'IS NOT DISTINCT FROM') . " $o->{r}" if $dice->chance(0.7);
		return "$i->{r} BETWEEN $o->{r} AND $o->{r} + 2";
	}
	$self->{used}{correlated} = 1;
	my $condition = $dice->chance(0.5) ? "$i->{r} = $o->{r}" : "$o->{r} = $i->{r}";
	$condition = "$i->{r} = $o->{r} + 1" if $o->{t} eq 'int' && $dice->chance(0.1);
	if ($dice->chance(0.12))
	{
		my ($o2, $i2) = @{ $dice->pick(@pairs) };
		my $operator = $o2->{t} eq 'text' ? '=' : $dice->pick('=', '<=', '<>');
		$condition .= " AND $i2->{r} $operator $o2->{r}";
	}
	return $condition;
}

# WHERE of a subquery: how it depends on the row around, its own condition, at
# times one on the clock, and at times the next subquery, which may name columns of all levels.
sub inner_where
{
	my ($self, $outer, $inner, @more) = @_;
	my $dice = $self->{dice};
	my @conditions = grep { $_ ne '' } @more, $self->correlation($outer, $inner);
	push @conditions, $self->predicate($inner, 0) if $dice->chance(0.35);
	push @conditions, grep { defined } $self->moving_condition($inner) if $dice->chance(0.07);
	push @conditions, $self->sublink([ @$inner, $dice->chance(0.4) ? @$outer : () ], 'deep') if $self->may_nest(0.2);
	return @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
}

# A condition with a subquery over the columns of the row around.
sub sublink
{
	my ($self, $outer, $where) = @_;
	my $dice = $self->{dice};
	$self->{used}{"subquery_in_$where"} = 1;
	my $form = $dice->weighted(exists => 10, in => 10, quantified => 4, scalar => 8, rows => 3, mixed => 5);
	return $self->sublink_mixed($outer, $where) if $form eq 'mixed';
	my $method = "sublink_$form";
	return $self->$method($outer);
}

# One of the others where it is not a condition of its own.
sub sublink_mixed
{
	my ($self, $outer, $where) = @_;
	my $dice = $self->{dice};
	my $method = $dice->pick('sublink_exists', 'sublink_in', 'sublink_scalar', 'sublink_quantified');
	my $link = $self->$method($outer);
	my $p = $self->predicate($outer, 0);
	my $form = $dice->range(0, 5);
	$self->{used}{subquery_in_or} = 1 if $form <= 1;
	$self->{used}{subquery_in_case} = 1 if $form == 3 || $form == 4;
	return "($link OR $p)" if $form == 0;
	return "NOT ($link AND $p)" if $form == 1;
	return "($link) IS NOT TRUE" if $form == 2;
	return "CASE WHEN $p THEN $link ELSE " . $self->predicate($outer, 0) . ' END' if $form == 3;
	return "CASE WHEN $link THEN $p ELSE true END" if $form == 4;
	return "coalesce($link, true)";
}

# A query of one column, c1, that may depend on the row around, and the type of that;
# nothing where there is no column of the types.
sub arm
{
	my ($self, $outer, @types) = @_;
	my $dice = $self->{dice};
	my ($input, $alias, $inner) = $self->inner_source;
	my @cols = Expressions::of_type($inner, @types);
	return if !@cols;
	my $col = $dice->pick(@cols);
	my $form = $dice->weighted(rows => 4, top => 4, distinct => 2, aggregate => 2, group => 1, own => 1);
	my @own = Expressions::of_type($outer, $col->{t});
	return ('SELECT ' . $dice->pick(@own)->{r} . ' AS c1', $col->{t}) if $form eq 'own' && @own;
	my $list = $form eq 'aggregate' || $form eq 'group' ? $dice->pick('min', 'max') . "($col->{r})" : $col->{r};
	my $tail = $form eq 'top' ? ' ORDER BY ' . $self->total_order($input, $inner) . $self->limit : $form eq 'group' ? ' GROUP BY ' . $dice->pick(@$inner)->{r} : '';
	return ('SELECT ' . ($form eq 'distinct' ? 'DISTINCT ' : '') . "$list AS c1 FROM $input->{from} AS $alias" . $self->inner_where($outer, $inner) . $tail, $col->{t});
}

# The same of several: a set operation, or a WITH query read once or twice.
sub arms
{
	my ($self, $outer, @types) = @_;
	my $dice = $self->{dice};
	my ($first, $type) = $self->arm($outer, @types);
	return if !defined $first;
	if ($dice->chance(0.4))
	{
		my $name = 'w' . ++$self->{alias};
		$self->{used}{with_in_subquery} = 1;
		return ("WITH $name AS " . $dice->pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ') . "($first) SELECT $name.c1 FROM $name"
			  . $dice->pick('', " WHERE $name.c1 IS NOT NULL", " UNION ALL SELECT $name.c1 FROM $name", " EXCEPT SELECT min($name.c1) FROM $name"), $type);
	}
	my ($second) = $self->arm($outer, $type);
	return if !defined $second;
	$self->{used}{arms_in_subquery} = 1;
	return ("($first) " . $dice->pick('UNION', 'UNION ALL', 'EXCEPT', 'EXCEPT ALL', 'INTERSECT', 'INTERSECT ALL') . " ($second)", $type);
}

sub sublink_exists
{
	my ($self, $outer) = @_;
	my $dice = $self->{dice};
	if ($dice->chance(0.08))
	{
		my ($arms) = $self->arms($outer, 'int', 'big', 'text');
		return ($dice->chance(0.4) ? 'NOT ' : '') . "EXISTS ($arms)" if defined $arms;
	}
	my ($input, $alias, $inner) = $self->inner_source;
	my $not = $dice->chance(0.4) ? 'NOT ' : '';
	$self->{used}{ $not ? 'not_exists' : 'exists' } = 1;
	my $where = $self->inner_where($outer, $inner);
	my $tail = '';
	if ($dice->chance(0.15))
	{
		$self->{used}{exists_group} = 1;
		$tail = $dice->chance(0.5) ? ' HAVING count(*) > ' . $dice->range(0, 2) : " GROUP BY $inner->[0]{r} HAVING count(*) > 1";
	}
	elsif ($dice->chance(0.08))
	{
		$self->{used}{exists_limit} = 1;
		$tail = $dice->pick(' LIMIT 1', ' OFFSET 1');
	}
	my $list = $dice->pick('1', $tail =~ /GROUP|HAVING/ ? 'count(*)' : '*', '');
	return "${not}EXISTS (SELECT $list FROM $input->{from} AS $alias$where$tail)";
}

# Columns of both sides that can be compared, as many as wanted.
sub compared
{
	my ($self, $outer, $inner, $wanted) = @_;
	my $dice = $self->{dice};
	my @pairs = Joins::join_pairs($outer, $inner);
	return () if !@pairs;
	return map { $dice->pick(@pairs) } 1 .. $wanted;
}

sub sublink_in
{
	my ($self, $outer) = @_;
	my $dice = $self->{dice};
	my @comparable = Expressions::of_type($outer, 'int', 'big', 'text');
	if (@comparable && $dice->chance(0.1))
	{
		my $o = $dice->pick(@comparable);
		my ($arms) = $self->arms($outer, $o->{t});
		return "$o->{r} " . $dice->pick('IN', 'NOT IN') . " ($arms)" if defined $arms;
	}
	my ($input, $alias, $inner) = $self->inner_source;
	my ($pair) = $self->compared($outer, $inner, 1);
	return $self->sublink_exists($outer) if !$pair;
	my ($o, $i) = @$pair;
	my $not = $dice->chance(0.4);
	$self->{used}{ $not ? 'not_in' : 'in' } = 1;
	my $where = $dice->chance(0.65) ? $self->plain_where($inner) : $self->inner_where($outer, $inner);
	my $list = $i->{r};
	if ($dice->chance(0.12) && $i->{t} ne 'text')
	{
		$self->{used}{in_group} = 1;
		return "$o->{r} " . ($not ? 'NOT IN' : 'IN') . " (SELECT max($list) FROM $input->{from} AS $alias$where GROUP BY "
		  . $dice->pick(@$inner)->{r} . ')';
	}
	if ($dice->chance(0.1))
	{
		my ($more, $other, $cols) = $self->inner_source;
		my @same = of($cols, $i);
		$list .= ' FROM ' . "$input->{from} AS $alias$where " . $dice->pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT') . " SELECT $same[0]{r} FROM $more->{from} AS $other"
		  if @same;
		return "$o->{r} " . ($not ? 'NOT IN' : 'IN') . " (SELECT $list)" if @same;
	}
	return "$o->{r} " . ($not ? 'NOT IN' : 'IN') . " (SELECT $list FROM $input->{from} AS $alias$where)";
}

sub of
{
	my ($cols, $like) = @_;
	return grep { $_->{t} eq $like->{t} } @$cols;
}

# WHERE of a subquery that does not depend on the row around.
sub plain_where
{
	my ($self, $inner) = @_;
	my $dice = $self->{dice};
	$self->{used}{uncorrelated} = 1;
	my @conditions;
	push @conditions, $self->predicate($inner, 0) if $dice->chance(0.6);
	push @conditions, grep { defined } $self->moving_condition($inner) if $dice->chance(0.08);
	push @conditions, $self->sublink($inner, 'deep') if $self->may_nest(0.2);
	return @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
}

sub sublink_rows
{
	my ($self, $outer) = @_;
	my $dice = $self->{dice};
	my ($input, $alias, $inner) = $self->inner_source;
	my @pairs = $self->compared($outer, $inner, $dice->range(2, 3));
	return $self->sublink_exists($outer) if !@pairs;
	$self->{used}{multi_column_in} = 1;
	my $where = $dice->chance(0.7) ? $self->plain_where($inner) : $self->inner_where($outer, $inner);
	return '(' . join(', ', map { $_->[0]{r} } @pairs) . ') ' . $dice->pick('IN', 'IN', 'NOT IN', '= ANY', '<> ALL') . ' (SELECT '
	  . join(', ', map { $_->[1]{r} } @pairs) . " FROM $input->{from} AS $alias$where)";
}

sub sublink_quantified
{
	my ($self, $outer) = @_;
	my $dice = $self->{dice};
	my ($input, $alias, $inner) = $self->inner_source;
	my ($pair) = $self->compared($outer, $inner, 1);
	return $self->sublink_exists($outer) if !$pair;
	my ($o, $i) = @$pair;
	$self->{used}{any_all} = 1;
	my $where = $dice->chance(0.5) ? $self->plain_where($inner) : $self->inner_where($outer, $inner);
	return "$o->{r} " . $dice->pick('<', '<=', '>', '>=', '=', '<>') . ' ' . $dice->pick('ANY', 'ALL', 'SOME')
	  . " (SELECT $i->{r} FROM $input->{from} AS $alias$where)";
}

sub sublink_scalar
{
	my ($self, $outer) = @_;
	my $dice = $self->{dice};
	my @numbers = Expressions::of_type($outer, 'int', 'big', 'num', 'n2');
	my $scalar = $self->scalar($outer, 'big', 'num', 'int');
	$self->{used}{scalar_compared} = 1;
	my $left = @numbers ? $dice->pick(@numbers)->{r} : $dice->range(0, 9);
	return "$scalar->{r} IS " . $dice->pick('', 'NOT ') . 'NULL' if $dice->chance(0.15);
	return "$left " . $dice->pick('<', '>=', '<>', '=', 'IS DISTINCT FROM') . " $scalar->{r}";
}

# A scalar subquery: { r, t }.
sub scalar
{
	my ($self, $outer, @types) = @_;
	my $dice = $self->{dice};
	$self->{used}{scalar_subquery} = 1;
	if ($dice->chance(0.08))
	{
		my ($arms) = $self->arms($outer, 'int', 'big');
		my $of = $self->alias;
		return { r => '(SELECT ' . $dice->pick('count', 'sum') . "($of.c1)::bigint FROM ($arms) AS $of)", t => 'big' } if defined $arms;
	}
	my ($input, $alias, $inner) = $self->inner_source;
	my $by_key = $input->{leaf} && @{ $input->{leaf}{key} // [] } == 1;
	my $form = $dice->weighted(aggregate => 12, first => 4, $by_key ? (key => 24) : (), text => 2);
	if ($form eq 'key')
	{
		# at most one row, as the key says
		my ($key) = grep { $_->{n} eq $input->{leaf}{key}[0] } @$inner;
		my @same = grep { $_->{t} =~ /^(int|big)$/ } @$outer;
		my @value = @types ? Expressions::of_type($inner, @types) : grep { $_->{t} ne 'ts' } @$inner;
		if ($key && @same && @value)
		{
			my $value = $dice->pick(@value);
			$self->{used}{scalar_by_key} = 1;
			return { r => "(SELECT $value->{r} FROM $input->{from} AS $alias WHERE $key->{r} = " . $dice->pick(@same)->{r} . ')', t => $value->{t} };
		}
	}
	if ($form eq 'first')
	{
		my @value = @types ? Expressions::of_type($inner, @types) : grep { $_->{t} ne 'ts' } @$inner;
		if (@value)
		{
			my $value = $dice->pick(@value);
			$self->{used}{scalar_limit} = 1;
			return { r => "(SELECT $value->{r} FROM $input->{from} AS $alias" . $self->inner_where($outer, $inner)
				  . ' ORDER BY ' . $self->total_order($input, $inner) . $dice->pick(' LIMIT 1', ' FETCH FIRST ROW ONLY', ' LIMIT 1 OFFSET 1') . ')', t => $value->{t} };
		}
	}
	my @text = Expressions::of_type($inner, 'text');
	if ($form eq 'text' && @text && !@types)
	{
		my $text = $dice->pick(@text)->{r};
		return { r => "(SELECT string_agg($text, '/' ORDER BY $text) FROM $input->{from} AS $alias" . $self->inner_where($outer, $inner) . ')', t => 'text' };
	}
	my $a;
	for (1 .. 6)
	{
		$a = $self->aggregate($inner);
		last if !@types || grep { $_ eq $a->{t} } @types;
		$a = { r => 'count(*)', t => 'big' };
	}
	$a = { %$a, r => "coalesce($a->{r}, 7)" } if $a->{t} =~ /^(big|num)$/ && $dice->chance(0.2);
	$a = { %$a, r => "$a->{r} + 1" } if $a->{t} =~ /^(big|num)$/ && $dice->chance(0.15);
	return { r => "(SELECT $a->{r} FROM $input->{from} AS $alias" . $self->inner_where($outer, $inner) . ')', t => $a->{t} };
}

# A subquery as a column of a select list.
sub scalar_item
{
	my ($self, $outer) = @_;
	my $dice = $self->{dice};
	$self->{used}{subquery_in_select} = 1;
	my $form = $dice->weighted(scalar => 10, mark => 6, case => 3, array => 2);
	if ($form eq 'mark')
	{
		my $method = $dice->pick('sublink_exists', 'sublink_in', 'sublink_in', 'sublink_quantified', 'sublink_rows');
		return { r => '(' . $self->$method($outer) . ')', t => 'bool', d => 'x', made => 1 };
	}
	if ($form eq 'case')
	{
		$self->{used}{subquery_in_case} = 1;
		my $scalar = $self->scalar($outer, 'big', 'num', 'int');
		my $when = $dice->chance(0.4) ? $self->sublink_exists($outer) : $self->predicate($outer, 0);
		return { r => "CASE WHEN $when THEN $scalar->{r} ELSE -1 END", t => $scalar->{t}, d => 'x', made => 1 };
	}
	if ($form eq 'array')
	{
		my ($input, $alias, $inner) = $self->inner_source;
		my @int = Expressions::of_type($inner, 'int');
		if (@int)
		{
			my $r = $dice->pick(@int)->{r};
			$self->{used}{array_subquery} = 1;
			return { r => "ARRAY(SELECT $r FROM $input->{from} AS $alias" . $self->inner_where($outer, $inner) . " ORDER BY $r)", t => 'arr', d => 'x', made => 1 };
		}
	}
	my $scalar = $self->scalar($outer);
	return { %$scalar, d => 'x', made => 1 };
}

# --- LATERAL -------------------------------------------------------------

# A source that depends on the columns of those before it.
sub lateral_source
{
	my ($self, $outer) = @_;
	my $dice = $self->{dice};
	my $form = $dice->weighted(rows => 5, aggregate => 5, top => 5, values => 3, row => 2, arms => 3);
	if ($form eq 'arms')
	{
		my ($arms, $type) = $self->arms($outer, 'int', 'big', 'text');
		$form = 'rows' if !defined $arms;
		$self->{used}{"lateral_$form"} = 1;
		return { from => "LATERAL ($arms)", cols => [ { n => 'c1', t => $type, d => 'x' } ] } if $form eq 'arms';
	}
	$self->{used}{"lateral_$form"} = 1;
	if ($form eq 'values')
	{
		my @int = Expressions::of_type($outer, 'int');
		my $value = sub { @int && $dice->chance(0.7) ? $dice->pick(@int)->{r} : $dice->range(0, 9) };
		return { from => 'LATERAL (VALUES ' . join(', ', map { '(' . $value->() . ', ' . Expressions::quote($dice->pick('p', 'q')) . ')' } 1 .. $dice->range(1, 3)) . ')',
			columns => '(c1, c2)', cols => [ { n => 'c1', t => 'int', d => 'x' }, { n => 'c2', t => 'text', d => 'x' } ] };
	}
	if ($form eq 'row')
	{
		# a subquery that reads no table
		my $out = $self->listed({ r => $self->expression($outer, 'int', 1), t => 'int', d => 'x' }, { r => $self->expression($outer, 'text', 1), t => 'text', d => 'x' });
		return { from => "LATERAL (SELECT $out->{list}" . ($dice->chance(0.3) ? ' WHERE ' . $self->predicate($outer, 0) : '') . ')', cols => $out->{cols} };
	}
	my ($input, $alias, $inner) = $self->inner_source;
	my $where = $self->inner_where($outer, $inner);
	if ($form eq 'aggregate')
	{
		my @items = map { { %{ $self->aggregate($inner) }, d => 'x', made => 1 } } 1 .. $dice->range(1, 2);
		my $group = '';
		if ($dice->chance(0.35))
		{
			my $key = $dice->pick(@$inner);
			unshift @items, { %$key, lin => 0 };
			$group = " GROUP BY $key->{r}";
		}
		my $out = $self->listed(@items);
		return { from => "LATERAL (SELECT $out->{list} FROM $input->{from} AS $alias$where$group)", cols => $out->{cols} };
	}
	my $out = $self->output($inner, 1, 3);
	my $tail = $form eq 'top' ? ' ORDER BY ' . $self->total_order($input, $inner) . $self->limit : '';
	my $distinct = $form eq 'rows' && $dice->chance(0.15) ? 'DISTINCT ' : '';
	return { from => "LATERAL (SELECT $distinct$out->{list} FROM $input->{from} AS $alias$where$tail)", cols => [ Expressions::still(@{ $out->{cols} }) ] };
}

sub make_lateral
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	my $from = "$input->{from} AS $alias";
	my $comma = $dice->chance(0.35);
	$self->{used}{lateral} = 1;
	foreach (1 .. $dice->weighted(1 => 8, 2 => 2))
	{
		my $lateral = $self->lateral_source(\@cols);
		my $name = $self->alias;
		my @new = map { { %$_, lin => 0 } } Generator::references($lateral, $name);
		my $read = "$lateral->{from} AS $name" . ($lateral->{columns} // '');
		my $kind = $comma ? 'comma' : $dice->weighted(cross => 2, left => 4, inner => 2);
		$self->{used}{lateral_left} = 1 if $kind eq 'left';
		my $on = $dice->chance(0.7) ? 'true' : $self->predicate([ @cols, @new ], 0);
		$from .= $kind eq 'comma' ? ", $read" : $kind eq 'cross' ? " CROSS JOIN $read" : ' ' . uc($kind) . " JOIN $read ON $on";
		push @cols, @new;
	}
	my $out = $self->output(\@cols, 3, 6);
	$self->written($out, $is_top);
	return { sql => "SELECT $out->{list} FROM $from" . $self->where(\@cols, 0.3, 0.08), cols => $out->{cols} };
}

1;
