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
EPOCHS ?= 40
BATCH  ?= 128
VAL_EVERY ?= 188
BLUR   ?= 0.03,0.6
# All on the same views, CLIP's: crops of 0.5 to 1 of the area. Those of the DeCLIP paper, made for 224 pixels and millions
# of images, leave too little of 64 pixels: with them everyone scores less (METHODS='clip-views mvs ss declip').
METHODS ?= clip mvs-crops ss-crops declip-crops
# conv1 is trained in all of them, so that they differ in their supervision only. The logit scale is free: where it would
# stay below 3, the floor that DeCLIP's recipe has costs several points.
OPTIONS ?= --merges 4000 --freeze none --logit-scale 0,4.6052
# Of 0.00025, 0.0005, 0.001 and 0.002 CLIP likes 0.0005 best on held-out training images, and DeCLIP 0.001 of 0.0005,
# 0.001 and 0.002.
OPTIONS.mvs-crops = --lr 0.001
OPTIONS.ss-crops = --lr 0.001
OPTIONS.declip-crops = --lr 0.001
OPTIONS.mvs = --lr 0.001
OPTIONS.ss = --lr 0.001
OPTIONS.declip = --lr 0.001
include $(dir $(lastword $(MAKEFILE_LIST)))ablation.mk
