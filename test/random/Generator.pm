# Generator.pm: random defining queries for the randomised oracle.
#
# A generator is made over a list of leaves (tables, views, dynamic tables:
# name and columns) and makes SELECTs over them, nested up to a given depth, of
# the constructs in @OPERATORS.  What each of them looks like stands in Joins.pm,
# Groups.pm, Windows.pm, Subqueries.pm, Rows.pm and, for what all of them use,
# Expressions.pm.
#
# Every query it makes has a determined result: ranks and limits have a total
# order, aggregates that depend on the order of their input say which, and
# nothing is volatile.
#
# A column is { n => name, t => type, d => domain, lin => a condition on now() reaches its source,
# made => computed, domain => of a domain }, and r => the reference to it where it is read.  Types: see
# %Expressions::SQLTYPE.  Domains: k, g, s, id are worth joining and grouping on, f only
# worth grouping on (it has equal values that print differently); x is anything
# else.
package Generator;

use strict;
use warnings;
use Dice;
use Expressions;
use Groups;
use Joins;
use Rows;
use Subqueries;
use Windows;

our @ISA = qw(Expressions Groups Joins Rows Subqueries Windows);

# What a SELECT is made of, by weight.
my @OPERATORS = (
	project => 9,
	join => 14,
	outer => 12,
	tree => 9,
	natural => 4,
	wide => 1.5,
	lateral => 7,
	union => 6,
	set => 7,
	aggregate => 19,
	grouping => 5,
	distinct => 5,
	distinct_on => 4,
	latest => 9,
	window => 9,
	window_over_groups => 4,
	top => 7,
	rows => 8,
	cte => 8,
	recursive => 3,
	moving => 9);

# Constructs that a definition may be refused for, as docs/sql.md says, with full refreshes then:
# some conditions on now(), in a window function and in ON of an outer join that has no key.  All
# others must be incremental.
our %MAY_BE_FULL = map { $_ => 1 } qw(moving_in_window moving_in_on subquery_in_outer_on);

# What a run of some hundred definitions must have tried.
our @CONSTRUCTS = qw(filter join2 join3 join4 self_join using natural cross nested_join loose_join loose_outer_join wide_join
  inner_join left_join right_join full_join lateral lateral_rows lateral_aggregate lateral_top lateral_values lateral_row lateral_arms lateral_left
  union_all union intersect except intersect_all except_all nested_set_operation set_types
  group_by global_aggregate having agg_filter agg_expression agg_bool agg_bits agg_variance agg_regression agg_distinct agg_list
  agg_json agg_percentile agg_mode agg_hypothetical agg_own grouping_sets grouping distinct distinct_on
  subquery exists not_exists in not_in any_all multi_column_in scalar_subquery scalar_by_key scalar_limit arms_in_subquery with_in_subquery correlated correlated_otherwise uncorrelated
  subquery_in_where subquery_in_select subquery_in_case subquery_in_or subquery_in_having subquery_in_deep subquery_in_on
  latest rank_filter rank_with_ties window windows frame exclude no_partition lag_lead first_last window_over_groups
  limit limit_at_top with_ties limit_above_group srf_in_list row_function ordinality srf_series srf_unnest srf_elements srf_rows values
  cte1 cte2 recursive transitive_closure moving moving_above moving_in_filter written_at
  view dynamic barrier keyed keyless);

sub new
{
	my ($class, $dice, @leaves) = @_;
	my ($schema) = ($leaves[0]{name} // '') =~ /^(\w+)\./;
	return bless { dice => $dice, leaves => \@leaves, schema => $schema, alias => 0, used => {} }, $class;
}

# --- a whole definition --------------------------------------------------

# { sql, columns => [names], compare => [names left when written-at columns
# are taken out], constructs => [names], moving => bool, must => bool: it must be incremental }
sub definition
{
	my ($self, $depth) = @_;
	$self->{used} = {};
	$self->{nest} = $self->{dice}->weighted(0 => 5, 1 => 5, 2 => 3, 3 => 1.5);
	my $top = $self->select($depth, undef, 1);
	my @columns = map { $_->{n} } @{ $top->{cols} };
	return {
		sql => $top->{sql},
		columns => [@columns],
		compare => [ grep { $_ ne 'written' } @columns ],
		cols => [ grep { $_->{n} ne 'written' } @{ $top->{cols} } ],
		constructs => [ sort keys %{ $self->{used} } ],
		moving => exists $self->{used}{moving},
		must => !grep { $MAY_BE_FULL{$_} } keys %{ $self->{used} } };
}

sub select
{
	my ($self, $depth, $source, $is_top) = @_;
	my $operator = $self->{dice}->weighted(@OPERATORS);
	$source //= sub { $self->source($depth - 1, @_) };
	my $method = "make_$operator";
	return $self->$method($depth, $source, $is_top);
}

# One of the leaves, with what is behind it.
sub take
{
	my ($self, @leaves) = @_;
	my $leaf = $self->{dice}->pick(@leaves);
	$self->{used}{ $leaf->{kind} } = 1;
	$self->{used}{barrier} = 1 if $leaf->{barrier};
	$self->{used}{$_} = 1 foreach @{ $leaf->{uses} // [] };
	return $leaf;
}

# Something to read in FROM: { from, cols, leaf }.
sub source
{
	my ($self, $depth) = @_;
	my $dice = $self->{dice};
	if ($depth <= 0 || $dice->chance(0.3))
	{
		my $leaf = $self->take(@{ $self->{leaves} });
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

# --- the plainest operators ----------------------------------------------

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

1;
