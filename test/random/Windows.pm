# Windows.pm: window functions, ranks as filters, DISTINCT ON, ORDER BY with LIMIT
# of the random definitions.  A part of Generator.pm.
package Windows;

use strict;
use warnings;

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

# LIMIT and its kin, for an order without ties.
sub limit
{
	my ($self) = @_;
	my $dice = $self->{dice};
	my ($n, $m) = ($dice->range(1, 8), $dice->range(1, 4));
	my $form = $dice->range(0, 7);
	return " OFFSET $m" if $form == 0;
	return " LIMIT $n OFFSET $m" if $form <= 2;
	return " FETCH FIRST $n ROWS ONLY" if $form == 3;
	return " OFFSET $m ROWS FETCH NEXT $n ROWS ONLY" if $form == 4;
	return " FETCH FIRST $n ROWS WITH TIES" if $form == 5;
	return " LIMIT $n + 1";
}

sub partition
{
	my ($self, $cols) = @_;
	my $dice = $self->{dice};
	my @by = grep { $_->{d} =~ /^[kgsf]$/ || $_->{t} eq 'bool' } @$cols;
	@by = @$cols if !@by;
	@by = ($dice->shuffle(@by))[ 0 .. ($dice->chance(0.25) && @by > 1 ? 1 : 0) ];
	return 'PARTITION BY ' . join(', ', map { $dice->chance(0.1) && $_->{t} eq 'int' ? "$_->{r} % 4" : $_->{r} } @by);
}

sub ranked
{
	my ($self, $source) = @_;
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	return ($input, $alias, \@cols,
		'row_number() OVER (' . $self->partition(\@cols) . ' ORDER BY ' . $self->total_order($input, \@cols) . ')');
}

# The newest row of a partition, the first few, some in the middle.
sub make_latest
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my ($input, $alias, $cols, $rank) = $self->ranked($source);
	my $test = '= 1';
	if ($dice->chance(0.45))
	{
		$self->{used}{rank_filter} = 1;
		$test = $dice->pick('<= 2', '<= 3', '< 3', 'BETWEEN 2 AND 3', '= 2', '> 1', 'IN (1, 3)');
		if ($dice->chance(0.4))
		{
			# ties have the same rank, in any order
			my $order = $dice->pick(@$cols)->{r} . $dice->pick('', ' DESC');
			$rank = $dice->pick('rank()', 'dense_rank()') . ' OVER (' . ($dice->chance(0.8) ? $self->partition($cols) : '') . " ORDER BY $order)";
			$self->{used}{rank_with_ties} = 1;
		}
		elsif ($dice->chance(0.15))
		{
			$rank = 'row_number() OVER (ORDER BY ' . $self->total_order($input, $cols) . ')';
		}
	}
	else
	{
		$self->{used}{latest} = 1;
	}
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
		? "WITH ranked AS ($ranked) SELECT $out->{list} FROM ranked AS $outer WHERE $outer.rn $test$more"
		: "SELECT $out->{list} FROM ($ranked) AS $outer WHERE $outer.rn $test$more",
		cols => $out->{cols} };
}

sub make_distinct_on
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	$self->{used}{distinct_on} = 1;
	my @by = $self->group_keys(\@cols, $dice->weighted(1 => 7, 2 => 3));
	@by = ($cols[0]) if !@by;
	my $on = join(', ', map { $_->{r} } @by);
	my $order = join(', ', map { $_->{r} . $dice->pick('', ' DESC') } @by) . ', ' . $self->total_order($input, \@cols);
	my $out = $self->output([ Expressions::still(@cols) ], 2, 5);
	$self->written($out, $is_top);
	return { sql => "SELECT DISTINCT ON ($on) $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.4, 0.1) . " ORDER BY $order", cols => [ Expressions::still(@{ $out->{cols} }) ] };
}

sub make_top
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	$self->{used}{limit} = 1;
	$self->{used}{limit_at_top} = 1 if $is_top;
	my $where = $self->where(\@cols, 0.4, 0.12);
	my $out = $self->output([ Expressions::still(@cols) ], 2, 6);
	my @result = Expressions::still(@{ $out->{cols} });
	if ($dice->chance(0.2))
	{
		# an order with ties, which are all taken
		$self->{used}{with_ties} = 1;
		my $order = join(', ', map { $dice->pick(@cols)->{r} . $dice->pick('', ' DESC') } 1 .. $dice->range(1, 2));
		return { sql => "SELECT $out->{list} FROM $input->{from} AS $alias$where ORDER BY $order FETCH FIRST " . $dice->range(1, 8) . ' ROWS WITH TIES', cols => \@result };
	}
	if ($dice->chance(0.2))
	{
		# the order is that of the groups or the distinct rows
		$self->{used}{limit_above_group} = 1;
		my $grouped = $dice->chance(0.5) ? $self->make_aggregate($depth, sub { $input }) : $self->make_distinct($depth, sub { $input });
		return { sql => "$grouped->{sql} ORDER BY " . join(', ', $dice->shuffle(1 .. @{ $grouped->{cols} })) . $self->limit, cols => $grouped->{cols} };
	}
	return { sql => "SELECT $out->{list} FROM $input->{from} AS $alias$where ORDER BY " . $self->total_order($input, \@cols) . $self->limit, cols => \@result };
}

# --- window functions ----------------------------------------------------

sub frame
{
	my ($self, $unit) = @_;
	my $dice = $self->{dice};
	my @from = ('UNBOUNDED PRECEDING', '2 PRECEDING', '1 PRECEDING', 'CURRENT ROW', '1 FOLLOWING');
	my @to = ('1 PRECEDING', 'CURRENT ROW', '1 FOLLOWING', '3 FOLLOWING', 'UNBOUNDED FOLLOWING');
	my %at = ('UNBOUNDED PRECEDING' => 0, '2 PRECEDING' => 1, '1 PRECEDING' => 2, 'CURRENT ROW' => 3, '1 FOLLOWING' => 4, '3 FOLLOWING' => 5, 'UNBOUNDED FOLLOWING' => 6);
	my $from = $dice->pick(@from);
	my $to = $dice->pick(grep { $at{$_} >= $at{$from} } @to);
	my $frame = $dice->chance(0.2) && $at{$from} <= 3 ? "$unit $from" : "$unit BETWEEN $from AND $to";
	$self->{used}{frame} = 1;
	if ($dice->chance(0.25))
	{
		$self->{used}{exclude} = 1;
		$frame .= ' EXCLUDE ' . $dice->pick('CURRENT ROW', 'GROUP', 'TIES', 'NO OTHERS');
	}
	return " $frame";
}

# The window: its text, and whether functions may tell the rows apart by their place in it.
sub window
{
	my ($self, $input, $cols, $may_tell, $partition) = @_;
	my $dice = $self->{dice};
	$partition //= $dice->chance(0.82) ? $self->partition($cols) : '';
	$self->{used}{no_partition} = 1 if $partition eq '';
	my @int = Expressions::of_type($cols, 'int');
	my $form = $dice->weighted($may_tell ? (total => 6, rows => 5) : (), peers => 2, groups => 2, @int ? (range => 2) : (), none => 1);
	return ($partition, 0) if $form eq 'none';
	return ("$partition ORDER BY " . $dice->pick(@$cols)->{r} . $dice->pick('', ' DESC'), 0) if $form eq 'peers';
	return ("$partition ORDER BY " . $dice->pick(@$cols)->{r} . $self->frame('GROUPS'), 0) if $form eq 'groups';
	return ("$partition ORDER BY " . $dice->pick(@int)->{r} . $self->frame('RANGE'), 0) if $form eq 'range';
	return ("$partition ORDER BY " . $self->total_order($input, $cols) . ($form eq 'rows' ? $self->frame('ROWS') : ''), 1);
}

# A window function that the order determines: { r, t }, r without OVER.
sub window_function
{
	my ($self, $cols, $total) = @_;
	my $dice = $self->{dice};
	my $form = $dice->weighted(aggregate => 8, rank => 4, $total ? (row_number => 4, offset => 6, value => 5, ntile => 2) : ());
	return { r => 'row_number()', t => 'big' } if $form eq 'row_number';
	return { r => 'ntile(' . $dice->range(2, 4) . ')', t => 'int' } if $form eq 'ntile';
	if ($form eq 'rank')
	{
		my $name = $dice->pick('rank', 'dense_rank', 'percent_rank', 'cume_dist');
		return { r => "$name()", t => $name =~ /^(rank|dense_rank)$/ ? 'big' : 'float' };
	}
	my $x = $dice->pick(@$cols);
	if ($form eq 'offset')
	{
		my $name = $dice->pick('lag', 'lead');
		$self->{used}{lag_lead} = 1;
		return { r => "$name($x->{r})", t => $x->{t} } if $dice->chance(0.5);
		return { r => "$name($x->{r}, " . $dice->range(0, 3) . ')', t => $x->{t} } if $x->{t} ne 'int';
		return { r => "$name($x->{r}, 2, -7)", t => 'int' };
	}
	if ($form eq 'value')
	{
		$self->{used}{first_last} = 1;
		my $name = $dice->pick('first_value', 'last_value', 'nth_value');
		return { r => "$name($x->{r}" . ($name eq 'nth_value' ? ', 2' : '') . ')', t => $x->{t} };
	}
	return $self->aggregate($cols, 1);
}

sub make_window
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	$self->{used}{window} = 1;
	my (@items, @named);
	my $told = 0;
	my $partition;
	foreach my $i (1 .. $dice->weighted(1 => 5, 2 => 3, 3 => 1))
	{
		# the same rows in several orders and frames, or others
		$partition = undef if $dice->chance(0.4);

		# which of two equal rows is first may be another one in each window
		my ($window, $total) = $self->window($input, \@cols, !$told || $input->{leaf} && $input->{leaf}{key}, $partition);
		$partition = $window =~ s/(?:^| )ORDER BY .*//r;
		$told = 1 if $total;
		$self->{used}{windows} = 1 if $i > 1;
		my $name = $dice->chance(0.25) ? "w$i" : undef;
		push @named, "$name AS ($window)" if defined $name;
		foreach (1 .. $dice->range(1, 2))
		{
			my $f = $self->window_function(\@cols, $total);
			my $over = defined $name ? $name : "($window)";
			my $item = { r => "$f->{r} OVER $over", t => $f->{t}, d => 'x', made => 1 };
			$item = { %$item, r => "coalesce($item->{r}, 0) + 1" } if $f->{t} =~ /^(big|num)$/ && $dice->chance(0.15);
			push @items, $item;
		}
	}

	# all columns of the order, or which of two rows is first would show
	my $out = $self->listed(@cols, @items);
	$self->written($out, $is_top);
	return {
		sql => "SELECT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.4, 0.1) . (@named ? ' WINDOW ' . join(', ', @named) : ''),
		cols => [ Expressions::still(@{ $out->{cols} }) ] };
}

# Windows over groups.
sub make_window_over_groups
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	my @keys = $self->group_keys(\@cols, $dice->range(1, 2));
	return $self->make_window($depth, sub { $input }, $is_top) if !@keys;
	$self->{used}{window_over_groups} = 1;
	my @r = map { $_->{r} } @keys;
	my $order = join(', ', map { $_ . $dice->pick('', ' DESC') } $dice->shuffle(@r));
	my @items = (@keys, $self->aggregates(\@cols, 1, 2));
	foreach (1 .. $dice->range(1, 2))
	{
		push @items, {
			t => 'num', d => 'x',
			r => $dice->pick(
				"sum(count(*)) OVER (ORDER BY $order)", "count(*) * 100 / nullif(sum(count(*)) OVER (), 0)",
				"rank() OVER (ORDER BY count(*) DESC)", "row_number() OVER (ORDER BY count(*), $order)",
				"count(*) - lag(count(*), 1, 0::bigint) OVER (ORDER BY $order)", "max(count(*)) OVER (PARTITION BY $r[0])") };
	}
	my $having = $self->having(\@cols, [], 0.15);
	my $out = $self->listed(@items);
	$self->written($out, $is_top);
	return {
		sql => "SELECT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.3, 0.05) . ' GROUP BY ' . join(', ', @r) . $having,
		cols => [ Expressions::still(@{ $out->{cols} }) ] };
}

1;
