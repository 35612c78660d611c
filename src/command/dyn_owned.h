/*
 * dyn_owned.h
 *	  DROP OWNED and REASSIGN OWNED of what the server does not know of.
 */
#ifndef DYN_OWNED_H
#define DYN_OWNED_H

#include <nodes/parsenodes.h>

/*
 * Around a utility statement: before returns what after has to be given, names of
 * warehouses.  after raises an error where a warehouse that is to go is in use.
 */
extern List *dyn_owned_before(Node *statement);
extern void dyn_owned_after(Node *statement, List *warehouses);

#endif							/* DYN_OWNED_H */
