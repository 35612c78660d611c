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

typedef struct DynContext
{
	DynPlan    *plan;
	DynRefusal *refusal;
	List	   *sources;		/* of DynEdge * */
	List	   *scans;			/* of DynNode *: one per relation */
} DynContext;

/* Where a range-table entry is found: columns of an input of the current block. */
typedef struct DynPlace
{
	DynNode    *scan;			/* a relation: which column an attribute number is; else NULL */
	int			input;			/* from 1 */
	int			offset;			/* columns of the input before it */
} DynPlace;

typedef struct DynLevel
{
	DynContext *ctx;
	struct DynLevel *parent;
	Query	   *query;
	DynPlace   *places;			/* by range-table index */
	DynNode   **ctes;			/* by position in cteList; NULL: not built */
} DynLevel;

/* Inner-joined inputs with conditions; quals are over the level's own Vars. */
typedef struct DynBlock
{
	List	   *inputs;
	List	   *quals;
	Relids		rels;
} DynBlock;

extern DynNode *dyn_refuse(DynContext *ctx, const char *code, const char *format,...) pg_attribute_printf(3, 4);
extern DynNode *dyn_build_query(DynContext *ctx, Query *query, DynLevel *parent);
extern bool dyn_build_from(DynLevel *level, Node *item, DynBlock *block);

/* dyn_build_upper.c */
extern DynNode *dyn_build_select(DynLevel *level);
extern DynNode *dyn_build_distinct(DynContext *ctx, DynNode *node);

/* dyn_build_node.c */
extern DynNode *dyn_node_new(DynNodeKind kind, int ncolumns);
extern DynNode *dyn_make_select(DynContext *ctx, List *inputs, List *quals, List *targets);
extern DynNode *dyn_block_node(DynLevel *level, DynBlock *block);
extern bool dyn_split_moving(DynContext *ctx, List **inputs, List **quals, List **moving);
extern DynNode *dyn_make_moving(DynContext *ctx, DynNode *input, Node *qual);
extern List *dyn_column_vars(DynNode *node, int input);

/* Vars of the level's relations → Vars of the block's inputs (a copy). */
extern Node *dyn_relocate(DynLevel *level, Node *expr);

/* Vars of input number from become Vars of input number to (a copy). */
extern Node *dyn_renumber_input(Node *expr, int from, int to);

/* The varnos (of this level) in an expression. */
extern Relids dyn_expr_relations(Node *expr);

/* A condition must not depend on when a row was written: refuses and returns false. */
extern bool dyn_check_written_at(DynContext *ctx, Node *expr, List *inputs);
extern Query *dyn_flatten_join_aliases(Query *query);

#endif							/* DYN_BUILD_H */
