/*
 * dyn_phases.h
 *	  Where the time of a refresh goes.
 */
#ifndef DYN_PHASES_H
#define DYN_PHASES_H

typedef enum DynPhase
{
	DYN_PHASE_WAIT,				/* for capture; of the run */
	DYN_PHASE_LOAD,				/* changes out of the logs */
	DYN_PHASE_PLAN,				/* the definition, and the statements */
	DYN_PHASE_EXECUTE,			/* statements */
	DYN_PHASE_APPLY,			/* statements that write the table and its own log */
	DYN_PHASE_BOOKKEEPING,		/* all else */
} DynPhase;

#define DYN_PHASES (DYN_PHASE_BOOKKEEPING + 1)

/* The times of a table begin; wait_us: what its run has waited for capture. */
extern void dyn_phases_begin(double wait_us);

/* as in dyntable.history.phases */
extern const char *dyn_phase_name(DynPhase phase);

/* From now on time goes to this phase.  Returns the one it went to, to go back to. */
extern DynPhase dyn_phase_enter(DynPhase phase);

/* The phase that time goes to. */
extern DynPhase dyn_phase_running(void);

/*
 * The milliseconds up to now that were neither spent on applying nor waited for
 * capture or for a processor, which says nothing of the work.
 */
extern double dyn_phases_work(void);

/* How long this process has waited for a processor in all, milliseconds; 0 where the system does not tell. */
extern double dyn_phases_waited(void);

/* The times up to now, in milliseconds, as jsonb text. */
extern char *dyn_phases_text(void);

/* What it took, since dyn_phases_begin; parallel workers' blocks and WAL included, not their processor time. */
typedef struct DynCost
{
	double		cpu_ms;
	int64		wal_bytes;
	int64		blocks_hit;
	int64		blocks_read;
	int64		blocks_dirtied;
} DynCost;

extern DynCost dyn_phases_cost(void);

#endif							/* DYN_PHASES_H */
