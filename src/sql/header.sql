/* dyntable: install script, joined from src/sql by the Makefile. */

-- complain if the script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION dyntable" to load this file. \quit

CREATE SCHEMA dyntable;
COMMENT ON SCHEMA dyntable IS 'what dyntable keeps and shows';
GRANT USAGE ON SCHEMA dyntable TO PUBLIC;
