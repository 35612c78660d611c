/*
 * dyn_definitions.h
 *	  What was found out of definitions, kept from one refresh to the next.
 */
#ifndef DYN_DEFINITIONS_H
#define DYN_DEFINITIONS_H

#include <nodes/parsenodes.h>

#include "catalog/dyn_catalog.h"

/* The tree of a table's definition, for the caller to change; one that is readable. */
extern Query *dyn_definition_tree(const DynTable *table);

/* A hash of the expanded definition of a table, and of how state is kept for it: with another one the state is of no use. */
extern int64 dyn_definition_hash(Oid relid, Query *expanded);

#endif							/* DYN_DEFINITIONS_H */
