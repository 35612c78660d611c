/*
 * dyn_kept.h
 *	  Plans of statements, kept from one refresh to the next.
 */
#ifndef DYN_KEPT_H
#define DYN_KEPT_H

#include <nodes/plannodes.h>
#include <utils/queryenvironment.h>

typedef struct DynKept
{
	PlannedStmt *plan;
	bool		fires_no_trigger;	/* it writes, and a table without triggers */
	bool		valid;			/* nothing that it rests on has changed */
	int			pins;
} DynKept;

/*
 * The plan of a statement, its tables locked, or NULL: none is kept that fits
 * the present deltas.  It is there until the current memory context is reset.  setting: whose statement it is, and under
 * which settings that change what it means.
 */
extern DynKept *dyn_kept_find(const char *setting, const char *statement, QueryEnvironment *env);

/*
 * Offer a plan that was just made.  It is copied.  A statement that was never offered before may never come
 * again: its plan is kept only as long as there is room for it.
 */
extern void dyn_kept_offer(const char *setting, const char *statement, QueryEnvironment *env,
						   PlannedStmt *plan, bool fires_no_trigger);

#endif							/* DYN_KEPT_H */
