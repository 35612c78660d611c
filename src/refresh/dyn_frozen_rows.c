/*
 * dyn_frozen_rows.c
 *	  The frozen region of a dynamic table, row by row.
 *
 * A refresh with data timestamp t changes nothing of what lies in the region at t.
 * Of the stored rows those outside are exactly those of the query outside: a
 * row outside at t was outside at the refresh before, since the region only
 * grows, and so was what that refresh stored.  Hence the delta without its rows inside
 * takes the one to the other, whatever lies inside by now.
 *
 * By key that holds only where a key is inside or outside as a whole; where the
 * predicate looks at other columns the rows' images identify them.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <executor/executor.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <rewrite/rewriteManip.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/timestamp.h>
#include <utils/typcache.h>

#include "query/dyn_expr.h"
#include "query/dyn_frozen.h"
#include "refresh/dyn_frozen_rows.h"
#include "refresh/dyn_target.h"

PG_FUNCTION_INFO_V1(dyntable_is_frozen);

struct DynFrozen
{
	Oid			relid;
	Node	   *predicate;		/* at the moment */
	List	   *places;
};

DynFrozen *
dyn_frozen_open(const DynTable *table, TimestampTz at)
{
	DynFrozen  *frozen;
	Node	   *predicate;

	if (table->frozen_where == NULL)
		return NULL;
	frozen = palloc(sizeof(DynFrozen));
	predicate = dyn_frozen_analyse(table->relid, table->frozen_where);
	frozen->relid = table->relid;
	frozen->places = dyn_frozen_columns(table->relid, predicate);
	frozen->predicate = dyn_expr_at(predicate, at);
	return frozen;
}

List *
dyn_frozen_places(const DynFrozen *frozen)
{
	return frozen->places;
}

char *
dyn_frozen_outside(const DynFrozen *frozen)
{
	return psprintf("(%s) IS NOT TRUE", dyn_frozen_text(frozen->relid, frozen->predicate));
}

char *
dyn_frozen_inside(const DynFrozen *frozen)
{
	return psprintf("(%s)", dyn_frozen_text(frozen->relid, frozen->predicate));
}

typedef struct Places
{
	Oid			relid;
	List	   *names;			/* of char *, quoted: the delta's columns behind w */
} Places;

/* Columns of the table become columns of a delta. */
static Node *
to_delta(Node *node, void *context)
{
	Places	   *places = context;
	ListCell   *lc;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = copyObject(castNode(Var, node));
		const char *name = quote_identifier(get_attname(places->relid, var->varattno, false));

		foreach(lc, places->names)
			if (strcmp(lfirst(lc), name) == 0)
			{
				var->varattno = foreach_current_index(lc) + 2;
				return (Node *) var;
			}
		elog(ERROR, "column %s of a frozen region is not there", name);
	}
	return expression_tree_mutator(node, to_delta, context);
}

DynRows *
dyn_frozen_drop(DynFrozen *frozen, List *names, DynRows *delta)
{
	Places		places = {frozen->relid, names};
	DynRows    *outside = dyn_rows_begin("x_outside", delta->desc, delta->identity);
	TupleTableSlot *slot = dyn_rows_slot(delta);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	ExprState  *state = ExecPrepareExpr((Expr *) to_delta(frozen->predicate, &places), estate);

	outside->placed = delta->placed;
	dyn_rows_rewind(delta);
	while (dyn_rows_next(delta, slot))
	{
		bool		isnull;
		Datum		inside;

		slot_getallattrs(slot);
		econtext->ecxt_scantuple = slot;
		inside = ExecEvalExprSwitchContext(state, econtext, &isnull);
		ResetExprContext(econtext);
		if (isnull || !DatumGetBool(inside))
			dyn_rows_put(outside, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	return outside;
}

/* ------------------------------------------------------------------------
 * For statements of users
 * ------------------------------------------------------------------------
 */
struct DynFrozenCheck
{
	List	   *settings;		/* those of the table that are not the session's */
	EState	   *estate;
	ExprState  *state;
};

/* Set what an expression means as the table has it; returns the level to go back to, or 0. */
static int
pin(List *settings)
{
	int			level;
	ListCell   *lc;

	if (settings == NIL)
		return 0;
	level = NewGUCNestLevel();
	foreach(lc, settings)
	{
		char	   *name = pstrdup(lfirst(lc));
		char	   *equals = strchr(name, '=');

		*equals = '\0';
		(void) set_config_option(name, equals + 1, superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	return level;
}

static void
unpin(int level)
{
	if (level)
		AtEOXact_GUC(false, level);
}

static List *
other_settings(List *settings)
{
	List	   *other = NIL;
	ListCell   *lc;

	foreach(lc, settings)
	{
		char	   *name = pstrdup(lfirst(lc));
		char	   *equals = strchr(name, '=');
		const char *value;

		if (equals == NULL)
			continue;
		*equals = '\0';
		value = GetConfigOption(name, true, false);
		if (value == NULL || strcmp(value, equals + 1) != 0)
			other = lappend(other, lfirst(lc));
	}
	return other;
}

DynFrozenCheck *
dyn_frozen_check_begin(Oid relid)
{
	DynTable   *table = dyn_table_get(relid, true);
	DynFrozenCheck *check;
	Node	   *predicate;
	int			level;

	if (table == NULL || table->frozen_where == NULL)
		return NULL;
	check = palloc0(sizeof(DynFrozenCheck));
	check->settings = other_settings(table->settings);
	level = pin(check->settings);
	predicate = dyn_expr_at(dyn_frozen_analyse(relid, table->frozen_where), GetCurrentTransactionStartTimestamp());
	check->estate = CreateExecutorState();
	check->state = ExecPrepareExpr((Expr *) predicate, check->estate);
	unpin(level);
	return check;
}

bool
dyn_frozen_check_row(DynFrozenCheck *check, TupleTableSlot *slot)
{
	ExprContext *econtext = GetPerTupleExprContext(check->estate);
	int			level = pin(check->settings);
	bool		isnull;
	Datum		inside;

	slot_getallattrs(slot);
	econtext->ecxt_scantuple = slot;
	inside = ExecEvalExprSwitchContext(check->state, econtext, &isnull);
	ResetExprContext(econtext);
	unpin(level);
	return !isnull && DatumGetBool(inside);
}

typedef struct RowCheck
{
	DynFrozenCheck *check;
	TupleTableSlot *slot;
} RowCheck;

/* dyntable.is_frozen(record): whether a row of a dynamic table lies in its frozen region. */
Datum
dyntable_is_frozen(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	RowCheck   *cached = fcinfo->flinfo->fn_extra;
	HeapTupleData tuple;
	bool		result;

	if (cached == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		Oid			relid = get_typ_typrelid(HeapTupleHeaderGetTypeId(row));

		if (!OidIsValid(relid) || !dyn_is_dynamic_table(relid))
			ereport(ERROR,
					errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("argument is not a row of a dynamic table"),
					errhint("Use it as in SELECT dyntable.is_frozen(t) FROM some_dynamic_table t."));
		cached = palloc0(sizeof(RowCheck));
		cached->check = dyn_frozen_check_begin(relid);
		cached->slot = MakeSingleTupleTableSlot((lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(row),
																							HeapTupleHeaderGetTypMod(row))),
												&TTSOpsHeapTuple);
		fcinfo->flinfo->fn_extra = cached;
		MemoryContextSwitchTo(caller);
	}
	if (cached->check == NULL)
		PG_RETURN_BOOL(false);
	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	ExecStoreHeapTuple(&tuple, cached->slot, false);
	result = dyn_frozen_check_row(cached->check, cached->slot);
	ExecClearTuple(cached->slot);
	PG_RETURN_BOOL(result);
}
