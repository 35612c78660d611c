# Generator.pm: random defining queries for the randomised oracle.
#
# A generator is made over a list of leaves (tables, views, dynamic tables:
# name and columns) and makes SELECTs over them: filter, projection, inner
# joins of 2 to 4 inputs, outer joins, UNION ALL, GROUP BY and aggregates
# without it, DISTINCT, latest row per key, row numbers in a partition, CTEs
# read once and twice, conditions on now(), nested up to a given depth.
#
# Every query it makes has a determined result (ranks have a total order) and
# uses immutable expressions only (but for now()), so that each must be
# maintained incrementally.
#
# A column is { n => name, t => type, d => domain, lin => can carry a moving
# condition }.  Types: int big n2 num text ts date bool float.  Domains: k, g, s,
# id are worth joining and grouping on, f only worth grouping on (it has equal
# values that print differently); x is anything else.
package Generator;

use strict;
use warnings;
use Dice;

our %SQLTYPE = (
	int => 'integer',
	big => 'bigint',
	n2 => 'numeric(10,2)',
	num => 'numeric',
	text => 'text',
	ts => 'timestamptz',
	date => 'date',
	bool => 'boolean',
	float => 'double precision');

# What text columns hold: the strings that deparsing and comparing get wrong.
our @WORDS =
  ('', 'null', 'NULL', 'a', 'b', 'a b', ' a', "it's", 'a,b', '{x}', 'back\\slash', '"q"', 'Zoë', '%', 'ab', 'bc', 'c');

sub new
{
	my ($class, $dice, @leaves) = @_;
	return bless { dice => $dice, leaves => \@leaves, alias => 0, used => {} }, $class;
}

sub quote
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

# --- a whole definition --------------------------------------------------

# { sql, columns => [names], compare => [names left when written-at columns
# are taken out], constructs => [names], moving => bool }
sub definition
{
	my ($self, $depth) = @_;
	$self->{used} = {};
	my $top = $self->select($depth, undef, 1);
	my @columns = map { $_->{n} } @{ $top->{cols} };
	return {
		sql => $top->{sql},
		columns => [@columns],
		compare => [ grep { $_ ne 'written' } @columns ],
		cols => [ grep { $_->{n} ne 'written' } @{ $top->{cols} } ],
		constructs => [ sort keys %{ $self->{used} } ],
		moving => exists $self->{used}{moving} };
}

my @OPERATORS = (
	project => 10,
	join => 18,
	outer => 14,
	union => 10,
	aggregate => 20,
	distinct => 7,
	latest => 9,
	window => 5,
	cte => 8,
	moving => 9);

sub select
{
	my ($self, $depth, $source, $is_top) = @_;
	my $operator = $self->{dice}->weighted(@OPERATORS);
	$source //= sub { $self->source($depth - 1, @_) };
	my $method = "make_$operator";
	return $self->$method($depth, $source, $is_top);
}

# Something to read in FROM: { from, cols, leaf }.
sub source
{
	my ($self, $depth) = @_;
	my $dice = $self->{dice};
	if ($depth <= 0 || $dice->chance(0.3))
	{
		my $leaf = $dice->pick(@{ $self->{leaves} });
		$self->{used}{ $leaf->{kind} } = 1;
		$self->{used}{moving} = 1 if $leaf->{moving};
		return { from => $leaf->{name}, cols => $leaf->{cols}, leaf => $leaf };
	}
	my $inner = $self->select($depth);
	$self->{used}{subquery} = 1;
	return { from => "($inner->{sql})", cols => $inner->{cols} };
}

sub alias
{
	my ($self) = @_;
	return 'r' . ++$self->{alias};
}

# The columns of a source as references through an alias.
sub references
{
	my ($source, $alias) = @_;
	return map { { %$_, r => "$alias.$_->{n}" } } @{ $source->{cols} };
}

# --- expressions ---------------------------------------------------------

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
	if ($type eq 'int')
	{
		my $form = $dice->range(0, 7);
		return sprintf('(%s + %s)', $e->('int'), $dice->range(1, 9)) if $form == 0;
		return sprintf('(%s - %s) * 2', $e->('int'), $e->('int')) if $form == 1;
		return sprintf('abs(%s)', $e->('int')) if $form == 2;
		return sprintf('(%s) %% 7', $e->('int')) if $form == 3;
		return sprintf('length(%s)', $e->('text')) if $form == 4;
		return sprintf('nullif(%s, %d)', $e->('int'), $dice->range(0, 9)) if $form == 5;
		return sprintf('greatest(%s, %s)', $e->('int'), $e->('int')) if $form == 6;
		return sprintf('- (%s) - 1', $e->('int'));
	}
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
	if ($type eq 'text')
	{
		my $form = $dice->range(0, 5);
		return sprintf('upper(%s)', $e->('text')) if $form == 0;
		return sprintf("(%s || '-' || %s)", $e->('text'), $e->('text')) if $form == 1;
		return sprintf('substr(%s, 1, 2)', $e->('text')) if $form == 2;
		return sprintf('(%s)::text', $e->('int')) if $form == 3;
		return sprintf('md5(%s)', $e->('text')) if $form == 4;
		return sprintf("nullif(%s, 'null')", $e->('text'));
	}
	return sprintf('(%s + %d)', $e->('date'), $dice->range(1, 5)) if $type eq 'date';
	return sprintf('greatest(%s, %s)', $e->($type), $e->($type));
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
	return "$r >= " . $self->constant($c->{t});
}

# A condition on now() that rows of the column cross while the test runs.
sub moving_condition
{
	my ($self, $cols) = @_;
	my $dice = $self->{dice};
	my @ts = grep { $_->{t} eq 'ts' && $_->{lin} } @$cols;
	return undef if !@ts;
	$self->{used}{moving} = 1;
	my $ts = $dice->pick(@ts)->{r};
	my $i = sub { "interval '" . sprintf('%.1f', $dice->range(0, 150) / 10) . " seconds'" };
	my $form = $dice->range(0, 7);
	return "$ts >= now() - " . $i->() if $form <= 1;
	return "$ts < now() - " . $i->() if $form == 2;
	return 'CURRENT_TIMESTAMP - ' . $i->() . " < $ts" if $form == 3;
	return "$ts BETWEEN now() - " . $i->() . ' AND now() + ' . $i->() if $form == 4;
	return "$ts <= now() + " . $i->() if $form == 5;
	return "NOT ($ts < now())" if $form == 6;
	return "($ts > now() - " . $i->() . ' OR ' . $self->predicate($cols, 0) . ')';
}

sub where
{
	my ($self, $cols, $probability, $moving) = @_;
	my $dice = $self->{dice};
	my @conditions;
	push @conditions, $self->predicate($cols) if $dice->chance($probability);
	if ($dice->chance($moving // 0))
	{
		my $condition = $self->moving_condition($cols);
		push @conditions, $condition if defined $condition;
	}
	return @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
}

# --- select lists --------------------------------------------------------

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
		my $type = $like->{t} eq 'ts' ? 'int' : $like->{t};
		push @items, { r => $self->expression($cols, $type), t => $type eq 'n2' ? 'num' : $type, d => 'x' };
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
		push @cols, { n => $name, t => $item->{t}, d => $item->{d}, lin => $item->{lin} };
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

sub still
{
	my (@cols) = @_;
	return map { { %$_, lin => 0 } } @cols;
}

# --- operators -----------------------------------------------------------

sub make_project
{
	my ($self, $depth, $source, $is_top) = @_;
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = references($input, $alias);
	$self->{used}{filter} = 1;
	my $out = $self->output(\@cols, 2, 6);
	$self->written($out, $is_top);
	return {
		sql => "SELECT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.8, 0.1),
		cols => $out->{cols} };
}

sub make_moving
{
	my ($self, $depth, $source, $is_top) = @_;
	my ($input, @cols, $condition);
	my $alias = $self->alias;
	for (1 .. 8)
	{
		$input = $self->source($_ > 3 ? 0 : $depth - 1);
		@cols = references($input, $alias);
		$condition = $self->moving_condition(\@cols);
		last if defined $condition;
	}
	return $self->make_project($depth, $source, $is_top) if !defined $condition;
	$condition .= ' AND ' . $self->predicate(\@cols) if $self->{dice}->chance(0.3);
	my $out = $self->output(\@cols, 2, 6);
	return {
		sql => "SELECT $out->{list} FROM $input->{from} AS $alias WHERE $condition",
		cols => $out->{cols} };
}

# Pairs of columns on which two inputs can be joined, the best ones only.
sub join_pairs
{
	my ($left, $right) = @_;
	my %class = (int => 'i', big => 'i', n2 => 'n', num => 'n', text => 't', date => 'd');
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
		my @l = of_type($left, 'int', 'big');
		my @r = of_type($right, 'int', 'big');
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
		my @new = references($input, $alias);
		if (!defined $from)
		{
			$from = "$input->{from} AS $alias";
			@cols = @new;
			next;
		}
		my $condition = $self->link_condition(\@cols, \@new, 0.2);
		next if !defined $condition;
		my @shared = grep { my $n = $_; grep { $_->{n} eq $n->{n} && $_->{t} eq $n->{t} && $_->{d} eq $n->{d} && $n->{d} ne 'x' } @cols } @new;
		if ($i == 2 && $inputs == 2 && @shared && $dice->chance(0.2))
		{
			$from .= " JOIN $input->{from} AS $alias USING (" . $dice->pick(@shared)->{n} . ')';
		}
		elsif ($comma)
		{
			$from .= ", $input->{from} AS $alias";
			push @conditions, $condition;
		}
		else
		{
			$from .= " JOIN $input->{from} AS $alias ON $condition";
		}
		push @cols, @new;
		$self->{used}{"join$i"} = 1;
	}
	push @conditions, $self->predicate(\@cols) if $dice->chance(0.3);
	if ($dice->chance(0.1))
	{
		my $condition = $self->moving_condition(\@cols);
		push @conditions, $condition if defined $condition;
	}
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
		my @new = references($input, $alias);
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
	my $out = $self->output([ still(@cols) ], 3, 7);
	$self->written($out, $is_top);
	return { sql => "SELECT $out->{list} FROM $from$where", cols => $out->{cols} };
}

sub make_union
{
	my ($self, $depth, $source) = @_;
	my $dice = $self->{dice};
	$self->{used}{union_all} = 1;
	my @types = ('int', map { $dice->pick('int', 'text', 'num', 'big', 'bool') } 1 .. $dice->range(1, 3));
	my @branches;
	foreach (1 .. $dice->weighted(2 => 7, 3 => 3))
	{
		my $input = $source->();
		my $alias = $self->alias;
		my @cols = references($input, $alias);
		my $n = 0;
		my @list = map {
			my $e = $n == 0 && (my @k = grep { $_->{d} eq 'k' } @cols) ? $dice->pick(grep { $_->{d} eq 'k' } @cols)->{r} : $self->expression(\@cols, $_, 1);
			$n++;
			"($e)::$SQLTYPE{$_} AS c$n"
		} @types;
		push @branches, 'SELECT ' . join(', ', @list) . " FROM $input->{from} AS $alias" . $self->where(\@cols, 0.5, 0.1);
	}
	my $n = 0;
	my @cols = map { $n++; { n => "c$n", t => $_, d => $n == 1 ? 'k' : 'x' } } @types;
	return { sql => join(' UNION ALL ', @branches), cols => \@cols };
}

# One aggregate: { r, t }.
sub aggregate
{
	my ($self, $cols) = @_;
	my $dice = $self->{dice};
	my @numbers = of_type($cols, 'int', 'big', 'n2', 'num');
	my @orderable = of_type($cols, 'int', 'big', 'n2', 'num', 'text', 'ts', 'date', 'float');
	my $filter = $dice->chance(0.15) ? ' FILTER (WHERE ' . $self->predicate($cols, 0) . ')' : '';
	$self->{used}{agg_filter} = 1 if $filter;
	my $form = $dice->fraction;
	return { r => "count(*)$filter", t => 'big' } if $form < 0.18 || !@orderable;
	return { r => 'count(' . $dice->pick(@$cols)->{r} . ")$filter", t => 'big' } if $form < 0.3;
	if ($form < 0.55 || $form > 0.95)
	{
		my $c = @numbers ? $dice->pick(@numbers) : { r => 'length(' . $dice->pick(@orderable)->{r} . '::text)', t => 'int', bad => 1 };
		return { r => "count(*)$filter", t => 'big' } if $c->{bad};
		my $argument = $dice->chance(0.25) ? sprintf('CASE WHEN %s THEN %s ELSE 0 END', $self->predicate($cols, 0), $c->{r}) : $c->{r};
		return { r => "sum($argument)$filter", t => $c->{t} eq 'int' ? 'big' : 'num' } if $form < 0.55;
		return { r => "coalesce(sum($argument)$filter, 0)", t => $c->{t} eq 'int' ? 'big' : 'num' };
	}
	return { r => 'avg(' . $dice->pick(@numbers)->{r} . ")$filter", t => 'num' } if $form < 0.68 && @numbers;
	my $c = $dice->pick(@orderable);
	return { r => ($dice->chance(0.5) ? 'min' : 'max') . "($c->{r})$filter", t => $c->{t} };
}

sub make_aggregate
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = references($input, $alias);
	my @keys;
	my @candidates = $dice->shuffle(grep { $_->{d} =~ /^[kgsf]$/ || $_->{t} =~ /^(bool|date)$/ || ($_->{t} eq 'num' && $dice->chance(0.2)) } @cols);
	@candidates = $dice->shuffle(of_type(\@cols, 'int', 'text', 'big')) if !@candidates;
	my $wanted = $dice->weighted(0 => 2, 1 => 6, 2 => 3, 3 => 1);
	foreach my $c (splice(@candidates, 0, $wanted))
	{
		my $key = { %$c, lin => 0 };
		if ($dice->chance(0.2))
		{
			$key = { r => "$c->{r} % 4", t => $c->{t}, d => 'x' } if $c->{t} eq 'int' || $c->{t} eq 'big';
			$key = { r => "upper($c->{r})", t => 'text', d => 'x' } if $c->{t} eq 'text';
			$key = { r => "($c->{r} IS NULL)", t => 'bool', d => 'x' } if $c->{t} eq 'date';
		}
		push @keys, $key;
	}
	$self->{used}{ @keys ? 'group_by' : 'global_aggregate' } = 1;
	my @items = $dice->chance(0.1) && @keys > 1 ? @keys[ 1 .. $#keys ] : @keys;
	foreach (1 .. $dice->range(1, 4))
	{
		my $a = $self->aggregate(\@cols);
		if ($dice->chance(0.15))
		{
			my $b = $self->aggregate(\@cols);
			$self->{used}{agg_expression} = 1;
			$a = { r => "$a->{r} * 2 + $b->{r}", t => 'num' }
			  if $a->{t} =~ /^(big|num)$/ && $b->{t} =~ /^(big|num)$/;
			$a = { r => "round($a->{r}, 2)", t => 'num' } if $a->{t} eq 'num' && $dice->chance(0.5);
			$a = { r => "CASE WHEN count(*) > 2 THEN $a->{r} END", t => $a->{t} } if $dice->chance(0.3);
			$a->{t} = 'num' if $a->{r} =~ /\*.*\+/;
		}
		push @items, { %$a, d => 'x' };
	}
	my $having = '';
	if ($dice->chance(@keys ? 0.25 : 0.05))
	{
		$self->{used}{having} = 1;
		my $a = $self->aggregate(\@cols);
		$having = ' HAVING ' . $dice->pick('count(*) > 1', 'count(*) <= ' . $dice->range(2, 6),
			$a->{t} =~ /^(big|num|int|n2)$/ ? "$a->{r} > " . $dice->range(0, 15) : "$a->{r} IS NOT NULL");
	}
	my $group = @keys ? ' GROUP BY ' . join(', ', map { $_->{r} } @keys) : '';
	my $out = $self->listed(@items);

	# positions instead of expressions, where every key is shown
	$group = ' GROUP BY ' . join(', ', 1 .. @keys) if @keys && @items >= @keys && $items[0] == $keys[0] && $dice->chance(0.2);
	$self->written($out, $is_top);
	return {
		sql => "SELECT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.3, 0.08) . $group . $having,
		cols => [ still(@{ $out->{cols} }) ] };
}

sub make_distinct
{
	my ($self, $depth, $source) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = references($input, $alias);
	$self->{used}{distinct} = 1;
	my $out = $self->output(\@cols, 1, 3);
	return {
		sql => "SELECT DISTINCT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.4, 0.08),
		cols => [ still(@{ $out->{cols} }) ] };
}

# ORDER BY that leaves no ties but between equal rows.
sub total_order
{
	my ($self, $input, $cols) = @_;
	my $dice = $self->{dice};
	my $item = sub { $_[0]->{r} . $dice->pick('', ' DESC', ' DESC NULLS LAST', ' NULLS FIRST') };
	my @cols = $dice->shuffle(@$cols);
	my $key = $input->{leaf} ? $input->{leaf}{key} : undef;
	if ($key)
	{
		my %is_key = map { $_ => 1 } @$key;
		my @rest = grep { !$is_key{ $_->{n} } } @cols;
		my @lead = splice(@rest, 0, $dice->range(0, 2));
		return join(', ', map { $item->($_) } @lead, grep { $is_key{ $_->{n} } } @$cols);
	}
	return join(', ', map { $item->($_) } @cols);
}

sub ranked
{
	my ($self, $source) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = references($input, $alias);
	my @by = grep { $_->{d} =~ /^[kgsf]$/ || $_->{t} eq 'bool' } @cols;
	@by = @cols if !@by;
	@by = ($dice->shuffle(@by))[ 0 .. ($dice->chance(0.25) && @by > 1 ? 1 : 0) ];
	return ($input, $alias, \@cols,
		'row_number() OVER (PARTITION BY ' . join(', ', map { $_->{r} } @by) . ' ORDER BY ' . $self->total_order($input, \@cols) . ')');
}

sub make_latest
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my ($input, $alias, $cols, $rank) = $self->ranked($source);
	$self->{used}{latest} = 1;
	my $inner = join(', ', map { $_->{r} } @$cols);
	my $where = $self->where($cols, 0.4, 0.25);
	my $outer = $self->alias;
	my @outer = map { { %$_, r => "$outer.$_->{n}", lin => 0 } } @$cols;
	my $out = $self->output(\@outer, 2, 6);
	my $more = $dice->chance(0.2) ? ' AND ' . $self->predicate(\@outer, 0) : '';
	my $ranked = "SELECT $inner, $rank AS rn FROM $input->{from} AS $alias$where";
	$self->written($out, $is_top);
	return {
		sql => $dice->chance(0.3)
		? "WITH ranked AS ($ranked) SELECT $out->{list} FROM ranked AS $outer WHERE $outer.rn = 1$more"
		: "SELECT $out->{list} FROM ($ranked) AS $outer WHERE $outer.rn = 1$more",
		cols => $out->{cols} };
}

sub make_window
{
	my ($self, $depth, $source) = @_;
	my ($input, $alias, $cols, $rank) = $self->ranked($source);
	$self->{used}{window} = 1;

	# all columns of the order, or which of two rows is first would show
	my $out = $self->listed(@$cols);
	my $n = @$cols + 1;
	return {
		sql => "SELECT $out->{list}, $rank AS c$n FROM $input->{from} AS $alias" . $self->where($cols, 0.4, 0.1),
		cols => [ still(@{ $out->{cols} }), { n => "c$n", t => 'big', d => 'x' } ] };
}

sub make_cte
{
	my ($self, $depth, $source) = @_;
	my $dice = $self->{dice};
	my $inner = $self->select($depth - 1 > 0 ? $depth - 1 : 1);
	my $name = 'w' . ++$self->{alias};
	my $times = $dice->chance(0.5) ? 1 : 2;
	$self->{used}{"cte$times"} = 1;
	my $read = 0;
	my $reader = sub {
		return { from => $name, cols => $inner->{cols} } if $read++ < $times;
		return $self->source(0);
	};
	my $operator = $times == 2 ? $dice->pick('join', 'outer', 'union') : $dice->pick('project', 'join', 'aggregate', 'outer', 'distinct', 'latest');
	my $method = "make_$operator";
	my $body = $self->$method($depth, $reader);
	my $how = $dice->pick('', '', '', 'MATERIALIZED ', 'NOT MATERIALIZED ');
	my $sql = $body->{sql};
	return {
		sql => $sql =~ /^WITH (.*)$/s ? "WITH $name AS $how($inner->{sql}), $1" : "WITH $name AS $how($inner->{sql}) $sql",
		cols => $body->{cols} };
}

1;
