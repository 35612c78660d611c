--
-- Aggregates and groups.
--
CREATE SCHEMA sql_aggregates;
SET search_path = sql_aggregates, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE DOMAIN there AS int NOT NULL;
CREATE TABLE kind (k int PRIMARY KEY, name text NOT NULL, w there);
CREATE TABLE t (
    id   int PRIMARY KEY,
    k    int,
    g    text COLLATE loose,
    i    int,
    b    bigint,
    n    numeric(8,2),
    u    numeric,
    f    double precision,
    s    text,
    o    boolean,
    m    mood,
    at   timestamptz
);
INSERT INTO kind SELECT i, 'kind ' || i, i FROM generate_series(0, 5) i;
INSERT INTO t SELECT i, nullif(i % 4, 3), (ARRAY['a', 'A', 'b', NULL])[i % 4 + 1], nullif(i % 5, 4), i % 3, i * 1.25, i % 4 * 1.50, i / 4.0,
    (ARRAY['x', 'y', NULL, 'X'])[i % 4 + 1], (ARRAY[true, false, NULL])[i % 3 + 1], (ARRAY['sad', 'ok', 'glad', NULL]::mood[])[i % 4 + 1],
    now() - i * interval '1 hour' FROM generate_series(1, 30) i;

-- an aggregate of a user's: with internal state, polymorphic, variadic, as ordered set
CREATE FUNCTION cat_step(text, VARIADIC text[]) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT coalesce($1, '') || array_to_string($2, '/') $$;
CREATE AGGREGATE cat(VARIADIC text[]) (SFUNC = cat_step, STYPE = text);
CREATE AGGREGATE keep(anynonarray) (SFUNC = array_agg_transfn, STYPE = internal, FINALFUNC = array_agg_finalfn, FINALFUNC_EXTRA);
CREATE FUNCTION product_step(numeric, numeric) RETURNS numeric IMMUTABLE STRICT LANGUAGE sql AS $$ SELECT $1 * $2 $$;
CREATE AGGREGATE product(numeric) (SFUNC = product_step, STYPE = numeric, INITCOND = 1);
CREATE AGGREGATE at_share(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);

INSERT INTO definition (name, query) VALUES
    ('a_sums', 'SELECT k, count(*) AS c, count(i) AS ci, sum(i) AS si, sum(b) AS sb, sum(n) AS sn, sum(u) AS su, avg(i) AS ai, avg(n) AS an, avg(u) AS au FROM t GROUP BY k'),
    ('a_extrema', 'SELECT k, min(s) AS s, max(g) AS g, min(m) AS m, max(u) AS u, min(at) AS at, max(f) AS f, max(x.name) AS name FROM t JOIN (SELECT k, name::name AS name FROM kind) x USING (k) GROUP BY k'),
    ('a_extrema_distinct', 'SELECT g, min(DISTINCT i) AS lo, max(DISTINCT n ORDER BY n) AS hi, max(s ORDER BY i) AS s FROM t GROUP BY g'),
    ('a_bool', 'SELECT k, bool_and(o) AS a, bool_or(o) AS o, every(i > 0) AS e, bool_and(o) FILTER (WHERE i > 1) AS f, bool_or(DISTINCT o) AS d FROM t GROUP BY k'),
    ('a_bool_all', 'SELECT bool_and(o) AS a, bool_or(i > 3) AS o FROM t WHERE id < 100'),
    ('a_bits', 'SELECT k, bit_and(i) AS a, bit_or(i) AS o, bit_xor(b) AS x FROM t GROUP BY k'),
    ('a_floats', 'SELECT k, sum(f) AS s, avg(f) AS a, sum(f::real) AS r FROM t GROUP BY k'),
    ('a_variance', 'SELECT k, variance(i) AS v, var_pop(b) AS vp, stddev(n) AS sd, stddev_pop(u) AS sp, round(var_samp(f)::numeric, 6) AS vf FROM t GROUP BY k'),
    ('a_variance_exact', 'SELECT k, variance(i)::text AS v, var_pop(b)::text AS vp, var_samp(n)::text AS vn, var_pop(n) FILTER (WHERE b > 0)::text AS vf, variance(i * 1000000000::bigint)::text AS vb, var_pop(i::smallint)::text AS vs FROM t GROUP BY k'),
    ('a_regression', 'SELECT k, round(corr(f, i)::numeric, 6) AS c, round(covar_pop(i, b)::numeric, 6) AS cp, round(covar_samp(i, f)::numeric, 6) AS cs, round(regr_slope(i, b)::numeric, 6) AS sl, regr_count(i, b) AS rc, round(regr_r2(f, b)::numeric, 6) AS r FROM t GROUP BY k'),
    ('a_strings', 'SELECT k, string_agg(s, '', '' ORDER BY id) AS s, string_agg(DISTINCT s, ''-'') AS d, array_agg(i ORDER BY i DESC, id) AS a, array_agg(s ORDER BY id) FILTER (WHERE i > 1) AS f FROM t GROUP BY k'),
    ('a_documents', 'SELECT k, json_agg(s ORDER BY id) AS j, jsonb_agg(i ORDER BY id) AS jb, json_object_agg(id, s ORDER BY id) AS o, jsonb_object_agg(id, i) AS ob, xmlagg(xmlelement(name e, id) ORDER BY id) AS x FROM t GROUP BY k'),
    ('a_ordered_sets', 'SELECT k, percentile_cont(0.5) WITHIN GROUP (ORDER BY i) AS pc, percentile_disc(0.3) WITHIN GROUP (ORDER BY s) AS pd, mode() WITHIN GROUP (ORDER BY i) AS m, percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY n) FILTER (WHERE i > 0) AS pa FROM t GROUP BY k'),
    ('a_hypothetical', 'SELECT k, rank(2) WITHIN GROUP (ORDER BY i) AS r, dense_rank(2) WITHIN GROUP (ORDER BY i DESC NULLS LAST) AS d, percent_rank(1, ''x'') WITHIN GROUP (ORDER BY i, s) AS p, cume_dist(5) WITHIN GROUP (ORDER BY n) AS c FROM t GROUP BY k'),
    ('a_ranges', 'SELECT k, range_agg(int4range(id, id + 2)) AS r, range_intersect_agg(int4range(0, id)) AS i FROM t GROUP BY k'),
    ('a_users', 'SELECT k, cat(s, g ORDER BY id) FILTER (WHERE id < 5) AS c, keep(i ORDER BY id) AS ki, keep(s ORDER BY id) AS ks, product(n) AS p FROM t GROUP BY k'),
    ('a_users_other', 'SELECT k, keep(DISTINCT i ORDER BY i) AS d, product(DISTINCT n) AS c, cat(DISTINCT s, g) FILTER (WHERE i = 1) AS v, cat(DISTINCT s) AS w, at_share(0.4) WITHIN GROUP (ORDER BY i) AS f FROM t WHERE k = 1 GROUP BY k'),
    ('a_distinct', 'SELECT k, count(DISTINCT i) AS c FROM t GROUP BY k'),
    ('a_distinct_many', 'SELECT k, count(DISTINCT i) AS ci, count(*) AS c, sum(DISTINCT i) AS si, avg(DISTINCT b) AS ab, count(DISTINCT g) AS cg, sum(n) AS sn, max(s) AS s, string_agg(s, '','' ORDER BY id) AS l, count(s) AS cs FROM t GROUP BY k'),
    ('a_distinct_filter', 'SELECT k, count(DISTINCT i) FILTER (WHERE b > 0) AS c, sum(DISTINCT n) FILTER (WHERE s IS NOT NULL) AS s, count(DISTINCT i) AS d FROM t GROUP BY k'),
    ('a_distinct_filter_only', 'SELECT g, count(DISTINCT i) FILTER (WHERE b > 0) AS c FROM t GROUP BY g'),
    ('a_distinct_key', 'SELECT k, count(DISTINCT k) AS c, count(k) AS n, sum(DISTINCT i + k) AS s FROM t GROUP BY k'),
    ('a_distinct_row', 'SELECT k, count(DISTINCT (i, s)) AS c, count(DISTINCT (i, NULL::int)) AS d, count(DISTINCT s COLLATE loose) AS l, count(*) AS n FROM t GROUP BY k'),
    ('a_distinct_all', 'SELECT count(DISTINCT i) AS c, sum(DISTINCT u) AS s, count(*) AS n, avg(DISTINCT n) AS a FROM t WHERE id < 100'),
    ('a_distinct_only', 'SELECT count(DISTINCT i) AS c FROM t WHERE id < 100'),
    ('a_distinct_join', 'SELECT x.name, count(DISTINCT t.i) AS c, count(DISTINCT t.s) AS s, sum(t.n) AS n FROM kind x LEFT JOIN t USING (k) GROUP BY x.name HAVING count(DISTINCT t.i) > 2 OR max(t.i) IS NULL'),
    ('a_distinct_float', 'SELECT k, sum(DISTINCT f) AS f, count(DISTINCT f) AS c, count(DISTINCT at) AS a, count(DISTINCT m) AS m FROM t GROUP BY k'),
    ('a_distinct_levels', 'SELECT c, count(DISTINCT k) AS ks, sum(n) AS n FROM (SELECT k, count(DISTINCT i) AS c, count(*) AS n FROM t GROUP BY k) x GROUP BY c'),
    ('a_moving', 'SELECT k, count(*) FILTER (WHERE at > now() - interval ''1 day'') AS day, count(*) AS c, sum(n) FILTER (WHERE at > now() - interval ''10 hours'' AND i > 0) AS s, max(i) AS m FROM t GROUP BY k'),
    ('a_moving_any', 'SELECT count(*) FILTER (WHERE at > now() - interval ''1 day'') AS day, count(DISTINCT i) FILTER (WHERE at > now() - interval ''10 hours'') AS d, string_agg(s, '','' ORDER BY id) FILTER (WHERE at > now() - interval ''10 hours'') AS s FROM t WHERE id < 100'),
    ('a_moving_case', 'SELECT k, sum(CASE WHEN at > now() - interval ''1 day'' THEN n END) AS s, sum(CASE WHEN at > now() - interval ''1 day'' THEN n ELSE 0 END) AS z, sum(CASE WHEN at < now() - interval ''8 hours'' THEN 1 ELSE 0 END) AS o, count(CASE WHEN at > now() - interval ''1 day'' THEN 1 ELSE NULL END) AS c, sum(CASE WHEN at > now() - interval ''1 day'' THEN i ELSE 0.00 END) AS d, max(CASE WHEN at > now() - interval ''5 hours'' THEN i END) AS m, sum(CASE WHEN at > now() - interval ''1 day'' THEN f ELSE 0 END) AS f FROM t GROUP BY k'),
    ('a_moving_case_all', 'SELECT sum(CASE WHEN at > now() - interval ''1 day'' THEN b ELSE 0 END) AS z, sum(CASE WHEN at > now() - interval ''1 day'' THEN nullif(i, i) ELSE 0 END) AS o FROM t WHERE id < 100'),
    ('a_sets', 'SELECT k, g, grouping(k) AS gk, grouping(k, g) AS gkg, count(*) AS c, sum(n) AS s, min(i) AS i, k + 1 AS k1 FROM t GROUP BY GROUPING SETS ((k, g), (g), k, ())'),
    ('a_rollup', 'SELECT k, i, count(*) AS c, count(DISTINCT s) AS d FROM t WHERE id < 100 GROUP BY ROLLUP (k, i) HAVING count(*) > 1'),
    ('a_cube', 'SELECT coalesce(k, -1) AS k, o, m, grouping(m, o, k) AS x, avg(n) AS a FROM t JOIN kind USING (k) GROUP BY CUBE (k, o, m)'),
    ('a_sets_mixed', 'SELECT k, i, s, count(*) AS c, string_agg(g, '','' ORDER BY id) AS l FROM t GROUP BY k, ROLLUP (i), CUBE (s)'),
    ('a_sets_distinct', 'SELECT k, i, count(*) AS c FROM t GROUP BY DISTINCT ROLLUP (k, i), ROLLUP (k)'),
    ('a_sets_twice', 'SELECT k, i, count(*) AS c FROM t GROUP BY ROLLUP (k, i), ROLLUP (k)'),
    ('a_sets_of_none', 'SELECT grouping(k) AS x, k, max(i) AS m FROM t WHERE id > 1000 GROUP BY ROLLUP (k)'),
    ('a_sets_only', 'SELECT k FROM t GROUP BY GROUPING SETS ((k), (), ())'),
    ('a_sets_same', 'SELECT i AS a, i AS b, count(*) AS c FROM t GROUP BY GROUPING SETS ((a), (b), (a, b))'),
    ('a_sets_key', 'SELECT x.k, x.name, o, sum(i) AS s FROM t JOIN kind x USING (k) GROUP BY x.k, ROLLUP (o)'),
    ('a_sets_domain', 'SELECT w, k, grouping(w) AS g, count(*) AS c FROM kind GROUP BY CUBE (w, k)'),
    ('a_sets_domain_above', 'SELECT x.w, sum(c) AS c FROM (SELECT w, k, count(*) AS c FROM kind GROUP BY ROLLUP (w, k)) x GROUP BY x.w'),
    ('a_domain_of_none', 'SELECT t.id, x.w FROM t LEFT JOIN LATERAL (SELECT (array_agg(w ORDER BY k))[1] AS w FROM kind WHERE kind.k = t.k HAVING count(*) < 2) x ON x.w <> 2'),
    ('a_sets_moving', 'SELECT k, count(*) FILTER (WHERE at > now() - interval ''1 day'') AS day, count(DISTINCT i) AS d FROM t GROUP BY ROLLUP (k)'),
    ('a_sets_above', 'SELECT a.k, a.c, b.name FROM (SELECT k, count(*) AS c FROM t GROUP BY ROLLUP (k)) a LEFT JOIN kind b ON b.k = a.k'),
    ('a_sets_window', 'SELECT k, sum(i) AS s, rank() OVER (PARTITION BY grouping(k) ORDER BY sum(i)) AS r FROM t GROUP BY CUBE (k)'),
    ('a_grouping', 'SELECT k, grouping(k) AS x, count(*) AS c FROM t GROUP BY k'),
    ('a_groups', 'SELECT g, upper(s) AS u, i % 2 AS r, count(*) AS c FROM t GROUP BY g, upper(s), 3'),
    ('a_primary_key', 'SELECT x.k, x.name, x.w, sum(t.i) AS s FROM kind x LEFT JOIN t USING (k) GROUP BY x.k'),
    ('a_none', 'SELECT count(*) AS c, sum(i) AS s, max(s) AS m, string_agg(s, '','' ORDER BY id) AS l, bool_and(o) AS o FROM t WHERE id > 1000'),
    ('a_no_aggregate', 'SELECT 1 AS one FROM t WHERE id > 1000 HAVING count(*) < 3'),
    ('a_having', 'SELECT k FROM t GROUP BY k HAVING sum(i) > 8 AND bool_or(o) AND count(DISTINCT i) > 1'),
    ('a_levels', 'SELECT c, count(*) AS groups, max(s) AS s, string_agg(k::text, '','' ORDER BY k) AS l FROM (SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k) x GROUP BY c'),
    ('a_of_union', 'SELECT k, string_agg(s, '','' ORDER BY s, q) AS l, max(q) AS q FROM (SELECT k, s, id AS q FROM t WHERE i > 0 UNION ALL SELECT k, name, w FROM kind) x GROUP BY k'),
    -- subqueries among the direct arguments
    ('a_direct', 'SELECT k, rank((SELECT max(w) FROM kind)) WITHIN GROUP (ORDER BY i) AS r, percentile_disc((SELECT count(*) / 10.0 FROM kind)) WITHIN GROUP (ORDER BY id) AS p FROM t GROUP BY k'),
    ('a_direct_correlated', 'SELECT k, g, dense_rank((SELECT w FROM kind WHERE kind.k = t.k)) WITHIN GROUP (ORDER BY (SELECT max(w) FROM kind WHERE kind.k = t.i)) AS r, count(*) AS c FROM t GROUP BY k, g HAVING rank((SELECT min(k) FROM kind)) WITHIN GROUP (ORDER BY i) < 9'),
    ('a_windowed', 'SELECT k, sum(n) AS s, sum(sum(n)) OVER (ORDER BY k) AS run, count(DISTINCT i) AS c FROM t GROUP BY k');
CALL create_all();
CALL change('new rows, equal values', $$INSERT INTO t SELECT 100 + id, k, g, i, b, n, u, f, s, o, m, at FROM t WHERE id < 7; INSERT INTO t (id, k, i, at) VALUES (200, 9, 7, now())$$);
CALL change('one row', $$UPDATE t SET i = 77, n = n + 1, s = 'zz', o = NOT o, u = 0.5 WHERE id = 1$$);
CALL change('extremes and last ones go', $$DELETE FROM t WHERE id IN (1, 30, 200) OR i = 0$$);
CALL change('nothing', $$UPDATE t SET i = i; INSERT INTO t (id) VALUES (300); DELETE FROM t WHERE id = 300$$);
CALL change('groups change', $$UPDATE t SET k = coalesce(k + 1, 0), g = CASE g WHEN 'b' THEN 'B' END WHERE id % 3 = 0$$);
CALL change('the other table', $$UPDATE kind SET name = name || '!', w = w + 10 WHERE k < 3; DELETE FROM kind WHERE k = 1; INSERT INTO kind VALUES (9, 'nine', 9)$$);
CALL change('both tables', $$UPDATE t SET i = nullif(coalesce(i, 0) + 1, 3), b = b - 1, s = lower(s); INSERT INTO kind VALUES (1, 'kind 1', 1); INSERT INTO t VALUES (1001, 1, 'a', 1, 1, 1, 1, 1, 'a', true, 'ok', now())$$);
CALL change('values become NULL', $$UPDATE t SET i = NULL, s = NULL, o = NULL, f = NULL, n = NULL WHERE k = 2 OR g IS NULL$$);
CALL change('to none', $$DELETE FROM t$$);
CALL change('from none', $$INSERT INTO t VALUES (1, 1, 'a', 1, 1, 1, 1, 1, 'a', true, 'ok', now()), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, 1, 'A', 1, 2, 3, 4, 5, 'b', false, 'sad', now() - interval '2 days')$$);
CALL change('to none, and others', $$DELETE FROM t; INSERT INTO t SELECT i, i % 2, chr(97 + i), i, i, i, i, i, 's', true, 'ok', now() FROM generate_series(1, 5) i$$);

SELECT query, r AS refusal FROM unnest(ARRAY[
    'SELECT count(*) AS n FROM t GROUP BY CUBE (id, k, g, i, b, n, u)',
    'SELECT k, max(now() - at) AS age FROM t GROUP BY k',
    'SELECT k, avg(CASE WHEN at > now() THEN i ELSE 0 END) AS a FROM t GROUP BY k',
    'SELECT date_trunc(''day'', now()) - at AS d, count(*) AS n FROM t GROUP BY 1']) query, dyntable_explain_query(query) r WHERE r ~ 'reason';
-- what is read again, and what is not
SELECT name, count(*) AS steps FROM definition, dyntable_explain_query(query) line WHERE line LIKE '%read again%' GROUP BY name ORDER BY name;

DROP SCHEMA sql_aggregates CASCADE;
