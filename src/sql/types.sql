/*
 * types.sql: identity of a row by its image.
 *
 * Two rows are the same when every column has the same bytes (1.0 and 1.00
 * are not); json, xml and point have an image although they have no equality.
 */
CREATE FUNCTION dyntable.row_hash(record) RETURNS bigint
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dyntable_row_hash';
COMMENT ON FUNCTION dyntable.row_hash(record) IS 'hash of a row''s image, the identity of rows of a table without a key';
