/*
 * dyn_build.c
 *	  From an analysed and rewritten Query to the algebra of dyn_node.h.
 *
 * One level of SELECT becomes, from below: its FROM items, joined
 * (dyn_build_from.c, dyn_build_source.c); an AGGREGATE over a SELECT that
 * computes keys and arguments (dyn_build_group.c); WINDOW nodes
 * (dyn_build_window.c); a SELECT for the target list, and an AGGREGATE for
 * DISTINCT (dyn_build_upper.c); a TOP for DISTINCT ON and for LIMIT
 * (dyn_build_top.c).  Set operations are in dyn_build_setop.c.
 * SELECTs on SELECTs are merged, so that what remains are the operators that
 * matter.  This file has the levels, and the plan as a whole.
 *
 * Nothing is raised for a construct that has no rule: the first refusal is
 * kept and NULL goes up.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <catalog/pg_type.h>

#include "query/dyn_build.h"
#include "query/dyn_expr.h"

/* Columns of a statement, less some that are added to those of a node. */
#define MAX_TARGETS	(MaxTupleAttributeNumber - 20)

static void number_nodes(DynPlan *plan, DynNode *node);
static bool narrow_enough(DynContext *ctx);
static bool level_refused(DynLevel *level);
static bool has_policies(Query *query);

DynNode *
dyn_refuse(DynContext *ctx, const char *code, const char *format,...)
{
	va_list		args;
	char		buffer[1024];

	if (ctx->refusal->code == NULL)
	{
		va_start(args, format);
		vsnprintf(buffer, sizeof(buffer), format, args);
		va_end(args);
		ctx->refusal->code = code;
		ctx->refusal->reason = pstrdup(buffer);
	}
	return NULL;
}

DynPlan *
dyn_plan_build(Query *query, List *sources, DynRefusal *refusal)
{
	DynContext	ctx = {0};
	DynPlan    *plan = palloc0(sizeof(DynPlan));

	ctx.plan = plan;
	ctx.refusal = refusal;
	ctx.sources = sources;
	refusal->code = NULL;
	refusal->reason = dyn_expr_refusal(query, &refusal->code);
	if (refusal->code)
		return NULL;
	ctx.leaky = dyn_conditions_leak((Node *) query, NULL);
	plan->top = dyn_build_query(&ctx, dyn_inline_dependent(copyObject(query)), NULL, 0);
	if (plan->top == NULL)
		return NULL;
	dyn_derive_keys(plan->top);
	dyn_join_windows(plan->top);
	dyn_plan_prune(plan->top);
	number_nodes(plan, plan->top);
	dyn_plan_loosen(plan);
	dyn_plan_sift(plan);
	return narrow_enough(&ctx) ? plan : NULL;
}

/*
 * Whether the state tables and the statements of all nodes stay within the
 * limits of columns.  A group's state has three columns for
 * each aggregate, or four, of eight bytes, and they must fit a page as well.
 */
static bool
narrow_enough(DynContext *ctx)
{
	ListCell   *lc;

	foreach(lc, ctx->plan->nodes)
	{
		DynNode    *node = lfirst(lc);
		int			width = node->ncolumns;
		int			limit = dyn_node_staged(node) ? MaxHeapAttributeNumber : MAX_TARGETS;

		if (node->kind == DYN_NODE_AGGREGATE)
		{
			ListCell   *la;

			width = node->nkeys + 3 * list_length(node->aggs);
			foreach(la, node->aggs)
				width += ((DynAgg *) lfirst(la))->counts_scale;
			limit = MaxHeapAttributeNumber * 5 / 8;
		}
		if (node->kind == DYN_NODE_TOP)
			width += DYN_TOP_COLUMNS;
		for (int i = 0; i < node->ncolumns && dyn_node_staged(node); i++)
			if (node->columns[i].type == RECORDOID)
			{
				dyn_refuse(ctx, "WHOLE_ROW", "a step of the query would have to keep rows that have no type of their own");
				return false;
			}
		if (width > limit)
		{
			dyn_refuse(ctx, "TOO_MANY_COLUMNS", "a step of the query would need %d columns, and can have %d",
					   width, limit);
			return false;
		}
	}
	return true;
}

/* The keys of a node and of all below it; they may be wanted before the plan is whole. */
void
dyn_derive_keys(DynNode *node)
{
	ListCell   *lc;

	foreach(lc, dyn_nodes_below(node))
		dyn_node_derive_key(lfirst(lc));
}

/* Number the nodes, inputs before parents, and derive keys on the way. */
static void
number_nodes(DynPlan *plan, DynNode *node)
{
	ListCell   *lc;

	if (node->no > 0)
		return;
	foreach(lc, node->inputs)
		number_nodes(plan, lfirst(lc));
	/* what is printed in a statement reads no table that the statement does not name itself */
	Assert(!dyn_has_sublinks((Node *) node->quals) && !dyn_has_sublinks((Node *) node->targets));
	node->has_key = false;
	node->key = NIL;
	dyn_node_derive_key(node);
	dyn_node_derive_scales(node);
	if ((node->kind == DYN_NODE_WINDOW || node->kind == DYN_NODE_TOP) && !dyn_node_order_decides(node))
		plan->warnings = list_append_unique(plan->warnings,
											makeString("the order of a window, of DISTINCT ON or of LIMIT does not decide between all rows, so the result is not determined"));
	plan->nodes = lappend(plan->nodes, node);
	node->no = list_length(plan->nodes);
}

DynNode *
dyn_build_query(DynContext *ctx, Query *query, DynLevel *parent, int ncarried)
{
	DynLevel	level = {0};

	if (!dyn_open_level(&level, ctx, query, parent, ncarried))
		return NULL;
	if (query->setOperations == NULL)
		return dyn_build_select(&level);
	return dyn_build_limit(&level, dyn_build_setop(&level, (SetOperationStmt *) query->setOperations),
						   query->targetList);
}

/* Begin with a level of query; false when it is refused. */
bool
dyn_open_level(DynLevel *level, DynContext *ctx, Query *query, DynLevel *parent, int ncarried)
{
	level->ctx = ctx;
	level->parent = parent;
	level->ncarried = ncarried;
	level->query = dyn_flatten_join_aliases(query);
	dyn_split_items(level->query);
	level->places = palloc0(sizeof(DynPlace) * (list_length(query->rtable) + 1));
	level->ctes = palloc0(sizeof(DynNode *) * (list_length(query->cteList) + 1));
	return !level_refused(level);
}

/* Do policies apply?  hasRowSecurity says only that a table has some, and the owner may be above them. */
static bool
has_policies(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
		if (lfirst_node(RangeTblEntry, lc)->securityQuals != NIL)
			return true;
	return false;
}

/* Constructs of one level that have no rule. */
static bool
level_refused(DynLevel *level)
{
	Query	   *query = level->query;
	const struct
	{
		bool		found;
		const char *code;
		const char *reason;
	}			constructs[] = {
		{has_policies(query), "ROW_SECURITY", "row-level security applies to a source for the table's owner"},
		{query->rowMarks != NIL, "ROW_LOCKING", "the query locks rows (FOR UPDATE or the like)"},
	};

	if (!dyn_check_limit(level))
		return true;
	for (int i = 0; i < lengthof(constructs); i++)
		if (constructs[i].found)
		{
			dyn_refuse(level->ctx, constructs[i].code, "%s", constructs[i].reason);
			return true;
		}
	return false;
}
