/*
 * statement.sql: commands in the words that people know from elsewhere.
 *
 * What SHOW and DESCRIBE return are the views of monitor.sql under the names
 * that these statements use.
 */
CREATE FUNCTION dyntable_exec(command text)
RETURNS TABLE (status text, detail jsonb)
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_exec';
COMMENT ON FUNCTION dyntable_exec(text)
IS 'run CREATE, ALTER, DROP, SHOW or DESCRIBE of DYNAMIC TABLE or WAREHOUSE; one row an object';

CREATE FUNCTION dyntable.table_detail(relid regclass) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT jsonb_build_object('name', t.name, 'schema_name', t.schema_name, 'database_name', t.database_name,
                              'target_lag', t.target_lag, 'schedule', t.schedule, 'refresh_mode', t.refresh_mode,
                              'refresh_mode_reason', t.refresh_mode_reason_code, 'warehouse', t.warehouse_name,
                              'scheduling_state', t.scheduling_state)
    FROM dyntable.dynamic_tables t WHERE t.relid = table_detail.relid;
END;
COMMENT ON FUNCTION dyntable.table_detail(regclass) IS 'what dyntable_exec says of a table that it has created or changed';

-- The columns by which CLUSTER would order a table.
CREATE FUNCTION dyntable.clustering_key(relid oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' ORDER BY k)
    FROM pg_index i, generate_series(1, i.indnkeyatts) k
    WHERE i.indrelid = clustering_key.relid AND i.indisclustered;
END;
COMMENT ON FUNCTION dyntable.clustering_key(oid) IS 'the columns of the index by which a table is clustered';

CREATE FUNCTION dyntable.grants(relid oid, name text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT string_agg(format('GRANT %s ON TABLE %s TO %s%s', a.privilege_type, grants.name,
                             CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                             CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '; ')
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = grants.relid AND a.grantee <> c.relowner;
END;
COMMENT ON FUNCTION dyntable.grants(oid, text) IS 'the statements that grant on another table what is granted on this one, for COPY GRANTS';

CREATE FUNCTION dyntable.show_tables(pattern text, schema_name text, starts_with text, row_limit bigint,
                                     after text, OUT status text, OUT detail jsonb)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT t.name,
           jsonb_build_object(
               'created_on', t.created_on, 'name', t.name, 'database_name', t.database_name,
               'schema_name', t.schema_name, 'cluster_by', dyntable.clustering_key(t.relid), 'rows', t.rows,
               'bytes', t.bytes, 'owner', t.owner, 'target_lag', t.target_lag,
               'schedule', t.schedule, 'scheduler', CASE WHEN t.schedule = 'manual' THEN 'DISABLE' ELSE 'ENABLE' END,
               'refresh_mode', t.refresh_mode, 'refresh_mode_reason', t.refresh_mode_reason,
               'warehouse', t.warehouse_name, 'initialization_warehouse', t.initialization_warehouse_name, 'comment', t.comment,
               'text', t.query, 'automatic_clustering', 'OFF',
               'scheduling_state', CASE t.scheduling_state WHEN 'ACTIVE' THEN 'RUNNING' ELSE t.scheduling_state END,
               'last_suspended_on', t.suspended_on, 'is_clone', false, 'is_replica', pg_is_in_recovery(),
               'is_iceberg', false, 'data_timestamp', t.data_timestamp, 'owner_role_type', 'ROLE',
               'immutable_where', t.frozen_where, 'insert_only_inputs', NULL, 'execute_as_user', NULL)
    FROM dyntable.dynamic_tables t
    WHERE (pattern IS NULL OR t.name ILIKE pattern)
      AND (show_tables.schema_name IS NULL OR t.schema_name = show_tables.schema_name)
      AND (show_tables.starts_with IS NULL OR pg_catalog.starts_with(t.name::text, show_tables.starts_with))
      AND (after IS NULL OR t.name > after)
    ORDER BY t.name, t.schema_name
    LIMIT row_limit;
END;
COMMENT ON FUNCTION dyntable.show_tables(text, text, text, bigint, text) IS 'SHOW DYNAMIC TABLES';

CREATE FUNCTION dyntable.describe_table(relid regclass, OUT status text, OUT detail jsonb)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT a.attname,
           jsonb_build_object(
               'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'kind', 'COLUMN',
               'null?', CASE WHEN a.attnotnull THEN 'N' ELSE 'Y' END, 'default', NULL,
               'primary key', CASE WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid
                                                AND i.indisprimary AND a.attnum = ANY (i.indkey)) THEN 'Y' ELSE 'N' END,
               'unique key', CASE WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid
                                               AND i.indisunique AND a.attnum = ANY (i.indkey)) THEN 'Y' ELSE 'N' END,
               'comment', col_description(a.attrelid, a.attnum))
    FROM pg_attribute a
    WHERE a.attrelid = describe_table.relid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum;
END;
COMMENT ON FUNCTION dyntable.describe_table(regclass) IS 'DESCRIBE DYNAMIC TABLE';

CREATE FUNCTION dyntable.show_warehouses(pattern text, starts_with text, row_limit bigint, after text,
                                         OUT status text, OUT detail jsonb)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT w.name,
           to_jsonb(w) || jsonb_build_object(
               'running', w.busy_workers, 'queued', w.queued_tables, 'is_default', w.name = 'default',
               'started_clusters', w.workers, 'max_cluster_count', w.max_workers,
               'auto_suspend', extract(epoch FROM w.auto_suspend)::bigint)
    FROM dyntable.warehouses w
    WHERE (pattern IS NULL OR w.name ILIKE pattern)
      AND (show_warehouses.starts_with IS NULL OR pg_catalog.starts_with(w.name, show_warehouses.starts_with))
      AND (after IS NULL OR w.name > after)
    ORDER BY w.name
    LIMIT row_limit;
END;
COMMENT ON FUNCTION dyntable.show_warehouses(text, text, bigint, text) IS 'SHOW WAREHOUSES';

CREATE FUNCTION dyntable.query_literal(relid regclass) RETURNS text
LANGUAGE C STABLE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_query_literal';
COMMENT ON FUNCTION dyntable.query_literal(regclass) IS 'the query of a dynamic table in dollar quotes, for dyntable_get_ddl';

-- No search_path of its own: by the caller's it is decided whether the query
-- can be shown as its owner wrote it.
CREATE FUNCTION dyntable_get_ddl(name regclass) RETURNS text
LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
    SELECT format('SELECT %I.dyntable_create(%L, ', (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                                                     WHERE e.extname = 'dyntable'),
                  format('%I.%I', t.schema_name, t.name))
           || q.literal
           || (SELECT coalesce(string_agg(format(E',\n    %s => %L', a.argument, a.value), '' ORDER BY a.place), '')
               FROM (VALUES (1, 'target_lag', nullif(t.target_lag, '1 minute')),
                            (2, 'schedule', t.schedule),
                            (3, 'refresh_mode', nullif(lower(t.requested_refresh_mode), 'auto')),
                            (4, 'initialize', nullif(lower(t.initialize), 'on_create')),
                            (5, 'warehouse', nullif(t.warehouse_name, 'default')),
                            (6, 'initialization_warehouse', t.initialization_warehouse_name),
                            (7, 'comment', t.comment),
                            (8, 'frozen_where', t.frozen_where),
                            (9, 'boundary', (SELECT array_agg(format('%I.%I', d.source_schema_name, d.source_name) ORDER BY d.source_relid)::text
                                             FROM dyntable.dependencies d WHERE d.relid = t.relid AND d.boundary))) a (place, argument, value)
               WHERE a.value IS NOT NULL)
           || ');'
           || (SELECT coalesce(string_agg(format(E'\nCOMMENT ON COLUMN %I.%I.%I IS %L;', t.schema_name, t.name, a.attname,
                                                 col_description(a.attrelid, a.attnum)), '' ORDER BY a.attnum), '')
               FROM pg_attribute a
               WHERE a.attrelid = t.relid AND NOT a.attisdropped AND col_description(a.attrelid, a.attnum) IS NOT NULL)
    FROM (SELECT dyntable.query_literal(dyntable_get_ddl.name) AS literal OFFSET 0) q
    LEFT JOIN dyntable.dynamic_tables t ON t.relid = dyntable_get_ddl.name;
END;
COMMENT ON FUNCTION dyntable_get_ddl(regclass)
IS 'statements that create the dynamic table again, with its comments, without indexes and grants';
