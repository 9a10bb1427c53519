#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BUILD HARNESS...: each until it has used $FUZZ_SECONDS of processor time (user and system), from the corpus in the
# tree and from what earlier runs found worth keeping (corpus/ below $FUZZ_DIR [BUILD]); what makes one fail lies in findings/
# there. A row a harness; status 1 if there is a finding. ledger.tsv there gets a line for each piece of at most ten minutes,
# so that hours may be gathered in many runs: the column `in all` is its sum.
set -u
build=$1; shift
here=${0%/*}
seconds=${FUZZ_SECONDS:-60} dir=${FUZZ_DIR:-$build}
ledger=$dir/ledger.tsv
UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1; export UBSAN_OPTIONS
# a harness that dies leaves its files there; in memory, for there may be a million of them
TMPDIR=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/fuzz.XXXXXX") || exit 1; export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$dir"
[ -s "$ledger" ] || printf 'when\tversion\tharness\tuser_s\tsystem_s\texecutions\tfindings\n' >"$ledger"

# "USER SYSTEM": seconds of the children that have ended by the last `times`, which must not run in a subshell
used() { sed -n '2s/m/ /g; 2s/s//gp' "$TMPDIR/times" | awk '{ print $1 * 60 + $2, $3 * 60 + $4 }'; }
found() { find "$found" -type f | wc -l; }

# The fuzzer's limit for one input is on the wall, and goes on while the process is stopped or gets no processor: what took
# long is tried again, with a limit in processor time.
# shellcheck disable=SC3045
try_again() {
	for file in "$found"/timeout-* "$found"/slow-unit-*; do
		[ ! -f "$file" ] || ! (ulimit -t 20; exec "$build/fuzz_$h" "$file" >"$TMPDIR/again" 2>&1) || rm -f "$file"
	done
}

# One piece, of at most $1 seconds on the wall; $n is what it ran.
piece() {
	times >"$TMPDIR/times"; before=$(used)
	"$build/fuzz_$h" -max_total_time="$1" -timeout=20 -rss_limit_mb=3000 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="$found/" "$set_dict" "$kept" "$here/corpus/$h" >"$log" 2>&1
	times >"$TMPDIR/times"; after=$(used)
	try_again
	n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log"); n=${n:-0}
	echo "$before $after $n" | awk -v OFS='\t' -v when="$(date -u +%Y-%m-%dT%H:%M)" -v v="$version" -v h="$h" -v f="$(found)" \
		'{ printf "%s\t%s\t%s\t%.1f\t%.1f\t%d\t%d\n", when, v, h, $3 - $1, $4 - $2, $5, f }' >>"$ledger"
}

# "SECONDS EXECUTIONS" of this harness in the ledger, beyond its first $1 lines
sum() { awk -F '\t' -v from="$1" -v h="$h" 'NR > from && $3 == h { t += $4 + $5; n += $6 } END { printf "%d %d\n", t, n }' "$ledger"; }

version=$(cut -d ' ' -f 1 "$build/version" 2>/dev/null || echo unknown)
status=0
printf '%-12s %12s %8s %8s %9s %7s %8s\n' harness executions cpu_s 'in all' 'coverage' corpus findings
for h; do
	kept=$dir/corpus/$h found=$dir/findings/$h log=$dir/$h.log
	mkdir -p "$kept" "$found"
	dict=$here/$h.dict
	[ -f "$dict" ] && set_dict="-dict=$dict" || set_dict=-verbosity=1
	from=$(wc -l <"$ledger")
	left=$seconds n=1
	while [ "$left" -gt 0 ] && [ "$n" -gt 0 ] && [ "$(found)" -eq 0 ]; do
		piece $((left > 600 ? 600 : left))
		left=$((seconds - $(sum "$from" | cut -d ' ' -f 1)))
	done
	[ "$n" -gt 0 ] || status=1       # it did not even begin: the log says why
	here_s=$(sum "$from") all_s=$(sum 0)
	printf '%-12s %12s %8s %8s %9s %7s %8s\n' "$h" "${here_s#* }" "${here_s% *}" "${all_s% *}" \
		"$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" "$(find "$kept" -type f | wc -l)" "$(found)"
	[ "$(found)" -eq 0 ] || { status=1; grep -E 'ERROR|runtime error|\.c:[0-9]+: ' "$log" | head -n 3 | sed 's/^/    /'; }
done
[ $status -eq 0 ] || echo "findings: $dir/findings; run one again with $build/fuzz_HARNESS FILE" >&2
exit $status
