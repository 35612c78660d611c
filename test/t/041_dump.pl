# pg_dump and pg_restore: a dump never fails, a restore is never refused, what
# was restored says what it needs, and taken over it is what it was.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = DynTest::new_node('dump', 'autovacuum = off', 'fsync = off', 'max_worker_processes = 40', 'max_replication_slots = 16');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $databases = 0;

sub run { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql); }

# A program of the server's: succeeds, and has nothing to say.
sub quietly
{
	my ($what, @command) = @_;
	my ($stdout, $stderr);
	my $result = IPC::Run::run(\@command, '>', \$stdout, '2>', \$stderr);
	ok($result, "$what succeeds");
	is($stderr, '', "$what has nothing to complain about");
	return;
}

sub dump_to
{
	my ($file, @options) = @_;
	quietly("pg_dump @options", 'pg_dump', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-f', "$dir/$file", @options);
	return "$dir/$file";
}

sub new_database
{
	my $db = 'restored_' . ++$databases;
	run("CREATE DATABASE $db");
	return $db;
}

sub restore_to
{
	my ($db, $file, @options) = @_;
	quietly("restore of " . ($file =~ s{.*/}{}r) . " @options", $file =~ /sql$/ ?
		('psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-d', $db, '-f', $file) :
		('pg_restore', '-h', $node->host, '-p', $node->port, '-d', $db, @options, $file));
	return;
}

run(<<'SQL');
CREATE ROLE alice;
CREATE ROLE bob LOGIN;
CREATE SCHEMA app;
CREATE SCHEMA "odd "" schema";
SET search_path = app, public;
CREATE TABLE old_name (id int PRIMARY KEY, g int, v numeric, d date DEFAULT '2026-02-03');
INSERT INTO old_name SELECT i, i % 10, i FROM generate_series(1, 500) i;
CREATE TABLE bag (a int, b text);
INSERT INTO bag SELECT i % 7, 'k' || (i % 3) FROM generate_series(1, 50) i;
CREATE TABLE part (id int, k int) PARTITION BY LIST (k);
CREATE TABLE part_0 PARTITION OF part FOR VALUES IN (0);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
ALTER TABLE part_1 REPLICA IDENTITY NOTHING;
INSERT INTO part SELECT i, i % 2 FROM generate_series(1, 20) i;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 2;
SET DateStyle = 'SQL, DMY';
SELECT dyntable_create('groups', $$SELECT g, sum(v) AS s, count(*) AS n FROM old_name WHERE d < '13/02/2026' GROUP BY g$$, 'downstream');
SELECT dyntable_create('copies', 'SELECT a, twice(a) AS b, b AS c FROM bag', '1 hour', comment => 'a bag''s copies');
SELECT dyntable_create('above', 'SELECT n, count(*) AS c FROM groups GROUP BY n', schedule => '0 3 * * *');
SELECT dyntable_create('empty', 'SELECT id FROM old_name', '1 day', initialize => 'on_schedule');
SELECT dyntable_create('in_full', 'SELECT id, v FROM old_name ORDER BY id LIMIT 5', '1 day', 'full');
SELECT dyntable_create('"odd "" schema"."It''s odd"', 'SELECT k, count(*) AS n FROM part GROUP BY k', '1 day');
SELECT dyntable_suspend('in_full'); SELECT dyntable_suspend('empty');
ALTER TABLE old_name RENAME TO source;
ALTER TABLE source RENAME v TO value;
ALTER TABLE copies OWNER TO alice;
GRANT USAGE ON SCHEMA app TO alice, bob;
GRANT SELECT ON bag TO alice;
GRANT SELECT ON groups TO bob;
CREATE INDEX users_own ON groups (n);
CREATE VIEW over_groups AS SELECT sum(s) FROM groups;
SQL
run("SELECT pg_switch_wal(); INSERT INTO app.bag VALUES (100, 'after the refresh')");

my @all = ('app.groups', 'app.copies', 'app.above', 'app.empty', 'app.in_full', q{"odd "" schema"."It''s odd"});
my $states = q{SELECT string_agg(DISTINCT concat_ws(':', scheduling_state, scheduling_state_reason, reinit_reason LIKE 'restored from a dump%'), ' '), count(*) FROM dyntable.dynamic_tables};
my $definitions = q{SELECT schema_name, name, owner, query, target_lag, schedule, requested_refresh_mode, refresh_mode, initialize, comment FROM dyntable.dynamic_tables ORDER BY 1, 2};
my $original = run($definitions);
my $original_states = run('SELECT name, scheduling_state, scheduling_state_reason FROM dyntable.dynamic_tables ORDER BY 1');

# Restored, plain, and waiting; then taken over, right, and incremental.
sub is_restored
{
	my ($db, $what) = @_;
	is(run($states, $db), 'SUSPENDED:RESTORED:t|6', "$what: all are there, and say that they were restored");
	is(run('SELECT count(*) FROM dyntable.history', $db), '0', "$what: nothing has refreshed them");
	run("INSERT INTO app.groups SELECT coalesce(max(g), 0) + 100, 1, 1 FROM app.groups", $db);
	return;
}

sub is_taken_over
{
	my ($db, $what) = @_;
	is(run("SELECT string_agg(DISTINCT action || ':' || reason, ' '), count(*) FROM dyntable_refresh()", $db),
		'FULL:refresh_mode is "full" REINITIALIZE:restored from a dump|6', "$what: taken over, all are computed anew");
	is(run("SELECT count(*) FROM dyntable.refresh_history WHERE reinit_reason = 'restored from a dump'", $db), '5', "$what: the history says why");
	is(run(join(' UNION ALL ', map { "SELECT * FROM dyntable_verify('$_')" } @all), $db), join("\n", ('0|0') x @all), "$what: no row differs");
	cmp_ok(run('SELECT count(*) FROM app.copies', $db), '>', 10, "$what: and not for lack of rows");
	run("UPDATE app.source SET value = value + 1 WHERE id < 5; UPDATE app.part SET k = 1 - k WHERE id < 4; DELETE FROM app.bag WHERE a = 3", $db);
	is(run(q{SELECT string_agg(action, ' ' ORDER BY action) FROM dyntable_refresh('app.groups', 'app.copies', '"odd "" schema"."It''s odd"')}, $db),
		'INCREMENTAL INCREMENTAL INCREMENTAL', "$what: then they are incremental");
	is(run(join(' UNION ALL ', map { "SELECT * FROM dyntable_verify('$_')" } @all), $db), join("\n", ('0|0') x @all), "$what: and right");
	my ($status, $out, $err) = $node->psql($db, 'INSERT INTO app.groups VALUES (78, 1, 1)');
	like($err, qr/cannot change dynamic table/, "$what: the write protection is on again");
	is(run(q{SELECT count(*), count(DISTINCT indrelid) FROM pg_index WHERE obj_description(indexrelid) LIKE 'identity of the rows%'}, $db), '6|6', "$what: one index of ours for each");
	return;
}

# ---- dumps
my $plain = dump_to('plain.sql');
my $text = slurp_file($plain);
unlike($text, qr/stage_\d|log_\d/, 'a dump leaves out state tables and change logs');
unlike($text, qr/COPY dyntable\.(?!dump)/, 'and whatever is not a definition');
my $custom = dump_to('custom.dump', '-Fc');
my $directory = dump_to('directory', '-Fd', '-j2');
my $inserts = dump_to('inserts.sql', '--inserts');
my $partial = dump_to('partial.dump', '-Fc', '-n', 'app', '-n', 'odd*', '-e', 'dyntable');
my $without = dump_to('without.dump', '-Fc', '--exclude-table=app.copies');

# ---- whole restores
my $db = new_database();
restore_to($db, $plain);
is_restored($db, 'plain');
is(run(q{SELECT (SELECT obj_description('app.copies'::regclass)), (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'app.copies'::regclass),
	has_table_privilege('bob', 'app.groups', 'SELECT'), to_regclass('app.users_own') IS NOT NULL, (SELECT sum > 0 FROM app.over_groups)}, $db),
	q{a bag's copies|alice|t|t|t}, 'comment, owner, grants, indexes and views come along');
is_taken_over($db, 'plain');
is(run($definitions, $db), $original, 'the definitions are the same');
is(run('SELECT name, scheduling_state, scheduling_state_reason FROM dyntable.dynamic_tables ORDER BY 1', $db), $original_states, 'and suspended is what was suspended');
is(run(q{SELECT string_agg(relid::regclass || ' ' || old_identity::text, ', ' ORDER BY relid::regclass::text) FROM dyntable.identity}, $db),
	'app.bag d, app.part d, app.part_0 d, app.part_1 n, app.source d', 'the replica identities of before are known');

$db = new_database();
restore_to($db, $directory, '-j', '3');
is_restored($db, 'parallel');
is_taken_over($db, 'parallel');

$db = new_database();
restore_to($db, $inserts);
is_restored($db, 'INSERTs');
is_taken_over($db, 'INSERTs');

# A dump of what is not yet taken over still has it.
$db = new_database();
restore_to($db, $partial, '--no-owner');
is_restored($db, 'schemas and extension, without owners');
quietly('pg_dump of what was restored', 'pg_dump', '-h', $node->host, '-p', $node->port, '-d', $db, '-Fc', '-f', "$dir/again.dump");
my $again = new_database();
restore_to($again, "$dir/again.dump");
is_restored($again, 'dumped again');
is_taken_over($again, 'dumped again');

# Over what is there.
restore_to($again, $custom, '--clean', '--if-exists');
is_restored($again, 'over the old ones');
is_taken_over($again, 'over the old ones');

# ---- schema first, data later
$db = new_database();
restore_to($db, $custom, '--schema-only');
is(run('SELECT count(*) FROM dyntable.dynamic_tables', $db), '0', 'the schema alone has no definitions');
restore_to($db, $custom, '--data-only', '--disable-triggers');
is_taken_over($db, 'schema first, data later');
$db = new_database();
restore_to($db, $custom, '--schema-only');
restore_to($db, dump_to('definitions.sql', '--data-only', '-t', 'dyntable.dump*'));
is_restored($db, 'schema and definitions');
my ($stdout, $stderr);
my ($status, $out, $err) = $node->psql($db, q{SELECT dyntable_suspend('app.groups')});
like($err, qr/"groups" is not a dynamic table\n.*HINT:.*restored from a dump/, 'a command says what the matter is');

# ---- one by one
($status, $out, $err) = $node->psql($db, q{BEGIN; SELECT dyntable_resume('app.above'); SELECT * FROM app.above});
like($err, qr/has not been populated/, 'a table without its rows cannot be read before its refresh');
run(q{SELECT dyntable_resume('app.above')}, $db);
is(run(q{SELECT string_agg(name || ':' || scheduling_state, ' ' ORDER BY name) FROM dyntable.dynamic_tables WHERE scheduling_state_reason IS DISTINCT FROM 'RESTORED'}, $db),
	'above:ACTIVE groups:ACTIVE', 'dyntable_resume takes a table over, and what it reads');
run(q{SELECT * FROM dyntable_refresh('app.above')}, $db);
is(run(q{SELECT * FROM dyntable_verify('app.above') UNION ALL SELECT * FROM dyntable_verify('app.groups')}, $db), "0|0\n0|0", 'both are right');
run(q{SELECT dyntable_drop('app.copies'); DROP TABLE app.in_full; ALTER TABLE app.empty ADD more int}, $db);
($status, $out, $err) = $node->psql($db, 'SELECT name FROM dyntable_refresh() ORDER BY name::text COLLATE "C"');
is($out, qq{"odd "" schema"."It's odd"\napp.above\napp.groups}, 'what cannot be taken over does not keep the others back');
like($err, qr/WARNING: .*"empty" could not be taken over: table "empty" does not have the columns of its query/, 'and is named, with the reason');
like($err, qr/WARNING: .*"app.in_full" of a restored definition does not exist\n.*HINT/, 'so is what has no table');
unlike($err, qr/copies/, 'what was dropped is forgotten');
run(q{SELECT dyntable_drop('app.in_full'), dyntable_drop('app.empty')}, $db);
is(run('SELECT count(*) FROM dyntable.restored', $db), '0', 'what has no table can be forgotten');

# ---- without one of the tables
$db = new_database();
restore_to($db, $without);
($status, $out, $err) = $node->psql($db, 'SELECT count(*) FROM dyntable_refresh()');
is($out, '5', 'a table that was left out concerns no other');
like($err, qr/"app.copies" of a restored definition does not exist/, 'and is missed');

# ---- operators that the query does not write, of a type in another schema
my $types = new_database();
run(<<'SQL', $types);
CREATE SCHEMA types;
CREATE EXTENSION citext SCHEMA types;
CREATE EXTENSION dyntable;
SET search_path = public, types;
CREATE TABLE person (id int, name citext);
INSERT INTO person SELECT i, CASE WHEN i % 2 = 0 THEN 'Ann' ELSE 'aNN' END FROM generate_series(1, 6) i;
SELECT dyntable_create('names', $$SELECT p.id, q.id AS other, name, CASE name WHEN 'ANN' THEN 1 ELSE 0 END AS ann FROM person p JOIN person q USING (name)
    WHERE nullif(name, 'ann') IS NULL AND name IN (SELECT name FROM person WHERE id > 3) AND (p.id, name) <= (6, 'ANN') AND (name, 1) IN (SELECT name, 1 FROM person)$$, '1 day');
SQL
is(run('SELECT count(*), sum(ann) FROM names', $types), '36|36', 'a table that compares by citext');
quietly('pg_dump of it', 'pg_dump', '-h', $node->host, '-p', $node->port, '-d', $types, '-f', "$dir/types.sql");
$db = new_database();
restore_to($db, "$dir/types.sql");
run('SELECT * FROM dyntable_refresh()', $db);
run(q{INSERT INTO person VALUES (0, 'ANN')}, $db);
is(run('SELECT action FROM dyntable_refresh()', $db), 'INCREMENTAL', 'restored it is incremental');
is(run('SELECT count(*), sum(ann) FROM names', $db), '49|49', 'and compares by citext still');

# ---- all that there is, into an empty database, and no hand laid on it afterwards
run('CREATE ROLE leaving; CREATE ROLE tracker');
my $all = 'all_features';
run("CREATE DATABASE $all");
run(<<'SQL', $all);
CREATE EXTENSION dyntable;
GRANT ALL ON SCHEMA public TO alice, leaving;
CREATE TABLE event (id int PRIMARY KEY, day date, k int, v int);
INSERT INTO event SELECT i, date '2026-01-01' + i % 10, i % 3, i FROM generate_series(1, 200) i;
CREATE TABLE tracked (id int PRIMARY KEY, v int);
ALTER TABLE tracked OWNER TO alice;
INSERT INTO tracked VALUES (1, 1);
SELECT dyntable_track('tracked', 'tracker'), dyntable_track('tracked', 'leaving');
SELECT dyntable_warehouse('default', max_workers => 3, comment => 'for all');
SELECT dyntable_warehouse('batch', max_workers => 2, settings => '{"work_mem": "9MB"}', statement_timeout => '1 hour', auto_suspend => '5 s', comment => 'at night', owner => 'alice', grant_to => 'bob');
SELECT dyntable_warehouse('batch', grant_to => 'public'), dyntable_warehouse('batch', grant_to => 'leaving'), dyntable_warehouse('fills', owner => 'leaving'), dyntable_warehouse('unused', suspended => true, auto_resume => false);
SELECT dyntable_create('base', 'SELECT k, count(*) AS n, sum(v) AS total FROM event GROUP BY k', 'downstream', warehouse => 'batch', initialization_warehouse => 'fills');
SELECT dyntable_create('top', 'SELECT k, total FROM base ORDER BY total DESC LIMIT 2', '1 second');
SELECT dyntable_create('days', 'SELECT day, count(*) AS n, sum(v) AS total FROM event GROUP BY day', '1 second', frozen_where => 'day < ''2026-01-04''');
SELECT dyntable_create('aside', 'SELECT e.id, b.n FROM event e JOIN base b USING (k) WHERE e.v > 10', '1 second', boundary => '{base}', comment => 'reads base as it is');
SELECT dyntable_create('ranks', 'SELECT id, k, rank() OVER (PARTITION BY k ORDER BY v) AS r FROM event', '1 second', 'incremental');
SELECT dyntable_create('by_hand', 'SELECT count(DISTINCT v) AS n FROM event', schedule => 'manual');
SELECT dyntable_create('nightly', 'SELECT DISTINCT day FROM event', schedule => '0 3 * * *', refresh_mode => 'full');
SELECT dyntable_clone('days', 'days_copy');
SELECT dyntable_suspend('nightly');
SELECT dyntable_follow('top', '2 days');
DELETE FROM event WHERE day = '2026-01-02' AND id > 50;
SELECT dyntable_refresh();
SQL
my $features = q{SELECT t.name, t.target_lag, t.schedule, t.refresh_mode, t.requested_refresh_mode, t.initialize, t.warehouse_name, t.initialization_warehouse_name, t.scheduling_state,
	t.scheduling_state_reason, t.frozen_where, t.changes_kept, t.comment, t.query, d.read FROM dyntable.dynamic_tables t
	CROSS JOIN LATERAL (SELECT string_agg(source_name || boundary, ',' ORDER BY source_name) AS read FROM dyntable.dependencies d WHERE d.relid = t.relid) d ORDER BY 1};
my $warehouses = q{SELECT name, owner, granted_to, max_workers, settings, statement_timeout, auto_suspend, auto_resume, state = 'SUSPENDED', comment FROM dyntable.warehouses ORDER BY 1};
my $tracked = q{SELECT t.source::regclass, t.grantee::regrole, i.old_identity FROM dyntable.tracked t LEFT JOIN dyntable.identity i ON i.relid = t.source ORDER BY 2};
my $contents = join(' UNION ALL ', map { "SELECT '$_', (SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM $_ t)" } qw(base top days aside ranks by_hand nightly days_copy));
my %was = map { $_ => run($_, $all) } $features, $warehouses, $tracked, $contents;
quietly('pg_dump of all features', 'pg_dump', '-h', $node->host, '-p', $node->port, '-d', $all, '-Fc', '-f', "$dir/features.dump");
$db = new_database();
restore_to($db, "$dir/features.dump");
is(run($warehouses, $db), $was{$warehouses}, 'warehouses come along, with owners, grants and settings, default too');
is(run("SELECT count(*) FROM dyntable.sources", $db), '0', 'nothing is under capture before tables are taken over');
quietly('pg_dump of what was restored', 'pg_dump', '-h', $node->host, '-p', $node->port, '-d', $db, '-Fc', '-f', "$dir/features_again.dump");
my $copy = new_database();
restore_to($copy, "$dir/features_again.dump");
foreach my $restored ($db, $copy)
{
	is(run("SELECT count(*) FROM dyntable_refresh()", $restored), '8', "$restored: all features are taken over");
	is(run($_, $restored), $was{$_}, "$restored: as they were: " . (substr($_, 0, 40) =~ s/\s+/ /gr)) foreach $features, $warehouses, $tracked, $contents;
	is(run("SELECT string_agg(name || ':' || v::text, ' ' ORDER BY name) FROM dyntable.dynamic_tables, LATERAL (SELECT dyntable_verify(relid::regclass) AS v OFFSET 0) x WHERE v::text <> '(0,0)'", $restored), '', "$restored: no row differs");
	run(q{INSERT INTO event SELECT i, date '2026-01-01' + i % 10, i % 3, i FROM generate_series(1000, 1100) i; DELETE FROM event WHERE id IN (7, 8, 9)}, $restored);
	foreach my $name (qw(top days aside ranks))
	{
		run("SELECT dyntable_wait('$name', clock_timestamp())", $restored);
		is(run("SELECT string_agg(DISTINCT refresh_action, ',') FROM dyntable.refresh_history WHERE name = '$name' AND refresh_trigger = 'SCHEDULED' AND refresh_action <> 'NO_DATA'", $restored), 'INCREMENTAL', "$restored: $name goes on by itself");
		is(run("SELECT * FROM dyntable_verify('$name')", $restored), '0|0', "$restored: $name is right");
	}
	is(run("SELECT (SELECT n = 20 FROM days WHERE day = '2026-01-02'), (SELECT n > 20 FROM days WHERE day = '2026-01-08')", $restored), 't|t', "$restored: frozen rows stay, others move");
	is(run("SELECT count(*) > 0 FROM dyntable_changes('top')", $restored), 't', "$restored: who follows a table goes on, too");
	ok($node->poll_query_until($restored, q{SELECT string_agg(name::text, ',' ORDER BY name) = 'event,tracked' FROM dyntable.sources}), "$restored: what is tracked comes under capture");
}

# Roles that are not there.
my $unknown = DynTest::configured_node('unknown_roles', 'fsync = off');
$unknown->start;
($stdout, $stderr) = ('', '');
$unknown->safe_psql('postgres', 'CREATE ROLE alice');
IPC::Run::run([ 'pg_restore', '-h', $unknown->host, '-p', $unknown->port, '-d', 'postgres', '--no-acl', "$dir/features.dump" ], '>', \$stdout, '2>', \$stderr);
unlike($stderr, qr/error/, 'roles of warehouses that do not exist are no error');
like(slurp_file($unknown->logfile), qr/WARNING:  roles of warehouse "batch" do not exist here: bob, leaving\n/, 'and are named');
is($unknown->safe_psql('postgres', "SELECT name, owner = current_user, granted_to FROM dyntable.warehouses ORDER BY 1"), "batch|f|{public}\ndefault|t|{public}\nfills|t|{}\nunused|t|{}", 'a warehouse without its owner is that of who restores it');
is($unknown->safe_psql('postgres', 'SELECT count(*) FROM dyntable_refresh()'), '8', 'tables are taken over all the same');
$unknown->stop;

# ---- by others
run('REVOKE ALL ON SCHEMA app FROM bob; CREATE TABLE bobs (i int); ALTER TABLE bobs OWNER TO bob');
quietly('pg_dump by somebody', 'pg_dump', '-h', $node->host, '-p', $node->port, '-U', 'bob', '-d', 'postgres', '-N', 'app', '-N', 'odd*', '-f', "$dir/bob.sql");
like(slurp_file("$dir/bob.sql"), qr/COPY dyntable.dump [^\n]*\n\\\.\n/, 'has no definitions of others');
run('DROP TABLE bobs');

# ---- where the library is not preloaded
my $unloaded = DynTest::configured_node('unloaded', "shared_preload_libraries = ''", 'fsync = off');
$unloaded->start;
$unloaded->safe_psql('postgres', 'CREATE ROLE alice; CREATE ROLE bob');
quietly('restore without the library preloaded', 'pg_restore', '-h', $unloaded->host, '-p', $unloaded->port, '-d', 'postgres', $custom);
is($unloaded->safe_psql('postgres', $states), 'SUSPENDED:RESTORED:t|6', 'all are there, and say that they were restored');
($status, $out, $err) = $unloaded->psql('postgres', 'SELECT * FROM dyntable_refresh()');
like($err, qr/shared_preload_libraries/, 'and what they need is said');
quietly('pg_dump without the library preloaded', 'pg_dump', '-h', $unloaded->host, '-p', $unloaded->port, '-d', 'postgres', '-f', "$dir/unloaded.sql");
$unloaded->append_conf('postgresql.conf', "shared_preload_libraries = 'dyntable'");
$unloaded->restart;
is($unloaded->safe_psql('postgres', 'SELECT count(*) FROM dyntable_refresh()'), '6', 'with the library they are taken over');
$unloaded->stop;
$node->stop;
done_testing();
