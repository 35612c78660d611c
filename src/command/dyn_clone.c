/*
 * dyn_clone.c
 *	  dyntable_clone: a dynamic table's copy, which goes on from where it stands.
 *
 * Definition, rows, state tables, indexes, constraints of its own, comments and
 * position are copied; grants, foreign keys, triggers and history are not.  The clone belongs
 * to whoever makes it, who must be allowed to run the query.  It is
 * suspended, and reads from the logs what the source has not read yet, so that
 * resuming it takes no fill.
 *
 * No refresh of the source may be under way: the lock of one is taken, and its
 * position row, so that a REPEATABLE READ caller who lost a race is told.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <commands/comment.h>
#include <executor/spi.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <storage/lmgr.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/rls.h>
#include <utils/snapmgr.h>

#include "command/dyn_create.h"
#include "command/dyn_definition.h"
#include "command/dyn_options.h"
#include "command/dyn_transaction.h"
#include "refresh/dyn_evaluate.h"
#include "refresh/dyn_refresh.h"
#include "refresh/dyn_target.h"

PG_FUNCTION_INFO_V1(dyntable_clone);

#define STATE_OF_CLONE "CLONED_AUTO_SUSPENDED"

static Oid
source_argument(FunctionCallInfo fcinfo)
{
	Oid			source;
	AclResult	result;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the dynamic table must not be null")));
	source = PG_GETARG_OID(0);
	dyn_table_get(source, false);
	result = pg_class_aclcheck(source, GetUserId(), ACL_SELECT);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(source));
	return source;
}

/* An ordinary table of the source's columns, column comments and check constraints. */
static Oid
make_table(Oid source, RangeVar *name)
{
	char	   *schema;
	Oid			existing;
	Oid			namespace = dyn_check_namespace(name, &existing);
	Relation	rel;
	int			fillfactor;

	if (OidIsValid(existing))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", name->relname)));
	schema = get_namespace_name(namespace);
	rel = table_open(source, NoLock);
	fillfactor = RelationGetFillFactor(rel, HEAP_DEFAULT_FILLFACTOR);
	table_close(rel, NoLock);
	dyn_run_utility(psprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES) WITH (fillfactor = %d)",
							 quote_qualified_identifier(schema, name->relname), dyn_relation_name(source), fillfactor));
	return get_relname_relid(name->relname, namespace);
}

static char *
column_names(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			appendStringInfo(&names, "%s%s", names.len ? ", " : "",
							 quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname)));
	table_close(rel, NoLock);
	return names.data;
}

static void
copy_rows(Oid source, Oid clone)
{
	char	   *columns = column_names(source);

	if (*columns == '\0')
		columns = NULL;
	SPI_connect();
	SPI_execute(columns ?
				psprintf("INSERT INTO %s (%s) SELECT %s FROM %s", dyn_relation_name(clone), columns, columns,
						 dyn_relation_name(source)) :
				psprintf("INSERT INTO %s SELECT FROM %s", dyn_relation_name(clone), dyn_relation_name(source)),
				false, 0);
	SPI_finish();
	CommandCounterIncrement();
}

/*
 * The clone's edges are the source's, and stand where they do.  False when what it reads, as
 * its owner may read it, is not what the source reads.
 */
static bool
take_edges(const DynTable *source, DynDefinition *definition)
{
	List	   *edges = dyn_edges_of(source->relid);
	ListCell   *a;
	ListCell   *b;

	if (definition->reinit != NULL || definition->incremental != source->incremental ||
		list_length(edges) != list_length(definition->edges))
		return false;
	forboth(a, edges, b, definition->edges)
	{
		const DynEdge *theirs = lfirst(a);
		DynEdge    *ours = lfirst(b);

		if (ours->source != theirs->source || ours->kind != theirs->kind)
			return false;
		ours->columns = theirs->columns;
		ours->refresh_no = theirs->refresh_no;
	}
	return true;
}

/* Make the table a dynamic one where the source stands. */
static void
install(const DynTable *source, DynDefinition *definition, Oid clone)
{
	DynTable	table = *source;
	bool		same = take_edges(source, definition);

	dyn_definition_to_table(definition, &table);
	table.relid = clone;
	table.suspended = true;
	table.state_code = STATE_OF_CLONE;
	dyn_definition_install(definition, &table);
	dyn_position_copy(source->relid, clone);
	if (!same)
		dyn_position_set_reinit(clone, definition->reinit ? definition->reinit :
								"the query reads other sources than the one of the table that was cloned");
	else if (dyn_position_get(clone)->reinit_reason == NULL)
		dyn_copy_states(source->relid, clone);
}

Datum
dyntable_clone(PG_FUNCTION_ARGS)
{
	DynDefinition definition = {0};
	DynTable   *source;
	RangeVar   *name;
	Oid			relid;
	Oid			clone;
	char	   *comment;

	dyn_command_check("dyntable_clone()");
	relid = source_argument(fcinfo);
	name = dyn_option_name(dyn_argument_text(fcinfo, 1));
	if (check_enable_rls(relid, InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot clone dynamic table \"%s\", of which row-level security hides rows",
						get_rel_name(relid))));

	definition.stored = source = dyn_table_get(relid, false);
	definition.owner = GetUserId();
	definition.name = name->relname;
	definition.mode = source->mode;
	dyn_run_claim(list_make1_oid(relid));
	LockRelationOid(relid, AccessShareLock);
	definition.stored = source = dyn_table_get(relid, false);
	dyn_definition_find(&definition);
	dyn_position_claim(relid);

	clone = make_table(relid, name);
	if (dyn_is_populated(relid))
		copy_rows(relid, clone);
	dyn_copy_indexes(relid, clone);
	install(source, &definition, clone);
	comment = GetComment(relid, RelationRelationId, 0);
	if (comment != NULL)
		CreateComments(clone, RelationRelationId, 0, comment);
	dyn_forbid_prepare();
	dyn_wake_at_end();
	PG_RETURN_OID(clone);
}
