# Every kind of statement that changes a source, each followed by a refresh of
# dynamic tables of every kind and by the comparison of all of them with their
# queries.  A step says which sources it writes and what the refresh does with
# the tables that read them; those that read none of them have nothing to do.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use DynSession;
use Test::More;

my $node = DynTest::new_node('statements', 'autovacuum = off', 'max_prepared_transactions = 5');

my %QUERIES = (
	keyed => 'SELECT id, grp, v, note FROM s.item WHERE v >= 0',
	bag => 'SELECT grp, note FROM s.item WHERE v % 2 = 0',
	grouped => 'SELECT grp, count(*) AS n, sum(v) AS total, min(v) AS low, max(v) AS high FROM s.item GROUP BY grp',
	over => 'SELECT n, count(*) AS groups, sum(total) AS total FROM s.grouped GROUP BY n',
	lines => 'SELECT k, q, t FROM s.line WHERE q > 0',
	newest => 'SELECT DISTINCT ON (k) k, q, t FROM s.line ORDER BY k, q DESC, t',
	first_row => 'SELECT k, q FROM (SELECT k, q, t, row_number() OVER (PARTITION BY k ORDER BY q, t) AS rn FROM s.line) x WHERE rn = 1',
	joined => 'SELECT i.id, i.v, l.q, l.t FROM s.item i JOIN s.line l ON l.k = i.id',
	outer_joined => 'SELECT i.id, i.note, l.k, l.q FROM s.item i FULL JOIN s.line l ON l.k = i.id AND l.q > 2',
	over_joined => 'SELECT id, count(*) AS n, sum(q) AS q FROM s.joined GROUP BY id',
	parts => 'SELECT id, area, v FROM s.part WHERE v > 0',
	part_sums => 'SELECT area, count(*) AS n, sum(v) AS v FROM s.part GROUP BY area',
	children => 'SELECT c.id, c.parent, p.name FROM s.child c LEFT JOIN s.parent p ON p.id = c.parent',
	siblings => 'SELECT k.id, k.parent, count(c.id) AS n FROM s.kept k LEFT JOIN s.child c ON c.parent = k.parent GROUP BY k.id, k.parent',
	audited => 'SELECT what, count(*) AS n FROM s.audit GROUP BY what');

# the sources of each, those of upstream tables included
my %READS;
foreach my $name (keys %QUERIES)
{
	my %sources;
	my @queries = ($QUERIES{$name});
	while (defined(my $query = shift @queries))
	{
		push @queries, $QUERIES{$1} while $query =~ /\bs\.(\w+)/g && exists $QUERIES{$1};
		pos($query) = 0;
		while ($query =~ /\bs\.(\w+)/g) { $sources{$1} = 1 unless exists $QUERIES{$1}; }
	}
	$READS{$name} = \%sources;
}
my @NAMES = sort keys %QUERIES;
my %content;

sub run { return $node->safe_psql('postgres', $_[0]); }

sub compare_sql
{
	my ($name) = @_;
	return "WITH asked AS MATERIALIZED ($QUERIES{$name}), held AS MATERIALIZED (TABLE s.$name) "
	  . "SELECT 'C', '$name', (SELECT count(*) FROM held), (SELECT coalesce(sum(hashtextextended(held::text, 0)), 0) FROM held), "
	  . "(SELECT count(*) FROM (TABLE asked EXCEPT ALL TABLE held) x), (SELECT count(*) FROM (TABLE held EXCEPT ALL TABLE asked) x);\n";
}

# Refresh all and compare: $action is what the tables that read a source
# written (a list of names with blanks) do, NO_DATA allowed for all but the
# first of them; "NO_DATA" is for all.
sub refreshed
{
	my ($what, $written, $action) = @_;
	my $output = DynTest::run_script($node,
		"BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 'R', name, action, reason FROM dyntable_refresh(" . join(', ', map { "'s.$_'" } @NAMES) . ");\n"
		  . join('', map { compare_sql($_) } @NAMES) . "COMMIT;\n", 'refresh');
	my @written = split(' ', $written);
	my (%actions, %before, @wrong);
	%before = %content;
	$actions{$1} = $2 while $output =~ /^R\|s\.(\w+)\|(\w+)/mg;
	while ($output =~ /^C\|(\w+)\|(\d+)\|(-?\d+)\|(\d+)\|(\d+)$/mg)
	{
		$content{$1} = "$2 $3";
		push @wrong, "$1: $4 missing, $5 unexpected" if $4 || $5;
	}
	push @wrong, $output if keys %actions != @NAMES || keys %content != @NAMES || $output =~ /ERROR|WARNING/;
	is(join("\n", @wrong), '', "$what: no row differs");

	my @unexpected;
	foreach my $name (@NAMES)
	{
		my $reads = grep { $READS{$name}{$_} } @written;
		my $wanted = !$reads ? 'NO_DATA' : $action eq 'REINITIALIZE' ? 'REINITIALIZE|INCREMENTAL|NO_DATA' : "$action|NO_DATA";
		push @unexpected, "$name: $actions{$name}, wanted $wanted" if ($actions{$name} // '') !~ /^(?:$wanted)$/;
	}
	foreach my $source (@written)
	{
		my @direct = grep { $QUERIES{$_} =~ /\bs\.$source\b/ } @NAMES;
		push @unexpected, "no reader of $source: $action" unless grep { $actions{$_} eq $action } @direct;
		push @unexpected, "no reader of $source changed" unless $action eq 'NO_DATA' || grep { ($before{$_} // '') ne $content{$_} && $content{$_} !~ /^0 / } @direct;
	}
	is(join("\n", @unexpected), '', "$what: $action");
	return;
}

sub step
{
	my ($what, $written, $sql, $action) = @_;
	my $output = DynTest::run_script($node, "SET search_path = s, public;\n$sql\n", 'step');
	is($output, '', "$what: runs") if $output =~ /ERROR/;
	refreshed($what, $written, $action // 'INCREMENTAL');
	return;
}

run(<<'SQL');
CREATE SCHEMA s;
SET search_path = s;
CREATE TABLE item (id serial PRIMARY KEY, grp int, v int, note text, unread text);
CREATE TABLE line (k int, q int, t text);
CREATE TABLE part (id int, area int, v int) PARTITION BY LIST (area);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 (v int, area int, id int);
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES IN (2, 3);
CREATE TABLE parent (id int PRIMARY KEY, name text);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE kept (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE audit (what text, at timestamptz DEFAULT clock_timestamp());
INSERT INTO item SELECT i, i % 7, i % 20, 'n' || i % 3, 'u' FROM generate_series(1, 200) i;
SELECT setval('item_id_seq', 200);
INSERT INTO line SELECT i % 120, i % 9, 't' || i % 4 FROM generate_series(1, 300) i;
INSERT INTO part SELECT i, 1 + i % 3, i FROM generate_series(1, 60) i;
INSERT INTO parent SELECT i, 'p' || i FROM generate_series(1, 20) i;
INSERT INTO child SELECT i, 1 + i % 20 FROM generate_series(1, 60) i;
INSERT INTO kept SELECT i, 1 + i % 20 FROM generate_series(1, 40) i;
INSERT INTO audit SELECT 'start' FROM generate_series(1, 3);
CREATE TABLE file (path text);
SQL

# ---- prepared before the tables are created ----
DynTest::wait_capture($node);
run(q{SELECT dyntable_create('s.keyed', $q$} . $QUERIES{keyed} . q{$q$, 'downstream', 'incremental')});
run(q{BEGIN; UPDATE s.item SET v = v + 100, note = 'before' WHERE id <= 3; PREPARE TRANSACTION 'before'});
foreach my $name (qw(grouped joined), grep { !/^(keyed|grouped|joined)$/ } @NAMES)
{
	run("SELECT dyntable_create('s.$name', \$q\$$QUERIES{$name}\$q\$, 'downstream', 'incremental')");
}
refreshed('a transaction prepared before the create', '', 'NO_DATA');
step('and committed after', 'item', q{COMMIT PREPARED 'before';});

# ---- COPY ----
my $file = "$ENV{TESTDIR}/copy";
step('COPY text', 'item line', "COPY item FROM stdin;\n1001\t1\t7\ta\\tb\\\\\\N\tx\n1002\t\\N\t8\t\\N\tx\n\\.\nCOPY line (k, q) FROM stdin WITH (FORMAT csv);\n1001,5\n1002,6\n\\.\n");
step('COPY binary', 'item', "COPY (SELECT id + 10000, grp, v, note, unread FROM item WHERE id < 60) TO '$file' WITH (FORMAT binary);\nCOPY item FROM '$file' WITH (FORMAT binary);");
step('COPY with a condition', 'line', "COPY (SELECT k, q, t FROM line) TO '$file';\nCOPY line FROM '$file' WHERE q = 3;");
step('COPY FREEZE', 'line', "BEGIN;\nTRUNCATE line;\nCOPY line FROM '$file' WITH (FREEZE);\nCOMMIT;", 'REINITIALIZE');
step('COPY into a partitioned table', 'part', "COPY part FROM stdin;\n501\t1\t5\n502\t3\t6\n\\.\n");

# ---- MERGE ----
step('MERGE', 'item', <<'SQL');
MERGE INTO item USING (SELECT i AS id, i % 5 AS c FROM generate_series(150, 230) i) d ON item.id = d.id
WHEN MATCHED AND c = 0 THEN DELETE
WHEN MATCHED AND c < 3 THEN UPDATE SET v = item.v + c, note = 'merged'
WHEN MATCHED THEN DO NOTHING
WHEN NOT MATCHED AND c = 1 THEN DO NOTHING
WHEN NOT MATCHED THEN INSERT (id, grp, v) VALUES (d.id, d.c, d.c);
SQL
step('MERGE into a partitioned table', 'part', q{MERGE INTO part USING (VALUES (1, 1), (2, 3), (900, 2)) d (id, area) ON part.id = d.id
WHEN MATCHED THEN UPDATE SET area = d.area, v = part.v + 1 WHEN NOT MATCHED THEN INSERT VALUES (d.id, d.area, 1);});

# ---- ON CONFLICT ----
step('ON CONFLICT DO UPDATE', 'item', q{INSERT INTO item SELECT i, 1, 3, 'upsert' FROM generate_series(1, 400, 30) i ON CONFLICT (id) DO UPDATE SET v = item.v + excluded.v, note = excluded.note WHERE item.id <> 31;});
step('ON CONFLICT DO NOTHING', 'item', q{INSERT INTO item SELECT i, 2, 4, 'new' FROM generate_series(390, 420) i ON CONFLICT DO NOTHING;});
step('ON CONFLICT in a partition', 'part', q{CREATE UNIQUE INDEX ON part_1 (id); INSERT INTO part_1 VALUES (3, 1, 33), (777, 1, 7) ON CONFLICT (id) DO UPDATE SET v = excluded.v;});

# ---- two tables in one statement ----
step('UPDATE FROM', 'item', q{UPDATE item SET v = l.q, note = l.t FROM line l WHERE l.k = item.id AND item.id < 40;});
step('DELETE USING', 'item', q{DELETE FROM item USING line l WHERE l.k = item.id AND l.q = 4;});
step('INSERT from itself', 'line', q{INSERT INTO line SELECT k + 1, q, t FROM line WHERE k % 5 = 0;});
step('data-modifying WITH', 'item line', <<'SQL');
WITH gone AS (DELETE FROM item WHERE id BETWEEN 100 AND 110 RETURNING *),
     changed AS (UPDATE item SET v = v + 1 WHERE id BETWEEN 111 AND 115 RETURNING id, v),
     back AS (INSERT INTO item SELECT id + 2000, grp, v, 'moved' FROM gone RETURNING id)
INSERT INTO line SELECT id, 8, 'from back' FROM back UNION ALL SELECT id, v, 'from changed' FROM changed;
SQL
step('writes of functions', 'item', q{CREATE FUNCTION bump(int) RETURNS int LANGUAGE sql AS 'UPDATE s.item SET v = v + 1 WHERE id = $1 RETURNING v'; SELECT count(bump(i)) FROM generate_series(41, 50) i \g /dev/null});

# ---- TRUNCATE ----
sub truncated
{
	my ($what, $written, $sql) = @_;
	step($what, $written, $sql, 'REINITIALIZE');
	step("a change after $what", $written, join('', map { "UPDATE $_ SET " . ($_ eq 'line' ? 'q = q + 1' : $_ eq 'parent' ? "name = name || 'x'" : $_ =~ /child|kept/ ? 'id = id + 1000' : 'v = v + 2') . ";\n" } split(' ', $written)));
	return;
}
my $refill = q{INSERT INTO item SELECT i, i % 7, i % 20, 'n' || i % 3, 'u' FROM generate_series(1, 100) i;};
truncated('TRUNCATE', 'line', q{TRUNCATE line; INSERT INTO line SELECT i % 120, i % 9, 't' || i % 4 FROM generate_series(1, 300) i;});
truncated('TRUNCATE RESTART IDENTITY', 'item', q{TRUNCATE item RESTART IDENTITY; INSERT INTO item (grp, v, note) SELECT i % 7, i % 20, 'n' FROM generate_series(1, 150) i;});
truncated('TRUNCATE of several tables', 'item line', qq{TRUNCATE item, line; $refill INSERT INTO line SELECT i % 120, i % 9, 't' FROM generate_series(1, 200) i;});
truncated('TRUNCATE between inserts', 'item', qq{BEGIN; INSERT INTO item VALUES (5000, 1, 1, 'lost'); TRUNCATE item; $refill UPDATE item SET v = v + 1 WHERE id < 5; COMMIT;});
truncated('TRUNCATE of a partition', 'part', q{TRUNCATE part_1; INSERT INTO part VALUES (1, 1, 1), (2, 2, 2);});
truncated('TRUNCATE of a partitioned table', 'part', q{TRUNCATE part; INSERT INTO part SELECT i, 1 + i % 3, i FROM generate_series(1, 60) i;});
truncated('TRUNCATE CASCADE', 'parent child kept', q{TRUNCATE parent CASCADE; INSERT INTO parent SELECT i, 'q' || i FROM generate_series(1, 20) i;
	INSERT INTO child SELECT i, 1 + i % 20 FROM generate_series(1, 60) i; INSERT INTO kept SELECT i, 1 + i % 20 FROM generate_series(1, 40) i;
	INSERT INTO kept VALUES (99, NULL);});
step('TRUNCATE in a subtransaction that is rolled back', 'item', q{BEGIN; UPDATE item SET v = v + 1 WHERE id < 10; SAVEPOINT a; TRUNCATE item; INSERT INTO item VALUES (7000, 1, 1, 'lost'); ROLLBACK TO a; DELETE FROM item WHERE id = 20; COMMIT;});
step('TRUNCATE in a transaction that is rolled back', '', q{BEGIN; TRUNCATE item, line, part; INSERT INTO line VALUES (1, 1, 'lost'); ROLLBACK;}, 'NO_DATA');

# ---- tables made by a query ----
run(q{CREATE TABLE s.made AS SELECT id, v FROM s.item; SELECT id, v INTO s.into FROM s.item WHERE id < 50});
$QUERIES{of_made} = 'SELECT m.id, m.v, i.v AS other FROM s.made m LEFT JOIN s.into i ON i.id = m.id';
$READS{of_made} = { made => 1, into => 1 };
run("SELECT dyntable_create('s.of_made', '$QUERIES{of_made}', 'downstream', 'incremental')");
push @NAMES, 'of_made';
refreshed('tables made by a query', '', 'NO_DATA');
step('and changed afterwards', 'made into', q{UPDATE made SET v = v + 1 WHERE id < 5; DELETE FROM "into" WHERE id > 45; INSERT INTO made SELECT id + 1000, v FROM made WHERE id < 4;});

# ---- savepoints ----
step('nested subtransactions, partly rolled back', 'item line', <<'SQL');
BEGIN;
INSERT INTO line VALUES (1, 5, 'top');
SAVEPOINT a; UPDATE item SET v = 50 WHERE id = 1; SAVEPOINT b; UPDATE item SET v = 51 WHERE id IN (1, 2);
SAVEPOINT c; DELETE FROM item WHERE id = 3; ROLLBACK TO b; UPDATE item SET v = 52 WHERE id = 2; RELEASE a;
SAVEPOINT d; DELETE FROM item; DELETE FROM line; ROLLBACK TO d; INSERT INTO line VALUES (2, 6, 'd');
COMMIT;
SQL
step('200 subtransactions', 'item', <<'SQL');
DO $$ BEGIN FOR i IN 1 .. 200 LOOP
	BEGIN INSERT INTO s.item VALUES (3000 + i, i % 5, i, 'sub'); IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
	EXCEPTION WHEN division_by_zero THEN UPDATE s.item SET v = v + 1 WHERE id = i % 10; END;
END LOOP; END $$;
SQL

# ---- an overflowed snapshot: open while the refresh looks ----
my $writer = DynSession->new($node);
$writer->do('BEGIN; DO $$ BEGIN FOR i IN 1 .. 100 LOOP BEGIN INSERT INTO s.line VALUES (i, 7, \'open\'); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$');
step('beside 100 open subtransactions', 'item', q{UPDATE item SET v = v + 1 WHERE id < 30;});
$writer->do('SAVEPOINT x; DELETE FROM s.line WHERE k < 50; ROLLBACK TO x; COMMIT');
refreshed('their commit', 'line', 'INCREMENTAL');

# ---- a transaction that stays open ----
$writer->do(q{BEGIN; UPDATE s.item SET v = v + 1000 WHERE id = 31});
is(run('SELECT oldest_transaction IS NOT NULL AND retained_wal_bytes > 0 FROM dyntable.capture'), 't', 'what holds capture up is shown');
step("changes beside an open transaction, $_", 'item line', qq{UPDATE item SET note = 'round $_' WHERE id BETWEEN 32 AND 40; INSERT INTO line VALUES (31, $_, 'beside');}) for 1 .. 3;
$writer->do(q{COMMIT});
refreshed('the end of the open transaction', 'item', 'INCREMENTAL');

# ---- cursors ----
step('WHERE CURRENT OF', 'item', <<'SQL');
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM item WHERE id BETWEEN 60 AND 70 ORDER BY id FOR UPDATE;
MOVE 2 IN c; UPDATE item SET v = v + 7 WHERE CURRENT OF c; MOVE NEXT IN c; DELETE FROM item WHERE CURRENT OF c;
COMMIT;
SQL
step('a cursor WITH HOLD', 'line', q{BEGIN; INSERT INTO line VALUES (5, 5, 'held'); DECLARE h CURSOR WITH HOLD FOR SELECT * FROM line; COMMIT; MOVE 10 IN h; UPDATE line SET q = q + 1 WHERE k = 5; CLOSE h;});

# ---- triggers and rules ----
step('triggers', 'item audit', <<'SQL');
CREATE FUNCTION before_item() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.note = 'refused' THEN RETURN NULL; END IF; new.v := new.v + 1; new.note := upper(new.note); RETURN new; END $$;
CREATE FUNCTION after_item() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO s.audit VALUES (tg_op); RETURN NULL; END $$;
CREATE TRIGGER b BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION before_item();
CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION after_item();
CREATE CONSTRAINT TRIGGER d AFTER UPDATE ON item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION after_item();
INSERT INTO item VALUES (6001, 1, 1, 'seen'), (6002, 1, 1, 'refused');
UPDATE item SET v = v WHERE id = 10;
DELETE FROM item WHERE id = 11;
SQL
step('session_replication_role = replica', 'item', q{SET session_replication_role = replica; UPDATE item SET v = v + 4, note = 'replica' WHERE id < 15;});
step('an INSTEAD OF trigger of a view', 'line', <<'SQL');
CREATE VIEW line_view AS SELECT k, max(q) AS q FROM line GROUP BY k;
CREATE FUNCTION instead_line() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF tg_op <> 'INSERT' THEN DELETE FROM s.line WHERE k = old.k; END IF;
	IF tg_op <> 'DELETE' THEN INSERT INTO s.line VALUES (new.k, new.q, 'instead'); RETURN new; END IF; RETURN old; END $$;
CREATE TRIGGER i INSTEAD OF INSERT OR UPDATE OR DELETE ON line_view FOR EACH ROW EXECUTE FUNCTION instead_line();
INSERT INTO line_view VALUES (200, 5); UPDATE line_view SET q = 9 WHERE k = 7; DELETE FROM line_view WHERE k = 8;
SQL
step('rules', 'item line', <<'SQL');
DROP TRIGGER a ON item; DROP TRIGGER b ON item; DROP TRIGGER d ON item;
CREATE RULE also AS ON INSERT TO line DO ALSO UPDATE item SET v = v + 1 WHERE id = new.k;
CREATE RULE instead AS ON DELETE TO line WHERE old.q > 5 DO INSTEAD UPDATE line SET t = 'kept' WHERE k = old.k;
INSERT INTO line VALUES (12, 4, 'rule'), (13, 4, 'rule');
DELETE FROM line WHERE k IN (20, 21, 22);
SQL
step('an updatable view', 'item', q{CREATE VIEW item_view AS SELECT id, v FROM item WHERE id < 90; UPDATE item_view SET v = v + 1 WHERE id = 80; DELETE FROM item_view WHERE id = 81; INSERT INTO item_view VALUES (82000, 1);});
run('DROP RULE also ON s.line; DROP RULE instead ON s.line');

# ---- foreign keys ----
step('ON DELETE CASCADE and SET NULL', 'parent child kept', q{DELETE FROM parent WHERE id IN (3, 4);});
step('ON UPDATE CASCADE', 'parent child kept', q{UPDATE parent SET id = id + 500 WHERE id IN (5, 6);});

# ---- transaction control ----
step('COMMIT and ROLLBACK in a procedure', 'item', <<'SQL');
CREATE PROCEDURE in_batches() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1 .. 6 LOOP
	UPDATE s.item SET v = v + 1 WHERE id % 6 = i - 1; IF i % 3 = 0 THEN ROLLBACK; ELSE COMMIT; END IF; END LOOP; END $$;
CALL in_batches();
SQL
step('COMMIT in a DO block', 'line', q{DO $$ BEGIN FOR i IN 1 .. 4 LOOP INSERT INTO s.line VALUES (i, i, 'do'); COMMIT; END LOOP; INSERT INTO s.line VALUES (9, 9, 'lost'); ROLLBACK; END $$;});
step("isolation level $_", 'item line', qq{BEGIN ISOLATION LEVEL $_; SELECT sum(v) AS sum FROM item \\gset\nUPDATE item SET v = v + 1 WHERE id = 44; INSERT INTO line VALUES (44, 3, :'sum'); COMMIT;}) foreach 'REPEATABLE READ', 'SERIALIZABLE';
step("synchronous_commit = $_", 'item', qq{SET synchronous_commit = $_; UPDATE item SET v = v + 1 WHERE id = 45;}) foreach 'off', 'local';
step('a row inserted, updated and deleted', 'line', q{BEGIN; INSERT INTO item VALUES (9000, 1, 1, 'x'); UPDATE item SET v = 2 WHERE id = 9000; DELETE FROM item WHERE id = 9000; INSERT INTO line VALUES (9000, 1, 'beside'); COMMIT;});
step('a row deleted and inserted again', 'item', q{BEGIN; DELETE FROM item WHERE id = 46; INSERT INTO item VALUES (46, 3, 3, 'again'); UPDATE item SET v = 4 WHERE id = 46; COMMIT;});

# ---- what changes nothing ----
my $changes = run(q{SELECT changes FROM dyntable.sources WHERE relid = 's.item'::regclass});
step('rows locked', '', q{BEGIN; SELECT count(*) FROM (SELECT FROM item FOR UPDATE) x \g /dev/null
SELECT count(*) FROM (SELECT FROM item FOR KEY SHARE) x \g /dev/null
COMMIT;}, 'NO_DATA');
step('an update with the same values', '', q{UPDATE item SET v = v, note = note;}, 'NO_DATA');
step('an update of a column that nobody reads', '', q{UPDATE item SET unread = unread || 'x';}, 'NO_DATA');
is(run(q{SELECT changes FROM dyntable.sources WHERE relid = 's.item'::regclass}), $changes, 'none of these leaves anything in the log');
step('a HOT update', 'item', q{ALTER TABLE item SET (fillfactor = 50); UPDATE item SET v = v + 1 WHERE id = 47; UPDATE item SET v = v + 1 WHERE id = 47;});
step('an update of an indexed column', 'item', q{CREATE INDEX ON item (v); UPDATE item SET v = v + 1 WHERE id = 48;});

# ---- conflicts of two sessions ----
my $other = DynSession->new($node);
$writer->do(q{BEGIN; INSERT INTO s.item VALUES (10001, 1, 1, 'first')});
$other->send(q{INSERT INTO s.item VALUES (10001, 2, 2, 'second') ON CONFLICT (id) DO UPDATE SET note = excluded.note || ' after ' || item.note});
$other->await_blocked;
refreshed('a conflict that waits', '', 'NO_DATA');
$writer->do('COMMIT');
is($other->result, '', 'the second updates');
refreshed('a conflict with a committed row', 'item', 'INCREMENTAL');
is(run('SELECT note FROM s.keyed WHERE id = 10001'), 'second after first', 'as it should');
$writer->do(q{BEGIN; INSERT INTO s.item VALUES (10002, 1, 1, 'first')});
$other->send(q{INSERT INTO s.item VALUES (10002, 2, 2, 'second') ON CONFLICT DO NOTHING});
$other->await_blocked;
$writer->do('ROLLBACK');
is($other->result, '', 'the second inserts');
refreshed('a conflict with a row rolled back', 'item', 'INCREMENTAL');

# An index whose function waits in its second call, when the row that is
# inserted speculatively is in the table already: the conflict is found only
# then, and the row taken out again.
run(<<'SQL');
CREATE FUNCTION s.slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN
	IF current_setting('s.calls', true) <> '' THEN
		PERFORM set_config('s.calls', (current_setting('s.calls')::int + 1)::text, false);
		PERFORM pg_advisory_xact_lock_shared(current_setting('s.calls')::int);
	END IF;
	RETURN $1; END $$;
CREATE UNIQUE INDEX late ON s.line (s.slow(t)) WHERE k < 0;
SQL
$writer->do(q{SELECT pg_advisory_lock(2)});
$other->send(q{SET s.calls = 0; INSERT INTO s.line VALUES (-1, 3, 'late') ON CONFLICT (s.slow(t)) WHERE k < 0 DO UPDATE SET q = line.q + excluded.q; RESET s.calls});
$other->await_blocked;
run(q{INSERT INTO s.line VALUES (-1, 4, 'late')});
$writer->do(q{SELECT pg_advisory_unlock(2)});
is($other->result, '', 'a speculative insertion is taken back');
refreshed('a speculative conflict', 'line', 'INCREMENTAL');
is(run(q{SELECT q FROM s.line WHERE k = -1}), '7', 'and becomes an update');

# ---- a transaction larger than the memory of the decoder and of a refresh ----
run(q{ALTER SYSTEM SET logical_decoding_work_mem = '1MB'});
run(q{ALTER SYSTEM SET work_mem = '64kB'});
run('SELECT pg_reload_conf()');
step('300,000 rows in one transaction', 'line', q{BEGIN; INSERT INTO line SELECT 5000 + i % 5000, i % 3, 'many' FROM generate_series(1, 150000) i; SAVEPOINT a; UPDATE line SET q = q + 1 WHERE t = 'many'; ROLLBACK TO a; UPDATE line SET q = q + 2 WHERE t = 'many' AND k % 2 = 0; COMMIT;});
step('and without them', 'line', q{DELETE FROM line WHERE t = 'many';});
run('ALTER SYSTEM RESET work_mem');
run('SELECT pg_reload_conf()');

# ---- two-phase commit ----
run(q{BEGIN; UPDATE s.item SET v = v + 1 WHERE id = 50; SAVEPOINT a; DELETE FROM s.line WHERE k = 51; PREPARE TRANSACTION 'long'});
step('beside a prepared transaction', 'item', q{UPDATE item SET v = v + 1 WHERE id = 52;});
is(run('SELECT oldest_prepared_transaction IS NOT NULL AND retained_wal_bytes > 0 FROM dyntable.capture'), 't', 'which is shown');
$_->end foreach $writer, $other;
$node->restart;
DynTest::wait_capture($node);
step('beside it after a restart', 'item', q{UPDATE item SET v = v + 1 WHERE id = 53;});
step('and it is committed', 'item line', q{COMMIT PREPARED 'long';});
run(q{BEGIN; TRUNCATE s.part; INSERT INTO s.part VALUES (1, 1, 1); PREPARE TRANSACTION 'cut'});
run(q{ROLLBACK PREPARED 'cut'});
step('a prepared TRUNCATE that is rolled back', 'part', q{UPDATE part SET v = v + 1 WHERE id = 5;});
step('a prepared TRUNCATE', 'part', q{BEGIN; TRUNCATE part; INSERT INTO part SELECT i, 1 + i % 3, i FROM generate_series(1, 30) i; PREPARE TRANSACTION 'cut'; COMMIT PREPARED 'cut';}, 'REINITIALIZE');

is(run(q{SELECT count(*) FROM dyntable.history WHERE state <> 'SUCCEEDED'}), '0', 'no refresh failed');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|was terminated by signal|cannot be captured/, 'nothing was lost and no process crashed');
$node->stop;
done_testing();
