/*
 * capture.sql: change capture as people see it.
 */

CREATE FUNCTION dyntable.capture_state(
    OUT pid integer, OUT state text, OUT generation bigint, OUT captured_lsn pg_lsn,
    OUT changes bigint, OUT log_bytes bigint, OUT reason text, OUT last_error text, OUT last_error_at timestamptz)
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'dyntable_capture_state';
COMMENT ON FUNCTION dyntable.capture_state() IS
    'what the capture worker of this database keeps in shared memory';
REVOKE ALL ON FUNCTION dyntable.capture_state() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dyntable.capture_state() TO pg_read_all_stats;

CREATE FUNCTION dyntable.size(relid oid) RETURNS bigint
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'dyntable_size';
COMMENT ON FUNCTION dyntable.size(oid)
    IS 'total size of a relation in bytes; null while somebody has locked it exclusively';

CREATE VIEW dyntable.capture AS
    SELECT format('dyntable_%s', d.oid)::name AS slot_name,
           s.generation,
           s.state,
           s.reason,
           s.pid,
           r.active AS slot_active,
           r.wal_status,
           pg_wal_lsn_diff(w.now, r.restart_lsn)::bigint AS retained_wal_bytes,
           s.captured_lsn,
           CASE WHEN s.captured_lsn IS NOT NULL
                THEN greatest(pg_wal_lsn_diff(w.now, s.captured_lsn), 0)::bigint END AS lag_bytes,
           s.changes AS captured_changes,
           (SELECT count(*) FROM dyntable.source) AS sources,
           (SELECT coalesce(sum(dyntable.size(l.oid)), 0)::bigint
              FROM dyntable.source c JOIN pg_class l ON l.oid IN (c.log, c.other_log)) AS change_log_bytes,
           o.xact_start AS oldest_transaction,
           o.pid AS oldest_transaction_pid,
           p.prepared AS oldest_prepared_transaction,
           p.gid AS oldest_prepared_gid,
           s.last_error,
           s.last_error_at
      FROM pg_database d
     CROSS JOIN dyntable.capture_state() s
     CROSS JOIN LATERAL (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                     ELSE pg_current_wal_lsn() END) w(now)
      -- Of whatever database: WAL is kept from the oldest of them on.
      LEFT JOIN LATERAL (SELECT a.xact_start, a.pid FROM pg_stat_activity a
                          WHERE a.backend_xid IS NOT NULL
                          ORDER BY a.xact_start LIMIT 1) o ON true
      LEFT JOIN LATERAL (SELECT x.prepared, x.gid FROM pg_prepared_xacts x
                          ORDER BY x.prepared LIMIT 1) p ON true
      LEFT JOIN pg_replication_slots r
        ON r.slot_name = format('dyntable_%s', d.oid)::name AND r.datoid = d.oid
     WHERE d.datname = current_database();
COMMENT ON VIEW dyntable.capture IS
    'change capture of this database: slot, retained WAL, lag, change logs, last error';
GRANT SELECT ON dyntable.capture TO pg_read_all_stats;

COMMENT ON COLUMN dyntable.capture.slot_name IS 'replication slot of this database';
COMMENT ON COLUMN dyntable.capture.generation IS 'identity of the slot; positions of another generation are void';
COMMENT ON COLUMN dyntable.capture.state IS 'off, starting, idle, creating slot, running, failed, or unable';
COMMENT ON COLUMN dyntable.capture.reason IS 'why capture is not running, where that is not the normal course';
COMMENT ON COLUMN dyntable.capture.pid IS 'process of the capture worker';
COMMENT ON COLUMN dyntable.capture.slot_active IS 'whether the slot is in use';
COMMENT ON COLUMN dyntable.capture.wal_status IS 'as in pg_replication_slots';
COMMENT ON COLUMN dyntable.capture.retained_wal_bytes IS 'WAL that the slot keeps from being removed';
COMMENT ON COLUMN dyntable.capture.captured_lsn IS 'up to here every change is in the change logs';
COMMENT ON COLUMN dyntable.capture.lag_bytes IS 'WAL written and not yet captured';
COMMENT ON COLUMN dyntable.capture.captured_changes IS 'rows written to change logs since the server started';
COMMENT ON COLUMN dyntable.capture.sources IS 'tables under capture';
COMMENT ON COLUMN dyntable.capture.change_log_bytes IS 'size of all change logs';
COMMENT ON COLUMN dyntable.capture.oldest_transaction IS 'start of the oldest writing transaction of the server, which pins WAL';
COMMENT ON COLUMN dyntable.capture.oldest_transaction_pid IS 'process of that transaction';
COMMENT ON COLUMN dyntable.capture.oldest_prepared_transaction IS 'when the oldest prepared transaction of the server was prepared, which pins WAL';
COMMENT ON COLUMN dyntable.capture.oldest_prepared_gid IS 'name of that prepared transaction';
COMMENT ON COLUMN dyntable.capture.last_error IS 'the last error that ended a capture worker';
COMMENT ON COLUMN dyntable.capture.last_error_at IS 'when that was';

-- The launcher learns of this database when the extension is there to be seen.
CREATE FUNCTION dyntable.capture_announce() RETURNS void
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'dyntable_capture_announce';
COMMENT ON FUNCTION dyntable.capture_announce() IS
    'have the launcher start the workers of this database when the transaction has committed';
REVOKE ALL ON FUNCTION dyntable.capture_announce() FROM PUBLIC;
DO $$ BEGIN PERFORM dyntable.capture_announce(); END $$;
