# dyntable: dynamic tables for PostgreSQL.
#
#   make demo   see it work          (installs what is missing, leaves nothing running)
#   make dashboard                   (a page about the database that PGDATABASE names)
#   make bench  see it measured      (bench/README.md)
#   make test   see it proven        (the same, for all tests)
#   make test-guide                  (only what the guide of the staging layer tells)
#   make test-matrix                 (on PostgreSQL 15, 17 and 18; as root)
#   make        build                (PGXS; PG_CONFIG=... names the server)
#   make tree   a private copy of the server under build/, with dyntable in it

EXTENSION   = dyntable
EXTVERSION  = 1.0
MODULE_big  = dyntable
DATA_built  = dyntable--$(EXTVERSION).sql
OBJS        = $(patsubst %.c,%.o,$(sort $(wildcard src/*/*.c)))
SQL_PARTS   = $(addprefix src/sql/,header.sql catalog.sql types.sql command.sql refresh.sql schedule.sql capture.sql restore.sql monitor.sql history.sql information.sql graph.sql feed.sql statement.sql)

PG_CONFIG  ?= $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
PG_CPPFLAGS = -I$(CURDIR)/src -DDYN_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
              -Wno-declaration-after-statement -Wshadow=compatible-local
# The server's own flags may be another compiler's.
PG_CFLAGS  += $(if $(findstring clang,$(CC)),-Wno-ignored-optimization-argument -Wno-unknown-warning-option -Wno-ignored-attributes)
SHLIB_LINK  = -Wl,--version-script=$(CURDIR)/src/dyntable.map
EXTRA_CLEAN = dyntable--$(EXTVERSION).sql

# Bitcode for the JIT would need clang at every build and buys nothing here.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
all:
	@echo "PostgreSQL's headers are missing: run scripts/setup, or name a server by PG_CONFIG=..."; exit 1
endif

$(OBJS): $(wildcard src/*/*.h) Makefile
$(MODULE_big).so: src/dyntable.map

dyntable--$(EXTVERSION).sql: $(SQL_PARTS)
	cat $^ > $@

# What t/025_schedule.pl runs the schedule in: a library of its own around the files that decide.
SIMULATED = src/schedule/dyn_due.c src/schedule/dyn_graph.c src/base/dyn_cron.c
build/simulation.so: test/schedule/simulate.c $(SIMULATED) $(wildcard src/*/*.h)
	@mkdir -p build
	$(CC) $(CFLAGS) $(CPPFLAGS) -fPIC -shared -o $@ $< $(SIMULATED)

# The private copy: see scripts/tree.
tree: all build/simulation.so
	scripts/tree $(PG_CONFIG) build/pg
	$(MAKE) -s install DESTDIR=$(CURDIR)/build/pg PG_CONFIG=$(PG_CONFIG)

# Each of these begins on a machine that may have nothing but make.  The build
# is a make of its own, for it can find the server only after the set-up.
prepared:
	@scripts/setup
	@mkdir -p build
	@echo "building" && $(MAKE) -s -j2 tree >build/build.log 2>&1 || { cat build/build.log; exit 1; }

demo: prepared
	@examples/staging/demo

# Beside what the demo needs: a browser, an exporter.
tested: prepared
	@scripts/setup test

test: tested
	@test/run

test-guide: prepared
	@test/run guide

# From the comments of the objects, on a private server.
reference: prepared
	@scripts/reference

# Written whole or not at all.
dashboard:
	@mkdir -p build
	@psql -XAtq -v template="$$(cat examples/monitoring/dashboard.html)" -f examples/monitoring/dashboard.sql >build/dashboard.new
	@mv build/dashboard.new build/dashboard.html && echo build/dashboard.html

test-long: prepared
	@test/run long

bench: prepared
	@bench/run $(BENCH)

# These prepare each server for itself.
test-matrix:
	@test/matrix

test-sanitize:
	@test/sanitize

check-regress check-isolation check-pgtap check-tap: check-%: tested
	@test/run $*

.PHONY: tree prepared tested dashboard reference demo bench test test-guide test-long test-matrix test-sanitize check-regress check-isolation check-pgtap check-tap
