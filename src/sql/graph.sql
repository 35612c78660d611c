/*
 * graph.sql: the graph of dynamic tables, drawn.
 */
CREATE FUNCTION dyntable.condition(t dyntable.dynamic_tables) RETURNS text
    LANGUAGE SQL STABLE
    SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT concat_ws(', ', coalesce(t.target_lag, t.schedule), lower(t.refresh_mode),
        CASE WHEN t.scheduling_state <> 'ACTIVE' THEN 'suspended'
             WHEN NOT t.populated THEN 'not filled'
             WHEN t.last_refresh_state <> 'SUCCEEDED' THEN 'failing' END,
        'lag ' || round(extract(epoch FROM t.age)) || ' s');
END;
COMMENT ON FUNCTION dyntable.condition(dyntable.dynamic_tables) IS 'what stands at a table in the graph: target lag, mode, whether it is in trouble, lag';

-- Runs with the caller's rights, over the views: it shows what they show.
CREATE FUNCTION dyntable.graph(format text DEFAULT 'tree') RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog
    SET jit = off
AS $graph$
DECLARE
    result text;
BEGIN
    CASE lower(format)
    WHEN 'tree', 'text' THEN
        -- Each table that nobody reads, and below it what it reads.
        WITH RECURSIVE edges AS (
            SELECT d.relid, d.source_relid, d.source_kind,
                   coalesce(quote_ident(d.source_schema_name) || '.' || quote_ident(d.source_name), '(hidden)') AS label
            FROM dyntable.dependencies d
        ), nodes AS (
            SELECT t.relid::oid AS relid, quote_ident(t.schema_name) || '.' || quote_ident(t.name) AS name,
                   dyntable.condition(t) AS properties
            FROM dyntable.dynamic_tables t
        ), lines AS (
            SELECT t.relid, ARRAY[t.name] AS path, t.name AS label, 0 AS depth
            FROM nodes t
            WHERE NOT EXISTS (SELECT FROM edges e WHERE e.source_relid = t.relid)
            UNION ALL
            SELECT e.source_relid, l.path || e.label, e.label, l.depth + 1
            FROM lines l JOIN edges e ON e.relid = l.relid
        )
        SELECT string_agg(repeat('    ', l.depth) || l.label || coalesce(' (' || t.properties || ')', ''),
                          E'\n' ORDER BY l.path)
        INTO result
        FROM lines l LEFT JOIN nodes t ON t.relid = l.relid;
    WHEN 'dot' THEN
        SELECT E'digraph dyntable {\n    rankdir = LR;\n    node [shape = box];\n' ||
               coalesce((SELECT string_agg(format('    "%s.%s" [style = rounded, label = "%1$s.%2$s\n%s"];',
                             replace(t.schema_name, '"', '\"'), replace(t.name, '"', '\"'),
                             dyntable.condition(t)), E'\n' ORDER BY t.schema_name, t.name) || E'\n'
                         FROM dyntable.dynamic_tables t), '') ||
               coalesce((SELECT string_agg(format('    "%s.%s" -> "%s.%s";',
                             replace(d.source_schema_name, '"', '\"'), replace(d.source_name, '"', '\"'),
                             replace(d.schema_name, '"', '\"'), replace(d.name, '"', '\"')),
                             E'\n' ORDER BY d.schema_name, d.name, d.source_schema_name, d.source_name) || E'\n'
                         FROM dyntable.dependencies d), '') || '}'
        INTO result;
    WHEN 'mermaid' THEN
        SELECT E'flowchart LR\n' ||
               coalesce((SELECT string_agg(format('    t%s("%s.%s<br/>%s")', t.relid::oid,
                             replace(t.schema_name, '"', '#quot;'), replace(t.name, '"', '#quot;'),
                             dyntable.condition(t)), E'\n' ORDER BY t.schema_name, t.name) || E'\n'
                         FROM dyntable.dynamic_tables t), '') ||
               coalesce((SELECT string_agg(CASE WHEN d.source_kind = 'DYNAMIC TABLE'
                             THEN format('    t%s --> t%s', d.source_relid, d.relid)
                             ELSE format('    s%s["%s.%s"] --> t%s', d.source_relid,
                                 replace(d.source_schema_name, '"', '#quot;'),
                                 replace(d.source_name, '"', '#quot;'), d.relid) END,
                             E'\n' ORDER BY d.schema_name, d.name, d.source_schema_name, d.source_name)
                         FROM dyntable.dependencies d), '')
        INTO result;
    ELSE
        RAISE EXCEPTION 'graph format "%" is not known', format
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use tree, dot or mermaid.';
    END CASE;
    RETURN coalesce(result, '');
END
$graph$;
COMMENT ON FUNCTION dyntable.graph(text) IS 'dynamic tables and what they read, as tree, dot (Graphviz) or mermaid';
