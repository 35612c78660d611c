-- Warehouses: made, changed, used, granted, dropped; and what is refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dyntable;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION attempt(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text; state text;
BEGIN
    EXECUTE command;
    RETURN NEXT 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
    RETURN NEXT state || ': ' || message;
    IF detail <> '' THEN RETURN NEXT '  ' || detail; END IF;
    IF hint <> '' THEN RETURN NEXT '  ' || hint; END IF;
END
$$;
CREATE VIEW w AS SELECT name, owner = current_user AS mine, granted_to, max_workers, settings, statement_timeout, auto_suspend,
    auto_resume, state, dynamic_tables, comment FROM dyntable.warehouses WHERE name <> 'default' ORDER BY name;
SELECT name, granted_to, max_workers, settings, statement_timeout, auto_suspend, auto_resume FROM dyntable.warehouses;

-- made with what is given, changed in what is given
SELECT dyntable_warehouse('wh_a');
SELECT dyntable_warehouse('wh_b', max_workers => 2, settings => '{"work_mem": "64MB", "max_parallel_workers_per_gather": 0, "enable_nestloop": false}',
    statement_timeout => '1 minute', auto_suspend => '10 seconds', comment => 'batches');
TABLE w;
SELECT dyntable_warehouse('wh_b', settings => '{"work_mem": null, "random_page_cost": 1.1}', max_workers => 0, statement_timeout => '0', auto_suspend => '0', comment => '');
TABLE w;

-- used
CREATE TABLE wh_source (id int PRIMARY KEY);
INSERT INTO wh_source VALUES (1);
SELECT dyntable_create('wh_t', 'SELECT id FROM wh_source', '1 day', warehouse => 'wh_a', initialization_warehouse => 'wh_b');
SELECT dyntable_create('wh_u', 'SELECT id FROM wh_source', '1 day');
SELECT name, warehouse_name, initialization_warehouse_name FROM dyntable.dynamic_tables WHERE name LIKE 'wh%' ORDER BY 1;
SELECT attempt($$SELECT dyntable_drop_warehouse('wh_a')$$);
SELECT attempt($$SELECT dyntable_drop_warehouse('wh_b')$$);
SELECT dyntable_warehouse('wh_a', new_name => 'wh_c');
SELECT dyntable_alter('wh_t', initialization_warehouse => '');
SELECT dyntable_alter('wh_u', warehouse => 'wh_b');
SELECT name, warehouse_name, initialization_warehouse_name FROM dyntable.dynamic_tables WHERE name LIKE 'wh%' ORDER BY 1;
SELECT name, dynamic_tables FROM w;

-- suspended
SELECT dyntable_warehouse('wh_c', suspended => true, auto_resume => false);
SELECT name, state, auto_resume FROM w;
SELECT name, waiting_for FROM dyntable.dynamic_tables WHERE name LIKE 'wh%' ORDER BY 1;
SELECT dyntable_warehouse('wh_c', suspended => false);
SELECT name, waiting_for FROM dyntable.dynamic_tables WHERE name LIKE 'wh%' ORDER BY 1;
SELECT dyntable_warehouse('wh_d', suspended => true);
SELECT dyntable_drop_warehouse('wh_d');
SELECT dyntable_drop_warehouse('wh_d', if_exists => true);

-- rights
CREATE ROLE regress_wh_user;
CREATE ROLE regress_wh_other;
GRANT ALL ON SCHEMA public TO regress_wh_user;
GRANT SELECT ON wh_source TO regress_wh_user;
SET ROLE regress_wh_user;
SELECT attempt($$SELECT dyntable_create('wh_v', 'SELECT id FROM wh_source', warehouse => 'wh_c')$$);
SELECT attempt($$SELECT dyntable_create('wh_v', 'SELECT id FROM wh_source', initialization_warehouse => 'wh_c')$$);
SELECT attempt($$SELECT dyntable_warehouse('wh_c', max_workers => 100)$$);
SELECT attempt($$SELECT dyntable_drop_warehouse('wh_c')$$);
SELECT attempt($$SELECT dyntable_warehouse('wh_mine')$$);
SELECT name, settings FROM dyntable.warehouses ORDER BY 1;
RESET ROLE;
SELECT dyntable_warehouse('wh_c', grant_to => 'regress_wh_user');
SELECT dyntable_warehouse('wh_b', grant_to => 'public');
SELECT name, granted_to FROM w;
SET ROLE regress_wh_user;
SELECT attempt($$SELECT dyntable_create('wh_v', 'SELECT id FROM wh_source', '1 day', warehouse => 'wh_c', initialization_warehouse => 'wh_b')$$);
RESET ROLE;
SELECT dyntable_warehouse('wh_c', revoke_from => 'regress_wh_user');
SELECT name, granted_to FROM w;
SET ROLE regress_wh_user;
SELECT attempt($$SELECT dyntable_create('wh_x', 'SELECT id FROM wh_source', warehouse => 'wh_c')$$);
RESET ROLE;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_wh_user', current_database()) \gexec
SET ROLE regress_wh_user;
SELECT dyntable_warehouse('wh_mine');
SELECT left(attempt($$SELECT dyntable_warehouse('wh_mine', owner => 'regress_wh_other')$$), 5);
SELECT attempt($$SELECT dyntable_warehouse('wh_mine', settings => '{"work_mem": "1GB"}')$$);
RESET ROLE;
SELECT dyntable_warehouse('wh_mine', owner => 'regress_wh_other');
SELECT name, owner FROM dyntable.warehouses WHERE name = 'wh_mine';

-- roles that own or may use one, and those for whom a source is tracked: DROP ROLE, DROP OWNED and REASSIGN OWNED know of them
CREATE ROLE regress_wh_gone;
GRANT CREATE ON SCHEMA public TO regress_wh_gone;
GRANT SELECT ON wh_source TO regress_wh_gone;
SELECT dyntable_track('wh_source', 'regress_wh_gone');
SELECT dyntable_warehouse('wh_gone', owner => 'regress_wh_gone');
SELECT dyntable_warehouse('wh_c', grant_to => 'regress_wh_gone');
SET ROLE regress_wh_gone;
SELECT dyntable_create('wh_y', 'SELECT id FROM wh_source', '1 day', warehouse => 'wh_gone');
RESET ROLE;
SELECT attempt('DROP ROLE regress_wh_gone');
SET ROLE regress_wh_gone;
SELECT dyntable_alter('wh_y', warehouse => 'default');
SELECT dyntable_warehouse('wh_gone', grant_to => 'public');
RESET ROLE;
ALTER TABLE wh_y OWNER TO CURRENT_USER;
SELECT dyntable_alter('wh_y', warehouse => 'wh_gone');
SELECT attempt('DROP OWNED BY regress_wh_gone');
SELECT attempt('DROP OWNED BY regress_wh_other');
SELECT name, owner = current_user AS mine, granted_to FROM dyntable.warehouses WHERE name IN ('wh_gone', 'wh_mine', 'wh_c') ORDER BY 1;
REASSIGN OWNED BY regress_wh_gone TO CURRENT_USER;
SELECT name, owner = current_user AS mine FROM dyntable.warehouses WHERE name = 'wh_gone';
-- the server warns of what others have granted
SET client_min_messages = error;
SET ROLE regress_wh_gone;
DROP OWNED BY CURRENT_USER;
RESET ROLE;
RESET client_min_messages;
SELECT name, granted_to FROM dyntable.warehouses WHERE name = 'wh_c';
SELECT count(*) FROM dyntable.tracked;
DROP OWNED BY regress_wh_gone;
DROP ROLE regress_wh_gone;
DROP TABLE wh_y;

-- refused
SELECT attempt($$SELECT dyntable_warehouse(NULL)$$);
SELECT attempt($$SELECT dyntable_warehouse('')$$);
SELECT attempt(format('SELECT dyntable_warehouse(%L)', repeat('x', 64)));
SELECT attempt($$SELECT dyntable_warehouse('wh_bad', max_workers => -1)$$);
SELECT attempt($$SELECT dyntable_warehouse('wh_bad', statement_timeout => '-1 s')$$);
SELECT attempt($$SELECT dyntable_warehouse('wh_bad', auto_suspend => '-1 s')$$);
SELECT attempt(format('SELECT dyntable_warehouse(''wh_bad'', settings => %L)', s)) FROM unnest(ARRAY[
    '[]', '1', '{"work_mem": {}}', '{"work_mem": "lots"}', '{"max_parallel_workers_per_gather": -5}', '{"no_such_setting": 1}', '{"search_path": "public"}', '{"role": "postgres"}',
    '{"session_authorization": "postgres"}', '{"TimeZone": "UTC"}', '{"statement_timeout": "1s"}', '{"shared_buffers": "1GB"}', '{"log_statement": "none"}',
    '{"row_security": "off"}', '{"enable_everything": "on"}', '{"max_parallel_workers": "many"}', '{"session_replication_role": "replica"}']) s;
SELECT attempt($$SELECT dyntable_warehouse('wh_bad', owner => 'no_such_role')$$);
SELECT attempt($$SELECT dyntable_warehouse('wh_bad', grant_to => 'no_such_role')$$);
SELECT attempt($$SELECT dyntable_warehouse('default', new_name => 'other')$$);
SELECT attempt($$SELECT dyntable_warehouse('wh_b', new_name => 'wh_c')$$);
SELECT attempt($$SELECT dyntable_drop_warehouse('default')$$);
SELECT attempt($$SELECT dyntable_drop_warehouse('wh_bad')$$);
SELECT attempt($$SELECT dyntable_create('wh_x', 'SELECT id FROM wh_source', warehouse => 'wh_bad')$$);
SELECT attempt($$SELECT dyntable_alter('wh_t', initialization_warehouse => 'wh_bad')$$);
SELECT count(*) FROM w WHERE name = 'wh_bad';

DROP TABLE wh_t, wh_u, wh_v;
SELECT dyntable_drop_warehouse(name) FROM w;
DROP TABLE wh_source;
DROP VIEW w;
DROP FUNCTION attempt;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_wh_user', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM regress_wh_user;
DROP ROLE regress_wh_user, regress_wh_other;
