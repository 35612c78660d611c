/*
 * dyn_sql_join.c
 *	  The SQL of joins that are not inner.
 *
 * There is one rule, that of existence: of the rows of L, which have a
 * partner in R.  With ⋉ for those that have and ▷ for those that have none,
 *
 *	 SEMI  L ⋉ R
 *	 ANTI  L ▷ R
 *	 MARK  (L ⋉ R) × {true}  +  (L ▷ R) × {false}
 *	 LEFT  (L ⋈ R)  +  (L ▷ R) × {NULLs}
 *	 FULL  (L ⋈ R)  +  (L ▷ R) × {NULLs}  +  {NULLs} × (R ▷ L)
 *
 * and
 *
 *	 Δ(L ⋉ R) = ΔL ⋉ R'  +  flips,	Δ(L ▷ R) = ΔL ▷ R'  −  flips,
 *
 * where flips are the rows of L°, +, that got their first partner by ΔR and,
 * −, that lost their last.  A row (or a join key) whose partners changed by
 * Σw ≠ 0 in number flips if and only if it has max(Σw, 0) partners now: those
 * that came, or none.  So no more than max(Σw, 0) + 1 of them are looked at.
 */
#include <postgres.h>

#include <nodes/nodeFuncs.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/ruleutils.h>

#include "query/dyn_advice.h"
#include "query/dyn_expr.h"
#include "query/dyn_sql_internal.h"
#include "query/dyn_vars.h"

/* The parts of which the statements about join keys are made. */
typedef struct KeyTexts
{
	StringInfoData keys;		/* the other side's keys AS k1, … */
	StringInfoData names;		/* k.k1, … */
	StringInfoData counted;		/* n.k1 = k.k1 AND …, by the keys' own equality */
	StringInfoData probe;		/* the other side's keys are k.k1, … */
	StringInfoData match;		/* mine are f.k1, … */
	StringInfoData used;		/* ... and k.k1, … */
	StringInfoData meet;		/* each side's are the other's */
} KeyTexts;

static char *join_statement(DynSql *sql, DynNode *node, const char *left, bool weighted);
static char *key_flips(DynSql *sql, DynNode *node, int side);
static bool is_filtered(DynNode *node);
static char *keys_in_use(DynSql *sql, DynNode *node, int side, const char *keys, KeyTexts *texts);
static char *row_flips(DynSql *sql, DynNode *node, int side);
static char *rows_met(DynSql *sql, DynNode *node, int side);
static char *rows_meeting(DynSql *sql, DynNode *node, int side, const char *mine);
static void add_flips(DynSql *sql, DynNode *node, int side, StringInfo buf);
static List *old_parts(DynSql *sql, DynNode *node);
static void key_texts(DynNode *node, int side, KeyTexts *texts);
static char *equation(DynNode *node, int i, const char *left, const char *right);
static char *key_text(DynNode *node, int side, int i);
static char *flip_weight(DynNode *node);
static const char *marks(DynNode *node);
static char *side_columns(DynNode *node, int side);
static char *both_columns(DynNode *node);

#define keys_of(node, side) ((side) == 1 ? (node)->left_keys : (node)->right_keys)

char *
dyn_sql_join_content(DynSql *sql, DynNode *node)
{
	return join_statement(sql, node, psprintf("(%s)", dyn_sql_content(sql, dyn_input(node, 1))), false);
}

char *
dyn_sql_join_delta(DynSql *sql, DynNode *node, const bool *flipped)
{
	DynNode    *left = dyn_input(node, 1);
	DynNode    *right = dyn_input(node, 2);
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	if (sql->changed[left->no])
		dyn_sql_add_term(&buf, join_statement(sql, node, psprintf("d%d", left->no), true));
	if (sql->changed[right->no] && dyn_join_is_outer(node->join))
	{
		foreach(lc, old_parts(sql, left))
			dyn_sql_add_term(&buf, psprintf("SELECT i1.w * i2.w AS w%s%s FROM (%s) i1 JOIN d%d i2 ON %s",
											node->ncolumns ? ", " : "", both_columns(node),
											(char *) lfirst(lc), right->no,
											dyn_sql_quals(sql, node)));
		if (node->join == DYN_JOIN_FULL)
			dyn_sql_add_term(&buf, psprintf("SELECT i2.w AS w%s FROM d%d i2 WHERE NOT EXISTS (SELECT FROM (%s) i1 WHERE %s)",
											side_columns(node, 2), right->no,
											dyn_sql_content(sql, left), dyn_sql_quals(sql, node)));
	}
	for (int side = 1; side <= 2; side++)
		if (flipped[side])
			add_flips(sql, node, side, &buf);
	return buf.len ? buf.data : NULL;
}

/*
 * The join of the right input's content with the left one's, or with its
 * delta (weighted), which of a full join has the left rows only.
 */
static char *
join_statement(DynSql *sql, DynNode *node, const char *left, bool weighted)
{
	char	   *right = dyn_sql_content(sql, dyn_input(node, 2));
	char	   *quals = dyn_sql_quals(sql, node);
	char	   *partner = psprintf("EXISTS (SELECT FROM (%s) i2 WHERE %s)", right, quals);
	char	   *columns = dyn_sql_columns("i1", dyn_input(node, 1)->ncolumns);
	char	   *select;

	if (dyn_join_is_outer(node->join))
		columns = both_columns(node);
	if (node->join == DYN_JOIN_MARK)
		columns = psprintf("%s%s%s AS c%d", columns, *columns ? ", " : "", partner, node->ncolumns);
	select = psprintf("SELECT %s%s%s FROM %s i1", weighted ? "i1.w AS w" : "",
					  weighted && *columns ? ", " : "", columns, left);
	switch (node->join)
	{
		case DYN_JOIN_LEFT:
			return psprintf("%s LEFT JOIN (%s) i2 ON %s", select, right, quals);
		case DYN_JOIN_FULL:
			return psprintf("%s %s JOIN (%s) i2 ON %s", select, weighted ? "LEFT" : "FULL", right, quals);
		case DYN_JOIN_SEMI:
			return psprintf("%s WHERE %s", select, partner);
		case DYN_JOIN_ANTI:
			return psprintf("%s WHERE NOT %s", select, partner);
		case DYN_JOIN_MARK:
			return select;
	}
	elog(ERROR, "unrecognized join: %d", node->join);
}

/* ------------------------------------------------------------------------
 * Flips
 *
 * They are found before the delta is written, as mostly there are none: the
 * keys of the other side's delta whose rows flip (f<no>_<side>: k1, …, dw),
 * or, where the condition is more than equalities, the rows themselves (w, c1, …).
 * ------------------------------------------------------------------------
 */
bool
dyn_sql_join_may_flip(DynSql *sql, DynNode *node, int side)
{
	return (side == 1 || node->join == DYN_JOIN_FULL) && sql->changed[dyn_input(node, 3 - side)->no];
}

char *
dyn_sql_join_flips(DynSql *sql, DynNode *node, int side)
{
	return node->keys_only ? key_flips(sql, node, side) : row_flips(sql, node, side);
}

List *
dyn_sql_join_keys(DynNode *node, int side)
{
	List	   *columns = NIL;
	ListCell   *lc;

	if (!node->keys_only)
		return NIL;
	foreach(lc, keys_of(node, 3 - side))
	{
		DynColumn  *column = palloc0(sizeof(DynColumn));

		column->type = exprType(lfirst(lc));
		column->typmod = exprTypmod(lfirst(lc));
		column->collation = exprCollation(lfirst(lc));
		columns = lappend(columns, column);
	}
	return columns;
}

/*
 * Where ON is nothing but equalities, rows with the same join key flip
 * together: the keys of the delta decide.  With an index on the other side's
 * they are probed, else its rows counted in one pass.  Before that, keys are
 * left out of which a filtered side has no row anyway, if an index tells.
 */
static char *
key_flips(DynSql *sql, DynNode *node, int side)
{
	int			there = 3 - side;
	DynNode    *other = dyn_input(node, there);
	bool		keyed = node->key_operators != NIL;
	const char *comma = keyed ? ", " : "";
	KeyTexts	texts;
	char	   *changed;

	key_texts(node, side, &texts);
	changed = psprintf("(SELECT %s%ssum(k.w)::bigint AS dw FROM (SELECT %s%si%d.w FROM d%d i%d) k%s%s HAVING sum(k.w) <> 0) k",
					   texts.names.data, comma, texts.keys.data, comma, there, other->no, there,
					   keyed ? " GROUP BY " : "", texts.names.data);
	if (keyed && is_filtered(dyn_input(node, side)) && dyn_node_indexed(node, side, keys_of(node, side)))
		changed = keys_in_use(sql, node, side, changed, &texts);
	if (!keyed || dyn_node_indexed(node, there, keys_of(node, there)))
		return psprintf("SELECT %s%sk.dw FROM %s WHERE (SELECT count(*) FROM (SELECT FROM (%s) i%d WHERE %s"
						" LIMIT greatest(k.dw, 0) + 1) n) = greatest(k.dw, 0)",
						texts.names.data, comma, changed, dyn_sql_content(sql, other), there,
						texts.probe.data);
	return psprintf("SELECT %s, k.dw FROM %s LEFT JOIN (SELECT %s, 1 AS one FROM (%s) i%d) n ON %s"
					" GROUP BY %s, k.dw HAVING count(n.one) = greatest(k.dw, 0)",
					texts.names.data, changed, texts.keys.data, dyn_sql_content(sql, other),
					there, texts.counted.data, texts.names.data);
}

/* Do conditions leave out rows of the tables behind a node? */
static bool
is_filtered(DynNode *node)
{
	ListCell   *lc;

	if (node->kind == DYN_NODE_MOVING || (node->kind == DYN_NODE_JOIN && !dyn_join_is_outer(node->join) &&
										  node->join != DYN_JOIN_MARK))
		return true;
	if (node->kind != DYN_NODE_SELECT)
		return false;
	foreach(lc, node->quals)
		if (bms_membership(dyn_expr_relations(lfirst(lc))) == BMS_SINGLETON)
			return true;
	foreach(lc, node->inputs)
		if (is_filtered(lfirst(lc)))
			return true;
	return false;
}

/* Those of the keys, as k, with which the side has a row, or had one. */
static char *
keys_in_use(DynSql *sql, DynNode *node, int side, const char *keys, KeyTexts *texts)
{
	DynNode    *mine = dyn_input(node, side);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "(WITH c AS MATERIALIZED (SELECT * FROM %s), u AS MATERIALIZED ("
					 "SELECT * FROM c k WHERE EXISTS (SELECT FROM (%s) i%d WHERE %s)",
					 keys, dyn_sql_content(sql, mine), side, texts->used.data);
	if (sql->changed[mine->no])
		appendStringInfo(&buf, " UNION SELECT * FROM c k WHERE EXISTS (SELECT FROM d%d i%d WHERE %s)",
						 mine->no, side, texts->used.data);
	appendStringInfoString(&buf, ") SELECT * FROM u) k");
	return buf.data;
}

/*
 * The same for any condition: each row of the old content that meets a row of
 * the delta decides for itself.  OFFSET 0 keeps the planner from summing up the
 * delta twice.
 */
static char *
row_flips(DynSql *sql, DynNode *node, int side)
{
	int			there = 3 - side;
	char	   *quals = dyn_sql_quals(sql, node);
	char	   *content = dyn_sql_content(sql, dyn_input(node, there));
	char	   *met = rows_met(sql, node, side);
	int			ncolumns = dyn_input(node, side)->ncolumns;
	char	   *select = psprintf("SELECT %s", dyn_sql_weighted(psprintf("i%d.w * sign(i%d.dw)::int", side, side),
																psprintf("i%d", side), ncolumns));

	if (node->key_operators == NIL || dyn_node_indexed(node, there, keys_of(node, there)))
		return psprintf("%s FROM (%s OFFSET 0) i%d WHERE i%d.dw <> 0 AND"
						" (SELECT count(*) FROM (SELECT FROM (%s) i%d WHERE %s LIMIT greatest(i%d.dw, 0) + 1) n) = greatest(i%d.dw, 0)",
						select, met, side, side, content, there, quals, side, side);

	/* without an index: number the candidates, and count for all of them in one pass */
	return psprintf("WITH x AS MATERIALIZED (SELECT *, row_number() OVER () AS xno FROM (%s OFFSET 0) x WHERE dw <> 0)"
					" %s FROM x i%d JOIN (SELECT i%d.xno FROM x i%d LEFT JOIN (SELECT *, 1 AS one FROM (%s) n) i%d ON %s"
					" GROUP BY i%d.xno, i%d.dw HAVING count(i%d.one) = greatest(i%d.dw, 0)) f ON f.xno = i%d.xno",
					met, select, side, side, side, content, there, quals, side, side, there, side, side);
}

char *
dyn_sql_join_candidates(DynSql *sql, DynNode *node, int side)
{
	StringInfoData buf;
	KeyTexts	texts;
	ListCell   *lc;

	if (node->keys_only || node->key_operators == NIL)
		return NULL;
	key_texts(node, side, &texts);
	initStringInfo(&buf);
	foreach(lc, old_parts(sql, dyn_input(node, side)))
		dyn_sql_add_term(&buf, psprintf("SELECT i%d.* FROM (%s) i%d WHERE EXISTS (SELECT FROM d%d i%d WHERE %s)",
										side, (char *) lfirst(lc), side,
										dyn_input(node, 3 - side)->no, 3 - side, texts.meet.data));
	return buf.data;
}

/*
 * SELECT w, c1, …, dw: the rows of one side's old content that meet a row of
 * the other's delta, and by how many partners they gained.  Where the
 * condition has equalities, x<no>_<side> has the rows that they find.
 */
static char *
rows_met(DynSql *sql, DynNode *node, int side)
{
	int			there = 3 - side;
	StringInfoData buf;
	ListCell   *lc;

	if (node->key_operators != NIL)
		return psprintf("WITH n AS MATERIALIZED (SELECT *, row_number() OVER () AS no FROM x%d_%d)"
						" SELECT i%d.*, g.dw FROM n i%d JOIN (SELECT i%d.no, sum(i%d.w)::bigint AS dw"
						" FROM n i%d JOIN d%d i%d ON %s GROUP BY i%d.no) g ON g.no = i%d.no",
						node->no, side, side, side, side, there,
						side, dyn_input(node, there)->no, there, dyn_sql_quals(sql, node), side, side);
	initStringInfo(&buf);
	foreach(lc, old_parts(sql, dyn_input(node, side)))
		dyn_sql_add_term(&buf, rows_meeting(sql, node, side, lfirst(lc)));
	return psprintf("SELECT * FROM (%s) i%d", buf.data, side);
}

/*
 * The same without any equality, of some of the rows.  A short delta is joined,
 * so that an index can serve, and of the rows of the delta that it meets a row
 * counts with the first; a long delta is gone through for each row.
 */
static char *
rows_meeting(DynSql *sql, DynNode *node, int side, const char *mine)
{
	DynNode    *other = dyn_input(node, 3 - side);
	char	   *quals = dyn_sql_quals(sql, node);
	char	   *columns = psprintf("i%d.w%s%s", side, dyn_input(node, side)->ncolumns ? ", " : "",
								   dyn_sql_columns(psprintf("i%d", side), dyn_input(node, side)->ncolumns));
	int			there = 3 - side;
	char	   *gained = psprintf("SELECT %s, (SELECT sum(i%d.w) FROM d%d i%d WHERE %s)::bigint AS dw",
								  columns, there, other->no, there, quals);
	char	   *numbered;

	if (sql->changed[other->no] > DYN_SQL_LARGE_DELTA)
		return psprintf("%s FROM (%s) i%d", gained, mine, side);
	numbered = psprintf("(SELECT *, row_number() OVER () AS no FROM d%d) i%d", other->no, there);
	return psprintf("%s FROM (SELECT i%d.*, i%d.no FROM %s JOIN (%s) i%d ON %s) i%d"
					" WHERE NOT EXISTS (SELECT FROM %s WHERE i%d.no < i%d.no AND %s)",
					gained, side, there, numbered, mine, side, quals, side,
					numbered, there, side, quals);
}

/* What flips of one side, as terms of the delta. */
static void
add_flips(DynSql *sql, DynNode *node, int side, StringInfo buf)
{
	KeyTexts	texts;
	ListCell   *lc;

	if (!node->keys_only)
	{
		dyn_sql_add_term(buf, psprintf("SELECT i%d.w * %s AS w%s FROM f%d_%d i%d%s", side, flip_weight(node),
									   side_columns(node, side), node->no, side, side, marks(node)));
		return;
	}
	key_texts(node, side, &texts);
	foreach(lc, old_parts(sql, dyn_input(node, side)))
		dyn_sql_add_term(buf, psprintf("SELECT i%d.w * sign(f.dw)::int * %s AS w%s FROM (%s) i%d JOIN f%d_%d f ON %s%s",
									   side, flip_weight(node), side_columns(node, side), (char *) lfirst(lc), side,
									   node->no, side, texts.match.data, marks(node)));
}

/* ------------------------------------------------------------------------
 * Parts
 * ------------------------------------------------------------------------
 */

/*
 * The content before the delta, R' − ΔR, as statements SELECT w, c1, … whose
 * sum it is.  Every rule is linear in it, so that they stand in terms of their
 * own: in a union of both the planner would look up nothing by index, and read
 * through the delta for each row that is sought.
 */
static List *
old_parts(DynSql *sql, DynNode *node)
{
	char	   *now = psprintf("SELECT %s FROM (%s) i1", dyn_sql_weighted("1::bigint", "i1", node->ncolumns), dyn_sql_content(sql, node));

	if (!sql->changed[node->no])
		return list_make1(now);
	return list_make2(now, psprintf("SELECT %s FROM d%d i1", dyn_sql_weighted("-i1.w", "i1", node->ncolumns), node->no));
}

static void
key_texts(DynNode *node, int side, KeyTexts *texts)
{
	int			there = 3 - side;
	StringInfo	all[] = {&texts->keys, &texts->names, &texts->counted, &texts->probe, &texts->match, &texts->used, &texts->meet};

	for (int i = 0; i < lengthof(all); i++)
		initStringInfo(all[i]);
	for (int i = 0; i < list_length(node->key_operators); i++)
	{
		Node	   *key = list_nth(there == 1 ? node->left_keys : node->right_keys, i);
		char	   *equality = dyn_sql_equality(exprType(key));
		char	   *mine = key_text(node, side, i);
		char	   *other = key_text(node, there, i);
		char	   *found = psprintf("f.k%d", i + 1);
		char	   *sought = psprintf("k.k%d", i + 1);
		const char *and = i ? " AND " : "";

		appendStringInfo(&texts->keys, "%s%s AS k%d", i ? ", " : "", other, i + 1);
		appendStringInfo(&texts->names, "%sk.k%d", i ? ", " : "", i + 1);
		appendStringInfo(&texts->counted, "%sn.k%d %s k.k%d", and, i + 1, equality, i + 1);
		appendStringInfo(&texts->probe, "%s%s %s k.k%d", and, other, equality, i + 1);
		appendStringInfo(&texts->match, "%s%s", and,
						 side == 1 ? equation(node, i, mine, found) : equation(node, i, found, mine));
		appendStringInfo(&texts->used, "%s%s", and,
						 side == 1 ? equation(node, i, mine, sought) : equation(node, i, sought, mine));
		appendStringInfo(&texts->meet, "%s%s", and,
						 side == 1 ? equation(node, i, mine, other) : equation(node, i, other, mine));
	}
	if (node->key_operators == NIL)
		for (int i = 2; i < lengthof(all); i++)
			appendStringInfoString(all[i], "true");
}

/* The i-th equality of the condition, between any two values. */
static char *
equation(DynNode *node, int i, const char *left, const char *right)
{
	Oid			collation = list_nth_oid(node->key_collations, i);

	return psprintf("%s %s %s%s%s", left, dyn_sql_operator(list_nth_oid(node->key_operators, i)), right,
					OidIsValid(collation) ? " COLLATE " : "",
					OidIsValid(collation) ? generate_collation_name(collation) : "");
}

/* The i-th join key of a side, over that side under its alias. */
static char *
key_text(DynNode *node, int side, int i)
{
	Node	   *key = list_nth(side == 1 ? node->left_keys : node->right_keys, i);
	int			ncolumns[2];

	/* keys are stored as over input 1 */
	ncolumns[0] = dyn_input(node, 1)->ncolumns;
	ncolumns[1] = dyn_input(node, 2)->ncolumns;
	if (side == 2)
		key = dyn_renumber_input(key, 1, 2);
	return psprintf("(%s)", dyn_expr_text(key, "i", 2, ncolumns, NIL, NIL));
}

/* What the rule makes of a row that flips: + where partners are wanted, − where none are. */
static char *
flip_weight(DynNode *node)
{
	return node->join == DYN_JOIN_SEMI ? "1" : node->join == DYN_JOIN_MARK ? "m.sign" : "(-1)";
}

/* The two parts of a MARK. */
static const char *
marks(DynNode *node)
{
	return node->join == DYN_JOIN_MARK ? " CROSS JOIN (VALUES (true, 1), (false, -1)) m(mark, sign)" : "";
}

/*
 * The columns of a row of one side that stands by itself: NULLs in place of
 * the other's (of the base type, for a domain may refuse them), or its mark.
 */
static char *
side_columns(DynNode *node, int side)
{
	int			nleft = dyn_input(node, 1)->ncolumns;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 1; i <= node->ncolumns; i++)
	{
		int32		typmod = node->columns[i - 1].typmod;
		Oid			type = getBaseTypeAndTypmod(node->columns[i - 1].type, &typmod);

		if ((i <= nleft) == (side == 1))
			appendStringInfo(&buf, ", i%d.c%d", side, i <= nleft ? i : i - nleft);
		else if (node->join == DYN_JOIN_MARK)
			appendStringInfoString(&buf, ", m.mark");
		else
			appendStringInfo(&buf, ", NULL::%s",
							 format_type_extended(type, typmod,
												  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		appendStringInfo(&buf, " AS c%d", i);
	}
	return buf.data;
}

/* The columns of an outer join, from both sides. */
static char *
both_columns(DynNode *node)
{
	int			nleft = dyn_input(node, 1)->ncolumns;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 1; i <= node->ncolumns; i++)
		appendStringInfo(&buf, "%si%d.c%d AS c%d", i > 1 ? ", " : "", i <= nleft ? 1 : 2,
						 i <= nleft ? i : i - nleft, i);
	return buf.data;
}
