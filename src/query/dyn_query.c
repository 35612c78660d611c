/*
 * dyn_query.c
 *	  A defining query as the rest of dyntable sees it: expanded, judged,
 *	  planned.
 *
 * The stored definition is the analysed Query; views in it are expanded anew
 * each time, so that a replaced view is noticed and today's permissions and
 * policies hold.
 */
#include <postgres.h>

#include <catalog/pg_class.h>
#include <catalog/pg_namespace.h>
#include <catalog/pg_type.h>
#include <common/hashfn.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <rewrite/rewriteHandler.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/ruleutils.h>
#include <utils/typcache.h>

#include "compat/dyn_compat.h"
#include "compat/dyn_compat_planner.h"
#include "query/dyn_expr.h"
#include "query/dyn_node.h"
#include "query/dyn_plan.h"
#include "query/dyn_query.h"

static bool check_permissions_walker(Node *node, void *context);

Query *
dyn_query_expand(Query *query)
{
	List	   *rewritten;

	query = copyObject(query);
	AcquireRewriteLocks(query, true, false);
	rewritten = QueryRewrite(query);
	if (list_length(rewritten) != 1)
		elog(ERROR, "a defining query became %d queries", list_length(rewritten));
	query = linitial_node(Query, rewritten);
	dyn_compat_expand_virtual(query);
	return query;
}

/* Of a join without a name only merged columns can be referred to. */
static void
forget_join_columns(RangeTblEntry *rte)
{
	if (rte->rtekind != RTE_JOIN || rte->alias != NULL)
		return;
	rte->joinaliasvars = list_truncate(rte->joinaliasvars, rte->joinmergedcols);
	rte->joinleftcols = list_truncate(rte->joinleftcols, rte->joinmergedcols);
	rte->joinrightcols = list_truncate(rte->joinrightcols, rte->joinmergedcols);
}

/*
 * What is not part of a query's meaning: who may read it, how long its text
 * was, and that a column that it does not read is still there.
 */
static bool
strip_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *lc;

		foreach(lc, query->rtable)
			forget_join_columns(lfirst_node(RangeTblEntry, lc));
		query->stmt_len = query->stmt_location = 0;
		query->hasRowSecurity = false;	/* the policies themselves are conditions by now */
		dyn_compat_forget_permissions(query);
		return query_tree_walker(query, strip_walker, context, 0);
	}
	return expression_tree_walker(node, strip_walker, context);
}

/* A row that is used as a whole has the columns that its table has today: context is a hash of them. */
static bool
row_types_walker(Node *node, void *context)
{
	uint64	   *hash = context;
	TupleDesc	desc;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, row_types_walker, context, 0);
	if (IsA(node, Var) && castNode(Var, node)->varattno == 0 &&
		get_typtype(castNode(Var, node)->vartype) == TYPTYPE_COMPOSITE)
	{
		desc = lookup_rowtype_tupdesc(castNode(Var, node)->vartype, -1);
		for (int i = 0; i < desc->natts; i++)
			*hash = hash_combine64(*hash, TupleDescAttr(desc, i)->attisdropped ? 0 :
								   hash_bytes_extended((unsigned char *) NameStr(TupleDescAttr(desc, i)->attname),
													   strlen(NameStr(TupleDescAttr(desc, i)->attname)), i));
		ReleaseTupleDesc(desc);
	}
	return expression_tree_walker(node, row_types_walker, context);
}

uint64
dyn_query_row_types(Query *expanded)
{
	uint64		rows = 0;

	(void) row_types_walker((Node *) expanded, &rows);
	return rows;
}

int64
dyn_query_hash(Query *expanded, uint64 rows)
{
	char	   *text;

	expanded = copyObject(expanded);
	(void) strip_walker((Node *) expanded, NULL);
	text = nodeToString(expanded);
	return (int64) hash_bytes_extended((unsigned char *) text, strlen(text), rows);
}

/* What an analysed query says of tables by their names of then, and of columns that it does not read. */
static bool
anonymous_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, anonymous_walker, context, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION || (rte->rtekind == RTE_JOIN && rte->alias == NULL))
			rte->eref = NULL;
		forget_join_columns(rte);
		return false;
	}
	return expression_tree_walker(node, anonymous_walker, context);
}

bool
dyn_query_same(Query *a, Query *b)
{
	a = copyObject(a);
	b = copyObject(b);
	(void) anonymous_walker((Node *) a, NULL);
	(void) anonymous_walker((Node *) b, NULL);
	return equal(a, b);
}

/* Settings that decide how names and constants are written and read.  Returns a nest level. */
static int
pin_text_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"}, {"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"}, {"extra_float_digits", "1"}, {"bytea_output", "hex"},
		{"lc_monetary", "C"}, {"xmloption", "content"}, {"array_nulls", "on"},
		{"transform_null_equals", "off"}, {"standard_conforming_strings", "on"},
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

char *
dyn_query_text(Query *query)
{
	int			level = pin_text_settings();
	char	   *text = pg_get_querydef((Query *) dyn_expr_printable((Node *) query), false);

	AtEOXact_GUC(false, level);
	return text;
}

Query *
dyn_query_from_text(const char *text)
{
	int			level = pin_text_settings();
	Query	   *query = dyn_query_analyse(text);

	AtEOXact_GUC(false, level);
	return query;
}

/* The schemas of what a query names itself, as if it were read from its text. */
static bool
check_schemas_walker(Node *node, void *context)
{
	Query	   *query = (Query *) node;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, check_schemas_walker, context);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		Oid			schema = rte->rtekind == RTE_RELATION ? get_rel_namespace(rte->relid) : InvalidOid;

		if (OidIsValid(schema) && dyn_schema_aclcheck(schema, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(schema));
	}
	return query_tree_walker(query, check_schemas_walker, context, 0);
}

void
dyn_query_check_permissions(Query *query, Query *expanded)
{
	(void) check_schemas_walker((Node *) query, NULL);
	(void) check_permissions_walker((Node *) expanded, NULL);
}

static bool
check_permissions_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		dyn_compat_check_permissions((Query *) node);
		return query_tree_walker((Query *) node, check_permissions_walker, context, 0);
	}
	return expression_tree_walker(node, check_permissions_walker, context);
}

bool
dyn_query_incremental(Query *query, const char **code, char **reason,
					  List **notices, List **warnings)
{
	DynRefusal	refusal;
	List	   *sources = dyn_query_sources(query);
	DynPlan    *plan;
	List	   *names = NIL;
	ListCell   *lc;

	*notices = NIL;
	*warnings = NIL;
	plan = dyn_plan_build(dyn_query_expand(query), sources, &refusal);
	if (plan == NULL)
	{
		*code = refusal.code;
		*reason = refusal.reason;
		return false;
	}
	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			names = lappend(names, lfirst_node(TargetEntry, lc)->resname);
	for (int i = 0; i < plan->top->ncolumns; i++)
		if (plan->top->columns[i].written_at)
			*notices = lappend(*notices,
							   psprintf("column \"%s\" depends on now() and keeps the value it had when its row was last written",
										(char *) list_nth(names, i)));
	foreach(lc, plan->warnings)
		*warnings = lappend(*warnings, strVal(lfirst(lc)));
	*code = NULL;
	*reason = NULL;
	return true;
}
