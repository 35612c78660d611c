-- 23: bad data in a source.
--
-- A value that an expression cannot take fails the refresh: the rows stay as they were,
-- the error's code begins with 22, and its CONTEXT (state_message in dyntable.refresh_history)
-- names the expression, the table and the row's key.  Two ways out: find the rows and mend
-- them, or define the table so that bad values become NULL and are counted.
--
-- For both: casts that return NULL instead of failing.  They are IMMUTABLE, as text to
-- numeric or integer is; text to date depends on DateStyle, so that one takes ISO dates only.
-- (From PostgreSQL 16 on pg_input_is_valid() tells whether a cast would fail; it is STABLE.)
\set ON_ERROR_STOP on
CREATE SCHEMA IF NOT EXISTS safe;
CREATE OR REPLACE FUNCTION safe.to_numeric(value text) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN value::numeric;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION safe.to_integer(value text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN value::integer;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION safe.to_date(value text) RETURNS date
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN CASE WHEN value ~ '^\d{4}-\d\d-\d\d$'
                THEN make_date(substr(value, 1, 4)::integer, substr(value, 6, 2)::integer, substr(value, 9, 2)::integer) END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION safe.to_numeric(text) IS 'the number, or NULL where it is none';
COMMENT ON FUNCTION safe.to_integer(text) IS 'the integer, or NULL where it is none';
COMMENT ON FUNCTION safe.to_date(text) IS 'the ISO date, or NULL where it is none';
-- Find them:    SELECT * FROM source WHERE value IS NOT NULL AND safe.to_numeric(value) IS NULL;
-- Define so:    SELECT id, safe.to_numeric(value) AS value, value IS NOT NULL AND safe.to_numeric(value) IS NULL AS bad_value FROM source
