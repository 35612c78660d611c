# Random recursive queries over random graphs that random changes tear apart and
# put together: after each refresh each table must hold what its query returns.
#
#   DYNTABLE_SEED         default 20261122
#   DYNTABLE_DEFINITIONS  default 60, in passes of 12 over a graph each
#   DYNTABLE_REFRESHES    default 12 times with changes before
#   DYNTABLE_PASS         run this pass only (a failure tells its number)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl", "$FindBin::RealBin/../random";
use Dice;
use DynTest;
use Test::More;

my $seed = $ENV{DYNTABLE_SEED} || 20261122;
my $definitions = $ENV{DYNTABLE_DEFINITIONS} || 60;
my $refreshes = $ENV{DYNTABLE_REFRESHES} || 12;
my $per_pass = 12;
my $node = DynTest::new_node('random_recursion', 'fsync = off', 'jit = off');
DynTest::wait_capture($node);

my %count = (map { $_ => 0 } qw(compared nonempty changed failures definitions rounds));
my $pass = $ENV{DYNTABLE_PASS} || 1;
while ($count{definitions} < $definitions)
{
	run_pass($pass++);
	last if $ENV{DYNTABLE_PASS};
}
is($count{failures}, 0, "every recursive table holds what its query returns (seed $seed)");
cmp_ok($count{nonempty}, '>=', 0.8 * $count{compared}, 'enough results are not empty');
cmp_ok($count{changed}, '>=', 0.4 * $count{compared}, 'enough results have changed');
cmp_ok($count{rounds}, '>=', 0.5 * $count{compared}, 'enough refreshes followed the changes, and did not compute anew')
  if $definitions >= 60 && !$ENV{DYNTABLE_PASS};
DynTest::summary(sprintf('random recursion: seed %d, %d definitions, %d comparisons, %d not empty, %d changed, %d went round by round',
	$seed, @count{qw(definitions compared nonempty changed rounds)}));
$node->stop;
done_testing();

# --- definitions -----------------------------------------------------------

# A query that ends for any graph, or, where so said, for one in which no cycle is
# reached from table start.
sub definition
{
	my ($dice, $vertices, $acyclic) = @_;
	my $all = $dice->chance($acyclic ? 0.8 : 0.4);
	my $free = $all && $acyclic;
	my $counts = !$free && ($all || $dice->chance(0.4));	# rows carry the number of their round, which ends them
	my $most = $dice->range(2, $all ? 3 : 6);
	my $edges = $dice->weighted('edge' => 6, '(SELECT a, b, w FROM edge WHERE w > 1)' => 2,
		'(SELECT a, b, w FROM edge UNION ALL SELECT b, a, w FROM edge)' => 2,
		'(SELECT DISTINCT a, b, 1 AS w FROM edge)' => 2, '(SELECT a, max(b) AS b, count(*)::int AS w FROM edge GROUP BY a)' => 1);
	$edges = $dice->pick('edge', 'edge', '(SELECT a, b, w FROM edge WHERE w > 1)', '(SELECT DISTINCT a, b, 1 AS w FROM edge)') if $free;
	my $seed = $dice->weighted('SELECT a, 0 FROM start' => 5, 'SELECT b, 0 FROM edge WHERE w = 3' => 2, 'SELECT a, a FROM edge' => 2,
		'SELECT a, count(*)::int FROM edge GROUP BY a HAVING count(*) > 1' => 1, 'VALUES (1, 0), (2, 1), (NULL, 0)' => 1,
		'SELECT s.a, l.v FROM start s LEFT JOIN label l ON l.k = s.a' => 2);
	$seed = "SELECT a, 0 FROM ($seed) s(a, n)" if $counts;
	$seed = $dice->pick('SELECT a, 0 FROM start', 'SELECT s.a, l.v FROM start s LEFT JOIN label l ON l.k = s.a') if $free;
	my $n = $counts ? 'r.n + 1' : $dice->pick('r.n', 'r.n', 'e.w', 'least(r.n, e.w)');
	my ($join, $on) = $free ? ('JOIN', 'e.a = r.x') : $dice->chance(0.15) ? ('LEFT JOIN', 'e.a = r.x') : ('JOIN', $dice->weighted('e.a = r.x' => 6, 'e.a = r.x AND e.b <> r.x' => 2, 'e.a = r.x + 1' => 1));
	my $step = "r $join $edges e ON $on";
	my @where = $counts ? ("r.n < $most") : ();
	$step .= ' JOIN label l ON l.k = e.b' if $dice->chance(0.2);
	$step .= ' CROSS JOIN LATERAL generate_series(e.b, e.b + (e.w > 2)::int) g' if my $series = !$free && $dice->chance(0.1);
	$step .= ' LEFT JOIN label m ON m.k = e.b' if my $label = $dice->chance(0.15);
	push @where, $dice->pick('e.w < 3', 'e.b IS NOT NULL', 'coalesce(m.v, 1) < 3', 'r.x % 2 = 0') if $label || $dice->chance(0.2);
	@where = grep { $label || !/m\.v/ } @where;
	my $to = $series ? "least(g, $vertices)" : 'e.b';
	my $where = @where ? ' WHERE ' . join(' AND ', @where) : '';
	my $with = sprintf('WITH RECURSIVE r(x, n) AS (%s UNION %sSELECT %s, %s FROM %s%s)', $seed, $all ? 'ALL ' : '', $to, $n, $step, $where);
	return $dice->weighted("$with SELECT x, n FROM r" => 5, "$with SELECT n, count(*) AS c, sum(x) AS s, max(x) AS m FROM r GROUP BY n" => 2,
		"$with SELECT r.x, l.v, l.k FROM r LEFT JOIN label l ON l.k = r.x" => 2, "$with SELECT l.k FROM label l LEFT JOIN r ON r.x = l.k WHERE r.x IS NULL" => 1,
		"$with SELECT a.x, b.n FROM r a JOIN r b ON a.x = b.x AND a.n <= b.n" => 1, "$with SELECT DISTINCT x FROM r WHERE n IS NOT NULL" => 1,
		"$with, t AS (SELECT x, count(*) AS c FROM r GROUP BY x), u(x, i) AS (SELECT x, 0 FROM t UNION ALL SELECT x, i + 1 FROM u WHERE i < 2) SELECT x, i FROM u" => 1);
}

# --- changes -----------------------------------------------------------------

sub vertex
{
	my ($dice, $vertices) = @_;
	return $dice->chance(0.04) ? 'NULL' : $dice->range(1, $vertices);
}

sub change
{
	my ($dice, $v, $acyclic) = @_;
	my ($x, $y) = (vertex($dice, $v), vertex($dice, $v));
	my $some = sub { my ($table, $n) = @_; return "ctid IN (SELECT ctid FROM $table ORDER BY md5(ctid::text || '" . $dice->range(1, 1000000) . "') LIMIT $n)" };
	return $dice->weighted(
		'CALL cut_and_close(' . $dice->range(1, 1000000) . ')' => $acyclic ? 6 : 1,
		'INSERT INTO edge SELECT max(a), ' . $dice->range(1, $v) . ', 2 FROM start' => $acyclic ? 6 : 0,
		"INSERT INTO edge VALUES ($x, $y, " . $dice->range(1, 4) . ')' => 9,
		'DELETE FROM edge WHERE ' . $some->('edge', 1) => 7,
		"UPDATE edge SET a = $x WHERE " . $some->('edge', 1) => 3,
		"UPDATE edge SET b = $y WHERE " . $some->('edge', 2) => 3,
		'UPDATE edge SET w = w % 4 + 1 WHERE ' . $some->('edge', 2) => 2,
		"INSERT INTO edge SELECT b, a, w FROM edge WHERE " . $some->('edge', 2) => 1,
		"DELETE FROM edge WHERE a = $x" => 1,
		"INSERT INTO start VALUES ($x)" => 2,
		'DELETE FROM start WHERE ' . $some->('start', 1) => 1,
		"INSERT INTO label VALUES ($x, " . $dice->range(1, 4) . ')' => 2,
		'DELETE FROM label WHERE ' . $some->('label', 1) => 1,
		'UPDATE label SET v = v % 4 + 1 WHERE ' . $some->('label', 1) => 1);
}

# A change, undone where a cycle can then be reached.
sub guarded
{
	my ($sql) = @_;
	return <<"SQL";
DO \$do\$ BEGIN
    $sql;
    IF EXISTS (WITH RECURSIVE c AS (SELECT a AS x FROM start UNION SELECT e.b FROM c JOIN edge e ON e.a = c.x),
            p AS (SELECT e.a, e.b FROM edge e JOIN c ON c.x = e.a UNION SELECT p.a, e.b FROM p JOIN edge e ON e.a = p.b)
            SELECT FROM p WHERE a = b) THEN
        RAISE EXCEPTION USING ERRCODE = 'DY999';
    END IF;
EXCEPTION WHEN SQLSTATE 'DY999' THEN NULL;
END \$do\$;
SQL
}

# --- a pass ------------------------------------------------------------------

sub script
{
	my ($sql, $what) = @_;
	my $output = DynTest::run_script($node, "SET client_min_messages = error;\nSET statement_timeout = '60s';\n$sql");
	if ($output =~ /ERROR:|FATAL:|connection to server/)
	{
		$count{failures}++;
		diag "seed $seed, $what:\n$output";
	}
	return $output;
}

sub run_pass
{
	my ($number) = @_;
	my $dice = Dice->new($seed, $number, 'graph');
	my $v = $dice->range(5, 14);
	my $acyclic = $number % 2;
	my $s = "r$number";
	my (%query, %content);
	my $sql = "CREATE SCHEMA $s; SET search_path = $s, public; CREATE TABLE edge (a int, b int, w int); CREATE TABLE start (a int); CREATE TABLE label (k int, v int);\n";
	$sql .= 'CREATE INDEX ON edge (a); CREATE INDEX ON edge (b);' if $dice->chance(0.5);
	$sql .= "INSERT INTO start VALUES (1), (1), (3);\n";
	foreach (1 .. $v * $dice->range(8, 13) / 10)
	{
		my ($from, $to) = (vertex($dice, $v), vertex($dice, $v));
		($from, $to) = sort { $a <=> $b } ($from, $to + 1) if $acyclic && "$from$to" !~ /NULL/;
		my $insert = sprintf('INSERT INTO edge VALUES (%s, %s, %d)', $from, $to, $dice->range(1, 4));
		$sql .= $acyclic ? guarded($insert) : "$insert;\n";
	}
	$sql .= sprintf("INSERT INTO label VALUES (%s, %d);\n", vertex($dice, $v), $dice->range(1, 4)) foreach 1 .. $v / 2;
	# an edge that is reached is so no longer, and becomes a cycle
	$sql .= <<'SQL';
CREATE PROCEDURE cut_and_close(seed int) LANGUAGE plpgsql AS $$
DECLARE
    e edge;
BEGIN
    WITH RECURSIVE c AS (SELECT a AS x FROM start UNION SELECT l.b FROM c JOIN edge l ON l.a = c.x)
    SELECT l.* INTO e FROM edge l JOIN c ON c.x = l.a WHERE l.a <> l.b AND NOT EXISTS (SELECT FROM start s WHERE s.a IN (l.a, l.b))
    ORDER BY md5(format('%s %s %s %s', l.a, l.b, l.w, seed)) LIMIT 1;
    DELETE FROM edge WHERE b IN (e.a, e.b) AND a NOT IN (e.a, e.b);
    INSERT INTO edge SELECT e.b, e.a, e.w WHERE e.a IS NOT NULL;
END $$;
SQL
	foreach my $i (1 .. $per_pass)
	{
		$query{"dt_$i"} = definition(Dice->new($seed, $number, 'definition', $i), $v, $acyclic);
		$sql .= "SELECT dyntable_create('dt_$i', \$query\$" . $query{"dt_$i"} . "\$query\$, 'downstream', 'incremental');\n";
	}
	script($sql, "pass $number, creation");
	$count{definitions} += $per_pass;
	foreach my $round (1 .. $refreshes)
	{
		my $batch_dice = Dice->new($seed, $number, 'batch', $round);
		my @changes = map { change($batch_dice, $v, $acyclic) } 1 .. $batch_dice->weighted(1 => 4, 2 => 3, 5 => 2, 15 => 1);
		my $batch = $acyclic ? "BEGIN;\n" . join('', map { guarded($_) } @changes) . "COMMIT;\n" : join(";\n", 'BEGIN', @changes, 'COMMIT') . ";\n";
		my @names = sort keys %query;
		my $check = "SET search_path = $s, public;\n$batch" . "BEGIN ISOLATION LEVEL REPEATABLE READ;\n";
		$check .= "SELECT 'S', '$_', string_agg(line, ' ') FROM dyntable_explain('$_') line WHERE line ~ 'WITH RECURSIVE r[0-9]+\\(';\n" foreach @names;
		$check .= 'SELECT 1 FROM dyntable_refresh(' . join(', ', map { "'$_'" } @names) . ");\n";
		$check .= "SELECT 'C', '$_', (SELECT count(*) FROM $_), (SELECT coalesce(sum(hashtextextended(t::text, 0)), 0) FROM $_ t),"
		  . " (SELECT count(*) FROM ($query{$_} EXCEPT ALL TABLE $_) x), (SELECT count(*) FROM (TABLE $_ EXCEPT ALL ($query{$_})) x);\n" foreach @names;
		my $output = script("$check COMMIT;\n", "pass $number, round $round");
		foreach my $line (split(/\n/, $output))
		{
			$count{rounds}++ if $line =~ /^S\|\w+\|$/;
			my ($name, $rows, $content, $missing, $unexpected) = $line =~ /^C\|(\w+)\|(\d+)\|(-?\d+)\|(\d+)\|(\d+)$/ or next;
			$count{compared}++;
			$count{nonempty}++ if $rows > 0;
			$count{changed}++ if !defined $content{$name} || $content{$name} ne $content;
			$content{$name} = $content;
			next if $missing + $unexpected == 0;
			$count{failures}++;
			diag "seed $seed, pass $number, round $round: $name has $missing rows less and $unexpected more than\n$query{$name}\nafter\n$batch";
			delete $query{$name};
		}
	}
	script("DROP SCHEMA $s CASCADE;", "pass $number, clean-up");
	return;
}
