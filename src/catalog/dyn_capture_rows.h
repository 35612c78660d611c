/*
 * dyn_capture_rows.h
 *	  The rows that change capture alone writes: slot, source, identity.
 */
#ifndef DYN_CAPTURE_ROWS_H
#define DYN_CAPTURE_ROWS_H

#include "catalog/dyn_catalog.h"

/* The row of dyntable.slot. */
typedef struct DynSlot
{
	char		name[NAMEDATALEN];
	int64		generation;
	uint64		systemid;
	uint32		timeline;
	Oid			dboid;
	Oid			tablespace;		/* of the database */
	const char *cause;			/* why it took the place of another, or NULL; not read by dyn_slot_get */
} DynSlot;

/* A dynamic table that reads a source, with its position. */
typedef struct DynReader
{
	Oid			relid;
	DynSnapshot *snapshot;		/* NULL: never filled */
	bool		waits;			/* its next refresh reads the delta: it holds the log */
} DynReader;

extern bool dyn_slot_get(DynSlot *slot);
extern void dyn_slot_store(const DynSlot *slot);
extern void dyn_slot_forget(void);

/* Insert, or replace the columns; all else stays as it was first registered. */
extern void dyn_source_store(const DynSource *source);
extern void dyn_source_forget(Oid relid);

/* Remember a replica identity unless one is remembered; '\0' when none is. */
extern void dyn_identity_store(Oid relid, char identity);
extern char dyn_identity_get(Oid relid);
extern void dyn_identity_forget(Oid relid);
extern List *dyn_identities_all(void);
extern List *dyn_identities_left(void);	/* of Oid: those of relations that no source needs any more */

/* Whether anything in this database needs a slot. */
extern bool dyn_capture_needed(void);

/* List of DynSource *, relid and columns set: read by edges and not (fully) under capture. */
extern List *dyn_sources_missing(void);

/* List of Oid: under capture and read by nobody. */
extern List *dyn_sources_unread(void);

/* Who reads the log of a source.  List of DynReader *. */
extern List *dyn_log_readers(Oid source, int64 generation);

/* Have a dynamic table initialise again, unless a refresh is at it; whether it came off. */
extern bool dyn_position_let_go(Oid relid, const char *reason);

#endif							/* DYN_CAPTURE_ROWS_H */
