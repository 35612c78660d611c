# Every construct that is incremental, after every kind of change: table and
# query must be equal in the transaction that refreshed, the result must not be
# empty, and it must have changed where the change was made to change it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $node = DynTest::new_node('constructs', 'fsync = off');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE item (id int PRIMARY KEY, grp int, qty int, price numeric(8,2), name text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE part (item_id int, k text, qty int);			-- no key, equal rows
CREATE TABLE place (code text PRIMARY KEY, grp int, big bigint);
CREATE VIEW item_view AS SELECT id, grp, qty * 2 AS twice, upper(name) AS name FROM item WHERE qty IS NOT NULL;
CREATE VIEW group_view AS SELECT grp, sum(qty) AS total FROM item GROUP BY grp;
INSERT INTO item SELECT i, nullif(i % 5, 4), nullif(i % 7, 6) * 10, i * 1.25, (ARRAY['a', 'b c', NULL, 'it''s', ''])[i % 5 + 1], now() - i * interval '1 minute' FROM generate_series(1, 30) i;
INSERT INTO part SELECT nullif(i % 12, 0), chr(97 + i % 4), i % 3 FROM generate_series(1, 40) i;
INSERT INTO part SELECT * FROM part WHERE qty = 1;
INSERT INTO place SELECT 'p' || i, nullif(i % 5, 4), i * 1000000000::bigint FROM generate_series(1, 12) i;
SQL
DynTest::wait_capture($node);

# name => query; in this order, for those below read those above
my @constructs = (
	filter => q{SELECT id, qty, name FROM item WHERE qty > 5 OR name IS NULL},
	project => q{SELECT id, (qty - 1) * 2 AS a, - qty AS b, coalesce(name, 'null') || ' "x" ' AS c, CASE WHEN grp = 1 THEN 'one' WHEN grp IS NULL THEN 'none' END AS d FROM item},
	project_loses_key => q{SELECT grp, qty FROM item},
	bag => q{SELECT k, qty FROM part WHERE qty > 0},
	join2 => q{SELECT i.id, i.name, p.k, p.qty FROM item i JOIN part p ON p.item_id = i.id},
	join_using => q{SELECT grp, id, code FROM item JOIN place USING (grp)},
	join3 => q{SELECT i.id, p.k, l.code FROM item i, part p, place l WHERE p.item_id = i.id AND l.grp = i.grp AND p.qty <= 1},
	join4 => q{SELECT i.id, j.id AS jd, p.k, l.code FROM item i JOIN item j ON j.grp = i.grp AND j.id < i.id JOIN part p ON p.item_id = i.id JOIN place l ON l.grp = j.grp},
	self_join => q{SELECT a.id, b.id AS other FROM item a JOIN item b ON a.qty = b.qty AND a.id <> b.id},
	bag_self_join => q{SELECT a.k, b.qty FROM part a JOIN part b ON a.item_id = b.item_id},
	union_all => q{SELECT id, qty FROM item UNION ALL SELECT item_id, qty FROM part UNION ALL SELECT id, 0 FROM item WHERE grp IS NULL},
	group_by => q{SELECT grp, count(*) AS n, count(qty) AS nq, sum(qty) AS s, sum(price) AS sp, avg(qty) AS a, avg(price) AS ap, min(qty) AS lo, max(name) AS hi FROM item GROUP BY grp},
	group_by_two => q{SELECT item_id, k, count(*) AS n, sum(qty) AS s FROM part GROUP BY item_id, k},
	group_by_expression => q{SELECT qty % 3 AS r, upper(name) AS u, sum(price) AS s, max(at) AS last FROM item GROUP BY 1, upper(name)},
	group_key_hidden => q{SELECT count(*) AS n, sum(price) AS s FROM item GROUP BY grp},
	global_aggregate => q{SELECT count(*) AS n, sum(qty) AS s, avg(price) AS a, min(name) AS lo, max(id) AS hi FROM item},
	global_of_none => q{SELECT count(*) AS n, sum(qty) AS s FROM item WHERE name = 'ghost'},
	having => q{SELECT grp, count(*) AS n, sum(price) AS s FROM item GROUP BY grp HAVING count(*) > 5 AND sum(qty) IS NOT NULL},
	agg_filter => q{SELECT grp, count(*) FILTER (WHERE qty > 20) AS n, sum(price) FILTER (WHERE name IS NOT NULL) AS s, max(price) FILTER (WHERE id % 2 = 0) AS m FROM item GROUP BY grp},
	agg_expression => q{SELECT grp, round(100.0 * sum(CASE WHEN qty > 20 THEN 1 ELSE 0 END) / nullif(count(*), 0), 2) AS pct, max(price) - min(price) AS spread, coalesce(sum(qty), 0) + count(*) AS x FROM item GROUP BY grp},
	agg_distinct => q{SELECT grp, count(DISTINCT qty) AS q, sum(DISTINCT price) AS s, count(*) AS n, count(DISTINCT (qty, name)) FILTER (WHERE id % 2 = 0) AS r FROM item GROUP BY grp},
	agg_rollup => q{SELECT grp, qty, grouping(grp, qty) AS g, count(*) AS n, sum(price) AS s FROM item GROUP BY ROLLUP (grp, qty)},
	distinct => q{SELECT DISTINCT grp, qty FROM item},
	intersect => q{SELECT grp, qty FROM item WHERE price > 3 INTERSECT ALL SELECT grp, qty FROM item WHERE id % 2 = 1},
	except => q{SELECT item_id, qty FROM part EXCEPT ALL SELECT grp, big FROM place},
	distinct_self_join => q{SELECT DISTINCT a.k, b.qty FROM part a JOIN part b ON a.item_id = b.item_id},
	subquery => q{SELECT s.grp, s.q + 1 AS q FROM (SELECT grp, qty AS q, price FROM (SELECT * FROM item WHERE price > 3) t WHERE qty IS NOT NULL) s WHERE s.price < 1000},
	aggregate_of_aggregate => q{SELECT n, count(*) AS groups, sum(s) AS s FROM (SELECT grp, count(*) / 3 AS n, sum(price) AS s FROM item GROUP BY grp) g GROUP BY n},
	join_of_aggregates => q{SELECT a.grp, a.s, b.n FROM (SELECT grp, sum(qty) AS s FROM item GROUP BY grp) a JOIN (SELECT grp, count(*) AS n, max(big) AS m FROM place GROUP BY grp) b ON a.grp = b.grp},
	aggregate_of_join => q{SELECT l.code, count(*) AS n, sum(i.price * p.qty) AS s FROM item i JOIN part p ON p.item_id = i.id JOIN place l ON l.grp = i.grp GROUP BY l.code},
	aggregate_of_distinct => q{SELECT count(*) AS n, sum(qty) AS s FROM (SELECT DISTINCT grp, qty FROM item) d},
	cte_once => q{WITH big AS (SELECT grp, price, id FROM item WHERE price > 4) SELECT grp, sum(price) AS s, max(id) AS m FROM big GROUP BY grp},
	cte_twice => q{WITH t AS (SELECT grp, sum(price) AS s FROM item GROUP BY grp) SELECT a.grp, b.grp AS other, a.s FROM t a JOIN t b ON a.s > b.s},
	view => q{SELECT v.name, count(*) AS n, sum(v.twice) AS s FROM item_view v GROUP BY v.name},
	aggregate_view => q{SELECT l.code, g.total FROM place l JOIN group_view g ON g.grp = l.grp},
	dynamic => q{SELECT grp, s * 2 AS s2, lo FROM dt_group_by WHERE n > 2},
	dynamic_bag => q{SELECT qty, count(*) AS n FROM dt_bag GROUP BY qty},
	diamond => q{SELECT a.grp, a.n, b.m FROM dt_group_by a JOIN (SELECT grp, count(*) AS m FROM dt_join_using GROUP BY grp) b ON a.grp = b.grp JOIN item i ON i.grp = a.grp},
	left_join => q{SELECT i.id, p.k, p.qty FROM item i LEFT JOIN part p ON p.item_id = i.id AND p.qty > 0},
	right_join => q{SELECT i.id, p.item_id, p.k FROM item i RIGHT JOIN part p ON p.item_id = i.id AND i.qty > 0},
	full_join => q{SELECT i.id, i.grp, l.code FROM item i FULL JOIN place l ON l.grp = i.grp},
	full_join_bag => q{SELECT p.k, i.id FROM part p FULL JOIN item i ON i.id = p.item_id AND p.qty <> 2},
	left_join_chain => q{SELECT i.grp, count(p.k) AS parts, count(l.code) AS places, sum(p.qty) AS s FROM item i LEFT JOIN part p ON p.item_id = i.id LEFT JOIN place l ON l.grp = i.grp GROUP BY i.grp},
	anti_join => q{SELECT i.id, i.qty FROM item i LEFT JOIN part p ON p.item_id = i.id WHERE p.item_id IS NULL},
	full_join_of_aggregates => q{SELECT coalesce(a.grp, b.grp) AS grp, a.n, b.m FROM (SELECT grp, count(*) AS n, sum(price) AS s FROM item GROUP BY grp) a FULL JOIN (SELECT grp, count(*) AS m FROM place GROUP BY grp) b ON a.grp = b.grp},
	latest => q{SELECT grp, id, qty, name FROM (SELECT *, row_number() OVER (PARTITION BY grp ORDER BY at DESC, id) AS rn FROM item) x WHERE rn = 1},
	latest_of_bag => q{WITH r AS (SELECT item_id, k, qty, row_number() OVER (PARTITION BY item_id ORDER BY qty DESC NULLS LAST, k) AS rn FROM part) SELECT item_id, k, qty FROM r WHERE rn = 1 AND item_id IS NOT NULL},
	window => q{SELECT id, grp, qty, row_number() OVER (PARTITION BY grp ORDER BY at, id) AS no FROM item},
	window_frames => q{SELECT id, sum(qty) OVER (PARTITION BY grp ORDER BY id ROWS 2 PRECEDING) AS s, lead(name) OVER (PARTITION BY grp ORDER BY at, id) AS after, count(*) OVER () AS n FROM item},
	limit => q{SELECT id, qty, price FROM item ORDER BY qty, price DESC, id LIMIT 6},
	limit_with_ties => q{SELECT k, qty FROM part ORDER BY qty DESC FETCH FIRST 4 ROWS WITH TIES},
	top_per_group => q{SELECT grp, id, qty, rn FROM (SELECT *, row_number() OVER (PARTITION BY grp ORDER BY qty DESC NULLS LAST, id) AS rn FROM item) x WHERE rn <= 3},
	rank_per_group => q{SELECT item_id, k, qty FROM (SELECT *, rank() OVER (PARTITION BY item_id ORDER BY qty DESC) AS r FROM part) x WHERE r <= 2},
	moving => q{SELECT id, at, qty FROM item WHERE at >= now() - interval '1 day'},
	moving_aggregate => q{SELECT grp, count(*) AS n, sum(price) AS s, max(qty) AS m FROM item WHERE at >= now() - interval '1 day' AND at < now() + interval '1 day' GROUP BY grp},
	moving_in_aggregate => q{SELECT grp, count(*) FILTER (WHERE at >= now() - interval '1 day') AS day, count(*) AS n, count(DISTINCT id) FILTER (WHERE at >= now() - interval '1 day') AS d, sum(CASE WHEN at >= now() - interval '1 day' THEN price ELSE 0 END) AS s FROM item GROUP BY grp},
	staging => q{WITH l AS (SELECT * FROM (SELECT i.*, row_number() OVER (PARTITION BY grp ORDER BY at DESC, id) AS rn FROM item i WHERE at >= now() - interval '1 day' AND grp IS NOT NULL) x WHERE rn = 1),
		r AS (SELECT * FROM (SELECT p.*, row_number() OVER (PARTITION BY grp ORDER BY big DESC, code) AS rn FROM place p) x WHERE rn = 1)
		SELECT coalesce(l.grp, r.grp) AS grp, l.id, l.name, r.code, CASE WHEN l.id IS NOT NULL AND r.code IS NOT NULL THEN 'BOTH' WHEN l.id IS NOT NULL THEN 'L' ELSE 'R' END AS which FROM l FULL OUTER JOIN r ON l.grp = r.grp},
	summary => q{SELECT 'item' AS t, count(*) AS n, avg(qty) AS a, sum(CASE WHEN qty >= 30 THEN 1 ELSE 0 END) AS good FROM item UNION ALL SELECT 'part', count(*), avg(qty), sum(CASE WHEN qty >= 1 THEN 1 ELSE 0 END) FROM dt_join2});

# name => [what must come of it, SQL]: changed in every result, same in every
# result, or any (some see it, some do not; those named must)
my @changes = (
	'insert' => [ 'changed', q{
		INSERT INTO item VALUES (101, 1, 40, 7.5, 'new'), (102, 2, 21, 99.99, NULL), (103, NULL, NULL, 1, 'b c'), (104, 7, 3, 8, 'seven'), (108, 1, 40, 3.01, 'ghost'), (106, 0, 1, 0.5, 'a'), (107, 3, 2, 0.5, 'zz');
		INSERT INTO part VALUES (101, 'x', 1), (102, 'a', 0), (NULL, 'n', 3), (1, 'y', 2), (3, 'y', 2), (2, 'z', 7), (9, 'q', 4);
		INSERT INTO place VALUES ('q1', 1, 5), ('q7', 7, 77000000000), ('q2', 2, NULL), ('q3', 3, 99000000000);} ],
	'insert of equal rows' => [ 'any', q{INSERT INTO part VALUES (1, 'y', 2), (1, 'y', 2), (1, 'y', 2);}, qw(bag join2 bag_self_join group_by_two full_join_bag left_join) ],
	'update of columns that are no key' => [ 'any', q{
		UPDATE item SET qty = coalesce(qty, 0) + 3, price = price + 0.5, name = 'u' || coalesce(name, '') WHERE id % 4 = 1 OR id = 106;
		UPDATE part SET qty = qty + 1 WHERE k = 'a';
		UPDATE place SET big = coalesce(big, 0) + 1 WHERE code LIKE 'p1%';}, qw(filter project bag join2 group_by global_aggregate having agg_filter distinct subquery cte_twice view dynamic latest window moving_aggregate) ],
	'update of keys' => [ 'changed', q{
		UPDATE item SET id = id + 1000 WHERE id % 5 = 0 AND id > 12;
		UPDATE item SET grp = coalesce(grp, 0) + 1, qty = 33, at = clock_timestamp() WHERE id % 3 = 0;
		UPDATE part SET item_id = coalesce(item_id, 0) + 1, qty = qty + 1 WHERE k IN ('b', 'n');
		UPDATE place SET code = 'z' || code, grp = 2, big = 100000000000 + coalesce(big, 0) WHERE grp = 1;}, 'global_of_none same' ],
	'update of keys to NULL and back' => [ 'any', q{
		UPDATE item SET grp = NULL WHERE grp = 2;
		UPDATE item SET grp = 1 WHERE grp IS NULL AND id % 2 = 0;
		UPDATE part SET item_id = NULL WHERE item_id = 3;
		UPDATE part SET item_id = 7 WHERE item_id IS NULL AND k = 'n';}, qw(group_by join_using left_join full_join latest window bag_self_join) ],
	'update that changes nothing' => [ 'same', q{UPDATE item SET qty = qty, name = name; UPDATE part SET k = k; UPDATE place SET big = big WHERE grp = 2;} ],
	'delete' => [ 'any', q{
		DELETE FROM item WHERE id IN (SELECT id FROM item WHERE id NOT BETWEEN 1 AND 12 ORDER BY qty DESC NULLS LAST, id LIMIT 4) OR name LIKE '%ghost' OR id IN (SELECT id FROM dt_latest);
		DELETE FROM part WHERE ctid IN (SELECT min(ctid) FROM part WHERE item_id IS NOT NULL GROUP BY item_id);
		DELETE FROM place WHERE code = 'zp1';}, qw(filter project bag join2 group_by global_aggregate global_of_none union_all latest window left_join right_join full_join_bag) ],
	'delete and re-insert in one transaction' => [ 'same', q{
		BEGIN; CREATE TEMP TABLE again AS SELECT * FROM item; DELETE FROM item; INSERT INTO item SELECT * FROM again; DROP TABLE again;
		CREATE TEMP TABLE again AS SELECT * FROM part; DELETE FROM part; INSERT INTO part SELECT * FROM again; DROP TABLE again; COMMIT;} ],
	'delete and re-insert otherwise in two transactions' => [ 'any', q{
		DELETE FROM item WHERE id BETWEEN 1 AND 9; INSERT INTO item SELECT i, 1 + i % 2, 60 + i, i, 'back' FROM generate_series(1, 9) i;
		DELETE FROM place WHERE code = 'p2'; INSERT INTO place VALUES ('p2', 1, 1);}, qw(filter project join2 join_using join3 self_join group_by global_aggregate distinct cte_once view latest window anti_join) ],
	'several changes of a row in one transaction' => [ 'any', q{
		BEGIN; UPDATE item SET qty = 1 WHERE id = 2; UPDATE item SET qty = 2, grp = 3 WHERE id = 2; DELETE FROM item WHERE id = 2; INSERT INTO item VALUES (2, 2, 71, 5, 'one'); UPDATE item SET price = 6 WHERE id = 2;
		INSERT INTO item VALUES (300, 1, 1, 1, 'gone'); DELETE FROM item WHERE id = 300; COMMIT;}, qw(filter project group_by global_aggregate latest window) ],
	'several changes of a row in many transactions' => [ 'any', q{
		UPDATE item SET qty = 10 WHERE id = 4; UPDATE item SET qty = 11, grp = 3 WHERE id = 4; DELETE FROM item WHERE id = 4; INSERT INTO item VALUES (4, 2, 72, 5, 'many'); UPDATE item SET price = 7 WHERE id = 4;
		INSERT INTO item VALUES (301, 1, 1, 1, 'gone'); DELETE FROM item WHERE id = 301; UPDATE part SET qty = 5 WHERE item_id = 4; UPDATE part SET qty = 6 WHERE item_id = 4;}, qw(filter project group_by global_aggregate latest window) ],
	'there and back' => [ 'same', q{UPDATE item SET qty = qty + 1, grp = grp + 1; UPDATE item SET qty = qty - 1, grp = grp - 1; INSERT INTO part VALUES (1, 'r', 1); DELETE FROM part WHERE k = 'r';} ],
	'rollback' => [ 'same', q{BEGIN; UPDATE item SET qty = 0; DELETE FROM part; INSERT INTO place VALUES ('r', 1, 1); ROLLBACK;} ],
	'savepoints' => [ 'any', q{
		BEGIN; INSERT INTO item VALUES (201, 1, 44, 7, 'kept'); SAVEPOINT a; DELETE FROM item WHERE id < 20; INSERT INTO item VALUES (202, 1, 45, 7, 'undone'); ROLLBACK TO a;
		SAVEPOINT b; UPDATE item SET qty = 46 WHERE id = 201; SAVEPOINT c; INSERT INTO part VALUES (201, 's', 1); RELEASE c; RELEASE b; COMMIT;}, qw(filter project bag join2 group_by global_aggregate union_all latest window left_join) ],
	'COPY' => [ 'any', "COPY item (id, grp, qty, price, name) FROM stdin;\n401\t1\t13\t2.5\tcopied\n402\t\\N\t50\t3.5\t\\N\n\\.\nCOPY part FROM stdin;\n401\tc\t1\n401\tc\t1\n\\.\n", qw(filter project bag join2 group_by global_aggregate union_all window left_join) ],
	'ON CONFLICT' => [ 'any', q{
		INSERT INTO item VALUES (401, 2, 14, 2.5, 'upserted'), (403, 2, 90, 2.5, 'first') ON CONFLICT (id) DO UPDATE SET qty = excluded.qty, name = excluded.name;
		INSERT INTO item VALUES (401, 9, 9, 9, 'ignored') ON CONFLICT DO NOTHING;}, qw(filter project group_by global_aggregate window) ],
	'MERGE' => [ 'any', q{
		MERGE INTO item t USING (SELECT generate_series(400, 406) AS id) s ON t.id = s.id WHEN MATCHED AND t.id = 402 THEN DELETE WHEN MATCHED THEN UPDATE SET qty = t.qty + 1 WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.id % 3, 5, 5, 'merged');},
		qw(filter project group_by global_aggregate window) ],
	'prepared and not decided' => [ 'same', q{BEGIN; UPDATE item SET qty = 88 WHERE id = 401; INSERT INTO part VALUES (401, 'p', 2); PREPARE TRANSACTION 'constructs';} ],
	'committed what was prepared' => [ 'any', q{COMMIT PREPARED 'constructs';}, qw(filter project bag join2 group_by) ],
	'TRUNCATE and new rows in one transaction' => [ 'any', q{BEGIN; CREATE TEMP TABLE again AS SELECT * FROM part; TRUNCATE part; INSERT INTO part SELECT item_id, k, (qty + 1) % 3 FROM again WHERE k <> 'c'; DROP TABLE again; COMMIT;}, qw(bag join2 bag_self_join group_by_two) ],
	'TRUNCATE, then new rows' => [ 'any', q{CREATE TEMP TABLE again AS SELECT * FROM item; TRUNCATE item; INSERT INTO item SELECT id, grp, qty - 1, price + 1, name, at FROM again; DROP TABLE again;}, qw(filter project group_by global_aggregate window) ],
	'everything at once' => [ 'changed', q{
		UPDATE item SET grp = (coalesce(grp, 0) + 1) % 4, qty = 100 - coalesce(qty, 0), at = at + interval '2 minutes', price = price * 2, id = id + 5000; INSERT INTO item VALUES (1, 1, 5, 5, 'ghost'), (2, 2, 6, 6, 'b'), (3, 3, 7, 7, NULL), (4, 0, 8, 8, 'm'), (5, 1, 35, 9, 'n'), (6, 2, 36, 9, 'o');
		DELETE FROM part WHERE qty = 2; INSERT INTO part SELECT i % 8, 'e', i % 4 FROM generate_series(1, 33) i;
		UPDATE place SET grp = (coalesce(grp, 0) + 3) % 4, big = big / 2; INSERT INTO place VALUES ('e1', 1, 1), ('e2', 2, 2), ('e3', 3, 3), ('e0', 0, 200000000000);} ]);

my %query = @constructs;
my @names = grep { exists $query{$_} } @constructs[ map { 2 * $_ } 0 .. $#constructs / 2 ];
foreach my $name (@names)
{
	my ($status, $out, $err) = $node->psql('postgres', "SELECT dyntable_create('dt_$name', \$q\$$query{$name}\$q\$, 'downstream', 'incremental')");
	is($status, 0, "$name: is incremental") or diag $err;
	$query{$name} = undef if $status != 0;
}

sub compare_sql
{
	my ($name) = @_;
	return "WITH asked AS MATERIALIZED ($query{$name}), held AS MATERIALIZED (TABLE dt_$name) "
	  . "SELECT 'C', (SELECT count(*) FROM held), (SELECT coalesce(sum(hashtextextended(held::text, 0)), 0) FROM held), "
	  . "(SELECT count(*) FROM (TABLE asked EXCEPT ALL TABLE held) x), (SELECT count(*) FROM (TABLE held EXCEPT ALL TABLE asked) x);\n";
}

my %content;

# Refresh and compare every table; returns the names whose content has changed.
sub oracle
{
	my ($what, $level) = @_;
	my $sql = '';
	foreach my $name (grep { defined $query{$_} } @names)
	{
		$sql .= "\\echo \@ $name\nBEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 'R', name, action FROM dyntable_refresh('dt_$name');\n" . compare_sql($name) . "COMMIT;\n" if $level eq 'repeatable';
		$sql .= "\\echo \@ $name\nSELECT 'R', name, action FROM dyntable_refresh('dt_$name');\n" . compare_sql($name) . "SELECT 'V', missing, unexpected FROM dyntable_verify('dt_$name');\n" if $level eq 'committed';
	}
	my $output = DynTest::run_script($node, $sql, 'oracle');
	my (%changed, $bad, %action);
	foreach my $section (split(/^@ /m, $output))
	{
		next if $section !~ /^(\w+)\n(.*)$/s;
		my ($name, $text) = ($1, $2);
		$action{$1}++ if $text =~ /^R\|\S*dt_$name\|(\w+)$/m;
		if ($text !~ /^C\|(\d+)\|(-?\d+)\|(\d+)\|(\d+)$/m || $text =~ /ERROR:|WARNING:/)
		{
			fail("$name after $what");
			diag $text;
			$bad = 1;
			next;
		}
		my ($rows, $hash, $missing, $unexpected) = ($1, $2, $3, $4);
		($missing, $unexpected) = ($1, $2) if !$missing && !$unexpected && $text =~ /^V\|(\d+)\|(\d+)$/m;
		if ($missing || $unexpected || !$rows)
		{
			fail("$name after $what");
			diag "$rows rows, $missing missing, $unexpected unexpected";
			$bad = 1;
		}
		$changed{$name} = 1 if exists $content{$name} && $content{$name} ne $hash;
		$content{$name} = $hash;
	}
	ok(!$bad, "$what, $level: every table holds what its query returns");
	note join(', ', map { "$_ $action{$_}" } sort keys %action);
	return (\%changed, \%action);
}

oracle('the first fill', 'repeatable');
my $round = 0;
for (my $i = 0; $i < @changes; $i += 2)
{
	my ($what, $change) = @changes[ $i, $i + 1 ];
	my ($expected, $sql, @must) = @$change;
	my $output = DynTest::run_script($node, $sql, 'change');
	unlike($output, qr/ERROR/, "$what is done");
	my ($changed, $action) = oracle($what, $round++ % 2 ? 'committed' : 'repeatable');
	my %exempt = map { /^(\w+) same$/ ? ($1 => 1) : () } @must;
	@must = grep { !/ same$/ } @must;
	@must = grep { !$exempt{$_} } @names if $expected eq 'changed';
	my @missed = grep { defined $query{$_} && !$changed->{$_} } @must;
	is("@missed", '', "$what changed " . ($expected eq 'changed' ? 'every result' : 'what it should'));
	is(join(' ', sort keys %$changed), '', "$what changed no result") if $expected eq 'same';
	ok(!$action->{FULL} && !$action->{REINITIALIZE}, "$what was followed incrementally") or diag join(', ', map { "$_ $action->{$_}" } sort keys %$action)
	  if $what !~ /TRUNCATE/;
}

# Time passes and nothing is written: a row leaves by the clock alone, after a
# comparison that must have seen it, however slow the machine is just now.
my $started = time;
oracle('nothing', 'repeatable');
my $later = sprintf("interval '%d seconds'", 2 + 3 * (time - $started));
$node->safe_psql('postgres', "INSERT INTO item VALUES (9001, 1, 55, 5, 'leaving', clock_timestamp() - interval '1 day' + $later), (9002, 2, 56, 5, 'coming', clock_timestamp() + interval '1 day' + $later)");
oracle('insert before the bound', 'repeatable');
$node->poll_query_until('postgres', "SELECT clock_timestamp() > (SELECT at FROM item WHERE id = 9001) + interval '1 day'") or die;
my ($changed) = oracle('the clock passing the bound', 'repeatable');
ok($changed->{$_}, "$_ changed by the clock alone") foreach qw(moving moving_aggregate moving_in_aggregate);
$node->stop;
done_testing();
