/*
 * dyn_feed.h
 *	  The change feed of a dynamic table, for those who follow it.
 */
#ifndef DYN_FEED_H
#define DYN_FEED_H

#include "refresh/dyn_apply.h"

/* As a state table: its number, beyond those of a plan's nodes. */
#define DYN_FEED_STAGE 30000

/* Make it, empty, for changes after this refresh. */
extern void dyn_feed_create(Oid relid, int64 refresh_no, TimestampTz data_timestamp);

/* Write what a refresh is about to apply, if somebody follows the table. */
extern void dyn_feed_write(DynExecution *execution, DynSink *sink, DynRows *delta, int64 refresh_no,
						   TimestampTz data_timestamp);

/* The table has got rows of which the feed does not know: it begins anew behind this refresh. */
extern void dyn_feed_restart(Oid relid, int64 refresh_no, TimestampTz data_timestamp);

#endif							/* DYN_FEED_H */
