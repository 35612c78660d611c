# Groups.pm: aggregates, GROUP BY, GROUPING SETS and DISTINCT of the random
# definitions.  A part of Generator.pm.
package Groups;

use strict;
use warnings;

# One aggregate: { r, t }.  $plain leaves out those that cannot be a window
# function.
sub aggregate
{
	my ($self, $cols, $plain) = @_;
	my $dice = $self->{dice};
	return $self->rare_aggregate($cols) if !$plain && $dice->chance(0.35);
	if (!$plain && $self->may_nest(0.02))
	{
		$self->{used}{subquery_in_aggregate} = 1;
		return { r => 'sum(' . $self->scalar($cols, 'big', 'num', 'int')->{r} . ')', t => 'num' };
	}
	my @numbers = Expressions::of_type($cols, 'int', 'big', 'n2', 'num');
	my @orderable = Expressions::of_type($cols, 'int', 'big', 'n2', 'num', 'text', 'ts', 'date', 'float');
	my $filter = $self->filter($cols, 0.15, $plain);
	my $form = $dice->fraction;
	return { r => "count(*)$filter", t => 'big' } if $form < 0.18 || !@orderable;
	return { r => 'count(' . $dice->pick(@$cols)->{r} . ")$filter", t => 'big' } if $form < 0.3;
	if ($form < 0.55 || $form > 0.95)
	{
		return { r => "count(*)$filter", t => 'big' } if !@numbers;
		my $c = $dice->pick(@numbers);
		my $argument = $dice->chance(0.25) ? sprintf('CASE WHEN %s THEN %s ELSE 0 END', $self->predicate($cols, 0), $c->{r}) : $c->{r};
		my $type = $c->{t} eq 'int' ? 'big' : 'num';
		return { r => "sum($argument)$filter", t => $type } if $form < 0.55 || $plain;
		return { r => "coalesce(sum($argument)$filter, 0)", t => $type };
	}
	return { r => 'avg(' . $dice->pick(@numbers)->{r} . ")$filter", t => 'num' } if $form < 0.68 && @numbers;
	my $c = $dice->pick(@orderable);
	return { r => ($dice->chance(0.5) ? 'min' : 'max') . "($c->{r})$filter", t => $c->{t} };
}

sub filter
{
	my ($self, $cols, $probability, $in_window) = @_;
	my $dice = $self->{dice};
	return '' if !$dice->chance($probability);
	if ($dice->chance(0.12))
	{
		my $moving = $self->moving_condition($cols);
		if (defined $moving)
		{
			$self->{used}{ $in_window ? 'moving_in_window' : 'moving_in_filter' } = 1;
			return " FILTER (WHERE $moving)";
		}
	}
	$self->{used}{agg_filter} = 1;
	return ' FILTER (WHERE ' . $self->predicate($cols, 0) . ')';
}

# What has no sum to be kept: DISTINCT, ORDER BY, ordered sets, families of
# statistics (rounded, for their last digit depends on the order of reading).
sub rare_aggregate
{
	my ($self, $cols) = @_;
	my $dice = $self->{dice};
	my @exact = Expressions::of_type($cols, 'int', 'big', 'text', 'date');
	my @int = Expressions::of_type($cols, 'int');
	my @number = Expressions::of_type($cols, 'int', 'n2', 'num');
	my @text = Expressions::of_type($cols, 'text');
	my $filter = $self->filter($cols, 0.12);
	my $form = $dice->weighted(boolean => 4, bits => 3, variance => 3, regression => 2, distinct => 6, list => 5, percentile => 3, mode => 2,
		hypothetical => 1, own => 2, json => 3);
	my $used = sub { $self->{used}{"agg_$_[0]"} = 1; return { r => $_[1], t => $_[2] } };
	return $used->('bool', $dice->pick('bool_and', 'bool_or', 'every') . '(' . $self->predicate($cols, 0) . ")$filter", 'bool') if $form eq 'boolean';
	return $used->('bits', $dice->pick('bit_and', 'bit_or', 'bit_xor') . '(' . $dice->pick(@int)->{r} . ")$filter", 'int') if $form eq 'bits' && @int;
	return $used->('variance', 'round(' . $dice->pick('variance', 'var_pop', 'var_samp', 'stddev', 'stddev_pop', 'stddev_samp') . '(' . $dice->pick(@number)->{r} . ")$filter, 6)", 'num')
	  if $form eq 'variance' && @number;
	return $used->('regression', 'round(' . $dice->pick('corr', 'covar_pop', 'covar_samp', 'regr_slope', 'regr_intercept', 'regr_r2', 'regr_avgx', 'regr_sxx', 'regr_count')
		  . '(' . $dice->pick(@int)->{r} . ', ' . $dice->pick(@int)->{r} . ")$filter\::numeric, 4)", 'num')
	  if $form eq 'regression' && @int;
	if ($form eq 'distinct')
	{
		my $x = @number && $dice->chance(0.4) ? $dice->pick(@number) : $dice->pick(@$cols);
		return $used->('distinct', $dice->pick('sum', 'avg') . "(DISTINCT $x->{r})$filter", 'num') if $x->{t} =~ /^(n2|num|int)$/ && $dice->chance(0.4);
		return $used->('distinct', "count(DISTINCT ($x->{r}, $exact[0]{r}))$filter", 'big') if @exact && $dice->chance(0.15);
		return $used->('distinct', "string_agg(DISTINCT $x->{r}, '' ORDER BY $x->{r})$filter", 'text') if $x->{t} eq 'text' && $dice->chance(0.3);
		return $used->('distinct', "count(DISTINCT $x->{r})$filter", 'big');
	}
	if ($form eq 'list' && @exact)
	{
		my $x = $dice->pick(@exact);
		my $order = $dice->chance(0.3) ? $dice->pick(@exact)->{r} . $dice->pick('', ' DESC', ' NULLS FIRST') . ', ' : '';
		$order .= $x->{r} . $dice->pick('', ' DESC');
		return $used->('list', "array_agg($x->{r} ORDER BY $order)$filter", 'arr') if $x->{t} eq 'int';
		return $used->('list', "string_agg($x->{r}, " . Expressions::quote($dice->pick(',', '', "'")) . " ORDER BY $order)$filter", 'text') if $x->{t} eq 'text';
		return $used->('list', "array_agg($x->{r} ORDER BY $order)$filter\::text", 'text');
	}
	if ($form eq 'json' && @exact)
	{
		my $x = $dice->pick(@exact);
		return $used->('json', "json_agg($x->{r} ORDER BY $x->{r})$filter\::text", 'text') if $dice->chance(0.4);
		return $used->('json', "jsonb_agg($x->{r} ORDER BY $x->{r} DESC)$filter", 'js');
	}
	return $used->('percentile', 'percentile_cont(' . $dice->pick('0.5', '0.25', '1') . ') WITHIN GROUP (ORDER BY ' . $dice->pick(@int)->{r} . ")$filter", 'float')
	  if $form eq 'percentile' && @int && $dice->chance(0.5);
	my $x = @exact ? $dice->pick(@exact) : undef;
	return $used->('percentile', 'percentile_disc(' . $dice->pick('0.5', '0.1', '0.9') . ") WITHIN GROUP (ORDER BY $x->{r}" . $dice->pick('', ' DESC') . ")$filter", $x->{t}) if $form eq 'percentile' && $x;
	return $used->('mode', "mode() WITHIN GROUP (ORDER BY $x->{r})$filter", $x->{t}) if $form eq 'mode' && $x;
	return $used->('hypothetical', $dice->pick('rank', 'dense_rank') . '(' . $dice->range(0, 12) . ') WITHIN GROUP (ORDER BY ' . $dice->pick(@int)->{r} . ")$filter", 'big') if $form eq 'hypothetical' && @int;
	return $used->('own', "$self->{schema}.folded(" . $dice->pick(@int)->{r} . ")$filter", 'big') if $form eq 'own' && @int && $self->{schema};
	return { r => "count(*)$filter", t => 'big' };
}

# Aggregates and expressions over them, as items of a select list.
sub aggregates
{
	my ($self, $cols, $from, $to) = @_;
	my $dice = $self->{dice};
	my @items;
	foreach (1 .. $dice->range($from, $to))
	{
		my $a = $self->aggregate($cols);
		if ($dice->chance(0.15))
		{
			my $b = $self->aggregate($cols);
			$self->{used}{agg_expression} = 1;
			$a = { r => "$a->{r} * 2 + $b->{r}", t => 'num' }
			  if $a->{t} =~ /^(big|num)$/ && $b->{t} =~ /^(big|num)$/;
			$a = { r => "round($a->{r}, 2)", t => 'num' } if $a->{t} eq 'num' && $dice->chance(0.5);
			$a = { r => "CASE WHEN count(*) > 2 THEN $a->{r} END", t => $a->{t} } if $dice->chance(0.3);
		}
		push @items, { %$a, d => 'x', made => 1 };
	}
	return @items;
}

# Columns to group by.
sub group_keys
{
	my ($self, $cols, $wanted) = @_;
	my $dice = $self->{dice};
	my @keys;
	my @candidates = $dice->shuffle(grep { $_->{d} =~ /^[kgsf]$/ || $_->{t} =~ /^(bool|date)$/ || ($_->{t} =~ /^(num|arr|js)$/ && $dice->chance(0.2)) } @$cols);
	@candidates = $dice->shuffle(Expressions::of_type($cols, 'int', 'text', 'big')) if !@candidates;
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
	return @keys;
}

# Keys that a subquery may name: an expression is none there.
sub plain_keys
{
	return map { { %$_, lin => 0 } } grep { $_->{r} =~ /^\w+\.\w+$/ } @_;
}

sub having
{
	my ($self, $cols, $all_keys, $probability) = @_;
	my $dice = $self->{dice};
	return '' if !$dice->chance($probability);
	$self->{used}{having} = 1;
	my $keys = [ plain_keys(@$all_keys) ];
	if ($self->may_nest(0.25))
	{
		# the row around is the group: its keys
		$self->{used}{subquery_in_having} = 1;
		return ' HAVING ' . $self->sublink($keys, 'having') if @$keys && $dice->chance(0.6);
		return ' HAVING count(*) ' . $dice->pick('>', '<=', '<>') . ' ' . $self->scalar($keys, 'big', 'num', 'int')->{r};
	}
	if ($dice->chance(0.08))
	{
		my @ts = Expressions::of_type($cols, 'ts');
		if (@ts)
		{
			$self->{used}{moving} = $self->{used}{moving_in_having} = 1;
			return ' HAVING max(' . $dice->pick(@ts)->{r} . ") > now() - interval '" . $dice->range(0, 12) . " seconds'";
		}
	}
	my $a = $self->aggregate($cols);
	return ' HAVING ' . $dice->pick('count(*) > 1', 'count(*) <= ' . $dice->range(2, 6),
		$a->{t} =~ /^(big|num|int|n2)$/ ? "$a->{r} > " . $dice->range(0, 15) : "$a->{r} IS NOT NULL");
}

sub make_aggregate
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	my @keys = $self->group_keys(\@cols, $dice->weighted(0 => 2, 1 => 6, 2 => 3, 3 => 1));
	$self->{used}{ @keys ? 'group_by' : 'global_aggregate' } = 1;
	my @items = $dice->chance(0.1) && @keys > 1 ? @keys[ 1 .. $#keys ] : @keys;
	push @items, $self->aggregates(\@cols, 1, 4);
	push @items, $self->scalar_item([ plain_keys(@keys) ]) if plain_keys(@keys) && $self->may_nest(0.06);
	my $having = $self->having(\@cols, \@keys, @keys ? 0.25 : 0.05);
	my $group = @keys ? ' GROUP BY ' . join(', ', map { $_->{r} } @keys) : '';
	my $out = $self->listed(@items);

	# positions instead of expressions, where every key is shown
	$group = ' GROUP BY ' . join(', ', 1 .. @keys) if @keys && @items >= @keys && $items[0] == $keys[0] && $dice->chance(0.2);
	$self->written($out, $is_top);
	return {
		sql => "SELECT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.3, 0.08) . $group . $having,
		cols => [ Expressions::still(@{ $out->{cols} }) ] };
}

sub make_grouping
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	my @keys = $self->group_keys(\@cols, $dice->range(2, 3));

	# a domain that a NULL of the grouping might not be of is refused
	@keys = map { $_->{domain} ? { %$_, r => "($_->{r})::$Expressions::SQLTYPE{ $_->{t} }", domain => 0 } : $_ } @keys;
	return $self->make_aggregate($depth, sub { $input }, $is_top) if @keys < 2;
	my @k = map { $_->{r} } @keys;
	my $all = join(', ', @k);
	my $form = $dice->range(0, 5);
	my $sets =
		$form == 0 ? "ROLLUP ($all)"
	  : $form == 1 ? "CUBE ($all)"
	  : $form == 2 ? "GROUPING SETS (($all), ($k[0]), ())"
	  : $form == 3 ? "$k[0], ROLLUP (" . join(', ', @k[ 1 .. $#k ]) . ')'
	  : $form == 4 ? "GROUPING SETS ($k[0], $k[1], ROLLUP ($k[-1]))"
	  : "GROUPING SETS (($k[0]), ($all), ($k[0]))";
	$self->{used}{grouping_sets} = 1;
	my @items = (@keys, $self->aggregates(\@cols, 1, 3));
	if ($dice->chance(0.6))
	{
		$self->{used}{grouping} = 1;
		push @items, { r => "GROUPING ($all)", t => 'int', d => 'x' };
	}
	my $having = $dice->chance(0.15) ? " HAVING GROUPING ($k[0]) = 0 OR count(*) > 2" : $self->having(\@cols, [], 0.15);
	my $out = $self->listed(@items);
	$self->written($out, $is_top);
	return {
		sql => "SELECT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.3, 0.05) . " GROUP BY $sets$having",
		cols => [ Expressions::still(@{ $out->{cols} }) ] };
}

sub make_distinct
{
	my ($self, $depth, $source) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	$self->{used}{distinct} = 1;
	my $out = $self->output(\@cols, 1, 3);
	return {
		sql => "SELECT DISTINCT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.4, 0.08),
		cols => [ Expressions::still(@{ $out->{cols} }) ] };
}

1;
