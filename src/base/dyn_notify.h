/*
 * dyn_notify.h
 *	  Telling those who LISTEN on channel dyntable.
 */
#ifndef DYN_NOTIFY_H
#define DYN_NOTIFY_H

#include <nodes/nodes.h>

/* A statement of the session is one of LISTEN, UNLISTEN and DISCARD; called before it is run. */
extern void dyn_notify_watch(const Node *statement);

/*
 * Tell at commit that something happened to a table.  more: further members of
 * the JSON object, each behind a comma, or "": names, counts and codes, no data.
 */
extern void dyn_notify(const char *event, Oid relid, const char *more);

#endif							/* DYN_NOTIFY_H */
