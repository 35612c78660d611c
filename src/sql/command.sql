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
    if_not_exists boolean DEFAULT false,
    initialization_warehouse text DEFAULT NULL,
    frozen_where  text DEFAULT NULL,
    backfill_from regclass DEFAULT NULL,
    boundary      regclass[] DEFAULT NULL)
RETURNS regclass
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_create';
COMMENT ON FUNCTION dyntable_create(text, text, text, text, text, text, text, text, boolean, boolean, text, text, regclass, regclass[])
IS 'create a dynamic table: a query and a target lag (an interval, default 1 minute, or ''downstream'')';

CREATE FUNCTION dyntable_alter(
    name          regclass,
    query         text DEFAULT NULL,
    target_lag    text DEFAULT NULL,
    refresh_mode  text DEFAULT NULL,
    warehouse     text DEFAULT NULL,
    schedule      text DEFAULT NULL,
    comment       text DEFAULT NULL,
    initialization_warehouse text DEFAULT NULL,
    frozen_where  text DEFAULT NULL,
    boundary      regclass[] DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_alter';
COMMENT ON FUNCTION dyntable_alter(regclass, text, text, text, text, text, text, text, text, regclass[])
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

CREATE FUNCTION dyntable_swap(a regclass, b regclass)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_swap';
COMMENT ON FUNCTION dyntable_swap(regclass, regclass)
IS 'exchange the names of two dynamic tables, atomically';

CREATE FUNCTION dyntable_clone(source regclass, name text)
RETURNS regclass
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_clone';
COMMENT ON FUNCTION dyntable_clone(regclass, text)
IS 'copy a dynamic table with its rows and state; the copy is suspended and goes on from where the source stands';

CREATE FUNCTION dyntable_detach(name regclass)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_detach';
COMMENT ON FUNCTION dyntable_detach(regclass)
IS 'make a dynamic table an ordinary one, with its rows, indexes and grants';

CREATE FUNCTION dyntable_track(source regclass, grantee regrole DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_track';
COMMENT ON FUNCTION dyntable_track(regclass, regrole)
IS 'keep a table under change capture and let a role, or all, build incremental dynamic tables on it';

CREATE FUNCTION dyntable_untrack(source regclass)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_untrack';
COMMENT ON FUNCTION dyntable_untrack(regclass)
IS 'take back dyntable_track: the table leaves change capture and has its replica identity again';

CREATE FUNCTION dyntable_warehouse(
    name              text,
    max_workers       integer DEFAULT NULL,
    settings          jsonb DEFAULT NULL,
    statement_timeout interval DEFAULT NULL,
    auto_suspend      interval DEFAULT NULL,
    auto_resume       boolean DEFAULT NULL,
    suspended         boolean DEFAULT NULL,
    owner             text DEFAULT NULL,
    grant_to          text DEFAULT NULL,
    revoke_from       text DEFAULT NULL,
    comment           text DEFAULT NULL,
    new_name          text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_warehouse';
COMMENT ON FUNCTION dyntable_warehouse(text, integer, jsonb, interval, interval, boolean, boolean, text, text, text, text, text)
IS 'create a warehouse, a pool of refresh workers, or change what is given of one';

CREATE FUNCTION dyntable_drop_warehouse(name text, if_exists boolean DEFAULT false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dyntable_drop_warehouse';
COMMENT ON FUNCTION dyntable_drop_warehouse(text, boolean)
IS 'drop a warehouse that no dynamic table uses';

CREATE FUNCTION dyntable.is_frozen(record) RETURNS boolean
LANGUAGE C STABLE STRICT
AS 'MODULE_PATHNAME', 'dyntable_is_frozen';
COMMENT ON FUNCTION dyntable.is_frozen(record)
IS 'whether a row of a dynamic table lies in its frozen region now';

CREATE FUNCTION dyntable.check_frozen() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'dyntable_check_frozen';
REVOKE ALL ON FUNCTION dyntable.check_frozen() FROM PUBLIC;
COMMENT ON FUNCTION dyntable.check_frozen()
IS 'refuses changes of rows of a dynamic table outside its frozen region';
