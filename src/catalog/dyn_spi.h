/*
 * dyn_spi.h
 *	  The one way in which this room runs SQL: saved plans with pinned rights.
 */
#ifndef DYN_SPI_H
#define DYN_SPI_H

#include <datatype/timestamp.h>
#include <executor/spi.h>
#include <nodes/pg_list.h>

#include "catalog/dyn_catalog.h"

#define DYN_MAX_ARGS 32

/* A statement, prepared at its first use in a backend and kept. */
typedef struct DynStatement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[DYN_MAX_ARGS];
	SPIPlanPtr	plan;
} DynStatement;

/* What dyn_spi_end restores. */
typedef struct DynCall
{
	Oid			userid;
	int			sec_context;
	int			guc_level;
	uint64		nrows;			/* rows returned or changed */
} DynCall;

/*
 * The rows of a table that have one value, or two, of the columns of an index:
 * what is asked so often that a statement would be too dear.
 */
#define DYN_MAX_COLUMNS 40

typedef struct DynLookup
{
	const char *index;			/* on OIDs, and int4 behind that; in schema dyntable, rows come in its order */
	const char *columns[DYN_MAX_COLUMNS];	/* of the table, or xmin */

	/* where they are, as of this relation with so many columns */
	Oid			relid;
	int			natts;
	AttrNumber	attnums[DYN_MAX_COLUMNS];
} DynLookup;

/*
 * Look rows up as a statement in the current transaction would see them; for
 * the rest as dyn_spi_begin.
 */
extern void dyn_lookup_begin(DynCall *call, DynLookup *lookup, Oid key);
extern void dyn_lookup_begin_2(DynCall *call, DynLookup *lookup, Oid key, int32 second);
extern void dyn_lookup_begin_last(DynCall *call, DynLookup *lookup, Oid key);	/* only the last in the order of the index */
extern void dyn_lookup_end(DynCall *call);

/* All of it in one, where of the rows only an OID is read, their first column. */
extern List *dyn_lookup_oids(DynLookup *lookup, Oid key);

/* Whether the functions below read what was looked up; a column of it. */
extern bool dyn_lookup_open(void);
extern void dyn_lookup_close(void);
extern Datum dyn_lookup_datum(uint64 row, int column, bool *isnull);

extern void dyn_lookup_version(uint64 row, DynRowVersion *version);

/* A row that is locked to be changed. */
typedef struct DynRow
{
	DynLookup  *lookup;
	Relation	table;
	TupleTableSlot *slot;
	DynRowVersion updated;		/* by dyn_row_update: the new version */
} DynRow;

/*
 * Lock the last row, in the order of the index, that has one value, or two (OIDs),
 * as an UPDATE of it would: waits for who has changed it; under REPEATABLE READ
 * raises a serialization error if somebody has since the snapshot.  False: there
 * is none.  Ended by dyn_row_update, or without a change by dyn_row_end.
 */
extern bool dyn_row_begin(DynRow *row, DynLookup *lookup, Oid key);
extern bool dyn_row_begin_2(DynRow *row, DynLookup *lookup, Oid key, Oid second);
extern void dyn_row_end(DynRow *row);

/* A column of it, from 1: by value, or in the row's memory. */
extern Datum dyn_row_datum(DynRow *row, int column, bool *isnull);

/*
 * Give its first columns (of the lookup's) values, or insert a row of these, in
 * which all other columns are null.  nulls as in SPI_execute_plan.  The constraints
 * of the table are not checked, but that an index is unique.
 */
extern void dyn_row_update(DynRow *row, const Datum *values, const char *nulls, int count);
extern void dyn_row_insert(DynLookup *lookup, const Datum *values, const char *nulls, int count);

/*
 * Run a statement.  nulls as in SPI_execute_plan, or NULL.  On return the
 * caller's memory context is current again and the result can be read with
 * the functions below until dyn_spi_end.
 */
extern void dyn_spi_begin(DynCall *call, DynStatement *statement, Datum *values, const char *nulls);
extern void dyn_spi_end(DynCall *call);

/* Both in one, for statements whose rows nobody reads.  Returns their number. */
extern uint64 dyn_spi_run(DynStatement *statement, Datum *values, const char *nulls);

/* Both in one, for statements of whose rows only an OID is read, their first column. */
extern List *dyn_spi_oids(DynStatement *statement, Datum *values);

/* Columns of the result, counted from 0 and 1; allocated in the current context. */
extern Datum dyn_spi_datum(uint64 row, int column, bool *isnull);	/* by value or in SPI's memory */
extern char *dyn_spi_text(uint64 row, int column);	/* NULL when null; column of type text */
extern char *dyn_spi_snapshot(uint64 row, int column);	/* NULL when null; the text of a pg_snapshot */
extern Oid	dyn_spi_oid(uint64 row, int column);
extern int32 dyn_spi_int4(uint64 row, int column);
extern int64 dyn_spi_int8(uint64 row, int column);
extern bool dyn_spi_bool(uint64 row, int column);
extern TimestampTz dyn_spi_timestamp(uint64 row, int column);	/* DT_NOBEGIN when null */
extern Interval *dyn_spi_interval(uint64 row, int column);	/* NULL when null */
extern double dyn_spi_float8(uint64 row, int column);	/* -1 when null */
extern void dyn_spi_float8_array(uint64 row, int column, double *values, int count);	/* -1 what is null or not there */
extern List *dyn_spi_int2_list(uint64 row, int column);	/* smallint[] to List of int */
extern List *dyn_spi_text_list(uint64 row, int column);	/* text[] to List of char * */

/* Values for parameters; a NULL string gives a null. */
extern Datum dyn_text_value(const char *string, char *null);
extern Datum dyn_snapshot_value(const DynSnapshot *snapshot, char *null);	/* a pg_snapshot */
extern Datum dyn_timestamp_value(TimestampTz timestamp, char *null);	/* DT_NOBEGIN gives a null */
extern Datum dyn_float8_value(double value, char *null);	/* below 0 gives a null */
extern Datum dyn_float8_array_value(const double *values, int count);	/* the same, element by element */
extern Datum dyn_int2_array_value(const List *list);
extern Datum dyn_text_array_value(const List *list);

#endif							/* DYN_SPI_H */
