# weir: what is built from what. `make help` names the targets.
#
# A module is a folder that becomes one static library. Its row below says which modules it may
# lean on; its unit tests are linked with those and nothing else, so an include that breaks the
# floors (docs/architecture.md) does not link. New .c files are found by themselves.
#
# SAN=1, TSAN=1, COV=1 and FUZZ=1 build the same tree with other flags beside the plain one.

BUILD ?= build
CC = gcc
PROTOC_C ?= protoc-c
PREFIX ?= /usr/local
WERROR ?= 1
SEEDS ?= 1000
FIRST ?= 1
SECONDS ?= 600
JOBS ?= 2

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
Q := $(if $(V),,@)

# ---- modules ----------------------------------------------------------------------------

MODULES := base crypto dag crdt replica sync kv repo protos runtime client \
           store peers transport retry broker

dir_base      := store/base
dir_crypto    := store/crypto
dir_dag       := store/dag
dir_crdt      := store/crdt
dir_replica   := store/replica
dir_sync      := store/sync
dir_kv        := store/kv
dir_repo      := store/repo
dir_protos    := protos
dir_runtime   := actors/runtime
dir_client    := actors/client
dir_store     := actors/store
dir_peers     := actors/peers
dir_transport := actors/transport
dir_retry     := actors/retry
dir_broker    := broker

# What a module leans on, in link order: the one table of floors the linker enforces.
WHOLE_STORE     := repo replica crdt sync dag kv crypto base
needs_base      :=
needs_crypto    := base
needs_dag       := crypto base
needs_crdt      := dag crypto base
needs_replica   := crdt dag crypto base
needs_sync      := dag crypto base
needs_kv        := base
needs_repo      := crdt sync dag kv crypto base
needs_protos    := base
needs_runtime   := protos base
needs_client    := protos base
needs_store     := runtime protos $(WHOLE_STORE)
needs_peers     := runtime protos $(WHOLE_STORE)
needs_transport := runtime protos $(WHOLE_STORE)
needs_retry     := runtime protos $(WHOLE_STORE)
needs_broker    := runtime protos base

# Libraries of the system, by the module that uses them.
sys_base      := -ljansson
sys_crypto    := -lsodium
sys_replica   := -lzstd
sys_kv        := -lleveldb -lpthread
sys_repo      := -lzstd
sys_protos    := -lprotobuf-c
sys_runtime   := -lczmq -lzmq
sys_client    := -lczmq -lzmq
sys_transport := -lczmq -lzmq
sys_broker    := -lczmq -lzmq -lzstd

# Programs: bins/<name>.c, and what stands behind it.
PROGRAMS := weir weir-broker weir-store weir-peers weir-transport weir-retry weir-bench
extra_weir       := bins/cli
extra_weir-bench := bins/bench
libs_weir           := client runtime protos replica crdt dag crypto base
libs_weir-broker    := broker $(needs_broker)
libs_weir-store     := store $(needs_store)
libs_weir-peers     := peers $(needs_peers)
libs_weir-transport := transport $(needs_transport)
libs_weir-retry     := retry $(needs_retry)
libs_weir-bench     := client store runtime protos $(WHOLE_STORE)
sys_weir-bench      := -lz

# Test programs that are not of one module may use everything.
EVERYTHING := broker $(filter-out broker runtime protos $(WHOLE_STORE),$(MODULES)) \
              runtime protos $(WHOLE_STORE)

# ---- flags ------------------------------------------------------------------------------

VARIANT := $(if $(SAN),-san)$(if $(TSAN),-tsan)$(if $(COV),-cov)$(if $(FUZZ),-fuzz)
OUT := $(BUILD)$(VARIANT)

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Wvla -Wformat=2 \
            -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum \
            $(if $(filter 1,$(WERROR)),-Werror)
CPPFLAGS := -I. -I$(OUT)/gen -D_GNU_SOURCE
CFLAGS := -std=c11 -g -O2 -fstack-protector-strong -fno-omit-frame-pointer
LDFLAGS := -Wl,--as-needed
ifeq ($(VARIANT),)
CPPFLAGS += -D_FORTIFY_SOURCE=2
endif
ifdef SAN
CFLAGS += -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS += -fsanitize=address,undefined
endif
ifdef TSAN
CFLAGS += -O1 -fsanitize=thread
LDFLAGS += -fsanitize=thread
endif
ifdef COV
CFLAGS += -O0 --coverage
LDFLAGS += --coverage
endif
ifdef FUZZ
CC = clang
WARNINGS := -Wall -Wextra
CFLAGS += -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS += -fsanitize=fuzzer,address,undefined
endif

# ---- objects, libraries, programs ---------------------------------------------------------

PROTOS := $(wildcard protos/*.proto)
PROTO_C := $(PROTOS:%.proto=$(OUT)/gen/%.pb-c.c)
PROTO_H := $(PROTO_C:.c=.h)
PROTO_O := $(PROTO_C:$(OUT)/gen/%.c=$(OUT)/obj/gen/%.o)

object = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
# The libraries of these modules (those that have sources yet), then the system's.
libs = $(foreach m,$(1),$(if $(objects_$m),$(OUT)/lib/libweir-$m.a))
system_libs = $(foreach m,$(1),$(sys_$m))

$(foreach m,$(MODULES),$(eval objects_$m := \
    $(call object,$(wildcard $(dir_$m)/*.c))))
objects_protos += $(PROTO_O)

SUPPORT_O := $(call object,$(wildcard tests/support/*.c))

all: $(foreach p,$(PROGRAMS),$(if $(wildcard bins/$p.c),$(OUT)/bin/$p)) $(call libs,$(MODULES))

$(OUT)/gen/%.pb-c.c $(OUT)/gen/%.pb-c.h &: %.proto $(PROTOS)
	$(Q)mkdir -p $(@D)
	$(Q)$(PROTOC_C) --c_out=$(OUT)/gen -I. $<

# Generated code is built without our warnings.
$(OUT)/obj/gen/%.o: $(OUT)/gen/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -w -c -o $@ $<

$(OUT)/obj/%.o: %.c | $(PROTO_H)
	@echo "  cc $<"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -MMD -MP -c -o $@ $<

define library_rule
$(OUT)/lib/libweir-$(1).a: $$(objects_$(1))
	$$(Q)mkdir -p $$(@D)
	$$(Q)rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call library_rule,$m)))

# link_rule: program, objects, modules, libraries of the system.
define link_rule
$(1): $(2) $(call libs,$(3))
	@echo "  ld $$@"
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $(4) $(call system_libs,$(3))
endef
$(foreach p,$(PROGRAMS),$(eval $(call link_rule,$(OUT)/bin/$p, \
    $(call object,bins/$p.c $(if $(extra_$p),$(wildcard $(extra_$p)/*.c))), \
    $(libs_$p),$(sys_$p))))

# ---- tests --------------------------------------------------------------------------------

# Unit tests: the folder says the module.
tests_of = $(wildcard tests/$(dir_$1)/test_*.c)
# Whatever else lies in the folder of a test is linked to it (fixtures).
fixtures = $(filter-out $(wildcard $(dir $1)test_*.c),$(wildcard $(dir $1)*.c))
test_program = $(patsubst %.c,$(OUT)/%,$(1))

UNIT_C := $(foreach m,$(MODULES),$(call tests_of,$m))
CLI_C := $(wildcard tests/bins/cli/test_*.c)
BENCH_C := $(wildcard tests/bins/bench/test_*.c)
UNIT := $(call test_program,$(UNIT_C) $(CLI_C) $(BENCH_C))
INTEGRATION_C := $(wildcard tests/integration/test_*.c)
INTEGRATION := $(call test_program,$(INTEGRATION_C))
INTEGRATION_SH := $(filter-out %/lib.sh %/common.sh,$(wildcard tests/integration/*.sh))
SIM := $(if $(wildcard tests/sim/*.c),$(OUT)/bin/weir-sim)
MODELS := $(if $(wildcard tests/models/*.c),$(OUT)/bin/weir-models)
FUZZ_C := $(wildcard tests/fuzz/fuzz_*.c)
FUZZERS := $(FUZZ_C:tests/fuzz/%.c=%)

# test_rule: source, modules, more objects.
test_rule = $(call link_rule,$(call test_program,$1),$(call object,$1 $(call fixtures,$1)) \
    $(SUPPORT_O) $3,$2,-lcmocka)
$(foreach m,$(MODULES),$(foreach t,$(call tests_of,$m), \
    $(eval $(call test_rule,$t,$m $(needs_$m)))))
$(foreach t,$(CLI_C),$(eval $(call test_rule,$t,$(libs_weir), \
    $(call object,$(wildcard bins/cli/*.c)))))
$(foreach t,$(BENCH_C),$(eval $(call link_rule,$(call test_program,$t),$(call object,$t \
    $(wildcard bins/bench/trace*.c)),base,-lcmocka -lz)))
$(foreach t,$(INTEGRATION_C),$(eval $(call test_rule,$t,$(EVERYTHING), \
    $(call object,bins/bench/proxy.c))))
$(eval $(call link_rule,$(OUT)/bin/weir-sim,$(call object,$(wildcard tests/sim/*.c)) \
    $(SUPPORT_O),$(EVERYTHING)))
# Each signature is verified once in a process (tests/sim/verify.c).
$(OUT)/bin/weir-sim: LDFLAGS += -Wl,--wrap=weir_verify
$(eval $(call link_rule,$(OUT)/bin/weir-models,$(call object,$(wildcard tests/models/*.c)) \
    $(SUPPORT_O),$(EVERYTHING)))
$(foreach f,$(FUZZERS),$(eval $(call link_rule,$(OUT)/fuzz/$f,$(call object,tests/fuzz/$f.c \
    $(filter-out $(FUZZ_C),$(wildcard tests/fuzz/*.c))),$(EVERYTHING))))

unit-programs: $(UNIT)
sim-programs: $(SIM) $(MODELS)
integration-programs: all $(INTEGRATION)
$(foreach b,$(wildcard tests/bench/bench_*.c),$(eval $(call link_rule, \
    $(b:tests/bench/%.c=$(OUT)/bench/%),$(call object,$b),$(EVERYTHING))))
BENCHES := $(patsubst tests/bench/%.c,$(OUT)/bench/%,$(wildcard tests/bench/bench_*.c))

fuzz-programs: $(FUZZERS:%=$(OUT)/fuzz/%)

# Two jobs, unless the caller said -j himself.
SUB = $(MAKE) --no-print-directory $(if $(V),,-s) $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS)) BUILD=$(BUILD) WERROR=$(WERROR)
RESULTS := $(BUILD)/results
RUN := tests/run.sh -r $(RESULTS)
# detect_stack_use_after_return stays off: gcc 12 then misplaces what is aligned to 64 bytes.
SAN_ENV := UBSAN_OPTIONS=print_stacktrace=1
fuzz_runs = $(foreach f,$(FUZZERS),"$(BUILD)-fuzz/fuzz/$f -max_total_time=$1 -timeout=10 \
    -rss_limit_mb=2048 -verbosity=0 -print_final_stats=0 \
    -artifact_prefix=$(BUILD)-fuzz/$f- $(BUILD)-fuzz/corpus/$f tests/fuzz/corpus/$f")

# Histories beyond those that run under the sanitizers.
MORE = $(shell expr $(FIRST) + 1000)

# Everything that needs no container; one line a test, and one at the end.
# The topologies run alone: they count bodies, and a session that a stalled disk ends sends some
# again.
test: deps
	+$(Q)$(SUB) all integration-programs sim-programs
	+$(Q)$(SUB) SAN=1 unit-programs sim-programs
	+$(Q)$(if $(FUZZERS),$(SUB) FUZZ=1 fuzz-programs)
	$(Q)mkdir -p $(FUZZERS:%=$(BUILD)-fuzz/corpus/%) $(FUZZERS:%=tests/fuzz/corpus/%)
	$(Q)rm -f $(RESULTS)
	$(Q)$(SAN_ENV) $(RUN) -j $(JOBS) -t 120 $(UNIT:$(OUT)/%=$(BUILD)-san/%) || true
	$(Q)$(SAN_ENV) $(RUN) -j $(JOBS) -t 600 \
	    "$(BUILD)/bin/weir-models --first $(MORE) --seeds 9000" \
	    "$(BUILD)-san/bin/weir-sim --first $(FIRST) --seeds 1000" \
	    "$(BUILD)-san/bin/weir-models --first $(FIRST) --seeds 1000" || true
	$(Q)WEIR_BIN=$(abspath $(BUILD))/bin $(RUN) -j $(JOBS) -t 240 \
	    $(filter-out %/test_topologies,$(INTEGRATION)) $(INTEGRATION_SH) || true
	$(Q)WEIR_BIN=$(abspath $(BUILD))/bin $(RUN) -t 240 $(filter %/test_topologies,$(INTEGRATION)) || true
	$(Q)$(if $(FUZZERS),$(RUN) -j $(JOBS) -t 60 $(call fuzz_runs,10) || true)
	$(Q)$(RUN) -s

# While working: `make unit T=store/dag` builds and runs what the pattern finds, under ASan/UBSan.
unit:
	+$(Q)$(SUB) SAN=1 $(patsubst $(OUT)/%,$(BUILD)-san/%,$(filter $(OUT)/tests/$(T)%,$(UNIT)))
	$(Q)rm -f $(RESULTS)
	$(Q)$(SAN_ENV) $(RUN) -j $(JOBS) -t 120 \
	    $(patsubst $(OUT)/%,$(BUILD)-san/%,$(filter $(OUT)/tests/$(T)%,$(UNIT))) || true
	$(Q)$(RUN) -s

integration:
	+$(Q)$(SUB) all integration-programs
	$(Q)rm -f $(RESULTS)
	$(Q)WEIR_BIN=$(abspath $(BUILD))/bin $(RUN) -t 240 \
	    $(foreach t,$(INTEGRATION) $(INTEGRATION_SH),$(if $(findstring $(T),$t),$t)) || true
	$(Q)$(RUN) -s

sim:
	+$(Q)$(SUB) sim-programs
	$(BUILD)/bin/weir-sim --first $(FIRST) --seeds $(SEEDS) --jobs $(JOBS) \
	    $(if $(NODES),--nodes $(NODES))

models:
	+$(Q)$(SUB) sim-programs
	$(BUILD)/bin/weir-models --first $(FIRST) --seeds $(SEEDS)

fuzz:
	+$(Q)$(SUB) FUZZ=1 fuzz-programs
	$(Q)mkdir -p $(FUZZERS:%=$(BUILD)-fuzz/corpus/%) $(FUZZERS:%=tests/fuzz/corpus/%)
	$(Q)rm -f $(RESULTS)
	$(Q)$(RUN) -j $(JOBS) -t $$(($(SECONDS) + 60)) $(call fuzz_runs,$(SECONDS)) || true
	$(Q)$(RUN) -s

# Real processes under faults, longer than in `make test`: a minute of kill -9 for each seed from
# FIRST on, bad links, a thousand entries of each node in every topology.
CHAOS_SEEDS ?= 3
CHAOS = WEIR_BIN=$(abspath $(BUILD))/bin WEIR_KILL_SECONDS=60 WEIR_TOPOLOGY_ENTRIES=1000
chaos_runs = $(foreach t,$1,$(filter %/$t,$(INTEGRATION)))
chaos:
	+$(Q)$(SUB) all integration-programs
	$(Q)rm -f $(RESULTS)
	$(Q)for seed in $$(seq $(FIRST) $$(($(FIRST) + $(CHAOS_SEEDS) - 1))); do \
	    $(CHAOS) WEIR_KILL_SEED=$$seed WEIR_LINKS_SEED=$$seed $(RUN) -t 600 \
	        $(call chaos_runs,test_kill test_kill_net test_links); done || true
	$(Q)$(CHAOS) $(RUN) -t 900 $(call chaos_runs,test_topologies) || true
	$(Q)$(RUN) -s

# Minutes to hours: valgrind over the unit tests, TSan over the committer thread, the analyzers of
# gcc and clang, minutes of kill -9, the README in two fresh roots.
VALGRIND := valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite \
            --error-exitcode=99 --suppressions=tests/valgrind.supp
check-slow: deps
	+$(Q)$(SUB) all unit-programs integration-programs
	+$(Q)$(SUB) TSAN=1 $(patsubst $(OUT)/%,$(BUILD)-tsan/%,$(filter $(OUT)/tests/store/kv/%,$(UNIT)))
	$(Q)rm -f $(RESULTS)
	$(Q)$(RUN) -j $(JOBS) -t 1200 $(UNIT:%="$(VALGRIND) %") || true
	$(Q)TSAN_OPTIONS=halt_on_error=1 $(RUN) -t 600 \
	    $(patsubst $(OUT)/%,$(BUILD)-tsan/%,$(filter $(OUT)/tests/store/kv/%,$(UNIT))) || true
	$(Q)$(CHAOS) $(RUN) -t 900 $(call chaos_runs,test_kill test_kill_net test_topologies) || true
	$(Q)$(RUN) -t 1800 "tests/lint/analyze.sh $(BUILD)" "tests/lint/tidy.sh $(BUILD) slow" \
	    $(wildcard tests/readme.sh) || true
	$(Q)$(RUN) -s

coverage: deps
	+$(Q)$(SUB) COV=1 all unit-programs sim-programs integration-programs
	$(Q)find $(BUILD)-cov -name '*.gcda' -delete
	$(Q)rm -f $(RESULTS)
	$(Q)$(RUN) -j $(JOBS) -t 300 $(UNIT:$(OUT)/%=$(BUILD)-cov/%) || true
	$(Q)$(if $(SIM),$(RUN) -t 600 "$(BUILD)-cov/bin/weir-sim --first 1 --seeds 200" || true)
	$(Q)$(if $(MODELS),$(RUN) -t 600 "$(BUILD)-cov/bin/weir-models --first 1 --seeds 200" || true)
	$(Q)WEIR_BIN=$(abspath $(BUILD))-cov/bin $(RUN) -t 600 \
	    $(INTEGRATION:$(OUT)/%=$(BUILD)-cov/%) $(INTEGRATION_SH) || true
	$(Q)tests/coverage.sh $(BUILD)-cov tests/coverage.txt

lint:
	$(Q)docker/deps.sh docker/packages.txt build lint
	+$(Q)$(SUB) all
	$(Q)tests/lint/lint.sh $(BUILD)

topologies:
	+$(Q)$(SUB) sim-programs
	$(BUILD)/bin/weir-sim --shape all

# ---- the rest -------------------------------------------------------------------------------

# Rewrites in place: FILES, or all.
format:
	$(Q)clang-format -i $(or $(FILES),$(shell git ls-files '*.c' '*.h'))

# The main job on this machine: a hub and two devices, real data, a cut, a heal, figures.
run:
	$(Q)docker/deps.sh docker/packages.txt build run demo
	+$(Q)$(SUB) all
	$(Q)WEIR_BIN=$(abspath $(BUILD))/bin bins/demo.sh

# Also $(OUT)/bench/*: single modules on one thread, without processes.
bench: all $(BENCHES)
	$(OUT)/bin/weir bench commit
	$(OUT)/bin/weir bench sync --entries 100000 --payload 100
	$(OUT)/bin/weir bench live

deps:
	$(Q)docker/deps.sh docker/packages.txt build run test

docker:
	docker build -f docker/Dockerfile -t weir .

docker-test:
	$(Q)mkdir -p $(BUILD)
	$(Q)rm -f $(RESULTS)
	$(Q)$(RUN) -t 1800 $(wildcard tests/docker/*.sh) || true
	$(Q)$(RUN) -s

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(foreach p,$(PROGRAMS),$(if $(wildcard bins/$p.c),$(OUT)/bin/$p)) \
	    $(DESTDIR)$(PREFIX)/bin
	$(if $(wildcard docs/man/*.1),install -d $(DESTDIR)$(PREFIX)/share/man/man1)
	$(if $(wildcard docs/man/*.1),install -m 644 $(wildcard docs/man/*.1) \
	    $(DESTDIR)$(PREFIX)/share/man/man1)

clean:
	rm -rf $(BUILD) $(BUILD)-san $(BUILD)-tsan $(BUILD)-cov $(BUILD)-fuzz

help:
	@echo 'make              build the programs into $(BUILD)/bin'
	@echo 'make run          install what is missing, build, run the demonstration'
	@echo 'make test         install what is missing, build, run every test without containers'
	@echo 'make unit T=DIR   build and run the unit tests under tests/DIR'
	@echo 'make integration T=WORD    the tests with real processes whose name has WORD'
	@echo 'make sim SEEDS=N FIRST=S NODES=N   the simulator; a seed repeats a run exactly'
	@echo 'make topologies   what a body costs in each topology, for docs/topologies.md'
	@echo 'make models SEEDS=N        random histories against slow, obvious models'
	@echo 'make fuzz SECONDS=N        each fuzzer for so long, two at a time'
	@echo 'make chaos FIRST=S CHAOS_SEEDS=N   kill processes and break links under load, for longer'
	@echo 'make check-slow   valgrind, TSan, gcc -fanalyzer, the README in fresh roots'
	@echo 'make coverage     line coverage against tests/coverage.txt'
	@echo 'make lint         floors, purity, style and static analysis'
	@echo 'make format FILES="..."    clang-format in place'
	@echo 'make bench        the figures of weir bench'
	@echo 'make docker       the image; make docker-test proves it'
	@echo 'make install PREFIX=DIR DESTDIR=DIR'
	@echo 'make deps         install the packages of docker/packages.txt that are missing'
	@echo 'make clean'
	@echo 'With BUILD=DIR everything goes there; V=1 shows the commands; WERROR=0 forgives.'

.PHONY: all test unit integration sim topologies models fuzz chaos check-slow coverage lint format run bench deps \
        docker docker-test install clean help \
        unit-programs sim-programs integration-programs fuzz-programs
.SECONDARY:

-include $(shell [ -d $(OUT)/obj ] && find $(OUT)/obj -name '*.d')
