#!/bin/sh
# SPDX-License-Identifier: MIT
# Captions in many languages, and emoji, from the shard to the tokens: none is refused, none is lost.
. "${0%/*}/lib.sh"
need_python
for tool in dc-decode dc-augment dc-tokenize; do
	[ -x "$DC_BIN/$tool" ] || skip_all "$tool is not built"
done
vocab=$DATA/clip/bpe_simple_vocab_16e6.txt.gz
set -- "$DATA"/text/captions.*.txt
[ -f "$vocab" ] && [ -f "$1" ] || skip_all "no captions in $DATA"
py() { "$PYTHON" "$top/tests/reference/check_captions.py" "$@"; }

check "a shard with captions from $# files" py make captions.tar "$@"
run 0 'dc-decode takes them all' sh -c 'dc-decode --batch 64 --epochs 1 --rejects rejects.tsv captions.tar >samples.dcs'
[ ! -s rejects.tsv ] || [ "$(grep -vc '^#\|^shard' rejects.tsv)" -eq 0 ]; ok $? 'and rejects none'
py samples captions.tar <samples.dcs 2>err; ok $? 'every caption is there, unchanged'
run 0 'views and tokens' sh -c "dc-augment --recipe declip --size 16 <samples.dcs | dc-tokenize --vocab '$vocab' >batches.dcs"
py batches captions.tar 49408 <batches.dcs 2>err; ok $? 'every caption and its two views have proper tokens'
done_testing
