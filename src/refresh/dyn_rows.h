/*
 * dyn_rows.h
 *	  Rows on their way: the results of a refresh's statements, and deltas.
 */
#ifndef DYN_ROWS_H
#define DYN_ROWS_H

#include <access/htup.h>
#include <executor/tuptable.h>
#include <nodes/pg_list.h>
#include <utils/datum.h>
#include <utils/queryenvironment.h>
#include <utils/resowner.h>
#include <utils/tuplestore.h>

typedef struct DynRows
{
	char	   *name;			/* as an ephemeral relation */
	TupleDesc	desc;
	Tuplestorestate *store;		/* spills beyond work_mem */
	int64		count;
	bool	   *has_null;		/* by column, from 0 */

	/*
	 * A delta's first column is w, the weight; identity tells which of the
	 * others take part in a row's identity.  Not NULL for deltas only.
	 */
	bool	   *identity;
	int64		plus;			/* rows with w > 0 */
	int64		minus;			/* rows with w < 0 */
	bool		repeated;		/* some |w| > 1 */

	/* of a source's changes: how many that came and went were left out, being of use to nobody */
	int64		useless_plus;
	int64		useless_minus;

	/*
	 * The last column, which is no part of the row, is a ctid: of a retraction,
	 * where the row is stored; of an addition, of the row of the same key whose
	 * place it takes, or NULL.  No |w| is above 1 then, and equal rows may come
	 * several times.
	 */
	bool		placed;
	bool		brief;			/* such an addition stands for the retraction too, which is left out; of others only the place counts */

	HeapTuple  *statistics;		/* by column, from 0: what was asked for since they were registered */
	MemoryContext context;		/* where they were begun */
} DynRows;

/*
 * What is begun between these two ends with the second.  Whatever happens,
 * what the first returned has to be given back to dyn_rows_restore.
 */
extern ResourceOwner dyn_rows_open(void);
extern void dyn_rows_close(void);
extern void dyn_rows_restore(ResourceOwner outer);

/* Rows with these columns; a delta has identity (one entry per column but w, copied). */
extern DynRows *dyn_rows_begin(const char *name, TupleDesc desc, const bool *identity);

/* A part of many, which are not a delta, with so much memory before it spills. */
extern DynRows *dyn_rows_begin_part(const char *name, TupleDesc desc, int kilobytes);

/* Add a row; the slot's first columns are those of desc, types unchecked. */
extern void dyn_rows_put(DynRows *rows, TupleTableSlot *slot);
extern void dyn_rows_put_values(DynRows *rows, Datum *values, bool *isnull);

/* dyn_rows_put as a sink of statements (dyn_execute.h); arg: the rows */
extern void dyn_rows_sink(TupleTableSlot *slot, void *arg);

/* A sink for rows that have no weight: all of them get the same one. */
typedef struct DynSigned
{
	DynRows    *rows;			/* a delta */
	int64		weight;
	bool		inlined;		/* values stored out of line are fetched: they shall outlive the table's */
	Datum	   *values;
	bool	   *isnull;
} DynSigned;

extern DynSigned *dyn_rows_signed(DynRows *rows);
extern void dyn_rows_signed_sink(TupleTableSlot *slot, void *arg);	/* arg: DynSigned * */

/*
 * Consolidate a delta: of equal rows (by image of the identity columns) one
 * remains, with the sum of their weights; none when it is 0.  A delta that
 * only adds or only takes away is left as it is.
 */
extern void dyn_rows_consolidate(DynRows *rows);

/* The same whatever the signs: equal rows are then one row, weight n. */
extern void dyn_rows_unite(DynRows *rows);

/*
 * The rows in parts by a hash, so that a table of the rows of a part, of which
 * there are count in all, stays within hash_mem: a list of DynRows *, the rows
 * themselves where they are few enough.  Where rows are very many a part has
 * still to be worked on in several passes: DynPass goes through them.
 */
typedef uint64 (*DynRowHash) (DynRows *rows, TupleTableSlot *slot, void *arg);

extern List *dyn_rows_scatter(DynRows *rows, int64 count, DynRowHash hash, void *arg);

typedef struct DynPass
{
	uint32		no;				/* from 0 */
	uint32		npasses;
	uint32		nbuckets;		/* of the table, a power of 2: the hash's low bits tell */
} DynPass;

extern DynPass dyn_rows_first_pass(const DynRows *part, int64 count);
extern bool dyn_rows_in_pass(const DynPass *pass, uint64 hash);

/* Reading: a slot for the rows, and the next row or false. */
extern TupleTableSlot *dyn_rows_slot(DynRows *rows);
extern void dyn_rows_rewind(DynRows *rows);
extern bool dyn_rows_next(DynRows *rows, TupleTableSlot *slot);

/* As an ephemeral relation of an environment, with its true row count. */
extern void dyn_rows_register(DynRows *rows, QueryEnvironment *env);

/* The rows behind the name of an ephemeral relation, or NULL. */
extern DynRows *dyn_rows_registered(QueryEnvironment *env, const char *name);

/* dyn_statistics.c: what is known of a column (from 0) as a row of pg_statistic; NULL: nothing. */
extern HeapTuple dyn_rows_statistics(DynRows *rows, int column);

/* What is known of a column, and as a row of pg_statistic in the context: the values are the arrays of its first slot. */
typedef struct DynColumnStatistics
{
	Form_pg_attribute att;
	float4		null_share;
	float4		distinct;		/* as in stadistinct */
	int			kind;			/* of slot, with the operator that tells the values apart or orders them; */
	Oid			operator;
	Datum	   *values;			/* not looked at where there are none */
	Datum	   *shares;			/* float4, as many; or NULL */
	int			nvalues;
} DynColumnStatistics;

extern HeapTuple dyn_statistics_tuple(const DynColumnStatistics *statistics, MemoryContext context);

/* dyn_small_tables.c: the same of a column (from 1) of a small table that is locked; it lasts as long as the transaction. */
extern HeapTuple dyn_table_statistics(Oid relid, AttrNumber attnum);

extern void dyn_rows_end(DynRows *rows);

/* Image hash of one value, and of the columns of a delta's row that take part in its identity. */
extern uint64 dyn_image_hash(Datum value, bool isnull, bool byval, int16 typlen);
extern uint64 dyn_rows_hash(DynRows *rows, TupleTableSlot *slot);

/* Are two values of one column the same by image?  NULL is the same as NULL. */
static inline bool
dyn_image_same(Datum a, bool a_null, Datum b, bool b_null, const FormData_pg_attribute *att)
{
	if (a_null || b_null)
		return a_null && b_null;
	return datum_image_eq(a, b, att->attbyval, att->attlen);
}

#endif							/* DYN_ROWS_H */
