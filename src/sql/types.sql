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

/* A scalar subquery in a defining query: any of its values, and which of how many it is. */
CREATE FUNCTION dyntable.any_of_step(anyelement, anyelement) RETURNS anyelement
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dyntable_any_of_step';
COMMENT ON FUNCTION dyntable.any_of_step(anyelement, anyelement) IS 'transition function of dyntable.any_of';

CREATE AGGREGATE dyntable.any_of(anyelement) (SFUNC = dyntable.any_of_step, STYPE = anyelement, PARALLEL = SAFE);
COMMENT ON AGGREGATE dyntable.any_of(anyelement) IS 'one of the values, NULL or not';

CREATE FUNCTION dyntable.only_row(value anyelement, number bigint) RETURNS anyelement
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dyntable_only_row';
COMMENT ON FUNCTION dyntable.only_row(anyelement, bigint) IS 'the value of a scalar subquery; an error when it had more than one row';
