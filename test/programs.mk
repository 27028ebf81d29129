# The pure C tests: every test/unit/*.c is a program over the codec, every
# test/fuzz/*.c a fuzz target. All are built under build/ with the address and
# undefined-behaviour sanitizers and without any PostgreSQL header in reach, so
# that a codec that leans on the server does not compile here.
#
#   make test-programs     build/unit/* and build/fuzz/* (gcc; fuzz targets replay files)
#   make fuzz              the same targets under libFuzzer (clang), for FUZZ_SECONDS each

TEST_CC = gcc
FUZZ_CC = clang
FUZZ_SECONDS := $(or $(FUZZ_SECONDS),60)

SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TEST_CFLAGS = -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -ffp-contract=off $(SANITIZE)
TEST_CPPFLAGS = $(addprefix -I$(TOP)/,src src/core test) -MMD -MP

UNIT_TESTS := $(patsubst $(TOP)/test/unit/%.c,build/unit/%,$(sort $(wildcard $(TOP)/test/unit/*.c)))
FUZZ_TARGETS := $(patsubst $(TOP)/test/fuzz/%.c,%,$(sort $(wildcard $(TOP)/test/fuzz/*.c)))
REPLAYS := $(addprefix build/fuzz/,$(FUZZ_TARGETS))
FUZZERS := $(addprefix build/fuzzer/,$(FUZZ_TARGETS))

CODEC_SOURCES := $(CORE_OBJS:.o=.c)
SANITIZED_CODEC := $(CODEC_SOURCES:%.c=build/sanitized/%.o)
REPLAY_MAIN = build/sanitized/test/lib/replay_main.o

build/test-flags: always
	@$(call record,$(TEST_CC) $(TEST_CFLAGS) $(TEST_CPPFLAGS) $(CODEC_LIBS))

.PHONY: test-programs fuzz
.SECONDARY:
test-programs: $(UNIT_TESTS) $(REPLAYS)

build/sanitized/%.o: %.c build/test-flags
	@mkdir -p $(@D)
	$(TEST_CC) $(TEST_CFLAGS) $(TEST_CPPFLAGS) -c $< -o $@

build/unit/%: build/sanitized/test/unit/%.o $(SANITIZED_CODEC)
	@mkdir -p $(@D)
	$(TEST_CC) $(TEST_CFLAGS) $^ $(CODEC_LIBS) -lm -o $@

build/fuzz/%: build/sanitized/test/fuzz/%.o $(REPLAY_MAIN) $(SANITIZED_CODEC)
	@mkdir -p $(@D)
	$(TEST_CC) $(TEST_CFLAGS) $^ $(CODEC_LIBS) -lm -o $@

# The encoder is led by what is executed alone: it looks for no constants, and watching its comparisons takes most of the time.
build/fuzzer/fuzz_encode: FUZZ_WATCH = -fno-sanitize-coverage=trace-cmp

build/fuzzer/%: test/fuzz/%.c $(CODEC_SOURCES)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(TEST_CFLAGS) -fsanitize=fuzzer $(FUZZ_WATCH) -O2 $(addprefix -I$(TOP)/,src src/core test) $^ $(CODEC_LIBS) -lm -o $@

# New inputs go to build/; what is worth keeping is copied to the corpus by hand.
fuzz: $(FUZZERS)
	@for target in $(FUZZ_TARGETS); do \
	    mkdir -p build/fuzzing/$$target $(TOP)/test/fuzz/corpus/$$target; \
	    build/fuzzer/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 \
	        -artifact_prefix=build/fuzzing/$$target- \
	        build/fuzzing/$$target $(TOP)/test/fuzz/corpus/$$target || exit 1; \
	done

-include $(wildcard $(patsubst %.o,%.d,$(SANITIZED_CODEC) $(REPLAY_MAIN)))
-include $(wildcard build/sanitized/test/unit/*.d build/sanitized/test/fuzz/*.d)
