#!/bin/sh
# SPDX-License-Identifier: MIT
# The whole ring on small data for a long time: memory, descriptors and processor time of every tool, and pairs a second, by
# the minute. Fails where memory or descriptors grow, or where a pair comes to cost more.
#
#	tests/soak.sh [SECONDS [EVERY]]     7200 and 60; `make soak SECONDS=14400`
#	SOAK_DIR=DIR tests/soak.sh 3600     the run and the table stay in DIR; once more with the same DIR, it goes on
. "${0%/*}/lib.sh"
keep=$(realpath -m "${SOAK_DIR:-$tmp/kept}") || exit 99
# shellcheck source=ring.sh
. "$top/tests/ring.sh"
seconds=${1:-7200} every=${2:-60}
mkdir -p "$keep"
run=$keep/run table=$keep/table.tsv
shards='scenes/train-{000..002}.tar'   # where that is changes from call to call, and the run must not
[ -d "$run" ] || cp -r first "$run"
[ -s "$table" ] || printf 'session\tseconds\tstep\ttool\tanonymous_kb\trss_kb\tdescriptors\tcpu_s\tpairs_per_s\tpairs_per_cpu_s\n' >"$table"
session=$(($(tail -n 1 "$table" | cut -f 1 | sed 's/[^0-9]//g; s/^$/0/') + 1))
began_at=0
[ ! -s "$run/log.tsv" ] || began_at=$(tail -n 1 "$run/log.tsv" | cut -f 1)
RING_SECONDS=$((seconds + 3600)) # else a ring is killed after five minutes
# shellcheck disable=SC2086
start "$run" $options --steps 100000000 --save-every 200 --keep 3
until_true reached "$run" $((began_at + 20)); ok $? "session $session: the ring trains, from step $began_at"

step() { tail -n 1 "$run/log.tsv" | cut -f 1; }
of_tool() { # of_tool TOOL: memory of its own, all that is resident, descriptors, seconds of processor time
	pid=$(cat "pids/$1")
	awk -v OFS='\t' -v ticks="$(getconf CLK_TCK)" -v fds="$(find "/proc/$pid/fd" -mindepth 1 2>/dev/null | wc -l)" '
		FILENAME ~ /stat$/ { sub(/.*\) /, ""); cpu = ($12 + $13) / ticks; next }
		/^Anonymous:/ { own = $2 } /^Rss:/ { rss = $2 } END { print own, rss, fds, cpu }' "/proc/$pid/stat" "/proc/$pid/smaps_rollup"
}
# A row for each tool, and one for all, with what they did since the sample before: $was_* .
sample() {
	now=$(date +%s.%N) at=$(step)
	for tool in $tools; do printf '%s\t%s\n' "$tool" "$(of_tool "$tool")"; done >rows.now 2>err || return
	awk -F '\t' -v OFS='\t' -v session=$session -v now="$now" -v began="$began" -v step="$at" -v was="$was" -v was_step="$was_step" -v was_cpu="$was_cpu" '
		NF < 5 { next }
		{ print session, int(now - began), step, $0, "-", "-"; own += $2; rss += $3; fds += $4; cpu += $5 }
		END {
			pairs = (step - was_step) * 8
			print session, int(now - began), step, "all", own, rss, fds, cpu, sprintf("%.1f", pairs / (now - was)), \
			    sprintf("%.1f", cpu > was_cpu ? pairs / (cpu - was_cpu) : 0)
		}' rows.now >rows.new
	was=$now was_step=$at was_cpu=$(awk -F '\t' '$4 == "all" { print $8 }' rows.new)
	[ "${1-}" = first ] || tee -a "$table" <rows.new
}
began=$(date +%s.%N) until=$(($(date +%s) + seconds))
was=0 was_step=0 was_cpu=0
sample first
head -n 1 "$table"
while [ "$(date +%s)" -lt $until ] && ! none_left; do
	sleep "$every"
	none_left || sample
done
kill -s TERM "$ring"
wait "$job"; [ $? -eq 4 ]; ok $? "the ring trained for $seconds s and stops when it is asked to"

# The first third of a session is for warming up. Of the rest, the second half must need no more than the first: the mean
# of the memory, the most descriptors. Memory of one's own (anonymous) does not depend on who else maps the same files.
awk -F '\t' '
	NR > 1 { s = $1 SUBSEP $4; k = ++n[s]; own[s, k] = $5; rss[s, k] = $6; fds[s, k] = $7; if (!(s in seen)) { seen[s] = 1; order[++m] = s } }
	END {
		printf "%-8s%-13s%8s%14s%12s%14s%12s%13s\n", "session", "tool", "samples", "own mem., kB", "at the end", "resident, kB", "at the end", "descriptors"
		for (j = 1; j <= m; j++) {
			s = order[j]; split(s, part, SUBSEP)
			h = int(n[s] / 3); b = n[s] - h; a = b - h; one = two = r1 = r2 = f1 = f2 = 0
			for (i = 1; i <= h; i++) {
				one += own[s, a + i] / h; two += own[s, b + i] / h; r1 += rss[s, a + i] / h; r2 += rss[s, b + i] / h
				if (fds[s, a + i] > f1) f1 = fds[s, a + i]
				if (fds[s, b + i] > f2) f2 = fds[s, b + i]
			}
			grows = h >= 5 && (two > 1.02 * one + 512 || part[2] != "all" && f2 > f1)
			printf "%-8s%-13s%8d%14d%12d%14d%12d%7d, %4d%s\n", part[1], part[2], n[s], one, two, r1, r2, f1, f2, \
			    h < 5 ? "   too short to tell" : grows ? "   GROWS" : ""
			bad = bad || grows
			long = long || h >= 5
		}
		exit bad || !long
	}' "$table" >err; code=$?
sed 's/^/# /' err; ok $code 'no tool grows, in memory or in descriptors'
# The first hour beside the last, or thirds of what there is: by the clock, which depends on who else is there, and by
# processor time, which does so less; but a ring that hardly gets a processor finds its caches cold, and that tells nothing.
awk -F '\t' -v every="$every" '
	NR > 1 && $4 == "all" { rate[++n] = $9; cost[n] = $10; fresh = $1 != session; cpu[n] = fresh ? 0 : $8 - was_cpu; s[n] = fresh ? 0 : $2 - was_s
		session = $1; was_cpu = $8; was_s = $2 }
	function part(from, h,  i, r, c, t, u) {
		for (i = from; i < from + h; i++) { r += rate[i] / h; c += cost[i] / h; t += cpu[i]; u += s[i] }
		printf "%10.1f pairs a second, %10.1f a second of processor time, of which it had %.2f\n", r, c, u ? t / u : 0
		by_clock[from] = r; by_cpu[from] = c; had[from] = u ? t / u : 0
	}
	END {
		h = int(n / 3); if (h * every > 3600) h = int(3600 / every)
		if (h < 2) { print "too short to tell"; exit 1 }
		z = n - h + 1
		printf "first %5d s: ", h * every; part(1, h)
		printf "last  %5d s: ", h * every; part(z, h)
		printf "last / first: by the clock %.3f, by processor time %.3f\n", by_clock[z] / by_clock[1], by_cpu[z] / by_cpu[1]
		exit by_cpu[z] >= 0.9 * by_cpu[1] ? 0 : had[z] < 0.5 * had[1] ? 2 : 1
	}' "$table" >err; code=$?
sed 's/^/# /' err
if [ $code -eq 2 ]; then skip 'others had the processors at the end' 'a pair costs at the end what it did at the beginning'
else ok $code 'a pair costs at the end what it did at the beginning'; fi
run 0 'every checkpoint is whole' dc-step --verify "$run"
check 'no number is not finite' sh -c '! grep -qw inf "$1/log.tsv"' - "$run"
done_testing
