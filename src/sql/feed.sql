/*
 * feed.sql: following what happens to a dynamic table.
 */
CREATE FUNCTION dyntable_follow(name regclass, keep interval DEFAULT '1 day') RETURNS bigint
    LANGUAGE C VOLATILE
    AS 'MODULE_PATHNAME', 'dyntable_follow';
COMMENT ON FUNCTION dyntable_follow(regclass, interval)
    IS 'keep the changes of a dynamic table for so long (null: no more); returns its refresh number, for dyntable_changes()';

CREATE FUNCTION dyntable_changes(
    name regclass, since bigint DEFAULT NULL, since_time timestamptz DEFAULT NULL,
    OUT refresh_no bigint, OUT data_timestamp timestamptz, OUT action text, OUT is_update boolean, OUT data jsonb)
RETURNS SETOF record
    LANGUAGE C VOLATILE
    AS 'MODULE_PATHNAME', 'dyntable_changes';
COMMENT ON FUNCTION dyntable_changes(regclass, bigint, timestamptz)
    IS 'rows that refreshes after number since, or with a later data timestamp than since_time, deleted and inserted; an update is both';
