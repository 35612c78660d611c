/*
 * dyn_names.h
 *	  A relation that takes the name of one that dynamic tables read.
 */
#ifndef DYN_NAMES_H
#define DYN_NAMES_H

#include <nodes/nodes.h>

/* Before the statement: the relation that it will give another name, or InvalidOid. */
extern Oid	dyn_relation_to_rename(Node *statement);

/* After it: warn where a dynamic table was defined by the name that it gave to renamed, or to what it made. */
extern void dyn_warn_of_name(Node *statement, Oid renamed);

#endif							/* DYN_NAMES_H */
