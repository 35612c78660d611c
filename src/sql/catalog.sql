/*
 * catalog.sql: the tables in which dyntable keeps what it knows.
 *
 * Only src/catalog reads and writes them (and the views of monitor.sql read
 * them).  A dump carries none of them, only definitions (restore.sql).
 */

-- grantees: who may use it beside its owner, 0 is PUBLIC.
CREATE TABLE dyntable.warehouse (
    name              text PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 63),
    owner             regrole NOT NULL DEFAULT current_user::regrole,
    grantees          oid[] NOT NULL DEFAULT '{}',
    max_workers       integer CHECK (max_workers > 0),
    settings          jsonb NOT NULL DEFAULT '{}',
    statement_timeout interval,
    auto_suspend      interval DEFAULT '1 minute',
    auto_resume       boolean NOT NULL DEFAULT true,
    suspended         boolean NOT NULL DEFAULT false,
    comment           text,
    created           timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE dyntable.warehouse IS 'pools of refresh workers';

-- What a dynamic table is.  target_lag NULL with schedule NULL: downstream.
-- schedule 'manual': refreshed by nobody but dyntable_refresh.
-- query is the user's text; definition the same with every name qualified, as
-- of when it was last analysed; tree the analysed query, which only the server
-- that tree_version names can read.
CREATE TABLE dyntable.dynamic_table (
    relid         regclass PRIMARY KEY,
    query         text NOT NULL,
    definition    text NOT NULL,
    tree          text NOT NULL,
    tree_version  text NOT NULL,
    settings      text[] NOT NULL,
    target_lag    interval,
    schedule      text,
    refresh_mode  text NOT NULL CHECK (refresh_mode IN ('auto', 'incremental', 'full')),
    incremental   boolean NOT NULL,
    reason_code   text,
    reason        text,
    initialize    text NOT NULL CHECK (initialize IN ('on_create', 'on_schedule')),
    warehouse     text NOT NULL DEFAULT 'default' REFERENCES dyntable.warehouse ON UPDATE CASCADE,
    initialization_warehouse text REFERENCES dyntable.warehouse ON UPDATE CASCADE,
    state         text NOT NULL DEFAULT 'ACTIVE' CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    state_code    text,
    state_by      text,
    suspended_on  timestamptz,
    resumed_on    timestamptz,
    created       timestamptz NOT NULL DEFAULT clock_timestamp(),
    reshaped      xid8,
    frozen_where  text
);
COMMENT ON COLUMN dyntable.dynamic_table.state_by IS 'the role that suspended or resumed it last; null: nobody, or dyntable itself';
COMMENT ON TABLE dyntable.dynamic_table IS 'definition and scheduling state of each dynamic table';
COMMENT ON COLUMN dyntable.dynamic_table.frozen_where IS 'rows that satisfy it are not computed again';
COMMENT ON COLUMN dyntable.dynamic_table.reshaped IS 'the transaction that last gave it other columns: snapshots that do not see it find no rows';

-- Where a dynamic table stands.  One row each, updated by every refresh that
-- changed something; never dumped.
CREATE TABLE dyntable.position (
    relid           oid PRIMARY KEY,
    generation      bigint NOT NULL DEFAULT 0,
    snapshot        pg_snapshot,
    data_timestamp  timestamptz,
    refresh_no      bigint NOT NULL DEFAULT 0,
    populated       boolean NOT NULL DEFAULT false,
    plan_hash       bigint NOT NULL DEFAULT 0,
    basis           text[] NOT NULL DEFAULT '{}',
    reinit_reason   text,
    failures        integer NOT NULL DEFAULT 0,
    retry_at        timestamptz,
    full_ms         double precision,
    full_cost       double precision,
    delta_ms        double precision[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);
COMMENT ON TABLE dyntable.position IS 'snapshot, data timestamp and refresh number that each dynamic table has reached';
COMMENT ON COLUMN dyntable.position.full_ms IS 'milliseconds that it takes to compute the query, without applying the difference; null: not yet known';
COMMENT ON COLUMN dyntable.position.full_cost IS 'the planner''s cost of the query when full_ms was found out';
COMMENT ON COLUMN dyntable.position.delta_ms IS 'milliseconds that deltas took, without applying them: element i is of less than 4^i changed rows, by the row times 4^i';

-- What a dynamic table reads: base tables ('b'), dynamic tables ('d'), or
-- sources that can only be read in full ('f').  refresh_no: up to which of a
-- dynamic source's refreshes this table has read.
CREATE TABLE dyntable.edge (
    relid      oid NOT NULL,
    source     oid NOT NULL,
    kind       "char" NOT NULL CHECK (kind IN ('b', 'd', 'f')),
    columns    smallint[] NOT NULL,
    refresh_no bigint NOT NULL DEFAULT 0,
    boundary   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (relid, source)
);
CREATE INDEX edge_source ON dyntable.edge (source);
COMMENT ON TABLE dyntable.edge IS 'which relations each dynamic table reads';
COMMENT ON COLUMN dyntable.edge.boundary IS 'a dynamic table that is read as it is, and not refreshed for the sake of this one';

-- A table that is refreshed by hand only is read as it stands, and reads so; and
-- so is one that the reader was given as a boundary.
CREATE VIEW dyntable.pull AS
SELECT e.relid, e.source
FROM dyntable.edge e
JOIN dyntable.dynamic_table r ON r.relid = e.relid
JOIN dyntable.dynamic_table s ON s.relid = e.source
WHERE e.kind = 'd' AND NOT e.boundary AND r.schedule IS DISTINCT FROM 'manual' AND s.schedule IS DISTINCT FROM 'manual';
COMMENT ON VIEW dyntable.pull IS 'which dynamic tables a refresh of another one brings along';

-- Base tables under capture, written by the registrar only.
CREATE TABLE dyntable.source (
    relid          oid PRIMARY KEY,
    log            oid NOT NULL,
    other_log      oid NOT NULL,
    columns        smallint[] NOT NULL,
    registered_lsn pg_lsn NOT NULL,
    registered_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    old_identity   "char" NOT NULL
);
COMMENT ON TABLE dyntable.source IS 'base tables under change capture and their change logs';

-- Base tables that their owners keep under capture for others to build on;
-- grantee 0: for all.
CREATE TABLE dyntable.tracked (
    source  oid NOT NULL,
    grantee oid NOT NULL,
    PRIMARY KEY (source, grantee)
);
COMMENT ON TABLE dyntable.tracked IS 'base tables that dyntable_track keeps under change capture, and for whom';

-- The replica identity that each table had before capture asked for FULL: the
-- sources themselves and the partitions below them.
CREATE TABLE dyntable.identity (
    relid        oid PRIMARY KEY,
    old_identity "char" NOT NULL
);
COMMENT ON TABLE dyntable.identity IS 'replica identity of each table before it came under change capture';

-- State tables of a dynamic table, one a non-linear operator of its plan,
-- and with no = 0 the log of its own delta that downstream tables read.
CREATE TABLE dyntable.stage (
    relid oid NOT NULL,
    no    integer NOT NULL,
    stage oid NOT NULL,
    PRIMARY KEY (relid, no)
);
COMMENT ON TABLE dyntable.stage IS 'state tables beside each dynamic table';

-- The replication slot of this database, as its capture worker made it.
CREATE TABLE dyntable.slot (
    name       name PRIMARY KEY,
    generation bigint NOT NULL,
    systemid   bigint NOT NULL,
    timeline   bigint NOT NULL,
    dboid      oid NOT NULL,
    tablespace oid NOT NULL,
    cause      text
);
COMMENT ON TABLE dyntable.slot IS 'the replication slot of this database and its generation';
COMMENT ON COLUMN dyntable.slot.cause IS 'why the slot before it could not be used any longer';

CREATE TABLE dyntable.history (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relid          oid NOT NULL,
    state          text NOT NULL,
    action         text,
    trigger        text NOT NULL,
    code           text,
    message        text,
    data_timestamp timestamptz,
    started        timestamptz NOT NULL,
    ended          timestamptz NOT NULL,
    rows_inserted  bigint,
    rows_updated   bigint,
    rows_deleted   bigint,
    reason         text,
    phases         jsonb,
    completion_target timestamptz,
    repeats        integer NOT NULL DEFAULT 1,
    target_lag     interval,
    warehouse      text,
    queued_ms      double precision,
    run            xid8 DEFAULT pg_current_xact_id(),
    inputs         jsonb,
    last_input     oid,
    cpu_ms         double precision,
    wal_bytes      bigint,
    blocks_hit     bigint,
    blocks_read    bigint,
    blocks_dirtied bigint,
    lag_since      timestamptz,
    lag_sum        double precision,
    lag_max        double precision,
    lag_above      double precision,
    lag_steps      integer
);
CREATE INDEX history_relid ON dyntable.history (relid, id);
CREATE INDEX history_ended ON dyntable.history (ended);
COMMENT ON TABLE dyntable.history IS 'every refresh; refreshes in a row that found nothing share one row, which tells of the last of them and what all have cost';
COMMENT ON COLUMN dyntable.history.run IS 'transaction of the refresh, or that which took note of its failure';
COMMENT ON COLUMN dyntable.history.inputs IS 'what had changed: {relid, kind, registered, unregistered} each';
COMMENT ON COLUMN dyntable.history.last_input IS 'the dynamic table that it reads and that was refreshed last before it';
COMMENT ON COLUMN dyntable.history.lag_since IS 'end of the successful refresh before; the columns whose names begin with lag_ are about the time since';
COMMENT ON COLUMN dyntable.history.lag_sum IS 'age of what readers saw, summed over time, in seconds times seconds';
COMMENT ON COLUMN dyntable.history.lag_max IS 'the greatest age, in seconds';
COMMENT ON COLUMN dyntable.history.lag_above IS 'for how many seconds it was above the target lag';
COMMENT ON COLUMN dyntable.history.lag_steps IS 'how often the data timestamp moved';
COMMENT ON SEQUENCE dyntable.history_id_seq IS 'numbers of the rows of dyntable.history';

-- What each dynamic table was, and when: one row a version (dyn_version.c).
CREATE TABLE dyntable.version (
    relid         oid NOT NULL,
    name          name NOT NULL,
    schema_name   name NOT NULL,
    query         text NOT NULL,
    target_lag    interval,
    schedule      text,
    warehouse     text NOT NULL,
    state         text NOT NULL,
    state_code    text,
    suspended_on  timestamptz,
    resumed_on    timestamptz,
    inputs        jsonb NOT NULL,
    alter_trigger text[] NOT NULL,
    valid_from    timestamptz NOT NULL,
    valid_to      timestamptz,
    run           xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX version_relid ON dyntable.version (relid, valid_from);
COMMENT ON TABLE dyntable.version IS 'what each dynamic table was, and when';
COMMENT ON COLUMN dyntable.version.run IS 'the transaction that made the version';

-- What a version is compared with.
CREATE VIEW dyntable.described AS
SELECT t.relid::oid AS relid, c.relname AS name, n.nspname AS schema_name, t.query, t.target_lag, t.schedule,
       t.warehouse, t.state, t.state_code, t.suspended_on, t.resumed_on,
       coalesce((SELECT jsonb_agg(jsonb_build_object(
                            'name', quote_ident(sn.nspname) || '.' || quote_ident(s.relname),
                            'kind', CASE WHEN e.kind = 'd' THEN 'DYNAMIC TABLE' WHEN s.relkind IN ('v', 'm') THEN 'VIEW'
                                         ELSE 'TABLE' END) ||
                        CASE WHEN e.boundary THEN jsonb '{"insideRefreshBoundary": true}' ELSE '{}' END ORDER BY sn.nspname, s.relname)
                   FROM dyntable.edge e JOIN pg_class s ON s.oid = e.source
                   JOIN pg_namespace sn ON sn.oid = s.relnamespace
                  WHERE e.relid = t.relid), '[]') AS inputs
FROM dyntable.dynamic_table t
JOIN pg_class c ON c.oid = t.relid
JOIN pg_namespace n ON n.oid = c.relnamespace;
COMMENT ON VIEW dyntable.described IS 'dynamic tables as they are, in the columns of dyntable.version';

-- Dynamic tables that somebody follows; the changes are in a state table of each.
CREATE TABLE dyntable.feed (
    relid oid PRIMARY KEY,
    keep  interval NOT NULL
);
COMMENT ON TABLE dyntable.feed IS 'dynamic tables whose changes are kept for those who follow them, and for how long';

-- Roles that are named here are in use, as far as DROP ROLE is concerned.
CREATE FUNCTION dyntable.roles_changed() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'dyntable_roles_changed';
REVOKE ALL ON FUNCTION dyntable.roles_changed() FROM PUBLIC;
COMMENT ON FUNCTION dyntable.roles_changed() IS 'tells the server which roles the rows of a table name';
CREATE TRIGGER roles_changed AFTER INSERT OR DELETE OR UPDATE OF owner, grantees ON dyntable.warehouse
    FOR EACH STATEMENT EXECUTE FUNCTION dyntable.roles_changed();
CREATE TRIGGER roles_changed AFTER INSERT OR DELETE OR UPDATE ON dyntable.tracked
    FOR EACH STATEMENT EXECUTE FUNCTION dyntable.roles_changed();
-- A restore sets session_replication_role.
ALTER TABLE dyntable.warehouse ENABLE ALWAYS TRIGGER roles_changed;
ALTER TABLE dyntable.tracked ENABLE ALWAYS TRIGGER roles_changed;
INSERT INTO dyntable.warehouse (name, grantees) VALUES ('default', '{0}');
