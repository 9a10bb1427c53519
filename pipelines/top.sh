#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the tools of a running ring do: share of a processor, memory, state, and for which neighbour each waits. man top.sh.
set -u -o pipefail
export LC_ALL=C
me=top.sh
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage() {
	cat <<-'EOF'
	usage: top.sh [options] RUN
	Show what each tool of the ring that trains RUN does: on a terminal again and again until the ring
	ends, else once.

	  -1, --once          once on a terminal too
	  -i, --interval S    seconds over which shares are taken [1]
	  -h, --help          print this and exit
	      --version       print the version and exit
	EOF
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { echo "$me: $*" >&2; echo "Try '$me --help'." >&2; exit 2; }

interval=1 once='' run=''
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--version)
		PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
		exec dc-step --version ;;
	-1 | --once) once=1 ;;
	-i | --interval)
		[ $# -gt 1 ] || die_usage "$1 needs a value"
		[[ $2 =~ ^[0-9]*\.?[0-9]+$ ]] && awk "BEGIN { exit !($2 >= 0.05 && $2 <= 3600) }" || die_usage "$1 $2: must be in [0.05, 3600]"
		interval=$2; shift ;;
	-?*) die_usage "unknown option $1" ;;
	*) [ -z "$run" ] || die_usage "$1: one run at a time"; run=$1 ;;
	esac
	shift
done
[ -n "$run" ] || { usage >&2; exit 2; }
[ -d "$run" ] || die "$run: no such directory"
run=$(cd "$run" && pwd -P)
[ -t 1 ] || once=1
ticks=$(getconf CLK_TCK)

# The ring's end has the run among its words; its neighbours are what has the same parent and the same process group.
find_ring() { # pids, in the order of the pipe
	local p comm name pid family found=() parent=''
	pids=() names=()
	for p in /proc/[0-9]*; do
		read -r comm <"$p/comm" || continue
		case $comm in dc-decode | dc-mix | dc-augment | dc-tokenize | dc-encode | dc-loss | dc-step) found+=("$comm ${p#/proc/} $(family "${p#/proc/}")") ;; esac
		[ "$comm" = dc-step ] && trains "$p" && parent=$(family "${p#/proc/}")
	done 2>/dev/null
	[ -n "$parent" ] || return 1
	for name in dc-decode dc-mix dc-augment dc-tokenize dc-encode dc-loss dc-step; do
		while read -r comm pid family; do
			[ "$comm $family" = "$name $parent" ] && pids+=("$pid") names+=("$name")
		done < <(printf '%s\n' "${found[@]}")
	done
	[ ${#pids[@]} -gt 0 ]
}
trains() { # trains PROC: this dc-step has our run
	local word last='' base
	base=$(readlink "$1/cwd") || return 1
	while IFS= read -r -d '' word; do
		[ "$last" != --run ] || [ "$(cd "$base" && cd -- "$word" && pwd -P)" != "$run" ] || return 0
		last=$word
	done <"$1/cmdline"
	return 1
}
family() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 2,3; } # parent and process group
spent() { # of each tool, in clock ticks; - where it is gone
	local pid
	for pid in "${pids[@]}"; do sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{ n = 1; print $12 + $13 } END { if (!n) print "-" }'; done
}
facts() { # of each tool: name, pid, state, threads, MB
	local i pid
	for i in "${!pids[@]}"; do
		pid=${pids[i]}
		printf '%s %s %s %s %s\n' "${names[i]}" "$pid" "$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null || echo -)" \
			"$(sed -n 's/^Threads:\t//p' "/proc/$pid/status" 2>/dev/null || echo -)" \
			"$(awk '/^Pss:/ { printf "%.0f", $2 / 1024; n = 1 } END { if (!n) print "-" }' "/proc/$pid/smaps_rollup" 2>/dev/null || echo -)"
	done
}
progress() { # the newest row of the log
	awk -F '\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
		at["step"] { step = $at["step"]; rate = $at["pairs_per_s"]; wait = $at["wait_s"] }
		END { if (step != "") printf "step %s, %.1f pairs/s, of which dc-encode waited %.3f s\n", step, rate, wait; else print "no step yet" }' \
		"$run/log.tsv" 2>/dev/null || echo 'no step yet'
}
table() { # before, after, facts in files of $tmp
	paste -d ' ' "$tmp/facts" "$tmp/before" "$tmp/after" | awk -v hz="$ticks" -v s="$seconds" '
	{ name[NR] = $1; pid[NR] = $2; state[NR] = $3; threads[NR] = $4; mb[NR] = $5
	  cpu[NR] = $6 == "-" || $7 == "-" ? 0 : ($7 - $6) / hz / s * 100; all += cpu[NR]; memory += $5
	  if (NR == 1 || cpu[NR] > cpu[top]) top = NR }
	# in a pipe with one slowest tool, those before it wait for it to read, those behind it for it to write
	function waits(i) {
		if (cpu[i] >= 50 || (i == top && cpu[i] >= 5)) return "works"
		if (cpu[top] < 5) return "waits"
		return i < top ? "waits for " name[i + 1] " to read" : i > top ? "waits for " name[i - 1] " to write" : "works"
	}
	END {
		printf "%-12s %8s %5s %7s %8s  %s\n", "TOOL", "PID", "STATE", "CPU %", "MB", ""
		for (i = 1; i <= NR; i++)
			printf "%-12s %8s %5s %7.1f %8s  %s\n", name[i], pid[i], state[i], cpu[i], mb[i], waits(i)
		printf "%-12s %8s %5s %7.1f %8.0f\n", "all", "", "", all, memory
	}'
}

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
find_ring || die "$run: no ring trains it now"
while :; do
	spent >"$tmp/before"; start=${EPOCHREALTIME/,/.}
	sleep "$interval"
	spent >"$tmp/after"; seconds=$(awk "BEGIN { print ${EPOCHREALTIME/,/.} - $start }")
	facts >"$tmp/facts"
	shown=$(echo "$run: $(progress)"; table)
	if [ -n "$once" ]; then
		echo "$shown"
		exit
	fi
	printf '\033[H\033[J%s\n' "$shown"
	find_ring || { echo "the ring has ended"; exit; }
done
