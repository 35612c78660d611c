-- settle: for scripts that compare the staging layer under one snapshot (\ir settle.sql, before BEGIN).
--
-- Its tables are brought up to date, and scheduled refreshes of them that were under way or waiting for this one
-- have ended: one that ended within the snapshot of a REPEATABLE READ transaction would make refreshes in it
-- fail (40001).  After that none is due for most of a target lag.  :layer names the tables for dyntable_refresh.
\set layer 'VARIADIC (SELECT array_agg(relid) FROM dyntable.dynamic_tables WHERE schema_name IN (''reference'', ''staging'', ''warehouse''))'
SELECT count(*) AS refreshed FROM dyntable_refresh(:layer) \gset
DO $$
DECLARE
    until timestamptz := clock_timestamp() + interval '5 minutes';
BEGIN
    WHILE EXISTS (SELECT FROM dyntable.progress, unnest(run_tables) t WHERE t ~ '^(reference|staging|warehouse)\.') LOOP
        IF clock_timestamp() > until THEN
            RAISE EXCEPTION 'a refresh of the staging layer does not end' USING HINT = 'dyntable.progress tells which.';
        END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
