# Metamorphic checks: a definition and its rewriting are two dynamic tables with
# the same rows after every batch of changes, both of them incremental.
#
# First what people rewrite by hand; then random definitions (random/Generator.pm), each
# against what it is equal to whatever it says: wrapped in a CTE, split into the
# rows for which a condition holds and those for which it does not, its duplicates
# removed by DISTINCT and by GROUP BY.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl", "$FindBin::RealBin/../random";
use Changes;
use Dice;
use DynTest;
use Generator;
use Test::More;

my $seed = $ENV{DYNTABLE_SEED} || 20261122;
my $rounds = 6;
my $node = DynTest::new_node('metamorphic', 'fsync = off', 'jit = off');
$node->safe_psql('postgres', 'CREATE EXTENSION citext');
my $changes = Changes->new('p1', Dice->new($seed, 'metamorphic'));
my $output = DynTest::run_script($node, $changes->setup, 'setup');
die $output if $output =~ /ERROR/;

my @pairs = (
	[ 'the order of joins',
		'SELECT b1.id, b2.num, b5.a FROM p1.b1 JOIN p1.b2 ON b1.k = b2.k JOIN p1.b5 ON b5.k = b2.k',
		'SELECT b1.id, b2.num, b5.a FROM p1.b5 JOIN (p1.b2 JOIN p1.b1 ON b2.k = b1.k) ON b2.k = b5.k' ],
	[ 'the order of outer joins',
		'SELECT b1.id, b2.num, b5.a FROM p1.b1 LEFT JOIN p1.b2 ON b1.k = b2.k LEFT JOIN p1.b5 ON b5.g = b1.g',
		'SELECT b1.id, b2.num, b5.a FROM p1.b5 RIGHT JOIN p1.b1 ON b5.g = b1.g LEFT JOIN p1.b2 ON b1.k = b2.k' ],
	[ 'nested outer joins',
		'SELECT b1.id, b2.num, b5.a FROM p1.b1 LEFT JOIN (p1.b2 LEFT JOIN p1.b5 ON b5.k = b2.k) ON b1.k = b2.k',
		'SELECT b1.id, b2.num, b5.a FROM p1.b1 LEFT JOIN p1.b2 ON b1.k = b2.k LEFT JOIN p1.b5 ON b5.k = b2.k' ],
	[ 'WHERE against ON',
		"SELECT b1.id, b2.s FROM p1.b1, p1.b2 WHERE b1.k = b2.k AND b1.a > 5 AND b2.s <> 'a'",
		"SELECT b1.id, b2.s FROM p1.b1 JOIN p1.b2 ON b1.k = b2.k AND b1.a > 5 AND b2.s <> 'a'" ],
	[ 'a condition on the side of NULLs',
		'SELECT b1.id, b2.num FROM p1.b1 LEFT JOIN p1.b2 ON b1.k = b2.k WHERE b2.num > 3',
		'SELECT b1.id, b2.num FROM p1.b1 JOIN p1.b2 ON b1.k = b2.k AND b2.num > 3' ],
	[ 'FULL JOIN in three parts',
		'SELECT b3.k AS l, b4.k AS r FROM p1.b3 FULL JOIN p1.b4 ON b3.k = b4.k',
		'SELECT b3.k AS l, b4.k AS r FROM p1.b3 JOIN p1.b4 ON b3.k = b4.k UNION ALL SELECT k, NULL FROM p1.b3 WHERE NOT EXISTS (SELECT FROM p1.b4 WHERE b4.k = b3.k) '
		  . 'UNION ALL SELECT NULL, k FROM p1.b4 WHERE NOT EXISTS (SELECT FROM p1.b3 WHERE b3.k = b4.k)' ],
	[ 'a CTE in its place',
		'WITH w AS (SELECT k, count(*) AS n FROM p1.b3 GROUP BY k) SELECT x.k, x.n, y.n AS m FROM w x JOIN w y ON x.k = y.k + 1',
		'SELECT x.k, x.n, y.n AS m FROM (SELECT k, count(*) AS n FROM p1.b3 GROUP BY k) x JOIN (SELECT k, count(*) AS n FROM p1.b3 GROUP BY k) y ON x.k = y.k + 1' ],
	[ 'IN against EXISTS',
		'SELECT id, k FROM p1.b1 WHERE k IN (SELECT k FROM p1.b4 WHERE f)',
		'SELECT id, k FROM p1.b1 WHERE EXISTS (SELECT FROM p1.b4 WHERE b4.k = b1.k AND f)' ],
	[ 'NOT IN, its rule of NULLs written out',
		'SELECT id, g FROM p1.b1 WHERE g NOT IN (SELECT a FROM p1.b3 WHERE a < 4)',
		'SELECT id, g FROM p1.b1 WHERE NOT EXISTS (SELECT FROM p1.b3 WHERE a < 4 AND (b3.a = b1.g) IS NOT FALSE)' ],
	[ 'IN against a join',
		'SELECT id, k FROM p1.b1 WHERE k IN (SELECT k FROM p1.b4)',
		'SELECT b1.id, b1.k FROM p1.b1 JOIN (SELECT DISTINCT k FROM p1.b4) x ON x.k = b1.k' ],
	[ 'a scalar subquery against a join',
		'SELECT id, (SELECT count(*) FROM p1.b4 WHERE b4.k = b1.k) AS n FROM p1.b1',
		'SELECT id, coalesce(n, 0) AS n FROM p1.b1 LEFT JOIN (SELECT k, count(*) AS n FROM p1.b4 GROUP BY k) x ON x.k = b1.k' ],
	[ 'a scalar subquery against LATERAL',
		'SELECT id, (SELECT max(num) FROM p1.b4 WHERE b4.k <= b1.g) AS m FROM p1.b1',
		'SELECT id, x.m FROM p1.b1, LATERAL (SELECT max(num) AS m FROM p1.b4 WHERE b4.k <= b1.g) x' ],
	[ 'ALL against an aggregate',
		'SELECT id FROM p1.b1 WHERE a >= ALL (SELECT a FROM p1.b5 WHERE a IS NOT NULL AND b5.g = b1.g)',
		'SELECT id FROM p1.b1 WHERE (SELECT count(*) FROM p1.b5 WHERE a IS NOT NULL AND b5.g = b1.g) = 0 OR a >= (SELECT max(a) FROM p1.b5 WHERE b5.g = b1.g)' ],
	[ 'UNION ALL split',
		'SELECT id, k FROM p1.b1',
		'SELECT id, k FROM p1.b1 WHERE k < 9 UNION ALL SELECT id, k FROM p1.b1 WHERE (k < 9) IS NOT TRUE' ],
	[ 'partitions in place of the table',
		'SELECT id, k, g FROM p1.b6',
		'SELECT id, k, g FROM p1.b6 WHERE k < 8 UNION ALL SELECT id, k, g FROM p1.b6 WHERE k BETWEEN 8 AND 15 UNION ALL SELECT id, k, g FROM p1.b6 WHERE k > 15' ],
	[ 'DISTINCT against GROUP BY',
		'SELECT DISTINCT k, s FROM p1.b3',
		'SELECT k, s FROM p1.b3 GROUP BY k, s' ],
	[ 'UNION against DISTINCT over UNION ALL',
		'SELECT k, s FROM p1.b3 UNION SELECT k, s FROM p1.b5',
		'SELECT DISTINCT k, s FROM (SELECT k, s FROM p1.b3 UNION ALL SELECT k, s FROM p1.b5) x' ],
	[ 'INTERSECT against grouping',
		'SELECT k FROM p1.b3 INTERSECT SELECT k FROM p1.b4',
		'SELECT k FROM (SELECT k, 1 AS l, 0 AS r FROM p1.b3 UNION ALL SELECT k, 0, 1 FROM p1.b4) x GROUP BY k HAVING sum(l) > 0 AND sum(r) > 0' ],
	[ 'EXCEPT against grouping',
		'SELECT k FROM p1.b3 EXCEPT SELECT k FROM p1.b4',
		'SELECT k FROM (SELECT k, 1 AS l, 0 AS r FROM p1.b3 UNION ALL SELECT k, 0, 1 FROM p1.b4) x GROUP BY k HAVING sum(l) > 0 AND sum(r) = 0' ],
	[ 'LIMIT against row_number',
		'SELECT id, k FROM p1.b1 ORDER BY a DESC NULLS LAST, id LIMIT 7 OFFSET 2',
		'SELECT id, k FROM (SELECT id, k, row_number() OVER (ORDER BY a DESC NULLS LAST, id) AS n FROM p1.b1) x WHERE n BETWEEN 3 AND 9' ],
	[ 'WITH TIES against rank',
		'SELECT id, g FROM p1.b1 ORDER BY g FETCH FIRST 5 ROWS WITH TIES',
		'SELECT id, g FROM (SELECT id, g, rank() OVER (ORDER BY g) AS n FROM p1.b1) x WHERE n <= 5' ],
	[ 'DISTINCT ON against row_number',
		'SELECT DISTINCT ON (k) k, id, a FROM p1.b1 ORDER BY k, a DESC, id',
		'SELECT k, id, a FROM (SELECT k, id, a, row_number() OVER (PARTITION BY k ORDER BY a DESC, id) AS n FROM p1.b1) x WHERE n = 1' ],
	[ 'a window against a join with the groups',
		'SELECT id, g, count(*) OVER (PARTITION BY g) AS n FROM p1.b1',
		'SELECT b1.id, b1.g, x.n FROM p1.b1 JOIN (SELECT g, count(*) AS n FROM p1.b1 GROUP BY g) x ON x.g IS NOT DISTINCT FROM b1.g' ],
	[ 'FILTER against CASE',
		'SELECT g, count(*) FILTER (WHERE a > 10) AS n, sum(a) FILTER (WHERE f) AS t FROM p1.b1 GROUP BY g',
		'SELECT g, count(CASE WHEN a > 10 THEN 1 END) AS n, sum(CASE WHEN f THEN a END) AS t FROM p1.b1 GROUP BY g' ],
	[ 'ROLLUP in parts',
		'SELECT k, g, count(*) AS n FROM p1.b4 GROUP BY ROLLUP (k, g)',
		'SELECT k, g, count(*) AS n FROM p1.b4 GROUP BY k, g UNION ALL SELECT k, NULL, count(*) FROM p1.b4 GROUP BY k UNION ALL SELECT NULL, NULL, count(*) FROM p1.b4' ],
	[ 'HAVING against a subquery',
		'SELECT k, count(*) AS n FROM p1.b3 GROUP BY k HAVING count(*) > 1',
		'SELECT k, n FROM (SELECT k, count(*) AS n FROM p1.b3 GROUP BY k) x WHERE n > 1' ],
	[ 'count(DISTINCT) against two levels',
		'SELECT g, count(DISTINCT s) AS n FROM p1.b1 GROUP BY g',
		'SELECT g, count(s) AS n FROM (SELECT DISTINCT g, s FROM p1.b1) x GROUP BY g' ],
	[ 'unnest in FROM against the select list',
		'SELECT k, e FROM p1.b3, unnest(arr) e',
		'SELECT k, unnest(arr) AS e FROM p1.b3' ],
	[ 'a closure against its steps',
		'WITH RECURSIVE w(o, n, d) AS (SELECT k, g, 1 FROM p1.b4 WHERE k < 6 UNION SELECT w.o, e.g, w.d + 1 FROM w JOIN p1.b4 e ON e.k = w.n WHERE w.d < 2) SELECT o, n FROM w',
		'SELECT o, n FROM (SELECT k AS o, g AS n, 1 AS d FROM p1.b4 WHERE k < 6 UNION SELECT a.k, b.g, 2 FROM p1.b4 a JOIN p1.b4 b ON b.k = a.g WHERE a.k < 6) x' ]);

# Random definitions that have rows, some of which the batches should leave, with what each is equal to.
sub random_pairs
{
	my ($wanted) = @_;
	my @found;
	for (my $n = 1; @found < $wanted && $n < 500; $n++)
	{
		my $dice = Dice->new($seed, 'metamorphic', $n);
		my $d = Generator->new($dice, $changes->leaves)->definition($dice->pick(1, 2, 3));
		next if $d->{moving} || !$d->{must} || grep { $_ eq 'written_at' } @{ $d->{constructs} };
		my $rows = DynTest::run_script($node, "SET statement_timeout = '5s';\nSELECT count(*) FROM ($d->{sql}) q;\n", 'rows');
		next if $rows !~ /^(\d+)$/m || $1 < 4 || $1 > 400;
		my @columns = map { "q.$_" } @{ $d->{columns} };
		my $list = join(', ', @columns);
		my $condition = Generator->new($dice, $changes->leaves)->predicate([ map { { %$_, r => "q.$_->{n}" } } @{ $d->{cols} } ]);
		push @found, $dice->weighted(
			[ "random $n in a CTE", $d->{sql}, "WITH w AS MATERIALIZED ($d->{sql}) SELECT * FROM w" ] => 1,
			[ "random $n split", $d->{sql}, "SELECT * FROM ($d->{sql}) q WHERE $condition UNION ALL SELECT * FROM ($d->{sql}) q WHERE ($condition) IS NOT TRUE" ] => 3,
			[ "random $n distinct", "SELECT DISTINCT * FROM ($d->{sql}) q", "SELECT $list FROM ($d->{sql}) q GROUP BY $list" ] => 2);
	}
	return @found;
}
push @pairs, random_pairs(30);

my @made;
foreach my $i (0 .. $#pairs)
{
	my ($what, @queries) = @{ $pairs[$i] };
	my $mode = $queries[2] // 'incremental';
	my $sql = join('', map { "SELECT dyntable_create('p1.m_${i}_$_', \$query\$$queries[$_]\$query\$, 'downstream', '$mode');\n" } 0, 1);
	my $made = DynTest::run_script($node, "SET client_min_messages = error;\n$sql", 'create');
	unlike($made, qr/ERROR/, "$what: both are incremental") or diag join("\n", @queries);
	push @made, $i if $made !~ /ERROR/;
}
my (%content, %has_changed, %has_rows);
foreach my $round (1 .. $rounds)
{
	my $batch = DynTest::run_script($node, $changes->batch, 'batch');
	die $batch if $batch =~ /ERROR/;
	my $sql = "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM dyntable_refresh(VARIADIC ARRAY[" . join(', ', map { ("'p1.m_${_}_0'", "'p1.m_${_}_1'") } @made) . "]);\n";
	foreach my $i (@made)
	{
		my ($l, $r) = map { "TABLE p1.m_${i}_$_" } 0, 1;
		$sql .= "SELECT 'M', $i, (SELECT count(*) FROM ($l EXCEPT ALL $r) x), (SELECT count(*) FROM ($r EXCEPT ALL $l) x), (SELECT count(*) FROM ($l) x), "
		  . "(SELECT coalesce(sum(hashtextextended(x::text, 0)), 0) FROM ($l) x);\n";
	}
	my $compared = DynTest::run_script($node, "$sql COMMIT;\n", 'compare');
	unlike($compared, qr/ERROR|WARNING/, "round $round: all are refreshed") or diag $compared;
	my %result = map { /^M\|(\d+)\|(\d+)\|(\d+)\|(\d+)\|(-?\d+)$/ ? ($1 => [ $2, $3, $4, $5 ]) : () } split(/\n/, $compared);
	foreach my $i (@made)
	{
		my ($more, $less, $rows, $hash) = @{ $result{$i} // [ 'nothing', 'nothing', 0, 0 ] };
		is("$more and $less", '0 and 0', "round $round, $pairs[$i][0]: the same rows") or diag join("\n", @{ $pairs[$i] }[ 1, 2 ]);
		$has_rows{$i} = 1 if $rows > 0;
		$has_changed{$i} = 1 if exists $content{$i} && $content{$i} ne $hash;
		$content{$i} = $hash;
	}
}
is(join(', ', map { $pairs[$_][0] } grep { !$has_rows{$_} } @made), '', 'each result had rows');
cmp_ok(scalar(keys %has_changed), '>=', @made * 0.95, 'the batches changed nearly all results');
$node->stop;
done_testing();
