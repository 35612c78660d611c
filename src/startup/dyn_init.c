/*
 * dyn_init.c
 *	  What happens when the library is loaded.
 *
 * Everything needs shared_preload_libraries: shared memory, the launcher, and
 * hooks in every process.  Loaded otherwise (by a function of a database that
 * was restored into a server without the setting) the library only defines its
 * settings, and its functions say what is missing.
 */
#include <postgres.h>

#include <fmgr.h>
#include <miscadmin.h>

#include "base/dyn_settings.h"
#include "base/dyn_shmem.h"
#include "capture/dyn_capture.h"
#include "command/dyn_command.h"
#include "startup/dyn_startup.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	dyn_settings_define();
	if (process_shared_preload_libraries_in_progress)
	{
		dyn_shmem_install();
		dyn_launcher_register();
		dyn_database_init();
		dyn_shape_init();
	}
	dyn_command_init();
}
