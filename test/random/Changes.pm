# Changes.pm: base tables of the randomised oracle, their data, and random
# batches of changes, all as SQL text for psql.
#
# A batch is a list of transactions over all tables: inserts, COPY, updates of
# keys and other columns, deletes, delete and re-insert, several changes of a
# row, savepoints, rollbacks, ON CONFLICT, MERGE, prepared transactions that
# commit in a later batch, TRUNCATE.  Rows to change are chosen by a hash of
# what they hold, so that a seed gives the same changes again.
package Changes;

use strict;
use warnings;
use Dice;
use Expressions;

# name => { cols => [[name, definition, type, domain, NULL probability]], key, rows }
my %TABLES = (
	b1 => {
		rows => 60,
		key => ['id'],
		cols => [
			[ 'id', 'integer', 'int', 'id', 0 ],
			[ 'k', 'integer', 'int', 'k', 0.12 ],
			[ 'g', 'integer', 'int', 'g', 0.15 ],
			[ 'a', 'integer', 'int', 'x', 0.15 ],
			[ 'big', 'bigint', 'big', 'x', 0.1 ],
			[ 'n2', 'numeric(10,2)', 'n2', 'x', 0.1 ],
			[ 's', 'text', 'text', 's', 0.15 ],
			[ 'ts', 'timestamptz DEFAULT clock_timestamp()', 'ts', 'x', 0.08 ],
			[ 'f', 'boolean', 'bool', 'x', 0.2 ] ] },
	b2 => {
		rows => 50,
		key => ['id'],
		cols => [
			[ 'id', 'bigint', 'big', 'id', 0 ],
			[ 'k', 'integer', 'int', 'k', 0.1 ],
			[ 's', 'varchar(20)', 'text', 's', 0.15 ],
			[ 'num', 'numeric', 'num', 'x', 0.15 ],
			[ 'd', 'date', 'date', 'x', 0.15 ],
			[ 'x', 'double precision', 'float', 'f', 0.15 ],
			[ 'w', 'text', 'text', 'x', 0.3 ] ] },

	# no key, many equal rows
	b3 => {
		rows => 40,
		cols => [
			[ 'k', 'integer', 'int', 'k', 0.15 ],
			[ 'a', 'smallint', 'int', 'x', 0.2 ],
			[ 's', 'text', 'text', 's', 0.2 ],
			[ 'arr', 'integer[]', 'arr', 'x', 0.15 ] ] },
	b4 => {
		rows => 40,
		cols => [
			[ 'k', 'integer', 'int', 'k', 0.1 ],
			[ 'g', 'integer', 'int', 'g', 0.2 ],
			[ 'num', 'numeric', 'num', 'x', 0.2 ],
			[ 'ts', 'timestamptz DEFAULT clock_timestamp()', 'ts', 'x', 0.08 ],
			[ 'f', 'boolean', 'bool', 'x', 0.2 ],
			[ 'ci', 'public.citext', 'ci', 'f', 0.2 ] ] },
	b5 => {
		rows => 35,
		key => [ 's', 'g' ],
		cols => [
			[ 's', 'text', 'text', 's', 0 ],
			[ 'g', 'integer', 'int', 'g', 0 ],
			[ 'k', 'integer', 'int', 'k', 0.15 ],
			[ 'a', 'integer', 'int', 'x', 0.15 ],
			[ 'big', 'bigint', 'big', 'x', 0.2 ],
			[ 'j', 'jsonb', 'js', 'x', 0.15 ] ] },

	# partitioned by k, with a leaf whose columns stand elsewhere; rows move
	b6 => {
		rows => 40,
		key => [ 'id', 'k' ],
		partitioned => 1,
		cols => [
			[ 'id', 'integer', 'int', 'id', 0 ],
			[ 'k', '$s.natural_number', 'int', 'k', 0 ],
			[ 'g', 'smallint', 'int', 'g', 0.15 ],
			[ 's', 'char(12)', 'text', 's', 0.15 ],
			[ 'x', 'real', 'float', 'f', 0.15 ],
			[ 'w', '$s.words', 'text', 'x', 0.2 ] ] });

my @NAMES = sort keys %TABLES;

sub names { return @NAMES; }

# A value as text that gives it again; times are told from now, as conditions on now() see them.
sub literal
{
	my ($column) = @_;
	my ($name, undef, $type) = @$column;
	return "coalesce('clock_timestamp() + interval ' || quote_literal(date_trunc('milliseconds', $name - clock_timestamp())), 'NULL')" if $type eq 'ts';
	return "CASE WHEN length($name) > 100 THEN format('repeat(%L, 90)', left($name, 32)) ELSE quote_nullable($name) END" if $name eq 'w';
	return "quote_nullable($name)";
}

sub row_text
{
	my ($name) = @_;
	return 'concat_ws(' . join(', ', "', '", map { literal($_) } @{ $TABLES{$name}{cols} }) . ')';
}

# A query for the statements that fill the table with the rows it has.
sub dump_sql
{
	my ($schema, $name) = @_;
	return "SELECT 'INSERT INTO $schema.$name VALUES (' || " . row_text($name) . " || ');' FROM $schema.$name;\n";
}

# Queries for the statements that bring the rows from those of the other table to those of this one.
sub difference_sql
{
	my ($schema, $name, $was) = @_;
	my $t = $TABLES{$name};
	my @cols = $t->{key} ? grep { my $c = $_; grep { $_ eq $c->[0] } @{ $t->{key} } } @{ $t->{cols} } : grep { $_->[2] ne 'ts' } @{ $t->{cols} };
	my $where = join(" || ' AND ' || ", map { "'$_->[0] IS NOT DISTINCT FROM ' || " . literal($_) } @cols);
	my $gone = $t->{key} ? "$where || ';'" : "'ctid = (SELECT ctid FROM $schema.$name WHERE ' || $where || ' LIMIT 1);'";
	return "SELECT 'DELETE FROM $schema.$name WHERE ' || $gone FROM (SELECT * FROM $was EXCEPT ALL SELECT * FROM $schema.$name) x;\n"
	  . "SELECT 'INSERT INTO $schema.$name VALUES (' || " . row_text($name) . " || ');' FROM (SELECT * FROM $schema.$name EXCEPT ALL SELECT * FROM $was) x;\n";
}

sub new
{
	my ($class, $schema, $dice) = @_;
	return bless { schema => $schema, dice => $dice, next_id => 1, prepared => [], batch => 0 }, $class;
}

# The leaves for a generator over the tables.
sub leaves
{
	my ($self) = @_;
	return map {
		my $t = $TABLES{$_};
		{
			name => "$self->{schema}.$_",
			kind => $t->{key} ? 'keyed' : 'keyless',
			key => $t->{key},
			cols => [ map { { n => $_->[0], t => $_->[2], d => $_->[3], lin => 1, domain => $_->[1] =~ /^\$s/ ? 1 : 0 } } @{ $t->{cols} } ] }
	} @NAMES;
}

sub value
{
	my ($self, $column, $next_id) = @_;
	my ($name, $definition, $type, $domain, $nulls) = @$column;
	my $dice = $self->{dice};
	return $next_id if $domain eq 'id';
	return 'NULL' if $dice->chance($nulls);
	return $dice->range(0, 24) if $domain eq 'k';
	return $dice->range(0, 6) if $domain eq 'g';
	return Expressions::quote($dice->pick(@Expressions::WORDS)) if $domain eq 's';
	return $dice->range(-20, 99) if $type eq 'int';
	return $dice->range(-5, 5) * 1000000000 + $dice->range(0, 30) if $type eq 'big';
	return sprintf('%.2f', $dice->range(-500, 8000) / 100) if $type eq 'n2';

	# a numeric keeps its scale: 1, 1.0 and 1.00 are equal and not the same
	return sprintf($dice->pick('%.0f', '%.1f', '%.3f'), $dice->range(-50, 90)) if $type eq 'num';
	return sprintf("clock_timestamp() + interval '%.1f seconds'", $dice->range(-250, 150) / 10) if $type eq 'ts';
	return "'2026-01-" . sprintf('%02d', $dice->range(1, 28)) . "'" if $type eq 'date';
	return $dice->pick('true', 'false') if $type eq 'bool';
	return Expressions::quote($dice->pick('0', '-0', '1', '1.5', '-2', 'NaN', 'Infinity')) if $type eq 'float';
	return "'{" . join(',', map { $dice->chance(0.1) ? 'NULL' : $dice->range(0, 9) } 1 .. $dice->range(0, 4)) . "}'" if $type eq 'arr';
	return sprintf('\'{"a": %d, "l": [%s]}\'', $dice->range(0, 9), join(', ', map { $dice->range(0, 9) } 1 .. $dice->range(0, 3))) if $type eq 'js' && $dice->chance(0.8);
	return sprintf('\'{"a": %d, "s": "%s"}\'', $dice->range(0, 9), $dice->pick('a', 'b')) if $type eq 'js';
	return Expressions::quote($dice->pick('a', 'A', 'ab', 'AB', 'Zoë', 'c')) if $type eq 'ci';

	# wide enough to be stored out of line
	return sprintf("repeat(md5('%d'), 90)", $dice->range(0, 9)) if $dice->chance(0.4);
	return Expressions::quote($dice->pick(@Expressions::WORDS));
}

sub row
{
	my ($self, $name, @columns) = @_;
	my $id = $self->{next_id}++;
	my $cols = $TABLES{$name}{cols};
	return '(' . join(', ', map { $self->value($_, $id) } @columns ? @columns : @$cols) . ')';
}

sub insert
{
	my ($self, $name, $n) = @_;
	my $sql = "INSERT INTO $self->{schema}.$name VALUES " . join(', ', map { $self->row($name) } 1 .. $n);

	# its key is drawn at random: equal ones within the rows too
	$sql .= ' ON CONFLICT DO NOTHING' if $name eq 'b5';
	return "$sql;\n";
}

sub setup
{
	my ($self) = @_;
	my $dice = $self->{dice};
	my $s = $self->{schema};
	my $sql = "CREATE SCHEMA $s;\nCREATE DOMAIN $s.natural_number AS integer CHECK (VALUE >= 0);\nCREATE DOMAIN $s.words AS text;\n";
	$sql .= <<"SQL";
CREATE FUNCTION $s.doubled(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT \$1 * 2';
CREATE FUNCTION $s.letters(text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS 'SELECT substr(\$1, i, 1) FROM generate_series(1, length(\$1)) i';
CREATE FUNCTION $s.fold(bigint, integer) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT ((\$1 + coalesce(\$2, 5) * 7) % 1009 + 1009) % 1009';
CREATE AGGREGATE $s.folded(integer) (SFUNC = $s.fold, STYPE = bigint, INITCOND = 3);
SQL
	foreach my $name (@NAMES)
	{
		my $t = $TABLES{$name};
		$sql .= "CREATE TABLE $s.$name (" . join(', ', map { "$_->[0] " . $_->[1] =~ s/\$s/$s/r } @{ $t->{cols} });
		$sql .= ', PRIMARY KEY (' . join(', ', @{ $t->{key} }) . ')' if $t->{key};
		$sql .= ')' . ($t->{partitioned} ? ' PARTITION BY RANGE (k)' : '') . ";\n";
		$sql .= "CREATE INDEX ON $s.$name (k);\n" if $dice->chance(0.5);
	}
	$sql .= "ALTER TABLE $s.b2 ALTER w SET STORAGE EXTERNAL;\n";
	$sql .= <<"SQL";
CREATE TABLE $s.b6_low (gone integer, w $s.words, x real, id integer NOT NULL, s char(12), gone2 integer, k $s.natural_number NOT NULL, g smallint);
ALTER TABLE $s.b6_low DROP gone, DROP gone2;
ALTER TABLE $s.b6 ATTACH PARTITION $s.b6_low FOR VALUES FROM (0) TO (8);
CREATE TABLE $s.b6_mid PARTITION OF $s.b6 FOR VALUES FROM (8) TO (16);
CREATE TABLE $s.b6_high PARTITION OF $s.b6 DEFAULT PARTITION BY HASH (id);
CREATE TABLE $s.b6_high_0 PARTITION OF $s.b6_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE $s.b6_high_1 PARTITION OF $s.b6_high FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SQL

	# a column number that is not its position
	$sql .= "ALTER TABLE $s.b4 ADD gone integer;\nALTER TABLE $s.b4 DROP gone;\n" if $dice->chance(0.5);
	$sql .= $self->insert($_, $TABLES{$_}{rows}) foreach @NAMES;
	return $sql . 'ANALYZE ' . join(', ', map { "$s.$_" } @NAMES) . ";\n";
}

# The ctids of n rows chosen by what they hold (but for the clock's columns).
sub chosen
{
	my ($self, $name, $n, $leaf) = @_;
	my $salt = $self->{dice}->range(1, 1000000);
	my @cols = map { $_->[0] } grep { $_->[2] ne 'ts' } @{ $TABLES{$name}{cols} };
	my $row = join(', ', map { "t.$_" } @cols);
	return "(tableoid, ctid) IN (SELECT t.tableoid, t.ctid FROM $self->{schema}." . ($leaf // $name)
	  . " t ORDER BY md5(ROW($row)::text || '$salt'), $row LIMIT $n)";
}

sub assignment
{
	my ($self, $name, $column) = @_;
	my $dice = $self->{dice};
	my ($col, undef, $type, $domain) = @$column;
	return "$col = $col + 100000" if $domain eq 'id';
	return "$col = $col + " . $dice->range(1, 3) if $type =~ /^(int|big|n2|num)$/ && $dice->chance(0.4);
	return "$col = NOT $col" if $type eq 'bool' && $dice->chance(0.5);
	return "$col = $col + interval '" . $dice->range(-5, 5) . " seconds'" if $type eq 'ts' && $dice->chance(0.4);
	return "$col = $col" if $dice->chance(0.08);
	return "$col = " . $self->value($column, 0);
}

sub update
{
	my ($self, $name, $n) = @_;
	my $dice = $self->{dice};
	my $t = $TABLES{$name};
	my %is_key = map { $_ => 1 } @{ $t->{key} // [] };
	my @cols = grep { !$is_key{ $_->[0] } } @{ $t->{cols} };

	# another key, that nobody has
	@cols = grep { $_->[0] eq 'id' } @{ $t->{cols} } if $is_key{id} && $dice->chance(0.1);
	return "UPDATE $self->{schema}.b5 SET g = g + " . 10 * $self->{next_id}++ . ' WHERE ' . $self->chosen($name, $n) . ";\n"
	  if $name eq 'b5' && $dice->chance(0.1);
	@cols = ($dice->shuffle(@cols))[ 0 .. ($dice->chance(0.4) && @cols > 1 ? 1 : 0) ];
	my $set = join(', ', map { $self->assignment($name, $_) } @cols);
	my $leaf = $TABLES{$name}{partitioned} && $dice->chance(0.3) ? "${name}_low" : $name;
	return "UPDATE $self->{schema}.$leaf SET $set WHERE " . $self->chosen($name, $n, $leaf) . ";\n";
}

sub delete
{
	my ($self, $name, $n) = @_;
	return "DELETE FROM $self->{schema}.$name WHERE " . $self->chosen($name, $n) . ";\n";
}

sub copy
{
	my ($self, $name, $n) = @_;
	my @columns = grep { $_->[2] ne 'ts' } @{ $TABLES{$name}{cols} };
	my $sql = "COPY $self->{schema}.$name (" . join(', ', map { $_->[0] } @columns) . ") FROM stdin;\n";
	foreach (1 .. $n)
	{
		my $id = $self->{next_id}++;
		my @fields;
		foreach my $column (@columns)
		{
			my $value = $self->value($column, $id);
			$value = "'" . ('0123456789abcdef' x 180) . "'" if $value =~ /^repeat/;
			if ($value eq 'NULL') { push @fields, '\\N'; next; }
			$value =~ s/^'(.*)'$/$1/s and $value =~ s/''/'/g;
			$value =~ s/\\/\\\\/g;
			push @fields, $value;
		}
		$sql .= join("\t", @fields) . "\n";
	}
	return $sql . "\\.\n";
}

# One statement or a few that belong together.
sub change
{
	my ($self, $name) = @_;
	my $dice = $self->{dice};
	my $s = $self->{schema};
	my $kind = $dice->weighted(insert => 10, update => 12, delete => 7, reinsert => 3, copy => 2, upsert => 3, merge => 2, again => 3, twins => 2, sweep => 1, empty => 0.5);
	return $self->insert($name, $dice->range(1, 6)) if $kind eq 'insert';
	return $self->update($name, $dice->range(1, 6)) if $kind eq 'update';
	return $self->delete($name, $dice->range(1, 5)) if $kind eq 'delete';
	return $self->copy($name, $dice->range(1, 5)) if $kind eq 'copy' && $name ne 'b5';
	if ($kind eq 'reinsert')
	{
		# the same rows go and come back
		my $where = $self->chosen($name, $dice->range(1, 4));
		return "CREATE TEMP TABLE again AS SELECT * FROM $s.$name WHERE $where;\n"
		  . "DELETE FROM $s.$name WHERE $where;\nINSERT INTO $s.$name SELECT * FROM again;\nDROP TABLE again;\n";
	}
	if ($kind eq 'upsert' && $name eq 'b5')
	{
		my %seen;
		my @rows = grep { !$seen{ (/^(\(.*?, \d+),/)[0] // '' }++ } map { $self->row($name) } 1 .. 5;
		return "INSERT INTO $s.b5 VALUES " . join(', ', @rows) . " ON CONFLICT (s, g) DO UPDATE SET a = excluded.a, k = excluded.k;\n";
	}
	if ($kind eq 'merge' && $name =~ /^b[12]$/)
	{
		my $low = $dice->range(1, 40);
		my $id = $self->{next_id};
		$self->{next_id} += 6;
		return "MERGE INTO $s.$name t USING (SELECT i FROM generate_series($low, @{[$low + 8]}) i UNION ALL SELECT generate_series($id, @{[$id + 3]})) x ON t.id = x.i "
		  . "WHEN MATCHED AND t.k % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET k = (t.k + 3) % 25 WHEN NOT MATCHED AND x.i >= $id THEN INSERT (id, k, s) VALUES (x.i, x.i % 25, 'm');\n";
	}
	if ($kind eq 'again')
	{
		# the same rows several times
		return join('', map { "UPDATE $s.$name SET k = (coalesce(k, 0) + $_) % 25 WHERE k % 5 = " . $dice->range(0, 1) . ";\n" } 1 .. 2);
	}
	if ($kind eq 'sweep')
	{
		# every row: a delta as large as the table
		return "UPDATE $s.$name SET k = (k + 1) % 25;\n";
	}
	if ($kind eq 'empty')
	{
		return "DELETE FROM $s.$name;\n" . $self->insert($name, int($TABLES{$name}{rows} * 0.8));
	}
	if ($kind eq 'twins' && !$TABLES{$name}{key})
	{
		# more of what is there already
		return "INSERT INTO $s.$name SELECT * FROM $s.$name WHERE " . $self->chosen($name, 3) . ";\n";
	}
	return $self->insert($name, 2) . $self->update($name, 2);
}

sub transaction
{
	my ($self) = @_;
	my $dice = $self->{dice};
	my $table = sub { $dice->pick(@NAMES) };
	my $changes = sub { my $n = shift; join('', map { $self->change($table->()) } 1 .. $n) };
	my $form = $dice->fraction;
	return $changes->(1) if $form < 0.35;
	return "BEGIN;\n" . $changes->($dice->range(2, 4)) . "COMMIT;\n" if $form < 0.6;
	return "BEGIN;\n" . $changes->(2) . "ROLLBACK;\n" if $form < 0.66;
	return "BEGIN;\n" . $changes->(1) . "SAVEPOINT a;\n" . $changes->(2) . "ROLLBACK TO a;\n" . $changes->(1) . "COMMIT;\n" if $form < 0.8;
	return "BEGIN;\nSAVEPOINT a;\n" . $changes->(1) . "SAVEPOINT b;\n" . $changes->(1) . "RELEASE b;\n" . $changes->(1) . "RELEASE a;\nCOMMIT;\n" if $form < 0.9;

	# one table: its rows changed again by each transaction
	my $name = $table->();
	return join('', map { $self->update($name, 8) } 1 .. 3);
}

# The SQL of the next batch.
sub batch
{
	my ($self) = @_;
	my $dice = $self->{dice};
	my $s = $self->{schema};
	my $n = ++$self->{batch};
	my $sql = '';

	# every table sees something in every batch
	foreach my $name ($dice->shuffle(@NAMES))
	{
		$sql .= $self->update($name, $dice->range(2, 6)) . $self->insert($name, $dice->range(1, 4)) . $self->delete($name, $dice->range(1, 3))
		  if $dice->chance(0.85);
	}
	$sql .= $self->transaction foreach 1 .. $dice->range(2, 5);

	# prepared now, decided in a later batch; only what locks no old row
	my @due = grep { $_->{due} <= $n } @{ $self->{prepared} };
	$self->{prepared} = [ grep { $_->{due} > $n } @{ $self->{prepared} } ];
	$sql .= ($dice->chance(0.75) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$_->{name}';\n" foreach @due;
	if (!@{ $self->{prepared} } && $dice->chance(0.35))
	{
		my $name = "${s}_$n";
		$sql .= "BEGIN;\n" . $self->insert('b1', 3) . "SAVEPOINT a;\n" . $self->insert('b3', 2) . $self->insert('b2', 2) . "PREPARE TRANSACTION '$name';\n";
		push @{ $self->{prepared} }, { name => $name, due => $n + $dice->range(1, 2) };
	}
	elsif (!@{ $self->{prepared} } && $dice->chance(0.2))
	{
		my $name = $dice->pick(@NAMES);
		$sql .= "BEGIN;\n" . $self->change($name) . "TRUNCATE $s.$name;\n" . $self->insert($name, int($TABLES{$name}{rows} / 2)) . "COMMIT;\n" . $self->insert($name, 9);
	}
	return $sql;
}

# Decide what is still prepared.
sub finish
{
	my ($self) = @_;
	my $sql = join('', map { "ROLLBACK PREPARED '$_->{name}';\n" } @{ $self->{prepared} });
	$self->{prepared} = [];
	return $sql;
}

1;
