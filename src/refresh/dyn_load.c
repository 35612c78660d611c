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

struct DynLoad
{
	DynExecution *execution;
	Relation	rel;
	bool		reindex;
	bool		begun;			/* a row has come */
	bool		direct;			/* rows go to the table at once */
	int64		rows;

	DynBulk    *bulk;
	DynRows    *aside;			/* else they wait here for the INSERT */
	MemoryContext context;		/* of all these: a sink runs in the statement's */
};

static void begin(DynLoad *load, TupleDesc desc);
static TupleDesc aside_desc(TupleDesc desc);

DynLoad *
dyn_load_begin(DynExecution *execution, Oid relid, bool emptied)
{
	DynLoad    *load = palloc0(sizeof(DynLoad));

	load->execution = execution;
	load->context = CurrentMemoryContext;
	load->rel = table_open(relid, RowExclusiveLock);
	load->direct = dyn_bulk_can(load->rel) && (emptied || RelationGetIndexList(load->rel) == NIL);
	load->reindex = emptied && load->rel->rd_rel->relhasindex;
	return load;
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
	char	   *name = dyn_relation_name(RelationGetRelid(load->rel));

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
	return load->rows;
}
