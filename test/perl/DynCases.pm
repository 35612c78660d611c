# DynCases.pm: tables of cases, each a change and what the next refresh must do.
#
# Each case runs with changes pending: some committed before, some in the
# transaction of the case before and after it, some committed later.  Then the
# tables are refreshed, and compared with their queries in the same transaction.
package DynCases;

use strict;
use warnings;
use DynTest;
use Test::More;

sub new
{
	my ($class, $node) = @_;
	return bless { node => $node, query => {}, no => 1000 }, $class;
}

sub run { return $_[0]->{node}->safe_psql('postgres', $_[1]); }

# A dynamic table; $before: SQL in the session that makes it.
sub table
{
	my ($self, $name, $query, $before) = @_;
	$self->{query}{$name} = $query;
	$self->run(($before ? "$before; " : '') . "SELECT dyntable_create('$name', \$q\$$query\$q\$, '1 day')");
	return;
}

# The text with fresh numbers in the place of $n.
sub fresh
{
	my ($self, $change) = @_;
	$self->{no}++;
	return $change =~ s/\$n/$self->{no}/gr;
}

# Wait until capture has taken note of what happened to the sources.
my $settle = <<'SQL';
DO $$ BEGIN
	FOR i IN 1 .. 18000 LOOP
		EXIT WHEN NOT EXISTS (
			SELECT FROM dyntable.source s, unnest(s.columns) n JOIN pg_attribute a ON a.attnum = n
			WHERE a.attrelid = s.relid AND NOT a.attisdropped AND NOT EXISTS (
				SELECT FROM pg_attribute l JOIN pg_type t ON t.oid = a.atttypid
				WHERE l.attrelid = s.log AND l.attname = 'a' || n AND l.atttypid IN (a.atttypid, t.typbasetype)))
		AND NOT EXISTS (
			SELECT FROM dyntable.source s JOIN pg_class c ON c.oid = s.relid
			WHERE relreplident <> 'f' AND relpersistence = 'p')
		AND NOT EXISTS (
			SELECT FROM dyntable.edge e JOIN pg_class c ON c.oid = e.source
			WHERE e.kind = 'b' AND relpersistence = 'p' AND NOT relhassubclass AND NOT EXISTS (
				SELECT FROM dyntable.source s WHERE s.relid = e.source AND s.columns @> e.columns));
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SQL

# Refresh tables and compare them with their queries, in one transaction.
sub refresh_script
{
	my ($self, $case, @names) = @_;
	my $query = $self->{query};
	my $list = join(', ', map { "'$_'" } @names);
	my $differ = join(' + ', map { "(SELECT count(*) FROM (($query->{$_}) EXCEPT ALL TABLE $_) x) + (SELECT count(*) FROM (TABLE $_ EXCEPT ALL ($query->{$_})) x)" } @names);
	my $empty = join(' OR ', map { "NOT EXISTS (TABLE $_)" } @names);
	return <<"SQL";
\\set action none
\\set reason none
\\set differ unknown
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT string_agg(action, ' ' ORDER BY array_position(ARRAY[$list]::regclass[], name)) AS action,
	string_agg(reason, '; ' ORDER BY array_position(ARRAY[$list]::regclass[], name)) AS reason
FROM dyntable_refresh($list) WHERE name = ANY (ARRAY[$list]::regclass[]) \\gset
\\set state :SQLSTATE
SELECT CASE WHEN $empty THEN 'empty' ELSE ($differ)::text END AS differ \\gset
COMMIT;
\\echo CASE $case :action :state :differ
\\echo REASON $case :reason
SQL
}

# Run cases of [what, statements, expected, { options }] for these tables.
# expected: the action of all, their actions, or the SQLSTATE of the refresh; or
# what "actions SQLSTATE differences" must match.
# Options:
#	alone    no changes around it
#	outside  the statements cannot be in a transaction
#	settled  wait for capture first
#	change   the SQL of the changes from now on, $n a fresh number (and before:
#	         of those that precede the statements)
#	query    table => how its query is written from now on
#	reason   what the refresh must give as the reason
#	says     what the output (notices, errors) must match
#	keeps    the tables whose rows must stay what they were
sub cases
{
	my ($self, $tables, $change, @cases) = @_;
	my $script = "\\set VERBOSITY default\n";
	my $i = 0;
	my @full;
	foreach my $case (@cases)
	{
		my ($what, $statements, $expected, $options) = @$case;
		my $before = $options->{before} // $options->{change} // $change;
		$before = $change if exists $options->{change} && !exists $options->{before};
		$change = $options->{change} // $change;
		$self->{query}{$_} = $options->{query}{$_} foreach keys %{ $options->{query} // {} };
		$script .= "\\echo DO $i\n";
		$script .= $settle if $options->{settled};
		if ($options->{alone}) { $script .= "$statements;\n"; }
		else
		{
			$script .= $self->fresh($before) . ";\n";
			$script .= $options->{outside} ? "$statements;\n" : 'BEGIN; ' . $self->fresh($before) . "; $statements; " . $self->fresh($change) . "; COMMIT;\n";
			$script .= $self->fresh($change) . ";\n";
		}
		$script .= $self->refresh_script($i, @$tables);
		push @full, ref $expected ? $expected : @$tables > 1 && $expected =~ /^[A-Z_]+$/ ? join(' ', ($expected) x @$tables) : $expected;
		$i++;
	}
	my $output = DynTest::run_script($self->{node}, $script, 'cases');
	for ($i = 0; $i < @cases; $i++)
	{
		my ($what, $statements, $expected, $options) = @{ $cases[$i] };
		my ($part) = $output =~ /^DO $i\n(.*?)(?=^DO |\z)/ms;
		my ($result) = $part =~ /^CASE $i (.*)$/m;
		my ($reason) = $part =~ /^REASON $i (.*)$/m;
		if (ref $expected) { like($result, $expected, $what) or diag $part; }
		else { is($result, $full[$i] =~ /^[A-Z_ ]+$/ ? "$full[$i] 00000 0" : "none $full[$i] unknown", "$what: $expected") or diag $part; }
		like($reason, $options->{reason}, "$what: reason") if $options->{reason};
		like($part, $options->{says}, "$what: message") if $options->{says};
	}
	return $output;
}

1;
