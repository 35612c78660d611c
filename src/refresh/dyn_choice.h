/*
 * dyn_choice.h
 *	  In refresh mode auto: the delta, or all of the query.
 */
#ifndef DYN_CHOICE_H
#define DYN_CHOICE_H

#include "catalog/dyn_catalog.h"
#include "refresh/dyn_execute.h"

/* SQLSTATE of a delta that is given up, for computing in full is cheaper. */
#define ERRCODE_DYN_DEARER MAKE_SQLSTATE('D', 'Y', '0', '0', '2')

/* What was known of a delta when it was given up. */
typedef struct DynGivenUp
{
	int64		rows;
	double		expected_ms;
} DynGivenUp;

/* The choice of one refresh, open until its delta is applied. */
typedef struct DynChoice
{
	DynPosition *position;		/* what refreshes have cost, brought to date as more is found out */
	Query	   *query;			/* expanded */
	TimestampTz upto;
	Snapshot	snapshot;
	List	   *edges;
	DynGivenUp *given_up;		/* filled in before the error is raised; NULL: what changed is only counted */
	int64		rows;			/* changes read so far */
	int64		foreseen;		/* how many there will be */
	bool		loaded;			/* those are all */
	double		source_rows;	/* of all sources, as the planner estimates; 0: not asked for yet */
	double		estimated;		/* milliseconds for the delta, by the planner */
	bool		weighed;		/* position tells what the query takes as things are now */
	bool		worth;			/* and there is enough data for a choice */
} DynChoice;

/*
 * A change was read, and with it this part of its source's log (before: changes of
 * other sources); all have been; a statement that costs so much is about to run; it has
 * not ended in time.
 */
extern void dyn_choice_row(DynChoice *choice, int64 before, double read);
extern void dyn_choice_loaded(DynChoice *choice);
extern double dyn_choice_planned(double cost, void *choice);
extern void dyn_choice_late(void *choice);

/* What the refresh, which is done, has cost (dyn_phases.h): one by delta, in full, in full in place of a delta. */
extern void dyn_choice_learn_delta(DynChoice *choice);
extern void dyn_choice_learn_full(DynChoice *choice);
extern void dyn_choice_learn_given_up(DynPosition *position, const DynGivenUp *given_up);

#endif							/* DYN_CHOICE_H */
