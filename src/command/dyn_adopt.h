/*
 * dyn_adopt.h
 *	  Taking over tables that were restored from a dump.
 */
#ifndef DYN_ADOPT_H
#define DYN_ADOPT_H

#include "catalog/dyn_catalog.h"

/* Make a restored table a dynamic table again, and what it reads before it; false: it is not a restored one. */
extern bool dyn_adopt(Oid relid);

/* All restored tables of which the caller is an owner; what cannot be taken over is told by warnings. */
extern void dyn_adopt_all(void);

#endif							/* DYN_ADOPT_H */
