/*
 * dyn_node.h
 *	  The algebra: a defining query as a graph of operators.
 *
 * Expressions stay PostgreSQL node trees.  Inside a node's expressions a Var
 * has varno = number of the input (from 1) and varattno = column of that
 * input (from 1); nothing else about it counts.  A node may have several
 * parents (a relation or a WITH query that is named twice).
 *
 * In SQL a node's columns are called c1 .. cn, and in a delta w stands before
 * them: the weight, how often the row came (+) or went (-).
 */
#ifndef DYN_NODE_H
#define DYN_NODE_H

#include <nodes/parsenodes.h>
#include <nodes/pg_list.h>

typedef enum DynNodeKind
{
	DYN_NODE_SCAN,				/* a relation */
	DYN_NODE_CONSTANT,			/* VALUES or a function: rows that depend on no table */
	DYN_NODE_APPLY,				/* rows computed from each row of the input */
	DYN_NODE_SELECT,			/* inner join of inputs, filter, projection */
	DYN_NODE_MOVING,			/* filter whose condition contains now() */
	DYN_NODE_JOIN,				/* join of two inputs that is not inner */
	DYN_NODE_UNION,				/* UNION ALL */
	DYN_NODE_AGGREGATE,			/* GROUP BY, DISTINCT */
	DYN_NODE_WINDOW,			/* window functions over one partitioning */
	DYN_NODE_TOP,				/* the rows of each partition that come first */
	DYN_NODE_RECURSIVE,			/* WITH RECURSIVE */
	DYN_NODE_WORKING,			/* the recursive query in its own step */
} DynNodeKind;

/* Joins that are not inner, by what becomes of a row of the left input. */
typedef enum DynJoin
{
	DYN_JOIN_LEFT,				/* with each partner; with NULLs when it has none */
	DYN_JOIN_FULL,				/* the same on both sides */
	DYN_JOIN_SEMI,				/* stays when it has a partner */
	DYN_JOIN_ANTI,				/* stays when it has none */
	DYN_JOIN_MARK,				/* stays; one column more says whether it has a partner */
} DynJoin;

/* Are the columns those of both sides? */
#define dyn_join_is_outer(join) ((join) == DYN_JOIN_LEFT || (join) == DYN_JOIN_FULL)

typedef struct DynColumn
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	bool		nullable;

	/*
	 * The expression contains now() in a select list: the value is that of
	 * the row's last write, and takes no part in the row's identity.
	 */
	bool		written_at;
} DynColumn;

/* How an aggregate is kept up to date. */
typedef enum DynAggKind
{
	DYN_AGG_COUNT,				/* signed sum of 1 */
	DYN_AGG_SUM,				/* signed sum */
	DYN_AGG_AVG,				/* signed sum over count */
	DYN_AGG_EXTREMUM,			/* min, max: an insert compares, losing its last holder reads the group */
	DYN_AGG_REREAD,				/* touched groups are computed again */
} DynAggKind;

typedef struct DynAgg
{
	DynAggKind	kind;
	Aggref	   *ref;			/* over the node's input */
	int			arg;			/* input column, 0 for count(*) or DYN_AGG_REREAD */
	bool		is_max;
	bool		alike;			/* min, max: equal values are the same to the byte */

	/* SUM and AVG of numeric (dyn_scale.c): a minus may change how many decimal places a sum shows */
	bool		minus_rereads;	/* nothing is known of them: it reads the group */
	bool		counts_scale;	/* ... only when no value with the most is left */
	int			scale;			/* the most */
} DynAgg;

/* What the rows of a partition are counted by. */
typedef enum DynRank
{
	DYN_RANK_NUMBER,			/* row_number(): ties come in some order */
	DYN_RANK_RANK,				/* rank(): with its peers */
	DYN_RANK_DENSE,				/* dense_rank(): peers count as one */
} DynRank;

typedef struct DynNode
{
	DynNodeKind kind;
	int			no;				/* position in the plan, inputs first; from 1 */
	List	   *inputs;			/* of DynNode * */
	int			ncolumns;
	DynColumn  *columns;
	bool		has_key;
	List	   *key;			/* of int: columns no two rows agree in */
	bool		shared;			/* may have several parents: not to be merged or changed */

	/*
	 * Whoever reads the delta minds neither a row beside its retraction nor equal
	 * rows: these need not be looked for (dyn_loose.c).
	 */
	bool		loose;
	bool		faithful;		/* SELECT: all columns of an input with state, whose delta has no such rows */
	bool		inlined;		/* SELECT: and only an AGGREGATE does, whose statement has it in itself */

	/* SCAN */
	Oid			relid;
	bool		dynamic;		/* the relation is a dynamic table */
	bool		inherits;		/* print without ONLY */
	List	   *attnums;		/* of int, the columns in order */
	List	   *sift;			/* conditions over its own columns (as varno 1): changes of other rows are of use to nobody */

	/*
	 * CONSTANT, APPLY: the query for the rows, which reads no table.  In APPLY its
	 * Vars of the level above (varlevelsup 1) are columns of the input, and its
	 * columns stand behind the input's.
	 */
	Query	   *source;
	bool		keeps;			/* APPLY: a row for which there is none stays, with NULLs */

	/* SELECT: targets and quals.  MOVING: quals (one).  JOIN: quals of ON. */
	List	   *targets;
	List	   *quals;
	bool		barrier;		/* SELECT: conditions above it are tested after its own */

	/* JOIN: a partner is a row for which quals are true */
	DynJoin		join;
	List	   *left_keys;		/* expressions over input 1 (as varno 1) ... */
	List	   *right_keys;		/* ... equal to these over input 2 (as varno 1) ... */
	List	   *key_operators;	/* ... by these operators (oid), left then right, that agree with
								 * the "=" of both keys */
	List	   *key_collations;	/* ... and these collations (oid) */
	bool		keys_only;		/* ON is nothing but these equalities */

	/* AGGREGATE: the input's first nkeys columns are the group's */
	int			nkeys;
	List	   *variants;		/* of int: those whose equal values may differ in their bytes (1.0 and 1.00) */
	List	   *aggs;			/* of DynAgg *, the columns behind the keys */

	/*
	 * WINDOW, TOP: the columns are the input's and one per function, which is
	 * in TOP one of row_number(), rank() and dense_rank().
	 */
	List	   *partition;		/* of int: columns of the input */
	List	   *functions;		/* of WindowFunc * */
	List	   *window_tlist;	/* what the window clauses refer to */
	List	   *window_clauses; /* of WindowClause *; of a TOP and of most windows one */

	/* TOP: the rows ranked from first to last, without the first skip of each partition */
	DynRank		rank;
	int64		first;
	int64		last;
	int64		skip;

	/*
	 * RECURSIVE: the inputs are the seed and the step, which is linear in the
	 * rows of the round before (working); loop are the nodes of the step that
	 * depend on them, itself first.  Or whole is a query that yields the
	 * content, and the inputs are the relations that it reads.
	 */
	bool		distinct;		/* UNION, not UNION ALL */
	struct DynNode *working;
	List	   *loop;			/* of DynNode *, inputs before their parents */
	Query	   *whole;
	List	   *unstored;		/* of int: columns of pseudo-types (a path of SEARCH or CYCLE), NULL in the state */

	/* WORKING and the others of a loop: the RECURSIVE node, which evaluates them */
	struct DynNode *recursion;
} DynNode;

/* A plan: its nodes with inputs before their parents; the last is the top. */
typedef struct DynPlan
{
	List	   *nodes;
	DynNode    *top;
	List	   *notices;		/* of char * */
	List	   *warnings;		/* of char * */
} DynPlan;

/* Why a query has no plan. */
typedef struct DynRefusal
{
	const char *code;			/* reason code, upper case */
	char	   *reason;			/* the construct and what to write instead */
} DynRefusal;

#define dyn_node_staged(node) \
	((node)->kind == DYN_NODE_AGGREGATE || (node)->kind == DYN_NODE_WINDOW || \
	 (node)->kind == DYN_NODE_TOP || (node)->kind == DYN_NODE_RECURSIVE)

/* Columns of a TOP's state behind its own. */
#define DYN_TOP_COLUMNS 2

#define dyn_input(node, i) ((DynNode *) list_nth((node)->inputs, (i) - 1))

/* dyn_build.c: NULL and *refusal when it cannot be incremental.  query: rewritten; sources: its DynEdges. */
extern DynPlan *dyn_plan_build(Query *query, List *sources, DynRefusal *refusal);

/* dyn_build_node.c: the node and all below it, inputs before their parents */
extern List *dyn_nodes_below(DynNode *top);

/* dyn_sql_rows.c: does the content depend on the clock, whatever the inputs do? */
extern bool dyn_node_moves(DynNode *node);

/* dyn_key.c: fills in has_key and key, inputs being done. */
extern void dyn_node_derive_key(DynNode *node);
extern bool dyn_node_order_unique(DynNode *node);
extern bool dyn_node_order_decides(DynNode *node);
extern bool dyn_top_single(DynNode *node);

/* dyn_scale.c: fills in what sums know of the scale of their values, inputs being done. */
extern void dyn_node_derive_scales(DynNode *node);

/* dyn_loose.c: fills in loose, faithful and inlined of all nodes. */
extern void dyn_plan_loosen(DynPlan *plan);

/* dyn_sift.c: fills in sift of all scans. */
extern void dyn_plan_sift(DynPlan *plan);

/* Do sums over its delta tell all that becomes of an AGGREGATE's groups (but for values that are no numbers)? */
extern bool dyn_node_only_sums(DynNode *node);

/* The scale that every value of a numeric expression has, or -1 when it varies. */
extern int	dyn_expr_fixed_scale(Node *expr);

#endif							/* DYN_NODE_H */
