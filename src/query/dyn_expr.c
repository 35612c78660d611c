/*
 * dyn_expr.c
 *	  What differentiation asks of expressions.
 *
 * Which functions may stand in an incremental definition:
 *	 - immutable ones, anywhere;
 *	 - now() and its kin: the caller replaces them by the data timestamp;
 *	 - stable ones of pg_catalog that depend on nothing but settings, which
 *	   are pinned at creation (to_char, timestamptz arithmetic, ...);
 *	 - nothing else: a user's stable function may read tables whose changes
 *	   we do not see, and a volatile one has no value to maintain.
 */
#include <postgres.h>

#include <access/transam.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_proc.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/builtins.h>
#include <utils/datum.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/numeric.h>
#include <utils/ruleutils.h>
#include <utils/syscache.h>

#include "query/dyn_expr.h"
#include "query/dyn_vars.h"

typedef struct RefusalSearch
{
	const char *code;
	char	   *reason;
} RefusalSearch;

static bool refusal_walker(Node *node, void *context);
static bool says_now(Node *node);
static bool function_refused(Oid funcid, void *context);
static bool session_function(const char *name, int nargs);

char *
dyn_expr_refusal(Query *query, const char **code)
{
	RefusalSearch search = {NULL, NULL};

	(void) query_tree_walker(query, refusal_walker, &search, 0);
	*code = search.code;
	return search.reason;
}

static bool
refusal_walker(Node *node, void *context)
{
	RefusalSearch *search = context;

	if (node == NULL)
		return false;
	if (dyn_expr_is_now(node))
		return false;
	if (IsA(node, SQLValueFunction))
	{
		search->code = "SESSION_FUNCTION";
		search->reason = pstrdup("the query asks who or where the session is (CURRENT_USER or the like)");
		return true;
	}
	if (IsA(node, NextValueExpr))
	{
		search->code = "VOLATILE_FUNCTION";
		search->reason = pstrdup("the query reads a sequence");
		return true;
	}
	if (IsA(node, TableSampleClause))
	{
		search->code = "TABLESAMPLE";
		search->reason = pstrdup("the query uses TABLESAMPLE, whose result is not determined");
		return true;
	}
	if (says_now(node))
	{
		search->code = "SESSION_FUNCTION";
		search->reason = pstrdup("a text such as 'now' or 'today' becomes a time anew at each refresh; write now() or current_date");
		return true;
	}
	if (check_functions_in_node(node, function_refused, context))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, refusal_walker, context, 0);
	return expression_tree_walker(node, refusal_walker, context);
}

/* ('now'::text)::timestamptz and its kin, which constants ('now'::timestamptz) are not. */
static bool
says_now(Node *node)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	Oid			type = IsA(node, CoerceViaIO) ? ((CoerceViaIO *) node)->resulttype : InvalidOid;
	Const	   *text = type ? (Const *) ((CoerceViaIO *) node)->arg : NULL;
	Oid			output;
	bool		varlena;
	char	   *said;

	if ((type != DATEOID && type != TIMEOID && type != TIMETZOID && type != TIMESTAMPOID && type != TIMESTAMPTZOID) ||
		!IsA(text, Const) || text->constisnull)
		return false;
	getTypeOutputInfo(text->consttype, &output, &varlena);
	said = OidOutputFunctionCall(output, text->constvalue);
	for (int i = 0; i < lengthof(words); i++)
		if (strcasestr(said, words[i]) != NULL)
			return true;
	return false;
}

static bool
function_refused(Oid funcid, void *context)
{
	RefusalSearch *search = context;
	char		volatility = func_volatile(funcid);
	char	   *name;

	if (volatility == PROVOLATILE_IMMUTABLE)
		return false;
	name = get_func_name(funcid);
	if (volatility == PROVOLATILE_VOLATILE)
	{
		search->code = "VOLATILE_FUNCTION";
		search->reason = psprintf("function %s is volatile", name);
		return true;
	}
	if (funcid >= FirstUnpinnedObjectId)
	{
		search->code = "STABLE_FUNCTION";
		search->reason = psprintf("function %s is declared stable and may depend on what is not watched; declare it immutable if its result depends on its arguments alone",
								  name);
		return true;
	}
	if (session_function(name, get_func_nargs(funcid)))
	{
		search->code = "SESSION_FUNCTION";
		search->reason = psprintf("the result of function %s depends on the session or the catalogs", name);
		return true;
	}
	return false;
}

/* Stable functions of pg_catalog that look at more than their arguments and settings. */
static bool
session_function(const char *name, int nargs)
{
	static const char *const prefixes[] = {
		"pg_", "has_", "current_", "session_", "inet_client", "inet_server", "txid_", "to_reg",
		"obj_description", "col_description", "shobj_description", "format_type", "query_to_",
		"table_to_", "schema_to_", "database_to_", "cursor_to_", "row_security", "reg", "getdatabase",
		"version", "lastval", "mxid_age", "ts_stat", "makeaclitem", "aclitem",
	};

	/* age(x) counts from today; age(x, y) does not */
	if (strcmp(name, "age") == 0 && nargs == 1)
		return true;
	for (int i = 0; i < lengthof(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

Var *
dyn_expr_column(Node *expr)
{
	if (IsA(expr, RelabelType))
		expr = (Node *) ((RelabelType *) expr)->arg;
	return IsA(expr, Var) ? (Var *) expr : NULL;
}

OpExpr *
dyn_expr_equality(Node *expr)
{
	OpExpr	   *op = (OpExpr *) expr;

	return IsA(expr, OpExpr) && list_length(op->args) == 2 &&
		op_mergejoinable(op->opno, exprType(linitial(op->args))) ? op : NULL;
}

List *
dyn_expr_conjuncts(Node *qual)
{
	List	   *result = NIL;
	ListCell   *lc;

	if (qual == NULL)
		return NIL;
	if (IsA(qual, List))
	{
		foreach(lc, (List *) qual)
			result = list_concat(result, dyn_expr_conjuncts(lfirst(lc)));
		return result;
	}
	if (is_andclause(qual))
		return dyn_expr_conjuncts((Node *) castNode(BoolExpr, qual)->args);

	/* NOT (a OR b) is NOT a AND NOT b */
	if (is_notclause(qual) && is_orclause(get_notclausearg(qual)))
		return dyn_expr_conjuncts(negate_clause((Node *) get_notclausearg(qual)));
	return list_make1(qual);
}

void
dyn_expr_show_cast(Node *expr)
{
	CoercionForm *form = NULL;

	while (expr && IsA(expr, CollateExpr))
		expr = (Node *) ((CollateExpr *) expr)->arg;
	if (expr == NULL)
		return;
	if (IsA(expr, FuncExpr))
		form = &((FuncExpr *) expr)->funcformat;
	else if (IsA(expr, RelabelType))
		form = &((RelabelType *) expr)->relabelformat;
	else if (IsA(expr, CoerceViaIO))
		form = &((CoerceViaIO *) expr)->coerceformat;
	else if (IsA(expr, ArrayCoerceExpr))
		form = &((ArrayCoerceExpr *) expr)->coerceformat;
	else if (IsA(expr, ConvertRowtypeExpr))
		form = &((ConvertRowtypeExpr *) expr)->convertformat;
	else if (IsA(expr, CoerceToDomain))
		form = &((CoerceToDomain *) expr)->coercionformat;
	if (form && *form == COERCE_IMPLICIT_CAST)
		*form = COERCE_EXPLICIT_CAST;
}

/*
 * text_over prints the expression with the server's own deparser: as the
 * WHERE clause of a query without columns whose FROM is WITH entries of our
 * naming.  What stands behind
 * the first WHERE is the text, as the names before it are ours.
 */
static char *
text_over(Node *expr, int ninputs, char **names, List **columns, List *windows, List *window_tlist)
{
	Query	   *query = makeNode(Query);
	FromExpr   *from = makeNode(FromExpr);
	char	   *text;
	char	   *where;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;

	/* one entry more than is referenced, so that columns print qualified */
	for (int i = 0; i <= ninputs; i++)
	{
		RangeTblEntry *rte = makeNode(RangeTblEntry);

		rte->rtekind = RTE_CTE;
		rte->ctename = i < ninputs ? names[i] : "dyn_none";
		rte->eref = makeAlias(rte->ctename, i < ninputs ? columns[i] : NIL);
		rte->inFromCl = true;
		query->rtable = lappend(query->rtable, rte);
		if (i < ninputs)
		{
			RangeTblRef *ref = makeNode(RangeTblRef);

			ref->rtindex = i + 1;
			from->fromlist = lappend(from->fromlist, ref);
		}
	}
	from->quals = dyn_expr_printable(expr);
	dyn_expr_show_cast(from->quals);
	query->jointree = from;
	query->windowClause = windows;
	query->targetList = window_tlist;

	text = pg_get_querydef(query, false);
	/* Before some expressions, CASE among them, comes a new line. */
	where = strstr(text, " WHERE");
	if (where == NULL)
		elog(ERROR, "could not find the condition in \"%s\"", text);
	return where + strlen(" WHERE");
}

/* Most are a column.  Only inputs that are read need columns, of which the deparser makes much ado. */
char *
dyn_expr_text(Node *expr, const char *prefix, int ninputs, const int *ncolumns,
			  List *windows, List *window_tlist)
{
	char	  **names;
	List	  **columns;
	Relids		read;

	if (IsA(expr, Var) && castNode(Var, expr)->varattno > 0)
		return psprintf(" %s%d.c%d", prefix, castNode(Var, expr)->varno, castNode(Var, expr)->varattno);
	names = palloc(sizeof(char *) * Max(ninputs, 1));
	columns = palloc0(sizeof(List *) * Max(ninputs, 1));
	read = bms_union(dyn_expr_relations(expr), dyn_expr_relations((Node *) window_tlist));
	for (int i = 0; i < ninputs; i++)
	{
		names[i] = psprintf("%s%d", prefix, i + 1);
		if (!bms_is_member(i + 1, read))
			continue;
		for (int c = 1; c <= ncolumns[i]; c++)
			columns[i] = lappend(columns[i], makeString(psprintf("c%d", c)));
	}
	return text_over(expr, ninputs, names, columns, windows, window_tlist);
}

char *
dyn_expr_text_of(Node *expr, int ninputs, char **names, List **columns)
{
	char	   *text = text_over(expr, ninputs, names, columns, NIL, NIL);

	return text + strspn(text, " \n");
}
