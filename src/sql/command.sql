/*
 * command.sql: statements as functions.
 *
 * target_lag of dyntable_create is '1 minute' when neither it nor schedule is
 * given; its default is NULL so that lag and schedule together can be refused.
 */

CREATE FUNCTION dyntable_create(
    name          text,
    query         text,
    target_lag    text DEFAULT NULL,
    refresh_mode  text DEFAULT 'auto',
    initialize    text DEFAULT 'on_create',
    warehouse     text DEFAULT 'default',
    schedule      text DEFAULT NULL,
    comment       text DEFAULT NULL,
    or_replace    boolean DEFAULT false,
    if_not_exists boolean DEFAULT false)
RETURNS regclass
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_create';
COMMENT ON FUNCTION dyntable_create(text, text, text, text, text, text, text, text, boolean, boolean)
IS 'create a dynamic table: a query and a target lag (an interval, default 1 minute, or ''downstream'')';

CREATE FUNCTION dyntable_alter(
    name          regclass,
    query         text DEFAULT NULL,
    target_lag    text DEFAULT NULL,
    refresh_mode  text DEFAULT NULL,
    warehouse     text DEFAULT NULL,
    schedule      text DEFAULT NULL,
    comment       text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_alter';
COMMENT ON FUNCTION dyntable_alter(regclass, text, text, text, text, text, text)
IS 'change the definition or the options of a dynamic table; null leaves as is';

CREATE FUNCTION dyntable_drop(
    name      text,
    if_exists boolean DEFAULT false,
    cascade   boolean DEFAULT false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_drop';
COMMENT ON FUNCTION dyntable_drop(text, boolean, boolean)
IS 'drop a dynamic table, as DROP TABLE does';

CREATE FUNCTION dyntable_suspend(name regclass, cascade boolean DEFAULT true)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_suspend';
COMMENT ON FUNCTION dyntable_suspend(regclass, boolean)
IS 'stop scheduled refreshes of a dynamic table and, with cascade, of those that read it';

CREATE FUNCTION dyntable_resume(name regclass, cascade boolean DEFAULT true)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_resume';
COMMENT ON FUNCTION dyntable_resume(regclass, boolean)
IS 'resume scheduled refreshes of a dynamic table and, with cascade, of those suspended on its account';

CREATE FUNCTION dyntable_refresh(
    VARIADIC names regclass[] DEFAULT NULL,
    OUT name           regclass,
    OUT action         text,
    OUT data_timestamp timestamptz,
    OUT rows_inserted  bigint,
    OUT rows_updated   bigint,
    OUT rows_deleted   bigint,
    OUT duration       interval,
    OUT reason         text)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_refresh';
COMMENT ON FUNCTION dyntable_refresh(regclass[])
IS 'refresh dynamic tables and what they read, at one data timestamp; without arguments all of the database';

CREATE FUNCTION dyntable_verify(name regclass, OUT missing bigint, OUT unexpected bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_verify';
COMMENT ON FUNCTION dyntable_verify(regclass)
IS 'refresh a dynamic table and count the rows of its query that it lacks, and its rows that the query does not have';
