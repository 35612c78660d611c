# The page and the metrics of examples/monitoring: in a real browser, and scraped by a
# real exporter.  Where one of these is not installed its part is skipped.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DynTest;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Test::More;

my $here = "$DynTest::ROOT/examples/monitoring";
my $node = DynTest::new_node('dashboard', 'dyntable.max_consecutive_failures = 1000');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE orders (id int PRIMARY KEY, customer text, parts int);
INSERT INTO orders SELECT i, 'c' || i % 5, 1 FROM generate_series(1, 50) i;
SELECT dyntable_create('dt_orders', 'SELECT customer, count(*) AS n FROM orders GROUP BY customer', '1 hour');
SELECT dyntable_create('"x</script><b>"', 'SELECT sum(n) AS n FROM dt_orders', 'downstream');
SELECT dyntable_create('dt_failing', 'SELECT id, 10 / parts AS share FROM orders', '1 second');
SELECT dyntable_create('dt_idle', 'SELECT n FROM dt_orders WHERE n > 5', '1 hour');
SELECT dyntable_create('dt_both', 'SELECT id FROM orders JOIN dt_idle ON n = id', '1 hour');
SELECT dyntable_suspend('dt_idle');
CREATE SCHEMA "A SCHEMA WITH A RATHER LONG NAME";
SELECT dyntable_create('"A SCHEMA WITH A RATHER LONG NAME"."A TABLE WHOSE NAME IS AS WIDE AS NAMES BECOME"', 'SELECT n FROM dt_orders', '1 hour');
INSERT INTO orders VALUES (51, 'c1', 0);
SQL
$node->poll_query_until('postgres', "SELECT last_refresh_state = 'FAILED' FROM dyntable.dynamic_tables WHERE name = 'dt_failing'")
  or die 'it does not fail';
$node->safe_psql('postgres', q(SELECT dyntable_refresh('"x</script><b>"')));
alerts();
page();
metrics();
$node->stop;
done_testing();

# The page as it is now.
sub html
{
	my ($role) = @_;
	my $page = "$ENV{TESTDIR}/page.html";
	local $ENV{PGOPTIONS} = "-c role=$role" if defined $role;
	my $connect = $node->connstr('postgres');
	is(system("psql -XAtq -d '$connect' -v template=\"\$(cat '$here/dashboard.html')\" -f '$here/dashboard.sql' >'$page'"), 0, 'the page is made');
	return PostgreSQL::Test::Utils::slurp_file($page);
}

# One that fires, and one that is over, an hour and some days ago.
sub alerts
{
	$node->safe_psql('postgres', 'SET client_min_messages = warning; \i ' . "$DynTest::ROOT/examples/staging/08_alerts.sql");
	like(html(), qr/"alerts" : \[\]/, 'rules without a firing are not taken for none');
	$node->safe_psql('postgres', <<'SQL');
DELETE FROM monitoring.alert_rule;
INSERT INTO monitoring.alert_rule (name, severity, schedule, condition, description) VALUES
	('failing', 'CRITICAL', '* * * * *', $$SELECT format('%I.%I', schema_name, name), jsonb_build_object('code', last_refresh_code)
		FROM dyntable.dynamic_tables WHERE last_refresh_state = 'FAILED'$$, 'one fails'),
	('over', 'WARNING', '* * * * *', $$SELECT 'the <first> & "only"', '{}' WHERE NOT EXISTS (SELECT FROM monitoring.alert_firing WHERE rule = 'over')$$, 'once');
SELECT monitoring.evaluate_alerts();
SELECT monitoring.evaluate_alerts();
UPDATE monitoring.alert_firing SET fired_at = '2026-01-02 03:04+00' WHERE rule = 'over';
SQL
}

sub page
{
	$node->safe_psql('postgres', 'CREATE ROLE passer_by; CREATE ROLE watcher IN ROLE pg_monitor');
	my ($passer_by, $watcher) = (html('passer_by'), html('watcher'));
	like($passer_by, qr/"tables" : null.*"capture" : null, "quality" : null, "alerts" : null/s, 'who may see nothing is shown nothing');
	like($watcher, qr/"name":"dt_failing".*"capture" : \{.*"quality" : null, "alerts" : null/s, 'who watches is shown tables and capture');
	my $html = html();
	unlike($html, qr{(?:src|href)\s*=|url\(|import |https?://(?!www\.w3\.org/2000/svg)|fetch\(}, 'it takes nothing from the network');
	unlike($html, qr{x</script>}, 'a name does not end the script');
	my ($browser) = grep { -x } '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome';
  SKIP:
	{
		skip 'no chromium', 38 unless $browser;
		my %drawn = drawn($browser, { own => $html, many => with_tables($html, 60), none => with_tables($html, 0) }, 360, 1280);
		foreach my $width (360, 1280)
		{
			my $dom = $drawn{"own $width"} // '';
			like($dom, qr/data-ready="yes"/, "drawn at a width of $width");
			like($dom, qr/data-wide="0"/, 'nothing is wider than the window');
			like($dom, qr/data-cut=""/, 'nor than the box in which it stands');
			like($dom, qr/data-sections="alerts graph tables lag refreshes quality capture"/, 'all sections are there');
			like($dom, $width < 500 ? qr/data-graph="list"/ : qr/data-graph="picture"/, 'the graph has the form for that width');
			like($dom, qr/data-letters="(?:9|1\d)"/, 'letters can be read');
			like($dom, qr/data-beyond="0"/, 'none is beyond its box');
			like($dom, qr/data-crossed="0"/, 'no line crosses a box');
			like($dom, qr/01-02 03:04/, 'what fired on another day says so');
			is(scalar(() = $dom =~ /<g class="node">/g), 7, 'the graph has the six tables and their source');
			like($dom, qr{<b>public\.dt_both</b>(?:(?!</li>).)*reads <a[^>]*>public\.dt_idle</a>, <a[^>]*>public\.orders</a>}s, 'and what they read');
			like($dom, qr/failed 22012/, 'what fails is said to');
			like($dom, qr/id="alerts".*public\.dt_failing.*id="graph"/s, 'and the alert that fires');
			like($dom, qr/the &lt;first&gt; &amp; "only"/, 'and the one that is over');

			# with sixty tables, each of which reads the first and one other
			$dom = $drawn{"many $width"} // '';
			like($dom, qr/data-wide="0" data-cut="".*data-crossed="0"/s, 'of many tables, too, none is cut, and no line crosses one');
			like($dom, qr{<summary>48 more</summary>}, 'and charts beyond a dozen wait to be asked for');
			like($drawn{"none $width"} // '', qr{id="tables"><h2>Tables</h2><p class="none">There are no dynamic tables\.</p>}, 'of none it is said');
		}
		# Light and dark differ where nothing is drawn: in the corner.
		my @light = screenshot($browser, 'light');
		my @dark = screenshot($browser, 'dark', '--blink-settings=preferredColorScheme=0');
		cmp_ok($light[0], '>', 10000, 'it looks like something');
		isnt($light[1], $dark[1], 'dark looks otherwise than light');
	}
}

# Pages, by name, as a browser has drawn them in windows of these widths (narrower than its own can be: in frames), with what was measured there.
sub drawn
{
	my ($browser, $pages, @widths) = @_;
	my $probe = <<'JS';
const measured = document.documentElement.dataset, all = (selector, within = document) => [...within.querySelectorAll(selector)];
measured.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
measured.cut = all(".scroll, td, th, li, h1, h2, .tile, .title").filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && !e.classList.contains("moved")).map(e => e.tagName + " " + e.textContent.slice(0, 60)).join("; ");
measured.sections = all("section").map(s => s.id).join(" ");
const picture = document.querySelector("#graph svg"), list = document.querySelector("#graph ol");
if (picture) {
  const seen = picture.getBoundingClientRect().width > 0;
  measured.graph = seen ? list.getBoundingClientRect().width > 0 ? "both" : "picture" : "list";
  measured.letters = Math.floor(seen ? 11 * picture.getBoundingClientRect().width / picture.viewBox.baseVal.width : parseFloat(getComputedStyle(all(".faint", list)[0]).fontSize));
  document.querySelector("#graph .scroll").style.display = "block";
  const boxes = all("#graph rect").map(r => r.getBBox());
  measured.beyond = all("#graph .node").filter(n => all("text", n).some(t => t.getBBox().x + t.getBBox().width > n.querySelector("rect").getBBox().x + n.querySelector("rect").getBBox().width)).length;
  measured.crossed = all("#graph path").filter(p => [...Array(200).keys()].some(i => { const at = p.getPointAtLength(p.getTotalLength() * i / 199);
    return boxes.some(b => at.x > b.x + 1 && at.x < b.x + b.width - 1 && at.y > b.y && at.y < b.y + b.height); })).length;
}
JS
	my ($frames, %drawn) = ('');
	foreach my $name (sort keys %$pages)
	{
		(my $html = $pages->{$name}) =~ s{</body>}{<script>{ $probe }</script></body>};
		DynTest::write_script("$ENV{TESTDIR}/$name.html", $html);
		$frames .= qq{<iframe src="$name.html" style="width: ${_}px; height: 2000px; border: 0" name="$name $_"></iframe>} foreach @widths;
	}
	DynTest::write_script("$ENV{TESTDIR}/frames.html", <<"HTML");
<!doctype html><body>$frames<script>
onload = () => document.body.append(...[...document.querySelectorAll("iframe")].map(f => {
  const seen = document.createElement("pre"); seen.textContent = f.name + ":" + f.contentDocument.documentElement.outerHTML; return seen; }));
</script></body>
HTML
	my $dom = run_browser($browser, '--dump-dom', '--allow-file-access-from-files', '--window-size=1400,2000', "file://$ENV{TESTDIR}/frames.html");
	while ($dom =~ m{<pre>(\w+ \d+):(.*?)</pre>}sg)
	{
		my ($name, $html) = ($1, $2);
		$html =~ s/&(lt|gt|amp);/{ lt => '<', gt => '>', amp => '&' }->{$1}/ge;
		$drawn{$name} = $html;
	}
	return %drawn;
}

# The page with so many tables in place of its own.
sub with_tables
{
	my ($html, $n) = @_;
	my ($before, $json, $after) = $html =~ m{\A(.*<script type="application/json" id="data">)(.*?)(</script>.*)\z}s;
	my $coder = JSON::PP->new;
	my $data = $coder->decode($json);
	my ($table) = grep { $_->{name} eq 'dt_orders' } @{ $data->{tables} };
	my ($lag) = grep { $_->{id} eq $table->{id} } @{ $data->{lags} };
	$data->{tables} = $n ? [ map { +{ %$table, id => "$_", name => "a_table_with_a_name_of_some_length_$_" } } 1 .. $n ] : undef;
	$data->{lags} = [ map { +{ %$lag, id => "$_" } } 1 .. $n ];
	$data->{edges} = [ map { my $id = $_; map { +{ id => "$id", source => "$_", source_name => 'orders' } } $id > 1 ? (int($id / 2), 1) : 0 } 1 .. $n ];
	return $before . $coder->encode($data) . $after;
}

sub metrics
{
	my ($exporter) = grep { -x } '/usr/bin/prometheus-postgres-exporter';
  SKIP:
	{
		skip 'no prometheus-postgres-exporter', 10 unless $exporter;
		my $listening = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no port: $!";
		my $port = $listening->sockport;
		close $listening;
		$node->safe_psql('postgres', 'CREATE ROLE prometheus LOGIN; GRANT pg_monitor TO prometheus');
		my $pid = fork // die "fork: $!";
		if (!$pid)
		{
			open(STDOUT, '>', "$ENV{TESTDIR}/exporter.log");
			open(STDERR, '>&', \*STDOUT);
			$ENV{DATA_SOURCE_NAME} = 'host=' . $node->host . ' port=' . $node->port . ' user=prometheus dbname=postgres sslmode=disable';
			exec $exporter, "--web.listen-address=127.0.0.1:$port", "--extend.query-path=$here/postgres_exporter.yml",
			  '--disable-default-metrics', '--disable-settings-metrics' or die "exec: $!";
		}
		my $text = '';
		foreach (1 .. 300)
		{
			my $answer = HTTP::Tiny->new(timeout => 20)->get("http://127.0.0.1:$port/metrics");
			$text = $answer->{content};
			last if $answer->{success} && $text =~ /^dyntable_capture_running/m && $text =~ /^dyntable_alert_open/m;
			select(undef, undef, undef, 0.1);
		}
		kill 'TERM', $pid;
		waitpid $pid, 0;
		my $labels = 'database="postgres",schema="public"';
		like($text, qr/^dyntable_table_age_seconds\{$labels,[^}]*table="dt_orders"\} [\d.e+-]+$/m, 'the age of a table is scraped');
		like($text, qr/^dyntable_table_target_lag_seconds\{[^}]*table="dt_orders"\} 3600$/m, 'and its target lag');
		like($text, qr/^dyntable_table_failing\{[^}]*table="dt_failing"\} 1$/m, 'and that it fails');
		like($text, qr/^dyntable_table_suspended\{[^}]*table="dt_idle"\} 1$/m, 'and that it is suspended');
		like($text, qr/^dyntable_refreshes_count\{action="incremental",[^}]*table="dt_orders"\} [1-9]/m, 'and its refreshes');
		like($text, qr/^dyntable_capture_running\{[^}]*database="postgres"[^}]*\} 1$/m, 'and capture');
		like($text, qr/^dyntable_alert_open\{database="postgres",rule="failing",[^}]*severity="critical",silenced="no",subject="public.dt_failing"\} 1$/m, 'and the alert that fires');
		unlike($text, qr/^dyntable_alert_open\{[^}]*rule="over"/m, 'and none that is over');
		grafana($text);
	}
}

# Each metric that a panel for Grafana asks for was scraped, with the labels that the panel goes by, and no panel covers
# another.  (Grafana is not in Debian, so nothing loads the file.)
sub grafana
{
	my ($text) = @_;
	my %labels;
	while ($text =~ /^(dyntable_\w+)\{([^}]*)\}/mg)
	{
		my ($metric, $with) = ($1, $2);
		$labels{$metric}{$_} = 1 foreach $with =~ /(\w+)=/g;
	}
	my $file  = PostgreSQL::Test::Utils::slurp_file("$here/grafana.json");
	my $board = JSON::PP->new->decode($file);
	my ($asked, %ids, %covered) = (0);
	my %named = map { $_ => 1 } $file =~ /\b(dyntable_\w+)/g;
	my @wrong = map { "$_ is not scraped" } grep { !$labels{$_} } sort keys %named;
	foreach my $panel (@{ $board->{panels} })
	{
		push @wrong, "$panel->{title}: its id is another's" if $ids{ $panel->{id} }++;
		my ($x, $y, $w, $h) = @{ $panel->{gridPos} }{qw(x y w h)};
		push @wrong, "$panel->{title}: wider than the page" if $x + $w > 24;
		foreach my $place (map { my $row = $_; map { "$_,$row" } $x .. $x + $w - 1 } $y .. $y + $h - 1)
		{
			push @wrong, "$panel->{title}: covers $covered{$place}" if $covered{$place};
			$covered{$place} = $panel->{title};
		}
		foreach my $target (@{ $panel->{targets} })
		{
			my @metrics = $target->{expr} =~ /\b(dyntable_\w+)/g;
			my @by = (join(' ', $target->{legendFormat}, $target->{expr}) =~ /\{\{(\w+)\}\}|\{(\w+)=/g, map { split /, */ } $target->{expr} =~ /\bby \(([^)]*)\)/g);
			push @wrong, "$panel->{title}: asks for nothing" if !@metrics;
			foreach my $metric (@metrics)
			{
				$asked++;
				push @wrong, map { "$panel->{title}: $metric has no $_" } grep { !$labels{$metric}{$_} } grep { defined } @by;
			}
		}
	}
	cmp_ok($asked, '>', 15, 'the dashboard for Grafana asks for metrics');
	is(join("\n", @wrong), '', 'they are there, by those labels, and each panel has its place');
	return;
}

sub run_browser
{
	my ($browser, @arguments) = @_;
	my @command = ($browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', "--user-data-dir=$ENV{TESTDIR}/browser", @arguments);
	open(my $pipe, '-|', join(' ', map { "'$_'" } @command) . " 2>>'$ENV{TESTDIR}/browser.log'") or die "$browser: $!";
	local $/;
	my $out = <$pipe> // '';
	close $pipe;
	return $out;
}

# The size of a picture of the page, and its bytes.
sub screenshot
{
	my ($browser, $name, @arguments) = @_;
	my $file = "$ENV{TESTDIR}/$name.png";
	run_browser($browser, @arguments, '--window-size=500,1500', "--screenshot=$file", "file://$ENV{TESTDIR}/page.html");
	return (-s $file // 0, -e $file ? PostgreSQL::Test::Utils::slurp_file($file) : $name);
}
