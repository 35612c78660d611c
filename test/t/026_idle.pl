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

$node->stop;
done_testing();
