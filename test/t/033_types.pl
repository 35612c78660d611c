# Every type: as a column that is carried along, as a key of joins and groups
# where it can be one, in tables with and without a key, through INSERT, UPDATE
# and DELETE.  What equality calls the same and bytes do not (1.0 and 1.00)
# counts as the same in the oracle, but a change of bytes alone arrives too.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use Test::More;

my $node = DynTest::new_node('types', 'autovacuum = off', 'fsync = off');

sub run { return $node->safe_psql('postgres', $_[0]); }

run(<<'SQL');
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE nested AS (p pair, q numeric[], r json);
CREATE DOMAIN even AS int CHECK (VALUE % 2 = 0);
CREATE DOMAIN label AS text COLLATE "C" NOT NULL DEFAULT 'x' CHECK (VALUE <> 'bad');
CREATE DOMAIN pairs AS pair CHECK ((VALUE).a > 0);
CREATE DOMAIN ints AS int[] CHECK (cardinality(VALUE) < 5);
CREATE DOMAIN evener AS even CHECK (VALUE > -100);
CREATE TYPE floats AS RANGE (subtype = float8);
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SQL

# Type, how it can be compared ('' not at all, = by equality), and values, which
# may be equal to their neighbours.
my @types = (
	[ 'boolean', 's', qw(t f t f) ],
	[ 'smallint', 'm', 1, -32768, 32767, 0 ],
	[ 'bigint', 'm', 1, '-9223372036854775808', '9223372036854775807', 0 ],
	[ 'numeric', 'm', '1.0', '1.00', 'NaN', 'Infinity', '-Infinity', '1e-30', '0', '0.000', '-12345678901234567890.5' ],
	[ 'numeric(6,2)', 'm', '1.5', 'NaN', '-0.01', '9999.99' ],
	[ 'real', 'm', '0', '-0', 'NaN', 'Infinity', '-Infinity', '1e-45', '1.1' ],
	[ 'double precision', 'm', '0', '-0', 'NaN', 'Infinity', '-Infinity', '5e-324', '0.1' ],
	[ 'money', 'm', '1.50', '-3', '0', '92233720368547758.07' ],
	[ 'text', 'm', '', 'null', 'NULL', q{it's "q"}, "a\nb\tc\r", 'back\\slash\\n', ' blank ', '\\N', '{x,"y"}', 'Zoë', "\x{1}" ],
	[ 'varchar(10)', 'm', '', 'a', 'a ', 'null' ],
	[ 'char(6)', 'm', '', 'a', 'a   ', ' a', 'abcdef' ],
	[ '"char"', 's', 'a', '', '\\200', 'b' ],
	[ 'name', 's', 'a', '', 'x' x 63, 'b' ],
	[ 'text COLLATE nocase', 'm', 'abc', 'ABC', 'Abc', 'd', 'D', '' ],
	[ 'bytea', 's', '\\x', '\\x00', '\\x0000ff', '\\x5c6e' ],
	[ 'json', '', '{"a":1}', '{"a": 1}', '[1.0,null]', '"x"', 'null' ],
	[ 'jsonb', 's', '{"a":1}', '{"a":1.0}', '[1,null]', '"x"', 'null', '{"b":[]}' ],
	[ 'jsonpath', '', '$.a', '$.b[*]', 'strict $', '$.c' ],
	[ 'xml', '', '<a/>', '<a></a>', '<b>x</b>', 'text' ],
	[ 'uuid', 's', map { sprintf '%08x-0000-0000-0000-00000000000%d', $_ * 7, $_ } 1 .. 4 ],
	[ 'date', 'm', '2026-01-01', 'infinity', '-infinity', '4713-01-01 BC' ],
	[ 'time', 'm', '00:00', '24:00', '12:34:56.789', '01:00' ],
	[ 'timetz', 'm', '00:00+00', '24:00-15:59', '12:00+01', '11:00+00' ],
	[ 'timestamp', 'm', '2026-01-01', 'infinity', '-infinity', '0001-01-01 BC' ],
	[ 'timestamptz', 'm', '2026-01-01 00:00+00', 'infinity', '-infinity', '2026-07-01 12:00+02' ],
	[ 'interval', 'm', '1 day', '24 hours', '1 mon', '30 days', '-1 s', '0' ],
	[ 'inet', 'm', '10.0.0.1', '10.0.0.1/8', '::1', '2001:db8::/32' ],
	[ 'cidr', 'm', '10.0.0.0/8', '10.1.0.0/16', '::1/128', '0.0.0.0/0' ],
	[ 'macaddr', 's', '08:00:2b:01:02:03', '08:00:2b:01:02:04', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff' ],
	[ 'macaddr8', 's', '08:00:2b:01:02:03:04:05', '08:00:2b:01:02:04:04:05', '00:00:00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff:ff:ff' ],
	[ 'bit(3)', 's', '101', '000', '111', '010' ],
	[ 'bit varying', 's', '', '0', '00', '101' x 9 ],
	[ 'tsvector', 's', 'a b', "a:1 'it''s':2A", '', 'c' ],
	[ 'tsquery', 's', 'a & b', 'a | b', '!a', "'x y' <-> b" ],
	[ 'pg_lsn', 'm', '0/0', '16/B374D848', 'FFFFFFFF/FFFFFFFF', '1/1' ],
	[ 'oid', 'm', 0, 1, 4294967295, 42 ],
	[ 'regclass', 's', 'pg_class', 'pg_proc', 'pg_type' ],
	[ 'regtype', 's', 'int4', 'text', 'numeric' ],
	[ 'xid', 'h', 1, 2, 4294967295, 0 ],
	[ 'xid8', 'm', 1, 2, '18446744073709551615', 0 ],
	[ 'cid', 'h', 1, 2, 3, 0 ],
	[ 'tid', 'm', '(0,1)', '(0,2)', '(7,3)', '(1,1)' ],
	[ 'pg_snapshot', '', '10:20:10,14', '10:20:', '5:5:', '1:9:3' ],
	[ 'oidvector', 's', '1 2', '', '2 1', '3' ],
	[ 'int2vector', 's', '1 2', '', '2 1', '3' ],
	[ 'aclitem', 'h', 'postgres=r/postgres', '=r/postgres', 'postgres=rw/postgres', 'postgres=w/postgres' ],
	[ 'point', '', '(0,0)', '(-0,0)', '(1,2)', '(NaN,Infinity)', '(0.00000001,0)' ],
	[ 'line', '=', '{1,2,3}', '{2,4,6}', '{0,1,0}', '{1,0,0}' ],
	[ 'lseg', '=', '((0,0),(1,1))', '((0,0),(1,2))', '((1,1),(0,0))', '((5,5),(6,6))' ],
	[ 'box', '=', '(1,1),(0,0)', '(2,0.5),(0,0)', '(1,1),(0,0.5)', '(3,3),(0,0)' ],
	[ 'path', '=', '((0,0),(1,1))', '[(0,0),(1,1)]', '[(1,1)]', '((2,2),(3,3),(4,4))' ],
	[ 'polygon', '', '((0,0),(1,1),(1,0))', '((0,0),(1,1),(1,0),(0,0))', '((5,5))', '((1,1),(1,0),(0,0))' ],
	[ 'circle', '=', '<(0,0),1>', '<(5,5),1>', '<(0,0),2>', '<(0,0),0>' ],
	[ 'int4range', 's', 'empty', '[1,5)', '[1,4]', '(,)' ],
	[ 'numrange', 's', 'empty', '[1.0,5)', '[1.00,5.0)', '(,NaN)' ],
	[ 'tstzrange', 's', 'empty', '[2026-01-01 00:00+00,)', '(,infinity]', '[2026-01-01 00:00+00,2026-02-01 00:00+00)' ],
	[ 'nummultirange', 's', '{}', '{[1,2),[3,4)}', '{[1.0,2.0),[3,4)}', '{(,)}' ],
	[ 'floats', 's', 'empty', '[0,1]', '[-0,1]', '(,)' ],
	[ 'int[]', 'm', '{}', '{1,NULL,3}', '[0:1]={1,2}', '{1,2}', '{{1,2},{3,4}}', '{NULL}' ],
	[ 'text[]', 'm', '{}', '{"",NULL,"NULL","a,b","{}","\\\\"}', '{{a},{b}}', '{a,b}' ],
	[ 'numeric[]', 'm', '{1.0}', '{1.00}', '{NaN,Infinity}', '{}' ],
	[ 'json[]', '', '{"{}"}', '{"{ }"}', '{}', '{NULL}' ],
	[ 'pair', 's', '(1,x)', '(,)', '(1,)', '(1,"")', '(2,"a ""b"" (c)")' ],
	[ 'pair[]', 'm', '{"(1,x)",NULL}', '{"(,)"}', '{}', '{"(1,x)"}' ],
	[ 'nested', '', '("(1,x)","{1.0,NULL}","{}")', '("(1,x)","{1.00,NULL}","{}")', '(,,)', '("(,)",{},)' ],
	[ 'mood', 'm', 'sad', 'ok', 'happy', 'ok' ],
	[ 'mood[]', 'm', '{sad}', '{sad,happy}', '{}', '{NULL}' ],
	[ 'even', 'm', 2, 4, -6, 0 ],
	[ 'evener', 'm', 2, 4, -6, 0 ],
	[ 'label', 'm', 'a', 'A', '', 'null' ],
	[ 'pairs', 's', '(1,x)', '(2,)', '(1,"")', '(3,y)' ],
	[ 'ints', 'm', '{}', '{1,NULL}', '{{1,2}}', '{1}' ]);


# ---- all types at once ----
#
# s has a key and b has none, both a column of each type.  Of each type that has
# an equality there is a table that groups and joins by it.

sub literal { (my $v = $_[0]) =~ s/'/''/g; return "'$v'"; }

# SQL: one of the type's values, by a number.
sub value
{
	my ($t, $number) = @_;
	my ($type, undef, @values) = @$t;
	$type =~ s/ COLLATE .*//;
	return '(ARRAY[' . join(', ', map { literal($_) } @values) . '])[1 + (' . $number . ') % ' . @values . "]::$type";
}

my @all = map { "v$_" } 1 .. @types;
my $columns = join ', ', map { "v$_ $types[$_ - 1][0]" } 1 .. @types;
my $values = join ', ', map { value($_, 'i') } @types;
my $nulls = join ', ', map { $_->[0] eq 'label' ? q{'zz'} : 'NULL' } @types;
my (@groups, @keys);

run(<<"SQL");
CREATE TABLE s (id int PRIMARY KEY, n int, $columns);
CREATE TABLE b (n int, $columns);
INSERT INTO s SELECT i, i, $values FROM generate_series(1, 20) i;
INSERT INTO b SELECT i % 5, $values FROM generate_series(1, 20) i;
INSERT INTO s VALUES (21, 0, $nulls);
INSERT INTO b VALUES (0, $nulls), (0, $nulls);
SELECT dyntable_create('keyed', 'SELECT id, @{[ join ', ', @all ]} FROM s', '1 day');
SQL
# two halves: the rows of neither are too long for a page
foreach my $half (0, 1)
{
	my @half = @all[ $half * 36 .. ($half ? $#all : 35) ];
	run("SELECT dyntable_create('bag_$half', 'SELECT n, " . join(', ', @half) . " FROM b', '1 day')");
}
foreach my $i (1 .. @types)
{
	my ($type, $can) = @{ $types[ $i - 1 ] };
	next unless $can;
	my $max = $can eq 'm' ? "max(v$i)" : '0';
	my $inner = $can eq '=' ? "SELECT v$i, n FROM b" : "SELECT v$i, count(v$i) AS n, sum(n) AS total FROM b GROUP BY v$i";
	push @groups, "g_$i";
	run("SELECT dyntable_create('g_$i', 'SELECT s.id, s.v$i AS mine, x.v$i AS theirs, x.n FROM s LEFT JOIN ($inner) x ON s.v$i = x.v$i', '1 day')");
	# the interesting equalities also partition, order and are keys of a source
	next unless $can eq 'm' && $type =~ /^(numeric|double precision|text|text COLLATE nocase|char\(6\)|interval|pair\[\]|even|mood)$/;
	run(<<"SQL");
CREATE TABLE t_$i (v $type PRIMARY KEY, n int);
INSERT INTO t_$i SELECT DISTINCT ON (v$i) v$i, n FROM b WHERE v$i IS NOT NULL ORDER BY v$i;
SELECT dyntable_create('w_$i', 'SELECT v$i, n, count(*) OVER (PARTITION BY v$i) AS c FROM b', '1 day');
SELECT dyntable_create('x_$i', 'SELECT n, max(v$i) AS v, count(v$i) AS c FROM b GROUP BY n', '1 day');
SELECT dyntable_create('u_$i', 'SELECT v, n FROM t_$i', '1 day');
SQL
	push @groups, "w_$i", "x_$i", "u_$i";
	push @keys, $i;
}

# Refresh all: these by the changes of their sources, and then they are what
# their queries give.
sub is_current
{
	my ($what, @names) = @_;
	my $list = join ', ', map { "'$_'" } @names;
	is(run(<<"SQL"), '', "$what: all tables by their changes");
SELECT string_agg(name || ': ' || action || coalesce(' ' || reason, ''), ', ') FROM dyntable_refresh()
WHERE action <> 'INCREMENTAL' AND name::text IN ($list)
SQL
	is(run(<<"SQL"), '', "$what: no row differs");
SELECT string_agg(n || ': ' || missing || '|' || unexpected, ', ') FROM unnest(ARRAY[$list]) n, dyntable_verify(n)
WHERE missing + unexpected > 0
SQL
	return;
}

# What the rows that are carried along look like has arrived too.
sub same_bytes
{
	my ($what) = @_;
	my $text = join ', ', map { "v$_" . ($types[ $_ - 1 ][0] eq '"char"' ? '::text::bytea' : '::text COLLATE "C"') } 1 .. @types;
	foreach my $pair ([ 'keyed', 's', "id, $text" ], map { my $half = $_; [ "bag_$half", 'b', join ', ', 'n', (split /, /, $text)[ $half * 36 .. ($half ? $#all : 35) ] ] } 0, 1)
	{
		my ($table, $source, $list) = @$pair;
		is(run("SELECT count(*) FROM (SELECT $list FROM $table EXCEPT ALL SELECT $list FROM $source) x"), '0', "$what: all bytes of $table");
	}
	return;
}

my @everything = ('keyed', 'bag_0', 'bag_1', @groups);
# each column changes on its own, in a row of its own and in all
my $change = sub {
	my ($step) = @_;
	my $sql = '';
	foreach my $i (1 .. @types)
	{
		my $t = $types[ $i - 1 ];
		my $row = 1 + ($i + $step) % 20;
		$sql .= "UPDATE s SET v$i = " . value($t, "id + $step") . " WHERE id = $row OR id % 7 = $step; ";
		$sql .= "UPDATE b SET v$i = " . value($t, "n + $step") . " WHERE n = ($i + $step) % 5; " if $i % 3 == $step % 3;
	}
	return $sql;
};
run($change->(1) . "DELETE FROM s WHERE id = 20; INSERT INTO s SELECT i, 0, $values FROM generate_series(30, 33) i;"
	  . ' DELETE FROM b WHERE ctid IN (SELECT ctid FROM b WHERE n = 0 LIMIT 1); INSERT INTO b SELECT * FROM b WHERE n IN (0, 4)');
foreach my $i (@keys)
{
	my @t = @{ $types[ $i - 1 ] };
	# in a key, from one value to an equal one
	run("UPDATE t_$i SET v = $_ WHERE v = $_") for map { literal($_) } @t[ 2 .. $#t ];
	run("UPDATE t_$i SET n = n + 1; DELETE FROM t_$i WHERE v = " . literal($t[4]));
}
is_current('changes', @everything);
same_bytes('changes');
run($change->(2));
run(join '', map { "UPDATE s SET v$_ = NULL WHERE id = $_ % 20; " } grep { $types[ $_ - 1 ][0] ne 'label' } 1 .. @types);
run('UPDATE b SET v4 = v4 + 0.00, n = n; DELETE FROM b WHERE n = 2; DELETE FROM b WHERE n = 1');
is_current('more changes', grep { !/^u_/ } @everything);
same_bytes('more changes');
run('UPDATE s SET n = n + 1; UPDATE b SET v4 = v4');
is(run('SELECT DISTINCT action FROM dyntable_refresh()'), 'NO_DATA', 'what touches no column that is read leaves nothing');


# ---- types that change, domains that get stricter ----
run(<<'SQL');
CREATE DOMAIN strict AS int;
CREATE TABLE d (id int PRIMARY KEY, v strict, m mood);
INSERT INTO d VALUES (1, 5000, 'sad'), (2, 7, 'ok'), (3, NULL, 'happy');
SELECT dyntable_create('doubled', 'SELECT id, 2 * v::int AS v, m FROM d', '1 day');
SELECT dyntable_create('moods', 'SELECT m, count(*) AS c FROM d GROUP BY m', '1 day');
UPDATE d SET v = 6 WHERE id IN (1, 3);
SQL
run('ALTER DOMAIN strict ADD CHECK (VALUE < 1000)');
run('ALTER DOMAIN strict SET NOT NULL');
pass('the log of old values is in the way of no new constraint');
run(q{ALTER TYPE mood ADD VALUE 'elated' BEFORE 'happy'});
run(q{UPDATE d SET m = 'elated' WHERE id < 3; DELETE FROM d WHERE id = 3; INSERT INTO d VALUES (4, 1, 'happy')});
is_current('a domain, a new value of an enum', 'doubled', 'moods');
is(run('SELECT string_agg(m::text, $$,$$ ORDER BY m) FROM moods'), 'elated,happy', 'in the order of the enum');

# unmatched rows of a domain that takes no NULL
run(<<'SQL');
CREATE TABLE dl (k label, n int);
CREATE TABLE dr (k label, n label);
INSERT INTO dl VALUES ('a', 1), ('b', 2);
INSERT INTO dr VALUES ('a', 'x'), ('c', 'y');
SELECT dyntable_create('sides', 'SELECT dl.k, dl.n, dr.k AS rk, dr.n AS rn FROM dl FULL JOIN dr ON dl.k = dr.k', '1 day');
DELETE FROM dr WHERE k = 'a';
INSERT INTO dr VALUES ('b', 'z');
DELETE FROM dl WHERE k = 'a';
SQL
is_current('NULLs of an outer join', 'sides');

# ---- long values: out of line, compressed, and longer than a page of an index takes ----
run(<<'SQL');
CREATE FUNCTION noise(n int, seed int) RETURNS text LANGUAGE sql IMMUTABLE
	AS $$ SELECT string_agg(md5(i::text || ' ' || seed), '') FROM generate_series(1, n / 32) i $$;
CREATE TABLE big (id int PRIMARY KEY, n int, a text, b text COMPRESSION lz4, c text COMPRESSION pglz, d bytea);
ALTER TABLE big ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTENDED, ALTER c SET STORAGE MAIN;
CREATE TABLE bag (n int, t text);
CREATE TABLE long (k text, n int);
INSERT INTO big SELECT i, i, noise(9000, i), repeat(noise(900, i), 20), repeat(noise(90, i), 200), noise(1000000, i)::bytea
	FROM generate_series(1, 4) i;
INSERT INTO bag SELECT i, noise(500000, i) FROM generate_series(1, 3) i;
INSERT INTO bag SELECT * FROM bag WHERE n = 1;
INSERT INTO long SELECT 'k' || i % 3, i FROM generate_series(1, 9) i;
SELECT dyntable_create('all_big', 'SELECT id, n, a, b, c, d FROM big', '1 day');
SELECT dyntable_create('one_big', 'SELECT id, n + 1 AS n, b FROM big', '1 day');
SELECT dyntable_create('all_bag', 'SELECT n, t FROM bag', '1 day');
SELECT dyntable_create('bag_groups', 'SELECT t, count(*) AS c FROM bag GROUP BY t', '1 day');
SELECT dyntable_create('over_groups', 'SELECT c, length(t) AS l, t FROM bag_groups', '1 day');
SELECT dyntable_create('long_groups', 'SELECT k, count(*) AS c, sum(n) AS s FROM long GROUP BY k', '1 day');
SELECT dyntable_create('long_join', 'SELECT x.k, x.c, long.n FROM (SELECT k, count(*) AS c FROM long GROUP BY k) x JOIN long ON long.k = x.k', '1 day');
SELECT dyntable_create('long_window', 'SELECT k, n, row_number() OVER (PARTITION BY k ORDER BY n) AS r FROM long', '1 day');
SELECT dyntable_create('long_first', 'SELECT DISTINCT ON (k) k, n FROM long ORDER BY k, n DESC', '1 day');
UPDATE big SET n = n + 1 WHERE id < 3;
UPDATE big SET a = noise(9000, 77) WHERE id = 2;
UPDATE big SET d = noise(1000000, 5)::bytea WHERE id = 3;
UPDATE big SET b = NULL, c = noise(50, 3) WHERE id = 4;
DELETE FROM big WHERE id = 1;
INSERT INTO big SELECT 5, 5, a, b, c, d FROM big WHERE id = 2;
UPDATE bag SET t = noise(500000, 8) WHERE n = 2;
DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE n = 1 LIMIT 1);
UPDATE long SET n = n + 1 WHERE k = 'k1';
SQL
my @long = qw(all_big one_big all_bag bag_groups over_groups long_groups long_join long_window long_first);
is_current('long values', @long);
run('INSERT INTO long VALUES (noise(20000, 1), 10), (noise(20000, 1), 11), (noise(20000, 2), 12)');
is(run(q{SELECT string_agg(action, ',') FROM dyntable_refresh() WHERE name::text LIKE 'long%'}),
	'REINITIALIZE,REINITIALIZE,REINITIALIZE,REINITIALIZE', 'keys longer than an index takes');
is(run(q{SELECT count(*) FROM unnest(ARRAY['long_groups', 'long_join', 'long_window', 'long_first']) n, dyntable_verify(n) WHERE missing + unexpected > 0}),
	'0', 'no row differs');
run('UPDATE long SET n = n + 10 WHERE length(k) > 100; DELETE FROM long WHERE n = 20; UPDATE big SET n = 0, d = NULL WHERE id = 3; DELETE FROM bag WHERE n = 1');
is_current('after that', @long);

# ---- text in other encodings; equal by the collation of a database ----
my %encodings = (
	LATIN1 => q{E'\\xe4\\xff', E'\\xa0', E'\\xdf'},
	EUC_JP => q{E'\\xc6\\xfc\\xcb\\xdc', E'\\x8e\\xb1', E'\\x8f\\xb0\\xa1'},
	SQL_ASCII => q{E'\\xff\\xfe', E'\\x80', E'\\xc3\\x28'});
foreach my $encoding (sort keys %encodings)
{
	run("CREATE DATABASE \"enc_$encoding\" TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	my $sql = "SET client_encoding = '$encoding';\n" . <<"SQL";
CREATE EXTENSION dyntable;
CREATE TABLE t (id int PRIMARY KEY, v text, "n\x{61}me" int);
INSERT INTO t SELECT i, (ARRAY[$encodings{$encoding}])[1 + i % 3], i FROM generate_series(1, 9) i;
SELECT dyntable_create('c', 'SELECT id, v, v || v AS vv FROM t', '1 day');
SELECT dyntable_create('g', 'SELECT v, count(*) AS c, max(v) AS m FROM t GROUP BY v', '1 day');
UPDATE t SET v = (ARRAY[$encodings{$encoding}])[1 + id % 2] WHERE id < 6;
DELETE FROM t WHERE id = 7;
SELECT action FROM dyntable_refresh();
SELECT dyntable_verify('c'), dyntable_verify('g');
SQL
	my ($status, $out, $error) = $node->psql("enc_$encoding", $sql);
	is("$out$error", "c\ng\nINCREMENTAL\nINCREMENTAL\n(0,0)|(0,0)", "encoding $encoding");
}

$node->stop;
done_testing();
