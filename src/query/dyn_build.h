/*
 * dyn_build.h
 *	  Shared by the files that build plans (dyn_build*.c), and by no other.
 */
#ifndef DYN_BUILD_H
#define DYN_BUILD_H

#include <nodes/bitmapset.h>
#include <nodes/pathnodes.h>

#include "catalog/dyn_catalog.h"
#include "query/dyn_node.h"
#include "query/dyn_vars.h"

typedef struct DynContext
{
	DynPlan    *plan;
	DynRefusal *refusal;
	List	   *sources;		/* of DynEdge * */
	bool		leaky;			/* some condition outside of security_barrier views tells of what it sees */
	List	   *scans;			/* of DynNode *: one per relation */
	List	   *given;			/* of DynNode *: what range-table entries "given" stand for, by number */
} DynContext;

/* Where a range-table entry is found: columns of an input of the current block. */
typedef struct DynPlace
{
	DynNode    *scan;			/* a relation: which column an attribute number is; else NULL */
	int			input;			/* from 1 */
	int			offset;			/* columns of the input before it */
	int			whole;			/* the column behind offset that is its row as one value; 0: none */
} DynPlace;

/* What conditions above a part of FROM, with nothing between that adds NULLs, say about its rows. */
typedef struct DynAbove
{
	Relids		rejected;		/* relations that are not all NULL in any row that stays */
	List	   *absent;			/* Vars that are NULL in every row that stays */
} DynAbove;

typedef struct DynLevel
{
	DynContext *ctx;
	struct DynLevel *parent;
	Query	   *query;
	DynPlace   *places;			/* by range-table index */
	DynNode   **ctes;			/* by position in cteList; NULL: not built; in its own step, WORKING */
	DynAbove	above;			/* ... the part of FROM that is being built */

	/*
	 * The last so many columns of the target list are not the query's own:
	 * the level stands once for each of their values, as in a subquery for each
	 * row outside.  They are in its GROUP BY, PARTITION BY and DISTINCT already;
	 * LIMIT counts within them.
	 */
	int			ncarried;
} DynLevel;

/* Inner-joined inputs with conditions; quals are over the level's own Vars. */
typedef struct DynBlock
{
	List	   *inputs;
	List	   *quals;
	Relids		rels;
} DynBlock;

/* What a level's expressions are over, and the expressions. */
typedef struct DynUpper
{
	DynContext *ctx;
	Query	   *query;
	List	   *inputs;
	List	   *quals;
	List	   *tlist;			/* of TargetEntry */
	List	   *having;
} DynUpper;

/* Expressions that have become columns of a node: each is Var(1, its position). */
typedef struct DynExprColumns
{
	List	   *exprs;			/* NULL entries never match */
	Index		depth;			/* of the subquery they are looked for in */
} DynExprColumns;

extern DynNode *dyn_refuse(DynContext *ctx, const char *code, const char *format,...) pg_attribute_printf(3, 4);
extern DynNode *dyn_build_query(DynContext *ctx, Query *query, DynLevel *parent, int ncarried);
extern bool dyn_open_level(DynLevel *level, DynContext *ctx, Query *query, DynLevel *parent, int ncarried);

extern void dyn_derive_keys(DynNode *node);

/* dyn_prune.c: leave out columns that are not read by parents. */
extern void dyn_plan_prune(DynNode *top);

/* dyn_build_from.c */
extern bool dyn_build_from(DynLevel *level, Node *item, DynBlock *block);
extern Query *dyn_inline_dependent(Query *query);
extern DynNode *dyn_build_leaf(DynLevel *level, int rti);
extern bool dyn_conditions_leak(Node *node, void *context);

/* dyn_build_join.c */
extern void dyn_note_conditions(DynAbove *above, Node *quals);
extern void dyn_reduce_join(DynLevel *level, JoinExpr *join);
extern bool dyn_build_outer(DynLevel *level, JoinExpr *join, DynBlock *block);
extern DynNode *dyn_make_join(DynContext *ctx, DynJoin join, DynNode *left, DynNode *right, List *quals);
extern DynNode *dyn_make_existence(DynContext *ctx, DynJoin join, DynNode *left, DynNode *right,
								   List *quals);

/* dyn_build_apply.c: an item of FROM that is computed from the rows of others */
extern bool dyn_build_apply(DynLevel *level, int rti, DynBlock *block, bool keeps, List *on);
extern DynNode *dyn_build_constant(RangeTblEntry *rte);
extern DynNode *dyn_build_one_row(void);

/* Make items of FROM in whose arguments subqueries read tables subqueries themselves. */
extern void dyn_split_items(Query *query);
extern bool dyn_item_is_lateral(RangeTblEntry *rte);
extern bool dyn_item_is_row_local(RangeTblEntry *rte);
extern bool dyn_reads_table(Node *node);

/* dyn_build_row.c: the item's row as a whole, where the query uses it, else NULL; a column of its node */
extern Var *dyn_whole_row(Query *query, int rti);
extern DynNode *dyn_add_whole_row(DynLevel *level, int rti, DynNode *node);

/* dyn_build_source.c */
extern DynNode *dyn_build_scan(DynLevel *level, RangeTblEntry *rte);

/* dyn_build_carry.c: columns more, for each value of which the query stands. */
extern void dyn_carry(Query *query, List *exprs);
extern List *dyn_carry_given(Query *query, int given, List *outer);

/* The clause of GROUP BY that groups by an entry of the list. */
extern SortGroupClause *dyn_group_clause(TargetEntry *entry, List *tlist);

/* Is one of the expressions NULL wherever the Var is? */
extern bool dyn_strict_in_any(List *exprs, Var *var);

/* A subquery of rows outside, as a node that joins them (dyn_build_dependent.c). */
typedef struct DynDependent
{
	DynNode    *node;
	int			ncolumns;		/* columns of the subquery */
	int			nvisible;		/* ... and one that is true, where empty asks for it; behind them the carried ones */
	List	   *quals;			/* over Var(1, c) of the rows outside and Var(2, c) of the node */
	bool		one_row;		/* the same one for all rows outside */

	/*
	 * Aggregates without GROUP BY: a row outside that has no row in the node has
	 * these values for its columns, over Var(1, c); NULL: NULL.  kept: whether
	 * HAVING keeps that row; where there is a row in the node its last visible
	 * column says so.
	 */
	List	   *empty;
	Node	   *kept;
} DynDependent;

/* How one value of the rows outside meets a carried column. */
typedef struct DynPair
{
	Expr	   *outside;		/* over Var(1, c) */
	Expr	   *inside;			/* over the subquery's own Vars */
	Oid			operator;		/* outside operator inside; InvalidOid: equal, and NULL equals NULL */
	Oid			collation;
} DynPair;

/*
 * The subquery's Vars of the level outside (varlevelsup 1) are columns of the
 * node outside.  False when refused.
 */
extern bool dyn_build_dependent(DynLevel *level, DynNode *outside, Query *query, DynDependent *result);

/* Is there at most one row for each row outside, since a key of the node is fixed? */
extern bool dyn_dependent_single(DynDependent *dependent);

/*
 * Join each row outside with its one row or with none.  The result's first
 * columns are those outside; values: the subquery's columns, over Var(1, c) of it.
 */
extern DynNode *dyn_join_dependent(DynContext *ctx, DynNode *outside, DynDependent *dependent, List **values);

/* The same for a condition, over the result: HAVING keeps the row. */
extern Node *dyn_dependent_kept(DynNode *outside, DynDependent *dependent);

/* CASE WHEN condition THEN value END */
extern Node *dyn_when_true(Node *condition, Node *value);

/* Add the relations of the level above to *rels; true when there are others still further up (dyn_build_apply.c). */
extern bool dyn_refers_beyond(Query *query, Relids *rels);

/*
 * dyn_build_narrow.c: where the node is groups, by its columns from carried on,
 * leave out those that no row outside can ask for, if few are left (changes the node).
 */
extern void dyn_narrow_groups(DynContext *ctx, DynNode *outside, DynNode *node, int carried, List *pairs);

/* dyn_build_lateral.c */
extern bool dyn_build_lateral(DynLevel *level, int rti, DynBlock *block, bool keeps, List *on);

/* The columns of a query that are not junk. */
extern int	dyn_visible_columns(Query *query);

/* A query that is nothing but FROM, WHERE and a select list without set-returning functions. */
extern bool dyn_query_plain(Query *query);

/* Aggregates without GROUP BY: one row, also over no rows. */
extern bool dyn_query_scalar(Query *query);

/* dyn_build_scalar.c: does a query of aggregates without GROUP BY have more than expressions of them (subqueries, windows, LIMIT …)? */
extern bool dyn_does_more_than_aggregate(Query *query);

/* If so, the same query over one of the aggregates alone, where that can be; else the query itself. */
extern Query *dyn_aggregates_below(Query *query);

/* dyn_build_single.c: has the query at most one row by its form? */
extern bool dyn_query_at_most_one(Query *query);

/* The query as one row: any of its rows, and how many there are.  Of its columns, values that are an error when there are several. */
extern Query *dyn_query_counted(Query *query);
extern List *dyn_query_only_row(List *columns);

/* ARRAY(query) as an aggregate over it. */
extern Query *dyn_query_as_array(Query *query);

/* SELECT * FROM (query), with the columns by which it is ordered as junk. */
extern Query *dyn_query_wrap(Query *query);

/* LIMIT or OFFSET as a constant, or -1 where it is none. */
extern int64 dyn_constant_limit(Node *limit);

/* dyn_build_sublink.c: does a subquery in the expression read a table? */
extern bool dyn_has_sublinks(Node *node);

/*
 * Join the subqueries in quals and exprs (lists of expressions over inputs) to
 * the inputs, and replace all of these, and others, by what they are over the
 * result.  False when refused.
 */
extern bool dyn_attach_sublinks(DynLevel *level, List **inputs, List **quals, List **exprs, List **others);

/* dyn_build_moving.c: conditions on now() */
extern void dyn_split_moving(DynContext *ctx, List **inputs, List **quals, List **moving);
extern DynNode *dyn_make_moving(DynContext *ctx, DynNode *input, Node *qual);
extern DynNode *dyn_make_moving_join(DynContext *ctx, DynJoin join, DynNode *left, DynNode *right,
									 List *quals);

/* dyn_build_setop.c */
extern DynNode *dyn_build_setop(DynLevel *level, SetOperationStmt *setop);
extern DynNode *dyn_build_setop_side(DynLevel *level, SetOperationStmt *setop, Node *side);

/* dyn_build_recursive.c: slot is the query's in its owner's ctes */
extern DynNode *dyn_build_recursive(DynLevel *owner, CommonTableExpr *cte, DynNode **slot);
extern bool dyn_check_stored(DynLevel *level, int rti, DynNode *node);

/* dyn_build_upper.c */
extern DynNode *dyn_build_select(DynLevel *level);
extern DynNode *dyn_build_distinct(DynContext *ctx, DynNode *node);

/* The column (from 1) that computes expr, added when there is none. */
extern int	dyn_column_for(List **targets, Node *expr);

/* The expression (a copy) with those of DynExprColumns replaced by Vars of input 1. */
extern Node *dyn_as_columns(Node *expr, void *columns);

/* The entries of a target list that sorting and partitioning refer to, not to be printed. */
extern List *dyn_sorting_tlist(List *tlist);

/* dyn_build_branch.c: the groups of rows, whichever of them each aggregate (list of Aggref) reads */
extern DynNode *dyn_build_groups(DynContext *ctx, List *inputs, List *quals, List *keys, List *refs);
extern bool dyn_needs_branches(List *refs);

/* dyn_build_agg.c */
extern DynAgg *dyn_build_agg(Aggref *ref, List **targets, bool marked);
extern DynAggKind dyn_agg_kind(Aggref *ref);
extern Node *dyn_rewrite_aggregates(Node *node, void *context);
extern Node *dyn_int8(int64 value);
extern Expr *dyn_int8_less(Node *left, Node *right);

/* dyn_build_group.c, dyn_build_window.c: false when refused */
extern bool dyn_build_aggregate(DynUpper *upper);
extern bool dyn_build_windows(DynUpper *upper);
extern DynNode *dyn_build_window(DynContext *ctx, DynNode *input, WindowClause *clause,
								 List *functions, List *tlist);

/* dyn_build_window.c: of the windows below top, keys being known; before the nodes have numbers */
extern void dyn_join_windows(DynNode *top);

/* dyn_build_top.c: what LIMIT and OFFSET say must be known when the plan is built */
extern bool dyn_limits(Query *query);
extern bool dyn_check_limit(DynLevel *level);

/* The columns of node are those of the target list, in order; NULL stays NULL. */
extern DynNode *dyn_build_limit(DynLevel *level, DynNode *node, List *tlist);
extern DynNode *dyn_build_distinct_on(DynContext *ctx, DynNode *node, Query *query, List *tlist);

/* Makes TOP of a window node whose ranks the conditions limit. */
extern void dyn_recognise_top(List **inputs, List **quals, List **targets);

/* dyn_build_node.c */
extern DynNode *dyn_node_new(DynNodeKind kind, int ncolumns);
extern DynNode *dyn_make_select(DynContext *ctx, List *inputs, List *quals, List *targets);
extern DynNode *dyn_block_node(DynLevel *level, DynBlock *block);

/* Make one input of those that hold the relations, with the conditions on them; its number, 0 when refused. */
extern int	dyn_block_gather(DynLevel *level, DynBlock *block, Relids rels);
extern DynNode *dyn_make_union(List *inputs);
extern void dyn_columns_like(DynNode *node, List *exprs);
extern DynNode *dyn_make_groups(DynContext *ctx, DynNode *input, int nkeys);

/* Whether values of a type that are equal are so to the byte (1.0 and 1.00 are not, unless typmod tells the places; nor are blanks behind, unless it tells the length). */
extern bool dyn_equal_is_alike(Oid type, int32 typmod, Oid collation);
extern void dyn_add_aggregate(DynNode *groups, DynAgg *agg, DynColumn column);
extern List *dyn_column_vars(DynNode *node, int input);

/*
 * One node of the inputs and conditions, with all their columns; the exprs (a
 * list of expressions) are then over it.
 */
extern DynNode *dyn_collapse(DynContext *ctx, List *inputs, List *quals, List **exprs);

/* Vars of the level's relations → Vars of the block's inputs (a copy). */
extern Node *dyn_relocate(DynLevel *level, Node *expr);

/* A condition must not depend on when a row was written: refuses and returns false. */
extern bool dyn_check_written_at(DynContext *ctx, Node *expr, List *inputs);
extern Query *dyn_flatten_join_aliases(Query *query);

#endif							/* DYN_BUILD_H */
