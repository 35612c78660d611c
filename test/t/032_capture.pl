# Change capture: what leaves no trace in the decoded WAL, what takes the slot
# away, what the change log keeps, and what is left when all is over.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $node = DynTest::new_node('capture', 'autovacuum = off');

sub run { return $node->safe_psql('postgres', $_[0]); }

# Refresh one table: what was done, and whether it then holds what its query gives.
sub is_refreshed
{
	my ($name, $action, $what) = @_;
	is(run("SELECT action FROM dyntable_refresh('$name')"), $action, "$what: $action");
	is(run("SELECT * FROM dyntable_verify('$name')"), '0|0', "$what: no row differs");
	return;
}

# Do something that changes a source without a trace, then an ordinary change.
sub reinitialises_once
{
	my ($name, $what, $change, $ordinary) = @_;
	run($change);
	is_refreshed($name, 'REINITIALIZE', $what);
	run($ordinary);
	is_refreshed($name, 'INCREMENTAL', "change after $what");
	return;
}

sub generation { return run('SELECT coalesce(generation, 0) FROM dyntable.capture'); }

# ---- partitions ----
run(<<'SQL');
CREATE TABLE part (id int, k int, t text, u int) PARTITION BY LIST (k);
CREATE TABLE part_0 PARTITION OF part FOR VALUES IN (0);
CREATE TABLE part_1 (t text, gone int, u int, k int, id int);
ALTER TABLE part_1 DROP COLUMN gone;
INSERT INTO part SELECT i, 0, 't' || i, i FROM generate_series(1, 50) i;
INSERT INTO part_1 SELECT 't', i, 1, i FROM generate_series(51, 80) i;
SELECT dyntable_create('parts', 'SELECT id, t, u::text AS u FROM part', '1 day');
SQL
reinitialises_once('parts', 'ATTACH PARTITION', 'ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES IN (1)',
	q{UPDATE part SET t = 'x' WHERE id IN (3, 60); UPDATE part SET k = 1 - k WHERE id IN (4, 61)});
run('CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2)');
run(q{INSERT INTO part VALUES (90, 2, 'new', 1); UPDATE part SET k = 2 WHERE id = 5});
is_refreshed('parts', 'INCREMENTAL', 'CREATE TABLE PARTITION OF');
reinitialises_once('parts', 'DROP TABLE of a partition', 'BEGIN; DROP TABLE part_1; COMMIT', 'DELETE FROM part WHERE id = 6');
reinitialises_once('parts', 'DETACH PARTITION', 'ALTER TABLE part DETACH PARTITION part_2', 'DELETE FROM part WHERE id = 7');
reinitialises_once('parts', 'TRUNCATE of a partition', 'TRUNCATE part_0', q{INSERT INTO part SELECT i, 0, 't', i FROM generate_series(1, 9) i});

# ---- columns and identity ----
run('ALTER TABLE part ALTER u TYPE bigint');
is_refreshed('parts', 'REINITIALIZE', 'ALTER COLUMN TYPE');
$node->poll_query_until('postgres', q{SELECT format_type(atttypid, atttypmod) = 'bigint' FROM pg_attribute, dyntable.source
	WHERE attrelid = log AND attname = 'a4' AND relid = 'part'::regclass})
  or die 'the log did not follow the type';
run(q{SELECT dyntable_refresh('parts')});
run('UPDATE part SET u = 10000000000 WHERE id = 2');
is_refreshed('parts', 'INCREMENTAL', 'change in the new type');
reinitialises_once('parts', 'a change without its old row',
	q{ALTER TABLE part_0 REPLICA IDENTITY NOTHING; UPDATE part SET t = 'lost' WHERE id = 1; ALTER TABLE part_0 REPLICA IDENTITY FULL},
	q{UPDATE part SET t = 'seen' WHERE id = 1});
run('ALTER TABLE part ADD COLUMN extra int DEFAULT 7; ALTER TABLE part RENAME t TO renamed; ALTER TABLE part DROP COLUMN extra');
run(q{INSERT INTO part VALUES (20, 0, 'after', 1); DELETE FROM part WHERE id = 2});
is_refreshed('parts', 'INCREMENTAL', 'columns added, renamed and dropped');

# ---- values out of line ----
run(<<'SQL');
CREATE TABLE wide (id int PRIMARY KEY, n int, body text);
ALTER TABLE wide ALTER body SET STORAGE EXTERNAL;
INSERT INTO wide SELECT i, i, repeat(md5(i::text), 200) FROM generate_series(1, 20) i;
SELECT dyntable_create('bodies', 'SELECT id, n, body FROM wide', '1 day');
UPDATE wide SET n = n + 1 WHERE id < 10;
UPDATE wide SET body = repeat('z', 9000) WHERE id IN (3, 15);
UPDATE wide SET body = NULL WHERE id = 4;
DELETE FROM wide WHERE id = 5;
INSERT INTO wide VALUES (30, 1, repeat('y', 9000));
SQL
is_refreshed('bodies', 'INCREMENTAL', 'values in TOAST');
run(q{UPDATE wide SET n = n WHERE id = 8});
is_refreshed('bodies', 'NO_DATA', 'an update that changes nothing');

# ---- a row that the log cannot hold ----
my $columns = 1016;
run('CREATE TABLE full_row (' . join(', ', map { "c$_ bigint" } 0 .. $columns) . ')');
run("SELECT dyntable_create('sums', 'SELECT c0, sum(" . join(' + ', map { "c$_" } 1 .. $columns) . ") AS s FROM full_row GROUP BY c0', '1 day')");
reinitialises_once('sums', 'a row too long for the log',
	'INSERT INTO full_row VALUES (' . join(', ', (1) x ($columns + 1)) . ')', 'INSERT INTO full_row VALUES (2, 3)');

# ---- what cannot be captured for a while ----
run(q{CREATE TABLE plain (id int PRIMARY KEY, t text); INSERT INTO plain VALUES (1, 'a');
SELECT dyntable_create('plains', 'SELECT id, t FROM plain', '1 day')});
run(q{ALTER TABLE plain SET UNLOGGED; INSERT INTO plain VALUES (2, 'b')});
is_refreshed('plains', 'REINITIALIZE', 'an unlogged source');
reinitialises_once('plains', 'SET LOGGED', q{INSERT INTO plain VALUES (3, 'c'); ALTER TABLE plain SET LOGGED}, 'DELETE FROM plain WHERE id = 2');
run(q{CREATE TABLE child () INHERITS (plain); INSERT INTO child VALUES (9, 'x')});
is_refreshed('plains', 'REINITIALIZE', 'a source with inheritance children');
reinitialises_once('plains', 'DROP of the child', 'DROP TABLE child', q{UPDATE plain SET t = 'd' WHERE id = 1});

# ---- others cannot use or fool it ----
my ($status, $out, $error) = $node->psql('postgres', q{SELECT pg_create_logical_replication_slot('other', 'dyntable')});
isnt($status, 0, 'the output plugin serves nobody else');
is(run(q{SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'other'}), '0', 'and leaves no slot');
run(q{SELECT pg_logical_emit_message(true, 'dyntable', repeat('x', 16)); UPDATE plain SET t = 'e' WHERE id = 1});
is_refreshed('plains', 'INCREMENTAL', 'a forged message');

# ---- what refreshes write is not decoded, but what others write meanwhile ----
run(<<'SQL');
SELECT pg_create_logical_replication_slot('watcher', 'test_decoding');
CREATE TABLE base (id int PRIMARY KEY, v int);
CREATE TABLE audit (id int, v int);
CREATE TABLE called (v int);
INSERT INTO base SELECT i, i FROM generate_series(1, 20) i;
CREATE FUNCTION to_audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.audit VALUES (NEW.id, NEW.v); RETURN NULL; END';
CREATE FUNCTION really_writes(v int) RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.called VALUES (v); RETURN v; END';
CREATE FUNCTION lies(v int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.really_writes(v); END';
SELECT dyntable_create('bases', 'SELECT id, v FROM base', '1 day', 'incremental');
SELECT dyntable_create('audits', 'SELECT id, v FROM audit', '1 day', 'incremental');
SELECT dyntable_create('calls', 'SELECT v FROM called', '1 day', 'incremental');
UPDATE base SET v = -v WHERE id <= 5;
SQL
is_refreshed('bases', 'INCREMENTAL', 'a table without triggers');
is(run(q{SELECT count(*) FROM pg_logical_slot_peek_changes('watcher', NULL, NULL, 'only-local', '1') WHERE data LIKE 'table public.bases:%'}), 0,
	'what refreshes write carries an origin');
is(run(q{SELECT count(*) FROM pg_logical_slot_get_changes('watcher', NULL, NULL) WHERE data LIKE 'table public.bases:%'}), 25,
	'and reaches subscribers');
run(q{SELECT pg_drop_replication_slot('watcher');
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON bases FOR EACH ROW EXECUTE FUNCTION to_audit();
UPDATE base SET v = v + 100 WHERE id <= 7});
is_refreshed('bases', 'INCREMENTAL', 'a table with a trigger');
is_refreshed('audits', 'INCREMENTAL', 'a table over what the trigger writes');
is(run('SELECT count(*) FROM audits'), 7, 'it has what the trigger wrote');
run(q{SELECT dyntable_create('liars', 'SELECT id, lies(v) AS v FROM base', '1 day', 'incremental')});
my $before_call = run('SELECT count(*) FROM called');
cmp_ok($before_call, '>', 0, 'a function that lies about itself writes');
is_refreshed('calls', 'INCREMENTAL', 'a table over what it writes');
run(q{SELECT dyntable_drop(n) FROM unnest(ARRAY['liars', 'calls', 'audits', 'bases']) n; DROP TABLE base, audit, called});

# ---- the log is emptied ----
# so many rows are computed anew in mode auto, and this is about the log
run(q{SELECT dyntable_alter('plains', refresh_mode => 'incremental');
	INSERT INTO plain SELECT i, 'many' FROM generate_series(100, 60000) i});
is_refreshed('plains', 'INCREMENTAL', 'many rows');
ok($node->poll_query_until('postgres', q{SELECT pg_relation_size(log) + pg_relation_size(other_log) = 0
	FROM dyntable.source WHERE relid = 'plain'::regclass}), 'a consumed log is cut');
run(q{UPDATE plain SET t = 'again' WHERE id < 110});
is_refreshed('plains', 'INCREMENTAL', 'changes after the cut');
run(q{SELECT dyntable_alter('plains', refresh_mode => 'auto')});

# ---- the slot is lost ----
my $before = generation();
run(q{ALTER SYSTEM SET dyntable.max_retained_wal = '16MB'; CREATE TABLE noise (t text)});
run('SELECT pg_reload_conf()');
run(q{BEGIN; CREATE TABLE held (i int); PREPARE TRANSACTION 'long'});
run(q{INSERT INTO noise SELECT repeat(md5(i::text), 20) FROM generate_series(1, 40000) i});
ok($node->poll_query_until('postgres', q{SELECT state = 'creating slot' FROM dyntable.capture}),
	'a slot that a long transaction makes hold too much WAL is given up');
is(run('SELECT count(*) FROM pg_replication_slots WHERE restart_lsn IS NOT NULL'), '0', 'and holds none');
run(q{UPDATE plain SET t = 'meanwhile' WHERE id < 105});
is_refreshed('plains', 'REINITIALIZE', 'without a slot');
run(q{ROLLBACK PREPARED 'long'});
ok($node->poll_query_until('postgres', q{SELECT state = 'running' FROM dyntable.capture}), 'it is made anew when that has ended');
isnt(generation(), $before, 'under another generation');
reinitialises_once('plains', 'a new slot', q{UPDATE plain SET t = 'new' WHERE id < 103}, q{UPDATE plain SET t = 'newer' WHERE id < 102});

$before = generation();
$node->stop;
PostgreSQL::Test::Utils::system_log('rm', '-rf', glob($node->data_dir . '/pg_replslot/dyntable_*'));
$node->start;
ok($node->poll_query_until('postgres', q{SELECT state = 'running' FROM dyntable.capture}), 'a missing slot is made anew');
isnt(generation(), $before, 'under another generation');
reinitialises_once('plains', 'a missing slot', q{UPDATE plain SET t = 'x' WHERE id < 103}, q{UPDATE plain SET t = 'y' WHERE id < 102});
$before = generation();
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT state = 'running' FROM dyntable.capture}), 'capture goes on after a restart');
is(generation(), $before, 'with the slot it had');
run(q{UPDATE plain SET t = 'z' WHERE id < 102});
is_refreshed('plains', 'INCREMENTAL', 'a restart');

# ---- what is captured is not waited for ----
my $pid = run('SELECT pid FROM dyntable.capture');
run(q{UPDATE plain SET t = 'captured' WHERE id < 104});
ok($node->poll_query_until('postgres', 'SELECT captured_lsn >= pg_current_wal_insert_lsn() FROM dyntable.capture'), 'the log is complete');
ok($node->poll_query_until('postgres', "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid"), 'and capture sleeps');
kill 'STOP', $pid;
my $impatient = q{SET dyntable.capture_timeout = '500ms'; SELECT action FROM dyntable_refresh('plains')};
is(run($impatient), 'INCREMENTAL', 'a refresh needs nothing more of capture then');
(my $failed, undef, my $why) = $node->psql('postgres', "UPDATE plain SET t = 'not captured' WHERE id < 105; $impatient");
ok($failed != 0, 'a change that is not captured is waited for');
like($why, qr/change capture has not reached the refresh's position/, 'in vain');
kill 'CONT', $pid;
is_refreshed('plains', 'INCREMENTAL', 'with capture going on');

# ---- whole databases ----
run('CREATE DATABASE copy TEMPLATE postgres');
is($node->safe_psql('copy', q{UPDATE plain SET t = 'in copy' WHERE id < 103; SELECT action FROM dyntable_refresh('plains')}),
	'REINITIALIZE', 'a copied database initialises again');
$node->safe_psql('copy', q{UPDATE plain SET t = 'more' WHERE id < 103});
is($node->safe_psql('copy', q{SELECT action FROM dyntable_refresh('plains')}), 'INCREMENTAL', 'and has its own slot');
run('ALTER DATABASE copy RENAME TO renamed');
run('DROP DATABASE renamed');
is(run('SELECT count(*) FROM pg_replication_slots'), '1', 'its slot goes with it');
run(q{UPDATE plain SET t = 'still' WHERE id < 103});
is_refreshed('plains', 'INCREMENTAL', 'the copied database itself');

# ---- the end ----
run(q{SELECT dyntable_drop(n) FROM unnest(ARRAY['parts', 'bodies', 'sums', 'plains']) n});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM dyntable.source}), 'sources that nobody reads leave capture');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM dyntable.identity}), 'and what was remembered of them goes');
is(run(q{SELECT string_agg(relname || relreplident::text, ',' ORDER BY relname) FROM pg_class WHERE relname IN ('plain', 'wide', 'part_2')}),
	'part_2d,plaind,wided', 'their replica identity is what it was');
is(run(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'log!_%' ESCAPE '!' AND relnamespace = 'dyntable'::regnamespace}), '0', 'their logs are gone');
run('DROP EXTENSION dyntable');
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_replication_slots)
	AND NOT EXISTS (SELECT FROM pg_replication_origin)
	AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'dyntable%' AND datname IS NOT NULL)}),
	'slot, origin and workers go with the extension');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
