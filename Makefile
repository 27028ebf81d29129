# sparse: the build.
#
#   make              sparse.so, sparse--<version>.sql and the client pg_sparse
#   make install      into the server that $(PG_CONFIG) names
#   make check        everything that is tested; installs what is missing
#   make unit | fuzz-replay | regress | isolation | tap      one part of check
#   make regress TESTS="store lineage"                       some tests of a part
#   make fuzz FUZZ_SECONDS=60                                search for new inputs (clang)
#   make quickstart   a server with one base and its fine-tune in it, in a minute
#   make bench-wire   push and pull over a network beside plain bytea; needs root; writes docs/wire-benchmarks.md
#   make bench-datasets  datasets beside zstd and plain tables; writes docs/dataset-benchmarks.md
#   make bench-care   repacking a family of 200 versions beside greedy nearest-parent; needs python3-numpy
#   make bench        the codec beside others, the server beside plain bytea; writes docs/benchmarks.md
#
# The layers of src/ are listed once, in build order: the core is pure C, the server its
# shell. The C of all of them goes into sparse.so, their SQL is joined in this order; the
# client is the core's other shell.

PG_CONFIG ?= pg_config
export PG_CONFIG TESTS FUZZ_SECONDS

# These run scripts that start on a machine without PostgreSQL, where PGXS cannot
# be included yet; the scripts call make again for what they need built.
CHECK_PARTS = unit fuzz-replay regress isolation tap
SCRIPTED = check $(CHECK_PARTS) quickstart bench bench-wire bench-datasets bench-care

ifneq (,$(filter $(SCRIPTED),$(MAKECMDGOALS)))

.PHONY: $(MAKECMDGOALS)
.NOTPARALLEL:

check:
	@bash test/check.sh
$(CHECK_PARTS):
	@bash test/check.sh $@
quickstart:
	@bash test/quickstart.sh
bench:
	@bash test/bench.sh
bench-wire:
	@bash test/bench-wire.sh
bench-datasets:
	@bash test/bench-datasets.sh
bench-care:
	@bash test/bench-care.sh
$(filter-out $(SCRIPTED),$(MAKECMDGOALS)):
	$(MAKE) $@

else

EXTENSION = sparse
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" sparse.control)

CORE = codec fit recipes
SERVER = sdelta store model wire dataset lineage savings care routing
LAYERS = $(CORE:%=core/%) $(SERVER:%=server/%)
SQL_PARTS := $(strip $(foreach layer,$(LAYERS),$(sort $(wildcard src/$(layer)/*.sql))))
SOURCES := $(foreach layer,$(LAYERS),$(sort $(wildcard src/$(layer)/*.c)))
CLIENT_SOURCES := $(sort $(wildcard src/client/*.c))

MODULE_big = sparse
OBJS := $(SOURCES:.c=.o)
DATA_built = sparse--$(EXTVERSION).sql
PGFILEDESC = "sparse - versions of models and datasets at the price of what changed"

CORE_OBJS := $(filter src/core/%,$(OBJS))
CLIENT_OBJS := $(CLIENT_SOURCES:.c=.o)
CLIENT := $(if $(CLIENT_SOURCES),pg_sparse)

CODEC_LIBS = -lzstd -lxxhash -lyajl -lm
CLIENT_LIBS = $(CODEC_LIBS) -lcrypto -L$(shell $(PG_CONFIG) --libdir) -lpq -pthread
SHLIB_LINK = $(CODEC_LIBS)

# The coder's inner loops want the vectoriser. A prediction must come out the same
# on every machine: no fused multiply-add, nothing tuned to the machine that builds.
CODEC_CFLAGS = -O3 -ffp-contract=off -fvisibility=hidden

DEPENDENCIES := $(OBJS:.o=.d) $(CLIENT_OBJS:.o=.d)
EXTRA_CLEAN = pg_sparse build $(CLIENT_OBJS) $(DEPENDENCIES)

# The server's own headers are not ours to mend: as system headers they stay silent.
PG_CPPFLAGS = -Isrc -Isrc/core -Isrc/server -isystem $(shell $(PG_CONFIG) --includedir-server) \
    -isystem $(shell $(PG_CONFIG) --includedir) -MMD -MP
PG_CFLAGS = -std=c11 -Wall -Wextra

# Bitcode for the server's JIT would need clang and gain nothing: no C function
# here is cheap enough to be inlined.
override with_llvm = no

# Some servers are built to track header dependencies by base name alone; -MMD does it here.
override autodepend =

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

override CFLAGS := $(filter-out -Wdeclaration-after-statement,$(CFLAGS))
$(CORE_OBJS): override CFLAGS += $(CODEC_CFLAGS)

$(OBJS) $(CLIENT_OBJS): Makefile
-include $(wildcard $(DEPENDENCIES))

sparse--$(EXTVERSION).sql: $(SQL_PARTS) sparse.control Makefile
	{ printf '%s\n' '-- Built by make from $(SQL_PARTS): edit those.' \
	    '\echo Use "create extension sparse" to load this file. \quit'; \
	  for part in $(SQL_PARTS); do echo; cat "$$part"; done; } > $@.new
	mv $@.new $@

# Where bash looks for completions.
completionsdir = $(or $(shell pkg-config --variable=completionsdir bash-completion 2>/dev/null),/usr/share/bash-completion/completions)

# The client is an ordinary program: of PostgreSQL it links libpq alone.
all: $(CLIENT)
pg_sparse: $(CORE_OBJS) $(CLIENT_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) $(CLIENT_LIBS) -o $@

install: install-client
uninstall: uninstall-client
.PHONY: install-client uninstall-client
install-client: $(CLIENT)
ifneq (,$(CLIENT))
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(CLIENT) '$(DESTDIR)$(bindir)/'
	$(MKDIR_P) '$(DESTDIR)$(mandir)/man1' '$(DESTDIR)$(completionsdir)'
	$(INSTALL_DATA) docs/pg_sparse.1 '$(DESTDIR)$(mandir)/man1/'
	$(INSTALL_DATA) src/client/pg_sparse.bash '$(DESTDIR)$(completionsdir)/pg_sparse'
endif
uninstall-client:
	rm -f '$(DESTDIR)$(bindir)/pg_sparse' '$(DESTDIR)$(mandir)/man1/pg_sparse.1' '$(DESTDIR)$(completionsdir)/pg_sparse'

include test/programs.mk

endif
