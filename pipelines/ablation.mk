# SPDX-License-Identifier: MIT
# The ablation of the DeCLIP paper as one command: methods x seeds on your shards, trained, scored, compared.
#
#	make -f pipelines/ablation.mk DATA='train-{000..011}.tar' TEST='test-{000..001}.tar' SEEDS='1 2 3'
#
# leaves results.tsv, results.md, curves.tsv and ablation.png in OUT. Run again it continues what was interrupted and does
# what is missing, nothing else: a run's directory is named by method, seed and a hash of every option, of the
# architecture and of the shards' names and sizes. `make -n` prints what would be done. `tables` in place of the default
# target compares what is there; `list` says what is finished and what is not.
SHELL   := /bin/bash
here    := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
export PATH := $(or $(DC_BIN),$(here)/../build:$(here)/../../bin):$(PATH)

DATA    ?=
TEST    ?=
# Seeds in the order in which they are run: all methods with the first, then all with the second ...
SEEDS   ?= 1 2 3
# Files of METHOD_DIR or pipelines/methods; NAME@EPOCHS is one with a training of another length.
METHODS ?= clip mvs ss declip
METHOD_DIR ?= $(here)/methods
OUT     ?= ablation
ARCH    ?= vit-s64-p16
# Several of them: each in OUT/ARCH, and OUT/family.md, methods by encoders:
#	make -f pipelines/ablation.mk METHODS='clip slip filip declip defilip' ARCHS='rn50 vit-b-32' ...
ARCHS   ?=
EPOCHS  ?= 20
BATCH   ?= 128
CAPTION ?=
# Radius of the blur in pixels, for methods that blur: 0.1,2 suits 224 pixels, 0.03,0.6 suits 64
BLUR    ?=
# Further options of train.sh: for every method, and for one: OPTIONS.mvs = --lr 0.002
OPTIONS ?=
# Scored while training, for the learning curves, every VAL_EVERY steps; no choice depends on it. VAL= without.
VAL     ?= $(TEST)
VAL_EVERY ?= 50
# Zero-shot in place of recall: a file of the classes' names, and perhaps one of prompts, see train.sh
NAMES   ?=
PROMPTS ?=
THREADS ?=
KEEP    ?= 1

experiment = METHOD_DIR='$(METHOD_DIR)' ARCH='$(ARCH)' EPOCHS='$(EPOCHS)' BATCH='$(BATCH)' CAPTION='$(CAPTION)' BLUR='$(BLUR)' \
    OPTIONS='$(OPTIONS)' METHOD_OPTIONS='$(OPTIONS.$(firstword $(subst @, ,$(1))))' DATA_LIST='$(data_list)' '$(here)/experiment.sh'
score_options = $(if $(CAPTION),--caption '$(CAPTION)') $(if $(NAMES),--names '$(NAMES)') $(if $(PROMPTS),--prompts '$(PROMPTS)')

all: results

ifneq ($(ARCHS),)
each = $(basename $(notdir $(1)))
results tables list:
	@$(foreach a,$(ARCHS),$(MAKE) --no-print-directory -f '$(here)/ablation.mk' $@ ARCHS= ARCH='$(a)' OUT='$(OUT)/$(call each,$(a))' &&) true
ifeq ($(filter list,$(MAKECMDGOALS))$(findstring n,$(firstword -$(MAKEFLAGS))),)
	@awk -v methods='$(METHODS)' -v archs='$(foreach a,$(ARCHS),$(call each,$(a)))' -f '$(here)/family.awk' \
	    $(foreach a,$(ARCHS),'$(OUT)/$(call each,$(a))/results.tsv') >'$(OUT)/family.md.new'
	@mv '$(OUT)/family.md.new' '$(OUT)/family.md'
	@cat '$(OUT)/family.md'
endif
else

ifeq ($(filter help,$(MAKECMDGOALS)),)
$(if $(DATA),,$(error DATA= is needed, the shards to train on: make -f $(here)/ablation.mk help))
$(if $(TEST),,$(error TEST= is needed, the shards that are scored: make -f $(here)/ablation.mk help))
data_list := $(shell NOT_YET='$(NOT_YET)' '$(here)/experiment.sh' data '$(DATA)')
$(if $(filter 0,$(.SHELLSTATUS)),,$(error DATA=$(DATA): see above))
$(if $(data_list),,$(error DATA=$(DATA): no shards))
test_list := $(shell NOT_YET='$(NOT_YET)' '$(here)/experiment.sh' data '$(TEST)')
$(if $(filter 0,$(.SHELLSTATUS)),,$(error TEST=$(TEST): see above))
$(if $(test_list),,$(error TEST=$(TEST): no shards))
$(if $(NOT_YET),$(info # The shards are not there yet; the directories of the runs will have other hashes.))
# a run is scored again where the test set is another, and not trained
test_hash := $(shell { echo '$(test_list) $(score_options)'; cat /dev/null $(if $(NAMES),'$(NAMES)') $(if $(PROMPTS),'$(PROMPTS)') 2>/dev/null; } | sha256sum | head -c 6)
endif

# $(call rules,METHOD,SEED,NAME,OPTIONS)
define rules
names += $(3)
scores += $(OUT)/runs/$(3)/test-$(test_hash).tsv
$(OUT)/runs/$(3)/.trained: | $(OUT)/runs
	'$(here)/train.sh' -q --run '$(OUT)/runs/$(3)' --data '$(DATA)' $(4)\
	    $(if $(VAL),--val '$(VAL)' --val-every $(VAL_EVERY)) $(if $(NAMES),--val-names '$(NAMES)')\
	    $(if $(PROMPTS),--val-prompts '$(PROMPTS)') $(if $(KEEP),--keep $(KEEP)) $(if $(THREADS),--threads $(THREADS))
	@dc-step --version | head -n 1 >$$@
$(OUT)/runs/$(3)/test-$(test_hash).tsv: $(OUT)/runs/$(3)/.trained
	'$(here)/val.sh' --model '$(OUT)/runs/$(3)' --val '$(TEST)' $(score_options) >$$@.new && mv $$@.new $$@
	@$$(collect)
endef
named = $(or $(shell $(call experiment,$(1)) name '$(1)' '$(2)'),$(error $(1), seed $(2): see above))
define experiments
$(foreach s,$(SEEDS),$(foreach m,$(METHODS),$(eval $(call rules,$(m),$(s),$(call named,$(m),$(s)),$(subst $$,$$$$,$(shell $(call experiment,$(m)) options '$(m)' '$(s)'))))))
endef
$(if $(test_hash),$(experiments))

about = DATA='$(DATA)' TEST='$(TEST)' CAPTION='$(CAPTION)' ARCH='$(ARCH)' BATCH='$(BATCH)' EPOCHS='$(EPOCHS)' BLUR='$(BLUR)' OPTIONS='$(OPTIONS)' $(foreach \
    m,$(METHODS),$(if $(OPTIONS.$(m)),OPTIONS.$(m)='$(OPTIONS.$(m))'))
collect = ABOUT="$(subst ",,$(about))" '$(here)/collect.sh' '$(OUT)' '$(test_hash)' '$(METHODS)' $(names)

$(OUT)/runs:
	mkdir -p $@

results: $(scores)   ## train and score what is missing, and compare (the default)
	$(collect)
	@echo '$(OUT)/results.md'

tables:   ## compare what is there
	$(collect)

list:   ## which runs are finished
	@for n in $(names); do \
	    if [ -f '$(OUT)'/runs/$$n/test-$(test_hash).tsv ]; then s=finished; elif [ -f '$(OUT)'/runs/$$n/.trained ]; then s=trained; \
	    elif [ -f '$(OUT)'/runs/$$n/log.tsv ]; then s="step $$(tail -n 1 '$(OUT)'/runs/$$n/log.tsv | cut -f 1)"; else s=-; fi; \
	    printf '%s\t%s\n' $$n "$$s"; done

endif

help:   ## this
	@sed -n '2,10s/^#[	 ]\{0,1\}//p' '$(here)/ablation.mk'
	@echo; echo 'Variables, and what they are by default:'
	@sed -n '/^DATA /,/^KEEP /s/^/    /p' '$(here)/ablation.mk'
	@echo; echo 'Targets:'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/    \1\t\2/p' '$(here)/ablation.mk'

.PHONY: all results tables list help
.DELETE_ON_ERROR:
