/*
 * dyn_sql.h
 *	  The SQL of nodes: their content, and their deltas.
 *
 * Columns are c1 .. cn, a delta's weight is w.  Deltas that have been computed
 * are ephemeral relations d<no>, sets of keys k<no>, groups g<no>, u<no>.
 */
#ifndef DYN_SQL_H
#define DYN_SQL_H

#include <datatype/timestamp.h>
#include <lib/stringinfo.h>
#include <nodes/bitmapset.h>

#include "query/dyn_node.h"

typedef struct DynSql
{
	DynPlan    *plan;
	TimestampTz since;			/* data timestamp that the stored state has */
	TimestampTz upto;			/* ... and that it is brought to */
	char	  **stages;			/* by node number: qualified name of its state table; of WORKING, RECURSIVE's */
	int64	   *changed;		/* by node number: rows of its delta */
	const char *hash;			/* qualified name of row_hash */
} DynSql;

/* SELECT c1, …: the content of a node, now. */
extern char *dyn_sql_content(DynSql *sql, DynNode *node);

/*
 * SELECT w, c1, …: the delta of a node without state, from its inputs'
 * deltas; NULL when it is known to be empty.  Not for SELECT and JOIN:
 */
extern char *dyn_sql_delta(DynSql *sql, DynNode *node);

/* dyn_sql_select.c: the delta of a SELECT by steps, each an ephemeral relation. */
typedef struct DynStep
{
	char	   *name;
	List	   *columns;		/* expressions over the inputs: its columns c1 .. */
	struct DynStep *before;		/* what it builds on */
	int			changed;		/* the input whose delta it takes in */
	List	   *added;			/* of int: unchanged inputs that it joins besides */
	Bitmapset  *joined;			/* all inputs that are joined by now */
	List	   *quals;			/* the conditions on these */
	List	   *new_quals;		/* ... of which the step before did not know */
} DynStep;

extern List *dyn_sql_steps(DynSql *sql, DynNode *node);
extern char *dyn_sql_step(DynSql *sql, DynNode *node, DynStep *step, bool empty);

/*
 * dyn_sql_join.c: the delta of a JOIN, with what of one side (1: left, 2: right)
 * flips by the other's delta in ephemeral relations that were made before.
 */

/* Can anything of the side flip? */
extern bool dyn_sql_join_may_flip(DynSql *sql, DynNode *node, int side);

/* x<no>_<side>: SELECT w, c1, …: the rows of the side that may flip; NULL: not needed. */
extern char *dyn_sql_join_candidates(DynSql *sql, DynNode *node, int side);

/* f<no>_<side>: SELECT k1, …, dw, the keys of the rows that flip, or SELECT w, c1, …, the rows. */
extern char *dyn_sql_join_flips(DynSql *sql, DynNode *node, int side);

/* The columns k1 … (DynColumn) of the former. */
extern List *dyn_sql_join_keys(DynNode *node, int side);

/* flipped: by side, whether f<no>_<side> has any; NULL: the delta is empty */
extern char *dyn_sql_join_delta(DynSql *sql, DynNode *node, const bool *flipped);

/* dyn_sql_rows.c: both for CONSTANT and APPLY */
extern char *dyn_sql_rows_content(DynSql *sql, DynNode *node);
extern char *dyn_sql_rows_delta(DynSql *sql, DynNode *node);

/* SELECT c1, …: a window's rows from the rows of its input that source yields. */
extern char *dyn_sql_window(DynSql *sql, DynNode *node, const char *source);

/* dyn_sql_suffix.c: windows whose functions look back only */
typedef struct DynSuffix
{
	int			column;			/* of the input: the first that orders the window */
	Oid			before;			/* x before y in its order */
	Oid			from;			/* x is y or behind it */
	int			context;		/* rows that are needed before the first touched one, at least one */
} DynSuffix;

/* Is the node such a window? */
extern bool dyn_sql_suffix(DynNode *node, DynSuffix *suffix);

/* By which columns a refresh finds the stored rows that it computes again: the partition's, and of such a window the order's first. */
extern List *dyn_partition_columns(DynNode *node);

/* SELECT k1, …, m: the partitions of rows, and where in them the first of the rows is. */
extern char *dyn_sql_suffix_keys(DynNode *node, DynSuffix *suffix, const char *rows);

/* The rows of a content of these partitions (none of them NULL) from there on. */
extern char *dyn_sql_suffix_rows(DynNode *node, DynSuffix *suffix, const char *content, int ncolumns,
								 const char *keys);

/* The node's rows from there on as they are now, what is before it being stored. */
extern char *dyn_sql_suffix_window(DynSql *sql, DynNode *node, DynSuffix *suffix, const char *keys);

/* dyn_sql_top.c */

/* What stands behind ORDER BY for a list of SortGroupClauses of the node's window, over input i1. */
extern char *dyn_sql_order(DynNode *node, List *order);

/* The columns of the partition, separated by commas. */
extern char *dyn_sql_partition(DynNode *node);

/* How many rows of a partition (by the node's rank) are kept. */
extern int64 dyn_top_depth(DynNode *node);

/*
 * SELECT c1, …, shown, more: what is kept of the rows that source yields,
 * c1, … of the input.  shown: the row is of the node's content; more: the
 * partition's last row that is kept, others come behind it.
 */
extern char *dyn_sql_top_rows(DynNode *node, const char *source);

/* SELECT c1, …: source for dyn_sql_top_rows that holds whatever it may need of content. */
extern char *dyn_sql_top_source(DynNode *node, const char *content);

/*
 * SELECT w, c1, …: of a delta of the input what does not come behind the last
 * row that the state has of its partition, as far as the first column of the
 * order tells.  NULL: nothing is told.
 */
extern char *dyn_sql_top_near(DynNode *node, const char *delta, const char *state);

/* That column (of the input, and not of the partition) and how it is ordered; 0: it is an expression, or there is none. */
extern int	dyn_top_first(DynNode *node, SortGroupClause **first);

/*
 * SELECT w, c1, …, shown, more, n, alike, peers: what is kept (w = 1) and the delta of
 * the input (shown and more NULL), in an order in which only equal rows tie.
 * In each partition n counts rows from 1, alike is the same for rows that tie, peers for
 * those that the node's own order does not tell apart, where these count.  Rows
 * come in this order, as the server computes windows; to sort them once more would
 * put those that tie in another one.
 */
extern char *dyn_sql_top_merged(DynNode *node, const char *kept, const char *delta);

/* Do they? */
extern bool dyn_top_counts_peers(DynNode *node);

/* By what one of its functions counts. */
extern DynRank dyn_top_rank_of(WindowFunc *function);

/* "a.c1, a.c2, …" with a NULL or empty alias: unqualified. */
extern char *dyn_sql_columns(const char *alias, int ncolumns);

/* What is selected of rows with a weight, which may have no columns: "weight AS w, a.c1, a.c2, …" */
extern char *dyn_sql_weighted(const char *weight, const char *alias, int ncolumns);

/* a.x1 = b.y1 AND …, by the types' own equality; nulls: NULL equals NULL. */
extern char *dyn_sql_match(const char *a, List *a_names, const char *b, List *b_names,
						   List *types, bool nulls);

/* names of columns c<i>, of char * */
extern List *dyn_sql_names(const char *prefix, List *numbers);

/* (a.x IS NOT NULL AND …), or true */
extern char *dyn_sql_not_null(const char *alias, List *names, List *types);

/* IS NULL or IS NOT NULL for a value of a type: of composite values IS NULL means the fields. */
extern const char *dyn_sql_null_test(Oid type, bool null);

/*
 * SELECT i.* FROM (content) i for the rows whose columns names match a row of
 * the ephemeral relation keys (columns k1 ..); nulls: keys holds NULLs.
 */
extern char *dyn_sql_restrict(const char *content, int ncolumns, List *names, List *types,
							  const char *keys, bool nulls);

/*
 * The same for the content of a node, by its columns (of int): the keys go
 * into the inputs of a UNION ALL, as the planner hands no join's parameter to
 * a union whose inputs are more than tables.
 */
extern char *dyn_sql_content_of(DynSql *sql, DynNode *node, List *columns, const char *keys, bool nulls);

extern List *dyn_sql_types(DynNode *node, List *columns);

/* OPERATOR(schema.=) of a type */
extern char *dyn_sql_equality(Oid type);

#endif							/* DYN_SQL_H */
