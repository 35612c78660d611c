/*
 * dyn_logmarks.h
 *	  From which block on a change log is worth reading.
 *
 * Rows are only ever appended to a log table.  A mark (block, xid) says that
 * all rows in blocks before block are of transactions below xid: a reader whose
 * snapshot sees all of those begins there.  The capture worker sets a mark when
 * it has committed rows; marks are forgotten with the table's storage.  Losing
 * them costs a longer scan, nothing else.
 */
#ifndef DYN_LOGMARKS_H
#define DYN_LOGMARKS_H

#include <storage/block.h>

extern Size dyn_logmarks_size(void);
extern void dyn_logmarks_init(void);

/* storage: the relation's file number, which a rewrite changes. */
extern void dyn_logmark_set(Oid log, Oid storage, BlockNumber block, uint64 xid);
extern void dyn_logmark_forget(Oid log);

/* The block from which on to read for a snapshot that sees all xids below xmin. */
extern BlockNumber dyn_logmark_start(Oid log, Oid storage, uint64 xmin);

#endif							/* DYN_LOGMARKS_H */
