# The scripts of the migration in examples/staging where they meet others: rollback and recovery
# drill beside writers and scheduled refreshes, and what is run again after the cleanup.
# (What they do on a quiet system is in guide/.)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use IPC::Run;
use Test::More;

my $here    = "$DynTest::ROOT/examples/staging";
my $node    = DynTest::new_node('migration');
my $connect = $node->connstr('postgres');
$ENV{PGHOST}     = $node->host;
$ENV{PGPORT}     = $node->port;
$ENV{PGDATABASE} = 'postgres';

DynTest::wait_capture($node);
script('01_schemas_and_landing_tables', '02_generator', '04_feeder');
$node->safe_psql('postgres', 'SELECT generator.fill(0.1, 7)');
# lags of 1.2 to 3.6 seconds
script('lag_factor=0.002', '03_dynamic_tables', '05_warehouse', '06_monitoring', '08_alerts', '10_procedures');

rollback_beside_a_writer();
drill_beside_all();
after_the_cleanup();
$node->stop;
done_testing();

# It stands in the middle of its procedures, at a lock, when a batch comes in that it knows nothing of.
sub rollback_beside_a_writer
{
	my $lock = $node->background_psql('postgres');
	$lock->query_safe('BEGIN; LOCK TABLE staging.stg_fact_qa_events');
	my ($out, $err) = ('', '');
	my $rollback = IPC::Run::start([ 'psql', '-XAtq', '-d', $connect, '-f', "$here/14_rollback.sql" ], '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'staging.stg_fact_qa_events'::regclass)")
	  or die 'the rollback does not come to the lock';
	$node->safe_psql('postgres', new_facility('MEANWHILE'));
	$lock->query_safe('COMMIT');
	$lock->quit;
	$rollback->finish;
	is($err, '', 'a rollback beside a writer');
	like($out, qr/^facilities\|([1-9]\d*)\|\1\|t$/m, 'verifies what was there when it began');
	like($out, qr/rollback: consumers read what the procedures write\n\z/, 'and is done');

	# The other way round: keys that no procedure has seen are told of.
	$node->safe_psql('postgres', new_facility('BEFORE'));
	my ($status, undef, $said) = psql('-v', 'batch=none', '-f', "$here/14_rollback.sql");
	isnt($status, 0, 'a rollback that runs no batch is refused');
	like($said, qr/have not a row for each key.*\n.*Run it without a batch/, 'and says why');
	is((psql('-f', "$here/14_rollback.sql"))[0], 0, 'with all batches it is done');
	script('12_cutover');
}

# It waits for one who writes a landing table. A second writer comes, and in time the refresh that is due on his account.
sub drill_beside_all
{
	my $writer = $node->background_psql('postgres');
	$writer->query_safe('BEGIN; LOCK TABLE ods_raw.ods_qa_events_source IN ROW EXCLUSIVE MODE');
	my ($out, $err) = ('', '');
	my $drill = IPC::Run::start([ 'psql', '-XAtq', '-d', $connect, '-f', "$here/15_recovery_drill.sql" ], '>', \$out, '2>', \$err);
	waiting(1);
	my $second = IPC::Run::start([ 'psql', '-Xq', '-d', $connect, '-c', new_facility('SECOND') ]);
	waiting(2);
	$writer->query_safe('COMMIT');
	$writer->quit;
	ok($drill->finish, 'a drill beside writers and scheduled refreshes') or diag($err);
	is(scalar(() = $out =~ /^drill: /mg), 14, 'it comes to its end');
	ok($second->finish, 'and so does who writes meanwhile');
	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM staging.dt_stg_facilities WHERE facility_id = 'SECOND')") or die 'nothing is refreshed';
	is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT name || ' ' || state_code, ', ') FROM dyntable.refresh_history WHERE state <> 'SUCCEEDED'"),
		'', 'no refresh has failed on its account');
	return;
}

# So many wait for locks.
sub waiting
{
	my ($n) = @_;
	$node->poll_query_until('postgres', "SELECT count(DISTINCT pid) >= $n FROM pg_locks WHERE NOT granted") or die "there are not $n who wait";
	return;
}

sub after_the_cleanup
{
	script('lag_factor=1', '03_dynamic_tables', '05_warehouse');
	my $computed = $node->safe_psql('postgres', q{SELECT count(*) FROM dyntable.refresh_history WHERE reinit_reason = 'the query was changed'});
	script('13_cleanup');
	my $tables = "SELECT string_agg(format('%s %s.%s', relid::oid, schema_name, name), ',' ORDER BY relid::oid) FROM dyntable.dynamic_tables";
	my $cleaned = $node->safe_psql('postgres', $tables);
	like($cleaned, qr/ staging\.stg_facilities,/, 'the tables have their names without dt_');
	script('13_cleanup');
	is($node->safe_psql('postgres', $tables), $cleaned, 'the cleanup run again takes nothing away');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM dyntable.dynamic_tables WHERE query ~ '\.dt_'}), 0, 'and so have their queries');
	is(`$here/deploy -At`, "nothing|nothing\n", 'deployed after it the definitions change nothing');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM dyntable.refresh_history WHERE reinit_reason = 'the query was changed'}), $computed, 'and no table was computed anew');
	is($node->safe_psql('postgres', $tables), $cleaned, 'and no table was made');

	foreach my $days (3, 7)
	{
		my (undef, $out) = psql('-v', "days=$days", '-f', "$here/20_change_window.sql");
		is($node->safe_psql('postgres', q{SELECT count(DISTINCT relid), string_agg(DISTINCT days[1], ',')
			FROM dyntable.dynamic_tables, regexp_matches(query, $re$now\(\) - (?:interval )?'(\d+ days)$re$, 'g') days}),
			"6|$days days", "after it the window becomes $days days");
		like($out, qr/^staging\.stg_facilities\|(?:REINITIALIZE|INCREMENTAL)\|/m, 'and the rows follow');
	}
	is($node->safe_psql('postgres', 'SELECT count(*), sum((SELECT missing + unexpected FROM dyntable_verify(relid))) FROM dyntable.dynamic_tables'),
		'11|0', 'every table is what its query says');
	is(`$here/deploy -At`, "nothing|nothing\n", 'and the definitions are those of before');
}

# A facility that nobody knows, in a batch that nobody knows.
sub new_facility
{
	my ($id) = @_;
	return "INSERT INTO ods_raw.ods_facilities_source (source_system, source_record_id, batch_id, ingestion_timestamp, facility_id)
		VALUES ('OMS', '$id', 'BATCH_$id', clock_timestamp(), '$id')";
}

sub psql
{
	my ($out, $err) = ('', '');
	my $good = IPC::Run::run([ 'psql', '-XAtq', '-d', $connect, @_ ], '>', \$out, '2>', \$err);
	return ($good ? 0 : 1, $out, $err);
}

# Run scripts, with settings before them.
sub script
{
	my @settings;
	foreach my $what (@_)
	{
		if ($what =~ /=/) { push @settings, '-v', $what; next; }
		local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
		is(system('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $connect, @settings, '-f', "$here/$what.sql"), 0, "$what runs");
	}
}
