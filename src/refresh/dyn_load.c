/*
 * dyn_load.c
 *	  Filling a table that is empty with the rows of a query.
 *
 * As CREATE TABLE AS does it: the query is run as a SELECT, which may be
 * parallel where INSERT ... SELECT may not, and its rows are written here, many
 * at a time.  Indexes, of which the table is then told to have none, are built
 * afterwards from all rows.  A table that would have more done with a row than
 * to store it (a user's triggers and constraints), or whose types are not the
 * query's, gets its rows by an INSERT.
 *
 * A table that keeps room in its pages gets some more while it is filled.  The server
 * prunes a page as soon as less is free than the fillfactor asks for (or than a tenth):
 * filled up to it, each page would be pruned at every refresh that updates one of its rows.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <utils/builtins.h>
#include <utils/rel.h>

#include "refresh/dyn_bulk.h"
#include "refresh/dyn_evaluate.h"
#include "refresh/dyn_load.h"
#include "refresh/dyn_target.h"

/* The more of room, in percent of a page. */
#define MORE_ROOM 5

struct DynLoad
{
	DynExecution *execution;
	Relation	rel;
	int			fillfactor;		/* the table's; 0: it keeps no room */
	bool		reindex;
	bool		begun;			/* a row has come */
	bool		direct;			/* rows go to the table at once */
	int64		rows;

	DynBulk    *bulk;
	DynRows    *aside;			/* else they wait here for the INSERT */
	MemoryContext context;		/* of all these: a sink runs in the statement's */
};

static int	fillfactor_of(Oid relid);
static void set_fillfactor(Oid relid, int percent);
static void begin(DynLoad *load, TupleDesc desc);
static TupleDesc aside_desc(TupleDesc desc);

DynLoad *
dyn_load_begin(DynExecution *execution, Oid relid, bool emptied)
{
	DynLoad    *load = palloc0(sizeof(DynLoad));

	load->execution = execution;
	load->context = CurrentMemoryContext;
	load->fillfactor = fillfactor_of(relid);
	if (load->fillfactor > 0)
		set_fillfactor(relid, load->fillfactor - MORE_ROOM);
	load->rel = table_open(relid, RowExclusiveLock);
	load->direct = dyn_bulk_can(load->rel) && (emptied || RelationGetIndexList(load->rel) == NIL);
	load->reindex = emptied && load->rel->rd_rel->relhasindex;
	return load;
}

/* Of a table that keeps room; 0: it keeps none, or so much that there may not be more. */
static int
fillfactor_of(Oid relid)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	int			fillfactor = RelationGetFillFactor(rel, HEAP_DEFAULT_FILLFACTOR);

	table_close(rel, NoLock);
	return fillfactor < HEAP_DEFAULT_FILLFACTOR && fillfactor >= HEAP_MIN_FILLFACTOR + MORE_ROOM ? fillfactor : 0;
}

static void
set_fillfactor(Oid relid, int percent)
{
	dyn_state_ddl(psprintf("ALTER TABLE %s SET (fillfactor = %d)", dyn_relation_name(relid), percent));
}

void
dyn_load_sink(TupleTableSlot *slot, void *arg)
{
	DynLoad    *load = arg;
	MemoryContext old = MemoryContextSwitchTo(load->context);

	if (!load->begun)
		begin(load, slot->tts_tupleDescriptor);
	load->rows++;
	slot_getallattrs(slot);
	if (load->direct)
		dyn_bulk_insert(load->bulk, slot->tts_values, slot->tts_isnull, InvalidOid);
	else
		dyn_rows_put(load->aside, slot);
	MemoryContextSwitchTo(old);
}

/* The first row tells what the rows are. */
static void
begin(DynLoad *load, TupleDesc desc)
{
	load->begun = true;
	load->direct = load->direct && dyn_bulk_fits(load->rel, desc, 0);
	if (load->direct)
		load->bulk = dyn_bulk_begin(load->rel, false);
	else
		load->aside = dyn_rows_begin("x_load", aside_desc(desc), NULL);
}

static TupleDesc
aside_desc(TupleDesc desc)
{
	TupleDesc	result = CreateTupleDescCopy(desc);

	for (int i = 0; i < result->natts; i++)
		namestrcpy(&TupleDescAttr(result, i)->attname, psprintf("c%d", i + 1));
	return result;
}

int64
dyn_load_end(DynLoad *load)
{
	Oid			relid = RelationGetRelid(load->rel);
	char	   *name = dyn_relation_name(relid);

	if (load->bulk)
		dyn_bulk_end(load->bulk);
	table_close(load->rel, NoLock);
	if (load->aside)
	{
		dyn_rows_register(load->aside, load->execution->env);
		(void) dyn_execute(load->execution, psprintf("INSERT INTO %s SELECT %s FROM x_load", name,
													 dyn_sql_columns(NULL, load->aside->desc->natts)), NULL, NULL);
		dyn_rows_end(load->aside);
	}
	else if (load->begun && load->reindex)
	{
		CommandCounterIncrement();
		dyn_state_ddl(psprintf("REINDEX TABLE %s", name));
	}
	if (load->fillfactor > 0)
		set_fillfactor(relid, load->fillfactor);
	return load->rows;
}
