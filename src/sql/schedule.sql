/*
 * schedule.sql: waking the scheduler, and waiting for it.
 */
CREATE FUNCTION dyntable.schedule_changed() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'dyntable_schedule_changed';
REVOKE ALL ON FUNCTION dyntable.schedule_changed() FROM PUBLIC;
COMMENT ON FUNCTION dyntable.schedule_changed() IS 'has the scheduler read the definitions of dynamic tables again';

-- A refresh updates position each time, but only these columns concern the
-- scheduler beyond what it reads anyway.
CREATE TRIGGER schedule_changed AFTER INSERT OR UPDATE OR DELETE ON dyntable.dynamic_table
    FOR EACH STATEMENT EXECUTE FUNCTION dyntable.schedule_changed();
CREATE TRIGGER schedule_changed AFTER INSERT OR UPDATE OR DELETE ON dyntable.warehouse
    FOR EACH STATEMENT EXECUTE FUNCTION dyntable.schedule_changed();
CREATE TRIGGER schedule_changed AFTER INSERT OR DELETE ON dyntable.edge
    FOR EACH STATEMENT EXECUTE FUNCTION dyntable.schedule_changed();
CREATE TRIGGER schedule_changed AFTER INSERT OR DELETE ON dyntable.position
    FOR EACH STATEMENT EXECUTE FUNCTION dyntable.schedule_changed();
CREATE TRIGGER schedule_changed_row AFTER UPDATE ON dyntable.position
    FOR EACH ROW WHEN (OLD.populated IS DISTINCT FROM NEW.populated
                       OR OLD.reinit_reason IS DISTINCT FROM NEW.reinit_reason)
    EXECUTE FUNCTION dyntable.schedule_changed();

-- A restore sets session_replication_role, and its rows count as well.
ALTER TABLE dyntable.dynamic_table ENABLE ALWAYS TRIGGER schedule_changed;
ALTER TABLE dyntable.warehouse ENABLE ALWAYS TRIGGER schedule_changed;
ALTER TABLE dyntable.edge ENABLE ALWAYS TRIGGER schedule_changed;
ALTER TABLE dyntable.position ENABLE ALWAYS TRIGGER schedule_changed;
ALTER TABLE dyntable.position ENABLE ALWAYS TRIGGER schedule_changed_row;

CREATE FUNCTION dyntable_wait(name regclass, since timestamptz DEFAULT now()) RETURNS void
    LANGUAGE C STRICT
    AS 'MODULE_PATHNAME', 'dyntable_wait';
COMMENT ON FUNCTION dyntable_wait(regclass, timestamptz)
    IS 'waits until a dynamic table''s data timestamp has reached since';
