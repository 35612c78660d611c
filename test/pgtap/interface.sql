-- The public interface: names, arguments, results, columns, comments, settings
-- and rights.  What others rely on changes here first, or not at all.
BEGIN;
SELECT plan(80);

-- functions, with the names and defaults of their arguments
CREATE TEMP VIEW functions AS
    SELECT proname::text AS name, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
      FROM pg_proc p JOIN pg_extension e ON extname = 'dyntable' AND pronamespace = extnamespace
     WHERE EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid
                      AND refclassid = 'pg_extension'::regclass AND refobjid = e.oid AND deptype = 'e');
CREATE FUNCTION pg_temp.arguments(text) RETURNS text LANGUAGE sql AS 'SELECT arguments FROM functions WHERE name = $1';
CREATE FUNCTION pg_temp.result(text) RETURNS text LANGUAGE sql AS 'SELECT result FROM functions WHERE name = $1';

SELECT is(pg_temp.arguments('dyntable_create'),
    'name text, query text, target_lag text DEFAULT NULL::text, refresh_mode text DEFAULT ''auto''::text, initialize text DEFAULT ''on_create''::text, warehouse text DEFAULT ''default''::text, schedule text DEFAULT NULL::text, comment text DEFAULT NULL::text, or_replace boolean DEFAULT false, if_not_exists boolean DEFAULT false, initialization_warehouse text DEFAULT NULL::text, frozen_where text DEFAULT NULL::text, backfill_from regclass DEFAULT NULL::regclass, boundary regclass[] DEFAULT NULL::regclass[]',
    'dyntable_create: arguments');
SELECT is(pg_temp.result('dyntable_create'), 'regclass', 'dyntable_create: result');
SELECT is(pg_temp.arguments('dyntable_alter'),
    'name regclass, query text DEFAULT NULL::text, target_lag text DEFAULT NULL::text, refresh_mode text DEFAULT NULL::text, warehouse text DEFAULT NULL::text, schedule text DEFAULT NULL::text, comment text DEFAULT NULL::text, initialization_warehouse text DEFAULT NULL::text, frozen_where text DEFAULT NULL::text, boundary regclass[] DEFAULT NULL::regclass[]',
    'dyntable_alter: arguments');
SELECT is(pg_temp.arguments('dyntable_drop'), 'name text, if_exists boolean DEFAULT false, cascade boolean DEFAULT false', 'dyntable_drop: arguments');
SELECT is(pg_temp.arguments('dyntable_suspend'), 'name regclass, cascade boolean DEFAULT true', 'dyntable_suspend: arguments');
SELECT is(pg_temp.arguments('dyntable_resume'), 'name regclass, cascade boolean DEFAULT true', 'dyntable_resume: arguments');
SELECT is(pg_temp.arguments('dyntable_refresh'),
    'VARIADIC names regclass[] DEFAULT NULL::regclass[], OUT name regclass, OUT action text, OUT data_timestamp timestamp with time zone, OUT rows_inserted bigint, OUT rows_updated bigint, OUT rows_deleted bigint, OUT duration interval, OUT reason text',
    'dyntable_refresh: arguments and columns');
SELECT is(pg_temp.result('dyntable_refresh'), 'SETOF record', 'dyntable_refresh: result');
SELECT is(pg_temp.arguments('dyntable_verify'), 'name regclass, OUT missing bigint, OUT unexpected bigint', 'dyntable_verify: arguments and columns');
SELECT is(pg_temp.arguments('dyntable_explain'), 'name regclass', 'dyntable_explain: arguments');
SELECT is(pg_temp.arguments('dyntable_explain_query'), 'query text', 'dyntable_explain_query: arguments');
SELECT is(pg_temp.arguments('dyntable_exec'), 'command text', 'dyntable_exec: arguments');
SELECT is(pg_temp.result('dyntable_exec'), 'TABLE(status text, detail jsonb)', 'dyntable_exec: result');
SELECT is(pg_temp.arguments('dyntable_get_ddl'), 'name regclass', 'dyntable_get_ddl: arguments');
SELECT is(pg_temp.result('dyntable_get_ddl'), 'text', 'dyntable_get_ddl: result');
SELECT is(pg_temp.arguments('dyntable_follow'), 'name regclass, keep interval DEFAULT ''1 day''::interval', 'dyntable_follow: arguments');
SELECT is(pg_temp.result('dyntable_follow'), 'bigint', 'dyntable_follow: result');
SELECT is(pg_temp.arguments('dyntable_changes'),
    'name regclass, since bigint DEFAULT NULL::bigint, since_time timestamp with time zone DEFAULT NULL::timestamp with time zone, OUT refresh_no bigint, OUT data_timestamp timestamp with time zone, OUT action text, OUT is_update boolean, OUT data jsonb',
    'dyntable_changes: arguments and columns');
CREATE FUNCTION pg_temp.information(text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_get_function_arguments(oid) FROM pg_proc WHERE pronamespace = 'dyntable'::regnamespace AND proname = $1 $$;
SELECT is(pg_temp.information('dynamic_tables'),
    'name text DEFAULT NULL::text, refresh_data_timestamp_start timestamp with time zone DEFAULT NULL::timestamp with time zone, result_limit integer DEFAULT NULL::integer, include_connected boolean DEFAULT false',
    'dynamic_tables(): arguments');
SELECT is(pg_temp.information('dynamic_table_refresh_history'),
    'data_timestamp_start timestamp with time zone DEFAULT NULL::timestamp with time zone, data_timestamp_end timestamp with time zone DEFAULT NULL::timestamp with time zone, result_limit integer DEFAULT NULL::integer, name text DEFAULT NULL::text, name_prefix text DEFAULT NULL::text, error_only boolean DEFAULT false, date_range_start timestamp with time zone DEFAULT NULL::timestamp with time zone',
    'dynamic_table_refresh_history(): arguments');
SELECT is(pg_temp.information('dynamic_table_graph_history'),
    'as_of timestamp with time zone DEFAULT NULL::timestamp with time zone, history_start timestamp with time zone DEFAULT NULL::timestamp with time zone, history_end timestamp with time zone DEFAULT NULL::timestamp with time zone',
    'dynamic_table_graph_history(): arguments');
SELECT is(pg_temp.information('graph'), 'format text DEFAULT ''tree''::text', 'graph(): arguments');
SELECT has_view('dyntable', v, 'view ' || v || ' is there') FROM unnest(ARRAY['progress', 'lag_history', 'versions']::name[]) v;
SELECT is(pg_temp.arguments('dyntable_swap'), 'a regclass, b regclass', 'dyntable_swap: arguments');
SELECT is(pg_temp.arguments('dyntable_clone'), 'source regclass, name text', 'dyntable_clone: arguments');
SELECT is(pg_temp.arguments('dyntable_detach'), 'name regclass', 'dyntable_detach: arguments');
SELECT is(pg_temp.arguments('dyntable_track'), 'source regclass, grantee regrole DEFAULT NULL::regrole', 'dyntable_track: arguments');
SELECT is(pg_temp.arguments('dyntable_untrack'), 'source regclass', 'dyntable_untrack: arguments');
SELECT cmp_ok((SELECT count(*) FROM functions), '<=', 25::bigint, 'at most 25 functions are public');
SELECT is((SELECT string_agg(name, ', ') FROM functions WHERE name NOT LIKE 'dyntable\_%'), NULL, 'public names begin with dyntable_');

-- views
SELECT has_schema('dyntable', 'schema dyntable is there');
SELECT has_view('dyntable', v, 'view ' || v || ' is there') FROM unnest(ARRAY['dynamic_tables', 'refresh_history', 'dependencies', 'capture', 'warehouses']::name[]) v;
SELECT has_column('dyntable', 'dynamic_tables', c, 'dynamic_tables has ' || c)
  FROM unnest(ARRAY['name', 'schema_name', 'query', 'target_lag', 'refresh_mode', 'refresh_mode_reason', 'warehouse_name', 'scheduling_state',
                    'data_timestamp', 'age', 'last_refresh_start_time', 'last_refresh_end_time', 'next_refresh_time', 'consecutive_failures', 'rows', 'bytes', 'owner']::name[]) c;
SELECT has_column('dyntable', 'refresh_history', c, 'refresh_history has ' || c)
  FROM unnest(ARRAY['name', 'state', 'refresh_action', 'refresh_trigger', 'data_timestamp', 'refresh_start_time', 'refresh_end_time', 'rows_inserted', 'rows_updated', 'rows_deleted', 'phases']::name[]) c;
SELECT has_column('dyntable', 'capture', c, 'capture has ' || c) FROM unnest(ARRAY['slot_name', 'retained_wal_bytes', 'lag_bytes', 'last_error']::name[]) c;

-- comments
SELECT is((SELECT string_agg(pg_describe_object(classid, objid, objsubid), ', ') FROM pg_depend
            WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dyntable') AND deptype = 'e'
              AND classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_event_trigger'::regclass, 'pg_operator'::regclass)
              AND obj_description(objid, classid::regclass::name) IS NULL), NULL, 'every object has a comment');
SELECT isnt(obj_description((SELECT oid FROM pg_extension WHERE extname = 'dyntable'), 'pg_extension'), NULL, 'the extension has a comment');

-- settings
SELECT cmp_ok((SELECT count(*) FROM pg_settings WHERE name LIKE 'dyntable.%'), '<=', 15::bigint, 'at most 15 settings');
SELECT is((SELECT string_agg(name, ', ') FROM pg_settings WHERE name LIKE 'dyntable.%' AND coalesce(short_desc, '') = ''), NULL, 'every setting is described');
SELECT throws_like('SET dyntable.nonsense = 1', '%invalid configuration parameter name%', 'unknown names are refused');

-- rights: what is kept is readable by no user, what is shown is
CREATE ROLE dyntable_nobody;
SELECT is((SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY relname) FROM pg_class c WHERE relnamespace = 'dyntable'::regnamespace AND relkind = 'r'
             AND has_table_privilege('dyntable_nobody', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')), 'dyntable.dump, dyntable.dump_tracked, dyntable.dump_warehouse', 'no table of ours is open to a user but those that pg_dump reads');
SELECT ok(has_table_privilege('dyntable_nobody', 'dyntable.' || v, 'SELECT'), v || ' is open') FROM unnest(ARRAY['dynamic_tables', 'refresh_history', 'dependencies']) v;
SELECT is((SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY relname) FROM pg_class c WHERE relnamespace = 'dyntable'::regnamespace AND relkind = 'v'
             AND has_table_privilege('dyntable_nobody', c.oid, 'INSERT, UPDATE, DELETE')), NULL, 'no view of ours can be written');
SELECT * FROM finish();
ROLLBACK;
