/*
 * dyn_pool.h
 *	  Refresh workers as their scheduler sees them.
 */
#ifndef DYN_POOL_H
#define DYN_POOL_H

#include "base/dyn_queue.h"
#include "catalog/dyn_catalog.h"

typedef enum DynDispatch
{
	DYN_DISPATCHED,
	DYN_DISPATCH_LATER,			/* every worker that the warehouse may have is busy: one of them will wake us */
	DYN_DISPATCH_CROWDED,		/* the same of the server */
	DYN_DISPATCH_FAILED,		/* the server had no worker process to give: try again */
} DynDispatch;

/* Hand a task to a worker of this warehouse, starting one if need be. */
extern DynDispatch dyn_pool_dispatch(const DynTask *task, const DynWarehouse *warehouse, Oid owner);

/*
 * Next task that has come to an end since the last look; false when there is
 * none.  *lost: its worker ended in the middle of it.
 */
extern bool dyn_pool_reap(DynTask *task, bool *lost);

/* Call back with each worker of this database whose task is under way or not yet reaped. */
extern void dyn_pool_foreach_worker(void (*callback) (const DynWorker *worker, void *arg), void *arg);

/* Whether this database has runs for which the server had no worker. */
extern void dyn_pool_want(bool wanting);

/*
 * Warehouses (list of DynWarehouse *, all of this database) may have changed:
 * workers of those that are suspended or gone end as soon as they are idle,
 * others stay idle for as long as theirs says now.
 */
extern void dyn_pool_adjust(const List *warehouses);

/* Tell all workers of this database to end as soon as they are idle. */
extern void dyn_pool_quit(void);

#endif							/* DYN_POOL_H */
