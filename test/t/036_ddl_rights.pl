# Rights, row security and owners of what a dynamic table reads; DDL on dynamic tables
# themselves; event triggers; transactions that are undone; DROP with CASCADE.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynCases;
use DynTest;
use Test::More;

my $node = DynTest::new_node('ddl', 'autovacuum = off', 'fsync = off');
my $cases = DynCases->new($node);

sub run { return $cases->run($_[0]); }

# ---- rights ----
run(<<'SQL');
CREATE ROLE alice NOLOGIN;
CREATE ROLE bob NOLOGIN;
CREATE ROLE friends NOLOGIN;
GRANT CREATE ON SCHEMA public TO alice, bob;
CREATE SCHEMA private AUTHORIZATION alice;
SET ROLE alice;
CREATE TABLE private.src (id int PRIMARY KEY, a int, b text);
INSERT INTO private.src SELECT i, i, 'b' || i FROM generate_series(1, 60) i;
CREATE VIEW public.window AS SELECT id, a FROM private.src WHERE a > 2;
GRANT SELECT ON public.window TO bob;
GRANT USAGE ON SCHEMA private TO bob;
GRANT SELECT ON private.src TO bob;
SELECT dyntable_create('alices', 'SELECT id FROM private.src', '1 day');
SQL
$cases->{query}{alices} = 'SELECT id FROM private.src';
$cases->table('direct', 'SELECT id, a FROM private.src', 'SET ROLE bob');
$cases->table('through', 'SELECT id, a FROM public.window', 'SET ROLE bob');
my $change = q{INSERT INTO private.src VALUES ($n, $n, 'new'); UPDATE private.src SET a = a + 1 WHERE id % 9 = $n % 9; DELETE FROM private.src WHERE id = $n % 60};
my $rows = run('SELECT md5(string_agg(direct::text, $$,$$ ORDER BY id)) FROM direct');
$cases->cases(['direct'], $change,
	[ 'REVOKE on the table', 'REVOKE SELECT ON private.src FROM bob', '42501', { says => qr/permission denied for table src/ } ],
	[ 'nothing but REVOKE', 'SELECT', '42501', { alone => 1 } ],
);
is(run('SELECT md5(string_agg(direct::text, $$,$$ ORDER BY id)) FROM direct'), $rows, 'the rows stay');
$cases->cases(['direct'], $change,
	[ 'GRANT on columns', 'GRANT SELECT (id, a) ON private.src TO bob', 'INCREMENTAL' ],
	[ 'REVOKE on a column', 'REVOKE SELECT (a) ON private.src FROM bob', '42501' ],
	[ 'GRANT to a role of the owner', 'GRANT SELECT ON private.src TO friends; GRANT friends TO bob', 'INCREMENTAL' ],
	[ 'REVOKE of the role', 'REVOKE friends FROM bob', '42501' ],
	[ 'GRANT of the role alone', 'GRANT friends TO bob', 'INCREMENTAL', { alone => 1 } ],
	[ 'REVOKE of a function', q{CREATE FUNCTION one(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'; SELECT dyntable_alter('direct', query => 'SELECT id, one(a) AS a FROM private.src'); REVOKE EXECUTE ON FUNCTION one(int) FROM PUBLIC}, '42501', { says => qr/permission denied for function one/ } ],
	[ 'GRANT of the function', 'GRANT EXECUTE ON FUNCTION one(int) TO bob', 'REINITIALIZE' ],
	[ 'REVOKE on the schema', 'REVOKE USAGE ON SCHEMA private FROM bob', '42501', { says => qr/permission denied for schema private/ } ],
	[ 'GRANT on the schema', 'GRANT USAGE ON SCHEMA private TO bob', 'INCREMENTAL' ],
);
$cases->cases(['through'], $change,
	[ 'changes through a view', 'SELECT', 'INCREMENTAL' ],
	[ 'no right on what is behind the view', 'REVOKE SELECT ON private.src FROM friends; REVOKE ALL ON private.src FROM bob; REVOKE USAGE ON SCHEMA private FROM bob', 'INCREMENTAL' ],
	[ 'security_invoker', 'ALTER VIEW public.window SET (security_invoker = true)', '42501' ],
	[ 'and not', 'ALTER VIEW public.window RESET (security_invoker)', 'INCREMENTAL' ],
	[ 'REVOKE on the view', 'REVOKE SELECT ON public.window FROM bob', '42501', { says => qr/permission denied for view window/ } ],
	[ 'GRANT on the view', 'GRANT SELECT ON public.window TO bob', 'INCREMENTAL' ],
	[ 'a view of somebody without rights', 'GRANT CREATE ON SCHEMA public TO friends; ALTER VIEW public.window OWNER TO friends; GRANT SELECT ON public.window TO bob', '42501' ],
	[ 'a view of its owner again', 'ALTER VIEW public.window OWNER TO alice; GRANT SELECT ON public.window TO bob', 'INCREMENTAL' ],
	[ 'the dynamic table given away', 'ALTER TABLE through OWNER TO friends', '42501' ],
	[ 'and back', 'ALTER TABLE through OWNER TO bob', 'INCREMENTAL' ],
	[ 'GRANT to others', 'GRANT SELECT ON private.src TO PUBLIC; GRANT ALL ON through TO PUBLIC; GRANT UPDATE ON private.src TO bob', 'INCREMENTAL' ],
);

# ---- row security of a source ----
run(<<'SQL');
CREATE TABLE secured (id int PRIMARY KEY, a int);
INSERT INTO secured SELECT i, i FROM generate_series(1, 60) i;
ALTER TABLE secured OWNER TO alice;
GRANT SELECT ON secured TO bob;
SQL
$cases->table('alice_rows', 'SELECT id, a FROM secured', 'SET ROLE alice');
$cases->table('bob_rows', 'SELECT id, a FROM secured', 'SET ROLE bob');
$change = q{INSERT INTO secured VALUES ($n, $n); UPDATE secured SET a = a + 1 WHERE id % 9 = $n % 9; DELETE FROM secured WHERE id = $n % 60};
my $seen = 'SELECT id, a FROM secured WHERE id > 10';
$cases->cases([qw(alice_rows bob_rows)], $change,
	[ 'a policy without row security', 'CREATE POLICY some_rows ON secured FOR SELECT USING (id > 10)', 'INCREMENTAL' ],
	[ 'row security on', 'ALTER TABLE secured ENABLE ROW LEVEL SECURITY', 'INCREMENTAL FULL', { says => qr/ROW_SECURITY/, query => { bob_rows => $seen } } ],
	[ 'another policy', 'ALTER POLICY some_rows ON secured USING (id > 20)', 'INCREMENTAL FULL', { query => { bob_rows => $seen =~ s/10/20/r } } ],
	[ 'row security for its owner', 'ALTER TABLE secured FORCE ROW LEVEL SECURITY', 'FULL FULL', { query => { alice_rows => $seen =~ s/10/20/r } } ],
	[ 'not for its owner', 'ALTER TABLE secured NO FORCE ROW LEVEL SECURITY', 'REINITIALIZE FULL', { says => qr/"alice_rows" is refreshed incrementally from now on/, query => { alice_rows => 'SELECT id, a FROM secured' } } ],
	[ 'demanded by dyntable_alter', q{SELECT dyntable_alter('alice_rows', refresh_mode => 'incremental')}, 'INCREMENTAL FULL' ],
	[ 'no policy', 'DROP POLICY some_rows ON secured; CREATE POLICY all_rows ON secured USING (true)', 'INCREMENTAL FULL', { query => { bob_rows => 'SELECT id, a FROM secured' } } ],
	[ 'row security off', 'ALTER TABLE secured DISABLE ROW LEVEL SECURITY', 'INCREMENTAL REINITIALIZE' ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL' ],
	[ 'demanded incremental and row security', 'ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', '0A000', { says => qr/"alice_rows" can no longer be refreshed incrementally/ } ],
	[ 'and off', 'ALTER TABLE secured DISABLE ROW LEVEL SECURITY', 'INCREMENTAL' ],
);

# ---- DDL on the dynamic table itself ----
run(<<'SQL');
CREATE TABLE base (id int PRIMARY KEY, a int, b text, u int);
INSERT INTO base SELECT i, i, 'b' || i, -i FROM generate_series(1, 60) i;
CREATE TABLE seen (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN INSERT INTO public.seen VALUES (TG_OP); RETURN NULL; END';
CREATE TABLE lookup (id int PRIMARY KEY);
INSERT INTO lookup SELECT generate_series(1, 10000);
SQL
$cases->table('mine', 'SELECT id, a, b, u FROM base');
$cases->table('over', 'SELECT a % 5 AS k, count(*) AS n FROM mine GROUP BY 1');
$change = q{INSERT INTO base VALUES ($n, $n, 'new', $n); UPDATE base SET a = a + 1, u = u + 100000 WHERE id % 9 = $n % 9; DELETE FROM base WHERE id = $n % 60};
my %renamed = (mine => 'SELECT id, a, b, u FROM base', over => 'SELECT a % 5 AS k, count(*) AS n FROM mine GROUP BY 1');
$cases->cases([qw(mine over)], $change,
	[ 'indexes', 'CREATE INDEX ON mine (b); CREATE INDEX ON mine (lower(b)) WHERE a > 5; CREATE UNIQUE INDEX mine_u ON mine (u); CREATE INDEX ON mine USING hash (a)', 'INCREMENTAL' ],
	[ 'a primary key and other constraints', 'ALTER TABLE mine ADD PRIMARY KEY (id), ADD CHECK (a > -100), ALTER b SET NOT NULL, ADD FOREIGN KEY (id) REFERENCES lookup', 'INCREMENTAL' ],
	[ 'a foreign key to it', 'DROP INDEX mine_u; CREATE TABLE refers (id int REFERENCES mine); INSERT INTO refers VALUES (60)', 'INCREMENTAL' ],
	[ 'a deferred foreign key', 'ALTER TABLE refers ADD CONSTRAINT later FOREIGN KEY (id) REFERENCES mine DEFERRABLE INITIALLY DEFERRED', '42501', { says => qr/cannot fire deferred trigger/ } ],
	[ 'without it', 'ALTER TABLE refers DROP CONSTRAINT later', 'INCREMENTAL' ],
	[ 'a CHECK that does not fit', 'ALTER TABLE mine ADD CONSTRAINT small CHECK (a < 100000); UPDATE base SET a = 100001 WHERE id = 60', '23514' ],
	[ 'without it', 'ALTER TABLE mine DROP CONSTRAINT small; UPDATE base SET a = 1 WHERE id = 60', 'INCREMENTAL' ],
	[ 'NOT NULL that does not fit', 'UPDATE base SET b = NULL WHERE id = 60', '23502' ],
	[ 'without it', 'ALTER TABLE mine ALTER b DROP NOT NULL', 'INCREMENTAL' ],
	[ 'triggers after', 'CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON mine FOR EACH ROW EXECUTE FUNCTION note(); CREATE TRIGGER s BEFORE UPDATE ON mine FOR EACH STATEMENT EXECUTE FUNCTION note()', 'INCREMENTAL' ],
	[ 'row security on it', 'ALTER TABLE mine ENABLE ROW LEVEL SECURITY; CREATE POLICY no_rows ON mine USING (false)', 'INCREMENTAL' ],
	[ 'FORCE by another owner', 'ALTER TABLE mine FORCE ROW LEVEL SECURITY; GRANT SELECT ON base TO bob; ALTER TABLE mine OWNER TO bob', 'INCREMENTAL INCREMENTAL' ],
	[ 'and back', 'ALTER TABLE mine OWNER TO postgres; ALTER TABLE mine NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', 'INCREMENTAL' ],
	[ 'REPLICA IDENTITY and a publication', 'ALTER TABLE mine REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR TABLE mine, base', 'INCREMENTAL' ],
	[ 'storage', 'ALTER TABLE mine SET TABLESPACE pg_default; ALTER TABLE mine SET (fillfactor = 50), ALTER b SET STORAGE EXTERNAL, ALTER b SET STATISTICS 3; CREATE STATISTICS st ON a, b FROM mine; CLUSTER mine USING mine_pkey; REINDEX TABLE mine', 'INCREMENTAL' ],
	[ 'VACUUM FULL', 'VACUUM FULL mine', 'INCREMENTAL', { outside => 1 } ],
	[ 'its identity index dropped', 'ALTER TABLE mine DROP CONSTRAINT mine_pkey CASCADE', 'INCREMENTAL' ],
	[ 'comments and grants', 'COMMENT ON TABLE mine IS $$x$$; COMMENT ON COLUMN mine.a IS $$y$$; GRANT SELECT (a) ON mine TO bob', 'INCREMENTAL' ],
);
run('ALTER TABLE mine RENAME TO its; CREATE SCHEMA far; ALTER TABLE its SET SCHEMA far');
$cases->{query} = { %{ $cases->{query} }, 'far.its' => 'SELECT id, a, b, u FROM base', over => 'SELECT a % 5 AS k, count(*) AS n FROM far.its GROUP BY 1' };
$cases->cases([qw(far.its over)], $change,
	[ 'RENAME and SET SCHEMA of it', 'SELECT', 'INCREMENTAL' ],
	[ 'an unused index of ours comes back', 'SELECT', 'INCREMENTAL' ],
);
is(run(q{SELECT count(*) > 0 FROM seen}), 't', 'its triggers fired');

# what would make it differ from its query is refused
my @refused = (
	'ALTER TABLE far.its ADD COLUMN x int', 'ALTER TABLE far.its DROP COLUMN b', 'ALTER TABLE far.its ALTER a TYPE bigint',
	'ALTER TABLE far.its ALTER a SET DEFAULT 1', 'ALTER TABLE far.its RENAME a TO c', 'ALTER TABLE far.its SET UNLOGGED',
	'ALTER TABLE far.its INHERIT base', 'CREATE RULE r AS ON UPDATE TO far.its DO NOTHING', 'CREATE TABLE below () INHERITS (far.its)',
	'CREATE TRIGGER before_it BEFORE INSERT ON far.its FOR EACH ROW EXECUTE FUNCTION note()',
	'ALTER TABLE far.its ADD COLUMN x int, ALTER b SET STATISTICS 1');
my $refusals = DynTest::run_script($node, join("\n", map { "\\echo DO $_\n$refused[$_];" } 0 .. $#refused), 'refused');
for my $i (0 .. $#refused)
{
	my ($part) = $refusals =~ /^DO $i\n(.*?)(?=^DO |\z)/ms;
	like($part, qr/ERROR:.*dynamic table "its"/s, "$refused[$i] is refused");
}

# ---- transactions that are undone, and DDL from functions ----
run(<<'SQL');
CREATE TABLE undone (id int PRIMARY KEY, a int, b text);
INSERT INTO undone SELECT i, i, 'b' FROM generate_series(1, 60) i;
CREATE TABLE undone_part (id int PRIMARY KEY, a int, b text) PARTITION BY RANGE (id);
CREATE TABLE undone_low PARTITION OF undone_part FOR VALUES FROM (0) TO (50000);
CREATE TABLE undone_high PARTITION OF undone_part FOR VALUES FROM (50000) TO (100000);
INSERT INTO undone_part SELECT i, i, 'b' FROM generate_series(1, 60) i;
INSERT INTO undone_part SELECT i, i, 'b' FROM generate_series(60000, 60010) i;
CREATE FUNCTION do_ddl(text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE $1; END';
CREATE FUNCTION fail_ddl(text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE $1; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END';
SQL
$cases->table('stays', 'SELECT id, a, b FROM undone');
$cases->table('stays_too', 'SELECT id, a, b FROM undone_part');
$change = join('; ', map { "INSERT INTO $_ VALUES (\$n, \$n, 'new'); UPDATE $_ SET a = a + 1 WHERE id % 9 = \$n % 9; DELETE FROM $_ WHERE id = \$n % 60" } qw(undone undone_part));
my $ddl = 'ALTER TABLE undone ALTER a TYPE bigint; ALTER TABLE undone DROP COLUMN b; ALTER TABLE undone RENAME id TO i; TRUNCATE undone; ALTER TABLE undone_part DETACH PARTITION undone_high; DROP TABLE undone_low';
$cases->cases([qw(stays stays_too)], $change,
	[ 'a transaction rolled back', "BEGIN; $ddl; ROLLBACK", 'INCREMENTAL', { outside => 1 } ],
	[ 'rolled back alone', "BEGIN; $ddl; ROLLBACK", 'NO_DATA', { alone => 1 } ],
	[ 'a savepoint rolled back', "SAVEPOINT s; $ddl; ROLLBACK TO s", 'INCREMENTAL' ],
	[ 'an exception caught', "SELECT fail_ddl('$ddl')", 'INCREMENTAL' ],
	[ 'an error', "SELECT 1/0", 'INCREMENTAL' ],
	[ 'a DO block', q{DO 'BEGIN ALTER TABLE undone ALTER a TYPE bigint; END'}, 'REINITIALIZE INCREMENTAL' ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL', { settled => 1 } ],
	[ 'a function', q{SELECT do_ddl('ALTER TABLE undone ALTER b TYPE varchar USING b || 1')}, 'REINITIALIZE INCREMENTAL' ],
	[ 'a function with partitions', q{SELECT do_ddl('ALTER TABLE undone_part DETACH PARTITION undone_high')}, 'INCREMENTAL REINITIALIZE', { settled => 1 } ],
	[ 'a procedure that commits', q{DO 'BEGIN ALTER TABLE undone ADD COLUMN more int; COMMIT; ALTER TABLE undone DROP COLUMN more; ALTER TABLE undone ALTER a TYPE numeric; END'}, 'REINITIALIZE INCREMENTAL', { outside => 1 } ],
	[ 'there and back', 'SAVEPOINT s; ALTER TABLE undone ALTER b TYPE text; RELEASE s; ALTER TABLE undone RENAME a TO z; ALTER TABLE undone RENAME z TO a; ALTER TABLE undone ALTER b TYPE varchar', 'REINITIALIZE INCREMENTAL', { settled => 1 } ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL', { settled => 1 } ],
);

# ---- event triggers of users ----
run(<<'SQL');
CREATE TABLE fired (tag text, what text);
GRANT INSERT ON fired TO PUBLIC;
CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.fired VALUES (tg_tag, tg_event);
END $$;
CREATE FUNCTION refuse_ours() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE command record;
BEGIN
	FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
		IF command.schema_name = 'dyntable' OR command.object_identity LIKE '%identity%' THEN
			RAISE 'no DDL of yours: %', command.object_identity;
		END IF;
	END LOOP;
END $$;
CREATE EVENT TRIGGER first ON ddl_command_start EXECUTE FUNCTION note_ddl();
CREATE EVENT TRIGGER last ON ddl_command_end EXECUTE FUNCTION refuse_ours();
CREATE EVENT TRIGGER gone ON sql_drop EXECUTE FUNCTION note_ddl();
CREATE EVENT TRIGGER rewritten ON table_rewrite EXECUTE FUNCTION note_ddl();
CREATE TABLE watched (id int PRIMARY KEY, a int, b text);
INSERT INTO watched SELECT i, i, 'b' FROM generate_series(1, 60) i;
SQL
$cases->table('with_triggers', 'SELECT a % 4 AS k, count(*) AS n, max(a) AS m FROM watched GROUP BY 1');
$cases->table('with_more', 'SELECT k, n FROM with_triggers');
$cases->cases([qw(with_triggers with_more)], q{INSERT INTO watched VALUES ($n, $n, 'new')},
	[ 'event triggers', 'ALTER TABLE watched ADD COLUMN c int DEFAULT random() * 3', 'INCREMENTAL' ],
	[ 'a column retyped', 'ALTER TABLE watched ALTER a TYPE bigint', 'REINITIALIZE' ],
	[ 'and afterwards', 'SELECT', 'INCREMENTAL', { settled => 1 } ],
);
run('DROP EVENT TRIGGER first; DROP EVENT TRIGGER last; DROP EVENT TRIGGER gone; DROP EVENT TRIGGER rewritten');

# ---- DROP with CASCADE leaves nothing ----
run(<<'SQL');
CREATE SCHEMA drops;
SET search_path = drops, public;
CREATE TYPE kind AS ENUM ('x', 'y');
CREATE FUNCTION plus(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE TABLE s1 (id int PRIMARY KEY, a int, k kind);
CREATE TABLE s2 (id int PRIMARY KEY, a int, k kind);
INSERT INTO s1 SELECT i, i, 'x' FROM generate_series(1, 20) i;
INSERT INTO s2 SELECT * FROM s1;
CREATE VIEW v2 AS SELECT id, a FROM s2;
GRANT USAGE, CREATE ON SCHEMA drops TO alice;
GRANT SELECT ON s2 TO alice;
SELECT dyntable_create('of_table', 'SELECT a % 3 AS k, count(*) AS n FROM s1 GROUP BY 1', '1 day');
SELECT dyntable_create('above', 'SELECT sum(n) AS n FROM of_table', '1 day');
SELECT dyntable_create('of_view', 'SELECT id, a FROM v2', '1 day');
SELECT dyntable_create('of_function', 'SELECT id, plus(a) AS p FROM s2', '1 day');
SELECT dyntable_create('of_type', 'SELECT id, k FROM s2', '1 day');
SELECT dyntable_create('of_label', $$SELECT count(*) AS n FROM s2 WHERE k = 'x'$$, '1 day');
SELECT dyntable_create('of_owner', 'SELECT id, a FROM s2', '1 day');
SELECT dyntable_create('of_schema', 'SELECT max(a) AS m FROM s2', '1 day');
ALTER TABLE of_owner OWNER TO alice;
SQL
my $left = q{SELECT coalesce(string_agg(relid::regclass::text, ' ' ORDER BY relid::regclass::text), '') FROM dyntable.dynamic_table WHERE relid IN (SELECT oid FROM pg_class WHERE relnamespace = 'drops'::regnamespace)};
my $orphans = q{SELECT (SELECT count(*) FROM dyntable.edge WHERE relid NOT IN (SELECT oid FROM pg_class)) + (SELECT count(*) FROM dyntable.position WHERE relid NOT IN (SELECT oid FROM pg_class))
	+ (SELECT count(*) FROM dyntable.dynamic_table WHERE relid NOT IN (SELECT oid FROM pg_class)) + (SELECT count(*) FROM dyntable.stage WHERE relid NOT IN (SELECT oid FROM pg_class))
	+ (SELECT count(*) FROM pg_class WHERE relnamespace = 'dyntable'::regnamespace AND relname LIKE 'stage!_%' ESCAPE '!' AND relkind = 'r' AND oid NOT IN (SELECT stage FROM dyntable.stage))};
sub leaves
{
	my ($statement, $expected) = @_;
	run("SET client_min_messages = error; $statement");
	is(run($left) =~ s/drops\.//gr, $expected, "$statement leaves the others");
	is(run($orphans), '0', 'and nothing of what goes');
	return;
}
leaves('DROP TABLE drops.s1 CASCADE', 'of_function of_label of_owner of_schema of_type of_view');
leaves('DROP VIEW drops.v2 CASCADE', 'of_function of_label of_owner of_schema of_type');
leaves('DROP FUNCTION drops.plus(int) CASCADE', 'of_label of_owner of_schema of_type');
leaves('REASSIGN OWNED BY alice TO bob; GRANT USAGE ON SCHEMA drops TO bob; GRANT ALL ON ALL TABLES IN SCHEMA drops TO bob', 'of_label of_owner of_schema of_type');
$cases->{query} = { of_owner => 'SELECT id, a FROM drops.s2' };
run('ALTER ROLE postgres SET search_path = drops, public');
$cases->cases([qw(of_owner)], q{INSERT INTO s2 VALUES ($n, $n, 'y'); UPDATE s2 SET a = a + 1 WHERE id = 5},
	[ 'REASSIGN OWNED', 'SELECT', 'INCREMENTAL' ]);
leaves('DROP OWNED BY bob', 'of_label of_schema of_type');
leaves('DROP TYPE drops.kind CASCADE', 'of_schema');
run('SET client_min_messages = error; DROP SCHEMA drops CASCADE');
is(run(q{SELECT count(*) FROM dyntable.dynamic_tables WHERE schema_name = 'drops'}), '0', 'DROP SCHEMA CASCADE takes dynamic tables along');
is(run($orphans), '0', 'and all that is theirs');
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM dyntable.source s WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = s.relid))
	AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'dyntable'::regnamespace AND relname LIKE 'log!_%' ESCAPE '!' AND relkind = 'r'
		AND oid NOT IN (SELECT log FROM dyntable.source UNION ALL SELECT other_log FROM dyntable.source))}), 'change logs of what was dropped go, too');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
