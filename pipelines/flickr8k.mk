# SPDX-License-Identifier: MIT
# The ablation on Flickr8k: 6,000 images with five captions each, scored on the 1,000 of the dev split. ablation.mk says
# what it leaves and how it goes on; every variable of it can be given here too.
#
#	make -f pipelines/flickr8k.mk FLICKR8K=../shared/data/flickr8k SEEDS='1 2 3'
FLICKR8K ?= ../shared/data/flickr8k
DATA    = $(FLICKR8K)/train-{000..011}.tar
TEST    = $(FLICKR8K)/dev-{000..001}.tar
CAPTION = json:captions
OUT    ?= flickr8k
ARCH   ?= vit-s64-p16
EPOCHS ?= 20
BATCH  ?= 128
VAL_EVERY ?= 94
BLUR   ?= 0.03,0.6
METHODS ?= clip clip-views mvs ss declip
# conv1 is trained in all of them, so that they differ in their supervision only
OPTIONS ?= --merges 4000 --freeze none
# Of 0.00025, 0.0005, 0.001 and 0.002 CLIP likes 0.0005 best on held-out training images; DeCLIP scores the same with
# 0.0005 and 0.001.
OPTIONS.mvs = --lr 0.0007
OPTIONS.ss = --lr 0.0007
OPTIONS.declip = --lr 0.0007
include $(dir $(lastword $(MAKEFILE_LIST)))ablation.mk
