# What a refresh checks while it works: a change log that contradicts what is
# stored is found, told of with table, key and run, and the table computed anew.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $node = DynTest::new_node('invariants', 'autovacuum = off');

sub run { return $node->safe_psql('postgres', $_[0]); }

run(<<'SQL');
CREATE TABLE s (id int PRIMARY KEY, g int, v numeric);
INSERT INTO s SELECT i, i % 7, CASE WHEN i % 3 > 0 THEN i END FROM generate_series(1, 100) i;
SELECT dyntable_create('keyed', 'SELECT id, g, v FROM s', '1 day');
SELECT dyntable_create('bag', 'SELECT g, v FROM s', '1 day');
SELECT dyntable_create('groups', 'SELECT g, count(v) AS n, sum(v) AS v FROM s GROUP BY g', '1 day');
SELECT dyntable_create('ranked', 'SELECT id, g, rank() OVER (PARTITION BY g ORDER BY id) AS r FROM s', '1 day');
SELECT dyntable_create('latest', 'SELECT DISTINCT ON (g) g, id FROM s ORDER BY g, id DESC', '1 day');
SQL
my ($log, @column) = split /\|/, run(q{SELECT log::regclass, (SELECT string_agg('a' || n, '|') FROM unnest(columns) n)
	FROM dyntable.source WHERE relid = 's'::regclass});

# As if a transaction had made a change that it did not.
sub forge
{
	my ($weight, $id, $g, $v) = @_;
	run("INSERT INTO $log (xid, w, a1, a2, a3) VALUES (pg_current_xact_id(), $weight, $id, $g, $v)");
	return;
}

# Refresh one table: what it was told, what history keeps, and that it then is right.
sub contradicts
{
	my ($name, $what, $message, $detail) = @_;
	my ($status, $out, $errors) = $node->psql('postgres', "UPDATE s SET v = v + 1 WHERE id = 10; SELECT action FROM dyntable_refresh('$name')");
	is($out, 'REINITIALIZE', "acceptance 15: $name, $what: computed anew");
	like($errors, $message, "$name, $what: why");
	like($errors, qr/DETAIL:  ${detail}The run of transaction \d+ with data timestamp 20.* computes the table anew/,
		"$name, $what: which row, which run");
	like(run("SELECT reinit_reason FROM dyntable.refresh_history WHERE name = '$name' ORDER BY id DESC LIMIT 1"),
		qr/^the stored state did not fit the changes: a /, "$name, $what: in the history");
	is(run("SELECT * FROM dyntable_verify('$name')"), '0|0', "$name, $what: no row differs");
	run('UPDATE s SET g = (g + 1) % 7, v = v + 1 WHERE id % 10 = 3');
	is(run("SELECT action FROM dyntable_refresh('$name')"), 'INCREMENTAL', "$name, $what: incremental again");
	is(run("SELECT * FROM dyntable_verify('$name')"), '0|0', "$name, $what: no row differs then");
	return;
}

forge(-1, 1000, 1, 9999);
contradicts('keyed', 'a row goes that is not there', qr/would delete rows that are not there/, qr/Key \(id\)=\(1000\) is not there\. /);
contradicts('bag', 'a row goes that is not there', qr/would delete rows that are not there/, qr/Row \(1,9999\) is not there as often as it would go\. /);
forge(-1, 1001, 1, 1);
forge(1, 1001, 1, 2);
contradicts('keyed', 'a row changes that is not there', qr/would update rows that are not there/, qr/Key \(id\)=\(1001\) is not there\. /);
forge(1, 50, 1, 1);
contradicts('keyed', 'a key comes twice', qr/would store a key twice/, qr/Key \(id\)=\(50\) already exists\. ?/);
forge(1, 51, 1, 'NULL');
forge(1, 51, 1, 'NULL');
contradicts('keyed', 'a row comes twice', qr/would store a key twice/, qr/.*/);

# what came before is in the log of the others too
run(q{SELECT dyntable_refresh('groups', 'ranked', 'latest')});
forge(-1, 2000, 77, 1);
contradicts('groups', 'a group has less than no rows', qr/a group of dynamic table "groups" does not have the rows/, qr/The group is \(77\)\. /);
forge(-1, 2000, 3, 'NULL') for 1 .. 20;
contradicts('groups', 'a group has fewer rows than values', qr/a group of dynamic table "groups" does not have the rows/, qr/The group is \(3\)\. /);

# ---- what is a user's own affair ----
run(q{SELECT dyntable_refresh('keyed')});
run('CREATE UNIQUE INDEX mine ON keyed (v) WHERE id IN (4, 5)');
my ($status, $out, $errors) = $node->psql('postgres', q{UPDATE s SET v = 1 WHERE id IN (4, 5); SELECT dyntable_refresh('keyed')});
like($errors, qr/ERROR:  duplicate key value violates unique constraint "mine"/, 'a unique index of the user\'s is reported as such');
run('DROP INDEX mine');
is(run(q{SELECT action FROM dyntable_refresh('keyed')}), 'INCREMENTAL', 'and nothing is computed anew');
is(run(q{SELECT * FROM dyntable_verify('keyed')}), '0|0', 'no row differs');

# ---- state that somebody damaged ----
run(q{DO $$ BEGIN EXECUTE (SELECT format('DELETE FROM %s WHERE c1 = 2', stage::regclass)
	FROM dyntable.stage WHERE relid = 'groups'::regclass AND no > 0); END $$});
run('DELETE FROM s WHERE g = 2');
($status, $out, $errors) = $node->psql('postgres', q{SELECT action FROM dyntable_refresh('groups')});
is($out, 'REINITIALIZE', 'a group that is gone from the state');
like($errors, qr/The group is \(2\)\./, 'is named');
is(run(q{SELECT * FROM dyntable_verify('groups')}), '0|0', 'no row differs');
run(q{DO $$ BEGIN EXECUTE (SELECT format('DELETE FROM %s WHERE c1 = 3', stage::regclass)
	FROM dyntable.stage WHERE relid = 'groups'::regclass AND no > 0); END $$});
($status, $out, $errors) = $node->psql('postgres', q{INSERT INTO s (id, g, v) VALUES (7001, 3, 1); SELECT action FROM dyntable_refresh('groups')});
is($out, 'REINITIALIZE', 'a row whose group the state does not know');
like($errors, qr/would store a key twice\nDETAIL:  The group is \(3\)\./, 'is named');
is(run(q{SELECT * FROM dyntable_verify('groups')}), '0|0', 'no row differs');
run(q{DO $$ BEGIN EXECUTE (SELECT format('UPDATE %s SET c1 = 99 WHERE c1 = 4', stage::regclass)
	FROM dyntable.stage WHERE relid = 'groups'::regclass AND no > 0); END $$});
($status, $out, $errors) = $node->psql('postgres', q{INSERT INTO s (id, g, v) VALUES (7002, 99, 1); SELECT action FROM dyntable_refresh('groups')});
is($out, 'REINITIALIZE', 'a group in the state that has no row');
like($errors, qr/would update rows that are not there\nDETAIL:  The group is \(99\)\./, 'is named');
is(run(q{SELECT * FROM dyntable_verify('groups')}), '0|0', 'no row differs');
$node->stop;
done_testing();
