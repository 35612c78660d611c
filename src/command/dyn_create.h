/*
 * dyn_create.h
 *	  What other commands that make dynamic tables share with dyntable_create.
 */
#ifndef DYN_CREATE_H
#define DYN_CREATE_H

#include <nodes/primnodes.h>

/*
 * Check that a table may be created under this name, by this role; *existing has
 * it already, or InvalidOid.  Returns the schema.
 */
extern Oid	dyn_check_namespace(RangeVar *name, Oid *existing);

#endif							/* DYN_CREATE_H */
