# DDL on what else a query rests on (views, functions, types, rights), DROP of all of it,
# and transactions that are undone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynCases;
use DynTest;
use Test::More;

my $node = DynTest::new_node('ddl', 'autovacuum = off', 'fsync = off');
my $cases = DynCases->new($node);

sub run { return $cases->run($_[0]); }

# ---- views ----
run(<<'SQL');
CREATE ROLE reader NOLOGIN;
CREATE ROLE keeper NOLOGIN;
CREATE TABLE src (id int PRIMARY KEY, a int, b text, c text);
CREATE TABLE other (id int PRIMARY KEY, a int, b text, c text);
INSERT INTO src SELECT i, i, 'b' || i, 'c' || i FROM generate_series(1, 60) i;
INSERT INTO other SELECT i, -i, 'o' || i, 'c' || i FROM generate_series(1, 60) i;
CREATE VIEW inner_view AS SELECT id, a, b FROM src WHERE a > 0;
CREATE VIEW outer_view AS SELECT id, a, b FROM inner_view;
SQL
$cases->table('viewed', 'SELECT id, a, b FROM outer_view');
$cases->table('plain', 'SELECT id, a FROM src');
my $change = q{INSERT INTO src VALUES ($n, $n, 'new', 'c'); UPDATE src SET b = b || 'x', a = a + 1 WHERE id % 9 = $n % 9; DELETE FROM src WHERE id = $n % 60; INSERT INTO other VALUES ($n, $n, 'o', 'p')};
$cases->cases([qw(viewed plain)], $change,
	[ 'changes', 'SELECT', 'INCREMENTAL' ],
	[ 'a view replaced by itself', 'CREATE OR REPLACE VIEW outer_view AS SELECT id, a, b FROM inner_view', 'INCREMENTAL' ],
	[ 'another condition', 'CREATE OR REPLACE VIEW inner_view AS SELECT id, a, b FROM src WHERE a > 5', 'REINITIALIZE INCREMENTAL', { reason => qr/meaning of the definition/ } ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL' ],
	[ 'another table', 'CREATE OR REPLACE VIEW inner_view AS SELECT id, a, b FROM other', 'REINITIALIZE INCREMENTAL' ],
	[ 'which capture has now', 'SELECT', 'REINITIALIZE INCREMENTAL', { settled => 1 } ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL' ],
	[ 'more columns', 'CREATE OR REPLACE VIEW inner_view AS SELECT id, a, b, c FROM src', 'REINITIALIZE INCREMENTAL' ],
	[ 'which capture has now', 'SELECT', 'REINITIALIZE INCREMENTAL', { settled => 1 } ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL' ],
	[ 'rename of a view and its column', 'ALTER VIEW inner_view RENAME TO inside; ALTER VIEW outer_view RENAME b TO bb', 'INCREMENTAL', { query => { viewed => 'SELECT id, a, bb FROM outer_view' } } ],
	[ 'owner and default of a view', 'GRANT SELECT ON inside, outer_view, src TO keeper; ALTER VIEW outer_view OWNER TO keeper; ALTER VIEW outer_view ALTER a SET DEFAULT 1', 'INCREMENTAL' ],
	[ 'security_invoker', 'ALTER VIEW outer_view SET (security_invoker = true)', 'INCREMENTAL' ],
	[ 'a view moved', 'CREATE SCHEMA vs; ALTER VIEW outer_view SET SCHEMA vs', 'INCREMENTAL', { query => { viewed => 'SELECT id, a, bb FROM vs.outer_view' } } ],
	[ 'security_barrier', 'ALTER VIEW vs.outer_view SET (security_barrier = true)', 'REINITIALIZE INCREMENTAL' ],
	[ 'no security_barrier', 'ALTER VIEW vs.outer_view RESET (security_barrier)', 'REINITIALIZE INCREMENTAL' ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL' ],
);

# ---- functions, types, operators, collations ----
run(<<'SQL');
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION inner_step(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 + 1; END';
CREATE FUNCTION outer_step(i int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT inner_step(i); END;
CREATE FUNCTION idle(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION add(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + coalesce($2, 0)';
CREATE AGGREGATE total(int) (SFUNC = add, STYPE = int, INITCOND = '0');
CREATE FUNCTION near(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 3';
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = near);
CREATE COLLATION plain_order (provider = libc, locale = 'C');
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TYPE pair AS (left_one int, right_one int);
CREATE DOMAIN amount AS int CHECK (VALUE > -1000000);
CREATE TABLE used (id int PRIMARY KEY, n int, m mood, p pair, q amount, t text);
INSERT INTO used SELECT i, i, (ARRAY['sad', 'ok', 'glad'])[1 + i % 3]::mood, ROW(i, -i)::pair, i, 't' || i FROM generate_series(1, 60) i;
SQL
$cases->table('twices', 'SELECT id, twice(n) AS w, outer_step(n) AS s FROM used');
$cases->table('totals', 'SELECT m, total(n) AS s FROM used GROUP BY m');
$cases->table('types', q{SELECT id, m::text AS m, to_json(p)::text AS p, q, t COLLATE plain_order AS t FROM used WHERE n === 7 OR n > 9});
is(run(q{SELECT string_agg(refresh_mode, ' ') FROM dyntable.dynamic_tables WHERE name IN ('twices', 'totals', 'types')}), 'INCREMENTAL INCREMENTAL INCREMENTAL', 'all incremental');
$change = q{INSERT INTO used VALUES ($n, $n, 'ok', ROW($n, 1), 5, 'new'); UPDATE used SET n = n + 1 WHERE id % 9 = $n % 9; DELETE FROM used WHERE id = $n % 60};
$cases->cases([qw(twices totals types)], $change,
	[ 'changes', 'SELECT', 'INCREMENTAL' ],
	[ 'a function that nobody uses', q{CREATE OR REPLACE FUNCTION idle(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2'}, 'INCREMENTAL' ],
	[ 'a function replaced by itself', q{CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'}, 'INCREMENTAL' ],
	[ 'a function replaced', q{CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 3'}, 'REINITIALIZE INCREMENTAL INCREMENTAL', { reason => qr/function public\.twice\(integer\) was changed/ } ],
	[ 'a function replaced alone', q{CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * 4; END'}, 'REINITIALIZE NO_DATA NO_DATA', { alone => 1 } ],
	[ 'a function below', q{CREATE OR REPLACE FUNCTION inner_step(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 + 2; END'}, 'REINITIALIZE INCREMENTAL INCREMENTAL', { reason => qr/inner_step/ } ],
	[ 'a function of an aggregate', q{CREATE OR REPLACE FUNCTION add(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + coalesce($2, 0) * 2'}, 'INCREMENTAL REINITIALIZE INCREMENTAL', { reason => qr/add\(integer,integer\)/ } ],
	[ 'an aggregate', q{CREATE OR REPLACE AGGREGATE total(int) (SFUNC = add, STYPE = int, INITCOND = '100')}, 'INCREMENTAL REINITIALIZE INCREMENTAL' ],
	[ 'a function of an operator', q{CREATE OR REPLACE FUNCTION near(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 2'}, 'INCREMENTAL INCREMENTAL REINITIALIZE' ],
	[ 'settings of a function', q{ALTER FUNCTION inner_step(int) SET work_mem = '1MB'}, 'REINITIALIZE INCREMENTAL INCREMENTAL' ],
	[ 'what changes no result', q{ALTER FUNCTION twice(int) COST 7; ALTER FUNCTION twice(int) OWNER TO keeper; ALTER FUNCTION twice(int) RENAME TO double; COMMENT ON FUNCTION double(int) IS 'x'; ALTER OPERATOR === (int, int) OWNER TO keeper; ALTER COLLATION plain_order RENAME TO simple_order}, 'INCREMENTAL',
		{ query => { twices => 'SELECT id, double(n) AS w, outer_step(n) AS s FROM used', types => $cases->{query}{types} =~ s/plain_order/simple_order/r } } ],
	[ 'a label added', q{ALTER TYPE mood ADD VALUE 'so-so' BEFORE 'ok'}, 'INCREMENTAL', { outside => 1 } ],
	[ 'and used', q{UPDATE used SET m = 'so-so' WHERE id % 5 = 0}, 'INCREMENTAL' ],
	[ 'a label renamed', q{ALTER TYPE mood RENAME VALUE 'sad' TO 'unhappy'}, 'INCREMENTAL REINITIALIZE REINITIALIZE', { reason => qr/type public\.mood was changed|type mood was changed/ } ],
	[ 'an attribute renamed', 'ALTER TYPE pair RENAME ATTRIBUTE left_one TO one', 'INCREMENTAL INCREMENTAL REINITIALIZE' ],
	[ 'a domain', 'ALTER DOMAIN amount ADD CONSTRAINT less CHECK (VALUE < 1000000); ALTER DOMAIN amount SET DEFAULT 3', 'INCREMENTAL' ],
	[ 'types renamed and moved', 'ALTER TYPE mood RENAME TO feeling; CREATE SCHEMA types; ALTER TYPE pair SET SCHEMA types; ALTER DOMAIN amount OWNER TO keeper', 'INCREMENTAL' ],
	[ 'a function becomes volatile', 'ALTER FUNCTION double(int) VOLATILE', 'FULL INCREMENTAL INCREMENTAL', { says => qr/VOLATILE_FUNCTION/ } ],
	[ 'and immutable', 'ALTER FUNCTION double(int) IMMUTABLE', 'REINITIALIZE INCREMENTAL INCREMENTAL', { says => qr/refreshed incrementally from now on/ } ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL' ],
);
is(run(q{SELECT reinit_reason FROM dyntable.refresh_history WHERE name = 'twices' AND reinit_reason LIKE '%twice%' ORDER BY id LIMIT 1}), 'function public.twice(integer) was changed', 'history says why');

# ---- a table replaced by renaming ----
run(<<'SQL');
CREATE TABLE swap (id int PRIMARY KEY, a int);
CREATE TABLE swap_new (id int PRIMARY KEY, a int);
INSERT INTO swap SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO swap_new SELECT i, -i FROM generate_series(1, 20) i;
SQL
$cases->table('swapped', 'SELECT id, a FROM swap s');
$cases->{query}{swapped} = 'SELECT id, a FROM swap_old';
my $warns = qr/WARNING:  dynamic table "swapped" does not read the new "public.swap".*HINT:.*dyntable_alter/s;
$cases->cases(['swapped'], 'SELECT 1',
	[ 'the old table renamed', 'INSERT INTO swap VALUES (100, 1); ALTER TABLE swap RENAME TO swap_old', 'INCREMENTAL', { alone => 1, says => qr/\A(?!.*WARNING)/s } ],
	[ 'the new one renamed', 'ALTER TABLE swap_new RENAME TO swap; INSERT INTO swap_old VALUES (101, 1)', 'INCREMENTAL', { alone => 1, says => $warns } ],
	[ 'others made and renamed', 'CREATE TABLE swap_more (i int); ALTER TABLE swap_more RENAME TO swap_2; CREATE VIEW xpublic AS SELECT 1 AS i; CREATE TEMP TABLE swap (i int); DROP TABLE pg_temp.swap', 'NO_DATA', { alone => 1, says => qr/\A(?!.*WARNING)/s } ],
	[ 'a table made anew', 'DROP TABLE swap; CREATE TABLE swap AS SELECT 1 AS id, 2 AS a', 'NO_DATA', { alone => 1, says => $warns } ],
	[ 'a table moved there', 'DROP TABLE swap; CREATE TABLE vs.swap (id int, a int); INSERT INTO vs.swap VALUES (7, 7); ALTER TABLE vs.swap SET SCHEMA public', 'NO_DATA', { alone => 1, says => $warns } ],
	[ 'bound again', q{SELECT dyntable_alter('swapped', query => 'SELECT id, a FROM swap s')}, 'REINITIALIZE', { alone => 1, query => { swapped => 'SELECT id, a FROM swap' } } ],
	[ 'and the old one away', 'DROP TABLE swap_old; INSERT INTO swap VALUES (8, 8)', 'INCREMENTAL', { alone => 1, says => qr/\A(?!.*WARNING)/s } ],
);

# ---- DROP without CASCADE names the dependents ----
my @refused = (
	[ 'DROP TABLE src', 'table plain depends on table src' ],
	[ 'DROP VIEW vs.outer_view', 'table viewed depends on view vs.outer_view' ],
	[ 'DROP VIEW inside', 'table viewed depends on view vs.outer_view' ],
	[ 'DROP FUNCTION double(int)', 'table twices depends on function double' ],
	[ 'DROP AGGREGATE total(int)', 'table totals depends on function total' ],
	[ 'DROP OPERATOR === (int, int)', 'table types depends on operator ===' ],
	[ 'DROP COLLATION simple_order', 'table types' ],
	[ 'DROP TYPE feeling', 'table totals depends on type feeling' ],
	[ 'DROP DOMAIN amount', 'table types' ],
	[ 'DROP SCHEMA vs', 'view vs.outer_view depends on schema vs' ],
	[ 'DROP TABLE used', 'table twices depends on table used' ]);
my $refusals = DynTest::run_script($node, join("\n", map { "\\echo DO $_\n$refused[$_][0];" } 0 .. $#refused), 'refused');
for my $i (0 .. $#refused)
{
	my ($part) = $refusals =~ /^DO $i\n(.*?)(?=^DO |\z)/ms;
	like($part, qr/ERROR:.*DETAIL:.*\Q$refused[$i][1]\E/s, "$refused[$i][0] is refused and names what depends");
}
run('ALTER TABLE used DROP COLUMN q');
my $rows = run('SELECT count(*) FROM types');
my ($status, $out, $error) = $node->psql('postgres', q{SELECT dyntable_refresh('types')});
like($error, qr/column "q" of source "used" has been dropped/, 'a used column is gone');
is(run('SELECT count(*) FROM types'), $rows, 'the rows stay');

# ---- the scheduler notices, although no row changes ----
run(<<'SQL');
CREATE FUNCTION grade(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'low ' || $1$$;
CREATE TYPE level AS ENUM ('one', 'two');
CREATE TABLE timed (id int PRIMARY KEY, l level);
INSERT INTO timed SELECT i, 'one' FROM generate_series(1, 20) i;
GRANT CREATE ON SCHEMA public TO keeper;
GRANT SELECT ON timed TO keeper;
SELECT dyntable_create('grades', 'SELECT id, grade(id) AS g FROM timed', '100 ms');
SELECT dyntable_create('levels', 'SELECT l::text AS l, count(*) AS n FROM timed GROUP BY 1', '100 ms');
SET ROLE keeper;
SELECT dyntable_create('kept', 'SELECT id FROM timed', '100 ms');
SQL
sub is_settled
{
	my ($name) = @_;
	return $node->poll_query_until('postgres', "SELECT data_timestamp > last_refresh_end_time + interval '300 ms' FROM dyntable.dynamic_tables WHERE name = '$name'");
}
sub is_noticed
{
	my ($what, $name, $statement, $condition) = @_;
	ok(is_settled($name), "$what: nothing happens before");
	run($statement);
	ok($node->poll_query_until('postgres', $condition), "$what is noticed");
	return;
}
is_noticed('a function replaced', 'grades', q{CREATE OR REPLACE FUNCTION grade(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'high ' || $1$$}, q{SELECT g = 'high 7' FROM grades WHERE id = 7});
is_noticed('a label renamed', 'levels', q{ALTER TYPE level RENAME VALUE 'one' TO 'first'}, q{SELECT l = 'first' FROM levels});
my $failure = q{SELECT last_refresh_state = 'FAILED' AND last_refresh_code = '42501' FROM dyntable.dynamic_tables WHERE name = 'kept'};
is_noticed('a right revoked', 'kept', 'REVOKE SELECT ON timed FROM keeper', $failure);
is(run('SELECT count(*) FROM kept'), '20', 'and the rows stay');
run('GRANT SELECT ON timed TO keeper');
ok($node->poll_query_until('postgres', q{SELECT last_refresh_state = 'SUCCEEDED' FROM dyntable.dynamic_tables WHERE name = 'kept'}), 'it heals with the right');
is_noticed('row security switched on', 'kept', 'ALTER TABLE timed ENABLE ROW LEVEL SECURITY', 'SELECT count(*) = 0 FROM kept');
is_noticed('a column dropped', 'levels', 'ALTER TABLE timed DROP COLUMN l', q{SELECT last_refresh_code = '42703' FROM dyntable.dynamic_tables WHERE name = 'levels'});

$node->stop;
done_testing();
