# Tables to which nothing happened: their data timestamp advances without
# refreshes, and never past a change that they lack; and tables that fail, and
# are tried again when what they rest on was repaired, although no row changed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynSession;
use Test::More;

my $node = DynTest::new_node('idle');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub becomes
{
	my ($query, $title) = @_;
	return ok($node->poll_query_until('postgres', $query), $title)
	  || diag(sql('SELECT name, state, state_code, state_message, refresh_action, data_timestamp FROM dyntable.refresh_history ORDER BY id DESC LIMIT 10'));
}

# ---- a query that is replaced slowly, while the one before it goes on to advance ----
sql(q{
CREATE TABLE first (id int PRIMARY KEY);
CREATE TABLE added (id int PRIMARY KEY);
SELECT dyntable_create('reads_added', 'SELECT id FROM added', '1 hour');
SELECT dyntable_create('replaced', 'SELECT id FROM first', '10 s');
});
becomes("SELECT data_timestamp > last_refresh_end_time + interval '1 s' FROM dyntable.dynamic_tables WHERE name = 'replaced'",
	'replaced: the data timestamp advances without refreshes');
my $alter = DynSession->new($node);
# no row, no index built: the server would tell of that before the commit
$alter->do('BEGIN');
$alter->do(q{SELECT dyntable_alter('replaced', query => 'SELECT id, NULL::int AS added FROM first UNION ALL SELECT NULL, id FROM added', target_lag => '1 day')});
my $added = sql('INSERT INTO added VALUES (1); SELECT clock_timestamp()');
becomes("SELECT data_timestamp > '$added' FROM dyntable.dynamic_tables WHERE name = 'replaced'", 'replaced: and goes on to do so');
$alter->do('COMMIT');
is(sql("SELECT data_timestamp < '$added' FROM dyntable.dynamic_tables WHERE name = 'replaced'"), 't',
	'replaced: a data timestamp of the old query is not the new one\'s');
is(sql(q{SELECT count(*) FROM replaced WHERE added IS NOT NULL}), '0', 'replaced: whose rows lack what came since');
sql(q{SELECT dyntable_refresh('replaced')});
is(sql("SELECT data_timestamp > '$added', (SELECT count(*) FROM replaced WHERE added IS NOT NULL) FROM dyntable.dynamic_tables WHERE name = 'replaced'"),
	't|1', 'replaced: until it is refreshed');

# ---- a change that comes while a refresh is under way, after it has read the log ----
# gate() says IMMUTABLE, which is a lie that holds up a refresh.
sql(q{
CREATE FUNCTION gate(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN PERFORM pg_advisory_lock_shared(1); PERFORM pg_advisory_unlock_shared(1); RETURN i; END';
CREATE TABLE behind (id int PRIMARY KEY);
CREATE TABLE beside (id int PRIMARY KEY);
SELECT dyntable_create('gated', 'SELECT gate(id) AS id FROM behind', '10 s');
SELECT dyntable_create('below', 'SELECT id FROM gated', '10 s');
SELECT dyntable_create('free', 'SELECT id FROM beside', '100 ms');
});
my $gate = DynSession->new($node);
$gate->do('SELECT pg_advisory_lock(1)');
sql('INSERT INTO behind VALUES (1)');
becomes("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dyntable refresh worker' AND wait_event = 'advisory'",
	'a refresh is held up');
my $counted = sql(q{SELECT dyntable.changes('behind'::regclass)});
my $committed = sql('INSERT INTO behind VALUES (2); SELECT clock_timestamp()');
becomes("SELECT dyntable.changes('behind'::regclass) > $counted", 'a row is captured meanwhile');
# the scheduler takes note of what capture has counted by then, twice for it may have been about to sleep
foreach my $i (1, 2)
{
	sql("INSERT INTO beside VALUES ($i)");
	becomes("SELECT count(*) = $i FROM free", 'another table goes on');
}
$gate->do('SELECT pg_advisory_unlock(1)');
foreach my $table ('gated', 'below')
{
	becomes("SELECT data_timestamp > '$committed' FROM dyntable.dynamic_tables WHERE name = '$table'",
		"$table: the data timestamp passes the row's commit");
	is(sql("SELECT count(*) FROM $table"), '2', "$table: and the row is there");
}

# ---- a function that is replaced before the scheduler has read of the table ----
my $scheduler = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'dyntable scheduler'");
kill 'STOP', $scheduler;
sql(q{CREATE FUNCTION grade(i int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN ''low''; END'});
sql(q{SELECT dyntable_create('graded', 'SELECT id, grade(id) AS g FROM behind', '2 s')});
sql(q{CREATE OR REPLACE FUNCTION grade(i int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN ''high''; END'});
my $replaced = sql('SELECT clock_timestamp()');
kill 'CONT', $scheduler;
becomes("SELECT data_timestamp > '$replaced' FROM dyntable.dynamic_tables WHERE name = 'graded'",
	'replaced unheard: the data timestamp passes it');
is(sql('SELECT DISTINCT g FROM graded'), 'high', 'replaced unheard: the rows are those of the new function');

# ---- what failed is tried again when it was repaired ----
# Fails, and waits for the backoff; then nothing but the repair happens.
sub is_repaired
{
	my ($what, $table, $repair) = @_;
	becomes("SELECT waiting_for = 'RETRY' AND next_refresh_time > clock_timestamp() + interval '8 s' FROM dyntable.dynamic_tables WHERE name = '$table'",
		"$what: waits for its backoff");
	my $over = sql("SELECT next_refresh_time FROM dyntable.dynamic_tables WHERE name = '$table'");
	sql($repair);
	becomes("SELECT last_refresh_state = 'SUCCEEDED' FROM dyntable.dynamic_tables WHERE name = '$table'", "$what: is refreshed");
	is(sql("SELECT last_refresh_end_time < '$over', (SELECT count(*) > 0 FROM $table) FROM dyntable.dynamic_tables WHERE name = '$table'"),
		't|t', "$what: repaired before its backoff is over");
	return;
}
my $raises = q{LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''broken''; END'};
my $returns = q{LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN i; END'};
# two that were filled, and fail when their lag is over, and three that were not
sql(qq{
CREATE FUNCTION broken(i int) RETURNS int $raises;
CREATE FUNCTION inner_one(i int) RETURNS int $raises;
CREATE FUNCTION outer_one(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.inner_one(i); END';
CREATE FUNCTION whole(i int) RETURNS int $returns;
CREATE VIEW seen AS SELECT id, broken(id) AS b FROM behind;
SELECT dyntable_create('never', 'SELECT broken(id) AS id FROM behind', '1 hour', initialize => 'on_schedule');
SELECT dyntable_create('called', 'SELECT outer_one(id) AS id FROM behind', '1 hour', initialize => 'on_schedule');
SELECT dyntable_create('viewed', 'SELECT id, b FROM seen', '1 hour', initialize => 'on_schedule');
SELECT dyntable_create('filled', 'SELECT whole(id) AS id FROM behind', '15 s');
CREATE ROLE owner; GRANT ALL ON SCHEMA public TO owner;
CREATE TABLE granted (id int PRIMARY KEY); INSERT INTO granted VALUES (1); ALTER TABLE granted OWNER TO owner;
SET ROLE owner; SELECT dyntable_create('grants', 'SELECT id FROM granted', '15 s'); RESET ROLE;
ALTER TABLE granted OWNER TO CURRENT_USER;
CREATE OR REPLACE FUNCTION whole(i int) RETURNS int $raises;
});
is_repaired('a view', 'viewed', 'CREATE OR REPLACE VIEW seen AS SELECT id, id AS b FROM behind');
is_repaired('a function', 'never', "CREATE OR REPLACE FUNCTION broken(i int) RETURNS int $returns");
becomes("SELECT count(*) > 1 FROM dyntable.refresh_history WHERE name = 'called' AND state = 'FAILED'", 'other repairs are tried in vain');
is(sql("SELECT consecutive_failures FROM dyntable.dynamic_tables WHERE name = 'called'"), '1', 'which does not count');
is_repaired('a function within a function', 'called', "CREATE OR REPLACE FUNCTION inner_one(i int) RETURNS int $returns");
is_repaired('a function of a table that had been filled', 'filled', "CREATE OR REPLACE FUNCTION whole(i int) RETURNS int $returns");

# Repaired while the refresh that fails is still under way.
sql(q{
CREATE FUNCTION late(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN PERFORM pg_advisory_lock_shared(2); PERFORM pg_advisory_unlock_shared(2); RAISE EXCEPTION ''broken''; END';
});
$gate->do('SELECT pg_advisory_lock(2)');
sql(q{SELECT dyntable_create('lately', 'SELECT late(id) AS id FROM behind', '1 hour', initialize => 'on_schedule')});
becomes("SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'dyntable: refresh lately%' AND wait_event = 'advisory'", 'a refresh that is going to fail');
sql("CREATE OR REPLACE FUNCTION late(i int) RETURNS int $returns");
$gate->do('SELECT pg_advisory_unlock(2)');
becomes("SELECT last_refresh_state = 'SUCCEEDED' FROM dyntable.dynamic_tables WHERE name = 'lately'", 'repaired while it fails: is refreshed');
is(sql("SELECT count(*) FROM dyntable.refresh_history WHERE name = 'lately' AND state = 'FAILED' AND refresh_end_time > clock_timestamp() - interval '4 minutes'"),
	'1', 'repaired while it fails: after one failure, before its backoff is over');

is_repaired('a right', 'grants', 'GRANT SELECT ON granted TO owner');

$node->stop;
done_testing();
