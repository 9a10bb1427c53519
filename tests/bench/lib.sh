# SPDX-License-Identifier: MIT
# Sourced by tests/bench/NN-*.sh. Rows go to stdout with tabs between:
#	row  what  ours  unit  peer  peer's  ratio (above 1: dc is better)  target
# Ratios are of figures taken in turns in this very run; a figure is the median of its rounds.
set -u
top=${top:-$(cd "${0%/*}/../.." && pwd)}
LC_ALL=C; export LC_ALL
ROUNDS=${ROUNDS:-3}
PEERS=${PEERS:-}            # not empty: run the Python peers too
PYTHON=${DC_TORCH_PYTHON:-python3}
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

row() { printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$@"; }
note() { echo "bench: $*" >&2; }
fail() { echo "bench: $*" >&2; exit 1; }
median() { sort -g | awk '{ x[NR] = $1 } END { if (NR) printf "%.6g", NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'; }
calc() { awk "BEGIN { printf \"%.${2:-2}f\", $1 }"; }
has_peer() { [ -n "$PEERS" ] && "$PYTHON" -c "import $1" 2>/dev/null; }

# Peak memory in MB of a process group: shared pages are divided among those that map them (PSS). The kernel walks every
# page of every process for it, which costs a large model a tenth of a second each time: rarely, and in a run that is not timed.
watch_memory() { # watch_memory PGID FILE: until nothing of it is left
	peak=0
	until pgrep -g "$1" >/dev/null || ! kill -0 "$1" 2>/dev/null; do sleep 0.05; done   # setsid has yet to make it
	while pids=$(pgrep -g "$1"); do
		now=0
		for p in $pids; do
			n=$(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup" 2>/dev/null)
			now=$((now + ${n:-0}))
		done
		[ "$now" -le "$peak" ] || { peak=$now; echo $((peak / 1024)) >"$2"; }
		sleep 0.3
	done
}

# Shards with real photographs where there are any, else scenes; and a vocabulary.
if [ -f "$DATA/flickr8k/train-000.tar" ]; then
	SHARDS="$DATA/flickr8k/train-{000..011}.tar"
else
	dc-scenes --out "$tmp/scenes" --train 4000 --test 0 --zero-shot 0 || exit 1
	SHARDS=$(echo "$tmp"/scenes/train-*.tar)
fi
VOCAB=$DATA/clip/bpe_simple_vocab_16e6.txt.gz
if [ ! -f "$VOCAB" ]; then
	VOCAB=$tmp/bpe.txt.gz
	# shellcheck disable=SC2086
	dc-decode --keep-encoded --captions all --tail short $SHARDS | dc-vocab --merges 8000 --out "$VOCAB" || exit 1
fi

# Processor seconds, user and system, of all processes of a pipeline.
processor_s() { # processor_s 'PIPELINE'
	bash -o pipefail -c "TIMEFORMAT='%U %S'; time { $1; } >/dev/null 2>$tmp/said || echo failed" 2>&1 |
	    awk '/failed/ { exit 1 } { printf "%.4f\n", $1 + $2 }' || { cat "$tmp/said" >&2; fail "failed: $1"; }
}

# A peer that answers lines with lines: its imports are paid once, and its turns lie between ours.
start_peer() { # start_peer SCRIPT [ARGUMENT]
	mkfifo "$tmp/ask" "$tmp/told"
	"$PYTHON" "$top/tests/bench/$1" ${2:+"$2"} <"$tmp/ask" >"$tmp/told" 2>"$tmp/peer-err" &
	exec 3>"$tmp/ask" 4<"$tmp/told"
}
ask_peer() { # ask_peer WORD...: its answer
	echo "$*" >&3
	read -r answer <&4 || { cat "$tmp/peer-err" >&2; fail "the peer failed"; }
	echo "$answer"
}
