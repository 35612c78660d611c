/*
 * dyn_outlived.h
 *	  Indexes of ours on dynamic tables that no longer serve.
 */
#ifndef DYN_OUTLIVED_H
#define DYN_OUTLIVED_H

#include <nodes/pg_list.h>

/* Have these (OIDs) dropped by this transaction's commit, if nobody reads the table then. */
extern void dyn_outlived_note(Oid table, List *indexes);

/*
 * Keep no rows in these any more, from this command on; the commit drops them,
 * or fails when readers leave no gap.  Raises an error where a foreign key rests on one.
 */
extern void dyn_outlived_disable(Oid table, List *indexes);

#endif							/* DYN_OUTLIVED_H */
