-- The reference: functions, views and settings, from their COMMENTs.
--
--     psql -XAtq -f scripts/reference.sql >docs/reference.md       (make reference does it)
\pset format unaligned
\pset tuples_only on
SET search_path = pg_catalog;
\echo '# Reference'
\echo
\echo 'Made from the comments of the objects themselves by `make reference`; a test compares. [functions.md](functions.md) says more of each.'
\echo
\echo '## Functions'
\echo
\echo '| function | returns | |'
\echo '|---|---|---|'
SELECT format('| `%s(%s)` | `%s` | %s |', CASE n.nspname WHEN 'dyntable' THEN 'dyntable.' ELSE '' END || p.proname,
              replace(pg_get_function_arguments(p.oid), '|', '\|'), replace(pg_get_function_result(p.oid), '|', '\|'),
              replace(obj_description(p.oid, 'pg_proc'), '|', '\|'))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'dyntable'
WHERE starts_with(p.proname, 'dyntable_') AND p.prorettype <> 'trigger'::regtype AND p.prorettype <> 'event_trigger'::regtype
   OR n.nspname = 'dyntable' AND p.proname IN ('dynamic_tables', 'dynamic_table_refresh_history', 'dynamic_table_graph_history', 'graph', 'is_frozen', 'row_hash')
ORDER BY n.nspname = 'dyntable', p.proname COLLATE "C", pg_get_function_arguments(p.oid) COLLATE "C";
\echo
\echo '## Views'
SELECT E'\n' || format('### `dyntable.%s`', c.relname) || E'\n\n' || obj_description(c.oid, 'pg_class') || E'\n\n| column | type | |\n|---|---|---|\n' ||
       string_agg(format('| `%s` | %s | %s |', a.attname, format_type(a.atttypid, a.atttypmod), coalesce(replace(col_description(c.oid, a.attnum), '|', '\|'), '')),
                  E'\n' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'dyntable'::regnamespace AND c.relkind = 'v'
GROUP BY c.oid, c.relname ORDER BY c.relname COLLATE "C";
\echo
\echo '## Settings'
\echo
\echo '| setting | default | unit | context | |'
\echo '|---|---|---|---|---|'
SELECT format('| `%s` | %s | %s | %s | %s%s |', name, boot_val, coalesce(unit, ''), context, short_desc, coalesce(' ' || extra_desc, ''))
FROM pg_settings WHERE starts_with(name, 'dyntable.') ORDER BY name COLLATE "C";
