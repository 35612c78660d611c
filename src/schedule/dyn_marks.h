/*
 * dyn_marks.h
 *	  Which refreshes were under way when the server crashed.
 */
#ifndef DYN_MARKS_H
#define DYN_MARKS_H

#include <nodes/pg_list.h>

#include "base/dyn_queue.h"

/* By a refresh worker: it begins a task, or has ended it in whatever way. */
extern void dyn_mark_set(int slot, const DynTask *task);
extern void dyn_mark_clear(int slot);

/*
 * By the scheduler: tasks of this database that a crash cut short, each as a
 * DynTask *.  They are forgotten with that.
 */
extern List *dyn_marks_take(void);

#endif							/* DYN_MARKS_H */
