#!/bin/sh
# SPDX-License-Identifier: MIT
# Frames through a pipe between two programs of ours, by value and by reference; what the ring costs of a small model's step;
# and how soon a run's first step is done. Rates are the best of the rounds: other load only takes from them.
. "${0%/*}/lib.sh"

rate() { # rate WHAT MB COUNT: best seconds for one frame
	r=1
	while [ $r -le "$ROUNDS" ]; do
		bench_frames "$1" "$2" "$3" | bench_frames read || fail 'the frames did not arrive'
		r=$((r + 1))
	done | awk '{ s = $1 / $2; if (NR == 1 || s < best) best = s } END { print best }'
}
row stream 'frames of 64 MB by value, hashed and checked' "$(calc "67.108864e-3 / $(rate value 64 12)")" GB/s - - - -
s=$(rate reference 600 300)
row stream 'frames that name 600 MB in 150 tensors' "$(calc "1 / $s" 0)" frames/s - - - -

small() { # small RUN STEPS OPTION...
	d=$1 steps=$2; shift 2
	bash "$top/pipelines/train.sh" --quiet --data "$SHARDS" --vocab "$VOCAB" --arch vit-s64-p16 --run "$d" --steps "$steps" --batch 64 \
	    --nns-after 64 --warmup 1 --save-every 0 --seed 3 "$@" 2>"$tmp/err" || { cat "$tmp/err" >&2; fail 'the ring failed'; }
}
of() { awk -F '\t' -v k="$1" '$1 == k { print $2 }' "$tmp/profile"; }
r=1
while [ $r -le "$ROUNDS" ]; do
	rm -rf "$tmp/run"
	small "$tmp/run" 40 --profile "$tmp/profile"
	calc "100 * $(of 'stream, gradients cleared') / $(of 'the whole step')" >>"$tmp/stream"
	for whom in batches dc-loss dc-step; do
		calc "100 * $(of "waiting for $whom") / $(of 'the whole step')" >>"$tmp/waiting-$whom"
	done
	r=$((r + 1))
done
row stream 'small model: stream and hand-over, of the step' "$(median <"$tmp/stream")" % - - - 10
for whom in batches dc-loss dc-step; do
	row stream "small model: waiting for $whom" "$(median <"$tmp/waiting-$whom")" % - - - -
done

# a new run: its directory and model are made in this time too
r=1
while [ $r -le "$ROUNDS" ]; do
	rm -rf "$tmp/new"
	start=$(date +%s%N)
	small "$tmp/new" 2 &
	until [ "$(wc -l 2>/dev/null <"$tmp/new/log.tsv")" -ge 2 ] 2>/dev/null; do kill -0 $! 2>/dev/null || break; sleep 0.01; done
	echo "$(($(date +%s%N) - start))e-9" >>"$tmp/launch"
	wait $! || fail 'the ring failed'
	r=$((r + 1))
done
row stream 'small model: launch of a new run to its first step' "$(calc "$(sort -g "$tmp/launch" | head -n 1)")" s - - - 1
