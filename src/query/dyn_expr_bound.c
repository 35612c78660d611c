/*
 * dyn_expr_bound.c
 *	  Between which values of a column a comparison with now() turns.
 *
 * now() - at < interval '7 days', at + interval '1 day' > now(),
 * date_trunc('day', at) = current_date and the like compare what is computed
 * from a column, so that no index serves them.  But between two moments they
 * can turn only for rows whose column lies near the one or the other: in a
 * range that an index on the column serves.  The range is implied by the
 * comparison, which stays as it is; it is exact for lengths of time, and wider
 * where days, months and time zones have a say.
 */
#include <postgres.h>

#include <access/stratnum.h>
#include <catalog/pg_type.h>
#include <common/int.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/builtins.h>
#include <utils/date.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/timestamp.h>
#include <utils/typcache.h>

#include "compat/dyn_compat.h"
#include "query/dyn_expr.h"

/* By more than this no two zones' times differ, nor one zone's before and after a change. */
#define ZONES	(INT64CONST(26) * USECS_PER_HOUR)

/* More than any span that makes sense, and far from overflow. */
#define FOREVER	(INT64CONST(100000) * 366 * USECS_PER_DAY)

/* A value made of a column: the column plus something between least and most, in microseconds. */
typedef struct Shifted
{
	Var		   *var;
	int64		least;
	int64		most;
} Shifted;

/* A comparison of a value made of a column with base + sign * span, which have no columns. */
typedef struct Turn
{
	Shifted		shifted;
	Node	   *base;
	Node	   *span;			/* or NULL */
	int			sign;
} Turn;

static bool find_turn(Node *comparison, Turn *turn);
static bool find_shifted(Node *expr, Shifted *shifted);
static bool truncated(Node *unit, Shifted *shifted);
static bool add_span(Node *span, int sign, bool zoned, Shifted *shifted);
static void widen(Shifted *shifted, int64 below, int64 above);
static bool turn_at(Turn *turn, TimestampTz t, int64 *value);
static bool point_of(Const *constant, int64 *value);
static bool span_of(Const *constant, int64 *value);
static Expr *bound(Var *var, int strategy, int64 value);

Var *
dyn_expr_turning_var(Node *comparison)
{
	Turn		turn;

	return find_turn(comparison, &turn) ? turn.shifted.var : NULL;
}

Node *
dyn_expr_turning_range(Node *comparison, TimestampTz t, TimestampTz other)
{
	Turn		turn;
	int64		first;
	int64		second;

	if (!find_turn(comparison, &turn) || !turn_at(&turn, t, &first) || !turn_at(&turn, other, &second))
		return NULL;
	return (Node *) make_andclause(list_make2(bound(turn.shifted.var, BTGreaterEqualStrategyNumber,
													Min(first, second) - turn.shifted.most),
											  bound(turn.shifted.var, BTLessEqualStrategyNumber,
													Max(first, second) - turn.shifted.least)));
}

/* The function behind a call or an operator of two arguments, or of three for date_trunc. */
static Oid
function_of(Node *expr, List **args)
{
	if (IsA(expr, OpExpr))
	{
		*args = ((OpExpr *) expr)->args;
		return get_opcode(((OpExpr *) expr)->opno);
	}
	if (IsA(expr, FuncExpr))
	{
		*args = ((FuncExpr *) expr)->args;
		return ((FuncExpr *) expr)->funcid;
	}
	return InvalidOid;
}

static bool
is_zoned(Oid type)
{
	return type == TIMESTAMPTZOID;
}

static bool
find_turn(Node *comparison, Turn *turn)
{
	OpExpr	   *op = (OpExpr *) comparison;
	Node	   *side;
	Node	   *parts[2];
	List	   *args;
	int			made;
	Oid			function;

	memset(turn, 0, sizeof(Turn));
	if (!IsA(op, OpExpr) || list_length(op->args) != 2 || dyn_comparisons(op->opno) == NIL ||
		contain_var_clause(linitial(op->args)) == contain_var_clause(lsecond(op->args)))
		return false;
	made = contain_var_clause(linitial(op->args)) ? 0 : 1;
	side = list_nth(op->args, made);
	turn->base = list_nth(op->args, 1 - made);

	/* an index serves a column itself as it is */
	if (IsA(side, Var) || IsA(side, RelabelType))
		return false;
	if (exprType(side) != INTERVALOID && exprType(side) != INT4OID)
	{
		if (!find_shifted(side, &turn->shifted))
			return false;
		if (is_zoned(exprType(side)) != is_zoned(exprType(turn->base)))
			widen(&turn->shifted, ZONES, ZONES);
		return true;
	}

	/* now() - at < span, at - now() < span */
	function = function_of(side, &args);
	if (function != F_TIMESTAMPTZ_MI && function != F_TIMESTAMP_MI && function != F_DATE_MI)
		return false;
	parts[0] = linitial(args);
	parts[1] = lsecond(args);
	if (contain_var_clause(parts[0]) == contain_var_clause(parts[1]))
		return false;
	made = contain_var_clause(parts[0]) ? 0 : 1;
	turn->span = turn->base;
	turn->base = parts[1 - made];
	turn->sign = made == 0 ? 1 : -1;
	return find_shifted(parts[made], &turn->shifted);
}

static bool
find_shifted(Node *expr, Shifted *shifted)
{
	List	   *args = NIL;
	Oid			function;

	if (IsA(expr, RelabelType))
		expr = (Node *) ((RelabelType *) expr)->arg;
	if (IsA(expr, Var))
	{
		Oid			type = ((Var *) expr)->vartype;

		shifted->var = (Var *) expr;
		return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
	}
	function = function_of(expr, &args);
	switch (function)
	{
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
			return find_shifted(lsecond(args), shifted) && truncated(linitial(args), shifted);
		case F_DATE_TIMESTAMP:
		case F_DATE_TIMESTAMPTZ:
			widen(shifted, USECS_PER_DAY, 0);
			if (function == F_DATE_TIMESTAMPTZ)
				widen(shifted, ZONES, ZONES);
			return find_shifted(linitial(args), shifted);
		case F_TIMESTAMP_DATE:
			return find_shifted(linitial(args), shifted);
		case F_TIMESTAMPTZ_DATE:
		case F_TIMESTAMP_TIMESTAMPTZ:
		case F_TIMESTAMPTZ_TIMESTAMP:
			widen(shifted, ZONES, ZONES);
			return find_shifted(linitial(args), shifted);
		case F_TIMEZONE_TEXT_TIMESTAMP:
		case F_TIMEZONE_TEXT_TIMESTAMPTZ:
			widen(shifted, ZONES, ZONES);
			return !contain_var_clause(linitial(args)) && find_shifted(lsecond(args), shifted);
		case F_TIMESTAMPTZ_PL_INTERVAL:
		case F_TIMESTAMP_PL_INTERVAL:
		case F_DATE_PL_INTERVAL:
		case F_DATE_PLI:
			return find_shifted(linitial(args), shifted) &&
				add_span(lsecond(args), 1, function == F_TIMESTAMPTZ_PL_INTERVAL, shifted);
		case F_TIMESTAMPTZ_MI_INTERVAL:
		case F_TIMESTAMP_MI_INTERVAL:
		case F_DATE_MI_INTERVAL:
		case F_DATE_MII:
			return find_shifted(linitial(args), shifted) &&
				add_span(lsecond(args), -1, function == F_TIMESTAMPTZ_MI_INTERVAL, shifted);
		case F_INTERVAL_PL_TIMESTAMP:
		case F_INTERVAL_PL_TIMESTAMPTZ:
			return find_shifted(lsecond(args), shifted) &&
				add_span(linitial(args), 1, function == F_INTERVAL_PL_TIMESTAMPTZ, shifted);
		default:
			return false;
	}
}

/* What date_trunc takes away: less than the unit's length, but for the zone. */
static bool
truncated(Node *unit, Shifted *shifted)
{
	static const struct
	{
		const char *name;
		int			days;
	}			units[] = {
		{"second", 1}, {"minute", 1}, {"hour", 1}, {"day", 1}, {"week", 7},
		{"month", 31}, {"quarter", 92}, {"year", 366}, {"decade", 3660}, {"century", 36600},
	};
	Const	   *constant = (Const *) unit;
	char	   *name;

	if (!IsA(unit, Const) || constant->constisnull)
		return false;
	name = TextDatumGetCString(constant->constvalue);
	for (int i = 0; i < lengthof(units); i++)
		if (pg_strcasecmp(name, units[i].name) == 0)
		{
			widen(shifted, units[i].days * USECS_PER_DAY + ZONES, ZONES);
			return true;
		}
	return false;
}

static bool
within(int64 value, int64 limit)
{
	return value > -limit && value < limit;
}

static bool
is_moderate(const Interval *interval)
{
	return within(interval->time, FOREVER) && within(interval->month, 12 * 100000) &&
		within(interval->day, 366 * 100000);
}

/* Add or subtract a constant interval or number of days. */
static bool
add_span(Node *span, int sign, bool zoned, Shifted *shifted)
{
	Const	   *constant = (Const *) span;
	Interval   *interval;
	int64		least;
	int64		most;

	if (!IsA(span, Const) || constant->constisnull)
		return false;
	if (constant->consttype == INT4OID)
		least = most = DatumGetInt32(constant->constvalue) * USECS_PER_DAY;
	else
	{
		interval = DatumGetIntervalP(constant->constvalue);
		if (!is_moderate(interval))
			return false;
		least = most = interval->time + interval->day * USECS_PER_DAY;
		least += interval->month * USECS_PER_DAY * (interval->month > 0 ? 28 : 31);
		most += interval->month * USECS_PER_DAY * (interval->month > 0 ? 31 : 28);
		if (zoned && (interval->day != 0 || interval->month != 0))
			widen(shifted, ZONES, ZONES);
	}
	shifted->least += sign > 0 ? least : -most;
	shifted->most += sign > 0 ? most : -least;
	return true;
}

static void
widen(Shifted *shifted, int64 below, int64 above)
{
	shifted->least -= below;
	shifted->most += above;
}

/* At which value of what is made of the column the comparison turns, if it is known at the moment. */
static bool
turn_at(Turn *turn, TimestampTz t, int64 *value)
{
	int64		span = 0;

	if (!point_of(dyn_expr_value_at(turn->base, t), value) ||
		(turn->span && !span_of(dyn_expr_value_at(turn->span, t), &span)))
		return false;
	*value += turn->sign * span;
	return within(*value, FOREVER) && within(turn->shifted.least, FOREVER) && within(turn->shifted.most, FOREVER);
}

static bool
point_of(Const *constant, int64 *value)
{
	if (constant == NULL)
		return false;
	switch (constant->consttype)
	{
		case DATEOID:
			*value = DatumGetDateADT(constant->constvalue) * USECS_PER_DAY;
			return !DATE_NOT_FINITE(DatumGetDateADT(constant->constvalue));
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			*value = DatumGetTimestampTz(constant->constvalue);
			return !TIMESTAMP_NOT_FINITE(*value);
		default:
			return false;
	}
}

/* The length by which intervals are compared; a difference of timestamps is made of days of 24 hours. */
static bool
span_of(Const *constant, int64 *value)
{
	Interval   *interval;

	if (constant == NULL || (constant->consttype != INTERVALOID && constant->consttype != INT4OID))
		return false;
	if (constant->consttype == INT4OID)
	{
		*value = DatumGetInt32(constant->constvalue) * USECS_PER_DAY;
		return within(*value, FOREVER);
	}
	interval = DatumGetIntervalP(constant->constvalue);
	if (!is_moderate(interval))
		return false;
	*value = interval->time + (interval->day + INT64CONST(30) * interval->month) * USECS_PER_DAY;
	return within(*value, FOREVER);
}

/* The column compared with a moment; days are rounded so that no row is missed. */
static Expr *
bound(Var *var, int strategy, int64 value)
{
	Oid			family = lookup_type_cache(var->vartype, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	Oid			operator = get_opfamily_member(family, var->vartype, var->vartype, strategy);
	Const	   *constant;

	value = Max(value, MIN_TIMESTAMP);
	value = Min(value, END_TIMESTAMP - 1);
	if (var->vartype == DATEOID)
	{
		DateADT		day = value / USECS_PER_DAY + (strategy == BTGreaterEqualStrategyNumber ? -1 : 1);

		constant = makeConst(DATEOID, -1, InvalidOid, sizeof(DateADT), DateADTGetDatum(day), false, true);
	}
	else
		constant = makeConst(var->vartype, -1, InvalidOid, sizeof(TimestampTz), TimestampTzGetDatum(value), false,
							 FLOAT8PASSBYVAL);
	return make_opclause(operator, BOOLOID, false, (Expr *) copyObject(var), (Expr *) constant, InvalidOid, InvalidOid);
}
