# Nobody is blocked: the locks of creating, filling, refreshing, verifying,
# altering and dropping while eight clients write the source; and others who
# hold locks themselves do not hang a create beyond its bound.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynSession;
use IPC::Run ();
use Test::More;

my $node = DynTest::new_node('blocking', 'autovacuum = off', 'fsync = off');
my $rows = 100_000;

sub run { return $node->safe_psql('postgres', $_[0]); }

# What a session's statement answers when it fails: SQLSTATE and texts.
sub failure
{
	my ($sql, $database) = @_;
	my ($status, $out, $error) = $node->psql($database // 'postgres', "\\set VERBOSITY verbose\n$sql");
	return $status ? $error : "no error: $out";
}

run(<<"SQL");
CREATE TABLE src (id int PRIMARY KEY, k int, v int, note text);
INSERT INTO src SELECT i, i % 100, i % 7, 'note ' || i FROM generate_series(1, $rows) i;
CREATE TABLE keeper (id int PRIMARY KEY);
SELECT dyntable_create('kept', 'SELECT id FROM keeper', '1 day', 'incremental');
VACUUM ANALYZE src;

-- who waits for whom on account of us, and which locks on src are ours
CREATE TABLE seen (kind text, who text, mode text, UNIQUE (kind, who, mode));
CREATE TABLE sampling (stop boolean);
CREATE FUNCTION sample(creator int) RETURNS int LANGUAGE plpgsql AS \$\$
DECLARE
	n int := 0;
BEGIN
	WHILE NOT EXISTS (SELECT FROM sampling) LOOP
		PERFORM pg_stat_clear_snapshot();
		INSERT INTO seen
		SELECT 'wait', CASE WHEN b.pid = creator THEN 'session' ELSE a.backend_type END, l.mode
		FROM pg_locks l, unnest(pg_blocking_pids(l.pid)) b(pid) JOIN pg_stat_activity a ON a.pid = b.pid
		WHERE NOT l.granted AND l.pid <> creator AND (b.pid = creator OR a.backend_type LIKE 'dyntable%')
			AND l.pid NOT IN (SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'dyntable%')
		UNION
		SELECT 'lock', CASE WHEN l.pid = creator THEN 'session' ELSE a.backend_type END, l.mode
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.relation = 'src'::regclass AND (l.pid = creator OR a.backend_type LIKE 'dyntable%')
		ON CONFLICT DO NOTHING;
		n := n + 1;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN n;
END \$\$;
SQL

# ---- under eight writers ----
my $script = "$ENV{TESTDIR}/write.sql";
open(my $handle, '>', $script) or die $!;
print $handle <<"SQL";
\\set id random(1, $rows)
UPDATE src SET v = v + 1 WHERE id = :id;
INSERT INTO src VALUES ($rows + :id, :client_id, 1, 'new') ON CONFLICT (id) DO UPDATE SET k = src.k + 1;
DELETE FROM src WHERE id = $rows + :id + 1;
SQL
close $handle;
my $writers = IPC::Run::start([ 'env', 'PGAPPNAME=writer', 'pgbench', '-n', '-c', 8, '-j', 2, '-R', 1500, '-T', 600, '-f', $script, $node->connstr('postgres') ],
	'>', '/dev/null', '2>', \my $complaints);
my $session = DynSession->new($node);
my $sampler = DynSession->new($node);
$sampler->send("SELECT sample($session->{pid})");
$node->poll_query_until('postgres', q{SELECT count(*) = 8 FROM pg_stat_activity WHERE application_name = 'writer'}) or die "no writers: $complaints";

# Each in a transaction that stays open until its locks have been looked at.
sub modes_of
{
	my ($sql, $expected, $what) = @_;
	my $out = $session->do("BEGIN; $sql");
	unlike($out, qr/ERROR/, $what);
	is($session->do(q{SELECT string_agg(DISTINCT mode, ', ' ORDER BY mode) FROM pg_locks
		WHERE relation = 'src'::regclass AND pid = pg_backend_pid()}), $expected, "$what: its locks on the source");
	$session->do('COMMIT');
	return $out;
}

modes_of(q{SELECT dyntable_create('dt', 'SELECT id, k, v FROM src WHERE v < 100', '1 day', 'incremental')}, 'AccessShareLock', 'create');
modes_of(q{SELECT dyntable_create('grouped', 'SELECT k, count(*) AS n, sum(v) AS s FROM src GROUP BY k', '1 day', 'incremental')}, 'AccessShareLock', 'create again');
like(modes_of(q{SELECT action FROM dyntable_refresh('dt')}, 'AccessShareLock', 'refresh'), qr/INCREMENTAL/, 'it was incremental');
is(modes_of(q{SELECT * FROM dyntable_verify('grouped')}, 'AccessShareLock', 'verify'), '0|0', 'no row differs');
modes_of(q{SELECT dyntable_alter('dt', query => 'SELECT id, k, v FROM src WHERE v < 90')}, 'AccessShareLock', 'alter');
like(modes_of(q{SELECT action FROM dyntable_refresh('dt')}, 'AccessShareLock', 'reinitialise'), qr/REINITIALIZE/, 'it reinitialised');
modes_of(q{SELECT dyntable_alter('dt', refresh_mode => 'full')}, 'AccessShareLock', 'alter the mode');
like(modes_of(q{SELECT action FROM dyntable_refresh('dt')}, 'AccessShareLock', 'full refresh'), qr/FULL/, 'it was full');
is(modes_of(q{SELECT * FROM dyntable_verify('dt')}, 'AccessShareLock', 'verify'), '0|0', 'no row differs');
$session->do(q{SELECT dyntable_drop('dt'); SELECT dyntable_drop('grouped')});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM dyntable.source}) or die 'src stays under capture';

run('INSERT INTO sampling VALUES (true)');
cmp_ok($sampler->result, '>', 10, 'locks were looked at all the while');
is(run(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writer'}), 8, 'and so were the writers at work');
$writers->kill_kill;
is(run(q{SELECT string_agg(DISTINCT who, ', ') FROM seen WHERE kind = 'wait' AND who NOT IN ('dyntable registrar', 'dyntable capture')}), '',
	'writers waited for nobody of ours but the moments in which the source comes under capture and leaves it');
is(run(q{SELECT string_agg(DISTINCT mode, ', ') FROM seen WHERE kind = 'lock' AND who = 'session' AND mode <> 'AccessShareLock'}), '',
	'no lock on the source but that of a SELECT');
is(run(q{SELECT string_agg(who || ': ' || mode, ', ') FROM seen WHERE kind = 'lock' AND mode NOT IN ('AccessShareLock', 'RowExclusiveLock')
	AND who NOT IN ('dyntable registrar', 'dyntable capture')}), '', 'workers neither');

# ---- others hold locks: a create waits for so long as it may ----
my $create = q{SELECT dyntable_create('dt', 'SELECT id, k, v FROM src', '1 day', 'incremental')};
my $other = DynSession->new($node);
my $limited = "SET lock_timeout = '400ms'; $create";

$other->do('BEGIN; LOCK TABLE src');
like(failure($limited), qr/55P03.*could not lock the sources.*process $other->{pid} \(\w+, idle in transaction: /s, 'LOCK TABLE: the create fails and names who holds it');
$other->do('ROLLBACK');

$other->do('BEGIN; UPDATE src SET v = 0 WHERE id = 1');
$session->send("SET lock_timeout = '3s'; $create");
foreach my $id (2 .. 6)
{
	# between two attempts of the registrar or within its moment, never longer
	is(run("SET lock_timeout = '1s'; UPDATE src SET v = 1 WHERE id = $id RETURNING id"), $id, 'a writer writes while a create waits');
}
like($session->result, qr/55P03: could not lock the source to put it under change capture/, 'a writer idle in its transaction: the create fails');
like(failure($limited), qr/In the way: process $other->{pid} \(\w+, idle in transaction: /, 'and names it');
run('CREATE ROLE nobody; CREATE ROLE plain LOGIN; GRANT ALL ON SCHEMA public TO plain; ALTER TABLE src OWNER TO plain') if $other->do('ROLLBACK') eq '';
$other->do(q{BEGIN; UPDATE src SET v = 0 WHERE id = 1});
my $error = failure("SET ROLE plain; $limited");
like($error, qr/In the way: process $other->{pid} \(\w+\)/, 'who may not see what others run');
unlike($error, qr/UPDATE src/, 'is not told');
$other->do(q{PREPARE TRANSACTION 'forgotten'});
like(failure($limited), qr/In the way: prepared transaction 'forgotten'/, 'a prepared transaction is named');
run(q{ROLLBACK PREPARED 'forgotten'});

# what the server cannot see: the requester waits for a process that waits for it
$session->do('RESET lock_timeout; BEGIN; LOCK TABLE keeper');
$other->do('BEGIN; UPDATE src SET v = 0 WHERE id = 1');
$other->send('SELECT count(*) FROM keeper');
$other->await_blocked;
like($session->do($create), qr/40P01: deadlock detected while putting the source under change capture/, 'a deadlock is told from a wait');
$session->do('ROLLBACK');
is($other->result, 0, 'and the other goes on');
$other->do('ROLLBACK');

$other->do('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM src');
like($session->do("$create; SELECT count(*) > 0 FROM dt"), qr/t$/, 'a reader idle in its transaction is in nobody\'s way');
$other->do('COMMIT');

# ---- maintenance of the dynamic table goes on, and readers read ----
$other->do('BEGIN; LOCK TABLE dt IN SHARE UPDATE EXCLUSIVE MODE');
unlike($session->do(q{SET lock_timeout = '2s'; SELECT dyntable_alter('dt', target_lag => '2 days')}), qr/ERROR/, 'dyntable_alter is not in the way of VACUUM');
run('UPDATE src SET v = 50 WHERE id = 10');
is($session->do(q{SELECT action FROM dyntable_refresh('dt')}), 'INCREMENTAL', 'nor a refresh');
$other->do('COMMIT');
$other->do('BEGIN; SELECT count(*) FROM dt');
like($session->do(q{SELECT dyntable_alter('dt', query => 'SELECT id, k, v, note FROM src')}),
	qr/55P03: could not obtain lock on dynamic table "dt"/, 'a column is not added under a reader\'s feet, nor do readers queue');
$other->do('COMMIT');
unlike($session->do(q{SELECT dyntable_alter('dt', query => 'SELECT id, k, v, note FROM src')}), qr/ERROR/, 'but when there is none');
unlike($session->do(q{SELECT dyntable_alter('dt', query => 'SELECT id, k, v, note FROM src WHERE v < 1000')}), qr/ERROR/, 'the same columns, another query');
$session->do('BEGIN');
is($session->do(q{SELECT action FROM dyntable_refresh('dt')}), 'REINITIALIZE', 'while a table is reinitialised');
is($other->do(q{SET lock_timeout = '1s'; SELECT count(*) > 0 FROM dt}), 't', 'readers read');
$session->do('COMMIT');
is(run(q{SELECT * FROM dyntable_verify('dt')}), '0|0', 'no row differs');

# ---- nor do readers wait when its rows get another key, or its columns other types ----
# What was the key is none in the new rows, or the other way round; without a gap
# between readers.
run(q{CREATE TABLE typed (id int PRIMARY KEY, a int, b int); INSERT INTO typed SELECT i, i % 500, i % 2000 FROM generate_series(1, 4000) i;
	SELECT dyntable_create('turned', 'SELECT a, count(*) AS n FROM typed GROUP BY a', '1 day', 'incremental')});
my $read = "$ENV{TESTDIR}/read.sql";
open($handle, '>', $read) or die $!;
print $handle "SELECT count(*) FROM turned;\n";
close $handle;
my $latencies = "$ENV{TESTDIR}/readers";
my $readers = IPC::Run::start([ 'env', 'PGAPPNAME=reader', 'pgbench', '-n', '-c', 6, '-j', 2, '-T', 600, '-l', '--log-prefix', $latencies,
	'-f', $read, $node->connstr('postgres') ], '>', '/dev/null', '2>', \$complaints);
$node->poll_query_until('postgres', q{SELECT count(*) = 6 FROM pg_stat_activity WHERE application_name = 'reader'}) or die "no readers: $complaints";
my $indexes = q{SELECT string_agg(pg_get_indexdef(indexrelid), ', ') FROM pg_index WHERE indrelid = 'turned'::regclass};
foreach my $case (
	[ 'no key any more', q{SELECT dyntable_alter('turned', query => 'SELECT a, count(*) AS n FROM typed GROUP BY a, b')}, 'REINITIALIZE', qr/^CREATE INDEX turned_identity\w* ON public.turned USING btree \(dyntable.row_hash\(turned.*\)\)$/ ],
	[ 'a key again', q{SELECT dyntable_alter('turned', query => 'SELECT a, count(*) AS n FROM typed GROUP BY a')}, 'REINITIALIZE', qr/^CREATE UNIQUE INDEX turned_identity\w* ON public.turned USING btree \(a\)/ ],
	[ 'mode full', q{SELECT dyntable_alter('turned', refresh_mode => 'full')}, 'FULL', qr/^CREATE INDEX turned_identity\w* ON public.turned USING btree \(dyntable.row_hash\(turned.*\)\)$/ ])
{
	my ($what, $alter, $action, $index) = @$case;
	$session->do($alter);
	$session->do('BEGIN');
	is($session->do(q{SELECT action FROM dyntable_refresh('turned')}), $action, "readers without a gap, $what: $action");
	is($other->do(q{SET lock_timeout = '1s'; SELECT count(*) > 0 FROM turned}), 't', "$what: readers read before the commit");
	is($session->do('COMMIT'), '', "$what: the commit finds its moment");
	run('UPDATE typed SET b = b + 1 WHERE id < 10');
	# the index of before goes with this or a later refresh: one in another session
	# waits for its moment, if need be
	run(q{UPDATE typed SET a = (a + 1) % 500 WHERE id = 7; SELECT dyntable_refresh('turned')});
	like(run($indexes), $index, "$what: one index is left");
	is(run(q{SELECT * FROM dyntable_verify('turned')}), '0|0', "$what: no row differs");
}
run('ALTER TABLE typed ALTER a TYPE bigint');
is($session->do(q{SELECT action FROM dyntable_refresh('turned')}), 'FULL', 'a column that follows its source finds its moment, too');
is(run(q{SELECT pg_typeof(a) FROM turned LIMIT 1}), 'bigint', 'and has followed');
is(run(q{SELECT * FROM dyntable_verify('turned')}), '0|0', 'no row differs');
$readers->kill_kill;
my ($worst) = sort { $b <=> $a } map { (split)[2] } map { split /\n/, PostgreSQL::Test::Utils::slurp_file($_) } glob "$latencies.*";
note "longest read: $worst us";
cmp_ok($worst, '<', 2_000_000, 'no reader waited for long');

# a foreign key that rests on the index of the former key
run(q{SELECT dyntable_alter('turned', query => 'SELECT a, count(*) AS n FROM typed GROUP BY a', refresh_mode => 'incremental'); SELECT dyntable_refresh('turned');
	CREATE TABLE child (a bigint REFERENCES turned (a)); SELECT dyntable_alter('turned', query => 'SELECT a, count(*) AS n FROM typed GROUP BY a, b')});
like(failure(q{SELECT dyntable_refresh('turned')}), qr/2BP01: the rows of dynamic table "turned" have another key now.*HINT:  Drop the foreign keys/s, 'a foreign key on the former key: says so');
run('DROP TABLE child');
is(run(q{SELECT action FROM dyntable_refresh('turned')}), 'REINITIALIZE', 'without it the refresh goes on');
is(run(q{SELECT * FROM dyntable_verify('turned')}), '0|0', 'no row differs');

# a value that no index on the key can hold, and then one that can
run(q{CREATE TABLE long (k text, v int); INSERT INTO long SELECT i, i FROM generate_series(1, 5) i;
	SELECT dyntable_create('of_long', 'SELECT k, count(*) AS n FROM long GROUP BY k', '1 day', 'incremental');
	INSERT INTO long SELECT string_agg(md5(i::text), ''), 6 FROM generate_series(1, 400) i});
$other->do('BEGIN; SELECT count(*) FROM of_long');
like(failure(q{SELECT dyntable_refresh('of_long')}), qr/55P03: could not obtain lock on dynamic table "of_long"/, 'an index that cannot hold the new rows has to go first');
$other->do('COMMIT');
is(run(q{SELECT action FROM dyntable_refresh('of_long')}), 'REINITIALIZE', 'when nobody reads the table the refresh goes on');
is(run(q{SELECT * FROM dyntable_verify('of_long')}), '0|0', 'no row differs');

# ---- the slot waits for transactions of all databases, a create does not ----
run('CREATE DATABASE late');
$node->safe_psql('late', 'CREATE EXTENSION dyntable; CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
$other->do('BEGIN; CREATE TABLE unfinished (i int)');
my ($status, $out, $warning) = $node->psql('late', q{SET dyntable.capture_timeout = '300ms'; SELECT dyntable_create('d', 'SELECT i FROM t', '1 day'); INSERT INTO t VALUES (2)});
is($status, 0, 'a create while a transaction of another database keeps the slot from being made');
like($warning, qr/WARNING:  dynamic table "d" will be computed anew at each refresh until change capture is ready/, 'says so');
is($node->safe_psql('late', q{SELECT action, reason FROM dyntable_refresh('d')}),
	'REINITIALIZE|changes cannot be read: the replication slot is being made, which waits for transactions in progress', 'so do its refreshes');
like(failure(q{SET dyntable.capture_timeout = '300ms'; SELECT dyntable_create('e', 'SELECT i FROM t', '1 day', 'incremental')}, 'late'),
	qr/change capture is not ready/, 'where incremental was demanded, it fails');
$other->do('ROLLBACK');
$node->poll_query_until('late', q{SELECT state = 'running' AND sources = 1 FROM dyntable.capture}) or die 'capture does not become ready';
$node->safe_psql('late', q{SELECT dyntable_refresh('d'); INSERT INTO t VALUES (3)});
is($node->safe_psql('late', q{SELECT action FROM dyntable_refresh('d')}), 'INCREMENTAL', 'when it is made, refreshes are incremental');
is($node->safe_psql('late', q{SELECT * FROM dyntable_verify('d')}), '0|0', 'no row differs');

$_->end foreach $session, $sampler, $other;
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
