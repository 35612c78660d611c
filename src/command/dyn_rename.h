/*
 * dyn_rename.h
 *	  Columns that only get another name.
 */
#ifndef DYN_RENAME_H
#define DYN_RENAME_H

#include "catalog/dyn_catalog.h"

/*
 * Rename those columns of a dynamic table that a new query computes as the
 * present one does, under another name.  Takes ACCESS EXCLUSIVE where there are any.
 */
extern void dyn_rename_columns(const DynTable *table, Query *query);

#endif							/* DYN_RENAME_H */
