/*
 * dyn_edge.c
 *	  Who reads what (dyntable.edge), what is captured (dyntable.source) and
 *	  the state tables beside dynamic tables (dyntable.stage).
 *
 * Rows of dyntable.source are written by the capture room's registrar alone;
 * they are only read here.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <catalog/dependency.h>
#include <catalog/pg_class.h>
#include <catalog/pg_extension.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <optimizer/plancat.h>
#include <utils/builtins.h>
#include <utils/memutils.h>
#include <utils/pg_lsn.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>
#include <utils/xid8.h>

#include "catalog/dyn_catalog.h"
#include "catalog/dyn_spi.h"

List *
dyn_edges_of(Oid relid)
{
	static DynLookup select = {"edge_pkey", {"relid", "source", "kind", "columns", "refresh_no", "boundary"}};
	DynCall		call;
	List	   *edges = NIL;

	dyn_lookup_begin(&call, &select, relid);
	for (uint64 row = 0; row < call.nrows; row++)
	{
		DynEdge    *edge = palloc0(sizeof(DynEdge));
		bool		isnull;

		edge->relid = dyn_spi_oid(row, 1);
		edge->source = dyn_spi_oid(row, 2);
		edge->kind = DatumGetChar(dyn_spi_datum(row, 3, &isnull));
		edge->columns = dyn_spi_int2_list(row, 4);
		edge->refresh_no = dyn_spi_int8(row, 5);
		edge->boundary = dyn_spi_bool(row, 6);
		edges = lappend(edges, edge);
	}
	dyn_lookup_end(&call);
	return edges;
}

List *
dyn_readers_of(Oid source)
{
	static DynLookup select = {"edge_source", {"relid"}};
	List	   *relids = dyn_lookup_oids(&select, source);

	list_sort(relids, list_oid_cmp);
	return relids;
}

/* Whether a table is refreshed by hand only; so is, in effect, what is no dynamic table. */
static bool
by_hand(Oid relid)
{
	static DynLookup select = {"dynamic_table_pkey", {"schedule"}};
	DynCall		call;
	char	   *schedule;
	bool		result = true;

	dyn_lookup_begin(&call, &select, relid);
	if (call.nrows > 0)
	{
		schedule = dyn_spi_text(0, 1);
		result = schedule != NULL && strcmp(schedule, DYN_MANUAL) == 0;
	}
	dyn_lookup_end(&call);
	return result;
}

/* What the view dyntable.pull says, for the first that each run asks. */
List *
dyn_pulled_by(Oid relid)
{
	List	   *sources = NIL;
	ListCell   *lc;

	foreach(lc, dyn_edges_of(relid))
	{
		DynEdge    *edge = lfirst(lc);

		if (edge->kind == DYN_EDGE_DYNAMIC && !edge->boundary && !by_hand(edge->source))
			sources = lappend_oid(sources, edge->source);
	}
	return sources == NIL || by_hand(relid) ? NIL : sources;
}

List *
dyn_pullers_of(Oid relid)
{
	static DynStatement select = {
		"SELECT relid FROM dyntable.pull WHERE source = $1 ORDER BY 1", 1, {OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	return dyn_spi_oids(&select, values);
}

void
dyn_edges_set_boundary(Oid relid, List *sources)
{
	static DynStatement clear = {
		"UPDATE dyntable.edge SET boundary = false WHERE relid = $1 AND boundary", 1, {OIDOID}
	};
	static DynStatement set = {
		"UPDATE dyntable.edge SET boundary = true WHERE relid = $1 AND source = $2", 2, {OIDOID, OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), (Datum) 0};
	ListCell   *lc;

	dyn_spi_run(&clear, values, NULL);
	foreach(lc, sources)
	{
		values[1] = ObjectIdGetDatum(lfirst_oid(lc));
		dyn_spi_run(&set, values, NULL);
	}
}

void
dyn_edges_replace(Oid relid, List *edges)
{
	List	   *boundary = NIL;
	static DynStatement delete = {
		"DELETE FROM dyntable.edge WHERE relid = $1", 1, {OIDOID}
	};
	static DynStatement insert = {
		"INSERT INTO dyntable.edge (relid, source, kind, columns, refresh_no)"
		" VALUES ($1, $2, $3, $4, $5)", 5, {OIDOID, OIDOID, CHAROID, INT2ARRAYOID, INT8OID}
	};
	Datum		values[5] = {ObjectIdGetDatum(relid)};
	ListCell   *cell;

	foreach(cell, dyn_edges_of(relid))
		if (((DynEdge *) lfirst(cell))->boundary)
			boundary = lappend_oid(boundary, ((DynEdge *) lfirst(cell))->source);
	dyn_spi_run(&delete, values, NULL);
	foreach(cell, edges)
	{
		DynEdge    *edge = lfirst(cell);

		values[1] = ObjectIdGetDatum(edge->source);
		values[2] = CharGetDatum(edge->kind);
		values[3] = dyn_int2_array_value(edge->columns);
		values[4] = Int64GetDatum(edge->refresh_no);
		dyn_spi_run(&insert, values, NULL);
	}
	if (boundary != NIL)
		dyn_edges_set_boundary(relid, boundary);
	dyn_version_note(relid);
}

void
dyn_edge_store_refresh_no(Oid relid, Oid source, int64 refresh_no)
{
	static DynLookup update = {"edge_pkey", {"refresh_no"}};
	Datum		value = Int64GetDatum(refresh_no);
	DynRow		row;

	if (dyn_row_begin_2(&row, &update, relid, source))
		dyn_row_update(&row, &value, NULL, 1);
}

#define SOURCE_COLUMNS \
	"relid, log, columns, registered_lsn, registered_xid, old_identity, other_log, xmin::text::int8"

static DynSource *
source_from_row(uint64 row)
{
	DynSource  *source = palloc0(sizeof(DynSource));
	bool		isnull;

	source->relid = dyn_spi_oid(row, 1);
	source->log = dyn_spi_oid(row, 2);
	source->columns = dyn_spi_int2_list(row, 3);
	source->registered_lsn = DatumGetLSN(dyn_spi_datum(row, 4, &isnull));
	source->registered_xid =
		U64FromFullTransactionId(DatumGetFullTransactionId(dyn_spi_datum(row, 5, &isnull)));
	source->old_identity = DatumGetChar(dyn_spi_datum(row, 6, &isnull));
	source->other_log = dyn_spi_oid(row, 7);
	source->version = dyn_spi_int8(row, 8);
	return source;
}

DynSource *
dyn_source_get(Oid relid)
{
	static DynLookup select = {
		"source_pkey",
		{"relid", "log", "columns", "registered_lsn", "registered_xid", "old_identity", "other_log", "xmin"}
	};
	DynCall		call;
	DynSource  *source;

	dyn_lookup_begin(&call, &select, relid);
	source = call.nrows > 0 ? source_from_row(0) : NULL;
	dyn_lookup_end(&call);
	return source;
}

List *
dyn_source_all(void)
{
	static DynStatement select = {
		"SELECT " SOURCE_COLUMNS " FROM dyntable.source ORDER BY relid", 0
	};
	DynCall		call;
	List	   *sources = NIL;

	dyn_spi_begin(&call, &select, NULL, NULL);
	for (uint64 row = 0; row < call.nrows; row++)
		sources = lappend(sources, source_from_row(row));
	dyn_spi_end(&call);
	return sources;
}

/*
 * Tables that we make are members of the extension: a dump leaves them out, and
 * nobody drops them by hand.  DROP EXTENSION takes them along.
 */
void
dyn_member_add(Oid relid)
{
	ObjectAddress table;
	ObjectAddress extension;

	ObjectAddressSet(table, RelationRelationId, relid);
	ObjectAddressSet(extension, ExtensionRelationId, dyn_extension_oid());
	recordDependencyOn(&table, &extension, DEPENDENCY_EXTENSION);
	CommandCounterIncrement();
}

void
dyn_member_drop(Oid relid)
{
	ObjectAddress table;

	ObjectAddressSet(table, RelationRelationId, relid);
	performDeletion(&table, DROP_RESTRICT,
					PERFORM_DELETION_INTERNAL | PERFORM_DELETION_SKIP_EXTENSIONS);
}

Oid
dyn_stage_get(Oid relid, int no)
{
	static DynLookup select = {"stage_pkey", {"stage"}};
	DynCall		call;
	Oid			stage;

	dyn_lookup_begin_2(&call, &select, relid, no);
	stage = call.nrows > 0 ? dyn_spi_oid(0, 1) : InvalidOid;
	dyn_lookup_end(&call);
	return stage;
}

void
dyn_stage_insert(Oid relid, int no, Oid stage)
{
	static DynStatement insert = {
		"INSERT INTO dyntable.stage (relid, no, stage) VALUES ($1, $2, $3)",
		3, {OIDOID, INT4OID, OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), Int32GetDatum(no), ObjectIdGetDatum(stage)};

	dyn_spi_run(&insert, values, NULL);
	dyn_member_add(stage);
}

List *
dyn_stages_of(Oid relid)
{
	static DynLookup select = {"stage_pkey", {"stage"}};

	return dyn_lookup_oids(&select, relid);
}

/* A state table of more blocks is not read to count its rows. */
#define COUNTED_BLOCKS 1000

int64
dyn_stage_rows(Oid stage, bool *counted)
{
	Relation	rel = table_open(stage, AccessShareLock);
	BlockNumber blocks;
	double		rows = 0;
	double		visible;

	estimate_rel_size(rel, NULL, &blocks, &rows, &visible);
	*counted = blocks <= COUNTED_BLOCKS;
	if (*counted)
	{
		TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		rows = 0;
		while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
			rows++;
		ExecDropSingleTupleTableSlot(slot);
		table_endscan(scan);
	}
	table_close(rel, AccessShareLock);
	return (int64) rows;
}

void
dyn_stage_drop(Oid relid, Oid stage)
{
	static DynStatement delete = {
		"DELETE FROM dyntable.stage WHERE relid = $1 AND stage = $2", 2, {OIDOID, OIDOID}
	};
	Datum		values[] = {ObjectIdGetDatum(relid), ObjectIdGetDatum(stage)};

	dyn_member_drop(stage);
	dyn_spi_run(&delete, values, NULL);
}

static List *left = NIL;		/* of Oid: state tables whose table is dropped */

/* What was dropped is back. */
static void
forget_left(void)
{
	list_free(left);
	left = NIL;
}

static void
left_at_end(XactEvent event, void *arg)
{
	forget_left();
}

static void
left_at_subabort(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_left();
}

void
dyn_stage_leave(Oid stage)
{
	static bool registered = false;
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	if (!registered)
	{
		RegisterXactCallback(left_at_end, NULL);
		RegisterSubXactCallback(left_at_subabort, NULL);
		registered = true;
	}
	left = lappend_oid(left, stage);
	MemoryContextSwitchTo(caller);
}

void
dyn_stages_left_drop(void)
{
	while (left != NIL)
	{
		Oid			stage = linitial_oid(left);

		left = list_delete_first(left);
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(stage)))
			dyn_member_drop(stage);
	}
}

/* Readers of a dynamic table that read on from where they stand. */
#define READERS_THAT_WAIT \
	"dyntable.edge e JOIN dyntable.position p USING (relid)" \
	" WHERE e.source = $1 AND p.populated AND p.reinit_reason IS NULL"

/* Whether the table's next refresh reads on from where it stands. */
static bool
reads_on(Oid relid)
{
	static DynLookup select = {"position_pkey", {"populated", "reinit_reason"}};
	DynCall		call;
	bool		result;

	dyn_lookup_begin(&call, &select, relid);
	result = call.nrows > 0 && dyn_spi_bool(0, 1) && dyn_spi_text(0, 2) == NULL;
	dyn_lookup_end(&call);
	return result;
}

int64
dyn_edge_min_refresh_no(Oid source, int64 otherwise)
{
	static DynLookup select = {"edge_source", {"relid", "refresh_no"}};
	DynCall		call;
	Oid		   *relids;
	int64	   *numbers;
	int			nreaders;
	int64		least = otherwise;
	bool		found = false;

	dyn_lookup_begin(&call, &select, source);
	nreaders = (int) call.nrows;
	relids = palloc(sizeof(Oid) * (nreaders + 1));
	numbers = palloc(sizeof(int64) * (nreaders + 1));
	for (int i = 0; i < nreaders; i++)
	{
		relids[i] = dyn_spi_oid(i, 1);
		numbers[i] = dyn_spi_int8(i, 2);
	}
	dyn_lookup_end(&call);
	for (int i = 0; i < nreaders; i++)
	{
		if ((found && numbers[i] >= least) || !reads_on(relids[i]))
			continue;
		least = numbers[i];
		found = true;
	}
	return least;
}

bool
dyn_edge_let_go(Oid source, int64 refresh_no, const char *reason)
{
	static DynStatement update = {
		"UPDATE dyntable.position SET reinit_reason = $3 WHERE relid IN ("
		"SELECT p.relid FROM " READERS_THAT_WAIT " AND e.refresh_no < $2"
		" AND e.refresh_no = (SELECT min(e.refresh_no) FROM " READERS_THAT_WAIT ")"
		" FOR UPDATE OF p SKIP LOCKED)", 3, {OIDOID, INT8OID, TEXTOID}
	};
	Datum		values[] = {
		ObjectIdGetDatum(source), Int64GetDatum(refresh_no), CStringGetTextDatum(reason)
	};

	return dyn_spi_run(&update, values, NULL) > 0;
}
