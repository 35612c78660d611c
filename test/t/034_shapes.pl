# Every shape of table: keys of all kinds and none, replica identities that are
# another's, partitions, inheritance, sources that cannot be captured, changes
# that a subscription applies, columns that are not stored as they are written,
# and as many columns as a table can have.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $node = DynTest::new_node('shapes', 'autovacuum = off', 'fsync = off');

sub run { return $node->safe_psql('postgres', $_[0]); }

# Refresh all; these in the way that is expected, and then they are what their
# queries give, and not empty.
sub are_refreshed
{
	my ($what, $action, @names) = @_;
	my $list = join ', ', map { "'$_'" } @names;
	is(run(<<"SQL"), '', "$what: $action");
SELECT string_agg(name || ': ' || action || coalesce(' ' || reason, ''), ', ') FROM dyntable_refresh()
WHERE action <> '$action' AND name::text IN ($list)
SQL
	my $rows = join ' UNION ALL ', map { "SELECT '$_', count(*) FROM $_" } @names;
	is(run(<<"SQL"), '', "$what: no row differs");
SELECT string_agg(n || ': ' || missing || '|' || unexpected || ' of ' || c, ', ')
FROM ($rows) x(n, c), dyntable_verify(n::regclass) WHERE missing + unexpected > 0 OR c = 0
SQL
	return;
}

# ---- keys ----
my %keys = (
	none => '',
	pk => 'PRIMARY KEY (id)',
	deferrable => 'PRIMARY KEY (id) DEFERRABLE',
	deferred => 'UNIQUE (id) DEFERRABLE INITIALLY DEFERRED',
	nullable => 'UNIQUE (k)',
	nulls => 'UNIQUE NULLS NOT DISTINCT (k, id)',
	include => 'UNIQUE (id) INCLUDE (k)',
	exclude => 'EXCLUDE USING btree (id WITH =)',
	partial => [ '(k) WHERE id > 5' ],
	expression => [ '((id + 0))' ],
	mixed => [ '(id, (k + 1))' ]);
my @keyed;
foreach my $kind (sort keys %keys)
{
	my $key = $keys{$kind};
	run("CREATE TABLE key_$kind (id int NOT NULL, k int, t text" . ($key && !ref $key ? ", $key" : '') . ')');
	run("CREATE UNIQUE INDEX ON key_$kind $key->[0]") if ref $key;
	run(<<"SQL");
INSERT INTO key_$kind SELECT i, CASE WHEN i % 4 > 0 THEN i END, 't' || i FROM generate_series(1, 20) i;
SELECT dyntable_create('by_$kind', 'SELECT * FROM key_$kind', '1 day');
SELECT dyntable_create('k_$kind', 'SELECT k, t FROM key_$kind', '1 day');
SQL
	push @keyed, "by_$kind", "k_$kind";
}
run(<<"SQL") foreach sort keys %keys;
UPDATE key_$_ SET k = NULL WHERE id IN (5, 6);
UPDATE key_$_ SET id = id + 100, t = t || 'x' WHERE id > 15;
DELETE FROM key_$_ WHERE id IN (1, 4);
INSERT INTO key_$_ VALUES (1, NULL, 'back'), (200, 200, NULL);
SQL
# keys that are taken and given in one statement
run("UPDATE key_$_ SET id = CASE WHEN id < 10 THEN 10 - id ELSE id END") foreach qw(none deferrable deferred nullable partial);
run('INSERT INTO key_none SELECT * FROM key_none WHERE id < 4');
are_refreshed('keys', 'INCREMENTAL', @keyed);

# ---- replica identity ----
run(<<'SQL');
CREATE TABLE ident_d (id int PRIMARY KEY, t text);
CREATE TABLE ident_n (LIKE ident_d INCLUDING ALL);
CREATE TABLE ident_f (LIKE ident_d INCLUDING ALL);
CREATE TABLE ident_i (LIKE ident_d INCLUDING ALL);
CREATE TABLE ident_lost (LIKE ident_d INCLUDING ALL);
CREATE TABLE ident_later (LIKE ident_d INCLUDING ALL);
ALTER TABLE ident_n REPLICA IDENTITY NOTHING;
ALTER TABLE ident_f REPLICA IDENTITY FULL;
ALTER TABLE ident_i REPLICA IDENTITY USING INDEX ident_i_pkey;
CREATE UNIQUE INDEX ident_gone ON ident_lost (id);
ALTER TABLE ident_lost REPLICA IDENTITY USING INDEX ident_gone;
SQL
my @identities = map { "ident_$_" } qw(d n f i lost later);
foreach (@identities)
{
	run("INSERT INTO $_ SELECT i, 't' || i FROM generate_series(1, 9) i; SELECT dyntable_create('of_$_', 'SELECT * FROM $_', '1 day')");
	run("UPDATE $_ SET t = 'u' WHERE id < 4; DELETE FROM $_ WHERE id = 9");
}
sub identities { return run(q{SELECT string_agg(relreplident::text, '' ORDER BY relname) FROM pg_class WHERE relname IN (} . join(', ', map { "'$_'" } @identities) . ')'); }
are_refreshed('replica identity of others', 'INCREMENTAL', map { "of_$_" } @identities);
is(identities(), 'ffffff', 'all of them FULL');
# set by somebody else meanwhile: what was changed under it is lost to capture, not to the table
run(<<'SQL');
ALTER TABLE ident_later REPLICA IDENTITY USING INDEX ident_later_pkey;
UPDATE ident_later SET t = 'v' WHERE id > 4;
DROP INDEX ident_gone;
SQL
are_refreshed('an identity set meanwhile', 'REINITIALIZE', 'of_ident_later');
ok($node->poll_query_until('postgres', q{SELECT relreplident = 'f' FROM pg_class WHERE relname = 'ident_later'}), 'it is FULL again');
run('SELECT dyntable_refresh()');
run("UPDATE $_ SET t = t || 'w' WHERE id > 2") foreach @identities;
are_refreshed('after that', 'INCREMENTAL', map { "of_$_" } @identities);

# ---- partitions: leaves in another order, with columns that are gone, below several levels ----
run(<<'SQL');
CREATE TABLE tree (id int, k int, t text, at date) PARTITION BY RANGE (id);
CREATE TABLE tree_low PARTITION OF tree FOR VALUES FROM (0) TO (100) PARTITION BY LIST (k);
CREATE TABLE tree_low_1 PARTITION OF tree_low FOR VALUES IN (1);
CREATE TABLE tree_low_2 (gone int, t text, k int, at date, gone2 text, id int);
ALTER TABLE tree_low_2 DROP COLUMN gone, DROP COLUMN gone2;
ALTER TABLE tree_low ATTACH PARTITION tree_low_2 FOR VALUES IN (2);
CREATE TABLE tree_low_x PARTITION OF tree_low DEFAULT PARTITION BY HASH (t);
CREATE TABLE tree_low_h0 (at date, id int, t text, k int);
ALTER TABLE tree_low_x ATTACH PARTITION tree_low_h0 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE tree_low_h1 PARTITION OF tree_low_x FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE tree_rest PARTITION OF tree DEFAULT;
INSERT INTO tree SELECT i, i % 4, 't' || i, date '2026-01-01' + i FROM generate_series(1, 130) i;
SELECT dyntable_create('whole', 'SELECT id, k, t, at FROM tree', '1 day');
SELECT dyntable_create('branch', 'SELECT k, count(*) AS c, max(t) AS t FROM tree_low GROUP BY k', '1 day');
SELECT dyntable_create('leaf', 'SELECT id, t FROM tree_low_2', '1 day');
SELECT dyntable_create('twice', 'SELECT a.id, a.t, b.at FROM tree a JOIN tree_low_h0 b ON a.id = b.id', '1 day');
SQL
my @tree = qw(whole branch leaf twice);
run(<<'SQL');
UPDATE tree SET t = t || 'x' WHERE id % 3 = 0;
UPDATE tree SET k = 2 WHERE id IN (1, 3, 120);
UPDATE tree SET id = id + 100 WHERE id IN (2, 6, 7);
DELETE FROM tree WHERE id IN (10, 11, 12, 13);
INSERT INTO tree_low_2 (id, k, t) VALUES (50, 2, 'direct'), (51, 2, NULL);
UPDATE tree_low_h0 SET at = NULL WHERE id % 5 = 0;
UPDATE tree_low_h1 SET at = at + 1;
INSERT INTO tree VALUES (NULL, 1, 'to the default', NULL), (60, NULL, 'deep', NULL);
COPY tree (k, id, t) FROM PROGRAM 'printf "1\\t70\\tcopied\\n2\\t71\\tcopied\\n3\\t72\\tcopied\\n"';
SQL
are_refreshed('a tree', 'INCREMENTAL', @tree);
run(q{CREATE TABLE tree_high PARTITION OF tree FOR VALUES FROM (1000) TO (2000);
	INSERT INTO tree VALUES (1000, 1, 'high', NULL); UPDATE tree SET id = 1001 WHERE id = 20; UPDATE tree SET id = 21 WHERE id = 1000});
are_refreshed('a new partition', 'INCREMENTAL', 'whole');
run(q{CREATE TABLE filled (t text, x int, at date, id int, k int); ALTER TABLE filled DROP COLUMN x; INSERT INTO filled VALUES ('in', NULL, 2500, 2);
	ALTER TABLE tree ATTACH PARTITION filled FOR VALUES FROM (2000) TO (3000)});
are_refreshed('ATTACH of a filled partition', 'REINITIALIZE', 'whole');
run(q{UPDATE tree SET t = 'changed' WHERE id > 1000; INSERT INTO filled VALUES ('direct', NULL, 2501, 2); UPDATE tree SET id = 22 WHERE id = 2500});
are_refreshed('and changes to it', 'INCREMENTAL', 'whole');
run('ALTER TABLE tree DETACH PARTITION tree_rest');
run('ALTER TABLE tree DETACH PARTITION filled CONCURRENTLY');
are_refreshed('DETACH, CONCURRENTLY as well', 'REINITIALIZE', 'whole');
run(q{INSERT INTO filled VALUES ('no longer', NULL, 2502, 2); UPDATE tree SET t = 'still' WHERE id IN (21, 22); UPDATE tree_low_2 SET t = t || 'y' WHERE id < 60});
are_refreshed('what is left', 'INCREMENTAL', 'whole', 'branch', 'leaf');
ok($node->poll_query_until('postgres', q{SELECT relreplident = 'd' FROM pg_class WHERE relname = 'filled'}), 'the detached one has its identity back');
run('ALTER TABLE tree_low DETACH PARTITION tree_low_2');
are_refreshed('DETACH below a level', 'REINITIALIZE', 'whole', 'branch');
run(q{UPDATE tree_low_2 SET t = 'alone'; DELETE FROM tree WHERE id < 5});
are_refreshed('the leaf, which is read by itself', 'INCREMENTAL', 'leaf', 'whole');

# ---- what cannot be captured: full, with the reason, and stale without a captured change ----
run(<<'SQL');
CREATE EXTENSION postgres_fdw;
CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw;
CREATE USER MAPPING FOR CURRENT_USER SERVER here;
CREATE TABLE base (id int PRIMARY KEY, t text);
INSERT INTO base SELECT i, 't' || i FROM generate_series(1, 5) i;
CREATE TABLE parent (LIKE base);
CREATE TABLE child (extra int) INHERITS (parent);
CREATE TABLE other_child () INHERITS (child);
CREATE TABLE only_child (PRIMARY KEY (id)) INHERITS (parent);
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 0);
INSERT INTO only_child VALUES (3, 'o');
CREATE MATERIALIZED VIEW mat AS SELECT * FROM base;
CREATE UNLOGGED TABLE unlogged AS SELECT * FROM base;
CREATE TABLE split (id int, t text) PARTITION BY LIST (id);
CREATE TABLE split_1 PARTITION OF split FOR VALUES IN (1, 2, 3);
INSERT INTO split VALUES (1, 'here');
SQL
my ($host, $port) = ($node->host, $node->port);
run(<<"SQL");
ALTER SERVER here OPTIONS (host '$host', port '$port', dbname 'postgres');
CREATE FOREIGN TABLE far (id int, t text) SERVER here OPTIONS (table_name 'base');
CREATE FOREIGN TABLE split_far PARTITION OF split FOR VALUES IN (4, 5, 9) SERVER here OPTIONS (table_name 'base');
SQL
my %full = (
	far => [ 'FOREIGN_TABLE', 'SELECT id, t FROM far' ],
	split => [ 'FOREIGN_TABLE', 'SELECT id, t FROM split' ],
	mat => [ 'MATERIALIZED_VIEW', 'SELECT id, t FROM mat' ],
	parent => [ 'INHERITANCE', 'SELECT id, t FROM parent' ],
	only => [ 'INHERITANCE', 'SELECT id, t FROM ONLY parent' ],
	unlogged => [ 'UNLOGGED_SOURCE', 'SELECT id, t FROM unlogged' ],
	catalog => [ 'SYSTEM_CATALOG', 'SELECT relname FROM pg_class WHERE relname = $$base$$ AND relhasindex' ]);
foreach my $kind (sort keys %full)
{
	my ($code, $query) = @{ $full{$kind} };
	run("SELECT dyntable_create('full_$kind', \$q\$$query\$q\$, '1 second')");
	is(run("SELECT refresh_mode_reason_code FROM dyntable.dynamic_tables WHERE relid = 'full_$kind'::regclass"), $code, "$kind: $code");
}
run(q{SELECT dyntable_create('of_child', 'SELECT id, t FROM only_child', '1 day')});
run(<<'SQL');
BEGIN;
UPDATE base SET t = 'changed' WHERE id = 2;
INSERT INTO base VALUES (9, 'new');
INSERT INTO parent VALUES (9, 'new');
UPDATE ONLY parent SET t = 'changed' WHERE id = 1;
UPDATE parent SET t = t || 'x' WHERE id > 1;
INSERT INTO other_child VALUES (7, 'deep', 1);
UPDATE unlogged SET t = 'changed' WHERE id = 2;
INSERT INTO split VALUES (2, 'here too');
COMMIT;
REFRESH MATERIALIZED VIEW mat;
ALTER TABLE base RENAME TO base_now;
CREATE TABLE base (LIKE base_now INCLUDING ALL);
INSERT INTO base TABLE base_now;
SQL
# their lag is a second: the scheduler finds out by itself
foreach my $kind (grep { $_ ne 'catalog' } sort keys %full)
{
	my $query = $full{$kind}[1];
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM ((TABLE full_$kind EXCEPT ALL $query) UNION ALL ($query EXCEPT ALL TABLE full_$kind)) x"),
		"$kind: refreshed on schedule");
}
are_refreshed('full', 'FULL', map { "full_$_" } sort keys %full);
run('SELECT dyntable_drop(n) FROM unnest(ARRAY[' . join(', ', map { "'full_$_'" } keys %full) . ']) n');
run(q{UPDATE parent SET t = t || 'y'; INSERT INTO only_child VALUES (4, 'x')});
are_refreshed('a child by itself', 'INCREMENTAL', 'of_child');
my ($status, undef, $error) = $node->psql('postgres', q{CREATE TEMP TABLE temporary (i int); SELECT dyntable_create('t', 'SELECT i FROM temporary', '1 day')});
like($error, qr/cannot read temporary tables/, 'temporary tables are refused');

# ---- columns ----
run(<<'SQL');
CREATE TABLE cols (gone int, id int GENERATED ALWAYS AS IDENTITY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED,
	gone2 text, s serial, t text);
ALTER TABLE cols DROP COLUMN gone;
INSERT INTO cols (n, t) SELECT i, 't' || i FROM generate_series(1, 20) i;
ALTER TABLE cols DROP COLUMN gone2;
ALTER TABLE cols ADD COLUMN early int DEFAULT 7, ADD COLUMN early2 timestamptz DEFAULT clock_timestamp();
SELECT dyntable_create('all_cols', 'SELECT * FROM cols', '1 day');
SELECT dyntable_create('generated', 'SELECT id, twice FROM cols', '1 day');
UPDATE cols SET n = n + 1 WHERE id < 5;
UPDATE cols SET early = NULL WHERE id = 6;
DELETE FROM cols WHERE id = 7;
INSERT INTO cols (n, t) VALUES (NULL, '');
ALTER TABLE cols ADD COLUMN late text DEFAULT 'x';
INSERT INTO cols (n, t) VALUES (50, 'null');
UPDATE cols SET late = 'y' WHERE id = 8;
ALTER TABLE cols DROP COLUMN late;
UPDATE cols SET t = E'it''s "q"\n\\ ' WHERE id = 9;
SQL
are_refreshed('columns', 'INCREMENTAL', 'all_cols', 'generated');
run(q{ALTER TABLE cols ADD COLUMN later float8 DEFAULT random(); UPDATE cols SET n = 3 WHERE id = 10});
is(run(q{SELECT count(*) FROM dyntable_refresh('all_cols'), dyntable_verify('all_cols') WHERE missing + unexpected = 0}), '1', 'a column with a volatile default');
run(q{UPDATE cols SET n = 4 WHERE id = 10});
are_refreshed('and afterwards', 'INCREMENTAL', 'all_cols', 'generated');

# ---- as many columns as there can be ----
sub columns { my ($from, $to, $format) = @_; return join ', ', map { sprintf $format, $_, $_ } $from .. $to; }
foreach my $n (1600, 1598)
{
	run("CREATE TABLE wide_$n (" . columns(1, $n, 'c%d int') . "); INSERT INTO wide_$n (c1, c$n) SELECT i, i % 3 FROM generate_series(1, 9) i");
	run("INSERT INTO wide_$n (c1, c2) VALUES (3, 3), (3, 3)");
	run("SELECT dyntable_create('all_$n', 'SELECT * FROM wide_$n', '1 day'); SELECT dyntable_create('over_$n', 'SELECT c2, c$n FROM all_$n', '1 day')");
}
run('CREATE TABLE halves (id int PRIMARY KEY, ' . columns(1, 1599, 'c%d int') . '); INSERT INTO halves (id, c1) VALUES (1, 1), (2, 2)');
run("SELECT dyntable_create('half_a', 'SELECT id, " . columns(1, 800, 'c%d') . " FROM halves', '1 day')");
run("SELECT dyntable_create('half_b', 'SELECT id, " . columns(801, 1599, 'c%d') . " FROM halves', '1 day')");
run("SELECT dyntable_create('sums', 'SELECT c2, " . columns(3, 303, 'sum(c%d) AS s%d') . " FROM wide_1598 GROUP BY c2', '1 day')");
run("SELECT dyntable_create('more_sums', 'SELECT c2, " . columns(3, 603, 'sum(c%d) AS s%d') . " FROM wide_1598 GROUP BY c2', '1 day')");
run("SELECT dyntable_create('joined', 'SELECT a.c1, coalesce(" . columns(2, 900, 'a.c%d') . ', ' . columns(2, 900, 'b.c%d') . ") AS c FROM wide_1598 a LEFT JOIN wide_1600 b ON a.c1 = b.c1', '1 day')");
is(run(q{SELECT string_agg(name, ', ' ORDER BY name) FROM dyntable.dynamic_tables WHERE refresh_mode_reason_code = 'TOO_MANY_COLUMNS'}),
	'all_1600, half_b, joined, more_sums, over_1600', 'more columns than logs, state or statements can have');
run("UPDATE $_ SET c2 = 5, c1598 = 7 WHERE c1 = 2; DELETE FROM $_ WHERE ctid = (SELECT max(ctid) FROM $_); INSERT INTO $_ (c1, c5) VALUES (3, 9)") foreach qw(wide_1600 wide_1598);
run('UPDATE halves SET c1 = 5, c900 = 6');
are_refreshed('1,598 columns', 'INCREMENTAL', qw(all_1598 over_1598 half_a sums));
are_refreshed('1,600 columns', 'FULL', qw(all_1600 over_1600 half_b more_sums joined));

# ---- changes that a subscription applies: its first copy, and what follows ----
my $publisher = DynTest::configured_node('publisher', 'fsync = off', 'shared_preload_libraries = \'\'');
$publisher->start;
$publisher->safe_psql('postgres', q{CREATE TABLE taken (id int PRIMARY KEY, t text, big text); ALTER TABLE taken ALTER big SET STORAGE EXTERNAL;
	INSERT INTO taken SELECT i, 't' || i, repeat('z', 5000) FROM generate_series(1, 200) i; CREATE PUBLICATION all_of_it FOR TABLE taken});
run(q{CREATE TABLE taken (id int PRIMARY KEY, t text, big text); SELECT dyntable_create('subscribed', 'SELECT id, t, big FROM taken', '1 day')});
run('CREATE SUBSCRIPTION sub CONNECTION $$' . $publisher->connstr('postgres') . '$$ PUBLICATION all_of_it');
$node->wait_for_subscription_sync($publisher, 'sub');
are_refreshed('the first copy of a subscription', 'INCREMENTAL', 'subscribed');
is(run('SELECT count(*) FROM subscribed'), '200', 'all rows');
$publisher->safe_psql('postgres', q{UPDATE taken SET t = 'u' WHERE id % 5 = 0; DELETE FROM taken WHERE id < 10; INSERT INTO taken VALUES (500, 'new', 'b'); UPDATE taken SET id = 501 WHERE id = 100});
$publisher->wait_for_catchup('sub');
are_refreshed('what a subscription applies', 'INCREMENTAL', 'subscribed');
$publisher->safe_psql('postgres', q{TRUNCATE taken; INSERT INTO taken VALUES (1, 'after', NULL)});
$publisher->wait_for_catchup('sub');
are_refreshed('its TRUNCATE', 'REINITIALIZE', 'subscribed');
run('DROP SUBSCRIPTION sub');
$publisher->stop;

# ---- types and tables that go together, and come back when it is undone ----
run(<<'SQL');
CREATE SCHEMA apart;
CREATE DOMAIN apart.small AS int;
CREATE TABLE apart.t (k apart.small, n int);
INSERT INTO apart.t SELECT i % 3, i FROM generate_series(1, 9) i;
SELECT dyntable_create('apart.sums', 'SELECT k, sum(n) AS s FROM apart.t GROUP BY k', '1 day');
SELECT dyntable_create('apart.over', 'SELECT s, max(k) AS k FROM apart.sums GROUP BY s', '1 day');
SQL
run('BEGIN; DROP SCHEMA apart CASCADE; ROLLBACK');
run('DO $$ BEGIN DROP SCHEMA apart CASCADE; RAISE EXCEPTION $x$undo$x$; EXCEPTION WHEN raise_exception THEN END $$');
run('UPDATE apart.t SET n = 7 WHERE n = 5; SELECT dyntable_refresh()');
are_refreshed('a schema that was not dropped', 'NO_DATA', 'apart.sums', 'apart.over');
my $states = q{SELECT count(*) FROM pg_class WHERE relname ~ '^stage_' AND relkind = 'r'};
my $before = run($states);
run('DROP SCHEMA apart CASCADE');
is($before - run($states), 3, 'state tables go with a schema of tables and types');

# ---- and all is put back ----
run(q{SELECT dyntable_drop(n) FROM unnest(ARRAY[} . join(', ', map { "'of_$_'" } @identities) . q{, 'leaf', 'twice', 'branch', 'whole']) n});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM dyntable.source WHERE relid::regclass::text ~ '^(ident|tree)'}), 'sources that nobody reads leave capture');
is(identities(), 'dfiifn', 'each has the identity that was last wanted, but for an index that is gone');
is(run(q{SELECT string_agg(DISTINCT relreplident::text, '') FROM pg_class WHERE relname ~ '^tree' AND relkind IN ('r', 'p')}), 'd', 'partitions as well');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|was terminated by signal|dyntable (capture|registrar).*ERROR/, 'no process crashed, capture met no error');
$node->stop;
done_testing();
