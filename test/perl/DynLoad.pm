# DynLoad.pm: a load of many kinds of writers, and rounds that compare dynamic
# tables with their queries under it.
#
# The writers are pgbench clients on two tables: single statements, savepoints,
# subtransactions past the number that a snapshot can hold, rollbacks, prepared
# transactions, ON CONFLICT, asynchronous commits, transactions that stay open
# for a while.  No TRUNCATE: to a snapshot taken before it, it shows (that is
# PostgreSQL's own exception from MVCC).
package DynLoad;

use strict;
use warnings;
use DynTest;
use IPC::Run ();
use Test::More;

my %QUERIES = (
	filtered => 'SELECT id, grp, v FROM load.account WHERE v % 3 <> 0',
	grouped => 'SELECT grp, count(*) AS n, sum(v) AS total, min(v) AS low, max(v) AS high, avg(v) AS mean FROM load.account GROUP BY grp',
	joined => 'SELECT a.id, a.grp, a.v, e.k, e.v AS ev FROM load.account a JOIN load.event e ON a.id = e.k',
	outer_joined => 'SELECT a.id, a.note, e.k, e.v FROM load.account a FULL JOIN load.event e ON a.id = e.k AND e.v > 3',
	bag => 'SELECT v FROM load.event WHERE v < 8 UNION ALL SELECT v % 10 FROM load.account',
	kinds => 'SELECT DISTINCT v FROM load.event',
	latest => 'SELECT k, v, at FROM (SELECT k, v, at, row_number() OVER (PARTITION BY k ORDER BY at DESC, v, note) AS rn FROM load.event) x WHERE rn = 1',
	over => 'SELECT total % 10 AS t, count(*) AS n, sum(n) AS m FROM load.grouped GROUP BY total % 10',
	self_joined => 'SELECT a.id, b.id AS other FROM load.account a JOIN load.account b ON a.partner = b.id WHERE a.v > b.v');

our @NAMES = qw(filtered grouped joined outer_joined bag kinds latest over self_joined);

# These keep the tables at a constant size: what is written at random keys is
# deleted at random keys.
my %SCRIPTS = (
	single => [ 8, <<'SQL' ],
\set id random(1, 1500)
\set v random(0, 99)
UPDATE load.account SET v = :v WHERE id = :id;
INSERT INTO load.event VALUES (:id, :v % 12, clock_timestamp(), 'single');
DELETE FROM load.event WHERE k = :v;
SQL
	async => [ 8, <<'SQL' ],
\set id random(1, 1500)
\set v random(0, 99)
SET synchronous_commit = off;
UPDATE load.account SET v = v + 1, grp = :v % 50 WHERE id = :id;
INSERT INTO load.event SELECT :id + i, i, clock_timestamp(), 'twin' FROM generate_series(1, 2) i, generate_series(1, 2);
DELETE FROM load.event WHERE k BETWEEN (:id * 7) % 1502 AND (:id * 7) % 1502 + 4;
RESET synchronous_commit;
SQL
	upsert => [ 6, <<'SQL' ],
\set id random(1, 1500)
\set v random(0, 99)
INSERT INTO load.account VALUES (:id, :v % 50, :v, :v, 'upsert') ON CONFLICT (id) DO UPDATE SET v = excluded.v, note = excluded.note;
INSERT INTO load.account VALUES (:id + 1, NULL, :v, NULL, NULL) ON CONFLICT DO NOTHING;
SQL
	reinsert => [ 4, <<'SQL' ],
\set id random(1, 1500)
\set v random(0, 99)
BEGIN;
DELETE FROM load.account WHERE id = :id;
INSERT INTO load.account VALUES (:id, :v % 50, :v, :id % 700, 'again') ON CONFLICT DO NOTHING;
UPDATE load.account SET v = v + 1 WHERE id = :id;
COMMIT;
SQL
	remove => [ 3, <<'SQL' ],
\set id random(1, 1500)
DELETE FROM load.account WHERE id = :id;
UPDATE load.event SET k = k + 1 WHERE k = :id;
SQL
	savepoints => [ 4, <<'SQL' ],
\set id random(1, 1400)
\set v random(0, 99)
BEGIN;
INSERT INTO load.event VALUES (:id, :v % 12, clock_timestamp(), 'kept');
SAVEPOINT a;
UPDATE load.account SET v = 0, note = NULL WHERE id = :id;
INSERT INTO load.event VALUES (:id, 11, clock_timestamp(), 'undone');
ROLLBACK TO a;
SAVEPOINT b;
UPDATE load.account SET v = :v WHERE id = :id;
RELEASE b;
COMMIT;
SQL
	subtransactions => [ 1, <<'SQL' ],
\set id random(1, 1400)
\set v random(0, 99)
BEGIN;
DO $$ BEGIN FOR i IN 1 .. 80 LOOP BEGIN INSERT INTO load.event VALUES (i * 17, i % 12, clock_timestamp(), 'sub'); IF i % 4 = 0 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$;
SELECT pg_sleep(0.01);
DELETE FROM load.event WHERE note = 'sub' AND ctid = ANY (ARRAY(SELECT ctid FROM load.event WHERE note = 'sub' ORDER BY random() LIMIT 60));
COMMIT;
SQL
	undone => [ 3, <<'SQL' ],
\set id random(1, 1400)
BEGIN;
UPDATE load.account SET v = -1, grp = NULL WHERE id BETWEEN :id AND :id + 2;
INSERT INTO load.event SELECT :id, 5, clock_timestamp(), 'undone' FROM generate_series(1, 20);
ROLLBACK;
SQL
	prepared => [ 4, <<'SQL' ],
\set id random(1, 1400)
\set v random(0, 99)
BEGIN;
UPDATE load.account SET v = :v WHERE id = :id;
SAVEPOINT a;
INSERT INTO load.event VALUES (:id, :v % 12, clock_timestamp(), 'prepared');
PREPARE TRANSACTION 'load_:client_id';
\sleep 20 ms
COMMIT PREPARED 'load_:client_id';
SQL
	prepared_undone => [ 1, <<'SQL' ],
\set id random(1, 1400)
BEGIN;
DELETE FROM load.account WHERE id = :id;
INSERT INTO load.event VALUES (:id, 3, clock_timestamp(), 'undone');
PREPARE TRANSACTION 'load_:client_id';
\sleep 3 ms
ROLLBACK PREPARED 'load_:client_id';
SQL
	slow => [ 1, <<'SQL' ],
\set id random(1, 1500)
BEGIN;
INSERT INTO load.event VALUES (:id, 7, clock_timestamp(), 'slow');
SELECT pg_sleep(0.2);
INSERT INTO load.event VALUES (:id, 8, clock_timestamp(), 'slow');
COMMIT;
SQL
);

sub new
{
	my ($class, $node) = @_;
	my $self = bless { node => $node, content => {}, rounds => 0, changed => 0, compared => 0, wrong => [], actions => {}, disturbed => 0 }, $class;
	$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA load;
CREATE TABLE load.account (id int PRIMARY KEY, grp int, v int, partner int, note text);
CREATE INDEX ON load.account (partner);
CREATE TABLE load.event (k int, v int, at timestamptz, note text);
CREATE INDEX ON load.event (k);
INSERT INTO load.account SELECT i, nullif(i % 50, 0), i % 100, i % 700, 'start' FROM generate_series(1, 1500) i;
INSERT INTO load.event SELECT i % 1500, i % 12, clock_timestamp(), 'start' FROM generate_series(1, 2000) i;
ANALYZE load.account, load.event;
SQL
	DynTest::wait_capture($node);
	$node->safe_psql('postgres', "SELECT dyntable_create('load.$_', \$q\$$QUERIES{$_}\$q\$, 'downstream', 'incremental')") foreach @NAMES;

	# one that the scheduler refreshes at the same time
	$node->safe_psql('postgres', "SELECT dyntable_create('load.scheduled', 'SELECT grp, sum(v) AS total FROM load.account GROUP BY grp', '1 second', 'incremental')");
	foreach my $name (keys %SCRIPTS)
	{
		my $file = "$ENV{TESTDIR}/load_$name.sql";
		open(my $handle, '>', $file) or die "$file: $!";
		print $handle $SCRIPTS{$name}[1];
		close $handle;
	}
	return $self;
}

# Start the writers.
sub start
{
	my ($self, $clients) = @_;
	my @files = map { ('-f', "$ENV{TESTDIR}/load_$_.sql\@$SCRIPTS{$_}[0]") } sort keys %SCRIPTS;
	$self->{output} = '';
	$self->{pgbench} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', 3600, '--max-tries=50', @files, $self->{node}->connstr('postgres') . ' application_name=writer' ],
		'<', \undef, '>&', \$self->{output});
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	until ($self->{node}->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writer'") >= $clients)
	{
		die "writers did not start: $self->{output}" if time > $limit || !$self->running;
		select(undef, undef, undef, 0.05);
	}
	return;
}

sub running
{
	my ($self) = @_;
	return $self->{pgbench} && $self->{pgbench}->pumpable && eval { $self->{pgbench}->pump_nb; 1 } && $self->{pgbench}->pumpable;
}

# End the writers, or wait for their end after the server was killed.
sub stop
{
	my ($self) = @_;
	$self->{pgbench}->signal('TERM') if $self->running;
	eval { $self->{pgbench}->finish };
	delete $self->{pgbench};
	return;
}

# Decide what writers that were killed have left prepared, every second one either way.
sub decide_prepared
{
	my ($self) = @_;
	my $n = 0;
	foreach my $gid (split(/\n/, $self->{node}->safe_psql('postgres', "SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'load%' ORDER BY gid")))
	{
		$self->{node}->safe_psql('postgres', ($n++ % 2 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
	}
	return $n;
}

sub compare_sql
{
	my ($name) = @_;
	return "WITH asked AS MATERIALIZED ($QUERIES{$name}), held AS MATERIALIZED (TABLE load.$name) "
	  . "SELECT 'C', '$name', (SELECT count(*) FROM held), (SELECT coalesce(sum(hashtextextended(held::text, 0)), 0) FROM held), "
	  . "(SELECT count(*) FROM (TABLE asked EXCEPT ALL TABLE held) x), (SELECT count(*) FROM (TABLE held EXCEPT ALL TABLE asked) x);\n";
}

# Refresh and compare: three rounds of four in one REPEATABLE READ
# transaction, the fourth by dyntable_verify under READ COMMITTED.
sub round
{
	my ($self) = @_;
	my $number = $self->{rounds}++;
	return $self->judge($number, DynTest::run_script($self->{node}, $self->round_sql($number), 'round'));
}

sub round_sql
{
	my ($self, $number) = @_;
	my $sql = "SET statement_timeout = '120s';\n";
	return $sql . join('', map { "SELECT 'V', '$_', missing, unexpected FROM dyntable_verify('load.$_');\n" } @NAMES, 'scheduled')
	  if $number % 4 == 3;
	$sql .= "BEGIN ISOLATION LEVEL REPEATABLE READ;\n";
	$sql .= "SELECT 'R', name, action FROM dyntable_refresh(" . join(', ', map { "'load.$_'" } @NAMES) . ");\n";
	$sql .= compare_sql($_) foreach @NAMES;
	return $sql . "COMMIT;\n";
}

# What a round has said.  False: it was cut short by an error that
# $self->{excused} names, in which case what it said before counts.
sub judge
{
	my ($self, $number, $output) = @_;
	my ($seen, $changed) = (0, 0);
	my ($error) = $output =~ /^(.*(?:ERROR:|FATAL:|WARNING:|connection).*)$/m;
	my $cut_short = defined $error && $self->{excused} && $error =~ $self->{excused};
	push @{ $self->{wrong} }, "round $number: $output" if defined $error && !$cut_short;
	while ($output =~ /^C\|(\w+)\|(\d+)\|(-?\d+)\|(\d+)\|(\d+)$/mg)
	{
		$seen++;
		$changed++ if ($self->{content}{$1} // '') ne $3 && $2 > 0;
		$self->{content}{$1} = $3;
		push @{ $self->{wrong} }, "round $number: $1 has $4 rows missing, $5 unexpected" if $4 || $5;
	}
	while ($output =~ /^V\|(\w+)\|(\d+)\|(\d+)$/mg)
	{
		$seen++;
		push @{ $self->{wrong} }, "round $number: verify of $1: $2 missing, $3 unexpected" if $2 || $3;
	}
	$self->{actions}{$1}++ while $output =~ /^R\|\S+\|(\w+)$/mg;
	if ($cut_short)
	{
		$self->{disturbed}++;
		return 0;
	}
	push @{ $self->{wrong} }, "round $number: only $seen tables compared: $output" if $seen < @NAMES;
	if ($number % 4 != 3)
	{
		$self->{compared}++;
		$self->{changed}++ if $changed >= @NAMES / 2;
	}
	return 1;
}

sub summary
{
	my ($self) = @_;
	return "$self->{rounds} rounds, $self->{changed} of $self->{compared} with changes, " . join(', ', map { "$_ $self->{actions}{$_}" } sort keys %{ $self->{actions} });
}

1;
