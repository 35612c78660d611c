# Rows.pm: row sources other than tables, WITH, set operations and recursion of
# the random definitions.  A part of Generator.pm.
package Rows;

use strict;
use warnings;

# --- set operations ------------------------------------------------------

# One SELECT with columns of the types c1 .. cn.
sub branch
{
	my ($self, $source, @types) = @_;
	my $dice = $self->{dice};
	my $input = $source->();
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	my $n = 0;
	my @list = map {
		my @k = grep { $_->{d} eq 'k' } @cols;
		my $e = $n == 0 && @k ? $dice->pick(@k)->{r} : $self->expression(\@cols, $_, 1);
		$n++;
		"($e)::$Expressions::SQLTYPE{$_} AS c$n"
	} @types;
	return 'SELECT ' . join(', ', @list) . " FROM $input->{from} AS $alias" . $self->where(\@cols, 0.5, 0.1);
}

sub make_union
{
	my ($self, $depth, $source) = @_;
	my $dice = $self->{dice};
	$self->{used}{union_all} = 1;
	my @types = ('int', map { $dice->pick('int', 'text', 'num', 'big', 'bool') } 1 .. $dice->range(1, 3));
	my @branches = map { $self->branch($source, @types) } 1 .. $dice->weighted(2 => 7, 3 => 3);
	my $n = 0;
	my @cols = map { $n++; { n => "c$n", t => $_, d => $n == 1 ? 'k' : 'x' } } @types;
	return { sql => join(' UNION ALL ', @branches), cols => \@cols };
}

# A tree of set operations.
sub operation
{
	my ($self, $source, $branches, @types) = @_;
	my $dice = $self->{dice};
	if ($branches == 1)
	{
		# integers of another width in this one
		my @own = map { $_ eq 'int' && $dice->chance(0.15) ? 'big' : $_ eq 'num' && $dice->chance(0.2) ? 'int' : $_ } @types;
		$self->{used}{set_types} = 1 if "@own" ne "@types";
		return $self->branch($source, @own);
	}
	my $at = $dice->range(1, $branches - 1);
	my ($l, $r) = ($self->operation($source, $at, @types), $self->operation($source, $branches - $at, @types));
	my $kind = $dice->pick('UNION', 'INTERSECT', 'EXCEPT', 'INTERSECT ALL', 'EXCEPT ALL', 'UNION ALL');
	$self->{used}{ lc($kind) =~ s/ /_/r } = 1;
	$self->{used}{nested_set_operation} = 1 if $branches > 2;
	$l = "($l)" if $at > 1;
	$r = "($r)" if $branches - $at > 1;
	return "$l $kind $r";
}

sub make_set
{
	my ($self, $depth, $source) = @_;
	my $dice = $self->{dice};
	my @types = ($dice->pick('int', 'int', 'text'), map { $dice->pick('int', 'text', 'bool', 'num') } 1 .. $dice->range(0, 2));

	# few different values, or nothing would meet
	my $first = $source->();
	my $reader = sub { $dice->chance(0.4) ? $first : $source->() };
	my $sql = $self->operation($reader, $dice->weighted(2 => 6, 3 => 3, 4 => 1), @types);
	my $n = 0;
	my @cols = map { $n++; { n => "c$n", t => $_ eq 'int' ? 'big' : $_, d => $n == 1 && $_ eq 'int' ? 'k' : 'x' } } @types;
	if ($dice->chance(0.1))
	{
		$self->{used}{set_limit} = 1;
		$sql = "($sql) ORDER BY " . join(', ', 1 .. @types) . $self->limit;
	}
	return { sql => $sql, cols => \@cols };
}

# --- functions that return rows ------------------------------------------

# A function in FROM over the columns of earlier items: { from, columns, cols }.
sub row_function
{
	my ($self, $outer) = @_;
	my $dice = $self->{dice};
	my ($array) = Expressions::of_type($outer, 'arr');
	my ($json) = Expressions::of_type($outer, 'js');
	my @int = Expressions::of_type($outer, 'int');
	my @text = Expressions::of_type($outer, 'text');
	my $int = sub { @int ? $dice->pick(@int)->{r} : $dice->range(1, 4) };
	my $text = sub { @text ? $dice->pick(@text)->{r} : "'a b'" };
	my $one = sub { my ($from, $type) = @_; return { from => $from, columns => '(c1)', cols => [ { n => 'c1', t => $type, d => 'x' } ] } };
	my $form = $dice->weighted(series => 5, $array ? (unnest => 9) : (), $json ? (elements => 8, each => 4, path => 4) : (), split => 2, rows => 2, own => 1, constant => 1);
	$self->{used}{"srf_$form"} = 1;
	my $result;
	$result = $one->('generate_series(1, ' . $int->() . ' % 4)', 'int') if $form eq 'series';
	$result = $one->("unnest($array->{r})", 'int') if $form eq 'unnest';
	$result = $one->("jsonb_array_elements($json->{r} -> 'l')", 'js') if $form eq 'elements';
	$result = $one->("jsonb_path_query($json->{r}, '\$.l[*] ? (@ > 2)')", 'js') if $form eq 'path';
	$result = $one->("string_to_table(" . $text->() . ", ' ')", 'text') if $form eq 'split';
	$result = $one->("$self->{schema}.letters(" . $text->() . ')', 'text') if $form eq 'own' && $self->{schema};
	$result = $one->('generate_series(1, 2)', 'int') if $form eq 'constant' || !$result && $form eq 'own';
	$result = { from => "jsonb_each_text($json->{r})", columns => '(c1, c2)', cols => [ { n => 'c1', t => 'text', d => 'x' }, { n => 'c2', t => 'text', d => 'x' } ] } if $form eq 'each';
	$result = { from => 'ROWS FROM (generate_series(1, ' . $int->() . ' % 3), string_to_table(' . $text->() . ", ' '))", columns => '(c1, c2)',
		cols => [ { n => 'c1', t => 'int', d => 'x' }, { n => 'c2', t => 'text', d => 'x' } ] } if $form eq 'rows';
	if ($dice->chance(0.3))
	{
		$self->{used}{ordinality} = 1;
		my $n = @{ $result->{cols} } + 1;
		$result->{from} .= ' WITH ORDINALITY';
		$result->{columns} = '(' . join(', ', map { "c$_" } 1 .. $n) . ')';
		push @{ $result->{cols} }, { n => "c$n", t => 'big', d => 'x' };
	}
	return $result;
}

sub make_rows
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $input;
	foreach (1 .. 4)
	{
		# something to take apart, if there is
		$input = $_ > 2 ? $self->source(0) : $source->();
		last if Expressions::of_type($input->{cols}, 'arr', 'js');
	}
	my $alias = $self->alias;
	my @cols = Generator::references($input, $alias);
	my $form = $dice->weighted(from => 7, list => 3, values => 3, alone => 1);
	if ($form eq 'list')
	{
		# in the select list
		$self->{used}{srf_in_list} = 1;
		my ($array) = Expressions::of_type(\@cols, 'arr');
		my @int = Expressions::of_type(\@cols, 'int');
		my @items = map { $dice->pick(@cols) } 1 .. $dice->range(1, 3);
		push @items, { r => $array && $dice->chance(0.6) ? "unnest($array->{r})" : 'generate_series(1, ' . (@int ? $dice->pick(@int)->{r} . ' % 3' : 2) . ')', t => 'int', d => 'x' };
		my $out = $self->listed(@items);
		return { sql => "SELECT $out->{list} FROM $input->{from} AS $alias" . $self->where(\@cols, 0.4, 0.1), cols => $out->{cols} };
	}
	my $name = $self->alias;
	if ($form eq 'values')
	{
		$self->{used}{values} = 1;
		my $rows = join(', ', map { '(' . $dice->range(0, 24) . ', ' . Expressions::quote($dice->pick('x', 'y', 'a')) . ')' } 1 .. $dice->range(2, 6));
		my @new = ({ n => 'c1', t => 'int', d => 'k', r => "$name.c1" }, { n => 'c2', t => 'text', d => 's', r => "$name.c2" });
		my $condition = $self->link_condition(\@cols, \@new, 0.1) // 'true';
		my $out = $self->output([ @cols, @new ], 3, 6);
		my $kind = $dice->pick('JOIN', 'JOIN', 'LEFT JOIN', 'RIGHT JOIN');
		return { sql => "SELECT $out->{list} FROM $input->{from} AS $alias $kind (VALUES $rows) AS $name(c1, c2) ON $condition" . $self->where(\@cols, 0.2, 0), cols => [ Expressions::still(@{ $out->{cols} }) ] };
	}
	my $function = $form eq 'alone' ? $self->row_function([]) : $self->row_function(\@cols);
	my @new = Generator::references($function, $name);
	$self->{used}{row_function} = 1;
	my $read = "$function->{from} AS $name$function->{columns}";
	my $out = $self->output([ @cols, @new ], 3, 6);
	$self->written($out, $is_top);
	my $join = $dice->weighted(", $read" => 5, " CROSS JOIN LATERAL $read" => 2, " LEFT JOIN $read ON true" => 3, " JOIN LATERAL $read ON " . $self->predicate(\@new, 0) => 1);
	$self->{used}{srf_left} = 1 if $join =~ /^ LEFT/;
	return { sql => "SELECT $out->{list} FROM $input->{from} AS $alias$join" . $self->where([ @cols, @new ], 0.4, 0.1), cols => $out->{cols} };
}

# --- WITH ----------------------------------------------------------------

sub make_cte
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $inner = $self->select($depth - 1 > 0 ? $depth - 1 : 1);
	my $name = 'w' . ++$self->{alias};
	my $times = $dice->weighted(1 => 5, 2 => 4, 3 => 1);
	$self->{used}{"cte$times"} = 1;
	my $read = 0;
	my $reader = sub {
		return { from => $name, cols => $inner->{cols} } if $read++ < $times;
		return $self->source(0);
	};
	my $operator = $times >= 2 ? $dice->pick('join', 'outer', 'union', 'set', 'tree') : $dice->pick('project', 'join', 'aggregate', 'outer', 'distinct', 'latest', 'window', 'top');
	my $method = "make_$operator";
	my $body = $self->$method($depth, $reader);
	my $how = $dice->pick('', '', '', 'MATERIALIZED ', 'NOT MATERIALIZED ');
	my $sql = $body->{sql};

	# the body may begin with a WITH of its own
	return {
		sql => $sql =~ /^WITH (?!RECURSIVE)(.*)$/s ? "WITH $name AS $how($inner->{sql}), $1" : "WITH $name AS $how($inner->{sql}) $sql",
		cols => $body->{cols} };
}

# Walks of a few steps over pairs of columns, and counting without a table.
sub make_recursive
{
	my ($self, $depth, $source, $is_top) = @_;
	my $dice = $self->{dice};
	my $name = 'w' . ++$self->{alias};
	$self->{used}{recursive} = 1;
	my @edges = grep { (grep { $_->{t} eq 'int' } @{ $_->{cols} }) >= 2 } @{ $self->{leaves} };
	if ($dice->chance(0.15) || !@edges)
	{
		my $input = $source->();
		my $alias = $self->alias;
		my @cols = Generator::references($input, $alias);
		my @new = ({ n => 'n', t => 'int', d => 'k', r => "$name.n" });
		my $condition = $self->link_condition(\@cols, \@new, 0) // "$name.n = 1";
		my $out = $self->output([ @cols, @new ], 2, 5);
		return { sql => "WITH RECURSIVE $name(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM $name WHERE n < " . $dice->range(3, 6) . ") SELECT $out->{list} FROM $input->{from} AS $alias "
			  . $dice->pick('JOIN', 'LEFT JOIN') . " $name ON $condition", cols => [ Expressions::still(@{ $out->{cols} }) ] };
	}
	my $edge = $self->take(@edges);
	my @ints = $dice->shuffle(Expressions::of_type($edge->{cols}, 'int'));
	my ($from, $to) = map { $_->{n} } @ints[ 0, 1 ];
	my $start = $dice->chance(0.5) ? "SELECT $from, $to, 1 FROM $edge->{name} AS e0 WHERE $from % 4 = " . $dice->range(0, 3) : "SELECT DISTINCT $from, $to, 1 FROM $edge->{name} AS e0 WHERE $from < " . $dice->range(2, 9);
	my $modulus = $dice->chance(0.5) ? "e.$from = w.n" : "e.$from = w.n % 7";
	my $steps = $dice->range(2, 3);
	my $union = $dice->weighted(UNION => 6, 'UNION ALL' => 4);
	my $more = $dice->chance(0.25) ? ' AND ' . $self->predicate([ map { { %$_, r => "e.$_->{n}" } } @{ $edge->{cols} } ], 0) : '';
	my $recursive = "$start $union SELECT w.o, e.$to, w.d + 1 FROM $name AS w JOIN $edge->{name} AS e ON $modulus WHERE w.d < $steps$more";
	$recursive = "SELECT $from, $to FROM $edge->{name} AS e0 WHERE $from < " . $dice->range(2, 9) . " UNION SELECT w.o, e.$to FROM $name AS w JOIN $edge->{name} AS e ON e.$from = w.n"
	  if $dice->chance(0.3) and $self->{used}{transitive_closure} = 1;
	my $has_depth = $recursive =~ /w\.d/;
	my $outer = $self->alias;
	my @cols = map { { %$_, r => "$outer.$_->{n}" } } ({ n => 'o', t => 'int', d => 'x' }, { n => 'n', t => 'int', d => 'x' }, $has_depth ? { n => 'd', t => 'int', d => 'x' } : ());
	my $list = join(', ', map { $_->{n} } @cols);
	my $reader = sub { return { from => $name, cols => [ map { { %$_ } } @cols ] } };
	my $operator = $dice->pick('make_project', 'make_aggregate', 'make_distinct');
	my $body = $self->$operator(1, $reader);
	return { sql => "WITH RECURSIVE $name($list) AS ($recursive) $body->{sql}", cols => [ Expressions::still(@{ $body->{cols} }) ] };
}

1;
