/*
 * dyn_evaluate.h
 *	  One refresh of one table: its plan, its state, its deltas.
 */
#ifndef DYN_EVALUATE_H
#define DYN_EVALUATE_H

#include "catalog/dyn_catalog.h"
#include "query/dyn_sql.h"
#include "refresh/dyn_apply.h"
#include "refresh/dyn_choice.h"

typedef struct DynEvaluation
{
	Oid			relid;			/* the dynamic table */
	DynSql		sql;
	DynExecution execution;
	DynRows   **deltas;			/* by node number; NULL: not computed, empty */
	DynSink    *sink;			/* of the dynamic table, where its rows may be written by their places; or NULL */
	DynSink   **states;			/* by node number: state tables of staged nodes, but aggregates' */
	DynSnapshot *since;			/* changes of base tables: visible in upto, not in since */
	DynSnapshot *upto;
	List	   *edges;			/* of DynEdge * */

	DynChoice	choice;			/* told of each change that is read */
	List	   *exhausted;		/* base tables (Oid) all of whose logged changes are visible in upto */

	/* A change was found that no delta can express: the table is to be reinitialised. */
	char	   *reinit_reason;
} DynEvaluation;

/* dyn_evaluate.c: deltas of all nodes, states brought up to date; the top's is evaluation->deltas[top]. */
extern void dyn_evaluate(DynEvaluation *evaluation);

/* The delta of one node, its inputs' being there. */
extern void dyn_evaluate_node(DynEvaluation *evaluation, DynNode *node);

/* the columns w, c1 .. of a node's delta, the same with the place of the row, and which of them make identity (no place does) */
extern TupleDesc dyn_delta_desc(int ncolumns, const DynColumn *columns);
extern TupleDesc dyn_placed_desc(TupleDesc delta);
extern bool *dyn_delta_identity(int ncolumns, const DynColumn *columns);
extern TupleDesc dyn_columns_desc(const char *prefix, List *columns);	/* of DynColumn * */

/* dyn_aggregate.c */
extern DynRows *dyn_aggregate_delta(DynEvaluation *evaluation, DynNode *node);
extern char *dyn_aggregate_fill(DynEvaluation *evaluation, DynNode *node, const char *source);
extern List *dyn_aggregate_state_columns(DynNode *node);	/* of char *: "name type", behind c1 .. cn */

/* dyn_join.c */
extern DynRows *dyn_join_delta(DynEvaluation *evaluation, DynNode *node);

/* dyn_window.c */
extern DynRows *dyn_window_delta(DynEvaluation *evaluation, DynNode *node);

/* The partitions (k1 ..) of the rows of an ephemeral relation, as another one. */
extern DynRows *dyn_partition_keys(DynEvaluation *evaluation, DynNode *node, const char *rows, const char *name);

/* The rows of a content that are in these partitions. */
extern char *dyn_partition_rows(DynNode *node, const char *content, int ncolumns, DynRows *keys);

/* dyn_top.c */
extern DynRows *dyn_top_delta(DynEvaluation *evaluation, DynNode *node);
extern char *dyn_top_fill(DynNode *node, const char *content);
extern void dyn_top_state(DynNode *node, DynSink *sink);

/* dyn_recursive.c: the delta of a RECURSIVE node; a statement that yields its content anew */
extern DynRows *dyn_recursive_delta(DynEvaluation *evaluation, DynNode *node);
extern char *dyn_recursive_fill(DynEvaluation *evaluation, DynNode *node);

/* dyn_state.c: the state tables of a dynamic table */
extern void dyn_states_publishable(Oid relid);
extern void dyn_states_open(DynEvaluation *evaluation);
extern bool dyn_states_complete(DynEvaluation *evaluation);
extern void dyn_states_drop(Oid relid);
extern void dyn_states_fill(DynEvaluation *evaluation, bool keep);
extern DynSink *dyn_state_sink(DynEvaluation *evaluation, DynNode *node);

/* A state table by its number: its qualified name, making it of "name type" (dyn_state_column) */
extern char *dyn_state_name(Oid relid, int no);
extern void dyn_state_create(Oid relid, int no, List *columns);
extern char *dyn_state_column(const char *name, Oid type, int32 typmod, Oid collation);

/* Run DDL as part of another command, for which no event trigger of a user's fires: with the caller's rights. */
extern void dyn_run_utility(const char *command);

/* Run DDL of ours, which no user's right or setting concerns. */
extern void dyn_state_ddl(const char *command);
extern bool dyn_state_try_ddl(char *command);
extern bool dyn_state_has_order(List *types);
extern void dyn_state_analyze(const char *name, int64 rows);

#endif							/* DYN_EVALUATE_H */
