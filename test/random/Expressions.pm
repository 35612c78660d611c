# Expressions.pm: expressions, conditions and select lists of the random
# definitions.  A part of Generator.pm, which tells what a column is.
package Expressions;

use strict;
use warnings;

our %SQLTYPE = (
	int => 'integer',
	big => 'bigint',
	n2 => 'numeric(10,2)',
	num => 'numeric',
	text => 'text',
	ts => 'timestamptz',
	date => 'date',
	bool => 'boolean',
	float => 'double precision',
	arr => 'integer[]',
	js => 'jsonb',
	ci => 'public.citext');

# What text columns hold: the strings that deparsing and comparing get wrong.
our @WORDS =
  ('', 'null', 'NULL', 'a', 'b', 'a b', ' a', "it's", 'a,b', '{x}', 'back\\slash', '"q"', 'Zoë', '%', 'ab', 'bc', 'c');

sub quote
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

sub of_type
{
	my ($cols, @types) = @_;
	my %want = map { $_ => 1 } @types;
	return grep { $want{ $_->{t} } } @$cols;
}

sub constant
{
	my ($self, $type) = @_;
	my $dice = $self->{dice};
	return $dice->range(0, 20) if $type eq 'int';
	return $dice->range(0, 50) . '::bigint' if $type eq 'big';
	return sprintf('%.2f', $dice->range(0, 5000) / 100) if $type eq 'n2' || $type eq 'num';
	return quote($dice->pick(@WORDS)) . '::text' if $type eq 'text';
	return "date '2026-01-" . sprintf('%02d', $dice->range(1, 20)) . "'" if $type eq 'date';
	return $dice->pick('true', 'false') if $type eq 'bool';
	return "double precision '-0'" if $type eq 'float';
	return $dice->pick("'{}'", "'{1,2}'", "'{3,NULL}'") . '::integer[]' if $type eq 'arr';
	return $dice->pick("'{\"a\": 3}'", "'{\"a\": 7, \"l\": [1, 2]}'") . '::jsonb' if $type eq 'js';
	return quote($dice->pick('a', 'AB', 'zoë')) . '::public.citext' if $type eq 'ci';
	return "timestamptz '2026-01-01 00:00:00+00'";
}

# An immutable expression of the type over the columns.
sub expression
{
	my ($self, $cols, $type, $depth) = @_;
	my $dice = $self->{dice};
	$depth //= 2;
	my @own = of_type($cols, $type);
	return $self->constant($type) if !@own && ($depth <= 0 || $dice->chance(0.3));
	return $dice->pick(@own)->{r} if @own && ($depth <= 0 || $dice->chance(0.45));
	my $e = sub { $self->expression($cols, $_[0], $depth - 1) };
	return $self->predicate($cols, $depth - 1) if $type eq 'bool';
	if ($dice->chance(0.3))
	{
		return sprintf('coalesce(%s, %s)', $e->($type), $self->constant($type)) if $dice->chance(0.5);
		return sprintf('CASE WHEN %s THEN %s ELSE %s END', $self->predicate($cols, 0), $e->($type), $e->($type));
	}
	return $self->integer_expression($cols, $e) if $type eq 'int';
	return $self->text_expression($cols, $e) if $type eq 'text';
	if ($type eq 'big')
	{
		return sprintf('(%s)::bigint', $e->('int')) if $dice->chance(0.4);
		return sprintf('(%s + %s)', $e->('big'), $e->('int'));
	}
	if ($type eq 'n2' || $type eq 'num')
	{
		my $form = $dice->range(0, 4);
		my $inner = $e->($type);
		return "round($inner, 1)" if $form == 0 && $type eq 'num';
		return "($inner * 2 - 1)" if $form == 1 && $type eq 'num';
		return sprintf('(%s / nullif(%s, 0))', $inner, $e->('int')) if $form == 2 && $type eq 'num';
		return sprintf('(%s)::%s', $e->('int'), $SQLTYPE{$type}) if $form == 3;
		return $inner;
	}
	return sprintf('(%s + %d)', $e->('date'), $dice->range(1, 5)) if $type eq 'date';
	return sprintf('(%s || %s)', $e->('arr'), $e->('int')) if $type eq 'arr' && $dice->chance(0.6);
	return sprintf("jsonb_build_object('a', %s, 'b', %s)", $e->('int'), $e->('text')) if $type eq 'js' && $dice->chance(0.6);
	return sprintf('greatest(%s, %s)', $e->($type), $e->($type));
}

sub integer_expression
{
	my ($self, $cols, $e) = @_;
	my $dice = $self->{dice};
	my ($array) = of_type($cols, 'arr');
	my ($json) = of_type($cols, 'js');
	return $dice->pick("$array->{r}\[1\]", "cardinality($array->{r})") if $array && $dice->chance(0.3);
	return $dice->pick("jsonb_array_length($json->{r} -> 'l')", "(jsonb_path_query_first($json->{r}, '\$.l[*] ? (@ > 4)') #>> '{}')::integer")
	  if $json && !$json->{made} && $dice->chance(0.3);
	my $form = $dice->range(0, 8);
	return sprintf('(%s + %s)', $e->('int'), $dice->range(1, 9)) if $form == 0;
	return sprintf('(%s - %s) * 2', $e->('int'), $e->('int')) if $form == 1;
	return sprintf('abs(%s)', $e->('int')) if $form == 2;
	return sprintf('(%s) %% 7', $e->('int')) if $form == 3;
	return sprintf('length(%s)', $e->('text')) if $form == 4;
	return sprintf('nullif(%s, %d)', $e->('int'), $dice->range(0, 9)) if $form == 5;
	return sprintf('greatest(%s, %s)', $e->('int'), $e->('int')) if $form == 6;
	return sprintf('%s.doubled((%s)::integer)', $self->{schema}, $e->('int')) if $form == 7 && $self->{schema};
	return sprintf('- (%s) - 1', $e->('int'));
}

sub text_expression
{
	my ($self, $cols, $e) = @_;
	my $form = $self->{dice}->range(0, 5);
	return sprintf('upper(%s)', $e->('text')) if $form == 0;
	return sprintf("(%s || '-' || %s)", $e->('text'), $e->('text')) if $form == 1;
	return sprintf('substr(%s, 1, 2)', $e->('text')) if $form == 2;
	return sprintf('(%s)::text', $e->('int')) if $form == 3;
	return sprintf('md5(%s)', $e->('text')) if $form == 4;
	return sprintf("nullif(%s, 'null')", $e->('text'));
}

# A condition that lets a good part of the rows through.
sub predicate
{
	my ($self, $cols, $depth) = @_;
	my $dice = $self->{dice};
	$depth //= 1;
	if ($depth > 0 && $dice->chance(0.35))
	{
		my ($l, $r) = ($self->predicate($cols, $depth - 1), $self->predicate($cols, $depth - 1));
		return $dice->chance(0.6) ? "($l OR $r)" : $dice->chance(0.7) ? "($l AND $r)" : "NOT ($l AND $r)";
	}
	my $c = $dice->pick(@$cols);
	my $r = $c->{r};
	my $form = $dice->fraction;
	return "$r IS NOT NULL" if $form < 0.08;
	return "$r IS NULL" if $form < 0.11;
	if ($c->{t} eq 'int' || $c->{t} eq 'big')
	{
		return "$r % 3 <> " . $dice->range(0, 2) if $form < 0.3;
		return "$r BETWEEN 1 AND " . $dice->range(8, 40) if $form < 0.45;
		return "$r IN (" . join(', ', map { $dice->range(0, 12) } 1 .. 6) . ')' if $form < 0.55;
		return "$r IS DISTINCT FROM " . $dice->range(0, 9) if $form < 0.65;
		my @other = grep { $_->{r} ne $r } of_type($cols, 'int', 'big');
		return "$r <= " . $dice->pick(@other)->{r} if @other && $form < 0.75;
		return $dice->chance(0.5) ? "$r >= " . $dice->range(0, 6) : "$r < " . $dice->range(7, 60);
	}
	return $dice->chance(0.5) ? "$r > " . $dice->range(0, 20) . '.5' : "$r <= " . $dice->range(20, 80)
	  if $c->{t} eq 'n2' || $c->{t} eq 'num';
	if ($c->{t} eq 'text')
	{
		return "$r <> " . quote($dice->pick(@WORDS)) if $form < 0.5;
		return "$r LIKE " . quote($dice->pick('%a%', '%b%', '% %', '_', 'n%', "%'%")) if $form < 0.6;
		return "$r NOT IN (" . join(', ', map { quote($dice->pick(@WORDS)) } 1 .. 3) . ')' if $form < 0.75;
		return "length($r) < " . $dice->range(1, 5) if $form < 0.85;
		return "$r >= " . quote($dice->pick('', ' ', 'A'));
	}
	return "$r <> 1.5" if $c->{t} eq 'float';
	return $dice->chance(0.5) ? "$r IS NOT FALSE" : $dice->chance(0.5) ? $r : "NOT $r" if $c->{t} eq 'bool';
	return $dice->pick($dice->range(1, 6) . " = ANY ($r)", "$r && '{1,2,3,4}'", "cardinality($r) < 4", "$r <> '{}'") if $c->{t} eq 'arr';
	return $dice->pick("$r ? 'l'", "$r @? '\$.l[*] ? (@ > 3)'", "$r ->> 'a' <> '4'", "$r \@> '{\"a\": 5}' IS NOT TRUE") if $c->{t} eq 'js';
	return $dice->pick("$r <> 'A'", "$r >= 'b'") if $c->{t} eq 'ci';
	return "$r >= " . $self->constant($c->{t});
}

# A condition on now() that rows of the column cross while the test runs.
sub moving_condition
{
	my ($self, $cols) = @_;
	my $dice = $self->{dice};
	my @ts = grep { $_->{t} eq 'ts' && ($_->{lin} || $dice->chance(0.5)) } @$cols;
	return undef if !@ts;
	my $c = $dice->pick(@ts);
	$self->{used}{moving} = 1;
	$self->{used}{moving_above} = 1 if !$c->{lin};
	my $ts = $c->{r};
	my $i = sub { "interval '" . sprintf('%.1f', $dice->range(0, 150) / 10) . " seconds'" };
	my $form = $dice->range(0, 10);
	return "$ts >= now() - " . $i->() if $form <= 1;
	return "$ts < now() - " . $i->() if $form == 2;
	return 'CURRENT_TIMESTAMP - ' . $i->() . " < $ts" if $form == 3;
	return "$ts BETWEEN now() - " . $i->() . ' AND now() + ' . $i->() if $form == 4;
	return "$ts <= now() + " . $i->() if $form == 5;
	return "NOT ($ts < now())" if $form == 6;
	return "CASE WHEN $ts > now() - " . $i->() . ' THEN ' . $self->predicate($cols, 0) . ' ELSE ' . $self->predicate($cols, 0) . ' END' if $form == 7;
	return "$ts >= date_trunc('second', now() - " . $i->() . ')' if $form == 8;
	return "($ts + " . $i->() . ' > now()) IS NOT FALSE' if $form == 9;
	return "($ts > now() - " . $i->() . ' OR ' . $self->predicate($cols, 0) . ')';
}

# WHERE of its conditions: one on columns, one on the clock, one with a
# subquery, each with its probability.
sub where
{
	my ($self, $cols, $probability, $moving) = @_;
	my $dice = $self->{dice};
	my @conditions;
	push @conditions, $self->predicate($cols) if $dice->chance($probability);
	push @conditions, grep { defined } $self->moving_condition($cols) if $dice->chance($moving // 0);
	push @conditions, $self->sublink($cols, 'where') if $self->may_nest(0.06);
	return @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
}

# Output columns from the given ones: plain or expressions, c1 .. cn.
# { list => SQL, cols }
sub output
{
	my ($self, $cols, $from, $to) = @_;
	my $dice = $self->{dice};
	my $wanted = $dice->range($from, $to);
	my @joinable = grep { $_->{d} !~ /^[xf]$/ } @$cols;
	my @items;
	push @items, $dice->pick(@joinable) if @joinable;

	# a column for a moving condition above, where there is one
	my @ts = grep { $_->{t} eq 'ts' } @$cols;
	push @items, $dice->pick(@ts) if @ts && $dice->chance(0.6);
	while (@items < $wanted)
	{
		my $like = $dice->pick(@$cols);
		if ($dice->chance(0.65))
		{
			push @items, $like;
			next;
		}
		if ($self->may_nest(0.12))
		{
			push @items, $self->scalar_item($cols);
			next;
		}
		my $type = $like->{t} eq 'ts' ? 'int' : $like->{t};
		push @items, { r => $self->expression($cols, $type), t => $type eq 'n2' ? 'num' : $type, d => 'x', made => 1 };
	}
	return $self->listed(@items);
}

# The items as a select list c1 .. cn.
sub listed
{
	my ($self, @items) = @_;
	my (@list, @cols);
	foreach my $item (@items)
	{
		my $name = 'c' . (@list + 1);
		push @list, "$item->{r} AS $name";
		push @cols, { n => $name, t => $item->{t}, d => $item->{d}, lin => $item->{lin}, made => $item->{made}, domain => $item->{domain} };
	}
	return { list => join(', ', @list), cols => \@cols };
}

# The written-at column that only a top level may have.
sub written
{
	my ($self, $out, $is_top) = @_;
	return if !$is_top || !$self->{dice}->chance(0.05);
	$self->{used}{written_at} = 1;
	$out->{list} .= ', now() AS written';
	push @{ $out->{cols} }, { n => 'written', t => 'ts', d => 'x' };
}

# Columns of which no rule for moving conditions reaches the source.
sub still
{
	my (@cols) = @_;
	return map { { %$_, lin => 0 } } @cols;
}

1;
