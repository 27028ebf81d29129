# sparse: the build.
#
#   make              sparse.so, sparse--<version>.sql and the client pg_sparse
#   make install      into the server that $(PG_CONFIG) names; DESTDIR goes before every path
#   make check        everything that is tested, on a private server; installs what is missing
#   make unit | fuzz-replay | regress | isolation | tap      one part of check
#   make regress TESTS="store lineage"                       some tests of a part
#   make installcheck        the regression tests on the running server that libpq's variables name
#   make client, make install-client [prefix=/usr/local]     pg_sparse alone: needs libpq, and no server
#   make dist         sparse-<version>.tar.gz and .zip of what is committed
#   make deb          Debian packages, built in one bare chroot and used in another; needs root and debootstrap
#   make container    the steps of docker/Dockerfile, in chroots; likewise
#   make matrix JOBS="17 18"   make check on each supported PostgreSQL, in chroots (test/matrix.sh); likewise
#   make fuzz FUZZ_SECONDS=60                                search for new inputs (clang)
#   make quickstart   a server with one base and its fine-tune in it, in a minute
#   make bench-wire   push and pull over a network beside plain bytea; needs root; writes docs/wire-benchmarks.md
#   make bench-datasets  datasets beside zstd and plain tables; writes docs/dataset-benchmarks.md
#   make bench-care   repacking a family of 200 versions beside greedy nearest-parent; needs python3-numpy
#   make sizes MODELS=test/data  what each model takes beside its parents, imported, pushed, compressed and estimated: docs/predictors.md
#   make bench        the codec beside others, the server beside plain bytea; writes docs/benchmarks.md
#
# From another directory, make -f .../Makefile builds there and leaves the sources alone.
#
# The layers of src/ are listed once, in build order: the core is pure C, the server its
# shell. The C of all of them goes into sparse.so, their SQL is joined in this order; the
# client is the core's other shell.

PG_CONFIG ?= pg_config
export PG_CONFIG TESTS FUZZ_SECONDS

TOP := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(TOP)/sparse.control)

# These run scripts that start on a machine without PostgreSQL, where PGXS cannot
# be included yet; the scripts call make again for what they need built.
CHECK_PARTS = unit fuzz-replay regress isolation tap
SCRIPTED = check $(CHECK_PARTS) quickstart bench bench-wire bench-datasets bench-care sizes dist deb matrix container
# These need no server: PGXS is left out.
SERVERLESS = client install-client uninstall-client client-compiles test-programs fuzz

ifneq (,$(filter $(SCRIPTED),$(MAKECMDGOALS)))

.PHONY: $(MAKECMDGOALS)
.NOTPARALLEL:

check:
	@bash $(TOP)/test/check.sh
$(CHECK_PARTS):
	@bash $(TOP)/test/check.sh $@
quickstart:
	@bash $(TOP)/test/quickstart.sh
bench:
	@bash $(TOP)/test/bench.sh
bench-wire:
	@bash $(TOP)/test/bench-wire.sh
bench-datasets:
	@bash $(TOP)/test/bench-datasets.sh
bench-care:
	@bash $(TOP)/test/bench-care.sh
sizes:
	@bash $(TOP)/test/sizes.sh $(or $(MODELS),$(TOP)/test/data)
	@bash $(TOP)/test/roads.sh $(or $(MODELS),$(TOP)/test/data)
deb:
	@bash $(TOP)/test/deb.sh
container:
	@bash $(TOP)/test/container.sh
matrix:
	@bash $(TOP)/test/matrix.sh $(JOBS)
dist:
	@bash $(TOP)/test/dist.sh $(EXTVERSION)
$(filter-out $(SCRIPTED),$(MAKECMDGOALS)):
	$(MAKE) -f $(firstword $(MAKEFILE_LIST)) $@

else

EXTENSION = sparse

CORE = codec fit plan recipes
SERVER = sdelta store model wire dataset lineage savings care routing hub
LAYERS = $(CORE:%=core/%) $(SERVER:%=server/%)
files_of = $(patsubst $(TOP)/%,%,$(sort $(wildcard $(TOP)/src/$1)))
SQL_PARTS := $(strip $(foreach layer,$(LAYERS),$(call files_of,$(layer)/*.sql)))
SOURCES := $(foreach layer,$(LAYERS) server,$(call files_of,$(layer)/*.c))
CLIENT_SOURCES := $(call files_of,client/*.c)

MODULE_big = sparse
OBJS := $(SOURCES:.c=.o)
DATA_built = sparse--$(EXTVERSION).sql
# From one released version to the next, by hand (docs/release.md).
DATA := $(patsubst $(TOP)/%,%,$(wildcard $(TOP)/upgrade/sparse--*--*.sql))
PGFILEDESC = "sparse - versions of models and datasets at the price of what changed"

CORE_OBJS := $(filter src/core/%,$(OBJS))
CLIENT_OBJS := $(CLIENT_SOURCES:.c=.o)

CODEC_LIBS = -lzstd -lxxhash -lyajl -lm
CLIENT_LIBS = $(CODEC_LIBS) -lyaml -lmicrohttpd -lcrypto -L$(shell $(PG_CONFIG) --libdir) -lpq -pthread
# A neighbour in the same server may have functions of the same names: those of ours that are
# called from here are bound here, and only what SQL calls is to be seen from outside.
SHLIB_LINK = $(CODEC_LIBS) -Wl,-Bsymbolic-functions
SHLIB_EXPORTS = build/entry-points.txt

# The coder's inner loops want the vectoriser.
CORE_CFLAGS = -O3 -fvisibility=hidden

DEPENDENCIES := $(OBJS:.o=.d) $(CLIENT_OBJS:.o=.d)
EXTRA_CLEAN = pg_sparse build $(CLIENT_OBJS) $(DEPENDENCIES)

# Everywhere. PostgreSQL 19's headers want GNU's C. A prediction must come out the same on
# every machine: no fused multiply-add, nothing tuned to the machine that builds. And so
# must the programs, wherever they are built.
OUR_CPPFLAGS = $(addprefix -I$(TOP)/,src src/core src/server) -DSPARSE_EXTVERSION='"$(EXTVERSION)"' -MMD -MP
OUR_CFLAGS = -std=gnu11 -Wall -Wextra -ffp-contract=off $(sort -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(abspath $(TOP))=.)

ifneq (.,$(TOP))
ifneq (,$(wildcard $(addprefix $(TOP)/,$(OBJS) $(CLIENT_OBJS))))
$(error objects lie in $(TOP), where make would find them instead of building here: first run make clean there)
endif
$(shell mkdir -p $(LAYERS:%=src/%) src/client)
endif

ifneq (,$(and $(MAKECMDGOALS),$(if $(filter-out $(SERVERLESS),$(MAKECMDGOALS)),,serverless)))

# ---- without a server: what PGXS would bring ----

ifneq (.,$(TOP))
VPATH = $(TOP)
endif
prefix = /usr/local
bindir = $(prefix)/bin
mandir = $(prefix)/share/man
CFLAGS = -O2 -g
INSTALL = install
INSTALL_PROGRAM = $(INSTALL)
INSTALL_DATA = $(INSTALL) -m 644
MKDIR_P = mkdir -p
PG_VERSION := no server
override CPPFLAGS := -D_GNU_SOURCE $(OUR_CPPFLAGS) -isystem $(shell $(PG_CONFIG) --includedir) $(CPPFLAGS)
override CFLAGS += $(OUR_CFLAGS)

else

# ---- a server's own way of building ----

PG_VERSION := $(shell $(PG_CONFIG) --version)
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(PG_VERSION))
$(error $(PG_CONFIG) does not run: PG_CONFIG=/path/to/pg_config names the server to build for)
endif
ifeq (,$(wildcard $(PGXS)))
$(error $(PG_VERSION) has no $(PGXS): install the package that builds extensions of this server (Debian: postgresql-server-dev-*))
endif
ifneq (,$(filter 7 8 9 10 11 12 13 14,$(firstword $(subst ., ,$(word 2,$(PG_VERSION))))))
$(error sparse needs PostgreSQL 15 or later, and $(PG_CONFIG) says $(PG_VERSION))
endif

# The server's own headers are not ours to mend: as system headers they stay silent.
PG_CPPFLAGS = $(OUR_CPPFLAGS) -isystem $(shell $(PG_CONFIG) --includedir-server) -isystem $(shell $(PG_CONFIG) --includedir)
PG_CFLAGS = $(OUR_CFLAGS)

# Bitcode for the server's JIT would need clang and gain nothing: no C function
# here is cheap enough to be inlined.
override with_llvm = no

# Some servers are built to track header dependencies by base name alone; -MMD does it here.
override autodepend =

# PGXS would run them all in one database; test/installcheck.sh gives each its own.
NO_INSTALLCHECK = 1
include $(PGXS)

override CFLAGS := $(filter-out -Wdeclaration-after-statement,$(CFLAGS))

.PHONY: installcheck
installcheck:
	@bash $(TOP)/test/installcheck.sh

# Packages of the extension for several servers have the client in one of its own: NO_CLIENT=1.
ifndef NO_CLIENT
all: client
install: install-client
uninstall: uninstall-client
endif

endif

$(CORE_OBJS): override CFLAGS += $(CORE_CFLAGS)

# Who is built with other flags, or for another server, is built anew.
record = mkdir -p $(@D) && printf '%s\n' '$(subst ','\'',$1)' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$1)' > $@
# expanded here, for a target has the flags of whatever it is made for
FLAGS := $(PG_VERSION) $(CC) $(CPPFLAGS) $(CFLAGS) $(CORE_CFLAGS) $(CFLAGS_SL) $(LDFLAGS) $(CLIENT_LIBS) $(SHLIB_LINK)
.PHONY: always
build/flags: always
	@$(call record,$(FLAGS))
$(OBJS) $(CLIENT_OBJS): build/flags
pg_sparse sparse$(DLSUFFIX): build/flags
-include $(wildcard $(DEPENDENCIES))

$(SHLIB_EXPORTS): $(SOURCES) build/flags
	@{ printf '%s\n' Pg_magic_func _PG_init; \
	  sed -n 's/^PG_FUNCTION_INFO_V1(\(.*\));$$/\1\npg_finfo_\1/p' $(filter %.c,$^); } > $@

sparse--$(EXTVERSION).sql: $(SQL_PARTS) sparse.control Makefile
	{ printf '%s\n' '-- Built by make from $(SQL_PARTS): edit those.' \
	    '\echo Use "create extension sparse" to load this file. \quit'; \
	  for part in $(filter %.sql,$^); do echo; cat "$$part"; done; } > $@.new
	mv $@.new $@

# Where bash looks for completions.
completionsdir = $(or $(shell pkg-config --variable=completionsdir bash-completion 2>/dev/null),/usr/share/bash-completion/completions)
# And zsh and fish.
zshdir = $(dir $(patsubst %/,%,$(dir $(completionsdir))))zsh/vendor-completions
fishdir = $(dir $(patsubst %/,%,$(dir $(completionsdir))))fish/vendor_completions.d

# The client is an ordinary program: of PostgreSQL it links libpq alone.
.PHONY: $(SERVERLESS)
client: pg_sparse
pg_sparse: $(CORE_OBJS) $(CLIENT_OBJS)
	$(CC) $(CFLAGS) $(filter %.o,$^) $(LDFLAGS) $(CLIENT_LIBS) -o $@
# Whether it does without what a server's own way of building brings along.
client-compiles:
	$(CC) $(filter-out -M%,$(CPPFLAGS)) $(CFLAGS) -fsyntax-only $(addprefix $(TOP)/,$(CLIENT_SOURCES))
install-client: client
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1' '$(DESTDIR)$(completionsdir)' '$(DESTDIR)$(zshdir)' '$(DESTDIR)$(fishdir)'
	$(INSTALL_PROGRAM) pg_sparse '$(DESTDIR)$(bindir)/'
	$(INSTALL_DATA) $(TOP)/docs/pg_sparse.1 '$(DESTDIR)$(mandir)/man1/'
	$(INSTALL_DATA) $(TOP)/src/client/pg_sparse.bash '$(DESTDIR)$(completionsdir)/pg_sparse'
	$(INSTALL_DATA) $(TOP)/src/client/pg_sparse.zsh '$(DESTDIR)$(zshdir)/_pg_sparse'
	$(INSTALL_DATA) $(TOP)/src/client/pg_sparse.fish '$(DESTDIR)$(fishdir)/pg_sparse.fish'
uninstall-client:
	rm -f '$(DESTDIR)$(bindir)/pg_sparse' '$(DESTDIR)$(mandir)/man1/pg_sparse.1' '$(DESTDIR)$(completionsdir)/pg_sparse' '$(DESTDIR)$(zshdir)/_pg_sparse' '$(DESTDIR)$(fishdir)/pg_sparse.fish'

include $(TOP)/test/programs.mk

endif
