# SPDX-License-Identifier: MIT
# Two commands: `make demo` and `make check`. `make help` lists the rest.
CC       = cc
MARCH   := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v3)
CFLAGS   = -O3 -g $(MARCH)
WARN     = -Wall -Wextra -Wpedantic -Wshadow
STD      = -std=gnu11 -ffp-contract=off
B        = build
PREFIX   = /usr/local

# pkg-config names; libjpeg is libjpeg-turbo on Debian, openblas the OpenMP build
PKGS     = libarchive libjpeg libpng libwebp msgpack libxxhash libpcre2-8 libutf8proc jansson openblas
PKGCFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKGLIBS  := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

CPPFLAGS = -D_GNU_SOURCE -Icommon -I. -DDC_VERSION='"$(VERSION)"' -DDC_CFLAGS='"$(CFLAGS)"'
LDLIBS   = $(PKGLIBS) -fopenmp -lm -lpthread

LIBSRC   = $(sort $(wildcard common/*/*.c))
TOOLS    = $(sort $(patsubst tools/%.c,%,$(wildcard tools/dc-*.c)))
UNIT     = $(sort $(patsubst tests/%.c,%,$(wildcard tests/test_*.c)))
# tests of the numeric rooms in double: the same sources, dc_real = double
UNIT64   = $(sort $(patsubst tests/%.c,%,$(wildcard tests/test64_*.c)))

LIB      = $(B)/libdc.a
LIB64    = $(B)/libdc64.a
COMPILE  = $(CC) $(CPPFLAGS) $(PKGCFLAGS) $(STD) $(WARN) $(CFLAGS) -fopenmp -MMD -MP

all: $(TOOLS:%=$(B)/%)   ## build the tools into build/

tests-build: $(UNIT:%=$(B)/%) $(UNIT64:%=$(B)/%)

$(LIB): $(LIBSRC:%.c=$(B)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(LIB64): $(LIBSRC:%.c=$(B)/f64/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/dc-%: $(B)/tools/dc-%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/test_%: $(B)/tests/test_%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/test64_%: $(B)/f64/tests/test64_%.o $(LIB64)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/f64/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -DDC_DOUBLE -c -o $@ $<

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

clean:   ## remove what was built
	rm -rf build

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d $(B)/*/*/*/*.d)
.SECONDARY:
.PHONY: all tests-build clean
