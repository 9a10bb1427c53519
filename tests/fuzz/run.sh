#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BUILD HARNESS...: each for $FUZZ_SECONDS, from the corpus in the tree and from what earlier runs found worth
# keeping (BUILD/corpus); what makes one fail lies in BUILD/findings. A row a harness; status 1 if there is a finding.
set -u
build=$1; shift
here=${0%/*}
seconds=${FUZZ_SECONDS:-60}
UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1; export UBSAN_OPTIONS
# a harness that dies leaves its files there; in memory, for there may be a million of them
TMPDIR=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/fuzz.XXXXXX") || exit 1; export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
status=0
printf '%-12s %12s %8s %9s %7s %8s\n' harness executions seconds 'coverage' corpus findings
for h; do
	kept=$build/corpus/$h found=$build/findings/$h log=$build/$h.log
	mkdir -p "$kept" "$found"
	dict=$here/$h.dict
	[ -f "$dict" ] && set_dict="-dict=$dict" || set_dict=-verbosity=1
	"$build/fuzz_$h" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="$found/" "$set_dict" "$kept" "$here/corpus/$h" >"$log" 2>&1 || status=1
	n=$(find "$found" -type f | wc -l)
	printf '%-12s %12s %8s %9s %7s %8s\n' "$h" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds" \
		"$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" "$(find "$kept" -type f | wc -l)" "$n"
	[ "$n" -eq 0 ] || { status=1; grep -E 'ERROR|runtime error|\.c:[0-9]+: ' "$log" | head -n 3 | sed 's/^/    /'; }
done
[ $status -eq 0 ] || echo "findings: $build/findings; run one again with $build/fuzz_HARNESS FILE" >&2
exit $status
