#!/bin/sh
# SPDX-License-Identifier: MIT
# AdamW's sweep over 2^25 parameters against a copy of memory by the same threads, both in GB/s of bytes read and written.
. "${0%/*}/lib.sh"
r=1
while [ $r -le "$ROUNDS" ]; do bench_adamw >>"$tmp/rates"; r=$((r + 1)); done
sweep=$(awk '$1 > x { x = $1 } END { print x }' "$tmp/rates") copy=$(awk '$2 > x { x = $2 } END { print x }' "$tmp/rates")
row optimizer 'AdamW: w, m, v, g read, w, m, v written' "$sweep" GB/s 'copy of memory' "$copy" "$(calc "$sweep / $copy")" -
