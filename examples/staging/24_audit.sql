-- 24: an audit of what refreshes change, in two ways.
--
-- By a trigger: AFTER triggers of yours fire on refreshes as on other statements, once for each row that
-- changes, in the transaction of the refresh and with the rights of the table's owner; now() is
-- the data timestamp.  If it fails, the refresh fails.  (They do not fire when dyntable_alter
-- rewrites the table for other columns.)
--
-- By the change feed: dyntable_changes() returns rows by refresh number, for consumers
-- that read at their own pace.  It costs one more copy of the delta.
\set ON_ERROR_STOP on
CREATE SCHEMA IF NOT EXISTS audit;
CREATE TABLE IF NOT EXISTS audit.facility_change (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    data_timestamp timestamptz NOT NULL DEFAULT now(),
    action         text NOT NULL,
    master_id      text NOT NULL,
    before         jsonb,
    after          jsonb
);
CREATE OR REPLACE FUNCTION audit.note_facility() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog
AS $$
BEGIN
    INSERT INTO audit.facility_change (action, master_id, before, after)
    VALUES (TG_OP, coalesce(NEW.master_facility_id, OLD.master_facility_id),
            CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
    RETURN NULL;
END
$$;
SELECT relid AS facilities FROM dyntable.dynamic_tables WHERE schema_name = 'staging' AND name IN ('dt_stg_facilities', 'stg_facilities') \gset
CREATE OR REPLACE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON :facilities
    FOR EACH ROW EXECUTE FUNCTION audit.note_facility();
SELECT dyntable_follow(:'facilities', keep => '7 days') AS followed_from_refresh;
