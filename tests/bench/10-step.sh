#!/bin/sh
# SPDX-License-Identifier: MIT
# The training step through the ring against PyTorch's, in turns: from the same weights, and on the same batches, which both
# read from a file, for PyTorch makes none here. A figure is the median of all steps but each run's first. What the ring does
# with its data path beside it is a row of its own, and so is its memory, with all processes.
. "${0%/*}/lib.sh"
BENCH_CASES=${BENCH_CASES:-small family b32 rn50}
STEPS=${STEPS:-}   # of a round; by default as many as make about half a minute

train() { # train PROGRAM ROUND STEPS OPTION...: train.sh of this bench, by `PROGRAM bash`; in a subshell
	by=$1 round=$2 steps=$3; shift 3
	exec "$by" bash "$top/pipelines/train.sh" --data "$SHARDS" --vocab "$VOCAB" --run "$tmp/run-$round" --steps "$steps" \
	    --warmup 1 --save-every 0 --nns-after 64 --seed 3 --profile "$tmp/profile-$round" "$@"
}
# The ring on $tmp/batches.dcs: $tmp/run-ROUND, $tmp/profile-ROUND
from_file() { # from_file ROUND STEPS OPTION...
	(train env "$@" -n) | sed -e "/^dc-decode.*--batch/,/^ *dc-tokenize/c cat $tmp/batches.dcs |" >"$tmp/ring.sh"
	bash -o pipefail "$tmp/ring.sh" >"$tmp/said" 2>"$tmp/err" && [ -s "$tmp/profile-$1" ] || { cat "$tmp/err" >&2; fail "the ring failed"; }
}
# The same with the data tools in it
whole_ring() { # whole_ring ROUND STEPS OPTION...
	round=$1
	train setsid "$@" --quiet 2>"$tmp/err" &
	pid=$!
	[ "$round" != memory ] || watch_memory $pid "$tmp/memory" &
	wait $pid || { cat "$tmp/err" >&2; fail "the ring failed"; }
	wait
}
of() { awk -F'\t' -v k="$2" '$1 == k { print $2 }' "$1"; } # of PROFILE NAME
losses() { awk -F'\t' -v n="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "total") c = i; next } NR <= n + 1 { print $c }' "$1/log.tsv"; }
seconds() { # seconds RUN BATCH: of each step but the first
	awk -F'\t' -v n="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "pairs_per_s") c = i; next } NR > 2 { print n / $c }' "$1/log.tsv"
}
same() { # same A B: the totals of the first steps, to 1e-3
	paste "$1" "$2" | awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= 1e-3 * ($1 < 0 ? -$1 : $1) + 1e-4)) bad = 1 } END { exit bad || !NR }'
}

target_of() { if [ "$1" = padded ]; then echo "${2%% *}"; else echo "$2" | cut -d " " -f 2; fi; }

case_row() { # case_row WHAT BATCH STEPS TARGETS OPTION...
	what=$1 batch=$2 steps=${STEPS:-$3} targets=$4; shift 4
	rm -rf "$tmp"/run-* "$tmp"/peer-* "$tmp"/profile-* "$tmp/memory"
	bash "$top/pipelines/train.sh" -n --data "$SHARDS" --vocab "$VOCAB" --run "$tmp/none" --steps "$steps" --seed 3 --batch "$batch" "$@" |
	    sed -n '/^dc-decode.*--batch/,/^ *dc-tokenize/p' | sed '$s/|$//' >"$tmp/data.sh"
	bash "$tmp/data.sh" >"$tmp/batches.dcs" || fail "no batches"
	variants=
	! has_peer torch || variants='padded trimmed'
	r=1
	while [ $r -le "$ROUNDS" ]; do
		from_file $r "$steps" --batch "$batch" "$@"
		seconds "$tmp/run-$r" "$batch" >>"$tmp/ours"
		"$DC_BIN/bench_gemm" >>"$tmp/peak"
		for v in $variants; do
			"$PYTHON" "$top/tests/bench/peer_step.py" "$tmp/run-1" "$tmp/batches.dcs" "$steps" --captions "$v" --warmup 1 \
			    --total "$steps" >"$tmp/peer-$v-$r" || fail "the peer failed"
			sed -n '2,$p' "$tmp/peer-$v-$r" | grep -v peak_mb | cut -f 1 >>"$tmp/seconds-$v"
			cut -f 2 "$tmp/peer-$v-$r" | head -n 2 >"$tmp/a"
			losses "$tmp/run-1" 2 >"$tmp/b"
			same "$tmp/a" "$tmp/b" || { paste "$tmp/a" "$tmp/b" >&2; fail "$what: the losses of the first two steps differ from PyTorch's ($v)"; }
		done
		r=$((r + 1))
	done
	whole_ring data "$steps" --batch "$batch" "$@"
	whole_ring memory 3 --batch "$batch" "$@"
	ours=$(median <"$tmp/ours") peak=$(median <"$tmp/peak")
	flop=$(of "$tmp/profile-1" 'GFLOP of useful work a step')
	note "$what: $(calc "$ours" 3) s a step, $(calc "$flop / $ours" 0) GFLOP/s of useful work, sgemm's peak $(calc "$peak" 0)"
	[ -n "$variants" ] || row step "$what" "$(calc "$batch / $ours")" pairs/s - - - -
	for v in $variants; do
		theirs=$(median <"$tmp/seconds-$v")
		row step "$what" "$(calc "$batch / $ours")" pairs/s "PyTorch, captions $v" "$(calc "$batch / $theirs")" \
		    "$(calc "$theirs / $ours")" "$(target_of "$v" "$targets")"
	done
	row step "$what: with the data path beside it" "$(calc "$batch / $(seconds "$tmp/run-data" "$batch" | median)")" pairs/s - - - -
	row step "$what: share of sgemm's peak" "$(calc "100 * $flop / $ours / $peak" 1)" % - - - "$(echo "$targets" | cut -d ' ' -f 3)"
	memory=$(cat "$tmp/memory") || fail "no memory was seen"
	if [ -n "$variants" ]; then
		theirs=$(sed -n 's/^peak_mb	//p' "$tmp"/peer-padded-* | sort -n | tail -n 1)
		row step "$what: peak memory of all processes" "$memory" MB "PyTorch, captions padded" "$theirs" "$(calc "$theirs / $memory")" "$(echo "$targets" | cut -d ' ' -f 4)"
	else
		row step "$what: peak memory of all processes" "$memory" MB - - - -
	fi
	overhead=$(awk -F '\t' -v all="$ours" '/^(stream|waiting)/ { s += $2 } END { printf "%.1f", 100 * s / all }' "$tmp/profile-1")
	row step "$what: not in the towers (stream, waiting, optimizer)" "$overhead" % - - - -
	rm -f "$tmp/ours" "$tmp/peak" "$tmp"/seconds-*
}

case " $BENCH_CASES " in *" small "*)
	case_row 'DeCLIP small, 64 px, batch 64' 64 40 '2.5 2.5 - 1.67' --arch vit-s64-p16
	case_row 'CLIP small, 64 px, batch 64' 64 60 '2.5 2.5 - 1.67' --arch vit-s64-p16 --method clip
esac
case " $BENCH_CASES " in *" b32 "*)
	case_row 'DeCLIP ViT-B/32, 224 px, batch 32' 32 4 '2.0 1.4 80 1.67' --arch vit-b-32
	case_row 'CLIP ViT-B/32, 224 px, batch 32' 32 5 '1.8 1.8 - 1.67' --arch vit-b-32 --method clip
esac
case " $BENCH_CASES " in *" family "*)
	for method in ${METHODS:-slip filip defilip siglip}; do
		case_row "$method small, 64 px, batch 64" 64 30 '2.0 2.0 - -' --arch vit-s64-p16 --method $method
	done ;;
esac
case " $BENCH_CASES " in *" rn50 "*) # the tower is nearly all of it
	case_row 'CLIP RN50, 224 px, batch 16' 16 3 '1.5 1.5 - -' --arch rn50 --method clip --part 16 ;;
esac
