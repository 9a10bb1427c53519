#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-loss on N pairs of width 512 (SimSiam 1024): processor time of a step, the stream included, and peak memory. LONG=1: up
# to N = 16,384 for both methods.
. "${0%/*}/lib.sh"
LONG=${LONG:-}

loss() { # loss METHOD N TARGET
	steps=$(($2 > 4096 ? 1 : 2)) # nns has its first neighbours in the second
	kind=features
	[ "$1" != clip ] || kind=clip
	bench_frames $kind "$2" 512 $steps >"$tmp/features"
	dc-loss -v --method "$1" --nns-after 64 <"$tmp/features" 2>"$tmp/said" >/dev/null || { cat "$tmp/said" >&2; fail "N = $2"; }
	s=$(processor_s "dc-loss --method $1 --nns-after 64 <'$tmp/features'")
	mb=$(sed -n 's/.* \([0-9]*\) MB$/\1/p' "$tmp/said" | head -n 1)
	row loss "$1, N = $2: a step" "$(calc "$s / $steps" 3)" 'processor s' - - - -
	row loss "$1, N = $2: peak memory" "$mb" MB - - - "${3:--}"
}
for n in 256 1024 4096 ${LONG:+8192 16384}; do loss clip $n; done
for n in 256 1024; do loss declip $n; done
[ -z "$LONG" ] || loss declip 4096
[ -z "$LONG" ] || loss declip 8192 1000
[ -z "$LONG" ] || loss declip 16384
