/*
 * dyn_owner.c
 *	  On whose behalf, and of what definition, a refresh works.
 *
 * From its first lock to its last statement a refresh runs as the table's
 * owner in a security-restricted operation, with search_path pinned and the
 * settings that change what an expression means as they were at creation: no
 * function of a user ever runs with more rights than the owner has, and the
 * caller's settings change nothing.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <catalog/pg_attribute.h>
#include <catalog/pg_class.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parsetree.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>

#include "query/dyn_expr.h"
#include "query/dyn_query.h"
#include "refresh/dyn_definitions.h"
#include "refresh/dyn_target.h"

typedef struct ColumnCheck
{
	List	   *queries;		/* innermost first */
	bool		outdated;		/* to be analysed again */
} ColumnCheck;

static Oid	relation_owner(Oid relid);
static void set_local(const char *name, const char *value);
static bool constraints_exist(List *constraints);
static bool check_columns_walker(Node *node, void *context);
static void check_column(ColumnCheck *check, RangeTblEntry *rte, Var *var);

void
dyn_become_owner(const DynTable *table, DynIdentity *identity)
{
	ListCell   *lc;

	GetUserIdAndSecContext(&identity->userid, &identity->context);
	SetUserIdAndSecContext(relation_owner(table->relid),
						   identity->context | SECURITY_RESTRICTED_OPERATION);
	identity->guc_level = NewGUCNestLevel();
	foreach(lc, table->settings)
	{
		char	   *name = pstrdup(lfirst(lc));
		char	   *equals = strchr(name, '=');

		if (equals == NULL)
			continue;
		*equals = '\0';
		if (strcmp(name, "search_path") != 0)
			set_local(name, equals + 1);
	}
	set_local("search_path", "pg_catalog, pg_temp");

	/*
	 * Small deltas probe large tables: sources of ten inputs are still to be
	 * ordered by cost, and pages count for little beside the rows on them.  What
	 * a delta finds is mostly in memory, and where it is not the table is so
	 * large that reading all of it would take longer still.
	 */
	set_local("seq_page_cost", "0.1");
	set_local("random_page_cost", "0.1");
	set_local("from_collapse_limit", "12");
	set_local("join_collapse_limit", "12");
	set_local("jit", "off");
}

void
dyn_become_caller(const DynIdentity *identity)
{
	AtEOXact_GUC(false, identity->guc_level);
	SetUserIdAndSecContext(identity->userid, identity->context);
}

/* Where it is so already, nothing needs to be set back. */
static void
set_local(const char *name, const char *value)
{
	const char *present = GetConfigOption(name, true, false);

	if (present && strcmp(present, value) == 0)
		return;
	(void) set_config_option(name, value, superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("dynamic table with OID %u does not exist", relid));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
analysis_context(void *arg)
{
	if (geterrcode() == ERRCODE_GROUPING_ERROR)
		errhint("The key that GROUP BY rests on was dropped. Make the constraint again, or give the dynamic table another query with dyntable_alter(name, query => ...).");
}

/* Analyse a definition again.  As it will read from the catalog: without positions in its text. */
static Query *
analyse_again(const char *text)
{
	ErrorContextCallback callback = {.callback = analysis_context, .previous = error_context_stack};
	Query	   *query;

	error_context_stack = &callback;
	query = dyn_query_from_text(text);
	error_context_stack = callback.previous;
	return castNode(Query, stringToNode(nodeToString(query)));
}

/*
 * dyn_stored_query returns the definition as it is to be run now.  Names are
 * those of today, as the stored tree knows relations and columns by number; a
 * column whose type changed, or a lost key that GROUP BY rests on, makes it be
 * analysed again from its own text.
 */
Query *
dyn_stored_query(const DynTable *table, bool *retyped)
{
	Query	   *query;
	ColumnCheck check = {NIL, false};

	*retyped = false;
	if (!dyn_tree_readable(table))
	{
		*retyped = true;
		return analyse_again(table->definition);
	}
	query = dyn_definition_tree(table);
	(void) check_columns_walker((Node *) query, &check);
	if (check.outdated)
	{
		*retyped = true;
		query = analyse_again(dyn_query_text(query));
	}
	return query;
}

/* Whether the keys are still there by which GROUP BY allows other columns. */
static bool
constraints_exist(List *constraints)
{
	ListCell   *lc;

	foreach(lc, constraints)
		if (!SearchSysCacheExists1(CONSTROID, ObjectIdGetDatum(lfirst_oid(lc))))
			return false;
	return true;
}

static bool
check_columns_walker(Node *node, void *context)
{
	ColumnCheck *check = context;
	bool		result;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		check->outdated |= !constraints_exist(((Query *) node)->constraintDeps);
		check->queries = lcons(node, check->queries);
		result = query_tree_walker((Query *) node, check_columns_walker, context, QTW_IGNORE_JOINALIASES);
		check->queries = list_delete_first(check->queries);
		return result;
	}
	if (IsA(node, Var) && ((Var *) node)->varlevelsup < list_length(check->queries))
	{
		Var		   *var = (Var *) node;
		Query	   *query = list_nth(check->queries, var->varlevelsup);
		RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);

		if (rte->rtekind == RTE_RELATION && var->varattno > 0)
			check_column(check, rte, var);
		return false;
	}
	return expression_tree_walker(node, check_columns_walker, context);
}

static void
check_column(ColumnCheck *check, RangeTblEntry *rte, Var *var)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(rte->relid),
										Int16GetDatum(var->varattno));
	Form_pg_attribute att;

	if (!HeapTupleIsValid(tuple) || ((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_COLUMN),
				errmsg("column \"%s\" of source \"%s\" has been dropped",
					   strVal(list_nth(rte->eref->colnames, var->varattno - 1)),
					   get_rel_name(rte->relid)),
				errhint("Give the dynamic table another query with dyntable_alter(name, query => ...)."));
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	check->outdated |= att->atttypid != var->vartype || att->atttypmod != var->vartypmod ||
		att->attcollation != var->varcollid;
	ReleaseSysCache(tuple);
}

DynColumn *
dyn_query_result_columns(Query *query, int *ncolumns)
{
	DynColumn  *columns = palloc0(sizeof(DynColumn) * (list_length(query->targetList) + 1));
	ListCell   *lc;

	*ncolumns = 0;
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (entry->resjunk)
			continue;
		columns[(*ncolumns)++] = (DynColumn) {
			.type = exprType((Node *) entry->expr), .typmod = exprTypmod((Node *) entry->expr),
			.collation = exprCollation((Node *) entry->expr), .nullable = true,
			.written_at = dyn_expr_shows_now((Node *) entry->expr) &&
				get_sortgroupref_clause_noerr(entry->ressortgroupref, query->groupClause) == NULL
		};
	}
	return columns;
}

char *
dyn_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", relid));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

char *
dyn_hash_name(void)
{
	return pstrdup("dyntable.row_hash");
}
