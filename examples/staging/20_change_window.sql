-- 20: another rolling window, in place.
--
--     psql -v days=3 -f 20_change_window.sql
--
-- Gives every definition that reads the landing tables the window asked for.  The
-- tables stay the same ones, with grants, indexes and readers; the rows that leave or
-- come in are applied as a difference by one refresh of all, at one data timestamp.
\set ON_ERROR_STOP on
BEGIN;
SELECT format('SELECT dyntable_alter(%L, query => %L)', relid::text,
              regexp_replace(query, $re$(now\(\) - (?:interval )?')\d+( days')$re$, '\1' || :'days' || '\2', 'g'))
FROM dyntable.dynamic_tables
WHERE schema_name IN ('reference', 'staging') AND query ~ $re$now\(\) - (interval )?'\d+ days'$re$
ORDER BY relid::oid \gexec
SELECT name, action, rows_inserted, rows_updated, rows_deleted
FROM dyntable_refresh(VARIADIC (SELECT array_agg(relid) FROM dyntable.dynamic_tables WHERE schema_name IN ('reference', 'staging', 'warehouse')));
COMMIT;
