/*
 * dyn_phases.c
 *	  Where the time of a refresh goes.
 *
 * One clock for the one table that this process refreshes: at any time it runs
 * for one phase, so that the phases but the wait make up the duration.  A
 * refresh that fails leaves it as it is; the next table begins anew.
 */
#include <postgres.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <executor/instrument.h>
#include <lib/stringinfo.h>
#include <portability/instr_time.h>
#include <storage/fd.h>

#include "base/dyn_progress.h"
#include "refresh/dyn_phases.h"

static const char *const names[DYN_PHASES] = {
	"wait_for_capture", "load", "plan", "execute", "apply", "bookkeeping"
};

const char *
dyn_phase_name(DynPhase phase)
{
	return names[phase];
}

static DynPhase running = DYN_PHASE_BOOKKEEPING;
static instr_time since;
static double spent[DYN_PHASES];	/* microseconds */

/* Of less time it is not asked how much of it this process has waited for a processor, milliseconds. */
#define LEAST_WORK	2.0

/* Of this process, when the table began. */
static double waited_before;
static double waited_applying;	/* of what it has waited since */
static double cpu_before;
static WalUsage wal_before;
static BufferUsage buffers_before;

/* The processor time of this process so far, milliseconds. */
static double
cpu_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000.0 +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000.0;
}

/*
 * Where Linux tells, which has counted the nanoseconds that the process ran and
 * those that it was ready to in this file.  The server's own ways of reading a
 * file are not for signal handlers.
 */
double
dyn_phases_waited(void)
{
	static int	file = -2;
	char		text[64];
	ssize_t		length;
	char	   *second;

	if (file == -2)
		file = BasicOpenFile("/proc/self/schedstat", O_RDONLY | PG_BINARY);
	length = file >= 0 ? pread(file, text, sizeof(text) - 1, 0) : 0;
	text[Max(length, 0)] = '\0';
	second = strchr(text, ' ');
	return second ? strtoull(second, NULL, 10) / 1e6 : 0;
}

void
dyn_phases_begin(double wait_us)
{
	memset(spent, 0, sizeof(spent));
	spent[DYN_PHASE_WAIT] = wait_us;
	running = DYN_PHASE_BOOKKEEPING;
	INSTR_TIME_SET_CURRENT(since);
	waited_before = dyn_phases_waited();
	waited_applying = 0;
	cpu_before = cpu_now();
	wal_before = pgWalUsage;
	buffers_before = pgBufferUsage;
}

DynPhase
dyn_phase_running(void)
{
	return running;
}

DynPhase
dyn_phase_enter(DynPhase phase)
{
	DynPhase	before = running;
	instr_time	now;
	instr_time	passed;

	INSTR_TIME_SET_CURRENT(now);
	passed = now;
	INSTR_TIME_SUBTRACT(passed, since);
	spent[running] += INSTR_TIME_GET_MICROSEC(passed);
	since = now;
	if ((phase == DYN_PHASE_APPLY) != (running == DYN_PHASE_APPLY))
		waited_applying += (running == DYN_PHASE_APPLY ? 1 : -1) * dyn_phases_waited();
	running = phase;
	dyn_progress_phase(phase);
	return before;
}

double
dyn_phases_work(void)
{
	double		sum = 0;

	(void) dyn_phase_enter(running);
	for (int i = 0; i < DYN_PHASES; i++)
		if (i != DYN_PHASE_WAIT && i != DYN_PHASE_APPLY)
			sum += spent[i] / 1000;
	if (sum >= LEAST_WORK)
	{
		double		waited = dyn_phases_waited();

		sum -= waited - waited_before - waited_applying - (running == DYN_PHASE_APPLY ? waited : 0);
	}
	return Max(sum, 0);
}

DynCost
dyn_phases_cost(void)
{
	DynCost		cost = {
		.cpu_ms = cpu_now() - cpu_before,
		.wal_bytes = pgWalUsage.wal_bytes - wal_before.wal_bytes,
		.blocks_hit = pgBufferUsage.shared_blks_hit - buffers_before.shared_blks_hit,
		.blocks_read = pgBufferUsage.shared_blks_read - buffers_before.shared_blks_read,
		.blocks_dirtied = pgBufferUsage.shared_blks_dirtied - buffers_before.shared_blks_dirtied,
	};

	return cost;
}

char *
dyn_phases_text(void)
{
	StringInfoData text;

	(void) dyn_phase_enter(running);
	initStringInfo(&text);
	for (int i = 0; i < DYN_PHASES; i++)
		appendStringInfo(&text, "%s\"%s\": %.3f", i ? ", " : "{", names[i], spent[i] / 1000);
	appendStringInfoChar(&text, '}');
	return text.data;
}
