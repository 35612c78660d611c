# The staging layer of examples/staging, small, against its own queries after
# every kind of change that its feeder makes, and after the clock alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $rounds  = $ENV{DYNTABLE_STAGING_ROUNDS} || 3;
my $here    = "$DynTest::ROOT/examples/staging";
my @tables  = qw(reference.dt_crosswalk_facilities reference.dt_crosswalk_veterans reference.dt_crosswalk_evaluators
  staging.dt_stg_facilities staging.dt_stg_fact_appointment_events staging.dt_stg_fact_qa_events
  staging.dt_vw_staging_dq_summary
  warehouse.dim_facility warehouse.fact_appointment_events warehouse.fact_qa_events warehouse.agg_daily_quality);
my $node    = DynTest::new_node('staging');
my $connect = $node->connstr('postgres');

foreach my $file (qw(01_schemas_and_landing_tables 02_generator 04_feeder))
{
	$node->command_ok([ 'psql', '-Xq', '-d', $connect, '-f', "$here/$file.sql" ], "$file installs");
}
DynTest::wait_capture($node);
$node->safe_psql('postgres', 'SELECT generator.fill(0.2, 7)');

# With lags of weeks the scheduler stays out of it.
foreach my $file (qw(03_dynamic_tables 05_warehouse))
{
	$node->command_ok([ 'psql', '-Xq', '-d', $connect, '-v', 'lag_factor=2000', '-o', '/dev/null', '-f', "$here/$file.sql" ],
		"$file installs");
}
is( $node->safe_psql('postgres', 'SELECT count(*) FILTER (WHERE incremental), count(*) FROM dyntable.dynamic_table'),
	'11|11', 'all eleven are incremental')
  or diag $node->safe_psql('postgres', 'SELECT relid, reason_code, reason FROM dyntable.dynamic_table WHERE NOT incremental');

# Table and query as a bag, in the transaction that refreshes: there now() is
# the data timestamp.  Columns that say when a row was written are no part.
my %compare = map { $_ => comparison($_) } @tables;
my %seen;

compare('first fill');
my @steps = (
	[ 'a batch'           => 'SELECT generator.feed_batch(20)' ],
	[ 'single rows'       => 'SELECT generator.feed_event() FROM generate_series(1, 3)' ],
	[ 'corrections'       => 'SELECT generator.correct(6)' ],
	[ 'rows taken back'   => 'SELECT generator.remove(4)' ],
	[ 'all in one'        => 'SELECT generator.feed_batch(8), generator.correct(3), generator.remove(2), generator.feed_event()' ],
	[ 'a key given up'    => "UPDATE ods_raw.ods_veterans_source SET veteran_ssn = NULL WHERE veteran_ssn IN (SELECT generator.ssn(i) FROM generate_series(3, 9) i)" ],
	[ 'a key taken on'    => "UPDATE ods_raw.ods_evaluators_source SET evaluator_npi = generator.npi(5) WHERE evaluator_npi IS NULL" ],
	[ 'names and states'  => "UPDATE ods_raw.ods_evaluators_source SET last_name = last_name || '!', license_state = CASE WHEN active_flag THEN license_state END WHERE evaluator_npi > generator.npi(20)" ],
	[ 'one side less'     => "DELETE FROM ods_raw.ods_evaluators_source WHERE source_system = 'VEMS' AND evaluator_npi < generator.npi((SELECT 5 + max(batches_fed) FROM generator.state))" ],
	[ 'back and forth'    => "UPDATE ods_raw.ods_facilities_source SET state = coalesce(state || 'K', 'AK'); UPDATE ods_raw.ods_facilities_source SET state = NULL WHERE capacity % 2 = 0" ],
	[ 'a summary of none' => 'DELETE FROM ods_raw.ods_qa_events_source' ],
	[ 'and of some'       => 'SELECT generator.feed_batch(60)' ],
);
foreach my $round (1 .. $rounds)
{
	foreach my $step (@steps)
	{
		my ($what, $sql) = @$step;
		$node->safe_psql('postgres', $sql);
		compare("round $round, $what");
	}
}

# A row on its way out of the window: no change to any source, but the clock.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO ods_raw.ods_appointment_events_source
    (source_system, source_record_id, batch_id, ingestion_timestamp, event_id, appointment_id, event_timestamp, event_type)
VALUES ('VEMS', 'LEAVING', 'B', clock_timestamp() - interval '7 days' + interval '3 seconds', 'LEAVING', 'APT-3', now(), 'COMPLETED');
INSERT INTO ods_raw.ods_facilities_source
    (source_system, source_record_id, batch_id, ingestion_timestamp, facility_id, facility_name)
VALUES ('OMS', 'LEAVING', 'B', clock_timestamp() - interval '7 days' + interval '3 seconds', 'LEAVING', 'Gone with the clock');
SQL
compare('rows about to leave');
my $left = "SELECT (SELECT count(*) FROM staging.dt_stg_fact_appointment_events WHERE event_id = 'LEAVING'),
                   (SELECT count(*) FROM reference.dt_crosswalk_facilities WHERE master_facility_id = 'LEAVING'),
                   (SELECT count(*) FROM staging.dt_stg_facilities WHERE master_facility_id = 'LEAVING')";
is($node->safe_psql('postgres', $left), '1|1|1', 'they are inside');
$node->poll_query_until('postgres', "SELECT min(ingestion_timestamp) < now() - interval '7 days'
	FROM ods_raw.ods_appointment_events_source WHERE event_id = 'LEAVING'") or die 'time stands still';
compare('rows that left');
is($node->safe_psql('postgres', $left), '0|0|0', 'they are outside');

foreach my $table (@tables)
{
	cmp_ok(scalar(keys %{ $seen{$table} }), '>', 2, "$table was seen in different states");
}
is( $node->safe_psql('postgres', "SELECT string_agg(DISTINCT action, ',') FROM dyntable.history WHERE trigger <> 'CREATION' AND action <> 'NO_DATA'"),
	'INCREMENTAL', 'no refresh but incremental ones');

$node->safe_psql('postgres', 'TRUNCATE ods_raw.ods_qa_events_source');
compare('after TRUNCATE');
$node->safe_psql('postgres', 'SELECT generator.feed_batch(20)');
compare('after TRUNCATE, a batch');
foreach my $table (@tables)
{
	is($node->safe_psql('postgres', "SELECT * FROM dyntable_verify('$table')"), '0|0', "dyntable_verify agrees about $table");
}
$node->stop;
done_testing();

# Refresh all and compare all, under one snapshot.
sub compare
{
	my ($what) = @_;
	my $sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM dyntable_refresh();\n";
	$sql .= "$compare{$_};\n" foreach @tables;
	my ($status, $out, $err) = $node->psql('postgres', $sql . 'COMMIT;', on_error_stop => 1);
	my (undef, @lines) = split /\n/, $out;
	my @wrong;
	foreach my $i (0 .. $#tables)
	{
		my ($missing, $unexpected, $hash) = split /\|/, $lines[$i] // 'none|none|';
		push @wrong, "$tables[$i]: $missing missing, $unexpected unexpected" if "$missing$unexpected" ne '00';
		$seen{ $tables[$i] }{ $hash // '' } = 1;
	}
	ok(!@wrong && $err eq '', "no row differs: $what") or diag join("\n", @wrong, $err);
	return;
}

sub comparison
{
	my ($table) = @_;
	my $columns = $node->safe_psql('postgres', "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = '$table'::regclass AND attnum > 0 AND attname NOT IN ('crosswalk_created_timestamp', 'staging_processed_timestamp')");
	my $query = $node->safe_psql('postgres', "SELECT query FROM dyntable.dynamic_table WHERE relid = '$table'::regclass");
	return "WITH query AS MATERIALIZED (SELECT $columns FROM ($query) q), content AS MATERIALIZED (SELECT $columns FROM $table)
		SELECT (SELECT count(*) FROM (SELECT * FROM query EXCEPT ALL SELECT * FROM content) m),
		       (SELECT count(*) FROM (SELECT * FROM content EXCEPT ALL SELECT * FROM query) u),
		       (SELECT count(*) || ' ' || coalesce(sum(hashtextextended(c::text, 0)), 0) FROM content c)";
}
