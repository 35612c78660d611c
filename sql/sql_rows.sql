--
-- Row sources: functions in FROM, LATERAL, VALUES.
--
CREATE SCHEMA sql_rows;
SET search_path = sql_rows, public;
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/sql/include/oracle.sql'
\i :oracle

CREATE TYPE pair AS (gone int, a int, b text);
ALTER TYPE pair DROP ATTRIBUTE gone;
CREATE FUNCTION pairs(n int, t text) RETURNS SETOF pair LANGUAGE sql IMMUTABLE
    AS $$ SELECT i, t || i FROM generate_series(1, n) i $$;
CREATE FUNCTION one_pair(n int) RETURNS pair LANGUAGE sql IMMUTABLE RETURN row(n, n::text)::pair;
CREATE FUNCTION records(n int) RETURNS SETOF record LANGUAGE sql IMMUTABLE
    AS $$ SELECT i, i * i FROM generate_series(1, n) i $$;

CREATE TABLE doc (id int PRIMARY KEY, grp int, tags text[], nums int[], j jsonb, x xml);
CREATE TABLE bag (grp int, n int);                      -- no key, equal rows
INSERT INTO doc SELECT i, i % 3, ARRAY['t' || i % 4, NULL, 't' || i % 2], ARRAY[i, i, i + 1],
    jsonb_build_array(jsonb_build_object('k', 'k' || i % 3, 'v', i), jsonb_build_object('k', NULL, 'v', i * 2)),
    xmlelement(name r, xmlelement(name v, i), xmlelement(name v, i % 3))
FROM generate_series(1, 6) i;
INSERT INTO doc VALUES (7, NULL, NULL, NULL, NULL, NULL), (8, 1, '{}', '{}', '[]', '<r/>');
INSERT INTO bag VALUES (0, 2), (0, 2), (1, 1), (1, 0), (2, 3), (NULL, 2), (1, NULL);

INSERT INTO definition (name, query) VALUES
    ('unnested', 'SELECT id, t FROM doc, unnest(tags) t'),
    ('ordinality', 'SELECT d.id, u.t, u.no FROM doc d, unnest(d.tags) WITH ORDINALITY u(t, no) WHERE d.grp < 2'),
    ('left_unnested', 'SELECT d.id, u.t, u.no FROM doc d LEFT JOIN unnest(d.tags) WITH ORDINALITY u(t, no) ON u.t <> ''t0'' OR d.grp = 1'),
    ('several_arrays', 'SELECT id, t, n FROM doc, unnest(tags, nums) u(t, n)'),
    ('elements', 'SELECT d.id, e ->> ''k'' AS k, sum((e ->> ''v'')::int) AS s FROM doc d CROSS JOIN LATERAL jsonb_array_elements(d.j) e GROUP BY 1, 2'),
    ('recordset', 'SELECT d.id, r.k, r.v FROM doc d JOIN LATERAL jsonb_to_recordset(d.j) AS r(v int, k text) ON r.v > 1'),
    ('series', 'SELECT b.grp, g FROM bag b, generate_series(1, b.n) g'),
    ('rows_from', 'SELECT b.grp, a, c, no FROM bag b, ROWS FROM (generate_series(1, b.n), generate_series(b.grp, 2)) WITH ORDINALITY r(a, c, no)'),
    ('composite', 'SELECT d.id, p.a, p.b FROM doc d, pairs(d.grp + 1, d.id::text) p'),
    ('one_composite', 'SELECT d.id, p.a, p.b FROM doc d LEFT JOIN one_pair(d.grp) p ON p.a > 0'),
    ('column_list', 'SELECT d.id, r.n, r.q FROM doc d, records(d.grp) AS r(n int, q int)'),
    ('xml_rows', 'SELECT d.id, v.no, v.v FROM doc d, XMLTABLE(''/r/v'' PASSING d.x COLUMNS no FOR ORDINALITY, v int PATH ''.'') v'),
    ('xml_constant', 'SELECT d.id, v.v FROM doc d, XMLTABLE(''/r/v'' PASSING xml ''<r><v>1</v><v>2</v></r>'' COLUMNS v int PATH ''.'') v WHERE v.v = d.grp'),
    ('lateral_values', 'SELECT d.id, v.kind, v.val FROM doc d, LATERAL (VALUES (''grp'', d.grp), (''len'', cardinality(d.nums))) v(kind, val)'),
    ('computed', 'SELECT d.id, c.twice, e.more FROM doc d CROSS JOIN LATERAL (SELECT d.grp * 2 AS twice) c CROSS JOIN LATERAL (SELECT c.twice + d.id AS more) e WHERE c.twice IS NOT NULL'),
    ('smallest', 'SELECT d.id, s.n, s.t FROM doc d LEFT JOIN LATERAL (SELECT min(t) AS t, count(*) AS n FROM unnest(d.tags) t WHERE t <> ''t'' || d.grp) s ON s.n > 0'),
    ('last_two', 'SELECT d.id, s.n FROM doc d, LATERAL (SELECT n FROM unnest(d.nums) n ORDER BY n DESC LIMIT 2) s'),
    ('over_two', 'SELECT d.id, b.n, g FROM doc d JOIN bag b ON b.grp = d.grp, generate_series(b.n, d.id) g'),
    ('over_where', 'SELECT d.id, b.n, g FROM bag b, doc d, LATERAL generate_series(d.id, b.n + d.id) g WHERE b.grp = d.grp AND g % 2 = 0 AND d.id > 1'),
    ('over_using', 'SELECT id, n, grp, u FROM doc JOIN bag USING (grp) CROSS JOIN LATERAL (VALUES (grp), (grp + n)) v(u)'),
    ('over_outer', 'SELECT d.id, b.n, g FROM doc d LEFT JOIN bag b ON b.grp = d.grp LEFT JOIN generate_series(1, b.n) g ON g <> d.id'),
    ('chain', 'SELECT d.id, e, f.key, f.value FROM doc d, jsonb_array_elements(d.j) e, jsonb_each_text(e) f WHERE f.value IS NOT NULL'),
    ('over_group', 'SELECT s.grp, g FROM (SELECT grp, count(*) AS n FROM bag GROUP BY grp) s, generate_series(1, s.n) g'),
    ('under_group', 'SELECT t, count(*) AS n, count(DISTINCT d.grp) AS g FROM doc d, unnest(d.tags) t GROUP BY t'),
    ('under_window', 'SELECT id, n, row_number() OVER (PARTITION BY d.id ORDER BY u.no DESC) AS r FROM doc d, unnest(nums) WITH ORDINALITY u(n, no)'),
    ('joined', 'SELECT d.id, u.n, b.n AS m FROM doc d, unnest(d.nums) u(n) JOIN bag b ON b.n = u.n'),
    ('self_joined', 'WITH w AS (SELECT d.id, u.n FROM doc d, unnest(d.nums) u(n)) SELECT a.id, b.id AS other FROM w a JOIN w b ON a.n = b.n'),
    ('right_side', 'SELECT b.grp, b.n, w.id FROM bag b LEFT JOIN (SELECT d.id, u.n FROM doc d, unnest(d.nums) u(n)) w ON w.n = b.n'),
    ('nested_join', 'SELECT d.id, t, b.n FROM bag b LEFT JOIN (doc d CROSS JOIN unnest(d.tags) t) ON d.grp = b.grp'),
    ('in_list_over_join', 'SELECT unnest(r.c5) AS tag, r.c6 FROM (SELECT a.c4 AS c5, a.c5 || b.c5 AS c6 FROM (SELECT nums AS c3, tags AS c4, grp::text AS c5, id AS c7 FROM doc) a
        JOIN (SELECT grp::text AS c5 FROM doc) b ON a.c5 = b.c5 WHERE NOT EXISTS (SELECT FROM (SELECT n AS c2 FROM bag) c WHERE c.c2 = a.c7 + 2)) r'),
    -- subqueries that read tables, among the arguments
    ('argument', 'SELECT d.id, g FROM doc d, generate_series(1, (SELECT max(b.n) FROM bag b WHERE b.grp = d.grp)) g'),
    ('argument_left', 'SELECT d.id, u.t, u.no FROM doc d LEFT JOIN LATERAL unnest(ARRAY(SELECT b.n FROM bag b WHERE b.grp = d.grp ORDER BY b.n)) WITH ORDINALITY u(t, no) ON u.no > 1'),
    ('argument_alone', 'SELECT g FROM generate_series(1, (SELECT count(*) FROM bag)) g'),
    ('arguments', 'SELECT d.id, r.* FROM doc d LEFT JOIN ROWS FROM (generate_series(1, (SELECT count(*) FROM bag b WHERE b.grp = d.grp)), pairs(CASE WHEN d.grp IN (SELECT n FROM bag) THEN 1 ELSE 2 END, d.id::text)) WITH ORDINALITY r(a, c, e, no) ON true'),
    ('values_of', 'SELECT d.id, v.kind, v.val FROM doc d, LATERAL (VALUES (''grp'', d.grp), (''most'', (SELECT max(b.n) FROM bag b WHERE b.grp = d.grp))) v(kind, val) WHERE v.val IS NOT NULL'),
    ('values_alone', 'SELECT v.kind, v.val FROM (VALUES (''docs'', (SELECT count(*) FROM doc)), (''most'', (SELECT max(n) FROM bag))) v(kind, val)'),
    ('xml_of', 'SELECT d.id, v.v FROM doc d, XMLTABLE(''/r/v'' PASSING (SELECT max(o.x::text)::xml FROM doc o WHERE o.grp = d.grp) COLUMNS v int PATH ''.'') v'),
    ('argument_inside', 'SELECT id, (SELECT sum(g) FROM generate_series(1, (SELECT count(*) FROM bag b WHERE b.grp = d.grp AND b.n <> d.id)) g) AS s FROM doc d'),
    ('argument_rows', 'SELECT b.n, p.a, p.b FROM bag b, pairs((SELECT count(*)::int FROM doc d WHERE d.grp = b.grp), ''x'') p'),
    ('no_reference', 'SELECT b.n, g FROM bag b, LATERAL generate_series(1, 2) g'),
    ('hidden_set', 'SELECT id, tags FROM doc ORDER BY id, unnest(nums) DESC'),
    ('hidden_below', 'SELECT s.grp, count(*) AS n FROM (SELECT grp FROM doc ORDER BY generate_series(1, grp), unnest(nums)) s GROUP BY grp'),
    ('set_in_cube', 'SELECT grp, unnest(nums) AS n, count(*) AS c, sum(id) AS s FROM doc GROUP BY CUBE (grp, n)'),
    ('sets_in_sets', 'SELECT generate_series(1, grp) AS a, unnest(nums) AS b, grouping(grp) AS g, count(*) AS c FROM doc GROUP BY GROUPING SETS ((a, grp), (b), (grp), ())'),
    ('first_then_set', 'SELECT DISTINCT ON (grp) grp, id, unnest(nums) AS n, tags || ''x''::text AS t FROM doc ORDER BY grp, id DESC'),
    ('first_set_limit', 'SELECT DISTINCT ON (grp) unnest(nums) + id AS n, grp FROM doc ORDER BY grp, id DESC LIMIT 50'),
    ('set_then_first', 'SELECT DISTINCT ON (grp) grp, unnest(nums) AS n, id FROM doc ORDER BY grp, n DESC, id'),
    ('constants', 'SELECT b.n, v.name FROM bag b JOIN (VALUES (1, ''one''), (2, ''two'')) v(n, name) ON v.n = b.n');
CALL create_all();

CALL change('insert', $$INSERT INTO doc SELECT i, i % 3, ARRAY['t' || i % 4, 'new'], ARRAY[i, 2],
    jsonb_build_array(jsonb_build_object('k', 'k1', 'v', i)), xmlelement(name r, xmlelement(name v, i)) FROM generate_series(9, 12) i;
    INSERT INTO bag VALUES (1, 1), (2, 2), (NULL, 1), (0, 5)$$);
CALL change('insert of equal rows', $$INSERT INTO bag VALUES (0, 2), (0, 2), (1, 1)$$);
CALL change('update', $$UPDATE doc SET grp = coalesce(grp, 0) + 1, tags = tags || 't1'::text, nums = nums[2:], j = j || '{"k": "z", "v": 7}', x = '<r><v>8</v></r>' WHERE id % 2 = 1;
    UPDATE bag SET n = n + 1 WHERE grp = 1$$);
CALL change('one input only', $$UPDATE doc SET tags = array_reverse, nums = nums || 3 FROM (SELECT id AS no, array_agg(t ORDER BY o DESC) AS array_reverse FROM doc, unnest(tags) WITH ORDINALITY u(t, o) GROUP BY id) r WHERE no = id AND id < 4$$);
CALL change('NULLs', $$UPDATE doc SET tags = NULL, grp = NULL WHERE id = 2; UPDATE doc SET nums = NULL, j = NULL, x = NULL WHERE id = 3; UPDATE bag SET grp = NULL WHERE grp = 2$$);
CALL change('nothing', $$UPDATE doc SET grp = grp$$);
CALL change('delete', $$DELETE FROM doc WHERE id IN (1, 5, 8, 9); DELETE FROM bag WHERE ctid IN (SELECT min(ctid) FROM bag GROUP BY grp)$$);
CALL change('to nothing', $$DELETE FROM doc; DELETE FROM bag$$);
CALL change('from nothing', $$INSERT INTO doc VALUES (3, 1, '{a,b,b}', '{1,2}', '[{"k": "x", "v": 3}]', '<r><v>1</v></r>'); INSERT INTO bag VALUES (1, 2), (1, 2)$$);

-- keys: the input's, with the ordinality or where there is one row for each
SELECT line FROM dyntable_explain('ordinality') line WHERE line ~ 'key';
SELECT line FROM dyntable_explain('smallest') line WHERE line ~ 'key';
-- conditions on the input come before
SELECT line FROM dyntable_explain('over_where') line WHERE line ~ '^ +(->|select|rows)';

-- a row as one value
CREATE TABLE full_row (gone int, id int PRIMARY KEY, k int, note text);
ALTER TABLE full_row DROP COLUMN gone;
CREATE TABLE other_row (k int, v text);
CREATE VIEW row_view AS SELECT id, k AS key FROM full_row WHERE k IS NOT NULL;
INSERT INTO full_row SELECT i, nullif(i % 4, 0), 'n' || i FROM generate_series(1, 9) i;
INSERT INTO other_row VALUES (1, 'one'), (1, 'one'), (2, NULL), (NULL, NULL), (7, 'seven');
DELETE FROM definition;
INSERT INTO definition (name, query) VALUES
    ('whole', 'SELECT f FROM full_row f'),
    ('whole_json', 'SELECT id, row_to_json(f)::text AS j FROM full_row f WHERE k > 1'),
    ('whole_bag', 'SELECT o, to_jsonb(o) AS j FROM other_row o'),
    ('whole_field', 'SELECT (f).id, (f).note, f::text AS t FROM full_row f'),
    ('whole_left', 'SELECT f.id, o, o IS NULL AS none, to_jsonb(o) AS j FROM full_row f LEFT JOIN other_row o ON o.k = f.k'),
    ('whole_anti', 'SELECT f.id FROM full_row f LEFT JOIN row_view o ON o.id = f.k WHERE o IS NULL'),
    ('whole_not_null', 'SELECT o.k, f FROM other_row o LEFT JOIN full_row f ON o.k = f.k WHERE NOT f IS NULL'),
    ('whole_full', 'SELECT f, o FROM full_row f FULL JOIN other_row o ON o.k = f.k AND o.v IS NOT NULL'),
    ('whole_count', 'SELECT f.k, count(o) AS n, count(DISTINCT o) AS d, jsonb_agg(o ORDER BY o) AS j FROM full_row f LEFT JOIN other_row o ON o.k = f.id GROUP BY f.k'),
    ('whole_group', 'SELECT o, count(*) AS n, max(f.id) AS m FROM other_row o JOIN full_row f ON f.k = o.k GROUP BY o'),
    ('whole_distinct', 'SELECT DISTINCT o FROM other_row o'),
    ('whole_window', 'SELECT id, first_value(f) OVER (PARTITION BY k ORDER BY id) AS first FROM full_row f'),
    ('whole_view', 'SELECT v, row_to_json(v)::text AS j FROM row_view v'),
    ('whole_subquery', 'SELECT row_to_json(s)::text AS j FROM (SELECT k AS "a key", count(*) AS n FROM full_row GROUP BY k) s'),
    ('whole_subquery_left', 'SELECT f.id, row_to_json(s)::text AS j FROM full_row f LEFT JOIN (SELECT k AS kk, v FROM other_row) s ON s.kk = f.k'),
    ('whole_subquery_agg', 'SELECT f.k, jsonb_agg(to_jsonb(s) ORDER BY s.v) AS j FROM full_row f JOIN (SELECT k AS kk, v FROM other_row) s ON s.kk = f.k GROUP BY f.k'),
    ('whole_cte', 'WITH c AS (SELECT id, note AS "the note" FROM full_row) SELECT to_jsonb(c) AS j, d.id FROM c JOIN c d ON d.id = c.id + 1'),
    ('whole_join', 'SELECT to_jsonb(j) AS j FROM (full_row f JOIN other_row o USING (k)) j'),
    ('whole_function', 'SELECT f.id, p, to_jsonb(p) AS j FROM full_row f, pairs(f.k, ''x'') p'),
    ('whole_lateral', 'SELECT f.id, to_jsonb(s) AS j FROM full_row f LEFT JOIN LATERAL (SELECT f.k * 2 AS twice, g AS "a g" FROM generate_series(1, f.k) g) s ON true'),
    ('whole_values', 'SELECT f.id, to_jsonb(v) AS j FROM full_row f JOIN (VALUES (1, ''one''), (2, ''two'')) v(n, name) ON v.n = f.k'),
    ('whole_inside', 'SELECT f.id, (SELECT to_jsonb(f) - ''note'') AS j, ARRAY(SELECT (f).k + g FROM generate_series(1, 2) g) AS a FROM full_row f'),
    ('whole_outside', 'SELECT f.id, (SELECT jsonb_agg(to_jsonb(o) ORDER BY o) FROM other_row o WHERE o.k = f.k) AS j FROM full_row f');
CALL create_all();
CALL change('insert', $$INSERT INTO full_row SELECT i, nullif(i % 4, 0), 'n' || i FROM generate_series(10, 14) i; INSERT INTO other_row VALUES (3, 'three'), (2, NULL), (9, 'nine'), (NULL, NULL)$$);
CALL change('update', $$UPDATE full_row SET note = note || '!' WHERE id % 3 = 0; UPDATE full_row SET k = 1 WHERE k = 2; UPDATE other_row SET v = 'uno' WHERE k = 1$$);
CALL change('NULLs', $$UPDATE full_row SET k = NULL, note = NULL WHERE id = 3; UPDATE other_row SET k = NULL, v = NULL WHERE k = 7$$);
CALL change('delete', $$DELETE FROM full_row WHERE id % 2 = 0; DELETE FROM other_row WHERE v = 'uno'$$);
CALL change('to nothing', $$DELETE FROM full_row; DELETE FROM other_row$$);
CALL change('from nothing', $$INSERT INTO full_row VALUES (1, 1, 'a'), (2, NULL, NULL), (3, 5, 'c'); INSERT INTO other_row VALUES (1, 'x'), (1, 'x')$$);
-- a column more makes another row; what a query names by itself stays what it was at creation
DELETE FROM definition WHERE name NOT IN ('whole', 'whole_json', 'whole_left', 'whole_not_null', 'whole_full', 'whole_window');
CREATE PROCEDURE change_of_type(changes text) LANGUAGE plpgsql AS $$
DECLARE
    d definition;
BEGIN
    EXECUTE changes;
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    FOR d IN SELECT * FROM definition ORDER BY no
    LOOP
        PERFORM dyntable_refresh(d.name::regclass);     -- how depends on when capture takes in the column
        RAISE INFO '% %', rpad(d.name, 16), coalesce((compare(d)).difference, 'equal');
    END LOOP;
    COMMIT;
END $$;
CALL change_of_type($$ALTER TABLE full_row ADD COLUMN extra text; UPDATE full_row SET extra = 'e' WHERE id = 1$$);
CALL change_of_type($$UPDATE full_row SET extra = 'f' WHERE id < 3; UPDATE full_row SET note = 'z' WHERE id = 3$$);
CALL change_of_type($$ALTER TABLE full_row RENAME COLUMN note TO remark; INSERT INTO full_row VALUES (6, 1, 'new', 'x')$$);
CALL change_of_type($$UPDATE full_row SET remark = 'q', extra = NULL WHERE id = 6$$);
-- a row of a subquery has no type that a state table could keep
SELECT dyntable_create('whole_kept', 'SELECT count(*) AS n FROM (SELECT k, v FROM other_row) s GROUP BY s', '1 day', 'incremental');

DROP SCHEMA sql_rows CASCADE;
