# What servers newer than 15 have more, or mean otherwise.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my ($version) = `pg_config --version` =~ /(\d+)/;
plan skip_all => 'this server has nothing of it' if $version < 17;

# Anything of ours that takes longer than this in one transaction would be cut off.
my $node = DynTest::new_node('versions', "transaction_timeout = '2s'");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Refresh and compare in one transaction; returns action, count of rows, missing, unexpected.
sub refresh
{
	my ($name, $query) = @_;
	return sql(qq{BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT action FROM dyntable_refresh('$name');
		SELECT (SELECT count(*) FROM $name), (SELECT count(*) FROM (($query) EXCEPT ALL TABLE $name) x), (SELECT count(*) FROM (TABLE $name EXCEPT ALL ($query)) x);
		COMMIT}) =~ s/\n/|/r;
}

sub create
{
	my ($name, $query) = @_;
	return sql("SELECT dyntable_create('$name', \$q\$$query\$q\$, 'downstream', 'incremental')");
}

my %queries;

# --- 17: the right to maintain is enough to refresh, and for nothing else
sql('CREATE TABLE src (id int PRIMARY KEY, v int NOT NULL, twice int GENERATED ALWAYS AS (v * 2) STORED);
	INSERT INTO src SELECT i, i FROM generate_series(1, 20) i');
$queries{rows} = 'SELECT id, v, twice FROM src WHERE v > 2';
create('rows', $queries{rows});
sql('CREATE ROLE keeper; CREATE ROLE guest; CREATE ROLE janitor IN ROLE pg_maintain; GRANT MAINTAIN ON rows TO keeper;
	UPDATE src SET v = v + 1 WHERE id = 5');
like(DynTest::run_script($node, "SET ROLE guest; SELECT action FROM dyntable_refresh('rows');\n"),
	qr/ERROR:.*(permission|owner)/, 'who may not maintain a table may not refresh it');
is(sql("SET ROLE keeper; SELECT action FROM dyntable_refresh('rows')"), 'INCREMENTAL', 'who may maintain it may, though not read it');
sql('UPDATE src SET v = v + 1 WHERE id = 6');
is(sql("SET ROLE janitor; SELECT action FROM dyntable_refresh('rows')"), 'INCREMENTAL', 'a member of pg_maintain may');
like(DynTest::run_script($node, "SET ROLE keeper; SELECT dyntable_suspend('rows');\n"), qr/ERROR/, 'but not suspend it');
is(refresh('rows', $queries{rows}), 'NO_DATA|18|0|0', 'and it is right');

# --- 17: MERGE that deletes what has no counterpart, and returns rows
is(sql('MERGE INTO src USING (SELECT i AS id, i * 10 AS v FROM generate_series(11, 25) i) n ON n.id = src.id
	WHEN MATCHED AND n.id % 2 = 0 THEN UPDATE SET v = n.v
	WHEN NOT MATCHED BY TARGET THEN INSERT VALUES (n.id, n.v)
	WHEN NOT MATCHED BY SOURCE AND src.id < 4 THEN DELETE
	RETURNING merge_action()') =~ tr/\n//, 12, 'MERGE changes rows in three ways');
is(refresh('rows', $queries{rows}), 'INCREMENTAL|22|0|0', 'and all of them are captured');

# --- 17: a stored column gets another expression, which rewrites the table
sql('ALTER TABLE src ALTER COLUMN twice SET EXPRESSION AS (v * 2 + 1)');
is(refresh('rows', $queries{rows}), 'REINITIALIZE|22|0|0', 'another expression of a stored column');
is(sql('SELECT count(*) FROM rows WHERE twice = v * 2 + 1'), 22, 'is taken over');

# --- 17: transactions of clients may be limited, ours are not
sql("SELECT dyntable_create('slow', 'SELECT 1 AS one, pg_sleep(3)::text AS slept', '1 day', 'full', 'on_schedule')");
ok($node->poll_query_until('postgres', "SELECT data_timestamp IS NOT NULL FROM dyntable.dynamic_tables WHERE name = 'slow'"),
	'a refresh of the scheduler outlasts transaction_timeout');
is(sql('SELECT count(*) FROM slow'), 1, 'and has filled the table');

# --- 18: columns that are computed when they are read
SKIP:
{
	skip 'no virtual columns', 1 if $version < 18;
	sql('CREATE TABLE base (id int PRIMARY KEY, a int, pad text, b int GENERATED ALWAYS AS (coalesce(a, 0) + 1) VIRTUAL);
		CREATE TABLE other (id int, b int GENERATED ALWAYS AS (id * 2) VIRTUAL);
		CREATE VIEW looked AS SELECT id, b AS seen FROM base;
		INSERT INTO base (id, a) SELECT i, nullif(i % 7, 0) FROM generate_series(1, 30) i;
		INSERT INTO other SELECT i FROM generate_series(1, 10) i');
	%queries = (
		plain => 'SELECT id, b FROM base WHERE b > 1',
		grouped => 'SELECT b, count(*) AS n, sum(id) AS ids FROM base GROUP BY b',
		joined => 'SELECT o.id, o.b, v.id AS vid, v.seen FROM other o LEFT JOIN looked v ON v.id = o.b',
		outer_joined => 'SELECT o.id, x.b FROM other o LEFT JOIN base x ON x.a = o.id',
		together => 'SELECT b FROM base UNION SELECT b FROM other');
	create($_, $queries{$_}) foreach sort keys %queries;
	sql('UPDATE base SET a = a + 3 WHERE id % 3 = 0; DELETE FROM base WHERE id < 4; INSERT INTO base (id, a) VALUES (50, 3), (51, NULL);
		UPDATE other SET id = id + 1; INSERT INTO other VALUES (500)');
	foreach my $name (sort keys %queries)
	{
		like(refresh($name, $queries{$name}), qr/^INCREMENTAL\|[1-9]\d*\|0\|0$/, "virtual columns: $name");
	}
	sql("UPDATE base SET pad = 'x'");
	is(refresh('plain', $queries{plain}) =~ s/\|.*//r, 'NO_DATA', 'only the columns behind it are captured');
	sql('ALTER TABLE base ALTER COLUMN b SET EXPRESSION AS (id - a)');
	foreach my $name (grep { $queries{$_} =~ /looked|base/ } sort keys %queries)
	{
		like(refresh($name, $queries{$name}), qr/^REINITIALIZE\|[1-9]\d*\|0\|0$/, "another expression: $name");
	}
	sql('UPDATE base SET a = 1 WHERE id > 20');
	like(refresh('plain', $queries{plain}), qr/^INCREMENTAL\|[1-9]\d*\|0\|0$/, 'incremental with the new expression');

	# the right to read the column is what counts
	sql('CREATE ROLE builder; GRANT CREATE ON SCHEMA public TO builder; GRANT SELECT (id, b) ON base TO builder');
	is(sql(q{SET ROLE builder; SELECT dyntable_create('granted', 'SELECT id, b FROM base', 'downstream', 'incremental')}), 'granted', 'a right on the column alone is enough');
	sql('REVOKE SELECT (b) ON base FROM builder; UPDATE base SET a = 2 WHERE id = 20');
	like(DynTest::run_script($node, "SELECT action FROM dyntable_refresh('granted');\n"), qr/permission denied for table base/, 'and without it the refresh fails');
	sql('DROP TABLE granted');
}

# --- 18: constraints that do not prove what they say
SKIP:
{
	skip 'constraints mean what they say', 1 if $version < 18;
	sql(q{CREATE TABLE loose (id int, v int);
		CREATE UNIQUE INDEX ON loose (id);
		INSERT INTO loose VALUES (NULL, 1), (NULL, 2), (3, 3);
		ALTER TABLE loose ADD CONSTRAINT later NOT NULL id NOT VALID;
		CREATE TABLE checked (id int PRIMARY KEY, v int, CHECK (v > 0) NOT ENFORCED, FOREIGN KEY (v) REFERENCES src NOT ENFORCED);
		INSERT INTO checked VALUES (1, -1), (2, 5), (3, 77)});
	my $query = 'SELECT id, v FROM loose';
	create('loose_rows', $query);
	sql('DELETE FROM loose WHERE v = 1; INSERT INTO loose VALUES (4, 4)');
	is(refresh('loose_rows', $query), 'INCREMENTAL|3|0|0', 'a NOT NULL that is not valid makes no key');
	sql('DELETE FROM loose WHERE id IS NULL; ALTER TABLE loose VALIDATE CONSTRAINT later; INSERT INTO loose VALUES (5, 5)');
	like(refresh('loose_rows', $query), qr/^\w+\|3\|0\|0$/, 'and when it is validated the table is right');
	$query = 'SELECT c.id, c.v, s.id AS sid FROM checked c LEFT JOIN src s ON s.id = c.v WHERE c.v < 0 OR s.id IS NULL';
	create('checked_rows', $query);
	sql('UPDATE checked SET v = v - 2 WHERE id < 3');
	is(refresh('checked_rows', $query), 'INCREMENTAL|3|0|0', 'constraints that are not enforced prove nothing');
}

# --- 18: a slot that was idle for too long
SKIP:
{
	skip 'idle slots are kept', 1 if $version < 18;
	create('kept', 'SELECT id, v FROM src');
	sql('UPDATE src SET v = v + 1 WHERE id = 10');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nidle_replication_slot_timeout = '1s'");
	$node->restart;
	ok($node->poll_query_until('postgres', "SELECT inactive_since < clock_timestamp() - interval '1 second' FROM pg_replication_slots"), 'the slot is idle');
	sql('CHECKPOINT');
	is(sql('SELECT invalidation_reason FROM pg_replication_slots'), 'idle_timeout', 'and is invalidated');
	sql('UPDATE src SET v = v + 1 WHERE id = 11');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dyntable'");
	$node->restart;
	is(sql("SELECT action FROM dyntable_refresh('kept')"), 'REINITIALIZE', 'that is noticed, and the table initialised again');
	sql('CHECKPOINT; UPDATE src SET v = v + 1 WHERE id = 12');
	is(refresh('kept', 'SELECT id, v FROM src'), 'INCREMENTAL|22|0|0', 'and the new slot, being in use, stays');
	$node->stop;
}

# --- 18: origins have a limit of their own
SKIP:
{
	skip 'no limit for origins', 1 if $version < 18;
	my $other = DynTest::new_node('origins', 'max_active_replication_origins = 0', "dyntable.capture_timeout = '5s'");
	$other->safe_psql('postgres', 'CREATE TABLE src (id int PRIMARY KEY)');
	like(DynTest::run_script($other, "SELECT dyntable_create('dt', 'SELECT id FROM src', 'downstream', 'incremental');\n"),
		qr/max_active_replication_origins/, 'without room for an origin, what is missing is named');
	$other->stop;
}

done_testing;
