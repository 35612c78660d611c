/*
 * dyn_apply.h
 *	  Applying a delta to a table: a dynamic table, or the state of an operator.
 */
#ifndef DYN_APPLY_H
#define DYN_APPLY_H

#include "refresh/dyn_bulk.h"
#include "refresh/dyn_execute.h"

typedef struct DynSink
{
	Oid			relid;
	char	   *name;			/* qualified and quoted */
	List	   *names;			/* of char *: quoted column names, the delta's c1 .. cn in order */
	List	   *types;			/* of Oid */
	bool	   *identity;		/* by column from 0: takes part in a row's identity */
	List	   *key;			/* of int: columns (from 1) that identify a row; NIL: its image does */
	List	   *unique;			/* of int: columns in unique indexes other than the key */
	const char *index;			/* qualified name of the unique index on the key; NULL: no unique index but ours */
	List	   *outlived;		/* of Oid: indexes of ours that were for another identity */
	const char *hash;			/* qualified name of row_hash */
} DynSink;

typedef struct DynCounts
{
	int64		inserted;
	int64		updated;
	int64		deleted;
} DynCounts;

/*
 * Apply a consolidated delta.  Raises an error when a row to be deleted is
 * not there, or a key would come twice: the stored state is then wrong, and
 * the caller reinitialises.
 */
extern void dyn_apply(DynExecution *execution, DynSink *sink, DynRows *delta, DynCounts *counts);

/* Are rows with these columns that know their places written without statements?  They need no index to be found by. */
extern bool dyn_apply_by_place(DynSink *sink, TupleDesc desc);

/* May they also be brief (DynRows)?  Nobody reads them then but who writes the table. */
extern bool dyn_apply_brief(DynSink *sink, TupleDesc desc);

/* Of so many rows that take another's place, and more, a brief delta changes most of the table: they are for dyn_bulk_replace. */
extern int64 dyn_apply_many(DynSink *sink);

/* The unique index on the sink's key, or InvalidOid. */
extern Oid	dyn_apply_key_index(DynSink *sink);

/*
 * Let work write a table without statements.  Raises the same error where a unique index of
 * it is violated; name: the table's, qualified; index: as in DynSink, NULL: any.
 */
extern void dyn_apply_in_bulk(DynExecution *execution, Oid relid, const char *name, const char *index,
							  void (*work) (DynBulk *bulk, void *arg), void *arg);

/* The rows as stored that the minus rows of a delta name, with w = −1. */
extern DynRows *dyn_apply_stored(DynExecution *execution, DynSink *sink, DynRows *delta);

/* ROW(a.c1, a.c2, …) of the columns that make a row's identity. */
extern char *dyn_identity_row(DynSink *sink, const char *alias);

/* The same of the stored row, and of a table whose every column counts the row as a whole. */
extern char *dyn_identity_stored(DynSink *sink, const char *alias);

/* The table's columns, separated by commas. */
extern char *dyn_sink_columns(DynSink *sink);

/* SQLSTATE of a violated invariant: the table is to be reinitialised. */
#define ERRCODE_DYN_STATE_DIVERGED MAKE_SQLSTATE('D', 'Y', '0', '0', '1')

#endif							/* DYN_APPLY_H */
