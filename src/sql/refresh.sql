/*
 * refresh.sql: what a refresh would do.
 */
CREATE FUNCTION dyntable_explain(name regclass)
RETURNS SETOF text
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'dyntable_explain';
COMMENT ON FUNCTION dyntable_explain(regclass)
IS 'mode and reason, operators and state tables, missing indexes, and what the next refresh would do, with its SQL, without doing it';

CREATE FUNCTION dyntable_explain_query(query text)
RETURNS SETOF text
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'dyntable_explain_query';
COMMENT ON FUNCTION dyntable_explain_query(text)
IS 'whether a query could be refreshed incrementally, why not, its operators and the indexes worth having';
