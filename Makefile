# SPDX-License-Identifier: MIT
# Two commands: `make demo` and `make check`. `make help` lists the rest.
CC       = cc
MARCH   := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v3)
CFLAGS   = -O3 -g $(MARCH)
WARN     = -Wall -Wextra -Wpedantic -Wshadow
# no contraction: the same bytes on any processor
# these two say that nobody looks at errno or at floating-point exceptions after the fact; no value changes by them,
# and without them gcc vectorises no loop with a condition in it
STD      = -std=gnu11 -ffp-contract=off -fno-math-errno -fno-trapping-math
B        = build
PREFIX   = /usr/local
JOBS    := $(shell nproc 2>/dev/null || echo 2)

MSGPACK := $(shell pkg-config --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)
# libjpeg is libjpeg-turbo on Debian
PKGS     = libarchive libjpeg libpng libwebp $(MSGPACK) libxxhash libutf8proc jansson zlib openblas liblbfgs
PKGCFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKGLIBS  := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

# faster than OpenBLAS with floats and AVX-512; it has no pkg-config file. `make ONEDNN=` builds without it
ONEDNN  := $(if $(wildcard /usr/include/oneapi/dnnl/dnnl.h),-ldnnl)

CPPFLAGS = -D_GNU_SOURCE -Icommon -I. -DDC_PREFIX='"$(PREFIX)"' $(if $(ONEDNN),-DDC_ONEDNN)
LDLIBS   = -Wl,--as-needed $(PKGLIBS) $(ONEDNN) -fopenmp -lm -lpthread
COMPILE  = $(CC) $(CPPFLAGS) $(PKGCFLAGS) $(STD) $(WARN) $(CFLAGS) -fopenmp -MMD -MP

# one short line a file; V=1 shows the commands, -s nothing
quiet    = $(if $(V),,@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,printf '%-3s %s\n' $(1) $(2);))

# only dc-mpi links OpenMPI; where that is not installed, all the rest is built
MPILIBS  := $(shell pkg-config --libs ompi-c 2>/dev/null)
MPISRC   = $(sort $(wildcard common/mpi/*.c))
LIBSRC   = $(filter-out $(MPISRC),$(sort $(wildcard common/*/*.c)))
# what goes through frames and shared files is float, in any build
LIBSRC64 = $(filter-out common/ring/%,$(LIBSRC))
TOOLS    = $(filter-out $(if $(MPILIBS),,dc-mpi),$(sort $(patsubst tools/%.c,%,$(wildcard tools/dc-*.c))))
UNIT     = $(sort $(patsubst tests/%.c,%,$(wildcard tests/test_*.c)))
# the numeric rooms once more with dc_real = double: gradients against central differences
UNIT64   = $(sort $(patsubst tests/%.c,%,$(wildcard tests/test64_*.c)))
# harnesses over any bytes: run by libFuzzer (make fuzz), or over the files of tests/fuzz/corpus (make check)
FUZZ     = $(sort $(patsubst tests/fuzz/%.c,%,$(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))))
FUZZ_MAIN = $(B)/tests/fuzz/replay.o
BENCH    = $(sort $(patsubst tests/bench/%.c,bench_%,$(wildcard tests/bench/*.c)))
SHELLS   = $(sort $(wildcard tests/*.t))
LIB      = $(B)/libdc.a
LIB64    = $(B)/libdc64.a

all: $(TOOLS:%=$(B)/%)   ## build the tools into build/ (V=1 shows the commands)

tests-build: $(UNIT:%=$(B)/%) $(UNIT64:%=$(B)/%) $(FUZZ:%=$(B)/fuzz_%) $(B)/faultlib.so

$(LIB): $(LIBSRC:%.c=$(B)/%.o)
	@rm -f $@
	$(call quiet,AR,$@)$(AR) rcs $@ $^

$(LIB64): $(LIBSRC64:%.c=$(B)/f64/%.o)
	@rm -f $@
	$(call quiet,AR,$@)$(AR) rcs $@ $^

$(B)/dc-%: $(B)/tools/dc-%.o $(LIB)
	$(call quiet,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)

$(B)/dc-mpi: $(MPISRC:%.c=$(B)/%.o)
$(B)/dc-mpi: LDLIBS += $(MPILIBS)
$(MPISRC:%.c=$(B)/%.o): COMPILE += $(subst -I,-isystem ,$(shell pkg-config --cflags-only-I ompi-c 2>/dev/null))

$(B)/test_%: $(B)/tests/test_%.o $(LIB)
	$(call quiet,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/bench_%: $(B)/tests/bench/%.o $(LIB)
	$(call quiet,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/faultlib.so: tests/faultlib.c
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(CC) $(CPPFLAGS) -std=gnu11 $(WARN) -O1 -fPIC -shared -o $@ $< -ldl

$(B)/fuzz_%: $(B)/tests/fuzz/%.o $(FUZZ_MAIN) $(LIB)
	$(call quiet,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/test64_%: $(B)/f64/tests/test64_%.o $(LIB64)
	$(call quiet,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/f64/%.o: %.c
	@mkdir -p $(@D)
	$(call quiet,CC,'$< (double)')$(COMPILE) -DDC_DOUBLE -c -o $@ $<

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call quiet,CC,$<)$(COMPILE) -c -o $@ $<

# --version says what was built: this one file follows every commit
$(B)/common/base/opts.o $(B)/f64/common/base/opts.o: CPPFLAGS += -DDC_VERSION='"$(VERSION)"' -DDC_CFLAGS='"$(CFLAGS)"'
$(B)/common/base/opts.o $(B)/f64/common/base/opts.o: $(B)/version
$(B)/version: FORCE
	@mkdir -p $(B)
	@echo '$(VERSION) $(CFLAGS)' | cmp -s - $@ || echo '$(VERSION) $(CFLAGS)' >$@

deps:   ## install the Debian packages that are missing (as root or through sudo)
	@sh pipelines/deps.sh

# Installed packages change what pkg-config says, so the work itself is a second make.
demo: deps   ## train a small DeCLIP on synthetic scenes, score it, show the results (DATA=, TEST= for your shards)
	@$(MAKE) -s -j$(JOBS) all
	@DC_BIN='$(abspath $(B))' bash pipelines/demo.sh $(if $(DATA),--data '$(DATA)') $(if $(TEST),--test '$(TEST)')

# Other variables of ablation.mk, such as SEEDS=1, go through; the scenes are drawn once. A dry run (-n) does without them. On
# the scenes all methods have CLIP's views: DeCLIP's change the colours, which the captions name, and cut shapes off.
dry = $(findstring n,$(filter-out -%,$(firstword $(MAKEFLAGS))))
ablation: deps   ## the paper's ablation on synthetic scenes, 4 methods x 3 seeds in half an hour (DATA=, TEST= for your shards)
	@$(MAKE) -s -j$(JOBS) all
	@[ -n '$(DATA)' ] || [ -f ablation/scenes/.done ] || { mkdir -p ablation && $(B)/dc-scenes --out ablation/scenes --train 6000 --test 1000 \
	    --seed 1 && touch ablation/scenes/.done; }
	@DC_BIN='$(abspath $(B))' $(MAKE) --no-print-directory -f pipelines/ablation.mk $(if $(DATA),,DATA='ablation/scenes/train-{000..005}.tar' \
	    TEST=ablation/scenes/test-000.tar BLUR=0.1,1 $(if $(METHODS),,METHODS='clip mvs-crops ss-crops declip-crops') $(if $(BATCH),,BATCH=64) $(if $(EPOCHS),,EPOCHS=10) $(if $(VAL_EVERY),,VAL_EVERY=94)$(if $(dry),$(if $(wildcard ablation/scenes/.done),, NOT_YET=1)))

check: deps   ## build and pass every test
	@$(MAKE) -s -j$(JOBS) all tests-build
	@$(MAKE) -s prove

prove: all tests-build
	OMP_WAIT_POLICY=passive DC_BIN='$(abspath $(B))' prove -j$(JOBS) $(PROVE) $(UNIT:%=$(B)/%) $(UNIT64:%=$(B)/%) $(SHELLS)

# DC_TORCH_PYTHON names the Python with the references; tests/parity/run.sh says how to install what is missing
parity: deps   ## every stage against Pillow, torchvision, open_clip, ftfy, PyTorch, live: one table (STAGES= for some)
	@$(MAKE) -s -j$(JOBS) all >&2
	@DC_BIN='$(abspath $(B))' DC_COMPILE='$(CC) $(STD) $(CFLAGS) -D_GNU_SOURCE' sh tests/parity/run.sh $(STAGES)

bench: deps   ## how fast, in ratios taken in one run: one table (ROWS= for some, ROUNDS=3)
	@$(MAKE) -s -j$(JOBS) all $(BENCH:%=$(B)/%)
	@DC_BIN='$(abspath $(B))' sh tests/bench/run.sh $(ROWS)

bench-peers:   ## the same beside the Python peers that DC_TORCH_PYTHON has
	@PEERS=1 $(MAKE) -s bench

check-long: check asan lint   ## check, then all tests under the sanitizers, then lint, every method on photographs, large losses, 500 faults
	@$(MAKE) -s family
	@$(MAKE) -s large-loss
	@$(MAKE) -s faults FAULTS=500

# METHODS= and ARCHS= for some, OUT= a directory that keeps the runs
family: all   ## every method on a ViT and a ResNet, 200 steps on Flickr8k: losses, the same bytes again, recall: one table
	@DC_BIN='$(abspath $(B))' METHODS='$(METHODS)' ARCHS='$(ARCHS)' STEPS='$(STEPS)' OUT='$(OUT)' bash tests/long/family.sh

large-loss: all   ## memory and time of the loss for N [16384] pairs at D = 512 (METHODS='clip declip'): one table
	@DC_BIN='$(abspath $(B))' N='$(or $(N),16384)' METHODS='$(METHODS)' bash tests/long/loss.sh

asan:   ## every test under the address and undefined-behaviour sanitizers
	$(MAKE) -j$(JOBS) B=build/asan MARCH= CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all' all tests-build
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 \
	    $(MAKE) B=build/asan MARCH= CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all' prove

# FAULTS_FROM= is the first one's number, FAULTS_SEED= another selection, FAULTS_OPTIONS=-v a line for each
FAULTS ?= 100
faults: deps   ## faults put into whole rings: what dies is named, what goes on has the same bytes: one table (FAULTS=500)
	@$(MAKE) -s -j$(JOBS) all $(B)/faultlib.so
	@DC_BIN='$(abspath $(B))' /usr/bin/python3 tests/faults.py --faults $(FAULTS) --from $(or $(FAULTS_FROM),0) --seed $(or $(FAULTS_SEED),0) $(FAULTS_OPTIONS)

# FUZZ= for some of them, FUZZ_SECONDS= of processor time for each; FUZZ_DIR= keeps corpus, findings and ledger elsewhere than in build/fuzz
FUZZ_CFLAGS = -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DDC_LIBFUZZER
fuzz:   ## every parser of foreign bytes under libFuzzer and the sanitizers (clang), a minute each: one table, and a ledger
	@$(MAKE) -s -j$(JOBS) B=build/fuzz CC=clang MARCH= CFLAGS='$(FUZZ_CFLAGS)' WARN='$(WARN) -Wno-pass-failed' \
	    LDFLAGS=-fsanitize=fuzzer FUZZ_MAIN= $(FUZZ:%=build/fuzz/fuzz_%)
	@FUZZ_SECONDS='$(FUZZ_SECONDS)' FUZZ_DIR='$(FUZZ_DIR)' sh tests/fuzz/run.sh build/fuzz $(FUZZ)

# TESTS= for some; the large ones take valgrind an hour
MEMORY   = test_adamw test_config test_half test_mask test_safetensors test_stream test_tar
valgrind: tests-build   ## the rooms' unit tests under valgrind (TESTS= for others)
	OMP_NUM_THREADS=1 prove -e 'valgrind -q --error-exitcode=9 --leak-check=no' $(addprefix $(B)/,$(or $(TESTS),$(MEMORY)))

# OpenMP's runtime is not built for this sanitizer: one thread of it; the threads are the pool's, the sender's, the watchdog's
TSAN     = B=build/tsan MARCH= CFLAGS='-O1 -g -fsanitize=thread'
tsan:   ## tools with threads under the thread sanitizer
	$(MAKE) -j$(JOBS) $(TSAN) all $(patsubst %,build/tsan/%,test_stream test_tar)
	OMP_NUM_THREADS=1 RING_THREADS=1 TSAN_OPTIONS=halt_on_error=1:exitcode=66 DC_BIN='$(abspath build/tsan)' prove build/tsan/test_stream build/tsan/test_tar \
	    $(or $(TESTS),$(addprefix tests/,decode.t augment.t files.t filter.t stall.t stats.t tokenize.t))

SECONDS  = 7200
soak: all   ## the ring on small data for SECONDS [7200]: fails where memory or descriptors grow (SOAK_DIR= to go on another day)
	DC_BIN='$(abspath $(B))' SOAK_DIR='$(SOAK_DIR)' sh tests/soak.sh $(SECONDS)

# COVERAGE=all: the shell tests too
coverage: deps   ## lines of each room that the unit tests and the fuzzers' corpora run (gcov): one table
	@$(MAKE) -s -j$(JOBS) B=build/cov MARCH= CFLAGS='-O0 -g --coverage' all $(UNIT:%=build/cov/%) $(FUZZ:%=build/cov/fuzz_%) build/cov/faultlib.so
	@find build/cov -name '*.gcda' -delete
	@DC_BIN='$(abspath build/cov)' prove -j$(JOBS) $(UNIT:%=build/cov/%) tests/fuzz.t $(if $(COVERAGE),$(filter-out tests/fuzz.t,$(SHELLS)))
	@sh tests/coverage.sh build/cov

lint: deps   ## man pages, shell, and C by two compilers and cppcheck
	mandoc -T lint -W warning man/*.[157]
	shellcheck -S warning $(wildcard pipelines/*.sh pipelines/examples/*.sh) tests/long/*.sh .ci/run
	shellcheck -s sh -S warning -x -P tests tests/*.t tests/lib.sh tests/soak.sh tests/parity/run.sh tests/bench/*.sh tests/fuzz/run.sh tests/coverage.sh
	$(MAKE) -s -j$(JOBS) B=build/lint-gcc CC=gcc WARN='$(WARN) -Werror' all tests-build
	$(MAKE) -s -j$(JOBS) B=build/lint-clang CC=clang CFLAGS='-O1 $(MARCH)' WARN='$(WARN) -Werror -Wno-pass-failed' lint-objects
	cppcheck -q --error-exitcode=1 --enable=warning,portability --inline-suppr --suppress=missingIncludeSystem \
	    --suppress=internalAstError -Icommon -I. -D_GNU_SOURCE -DDC_VERSION='"x"' -DDC_CFLAGS='"x"' -DDC_PREFIX='"x"' -j$(JOBS) common tools
	! grep -nE '[[:blank:]]+$$' $(LIBSRC) tools/*.c tests/*.[ch] tests/fuzz/*.[ch] tests/*.t tests/parity/* pipelines/*.sh man/* Makefile
lint-objects: $(LIBSRC:%.c=$(B)/%.o) $(TOOLS:%=$(B)/tools/%.o) $(if $(MPILIBS),$(MPISRC:%.c=$(B)/%.o))

# Below PREFIX/share/dc is what pipelines/ is here; dcstream.py, the stream in Python, lies with the examples that import it.
install: all   ## install tools, man pages, pipelines and examples below PREFIX [/usr/local]
	@$(MAKE) --no-print-directory install-files
share = $(DESTDIR)$(PREFIX)/share
install-files:
	install -d $(DESTDIR)$(PREFIX)/bin $(share)/man/man1 $(share)/man/man5 $(share)/man/man7 \
	    $(share)/dc/arch $(share)/dc/methods $(share)/dc/recipes $(share)/dc/examples
	install $(TOOLS:%=$(B)/%) $(DESTDIR)$(PREFIX)/bin
	for s in 1 5 7; do install -m 644 man/*.$$s $(share)/man/man$$s || exit; done
	install pipelines/*.sh $(share)/dc
	install -m 644 pipelines/*.mk pipelines/*.awk $(share)/dc
	install -m 644 pipelines/arch/*.json $(share)/dc/arch
	install -m 644 pipelines/methods/*.conf $(share)/dc/methods
	install -m 644 pipelines/recipes/*.conf $(share)/dc/recipes
	install pipelines/examples/*.py pipelines/examples/*.sh $(share)/dc/examples
	install -m 644 tests/reference/dcstream.py $(share)/dc/examples

help:   ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

clean:   ## remove what was built
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.SECONDARY:
FUZZ_SECONDS ?= 60
.PHONY: valgrind tsan soak all tests-build deps demo ablation check prove parity bench bench-peers check-long family large-loss asan coverage faults fuzz lint lint-objects install install-files help clean FORCE
