-- What the demo needs to tell its story: a few views over dyntable's own.
\set ON_ERROR_STOP on

CREATE SCHEMA demo;

CREATE VIEW demo.tables AS
    SELECT * FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'staging', 'warehouse');

CREATE VIEW demo.refreshes AS
    SELECT *, round(extract(epoch FROM refresh_end_time - refresh_start_time) * 1000, 1) AS ms
    FROM dyntable.refresh_history
    WHERE schema_name IN ('reference', 'staging', 'warehouse', 'demo');

-- How old the data were at the moments when the demo looked.
CREATE TABLE demo.age (name text, age interval);

-- What the summary said at the moments when the demo looked.
CREATE TABLE demo.summary (at integer, table_name text, total_records bigint, avg_dq_score numeric,
    poor_records bigint, records_with_conflicts bigint, health_status text);

CREATE FUNCTION demo.note_summary(at integer) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO demo.summary
    SELECT at, table_name, total_records, avg_dq_score, poor_records, records_with_conflicts, health_status
    FROM staging.dt_vw_staging_dq_summary;
END;

-- How long the plain query of a dynamic table takes: what a view would cost
-- each reader, and a full refresh before it writes a single row.
CREATE FUNCTION demo.plain_ms(query text) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || query INTO plan;
    RETURN round((plan -> 0 ->> 'Execution Time')::numeric, 1);
END
$$;

-- A table whose definition can be made to fail by a bad row.
CREATE TABLE demo.invoices (invoice_id integer PRIMARY KEY, evaluations integer, amount numeric);
INSERT INTO demo.invoices SELECT i, 1 + i % 9, 100 * i FROM generate_series(1, 1000) i;
