# rounds.pl DIRECTORY WORK: the rounds of compare, on the server that libpq's variables name.
#
# DIRECTORY is that of workload/ and source/, WORK is for files of its own.  Each
# engine works in a session of its own, by psql, and makes what it makes in
# schema by_<engine>.  Sources exist up to four times, in schemas of equal content
# that get the same batches: plain (nothing listens), captured (dynamic tables
# and the ideal read it), immediate (pg_ivm's triggers), buffered (pg_trickle's
# triggers).
use strict;
use warnings;
use IO::Handle;
use IPC::Open2;
use JSON::PP;

STDOUT->autoflush(1);
my ($directory, $work) = @ARGV;
my $rounds = $ENV{ROUNDS} || 5;
my @sizes = split ' ', $ENV{ROWS} || 100000;
my @kinds = $ENV{KINDS} ? split(/\s*,\s*/, $ENV{KINDS}) : ('nothing', 'one', '0.1 %', '1 %', '10 %', 'inserts');
my @known = qw(dyntable ideal view concurrently pg_ivm pg_trickle);
my %wanted = map { $_ => 1 } split ' ', $ENV{ENGINES} || "@known";
my @workloads = $ENV{WORKLOADS} ? split(' ', $ENV{WORKLOADS}) : map { s{.*/(.*)\.sql}{$1}r } sort glob "$directory/workload/*.sql";
my $json = JSON::PP->new->canonical;
my %source_of = (dyntable => 'captured', ideal => 'captured', view => 'plain', concurrently => 'plain', pg_ivm => 'immediate', pg_trickle => 'buffered');
my (%session, $admin, %installed);
my $sessions = 0;

# ---- sessions ----

# A psql of its own, which ends at the first error; preload names a library that its backend begins with.
sub session
{
	my ($path, %setting) = @_;
	my $self = { path => $path, errors => "$work/errors" . $sessions++ };
	local $ENV{PGOPTIONS} = $setting{preload} ? "-c session_preload_libraries=$setting{preload}" : '';
	$self->{psql} = open2($self->{out}, $self->{in}, "exec psql -XAtq -v ON_ERROR_STOP=1 2>$self->{errors}");
	$self->{backend} = ask($self, 'SELECT pg_backend_pid()');
	ask($self, "SET client_min_messages = error; SET search_path = $path, public; SET synchronous_commit = " . ($setting{synchronous} ? 'on' : 'off'));
	return $self;
}

# Run it: the milliseconds that its statements took, and the rows.
sub timed
{
	my ($session, $sql) = @_;
	my ($ms, @rows) = (0);
	local $SIG{PIPE} = 'IGNORE';
	print { $session->{in} } "\\timing on\n$sql\n;\n\\timing off\n\\echo =done\n";
	$session->{in}->flush;
	while (defined(my $line = readline $session->{out}))
	{
		chomp $line;
		return ($ms, @rows) if $line eq '=done';
		if ($line =~ /^Time: ([0-9.]+) ms/) { $ms += $1 }
		else { push @rows, $line }
	}
	open my $errors, '<', $session->{errors} or die $!;
	die "session of $session->{path}: ", <$errors>;
}

sub ask
{
	my (undef, @rows) = timed(@_);
	return wantarray ? @rows : $rows[0];
}

# Variables of psql
sub set
{
	my ($session, %value) = @_;
	print { $session->{in} } map { "\\set $_ $value{$_}\n" } sort keys %value;
}

sub finish
{
	close $_[0]{in};
	waitpid $_[0]{psql}, 0;
}

sub wal { return ask($admin, q{SELECT pg_current_wal_insert_lsn() - '0/0'}) }

# ---- memory and processor ----

# The processor time of a backend so far, in ms
sub processor
{
	open my $file, '<', "/proc/$_[0]{backend}/schedstat" or return 0;
	return (split ' ', <$file>)[0] / 1e6;
}

# The peak of a backend's memory begins here.
sub memory_begin
{
	open my $file, '>', "/proc/$_[0]{backend}/clear_refs" or return;
	print $file 5;
}

# The peak in kB, less what is shared or of files at the end: a lower bound.
sub memory_end
{
	my %kb;
	open my $file, '<', "/proc/$_[0]{backend}/status" or return 0;
	while (<$file>) { $kb{$1} = $2 if /^(\w+):\s+(\d+) kB/ }
	return $kb{VmHWM} - $kb{RssShmem} - $kb{RssFile};
}

# ---- numbers ----

sub median
{
	my @v = sort { $a <=> $b } @_;
	return @v % 2 ? $v[$#v / 2] : ($v[@v / 2 - 1] + $v[@v / 2]) / 2;
}

sub geometric_mean
{
	my $sum = 0;
	$sum += log $_ for @_;
	return exp($sum / @_);
}

sub number { return 0 + sprintf '%.4g', $_[0] }

sub result { print $json->encode({ measure => 'engines/compare', @_ }), "\n" }

# ---- workloads ----

# The sections of a file, which lines "-- @name ..." begin; see README.md.
sub sections
{
	my ($file) = @_;
	my ($name, %sections) = ('head', queries => []);
	open my $in, '<', $file or die "$file: $!";
	while (<$in>)
	{
		if (/^-- \@source (\w+)/) { $sections{from} = sections("$directory/source/$1.sql") }
		elsif (/^-- \@query (\w+) key (.*)/) { $name = 'text'; push @{ $sections{queries} }, { name => $1, key => $2, text => '' } }
		elsif (/^-- \@(.*)/) { $name = $1 }
		elsif ($name eq 'text') { $sections{queries}[-1]{text} .= $_ }
		else { $sections{$name} .= $_ }
	}
	return \%sections;
}

# Run it in the engine's session: why it fails, or nothing.
sub attempt
{
	my ($engine, $sql) = @_;
	return ask($session{$engine}, "DO \$do\$ DECLARE why text; hint text; BEGIN
		PERFORM set_config('bench.why', '', false);
		PERFORM $sql;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS why = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
			PERFORM set_config('bench.why', concat_ws('; ', why, nullif(hint, '')), false);
		END \$do\$;
		SELECT current_setting('bench.why')");
}

# What an engine makes of a query; returns why it cannot.
my %make = (
	dyntable => sub {
		my ($query) = @_;
		ask($session{dyntable}, "SELECT dyntable_create('by_dyntable.$query->{name}', \$q\$$query->{text}\$q\$, 'downstream')");
		return '';
	},
	view => sub {
		my ($query, $engine) = @_;
		ask($session{$engine}, "CREATE MATERIALIZED VIEW $query->{name} AS $query->{text}; CREATE UNIQUE INDEX ON $query->{name} ($query->{key})");
		return '';
	},
	pg_ivm => sub {
		my ($query) = @_;
		my $why = attempt('pg_ivm', "pgivm.create_immv('by_pg_ivm.$query->{name}', \$q\$$query->{text}\$q\$)");
		# Where it finds a key it makes a unique index itself; a second one would burden its writes.
		my $indexed = ask($session{pg_ivm}, "SELECT count(*) FROM pg_index WHERE indrelid = to_regclass('by_pg_ivm.$query->{name}') AND indisunique");
		ask($session{pg_ivm}, "CREATE UNIQUE INDEX ON $query->{name} ($query->{key})") unless $why || $indexed;
		return $why;
	},
	pg_trickle => sub {
		my ($query) = @_;
		return attempt('pg_trickle', "pgtrickle.create_stream_table('by_pg_trickle.$query->{name}', \$q\$$query->{text}\$q\$, '1d')");
	},
	ideal => sub {
		my ($query, undef, $load) = @_;
		ask($session{ideal}, $load->{'ideal tables'} =~ s/:query\b/$query->{text}/r);
		ask($session{ideal}, "CREATE FUNCTION refresh() RETURNS void LANGUAGE plpgsql AS \$ideal\$ $load->{'ideal refresh'} \$ideal\$");
		return '';
	});
$make{concurrently} = $make{view};

# The logs of capture as plain tables: delta.<source> (seq, weight, columns that the query reads)
sub prepare_delta
{
	ask($admin, 'CREATE SCHEMA delta');
	my @logged = ask($admin, q{
		SELECT s.relname, s.oid, string_agg(format('l.%I AS %I', l.attname, a.attname), ', ' ORDER BY l.attnum)
		FROM pg_class s JOIN pg_attribute a ON a.attrelid = s.oid
		JOIN pg_attribute l ON l.attrelid = to_regclass('dyntable.log_' || s.oid) AND l.attname = 'a' || a.attnum
		WHERE s.relnamespace = 'captured'::regnamespace GROUP BY 1, 2});
	my @deltas;
	for (@logged)
	{
		my ($name, $oid, $columns) = split /\|/;
		ask($admin, "CREATE TABLE delta.$name AS SELECT 0::bigint AS seq, 0 AS weight, $columns FROM dyntable.log_$oid l WITH NO DATA");
		push @deltas, { name => $name, fill => "INSERT INTO delta.$name SELECT row_number() OVER (ORDER BY half, at), w, $columns FROM
			(SELECT 1 AS half, ctid AS at, * FROM dyntable.log_$oid WHERE xid = 'XID' UNION ALL SELECT 2, ctid, * FROM dyntable.log_${oid}_b WHERE xid = 'XID') l
			WHERE w IN (1, -1)" };
	}
	return @deltas;
}

sub fill_delta
{
	my ($load, $xid) = @_;
	for my $delta (@{ $load->{deltas} })
	{
		ask($admin, "TRUNCATE delta.$delta->{name}");
		ask($admin, $delta->{fill} =~ s/XID/$xid/gr) if $xid;
		ask($admin, "ANALYZE delta.$delta->{name}");
	}
}

# Sources, and what each engine makes over them; what can not take part says why.
sub prepare
{
	my ($load, $rows) = @_;
	my @engines = grep { $wanted{$_} } @known;
	@engines = grep { $_ ne 'ideal' } @engines if !$wanted{dyntable} || !$load->{'ideal refresh'};
	@engines = grep { !/^pg_/ || $installed{$_} } @engines;

	for my $source (sort keys %{ { map { $source_of{$_} => 1 } @engines } })
	{
		ask($admin, "CREATE SCHEMA $source");
		$session{$source} = session($source, synchronous => 1, preload => $source eq 'immediate' && 'pg_ivm');
		set($session{$source}, rows => $rows, small => int($rows / 100));
		ask($session{$source}, $load->{from}{tables} . ($load->{indexes} // ''));
	}
	ask($admin, 'VACUUM ANALYZE');
	if ($load->{generate})
	{
		$load->{queries} = [ map { my ($name, $key, $text) = split /\|/, $_, 3; { name => $name, key => $key, text => $text } } ask($admin, $load->{generate}) ];
	}
	$load->{moving} = grep { $_->{text} =~ /\bnow\(\)/ } @{ $load->{queries} };
	$load->{engines} = [];
	for my $engine (@engines)
	{
		my $why = '';
		ask($admin, "CREATE SCHEMA by_$engine");
		$session{$engine} = session("by_$engine, $source_of{$engine}", preload => $engine eq 'pg_ivm' && 'pg_ivm');
		for my $query (@{ $load->{queries} })
		{
			$why ||= $make{$engine}->($query, $engine, $load);
		}
		$load->{deltas} = [ prepare_delta() ] if $engine eq 'dyntable';
		if ($why) { result(workload => $load->{name}, engine => $engine, skipped => $why) }
		else { push @{ $load->{engines} }, $engine }
	}
	$load->{sources} = [ sort keys %{ { map { $source_of{$_} => 1 } @{ $load->{engines} } } } ];
	for my $query (@{ $load->{queries} })
	{
		$query->{columns} = ask($admin, "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = 'by_$load->{engines}[0].$query->{name}'::regclass AND attnum > 0 AND attname NOT LIKE '\\_\\_pgt\\_%'");
	}
	$load->{tables} = join ', ', map { "'by_dyntable.$_->{name}'" } @{ $load->{queries} };
	ask($admin, 'VACUUM ANALYZE');
}

sub clean
{
	my ($load) = @_;
	my $preload = $session{pg_ivm} && 'pg_ivm';    # which notes there what is dropped
	finish($_) for values %session;
	%session = ();
	$admin = session('bench', synchronous => 1, preload => $preload);
	for my $name (ask($admin, q{SELECT format('%I.%I', schema_name, name) FROM dyntable.dynamic_tables}))
	{
		ask($admin, "SELECT dyntable_drop('$name', cascade => true) WHERE to_regclass('$name') IS NOT NULL");
	}
	# whose buffers outlive the stream tables and the sources
	ask($admin, 'DROP EXTENSION pg_trickle CASCADE; CREATE EXTENSION pg_trickle') if $installed{pg_trickle};
	my $schemas = ask($admin, q{SELECT string_agg(nspname, ', ') FROM pg_namespace WHERE nspname IN ('plain', 'captured', 'immediate', 'buffered', 'delta') OR nspname LIKE 'by\_%'});
	ask($admin, "DROP SCHEMA $schemas CASCADE") if $schemas;
}

# ---- rounds ----

# The numbers of a batch; the batch itself is the source's.
sub batch
{
	my ($kind, $rows, $no) = @_;
	my %batch = (batch => $no, next => 100_000_000 + $no * 2_000_000, next_small => 400_000_000 + $no * 1000, few => 0);
	my $share = $kind =~ /^([0-9.]+) %/ ? $1 / 100 : 0;
	if ($kind eq 'inserts') { @batch{qw(updates deletes inserts)} = (0, 0, int($rows / 100)) }
	else
	{
		my $n = $share ? $rows * $share : 1;
		@batch{qw(updates deletes inserts)} = (int(($n + 1) / 2), int($n / 4), int($n / 4));
		$batch{few} = int($rows / 100 * $share + 0.5) || 1 if $share;
	}
	return %batch;
}

# Write a batch to each copy of the sources; the xid of the captured one.
sub write_batch
{
	my ($load, $kind, $rows, $no, $seen) = @_;
	my $captured;
	my $section = $kind eq 'inserts' ? 'inserts' : 'mixed';
	my @order = @{ $load->{sources} };
	push @order, shift @order for 1 .. $no;
	for my $source (@order)
	{
		ask($admin, 'CALL wait_for_capture()');    # of what was written before
		set($session{$source}, batch($kind, $rows, $no));
		my $before = wal();
		memory_begin($session{$source});
		my ($ms, $xid) = timed($session{$source}, "BEGIN;\n$load->{from}{$section}SELECT pg_current_xact_id();\nCOMMIT");
		if ($source eq 'captured')
		{
			my ($wait) = timed($admin, 'CALL wait_for_capture()');
			push @{ $seen->{capture_ms} }, $wait;
			$captured = $xid;
		}
		push @{ $seen->{"$source memory"} }, memory_end($session{$source});
		push @{ $seen->{"$source write_ms"} }, $ms;
		push @{ $seen->{"$source write_wal"} }, wal() - $before;
	}
	return $captured;
}

# How each engine refreshes; returns milliseconds and, where it tells, the time that its rows are of.
my %refresh = (
	dyntable => sub {
		my ($load, $seen) = @_;
		my $last = ask($admin, 'SELECT coalesce(max(id), 0) FROM dyntable.refresh_history');
		my ($ms, $row) = timed($session{dyntable}, "SELECT max(data_timestamp), sum(rows_inserted + rows_updated + rows_deleted), string_agg(DISTINCT action, ' ') FROM dyntable_refresh(VARIADIC ARRAY[$load->{tables}]::regclass[])");
		my ($stamp, $rows, $action) = split /\|/, $row;
		$seen->{actions}{$action}++;
		push @{ $seen->{rows} }, $rows || 0;
		for (ask($admin, "SELECT p, sum(v::float8) FROM dyntable.refresh_history, jsonb_each_text(phases) x(p, v) WHERE id > $last GROUP BY p"))
		{
			my ($phase, $ms) = split /\|/;
			push @{ $seen->{phases}{$phase} }, $ms;
		}
		return ($ms, $stamp);
	},
	ideal => sub { return timed($session{ideal}, 'SELECT now() FROM refresh()') },
	view => sub { return timed($session{view}, join ';', map { "REFRESH MATERIALIZED VIEW $_->{name}" } @{ $_[0]{queries} }) },
	concurrently => sub { return timed($session{concurrently}, join ';', map { "REFRESH MATERIALIZED VIEW CONCURRENTLY $_->{name}" } @{ $_[0]{queries} }) },
	pg_ivm => sub { return 0 },
	pg_trickle => sub { return timed($session{pg_trickle}, join ';', map { "SELECT now() FROM pgtrickle.refresh_stream_table('by_pg_trickle.$_->{name}')" } @{ $_[0]{queries} }) });

# How many rows of an engine are not those of the query, and of which query.  The
# rows of the query are those of the materialized view that has just been refreshed,
# unless the query moves with the clock.
sub difference
{
	my ($load, $engine, $stamp) = @_;
	my $viewed = !$load->{moving} && grep { $_ eq 'view' } @{ $load->{engines} };
	for my $query (@{ $load->{queries} })
	{
		my $rows = "SELECT $query->{columns} FROM by_$engine.$query->{name}";
		my $truth = $viewed ? "SELECT $query->{columns} FROM by_view.$query->{name}" : $query->{text};
		$truth =~ s/\bnow\(\)/'$stamp'::timestamptz/g if $load->{moving};
		my ($differ) = ask($session{$engine}, "SELECT count(*) FROM (($rows EXCEPT ALL ($truth)) UNION ALL (($truth) EXCEPT ALL $rows)) x");
		return "$differ rows of $query->{name} differ from its query" if $differ;
	}
	return undef;
}

# What the tables hold, and whether they hold anything
sub content
{
	my ($load) = @_;
	my $engine = $load->{engines}[0];
	my @content = map { ask($admin, "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM by_$engine.$_->{name} t") } @{ $load->{queries} };
	die "$load->{name}: an empty result tells nothing\n" if grep { /^0\|/ } $content[-1];
	return join ' ', @content;
}

# All rounds of a kind: what was seen, by engine
sub measure
{
	my ($load, $kind, $rows, $count, $no) = @_;
	my (%seen, $changed);
	ask($admin, 'VACUUM ANALYZE');
	ask($admin, 'CHECKPOINT');
	my $content = content($load);
	for my $round (1 .. $count)
	{
		my $xid = $kind eq 'nothing' ? '' : write_batch($load, $kind, $rows, ++$$no, \%seen);
		fill_delta($load, $xid) if grep { $_ eq 'ideal' } @{ $load->{engines} };
		my @order = @{ $load->{engines} };
		push @order, shift @order for 1 .. $round;
		my %stamp;
		for my $engine (@order)
		{
			ask($admin, 'SELECT 1 FROM pg_logical_emit_message(true, \'bench\', \'\')');    # flushed with all before it
			ask($admin, 'CALL wait_for_capture()');
			my $before = wal();
			memory_begin($session{$engine});
			my $processor = processor($session{$engine});
			my ($ms, $stamp) = $refresh{$engine}->($load, \%seen);
			push @{ $seen{$engine}{processor} }, processor($session{$engine}) - $processor;
			push @{ $seen{$engine}{memory} }, memory_end($session{$engine});
			push @{ $seen{$engine}{ms} }, $ms;
			push @{ $seen{$engine}{wal} }, wal() - $before;
			$stamp{$engine} = $stamp;
		}
		for my $engine (@order)
		{
			next if $engine =~ /^(view|concurrently)$/;
			my $why = difference($load, $engine, $stamp{$engine}) // next;
			die "$load->{name}: $engine: $why\n" unless $engine =~ /^pg_/;
			result(workload => $load->{name}, batch => $kind, engine => $engine, skipped => $why);
			@{ $load->{engines} } = grep { $_ ne $engine } @{ $load->{engines} };
		}
		my $now = content($load);
		$changed++ if $now ne $content;
		$content = $now;
	}
	die "$load->{name}: no batch of kind $kind changed the result\n" if $kind =~ /%/ && !$changed;
	return \%seen;
}

# One line for each engine
sub report
{
	my ($load, $kind, $rows, $seen) = @_;
	for my $engine (@{ $load->{engines} })
	{
		my $source = $source_of{$engine};
		my %line = (workload => $load->{name}, rows => 0 + $rows, batch => $kind, engine => $engine,
			refresh_ms => number(median(@{ $seen->{$engine}{ms} })), processor_ms => number(median(@{ $seen->{$engine}{processor} })), wal_bytes => number(median(@{ $seen->{$engine}{wal} })),
			peak_kb => number(median(@{ $seen->{$engine}{memory} })));
		if ($kind ne 'nothing')
		{
			$line{write_ms} = number(median(@{ $seen->{"$source write_ms"} }));
			# immediate: the work is in the write
			$line{peak_kb} = number(median(@{ $seen->{'immediate memory'} })) if $engine eq 'pg_ivm';
			$line{write_wal} = number(median(@{ $seen->{"$source write_wal"} }));
		}
		if ($engine eq 'dyntable')
		{
			$line{action} = join ', ', map { "$_ $seen->{actions}{$_}" } sort keys %{ $seen->{actions} };
			$line{rows_changed} = number(median(@{ $seen->{rows} }));
			$line{capture_ms} = number(median(@{ $seen->{capture_ms} })) if $seen->{capture_ms};
			$line{phases} = { map { $_ => number(median(@{ $seen->{phases}{$_} })) } keys %{ $seen->{phases} } } if $seen->{phases};
		}
		result(%line);
	}
}

# The ratios that have a target, over all workloads of a size
sub targets
{
	my ($rows, $times) = @_;
	my $of_rows = @sizes > 1 ? ", $rows rows" : '';
	my %ratio;
	for my $kind (@kinds)
	{
		for my $workload (sort keys %{ $times->{$kind} })
		{
			my %of = %{ $times->{$kind}{$workload} };
			my $dyntable = $of{dyntable} or next;
			push @{ $ratio{ideal}{$kind} }, [ $dyntable / $of{ideal}, $workload ] if $of{ideal};
			push @{ $ratio{view}{$kind} }, [ $of{view} / $dyntable, $workload ] if $of{view};
			for my $peer (qw(pg_ivm pg_trickle))    # which pay in the write
			{
				push @{ $ratio{$peer}{$kind} }, [ ($of{captured} + $dyntable) / ($of{ $source_of{$peer} } + $of{$peer}), $workload ] if defined $of{$peer} && $of{captured};
			}
		}
	}
	my $target = sub {
		my ($against, $kind, $what, $side, $mean, $worst_side, $worst) = @_;
		my @r = sort { $a->[0] <=> $b->[0] } @{ $ratio{$against}{$kind} // [] } or return;
		result(metric => "$kind: $what, mean of " . @r . $of_rows, value => number(geometric_mean(map { $_->[0] } @r)), $side ? ($side => $mean) : ());
		my $extreme = $worst_side eq 'most' ? $r[-1] : $r[0];
		result(metric => "$kind: $what, worst ($extreme->[1])$of_rows", value => number($extreme->[0]), $worst ? ($worst_side => $worst) : ());
	};
	$target->('ideal', $_, 'refresh against ideal', most => 1.5, most => 4) for grep { /^(0\.1|1) %/ } @kinds;
	$target->('ideal', $_, 'refresh against ideal', '', 0, most => 0) for grep { !/^(0\.1|1) %/ } @kinds;
	my %least = ('0.1 %' => 25, '1 %' => 6);
	$target->('view', $_, 'times faster than the view', $least{$_} ? 'least' : '', $least{$_}, least => 0.4) for grep { $_ ne 'nothing' } @kinds;
	$target->('pg_ivm', $_, 'write + refresh against pg_ivm', $_ eq '1 %' ? 'most' : '', 1, most => 0) for grep { $_ ne 'nothing' } @kinds;
	$target->('pg_trickle', $_, 'write + refresh against pg_trickle', '', 0, most => 0) for grep { $_ ne 'nothing' } @kinds;
}

# ---- all of them ----

my $failed = 0;
$admin = session('bench', synchronous => 1);
%installed = map { $_ => 1 } ask($admin, 'SELECT extname FROM pg_extension');
for my $rows (@sizes)
{
	my %times;
	for my $name (@workloads)
	{
		my $load = { %{ sections("$directory/workload/$name.sql") }, name => $name };
		my $no = 0;
		eval {
			prepare($load, $rows);
			measure($load, 'one', $rows, 1, \$no);    # plans, caches
			for my $kind (@kinds)
			{
				my $seen = measure($load, $kind, $rows, $rounds, \$no);
				report($load, $kind, $rows, $seen);
				my %of = map { $_ => median(@{ $seen->{$_}{ms} }) } @{ $load->{engines} };
				$of{$_} = median(@{ $seen->{"$_ write_ms"} }) for grep { $seen->{"$_ write_ms"} } @{ $load->{sources} };
				$times{$kind}{$name} = \%of;
			}
			1;
		} or do { $failed = 1; print STDERR "$name: $@" };
		clean($load);
	}
	targets($rows, \%times);
}
finish($admin);
exit $failed;
