#!/bin/sh
# SPDX-License-Identifier: MIT
# The whole ring on small data for a long time: memory and descriptors of every tool, and pairs a second, by the minute.
# Fails where they grow.
#
#	tests/soak.sh [SECONDS [EVERY]]     7200 and 60; `make soak SECONDS=14400`
. "${0%/*}/lib.sh"
# shellcheck source=ring.sh
. "$top/tests/ring.sh"
seconds=${1:-7200} every=${2:-60}
begin soaked
RING_SECONDS=$((seconds + 3600)) # else a ring is killed after five minutes
# shellcheck disable=SC2086
start soaked $options --steps 100000000 --save-every 200 --keep 3
until_true reached soaked 20
began=$(date +%s) table=$tmp/table
printf 'seconds\tsteps\tpairs_per_s\ttool\tpss_kb\trss_kb\tdescriptors\n' | tee "$table"
step=$(tail -n 1 soaked/log.tsv | cut -f 1) then=$began
while [ $(($(date +%s) - began)) -lt "$seconds" ] && ! none_left; do
	sleep "$every"
	now=$(date +%s) last=$step
	step=$(tail -n 1 soaked/log.tsv | cut -f 1)
	for tool in $tools; do
		pid=$(cat "pids/$tool")
		awk -v OFS='\t' -v t=$((now - began)) -v s="$step" -v r=$(((step - last) * 8 / (now > then ? now - then : 1))) -v tool="$tool" \
		    -v fds="$(find "/proc/$pid/fd" -mindepth 1 2>/dev/null | wc -l)" '
			/^Pss:/ { pss = $2 } /^Rss:/ { rss = $2 } END { print t, s, r, tool, pss, rss, fds }' "/proc/$pid/smaps_rollup" | tee -a "$table"
	done
	then=$now
done
kill -s TERM "$ring"
wait "$job"; [ $? -eq 4 ]; ok $? "the ring trained for $seconds s and stops when it is asked to"
# the first third is for warming up: what comes after it must stay as it is
awk -F '\t' '
	NR > 1 { k = ++n[$4]; pss[$4, k] = $5; fds[$4, k] = $7; rate[k] = $3 }
	END {
		for (t in n) {
			a = int(n[t] / 3) + 1; b = n[t]; h = int((b - a + 1) / 2); one = two = 0
			for (i = a; i < a + h; i++) one += pss[t, i] / h
			for (i = b - h + 1; i <= b; i++) two += pss[t, i] / h
			printf "%s: %d kB, then %d kB; %d descriptors, then %d\n", t, one, two, fds[t, a], fds[t, b]
			if (h < 1 || two > 1.02 * one + 1024 || fds[t, b] > fds[t, a]) bad = 1
		}
		exit bad
	}' "$table" >err; code=$?
sed 's/^/# /' err; ok $code 'no tool grows, in memory or in descriptors'
run 0 'every checkpoint is whole' dc-step --verify soaked
check 'no number is not finite' sh -c '! grep -qw "inf" soaked/log.tsv'
done_testing
