# Load, refreshes and comparisons under faults at random moments: processes
# killed, sessions cancelled, the slot dropped, sources altered, transactions
# left prepared.  However often that happens no row may differ, and after each
# fault the system has to come back by itself.
#
#   DYNTABLE_FAULT_SECONDS  default 1200
#   DYNTABLE_SEED           of the faults and their moments; printed
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynLoad;
use DynFaults;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{DYNTABLE_FAULT_SECONDS} || 1200;
my $seed = $ENV{DYNTABLE_SEED} || int(time);
my $recovery = 120;    # seconds that a fault may take to be overcome
srand($seed);
diag "DYNTABLE_SEED=$seed";

my $node = DynTest::new_node('faults', 'checkpoint_timeout = 30s', 'fsync = on', 'restart_after_crash = on', 'log_statement = none', 'log_checkpoints = off');
my $load = DynLoad->new($node);
$load->{excused} = $DynFaults::DISTURBANCE;
my %done;        # faults by kind
my %left;        # what is left for some rounds: name => [ rounds, sub ]
my @others;      # sessions beside the round
my $tables = 0;

# An answer, as soon as the server can give one.
sub run
{
	DynFaults::wait_up($node);
	return $node->safe_psql('postgres', $_[0]);
}

# May fail, as by another fault.
sub try { return DynFaults::succeeds($node, $_[0]); }

# A session that nobody waits for.
sub beside
{
	my ($sql) = @_;
	push @others, [ $sql, DynFaults::session($node, $sql) ];
	return;
}

# Those that have ended must have ended well, or by what was done to them.
sub collect
{
	my ($wait) = @_;
	my @still;
	foreach my $other (@others)
	{
		my ($sql, $output, $handle) = @$other;
		if (!$wait && eval { $handle->pump_nb; 1 } && $handle->pumpable)
		{
			push @still, $other;
			next;
		}
		eval { $handle->finish };
		push @{ $load->{wrong} }, "$sql: $$output" if $$output =~ /ERROR|FATAL|PANIC/ && $$output !~ $DynFaults::DISTURBANCE;
		push @{ $load->{wrong} }, "$sql: $$output" if $$output =~ /^V\|(?!0\|0$)/m;
	}
	@others = @still;
	return;
}

sub one_of { return $_[ int rand @_ ]; }

# ---- faults ----
# Each is [ weight, sub ]; a sub that returns false had nothing to do it to.

sub signal_one
{
	my ($signal, $kind) = @_;
	my @pids = DynFaults::workers($node, $kind);
	return kill($signal, one_of(@pids)) if @pids;
	return 0;
}

sub backend
{
	my ($function, $who) = @_;
	return try("SELECT $function(pid) FROM pg_stat_activity WHERE $who AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1");
}

sub crash
{
	my ($how) = @_;
	if ($how eq 'all') { DynTest::kill_server($node); }
	elsif ($how eq 'postmaster') { DynFaults::kill_postmaster($node); }
	else { $node->stop($how); }
	sleep rand 1 if rand() < 0.3;
	$node->start;
	return 1;
}

# Leave something for some rounds, then undo it.
sub leave
{
	my ($name, $sql, $undo) = @_;
	return 0 if $left{$name};
	return 0 unless try($sql);
	$left{$name} = [ 1 + int rand 6, $undo ];
	return 1;
}

my %ddl = (
	'add column' => 'ALTER TABLE load.account ADD COLUMN IF NOT EXISTS extra int DEFAULT 7',
	'drop column' => 'ALTER TABLE load.account DROP COLUMN IF EXISTS extra',
	'volatile default' => 'ALTER TABLE load.event ADD COLUMN IF NOT EXISTS extra float DEFAULT random()',
	'drop it' => 'ALTER TABLE load.event DROP COLUMN IF EXISTS extra',
	'retype' => 'ALTER TABLE load.account ALTER partner TYPE bigint',
	'retype back' => 'ALTER TABLE load.account ALTER partner TYPE int',
	'rename' => 'ALTER TABLE load.account RENAME note TO remark; ALTER TABLE load.account RENAME remark TO note',
	'identity' => 'ALTER TABLE load.event REPLICA IDENTITY DEFAULT',
	'cluster' => 'CLUSTER load.account USING account_pkey',
	'reindex' => 'REINDEX TABLE load.event');

my %faults = (
	'kill all' => [ 3, sub { crash('all') } ],
	'kill postmaster' => [ 2, sub { crash('postmaster') } ],
	'immediate restart' => [ 1, sub { crash('immediate') } ],
	'fast restart' => [ 1, sub { crash('fast') } ],
	'kill capture' => [ 3, sub { signal_one('KILL', 'capture') } ],
	'kill scheduler' => [ 1, sub { signal_one('KILL', 'scheduler') } ],
	'kill refresh worker' => [ 3, sub { signal_one('KILL', 'refresh worker') } ],
	'kill launcher' => [ 1, sub { signal_one('KILL', 'launcher') } ],
	'kill registrar' => [ 2, sub { signal_one('KILL', 'registrar') } ],
	'kill a session' => [ 1, sub { my $pid = run("SELECT pid FROM pg_stat_activity WHERE query LIKE '%dyntable%' AND state = 'active' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"); $pid ? kill('KILL', $pid) : 0 } ],
	'end capture' => [ 4, sub { signal_one('TERM', 'capture') } ],
	'end scheduler' => [ 1, sub { signal_one('TERM', 'scheduler') } ],
	'end refresh worker' => [ 3, sub { signal_one('TERM', 'refresh worker') } ],
	'end launcher' => [ 1, sub { signal_one('TERM', 'launcher') } ],
	'end registrar' => [ 2, sub { signal_one('TERM', 'registrar') } ],
	'end a session' => [ 3, sub { backend('pg_terminate_backend', "backend_type = 'client backend'") } ],
	'cancel a session' => [ 5, sub { backend('pg_cancel_backend', "backend_type = 'client backend'") } ],
	'cancel one of ours' => [ 3, sub { backend('pg_cancel_backend', "backend_type LIKE 'dyntable%'") } ],
	'drop the slot' => [ 1, sub { DynFaults::without_worker($node, q{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'dyntable%'}) } ],
	'drop the origin' => [ 1, sub { DynFaults::without_worker($node, q{SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE 'dyntable%'}) } ],
	'forget the slot' => [ 1, sub { try('DELETE FROM dyntable.slot') && signal_one('TERM', 'capture') } ],
	'VACUUM FULL' => [ 2, sub { beside("SET lock_timeout = '5s';\nVACUUM FULL " . one_of('load.account', 'load.event', 'load.joined', 'load.grouped', 'dyntable.position', 'dyntable.source', '')); 1 } ],
	'DDL' => [ 6, sub { my ($what) = one_of(sort keys %ddl); beside("SET lock_timeout = '5s'; $ddl{$what};"); 1 } ],
	'prepared transaction' => [ 2, sub {
		leave('prepared', q{BEGIN; UPDATE load.account SET v = v + 1 WHERE id BETWEEN 700 AND 703; INSERT INTO load.event VALUES (700, 3, now(), 'left'); PREPARE TRANSACTION 'left'},
			sub { try(one_of('COMMIT', 'ROLLBACK') . q{ PREPARED 'left'}) }) } ],
	'suspend' => [ 2, sub {
		my $name = one_of('scheduled', 'top', 'grouped');
		leave($name, "SELECT dyntable_suspend('load.$name')", sub { try("SELECT dyntable_resume('load.$name')") }) } ],
	'timeouts' => [ 4, sub { beside("SET statement_timeout = " . int(1 + rand 400) . "; SET lock_timeout = 50; SELECT count(*) FROM dyntable_refresh('load.over', 'load.outer_joined');"); 1 } ],
	'further table' => [ 6, sub {
		my $n = ++$tables;
		beside("CREATE TABLE load.new_$n AS SELECT * FROM load.account; SELECT dyntable_create('load.further_$n', 'SELECT n.id, a.v FROM load.new_$n n JOIN load.account a USING (id)', '1 second');"
			. " UPDATE load.new_$n SET v = v + 1 WHERE id % 7 = 0; SELECT 'V', missing, unexpected FROM dyntable_verify('load.further_$n');"
			. " DROP TABLE load.new_$n CASCADE;");
		1 } ],
	'checkpoint' => [ 2, sub { try('SELECT pg_switch_wal(); CHECKPOINT') } ]);

my @lots = map { ($_) x $faults{$_}[0] } sort keys %faults;

# ---- rounds ----

# Writers die with the server, or by being cancelled.
sub keep_writing
{
	my ($at_least) = @_;
	until (eval { $load->running && $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writer'") >= $at_least })
	{
		DynFaults::wait_up($node);
		$load->stop if $load->{pgbench};
		eval { $load->decide_prepared; $load->start(8); };
	}
	return;
}

# One round, with something befalling it.  True: it went through.
sub round
{
	my ($fault) = @_;
	my $number = $load->{rounds}++;
	my ($output, $handle) = DynFaults::session($node, $load->round_sql($number));
	if ($fault)
	{
		my $end = time + rand(1.5) ** 2;
		while (time < $end) { eval { $handle->pump_nb }; sleep 0.005; }
		if ($faults{$fault}[1]->()) { $done{$fault}++; }
	}
	eval { $handle->finish };
	collect();
	return $load->judge($number, $$output);
}

sub log_lines { return scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /\n/g); }

$node->safe_psql('postgres', q{
	SELECT dyntable_create('load.top', 'SELECT total % 7 AS t, count(*) AS n, max(total) AS m FROM load.scheduled GROUP BY 1', '1 second');
	SELECT dyntable_create('load.whole', 'SELECT grp, count(*) AS n FROM load.account GROUP BY grp', '2 seconds', 'full')});
my $first_xid = run('SELECT pg_current_xact_id()');
my $end = time + $seconds;
my $slowest = 0;
while (time < $end && @{ $load->{wrong} } == 0)
{
	my $fault = one_of(@lots);
	note "round $load->{rounds}: $fault";
	keep_writing(6);
	my $began = time;
	next if round($fault);
	DynFaults::wait_up($node);
	my $whole = 0;
	until ($whole || @{ $load->{wrong} } || time - $began > $recovery)
	{
		keep_writing(1);
		$whole = round(undef);
		sleep 0.1 unless $whole;
	}
	push @{ $load->{wrong} }, "after '$fault' no round went through for $recovery seconds: " . run('TABLE dyntable.capture') if !$whole && !@{ $load->{wrong} };
	$slowest = time - $began if time - $began > $slowest;
	foreach my $name (keys %left)
	{
		delete $left{$name} if --$left{$name}[0] <= 0 && $left{$name}[1]->();
	}
}
DynFaults::wait_up($node);
$load->stop if $load->{pgbench};
$load->decide_prepared;
$_->[1]->() foreach values %left;
collect(1);

# ---- the end ----
$load->round for 1 .. 4;
foreach my $name ('scheduled', 'top', 'whole')
{
	is(run("SELECT * FROM dyntable_verify('load.$name')"), '0|0', "$name: no row differs");
}
is(run("SELECT string_agg(name, ',') FROM dyntable.dynamic_tables WHERE scheduling_state <> 'ACTIVE'"), '', 'no table is suspended');
ok($node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE state = 'running') = 1 FROM dyntable.capture}), 'capture runs');

my $kills = join(', ', map { "$_ $done{$_}" } sort keys %done);
my ($rows, $refreshes) = split /\|/, run('SELECT sum(rows_inserted + rows_updated + rows_deleted), sum(repeats) FROM dyntable.history');
my $transactions = run('SELECT pg_current_xact_id()') - $first_xid;
my $again = run(q{SELECT coalesce(string_agg(n || ' ' || reason, ', ' ORDER BY n DESC), 'none') FROM
	(SELECT count(*) AS n, left(regexp_replace(reason, '[0-9]+', 'N', 'g'), 90) AS reason FROM dyntable.history WHERE action = 'REINITIALIZE' AND trigger <> 'CREATION' GROUP BY 2) r});
my $failures = run(q{SELECT coalesce(string_agg(n || ' ' || code || ' ' || coalesce(message, ''), '; ' ORDER BY n DESC), 'none') FROM
	(SELECT count(*) AS n, code, left(max(message), 60) AS message FROM dyntable.history WHERE state = 'FAILED' GROUP BY 2) r});
my $lines = log_lines();
diag "reinitialised: $again\nfailed scheduled refreshes: $failures\nslowest recovery: " . sprintf('%.1f', $slowest) . " s; log: $lines lines";
DynTest::summary("fault loop: seed $seed, $load->{rounds} rounds ($load->{disturbed} cut short), $transactions transactions, $rows changed rows in $refreshes refreshes; "
	  . "$kills; reinitialised: $again; " . scalar(@{ $load->{wrong} }) . ' differences');

is(scalar @{ $load->{wrong} }, 0, 'no row differs, and every fault was overcome') or diag join("\n", @{ $load->{wrong} }[ 0 .. ($#{ $load->{wrong} } < 9 ? $#{ $load->{wrong} } : 9) ]);
cmp_ok($load->{changed}, '>=', $load->{compared} / 2, 'rounds saw changes');
is(run("SELECT count(*) FROM dyntable.history WHERE reason LIKE '%did not fit%'"), 0, 'no table had diverged');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (?!9|6)|fault of dyntable/, 'nothing crashed by itself');
cmp_ok($lines, '<', 100 * $load->{rounds} + 1000, 'the log was not flooded');
$node->stop;
done_testing();
