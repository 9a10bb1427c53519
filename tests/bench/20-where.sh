#!/bin/sh
# SPDX-License-Identifier: MIT
# Where a training step's time goes: dc-encode's kinds of layer (its --profile), and what each tool of the ring takes of the
# processors in a step. The kinds are shares of the step's time; the tools' shares are of processor time.
. "${0%/*}/lib.sh"
BENCH_CASES=${BENCH_CASES:-small}   # b32 is slow

tool_seconds() { # tool_seconds FILE: processor seconds of each tool of the ring that runs now, its newest value
	awk -v hz="$(getconf CLK_TCK)" '{ name = $2; gsub(/[()]/, "", name); sub(/.*\) /, ""); print name "\t" ($12 + $13) / hz }' "$@" 2>/dev/null
}
watch_tools() { # watch_tools PGID FILE: until nothing of it is left
	while pids=$(pgrep -g "$1"); do
		for p in $pids; do
			read -r comm <"/proc/$p/comm" || continue
			case $comm in
			dc-decode | dc-augment | dc-tokenize | dc-encode | dc-loss | dc-step) tool_seconds "/proc/$p/stat" ;;
			esac
		done >"$2.new"
		[ ! -s "$2.new" ] || [ "$(wc -l <"$2.new")" -lt 6 ] || mv "$2.new" "$2"
		sleep 0.1
	done 2>/dev/null
}

where() { # where NAME STEPS OPTION...
	name=$1 steps=${STEPS:-$2}; shift 2
	rm -rf "$tmp/run"
	setsid bash "$top/pipelines/train.sh" --quiet --data "$SHARDS" --vocab "$VOCAB" --run "$tmp/run" --steps "$steps" --warmup 1 \
	    --save-every 0 --nns-after 64 --seed 3 --profile "$tmp/profile" "$@" 2>"$tmp/err" &
	pid=$!
	watch_tools $pid "$tmp/tools" &
	wait $pid || { cat "$tmp/err" >&2; fail 'the ring failed'; }
	wait
	awk -F '\t' -v name="$name" '
		$1 == "the whole step" { all = $2 }
		NR == 1 || /^GFLOP/ || $1 == "the whole step" { next }
		{ what[++n] = $1; s[n] = $2 }
		END { for (i = 1; i <= n; i++) printf "where\t%s: %s\t%.1f\t%% of the step\t-\t-\t-\t-\n", name, what[i], 100 * s[i] / all }' "$tmp/profile"
	awk -F '\t' -v name="$name" '{ what[++n] = $1; s[n] = $2; all += $2 } END {
		for (i = 1; i <= n; i++) printf "where\t%s: %s\t%.1f\t%% of processor time\t-\t-\t-\t-\n", name, what[i], 100 * s[i] / all }' "$tmp/tools"
}

case " $BENCH_CASES " in *" small "*) where 'DeCLIP small, 64 px, batch 64' 60 --arch vit-s64-p16 --batch 64 ;; esac
case " $BENCH_CASES " in *" b32 "*) where 'DeCLIP ViT-B/32, batch 32' 4 --arch vit-b-32 --batch 32 ;; esac
