# The schedule with an injected clock: days of it in a moment, with the code that
# decides in the server (test/schedule/simulate.c).  Nothing here waits.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $node = DynTest::new_node('schedule');

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Play these tables for so long, from a Thursday on; what follows in each test looks at sim_run and sim_lag.
sub simulate
{
	my ($length, $workers, @statements) = @_;
	sql(join ';', 'CALL sim_reset()', @statements, "SELECT simulate('2026-01-01 00:00+00', '$length', $workers)");
	return;
}

sql("CREATE FUNCTION simulate(timestamptz, interval, int) RETURNS void LANGUAGE c AS '$root/build/simulation', 'simulate'");
sql(PostgreSQL::Test::Utils::slurp_file("$root/test/schedule/simulate.sql"));

# Rows: tables that are ever older than their lag.
my $late = "SELECT coalesce(string_agg(id || ' by ' || most - lag, ', ' ORDER BY id), 'none') FROM sim_lag WHERE above > '0'";

# ---- lags are kept ----
simulate('2 days', 4,
	q{INSERT INTO sim_table (id, lag, duration) SELECT i, lag, interval '200 ms' FROM generate_series(1, 60) i,
	  LATERAL (SELECT (ARRAY['1 minute', '5 minutes', '10 minutes', '1 hour', '6 hours', '1 day']::interval[])[i % 6 + 1] AS lag) l});
is(sql($late), 'none', '60 tables of mixed lags: none is above its lag in two days');
is(sql('SELECT count(*) FROM sim_lag'), '60', 'and each is refreshed');
is(sql(q{SELECT count(*) FROM sim_lag WHERE lag <= '1 hour' AND refreshes > 1.6 * extract(epoch FROM interval '2 days') / extract(epoch FROM lag)}),
	'0', 'no more often than it takes');

simulate('1 day', 2,
	q{INSERT INTO sim_table (id, lag, duration) SELECT i, CASE i WHEN 50 THEN interval '1 minute' END, '20 ms' FROM generate_series(1, 50) i},
	q{INSERT INTO sim_edge SELECT i, i - 1 FROM generate_series(2, 50) i});
is(sql($late), 'none', 'a chain of 50 keeps the lag of its end');
is(sql('SELECT count(DISTINCT n) || \' \' || bool_and(n = 50) FROM (SELECT count(*) AS n FROM sim_run GROUP BY started) r'), '1 true',
	'acceptance 3: every run of it has all 50 at one data timestamp');

simulate('1 day', 2,
	q{INSERT INTO sim_table (id, lag) VALUES (1, NULL), (2, NULL), (3, '10 minutes'), (4, '2 minutes')},
	q{INSERT INTO sim_edge VALUES (2, 1), (3, 1), (4, 2), (4, 3)});
is(sql($late), 'none', 'a diamond keeps its lags');
is(sql(q{SELECT count(*) FROM sim_run d WHERE id = 4 AND (SELECT count(*) FROM sim_run u WHERE u.started = d.started) <> 4}), '0',
	'and never reads its sides at different data timestamps');

simulate('12 hours', 4,
	q{INSERT INTO sim_table (id, lag, duration) SELECT i, CASE WHEN i > 1 THEN interval '1 minute' * (1 + i % 3) END, '50 ms' FROM generate_series(1, 101) i},
	q{INSERT INTO sim_edge SELECT i, 1 FROM generate_series(2, 101) i});
is(sql($late), 'none', 'a fan-out of 100 keeps its lags');
cmp_ok(sql('SELECT max(n) FROM (SELECT count(*) AS n FROM sim_run GROUP BY started) r'), '<=', 60, 'in runs of at most 60 tables');

simulate('1 hour', 4,
	q{INSERT INTO sim_table (id, lag, duration) VALUES (1, NULL, '4 s'), (2, NULL, '4 s'), (3, '30 s', '2 s')},
	q{INSERT INTO sim_edge VALUES (2, 1), (3, 2)});
is(sql($late), 'none', 'the duration of the run and of its upstream is planned in');

simulate('1 hour', 4, q{INSERT INTO sim_table (id, lag, duration) VALUES (1, '1 hour', '1 s'), (2, '1 minute', '1 s')}, q{INSERT INTO sim_edge VALUES (2, 1)});
is(sql($late), 'none', 'a lag shorter than that of its upstream is kept');
cmp_ok(sql('SELECT count(*) FROM sim_run WHERE id = 1'), '>', 55, 'by pulling the upstream along');

simulate('10 minutes', 4, q{INSERT INTO sim_table (id, lag, duration) VALUES (1, '1 s', '3 s')});
is(sql(q{SELECT count(*) FROM sim_run WHERE started < (SELECT min(ended) FROM sim_run r WHERE r.started < sim_run.started AND r.ended > sim_run.started)}), '0',
	'a table slower than its lag is refreshed back to back, never twice at once');
cmp_ok(sql('SELECT count(*) FROM sim_run'), '>', 190, 'without a pause');

# ---- acceptance 1: DOWNSTREAM is the least of the consumers ----
simulate('1 hour', 4,
	q{INSERT INTO sim_table (id, lag) VALUES (1, NULL), (2, '20 minutes'), (3, '5 minutes'), (4, NULL)},
	q{INSERT INTO sim_edge VALUES (2, 1), (3, 1)});
is(sql('SELECT (SELECT count(*) FROM sim_run WHERE id = 1) = (SELECT count(DISTINCT started) FROM sim_run WHERE id IN (2, 3))'), 't',
	'acceptance 1: a downstream table is refreshed with each of its consumers');
is(sql('SELECT count(*) FROM sim_run WHERE id = 4'), '0', 'acceptance 1: one without consumers never');

# ---- load is spread ----
simulate('1 day', 50, q{INSERT INTO sim_table (id, lag, duration) SELECT i, '10 minutes', '1 s' FROM generate_series(1, 200) i});
my $peak = q{SELECT max(n) FROM (SELECT count(*) AS n FROM sim_run WHERE started %s GROUP BY date_bin('10 s', started, '2026-01-01')) b};
cmp_ok(sql(sprintf $peak, "< '2026-01-01 00:11+00'"), '>', 20, '200 tables made together begin together');
cmp_ok(sql(sprintf $peak, "> '2026-01-01 12:00+00'"), '<', 16, 'and have drifted apart after half a day');
is(sql($late), 'none', 'within their lag');

# ---- an outage ----
simulate('6 hours', 4,
	q{INSERT INTO sim_table (id, lag, duration) SELECT i, CASE WHEN i % 2 = 0 THEN interval '1 minute' ELSE interval '3 hours' END, '500 ms' FROM generate_series(1, 100) i},
	q{INSERT INTO sim_event VALUES ('2 hours', 'down'), ('5 hours', 'up')});
is(sql(q{SELECT count(*) FILTER (WHERE n = 1) FROM (SELECT count(*) AS n FROM sim_run WHERE started >= '2026-01-01 05:00+00' AND before < '2026-01-01 05:00+00' GROUP BY id) r}), '100',
	'after an outage of three hours each table catches up in one step');
is(sql(q{SELECT max(started) FILTER (WHERE id % 2 = 0) <= min(started) FILTER (WHERE id % 2 = 1)
FROM (SELECT DISTINCT ON (id) * FROM sim_run WHERE started >= '2026-01-01 05:00+00' ORDER BY id, started) r}), 't', 'short lags first');
is(sql(q{SELECT count(*) FROM sim_run r JOIN sim_table t USING (id) WHERE before >= '2026-01-01 05:01+00' AND ended - before > t.lag}), '0', 'and all are within their lag again');

# ---- more to do than workers ----
simulate('1 hour', 1, q{INSERT INTO sim_table (id, lag, duration) SELECT i, CASE WHEN i <= 5 THEN interval '10 s' ELSE interval '10 minutes' END, '5 s' FROM generate_series(1, 8) i});
cmp_ok(sql('SELECT min(n) FROM (SELECT id, count(*) AS n FROM sim_run GROUP BY id) r'), '>=', 4, 'where there is too much to do nobody starves');
cmp_ok(sql("SELECT max(ended - before) < '12 minutes' FROM sim_run WHERE id > 5"), 'eq', 't', 'not those with a long lag');
simulate('1 hour', 2,
	q{INSERT INTO sim_table (id, lag, duration, warehouse) SELECT i, '1 minute', '10 s', 'busy' FROM generate_series(1, 40) i},
	q{INSERT INTO sim_table (id, lag, duration, warehouse) VALUES (41, '2 minutes', '1 s', 'quiet')});
is(sql($late . ' AND id = 41'), 'none', 'a warehouse does not wait for the backlog of another');
cmp_ok(sql("SELECT max(queued) <= '20 s' FROM sim_run WHERE id = 41"), 'eq', 't', 'longer than for one of its runs');
cmp_ok(sql("SELECT max(queued) > '1 minute' FROM sim_run WHERE id < 41"), 'eq', 't', 'which does wait, and it is known how long');
simulate('1 hour', 8,
	q{INSERT INTO sim_table (id, lag, duration, warehouse) SELECT i, '1 minute', '10 s', 'narrow' FROM generate_series(1, 6) i},
	q{INSERT INTO sim_warehouse VALUES ('narrow', 2)});
is(sql(q{SELECT max(n) FROM (SELECT (SELECT count(*) FROM sim_run b WHERE b.started <= a.started AND b.ended > a.started) AS n FROM sim_run a) x}), '2',
	'a warehouse never has more runs than it may');

# ---- first fills ----
simulate('1 hour', 2,
	q{INSERT INTO sim_table (id, lag, populated, duration, initial) SELECT i, CASE WHEN i = 5 THEN interval '10 minutes' END, false, '3 s', 'big' FROM generate_series(1, 5) i},
	q{INSERT INTO sim_edge SELECT i, i - 1 FROM generate_series(2, 5) i});
is(sql(q{SELECT string_agg(id::text, ',' ORDER BY started) FROM (SELECT DISTINCT ON (id) * FROM sim_run WHERE state = 'SUCCEEDED' ORDER BY id, started) r}), '1,2,3,4,5',
	'a chain is filled upstream first');

# ---- failures ----
simulate('3 hours', 4,
	q{INSERT INTO sim_table (id, lag) VALUES (1, '10 s'), (2, '10 s'), (3, '10 s')},
	q{INSERT INTO sim_edge VALUES (2, 1)},
	q{INSERT INTO sim_event VALUES ('10 minutes', 'fail', 1)});
is(sql(q{SELECT string_agg(round(extract(epoch FROM gap))::text, ',' ORDER BY started) FROM (
SELECT started, started - lag(ended) OVER (ORDER BY started) AS gap FROM sim_run WHERE id = 1 AND state = 'FAILED') f}), '10,20,40,80',
	'a failing table is tried again after its lag, then after twice that, and so on');
is(sql("SELECT count(*), (SELECT count(*) FROM sim_run WHERE id = 2 AND state = 'UPSTREAM_FAILED') FROM sim_run WHERE id = 1 AND state = 'FAILED'"), '5|5',
	'acceptance 6: five failures in a row suspend it, and what is downstream');
is(sql("SELECT max(ended) > '2026-01-01 02:59+00' FROM sim_run WHERE id = 3"), 't', 'others go on');
simulate('3 hours', 4, q{INSERT INTO sim_table (id, lag) VALUES (1, '20 minutes')},
	q{INSERT INTO sim_event VALUES ('10 minutes', 'fail', 1)});
is(sql(q{SELECT max(gap) <= '5 minutes 1 second' FROM (SELECT started - lag(ended) OVER (ORDER BY started) AS gap FROM sim_run WHERE state = 'FAILED') f}), 't', 'never later than after five minutes');
simulate('1 hour', 4, q{INSERT INTO sim_table (id, lag) VALUES (1, '10 s')},
	q{INSERT INTO sim_event VALUES ('10 minutes', 'fail', 1), ('11 minutes', 'repair', 1), ('20 minutes', 'fail', 1), ('21 minutes', 'repair', 1)});
is(sql("SELECT count(*) BETWEEN 5 AND 8 FROM sim_run WHERE state = 'FAILED'"), 't', 'acceptance 6: failures with a success between them do not add up');
is(sql("SELECT max(ended) > '2026-01-01 00:59+00' FROM sim_run WHERE state = 'SUCCEEDED'"), 't', 'what was repaired goes on by itself');
simulate('1 hour', 4, q{INSERT INTO sim_table (id, lag) VALUES (1, '10 s')},
	q{INSERT INTO sim_event VALUES ('10 minutes', 'fail', 1), ('11 minutes', 'repair', 1), ('11 minutes', 'alter', 1)});
is(sql("SELECT min(started) < '2026-01-01 00:11:01+00' FROM sim_run WHERE state = 'SUCCEEDED' AND started >= '2026-01-01 00:11+00'"), 't',
	'an alteration ends the backoff');

# ---- suspension ----
simulate('1 hour', 4,
	q{INSERT INTO sim_table (id, lag) SELECT i, '1 minute' FROM generate_series(1, 4) i},
	q{INSERT INTO sim_edge VALUES (3, 1), (3, 2)},
	q{INSERT INTO sim_event VALUES ('10 minutes', 'suspend', 1), ('15 minutes', 'suspend', 2), ('30 minutes', 'resume', 1), ('40 minutes', 'resume', 2)});
is(sql(q{SELECT count(*) FROM sim_run WHERE id = 3 AND started > '2026-01-01 00:10+00' AND started < '2026-01-01 00:40+00'}), '0',
	'acceptance 7: a table with two suspended upstreams waits for both');
is(sql(q{SELECT count(*) FROM sim_run WHERE id = 3 AND started >= '2026-01-01 00:40+00' AND before < '2026-01-01 00:10+00'}), '1', 'and then catches up in one step');
is(sql(q{SELECT count(*) FROM sim_run WHERE id = 1 AND started > '2026-01-01 00:10:01+00' AND started < '2026-01-01 00:30+00'}), '0', 'as do they');
is(sql("SELECT string_agg(id || '', ',') FROM sim_lag WHERE id = 4 AND above > '0'"), '', 'others are not concerned');

# ---- cron ----
my %cron = (
	'0 2 * * *' => [ '3 days', 3, "extract(hour FROM started AT TIME ZONE 'UTC') = 2 AND extract(minute FROM started) = 0" ],
	'0 2 * * * Europe/Berlin' => [ '3 days', 3, "extract(hour FROM started AT TIME ZONE 'Europe/Berlin') = 2" ],
	'*/15 8-18/2 * * mon-fri' => [ '4 days', 48, "extract(isodow FROM started AT TIME ZONE 'UTC') < 6 AND extract(minute FROM started)::int % 15 = 0" ],
	'30 4 $ * *' => [ '90 days', 3, "to_char((started AT TIME ZONE 'UTC') + interval '1 day', 'DD') = '01'" ],
	'0 0 */2 * mon' => [ '14 days', 1, "extract(isodow FROM started AT TIME ZONE 'UTC') = 1 AND extract(day FROM started AT TIME ZONE 'UTC')::int % 2 = 1" ],
	'0 0 13 * fri' => [ '30 days', 6, "extract(isodow FROM started AT TIME ZONE 'UTC') = 5 OR extract(day FROM started AT TIME ZONE 'UTC') = 13" ],
	'30 seconds' => [ '1 hour', 119, "extract(epoch FROM date_trunc('second', started))::int % 30 = 0" ],
	'@hourly' => [ '1 day', 23, "extract(minute FROM started) = 0" ],
	'@weekly' => [ '15 days', 2, "extract(isodow FROM started AT TIME ZONE 'UTC') = 7" ],
	'@monthly' => [ '60 days', 2, "extract(day FROM started AT TIME ZONE 'UTC') = 1" ],
	'0 12 1 jan,jul *' => [ '1 year', 2, "extract(month FROM started AT TIME ZONE 'UTC') IN (1, 7)" ],
);
foreach my $expression (sort keys %cron)
{
	my ($length, $count, $condition) = @{ $cron{$expression} };
	simulate($length, 2, "SET timezone = 'UTC'", "INSERT INTO sim_table (id, schedule) VALUES (1, '$expression')");
	is(sql("SELECT count(*), bool_and($condition) FROM sim_run"), "$count|t", "schedule $expression");
}
simulate('10 hours', 2, "SET timezone = 'UTC'", q{INSERT INTO sim_table (id, schedule, duration) VALUES (1, '*/10 * * * *', '25 minutes')});
is(sql('SELECT count(*) BETWEEN 19 AND 24 FROM sim_run'), 't', 'ticks that pass during a refresh are made up for once');
simulate('1 day', 2, "SET timezone = 'UTC'", q{INSERT INTO sim_table (id, schedule) VALUES (1, '0 * * * *')}, q{INSERT INTO sim_event VALUES ('2:30', 'down'), ('9:30', 'up')});
is(sql(q{SELECT count(*) FILTER (WHERE started >= '2026-01-01 09:30+00' AND started < '2026-01-01 10:00+00'), count(*) FROM sim_run}), '1|17', 'and those that pass during an outage, too');

$node->stop;
done_testing();
