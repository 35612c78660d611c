# Dynamic tables in transactions of users: each line of the tables in
# docs/transactions.md, at each isolation level.  The lines there and the
# scenarios here have the same names, and what is found is compared with what is
# written there:
#
#	works           no error; the next refresh is incremental
#	reinitialises   no error; the next refresh computes the table anew, the one
#					after it is incremental
#	undone          no error, and no table afterwards
#	a SQLSTATE      the first error
#
# Whatever happens, a refresh gives what the query gives in that transaction, and
# so do the refreshes afterwards, which after an error are incremental.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynSession;
use Test::More;

my @LEVELS = ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');

my $CREATE = q{SELECT dyntable_create('c', 'SELECT id, v FROM src WHERE v > 0', 'downstream', 'incremental')};
my $CREATE_NEW = q{SELECT dyntable_create('c', 'SELECT id, v FROM new_src WHERE v > 0', 'downstream', 'incremental')};
my $T = 'SELECT grp, count(*) AS n, sum(v) AS total FROM src GROUP BY grp';
my $REFRESH = "SELECT name, action FROM dyntable_refresh('t'); SELECT 'differs', * FROM (($T EXCEPT ALL TABLE t) UNION ALL (TABLE t EXCEPT ALL $T)) x";
my $WRITE = 'INSERT INTO src (grp, v) VALUES (1, 1)';
my $ALTER = q{SELECT dyntable_alter('c', query => 'SELECT id, v FROM src WHERE v > 1')};
my $ALTER_COLUMNS = q{SELECT dyntable_alter('c', query => 'SELECT id, v, grp FROM src WHERE v > 0')};
my $NEW = 'CREATE TABLE new_src (id int PRIMARY KEY, v int); INSERT INTO new_src VALUES (1, 1), (2, -2)';

# What a scenario is called => [ the table it is about, what it does ].  BEGIN
# has the isolation level.  Code gets two sessions and BEGIN.
my %SCENARIOS = (

	# one transaction
	'create' => [ c => "BEGIN; $CREATE; COMMIT" ],
	'create, ROLLBACK' => [ c => "BEGIN; $CREATE; ROLLBACK" ],
	'create, write the source' => [ c => "BEGIN; $CREATE; $WRITE; COMMIT" ],
	'write the source, create' => [ c => "BEGIN; $WRITE; $CREATE; COMMIT" ],
	'create the source, create' => [ c => "BEGIN; $NEW; $CREATE_NEW; COMMIT" ],
	'create the source, create, write the source, refresh' => [ c => "BEGIN; $NEW; $CREATE_NEW; INSERT INTO new_src VALUES (3, 3); SELECT * FROM dyntable_refresh('c'); COMMIT" ],
	'create the source, create, ROLLBACK' => [ c => "BEGIN; $NEW; $CREATE_NEW; ROLLBACK" ],
	'create, refresh, drop' => [ c => "BEGIN; $CREATE; SELECT * FROM dyntable_refresh('c'); SELECT dyntable_drop('c'); COMMIT" ],
	'create, ROLLBACK TO SAVEPOINT, create' => [ c => "BEGIN; SAVEPOINT a; $CREATE; ROLLBACK TO a; $CREATE; COMMIT" ],
	'create, alter the query, refresh' => [ c => "BEGIN; $CREATE; SELECT dyntable_alter('c', query => 'SELECT id, v FROM src WHERE v > 1'); SELECT * FROM dyntable_refresh('c'); COMMIT" ],
	'refresh' => [ t => "BEGIN; $REFRESH; COMMIT" ],
	'refresh, ROLLBACK' => [ t => "BEGIN; $REFRESH; ROLLBACK" ],
	'refresh at a data timestamp of its choice' => [ t => "BEGIN; SET LOCAL dyntable.data_timestamp = 'tomorrow'; $REFRESH; COMMIT" ],
	'refresh at a data timestamp of its choice, ROLLBACK' => [ t => "BEGIN; SET LOCAL dyntable.data_timestamp = 'tomorrow'; $REFRESH; ROLLBACK" ],
	'refresh, write the source' => [ t => "BEGIN; $REFRESH; $WRITE; COMMIT" ],
	'write the source, refresh' => [ t => "BEGIN; $WRITE; $REFRESH; COMMIT" ],
	'write the source, refresh, ROLLBACK' => [ t => "BEGIN; $WRITE; $REFRESH; ROLLBACK" ],
	'write the source, ROLLBACK TO SAVEPOINT, refresh' => [ t => "BEGIN; SAVEPOINT a; $WRITE; ROLLBACK TO a; $REFRESH; COMMIT" ],
	'write the source in a savepoint, RELEASE, refresh' => [ t => "BEGIN; SAVEPOINT a; $WRITE; RELEASE a; $REFRESH; COMMIT" ],
	'refresh, ROLLBACK TO SAVEPOINT' => [ t => "BEGIN; SAVEPOINT a; $REFRESH; ROLLBACK TO a; COMMIT" ],
	'write the source, refresh, ROLLBACK TO SAVEPOINT before both' => [ t => "BEGIN; SAVEPOINT a; $WRITE; $REFRESH; ROLLBACK TO a; COMMIT" ],
	'write the source, refresh, ROLLBACK TO SAVEPOINT between, refresh' => [ t => "BEGIN; $WRITE; SAVEPOINT a; $REFRESH; ROLLBACK TO a; $REFRESH; COMMIT" ],
	'refresh, refresh' => [ t => "BEGIN; $REFRESH; $REFRESH; COMMIT" ],
	'refresh, write the source, refresh' => [ t => "BEGIN; $REFRESH; $WRITE; $REFRESH; COMMIT" ],
	'write the source, refresh, write the source, refresh' => [ t => "BEGIN; $WRITE; $REFRESH; $WRITE; $REFRESH; COMMIT" ],
	'refresh upstream, refresh downstream' => [ u => "BEGIN; $REFRESH; SELECT * FROM dyntable_refresh('u'); COMMIT" ],
	'write the source, refresh upstream, refresh downstream' => [ u => "BEGIN; $WRITE; $REFRESH; SELECT * FROM dyntable_refresh('u'); COMMIT" ],
	'TRUNCATE the source, refresh' => [ t => "BEGIN; TRUNCATE src; $WRITE; $REFRESH; COMMIT" ],
	'refresh with a cursor open over the table' => [ t => "BEGIN; DECLARE c CURSOR FOR SELECT * FROM t; FETCH c; $REFRESH; FETCH ALL FROM c; COMMIT" ],
	'write the source, refresh with a cursor open over both' => [ t => "BEGIN; $WRITE; DECLARE c CURSOR FOR SELECT * FROM t, src; FETCH c; $REFRESH; FETCH ALL FROM c; COMMIT" ],
	'refresh with a cursor WITH HOLD over the table' => [ t => "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t; FETCH c; COMMIT; BEGIN; $REFRESH; COMMIT; FETCH ALL FROM c; CLOSE c" ],
	'alter the query' => [ c => "$CREATE; BEGIN; $ALTER; COMMIT" ],
	'alter the columns' => [ c => "$CREATE; BEGIN; $ALTER_COLUMNS; COMMIT" ],
	'alter the columns, ROLLBACK' => [ c => "$CREATE; BEGIN; $ALTER_COLUMNS; ROLLBACK" ],
	'write the source, alter the columns' => [ c => "$CREATE; BEGIN; $WRITE; $ALTER_COLUMNS; COMMIT" ],
	'clone' => [ c => "BEGIN; SELECT dyntable_clone('t', 'c'); COMMIT" ],
	'write the source, clone' => [ c => "BEGIN; $WRITE; SELECT dyntable_clone('t', 'c'); COMMIT" ],
	'clone, ROLLBACK' => [ c => "BEGIN; SELECT dyntable_clone('t', 'c'); ROLLBACK" ],
	'swap, swap back' => [ t => "BEGIN; SELECT dyntable_swap('t', 'w'); SELECT dyntable_swap('t', 'w'); COMMIT" ],
	'swap, ROLLBACK' => [ t => "BEGIN; SELECT dyntable_swap('t', 'w'); ROLLBACK" ],
	'follow, refresh' => [ t => "BEGIN; SELECT dyntable_follow('t', '1 day'); $REFRESH; SELECT count(*) FROM dyntable_changes('t'); SELECT dyntable_follow('t', NULL); COMMIT" ],
	'suspend, refresh, resume' => [ t => "BEGIN; SELECT dyntable_suspend('t'); $REFRESH; SELECT dyntable_resume('t'); COMMIT" ],
	'create by dyntable_exec, refresh' => [ c => "BEGIN; SELECT dyntable_exec('CREATE DYNAMIC TABLE c TARGET_LAG = DOWNSTREAM REFRESH_MODE = INCREMENTAL AS SELECT id, v FROM src'); SELECT * FROM dyntable_refresh('c'); COMMIT" ],
	'wait' => [ t => "BEGIN; SELECT dyntable_wait('t', '2000-01-01'); COMMIT" ],
	'verify' => [ t => "BEGIN; SELECT * FROM dyntable_verify('t'); COMMIT" ],
	'explain' => [ t => "BEGIN; SELECT count(*) FROM dyntable_explain('t'); COMMIT" ],
	'create, PREPARE TRANSACTION' => [ c => "BEGIN; $CREATE; PREPARE TRANSACTION 'p'" ],
	'refresh, PREPARE TRANSACTION' => [ t => "BEGIN; $REFRESH; PREPARE TRANSACTION 'p'" ],
	'refresh, ROLLBACK TO SAVEPOINT, PREPARE TRANSACTION' => [ t => "BEGIN; SAVEPOINT a; $REFRESH; ROLLBACK TO a; PREPARE TRANSACTION 'p'" ],
	'alter the query, PREPARE TRANSACTION' => [ t => "BEGIN; SELECT dyntable_alter('t', query => 'SELECT grp, count(*) AS n, max(v) AS total FROM src GROUP BY grp'); PREPARE TRANSACTION 'p'" ],
	'clone, PREPARE TRANSACTION' => [ c => "BEGIN; SELECT dyntable_clone('t', 'c'); PREPARE TRANSACTION 'p'" ],
	'follow, PREPARE TRANSACTION' => [ t => "BEGIN; SELECT dyntable_follow('t', '1 day'); PREPARE TRANSACTION 'p'" ],
	'explain, PREPARE TRANSACTION, COMMIT PREPARED' => [ t => "BEGIN; SELECT count(*) FROM dyntable_explain('t'); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'" ],
	'drop, PREPARE TRANSACTION, COMMIT PREPARED' => [ c => "$CREATE; BEGIN; SELECT dyntable_drop('c'); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'" ],
	'create in a READ ONLY transaction' => [ c => "BEGIN READ ONLY; $CREATE; COMMIT" ],
	'refresh in a READ ONLY transaction' => [ t => "BEGIN READ ONLY; $REFRESH; COMMIT" ],
	'alter in a READ ONLY transaction' => [ t => "BEGIN READ ONLY; SELECT dyntable_alter('t', target_lag => '1 day'); COMMIT" ],
	'clone in a READ ONLY transaction' => [ c => "BEGIN READ ONLY; SELECT dyntable_clone('t', 'c'); COMMIT" ],
	'suspend in a READ ONLY transaction' => [ t => "BEGIN READ ONLY; SELECT dyntable_suspend('t'); COMMIT" ],
	'refresh in a READ ONLY DEFERRABLE transaction' => [ t => "BEGIN READ ONLY DEFERRABLE; $REFRESH; COMMIT" ],
	'refresh in a DEFERRABLE transaction' => [ t => "BEGIN DEFERRABLE; $REFRESH; COMMIT" ],

	# inside other statements
	'a function in PL/pgSQL that refreshes' => [ t => 'BEGIN; SELECT in_plpgsql(); COMMIT' ],
	'a function in SQL that refreshes' => [ t => 'BEGIN; SELECT in_sql(); COMMIT' ],
	'a function that creates' => [ c => 'BEGIN; SELECT creating(); COMMIT' ],
	'a function that writes the source and refreshes' => [ t => 'BEGIN; SELECT writing(); COMMIT' ],
	'a function in SQL that creates' => [ c => 'BEGIN; SELECT sql_creating(); COMMIT' ],
	'a DO block that refreshes' => [ t => "BEGIN; DO \$\$ BEGIN PERFORM dyntable_refresh('t'); END \$\$; COMMIT" ],
	'a DO block that creates and refreshes' => [ c => "BEGIN; DO \$\$ BEGIN PERFORM creating(); PERFORM dyntable_refresh('c'); END \$\$; COMMIT" ],
	'a procedure that refreshes' => [ t => 'BEGIN; CALL refreshing(); COMMIT' ],
	'a procedure that creates, commits and refreshes' => [ c => 'SET; CALL creating_committing(); RESET default_transaction_isolation' ],
	'a procedure that refreshes, commits, writes and refreshes' => [ t => 'SET; CALL committing(); RESET default_transaction_isolation' ],
	'a block whose EXCEPTION undoes a refresh' => [ t => "BEGIN; DO \$\$ BEGIN PERFORM dyntable_refresh('t'); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END \$\$; COMMIT" ],
	'a block whose EXCEPTION catches a failed refresh' => [ t => "BEGIN; DO \$\$ BEGIN SET LOCAL transaction_read_only = on; PERFORM dyntable_refresh('t'); EXCEPTION WHEN OTHERS THEN NULL; END \$\$; $REFRESH; COMMIT" ],
	'a statement trigger of the source that refreshes' => [ t => "BEGIN; ALTER TABLE src ENABLE TRIGGER after_statement; COMMIT; BEGIN; $WRITE; COMMIT; ALTER TABLE src DISABLE TRIGGER ALL" ],
	'a row trigger of the source that refreshes' => [ t => "BEGIN; ALTER TABLE src ENABLE TRIGGER before_row; COMMIT; BEGIN; $WRITE; COMMIT; ALTER TABLE src DISABLE TRIGGER ALL" ],
	'a trigger at COMMIT that refreshes' => [ t => "BEGIN; ALTER TABLE src ENABLE TRIGGER at_commit; COMMIT; BEGIN; $WRITE; COMMIT; ALTER TABLE src DISABLE TRIGGER ALL" ],
	'a parallel query whose function refreshes' => [ t => 'BEGIN; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0; SELECT count(in_parallel(id)) FROM src; COMMIT' ],
	'a materialized view whose function refreshes' => [ t => 'BEGIN; CREATE MATERIALIZED VIEW m AS SELECT in_plpgsql(); COMMIT' ],
	'an index whose function refreshes' => [ t => 'BEGIN; CREATE INDEX ON src (in_index(id)); COMMIT' ],
	'ANALYZE of an index whose function refreshes' => [ t => 'BEGIN; SET LOCAL my.off = 1; CREATE INDEX ON src (in_index(id)); SET LOCAL my.off = 0; ANALYZE src; COMMIT' ],
	'a function of the query that refreshes' => [ t => "BEGIN; SELECT dyntable_create('f', 'SELECT in_plpgsql(), v FROM src', 'downstream', 'full'); COMMIT" ],

	# beside other transactions
	'refresh while another transaction has written the source' => [ t => sub {
		my ($one, $two, $begin) = @_;
		$two->do("BEGIN; $WRITE");
		my $out = $one->do("$begin; $REFRESH; COMMIT");
		return $out . $two->do('COMMIT');
	} ],
	'refresh under a snapshot older than a write' => [ t => sub {
		my ($one, $two, $begin) = @_;
		$one->do("$begin; SELECT 1");
		$two->do($WRITE);
		return $one->do("$REFRESH; COMMIT");
	} ],
	'refresh under a snapshot older than another refresh' => [ t => sub {
		my ($one, $two, $begin) = @_;
		$one->do("$begin; SELECT 1");
		$two->do($REFRESH);
		return $one->do("$REFRESH; COMMIT");
	} ],
	'refresh while another refreshes and commits' => [ t => sub {
		my ($one, $two, $begin) = @_;
		$two->do("BEGIN; $REFRESH");
		$one->send("$begin; $REFRESH; COMMIT");
		$one->await_blocked;
		return $two->do('COMMIT') . $one->result;
	} ],
	'refresh while another refreshes and rolls back' => [ t => sub {
		my ($one, $two, $begin) = @_;
		$two->do("BEGIN; $REFRESH");
		$one->send("$begin; $REFRESH; COMMIT");
		$one->await_blocked;
		return $two->do('ROLLBACK') . $one->result;
	} ],
	'refresh downstream while another refreshes upstream and commits' => [ u => sub {
		my ($one, $two, $begin) = @_;
		$two->do("BEGIN; $REFRESH");
		$one->send("$begin; SELECT * FROM dyntable_refresh('u'); COMMIT");
		$one->await_blocked;
		return $two->do('COMMIT') . $one->result;
	} ],
	'refresh under a snapshot older than the creation' => [ c => sub {
		my ($one, $two, $begin) = @_;
		$one->do("$begin; SELECT 1");
		$two->do($CREATE);
		return $one->do("SELECT * FROM dyntable_refresh('c'); COMMIT");
	} ],
	'create under a snapshot older than changes that others have consumed' => [ c => sub {
		my ($one, $two, $begin) = @_;
		$one->do("$begin; SELECT 1");
		$two->do("INSERT INTO src (grp, v) SELECT 1, 1 FROM generate_series(1, 9000); SELECT dyntable_refresh()");
		$two->{node}->poll_query_until('postgres', q{SELECT log_bytes = 0 FROM dyntable.sources WHERE name = 'src'}) or die 'the log was not cut';
		my $out = $one->do("$CREATE; COMMIT");
		$two->do('DELETE FROM src WHERE id > 1000');
		return $out;
	} ],
	'create under a snapshot older than the consumption of changes' => [ c => sub {
		my ($one, $two, $begin) = @_;
		$two->do('INSERT INTO src (grp, v) SELECT 1, 1 FROM generate_series(1, 9000)');
		$one->do("$begin; SELECT 1");
		$two->do('SELECT dyntable_refresh()');
		$two->{node}->poll_query_until('postgres', q{SELECT log_bytes = 0 FROM dyntable.sources WHERE name = 'src'}) or die 'the log was not cut';
		my $out = $one->do("$CREATE; COMMIT");
		$two->do('DELETE FROM src WHERE id > 1000');
		return $out;
	} ],
	'refresh under a snapshot older than the replication slot' => [ t => sub {
		my ($one, $two, $begin) = @_;
		my $before = $two->do('SELECT generation FROM dyntable.capture');
		$one->do("$begin; SELECT 1");
		$two->do($WRITE);
		$two->do(q{DO $$ BEGIN LOOP BEGIN
			PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active;
			PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots; EXIT;
			EXCEPTION WHEN object_in_use THEN PERFORM pg_sleep(0.005); END; END LOOP; END $$});
		$two->{node}->poll_query_until('postgres', "SELECT generation <> $before AND state = 'running' FROM dyntable.capture") or die 'the slot is not made anew';
		return $one->do("$REFRESH; COMMIT");
	} ],
	'create while another transaction has written a source not yet captured' => [ c => sub {
		my ($one, $two, $begin) = @_;
		$two->do("$NEW; BEGIN; UPDATE new_src SET v = 5");
		$one->send("$begin; $CREATE_NEW; COMMIT");
		$two->{node}->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'dyntable registrar')});
		return $two->do('COMMIT') . $one->result;
	} ],
	'refresh while another holds a lock on the source, statement_timeout' => [ t => sub { return locked_out(@_, 'statement_timeout') } ],
	'refresh while another holds a lock on the source, lock_timeout' => [ t => sub { return locked_out(@_, 'lock_timeout') } ],
	'two transactions that refresh two tables in opposite order' => [ t => sub {
		my ($one, $two, $begin) = @_;
		$two->do(q{BEGIN; SET LOCAL deadlock_timeout = '1h'; SELECT * FROM dyntable_refresh('w')});
		$one->do("$begin; SET LOCAL deadlock_timeout = '1ms'; $REFRESH");
		$two->send("$REFRESH; COMMIT");
		$two->await_blocked;
		my $out = $one->do(q{SELECT * FROM dyntable_refresh('w'); COMMIT});
		$two->result;
		return $out;
	} ],
);

sub locked_out
{
	my ($one, $two, $begin, $setting) = @_;
	$two->do('BEGIN; LOCK src');
	my $out = $one->do("$begin; SET LOCAL $setting = '20ms'; $REFRESH; COMMIT");
	$two->do('COMMIT');
	return $out;
}

# ---- what the documentation says ----
my (%documented, @order);
open(my $doc, '<', "$DynTest::ROOT/docs/transactions.md") or die "docs/transactions.md: $!";
while (<$doc>)
{
	next unless /^\| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|/ && $2 ne 'READ COMMITTED';
	push @order, $1;
	$documented{$1} = [ $2, $3, $4 ];
}
close $doc;
is(join("\n", sort keys %documented), join("\n", sort keys %SCENARIOS), 'each line of the documentation has a test, and each test a line');

# ---- the tables ----
my $node = DynTest::new_node('transactions', 'autovacuum = off');
sub run { return $node->safe_psql('postgres', $_[0]); }

run(<<'SQL');
SET check_function_bodies = off;
CREATE TABLE src (id serial PRIMARY KEY, grp int, v int);
INSERT INTO src (grp, v) SELECT i % 5, i % 3 FROM generate_series(1, 20) i;
CREATE FUNCTION in_plpgsql() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM public.dyntable_refresh('public.t'); RETURN 1; END $$;
CREATE FUNCTION in_sql() RETURNS SETOF text LANGUAGE sql AS $$ SELECT action FROM dyntable_refresh('t') $$;
CREATE FUNCTION writing() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO src (grp, v) VALUES (2, 2); PERFORM dyntable_refresh('t'); RETURN 1; END $$;
CREATE FUNCTION in_parallel(int) RETURNS int PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN PERFORM dyntable_refresh('t'); RETURN $1; END $$;
CREATE FUNCTION in_index(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN IF coalesce(current_setting('my.off', true), '0') <> '1' THEN PERFORM public.dyntable_refresh('public.t'); END IF; RETURN $1; END $$;
CREATE PROCEDURE refreshing() LANGUAGE plpgsql AS $$ BEGIN PERFORM dyntable_refresh('t'); END $$;
CREATE PROCEDURE committing() LANGUAGE plpgsql AS $$ BEGIN PERFORM dyntable_refresh('t'); COMMIT; INSERT INTO src (grp, v) VALUES (3, 3); COMMIT; PERFORM dyntable_refresh('t'); END $$;
CREATE FUNCTION refresh_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM dyntable_refresh('t'); RETURN new; END $$;
CREATE TRIGGER after_statement AFTER INSERT ON src EXECUTE FUNCTION refresh_trigger();
CREATE TRIGGER before_row BEFORE INSERT ON src FOR EACH ROW EXECUTE FUNCTION refresh_trigger();
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON src DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refresh_trigger();
ALTER TABLE src DISABLE TRIGGER ALL;
SQL
run("CREATE FUNCTION creating() RETURNS regclass LANGUAGE plpgsql AS \$\$ BEGIN RETURN ($CREATE); END \$\$;
CREATE FUNCTION sql_creating() RETURNS regclass LANGUAGE sql AS \$\$ $CREATE \$\$;
CREATE PROCEDURE creating_committing() LANGUAGE plpgsql AS \$\$ BEGIN PERFORM creating(); COMMIT; $WRITE; COMMIT; PERFORM dyntable_refresh('c'); END \$\$");
DynTest::wait_capture($node);
run("SELECT dyntable_create('t', '$T', 'downstream', 'incremental')");
run(q{SELECT dyntable_create('u', 'SELECT n % 4 AS n, count(*) AS g, sum(total) AS total FROM t GROUP BY n % 4', 'downstream', 'incremental')});
run(q{SELECT dyntable_create('w', 'SELECT id, v FROM src WHERE v = 1', 'downstream', 'incremental')});

my $one = DynSession->new($node);
my $two = DynSession->new($node);
$_->do('SET client_min_messages = warning') foreach $one, $two;

my $followed = 0;

# One scenario at one level: what became of it, in the documentation's words.
sub outcome
{
	my ($subject, $what, $level) = @_;
	my $begin = "BEGIN ISOLATION LEVEL $level";
	my $out;
	$two->do($WRITE);
	if (ref $what) { $out = $what->($one, $two, $begin); }
	else
	{
		(my $sql = $what) =~ s/\bBEGIN(?=[ ;])(?=(?: READ ONLY)?(?: DEFERRABLE)?;)/$begin/g;
		$sql =~ s/\bSET;/SET default_transaction_isolation = '\L$level\E';/;
		$out = $one->do($sql);
	}
	$_->do('ROLLBACK') foreach $one, $two;
	return ('undone', '') if $subject eq 'c' && $two->do(q{SELECT to_regclass('c') IS NULL}) eq 't' && $out !~ /ERROR/;
	my $result = $out =~ /ERROR:  (\w{5}):/ ? $1 : '';
	return ($result, '') if $subject eq 'c' && $two->do(q{SELECT to_regclass('c') IS NULL}) eq 't';

	# an ordinary change, then two refreshes
	my $change = $two->do(q{SELECT to_regclass('new_src') IS NULL}) eq 't' ? 'UPDATE src SET v = v + 1 WHERE id % 3 = 0; INSERT INTO src (grp, v) VALUES (7, 7)'
	  : 'INSERT INTO new_src SELECT max(id) + 1, 9 FROM new_src';
	my @actions;
	my $wrong = $out =~ /differs/ ? ' differs in the transaction' : '';
	for (1 .. 3)
	{
		$two->do($change);
		push @actions, $two->do("SELECT action FROM dyntable_refresh('$subject') WHERE name = '$subject'::regclass");
		my $verify = $two->do("SELECT * FROM dyntable_verify('$subject')");
		$wrong .= " refresh $_: $verify" if $verify ne '0|0';
		last if $_ == 1 && $actions[0] eq 'INCREMENTAL';

		# A source made in the transaction comes under capture some seconds
		# later; to see that once is enough.
		next unless $change =~ /new_src/;
		last if $followed;
		$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM dyntable.source WHERE relid = 'new_src'::regclass});
	}
	my $actions = join(' ', @actions);
	$result ||= $actions eq 'INCREMENTAL' ? 'works' : $actions =~ /^REINITIALIZE(?: REINITIALIZE)? INCREMENTAL/ || $followed && $actions eq 'REINITIALIZE' ? 'reinitialises' : $actions;
	$followed = 1 if $change =~ /new_src/;
	$wrong .= " afterwards: $actions" if $result =~ /\d/ && $actions ne 'INCREMENTAL';
	return ($result, $wrong);
}

foreach my $name (@order)
{
	next unless $SCENARIOS{$name};
	my (@found, $wrong);
	foreach my $level (@LEVELS)
	{
		my ($result, $problem) = outcome(@{ $SCENARIOS{$name} }, $level);
		push @found, $result;
		$wrong .= "$level:$problem " if $problem;
		$two->do(q{SELECT dyntable_drop('c', if_exists => true); DROP TABLE IF EXISTS new_src; SELECT count(*) FROM dyntable_refresh(); SELECT count(*) FROM dyntable_refresh()});
	}
	is(join(' | ', @found) . ($wrong // ''), join(' | ', @{ $documented{$name} }), $name);
}

$_->end foreach $one, $two;
is(run('SELECT count(*) FROM pg_prepared_xacts'), '0', 'nothing was prepared');
is(run(q{SELECT string_agg(message, ', ') FROM dyntable.history WHERE code = 'DY001'}), '', 'no contradiction was met');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|was terminated by signal|TRAP/, 'no process crashed');
$node->stop;
done_testing();
