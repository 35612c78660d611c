/*
 * dyn_moment.h
 *	  A data timestamp that the session asks for.
 */
#ifndef DYN_MOMENT_H
#define DYN_MOMENT_H

#include <datatype/timestamp.h>

/* What dyntable.data_timestamp says; DT_NOEND: nothing.  Raises an error where it is no moment. */
extern TimestampTz dyn_moment_asked(void);

/* The transaction, or the subtransaction that it is in, refreshes at that moment: it must not be committed. */
extern void dyn_moment_taken(void);

#endif							/* DYN_MOMENT_H */
