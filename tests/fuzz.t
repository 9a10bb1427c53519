#!/bin/sh
# SPDX-License-Identifier: MIT
# The fuzzers' corpora, seeds and what was ever found, through their harnesses: none ends in a signal or a failed check.
. "${0%/*}/lib.sh"
for dir in "$top"/tests/fuzz/corpus/*/; do
	h=$(basename "$dir")
	check "$h: every file of its corpus" sh -c 'ulimit -t 60; timeout 300 "$1" "$2"' - "$DC_BIN/fuzz_$h" "$dir"
done
check 'a corpus for each harness' sh -c 'cd "$1"/tests/fuzz && for h in *.c; do h=${h%.c}; [ "$h" = replay ] || [ -d "corpus/$h" ] || exit; done' - "$top"
done_testing
